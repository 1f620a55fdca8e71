//! Fills an empty data directory with many synthetic studies through the journal and the index' own apply code,
//! and writes the questions to ask of it:
//!
//! `cargo bench --bench fill -- DATA STUDIES QUESTIONS_FOLDER [SEED]`
//!
//! Instances are facts without bytes: they can be found, not retrieved. On average 2.7 series a study and
//! 3.7 instances a series, 25 facilities, ten years; every series is quiet and every study complete.

use index::{Entry, Index, Rocks, RocksOptions};
use model::attribute::key;
use model::{Attributes, Digest, Facility, FacilityCode, Fact, Frames, InstanceHead, Layout, Outcome, PixelSpan};
use model::{Sameness, SeriesQuiet, Source, Span, StudyComplete, Uid, Via};
use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Instant;
use store::{Body, DataDir, Journal, JournalOptions, RealDisk, Record};
use testkit::names::{DEPARTMENTS, Person, doctor};
use testkit::study::uid;

const FACILITIES: u64 = 25;
const STUDIES_A_BATCH: u64 = 64;
const QUESTIONS: usize = 5_000;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [data, studies, questions, rest @ ..] = arguments.as_slice() else {
        eprintln!("usage: fill DATA STUDIES QUESTIONS_FOLDER [SEED]");
        return Ok(());
    };
    let seed = rest.first().map_or(Ok(1), |seed| seed.parse())?;
    fill(Path::new(data), studies.parse()?, seed)?;
    ask(Path::new(questions), studies.parse()?, seed)
}

fn fill(data: &Path, studies: u64, seed: u64) -> Result<(), Box<dyn Error>> {
    let started = Instant::now();
    let _directory = DataDir::open(data)?;
    let (journal, _) = Journal::open(Arc::new(RealDisk), JournalOptions::new(vec![data.join("journal")]))?;
    let index = Rocks::open(&data.join("index"), RocksOptions::default())?;
    let (sender, batches) = mpsc::sync_channel(8);
    let mut seq = index.max_seq();
    let mut done = 0;
    append(&journal, &index, registry().into_iter().map(encoded).collect::<Result<_, _>>()?)?;
    std::thread::scope(|scope| -> Result<(), Box<dyn Error>> {
        scope.spawn(move || {
            for first in (0..studies).step_by(64) {
                let mut facts = Vec::new();
                for number in first..(first + STUDIES_A_BATCH).min(studies) {
                    Examination::draw(seed, number, studies).facts(&mut seq, &mut facts);
                }
                let batch: Result<Vec<_>, _> = facts.into_iter().map(encoded).collect();
                if sender.send(batch).is_err() {
                    return;
                }
            }
        });
        for batch in batches {
            append(&journal, &index, batch?)?;
            done += STUDIES_A_BATCH;
            if done % (STUDIES_A_BATCH * 1_000) == 0 {
                journal.sync()?;
                eprintln!("{done} studies, {:.0} s", started.elapsed().as_secs_f64());
            }
        }
        Ok(())
    })?;
    journal.sync()?;
    journal.mark()?;
    journal.sync()?;
    index.flush()?;
    let stats = index.stats()?;
    println!("{:?} in {:.1} s", stats.total, started.elapsed().as_secs_f64());
    Ok(())
}

fn encoded(fact: Fact) -> Result<(Fact, Record), serde_json::Error> {
    let head = serde_json::to_vec(&fact)?;
    Ok((fact, Record { head, body: Body::None }))
}

fn append(journal: &Journal, index: &Rocks, batch: Vec<(Fact, Record)>) -> Result<(), Box<dyn Error>> {
    let (facts, records): (Vec<Fact>, Vec<Record>) = batch.into_iter().unzip();
    let placed = journal.append(&records)?;
    let entries = facts.into_iter().zip(placed);
    let entries: Vec<Entry> =
        entries.map(|(fact, (lsn, place))| Entry { lsn, fact, home: Some(model::Home::Journal(place)) }).collect();
    Ok(index.apply(&entries)?)
}

fn code(number: u64) -> FacilityCode {
    FacilityCode::parse(&format!("{:05}", 56_001 + number % FACILITIES)).unwrap_or(FacilityCode::DEMO)
}

/// The demo facility and source as an empty archive would seed them, then the hospitals.
fn registry() -> Vec<Fact> {
    let facility = |code, name: &str| {
        let (active_from, active_to) = (String::new(), String::new());
        Fact::Facility(Facility { code, name: name.into(), kind: "hospital".into(), active_from, active_to })
    };
    let mut facts = vec![facility(FacilityCode::DEMO, "Demo")];
    facts.push(Fact::Source(Source::new("demo", FacilityCode::DEMO)));
    facts.extend((0..FACILITIES).map(|number| facility(code(number), &format!("Bệnh viện số {number}"))));
    facts
}

/// One synthetic examination.
struct Examination {
    facility: FacilityCode,
    patient: Person,
    accession: String,
    study: String,
    date: String,
    modality: &'static str,
    shared: Attributes,
    /// Instances of each series.
    series: Vec<u32>,
    seed: u64,
}

impl Examination {
    fn draw(seed: u64, number: u64, studies: u64) -> Self {
        let seed = seed ^ number.wrapping_mul(0xD1B5_4A32_D192_ED03);
        let mut rng = fastrand::Rng::with_seed(seed);
        let facility = code(rng.u64(..));
        // Two and a half studies a patient, whatever the size: the same question has the same answer's size.
        let patient = Person::draw(0xA11CE, rng.u64(0..(studies * 2 / 5).max(1)));
        let year = rng.u32(2016..2026);
        let date = format!("{year}{:02}{:02}", rng.u32(1..13), rng.u32(1..29));
        let modality = *rng.choice(["CT", "MR", "DX", "DX", "CR", "US", "US", "XA"].iter()).unwrap_or(&"OT");
        let mut series: Vec<u32> = (0..rng.u32(1..5)).map(|_| rng.u32(1..7)).collect();
        if rng.u32(0..5) == 0 {
            series.push(3);
        }
        let accession = format!("{:02}{:08}", year % 100, number);
        let study = uid(seed, &[1]);
        let shared = [
            (key::STUDY_DATE, date.clone()),
            (key::STUDY_TIME, format!("{:02}{:02}{:02}", rng.u32(6..20), rng.u32(0..60), rng.u32(0..60))),
            (key::ACCESSION_NUMBER, accession.clone()),
            (key::INSTITUTION_NAME, format!("Bệnh viện số {facility}")),
            (key::INSTITUTIONAL_DEPARTMENT_NAME, (*rng.choice(DEPARTMENTS).unwrap_or(&"")).into()),
            (key::REFERRING_PHYSICIAN_NAME, doctor(&mut rng)),
            (key::STUDY_DESCRIPTION, format!("Chụp {modality} lồng ngực")),
            (key::PATIENT_NAME, patient.name.clone()),
            (key::PATIENT_ID, patient.id.clone()),
            (key::PATIENT_BIRTH_DATE, patient.birth_date.clone()),
            (key::PATIENT_SEX, patient.sex.into()),
            (key::STUDY_INSTANCE_UID, study.clone()),
            (key::STUDY_ID, accession.clone()),
            (key::MODALITY, modality.into()),
            (key::MANUFACTURER, "Hãng A".into()),
            (key::STATION_NAME, format!("{modality}01")),
            (key::BODY_PART_EXAMINED, "CHEST".into()),
        ];
        let shared = Attributes::from(shared);
        Self { facility, patient, accession, study, date, modality, shared, series, seed }
    }

    fn facts(&self, seq: &mut u64, facts: &mut Vec<Fact>) {
        let parse = |text: &str| Uid::parse(text).unwrap_or_else(|error| unreachable!("{text}: {error}"));
        let study = parse(&self.study);
        let mut quiet = Vec::new();
        for (instances, number) in self.series.iter().zip(1u64..) {
            let series = parse(&uid(self.seed, &[2, number]));
            for instance in 1..=*instances {
                *seq += 1;
                let own = parse(&uid(self.seed, &[3, number, u64::from(instance)]));
                facts.push(Fact::Instance(Box::new(self.head(*seq, &study, &series, number, own, instance))));
            }
            quiet.push(Fact::SeriesQuiet(SeriesQuiet {
                facility: self.facility,
                study: study.clone(),
                patient: 0,
                series,
                through: *seq,
                at: 1_780_000_000_000,
            }));
        }
        facts.append(&mut quiet);
        let (facility, through) = (self.facility, *seq);
        let complete = StudyComplete { facility, study, patient: 0, through, at: 1_780_000_000_000 };
        facts.push(Fact::StudyComplete(complete));
    }

    fn head(&self, seq: u64, study: &Uid, series: &Uid, number: u64, own: Uid, instance: u32) -> InstanceHead {
        let sop_class = Uid::parse("1.2.840.10008.5.1.4.1.1.2").unwrap_or_else(|error| unreachable!("{error}"));
        let mut attributes = self.shared.clone();
        attributes.insert(key::SERIES_INSTANCE_UID, series.as_str().into());
        attributes.insert(key::SERIES_NUMBER, number.to_string());
        attributes.insert(key::SERIES_DESCRIPTION, format!("Loạt {number}"));
        attributes.insert(key::SOP_CLASS_UID, sop_class.as_str().into());
        attributes.insert(key::SOP_INSTANCE_UID, own.as_str().into());
        attributes.insert(key::INSTANCE_NUMBER, instance.to_string());
        let value = Span { at: 1_800, len: 524_288 };
        InstanceHead {
            seq,
            facility: self.facility,
            source: "demo".into(),
            received: 1_770_000_000_000 + seq,
            via: Via::CStore,
            sop_class,
            sop_instance: own,
            study: study.clone(),
            series: series.clone(),
            transfer_syntax: Uid::parse("1.2.840.10008.1.2.1").unwrap_or_else(|error| unreachable!("{error}")),
            digest: Sameness::Blake3([seq.to_le_bytes()[0]; 32]),
            meta_digest: Digest([0; 32]),
            loose_crc: 0,
            meta_len: 340,
            file_len: 526_428,
            attributes,
            layout: Layout {
                pixel: Some(PixelSpan { tag: 0x7FE0_0010, header: 1_788, value, end: 526_088 }),
                frames: Frames::Native { count: 1, bits: 524_288 * 8 },
                dataset_len: 526_088,
            },
            flags: Vec::new(),
            outcome: Outcome::default(),
        }
    }
}

/// Writes `exact.txt` and `page.txt`: targets below a service root, drawn from what was filled.
fn ask(folder: &Path, studies: u64, seed: u64) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(folder)?;
    let mut rng = fastrand::Rng::with_seed(seed ^ 77);
    let (mut exact, mut page) = (String::new(), String::new());
    for number in 0..QUESTIONS {
        let examination = Examination::draw(seed, rng.u64(0..studies), studies);
        match number % 3 {
            0 => writeln!(exact, "/dicom-web/studies?PatientID={}&limit=50", examination.patient.id)?,
            1 => writeln!(exact, "/dicom-web/studies?AccessionNumber={}&limit=50", examination.accession)?,
            _ => writeln!(exact, "/dicom-web/studies?StudyInstanceUID={}&limit=50", examination.study)?,
        }
        let month = examination.date.get(..6).unwrap_or("202001");
        let family: String = examination.patient.name.chars().take_while(|c| *c != '^').collect();
        let family = percent(&family);
        let modality = examination.modality;
        match number % 3 {
            0 => writeln!(page, "/dicom-web/studies?StudyDate={month}01-{month}28&limit=50")?,
            1 => writeln!(page, "/dicom-web/studies?PatientName={family}*&limit=50")?,
            _ => writeln!(
                page,
                "/dicom-web/studies?ModalitiesInStudy={modality}&StudyDate={month}01-{month}28&limit=50"
            )?,
        }
    }
    std::fs::write(folder.join("exact.txt"), exact)?;
    std::fs::write(folder.join("page.txt"), page)?;
    Ok(())
}

fn percent(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

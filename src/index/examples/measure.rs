//! Measures the RocksDB engine on a province of a given size, filled through the same apply code.
//!
//! `cargo run --release -p khoanh-index --example measure -- [studies] [folder]`
//! prints rates of apply and the time of identity checks and pages, as median and 99th percentile.

use index::{Cursor, Entry, Index, Rocks, RocksOptions, Whose, plan};
use model::attribute::{attribute, key};
use model::query::{Condition, Query, Test};
use model::{
    AttrKey, Attributes, Digest, FacilityCode, Fact, Frames, Home, InstanceHead, Layout, Level, Outcome, PixelSpan,
    Place, Sameness, Span, Uid, Via,
};
use std::error::Error;
use std::time::{Duration, Instant};

const FAMILIES: [(&str, u32); 10] = [
    ("Nguyễn", 38),
    ("Trần", 12),
    ("Lê", 10),
    ("Phạm", 7),
    ("Hoàng", 6),
    ("Phan", 5),
    ("Vũ", 5),
    ("Đặng", 3),
    ("Bùi", 3),
    ("Đỗ", 2),
];
const MIDDLES: [&str; 8] = ["Văn", "Thị", "Đình", "Thanh", "Minh", "Ngọc", "Quang", "Xuân"];
const GIVEN: [&str; 16] = [
    "An", "Bình", "Cường", "Dũng", "Đức", "Giang", "Hà", "Hoà", "Hùng", "Lan", "Linh", "Mai", "Nam", "Phúc", "Thảo",
    "Yến",
];
const MODALITIES: [&str; 5] = ["DX", "US", "CT", "MR", "CR"];

struct Province {
    rng: fastrand::Rng,
    seq: u64,
    lsn: u64,
}

impl Province {
    fn name(&mut self) -> String {
        let mut share = self.rng.u32(..91);
        let family = FAMILIES.iter().find(|(_, weight)| {
            let here = share < *weight;
            share = share.saturating_sub(*weight);
            here
        });
        let family = family.map_or("Lý", |(name, _)| *name);
        let (middle, given) = (MIDDLES[self.rng.usize(..8)], GIVEN[self.rng.usize(..16)]);
        format!("{family}^{given}^{middle}")
    }

    fn study(&mut self, number: u64, series: u64, instances: u64) -> Result<Vec<Entry>, Box<dyn Error>> {
        let facility = FacilityCode::parse(&format!("56{:03}", self.rng.u32(1..=25)))?;
        let day = self.rng.u32(..3650);
        let date = format!("{}{:02}{:02}", 2016 + day / 365, day % 365 / 31 + 1, day % 28 + 1);
        let mut attributes = Attributes::from([
            (key::STUDY_DATE, date),
            (key::STUDY_TIME, format!("{:02}{:02}00", self.rng.u32(6..20), self.rng.u32(..60))),
            (key::ACCESSION_NUMBER, format!("A{number:09}")),
            (key::PATIENT_NAME, self.name()),
            (key::PATIENT_ID, format!("{:08}", number / 3)),
            (key::PATIENT_BIRTH_DATE, format!("19{:02}0{}1{}", self.rng.u32(30..99), self.rng.u32(1..9), number % 10)),
            (key::PATIENT_SEX, "F".into()),
            (key::STUDY_DESCRIPTION, "X-quang ngực thẳng".into()),
            (key::INSTITUTION_NAME, format!("Bệnh viện đa khoa {facility}")),
            (key::REFERRING_PHYSICIAN_NAME, self.name()),
            (key::STUDY_ID, number.to_string()),
        ]);
        let study = Uid::parse(&format!("1.2.840.113619.2.55.3.{number}.1700000000"))?;
        let modality = MODALITIES[self.rng.usize(..5)];
        let mut batch = Vec::new();
        for n in 0..instances {
            let of_series = n * series / instances;
            attributes.insert(key::MODALITY, modality.into());
            attributes.insert(key::SERIES_NUMBER, of_series.to_string());
            attributes.insert(key::SERIES_DESCRIPTION, "Thẳng".into());
            attributes.insert(key::INSTANCE_NUMBER, n.to_string());
            attributes.insert(key::ROWS, "512".into());
            attributes.insert(key::COLUMNS, "512".into());
            attributes.insert(key::BITS_ALLOCATED, "16".into());
            batch.push(self.instance(facility, &study, number, of_series, n, attributes.clone())?);
        }
        Ok(batch)
    }

    fn instance(
        &mut self,
        facility: FacilityCode,
        study: &Uid,
        number: u64,
        series: u64,
        n: u64,
        attributes: Attributes,
    ) -> Result<Entry, Box<dyn Error>> {
        self.seq += 1;
        self.lsn += 1;
        let mut digest = [0; 32];
        self.rng.fill(&mut digest);
        let value = Span { at: 1200, len: 524_288 };
        let pixel = Some(PixelSpan { tag: 0x7fe0_0010, header: 1188, value, end: 525_488 });
        let head = InstanceHead {
            seq: self.seq,
            facility,
            source: format!("{facility}-ct"),
            received: 1_700_000_000_000 + self.seq,
            via: Via::CStore,
            sop_class: Uid::parse("1.2.840.10008.5.1.4.1.1.2")?,
            sop_instance: Uid::parse(&format!("{study}.{series}.{n}"))?,
            study: study.clone(),
            series: Uid::parse(&format!("1.2.840.113619.2.56.3.{number}.{series}"))?,
            transfer_syntax: Uid::parse("1.2.840.10008.1.2.1")?,
            digest: Sameness::Blake3(digest),
            meta_digest: Digest(digest),
            loose_crc: self.rng.u32(..),
            meta_len: 344,
            file_len: 526_000,
            attributes,
            layout: Layout { pixel, frames: Frames::Native { count: 1, bits: 4_194_304 }, dataset_len: 525_488 },
            flags: Vec::new(),
            outcome: Outcome::default(),
        };
        let home = Home::Journal(Place {
            segment: 1,
            generation: 1,
            offset: self.seq * 530_000,
            head_len: 1800,
            body_len: 526_000,
            blob: None,
        });
        Ok(Entry { lsn: self.lsn, fact: Fact::Instance(Box::new(head)), home: Some(home) })
    }
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or_default();
    println!("{what:44} median {:>10.1?}  p99 {:>10.1?}", at(50), at(99));
}

fn pages(index: &Rocks, what: &str, mut keys: impl FnMut(u64) -> Vec<(AttrKey, String)>) -> Result<(), Box<dyn Error>> {
    let mut times = Vec::new();
    let mut rows = 0;
    for round in 0..500 {
        let mut conditions = Vec::new();
        for (key, text) in keys(round) {
            conditions.push(Condition { key, test: Test::parse(attribute(key).ok_or("attribute")?, &text)? });
        }
        let query = Query { level: Level::Study, conditions, fuzzy: false };
        let begun = Instant::now();
        let found = index.find(&plan(&query, None), None::<&Cursor>, 50)?;
        times.push(begun.elapsed());
        rows += found.rows.len();
    }
    report(&format!("{what} ({} rows)", rows / 500), times);
    Ok(())
}

fn applied(index: &Rocks, batches: &[Vec<Entry>], what: &str) -> Result<(), Box<dyn Error>> {
    let begun = Instant::now();
    for batch in batches {
        index.apply(batch)?;
    }
    let instances: usize = batches.iter().map(Vec::len).sum();
    println!("{what:44} {:>10.0} instances/s", instances as f64 / begun.elapsed().as_secs_f64());
    Ok(())
}

/// Fills an empty index with so many studies, 50 in a batch.
fn fill(index: &Rocks, province: &mut Province, studies: u64) -> Result<(), Box<dyn Error>> {
    let mut spent = Duration::ZERO;
    let mut instances = 0;
    // A folder that was filled before is measured as it is.
    let filled = if index.max_seq() > 0 { studies } else { 0 };
    for first in (filled..studies).step_by(50) {
        let mut batch = Vec::new();
        for number in first..first + 50 {
            batch.extend(province.study(number, 1 + number % 4, 10)?);
        }
        let begun = Instant::now();
        index.apply(&batch)?;
        spent += begun.elapsed();
        instances += batch.len();
    }
    if instances > 0 {
        let rate = instances as f64 / spent.as_secs_f64();
        println!("fill, 10 instances a study: {instances} in {spent:.1?}, {rate:.0}/s");
    }
    Ok(())
}

/// What the way in asks before every instance.
fn identities(index: &Rocks, province: &mut Province, studies: u64) -> Result<(), Box<dyn Error>> {
    let mut times = Vec::new();
    for round in 0..20_000u64 {
        let number = province.rng.u64(..studies);
        let facility = FacilityCode::parse(&format!("56{:03}", number % 25 + 1))?;
        let study = Uid::parse(&format!("1.2.840.113619.2.55.3.{number}.1700000000"))?;
        let of_series = Uid::parse(&format!("1.2.840.113619.2.56.3.{number}.0"))?;
        let new = Uid::parse(&format!("{study}.9.{round}"))?;
        let begun = Instant::now();
        index.identity(facility, &study, &of_series, &new, Whose::default())?;
        times.push(begun.elapsed());
    }
    report("identity of a new instance", times);
    Ok(())
}

/// Pages of 50 by the keys that people search with.
fn queries(index: &Rocks, studies: u64) -> Result<(), Box<dyn Error>> {
    let mut rng = fastrand::Rng::with_seed(2);
    let mut draw = move |below: u64| rng.u64(..below);
    pages(index, "patient ID", |_| vec![(key::PATIENT_ID, format!("{:08}", draw(studies) / 3))])?;
    let mut rng = fastrand::Rng::with_seed(3);
    let mut draw = move |below: u64| rng.u64(..below);
    pages(index, "accession", |_| vec![(key::ACCESSION_NUMBER, format!("A{:09}", draw(studies)))])?;
    pages(index, "date range, a month", |n| {
        vec![(key::STUDY_DATE, format!("20{:02}0101-20{:02}0131", 16 + n % 10, 16 + n % 10))]
    })?;
    pages(index, "name prefix", |n| {
        let given = ["nguyen^v*", "tran^thi*", "le*", "dang^minh*"];
        given.get(n as usize % 4).map(|text| (key::PATIENT_NAME, (*text).to_owned())).into_iter().collect()
    })?;
    pages(index, "name, three words", |_| vec![(key::PATIENT_NAME, "yen nguyen xuan".into())])?;
    pages(index, "modality and date", |n| {
        vec![
            (key::MODALITIES_IN_STUDY, "CT".into()),
            (key::STUDY_DATE, format!("20{:02}0101-20{:02}1231", 16 + n % 10, 16 + n % 10)),
        ]
    })?;
    pages(index, "name and birth year", |_| {
        vec![(key::PATIENT_NAME, "nguyen an".into()), (key::PATIENT_BIRTH_DATE, "19780101-19781231".into())]
    })?;
    pages(index, "everything, newest first", |_| Vec::new())?;
    pages(index, "description with a word inside", |_| vec![(key::STUDY_DESCRIPTION, "*nguc*".into())])?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let studies: u64 = arguments.next().map_or(Ok(20_000), |text| text.parse())?;
    let own = tempfile::tempdir()?;
    let folder = arguments.next().map_or_else(|| own.path().to_path_buf(), Into::into);
    let index = Rocks::open(&folder, RocksOptions::default())?;
    let mut province = Province { rng: fastrand::Rng::with_seed(1), seq: index.max_seq(), lsn: index.applied() };
    fill(&index, &mut province, studies)?;
    let begun = Instant::now();
    index.flush()?;
    println!("flush {:.1?}", begun.elapsed());

    let mut series = Vec::new();
    for n in 0..40 {
        let whole = province.study(studies + index.max_seq() + n, 1, 500)?;
        series.extend(whole.chunks(100).map(<[_]>::to_vec));
    }
    applied(&index, &series, "apply, batches of 100 of a series")?;
    let singles =
        (0..2000).map(|n| province.study(studies + index.max_seq() + 100 + n, 1, 1)).collect::<Result<Vec<_>, _>>()?;
    applied(&index, &singles, "apply, one instance a batch, new studies")?;

    identities(&index, &mut province, studies)?;
    queries(&index, studies)?;
    drop(index);
    let begun = Instant::now();
    let index = Rocks::open(&folder, RocksOptions::default())?;
    println!("open {:.1?}, {} instances", begun.elapsed(), index.stats()?.total.instances);
    Ok(())
}

//! A small made-up province: facts as the archive records them, and questions about them, from one seed.

#![allow(dead_code, reason = "each test uses its part")]

use index::{Entry, SeriesKey, StudyKey};
use model::attribute::key;
use model::forward::{ForwardFact, ForwardRule, ForwardTo};
use model::pack::{ColdCopy, PackFact, Packed};
use model::query::{Condition, Query, Test};
use model::{
    AeTitle, AttrKey, Attributes, Destination, Difference, Digest, Facility, FacilityCode, Fact, Flag, Frames, Home,
    InstanceHead, Layout, Level, Lsn, Outcome, PackId, PixelSpan, Place, Sameness, SamenessKind, SeriesQuiet, Source,
    Span, StudyComplete, Uid, Via,
};
use std::collections::{BTreeMap, HashMap};

mod drawn;
mod retention;

use drawn::CROWDED;

/// More words than are searched.
const WORDS: &str = "B0 B1 B2 B3 B4 B5 B6 B7 B8 B9 C0 C1 C2 C3 C4 C5 C6 C7 C8 C9 D0 D1 D2 D3 D4 D5 D6 D7 D8 D9 G0 G1 G2 \
    G3 G4 G5 G6 G7 G8 G9 H0 H1 H2 H3 H4 H5 H6 H7 H8 H9 K0 K1 K2 K3 K4 K5 K6 K7 K8 K9 L0 L1 L2 L3 L4 L5 \
    L6 L7 L8 L9";
/// A longer name than lies beside its words.
const LONG: &str = "Nguyen0 Nguyen1 Nguyen2 Nguyen3 Nguyen4 Nguyen5 Nguyen6 Nguyen7 Nguyen8 Nguyen9 Nguyen10 Nguyen11 \
    Nguyen12 Nguyen13 Nguyen14 Nguyen15 Nguyen16 Nguyen17 Nguyen18 Nguyen19 Nguyen20 Nguyen21 Nguyen22 \
    Nguyen23 Nguyen24 Nguyen25 Nguyen26 Nguyen27 Nguyen28 Nguyen29 Nguyen30 Nguyen31 Nguyen32 Nguyen33 \
    Nguyen34 Nguyen35 Nguyen36 Nguyen37 Nguyen38 Nguyen39 Nguyen40 Nguyen41 Nguyen42 Nguyen43 Nguyen44";
const NAMES: [&str; 16] = [
    "NGUYEN^VAN AN",
    "Nguyễn^Văn^An",
    "Trần Thị Bình",
    "TRAN THI BINH 45T",
    "Lê Hoà",
    "LE HOA",
    "Đỗ Đình Đức",
    "Phạm Thị Thanh Thúy",
    "H'Hen Niê",
    "K'Brôi",
    "VO DANH 01",
    "NGUYEN THI AN",
    "Yamada^Tarou=山田^太郎",
    WORDS,
    LONG,
    "",
];
const MODALITIES: [&str; 5] = ["CT", "MR", "US", "DX", ""];
const DESCRIPTIONS: [&str; 5] = ["CT sọ não", "MRI cột sống", "Siêu âm bụng tổng quát", "X-quang ngực thẳng", ""];
const CLASSES: [&str; 3] = ["1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.6.1"];
const SYNTAXES: [&str; 2] = ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.70"];

/// A copy under a SOP Instance UID: its digest, its number and its series.
type Copied = (Sameness, u16, SeriesKey);

/// What happened so far and what can happen next.
pub(crate) struct World {
    seed: u64,
    pub(crate) rng: fastrand::Rng,
    pub(crate) lsn: Lsn,
    pub(crate) seq: u64,
    pub(crate) clock: u64,
    pub(crate) history: Vec<Entry>,
    studies: u32,
    copies: HashMap<(FacilityCode, Uid), Vec<Copied>>,
    patients: HashMap<(FacilityCode, Uid), Vec<String>>,
    series: HashMap<(FacilityCode, Uid), Vec<Uid>>,
    quietable: Vec<(SeriesKey, u64)>,
    packs: Vec<(SeriesKey, PackId)>,
    /// Series that stand in another study than they were received in.
    placed: BTreeMap<SeriesKey, StudyKey>,
    made: u32,
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("it failed with seed {}", self.seed);
        }
    }
}

impl World {
    pub(crate) fn new(seed: u64, studies: u32) -> Self {
        Self {
            seed,
            rng: fastrand::Rng::with_seed(seed),
            lsn: 0,
            seq: 0,
            clock: 1_700_000_000_000,
            history: Vec::new(),
            studies,
            copies: HashMap::new(),
            patients: HashMap::new(),
            series: HashMap::new(),
            quietable: Vec::new(),
            packs: Vec::new(),
            placed: BTreeMap::new(),
            made: 0,
        }
    }

    fn one_in(&mut self, n: u32) -> bool {
        self.rng.u32(..n) == 0
    }

    fn uid(text: String) -> Uid {
        Uid::parse(&text).expect("uid")
    }

    /// The next batch of facts, now and then with facts of the past at new places.
    pub(crate) fn batch(&mut self, size_max: usize) -> Vec<Entry> {
        let size = self.rng.usize(1..=size_max);
        let mut batch = Vec::with_capacity(size);
        while batch.len() < size {
            let entry = match self.rng.u32(..100) {
                0..=1 => self.registry(),
                2..=9 => self.quiet(),
                10..=13 => self.complete(),
                17..=20 => self.pack(),
                21 => self.of_pack(),
                22..=24 => self.retention(),
                14..=16 if !self.history.is_empty() => {
                    let mut old = self.history[self.rng.usize(..self.history.len())].clone();
                    if matches!(old.own().1, Fact::Pack(_) | Fact::Retention(_)) {
                        continue; // these are told again only with everything behind them
                    }
                    if let Some(Home::Journal(place)) = &mut old.home {
                        place.segment += 1;
                        place.blob = self.rng.bool().then(|| "moved".to_owned());
                    }
                    batch.push(old);
                    continue;
                }
                _ => self.instance(),
            };
            if let Some((fact, home)) = entry {
                self.lsn += 1;
                let entry = Entry { lsn: self.lsn, fact, home };
                self.history.push(entry.clone());
                batch.push(entry);
            }
        }
        batch
    }

    fn registry(&mut self) -> Option<(Fact, Option<Home>)> {
        let facility = self.facility();
        let number = self.rng.u32(..9);
        Some(if self.one_in(4) {
            (Fact::Destination(self.destination(number)), None)
        } else if self.one_in(4) {
            let to = ForwardTo::Stow(format!("root-{}", self.rng.u8(..3)));
            let rule = ForwardRule {
                disabled: self.rng.bool(),
                ..ForwardRule::new(format!("rule-{number}"), vec![to.clone()])
            };
            let pause = ForwardFact::Pause { to, paused: self.rng.bool() };
            (Fact::Forwarding(if self.rng.bool() { pause } else { ForwardFact::Rule(rule) }), None)
        } else if self.rng.bool() {
            let name = format!("Bệnh viện {number}");
            let (active_from, active_to) = (String::new(), String::new());
            (Fact::Facility(Facility { code: facility, name, kind: "hospital".into(), active_from, active_to }), None)
        } else {
            let source = Source::new(format!("ct-{number}"), facility);
            let source = Source { disabled: self.rng.bool(), ..source };
            (Fact::Source(source), None)
        })
    }

    fn destination(&mut self, number: u32) -> Destination {
        Destination {
            title: AeTitle::parse(&format!("PACS{number}")).expect("title"),
            host: "10.1.2.3".into(),
            port: self.rng.u16(1..),
            facility: None,
            calling: None,
            as_received: false,
            description: String::new(),
            tls: None,
            associations: 1,
            removed: self.rng.bool(),
        }
    }

    fn quiet(&mut self) -> Option<(Fact, Option<Home>)> {
        let at = self.clock;
        let known = self.rng.usize(..self.quietable.len().max(1));
        let (key, seq) = self.quietable.get(known)?.clone();
        let through = if self.one_in(4) { seq } else { self.seq };
        let StudyKey { facility, study, patient } = key.study;
        let quiet = SeriesQuiet { facility, study, patient, series: key.series, through, at };
        Some((Fact::SeriesQuiet(quiet), None))
    }

    fn complete(&mut self) -> Option<(Fact, Option<Home>)> {
        let known = self.rng.usize(..self.quietable.len().max(1));
        let (key, seq) = self.quietable.get(known)?.clone();
        let through = if self.one_in(4) { seq } else { self.seq };
        let StudyKey { facility, study, patient } = key.study;
        let complete = StudyComplete { facility, study, patient, through, at: self.clock };
        Some((Fact::StudyComplete(complete), None))
    }

    /// A pack of some instances of a series; now and then of all of them, in place of the packs before.
    fn pack(&mut self) -> Option<(Fact, Option<Home>)> {
        let known = self.rng.usize(..self.quietable.len().max(1));
        let (key, _) = self.quietable.get(known)?.clone();
        let whole = self.one_in(3);
        let of_series = self.quietable.iter().filter(|(series, _)| *series == key).map(|(_, seq)| *seq);
        let mut seqs: Vec<u64> = of_series.collect();
        let before = self.packs.iter().filter(|(series, _)| *series == key).map(|(_, pack)| *pack);
        let replaces: Vec<PackId> = if whole { before.collect() } else { Vec::new() };
        if !whole {
            seqs.retain(|_| self.rng.bool());
        }
        self.rng.shuffle(&mut seqs);
        self.packs.retain(|(_, pack)| !replaces.contains(pack));
        let pack = PackId::new(self.rng.u128(..).to_be_bytes());
        self.packs.push((key.clone(), pack));
        let (part, sha256, at) = (self.rng.u32(1..4), Digest([9; 32]), self.clock);
        let StudyKey { facility, study, patient } = key.study;
        let (series, len, raw) = (key.series, self.rng.u64(..9_000), self.rng.u64(..9_000));
        let packed = Packed { pack, facility, study, patient, series, part, len, sha256, raw, seqs, replaces, at };
        Some((Fact::Pack(Box::new(PackFact::Packed(packed))), None))
    }

    /// Something that happens to a pack later.
    fn of_pack(&mut self) -> Option<(Fact, Option<Home>)> {
        let known = self.rng.usize(..self.packs.len().max(1));
        let (_, pack) = self.packs.get(known)?.clone();
        let at = self.clock;
        let fact = match self.rng.u32(..4) {
            0 => {
                let version = self.rng.bool().then(|| "v1".to_owned());
                let (key, class) = (format!("packs/{pack}"), self.rng.bool().then(|| "COLD".to_owned()));
                let (len, sealed, locked_until) = (77, self.rng.bool(), self.rng.bool().then_some(at + 5));
                let sha256 = Digest([8; 32]);
                let held = locked_until.is_some() && self.rng.bool();
                let copy = ColdCopy { key, version, len, sha256, sealed, class, locked_until, held, at };
                PackFact::Tiered { pack, copy }
            }
            1 => PackFact::Released { pack, at },
            2 => PackFact::Recalled { pack, at },
            _ => PackFact::ColdLost { pack, at },
        };
        let fact = Fact::Pack(Box::new(fact));
        // Now and then as a record that outlived its segment.
        let lsn = self.lsn;
        Some((if self.one_in(3) { Fact::Forwarded { lsn, was: Box::new(fact) } } else { fact }, None))
    }

    fn instance(&mut self) -> Option<(Fact, Option<Home>)> {
        self.clock += self.rng.u64(..1500);
        let facility = self.facility();
        let (number, study, series, sop_instance, patient_id) = self.names();
        let byte = self.rng.u8(..3);
        let digest = Sameness::new(SamenessKind::ALL[usize::from(byte % 2)], [byte; 32]);
        let copies = self.copies.entry((facility, sop_instance.clone())).or_default();
        if copies.iter().any(|(known, ..)| *known == digest) {
            return None;
        }
        let copy = copies.iter().map(|(_, copy, _)| copy + 1).max().unwrap_or(0);
        let patient = rank(self.patients.entry((facility, study.clone())).or_default(), &patient_id);
        let study_rank = rank(self.series.entry((facility, series.clone())).or_default(), &study);
        self.seq += 1;
        let outcome =
            Outcome { copy, difference: (copy > 0).then_some(Difference::Content), patient, study: study_rank };
        let key = StudyKey { facility, study: study.clone(), patient };
        let key = SeriesKey { study: key, series: series.clone() };
        // The archive takes it for another patient's where a series of that UID was moved to.
        if self.placed.iter().any(|(moved, to)| moved.series == key.series && *to == key.study) {
            return None;
        }
        let copies = self.copies.entry((facility, sop_instance.clone())).or_default();
        copies.push((digest, copy, key.clone()));
        self.quietable.push((key, self.seq));
        let head = InstanceHead {
            seq: self.seq,
            facility,
            source: format!("ct-{}", self.rng.u32(..9)),
            received: self.clock,
            via: [Via::CStore, Via::Stow, Via::Import][self.rng.usize(..3)],
            sop_class: Self::uid(CLASSES[self.rng.usize(..3)].into()),
            sop_instance,
            study,
            series,
            transfer_syntax: Self::uid(SYNTAXES[self.rng.usize(..2)].into()),
            digest,
            meta_digest: Digest([7; 32]),
            loose_crc: self.rng.u32(..),
            meta_len: 300,
            file_len: self.rng.u64(1000..9000),
            attributes: self.attributes(number, &patient_id),
            layout: self.layout(),
            flags: if self.one_in(5) { vec![Flag::OddLength, Flag::OtherStudy] } else { Vec::new() },
            outcome,
        };
        let home = Home::Journal(Place {
            segment: 1,
            generation: 1,
            offset: self.seq * 10_000,
            head_len: 900,
            body_len: head.file_len,
            blob: None,
        });
        Some((Fact::Instance(Box::new(head)), Some(home)))
    }

    fn pick(&mut self, from: &[&str]) -> String {
        from[self.rng.usize(..from.len())].to_owned()
    }

    /// Instances of a study disagree now and then, and often leave something out.
    fn attributes(&mut self, number: u32, patient_id: &str) -> Attributes {
        let mut attributes = Attributes::new();
        let of_crowd = patient_id.strip_prefix('C').and_then(|who| who.parse().ok()).filter(|_| number == CROWDED);
        let mut of_study = fastrand::Rng::with_seed(of_crowd.map_or(u64::from(number), |who: u64| who + 1_000));
        let day = of_study.u32(1..=28);
        let date = format!("2023{:02}{day:02}", of_study.u32(1..=12));
        let stable = [
            (key::STUDY_DATE, date.clone()),
            (key::STUDY_TIME, format!("{:02}30", of_study.u32(..24))),
            (key::PATIENT_NAME, NAMES[of_study.usize(..NAMES.len())].to_owned()),
            (key::PATIENT_ID, patient_id.to_owned()),
            (key::ACCESSION_NUMBER, format!("A{}", number / 2)),
            (key::PATIENT_BIRTH_DATE, format!("19{:02}0{}15", of_study.u32(50..99), of_study.u32(1..=9))),
            (key::STUDY_DESCRIPTION, DESCRIPTIONS[of_study.usize(..5)].to_owned()),
            (key::INSTITUTION_NAME, "Bệnh viện đa khoa tỉnh".to_owned()),
            (key::REFERRING_PHYSICIAN_NAME, NAMES[of_study.usize(..NAMES.len())].to_owned()),
            (key::OTHER_PATIENT_IDS, other_ids(number)),
            (key::PATIENT_SEX, "F".to_owned()),
        ];
        for (key, value) in stable {
            match self.rng.u32(..12) {
                0 => {}
                1 => drop(attributes.insert(key, String::new())),
                _ => drop(attributes.insert(key, value)),
            }
        }
        if self.one_in(20) {
            attributes.insert(key::STUDY_DATE, self.pick(&["20240101", "gestern", "2023.05.06"]));
        }
        // Few senders state how much there is, and not always the same.
        if number.is_multiple_of(5) {
            let stated = (self.seq % 7).to_string();
            attributes.insert(key::NUMBER_OF_STUDY_RELATED_INSTANCES, stated.clone());
            attributes.insert(key::NUMBER_OF_SERIES_RELATED_INSTANCES, if stated == "3" { "x".into() } else { stated });
        }
        attributes.insert(key::STUDY_INSTANCE_UID, format!("1.2.{number}"));
        attributes.insert(key::MODALITY, self.pick(&MODALITIES));
        attributes.insert(key::SERIES_DESCRIPTION, self.pick(&DESCRIPTIONS));
        attributes.insert(key::SERIES_NUMBER, self.rng.u32(..4).to_string());
        attributes.insert(key::PERFORMED_PROCEDURE_STEP_START_DATE, date);
        attributes.insert(key::REQUESTED_PROCEDURE_ID, format!("R{number}"));
        attributes.insert(key::INSTANCE_NUMBER, self.rng.u32(..40).to_string());
        attributes.insert(key::ROWS, "512".into());
        if self.seq.is_multiple_of(3) {
            attributes.insert(key::ACQUISITION_DATE, format!("202301{:02}", self.seq % 5 + 10));
        }
        if self.seq.is_multiple_of(7) {
            attributes.insert(key::SERIES_DATE, ["", "20240229", "2023.05.06\\20230101"][self.rng.usize(..3)].into());
        }
        attributes
    }

    fn layout(&mut self) -> Layout {
        let value = Span { at: 1200, len: 4000 };
        let pixel = Some(PixelSpan { tag: 0x7fe0_0010, header: 1188, value, end: 5200 });
        match self.rng.u32(..3) {
            0 => Layout { pixel: None, frames: Frames::None, dataset_len: 900 },
            1 => Layout { pixel, frames: Frames::Native { count: 1, bits: 512 * 512 * 16 }, dataset_len: 5200 },
            _ => {
                let span = |n: u64| Span { at: 1208 + n * 108, len: 100 };
                let fragments = (0..self.rng.u64(1..5)).map(span).collect();
                let starts = self.rng.bool().then(|| vec![0]);
                Layout { pixel, frames: Frames::Encapsulated { fragments, starts }, dataset_len: 5200 }
            }
        }
    }

    /// A question at random.
    pub(crate) fn query(&mut self) -> (Query, Option<Vec<FacilityCode>>) {
        let level = [Level::Study, Level::Study, Level::Series, Level::Instance][self.rng.usize(..4)];
        let conditions = (0..self.rng.u32(..4)).filter_map(|_| self.condition()).collect();
        let facilities = match self.rng.u32(..4) {
            0 => Some(vec![self.facility()]),
            1 => Some(vec![self.facility(), self.facility()]),
            2 if self.one_in(10) => Some(Vec::new()),
            _ => None,
        };
        (Query { level, conditions, fuzzy: self.rng.bool() }, facilities)
    }

    fn condition(&mut self) -> Option<Condition> {
        let (key, text) = self.key_and_text();
        let attribute = model::attribute::attribute(key)?;
        let test = Test::parse(attribute, &text).expect("a text that parses");
        Some(Condition { key, test })
    }

    fn key_and_text(&mut self) -> (AttrKey, String) {
        let number = self.rng.u32(1..=self.studies);
        let month = self.rng.u32(1..=12);
        match self.rng.u32(..24) {
            0 => (key::STUDY_DATE, format!("2023{month:02}01-2023{month:02}31")),
            1 => (key::STUDY_DATE, format!("2023{month:02}15-")),
            2 => (key::STUDY_DATE, format!("2023{month:02}{:02}", self.rng.u32(1..=28))),
            3 => (key::STUDY_TIME, "08-12".into()),
            4 => (key::PATIENT_ID, format!("P{}", number / 3 * 10)),
            5 => (key::PATIENT_ID, format!("P{}*", self.rng.u32(1..=9))),
            6 => (key::PATIENT_ID, "P?*0".into()),
            7 => (key::ACCESSION_NUMBER, format!("A{}", number / 2)),
            8 | 9 => (key::PATIENT_NAME, self.pick(&NAMES)),
            10 => (
                key::PATIENT_NAME,
                self.pick(&[
                    "nguy*",
                    "*AN",
                    "Đ?*",
                    "nguyễn v*",
                    "an ngu*",
                    "T*THI*B?NH",
                    "h*",
                    "zz*",
                    "l3 b0",
                    "l4",
                    "*l4*",
                    "l* b9",
                    "Nguyen44 nguyen0",
                ]),
            ),
            11 => (key::MODALITIES_IN_STUDY, self.pick(&["CT", "CT,MR", "C?", "XX"])),
            12 => (key::MODALITY, self.pick(&["CT", "US", "M*"])),
            13 => (key::STUDY_INSTANCE_UID, format!("1.2.{number}\\1.2.{}", number / 2 + 1)),
            14 => (key::SERIES_INSTANCE_UID, self.some_series().as_str().into()),
            15 => {
                let (one, other) = (self.some_instance(), self.some_instance());
                (key::SOP_INSTANCE_UID, format!("{one},{other}"))
            }
            16 => (key::STUDY_DESCRIPTION, self.pick(&["*nao*", "ct so nao", "mri*", "*ngực thẳng", "sieu ?m*"])),
            17 => (key::PATIENT_BIRTH_DATE, format!("19{:02}0{}15", self.rng.u32(50..99), self.rng.u32(1..=9))),
            18 => (key::PATIENT_BIRTH_DATE, "19700101-19891231".into()),
            19 => (key::SERIES_NUMBER, self.rng.u32(..5).to_string()),
            20 => (key::INSTANCE_NUMBER, self.rng.u32(..40).to_string()),
            21 => (key::SOP_CLASS_UID, CLASSES[self.rng.usize(..3)].into()),
            22 => (key::OTHER_PATIENT_IDS, format!("{}{}", self.pick(&["Y", "Z", "N127-", "N128-"]), number / 4)),
            _ => (key::INSTITUTION_NAME, self.pick(&["benh vien*", "*tinh", "Bệnh viện đa khoa tỉnh"])),
        }
    }
}

/// Now and then more of them than are looked at.
fn other_ids(number: u32) -> String {
    let few = format!("X{number}\\Y{}", number / 4);
    if !number.is_multiple_of(5) {
        return few;
    }
    let many: Vec<String> = (2..140).map(|at| format!("N{at}-{}", number / 4)).collect();
    format!("{few}\\{}\\Z{}", many.join("\\"), number / 4)
}

/// The whole dump.
pub(crate) fn dump(index: &dyn index::Index) -> Vec<u8> {
    let mut all = Vec::new();
    index.dump(&mut |bytes| all.extend_from_slice(bytes)).expect("dump");
    all
}

/// The place of a value in a list, which it joins when it is new.
fn rank<T: PartialEq + Clone>(list: &mut Vec<T>, value: &T) -> u16 {
    let at = list.iter().position(|known| known == value).unwrap_or_else(|| {
        list.push(value.clone());
        list.len() - 1
    });
    u16::try_from(at).expect("few")
}

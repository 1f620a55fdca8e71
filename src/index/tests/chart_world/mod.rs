//! A small made-up province of charts: rows as the journal of charts records them, and questions, from one seed.

#![allow(dead_code, reason = "each test uses its part")]

use index::charts::{Born, BornQuery, ChartDriver, ChartEntry, ChartQuery, Charts};
use model::chart::inquiry::{Said, Trait, Waiting};
use model::chart::{
    Answer, BirthDate, ChartBody, ChartKey, ChartKind, ChartRow, Delivery, DeliveryState, Event, EventKind, Finding,
    Handled, Identifiers, Inquiry, Link, Local, Match, Merge, Message, Order, OrderState, Origin, Patient, Performed,
    PerformedState, Priority, Proposal, Question, Read, Report, ReportStatus, Sex, Side, Step, Subscription, Target,
    Term, Ticket, Verdict, Visit, VisitState, Way, term,
};
use model::{AeTitle, Digest, FacilityCode, Lsn, PackId, Role, Uid};
use std::collections::BTreeMap;

const FAMILIES: [&str; 6] = ["Nguyễn", "Nguyễn", "Trần", "Lê", "Phạm", "Đặng"];
const MIDDLES: [&str; 5] = ["Văn", "Thị", "Thanh", "Đình", ""];
const GIVEN: [&str; 12] =
    ["An", "Anh", "Ân", "Hoà", "Hòa", "Hoài", "Thúy", "Nguyên", "Đức", "H'Hen Niê", "Lan=山田", "Bình 45T"];
const BEGINNINGS: [&str; 16] =
    ["NGUYEN", "NGUYE", "TRAN", "VAN", "THI", "AN", "ANH", "HOA", "H", "T", "N", "DANG", "山", "ZZ", "NIE", "45T"];

/// What happened so far and what can happen next.
pub(crate) struct World {
    seed: u64,
    pub(crate) rng: fastrand::Rng,
    pub(crate) lsn: Lsn,
    /// Patients, visits and so on of a facility have numbers up to this.
    size: u32,
    /// Every batch, and the record it ends with.
    pub(crate) history: Vec<(Vec<ChartEntry>, Lsn)>,
    /// The newest of each row.
    pub(crate) rows: BTreeMap<ChartKey, ChartRow>,
    /// Rows that were replaced.
    old: Vec<ChartRow>,
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("it failed with seed {}", self.seed);
        }
    }
}

fn uid(text: &str) -> Uid {
    Uid::parse(text).expect("uid")
}

impl World {
    pub(crate) fn new(seed: u64, size: u32) -> Self {
        let rng = fastrand::Rng::with_seed(seed);
        Self { seed, rng, lsn: 0, size, history: Vec::new(), rows: BTreeMap::new(), old: Vec::new() }
    }

    fn pick(&mut self, list: &[&str]) -> String {
        list[self.rng.usize(..list.len())].to_owned()
    }

    fn one_in(&mut self, n: u32) -> bool {
        self.rng.u32(..n) == 0
    }

    pub(crate) fn facility(&mut self) -> FacilityCode {
        FacilityCode::parse(&self.pick(&["56001", "56002", "79015", "DEMO0"])).expect("code")
    }

    pub(crate) fn kind(&mut self) -> ChartKind {
        ChartKind::ALL[self.rng.usize(..ChartKind::ALL.len())]
    }

    /// A key that may be taken: bare numbers of two facilities and two kinds are often equal, one may begin another.
    pub(crate) fn key(&mut self) -> ChartKey {
        let kind = if self.rng.bool() { ChartKind::Patient } else { self.kind() };
        let id = self.rng.u32(1..=self.size).to_string();
        let id = if kind == ChartKind::Performed { format!("1.2.{id}") } else { id };
        ChartKey::new(kind, self.facility(), &id).expect("a key")
    }

    /// Some records, each of several rows, and the number of the last.
    pub(crate) fn batch(&mut self, records_max: usize) -> (Vec<ChartEntry>, Lsn) {
        let mut batch = Vec::new();
        for _ in 0..self.rng.usize(1..=records_max) {
            self.lsn += 1;
            for _ in 0..self.rng.usize(1..=4) {
                let entry = self.entry();
                batch.push(entry);
            }
        }
        self.history.push((batch.clone(), self.lsn));
        (batch, self.lsn)
    }

    fn entry(&mut self) -> ChartEntry {
        let key = self.key();
        if self.one_in(8) {
            self.rows.remove(&key);
            return ChartEntry::Gone(key);
        }
        if self.one_in(12)
            && let Some(old) = self.old.get(self.rng.usize(..self.old.len().max(1)))
            && self.rows.get(&old.key).is_some_and(|known| known.lsn > old.lsn)
        {
            return ChartEntry::Put(Box::new(old.clone()));
        }
        let created = self.rows.get(&key).map_or(self.lsn, |known| known.created);
        let body = self.body(&key);
        let seal = self.rng.bool().then(|| PackId::new([self.rng.u8(..); 16]));
        let row = ChartRow { key: key.clone(), lsn: self.lsn, created, seal, body };
        self.old.extend(self.rows.insert(key, row.clone()));
        ChartEntry::Put(Box::new(row))
    }

    fn name(&mut self) -> String {
        format!("{} {} {}", self.pick(&FAMILIES), self.pick(&MIDDLES), self.pick(&GIVEN))
    }

    /// Few, so that many rows have one.
    fn moment(&mut self) -> u64 {
        match self.rng.u32(..20) {
            0 => 0,
            1 => u64::MAX,
            _ => 1_700_000_000_000 + self.rng.u64(..40),
        }
    }

    fn number(&mut self) -> String {
        self.rng.u32(1..=self.size).to_string()
    }

    fn patient(&mut self, mrn: &str) -> Patient {
        let national = self.rng.bool().then(|| format!("0560780{:05}", self.rng.u32(..30)));
        let insurance =
            if self.rng.bool() { vec![format!("DN4560123456{:03}", self.rng.u32(..30))] } else { Vec::new() };
        let birth = match self.rng.u32(..3) {
            0 => None,
            1 => Some(format!("{}", 1970 + self.rng.u32(..5))),
            _ => Some(format!("{}0305", 1970 + self.rng.u32(..5))),
        };
        Patient {
            mrn: mrn.into(),
            name: if self.one_in(20) { String::new() } else { self.name() },
            birth: birth.and_then(|text| BirthDate::parse(&text).ok()),
            sex: [Sex::Unknown, Sex::Male, Sex::Female][self.rng.usize(..3)],
            ids: Identifiers { national, insurance, ..Identifiers::default() },
            phones: vec![format!("09050000{}", self.rng.u32(..30))],
            // Now and then one long enough to be compressed by itself.
            address: "Tổ 1, phường Vĩnh Hải ".repeat(if self.one_in(6) { 40 } else { 1 }),
            merged_into: self.one_in(10).then(|| "1".into()),
            changed: self.moment(),
            ..Patient::default()
        }
    }

    fn body(&mut self, key: &ChartKey) -> ChartBody {
        let mrn = self.number();
        match key.kind {
            ChartKind::Patient => ChartBody::Patient(Box::new(self.patient(&key.id))),
            ChartKind::Visit => ChartBody::Visit(Box::new(self.visit(&key.id, mrn))),
            ChartKind::Order => ChartBody::Order(Box::new(self.order(&key.id, mrn))),
            ChartKind::Performed => ChartBody::Performed(Box::new(Performed {
                uid: uid(&key.id),
                state: if self.rng.bool() { PerformedState::InProgress } else { PerformedState::Completed },
                station: AeTitle::parse("CT1").expect("a title"),
                mrn: self.rng.bool().then_some(mrn),
                studies: vec![uid(&format!("1.2.3.{}", self.number())), uid("1.2.3.4")],
                accessions: vec![self.number()],
                order: None,
                start: self.moment(),
                end: None,
                reason: String::new(),
                series: Vec::new(),
                document: serde_json::Map::from_iter([("00400252".to_owned(), serde_json::json!({"vr": "CS"}))]),
            })),
            ChartKind::Report => ChartBody::Report(Box::new(Report {
                number: key.id.clone(),
                mrn,
                visit: self.number(),
                placer: self.number(),
                accession: self.number(),
                study: None,
                discipline: "imaging".into(),
                title: "CT sọ não".into(),
                author: self.name(),
                status: ReportStatus::Final,
                version: 1,
                contents: Vec::new(),
                at: self.moment(),
            })),
            ChartKind::Merge => ChartBody::Merge(Box::new(Merge {
                survivor: mrn,
                former: self.number(),
                before: self.patient("7"),
                at: self.moment(),
                by: "lan".into(),
                through: Vec::new(),
                undone: None,
            })),
            ChartKind::Message => ChartBody::Message(Box::new(self.message(mrn))),
            ChartKind::Match => ChartBody::Match(Box::new(self.judged(mrn))),
            ChartKind::Link => ChartBody::Link(Box::new(self.link(&key.id))),
            ChartKind::Proposal => ChartBody::Proposal(Box::new(self.proposal(mrn))),
            ChartKind::Subscription => ChartBody::Subscription(Box::new(self.subscription())),
            ChartKind::Delivery => ChartBody::Delivery(Box::new(self.delivery())),
            ChartKind::Ticket => ChartBody::Ticket(Box::new(self.ticket(mrn))),
            ChartKind::Inquiry => ChartBody::Inquiry(Box::new(self.inquiry(&key.id))),
            ChartKind::Read => ChartBody::Read(Box::new(self.read())),
        }
    }

    fn visit(&mut self, number: &str, mrn: String) -> Visit {
        let state = if self.rng.bool() { VisitState::Admitted } else { VisitState::Discharged };
        Visit { number: number.into(), mrn, state, begin: self.moment(), ..Visit::default() }
    }

    fn subscription(&mut self) -> Subscription {
        Subscription {
            name: self.name(),
            target: Target::Hl7 { receiver: "his".into() },
            events: [EventKind::Order].into(),
            paused: self.rng.bool(),
            criteria: String::new(),
            by: "lan".into(),
            at: self.moment(),
        }
    }

    fn delivery(&mut self) -> Delivery {
        let states = [DeliveryState::Waiting, DeliveryState::Delivered, DeliveryState::Dead];
        Delivery {
            seq: self.moment(),
            subscription: if self.rng.bool() { String::new() } else { self.number() },
            event: Event {
                kind: EventKind::Order,
                id: self.number(),
                study: None,
                state: "scheduled".into(),
                order: String::new(),
                version: 0,
            },
            at: self.moment(),
            state: states[self.rng.usize(..states.len())],
            tries: 0,
            next: 0,
            ended: 0,
            error: String::new(),
        }
    }

    fn ticket(&mut self, mrn: String) -> Ticket {
        Ticket {
            secret: Digest([self.rng.u8(..4); 32]),
            salt: Digest([1; 32]),
            rounds: 1,
            check: Digest([2; 32]),
            mrn,
            birth: BirthDate::parse("1978").expect("a year"),
            studies: vec![uid(&format!("1.2.3.{}", self.number()))],
            download: self.rng.bool(),
            issued: self.moment(),
            until: self.moment(),
            by: "lan".into(),
            revoked: None,
            opened: self.rng.u32(..3),
            opened_at: 0,
            wrong: 0,
            wrong_at: 0,
        }
    }

    fn inquiry(&mut self, mrn: &str) -> Inquiry {
        let question = Question { number: "056078000001".into(), name: self.name(), birth: None, sex: Sex::Male };
        let waiting = Waiting {
            question: question.clone(),
            id: self.number(),
            since: 0,
            next: self.moment(),
            tries: self.rng.u32(..3),
            faults: 0,
            error: String::new(),
            given_up: self.one_in(3),
        };
        let (said, at) = (if self.rng.bool() { Said::Verified } else { Said::Differs }, self.moment());
        let answer = Answer { question, said, fields: [Trait::Name].into(), by: "verifier.example".into(), at };
        let (waits, answered) = (self.rng.bool(), self.rng.bool());
        Inquiry { mrn: mrn.into(), waiting: waits.then_some(waiting), answer: answered.then_some(answer) }
    }

    fn read(&mut self) -> Read {
        let (first, last) = (self.moment(), self.moment());
        Read {
            by: self.pick(&["viewer", "source:ct1", "launch:56001:lan"]),
            role: Role::Reader,
            home: None,
            title: String::new(),
            to: String::new(),
            purpose: String::new(),
            way: Way::ALL[self.rng.usize(..Way::ALL.len())],
            study: uid(&format!("1.2.3.{}", self.number())),
            patient: 0,
            first,
            last,
            requests: self.rng.u64(..9),
            objects: self.rng.u64(..9),
            addresses: Vec::new(),
            more: self.rng.bool(),
        }
    }

    fn link(&mut self, mrn: &str) -> Link {
        let person = self.rng.bool().then(|| self.number());
        let (due, at) = (self.one_in(3), self.moment());
        Link { mrn: mrn.into(), person, at, due, ..Link::default() }
    }

    fn proposal(&mut self, mrn: String) -> Proposal {
        let local = |facility, mrn| Local { facility, mrn };
        let (one, two) = (local(self.facility(), mrn), local(self.facility(), self.number()));
        Proposal { finding: Finding::Open, ..Proposal::of(&one, &two, self.moment()) }
    }

    fn judged(&mut self, mrn: String) -> Match {
        Match {
            study: uid(&format!("1.2.3.{}", self.number())),
            patient: 0,
            mrn: self.rng.bool().then_some(mrn),
            placer: self.number(),
            verdict: if self.rng.bool() { Verdict::Matched } else { Verdict::Mismatch },
            why: Vec::new(),
            of_study: Side::default(),
            accession: None,
            modalities: [self.number()].into(),
            of_order: None,
            complete: self.rng.bool(),
            by: None,
            before: None,
            acts: Vec::new(),
            opened: None,
            moved: 0,
            at: self.moment(),
        }
    }

    fn order(&mut self, placer: &str, mrn: String) -> Order {
        let step = Step { id: "1".into(), start: self.moment(), ..Step::default() };
        Order {
            placer: placer.into(),
            filler: String::new(),
            mrn,
            visit: self.number(),
            accession: self.number(),
            sent_accession: "dài hơn mười sáu chữ ".repeat(if self.one_in(4) { 9 } else { 0 }),
            study: uid(&format!("1.2.3.{}", self.number())),
            procedure_id: String::new(),
            procedure: "X-quang ngực thẳng".into(),
            procedure_code: None,
            requesting: String::new(),
            service: String::new(),
            referring: String::new(),
            priority: Priority::Routine,
            location: String::new(),
            reason: String::new(),
            patient_state: String::new(),
            weight: String::new(),
            alerts: String::new(),
            pregnancy: None,
            steps: if self.rng.bool() { vec![step] } else { Vec::new() },
            state: if self.rng.bool() { OrderState::Scheduled } else { OrderState::Completed },
            placed: self.moment(),
            images: None,
            complete: None,
            course: model::chart::Course::default(),
        }
    }

    fn message(&mut self, mrn: String) -> Message {
        let why = "no patient".to_owned();
        let control = if self.one_in(5) { "a\0b".into() } else { self.number() };
        Message {
            origin: Origin { source: "mllp:HIS".into(), sender: String::new(), control, digest: Digest([1; 32]) },
            kind: "ADT^A01".into(),
            mrn: self.rng.bool().then_some(mrn),
            text: "MSH|^~\\&|HIS\r".repeat(self.rng.usize(1..80)),
            handled: if self.rng.bool() { Handled::Done } else { Handled::Refused { why } },
            acknowledged: "AA".into(),
            remarks: Vec::new(),
            at: self.moment(),
            handled_at: 0,
            waiting: Vec::new(),
        }
    }

    /// A question, mostly one that has an answer.
    pub(crate) fn query(&mut self) -> ChartQuery {
        let (kind, driver) = if self.rng.bool() {
            let kind = if self.one_in(20) { self.kind() } else { ChartKind::Patient };
            let words = (0..self.rng.usize(0..4)).map(|_| self.pick(&BEGINNINGS)).collect();
            (kind, ChartDriver::Words(words))
        } else {
            let row = self.rows.values().nth(self.rng.usize(..self.rows.len().max(1)));
            let known = row.map(|row| (row.key.kind, term::terms(&row.body)));
            let known = known.and_then(|(kind, found)| Some((kind, found.get(self.rng.usize(..found.len()))?.clone())));
            let (kind, term, value) = match known {
                Some((kind, found)) if !self.one_in(10) => (kind, found.term, found.value),
                _ => (self.kind(), Term::Mrn, " 1 ".into()),
            };
            (kind, ChartDriver::Equal(term, value))
        };
        let facilities = match self.rng.u32(..6) {
            0..=2 => None,
            3 | 4 => Some([self.facility()].into()),
            _ => Some((0..self.rng.usize(..4)).map(|_| self.facility()).collect()),
        };
        let moments = match self.rng.u32(..4) {
            0 => Some((self.moment(), self.moment())),
            1 => Some((0, self.moment())),
            _ => None,
        };
        let years = self.rng.bool().then(|| (1970 + self.rng.u16(..5), 1970 + self.rng.u16(..5)));
        ChartQuery { kind, facilities, driver, moments, years }
    }

    /// A question for those born at a time, mostly one that somebody was born at.
    pub(crate) fn born(&mut self) -> BornQuery {
        let births = self.rows.values().filter_map(|row| match &row.body {
            ChartBody::Patient(patient) => patient.birth,
            _ => None,
        });
        let births: Vec<BirthDate> = births.collect();
        let birth = births.get(self.rng.usize(..births.len().max(1)));
        let born = match birth.and_then(|birth| birth.whole()) {
            Some(day) if self.rng.bool() => Born::Day(day),
            _ if self.one_in(5) => Born::Year(0),
            _ => Born::Year(birth.map_or(1970, |birth| birth.year())),
        };
        let words = (0..self.rng.usize(0..3)).map(|_| self.pick(&BEGINNINGS)).collect();
        let facilities = self.one_in(3).then(|| (0..self.rng.usize(..4)).map(|_| self.facility()).collect());
        BornQuery { born, words, facilities }
    }

    pub(crate) fn beginning(&mut self) -> String {
        if self.one_in(5) { String::new() } else { self.pick(&BEGINNINGS) }
    }
}

/// The whole dump.
pub(crate) fn dump(index: &dyn Charts) -> Vec<u8> {
    let mut all = Vec::new();
    index.dump(&mut |bytes| all.extend_from_slice(bytes)).expect("dump");
    all
}

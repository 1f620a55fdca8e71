//! Studies and orders find each other, and what contradicts is for a person.

use super::orders::{asks_for, new, update};
use super::{HOME, asks, merge, patient};
use crate::charts::{ChartError, ToDecide};
use crate::retain::Correcting;
use crate::tests::{Bench, CT, EXPLICIT_LE, short, uid, until};
use crate::{Form, IngestError};
use model::attribute::key;
use model::chart::matched::Decision;
use model::chart::{
    BirthDate, Change, ChartBody, ChartKey, ChartKind, Handled, Match, Order, OrderAction, OrderState, OrderUpdate,
    PatientUpdate, Sex, Verdict, VisitUpdate,
};
use model::correction::Why;
use model::retention::{Person, StudyRef};
use model::{Attributes, Caller, Via};
use std::time::Duration;

/// What a modality writes into an image.
#[derive(Clone)]
pub(super) struct Image {
    pub(super) study: &'static str,
    pub(super) sop: &'static str,
    pub(super) accession: &'static str,
    pub(super) mrn: &'static str,
    pub(super) birth: &'static str,
    pub(super) sex: &'static str,
    /// Accession Number of its Request Attributes Sequence.
    pub(super) requested: &'static str,
}

impl Default for Image {
    fn default() -> Self {
        Self { study: "1.2.3", sop: "1.2.3.1.1", accession: "", mrn: "1", birth: "", sex: "", requested: "" }
    }
}

impl Image {
    fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let series = format!("{}.1", self.study);
        let elements: [((u16, u16), &[u8; 2], &str); 12] = [
            ((8, 0x16), b"UI", CT),
            ((8, 0x18), b"UI", self.sop),
            ((8, 0x20), b"DA", "20270115"),
            ((8, 0x50), b"SH", self.accession),
            ((8, 0x60), b"CS", "CT"),
            ((0x10, 0x10), b"PN", "LE^AN"),
            ((0x10, 0x20), b"LO", self.mrn),
            ((0x10, 0x30), b"DA", self.birth),
            ((0x10, 0x40), b"CS", self.sex),
            ((0x20, 0x0d), b"UI", self.study),
            ((0x20, 0x0e), b"UI", &series),
            ((0x20, 0x13), b"IS", "1"),
        ];
        for (tag, vr, value) in elements {
            short(tag, vr, value, &mut out);
        }
        if !self.requested.is_empty() {
            let mut item = Vec::new();
            short((8, 0x50), b"SH", self.requested, &mut item);
            let length = u32::try_from(item.len()).expect("short");
            out.extend([0x40, 0x00, 0x75, 0x02]);
            out.extend(b"SQ\0\0");
            out.extend((length + 8).to_le_bytes());
            out.extend([0xfe, 0xff, 0x00, 0xe0]);
            out.extend(length.to_le_bytes());
            out.extend(item);
        }
        out
    }
}

/// What a hospital's system and its modalities do to an archive.
pub(super) trait Hospital {
    fn send(&self, image: &Image) -> Result<(), IngestError>;
    fn says(&self, control: &str, changes: Vec<Change>);
    fn order(&self, placer: &str) -> Order;
    fn judged(&self, study: &str) -> Option<Match>;
    fn listed(&self, verdict: Verdict) -> Vec<String>;
    fn until_judged(&self, study: &str, verdict: Verdict) -> Match;
}

impl Hospital for Bench {
    fn send(&self, image: &Image) -> Result<(), IngestError> {
        let form =
            Form::DataSet { sop_class: uid(CT), sop_instance: uid(image.sop), transfer_syntax: uid(EXPLICIT_LE) };
        let mut incoming = self.archive.receive(&self.source(), Via::CStore, form)?;
        incoming.write(&image.bytes())?;
        incoming.finish().map(drop)
    }

    fn says(&self, control: &str, changes: Vec<Change>) {
        let receipt = self.archive.charts().receive(HOME, asks(control, changes)).expect("received");
        assert_eq!(receipt.handled, Handled::Done, "{control}");
    }

    fn order(&self, placer: &str) -> Order {
        let key = ChartKey::new(ChartKind::Order, HOME, placer).expect("a key");
        match self.archive.charts().get(&Caller::operator(), &key).expect("answers").map(|row| row.body) {
            Some(ChartBody::Order(order)) => *order,
            other => panic!("{other:?}"),
        }
    }

    fn judged(&self, study: &str) -> Option<Match> {
        let key = ChartKey::new(ChartKind::Match, HOME, study).expect("a key");
        match self.archive.charts().get(&Caller::operator(), &key).expect("answers").map(|row| row.body)? {
            ChartBody::Match(one) => Some(*one),
            other => panic!("{other:?}"),
        }
    }

    fn listed(&self, verdict: Verdict) -> Vec<String> {
        let page = self.archive.charts().matches(&Caller::operator(), verdict, None, 100).expect("answers");
        page.rows.into_iter().map(|row| row.key.id).collect()
    }

    fn until_judged(&self, study: &str, verdict: Verdict) -> Match {
        until("it is judged", || self.judged(study).is_some_and(|one| one.verdict == verdict));
        self.judged(study).expect("judged")
    }
}

/// An archive with a patient who has an order, and another patient.
pub(super) fn hospital(order: OrderUpdate) -> Bench {
    let bench = Bench::new();
    let born = Change::Patient(PatientUpdate {
        mrn: "1".into(),
        birth: Some(BirthDate::parse("1978").ok()),
        sex: Some(Sex::Male),
        ..PatientUpdate::default()
    });
    bench.says("p", vec![patient("1", "Lê An"), born, patient("2", "Trần Bình")]);
    bench.says("o", asks_for(order));
    bench
}

pub(super) fn with_accession(placer: &str, accession: &str) -> OrderUpdate {
    OrderUpdate { accession: Some(accession.into()), ..new(placer) }
}

#[test]
fn an_order_whose_studies_all_go_is_what_it_was_before_the_first_one() {
    let bench = hospital(with_accession("P1", "A1"));
    let order = bench.order("P1");
    bench.send(&Image { accession: "A1", ..Image::default() }).expect("stored");
    bench.until_judged("1.2.3", Verdict::Matched);
    bench.send(&Image { study: "1.2.4", sop: "1.2.4.1.1", accession: "A1", ..Image::default() }).expect("stored");
    bench.until_judged("1.2.4", Verdict::Matched);
    for study in ["1.2.3", "1.2.4"] {
        assert!(bench.order("P1").images.is_some(), "{study}");
        bench.archive.unmatch_study(HOME, &uid(study), "hoa").expect("unmatched");
    }
    assert_eq!(bench.order("P1"), order);
    // Taken back in turn, the order has its images until the last one goes again.
    for study in ["1.2.4", "1.2.3"] {
        bench.archive.undo_match(HOME, &uid(study), "hoa").expect("taken back");
    }
    for study in ["1.2.4", "1.2.3"] {
        assert!(bench.order("P1").images.is_some(), "{study}");
        bench.archive.unmatch_study(HOME, &uid(study), "hoa").expect("unmatched");
    }
    assert_eq!(bench.order("P1"), order);
}

#[test]
fn images_of_an_order_bring_it_on_until_their_study_is_complete() {
    let bench = hospital(with_accession("P1", "A1"));
    bench.send(&Image { accession: "A1", birth: "19780305", sex: "M", ..Image::default() }).expect("stored");
    let one = bench.until_judged("1.2.3", Verdict::Matched);
    assert_eq!((one.placer.as_str(), one.why.join(" ").as_str(), one.complete), ("P1", "by Accession Number", false));
    let order = bench.order("P1");
    assert!(order.images.is_some() && order.complete.is_none());
    assert_eq!(order.state, OrderState::InProgress);
    // What was not complete is looked at again after a restart.
    let bench = bench.reopen_with(|options| options.quiet_after = Duration::from_millis(1));
    until("the order is complete", || bench.order("P1").complete.is_some());
    let complete = bench.order("P1");
    assert_eq!((complete.state, complete.images), (OrderState::Completed, order.images));
    assert!(bench.judged("1.2.3").expect("judged").complete);
}

#[test]
fn an_order_that_comes_after_its_images_finds_them() {
    // Another order makes the facility one that orders.
    let bench = hospital(with_accession("P1", "A1"));
    bench.send(&Image { accession: "A2", ..Image::default() }).expect("stored");
    let image = Image { study: "1.2.4", sop: "1.2.4.1.1", ..Image::default() };
    bench.send(&image).expect("stored");
    bench.send(&Image { study: "1.2.5", sop: "1.2.5.1.1", requested: "A1", ..image.clone() }).expect("stored");
    // A console wrote what is no patient's number: nobody waits for that.
    const NO_NUMBER: &str = "a\u{1}b";
    bench.send(&Image { study: "1.2.6", sop: "1.2.6.1.1", mrn: NO_NUMBER, ..image }).expect("stored");
    bench.until_judged("1.2.6", Verdict::Unmatched);
    bench.until_judged("1.2.3", Verdict::Unmatched);
    bench.until_judged("1.2.4", Verdict::Unmatched);
    let requested = bench.until_judged("1.2.5", Verdict::Matched);
    assert_eq!((requested.placer.as_str(), requested.why.join(" ")), ("P1", "by the request in its images".into()));
    bench.says("2", asks_for(with_accession("P2", "A2")));
    bench.says("3", asks_for(OrderUpdate { study: Some(uid("1.2.4")), ..new("P3") }));
    assert_eq!(bench.until_judged("1.2.3", Verdict::Matched).placer, "P2");
    assert_eq!(bench.until_judged("1.2.4", Verdict::Matched).placer, "P3");
    assert_eq!(bench.listed(Verdict::Unmatched), ["1.2.6"]);
    assert!(["P1", "P2", "P3"].iter().all(|placer| bench.order(placer).images.is_some()));
}

#[test]
fn an_archive_without_orders_lists_no_study_as_one_without() {
    let bench = Bench::new();
    bench.says("p", vec![patient("1", "Lê An")]);
    bench.send(&Image::default()).expect("stored");
    until("it is found", || bench.archive.index().max_seq() > 0);
    // The order that names it comes when the study was passed over.
    bench.says("o", asks_for(OrderUpdate { study: Some(uid("1.2.3")), ..new("P1") }));
    bench.until_judged("1.2.3", Verdict::Matched);
    assert!(bench.listed(Verdict::Unmatched).is_empty());
}

#[test]
fn another_patient_is_set_aside_with_both_sides_until_somebody_decides() {
    let bench = hospital(with_accession("P1", "A1"));
    let before = bench.order("P1");
    bench.send(&Image { accession: "A1", mrn: "2", ..Image::default() }).expect("stored");
    let one = bench.until_judged("1.2.3", Verdict::Mismatch);
    assert_eq!((one.of_study.mrn.as_str(), one.of_order.as_ref().map(|side| side.mrn.as_str())), ("2", Some("1")));
    assert!(one.why.iter().any(|why| why == "another patient's number"), "{:?}", one.why);
    assert_eq!(bench.listed(Verdict::Mismatch), ["1.2.3"]);
    assert_eq!(bench.order("P1"), before, "the order knows nothing of images that may not be its own");
    // A person decides, and takes it back.
    let study = uid("1.2.3");
    assert!(bench.archive.match_study(HOME, &study, "P9", "lan").is_err(), "there is no such order");
    assert!(bench.archive.match_study(HOME, &study, "P1", " ").is_err(), "nobody decides nothing");
    bench.archive.match_study(HOME, &study, "P1", "lan").expect("matched");
    let one = bench.judged("1.2.3").expect("judged");
    assert_eq!((one.verdict, one.by.as_deref(), one.placer.as_str()), (Verdict::Matched, Some("lan"), "P1"));
    assert!(bench.order("P1").images.is_some());
    bench.archive.unmatch_study(HOME, &study, "lan").expect("unmatched");
    assert_eq!(bench.order("P1"), before, "as it was");
    assert_eq!(bench.listed(Verdict::Unmatched), ["1.2.3"]);
    // Left to the archive it is as before; the two numbers become one, and it fits.
    bench.archive.leave_match(HOME, &study, "lan").expect("left");
    bench.until_judged("1.2.3", Verdict::Mismatch);
    bench.says("m", vec![merge("1", "2")]);
    bench.until_judged("1.2.3", Verdict::Matched);
    assert!(bench.order("P1").images.is_some());
}

#[test]
fn images_of_an_order_whose_visit_was_another_patients_are_set_aside() {
    let bench = hospital(OrderUpdate { visit: Some("V1".into()), ..with_accession("P1", "A1") });
    let visit = VisitUpdate { number: "V1".into(), mrn: "1".into(), ..VisitUpdate::default() };
    bench.says("v", vec![Change::Visit(visit)]);
    bench.send(&Image { accession: "A1", ..Image::default() }).expect("stored");
    bench.until_judged("1.2.3", Verdict::Matched);
    // The console had the wrong patient in its worklist: what it wrote into the images is still there.
    bench.says("m", vec![Change::MoveVisit { visit: "V1".into(), mrn: "2".into() }]);
    let one = bench.until_judged("1.2.3", Verdict::Mismatch);
    assert_eq!((one.of_study.mrn.as_str(), one.of_order.as_ref().map(|side| side.mrn.as_str())), ("1", Some("2")));
    assert!(bench.order("P1").images.is_none(), "images of another patient count for the order");
}

#[test]
fn another_sex_or_year_is_set_aside_and_a_correction_mends_it() {
    for (birth, sex, why) in [("19790101", "M", "another year of birth"), ("", "F", "another sex")] {
        let bench = hospital(with_accession("P1", "A1"));
        bench.send(&Image { accession: "A1", birth, sex, ..Image::default() }).expect("stored");
        let one = bench.until_judged("1.2.3", Verdict::Mismatch);
        assert_eq!(one.why.first().map(String::as_str), Some(why));
        let set = Attributes::from([(key::PATIENT_SEX, "M".into()), (key::PATIENT_BIRTH_DATE, "19780305".into())]);
        let wanted = Correcting {
            study: StudyRef { facility: HOME, study: uid("1.2.3"), patient: 0 },
            set,
            clear: Vec::new(),
            why: Why::Correct,
            by: Person::parse("lan").expect("a person"),
            reason: "wrong at the console".into(),
        };
        bench.archive.correct_study(&wanted).expect("corrected");
        bench.until_judged("1.2.3", Verdict::Matched);
    }
}

#[test]
fn a_canceled_order_takes_no_images_by_itself() {
    let bench = hospital(with_accession("P1", "A1"));
    bench.says("c", asks_for(update(OrderAction::Cancel, "P1")));
    bench.send(&Image { accession: "A1", ..Image::default() }).expect("stored");
    let one = bench.until_judged("1.2.3", Verdict::Mismatch);
    assert_eq!(one.why.first().map(String::as_str), Some("the order was canceled"));
    assert_eq!(bench.order("P1").images, None);
}

#[test]
fn orders_without_images_are_a_list() {
    let bench = hospital(with_accession("P1", "A1"));
    bench.says("2", asks_for(with_accession("P2", "A2")));
    bench.says("3", asks_for(with_accession("P3", "A3")));
    bench.says("4", asks_for(update(OrderAction::Cancel, "P3")));
    let listed = |before: u64| -> Vec<String> {
        let page = bench.archive.charts().orders_without_study(&Caller::operator(), before, None, 100);
        let mut placers: Vec<String> = page.expect("answers").rows.into_iter().map(|row| row.key.id).collect();
        placers.sort();
        placers
    };
    assert_eq!(listed(u64::MAX), ["P1", "P2"]);
    assert!(listed(1).is_empty(), "none was to begin that early");
    bench.send(&Image { accession: "A1", ..Image::default() }).expect("stored");
    bench.until_judged("1.2.3", Verdict::Matched);
    assert_eq!(listed(u64::MAX), ["P2"]);
    let nobody = Caller { facilities: Some([super::other()].into()), ..Caller::operator() };
    let page = bench.archive.charts().orders_without_study(&nobody, u64::MAX, None, 100).expect("answers");
    assert!(page.rows.is_empty(), "another hospital's");
}

#[test]
fn decisions_are_taken_back_one_after_the_other_exactly() {
    let bench = hospital(with_accession("P1", "A1"));
    bench.says("2", asks_for(with_accession("P2", "A2")));
    let fresh = bench.order("P2");
    bench.send(&Image { accession: "A1", birth: "19780305", sex: "M", ..Image::default() }).expect("stored");
    let by_archive = bench.until_judged("1.2.3", Verdict::Matched);
    let (study, held) = (uid("1.2.3"), bench.order("P1"));
    let conflict = bench.archive.undo_match(HOME, &study, "hoa").expect_err("nobody decided anything");
    assert!(matches!(conflict, ChartError::Conflict(_)), "{conflict}");
    // Time passes: a stamp that is made anew would be another.
    bench.archive.match_study(HOME, &study, "P2", "lan").expect("matched");
    assert!(bench.order("P1").images.is_none() && bench.order("P2").images.is_some());
    let theirs = (bench.judged("1.2.3").expect("judged"), bench.order("P2"));
    bench.archive.unmatch_study(HOME, &study, "mai").expect("unmatched");
    assert_eq!((bench.order("P2"), bench.listed(Verdict::Unmatched)), (fresh.clone(), vec!["1.2.3".to_owned()]));
    let decided = |facility| {
        let page = bench.archive.charts().to_decide(&Caller::operator(), ToDecide::Decided, facility, None, 10);
        page.expect("answers").rows.len()
    };
    assert_eq!((decided(None), decided(Some(HOME)), decided(Some(super::other()))), (1, 1, 0));
    let act = bench.archive.undo_match(HOME, &study, "hoa").expect("taken back");
    assert_eq!((act.act, act.by.as_str()), (Decision::Unmatch, "mai"));
    assert_eq!((bench.judged("1.2.3").expect("judged"), bench.order("P2")), theirs);
    let act = bench.archive.undo_match(HOME, &study, "hoa").expect("taken back");
    assert_eq!((act.act, act.by.as_str()), (Decision::Match, "lan"));
    assert_eq!((bench.judged("1.2.3").expect("judged"), bench.order("P1")), (by_archive, held));
    assert_eq!((bench.order("P2"), decided(None)), (fresh, 0));
}

#[test]
fn a_study_left_to_the_archive_comes_back_to_who_decided() {
    let bench = hospital(with_accession("P1", "A1"));
    bench.send(&Image { accession: "A1", mrn: "2", ..Image::default() }).expect("stored");
    bench.until_judged("1.2.3", Verdict::Mismatch);
    let study = uid("1.2.3");
    bench.archive.unmatch_study(HOME, &study, "lan").expect("unmatched");
    let decided = bench.judged("1.2.3").expect("judged");
    bench.archive.leave_match(HOME, &study, "mai").expect("left");
    let again = bench.until_judged("1.2.3", Verdict::Mismatch);
    assert_eq!((again.by, again.acts.len()), (None, 2), "what people decided is not forgotten");
    bench.archive.undo_match(HOME, &study, "hoa").expect("taken back");
    assert_eq!(bench.judged("1.2.3").expect("judged"), decided);
}

#[test]
fn a_study_of_another_patient_becomes_the_right_ones_and_comes_back() {
    let bench = hospital(with_accession("P1", "A1"));
    bench.send(&Image { accession: "A1", mrn: "2", birth: "19990101", sex: "F", ..Image::default() }).expect("stored");
    bench.until_judged("1.2.3", Verdict::Mismatch);
    let (study, by) =
        (StudyRef { facility: HOME, study: uid("1.2.3"), patient: 0 }, Person::parse("lan").expect("one"));
    let values = || {
        let row = bench.archive.index().studies(&study.study).expect("answers").pop().expect("there");
        (row.attributes.clone(), row.corrected.values.clone())
    };
    let received = values();
    assert!(bench.archive.assigning(&study, "9", by.clone(), "x".into()).is_err(), "charts know no such patient");
    assert!(bench.archive.taking_back(&study, by.clone(), "x".into()).is_err(), "nothing was corrected");
    let said = Attributes::from([(key::PATIENT_SEX, "O".into())]);
    let earlier = Correcting {
        study: study.clone(),
        set: said,
        clear: Vec::new(),
        why: Why::Correct,
        by: by.clone(),
        reason: "typed wrongly".into(),
    };
    bench.archive.correct_study(&earlier).expect("corrected");
    let before = values();
    let wanted = bench.archive.assigning(&study, "1", by.clone(), "wrong patient chosen".into()).expect("a correction");
    bench.archive.correct_study(&wanted).expect("corrected");
    let (now, _) = values();
    let of = |key| now.get(&key).map(String::as_str);
    assert_eq!(
        (of(key::PATIENT_ID), of(key::PATIENT_NAME), of(key::PATIENT_SEX)),
        (Some("1"), Some("Lê^An"), Some("M"))
    );
    bench.until_judged("1.2.3", Verdict::Matched);
    let back = bench.archive.taking_back(&study, by, "it was right".into()).expect("a correction");
    bench.archive.correct_study(&back).expect("taken back");
    assert_eq!(values(), before);
    assert_ne!(before, received);
    bench.until_judged("1.2.3", Verdict::Mismatch);
}

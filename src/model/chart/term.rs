//! By what a chart row is found: values that follow from the row alone, normalised once.
//!
//! Deliberately not here: how an engine keeps them, and which of them a question is driven by.

use super::identifier::{NumberKind, insurance_tail, kind_of, plain};
use super::{
    ChartBody, Delivery, Handled, Link, Match, Order, OrderState, Origin, Patient, Proposal, Report, link, person,
};
use crate::name;
use serde::{Deserialize, Serialize};

/// A kind of value. The code is part of keys on disk; codes are only ever added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Term {
    /// Every row of its kind: the value is empty.
    Any,
    /// The patient's number a row is about: of patients, visits, orders, performed steps, results, messages.
    Mrn,
    /// Personal identification number, 12 digits.
    National,
    /// Its last four digits.
    NationalTail,
    /// Old identity card or passport.
    Card,
    /// The last ten digits of an insurance number.
    Insurance,
    /// Telephone number, digits.
    Phone,
    /// A word of the patient's folded name; its payload is in [`Found::payload`].
    NameWord,
    /// Accession Number, ours or the sender's.
    Accession,
    /// Filler order number.
    Filler,
    /// Placer order number, of performed steps, results and matches.
    Placer,
    /// Study Instance UID.
    Study,
    /// Visit number, of orders and results.
    Visit,
    /// State of an order, visit, performed step, subscription or delivery to one; of a study beside its order, the
    /// verdict; of an inquiry one of [`super::inquiry::STATES`]. An order also has [`WITHOUT_IMAGES`], a study
    /// [`INCOMPLETE`] and [`DECIDED`], while that holds.
    State,
    /// Source and control id of a message; also [`same`], by which its repetition is known.
    Control,
    /// What became of a message: `done`, `parked`, `refused`.
    Handled,
    /// The number a merged patient had: of merges.
    Former,
    /// The person a patient belongs to: of links.
    Person,
    /// Facility and number of either patient: of proposals.
    Side,
    /// Name, whole day of birth and sex of a patient in one value, see [`person::identity`].
    Identity,
    /// All words of a patient's folded name in alphabetical order, alone and behind the year of birth, see [`whole`].
    Whole,
    /// Subscription and state of a delivery, see [`super::Delivery::lane`]; of those to a subscription its id as well.
    Subscription,
    /// Digest of a link's secret: of tickets.
    Secret,
    /// Who reads: of reads.
    Reader,
}

impl Term {
    /// The code in keys.
    pub const fn code(self) -> u8 {
        match self {
            Self::Any => 1,
            Self::Mrn => 2,
            Self::National => 3,
            Self::NationalTail => 4,
            Self::Card => 5,
            Self::Insurance => 6,
            Self::Phone => 7,
            Self::NameWord => 8,
            Self::Accession => 9,
            Self::Filler => 10,
            Self::Placer => 11,
            Self::Study => 12,
            Self::Visit => 13,
            Self::State => 14,
            Self::Control => 15,
            Self::Handled => 16,
            Self::Former => 17,
            Self::Person => 18,
            Self::Side => 19,
            Self::Identity => 20,
            Self::Whole => 21,
            Self::Subscription => 22,
            Self::Secret => 26,
            Self::Reader => 27,
        }
    }
}

/// Value of [`Term::State`] of an order that was not taken back and of whose study no image came.
pub const WITHOUT_IMAGES: &str = "without-images";
/// Value of [`Term::State`] of a study that was not complete when its order was looked for.
pub const INCOMPLETE: &str = "incomplete";

/// Value of [`Term::State`] of a study of whose order a person decided, until all of it is taken back.
pub const DECIDED: &str = "decided";

/// Longest value in bytes; longer ones are cut at a character, and whoever asks cuts as well.
pub const VALUE_MAX: usize = 96;

/// So much of a name is looked for, in bytes: each of its words keeps all of that beside it.
const NAME_MAX: usize = 256;

/// A value as it is kept and asked for: trimmed, at most [`VALUE_MAX`] bytes. Doing it again changes nothing.
pub fn value(text: &str) -> String {
    cut(text.trim(), VALUE_MAX).trim_end().to_owned()
}

/// The beginning of a text, at most so many bytes, whole letters.
fn cut(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text.get(..end).unwrap_or_default()
}

/// A value by which a row is found, with what an engine keeps beside it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// Kind.
    pub term: Term,
    /// Value.
    pub value: String,
    /// Kept beside it, so that rows are not read to be refused: for [`Term::NameWord`] the year of birth (2 bytes, big
    /// endian, 0 when unknown) and the folded name, as much of it as is looked for; else nothing.
    pub payload: Vec<u8>,
}

impl Found {
    fn new(term: Term, text: &str) -> Self {
        Self { term, value: value(text), payload: Vec::new() }
    }
}

/// Everything a row is found by, sorted, without repetitions. Every row has [`Term::Any`].
pub fn terms(body: &ChartBody) -> Vec<Found> {
    let mut found = vec![Found::new(Term::Any, "")];
    if let Some(mrn) = body.mrn() {
        found.push(Found::new(Term::Mrn, mrn));
    }
    match body {
        ChartBody::Patient(patient) => of_patient(patient, &mut found),
        ChartBody::Visit(visit) => found.push(Found::new(Term::State, &format!("{:?}", visit.state).to_lowercase())),
        ChartBody::Order(order) => of_order(order, &mut found),
        ChartBody::Performed(step) => {
            found.push(Found::new(Term::State, step.state.term()));
            found.extend(step.studies.iter().map(|study| Found::new(Term::Study, study.as_str())));
            found.extend(step.accessions.iter().map(|number| Found::new(Term::Accession, number)));
            found.extend(step.order.iter().map(|(placer, _)| Found::new(Term::Placer, placer)));
        }
        ChartBody::Report(report) => of_report(report, &mut found),
        ChartBody::Merge(merge) => found.push(Found::new(Term::Former, &merge.former)),
        ChartBody::Message(message) => {
            found.push(Found::new(Term::Control, &control(&message.origin.source, &message.origin.control)));
            found.push(Found::new(Term::Control, &same(&message.origin)));
            let handled = match message.handled {
                Handled::Done => "done",
                Handled::Parked { .. } => "parked",
                Handled::Refused { .. } => "refused",
            };
            found.push(Found::new(Term::Handled, handled));
        }
        ChartBody::Match(one) => of_match(one, &mut found),
        ChartBody::Link(link) => of_link(link, &mut found),
        ChartBody::Proposal(proposal) => of_proposal(proposal, &mut found),
        ChartBody::Subscription(one) => {
            found.push(Found::new(Term::State, if one.paused { "paused" } else { "active" }));
        }
        ChartBody::Delivery(one) => of_delivery(one, &mut found),
        ChartBody::Ticket(ticket) => {
            found.push(Found::new(Term::Secret, &ticket.secret.to_string()));
            found.extend(ticket.studies.iter().map(|study| Found::new(Term::Study, study.as_str())));
        }
        ChartBody::Inquiry(inquiry) => found.push(Found::new(Term::State, inquiry.state())),
        ChartBody::Read(read) => {
            found.push(Found::new(Term::Reader, &read.by));
            found.push(Found::new(Term::Study, read.study.as_str()));
        }
    }
    found.retain(|one| one.term == Term::Any || !one.value.is_empty());
    found.sort_unstable();
    found.dedup();
    found
}

/// The value of [`Term::Control`].
pub fn control(source: &str, control: &str) -> String {
    value(&format!("{control} {source}"))
}

/// The value of [`Term::Control`] that one message and its repetitions have, and no other.
pub fn same(origin: &Origin) -> String {
    let mut hasher = blake3::Hasher::new();
    for text in [&origin.source, &origin.sender, &origin.control] {
        hasher.update(text.as_bytes()).update(&[0]);
    }
    format!("={}", hasher.update(&origin.digest.0).finalize().to_hex())
}

fn of_patient(patient: &Patient, found: &mut Vec<Found>) {
    let ids = &patient.ids;
    // Twelve digits in place of an insurance number are the person's own number, too.
    let insured = ids.insurance.iter().map(|number| plain(number));
    let own = insured.filter(|number| kind_of(number) == NumberKind::National);
    for number in ids.national.as_deref().map(plain).into_iter().chain(own) {
        found.push(Found::new(Term::National, &number));
        if kind_of(&number) == NumberKind::National {
            found.push(Found::new(Term::NationalTail, number.get(8..).unwrap_or_default()));
        }
    }
    let cards = ids.old_card.iter().chain(&ids.passport);
    found.extend(cards.map(|card| Found::new(Term::Card, &plain(card))));
    let insured = ids.insurance.iter().map(|number| insurance_tail(number).unwrap_or_else(|| plain(number)));
    found.extend(insured.map(|number| Found::new(Term::Insurance, &number)));
    found.extend(patient.phones.iter().map(|phone| Found::new(Term::Phone, phone)));
    // A patient who was merged away is found by its numbers, not by its name: the survivor answers for both.
    if patient.merged_into.is_none() {
        found.extend(person::identity(patient).map(|value| Found::new(Term::Identity, &value)));
        let folded = name::fold_names(name::searched(cut(&patient.name, NAME_MAX)));
        let year = patient.birth.map_or(0, super::BirthDate::year);
        let words = name::words(&folded);
        found.extend([None, Some(year)].map(|year| Found::new(Term::Whole, &whole(&words, year))));
        let payload = [year.to_be_bytes().as_slice(), folded.as_bytes()].concat();
        let word = |word: String| Found { payload: payload.clone(), ..Found::new(Term::NameWord, &word) };
        found.extend(words.into_iter().map(word));
    }
}

/// The value of [`Term::Whole`] of a name's words, in any order; with the year of birth, 0 for one that is not known. Empty
/// without words.
pub fn whole(words: &[String], year: Option<u16>) -> String {
    let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
    words.sort_unstable();
    words.dedup();
    let name = words.join(" ");
    match year {
        Some(year) if !name.is_empty() => value(&format!("{year:04} {name}")),
        _ => value(&name),
    }
}

fn of_order(order: &Order, found: &mut Vec<Found>) {
    found.push(Found::new(Term::Accession, &order.accession));
    found.push(Found::new(Term::Accession, &order.sent_accession));
    found.push(Found::new(Term::Filler, &order.filler));
    found.push(Found::new(Term::Study, order.study.as_str()));
    found.push(Found::new(Term::Visit, &order.visit));
    found.push(Found::new(Term::State, order.state.name()));
    let taken_back = matches!(order.state, OrderState::Canceled | OrderState::Discontinued);
    if order.images.is_none() && !taken_back {
        found.push(Found::new(Term::State, WITHOUT_IMAGES));
    }
}

fn of_match(one: &Match, found: &mut Vec<Found>) {
    found.push(Found::new(Term::Study, one.study.as_str()));
    found.push(Found::new(Term::Placer, &one.placer));
    found.push(Found::new(Term::State, one.verdict.name()));
    if !one.complete {
        found.push(Found::new(Term::State, INCOMPLETE));
    }
    if !one.acts.is_empty() {
        found.push(Found::new(Term::State, DECIDED));
    }
}

fn of_delivery(one: &Delivery, found: &mut Vec<Found>) {
    found.push(Found::new(Term::Subscription, &Delivery::lane(&one.subscription, one.state)));
    if !one.subscription.is_empty() {
        found.push(Found::new(Term::Subscription, &one.subscription));
        found.push(Found::new(Term::State, one.state.name()));
    }
}

fn of_link(link: &Link, found: &mut Vec<Found>) {
    found.extend(link.person.iter().map(|person| Found::new(Term::Person, person)));
    if link.due {
        found.push(Found::new(Term::State, link::DUE));
    }
    if link.apart.is_some() {
        found.push(Found::new(Term::State, link::APART));
    }
}

fn of_proposal(proposal: &Proposal, found: &mut Vec<Found>) {
    found.extend(proposal.sides().iter().map(|side| Found::new(Term::Side, &side.side())));
    found.push(Found::new(Term::State, proposal.state()));
}

fn of_report(report: &Report, found: &mut Vec<Found>) {
    found.push(Found::new(Term::Placer, &report.placer));
    found.push(Found::new(Term::Accession, &report.accession));
    found.push(Found::new(Term::Visit, &report.visit));
    found.extend(report.study.iter().map(|study| Found::new(Term::Study, study.as_str())));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::{BirthDate, Identifiers};

    #[test]
    fn a_patient_is_found_by_words_and_numbers() {
        let patient = Patient {
            mrn: " 22015985 ".into(),
            name: "Nguyễn Văn An".into(),
            birth: BirthDate::parse("1978").ok(),
            ids: Identifiers {
                national: Some("056 078 000 001".into()),
                insurance: vec!["DN4560123456789".into()],
                ..Identifiers::default()
            },
            ..Patient::default()
        };
        let found = terms(&ChartBody::Patient(Box::new(patient.clone())));
        let has = |term: Term, text: &str| found.iter().any(|one| one.term == term && one.value == text);
        assert!(has(Term::Any, "") && has(Term::Mrn, "22015985") && has(Term::National, "056078000001"));
        assert!(has(Term::NationalTail, "0001") && has(Term::Insurance, "0123456789"));
        assert!(["NGUYEN", "VAN", "AN"].iter().all(|word| has(Term::NameWord, word)));
        let word = found.iter().find(|one| one.value == "VAN").expect("a word");
        assert_eq!(word.payload, [&1978u16.to_be_bytes()[..], b"NGUYEN VAN AN"].concat());
        let merged = Patient { merged_into: Some("1".into()), ..patient };
        let found = terms(&ChartBody::Patient(Box::new(merged)));
        assert!(found.iter().all(|one| one.term != Term::NameWord) && found.iter().any(|one| one.term == Term::Mrn));
    }

    #[test]
    fn a_name_without_end_is_found_by_its_beginning_and_costs_no_more() {
        // Short words, and letters that are words of four letters (U+3300 and the next ones).
        let letters = (0x3300..=0x3357).filter_map(char::from_u32).map(String::from);
        for name in [(0..2_000).map(|number| format!("ê{number}")).collect::<Vec<_>>(), letters.collect()] {
            let patient = Patient { mrn: "1".into(), name: name.join(" "), ..Patient::default() };
            let found = terms(&ChartBody::Patient(Box::new(patient)));
            let first = name::fold(&name[1]);
            assert!(found.iter().any(|one| one.term == Term::NameWord && one.value == first), "{first}");
            let kept: usize = found.iter().map(|one| one.payload.len()).sum();
            assert!(kept < 68 << 10, "{kept} bytes beside the words of one name");
        }
    }

    #[test]
    fn a_long_value_is_cut_at_a_character() {
        assert_eq!(value(&"ễ".repeat(50)).len(), 96);
        assert_eq!(value("  a  "), "a");
        let cut = value(&"abc ".repeat(50));
        assert_eq!((cut.len(), value(&cut) == cut), (95, true));
    }
}

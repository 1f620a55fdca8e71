//! Which studies a link asks for, bounded by what it was signed for.

use super::claim::{Claim, Refusal};
use super::message::Whose;
use super::parameter;
use super::sessions::Session;
use crate::charts::studies::{self, by_text, by_uids, moment, value};
use crate::problem::{Kind, Problem};
use archive::charts::{ChartError, Charts};
use archive::{Archive, FoundRow, Under};
use model::attribute::key;
use model::chart::{Order, Term};
use model::query::Condition;
use model::{Date, FacilityCode, Uid};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Most studies or accession numbers of one address, and most studies looked at under one UID.
const LIST_MAX: usize = 50;
const MINUTES_OF_DAY: i64 = 1_440;

/// What a link asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Studies by UID or accession number; without any, the patient's.
    studies: Vec<Uid>,
    accessions: Vec<String>,
    /// The patient's number; whatever is found must be the patient's.
    patient: Option<String>,
    /// Who gave that number, where it is told.
    issuers: Vec<String>,
    /// Whatever is found must be among these, where there are any.
    only_studies: Vec<Uid>,
    only_accession: Option<String>,
    /// Whatever is found must be images of this patient.
    whose: Option<Whose>,
    most_recent: Option<usize>,
    modalities: Vec<String>,
    /// Earliest and latest moment of a study.
    lower: Option<Bound>,
    upper: Option<Bound>,
}

/// What a link leads to now.
pub(super) struct Led {
    /// Studies, the newest first.
    pub(super) rows: Vec<FoundRow>,
    /// How many studies of the patient it names are not among them: another patient has images under their UIDs, too.
    pub(super) withheld: usize,
}

/// A moment that an address names, `YYYYMMDDHHMMSS`, and its minutes east of UTC, where it says them.
type Bound = (String, Option<i64>);

fn bad(name: &str, what: &str) -> Problem {
    Problem::new(Kind::BadRequest, what).at(format!("parameter {name}"))
}

impl Asked {
    /// Reads the parameters of the request (RAD-106); what the token says stands for what they leave out.
    pub(super) fn of(query: &[(String, String)], claim: &Claim) -> Result<Self, Problem> {
        let text = |name: &str| parameter(query, name).filter(|value| !value.is_empty());
        let list = |name: &str| -> Vec<&str> {
            text(name)
                .into_iter()
                .flat_map(|text| text.split(','))
                .map(str::trim)
                .filter(|one| !one.is_empty())
                .collect()
        };
        let of_patient = match text("requestType") {
            Some(kind) if kind.eq_ignore_ascii_case("STUDY") => false,
            Some(kind) if kind.eq_ignore_ascii_case("PATIENT") => true,
            None => claim.studies.is_empty() && claim.accession.is_none(),
            Some(_) => return Err(bad("requestType", "requestType is STUDY or PATIENT")),
        };
        let uids =
            list("studyUID").into_iter().map(|uid| Uid::parse(uid).map_err(|_| bad("studyUID", "a UID is needed")));
        let mut studies = uids.collect::<Result<Vec<_>, _>>()?;
        let mut accessions: Vec<String> = list("accessionNumber").into_iter().map(str::to_owned).collect();
        if studies.len() > LIST_MAX || accessions.len() > LIST_MAX {
            return Err(bad("studyUID", "an address names at most 50 studies"));
        }
        let (patient, issuers) = patient(text("patientID"), claim)?;
        same(&studies, &accessions, claim)?;
        if of_patient {
            (studies, accessions) = (Vec::new(), Vec::new());
            if patient.is_none() {
                return Err(bad("patientID", "a request for a patient names one"));
            }
        } else if studies.is_empty() && accessions.is_empty() {
            (studies, accessions) = (claim.studies.clone(), claim.accession.iter().cloned().collect());
            if studies.is_empty() && accessions.is_empty() {
                return Err(bad("studyUID", "a request for a study names one by studyUID or accessionNumber"));
            }
        }
        let most_recent = text("mostRecentResults").map(|text| text.parse::<usize>().ok().filter(|most| *most > 0));
        let wrong = || bad("mostRecentResults", "a whole number from 1");
        Ok(Self {
            studies,
            accessions,
            patient,
            issuers,
            only_studies: claim.studies.clone(),
            only_accession: claim.accession.clone(),
            whose: claim.whose.clone(),
            most_recent: most_recent.map(|most| most.ok_or_else(wrong)).transpose()?,
            modalities: list("modalitiesInStudy").into_iter().map(str::to_ascii_uppercase).collect(),
            lower: text("lowerDateTime").map(|text| bound("lowerDateTime", text, '0')).transpose()?,
            upper: text("upperDateTime").map(|text| bound("upperDateTime", text, '9')).transpose()?,
        })
    }

    /// Whether it is about one patient.
    pub(super) const fn names_patient(&self) -> bool {
        self.patient.is_some()
    }

    /// Whether the patient's number is one of this facility: its code, or what one of its sources says for it.
    pub(super) fn check_issuer(&self, facility: FacilityCode, known: &[&str]) -> Result<(), Refusal> {
        let fits = |issuer: &String| issuer.eq_ignore_ascii_case(facility.as_str()) || known.contains(&issuer.as_str());
        if self.issuers.iter().all(fits) { Ok(()) } else { Err(Refusal::Other) }
    }
}

/// Patient's number and who gave it, of an address or of the token; they must not differ.
fn patient(asked: Option<&str>, claim: &Claim) -> Result<(Option<String>, Vec<String>), Problem> {
    let split = |text: &str| {
        let mut parts = text.split('^');
        let number = parts.next().unwrap_or_default().trim().to_owned();
        let issuer = parts.nth(2).unwrap_or_default().split('&').next().unwrap_or_default().trim().to_owned();
        (number, issuer)
    };
    let (asked, signed) = (asked.map(split), claim.patient.as_deref().map(split));
    if let (Some((asked, _)), Some((signed, _))) = (&asked, &signed)
        && asked != signed
    {
        return Err(Refusal::Other.problem());
    }
    // An issuer in the address counts as much as one in the token: a wrong one opens nothing.
    let issuers = [&asked, &signed].into_iter().flatten().map(|(_, issuer)| issuer.clone());
    let issuers: Vec<String> = issuers.filter(|issuer| !issuer.is_empty()).collect();
    let number = asked.or(signed).map(|(number, _)| number).filter(|number| !number.is_empty());
    Ok((number, issuers))
}

/// Whether an address asks for what its token was signed for, where both name the same kind of thing.
fn same(studies: &[Uid], accessions: &[String], claim: &Claim) -> Result<(), Problem> {
    let other_study = !claim.studies.is_empty() && studies.iter().any(|study| !claim.studies.contains(study));
    let signed = claim.accession.as_ref();
    if other_study || signed.is_some_and(|signed| accessions.iter().any(|number| number != signed)) {
        return Err(Refusal::Other.problem());
    }
    Ok(())
}

/// A moment as `2026-11-28T08:30:00+07:00`, or the beginning of it; `fill` stands for what is left out.
fn bound(name: &str, text: &str, fill: char) -> Result<Bound, Problem> {
    let wrong = || bad(name, "a date and time, as 2026-11-28T08:30:00+07:00");
    let (day, rest) = text.split_at_checked(10).unwrap_or((text, ""));
    let day = day.replace('-', "");
    if Date::parse_da(&day).is_none() {
        return Err(wrong());
    }
    let rest = rest.trim_start_matches(['T', 't', ' ']);
    let end = rest.find(['+', '-', 'Z', 'z', ' ']).unwrap_or(rest.len());
    let (time, zone) = rest.split_at_checked(end).ok_or_else(wrong)?;
    let digits: String = time.split('.').next().unwrap_or_default().replace(':', "");
    if digits.len() > 6 || digits.len() % 2 == 1 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let full = if fill == '9' { "235959" } else { "000000" };
    let moment = format!("{day}{digits}{}", full.get(digits.len()..).unwrap_or_default());
    // A plus sign that was not encoded came as a space.
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let hours = zone.get(1..).unwrap_or_default().replace(':', "");
    let number = |from: usize, to: usize| hours.get(from..to).and_then(|part| part.parse::<i64>().ok());
    let minutes = match zone.get(..1) {
        None => None,
        Some("Z" | "z") => Some(0),
        Some(_) => Some(sign * (number(0, 2).ok_or_else(wrong)? * 60 + number(2, 4).unwrap_or(0))),
    };
    Ok((moment, minutes))
}

/// A bound on the clock of the facility.
fn local((moment, zone): &Bound, utc_offset: i8) -> String {
    let here = i64::from(utc_offset) * 60;
    let Some(shift) = zone.map(|zone| here - zone).filter(|shift| *shift != 0) else { return moment.clone() };
    let number = |from: usize, to: usize| moment.get(from..to).and_then(|part| part.parse::<i64>().ok()).unwrap_or(0);
    let Some(day) = moment.get(..8).and_then(Date::parse_da) else { return moment.clone() };
    let minutes = number(8, 10) * 60 + number(10, 12) + shift;
    let (days, minute) = (minutes.div_euclid(MINUTES_OF_DAY), minutes.rem_euclid(MINUTES_OF_DAY));
    let day = day.plus_days(days);
    let date = format!("{:04}{:02}{:02}", day.year(), day.month(), day.day());
    format!("{date}{:02}{:02}{:02}", minute / 60, minute % 60, number(12, 14))
}

/// Studies that orders with an accession number name. Images are shown also while charts answer nothing: what an order
/// would add is missing then.
fn ordered(archive: &Archive, session: &Session, number: &str) -> Vec<Uid> {
    let orders = studies::orders(archive.charts(), &session.caller, session.facility, Term::Accession, number);
    orders.unwrap_or_default().into_iter().map(|order| order.study).collect()
}

/// The studies of a session as of now, newest first.
pub(super) fn studies(archive: &Arc<Archive>, session: &Session, asked: &Asked) -> Result<Led, Problem> {
    let (caller, facility) = (&session.caller, session.facility);
    let numbers = asked.patient.as_ref().map(|mrn| {
        crate::charts::numbers(archive.charts(), caller, facility, mrn).unwrap_or_else(|_| vec![mrn.clone()])
    });
    let mut withheld = BTreeSet::new();
    let questions = questions(archive, session, asked, numbers.as_deref(), &mut withheld)?;
    let (mut rows, _) = studies::any(archive, caller, facility, questions)?;
    narrow(archive, session, asked, &mut rows);
    if let Some(numbers) = &numbers {
        rows = of_one(archive, session, rows, numbers, &mut withheld)?;
    }
    if let Some(whose) = &asked.whose {
        let mut theirs = Vec::new();
        for row in rows {
            if of_whose(archive, session, whose, &row.study)? == Standing::Theirs {
                theirs.push(row);
            }
        }
        rows = theirs;
    }
    rows.truncate(asked.most_recent.unwrap_or(usize::MAX));
    Ok(Led { rows, withheld: withheld.len() })
}

/// What is looked for. Of a link that is for one patient a UID that a crowd has is never read: it is withheld.
fn questions(
    archive: &Archive,
    session: &Session,
    asked: &Asked,
    numbers: Option<&[String]>,
    withheld: &mut BTreeSet<Uid>,
) -> Result<Vec<Condition>, Problem> {
    let mut questions = Vec::new();
    let mut uids: BTreeSet<Uid> = asked.studies.iter().cloned().collect();
    for number in &asked.accessions {
        questions.extend(by_text(key::ACCESSION_NUMBER, number));
        uids.extend(ordered(archive, session, number));
    }
    if questions.is_empty() && uids.is_empty() {
        for number in numbers.into_iter().flatten() {
            questions.extend(by_text(key::PATIENT_ID, number));
            // Without charts it is missing what a person said is the patient's.
            let matched = studies::matched(archive.charts(), &session.caller, session.facility, number);
            uids.extend(matched.unwrap_or_default());
        }
    }
    if numbers.is_none() && asked.whose.is_none() {
        questions.extend(by_uids(uids));
        return Ok(questions);
    }
    for uid in uids {
        let under = archive.under(&session.caller, session.facility, &uid, LIST_MAX, &[])?;
        if under.studies <= LIST_MAX {
            questions.extend(by_uids([uid]));
        } else if numbers.is_some() && asked.studies.contains(&uid) {
            withheld.insert(uid);
        }
    }
    Ok(questions)
}

/// Leaves of the studies what the address asks for and the token was signed for.
fn narrow(archive: &Archive, session: &Session, asked: &Asked, rows: &mut Vec<FoundRow>) {
    let only = asked.only_accession.as_ref().map(|number| ordered(archive, session, number));
    let utc_offset = archive.options().forward.utc_offset;
    let (lower, upper) = (
        asked.lower.as_ref().map(|bound| local(bound, utc_offset)),
        asked.upper.as_ref().map(|bound| local(bound, utc_offset)),
    );
    rows.retain(|row| {
        let at = moment(row);
        let number = value(row, key::ACCESSION_NUMBER);
        (asked.only_studies.is_empty() || asked.only_studies.contains(&row.study))
            && asked.only_accession.as_ref().is_none_or(|signed| {
                number == signed || only.as_ref().is_some_and(|ordered| ordered.contains(&row.study))
            })
            && (asked.modalities.is_empty()
                || value(row, key::MODALITIES_IN_STUDY)
                    .split('\\')
                    .any(|one| asked.modalities.iter().any(|m| m == one)))
            && lower.as_ref().is_none_or(|lower| at >= *lower)
            && upper.as_ref().is_none_or(|upper| !at.is_empty() && at <= *upper)
    });
}

/// Whose the images under a UID are, for a link that is for one patient: a viewer asks by the UID, and whoever sees it
/// may see all that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// The patient's alone.
    Theirs,
    /// The patient's and somebody else's.
    Shared,
    /// Of so many that nobody looks at all of them.
    Crowd,
    /// Somebody else's, or there are none.
    Others,
    /// Charts do not answer what was said of them.
    Unknown,
}

/// Whether a number is one of the patient whom a link is for.
type Is<'a> = &'a dyn Fn(&str) -> Result<bool, ChartError>;

fn said(row: &FoundRow) -> &str {
    value(row, key::PATIENT_ID).trim()
}

fn standing(archive: &Archive, session: &Session, study: &Uid, is: Is<'_>) -> Result<Standing, Problem> {
    let under = archive.under(&session.caller, session.facility, study, LIST_MAX, &[key::PATIENT_ID])?;
    if under.studies > LIST_MAX {
        return Ok(Standing::Crowd);
    }
    let decided = decided(archive.charts(), session.facility, study, &under, is);
    Ok(decided.unwrap_or(Standing::Unknown))
}

/// Whose they are by what a person said of them, or else by what they say.
fn decided(
    charts: &Charts,
    facility: FacilityCode,
    study: &Uid,
    under: &Under,
    is: Is<'_>,
) -> Result<Standing, ChartError> {
    if let [one] = under.rows.as_slice()
        && let Some(mrn) = charts.assigned(facility, study, said(one))?
    {
        let is_theirs = is(mrn.trim())?;
        if is_theirs && under.studies == 1 {
            return Ok(Standing::Theirs);
        }
        // Of several it was perhaps said of one that is hidden.
        let perhaps = under.studies > 1 && (is_theirs || is(said(one))?);
        return Ok(if perhaps { Standing::Shared } else { Standing::Others });
    }
    let (mut theirs, mut others) = (false, false);
    for row in &under.rows {
        if is(said(row))? {
            theirs = true;
        } else {
            others = true;
        }
    }
    Ok(match (theirs, others) {
        (true, false) => Standing::Theirs,
        (true, true) => Standing::Shared,
        (false, _) => Standing::Others,
    })
}

fn of_numbers(archive: &Archive, session: &Session, numbers: &[String], study: &Uid) -> Result<Standing, Problem> {
    let is = |number: &str| -> Result<bool, ChartError> { Ok(numbers.iter().any(|one| one == number)) };
    standing(archive, session, study, &is)
}

/// The same for a link in a message, which is for a patient under any of their numbers.
fn of_whose(archive: &Archive, session: &Session, whose: &Whose, study: &Uid) -> Result<Standing, Problem> {
    let is = |number: &str| -> Result<bool, ChartError> {
        if number.is_empty() {
            return Ok(whose.is(""));
        }
        let numbers = crate::charts::numbers(archive.charts(), &session.caller, session.facility, number)?;
        Ok(numbers.iter().any(|one| whose.is(one)))
    };
    standing(archive, session, study, &is)
}

/// The studies of the patient with these numbers under whose UIDs nobody else has images. Withheld are the patient's that
/// are somebody else's, too, and those of which nobody knows.
fn of_one(
    archive: &Archive,
    session: &Session,
    rows: Vec<FoundRow>,
    numbers: &[String],
    withheld: &mut BTreeSet<Uid>,
) -> Result<Vec<FoundRow>, Problem> {
    let mut theirs = Vec::new();
    for row in rows {
        let standing = of_numbers(archive, session, numbers, &row.study)?;
        let is_withheld = match standing {
            Standing::Theirs | Standing::Others => false,
            Standing::Shared | Standing::Unknown => true,
            Standing::Crowd => numbers.iter().any(|one| one == said(&row)),
        };
        if is_withheld {
            withheld.insert(row.study);
        } else if standing == Standing::Theirs {
            theirs.push(row);
        }
    }
    Ok(theirs)
}

/// Which of the studies that a session has open are no longer those of its patient alone; what nobody can tell now stays
/// open. What the address narrows besides is no reason to close what somebody is looking at.
pub(super) fn gone(
    archive: &Archive,
    session: &Session,
    asked: &Asked,
    open: BTreeSet<Uid>,
) -> Result<BTreeSet<Uid>, Problem> {
    let is_over = |standing: Standing| !matches!(standing, Standing::Theirs | Standing::Unknown);
    let numbers = asked
        .patient
        .as_ref()
        .map(|mrn| crate::charts::numbers(archive.charts(), &session.caller, session.facility, mrn))
        .transpose()?;
    let mut gone = BTreeSet::new();
    for study in open {
        let mut over = false;
        if let Some(numbers) = &numbers {
            over = is_over(of_numbers(archive, session, numbers, &study)?);
        }
        if let Some(whose) = &asked.whose {
            over = over || is_over(of_whose(archive, session, whose, &study)?);
        }
        if over {
            gone.insert(study);
        }
    }
    Ok(gone)
}

/// The same with the orders of each study, as far as charts answer.
pub(super) fn with_orders(
    archive: &Arc<Archive>,
    session: &Session,
    mut listed: Vec<(FoundRow, Vec<Order>)>,
) -> Vec<(FoundRow, Vec<Order>)> {
    for (row, orders) in &mut listed {
        let found =
            studies::orders(archive.charts(), &session.caller, session.facility, Term::Study, row.study.as_str());
        *orders = found.unwrap_or_default();
        orders.retain(|order| order.study == row.study);
    }
    listed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_in_any_usual_form_and_told_by_the_facilitys_clock() {
        for (text, fill, here) in [
            ("2026-11-28", '0', "20261128000000"),
            ("2026-11-28", '9', "20261128235959"),
            ("2026-11-28T08:30", '9', "20261128083059"),
            ("2026-11-28T08:30:05.123+07:00", '0', "20261128083005"),
            ("2026-11-28T08:30:05 07:00", '0', "20261128083005"),
            ("2026-11-28T20:30:05Z", '0', "20261129033005"),
            ("2026-11-28T02:00:00+0900", '0', "20261128000000"),
        ] {
            let bound = bound("lowerDateTime", text, fill).unwrap_or_else(|_| panic!("{text}"));
            assert_eq!(local(&bound, 7), here, "{text}");
        }
        for wrong in ["", "now", "2026-11-31", "2026-11-28T8", "2026-11-28T08:30+x"] {
            assert!(bound("lowerDateTime", wrong, '0').is_err(), "{wrong}");
        }
    }
}

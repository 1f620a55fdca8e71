//! Which studies a link asks for, bounded by what it was signed for.

use super::claim::{Claim, Refusal};
use super::message::Whose;
use super::parameter;
use super::sessions::Session;
use crate::charts::studies::{self, STUDIES_MAX, by_text, by_uids, moment, value};
use crate::problem::{Kind, Problem};
use archive::{Archive, Found, FoundRow};
use model::attribute::key;
use model::chart::{Order, Term};
use model::query::{Condition, Query};
use model::{Date, FacilityCode, Level, Scope, Uid};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Most studies or accession numbers of one address.
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

/// The studies of a session as of now, newest first.
pub(super) fn studies(archive: &Arc<Archive>, session: &Session, asked: &Asked) -> Result<Led, Problem> {
    let (caller, facility) = (&session.caller, session.facility);
    let charts = archive.charts();
    // Images are shown also while charts answer nothing: what an order would add is missing then.
    let ordered = |number: &String| -> Vec<Uid> {
        let orders = studies::orders(charts, caller, facility, Term::Accession, number).unwrap_or_default();
        orders.into_iter().map(|order| order.study).collect()
    };
    let numbers = asked
        .patient
        .as_ref()
        .map(|mrn| crate::charts::numbers(charts, caller, facility, mrn).unwrap_or_else(|_| vec![mrn.clone()]));
    let mut questions: Vec<Condition> = by_uids(asked.studies.iter().cloned()).into_iter().collect();
    for number in &asked.accessions {
        questions.extend(by_text(key::ACCESSION_NUMBER, number));
        questions.extend(by_uids(ordered(number)));
    }
    if questions.is_empty() {
        let numbers = numbers.iter().flatten();
        questions.extend(numbers.filter_map(|number| by_text(key::PATIENT_ID, number)));
    }
    let (mut rows, _) = studies::any(archive, caller, facility, questions)?;
    let only: Option<BTreeSet<Uid>> = asked.only_accession.as_ref().map(|number| ordered(number).into_iter().collect());
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
    let mut withheld = 0;
    if let Some(numbers) = &numbers {
        (rows, withheld) = of_one(archive, session, rows, numbers)?;
    }
    if let Some(whose) = &asked.whose {
        let mut theirs = Vec::new();
        for row in rows {
            if is_of(archive, session, whose, &row.study)? {
                theirs.push(row);
            }
        }
        rows = theirs;
    }
    rows.truncate(asked.most_recent.unwrap_or(usize::MAX));
    Ok(Led { rows, withheld })
}

/// Studies under these UIDs, of every patient who has images there.
fn under(archive: &Archive, session: &Session, uids: impl IntoIterator<Item = Uid>) -> Result<Found, Problem> {
    let query = Query { level: Level::Study, conditions: by_uids(uids).into_iter().collect(), fuzzy: false };
    Ok(archive.find(&session.caller, Scope::Facility(session.facility), &query, 0, STUDIES_MAX)?)
}

/// The studies of the patient with these numbers under whose UIDs nobody else has images, and how many are the patient's
/// and somebody else's: a viewer asks by the UID, and whoever sees it may see the other.
fn of_one(
    archive: &Archive,
    session: &Session,
    mut rows: Vec<FoundRow>,
    numbers: &[String],
) -> Result<(Vec<FoundRow>, usize), Problem> {
    let (mut theirs, mut others) = (BTreeSet::new(), BTreeSet::new());
    for some in rows.chunks(LIST_MAX) {
        let found = under(archive, session, some.iter().map(|row| row.study.clone()))?;
        for row in found.rows {
            let number = value(&row, key::PATIENT_ID).trim();
            let is_theirs = numbers.iter().any(|one| one == number);
            let side = if is_theirs { &mut theirs } else { &mut others };
            side.insert(row.study);
        }
        if found.more {
            // Of these nobody knows.
            others.extend(some.iter().map(|row| row.study.clone()));
        }
    }
    rows.retain(|row| theirs.contains(&row.study) && !others.contains(&row.study));
    Ok((rows, theirs.intersection(&others).count()))
}

/// Whether all images under a UID are of the patient that a link is for, under any number of theirs, by what they say or by
/// what a person said of them: two patients may have images under one UID, and whoever sees it sees both.
fn is_of(archive: &Archive, session: &Session, whose: &Whose, study: &Uid) -> Result<bool, Problem> {
    let (caller, facility) = (&session.caller, session.facility);
    let found = under(archive, session, [study.clone()])?;
    if found.more {
        // Of those behind nobody knows.
        return Ok(false);
    }
    let (found, charts) = (found.rows, archive.charts());
    let is = |number: &str| match number {
        "" => whose.is(""),
        number => {
            let numbers = crate::charts::numbers(charts, caller, facility, number);
            numbers.unwrap_or_else(|_| vec![number.to_owned()]).iter().any(|one| whose.is(one))
        }
    };
    let said = |row: &FoundRow| value(row, key::PATIENT_ID).trim().to_owned();
    let assigned = match found.as_slice() {
        [one] => charts.assigned(facility, study, &said(one)),
        _ => Ok(None),
    };
    Ok(match assigned {
        // A person said whose they are, whatever they say themselves.
        Ok(Some(mrn)) => is(mrn.trim()),
        Ok(None) => found.iter().all(|row| is(&said(row))),
        // Nobody knows what was said of them.
        Err(_) => false,
    })
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

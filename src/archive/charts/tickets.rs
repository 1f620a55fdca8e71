//! Links that patients open themselves, with what only they know: issued, counted, revoked, and what they show.
//!
//! A link outlives names: it is found by the digest of its secret, in whatever facility, and leads to studies by their
//! UIDs. What it shows is judged anew whenever it is asked: studies that are still the patient's.
//! Deliberately not here: addresses, pages and sessions.

mod secret;

use super::writing::Writing;
use super::{ChartError, Charts};
use crate::find::FoundRow;
use crate::open::Archive;
use index::charts::{ChartDriver, ChartQuery};
use model::attribute::key;
use model::chart::{BirthDate, ChartBody, ChartKey, ChartKind, ChartRow, Term, Ticket, TicketState, term};
use model::query::{Condition, Query, Test};
use model::{AttrKey, Caller, Date, FacilityCode, Level, Role, Scope, Uid};
use std::collections::BTreeSet;

/// Most studies of one link.
pub const SHARED_MAX: usize = 50;
/// Days that a link is valid where whoever issues it says nothing.
const DAYS: u32 = 365;
const HOUR_MS: i64 = 3_600_000;

/// How links for patients are given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareOptions {
    /// A link is valid for so many years at most.
    pub years_max: u16,
    /// After so many wrong tries in a row it opens no more.
    pub tries: u32,
}

impl Default for ShareOptions {
    fn default() -> Self {
        Self { years_max: 15, tries: 10 }
    }
}

/// What a link is asked for.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct WantedShare {
    /// Of this facility.
    pub facility: FacilityCode,
    /// These studies,
    pub studies: Vec<Uid>,
    /// those of this Accession Number,
    pub accession: Option<String>,
    /// and those of this visit; all of one patient.
    pub visit: Option<String>,
    /// The last day it is valid, by the facility's clock.
    pub until: Option<Date>,
    /// In place of it: for so many days.
    pub days: Option<u32>,
    /// Whether DICOM files may be taken along.
    pub download: bool,
    /// Who issues it.
    pub by: String,
}

/// A link as it is given away: nobody knows secret and code afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedShare {
    /// Its number.
    pub id: String,
    /// What stands in its address.
    pub secret: String,
    /// What is told apart from it.
    pub code: String,
    /// What is kept.
    pub ticket: Ticket,
}

/// What came of opening a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShareAnswer {
    /// It is open.
    Opened(ChartKey, Box<Ticket>),
    /// Everything was right, and its time is over.
    Expired,
    /// Everything was right, and it was taken back.
    Revoked,
    /// There is none, or something was wrong, or no try counts now.
    Refused,
}

/// What a link shows now.
#[derive(Debug, Clone, Default)]
pub struct SharedStudies {
    /// The studies that are there and still the patient's, newest first.
    pub rows: Vec<FoundRow>,
    /// How many were destroyed when their time was over.
    pub destroyed: usize,
    /// How many are not shown: rejected, or another patient's by now.
    pub withheld: usize,
}

/// Who reads for a patient: what is shown to everybody in the facility, no more.
fn reader(facility: FacilityCode) -> Caller {
    Caller {
        name: "share".into(),
        role: Role::Reader,
        home: Some(facility),
        facilities: Some(BTreeSet::from([facility])),
        sees_rejected: false,
    }
}

fn text(row: &FoundRow, key: AttrKey) -> &str {
    row.attributes.get(&key).map_or("", |text| text.trim())
}

fn invalid(what: &str) -> ChartError {
    ChartError::Invalid(what.into())
}

fn ticket(writing: &Writing<'_>, id: &str) -> Result<Ticket, ChartError> {
    match writing.row(ChartKind::Ticket, id)? {
        Some(ChartBody::Ticket(ticket)) => Ok(*ticket),
        _ => Err(ChartError::Unknown("link")),
    }
}

impl Charts {
    /// Milliseconds since 1970 UTC by which links are valid.
    pub fn share_clock(&self) -> u64 {
        self.now_ms()
    }

    fn ticket_of(&self, secret: &str) -> Result<Option<(ChartKey, Ticket)>, ChartError> {
        let driver = ChartDriver::Equal(Term::Secret, secret::name(secret).to_string());
        let query = ChartQuery { kind: ChartKind::Ticket, facilities: None, driver, moments: None, years: None };
        let row = self.find(&Caller::operator(), &query, None, 1)?.rows.into_iter().next();
        Ok(row.and_then(|row| match row.body {
            ChartBody::Ticket(ticket) => Some((row.key, *ticket)),
            _ => None,
        }))
    }

    /// The link of a number, where the caller may see it.
    ///
    /// # Errors
    /// [`ChartError::Unknown`] where there is none or not for the caller.
    pub fn ticket(&self, caller: &Caller, key: &ChartKey) -> Result<Ticket, ChartError> {
        match self.get(caller, key)?.map(|row| row.body) {
            Some(ChartBody::Ticket(ticket)) => Ok(*ticket),
            _ => Err(ChartError::Unknown("link")),
        }
    }

    /// Takes a link back: it opens no more, and what it opened ends. Once more changes nothing.
    ///
    /// # Errors
    /// [`ChartError::Unknown`] where there is none or not for the caller.
    pub fn revoke_ticket(&self, caller: &Caller, key: &ChartKey, by: &str) -> Result<Ticket, ChartError> {
        if !caller.may_see(key.facility) {
            return Err(ChartError::Unknown("link"));
        }
        self.write(key.facility, |writing| {
            let mut ticket = ticket(writing, &key.id)?;
            if ticket.revoked.is_none() {
                ticket.revoked = Some((writing.now(), by.to_owned()));
                writing.put(&key.id, ChartBody::Ticket(Box::new(ticket.clone())))?;
            }
            Ok(ticket)
        })
    }
}

impl Archive {
    /// Issues a link; it is durable on return.
    ///
    /// # Errors
    /// [`ChartError::Unknown`] where a study is not there or not for the caller, [`ChartError::Conflict`] where the
    /// studies are several patients' or the birth date is not known, [`ChartError::Invalid`] for a wrong validity.
    pub fn issue_share(&self, caller: &Caller, wanted: &WantedShare) -> Result<IssuedShare, ChartError> {
        let facility = wanted.facility;
        if !caller.may_see(facility) {
            return Err(ChartError::Unknown("facility"));
        }
        let now = self.charts().now_ms();
        let until = self.valid_until(wanted, now)?;
        let rows = self.rows_to_share(wanted)?;
        let Some(first) = rows.first() else {
            return Err(ChartError::Conflict("no study has come for it yet".into()));
        };
        let number = text(first, key::PATIENT_ID);
        if number.is_empty() {
            return Err(ChartError::Conflict("a study names no patient: correct it first".into()));
        }
        let numbers = self.charts().numbers(&Caller::operator(), facility, number)?;
        if !rows.iter().all(|row| numbers.iter().any(|one| one == text(row, key::PATIENT_ID))) {
            return Err(ChartError::Conflict("the studies are several patients': a link is for one".into()));
        }
        let mrn = numbers.into_iter().next().unwrap_or_else(|| number.to_owned());
        let birth = self.charts().birth_of(facility, &mrn)?.or_else(|| of_images(&rows));
        let birth = birth.ok_or_else(|| {
            ChartError::Conflict(
                "the patient's birth date is not known here, and the link asks for it: enter it".into(),
            )
        })?;
        let (secret, code, salt) = (secret::draw()?, secret::draw_code()?, secret::draw_salt()?);
        let ticket = Ticket {
            secret: secret::name(&secret),
            check: secret::check(&secret, &code, &salt),
            salt,
            rounds: secret::ROUNDS,
            mrn,
            birth,
            studies: rows.into_iter().map(|row| row.study).collect(),
            download: wanted.download,
            issued: now,
            until,
            by: wanted.by.clone(),
            revoked: None,
            opened: 0,
            opened_at: 0,
            wrong: 0,
            wrong_at: 0,
        };
        let id = super::receive::fresh_id(now)?;
        self.charts().make_ready(facility, std::iter::once(ticket.mrn.as_str()));
        self.charts().write(facility, |writing| writing.put(&id, ChartBody::Ticket(Box::new(ticket.clone()))))?;
        Ok(IssuedShare { id, secret, code, ticket })
    }

    /// The first moment at which a link is no longer valid.
    fn valid_until(&self, wanted: &WantedShare, now: u64) -> Result<u64, ChartError> {
        let offset = i64::from(self.options().forward.utc_offset).saturating_mul(HOUR_MS);
        let begin_of = |day: Date| {
            let utc = i64::try_from(day.start_ms()).unwrap_or(i64::MAX).saturating_sub(offset);
            u64::try_from(utc).unwrap_or(0)
        };
        let today = Date::of_ms(now.saturating_add_signed(offset));
        let last = match (wanted.until, wanted.days) {
            (Some(_), Some(_)) => return Err(invalid("give the last day or a number of days, not both")),
            (Some(day), None) => day,
            (None, days) => today.plus_days(i64::from(days.unwrap_or(DAYS))),
        };
        let most = self.options().shares.years_max;
        if last < today {
            return Err(invalid("the link would end before it begins"));
        }
        if last > today.plus_years(most) {
            let what = format!("a link is valid for {most} years at most (share.years_max)");
            return Err(ChartError::Invalid(what));
        }
        Ok(begin_of(last.plus_days(1)))
    }

    /// The studies that a link is asked for.
    fn rows_to_share(&self, wanted: &WantedShare) -> Result<Vec<FoundRow>, ChartError> {
        let facility = wanted.facility;
        if wanted.studies.is_empty() && wanted.accession.is_none() && wanted.visit.is_none() {
            return Err(invalid("a link names studies, an accession number or a visit"));
        }
        let mut studies = wanted.studies.clone();
        for (by, value) in [(Term::Accession, &wanted.accession), (Term::Visit, &wanted.visit)] {
            let Some(value) = value.as_deref() else { continue };
            studies.extend(self.charts().ordered(facility, by, value)?);
        }
        let mut rows = self.rows_of_studies(facility, &studies)?;
        if wanted.studies.iter().any(|study| !rows.iter().any(|row| row.study == *study)) {
            return Err(ChartError::Unknown("study"));
        }
        if let Some(number) = wanted.accession.as_deref().filter(|number| !number.contains('\\')) {
            let condition = Condition { key: key::ACCESSION_NUMBER, test: Test::Equal(number.trim().to_owned()) };
            for row in self.rows_by(facility, condition)? {
                if !rows.iter().any(|one| one.study == row.study) {
                    rows.push(row);
                }
            }
        }
        if rows.len() > SHARED_MAX {
            return Err(ChartError::Invalid(format!("a link is for {SHARED_MAX} studies at most")));
        }
        Ok(rows)
    }

    /// How many patients of a facility have images under a Study Instance UID, whether these are shown or not.
    fn patients_of(&self, facility: FacilityCode, study: &Uid) -> Result<usize, ChartError> {
        let there = self.index().studies(study).map_err(super::journal::unavailable)?;
        Ok(there.iter().filter(|one| one.key.facility == facility).count())
    }

    fn rows_of_studies(&self, facility: FacilityCode, studies: &[Uid]) -> Result<Vec<FoundRow>, ChartError> {
        if studies.is_empty() {
            return Ok(Vec::new());
        }
        let uids = studies.iter().map(|uid| uid.as_str().to_owned()).collect();
        self.rows_by(facility, Condition { key: key::STUDY_INSTANCE_UID, test: Test::OneOf(uids) })
    }

    fn rows_by(&self, facility: FacilityCode, condition: Condition) -> Result<Vec<FoundRow>, ChartError> {
        let query = Query { level: Level::Study, conditions: vec![condition], fuzzy: false };
        let found = self.find(&reader(facility), Scope::Facility(facility), &query, 0, SHARED_MAX.saturating_add(1));
        Ok(found.map_err(super::journal::unavailable)?.rows)
    }

    /// Opens a link for who knows its secret, the patient's birth date and the code. Wrong tries are counted, durably;
    /// after a few each costs time, and after more of them the link opens no more. What is so with a link that is not
    /// valid is told only who knows all three.
    ///
    /// # Errors
    /// [`ChartError::Unavailable`]: nothing was counted.
    pub fn open_share(&self, secret: &str, birth: &str, code: &str) -> Result<ShareAnswer, ChartError> {
        let (charts, tries) = (self.charts(), self.options().shares.tries);
        let secret = secret::read(secret);
        let known = secret.as_deref().map(|secret| charts.ticket_of(secret)).transpose()?.flatten();
        let Some((row, ticket_known)) = known else {
            // As long as with a link that is there.
            let nothing = model::Digest([0; 32]);
            secret::holds(secret.as_deref().unwrap_or_default(), code, (&nothing, secret::ROUNDS, &nothing));
            return Ok(ShareAnswer::Refused);
        };
        // Nothing is worked out for one that takes no try now.
        if !ticket_known.takes_a_try(charts.now_ms(), tries) {
            return Ok(ShareAnswer::Refused);
        }
        let check = (&ticket_known.salt, ticket_known.rounds, &ticket_known.check);
        let knows_code = secret::holds(secret.as_deref().unwrap_or_default(), code, check);
        let born = charts.birth_of(row.facility, &ticket_known.mrn)?.unwrap_or(ticket_known.birth);
        let knows_birth = secret::birth(birth).is_some_and(|told| secret::proves(told, born));
        charts.write(row.facility, |writing| {
            let (mut ticket, now) = (ticket(writing, &row.id)?, writing.now());
            if !ticket.takes_a_try(now, tries) {
                return Ok(ShareAnswer::Refused);
            }
            if !knows_code || !knows_birth {
                (ticket.wrong, ticket.wrong_at) = (ticket.wrong.saturating_add(1), now);
                writing.put(&row.id, ChartBody::Ticket(Box::new(ticket)))?;
                return Ok(ShareAnswer::Refused);
            }
            match ticket.state(now, tries) {
                TicketState::Revoked => return Ok(ShareAnswer::Revoked),
                TicketState::Expired => return Ok(ShareAnswer::Expired),
                TicketState::Locked => return Ok(ShareAnswer::Refused),
                TicketState::Open => {}
            }
            (ticket.opened, ticket.opened_at, ticket.wrong) = (ticket.opened.saturating_add(1), now, 0);
            writing.put(&row.id, ChartBody::Ticket(Box::new(ticket.clone())))?;
            Ok(ShareAnswer::Opened(row.clone(), Box::new(ticket)))
        })
    }

    /// What an open link shows now; nothing of one that was revoked or whose time is over.
    ///
    /// # Errors
    /// [`ChartError::Unavailable`] when an index does not answer.
    pub fn shared(&self, row: &ChartKey) -> Result<Option<SharedStudies>, ChartError> {
        let charts = self.charts();
        let ticket = match charts.ticket(&reader(row.facility), row) {
            Ok(ticket) => ticket,
            Err(ChartError::Unknown(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        if ticket.revoked.is_some() || charts.now_ms() >= ticket.until {
            return Ok(None);
        }
        let mut found = SharedStudies::default();
        let numbers = charts.numbers(&Caller::operator(), row.facility, &ticket.mrn)?;
        found.rows = self.rows_of_studies(row.facility, &ticket.studies)?;
        found.rows.retain(|row| numbers.iter().any(|number| number == text(row, key::PATIENT_ID)));
        let rows = std::mem::take(&mut found.rows);
        for row in rows {
            // Two patients have images under this UID, and a session knows UIDs alone.
            if self.patients_of(row.facility, &row.study)? == 1 {
                found.rows.push(row);
            }
        }
        let when = |row: &FoundRow| format!("{}{}", text(row, key::STUDY_DATE), text(row, key::STUDY_TIME));
        found.rows.sort_by_key(|row| std::cmp::Reverse(when(row)));
        for study in &ticket.studies {
            if found.rows.iter().any(|row| row.study == *study) {
                continue;
            }
            let there = self.patients_of(row.facility, study)? > 0;
            let buried = self.index().buried(row.facility, study).map_err(super::journal::unavailable)?;
            if !there && !buried.is_empty() {
                found.destroyed = found.destroyed.saturating_add(1);
            } else {
                found.withheld = found.withheld.saturating_add(1);
            }
        }
        Ok(Some(found))
    }
}

/// The birth date that images tell, if they all tell one.
fn of_images(rows: &[FoundRow]) -> Option<BirthDate> {
    let mut told = rows.iter().filter_map(|row| BirthDate::parse(text(row, key::PATIENT_BIRTH_DATE)).ok());
    let first = told.next()?;
    told.all(|one| one == first).then_some(first)
}

impl Charts {
    /// The birth date that information systems tell of a patient.
    fn birth_of(&self, facility: FacilityCode, mrn: &str) -> Result<Option<BirthDate>, ChartError> {
        Ok(self.patient(&Caller::operator(), facility, mrn)?.and_then(|patient| patient.birth))
    }

    /// Studies of orders that have a value.
    fn ordered(&self, facility: FacilityCode, by: Term, value: &str) -> Result<Vec<Uid>, ChartError> {
        let query = ChartQuery {
            kind: ChartKind::Order,
            facilities: Some(BTreeSet::from([facility])),
            driver: ChartDriver::Equal(by, term::value(value)),
            moments: None,
            years: None,
        };
        let rows: Vec<ChartRow> = self.find(&Caller::operator(), &query, None, SHARED_MAX.saturating_add(1))?.rows;
        let orders = rows.into_iter().filter_map(|row| match row.body {
            ChartBody::Order(order) => Some(order.study),
            _ => None,
        });
        Ok(orders.collect())
    }
}

//! Patients of a facility: what is said of them, and two numbers that are one patient.
//!
//! A merge rewrites nothing but the row of the number that is given up, which from then on points to the one that stays:
//! visits, orders and results stay under the number they were sent under and are shown under both. So it can be undone
//! exactly. Deliberately not here: persons across facilities.

use super::opening::CHAIN_MAX;
use super::receive::fresh_id;
use super::writing::Writing;
use super::{ChartError, Charts, orders};
use model::chart::{ChartBody, ChartKind, Merge, Patient, PatientUpdate, Term, identifier};
use model::retention::ClassId;
use model::{Caller, FacilityCode};

/// Longest text about a patient in bytes: each is looked for by its words.
const TEXT_MAX: usize = 1_024;
/// Most numbers of a kind, telephones or allergies of a patient.
const LIST_MAX: usize = 100;

/// Somebody says something of a patient. What is not said stays.
pub(super) fn apply(writing: &mut Writing<'_>, update: &PatientUpdate) -> Result<(), ChartError> {
    within(update)?;
    let mrn = update.mrn.trim();
    let before = find(writing, mrn)?;
    let mut patient = before.clone().unwrap_or_else(|| Patient { mrn: mrn.to_owned(), ..Patient::default() });
    take(&mut patient, update);
    patient.remarks = remarks(&patient);
    for remark in patient.remarks.clone() {
        writing.remark(remark);
    }
    if patient.merged_into.is_some() {
        writing.remark("the patient's number was merged into another");
    }
    // A placeholder of a merge that came first was never changed.
    if before.as_ref().is_some_and(|before| before.changed > 0 && *before == patient) {
        return Ok(());
    }
    patient.changed = writing.now();
    writing.put(mrn, ChartBody::Patient(Box::new(patient)))
}

/// What is said of a patient has bounds.
fn within(update: &PatientUpdate) -> Result<(), ChartError> {
    let texts = [&update.name, &update.national, &update.old_card, &update.passport, &update.address];
    let lists = [&update.insurance, &update.phones, &update.allergies];
    let others = update.others.as_deref().unwrap_or_default();
    if others.len() > LIST_MAX || lists.into_iter().flatten().any(|list| list.len() > LIST_MAX) {
        let what = format!("a patient has at most {LIST_MAX} numbers of a kind, telephones and allergies");
        return Err(ChartError::Limit(what));
    }
    let named = others.iter().flat_map(|one| [&one.value, &one.assigner, &one.kind]);
    let mut all = texts.into_iter().flatten().chain(lists.into_iter().flatten().flatten()).chain(named);
    match all.any(|text| text.len() > TEXT_MAX) {
        true => Err(ChartError::Limit(format!("a text about a patient has at most {TEXT_MAX} bytes"))),
        false => Ok(()),
    }
}

/// What was said takes the place of what was known.
pub(super) fn set<T: Clone>(into: &mut T, said: Option<&T>) {
    if let Some(said) = said {
        into.clone_from(said);
    }
}

/// A class of retention that was given stays.
pub(super) fn add(classes: &mut Vec<ClassId>, more: &[ClassId]) {
    classes.extend_from_slice(more);
    classes.sort();
    classes.dedup();
}

fn take(patient: &mut Patient, update: &PatientUpdate) {
    fn number(into: &mut Option<String>, said: Option<&str>) {
        if let Some(said) = said.map(str::trim) {
            *into = (!said.is_empty()).then(|| said.to_owned());
        }
    }
    set(&mut patient.name, update.name.as_ref());
    set(&mut patient.birth, update.birth.as_ref());
    set(&mut patient.sex, update.sex.as_ref());
    number(&mut patient.ids.national, update.national.as_deref());
    number(&mut patient.ids.old_card, update.old_card.as_deref());
    number(&mut patient.ids.passport, update.passport.as_deref());
    set(&mut patient.ids.insurance, update.insurance.as_ref());
    set(&mut patient.ids.others, update.others.as_ref());
    set(&mut patient.phones, update.phones.as_ref());
    set(&mut patient.address, update.address.as_ref());
    set(&mut patient.allergies, update.allergies.as_ref());
    set(&mut patient.died, update.died.as_ref());
    if update.died == Some(None) {
        patient.records.clear();
    }
    add(&mut patient.records, &update.records);
}

/// What the checks of a patient's numbers find odd; never a reason to refuse.
fn remarks(patient: &Patient) -> Vec<String> {
    let national = patient.ids.national.iter();
    let odd = national.flat_map(|number| identifier::remarks_on_national(number, patient.birth, patient.sex));
    let insured = patient.ids.insurance.iter().flat_map(|number| identifier::remarks_on_insurance(number));
    let mut remarks: Vec<String> = odd.chain(insured).map(ToOwned::to_owned).collect();
    remarks.dedup();
    remarks
}

/// The patient of a number, itself.
pub(super) fn find(writing: &Writing<'_>, mrn: &str) -> Result<Option<Patient>, ChartError> {
    Ok(match writing.row(ChartKind::Patient, mrn)? {
        Some(ChartBody::Patient(patient)) => Some(*patient),
        _ => None,
    })
}

/// The numbers from one to that which stays, itself first.
fn chain(writing: &Writing<'_>, mrn: &str) -> Result<Vec<String>, ChartError> {
    let mut numbers = vec![mrn.trim().to_owned()];
    while let Some(last) = numbers.last() {
        let Some(next) = find(writing, last)?.and_then(|patient| patient.merged_into) else { break };
        if numbers.contains(&next) || numbers.len() >= CHAIN_MAX {
            return Err(ChartError::Limit(format!("more than {CHAIN_MAX} merges lie one behind the other")));
        }
        numbers.push(next);
    }
    Ok(numbers)
}

/// The number that stands for a number now.
pub(super) fn root(writing: &Writing<'_>, mrn: &str) -> Result<String, ChartError> {
    Ok(chain(writing, mrn)?.pop().unwrap_or_else(|| mrn.trim().to_owned()))
}

/// Two numbers are one patient: `former` is given up. Merges of either are followed; a number that has not come yet is
/// given up when it comes.
pub(super) fn merge(writing: &mut Writing<'_>, survivor: &str, former: &str, by: &str) -> Result<(), ChartError> {
    let (survivor, former) = (survivor.trim(), former.trim());
    if survivor == former {
        return Err(ChartError::Invalid("a number cannot be merged into itself".into()));
    }
    let (stays, goes) = (chain(writing, survivor)?, chain(writing, former)?);
    let (Some(stays_at), Some(goes_from)) = (stays.last(), goes.last()) else { return Ok(()) };
    if stays_at == goes_from {
        if stays.iter().any(|number| number == former) {
            let why =
                "the number that is to stay was merged into the one that is to be given up: undo that merge first";
            return Err(ChartError::Conflict(why.into()));
        }
        writing.remark("the two numbers were merged before");
        return Ok(());
    }
    if goes_from != former {
        writing.remark("the number to be given up was merged before: the one it stands for is given up");
    }
    // The ways to the two, without their ends.
    let through = [stays.as_slice(), goes.as_slice()].into_iter().flat_map(|way| way.iter().rev().skip(1)).cloned();
    let through: Vec<String> = through.collect();
    if find(writing, stays_at)?.is_none() {
        let patient = Patient { mrn: stays_at.clone(), changed: writing.now(), ..Patient::default() };
        writing.put(stays_at, ChartBody::Patient(Box::new(patient)))?;
    }
    give_up(writing, (goes_from, stays_at), through, by)
}

/// Points a number to another and records the merge.
fn give_up(
    writing: &mut Writing<'_>,
    (former, survivor): (&str, &str),
    through: Vec<String>,
    by: &str,
) -> Result<(), ChartError> {
    let before = match find(writing, former)? {
        Some(patient) if patient.merged_into.is_some() => {
            return Err(ChartError::Conflict("the number to be given up was merged into another".into()));
        }
        Some(patient) => patient,
        None => {
            writing.remark("the number to be given up is not known yet: it is merged when it comes");
            Patient { mrn: former.to_owned(), ..Patient::default() }
        }
    };
    let pointed = Patient { merged_into: Some(survivor.to_owned()), ..before.clone() };
    writing.put(former, ChartBody::Patient(Box::new(pointed)))?;
    orders::moved(writing, former, survivor)?;
    let (survivor, former, by, at) = (survivor.to_owned(), former.to_owned(), by.to_owned(), writing.now());
    let merge = Merge { survivor, former, before, at, by, through, undone: None };
    writing.put(&fresh_id(at)?, ChartBody::Merge(Box::new(merge)))
}

/// A patient's number is written otherwise: the same patient, another number.
pub(super) fn renumber(writing: &mut Writing<'_>, former: &str, number: &str, by: &str) -> Result<(), ChartError> {
    let (former, number) = (former.trim(), number.trim());
    if former == number {
        return Ok(());
    }
    if let Some(known) = find(writing, number)? {
        // The same once more, or the patient was already sent under the new number.
        let joined = root(writing, former)? == root(writing, number)?;
        if !joined && find(writing, former)?.is_some() && known.changed > 0 {
            let why = "the new number is another patient's: merge the two instead of writing the number otherwise";
            return Err(ChartError::Conflict(why.into()));
        }
        return if joined { Ok(()) } else { give_up(writing, (former, number), Vec::new(), by) };
    }
    let Some(patient) = find(writing, former)? else { return Err(ChartError::Waits("the former number".into())) };
    if patient.merged_into.is_some() {
        return Err(ChartError::Conflict("the former number was merged into another".into()));
    }
    let renumbered = Patient { mrn: number.to_owned(), changed: writing.now(), ..patient };
    writing.put(number, ChartBody::Patient(Box::new(renumbered)))?;
    give_up(writing, (former, number), Vec::new(), by)
}

/// A merge that holds and was made over another one: its numbers were reached through the one given up there.
fn built_on(writing: &Writing<'_>, merge: &Merge) -> Result<Option<String>, ChartError> {
    for number in chain(writing, &merge.former)? {
        for term in [Term::Former, Term::Mrn] {
            for row in writing.find(ChartKind::Merge, term, &number, CHAIN_MAX)? {
                let ChartBody::Merge(later) = &row.body else { continue };
                if later.undone.is_none() && later.through.contains(&merge.former) {
                    return Ok(Some(row.key.id));
                }
            }
        }
    }
    Ok(None)
}

/// Whether anything but patients and merges is about a number.
fn is_referred_to(writing: &Writing<'_>, mrn: &str) -> Result<bool, ChartError> {
    for kind in [ChartKind::Visit, ChartKind::Order, ChartKind::Performed, ChartKind::Report] {
        if !writing.find(kind, Term::Mrn, mrn, 1)?.is_empty() {
            return Ok(true);
        }
    }
    Ok(!writing.find(ChartKind::Merge, Term::Mrn, mrn, CHAIN_MAX)?.iter().all(|row| match &row.body {
        ChartBody::Merge(merge) => merge.undone.is_some(),
        _ => true,
    }))
}

/// Undoes a merge.
fn undo(writing: &mut Writing<'_>, id: &str, by: &str) -> Result<(), ChartError> {
    let Some(ChartBody::Merge(mut merge)) = writing.row(ChartKind::Merge, id)? else {
        return Err(ChartError::Unknown("merge"));
    };
    if merge.undone.is_some() {
        return Err(ChartError::Conflict("the merge was undone before".into()));
    }
    if let Some(later) = built_on(writing, &merge)? {
        return Err(ChartError::Conflict(format!("the merge {later} was made over this one: undo that one first")));
    }
    let made_with = |writing: &Writing<'_>, number: &str| -> Result<bool, ChartError> {
        let (merge, patient) = (writing.created(ChartKind::Merge, id)?, writing.created(ChartKind::Patient, number)?);
        Ok(merge.is_some() && merge == patient)
    };
    let (former_made, survivor_made) = (made_with(writing, &merge.former)?, made_with(writing, &merge.survivor)?);
    merge.undone = Some((writing.now(), by.to_owned()));
    let (former, survivor, at) = (merge.former.clone(), merge.survivor.clone(), merge.at);
    let mut patient = find(writing, &former)?.unwrap_or_else(|| merge.before.clone());
    // It is their own row's business from now on.
    merge.before = Patient { mrn: former.clone(), ..Patient::default() };
    writing.put(id, ChartBody::Merge(merge))?;
    if patient.merged_into.as_ref() == Some(&survivor) {
        patient.merged_into = None;
    }
    // A number that never came is not known afterwards either.
    if former_made && patient.changed == 0 {
        writing.remove(ChartKind::Patient, &former)?;
    } else {
        writing.put(&former, ChartBody::Patient(Box::new(patient)))?;
    }
    // A number that is there by this merge alone: written otherwise by mistake.
    let is_as_made = |patient: Patient| patient.changed == at && patient.merged_into.is_none();
    let unchanged = find(writing, &survivor)?.is_some_and(is_as_made);
    if survivor_made && unchanged && !is_referred_to(writing, &survivor)? {
        writing.remove(ChartKind::Patient, &survivor)?;
    }
    Ok(())
}

impl Charts {
    /// Undoes a merge: the former number, its visits, orders and results are as they were, with what came since under
    /// the former number itself.
    ///
    /// # Errors
    /// [`ChartError::Unknown`] without such a merge for the caller, [`ChartError::Conflict`] when it was undone before, or while a later
    /// merge holds that was made over it.
    pub fn unmerge(&self, caller: &Caller, facility: FacilityCode, merge: &str, by: &str) -> Result<(), ChartError> {
        if !caller.may_see(facility) {
            return Err(ChartError::Unknown("merge"));
        }
        self.write(facility, |writing| undo(writing, merge, by))
    }
}

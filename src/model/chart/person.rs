//! Which patients are one person: what two patients have in common, and who belongs together.
//!
//! Both follow from their arguments alone, so that whatever is taken back restores what was before.
//! Deliberately not here: where patients are found, and what is recorded.

use super::identifier::{NumberKind, insurance_tail, kind_of, plain};
use super::{BirthDate, How, Patient, Sex};
use crate::name;
use std::collections::BTreeSet;

/// The personal identification number of a patient: 12 digits, also where they stand in place of an insurance number.
pub fn national(patient: &Patient) -> Option<String> {
    let numbers = patient.ids.national.iter().chain(&patient.ids.insurance).map(|number| plain(number));
    numbers.into_iter().find(|number| kind_of(number) == NumberKind::National)
}

/// The social-insurance numbers of a patient.
pub fn insured(patient: &Patient) -> BTreeSet<String> {
    patient.ids.insurance.iter().filter_map(|number| insurance_tail(number)).collect()
}

/// Name, whole day of birth and sex in one value: by it patients are found of whom somebody has to look at whether they are
/// one. None while one of them is not known.
pub fn identity(patient: &Patient) -> Option<String> {
    let (name, born) = (folded(&patient.name), patient.birth.map(BirthDate::da).unwrap_or_default());
    let sex = told(patient.sex)?.dicom();
    (!name.is_empty() && !born.is_empty()).then(|| format!("{born}{sex} {name}"))
}

/// The first of the names, folded.
fn folded(text: &str) -> String {
    name::fold_names(text).split(name::GROUP).next().unwrap_or_default().to_owned()
}

fn told(sex: Sex) -> Option<Sex> {
    Some(sex).filter(|sex| matches!(sex, Sex::Male | Sex::Female))
}

/// What of a patient counts for its person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traits {
    name: String,
    birth: Option<BirthDate>,
    sex: Option<Sex>,
    national: Option<String>,
    insured: BTreeSet<String>,
    groups: BTreeSet<String>,
    phones: BTreeSet<String>,
    address: String,
}

impl Traits {
    /// Those of a patient.
    pub fn of(patient: &Patient) -> Self {
        let groups = patient.ids.insurance.iter().map(|number| plain(number));
        let groups = groups.filter(|number| kind_of(number) == NumberKind::InsuranceCard);
        Self {
            name: folded(&patient.name),
            birth: patient.birth,
            sex: told(patient.sex),
            national: national(patient),
            insured: insured(patient),
            groups: groups.filter_map(|number| number.get(..2).map(ToOwned::to_owned)).collect(),
            phones: patient.phones.iter().filter(|phone| !phone.is_empty()).cloned().collect(),
            address: name::fold(&patient.address),
        }
    }

    fn given(&self) -> &str {
        self.name.rsplit(' ').next().unwrap_or_default()
    }
}

/// What two patients have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tie {
    /// They are one by the archive's own judgement: tiers 1 and 2.
    Same(How),
    /// They may be one (tier 4), and why.
    Perhaps(Vec<String>),
    /// They have one number and differ in name and year of birth: never one by themselves.
    Conflict,
    /// Nothing that counts.
    Nothing,
}

/// Compares two patients.
pub fn compare(one: &Traits, two: &Traits) -> Tie {
    let number = |traits: &Traits| traits.national.clone();
    let (same_number, other_number) = match (number(one), number(two)) {
        (Some(one), Some(two)) => (one == two, one != two),
        _ => (false, false),
    };
    let years = (one.birth.map(BirthDate::year), two.birth.map(BirthDate::year));
    let (same_year, other_year) = match years {
        (Some(one), Some(two)) => (one == two, one != two),
        _ => (false, false),
    };
    let same_sex = one.sex.is_some() && one.sex == two.sex;
    let same_name = !one.name.is_empty() && one.name == two.name;
    let insured = one.insured.intersection(&two.insured).next().is_some();
    if same_number {
        let named = !one.name.is_empty() && !two.name.is_empty();
        if named && !same_name && other_year {
            return Tie::Conflict;
        }
        let given = named && one.given() == two.given();
        if given && (same_year || same_sex) {
            return Tie::Same(How::Number);
        }
    }
    if insured && same_name && same_year && !other_number {
        return Tie::Same(How::Insurance);
    }
    let mut why = Vec::new();
    if same_number {
        why.push("the same personal identification number; name, birth year and sex say too little".to_owned());
    }
    if insured && same_name && same_year {
        why.push("the same insurance number, name and birth year; personal identification numbers differ".to_owned());
    }
    let whole = one.birth.and_then(BirthDate::whole).is_some() && one.birth == two.birth;
    if same_name && whole && same_sex {
        why.extend(hints(one, two).map(|hint| format!("the same name, birth date, sex and {hint}")));
    }
    if why.is_empty() { Tie::Nothing } else { Tie::Perhaps(why) }
}

/// What else agrees.
fn hints<'a>(one: &'a Traits, two: &'a Traits) -> impl Iterator<Item = &'static str> + 'a {
    let meets = |one: &BTreeSet<String>, two: &BTreeSet<String>| one.intersection(two).next().is_some();
    let found = [
        (meets(&one.phones, &two.phones), "telephone number"),
        (!one.address.is_empty() && one.address == two.address, "address"),
        (meets(&one.groups, &two.groups), "insurance group"),
    ];
    found.into_iter().filter(|(holds, _)| *holds).map(|(_, hint)| hint)
}

/// A patient among others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Someone {
    /// What counts of it.
    pub traits: Traits,
    /// When a steward took it out of its person.
    pub apart: Option<u64>,
}

/// What a steward said of two of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Said {
    /// Place of one of them.
    pub one: usize,
    /// Place of the other.
    pub two: usize,
    /// Whether they are one.
    pub is_one: bool,
    /// When.
    pub at: u64,
}

/// Who belongs together: sets of two and more, each with its members' places and by what each belongs there.
///
/// Stewards go first. Then the ties of the archive's own, the stronger ones first, of patients that nobody took out; one is
/// passed over when it would bring two together whom a steward told apart or of whom a number was typed wrong.
pub fn together(people: &[Someone], said: &[Said]) -> Vec<Vec<(usize, How)>> {
    let mut sets = Sets::new(people.len());
    for one in said.iter().filter(|one| one.is_one) {
        let since = |at: usize| people.get(at).and_then(|someone| someone.apart).unwrap_or(0);
        if one.at > since(one.one) && one.at > since(one.two) {
            sets.join(one.one, one.two, How::Steward);
        }
    }
    let of = |one: usize, two: usize| said.iter().find(|said| [(one, two), (two, one)].contains(&(said.one, said.two)));
    let mut never: Vec<(usize, usize)> = said.iter().filter(|one| !one.is_one).map(|one| (one.one, one.two)).collect();
    let mut ties = Vec::new();
    for (at, one) in people.iter().enumerate() {
        for (other, two) in people.iter().enumerate().skip(at.saturating_add(1)) {
            match compare(&one.traits, &two.traits) {
                Tie::Conflict if of(at, other).is_none_or(|said| !said.is_one) => never.push((at, other)),
                Tie::Same(how) if one.apart.is_none() && two.apart.is_none() => ties.push((how, at, other)),
                _ => {}
            }
        }
    }
    ties.sort_unstable();
    for (how, one, two) in ties {
        let joins = |sets: &Sets, pair: &(usize, usize)| {
            let ends = (sets.of(pair.0), sets.of(pair.1));
            ends == (sets.of(one), sets.of(two)) || ends == (sets.of(two), sets.of(one))
        };
        if !never.iter().any(|pair| joins(&sets, pair)) {
            sets.join(one, two, how);
        }
    }
    sets.groups()
}

/// Disjoint sets.
struct Sets {
    set: Vec<usize>,
    how: Vec<Option<How>>,
}

impl Sets {
    fn new(count: usize) -> Self {
        Self { set: (0..count).collect(), how: vec![None; count] }
    }

    fn of(&self, at: usize) -> usize {
        self.set.get(at).copied().unwrap_or(at)
    }

    fn join(&mut self, one: usize, two: usize, how: How) {
        for at in [one, two] {
            if let Some(known) = self.how.get_mut(at) {
                *known = Some(known.map_or(how, |known| known.min(how)));
            }
        }
        let (stays, goes) = (self.of(one).min(self.of(two)), self.of(one).max(self.of(two)));
        for set in self.set.iter_mut().filter(|set| **set == goes) {
            *set = stays;
        }
    }

    fn groups(&self) -> Vec<Vec<(usize, How)>> {
        let mut groups = Vec::new();
        for first in 0..self.set.len() {
            let members = (0..self.set.len()).filter(|at| self.of(*at) == first);
            let how = |at: usize| self.how.get(at).copied().flatten().unwrap_or(How::Insurance);
            let members: Vec<(usize, How)> = members.map(|at| (at, how(at))).collect();
            if members.len() > 1 {
                groups.push(members);
            }
        }
        groups
    }
}

#[cfg(test)]
mod tests;

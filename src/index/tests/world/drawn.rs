//! What is drawn at random of a world: UIDs, persons, facilities.

use super::{NAMES, World};
use model::{FacilityCode, Uid};

/// The study whose Study Instance UID a broken device gives to everybody, and how many these are in each facility.
pub(super) const CROWDED: u32 = 7;
const CROWD: u32 = 60;

impl World {
    pub(crate) fn facility(&mut self) -> FacilityCode {
        FacilityCode::parse(["56001", "56002", "79015"][self.rng.usize(..3)]).expect("code")
    }

    pub(crate) fn some_study(&mut self) -> Uid {
        let number = if self.one_in(10) { CROWDED } else { self.rng.u32(1..=self.studies) };
        Self::uid(format!("1.2.{number}"))
    }

    /// A Patient ID and a name, or one of them, or none.
    pub(crate) fn somebody(&mut self) -> (String, String) {
        let id = match self.rng.u32(..4) {
            0 => String::new(),
            1 => format!("P{}", self.rng.u32(..self.studies) / 3 * 10),
            _ => format!("C{}", self.rng.u32(..CROWD)),
        };
        (id, self.pick(&NAMES))
    }

    pub(crate) fn some_series(&mut self) -> Uid {
        if self.one_in(10) {
            return Self::uid("1.3.0".into());
        }
        // A few Series Instance UIDs are used by two studies.
        let study = self.rng.u32(1..=self.studies);
        Self::uid(format!("1.3.{}.{}", study / 2 * 2, self.rng.u32(1..=3)))
    }

    pub(crate) fn some_instance(&mut self) -> Uid {
        Self::uid(format!("1.4.{}", self.rng.u32(1..=self.studies * 30)))
    }

    /// Number of a study, UIDs of study, series and instance, and the Patient ID.
    pub(super) fn names(&mut self) -> (u32, Uid, Uid, Uid, String) {
        if self.one_in(3) {
            return self.crowded();
        }
        let number = self.rng.u32(1..=self.studies);
        let series = format!("1.3.{}.{}", number / 2 * 2, self.rng.u32(1..=3));
        let instance = format!("1.4.{}", number * 30 - self.rng.u32(..30));
        let patient = format!("P{}", number / 3 * 10 + u32::from(self.one_in(15)));
        (number, Self::uid(format!("1.2.{number}")), Self::uid(series), Self::uid(instance), patient)
    }

    /// Of a device that gives one Study Instance UID to everybody, and mostly one Series Instance UID; or of one that gives
    /// that Series Instance UID to every study.
    fn crowded(&mut self) -> (u32, Uid, Uid, Uid, String) {
        let who = self.rng.u32(..CROWD);
        let number = if self.one_in(6) { self.rng.u32(1..=self.studies) } else { CROWDED };
        let series = if self.one_in(3) { format!("1.3.0.{who}") } else { "1.3.0".into() };
        let instance = format!("1.4.900.{}", self.rng.u32(..900));
        (number, Self::uid(format!("1.2.{number}")), Self::uid(series), Self::uid(instance), format!("C{who}"))
    }
}

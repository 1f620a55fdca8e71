//! The SOP classes of query and retrieve (PS3.4 section C.6), as one table, and what their models mean.
//!
//! Which keys exist is the archive's table of attributes; here is only where a model puts them.

use model::attribute::key;
use model::{AttrKey, Level};

/// An information model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Root {
    /// Patient – study – series – image.
    Patient,
    /// Study – series – image, patients as part of their studies.
    Study,
    /// Patient – study, retired.
    PatientStudyOnly,
}

/// What a class of the table does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// C-FIND.
    Find,
    /// C-MOVE.
    Move,
    /// C-GET.
    Get,
}

/// A SOP class of query or retrieve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryClass {
    /// SOP Class UID.
    pub uid: &'static str,
    /// Name in PS3.6 table A-1.
    pub name: &'static str,
    /// Its model.
    pub root: Root,
    /// Its operation.
    pub operation: Operation,
}

macro_rules! classes {
    ($($uid:literal $name:literal $root:ident $operation:ident;)*) => {
        const CLASSES: &[QueryClass] = &[$(
            QueryClass { uid: $uid, name: $name, root: Root::$root, operation: Operation::$operation },
        )*];
    };
}

classes! {
    "1.2.840.10008.5.1.4.1.2.1.1" "Patient Root Query/Retrieve Information Model - FIND" Patient Find;
    "1.2.840.10008.5.1.4.1.2.1.2" "Patient Root Query/Retrieve Information Model - MOVE" Patient Move;
    "1.2.840.10008.5.1.4.1.2.1.3" "Patient Root Query/Retrieve Information Model - GET" Patient Get;
    "1.2.840.10008.5.1.4.1.2.2.1" "Study Root Query/Retrieve Information Model - FIND" Study Find;
    "1.2.840.10008.5.1.4.1.2.2.2" "Study Root Query/Retrieve Information Model - MOVE" Study Move;
    "1.2.840.10008.5.1.4.1.2.2.3" "Study Root Query/Retrieve Information Model - GET" Study Get;
    "1.2.840.10008.5.1.4.1.2.3.1" "Patient/Study Only Query/Retrieve Information Model - FIND (Retired)" PatientStudyOnly Find;
    "1.2.840.10008.5.1.4.1.2.3.2" "Patient/Study Only Query/Retrieve Information Model - MOVE (Retired)" PatientStudyOnly Move;
    "1.2.840.10008.5.1.4.1.2.3.3" "Patient/Study Only Query/Retrieve Information Model - GET (Retired)" PatientStudyOnly Get;
}

/// The classes of query and retrieve that are offered.
pub fn query_classes() -> &'static [QueryClass] {
    CLASSES
}

/// A level of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum QueryLevel {
    Patient,
    Study,
    Series,
    Image,
}

impl QueryLevel {
    /// The value of Query/Retrieve Level (0008,0052).
    pub(crate) fn term(self) -> &'static str {
        match self {
            Self::Patient => "PATIENT",
            Self::Study => "STUDY",
            Self::Series => "SERIES",
            Self::Image => "IMAGE",
        }
    }

    /// The level of a term that the model has.
    pub(crate) fn named(term: &str, root: Root) -> Option<Self> {
        let level = [Self::Patient, Self::Study, Self::Series, Self::Image];
        let level = level.into_iter().find(|level| level.term() == term)?;
        let exists = match root {
            Root::Patient => true,
            Root::Study => level >= Self::Study,
            Root::PatientStudyOnly => level <= Self::Study,
        };
        exists.then_some(level)
    }

    /// The unique keys of the levels above, outermost first, and of this level, last.
    pub(crate) fn unique_keys(self, root: Root) -> &'static [AttrKey] {
        const KEYS: [AttrKey; 4] =
            [key::PATIENT_ID, key::STUDY_INSTANCE_UID, key::SERIES_INSTANCE_UID, key::SOP_INSTANCE_UID];
        let from = usize::from(root == Root::Study);
        let to = match self {
            Self::Patient => 1,
            Self::Study => 2,
            Self::Series => 3,
            Self::Image => 4,
        };
        KEYS.get(from..to).unwrap_or_default()
    }

    /// The archive's level that holds the rows.
    pub(crate) fn rows(self) -> Level {
        match self {
            Self::Patient | Self::Study => Level::Study,
            Self::Series => Level::Series,
            Self::Image => Level::Instance,
        }
    }

    /// Where a model puts an attribute of the archive's table.
    pub(crate) fn of(key: AttrKey, level: Level, root: Root) -> Self {
        match level {
            Level::Study if root != Root::Study && PATIENT.contains(&key) => Self::Patient,
            Level::Study => Self::Study,
            Level::Series => Self::Series,
            Level::Instance => Self::Image,
        }
    }
}

/// Attributes of the patient level (PS3.4 table C.6-1); what may differ between two visits belongs to the study.
const PATIENT: &[AttrKey] = &[
    key::PATIENT_NAME,
    key::PATIENT_ID,
    key::ISSUER_OF_PATIENT_ID,
    key::PATIENT_BIRTH_DATE,
    key::PATIENT_BIRTH_TIME,
    key::PATIENT_SEX,
    key::OTHER_PATIENT_IDS,
    key::OTHER_PATIENT_ID_ITEM,
    key::OTHER_PATIENT_ID_ISSUER,
    key::OTHER_PATIENT_NAMES,
    key::ETHNIC_GROUP,
    key::PATIENT_COMMENTS,
];

/// What was negotiated for a class by its extended negotiation (PS3.4 section C.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Extended {
    /// Keys of any level without the unique keys of the levels above.
    pub(crate) relational: bool,
    /// A range of dates and one of times of day mean a span of moments.
    pub(crate) combined: bool,
    /// Dates and times are meant and told in the zone of the request.
    pub(crate) zone: bool,
    /// Names match by the beginnings of their words.
    pub(crate) fuzzy: bool,
    /// A key of two quotation marks matches an attribute without a value.
    pub(crate) empty_value: bool,
    /// A backslash separates alternatives in every key.
    pub(crate) multiple_value: bool,
}

impl Extended {
    /// Reads the service class application information the requestor sent for a class.
    pub(crate) fn read(information: &[u8], operation: Operation) -> Self {
        let asked = |at: usize| information.get(at) == Some(&1);
        let find = operation == Operation::Find;
        Self {
            relational: asked(0),
            combined: find && asked(1),
            zone: find && asked(3),
            fuzzy: find && asked(2),
            empty_value: find && asked(5),
            multiple_value: find && asked(6),
        }
    }

    /// The answer: as many bytes as were sent, with what is granted. The enhanced multi-frame conversion is not.
    pub(crate) fn answer(self, asked: &[u8]) -> Vec<u8> {
        let granted =
            [self.relational, self.combined, self.fuzzy, self.zone, false, self.empty_value, self.multiple_value];
        granted.iter().take(asked.len()).map(|granted| u8::from(*granted)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_exist_as_the_model_says() {
        let named =
            |term| [Root::Patient, Root::Study, Root::PatientStudyOnly].map(|root| QueryLevel::named(term, root));
        assert_eq!(named("PATIENT").map(|level| level.is_some()), [true, false, true]);
        assert_eq!(named("STUDY").map(|level| level.is_some()), [true, true, true]);
        assert_eq!(named("SERIES").map(|level| level.is_some()), [true, true, false]);
        assert_eq!(named("IMAGE").map(|level| level.is_some()), [true, true, false]);
        assert_eq!(named("study"), [None; 3]);
    }

    #[test]
    fn unique_keys_lead_down_to_the_level() {
        assert_eq!(QueryLevel::Series.unique_keys(Root::Study), [key::STUDY_INSTANCE_UID, key::SERIES_INSTANCE_UID]);
        assert_eq!(QueryLevel::Patient.unique_keys(Root::Patient), [key::PATIENT_ID]);
        assert_eq!(QueryLevel::Image.unique_keys(Root::Patient).len(), 4);
    }

    #[test]
    fn the_answer_grants_what_was_asked_and_is_offered() {
        let asked = [1, 1, 1, 1, 1, 1, 1];
        assert_eq!(Extended::read(&asked, Operation::Find).answer(&asked), [1, 1, 1, 1, 0, 1, 1]);
        assert_eq!(Extended::read(&[1], Operation::Find).answer(&[1]), [1]);
        assert_eq!(Extended::read(&[0, 0, 1], Operation::Find).answer(&[0, 0, 1]), [0, 0, 1]);
        assert_eq!(Extended::read(&[1, 1], Operation::Move).answer(&[1, 1]), [1, 0]);
    }
}

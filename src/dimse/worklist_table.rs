//! The attributes of a modality worklist (PS3.4 table K.6-1) that are matched and returned, as one table.
//!
//! Those of type 1 and 2 are all here, even where the archive never has a value. What is not here is not supported, and
//! answers say so.

use model::attribute::{Attribute, Kept, Matching};
use model::{AttrKey, Level};

/// Modality Worklist Information Model - FIND.
pub const MODALITY_WORKLIST: &str = "1.2.840.10008.5.1.4.31";

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub struct WorklistAttribute {
    /// Tag.
    pub tag: u32,
    /// Value representation.
    pub vr: &'static str,
    /// How it is matched.
    pub matching: Matching,
    /// What the items of a sequence have; empty for others.
    pub within: &'static [WorklistAttribute],
}

impl WorklistAttribute {
    /// Its keyword in PS3.6.
    pub fn keyword(&self) -> &'static str {
        dataset::keyword(self.tag).unwrap_or("an attribute")
    }

    /// The rule by which a key of it is read and matched.
    pub(crate) fn rule(&self) -> Attribute {
        Attribute {
            key: AttrKey::root(self.tag),
            keyword: self.keyword(),
            vr: self.vr,
            level: Level::Study,
            matching: self.matching,
            default: false,
            kept: Kept::Derived,
        }
    }

    /// Whether it is a sequence.
    pub(crate) const fn is_sequence(&self) -> bool {
        !self.within.is_empty()
    }
}

/// Scheduled Procedure Step Sequence.
pub(crate) const STEPS: u32 = 0x0040_0100;
/// Scheduled Station AE Title, in the step.
pub(crate) const STATION: u32 = 0x0040_0001;
/// Scheduled Procedure Step Start Date, in the step.
pub(crate) const START_DATE: u32 = 0x0040_0002;
/// Scheduled Procedure Step Start Time, in the step.
pub(crate) const START_TIME: u32 = 0x0040_0003;
/// Modality, in the step.
pub(crate) const MODALITY: u32 = 0x0008_0060;
/// Scheduled Procedure Step ID, in the step.
pub(crate) const STEP_ID: u32 = 0x0040_0009;
/// Patient's Name.
pub(crate) const PATIENT_NAME: u32 = 0x0010_0010;
/// Patient ID.
pub(crate) const PATIENT_ID: u32 = 0x0010_0020;
/// Accession Number.
pub(crate) const ACCESSION: u32 = 0x0008_0050;
/// Requested Procedure ID.
pub(crate) const PROCEDURE_ID: u32 = 0x0040_1001;
/// Study Instance UID.
pub(crate) const STUDY: u32 = 0x0020_000D;

/// The table.
pub fn worklist_attributes() -> &'static [WorklistAttribute] {
    ROOT
}

const fn value(tag: u32, vr: &'static str, matching: Matching) -> WorklistAttribute {
    WorklistAttribute { tag, vr, matching, within: &[] }
}

const fn sequence(tag: u32, within: &'static [WorklistAttribute]) -> WorklistAttribute {
    WorklistAttribute { tag, vr: "SQ", matching: Matching::ReturnOnly, within }
}

/// A code (PS3.3 table 8.8-1).
const CODE: &[WorklistAttribute] = &[
    value(0x0008_0100, "SH", Matching::Code),
    value(0x0008_0102, "SH", Matching::Code),
    value(0x0008_0103, "SH", Matching::Code),
    value(0x0008_0104, "LO", Matching::Text),
];

/// A reference to an instance.
const REFERENCE: &[WorklistAttribute] =
    &[value(0x0008_1150, "UI", Matching::Uid), value(0x0008_1155, "UI", Matching::Uid)];

/// An item of Other Patient IDs Sequence.
const OTHER_ID: &[WorklistAttribute] = &[
    value(PATIENT_ID, "LO", Matching::Code),
    value(0x0010_0021, "LO", Matching::Code),
    value(0x0010_0022, "CS", Matching::Code),
    sequence(0x0010_0024, &[value(0x0040_0035, "CS", Matching::Code)]),
];

/// The scheduled procedure step.
const STEP: &[WorklistAttribute] = &[
    value(MODALITY, "CS", Matching::Code),
    value(0x0032_1070, "LO", Matching::Text),
    value(STATION, "AE", Matching::Code),
    value(START_DATE, "DA", Matching::Date),
    value(START_TIME, "TM", Matching::Time),
    value(0x0040_0006, "PN", Matching::Name),
    value(0x0040_0007, "LO", Matching::Text),
    sequence(0x0040_0008, CODE),
    value(STEP_ID, "SH", Matching::Code),
    value(0x0040_0010, "SH", Matching::Text),
    value(0x0040_0011, "SH", Matching::Text),
    value(0x0040_0012, "LO", Matching::Text),
    value(0x0040_0020, "CS", Matching::Code),
];

/// Patient, visit, order, and the step.
const ROOT: &[WorklistAttribute] = &[
    value(ACCESSION, "SH", Matching::Code),
    sequence(0x0008_0051, &[value(0x0040_0031, "UT", Matching::Code)]),
    value(0x0008_0090, "PN", Matching::Name),
    sequence(0x0008_1110, REFERENCE),
    sequence(0x0008_1120, REFERENCE),
    value(PATIENT_NAME, "PN", Matching::Name),
    value(PATIENT_ID, "LO", Matching::Code),
    value(0x0010_0021, "LO", Matching::Code),
    value(0x0010_0030, "DA", Matching::Date),
    value(0x0010_0040, "CS", Matching::Code),
    sequence(0x0010_1002, OTHER_ID),
    value(0x0010_1010, "AS", Matching::Code),
    value(0x0010_1030, "DS", Matching::ReturnOnly),
    value(0x0010_1040, "LO", Matching::Text),
    value(0x0010_2000, "LO", Matching::Text),
    value(0x0010_2110, "LO", Matching::Text),
    value(0x0010_2154, "SH", Matching::Code),
    value(0x0010_21C0, "US", Matching::Number),
    value(STUDY, "UI", Matching::Uid),
    value(0x0032_1032, "PN", Matching::Name),
    value(0x0032_1033, "LO", Matching::Text),
    value(0x0032_1060, "LO", Matching::Text),
    sequence(0x0032_1064, CODE),
    value(0x0038_0010, "LO", Matching::Code),
    value(0x0038_0050, "LO", Matching::Text),
    value(0x0038_0300, "LO", Matching::Text),
    value(0x0038_0500, "LO", Matching::Text),
    sequence(STEPS, STEP),
    value(PROCEDURE_ID, "SH", Matching::Code),
    value(0x0040_1002, "LO", Matching::Text),
    value(0x0040_1003, "SH", Matching::Code),
    value(0x0040_1004, "LO", Matching::Text),
    value(0x0040_2016, "LO", Matching::Code),
    value(0x0040_2017, "LO", Matching::Code),
    value(0x0040_3001, "LO", Matching::Text),
];

#[cfg(test)]
mod tests {
    use super::*;
    use dataset::Vr;

    #[test]
    fn every_row_is_in_order_once_and_as_the_dictionary_has_it() {
        fn check(rows: &[WorklistAttribute]) {
            assert!(rows.windows(2).all(|two| two[0].tag < two[1].tag), "rows out of order");
            for row in rows {
                let vr = dataset::dictionary_vr(row.tag).unwrap_or_else(|| panic!("{:08X} is unknown", row.tag));
                assert_eq!(vr.relaxed(), Vr::named(row.vr), "{}", row.keyword());
                assert_eq!(row.vr == "SQ", row.is_sequence(), "{}", row.keyword());
                check(row.within);
            }
        }
        check(worklist_attributes());
    }
}

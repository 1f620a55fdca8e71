//! The attributes the archive keeps for finding, as one table.
//!
//! The scanner extracts exactly these, the index keeps and matches them, QIDO-RS and C-FIND answer
//! from them, and the conformance statement is generated from them.
//! Attributes that are derived (modalities in study) are in the table with [`Kept::Derived`]: they are answered but never
//! extracted. Numbers of related objects are counted, too; what a sender states of them is kept to be compared.

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;

/// The level of the query/retrieve information model an attribute belongs to (PS3.4 C.6).
/// Patient attributes are part of the study level, as in the Study Root model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Level {
    /// Patient and study.
    Study,
    /// Series.
    Series,
    /// SOP Instance.
    Instance,
}

/// The address of an attribute: a root tag, or a tag inside the items of a root sequence.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttrKey {
    /// Tag of the enclosing sequence, 0 for root attributes.
    pub sequence: u32,
    /// Tag, group in the upper 16 bits.
    pub tag: u32,
}

impl AttrKey {
    /// A root attribute.
    pub const fn root(tag: u32) -> Self {
        Self { sequence: 0, tag }
    }

    /// An attribute inside the items of a root sequence.
    pub const fn nested(sequence: u32, tag: u32) -> Self {
        Self { sequence, tag }
    }

    /// Parses `GGGGEEEE` or `GGGGEEEE.GGGGEEEE`.
    pub fn parse(text: &str) -> Option<Self> {
        let (first, rest) = text.as_bytes().split_first_chunk::<8>()?;
        match rest.split_first() {
            None => parse_tag(first).map(Self::root),
            Some((b'.', inner)) => Some(Self::nested(parse_tag(first)?, parse_tag(inner.try_into().ok()?)?)),
            Some(_) => None,
        }
    }
}

/// Reads a tag from its hexadecimal digits.
fn parse_tag(digits: &[u8; 8]) -> Option<u32> {
    digits.iter().try_fold(0, |tag, digit| Some(tag << 4 | char::from(*digit).to_digit(16)?))
}

impl fmt::Display for AttrKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.sequence != 0 {
            write!(f, "{:08X}.", self.sequence)?;
        }
        write!(f, "{:08X}", self.tag)
    }
}

impl fmt::Debug for AttrKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for AttrKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AttrKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::text::read(deserializer, |text| Self::parse(text).ok_or_else(|| format!("{text:?} is no attribute key")))
    }
}

/// Values by attribute: decoded to UTF-8, trimmed, several values joined by a backslash; inside a sequence one for each
/// item, empty where the item has none.
/// An attribute present without a value is an empty string; an absent one has no entry.
/// Person names keep their component groups joined by `=`.
pub type Attributes = BTreeMap<AttrKey, String>;

/// Most instances have no more attributes than this.
const ATTRIBUTES_MOSTLY: usize = 64;

/// Reads attributes. They are written in order, and a map is made of many that are in order at less cost than of one
/// after the other.
pub(crate) fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Attributes, D::Error> {
    struct Values;

    impl<'de> Visitor<'de> for Values {
        type Value = Attributes;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("attributes by their keys")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Attributes, A::Error> {
            let mut values = Vec::with_capacity(ATTRIBUTES_MOSTLY);
            while let Some(value) = map.next_entry()? {
                values.push(value);
            }
            Ok(values.into_iter().collect())
        }
    }

    deserializer.deserialize_map(Values)
}

/// How a key of a query matches (PS3.4 C.2.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Matching {
    /// UID or list of UIDs, exact.
    Uid,
    /// Case-sensitive text with wildcards `*` and `?` (codes, identifiers).
    Code,
    /// Case-insensitive, unaccented text with wildcards.
    Text,
    /// Person name, folded (see [`crate::name`]).
    Name,
    /// Date or range of dates, `YYYYMMDD`.
    Date,
    /// Time or range of times, `HHMMSS.FFFFFF`.
    Time,
    /// Number, exact.
    Number,
    /// Returned only, never matched.
    ReturnOnly,
}

/// Where the value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kept {
    /// Extracted from the data set.
    Extracted,
    /// Counted or derived by the archive.
    Derived,
    /// Counted by the archive, which answers its own count; the number that senders state is kept beside it.
    Stated,
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Attribute {
    /// Address.
    pub key: AttrKey,
    /// Keyword of PS3.6; for nested attributes `Sequence.Keyword`.
    pub keyword: &'static str,
    /// Value representation, two letters.
    pub vr: &'static str,
    /// Level.
    pub level: Level,
    /// Matching rule.
    pub matching: Matching,
    /// Whether every answer at its level carries it (PS3.18 Tables 10.6.3-3 to 10.6.3-5), asked for or not.
    pub default: bool,
    /// Origin.
    pub kept: Kept,
}

macro_rules! attributes {
    ($($konst:ident $seq:literal $tag:literal $keyword:literal $vr:literal $level:ident $matching:ident $default:literal $kept:ident;)*) => {
        /// Addresses of the kept attributes, by keyword.
        #[allow(missing_docs)]
        pub mod key {
            use super::AttrKey;
            $(pub const $konst: AttrKey = AttrKey { sequence: $seq, tag: $tag };)*
        }
        /// Every attribute the archive keeps or derives, ordered by level.
        pub const ATTRIBUTES: &[Attribute] = &[$(Attribute {
            key: key::$konst, keyword: $keyword, vr: $vr, level: Level::$level,
            matching: Matching::$matching, default: $default, kept: Kept::$kept,
        },)*];
    };
}

attributes! {
    STUDY_DATE 0 0x0008_0020 "StudyDate" "DA" Study Date true Extracted;
    STUDY_TIME 0 0x0008_0030 "StudyTime" "TM" Study Time true Extracted;
    ACCESSION_NUMBER 0 0x0008_0050 "AccessionNumber" "SH" Study Code true Extracted;
    ACCESSION_ISSUER_LOCAL 0x0008_0051 0x0040_0031 "IssuerOfAccessionNumberSequence.LocalNamespaceEntityID" "UT" Study Code false Extracted;
    ACCESSION_ISSUER_UNIVERSAL 0x0008_0051 0x0040_0032 "IssuerOfAccessionNumberSequence.UniversalEntityID" "UT" Study Code false Extracted;
    INSTANCE_AVAILABILITY 0 0x0008_0056 "InstanceAvailability" "CS" Study ReturnOnly true Derived;
    MODALITIES_IN_STUDY 0 0x0008_0061 "ModalitiesInStudy" "CS" Study Code true Derived;
    SOP_CLASSES_IN_STUDY 0 0x0008_0062 "SOPClassesInStudy" "UI" Study Uid false Derived;
    INSTITUTION_NAME 0 0x0008_0080 "InstitutionName" "LO" Study Text false Extracted;
    INSTITUTIONAL_DEPARTMENT_NAME 0 0x0008_1040 "InstitutionalDepartmentName" "LO" Study Text false Extracted;
    REFERRING_PHYSICIAN_NAME 0 0x0008_0090 "ReferringPhysicianName" "PN" Study Name true Extracted;
    TIMEZONE_OFFSET_FROM_UTC 0 0x0008_0201 "TimezoneOffsetFromUTC" "SH" Study ReturnOnly true Extracted;
    STUDY_DESCRIPTION 0 0x0008_1030 "StudyDescription" "LO" Study Text true Extracted;
    PHYSICIANS_OF_RECORD 0 0x0008_1048 "PhysiciansOfRecord" "PN" Study Name false Extracted;
    NAME_OF_PHYSICIANS_READING_STUDY 0 0x0008_1060 "NameOfPhysiciansReadingStudy" "PN" Study Name false Extracted;
    ADMITTING_DIAGNOSES_DESCRIPTION 0 0x0008_1080 "AdmittingDiagnosesDescription" "LO" Study Text false Extracted;
    PROCEDURE_CODE_VALUE 0x0008_1032 0x0008_0100 "ProcedureCodeSequence.CodeValue" "SH" Study Code false Extracted;
    PROCEDURE_CODE_MEANING 0x0008_1032 0x0008_0104 "ProcedureCodeSequence.CodeMeaning" "LO" Study Text false Extracted;
    REASON_CODE_VALUE 0x0040_1012 0x0008_0100 "ReasonForPerformedProcedureCodeSequence.CodeValue" "SH" Study Code false Extracted;
    REASON_CODE_MEANING 0x0040_1012 0x0008_0104 "ReasonForPerformedProcedureCodeSequence.CodeMeaning" "LO" Study Text false Extracted;
    PATIENT_NAME 0 0x0010_0010 "PatientName" "PN" Study Name true Extracted;
    PATIENT_ID 0 0x0010_0020 "PatientID" "LO" Study Code true Extracted;
    ISSUER_OF_PATIENT_ID 0 0x0010_0021 "IssuerOfPatientID" "LO" Study Code false Extracted;
    PATIENT_BIRTH_DATE 0 0x0010_0030 "PatientBirthDate" "DA" Study Date true Extracted;
    PATIENT_BIRTH_TIME 0 0x0010_0032 "PatientBirthTime" "TM" Study Time false Extracted;
    PATIENT_SEX 0 0x0010_0040 "PatientSex" "CS" Study Code true Extracted;
    OTHER_PATIENT_IDS 0 0x0010_1000 "OtherPatientIDs" "LO" Study Code false Extracted;
    OTHER_PATIENT_ID_ITEM 0x0010_1002 0x0010_0020 "OtherPatientIDsSequence.PatientID" "LO" Study Code false Extracted;
    OTHER_PATIENT_ID_ISSUER 0x0010_1002 0x0010_0021 "OtherPatientIDsSequence.IssuerOfPatientID" "LO" Study Code false Extracted;
    OTHER_PATIENT_NAMES 0 0x0010_1001 "OtherPatientNames" "PN" Study Name false Extracted;
    PATIENT_AGE 0 0x0010_1010 "PatientAge" "AS" Study Code false Extracted;
    PATIENT_SIZE 0 0x0010_1020 "PatientSize" "DS" Study ReturnOnly false Extracted;
    PATIENT_WEIGHT 0 0x0010_1030 "PatientWeight" "DS" Study ReturnOnly false Extracted;
    ETHNIC_GROUP 0 0x0010_2160 "EthnicGroup" "SH" Study Code false Extracted;
    OCCUPATION 0 0x0010_2180 "Occupation" "SH" Study Text false Extracted;
    ADDITIONAL_PATIENT_HISTORY 0 0x0010_21B0 "AdditionalPatientHistory" "LT" Study ReturnOnly false Extracted;
    PATIENT_COMMENTS 0 0x0010_4000 "PatientComments" "LT" Study ReturnOnly false Extracted;
    STUDY_INSTANCE_UID 0 0x0020_000D "StudyInstanceUID" "UI" Study Uid true Extracted;
    STUDY_ID 0 0x0020_0010 "StudyID" "SH" Study Code true Extracted;
    NUMBER_OF_STUDY_RELATED_SERIES 0 0x0020_1206 "NumberOfStudyRelatedSeries" "IS" Study ReturnOnly true Stated;
    NUMBER_OF_STUDY_RELATED_INSTANCES 0 0x0020_1208 "NumberOfStudyRelatedInstances" "IS" Study ReturnOnly true Stated;
    REQUESTING_PHYSICIAN 0 0x0032_1032 "RequestingPhysician" "PN" Study Name false Extracted;
    REQUESTING_SERVICE 0 0x0032_1033 "RequestingService" "LO" Study Text false Extracted;

    MODALITY 0 0x0008_0060 "Modality" "CS" Series Code true Extracted;
    SERIES_DATE 0 0x0008_0021 "SeriesDate" "DA" Series Date false Extracted;
    SERIES_TIME 0 0x0008_0031 "SeriesTime" "TM" Series Time false Extracted;
    MANUFACTURER 0 0x0008_0070 "Manufacturer" "LO" Series Text false Extracted;
    STATION_NAME 0 0x0008_1010 "StationName" "SH" Series Text false Extracted;
    SERIES_DESCRIPTION 0 0x0008_103E "SeriesDescription" "LO" Series Text true Extracted;
    PERFORMING_PHYSICIAN_NAME 0 0x0008_1050 "PerformingPhysicianName" "PN" Series Name false Extracted;
    OPERATORS_NAME 0 0x0008_1070 "OperatorsName" "PN" Series Name false Extracted;
    MANUFACTURER_MODEL_NAME 0 0x0008_1090 "ManufacturerModelName" "LO" Series Text false Extracted;
    BODY_PART_EXAMINED 0 0x0018_0015 "BodyPartExamined" "CS" Series Code false Extracted;
    DEVICE_SERIAL_NUMBER 0 0x0018_1000 "DeviceSerialNumber" "LO" Series Code false Extracted;
    PROTOCOL_NAME 0 0x0018_1030 "ProtocolName" "LO" Series Text false Extracted;
    SERIES_INSTANCE_UID 0 0x0020_000E "SeriesInstanceUID" "UI" Series Uid true Extracted;
    SERIES_NUMBER 0 0x0020_0011 "SeriesNumber" "IS" Series Number true Extracted;
    LATERALITY 0 0x0020_0060 "Laterality" "CS" Series Code false Extracted;
    FRAME_OF_REFERENCE_UID 0 0x0020_0052 "FrameOfReferenceUID" "UI" Series Uid false Extracted;
    NUMBER_OF_SERIES_RELATED_INSTANCES 0 0x0020_1209 "NumberOfSeriesRelatedInstances" "IS" Series ReturnOnly true Stated;
    PERFORMED_PROCEDURE_STEP_START_DATE 0 0x0040_0244 "PerformedProcedureStepStartDate" "DA" Series Date true Extracted;
    PERFORMED_PROCEDURE_STEP_START_TIME 0 0x0040_0245 "PerformedProcedureStepStartTime" "TM" Series Time true Extracted;
    PERFORMED_PROCEDURE_STEP_ID 0 0x0040_0253 "PerformedProcedureStepID" "SH" Series Code false Extracted;
    PERFORMED_PROCEDURE_STEP_DESCRIPTION 0 0x0040_0254 "PerformedProcedureStepDescription" "LO" Series Text false Extracted;
    PERFORMED_PROTOCOL_CODE_VALUE 0x0040_0260 0x0008_0100 "PerformedProtocolCodeSequence.CodeValue" "SH" Series Code false Extracted;
    PERFORMED_PROTOCOL_CODE_MEANING 0x0040_0260 0x0008_0104 "PerformedProtocolCodeSequence.CodeMeaning" "LO" Series Text false Extracted;
    SERIES_DESCRIPTION_CODE_VALUE 0x0008_103F 0x0008_0100 "SeriesDescriptionCodeSequence.CodeValue" "SH" Series Code false Extracted;
    SERIES_DESCRIPTION_CODE_MEANING 0x0008_103F 0x0008_0104 "SeriesDescriptionCodeSequence.CodeMeaning" "LO" Series Text false Extracted;
    PERFORMED_PROCEDURE_STEP_UID 0x0008_1111 0x0008_1155 "ReferencedPerformedProcedureStepSequence.ReferencedSOPInstanceUID" "UI" Series Uid false Extracted;
    REQUEST_STUDY_INSTANCE_UID 0x0040_0275 0x0020_000D "RequestAttributesSequence.StudyInstanceUID" "UI" Series Uid false Extracted;
    REQUEST_ACCESSION_NUMBER 0x0040_0275 0x0008_0050 "RequestAttributesSequence.AccessionNumber" "SH" Series Code false Extracted;
    REQUESTED_PROCEDURE_DESCRIPTION 0x0040_0275 0x0032_1060 "RequestAttributesSequence.RequestedProcedureDescription" "LO" Series Text false Extracted;
    SCHEDULED_PROCEDURE_STEP_DESCRIPTION 0x0040_0275 0x0040_0007 "RequestAttributesSequence.ScheduledProcedureStepDescription" "LO" Series Text false Extracted;
    SCHEDULED_PROCEDURE_STEP_ID 0x0040_0275 0x0040_0009 "RequestAttributesSequence.ScheduledProcedureStepID" "SH" Series Code true Extracted;
    REQUESTED_PROCEDURE_ID 0x0040_0275 0x0040_1001 "RequestAttributesSequence.RequestedProcedureID" "SH" Series Code true Extracted;

    SOP_CLASS_UID 0 0x0008_0016 "SOPClassUID" "UI" Instance Uid true Extracted;
    SOP_INSTANCE_UID 0 0x0008_0018 "SOPInstanceUID" "UI" Instance Uid true Extracted;
    CONTENT_DATE 0 0x0008_0023 "ContentDate" "DA" Instance Date false Extracted;
    ACQUISITION_DATE 0 0x0008_0022 "AcquisitionDate" "DA" Instance Date false Extracted;
    ACQUISITION_TIME 0 0x0008_0032 "AcquisitionTime" "TM" Instance Time false Extracted;
    CONTENT_TIME 0 0x0008_0033 "ContentTime" "TM" Instance Time false Extracted;
    IMAGE_TYPE 0 0x0008_0008 "ImageType" "CS" Instance Code false Extracted;
    ACQUISITION_NUMBER 0 0x0020_0012 "AcquisitionNumber" "IS" Instance Number false Extracted;
    INSTANCE_NUMBER 0 0x0020_0013 "InstanceNumber" "IS" Instance Number true Extracted;
    IMAGE_POSITION_PATIENT 0 0x0020_0032 "ImagePositionPatient" "DS" Instance ReturnOnly false Extracted;
    SAMPLES_PER_PIXEL 0 0x0028_0002 "SamplesPerPixel" "US" Instance ReturnOnly false Extracted;
    PHOTOMETRIC_INTERPRETATION 0 0x0028_0004 "PhotometricInterpretation" "CS" Instance Code false Extracted;
    NUMBER_OF_FRAMES 0 0x0028_0008 "NumberOfFrames" "IS" Instance Number true Extracted;
    ROWS 0 0x0028_0010 "Rows" "US" Instance Number true Extracted;
    COLUMNS 0 0x0028_0011 "Columns" "US" Instance Number true Extracted;
    BITS_ALLOCATED 0 0x0028_0100 "BitsAllocated" "US" Instance Number true Extracted;
    BITS_STORED 0 0x0028_0101 "BitsStored" "US" Instance ReturnOnly false Extracted;
    ANATOMIC_REGION_CODE_VALUE 0x0008_2218 0x0008_0100 "AnatomicRegionSequence.CodeValue" "SH" Instance Code false Extracted;
    ANATOMIC_REGION_CODE_MEANING 0x0008_2218 0x0008_0104 "AnatomicRegionSequence.CodeMeaning" "LO" Instance Text false Extracted;
    VIEW_CODE_VALUE 0x0054_0220 0x0008_0100 "ViewCodeSequence.CodeValue" "SH" Instance Code false Extracted;
    VIEW_CODE_MEANING 0x0054_0220 0x0008_0104 "ViewCodeSequence.CodeMeaning" "LO" Instance Text false Extracted;
    REFERENCED_REQUEST_ACCESSION_NUMBER 0x0040_A370 0x0008_0050 "ReferencedRequestSequence.AccessionNumber" "SH" Instance Code false Extracted;
    REFERENCED_REQUEST_STUDY_UID 0x0040_A370 0x0020_000D "ReferencedRequestSequence.StudyInstanceUID" "UI" Instance Uid false Extracted;
    REFERENCED_REQUEST_PROCEDURE_ID 0x0040_A370 0x0040_1001 "ReferencedRequestSequence.RequestedProcedureID" "SH" Instance Code false Extracted;
    CONCEPT_NAME_CODE_VALUE 0x0040_A043 0x0008_0100 "ConceptNameCodeSequence.CodeValue" "SH" Instance Code false Extracted;
    CONCEPT_NAME_CODE_MEANING 0x0040_A043 0x0008_0104 "ConceptNameCodeSequence.CodeMeaning" "LO" Instance Text false Extracted;
    COMPLETION_FLAG 0 0x0040_A491 "CompletionFlag" "CS" Instance Code false Extracted;
    VERIFICATION_FLAG 0 0x0040_A493 "VerificationFlag" "CS" Instance Code false Extracted;
    CONTENT_LABEL 0 0x0070_0080 "ContentLabel" "CS" Instance Code false Extracted;
    CONTENT_DESCRIPTION 0 0x0070_0081 "ContentDescription" "LO" Instance Text false Extracted;
    AVAILABLE_TRANSFER_SYNTAX_UID 0 0x0008_3002 "AvailableTransferSyntaxUID" "UI" Instance ReturnOnly false Derived;
}

/// The row of an address, if the archive keeps it.
pub fn attribute(key: AttrKey) -> Option<&'static Attribute> {
    ATTRIBUTES.iter().find(|row| row.key == key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_unique_and_round_trip() {
        let mut seen = std::collections::BTreeSet::new();
        for row in ATTRIBUTES {
            assert!(seen.insert(row.key), "{} appears twice", row.keyword);
            assert_eq!(AttrKey::parse(&row.key.to_string()), Some(row.key), "{}", row.keyword);
        }
    }
}

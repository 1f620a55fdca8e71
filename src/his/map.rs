//! Map files: where a site puts what the standard leaves to it, without code.
//!
//! Every key has a default, those of the standard tables; `config/hl7-maps/standard.toml` lists them all, and a test holds
//! that file to this one. An unknown key is refused with its line.

use crate::hl7::Place;
use model::AeTitle;
use model::retention::ClassId;
use serde::Deserialize;
use std::collections::BTreeMap;

/// A map file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MapError(pub String);

/// What a map says.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Map {
    /// The patient.
    pub patient: PatientMap,
    /// The visit.
    pub visit: VisitMap,
    /// The class of the visit's record, for retention.
    pub record: RecordMap,
    /// The order.
    pub order: OrderMap,
    /// The result.
    pub result: ResultMap,
    /// Modality codes of the site → DICOM terms; added to the built-in ones.
    pub modality: BTreeMap<String, String>,
    /// Rooms → AE titles of the consoles in them.
    pub rooms: BTreeMap<String, AeTitle>,
    /// Codes of OBR-24 → `imaging`, `laboratory` or `pathology`; added to the built-in ones.
    pub discipline: BTreeMap<String, Discipline>,
}

/// `[patient]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PatientMap {
    /// Where the facility's number stands; the first place that has one counts.
    pub number: Vec<Place>,
    /// Identifier types that are the facility's number, the first of them that is there counts; `""`: without a type.
    pub types: Vec<String>,
    /// Only numbers of this assigning authority are the facility's; empty: of any.
    pub assigner: String,
    /// Personal identification number (CCCD).
    pub national: Vec<Place>,
    /// Old identity card (CMND).
    pub old_card: Vec<Place>,
    /// Passport.
    pub passport: Vec<Place>,
    /// Insurance numbers (BHYT, BHXH).
    pub insurance: Vec<Place>,
    /// Telephone numbers.
    pub phone: Vec<Place>,
}

/// `[visit]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VisitMap {
    /// Visit number (`MA_LK`).
    pub number: Vec<Place>,
    /// Patient class.
    pub class: Vec<Place>,
}

/// `[record]`: what tells the class of retention of a visit's record. All that fit count.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RecordMap {
    /// Patient class (PV1-2) → class.
    pub class: BTreeMap<String, ClassId>,
    /// Discharge disposition (PV1-36) → class.
    pub disposition: BTreeMap<String, ClassId>,
    /// Beginning of a diagnosis code (DG1-3) → class; dots do not count.
    pub diagnosis: BTreeMap<String, ClassId>,
    /// Classes of all records of a patient who died (PID-29, PID-30).
    pub died: Vec<ClassId>,
    /// Where the sender itself says what kind of record it is.
    pub place: Vec<Place>,
    /// What stands there → class; what is not named here says nothing.
    pub codes: BTreeMap<String, ClassId>,
}

/// `[order]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OrderMap {
    /// Placer order number.
    pub placer: Vec<Place>,
    /// Filler order number.
    pub filler: Vec<Place>,
    /// Accession Number.
    pub accession: Vec<Place>,
    /// Study Instance UID; all that are there must agree, those in OBX too.
    pub study: Vec<Place>,
    /// Requested Procedure ID.
    pub procedure_id: Vec<Place>,
    /// Scheduled Procedure Step ID.
    pub step_id: Vec<Place>,
    /// Modality.
    pub modality: Vec<Place>,
    /// Station name.
    pub station_name: Vec<Place>,
    /// Room or location of the step; also what `[rooms]` is asked.
    pub location: Vec<Place>,
    /// AE title of the station.
    pub station: Vec<Place>,
    /// Start of the step.
    pub start: Vec<Place>,
    /// Priority.
    pub priority: Vec<Place>,
    /// Weight in kilograms, beside OBX.
    pub weight: Vec<Place>,
    /// Codes of OBX-3 that are a weight.
    pub weight_codes: Vec<String>,
    /// Medical alerts.
    pub alerts: Vec<Place>,
    /// Patient state.
    pub patient_state: Vec<Place>,
    /// Reason for the procedure.
    pub reason: Vec<Place>,
}

/// `[result]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ResultMap {
    /// Codes of OBX-3 whose value is the Study Instance UID.
    pub study_codes: Vec<String>,
    /// Discipline of a result of which nothing tells.
    pub discipline: Discipline,
}

/// What a result is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Discipline {
    /// Imaging.
    Imaging,
    /// Laboratory.
    Laboratory,
    /// Pathology.
    Pathology,
}

impl Discipline {
    /// Its name in a report.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Imaging => "imaging",
            Self::Laboratory => "laboratory",
            Self::Pathology => "pathology",
        }
    }
}

/// Modality codes in use, and what they are in DICOM; whatever else is sent stays as it is.
const MODALITIES: &[(&str, &str)] = &[
    ("XQ", "DX"),
    ("XR", "DX"),
    ("XRAY", "DX"),
    ("SA", "US"),
    ("SIEUAM", "US"),
    ("CLVT", "CT"),
    ("MRI", "MR"),
    ("CHT", "MR"),
    ("NS", "ES"),
    ("CTM", "CT"),
    ("DSA", "XA"),
];

/// Diagnostic service sections (HL7 table 0074), as far as they tell.
const DISCIPLINES: &[(&str, Discipline)] = &[
    ("RAD", Discipline::Imaging),
    ("CT", Discipline::Imaging),
    ("MR", Discipline::Imaging),
    ("NMR", Discipline::Imaging),
    ("NMS", Discipline::Imaging),
    ("RUS", Discipline::Imaging),
    ("US", Discipline::Imaging),
    ("XRC", Discipline::Imaging),
    ("CUS", Discipline::Imaging),
    ("VUS", Discipline::Imaging),
    ("OUS", Discipline::Imaging),
    ("IMG", Discipline::Imaging),
    ("CDHA", Discipline::Imaging),
    ("LAB", Discipline::Laboratory),
    ("CH", Discipline::Laboratory),
    ("HM", Discipline::Laboratory),
    ("MB", Discipline::Laboratory),
    ("IMM", Discipline::Laboratory),
    ("BLB", Discipline::Laboratory),
    ("SR", Discipline::Laboratory),
    ("TX", Discipline::Laboratory),
    ("VR", Discipline::Laboratory),
    ("XN", Discipline::Laboratory),
    ("SP", Discipline::Pathology),
    ("CP", Discipline::Pathology),
    ("CG", Discipline::Pathology),
    ("PAT", Discipline::Pathology),
    ("GPB", Discipline::Pathology),
];

/// Places that are named here are known to be well formed; one that were not would be missed by a test.
fn places(texts: &[&str]) -> Vec<Place> {
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

impl Default for PatientMap {
    fn default() -> Self {
        Self {
            number: places(&["PID-3", "PID-2"]),
            types: texts(&["MR", "MRN", "PI", "PT", ""]),
            assigner: String::new(),
            national: places(&["PID-3:NI", "PID-3:NNVNM", "PID-3:NNVN", "PID-19"]),
            old_card: Vec::new(),
            passport: places(&["PID-3:PPN"]),
            insurance: places(&["IN1-36", "PID-3:HC", "PID-3:SS", "IN1-2"]),
            phone: places(&["PID-13", "PID-14"]),
        }
    }
}

impl Default for VisitMap {
    fn default() -> Self {
        Self { number: places(&["PV1-19"]), class: places(&["PV1-2"]) }
    }
}

impl Default for OrderMap {
    fn default() -> Self {
        Self {
            placer: places(&["ORC-2", "OBR-2"]),
            filler: places(&["ORC-3", "OBR-3"]),
            accession: places(&["IPC-1", "OBR-18"]),
            study: places(&["IPC-3", "ZDS-1"]),
            procedure_id: places(&["IPC-2", "OBR-19"]),
            step_id: places(&["IPC-4", "OBR-20"]),
            modality: places(&["IPC-5", "OBR-24"]),
            station_name: places(&["IPC-7"]),
            location: places(&["IPC-8"]),
            station: places(&["IPC-9"]),
            start: places(&["TQ1-7", "ORC-7.4", "OBR-27.4"]),
            priority: places(&["TQ1-9", "OBR-27.6", "ORC-7.6"]),
            weight: Vec::new(),
            weight_codes: texts(&["WT", "WEIGHT", "CANNANG", "29463-7", "3141-9", "27113001"]),
            alerts: Vec::new(),
            patient_state: places(&["OBR-12.2", "OBR-13"]),
            reason: places(&["OBR-31.2", "OBR-31"]),
        }
    }
}

impl Default for ResultMap {
    fn default() -> Self {
        Self { study_codes: texts(&["113014", "110180"]), discipline: Discipline::Imaging }
    }
}

impl Default for RecordMap {
    fn default() -> Self {
        let died = [("20", "DEATH"), ("40", "DEATH"), ("41", "DEATH"), ("42", "DEATH")];
        let kinds = [("V", "PSY_ACC"), ("Y96", "PSY_ACC"), ("Z52", "TRANSPLANT"), ("Z94", "TRANSPLANT")];
        Self {
            class: BTreeMap::new(),
            disposition: classes(&died),
            diagnosis: classes(&kinds),
            died: ClassId::parse("DEATH").into_iter().collect(),
            place: Vec::new(),
            codes: BTreeMap::new(),
        }
    }
}

/// Names of classes that are written here are known to be well formed.
fn classes(pairs: &[(&str, &str)]) -> BTreeMap<String, ClassId> {
    let class = |(code, class): &(&str, &str)| Some(((*code).to_owned(), ClassId::parse(class).ok()?));
    pairs.iter().filter_map(class).collect()
}

impl Map {
    /// Reads a map file.
    ///
    /// # Errors
    /// Unknown keys, places that are none; the text names line and column.
    pub fn parse(text: &str) -> Result<Self, MapError> {
        toml::from_str(text).map_err(|error| MapError(error.to_string()))
    }

    /// The DICOM term of a modality code.
    pub fn modality(&self, code: &str) -> String {
        let code = code.trim().to_ascii_uppercase();
        let own = self.modality.iter().find(|(known, _)| known.eq_ignore_ascii_case(&code));
        let built_in = || MODALITIES.iter().find(|(known, _)| *known == code).map(|(_, term)| (*term).to_owned());
        own.map(|(_, term)| term.clone()).or_else(built_in).unwrap_or(code)
    }

    /// The AE title of the console in a room.
    pub fn room(&self, room: &str) -> Option<AeTitle> {
        let room = room.trim();
        self.rooms.iter().find(|(known, _)| known.eq_ignore_ascii_case(room)).map(|(_, title)| title.clone())
    }

    /// What a diagnostic service section is about.
    pub fn discipline(&self, section: &str) -> Option<Discipline> {
        let section = section.trim();
        let own = self.discipline.iter().find(|(known, _)| known.eq_ignore_ascii_case(section));
        let built_in = || DISCIPLINES.iter().find(|(known, _)| known.eq_ignore_ascii_case(section));
        own.map(|(_, discipline)| *discipline).or_else(|| built_in().map(|(_, discipline)| *discipline))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STANDARD: &str = include_str!("../../config/hl7-maps/standard.toml");
    const NUMBERS: &str = include_str!("../../config/hl7-maps/numbers-in-pid-19.toml");
    const SITE: &str = include_str!("../../config/hl7-maps/site-segment.toml");

    #[test]
    fn the_standard_map_lists_every_key_with_its_default() {
        assert_eq!(Map::parse(STANDARD).expect("the standard map"), Map::default());
        let document: toml::Table = STANDARD.parse().expect("TOML");
        let keys: usize = document.values().filter_map(toml::Value::as_table).map(toml::Table::len).sum();
        assert_eq!(keys, 8 + 2 + 6 + 17 + 2, "a key of the code is missing in config/hl7-maps/standard.toml");
        assert_eq!(document.len(), 8);
        // A place that were misspelt in the code would be missing from its list.
        for (count, named) in [(2, &Map::default().patient.number), (4, &Map::default().patient.national)] {
            assert_eq!(named.len(), count);
        }
    }

    #[test]
    fn the_samples_are_read() {
        let map = Map::parse(NUMBERS).expect("a sample");
        assert_eq!(map.patient.national, places(&["PID-19"]));
        assert_eq!(map.room("p.101").map(|title| title.to_string()), Some("CT01".to_owned()));
        let map = Map::parse(SITE).expect("a sample");
        assert_eq!(map.order.weight, places(&["ZVN-4"]));
        assert_eq!(map.modality("xq"), "CR");
    }

    #[test]
    fn what_is_unknown_is_refused_with_its_line() {
        for (text, line, word) in [
            ("[patient]\nnumber = [\"PID-3\"]\nnumbr = []\n", "line 3", "numbr"),
            ("[order]\nweight = [\"ZVN\"]\n", "line 2", "ZVN"),
            ("[rooms]\n\"P1\" = \"AN AE TITLE THAT IS TOO LONG\"\n", "line 2", ""),
            ("[discipline]\nXQ = \"radiology\"\n", "line 2", "radiology"),
            ("[orders]\n", "line 1", "orders"),
        ] {
            let error = Map::parse(text).expect_err(text).to_string();
            assert!(error.contains(line) && error.contains(word), "{text}: {error}");
        }
    }

    #[test]
    fn codes_are_translated_and_others_kept() {
        let map = Map::parse("[modality]\nXQ = \"CR\"\n[discipline]\nHH = \"laboratory\"\n").expect("a map");
        let term = |code: &str| map.modality(code);
        assert_eq!([term("XQ"), term("sa"), term("MRI"), term("NS"), term("CTM")], ["CR", "US", "MR", "ES", "CT"]);
        assert_eq!([term("MG"), term(" pt ")], ["MG", "PT"]);
        assert_eq!(Map::default().modality("XQ"), "DX");
        assert_eq!((map.discipline("hh"), map.discipline("?")), (Some(Discipline::Laboratory), None));
        assert_eq!(map.discipline("SP"), Some(Discipline::Pathology));
    }
}

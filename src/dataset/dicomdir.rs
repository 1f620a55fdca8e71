//! The DICOMDIR of a file-set (PS3.10 section 8.6, PS3.3 Annex F): records of patients, studies, series and instances
//! with the byte offsets that link them.
//!
//! It lays out and writes; which attributes a record has is said here by its type, their values come from the
//! instances' DICOM JSON. No file is opened.

use crate::compose::{ComposeError, compose};
use crate::part10::file_meta;
use crate::syntax::EXPLICIT_LE;
use model::Uid;
use serde_json::{Map, Value};

/// Media Storage Directory Storage.
const MEDIA_DIRECTORY: &str = "1.2.840.10008.1.3.10";
/// Bytes in front of the first record item: File-set ID, offsets, consistency flag, sequence header.
const RECORD_FIXED: usize = 12 + 10 + 12;

/// One record and those below it.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// Directory Record Type (0004,1430).
    pub kind: &'static str,
    /// The file it stands for.
    pub file: Option<RecordFile>,
    /// Attributes of the record as DICOM JSON.
    pub keys: Map<String, Value>,
    /// Records of the level below, in order.
    pub below: Vec<Record>,
}

/// A file of the file-set.
#[derive(Debug, Clone)]
pub struct RecordFile {
    /// Components of its File ID (PS3.10 section 8.5), at most eight of at most eight characters.
    pub path: Vec<String>,
    /// SOP Class UID.
    pub sop_class: Uid,
    /// SOP Instance UID.
    pub sop_instance: Uid,
    /// Transfer syntax of the file.
    pub transfer_syntax: Uid,
}

/// Type of record, and the attributes it needs beyond those of every instance (PS3.3 section F.5).
const KINDS: &[(&str, &str, &[&str])] = &[
    ("1.2.840.10008.5.1.4.1.1.88.59", "KEY OBJECT DOC", &["00080023", "00080033", "0040A043", "0040A730"]),
    (
        "1.2.840.10008.5.1.4.1.1.88.",
        "SR DOCUMENT",
        &["00080023", "00080033", "0040A030", "0040A032", "0040A043", "0040A491", "0040A493"],
    ),
    (
        "1.2.840.10008.5.1.4.1.1.11.",
        "PRESENTATION",
        &["00081115", "00700080", "00700081", "00700082", "00700083", "00700084"],
    ),
    ("1.2.840.10008.5.1.4.1.1.9.", "WAVEFORM", &["00080023", "00080033"]),
    ("1.2.840.10008.5.1.4.1.1.104.", "ENCAP DOC", &["00080023", "00080033", "0040A043", "00420010", "00420012"]),
    ("1.2.840.10008.5.1.4.1.1.481.2", "RT DOSE", &["3004000A", "30040006"]),
    ("1.2.840.10008.5.1.4.1.1.481.3", "RT STRUCTURE SET", &["30060002", "30060008", "30060009"]),
    ("1.2.840.10008.5.1.4.1.1.481.5", "RT PLAN", &["300A0002", "300A0006", "300A0007"]),
    ("1.2.840.10008.5.1.4.1.1.481.4", "RT TREAT RECORD", &["30080250", "30080251"]),
    ("1.2.840.10008.5.1.4.1.1.66.1", "REGISTRATION", &["00080023", "00080033", "00700080", "00700081", "00700084"]),
    ("1.2.840.10008.5.1.4.1.1.66.2", "FIDUCIAL", &["00080023", "00080033", "00700080", "00700081", "00700084"]),
    ("1.2.840.10008.5.1.4.1.1.66.3", "REGISTRATION", &["00080023", "00080033", "00700080", "00700081", "00700084"]),
    ("1.2.840.10008.5.1.4.1.1.66.5", "SURFACE", &["00080023", "00080033"]),
    ("1.2.840.10008.5.1.4.1.1.66", "RAW DATA", &["00080023", "00080033"]),
    ("1.2.840.10008.5.1.4.1.1.67", "VALUE MAP", &["00080023", "00080033", "00700080", "00700081", "00700084"]),
    (
        "1.2.840.10008.5.1.4.1.1.4.2",
        "SPECTROSCOPY",
        &["00080008", "00080023", "00080033", "00280008", "00280010", "00280011"],
    ),
    ("1.2.840.10008.5.1.4.1.1.78.", "MEASUREMENT", &["00080023", "00080033"]),
];
/// Images are all the rest.
const IMAGE: (&str, &[&str]) = ("IMAGE", &["00080008", "00280010", "00280011", "00280008"]);
/// Segmentations are images although their class stands among the raw data.
const SEGMENTATIONS: [&str; 2] = ["1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7"];

/// Attributes of every patient, study and series record.
const PATIENT: &[&str] = &["00100010", "00100020", "00100030", "00100040"];
const STUDY: &[&str] = &["00080020", "00080030", "00080050", "00081030", "0020000D", "00200010"];
const SERIES: &[&str] = &["00080060", "0008103E", "0020000E", "00200011"];

/// The record type of an instance and its own attributes.
fn kind(sop_class: &str) -> (&'static str, &'static [&'static str]) {
    if SEGMENTATIONS.contains(&sop_class) {
        return IMAGE;
    }
    let fits = |prefix: &str| match prefix.ends_with('.') {
        true => sop_class.starts_with(prefix),
        false => sop_class == prefix,
    };
    KINDS.iter().find(|(prefix, ..)| fits(prefix)).map_or(IMAGE, |(_, kind, keys)| (kind, keys))
}

/// The record of an instance from its DICOM JSON.
pub fn instance_record(document: &Map<String, Value>, file: RecordFile, number: u64) -> Record {
    let (kind, own) = kind(file.sop_class.as_str());
    let mut keys = taken(document, own, &[]);
    let instance_number = document.get("00200013").filter(|member| member.get("Value").is_some()).cloned();
    let counted = || serde_json::json!({"vr": "IS", "Value": [number]});
    keys.insert("00200013".into(), instance_number.unwrap_or_else(counted));
    Record { kind, file: Some(file), keys, below: Vec::new() }
}

/// The record of a patient, study or series from the DICOM JSON of one of its instances.
pub fn patient_record(document: &Map<String, Value>) -> Record {
    Record { kind: "PATIENT", keys: taken(document, PATIENT, &["00100010", "00100020"]), ..Record::default() }
}

/// As [`patient_record`], for a study.
pub fn study_record(document: &Map<String, Value>) -> Record {
    let keys = taken(document, STUDY, &["00080020", "00080030", "00080050", "00081030", "00200010"]);
    Record { kind: "STUDY", keys, ..Record::default() }
}

/// As [`patient_record`], for a series.
pub fn series_record(document: &Map<String, Value>) -> Record {
    Record { kind: "SERIES", keys: taken(document, SERIES, &["00080060", "00200011"]), ..Record::default() }
}

/// Attributes that are there; those that must be are written empty where they are not.
fn taken(document: &Map<String, Value>, wanted: &[&str], needed: &[&str]) -> Map<String, Value> {
    let mut keys = Map::new();
    for tag in wanted {
        match document.get(*tag) {
            Some(member) if member.get("BulkDataURI").is_none() => drop(keys.insert((*tag).into(), member.clone())),
            _ if needed.contains(tag) => drop(keys.insert((*tag).into(), Value::Object(Map::new()))),
            _ => {}
        }
    }
    keys
}

/// A record with its bytes and place.
struct Placed {
    offset: usize,
    next: usize,
    lower: usize,
    /// Everything behind the offset of the lower level.
    rest: Vec<u8>,
}

/// Writes the DICOMDIR of a file-set.
///
/// # Errors
/// An attribute of a record that cannot be written.
pub fn dicomdir(file_set_id: &str, instance: &Uid, roots: &[Record]) -> Result<Vec<u8>, ComposeError> {
    let named = |text: &str| Uid::parse(text).unwrap_or_else(|_| instance.clone());
    let mut file = file_meta(&named(MEDIA_DIRECTORY), instance, &named(EXPLICIT_LE));
    let mut head = Vec::new();
    text(0x1130, b"CS", file_set_id, &mut head);
    let start = file.len() + head.len() + 12 + 12 + 10 + 12;
    let mut placed = Vec::new();
    let (first, last) = place(roots, start, &mut placed)?;
    head.extend(long(0x1200, first));
    head.extend(long(0x1202, last));
    // The file-set is consistent: every file that a record names was there when this was written.
    head.extend([4, 0, 0x12, 0x12, b'U', b'S', 2, 0, 0, 0]);
    let length: usize = placed.iter().map(|record| record_length(&record.rest)).sum();
    head.extend([4, 0, 0x20, 0x12, b'S', b'Q', 0, 0]);
    head.extend(u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    file.extend(head);
    placed.sort_by_key(|record| record.offset);
    for record in placed {
        file.extend([0xFE, 0xFF, 0x00, 0xE0]);
        file.extend(u32::try_from(RECORD_FIXED + record.rest.len()).unwrap_or(u32::MAX).to_le_bytes());
        file.extend(long(0x1400, record.next));
        file.extend([4, 0, 0x10, 0x14, b'U', b'S', 2, 0, 0xFF, 0xFF]);
        file.extend(long(0x1420, record.lower));
        file.extend(record.rest);
    }
    Ok(file)
}

fn record_length(rest: &[u8]) -> usize {
    8 + RECORD_FIXED + rest.len()
}

/// Places the records of one level and everything below them, depth first; the first and last offset of the level.
fn place(records: &[Record], start: usize, placed: &mut Vec<Placed>) -> Result<(usize, usize), ComposeError> {
    let (mut at, mut first, mut last) = (start, 0, None::<usize>);
    for record in records {
        let rest = rest(record)?;
        let below = at + record_length(&rest);
        let mine = placed.len();
        placed.push(Placed { offset: at, next: 0, lower: 0, rest });
        let before = placed.len();
        let (lower, _) = place(&record.below, below, placed)?;
        let added: usize = placed.iter().skip(before).map(|record| record_length(&record.rest)).sum();
        if let Some(own) = placed.get_mut(mine) {
            own.lower = lower;
        }
        match last.and_then(|last| placed.get_mut(last)) {
            Some(previous) => previous.next = at,
            None => first = at,
        }
        last = Some(mine);
        at = below + added;
    }
    Ok((first, last.and_then(|last| placed.get(last)).map_or(0, |record| record.offset)))
}

fn rest(record: &Record) -> Result<Vec<u8>, ComposeError> {
    let mut out = Vec::new();
    text(0x1430, b"CS", record.kind, &mut out);
    if let Some(file) = &record.file {
        text(0x1500, b"CS", &file.path.join("\\"), &mut out);
        text(0x1510, b"UI", file.sop_class.as_str(), &mut out);
        text(0x1511, b"UI", file.sop_instance.as_str(), &mut out);
        text(0x1512, b"UI", file.transfer_syntax.as_str(), &mut out);
    }
    out.extend(compose(&record.keys, &|_| None, 0)?);
    Ok(out)
}

fn text(element: u16, vr: &[u8; 2], value: &str, out: &mut Vec<u8>) {
    let length = u16::try_from(value.len().next_multiple_of(2)).unwrap_or(u16::MAX);
    out.extend([4, 0]);
    out.extend(element.to_le_bytes());
    out.extend(vr);
    out.extend(length.to_le_bytes());
    out.extend(value.as_bytes());
    if value.len() % 2 == 1 {
        out.push(if vr == b"UI" { 0 } else { b' ' });
    }
}

fn long(element: u16, value: usize) -> [u8; 12] {
    let [low, high] = element.to_le_bytes();
    let [a, b, c, d] = u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes();
    [4, 0, low, high, b'U', b'L', 4, 0, a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn uid(text: &str) -> Uid {
        Uid::parse(text).expect("a UID")
    }

    #[test]
    fn offsets_point_at_items_and_link_the_levels() {
        let document = json!({"00100010": {"vr": "PN", "Value": [{"Alphabetic": "Nguyễn^An"}]}});
        let document = document.as_object().expect("an object");
        let file = |name: &str| RecordFile {
            path: vec!["DICOM".into(), name.into()],
            sop_class: uid("1.2.840.10008.5.1.4.1.1.2"),
            sop_instance: uid("1.2.3"),
            transfer_syntax: uid(EXPLICIT_LE),
        };
        let mut series = series_record(document);
        series.below = vec![instance_record(document, file("A"), 1), instance_record(document, file("B"), 2)];
        let mut study = study_record(document);
        study.below = vec![series];
        let mut patient = patient_record(document);
        patient.below = vec![study];
        let bytes = dicomdir("KHOANH", &uid("1.2.9"), &[patient]).expect("written");
        let item = |at: usize| bytes.get(at..at + 4) == Some(&[0xFE, 0xFF, 0x00, 0xE0]);
        let number = |at: usize| {
            let four = bytes.get(at..at + 4).expect("inside").try_into().expect("four");
            usize::try_from(u32::from_le_bytes(four)).expect("small")
        };
        // Next record, then lower level, of the item at an offset.
        let links = |at: usize| (number(at + 8 + 8), number(at + 8 + 12 + 10 + 8));
        let first = bytes.windows(4).position(|four| four == [4, 0, 0, 0x12]).expect("there") + 8;
        let mut at = number(first);
        let mut depth = 0;
        while at != 0 {
            assert!(item(at), "an offset points at an item");
            let (next, lower) = links(at);
            if depth < 3 {
                assert_eq!(next, 0);
                at = lower;
            } else {
                assert_eq!(lower, 0);
                at = next;
            }
            depth += 1;
        }
        assert_eq!(depth, 5, "patient, study, series and two images");
    }

    #[test]
    fn classes_have_their_record_types() {
        for (class, wanted) in [
            ("1.2.840.10008.5.1.4.1.1.2", "IMAGE"),
            ("1.2.840.10008.5.1.4.1.1.66.4", "IMAGE"),
            ("1.2.840.10008.5.1.4.1.1.66", "RAW DATA"),
            ("1.2.840.10008.5.1.4.1.1.88.33", "SR DOCUMENT"),
            ("1.2.840.10008.5.1.4.1.1.88.59", "KEY OBJECT DOC"),
            ("1.2.840.10008.5.1.4.1.1.104.1", "ENCAP DOC"),
            ("1.2.840.10008.5.1.4.1.1.9.1.1", "WAVEFORM"),
            ("1.2.840.10008.5.1.4.1.1.481.3", "RT STRUCTURE SET"),
        ] {
            assert_eq!(kind(class).0, wanted, "{class}");
        }
    }
}

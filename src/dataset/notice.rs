//! Instance Availability Notifications (PS3.3 section C.4.23), read and written whole.
//!
//! Reading goes through the same bounded walk as every object; whether a UID is one is for the caller to say.

use crate::error::ScanError;
use crate::identifier::element;
use crate::limits::Limits;
use crate::references::{put_item, uid};
use crate::syntax::Syntax;
use crate::vr::Vr;
use crate::walk::{Element, Sink, Walker};

const AVAILABILITY: u32 = 0x0008_0056;
const RETRIEVE_AE: u32 = 0x0008_0054;
const PERFORMED: u32 = 0x0008_1111;
const SERIES: u32 = 0x0008_1115;
const SOPS: u32 = 0x0008_1199;
const SOP_CLASS: u32 = 0x0008_1150;
const SOP_INSTANCE: u32 = 0x0008_1155;
const STUDY: u32 = 0x0020_000D;
const SERIES_INSTANCE: u32 = 0x0020_000E;

/// A notice; texts without padding.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Notice {
    /// Study Instance UID (0020,000D).
    pub study: String,
    /// Its series (0008,1115).
    pub series: Vec<Series>,
}

/// A series of a notice.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Series {
    /// Series Instance UID (0020,000E).
    pub uid: String,
    /// Its objects (0008,1199).
    pub objects: Vec<Object>,
}

/// An object of a notice.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Object {
    /// Referenced SOP Class UID (0008,1150).
    pub class: String,
    /// Referenced SOP Instance UID (0008,1155).
    pub instance: String,
    /// Instance Availability (0008,0056).
    pub availability: String,
    /// Retrieve AE Title (0008,0054).
    pub retrieve_ae: String,
}

/// Reads a notice.
///
/// # Errors
/// Where the bytes are no data set in this transfer syntax or exceed a limit.
pub fn read(bytes: &[u8], transfer_syntax: &str) -> Result<Notice, ScanError> {
    let mut reader = Reader::default();
    let mut walker = Walker::new(Syntax::of(transfer_syntax).coding, Limits::default());
    walker.feed(bytes, &mut reader)?;
    walker.finish(&mut reader)?;
    Ok(reader.found)
}

#[derive(Default)]
struct Reader {
    found: Notice,
    /// Tags of the open sequences.
    open: Vec<u32>,
    tag: u32,
    value: Vec<u8>,
}

impl Reader {
    /// Where the value of an element goes; none for one that is not kept.
    fn place(&mut self) -> Option<&mut String> {
        let series = self.found.series.last_mut();
        match (self.open.as_slice(), self.tag) {
            ([], STUDY) => Some(&mut self.found.study),
            ([SERIES], SERIES_INSTANCE) => series.map(|series| &mut series.uid),
            ([SERIES, SOPS], tag) => {
                let object = series.and_then(|series| series.objects.last_mut())?;
                match tag {
                    SOP_CLASS => Some(&mut object.class),
                    SOP_INSTANCE => Some(&mut object.instance),
                    AVAILABILITY => Some(&mut object.availability),
                    RETRIEVE_AE => Some(&mut object.retrieve_ae),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

impl Sink for Reader {
    fn element(&mut self, element: &Element) {
        self.tag = element.tag;
        self.value.clear();
    }

    fn value(&mut self, bytes: &[u8]) {
        if self.place().is_some() {
            self.value.extend_from_slice(bytes);
        }
    }

    fn element_end(&mut self) {
        let text = String::from_utf8_lossy(&self.value).trim_matches(['\0', ' ']).to_owned();
        if let Some(place) = self.place() {
            *place = text;
        }
        self.tag = 0;
    }

    fn sequence(&mut self, element: &Element) {
        self.open.push(element.tag);
    }

    fn item(&mut self) {
        match self.open.as_slice() {
            [SERIES] => self.found.series.push(Series::default()),
            [SERIES, SOPS] => {
                if let Some(series) = self.found.series.last_mut() {
                    series.objects.push(Object::default());
                }
            }
            _ => {}
        }
    }

    fn sequence_end(&mut self) {
        self.open.pop();
    }
}

/// A notice as written.
pub fn write(notice: &Notice, transfer_syntax: &str) -> Vec<u8> {
    let coding = Syntax::of(transfer_syntax).coding;
    let text = |tag: u32, vr: Vr, text: &str, out: &mut Vec<u8>| {
        let mut value = text.as_bytes().to_vec();
        value.resize(value.len().next_multiple_of(2), b' ');
        element(tag, vr, &value, coding, out);
    };
    let mut all = Vec::new();
    for series in &notice.series {
        let mut objects = Vec::new();
        for object in &series.objects {
            let mut inside = Vec::with_capacity(200);
            text(RETRIEVE_AE, Vr::AE, &object.retrieve_ae, &mut inside);
            text(AVAILABILITY, Vr::CS, &object.availability, &mut inside);
            uid(SOP_CLASS, &object.class, coding, &mut inside);
            uid(SOP_INSTANCE, &object.instance, coding, &mut inside);
            put_item(&inside, coding, &mut objects);
        }
        let mut inside = Vec::with_capacity(objects.len().saturating_add(100));
        element(SOPS, Vr::SQ, &objects, coding, &mut inside);
        uid(SERIES_INSTANCE, &series.uid, coding, &mut inside);
        put_item(&inside, coding, &mut all);
    }
    let mut out = Vec::with_capacity(all.len().saturating_add(200));
    // Which procedure step made it is not known: type 2, empty.
    element(PERFORMED, Vr::SQ, &[], coding, &mut out);
    element(SERIES, Vr::SQ, &all, coding, &mut out);
    uid(STUDY, &notice.study, coding, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::{EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE};

    #[test]
    fn notices_read_back_the_same() {
        let object = |number: u32| Object {
            class: "1.2.840.10008.5.1.4.1.1.2".into(),
            instance: format!("1.2.{number}"),
            availability: "ONLINE".into(),
            retrieve_ae: "KHOANH".into(),
        };
        let series = |uid: &str, count| Series { uid: uid.into(), objects: (0..count).map(object).collect() };
        let notice = Notice { study: "1.2.3".into(), series: vec![series("1.2.3.1", 700), series("1.2.3.2", 1)] };
        for syntax in [IMPLICIT_LE, EXPLICIT_LE, EXPLICIT_BE] {
            assert_eq!(read(&write(&notice, syntax), syntax).expect(syntax), notice);
        }
        assert_eq!(read(&[], EXPLICIT_LE).expect("empty"), Notice::default());
        assert!(read(b"GARBAGE GARBAGE ", EXPLICIT_LE).is_err());
    }
}

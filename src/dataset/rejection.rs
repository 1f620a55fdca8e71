//! Rejection notes: Key Object Selection documents whose title says why objects are rejected (IHE RAD Imaging Object
//! Change Management; PS3.3 section C.17.6, PS3.16 CID 7011).
//!
//! Only the title and the lists of evidence are read. What follows from a note is for the archive to say.

use crate::error::ScanError;
use crate::limits::Limits;
use crate::syntax::Syntax;
use crate::walk::{Element, Sink, Walker};

/// SOP Class UID of Key Object Selection Document Storage.
pub const KEY_OBJECT_SELECTION: &str = "1.2.840.10008.5.1.4.1.1.88.59";

const CODE_VALUE: u32 = 0x0008_0100;
const CODING_SCHEME: u32 = 0x0008_0102;
const SERIES_LIST: u32 = 0x0008_1115;
const SOP_INSTANCE: u32 = 0x0008_1155;
const SOP_LIST: u32 = 0x0008_1199;
const STUDY: u32 = 0x0020_000D;
const SERIES: u32 = 0x0020_000E;
const TITLE: u32 = 0x0040_A043;
const EVIDENCE: u32 = 0x0040_A375;
const OTHER_EVIDENCE: u32 = 0x0040_A385;

/// An object a document refers to; texts without padding.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// Study Instance UID.
    pub study: String,
    /// Series Instance UID.
    pub series: String,
    /// Referenced SOP Instance UID.
    pub sop_instance: String,
}

/// The title of a document and what it refers to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyObjects {
    /// Code Value of the document's title under the coding scheme DCM; empty for another scheme.
    pub title: String,
    /// The objects of Current Requested Procedure Evidence Sequence (0040,A375) and Pertinent Other Evidence Sequence
    /// (0040,A385), in order.
    pub references: Vec<Reference>,
}

/// Reads a document: an inflated data set of at most `limit` references.
///
/// # Errors
/// Where the bytes are no data set in this transfer syntax, exceed a limit, or refer to more.
pub fn read(bytes: &[u8], transfer_syntax: &str, limit: usize) -> Result<KeyObjects, ScanError> {
    let mut reader = Reader { limit, ..Reader::default() };
    let mut walker = Walker::new(Syntax::of(transfer_syntax).coding, Limits::default());
    walker.feed(bytes, &mut reader)?;
    walker.finish(&mut reader)?;
    if reader.too_many {
        let allowed = u64::try_from(limit).unwrap_or(u64::MAX);
        let found = allowed.saturating_add(1);
        return Err(ScanError::Bound { offset: 0, tag: EVIDENCE, limit: "references", allowed, found });
    }
    let title = if reader.scheme == "DCM" { reader.code } else { String::new() };
    Ok(KeyObjects { title, references: reader.references })
}

#[derive(Default)]
struct Reader {
    limit: usize,
    too_many: bool,
    references: Vec<Reference>,
    code: String,
    scheme: String,
    /// Tags of the open sequences.
    open: Vec<u32>,
    tag: u32,
    value: Vec<u8>,
    /// Where the references of the open study and series begin: their UIDs come behind them.
    of_study: usize,
    of_series: usize,
}

impl Reader {
    fn is_evidence(&self, depth: usize) -> bool {
        let below: &[u32] = &[SERIES_LIST, SOP_LIST];
        let first = matches!(self.open.first(), Some(&(EVIDENCE | OTHER_EVIDENCE)));
        first && self.open.get(1..) == below.get(..depth)
    }

    fn take(&mut self, text: String) {
        match self.tag {
            CODE_VALUE if self.open == [TITLE] => self.code = text,
            CODING_SCHEME if self.open == [TITLE] => self.scheme = text,
            SOP_INSTANCE if self.is_evidence(2) => {
                self.too_many |= self.references.len() >= self.limit;
                if !self.too_many {
                    let (study, series) = (String::new(), String::new());
                    self.references.push(Reference { study, series, sop_instance: text });
                }
            }
            SERIES if self.is_evidence(1) => {
                let from = self.of_series;
                self.references.iter_mut().skip(from).for_each(|known| known.series.clone_from(&text));
            }
            STUDY if self.is_evidence(0) => {
                let from = self.of_study;
                self.references.iter_mut().skip(from).for_each(|known| known.study.clone_from(&text));
            }
            _ => {}
        }
    }
}

impl Sink for Reader {
    fn element(&mut self, element: &Element) {
        self.tag = element.tag;
        self.value.clear();
    }

    fn value(&mut self, bytes: &[u8]) {
        let wanted = matches!(self.tag, CODE_VALUE | CODING_SCHEME | SOP_INSTANCE | STUDY | SERIES);
        if wanted && self.value.len() < 1_024 {
            self.value.extend_from_slice(bytes);
        }
    }

    fn element_end(&mut self) {
        let text = String::from_utf8_lossy(&self.value).trim_matches(['\0', ' ']).to_owned();
        self.take(text);
        self.tag = 0;
    }

    fn sequence(&mut self, element: &Element) {
        self.open.push(element.tag);
    }

    fn item(&mut self) {
        if self.is_evidence(0) {
            self.of_study = self.references.len();
        } else if self.is_evidence(1) {
            self.of_series = self.references.len();
        }
    }

    fn sequence_end(&mut self) {
        self.open.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identifier::{element, put_tag, put_u32};
    use crate::syntax::{Coding, EXPLICIT_LE, IMPLICIT_LE};
    use crate::vr::Vr;

    fn item(inside: &[u8], coding: Coding) -> Vec<u8> {
        let mut out = Vec::new();
        put_tag(0xFFFE_E000, coding, &mut out);
        put_u32(inside.len(), coding, &mut out);
        out.extend_from_slice(inside);
        out
    }

    fn text(tag: u32, vr: Vr, value: &str, coding: Coding, out: &mut Vec<u8>) {
        let mut value = value.as_bytes().to_vec();
        value.resize(value.len().next_multiple_of(2), if vr == Vr::UI { 0 } else { b' ' });
        element(tag, vr, &value, coding, out);
    }

    fn document(scheme: &str, coding: Coding) -> Vec<u8> {
        let (mut title, mut out) = (Vec::new(), Vec::new());
        text(CODE_VALUE, Vr::SH, "113037", coding, &mut title);
        text(CODING_SCHEME, Vr::SH, scheme, coding, &mut title);
        element(TITLE, Vr::SQ, &item(&title, coding), coding, &mut out);
        let mut list = Vec::new();
        for study in ["1.1", "1.2"] {
            let mut series_items = Vec::new();
            for series in ["1", "2"] {
                let mut sops = Vec::new();
                for number in 1..=2 {
                    let mut sop = Vec::new();
                    text(SOP_INSTANCE, Vr::UI, &format!("{study}.{series}.{number}"), coding, &mut sop);
                    sops.extend(item(&sop, coding));
                }
                let mut inside = Vec::new();
                element(SOP_LIST, Vr::SQ, &sops, coding, &mut inside);
                text(SERIES, Vr::UI, &format!("{study}.{series}"), coding, &mut inside);
                series_items.extend(item(&inside, coding));
            }
            let mut inside = Vec::new();
            element(SERIES_LIST, Vr::SQ, &series_items, coding, &mut inside);
            text(STUDY, Vr::UI, study, coding, &mut inside);
            list.extend(item(&inside, coding));
        }
        element(EVIDENCE, Vr::SQ, &list, coding, &mut out);
        out
    }

    #[test]
    fn every_reference_is_read_with_its_series_and_study() {
        for syntax in [EXPLICIT_LE, IMPLICIT_LE] {
            let read_one = read(&document("DCM", Syntax::of(syntax).coding), syntax, 8).expect(syntax);
            assert_eq!(read_one.title, "113037");
            assert_eq!(read_one.references.len(), 8);
            for known in &read_one.references {
                assert!(known.series.starts_with(&known.study) && known.sop_instance.starts_with(&known.series));
            }
        }
    }

    #[test]
    fn other_schemes_and_too_long_lists_are_no_rejection() {
        let coding = Syntax::of(EXPLICIT_LE).coding;
        assert_eq!(read(&document("99X", coding), EXPLICIT_LE, 8).expect("read").title, "");
        assert!(read(&document("DCM", coding), EXPLICIT_LE, 7).is_err());
        assert!(read(b"GARBAGE GARBAGE ", EXPLICIT_LE, 8).is_err());
    }
}

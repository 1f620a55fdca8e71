//! An uncompressed data set in another little endian coding, converted as it is read.

use dataset::syntax::EXPLICIT_LE;
use dataset::transcode::Recoding;
use model::Uid;
use std::io::Read;

/// Opens the data set in Explicit VR Little Endian or, for any other syntax wanted, Implicit VR Little Endian.
pub fn recoded(stored: impl Read + Send + 'static, from: &Uid, to: &str) -> Box<dyn Read + Send> {
    Box::new(Recoding::new(stored, from, to != EXPLICIT_LE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataset::identifier;
    use dataset::syntax::{EXPLICIT_BE, IMPLICIT_LE};
    use model::attribute::key;
    use std::io;

    #[test]
    fn every_uncompressed_coding_comes_out_in_both_and_errors_come_through() {
        let uid = |text: &str| Uid::parse(text).expect("uid");
        let long = "x".repeat(300_000);
        let values = [(key::PATIENT_COMMENTS, "UT", long.as_str()), (key::STUDY_INSTANCE_UID, "UI", "1.2.3")];
        for from in [IMPLICIT_LE, EXPLICIT_LE, EXPLICIT_BE] {
            for to in [IMPLICIT_LE, EXPLICIT_LE] {
                let stored = identifier::write(&values, from, "");
                let mut out = Vec::new();
                let mut data = recoded(io::Cursor::new(stored.clone()), &uid(from), to);
                data.read_to_end(&mut out).expect("recoded");
                // In implicit coding the comments are LT, as in the dictionary.
                let read = identifier::read(&out, to, model::facility::CharsetHint::Auto).expect("readable");
                assert_eq!(read.keys.iter().map(|key| key.text.len()).collect::<Vec<_>>(), [300_000, 6], "{from} {to}");
                let cut = stored.get(..stored.len() - 3).expect("long").to_vec();
                let mut data = recoded(io::Cursor::new(cut), &uid(from), to);
                let whole = data.read_to_end(&mut Vec::new());
                assert!(whole.is_err() || from == to, "a cut data set looked whole");
            }
        }
    }
}

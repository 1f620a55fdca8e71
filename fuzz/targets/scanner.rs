//! A data set in any transfer syntax, whole and in pieces: both ways must agree, and nothing may panic.
#![no_main]

use dataset::scan::{Scanned, Scanner};
use dataset::{Limits, ScanError};
use model::Uid;
use model::facility::CharsetHint;

const DEFLATED: &str = "1.2.840.10008.1.2.1.99";
const SYNTAXES: [&str; 7] = [
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.5",
    DEFLATED,
];

fn scan(syntax: &Uid, data: &[u8], piece: usize) -> Result<Scanned, ScanError> {
    let mut scanner = Scanner::new(syntax, CharsetHint::Auto, Limits::default());
    data.chunks(piece).try_for_each(|piece| scanner.feed(piece))?;
    scanner.finish()
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((first, data)) = data.split_first() else { return };
    let text = SYNTAXES[usize::from(*first) % SYNTAXES.len()];
    let syntax = Uid::parse(text).expect("a constant");
    let whole = scan(&syntax, data, usize::MAX);
    let pieces = scan(&syntax, data, 1 + usize::from(*first / 7));
    if text == DEFLATED {
        // How far a damaged stream was inflated before the damage is met depends on the pieces.
        assert_eq!(whole.ok(), pieces.ok());
    } else {
        assert_eq!(whole, pieces);
    }
});

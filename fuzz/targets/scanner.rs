//! A data set in any transfer syntax, whole and in pieces: both ways must agree, and nothing may panic.
#![no_main]

use dataset::Limits;
use dataset::scan::{Scanned, Scanner};
use model::Uid;
use model::facility::CharsetHint;

const SYNTAXES: [&str; 6] = [
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.5",
];

fn scan(syntax: &Uid, data: &[u8], piece: usize) -> Option<Scanned> {
    let mut scanner = Scanner::new(syntax, CharsetHint::Auto, Limits::default());
    data.chunks(piece).try_for_each(|piece| scanner.feed(piece)).ok()?;
    scanner.finish().ok()
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((first, data)) = data.split_first() else { return };
    let syntax = SYNTAXES.get(usize::from(*first) % SYNTAXES.len()).expect("in range");
    let syntax = Uid::parse(syntax).expect("a constant");
    let whole = scan(&syntax, data, usize::MAX);
    let pieces = scan(&syntax, data, 1 + usize::from(*first >> 3));
    assert_eq!(whole, pieces);
});

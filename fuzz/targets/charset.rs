//! Text in any declared character set, under every hint: never a panic, and the composed form is the written one's.
#![no_main]

use dataset::{Charset, Notes, Vr};
use model::facility::CharsetHint;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((len, data)) = data.split_first() else { return };
    let (label, text) = data.split_at(usize::from(*len).min(data.len()));
    for hint in [CharsetHint::Auto, CharsetHint::Windows1258, CharsetHint::Tcvn3, CharsetHint::Vni] {
        let charset = Charset::new(label, hint);
        for vr in [Vr::PN, Vr::LO, Vr::LT] {
            let mut notes = Notes::default();
            let written = charset.decode_as_written(text, vr, &mut notes);
            let mut again = Notes::default();
            let composed = charset.decode(text, vr, &mut again);
            assert_eq!(notes, again);
            // Composing takes as many bytes at the most as every letter in three.
            assert!(composed.len() <= 3 * written.len());
            assert!(written.len() <= 16 * text.len());
        }
    }
});

//! The body of a STOW-RS request, whole and in pieces: the same parts either way.
#![no_main]

use web::dicomweb::stow::parts::{Event, Splitter};

/// Bodies of the parts, and whether the message was well formed.
fn parts(body: &[u8], piece: usize) -> (Vec<Vec<u8>>, bool) {
    let mut splitter = Splitter::new("b").expect("a boundary");
    let mut parts: Vec<Vec<u8>> = Vec::new();
    for piece in body.chunks(piece) {
        splitter.feed(piece);
        loop {
            match splitter.next_event() {
                Ok(Event::Start(_)) => parts.push(Vec::new()),
                Ok(Event::Data(bytes)) => parts.last_mut().expect("a part was begun").extend_from_slice(&bytes),
                Ok(Event::End) => {}
                Ok(Event::Closed | Event::Hungry) => break,
                Err(_) => return (parts, false),
            }
        }
    }
    let whole = splitter.finish().is_ok();
    (parts, whole)
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((first, body)) = data.split_first() else { return };
    let (whole, closed) = parts(body, usize::MAX);
    let (pieces, closed_too) = parts(body, 1 + usize::from(*first));
    assert_eq!(closed, closed_too);
    if closed {
        assert_eq!(whole, pieces);
    }
});

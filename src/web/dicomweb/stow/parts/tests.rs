//! Splitting in pieces of every size, and bodies that break the rules.

use super::*;

#[derive(Debug, PartialEq, Eq)]
struct Part {
    content_type: Option<String>,
    body: Vec<u8>,
    ended: bool,
}

fn split(boundary: &str, body: &[u8], piece: usize) -> Result<Vec<Part>, PartsError> {
    let mut splitter = Splitter::new(boundary)?;
    let mut parts: Vec<Part> = Vec::new();
    let mut largest = 0;
    for chunk in body.chunks(piece.max(1)) {
        splitter.feed(chunk);
        loop {
            match splitter.next_event()? {
                Event::Hungry | Event::Closed => break,
                Event::Start(headers) => {
                    parts.push(Part { content_type: headers.content_type, body: Vec::new(), ended: false });
                }
                Event::Data(data) => parts.last_mut().expect("a part began").body.extend_from_slice(&data),
                Event::End => parts.last_mut().expect("a part began").ended = true,
            }
        }
        largest = largest.max(splitter.buffer.len());
    }
    assert!(largest <= HEADERS_MAX + piece + BOUNDARY_MAX + 8, "the splitter holds {largest} bytes");
    splitter.finish().map(|()| parts)
}

#[test]
fn parts_are_the_same_in_pieces_of_any_size() {
    let mut payload: Vec<u8> = (0..=255u8).cycle().take(3000).collect();
    payload.extend_from_slice(b"\r\n--b\r\n--bound\r\n--boun\r\n");
    let mut body = b"preamble\r\n--boundary\r\nContent-Type: application/dicom\r\nX: y\r\n\r\n".to_vec();
    body.extend_from_slice(&payload);
    body.extend_from_slice(
        b"\r\n--boundary  \r\ncontent-type: text/plain\r\n\r\n\r\n--boundary\r\n\r\nbare\r\n--boundary--\r\nepilogue",
    );
    for piece in [1, 2, 7, 64, 1000, body.len()] {
        let parts = split("boundary", &body, piece).expect("well formed");
        assert_eq!(parts.len(), 3, "pieces of {piece}");
        let expected = [
            (Some("application/dicom"), payload.as_slice()),
            (Some("text/plain"), b"".as_slice()),
            (None, b"bare".as_slice()),
        ];
        for (part, (content_type, content)) in parts.iter().zip(expected) {
            assert_eq!(part.content_type.as_deref(), content_type);
            assert!(part.body == content && part.ended, "pieces of {piece}");
        }
    }
}

#[test]
fn bodies_against_the_rules_are_refused() {
    assert_eq!(split("", b"", 1), Err(PartsError::Boundary));
    assert_eq!(split(&"b".repeat(71), b"", 1), Err(PartsError::Boundary));
    assert_eq!(split("b", b"--b\r\n\r\nabc\r\n--b\r\n", 3), Err(PartsError::Unclosed));
    assert_eq!(split("b", b"--b\r\n\r\nabc", 3), Err(PartsError::Unclosed));
    assert_eq!(split("b", b"", 3), Err(PartsError::Unclosed));
    assert_eq!(split("b", b"--bx\r\n\r\nabc\r\n--b--", 30), Err(PartsError::AfterBoundary));
    assert_eq!(split("b", &vec![b'x'; 1 << 20], 4096), Err(PartsError::Preamble));
    let mut endless = b"--b\r\nA: ".to_vec();
    endless.resize(1 << 20, b'a');
    assert_eq!(split("b", &endless, 4096), Err(PartsError::Headers));
}

#[test]
fn random_bodies_never_panic() {
    let seed = 20;
    let mut random = fastrand::Rng::with_seed(seed);
    for round in 0..20_000 {
        let alphabet = b"\r\n-b: x";
        let length = random.usize(0..80);
        let body: Vec<u8> =
            (0..length).filter_map(|_| alphabet.get(random.usize(0..alphabet.len())).copied()).collect();
        let (small, large) = (split("b", &body, random.usize(1..5)), split("b", &body, 1000));
        assert_eq!(small, large, "seed {seed}, round {round}, body {body:?}");
    }
}

/// What a limit says of a body may not depend on how the network cut it.
#[test]
fn limits_are_the_same_in_pieces_of_any_size() {
    let preamble = |len: usize| [&vec![b'x'; len][..], b"\r\n--b\r\n\r\nabc\r\n--b--"].concat();
    let padding = |len: usize| [b"--b", &vec![b' '; len][..], b"\r\n\r\nabc\r\n--b--"].concat();
    let headers = |len: usize| [b"--b\r\nA: ", &vec![b'x'; len][..], b"\r\n\r\nabc\r\n--b--"].concat();
    let make: [&dyn Fn(usize) -> Vec<u8>; 3] = [&preamble, &padding, &headers];
    for (make, limit) in make.into_iter().zip([PREAMBLE_MAX, 256, HEADERS_MAX]) {
        let mut refused = 0;
        for len in limit - 12..limit + 12 {
            let body = make(len);
            let whole = split("b", &body, body.len());
            refused += usize::from(whole.is_err());
            for piece in [1, 2, 3, 7, 64] {
                assert_eq!(split("b", &body, piece), whole, "{len} bytes of {limit}, pieces of {piece}");
            }
        }
        assert!(refused > 0 && refused < 24, "the limit of {limit} lies between");
    }
}

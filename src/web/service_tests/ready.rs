//! Small answers that lie ready: right bytes with any memory, and nobody keeps the others from theirs.

use super::*;
use crate::ready::InMemory;
use crate::server::Server;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const STORED: &str = "application/dicom; transfer-syntax=*";
const STORED_PARTS: &str = "multipart/related; type=\"application/dicom\"; transfer-syntax=*";
const FRAME: &str = "application/octet-stream";
const FRAME_PARTS: &str = "multipart/related; type=\"application/octet-stream\"";
/// Room for one slice of 526,474 bytes, and not for two.
const ONE: u64 = 600_000;
/// No wait in these tests is longer.
const LONG: Duration = Duration::from_secs(60);
/// Pixels of a slice, at the end of its file.
const PIXELS: usize = 512 * 512 * 2;

/// A service whose answers have so many bytes of memory, with three slices of one series: their files and paths.
async fn slices(memory: u64) -> (Service, Vec<(Vec<u8>, String)>) {
    let (archive, folder) = open_archive_with(|options| options.read_budget = memory);
    let router = router(App::new(Arc::clone(&archive), Options::default(), Tokens::open()));
    let service = Service { router, archive, _folder: folder };
    let mut slices = Vec::new();
    for number in 1..=3 {
        let file = sample(&format!("modality/ct-series/0{number}.dcm"));
        let stored = service.store("/dicom-web/studies", &[&file]).await.json();
        let url = stored.pointer("/00081199/Value/0/00081190/Value/0").and_then(|url| url.as_str()).expect("a URL");
        slices.push((file, url.replace("http://archive.test", "")));
    }
    (service, slices)
}

/// An answer of which nothing was taken, and whether it lies ready.
async fn untaken(service: &Service, path: &str, accept: &str) -> (axum::response::Response, bool) {
    let request = Request::get(path).header(header::HOST, "archive.test").header(header::ACCEPT, accept);
    let request = request.body(Body::empty()).expect("a request");
    let answer = service.router.clone().oneshot(request).await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK, "{path}");
    let ready = answer.extensions().get::<InMemory>().is_some();
    (answer, ready)
}

fn pixels(file: &[u8]) -> &[u8] {
    file.get(file.len() - PIXELS..).expect("pixels")
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_gets_the_right_bytes_however_little_memory_there_is() {
    // Less than one answer, one of them, and room for all.
    for memory in [0, ONE, 64 << 20] {
        let (service, slices) = slices(memory).await;
        let mut clients = tokio::task::JoinSet::new();
        let (service, slices) = (Arc::new(service), Arc::new(slices));
        for client in 0..40 {
            let (service, slices) = (Arc::clone(&service), Arc::clone(&slices));
            clients.spawn(async move {
                for turn in 0..6 {
                    let (file, path) = &slices[(client + turn) % 3];
                    let (accept, frame) = [(STORED, false), (STORED_PARTS, false), (FRAME, true), (FRAME_PARTS, true)]
                        [(client / 3 + turn) % 4];
                    let path = if frame { format!("{path}/frames/1") } else { path.clone() };
                    let answer = service.get(&path, accept).await;
                    assert_eq!(answer.status, StatusCode::OK, "{accept}: {:?}", answer.headers);
                    let bytes = match accept.starts_with("multipart") {
                        true => answer.parts().remove(0).1,
                        false => answer.body.to_vec(),
                    };
                    assert!(bytes == if frame { pixels(file) } else { file }, "{accept} with {memory} bytes");
                }
            });
        }
        while let Some(client) = clients.join_next().await {
            client.expect("no client failed");
        }
        assert_eq!(service.archive.reading().left(), memory, "everything is given back");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_lies_ready_is_the_one_that_is_read_piece_by_piece() {
    let (service, slices) = slices(64 << 20).await;
    let (_, path) = &slices[0];
    let frames = format!("{path}/frames/1");
    for (path, accept) in [(path, STORED), (path, STORED_PARTS), (&frames, FRAME), (&frames, FRAME_PARTS)] {
        let ask = |headers: &[(header::HeaderName, &str)]| {
            let mut request = Request::get(path.as_str()).header(header::HOST, "archive.test");
            for (name, value) in [[(header::ACCEPT, accept)].as_slice(), headers].concat() {
                request = request.header(name, value);
            }
            service.send(request.body(Body::empty()).expect("a request"))
        };
        assert!(untaken(&service, path, accept).await.1, "{accept}");
        let ready = ask(&[]).await;
        // Who has some version of it is answered piece by piece.
        let pieces = ask(&[(header::IF_NONE_MATCH, "\"another\"")]).await;
        assert_eq!((ready.status, pieces.status), (StatusCode::OK, StatusCode::OK), "{accept}");
        assert_eq!(ready.body.len(), pieces.body.len(), "{accept}");
        for name in [header::ETAG, header::VARY, header::ACCEPT_RANGES, header::CACHE_CONTROL, header::WARNING] {
            assert_eq!(ready.headers.get(&name), pieces.headers.get(&name), "{accept}: {name}");
        }
        if accept.starts_with("multipart") {
            assert!(ready.parts() == pieces.parts(), "{accept}");
        } else {
            assert!(ready.body == pieces.body && ready.content_type() == pieces.content_type(), "{accept}");
            let part = ask(&[(header::RANGE, "bytes=1000-1999")]).await;
            assert_eq!(part.status, StatusCode::PARTIAL_CONTENT, "{accept}");
            assert!(Some(part.body.as_ref()) == ready.body.get(1_000..2_000), "{accept}");
            assert_eq!(ask(&[(header::RANGE, "bytes=99999999-")]).await.status, StatusCode::RANGE_NOT_SATISFIABLE);
        }
        let known = ask(&[(header::IF_NONE_MATCH, ready.header(header::ETAG))]).await;
        assert_eq!((known.status, known.body.len()), (StatusCode::NOT_MODIFIED, 0), "{accept}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_take_an_answer_keeps_nobody_from_theirs() {
    let (service, slices) = slices(ONE).await;
    let (file, path) = &slices[0];
    let (first, ready) = untaken(&service, path, STORED).await;
    assert!(ready && service.archive.reading().left() < ONE / 2);
    for (path, accept) in [(slices[1].1.clone(), STORED), (format!("{}/frames/1", slices[1].1), FRAME)] {
        // Nothing is free now, and nobody waits for it: it is read piece by piece.
        assert!(!untaken(&service, &path, accept).await.1, "{path}");
        let answer = service.get(&path, accept).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        let expected = if accept == FRAME { pixels(&slices[1].0) } else { &slices[1].0 };
        assert!(answer.body == expected, "{path}");
    }
    drop(first);
    let (second, ready) = untaken(&service, path, STORED).await;
    assert!(ready, "its memory came back");
    let body = second.into_body().collect().await.expect("a body").to_bytes();
    assert!(body == file.as_slice());
}

/// A whole number of HPACK with a prefix of seven bits (RFC 7541 section 5.1), for a text that is not coded.
fn text(value: &str) -> Vec<u8> {
    let mut out = Vec::new();
    match value.len() {
        short @ ..127 => out.push(u8::try_from(short).expect("short")),
        long => out.extend([127, u8::try_from(long - 127).expect("below 255")]),
    }
    out.extend_from_slice(value.as_bytes());
    out
}

/// Requests for a path over HTTP/2 (RFC 9113) by a client that never gives more room than it has at first.
fn without_room(path: &str) -> Vec<u8> {
    let mut out = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    for stream in [1_u32, 3, 5, 7] {
        // GET, http; then path, authority and accept, not indexed.
        let head: [&[u8]; 6] = [&[0x82, 0x86, 0x04], &text(path), &[0x01], &text("x"), &[0x0F, 0x04], &text(STORED)];
        let head = head.concat();
        out.extend_from_slice(&u32::try_from(head.len()).expect("short").to_be_bytes()[1..]);
        // HEADERS, with END_STREAM and END_HEADERS.
        out.extend_from_slice(&[1, 5]);
        out.extend_from_slice(&stream.to_be_bytes());
        out.extend_from_slice(&head);
    }
    out
}

async fn ask(address: SocketAddr, path: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nAccept: {STORED}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("written");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("an answer");
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_never_read_keep_nobody_from_their_answers_for_ever() {
    // Their answers lie ready, or are read piece by piece.
    for memory in [ONE, 0] {
        let (service, slices) = slices(memory).await;
        // Pings come so seldom that none of them is the reason.
        let (stall_timeout, idle_timeout) = (Duration::from_secs(1), 20 * LONG);
        let options = Options { stall_timeout, idle_timeout, ..Options::default() };
        let free = "127.0.0.1:0".parse().expect("an address");
        let server = Server::bind(free, options, Arc::clone(&service.archive)).await.expect("bound");
        let address = server.local_addr();
        let serving = tokio::spawn(server.serve(std::future::pending(), Duration::ZERO));
        let (file, path) = &slices[0];
        // Far more than all buffers between the two take, one answer behind the other.
        let pipelined = format!("GET {path} HTTP/1.1\r\nHost: x\r\nAccept: {STORED}\r\n\r\n").repeat(200).into_bytes();
        for (requests, silent) in [(pipelined, false), (without_room(path), true)] {
            let mut greedy = TcpStream::connect(address).await.expect("connected");
            greedy.write_all(&requests).await.expect("written");
            let mut first = [0; 9];
            greedy.read_exact(&mut first).await.expect("the beginning of an answer, and no more of it");
            for turn in 0..20 {
                let answer = ask(address, path).await;
                assert!(answer.starts_with(b"HTTP/1.1 200") && answer.ends_with(file), "turn {turn}");
            }
            if silent {
                // It takes no more than it has room for: it is cut in the end.
                let mut rest = Vec::new();
                let closed = tokio::time::timeout(LONG, greedy.read_to_end(&mut rest)).await;
                // A reset is as good as an end.
                let _ = closed.expect("cut");
            }
        }
        let back = async {
            while service.archive.reading().left() < memory {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(LONG, back).await.expect("what they held is given back");
        serving.abort();
    }
}

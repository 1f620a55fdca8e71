//! What the splitter promises, whatever the sizes of the reads.

use super::*;

/// Hands out its bytes in pieces of a fixed size.
struct Dribble<'a> {
    bytes: &'a [u8],
    size: usize,
}

impl Read for Dribble<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.size.min(buffer.len()).min(self.bytes.len());
        let (now, later) = self.bytes.split_at(length);
        buffer[..length].copy_from_slice(now);
        self.bytes = later;
        Ok(length)
    }
}

fn pdv(context: u8, control: u8, data: &[u8]) -> Vec<u8> {
    let mut out = (data.len() as u32 + 2).to_be_bytes().to_vec();
    out.extend([context, control]);
    out.extend(data);
    out
}

fn pdata(pdvs: &[Vec<u8>]) -> Vec<u8> {
    let body = pdvs.concat();
    let mut out = vec![4, 0];
    out.extend((body.len() as u32).to_be_bytes());
    out.extend(body);
    out
}

/// Context, kind, bytes, whether complete.
type Joined = (u8, Kind, Vec<u8>, bool);

/// Everything a stream says, fragments of one PDV joined.
fn replay(bytes: &[u8], size: usize, limit: u32) -> (Vec<Joined>, Result<&'static str, String>) {
    let mut splitter = Splitter::new(Dribble { bytes, size }, limit);
    let mut messages: Vec<Joined> = Vec::new();
    loop {
        match splitter.next_piece() {
            Ok(Piece::Fragment { context, kind, data, last }) => match messages.last_mut() {
                Some(open) if !open.3 && open.0 == context && open.1 == kind => {
                    open.2.extend_from_slice(data);
                    open.3 = last;
                }
                _ => messages.push((context, kind, data.to_vec(), last)),
            },
            Ok(Piece::ReleaseRequest | Piece::ReleaseReply) => return (messages, Ok("release")),
            Ok(Piece::Abort) => return (messages, Ok("abort")),
            Ok(Piece::Closed) => return (messages, Ok("closed")),
            Err(error) => return (messages, Err(error.to_string())),
        }
    }
}

#[test]
fn command_and_data_are_split_the_same_for_every_read_size() {
    let big: Vec<u8> = (0..200_000u32).map(|i| i as u8).collect();
    let (first, second) = big.split_at(120_000);
    let mut stream = pdata(&[pdv(1, 3, b"command"), pdv(1, 0, b"one")]);
    stream.extend(pdata(&[pdv(1, 0, first)]));
    stream.extend(pdata(&[pdv(1, 2, second)]));
    stream.extend(pdata(&[pdv(3, 1, b""), pdv(3, 3, b"x")]));
    stream.extend([5, 0, 0, 0, 0, 4, 0, 0, 0, 0]);
    let whole = [b"one".as_slice(), &big].concat();
    for size in [1, 5, 6, 7, 1000, 65_536, 1 << 20] {
        let (messages, end) = replay(&stream, size, 131_072);
        assert_eq!(end, Ok("release"), "reads of {size}");
        assert_eq!(messages.len(), 3);
        assert_eq!(messages[0], (1, Kind::Command, b"command".to_vec(), true));
        assert!(messages[1] == (1, Kind::DataSet, whole.clone(), true), "reads of {size}");
        assert_eq!(messages[2], (3, Kind::Command, b"x".to_vec(), true));
    }
}

#[test]
fn an_empty_last_pdv_completes_the_data_set() {
    let stream = [pdata(&[pdv(1, 0, b"body")]), pdata(&[pdv(1, 2, b"")])].concat();
    let (messages, end) = replay(&stream, 4096, 1024);
    assert_eq!(messages, [(1, Kind::DataSet, b"body".to_vec(), true)]);
    assert_eq!(end, Ok("closed"));
}

#[test]
fn broken_framing_is_named() {
    let cases: [(Vec<u8>, &str); 8] = [
        (pdata(&[pdv(1, 0, &[0; 2000])]), "PDU longer than announced"),
        (vec![4, 0, 0, 0, 0, 0], "P-DATA-TF without a PDV"),
        (vec![4, 0, 0, 0, 0, 6, 0, 0, 0, 9, 1, 0], "PDV longer than its PDU"),
        (vec![4, 0, 0, 0, 0, 6, 0, 0, 0, 1, 1, 0], "PDV shorter than its header"),
        (vec![4, 0, 0, 0, 0, 10, 0, 0, 0, 3, 1, 0, 9, 0, 0, 0], "PDU ends inside a PDV header"),
        (vec![1, 0, 0, 0, 0, 4], "PDU out of place"),
        (vec![9, 0, 0, 0, 0, 4], "unknown PDU type"),
        (vec![4, 0, 0, 0, 0, 100, 0, 0, 0, 96, 1, 0, 1, 2, 3], "connection closed inside a PDU"),
    ];
    for (stream, what) in cases {
        assert_eq!(replay(&stream, 4096, 1024).1, Err(what.to_owned()));
    }
}

#[test]
fn random_bytes_never_panic_and_never_run_on() {
    for seed in 0..2_000u64 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut stream = pdata(&[pdv(1, 3, b"command"), pdv(1, 2, &[7; 300])]);
        stream.extend(pdata(&[pdv(1, 2, &[7; 300])]));
        for _ in 0..random.usize(1..6) {
            let at = random.usize(0..stream.len());
            stream[at] = random.u8(..);
        }
        let (messages, _) = replay(&stream, random.usize(1..700), 1024);
        let bytes: usize = messages.iter().map(|message| message.2.len()).sum();
        assert!(bytes <= stream.len(), "seed {seed}");
    }
}

#[test]
fn commands_are_split_to_the_peers_limit() {
    let command: Vec<u8> = (0..=255).collect();
    for limit in [0, 1, 7, 64, 16_384] {
        let bytes = command_pdus(5, &command, limit);
        let (messages, end) = replay(&bytes, 4096, u32::MAX);
        assert_eq!(messages, [(5, Kind::Command, command.clone(), true)], "limit {limit}");
        assert_eq!(end, Ok("closed"));
        if limit >= 7 {
            let longest = replay(&bytes, 4096, limit);
            assert_eq!(longest.1, Ok("closed"), "limit {limit}");
        }
    }
}

//! The first request line of a connection, read before HTTP takes over.
//!
//! It bounds the time a connection may say nothing, and answers a request target beyond the limit with 414
//! (the HTTP library would only know 431). Later requests of the connection are under the library's limits.

use crate::problem::{Kind, Problem};
use bytes::BytesMut;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Bytes read and thrown away after a refusal, so that the peer gets to read the answer.
const LINGER_MAX: usize = 8 << 20;

/// How the wait ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The line is complete; everything read so far.
    Line(BytesMut),
    /// The line is longer than the limit.
    TooLong,
    /// The peer closed without a request.
    Closed,
}

/// Reads until the first line end.
pub(super) async fn read<S: AsyncRead + Unpin>(stream: &mut S, limit: usize) -> io::Result<Outcome> {
    let mut buffer = BytesMut::with_capacity(4096);
    loop {
        let before = buffer.len();
        if stream.read_buf(&mut buffer).await? == 0 {
            return Ok(Outcome::Closed);
        }
        let fresh = buffer.get(before..).unwrap_or_default();
        if memchr::memchr(b'\n', fresh).is_some_and(|at| before.saturating_add(at) <= limit) {
            return Ok(Outcome::Line(buffer));
        }
        if buffer.len() > limit {
            return Ok(Outcome::TooLong);
        }
    }
}

/// Answers 414 and reads on for a moment.
pub(super) async fn refuse<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> io::Result<()> {
    let problem = Problem::new(Kind::UriTooLong, "the request line is longer than the limit").at("request line");
    let body = problem.body().to_string();
    let answer = format!(
        "HTTP/1.1 414 URI Too Long\r\nContent-Type: application/problem+json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    let mut sink = [0u8; 16 << 10];
    let mut left = LINGER_MAX;
    while left > 0 {
        match stream.read(&mut sink).await? {
            0 => break,
            count => left = left.saturating_sub(count),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_is_complete_too_long_or_never_came() {
        let mut line: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n";
        assert!(matches!(read(&mut line, 100).await.expect("read"), Outcome::Line(bytes) if bytes.ends_with(b"x\r\n")));
        let long = vec![b'a'; 5000];
        assert_eq!(read(&mut long.as_slice(), 100).await.expect("read"), Outcome::TooLong);
        let mut late = vec![b'a'; 200];
        late.push(b'\n');
        assert_eq!(read(&mut late.as_slice(), 100).await.expect("read"), Outcome::TooLong);
        let mut short: &[u8] = b"GET";
        assert_eq!(read(&mut short, 100).await.expect("read"), Outcome::Closed);
    }
}

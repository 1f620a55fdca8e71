//! A small HTTP/1.1 client over one kept connection, with a STOW-RS sender on top.
//!
//! Blocking and plain, so that it costs little beside the server it measures. No TLS, no redirects.

use crate::object::Object;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Header names in lower case, with values.
    pub headers: Vec<(String, String)>,
    /// The whole body, transfer coding removed.
    pub body: Vec<u8>,
}

impl Answer {
    /// The first header of this (lower-case) name, empty when absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The bodies of a `multipart/related` answer.
    pub fn parts(&self) -> Vec<Vec<u8>> {
        let boundary = self.header("content-type").split("boundary=").nth(1).unwrap_or_default();
        let boundary = boundary.split(';').next().unwrap_or_default().trim_matches('"');
        split_parts(&self.body, boundary)
    }
}

/// The bodies of a multipart message.
pub fn split_parts(body: &[u8], boundary: &str) -> Vec<Vec<u8>> {
    let delimiter = format!("\r\n--{boundary}").into_bytes();
    let mut framed = b"\r\n".to_vec();
    framed.extend_from_slice(body);
    let mut starts = Vec::new();
    let mut at = 0;
    while let Some(found) = find(framed.get(at..).unwrap_or_default(), &delimiter) {
        starts.push(at + found);
        at += found + delimiter.len();
    }
    let between = |pair: &[usize]| {
        let (start, end) = (pair.first()? + delimiter.len(), *pair.get(1)?);
        let part = framed.get(start..end)?;
        let head = find(part, b"\r\n\r\n")?;
        part.get(head + 4..).map(<[u8]>::to_vec)
    };
    starts.windows(2).filter_map(between).collect()
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let first = *needle.first()?;
    let mut at = 0;
    loop {
        let rest = haystack.get(at..)?;
        at += rest.iter().position(|byte| *byte == first)?;
        if haystack.get(at..)?.starts_with(needle) {
            return Some(at);
        }
        at += 1;
    }
}

/// A connection that is kept between requests and opened anew when the server closed it.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    limit: Duration,
    connection: Option<BufReader<TcpStream>>,
}

impl Client {
    /// A client of this server; `limit` bounds every read and write.
    pub fn new(address: SocketAddr, limit: Duration) -> Self {
        Self { address, limit, connection: None }
    }

    /// GET with extra headers (`"Accept: x\r\n"`).
    pub fn get(&mut self, target: &str, headers: &str) -> io::Result<Answer> {
        self.request("GET", target, headers, &[])
    }

    /// A request with a body in pieces; Content-Length is set when there is one.
    pub fn request(&mut self, method: &str, target: &str, headers: &str, body: &[&[u8]]) -> io::Result<Answer> {
        let fresh = self.connection.is_none();
        match self.exchange(method, target, headers, body) {
            Err(error) if !fresh && body.is_empty() => {
                let _ = error;
                self.connection = None;
                self.exchange(method, target, headers, body)
            }
            other => other,
        }
        .inspect_err(|_| self.connection = None)
    }

    fn exchange(&mut self, method: &str, target: &str, headers: &str, body: &[&[u8]]) -> io::Result<Answer> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let length: usize = body.iter().map(|piece| piece.len()).sum();
        let length = if body.is_empty() { String::new() } else { format!("Content-Length: {length}\r\n") };
        let head = format!("{method} {target} HTTP/1.1\r\nHost: {}\r\n{length}{headers}\r\n", self.address);
        connection.get_mut().write_all(head.as_bytes())?;
        let mut unsent = None;
        for piece in body {
            // A server that refuses early closes its reading side: its answer is still worth reading.
            if let Err(error) = connection.get_mut().write_all(piece) {
                unsent = Some(error);
                break;
            }
        }
        let answer = match (read_answer(&mut connection, method == "HEAD"), unsent) {
            (Err(_), Some(error)) => return Err(error),
            (answer, _) => answer?,
        };
        if !answer.header("connection").eq_ignore_ascii_case("close") {
            self.connection = Some(connection);
        }
        Ok(answer)
    }

    fn connect(&self) -> io::Result<BufReader<TcpStream>> {
        let stream = TcpStream::connect_timeout(&self.address, self.limit)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(self.limit))?;
        stream.set_write_timeout(Some(self.limit))?;
        Ok(BufReader::with_capacity(64 * 1024, stream))
    }

    /// STOW-RS of whole Part 10 files to a studies resource.
    pub fn stow(&mut self, target: &str, files: &[&[u8]]) -> io::Result<Answer> {
        const BOUNDARY: &str = "khoanh-testkit-boundary";
        let opening = format!("\r\n--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n");
        let closing = format!("\r\n--{BOUNDARY}--\r\n");
        let mut body = Vec::new();
        for file in files {
            body.push(opening.as_bytes());
            body.push(file);
        }
        body.push(closing.as_bytes());
        let headers = format!(
            "Content-Type: multipart/related; type=\"application/dicom\"; boundary={BOUNDARY}\r\nAccept: application/dicom+json\r\n"
        );
        self.request("POST", target, &headers, &body)
    }
}

/// The path of an object's instance below a service root.
pub fn instance_path(root: &str, object: &Object) -> String {
    format!("{root}/studies/{}/series/{}/instances/{}", object.study, object.series, object.sop_instance)
}

fn read_answer(connection: &mut BufReader<TcpStream>, head_only: bool) -> io::Result<Answer> {
    loop {
        let answer = read_one_answer(connection, head_only)?;
        // 100 Continue and its like only announce the answer.
        if answer.status >= 200 {
            return Ok(answer);
        }
    }
}

fn read_one_answer(connection: &mut BufReader<TcpStream>, head_only: bool) -> io::Result<Answer> {
    let status_line = read_line(connection)?;
    let status = status_line.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| io::Error::other(format!("no HTTP status in {status_line:?}")))?;
    let mut answer = Answer { status, ..Answer::default() };
    loop {
        let line = read_line(connection)?;
        let Some((name, value)) = line.split_once(':') else { break };
        answer.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    if head_only || status < 200 || status == 204 || status == 304 {
        return Ok(answer);
    }
    if answer.header("transfer-encoding").eq_ignore_ascii_case("chunked") {
        read_chunks(connection, &mut answer.body)?;
    } else if let Ok(length) = answer.header("content-length").parse::<u64>() {
        let read = connection.take(length).read_to_end(&mut answer.body)?;
        if u64::try_from(read).unwrap_or(0) != length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    } else {
        connection.read_to_end(&mut answer.body)?;
        answer.headers.push(("connection".into(), "close".into()));
    }
    Ok(answer)
}

fn read_chunks(connection: &mut BufReader<TcpStream>, body: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let line = read_line(connection)?;
        let size = u64::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16)
            .map_err(|_| io::Error::other(format!("no chunk size in {line:?}")))?;
        let read = connection.by_ref().take(size).read_to_end(body)?;
        if u64::try_from(read).unwrap_or(0) != size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        read_line(connection)?;
        if size == 0 {
            return Ok(());
        }
    }
}

fn read_line(connection: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = String::new();
    if connection.by_ref().take(64 * 1024).read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_split_at_whole_delimiters_only() {
        let body = b"--b\r\nContent-Type: x\r\n\r\none\r\n--not\r\n--b\r\n\r\n\r\ntwo\r\n--b--\r\n";
        assert_eq!(split_parts(body, "b"), vec![b"one\r\n--not".to_vec(), b"\r\ntwo".to_vec()]);
    }
}

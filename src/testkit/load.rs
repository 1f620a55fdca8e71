//! Load that measurements need: rates of GETs, one huge object, a flood with a bystander, idle connections.
//!
//! Measures and reports; judging is the caller's.

use crate::association::{Association, Proposal, Titles, p_data};
use crate::element::DataSet;
use crate::http::Client;
use crate::modality::{Report, Sending, percentile, send_until};
use crate::object::{Object, syntax};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A sending report as JSON; `offered` is how many objects were to be sent.
pub fn report_json(report: &Report, offered: usize) -> Value {
    let seconds = report.elapsed.as_secs_f64();
    let acknowledged = report.acknowledged().count();
    #[allow(clippy::cast_precision_loss)]
    let (megabytes, objects) = (report.bytes as f64 / 1e6, acknowledged as f64);
    json!({
        "offered": offered, "acknowledged": acknowledged, "bytes": report.bytes, "seconds": seconds,
        "mb_per_s": megabytes / seconds, "objects_per_s": objects / seconds,
        "p50_ms": milliseconds(report.percentile(0.5)), "p99_ms": milliseconds(report.percentile(0.99)),
        "errors": report.errors, "failed": acknowledged != offered,
    })
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// GETs the targets with these headers in circles over some connections: rate, percentiles, statuses, bytes.
pub fn get(
    address: SocketAddr,
    targets: &[&str],
    headers: &str,
    connections: usize,
    requests: usize,
) -> io::Result<Value> {
    let next = AtomicUsize::new(0);
    let times = Mutex::new(Vec::with_capacity(requests));
    let statuses = Mutex::new(std::collections::BTreeMap::<String, u64>::new());
    let bytes = AtomicUsize::new(0);
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..connections {
            scope.spawn(|| {
                let mut client = Client::new(address, Duration::from_secs(60));
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let target = targets.get(number % targets.len().max(1));
                    let (Some(target), true) = (target, number < requests) else { break };
                    let started = Instant::now();
                    let answer = client.get(target, headers);
                    times.lock().push(started.elapsed());
                    let status = answer.as_ref().map_or_else(ToString::to_string, |a| a.status.to_string());
                    bytes.fetch_add(answer.map_or(0, |answer| answer.body.len()), Ordering::Relaxed);
                    *statuses.lock().entry(status).or_default() += 1;
                }
            });
        }
    });
    let seconds = started.elapsed().as_secs_f64();
    let mut times = times.into_inner();
    #[allow(clippy::cast_precision_loss)]
    let rate = times.len() as f64 / seconds;
    let statuses = statuses.into_inner();
    let failed = statuses.keys().any(|status| status != "200" && status != "204" && status != "304");
    Ok(json!({
        "requests": times.len(), "rate": rate, "bytes": bytes.into_inner(), "statuses": statuses, "failed": failed,
        "p50_ms": milliseconds(percentile(&mut times, 0.5)), "p99_ms": milliseconds(percentile(&mut times, 0.99)),
        "max_ms": milliseconds(percentile(&mut times, 1.0)),
    }))
}

/// Sends one object of about this many bytes that never lies in memory as a whole.
pub fn huge(address: SocketAddr, titles: &Titles, bytes: u64) -> io::Result<Value> {
    let (sop_class, sop_instance) = ("1.2.840.10008.5.1.4.1.1.7", crate::study::uid(bytes, &[1]));
    let proposal = Proposal { abstract_syntax: sop_class.into(), transfer_syntaxes: vec![syntax::EXPLICIT.to_owned()] };
    let mut association =
        Association::open(address, titles, &[proposal], Duration::from_secs(600)).map_err(io::Error::other)?;
    let mut data = DataSet::new();
    data.text(0x0008_0016, "UI", sop_class)
        .text(0x0008_0018, "UI", &sop_instance)
        .text(0x0010_0020, "LO", "HUGE")
        .text(0x0020_000D, "UI", &crate::study::uid(bytes, &[2]))
        .text(0x0020_000E, "UI", &crate::study::uid(bytes, &[3]))
        .header(0x7FE0_0010, "OB", usize::try_from(bytes).unwrap_or(0));
    let started = Instant::now();
    let command = association.store_command(sop_class, &sop_instance);
    let block = vec![0x5A; 64 * 1024];
    let mut first = p_data(&[(1, 3, &command)]);
    first.extend_from_slice(&p_data(&[(1, 0, &data.into_bytes())]));
    association.socket().write_all(&first)?;
    let mut left = usize::try_from(bytes).unwrap_or(0);
    let full = p_data(&[(1, 0, &block)]);
    while left > block.len() {
        association.socket().write_all(&full)?;
        left -= block.len();
    }
    let last = block.get(..left).unwrap_or_default();
    association.socket().write_all(&p_data(&[(1, 2, last)]))?;
    let response = association.read_response().map_err(io::Error::other)?;
    let seconds = started.elapsed().as_secs_f64();
    #[allow(clippy::cast_precision_loss)]
    let rate = bytes as f64 / 1e6 / seconds;
    association.release().map_err(io::Error::other)?;
    Ok(json!({ "status": response.status, "seconds": seconds, "mb_per_s": rate, "failed": response.status != 0 }))
}

/// A sender at a steady rate, first alone, then while another source floods: did it keep its rate?
pub fn flood(objects: &[Object], how: &Sending, associations: usize, seconds: Duration) -> io::Result<Value> {
    let rate = how.rate.unwrap_or(20.0);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let paced = (rate * seconds.as_secs_f64()) as usize;
    let (alone, rest) = objects.split_at_checked(paced).ok_or_else(|| io::Error::other("too few objects"))?;
    let (beside, flooding) = rest.split_at_checked(paced).ok_or_else(|| io::Error::other("too few objects"))?;
    let steady = Sending { rate: Some(rate), associations: 1, ..how.clone() };
    let never = AtomicBool::new(false);
    let alone_report = send_until(alone, &steady, &never);
    let stop = AtomicBool::new(false);
    let neighbour =
        Sending { rate: None, associations, titles: Titles::new(&how.titles.called, "FLOOD"), ..how.clone() };
    let (beside_report, flood_report) = std::thread::scope(|scope| {
        let flood = scope.spawn(|| send_until(flooding, &neighbour, &stop));
        let beside = send_until(beside, &steady, &never);
        stop.store(true, Ordering::Relaxed);
        (beside, flood.join())
    });
    let flood_report = flood_report.map_err(|_| io::Error::other("the flooding thread panicked"))?;
    Ok(json!({
        "alone": report_json(&alone_report, alone.len()),
        "beside": report_json(&beside_report, beside.len()),
        "flood": report_json(&flood_report, flood_report.sent.len()),
    }))
}

/// Holds connections open that never send a byte; reports how many the server still held at the end.
pub fn half_open(address: SocketAddr, count: usize, seconds: Duration) -> io::Result<Value> {
    let mut held = Vec::with_capacity(count);
    let mut refused = 0u64;
    for _ in 0..count {
        match TcpStream::connect_timeout(&address, Duration::from_secs(5)) {
            Ok(stream) => held.push(stream),
            Err(_) => refused += 1,
        }
    }
    std::thread::sleep(seconds);
    let mut open = 0u64;
    for stream in &mut held {
        stream.set_nonblocking(true)?;
        let mut byte = [0];
        if matches!(stream.read(&mut byte), Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
            open += 1;
        }
    }
    Ok(json!({ "connected": held.len(), "refused": refused, "still_open": open }))
}

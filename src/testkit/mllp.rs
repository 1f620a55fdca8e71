//! A sender of HL7 messages over MLLP: one connection, one message after the other, and the load of many of them.
//!
//! It writes what it is given and reads nothing of an answer but MSA-1.

use crate::modality::percentile;
use crate::names::Person;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const START: u8 = 0x0b;
const END: u8 = 0x1c;
const SEED: u64 = 0x415;

/// A connection to a port for HL7.
#[derive(Debug)]
pub struct Sender {
    stream: BufReader<TcpStream>,
}

impl Sender {
    /// Connects; `limit` is the longest wait for anything.
    ///
    /// # Errors
    /// When there is no connection.
    pub fn connect(address: SocketAddr, limit: Duration) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, limit)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(limit))?;
        stream.set_write_timeout(Some(limit))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Writes any bytes.
    ///
    /// # Errors
    /// When the connection failed.
    pub fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Sends a message in its frame.
    ///
    /// # Errors
    /// When the connection failed.
    pub fn write(&mut self, message: &str) -> io::Result<()> {
        let frame = [&[START], message.as_bytes(), &[END, b'\r']].concat();
        self.raw(&frame)
    }

    /// The next answer without its frame.
    ///
    /// # Errors
    /// When the connection failed or ended.
    pub fn answer(&mut self) -> io::Result<String> {
        let mut bytes = Vec::new();
        self.stream.read_until(END, &mut bytes)?;
        let mut last = [0];
        self.stream.read_exact(&mut last)?;
        let text = bytes.strip_prefix(&[START]).and_then(|rest| rest.strip_suffix(&[END]));
        let text = text.ok_or_else(|| io::Error::other("an answer without its frame"))?;
        Ok(String::from_utf8_lossy(text).into_owned())
    }

    /// Sends a message; MSA-1 of its answer.
    ///
    /// # Errors
    /// When the connection failed or ended.
    pub fn send(&mut self, message: &str) -> io::Result<String> {
        self.write(message)?;
        Ok(code(&self.answer()?).to_owned())
    }
}

/// MSA-1 of an answer; empty without one.
pub fn code(answer: &str) -> &str {
    let msa = answer.split(['\r', '\n']).find_map(|line| line.strip_prefix("MSA|"));
    msa.and_then(|fields| fields.split('|').next()).unwrap_or_default()
}

/// What the messages of a load are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mix {
    /// A patient each (A28).
    Patients,
    /// A new order each, with one step: an imaging order of version 2.5.1.
    Orders,
    /// By turns an update of a patient with a visit (A08) and a new order; every twentieth registers a new patient (A04).
    Daily,
}

impl Mix {
    /// By its name.
    pub fn named(name: &str) -> Option<Self> {
        [("patients", Self::Patients), ("orders", Self::Orders), ("daily", Self::Daily)]
            .into_iter()
            .find_map(|(known, mix)| (known == name).then_some(mix))
    }
}

/// A load of messages.
#[derive(Debug, Clone)]
pub struct Offered {
    /// Where to.
    pub address: SocketAddr,
    /// What they are.
    pub mix: Mix,
    /// Number of the first, and how many.
    pub numbers: std::ops::Range<usize>,
    /// Connections.
    pub connections: usize,
    /// Messages a second over all connections; none: as fast as they are answered.
    pub rate: Option<f64>,
    /// Patients that are known already.
    pub patients: usize,
    /// Consoles that the steps of orders are for.
    pub stations: usize,
    /// Month of the steps, `YYYYMM`, and its days in use.
    pub month: String,
    /// See `month`.
    pub days: usize,
}

impl Offered {
    /// A message by its number; the same number is the same message.
    pub fn message(&self, number: usize) -> String {
        match self.mix {
            Mix::Patients => format!("{}{}", head("ADT^A28", number), person(number)),
            Mix::Orders => self.order(number),
            Mix::Daily if number.is_multiple_of(20) => {
                let new = 500_000 + number;
                format!("{}{}{}", head("ADT^A04", number), person(new), visit(new))
            }
            Mix::Daily if number % 2 == 1 => {
                let known = self.known(number);
                format!("{}{}{}", head("ADT^A08", number), person(known), visit(known))
            }
            Mix::Daily => self.order(number),
        }
    }

    /// One of the known patients, neighbours far apart.
    fn known(&self, number: usize) -> usize {
        number.wrapping_mul(7_919) % self.patients.max(1)
    }

    fn order(&self, number: usize) -> String {
        let known = self.known(number);
        let station = number % self.stations.max(1);
        let day = number / self.stations.max(1) % self.days.max(1) + 1;
        let minute = number / 60 % 600;
        let start = format!("{}{day:02}{:02}{:02}00", self.month, 7 + minute / 60, minute % 60);
        format!(
            "{}{}{}ORC|NW|P{number}^HIS|||SC\rTQ1|1||||||{start}||R\rOBR|1|P{number}^HIS||CT.NGUC^Chụp CT ngực^99BV\r\
             IPC|A{number}|R{number}||S{number}|CT|P5-09^Ngực không cản quang^99BV|CTROOM|Phòng CT|S{station:04}\r",
            head("OMI^O23^OMI_O23", number),
            person(known),
            visit(known)
        )
    }
}

fn head(kind: &str, number: usize) -> String {
    format!("MSH|^~\\&|HIS|BV|KHOANH|TINH|20261128073000||{kind}|L{number}|P|2.5.1||||||UNICODE UTF-8\r")
}

fn person(number: usize) -> String {
    let person = Person::draw(SEED, u64::try_from(number).unwrap_or_default());
    format!("PID|1||{number:08}^^^BV^MR||{}||{}|{}\r", person.name, person.birth_date, person.sex)
}

fn visit(patient: usize) -> String {
    format!("PV1|1|O|PK1^P2|||||BS01^Lê^Hoa|||||||||||LK{patient}\r")
}

/// Sends the load and tells rate and percentiles, from when a message was due to its acknowledgement: waiting for a free
/// connection counts.
///
/// # Errors
/// When a connection fails.
pub fn load(how: &Offered) -> io::Result<Value> {
    let next = AtomicUsize::new(how.numbers.start);
    let (times, codes) = (Mutex::new(Vec::new()), Mutex::new(BTreeMap::<String, u64>::new()));
    let started = Instant::now();
    let one = || -> io::Result<()> {
        let mut sender = Sender::connect(how.address, Duration::from_secs(60))?;
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= how.numbers.end {
                return Ok(());
            }
            let message = how.message(number);
            let due = due(started, number.saturating_sub(how.numbers.start), how.rate);
            let code = sender.send(&message)?;
            times.lock().push(due.elapsed());
            *codes.lock().entry(code).or_default() += 1;
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..how.connections.max(1)).map(|_| scope.spawn(one)).collect();
        let joined: Vec<_> = threads.into_iter().map(|thread| thread.join()).collect();
        joined.into_iter().try_for_each(|done| done.unwrap_or_else(|_| Err(io::Error::other("a thread panicked"))))
    })?;
    let (seconds, codes) = (started.elapsed().as_secs_f64(), codes.into_inner());
    let failed = codes.keys().any(|code| code != "AA");
    let mut times = times.into_inner();
    #[allow(clippy::cast_precision_loss)]
    let rate = times.len() as f64 / seconds;
    let ms = |times: &mut Vec<Duration>, share| percentile(times, share).as_secs_f64() * 1e3;
    Ok(json!({
        "messages": times.len(), "seconds": seconds, "rate": rate, "codes": codes, "failed": failed,
        "p50_ms": ms(&mut times, 0.5), "p99_ms": ms(&mut times, 0.99), "max_ms": ms(&mut times, 1.0),
    }))
}

/// Waits until the so-manieth of a load is due; when that was.
pub(crate) fn due(started: Instant, nth: usize, rate: Option<f64>) -> Instant {
    let Some(rate) = rate else { return Instant::now() };
    #[allow(clippy::cast_precision_loss)]
    let at = started + Duration::from_secs_f64(nth as f64 / rate);
    std::thread::sleep(at.saturating_duration_since(Instant::now()));
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(mix: Mix) -> Offered {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let (numbers, month) = (0..100, "202612".to_owned());
        Offered { address, mix, numbers, connections: 1, rate: None, patients: 7, stations: 3, month, days: 2 }
    }

    #[test]
    fn orders_fill_every_station_and_day_alike() {
        let load = offered(Mix::Orders);
        let mut found = BTreeMap::<(String, String), usize>::new();
        for number in 0..60 {
            let text = load.message(number);
            let field = |name: &str, at: usize| {
                let line = text.split('\r').find(|line| line.starts_with(name)).expect("a segment");
                line.split('|').nth(at).expect("a field").to_owned()
            };
            *found.entry((field("IPC", 9), field("TQ1", 7).chars().take(8).collect())).or_default() += 1;
        }
        assert_eq!(found.len(), 6, "{found:?}");
        assert!(found.values().all(|count| *count == 10), "{found:?}");
    }

    #[test]
    fn a_day_has_updates_orders_and_new_patients() {
        let load = offered(Mix::Daily);
        let kinds: Vec<String> =
            (0..20).map(|number| load.message(number).split('|').nth(8).expect("a type").to_owned()).collect();
        let count = |kind: &str| kinds.iter().filter(|one| *one == kind).count();
        assert_eq!((count("ADT^A08"), count("OMI^O23^OMI_O23"), count("ADT^A04")), (10, 9, 1));
        assert_eq!(code("MSH|^~\\&|K\rMSA|AE|1\rERR|x\r"), "AE");
        assert_eq!(code("MSH|^~\\&|K\r"), "");
    }
}

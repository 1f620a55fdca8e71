//! A console that asks for its worklist (C-FIND, PS3.4 annex K) over an association it keeps, and the load of many.
//!
//! Answers are data sets as they came; what they say is the test's to read.

use crate::association::{Association, Proposal, Response, Titles, Value as Field, WireError, command_set, p_data};
use crate::element::DataSet;
use crate::mllp::due;
use crate::modality::percentile;
use crate::object::syntax;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{self, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Modality Worklist Information Model - FIND.
pub const WORKLIST: &str = "1.2.840.10008.5.1.4.31";
/// Longest PDU that is read.
const PDU_MAX: usize = 16 << 20;
/// Most answers of one question of a load.
const ANSWERS_MAX: usize = 20;

/// An association for asking.
#[derive(Debug)]
pub struct Console {
    association: Association,
    reader: BufReader<TcpStream>,
    context: u8,
    message: u16,
}

impl Console {
    /// Associates.
    ///
    /// # Errors
    /// When there is no association for the worklist.
    pub fn open(address: SocketAddr, titles: &Titles, limit: Duration) -> Result<Self, WireError> {
        let transfer_syntaxes = vec![syntax::EXPLICIT.to_owned()];
        let proposal = Proposal { abstract_syntax: WORKLIST.to_owned(), transfer_syntaxes };
        let mut association = Association::open(address, titles, &[proposal], limit)?;
        let context = association.context(WORKLIST, syntax::EXPLICIT);
        let context = context.ok_or_else(|| WireError::Unexpected("no context for the worklist".into()))?;
        let reader = BufReader::with_capacity(64 << 10, association.socket().try_clone()?);
        Ok(Self { association, reader, context, message: 0 })
    }

    /// Asks by an identifier; the last status and the data sets that came before it.
    ///
    /// # Errors
    /// When the association ended or something else than answers came.
    pub fn ask(&mut self, identifier: &[u8]) -> Result<(u16, Vec<Vec<u8>>), WireError> {
        self.message = self.message.wrapping_add(1);
        let command = command_set(&[
            (0x0002, Field::Uid(WORKLIST)),
            (0x0100, Field::Us(0x0020)),
            (0x0110, Field::Us(self.message)),
            (0x0700, Field::Us(0)),
            (0x0800, Field::Us(0)),
        ]);
        let request = [p_data(&[(self.context, 3, &command)]), p_data(&[(self.context, 2, identifier)])].concat();
        self.association.socket().write_all(&request)?;
        let (mut found, mut command, mut data) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            for (control, value) in self.values()? {
                let of_command = control & 1 == 1;
                if of_command {
                    command.extend(value)
                } else {
                    data.extend(value)
                }
                if control & 2 == 0 {
                    continue;
                }
                if !of_command {
                    found.push(std::mem::take(&mut data));
                    continue;
                }
                let response = Response::read(&std::mem::take(&mut command))?;
                if !matches!(response.status, 0xFF00 | 0xFF01) {
                    return Ok((response.status, found));
                }
            }
        }
    }

    /// The values of the next P-DATA-TF, each with its control byte.
    fn values(&mut self) -> Result<Vec<(u8, Vec<u8>)>, WireError> {
        let mut header = [0u8; 6];
        self.reader.read_exact(&mut header)?;
        let [kind, _, a, b, c, d] = header;
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        if length > PDU_MAX {
            return Err(WireError::Unexpected("a PDU of more than 16 MiB".into()));
        }
        let mut body = vec![0; length];
        self.reader.read_exact(&mut body)?;
        if kind != 4 {
            return Err(WireError::Unexpected(format!("PDU type {kind} for an answer")));
        }
        let (mut values, mut rest) = (Vec::new(), body.as_slice());
        while let Some(([a, b, c, d, _, control], tail)) = rest.split_first_chunk::<6>() {
            let length = usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).unwrap_or(0).saturating_sub(2);
            let (value, tail) = tail.split_at(length.min(tail.len()));
            values.push((*control, value.to_vec()));
            rest = tail;
        }
        Ok(values)
    }

    /// A-RELEASE.
    ///
    /// # Errors
    /// When it was not answered.
    pub fn release(self) -> Result<(), WireError> {
        self.association.release()
    }
}

/// A load of questions: each console asks for its own steps of a day.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Where to.
    pub address: SocketAddr,
    /// Called and calling title.
    pub titles: Titles,
    /// Associations that are kept.
    pub associations: usize,
    /// Questions a second over all associations; none: as fast as they are answered.
    pub rate: Option<f64>,
    /// Questions.
    pub questions: usize,
    /// Consoles, as [`crate::mllp::Offered`] has them.
    pub stations: usize,
    /// Month of the steps, `YYYYMM`.
    pub month: String,
    /// Its days in use.
    pub days: usize,
}

/// What a console asks at the start of a patient: names, numbers and steps of its own of one day.
pub fn of_the_day(station: &str, date: &str) -> Vec<u8> {
    let mut asked = DataSet::new();
    asked
        .text(0x0008_0050, "SH", "")
        .text(0x0008_0090, "PN", "")
        .text(0x0010_0010, "PN", "")
        .text(0x0010_0020, "LO", "")
        .text(0x0010_0030, "DA", "")
        .text(0x0010_0040, "CS", "")
        .text(0x0020_000D, "UI", "")
        .text(0x0032_1060, "LO", "")
        .sequence(0x0040_0100, |step| {
            step.text(0x0008_0060, "CS", "CT")
                .text(0x0040_0001, "AE", station)
                .text(0x0040_0002, "DA", date)
                .text(0x0040_0003, "TM", "")
                .text(0x0040_0007, "LO", "")
                .text(0x0040_0009, "SH", "");
        })
        .text(0x0040_1001, "SH", "");
    asked.into_bytes()
}

/// Asks and tells rate and percentiles, from when a question was due to its last answer.
///
/// # Errors
/// When an association fails.
pub fn load(how: &Asked) -> io::Result<Value> {
    let next = AtomicUsize::new(0);
    let times = Mutex::new(Vec::new());
    let (answers, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let statuses = Mutex::new(BTreeMap::<String, u64>::new());
    let started = Instant::now();
    let one = || -> Result<(), WireError> {
        let mut console = Console::open(how.address, &how.titles, Duration::from_secs(60))?;
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= how.questions {
                return console.release();
            }
            let station = format!("S{:04}", number.wrapping_mul(31) % how.stations.max(1));
            let day = number.wrapping_mul(17) % how.days.max(1) + 1;
            let identifier = of_the_day(&station, &format!("{}{day:02}", how.month));
            let due = due(started, number, how.rate);
            let (status, found) = console.ask(&identifier)?;
            times.lock().push(due.elapsed());
            answers.fetch_add(found.len(), Ordering::Relaxed);
            most.fetch_max(found.len(), Ordering::Relaxed);
            *statuses.lock().entry(format!("{status:04X}")).or_default() += 1;
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..how.associations.max(1)).map(|_| scope.spawn(one)).collect();
        let joined: Vec<_> = threads.into_iter().map(|thread| thread.join()).collect();
        let failed = |_| Err(WireError::Unexpected("a thread panicked".into()));
        joined.into_iter().try_for_each(|done| done.unwrap_or_else(failed))
    })
    .map_err(io::Error::other)?;
    let (seconds, statuses, most) = (started.elapsed().as_secs_f64(), statuses.into_inner(), most.into_inner());
    let mut times = times.into_inner();
    #[allow(clippy::cast_precision_loss)]
    let rate = times.len() as f64 / seconds;
    let failed = statuses.keys().any(|status| status != "0000") || most == 0 || most > ANSWERS_MAX;
    let ms = |times: &mut Vec<Duration>, share| percentile(times, share).as_secs_f64() * 1e3;
    Ok(json!({
        "questions": times.len(), "seconds": seconds, "rate": rate, "statuses": statuses, "failed": failed,
        "answers": answers.into_inner(), "most_answers": most,
        "p50_ms": ms(&mut times, 0.5), "p99_ms": ms(&mut times, 0.99), "max_ms": ms(&mut times, 1.0),
    }))
}

//! A simulated modality: sends stored objects by C-STORE, exactly as they are, as fast as it is let.
//!
//! One thread and one association each; objects are proposed with their own transfer syntax only,
//! so nothing is ever re-encoded. It retries nothing: what was not acknowledged is reported so.

use crate::association::{Association, Proposal, Titles, WireError};
use crate::object::Object;
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How to send.
#[derive(Debug, Clone)]
pub struct Sending {
    /// Where to.
    pub address: SocketAddr,
    /// Titles.
    pub titles: Titles,
    /// Parallel associations.
    pub associations: usize,
    /// Pause so that one association sends at most this many objects a second; none: no pause.
    pub rate: Option<f64>,
    /// Longest wait for any answer.
    pub limit: Duration,
}

impl Sending {
    /// To an archive on loopback, over this many associations.
    pub fn to(address: SocketAddr, associations: usize) -> Self {
        Self {
            address,
            titles: Titles::new("KHOANH", "TESTKIT"),
            associations,
            rate: None,
            limit: Duration::from_secs(120),
        }
    }
}

/// What became of one object.
#[derive(Debug, Clone, PartialEq)]
pub struct Sent {
    /// Its place in the list sent.
    pub index: usize,
    /// DIMSE status.
    pub status: u16,
    /// From the first byte written to the response.
    pub latency: Duration,
}

/// What became of all.
#[derive(Debug, Default)]
pub struct Report {
    /// Answered objects, in the order of their answers per association.
    pub sent: Vec<Sent>,
    /// Associations that ended with an error.
    pub errors: Vec<String>,
    /// Bytes of the acknowledged objects.
    pub bytes: u64,
    /// From the first association's request to the last answer.
    pub elapsed: Duration,
}

impl Report {
    /// Objects answered with Success.
    pub fn acknowledged(&self) -> impl Iterator<Item = &Sent> {
        self.sent.iter().filter(|sent| sent.status == 0)
    }

    /// The latency below which this share (0 to 1) of the answers came.
    pub fn percentile(&self, share: f64) -> Duration {
        let mut latencies: Vec<Duration> = self.sent.iter().map(|sent| sent.latency).collect();
        percentile(&mut latencies, share)
    }
}

/// The value below which this share of the durations lies; zero when there are none.
pub fn percentile(durations: &mut [Duration], share: f64) -> Duration {
    durations.sort_unstable();
    let last = durations.len().saturating_sub(1);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    let at = (last as f64 * share).round() as usize;
    durations.get(at.min(last)).copied().unwrap_or_default()
}

/// Sends every object over the associations; each takes the next run of objects of one study.
pub fn send(objects: &[Object], how: &Sending) -> Report {
    send_until(objects, how, &AtomicBool::new(false))
}

/// Like [`send`], stopping between objects when the flag is raised.
pub fn send_until(objects: &[Object], how: &Sending, stop: &AtomicBool) -> Report {
    let queue = Mutex::new(runs(objects));
    let started = Instant::now();
    let total = Mutex::new(Report::default());
    std::thread::scope(|scope| {
        for _ in 0..how.associations {
            scope.spawn(|| {
                let mut part = Report::default();
                if let Err(error) = one_association(objects, how, &queue, stop, &mut part) {
                    part.errors.push(error.to_string());
                }
                let mut total = total.lock();
                total.bytes += part.bytes;
                total.sent.append(&mut part.sent);
                total.errors.append(&mut part.errors);
            });
        }
    });
    let mut report = total.into_inner();
    report.elapsed = started.elapsed();
    report
}

/// Runs of at most 64 objects of one study, the first last.
fn runs(objects: &[Object]) -> Vec<std::ops::Range<usize>> {
    let mut runs: Vec<std::ops::Range<usize>> = Vec::new();
    for (index, object) in objects.iter().enumerate() {
        let joins = runs.last().is_some_and(|run| {
            run.len() < 64 && objects.get(run.start).is_some_and(|first| first.study == object.study)
        });
        match runs.last_mut() {
            Some(run) if joins => run.end = index + 1,
            _ => runs.push(index..index + 1),
        }
    }
    runs.reverse();
    runs
}

/// The proposals that carry these objects as they are: one context per SOP class and transfer syntax.
pub fn proposals(objects: &[Object]) -> Vec<Proposal> {
    let mut proposals: Vec<Proposal> = Vec::new();
    for object in objects {
        let known = proposals.iter().any(|proposal| {
            proposal.abstract_syntax == object.sop_class
                && proposal.transfer_syntaxes.first() == Some(&object.transfer_syntax)
        });
        if !known && proposals.len() < 127 {
            proposals.push(Proposal {
                abstract_syntax: object.sop_class.clone(),
                transfer_syntaxes: vec![object.transfer_syntax.clone()],
            });
        }
    }
    proposals
}

fn one_association(
    objects: &[Object],
    how: &Sending,
    queue: &Mutex<Vec<std::ops::Range<usize>>>,
    stop: &AtomicBool,
    report: &mut Report,
) -> Result<(), WireError> {
    let mut association = Association::open(how.address, &how.titles, &proposals(objects), how.limit)?;
    let pause = how.rate.map(|rate| Duration::from_secs_f64(1.0 / rate));
    let mut due = Instant::now();
    loop {
        let Some(run) = queue.lock().pop() else { break };
        for index in run {
            if stop.load(Ordering::Relaxed) {
                return association.release();
            }
            let Some(object) = objects.get(index) else { continue };
            if let Some(pause) = pause {
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                due += pause;
            }
            report.sent.push(store(&mut association, index, object)?);
            report.bytes += u64::try_from(object.data_set().len()).unwrap_or(0);
        }
    }
    association.release()
}

fn store(association: &mut Association, index: usize, object: &Object) -> Result<Sent, WireError> {
    let Some(context) = association.context(&object.sop_class, &object.transfer_syntax) else {
        return Err(WireError::Unexpected(format!(
            "no context for {} in {}",
            object.sop_class, object.transfer_syntax
        )));
    };
    let started = Instant::now();
    let response = association.store(context, &object.sop_class, &object.sop_instance, object.data_set())?;
    Ok(Sent { index, status: response.status, latency: started.elapsed() })
}

//! Rounds of `kill -9` under load: what was acknowledged must be there afterwards, byte for byte.
//!
//! Every round first checks what the round before got acknowledged, then sends over many associations
//! and kills the server at a random moment. What was sent without an answer is sent again in the next round:
//! a sender cannot know, and the archive must take it either way.
//! Series are packed as soon as they are quiet and segments are small, so that kills also hit packing and release.

use crate::association::Association;
use crate::element::{DataSet, file_meta};
use crate::http::Client;
use crate::modality::{Sending, proposals};
use crate::object::{Object, syntax};
use crate::server::{self, Server};
use crate::study::{Kind, Study, uid};
use fastrand::Rng;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How to crash.
#[derive(Debug, Clone)]
pub struct Crashing {
    /// The program.
    pub executable: PathBuf,
    /// An empty folder for the data directory and its log.
    pub folder: PathBuf,
    /// Rounds.
    pub rounds: u32,
    /// Parallel associations.
    pub streams: usize,
    /// Seed of objects and moments.
    pub seed: u64,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Summary {
    /// Rounds done.
    pub rounds: u32,
    /// Objects answered with Success before a kill.
    pub acknowledged: u64,
    /// Objects handed to the archive without an answer, all sent again later.
    pub unanswered: u64,
    /// Acknowledged objects that were not found or not equal, each with its reason.
    pub lost: Vec<String>,
    /// Whatever else went wrong: statuses, commands that failed.
    pub problems: Vec<String>,
    /// Packs that lie in the hot volume at the end.
    pub packs: u64,
    /// Bytes of the acknowledged data sets.
    pub bytes: u64,
    /// Wall time.
    pub elapsed: Duration,
    /// The seed, to run the same again.
    pub seed: u64,
}

impl Summary {
    /// Whether nothing was lost and nothing went wrong.
    pub fn is_clean(&self) -> bool {
        self.lost.is_empty() && self.problems.is_empty()
    }

    /// One line for people and logs.
    pub fn line(&self) -> String {
        format!(
            "rounds {}, acknowledged {} ({} MB), unanswered and sent again {}, packs {}, lost {}, problems {}, seed {}, \
             {:.0} s",
            self.rounds,
            self.acknowledged,
            self.bytes / 1_000_000,
            self.unanswered,
            self.packs,
            self.lost.len(),
            self.problems.len(),
            self.seed,
            self.elapsed.as_secs_f64()
        )
    }
}

/// Objects left over from earlier rounds above which a stream gets no new ones.
const BACKLOG: usize = 60;

/// What was promised to a sender.
#[derive(Debug, Clone)]
struct Promise {
    path: String,
    digest: [u8; 32],
}

impl Promise {
    fn of(object: &Object) -> Self {
        Self {
            path: crate::http::instance_path("/dicom-web", object),
            digest: Sha256::digest(object.data_set()).into(),
        }
    }
}

/// Runs the rounds.
pub fn run(how: &Crashing) -> io::Result<Summary> {
    let started = Instant::now();
    let mut rng = Rng::with_seed(how.seed);
    let mut summary = Summary { seed: how.seed, ..Summary::default() };
    let data = how.folder.join("data");
    let config = write_config(&how.folder)?;
    let mut promises: Vec<Promise> = Vec::new();
    let mut unchecked = 0;
    let mut again: Vec<Vec<Object>> = vec![Vec::new(); how.streams];
    for round in 0..how.rounds {
        let server = Server::start(&how.executable, &data, &["--config", &config])?;
        check(&server, promises.get(unchecked..).unwrap_or_default(), &mut summary);
        unchecked = promises.len();
        let queues = queues(how, round, &mut again);
        let after = Duration::from_millis(rng.u64(20..900));
        let outcome = send_and_kill(server, &queues, after)?;
        for object in outcome.acknowledged {
            summary.bytes += u64::try_from(object.data_set().len()).unwrap_or(0);
            promises.push(Promise::of(object));
        }
        summary.unanswered += outcome.unanswered.iter().map(|_| 1).sum::<u64>();
        for (stream, object) in outcome.unanswered {
            if let Some(queue) = again.get_mut(stream) {
                queue.push(object.clone());
            }
        }
        summary.problems.extend(outcome.problems);
        summary.rounds += 1;
    }
    summary.acknowledged = u64::try_from(promises.len()).unwrap_or(0);
    finish(how, &config, &promises, &mut summary)?;
    summary.elapsed = started.elapsed();
    Ok(summary)
}

/// Everything once more, then the program's own two proofs, then everything again over the rebuilt index.
fn finish(how: &Crashing, config: &str, promises: &[Promise], summary: &mut Summary) -> io::Result<()> {
    let data = how.folder.join("data");
    let server = Server::start(&how.executable, &data, &["--config", config])?;
    check(&server, promises, summary);
    server.stop(Duration::from_secs(60))?;
    summary.packs = packs(&data.join("packs/packs"));
    for command in ["verify", "rebuild-index"] {
        let output = server::command(&how.executable, &data, &[command, "--config", config])?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            summary.problems.push(format!("khoanh {command}: {}: {}", output.status, text.trim()));
        }
    }
    let server = Server::start(&how.executable, &data, &["--config", config])?;
    check(&server, promises, summary);
    server.stop(Duration::from_secs(60))?;
    Ok(())
}

/// Everything that moves bytes after the acknowledgement happens soon and often.
const CONFIG: &str = r#"
[journal]
segment = "16MiB"
blob_above = "4MiB"
[index]
quiet_after = "100ms"
[packs]
after = "0s"
[ledger]
sign_every = "500ms"
"#;

fn write_config(folder: &std::path::Path) -> io::Result<String> {
    let path = folder.join("crash.toml");
    std::fs::write(&path, CONFIG)?;
    path.into_os_string().into_string().map_err(|_| io::Error::other("the folder's name is not UTF-8"))
}

/// Number of files in a folder and those below.
fn packs(folder: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| if entry.path().is_dir() { packs(&entry.path()) } else { 1 }).sum()
}

/// What each stream sends in a round: first what went unanswered, then new objects, now and then a large one.
fn queues(how: &Crashing, round: u32, again: &mut [Vec<Object>]) -> Vec<Vec<Object>> {
    let seed = how.seed ^ (u64::from(round) << 24);
    let mut queues: Vec<Vec<Object>> = again.iter_mut().map(std::mem::take).collect();
    std::thread::scope(|scope| {
        for (queue, stream) in queues.iter_mut().zip(0u64..) {
            scope.spawn(move || {
                // What is left over comes first; a backlog is not made longer.
                if queue.len() >= BACKLOG {
                    return;
                }
                let mut rng = Rng::with_seed(seed ^ stream);
                if rng.u32(0..64) == 0 {
                    queue.push(large(seed, stream));
                }
                for number in 0..4 {
                    let kind = if rng.u32(0..8) == 0 { Kind::Mr } else { Kind::Tiny };
                    let instances = if kind == Kind::Mr { 6 } else { 20 };
                    queue.extend(Study::draw(seed, stream * 16 + number, kind, instances).objects());
                }
            });
        }
    });
    queues
}

/// An object above the limit at which bodies go to a file of their own.
fn large(seed: u64, stream: u64) -> Object {
    let (study, series, sop_instance) =
        (uid(seed, &[9, stream, 1]), uid(seed, &[9, stream, 2]), uid(seed, &[9, stream, 3]));
    let sop_class = "1.2.840.10008.5.1.4.1.1.7";
    let mut data = DataSet::new();
    data.text(0x0008_0016, "UI", sop_class)
        .text(0x0008_0018, "UI", &sop_instance)
        .text(0x0008_0060, "CS", "OT")
        .text(0x0010_0010, "PN", "LỚN^ẢNH")
        .text(0x0010_0020, "LO", "LARGE")
        .text(0x0020_000D, "UI", &study)
        .text(0x0020_000E, "UI", &series);
    let pattern: Vec<u8> = (0..20_000_000u32).map(|at| u8::try_from((at / 7) % 251).unwrap_or(0)).collect();
    data.value(0x7FE0_0010, "OB", &pattern);
    let mut file = file_meta(sop_class, &sop_instance, syntax::EXPLICIT);
    let data_set_at = file.len();
    file.extend_from_slice(&data.into_bytes());
    let (sop_class, transfer_syntax) = (sop_class.to_owned(), syntax::EXPLICIT.to_owned());
    Object { sop_class, sop_instance, study, series, transfer_syntax, file, data_set_at }
}

struct Outcome<'a> {
    acknowledged: Vec<&'a Object>,
    unanswered: Vec<(usize, &'a Object)>,
    problems: Vec<String>,
}

/// Sends every queue over its own association and kills the server meanwhile.
fn send_and_kill(server: Server, queues: &[Vec<Object>], after: Duration) -> io::Result<Outcome<'_>> {
    let outcome = Mutex::new(Outcome { acknowledged: Vec::new(), unanswered: Vec::new(), problems: Vec::new() });
    let address = server.dicom;
    let killed = std::thread::scope(|scope| {
        for (stream, queue) in queues.iter().enumerate() {
            let outcome = &outcome;
            scope.spawn(move || {
                let sent = one_stream(address, queue, outcome);
                outcome.lock().unanswered.extend(queue.iter().skip(sent).map(|object| (stream, object)));
            });
        }
        std::thread::sleep(after);
        server.kill()
    });
    killed?;
    Ok(outcome.into_inner())
}

/// Sends until the server is gone; the number of objects answered with Success.
fn one_stream<'a>(address: std::net::SocketAddr, queue: &'a [Object], outcome: &Mutex<Outcome<'a>>) -> usize {
    let how = Sending { limit: Duration::from_secs(60), ..Sending::to(address, 1) };
    let Ok(mut association) = Association::open(address, &how.titles, &proposals(queue), how.limit) else { return 0 };
    for (sent, object) in queue.iter().enumerate() {
        let context = association.context(&object.sop_class, &object.transfer_syntax).unwrap_or(0);
        match association.store(context, &object.sop_class, &object.sop_instance, object.data_set()) {
            Ok(response) if response.status == 0 => outcome.lock().acknowledged.push(object),
            Ok(response) => {
                let text = format!("status {:04X} {} for {}", response.status, response.comment, object.sop_instance);
                outcome.lock().problems.push(text);
                return sent;
            }
            Err(_) => return sent,
        }
    }
    queue.len()
}

/// Reads every promised object back and compares.
fn check(server: &Server, promises: &[Promise], summary: &mut Summary) {
    let lost = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for part in promises.chunks(promises.len().div_ceil(4).max(1)) {
            let lost = &lost;
            scope.spawn(move || {
                let mut client = Client::new(server.http, Duration::from_secs(60));
                for promise in part {
                    if let Err(reason) = check_one(&mut client, promise) {
                        lost.lock().push(format!("{}: {reason}", promise.path));
                    }
                }
            });
        }
    });
    summary.lost.extend(lost.into_inner());
}

fn check_one(client: &mut Client, promise: &Promise) -> Result<(), String> {
    let accept = "Accept: multipart/related; type=\"application/dicom\"; transfer-syntax=*\r\n";
    let answer = client.get(&promise.path, accept).map_err(|error| error.to_string())?;
    if answer.status != 200 {
        return Err(format!("HTTP {}: {}", answer.status, answer.text()));
    }
    let file = answer.parts().into_iter().next().ok_or("no part in the answer")?;
    let object = Object::from_file(file).map_err(|error| error.to_string())?;
    let digest: [u8; 32] = Sha256::digest(object.data_set()).into();
    if digest == promise.digest { Ok(()) } else { Err("other bytes than were sent".into()) }
}

//! `khoanh-testkit`: corpora, senders, load and crash rounds from the command line, for the scripts.
//!
//! Every command prints one line of JSON.

use serde_json::{Value, json};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use testkit::association::Titles;
use testkit::corpus::{self, Corpus};
use testkit::crash::{self, Crashing};
use testkit::http::Client;
use testkit::load;
use testkit::mllp::{self, Mix, Offered};
use testkit::modality::{self, Sending};
use testkit::worklist::{self, Asked};

const HELP: &str = "khoanh-testkit: development tools

  corpus NAME FOLDER [seed=1]     write a corpus (mixed, tiny, wide, clips, series, slices)
  send ADDRESS FOLDER             C-STORE every .dcm file of the folder
       [called=KHOANH] [calling=TESTKIT] [associations=1] [rate=OBJECTS_PER_SECOND] [limit=SECONDS] [skip=N] [take=N]
  huge ADDRESS BYTES [called=] [calling=]   C-STORE one object of that many bytes, made while it is sent
  flood ADDRESS FOLDER [associations=16] [seconds=10] [rate=20]   a paced sender beside a flood
  stow ADDRESS FOLDER [root=/dicom-web] [per=10]   STOW-RS every file, `per` files a request
  get ADDRESS FILE [connections=1] [requests=1000] [accept=application/dicom+json] [token=]
       GET the targets that FILE lists, one a line, in circles
  hl7 ADDRESS COUNT [mix=daily] [first=0] [connections=16] [rate=A_SECOND] [patients=2000] [stations=200]
       [month=202612] [days=25]   HL7 messages over MLLP: patients, orders, or both (daily)
  worklist ADDRESS COUNT [called=] [calling=] [associations=16] [rate=A_SECOND] [stations=200] [month=202612] [days=25]
       questions for the steps of a console and day that `hl7 mix=orders` made
  half-open ADDRESS COUNT [seconds=10]   hold connections that never say anything
  crash PROGRAM FOLDER [rounds=200] [seed=1] [streams=32]   kill -9 rounds";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(Some(value)) => {
            println!("{value}");
            ExitCode::from(u8::from(value.get("failed") == Some(&Value::Bool(true))))
        }
        Ok(None) => {
            eprintln!("{HELP}");
            ExitCode::from(2)
        }
        Err(error) => {
            eprintln!("khoanh-testkit: {error}");
            ExitCode::FAILURE
        }
    }
}

/// `name=value` arguments.
struct Options<'a>(&'a [String]);

impl Options<'_> {
    fn text<'b>(&'b self, name: &str, default: &'b str) -> &'b str {
        let found = self.0.iter().find_map(|argument| argument.strip_prefix(name)?.strip_prefix('='));
        found.unwrap_or(default)
    }

    fn number<T: std::str::FromStr>(&self, name: &str, default: T) -> io::Result<T> {
        match self.text(name, "") {
            "" => Ok(default),
            text => text.parse().map_err(|_| io::Error::other(format!("{name}={text} is no number"))),
        }
    }
}

fn run(arguments: &[String]) -> io::Result<Option<Value>> {
    let options = Options(arguments);
    let words: Vec<&str> = arguments.iter().map(String::as_str).filter(|word| !word.contains('=')).collect();
    match words.as_slice() {
        ["corpus", name, folder] => write_corpus(name, Path::new(folder), options.number("seed", 1)?).map(Some),
        ["send", address, folder] => send(parse(address)?, Path::new(folder), &options).map(Some),
        ["huge", address, bytes] => {
            let titles = Titles::new(options.text("called", "KHOANH"), options.text("calling", "TESTKIT"));
            load::huge(parse(address)?, &titles, parse(bytes)?).map(Some)
        }
        ["flood", address, folder] => {
            let objects = corpus::read(Path::new(folder))?;
            let seconds = Duration::from_secs(options.number("seconds", 10)?);
            let how = sending(parse(address)?, &options)?;
            load::flood(&objects, &how, options.number("associations", 16)?, seconds).map(Some)
        }
        ["stow", address, folder] => stow(parse(address)?, Path::new(folder), &options).map(Some),
        ["get", address, file] => get(parse(address)?, Path::new(file), &options).map(Some),
        ["hl7", address, count] => messages(parse(address)?, parse(count)?, &options).map(Some),
        ["worklist", address, count] => questions(parse(address)?, parse(count)?, &options).map(Some),
        ["half-open", address, count] => {
            let seconds = Duration::from_secs(options.number("seconds", 10)?);
            load::half_open(parse(address)?, parse(count)?, seconds).map(Some)
        }
        ["crash", program, folder] => crash_rounds(program, folder, &options).map(Some),
        _ => Ok(None),
    }
}

fn parse<T: std::str::FromStr>(text: &str) -> io::Result<T> {
    text.parse().map_err(|_| io::Error::other(format!("{text:?} is not understood here")))
}

fn write_corpus(name: &str, folder: &Path, seed: u64) -> io::Result<Value> {
    let corpus = Corpus::named(name).ok_or_else(|| io::Error::other(format!("there is no corpus {name:?}")))?;
    let (objects, bytes) = corpus::write(corpus, seed, folder)?;
    Ok(json!({ "corpus": name, "seed": seed, "objects": objects, "bytes": bytes }))
}

fn sending(address: SocketAddr, options: &Options<'_>) -> io::Result<Sending> {
    let rate: f64 = options.number("rate", 0.0)?;
    Ok(Sending {
        titles: Titles::new(options.text("called", "KHOANH"), options.text("calling", "TESTKIT")),
        rate: (rate > 0.0).then_some(rate),
        limit: Duration::from_secs(options.number("limit", 300)?),
        ..Sending::to(address, options.number("associations", 1)?)
    })
}

fn send(address: SocketAddr, folder: &Path, options: &Options<'_>) -> io::Result<Value> {
    let how = sending(address, options)?;
    let mut objects = corpus::read(folder)?;
    objects.drain(..options.number("skip", 0usize)?.min(objects.len()));
    objects.truncate(options.number("take", usize::MAX)?);
    let report = modality::send(&objects, &how);
    Ok(load::report_json(&report, objects.len()))
}

fn stow(address: SocketAddr, folder: &Path, options: &Options<'_>) -> io::Result<Value> {
    let objects = corpus::read(folder)?;
    let mut client = Client::new(address, Duration::from_secs(300));
    let target = format!("{}/studies", options.text("root", "/dicom-web"));
    let started = std::time::Instant::now();
    let (mut stored, mut bytes) = (0, 0);
    for batch in objects.chunks(options.number("per", 10usize)?.max(1)) {
        let files: Vec<&[u8]> = batch.iter().map(|object| object.file.as_slice()).collect();
        let answer = client.stow(&target, &files)?;
        if answer.status != 200 {
            return Err(io::Error::other(format!("HTTP {}: {}", answer.status, answer.text())));
        }
        stored += batch.len();
        bytes += files.iter().map(|file| file.len()).sum::<usize>();
    }
    Ok(json!({ "stored": stored, "bytes": bytes, "seconds": started.elapsed().as_secs_f64() }))
}

fn get(address: SocketAddr, file: &Path, options: &Options<'_>) -> io::Result<Value> {
    let text = std::fs::read_to_string(file)?;
    let targets: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    let mut headers = format!("Accept: {}\r\n", options.text("accept", "application/dicom+json"));
    if !options.text("token", "").is_empty() {
        headers += &format!("Authorization: Bearer {}\r\n", options.text("token", ""));
    }
    load::get(address, &targets, &headers, options.number("connections", 1)?, options.number("requests", 1_000)?)
}

fn messages(address: SocketAddr, count: usize, options: &Options<'_>) -> io::Result<Value> {
    let mix = options.text("mix", "daily");
    let mix = Mix::named(mix).ok_or_else(|| io::Error::other(format!("there is no mix {mix:?}")))?;
    let (first, rate): (usize, f64) = (options.number("first", 0)?, options.number("rate", 0.0)?);
    mllp::load(&Offered {
        address,
        mix,
        numbers: first..first.saturating_add(count),
        connections: options.number("connections", 16)?,
        rate: (rate > 0.0).then_some(rate),
        patients: options.number("patients", 2_000)?,
        stations: options.number("stations", 200)?,
        month: options.text("month", "202612").to_owned(),
        days: options.number("days", 25)?,
    })
}

fn questions(address: SocketAddr, questions: usize, options: &Options<'_>) -> io::Result<Value> {
    let rate: f64 = options.number("rate", 0.0)?;
    worklist::load(&Asked {
        address,
        titles: Titles::new(options.text("called", "KHOANH"), options.text("calling", "TESTKIT")),
        associations: options.number("associations", 16)?,
        rate: (rate > 0.0).then_some(rate),
        questions,
        stations: options.number("stations", 200)?,
        month: options.text("month", "202612").to_owned(),
        days: options.number("days", 25)?,
    })
}

fn crash_rounds(program: &str, folder: &str, options: &Options<'_>) -> io::Result<Value> {
    let how = Crashing {
        executable: PathBuf::from(program),
        folder: PathBuf::from(folder),
        rounds: options.number("rounds", 200)?,
        streams: options.number("streams", 32)?,
        seed: options.number("seed", 1)?,
    };
    let summary = crash::run(&how)?;
    eprintln!("{}", summary.line());
    for line in summary.lost.iter().chain(&summary.problems).take(40) {
        eprintln!("  {line}");
    }
    Ok(json!({
        "rounds": summary.rounds, "acknowledged": summary.acknowledged, "unanswered": summary.unanswered,
        "lost": summary.lost.len(), "problems": summary.problems.len(), "seed": summary.seed,
        "bytes": summary.bytes, "seconds": summary.elapsed.as_secs_f64(), "failed": !summary.is_clean(),
    }))
}

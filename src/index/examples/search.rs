//! Measures the search of patients by whatever is at hand, as `/api/search` does it, on a made-up province.
//!
//! `cargo run --release -p khoanh-index --example search -- [persons] [folder] [rounds]`
//! fills the folder straight through the index, where it is not filled yet, and prints rows of a Markdown table: the time
//! of each form of a question, how many of the people looked for are among the first 20, how many of those of whom the
//! question says more than of 20 others, and how often the answer says that it was cut. Only people are looked for who
//! have what is asked for, a number of insurance for one. The folder stays and is asked again the next time; one of its own is made and removed where none is
//! named. Cache and buffers are those of the server by default. What a request costs beside (HTTP, JSON, the reading of
//! other letters) is not in it.

mod province;

use index::RocksOptions;
use index::charts::{Answer, Charts, Hit, RocksCharts, Search, Why};
use model::FacilityCode;
use model::chart::{Asked, BirthDate, ChartBody, ChartKey, Patient};
use province::{Outcome, at, fill, mistyped, named, patient, plain};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Rows of an answer.
const FIRST: usize = 20;
/// Questions of each form before they are measured.
const WARM: usize = 100;

/// Somebody of the province, and chance.
struct Someone<'a> {
    key: ChartKey,
    patient: Patient,
    rng: &'a mut fastrand::Rng,
}

impl Someone<'_> {
    fn year(&self) -> u16 {
        self.patient.birth.map_or(0, BirthDate::year)
    }

    fn with_year(&self, name: &str) -> String {
        format!("{name} {}", self.year())
    }

    fn with_day(&self, name: &str) -> Option<String> {
        let day = self.patient.birth?.whole()?;
        Some(format!("{name} {:02}/{:02}/{}", day.day(), day.month(), day.year()))
    }

    /// Family and given name.
    fn short(&self) -> String {
        let words: Vec<&str> = self.patient.name.split(' ').collect();
        format!("{} {}", words[0], words[words.len() - 1])
    }

    /// The last four digits of the personal number.
    fn tail(&self) -> Option<&str> {
        self.patient.ids.national.as_deref()?.get(8..)
    }
}

/// A form of a question: its name, what it is to be within, and what is asked to find somebody; nothing where somebody
/// has not what it asks for.
type Form = (&'static str, &'static str, fn(&mut Someone<'_>) -> Option<String>);

const NAMES: &str = "p95 ≤ 50 ms";
const TYPO: &str = "p95 ≤ 300 ms";
const FORMS: [Form; 18] = [
    ("full name as written", NAMES, |one| Some(one.patient.name.clone())),
    ("full name as written, birth year", NAMES, |one| Some(one.with_year(&one.patient.name))),
    ("full name as written, day of birth", NAMES, |one| one.with_day(&one.patient.name)),
    ("without marks", NAMES, |one| Some(plain(&one.patient.name))),
    ("without marks, birth year", NAMES, |one| Some(one.with_year(&plain(&one.patient.name)))),
    ("a name that perhaps nobody has, birth year", NAMES, |one| Some(format!("{} {}", named(one.rng).1, one.year()))),
    ("Nguyễn Văn An", NAMES, |_| Some("Nguyễn Văn An".into())),
    ("Nguyễn Văn An, birth year", NAMES, |one| Some(one.with_year("Nguyễn Văn An"))),
    ("family and given name, birth year", NAMES, |one| Some(one.with_year(&one.short()))),
    ("family and given name, day of birth", NAMES, |one| one.with_day(&one.short())),
    ("one typing error", TYPO, |one| Some(mistyped(&one.patient.name, one.rng))),
    ("one typing error, birth year", TYPO, |one| {
        let name = mistyped(&one.patient.name, one.rng);
        Some(one.with_year(&name))
    }),
    ("one typing error, day of birth", TYPO, |one| {
        let name = mistyped(&one.patient.name, one.rng);
        one.with_day(&name)
    }),
    ("patient's number", NAMES, |one| Some(one.patient.mrn.clone())),
    ("last four digits of the personal number", NAMES, |one| one.tail().map(str::to_owned)),
    ("the same with the name", NAMES, |one| Some(format!("{} {}", one.tail()?, one.patient.name))),
    ("telephone number", NAMES, |one| Some(one.patient.phones.concat())),
    ("insurance number", NAMES, |one| one.patient.ids.insurance.first().cloned()),
];
/// Forms that are asked of one facility, too.
const OWN: [usize; 3] = [0, 4, 11];
/// Beginnings of words, twelve at once: what costs most.
const WORST: [&str; 3] = [
    "A B C D E F G H I K L M",
    "NG TH TR PH KH CH QU GI NH DU HO LE 1978",
    "nguyem vam amh thj le tra pha vu da bu do ho",
];

fn percent(part: usize, of: usize) -> f64 {
    part as f64 * 100.0 / of.max(1) as f64
}

fn ask(index: &RocksCharts, text: &str, facilities: Option<BTreeSet<FacilityCode>>) -> Outcome<(Answer, Duration)> {
    let begun = Instant::now();
    let answer = Search::new(index, facilities).patients(&[text.to_owned()], FIRST)?;
    Ok((answer, begun.elapsed()))
}

fn row(what: &str, bar: &str, mut times: Vec<Duration>, told: &str) {
    times.sort_unstable();
    let [p50, p95, p99, most] = [500, 950, 990, 1000].map(|share| at(&times, share).as_secs_f64() * 1e3);
    println!("| {what} | {bar} | {p50:.1} | {p95:.1} | {p99:.1} | {most:.1} | {told} |");
}

/// Whether all of a full page answer the question as the first one does: then it is chance who of them is on it.
fn crowded(text: &str, answer: &Answer) -> bool {
    let asked = Asked::parse(text);
    let of = |hit: &Hit| match &hit.row.body {
        ChartBody::Patient(patient) => {
            let year = patient.birth.map(BirthDate::year).filter(|_| asked.year.is_some());
            // One recorded without marks is as good as one with other marks.
            (hit.why.max(Why::Name), year, patient.birth.filter(|_| asked.day.is_some()))
        }
        _ => (hit.why, None, None),
    };
    let same = |hit: &Hit| answer.hits.first().is_some_and(|first| of(hit) == of(first));
    answer.hits.len() == FIRST && answer.hits.iter().all(same)
}

fn measured(index: &RocksCharts, persons: u64, rounds: usize, (what, bar, form): Form, own: bool) -> Outcome<()> {
    let mut rng = fastrand::Rng::with_seed(2);
    let (mut times, mut found, mut alike, mut cut) = (Vec::new(), 0, 0, 0);
    for round in 0..WARM + rounds {
        let (key, text) = loop {
            let (key, patient) = patient(rng.u64(1..=persons))?;
            let mut someone = Someone { key, patient, rng: &mut rng };
            if let Some(text) = form(&mut someone) {
                break (someone.key, text);
            }
        };
        let (answer, time) = ask(index, &text, own.then(|| [key.facility].into()))?;
        if round >= WARM {
            times.push(time);
            let among = answer.hits.iter().any(|hit| hit.row.key == key);
            found += usize::from(among);
            alike += usize::from(!among && crowded(&text, &answer));
            cut += usize::from(answer.cut);
        }
    }
    let what = if own { format!("{what}, of one facility") } else { what.to_owned() };
    let shares = [percent(found, rounds), percent(found, rounds - alike), percent(cut, rounds)];
    row(&what, bar, times, &shares.map(|share| format!("{share:.0} %")).join(" | "));
    Ok(())
}

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let persons: u64 = arguments.next().map_or(Ok(20_000), |text| text.parse())?;
    let own = tempfile::tempdir()?;
    let folder = arguments.next().map_or_else(|| own.path().to_path_buf(), Into::into);
    let rounds: usize = arguments.next().map_or(Ok(1_000), |text| text.parse())?;
    // Filled with more room than it is asked with.
    let index = RocksCharts::open(&folder, RocksOptions { write_buffer_bytes: 512 << 20, ..RocksOptions::default() })?;
    fill(&index, persons)?;
    drop(index);
    let options = RocksOptions { block_cache_bytes: 64 << 20, write_buffer_bytes: 32 << 20, ..RocksOptions::default() };
    let index = RocksCharts::open(&folder, options)?;
    println!("{} patients, {} words of names\n", index.applied(), index.words("", usize::MAX)?.len());
    println!("| question | bar | p50, ms | p95 | p99 | most | among the first {FIRST} | not {FIRST} alike | cut |");
    println!("|---|---|---|---|---|---|---|---|---|");
    for form in FORMS {
        measured(&index, persons, rounds, form, false)?;
    }
    for at in OWN {
        measured(&index, persons, rounds, FORMS[at], true)?;
    }
    for text in WORST {
        let answers = (0..20).map(|_| ask(&index, text, None)).collect::<Outcome<Vec<_>>>()?;
        let cut = answers.iter().filter(|(answer, _)| answer.cut).count();
        let times = answers.iter().map(|(_, time)| *time).collect();
        row(text, "", times, &format!(" |  | {:.0} %", percent(cut, answers.len())));
    }
    Ok(())
}

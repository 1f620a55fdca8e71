//! Measures the search of patients by whatever is at hand, as `/api/search` does it, on a made-up province.
//!
//! `cargo run --release -p khoanh-index --example search -- [persons] [folder] [rounds]`
//! fills the folder straight through the index, where it is not filled yet, and prints rows of a Markdown table: the time
//! of each form of a question, how many of the people looked for are among the first 20, and how often the answer says
//! that it was cut. The folder stays and is asked again the next time; one of its own is made and removed where none is
//! named. Cache and buffers are those of the server by default. What a request costs beside (HTTP, JSON, the reading of
//! other letters) is not in it.

mod province;

use index::RocksOptions;
use index::charts::{Answer, Charts, RocksCharts, Search};
use model::FacilityCode;
use model::chart::{BirthDate, ChartKey, Patient};
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
}

/// A form of a question: its name, what it is to be within, and what is asked to find somebody.
type Form = (&'static str, &'static str, fn(&mut Someone<'_>) -> String);

const NAMES: &str = "p95 ≤ 50 ms";
const TYPO: &str = "p95 ≤ 300 ms";
const FORMS: [Form; 15] = [
    ("full name as written", NAMES, |one| one.patient.name.clone()),
    ("full name as written, birth year", NAMES, |one| one.with_year(&one.patient.name)),
    ("without marks", NAMES, |one| plain(&one.patient.name)),
    ("without marks, birth year", NAMES, |one| one.with_year(&plain(&one.patient.name))),
    ("a name that perhaps nobody has, birth year", NAMES, |one| format!("{} {}", named(one.rng).1, one.year())),
    ("Nguyễn Văn An", NAMES, |_| "Nguyễn Văn An".into()),
    ("Nguyễn Văn An, birth year", NAMES, |one| one.with_year("Nguyễn Văn An")),
    ("family and given name, birth year", NAMES, |one| {
        let words: Vec<&str> = one.patient.name.split(' ').collect();
        one.with_year(&format!("{} {}", words[0], words[words.len() - 1]))
    }),
    ("one typing error", TYPO, |one| mistyped(&one.patient.name, one.rng)),
    ("one typing error, birth year", TYPO, |one| {
        let name = mistyped(&one.patient.name, one.rng);
        one.with_year(&name)
    }),
    ("patient's number", NAMES, |one| one.patient.mrn.clone()),
    ("last four digits of the personal number", NAMES, |one| {
        one.patient.ids.national.as_deref().and_then(|number| number.get(8..)).unwrap_or("0000").into()
    }),
    ("the same with the name", NAMES, |one| {
        let tail = one.patient.ids.national.as_deref().and_then(|number| number.get(8..)).unwrap_or("0000");
        format!("{tail} {}", one.patient.name)
    }),
    ("telephone number", NAMES, |one| one.patient.phones.concat()),
    ("insurance number", NAMES, |one| one.patient.ids.insurance.first().map_or("DN4990000000000".into(), Clone::clone)),
];
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

fn measured(index: &RocksCharts, persons: u64, rounds: usize, (what, bar, form): Form, own: bool) -> Outcome<()> {
    let mut rng = fastrand::Rng::with_seed(2);
    let (mut times, mut found, mut cut) = (Vec::new(), 0, 0);
    for round in 0..WARM + rounds {
        let (key, patient) = patient(rng.u64(1..=persons))?;
        let mut someone = Someone { key, patient, rng: &mut rng };
        let text = form(&mut someone);
        let key = someone.key;
        let (answer, time) = ask(index, &text, own.then(|| [key.facility].into()))?;
        if round >= WARM {
            times.push(time);
            found += usize::from(answer.hits.iter().any(|hit| hit.row.key == key));
            cut += usize::from(answer.cut);
        }
    }
    let what = if own { format!("{what}, of one facility") } else { what.to_owned() };
    row(&what, bar, times, &format!("{:.0} % | {:.0} %", percent(found, rounds), percent(cut, rounds)));
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
    println!("| question | bar | p50, ms | p95 | p99 | most | among the first {FIRST} | cut |");
    println!("|---|---|---|---|---|---|---|---|");
    for form in FORMS {
        measured(&index, persons, rounds, form, false)?;
    }
    for form in [FORMS[0], FORMS[3], FORMS[9]] {
        measured(&index, persons, rounds, form, true)?;
    }
    for text in WORST {
        let answers = (0..20).map(|_| ask(&index, text, None)).collect::<Outcome<Vec<_>>>()?;
        let cut = answers.iter().filter(|(answer, _)| answer.cut).count();
        let times = answers.iter().map(|(_, time)| *time).collect();
        row(text, "", times, &format!(" | {:.0} %", percent(cut, answers.len())));
    }
    Ok(())
}

//! Measures searches of patients by name on a made-up province of a given size, filled through the same apply code.
//!
//! `cargo run --release -p khoanh-index --example charts -- [persons] [folder]`
//! prints the rate of apply and the time of searches as median, 95th and 99th percentile. Names are drawn as often as
//! they are in Viet Nam: a third of all people are called Nguyễn. What `/api/search` makes of such searches is measured
//! by the example `search`, in the same folder.

mod province;

use index::RocksOptions;
use index::charts::{ChartDriver, ChartQuery, Charts, RocksCharts};
use model::chart::{ChartKind, Term};
use model::{FacilityCode, name};
use province::{Outcome, at, fill, named};
use std::time::Instant;

/// Searches of each kind.
const ROUNDS: usize = 1_000;

/// A name that somebody may have, as words to search by.
fn words(rng: &mut fastrand::Rng) -> Vec<String> {
    name::tokens(&named(rng).1)
}

fn searches(index: &RocksCharts, what: &str, mut query: impl FnMut() -> ChartQuery) -> Outcome<()> {
    let (mut times, mut rows, mut short) = (Vec::new(), 0, 0);
    for _ in 0..ROUNDS {
        let query = query();
        let begun = Instant::now();
        let page = index.find(&query, None, 20)?;
        times.push(begun.elapsed());
        rows += page.rows.len();
        short += usize::from(page.rows.len() < 20 && page.cursor.is_some());
    }
    times.sort_unstable();
    let what = format!("{what} ({:.1} rows, {short} short)", rows as f64 / ROUNDS as f64);
    println!(
        "{what:44} median {:>9.1?}  p95 {:>9.1?}  p99 {:>9.1?}  most {:>9.1?}",
        at(&times, 500),
        at(&times, 950),
        at(&times, 990),
        at(&times, 1000)
    );
    Ok(())
}

fn by_words(words: Vec<String>, years: Option<(u16, u16)>) -> ChartQuery {
    let driver = ChartDriver::Words(words);
    ChartQuery { kind: ChartKind::Patient, facilities: None, driver, moments: None, years }
}

fn all_searches(index: &RocksCharts, rng: &mut fastrand::Rng, persons: u64) -> Outcome<()> {
    searches(index, "whole name", || by_words(words(rng), None))?;
    searches(index, "whole name, year", || {
        let year = rng.u16(1935..2024);
        by_words(words(rng), Some((year, year)))
    })?;
    searches(index, "NGUYEN VAN AN", || by_words(["NGUYEN", "VAN", "AN"].map(str::to_owned).into(), None))?;
    searches(index, "NGUYEN VAN AN, year", || {
        let year = rng.u16(1935..2024);
        by_words(["NGUYEN", "VAN", "AN"].map(str::to_owned).into(), Some((year, year)))
    })?;
    searches(index, "two family names", || by_words(["TRAN", "NGUYEN"].map(str::to_owned).into(), None))?;
    searches(index, "first letters", || {
        let first = |word: &String| word.chars().take(1).collect::<String>();
        by_words(words(rng).iter().map(first).collect(), None)
    })?;
    searches(index, "whole name, one facility", || ChartQuery {
        facilities: FacilityCode::parse(&format!("56{:03}", rng.u32(1..=25))).ok().map(|code| [code].into()),
        ..by_words(words(rng), None)
    })?;
    searches(index, "number of a patient", || ChartQuery {
        driver: ChartDriver::Equal(Term::Mrn, format!("{:08}", rng.u64(1..=persons))),
        ..by_words(Vec::new(), None)
    })
}

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let persons: u64 = arguments.next().map_or(Ok(20_000), |text| text.parse())?;
    let own = tempfile::tempdir()?;
    let folder = arguments.next().map_or_else(|| own.path().to_path_buf(), Into::into);
    let index = RocksCharts::open(&folder, RocksOptions::default())?;
    fill(&index, persons)?;
    let mut rng = fastrand::Rng::with_seed(2);
    all_searches(&index, &mut rng, persons)?;
    drop(index);
    let begun = Instant::now();
    let index = RocksCharts::open(&folder, RocksOptions::default())?;
    println!("open {:.1?}, applied {}", begun.elapsed(), index.applied());
    all_searches(&index, &mut rng, persons)
}

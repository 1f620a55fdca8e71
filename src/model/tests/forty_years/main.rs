//! Forty simulated years of retention: 10,000 synthetic studies with absurd dates, late series, changes of class,
//! merges, holds and deaths; plans are made, approved, hidden, undone and executed all the time.
//!
//! An independent model (`tally.rs`) counts by hand. At every plan the two must agree on every single study; nothing
//! may be destroyed that the model would keep (early), nothing left in the end that it would let go (forgotten).

mod archive;
mod case;
mod history;
mod tally;

use archive::Archive;
use fastrand::Rng;
use history::{FIRST, LAST};

#[test]
fn forty_years_destroy_nothing_early_and_forget_nothing() {
    let seed = std::env::var("KHOANH_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("KHOANH_SEED={seed}");
    let mut random = Rng::with_seed(seed);
    let mut archive = Archive::new(history::make(&mut random));
    let mut next_plan = FIRST;
    let (mut today, end) = (FIRST, LAST.plus_days(1));
    while today <= end {
        archive.morning(today, &mut random);
        if today == next_plan || today == end {
            archive.plan(today, &mut random);
            // On the first and last days of a year more often than on others: there the mistakes would be.
            let new_year = today.end_of_year().plus_days(random.i64(0..2));
            let other = today.plus_days(random.i64(10..150));
            next_plan = if new_year > today && random.bool() { new_year.min(other) } else { other };
        }
        archive.execute(today, &mut random, today < end);
        archive.evening(today);
        today = today.plus_days(1);
    }
    // What stands is carried to its end, and what was spared then by one more plan; nothing else happens any more.
    for more_plans in 0..2 {
        for _ in 0..120 {
            archive.morning(today, &mut random);
            archive.execute(today, &mut random, false);
            archive.evening(today);
            today = today.plus_days(1);
        }
        archive.morning(today, &mut random);
        archive.plan(today, &mut random);
        println!("{more_plans}: {}", archive.report());
    }
    archive.nothing_is_left();
    archive.everything_happened();
}

//! An archive that a command opens: nothing is done in the background.

use super::packs::{all_packed, object, packing, rows};
use super::*;

#[test]
fn without_background_work_everything_stays_where_it_is_and_can_be_counted() {
    let resting = packing().reopen_with(|options| options.background = false);
    let working = packing();
    for bench in [&resting, &working] {
        for series in 1..=3 {
            bench.store(&object(series, 1)).expect("stored");
        }
    }
    until("the other one has packed", || rows(&working).len() == 3 && all_packed(&working));
    assert!(rows(&resting).iter().all(|row| row.home.journal().is_some()), "something was packed");
    assert_eq!(resting.archive.tier_status_now().expect("status").tally.hot.packs, 0);

    // What nobody walks is counted when it is asked for.
    let packed = working.reopen_with(|options| options.background = false);
    assert_eq!(packed.archive.tier_status().counted, 0);
    let status = packed.archive.tier_status_now().expect("status");
    assert!(status.counted > 0);
    assert_eq!(status.tally.hot.packs, 3);
}

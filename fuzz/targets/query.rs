//! A QIDO-RS query string at every level, its conditions put to its own text.
#![no_main]

use model::Level;
use model::attribute::attribute;
use web::Options;
use web::dicomweb::qido::parse_search;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(query) = std::str::from_utf8(data) else { return };
    for level in [Level::Study, Level::Series, Level::Instance] {
        let Ok(search) = parse_search(level, query, &Options::default()) else { continue };
        for condition in &search.conditions {
            let row = attribute(condition.key).expect("only known attributes are asked");
            let _ = condition.test.accepts(row, query, search.fuzzy);
        }
    }
});

//! A QIDO-RS query string at every level.
#![no_main]

use model::Level;
use web::Options;
use web::dicomweb::qido::parse_search;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(query) = std::str::from_utf8(data) else { return };
    for level in [Level::Study, Level::Series, Level::Instance] {
        let _ = parse_search(level, query, &Options::default());
    }
});

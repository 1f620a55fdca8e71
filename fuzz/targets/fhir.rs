//! The query string of a FHIR search, for every kind of resource: what it asks for, its link to itself, and its ids.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(query) = std::str::from_utf8(data) {
        web::fhir::fuzz::search(query);
    }
});

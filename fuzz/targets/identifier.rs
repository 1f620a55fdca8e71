//! The identifier of a query, in every model and coding.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| dimse::fuzz::identifier(data));

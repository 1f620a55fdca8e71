//! A DIMSE command set and the answer to it.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| dimse::fuzz::command(data));

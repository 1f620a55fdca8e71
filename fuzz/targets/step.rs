//! The data set of a procedure step, as it is and as keys.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| dimse::fuzz::step(data));

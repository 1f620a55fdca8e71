//! The byte stream of an association, as a peer may send it.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| dimse::fuzz::pdu(data));

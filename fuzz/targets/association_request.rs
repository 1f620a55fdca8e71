//! An A-ASSOCIATE-RQ and its negotiation.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| dimse::fuzz::association_request(data));

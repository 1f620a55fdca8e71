//! HL7 messages: read, translated, answered; values with escapes.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    his::fuzz::message(data);
    his::fuzz::value(data);
});

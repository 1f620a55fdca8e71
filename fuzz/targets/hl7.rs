//! HL7 messages: read, translated, answered; values with escapes; the frames of a connection.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    his::fuzz::message(data);
    his::fuzz::value(data);
    his::fuzz::frames(data);
});

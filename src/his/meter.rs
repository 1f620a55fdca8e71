//! The numbers of the HIS edge, for the operator (names in one place, all prefixed `khoanh_his_`).

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use std::time::Duration;

const OPEN: &str = "khoanh_his_connections_open";
const REFUSED: &str = "khoanh_his_connections_refused_total";
const BROKEN: &str = "khoanh_his_connections_broken_total";
const MESSAGES: &str = "khoanh_his_messages_total";
const MESSAGE: &str = "khoanh_his_message_seconds";
const BYTES: &str = "khoanh_his_received_bytes_total";
const KNOCKS: &str = "khoanh_his_knocks_total";
const UNUSABLE: &str = "khoanh_his_sources_file_unusable";

/// Types of messages that are counted by name.
const TYPES: [&str; 7] = ["ADT", "ORM", "OMI", "OMG", "ORU", "OUL", "SIU"];

/// Says what each number means; once per process is enough.
pub(crate) fn describe() {
    describe_gauge!(OPEN, "MLLP connections open now");
    describe_counter!(REFUSED, "MLLP connections refused, by reason");
    describe_counter!(BROKEN, "MLLP connections closed because of what came, by reason");
    describe_counter!(MESSAGES, "HL7 messages answered, by type and acknowledgement");
    describe_histogram!(MESSAGE, metrics::Unit::Seconds, "from the last byte of a message to its answer");
    describe_counter!(BYTES, "bytes of HL7 messages received");
    describe_counter!(KNOCKS, "HL7 messages of unknown senders");
    describe_gauge!(UNUSABLE, "1 while the file of senders cannot be used and older ones hold");
}

pub(crate) fn open(connections: usize) {
    gauge!(OPEN).set(f64::from(u32::try_from(connections).unwrap_or(u32::MAX)));
}

pub(crate) fn refused(reason: &'static str) {
    counter!(REFUSED, "reason" => reason).increment(1);
}

pub(crate) fn broken(reason: &'static str) {
    counter!(BROKEN, "reason" => reason).increment(1);
}

pub(crate) fn answered(kind: &str, code: &'static str, whole: Duration) {
    let named = TYPES.iter().find(|name| kind.starts_with(**name)).copied().unwrap_or("other");
    counter!(MESSAGES, "type" => named, "code" => code).increment(1);
    histogram!(MESSAGE).record(whole);
}

pub(crate) fn received(bytes: usize) {
    counter!(BYTES).increment(u64::try_from(bytes).unwrap_or(u64::MAX));
}

pub(crate) fn knocked() {
    counter!(KNOCKS).increment(1);
}

pub(crate) fn sources_unusable(unusable: bool) {
    gauge!(UNUSABLE).set(if unusable { 1.0 } else { 0.0 });
}

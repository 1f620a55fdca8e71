//! The numbers of the DIMSE edge, for the operator (names in one place, all prefixed `khoanh_dimse_`).

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use std::time::Duration;

const OPEN: &str = "khoanh_dimse_associations_open";
const HALF_OPEN: &str = "khoanh_dimse_half_open";
const EVICTED: &str = "khoanh_dimse_half_open_evicted_total";
const ACCEPTED: &str = "khoanh_dimse_associations_total";
const REJECTED: &str = "khoanh_dimse_associations_rejected_total";
const ABORTED: &str = "khoanh_dimse_associations_aborted_total";
const INSTANCES: &str = "khoanh_dimse_instances_total";
const ECHOES: &str = "khoanh_dimse_echoes_total";
const BYTES: &str = "khoanh_dimse_received_bytes_total";
const STORE: &str = "khoanh_dimse_store_seconds";
const COMMIT: &str = "khoanh_dimse_commit_seconds";
const QUERIES: &str = "khoanh_dimse_queries_total";
const MATCHES: &str = "khoanh_dimse_matches_total";
const RETRIEVES: &str = "khoanh_dimse_retrieves_total";
const RETRIEVE: &str = "khoanh_dimse_retrieve_seconds";
const COMMITMENTS: &str = "khoanh_dimse_commitments_total";
const COMMITMENT: &str = "khoanh_dimse_commitment_seconds";
const NOTICES: &str = "khoanh_dimse_notices_total";
const NOTICE: &str = "khoanh_dimse_notice_seconds";
const FIND: &str = "khoanh_dimse_find_seconds";
const STEPS: &str = "khoanh_dimse_steps_total";
const STEP: &str = "khoanh_dimse_step_seconds";
const PERFORMED: &str = "khoanh_dimse_performed_total";
const PERFORM: &str = "khoanh_dimse_performed_seconds";

/// Says what each number means; once per process is enough.
pub(crate) fn describe() {
    describe_gauge!(OPEN, "associations open now");
    describe_gauge!(HALF_OPEN, "connections without an association now");
    describe_counter!(EVICTED, "connections without an association closed to make room");
    describe_counter!(ACCEPTED, "associations accepted");
    describe_counter!(REJECTED, "associations rejected, by reason");
    describe_counter!(ABORTED, "associations aborted or lost, by reason");
    describe_counter!(INSTANCES, "C-STORE requests answered, by status");
    describe_counter!(ECHOES, "C-ECHO requests answered");
    describe_counter!(BYTES, "bytes received on associations");
    describe_histogram!(STORE, metrics::Unit::Seconds, "from the C-STORE command to the answer");
    describe_histogram!(COMMIT, metrics::Unit::Seconds, "from the last byte of the data set to the answer");
    describe_counter!(QUERIES, "C-FIND requests answered, by final status");
    describe_counter!(MATCHES, "matches sent in answer to C-FIND");
    describe_counter!(RETRIEVES, "C-MOVE and C-GET requests answered, by operation and final status");
    describe_histogram!(RETRIEVE, metrics::Unit::Seconds, "from the C-MOVE or C-GET command to the final answer");
    describe_counter!(COMMITMENTS, "N-ACTION requests of storage commitment answered, by status");
    describe_histogram!(COMMITMENT, metrics::Unit::Seconds, "from the N-ACTION command to its answer");
    describe_counter!(NOTICES, "N-CREATE requests of instance availability answered, by status");
    describe_histogram!(NOTICE, metrics::Unit::Seconds, "from the N-CREATE command to its answer");
    describe_counter!(STEPS, "N-CREATE, N-GET, N-SET and N-ACTION requests of procedure steps answered, by status");
    describe_histogram!(STEP, metrics::Unit::Seconds, "from the request about a procedure step to its answer");
    describe_counter!(PERFORMED, "N-CREATE and N-SET requests of performed procedure steps (MPPS) answered, by status");
    describe_histogram!(PERFORM, metrics::Unit::Seconds, "from the request about a performed step to its answer");
    describe_histogram!(FIND, metrics::Unit::Seconds, "from the C-FIND command to the final answer");
}

pub(crate) fn retrieved(operation: &'static str, status: &str, whole: Duration) {
    counter!(RETRIEVES, "operation" => operation, "status" => status.to_owned()).increment(1);
    histogram!(RETRIEVE, "operation" => operation).record(whole);
}

pub(crate) fn commitment(status: &str, whole: Duration) {
    counter!(COMMITMENTS, "status" => status.to_owned()).increment(1);
    histogram!(COMMITMENT).record(whole);
}

pub(crate) fn noticed(status: &str, whole: Duration) {
    counter!(NOTICES, "status" => status.to_owned()).increment(1);
    histogram!(NOTICE).record(whole);
}

pub(crate) fn step(operation: &'static str, status: &str, whole: Duration) {
    counter!(STEPS, "operation" => operation, "status" => status.to_owned()).increment(1);
    histogram!(STEP, "operation" => operation).record(whole);
}

pub(crate) fn performed(operation: &'static str, status: &str, whole: Duration) {
    counter!(PERFORMED, "operation" => operation, "status" => status.to_owned()).increment(1);
    histogram!(PERFORM, "operation" => operation).record(whole);
}

pub(crate) fn found(status: &str, matches: u64, whole: Duration) {
    counter!(QUERIES, "status" => status.to_owned()).increment(1);
    counter!(MATCHES).increment(matches);
    histogram!(FIND).record(whole);
}

pub(crate) fn open(associations: usize) {
    gauge!(OPEN).set(f64::from(u32::try_from(associations).unwrap_or(u32::MAX)));
}

pub(crate) fn half_open(connections: usize) {
    gauge!(HALF_OPEN).set(f64::from(u32::try_from(connections).unwrap_or(u32::MAX)));
}

pub(crate) fn evicted() {
    counter!(EVICTED).increment(1);
}

pub(crate) fn accepted() {
    counter!(ACCEPTED).increment(1);
}

pub(crate) fn rejected(reason: &'static str) {
    counter!(REJECTED, "reason" => reason).increment(1);
}

pub(crate) fn aborted(reason: &'static str) {
    counter!(ABORTED, "reason" => reason).increment(1);
}

pub(crate) fn echoed() {
    counter!(ECHOES).increment(1);
}

pub(crate) fn received(bytes: u64) {
    counter!(BYTES).increment(bytes);
}

pub(crate) fn stored(status: &str, whole: Duration, commit: Duration) {
    counter!(INSTANCES, "status" => status.to_owned()).increment(1);
    histogram!(STORE).record(whole);
    histogram!(COMMIT).record(commit);
}

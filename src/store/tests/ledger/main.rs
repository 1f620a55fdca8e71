//! The ledger under what a machine and a forger can do to it: power loss at every operation, failed syncs, torn
//! tails, flipped bits, missing files, wrong keys, and proofs that were tampered with.

// The disk's source is shared with the test kit, whose other parts this crate does not need.
#[path = "../../../testkit/disk.rs"]
#[allow(dead_code, unreachable_pub)]
mod disk;

mod append;
mod corruption;
mod power;
mod proofs;
mod registry;
mod token;

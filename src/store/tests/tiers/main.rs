//! Key store and hot volumes under power loss at every operation, failed syncs and broken directories, on a
//! simulated disk.

// The disk's source is shared with the test kit, whose other parts this crate does not need.
#[path = "../../../testkit/disk.rs"]
#[allow(dead_code, unreachable_pub)]
mod disk;

mod hot;
mod keys;
mod token;

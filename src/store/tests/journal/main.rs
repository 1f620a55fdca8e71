//! The journal under everything a machine can do to it: power loss at every operation, failed syncs, flipped
//! bits, torn tails, full disks and broken directories, on a simulated disk; and large writes on the real one.

// The disk's source is shared with the test kit, whose other parts this crate does not need.
#[path = "../../../testkit/disk.rs"]
#[allow(dead_code, unreachable_pub)]
mod disk;

mod blob;
mod cached;
mod corruption;
mod direct;
mod full;
mod heard;
mod mirror;
mod power;
mod scenario;
mod segment;

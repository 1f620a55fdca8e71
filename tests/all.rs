//! The one integration test binary: whole-program claims and the checks the repository makes on itself.
//!
//! One binary keeps linking RocksDB to a single time; each module is one subject.

#[path = "all/documents.rs"]
mod documents;
#[path = "all/tidy.rs"]
mod tidy;

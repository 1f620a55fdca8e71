//! What peers meet on the wire: a listener on a free port, spoken to byte by byte.

mod bad_input;
mod committing;
mod fetching;
mod finding;
mod limits;
mod memory;
mod messages;
mod parting;
mod peer;
mod performing;
mod retrieving;
mod secure;
pub(crate) mod server;
mod worklist;

//! What tests and measurements need besides the archive: synthetic studies, simulated peers, the real server
//! as a child process, and crash rounds.
//!
//! Development only; it ships in no product. It deliberately shares no code for DICOM bytes or wires with
//! the archive, so that a mistake is not proved right by the same mistake.

pub mod association;
pub mod certificates;
pub mod corpus;
pub mod crash;
pub mod disk;
pub mod element;
pub mod http;
pub mod load;
pub mod mllp;
pub mod modality;
pub mod names;
pub mod object;
pub mod pixels;
pub mod process;
pub mod rules;
pub mod server;
pub mod study;
pub mod worklist;

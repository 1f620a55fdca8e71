//! The edge to hospital, laboratory and record systems: HL7 version 2 over MLLP.
//!
//! A message is read, understood by the map of its sender, handed to the archive's charts and answered when it is durable,
//! never before. One connection's messages are handled one after the other, and so are those of one patient, whoever
//! brings them.
//! Deliberately not here: DICOM, HTTP, how charts are kept, and what an order or a merge means for images.

mod desk;
pub mod fuzz;
pub mod hl7;
mod keeper;
mod listener;
mod map;
mod meter;
mod mllp;
mod options;
mod out;
mod places;
#[cfg(test)]
mod service_tests;
mod sources;
mod table;
mod translate;
mod turns;
mod watched;

pub use desk::{AgainError, again};
pub use listener::{ListenError, Listener};
pub use map::{Map, MapError};
pub use options::{Options, TlsPort};
pub use out::{Receivers, SendLimits, Sender, SignLink};
pub use sources::{Sources, SourcesError};
pub use table::{Asked, ORDER_COLUMNS, PATIENT_COLUMNS, Table, TableKind};
pub use translate::SERVED;

//! The DICOM wire: associations, C-ECHO, C-STORE, C-FIND, C-MOVE, C-GET, storage commitment, procedure steps, modality
//! worklist and performed procedure steps as a provider (PS3.4, PS3.7, PS3.8).
//!
//! An association request is read by a small task, checked against the registry of sources and answered; an
//! accepted association gets a thread that streams its objects into the archive and answers when they are
//! durable. Every limit has a name in [`Options`].
//!
//! This crate looks into no stored data set, keeps nothing, and never touches the journal or the index.

mod ahead;
mod association;
mod carrier;
mod command;
mod commitment_reports;
mod commitment_scp;
mod doors;
mod find_scp;
mod forward;
pub mod fuzz;
mod get_scp;
mod half_open;
mod letters;
mod line;
mod listener;
mod meter;
mod move_scp;
mod negotiate;
mod notice;
mod options;
mod outgoing;
mod pdu;
mod performed_scp;
mod query_class;
mod question;
mod receiver;
mod recode;
mod request;
mod retrieval;
pub mod scu;
mod slots;
mod socket;
mod status;
mod storage_sop_class;
mod store_scp;
mod suspects;
mod transfer_syntax;
mod ups_class;
mod ups_events;
mod ups_find;
mod ups_reports;
mod ups_scp;
mod worklist_find;
mod worklist_line;
mod worklist_question;
mod worklist_table;

#[cfg(test)]
mod behaviour;

pub use commitment_scp::STORAGE_COMMITMENT;
pub use doors::TlsPort;
pub use forward::Forwarder;
pub use listener::{ListenError, Listener};
pub use negotiate::VERIFICATION;
pub use notice::AVAILABILITY_NOTIFICATION;
pub use options::Options;
pub use performed_scp::PERFORMED_PROCEDURE_STEP;
pub use query_class::{Operation, QueryClass, Root, query_classes};
pub use status::{STATUSES, Status};
pub use storage_sop_class::{StorageSopClass, storage_sop_classes};
pub use transfer_syntax::{Fidelity, TransferSyntax, transfer_syntaxes};
pub use ups_class::{UpsClass, ups_classes};
pub use worklist_table::{MODALITY_WORKLIST, WorklistAttribute, worklist_attributes};

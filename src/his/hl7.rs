//! HL7 version 2, 2.3 to 2.8: reading leniently, writing answers.
//!
//! Deliberately not here: what a message asks for ([`crate::translate`]), and frames on the wire ([`crate::mllp`]).

pub mod ack;
pub mod escape;
pub mod fault;
pub mod head;
pub mod message;
pub mod place;
pub mod response;
pub mod values;

pub use fault::{Fault, Kind};
pub use head::Head;
pub use message::{Message, Piece, Segment, Separators};
pub use place::Place;
pub use response::{Form, Response};

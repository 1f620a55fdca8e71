//! Values and rules of the archive: what a UID, a facility, a stored instance or a query *is*.
//!
//! Everything here is plain data parsed once at the edge; the rest of the program trusts it.
//! This crate deliberately does no I/O, knows no clock, no async and no wire format.

pub mod ae;
pub mod attribute;
pub mod caller;
pub mod certificate;
pub mod chart;
pub mod checksum;
pub mod correction;
pub mod date;
pub mod destination;
pub mod facility;
pub mod fact;
pub mod forward;
pub mod instance;
pub mod name;
pub mod pack;
pub mod place;
pub mod query;
pub mod reach;
pub mod retention;
pub mod sameness;
mod text;
pub mod uid;

pub use ae::AeTitle;
pub use attribute::{AttrKey, Attributes, Level};
pub use caller::{Caller, Role, Scope};
pub use certificate::Certificate;
pub use date::Date;
pub use destination::{Destination, DestinationTls};
pub use facility::{Facility, FacilityCode, Source};
pub use fact::{Fact, Lsn, SealedFact, SeriesQuiet, StudyComplete};
pub use instance::{Difference, Digest, Flag, Frames, InstanceHead, Layout, Outcome, PixelSpan, Span, Via};
pub use pack::{PackFact, PackId};
pub use place::{Home, Place};
pub use reach::{OutOfReach, Reach};
pub use sameness::{Sameness, SamenessHasher, SamenessKind};
pub use uid::Uid;

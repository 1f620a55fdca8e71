//! Hot and cold: which packs lie where, and how they get there.
//!
//! Bytes are moved by the store's libraries; here is decided what moves when, in what order facts and bytes change,
//! and what is done when the cloud is away. Deliberately not here: how long anything is kept (retention).

pub mod cloud;
mod epochs;
mod options;
pub mod policy;

pub use options::{CloudOptions, EpochOptions, KeyOptions};

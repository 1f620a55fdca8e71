//! What a pack promises, on objects made here.

mod damage;
mod round_trip;
mod scenario;

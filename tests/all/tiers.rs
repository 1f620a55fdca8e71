//! Hot and cold from end to end, over a real S3 server and through a relay that counts and breaks requests.

#[path = "tiers/absence.rs"]
mod absence;
#[path = "tiers/cloud.rs"]
mod cloud;
#[path = "tiers/destroyed.rs"]
mod destroyed;
#[path = "tiers/kill.rs"]
mod kill;
#[path = "tiers/life.rs"]
mod life;
#[path = "tiers/locked.rs"]
mod locked;
#[path = "tiers/moving.rs"]
mod moving;
#[path = "tiers/rebuild.rs"]
mod rebuild;
#[path = "tiers/rig.rs"]
mod rig;
#[path = "tiers/safe.rs"]
mod safe;

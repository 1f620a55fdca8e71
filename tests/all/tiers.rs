//! Hot and cold from end to end, over a real S3 server and through a relay that counts and breaks requests.

#[path = "tiers/cloud.rs"]
mod cloud;

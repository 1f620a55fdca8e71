//! The one integration test binary: whole-program claims and the checks the repository makes on itself.
//!
//! One binary keeps linking RocksDB to a single time; each module is one subject.

#[path = "all/clients.rs"]
mod clients;
#[path = "all/cold.rs"]
mod cold;
#[path = "all/commitment_web.rs"]
mod commitment_web;
#[path = "all/conformance.rs"]
mod conformance;
#[path = "all/corpus.rs"]
mod corpus;
#[path = "all/correcting.rs"]
mod correcting;
#[path = "all/crash.rs"]
mod crash;
#[path = "all/dimse.rs"]
mod dimse;
#[path = "all/dimse_tls.rs"]
mod dimse_tls;
#[path = "all/documents.rs"]
mod documents;
#[path = "all/fhir.rs"]
mod fhir;
#[path = "all/forwarding.rs"]
mod forwarding;
#[path = "all/his_days.rs"]
mod his_days;
#[path = "all/hostile.rs"]
mod hostile;
#[path = "all/hostile_objects.rs"]
mod hostile_objects;
#[path = "all/hostile_web.rs"]
mod hostile_web;
#[path = "all/interop.rs"]
mod interop;
#[path = "all/ledger.rs"]
mod ledger;
#[path = "all/ledger_service.rs"]
mod ledger_service;
#[path = "all/messages.rs"]
mod messages;
#[path = "all/migrating.rs"]
mod migrating;
#[path = "all/orders.rs"]
mod orders;
#[path = "all/packs.rs"]
mod packs;
#[path = "all/pictures.rs"]
mod pictures;
#[path = "all/retention.rs"]
mod retention;
#[path = "all/roundtrip.rs"]
mod roundtrip;
#[path = "all/running.rs"]
mod running;
#[path = "all/steps.rs"]
mod steps;
#[path = "all/tidy.rs"]
mod tidy;
#[path = "all/tiers.rs"]
mod tiers;
#[path = "all/transcoding.rs"]
mod transcoding;
#[path = "all/verifying.rs"]
mod verifying;
#[path = "all/yard.rs"]
mod yard;

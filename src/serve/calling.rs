//! What calls other systems: forwarding, the outbox, the verifier of personal identification numbers.

use super::{THREADS_END, failed};
use crate::cli::{Exit, Failure};
use crate::config::Config;
use archive::Archive;
use archive::charts::inquiries::dispatch::Inquirer;
use archive::charts::outbox::dispatch::{Courier, Couriers, PostOffice};
use archive::forward::dispatch::{Carriers, Dispatcher};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// What runs; some of it only where it is configured.
#[derive(Default)]
pub(super) struct Calling {
    forwarding: Option<Dispatcher>,
    outbox: Option<PostOffice>,
    verifier: Option<Inquirer>,
}

impl Calling {
    /// Begins to call, from within a tokio runtime.
    pub(super) fn start(config: &Config, archive: &Arc<Archive>) -> Result<Self, Failure> {
        let mut calling = Self::default();
        match calling.begin(config, archive) {
            Ok(()) => Ok(calling),
            Err(failure) => {
                calling.shutdown(THREADS_END);
                Err(failure)
            }
        }
    }

    fn begin(&mut self, config: &Config, archive: &Arc<Archive>) -> Result<(), Failure> {
        self.forwarding = Some(forward(config, archive)?);
        self.outbox = Some(tell(config, archive)?);
        self.verifier = verify(config, archive)?;
        Ok(())
    }

    /// Ends the calls under way; says of those that do not end within `limit` what that means.
    pub(super) fn shutdown(self, limit: Duration) -> Vec<&'static str> {
        let Self { forwarding, outbox, verifier } = self;
        let ended = std::thread::scope(|scope| {
            let forwarding = scope.spawn(|| forwarding.is_none_or(|one| one.shutdown(limit)));
            let outbox = scope.spawn(|| outbox.is_none_or(|one| one.shutdown(limit)));
            let verifier = verifier.is_none_or(|one| one.shutdown(limit));
            [forwarding.join().unwrap_or(false), outbox.join().unwrap_or(false), verifier]
        });
        let late = [
            "a delivery to another system does not end; it is made again after the next start",
            "a delivery of the outbox does not end; it is tried again after the next start",
            "a question to the verifier does not end; it is asked again after the next start",
        ];
        late.into_iter().zip(ended).filter(|(_, ended)| !ended).map(|(what, _)| what).collect()
    }
}

/// Begins to bring what waits to its destinations.
fn forward(config: &Config, archive: &Arc<Archive>) -> Result<Dispatcher, Failure> {
    let dimse::Options { calls, client, .. } = config.dimse();
    let (connect, answer, write, reach) = (calls.connect, calls.answer, calls.write, config.reach());
    let limits = web::StowLimits { connect, answer, write, reach };
    // At least one is configured.
    let title = config.dicom.ae_titles.first().cloned().ok_or_else(|| Failure::new(Exit::Failed, "no AE title"))?;
    let ahead = config.forward.ahead_max.in_memory();
    let carriers = Carriers {
        dicom: Box::new(dimse::Forwarder::new(calls, client, title, ahead)),
        stow: Box::new(web::StowForwarder::new(Handle::current(), limits)),
    };
    Dispatcher::start(archive, carriers).map_err(|error| failed("forwarding", &error))
}

/// Begins to tell others what waits in the outbox.
fn tell(config: &Config, archive: &Arc<Archive>) -> Result<PostOffice, Failure> {
    let keys = &config.charts.outbox;
    let hl7 = match config.receivers() {
        Some(path) => {
            let receivers = his::Receivers::load(&path).map_err(|error| failed("hl7.receivers", &error))?;
            let links = web::MessageLinks::open(&config.launch());
            let sign: his::SignLink =
                Arc::new(move |facility, study, mrn, ends| links.query(facility, study, mrn, ends));
            let sender: Box<dyn Courier> = Box::new(his::Sender::new(receivers, keys.sending()).signing(sign));
            Some(sender)
        }
        None => None,
    };
    let http = Box::new(web::Hooks::new(Handle::current(), config.hooks()).telling(&config.web()));
    PostOffice::start(archive, Couriers { hl7, http }).map_err(|error| failed("outbox", &error))
}

/// Begins to ask the verifier, where there is one.
fn verify(config: &Config, archive: &Arc<Archive>) -> Result<Option<Inquirer>, Failure> {
    let Some(place) = config.verifier.place() else { return Ok(None) };
    let verifier = web::Verifier::new(Handle::current(), place);
    let verifier = verifier.map_err(|what| Failure::new(Exit::Failed, format!("verifier: {what}")))?;
    let asking = Inquirer::start(archive, Box::new(verifier)).map_err(|error| failed("verifier", &error))?;
    Ok(Some(asking))
}

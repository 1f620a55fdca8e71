//! Destinations: whom objects may be sent to. Every change is a fact in the journal before it holds.

use crate::error::RegistryError;
use crate::open::Archive;
use crate::registry::authorize;
use model::{AeTitle, Caller, Destination, Fact, Source};

impl Archive {
    /// Every destination by AE title, removed ones too.
    pub fn destinations(&self) -> Vec<Destination> {
        self.registry().read().destinations.values().cloned().collect()
    }

    /// Where a source may have objects sent: its own facility's destinations, and those that are every facility's.
    pub fn destination_for(&self, source: &Source, title: &AeTitle) -> Option<Destination> {
        let registry = self.registry().read();
        let found = registry.destinations.get(title).filter(|found| !found.removed);
        found.filter(|found| found.facility.is_none_or(|facility| facility == source.facility)).cloned()
    }

    /// Adds or changes a destination, or takes it back by its mark; durable on return.
    ///
    /// # Errors
    /// [`RegistryError::Forbidden`] unless the caller administers the facility it belongs to, and did before; one for
    /// every facility takes an administrator of every facility.
    pub fn put_destination(&self, caller: &Caller, destination: Destination) -> Result<(), RegistryError> {
        authorize(caller, destination.facility)?;
        let _change = self.registry_change().lock();
        self.check_destination(caller, &destination)?;
        self.record(Fact::Destination(destination.clone()))?;
        self.registry().write().destinations.insert(destination.title.clone(), destination);
        Ok(())
    }

    fn check_destination(&self, caller: &Caller, destination: &Destination) -> Result<(), RegistryError> {
        let registry = self.registry().read();
        if let Some(before) = registry.destinations.get(&destination.title) {
            authorize(caller, before.facility)?;
        }
        let invalid = |what: String| Err(RegistryError::Invalid { what });
        if Destination::split_address(&destination.address()).is_none() {
            return invalid("a destination needs a host name or address and a port from 1 to 65535".into());
        }
        // Who administers every facility decides for the machine, too.
        let reach = &self.options().forward.reach;
        if !destination.removed
            && authorize(caller, None).is_err()
            && let Err(why) = reach.check_host(&destination.host, destination.port)
        {
            return invalid(why.to_string());
        }
        if let Some(pinned) = destination.tls.as_ref().and_then(|tls| tls.certificate.as_ref()) {
            let is_digest =
                pinned.len() == 64 && pinned.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
            if !is_digest {
                return invalid(
                    "a destination's certificate is named by its SHA-256, 64 lower-case hexadecimal digits".into(),
                );
            }
        }
        if destination.description.chars().count() > 256 {
            return invalid("a description has at most 256 characters".into());
        }
        match destination.facility.filter(|facility| !registry.facilities.contains_key(facility)) {
            Some(facility) => invalid(format!("facility {facility} is not registered; add it first")),
            None => Ok(()),
        }
    }
}

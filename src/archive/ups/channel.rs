//! The way events leave: one channel for each AE title of a facility at a time, in order, each until it was taken.
//!
//! Whoever listens last has the channel: a client that lost its connection and comes back is not kept out by the old one.
//! Deliberately not here: associations and sockets.

use super::event::Event;
use super::record::UpsRecord;
use super::state::Told;
use super::{Ups, UpsError};
use model::{AeTitle, FacilityCode};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// Called when a channel has something new, or is over.
pub type Wake = Box<dyn Fn() + Send + Sync>;

struct Open {
    id: u64,
    wake: Option<Wake>,
}

#[derive(Default)]
struct Table {
    open: HashMap<(FacilityCode, AeTitle), Open>,
    last: u64,
    closed: bool,
}

/// The open channels.
#[derive(Default)]
pub(super) struct Channels(Mutex<Table>);

impl Channels {
    pub(super) fn wake(&self, facility: FacilityCode, title: &AeTitle) {
        let table = self.0.lock();
        if let Some(wake) = table.open.get(&(facility, title.clone())).and_then(|open| open.wake.as_ref()) {
            wake();
        }
    }

    /// No channel says anything any more.
    pub(super) fn close(&self) {
        let mut table = self.0.lock();
        table.closed = true;
        table.open.values().filter_map(|open| open.wake.as_ref()).for_each(|wake| wake());
    }
}

/// What a channel has.
#[derive(Debug, Clone, PartialEq)]
pub enum Turn {
    /// The next event: say it, then [`Channel::taken`].
    Event(Arc<Event>),
    /// Nothing now.
    Nothing,
    /// Somebody else listens, or the archive closes.
    Over,
}

/// The events of one AE title, in order.
pub struct Channel {
    ups: Arc<Ups>,
    key: (FacilityCode, AeTitle),
    id: u64,
}

impl std::fmt::Debug for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Channel").field("key", &self.key).finish_non_exhaustive()
    }
}

impl Ups {
    /// Opens the channel of an AE title; one that is open is over.
    pub fn listen(self: &Arc<Self>, facility: FacilityCode, title: &AeTitle, wake: Option<Wake>) -> Channel {
        let key = (facility, title.clone());
        let mut table = self.channels.0.lock();
        table.last = table.last.saturating_add(1);
        let id = table.last;
        if let Some(before) = table.open.insert(key.clone(), Open { id, wake })
            && let Some(wake) = before.wake
        {
            wake();
        }
        drop(table);
        Channel { ups: Arc::clone(self), key, id }
    }

    /// Opens the channel of an AE title unless one is open.
    pub fn listen_if_free(self: &Arc<Self>, facility: FacilityCode, title: &AeTitle) -> Option<Channel> {
        let key = (facility, title.clone());
        let mut table = self.channels.0.lock();
        if table.closed || table.open.contains_key(&key) {
            return None;
        }
        table.last = table.last.saturating_add(1);
        let id = table.last;
        table.open.insert(key.clone(), Open { id, wake: None });
        drop(table);
        Some(Channel { ups: Arc::clone(self), key, id })
    }

    /// AE titles that have events waiting and no open channel.
    pub fn waiting(&self) -> Told {
        let state = self.state.read();
        let queued = state.shelves.iter().flat_map(|(facility, shelf)| {
            let waiting = shelf.subscribers.iter().filter(|(_, one)| one.first().is_some());
            waiting.map(|(title, _)| (*facility, title.clone()))
        });
        let queued: Told = queued.collect();
        drop(state);
        let table = self.channels.0.lock();
        queued.into_iter().filter(|key| !table.open.contains_key(key)).collect()
    }
}

impl Channel {
    /// The AE title.
    pub fn title(&self) -> &AeTitle {
        &self.key.1
    }

    /// The oldest event that was not taken yet. One whose key went with its step is none; one whose key is not at hand
    /// waits, and those behind it.
    pub fn next(&self) -> Turn {
        {
            let table = self.ups.channels.0.lock();
            if table.closed || table.open.get(&self.key).is_none_or(|open| open.id != self.id) {
                return Turn::Over;
            }
        }
        let (facility, title) = &self.key;
        loop {
            let first = {
                let state = self.ups.state.read();
                let subscriber = state.shelves.get(facility).and_then(|shelf| shelf.subscribers.get(title));
                subscriber.and_then(|one| one.first()).map(Arc::clone)
            };
            let Some(noted) = first else { return Turn::Nothing };
            match self.ups.told(&noted) {
                Ok(event) => return Turn::Event(Arc::new(event)),
                Err(error) => {
                    let for_good = error == UpsError::Unknown;
                    if !for_good {
                        tracing::warn!(%facility, %title, %error, "an event of a procedure step does not open");
                    }
                    self.ups.state.write().pass_over(*facility, title, &noted, for_good);
                }
            }
        }
    }

    /// An event was heard: it and those before it are not said again, but perhaps after a kill.
    pub fn taken(&self, event: &Event) {
        let (facility, title) = self.key.clone();
        let record = UpsRecord::Taken { facility, title, through: event.seq };
        let _change = self.ups.change.lock();
        if let Err(error) = self.ups.append(record, None, false) {
            tracing::warn!(%error, "an event of a procedure step is said again");
        }
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        let mut table = self.ups.channels.0.lock();
        if table.open.get(&self.key).is_some_and(|open| open.id == self.id) {
            table.open.remove(&self.key);
        }
    }
}

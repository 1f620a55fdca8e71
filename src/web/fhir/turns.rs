//! Writes of one resource come one after the other, so that of two under one entity tag only the first is done.
//!
//! Writes of other resources, and what comes in by other ways, are not held up. The table has a line for each resource that
//! somebody writes or waits for, and no more than it may.

use super::tables::Resource;
use crate::problem::{Kind, Problem};
use model::FacilityCode;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{Mutex as Queue, OwnedMutexGuard};

/// Most resources that are written or waited for at one time.
const TURNS_MAX: usize = 4_096;

type Key = (Resource, FacilityCode, String);

/// Who waits for whom.
pub(crate) struct Turns(Mutex<BTreeMap<Key, Arc<Queue<()>>>>);

/// The turn of one write; the next of its resource goes on when it is dropped.
pub(crate) struct Turn<'a> {
    turns: &'a Turns,
    key: Key,
    /// None while it waits.
    guard: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    /// Nobody writes.
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    /// Waits until no write before this one is at work on the resource.
    pub(crate) async fn take(
        &self,
        resource: Resource,
        facility: FacilityCode,
        number: &str,
    ) -> Result<Turn<'_>, Problem> {
        let key = (resource, facility, number.trim().to_owned());
        let queue = self.queue(&key)?;
        // Whoever stops waiting leaves the table, too.
        let mut turn = Turn { turns: self, key, guard: None };
        turn.guard = Some(queue.lock_owned().await);
        Ok(turn)
    }

    fn queue(&self, key: &Key) -> Result<Arc<Queue<()>>, Problem> {
        let mut queues = self.0.lock();
        if let Some(queue) = queues.get(key) {
            return Ok(Arc::clone(queue));
        }
        if queues.len() >= TURNS_MAX {
            return Err(Problem::new(
                Kind::Busy,
                format!("more than {TURNS_MAX} resources are written at this moment"),
            ));
        }
        let queue = Arc::<Queue<()>>::default();
        queues.insert(key.clone(), Arc::clone(&queue));
        Ok(queue)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut queues = self.turns.0.lock();
        drop(self.guard.take());
        // Whoever waits holds the queue, too: it goes with the last.
        if queues.get(&self.key).is_some_and(|queue| Arc::strong_count(queue) == 1) {
            queues.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Resource::{DiagnosticReport, ServiceRequest};

    #[tokio::test]
    async fn writes_of_one_resource_wait_for_each_other_and_for_nobody_else() {
        let turns = Turns::new();
        let code = |text: &str| FacilityCode::parse(text).expect("a code");
        let first = turns.take(ServiceRequest, code("56001"), "1").await.expect("a turn");
        for (resource, facility, number) in
            [(ServiceRequest, "56001", "2"), (ServiceRequest, "56002", "1"), (DiagnosticReport, "56001", "1")]
        {
            drop(turns.take(resource, code(facility), number).await.expect("a turn of its own"));
        }
        {
            let second = turns.take(ServiceRequest, code("56001"), " 1");
            tokio::pin!(second);
            tokio::select! {
                biased;
                _ = &mut second => panic!("it went before the first had ended"),
                () = std::future::ready(()) => {}
            }
            drop(first);
            drop(second.await.expect("its turn"));
        }
        assert!(turns.0.lock().is_empty());
        // Who stopped waiting is forgotten, and nobody waits for it.
        let first = turns.take(ServiceRequest, code("56001"), "1").await.expect("a turn");
        tokio::select! {
            biased;
            _ = turns.take(ServiceRequest, code("56001"), "1") => panic!("it went before the first had ended"),
            () = std::future::ready(()) => {}
        }
        drop(first);
        assert!(turns.0.lock().is_empty());
    }

    #[tokio::test]
    async fn the_table_is_bounded() {
        let (turns, facility) = (Turns::new(), FacilityCode::parse("56001").expect("a code"));
        let mut held = Vec::new();
        for number in 0..TURNS_MAX {
            held.push(turns.take(ServiceRequest, facility, &number.to_string()).await.expect("a turn"));
        }
        let refused = turns.take(ServiceRequest, facility, "one more").await.err().expect("no place");
        assert_eq!(refused.kind, Kind::Busy);
        drop(held);
        assert!(turns.0.lock().is_empty());
    }
}

//! Messages of one patient are handled one after the other, in the order they came, whoever brings them.

use model::FacilityCode;
use parking_lot::Mutex;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use tokio::sync::{Mutex as Queue, OwnedMutexGuard};

type Key = (FacilityCode, String);

/// Who waits for whom.
#[derive(Debug, Default)]
pub(crate) struct Turns(Mutex<HashMap<Key, Arc<Queue<()>>>>);

/// The turn of one message; the next of its patients goes on when it is dropped.
pub(crate) struct Turn {
    turns: Arc<Turns>,
    held: Vec<(Key, Option<OwnedMutexGuard<()>>)>,
}

impl Turns {
    /// Waits until no message before this one is at work on one of its patients.
    ///
    /// Patients are always taken in the same order, so two merges cannot wait for each other.
    pub(crate) async fn take(self: &Arc<Self>, facility: FacilityCode, patients: &BTreeSet<String>) -> Turn {
        let mut turn = Turn { turns: Arc::clone(self), held: Vec::new() };
        for patient in patients {
            let key = (facility, patient.clone());
            let queue = Arc::clone(self.0.lock().entry(key.clone()).or_default());
            turn.held.push((key, Some(queue.lock_owned().await)));
        }
        turn
    }

    /// Patients somebody is at work on or waits for.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.lock().len()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut queues = self.turns.0.lock();
        for (key, guard) in &mut self.held {
            drop(guard.take());
            // Whoever waits holds the queue, too: it goes with the last.
            if queues.get(key).is_some_and(|queue| Arc::strong_count(queue) == 1) {
                queues.remove(key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patients(numbers: &[&str]) -> BTreeSet<String> {
        numbers.iter().map(|number| (*number).to_owned()).collect()
    }

    #[test]
    fn one_patient_has_one_message_at_a_time_in_order() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("runtime");
        runtime.block_on(async {
            let (turns, told) = (Arc::new(Turns::default()), Arc::new(Mutex::new(Vec::new())));
            let first = turns.take(FacilityCode::DEMO, &patients(&["1", "2"])).await;
            let mut tasks = Vec::new();
            for number in 0..4 {
                let (before, told) =
                    (turns.0.lock().get(&(FacilityCode::DEMO, "2".into())).map(Arc::strong_count), Arc::clone(&told));
                let lasting = Arc::clone(&turns);
                tasks.push(tokio::spawn(async move {
                    let _turn = lasting.take(FacilityCode::DEMO, &patients(&["2"])).await;
                    told.lock().push(number);
                }));
                // It is in the queue when it holds it.
                while turns.0.lock().get(&(FacilityCode::DEMO, "2".into())).map(Arc::strong_count) == before {
                    tokio::task::yield_now().await;
                }
            }
            drop(turns.take(FacilityCode::DEMO, &patients(&["3"])).await);
            assert!(told.lock().is_empty());
            drop(first);
            for task in tasks {
                task.await.expect("no panic");
            }
            assert_eq!(*told.lock(), [0, 1, 2, 3]);
            assert_eq!(turns.len(), 0);
        });
    }
}

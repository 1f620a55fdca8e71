//! Whose turn it is among the answers of one connection while the whole service is crowded.
//!
//! An HTTP/2 client may ask for hundreds of frames at once; each answer that is being read holds a frame in memory.
//! Its client takes them one after the other anyway, so while very many answers are under way one of a connection is
//! read at a time. A client that stops taking one answer and wants another costs itself a short wait, nobody else any.

use crate::body::crowded;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long an answer waits for those of the same connection.
const WAIT: Duration = Duration::from_secs(5);

type Coming = Pin<Box<dyn Future<Output = Option<OwnedSemaphorePermit>> + Send>>;

/// The turn of one answer.
pub(super) enum Turn {
    /// Not asked for.
    Unasked(Arc<Semaphore>),
    /// Others of the connection are being read.
    Coming(Coming),
    /// It is now, until this is dropped; without a permit where none was needed, or the wait was over.
    Now { _permit: Option<OwnedSemaphorePermit> },
}

impl Turn {
    pub(super) fn new(turns: Arc<Semaphore>) -> Self {
        Self::Unasked(turns)
    }

    fn asked(turns: &Arc<Semaphore>, wait: Duration) -> Self {
        let permit = Arc::clone(turns).acquire_owned();
        Self::Coming(Box::pin(async move { tokio::time::timeout(wait, permit).await.ok().and_then(Result::ok) }))
    }

    /// Ready when the answer may be read.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            match self {
                Self::Now { .. } => return Poll::Ready(()),
                Self::Unasked(_) if !crowded() => *self = Self::Now { _permit: None },
                Self::Unasked(turns) => *self = Self::asked(turns, WAIT),
                Self::Coming(coming) => {
                    let permit = std::task::ready!(coming.as_mut().poll(context));
                    *self = Self::Now { _permit: permit };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    #[tokio::test]
    async fn one_after_the_other_and_nobody_for_ever() {
        let turns = Arc::new(Semaphore::new(1));
        let mut context = Context::from_waker(Waker::noop());
        let (mut first, mut second, mut third) =
            (Turn::asked(&turns, WAIT), Turn::asked(&turns, WAIT), Turn::asked(&turns, Duration::from_millis(20)));
        assert!(first.poll(&mut context).is_ready());
        assert!(second.poll(&mut context).is_pending());
        drop(first);
        std::future::poll_fn(|context| second.poll(context)).await;
        // The second is never taken to its end: the third goes on after its wait.
        std::future::poll_fn(|context| third.poll(context)).await;
        assert!(matches!(third, Turn::Now { _permit: None }));
        let mut alone = Turn::new(turns);
        assert!(alone.poll(&mut context).is_ready(), "without a crowd nobody waits");
    }
}

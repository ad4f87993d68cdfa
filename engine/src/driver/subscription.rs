//! A handle that ends a subscription.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tickwire_connectors::StreamId;

use crate::control::Commander;

/// A subscription of a [`Driver`](super::Driver). Dropping it ends it; the stream goes with its last one.
#[derive(Debug)]
#[must_use = "dropping it ends the subscription"]
pub struct Subscription {
    stream: StreamId,
    alive: Arc<AtomicBool>,
    uses: Arc<AtomicUsize>,
    commander: Commander,
}

impl Subscription {
    pub(super) fn new(
        stream: StreamId,
        uses: Arc<AtomicUsize>,
        commander: Commander,
    ) -> (Subscription, Arc<AtomicBool>) {
        uses.fetch_add(1, Ordering::AcqRel);
        let alive = Arc::new(AtomicBool::new(true));
        let subscription = Subscription {
            stream,
            alive: Arc::clone(&alive),
            uses,
            commander,
        };
        (subscription, alive)
    }

    /// Ends it.
    pub fn unsubscribe(self) {}
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.alive.store(false, Ordering::Release);
        if self.uses.fetch_sub(1, Ordering::AcqRel) == 1 {
            // Refused only where the engine is gone, and the stream with it.
            let _ = self.commander.unsubscribe(self.stream);
        }
    }
}

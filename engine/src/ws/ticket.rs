//! What a caller holds until the answer is there.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::error::Error;
use super::json::Json;
use crate::registry::lock;

/// An answer that is still to come. It always resolves: to the answer, or to the error that there is
/// none ([`Error::Timeout`], [`Error::Disconnected`], [`Error::DuplicateRequestId`] ..). Can be waited
/// for on any thread, or awaited in any async runtime.
#[must_use = "the answer comes here"]
pub struct Ticket<T = Json> {
    slot: Arc<Slot<T>>,
}

struct Slot<T> {
    cell: Mutex<Cell<T>>,
    filled: Condvar,
}

struct Cell<T> {
    outcome: Option<Result<T, Error>>,
    waker: Option<Waker>,
}

impl<T> Ticket<T> {
    /// Waits for the answer.
    ///
    /// # Errors
    /// Why there is none.
    pub fn wait(self) -> Result<T, Error> {
        let mut cell = lock(&self.slot.cell);
        loop {
            match cell.outcome.take() {
                Some(outcome) => return outcome,
                None => {
                    cell = self
                        .slot
                        .filled
                        .wait(cell)
                        .unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    /// Waits for the answer for `longest`; gives the ticket back where it has not come.
    ///
    /// # Errors
    /// The ticket, which is still good.
    pub fn wait_for(self, longest: Duration) -> Result<Result<T, Error>, Ticket<T>> {
        let outcome = {
            let cell = lock(&self.slot.cell);
            let waited = self
                .slot
                .filled
                .wait_timeout_while(cell, longest, |cell| cell.outcome.is_none());
            let (mut cell, _) = waited.unwrap_or_else(PoisonError::into_inner);
            cell.outcome.take()
        };
        outcome.ok_or(self)
    }

    /// The answer, if it is there; once.
    pub fn try_take(&mut self) -> Option<Result<T, Error>> {
        lock(&self.slot.cell).outcome.take()
    }
}

impl<T> Future for Ticket<T> {
    type Output = Result<T, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut cell = lock(&self.slot.cell);
        match cell.outcome.take() {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                cell.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl<T> fmt::Debug for Ticket<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_there = lock(&self.slot.cell).outcome.is_some();
        f.debug_struct("Ticket")
            .field("is_there", &is_there)
            .finish()
    }
}

/// The other end of a [`Ticket`]. Dropped without an answer it says that the loop has ended.
pub(crate) struct Resolver<T = Json> {
    slot: Option<Arc<Slot<T>>>,
}

impl<T> Resolver<T> {
    pub(crate) fn resolve(mut self, outcome: Result<T, Error>) {
        self.fill(outcome);
    }

    fn fill(&mut self, outcome: Result<T, Error>) {
        let Some(slot) = self.slot.take() else { return };
        let waker = {
            let mut cell = lock(&slot.cell);
            cell.outcome = Some(outcome);
            cell.waker.take()
        };
        slot.filled.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Drop for Resolver<T> {
    fn drop(&mut self) {
        self.fill(Err(Error::LoopEnded));
    }
}

impl<T> fmt::Debug for Resolver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}

/// A ticket and what resolves it.
pub(crate) fn ticket<T>() -> (Ticket<T>, Resolver<T>) {
    let slot = Arc::new(Slot {
        cell: Mutex::new(Cell {
            outcome: None,
            waker: None,
        }),
        filled: Condvar::new(),
    });
    let resolver = Resolver {
        slot: Some(Arc::clone(&slot)),
    };
    (Ticket { slot }, resolver)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::Wake;

    use super::*;

    #[test]
    fn a_ticket_resolves_once_and_also_where_nobody_resolves_it() {
        let (mut early, resolver) = ticket::<u8>();
        assert_eq!(early.try_take(), None);
        resolver.resolve(Ok(1));
        assert_eq!(early.try_take(), Some(Ok(1)));
        assert_eq!(early.try_take(), None);

        let (dropped, resolver) = ticket::<u8>();
        drop(resolver);
        assert_eq!(dropped.wait(), Err(Error::LoopEnded));

        let (late, resolver) = ticket::<u8>();
        let late = late.wait_for(Duration::ZERO).expect_err("nothing yet");
        resolver.resolve(Err(Error::Disconnected));
        assert_eq!(late.wait(), Err(Error::Disconnected));
    }

    #[test]
    fn a_waiting_thread_and_a_waiting_task_are_woken() {
        struct Flag(AtomicBool);
        impl Wake for Flag {
            fn wake(self: Arc<Self>) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        let (waited, resolver) = ticket::<u8>();
        let thread = std::thread::spawn(move || waited.wait());
        resolver.resolve(Ok(7));
        assert_eq!(thread.join().ok(), Some(Ok(7)));

        let (mut awaited, resolver) = ticket::<u8>();
        let flag = Arc::new(Flag(AtomicBool::new(false)));
        let waker = Waker::from(Arc::clone(&flag));
        let mut context = Context::from_waker(&waker);
        assert!(Pin::new(&mut awaited).poll(&mut context).is_pending());
        resolver.resolve(Ok(8));
        assert!(flag.0.load(Ordering::SeqCst));
        assert_eq!(
            Pin::new(&mut awaited).poll(&mut context),
            Poll::Ready(Ok(8))
        );
    }
}

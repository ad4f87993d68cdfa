//! What the loop and the program have in common of a client: its state, its messages, its counts.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering, fence};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use crossbeam_queue::SegQueue;

use super::config::Handler;
use super::error::Error;
use super::message::Message;
use super::metrics::Stats;
use crate::registry::lock;

/// Where a client stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// A connection is being made, or waited for.
    Connecting,
    /// Messages can be sent.
    Connected,
    /// There is no connection and none will be made: the client was closed, gave up or met an error
    /// that does not heal.
    Disconnected,
}

/// Messages of a client that may wait for the loop and for the limiter. What is beyond it is refused: at
/// a venue's rate of some tens a second it would wait for a minute.
pub(crate) const OUTGOING_MAX: usize = 4_096;

/// News of the connection that may wait beyond `queue_max`: who does not receive while a connection
/// flaps for hours must not fill the memory.
const NEWS_MAX: usize = 1_024;

#[derive(Debug)]
pub(crate) struct Shared {
    state: AtomicU8,
    end: Mutex<Option<Error>>,
    messages: SegQueue<Message>,
    waiting: AtomicUsize,
    queue_max: usize,
    /// Messages handed over that the loop has neither sent nor dropped.
    outgoing: AtomicUsize,
    gate: Gate,
    pub(crate) stats: Stats,
}

impl Shared {
    pub(crate) fn new(queue_max: usize) -> Shared {
        Shared {
            state: AtomicU8::new(State::Connecting as u8),
            end: Mutex::new(None),
            messages: SegQueue::new(),
            waiting: AtomicUsize::new(0),
            queue_max,
            outgoing: AtomicUsize::new(0),
            gate: Gate::default(),
            stats: Stats::new(),
        }
    }

    pub(crate) fn state(&self) -> State {
        match self.state.load(Ordering::Acquire) {
            0 => State::Connecting,
            1 => State::Connected,
            _ => State::Disconnected,
        }
    }

    pub(crate) fn set_state(&self, state: State) {
        if state != State::Disconnected {
            *lock(&self.end) = None;
        }
        self.state.store(state as u8, Ordering::Release);
        self.gate.open();
    }

    /// It has stopped.
    pub(crate) fn set_end(&self, error: Error) {
        *lock(&self.end) = Some(error);
        self.set_state(State::Disconnected);
    }

    /// Why it has stopped.
    pub(crate) fn end(&self) -> Option<Error> {
        lock(&self.end).clone()
    }

    /// A message is about to be handed to the loop. False where too many are there already.
    pub(crate) fn sending(&self) -> bool {
        let before = self.outgoing.fetch_add(1, Ordering::Relaxed);
        if before >= OUTGOING_MAX {
            self.sent();
            return false;
        }
        true
    }

    /// The loop is done with a message.
    pub(crate) fn sent(&self) {
        self.outgoing.fetch_sub(1, Ordering::Relaxed);
    }

    /// Adds a message. False where there is no room.
    pub(crate) fn push(&self, message: Message) -> bool {
        if !self.has_room(&message) {
            return false;
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.messages.push(message);
        self.gate.open();
        true
    }

    fn has_room(&self, message: &Message) -> bool {
        let room = match message {
            // The last word is heard whatever happens; it comes once.
            Message::Closed(_) => usize::MAX,
            data if data.is_data() => self.queue_max,
            _ => self.queue_max.saturating_add(NEWS_MAX),
        };
        self.waiting.load(Ordering::Relaxed) < room
    }

    pub(crate) fn pop(&self) -> Option<Message> {
        let message = self.messages.pop()?;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        Some(message)
    }

    /// The next message; `None` where the client has stopped and all is received, or `longest` is over.
    pub(crate) fn recv(&self, longest: Option<Duration>) -> Option<Message> {
        let next = self.gate.wait(longest, || match self.pop() {
            Some(message) => Some(Some(message)),
            // What was pushed before the state changed is seen by now.
            None if self.state() == State::Disconnected => Some(self.pop()),
            None => None,
        });
        next.flatten()
    }

    /// Waits until there is a connection, or none will be.
    pub(crate) fn wait_connected(&self) -> Result<(), Error> {
        let outcome = self.gate.wait(None, || match self.state() {
            State::Connecting => None,
            State::Connected => Some(Ok(())),
            State::Disconnected => Some(Err(self.end().unwrap_or(Error::LoopEnded))),
        });
        outcome.unwrap_or(Err(Error::LoopEnded))
    }

    /// Waits until the client has stopped, `longest` at most. Gives whether it has.
    pub(crate) fn wait_end(&self, longest: Duration) -> bool {
        let ended = || (self.state() == State::Disconnected).then_some(());
        self.gate.wait(Some(longest), ended).is_some()
    }
}

/// Lets threads sleep until something has changed. Who changes something pays one fence and one load
/// while nobody sleeps.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    sleepers: AtomicUsize,
    mutex: Mutex<()>,
    opened: Condvar,
}

impl Gate {
    /// Something has changed.
    pub(crate) fn open(&self) {
        // Either this sees the sleeper, or the sleeper sees the change: both stand before a fence.
        fence(Ordering::SeqCst);
        if self.sleepers.load(Ordering::Relaxed) > 0 {
            // Taken and let go: a sleeper between its last look and its sleep has it.
            drop(lock(&self.mutex));
            self.opened.notify_all();
        }
    }

    /// Sleeps until `look` has something, `longest` at most.
    pub(crate) fn wait<T>(
        &self,
        longest: Option<Duration>,
        mut look: impl FnMut() -> Option<T>,
    ) -> Option<T> {
        if let Some(found) = look() {
            return Some(found);
        }
        self.sleepers.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let mut found = None;
        let guard = lock(&self.mutex);
        let asleep = |(): &mut ()| {
            found = look();
            found.is_none()
        };
        match longest {
            None => {
                let woken = self.opened.wait_while(guard, asleep);
                drop(woken.unwrap_or_else(PoisonError::into_inner));
            }
            Some(longest) => {
                let woken = self.opened.wait_timeout_while(guard, longest, asleep);
                drop(woken.unwrap_or_else(PoisonError::into_inner));
            }
        }
        self.sleepers.fetch_sub(1, Ordering::Relaxed);
        found
    }
}

/// Where messages go: to the handler, or into the queue with what was dropped told in its place.
pub(crate) struct Delivery {
    handler: Option<Handler>,
    /// Dropped since the last message that had room.
    dropped: u64,
}

impl Delivery {
    pub(crate) fn new(handler: Option<Handler>) -> Delivery {
        Delivery {
            handler,
            dropped: 0,
        }
    }

    pub(crate) fn give(&mut self, shared: &Shared, message: Message) {
        if let Some(handler) = &self.handler {
            // A program's mistake must not take the other clients' loop along.
            if catch_unwind(AssertUnwindSafe(|| handler(message))).is_err() {
                tracing::error!("a client's handler panicked; the message is lost to it");
            }
            return;
        }
        if self.dropped > 0 && shared.has_room(&message) {
            let count = std::mem::take(&mut self.dropped);
            shared.push(Message::Lost { count });
        }
        if !shared.push(message) {
            self.dropped += 1;
            shared.stats.dropped.bump();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_is_told_where_it_is_missing_and_the_end_always_comes() {
        let (shared, mut delivery) = (Shared::new(2), Delivery::new(None));
        let text = |index: u64| Message::Text(index.to_string());
        for index in 0..5 {
            delivery.give(&shared, text(index));
        }
        assert_eq!(shared.pop(), Some(text(0)));
        assert_eq!(shared.pop(), Some(text(1)));
        delivery.give(&shared, text(5));
        delivery.give(&shared, text(6));
        assert_eq!(shared.pop(), Some(Message::Lost { count: 3 }));
        assert_eq!(shared.pop(), Some(text(5)));
        for _ in 0..2 * NEWS_MAX {
            delivery.give(&shared, Message::Reconnected { connection: 2 });
        }
        delivery.give(&shared, Message::Closed(Error::Closed));
        shared.set_end(Error::Closed);
        let mut last = None;
        let mut count = 0;
        while let Some(message) = shared.recv(None) {
            last = Some(message);
            count += 1;
        }
        assert_eq!(last, Some(Message::Closed(Error::Closed)));
        assert!(count <= NEWS_MAX + 4, "{count}");
        assert!(shared.stats.dropped.value() > 0);
    }

    #[test]
    fn a_sleeper_is_woken_by_a_message_and_by_the_end() {
        let shared = std::sync::Arc::new(Shared::new(8));
        let reader = std::sync::Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let first = reader.recv(None);
            (first, reader.recv(None), reader.end())
        });
        let mut delivery = Delivery::new(None);
        delivery.give(&shared, Message::Text("a".to_owned()));
        shared.set_end(Error::LoopEnded);
        let seen = thread.join().expect("no panic");
        let text = Some(Message::Text("a".to_owned()));
        assert_eq!(seen, (text, None, Some(Error::LoopEnded)));
        assert_eq!(shared.recv(Some(Duration::ZERO)), None);
    }

    #[test]
    fn a_handlers_panic_is_its_own() {
        let handler: Handler = std::sync::Arc::new(|_| panic!("mine"));
        let (shared, mut delivery) = (Shared::new(2), Delivery::new(Some(handler)));
        delivery.give(&shared, Message::Text("a".to_owned()));
        assert_eq!(shared.pop(), None);
    }
}

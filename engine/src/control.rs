//! Commands to the loop, from strategies and from the handle.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_queue::ArrayQueue;
use tickwire_connectors::order::ClientOrderId;
use tickwire_connectors::trading::{Action, Answer, Ticket};
use tickwire_connectors::{Channel, Market, StreamId, Venue};

use crate::asker::Asker;
use crate::net::Wake;
use crate::registry::{Registry, StreamInfo, SubscribeError};

/// A strategy of the engine, numbered from 0 in the order of the builder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StrategyId(pub(crate) u8);

impl StrategyId {
    /// As an index.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Strategies an engine can feed: their routes are the bits of one word.
pub const STRATEGIES_MAX: usize = 64;

/// Commands that may wait for the loop. A strategy that subscribes 4,096 streams in its `on_start`
/// still fits.
const COMMANDS_MAX: usize = 8_192;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Control {
    Subscribe {
        strategy: StrategyId,
        stream: StreamId,
        depth: bool,
    },
    Unsubscribe {
        strategy: StrategyId,
        stream: StreamId,
    },
    Republish {
        strategy: StrategyId,
        stream: StreamId,
    },
    Resync {
        stream: StreamId,
    },
    /// A connector, by its number in the engine, has something in a queue of its own.
    Nudge {
        venue: usize,
    },
    /// Something of an account; `venue` is the engine's number of venue and market.
    Act {
        strategy: StrategyId,
        venue: usize,
        ticket: Ticket,
        action: Action,
    },
    Stop,
}

/// The queue to the loop, shared by all who command. A bell tells the loop to look, so that a turn
/// without commands costs one load.
#[derive(Debug)]
pub(crate) struct ControlQueue {
    queue: ArrayQueue<Control>,
    bell: AtomicBool,
    closed: AtomicBool,
    /// Wakes a loop that parks; `None` where it spins.
    wake: Option<Wake>,
}

impl ControlQueue {
    pub(crate) fn new(wake: Option<Wake>) -> ControlQueue {
        ControlQueue {
            queue: ArrayQueue::new(COMMANDS_MAX),
            bell: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            wake,
        }
    }

    pub(crate) fn push(&self, control: Control) -> Result<(), SubscribeError> {
        if self.closed.load(Ordering::Acquire) {
            return Err(SubscribeError::Engine("it has stopped"));
        }
        self.queue
            .push(control)
            .map_err(|_| SubscribeError::Engine("too many are waiting"))?;
        self.ring();
        if let Some(wake) = &self.wake {
            wake.wake();
        }
        Ok(())
    }

    /// Tells the loop to look.
    pub(crate) fn ring(&self) {
        self.bell.store(true, Ordering::Release);
    }

    /// Whether something may be there. Clears the bell: then pop until empty.
    #[inline]
    pub(crate) fn rung(&self) -> bool {
        self.bell.load(Ordering::Relaxed) && self.bell.swap(false, Ordering::AcqRel)
    }

    /// Whether something may be there.
    pub(crate) fn is_rung(&self) -> bool {
        self.bell.load(Ordering::Relaxed)
    }

    pub(crate) fn pop(&self) -> Option<Control> {
        self.queue.pop()
    }

    /// The loop has ended: later commands are refused.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }
}

/// Opens and closes streams for one strategy. Each method is a control call: it may allocate and
/// takes a short lock, and its outcome comes as events on the stream.
#[derive(Clone, Debug)]
pub struct Commander {
    pub(crate) strategy: StrategyId,
    pub(crate) registry: Arc<Registry>,
    pub(crate) queue: Arc<ControlQueue>,
    pub(crate) asker: Arc<Asker>,
}

impl Commander {
    pub(crate) fn new(
        strategy: StrategyId,
        registry: &Arc<Registry>,
        queue: &Arc<ControlQueue>,
    ) -> Commander {
        Commander {
            strategy,
            asker: registry.asker(strategy),
            registry: Arc::clone(registry),
            queue: Arc::clone(queue),
        }
    }

    /// An id for an order that no other order of the account has.
    pub fn next_order_id(&self) -> ClientOrderId {
        self.asker.next_order_id()
    }

    /// Asks something of the account at a venue, without waiting: what becomes of it comes as events of
    /// the strategy's [`Channel::User`] stream. The order leaves in the loop's next turn, an inline
    /// strategy's in the same one.
    pub fn act(
        &self,
        venue: Venue,
        market: Market,
        action: Action,
    ) -> Result<Ticket, SubscribeError> {
        self.ask(venue, market, action, false)
    }

    /// Asks something of the account and has the answer kept for
    /// [`next_answer`](Commander::next_answer).
    pub fn ask_for_answer(
        &self,
        venue: Venue,
        market: Market,
        action: Action,
    ) -> Result<Ticket, SubscribeError> {
        self.ask(venue, market, action, true)
    }

    fn ask(
        &self,
        venue: Venue,
        market: Market,
        action: Action,
        awaited: bool,
    ) -> Result<Ticket, SubscribeError> {
        let venue = self.registry.venue_index(venue, market)?;
        let ticket = self.asker.next_ticket(awaited);
        self.queue.push(Control::Act {
            strategy: self.strategy,
            venue,
            ticket,
            action,
        })?;
        Ok(ticket)
    }

    /// The next answer that nobody has taken, of any of this strategy's commanders.
    pub fn next_answer(&self) -> Option<Answer> {
        self.asker.next_answer()
    }

    /// Opens a stream, or joins one that others have open: then its present state and top come
    /// first. Also while the venue is not connected. `depth` adds each level of a book.
    pub fn subscribe(
        &self,
        venue: Venue,
        market: Market,
        symbol: &str,
        channel: Channel,
        depth: bool,
    ) -> Result<StreamId, SubscribeError> {
        let stream = self.registry.stream(venue, market, symbol, channel)?.id;
        self.queue.push(Control::Subscribe {
            strategy: self.strategy,
            stream,
            depth,
        })?;
        Ok(stream)
    }

    /// Lets a stream go; its last event is a change to `Closed`. Other strategies keep it.
    pub fn unsubscribe(&self, stream: StreamId) -> Result<(), SubscribeError> {
        self.queue.push(Control::Unsubscribe {
            strategy: self.strategy,
            stream,
        })
    }

    /// Sends the present book again, to this strategy alone.
    pub fn republish(&self, stream: StreamId) -> Result<(), SubscribeError> {
        self.queue.push(Control::Republish {
            strategy: self.strategy,
            stream,
        })
    }

    /// Throws a stream's book away and fetches a fresh one.
    pub fn resync(&self, stream: StreamId) -> Result<(), SubscribeError> {
        self.queue.push(Control::Resync { stream })
    }

    /// Which stream this is.
    pub fn stream(&self, stream: StreamId) -> Option<Arc<StreamInfo>> {
        self.registry.info(stream)
    }
}

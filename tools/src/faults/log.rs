//! What a strategy saw of each stream, in order.

use std::collections::BTreeMap;

use tickwire::connectors::VenueNews;
use tickwire::{Event, Nanos, Reason, StreamId, StreamKey, StreamState};

/// Complaints kept of one stream: a stream that lies does so with each message.
const LIES_MAX: usize = 3;

/// One thing seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// A change of state.
    State {
        /// When the engine received its cause.
        at: Nanos,
        state: StreamState,
        reason: Reason,
    },
    /// A price: a top, a trade, or a whole message of levels.
    Price {
        /// It was compared with the truth, and agrees.
        agrees: bool,
        /// When the venue scheduled its message, ns on the simulator's clock; 0 where its log does
        /// not know (a snapshot, a message from before a restart).
        sent_ns: i64,
    },
}

/// One stream.
#[derive(Clone, Debug)]
pub(super) struct StreamLog {
    pub(super) key: StreamKey,
    pub(super) seen: Vec<Seen>,
    /// What must never be seen, in words.
    pub(super) lies: Vec<String>,
    /// Length of `seen`, and the epoch, when the fault was injected.
    mark: (usize, u16),
    state: StreamState,
    epoch: u16,
}

impl StreamLog {
    pub(super) const fn new(key: StreamKey) -> StreamLog {
        StreamLog {
            key,
            seen: Vec::new(),
            lies: Vec::new(),
            mark: (0, 0),
            state: StreamState::Pending,
            epoch: 0,
        }
    }

    pub(super) const fn is_live(&self) -> bool {
        matches!(self.state, StreamState::Live)
    }

    pub(super) const fn state(&self) -> StreamState {
        self.state
    }

    /// The fault comes now.
    pub(super) fn mark(&mut self) {
        self.mark = (self.seen.len(), self.epoch);
    }

    /// What was seen since the fault was injected.
    pub(super) fn since(&self) -> &[Seen] {
        &self.seen[self.mark.0..]
    }

    /// What was told of its state since the fault was injected, remarks that leave it Live too.
    pub(super) fn changes(&self) -> impl DoubleEndedIterator<Item = (Nanos, StreamState, Reason)> {
        self.since().iter().filter_map(|seen| match *seen {
            Seen::State { at, state, reason } => Some((at, state, reason)),
            Seen::Price { .. } => None,
        })
    }

    /// Whether another link has taken it over since the fault was injected.
    pub(super) fn is_handed_over(&self) -> bool {
        let mut changes = self.changes();
        changes.any(|(.., reason)| reason == Reason::HandedOver)
    }

    /// Whether it is on another connection than when the fault was injected.
    pub(super) const fn has_moved(&self) -> bool {
        self.epoch != self.mark.1
    }

    /// Prices that agree with the truth and whose messages the venue scheduled after `sent_ns`.
    pub(super) fn agreeing_after(&self, sent_ns: i64) -> usize {
        let agrees = |seen: &&Seen| matches!(seen, Seen::Price { agrees: true, sent_ns: at } if *at > sent_ns);
        self.since().iter().filter(agrees).count()
    }

    /// Prices that agree with the truth since the last change of state.
    pub(super) fn agreeing_now(&self) -> usize {
        let run = self.seen.iter().rev();
        run.take_while(|seen| matches!(seen, Seen::Price { .. }))
            .filter(|seen| matches!(seen, Seen::Price { agrees: true, .. }))
            .count()
    }

    pub(super) fn handle_state(&mut self, change: &Event, reason: Reason) {
        (self.state, self.epoch) = (change.state(), change.epoch());
        self.seen.push(Seen::State {
            at: change.recv_ns(),
            state: self.state,
            reason,
        });
    }

    /// Whatever a price is worth, it must be Live and of the connection that was told.
    pub(super) fn check(&mut self, event: &Event) {
        if !self.is_live() || !event.is_live() {
            self.lie(format!("a price while {}", self.state.as_str()));
        }
        if event.epoch() != self.epoch {
            let (got, told) = (event.epoch(), self.epoch);
            self.lie(format!(
                "a price of epoch {got} after epoch {told} was told"
            ));
        }
    }

    pub(super) fn handle_price(&mut self, agrees: bool, sent_ns: i64) {
        self.seen.push(Seen::Price { agrees, sent_ns });
    }

    pub(super) fn lie(&mut self, text: String) {
        if self.lies.len() < LIES_MAX {
            self.lies.push(text);
        }
    }
}

/// All streams of one strategy.
#[derive(Clone, Debug, Default)]
pub(super) struct Log {
    pub(super) streams: BTreeMap<StreamId, StreamLog>,
    /// Events that the strategy's ring lost: nothing can be said of a run that lost any.
    pub(super) lost: u64,
    /// News of the venue as a whole.
    pub(super) news: Vec<VenueNews>,
}

//! A book that two links carry: while a link is replaced before its end, or for good.
//!
//! The venue's numbers are the same on all connections, but each connection may cut the updates into
//! messages of its own. So
//!
//! 1. while a snapshot is awaited one link is enough, and in order: the deltas of the other are let be;
//! 2. what lies below the book's number is known; what reaches back over it joins, whichever link it
//!    comes by, where the last one came by the other;
//! 3. what leaves a gap waits for the other link to fill it, and is a gap if that has not done so in
//!    time;
//! 4. a lost link takes along what was held of its deltas; a book that is in step goes on with the other;
//! 5. the venue counts anew where an older number comes with a later time, or where for long only older
//!    numbers come. (One link may have come up again in the new count while the other, dead, has not
//!    been found out; its numbers would come to the book's in the end, and seem to join it.)
//!
//! What is not a book is in [`route`](super::route): there each message stands for itself, or trades are
//! put in order by their ids, which are without holes.

use crate::channel::Channel;
use crate::connector::Counters;
use crate::hold::Joined;
use crate::instrument::Market;
use crate::outbox::Outbox;
use crate::stream::{Applied, Levels, Stream, Times};
use crate::time::Nanos;
use crate::transmit::LinkId;

use super::parse::Delta;
use super::sync::BookSync;

/// The times that two of spot's servers tell of one update are apart by less: each has its own (`E`).
/// Those of futures (`T`) are the matching engine's, and the same everywhere.
const SPOT_CLOCKS_APART_NS: Nanos = Nanos::from_secs(1);

/// A message may be late by so much, and carry the changes of as much more than its interval.
const INTERVAL_SLACK_NS: Nanos = Nanos::from_millis(250);

/// The interval of a book for which none is chosen.
const INTERVAL_MS: u16 = 100;

/// The link that a delta came on, and whether there is another that brings the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Via {
    pub(super) link: LinkId,
    pub(super) paired: bool,
}

impl BookSync {
    /// A link no longer carries the stream: what was held of its deltas has no end, and what comes by
    /// the other may be cut elsewhere.
    pub(super) fn lose_feed(&mut self, link: LinkId) {
        if self.synced {
            self.keeper.rejoin();
        } else if self.feed == Some(link) {
            self.forget();
        }
    }

    /// When a gap that another link might fill has to be given up.
    #[inline]
    pub(super) fn ahead_deadline(&self) -> Nanos {
        self.ahead.deadline()
    }

    /// Looks at the time.
    pub(super) fn handle_timeout(
        &mut self,
        stream: &mut Stream,
        now: Nanos,
        counters: &mut Counters,
        out: &mut Outbox,
    ) {
        if let Some(why) = self.ahead.overdue(now) {
            self.give_up(stream, why, Times::ours(now), counters, out);
        }
    }

    /// A delta that reaches back over what the other link brought, whose messages are cut elsewhere.
    #[cold]
    pub(super) fn reach_back(
        &mut self,
        stream: &mut Stream,
        delta: &Delta,
        levels: &Levels,
        times: Times,
        out: &mut Outbox,
    ) -> Applied {
        self.keeper.rejoin();
        self.keeper.apply(stream, &delta.ids, levels, times, out)
    }

    /// Whether a delta has numbers that the book has come to before, and a time at which they were
    /// past: then the venue counts anew. A message carries the changes of one interval.
    #[cold]
    pub(super) fn is_of_a_new_count(&self, delta: &Delta, stream: &Stream) -> bool {
        let (last, last_ns) = self.newest;
        let span = if delta.ids.last <= last {
            Nanos::ZERO
        } else {
            interval(stream.channel) + INTERVAL_SLACK_NS
        };
        let apart = match stream.instrument.key.market {
            Market::Spot => SPOT_CLOCKS_APART_NS,
            _ => Nanos::ZERO,
        };
        delta.ids.first <= last && delta.exch_ns.since(last_ns) > span + apart
    }

    /// The book has moved on, perhaps to what waits of the other link.
    #[cold]
    pub(super) fn join_ahead(
        &mut self,
        stream: &mut Stream,
        scratch: &mut Levels,
        times: Times,
        counters: &mut Counters,
        out: &mut Outbox,
    ) {
        match self.ahead.join(&mut self.keeper, stream, scratch, out) {
            Joined::Whole => counters.healed += u64::from(self.ahead.is_empty()),
            Joined::Broken(why) => self.give_up(stream, why, times, counters, out),
        }
    }
}

/// What lies between two messages of a book at most, while it changes.
fn interval(channel: Channel) -> Nanos {
    match channel {
        Channel::Book(params) => {
            let interval_ms = params.interval_ms.unwrap_or(INTERVAL_MS);
            Nanos::from_millis(i64::from(interval_ms))
        }
        _ => Nanos::ZERO,
    }
}

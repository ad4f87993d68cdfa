//! A copy of a book on the strategy's side, built from level deltas.

use tickwire_connectors::{Body, Event, LevelDelta, Nanos};
use tickwire_orderbook::{Book, Level, Limits, Price, Qty, Scale, Side};

/// A book of the same type as the engine's, on the strategy's own thread.
#[derive(Debug)]
pub struct Replica {
    book: Book,
    price_scale: Scale,
    qty_scale: Scale,
    epoch: u16,
    seq: u64,
    valid: bool,
    /// A fresh snapshot is needed and has not been asked for.
    wanted: bool,
    /// No sooner than this may it be asked for.
    ask_at: Nanos,
    /// The wait behind the next question.
    wait: Nanos,
}

/// The first wait between two questions for a snapshot. A ring that is smaller than the snapshot
/// loses it each time, and asking at once would keep the loop busy with nothing else.
const ASK_WAIT_FIRST: Nanos = Nanos::from_millis(50);

/// The longest wait between two questions for a snapshot.
const ASK_WAIT_MAX: Nanos = Nanos::from_secs(10);

/// What an event did to a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing to tell.
    None,
    /// A whole message is in: the book may be looked at.
    Batch,
}

impl Default for Replica {
    fn default() -> Replica {
        Replica::new(Limits::default())
    }
}

impl Replica {
    /// An empty replica, not valid until its first snapshot.
    pub fn new(limits: Limits) -> Replica {
        Replica {
            book: Book::new(limits),
            price_scale: Scale::of(0),
            qty_scale: Scale::of(0),
            epoch: 0,
            seq: 0,
            valid: false,
            wanted: false,
            ask_at: Nanos::ZERO,
            wait: ASK_WAIT_FIRST,
        }
    }

    /// Whether to ask for a fresh snapshot now ([`Commander::republish`](crate::Commander::republish)); if
    /// so, that counts as asked. A [`Context`](super::Context) does this by itself.
    pub fn take_question(&mut self, now: Nanos) -> bool {
        if !self.wanted || now < self.ask_at {
            return false;
        }
        self.wanted = false;
        self.ask_at = now + self.wait;
        self.wait = (self.wait + self.wait).min(ASK_WAIT_MAX);
        true
    }

    /// Takes an event of the replica's stream; others must not be given to it.
    pub fn handle(&mut self, event: &Event) -> Change {
        match event.body() {
            Body::Level(delta) => self.level(&delta),
            Body::State(change) if !change.is_live() => {
                self.valid = false;
                Change::None
            }
            // On another connection without a break: the levels go on from what is held.
            Body::State(change) => {
                if self.valid {
                    self.epoch = change.epoch();
                }
                Change::None
            }
            // A message's levels come before the top that they make. A top of another message means
            // that levels were lost; the ring tells how many behind it.
            Body::Bbo(bbo) if self.valid && bbo.seq() != self.seq => {
                self.lose();
                Change::None
            }
            Body::Lost(lost) if lost.counts().levels > 0 => {
                self.lose();
                Change::None
            }
            _ => Change::None,
        }
    }

    fn lose(&mut self) {
        self.valid = false;
        self.wanted = true;
    }

    fn level(&mut self, delta: &LevelDelta) -> Change {
        if delta.starts_snapshot() {
            self.book.clear();
            self.price_scale = delta.price_scale();
            self.qty_scale = delta.qty_scale();
            self.epoch = delta.epoch();
            self.valid = true;
            self.wanted = false;
        }
        let scales = (delta.price_scale(), delta.qty_scale());
        if scales != (self.price_scale, self.qty_scale) || delta.epoch() != self.epoch {
            // A new scale or link without a snapshot: what is held can't be carried over.
            self.valid = false;
        }
        if !self.valid {
            return Change::None;
        }
        let level = delta.level();
        // A refused edit (a negative quantity) can't be: the engine's own book took it.
        let _ = self.book.apply(delta.side(), level.price, level.qty);
        self.seq = delta.seq();
        if delta.ends_batch() {
            Change::Batch
        } else {
            Change::None
        }
    }

    /// Whether the replica is continuous with the venue.
    pub const fn is_valid(&self) -> bool {
        self.valid
    }

    /// The book, as bare mantissas at [`price_scale`](Replica::price_scale) and
    /// [`qty_scale`](Replica::qty_scale).
    pub const fn book(&self) -> &Book {
        &self.book
    }

    /// The venue's number of the last update in it.
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// Scale of its prices.
    pub const fn price_scale(&self) -> Scale {
        self.price_scale
    }

    /// Scale of its quantities.
    pub const fn qty_scale(&self) -> Scale {
        self.qty_scale
    }

    /// The levels of a side, best first.
    pub fn levels(&self, side: Side) -> impl Iterator<Item = (Price, Qty)> {
        let (price_scale, qty_scale) = (self.price_scale, self.qty_scale);
        self.book.levels(side).map(move |Level { price, qty }| {
            (Price::new(price, price_scale), Qty::new(qty, qty_scale))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tickwire_connectors::event::{LostCounts, Stamp};
    use tickwire_connectors::{Reason, Source, StreamId, StreamState};

    fn stamp(seq: u64) -> Stamp {
        Stamp {
            stream: StreamId::default(),
            source: Source::Book,
            epoch: 1,
            state: StreamState::Live,
            price_scale: Scale::of(2),
            qty_scale: Scale::of(0),
            seq,
            exch_ns: Nanos::ZERO,
            recv_ns: Nanos::ZERO,
        }
    }

    fn level(seq: u64, price: i64, start: bool) -> Event {
        Event::level(&stamp(seq), Side::Bid, Level { price, qty: 1 }, start, true)
    }

    #[test]
    fn a_top_of_a_message_whose_levels_were_lost_invalidates_the_replica_at_once() {
        let mut replica = Replica::default();
        assert_eq!(
            replica.handle(&level(5, 100, false)),
            Change::None,
            "no snapshot yet"
        );
        assert_eq!(replica.handle(&level(7, 100, true)), Change::Batch);
        let top = |seq| Event::bbo(&stamp(seq), Some(Level { price: 100, qty: 1 }), None);
        assert_eq!(replica.handle(&top(7)), Change::None);
        assert!(replica.is_valid());
        assert!(!replica.take_question(Nanos(1)));
        assert_eq!(replica.handle(&top(9)), Change::None);
        assert!(!replica.is_valid());
        assert!(replica.take_question(Nanos(1)));
        let lost = LostCounts {
            levels: 2,
            ..LostCounts::default()
        };
        replica.handle(&Event::lost(&stamp(9), lost));
        assert!(!replica.take_question(Nanos(2)), "asked just now");
        assert!(replica.take_question(Nanos(1) + ASK_WAIT_FIRST));
        assert!(
            !replica.take_question(Nanos::MAX),
            "and waits for the answer"
        );
        assert_eq!(replica.handle(&level(10, 101, false)), Change::None);
        assert_eq!(replica.handle(&level(11, 102, true)), Change::Batch);
        assert_eq!(replica.book().len(Side::Bid), 1);
    }

    #[test]
    fn a_state_that_is_not_live_or_another_scale_invalidates_the_replica() {
        let mut replica = Replica::default();
        replica.handle(&level(7, 100, true));
        let stale = Stamp {
            state: StreamState::Stale,
            ..stamp(7)
        };
        replica.handle(&Event::state_change(&stale, Reason::LinkDown, None));
        assert!(!replica.is_valid());
        replica.handle(&level(8, 100, true));
        assert!(replica.is_valid());
        let wider = Stamp {
            price_scale: Scale::of(3),
            ..stamp(9)
        };
        let delta = Event::level(&wider, Side::Bid, Level { price: 1, qty: 1 }, false, true);
        assert_eq!(replica.handle(&delta), Change::None);
        assert!(!replica.is_valid());
    }
}

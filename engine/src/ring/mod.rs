//! The event rings from the loop to a strategy.
//!
//! Each strategy has one ordered ring: hot events ([`Event`], one cache line) in one queue, wide
//! ones ([`Wide`]) in a second queue of preallocated slots, merged again by the [`Consumer`] into
//! the order in which the [`Producer`] was given them. Both ends are owned, neither is `Clone` or
//! `Sync`, so "single producer, single consumer" is a matter of types.
//!
//! # When the ring is full
//!
//! The loop never waits and nothing that is in the ring is thrown out of it. An event that finds no
//! room goes to its stream's entry in a table, and from then on **every** later event of that
//! stream does, until the entry is drained; so the order within a stream holds. Other streams go on
//! as soon as there is room. An entry keeps:
//!
//! - the latest state change, and before it the first one since the last delivered state that is
//!   not Live: a Live → Stale → Live that happened meanwhile arrives as Stale, Live. States in
//!   between are merged away ([`RingStats::states_merged`]);
//! - the newest top of book, where it is newer than each kept state and the latest state is Live
//!   (or no state is kept). A top that is replaced, or that a later state outdates, is counted lost;
//! - exact counts of the lost tops, trades, levels and wide events.
//!
//! On room the entries are drained in the order in which they became dirty: states, then the top,
//! then a `Lost` record with the counts. A stream that got a new top while its round was on its way
//! goes to the end of the queue, so that a busy stream can't starve a quiet one. The `Lost` record
//! is stamped as the stream's newest event.
//!
//! What can be relied on, for each stream and kind, when the entry is drained: *pushed = delivered +
//! counted in `Lost` records*. State changes are the exception, by the merge above. A change to a
//! state that is not Live always comes before the next price.
//!
//! A wide event is lost where the wide queue is full, or where its stream has an entry (a ticker
//! must not overtake the Stale before it); its `Lost` record comes through the hot queue.

mod consumer;
mod pending;
mod producer;
mod spsc;
#[cfg(test)]
mod tests;

pub use consumer::{Consumer, Item};
pub use producer::{Producer, RingStats};
#[doc(no_inline)]
pub use tickwire_connectors::{Event, Wide};

use tickwire_connectors::event::Stamp;
use tickwire_connectors::{Nanos, Source, StreamId, StreamState};
use tickwire_orderbook::Scale;

/// How large a ring is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingConfig {
    /// Hot events that may wait; at least 1. A slot is the event's cache line.
    pub hot_capacity: usize,
    /// Wide events that may wait; at least 1. A slot is about 500 bytes.
    pub wide_capacity: usize,
    /// Streams that the overflow table has room for from the start; see
    /// [`Producer::reserve_streams`].
    pub streams: usize,
}

impl RingConfig {
    /// 65,536 (4 MiB): the snapshot of one book at its cap, 2 × 16,384 levels, fills half of it, so
    /// that the strategy may be a whole snapshot behind when the next one comes.
    pub const HOT_CAPACITY: usize = 65_536;
    /// 1,024 (0.5 MiB): a ticker each of 1,000 streams in one turn.
    pub const WIDE_CAPACITY: usize = 1_024;
    /// 64 (32 KiB).
    pub const STREAMS: usize = 64;
}

impl Default for RingConfig {
    fn default() -> RingConfig {
        RingConfig {
            hot_capacity: RingConfig::HOT_CAPACITY,
            wide_capacity: RingConfig::WIDE_CAPACITY,
            streams: RingConfig::STREAMS,
        }
    }
}

/// A ring from the loop to one strategy.
///
/// # Panics
///
/// Where a capacity is 0.
pub fn channel(config: RingConfig) -> (Producer, Consumer) {
    let (mut hot_sender, mut hot_receiver) = spsc::channel(config.hot_capacity);
    spsc::touch(&mut hot_sender, &mut hot_receiver, any_event());
    let (wide_sender, wide_receiver) = spsc::channel(config.wide_capacity);
    (
        Producer::new(hot_sender, wide_sender, config.streams),
        Consumer::new(hot_receiver, wide_receiver),
    )
}

/// An event that nobody sees.
fn any_event() -> Event {
    let stamp = Stamp {
        stream: StreamId::MAX,
        source: Source::Bbo,
        epoch: 0,
        state: StreamState::Pending,
        price_scale: Scale::of(0),
        qty_scale: Scale::of(0),
        seq: 0,
        exch_ns: Nanos::ZERO,
        recv_ns: Nanos::ZERO,
    };
    Event::bbo(&stamp, None, None)
}

/// A wide event in its slot.
#[derive(Clone, Copy, Debug)]
struct Placed {
    /// How many hot events went into the ring before it: the one counter that orders the two.
    after: u64,
    wide: Wide,
}

//! From a message's bytes to the book and the event, in as many ways as there are peers.
//!
//! Every way reads the same messages and finds their stream by what stands in them; keeps each book
//! by the venue's sequence rule; says a new best bid and ask, or a trade, as an event of its own
//! kind. At the end of a recording all must have the same books, the same last best prices and the
//! same trades: who skips work is found out.

pub mod barter;
mod market;
#[cfg(feature = "nautilus")]
pub mod nautilus;
mod ours;
pub(crate) mod shapes;
mod tree;
pub(crate) mod typed;

use core::hint::black_box;
use std::collections::BTreeMap;
use std::time::Duration;

use rust_decimal::Decimal;
use rustix::time::{ClockId, clock_gettime};
use tickwire::testing::alloc::counts;
use tickwire::wire::zone::{self, Zone};
use tickwire_connectors::Nanos;

use crate::feed::{Call, Feed, Message, Step};

pub use market::{Head, Market};
pub use ours::Ours;
pub use tree::{SimdTape, ValueTree};
pub use typed::{SerdeTyped, SonicTyped};

/// A way from bytes to events.
pub trait Way {
    /// Set-up, not timed.
    fn call(&mut self, connector: usize, now: Nanos, call: &Call) {
        let _ = (connector, now, call);
    }

    /// What it is given of a message, where that is not the whole; not timed.
    fn text(&self, message: &Message) -> Vec<u8> {
        message.text.clone()
    }

    /// Takes a message, whose bytes may be lost; timed.
    fn take(&mut self, message: &Message, text: &mut [u8]);

    /// What all of it came to.
    fn summary(&mut self) -> Summary;
}

/// A price with its quantity.
pub type Pair = (Decimal, Decimal);

/// What a recording came to. Prices and quantities are without trailing zeros.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Each book's best levels, bids first.
    pub books: BTreeMap<String, Vec<Pair>>,
    /// The last best bid and ask of each level-1 stream.
    pub tops: BTreeMap<String, [Option<Pair>; 2]>,
    /// How many trades, and the sum of their price times quantity.
    pub trades: (u64, Decimal),
}

impl Summary {
    /// Levels of a side that are compared.
    const LEVELS: usize = 50;

    /// Notes a book; levels best first.
    pub fn book(
        &mut self,
        key: &str,
        bids: impl Iterator<Item = Pair>,
        asks: impl Iterator<Item = Pair>,
    ) {
        let plain = |(price, qty): Pair| (price.normalize(), qty.normalize());
        let levels = bids.take(Summary::LEVELS).chain(asks.take(Summary::LEVELS));
        self.books
            .insert(key.to_owned(), levels.map(plain).collect());
    }

    /// Notes a best bid and ask.
    pub fn top(&mut self, key: &str, top: [Option<Pair>; 2]) {
        let plain = |(price, qty): Pair| (price.normalize(), qty.normalize());
        self.tops
            .insert(key.to_owned(), top.map(|side| side.map(plain)));
    }

    /// Notes a trade.
    pub fn trade(&mut self, price: Decimal, qty: Decimal) {
        self.trades.0 += 1;
        self.trades.1 = (self.trades.1 + price * qty).normalize();
    }

    /// The first difference to another, in words.
    pub fn difference(&self, other: &Summary) -> Option<String> {
        if self.trades != other.trades {
            return Some(format!("trades: {:?} and {:?}", self.trades, other.trades));
        }
        if let Some(text) = differing("top", &self.tops, &other.tops) {
            return Some(text);
        }
        differing("book", &self.books, &other.books)
    }
}

fn differing<V: PartialEq + core::fmt::Debug>(
    what: &str,
    left: &BTreeMap<String, V>,
    right: &BTreeMap<String, V>,
) -> Option<String> {
    let keys = left.keys().chain(right.keys());
    let key = keys
        .into_iter()
        .find(|key| left.get(*key) != right.get(*key))?;
    let show = |map: &BTreeMap<String, V>| {
        let text = map
            .get(key)
            .map_or_else(|| "none".to_owned(), |one| format!("{one:?}"));
        text.chars().take(300).collect::<String>()
    };
    Some(format!("{what} {key}: {} and {}", show(left), show(right)))
}

/// Bytes copied at once, outside of the measured time, before they are read in it: as much as a recv
/// may leave in a cache.
const CHUNK_BYTES: usize = 128 << 10;

/// What this thread has had of a core: on a machine that is shared, what others take is not counted.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

/// What the messages of a recording have taken, without what comes between them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Taken {
    /// The thread's time.
    pub time: Duration,
    /// Allocations and reallocations.
    pub allocations: u64,
}

/// Runs a recording through a way.
pub fn walk(feed: &Feed, texts: &[Vec<u8>], way: &mut impl Way) -> Taken {
    let mut buffer = vec![0u8; 2 * CHUNK_BYTES];
    let mut taken = Taken::default();
    for step in &feed.steps {
        let range = match step {
            Step::Call(connector, now, call) => {
                way.call(*connector, *now, call);
                continue;
            }
            Step::Messages(range) => range.clone(),
        };
        let mut at = range.start;
        while at < range.end {
            let (mut end, mut bytes) = (at, 0);
            while end < range.end && (end == at || bytes + texts[end].len() <= CHUNK_BYTES) {
                bytes += texts[end].len();
                end += 1;
            }
            if buffer.len() < bytes {
                buffer.resize(bytes, 0);
            }
            let mut rest = &mut buffer[..];
            for text in &texts[at..end] {
                let (place, behind) = rest.split_at_mut(text.len());
                place.copy_from_slice(text);
                rest = behind;
            }
            let zone = zone::enter(Zone::Ours);
            let (start, before) = (cpu_time(), counts());
            let mut rest = &mut buffer[..];
            for (message, text) in feed.messages[at..end].iter().zip(&texts[at..end]) {
                let (place, behind) = rest.split_at_mut(text.len());
                way.take(message, black_box(place));
                rest = behind;
            }
            taken.time += cpu_time().saturating_sub(start);
            taken.allocations += counts().ours - before.ours;
            drop(zone);
            at = end;
        }
    }
    taken
}

/// What every way gives of its messages, not timed.
pub fn texts(feed: &Feed, way: &impl Way) -> Vec<Vec<u8>> {
    feed.messages
        .iter()
        .map(|message| way.text(message))
        .collect()
}

/// Adds up the bytes: what reading a message costs without understanding it.
#[derive(Debug, Default)]
pub struct Floor(u64);

impl Way for Floor {
    #[inline]
    fn take(&mut self, _: &Message, text: &mut [u8]) {
        let sum: u64 = text.iter().map(|byte| u64::from(*byte)).sum();
        self.0 = black_box(self.0.wrapping_add(sum));
    }

    fn summary(&mut self) -> Summary {
        Summary::default()
    }
}

//! From a message's bytes to the book and the events, in four ways over the same recording: ours,
//! simd-json tapes with reused buffers into the same book, serde_json values into `BTreeMap`s, and
//! the floor, which only touches each byte.
//!
//! The rivals do less: they know one stream and one message kind, check no sequence and write no
//! events. Each way's result is checked against the others' when a scenario is built.

mod naive;
mod simd;

use core::hint::black_box;

use tickwire_connectors::{AnyConnector, Body, Channel, Connector, Nanos, Outbox};
use tickwire_orderbook::{Level, Scale, Side};
use tickwire_sim::{MsgKind, SimVenue};

pub use naive::Naive;
pub use simd::Tapes;

use crate::Checksum;
use crate::tape::{Tape, Wanted, symbol_of};

/// Messages of a scenario.
pub const MESSAGES: usize = 2_000;

/// A scenario: its name and what to record for it.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Name in the bench's output.
    pub name: &'static str,
    /// How its messages are laid out.
    pub layout: Layout,
    wanted: Wanted,
}

/// Where a message's fields stand, for the ways that know only what they look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Binance `depthUpdate` in a combined frame: `data.b` and `data.a`.
    BinanceDepth,
    /// Binance `bookTicker`: `data.b`, `B`, `a`, `A`.
    BinanceTop,
    /// Binance `trade` and `aggTrade`: `data.p`, `q`.
    BinanceTrade,
    /// Bybit `orderbook`: `data.b` and `data.a`.
    BybitDepth,
    /// Bybit `publicTrade`: an array of `p`, `v` in `data`.
    BybitTrade,
    /// Deribit `book`: `params.data.bids` and `asks`, actions and bare numbers.
    DeribitBook,
    /// Polymarket `price_change`: an array of changes of both tokens in `price_changes`.
    PolymarketChange,
}

impl Layout {
    /// Whether its messages make a book.
    const fn is_book(self) -> bool {
        matches!(
            self,
            Layout::BinanceDepth
                | Layout::BybitDepth
                | Layout::DeribitBook
                | Layout::PolymarketChange
        )
    }

    /// The keys that lead to what is walked.
    const fn path(self) -> &'static [&'static str] {
        match self {
            Layout::DeribitBook => &["params", "data"],
            Layout::PolymarketChange => &[],
            _ => &["data"],
        }
    }
}

/// The token whose changes count.
const TOKEN: &str = symbol_of(SimVenue::Polymarket);

/// A bare number as a mantissa, by way of a double, as everybody else reads it.
fn rounded(number: f64, scale: Scale) -> i64 {
    (number * 10f64.powi(i32::from(scale.get()))).round() as i64
}

/// Which side a change is of, in Polymarket's words.
fn side_of(word: &str) -> Option<Side> {
    match word {
        "BUY" => Some(Side::Bid),
        "SELL" => Some(Side::Ask),
        _ => None,
    }
}

const fn scenario(
    name: &'static str,
    layout: Layout,
    channel: Channel,
    kind: MsgKind,
    rate_msgs_s: u32,
) -> Scenario {
    let venue = match layout {
        Layout::BinanceDepth | Layout::BinanceTop | Layout::BinanceTrade => SimVenue::BinanceSpot,
        Layout::BybitDepth | Layout::BybitTrade => SimVenue::BybitLinear,
        Layout::DeribitBook => SimVenue::DeribitInverse,
        Layout::PolymarketChange => SimVenue::Polymarket,
    };
    Scenario {
        name,
        layout,
        wanted: Wanted {
            venue,
            channel,
            kind,
            holding: match layout {
                Layout::PolymarketChange => "price_changes",
                _ => "",
            },
            rate_msgs_s,
            count: MESSAGES,
        },
    }
}

/// All scenarios. The rates decide the sizes: a depth message holds what changed in its 100 ms.
pub const SCENARIOS: [Scenario; 9] = {
    use Layout::{BinanceDepth, BinanceTop, BinanceTrade, BybitDepth, BybitTrade};
    use Layout::{DeribitBook, PolymarketChange};
    use MsgKind::{AggTrade, Depth, Top, Trade};
    let book = Channel::BOOK;
    [
        scenario("binance_depth_small", BinanceDepth, book, Depth, 40),
        scenario("binance_depth_4k", BinanceDepth, book, Depth, 5_000),
        scenario("binance_book_ticker", BinanceTop, Channel::Bbo, Top, 200),
        scenario("binance_trade", BinanceTrade, Channel::Trades, Trade, 200),
        scenario(
            "binance_agg_trade",
            BinanceTrade,
            Channel::AggTrades,
            AggTrade,
            200,
        ),
        scenario("bybit_depth_delta", BybitDepth, book, Depth, 200),
        scenario(
            "bybit_public_trade",
            BybitTrade,
            Channel::Trades,
            Trade,
            200,
        ),
        scenario("deribit_change", DeribitBook, book, Depth, 40),
        scenario("polymarket_change", PolymarketChange, book, Depth, 200),
    ]
};

/// A way to take messages in.
pub trait Way {
    /// Takes one message, whose bytes may be lost.
    fn take(&mut self, message: &mut [u8]);

    /// What stands for the result so far: every trade or top in its order, or the book as it is.
    fn result(&self) -> Checksum;
}

/// What a scenario is made of, once it was recorded and checked.
#[derive(Debug)]
pub struct Recorded {
    /// Which.
    pub scenario: Scenario,
    /// Its messages.
    pub tape: Tape,
    price_scale: Scale,
    qty_scale: Scale,
    bids: Vec<Level>,
    asks: Vec<Level>,
}

impl Scenario {
    /// Records, and checks that every way but the floor comes to the same.
    ///
    /// # Panics
    /// If they do not.
    pub fn record(self) -> Recorded {
        let tape = Tape::record(self.wanted);
        let mut recorded = Recorded {
            scenario: self,
            tape,
            price_scale: Scale::of(0),
            qty_scale: Scale::of(0),
            bids: Vec::new(),
            asks: Vec::new(),
        };
        recorded.read_scales();
        let (mut ours, mut tapes) = (recorded.ours(), recorded.tapes());
        let mut naive = recorded.naive();
        for message in &recorded.tape.messages {
            ours.take(&mut message.clone());
            tapes.take(&mut message.clone());
            naive.take(&mut message.clone());
        }
        let (name, expected) = (self.name, ours.result());
        assert_eq!(tapes.result(), expected, "{name}: simd-json differs");
        assert_eq!(naive.result(), expected, "{name}: serde_json differs");
        let counters = ours.connector.counters();
        assert_eq!((counters.gaps, counters.malformed), (0, 0), "{name}");
        assert_eq!(counters.tops_checked, counters.tops_agreed, "{name}");
        recorded
    }
}

impl Recorded {
    /// The scales of the stream, from the book where it has one, from the first event otherwise.
    fn read_scales(&mut self) {
        let mut connector = self.tape.connector();
        if let Some(view) = connector.book(Tape::STREAM) {
            (self.price_scale, self.qty_scale) = (view.price_scale, view.qty_scale);
            self.bids = view.book.levels(Side::Bid).collect();
            self.asks = view.book.levels(Side::Ask).collect();
            return;
        }
        let mut out = Outbox::new();
        if let Some(first) = self.tape.messages.first() {
            connector.handle_message(self.tape.now, Tape::LINK, &mut first.clone(), &mut out);
        }
        match out.hot().last() {
            Some(event) => {
                (self.price_scale, self.qty_scale) = (event.price_scale(), event.qty_scale());
            }
            None => panic!("{}: the first message gave no event", self.scenario.name),
        }
    }

    /// Ours: the connector as the engine calls it.
    pub fn ours(&self) -> Ours {
        Ours {
            connector: self.tape.connector(),
            out: Outbox::new(),
            now: self.tape.now,
            sum: Checksum::default(),
        }
    }

    /// simd-json tapes into our book.
    pub fn tapes(&self) -> Tapes {
        let scales = (self.price_scale, self.qty_scale);
        Tapes::new(self.scenario.layout, scales, (&self.bids, &self.asks))
    }

    /// serde_json values into `BTreeMap`s.
    pub fn naive(&self) -> Naive {
        let scales = (self.price_scale, self.qty_scale);
        Naive::new(self.scenario.layout, scales, (&self.bids, &self.asks))
    }

    /// The floor.
    pub fn floor(&self) -> Floor {
        Floor::default()
    }
}

/// The connector, with its events read and dropped behind each message.
#[expect(
    missing_debug_implementations,
    reason = "a custom connector may have none"
)]
pub struct Ours {
    connector: AnyConnector,
    out: Outbox,
    now: Nanos,
    sum: Checksum,
}

impl Way for Ours {
    #[inline]
    fn take(&mut self, message: &mut [u8]) {
        self.connector
            .handle_message(self.now, Tape::LINK, message, &mut self.out);
        for event in self.out.hot() {
            match event.body() {
                Body::Trade(trade) => {
                    self.sum.add(trade.price().mantissa());
                    self.sum.add(trade.qty().mantissa());
                }
                Body::Bbo(bbo) => {
                    for (price, qty) in [bbo.bid(), bbo.ask()].into_iter().flatten() {
                        self.sum.add(price.mantissa());
                        self.sum.add(qty.mantissa());
                    }
                }
                other => {
                    black_box(other);
                }
            }
        }
        self.out.clear();
    }

    fn result(&self) -> Checksum {
        match self.connector.book(Tape::STREAM) {
            Some(view) => levels(view.book.levels(Side::Bid), view.book.levels(Side::Ask)),
            None => self.sum,
        }
    }
}

fn levels(bids: impl Iterator<Item = Level>, asks: impl Iterator<Item = Level>) -> Checksum {
    let mut sum = Checksum::default();
    for Level { price, qty } in bids.chain(asks) {
        sum.add(price);
        sum.add(qty);
    }
    sum
}

/// Adds up the bytes: what reading the message costs without understanding it.
#[derive(Debug, Default)]
pub struct Floor(u64);

impl Way for Floor {
    #[inline]
    fn take(&mut self, message: &mut [u8]) {
        let sum: u64 = message.iter().map(|byte| u64::from(*byte)).sum();
        self.0 = self.0.wrapping_add(sum);
    }

    fn result(&self) -> Checksum {
        Checksum(self.0)
    }
}

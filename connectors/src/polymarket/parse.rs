//! The scanner of the market channel: books, price changes, trades, tick sizes and best prices.
//!
//! A frame is one object or an array of objects, and one object may be about several tokens, so a
//! frame is read as a whole, in one pass and with keys in any order, into a [`Frame`]: first all of it
//! is read, then it changes books. Numbers become integers that are exact at any scale
//! ([`Number`]), as the scale is that of the stream, which is known only once the frame is routed.
//! A wanted key that comes twice makes a frame malformed. The twin in [`tape`](super::tape) reads the
//! same with simd-json.

use tickwire_orderbook::{Price, Scale, Side};

use crate::event::Aggressor;
use crate::scan::ScanErrorKind;
use crate::time::Nanos;

mod read;

pub use read::frame;

/// Most decimals that a number can have: what 64 bits hold.
const DECIMALS_MAX: u32 = 18;

const POW10: [i64; DECIMALS_MAX as usize + 1] = {
    let mut table = [1i64; DECIMALS_MAX as usize + 1];
    let mut index = 1;
    while index < table.len() {
        table[index] = table[index - 1] * 10;
        index += 1;
    }
    table
};

/// An exact decimal that is not negative: `mantissa / 10^decimals`, without trailing zeros behind the
/// point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Number {
    /// All digits.
    pub mantissa: i64,
    /// How many of them stand behind the point.
    pub decimals: u8,
}

impl Number {
    /// From its digits, and how many of them stand behind the point; the last of those is no zero.
    #[inline(always)]
    pub(super) const fn of((mantissa, decimals): (i64, u8)) -> Number {
        Number { mantissa, decimals }
    }

    /// Reads "0.48", ".48", "48"; the venue writes prices with and without the leading zero.
    #[inline]
    pub fn parse(text: &[u8]) -> Result<Number, ScanErrorKind> {
        let (mut mantissa, mut decimals, mut zeros) = (0i64, 0u32, 0u32);
        let (mut has_digits, mut has_point) = (false, false);
        for byte in text {
            match byte {
                b'.' if !has_point => has_point = true,
                b'0' if has_point => {
                    has_digits = true;
                    zeros = zeros.saturating_add(1);
                }
                b'0'..=b'9' => {
                    has_digits = true;
                    let mut shift = 1;
                    if has_point {
                        shift = zeros.saturating_add(1);
                        zeros = 0;
                        decimals = decimals.saturating_add(shift);
                    }
                    let power = POW10
                        .get(shift as usize)
                        .filter(|_| decimals <= DECIMALS_MAX);
                    let power = power.ok_or(ScanErrorKind::ExcessDigits)?;
                    mantissa = mantissa
                        .checked_mul(*power)
                        .and_then(|value| value.checked_add(i64::from(byte - b'0')))
                        .ok_or(ScanErrorKind::Overflow)?;
                }
                _ => return Err(ScanErrorKind::Expected("a decimal")),
            }
        }
        if !has_digits {
            return Err(ScanErrorKind::Expected("a decimal"));
        }
        Ok(Number {
            mantissa,
            decimals: decimals as u8,
        })
    }

    /// The mantissa at `scale`.
    #[inline]
    pub fn at(self, scale: Scale) -> Result<i64, ScanErrorKind> {
        let missing = scale.get().checked_sub(self.decimals);
        let missing = missing.ok_or(ScanErrorKind::ExcessDigits)?;
        let power = POW10.get(usize::from(missing));
        let power = power.ok_or(ScanErrorKind::Overflow)?;
        self.mantissa
            .checked_mul(*power)
            .ok_or(ScanErrorKind::Overflow)
    }
}

impl core::fmt::Display for Number {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match Scale::new(self.decimals) {
            Some(scale) => Price::new(self.mantissa, scale).plain().fmt(f),
            None => Ok(()),
        }
    }
}

/// A piece of the text that a frame was read from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// The text; empty where it is not the one that the frame was read from.
    #[inline]
    pub fn of(self, text: &[u8]) -> &[u8] {
        let (start, end) = (self.start as usize, self.end as usize);
        text.get(start..end).unwrap_or_default()
    }

    /// The last `len` bytes before `end`. A message has far less than 4 GiB.
    pub(super) fn before(end: usize, len: usize) -> Span {
        let start = u32::try_from(end - len).unwrap_or(u32::MAX);
        let end = u32::try_from(end).unwrap_or(u32::MAX);
        Span { start, end }
    }
}

/// A level as it stands in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Price.
    pub price: Number,
    /// Quantity; of a change the new total, 0 where the level is gone.
    pub size: Number,
}

/// A run of [`Frame::rows`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Run {
    start: u32,
    end: u32,
}

impl Run {
    pub(super) fn new(start: usize, end: usize) -> Run {
        Run {
            start: u32::try_from(start).unwrap_or(u32::MAX),
            end: u32::try_from(end).unwrap_or(u32::MAX),
        }
    }

    /// Its rows.
    #[inline]
    pub fn of(self, rows: &[Row]) -> &[Row] {
        let (start, end) = (self.start as usize, self.end as usize);
        rows.get(start..end).unwrap_or_default()
    }
}

/// The venue's best prices beside a change: what they are after it. "0" and "1" stand for a side
/// without orders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Best {
    /// Best bid; 0 for none.
    pub bid: Number,
    /// Best ask; 1 for none.
    pub ask: Number,
}

/// What the `hash` of a book is made of beside its levels, as it stands in the message. Empty where the
/// message does not have it as text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// `hash`
    pub hash: Span,
    /// `market`
    pub market: Span,
    /// `timestamp`
    pub stamp: Span,
    /// `tick_size`
    pub tick: Span,
    /// `last_trade_price`
    pub last: Span,
}

/// What an item says of its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// The whole book.
    Book {
        /// Bids in the order received.
        bids: Run,
        /// Asks in the order received.
        asks: Run,
        /// What its hash is made of.
        facts: Facts,
    },
    /// One level is another.
    Change {
        /// Its side.
        side: Side,
        /// The level.
        row: Row,
        /// `best_bid` and `best_ask`, where the message has both.
        best: Option<Best>,
    },
    /// A trade.
    Trade {
        /// Price and quantity.
        row: Row,
        /// Side of the taker.
        aggressor: Aggressor,
        /// See `trade_id`.
        id: u128,
    },
    /// The tick size is another: what follows is of a new book.
    Tick(Number),
    /// `best_bid_ask`
    Best(Best),
}

/// One thing about one token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// The token's id.
    pub asset: Span,
    /// The venue's time, [`Nanos::ZERO`] where it gave none.
    pub exch_ns: Nanos,
    /// What is said.
    pub body: Body,
}

/// A frame, read. Its memory is used again.
#[derive(Debug, Default)]
pub struct Frame {
    /// What is said, in order.
    pub items: Vec<Item>,
    /// The levels of its books.
    pub rows: Vec<Row>,
    /// How many of its objects are of other kinds.
    pub others: usize,
    /// What the spans of a frame that was read by simd-json are of.
    pub text: Vec<u8>,
}

impl Frame {
    /// Room for busy frames; it grows to the largest seen.
    pub fn new() -> Frame {
        Frame {
            items: Vec::with_capacity(256),
            rows: Vec::with_capacity(2_048),
            others: 0,
            text: Vec::new(),
        }
    }

    /// Forgets the items and keeps the memory.
    pub fn clear(&mut self) {
        self.items.clear();
        self.rows.clear();
        self.text.clear();
        self.others = 0;
    }
}

/// The kinds of object that are read here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Book,
    Change,
    Trade,
    Tick,
    Best,
    Other,
}

impl Kind {
    /// By `event_type`.
    #[inline]
    pub(super) fn of(text: &[u8]) -> Kind {
        match text {
            b"book" => Kind::Book,
            b"price_change" => Kind::Change,
            b"last_trade_price" => Kind::Trade,
            b"tick_size_change" => Kind::Tick,
            b"best_bid_ask" => Kind::Best,
            _ => Kind::Other,
        }
    }
}

pub(super) const SIDE: &str = "BUY or SELL";
pub(super) const LEVEL: &str = "a level with price and size";
pub(super) const ASSET: &str = "an asset_id";
pub(super) const BOOK: &str = "a book with bids and asks";
pub(super) const CHANGE: &str = "a change with side, price and size";
pub(super) const TRADE: &str = "a trade with price and size";
pub(super) const TICK: &str = "a new_tick_size";
pub(super) const BEST: &str = "a best_bid and a best_ask";

/// What the keys of one object have said.
#[derive(Debug, Default)]
pub(super) struct Fields {
    pub(super) kind: Option<Kind>,
    pub(super) asset: Option<Span>,
    pub(super) exch_ns: Nanos,
    pub(super) bids: Option<Run>,
    pub(super) asks: Option<Run>,
    pub(super) price: Option<Number>,
    pub(super) size: Option<Number>,
    pub(super) side: Option<Side>,
    pub(super) best_bid: Option<Number>,
    pub(super) best_ask: Option<Number>,
    pub(super) new_tick: Option<Number>,
    pub(super) facts: Facts,
    /// Of the transaction's hash, [`hash_of`].
    pub(super) transaction: u128,
    /// Whether there was a list of changes.
    pub(super) has_changes: bool,
}

impl Fields {
    fn best(&self) -> Option<Best> {
        let (bid, ask) = (self.best_bid?, self.best_ask?);
        Some(Best { bid, ask })
    }

    fn row(&self) -> Option<Row> {
        let (price, size) = (self.price?, self.size?);
        Some(Row { price, size })
    }

    /// A change by its own keys, where they are all there.
    pub(super) fn change(&self) -> Result<Item, &'static str> {
        let (side, row) = (self.side.ok_or(CHANGE)?, self.row().ok_or(CHANGE)?);
        let best = self.best();
        Ok(Item {
            // Filled in at the end of the object, where the entry has none of its own.
            asset: self.asset.unwrap_or_default(),
            exch_ns: self.exch_ns,
            body: Body::Change { side, row, best },
        })
    }

    /// Ends an object whose changes are the items from `first`.
    pub(super) fn finish(&self, first: usize, frame: &mut Frame) -> Result<(), &'static str> {
        // Old recordings lack `event_type`: the keys say what it is.
        let kind = self.kind.unwrap_or(match self {
            Fields {
                has_changes: true, ..
            } => Kind::Change,
            Fields {
                bids: Some(_),
                asks: Some(_),
                ..
            } => Kind::Book,
            Fields {
                new_tick: Some(_), ..
            } => Kind::Tick,
            Fields {
                price: Some(_),
                size: Some(_),
                ..
            } => Kind::Trade,
            _ => Kind::Other,
        });
        if kind == Kind::Change && self.has_changes {
            for item in frame.items.iter_mut().skip(first) {
                if item.asset == Span::default() {
                    item.asset = self.asset.ok_or(ASSET)?;
                }
                item.exch_ns = self.exch_ns;
            }
            return Ok(());
        }
        frame.items.truncate(first);
        if kind == Kind::Other {
            frame.others += 1;
            return Ok(());
        }
        let asset = self.asset.ok_or(ASSET)?;
        let body = match kind {
            Kind::Book => Body::Book {
                bids: self.bids.ok_or(BOOK)?,
                asks: self.asks.ok_or(BOOK)?,
                facts: self.facts,
            },
            Kind::Change => {
                frame.items.push(self.change()?);
                return Ok(());
            }
            Kind::Trade => {
                let row = self.row().ok_or(TRADE)?;
                Body::Trade {
                    row,
                    aggressor: match self.side {
                        Some(Side::Bid) => Aggressor::Buy,
                        Some(Side::Ask) => Aggressor::Sell,
                        None => Aggressor::Unknown,
                    },
                    id: trade_id(self.transaction, row, self.exch_ns),
                }
            }
            Kind::Tick => Body::Tick(self.new_tick.ok_or(TICK)?),
            Kind::Best | Kind::Other => Body::Best(self.best().ok_or(BEST)?),
        };
        frame.items.push(Item {
            asset,
            exch_ns: self.exch_ns,
            body,
        });
        Ok(())
    }
}

/// Milliseconds as text; [`Nanos::ZERO`] for anything else.
#[inline]
pub(super) fn time(text: &[u8]) -> Nanos {
    match Number::parse(text) {
        Ok(Number {
            mantissa,
            decimals: 0,
        }) => Nanos::from_millis(mantissa),
        _ => Nanos::ZERO,
    }
}

/// BUY and bid, SELL and ask, in either case: the forms of price changes differ.
#[inline]
pub(super) fn side(text: &[u8]) -> Option<Side> {
    if text.eq_ignore_ascii_case(b"BUY") || text.eq_ignore_ascii_case(b"bid") {
        Some(Side::Bid)
    } else if text.eq_ignore_ascii_case(b"SELL") || text.eq_ignore_ascii_case(b"ask") {
        Some(Side::Ask)
    } else {
        None
    }
}

/// The venue numbers no trade. What tells two apart is the transaction, which may hold several, with
/// price, size and time; made one number by a hash, which is not unique by promise.
pub(super) fn trade_id(transaction: u128, row: Row, exch_ns: Nanos) -> u128 {
    fold(fold_row(transaction ^ BASIS, row), exch_ns.0 as u64)
}

/// Adds a price and a size to a hash.
pub(super) fn fold_row(mut hash: u128, row: Row) -> u128 {
    for number in [row.price, row.size] {
        hash = fold(hash, number.mantissa as u64);
        hash = fold(hash, number.decimals.into());
    }
    hash
}

/// What a hash begins with: that of FNV-1a, as its prime below. The bytes are taken eight at a time, and the halves change
/// places each time, so that what comes last moves the low half as well.
pub(super) const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;

/// The hash of a text.
pub(super) fn hash_of(text: &[u8]) -> u128 {
    let (words, rest) = text.as_chunks();
    let hash = words
        .iter()
        .fold(BASIS, |hash, word| fold(hash, u64::from_le_bytes(*word)));
    let hash = rest
        .iter()
        .fold(hash, |hash, byte| fold(hash, (*byte).into()));
    fold(hash, text.len() as u64)
}

#[inline]
const fn fold(hash: u128, word: u64) -> u128 {
    let mixed = (hash ^ word as u128).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
    mixed.rotate_left(u64::BITS)
}

/// Half of a hash is as unlike others as the whole.
pub(super) const fn short(hash: u128) -> u64 {
    (hash ^ (hash >> 64)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_exact_with_and_without_a_leading_zero() {
        let of = |mantissa, decimals| Ok(Number { mantissa, decimals });
        let table = [
            (".48", of(48, 2)),
            ("0.48", of(48, 2)),
            ("0.4800", of(48, 2)),
            ("1", of(1, 0)),
            ("100.0", of(100, 0)),
            ("0", of(0, 0)),
            ("0.000", of(0, 0)),
            ("219.217767", of(219_217_767, 6)),
            ("0.0001", of(1, 4)),
            ("10.01", of(1001, 2)),
            ("0.000000000000000001", of(1, 18)),
            ("9223372036854775807", of(i64::MAX, 0)),
        ];
        for (text, want) in table {
            assert_eq!(Number::parse(text.as_bytes()), want, "{text}");
        }
        for text in [
            "",
            ".",
            "-1",
            "1e5",
            "1.2.3",
            " 1",
            "0.0000000000000000001",
            "9223372036854775808",
        ] {
            assert!(Number::parse(text.as_bytes()).is_err(), "{text}");
        }
        let half = Number {
            mantissa: 5,
            decimals: 1,
        };
        assert_eq!(half.at(Scale::of(4)), Ok(5_000));
        assert_eq!(half.at(Scale::of(0)), Err(ScanErrorKind::ExcessDigits));
        let large = Number {
            mantissa: i64::MAX,
            decimals: 0,
        };
        assert_eq!(large.at(Scale::of(1)), Err(ScanErrorKind::Overflow));
    }
}

//! Scanners of the hot messages: books of every kind, the venue's best prices, and trades.
//!
//! One pass, keys in any order, straight to integers at the stream's scales; numbers are bare JSON
//! numbers and never pass through a float. A wanted key that comes twice makes a message malformed:
//! which of the two counts would depend on the reader. The twin of each function in
//! [`tape`](super::tape) reads the same with simd-json and gives the same.

use tickwire_orderbook::{Level, Scale};

use crate::event::Aggressor;
use crate::scan::{self, Cursor, Filled, Looks, Message, Once, Scan, ScanError};
use crate::stream::Levels;
use crate::time::Nanos;

/// What a book message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The whole book: the first message after each subscribe.
    Snapshot,
    /// What has changed.
    Change,
    /// The whole of a grouped book, or of the best prices: each message is.
    Whole,
}

impl Kind {
    /// From the value of `type`.
    #[inline]
    pub fn of(text: &[u8]) -> Option<Kind> {
        match text {
            b"snapshot" => Some(Kind::Snapshot),
            b"change" => Some(Kind::Change),
            _ => None,
        }
    }
}

/// A book message; its levels are beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BookMessage {
    /// What it is.
    pub kind: Kind,
    /// `change_id`; 0 for best prices, which have none.
    pub seq: u64,
    /// `prev_change_id` of a change, otherwise 0.
    pub prev: u64,
    /// `timestamp`. Never to be ordered by: the snapshot's may be later than that of the next change.
    pub exch_ns: Nanos,
}

/// A trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TradeRow {
    /// Price mantissa.
    pub price: i64,
    /// Quantity mantissa.
    pub qty: i64,
    /// See [`trade_id`].
    pub id: u128,
    /// Side of the taker.
    pub aggressor: Aggressor,
    /// `trade_seq`: counts the trades of the instrument without a hole.
    pub seq: u64,
    /// Time of the match.
    pub exch_ns: Nanos,
}

pub(super) const KIND: &str = "snapshot or change";
pub(super) const ACTION: &str = "new, change or delete";
pub(super) const LEVEL: &str = "a level of price and amount";
pub(super) const DATA: &str = "params with data";
pub(super) const BOOK: &str = "a book with bids, asks and change_id, prev_change_id in a change";
pub(super) const QUOTE: &str = "both best prices with their amounts";
pub(super) const TRADE: &str = "a trade with timestamp, price, amount, trade_seq, trade_id";

/// What stands in `params.data`. No closure: that could be left out of line, where it is compiled for no
/// processor.
trait Data {
    /// What it tells.
    type Told;

    /// Reads it. Must be `#[inline(always)]`.
    fn read_data<'a, C: Cursor<'a>>(&mut self, scan: &mut C) -> Result<Self::Told, C::Error>;
}

/// Steps to `params.data` of a notification and reads it.
#[inline(always)]
fn data<'a, C: Cursor<'a>, D: Data>(scan: &mut C, data: &mut D) -> Result<D::Told, C::Error> {
    let (mut value, mut seen) = (None, Once::default());
    scan.enter_object()?;
    let mut first = true;
    while let Some(key) = scan.next_key(&mut first)? {
        if key != b"params" {
            scan.skip_value()?;
            continue;
        }
        seen.note(scan, 0)?;
        scan.enter_object()?;
        let mut first = true;
        while let Some(key) = scan.next_key(&mut first)? {
            if key == b"data" {
                seen.note(scan, 1)?;
                value = Some(data.read_data(scan)?);
            } else {
                scan.skip_value()?;
            }
        }
    }
    scan.finish()?;
    value.ok_or_else(|| scan.wrong(DATA))
}

/// Reads a `book.*` message of either kind; `levels` is cleared first.
pub(super) fn book(
    payload: &[u8],
    price_scale: Scale,
    qty_scale: Scale,
    looks: &mut Looks,
    levels: &mut Levels,
) -> Result<BookMessage, ScanError> {
    let mut message = Book {
        scales: (price_scale, qty_scale),
        looks,
        levels,
        is_new: false,
    };
    let told = scan::read(Scan::new(payload), &mut message)?;
    if message.is_new {
        let keys: [&[u8]; 3] = [
            br#""timestamp":"#,
            br#""change_id":"#,
            br#""prev_change_id":"#,
        ];
        let head = &mut message.looks.head;
        head.learn_head(payload, br#""bids":"#, &keys, false);
    }
    Ok(told)
}

struct Book<'l> {
    /// Of prices, of quantities.
    scales: (Scale, Scale),
    looks: &'l mut Looks,
    levels: &'l mut Levels,
    /// Whether it was written as usual, and its beginning looked new.
    is_new: bool,
}

impl<'a> Message<'a> for Book<'_> {
    type Told = BookMessage;

    #[inline(always)]
    fn read<C: Cursor<'a>>(&mut self, mut scan: C) -> Result<BookMessage, C::Error> {
        self.levels.clear();
        self.is_new = false;
        if let Some(message) = self.usual(scan) {
            return Ok(message);
        }
        self.levels.clear();
        data(&mut scan, self)
    }
}

/// What stands before the bids of a change: its time, its id and the one before.
#[inline(always)]
fn usual_head<'a, C: Cursor<'a>>(scan: &mut C) -> Option<[u64; 3]> {
    scan.usual(br#"{"jsonrpc":"2.0","method":"subscription","params":{"channel":"#)
        .then_some(())?;
    scan.long_string().ok()?;
    scan.usual(br#","data":{"type":"change","timestamp":"#)
        .then_some(())?;
    let time = scan.u64().ok()?;
    let (seq, prev);
    // The order differs between the years.
    if scan.usual(br#","prev_change_id":"#) {
        prev = scan.u64().ok()?;
        scan.usual(br#","instrument_name":"#).then_some(())?;
        scan.string().ok()?;
        scan.usual(br#","change_id":"#).then_some(())?;
        seq = scan.u64().ok()?;
    } else {
        scan.usual(br#","instrument_name":"#).then_some(())?;
        scan.string().ok()?;
        scan.usual(br#","change_id":"#).then_some(())?;
        seq = scan.u64().ok()?;
        scan.usual(br#","prev_change_id":"#).then_some(())?;
        prev = scan.u64().ok()?;
    }
    scan.usual(br#","bids":"#).then_some([time, seq, prev])
}

/// A change as the venue usually writes it.
impl Book<'_> {
    #[inline(always)]
    fn usual<'a, C: Cursor<'a>>(&mut self, mut scan: C) -> Option<BookMessage> {
        let scan = &mut scan;
        let head = scan.head(&mut self.looks.head);
        let is_new = head.is_none();
        let [time, seq, prev] = match head {
            Some(Filled { numbers, .. }) => [numbers[0], numbers[1], numbers[2]],
            None => usual_head(scan)?,
        };
        usual_side(scan, self.scales, &mut self.levels.bids)?;
        scan.usual(br#","asks":"#).then_some(())?;
        usual_side(scan, self.scales, &mut self.levels.asks)?;
        scan.usual(b"}}}").then_some(())?;
        scan.finish().ok()?;
        self.is_new = is_new;
        Some(BookMessage {
            kind: Kind::Change,
            seq,
            prev,
            exch_ns: Nanos::from_millis(i64::try_from(time).ok()?),
        })
    }
}

/// Levels with actions.
#[inline(always)]
fn usual_side<'a, C: Cursor<'a>>(
    scan: &mut C,
    scales: (Scale, Scale),
    levels: &mut Vec<Level>,
) -> Option<()> {
    if scan.usual(b"[]") {
        return Some(());
    }
    scan.usual(b"[").then_some(())?;
    loop {
        let is_deleted = scan.action()?;
        let Level { price, qty } = match scan.bare_pair(scales) {
            Some(level) => level,
            None => {
                let price = scan.number(scales.0).ok()?;
                scan.usual(b",").then_some(())?;
                let qty = scan.number(scales.1).ok()?;
                Level { price, qty }
            }
        };
        scan.usual(b"]").then_some(())?;
        let qty = if is_deleted { 0 } else { qty };
        levels.push(Level { price, qty });
        if !scan.usual(b",") {
            return scan.usual(b"]").then_some(());
        }
    }
}

impl Data for Book<'_> {
    type Told = BookMessage;

    #[inline(always)]
    fn read_data<'a, C: Cursor<'a>>(&mut self, scan: &mut C) -> Result<BookMessage, C::Error> {
        book_data(scan, self.scales, self.levels)
    }
}

/// `{"type":"change","timestamp":1,"prev_change_id":1,"change_id":2,"bids":[["new",1.5,30]],
/// "asks":[]}`; a grouped book has no `type` and no `prev_change_id`, and levels without an action.
#[inline(always)]
fn book_data<'a, C: Cursor<'a>>(
    scan: &mut C,
    (price_scale, qty_scale): (Scale, Scale),
    levels: &mut Levels,
) -> Result<BookMessage, C::Error> {
    let (mut kind, mut time, mut seq, mut prev) = (Kind::Whole, 0, 0, None);
    let mut seen = Once::default();
    scan.enter_object()?;
    let mut first = true;
    while let Some(key) = scan.next_key(&mut first)? {
        match key {
            b"bids" => {
                seen.note(scan, 0)?;
                side(scan, price_scale, qty_scale, &mut levels.bids)?;
            }
            b"asks" => {
                seen.note(scan, 1)?;
                side(scan, price_scale, qty_scale, &mut levels.asks)?;
            }
            b"change_id" => {
                seen.note(scan, 2)?;
                seq = scan.u64()?;
            }
            b"prev_change_id" => {
                seen.note(scan, 3)?;
                if !scan.null()? {
                    prev = Some(scan.u64()?);
                }
            }
            b"type" => {
                seen.note(scan, 4)?;
                let text = scan.string()?;
                kind = Kind::of(text).ok_or_else(|| scan.wrong(KIND))?;
            }
            b"timestamp" => {
                seen.note(scan, 5)?;
                time = scan.i64()?;
            }
            _ => scan.skip_value()?,
        }
    }
    book_message(&seen, kind, seq, prev, time).ok_or_else(|| scan.wrong(BOOK))
}

/// A book message of what its keys said; `None` where one is missing.
#[inline]
pub(super) fn book_message(
    seen: &Once,
    kind: Kind,
    seq: u64,
    prev: Option<u64>,
    time_ms: i64,
) -> Option<BookMessage> {
    let prev = match kind {
        Kind::Change => prev?,
        Kind::Snapshot | Kind::Whole => 0,
    };
    seen.all(3).then_some(BookMessage {
        kind,
        seq,
        prev,
        exch_ns: Nanos::from_millis(time_ms),
    })
}

/// `[["new",price,amount],..]` or `[[price,amount],..]`. The amount of a deleted level is 0, whatever
/// it says.
#[inline(always)]
fn side<'a, C: Cursor<'a>>(
    scan: &mut C,
    price_scale: Scale,
    qty_scale: Scale,
    levels: &mut Vec<Level>,
) -> Result<(), C::Error> {
    scan.enter_array()?;
    let mut first = true;
    while scan.next_element(&mut first)? {
        scan.enter_array()?;
        let mut first = true;
        let mut next = |scan: &mut C| match scan.next_element(&mut first) {
            Ok(true) => Ok(()),
            Ok(false) => Err(scan.wrong(LEVEL)),
            Err(error) => Err(error),
        };
        next(scan)?;
        let mut is_deleted = false;
        if scan.peek()? == b'"' {
            let text = scan.string()?;
            is_deleted = action(text).ok_or_else(|| scan.wrong(ACTION))?;
            next(scan)?;
        }
        let price = scan.number(price_scale)?;
        next(scan)?;
        let qty = scan.number(qty_scale)?;
        while scan.next_element(&mut first)? {
            scan.skip_value()?;
        }
        let qty = if is_deleted { 0 } else { qty };
        levels.push(Level { price, qty });
    }
    Ok(())
}

/// Whether an action takes a level away.
#[inline]
pub(super) fn action(text: &[u8]) -> Option<bool> {
    match text {
        b"new" | b"change" => Some(false),
        b"delete" => Some(true),
        _ => None,
    }
}

/// Reads a `quote.*` message; `levels` is cleared first and then holds at most one level a side. A
/// side that is empty has `null` or an amount of 0.
pub fn quote(
    payload: &[u8],
    price_scale: Scale,
    qty_scale: Scale,
    levels: &mut Levels,
) -> Result<BookMessage, ScanError> {
    let mut message = Quote {
        scales: (price_scale, qty_scale),
        levels,
    };
    scan::read(Scan::new(payload), &mut message)
}

struct Quote<'l> {
    /// Of prices, of quantities.
    scales: (Scale, Scale),
    levels: &'l mut Levels,
}

impl<'a> Message<'a> for Quote<'_> {
    type Told = BookMessage;

    #[inline(always)]
    fn read<C: Cursor<'a>>(&mut self, mut scan: C) -> Result<BookMessage, C::Error> {
        self.levels.clear();
        data(&mut scan, self)
    }
}

impl Data for Quote<'_> {
    type Told = BookMessage;

    #[inline(always)]
    fn read_data<'a, C: Cursor<'a>>(&mut self, scan: &mut C) -> Result<BookMessage, C::Error> {
        quote_data(scan, self.scales, self.levels)
    }
}

#[inline(always)]
fn quote_data<'a, C: Cursor<'a>>(
    scan: &mut C,
    (price_scale, qty_scale): (Scale, Scale),
    levels: &mut Levels,
) -> Result<BookMessage, C::Error> {
    // Bid price, bid amount, ask price, ask amount.
    let mut best = [None; 4];
    let mut time = 0;
    let mut seen = Once::default();
    scan.enter_object()?;
    let mut first = true;
    while let Some(key) = scan.next_key(&mut first)? {
        let (bit, scale) = match key {
            b"best_bid_price" => (0, price_scale),
            b"best_bid_amount" => (1, qty_scale),
            b"best_ask_price" => (2, price_scale),
            b"best_ask_amount" => (3, qty_scale),
            b"timestamp" => {
                seen.note(scan, 4)?;
                time = scan.i64()?;
                continue;
            }
            _ => {
                scan.skip_value()?;
                continue;
            }
        };
        seen.note(scan, bit)?;
        if !scan.null()? {
            best[bit as usize] = Some(scan.number(scale)?);
        }
    }
    if !seen.all(4) {
        return Err(scan.wrong(QUOTE));
    }
    let [bid, bid_qty, ask, ask_qty] = best;
    levels.bids.extend(best_level(bid, bid_qty));
    levels.asks.extend(best_level(ask, ask_qty));
    Ok(BookMessage {
        kind: Kind::Whole,
        seq: 0,
        prev: 0,
        exch_ns: Nanos::from_millis(time),
    })
}

/// The level of a best price, where the side has one.
#[inline]
pub(super) fn best_level(price: Option<i64>, qty: Option<i64>) -> Option<Level> {
    let (price, qty) = (price?, qty?);
    (qty != 0).then_some(Level { price, qty })
}

/// Reads a `trades.*` message; `rows` is cleared first and then holds its trades as sent.
pub fn trades(
    payload: &[u8],
    price_scale: Scale,
    qty_scale: Scale,
    rows: &mut Vec<TradeRow>,
) -> Result<(), ScanError> {
    let mut message = Trades {
        scales: (price_scale, qty_scale),
        rows,
    };
    scan::read(Scan::new(payload), &mut message)
}

struct Trades<'r> {
    /// Of prices, of quantities.
    scales: (Scale, Scale),
    rows: &'r mut Vec<TradeRow>,
}

impl<'a> Message<'a> for Trades<'_> {
    type Told = ();

    #[inline(always)]
    fn read<C: Cursor<'a>>(&mut self, mut scan: C) -> Result<(), C::Error> {
        self.rows.clear();
        data(&mut scan, self)
    }
}

impl Data for Trades<'_> {
    type Told = ();

    #[inline(always)]
    fn read_data<'a, C: Cursor<'a>>(&mut self, scan: &mut C) -> Result<(), C::Error> {
        scan.enter_array()?;
        let mut first = true;
        while scan.next_element(&mut first)? {
            self.rows.push(trade(scan, self.scales)?);
        }
        Ok(())
    }
}

#[inline(always)]
fn trade<'a, C: Cursor<'a>>(
    scan: &mut C,
    (price_scale, qty_scale): (Scale, Scale),
) -> Result<TradeRow, C::Error> {
    let (mut time, mut price, mut qty, mut id) = (0, 0, 0, 0);
    let (mut seq, mut side) = (0, Aggressor::Unknown);
    let mut seen = Once::default();
    scan.enter_object()?;
    let mut first = true;
    while let Some(key) = scan.next_key(&mut first)? {
        match key {
            b"timestamp" => {
                seen.note(scan, 0)?;
                time = scan.i64()?;
            }
            b"price" => {
                seen.note(scan, 1)?;
                price = scan.number(price_scale)?;
            }
            b"amount" => {
                seen.note(scan, 2)?;
                qty = scan.number(qty_scale)?;
            }
            b"trade_seq" => {
                seen.note(scan, 3)?;
                seq = scan.u64()?;
            }
            b"trade_id" => {
                seen.note(scan, 4)?;
                id = trade_id(scan.string()?);
            }
            b"direction" => {
                seen.note(scan, 5)?;
                side = aggressor(scan.string()?);
            }
            _ => scan.skip_value()?,
        }
    }
    if !seen.all(5) || qty < 0 {
        return Err(scan.wrong(TRADE));
    }
    Ok(TradeRow {
        price,
        qty,
        id,
        aggressor: side,
        seq,
        exch_ns: Nanos::from_millis(time),
    })
}

/// `direction` is the taker's side.
#[inline]
pub(super) fn aggressor(text: &[u8]) -> Aggressor {
    match text {
        b"buy" => Aggressor::Buy,
        b"sell" => Aggressor::Sell,
        _ => Aggressor::Unknown,
    }
}

/// A trade id as 128 bits: the number of a decimal ("48079269", trades in Bitcoin), and of any other
/// text its last 16 octets ("ETH-34066694", "USDC-1048193274"), which hold the whole of every id seen.
#[inline]
pub fn trade_id(text: &[u8]) -> u128 {
    decimal(text).unwrap_or_else(|| {
        let shift = |id: u128, byte: &u8| id << 8 | u128::from(*byte);
        text.iter().fold(0, shift)
    })
}

fn decimal(text: &[u8]) -> Option<u128> {
    // 38 digits always fit.
    if text.is_empty() || text.len() > 38 {
        return None;
    }
    text.iter().try_fold(0u128, |value, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit <= 9).then(|| value * 10 + u128::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::ScanErrorKind;

    #[test]
    fn trade_ids_keep_their_bits() {
        assert_eq!(trade_id(b"48079269"), 48_079_269);
        assert_eq!(trade_id(&[b'9'; 38]), 10u128.pow(38) - 1);
        assert_eq!(trade_id(b"ETH-1"), 0x0045_5448_2d31);
        assert_eq!(trade_id(b""), 0);
        assert_ne!(trade_id(b"ETH-34066694"), trade_id(b"BTC-34066694"));
    }

    #[test]
    fn bare_numbers_are_read_exactly() {
        let table = [
            ("203", 2, Ok(20_300)),
            ("203.30", 1, Ok(2_033)),
            ("-0.5", 1, Ok(-5)),
            ("2.11e-5", 7, Ok(211)),
            ("5E3", 0, Ok(5_000)),
            ("1.25e1", 1, Ok(125)),
            ("0", 0, Ok(0)),
            ("-0", 0, Ok(0)),
            ("9223372036854775807", 0, Ok(i64::MAX)),
            ("0.1", 0, Err(ScanErrorKind::ExcessDigits)),
            ("2.11e-5", 6, Err(ScanErrorKind::ExcessDigits)),
            ("9223372036854775808", 0, Err(ScanErrorKind::Overflow)),
            ("-9223372036854775808", 0, Err(ScanErrorKind::Overflow)),
            ("1e300", 0, Err(ScanErrorKind::Overflow)),
        ];
        for (text, scale, want) in table {
            let mut scan = Scan::new(text.as_bytes());
            let got = scan.number(Scale::of(scale));
            assert_eq!(got.map_err(|error| error.kind), want, "{text}");
            assert!(want.is_err() || scan.finish().is_ok(), "{text}");
        }
        for text in [
            "", "-", "01", "1.", ".5", "1e", "+1", "\"1\"", "null", "--1",
        ] {
            let mut scan = Scan::new(text.as_bytes());
            let read = scan.number(Scale::of(2));
            assert!(read.and_then(|_| scan.finish()).is_err(), "{text}");
        }
    }

    #[test]
    fn an_empty_side_of_the_best_prices_has_no_level() {
        let read = |bid: &str, amount: &str| {
            let text = format!(
                r#"{{"params":{{"data":{{"timestamp":1,"best_bid_price":{bid},"best_bid_amount":{amount},"best_ask_price":2.5,"best_ask_amount":10}}}}}}"#
            );
            let mut levels = Levels::default();
            let read = quote(text.as_bytes(), Scale::of(1), Scale::of(0), &mut levels);
            assert!(read.is_ok(), "{text}");
            assert_eq!(levels.asks, [Level { price: 25, qty: 10 }]);
            levels.bids.len()
        };
        assert_eq!((read("null", "null"), read("0.0", "0.0")), (0, 0));
        assert_eq!(read("2.0", "1"), 1);
    }
}

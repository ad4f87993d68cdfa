//! Scanners of the hot messages: books of every depth, and trades.
//!
//! One pass, keys in any order, straight to integers at the stream's scales. A wanted key that comes
//! twice makes a message malformed: which of the two counts would depend on the reader. The twin of
//! each function in [`tape`](super::tape) reads the same with simd-json and gives the same.

use tickwire_orderbook::Scale;

use crate::event::Aggressor;
use crate::scan::{self, Cursor, Filled, Looks, Message, Once, Scan, ScanError};
use crate::stream::Levels;
use crate::swar;
use crate::time::Nanos;

/// Whether a message is the whole or a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The whole.
    Snapshot,
    /// What has changed.
    Delta,
}

impl Kind {
    /// From the value of `type`.
    #[inline]
    pub fn of(text: &[u8]) -> Option<Kind> {
        match text {
            b"snapshot" => Some(Kind::Snapshot),
            b"delta" => Some(Kind::Delta),
            _ => None,
        }
    }
}

/// A book message; its levels are beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BookMessage {
    /// Whole book or change.
    pub kind: Kind,
    /// `u`, the number of the update in this topic.
    pub seq: u64,
    /// `seq`, the cross sequence of the matching engine: it grows, and is comparable between depths;
    /// 0 where the message has none.
    pub cross: u64,
    /// `cts`, the matching engine's time, or `ts`, the gateway's, where that is absent.
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
    /// The cross sequence of the matching engine, 0 where the message has none; several trades may
    /// share one.
    pub seq: u64,
    /// Time of the match.
    pub exch_ns: Nanos,
}

pub(super) const KIND: &str = "snapshot or delta";
pub(super) const BOOK: &str = "a book with type, data, b, a and u";
pub(super) const TRADES: &str = "trades in data";
pub(super) const TRADE: &str = "a trade with T, p, v, S and i";

/// Reads an `orderbook.*` message; `levels` is cleared first.
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
        let is_delta = told.kind == Kind::Delta;
        let head = &mut message.looks.head;
        head.learn_head(payload, br#""b":"#, &[br#""ts":"#], is_delta);
    }
    Ok(told)
}

/// What stands before the bids of a book: what it is, and when it was sent.
#[inline(always)]
fn usual_head<'a, C: Cursor<'a>>(scan: &mut C) -> Option<(Kind, u64)> {
    scan.usual(br#"{"topic":"#).then_some(())?;
    scan.long_string().ok()?;
    // The order differs between products.
    let (kind, ts);
    if scan.usual(br#","type":"delta","ts":"#) {
        (kind, ts) = (Kind::Delta, scan.u64().ok()?);
    } else if scan.usual(br#","type":"snapshot","ts":"#) {
        (kind, ts) = (Kind::Snapshot, scan.u64().ok()?);
    } else {
        scan.usual(br#","ts":"#).then_some(())?;
        ts = scan.u64().ok()?;
        kind = if scan.usual(br#","type":"delta""#) {
            Kind::Delta
        } else {
            let is_whole = scan.usual(br#","type":"snapshot""#);
            is_whole.then_some(Kind::Snapshot)?
        };
    }
    scan.usual(br#","data":{"s":"#).then_some(())?;
    scan.string().ok()?;
    scan.usual(br#","b":"#).then_some((kind, ts))
}

/// A book as the venue usually writes it.
impl Book<'_> {
    #[inline(always)]
    fn usual<'a, C: Cursor<'a>>(&mut self, mut scan: C) -> Option<BookMessage> {
        let scan = &mut scan;
        let head = scan.head(&mut self.looks.head);
        let is_new = head.is_none();
        let (kind, ts) = match head {
            Some(Filled { numbers, flag }) => {
                let kind = if flag { Kind::Delta } else { Kind::Snapshot };
                (kind, numbers[0])
            }
            None => usual_head(scan)?,
        };
        let Levels { bids, asks } = &mut *self.levels;
        scan.levels(self.scales, &mut self.looks.levels, bids)
            .ok()?;
        scan.usual(br#","a":"#).then_some(())?;
        scan.levels(self.scales, &mut self.looks.levels, asks)
            .ok()?;
        scan.usual(br#","u":"#).then_some(())?;
        let seq = scan.u64().ok()?;
        scan.usual(br#","seq":"#).then_some(())?;
        let cross = scan.u64().ok()?;
        let mut made_ms = ts;
        if scan.usual(br#"},"cts":"#) {
            made_ms = scan.u64().ok()?;
            scan.usual(b"}").then_some(())?;
        } else {
            scan.usual(b"}}").then_some(())?;
        }
        scan.finish().ok()?;
        self.is_new = is_new;
        Some(BookMessage {
            kind,
            seq,
            cross,
            exch_ns: Nanos::from_millis(i64::try_from(made_ms).ok()?),
        })
    }
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
        let (mut kind, mut ts, mut cts, mut numbers) = (None, None, None, None);
        let mut seen = Once::default();
        scan.enter_object()?;
        let mut first = true;
        while let Some(key) = scan.next_key(&mut first)? {
            match key {
                b"type" => {
                    seen.note(&scan, 0)?;
                    let text = scan.string()?;
                    kind = Some(Kind::of(text).ok_or_else(|| scan.wrong(KIND))?);
                }
                b"ts" => {
                    seen.note(&scan, 1)?;
                    ts = Some(scan.i64()?);
                }
                b"cts" => {
                    seen.note(&scan, 2)?;
                    cts = Some(scan.i64()?);
                }
                b"data" => {
                    seen.note(&scan, 3)?;
                    numbers = Some(book_data(&mut scan, self.scales, self.looks, self.levels)?);
                }
                _ => scan.skip_value()?,
            }
        }
        scan.finish()?;
        match (kind, numbers) {
            (Some(kind), Some((seq, cross))) => Ok(BookMessage {
                kind,
                seq,
                cross,
                exch_ns: Nanos::from_millis(cts.or(ts).unwrap_or(0)),
            }),
            _ => Err(scan.wrong(BOOK)),
        }
    }
}

/// `{"s":"BTCUSDT","b":[["p","q"],..],"a":[..],"u":1,"seq":2}`; a side without changes is there, and empty: where one is
/// not, its changes are lost. (websocket/public/orderbook, 2026-07-24; so in every recorded frame.)
/// Gives `u` and `seq`.
#[inline(always)]
fn book_data<'a, C: Cursor<'a>>(
    scan: &mut C,
    scales: (Scale, Scale),
    looks: &mut Looks,
    levels: &mut Levels,
) -> Result<(u64, u64), C::Error> {
    let (mut seq, mut cross) = (None, 0);
    let mut seen = Once::default();
    scan.enter_object()?;
    let mut first = true;
    while let Some(key) = scan.next_key(&mut first)? {
        match key {
            b"b" => {
                seen.note(scan, 0)?;
                scan.levels(scales, &mut looks.levels, &mut levels.bids)?;
            }
            b"a" => {
                seen.note(scan, 1)?;
                scan.levels(scales, &mut looks.levels, &mut levels.asks)?;
            }
            b"u" => {
                seen.note(scan, 2)?;
                seq = Some(scan.u64()?);
            }
            b"seq" => {
                seen.note(scan, 3)?;
                cross = scan.u64()?;
            }
            _ => scan.skip_value()?,
        }
    }
    let seq = seq.filter(|_| seen.all(3));
    let seq = seq.ok_or_else(|| scan.wrong(BOOK))?;
    Ok((seq, cross))
}

/// Reads a `publicTrade.*` message; `rows` is cleared first and then holds its trades as sent.
pub(super) fn trades(
    payload: &[u8],
    price_scale: Scale,
    qty_scale: Scale,
    looks: &mut Looks,
    rows: &mut Vec<TradeRow>,
) -> Result<(), ScanError> {
    let mut message = Trades {
        scales: (price_scale, qty_scale),
        looks,
        rows,
        new: New::default(),
    };
    scan::read(Scan::new(payload), &mut message)?;
    let Trades { looks, new, .. } = message;
    if new.head {
        let head = &mut looks.head;
        head.learn_head(payload, br#""data":["#, &[br#""ts":"#], false);
    }
    if new.part
        && let Some(at) = payload.windows(TIME.len()).position(|text| text == TIME)
    {
        let (part, keys) = (payload.get(at..).unwrap_or_default(), [&TIME[1..]]);
        looks.part.learn_head(part, br#""S":""#, &keys, false);
    }
    Ok(())
}

/// How a trade begins.
const TIME: &[u8; 5] = br#"{"T":"#;

/// What looked new of a message that was written as usual.
#[derive(Clone, Copy, Debug, Default)]
struct New {
    /// Its beginning.
    head: bool,
    /// That of a trade.
    part: bool,
}

struct Trades<'r> {
    /// Of prices, of quantities.
    scales: (Scale, Scale),
    looks: &'r mut Looks,
    rows: &'r mut Vec<TradeRow>,
    new: New,
}

impl<'a> Message<'a> for Trades<'_> {
    type Told = ();

    #[inline(always)]
    fn read<C: Cursor<'a>>(&mut self, mut scan: C) -> Result<(), C::Error> {
        self.rows.clear();
        self.new = New::default();
        if self.usual(scan).is_some() {
            return Ok(());
        }
        self.rows.clear();
        self.new = New::default();
        let mut seen = Once::default();
        scan.enter_object()?;
        let mut first = true;
        while let Some(key) = scan.next_key(&mut first)? {
            if key == b"data" {
                seen.note(&scan, 0)?;
                scan.enter_array()?;
                let mut first = true;
                while scan.next_element(&mut first)? {
                    self.rows.push(trade(&mut scan, self.scales)?);
                }
            } else {
                scan.skip_value()?;
            }
        }
        scan.finish()?;
        if seen.first(0) {
            return Err(scan.wrong(TRADES));
        }
        Ok(())
    }
}

/// Trades as the venue usually writes them.
impl Trades<'_> {
    #[inline(always)]
    fn usual<'a, C: Cursor<'a>>(&mut self, mut scan: C) -> Option<()> {
        let scan = &mut scan;
        if scan.head(&mut self.looks.head).is_none() {
            self.new.head = true;
            scan.usual(br#"{"topic":"#).then_some(())?;
            scan.long_string().ok()?;
            // The order differs between products.
            if scan.usual(br#","type":"snapshot","ts":"#) {
                scan.u64().ok()?;
            } else {
                scan.usual(br#","ts":"#).then_some(())?;
                scan.u64().ok()?;
                scan.usual(br#","type":"snapshot""#).then_some(())?;
            }
            scan.usual(br#","data":["#).then_some(())?;
        }
        loop {
            let row = self.usual_trade(scan)?;
            self.rows.push(row);
            if !scan.usual(b",") {
                break;
            }
        }
        scan.usual(b"]}").then_some(())?;
        scan.finish().ok()
    }

    #[inline(always)]
    fn usual_trade<'a, C: Cursor<'a>>(&mut self, scan: &mut C) -> Option<TradeRow> {
        let time = if let Some(Filled { numbers, .. }) = scan.head(&mut self.looks.part) {
            numbers[0]
        } else {
            self.new.part = true;
            scan.usual(TIME).then_some(())?;
            let time = scan.u64().ok()?;
            scan.usual(br#","s":"#).then_some(())?;
            scan.string().ok()?;
            scan.usual(br#","S":""#).then_some(())?;
            time
        };
        let sells = scan.either(br#"Buy","v":"#, br#"Sell","v":"#)?;
        let qty = scan.decimal(self.scales.1).ok()?;
        scan.usual(br#","p":"#).then_some(())?;
        let price = scan.decimal(self.scales.0).ok()?;
        if scan.usual(br#","L":"#) {
            scan.string().ok()?;
        }
        scan.usual(br#","i":"#).then_some(())?;
        let id = match scan.uuid() {
            Some(id) => id,
            None => trade_id(scan.long_string().ok()?),
        };
        let mut seq = 0;
        if scan.usual(br#","BT":false,"RPI":false,"seq":"#) {
            seq = scan.u64().ok()?;
        } else {
            scan.usual(br#","BT":false"#).then_some(())?;
            if scan.usual(br#","RPI":"#) {
                scan.bool().ok()?;
            }
            if scan.usual(br#","seq":"#) {
                seq = scan.u64().ok()?;
            }
        }
        scan.usual(b"}").then_some(TradeRow {
            price,
            qty,
            id,
            aggressor: if sells {
                Aggressor::Sell
            } else {
                Aggressor::Buy
            },
            seq,
            exch_ns: Nanos::from_millis(i64::try_from(time).ok()?),
        })
    }
}

#[inline(always)]
fn trade<'a, C: Cursor<'a>>(
    scan: &mut C,
    (price_scale, qty_scale): (Scale, Scale),
) -> Result<TradeRow, C::Error> {
    let (mut time, mut price, mut qty, mut id, mut side) = (None, None, None, None, None);
    let mut seq = 0;
    let mut seen = Once::default();
    scan.enter_object()?;
    let mut first = true;
    while let Some(key) = scan.next_key(&mut first)? {
        match key {
            b"T" => {
                seen.note(scan, 0)?;
                time = Some(scan.i64()?);
            }
            b"p" => {
                seen.note(scan, 1)?;
                price = Some(scan.decimal(price_scale)?);
            }
            b"v" => {
                seen.note(scan, 2)?;
                qty = Some(scan.decimal(qty_scale)?);
            }
            b"S" => {
                seen.note(scan, 3)?;
                side = Some(aggressor(scan.string()?));
            }
            b"i" => {
                seen.note(scan, 4)?;
                id = Some(trade_id(scan.string()?));
            }
            b"seq" => {
                seen.note(scan, 5)?;
                seq = scan.u64()?;
            }
            _ => scan.skip_value()?,
        }
    }
    match (time, price, qty, id, side) {
        (Some(time), Some(price), Some(qty @ 0..), Some(id), Some(aggressor)) => Ok(TradeRow {
            price,
            qty,
            id,
            aggressor,
            seq,
            exch_ns: Nanos::from_millis(time),
        }),
        _ => Err(scan.wrong(TRADE)),
    }
}

/// `S` is the taker's side (websocket/public/trade, 2026-07-24).
#[inline]
pub(super) fn aggressor(text: &[u8]) -> Aggressor {
    match text {
        b"Buy" => Aggressor::Buy,
        b"Sell" => Aggressor::Sell,
        _ => Aggressor::Unknown,
    }
}

/// A trade id as 128 bits: those of a UUID (linear), the number of a decimal (spot), and of any
/// other text its FNV-1a hash, which is not unique by promise.
#[inline]
pub fn trade_id(text: &[u8]) -> u128 {
    text.try_into()
        .ok()
        .and_then(swar::uuid)
        .or_else(|| decimal(text))
        .unwrap_or_else(|| fnv1a(text))
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

fn fnv1a(text: &[u8]) -> u128 {
    text.iter()
        .fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, |hash, byte| {
            (hash ^ u128::from(*byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trade_ids_keep_their_bits() {
        assert_eq!(
            trade_id(b"20f43950-d8dd-5b31-9112-a178eb6023af"),
            0x20f4_3950_d8dd_5b31_9112_a178_eb60_23af
        );
        assert_eq!(trade_id(b"2290000001189048101"), 2_290_000_001_189_048_101);
        assert_eq!(trade_id(&[b'9'; 38]), 10u128.pow(38) - 1);
        // FNV-1a 128 of "a", from the published test vectors.
        assert_eq!(trade_id(b"a"), 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964);
        assert_ne!(trade_id(b"20f43950-d8dd-5b31-9112_a178eb6023af"), 0);
    }
}

//! The reading of a frame, by whichever cursor.

use tickwire_orderbook::Side;

use super::{
    Best, Body, Fields, Frame, Item, Kind, LEVEL, Number, Row, Run, SIDE, Span, hash_of, side,
    time, trade_id,
};
use crate::event::Aggressor;
use crate::scan::{self, Cursor, Message, Once, Scan, ScanError, ScanErrorKind};
use crate::time::Nanos;

/// Reads a frame; `frame` is cleared first. Its spans are of `payload`.
pub fn frame(payload: &[u8], frame: &mut Frame) -> Result<(), ScanError> {
    scan::read(Scan::new(payload), frame)
}

impl<'a> Message<'a> for Frame {
    type Told = ();

    #[inline(always)]
    fn read<C: Cursor<'a>>(&mut self, mut scan: C) -> Result<(), C::Error> {
        self.clear();
        let is_list = scan.peek()? == b'[';
        if is_list {
            scan.enter_array()?;
        }
        let mut first = true;
        while !is_list || scan.next_element(&mut first)? {
            object(&mut scan, self)?;
            if !is_list {
                break;
            }
        }
        scan.finish()
    }
}

#[inline(always)]
fn object<'a, C: Cursor<'a>>(scan: &mut C, frame: &mut Frame) -> Result<(), C::Error> {
    if usual_changes(scan, frame).is_some() || usual_trade(scan, frame).is_some() {
        return Ok(());
    }
    let first_item = frame.items.len();
    let mut fields = Fields::default();
    let mut seen = Once::default();
    let mut first = true;
    scan.enter_object()?;
    while let Some(key) = scan.next_key(&mut first)? {
        match key {
            b"event_type" => {
                seen.note(scan, 0)?;
                fields.kind = Some(Kind::of(scan.string()?));
            }
            b"timestamp" | b"time" => {
                seen.note(scan, 1)?;
                (fields.exch_ns, fields.facts.stamp) = timestamp(scan)?;
            }
            b"bids" | b"buys" => {
                seen.note(scan, 2)?;
                fields.bids = Some(rows(scan, &mut frame.rows)?);
            }
            b"asks" | b"sells" => {
                seen.note(scan, 3)?;
                fields.asks = Some(rows(scan, &mut frame.rows)?);
            }
            b"price_changes" | b"changes" => {
                seen.note(scan, 4)?;
                fields.has_changes = true;
                changes(scan, &mut frame.items)?;
            }
            b"transaction_hash" => {
                seen.note(scan, 5)?;
                if !scan.null()? {
                    fields.transaction = hash_of(scan.long_string()?);
                }
            }
            b"new_tick_size" => {
                seen.note(scan, 6)?;
                fields.new_tick = optional_number(scan)?;
            }
            b"tick_size" => {
                seen.note(scan, 7)?;
                fields.facts.tick = optional_text(scan)?;
            }
            b"hash" => {
                seen.note(scan, 8)?;
                fields.facts.hash = optional_text(scan)?;
            }
            b"market" => {
                seen.note(scan, 9)?;
                fields.facts.market = optional_text(scan)?;
            }
            b"last_trade_price" => {
                seen.note(scan, 10)?;
                fields.facts.last = optional_text(scan)?;
            }
            _ => shared(scan, key, &mut seen, &mut fields)?,
        }
    }
    let finished = fields.finish(first_item, frame);
    finished.map_err(|what| scan.wrong(what))
}

/// An object of changes as the venue usually writes it; of any other nothing is read.
#[inline(always)]
fn usual_changes<'a, C: Cursor<'a>>(from: &mut C, frame: &mut Frame) -> Option<()> {
    let first = frame.items.len();
    let mut scan = *from;
    let time = usual_object(&mut scan, &mut frame.items);
    let Some(exch_ns) = time else {
        frame.items.truncate(first);
        return None;
    };
    for item in frame.items.iter_mut().skip(first) {
        item.exch_ns = exch_ns;
    }
    *from = scan;
    Some(())
}

/// Adds the changes, and gives their time.
#[inline(always)]
fn usual_object<'a, C: Cursor<'a>>(scan: &mut C, items: &mut Vec<Item>) -> Option<Nanos> {
    let named = scan.usual(br#"{"event_type":"price_change","market":"#);
    (named || scan.usual(br#"{"market":"#)).then_some(())?;
    usual_string::<66, C>(scan)?;
    scan.usual(br#","price_changes":["#).then_some(())?;
    loop {
        items.push(usual_change(scan)?);
        if !scan.usual(b",") {
            break;
        }
    }
    scan.usual(br#"],"timestamp":"#).then_some(())?;
    // Fifteen digits at most.
    let exch_ns = Nanos::from_millis(scan.quoted_u64()? as i64);
    let ends = (!named && scan.usual(br#","event_type":"price_change"}"#)) || scan.usual(b"}");
    ends.then_some(exch_ns)
}

/// One of them, without its time.
#[inline(always)]
fn usual_change<'a, C: Cursor<'a>>(scan: &mut C) -> Option<Item> {
    scan.usual(br#"{"asset_id":"#).then_some(())?;
    let asset = usual_asset(scan)?;
    scan.usual(br#","price":"#).then_some(())?;
    let [price, size] = scan.exact_pair(br#"","size":""#)?.map(Number::of);
    let sells = scan.either(br#","side":"BUY","#, br#","side":"SELL","#)?;
    if scan.usual(br#""hash":"#) {
        usual_string::<40, C>(scan)?;
        scan.usual(b",").then_some(())?;
    }
    scan.usual(br#""best_bid":"#).then_some(())?;
    let [bid, ask] = scan.exact_pair(br#"","best_ask":""#)?.map(Number::of);
    scan.usual(b"}").then_some(Item {
        asset,
        exch_ns: Nanos::ZERO,
        body: Body::Change {
            side: if sells { Side::Ask } else { Side::Bid },
            row: Row { price, size },
            best: Some(Best { bid, ask }),
        },
    })
}

/// A trade as the venue usually writes it; of any other object nothing is read.
#[inline(always)]
fn usual_trade<'a, C: Cursor<'a>>(from: &mut C, frame: &mut Frame) -> Option<()> {
    let mut scan = *from;
    let (asset, row, sells);
    // The order differs between the documentation (market-data/websocket/market-channel, 2026-11) and recordings.
    if scan.usual(br#"{"event_type":"last_trade_price","market":"#) {
        usual_string::<66, C>(&mut scan)?;
        scan.usual(br#","asset_id":"#).then_some(())?;
        asset = usual_asset(&mut scan)?;
        scan.usual(br#","price":"#).then_some(())?;
        let [price, size] = scan.exact_pair(br#"","size":""#)?.map(Number::of);
        row = Row { price, size };
        sells = scan.either(br#","side":"BUY","#, br#","side":"SELL","#)?;
        scan.usual(br#""timestamp":"#).then_some(())?;
    } else {
        scan.usual(br#"{"asset_id":"#).then_some(())?;
        asset = usual_asset(&mut scan)?;
        scan.usual(br#","event_type":"last_trade_price","fee_rate_bps":"#)
            .then_some(())?;
        scan.string().ok()?;
        scan.usual(br#","market":"#).then_some(())?;
        usual_string::<66, C>(&mut scan)?;
        scan.usual(br#","price":"#).then_some(())?;
        let price = Number::of(scan.exact()?);
        sells = scan.either(br#","side":"BUY","#, br#","side":"SELL","#)?;
        scan.usual(br#""size":"#).then_some(())?;
        let size = Number::of(scan.exact()?);
        row = Row { price, size };
        scan.usual(br#","timestamp":"#).then_some(())?;
    }
    // Fifteen digits at most.
    let exch_ns = Nanos::from_millis(scan.quoted_u64()? as i64);
    let mut transaction = 0;
    if scan.usual(br#","transaction_hash":"#) {
        transaction = hash_of(usual_string::<66, C>(&mut scan)?);
    }
    scan.usual(b"}").then_some(())?;
    frame.items.push(Item {
        asset,
        exch_ns,
        body: Body::Trade {
            row,
            aggressor: if sells {
                Aggressor::Sell
            } else {
                Aggressor::Buy
            },
            id: trade_id(transaction, row, exch_ns),
        },
    });
    *from = scan;
    Some(())
}

/// Three in four tokens have 77 digits.
#[inline(always)]
fn usual_asset<'a, C: Cursor<'a>>(scan: &mut C) -> Option<Span> {
    let len = usual_string::<77, C>(scan)?.len();
    Some(Span::before(scan.position() - 1, len))
}

/// A string that most often has this length.
#[inline(always)]
fn usual_string<'a, const N: usize, C: Cursor<'a>>(scan: &mut C) -> Option<&'a [u8]> {
    match scan.string_of::<N>() {
        Some(text) => Some(text),
        None => scan.long_string().ok(),
    }
}

/// `[{"asset_id":"1","price":"0.5",..},..]`
#[inline(always)]
fn changes<'a, C: Cursor<'a>>(scan: &mut C, items: &mut Vec<Item>) -> Result<(), C::Error> {
    scan.enter_array()?;
    let mut first = true;
    while scan.next_element(&mut first)? {
        let mut fields = Fields::default();
        let mut seen = Once::default();
        scan.enter_object()?;
        let mut first = true;
        while let Some(key) = scan.next_key(&mut first)? {
            shared(scan, key, &mut seen, &mut fields)?;
        }
        items.push(fields.change().map_err(|what| scan.wrong(what))?);
    }
    Ok(())
}

// What is rarely called takes and gives the place by value: one whose address is known elsewhere would be
// kept in memory by who calls it.

const ASSET_BIT: u32 = 16;
const PRICE_BIT: u32 = 17;
const SIZE_BIT: u32 = 18;
const SIDE_BIT: u32 = 19;
const BEST_BID_BIT: u32 = 20;
const BEST_ASK_BIT: u32 = 21;

/// The keys that an object and an entry of its list of changes share.
#[inline(always)]
fn shared<'a, C: Cursor<'a>>(
    scan: &mut C,
    key: &[u8],
    seen: &mut Once,
    fields: &mut Fields,
) -> Result<(), C::Error> {
    match key {
        b"asset_id" => {
            seen.note(scan, ASSET_BIT)?;
            fields.asset = Some(asset(scan)?);
        }
        b"price" => {
            seen.note(scan, PRICE_BIT)?;
            fields.price = optional_number(scan)?;
        }
        b"size" => {
            seen.note(scan, SIZE_BIT)?;
            fields.size = optional_number(scan)?;
        }
        b"side" => {
            seen.note(scan, SIDE_BIT)?;
            fields.side = Some(side(scan.string()?).ok_or_else(|| scan.wrong(SIDE))?);
        }
        b"best_bid" => {
            seen.note(scan, BEST_BID_BIT)?;
            fields.best_bid = optional_number(scan)?;
        }
        b"best_ask" => {
            seen.note(scan, BEST_ASK_BIT)?;
            fields.best_ask = optional_number(scan)?;
        }
        _ => scan.skip_value()?,
    }
    Ok(())
}

#[inline(always)]
fn asset<'a, C: Cursor<'a>>(scan: &mut C) -> Result<Span, C::Error> {
    let len = scan.long_string()?.len();
    Ok(Span::before(scan.position() - 1, len))
}

/// `[{"price":".48","size":"30"},..]`
#[inline(always)]
fn rows<'a, C: Cursor<'a>>(scan: &mut C, rows: &mut Vec<Row>) -> Result<Run, C::Error> {
    let start = rows.len();
    scan.enter_array()?;
    let mut first = true;
    while scan.next_element(&mut first)? {
        let (mut price, mut size) = (None, None);
        let mut seen = Once::default();
        let mut first = true;
        if scan.usual(br#"{"price":"#) {
            first = false;
            seen.note(scan, 0)?;
            price = Some(number(scan)?);
            if scan.usual(br#","size":"#) {
                seen.note(scan, 1)?;
                size = Some(number(scan)?);
            }
        } else {
            scan.enter_object()?;
        }
        while let Some(key) = scan.next_key(&mut first)? {
            match key {
                b"price" => {
                    seen.note(scan, 0)?;
                    price = Some(number(scan)?);
                }
                b"size" => {
                    seen.note(scan, 1)?;
                    size = Some(number(scan)?);
                }
                _ => scan.skip_value()?,
            }
        }
        let (Some(price), Some(size)) = (price, size) else {
            return Err(scan.wrong(LEVEL));
        };
        rows.push(Row { price, size });
    }
    Ok(Run::new(start, rows.len()))
}

#[inline(always)]
fn number<'a, C: Cursor<'a>>(scan: &mut C) -> Result<Number, C::Error> {
    match scan.exact() {
        Some(exact) => Ok(Number::of(exact)),
        None => {
            let (number, behind) = any_number(*scan)?;
            *scan = behind;
            Ok(number)
        }
    }
}

/// A quoted decimal, or a bare integer. Bare fractions are left to simd-json: no message of today has
/// one.
#[inline(never)]
fn any_number<'a, C: Cursor<'a>>(mut scan: C) -> Result<(Number, C), C::Error> {
    let is_bare = scan.peek()? != b'"';
    let text = scan.decimal_text()?;
    if is_bare && text.iter().any(|byte| matches!(byte, b'.' | b'e' | b'E')) {
        return Err(scan.fail(ScanErrorKind::Escape));
    }
    let number = Number::parse(text).map_err(|kind| scan.fail(kind))?;
    Ok((number, scan))
}

/// A number that may be `null` or empty.
#[inline(always)]
fn optional_number<'a, C: Cursor<'a>>(scan: &mut C) -> Result<Option<Number>, C::Error> {
    match scan.exact() {
        Some(exact) => Ok(Some(Number::of(exact))),
        None => {
            let (number, behind) = any_optional_number(*scan)?;
            *scan = behind;
            Ok(number)
        }
    }
}

#[inline(never)]
fn any_optional_number<'a, C: Cursor<'a>>(mut scan: C) -> Result<(Option<Number>, C), C::Error> {
    if scan.null()? {
        return Ok((None, scan));
    }
    let mut ahead = scan;
    if ahead.peek()? == b'"' && ahead.string()?.is_empty() {
        return Ok((None, ahead));
    }
    any_number(scan).map(|(number, behind)| (Some(number), behind))
}

/// A text, or the place of something else.
#[inline(always)]
fn optional_text<'a, C: Cursor<'a>>(scan: &mut C) -> Result<Span, C::Error> {
    if scan.peek()? != b'"' {
        scan.skip_value()?;
        return Ok(Span::default());
    }
    let len = scan.long_string()?.len();
    Ok(Span::before(scan.position() - 1, len))
}

#[inline(always)]
fn timestamp<'a, C: Cursor<'a>>(scan: &mut C) -> Result<(Nanos, Span), C::Error> {
    let start = scan.position();
    match scan.quoted_u64() {
        // Fifteen digits at most.
        Some(ms) => {
            let end = scan.position() - 1;
            let span = Span::before(end, end - start - 1);
            Ok((Nanos::from_millis(ms as i64), span))
        }
        None => {
            let (time, behind) = any_timestamp(*scan)?;
            *scan = behind;
            Ok(time)
        }
    }
}

#[inline(never)]
fn any_timestamp<'a, C: Cursor<'a>>(mut scan: C) -> Result<((Nanos, Span), C), C::Error> {
    if scan.null()? {
        return Ok(((Nanos::ZERO, Span::default()), scan));
    }
    let is_bare = scan.peek()? != b'"';
    let text = scan.decimal_text()?;
    if !is_bare {
        let span = Span::before(scan.position() - 1, text.len());
        return Ok(((time(text), span), scan));
    }
    if text.iter().any(|byte| matches!(byte, b'.' | b'e' | b'E')) {
        return Err(scan.fail(ScanErrorKind::Escape));
    }
    Ok(((time(text), Span::default()), scan))
}

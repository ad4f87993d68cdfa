//! Which streams a message is for, and which reader it takes.

use super::parse::{self, Kind, TradeRow};
use super::sync::{Entry, Feed};
use super::tape::{self, Reader};
use crate::market_data::Context;
use crate::scan::{Quick, Scan, ScanError, ScanErrorKind};
use crate::stream::Levels;
use crate::swar::Common;
use crate::time::Nanos;
use crate::wide::Kline;

/// The topic of a message, wherever among its keys it stands (the order differs between products:
/// websocket/public/orderbook, 2026-07-24); `None` for answers, which have none. All known messages
/// have it as the first or second key; what stands before it is stepped over.
#[inline]
pub fn topic(payload: &[u8]) -> Result<Option<&[u8]>, ScanError> {
    let mut quick = Quick::<Common>::new(payload);
    if quick.pass(b"{\"topic\":\"").is_ok()
        && let Ok(topic) = quick.rest_of_string()
    {
        return Ok(Some(topic));
    }
    any_topic(payload)
}

fn any_topic(payload: &[u8]) -> Result<Option<&[u8]>, ScanError> {
    let mut scan = Scan::new(payload);
    scan.enter_object()?;
    let mut first = true;
    while let Some(key) = scan.next_key(&mut first)? {
        if key == b"topic" {
            return scan.string().map(Some);
        }
        scan.skip_value()?;
    }
    scan.finish()?;
    Ok(None)
}

/// Memory for one message, used again for the next.
#[derive(Debug)]
pub(super) struct Scratch {
    pub(super) levels: Levels,
    rows: Vec<TradeRow>,
    pub(super) candles: Vec<(Nanos, Kline)>,
    pub(super) reader: Reader,
    /// simd-json writes into what it reads; the message itself may be needed again.
    pub(super) bytes: Vec<u8>,
}

impl Scratch {
    /// Room for busy messages; it grows to the largest seen.
    pub(super) fn new() -> Scratch {
        Scratch {
            levels: Levels::new(),
            rows: Vec::with_capacity(1024),
            candles: Vec::with_capacity(4),
            reader: Reader::default(),
            bytes: Vec::with_capacity(1 << 16),
        }
    }

    pub(super) fn copy(&mut self, payload: &[u8]) {
        self.bytes.clear();
        self.bytes.extend_from_slice(payload);
    }
}

/// A message for one stream.
#[inline]
pub(super) fn handle_data(
    entry: &mut Entry,
    payload: &[u8],
    scratch: &mut Scratch,
    context: &mut Context<'_>,
) {
    let (price, qty) = (entry.stream.price_scale(), entry.stream.qty_scale());
    let scanned = match entry.own.feed {
        Feed::Book(_) | Feed::Top(_) => parse::book(
            payload,
            price,
            qty,
            &mut entry.stream.looks,
            &mut scratch.levels,
        )
        .map(|message| {
            entry.handle_book(&message, &scratch.levels, context);
        }),
        Feed::Trades => parse::trades(
            payload,
            price,
            qty,
            &mut entry.stream.looks,
            &mut scratch.rows,
        )
        .map(|()| {
            entry.handle_trades(&scratch.rows, context);
        }),
        Feed::Ticker { .. } | Feed::Kline(_) => {
            handle_wide(entry, payload, scratch, context);
            Ok(())
        }
    };
    match scanned {
        Ok(()) => {}
        Err(error) if error.kind.is_scale() || error.kind == ScanErrorKind::Escape => {
            handle_misfit(entry, payload, scratch, context);
        }
        Err(_) => entry.handle_malformed(context),
    }
}

/// A hot message that its scanner can't take: it has escapes, or needs another scale.
#[cold]
fn handle_misfit(
    entry: &mut Entry,
    payload: &[u8],
    scratch: &mut Scratch,
    context: &mut Context<'_>,
) {
    scratch.copy(payload);
    let Scratch {
        levels,
        rows,
        reader,
        bytes,
        ..
    } = scratch;
    let now = (entry.stream.price_scale(), entry.stream.qty_scale());
    let is_book = entry.keeper().is_some();
    let read = reader.read(bytes, |message| {
        let need = tape::scales(&message).ok()?;
        // Wider is enough for more digits; only amounts that are too large need less.
        let wider = (now.0.max(need.0), now.1.max(need.1));
        let mixed = [now, wider, (wider.0, need.1), (need.0, wider.1), need];
        mixed.into_iter().find_map(|scales| {
            if is_book {
                let book = tape::book(&message, scales.0, scales.1, levels);
                book.ok().map(|book| (scales, Some(book)))
            } else {
                let read = tape::trades(&message, scales.0, scales.1, rows);
                read.ok().map(|()| (scales, None))
            }
        })
    });
    match read.flatten() {
        None => entry.handle_malformed(context),
        Some((scales, Some(message))) if scales != now => {
            let is_whole = message.kind == Kind::Snapshot;
            if entry.handle_rescale(scales, is_whole, context) {
                entry.handle_book(&message, levels, context);
            }
        }
        Some((_, Some(message))) => entry.handle_book(&message, levels, context),
        Some((scales, None)) => {
            if scales != now {
                // Each trade stands for itself: nothing is lost by another scale.
                entry.set_scales(scales, context);
            }
            entry.handle_trades(rows, context);
        }
    }
}

/// A ticker or a candle.
fn handle_wide(
    entry: &mut Entry,
    payload: &[u8],
    scratch: &mut Scratch,
    context: &mut Context<'_>,
) {
    scratch.copy(payload);
    let Scratch {
        candles,
        reader,
        bytes,
        ..
    } = scratch;
    match &entry.own.feed {
        Feed::Ticker { state, .. } => {
            let read = reader.read(bytes, |message| tape::ticker(&message, state));
            match read {
                Some(Ok((head, next))) => entry.handle_ticker(&head, next, context),
                _ => entry.handle_malformed(context),
            }
        }
        Feed::Kline(interval) => {
            let read = reader.read(bytes, |message| tape::klines(&message, *interval, candles));
            match read {
                Some(Ok(())) => entry.handle_klines(candles, context),
                _ => entry.handle_malformed(context),
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_found_wherever_they_stand() {
        let table: [(&str, Option<&str>); 5] = [
            (r#"{"topic":"tickers.A","data":{}}"#, Some("tickers.A")),
            (
                r#"{"type":"snapshot","topic":"kline.1.A","data":[]}"#,
                Some("kline.1.A"),
            ),
            (
                r#"{"data":{"topic":"no","x":[1,{"topic":"no"}]},"topic":"yes"}"#,
                Some("yes"),
            ),
            (r#"{"success":true,"op":"subscribe"}"#, None),
            (" { } ", None),
        ];
        for (text, want) in table {
            let got = topic(text.as_bytes());
            assert_eq!(got, Ok(want.map(str::as_bytes)), "{text}");
        }
        for text in [
            "",
            "[]",
            "{",
            r#"{"a":1"#,
            r#"{"topic":1}"#,
            "{} x",
            "Failed to decode",
        ] {
            assert!(topic(text.as_bytes()).is_err(), "{text}");
        }
    }
}

//! Which streams a message is for, and which reader it takes.

use super::parse::{self, Kind, TradeRow};
use super::sync::{Entry, Feed};
use super::tape::{self, Reader, Tick};
use crate::market_data::Context;
use crate::scan::{Quick, Scan, ScanError, ScanErrorKind};
use crate::stream::Levels;
use crate::swar::Common;

/// The channel of a notification, wherever among its keys it stands; `None` for answers and for
/// heartbeats, which have none.
#[inline]
pub fn topic(payload: &[u8]) -> Result<Option<&[u8]>, ScanError> {
    let mut quick = Quick::<Common>::new(payload);
    if quick.pass(USUAL).is_ok()
        && let Ok(topic) = quick.rest_of_string()
    {
        return Ok(Some(topic));
    }
    any_topic(payload)
}

/// How notifications begin.
const USUAL: &[u8; 62] = br#"{"jsonrpc":"2.0","method":"subscription","params":{"channel":""#;

fn any_topic(payload: &[u8]) -> Result<Option<&[u8]>, ScanError> {
    let mut scan = Scan::new(payload);
    scan.enter_object()?;
    let mut first = true;
    while let Some(key) = scan.next_key(&mut first)? {
        if key != b"params" {
            scan.skip_value()?;
            continue;
        }
        scan.enter_object()?;
        let mut first = true;
        while let Some(key) = scan.next_key(&mut first)? {
            if key == b"channel" {
                return scan.string().map(Some);
            }
            scan.skip_value()?;
        }
    }
    scan.finish()?;
    Ok(None)
}

/// Memory for one message, used again for the next.
#[derive(Debug)]
pub(super) struct Scratch {
    levels: Levels,
    rows: Vec<TradeRow>,
    pub(super) reader: Reader,
}

impl Scratch {
    /// Room for busy messages; it grows to the largest seen.
    pub(super) fn new() -> Scratch {
        Scratch {
            levels: Levels::new(),
            rows: Vec::with_capacity(1024),
            reader: Reader::new(),
        }
    }

    /// What the answer to a probe is read with.
    pub(super) const fn of_probe(&mut self) -> (&mut Reader, &mut Levels) {
        (&mut self.reader, &mut self.levels)
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
    let levels = &mut scratch.levels;
    let scanned = match entry.own.feed {
        Feed::Book(_) | Feed::Grouped(_) => {
            parse::book(payload, price, qty, &mut entry.stream.looks, levels).map(|message| {
                entry.handle_book(&message, levels, context);
            })
        }
        Feed::Top(_) => parse::quote(payload, price, qty, levels).map(|message| {
            entry.handle_book(&message, levels, context);
        }),
        Feed::Trades => parse::trades(payload, price, qty, &mut scratch.rows).map(|()| {
            entry.handle_trades(&scratch.rows, context);
        }),
        Feed::Ticker { .. } | Feed::Index { .. } | Feed::Kline { .. } => {
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
    let Scratch {
        levels,
        rows,
        reader,
    } = scratch;
    let now = (entry.stream.price_scale(), entry.stream.qty_scale());
    let feed = &entry.own.feed;
    let read = reader.read(payload, |message| {
        let need = tape::scales(&message).ok()?;
        // Wider is enough for more digits; only amounts that are too large need less.
        let wider = (now.0.max(need.0), now.1.max(need.1));
        let mixed = [now, wider, (wider.0, need.1), (need.0, wider.1), need];
        mixed.into_iter().find_map(|scales| {
            let read = match feed {
                Feed::Book(_) | Feed::Grouped(_) => {
                    tape::book(&message, scales.0, scales.1, levels).map(Some)
                }
                Feed::Top(_) => tape::quote(&message, scales.0, scales.1, levels).map(Some),
                _ => tape::trades(&message, scales.0, scales.1, rows).map(|()| None),
            };
            read.ok().map(|read| (scales, read))
        })
    });
    match read.flatten() {
        None => entry.handle_malformed(context),
        Some((scales, Some(message))) if scales != now => {
            let is_whole = message.kind != Kind::Change;
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

/// A ticker, an index price or a candle.
fn handle_wide(
    entry: &mut Entry,
    payload: &[u8],
    scratch: &mut Scratch,
    context: &mut Context<'_>,
) {
    let feed = &entry.own.feed;
    let read = scratch.reader.read(payload, |message| match feed {
        Feed::Ticker { .. } => tape::ticker(&message),
        Feed::Index { .. } => tape::index(&message),
        Feed::Kline { interval, .. } => tape::kline(&message, *interval).map(Tick::Candle),
        _ => Err(tape::NO_READER),
    });
    match read {
        Some(Ok(Tick::Ticker(exch_ns, shown))) => entry.handle_ticker(exch_ns, &shown, context),
        Some(Ok(Tick::Candle(kline))) => entry.handle_kline(kline, context),
        _ => entry.handle_malformed(context),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_found_wherever_they_stand() {
        let table: [(&str, Option<&str>); 5] = [
            (
                r#"{"jsonrpc":"2.0","method":"subscription","params":{"channel":"quote.A","data":{}}}"#,
                Some("quote.A"),
            ),
            (
                r#"{"params":{"data":{"channel":"no","x":[{"channel":"no"}]},"channel":"yes"},"id":1}"#,
                Some("yes"),
            ),
            (
                r#"{"jsonrpc":"2.0","method":"heartbeat","params":{"type":"test_request"}}"#,
                None,
            ),
            (r#"{"jsonrpc":"2.0","id":1,"result":["channel"]}"#, None),
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
            r#"{"params":1}"#,
            r#"{"params":{"channel":1}}"#,
            "{} x",
            "Failed to decode",
        ] {
            assert!(topic(text.as_bytes()).is_err(), "{text}");
        }
    }
}

//! Probes of streams that are silent: what the venue is asked, and what its answer says.
//!
//! What is compared (market/orderbook, market/recent-trade, market/tickers, market/kline,
//! 2026-07-24):
//!
//! | stream | silent though |
//! |---|---|
//! | book, level 1 | the venue's best levels are others, at a later `seq`. `seq` alone says little: it also counts what happens below the levels of the stream; and `u` of REST is that of 1000 levels |
//! | trades | there was a later trade |
//! | ticker | last price, mark price or volume are others |
//! | candles | the last candle is another |
//!
//! Level 1 is sent again after three seconds without a change, so that its silence needs no probe.

use simd_json::prelude::*;
use simd_json::tape::Value;
use tickwire_orderbook::Side;

use super::subscribe::interval_name;
use super::sync::{Entry, Feed, LastWord};
use super::tape;
use crate::channel::Channel;
use crate::instrument::Market;
use crate::liveness::Probe;
use crate::stream::Levels;
use crate::time::Nanos;

/// Levels of a side that a probe looks at.
const PROBE_LEVELS: usize = 50;

/// The path of a request that tells what an entry should have got.
pub(super) fn probe(market: Market, entry: &Entry) -> Option<String> {
    let symbol = &entry.stream.instrument.venue_symbol;
    let (call, parameters) = match entry.stream.channel {
        Channel::Book(_) => ("orderbook", format!("symbol={symbol}&limit={PROBE_LEVELS}")),
        Channel::Bbo => ("orderbook", format!("symbol={symbol}&limit=1")),
        Channel::Trades | Channel::AggTrades => {
            ("recent-trade", format!("symbol={symbol}&limit=1"))
        }
        Channel::Ticker => ("tickers", format!("symbol={symbol}")),
        Channel::Kline(interval) => {
            let interval = interval_name(interval).ok()?;
            let rest = format!("symbol={symbol}&interval={interval}&limit=1");
            ("kline", rest)
        }
        Channel::User => return None,
    };
    let category = market.as_str();
    Some(format!(
        "/v5/market/{call}?category={category}&{parameters}"
    ))
}

/// Whether the venue has what the entry has not; `None` where the answer does not say.
pub(super) fn compare_answer(
    entry: &mut Entry,
    result: &Value<'_, '_>,
    levels: &mut Levels,
) -> Option<Probe> {
    let ahead = |ahead: bool| if ahead { Probe::Ahead } else { Probe::Same };
    if let Some(keeper) = entry.keeper() {
        let seq = result.get("seq")?.as_u64()?;
        if seq <= entry.own.mark.cross {
            return Some(Probe::Same);
        }
        let scales = (entry.stream.price_scale(), entry.stream.qty_scale());
        if tape::levels(result, scales.0, scales.1, levels).is_err() {
            // Not even at our scale.
            return Some(Probe::Ahead);
        }
        let most = match entry.own.feed {
            Feed::Top(_) => 1,
            _ => PROBE_LEVELS,
        };
        let same = |side: Side, theirs: &[tickwire_orderbook::Level]| {
            let ours = keeper.book().levels(side).take(most);
            ours.eq(theirs.iter().copied().take(most))
        };
        let same = same(Side::Bid, &levels.bids) && same(Side::Ask, &levels.asks);
        return Some(ahead(!same));
    }
    let row = result.get("list")?;
    let row = row.get_idx(0);
    if let (Feed::Ticker { state, whole, .. }, Some(row)) = (&entry.own.feed, &row)
        && *whole
    {
        let theirs = tape::ticker_row(row).ok()?.ticker();
        let ours = state.ticker();
        let same = (theirs.last, theirs.volume) == (ours.last, ours.volume)
            && (theirs.mark.is_none() || theirs.mark == ours.mark);
        return Some(ahead(!same));
    }
    let theirs = match (&entry.own.feed, row) {
        (_, None) => LastWord::None,
        (Feed::Trades, Some(row)) => {
            let time_ms = row.get("time")?.into_string()?.parse().ok()?;
            LastWord::Trade(Nanos::from_millis(time_ms))
        }
        (Feed::Kline(_), Some(row)) => tape::candle_row(&row)?,
        (_, Some(row)) => LastWord::Price(tape::ticker_row(&row).ok()?.ticker().last),
    };
    let known = entry.own.probed.replace(theirs);
    let is_later = match (theirs, entry.own.heard) {
        (LastWord::Trade(theirs), LastWord::Trade(ours)) => theirs > ours,
        (LastWord::Candle(theirs, ..), LastWord::Candle(ours, ..)) if theirs < ours => false,
        (LastWord::None, _) => false,
        // Nothing was heard yet: only what has changed since the last probe should have been.
        (_, LastWord::None) => known.is_some(),
        (theirs, ours) => theirs != ours,
    };
    Some(ahead(is_later && known != Some(theirs)))
}

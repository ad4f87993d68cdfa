//! Probes of streams that are silent: what the venue is asked, and what its answer says.
//!
//! What is compared (public/get_order_book, get_last_trades_by_instrument, ticker,
//! get_tradingview_chart_data and get_index_price, API v2.1.1):
//!
//! | stream | silent though |
//! |---|---|
//! | book | the venue's best levels are others, at a later `change_id` |
//! | quotes | the best level is another, at a later time |
//! | trades | there was a later `trade_seq` |
//! | ticker | last, mark or index price are others |
//! | candles | the last candle is another |

use simd_json::tape::Value;
use tickwire_orderbook::Side;

use super::subscribe::{interval_ms, interval_name};
use super::sync::{Entry, Feed, LastWord};
use super::tape;
use crate::channel::Channel;
use crate::liveness::Probe;
use crate::stream::Levels;
use crate::time::Nanos;

/// Levels of a side that a probe looks at: all of a grouped book, and one of the depths that
/// `get_order_book` has.
const PROBE_LEVELS: usize = 20;

/// The path of a request that tells what an entry should have got.
pub(super) fn probe(now: Nanos, entry: &Entry) -> Option<String> {
    let symbol = &entry.stream.instrument.venue_symbol;
    let instrument = format!("instrument_name={symbol}");
    let call = match &entry.own.feed {
        Feed::Book(_) | Feed::Grouped(_) => {
            format!("get_order_book?{instrument}&depth={PROBE_LEVELS}")
        }
        Feed::Top(_) => format!("get_order_book?{instrument}&depth=1"),
        Feed::Trades => format!("get_last_trades_by_instrument?{instrument}&count=1&sorting=desc"),
        Feed::Ticker(_) => format!("ticker?{instrument}"),
        Feed::Index(_) => format!("get_index_price?index_name={symbol}"),
        Feed::Kline { interval, .. } => {
            let resolution = interval_name(*interval).ok()?;
            let end = now.as_millis();
            let start = end.saturating_sub(CANDLES * interval_ms(*interval)?);
            format!(
                "get_tradingview_chart_data?{instrument}&start_timestamp={start}&end_timestamp={end}&resolution={resolution}"
            )
        }
    };
    Some(format!("/api/v2/public/{call}"))
}

/// Candles that a probe asks for: enough to have the last one, as long as trades are not rare.
const CANDLES: i64 = 3;

/// Whether the venue has what the entry has not; `None` where the answer does not say.
pub(super) fn compare_answer(
    entry: &mut Entry,
    result: &Value<'_, '_>,
    levels: &mut Levels,
) -> Option<Probe> {
    let ahead = |ahead: bool| if ahead { Probe::Ahead } else { Probe::Same };
    if let Some(keeper) = entry.keeper() {
        let (seq, exch_ns) = tape::book_head(result)?;
        let (is_later, most) = match entry.own.feed {
            Feed::Top(_) => (exch_ns > entry.own.last_ns, 1),
            _ => (Some(seq) > keeper.last(), PROBE_LEVELS),
        };
        if keeper.last().is_none() && !matches!(entry.own.feed, Feed::Book(_)) {
            // Nothing was heard yet: only what has changed since the last probe should have been.
            let known = entry.own.probed.replace(LastWord::Book(seq));
            return Some(ahead(
                known.is_some_and(|known| known != LastWord::Book(seq)),
            ));
        }
        if !is_later {
            return Some(Probe::Same);
        }
        let scales = (entry.stream.price_scale(), entry.stream.qty_scale());
        if tape::levels(result, scales.0, scales.1, levels).is_err() {
            // Not even at our scale.
            return Some(Probe::Ahead);
        }
        // A grouped book may have fewer.
        let most = match entry.stream.channel {
            Channel::Book(params) => params.levels.map_or(most, usize::from).min(most),
            _ => most,
        };
        let same = |side: Side, theirs: &[tickwire_orderbook::Level]| {
            let ours = keeper.book().levels(side).take(most);
            ours.eq(theirs.iter().copied().take(most))
        };
        let same = same(Side::Bid, &levels.bids) && same(Side::Ask, &levels.asks);
        return Some(ahead(!same));
    }
    let theirs = match &entry.own.feed {
        Feed::Trades => match tape::last_trade(result)? {
            0 => LastWord::None,
            seq => LastWord::Trade(seq),
        },
        Feed::Kline { interval, .. } => match tape::last_candle(result, *interval) {
            Some(kline) => LastWord::of_candle(&kline),
            None => LastWord::None,
        },
        Feed::Index(_) => LastWord::Prices([None, None, Some(tape::index_price(result)?)]),
        _ => LastWord::of_ticker(&tape::ticker_row(result).ok()?.1),
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

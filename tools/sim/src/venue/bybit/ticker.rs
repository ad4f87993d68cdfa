//! The `tickers` topic: linear sends a snapshot and then only the fields that changed; spot sends
//! whole snapshots without bid and ask (docs v5/websocket/public/ticker, 2026-07).

use super::frames::Json;
use crate::market::{Instrument, InstrumentSpec};
use crate::num::{ms, push_decimal};

/// The moving part of a ticker, in ticks and lots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct View {
    direction: &'static str,
    change_ppm: i64,
    pub(super) last: i64,
    open: i64,
    high: i64,
    low: i64,
    mark: i64,
    volume: i128,
    turnover: i128,
    bid: (i64, i64),
    ask: (i64, i64),
}

impl View {
    pub(super) fn of(one: &Instrument, direction: &'static str) -> Self {
        let day = &one.tape.day;
        let (bid, ask) = one.book.top();
        let (bid, ask) = (bid.unwrap_or((0, 0)), ask.unwrap_or((0, 0)));
        Self {
            direction,
            change_ppm: one.tape.day_change_ppm(),
            last: day.close,
            open: day.open,
            high: day.high,
            low: day.low,
            mark: (bid.0 + ask.0) / 2,
            volume: day.base,
            turnover: day.quote,
            bid,
            ask,
        }
    }

    /// What spot shows: its ticker has no bid, ask or mark, so they must not cause a frame.
    pub(super) const fn spot(self) -> Self {
        Self {
            bid: (0, 0),
            ask: (0, 0),
            mark: 0,
            direction: "",
            ..self
        }
    }
}

pub(super) fn spot(
    out: &mut Vec<u8>,
    spec: &InstrumentSpec,
    topic: &str,
    view: &View,
    cs: u64,
    at_ns: i64,
) {
    let mut json = Json(out);
    json.raw("{\"topic\":\"")
        .raw(topic)
        .raw("\",\"ts\":")
        .int(ms(at_ns));
    json.raw(",\"type\":\"snapshot\",\"cs\":")
        .uint(cs)
        .raw(",\"data\":{\"symbol\":\"");
    json.raw(&spec.symbol)
        .raw("\",\"lastPrice\":\"")
        .price(spec, view.last);
    json.raw("\",\"highPrice24h\":\"").price(spec, view.high);
    json.raw("\",\"lowPrice24h\":\"").price(spec, view.low);
    json.raw("\",\"prevPrice24h\":\"").price(spec, view.open);
    json.raw("\",\"volume24h\":\"").volume(spec, view.volume);
    json.raw("\",\"turnover24h\":\"")
        .turnover(spec, view.turnover);
    json.raw("\",\"price24hPcnt\":\"");
    push_decimal(json.0, i128::from(view.change_ppm / 100), 4, true);
    json.raw("\",\"usdIndexPrice\":\"")
        .price(spec, view.last)
        .raw("\"}}");
}

/// The linear ticker. Without `before`: the whole snapshot; with it: what differs.
pub(super) fn linear(
    out: &mut Vec<u8>,
    spec: &InstrumentSpec,
    topic: &str,
    (before, view): (Option<&View>, &View),
    cs: u64,
    at_ns: i64,
) {
    let whole = before.is_none();
    let mut json = Json(out);
    json.raw("{\"topic\":\"").raw(topic).raw("\",\"type\":\"");
    json.raw(if whole { "snapshot" } else { "delta" });
    json.raw("\",\"data\":{\"symbol\":\"")
        .raw(&spec.symbol)
        .raw("\"");
    let changed = |differs: fn(&View, &View) -> bool| before.is_none_or(|b| differs(b, view));
    if changed(|a, b| a.direction != b.direction) {
        json.raw(",\"tickDirection\":\"")
            .raw(view.direction)
            .raw("\"");
    }
    if changed(|a, b| a.change_ppm != b.change_ppm) {
        json.raw(",\"price24hPcnt\":\"");
        push_decimal(json.0, i128::from(view.change_ppm), 6, false);
        json.raw("\"");
    }
    if changed(|a, b| a.last != b.last) {
        json.raw(",\"lastPrice\":\"")
            .price(spec, view.last)
            .raw("\"");
    }
    if whole {
        json.raw(",\"prevPrice24h\":\"")
            .price(spec, view.open)
            .raw("\"");
    }
    if changed(|a, b| a.high != b.high) {
        json.raw(",\"highPrice24h\":\"")
            .price(spec, view.high)
            .raw("\"");
    }
    if changed(|a, b| a.low != b.low) {
        json.raw(",\"lowPrice24h\":\"")
            .price(spec, view.low)
            .raw("\"");
    }
    if whole {
        json.raw(",\"prevPrice1h\":\"")
            .price(spec, view.open)
            .raw("\"");
    }
    if changed(|a, b| a.mark != b.mark) {
        json.raw(",\"markPrice\":\"").price(spec, view.mark);
        json.raw("\",\"indexPrice\":\"")
            .price(spec, view.mark)
            .raw("\"");
    }
    if whole {
        json.raw(",\"openInterest\":\"59891.732\",\"openInterestValue\":\"3899996265.01\"");
    }
    if changed(|a, b| a.turnover != b.turnover) {
        json.raw(",\"turnover24h\":\"")
            .turnover(spec, view.turnover)
            .raw("\"");
    }
    if changed(|a, b| a.volume != b.volume) {
        json.raw(",\"volume24h\":\"")
            .volume(spec, view.volume)
            .raw("\"");
    }
    if whole {
        json.raw(",\"fundingIntervalHour\":\"8\",\"fundingCap\":\"0.005\"");
        json.raw(",\"singleOpenInterest\":\"29945.866\"");
        json.raw(",\"singleOpenInterestValue\":\"1949998132.50\",\"nextFundingTime\":\"");
        let eight_hours = 8 * 3_600_000;
        json.int((ms(at_ns) / eight_hours + 1) * eight_hours);
        json.raw("\",\"fundingRate\":\"0.0001\"");
    }
    // Price and size of a side come together.
    if changed(|a, b| a.bid != b.bid) {
        json.raw(",\"bid1Price\":\"").price(spec, view.bid.0);
        json.raw("\",\"bid1Size\":\"")
            .qty(spec, view.bid.1)
            .raw("\"");
    }
    if changed(|a, b| a.ask != b.ask) {
        json.raw(",\"ask1Price\":\"").price(spec, view.ask.0);
        json.raw("\",\"ask1Size\":\"")
            .qty(spec, view.ask.1)
            .raw("\"");
    }
    if whole {
        json.raw(",\"preOpenPrice\":\"\",\"preQty\":\"\",\"curPreListingPhase\":\"\"");
    }
    json.raw("},\"cs\":")
        .uint(cs)
        .raw(",\"ts\":")
        .int(ms(at_ns))
        .raw("}");
}

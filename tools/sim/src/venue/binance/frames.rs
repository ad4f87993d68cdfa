//! Binance's data frames as JSON text, keys in the order of recorded frames (2021 to 2024) and of
//! web-socket-streams.md (2026-07). Written straight into the outbox: this is the emission path.

use super::names::Kind;
use crate::market::{Bar, Book, Instrument, InstrumentSpec, Side, Trade};
use crate::num::{ms, pow10, push_decimal, push_i64, push_u64};
use crate::spec::SimVenue;

/// Appends text and numbers; each call returns the writer, so that a frame reads as one line.
pub(super) struct Json<'a>(pub(super) &'a mut Vec<u8>);

impl Json<'_> {
    pub(super) fn raw(&mut self, text: &str) -> &mut Self {
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    pub(super) fn int(&mut self, value: i64) -> &mut Self {
        push_i64(self.0, value);
        self
    }

    pub(super) fn uint(&mut self, value: u64) -> &mut Self {
        push_u64(self.0, value);
        self
    }

    pub(super) fn price(&mut self, spec: &InstrumentSpec, ticks: i64) -> &mut Self {
        spec.price.push(self.0, ticks);
        self
    }

    pub(super) fn qty(&mut self, spec: &InstrumentSpec, lots: i64) -> &mut Self {
        spec.qty.push(self.0, lots);
        self
    }

    /// A volume in lots, which may be beyond 64 bits as a mantissa.
    pub(super) fn volume(&mut self, spec: &InstrumentSpec, lots: i128) -> &mut Self {
        push_decimal(
            self.0,
            lots * i128::from(spec.qty.mult),
            spec.qty.decimals,
            false,
        );
        self
    }

    /// A turnover: spot prints 8 digits, whatever the product has.
    pub(super) fn turnover(&mut self, spec: &InstrumentSpec, mantissa: i128) -> &mut Self {
        let decimals = spec.quote_decimals();
        if decimals > 8 {
            let cut = i128::from(pow10(decimals - 8));
            push_decimal(self.0, mantissa / cut, 8, false);
        } else {
            push_decimal(self.0, mantissa, decimals, false);
        }
        self
    }
}

/// The notice that a connection will end (spot changelog, 2026-05-06; the futures pages do not have
/// it): bare, or wrapped under a stream name of its own.
pub(super) fn shutdown(out: &mut Vec<u8>, combined: bool, at_ns: i64) {
    let mut json = Json(out);
    if combined {
        json.raw("{\"stream\":\"!serverShutdown\",\"data\":");
    }
    json.raw("{\"e\":\"serverShutdown\",\"E\":").int(ms(at_ns));
    json.raw(if combined { "}}" } else { "}" });
}

/// `,"ps":"BTCUSD"`: COIN-M names the pair beside the symbol.
fn symbol(json: &mut Json<'_>, venue: SimVenue, spec: &InstrumentSpec) {
    json.raw("\"s\":\"").raw(&spec.symbol).raw("\"");
    if venue == SimVenue::BinanceInverse {
        json.raw(",\"ps\":\"").raw(spec.pair()).raw("\"");
    }
}

/// The numbers of a diff depth event.
#[derive(Clone, Copy, Debug)]
pub(super) struct DepthIds {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) previous: u64,
}

/// `depthUpdate` for the dirty levels (sorted, without repeats), at their quantities in `book`.
/// `crossing` is a bid that the book does not have: a fault.
pub(super) fn depth(
    out: &mut Vec<u8>,
    venue: SimVenue,
    one: &Instrument,
    ids: DepthIds,
    dirty: &[(Side, i64)],
    crossing: Option<(i64, i64)>,
    at_ns: i64,
) {
    let mut json = Json(out);
    json.raw("{\"e\":\"depthUpdate\",\"E\":").int(ms(at_ns));
    if !venue.is_spot() {
        // Engine time: a few ms before the event time.
        json.raw(",\"T\":").int(ms(at_ns) - 3);
    }
    json.raw(",");
    symbol(&mut json, venue, &one.spec);
    json.raw(",\"U\":")
        .uint(ids.first)
        .raw(",\"u\":")
        .uint(ids.last);
    if !venue.is_spot() {
        json.raw(",\"pu\":").uint(ids.previous);
    }
    json.raw(",\"b\":[");
    if let Some((price, qty)) = crossing {
        level(&mut json, &one.spec, 0, price, qty);
    }
    let count = usize::from(crossing.is_some());
    // Recorded spot events list bids from the best down, futures ones from the lowest up.
    let bids = dirty.iter().filter(|(side, _)| *side == Side::Bid);
    if venue.is_spot() {
        levels(&mut json, one, count, bids.rev());
    } else {
        levels(&mut json, one, count, bids);
    }
    json.raw("],\"a\":[");
    let asks = dirty.iter().filter(|(side, _)| *side == Side::Ask);
    levels(&mut json, one, 0, asks);
    json.raw("]}");
}

/// Appends levels to a list that has `count` already.
fn levels<'a>(
    json: &mut Json<'_>,
    one: &Instrument,
    count: usize,
    dirty: impl Iterator<Item = &'a (Side, i64)>,
) {
    for (index, &(side, price)) in dirty.enumerate() {
        let qty = one.book.qty(side, price);
        level(json, &one.spec, count + index, price, qty);
    }
}

fn level(json: &mut Json<'_>, spec: &InstrumentSpec, index: usize, price: i64, qty: i64) {
    json.raw(if index == 0 { "[\"" } else { ",[\"" });
    json.price(spec, price)
        .raw("\",\"")
        .qty(spec, qty)
        .raw("\"]");
}

/// The best levels of both sides as `"bids":[..],"asks":[..]`.
pub(super) fn sides(json: &mut Json<'_>, spec: &InstrumentSpec, book: &Book, depth: usize) {
    for (name, side) in [("\"bids\":[", Side::Bid), ("],\"asks\":[", Side::Ask)] {
        json.raw(name);
        let mut index = 0;
        book.for_best(side, depth, |price, qty| {
            level(json, spec, index, price, qty);
            index += 1;
        });
    }
    json.raw("]");
}

/// Partial depth (spot): no symbol and no time.
pub(super) fn partial(out: &mut Vec<u8>, one: &Instrument, depth: usize) {
    let mut json = Json(out);
    json.raw("{\"lastUpdateId\":").uint(one.last_id).raw(",");
    sides(&mut json, &one.spec, &one.book, depth);
    json.raw("}");
}

/// `bookTicker`: spot has neither `e` nor times; the futures markets differ in key order.
pub(super) fn book_ticker(out: &mut Vec<u8>, venue: SimVenue, one: &Instrument, at_ns: i64) {
    let mut json = Json(out);
    match venue {
        SimVenue::BinanceLinear => json.raw("{\"e\":\"bookTicker\",\"u\":").uint(one.last_id),
        SimVenue::BinanceInverse => json
            .raw("{\"u\":")
            .uint(one.last_id)
            .raw(",\"e\":\"bookTicker\""),
        _ => json.raw("{\"u\":").uint(one.last_id),
    };
    json.raw(",");
    symbol(&mut json, venue, &one.spec);
    let (bid, ask) = one.book.top();
    let ((bid, bid_qty), (ask, ask_qty)) = (bid.unwrap_or((0, 0)), ask.unwrap_or((0, 0)));
    json.raw(",\"b\":\"")
        .price(&one.spec, bid)
        .raw("\",\"B\":\"")
        .qty(&one.spec, bid_qty);
    json.raw("\",\"a\":\"")
        .price(&one.spec, ask)
        .raw("\",\"A\":\"")
        .qty(&one.spec, ask_qty);
    json.raw("\"");
    if !venue.is_spot() {
        json.raw(",\"T\":")
            .int(ms(at_ns))
            .raw(",\"E\":")
            .int(ms(at_ns));
    }
    json.raw("}");
}

/// `trade`.
pub(super) fn trade(
    out: &mut Vec<u8>,
    venue: SimVenue,
    spec: &InstrumentSpec,
    trade: &Trade,
    at_ns: i64,
) {
    let at = ms(at_ns);
    let mut json = Json(out);
    json.raw("{\"e\":\"trade\",\"E\":").int(at);
    if !venue.is_spot() {
        json.raw(",\"T\":").int(at);
    }
    json.raw(",\"s\":\"")
        .raw(&spec.symbol)
        .raw("\",\"t\":")
        .uint(trade.id);
    json.raw(",\"p\":\"")
        .price(spec, trade.price)
        .raw("\",\"q\":\"")
        .qty(spec, trade.qty);
    if venue.is_spot() {
        json.raw("\",\"T\":")
            .int(at)
            .raw(",\"m\":")
            .raw(bool_text(trade.buyer_maker));
        json.raw(",\"M\":true}");
    } else {
        json.raw("\",\"X\":\"MARKET\",\"m\":")
            .raw(bool_text(trade.buyer_maker))
            .raw("}");
    }
}

/// `aggTrade`: the trades of one taker at one price, joined.
pub(super) fn agg_trade(
    out: &mut Vec<u8>,
    venue: SimVenue,
    spec: &InstrumentSpec,
    id: u64,
    trades: &[Trade],
    at_ns: i64,
) {
    let (Some(first), Some(last)) = (trades.first(), trades.last()) else {
        return;
    };
    let qty = trades.iter().map(|t| t.qty).sum();
    let at = ms(at_ns);
    let mut json = Json(out);
    json.raw("{\"e\":\"aggTrade\",\"E\":").int(at);
    if venue.is_spot() {
        json.raw(",\"s\":\"")
            .raw(&spec.symbol)
            .raw("\",\"a\":")
            .uint(id);
    } else {
        json.raw(",\"a\":")
            .uint(id)
            .raw(",\"s\":\"")
            .raw(&spec.symbol)
            .raw("\"");
    }
    json.raw(",\"p\":\"")
        .price(spec, first.price)
        .raw("\",\"q\":\"")
        .qty(spec, qty);
    json.raw("\",\"f\":")
        .uint(first.id)
        .raw(",\"l\":")
        .uint(last.id);
    json.raw(",\"T\":")
        .int(at)
        .raw(",\"m\":")
        .raw(bool_text(first.buyer_maker));
    json.raw(if venue.is_spot() { ",\"M\":true}" } else { "}" });
}

/// `kline`.
pub(super) fn kline(
    out: &mut Vec<u8>,
    spec: &InstrumentSpec,
    bar: &Bar,
    interval: &str,
    closed: bool,
    at_ns: i64,
) {
    let mut json = Json(out);
    json.raw("{\"e\":\"kline\",\"E\":")
        .int(ms(at_ns))
        .raw(",\"s\":\"")
        .raw(&spec.symbol);
    json.raw("\",\"k\":{\"t\":")
        .int(ms(bar.open_ns))
        .raw(",\"T\":")
        .int(ms(bar.end_ns()) - 1);
    json.raw(",\"s\":\"")
        .raw(&spec.symbol)
        .raw("\",\"i\":\"")
        .raw(interval)
        .raw("\",\"f\":");
    // A bar without trades has no trade ids.
    let id = |id: u64| if bar.count == 0 { -1 } else { id as i64 };
    json.int(id(bar.first_id))
        .raw(",\"L\":")
        .int(id(bar.last_id));
    json.raw(",\"o\":\"")
        .price(spec, bar.open)
        .raw("\",\"c\":\"")
        .price(spec, bar.close);
    json.raw("\",\"h\":\"")
        .price(spec, bar.high)
        .raw("\",\"l\":\"")
        .price(spec, bar.low);
    json.raw("\",\"v\":\"")
        .volume(spec, bar.base)
        .raw("\",\"n\":")
        .uint(bar.count);
    json.raw(",\"x\":")
        .raw(bool_text(closed))
        .raw(",\"q\":\"")
        .turnover(spec, bar.quote);
    json.raw("\",\"V\":\"")
        .volume(spec, bar.taker_base)
        .raw("\",\"Q\":\"");
    json.turnover(spec, bar.taker_quote).raw("\",\"B\":\"0\"}}");
}

/// `24hrTicker`: only spot has the previous close and the best bid and ask.
pub(super) fn ticker(out: &mut Vec<u8>, venue: SimVenue, one: &Instrument, at_ns: i64) {
    let (spec, tape) = (&one.spec, &one.tape);
    let day = &tape.day;
    let mut json = Json(out);
    json.raw("{\"e\":\"24hrTicker\",\"E\":")
        .int(ms(at_ns))
        .raw(",");
    symbol(&mut json, venue, spec);
    json.raw(",\"p\":\"")
        .price(spec, tape.day_change())
        .raw("\",\"P\":\"");
    push_decimal(json.0, i128::from(tape.day_change_ppm() / 10), 3, false);
    json.raw("\",\"w\":\"")
        .price(spec, (day.high + day.low) / 2);
    if venue.is_spot() {
        json.raw("\",\"x\":\"").price(spec, day.open);
    }
    json.raw("\",\"c\":\"")
        .price(spec, day.close)
        .raw("\",\"Q\":\"")
        .qty(spec, tape.last_qty);
    if venue.is_spot() {
        let (bid, ask) = one.book.top();
        let ((bid, bid_qty), (ask, ask_qty)) = (bid.unwrap_or((0, 0)), ask.unwrap_or((0, 0)));
        json.raw("\",\"b\":\"")
            .price(spec, bid)
            .raw("\",\"B\":\"")
            .qty(spec, bid_qty);
        json.raw("\",\"a\":\"")
            .price(spec, ask)
            .raw("\",\"A\":\"")
            .qty(spec, ask_qty);
    }
    json.raw("\",\"o\":\"")
        .price(spec, day.open)
        .raw("\",\"h\":\"")
        .price(spec, day.high);
    json.raw("\",\"l\":\"")
        .price(spec, day.low)
        .raw("\",\"v\":\"")
        .volume(spec, day.base);
    json.raw("\",\"q\":\"")
        .turnover(spec, day.quote)
        .raw("\",\"O\":")
        .int(ms(day.open_ns));
    json.raw(",\"C\":")
        .int(ms(at_ns))
        .raw(",\"F\":")
        .uint(day.first_id);
    json.raw(",\"L\":")
        .uint(day.last_id)
        .raw(",\"n\":")
        .uint(day.count)
        .raw("}");
}

/// `24hrMiniTicker`.
pub(super) fn mini_ticker(out: &mut Vec<u8>, venue: SimVenue, one: &Instrument, at_ns: i64) {
    let (spec, day) = (&one.spec, &one.tape.day);
    let mut json = Json(out);
    json.raw("{\"e\":\"24hrMiniTicker\",\"E\":")
        .int(ms(at_ns))
        .raw(",");
    symbol(&mut json, venue, spec);
    json.raw(",\"c\":\"")
        .price(spec, day.close)
        .raw("\",\"o\":\"")
        .price(spec, day.open);
    json.raw("\",\"h\":\"")
        .price(spec, day.high)
        .raw("\",\"l\":\"")
        .price(spec, day.low);
    json.raw("\",\"v\":\"")
        .volume(spec, day.base)
        .raw("\",\"q\":\"");
    json.turnover(spec, day.quote).raw("\"}");
}

/// `markPriceUpdate`: USD-M has also the index and the average (derivatives pages, 2026).
pub(super) fn mark_price(out: &mut Vec<u8>, venue: SimVenue, one: &Instrument, at_ns: i64) {
    let spec = &one.spec;
    let mark = one.tape.day.close;
    let mut json = Json(out);
    json.raw("{\"e\":\"markPriceUpdate\",\"E\":").int(ms(at_ns));
    json.raw(",\"s\":\"")
        .raw(&spec.symbol)
        .raw("\",\"p\":\"")
        .price(spec, mark)
        .raw("\"");
    if venue == SimVenue::BinanceLinear {
        json.raw(",\"ap\":\"")
            .price(spec, mark)
            .raw("\",\"i\":\"")
            .price(spec, mark)
            .raw("\"");
    }
    json.raw(",\"P\":\"")
        .price(spec, mark)
        .raw("\",\"r\":\"0.00010000\",\"T\":");
    // Funding every 8 hours.
    let eight_hours = 8 * 3_600_000;
    json.int((ms(at_ns) / eight_hours + 1) * eight_hours)
        .raw("}");
}

/// A periodic frame of this kind, except candles and depth, which carry state.
pub(super) fn periodic(
    out: &mut Vec<u8>,
    venue: SimVenue,
    kind: Kind,
    one: &Instrument,
    at_ns: i64,
) {
    match kind {
        Kind::Partial { levels, .. } => partial(out, one, levels),
        Kind::MiniTicker => mini_ticker(out, venue, one, at_ns),
        Kind::Mark(_) => mark_price(out, venue, one, at_ns),
        _ => ticker(out, venue, one, at_ns),
    }
}

pub(super) const fn bool_text(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

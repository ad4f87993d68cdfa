//! Deribit's data as JSON text (API v2.1.1; keys and types as in recorded frames of 2021 to 2026).

use crate::market::{Bar, Book, Instrument, InstrumentSpec, Side, Trade};
use crate::num::{ms, push_decimal, push_i64, push_u64};
use crate::spec::SimVenue;

/// Appends text and numbers.
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

    /// A whole number comes as `3996` or as `3996.0` (both are in recorded frames).
    fn number(&mut self, mantissa: i128, decimals: u8) -> &mut Self {
        let start = self.0.len();
        push_decimal(self.0, mantissa, decimals, true);
        if mantissa % 3 == 0 && !self.0[start..].contains(&b'.') {
            self.0.extend_from_slice(b".0");
        }
        self
    }

    pub(super) fn price(&mut self, spec: &InstrumentSpec, ticks: i64) -> &mut Self {
        let mantissa = spec.price.mantissa(ticks);
        self.number(i128::from(mantissa), spec.price.decimals)
    }

    pub(super) fn qty(&mut self, spec: &InstrumentSpec, lots: i64) -> &mut Self {
        self.volume(spec, i128::from(lots))
    }

    fn volume(&mut self, spec: &InstrumentSpec, lots: i128) -> &mut Self {
        self.number(lots * i128::from(spec.qty.mult), spec.qty.decimals)
    }

    fn turnover(&mut self, spec: &InstrumentSpec, mantissa: i128) -> &mut Self {
        self.number(mantissa, spec.quote_decimals())
    }
}

/// Wraps data as a notification.
pub(super) fn notification(out: &mut Vec<u8>, channel: &str, data: impl FnOnce(&mut Json<'_>)) {
    let mut json = Json(out);
    json.raw(r#"{"jsonrpc":"2.0","method":"subscription","params":{"channel":""#)
        .raw(channel)
        .raw(r#"","data":"#);
    data(&mut json);
    json.raw("}}");
}

/// What happened to a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) action: &'static str,
    pub(super) side: Side,
    pub(super) price: i64,
    pub(super) qty: i64,
}

fn steps(json: &mut Json<'_>, spec: &InstrumentSpec, steps: &[Step], side: Side) {
    json.raw("[");
    let of_side = steps.iter().filter(|step| step.side == side);
    for (index, step) in of_side.enumerate() {
        json.raw(if index == 0 { "[\"" } else { ",[\"" });
        json.raw(step.action).raw("\",").price(spec, step.price);
        json.raw(",").qty(spec, step.qty).raw("]");
    }
    json.raw("]");
}

/// A message of a book of changes; without `prev` it is the snapshot.
pub(super) fn book(
    json: &mut Json<'_>,
    spec: &InstrumentSpec,
    (prev, id): (Option<u64>, u64),
    changed: &[Step],
    at_ns: i64,
) {
    let kind = if prev.is_some() { "change" } else { "snapshot" };
    json.raw(r#"{"type":""#)
        .raw(kind)
        .raw(r#"","timestamp":"#)
        .int(ms(at_ns));
    if let Some(prev) = prev {
        json.raw(r#","prev_change_id":"#).uint(prev);
    }
    json.raw(r#","instrument_name":""#).raw(&spec.symbol);
    json.raw(r#"","change_id":"#).uint(id).raw(r#","bids":"#);
    steps(json, spec, changed, Side::Bid);
    json.raw(r#","asks":"#);
    steps(json, spec, changed, Side::Ask);
    json.raw("}");
}

/// Plain levels of a side, best first.
fn levels(json: &mut Json<'_>, spec: &InstrumentSpec, book: &Book, side: Side, depth: usize) {
    json.raw("[");
    let mut first = true;
    book.for_best(side, depth, |price, qty| {
        json.raw(if std::mem::take(&mut first) {
            "["
        } else {
            ",["
        });
        json.price(spec, price).raw(",").qty(spec, qty).raw("]");
    });
    json.raw("]");
}

pub(super) fn grouped(json: &mut Json<'_>, one: &Instrument, depth: usize, at_ns: i64) {
    let spec = &one.spec;
    json.raw(r#"{"timestamp":"#).int(ms(at_ns));
    json.raw(r#","instrument_name":""#).raw(&spec.symbol);
    json.raw(r#"","change_id":"#)
        .uint(one.last_id)
        .raw(r#","bids":"#);
    levels(json, spec, &one.book, Side::Bid, depth);
    json.raw(r#","asks":"#);
    levels(json, spec, &one.book, Side::Ask, depth);
    json.raw("}");
}

fn best(json: &mut Json<'_>, one: &Instrument) {
    let (bid, ask) = one.book.top();
    // An empty side prints zeros.
    let ((bid, bid_qty), (ask, ask_qty)) = (bid.unwrap_or((0, 0)), ask.unwrap_or((0, 0)));
    let spec = &one.spec;
    json.raw(r#""best_bid_price":"#).price(spec, bid);
    json.raw(r#","best_bid_amount":"#).qty(spec, bid_qty);
    json.raw(r#","best_ask_price":"#).price(spec, ask);
    json.raw(r#","best_ask_amount":"#).qty(spec, ask_qty);
}

pub(super) fn quote(json: &mut Json<'_>, one: &Instrument, at_ns: i64) {
    json.raw(r#"{"timestamp":"#).int(ms(at_ns));
    json.raw(r#","instrument_name":""#)
        .raw(&one.spec.symbol)
        .raw("\",");
    best(json, one);
    json.raw("}");
}

/// A trade with its number in the instrument and its time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbered {
    pub(super) trade: Trade,
    pub(super) seq: u64,
    pub(super) direction: u8,
    pub(super) at_ns: i64,
}

pub(super) fn trades(json: &mut Json<'_>, one: &Instrument, list: &[Numbered]) {
    let spec = &one.spec;
    json.raw("[");
    for (index, numbered) in list.iter().enumerate() {
        let Numbered {
            trade,
            seq,
            direction,
            at_ns,
        } = numbered;
        json.raw(if index == 0 { "{" } else { ",{" });
        json.raw(r#""timestamp":"#).int(ms(*at_ns));
        json.raw(r#","price":"#).price(spec, trade.price);
        json.raw(r#","amount":"#).qty(spec, trade.qty);
        let side = if trade.buyer_maker { "sell" } else { "buy" };
        json.raw(r#","direction":""#).raw(side);
        json.raw(r#"","index_price":"#)
            .price(spec, one.spec.mid_ticks);
        json.raw(r#","instrument_name":""#).raw(&spec.symbol);
        json.raw(r#"","trade_seq":"#).uint(*seq);
        json.raw(r#","mark_price":"#).price(spec, trade.price);
        json.raw(r#","tick_direction":"#).int(i64::from(*direction));
        json.raw(r#","contracts":"#).uint(trade.qty.unsigned_abs());
        // Trades of other coins than Bitcoin carry a prefix.
        json.raw(r#","trade_id":""#);
        if spec.base != "BTC" {
            json.raw(&spec.base).raw("-");
        }
        json.uint(trade.id).raw("\"}");
    }
    json.raw("]");
}

pub(super) fn ticker(json: &mut Json<'_>, venue: SimVenue, one: &Instrument, at_ns: i64) {
    let (spec, day) = (&one.spec, &one.tape.day);
    json.raw(r#"{"timestamp":"#).int(ms(at_ns));
    json.raw(r#","state":"open","stats":{"high":"#)
        .price(spec, day.high);
    json.raw(r#","low":"#).price(spec, day.low);
    json.raw(r#","price_change":"#);
    push_decimal(json.0, i128::from(one.tape.day_change_ppm()), 4, true);
    json.raw(r#","volume":"#).volume(spec, day.base);
    json.raw(r#","volume_usd":"#).turnover(spec, day.quote);
    json.raw(r#","volume_notional":"#).turnover(spec, day.quote);
    json.raw(r#"},"index_price":"#).price(spec, day.close);
    json.raw(r#","instrument_name":""#).raw(&spec.symbol);
    json.raw(r#"","last_price":"#).price(spec, day.close);
    json.raw(r#","min_price":"#).price(spec, day.low);
    json.raw(r#","max_price":"#).price(spec, day.high);
    json.raw(r#","mark_price":"#).price(spec, day.close);
    if venue != SimVenue::DeribitSpot {
        json.raw(r#","settlement_price":"#).price(spec, day.open);
        json.raw(r#","open_interest":1132329370.0,"estimated_delivery_price":"#)
            .price(spec, day.close);
    }
    if matches!(venue, SimVenue::DeribitInverse | SimVenue::DeribitLinear) {
        json.raw(
            r#","funding_8h":2.11e-5,"current_funding":0.0,"interest_value":0.0028213400122472977"#,
        );
    }
    if venue == SimVenue::DeribitOption {
        // Numbers of a recorded option (2021-07-22); the market here knows no volatility.
        json.raw(
            r#","underlying_price":61800.25,"underlying_index":"SYN.BTC-25DEC26","mark_iv":120.74"#,
        );
        json.raw(r#","bid_iv":115.62,"ask_iv":125.63,"interest_rate":0.0"#);
        json.raw(r#","greeks":{"vega":0.20072,"theta":-1.64029,"rho":0.01188,"gamma":0.0002,"delta":0.03127}"#);
    }
    json.raw(",");
    best(json, one);
    json.raw("}");
}

pub(super) fn candle(json: &mut Json<'_>, spec: &InstrumentSpec, bar: &Bar) {
    json.raw(r#"{"volume":"#).volume(spec, bar.base);
    json.raw(r#","tick":"#).int(ms(bar.open_ns));
    json.raw(r#","open":"#).price(spec, bar.open);
    json.raw(r#","low":"#).price(spec, bar.low);
    json.raw(r#","high":"#).price(spec, bar.high);
    json.raw(r#","cost":"#).turnover(spec, bar.quote);
    json.raw(r#","close":"#).price(spec, bar.close).raw("}");
}

/// The columns of `get_tradingview_chart_data` with one candle.
pub(super) fn chart(json: &mut Json<'_>, spec: &InstrumentSpec, bar: &Bar) {
    json.raw(r#"{"volume":["#).volume(spec, bar.base);
    json.raw(r#"],"ticks":["#).int(ms(bar.open_ns));
    json.raw(r#"],"status":"ok","open":["#)
        .price(spec, bar.open);
    json.raw(r#"],"low":["#).price(spec, bar.low);
    json.raw(r#"],"high":["#).price(spec, bar.high);
    json.raw(r#"],"cost":["#).turnover(spec, bar.quote);
    json.raw(r#"],"close":["#).price(spec, bar.close).raw("]}");
}

/// The price of an index: that of its coin.
pub(super) fn index(json: &mut Json<'_>, one: &Instrument, name: &str, at_ns: i64) {
    json.raw(r#"{"timestamp":"#).int(ms(at_ns));
    json.raw(r#","price":"#)
        .price(&one.spec, one.tape.day.close);
    json.raw(r#","index_name":""#).raw(name).raw("\"}");
}

pub(super) fn order_book(json: &mut Json<'_>, one: &Instrument, depth: usize, at_ns: i64) {
    let (spec, day) = (&one.spec, &one.tape.day);
    json.raw(r#"{"timestamp":"#).int(ms(at_ns));
    json.raw(r#","stats":{"volume":"#).volume(spec, day.base);
    json.raw(r#","price_change":0.5,"low":"#)
        .price(spec, day.low);
    json.raw(r#","high":"#).price(spec, day.high);
    json.raw(r#"},"state":"open","mark_price":"#)
        .price(spec, day.close);
    json.raw(r#","last_price":"#).price(spec, day.close);
    json.raw(r#","instrument_name":""#).raw(&spec.symbol);
    json.raw(r#"","index_price":"#).price(spec, day.close);
    json.raw(r#","change_id":"#)
        .uint(one.last_id)
        .raw(r#","bids":"#);
    levels(json, spec, &one.book, Side::Bid, depth);
    json.raw(",");
    best(json, one);
    json.raw(r#","asks":"#);
    levels(json, spec, &one.book, Side::Ask, depth);
    json.raw("}");
}

/// A row of `get_instruments`.
pub(super) fn instrument(json: &mut Json<'_>, venue: SimVenue, spec: &InstrumentSpec) {
    let kind = kind(venue);
    let index = index_name(spec);
    json.raw(r#"{"price_index":""#).raw(&index);
    json.raw(r#"","kind":""#).raw(kind);
    json.raw(r#"","instrument_name":""#).raw(&spec.symbol);
    json.raw(r#"","instrument_type":""#);
    json.raw(if spec.quote == "USD" {
        "reversed"
    } else {
        "linear"
    });
    if let Some(strike) = spec.symbol.split('-').nth(2) {
        let call = spec.symbol.ends_with('C');
        json.raw(r#"","option_type":""#)
            .raw(if call { "call" } else { "put" });
        json.raw(r#"","strike":"#).raw(strike).raw(".0");
    } else {
        json.raw("\"");
    }
    let settle = if spec.quote == "USD" {
        &spec.base
    } else {
        &spec.quote
    };
    json.raw(r#","maker_commission":0.0,"taker_commission":0.0005,"expiration_timestamp":"#);
    // Perpetuals end in the year 3000 (recorded); dated ones here on 2026-12-25.
    let is_dated = venue == SimVenue::DeribitOption;
    json.raw(if is_dated {
        "1798185600000"
    } else {
        "32503708800000"
    });
    json.raw(r#","creation_timestamp":1534167754000,"is_active":true,"state":"open","tick_size":"#)
        .price(spec, 1);
    json.raw(r#","tick_size_steps":[],"contract_size":"#)
        .qty(spec, 1);
    json.raw(r#","min_trade_amount":"#).qty(spec, 1);
    json.raw(r#","instrument_id":"#).uint(u64::from(spec.id));
    json.raw(r#","settlement_currency":""#).raw(settle);
    json.raw(r#"","settlement_period":""#);
    json.raw(if is_dated { "month" } else { "perpetual" });
    json.raw(r#"","base_currency":""#).raw(&spec.base);
    json.raw(r#"","counter_currency":""#).raw(&spec.quote);
    json.raw(r#"","quote_currency":""#)
        .raw(&spec.quote)
        .raw("\"}");
}

/// `future`, `option` or `spot`.
pub(super) const fn kind(venue: SimVenue) -> &'static str {
    match venue {
        SimVenue::DeribitOption => "option",
        SimVenue::DeribitSpot => "spot",
        _ => "future",
    }
}

/// The index that an instrument goes by: `btc_usd`.
pub(super) fn index_name(spec: &InstrumentSpec) -> String {
    format!("{}_{}", spec.base, spec.quote).to_ascii_lowercase()
}

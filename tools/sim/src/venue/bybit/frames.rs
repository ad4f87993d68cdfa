//! Bybit's data frames as JSON text. Spot and linear differ in key order and in a trade's and a
//! ticker's fields; both are as recorded on 2026-08-09.

use crate::market::{Bar, InstrumentSpec, Trade};
use crate::num::{ms, pow10, push_decimal, push_i64, push_u64};

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

    pub(super) fn price(&mut self, spec: &InstrumentSpec, ticks: i64) -> &mut Self {
        spec.price.push(self.0, ticks);
        self
    }

    /// Klines trim zeros in both markets.
    pub(super) fn price_trimmed(&mut self, spec: &InstrumentSpec, ticks: i64) -> &mut Self {
        spec.price.trimmed().push(self.0, ticks);
        self
    }

    pub(super) fn qty(&mut self, spec: &InstrumentSpec, lots: i64) -> &mut Self {
        spec.qty.push(self.0, lots);
        self
    }

    pub(super) fn volume(&mut self, spec: &InstrumentSpec, lots: i128) -> &mut Self {
        push_decimal(
            self.0,
            lots * i128::from(spec.qty.mult),
            spec.qty.decimals,
            true,
        );
        self
    }

    pub(super) fn turnover(&mut self, spec: &InstrumentSpec, mantissa: i128) -> &mut Self {
        let decimals = spec.quote_decimals();
        let cut = decimals.saturating_sub(8);
        push_decimal(
            self.0,
            mantissa / i128::from(pow10(cut)),
            decimals - cut,
            true,
        );
        self
    }
}

/// Order of `type` and `ts` in a frame's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// `topic, type, ts`: linear.
    TypeFirst,
    /// `topic, ts, type`: spot.
    TsFirst,
}

/// `{"topic":..,"type":..,"ts":..` in the given order.
fn head(json: &mut Json<'_>, order: Order, topic: &str, kind: &str, at_ns: i64) {
    json.raw("{\"topic\":\"").raw(topic).raw("\"");
    if order == Order::TypeFirst {
        json.raw(",\"type\":\"").raw(kind).raw("\"");
    }
    json.raw(",\"ts\":").int(ms(at_ns));
    if order == Order::TsFirst {
        json.raw(",\"type\":\"").raw(kind).raw("\"");
    }
}

/// One order book frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct BookFrame<'a> {
    pub(super) topic: &'a str,
    pub(super) snapshot: bool,
    /// Levels in the order in which they are sent; quantity 0 deletes.
    pub(super) bids: &'a [(i64, i64)],
    pub(super) asks: &'a [(i64, i64)],
    pub(super) u: u64,
    pub(super) seq: u64,
    pub(super) at_ns: i64,
    /// When the matching engine made the book.
    pub(super) engine_ns: i64,
}

impl BookFrame<'_> {
    /// The same, stamped by a clock that is off by so much.
    pub(super) const fn shifted(mut self, skew_ns: i64) -> Self {
        self.at_ns += skew_ns;
        self.engine_ns += skew_ns;
        self
    }
}

pub(super) fn book(out: &mut Vec<u8>, order: Order, spec: &InstrumentSpec, frame: &BookFrame<'_>) {
    let mut json = Json(out);
    let kind = if frame.snapshot { "snapshot" } else { "delta" };
    head(&mut json, order, frame.topic, kind, frame.at_ns);
    json.raw(",\"data\":{\"s\":\"")
        .raw(&spec.symbol)
        .raw("\",\"b\":[");
    levels(&mut json, spec, frame.bids.iter().copied());
    json.raw("],\"a\":[");
    levels(&mut json, spec, frame.asks.iter().copied());
    json.raw("],\"u\":")
        .uint(frame.u)
        .raw(",\"seq\":")
        .uint(frame.seq);
    json.raw("},\"cts\":").int(ms(frame.engine_ns)).raw("}");
}

pub(super) fn levels(
    json: &mut Json<'_>,
    spec: &InstrumentSpec,
    levels: impl Iterator<Item = (i64, i64)>,
) {
    for (index, (price, qty)) in levels.enumerate() {
        json.raw(if index == 0 { "[\"" } else { ",[\"" })
            .price(spec, price)
            .raw("\",\"");
        // A deletion is a bare "0" also where quantities print decimals.
        if qty == 0 {
            json.raw("0")
        } else {
            json.qty(spec, qty)
        };
        json.raw("\"]");
    }
}

/// Spot trade ids are numbers of this size.
pub(super) const SPOT_TRADE_ID: u64 = 2_290_000_000_000_000_000;

/// The trades of one taker. `directions` names the tick direction of each (linear).
pub(super) fn trades(
    out: &mut Vec<u8>,
    order: Order,
    spec: &InstrumentSpec,
    topic: &str,
    trades: &[Trade],
    directions: &[&str],
    at_ns: i64,
) {
    let spot = spec.price.trim;
    let mut json = Json(out);
    head(&mut json, order, topic, "snapshot", at_ns);
    json.raw(",\"data\":[");
    for (index, trade) in trades.iter().enumerate() {
        json.raw(if index == 0 { "{" } else { ",{" });
        let side = if trade.buyer_maker { "Sell" } else { "Buy" };
        if spot {
            json.raw("\"i\":\"")
                .uint(SPOT_TRADE_ID + trade.id)
                .raw("\",\"T\":");
            json.int(ms(at_ns))
                .raw(",\"p\":\"")
                .price(spec, trade.price)
                .raw("\",\"v\":\"");
            json.qty(spec, trade.qty)
                .raw("\",\"S\":\"")
                .raw(side)
                .raw("\",\"seq\":");
            json.uint(trade.update_id)
                .raw(",\"s\":\"")
                .raw(&spec.symbol);
            json.raw("\",\"BT\":false,\"RPI\":false}");
        } else {
            json.raw("\"T\":")
                .int(ms(at_ns))
                .raw(",\"s\":\"")
                .raw(&spec.symbol);
            json.raw("\",\"S\":\"")
                .raw(side)
                .raw("\",\"v\":\"")
                .qty(spec, trade.qty);
            json.raw("\",\"p\":\"")
                .price(spec, trade.price)
                .raw("\",\"L\":\"");
            json.raw(directions.get(index).copied().unwrap_or("ZeroPlusTick"))
                .raw("\",\"i\":\"");
            uuid(json.0, trade.id, spec.id);
            json.raw("\",\"BT\":false,\"RPI\":false,\"seq\":")
                .uint(trade.update_id)
                .raw("}");
        }
    }
    json.raw("]}");
}

/// A UUID (version 5 shape, as linear trades have) made of the trade's id.
pub(super) fn uuid(out: &mut Vec<u8>, id: u64, salt: u32) {
    // Two rounds of a 64-bit mixer (splitmix64): unique by construction, as it is a bijection.
    let mix = |mut x: u64| {
        x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    };
    let (high, low) = (mix(id), mix(id ^ u64::from(salt) << 40));
    let high = high & !0xf000 | 0x5000;
    let low = low & !(3 << 62) | 2 << 62;
    for (index, byte) in high
        .to_be_bytes()
        .into_iter()
        .chain(low.to_be_bytes())
        .enumerate()
    {
        if matches!(index, 4 | 6 | 8 | 10) {
            out.push(b'-');
        }
        out.push(b"0123456789abcdef"[usize::from(byte >> 4)]);
        out.push(b"0123456789abcdef"[usize::from(byte & 15)]);
    }
}

/// `kline`: the key order of each market is its own.
pub(super) fn kline(
    out: &mut Vec<u8>,
    spec: &InstrumentSpec,
    topic: &str,
    interval: &str,
    bar: &Bar,
    closed: bool,
    at_ns: i64,
) {
    let spot = spec.price.trim;
    let mut json = Json(out);
    json.raw(if spot {
        "{\"type\":\"snapshot\",\"topic\":\""
    } else {
        "{\"topic\":\""
    });
    json.raw(topic)
        .raw("\",\"data\":[{\"start\":")
        .int(ms(bar.open_ns));
    json.raw(",\"end\":")
        .int(ms(bar.end_ns()) - 1)
        .raw(",\"interval\":\"")
        .raw(interval);
    json.raw("\",\"open\":\"").price_trimmed(spec, bar.open);
    json.raw("\",\"close\":\"").price_trimmed(spec, bar.close);
    json.raw("\",\"high\":\"").price_trimmed(spec, bar.high);
    json.raw("\",\"low\":\"").price_trimmed(spec, bar.low);
    json.raw("\",\"volume\":\"").volume(spec, bar.base);
    json.raw("\",\"turnover\":\"").turnover(spec, bar.quote);
    json.raw("\",\"confirm\":")
        .raw(if closed { "true" } else { "false" });
    json.raw(",\"timestamp\":")
        .int(ms(at_ns))
        .raw("}],\"ts\":")
        .int(ms(at_ns));
    json.raw(if spot { "}" } else { ",\"type\":\"snapshot\"}" });
}

//! Bybit's REST calls for market data (docs v5/market/*, 2026-07). Errors come as a `retCode` with
//! HTTP 200.

use super::feed::BybitFeed;
use super::frames::{Json, SPOT_TRADE_ID, levels, uuid};
use crate::market::{Bar, Book, Instrument, InstrumentSpec, Market, Side, Trade};
use crate::num::{ms, push_decimal};
use crate::spec::SimVenue;
use crate::venue::{Common, HttpRequest, HttpResponse};

/// Wraps a result as `{"retCode":0,"retMsg":"OK","result":..,"retExtInfo":{},"time":..}`.
pub(crate) fn envelope(code: i64, msg: &str, result: &[u8], now: i64) -> HttpResponse {
    let mut body = Vec::with_capacity(result.len() + 96);
    let mut json = Json(&mut body);
    json.raw("{\"retCode\":")
        .int(code)
        .raw(",\"retMsg\":\"")
        .raw(msg)
        .raw("\",\"result\":");
    json.0.extend_from_slice(result);
    json.raw(",\"retExtInfo\":{},\"time\":")
        .int(ms(now))
        .raw("}");
    HttpResponse::json(200, body)
}

fn refuse(msg: &str, now: i64) -> HttpResponse {
    envelope(10_001, msg, b"{}", now)
}

pub(crate) fn time(now: i64) -> HttpResponse {
    let mut result = Vec::new();
    Json(&mut result)
        .raw("{\"timeSecond\":\"")
        .int(now / 1_000_000_000)
        .raw("\",\"timeNano\":\"")
        .int(now)
        .raw("\"}");
    envelope(0, "OK", &result, now)
}

/// `spot` or `linear`.
pub(crate) const fn category(venue: SimVenue) -> &'static str {
    if venue.is_spot() { "spot" } else { "linear" }
}

pub(super) fn answer(
    venue: SimVenue,
    market: &Market,
    feed: &BybitFeed,
    request: &HttpRequest<'_>,
    now: i64,
    cx: &mut Common,
) -> Option<HttpResponse> {
    let call = request.path.strip_prefix("/v5/market/")?;
    if call == "time" {
        return Some(time(now));
    }
    if !matches!(call, "instruments-info" | "tickers" | "orderbook") {
        return None;
    }
    // One listener is one market; another category's data would have to be made up.
    if request.param("category").as_deref() != Some(category(venue)) {
        return Some(refuse("params error: Category is invalid", now));
    }
    let symbol = request.param("symbol");
    let found = symbol
        .as_ref()
        .map(|s| market.instruments.iter().position(|i| i.spec.symbol == *s));
    let index = match found {
        Some(None) => return Some(refuse("Not supported symbols", now)),
        Some(Some(index)) => Some(index),
        None => None,
    };
    Some(match call {
        "instruments-info" => instruments_info(venue, market, index, request, now),
        "tickers" => tickers(venue, market, index, now),
        _ => match index {
            Some(index) => {
                let one = &market.instruments[index];
                // The REST number belongs to the 1000-level topic (docs market/orderbook).
                let (u, engine_ns) = feed.book_numbers(index, 1_000);
                if cx.faults.take_snapshot(&one.spec.symbol, now) {
                    let (u, id, book) = feed.old_book(index);
                    let numbers = (u, id, engine_ns);
                    orderbook(venue, one, numbers, &book, request, now)
                } else {
                    let numbers = (u, one.last_id, engine_ns + cx.faults.skew_ns);
                    orderbook(venue, one, numbers, &one.book, request, now)
                }
            }
            None => refuse("params error: symbol is required", now),
        },
    })
}

fn orderbook(
    venue: SimVenue,
    one: &Instrument,
    (u, id, engine_ns): (u64, u64, i64),
    book: &Book,
    request: &HttpRequest<'_>,
    now: i64,
) -> HttpResponse {
    let default = if venue.is_spot() { 1 } else { 25 };
    let limit = request
        .param("limit")
        .map_or(Ok(default), |limit| limit.parse::<usize>());
    let Ok(limit @ 1..=1_000) = limit else {
        return refuse("params error: limit is invalid", now);
    };
    let mut result = Vec::with_capacity(48 * limit);
    let mut json = Json(&mut result);
    json.raw("{\"s\":\"")
        .raw(&one.spec.symbol)
        .raw("\",\"b\":[");
    let collect = |side| {
        let mut list = Vec::with_capacity(limit);
        book.for_best(side, limit, |price, qty| list.push((price, qty)));
        list.into_iter()
    };
    levels(&mut json, &one.spec, collect(Side::Bid));
    json.raw("],\"a\":[");
    levels(&mut json, &one.spec, collect(Side::Ask));
    json.raw("],\"ts\":")
        .int(ms(now))
        .raw(",\"u\":")
        .uint(u)
        .raw(",\"seq\":")
        .uint(id);
    json.raw(",\"cts\":").int(ms(engine_ns)).raw("}");
    envelope(0, "OK", &result, now)
}

fn tickers(venue: SimVenue, market: &Market, index: Option<usize>, now: i64) -> HttpResponse {
    let mut result = Vec::new();
    let mut json = Json(&mut result);
    json.raw("{\"category\":\"")
        .raw(category(venue))
        .raw("\",\"list\":[");
    let wanted = market.instruments.iter().enumerate();
    let wanted = wanted.filter(|(i, _)| index.is_none_or(|index| index == *i));
    for (place, (_, one)) in wanted.enumerate() {
        json.raw(if place > 0 { ",{" } else { "{" });
        ticker(&mut json, venue, one);
        json.raw("}");
    }
    json.raw("]}");
    envelope(0, "OK", &result, now)
}

fn ticker(json: &mut Json<'_>, venue: SimVenue, one: &Instrument) {
    let (spec, day) = (&one.spec, &one.tape.day);
    let (bid, ask) = one.book.top();
    let ((bid, bid_qty), (ask, ask_qty)) = (bid.unwrap_or((0, 0)), ask.unwrap_or((0, 0)));
    json.raw("\"symbol\":\"")
        .raw(&spec.symbol)
        .raw("\",\"lastPrice\":\"")
        .price(spec, day.close);
    if !venue.is_spot() {
        json.raw("\",\"indexPrice\":\"").price(spec, day.close);
        // As the stream has it.
        json.raw("\",\"markPrice\":\"").price(spec, (bid + ask) / 2);
    }
    json.raw("\",\"prevPrice24h\":\"")
        .price(spec, day.open)
        .raw("\",\"price24hPcnt\":\"");
    push_decimal(json.0, i128::from(one.tape.day_change_ppm()), 6, false);
    json.raw("\",\"highPrice24h\":\"").price(spec, day.high);
    json.raw("\",\"lowPrice24h\":\"").price(spec, day.low);
    if !venue.is_spot() {
        json.raw("\",\"prevPrice1h\":\"").price(spec, day.open);
        json.raw("\",\"openInterest\":\"59891.732\",\"openInterestValue\":\"3899996265.01");
    }
    json.raw("\",\"turnover24h\":\"").turnover(spec, day.quote);
    json.raw("\",\"volume24h\":\"").volume(spec, day.base);
    if !venue.is_spot() {
        json.raw(
            "\",\"fundingRate\":\"0.0001\",\"nextFundingTime\":\"0\",\"predictedDeliveryPrice",
        );
        json.raw("\":\"\",\"basisRate\":\"\",\"deliveryFeeRate\":\"\",\"deliveryTime\":\"0");
    }
    json.raw("\",\"ask1Size\":\"")
        .qty(spec, ask_qty)
        .raw("\",\"bid1Price\":\"")
        .price(spec, bid);
    json.raw("\",\"ask1Price\":\"")
        .price(spec, ask)
        .raw("\",\"bid1Size\":\"")
        .qty(spec, bid_qty);
    json.raw(if venue.is_spot() {
        "\",\"usdIndexPrice\":\"\""
    } else {
        "\",\"basis\":\"\""
    });
}

/// The newest trade (docs market/recent-trade).
pub(super) fn recent_trade(
    venue: SimVenue,
    spec: &InstrumentSpec,
    newest: Option<(Trade, i64)>,
    now: i64,
) -> HttpResponse {
    let mut result = Vec::new();
    let mut json = Json(&mut result);
    json.raw("{\"category\":\"")
        .raw(category(venue))
        .raw("\",\"list\":[");
    if let Some((trade, at_ns)) = newest {
        json.raw("{\"execId\":\"");
        if venue.is_spot() {
            json.uint(SPOT_TRADE_ID + trade.id);
        } else {
            uuid(json.0, trade.id, spec.id);
        }
        json.raw("\",\"symbol\":\"")
            .raw(&spec.symbol)
            .raw("\",\"price\":\"")
            .price(spec, trade.price);
        json.raw("\",\"size\":\"")
            .qty(spec, trade.qty)
            .raw("\",\"side\":\"")
            .raw(if trade.buyer_maker { "Sell" } else { "Buy" });
        json.raw("\",\"time\":\"")
            .int(ms(at_ns))
            .raw("\",\"isBlockTrade\":false}");
    }
    json.raw("]}");
    envelope(0, "OK", &result, now)
}

/// The running candle (docs market/kline).
pub(super) fn kline(venue: SimVenue, spec: &InstrumentSpec, bar: &Bar, now: i64) -> HttpResponse {
    let mut result = Vec::new();
    let mut json = Json(&mut result);
    json.raw("{\"symbol\":\"")
        .raw(&spec.symbol)
        .raw("\",\"category\":\"")
        .raw(category(venue))
        .raw("\",\"list\":[[\"")
        .int(ms(bar.open_ns));
    for price in [bar.open, bar.high, bar.low, bar.close] {
        json.raw("\",\"").price_trimmed(spec, price);
    }
    json.raw("\",\"").volume(spec, bar.base);
    json.raw("\",\"").turnover(spec, bar.quote);
    json.raw("\"]]}");
    envelope(0, "OK", &result, now)
}

fn instruments_info(
    venue: SimVenue,
    market: &Market,
    index: Option<usize>,
    request: &HttpRequest<'_>,
    now: i64,
) -> HttpResponse {
    let limit = request
        .param("limit")
        .map_or(Ok(500), |limit| limit.parse::<usize>());
    let Ok(limit @ 1..=1_000) = limit else {
        return refuse("params error: limit is invalid", now);
    };
    // The cursor is opaque to clients; here it is the place to go on from. Spot ignores paging.
    let start = request
        .param("cursor")
        .and_then(|c| c.parse::<usize>().ok())
        .unwrap_or(0);
    let (start, limit) = if venue.is_spot() {
        (0, usize::MAX)
    } else {
        (start, limit)
    };
    let wanted: Vec<&Instrument> = match index {
        Some(index) => vec![&market.instruments[index]],
        None => market.instruments.iter().collect(),
    };
    let page: Vec<_> = wanted.iter().skip(start).take(limit).collect();
    let mut result = Vec::with_capacity(700 * page.len() + 64);
    let mut json = Json(&mut result);
    json.raw("{\"category\":\"")
        .raw(category(venue))
        .raw("\",\"list\":[");
    for (place, one) in page.iter().enumerate() {
        json.raw(if place > 0 { "," } else { "" });
        if venue.is_spot() {
            spot_symbol(&mut json, &one.spec);
        } else {
            linear_symbol(&mut json, &one.spec);
        }
    }
    json.raw("]");
    if !venue.is_spot() {
        json.raw(",\"nextPageCursor\":\"");
        if start.saturating_add(limit) < wanted.len() {
            json.uint((start + limit) as u64);
        }
        json.raw("\"");
    }
    json.raw("}");
    envelope(0, "OK", &result, now)
}

fn spot_symbol(json: &mut Json<'_>, spec: &InstrumentSpec) {
    json.raw("{\"symbolId\":")
        .int(i64::from(spec.id))
        .raw(",\"symbol\":\"")
        .raw(&spec.symbol);
    json.raw("\",\"baseCoin\":\"")
        .raw(&spec.base)
        .raw("\",\"quoteCoin\":\"")
        .raw(&spec.quote);
    json.raw(r#"","innovation":"0","status":"Trading","marginTrading":"utaOnly","stTag":"0""#);
    // basePrecision is a step, not a digit count (docs market/instrument).
    json.raw(r#","lotSizeFilter":{"basePrecision":""#)
        .qty(spec, 1);
    json.raw(r#"","quotePrecision":"0.0000001","minOrderQty":""#)
        .qty(spec, 1);
    json.raw(r#"","maxOrderQty":""#).qty(spec, 230_000_000);
    json.raw(r#"","minOrderAmt":"5","maxOrderAmt":"8000000","maxLimitOrderQty":""#);
    json.qty(spec, 230_000_000)
        .raw(r#"","maxMarketOrderQty":""#)
        .qty(spec, 120_000_000);
    json.raw(r#"","postOnlyMaxLimitOrderSize":""#)
        .qty(spec, 1_150_000_000);
    json.raw(r#""},"priceFilter":{"tickSize":""#).price(spec, 1);
    json.raw(r#""},"riskParameters":{"priceLimitRatioX":"0.005","priceLimitRatioY":"0.01"}"#);
    json.raw(r#","symbolType":"","xstockMultiplier":"1"}"#);
}

fn linear_symbol(json: &mut Json<'_>, spec: &InstrumentSpec) {
    json.raw("{\"symbol\":\"")
        .raw(&spec.symbol)
        .raw(r#"","contractType":"LinearPerpetual""#);
    json.raw(r#","status":"Trading","baseCoin":""#)
        .raw(&spec.base)
        .raw(r#"","quoteCoin":""#);
    json.raw(&spec.quote)
        .raw(r#"","launchTime":"1584230400000","deliveryTime":"0""#);
    json.raw(r#","deliveryFeeRate":"","priceScale":""#)
        .int(i64::from(spec.price.decimals));
    json.raw(r#"","leverageFilter":{"minLeverage":"1","maxLeverage":"100.00","leverageStep":"#);
    json.raw(r#""0.01"},"priceFilter":{"minPrice":""#)
        .price(spec, 1)
        .raw(r#"","maxPrice":""#);
    json.price(spec, spec.mid_ticks * 20)
        .raw(r#"","tickSize":""#)
        .price(spec, 1);
    json.raw(r#""},"lotSizeFilter":{"maxOrderQty":""#)
        .qty(spec, 1_500_000);
    json.raw(r#"","minOrderQty":""#)
        .qty(spec, 1)
        .raw(r#"","qtyStep":""#)
        .qty(spec, 1);
    json.raw(r#"","postOnlyMaxOrderQty":""#)
        .qty(spec, 1_500_000);
    json.raw(r#"","maxMktOrderQty":""#).qty(spec, 150_000);
    json.raw(r#"","minNotionalValue":"5"},"unifiedMarginTrade":true,"fundingInterval":480"#);
    json.raw(r#","settleCoin":""#)
        .raw(&spec.quote)
        .raw(r#"","copyTrading":"both""#);
    json.raw(r#","upperFundingRate":"0.005","lowerFundingRate":"-0.005","isPreListing":false"#);
    json.raw(r#","preListingInfo":null,"riskParameters":{"priceLimitRatioX":"0.01""#);
    json.raw(r#","priceLimitRatioY":"0.02"},"displayName":"","symbolType":"""#);
    json.raw(r#","forbidUplWithdrawal":false,"symbolId":"#)
        .int(i64::from(spec.id))
        .raw("}");
}

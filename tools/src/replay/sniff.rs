//! What addresses and messages tell before a connector reads them: market, symbol, channel. Only
//! for finding out what to subscribe to; the connectors do the reading that counts.

use serde_json::Value;
use tickwire_connectors::{BookParams, Channel, Interval, Market, Venue};

use crate::recording::{Record, RecordKind};

/// The market that an address belongs to.
pub(super) fn market_of_url(venue: Venue, url: &str) -> Option<Market> {
    let has = |text: &str| url.contains(text);
    match venue {
        Venue::Binance if has("fstream") || has("/fapi/") => Some(Market::Linear),
        Venue::Binance if has("dstream") || has("/dapi/") => Some(Market::Inverse),
        Venue::Binance if has("binance") && (has("stream.") || has("/api/")) => Some(Market::Spot),
        Venue::Bybit => [
            Market::Spot,
            Market::Linear,
            Market::Inverse,
            Market::Option,
        ]
        .into_iter()
        .find(|market| has(&format!("/v5/public/{market}")) || has(&format!("category={market}"))),
        _ => None,
    }
}

/// The market that a message betrays: at Deribit by its instrument's name, at Binance by its shape.
/// Bybit's look alike in all markets.
pub(super) fn market_of_message(venue: Venue, payload: &[u8]) -> Option<Market> {
    if venue == Venue::Deribit {
        let (symbol, _) = deribit_topic(topic(venue, payload)?)?;
        return deribit_market(&symbol);
    }
    if venue != Venue::Binance {
        return None;
    }
    let message = json(payload)?;
    let data = message.get("data").unwrap_or(&message);
    if !data.is_object() {
        return None;
    }
    let has = |key: &str| data.get(key).is_some();
    // Only COIN-M names the pair beside the symbol; only futures chain by `pu`; only spot has the
    // ignored field `M` in trades and a bookTicker without event type.
    match data.get("e").and_then(Value::as_str) {
        Some("depthUpdate" | "bookTicker") if has("ps") => Some(Market::Inverse),
        Some("depthUpdate") if has("pu") => Some(Market::Linear),
        Some("bookTicker") => Some(Market::Linear),
        Some("depthUpdate") => Some(Market::Spot),
        Some("trade" | "aggTrade") if has("M") => Some(Market::Spot),
        None if has("u") && has("B") && has("A") => Some(Market::Spot),
        _ => None,
    }
}

/// The market that the body of an HTTP answer names.
pub(super) fn market_of_answer(venue: Venue, payload: &[u8]) -> Option<Market> {
    if venue != Venue::Bybit {
        return None;
    }
    let category = text_after(text(payload)?, "\"category\":\"")?;
    category.parse().ok()
}

/// What a line is: a message without an envelope may be the answer to an HTTP request. Recorders
/// that write bare lines put depth snapshots between the frames.
pub(super) fn kind_of(venue: Venue, record: &Record<'_>) -> RecordKind {
    let bare = record.conn.is_empty() && record.url.is_none() && record.kind == RecordKind::Recv;
    if bare && is_answer(venue, record.payload) {
        RecordKind::Http
    } else {
        record.kind
    }
}

fn is_answer(venue: Venue, payload: &[u8]) -> bool {
    let has = |key: &str| text(payload).is_some_and(|text| text.contains(key));
    match venue {
        // A frame of a combined stream says which; no raw frame has these keys.
        Venue::Binance => {
            (has("\"lastUpdateId\":") || has("\"serverTime\":")) && !has("\"stream\":")
        }
        Venue::Bybit => has("\"retCode\":") && has("\"result\":"),
        _ => false,
    }
}

/// The venue's own name of the stream that a message belongs to, where the message has one.
pub(super) fn topic(venue: Venue, payload: &[u8]) -> Option<&str> {
    let text = text(payload)?;
    match venue {
        Venue::Binance => text_after(text, "\"stream\":\""),
        Venue::Bybit => text_after(text, "\"topic\":\""),
        Venue::Deribit => text_after(text, "\"channel\":\""),
        _ => None,
    }
}

/// The symbol and the channel of a stream by the venue's name for it.
pub(super) fn stream_of_topic(venue: Venue, topic: &str) -> Option<(String, Channel)> {
    match venue {
        Venue::Binance => binance_topic(topic),
        Venue::Bybit => bybit_topic(topic),
        Venue::Deribit => deribit_topic(topic),
        _ => None,
    }
}

/// The symbol and the channel of a message that names no stream.
pub(super) fn stream_of_message(venue: Venue, payload: &[u8]) -> Option<(String, Channel)> {
    if venue != Venue::Binance {
        return None;
    }
    let message = json(payload)?;
    let data = message.get("data").unwrap_or(&message);
    let symbol = data.get("s")?.as_str()?.to_owned();
    let channel = match data.get("e").and_then(Value::as_str) {
        Some("depthUpdate") => Channel::BOOK,
        Some("bookTicker") => Channel::Bbo,
        Some("trade") => Channel::Trades,
        Some("aggTrade") => Channel::AggTrades,
        Some("24hrTicker" | "markPriceUpdate") => Channel::Ticker,
        Some("kline") => Channel::Kline(data.get("k")?.get("i")?.as_str()?.parse().ok()?),
        None if data.get("B").is_some() && data.get("A").is_some() => Channel::Bbo,
        _ => return None,
    };
    Some((symbol, channel))
}

/// `btcusdt@depth@100ms`
fn binance_topic(topic: &str) -> Option<(String, Channel)> {
    let (symbol, channel) = topic.split_once('@')?;
    let channel = match channel.split_once('@') {
        Some(("depth", interval)) => Channel::Book(BookParams {
            levels: None,
            interval_ms: interval
                .strip_suffix("ms")
                .and_then(|ms| ms.parse().ok())
                .filter(|ms| *ms > 0),
        }),
        Some(("markPrice", _)) => Channel::Ticker,
        Some(_) => return None,
        None => match channel {
            "depth" => Channel::BOOK,
            "bookTicker" => Channel::Bbo,
            "trade" => Channel::Trades,
            "aggTrade" => Channel::AggTrades,
            "ticker" | "markPrice" => Channel::Ticker,
            _ => Channel::Kline(channel.strip_prefix("kline_")?.parse().ok()?),
        },
    };
    Some((symbol.to_uppercase(), channel))
}

/// `orderbook.200.BTCUSDT`
fn bybit_topic(topic: &str) -> Option<(String, Channel)> {
    let (name, rest) = topic.split_once('.')?;
    let (param, symbol) = rest.split_once('.').unwrap_or(("", rest));
    let channel = match name {
        "orderbook" if param == "1" => Channel::Bbo,
        "orderbook" => Channel::Book(BookParams {
            levels: Some(param.parse().ok()?),
            interval_ms: None,
        }),
        "publicTrade" => Channel::Trades,
        "tickers" => Channel::Ticker,
        "kline" => Channel::Kline(bybit_interval(param)?),
        _ => return None,
    };
    Some((symbol.to_owned(), channel))
}

/// Bybit counts in minutes and writes `D`, `W` and `M` for the longer ones.
fn bybit_interval(text: &str) -> Option<Interval> {
    Some(match text {
        "1" => Interval::Min1,
        "3" => Interval::Min3,
        "5" => Interval::Min5,
        "15" => Interval::Min15,
        "30" => Interval::Min30,
        "60" => Interval::Hour1,
        "120" => Interval::Hour2,
        "240" => Interval::Hour4,
        "360" => Interval::Hour6,
        "720" => Interval::Hour12,
        "D" => Interval::Day1,
        "W" => Interval::Week1,
        "M" => Interval::Month1,
        _ => return None,
    })
}

/// `book.BTC-PERPETUAL.raw`. Trades and tickers have one stream each, whatever their interval is.
fn deribit_topic(topic: &str) -> Option<(String, Channel)> {
    let (name, rest) = topic.split_once('.')?;
    let parts: Vec<&str> = rest.split('.').collect();
    let interval_ms = match *parts.last()? {
        "raw" => Some(0),
        "100ms" => Some(100),
        "agg2" => Some(1_000),
        _ => None,
    };
    let book = |levels| {
        Channel::Book(BookParams {
            levels,
            interval_ms,
        })
    };
    let (symbol, channel) = match (name, &parts[..]) {
        ("book", [symbol, _]) => (symbol, book(None)),
        ("book", [symbol, "none", depth, _]) => (symbol, book(Some(depth.parse().ok()?))),
        ("quote", [symbol]) => (symbol, Channel::Bbo),
        ("trades", [symbol, _]) => (symbol, Channel::Trades),
        ("ticker", [symbol, _]) | ("deribit_price_index", [symbol]) => (symbol, Channel::Ticker),
        _ => return None,
    };
    Some(((*symbol).to_owned(), channel))
}

/// `BTC_USDC` is spot, `BTC_USDC-PERPETUAL` linear, `BTC-PERPETUAL` inverse, `BTC-25DEC26-50000-C` an
/// option.
fn deribit_market(symbol: &str) -> Option<Market> {
    let parts = symbol.split('-').count();
    match (symbol.contains('_'), parts) {
        (_, 4) => Some(Market::Option),
        (true, 1) => Some(Market::Spot),
        (true, 2) => Some(Market::Linear),
        (false, 2) => Some(Market::Inverse),
        _ => None,
    }
}

fn text(payload: &[u8]) -> Option<&str> {
    std::str::from_utf8(payload).ok()
}

fn json(payload: &[u8]) -> Option<Value> {
    text(payload)?.parse().ok()
}

/// What stands after `key` up to the next quote.
fn text_after<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let start = text.find(key)? + key.len();
    let rest = text.get(start..)?;
    rest.get(..rest.find('"')?)
}

#[cfg(test)]
mod tests;

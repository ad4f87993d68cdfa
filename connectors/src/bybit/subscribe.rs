//! Channels to topics, requests, and what refusals say.

use std::io::Write;

use crate::channel::{BookParams, Channel, Interval};
use crate::error::{Error, ErrorKind};
use crate::instrument::Symbol;
use crate::market_data::Topic;
use crate::subscriptions::Op;

/// The topic of a channel. What Bybit does not offer is refused here, before anything is sent.
pub(super) fn topic(channel: Channel, symbol: &Symbol) -> Result<Topic, Error> {
    let text = match channel {
        Channel::Bbo => format!("orderbook.1.{symbol}"),
        Channel::Book(params) => format!("orderbook.{}.{symbol}", book_depth(params)?),
        Channel::Trades => format!("publicTrade.{symbol}"),
        Channel::Ticker => format!("tickers.{symbol}"),
        Channel::Kline(interval) => format!("kline.{}.{symbol}", interval_name(interval)?),
        Channel::AggTrades => {
            let text = "Bybit has no aggregated trades: use trades";
            return Err(Error::ours(ErrorKind::NotSupported, text));
        }
        Channel::User => {
            let text = "Bybit: give the connector credentials (BybitConfig::trading)";
            return Err(Error::ours(ErrorKind::NotSupported, text));
        }
    };
    Topic::from(&text).map_err(|_| Error::ours(ErrorKind::BadSymbol, "the symbol is too long"))
}

/// Depths with their push interval in milliseconds, the same for spot and linear
/// (websocket/public/orderbook, 2026-07-24; spot 200 since 2026-03-19, 1000 since 2025-11-25). The
/// depth of 500 is gone since 2025-09-11, and 1 is snapshots only: that is [`Channel::Bbo`].
pub(super) const DEPTHS: [(u16, u16); 3] = [(50, 20), (200, 100), (1000, 200)];

/// 50 levels come every 20 ms, deeper books 5 to 10 times later: without a wish for depth, a book
/// is taken for its top.
pub(super) const DEPTH_DEFAULT: u16 = 50;

/// How many levels the stream of a book has.
pub(super) fn book_depth(params: BookParams) -> Result<u16, Error> {
    let levels = params.levels.unwrap_or(DEPTH_DEFAULT);
    let refuse = |text: String| Err(Error::ours(ErrorKind::NotSupported, text));
    let Some((_, interval_ms)) = DEPTHS.iter().find(|(depth, _)| *depth == levels) else {
        let hint = if levels == 1 {
            "; for the best level use bbo"
        } else {
            ""
        };
        return refuse(format!(
            "Bybit has books of 50, 200 and 1000 levels, not of {levels}{hint}"
        ));
    };
    match params.interval_ms {
        Some(asked) if asked != *interval_ms => refuse(format!(
            "Bybit sends a book of {levels} levels every {interval_ms} ms, not every {asked}"
        )),
        _ => Ok(levels),
    }
}

/// The interval as it stands in a kline topic (websocket/public/kline, 2026-07-24).
pub(super) fn interval_name(interval: Interval) -> Result<&'static str, Error> {
    Ok(match interval {
        Interval::Min1 => "1",
        Interval::Min3 => "3",
        Interval::Min5 => "5",
        Interval::Min15 => "15",
        Interval::Min30 => "30",
        Interval::Hour1 => "60",
        Interval::Hour2 => "120",
        Interval::Hour4 => "240",
        Interval::Hour6 => "360",
        Interval::Hour12 => "720",
        Interval::Day1 => "D",
        Interval::Week1 => "W",
        Interval::Month1 => "M",
        Interval::Sec1 | Interval::Hour8 | Interval::Day3 => {
            let text = format!("Bybit has no candles of {}", interval.as_str());
            return Err(Error::ours(ErrorKind::NotSupported, text));
        }
    })
}

/// What a refusal of the venue says, taken from `ret_msg`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal<'a> {
    /// `error:already subscribed,topic:T`: harmless.
    Had(&'a str),
    /// `error:handler not found,topic:T`: no such symbol, depth or channel.
    Unknown(&'a str),
    /// The venue could not just now.
    Later,
    /// Any other words, with the topic where one is named.
    Other(Option<&'a str>),
}

/// Words of a refusal that another try may not meet. The pages name none for public streams; these
/// are the words of the REST errors that they say to repeat (error, 2026-07-24: "timeout", "too many
/// visits", "server error", "is busy", "frequent").
const LATER: [&str; 7] = [
    "timeout",
    "time out",
    "too many visits",
    "server error",
    "internal",
    "busy",
    "frequent",
];

/// Reads a refusal. Only the first bad topic of a request is named (observed 2026-09).
pub(super) fn refusal(text: &str) -> Refusal<'_> {
    let (words, topic) = match text.split_once(",topic:") {
        Some((words, topic)) => (words, Some(topic.trim())),
        None => (text, None),
    };
    match topic {
        Some(topic) if words.contains("already subscribed") => Refusal::Had(topic),
        Some(topic) if words.contains("handler not found") => Refusal::Unknown(topic),
        other => {
            let words = words.to_ascii_lowercase();
            if LATER.iter().any(|one| words.contains(one)) {
                Refusal::Later
            } else {
                Refusal::Other(other)
            }
        }
    }
}

/// `{"req_id":"ping-1","op":"ping"}` (ws/connect, 2026-07-24). The id is no number, so that no
/// answer to it is taken for an ack.
pub(super) fn write_ping(body: &mut Vec<u8>, number: u32) {
    // Writing to a Vec can't fail.
    let _ = write!(body, r#"{{"req_id":"ping-{number}","op":"ping"}}"#);
}

/// Topics are made of letters, digits, dots and hyphens: nothing in them needs an escape.
pub(super) fn write_request<'a>(
    body: &mut Vec<u8>,
    id: u32,
    op: Op,
    topics: impl Iterator<Item = &'a str>,
) {
    let op = match op {
        Op::Subscribe => "subscribe",
        Op::Unsubscribe => "unsubscribe",
    };
    let _ = write!(body, r#"{{"req_id":"{id}","op":"{op}","args":["#);
    for (index, topic) in topics.enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let _ = write!(body, r#"{comma}"{topic}""#);
    }
    body.extend_from_slice(b"]}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instrument::symbol;

    #[test]
    fn channels_become_topics_or_are_refused() {
        let symbol = symbol("BTCUSDT").expect("short");
        let table = [
            ("bbo", Some("orderbook.1.BTCUSDT")),
            ("book", Some("orderbook.50.BTCUSDT")),
            ("book:200", Some("orderbook.200.BTCUSDT")),
            ("book:1000@200", Some("orderbook.1000.BTCUSDT")),
            ("book@20", Some("orderbook.50.BTCUSDT")),
            ("book@100", None),
            ("book:1", None),
            ("book:500", None),
            ("trades", Some("publicTrade.BTCUSDT")),
            ("agg_trades", None),
            ("ticker", Some("tickers.BTCUSDT")),
            ("kline:1m", Some("kline.1.BTCUSDT")),
            ("kline:1h", Some("kline.60.BTCUSDT")),
            ("kline:1M", Some("kline.M.BTCUSDT")),
            ("kline:8h", None),
            ("kline:1s", None),
        ];
        for (text, want) in table {
            let channel = text.parse::<Channel>().expect("a channel");
            assert_eq!(topic(channel, &symbol).ok().as_deref(), want, "{text}");
        }
    }

    #[test]
    fn refusals_are_read_by_their_words() {
        let table = [
            (
                "error:handler not found,topic:orderbook.50.NOPEUSDT",
                Refusal::Unknown("orderbook.50.NOPEUSDT"),
            ),
            (
                "error:already subscribed,topic:orderbook.1.ETHUSDT",
                Refusal::Had("orderbook.1.ETHUSDT"),
            ),
            ("error:something,topic:x", Refusal::Other(Some("x"))),
            ("args size >10", Refusal::Other(None)),
            ("Too many visits!", Refusal::Later),
            ("error:server error,topic:x", Refusal::Later),
            ("", Refusal::Other(None)),
        ];
        for (text, want) in table {
            assert_eq!(refusal(text), want, "{text}");
        }
    }
}

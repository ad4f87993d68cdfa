//! Channels to topics, requests, and what refusals say.
//!
//! A topic is what Deribit calls a channel: `book.BTC-PERPETUAL.100ms`.

use std::io::Write;

use arrayvec::ArrayString;

use super::symbols;
use crate::channel::{BookParams, Channel, Interval};
use crate::error::{Error, ErrorKind, Next};
use crate::instrument::Symbol;
use crate::subscriptions::Op;

/// A topic: the longest prefix, "deribit_price_index.", or suffix, ".none.20.100ms", and a symbol.
pub(super) type Topic = ArrayString<104>;

/// The topic of a channel. What Deribit does not offer is refused here, before anything is sent.
///
/// `logged_in` says whether links log in: then what has no wish for an interval comes with each change.
pub(super) fn topic(channel: Channel, symbol: &Symbol, logged_in: bool) -> Result<Topic, Error> {
    let pace = if logged_in { "raw" } else { "100ms" };
    let refuse = |text: &str| Err(Error::ours(ErrorKind::NotSupported, text));
    let text = match channel {
        Channel::Ticker if symbols::is_index(symbol) => format!("deribit_price_index.{symbol}"),
        _ if symbols::is_index(symbol) => {
            return refuse("an index of Deribit has a ticker and nothing else");
        }
        Channel::Bbo => format!("quote.{symbol}"),
        Channel::Book(params) => format!("book.{symbol}.{}", book_kind(params, pace)?),
        Channel::Trades => format!("trades.{symbol}.{pace}"),
        Channel::Ticker => format!("ticker.{symbol}.{pace}"),
        Channel::Kline(interval) => {
            format!("chart.trades.{symbol}.{}", interval_name(interval)?)
        }
        Channel::AggTrades => return refuse("Deribit has no aggregated trades: use trades"),
        Channel::User => {
            let text = "Deribit: give the connector credentials (DeribitConfig::trading)";
            return refuse(text);
        }
    };
    Topic::from(&text).map_err(|_| Error::ours(ErrorKind::BadSymbol, "the symbol is too long"))
}

/// The kinds of book as they stand behind the symbol (book.{instrument_name}.{interval} and
/// book.{instrument_name}.{group}.{depth}.{interval}, API v2.1.1).
pub(super) const BOOKS: [&str; 9] = [
    "raw",
    "100ms",
    "agg2",
    "none.1.100ms",
    "none.10.100ms",
    "none.20.100ms",
    "none.1.agg2",
    "none.10.agg2",
    "none.20.agg2",
];

/// The topic of a book.
pub(super) fn book_topic(symbol: &str, kind: &str) -> Option<Topic> {
    Topic::from(&format!("book.{symbol}.{kind}")).ok()
}

/// The topic of the best prices.
pub(super) fn quote_topic(symbol: &str) -> Option<Topic> {
    Topic::from(&format!("quote.{symbol}")).ok()
}

/// The kind of a book. Without a wish for a depth it is the whole book by its changes; with one it is
/// so many levels, whole each time.
fn book_kind(params: BookParams, pace: &'static str) -> Result<&'static str, Error> {
    let interval = match params.interval_ms {
        None => pace,
        Some(0) => "raw",
        Some(100) => "100ms",
        // "agg2" says no time; about a second was measured.
        Some(1_000) => "agg2",
        Some(other) => {
            let text = format!(
                "Deribit sends books with each change (0, logged in only), every 100 ms and every 1000 ms, not every {other}"
            );
            return Err(Error::ours(ErrorKind::NotSupported, text));
        }
    };
    Ok(match (params.levels, interval) {
        (None, interval) => interval,
        (Some(1 | 10 | 20), "raw") if params.interval_ms.is_some() => {
            let text =
                "Deribit sends a book of so many levels every 100 or 1000 ms, not with each change";
            return Err(Error::ours(ErrorKind::NotSupported, text));
        }
        (Some(1), "agg2") => "none.1.agg2",
        (Some(10), "agg2") => "none.10.agg2",
        (Some(20), "agg2") => "none.20.agg2",
        (Some(1), _) => "none.1.100ms",
        (Some(10), _) => "none.10.100ms",
        (Some(20), _) => "none.20.100ms",
        (Some(levels), _) => {
            let text =
                format!("Deribit has books of 1, 10 and 20 levels and whole ones, not of {levels}");
            return Err(Error::ours(ErrorKind::NotSupported, text));
        }
    })
}

/// The resolution as it stands in a chart topic (chart.trades, API v2.1.1).
pub(super) fn interval_name(interval: Interval) -> Result<&'static str, Error> {
    Ok(match interval {
        Interval::Min1 => "1",
        Interval::Min3 => "3",
        Interval::Min5 => "5",
        Interval::Min15 => "15",
        Interval::Min30 => "30",
        Interval::Hour1 => "60",
        Interval::Hour2 => "120",
        Interval::Hour6 => "360",
        Interval::Hour12 => "720",
        Interval::Day1 => "1D",
        Interval::Sec1
        | Interval::Hour4
        | Interval::Hour8
        | Interval::Day3
        | Interval::Week1
        | Interval::Month1 => {
            let text = format!("Deribit has no candles of {}", interval.as_str());
            return Err(Error::ours(ErrorKind::NotSupported, text));
        }
    })
}

/// How long a candle is; `None` for those that Deribit does not have.
pub(super) const fn interval_ms(interval: Interval) -> Option<i64> {
    let minutes = match interval {
        Interval::Min1 => 1,
        Interval::Min3 => 3,
        Interval::Min5 => 5,
        Interval::Min15 => 15,
        Interval::Min30 => 30,
        Interval::Hour1 => 60,
        Interval::Hour2 => 120,
        Interval::Hour6 => 360,
        Interval::Hour12 => 720,
        Interval::Day1 => 1_440,
        _ => return None,
    };
    Some(minutes * 60_000)
}

/// What the venue means by an error on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// `raw` topics need a login. The whole request was refused, the others in it as well.
    RawNeedsLogin,
    /// Out of credits; the venue ends the session.
    TooMany,
    /// The venue could not just now.
    Later,
    /// The login is gone or was never right.
    Login,
    /// Any other.
    Other,
}

/// By the code (RPC error codes, API v2.1.1; what may be tried again is the set that nautilus_trader
/// uses, 2026-07).
pub(super) const fn refusal(code: i64) -> Refusal {
    match code {
        13_778 => Refusal::RawNeedsLogin,
        10_028 => Refusal::TooMany,
        10_040 | 10_041 | 10_047 | 10_066 | 11_051 | 11_094 | 13_028 | 13_888 => Refusal::Later,
        10_000 | 11_056 | 12_998 | 13_004 | 13_009 => Refusal::Login,
        _ => Refusal::Other,
    }
}

/// The venue's code and words as an error of ours.
pub(super) fn code_error(code: i64, words: &str) -> Error {
    let (kind, next) = match (refusal(code), code) {
        (Refusal::RawNeedsLogin | Refusal::Login, _) => (ErrorKind::Authentication, Next::Never),
        (Refusal::TooMany, _) => (
            ErrorKind::RateLimited,
            Next::AfterMs(super::rest::millis(super::urls::CREDITS_WAIT)),
        ),
        (Refusal::Later, _) => (
            ErrorKind::VenueUnavailable,
            Next::AfterMs(super::rest::millis(super::urls::RETRY_WAIT)),
        ),
        (_, 10_020 | 13_020) => (ErrorKind::BadSymbol, Next::Never),
        (_, 13_021) => (ErrorKind::Permission, Next::Never),
        (_, 11_029 | 11_050 | -32_600 | -32_601 | -32_602 | -32_700) => {
            (ErrorKind::BadRequest, Next::Never)
        }
        _ => (ErrorKind::Other, Next::Never),
    };
    let hint = match refusal(code) {
        Refusal::RawNeedsLogin => ": give credentials, or ask for 100 ms",
        _ => "",
    };
    Error::venue(kind, next, Some(code), format!("Deribit: {words}{hint}"))
}

/// The ids of requests that are not about topics are text, so that no answer to one is taken for an ack.
pub(super) const LOGIN_ID: &str = "login";
pub(super) const HEARTBEAT_ID: &str = "heartbeat";
pub(super) const TEST_ID: &str = "test";

/// `public/set_heartbeat`: the venue then sends a heartbeat this often, and asks for proof of life.
pub(super) fn write_heartbeat(body: &mut Vec<u8>, interval_s: i64) {
    // Writing to a Vec can't fail, here and below.
    let _ = write!(
        body,
        r#"{{"jsonrpc":"2.0","id":"{HEARTBEAT_ID}","method":"public/set_heartbeat","params":{{"interval":{interval_s}}}}}"#
    );
}

/// `public/test`, the proof of life.
pub(super) fn write_test(body: &mut Vec<u8>) {
    let _ = write!(
        body,
        r#"{{"jsonrpc":"2.0","id":"{TEST_ID}","method":"public/test","params":{{}}}}"#
    );
}

/// Topics are made of letters, digits, dots, hyphens and underscores: nothing in them needs an escape.
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
    let _ = write!(
        body,
        r#"{{"jsonrpc":"2.0","id":{id},"method":"public/{op}","params":{{"channels":["#
    );
    for (index, topic) in topics.enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let _ = write!(body, r#"{comma}"{topic}""#);
    }
    body.extend_from_slice(b"]}}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instrument::symbol;

    #[test]
    fn channels_become_topics_or_are_refused() {
        let perpetual = symbol("BTC-PERPETUAL").expect("short");
        let table = [
            ("bbo", Some("quote.BTC-PERPETUAL"), None),
            (
                "book",
                Some("book.BTC-PERPETUAL.100ms"),
                Some("book.BTC-PERPETUAL.raw"),
            ),
            ("book@0", Some("book.BTC-PERPETUAL.raw"), None),
            ("book@100", Some("book.BTC-PERPETUAL.100ms"), None),
            ("book@1000", Some("book.BTC-PERPETUAL.agg2"), None),
            ("book:20", Some("book.BTC-PERPETUAL.none.20.100ms"), None),
            (
                "book:10@100",
                Some("book.BTC-PERPETUAL.none.10.100ms"),
                None,
            ),
            ("book:1@1000", Some("book.BTC-PERPETUAL.none.1.agg2"), None),
            (
                "trades",
                Some("trades.BTC-PERPETUAL.100ms"),
                Some("trades.BTC-PERPETUAL.raw"),
            ),
            (
                "ticker",
                Some("ticker.BTC-PERPETUAL.100ms"),
                Some("ticker.BTC-PERPETUAL.raw"),
            ),
            ("kline:1m", Some("chart.trades.BTC-PERPETUAL.1"), None),
            ("kline:1d", Some("chart.trades.BTC-PERPETUAL.1D"), None),
            ("book@20", None, None),
            ("book:50", None, None),
            ("book:20@0", None, None),
            ("agg_trades", None, None),
            ("kline:4h", None, None),
        ];
        for (text, want, logged_in) in table {
            let channel = text.parse::<Channel>().expect("a channel");
            let of = |logged_in| topic(channel, &perpetual, logged_in).ok();
            assert_eq!(of(false).as_deref(), want, "{text}");
            assert_eq!(of(true).as_deref(), logged_in.or(want), "{text}, logged in");
        }
        let index = symbol("btc_usd").expect("short");
        let of = |channel| topic(channel, &index, true).ok();
        assert_eq!(
            of(Channel::Ticker).as_deref(),
            Some("deribit_price_index.btc_usd")
        );
        assert_eq!(of(Channel::BOOK), None);
    }

    #[test]
    fn every_kind_of_book_is_known_to_its_quotes() {
        for levels in [None, Some(1), Some(10), Some(20)] {
            for interval_ms in [None, Some(0), Some(100), Some(1_000)] {
                let params = BookParams {
                    levels,
                    interval_ms,
                };
                for pace in ["raw", "100ms"] {
                    if let Ok(kind) = book_kind(params, pace) {
                        assert!(BOOKS.contains(&kind), "{kind}");
                    }
                }
            }
        }
    }
}

//! Channels, and the messages that ask for tokens.

use std::io::Write;

use crate::channel::{BookParams, Channel};
use crate::error::{Error, ErrorKind};
use crate::instrument::Symbol;
use crate::market_data::Topic;
use crate::subscriptions::Op;

/// The topic of a channel: the token's id. With it come its book, its changes and its trades, so that
/// all streams of a token share one. What Polymarket does not offer is refused here, before anything is
/// sent.
pub(super) fn topic(channel: Channel, token: &Symbol) -> Result<Topic, Error> {
    check(channel)?;
    Topic::from(token).map_err(|_| Error::ours(ErrorKind::BadSymbol, "the symbol is too long"))
}

fn check(channel: Channel) -> Result<(), Error> {
    let text = match channel {
        Channel::Trades | Channel::User => return Ok(()),
        Channel::Book(BookParams {
            levels: None,
            interval_ms: None,
        }) => return Ok(()),
        Channel::Book(_) => {
            "Polymarket has one book, whole and in real time: use book without levels or interval"
        }
        // `best_bid_ask` has prices alone, and a price without its size is not what a Bbo says.
        Channel::Bbo => {
            "Polymarket tells its best prices without their sizes: use book, whose top is published"
        }
        Channel::AggTrades => "Polymarket has no aggregated trades: use trades",
        Channel::Ticker => "Polymarket has no ticker stream: use book or trades",
        Channel::Kline(_) => "Polymarket has no candle stream: use trades",
    };
    Err(Error::ours(ErrorKind::NotSupported, text))
}

/// The first message on a connection says what it is for, and all further ones what changes
/// (market-data/websocket/market-channel). Token ids are digits: nothing in them needs an escape.
pub(super) fn write_request<'a>(
    body: &mut Vec<u8>,
    is_first: bool,
    op: Op,
    assets: impl Iterator<Item = &'a str>,
) {
    body.extend_from_slice(br#"{"assets_ids":["#);
    for (index, asset) in assets.enumerate() {
        let comma = if index == 0 { "" } else { "," };
        // Writing to a Vec can't fail.
        let _ = write!(body, r#"{comma}"{asset}""#);
    }
    body.extend_from_slice(match (is_first, op) {
        (true, _) => br#"],"type":"market","custom_feature_enabled":true}"#.as_slice(),
        (false, Op::Subscribe) => br#"],"operation":"subscribe"}"#.as_slice(),
        (false, Op::Unsubscribe) => br#"],"operation":"unsubscribe"}"#.as_slice(),
    });
}

/// A text, not a control frame (market-data/websocket/overview).
pub(super) const PING: &[u8] = b"PING";

/// The answer to [`PING`].
pub(super) const PONG: &[u8] = b"PONG";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_that_are_not_there_are_refused_with_what_to_use() {
        let table = [
            ("book", true),
            ("trades", true),
            ("book:50", false),
            ("book@100", false),
            ("bbo", false),
            ("agg_trades", false),
            ("ticker", false),
            ("kline:1m", false),
        ];
        for (text, good) in table {
            let channel = text.parse::<Channel>().expect("a channel");
            let checked = check(channel);
            assert_eq!(checked.is_ok(), good, "{text}");
            let says_what = checked
                .err()
                .is_none_or(|error| error.text.contains("use "));
            assert!(says_what, "{text}");
        }
    }

    #[test]
    fn requests_are_written_as_the_page_has_them() {
        let of = |is_first, op| {
            let mut body = Vec::new();
            write_request(&mut body, is_first, op, ["1", "22"].into_iter());
            String::from_utf8(body).expect("text")
        };
        assert_eq!(
            of(true, Op::Subscribe),
            r#"{"assets_ids":["1","22"],"type":"market","custom_feature_enabled":true}"#
        );
        assert_eq!(
            of(false, Op::Subscribe),
            r#"{"assets_ids":["1","22"],"operation":"subscribe"}"#
        );
        assert_eq!(
            of(false, Op::Unsubscribe),
            r#"{"assets_ids":["1","22"],"operation":"unsubscribe"}"#
        );
    }
}

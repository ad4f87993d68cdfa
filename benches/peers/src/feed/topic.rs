//! The venues' names of streams, and what a message brings by them.

use serde_json::Value;
use tickwire_connectors::{Channel, Venue};

use super::{Kind, Message};

/// A stream of hot messages.
#[derive(Clone, Debug)]
pub struct Topic {
    /// The connector that it is for.
    pub connector: usize,
    /// The venue's name for it; at Polymarket, which has none, the token.
    pub name: String,
    /// Its name in a [`Summary`](crate::decode::Summary).
    pub key: String,
    /// What it brings.
    pub kind: Kind,
}

/// How Deribit's notifications begin.
const DERIBIT: &[u8] = br#"{"jsonrpc":"2.0","method":"subscription","params":{"channel":""#;

/// The venue's own name of the stream of a message, which stands at its front in all recordings.
#[inline]
pub fn topic_of(venue: Venue, text: &[u8]) -> Option<&str> {
    let front = match venue {
        Venue::Binance => &b"{\"stream\":\""[..],
        Venue::Bybit => b"{\"topic\":\"",
        Venue::Deribit => DERIBIT,
        _ => return None,
    };
    let rest = text.strip_prefix(front)?;
    let end = rest.iter().position(|byte| *byte == b'"')?;
    std::str::from_utf8(rest.get(..end)?).ok()
}

/// What a message brings; `None` for what is not hot.
pub fn kind_of(venue: Venue, text: &[u8]) -> Option<Kind> {
    if venue == Venue::Polymarket {
        return of_polymarket(text);
    }
    of_topic(venue, topic_of(venue, text)?)
}

fn of_topic(venue: Venue, topic: &str) -> Option<Kind> {
    if venue == Venue::Binance {
        let (_, channel) = topic.split_once('@')?;
        return match channel {
            "bookTicker" => Some(Kind::Top),
            "trade" => Some(Kind::Trade),
            "aggTrade" => Some(Kind::AggTrade),
            _ => channel.starts_with("depth").then_some(Kind::Depth),
        };
    }
    match (venue, topic.split_once('.')?) {
        (Venue::Bybit, ("orderbook", rest)) if rest.starts_with("1.") => Some(Kind::Top),
        (Venue::Bybit, ("orderbook", _)) => Some(Kind::Depth),
        (Venue::Bybit, ("publicTrade", _)) => Some(Kind::Trade),
        // A grouped book has a further part.
        (Venue::Deribit, ("book", rest)) if rest.split('.').count() == 2 => Some(Kind::Depth),
        (Venue::Deribit, ("quote", _)) => Some(Kind::Top),
        (Venue::Deribit, ("trades", _)) => Some(Kind::Trade),
        _ => None,
    }
}

fn of_polymarket(text: &[u8]) -> Option<Kind> {
    let message: Value = serde_json::from_slice(text).ok()?;
    let mut kinds = objects(&message).iter().map(|object| {
        let kind = object.get("event_type").and_then(Value::as_str);
        match kind {
            Some("price_change") => Some(Kind::Depth),
            Some("book") => Some(Kind::Whole),
            Some("last_trade_price") => Some(Kind::Trade),
            _ => None,
        }
    });
    let first = kinds.next()??;
    kinds.all(|kind| kind == Some(first)).then_some(first)
}

/// The objects of one of Polymarket's messages.
pub(super) fn objects(message: &Value) -> &[Value] {
    let one = std::slice::from_ref(message);
    message.as_array().map_or(one, Vec::as_slice)
}

/// The streams of messages with topics.
pub(super) fn topics(venue: Venue, messages: &[Message]) -> Vec<Topic> {
    let mut topics: Vec<Topic> = Vec::new();
    for message in messages {
        let (connector, kind) = (message.connector, message.kind);
        let Some(name) = topic_of(venue, &message.text) else {
            continue;
        };
        if topics
            .iter()
            .any(|topic| topic.connector == connector && topic.name == name)
        {
            continue;
        }
        topics.push(Topic {
            connector,
            name: name.to_owned(),
            key: key_of_topic(venue, connector, name, kind),
            kind,
        });
    }
    topics
}

/// The name of a stream in a summary, from its venue's name; a stream of level 1 is told by its kind.
fn key_of_topic(venue: Venue, connector: usize, topic: &str, kind: Kind) -> String {
    let (symbol, channel) = match venue {
        Venue::Binance => {
            let (symbol, channel) = topic.split_once('@').unwrap_or((topic, ""));
            let channel = channel.split('@').next().unwrap_or_default();
            (symbol.to_uppercase(), channel)
        }
        Venue::Deribit => {
            let symbol = topic.split('.').nth(1).unwrap_or_default();
            (symbol.to_owned(), "depth")
        }
        _ => {
            let (channel, symbol) = topic.rsplit_once('.').unwrap_or((topic, ""));
            (symbol.to_owned(), channel)
        }
    };
    let channel = match kind {
        Kind::Top => "bookTicker",
        _ => channel,
    };
    format!("{connector} {symbol} {channel}")
}

/// The same from a subscription.
pub fn key_of_stream(connector: usize, symbol: &str, channel: Channel) -> String {
    let name = match channel {
        Channel::Book(params) => match params.levels {
            Some(levels) => format!("orderbook.{levels}"),
            None => "depth".to_owned(),
        },
        Channel::Bbo => "bookTicker".to_owned(),
        other => format!("{other:?}"),
    };
    format!("{connector} {symbol} {name}")
}

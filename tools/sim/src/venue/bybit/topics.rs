//! Topics of Bybit's v5 public streams (docs v5/websocket/public/*, 2026-07). Case-sensitive;
//! symbols upper case.

use crate::outbox::MsgKind;
use crate::spec::{SECOND_NS, SimVenue};

/// Kline intervals in minutes by name; weeks and months are not served.
const INTERVALS: &[(&str, i64)] = &[
    ("1", 1),
    ("3", 3),
    ("5", 5),
    ("15", 15),
    ("30", 30),
    ("60", 60),
    ("120", 120),
    ("240", 240),
    ("360", 360),
    ("720", 720),
    ("D", 1_440),
];

/// What a topic carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Book(usize),
    Trade,
    Ticker,
    Kline {
        interval: &'static str,
        interval_ns: i64,
    },
    /// Accepted, and silent in this simulator: an ack is not data.
    Liquidation,
}

impl Kind {
    pub(super) const fn message(self) -> MsgKind {
        match self {
            Self::Book(1) => MsgKind::Top,
            Self::Book(_) => MsgKind::Depth,
            Self::Trade => MsgKind::Trade,
            Self::Ticker | Self::Liquidation => MsgKind::Ticker,
            Self::Kline { .. } => MsgKind::Kline,
        }
    }

    /// Push period (v5/websocket/public/orderbook and /ticker; changelog 2025-11-25, 2026-03-19).
    pub(super) const fn period_ns(self, venue: SimVenue) -> i64 {
        1_000_000
            * match self {
                Self::Book(1) => 10,
                Self::Book(50) => 20,
                Self::Book(200) => 100,
                Self::Book(_) => 200,
                Self::Ticker if venue.is_spot() => 50,
                Self::Ticker => 100,
                _ => 1_000,
            }
    }
}

/// The length of a candle by its name.
pub(super) fn interval_ns(name: &str) -> Option<i64> {
    let (_, minutes) = INTERVALS.iter().find(|(known, _)| *known == name)?;
    Some(minutes * 60 * SECOND_NS)
}

/// Splits a topic into kind and symbol.
pub(super) fn parse(topic: &str) -> Option<(Kind, &str)> {
    let (head, rest) = topic.split_once('.')?;
    let kind = match head {
        "publicTrade" => Kind::Trade,
        "tickers" => Kind::Ticker,
        "allLiquidation" => Kind::Liquidation,
        "orderbook" => {
            let (depth, symbol) = rest.split_once('.')?;
            let depth = [("1", 1), ("50", 50), ("200", 200), ("1000", 1_000)]
                .into_iter()
                .find(|(name, _)| *name == depth)?
                .1;
            return Some((Kind::Book(depth), symbol));
        }
        "kline" => {
            let (interval, symbol) = rest.split_once('.')?;
            let &(interval, _) = INTERVALS.iter().find(|(name, _)| *name == interval)?;
            return Some((
                Kind::Kline {
                    interval,
                    interval_ns: interval_ns(interval)?,
                },
                symbol,
            ));
        }
        _ => return None,
    };
    Some((kind, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_parse_or_not() {
        assert_eq!(
            parse("orderbook.50.BTCUSDT"),
            Some((Kind::Book(50), "BTCUSDT"))
        );
        // Level 500 was removed 2025-09-11.
        assert_eq!(parse("orderbook.500.BTCUSDT"), None);
        assert_eq!(parse("orderbook.BTCUSDT"), None);
        assert_eq!(parse("Orderbook.50.BTCUSDT"), None);
        assert_eq!(parse("publicTrade.BTCUSDT"), Some((Kind::Trade, "BTCUSDT")));
        assert!(matches!(
            parse("kline.D.BTCUSDT"),
            Some((Kind::Kline { .. }, "BTCUSDT"))
        ));
        assert_eq!(parse("kline.2.BTCUSDT"), None);
    }
}

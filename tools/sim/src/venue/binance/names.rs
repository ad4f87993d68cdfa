//! Stream names, from binance-spot-api-docs web-socket-streams.md (2026-07) and the derivatives
//! pages: `<symbol>@<kind>[_<interval>][@<speed>]`, symbol in lower case.

use crate::outbox::MsgKind;
use crate::spec::{SECOND_NS, SimVenue};

/// Candle intervals that are served, with their seconds. Weeks and months are not.
const INTERVALS: &[(&str, i64)] = &[
    ("1s", 1),
    ("1m", 60),
    ("3m", 180),
    ("5m", 300),
    ("15m", 900),
    ("30m", 1_800),
    ("1h", 3_600),
    ("2h", 7_200),
    ("4h", 14_400),
    ("6h", 21_600),
    ("8h", 28_800),
    ("12h", 43_200),
    ("1d", 86_400),
];

/// What a stream carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Trade,
    AggTrade,
    BookTicker,
    /// Diff depth, with its push period.
    Depth(i64),
    /// The best levels (spot), with the push period.
    Partial {
        levels: usize,
        period_ns: i64,
    },
    Kline {
        interval: &'static str,
        interval_ns: i64,
    },
    Ticker,
    MiniTicker,
    /// Mark price (futures), with its push period.
    Mark(i64),
}

impl Kind {
    pub(super) const fn message(self) -> MsgKind {
        match self {
            Self::Trade => MsgKind::Trade,
            Self::AggTrade => MsgKind::AggTrade,
            Self::BookTicker => MsgKind::Top,
            Self::Depth(_) | Self::Partial { .. } => MsgKind::Depth,
            Self::Kline { .. } => MsgKind::Kline,
            Self::Ticker | Self::MiniTicker | Self::Mark(_) => MsgKind::Ticker,
        }
    }

    /// The push period of streams that are not pushed in real time.
    pub(super) const fn period_ns(self, venue: SimVenue) -> i64 {
        match self {
            Self::Depth(period_ns) | Self::Mark(period_ns) => period_ns,
            Self::Partial { period_ns, .. } => period_ns,
            // Spot: 2000 ms, but 1000 ms for 1s candles; futures: 250 ms.
            Self::Kline { .. } if !venue.is_spot() => SECOND_NS / 4,
            Self::Kline {
                interval_ns: SECOND_NS,
                ..
            } => SECOND_NS,
            Self::Kline { .. } => 2 * SECOND_NS,
            _ => SECOND_NS,
        }
    }

    /// Whether USD-M serves it on `/public` (else `/market`), since the split of 2026-03.
    pub(super) const fn is_public_route(self) -> bool {
        matches!(
            self,
            Self::BookTicker | Self::Depth(_) | Self::Partial { .. }
        )
    }
}

/// Splits a stream name into symbol and kind; `None` for names that this market does not have.
pub(super) fn parse(venue: SimVenue, name: &str) -> Option<(&str, Kind)> {
    let (symbol, rest) = name.split_once('@')?;
    if symbol.is_empty() || symbol.chars().any(|c| c.is_ascii_uppercase()) {
        return None;
    }
    let spot = venue.is_spot();
    let kind = match rest {
        "trade" => Kind::Trade,
        "aggTrade" => Kind::AggTrade,
        "bookTicker" => Kind::BookTicker,
        "ticker" => Kind::Ticker,
        "miniTicker" => Kind::MiniTicker,
        "markPrice" if !spot => Kind::Mark(3 * SECOND_NS),
        "markPrice@1s" if !spot => Kind::Mark(SECOND_NS),
        _ => {
            if let Some(interval) = rest.strip_prefix("kline_") {
                let &(interval, seconds) = INTERVALS.iter().find(|(name, _)| *name == interval)?;
                if seconds == 1 && !spot {
                    return None;
                }
                Kind::Kline {
                    interval,
                    interval_ns: seconds * SECOND_NS,
                }
            } else {
                depth(spot, rest.strip_prefix("depth")?)?
            }
        }
    };
    Some((symbol, kind))
}

/// `[<levels>][@<speed>]`: spot has 1000 (default) and 100 ms, futures 250 (default), 500, 100 ms.
fn depth(spot: bool, rest: &str) -> Option<Kind> {
    let (levels, speed) = rest
        .split_once('@')
        .map_or((rest, None), |(l, s)| (l, Some(s)));
    let period_ms = match (spot, speed) {
        (true, None | Some("1000ms")) => 1_000,
        (false, None | Some("250ms")) => 250,
        (_, Some("100ms")) => 100,
        (false, Some("500ms")) => 500,
        _ => return None,
    };
    let period_ns = period_ms * 1_000_000;
    match levels {
        "" => Some(Kind::Depth(period_ns)),
        "5" | "10" | "20" if spot => Some(Kind::Partial {
            levels: levels.parse().ok()?,
            period_ns,
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_differ_by_market() {
        let spot = |name| parse(SimVenue::BinanceSpot, name).map(|(_, kind)| kind);
        let linear = |name| parse(SimVenue::BinanceLinear, name).map(|(_, kind)| kind);
        assert_eq!(spot("btcusdt@depth"), Some(Kind::Depth(SECOND_NS)));
        assert_eq!(linear("btcusdt@depth"), Some(Kind::Depth(SECOND_NS / 4)));
        assert_eq!(spot("btcusdt@depth@500ms"), None);
        assert_eq!(
            linear("btcusdt@depth@500ms"),
            Some(Kind::Depth(SECOND_NS / 2))
        );
        assert!(matches!(
            spot("btcusdt@depth20@100ms"),
            Some(Kind::Partial { levels: 20, .. })
        ));
        assert_eq!(spot("BTCUSDT@trade"), None, "names are lower case");
        assert_eq!(spot("btcusdt@markPrice"), None);
        assert_eq!(linear("btcusdt@kline_1s"), None);
        assert_eq!(spot("btcusdt@kline_2m"), None);
        assert_eq!(spot("btcusdt"), None);
        assert_eq!(spot("@trade"), None);
    }
}

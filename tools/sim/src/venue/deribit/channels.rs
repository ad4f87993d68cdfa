//! Deribit's channels (API v2.1.1, "Subscriptions"). Case-sensitive.

use crate::outbox::MsgKind;
use crate::spec::SECOND_NS;

/// How often a channel sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// With each change. Needs a login.
    Raw,
    /// At most every 100 ms.
    Ms100,
    /// About every second.
    Agg2,
}

impl Pace {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "raw" => Some(Self::Raw),
            "100ms" => Some(Self::Ms100),
            "agg2" => Some(Self::Agg2),
            _ => None,
        }
    }

    const fn period_ns(self) -> Option<i64> {
        match self {
            Self::Raw => None,
            Self::Ms100 => Some(SECOND_NS / 10),
            Self::Agg2 => Some(SECOND_NS),
        }
    }
}

/// What a channel carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Snapshot and changes.
    Book(Pace),
    /// So many best levels, whole each time.
    Grouped(usize, Pace),
    Quote,
    Trades(Pace),
    Ticker(Pace),
    Chart {
        interval_ns: i64,
    },
    /// The price of an index.
    Index,
}

impl Kind {
    pub(super) const fn message(self) -> MsgKind {
        match self {
            Self::Book(_) | Self::Grouped(..) => MsgKind::Depth,
            Self::Quote => MsgKind::Top,
            Self::Trades(_) => MsgKind::Trade,
            Self::Ticker(_) | Self::Index => MsgKind::Ticker,
            Self::Chart { .. } => MsgKind::Kline,
        }
    }

    /// The time between two looks at what has changed; `None`: with each change.
    pub(super) const fn period_ns(self) -> Option<i64> {
        match self {
            Self::Book(pace) | Self::Grouped(_, pace) | Self::Trades(pace) | Self::Ticker(pace) => {
                pace.period_ns()
            }
            Self::Quote => None,
            Self::Chart { .. } | Self::Index => Some(SECOND_NS),
        }
    }
}

/// Resolutions of charts, in minutes; days are written `1D`.
const RESOLUTIONS: [i64; 11] = [1, 3, 5, 10, 15, 30, 60, 120, 180, 360, 720];

/// The length of a candle by its name.
pub(super) fn resolution_ns(name: &str) -> Option<i64> {
    let minutes = match name {
        "1D" => 1_440,
        _ => {
            let minutes = name.parse().ok()?;
            RESOLUTIONS.contains(&minutes).then_some(minutes)?
        }
    };
    Some(minutes * 60 * SECOND_NS)
}

/// Splits a channel into kind and instrument (or index).
pub(super) fn parse(channel: &str) -> Option<(Kind, &str)> {
    let (head, rest) = channel.split_once('.')?;
    if head == "quote" {
        return Some((Kind::Quote, rest));
    }
    if head == "deribit_price_index" {
        return Some((Kind::Index, rest));
    }
    let parts: Vec<&str> = rest.split('.').collect();
    match (head, &parts[..]) {
        ("book", [name, pace]) => Some((Kind::Book(Pace::parse(pace)?), name)),
        ("book", [name, "none", depth @ ("1" | "10" | "20"), pace]) => {
            let pace = Pace::parse(pace).filter(|pace| *pace != Pace::Raw)?;
            Some((Kind::Grouped(depth.parse().ok()?, pace), name))
        }
        ("trades", [name, pace]) => Some((Kind::Trades(Pace::parse(pace)?), name)),
        ("ticker", [name, pace]) => Some((Kind::Ticker(Pace::parse(pace)?), name)),
        ("chart", ["trades", name, resolution]) => {
            let interval_ns = resolution_ns(resolution)?;
            Some((Kind::Chart { interval_ns }, name))
        }
        _ => None,
    }
}

/// Whether a channel is accepted and silent here: an ack is not data. What the account does is told
/// by the venue, not by its market.
pub(super) fn is_silent(channel: &str) -> bool {
    is_private(channel)
        || channel == "platform_state"
        || ["instrument.state.", "perpetual."]
            .iter()
            .any(|head| channel.starts_with(head))
}

/// Whether a channel is of the account.
pub(super) fn is_private(channel: &str) -> bool {
    [
        "user.orders.",
        "user.trades.",
        "user.changes.",
        "user.portfolio.",
    ]
    .iter()
    .any(|head| channel.starts_with(head))
}

/// Whether a channel is for those who have logged in.
pub(super) fn is_raw(channel: &str) -> bool {
    channel.ends_with(".raw")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_parse_or_not() {
        let table = [
            ("book.A-B.raw", Some((Kind::Book(Pace::Raw), "A-B"))),
            ("book.A.100ms", Some((Kind::Book(Pace::Ms100), "A"))),
            (
                "book.A.none.10.agg2",
                Some((Kind::Grouped(10, Pace::Agg2), "A")),
            ),
            ("book.A.none.10.raw", None),
            ("book.A.none.5.100ms", None),
            ("book.A", None),
            ("quote.A", Some((Kind::Quote, "A"))),
            ("trades.A.100ms", Some((Kind::Trades(Pace::Ms100), "A"))),
            ("trades.A.1s", None),
            (
                "deribit_price_index.btc_usd",
                Some((Kind::Index, "btc_usd")),
            ),
            ("chart.trades.A.7", None),
        ];
        for (channel, want) in table {
            assert_eq!(parse(channel), want, "{channel}");
        }
        assert!(matches!(
            parse("chart.trades.A.1D"),
            Some((Kind::Chart { .. }, "A"))
        ));
        assert!(is_silent("user.changes.future.BTC.raw") && !is_silent("user.nothing"));
    }
}

//! The kinds of stream a strategy can subscribe to.

use core::fmt;
use core::str::FromStr;

use crate::event::Source;

/// A kind of stream. What each means at a venue stands in that venue's `subscribe.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Channel {
    /// The venue's own best bid and ask, in real time (Binance bookTicker, Bybit `orderbook.1`).
    Bbo,
    /// The book, kept by us from snapshots and deltas; its top is published whenever it changes.
    Book(BookParams),
    /// Each trade.
    Trades,
    /// Trades of one taker order at one price as one (Binance aggTrade). A venue without them
    /// refuses the subscription.
    AggTrades,
    /// 24-hour statistics, mark and index price, funding.
    Ticker,
    /// Candles.
    Kline(Interval),
    /// The account's own orders, fills, balances and positions in an instrument, or in all of them
    /// where the symbol is [`ALL_SYMBOLS`]. Needs credentials.
    User,
}

/// The symbol of a [`Channel::User`] stream for everything that the account does on a market.
pub const ALL_SYMBOLS: &str = "*";

/// Which of the venue's book streams. The venue's usual one by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BookParams {
    /// Levels a side, where the venue has books of several depths (Bybit: 50, 200, 1000).
    pub levels: Option<u16>,
    /// Time between updates in milliseconds, where the venue offers several (Binance: 100, 1000).
    pub interval_ms: Option<u16>,
}

impl Channel {
    /// The venue's usual book stream.
    pub const BOOK: Channel = Channel::Book(BookParams {
        levels: None,
        interval_ms: None,
    });

    /// The name in JSON output and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Channel::Bbo => "bbo",
            Channel::Book(_) => "book",
            Channel::Trades => "trades",
            Channel::AggTrades => "agg_trades",
            Channel::Ticker => "ticker",
            Channel::Kline(_) => "kline",
            Channel::User => "user",
        }
    }

    /// The mark that its events carry.
    pub const fn source(self) -> Source {
        match self {
            Channel::Bbo => Source::Bbo,
            Channel::Book(_) => Source::Book,
            Channel::Trades => Source::Trades,
            Channel::AggTrades => Source::AggTrades,
            Channel::Ticker => Source::Ticker,
            Channel::Kline(_) => Source::Kline,
            Channel::User => Source::Account,
        }
    }
}

/// The text is not the name of a channel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown channel {0:?}: use bbo, book, book:LEVELS, book@MILLISECONDS, trades, agg_trades, ticker, kline:INTERVAL or user"
)]
pub struct UnknownChannel(String);

impl FromStr for Channel {
    type Err = UnknownChannel;

    fn from_str(text: &str) -> Result<Channel, UnknownChannel> {
        let unknown = || UnknownChannel(text.to_owned());
        Ok(match text {
            "bbo" => Channel::Bbo,
            "book" => Channel::BOOK,
            "trades" => Channel::Trades,
            "agg_trades" => Channel::AggTrades,
            "ticker" => Channel::Ticker,
            "user" => Channel::User,
            _ => {
                if let Some(interval) = text.strip_prefix("kline:") {
                    Channel::Kline(interval.parse().map_err(|_| unknown())?)
                } else if let Some(params) = text.strip_prefix("book") {
                    Channel::Book(parse_book(params).ok_or_else(unknown)?)
                } else {
                    return Err(unknown());
                }
            }
        })
    }
}

/// `[:LEVELS][@MILLISECONDS]`
fn parse_book(text: &str) -> Option<BookParams> {
    let (levels, interval) = match text.split_once('@') {
        Some((levels, interval)) => (levels, Some(interval)),
        None => (text, None),
    };
    let levels = match levels.strip_prefix(':') {
        Some(number) => Some(number.parse().ok()?),
        None if levels.is_empty() => None,
        None => return None,
    };
    let interval_ms = match interval {
        Some(number) => Some(number.parse().ok()?),
        None => None,
    };
    Some(BookParams {
        levels,
        interval_ms,
    })
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Channel::Book(params) => {
                f.write_str("book")?;
                if let Some(levels) = params.levels {
                    write!(f, ":{levels}")?;
                }
                match params.interval_ms {
                    Some(interval_ms) => write!(f, "@{interval_ms}"),
                    None => Ok(()),
                }
            }
            Channel::Kline(interval) => write!(f, "kline:{}", interval.as_str()),
            other => f.write_str(other.as_str()),
        }
    }
}

/// Length of a candle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Interval {
    Sec1,
    Min1,
    Min3,
    Min5,
    Min15,
    Min30,
    Hour1,
    Hour2,
    Hour4,
    Hour6,
    Hour8,
    Hour12,
    Day1,
    Day3,
    Week1,
    Month1,
}

impl Interval {
    /// Every interval, shortest first.
    pub const ALL: [Interval; 16] = [
        Interval::Sec1,
        Interval::Min1,
        Interval::Min3,
        Interval::Min5,
        Interval::Min15,
        Interval::Min30,
        Interval::Hour1,
        Interval::Hour2,
        Interval::Hour4,
        Interval::Hour6,
        Interval::Hour8,
        Interval::Hour12,
        Interval::Day1,
        Interval::Day3,
        Interval::Week1,
        Interval::Month1,
    ];

    /// As most venues write it: "1m" is a minute, "1M" a month.
    pub const fn as_str(self) -> &'static str {
        match self {
            Interval::Sec1 => "1s",
            Interval::Min1 => "1m",
            Interval::Min3 => "3m",
            Interval::Min5 => "5m",
            Interval::Min15 => "15m",
            Interval::Min30 => "30m",
            Interval::Hour1 => "1h",
            Interval::Hour2 => "2h",
            Interval::Hour4 => "4h",
            Interval::Hour6 => "6h",
            Interval::Hour8 => "8h",
            Interval::Hour12 => "12h",
            Interval::Day1 => "1d",
            Interval::Day3 => "3d",
            Interval::Week1 => "1w",
            Interval::Month1 => "1M",
        }
    }
}

impl FromStr for Interval {
    type Err = UnknownChannel;

    fn from_str(text: &str) -> Result<Interval, UnknownChannel> {
        Interval::ALL
            .into_iter()
            .find(|interval| interval.as_str() == text)
            .ok_or_else(|| UnknownChannel(format!("kline:{text}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_read_back_as_they_are_written() {
        for text in [
            "bbo",
            "book",
            "book:200",
            "book@100",
            "book:50@20",
            "trades",
            "kline:1M",
            "user",
        ] {
            assert_eq!(
                text.parse::<Channel>().map(|channel| channel.to_string()),
                Ok(text.into())
            );
        }
        for text in [
            "", "Book", "book:", "book:x", "book@", "bookx", "kline", "kline:7m",
        ] {
            assert!(text.parse::<Channel>().is_err(), "{text}");
        }
    }
}

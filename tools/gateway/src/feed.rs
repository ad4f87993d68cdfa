//! Where market data come from: the engine, over a strategy's ring.

use tickwire::ring::{Consumer, Item};
use tickwire::{Channel, Commander, Market, StreamId, SubscribeError, Venue};

/// What of a market.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// The book with its levels.
    Book,
    /// Trades.
    Trades,
    /// The ticker.
    Ticker,
}

/// A market's data can't be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FeedError {
    /// There is no such market.
    #[error("{0}")]
    Unknown(String),
    /// Not now.
    #[error("{0}")]
    Busy(String),
}

/// A source of market data, on the gateway's thread. Nothing here may wait.
pub trait Feed: Send {
    /// Opens a stream; its present state comes first.
    fn open(
        &mut self,
        venue: &str,
        market: &str,
        symbol: &str,
        part: Part,
    ) -> Result<StreamId, FeedError>;

    /// Closes it.
    fn close(&mut self, stream: StreamId);

    /// Asks for the whole book once more.
    fn again(&mut self, stream: StreamId);

    /// The next event.
    fn next(&mut self) -> Option<Item<'_>>;
}

/// The engine as a source: a pair of rings ([`StrategySetup::pair`](tickwire::StrategySetup::pair)).
#[derive(Debug)]
pub struct EngineFeed {
    ring: Consumer,
    commander: Commander,
}

impl EngineFeed {
    /// From [`Handle::take_pair`](tickwire::Handle::take_pair).
    pub fn new((ring, commander): (Consumer, Commander)) -> EngineFeed {
        EngineFeed { ring, commander }
    }
}

fn venue(name: &str) -> Option<Venue> {
    let built_in = [
        Venue::Binance,
        Venue::Bybit,
        Venue::Deribit,
        Venue::Polymarket,
    ];
    let known = built_in.into_iter().find(|venue| venue.as_str() == name);
    known.or_else(|| Venue::custom(name))
}

impl Feed for EngineFeed {
    fn open(
        &mut self,
        venue_name: &str,
        market: &str,
        symbol: &str,
        part: Part,
    ) -> Result<StreamId, FeedError> {
        let unknown = |what: String| FeedError::Unknown(what);
        let venue = venue(venue_name).ok_or_else(|| unknown(format!("no venue {venue_name:?}")))?;
        let market: Market =
            market
                .parse()
                .map_err(|error: tickwire::connectors::instrument::UnknownMarket| {
                    unknown(error.to_string())
                })?;
        let (channel, depth) = match part {
            Part::Book => (Channel::BOOK, true),
            Part::Trades => (Channel::Trades, false),
            Part::Ticker => (Channel::Ticker, false),
        };
        self.commander
            .subscribe(venue, market, symbol, channel, depth)
            .map_err(|error| match error {
                SubscribeError::Engine(_) => FeedError::Busy(error.to_string()),
                _ => unknown(error.to_string()),
            })
    }

    fn close(&mut self, stream: StreamId) {
        // Refused only where the engine is gone or too busy to hear it: then nothing is lost but work.
        let _ = self.commander.unsubscribe(stream);
    }

    fn again(&mut self, stream: StreamId) {
        // Refused likewise; the replica asks again after its wait.
        let _ = self.commander.republish(stream);
    }

    fn next(&mut self) -> Option<Item<'_>> {
        self.ring.pop()
    }
}

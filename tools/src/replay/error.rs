//! Why a replay can't go on, and what to do.

use tickwire_connectors::Venue;

use crate::recording::ReadError;

/// Why a replay can't start or go on.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// A file can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Nothing in the files says which market a connection was on.
    #[error(
        "line {line} of {file}: nothing says which market of {venue} this is; name it with --market spot, linear or inverse"
    )]
    MarketUnknown {
        /// The venue.
        venue: Venue,
        /// The file.
        file: String,
        /// The first line of the connection that holds market data.
        line: u64,
    },
    /// There is no market data for this venue.
    #[error(
        "no market data of {venue} in {lines} lines; check --venue{}", .other.as_deref().unwrap_or("")
    )]
    NoMarketData {
        /// The venue.
        venue: Venue,
        /// How many lines were read.
        lines: u64,
        /// What there is instead.
        other: Option<String>,
    },
    /// None of the symbols is there.
    #[error("no stream of {asked} in the recording; it holds {held}")]
    NoSuchSymbol {
        /// The symbols that were asked for.
        asked: String,
        /// The symbols that are there.
        held: String,
    },
    /// A symbol is too long for any venue.
    #[error("the symbol {0:?} is longer than any venue's; is the file damaged?")]
    BadSymbol(String),
    /// A connector can't be made.
    #[error("can't make a connector for {market} of {venue}: {problem}")]
    Connector {
        /// The venue.
        venue: Venue,
        /// The market.
        market: tickwire_connectors::Market,
        /// Why.
        problem: String,
    },
    /// A connector asks for more and more on one input.
    #[error("the connector made more than {0} requests on one message; this is a bug in it")]
    Runaway(usize),
}

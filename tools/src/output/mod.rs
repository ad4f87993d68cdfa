//! Events as text: one JSON object a line for programs ([`Json`]), one aligned line for people
//! ([`Human`]). Decimals are written digit by digit, never through a floating-point number.

mod human;
mod json;
mod object;

use std::io::{self, Write};

use tickwire_connectors::connector::BookView;
use tickwire_connectors::instrument::Symbol;
use tickwire_connectors::outbox::Item;
use tickwire_connectors::{Channel, Instrument, Market, Venue};

pub use human::Human;
pub use json::Json;

/// What the lines say of a stream beside its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamInfo {
    /// The venue.
    pub venue: Venue,
    /// The market.
    pub market: Market,
    /// Unified symbol where it is known, otherwise the venue's own.
    pub symbol: Symbol,
    /// The venue's own symbol.
    pub venue_symbol: Symbol,
    /// The kind of stream.
    pub channel: Channel,
}

impl StreamInfo {
    /// A stream of which only the symbol is known, in whichever form.
    pub fn new(venue: Venue, market: Market, symbol: Symbol, channel: Channel) -> StreamInfo {
        StreamInfo {
            venue,
            market,
            symbol,
            venue_symbol: symbol,
            channel,
        }
    }

    /// Takes both names from what the venue says of the instrument.
    pub fn learn(&mut self, instrument: &Instrument) {
        self.symbol = instrument.key.symbol;
        self.venue_symbol = instrument.venue_symbol;
    }
}

/// A way to write events.
pub trait Format {
    /// Writes one event as a line.
    fn item(&mut self, out: &mut dyn Write, info: &StreamInfo, item: Item<'_>) -> io::Result<()>;

    /// Writes a whole book, all levels, best first.
    fn book(
        &mut self,
        out: &mut dyn Write,
        info: &StreamInfo,
        book: &BookView<'_>,
    ) -> io::Result<()>;
}

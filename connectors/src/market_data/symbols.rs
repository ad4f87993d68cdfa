//! The instruments that a venue has told us of.

use rustc_hash::FxHashMap;

use crate::instrument::{Instrument, Symbol};

/// Instruments by their symbols.
#[derive(Debug, Default)]
pub(crate) struct Symbols {
    by_venue: FxHashMap<Symbol, Instrument>,
    unified: FxHashMap<Symbol, Symbol>,
}

impl Symbols {
    /// Adds what is new and replaces what is known.
    pub(crate) fn insert(&mut self, instrument: Instrument) {
        self.unified
            .insert(instrument.key.symbol, instrument.venue_symbol);
        self.by_venue.insert(instrument.venue_symbol, instrument);
    }

    /// By its unified or its venue symbol.
    pub(crate) fn find(&self, asked: &Symbol) -> Option<&Instrument> {
        let venue_symbol = self.unified.get(asked).unwrap_or(asked);
        self.by_venue.get(venue_symbol)
    }
}

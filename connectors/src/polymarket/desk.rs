//! The account's desk beside the market data: what it may see of the connector, and what is its.

use tickwire_orderbook::{Price, Side};

use crate::channel::{ALL_SYMBOLS, Channel};
use crate::event::StreamId;
use crate::governor::Governor;
use crate::instrument::{Instrument, Symbol};
use crate::outbox::Outbox;
use crate::stream::Stream;
use crate::time::Nanos;
use crate::trading::desk::{Desk, Sight};
use crate::trading::dialect::Names;
use crate::trading::risk;
use crate::transmit::LinkId;

use super::sync::Entry;
use super::trade::Words;
use super::{Polymarket, Symbols, symbols};

/// What the desk may see of the connector.
pub(super) struct View<'a> {
    symbols: &'a Symbols,
    entries: &'a [Option<Box<Entry>>],
    pub(super) governor: &'a Governor,
}

impl Names for View<'_> {
    fn instrument(&self, symbol: &str) -> Option<Instrument> {
        let asked = crate::instrument::symbol(symbol)?;
        let known = self.symbols.find(&asked).copied();
        known.or_else(|| symbols::default_instrument(&asked).ok())
    }
}

impl Sight for View<'_> {
    fn market(&self, instrument: &Instrument) -> risk::Market {
        let mut seen = risk::Market::Unwatched;
        for entry in self.entries.iter().flatten() {
            let stream = &entry.stream;
            let is_meant = stream.instrument.venue_symbol == instrument.venue_symbol;
            let Some(keeper) = entry.keeper().filter(|_| is_meant) else {
                continue;
            };
            if !stream.is_live() {
                seen = risk::Market::Stale;
                continue;
            }
            let best = |side| {
                let level = keeper.book().best(side)?;
                Some(Price::new(level.price, stream.price_scale()))
            };
            return risk::Market::Live {
                bid: best(Side::Bid),
                ask: best(Side::Ask),
            };
        }
        seen
    }
}

impl Polymarket {
    /// Does something with the desk, where there is one.
    pub(super) fn with_desk<T>(
        &mut self,
        act: impl FnOnce(&mut Desk<Words>, &View<'_>) -> T,
    ) -> Option<T> {
        let desk = self.desk.as_mut()?;
        let view = View {
            symbols: &self.symbols,
            entries: &self.entries,
            governor: &self.rest.governor,
        };
        Some(act(desk, &view))
    }

    pub(super) fn is_of_desk(&self, stream: StreamId) -> bool {
        self.desk.as_ref().is_some_and(|desk| desk.has(stream))
    }

    pub(super) fn is_link_of_desk(&self, link: LinkId) -> bool {
        self.desk.as_ref().is_some_and(|desk| desk.has_link(link))
    }

    /// When the desk is to be called.
    pub(super) fn desk_deadline(&self) -> Nanos {
        let desk = self.desk.as_ref();
        desk.map_or(Nanos::MAX, |desk| desk.deadline())
    }

    /// A stream of the account's own events.
    pub(super) fn subscribe_desk(
        &mut self,
        now: Nanos,
        id: StreamId,
        asked: Symbol,
        out: &mut Outbox,
    ) {
        let is_all = asked.as_str() == ALL_SYMBOLS;
        if !is_all && let Err(error) = symbols::default_instrument(&asked) {
            let stream = Stream::new(id, Channel::User, asked, symbols::instrument(asked), false);
            return self.refuse(now, stream, &error, out);
        }
        let stream = Stream::new(id, Channel::User, asked, symbols::instrument(asked), false);
        let link = self.free_link_id();
        let only = (!is_all).then_some(asked);
        self.with_desk(|desk, _| desk.subscribe(now, stream, only, |_| link, out));
    }
}

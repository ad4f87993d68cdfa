//! The account's desk within the connector: what it may see of it, and how its streams are opened.

use tickwire_orderbook::{Price, Side};

use super::symbols::Symbols;
use super::sync::Entry;
use super::trade::Words;
use super::{Deribit, symbols};
use crate::channel::{ALL_SYMBOLS, Channel};
use crate::event::StreamId;
use crate::governor::Governor;
use crate::instrument::{Instrument, Market, Symbol};
use crate::outbox::Outbox;
use crate::stream::Stream;
use crate::time::Nanos;
use crate::trading::desk::{Desk, Sight};
use crate::trading::dialect::Names;
use crate::trading::risk;
use crate::transmit::LinkId;

/// What the desk may see of the connector.
pub(super) struct View<'a> {
    market: Market,
    symbols: &'a Symbols,
    entries: &'a [Option<Box<Entry>>],
    pub(super) governor: &'a Governor,
}

impl Names for View<'_> {
    fn instrument(&self, symbol: &str) -> Option<Instrument> {
        let asked = crate::instrument::symbol(symbol)?;
        let known = self.symbols.find(&asked).copied();
        known.or_else(|| symbols::default_instrument(self.market, &asked).ok())
    }
}

impl Sight for View<'_> {
    fn market(&self, instrument: &Instrument) -> risk::Market {
        let mut seen = risk::Market::Unwatched;
        for entry in self.entries.iter().flatten() {
            let stream = &entry.stream;
            if entry.hidden || stream.instrument.venue_symbol != instrument.venue_symbol {
                continue;
            }
            let Some(keeper) = entry.keeper() else {
                continue;
            };
            if !stream.is_live() {
                seen = risk::Market::Stale;
                continue;
            }
            let book = keeper.view(stream).book;
            let best = |side| {
                let level = book.best(side)?;
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

impl Deribit {
    /// A stream of the account's own events.
    pub(super) fn subscribe_user(
        &mut self,
        now: Nanos,
        id: StreamId,
        asked: Symbol,
        out: &mut Outbox,
    ) {
        let is_all = asked.as_str() == ALL_SYMBOLS;
        let known = self.symbols.find(&asked).copied();
        let by_rule = known.or_else(|| symbols::default_instrument(self.market, &asked).ok());
        let instrument = by_rule.unwrap_or_else(|| self.unknown(asked));
        let only = (!is_all).then_some(instrument.key.symbol);
        let stream = Stream::new(id, Channel::User, asked, instrument, false);
        let mut used: Vec<LinkId> = self.links.iter().map(|link| link.id).collect();
        used.extend(&self.closing);
        let free = |taken: &[LinkId]| {
            let mut ids = (0..=u16::MAX).map(LinkId);
            let free = ids.find(|id| !used.contains(id) && !taken.contains(id));
            free.unwrap_or(LinkId(u16::MAX))
        };
        self.with_desk(|desk, _| desk.subscribe(now, stream, only, free, out));
    }

    /// Does something with the desk, where there is one.
    pub(super) fn with_desk<T>(
        &mut self,
        act: impl FnOnce(&mut Desk<Words>, &View<'_>) -> T,
    ) -> Option<T> {
        let desk = self.desk.as_mut()?;
        let view = View {
            market: self.market,
            symbols: &self.symbols,
            entries: &self.entries,
            governor: &self.rest.governor,
        };
        Some(act(desk, &view))
    }

    pub(super) fn is_of_desk(&self, stream: StreamId) -> bool {
        self.desk.as_ref().is_some_and(|desk| desk.has(stream))
    }

    /// Whether a link is the desk's.
    #[inline]
    pub(super) fn is_desk_link(&self, link: LinkId) -> bool {
        self.desk.as_ref().is_some_and(|desk| desk.has_link(link))
    }

    /// When the desk wants its time; [`Nanos::MAX`] for never.
    #[inline]
    pub(super) fn desk_deadline(&self) -> Nanos {
        self.desk
            .as_ref()
            .map_or(Nanos::MAX, |desk| desk.deadline())
    }
}

//! The strategy of the world: it tells the board everything, and does nothing by itself.

use std::sync::MutexGuard;

use tickwire::connectors::wide::{Greeks, Notice, Ticker, VenueNews};
use tickwire::testing::names;
use tickwire::testing::sim::SimVenue;
use tickwire::{
    Bbo, Context, Event, Instrument, LevelDelta, Lost, Replica, StateChange, Strategy, Trade, Wide,
};

use super::model::{Board, Seen, Shared};

/// The strategy that tells the board everything.
#[derive(Debug)]
pub(super) struct Watcher {
    pub(super) strategy: usize,
    pub(super) board: Shared,
}

impl Watcher {
    /// The board, with the event's stream known to it.
    fn board(&self, context: &Context, event: &Event) -> MutexGuard<'_, Board> {
        let mut board = self.board.lock();
        if !board.handle(self.strategy, event) {
            let stream = event.stream();
            if let Some(info) = context.stream(stream) {
                let key = info.key;
                let venue = SimVenue::ALL
                    .into_iter()
                    .find(|one| names(*one) == (key.venue, key.market));
                if let Some(venue) = venue {
                    let seen = Seen::new(venue, key.symbol.to_string(), key.channel);
                    board.seen[self.strategy].insert(stream.index(), seen);
                }
            }
        }
        board
    }
}

impl Strategy for Watcher {
    fn on_bbo(&mut self, context: &mut Context, bbo: &Bbo) {
        let mut board = self.board(context, bbo);
        board.bbo(self.strategy, bbo, context.now().0);
        let digits = [bbo.bid(), bbo.ask()].map(|side| {
            side.map_or(0, |(price, qty)| {
                (price.mantissa() ^ qty.mantissa().rotate_left(32)) as u64
            })
        });
        board.figures.digest.words(&digits);
    }

    fn on_trade(&mut self, context: &mut Context, trade: &Trade) {
        let mut board = self.board(context, trade);
        board.trade(self.strategy, trade, context.now().0);
        let digits = [
            trade.price().mantissa() as u64,
            trade.qty().mantissa() as u64,
        ];
        board.figures.digest.words(&digits);
    }

    fn on_level(&mut self, context: &mut Context, delta: &LevelDelta) {
        let mut board = self.board(context, delta);
        board.price(self.strategy, delta, context.now().0);
        let level = delta.level();
        board
            .figures
            .digest
            .words(&[level.price as u64, level.qty as u64]);
    }

    fn on_depth(&mut self, context: &mut Context, last: &LevelDelta, book: &Replica) {
        let mut board = self.board.lock();
        board.depth(self.strategy, last, book, context.now().0);
    }

    fn on_state(&mut self, context: &mut Context, change: &StateChange) {
        let mut board = self.board(context, change);
        board.state(self.strategy, change, context.now().0);
        board.figures.digest.words(&[change.reason() as u64]);
    }

    fn on_lost(&mut self, context: &mut Context, lost: &Lost) {
        let mut board = self.board(context, lost);
        board.lost(self.strategy, lost, context.now().0);
    }

    fn on_ticker(&mut self, _: &mut Context, event: &Wide, _: &Ticker) {
        self.wide(event);
    }

    fn on_greeks(&mut self, _: &mut Context, event: &Wide, _: &Greeks) {
        self.wide(event);
    }

    fn on_instrument(&mut self, _: &mut Context, event: &Wide, _: &Instrument) {
        self.wide(event);
    }

    fn on_notice(&mut self, _: &mut Context, event: &Wide, _: &Notice) {
        self.wide(event);
    }

    fn on_venue_news(&mut self, _: &mut Context, event: &Wide, _: &VenueNews) {
        self.wide(event);
    }
}

impl Watcher {
    fn wide(&self, event: &Wide) {
        let mut board = self.board.lock();
        board.tallies[self.strategy].wide += 1;
        let words = [
            event.stream.index() as u64,
            event.seq,
            event.recv_ns.0 as u64,
        ];
        board.figures.digest.words(&words);
    }
}

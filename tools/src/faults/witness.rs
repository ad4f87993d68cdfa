//! The strategy of the table: it keeps replicas of the books, compares every price with the
//! simulator's truth at the price's own number, and notes what it was told.

use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tickwire::connectors::VenueNews;
use tickwire::testing::sim::{SendLog, Sim, Truth, TruthBook};
use tickwire::{
    Bbo, Channel, Context, Event, LevelDelta, Lost, Price, Qty, Replica, Side, StateChange,
    Strategy, StreamKey, Trade, Venue, Wide,
};

use super::aim::Aim;
use super::log::{Log, StreamLog};

/// What the strategy saw, as the judging thread reads it.
#[derive(Clone, Debug, Default)]
pub(super) struct SharedLog(Arc<Mutex<Log>>);

impl SharedLog {
    pub(super) fn lock(&self) -> MutexGuard<'_, Log> {
        // A writer that panicked fails its cell by itself.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The strategy.
#[derive(Debug)]
pub(super) struct Witness {
    aim: Aim,
    truth: Truth,
    sent: SendLog,
    log: SharedLog,
}

impl Witness {
    pub(super) fn new(aim: Aim, sim: &Sim, log: SharedLog) -> Witness {
        Witness {
            aim,
            truth: sim.truth(),
            sent: sim.sent(),
            log,
        }
    }

    /// Acts on the log of an event's stream.
    fn with(&self, context: &Context, event: &Event, act: impl FnOnce(&mut StreamLog)) {
        let mut log = self.log.lock();
        let known = match log.streams.entry(event.stream()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => {
                let Some(info) = context.stream(event.stream()) else {
                    return;
                };
                place.insert(StreamLog::new(info.key))
            }
        };
        act(known);
    }

    /// Notes a price; `differs` says what is wrong with it beside the true book of its number.
    fn price(
        &self,
        context: &Context,
        event: &Event,
        differs: impl FnOnce(&TruthBook) -> Option<String>,
    ) {
        self.with(context, event, |stream| {
            stream.check(event);
            let (symbol, channel, seq) = (&stream.key.symbol, stream.key.channel, event.seq());
            // The oldest: a price may be looked at after a snapshot has repeated its number.
            let kind = Aim::kind(channel);
            let entry = self.sent.first_entry(self.aim.0, symbol, kind, seq);
            let sent_ns = entry.map_or(0, |sent| sent.scheduled_ns);
            let truth = self
                .aim
                .view(channel)
                .and_then(|view| self.truth.book_at(self.aim.0, symbol, view, seq));
            let lie = truth.as_ref().and_then(differs);
            let agrees = truth.is_some() && lie.is_none();
            if let Some(text) = lie {
                stream.lie(format!("at {seq} {text}"));
            }
            stream.handle_price(agrees, sent_ns);
        });
    }
}

impl Strategy for Witness {
    fn on_bbo(&mut self, context: &mut Context, bbo: &Bbo) {
        self.price(context, bbo, |truth| {
            let [bids, asks] = levels(truth);
            let is = [bbo.bid().map(level), bbo.ask().map(level)];
            let was = [bids.first().copied(), asks.first().copied()];
            (is != was).then(|| "a top that is not the true one".to_owned())
        });
    }

    fn on_trade(&mut self, context: &mut Context, trade: &Trade) {
        self.price(context, trade, |_| None);
    }

    fn on_level(&mut self, context: &mut Context, delta: &LevelDelta) {
        self.with(context, delta, |stream| stream.check(delta));
    }

    fn on_depth(&mut self, context: &mut Context, last: &LevelDelta, book: &Replica) {
        self.price(context, last, |truth| {
            let [bids, asks] = levels(truth);
            let is: [Vec<Level>; 2] =
                [Side::Bid, Side::Ask].map(|side| book.levels(side).map(level).collect());
            ([bids, asks] != is).then(|| "a book that is not the true one".to_owned())
        });
    }

    fn on_state(&mut self, context: &mut Context, change: &StateChange) {
        self.with(context, change, |stream| {
            stream.handle_state(change, change.reason());
        });
    }

    fn on_venue_news(&mut self, _context: &mut Context, _event: &Wide, news: &VenueNews) {
        self.log.lock().news.push(*news);
    }

    fn on_lost(&mut self, _context: &mut Context, lost: &Lost) {
        self.log.lock().lost += lost.counts().total();
    }
}

/// A level at the 18 decimals that every venue's fit.
type Level = (i128, i128);

fn at_18(mantissa: i64, decimals: u8) -> i128 {
    i128::from(mantissa) * 10_i128.pow(18_u32.saturating_sub(u32::from(decimals)))
}

fn level((price, qty): (Price, Qty)) -> Level {
    (
        at_18(price.mantissa(), price.scale().get()),
        at_18(qty.mantissa(), qty.scale().get()),
    )
}

fn levels(truth: &TruthBook) -> [Vec<Level>; 2] {
    [&truth.bids, &truth.asks].map(|side| {
        let level = |&(price, qty): &(i64, i64)| {
            (
                at_18(price, truth.price_decimals),
                at_18(qty, truth.qty_decimals),
            )
        };
        side.iter().map(level).collect()
    })
}

/// Whether a stream's prices can be compared with a truth: Deribit's quotes have no number to look it
/// up by.
pub(super) fn has_truth(key: &StreamKey) -> bool {
    match key.channel {
        Channel::Book(_) => true,
        Channel::Bbo => key.venue != Venue::Deribit,
        _ => false,
    }
}

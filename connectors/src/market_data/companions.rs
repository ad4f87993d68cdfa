//! Books that may be wrong: each is held against the best prices of its instrument, which come beside it by
//! a strategy's wish or, as a companion, by ours.

use tickwire_orderbook::{Scale, Top};

use super::Streams;
use super::dialect::Dialect;
use super::entry::{Context, Kept, Phase};
use crate::agreement::{Suspect, same_prices};
use crate::channel::Channel;
use crate::event::{Reason, StreamId};
use crate::instrument::Symbol;
use crate::liveness::Action;
use crate::outbox::Outbox;
use crate::stream::{Stream, Times};
use crate::time::Nanos;
use crate::upkeep::TopCheck;

/// A book that disagrees again so soon after it was fetched anew may be right: then the best prices are
/// asked for anew as well.
const DISAGREES_AGAIN_NS: Nanos = Nanos::from_secs(60);

impl<D: Dialect> Streams<D> {
    /// Best prices come beside each book that is compared with them, by a strategy's wish or by ours; as
    /// if `leaving` were gone.
    pub(super) fn settle_companion(
        &mut self,
        now: Nanos,
        symbol: &Symbol,
        leaving: Option<usize>,
        out: &mut Outbox,
    ) {
        if self.upkeep.top_check != TopCheck::Always {
            return;
        }
        let Some(best) = D::best_topic(symbol) else {
            return;
        };
        let stays = |slot: usize| Some(slot) != leaving;
        let books = D::book_topics(symbol);
        let book = books
            .iter()
            .flat_map(|book| self.routes.entries(book))
            .find(|slot| stays(*slot));
        let is_hidden = |slot: usize| self.table.get(slot).is_some_and(|entry| entry.hidden);
        let hidden = self.routes.entries(&best).find(|slot| is_hidden(*slot));
        let seen = self
            .routes
            .entries(&best)
            .any(|slot| stays(slot) && !is_hidden(slot));
        match (book.filter(|_| !seen), hidden) {
            (Some(book), None) => self.add_companion(now, book, out),
            (None, Some(slot)) => drop(self.remove(slot)),
            _ => {}
        }
    }

    /// Best prices beside this book.
    fn add_companion(&mut self, now: Nanos, book: usize, out: &mut Outbox) {
        let Some(book) = self.table.get(book) else {
            return;
        };
        let instrument = book.stream.instrument;
        let asked = instrument.venue_symbol;
        let stream = Stream::new(StreamId::MAX, Channel::Bbo, asked, instrument, false);
        let mut entry = self.make_entry(stream, Phase::Waiting { until: None });
        entry.hidden = true;
        let slot = self.table.insert(entry);
        self.start(now, slot, instrument, out);
    }

    /// A message of a book or of best prices has come: compares what both show.
    pub(super) fn compare(&mut self, now: Nanos, route: usize) {
        let Some(first) = self.routes.entry(route, 0) else {
            return;
        };
        let Some(first) = self.table.get(first) else {
            return;
        };
        let of_book = first.own.book().is_some();
        let mut index = 0;
        while let Some(peer) = self.routes.get(route).and_then(|one| one.peers.get(index)) {
            let (book, best) = if of_book {
                (route, *peer)
            } else {
                (*peer, route)
            };
            self.compare_book(now, book, best, of_book);
            index += 1;
        }
    }

    fn compare_book(&mut self, now: Nanos, book: usize, best: usize, of_book: bool) {
        let best = self.best_of(best);
        let mut number = 0;
        while let Some(slot) = self.routes.entry(book, number) {
            number += 1;
            let Some(entry) = self.table.get_mut(slot) else {
                continue;
            };
            let (Some(keeper), Some((best, scale))) = (entry.own.book(), best) else {
                entry.agreement.reset();
                continue;
            };
            if !entry.stream.is_live() {
                continue;
            }
            let ours = keeper.book().top();
            let agrees = same_prices(
                &ours,
                entry.stream.price_scale(),
                (best.bid, best.ask),
                scale,
            );
            if of_book {
                entry.agreement.look_at_book(now, agrees);
            } else {
                entry.agreement.look_at_bbo(now, agrees);
            }
            let deadline = entry.agreement.deadline();
            self.table.timers.arm(slot, deadline);
        }
    }

    /// The best prices of a route, where they are to be believed.
    fn best_of(&self, route: usize) -> Option<(Top, Scale)> {
        let entry = self.table.get(self.routes.entry(route, 0)?)?;
        let keeper = entry.own.best()?;
        let live = entry.stream.is_live();
        live.then(|| (keeper.book().top(), entry.stream.price_scale()))
    }

    pub(super) fn handle_agreement_timeout(&mut self, now: Nanos, slot: usize, out: &mut Outbox) {
        let Some(entry) = self.table.get_mut(slot) else {
            return;
        };
        let Some(suspect) = entry.agreement.handle_timeout(now) else {
            return;
        };
        self.counters.disagreements += 1;
        let again = now - entry.disagreed_at < DISAGREES_AGAIN_NS;
        entry.disagreed_at = now;
        if suspect == Suspect::Book || D::BEST_IS_IN_BOOK {
            let out = entry.sink(&mut self.unseen, out);
            let mut context = Context::new(now, &mut self.rng, &mut self.counters, out);
            entry.break_off(Reason::Disagrees, None, Times::ours(now), &mut context);
        }
        if suspect == Suspect::Bbo || again {
            let best = entry.route.and_then(|route| self.routes.get(route));
            let best = best.and_then(|route| self.routes.entry(*route.peers.first()?, 0));
            let watch = best.and_then(|best| Some(&mut self.table.get_mut(best)?.watch));
            let action = watch.map(|watch| watch.handle_proof(now));
            if let (Some(best), Some(Action::Renew)) = (best, action) {
                self.handle_mute(now, best, out);
            }
        }
    }
}

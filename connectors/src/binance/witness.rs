//! The venue's own best bid and ask beside each book: a strategy's stream where there is one, else one
//! that nobody sees.

use crate::channel::Channel;
use crate::instrument::Instrument;
use crate::liveness::Expectation;
use crate::outbox::Outbox;
use crate::stream::Stream;
use crate::time::Nanos;
use crate::upkeep::TopCheck;
use crate::{BookParams, StreamId};

use super::{Binance, Kind, Slot, Stage};

/// A book that is pushed so often within the time that a difference may last has had its chances to
/// agree.
const PUSHES_MIN: i64 = 50;

/// The names of the book streams of a symbol.
const BOOKS: [&str; 3] = ["depth@100ms", "depth@500ms", "depth"];

/// How long a book may differ: those that are pushed seldom need longer to agree once.
pub(super) fn lasting_ns(most: Nanos, channel: Channel) -> Nanos {
    let interval_ms = match channel {
        Channel::Book(BookParams { interval_ms, .. }) => interval_ms.unwrap_or(100),
        _ => 0,
    };
    most.max(Nanos::from_millis(i64::from(interval_ms) * PUSHES_MIN))
}

impl Binance {
    /// The streams of a symbol have changed: sees to it that each book has its witness, and that no
    /// hidden one is left without need.
    pub(super) fn settle_witness(&mut self, now: Nanos, of: &Instrument, out: &mut Outbox) {
        if self.config.upkeep.top_check == TopCheck::Never {
            return;
        }
        let symbol = of.venue_symbol.to_ascii_lowercase();
        let topic = format!("{symbol}@bookTicker");
        let names = BOOKS.map(|name| format!("{symbol}@{name}"));
        let books: Vec<usize> = names.iter().flat_map(|name| self.chain(name)).collect();
        let (hidden, seen): (Vec<usize>, Vec<usize>) =
            self.chain(&topic).partition(|&index| self.is_hidden(index));
        let mut witness = seen.first().or(hidden.first()).copied();
        let needed = !books.is_empty()
            && seen.is_empty()
            && self.config.upkeep.top_check == TopCheck::Always;
        if needed && hidden.is_empty() {
            witness = Some(self.add_hidden(now, *of, out));
        } else if !needed {
            for index in hidden {
                self.remove(index);
            }
            witness = seen.first().copied();
        }
        for &index in seen.iter().chain(witness.iter()) {
            if let Some(Kind::Bbo(bbo)) = self.slot_mut(index).map(|slot| &mut slot.kind) {
                bbo.books.clear();
                if witness == Some(index) {
                    bbo.books.extend_from_slice(&books);
                }
            }
        }
        for index in books {
            if let Some(slot) = self.slot_mut(index) {
                slot.witness = witness;
                slot.agreement.reset();
            }
        }
    }

    /// The streams of a topic.
    pub(super) fn chain(&self, topic: &str) -> impl Iterator<Item = usize> {
        let mut next = self.topics.find(topic.as_bytes());
        core::iter::from_fn(move || {
            let index = next?;
            next = self.slots.get(index).and_then(|slot| slot.as_ref()?.next);
            Some(index)
        })
    }

    fn is_hidden(&self, index: usize) -> bool {
        let slot = self.slots.get(index).and_then(Option::as_ref);
        slot.is_some_and(|slot| slot.stream.hidden)
    }

    fn add_hidden(&mut self, now: Nanos, of: Instrument, out: &mut Outbox) -> usize {
        // It says nothing, so that its number is never seen.
        let mut stream = Stream::new(StreamId::MAX, Channel::Bbo, of.venue_symbol, of, false);
        stream.hidden = true;
        let index = self.insert(stream);
        if let Some(slot) = self.slot_mut(index) {
            // The books tell when it is silent without need.
            slot.watch = crate::liveness::Watch::new(Expectation::probed(Nanos::MAX));
        }
        self.activate(index, of, now, out);
        index
    }

    /// The venue has refused a hidden stream.
    pub(super) fn drop_witness(&mut self, index: usize) {
        self.remove(index);
        for slot in self.slots.iter_mut().flatten() {
            if slot.witness == Some(index) {
                slot.witness = None;
                slot.agreement.reset();
            }
        }
    }

    /// Takes a slot out for good.
    pub(super) fn remove(&mut self, index: usize) -> Option<Slot> {
        self.detach(index);
        let slot = self.slots.get_mut(index).and_then(Option::take)?;
        self.rest.waiting.retain(|one| *one != (index, slot.serial));
        self.timers.disarm(index);
        self.free.push(index);
        Some(slot)
    }

    /// Whether a change of this stream may change which stream is a witness of what.
    pub(super) fn is_about_tops(slot: &Slot) -> bool {
        let about = matches!(slot.kind, Kind::Book(_) | Kind::Bbo(_));
        about && slot.stage == Stage::Active && !slot.stream.hidden
    }
}

//! Where a connector writes the events of one call.

use crate::event::Event;
use crate::trading::Answer;
use crate::wide::{VenueNews, Wide};

/// The events of one `handle_*` call, in order. The engine routes and clears it after each call, so
/// that it holds at most what one message can cause; it keeps its memory, so that in steady state
/// nothing is allocated.
#[derive(Debug, Default)]
pub struct Outbox {
    events: Vec<Event>,
    wide: Vec<PlacedWide>,
    news: Vec<VenueNews>,
    answers: Vec<Answer>,
}

#[derive(Debug)]
struct PlacedWide {
    /// How many hot events of this call go before it.
    after: usize,
    wide: Wide,
}

/// An event of either size.
#[derive(Clone, Copy, Debug)]
pub enum Item<'a> {
    /// A hot one.
    Hot(&'a Event),
    /// A wide one.
    Wide(&'a Wide),
}

impl Outbox {
    /// Room for a busy message from the start; it grows to the largest message seen.
    pub fn new() -> Outbox {
        Outbox {
            events: Vec::with_capacity(1024),
            wide: Vec::with_capacity(16),
            news: Vec::new(),
            answers: Vec::new(),
        }
    }

    /// Adds a hot event.
    #[inline]
    pub fn push(&mut self, event: Event) {
        self.events.push(event);
    }

    /// Adds a wide event.
    pub fn push_wide(&mut self, wide: Wide) {
        self.wide.push(PlacedWide {
            after: self.events.len(),
            wide,
        });
    }

    /// Adds what concerns the whole venue: the engine tells every strategy that has a stream there.
    pub fn push_news(&mut self, news: VenueNews) {
        self.news.push(news);
    }

    /// Adds the answer to a command: for who asked, and nobody else. It may be of any size.
    pub fn push_answer(&mut self, answer: Answer) {
        self.answers.push(answer);
    }

    /// Takes the answers to commands.
    pub fn take_answers(&mut self) -> impl Iterator<Item = Answer> + '_ {
        self.answers.drain(..)
    }

    /// Answers to commands, as far as nobody took them.
    pub fn answers(&self) -> &[Answer] {
        &self.answers
    }

    /// What concerns the whole venue.
    #[inline]
    pub fn news(&self) -> &[VenueNews] {
        &self.news
    }

    /// The hot events, in order.
    #[inline]
    pub fn hot(&self) -> &[Event] {
        &self.events
    }

    /// Whether any wide event is there.
    #[inline]
    pub fn has_wide(&self) -> bool {
        !self.wide.is_empty()
    }

    /// Whether nothing is there.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
            && self.wide.is_empty()
            && self.news.is_empty()
            && self.answers.is_empty()
    }

    /// Every event in the order in which they were written.
    pub fn iter(&self) -> impl Iterator<Item = Item<'_>> {
        let mut hot = self.events.iter().enumerate().peekable();
        let mut wide = self.wide.iter().peekable();
        core::iter::from_fn(move || {
            let next_hot = hot.peek().map_or(usize::MAX, |(index, _)| *index);
            if wide.peek().is_some_and(|placed| placed.after <= next_hot) {
                return wide.next().map(|placed| Item::Wide(&placed.wide));
            }
            hot.next().map(|(_, event)| Item::Hot(event))
        })
    }

    /// Forgets everything and keeps the memory.
    #[inline]
    pub fn clear(&mut self) {
        self.events.clear();
        self.wide.clear();
        self.news.clear();
        self.answers.clear();
    }
}

//! The truth: what each book really was at each sequence number. A test compares what a client
//! rebuilt from the wire with what is kept here.
//!
//! Per instrument: a base book and the changes after it, each with its update id. Asking for a
//! sequence replays the changes up to it; the oldest changes are folded into the base, so memory
//! is bounded and emission pays one push a change.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::market::{Book, Change, Side};
use crate::num::{NumFmt, push_decimal};
use crate::spec::SimVenue;

/// Which view of a book a sequence number belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    /// The whole book, by Binance's update id: depth, bookTicker and REST share the space.
    Full,
    /// The best N levels a side of Bybit's `orderbook.N`, by that topic's own `u`.
    Levels(usize),
}

/// A book at one sequence number. Prices and quantities are decimal mantissas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TruthBook {
    /// The sequence number that was asked for (for `latest`: the market's update id).
    pub seq: u64,
    /// (price, quantity) mantissas, best first.
    pub bids: Vec<(i64, i64)>,
    /// (price, quantity) mantissas, best first.
    pub asks: Vec<(i64, i64)>,
    /// Digits after the point of a price mantissa.
    pub price_decimals: u8,
    /// Digits after the point of a quantity mantissa.
    pub qty_decimals: u8,
}

impl TruthBook {
    /// Bids as decimal text without trailing zeros, best first.
    #[must_use]
    pub fn bid_strings(&self) -> Vec<(String, String)> {
        self.strings(&self.bids)
    }

    /// Asks as decimal text without trailing zeros, best first.
    #[must_use]
    pub fn ask_strings(&self) -> Vec<(String, String)> {
        self.strings(&self.asks)
    }

    fn strings(&self, levels: &[(i64, i64)]) -> Vec<(String, String)> {
        let text = |mantissa: i64, decimals| {
            let mut out = Vec::new();
            push_decimal(&mut out, i128::from(mantissa), decimals, true);
            String::from_utf8(out).unwrap_or_default()
        };
        levels
            .iter()
            .map(|&(p, q)| (text(p, self.price_decimals), text(q, self.qty_decimals)))
            .collect()
    }
}

/// The history of one instrument.
#[derive(Debug)]
pub(crate) struct History {
    price: NumFmt,
    qty: NumFmt,
    base: Book,
    base_id: u64,
    changes: VecDeque<Change>,
    changes_max: usize,
    /// The book that was asked for last: questions come in rising order, so the next answer is
    /// usually a few changes away.
    asked: Option<(u64, Book)>,
    /// Per Bybit depth: the topic's `u` and the market id it was published at, both rising.
    points: BTreeMap<usize, Points>,
    /// The same before the service counted from 1 again, oldest first.
    old_points: BTreeMap<usize, Vec<Points>>,
    /// Histories before a restart of the venue, oldest first.
    before: Vec<History>,
}

/// Pairs of a topic's number and the market id.
type Points = VecDeque<(u64, u64)>;

/// Restarts that are remembered: a test has a few.
const RESTARTS_MAX: usize = 8;

impl History {
    pub(crate) fn new(price: NumFmt, qty: NumFmt, changes_max: usize) -> Self {
        Self {
            price,
            qty,
            base: Book::default(),
            base_id: 0,
            changes: VecDeque::new(),
            changes_max: changes_max.max(1),
            asked: None,
            points: BTreeMap::new(),
            old_points: BTreeMap::new(),
            before: Vec::new(),
        }
    }

    /// Starts over from a known book (start, or a restart of the venue).
    pub(crate) fn reset(&mut self, book: &Book, id: u64) {
        if self.base_id != 0 {
            let fresh = History::new(self.price, self.qty, self.changes_max);
            let mut old = std::mem::replace(self, fresh);
            self.before = std::mem::take(&mut old.before);
            if self.before.len() == RESTARTS_MAX {
                self.before.remove(0);
            }
            self.before.push(old);
        }
        self.base = book.clone();
        self.base_id = id;
        self.changes.clear();
        self.asked = None;
        self.points.clear();
    }

    pub(crate) fn push(&mut self, changes: &[Change]) {
        self.changes.extend(changes);
        while self.changes.len() > self.changes_max {
            if let Some(old) = self.changes.pop_front() {
                self.base.apply(&old);
                self.base_id = old.id;
            }
        }
    }

    /// Notes that the topic of this depth published the book of `id` under its own number `u`.
    pub(crate) fn publish(&mut self, depth: usize, u: u64, id: u64) {
        let points = self.points.entry(depth).or_default();
        match points.back() {
            // The service restarted and counts from 1 again, perhaps twice in a row.
            Some(&(last, _)) if last >= u => {
                let old = std::mem::take(points);
                let all = self.old_points.entry(depth).or_default();
                if all.len() == RESTARTS_MAX {
                    all.remove(0);
                }
                all.push(old);
            }
            _ => {}
        }
        points.push_back((u, id));
        while points.len() > self.changes_max {
            points.pop_front();
        }
    }

    fn at_id(&mut self, id: u64) -> Option<&Book> {
        let newest = self.changes.back().map_or(self.base_id, |c| c.id);
        if id < self.base_id || id > newest {
            return None;
        }
        let known = self
            .asked
            .take()
            .filter(|(at, _)| (self.base_id..=id).contains(at));
        let (at, mut book) = known.unwrap_or_else(|| (self.base_id, self.base.clone()));
        let start = self.changes.partition_point(|c| c.id <= at);
        self.changes
            .range(start..)
            .take_while(|c| c.id <= id)
            .for_each(|c| book.apply(c));
        Some(&self.asked.insert((id, book)).1)
    }

    /// The book at this id, or the oldest one that is remembered.
    pub(crate) fn book_before(&mut self, id: u64) -> Book {
        self.at_id(id).cloned().unwrap_or_else(|| self.base.clone())
    }

    fn book_at(&mut self, channel: Channel, seq: u64) -> Option<TruthBook> {
        let (id, depth) = match channel {
            Channel::Full => (seq, usize::MAX),
            Channel::Levels(depth) => {
                let points = self.points.get(&depth)?;
                (find(points, seq)?, depth)
            }
        };
        let (price, qty) = (self.price, self.qty);
        Some(view(self.at_id(id)?, (price, qty), seq, depth))
    }

    /// Each book that ever had this number, newest first.
    fn books_at(&mut self, channel: Channel, seq: u64) -> Vec<TruthBook> {
        let mut found: Vec<TruthBook> = self.book_at(channel, seq).into_iter().collect();
        if let Channel::Levels(depth) = channel {
            let old = self.old_points.get(&depth).into_iter().flatten().rev();
            let ids: Vec<u64> = old.filter_map(|points| find(points, seq)).collect();
            let formats = (self.price, self.qty);
            for id in ids {
                found.extend(self.at_id(id).map(|book| view(book, formats, seq, depth)));
            }
        }
        for before in self.before.iter_mut().rev() {
            found.extend(before.books_at(channel, seq));
        }
        found
    }

    fn latest(&mut self) -> TruthBook {
        let id = self.changes.back().map_or(self.base_id, |c| c.id);
        let formats = (self.price, self.qty);
        let book = self.at_id(id).cloned().unwrap_or_default();
        view(&book, formats, id, usize::MAX)
    }
}

/// The market id at which this number was published.
fn find(points: &Points, u: u64) -> Option<u64> {
    let index = points.binary_search_by_key(&u, |&(u, _)| u).ok()?;
    Some(points[index].1)
}

fn view(book: &Book, (price, qty): (NumFmt, NumFmt), seq: u64, depth: usize) -> TruthBook {
    let side = |side| {
        let mut levels = Vec::new();
        book.for_best(side, depth, |p, q| {
            levels.push((price.mantissa(p), qty.mantissa(q)))
        });
        levels
    };
    TruthBook {
        seq,
        bids: side(Side::Bid),
        asks: side(Side::Ask),
        price_decimals: price.decimals,
        qty_decimals: qty.decimals,
    }
}

pub(crate) type SharedHistory = Arc<Mutex<History>>;

pub(crate) fn lock(history: &SharedHistory) -> MutexGuard<'_, History> {
    // A reader that panicked while it held the lock has changed nothing.
    history.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A handle to the truth of all synthetic instruments. Cloning is cheap; any thread may hold one.
/// Recorded venues have none: their truth is the recording.
#[derive(Clone, Debug, Default)]
pub struct Truth {
    pub(crate) books: Arc<HashMap<(SimVenue, String), SharedHistory>>,
}

impl Truth {
    /// The book at a sequence number of the given channel, if it is still remembered.
    #[must_use]
    pub fn book_at(
        &self,
        venue: SimVenue,
        symbol: &str,
        channel: Channel,
        seq: u64,
    ) -> Option<TruthBook> {
        lock(self.find(venue, symbol)?).book_at(channel, seq)
    }

    /// Each book that had this number, newest first: more than one where the venue was restarted
    /// and has counted up to it again.
    #[must_use]
    pub fn books_at(
        &self,
        venue: SimVenue,
        symbol: &str,
        channel: Channel,
        seq: u64,
    ) -> Vec<TruthBook> {
        let found = self.find(venue, symbol);
        found.map_or_else(Vec::new, |one| lock(one).books_at(channel, seq))
    }

    /// The book as it is now.
    #[must_use]
    pub fn latest(&self, venue: SimVenue, symbol: &str) -> Option<TruthBook> {
        Some(lock(self.find(venue, symbol)?).latest())
    }

    /// The listed instruments, sorted.
    #[must_use]
    pub fn symbols(&self, venue: SimVenue) -> Vec<String> {
        let mut symbols: Vec<String> = self
            .books
            .keys()
            .filter(|(v, _)| *v == venue)
            .map(|(_, s)| s.clone())
            .collect();
        symbols.sort();
        symbols
    }

    fn find(&self, venue: SimVenue, symbol: &str) -> Option<&SharedHistory> {
        self.books.get(&(venue, symbol.to_owned()))
    }
}

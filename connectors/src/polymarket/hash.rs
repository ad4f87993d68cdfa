//! The venue's own hash of a book, held against the book that we have made of it.
//!
//! A `book` names the SHA-1 of itself, written as compact JSON with ten keys in an order of their own
//! (`generate_orderbook_summary_hash` of Polymarket/py-clob-client-v2, 2026-05): market, asset_id,
//! timestamp, an empty hash, bids and asks as sent, min_order_size, tick_size, neg_risk,
//! last_trade_price. Messages of the market channel lack min_order_size and neg_risk, which are the
//! market's; every recorded one that has the rest (2026-02) is met by "5" and false.
//!
//! | a hash | means |
//! |---|---|
//! | met | our book is, level by level, the one that the venue has hashed; and this is how it hashes this token |
//! | not met, after one that was | the book is not to be believed: it is fetched anew |
//! | not met again with the fresh one | the venue hashes otherwise than before: its hashes say nothing until one is met |
//! | not met, and never one of the token | says nothing |
//!
//! The `hash` of a `price_change` is not a book's: the pages call it the order's. It is not looked at.

use sha1::{Digest, Sha1};
use tickwire_orderbook::{Book, Level, Price, Qty, Scale, Side};

use super::parse::{Body, Item};
use crate::instrument::Instrument;
use crate::stream::Levels;

/// A token none of whose hashes was met is left alone after so many: its messages are made of what we
/// don't know.
const FRUITLESS_MAX: u32 = 3;

/// The least size of most markets, in the venue's writing.
const LEAST_SIZE: &[u8] = b"5";

/// A SHA-1 in hexadecimal.
const DIGITS: usize = 40;

/// What a hash is made of beside the levels, in the message's own writing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Printed<'a> {
    asset: &'a [u8],
    hash: &'a [u8],
    market: &'a [u8],
    stamp: &'a [u8],
    tick: &'a [u8],
    last: &'a [u8],
}

impl<'a> Printed<'a> {
    /// Of a book whose message has it all.
    pub(super) fn of(item: &Item, text: &'a [u8]) -> Option<Printed<'a>> {
        let Body::Book { facts, .. } = item.body else {
            return None;
        };
        let printed = Printed {
            asset: item.asset.of(text),
            hash: facts.hash.of(text),
            market: facts.market.of(text),
            stamp: facts.stamp.of(text),
            tick: facts.tick.of(text),
            last: facts.last.of(text),
        };
        let parts = [printed.market, printed.stamp, printed.tick, printed.last];
        let is_whole = printed.hash.len() == DIGITS && parts.iter().all(|part| !part.is_empty());
        is_whole.then_some(printed)
    }

    /// Whether the hash is that of `book`, whose message had its levels in the order of `levels`.
    fn is_of(&self, book: &Book, levels: &Levels, instrument: &Instrument) -> bool {
        let mut sha = Sha1::new();
        let head: [(&[u8], &[u8]); 3] = [
            (b"{\"market\":\"", self.market),
            (b"\",\"asset_id\":\"", self.asset),
            (b"\",\"timestamp\":\"", self.stamp),
        ];
        for (name, value) in head {
            sha.update(name);
            sha.update(value);
        }
        sha.update(b"\",\"hash\":\"\",\"bids\":[");
        let scales = (instrument.price_scale, instrument.qty_scale);
        let bids = book.levels(Side::Bid);
        match is_sorted(&levels.bids, |a, b| a.price >= b.price) {
            true => add(&mut sha, bids, scales),
            false => add(&mut sha, bids.rev(), scales),
        }
        sha.update(b"],\"asks\":[");
        let asks = book.levels(Side::Ask);
        match is_sorted(&levels.asks, |a, b| a.price <= b.price) {
            true => add(&mut sha, asks, scales),
            false => add(&mut sha, asks.rev(), scales),
        }
        sha.update(b"],\"min_order_size\":\"");
        let least = instrument.qty_min.map(Qty::plain);
        let least = least.as_ref().map_or(LEAST_SIZE, |text| text.as_bytes());
        let risks: [&[u8]; 2] = [b"false", b"true"];
        [least, LEAST_SIZE].iter().any(|least| {
            risks.iter().any(|risk| {
                let mut sha = sha.clone();
                let tail: [&[u8]; 8] = [
                    least,
                    b"\",\"tick_size\":\"",
                    self.tick,
                    b"\",\"neg_risk\":",
                    risk,
                    b",\"last_trade_price\":\"",
                    self.last,
                    b"\"}",
                ];
                tail.iter().for_each(|part| sha.update(part));
                hex(&sha.finalize().into()) == self.hash
            })
        })
    }
}

/// Whether the levels came in this order, by their ends.
fn is_sorted(levels: &[Level], order: impl Fn(&Level, &Level) -> bool) -> bool {
    match levels {
        [first, .., last] => order(first, last),
        _ => true,
    }
}

/// `{"price":"0.48","size":"30"},..`: numbers at their shortest, as the venue writes them.
fn add(sha: &mut Sha1, levels: impl Iterator<Item = Level>, (price, qty): (Scale, Scale)) {
    let mut open: &[u8] = b"{\"price\":\"";
    for level in levels {
        sha.update(open);
        sha.update(Price::new(level.price, price).plain().as_bytes());
        sha.update(b"\",\"size\":\"");
        sha.update(Qty::new(level.qty, qty).plain().as_bytes());
        sha.update(b"\"}");
        open = b",{\"price\":\"";
    }
}

fn hex(digest: &[u8; DIGITS / 2]) -> [u8; DIGITS] {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; DIGITS];
    for (pair, byte) in text.chunks_exact_mut(2).zip(digest) {
        pair.copy_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    }
    text
}

/// What one look at a hash says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It was not this one's turn, or the token's hashes say nothing.
    Skipped,
    /// It is that of our book.
    Met,
    /// It is not, and none of the token ever was.
    Unmet,
    /// It is not, though the one before was: the book is not to be believed.
    Broken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// None was met yet, of so many since the stream began anew.
    Unmet(u32),
    /// The last was met.
    Met,
    /// The last was not, and the one before was.
    Broken,
}

/// The hashes of one token's books.
#[derive(Debug)]
pub(super) struct HashCheck {
    /// Each n-th is looked at; none where 0.
    every: u32,
    /// So many are passed over before the next.
    pass: u32,
    standing: Standing,
}

impl HashCheck {
    /// `every`: see [`PolymarketConfig::book_hash_every`](super::PolymarketConfig::book_hash_every).
    pub(super) const fn new(every: u32) -> HashCheck {
        HashCheck {
            every,
            pass: 0,
            standing: Standing::Unmet(0),
        }
    }

    /// The stream begins anew: its next book is looked at.
    pub(super) fn reset(&mut self) {
        self.pass = 0;
        if let Standing::Unmet(_) = self.standing {
            self.standing = Standing::Unmet(0);
        }
    }

    /// Looks at the hash of a message that has become `book`.
    pub(super) fn look(
        &mut self,
        printed: &Printed<'_>,
        book: &Book,
        levels: &Levels,
        instrument: &Instrument,
    ) -> Verdict {
        let is_fruitless = matches!(self.standing, Standing::Unmet(FRUITLESS_MAX..));
        if self.every == 0 || is_fruitless {
            return Verdict::Skipped;
        }
        if self.pass > 0 {
            self.pass -= 1;
            return Verdict::Skipped;
        }
        self.pass = self.every - 1;
        let (standing, verdict) = match (self.standing, printed.is_of(book, levels, instrument)) {
            (_, true) => (Standing::Met, Verdict::Met),
            (Standing::Met, false) => (Standing::Broken, Verdict::Broken),
            (Standing::Broken, false) => (Standing::Unmet(0), Verdict::Unmet),
            (Standing::Unmet(tries), false) => (Standing::Unmet(tries + 1), Verdict::Unmet),
        };
        self.standing = standing;
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::super::symbols;
    use super::*;
    use crate::instrument::symbol;
    use tickwire_orderbook::Limits;

    /// The venue's own test vector (py-clob-client-v2 tests, 2026-05).
    #[test]
    fn the_venues_vector_is_met() {
        let level = |price, qty| Level { price, qty };
        let levels = Levels {
            bids: vec![level(3_000, 100_000_000), level(4_000, 100_000_000)],
            asks: vec![level(6_000, 100_000_000), level(7_000, 100_000_000)],
        };
        let mut book = Book::new(Limits { levels_max: 10 });
        book.load(&levels.bids, &levels.asks).expect("good levels");
        let instrument = Instrument {
            qty_min: Some(Qty::new(100, Scale::of(0))),
            ..symbols::instrument(symbol("100").expect("short"))
        };
        let printed = Printed {
            asset: b"100",
            hash: b"0458ea5755c9f73d64a14636fa5c36ed460ec394",
            market: b"0xaabbcc",
            stamp: b"123456789",
            tick: b"0.01",
            last: b"0.5",
        };
        assert!(printed.is_of(&book, &levels, &instrument));
        let other = Printed {
            stamp: b"123456788",
            ..printed
        };
        assert!(!other.is_of(&book, &levels, &instrument));
    }
}

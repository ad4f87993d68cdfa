//! Order books under edits that cluster at the touch, as venues send them.

use std::collections::BTreeMap;

use tickwire_orderbook::{Book, Level, Limits, Side};

use crate::Checksum;

/// Levels a side of the three books: a venue's small depth, Binance's usual snapshot, its largest.
pub const DEPTHS: [usize; 3] = [50, 1_000, 5_000];

/// Edits of one round.
pub const EDITS: usize = 4_096;

const MID: i64 = 1_000_000;

/// One edit of a book.
#[derive(Clone, Copy, Debug)]
pub struct Edit {
    side: Side,
    price: i64,
    qty: i64,
}

/// A book of a certain depth and a round of edits for it. After the first round, each further one
/// starts and ends with the same levels.
#[derive(Debug)]
pub struct Ladder {
    /// Best first, as venues send them.
    pub bids: Vec<Level>,
    /// Best first.
    pub asks: Vec<Level>,
    /// The round.
    pub edits: Vec<Edit>,
}

impl Ladder {
    /// Builds the scenario, and checks that our book and the `BTreeMap`s end it alike.
    ///
    /// # Panics
    /// If they do not.
    pub fn new(depth: usize, seed: u64) -> Ladder {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut levels = |step: i64| -> Vec<Level> {
            (1..=depth as i64)
                .map(|distance| Level {
                    price: MID + step * distance,
                    qty: rng.i64(1..1_000_000),
                })
                .collect()
        };
        let (bids, asks) = (levels(-1), levels(1));
        let edits = (0..EDITS).map(|_| edit(&mut rng, depth)).collect();
        let ladder = Ladder { bids, asks, edits };
        let (mut book, mut maps) = (ladder.book(), ladder.maps());
        for _ in 0..2 {
            assert_eq!(ladder.run(&mut book), ladder.run_maps(&mut maps));
        }
        let level = |(price, qty): (&i64, &i64)| (*price, *qty);
        let held = |side| book.levels(side).map(|level| (level.price, level.qty));
        assert!(
            held(Side::Bid).eq(maps.bids.iter().rev().map(level)),
            "bids"
        );
        assert!(held(Side::Ask).eq(maps.asks.iter().map(level)), "asks");
        ladder
    }

    /// Our book, loaded.
    ///
    /// # Panics
    /// If it refuses the levels.
    pub fn book(&self) -> Book {
        let mut book = Book::new(Limits::default());
        let loaded = book.load(&self.bids, &self.asks);
        assert_eq!(loaded, Ok(()), "our own levels are good");
        book
    }

    /// The maps, loaded.
    pub fn maps(&self) -> Maps {
        let mut maps = Maps::default();
        maps.load(&self.bids, &self.asks);
        maps
    }

    /// A round on our book.
    #[inline]
    pub fn run(&self, book: &mut Book) -> Checksum {
        let mut sum = Checksum::default();
        for Edit { side, price, qty } in &self.edits {
            sum.add(i64::from(book.apply(*side, *price, *qty).touch));
        }
        sum
    }

    /// A round on the maps.
    #[inline]
    pub fn run_maps(&self, maps: &mut Maps) -> Checksum {
        let mut sum = Checksum::default();
        for Edit { side, price, qty } in &self.edits {
            sum.add(i64::from(maps.apply(*side, *price, *qty)));
        }
        sum
    }
}

/// The book that one writes first.
#[derive(Debug, Default)]
pub struct Maps {
    bids: BTreeMap<i64, i64>,
    asks: BTreeMap<i64, i64>,
}

impl Maps {
    /// Replaces everything.
    pub fn load(&mut self, bids: &[Level], asks: &[Level]) {
        let map = |levels: &[Level]| {
            levels
                .iter()
                .map(|level| (level.price, level.qty))
                .collect()
        };
        (self.bids, self.asks) = (map(bids), map(asks));
    }

    /// Sets or deletes a level. Gives whether the side's best level is another one now.
    #[inline]
    fn apply(&mut self, side: Side, price: i64, qty: i64) -> bool {
        let (map, best) = match side {
            Side::Bid => {
                let best = self.bids.last_key_value().map(|(price, _)| *price);
                (&mut self.bids, best.is_none_or(|best| price >= best))
            }
            Side::Ask => {
                let best = self.asks.first_key_value().map(|(price, _)| *price);
                (&mut self.asks, best.is_none_or(|best| price <= best))
            }
        };
        let before = if qty == 0 {
            map.remove(&price).unwrap_or_default()
        } else {
            map.insert(price, qty).unwrap_or_default()
        };
        best && before != qty
    }
}

/// Half of all edits fall on the best two levels, and each doubling of the distance halves what is
/// left; a quarter delete.
fn edit(rng: &mut fastrand::Rng, depth: usize) -> Edit {
    let reach = 2u64 << (rng.u64(..) | 1 << 40).trailing_zeros();
    let distance = rng.i64(1..=reach.min(depth as u64) as i64);
    let qty = if rng.u8(..4) == 0 {
        0
    } else {
        rng.i64(1..1_000_000)
    };
    let (side, price) = if rng.bool() {
        (Side::Bid, MID - distance)
    } else {
        (Side::Ask, MID + distance)
    };
    Edit { side, price, qty }
}

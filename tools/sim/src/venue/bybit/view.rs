//! The view that an `orderbook.N` topic publishes, and what turns one view into the next.

use std::cmp::Ordering;

use super::frames::BookFrame;
use crate::market::{Instrument, Side};

/// The published view of an `orderbook.N` topic. Holds exactly the N best levels a side.
#[derive(Debug, Default)]
pub(super) struct BookView {
    pub(super) bids: Vec<(i64, i64)>,
    pub(super) asks: Vec<(i64, i64)>,
    /// This topic's own update number.
    pub(super) u: u64,
    /// Market id that it was published at: the frame's `seq`.
    pub(super) id: u64,
    /// Newest market id that it was compared with; what lies between changed nothing in it.
    pub(super) seen_id: u64,
    pub(super) sent_ns: i64,
}

impl BookView {
    pub(super) fn reload(&mut self, one: &Instrument, depth: usize) {
        self.seen_id = one.last_id;
        for (side, levels) in [(Side::Bid, &mut self.bids), (Side::Ask, &mut self.asks)] {
            levels.clear();
            one.book
                .for_best(side, depth, |price, qty| levels.push((price, qty)));
        }
    }
}

/// Changed levels of both sides; a buffer that is used again and again.
#[derive(Debug, Default)]
pub(super) struct Delta {
    pub(super) bids: Vec<(i64, i64)>,
    pub(super) asks: Vec<(i64, i64)>,
}

pub(super) fn next_number(numbers: &mut [(usize, u64)], depth: usize) -> u64 {
    numbers
        .iter_mut()
        .find(|(d, _)| *d == depth)
        .map_or(1, |(_, u)| {
            *u += 1;
            *u
        })
}

pub(super) fn snapshot<'a>(
    topic: &'a str,
    view: &'a BookView,
    at_ns: i64,
    engine_ns: i64,
) -> BookFrame<'a> {
    BookFrame {
        topic,
        snapshot: true,
        bids: &view.bids,
        asks: &view.asks,
        u: view.u,
        seq: view.id,
        at_ns,
        engine_ns: engine_ns.min(at_ns),
    }
}

/// What turns `old` into `new`, both best first by `rank`: new quantities, and 0 for levels that
/// left the view.
pub(super) fn diff(
    old: &[(i64, i64)],
    new: &[(i64, i64)],
    rank: impl Fn(i64, i64) -> Ordering,
    out: &mut Vec<(i64, i64)>,
) {
    let (mut i, mut j) = (0, 0);
    loop {
        match (old.get(i), new.get(j)) {
            (Some(&(a, _)), Some(&(b, qty))) => match rank(a, b) {
                Ordering::Less => {
                    out.push((a, 0));
                    i += 1;
                }
                Ordering::Greater => {
                    out.push((b, qty));
                    j += 1;
                }
                Ordering::Equal => {
                    if old[i].1 != qty {
                        out.push((b, qty));
                    }
                    i += 1;
                    j += 1;
                }
            },
            (Some(&(a, _)), None) => {
                out.push((a, 0));
                i += 1;
            }
            (None, Some(&level)) => {
                out.push(level);
                j += 1;
            }
            (None, None) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn diff_turns_old_into_new_with_deletes_for_levels_that_left() {
        let old = [(10, 1), (9, 2), (7, 3)];
        let new = [(11, 5), (10, 1), (9, 4)];
        let mut out = Vec::new();
        diff(&old, &new, |a, b| b.cmp(&a), &mut out);
        assert_eq!(out, [(11, 5), (9, 4), (7, 0)]);
    }
}

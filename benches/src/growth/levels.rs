//! An edit of a book, as the book grows.

use core::hint::black_box;

use super::{Curve, Options, cpu_time, least};
use crate::book::{EDITS, Ladder};

const LEVELS: [usize; 6] = [10, 50, 200, 1_000, 2_500, 5_000];

/// Half of the edits on the best two levels, each doubling of the distance half as often.
pub(super) fn curve(options: &Options) -> Curve {
    let points = LEVELS.iter().map(|&levels| {
        let ladder = Ladder::new(levels, 7);
        let mut book = ladder.book();
        let walks = (options.messages / EDITS).max(1);
        let ns = least(options.rounds, walks * EDITS, || {
            let began = cpu_time();
            for _ in 0..walks {
                black_box(ladder.run(&mut book));
            }
            cpu_time() - began
        });
        (levels as u64, ns)
    });
    Curve {
        of: "levels a side",
        unit: "an edit",
        points: points.collect(),
    }
}

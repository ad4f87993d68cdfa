//! The table fault × venue: for each fault of the simulator at each venue-market, whether a strategy
//! was told before any further price, got the true book back, and noticed nothing where it was not
//! concerned.
//!
//! | file | holds |
//! |---|---|
//! | [`rows`] | the table: what is injected, what must be seen |
//! | `aim` | where the faults are aimed: instruments, topics, links |
//! | `cell` | one simulator, one engine, one fault |
//! | `witness`, `log` | the strategy, and what it saw |
//! | `judge` | from the log to a verdict |
//! | `page` | the table as text, Markdown and JSON |
//!
//! A cell is judged from the strategy's side only: by its callbacks, and by the simulator's truth at
//! each price's own number. Every cell has a simulator and an engine of its own, over real TLS.

mod aim;
mod cell;
mod judge;
mod log;
mod page;
pub mod rows;
mod witness;

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use tickwire::testing::sim::SimVenue;

pub use cell::Verdict;
pub use judge::Times;
pub use page::{json, markdown, text};
pub use rows::{Expect, ROWS, Reach, Row};

/// Which part of the table to run, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// These venues.
    pub venues: Vec<SimVenue>,
    /// Rows whose name begins with one of these; every row where there is none.
    pub faults: Vec<String>,
    /// Cells at once, at least 1. Most of a cell's time is waiting.
    pub jobs: usize,
    /// The seed of all chance.
    pub seed: u64,
}

/// One cell, judged.
#[derive(Clone, Debug)]
pub struct Cell {
    /// The row.
    pub row: &'static Row,
    /// The venue.
    pub venue: SimVenue,
    /// How it went.
    pub verdict: Verdict,
}

impl Cell {
    /// Whether something was not as it must be.
    #[must_use]
    pub const fn has_failed(&self) -> bool {
        matches!(self.verdict, Verdict::Failed(_))
    }
}

/// Runs the cells and gives them in the order of the table; `done` is told of each as it ends.
pub fn run(options: &Options, done: impl Fn(&Cell) + Sync) -> Vec<Cell> {
    let wanted = |row: &&Row| {
        let mut words = options.faults.iter();
        options.faults.is_empty() || words.any(|word| row.is_meant_by(word))
    };
    let rows = ROWS.iter().filter(wanted);
    let cells: Vec<(&'static Row, SimVenue)> = rows
        .flat_map(|row| options.venues.iter().map(move |venue| (row, *venue)))
        .collect();
    let next = AtomicUsize::new(0);
    let judged = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..options.jobs.clamp(1, cells.len().max(1)) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(&(row, venue)) = cells.get(index) else {
                        return;
                    };
                    let verdict = cell::run(row, venue, options.seed);
                    let cell = Cell {
                        row,
                        venue,
                        verdict,
                    };
                    done(&cell);
                    let mut judged = judged.lock().unwrap_or_else(PoisonError::into_inner);
                    judged.push((index, cell));
                }
            });
        }
    });
    let mut judged = judged.into_inner().unwrap_or_else(PoisonError::into_inner);
    judged.sort_by_key(|(index, _)| *index);
    judged.into_iter().map(|(_, cell)| cell).collect()
}

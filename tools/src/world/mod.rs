//! The deterministic world: the engine, its connectors and the venue simulator in one thread, over
//! connections in memory and in virtual time. A seed decides everything that is left to chance; the
//! same seed gives the same events, bit by bit.
//!
//! | file | what it holds |
//! |---|---|
//! | `plan` | what a seed means: venues, watchers, commands, faults |
//! | `pipes` | the network: delays, pieces, refusals |
//! | `venues` | the simulator behind doors in memory |
//! | `tape` | the trades as they left |
//! | `told` | what left without numbers, as a plain reader has it |
//! | `model` | what a strategy must see |
//! | `watcher` | the strategy that tells the model what it sees |
//! | `run` | the course of time |
//! | `shrink` | making a failing run smaller |
//! | `orders` | the same of orders and accounts |
//!
//! A failing run is told with its seed, made smaller, and can be replayed by one command:
//! `tickwire world --seed S --keep 2,5`.

mod model;
pub mod orders;
mod pipes;
mod plan;
mod run;
mod shrink;
mod tape;
mod told;
mod venues;
mod watcher;

use std::collections::BTreeMap;
use std::fmt;

use tickwire::testing::sim::SimVenue;

pub use run::{WorldError, run};
pub use shrink::{Shrunk, shrink};

/// One millisecond in nanoseconds.
const MS: i64 = 1_000_000;

/// One second in nanoseconds.
const SECOND: i64 = 1_000_000_000;

/// Which run it is to be: a seed, and what of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// Seed of all chance.
    pub seed: u64,
    /// Items of the plan to keep, by place, rising; all if not given.
    pub keep: Option<Vec<usize>>,
    /// Let the part with faults end here at the latest, in ns from the start.
    pub until_ns: Option<i64>,
}

impl Choice {
    /// A seed's whole run.
    #[must_use]
    pub fn of(seed: u64) -> Choice {
        Choice {
            seed,
            ..Choice::default()
        }
    }
}

/// The command that runs just this.
impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tickwire world --seed {}", self.seed)?;
        if let Some(keep) = &self.keep {
            let places: Vec<String> = keep.iter().map(usize::to_string).collect();
            write!(f, " --keep {}", places.join(","))?;
        }
        if let Some(until_ns) = self.until_ns {
            write!(f, " --until-ms {}", until_ns / MS)?;
        }
        Ok(())
    }
}

/// Rules of the model that depend on what the engine promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// A planned hand-over may raise a stream's epoch without Stale, as long as its numbers go on.
    pub hand_over: bool,
    /// No trade is shown twice, not even where the venue sends its frame twice on one link.
    pub trades_once: bool,
    /// Leave to chance, too, how links and books are looked after: pairs of links, ages, silences.
    pub vary_upkeep: bool,
    /// Keep the course of the run in words.
    pub trace: bool,
    /// How old a stream may be that says Live, in seconds: Binance spot, Binance futures, Polymarket,
    /// others.
    pub ages_max_s: [i64; 4],
}

impl Default for Rules {
    /// The bounds are the longer of the links' `silence_max_ns` and the silence after which a stream is
    /// asked about, and a margin for the answer and the reader.
    fn default() -> Rules {
        Rules {
            hand_over: true,
            trades_once: false,
            vary_upkeep: false,
            trace: false,
            ages_max_s: [75, 380, 75, 60],
        }
    }
}

impl Rules {
    const fn age_max_ns(&self, venue: SimVenue) -> i64 {
        let place = match venue {
            SimVenue::BinanceSpot => 0,
            SimVenue::BinanceLinear | SimVenue::BinanceInverse => 1,
            SimVenue::Polymarket => 2,
            _ => 3,
        };
        self.ages_max_s[place] * SECOND
    }
}

/// What the model found wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// Virtual time from the start, in ns.
    pub at_ns: i64,
    /// Whose strategy, if one's.
    pub strategy: Option<usize>,
    /// In words.
    pub what: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {:.6} s", self.at_ns as f64 / SECOND as f64)?;
        if let Some(strategy) = self.strategy {
            write!(f, ", strategy {strategy}")?;
        }
        write!(f, ": {}", self.what)
    }
}

/// A running sum over words; the order counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest(u64);

impl Default for Digest {
    fn default() -> Digest {
        // FNV-1a's start and prime, over words.
        Digest(0xcbf2_9ce4_8422_2325)
    }
}

impl Digest {
    fn words(&mut self, words: &[u64]) {
        for word in words {
            self.0 = (self.0 ^ word).wrapping_mul(0x0000_0100_0000_01b3);
            self.0 ^= self.0 >> 29;
        }
    }

    /// The sum.
    #[must_use]
    pub const fn value(self) -> u64 {
        self.0
    }

    /// Takes another run's in. Seeds may end in any order: it does not depend on that.
    const fn join(&mut self, other: Digest) {
        self.0 = self.0.wrapping_add(other.0);
    }
}

/// Figures of runs that are summed up.
pub trait Sum {
    /// Adds another run's.
    fn add(&mut self, other: &Self);
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Outcome<F = Figures> {
    /// What it came to, as far as it went.
    pub figures: F,
    /// What was wrong, if anything.
    pub complaint: Option<Complaint>,
    /// The plan, one line an item.
    pub items: Vec<String>,
    /// Until when faults could come, in ns from the start.
    pub active_ns: i64,
    /// Its course beside prices, in words; empty unless the rules ask for it.
    pub trace: Vec<String>,
}

/// What runs came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Runs.
    pub seeds: u64,
    /// Virtual time, in ns.
    pub virtual_ns: i64,
    /// Faults that acted, by the words of a script.
    pub faults: BTreeMap<&'static str, u64>,
    /// Messages that connectors handled.
    pub messages: u64,
    /// Events that strategies handled.
    pub events: u64,
    /// Times that a Live stream was told to be Stale or in resync.
    pub breaks: u64,
    /// Books that connectors threw away and fetched anew.
    pub resyncs: u64,
    /// Links that came up again.
    pub reconnects: u64,
    /// Tops of book held against the venue's.
    pub tops: u64,
    /// Whole books held against the venue's.
    pub books: u64,
    /// Trades held against what was sent.
    pub trades: u64,
    /// Events that strategies were told to have lost.
    pub lost: u64,
    /// Looks at the age of everything.
    pub ages: u64,
    /// Over all events in their order.
    pub digest: Digest,
}

impl Sum for Figures {
    fn add(&mut self, other: &Figures) {
        self.seeds += other.seeds;
        self.virtual_ns += other.virtual_ns;
        for (kind, count) in &other.faults {
            *self.faults.entry(kind).or_default() += count;
        }
        self.messages += other.messages;
        self.events += other.events;
        self.breaks += other.breaks;
        self.resyncs += other.resyncs;
        self.reconnects += other.reconnects;
        self.tops += other.tops;
        self.books += other.books;
        self.trades += other.trades;
        self.lost += other.lost;
        self.ages += other.ages;
        self.digest.join(other.digest);
    }
}

impl Figures {
    /// Faults of all kinds.
    #[must_use]
    pub fn faults_total(&self) -> u64 {
        self.faults.values().sum()
    }
}

#[cfg(test)]
mod tests;

//! Orders in the deterministic world: traders place, change and cancel orders by seed, while answers get
//! lost, links break and venues fail; at the end everything that they were told is the venue's ledger, to
//! the last digit.
//!
//! | file | what it holds |
//! |---|---|
//! | `plan` | what a seed means: accounts, deeds, faults |
//! | `trader` | a strategy that does as the plan says |
//! | `model` | what an account may be told, and what it must have been told in the end |
//! | `run` | the course of time |

mod model;
mod plan;
mod run;
mod trader;

use std::collections::BTreeMap;

use super::{Digest, Sum};

pub use plan::{Row, rows};
pub use run::run;

/// What runs came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Runs.
    pub seeds: u64,
    /// Virtual time, in ns.
    pub virtual_ns: i64,
    /// Orders that a venue has had.
    pub orders: u64,
    /// Orders by the way they were traded.
    pub orders_by_row: BTreeMap<String, u64>,
    /// Requests for orders that came to none: refused here or there, or lost on their way.
    pub orders_refused: u64,
    /// Trades that strategies were told of.
    pub fills: u64,
    /// Commands that strategies were told to have failed.
    pub refusals: u64,
    /// Times that an order's fate was told to be unknown; each has been told since.
    pub unknown: u64,
    /// Stops that were told to wait.
    pub stops: u64,
    /// Those of them that were told to be in the book, or to have traded, later.
    pub triggered: u64,
    /// What order requests, links, requests and venues met, by the words of a script: each answer, link
    /// or request counts.
    pub faults: BTreeMap<&'static str, u64>,
    /// Connections that the network cut or held back, or that did not come about.
    pub weather: u64,
    /// Questions that the model asked.
    pub checks: u64,
    /// Over all events in their order.
    pub digest: Digest,
}

impl Sum for Figures {
    fn add(&mut self, other: &Figures) {
        self.seeds += other.seeds;
        self.virtual_ns += other.virtual_ns;
        self.orders += other.orders;
        for (row, count) in &other.orders_by_row {
            *self.orders_by_row.entry(row.clone()).or_default() += count;
        }
        self.orders_refused += other.orders_refused;
        self.fills += other.fills;
        self.refusals += other.refusals;
        self.unknown += other.unknown;
        self.stops += other.stops;
        self.triggered += other.triggered;
        for (kind, count) in &other.faults {
            *self.faults.entry(kind).or_default() += count;
        }
        self.weather += other.weather;
        self.checks += other.checks;
        self.digest.join(other.digest);
    }
}

#[cfg(test)]
mod tests;

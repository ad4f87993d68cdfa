//! What one healthy link feels while something goes wrong beside it, on the same loop.
//!
//! Each scenario is an engine with a link that brings steady data over real TLS, and a disturbance
//! that is switched on for a phase of the run. What the healthy link feels is measured in the same
//! sitting without and with it: the times of the loop's turns, and the way of its messages from the
//! venue's write to the strategy.

mod burst;
mod healthy;
pub mod report;
mod resync;
mod storm;
mod storm_server;

use std::str::FromStr;
use std::time::{Duration, Instant};

pub use report::Report;
pub(crate) use report::{commit, machine};
pub(crate) use storm_server::identity;

/// How a scenario is run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The length of each phase.
    pub phase: Duration,
    /// Of all chance but the system's.
    pub seed: u64,
}

/// What goes wrong beside the healthy link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// Ten links to another host fail at a fixed four a second in all, each after a full handshake.
    Storm,
    /// Books of another venue are fetched anew, a fixed ten a second.
    Resync,
    /// Another link gets 64 KiB at once, a hundred times a second.
    Burst,
}

impl Scenario {
    /// All of them, by name.
    pub const ALL: [(&'static str, Scenario); 3] = [
        ("storm", Scenario::Storm),
        ("resync", Scenario::Resync),
        ("burst", Scenario::Burst),
    ];

    /// Runs it.
    ///
    /// # Errors
    /// What could not be set up, or what must hold and did not.
    pub fn run(self, options: &Options) -> Result<Report, Failure> {
        match self {
            Scenario::Storm => storm::run(options),
            Scenario::Resync => resync::run(options),
            Scenario::Burst => burst::run(options),
        }
    }
}

impl FromStr for Scenario {
    type Err = String;

    fn from_str(name: &str) -> Result<Scenario, String> {
        let found = Scenario::ALL.iter().find(|(known, _)| *known == name);
        let known = || Scenario::ALL.map(|(known, _)| known).join(", ");
        found
            .map(|(_, scenario)| *scenario)
            .ok_or_else(|| format!("no scenario {name:?}; there are: {}", known()))
    }
}

/// A run that could not be made, or that broke a promise.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A moment to measure from.
#[expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
pub(crate) fn moment() -> Instant {
    Instant::now()
}

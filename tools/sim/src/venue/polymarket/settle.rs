//! What becomes of trades on the chain: matched at once, mined and confirmed later; or sent again; or
//! failed for good, and then they have not happened.

use std::collections::BTreeMap;

use crate::control::Settlement;
use crate::exchange::{Exchange, Fill};
use crate::spec::SECOND_NS;

/// A trade is mined and confirmed so long after it was matched, where nothing else was asked for: some
/// blocks of the chain.
const MINED_NS: i64 = 2 * SECOND_NS;
const CONFIRMED_NS: i64 = 5 * SECOND_NS;

const FAILED: &str = "FAILED";

/// Statuses behind "MATCHED", and how long after the match each comes.
pub(super) type Life = Vec<(&'static str, i64)>;

/// How trades settle, and those that settle otherwise than others.
#[derive(Debug)]
pub(super) struct Settling {
    next: Life,
    /// By the trade's id.
    lives: BTreeMap<String, Life>,
    /// Trades that will fail.
    failing: Vec<(i64, Fill)>,
}

impl Settling {
    pub(super) fn new() -> Self {
        Self {
            next: vec![("MINED", MINED_NS), ("CONFIRMED", CONFIRMED_NS)],
            lives: BTreeMap::new(),
            failing: Vec::new(),
        }
    }

    /// How trades settle from now on.
    pub(super) fn set(&mut self, how: Settlement, step_ns: i64) {
        let steps: &[&'static str] = match how {
            Settlement::Confirmed => &["MINED", "CONFIRMED"],
            Settlement::Retried => &["RETRYING", "MINED", "CONFIRMED"],
            Settlement::Failed => &["RETRYING", FAILED],
        };
        let times = (1..).map(|step| step * step_ns.max(1));
        self.next = steps.iter().copied().zip(times).collect();
    }

    /// A trade was matched.
    pub(super) fn begin(&mut self, id: String, fill: &Fill) -> Life {
        let fails = self.next.iter().find(|(status, _)| *status == FAILED);
        let fails = fails.map(|(_, after_ns)| (fill.at_ns + after_ns, fill.clone()));
        self.failing.extend(fails);
        self.lives.insert(id, self.next.clone());
        self.next.clone()
    }

    /// Where a trade stands.
    pub(super) fn status(&self, id: &str, age_ns: i64) -> &'static str {
        let life = self.lives.get(id).unwrap_or(&self.next);
        let reached = life.iter().rfind(|(_, after_ns)| *after_ns <= age_ns);
        reached.map_or("MATCHED", |(status, _)| status)
    }

    /// Takes back what has failed; returns when to look again.
    pub(super) fn take_back(&mut self, exchange: &mut Exchange, now: i64) -> Option<i64> {
        self.failing.retain(|(at_ns, fill)| {
            if *at_ns <= now {
                exchange.undo(fill);
            }
            *at_ns > now
        });
        self.failing.iter().map(|(at_ns, _)| *at_ns).min()
    }
}

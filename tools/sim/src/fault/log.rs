//! What was injected and when it acted, so that a test can count it.

use std::sync::{Arc, Mutex, PoisonError};

use super::{Fault, FaultKind};
use crate::spec::SimVenue;

/// Records kept: a day of one fault a second. Later ones are counted, not kept.
const RECORDS_MAX: usize = 100_000;

/// One injected fault.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FaultRecord {
    /// When it was injected, ns since 1970.
    pub at_ns: i64,
    /// At which venue.
    pub venue: SimVenue,
    /// What.
    pub fault: Fault,
    /// When it first acted on a frame, link, upgrade or request. `None`: it still waits for one, or
    /// there was no link for it.
    pub acted_ns: Option<i64>,
    /// On how many frames, links, upgrades or requests it acted. A frame that goes to several
    /// subscribers counts once.
    pub hits: u64,
}

#[derive(Debug, Default)]
struct Inner {
    records: Vec<FaultRecord>,
    dropped: u64,
}

/// A handle to the log of faults. Cloning is cheap; any thread may hold one.
#[derive(Clone, Debug, Default)]
pub struct FaultLog(Arc<Mutex<Inner>>);

impl FaultLog {
    fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        // A reader that panicked while it held the lock has changed nothing.
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// All records, in the order of injection.
    #[must_use]
    pub fn records(&self) -> Vec<FaultRecord> {
        self.with(|inner| inner.records.clone())
    }

    /// How many faults of this kind were injected and have acted.
    #[must_use]
    pub fn acted(&self, venue: SimVenue, kind: FaultKind) -> usize {
        self.with(|inner| {
            let mine = inner.records.iter().filter(|r| r.venue == venue);
            mine.filter(|r| r.fault.kind() == kind && r.acted_ns.is_some())
                .count()
        })
    }

    /// Records beyond the log's capacity, which were not kept.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.with(|inner| inner.dropped)
    }

    /// Opens a record; its index names it to [`Self::hit`].
    pub(crate) fn open(&self, at_ns: i64, venue: SimVenue, fault: Fault) -> usize {
        self.with(|inner| {
            if inner.records.len() >= RECORDS_MAX {
                inner.dropped += 1;
                return usize::MAX;
            }
            inner.records.push(FaultRecord {
                at_ns,
                venue,
                fault,
                acted_ns: None,
                hits: 0,
            });
            inner.records.len() - 1
        })
    }

    /// Notes that it acted.
    pub(crate) fn hit(&self, record: usize, at_ns: i64, hits: u64) {
        if hits == 0 {
            return;
        }
        self.with(|inner| {
            if let Some(record) = inner.records.get_mut(record) {
                record.acted_ns.get_or_insert(at_ns);
                record.hits += hits;
            }
        });
    }
}

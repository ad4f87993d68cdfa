//! Allocations of the loop's thread, from the counting allocator of the `tickwire` command.

use tickwire::testing::alloc::{Counts, counts};

/// How many allocations there were up to a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AllocationCount(Counts);

/// Allocations a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AllocationsPerMessage {
    /// By our code on the loop's thread.
    pub ours: f64,
    /// By the TLS library.
    pub tls: f64,
}

impl AllocationCount {
    pub(crate) fn now() -> AllocationCount {
        AllocationCount(counts())
    }

    pub(crate) fn since(self, earlier: AllocationCount) -> AllocationCount {
        AllocationCount(Counts {
            ours: self.0.ours - earlier.0.ours,
            tls: self.0.tls - earlier.0.tls,
        })
    }

    pub(crate) fn per_message(self, messages: u64) -> AllocationsPerMessage {
        let messages = messages.max(1) as f64;
        AllocationsPerMessage {
            ours: self.0.ours as f64 / messages,
            tls: self.0.tls as f64 / messages,
        }
    }
}

//! The checks, by what they look at.

mod clock;
mod cores;
mod interrupts;
mod memory;
mod network;
mod system;

use super::{Check, Host};

/// All of them, those that matter most first.
pub(super) fn all(host: &Host, core: usize) -> Vec<Check> {
    vec![
        cores::isolated(host, core),
        cores::tick(host, core),
        cores::rcu(host, core),
        cores::siblings(host, core),
        cores::governor(host, core),
        cores::idle_states(host, core),
        interrupts::affinity(host, core),
        interrupts::default_affinity(host, core),
        interrupts::irqbalance(host, core),
        network::coalescing(host),
        network::busy_poll(host),
        clock::source(host),
        clock::counter(host),
        memory::locked(host),
        memory::swap(host),
        memory::huge_pages(host),
        memory::numa(host, core),
        memory::numa_balancing(host),
        system::virtual_machine(host, core),
        system::mitigations(host),
        system::realtime(host),
        system::open_files(host),
        system::perf(host),
    ]
}

//! The hot path rules, held against the whole path: simulator over TLS, loop, connectors, books, a
//! ring to another thread and a strategy inline on the loop.
//!
//! *In steady state, for our code, per message: no allocation .. no syscall but poll, recv and
//! send.* A counting allocator holds the first part. A seccomp filter on the loop's own thread, put
//! on by the inline strategy once every stream is Live, holds the second: the first system call that
//! is not on its short list kills the process; acknowledging what came is on it. What can be killed runs as a process of its own, this
//! binary again.
//!
//! `TICKWIRE_STEADY_MESSAGES` sets how many messages are measured. The design's figure, 10⁶:
//! `TICKWIRE_STEADY_MESSAGES=1000000 cargo test --release -p tickwire-tools --test steady_state`.

mod world;

#[cfg(target_os = "linux")]
mod filter;

use std::error::Error;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tickwire::testing::alloc::{CountingAllocator, counts};
use world::{Steady, World};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

type Outcome = Result<(), Box<dyn Error>>;

/// One engine at a time: each spins on a core, and the allocator's counts are the process's.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What `cargo test` takes the time for; see the head of this file for more.
const MESSAGES: u64 = 100_000;

/// How many messages are measured.
fn messages() -> Result<u64, Box<dyn Error>> {
    match std::env::var("TICKWIRE_STEADY_MESSAGES") {
        Ok(text) => Ok(text.parse()?),
        Err(_) => Ok(MESSAGES),
    }
}

#[test]
fn our_code_allocates_nothing() -> Outcome {
    let _alone = alone();
    let world = World::start(Steady::Run)?;
    world.wait_until_steady()?;
    let (before, start) = (counts(), world.progress());
    world.wait_for(start.messages + messages()?)?;
    let (end, after) = (world.progress(), counts());
    let passed = end.messages - start.messages;
    let (ours, tls) = (after.ours - before.ours, after.tls - before.tls);
    report(&format!(
        "{passed} messages, {} events inline, {} over the ring: {ours} allocations of ours, {tls} of \
         the TLS library ({:.3} a message)",
        end.inline_events - start.inline_events,
        end.ring_events - start.ring_events,
        tls as f64 / passed as f64,
    ));
    world.check_steady(&start, &end)?;
    assert_eq!(ours, 0, "our code allocated on the loop in steady state");
    assert!(tls > 0, "nothing is counted: the zones are not entered");
    world.stop()
}

#[expect(clippy::print_stderr, reason = "a figure of a test that passes")]
fn report(line: &str) {
    eprintln!("steady state: {line}");
}

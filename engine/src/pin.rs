//! Threads on cores of their own.

use core_affinity::CoreId;

/// A core could not be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PinError {
    /// The machine (or this process) has no such core.
    #[error(
        "this process may not use core {core}: it has {available} cores, from {first} to {last}"
    )]
    NoSuchCore {
        /// The core asked for.
        core: usize,
        /// How many there are.
        available: usize,
        /// The lowest of them.
        first: usize,
        /// The highest of them.
        last: usize,
    },
    /// The system refused.
    #[error("the system refused to pin a thread to core {0}")]
    Refused(usize),
}

/// How many cores this process may use.
pub fn cores() -> usize {
    core_affinity::get_core_ids().map_or(1, |cores| cores.len().max(1))
}

/// The highest core that this process may use: where the system puts the least by itself.
pub fn last_core() -> Option<usize> {
    let cores = core_affinity::get_core_ids()?;
    cores.iter().map(|core| core.id).max()
}

/// The kernel's set of cores in one call holds so many (`CPU_SETSIZE`).
const CORES_MAX: usize = 1_024;

/// Whether a thread of this process may be pinned to the core.
///
/// # Errors
/// Where it may not.
pub fn check_core(core: usize) -> Result<(), PinError> {
    let known = core_affinity::get_core_ids().unwrap_or_default();
    if known.iter().any(|id| id.id == core)
        || (core < CORES_MAX && cfg!(target_os = "linux") && may_be_taken(core))
    {
        return Ok(());
    }
    Err(PinError::NoSuchCore {
        core,
        available: known.len(),
        first: known.iter().map(|id| id.id).min().unwrap_or(0),
        last: last_core().unwrap_or(0),
    })
}

/// A core that the kernel keeps for those who ask (`isolcpus`) is in no process's own set, and may be taken all
/// the same: only trying tells. On a thread of its own, as it stays where it was put.
fn may_be_taken(core: usize) -> bool {
    let thread = std::thread::spawn(move || core_affinity::set_for_current(CoreId { id: core }));
    thread.join().unwrap_or(false)
}

/// Pins the calling thread, as the engine pins its own: for threads that read a
/// [`StrategySetup::pair`](crate::StrategySetup::pair).
///
/// # Errors
/// Where this process may not use the core, or the system refuses.
pub fn pin(core: usize) -> Result<(), PinError> {
    check_core(core)?;
    if core_affinity::set_for_current(CoreId { id: core }) {
        Ok(())
    } else {
        Err(PinError::Refused(core))
    }
}

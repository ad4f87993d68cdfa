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

/// Whether this process may use the core.
pub(crate) fn check(core: usize) -> Result<(), PinError> {
    let known = core_affinity::get_core_ids().unwrap_or_default();
    if known.iter().any(|id| id.id == core) {
        return Ok(());
    }
    Err(PinError::NoSuchCore {
        core,
        available: known.len(),
        first: known.iter().map(|id| id.id).min().unwrap_or(0),
        last: last_core().unwrap_or(0),
    })
}

/// Pins the calling thread.
pub(crate) fn pin(core: usize) -> Result<(), PinError> {
    if core_affinity::set_for_current(CoreId { id: core }) {
        Ok(())
    } else {
        Err(PinError::Refused(core))
    }
}

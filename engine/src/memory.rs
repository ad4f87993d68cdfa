//! Memory that stays where it is: all pages of the process, locked before the loop starts.

use std::io;

/// The process's memory could not be locked. Nothing runs.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Not all of it may be, and so some later allocation would fail.
    #[error(
        "this process may lock {limit_bytes} bytes (ulimit -l), and is to lock all of its memory, now and later: \
         set the limit to unlimited (LimitMEMLOCK=infinity), or give it CAP_IPC_LOCK"
    )]
    Limit {
        /// The soft limit, `RLIMIT_MEMLOCK`.
        limit_bytes: u64,
    },
    /// The system refused all the same: there is less memory than the process has asked for, or the
    /// container may not.
    #[error("the system refused to lock the process's memory: {0}")]
    Refused(io::Error),
    /// Not Linux.
    #[error("locking memory is there on Linux only: leave .lock_memory(true) out")]
    NotSupported,
}

/// Locks all pages of the process, those that it has and those that it will have.
#[cfg(target_os = "linux")]
pub(crate) fn lock() -> Result<(), LockError> {
    use rustix::mm::{MlockAllFlags, mlockall};
    use rustix::process::{Resource, getrlimit};
    use rustix::thread::{CapabilitySet, capabilities};

    let is_privileged =
        capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::IPC_LOCK));
    // A limit that today's pages fit would be met by tomorrow's: then an allocation fails, which ends the
    // process at the worst time instead of now.
    if let (false, Some(limit_bytes)) = (is_privileged, getrlimit(Resource::Memlock).current) {
        return Err(LockError::Limit { limit_bytes });
    }
    let all = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE;
    mlockall(all).map_err(|error| LockError::Refused(error.into()))
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn lock() -> Result<(), LockError> {
    Err(LockError::NotSupported)
}

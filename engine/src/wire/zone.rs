//! Whose code is running, for an allocator that counts.
//!
//! rustls 0.23 allocates about once a record, our own hot path not at all. A counting allocator
//! can only show both numbers if it knows who asked: every call into rustls runs under a guard of
//! this module, and the allocator reads [`current`].

use std::cell::Cell;
use std::marker::PhantomData;

/// Whose code is running on this thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Zone {
    /// Any thread that is not a loop's: nobody counts.
    Elsewhere = 0,
    /// Our own code on a loop's thread: nothing may allocate here in steady state.
    Ours = 1,
    /// Inside the TLS library.
    Tls = 2,
}

thread_local! {
    // `const` and without a destructor: reading it from an allocator never allocates itself.
    static CURRENT: Cell<Zone> = const { Cell::new(Zone::Elsewhere) };
}

/// The zone this thread is in. Safe to call from a global allocator, also while a thread ends.
#[inline]
pub fn current() -> Zone {
    CURRENT.try_with(Cell::get).unwrap_or(Zone::Elsewhere)
}

/// Enters `zone` until the guard is dropped; guards nest. Costs a load and two stores.
#[inline]
#[must_use = "the zone is left when the guard is dropped"]
pub fn enter(zone: Zone) -> ZoneGuard {
    ZoneGuard {
        previous: CURRENT.replace(zone),
        on_this_thread: PhantomData,
    }
}

/// Restores the zone that was current before [`enter`].
#[derive(Debug)]
pub struct ZoneGuard {
    previous: Zone,
    // A guard that moved to another thread would restore the zone of the wrong one.
    on_this_thread: PhantomData<*const ()>,
}

impl Drop for ZoneGuard {
    #[inline]
    fn drop(&mut self) {
        CURRENT.set(self.previous);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guards_nest_and_restore() {
        assert_eq!(current(), Zone::Elsewhere);
        {
            let _tls = enter(Zone::Tls);
            assert_eq!(current(), Zone::Tls);
            {
                let _ours = enter(Zone::Ours);
                assert_eq!(current(), Zone::Ours);
            }
            assert_eq!(current(), Zone::Tls);
            assert_eq!(
                std::thread::spawn(current).join().ok(),
                Some(Zone::Elsewhere)
            );
        }
        assert_eq!(current(), Zone::Elsewhere);
    }
}

//! What a thread holds in memory: an allocator that counts bytes.
//!
//! `unsafe` because only an allocator can count bytes; it forwards to the system's.
#![allow(unsafe_code)]
#![allow(dead_code, reason = "each test binary uses a part")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    // `const` and without a destructor: reading them never allocates.
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count(bytes: isize) {
    let _ = LIVE.try_with(|live| {
        live.set(live.get() + bytes);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(live.get())));
    });
}

// SAFETY: every call is forwarded unchanged to the system's allocator, which keeps the contract.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller keeps `alloc`'s contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: as for `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: `pointer` came from `System` by a call here, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both at once, as if it moved.
        count(size as isize);
        count(-(layout.size() as isize));
        // SAFETY: as for `dealloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// The most that this thread has held since the mark, on top of what it held then.
pub(crate) struct Mark(isize);

impl Mark {
    pub(crate) fn set() -> Self {
        let live = LIVE.get();
        PEAK.set(live);
        Self(live)
    }

    /// The peak, in bytes.
    pub(crate) fn peak(&self) -> usize {
        usize::try_from(PEAK.get() - self.0).unwrap_or(0)
    }

    /// Checks the peak against what the limits add up to, and a little for errors and small vectors.
    pub(crate) fn check(&self, limits: usize) {
        let (peak, max) = (self.peak(), limits + (96 << 10));
        assert!(peak <= max, "held {peak} bytes, {max} expected");
    }
}

//! An allocator that counts what the loop's thread allocates: by our code, and by the TLS library.
//!
//! ```
//! use tickwire::testing::alloc::CountingAllocator;
//!
//! #[global_allocator]
//! static ALLOCATOR: CountingAllocator = CountingAllocator;
//! # fn main() {}
//! ```
//!
//! This file needs `unsafe`: a global allocator is an unsafe trait. It adds two counters to the
//! system's allocator and hands every call on unchanged.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::wire::zone::{self, Zone};

static OURS: AtomicU64 = AtomicU64::new(0);
static TLS: AtomicU64 = AtomicU64::new(0);

/// The system's allocator, counting.
#[derive(Clone, Copy, Debug, Default)]
pub struct CountingAllocator;

/// Allocations (and reallocations) so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// On a loop's thread, by our code and inline strategies.
    pub ours: u64,
    /// On a loop's thread, inside the TLS library.
    pub tls: u64,
}

/// What was counted so far; zeroes where the program has another allocator.
pub fn counts() -> Counts {
    Counts {
        ours: OURS.load(Ordering::Relaxed),
        tls: TLS.load(Ordering::Relaxed),
    }
}

#[inline]
fn count() {
    match zone::current() {
        Zone::Elsewhere => {}
        Zone::Ours => {
            OURS.fetch_add(1, Ordering::Relaxed);
        }
        Zone::Tls => {
            TLS.fetch_add(1, Ordering::Relaxed);
        }
    }
}

// SAFETY: every method hands its arguments on to `System` unchanged and gives back what `System`
// gave, so `System`'s own guarantees hold. The counting touches atomics and a thread-local `Cell`
// without a destructor: it neither allocates nor panics.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`, which is `System`'s too.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: `pointer` came from this allocator, hence from `System`, with this `layout`.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

//! Memory asked for before it is needed: the searches of one message then wait for it together and not one
//! behind the other.
//!
//! This file needs `unsafe` since the processor's instruction takes an address, which the language can't check.
#![cfg_attr(target_arch = "x86_64", allow(unsafe_code))]

/// Bytes of a line of the cache.
#[cfg(target_arch = "x86_64")]
const LINE_BYTES: usize = 64;

/// Asks for the lines that hold `values`. A hint: nothing is read, and where the processor has no such
/// instruction, nothing is done.
#[inline(always)]
pub(crate) fn prefetch(values: &[i64]) {
    #[cfg(target_arch = "x86_64")]
    for line in values.chunks(LINE_BYTES / size_of::<i64>()) {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

        // SAFETY: a prefetch reads nothing that the program sees and faults at no address; this one is of a
        // slice that is alive besides. SSE, which has it, is part of every x86-64 processor.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = values;
}

//! Asks for memory before it is needed.
//!
//! One book is in the near caches all the time; of thousands each message finds its own far away, in some thirty places
//! of which each says where the next one is. Who knows early whose message it is asks for all of them at once, and reads
//! the message while they come.

// The one instruction of this file has no safe form. It gives no value and faults at no address: one that is not mapped,
// or not ours, is a hint that is ignored (Intel's manual, volume 2, PREFETCHh: "merely a hint and does not affect program
// behavior").
#![allow(unsafe_code)]

/// Bytes that come at once.
const LINE: usize = 64;

/// Asks for all of a value. Nothing but time depends on it.
#[inline(always)]
pub fn prefetch<T: ?Sized>(value: &T) {
    let start = core::ptr::from_ref(value).cast::<u8>();
    let len = size_of_val(value);
    let mut at = 0;
    while at < len {
        line(start.wrapping_add(at));
        at += LINE;
    }
    // Where it does not begin with a line, it ends in a further one.
    line(start.wrapping_add(len.saturating_sub(1)));
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn line(address: *const u8) {
    use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: SSE is part of every x86-64, and the instruction may be given any address (above).
    unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
}

/// Others have it only behind unstable functions.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn line(_: *const u8) {}

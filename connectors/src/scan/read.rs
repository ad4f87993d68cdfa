//! Who reads a hot message: the quickest that the processor allows, and where that finds something
//! unusual, [`Scan`].
//!
//! This file needs `unsafe` to call what is compiled for AVX2, behind the check that the processor has it.
#![allow(unsafe_code)]

use super::{Cursor, Quick, Scan, ScanError};
use crate::swar::Common;

/// A kind of message: how it is read, whoever reads.
///
/// `read` must be `#[inline(always)]`: only what is inlined is compiled for the processor at hand. It starts
/// anew each time, and forgets what it wrote before.
pub(crate) trait Message<'a> {
    /// What it tells.
    type Told: PartialEq + core::fmt::Debug;

    /// Reads it.
    fn read<C: Cursor<'a>>(&mut self, cursor: C) -> Result<Self::Told, C::Error>;
}

/// Reads a message from where `scan` is.
#[inline]
pub(crate) fn read<'a, M: Message<'a>>(
    scan: Scan<'a>,
    message: &mut M,
) -> Result<M::Told, ScanError> {
    let told = quickly(scan, message);
    #[cfg(any(test, feature = "fuzzing"))]
    if let Some(told) = &told {
        // What stands beside, such as levels, is compared with another reader's.
        assert_eq!(slowly(scan, message).as_ref(), Ok(told));
    }
    told.map_or_else(|| slowly(scan, message), Ok)
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn quickly<'a, M: Message<'a>>(scan: Scan<'a>, message: &mut M) -> Option<M::Told> {
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { quickly_avx2(scan, message) };
    }
    message.read(Quick::<Common>::from_scan(scan)).ok()
}

#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn quickly<'a, M: Message<'a>>(scan: Scan<'a>, message: &mut M) -> Option<M::Told> {
    message.read(Quick::<Common>::from_scan(scan)).ok()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn quickly_avx2<'a, M: Message<'a>>(scan: Scan<'a>, message: &mut M) -> Option<M::Told> {
    message
        .read(Quick::<crate::swar::Avx2>::from_scan(scan))
        .ok()
}

/// Key by key, and with a word for what is wrong.
#[cold]
#[inline(never)]
fn slowly<'a, M: Message<'a>>(scan: Scan<'a>, message: &mut M) -> Result<M::Told, ScanError> {
    message.read(scan)
}

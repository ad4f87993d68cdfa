//! Who reads a hot message: the quickest that the processor allows, and where that finds something
//! unusual, [`Scan`].
//!
//! This file needs `unsafe` to call what is compiled for AVX2, behind the check that the processor has it.
#![allow(unsafe_code)]

use super::{Cursor, Quick, Scan, ScanError};
use crate::swar::{self, Common};

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
    #[cfg(any(test, feature = "fuzzing"))]
    let checked = checked(scan, message);
    let told = quickly(scan, message);
    #[cfg(any(test, feature = "fuzzing"))]
    if let Some(told) = &told {
        // What stands beside, such as levels, is now the quick one's: it is compared with another reader's.
        assert_eq!(checked.as_ref(), Ok(told));
    }
    told.map_or_else(|| slowly(scan, message), Ok)
}

/// Holds what was told of a message without reading it through against what is read. Tests and fuzzing only.
#[inline(always)]
pub(crate) fn check<'a, M: Message<'a>>(scan: Scan<'a>, message: &mut M, told: &M::Told) {
    #[cfg(any(test, feature = "fuzzing"))]
    assert_eq!(slowly(scan, message).as_ref(), Ok(told));
    #[cfg(not(any(test, feature = "fuzzing")))]
    let _ = (scan, message, told);
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn quickly<'a, M: Message<'a>>(scan: Scan<'a>, message: &mut M) -> Option<M::Told> {
    if swar::Avx2::found().is_some() {
        // SAFETY: the processor has what the function is compiled for.
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
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt")]
fn quickly_avx2<'a, M: Message<'a>>(scan: Scan<'a>, message: &mut M) -> Option<M::Told> {
    message.read(Quick::<swar::Avx2>::from_scan(scan)).ok()
}

/// What must be told, by the reader of everything; whatever processor this is, the quick one of every
/// processor tells the same, where it tells anything.
#[cfg(any(test, feature = "fuzzing"))]
fn checked<'a, M: Message<'a>>(scan: Scan<'a>, message: &mut M) -> Result<M::Told, ScanError> {
    let common = message.read(Quick::<Common>::from_scan(scan));
    let told = slowly(scan, message);
    if let Ok(common) = &common {
        assert_eq!(told.as_ref(), Ok(common));
    }
    told
}

/// Key by key, and with a word for what is wrong.
#[cold]
#[inline(never)]
fn slowly<'a, M: Message<'a>>(scan: Scan<'a>, message: &mut M) -> Result<M::Told, ScanError> {
    message.read(scan)
}

//! Two decimals of a text: where they begin and end, by the bits of all of their bytes at once.
//!
//! This file needs `unsafe` to hand on what its callers answer for: that the processor has AVX2.
#![allow(unsafe_code)]

use super::tables::{LAID, Laid};
use super::{marks, placed};
use crate::scan::REACH;

/// Where a decimal's digits end: those before its point, and all of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decimal {
    pub(super) whole: u32,
    end: u32,
}

impl Decimal {
    /// The one that a text begins with, up to the first of its `ends`; of bytes that are no digits it may have a point.
    #[inline(always)]
    pub(super) fn of(ends: u64, points: u64, others: u64) -> Option<Decimal> {
        let (whole, end) = (others.trailing_zeros(), ends.trailing_zeros());
        let point = points & 1 << whole;
        let within = (1 << end) - 1;
        (others & within & !point == 0).then_some(Decimal { whole, end })
    }

    /// Bytes from the point on.
    #[inline(always)]
    pub(super) fn tail(self) -> u32 {
        self.end - self.whole
    }

    /// Digits behind the point without the zeros at their end.
    #[inline(always)]
    pub(super) fn kept(self, zeros: u64) -> u32 {
        let others = !zeros & ((1 << self.end) - 1);
        let last = u64::BITS - others.leading_zeros();
        last.saturating_sub(self.whole + 1)
    }
}

/// Of a decimal whose digits behind the point are `kept` and zeros: all bits are dropped where there is none.
#[inline(always)]
pub(super) fn exactly_at(decimal: Decimal, kept: u32) -> Option<&'static Laid> {
    let tail = if kept > 0 { kept + 1 } else { 0 };
    LAID.get(kept as usize)?
        .get(decimal.whole as usize)?
        .get(tail as usize)
}

/// Two quoted decimals of a text, from behind the first quote on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Two {
    pub(super) first: Decimal,
    pub(super) second: Decimal,
    /// Where the second begins, and where the quote behind it is.
    pub(super) at: usize,
    pub(super) end: usize,
    /// Which bytes are zeros, and which are no digits.
    pub(super) zeros: u64,
    pub(super) others: u64,
}

impl Two {
    /// With exactly `between` between them, which begins and ends with a quote.
    ///
    /// # Safety
    ///
    /// The processor must have AVX2.
    #[inline(always)]
    pub(super) unsafe fn of<const N: usize>(text: &[u8; REACH], between: &[u8; N]) -> Option<Two> {
        // SAFETY: the caller answers for AVX2.
        let marks = unsafe { marks(text.first_chunk()?) };
        let (quotes, points) = (u64::from(marks.quotes), u64::from(marks.points));
        // Behind the bytes that were looked at nothing is a digit, so that every search ends.
        let others = !u64::from(marks.digits);
        let first_end = quotes.trailing_zeros() as usize;
        if text.get(first_end..)?.first_chunk() != Some(between) {
            return None;
        }
        // The quote behind the second: so many others stand before it, and what follows waits for no number's place.
        let mut last = quotes;
        for byte in between {
            if *byte == b'"' {
                last &= last.wrapping_sub(1);
            }
        }
        if last == 0 {
            return None;
        }
        let at = first_end + N;
        Some(Two {
            first: Decimal::of(quotes, points, others)?,
            second: Decimal::of(quotes >> at, points >> at, others >> at)?,
            at,
            end: last.trailing_zeros() as usize,
            zeros: u64::from(marks.zeros),
            others,
        })
    }

    /// # Safety
    ///
    /// The processor must have AVX2.
    #[inline(always)]
    pub(super) unsafe fn numbers(
        &self,
        text: &[u8; REACH],
        [first, second]: [&Laid; 2],
    ) -> Option<[u64; 2]> {
        let words = [text.first_chunk()?, text.get(self.at..)?.first_chunk()?];
        // SAFETY: the caller answers for AVX2.
        Some(unsafe { placed(words, [&first.places, &second.places]) })
    }
}

//! What every processor of the architecture can: SSE2 on x86-64, sums of whole words elsewhere.
//!
//! This file needs `unsafe`: the comparison of sixteen bytes is one instruction that the compiler makes of
//! no loop (measured: 8 ns a decimal by it, 11 by sums of whole words), and the language lets a function
//! with a target feature be called from safe code of the same feature only.
#![cfg_attr(target_arch = "x86_64", allow(unsafe_code))]

use super::{FAR, Lanes, Marks, WIDTH, Word};

/// Sixteen zeros as text.
const ZEROS: u128 = u128::MAX / 0xFF * b'0' as u128;

/// The number of eight digit values, the first in the lowest byte: pairs, then fours, then all.
#[inline(always)]
const fn eight(values: u64) -> u64 {
    const FOURS: u64 = 0x0000_00FF_0000_00FF;
    let pairs = values.wrapping_mul(10).wrapping_add(values >> 8);
    let high = (pairs & FOURS).wrapping_mul(100 + (1_000_000 << 32));
    let low = ((pairs >> 16) & FOURS).wrapping_mul(1 + (10_000 << 32));
    high.wrapping_add(low) >> 32
}

/// What every processor of the architecture can.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Common;

impl Lanes for Common {
    #[inline(always)]
    fn marks(word: &Word) -> Marks {
        Marks {
            quotes: is(word, b'"'),
            points: is(word, b'.'),
            zeros: is(word, b'0'),
            digits: digits(word),
        }
    }

    #[inline(always)]
    fn digits(word: &Word) -> u32 {
        digits(word)
    }

    #[inline(always)]
    fn ends(word: &Word) -> u32 {
        ends(word)
    }

    #[inline(always)]
    fn far_ends(words: &[u8; FAR]) -> u32 {
        let (mut low, mut high) = ([0; WIDTH], [0; WIDTH]);
        low.copy_from_slice(&words[..WIDTH]);
        high.copy_from_slice(&words[WIDTH..]);
        ends(&low) | ends(&high) << WIDTH
    }

    #[inline(always)]
    fn number(word: &Word, length: u32) -> u64 {
        let values = (u128::from_le_bytes(*word) ^ ZEROS) << (8 * (WIDTH as u32 - length));
        eight(values as u64) * 100_000_000 + eight((values >> 64) as u64)
    }

    #[inline(always)]
    fn halves(word: &Word, point: u32, kept: u32) -> (u64, u64) {
        let values = u128::from_le_bytes(*word) ^ ZEROS;
        let whole = eight((values as u64) << (64 - 8 * point));
        if kept == 0 {
            return (whole, 0);
        }
        let behind = (values >> (8 * (point + 1))) as u64;
        (whole, eight(behind << (64 - 8 * kept)))
    }
}

#[cfg(target_arch = "x86_64")]
mod words {
    use super::Word;
    use core::arch::x86_64::{
        __m128i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128,
        _mm_set1_epi8, _mm_sub_epi8,
    };

    #[target_feature(enable = "sse2")]
    #[inline]
    fn of(word: &Word) -> __m128i {
        // SAFETY: sixteen bytes are read from an array of sixteen; it need not be aligned.
        unsafe { _mm_loadu_si128(word.as_ptr().cast()) }
    }

    #[target_feature(enable = "sse2")]
    #[inline]
    fn mask(bytes: __m128i) -> u32 {
        _mm_movemask_epi8(bytes) as u32
    }

    #[target_feature(enable = "sse2")]
    #[inline]
    fn is_sse2(word: &Word, byte: u8) -> u32 {
        mask(_mm_cmpeq_epi8(of(word), _mm_set1_epi8(byte as i8)))
    }

    /// Which are at most `highest`.
    #[target_feature(enable = "sse2")]
    #[inline]
    fn at_most(bytes: __m128i, highest: u8) -> __m128i {
        _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(highest as i8)), bytes)
    }

    #[target_feature(enable = "sse2")]
    #[inline]
    fn digits_sse2(word: &Word) -> u32 {
        mask(at_most(
            _mm_sub_epi8(of(word), _mm_set1_epi8(b'0' as i8)),
            9,
        ))
    }

    #[target_feature(enable = "sse2")]
    #[inline]
    fn ends_sse2(word: &Word) -> u32 {
        let bytes = of(word);
        let quotes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'"' as i8));
        let slashes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'\\' as i8));
        mask(_mm_or_si128(
            _mm_or_si128(quotes, slashes),
            at_most(bytes, 0x1F),
        ))
    }

    #[inline(always)]
    pub(super) fn is(word: &Word, byte: u8) -> u32 {
        // SAFETY: SSE2 is part of every x86-64 processor, by the definition of the architecture.
        unsafe { is_sse2(word, byte) }
    }

    #[inline(always)]
    pub(super) fn digits(word: &Word) -> u32 {
        // SAFETY: as above.
        unsafe { digits_sse2(word) }
    }

    #[inline(always)]
    pub(super) fn ends(word: &Word) -> u32 {
        // SAFETY: as above.
        unsafe { ends_sse2(word) }
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod words {
    use super::Word;

    fn mask(word: &Word, test: impl Fn(u8) -> bool) -> u32 {
        let bits = word.iter().copied().enumerate();
        bits.fold(0, |mask, (bit, byte)| mask | u32::from(test(byte)) << bit)
    }

    pub(super) fn is(word: &Word, byte: u8) -> u32 {
        mask(word, |one| one == byte)
    }

    pub(super) fn digits(word: &Word) -> u32 {
        mask(word, |one| one.is_ascii_digit())
    }

    pub(super) fn ends(word: &Word) -> u32 {
        mask(word, |one| matches!(one, b'"' | b'\\' | 0..0x20))
    }
}

use words::{digits, ends, is};

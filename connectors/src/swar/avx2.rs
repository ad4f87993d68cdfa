//! What processors since 2013 can besides: digits are moved to their places by one shuffle, and summed by
//! three multiplications for both halves of a decimal at once.
//!
//! This file needs `unsafe` for instructions that not every processor has. [`Avx2`] is used by
//! [`scan::read`](crate::scan::read) alone, and there only behind a check of the processor that runs.
#![allow(unsafe_code)]

use core::arch::x86_64::{
    _mm_cvtsi128_si64, _mm_loadu_si128, _mm_madd_epi16, _mm_maddubs_epi16, _mm_packus_epi32,
    _mm_set1_epi8, _mm_set1_epi16, _mm_set1_epi32, _mm_shuffle_epi8, _mm_sub_epi8,
    _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_min_epu8, _mm256_movemask_epi8, _mm256_or_si256,
    _mm256_set1_epi8,
};

use super::{Common, FAR, Lanes, Marks, WIDTH, Word};

/// A byte that a shuffle makes zero.
const NONE: u8 = 0x80;

/// Which byte goes where: `before` bytes to the end of the first half, and `behind` from `from` on to the end
/// of the second.
const fn places(before: usize, from: usize, behind: usize) -> Word {
    let mut places = [NONE; WIDTH];
    let mut index = 0;
    while index < before {
        places[8 - before + index] = index as u8;
        index += 1;
    }
    index = 0;
    while index < behind {
        // What would stand behind the word is none of the number.
        if from + index < WIDTH {
            places[WIDTH - behind + index] = (from + index) as u8;
        }
        index += 1;
    }
    places
}

/// By the place of the point, and how many digits are kept behind it.
static DECIMALS: [[Word; 9]; 9] = {
    let mut table = [[[NONE; WIDTH]; 9]; 9];
    let mut point = 0;
    while point <= 8 {
        let mut kept = 0;
        while kept <= 8 {
            table[point][kept] = places(point, point + 1, kept);
            kept += 1;
        }
        point += 1;
    }
    table
};

/// By the length: the last digit of sixteen is the lowest.
static INTEGERS: [Word; WIDTH] = {
    let mut table = [[NONE; WIDTH]; WIDTH];
    let mut length = 0;
    while length < WIDTH {
        let mut index = 0;
        while index < length {
            table[length][WIDTH - length + index] = index as u8;
            index += 1;
        }
        length += 1;
    }
    table
};

/// Whether this processor can all that is used where [`Avx2`] is: bits are counted and shifted by
/// instructions of the same year.
#[inline]
pub(crate) fn has_avx2() -> bool {
    std::arch::is_x86_feature_detected!("avx2")
        && std::arch::is_x86_feature_detected!("bmi1")
        && std::arch::is_x86_feature_detected!("bmi2")
        && std::arch::is_x86_feature_detected!("lzcnt")
}

/// For processors with AVX2.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx2;

/// The numbers of the two halves, once each digit is at its place.
#[target_feature(enable = "avx2")]
#[inline]
fn sum(word: &Word, places: &Word) -> (u64, u64) {
    // SAFETY: sixteen bytes are read from each of two arrays of sixteen, which need not be aligned.
    let (text, places) = unsafe {
        (
            _mm_loadu_si128(word.as_ptr().cast()),
            _mm_loadu_si128(places.as_ptr().cast()),
        )
    };
    let digits = _mm_shuffle_epi8(_mm_sub_epi8(text, _mm_set1_epi8(b'0' as i8)), places);
    let twos = _mm_maddubs_epi16(digits, _mm_set1_epi16(0x010A));
    let fours = _mm_madd_epi16(twos, _mm_set1_epi32(0x0001_0064));
    let fours = _mm_packus_epi32(fours, fours);
    let eights = _mm_madd_epi16(fours, _mm_set1_epi32(0x0001_2710));
    let both = _mm_cvtsi128_si64(eights) as u64;
    (both & 0xFFFF_FFFF, both >> 32)
}

#[target_feature(enable = "avx2")]
#[inline]
fn far_ends(words: &[u8; FAR]) -> u32 {
    // SAFETY: thirty-two bytes are read from an array of thirty-two, which need not be aligned.
    let bytes = unsafe { _mm256_loadu_si256(words.as_ptr().cast()) };
    let quotes = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(b'"' as i8));
    let slashes = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(b'\\' as i8));
    let controls = _mm256_cmpeq_epi8(_mm256_min_epu8(bytes, _mm256_set1_epi8(0x1F)), bytes);
    let ends = _mm256_or_si256(_mm256_or_si256(quotes, slashes), controls);
    _mm256_movemask_epi8(ends) as u32
}

impl Lanes for Avx2 {
    #[inline(always)]
    fn marks(word: &Word) -> Marks {
        Common::marks(word)
    }

    #[inline(always)]
    fn digits(word: &Word) -> u32 {
        Common::digits(word)
    }

    #[inline(always)]
    fn ends(word: &Word) -> u32 {
        Common::ends(word)
    }

    #[inline(always)]
    fn far_ends(words: &[u8; FAR]) -> u32 {
        // SAFETY: this type is used where the processor was found to have AVX2.
        unsafe { far_ends(words) }
    }

    #[inline(always)]
    fn number(word: &Word, length: u32) -> u64 {
        let Some(places) = INTEGERS.get(length as usize) else {
            return 0;
        };
        // SAFETY: this type is used where the processor was found to have AVX2.
        let (high, low) = unsafe { sum(word, places) };
        high * 100_000_000 + low
    }

    #[inline(always)]
    fn halves(word: &Word, point: u32, kept: u32) -> (u64, u64) {
        let row = DECIMALS.get(point as usize);
        let Some(places) = row.and_then(|row| row.get(kept as usize)) else {
            return (0, 0);
        };
        // SAFETY: as above.
        unsafe { sum(word, places) }
    }
}

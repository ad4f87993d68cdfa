//! What processors since 2013 can besides: digits are moved to their places by one shuffle, and summed by
//! three multiplications for both halves of a decimal at once.
//!
//! This file needs `unsafe` for instructions that not every processor has. [`Avx2`] is used by
//! [`scan::read`](crate::scan::read) alone, and there only behind a check of the processor that runs.
#![allow(unsafe_code)]

mod decimals;
mod tables;

use core::arch::x86_64::{
    __m256i, _mm_cvtsi128_si64, _mm_loadu_si128, _mm_madd_epi16, _mm_maddubs_epi16,
    _mm_packus_epi32, _mm_set1_epi8, _mm_set1_epi16, _mm_set1_epi32, _mm_shuffle_epi8,
    _mm_sub_epi8, _mm256_add_epi8, _mm256_add_epi64, _mm256_and_si256, _mm256_cmpeq_epi8,
    _mm256_cmpgt_epi8, _mm256_extract_epi64, _mm256_loadu_si256, _mm256_loadu2_m128i,
    _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_min_epu8, _mm256_movemask_epi8,
    _mm256_mul_epu32, _mm256_or_si256, _mm256_packus_epi16, _mm256_packus_epi32, _mm256_set_m128i,
    _mm256_set1_epi8, _mm256_set1_epi16, _mm256_set1_epi32, _mm256_set1_epi64x,
    _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_srli_epi64, _mm256_sub_epi8,
    _mm256_subs_epu8, _mm256_testz_si256,
};
use core::sync::atomic::{AtomicU8, Ordering};

use tickwire_orderbook::Scale;

use crate::scan::{Filled, Look, REACH, Templates};

use decimals::{Decimal, Two, exactly_at};
use tables::{DECIMALS, INTEGERS, LAID, laid_at};

use super::{Common, Digits, FAR, HYPHENS, Lanes, Marks, NONE, Uuid, WIDTH, Word};

/// Whether this processor can all that is used where [`Avx2`] is: bits are counted and shifted by
/// instructions of the same year.
fn has_avx2() -> bool {
    std::arch::is_x86_feature_detected!("avx2")
        && std::arch::is_x86_feature_detected!("bmi1")
        && std::arch::is_x86_feature_detected!("bmi2")
        && std::arch::is_x86_feature_detected!("lzcnt")
}

/// For processors with AVX2.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx2(());

/// What was found of the processor.
static FOUND: AtomicU8 = AtomicU8::new(UNKNOWN);
const UNKNOWN: u8 = 0;
const MISSING: u8 = 1;
const PRESENT: u8 = 2;

impl Avx2 {
    /// One, where the processor that runs is such a one.
    #[inline(always)]
    pub(crate) fn found() -> Option<Avx2> {
        match FOUND.load(Ordering::Relaxed) {
            PRESENT => Some(Avx2(())),
            MISSING => None,
            _ => Avx2::look(),
        }
    }

    #[cold]
    fn look() -> Option<Avx2> {
        let found = has_avx2();
        FOUND.store(if found { PRESENT } else { MISSING }, Ordering::Relaxed);
        found.then_some(Avx2(()))
    }

    /// Runs what is inlined into `work` with all that the processor can.
    #[inline(always)]
    pub(crate) fn run<T>(self, work: impl FnOnce() -> T) -> T {
        // SAFETY: there is a value of this type where the processor was found to have what is asked for.
        unsafe { run(work) }
    }

    /// Whether a text is like `model`, which is at least as long: the same but for digits where that says
    /// [`DIGIT`].
    #[inline(always)]
    pub(crate) fn is_like(self, text: &[u8], model: &[u8]) -> bool {
        // SAFETY: as above.
        unsafe { is_like(text, model) }
    }

    /// The numbers of the digits of two words.
    #[inline(always)]
    pub(crate) fn numbers(self, words: [&Word; 2], digits: &Digits) -> [u64; 2] {
        // SAFETY: as above.
        unsafe { numbers(words, digits) }
    }
}

#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt")]
fn run<T>(work: impl FnOnce() -> T) -> T {
    work()
}

// What follows is small and called from one place that is compiled for AVX2 each. The compiler does not always put
// functions with a feature of their own inline there, which cost a third of a level's time: these have none, and are
// as if they stood in their caller.

/// Which bytes of thirty-two differ from the model's.
///
/// # Safety
///
/// The processor must have AVX2.
#[inline(always)]
unsafe fn differences(text: &[u8; FAR], model: &[u8; FAR]) -> __m256i {
    // SAFETY: thirty-two bytes are read from each of two arrays of thirty-two, which need not be aligned.
    unsafe {
        let text = _mm256_loadu_si256(text.as_ptr().cast());
        let model = _mm256_loadu_si256(model.as_ptr().cast());
        // Where the model's highest bit is set, a byte may be up to nine above it.
        let is_digit = _mm256_cmpgt_epi8(_mm256_setzero_si256(), model);
        let above = _mm256_sub_epi8(text, _mm256_and_si256(model, _mm256_set1_epi8(0x7F)));
        _mm256_subs_epu8(above, _mm256_and_si256(is_digit, _mm256_set1_epi8(9)))
    }
}

/// # Safety
///
/// The processor must have AVX2.
#[inline(always)]
unsafe fn is_like(text: &[u8], model: &[u8]) -> bool {
    let Some(model) = model.get(..text.len()) else {
        return false;
    };
    let (Some(text_end), Some(model_end)) = (text.last_chunk(), model.last_chunk()) else {
        return false;
    };
    // SAFETY: the caller answers for AVX2.
    unsafe {
        // The last of them overlap with those before.
        let mut differ = differences(text_end, model_end);
        for (text, model) in text.as_chunks().0.iter().zip(model.as_chunks().0) {
            differ = _mm256_or_si256(differ, differences(text, model));
        }
        _mm256_testz_si256(differ, differ) == 1
    }
}

/// # Safety
///
/// The processor must have AVX2.
#[inline(always)]
unsafe fn numbers(words: [&Word; 2], digits: &Digits) -> [u64; 2] {
    // SAFETY: thirty-two bytes are read from an array of thirty-two, which need not be aligned.
    unsafe { sums(words, _mm256_loadu_si256(digits.0.as_ptr().cast())) }
}

/// As [`numbers`], each word with its own places.
///
/// # Safety
///
/// The processor must have AVX2.
#[inline(always)]
unsafe fn placed(words: [&Word; 2], [first, second]: [&Word; 2]) -> [u64; 2] {
    // SAFETY: sixteen bytes are read from each of two arrays of sixteen, which need not be aligned.
    unsafe {
        let places = _mm256_loadu2_m128i(second.as_ptr().cast(), first.as_ptr().cast());
        sums(words, places)
    }
}

/// # Safety
///
/// The processor must have AVX2.
#[inline(always)]
unsafe fn sums([first, second]: [&Word; 2], places: __m256i) -> [u64; 2] {
    // SAFETY: sixteen bytes are read from each of two arrays of sixteen, which need not be aligned.
    unsafe {
        let text = _mm256_loadu2_m128i(second.as_ptr().cast(), first.as_ptr().cast());
        let zeros = _mm256_set1_epi8(b'0' as i8);
        let digits = _mm256_shuffle_epi8(_mm256_sub_epi8(text, zeros), places);
        let twos = _mm256_maddubs_epi16(digits, _mm256_set1_epi16(0x010A));
        let fours = _mm256_madd_epi16(twos, _mm256_set1_epi32(0x0001_0064));
        let fours = _mm256_packus_epi32(fours, fours);
        let eights = _mm256_madd_epi16(fours, _mm256_set1_epi32(0x0001_2710));
        // The higher eight digits are in the lower half of each.
        let high = _mm256_mul_epu32(eights, _mm256_set1_epi64x(100_000_000));
        let sums = _mm256_add_epi64(high, _mm256_srli_epi64::<32>(eights));
        [
            _mm256_extract_epi64::<0>(sums) as u64,
            _mm256_extract_epi64::<2>(sums) as u64,
        ]
    }
}

/// The bytes of two words, each at its place in its half.
///
/// # Safety
///
/// The processor must have AVX2.
#[inline(always)]
unsafe fn shuffled(low: &Word, high: &Word, places: &[u8; FAR]) -> __m256i {
    // SAFETY: sixteen and thirty-two bytes are read from arrays of as many, which need not be aligned.
    unsafe {
        let text = _mm256_loadu2_m128i(high.as_ptr().cast(), low.as_ptr().cast());
        _mm256_shuffle_epi8(text, _mm256_loadu_si256(places.as_ptr().cast()))
    }
}

/// Which bytes are one of so many from `first` on.
///
/// # Safety
///
/// The processor must have AVX2.
#[inline(always)]
unsafe fn are_of(text: __m256i, first: u8, count: i8) -> __m256i {
    // SAFETY: the caller answers for AVX2.
    unsafe {
        let above = _mm256_sub_epi8(text, _mm256_set1_epi8(first as i8));
        _mm256_cmpeq_epi8(above, _mm256_min_epu8(above, _mm256_set1_epi8(count - 1)))
    }
}

/// The bits of a UUID whose hyphens were looked at.
///
/// # Safety
///
/// The processor must have AVX2.
#[inline(always)]
unsafe fn hexadecimal([low, high]: [[&Word; 2]; 2]) -> Option<u128> {
    // Of each half, what its first word has, and what the other has besides.
    const FIRST: [u8; FAR] = [
        0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 14, 15, NONE, NONE, //
        NONE, 0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
    ];
    const OTHERS: [u8; FAR] = {
        let mut places = [NONE; FAR];
        (places[14], places[15], places[16]) = (14, 15, 3);
        places
    };
    // SAFETY: the caller answers for AVX2.
    unsafe {
        let first = shuffled(low[0], high[0], &FIRST);
        let text = _mm256_or_si256(first, shuffled(low[1], high[1], &OTHERS));
        let lower = _mm256_or_si256(text, _mm256_set1_epi8(0x20));
        let (digit, letter) = (are_of(text, b'0', 10), are_of(lower, b'a', 6));
        if _mm256_movemask_epi8(_mm256_or_si256(digit, letter)) != -1 {
            return None;
        }
        let nine = _mm256_and_si256(letter, _mm256_set1_epi8(9));
        let values = _mm256_and_si256(lower, _mm256_set1_epi8(0x0F));
        let values = _mm256_add_epi8(values, nine);
        let bytes = _mm256_maddubs_epi16(values, _mm256_set1_epi16(0x0110));
        let bytes = _mm256_packus_epi16(bytes, bytes);
        let low = (_mm256_extract_epi64::<0>(bytes) as u64).swap_bytes();
        let high = (_mm256_extract_epi64::<2>(bytes) as u64).swap_bytes();
        Some(u128::from(low) << 64 | u128::from(high))
    }
}

/// Which bytes are this one.
///
/// # Safety
///
/// The processor must have AVX2.
#[inline(always)]
unsafe fn are(text: __m256i, byte: u8) -> u32 {
    // SAFETY: the caller answers for AVX2.
    unsafe { _mm256_movemask_epi8(_mm256_cmpeq_epi8(text, _mm256_set1_epi8(byte as i8))) as u32 }
}

/// Which of thirty-two bytes are what.
///
/// # Safety
///
/// The processor must have AVX2.
#[inline(always)]
unsafe fn marks(text: &[u8; FAR]) -> Marks {
    // SAFETY: thirty-two bytes are read from an array of thirty-two, which need not be aligned.
    unsafe {
        let text = _mm256_loadu_si256(text.as_ptr().cast());
        let values = _mm256_sub_epi8(text, _mm256_set1_epi8(b'0' as i8));
        let least = _mm256_min_epu8(values, _mm256_set1_epi8(9));
        Marks {
            quotes: are(text, b'"'),
            points: are(text, b'.'),
            zeros: are(text, b'0'),
            digits: _mm256_movemask_epi8(_mm256_cmpeq_epi8(values, least)) as u32,
        }
    }
}

/// Whether no byte is below the model's, or above that by more than it may be.
///
/// # Safety
///
/// The processor must have AVX2.
#[inline(always)]
unsafe fn is_within(text: &[u8; FAR], model: &[u8; FAR], most: &[u8; FAR]) -> bool {
    // SAFETY: thirty-two bytes are read from each of three arrays of thirty-two, which need not be aligned.
    unsafe {
        let text = _mm256_loadu_si256(text.as_ptr().cast());
        let model = _mm256_loadu_si256(model.as_ptr().cast());
        let most = _mm256_loadu_si256(most.as_ptr().cast());
        let differ = _mm256_subs_epu8(_mm256_sub_epi8(text, model), most);
        _mm256_testz_si256(differ, differ) == 1
    }
}

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
    fn head(text: &[u8], templates: &Templates) -> Option<(Filled, usize)> {
        // This type is used where the processor was found to have AVX2.
        templates.head(Avx2(()), text)
    }

    #[inline(always)]
    fn level_like(text: &[u8; REACH], look: &Look) -> Option<[u64; 2]> {
        let qty = text.get(usize::from(look.qty_at)..)?.first_chunk()?;
        // SAFETY: this type is used where the processor was found to have AVX2.
        unsafe {
            is_within(text.first_chunk()?, &look.text, &look.above)
                .then_some(numbers([text.first_chunk()?, qty], &look.digits))
        }
    }

    #[inline(always)]
    fn level(text: &[u8; REACH], scales: (Scale, Scale)) -> Option<([u64; 2], u32, usize)> {
        // SAFETY: as above.
        let two = unsafe { Two::of(text, br#"",""#)? };
        let price = laid_at(scales.0, two.first.whole, two.first.tail())?;
        let qty = laid_at(scales.1, two.second.whole, two.second.tail())?;
        // No digits lost.
        let dropped = u64::from(price.dropped) | u64::from(qty.dropped) << two.at;
        if dropped & !two.zeros != 0 {
            return None;
        }
        // SAFETY: as above.
        let both = unsafe { two.numbers(text, [price, qty])? };
        let shape = two.others & ((1 << two.end) - 1);
        Some((both, shape as u32, two.end + 1))
    }

    #[inline(always)]
    fn exact_pair<const N: usize>(
        text: &[u8; REACH],
        between: &[u8; N],
    ) -> Option<([(u64, u8); 2], usize)> {
        // SAFETY: as above.
        let two = unsafe { Two::of(text, between)? };
        let (first, second) = (two.first, two.second);
        let kept = [first.kept(two.zeros), second.kept(two.zeros >> two.at)];
        let [left, right] = [exactly_at(first, kept[0])?, exactly_at(second, kept[1])?];
        // "5." is none.
        let is_cut = (first.tail() == 1) | (second.tail() == 1);
        if is_cut | ((left.dropped | right.dropped) != 0) {
            return None;
        }
        // SAFETY: as above.
        let [left, right] = unsafe { two.numbers(text, [left, right])? };
        let both = [(left, kept[0] as u8), (right, kept[1] as u8)];
        Some((both, two.end + 1))
    }

    #[inline(always)]
    fn uuid(text: &Uuid) -> Option<u128> {
        if HYPHENS.iter().any(|at| text[*at] != b'-') {
            return None;
        }
        let word = |at: usize| text.get(at..)?.first_chunk();
        // SAFETY: as above.
        unsafe { hexadecimal([[word(0)?, word(2)?], [word(20)?, word(16)?]]) }
    }

    #[inline(always)]
    fn bare_pair(
        window: &[u8; FAR],
        skip: usize,
        scales: (Scale, Scale),
    ) -> Option<([u64; 2], usize)> {
        // SAFETY: as above.
        let (marks, commas, brackets) = unsafe {
            let text = _mm256_loadu_si256(window.as_ptr().cast());
            (marks(window), are(text, b','), are(text, b']'))
        };
        // Behind the bytes that were looked at nothing is a digit, so that every search ends.
        let others = !(u64::from(marks.digits) >> skip);
        let points = u64::from(marks.points) >> skip;
        let zeros = u64::from(marks.zeros) >> skip;
        let (commas, brackets) = (u64::from(commas) >> skip, u64::from(brackets) >> skip);
        // Where the second ends is known without the first: what follows does not wait for both.
        let end = brackets.trailing_zeros();
        let at = commas.trailing_zeros() + 1;
        if brackets == 0 || at > end {
            return None;
        }
        let first = Decimal::of(commas, points, others)?;
        let second = Decimal::of(brackets >> at, points >> at, others >> at)?;
        let left = laid_at(scales.0, first.whole, first.tail())?;
        let right = laid_at(scales.1, second.whole, second.tail())?;
        // A zero that a digit follows is none to begin with.
        let leading = zeros & !(others >> 1) & (1 | 1 << at);
        let dropped = u64::from(left.dropped) | u64::from(right.dropped) << at;
        if leading | (dropped & !zeros) != 0 {
            return None;
        }
        // A word that begins early enough to end with the window, and how much too early that is.
        let from = [skip, skip + at as usize];
        let words = [
            window.get(from[0].min(WIDTH)..)?.first_chunk()?,
            window.get(from[1].min(WIDTH)..)?.first_chunk()?,
        ];
        let early = from.map(|from| from.saturating_sub(WIDTH) as i8);
        // SAFETY: as above.
        let both = unsafe {
            let places =
                _mm256_loadu2_m128i(right.places.as_ptr().cast(), left.places.as_ptr().cast());
            // What is no place stays none: it has the highest bit, and this is less than a word.
            let early = _mm256_set_m128i(_mm_set1_epi8(early[1]), _mm_set1_epi8(early[0]));
            sums(words, _mm256_add_epi8(places, early))
        };
        Some((both, end as usize))
    }

    #[inline(always)]
    fn mantissa(word: &Word, marks: Marks, point: u32, length: u32, scale: u8) -> Option<i64> {
        let Some(rows) = LAID.get(usize::from(scale)) else {
            return super::mantissa::<Avx2>(word, marks, point, length, scale);
        };
        let tail = length.wrapping_sub(point);
        let laid = rows.get(point as usize)?.get(tail as usize)?;
        let text = ((1 << length) - 1) & !(1 << point);
        let wrong = text & !marks.digits | laid.dropped & !marks.zeros;
        if wrong | length & WIDTH as u32 != 0 {
            return None;
        }
        // SAFETY: as above.
        let (high, low) = unsafe { sum(word, &laid.places) };
        // Sixteen digits.
        Some((high * 100_000_000 + low) as i64)
    }

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

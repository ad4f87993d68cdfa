//! What processors since 2013 can besides: digits are moved to their places by one shuffle, and summed by
//! three multiplications for both halves of a decimal at once.
//!
//! This file needs `unsafe` for instructions that not every processor has. [`Avx2`] is used by
//! [`scan::read`](crate::scan::read) alone, and there only behind a check of the processor that runs.
#![allow(unsafe_code)]

use core::arch::x86_64::{
    __m256i, _mm_cvtsi128_si64, _mm_loadu_si128, _mm_madd_epi16, _mm_maddubs_epi16,
    _mm_packus_epi32, _mm_set1_epi8, _mm_set1_epi16, _mm_set1_epi32, _mm_shuffle_epi8,
    _mm_sub_epi8, _mm256_add_epi64, _mm256_and_si256, _mm256_cmpeq_epi8, _mm256_cmpgt_epi8,
    _mm256_extract_epi64, _mm256_loadu_si256, _mm256_loadu2_m128i, _mm256_madd_epi16,
    _mm256_maddubs_epi16, _mm256_min_epu8, _mm256_movemask_epi8, _mm256_mul_epu32, _mm256_or_si256,
    _mm256_packus_epi32, _mm256_set1_epi8, _mm256_set1_epi16, _mm256_set1_epi32,
    _mm256_set1_epi64x, _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_srli_epi64,
    _mm256_sub_epi8, _mm256_subs_epu8, _mm256_testz_si256,
};
use core::sync::atomic::{AtomicU8, Ordering};

use tickwire_orderbook::Scale;

use crate::scan::{Filled, Look, REACH, Templates};

use super::{Common, Digits, FAR, Lanes, Marks, NONE, WIDTH, Word};

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
        let is = |byte: u8| {
            let same = _mm256_cmpeq_epi8(text, _mm256_set1_epi8(byte as i8));
            _mm256_movemask_epi8(same) as u32
        };
        Marks {
            quotes: is(b'"'),
            points: is(b'.'),
            zeros: is(b'0'),
            digits: _mm256_movemask_epi8(_mm256_cmpeq_epi8(values, least)) as u32,
        }
    }
}

/// A decimal's digits: those before its point, those behind it that its scale has, and all behind it.
#[derive(Clone, Copy, Debug)]
struct Part {
    whole: u32,
    kept: u32,
    behind: u32,
}

impl Part {
    /// Of one that ends at `end`, with a point where the bit is set.
    #[inline(always)]
    fn of(point: u32, end: u32, scale: Scale) -> Part {
        let whole = (point | 1 << end).trailing_zeros();
        let has_point = u32::from(point != 0);
        // Without a point `whole` is the end, and nothing is behind it. "5." has as many behind as none can have.
        let behind = (end - whole).wrapping_sub(has_point);
        let behind = if has_point > behind {
            FAR as u32
        } else {
            behind
        };
        let kept = behind.min(u32::from(scale.get()));
        Part {
            whole,
            kept,
            behind,
        }
    }

    /// The bits of the digits that its scale does not have.
    #[inline(always)]
    fn dropped(self, end: u32) -> u32 {
        let kept = self.whole + self.kept + u32::from(self.behind > 0);
        let below = |bit: u32| (1u32 << bit.min(FAR as u32 - 1)) - 1;
        below(end) & !below(kept)
    }

    /// Where its digits belong at a scale; `None` where it is no plain decimal or has too many.
    #[inline(always)]
    fn places(self, scale: Scale) -> Option<&'static Word> {
        let row = SCALED.get(usize::from(scale.get()))?;
        let places = row.get(self.whole as usize)?.get(self.kept as usize)?;
        let plain = self.whole > 0 && self.behind < FAR as u32;
        // With its point it must be within a word.
        let fits = self.whole + self.kept < WIDTH as u32;
        (plain && fits).then_some(places)
    }
}

/// By the scale, the digits before the point, and those behind it that the scale has: where the digits of a decimal
/// belong in a number of sixteen at the scale.
static SCALED: [[[Word; 9]; 9]; 9] = {
    let mut table = [[[[NONE; WIDTH]; 9]; 9]; 9];
    let mut scale = 0;
    while scale <= 8 {
        let mut whole = 1;
        while whole <= 8 {
            let mut behind = 0;
            while behind <= scale {
                let word = &mut table[scale][whole][behind];
                let point = WIDTH - scale;
                let mut digit = 0;
                while digit < whole {
                    word[point - whole + digit] = digit as u8;
                    digit += 1;
                }
                digit = 0;
                while digit < behind {
                    // What would stand behind the word is none of the number.
                    if whole + 1 + digit < WIDTH {
                        word[point + digit] = (whole + 1 + digit) as u8;
                    }
                    digit += 1;
                }
                behind += 1;
            }
            whole += 1;
        }
        scale += 1;
    }
    table
};

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
        let Marks {
            digits,
            quotes,
            points,
            zeros,
        } = unsafe { marks(text.first_chunk()?) };
        let behind = quotes & quotes.wrapping_sub(1);
        let last = behind & behind.wrapping_sub(1);
        // Ends of the price and of the quantity; 32 where there is none.
        let (price_end, qty_end) = (quotes.trailing_zeros(), last.trailing_zeros());
        let qty_at = price_end + 3;
        if qty_end >= FAR as u32 || qty_at > qty_end {
            return None;
        }
        let below = |bit: u32| (1u32 << bit) - 1;
        let between = 0b111 << price_end;
        let price_point = points & below(price_end);
        let qty_point = points & below(qty_end) & !below(qty_at);
        // One point each at most, the quotes and the comma where they belong, and digits.
        let others = !digits & below(qty_end);
        let one_point = |point: u32| point & point.wrapping_sub(1);
        let wrong = (others ^ (between | price_point | qty_point))
            | one_point(price_point)
            | one_point(qty_point)
            | (behind ^ (last | 0b100 << price_end))
            | u32::from(text.get(price_end as usize + 1)? ^ b',');
        let price = Part::of(price_point, price_end, scales.0);
        let qty = Part::of(qty_point >> qty_at, qty_end - qty_at, scales.1);
        let dropped = price.dropped(price_end) | qty.dropped(qty_end - qty_at) << qty_at;
        if (wrong | (dropped & !zeros)) != 0 {
            return None;
        }
        let places = [price.places(scales.0)?, qty.places(scales.1)?];
        let words = [
            text.first_chunk()?,
            text.get(qty_at as usize..)?.first_chunk()?,
        ];
        // SAFETY: as above.
        let both = unsafe { placed(words, places) };
        Some((both, others, qty_end as usize + 1))
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

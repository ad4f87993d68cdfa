//! Bytes of text taken sixteen at a time in a 128-bit word, the first in its lowest byte: how long a
//! number is and what it is worth, without a step for each digit.
//!
//! The gain is in the branches: a loop that ends where a number ends is mispredicted once a number.

/// How many bytes a word holds.
pub(crate) const WIDTH: usize = 16;

const ONES: u128 = u128::MAX / 0xFF;
const HIGHS: u128 = ONES << 7;
const ZEROS: u128 = ONES * b'0' as u128;

/// Each byte the same.
const fn splat(byte: u8) -> u128 {
    ONES * byte as u128
}

/// The first bytes of `text` from `at`; behind its end stand zero bytes. `None` where nothing is
/// left, and in texts that are shorter than a word.
#[inline]
pub(crate) fn load(text: &[u8], at: usize) -> Option<u128> {
    let rest = text.get(at..)?;
    if let Some(word) = rest.first_chunk() {
        return Some(u128::from_le_bytes(*word));
    }
    // The last word of the text, without what stands before `at`.
    let word = u128::from_le_bytes(*text.last_chunk()?);
    (!rest.is_empty()).then(|| word >> (8 * (WIDTH - rest.len())))
}

/// Marks zero bytes by their highest bit. The lowest mark is exact, those above it need not be.
#[inline]
const fn zero_bytes(word: u128) -> u128 {
    word.wrapping_sub(ONES) & !word & HIGHS
}

/// Where `byte` is first; 16 where it is not.
#[inline]
pub(crate) const fn find(word: u128, byte: u8) -> u32 {
    zero_bytes(word ^ splat(byte)).trailing_zeros() / 8
}

/// The lowest `count` bytes as ones, at most 15.
#[inline]
const fn low(count: u32) -> u128 {
    (1 << (8 * count)) - 1
}

/// Marks bytes that are no digit values by their highest bit; the lowest mark is exact.
#[inline]
const fn no_digits(values: u128) -> u128 {
    (values.wrapping_add(splat(0x80 - 10)) | values) & HIGHS
}

/// The number of sixteen digit values, the first in the lowest byte.
#[inline]
const fn number(values: u128) -> u64 {
    eight(values as u64) * 100_000_000 + eight((values >> 64) as u64)
}

/// The number of eight digit values: pairs, then fours, then all.
#[inline]
const fn eight(values: u64) -> u64 {
    const FOURS: u64 = 0x0000_00FF_0000_00FF;
    let pairs = values.wrapping_mul(10).wrapping_add(values >> 8);
    let high = (pairs & FOURS).wrapping_mul(100 + (1_000_000 << 32));
    let low = ((pairs >> 16) & FOURS).wrapping_mul(1 + (10_000 << 32));
    high.wrapping_add(low) >> 32
}

/// The unsigned integer that a word begins with, and its length: 1 to 15 digits, without a leading
/// zero, and something else behind them.
#[inline]
pub(crate) fn integer(word: u128) -> Option<(u64, usize)> {
    let values = word ^ ZEROS;
    let length = no_digits(values).trailing_zeros() / 8;
    if !(1..=15).contains(&length) || (values as u8 == 0 && length > 1) {
        return None;
    }
    Some((number(values << (128 - 8 * length)), length as usize))
}

/// A decimal up to the quote behind it, as its digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Digits {
    /// The number without its point, cut behind the digits that were kept.
    pub(crate) number: u64,
    /// Digits that the scale has and the text has not.
    pub(crate) missing: usize,
    /// Bytes before the quote.
    pub(crate) length: usize,
}

/// The plain decimal that a word begins with, with at most `scale` digits behind its point; `None`
/// where it is not one of at most 15 bytes and a quote, or has other digits than zeros beyond the
/// scale. Signs are for those who read byte by byte.
#[inline]
pub(crate) fn decimal(word: u128, scale: u8) -> Option<Digits> {
    let length = find(word, b'"');
    if length > 15 {
        return None;
    }
    // Behind the quote may stand another number's point.
    let point = find(word, b'.').min(length);
    let values = (word ^ ZEROS) & low(length);
    let whole = low(point);
    // The point is taken out: what is behind it moves down by a byte.
    let digits = (values & whole) | ((values >> 8) & !whole);
    let fraction = length - point;
    // With a point there must be something behind it: "5." has a fraction of one byte.
    if point == 0 || fraction == 1 || no_digits(digits) != 0 {
        return None;
    }
    let fraction = fraction.saturating_sub(1);
    let kept = fraction.min(u32::from(scale));
    let count = 8 * (point + kept);
    if digits >> count != 0 {
        return None;
    }
    Some(Digits {
        number: number(digits << (128 - count)),
        missing: usize::from(scale) - kept as usize,
        length: length as usize,
    })
}

/// Where a string of eight bytes ends or has what its reader must look at: a quote, a backslash, a
/// control character; 8 where it has none of these.
#[inline]
pub(crate) const fn string_end(bytes: [u8; 8]) -> usize {
    const ONES: u64 = u64::MAX / 0xFF;
    const HIGHS: u64 = ONES << 7;
    const fn is(word: u64, byte: u8) -> u64 {
        let word = word ^ (ONES * byte as u64);
        word.wrapping_sub(ONES) & !word
    }
    let word = u64::from_le_bytes(bytes);
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    let marks = (is(word, b'"') | is(word, b'\\') | control) & HIGHS;
    (marks.trailing_zeros() / 8) as usize
}

/// The value of eight hexadecimal digits, the first the highest; `None` where one is none.
#[inline]
pub(crate) fn hex(bytes: [u8; 8]) -> Option<u32> {
    const ONES: u64 = u64::MAX / 0xFF;
    const HIGHS: u64 = ONES << 7;
    let word = u64::from_be_bytes(bytes);
    // Letters in lower case; digits have that bit already.
    let lower = word | (ONES * 0x20);
    // Above '9', and below 'a': the two gaps, by sums that can't carry while bytes are ASCII.
    let is_letter = lower.wrapping_add(ONES * (0x80 - b'a' as u64)) & HIGHS;
    let above_f = lower.wrapping_add(ONES * (0x7F - b'f' as u64)) & HIGHS;
    let above_9 = lower.wrapping_add(ONES * (0x7F - b'9' as u64)) & HIGHS;
    let below_0 = !lower.wrapping_add(ONES * (0x80 - b'0' as u64)) & HIGHS;
    // A digit's own bit 5 tells it from the control character that the lower case would make of it;
    // a letter has bit 6.
    let neither = !((word << 1) | (word << 2)) & HIGHS;
    if ((word & HIGHS) | below_0 | above_f | (above_9 & !is_letter) | neither) != 0 {
        return None;
    }
    let letters = is_letter >> 7;
    let values = (lower & (ONES * 0x0F)) + letters * 9;
    // Nibbles to bytes, bytes to pairs, pairs to fours.
    let bytes = (values | (values >> 4)) & 0x00FF_00FF_00FF_00FF;
    let pairs = (bytes | (bytes >> 8)) & 0x0000_FFFF_0000_FFFF;
    Some((pairs | (pairs >> 16)) as u32)
}

#[cfg(test)]
mod tests;

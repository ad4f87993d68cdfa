//! Bytes of text taken sixteen at a time in a 128-bit word, the first in its lowest byte: how long a
//! number is and what it is worth, without a step for each digit.
//!
//! The gain is in the branches: a loop that ends where a number ends is mispredicted once a number.

mod marks;

use marks::Marks;

/// How many bytes a word holds.
pub(crate) const WIDTH: usize = 16;

/// Sixteen zeros as text.
const ZEROS: u128 = u128::MAX / 0xFF * b'0' as u128;

const POW10: [u64; 9] = {
    let mut table = [1; 9];
    let mut index = 1;
    while index < 9 {
        table[index] = table[index - 1] * 10;
        index += 1;
    }
    table
};

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
    let length = (!Marks::of(word).digits).trailing_zeros();
    let values = word ^ ZEROS;
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
/// where it is not one of at most 15 bytes and a quote, with at most eight digits before its point and
/// eight to keep behind it, or has other digits than zeros beyond the scale. Signs are for those who
/// read byte by byte.
#[inline]
pub(crate) fn decimal(word: u128, scale: u8) -> Option<Digits> {
    let marks = Marks::of(word);
    let length = marks.quotes.trailing_zeros();
    // Behind the quote may stand another number's point.
    let point = marks.points.trailing_zeros().min(length);
    let fraction = (length - point).saturating_sub(1);
    let kept = fraction.min(u32::from(scale));
    // "5." is not a decimal.
    if length > 15 || !(1..=8).contains(&point) || kept > 8 || length - point == 1 {
        return None;
    }
    let below = |bit: u32| (1u32 << bit) - 1;
    let text = below(length) & !(1 << point);
    let dropped = below(length) & !below(point + 1 + kept);
    if (text & !marks.digits) | (dropped & !marks.zeros) != 0 {
        return None;
    }
    let values = word ^ ZEROS;
    let mut number = eight((values as u64) << (64 - 8 * point));
    if kept > 0 {
        let behind = (values >> (8 * (point + 1))) as u64;
        number = number * POW10[kept as usize] + eight(behind << (64 - 8 * kept));
    }
    Some(Digits {
        number,
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

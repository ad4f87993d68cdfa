//! Bytes of text taken sixteen at a time, the first in the lowest place: where a number or a string ends
//! and what a number is worth, without a step for each byte.
//!
//! The gain is in the branches: a loop that ends where a number ends is mispredicted once a number.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod common;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::Avx2;
pub(crate) use common::Common;

use tickwire_orderbook::Scale;

use crate::scan::{Filled, Look, REACH, Templates};

/// A UUID as text.
pub(crate) type Uuid = [u8; 36];

/// Where it has hyphens.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];

/// How many bytes a word holds.
pub(crate) const WIDTH: usize = 16;

/// Sixteen bytes of a text.
pub(crate) type Word = [u8; WIDTH];

/// How many bytes are looked at in one step through a long string.
pub(crate) const FAR: usize = 2 * WIDTH;

/// In a table of places: a zero comes here.
const NONE: u8 = 0x80;

/// Of two words, which of their bytes are digits of a number of sixteen, and which digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Digits([u8; FAR]);

impl Default for Digits {
    /// None are: zeros.
    fn default() -> Digits {
        Digits([NONE; FAR])
    }
}

impl Digits {
    /// The `count` bytes of a word from `from` on are the digits of its number from `to` on. `None` where there are
    /// no such bytes or digits.
    pub(crate) fn run(&mut self, word: usize, to: usize, from: usize, count: usize) -> Option<()> {
        let fits = from + count <= WIDTH && to + count <= WIDTH;
        let start = fits.then_some(word * WIDTH + to)?;
        for (place, byte) in self.0.get_mut(start..start + count)?.iter_mut().zip(from..) {
            *place = byte as u8;
        }
        Some(())
    }
}

/// Which of the sixteen bytes are what, a bit each, the lowest for the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Marks {
    /// `"`
    pub(crate) quotes: u32,
    /// `.`
    pub(crate) points: u32,
    /// `0`
    pub(crate) zeros: u32,
    /// `0` to `9`
    pub(crate) digits: u32,
}

/// What a processor makes of sixteen bytes at once. All give the same; they differ in time.
pub(crate) trait Lanes: Copy {
    /// Which bytes are what.
    fn marks(word: &Word) -> Marks;

    /// Which are digits.
    fn digits(word: &Word) -> u32;

    /// Which end a string or must be looked at in one: quotes, backslashes, control characters.
    fn ends(word: &Word) -> u32;

    /// As [`ends`](Lanes::ends), of two words.
    fn far_ends(words: &[u8; FAR]) -> u32;

    /// The number of the first `length` bytes, digits all, 1 to 15.
    fn number(word: &Word, length: u32) -> u64;

    /// The number of the first `point` bytes (1 to 8), and that of the `kept` (0 to 8) behind the byte
    /// that follows them: digits all.
    fn halves(word: &Word, point: u32, kept: u32) -> (u64, u64);

    /// Two quoted decimals, from behind the first quote on, with exactly this between them: for each what [`exact`]
    /// gives, and the length up to the last quote, that included. What has no quick way to tell, says none.
    #[inline(always)]
    fn exact_pair<const N: usize>(
        _text: &[u8; REACH],
        _between: &[u8; N],
    ) -> Option<([(u64, u8); 2], usize)> {
        None
    }

    /// See [`mantissa`]; `scale` is at most 18.
    #[inline(always)]
    fn mantissa(word: &Word, marks: Marks, point: u32, length: u32, scale: u8) -> Option<i64> {
        mantissa::<Self>(word, marks, point, length, scale)
    }

    /// See [`uuid`].
    #[inline(always)]
    fn uuid(text: &Uuid) -> Option<u128> {
        uuid(text)
    }

    /// Two bare numbers at these scales with a comma between them and a bracket behind: from the byte `skip` of the window
    /// on, up to the bracket. Gives their length too. What has no quick way to tell, says none.
    #[inline(always)]
    fn bare_pair(
        _window: &[u8; FAR],
        _skip: usize,
        _scales: (Scale, Scale),
    ) -> Option<([u64; 2], usize)> {
        None
    }

    /// What a text says that begins as was learnt, and how long that beginning is.
    #[inline(always)]
    fn head(_text: &[u8], _templates: &Templates) -> Option<(Filled, usize)> {
        None
    }

    /// The price and the quantity of a level that looks like this. What has no quick way to tell, says none.
    #[inline(always)]
    fn level_like(_text: &[u8; REACH], _look: &Look) -> Option<[u64; 2]> {
        None
    }

    /// The price and the quantity of a level in the usual writing at these scales, which bytes of it are no digits (a
    /// bit each), and its length up to its last quote, that included. What has no quick way to tell, says none.
    #[inline(always)]
    fn level(_text: &[u8; REACH], _scales: (Scale, Scale)) -> Option<([u64; 2], u32, usize)> {
        None
    }
}

const POW10: [i64; 19] = {
    let mut table = [1i64; 19];
    let mut index = 1;
    while index < 19 {
        table[index] = table[index - 1] * 10;
        index += 1;
    }
    table
};

/// The first bytes of `text` from `at`; behind its end stand zero bytes. `None` where nothing is
/// left, and in texts that are shorter than a word.
#[inline(always)]
pub(crate) fn load(text: &[u8], at: usize) -> Option<Word> {
    let rest = text.get(at..)?;
    match rest.first_chunk() {
        Some(word) => Some(*word),
        None => last(text, rest.len()),
    }
}

/// The last `left` bytes of `text`, less than a word, as [`load`] gives them.
#[inline(always)]
pub(crate) fn last(text: &[u8], left: usize) -> Option<Word> {
    let word = u128::from_le_bytes(*text.last_chunk()?);
    (1..WIDTH)
        .contains(&left)
        .then(|| (word >> (8 * (WIDTH - left))).to_le_bytes())
}

/// How many bytes a string goes on for; [`WIDTH`] where it does not end here.
#[inline(always)]
pub(crate) fn string_end<L: Lanes>(word: &Word) -> usize {
    first(L::ends(word)) as usize
}

/// The lowest bit that is set; [`WIDTH`] where none is.
#[inline(always)]
const fn first(bits: u32) -> u32 {
    (bits | 1 << WIDTH).trailing_zeros()
}

/// The unsigned integer that a word begins with, and its length: 1 to 15 digits, without a leading
/// zero, and something else behind them.
#[inline(always)]
pub(crate) fn integer<L: Lanes>(word: &Word) -> Option<(u64, usize)> {
    let length = first(!L::digits(word));
    if !(1..=15).contains(&length) || (word[0] == b'0' && length > 1) {
        return None;
    }
    Some((L::number(word, length), length as usize))
}

/// The plain decimal that a word begins with, up to the quote behind it: its mantissa at `scale` (at most
/// 18), and its length without the quote. `None` where it is not one of at most 15 bytes and a quote, with
/// at most eight digits before its point and eight to keep behind it, where it has other digits than zeros
/// beyond the scale, and where the mantissa does not fit. Signs are for those who read byte by byte.
#[inline(always)]
pub(crate) fn decimal<L: Lanes>(word: &Word, scale: u8) -> Option<(i64, usize)> {
    let marks = L::marks(word);
    let length = first(marks.quotes);
    // Behind the quote may stand another number's point.
    let point = first(marks.points | marks.quotes);
    let mantissa = L::mantissa(word, marks, point, length, scale)?;
    Some((mantissa, length as usize))
}

/// As [`decimal`], of a bare number that ends where its digits do, without a leading zero: what follows is
/// for the caller to look at, it may be an exponent.
#[inline(always)]
pub(crate) fn number<L: Lanes>(word: &Word, scale: u8) -> Option<(i64, usize)> {
    let marks = L::marks(word);
    let (point, length) = extent(marks);
    if word[0] == b'0' && point > 1 {
        return None;
    }
    let mantissa = L::mantissa(word, marks, point, length, scale)?;
    Some((mantissa, length as usize))
}

/// As [`decimal`], at the least scale that holds it: zeros at the end of its fraction are left out. Gives
/// the mantissa, how many of its digits stand behind the point, and the length without the quote.
#[inline(always)]
pub(crate) fn exact<L: Lanes>(word: &Word) -> Option<(i64, u8, usize)> {
    let marks = L::marks(word);
    let length = first(marks.quotes);
    let point = first(marks.points | marks.quotes);
    let below = |bit: u32| (1u32 << bit) - 1;
    let fraction = below(length) & !below(point + 1);
    let last = u32::BITS - (fraction & !marks.zeros).leading_zeros();
    let kept = last.saturating_sub(point + 1);
    let text = below(length) & !(1 << point);
    // "5." is not a decimal.
    if length > 15 || !(1..=8).contains(&point) || kept > 8 || length - point == 1 {
        return None;
    }
    if text & !marks.digits != 0 {
        return None;
    }
    let (whole, behind) = L::halves(word, point, kept);
    // At most 8 digits each.
    let mantissa = whole as i64 * POW10.get(kept as usize)? + behind as i64;
    Some((mantissa, kept as u8, length as usize))
}

/// The length of a bare number, as [`number`] would read it at a scale of its own.
#[inline(always)]
pub(crate) fn number_length<L: Lanes>(word: &Word) -> Option<usize> {
    let (point, length) = extent(L::marks(word));
    let is_plain = length < WIDTH as u32 && point > 0 && length - point != 1;
    (is_plain && !(word[0] == b'0' && point > 1)).then_some(length as usize)
}

/// Where the digits before the point end, and where those behind it do.
#[inline(always)]
const fn extent(marks: Marks) -> (u32, u32) {
    let point = first(!marks.digits);
    let has_point = marks.points >> point & 1;
    // Without a point the same bit ends both.
    let length = first(!(marks.digits | has_point << point));
    (point, length)
}

/// The mantissa of `length` bytes with a point at `point`, or none where that is the length.
#[inline(always)]
fn mantissa<L: Lanes>(
    word: &Word,
    marks: Marks,
    point: u32,
    length: u32,
    scale: u8,
) -> Option<i64> {
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
    let (whole, behind) = L::halves(word, point, kept);
    // At most 8 digits each: neither is negative, and what is behind the point is less than 10^scale.
    let missing = usize::from(scale).checked_sub(kept as usize)?;
    let whole = (whole as i64).checked_mul(*POW10.get(usize::from(scale))?)?;
    whole.checked_add(behind as i64 * POW10.get(missing)?)
}

/// The bits of a UUID: 8-4-4-4-12 hexadecimal digits.
#[inline]
pub(crate) fn uuid(text: &Uuid) -> Option<u128> {
    if HYPHENS.iter().any(|at| text.get(*at) != Some(&b'-')) {
        return None;
    }
    // Eight digits each, the groups of four joined.
    let joined = |left: usize, right: usize| {
        let mut eight = [0; 8];
        eight[..4].copy_from_slice(&text[left..left + 4]);
        eight[4..].copy_from_slice(&text[right..right + 4]);
        hex(eight).map(u128::from)
    };
    let parts = [
        joined(0, 4)?,
        joined(9, 14)?,
        joined(19, 24)?,
        joined(28, 32)?,
    ];
    Some(parts.into_iter().fold(0, |value, part| value << 32 | part))
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

//! What the last levels looked like, their digits left out: most have as many as one of the last few. Of recorded
//! levels 99 in 100 at Binance spot look like the one before, 97 in 100 at Bybit like one of the last four. As one that
//! does is no longer than it was, the next is read before this one is through.

use tickwire_orderbook::{Level, Scale};

use super::template::{Credit, DIGIT, Plain, Templates};
use crate::swar::{Digits, FAR, Lanes, WIDTH};

/// Looks that are kept.
const LOOKS: usize = 4;

/// So many bytes from a level's first digit on must be there.
pub(crate) const REACH: usize = FAR + WIDTH;

/// The look of `1.50","20.0"`, what stands behind a level's first quote.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    /// The text, digits as [`DIGIT`].
    pub(crate) text: [u8; FAR],
    /// How far above that a byte may be.
    pub(crate) above: [u8; FAR],
    /// Of the price, and of the quantity in the word that begins at `qty_at`.
    pub(crate) digits: Digits,
    pub(crate) qty_at: u8,
    len: u8,
}

/// What the messages of a book looked like.
#[derive(Clone, Debug, Default)]
pub(crate) struct Looks {
    /// Up to the first levels.
    pub(crate) head: Templates,
    pub(crate) levels: LevelLooks,
}

/// The last looks of levels, for one pair of scales at a time.
#[derive(Clone, Debug, Default)]
pub(crate) struct LevelLooks {
    scales: Option<(Scale, Scale)>,
    credit: Credit,
    /// The one that is tried first.
    last: usize,
    /// The one to be forgotten next.
    oldest: usize,
    looks: arrayvec::ArrayVec<Look, LOOKS>,
}

impl Look {
    /// `None` where it is longer than a look may be, or its numbers are not in the usual writing.
    #[cold]
    fn of(text: &[u8], (price_scale, qty_scale): (Scale, Scale)) -> Option<Look> {
        let mut look = Look {
            text: [0; FAR],
            above: [u8::MAX; FAR],
            digits: Digits::default(),
            qty_at: 0,
            len: u8::try_from(text.len()).ok()?,
        };
        look.text.get_mut(..text.len())?.copy_from_slice(text);
        let price_end = text.iter().position(|byte| *byte == b'"')?;
        let (price, rest) = text.split_at_checked(price_end)?;
        let qty = rest.strip_prefix(b"\",\"")?.strip_suffix(b"\"")?;
        let qty_at = price_end + 3;
        let (price, qty) = (Plain::of(price, price_scale)?, Plain::of(qty, qty_scale)?);
        price.free(look.text.get_mut(..price_end)?);
        qty.free(look.text.get_mut(qty_at..text.len() - 1)?);
        price.put(&mut look.digits, 0, 0)?;
        qty.put(&mut look.digits, 1, 0)?;
        look.qty_at = u8::try_from(qty_at).ok()?;
        for (byte, above) in look.text.iter_mut().zip(&mut look.above).take(text.len()) {
            *above = if *byte == DIGIT { 9 } else { 0 };
            *byte &= 0x7F;
        }
        text.is_ascii().then_some(look)
    }
}

impl LevelLooks {
    /// From now on levels have these scales.
    #[inline(always)]
    pub(super) fn begin(&mut self, scales: (Scale, Scale)) {
        if self.scales != Some(scales) {
            self.looks.clear();
            (self.last, self.oldest) = (0, 0);
            self.credit = Credit::default();
            self.scales = Some(scales);
        }
    }

    /// Reads the level that `text` begins with behind its first quote; gives what stands behind its last. `None` where
    /// it looks new.
    #[inline(always)]
    pub(super) fn read<'a, L: Lanes>(&mut self, text: &'a [u8]) -> Option<(Level, &'a [u8])> {
        let reach = text.first_chunk()?;
        let mut look = self.looks.get(self.last)?;
        let mut level = L::level(reach, look);
        if level.is_none() {
            // No closure: that could be left out of line, where it is compiled for no processor.
            for (index, other) in self.looks.iter().enumerate() {
                level = L::level(reach, other);
                if level.is_some() {
                    (self.last, look) = (index, other);
                    break;
                }
            }
        }
        let [price, qty] = level?;
        self.credit.earn();
        let level = Level {
            price: price as i64,
            qty: qty as i64,
        };
        Some((level, text.get(usize::from(look.len)..)?))
    }

    /// Learns the look of a level that was read by other means: the first `len` bytes of `text`.
    #[inline(always)]
    pub(super) fn learn<L: Lanes>(&mut self, text: &[u8], len: usize) {
        // One at the end of a message was not tried.
        if L::READS_LEVELS && text.len() >= REACH && self.credit.pay() {
            self.add(text.get(..len).unwrap_or_default());
        }
    }

    #[cold]
    fn add(&mut self, text: &[u8]) {
        let Some(look) = self.scales.and_then(|scales| Look::of(text, scales)) else {
            return;
        };
        if self.looks.try_push(look).is_ok() {
            self.last = self.looks.len() - 1;
        } else if let Some(old) = self.looks.get_mut(self.oldest) {
            *old = look;
            self.last = self.oldest;
            self.oldest = (self.oldest + 1) % LOOKS;
        }
    }
}

#[cfg(test)]
mod tests;

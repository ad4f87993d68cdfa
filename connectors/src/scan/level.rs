//! What levels look like, their digits left out. Of recorded levels 99 in 100 at Binance spot look like the one before
//! (93 on USD-M, 60 at Bybit): where that is so, the look is expected, and the next level is read before it is known
//! where this one ends. Where it is not, the ends are found without a branch: which look comes nobody can foresee.
#![cfg_attr(
    not(target_arch = "x86_64"),
    allow(dead_code, reason = "what is learnt is read with AVX2 alone")
)]

use tickwire_orderbook::{Level, Scale, prefetch};

use super::template::{DIGIT, Plain, Templates};
use crate::channel::Channel;
use crate::swar::{Digits, FAR, Lanes, WIDTH};

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

/// What the messages of a stream looked like.
#[derive(Clone, Debug, Default)]
pub(crate) struct Looks {
    /// Up to the first levels, or trades.
    pub(crate) head: Templates,
    /// The beginning of each trade.
    pub(crate) part: Templates,
    pub(crate) levels: LevelLook,
}

/// The look of levels that is expected, for one pair of scales at a time.
#[derive(Clone, Debug, Default)]
pub(crate) struct LevelLook {
    scales: Option<(Scale, Scale)>,
    look: Option<Look>,
    /// The bytes of the look that are no digits, a bit each.
    known: u32,
    /// Levels that did not look so since it was last found to come again and again; at [`MISSES_MAX`] it is expected no
    /// more: a guess that fails costs more than several that are right gain.
    misses: u32,
    /// Levels in a row that looked like each other, and how.
    run: u32,
    shape: u32,
}

/// See [`LevelLook::misses`].
const MISSES_MAX: u32 = 4;

/// So many in a row come again and again.
const RUN: u32 = 8;

impl Looks {
    /// Asks for what the next message is held against.
    #[inline]
    pub(crate) fn prefetch(&self) {
        prefetch(self);
        self.head.prefetch();
    }

    /// With room for all that a stream of this kind may learn.
    pub(crate) fn of(channel: Channel) -> Looks {
        let none = Templates::default();
        let (head, part) = match channel {
            Channel::Book(_) | Channel::Bbo => (Templates::new(), none),
            Channel::Trades => (Templates::new(), Templates::new()),
            _ => (none.clone(), none),
        };
        Looks {
            head,
            part,
            levels: LevelLook::default(),
        }
    }
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

impl LevelLook {
    /// From now on levels have these scales.
    #[inline(always)]
    pub(super) fn begin(&mut self, scales: (Scale, Scale)) {
        if self.scales != Some(scales) {
            *self = LevelLook {
                scales: Some(scales),
                ..LevelLook::default()
            };
        }
    }

    /// Reads the level that `text` begins with behind its first quote; gives its length up to its last quote, that
    /// included. `None` where it is not in the usual writing.
    #[inline(always)]
    pub(super) fn read<L: Lanes>(&mut self, text: &[u8; REACH]) -> Option<(Level, usize)> {
        if self.misses < MISSES_MAX
            && let Some(look) = &self.look
        {
            if let Some(numbers) = L::level_like(text, look) {
                return Some((level(numbers), usize::from(look.len)));
            }
            self.misses += 1;
        }
        let (numbers, shape, len) = L::level(text, self.scales?)?;
        self.note(shape, text.get(..len)?);
        Some((level(numbers), len))
    }

    /// Notes how a level looked that was not expected to look so.
    #[inline(always)]
    fn note(&mut self, shape: u32, text: &[u8]) {
        let again = self.shape == shape;
        self.run = if again { self.run + 1 } else { 0 };
        self.shape = shape;
        if self.run == RUN {
            self.learn(text);
        }
    }

    /// From now on levels are expected to look like this one, from behind its first quote to its last.
    #[cold]
    fn learn(&mut self, text: &[u8]) {
        (self.run, self.misses) = (0, 0);
        if self.look.is_none() || self.known != self.shape {
            self.look = self.scales.and_then(|scales| Look::of(text, scales));
            self.known = self.shape;
        }
    }
}

#[inline(always)]
const fn level([price, qty]: [u64; 2]) -> Level {
    Level {
        price: price as i64,
        qty: qty as i64,
    }
}

#[cfg(test)]
mod tests;

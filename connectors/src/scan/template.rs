//! What the last messages of a stream looked like, their digits left out: the next is most often the same but
//! for its digits. One comparison of the whole text then stands for all of its grammar, and every number is
//! where it was: none has to wait until the end of the one before it is found. Of recorded best bids and asks and
//! trades at Binance 99.9% are like one of the last two of their stream.
#![cfg_attr(
    not(target_arch = "x86_64"),
    allow(dead_code, reason = "what is learnt is read with AVX2 alone")
)]

use arrayvec::ArrayVec;
use tickwire_orderbook::{Scale, prefetch};

use super::{Scan, ScanError};
#[cfg(target_arch = "x86_64")]
use crate::swar::Avx2;
use crate::swar::{Digits, FAR, WIDTH};

/// How many numbers are taken of a message.
pub(crate) const NUMBERS: usize = 6;

/// They are read in pairs.
pub(crate) const PAIRS: usize = NUMBERS / 2;

/// Longer messages have no template.
pub(crate) const TEXT_MAX: usize = 8 * FAR;

/// In a template: any digit may stand here.
pub(crate) const DIGIT: u8 = 0x80 | b'0';

/// The last looks of a stream: trades come in two lengths by their side, and a quantity grows by a digit.
const LOOKS: usize = 4;

/// What may be learnt: to learn a look costs more than to read what has it, and pays only if more like it follow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Credit(u32);

impl Default for Credit {
    fn default() -> Credit {
        Credit(Credit::MAX)
    }
}

impl Credit {
    const MAX: u32 = 64;
    const LESSON: u32 = 8;

    /// Something looked as it was learnt.
    #[inline(always)]
    pub(super) fn earn(&mut self) {
        self.0 = Credit::MAX.min(self.0 + 1);
    }

    /// Pays for a lesson, or says that there is not enough.
    #[inline(always)]
    pub(super) fn pay(&mut self) -> bool {
        let left = self.0.checked_sub(Credit::LESSON);
        self.0 = left.unwrap_or(self.0);
        left.is_some()
    }
}

/// A number to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Number {
    /// A bare integer.
    Integer,
    /// A quoted decimal, as its mantissa at the scale.
    Decimal(Scale),
}

/// Two numbers of a text.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pair {
    /// Where the sixteen bytes begin that hold each.
    pub(crate) at: [u16; 2],
    /// Which of the bytes are its digits, and where in sixteen digits they belong.
    pub(crate) digits: Digits,
}

/// One look.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    len: u16,
    /// What the message has that is no number.
    flag: bool,
    pairs: [Pair; PAIRS],
    text: [u8; TEXT_MAX],
}

/// Most looks are no longer.
const TEXT_USUAL: usize = TEXT_MAX / 2;

/// What a message tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Filled {
    /// In the order in which they were wanted; zero where the message has none.
    pub(crate) numbers: [u64; NUMBERS],
    /// As learnt.
    pub(crate) flag: bool,
}

/// The last looks of one stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Templates {
    /// Of prices and quantities; a template is for these alone.
    scales: Option<(Scale, Scale)>,
    credit: Credit,
    /// The one to be forgotten next.
    oldest: usize,
    looks: Vec<Template>,
}

impl Templates {
    /// Asks for the look that was learnt first, which most messages have.
    #[inline]
    pub(crate) fn prefetch(&self) {
        if let Some(look) = self.looks.first() {
            prefetch(&look.len);
            prefetch(&look.pairs);
            prefetch(&look.text[..TEXT_USUAL]);
        }
    }

    /// Knows nothing yet, and has room for all that it may learn.
    pub(crate) fn new() -> Templates {
        Templates {
            looks: Vec::with_capacity(LOOKS),
            ..Templates::default()
        }
    }

    /// Reads a text that looks like one of those that were learnt at these scales.
    #[cfg(target_arch = "x86_64")]
    #[inline]
    pub(crate) fn read(&mut self, text: Scan<'_>, scales: (Scale, Scale)) -> Option<Filled> {
        let avx2 = Avx2::found()?;
        if self.scales != Some(scales) {
            return None;
        }
        let (text, looks) = (text.bytes, &self.looks);
        let filled = avx2.run(|| {
            let same = |look: &&Template| usize::from(look.len) == text.len();
            let mut alike = looks.iter().filter(same);
            alike
                .find(|look| avx2.is_like(text, &look.text))
                .and_then(|look| look.fill(avx2, text))
        });
        if filled.is_some() {
            self.credit.earn();
        }
        filled
    }

    /// What a text says that begins like one of those that were learnt with [`learn_head`](Templates::learn_head), and
    /// how long that beginning is.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub(crate) fn head(&self, avx2: Avx2, text: &[u8]) -> Option<(Filled, usize)> {
        for look in &self.looks {
            let len = usize::from(look.len);
            if let Some(head) = text.get(..len)
                && avx2.is_like(head, &look.text)
            {
                return Some((look.fill(avx2, head)?, len));
            }
        }
        None
    }

    /// Elsewhere a comparison byte by byte would cost what it saves.
    #[cfg(not(target_arch = "x86_64"))]
    #[inline]
    pub(crate) fn read(&mut self, _: Scan<'_>, _: (Scale, Scale)) -> Option<Filled> {
        None
    }

    /// Learns the look of a message whose object begins where `scan` is, and which was read by other means:
    /// the `wanted` numbers, those that it has, by their keys.
    #[inline]
    pub(crate) fn learn<const N: usize>(
        &mut self,
        scan: Scan<'_>,
        scales: (Scale, Scale),
        wanted: [(&[u8], Number); N],
        flag: bool,
    ) {
        if self.scales != Some(scales) {
            self.looks.clear();
            self.scales = Some(scales);
            self.credit = Credit::default();
        }
        if can_read() && self.credit.pay() {
            self.add(Template::of(scan, &wanted, flag));
        }
    }

    /// A text began as was learnt.
    #[inline(always)]
    pub(crate) fn earn(&mut self) {
        self.credit.earn();
    }

    /// Learns how a message begins that was read by other means: up to `stop`, that included, with the integers of
    /// these keys.
    #[inline]
    pub(crate) fn learn_head(&mut self, text: &[u8], stop: &[u8], keys: &[&[u8]], flag: bool) {
        if can_read() && self.credit.pay() {
            self.add(Template::of_head(text, stop, keys, flag));
        }
    }

    #[cold]
    fn add(&mut self, template: Option<Template>) {
        let Some(template) = template else { return };
        if self.looks.len() < LOOKS {
            self.looks.push(template);
        } else if let Some(look) = self.looks.get_mut(self.oldest) {
            *look = template;
            self.oldest = (self.oldest + 1) % LOOKS;
        }
    }
}

/// Whether this processor reads by templates.
#[inline(always)]
fn can_read() -> bool {
    #[cfg(target_arch = "x86_64")]
    return Avx2::found().is_some();
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Where `part` stands in a text; `None` where it stands nowhere or twice.
fn only(text: &[u8], part: &[u8]) -> Option<usize> {
    let mut found = text.windows(part.len()).enumerate();
    let mut next = || found.find(|(_, window)| *window == part);
    let (at, _) = next()?;
    next().is_none().then_some(at)
}

impl Template {
    /// The numbers of a text that is like it.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn fill(&self, avx2: Avx2, text: &[u8]) -> Option<Filled> {
        let mut numbers = [0; NUMBERS];
        for (two, pair) in numbers.as_chunks_mut().0.iter_mut().zip(&self.pairs) {
            let word = |at: u16| text.get(usize::from(at)..)?.first_chunk();
            *two = avx2.numbers([word(pair.at[0])?, word(pair.at[1])?], &pair.digits);
        }
        let flag = self.flag;
        Some(Filled { numbers, flag })
    }

    /// Nothing of it is a number yet.
    fn blank(text: &[u8], flag: bool) -> Option<Template> {
        let mut template = Template {
            len: u16::try_from(text.len()).ok()?,
            flag,
            pairs: [Pair::default(); PAIRS],
            text: [0; TEXT_MAX],
        };
        // The highest bit of a byte has another meaning here.
        if text.len() < FAR || !text.is_ascii() {
            return None;
        }
        template.text.get_mut(..text.len())?.copy_from_slice(text);
        Some(template)
    }

    /// The look of a text up to `stop`, that included, with the integers of these keys.
    #[cold]
    fn of_head(text: &[u8], stop: &[u8], keys: &[&[u8]], flag: bool) -> Option<Template> {
        let start = text.windows(stop.len()).position(|window| window == stop)?;
        let head = text.get(..start + stop.len())?;
        let mut template = Template::blank(head, flag)?;
        for (index, key) in keys.iter().enumerate() {
            let at = only(head, key)? + key.len();
            let rest = head.get(at..)?;
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit());
            template.take(index, at, rest.get(..digits.count())?, Number::Integer)?;
        }
        Some(template)
    }

    /// The look of a text whose object begins where `scan` is. `None` where it is too short or too long, or has a
    /// wanted number that is not in the usual writing.
    #[cold]
    fn of(mut scan: Scan<'_>, wanted: &[(&[u8], Number)], flag: bool) -> Option<Template> {
        let mut template = Template::blank(scan.bytes, flag)?;
        let mut found = ArrayVec::<&[u8], NUMBERS>::new();
        scan.enter_object().ok()?;
        let mut first = true;
        while let Some(key) = scan.next_key(&mut first).ok()? {
            let value = value(&mut scan).ok()?;
            let at = scan.position() - value.len();
            let Some(index) = wanted.iter().position(|(name, _)| *name == key) else {
                if value.iter().all(u8::is_ascii_digit) {
                    template.free(at, value);
                }
                continue;
            };
            // Sent twice, the last would count.
            if found.contains(&key) {
                return None;
            }
            found.try_push(key).ok()?;
            template.take(index, at, value, wanted.get(index)?.1)?;
        }
        Some(template)
    }

    /// An integer may have any digits; its first must be as it was, so that it has no zero there.
    fn free(&mut self, at: usize, digits: &[u8]) {
        let first = usize::from(digits.len() > 1);
        for byte in self
            .text
            .iter_mut()
            .skip(at + first)
            .take(digits.len() - first)
        {
            *byte = DIGIT;
        }
    }

    /// Takes a number that stands at `at`.
    fn take(&mut self, index: usize, at: usize, value: &[u8], number: Number) -> Option<()> {
        match number {
            Number::Integer => {
                let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
                is_number.then_some(())?;
                self.free(at, value);
                let count = value.len();
                self.place(index, at, |digits, word, from| {
                    digits.run(word, WIDTH.checked_sub(count)?, from, count)
                })
            }
            Number::Decimal(scale) => {
                let text = value.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
                let decimal = Plain::of(text, scale)?;
                let at = at + 1;
                decimal.free(self.text.get_mut(at..)?);
                self.place(index, at, |digits, word, from| {
                    decimal.put(digits, word, from)
                })
            }
        }
    }

    /// Places the digits of a number that stands at `at`: `put` is told from which byte of its word on.
    fn place(
        &mut self,
        index: usize,
        at: usize,
        put: impl FnOnce(&mut Digits, usize, usize) -> Option<()>,
    ) -> Option<()> {
        let window = at.min(usize::from(self.len) - WIDTH);
        let pair = self.pairs.get_mut(index / 2)?;
        pair.at[index % 2] = u16::try_from(window).ok()?;
        put(&mut pair.digits, index % 2, at - window)
    }
}

/// A decimal in the usual writing, at a scale that holds it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plain {
    /// Digits before the point.
    whole: usize,
    /// Digits behind it that count; the others are zeros.
    kept: usize,
    scale: usize,
}

impl Plain {
    pub(super) fn of(text: &[u8], scale: Scale) -> Option<Plain> {
        let scale = usize::from(scale.get());
        let mut parts = text.splitn(2, |byte| *byte == b'.');
        let (whole, behind) = (parts.next()?, parts.next());
        // "5." is none.
        if whole.is_empty() || behind == Some(b"") {
            return None;
        }
        let behind = behind.unwrap_or_default();
        let kept = behind.len().min(scale);
        let dropped = behind.get(kept..)?;
        let digits = whole.iter().chain(behind).all(u8::is_ascii_digit);
        let whole = whole.len();
        (digits && dropped.iter().all(|byte| *byte == b'0')).then_some(Plain { whole, kept, scale })
    }

    /// Lets any digit stand where one of it does, in a text that begins with it.
    pub(super) fn free(self, text: &mut [u8]) {
        let end = self.whole + 1 + self.kept;
        for (at, byte) in text.iter_mut().enumerate().take(end) {
            if at != self.whole && (at < self.whole || self.kept > 0) {
                *byte = DIGIT;
            }
        }
    }

    /// Its digits in a word in which it begins at `from`. `None` where there are too many.
    pub(super) fn put(self, digits: &mut Digits, word: usize, from: usize) -> Option<()> {
        // The last of sixteen is the last that the scale has.
        let point = WIDTH.checked_sub(self.scale)?;
        digits.run(word, point.checked_sub(self.whole)?, from, self.whole)?;
        digits.run(word, point, from + self.whole + 1, self.kept)
    }
}

/// The next value, as it is written.
fn value<'a>(scan: &mut Scan<'a>) -> Result<&'a [u8], ScanError> {
    scan.peek()?;
    let start = scan.position();
    scan.skip_value()?;
    Ok(scan.bytes.get(start..scan.position()).unwrap_or_default())
}

#[cfg(test)]
mod tests;

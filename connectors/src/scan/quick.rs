//! The usual writing of hot messages, and nothing else: no white space, no escapes, no signs, numbers of
//! a usual length. What it reads, [`Scan`] reads the same; what it does not, is left to that, which also
//! finds the words for what is wrong. Its errors carry nothing, so that a result costs no more than a flag.

use core::marker::PhantomData;

use tickwire_orderbook::{Level, Scale};

use super::{Cursor, Filled, LevelLook, REACH, Scan, ScanErrorKind, Templates};
use crate::swar::{self, FAR, Lanes, WIDTH, Word};

/// Not the usual writing: read it with [`Scan`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unusual;

/// A place in one JSON text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quick<'a, L> {
    /// All of it.
    whole: &'a [u8],
    /// What is left of it: each step asks of its length alone, and not where in the text it is as well.
    rest: &'a [u8],
    lanes: PhantomData<L>,
}

/// Memory for the last bytes of a text, with zeros behind them.
type Room = [u8; 2 * REACH];

/// Whether a word begins with `start`, which is no longer. Told without a branch.
#[inline(always)]
fn begins<const N: usize>(word: Word, start: &[u8; N]) -> bool {
    let mut other = [0; WIDTH];
    other[..N].copy_from_slice(start);
    let behind = 8 * (WIDTH - N);
    u128::from_le_bytes(word) << behind == u128::from_le_bytes(other) << behind
}

impl<'a, L: Lanes> Quick<'a, L> {
    /// At the start of `bytes`.
    #[inline(always)]
    pub(crate) const fn new(bytes: &'a [u8]) -> Quick<'a, L> {
        Quick {
            whole: bytes,
            rest: bytes,
            lanes: PhantomData,
        }
    }

    /// Where `scan` is.
    #[inline(always)]
    pub(super) fn from_scan(scan: Scan<'a>) -> Quick<'a, L> {
        Quick {
            whole: scan.bytes,
            rest: scan.rest(),
            lanes: PhantomData,
        }
    }

    /// Where this is.
    #[inline(always)]
    pub(crate) const fn scan(self) -> Scan<'a> {
        Scan {
            bytes: self.whole,
            at: self.at(),
        }
    }

    #[inline(always)]
    const fn at(&self) -> usize {
        self.whole.len() - self.rest.len()
    }

    #[inline(always)]
    fn byte(&self) -> Result<u8, Unusual> {
        self.rest.first().copied().ok_or(Unusual)
    }

    #[inline(always)]
    fn take(&mut self, byte: u8) -> Result<(), Unusual> {
        match self.rest.split_first() {
            Some((first, rest)) if *first == byte => {
                self.rest = rest;
                Ok(())
            }
            _ => Err(Unusual),
        }
    }

    #[inline(always)]
    fn step(&mut self, count: usize) -> Result<(), Unusual> {
        self.rest = self.rest.get(count..).ok_or(Unusual)?;
        Ok(())
    }

    /// Steps over exactly this.
    #[inline(always)]
    pub(crate) fn pass<const N: usize>(&mut self, text: &[u8; N]) -> Result<(), Unusual> {
        match self.rest.split_first_chunk() {
            Some((first, rest)) if first == text => {
                self.rest = rest;
                Ok(())
            }
            _ => Err(Unusual),
        }
    }

    /// The next bytes; `room` is for the last of the text, behind which stand zero bytes.
    #[inline(always)]
    fn word<'w>(&self, room: &'w mut Word) -> Result<&'w Word, Unusual>
    where
        'a: 'w,
    {
        if let Some(word) = self.rest.first_chunk() {
            return Ok(word);
        }
        *room = swar::last(self.whole, self.rest.len()).ok_or(Unusual)?;
        Ok(room)
    }

    /// As [`word`](Quick::word), of as many bytes as two numbers may have.
    #[inline(always)]
    fn reach<'w>(&self, room: &'w mut Room) -> Option<&'w [u8; REACH]>
    where
        'a: 'w,
    {
        if let Some(reach) = self.rest.first_chunk() {
            return Some(reach);
        }
        // As many bytes whatever is left: a copy of some would be a call.
        *room.first_chunk_mut()? = *self.whole.last_chunk::<REACH>()?;
        room.get(REACH - self.rest.len()..)?.first_chunk()
    }

    /// What stands before the quote that follows, which is stepped over.
    #[inline(always)]
    pub(crate) fn rest_of_string(&mut self) -> Result<&'a [u8], Unusual> {
        self.rest_of_string_from(self.rest)
    }

    /// As [`rest_of_string`](Quick::rest_of_string), of one that has begun with what `start` begins with.
    #[inline(always)]
    fn rest_of_string_from(&mut self, start: &'a [u8]) -> Result<&'a [u8], Unusual> {
        loop {
            let ends = L::ends(self.word(&mut [0; WIDTH])?);
            if ends != 0 {
                return self.end_string(start, ends);
            }
            self.step(WIDTH)?;
        }
    }

    /// Ends a string where the lowest bit is.
    #[inline(always)]
    fn end_string(&mut self, start: &'a [u8], ends: u32) -> Result<&'a [u8], Unusual> {
        self.step(ends.trailing_zeros() as usize)?;
        let text = start.get(..start.len() - self.rest.len());
        self.take(b'"')?;
        text.ok_or(Unusual)
    }

    /// As [`rest_of_string`](Quick::rest_of_string), in longer steps.
    #[inline(always)]
    fn rest_of_long_string(&mut self) -> Result<&'a [u8], Unusual> {
        let start = self.rest;
        while let Some((words, rest)) = self.rest.split_first_chunk::<FAR>() {
            let ends = L::far_ends(words);
            if ends != 0 {
                return self.end_string(start, ends);
            }
            self.rest = rest;
        }
        self.rest_of_string_from(start)
    }

    /// The decimal before the quote that follows, which is stepped over.
    #[inline(always)]
    fn rest_of_decimal(&mut self, scale: Scale) -> Result<i64, Unusual> {
        let read = swar::decimal::<L>(self.word(&mut [0; WIDTH])?, scale.get());
        let (mantissa, length) = read.ok_or(Unusual)?;
        self.step(length + 1)?;
        Ok(mantissa)
    }

    /// A level from behind its first quote to its last, number by number.
    #[inline(always)]
    fn any_level(&mut self, scales: (Scale, Scale)) -> Result<Level, Unusual> {
        let price = self.rest_of_decimal(scales.0)?;
        self.pass(b",\"")?;
        let qty = self.rest_of_decimal(scales.1)?;
        Ok(Level { price, qty })
    }

    /// What [`exact`](swar::exact) gives, and the length.
    #[inline(always)]
    fn exact_here(&self) -> Option<((i64, u8), usize)> {
        let (mantissa, decimals, length) = swar::exact::<L>(self.word(&mut [0; WIDTH]).ok()?)?;
        Some(((mantissa, decimals), length))
    }

    #[inline(always)]
    fn literal(&mut self) -> Result<bool, Unusual> {
        if self.byte()? == b't' {
            self.pass(b"true")?;
            return Ok(true);
        }
        self.pass(b"false")?;
        Ok(false)
    }

    /// One of several in a list: true behind a comma, false behind the end.
    #[inline(always)]
    fn more(&mut self, close: u8) -> Result<bool, Unusual> {
        let (byte, rest) = self.rest.split_first().ok_or(Unusual)?;
        self.rest = rest;
        match *byte {
            b',' => Ok(true),
            byte if byte == close => Ok(false),
            _ => Err(Unusual),
        }
    }
}

impl<'a, L: Lanes> Cursor<'a> for Quick<'a, L> {
    type Error = Unusual;

    #[inline(always)]
    fn fail(&self, _kind: ScanErrorKind) -> Unusual {
        Unusual
    }

    #[inline(always)]
    fn position(&self) -> usize {
        self.at()
    }

    #[inline(always)]
    fn usual<const N: usize>(&mut self, text: &[u8; N]) -> bool {
        self.pass(text).is_ok()
    }

    #[inline(always)]
    fn action(&mut self) -> Option<bool> {
        const LONGEST: usize = br#"["change","#.len();
        let text = *self.rest.first_chunk()?;
        let is_new = begins(text, br#"["new","#);
        let deletes = begins(text, br#"["delete","#);
        if !(is_new | deletes | begins(text, br#"["change","#)) {
            return None;
        }
        let shorter = LONGEST - br#"["new","#.len();
        self.step(LONGEST - usize::from(is_new) * shorter).ok()?;
        Some(deletes)
    }

    #[inline(always)]
    fn either<const A: usize, const B: usize>(
        &mut self,
        first: &[u8; A],
        second: &[u8; B],
    ) -> Option<bool> {
        let text = *self.rest.first_chunk()?;
        let is_second = begins(text, second);
        if !(is_second | begins(text, first)) {
            return None;
        }
        self.step(if is_second { B } else { A }).ok()?;
        Some(is_second)
    }

    #[inline(always)]
    fn string_of<const N: usize>(&mut self) -> Option<&'a [u8]> {
        let (text, rest) = self.rest.split_first()?.1.split_first_chunk::<N>()?;
        let is_quoted = self.rest.first() == Some(&b'"') && rest.first() == Some(&b'"');
        let mut ends = L::far_ends(text.last_chunk()?);
        for words in text.as_chunks().0 {
            ends |= L::far_ends(words);
        }
        if !is_quoted || ends != 0 {
            return None;
        }
        self.step(N + 2).ok()?;
        Some(text)
    }

    #[inline(always)]
    fn head(&mut self, templates: &mut Templates) -> Option<Filled> {
        let (filled, length) = L::head(self.rest, templates)?;
        self.step(length).ok()?;
        templates.earn();
        Some(filled)
    }

    #[inline(always)]
    fn enter_object(&mut self) -> Result<(), Unusual> {
        self.take(b'{')
    }

    #[inline(always)]
    fn next_key(&mut self, first: &mut bool) -> Result<Option<&'a [u8]>, Unusual> {
        if !core::mem::take(first) && !self.more(b'}')? {
            return Ok(None);
        }
        if let Some((&[b'"', ref letter, b'"', b':'], rest)) = self.rest.split_first_chunk()
            && letter.is_ascii_alphanumeric()
        {
            self.rest = rest;
            return Ok(Some(core::slice::from_ref(letter)));
        }
        let key = self.string()?;
        self.take(b':')?;
        Ok(Some(key))
    }

    #[inline(always)]
    fn enter_array(&mut self) -> Result<(), Unusual> {
        self.take(b'[')
    }

    #[inline(always)]
    fn next_element(&mut self, first: &mut bool) -> Result<bool, Unusual> {
        if !core::mem::take(first) {
            return self.more(b']');
        }
        let is_empty = self.byte()? == b']';
        self.step(usize::from(is_empty))?;
        Ok(!is_empty)
    }

    #[inline(always)]
    fn string(&mut self) -> Result<&'a [u8], Unusual> {
        self.take(b'"')?;
        self.rest_of_string()
    }

    #[inline(always)]
    fn long_string(&mut self) -> Result<&'a [u8], Unusual> {
        self.take(b'"')?;
        self.rest_of_long_string()
    }

    #[inline(always)]
    fn exact(&mut self) -> Option<(i64, u8)> {
        let mut ahead = *self;
        ahead.take(b'"').ok()?;
        let (number, length) = ahead.exact_here()?;
        ahead.step(length + 1).ok()?;
        *self = ahead;
        Some(number)
    }

    #[inline(always)]
    fn exact_pair<const N: usize>(&mut self, between: &[u8; N]) -> Option<[(i64, u8); 2]> {
        self.take(b'"').ok()?;
        if let Some(reach) = self.reach(&mut [0; _])
            && let Some((both, length)) = L::exact_pair(reach, between)
        {
            self.step(length).ok()?;
            // Sixteen digits each.
            return Some(both.map(|(mantissa, decimals)| (mantissa as i64, decimals)));
        }
        let (first, length) = self.exact_here()?;
        self.step(length).ok()?;
        self.pass(between).ok()?;
        let (second, length) = self.exact_here()?;
        self.step(length + 1).ok()?;
        Some([first, second])
    }

    #[inline(always)]
    fn quoted_u64(&mut self) -> Option<u64> {
        let mut ahead = *self;
        ahead.take(b'"').ok()?;
        let value = ahead.u64().ok()?;
        ahead.take(b'"').ok()?;
        *self = ahead;
        Some(value)
    }

    #[inline(always)]
    fn uuid(&mut self) -> Option<u128> {
        let [b'"', text @ .., b'"'] = self.rest.first_chunk::<38>()? else {
            return None;
        };
        let id = L::uuid(text)?;
        self.step(text.len() + 2).ok()?;
        Some(id)
    }

    /// A bare one is as [`number`](Cursor::number).
    #[inline(always)]
    fn decimal_text(&mut self) -> Result<&'a [u8], Unusual> {
        if self.byte()? == b'"' {
            return self.string();
        }
        let length = swar::number_length::<L>(self.word(&mut [0; WIDTH])?);
        let (text, rest) = self
            .rest
            .split_at_checked(length.ok_or(Unusual)?)
            .ok_or(Unusual)?;
        self.rest = rest;
        Ok(text)
    }

    /// What ends it is seen by who reads on: a comma or the end of a list, or it is unusual.
    #[inline(always)]
    fn u64(&mut self) -> Result<u64, Unusual> {
        let read = swar::integer::<L>(self.word(&mut [0; WIDTH])?);
        let (value, length) = read.ok_or(Unusual)?;
        self.step(length)?;
        Ok(value)
    }

    #[inline(always)]
    fn i64(&mut self) -> Result<i64, Unusual> {
        // Fifteen digits.
        self.u64().map(|value| value as i64)
    }

    #[inline(always)]
    fn bool(&mut self) -> Result<bool, Unusual> {
        self.literal()
    }

    #[inline(always)]
    fn decimal(&mut self, scale: Scale) -> Result<i64, Unusual> {
        self.take(b'"')?;
        self.rest_of_decimal(scale)
    }

    /// As [`u64`](Cursor::u64): an exponent is seen by who reads on.
    #[inline(always)]
    fn number(&mut self, scale: Scale) -> Result<i64, Unusual> {
        let read = swar::number::<L>(self.word(&mut [0; WIDTH])?, scale.get());
        let (mantissa, length) = read.ok_or(Unusual)?;
        self.step(length)?;
        Ok(mantissa)
    }

    #[inline(always)]
    fn bare_pair(&mut self, scales: (Scale, Scale)) -> Option<Level> {
        // Close to the end of the text, its last bytes, of which the first are passed over.
        let (window, skip) = match self.rest.first_chunk() {
            Some(window) => (window, 0),
            None => (self.whole.last_chunk()?, FAR - self.rest.len()),
        };
        let ([price, qty], length) = L::bare_pair(window, skip, scales)?;
        self.step(length).ok()?;
        // Sixteen digits each.
        Some(Level {
            price: price as i64,
            qty: qty as i64,
        })
    }

    #[inline(always)]
    fn null(&mut self) -> Result<bool, Unusual> {
        let is_null = self.byte()? == b'n';
        if is_null {
            self.pass(b"null")?;
        }
        Ok(is_null)
    }

    #[inline(always)]
    fn peek(&mut self) -> Result<u8, Unusual> {
        self.byte()
    }

    #[inline(always)]
    fn levels(
        &mut self,
        scales: (Scale, Scale),
        look: &mut LevelLook,
        levels: &mut Vec<Level>,
    ) -> Result<(), Unusual> {
        if self.pass(b"[]").is_ok() {
            return Ok(());
        }
        self.pass(b"[[\"")?;
        look.begin(scales);
        loop {
            if let Some(reach) = self.reach(&mut [0; _])
                && let Some((level, length)) = look.read::<L>(reach)
            {
                levels.push(level);
                self.step(length)?;
            } else {
                levels.push(self.any_level(scales)?);
            }
            // What stands between two levels is compared at once.
            if self.pass(b"],[\"").is_err() {
                return self.pass(b"]]");
            }
        }
    }

    #[inline(always)]
    fn skip_value(&mut self) -> Result<(), Unusual> {
        match self.byte()? {
            b'"' => self.string().map(drop),
            b't' | b'f' => self.literal().map(drop),
            b'n' => self.null().map(drop),
            _ => {
                let length = swar::number_length::<L>(self.word(&mut [0; WIDTH])?);
                self.step(length.ok_or(Unusual)?)
            }
        }
    }

    #[inline(always)]
    fn finish(&mut self) -> Result<(), Unusual> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Unusual)
        }
    }
}

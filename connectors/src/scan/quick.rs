//! The usual writing of hot messages, and nothing else: no white space, no escapes, no signs, numbers of
//! a usual length. What it reads, [`Scan`] reads the same; what it does not, is left to that, which also
//! finds the words for what is wrong. Its errors carry nothing, so that a result costs no more than a flag.

use core::marker::PhantomData;

use tickwire_orderbook::{Level, Scale};

use super::{Cursor, Filled, LevelLook, Scan, ScanErrorKind, Templates};
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
        let text = u128::from_le_bytes(*self.rest.first_chunk()?);
        let is = |action: &[u8]| {
            let mut word = [0; WIDTH];
            word[..action.len()].copy_from_slice(action);
            let behind = 8 * (WIDTH - action.len());
            text << behind == u128::from_le_bytes(word) << behind
        };
        let (is_new, deletes) = (is(br#"["new","#), is(br#"["delete","#));
        if !(is_new | deletes | is(br#"["change","#)) {
            return None;
        }
        let shorter = LONGEST - br#"["new","#.len();
        self.step(LONGEST - usize::from(is_new) * shorter).ok()?;
        Some(deletes)
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
        let (mantissa, decimals, length) = swar::exact::<L>(ahead.word(&mut [0; WIDTH]).ok()?)?;
        ahead.step(length + 1).ok()?;
        *self = ahead;
        Some((mantissa, decimals))
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
            if let Some((level, rest)) = look.read::<L>(self.rest) {
                levels.push(level);
                self.rest = rest;
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

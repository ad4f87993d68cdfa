//! The usual writing of hot messages, and nothing else: no white space, no escapes, no signs, numbers of
//! a usual length. What it reads, [`Scan`] reads the same; what it does not, is left to that, which also
//! finds the words for what is wrong. Its errors carry nothing, so that a result costs no more than a flag.

use core::marker::PhantomData;

use tickwire_orderbook::{Level, Scale};

use super::{Cursor, Scan};
use crate::swar::{self, Lanes, WIDTH, Word};

/// Not the usual writing: read it with [`Scan`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unusual;

/// A place in one JSON text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quick<'a, L> {
    bytes: &'a [u8],
    at: usize,
    lanes: PhantomData<L>,
}

impl<'a, L: Lanes> Quick<'a, L> {
    /// At the start of `bytes`.
    #[inline(always)]
    pub(crate) const fn new(bytes: &'a [u8]) -> Quick<'a, L> {
        Quick {
            bytes,
            at: 0,
            lanes: PhantomData,
        }
    }

    /// Where `scan` is.
    #[inline(always)]
    pub(super) const fn from_scan(scan: Scan<'a>) -> Quick<'a, L> {
        Quick {
            bytes: scan.bytes,
            at: scan.at,
            lanes: PhantomData,
        }
    }

    /// Where this is.
    #[inline(always)]
    pub(crate) const fn scan(self) -> Scan<'a> {
        Scan {
            bytes: self.bytes,
            at: self.at,
        }
    }

    #[inline(always)]
    fn byte(&self) -> Result<u8, Unusual> {
        self.bytes.get(self.at).copied().ok_or(Unusual)
    }

    #[inline(always)]
    fn take(&mut self, byte: u8) -> Result<(), Unusual> {
        if self.byte()? != byte {
            return Err(Unusual);
        }
        self.at += 1;
        Ok(())
    }

    /// Steps over exactly this.
    #[inline(always)]
    pub(crate) fn pass<const N: usize>(&mut self, text: &[u8; N]) -> Result<(), Unusual> {
        let rest = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk);
        if rest != Some(text) {
            return Err(Unusual);
        }
        self.at += N;
        Ok(())
    }

    #[inline(always)]
    fn word(&self) -> Result<Word, Unusual> {
        swar::load(self.bytes, self.at).ok_or(Unusual)
    }

    /// What stands before the quote that follows, which is stepped over.
    #[inline(always)]
    pub(crate) fn rest_of_string(&mut self) -> Result<&'a [u8], Unusual> {
        let start = self.at;
        loop {
            let count = swar::string_end::<L>(self.word()?);
            self.at += count;
            if count < WIDTH {
                break;
            }
        }
        let text = self.bytes.get(start..self.at).ok_or(Unusual)?;
        self.take(b'"')?;
        Ok(text)
    }

    /// The decimal before the quote that follows, which is stepped over.
    #[inline(always)]
    fn rest_of_decimal(&mut self, scale: Scale) -> Result<i64, Unusual> {
        let read = swar::decimal::<L>(self.word()?, scale.get());
        let (mantissa, length) = read.ok_or(Unusual)?;
        self.at += length + 1;
        Ok(mantissa)
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
        let byte = self.byte()?;
        self.at += 1;
        match byte {
            b',' => Ok(true),
            _ if byte == close => Ok(false),
            _ => Err(Unusual),
        }
    }
}

impl<'a, L: Lanes> Cursor<'a> for Quick<'a, L> {
    type Error = Unusual;

    #[inline(always)]
    fn wrong(&self, _what: &'static str) -> Unusual {
        Unusual
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
        let rest = self.bytes.get(self.at..).ok_or(Unusual)?;
        if let Some(&[b'"', letter, b'"', b':']) = rest.first_chunk()
            && letter.is_ascii_alphanumeric()
        {
            self.at += 4;
            return Ok(rest.get(1..2));
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
        self.at += usize::from(is_empty);
        Ok(!is_empty)
    }

    #[inline(always)]
    fn string(&mut self) -> Result<&'a [u8], Unusual> {
        self.take(b'"')?;
        self.rest_of_string()
    }

    /// What ends it is seen by who reads on: a comma or the end of a list, or it is unusual.
    #[inline(always)]
    fn u64(&mut self) -> Result<u64, Unusual> {
        let (value, length) = swar::integer::<L>(self.word()?).ok_or(Unusual)?;
        self.at += length;
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
        let read = swar::number::<L>(self.word()?, scale.get());
        let (mantissa, length) = read.ok_or(Unusual)?;
        self.at += length;
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
    fn levels(&mut self, price: Scale, qty: Scale, levels: &mut Vec<Level>) -> Result<(), Unusual> {
        if self.pass(b"[]").is_ok() {
            return Ok(());
        }
        self.pass(b"[[\"")?;
        loop {
            let price = self.rest_of_decimal(price)?;
            self.pass(b",\"")?;
            let qty = self.rest_of_decimal(qty)?;
            levels.push(Level { price, qty });
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
                let length = swar::number_length::<L>(self.word()?);
                self.at += length.ok_or(Unusual)?;
                Ok(())
            }
        }
    }

    #[inline(always)]
    fn finish(&mut self) -> Result<(), Unusual> {
        if self.at == self.bytes.len() {
            Ok(())
        } else {
            Err(Unusual)
        }
    }
}

//! A single pass over the JSON of hot messages.
//!
//! A scanner of one message kind walks its object once, in whatever order the keys come, takes the
//! few fields that it needs straight into integers, and steps over the rest. What it accepts is
//! JSON (the grammar is checked, skipped values included) but for two things that are left to the
//! reader of the text: UTF-8 inside strings, and pairs of surrogates in escapes. A string with an
//! escape, where a field is wanted, is [`ScanErrorKind::Escape`]: the caller then reads the message
//! with simd-json, which is also the oracle in the tests.

use tickwire_orderbook::{DecimalError, Level, Scale, json_mantissa_at};

use crate::swar::{self, Common, WIDTH};

mod cursor;
mod level;
mod quick;
mod read;
mod template;

pub(crate) use cursor::{Cursor, ONCE, Once};
pub(crate) use level::{LevelLook, Look, Looks, REACH};
pub(crate) use quick::Quick;
pub(crate) use read::{Message, check, read};
pub(crate) use template::{Filled, Number, Templates};

/// Why a message could not be scanned, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at byte {at}")]
pub struct ScanError {
    /// What was wrong.
    pub kind: ScanErrorKind,
    /// Offset in the message.
    pub at: usize,
}

/// What was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScanErrorKind {
    /// The message ends inside a value.
    #[error("the message is cut off")]
    Truncated,
    /// Another token was expected.
    #[error("expected {0}")]
    Expected(&'static str),
    /// A wanted string has an escape: read the message with the general parser.
    #[error("an escaped string")]
    Escape,
    /// A number is larger than its type.
    #[error("a number out of range")]
    Range,
    /// A decimal has more digits behind the point than the scale, and they are not zeros.
    #[error("more decimals than the scale")]
    ExcessDigits,
    /// A decimal does not fit 64 bits at the scale.
    #[error("a decimal too large for the scale")]
    Overflow,
    /// Arrays and objects are nested too deep.
    #[error("nesting too deep")]
    TooDeep,
}

impl ScanErrorKind {
    /// Whether a fresh book at another scale would read the message.
    pub const fn is_scale(self) -> bool {
        matches!(self, ScanErrorKind::ExcessDigits | ScanErrorKind::Overflow)
    }
}

/// No venue nests deeper than 8; the limit keeps the stack safe.
const DEPTH_MAX: u32 = 32;

const POW10: [i64; 19] = {
    let mut table = [1i64; 19];
    let mut index = 1;
    while index < 19 {
        table[index] = table[index - 1] * 10;
        index += 1;
    }
    table
};

/// A cursor over one JSON text.
#[derive(Clone, Copy, Debug)]
pub struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    /// At the start of `bytes`.
    #[inline]
    pub const fn new(bytes: &'a [u8]) -> Scan<'a> {
        Scan { bytes, at: 0 }
    }

    /// Offset of the next byte.
    #[inline]
    pub const fn position(&self) -> usize {
        self.at
    }

    #[cold]
    const fn error(&self, kind: ScanErrorKind) -> ScanError {
        ScanError { kind, at: self.at }
    }

    #[cold]
    fn expected(&self, what: &'static str) -> ScanError {
        if self.at >= self.bytes.len() {
            self.error(ScanErrorKind::Truncated)
        } else {
            self.error(ScanErrorKind::Expected(what))
        }
    }

    #[inline]
    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    #[inline]
    fn peek_raw(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// The next byte that is not white space, without taking it.
    #[inline]
    pub fn peek(&mut self) -> Result<u8, ScanError> {
        loop {
            match self.peek_raw() {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                Some(byte) => return Ok(byte),
                None => return Err(self.error(ScanErrorKind::Truncated)),
            }
        }
    }

    #[inline]
    fn take(&mut self, byte: u8, what: &'static str) -> Result<(), ScanError> {
        if self.peek_raw() == Some(byte) || self.peek()? == byte {
            self.at += 1;
            return Ok(());
        }
        Err(self.expected(what))
    }

    /// Only white space may be left.
    pub fn finish(&mut self) -> Result<(), ScanError> {
        match self.peek() {
            Ok(_) => Err(self.error(ScanErrorKind::Expected("the end"))),
            Err(_) => Ok(()),
        }
    }

    /// Steps into an object.
    #[inline]
    pub fn enter_object(&mut self) -> Result<(), ScanError> {
        self.take(b'{', "an object")
    }

    /// The next key of the object that was entered, `None` behind its last one. `first` starts as
    /// true and belongs to this object. The key's value must be taken or skipped before the next
    /// call.
    #[inline(always)]
    pub fn next_key(&mut self, first: &mut bool) -> Result<Option<&'a [u8]>, ScanError> {
        // Most keys of hot messages are one letter, and stand where they are expected.
        if !*first
            && let Some(&[b',', b'"', letter, b'"', b':']) = self.rest().first_chunk()
            && letter.is_ascii_alphanumeric()
        {
            let key = self.bytes.get(self.at + 2..self.at + 3);
            self.at += 5;
            return Ok(key);
        }
        self.any_key(first)
    }

    fn any_key(&mut self, first: &mut bool) -> Result<Option<&'a [u8]>, ScanError> {
        if !self.step(first, b'}')? {
            return Ok(None);
        }
        let key = self.string()?;
        self.take(b':', "a colon")?;
        Ok(Some(key))
    }

    /// Steps into an array.
    #[inline]
    pub fn enter_array(&mut self) -> Result<(), ScanError> {
        self.take(b'[', "an array")
    }

    /// Whether the array that was entered has another element, which must then be taken or skipped.
    /// `first` starts as true and belongs to this array.
    #[inline]
    pub fn next_element(&mut self, first: &mut bool) -> Result<bool, ScanError> {
        self.step(first, b']')
    }

    #[inline]
    fn step(&mut self, first: &mut bool, close: u8) -> Result<bool, ScanError> {
        let byte = self.peek()?;
        if core::mem::take(first) {
            if byte == close {
                self.at += 1;
                return Ok(false);
            }
            return Ok(true);
        }
        self.at += 1;
        match byte {
            b',' => Ok(true),
            _ if byte == close => Ok(false),
            _ => {
                self.at -= 1;
                Err(self.expected("a comma or the end of the list"))
            }
        }
    }

    /// A string without escapes, as raw bytes (UTF-8 is not checked).
    #[inline]
    pub fn string(&mut self) -> Result<&'a [u8], ScanError> {
        self.take(b'"', "a string")?;
        let start = self.at;
        self.skip_plain();
        loop {
            match self.peek_raw() {
                Some(b'"') => {
                    let text = &self.bytes[start..self.at];
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => return Err(self.error(ScanErrorKind::Escape)),
                Some(0x20..) => self.at += 1,
                Some(_) => return Err(self.expected("no control character")),
                None => return Err(self.error(ScanErrorKind::Truncated)),
            }
        }
    }

    /// Steps over what is plain in a string, sixteen bytes at a time.
    #[inline]
    fn skip_plain(&mut self) {
        while let Some(word) = swar::load(self.bytes, self.at) {
            let count = swar::string_end::<Common>(&word);
            self.at += count;
            if count < WIDTH {
                return;
            }
        }
    }

    /// An unsigned integer (a bare number; no fraction, no exponent).
    #[inline]
    pub fn u64(&mut self) -> Result<u64, ScanError> {
        if let Some((value, length)) = self.plain_integer() {
            self.at += length;
            return Ok(value);
        }
        self.u64_slowly()
    }

    /// Any unsigned integer, digit by digit.
    #[cold]
    fn u64_slowly(&mut self) -> Result<u64, ScanError> {
        self.peek()?;
        let start = self.at;
        let mut value = 0u64;
        while let Some(digit @ b'0'..=b'9') = self.peek_raw() {
            value = value
                .checked_mul(10)
                .and_then(|value| value.checked_add(u64::from(digit - b'0')))
                .ok_or_else(|| self.error(ScanErrorKind::Range))?;
            self.at += 1;
        }
        let leading_zero = self.bytes.get(start) == Some(&b'0') && self.at > start + 1;
        let fraction = matches!(self.peek_raw(), Some(b'.' | b'e' | b'E'));
        if self.at == start || leading_zero || fraction {
            return Err(self.expected("an unsigned integer"));
        }
        Ok(value)
    }

    /// A signed integer (a bare number; no fraction, no exponent).
    #[inline]
    pub fn i64(&mut self) -> Result<i64, ScanError> {
        let negative = self.peek()? == b'-';
        if negative {
            self.at += 1;
            if !matches!(self.peek_raw(), Some(b'0'..=b'9')) {
                return Err(self.expected("a digit"));
            }
        }
        let value = self.u64()?;
        let signed = if negative {
            0i64.checked_sub_unsigned(value)
        } else {
            value.try_into().ok()
        };
        signed.ok_or_else(|| self.error(ScanErrorKind::Range))
    }

    /// `true` or `false`.
    #[inline]
    pub fn bool(&mut self) -> Result<bool, ScanError> {
        if self.peek()? == b't' {
            self.literal(b"true")?;
            return Ok(true);
        }
        self.literal(b"false")?;
        Ok(false)
    }

    /// Takes a `null` if one is next.
    pub fn null(&mut self) -> Result<bool, ScanError> {
        if self.peek()? != b'n' {
            return Ok(false);
        }
        self.literal(b"null")?;
        Ok(true)
    }

    fn literal(&mut self, word: &'static [u8]) -> Result<(), ScanError> {
        if self.bytes[self.at..].starts_with(word) {
            self.at += word.len();
            return Ok(());
        }
        Err(self.expected("true, false or null"))
    }

    /// The text of a decimal, quoted (`"0.10"`) or bare (`0.10`, `1e-5`). A quoted one is not
    /// checked to be a number; a bare one is.
    pub fn decimal_text(&mut self) -> Result<&'a [u8], ScanError> {
        if self.peek()? == b'"' {
            return self.string();
        }
        let start = self.at;
        self.skip_number()?;
        Ok(&self.bytes[start..self.at])
    }

    /// A quoted decimal as its mantissa at `scale`. Zeros beyond the scale are legal.
    #[inline]
    pub fn decimal(&mut self, scale: Scale) -> Result<i64, ScanError> {
        if self.peek_raw() == Some(b'"')
            && let Some(word) = swar::load(self.bytes, self.at + 1)
            && let Some((mantissa, length)) = swar::decimal::<Common>(&word, scale.get())
        {
            self.at += length + 2;
            return Ok(mantissa);
        }
        self.decimal_slowly(scale)
    }

    /// Any quoted decimal, digit by digit.
    #[cold]
    fn decimal_slowly(&mut self, scale: Scale) -> Result<i64, ScanError> {
        self.take(b'"', "a quoted decimal")?;
        let negative = self.peek_raw() == Some(b'-');
        if negative {
            self.at += 1;
        }
        let (mut value, start) = (0i64, self.at);
        while let Some(digit @ b'0'..=b'9') = self.peek_raw() {
            value = self.shift_in(value, digit)?;
            self.at += 1;
        }
        if self.at == start {
            return Err(self.expected("a digit"));
        }
        let mut missing = usize::from(scale.get());
        if self.peek_raw() == Some(b'.') {
            self.at += 1;
            let start = self.at;
            while let Some(digit @ b'0'..=b'9') = self.peek_raw() {
                if missing > 0 {
                    value = self.shift_in(value, digit)?;
                    missing -= 1;
                } else if digit != b'0' {
                    return Err(self.error(ScanErrorKind::ExcessDigits));
                }
                self.at += 1;
            }
            if self.at == start {
                return Err(self.expected("a digit"));
            }
        }
        if self.peek_raw() != Some(b'"') {
            return Err(self.expected("the end of a quoted decimal"));
        }
        self.at += 1;
        let value = value
            .checked_mul(POW10[missing])
            .ok_or_else(|| self.error(ScanErrorKind::Overflow))?;
        Ok(if negative { -value } else { value })
    }

    /// A bare JSON number (`203`, `203.30`, `2.11e-5`) as its mantissa at `scale`, exactly: it never
    /// passes through a float. Zeros beyond the scale are legal.
    #[inline]
    pub fn number(&mut self, scale: Scale) -> Result<i64, ScanError> {
        self.peek()?;
        let start = self.at;
        if let Some(value) = self.plain_number(scale) {
            return Ok(value);
        }
        self.at = start;
        self.any_number(scale)
    }

    /// A number without an exponent that fits; `None` for any other and for what is none.
    #[inline]
    fn plain_number(&mut self, scale: Scale) -> Option<i64> {
        let negative = self.peek_raw() == Some(b'-');
        self.at += usize::from(negative);
        let (mut value, start) = (0i64, self.at);
        let shift_in = |value: i64, digit: u8| {
            let value = value.checked_mul(10)?;
            value.checked_add(i64::from(digit - b'0'))
        };
        while let Some(digit @ b'0'..=b'9') = self.peek_raw() {
            value = shift_in(value, digit)?;
            self.at += 1;
        }
        let digits = self.at - start;
        if digits == 0 || (digits > 1 && self.bytes.get(start) == Some(&b'0')) {
            return None;
        }
        let mut missing = usize::from(scale.get());
        if self.peek_raw() == Some(b'.') {
            self.at += 1;
            let start = self.at;
            while let Some(digit @ b'0'..=b'9') = self.peek_raw() {
                if missing > 0 {
                    value = shift_in(value, digit)?;
                    missing -= 1;
                } else if digit != b'0' {
                    return None;
                }
                self.at += 1;
            }
            if self.at == start {
                return None;
            }
        }
        if let Some(b'e' | b'E') = self.peek_raw() {
            return None;
        }
        let value = value.checked_mul(POW10[missing])?;
        Some(if negative { -value } else { value })
    }

    #[cold]
    fn any_number(&mut self, scale: Scale) -> Result<i64, ScanError> {
        let start = self.at;
        self.skip_number()?;
        match json_mantissa_at(&self.bytes[start..self.at], scale) {
            // The range is symmetric, as everywhere here.
            Ok(i64::MIN) | Err(DecimalError::Overflow) => Err(self.error(ScanErrorKind::Overflow)),
            Ok(value) => Ok(value),
            Err(DecimalError::ExcessDigits) => Err(self.error(ScanErrorKind::ExcessDigits)),
            Err(DecimalError::Empty | DecimalError::Malformed { .. }) => {
                Err(self.expected("a number"))
            }
        }
    }

    #[inline]
    fn shift_in(&self, value: i64, digit: u8) -> Result<i64, ScanError> {
        value
            .checked_mul(10)
            .and_then(|value| value.checked_add(i64::from(digit - b'0')))
            .ok_or_else(|| self.error(ScanErrorKind::Overflow))
    }

    /// An array of `["price","quantity", ..]` pairs (further elements of a pair are skipped), added
    /// to `levels`.
    #[inline]
    pub fn levels(
        &mut self,
        price_scale: Scale,
        qty_scale: Scale,
        levels: &mut Vec<Level>,
    ) -> Result<(), ScanError> {
        self.enter_array()?;
        let mut first = true;
        while self.next_element(&mut first)? {
            self.take(b'[', "a level")?;
            let price = self.decimal(price_scale)?;
            self.take(b',', "a comma")?;
            let qty = self.decimal(qty_scale)?;
            if self.peek_raw() == Some(b']') {
                self.at += 1;
            } else {
                let mut rest = false;
                while self.next_element(&mut rest)? {
                    self.skip_value()?;
                }
            }
            levels.push(Level { price, qty });
        }
        Ok(())
    }

    /// Steps over a value of any kind.
    #[inline]
    pub fn skip_value(&mut self) -> Result<(), ScanError> {
        match self.peek_raw() {
            Some(b'"') => self.skip_string(),
            Some(b'1'..=b'9') => self.skip_number(),
            _ => self.skip_nested(0),
        }
    }

    fn skip_nested(&mut self, depth: u32) -> Result<(), ScanError> {
        if depth > DEPTH_MAX {
            return Err(self.error(ScanErrorKind::TooDeep));
        }
        match self.peek()? {
            b'"' => self.skip_string(),
            b'{' => {
                self.at += 1;
                let mut first = true;
                while self.step(&mut first, b'}')? {
                    self.peek()?;
                    self.skip_string()?;
                    self.take(b':', "a colon")?;
                    self.skip_nested(depth + 1)?;
                }
                Ok(())
            }
            b'[' => {
                self.at += 1;
                let mut first = true;
                while self.step(&mut first, b']')? {
                    self.skip_nested(depth + 1)?;
                }
                Ok(())
            }
            b't' => self.literal(b"true"),
            b'f' => self.literal(b"false"),
            b'n' => self.literal(b"null"),
            _ => self.skip_number(),
        }
    }

    fn skip_string(&mut self) -> Result<(), ScanError> {
        self.take(b'"', "a string")?;
        self.skip_plain();
        loop {
            match self.peek_raw() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.skip_escape()?,
                Some(0x20..) => self.at += 1,
                Some(_) => return Err(self.expected("no control character")),
                None => return Err(self.error(ScanErrorKind::Truncated)),
            }
        }
    }

    fn skip_escape(&mut self) -> Result<(), ScanError> {
        self.at += 1;
        let digits = match self.peek_raw() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 0,
            Some(b'u') => 4,
            _ => return Err(self.expected("an escape")),
        };
        self.at += 1;
        for _ in 0..digits {
            if !self.peek_raw().is_some_and(|byte| byte.is_ascii_hexdigit()) {
                return Err(self.expected("a hexadecimal digit"));
            }
            self.at += 1;
        }
        Ok(())
    }

    #[inline]
    fn skip_number(&mut self) -> Result<(), ScanError> {
        if let Some(length) = self.plain_integer().map(|(_, length)| length) {
            self.at += length;
            return Ok(());
        }
        self.skip_number_slowly()
    }

    /// An integer of at most 15 digits and its length, where no fraction and no exponent follow.
    #[inline]
    fn plain_integer(&self) -> Option<(u64, usize)> {
        let (value, length) = swar::integer::<Common>(&swar::load(self.bytes, self.at)?)?;
        let next = self.bytes.get(self.at + length);
        (!matches!(next, Some(b'.' | b'e' | b'E'))).then_some((value, length))
    }

    /// Any number, digit by digit.
    #[cold]
    fn skip_number_slowly(&mut self) -> Result<(), ScanError> {
        if self.peek_raw() == Some(b'-') {
            self.at += 1;
        }
        if self.peek_raw() == Some(b'0') {
            self.at += 1;
        } else {
            self.skip_digits()?;
        }
        if self.peek_raw() == Some(b'.') {
            self.at += 1;
            self.skip_digits()?;
        }
        if let Some(b'e' | b'E') = self.peek_raw() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek_raw() {
                self.at += 1;
            }
            self.skip_digits()?;
        }
        Ok(())
    }

    fn skip_digits(&mut self) -> Result<(), ScanError> {
        let start = self.at;
        while self.peek_raw().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start {
            Err(self.expected("a digit"))
        } else {
            Ok(())
        }
    }
}

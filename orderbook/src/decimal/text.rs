//! [`Text`]: a decimal written into a buffer on the stack, for order messages and `Display`.

use std::fmt;

/// Sign, 39 digits of an `i128` and the point, with the zero before a leading point.
const LEN_MAX: usize = 42;

/// A decimal as text, in place. ASCII only.
#[derive(Clone, Copy)]
pub struct Text {
    bytes: [u8; LEN_MAX],
    /// Written from the end: the text is `bytes[start..]`.
    start: u8,
}

impl Text {
    pub(crate) fn new(mantissa: i128, scale: u8) -> Self {
        let mut text = Self {
            bytes: [b'0'; LEN_MAX],
            start: LEN_MAX as u8,
        };
        let mut rest = mantissa.unsigned_abs();
        let mut written = 0;
        // At least one digit stands before the point, so small values are padded with zeros.
        let mut put = |digit: u8| {
            text.push_front(b'0' + digit);
            written += 1;
            if written == scale {
                text.push_front(b'.');
            }
            written <= scale
        };
        while rest > u128::from(u64::MAX) {
            put((rest % 10) as u8);
            rest /= 10;
        }
        // Most numbers are of 64 bits, which are divided by a multiplication.
        let mut rest = rest as u64;
        while put((rest % 10) as u8) || rest > 9 {
            rest /= 10;
        }
        if mantissa < 0 {
            text.push_front(b'-');
        }
        text
    }

    /// The text's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes
            .get(usize::from(self.start)..)
            .unwrap_or_default()
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    fn push_front(&mut self, byte: u8) {
        self.start -= 1;
        self.bytes[usize::from(self.start)] = byte;
    }
}

impl fmt::Display for Text {
    /// Honours width, fill and sign; a precision is ignored, because it would hide digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.as_str();
        match text.strip_prefix('-') {
            Some(digits) => f.pad_integral(false, "", digits),
            None => f.pad_integral(true, "", text),
        }
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

//! Texts of requests, piece by piece: formatting takes longer than all else that an order needs, and its
//! code has left the processor's caches by the time that an order is written.

use tickwire_orderbook::{Price, Qty};

/// A part of a request's text.
pub(crate) trait Piece {
    /// Appends it.
    fn put(self, to: &mut Vec<u8>);
}

/// As it is: nothing is escaped.
impl Piece for &str {
    #[inline(always)]
    fn put(self, to: &mut Vec<u8>) {
        to.extend_from_slice(self.as_bytes());
    }
}

impl Piece for u64 {
    fn put(mut self, to: &mut Vec<u8>) {
        // 2^64 has 20 digits.
        let mut digits = [0; 20];
        let mut start = digits.len();
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (self % 10) as u8;
            start -= 1;
            self /= 10;
            if self == 0 {
                break;
            }
        }
        to.extend_from_slice(digits.get(start..).unwrap_or_default());
    }
}

impl Piece for u32 {
    #[inline]
    fn put(self, to: &mut Vec<u8>) {
        u64::from(self).put(to);
    }
}

impl Piece for i64 {
    #[inline]
    fn put(self, to: &mut Vec<u8>) {
        if self < 0 {
            to.push(b'-');
        }
        self.unsigned_abs().put(to);
    }
}

/// In full, without an exponent.
impl Piece for Price {
    #[inline]
    fn put(self, to: &mut Vec<u8>) {
        to.extend_from_slice(self.plain().as_bytes());
    }
}

/// In full, without an exponent.
impl Piece for Qty {
    #[inline]
    fn put(self, to: &mut Vec<u8>) {
        to.extend_from_slice(self.plain().as_bytes());
    }
}

/// Appends pieces to a request's text.
macro_rules! put {
    ($to:expr, $($piece:expr),+ $(,)?) => {
        $($crate::trading::text::Piece::put($piece, $to);)+
    };
}

pub(crate) use put;

#[cfg(test)]
mod tests {
    use super::*;
    use tickwire_orderbook::Scale;

    #[test]
    fn pieces_are_what_formatting_makes_of_them() {
        for number in [0, 1, 9, 10, 99, 100, 1_700_000_040_000, i64::MAX] {
            for number in [number, -number] {
                let (mut text, mut formatted) = (Vec::new(), String::new());
                put!(&mut text, "\"", number, "\"");
                formatted.push_str(&format!("\"{number}\""));
                assert_eq!(text, formatted.as_bytes());
            }
        }
        let mut text = Vec::new();
        put!(&mut text, i64::MIN, " ", u64::MAX, " ", u32::MAX);
        let formatted = format!("{} {} {}", i64::MIN, u64::MAX, u32::MAX);
        assert_eq!(text, formatted.as_bytes());
        text.clear();
        let (price, qty) = (Price::new(-5, Scale::of(2)), Qty::new(1_200, Scale::of(2)));
        put!(&mut text, price, " ", qty);
        assert_eq!(
            text,
            format!("{} {}", price.plain(), qty.plain()).as_bytes()
        );
    }
}

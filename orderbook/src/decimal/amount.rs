//! [`Amount`]: wide exact decimals for sums and products.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use super::{DecimalError, Price, Qty, Scale, Text, parse};

/// An exact volume, notional, fee or balance: an `i128` mantissa with a scale of 0 to 38.
#[derive(Clone, Copy, Default)]
pub struct Amount {
    mantissa: i128,
    scale: u8,
}

impl Amount {
    /// The largest scale: 10^38 is the largest power of ten that an `i128` holds.
    pub const SCALE_MAX: u8 = 38;

    /// Zero, at scale 0.
    pub const ZERO: Self = Self {
        mantissa: 0,
        scale: 0,
    };

    /// The value `mantissa / 10^scale`; `None` above scale 38.
    pub const fn new(mantissa: i128, scale: u8) -> Option<Self> {
        if scale <= Self::SCALE_MAX {
            Some(Self { mantissa, scale })
        } else {
            None
        }
    }

    pub(super) const fn from_parts(mantissa: i128, scale: Scale) -> Self {
        Self {
            mantissa,
            scale: scale.get(),
        }
    }

    /// Price times quantity, exactly. It always fits: 126 bits and 36 digits.
    pub const fn notional(price: Price, qty: Qty) -> Self {
        Self {
            mantissa: price.mantissa() as i128 * qty.mantissa() as i128,
            scale: price.scale().get() + qty.scale().get(),
        }
    }

    /// The digits as an integer.
    pub const fn mantissa(self) -> i128 {
        self.mantissa
    }

    /// How many of the mantissa's digits stand behind the point.
    pub const fn scale(self) -> u8 {
        self.scale
    }

    /// Reads a JSON number or plain decimal text, exactly, like [`Price::parse`].
    pub fn parse(text: &[u8]) -> Result<Self, DecimalError> {
        let (mantissa, scale) = parse::natural_i128(text, Self::SCALE_MAX)?;
        Ok(Self { mantissa, scale })
    }

    /// The same value at the smallest scale that holds it.
    pub fn normalized(self) -> Self {
        let Self {
            mut mantissa,
            mut scale,
        } = self;
        while scale > 0 && mantissa % 10 == 0 {
            mantissa /= 10;
            scale -= 1;
        }
        Self { mantissa, scale }
    }

    /// Text with exactly `scale` digits behind the point, without allocation.
    pub fn text(self) -> Text {
        Text::new(self.mantissa, self.scale)
    }

    /// Text without trailing zeros, without allocation.
    pub fn plain(self) -> Text {
        self.normalized().text()
    }

    /// The nearest `f64`. **Inexact**, see [`Price::to_f64`].
    pub fn to_f64(self) -> f64 {
        self.mantissa as f64 / pow10(self.scale) as f64
    }

    /// Whether the value is zero.
    pub const fn is_zero(self) -> bool {
        self.mantissa == 0
    }

    /// The exact sum; `None` when no scale has room for it.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.combine(other, i128::checked_add)
    }

    /// The exact difference; `None` when no scale has room for it.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.combine(other, i128::checked_sub)
    }

    fn combine(self, other: Self, op: fn(i128, i128) -> Option<i128>) -> Option<Self> {
        let at_larger_scale = |left: Self, right: Self| {
            let scale = left.scale.max(right.scale);
            let left = left.mantissa.checked_mul(pow10(scale - left.scale))?;
            let right = right.mantissa.checked_mul(pow10(scale - right.scale))?;
            Some(Self {
                mantissa: op(left, right)?,
                scale,
            })
        };
        // Trailing zeros may be all that overflows.
        at_larger_scale(self, other)
            .or_else(|| at_larger_scale(self.normalized(), other.normalized()))
    }
}

/// At most 10^38, which fits.
fn pow10(digits: u8) -> i128 {
    10i128.pow(u32::from(digits.min(Amount::SCALE_MAX)))
}

impl PartialEq for Amount {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Amount {}

impl PartialOrd for Amount {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Amount {
    fn cmp(&self, other: &Self) -> Ordering {
        if self.scale > other.scale {
            return other.cmp(self).reverse();
        }
        match self.mantissa.checked_mul(pow10(other.scale - self.scale)) {
            Some(mantissa) => mantissa.cmp(&other.mantissa),
            // Too large for an i128 is larger than any i128: the sign alone decides.
            None => self.mantissa.cmp(&0),
        }
    }
}

impl Hash for Amount {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self { mantissa, scale } = self.normalized();
        (mantissa, scale).hash(state);
    }
}

impl FromStr for Amount {
    type Err = DecimalError;

    fn from_str(text: &str) -> Result<Self, DecimalError> {
        Self::parse(text.as_bytes())
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.text(), f)
    }
}

impl fmt::Debug for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Amount({})", self.text())
    }
}

//! Exact decimals: a mantissa with its scale, never a rounding.
//!
//! [`Price`] and [`Qty`] are an `i64` mantissa, [`Amount`] (volumes, notional, fees, balances) is
//! an `i128`. `1.50` and `1.5` differ in scale and are equal, order equal and hash equal. The hot
//! path uses [`mantissa_at`] and bare mantissas; these types stand where the scale has to travel
//! along.

mod amount;
mod parse;
mod scale;
mod text;

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

pub use amount::Amount;
pub use parse::{DecimalError, json_mantissa_at, mantissa_at, required_scale};
pub use scale::Scale;
pub use text::Text;

/// `Price` and `Qty` differ in name only; what they can do stands here once.
macro_rules! decimal {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default)]
        pub struct $name {
            mantissa: i64,
            scale: Scale,
        }

        impl $name {
            /// Zero, at scale 0.
            pub const ZERO: Self = Self::new(0, Scale::of(0));

            /// The value `mantissa / 10^scale`.
            pub const fn new(mantissa: i64, scale: Scale) -> Self {
                Self { mantissa, scale }
            }

            /// The digits as an integer: `1.50` is 150 at scale 2.
            pub const fn mantissa(self) -> i64 {
                self.mantissa
            }

            /// How many of the mantissa's digits stand behind the point.
            pub const fn scale(self) -> Scale {
                self.scale
            }

            /// Reads a JSON number or plain decimal text, exactly, at the scale that it is written
            /// with: `1.50` has scale 2, `1e-5` scale 5, `2e3` scale 0. Trailing zeros are kept as
            /// far as 18 digits and an `i64` have room for them.
            pub fn parse(text: &[u8]) -> Result<Self, DecimalError> {
                let (mantissa, scale) = parse::natural_i64(text)?;
                Ok(Self { mantissa, scale })
            }

            /// The same value at another scale, or an error: `ExcessDigits` when digits would be
            /// lost, `Overflow` when the mantissa has no room.
            pub fn rescale(self, scale: Scale) -> Result<Self, DecimalError> {
                let mantissa = rescale(self.mantissa, self.scale, scale)?;
                Ok(Self { mantissa, scale })
            }

            /// The same value at the smallest scale that holds it.
            pub fn normalized(self) -> Self {
                let (mut mantissa, mut scale) = (self.mantissa, self.scale.get());
                while scale > 0 && mantissa % 10 == 0 {
                    mantissa /= 10;
                    scale -= 1;
                }
                Self { mantissa, scale: Scale::at_most(scale) }
            }

            /// Text with exactly `scale` digits behind the point, without allocation.
            pub fn text(self) -> Text {
                Text::new(i128::from(self.mantissa), self.scale.get())
            }

            /// Text without trailing zeros: what venues accept in orders. No allocation.
            pub fn plain(self) -> Text {
                self.normalized().text()
            }

            /// The nearest `f64`, for charts and models. **Inexact**: 0.1 has no binary fraction;
            /// beyond 2^53 the mantissa itself is rounded.
            pub fn to_f64(self) -> f64 {
                self.mantissa as f64 / self.scale.pow10() as f64
            }

            /// Whether the value is zero.
            pub const fn is_zero(self) -> bool {
                self.mantissa == 0
            }

            /// The exact sum at the larger of both scales; `None` on overflow.
            pub fn checked_add(self, other: Self) -> Option<Self> {
                self.combine(other, i128::checked_add)
            }

            /// The exact difference at the larger of both scales; `None` on overflow.
            pub fn checked_sub(self, other: Self) -> Option<Self> {
                self.combine(other, i128::checked_sub)
            }

            /// Whether this is a whole number of steps, exactly: the tick and lot checks. A step of
            /// zero allows everything, as venues write a rule that is off.
            pub fn is_multiple_of(self, step: Self) -> bool {
                let (value, step, _) =
                    aligned((self.mantissa, self.scale), (step.mantissa, step.scale));
                match (i64::try_from(value), i64::try_from(step)) {
                    // A step of zero has no rest, nor has the least of all by -1.
                    (Ok(value), Ok(step)) => value.checked_rem(step).is_none_or(|rest| rest == 0),
                    _ => step == 0 || value % step == 0,
                }
            }

            fn combine(self, other: Self, op: fn(i128, i128) -> Option<i128>) -> Option<Self> {
                let (left, right, scale) =
                    aligned((self.mantissa, self.scale), (other.mantissa, other.scale));
                let mantissa = i64::try_from(op(left, right)?).ok()?;
                Some(Self { mantissa, scale })
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.cmp(other) == Ordering::Equal
            }
        }

        impl Eq for $name {}

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl Ord for $name {
            fn cmp(&self, other: &Self) -> Ordering {
                if self.scale == other.scale {
                    return self.mantissa.cmp(&other.mantissa);
                }
                let (left, right, _) =
                    aligned((self.mantissa, self.scale), (other.mantissa, other.scale));
                left.cmp(&right)
            }
        }

        impl Hash for $name {
            fn hash<H: Hasher>(&self, state: &mut H) {
                let Self { mantissa, scale } = self.normalized();
                (mantissa, scale).hash(state);
            }
        }

        impl FromStr for $name {
            type Err = DecimalError;

            fn from_str(text: &str) -> Result<Self, DecimalError> {
                Self::parse(text.as_bytes())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.text(), f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.text())
            }
        }

        impl From<$name> for Amount {
            fn from(value: $name) -> Self {
                Amount::from_parts(i128::from(value.mantissa), value.scale)
            }
        }
    };
}

decimal! {
    /// An exact price. Some venues have negative ones (option spreads), so every sign is legal.
    Price
}
decimal! {
    /// An exact quantity. Whether a negative one makes sense is for the place that uses it to say.
    Qty
}

/// Both mantissas at the larger of the two scales. `i64 * 10^18` always fits an `i128`.
fn aligned(left: (i64, Scale), right: (i64, Scale)) -> (i128, i128, Scale) {
    let scale = left.1.max(right.1);
    let at = |(mantissa, own): (i64, Scale)| {
        let missing = Scale::at_most(scale.get() - own.get());
        i128::from(mantissa) * i128::from(missing.pow10())
    };
    (at(left), at(right), scale)
}

fn rescale(mantissa: i64, from: Scale, to: Scale) -> Result<i64, DecimalError> {
    if to >= from {
        let factor = Scale::at_most(to.get() - from.get()).pow10();
        return mantissa.checked_mul(factor).ok_or(DecimalError::Overflow);
    }
    let divisor = Scale::at_most(from.get() - to.get()).pow10();
    if mantissa % divisor != 0 {
        return Err(DecimalError::ExcessDigits);
    }
    Ok(mantissa / divisor)
}

#[cfg(test)]
mod tests;

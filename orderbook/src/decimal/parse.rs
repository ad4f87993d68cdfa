//! Decimal text to mantissas: the hot [`mantissa_at`], and the exact reader of JSON numbers.

use super::Scale;

/// Why a text is not the decimal that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// No text at all.
    #[error("empty decimal")]
    Empty,
    /// Not a decimal; `at` is the index of the first byte that does not fit (the length when the
    /// text ends too early).
    #[error("malformed decimal at byte {at}")]
    Malformed {
        /// Index of the offending byte.
        at: usize,
    },
    /// More significant digits behind the point than the scale holds. Widen the scale; never round.
    #[error("more significant fractional digits than the scale holds")]
    ExcessDigits,
    /// The value has no room in the mantissa at this scale.
    #[error("decimal overflows its mantissa")]
    Overflow,
}

/// Plain decimal text (`-?[0-9]+(\.[0-9]+)?`) to the mantissa at `scale`, in one pass.
///
/// Zeros beyond the scale are legal, other digits there are `ExcessDigits`. Malformed text is said
/// to be malformed even where it also overflows, and `Overflow` goes before `ExcessDigits`, which a
/// wider scale could not cure. Exponents are malformed here: see [`json_mantissa_at`].
pub fn mantissa_at(text: &[u8], scale: Scale) -> Result<i64, DecimalError> {
    let (negative, digits) = match text {
        [] => return Err(DecimalError::Empty),
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let sign_len = usize::from(negative);
    let mut magnitude = 0u64;
    let mut overflow = false;
    let mut push = |magnitude: u64, digit: u8| {
        overflow |= magnitude > (u64::MAX - 9) / 10;
        magnitude.wrapping_mul(10).wrapping_add(u64::from(digit))
    };
    let mut bytes = digits.iter().enumerate();
    let mut point = None;
    for (index, byte) in bytes.by_ref() {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            point = Some((index, *byte));
            break;
        }
        magnitude = push(magnitude, digit);
    }
    let mut missing = scale.get();
    let mut excess = false;
    match point {
        None if digits.is_empty() => return Err(DecimalError::Malformed { at: sign_len }),
        None => {}
        Some((index, b'.')) if index > 0 && index + 1 < digits.len() => {
            for (index, byte) in bytes {
                let digit = byte.wrapping_sub(b'0');
                if digit > 9 {
                    return Err(DecimalError::Malformed {
                        at: sign_len + index,
                    });
                }
                if missing > 0 {
                    magnitude = push(magnitude, digit);
                    missing -= 1;
                } else {
                    excess |= digit != 0;
                }
            }
        }
        // "5." ends too early: what is missing is the digit after the point.
        Some((index, b'.')) if index > 0 => {
            return Err(DecimalError::Malformed {
                at: sign_len + index + 1,
            });
        }
        Some((index, _)) => {
            return Err(DecimalError::Malformed {
                at: sign_len + index,
            });
        }
    }
    let factor = Scale::at_most(missing).pow10().unsigned_abs();
    let magnitude = magnitude.checked_mul(factor).filter(|_| !overflow);
    let mantissa = magnitude.and_then(|magnitude| signed_i64(negative, magnitude));
    match mantissa {
        None => Err(DecimalError::Overflow),
        Some(_) if excess => Err(DecimalError::ExcessDigits),
        Some(mantissa) => Ok(mantissa),
    }
}

/// [`mantissa_at`] for venues that send bare JSON numbers: takes exponents (`1e-5`) as well, at the
/// price of a second, slower pass over those that have one.
pub fn json_mantissa_at(text: &[u8], scale: Scale) -> Result<i64, DecimalError> {
    match mantissa_at(text, scale) {
        Err(DecimalError::Malformed { at }) if matches!(text.get(at), Some(b'e' | b'E')) => {
            let number = Number::scan(text)?;
            let magnitude = number.magnitude_at(scale.get(), i64_limit(number.negative))?;
            let magnitude = u64::try_from(magnitude).map_err(|_| DecimalError::Overflow)?;
            signed_i64(number.negative, magnitude).ok_or(DecimalError::Overflow)
        }
        other => other,
    }
}

/// The smallest scale that holds this text exactly: its digits behind the point without trailing
/// zeros. Takes exponents. `ExcessDigits` above 18, where no scale does.
pub fn required_scale(text: &[u8]) -> Result<Scale, DecimalError> {
    let required = Number::scan(text)?.required.max(0);
    u8::try_from(required)
        .ok()
        .and_then(Scale::new)
        .ok_or(DecimalError::ExcessDigits)
}

pub(super) fn natural_i64(text: &[u8]) -> Result<(i64, Scale), DecimalError> {
    let number = Number::scan(text)?;
    let (magnitude, scale) = number.natural(Scale::MAX.get(), i64_limit(number.negative))?;
    let magnitude = u64::try_from(magnitude).map_err(|_| DecimalError::Overflow)?;
    let mantissa = signed_i64(number.negative, magnitude).ok_or(DecimalError::Overflow)?;
    Ok((mantissa, Scale::at_most(scale)))
}

pub(super) fn natural_i128(text: &[u8], scale_max: u8) -> Result<(i128, u8), DecimalError> {
    let number = Number::scan(text)?;
    let limit = i128::MAX.unsigned_abs() + u128::from(number.negative);
    let (magnitude, scale) = number.natural(scale_max, limit)?;
    let mantissa = if number.negative {
        0i128.checked_sub_unsigned(magnitude)
    } else {
        0i128.checked_add_unsigned(magnitude)
    };
    mantissa
        .map(|mantissa| (mantissa, scale))
        .ok_or(DecimalError::Overflow)
}

fn i64_limit(negative: bool) -> u128 {
    u128::from(i64::MAX.unsigned_abs()) + u128::from(negative)
}

fn signed_i64(negative: bool, magnitude: u64) -> Option<i64> {
    if negative {
        0i64.checked_sub_unsigned(magnitude)
    } else {
        i64::try_from(magnitude).ok()
    }
}

/// A JSON number taken apart: the value is `significant / 10^required`.
struct Number {
    negative: bool,
    /// The digits without trailing zeros, or `None` when they overflow.
    significant: Option<u128>,
    /// Digits behind the point without trailing zeros; negative for whole tens.
    required: i64,
    /// Digits behind the point as written, trailing zeros included.
    natural: i64,
}

impl Number {
    fn scan(text: &[u8]) -> Result<Self, DecimalError> {
        let Some(first) = text.first() else {
            return Err(DecimalError::Empty);
        };
        let negative = *first == b'-';
        let mut at = usize::from(negative);
        let mut digits = Digits::default();
        at = digits.take(text, at)?;
        let mut fraction_len = 0;
        if text.get(at) == Some(&b'.') {
            let end = digits.take(text, at + 1)?;
            fraction_len = (end - at - 1) as i64;
            at = end;
        }
        let mut exponent = 0i64;
        if matches!(text.get(at), Some(b'e' | b'E')) {
            let down = text.get(at + 1) == Some(&b'-');
            at += 1 + usize::from(matches!(text.get(at + 1), Some(b'-' | b'+')));
            let start = at;
            while let Some(digit) = digit_at(text, at) {
                exponent = exponent.saturating_mul(10).saturating_add(i64::from(digit));
                at += 1;
            }
            if at == start {
                return Err(DecimalError::Malformed { at });
            }
            exponent = if down { -exponent } else { exponent };
        }
        if at < text.len() {
            return Err(DecimalError::Malformed { at });
        }
        let natural = i64::saturating_sub(fraction_len, exponent);
        let required = match digits.significant {
            Some(0) => 0,
            _ => natural.saturating_sub(digits.zeros),
        };
        Ok(Self {
            negative,
            significant: digits.significant,
            required,
            natural,
        })
    }

    /// The magnitude at one scale.
    fn magnitude_at(&self, scale: u8, limit: u128) -> Result<u128, DecimalError> {
        let significant = self.significant.ok_or(DecimalError::Overflow)?;
        if self.required > i64::from(scale) {
            return Err(DecimalError::ExcessDigits);
        }
        if significant == 0 {
            return Ok(0);
        }
        u32::try_from(i64::from(scale).saturating_sub(self.required))
            .ok()
            .and_then(|zeros| 10u128.checked_pow(zeros))
            .and_then(|factor| significant.checked_mul(factor))
            .filter(|magnitude| *magnitude <= limit)
            .ok_or(DecimalError::Overflow)
    }

    /// The magnitude at the scale as written, or at the largest one below that has room.
    fn natural(&self, scale_max: u8, limit: u128) -> Result<(u128, u8), DecimalError> {
        if self.required > i64::from(scale_max) {
            return Err(DecimalError::ExcessDigits);
        }
        let clamped = |digits: i64| digits.clamp(0, i64::from(scale_max)) as u8;
        let (least, wanted) = (clamped(self.required), clamped(self.natural));
        (least..=wanted)
            .rev()
            .find_map(|scale| Some((self.magnitude_at(scale, limit).ok()?, scale)))
            .ok_or(DecimalError::Overflow)
    }
}

/// Collects digits, holding trailing zeros back so that they never overflow anything.
struct Digits {
    significant: Option<u128>,
    zeros: i64,
}

impl Default for Digits {
    fn default() -> Self {
        Self {
            significant: Some(0),
            zeros: 0,
        }
    }
}

impl Digits {
    /// Takes one or more digits from `at` and returns where they end.
    fn take(&mut self, text: &[u8], mut at: usize) -> Result<usize, DecimalError> {
        let start = at;
        while let Some(digit) = digit_at(text, at) {
            self.push(digit);
            at += 1;
        }
        if at == start {
            Err(DecimalError::Malformed { at })
        } else {
            Ok(at)
        }
    }

    fn push(&mut self, digit: u8) {
        if digit == 0 {
            self.zeros += 1;
            return;
        }
        let zeros = u32::try_from(self.zeros).ok();
        let factor = zeros.and_then(|zeros| 10u128.checked_pow(zeros.checked_add(1)?));
        self.significant = match (self.significant, factor) {
            (Some(0), _) => Some(u128::from(digit)),
            (Some(significant), Some(factor)) => significant
                .checked_mul(factor)
                .and_then(|shifted| shifted.checked_add(u128::from(digit))),
            _ => None,
        };
        self.zeros = 0;
    }
}

fn digit_at(text: &[u8], at: usize) -> Option<u8> {
    text.get(at)
        .map(|byte| byte.wrapping_sub(b'0'))
        .filter(|digit| *digit <= 9)
}

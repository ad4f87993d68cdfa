//! Exact amounts of money: integers, never a float.

use std::iter::Sum;
use std::ops::{Add, AddAssign, Neg, Sub, SubAssign};

use crate::num::{NumFmt, push_decimal};

/// Digits of an [`Amount`] after the point: more than any venue here books (ten at most), and few
/// enough that a balance of 10^12 times a quantity of 10^12 lots still fits 128 bits.
pub(crate) const AMOUNT_DECIMALS: u8 = 12;

/// An amount of one asset, in units of 10^-12.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Amount(pub(crate) i128);

impl Amount {
    pub(crate) const ZERO: Self = Self(0);

    /// `mantissa / 10^decimals`; digits beyond the twelfth are cut off.
    pub(crate) fn scaled(mantissa: i128, decimals: u8) -> Self {
        if decimals <= AMOUNT_DECIMALS {
            Self(mantissa * pow10(AMOUNT_DECIMALS - decimals))
        } else {
            Self(mantissa / pow10(decimals - AMOUNT_DECIMALS))
        }
    }

    /// The amount that a decimal text stands for; `None` if it is none or has too many digits.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (mantissa, decimals) = parse_decimal(text)?;
        (decimals <= AMOUNT_DECIMALS).then(|| Self::scaled(mantissa, decimals))
    }

    /// The same without what lies beyond so many digits (towards zero).
    pub(crate) fn cut(self, decimals: u8) -> Self {
        let unit = pow10(AMOUNT_DECIMALS.saturating_sub(decimals));
        Self(self.0 / unit * unit)
    }

    /// So many millionths of it, cut to so many digits.
    pub(crate) fn ppm(self, ppm: i64, decimals: u8) -> Self {
        Self(self.0 * i128::from(ppm) / 1_000_000).cut(decimals)
    }

    pub(crate) const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Decimal text without trailing zeros.
    pub(crate) fn text(self) -> String {
        decimal(self.0, AMOUNT_DECIMALS, true)
    }

    /// Decimal text with exactly so many digits; the amount has no more.
    pub(crate) fn fixed(self, decimals: u8) -> String {
        let unit = pow10(AMOUNT_DECIMALS.saturating_sub(decimals));
        decimal(self.0 / unit, decimals.min(AMOUNT_DECIMALS), false)
    }
}

impl Add for Amount {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl Sub for Amount {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

impl Neg for Amount {
    type Output = Self;
    fn neg(self) -> Self {
        Self(-self.0)
    }
}

impl AddAssign for Amount {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

impl SubAssign for Amount {
    fn sub_assign(&mut self, other: Self) {
        self.0 -= other.0;
    }
}

impl Sum for Amount {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::ZERO, Add::add)
    }
}

/// Decimal text of `mantissa / 10^decimals`.
pub(crate) fn decimal(mantissa: i128, decimals: u8, trim: bool) -> String {
    let mut out = Vec::new();
    push_decimal(&mut out, mantissa, decimals, trim);
    String::from_utf8(out).unwrap_or_default()
}

/// `10^n` as a factor of amounts.
pub(crate) const fn pow10(n: u8) -> i128 {
    10i128.pow(n as u32)
}

/// Longest number that is read: no venue's price or quantity has more characters.
const TEXT_MAX: usize = 40;

/// Mantissa and digits of a plain decimal (`-12.50`): trailing zeros are dropped first.
pub(crate) fn parse_decimal(text: &str) -> Option<(i128, u8)> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if digits.len() > TEXT_MAX || whole.is_empty() || !plain(whole) || !plain(fraction) {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    let mantissa = format!("{whole}{fraction}").parse::<i128>().ok()?;
    let decimals = u8::try_from(fraction.len()).ok()?;
    // So that scaling it to an amount cannot overflow.
    (mantissa < pow10(25)).then_some((if negative { -mantissa } else { mantissa }, decimals))
}

/// Why a text is not a number of whole ticks or lots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotUnits {
    /// It is no plain decimal number.
    Malformed,
    /// It has more digits after the point than the venue prints.
    Precision,
    /// It is no multiple of the step.
    Step,
}

/// The ticks or lots that a decimal text stands for.
pub(crate) fn parse_units(text: &str, fmt: NumFmt) -> Result<i64, NotUnits> {
    let (mantissa, decimals) = parse_decimal(text).ok_or(NotUnits::Malformed)?;
    if decimals > fmt.decimals {
        return Err(NotUnits::Precision);
    }
    let mantissa = mantissa * pow10(fmt.decimals - decimals);
    let mantissa = i64::try_from(mantissa).map_err(|_| NotUnits::Malformed)?;
    let step = fmt.mult.max(1);
    if mantissa % step != 0 {
        return Err(NotUnits::Step);
    }
    Ok(mantissa / step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_and_printed_exactly() {
        for (text, printed) in [
            ("0.1", "0.1"),
            ("100000.00", "100000"),
            ("-3.5", "-3.5"),
            ("0.000000000001", "0.000000000001"),
        ] {
            assert_eq!(
                Amount::parse(text).map(Amount::text).as_deref(),
                Some(printed)
            );
        }
        for bad in [
            "",
            ".",
            "1e5",
            "1.",
            "--1",
            "+1",
            "0.0000000000001",
            "NaN",
            "1.2.3",
        ] {
            // "1." is a plain number with an empty fraction, as the venues read it.
            let wanted = (bad == "1.").then_some(Amount::scaled(1, 0));
            assert_eq!(Amount::parse(bad), wanted, "{bad:?}");
        }
        assert_eq!(Amount::scaled(123_456_789, 8).cut(4).fixed(8), "1.23450000");
        assert_eq!(Amount::scaled(-123_456_789, 8).cut(4).text(), "-1.2345");
        assert_eq!(Amount::scaled(10, 0).ppm(550, 8).text(), "0.0055");
    }

    #[test]
    fn prices_are_whole_ticks_or_say_why_not() {
        let fmt = NumFmt {
            mult: 1_000_000,
            decimals: 8,
            trim: false,
        };
        assert_eq!(parse_units("61837.63", fmt), Ok(6_183_763));
        assert_eq!(parse_units("61837.63000000", fmt), Ok(6_183_763));
        assert_eq!(parse_units("61837.635", fmt), Err(NotUnits::Step));
        assert_eq!(
            parse_units("61837.000000001", fmt),
            Err(NotUnits::Precision)
        );
        assert_eq!(parse_units("six", fmt), Err(NotUnits::Malformed));
        assert_eq!(
            parse_units("99999999999999999999", fmt),
            Err(NotUnits::Malformed)
        );
    }
}

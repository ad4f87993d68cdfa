//! Decimal and integer text written straight into a byte buffer: the emission path formats
//! hundreds of thousands of numbers a second, so nothing here allocates or goes through `fmt`.

/// How a venue prints one kind of number (prices or quantities of one instrument).
///
/// A book counts whole ticks and lots; `mult` turns them into a decimal mantissa with `decimals`
/// digits after the point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NumFmt {
    /// Mantissa of one tick or lot, at `decimals` digits.
    pub(crate) mult: i64,
    /// Digits after the decimal point.
    pub(crate) decimals: u8,
    /// Drop trailing zeros, and the point with them (Bybit spot and klines print so).
    pub(crate) trim: bool,
}

impl NumFmt {
    /// The mantissa of `units` ticks or lots.
    #[must_use]
    pub(crate) const fn mantissa(&self, units: i64) -> i64 {
        units * self.mult
    }

    /// Appends `units` ticks or lots as decimal text.
    pub(crate) fn push(&self, out: &mut Vec<u8>, units: i64) {
        push_decimal(
            out,
            i128::from(self.mantissa(units)),
            self.decimals,
            self.trim,
        );
    }

    /// The same number without trailing zeros.
    #[must_use]
    pub(crate) const fn trimmed(self) -> Self {
        Self { trim: true, ..self }
    }
}

/// Appends a signed integer.
pub(crate) fn push_i64(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    push_u64(out, value.unsigned_abs());
}

/// Appends an unsigned integer.
pub(crate) fn push_u64(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends `mantissa / 10^decimals` with exactly `decimals` digits, or without trailing zeros.
pub(crate) fn push_decimal(out: &mut Vec<u8>, mantissa: i128, decimals: u8, trim: bool) {
    let mut digits = [b'0'; 48];
    let mut at = digits.len();
    let mut rest = mantissa.unsigned_abs();
    // The 64-bit division is several times cheaper and nearly always enough.
    while rest > u128::from(u64::MAX) {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    let mut low = rest as u64;
    while low > 0 {
        at -= 1;
        digits[at] = b'0' + (low % 10) as u8;
        low /= 10;
    }
    let point = digits.len() - usize::from(decimals);
    // At least one digit stands before the point; the array is pre-filled with zeros.
    at = at.min(point - 1);
    let mut end = digits.len();
    if trim {
        while end > point && digits[end - 1] == b'0' {
            end -= 1;
        }
    }
    if mantissa < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..point]);
    if end > point {
        out.push(b'.');
        out.extend_from_slice(&digits[point..end]);
    }
}

/// `10^n` for the scales used here.
#[must_use]
pub(crate) const fn pow10(n: u8) -> i64 {
    10i64.pow(n as u32)
}

/// Milliseconds of a time in nanoseconds: the unit of nearly every venue field.
#[must_use]
pub(crate) const fn ms(ns: i64) -> i64 {
    ns / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(mantissa: i128, decimals: u8, trim: bool) -> String {
        let mut out = Vec::new();
        push_decimal(&mut out, mantissa, decimals, trim);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn decimals_print_as_venues_print_them() {
        assert_eq!(text(6_183_763_000_000, 8, false), "61837.63000000");
        assert_eq!(text(5, 8, false), "0.00000005");
        assert_eq!(text(0, 3, false), "0.000");
        assert_eq!(text(0, 3, true), "0");
        assert_eq!(text(651_400, 1, true), "65140");
        assert_eq!(text(651_404, 1, true), "65140.4");
        assert_eq!(text(-131_400, 3, false), "-131.400");
        assert_eq!(text(17, 0, true), "17");
        assert_eq!(
            text(i128::from(u64::MAX) * 1000, 3, true),
            u64::MAX.to_string()
        );
    }

    #[test]
    fn integers_print_at_both_ends() {
        let mut out = Vec::new();
        push_i64(&mut out, i64::MIN);
        out.push(b' ');
        push_u64(&mut out, u64::MAX);
        assert_eq!(out, format!("{} {}", i64::MIN, u64::MAX).into_bytes());
    }
}

//! Spans of time and sizes as a script writes them.

use std::fmt;

use crate::spec::SECOND_NS;

pub(super) const MS: i64 = 1_000_000;

const UNITS: &[(&str, i64)] = &[
    ("h", 3_600 * SECOND_NS),
    ("m", 60 * SECOND_NS),
    ("s", SECOND_NS),
    ("ms", MS),
    ("us", 1_000),
    ("ns", 1),
];

const SIZES: &[(&str, usize)] = &[("MiB", 1 << 20), ("KiB", 1 << 10), ("", 1)];

/// A span: a whole number with its unit (h, m, s, ms, us, ns), perhaps signed.
pub(super) fn parse_span(text: &str) -> Result<i64, String> {
    let digits = text.trim_start_matches(['+', '-']);
    let unit = digits.trim_start_matches(|c: char| c.is_ascii_digit());
    let number = &text[..text.len() - unit.len()];
    let found = UNITS.iter().find(|(name, _)| *name == unit);
    let span = found.and_then(|(_, ns)| number.parse::<i64>().ok()?.checked_mul(*ns));
    span.ok_or_else(|| format!("{text:?} is not a span like 250ms or 3s"))
}

pub(super) struct Span(pub(super) i64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = UNITS.iter().find(|(_, ns)| self.0 % ns == 0);
        let (unit, ns) = fits.filter(|_| self.0 != 0).unwrap_or(&("s", SECOND_NS));
        write!(f, "{}{unit}", self.0 / ns)
    }
}

pub(super) fn parse_size(text: &str) -> Result<usize, String> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let number = &text[..text.len() - unit.len()];
    let found = SIZES.iter().find(|(name, _)| *name == unit);
    let size = found.and_then(|(_, by)| number.parse::<usize>().ok()?.checked_mul(*by));
    size.ok_or_else(|| format!("{text:?} is not a size like 900 or 16MiB"))
}

pub(super) struct Size(pub(super) usize);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, by) = SIZES
            .iter()
            .find(|(_, by)| self.0 != 0 && self.0.is_multiple_of(*by))
            .unwrap_or(&("", 1));
        write!(f, "{}{unit}", self.0 / by)
    }
}

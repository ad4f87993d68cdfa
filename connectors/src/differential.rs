//! What the scanners' checks against simd-json have in common at every venue. Tests and fuzz targets
//! only.

use crate::scan::{ScanError, ScanErrorKind};

/// Whether a message has one of the few things that the scanners and simd-json are known to take
/// differently: text that is not UTF-8 and surrogates in escapes (which only simd-json checks),
/// numbers that fit neither 64 bits nor a float where nobody reads them (which only simd-json
/// refuses), and `-0` for a number that has no sign (which only simd-json takes).
pub(crate) fn is_known_to_differ(message: &[u8]) -> bool {
    let has = |part: &[u8]| message.windows(part.len()).any(|window| window == part);
    let digits = message.split(|byte| !byte.is_ascii_digit());
    let is_large = digits.map(<[u8]>::len).max() >= Some(20);
    // An exponent of three digits, with or without a sign.
    let has_exponent = message.windows(4).any(|window| {
        matches!(window, [b'e' | b'E', rest @ ..]
            if rest.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'-')))
    });
    core::str::from_utf8(message).is_err() || has(b"\\u") || has(b"-0") || is_large || has_exponent
}

/// Holds what a scanner made of `message` against what simd-json made of it; whether both took it.
///
/// A scanner may leave a message to simd-json ([`ScanErrorKind::Escape`]) and refuses what is nested
/// deeper than any venue nests; otherwise one takes what the other takes, and reads the same.
///
/// # Panics
///
/// Where they differ: that is what it is for.
pub(crate) fn agree<T: PartialEq + core::fmt::Debug>(
    what: &str,
    message: &[u8],
    scanned: &Result<T, ScanError>,
    read: &Result<T, ScanError>,
) -> bool {
    let text = || String::from_utf8_lossy(message);
    let excused = || is_known_to_differ(message);
    match (scanned, read) {
        (Ok(scanned), Ok(read)) => {
            assert_eq!(scanned, read, "{what}: {}", text());
            true
        }
        (Err(error), Ok(_)) => {
            let left = matches!(error.kind, ScanErrorKind::Escape | ScanErrorKind::TooDeep);
            assert!(
                left || excused(),
                "{what}: only simd-json takes {}: {error}",
                text()
            );
            false
        }
        (Ok(_), Err(error)) => {
            assert!(
                excused(),
                "{what}: only the scanner takes {}: {error}",
                text()
            );
            false
        }
        (Err(_), Err(_)) => false,
    }
}

/// The shortest way to write a level, `["0","0"],`: what a list of them may not be longer than.
pub(crate) const LEVEL_BYTES_MIN: usize = 10;

/// The lengths at which a whole message is cut, to see that its parts are no messages: just before
/// its end, and at `at`.
pub(crate) fn cuts(message: &[u8], at: u8) -> impl Iterator<Item = &[u8]> {
    let message = message.trim_ascii_end();
    let last = message.len().saturating_sub(1);
    [last, usize::from(at) % (last + 1)]
        .into_iter()
        .filter_map(|len| message.get(..len))
}

//! Header fields: what may be written into a request, and the list of what came in a response.

use std::fmt;

use super::http_date;

/// Why a piece of a request must not be written: it would change the framing (RFC 9110 §5.5,
/// RFC 9112 §11.1 "response splitting").
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// The host is empty or has a character that a host cannot have.
    #[error("invalid host {0:?}")]
    Host(String),
    /// The target does not begin with `/`, or has a space or a control or non-ASCII character:
    /// percent-encode it first.
    #[error("invalid request target")]
    Target,
    /// The header name is not a token (RFC 9110 §5.6.2).
    #[error("invalid header name {0:?}")]
    Name(String),
    /// The value of this header has a control character: CR, LF, NUL.
    #[error("invalid value of header {0:?}")]
    Value(String),
    /// The header is written by us and cannot be given by the caller.
    #[error("header {0:?} is set by the engine")]
    Reserved(String),
}

/// Checks a header name (RFC 9110 §5.6.2).
pub(crate) fn check_name(name: &str) -> Result<(), FieldError> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !name.is_empty() && name.bytes().all(token) {
        Ok(())
    } else {
        Err(FieldError::Name(name.to_owned()))
    }
}

/// Checks a header value (RFC 9110 §5.5): no control character but the tab.
pub(crate) fn check_value(name: &str, value: &str) -> Result<(), FieldError> {
    if value
        .bytes()
        .all(|byte| byte == b'\t' || (byte >= 0x20 && byte != 0x7F))
    {
        Ok(())
    } else {
        Err(FieldError::Value(name.to_owned()))
    }
}

/// Checks a request target in origin form (RFC 9112 §3.2.1).
pub(crate) fn check_target(target: &str) -> Result<(), FieldError> {
    if target.starts_with('/') && target.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(())
    } else {
        Err(FieldError::Target)
    }
}

/// Checks the value of `Host`: a name or an address, with or without a port.
pub(crate) fn check_authority(authority: &str) -> Result<(), FieldError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:[]%".contains(&byte);
    if !authority.is_empty() && authority.bytes().all(allowed) {
        Ok(())
    } else {
        Err(FieldError::Host(authority.to_owned()))
    }
}

/// Refuses headers that the engine writes itself, then checks name and value.
pub(crate) fn check_headers(headers: &[(&str, &str)], reserved: &[&str]) -> Result<(), FieldError> {
    for &(name, value) in headers {
        check_name(name)?;
        check_value(name, value)?;
        if reserved
            .iter()
            .any(|taken| taken.eq_ignore_ascii_case(name))
        {
            return Err(FieldError::Reserved(name.to_owned()));
        }
    }
    Ok(())
}

/// The value of `Host` (RFC 9110 §7.2): an IPv6 address in brackets, and the port only if it is
/// not the scheme's default.
pub fn authority(host: &str, port: u16, port_default: u16) -> Result<String, FieldError> {
    let bare = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(host);
    // A colon is an IPv6 address or a port in the wrong place: then it is only one of them.
    let is_v6 = bare.bytes().filter(|&byte| byte == b':').count() >= 2
        && bare
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit() || byte == b':' || byte == b'.');
    let is_name = !bare.is_empty()
        && bare.len() == host.len()
        && bare
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
    let mut value = match (is_v6, is_name) {
        (true, _) => format!("[{bare}]"),
        (false, true) => bare.to_owned(),
        (false, false) => return Err(FieldError::Host(host.to_owned())),
    };
    if port != port_default {
        value.push_str(&format!(":{port}"));
    }
    Ok(value)
}

/// The headers of a response, owned, in the order in which they came. Reused from one response to
/// the next, so that it stops allocating.
#[derive(Clone, Default)]
pub struct Headers {
    text: Vec<u8>,
    entries: Vec<Entry>,
}

/// Where a name and its value end in `text`; the name starts where the entry before ended.
#[derive(Clone, Copy, Debug)]
struct Entry {
    name_start: usize,
    value_start: usize,
    value_end: usize,
}

impl Headers {
    /// How many headers there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All headers in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.entries.iter().map(|entry| {
            let name = self
                .text
                .get(entry.name_start..entry.value_start)
                .unwrap_or_default();
            let value = self
                .text
                .get(entry.value_start..entry.value_end)
                .unwrap_or_default();
            (std::str::from_utf8(name).unwrap_or_default(), value)
        })
    }

    /// The values of all headers of this name, whatever its case.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.iter()
            .filter(move |(this, _)| this.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// The value of the first header of this name, whatever its case.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter()
            .find(|(this, _)| this.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// Like [`get`](Self::get), for a value that is UTF-8.
    pub fn get_str(&self, name: &str) -> Option<&str> {
        self.get(name)
            .and_then(|value| std::str::from_utf8(value).ok())
    }

    /// The value of the first header of this name as a whole number.
    pub fn get_u64(&self, name: &str) -> Option<u64> {
        let text = self.get_str(name)?.trim();
        // `parse` alone would take a plus sign.
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            text.parse().ok()
        } else {
            None
        }
    }

    /// `Retry-After` in seconds from now (RFC 9110 §10.2.3), 0 where the time has passed. Its date
    /// form is measured from the answer's own `Date`, so that a difference between the server's clock
    /// and ours does not matter, and from `wall_s` (our clock, seconds since the Unix epoch) where
    /// there is none.
    pub fn retry_after_secs(&self, wall_s: i64) -> Option<u64> {
        if let Some(seconds) = self.get_u64("retry-after") {
            return Some(seconds);
        }
        let until = http_date(self.get("retry-after")?)?;
        let from = self.get("date").and_then(http_date).unwrap_or(wall_s);
        Some(u64::try_from(until.saturating_sub(from)).unwrap_or(0))
    }

    /// Whether a header that is a comma-separated list (all lines of it) has this token, whatever
    /// its case.
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        self.all(name)
            .flat_map(|value| value.split(|&byte| byte == b','))
            .any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    }

    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.entries.clear();
    }

    pub(crate) fn push(&mut self, name: &str, value: &[u8]) {
        let name_start = self.text.len();
        self.text.extend_from_slice(name.as_bytes());
        let value_start = self.text.len();
        self.text.extend_from_slice(value);
        self.entries.push(Entry {
            name_start,
            value_start,
            value_end: self.text.len(),
        });
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(
                self.iter()
                    .map(|(name, value)| (name, String::from_utf8_lossy(value))),
            )
            .finish()
    }
}

impl PartialEq for Headers {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Headers {}

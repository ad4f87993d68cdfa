//! The head of a response: status line and headers, found piece by piece.

use super::{Headers, HttpError};
use crate::wire::RxBuffer;

/// The most headers a response may have.
pub const HEADERS_MAX: usize = 100;

/// Limits on a response's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// The most bytes of status line and headers together. The receive buffer's capacity is a
    /// limit too: the head is parsed where it lies.
    pub head_bytes_max: usize,
    /// The most 1xx responses that are skipped before the final one.
    pub interim_max: u8,
}

impl Default for HeadLimits {
    /// 64 KiB, and 8 interim responses.
    fn default() -> Self {
        Self {
            head_bytes_max: 64 << 10,
            interim_max: 8,
        }
    }
}

/// The status and headers of a response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The status code, 100 to 999.
    pub status: u16,
    /// The minor version: 1 for HTTP/1.1.
    pub minor_version: u8,
    /// All headers.
    pub headers: Headers,
}

impl Head {
    /// Whether the peer keeps the link open behind this response, if the body's framing allows it
    /// (RFC 9112 §9.3).
    pub fn wants_keep_alive(&self) -> bool {
        if self.headers.has_token("connection", "close") {
            return false;
        }
        self.minor_version >= 1 || self.headers.has_token("connection", "keep-alive")
    }
}

/// Finds the end of a head without looking at any byte twice, then parses it once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeadParser {
    limits: HeadLimits,
    /// How many bytes at the front are known to hold no end of the head.
    scanned: usize,
    interim: u8,
}

/// What every response begins with.
const PREFIX: &[u8] = b"HTTP/1.";

impl HeadParser {
    pub(crate) fn new(limits: HeadLimits) -> Self {
        Self {
            limits,
            scanned: 0,
            interim: 0,
        }
    }

    pub(crate) fn reset(&mut self) {
        self.scanned = 0;
        self.interim = 0;
    }

    /// Whether bytes of a head were seen already.
    pub(crate) fn has_begun(&self) -> bool {
        self.scanned > 0 || self.interim > 0
    }

    /// Parses the head of the final response (or 101) into `head` and takes it out of `rx`; false
    /// when more bytes are needed. Other 1xx responses are skipped (RFC 9110 §15.2).
    pub(crate) fn poll(&mut self, rx: &mut RxBuffer, head: &mut Head) -> Result<bool, HttpError> {
        loop {
            let bytes = rx.filled();
            let begun = bytes.len().min(PREFIX.len());
            if bytes.get(..begun) != PREFIX.get(..begun) {
                return Err(HttpError::NotHttp);
            }
            let max = self.limits.head_bytes_max.min(rx.capacity());
            let window = bytes.get(..max).unwrap_or(bytes);
            let Some(end) = find_end(window, self.scanned) else {
                if window.len() == max {
                    return Err(HttpError::HeadTooLarge { max });
                }
                self.scanned = bytes.len();
                return Ok(false);
            };
            let head_bytes = window.get(..end).unwrap_or_default();
            parse(head_bytes, head)?;
            rx.consume(end);
            self.scanned = 0;
            if head.status == 101 || head.status >= 200 {
                return Ok(true);
            }
            self.interim = self.interim.saturating_add(1);
            if self.interim > self.limits.interim_max {
                return Err(HttpError::TooManyInterim {
                    max: self.limits.interim_max,
                });
            }
        }
    }
}

/// The index behind the empty line that ends a head. A line may end in LF alone (RFC 9112 §2.2).
/// The first `scanned` bytes hold no such end, but may hold its beginning.
fn find_end(bytes: &[u8], scanned: usize) -> Option<usize> {
    let mut from = scanned.saturating_sub(3);
    loop {
        let newline = from + bytes.get(from..)?.iter().position(|&byte| byte == b'\n')?;
        match bytes.get(newline + 1..)? {
            [b'\n', ..] => return Some(newline + 2),
            [b'\r', b'\n', ..] => return Some(newline + 3),
            _ => from = newline + 1,
        }
    }
}

fn parse(bytes: &[u8], head: &mut Head) -> Result<(), HttpError> {
    let mut slots = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut slots);
    match response.parse(bytes) {
        // The whole head or nothing: whoever disagrees on where it ends is not trusted.
        Ok(httparse::Status::Complete(end)) if end == bytes.len() => {}
        Ok(_) => return Err(HttpError::Malformed(httparse::Error::NewLine)),
        Err(httparse::Error::TooManyHeaders) => {
            return Err(HttpError::TooManyHeaders { max: HEADERS_MAX });
        }
        Err(error) => return Err(HttpError::Malformed(error)),
    }
    head.headers.clear();
    head.status = response.code.unwrap_or(0);
    head.minor_version = response.version.unwrap_or(0);
    if head.status < 100 {
        return Err(HttpError::Malformed(httparse::Error::Status));
    }
    for header in response.headers.iter() {
        head.headers.push(header.name, header.value);
    }
    Ok(())
}

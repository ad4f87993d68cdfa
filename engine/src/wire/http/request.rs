//! Requests out.

use super::fields::{FieldError, check_authority, check_headers, check_target};
use crate::wire::{Full, TxBuffer};

/// The methods that venues use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Reads.
    Get,
    /// Reads the head only: the response has no body.
    Head,
    /// Creates or acts.
    Post,
    /// Replaces.
    Put,
    /// Changes.
    Patch,
    /// Removes.
    Delete,
}

impl Method {
    /// The method's name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// Why a request was not added. Nothing of it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// A part of it would break the framing.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The send buffer has no room for the whole request.
    #[error(transparent)]
    Full(#[from] Full),
}

/// Headers that follow from the request itself.
const RESERVED: [&str; 3] = ["host", "content-length", "transfer-encoding"];

/// One request, borrowed.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// What to do.
    pub method: Method,
    /// Path and query, percent-encoded, beginning with `/`.
    pub target: &'a str,
    /// The value of `Host`: see [`authority`](super::authority).
    pub host: &'a str,
    /// More headers. Not `Host`, `Content-Length` or `Transfer-Encoding`.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body. Empty is no body; `Content-Length: 0` is still sent where the method expects a
    /// body (RFC 9110 §8.6).
    pub body: &'a [u8],
}

impl std::fmt::Debug for Request<'_> {
    // Without header values and body: they hold keys and signatures.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("host", &self.host)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl Request<'_> {
    /// Adds the request to `tx`, whole or not at all. Does not allocate unless it fails.
    pub fn encode(&self, tx: &mut TxBuffer) -> Result<(), RequestError> {
        check_target(self.target)?;
        check_authority(self.host)?;
        check_headers(self.headers, &RESERVED)?;

        let mut digits = [0; 20];
        let length = match self.method {
            Method::Get | Method::Head | Method::Delete if self.body.is_empty() => None,
            _ => Some(decimal(self.body.len() as u64, &mut digits)),
        };
        encode_head(
            self.method.as_str(),
            self.target,
            self.host,
            self.headers,
            tx,
            |out| {
                if let Some(length) = length {
                    out.put("Content-Length: ");
                    out.put(length);
                    out.put("\r\n");
                }
                out.put("\r\n");
                out.put_bytes(self.body);
            },
        )?;
        Ok(())
    }
}

/// Writes the request line, `Host` and `headers`, then what `tail` writes: twice, first to count.
/// Everything has been checked before.
pub(crate) fn encode_head(
    method: &str,
    target: &str,
    host: &str,
    headers: &[(&str, &str)],
    tx: &mut TxBuffer,
    tail: impl Fn(&mut Sink<'_>),
) -> Result<(), Full> {
    let write = |out: &mut Sink<'_>| {
        for part in [method, " ", target, " HTTP/1.1\r\nHost: ", host, "\r\n"] {
            out.put(part);
        }
        for (name, value) in headers {
            for part in [name, ": ", value, "\r\n"] {
                out.put(part);
            }
        }
        tail(out);
    };
    let mut count = Sink {
        out: &mut [],
        len: 0,
    };
    write(&mut count);
    let total = count.len;
    write(&mut Sink {
        out: tx.reserve(total)?,
        len: 0,
    });
    tx.commit(total);
    Ok(())
}

/// Counts what is put into it, and keeps what there is room for.
pub(crate) struct Sink<'a> {
    out: &'a mut [u8],
    len: usize,
}

impl Sink<'_> {
    pub(crate) fn put(&mut self, text: &str) {
        self.put_bytes(text.as_bytes());
    }

    pub(crate) fn put_bytes(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        if let Some(room) = self.out.get_mut(self.len..end) {
            room.copy_from_slice(bytes);
        }
        self.len = end;
    }
}

/// `value` in decimal, without a formatter.
fn decimal(mut value: u64, digits: &mut [u8; 20]) -> &str {
    let mut start = digits.len();
    while let Some(slot) = start.checked_sub(1) {
        digits[slot] = b'0' + (value % 10) as u8;
        value /= 10;
        start = slot;
        if value == 0 {
            break;
        }
    }
    std::str::from_utf8(&digits[start..]).unwrap_or_default()
}

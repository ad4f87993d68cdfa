//! The chunked transfer coding (RFC 9112 §7.1), piece by piece.

use super::HttpError;
use crate::wire::RxBuffer;

/// The longest line with a chunk's size and extensions, or with a trailer.
const LINE_BYTES_MAX: usize = 4 << 10;

/// The most bytes of extensions and trailers in one body. Nobody reads them, so a peer that sends
/// more only costs us time.
const META_BYTES_MAX: usize = 16 << 10;

/// Takes a chunked body apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChunkedParser {
    state: State,
    meta_bytes: usize,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Size,
    Data { left: u64 },
    DataEnd,
    Trailers,
}

impl ChunkedParser {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Size,
            meta_bytes: 0,
        }
    }

    /// Moves what is there of the body from `rx` to `body`, whose length stays at or below `max`;
    /// true at the end of the trailers.
    pub(crate) fn poll(
        &mut self,
        rx: &mut RxBuffer,
        body: &mut Vec<u8>,
        max: usize,
    ) -> Result<bool, HttpError> {
        loop {
            match self.state {
                State::Size => {
                    let Some((line, line_len)) = line(rx)? else {
                        return Ok(false);
                    };
                    let (size, meta_bytes) = parse_size(line)?;
                    self.count_meta(meta_bytes)?;
                    let total = size.saturating_add(body.len() as u64);
                    if total > max as u64 {
                        return Err(HttpError::BodyTooLarge { size: total, max });
                    }
                    rx.consume(line_len);
                    self.state = if size == 0 {
                        State::Trailers
                    } else {
                        State::Data { left: size }
                    };
                }
                State::Data { left } => {
                    let count = rx.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    if count == 0 {
                        return Ok(false);
                    }
                    body.extend_from_slice(rx.filled().get(..count).unwrap_or_default());
                    rx.consume(count);
                    let left = left - count as u64;
                    self.state = if left == 0 {
                        State::DataEnd
                    } else {
                        State::Data { left }
                    };
                }
                State::DataEnd => match rx.filled() {
                    [b'\r', b'\n', ..] => {
                        rx.consume(2);
                        self.state = State::Size;
                    }
                    [] | [b'\r'] => return Ok(false),
                    _ => return Err(HttpError::BadChunk),
                },
                State::Trailers => {
                    let Some((line, line_len)) = line(rx)? else {
                        return Ok(false);
                    };
                    let at_end = line.is_empty();
                    let meta_bytes = line.len();
                    self.count_meta(meta_bytes)?;
                    rx.consume(line_len);
                    if at_end {
                        return Ok(true);
                    }
                }
            }
        }
    }

    fn count_meta(&mut self, count: usize) -> Result<(), HttpError> {
        self.meta_bytes += count;
        if self.meta_bytes > META_BYTES_MAX {
            Err(HttpError::ChunkMetaTooLong)
        } else {
            Ok(())
        }
    }
}

/// The line at the front without its CR LF, and its length with them; `None` if its end has not
/// come yet. LF alone does not end it: where one reader sees a line and another does not, bodies
/// are smuggled (RFC 9112 §11.2).
fn line(rx: &RxBuffer) -> Result<Option<(&[u8], usize)>, HttpError> {
    let bytes = rx.filled();
    let max = LINE_BYTES_MAX.min(rx.capacity());
    let window = bytes.get(..max).unwrap_or(bytes);
    let Some(newline) = window.iter().position(|&byte| byte == b'\n') else {
        return if window.len() == max {
            Err(HttpError::ChunkMetaTooLong)
        } else {
            Ok(None)
        };
    };
    match window.get(..newline) {
        Some([line @ .., b'\r']) if !line.contains(&b'\r') => Ok(Some((line, newline + 1))),
        _ => Err(HttpError::BadChunk),
    }
}

/// How many hex digits 64 bits need.
const SIZE_DIGITS: usize = 16;

/// A chunk's size (RFC 9112 §7.1: hex digits, at least one) and how many bytes of the line were
/// more than a size needs. Leading zeroes are legal, so the digits are limited by the line and the
/// value by 64 bits; zeroes without end count as extensions do.
fn parse_size(line: &[u8]) -> Result<(u64, usize), HttpError> {
    let mut size = 0_u64;
    let mut digits = 0;
    for &byte in line {
        let Some(digit) = char::from(byte).to_digit(16) else {
            break;
        };
        size = size.checked_mul(16).ok_or(HttpError::BadChunk)? | u64::from(digit);
        digits += 1;
    }
    // What follows is an extension, behind optional white space (§7.1.1).
    let rest = line.get(digits..).unwrap_or_default().trim_ascii_start();
    if digits == 0 || !(rest.is_empty() || rest.starts_with(b";")) {
        return Err(HttpError::BadChunk);
    }
    Ok((size, line.len() - digits.min(SIZE_DIGITS)))
}

//! Payloads that a venue packs by itself, inside binary messages (no WebSocket extension): the hook
//! that a venue brings, and the buffer with a limit that it unpacks into.

use std::fmt;
use std::io;

/// Opens the binary messages of a venue that packs its payloads: gzip, raw deflate.
///
/// It lives in the venue's code, with whatever library it needs; nothing here depends on one. A link
/// makes one for each of its connections ([`LinkSpec::payload_hook`](crate::LinkSpec)).
pub trait PayloadHook: Send {
    /// Writes what `payload` unpacks to into `out`, all of it.
    ///
    /// # Errors
    /// [`PayloadError::Malformed`] if the payload cannot be unpacked; what [`Inflated::push`] gave
    /// if it is too large.
    fn inflate(&mut self, payload: &[u8], out: &mut Inflated) -> Result<(), PayloadError>;
}

/// Makes a [`PayloadHook`].
#[derive(Clone, Copy, Debug)]
pub struct MakeHook(pub fn() -> Box<dyn PayloadHook>);

impl PartialEq for MakeHook {
    // Two addresses may stand for one function: then equal links look different, which harms nobody.
    fn eq(&self, other: &MakeHook) -> bool {
        core::ptr::fn_addr_eq(self.0, other.0)
    }
}

impl Eq for MakeHook {}

/// Why a payload was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// It unpacks to more than the limit: a bomb, or a limit that is too low.
    #[error("payload unpacks to more than {max} bytes")]
    TooLarge {
        /// The limit.
        max: usize,
    },
    /// It cannot be unpacked.
    #[error("payload cannot be unpacked")]
    Malformed,
}

/// Where a [`PayloadHook`] writes to. Grows up to its limit and never beyond.
pub struct Inflated {
    bytes: Vec<u8>,
    bytes_max: usize,
    is_over: bool,
}

impl Inflated {
    /// Adds `bytes`, or nothing.
    ///
    /// # Errors
    /// [`PayloadError::TooLarge`]; the payload is then refused, whatever its hook says.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), PayloadError> {
        let max = self.bytes_max;
        // The length is at most the limit, so this does not overflow.
        if bytes.len() > max - self.bytes.len() {
            self.is_over = true;
            return Err(PayloadError::TooLarge { max });
        }
        let len = self.bytes.len() + bytes.len();
        if len > self.bytes.capacity() {
            // Twofold as a `Vec` does, but not beyond the limit.
            let capacity = self.bytes.capacity().saturating_mul(2).clamp(len, max);
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }
}

/// For libraries that write into `io::Write`.
impl io::Write for Inflated {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push(bytes).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for Inflated {
    // Without the bytes: they may be private.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflated")
            .field("len", &self.bytes.len())
            .field("bytes_max", &self.bytes_max)
            .finish_non_exhaustive()
    }
}

/// A hook with the buffer that it unpacks into, which is kept from one message to the next.
pub struct Inflater {
    hook: Box<dyn PayloadHook>,
    out: Inflated,
}

impl Inflater {
    /// Opens payloads with `hook`, each to at most `bytes_max` bytes.
    pub fn new(hook: Box<dyn PayloadHook>, bytes_max: usize) -> Self {
        let out = Inflated {
            bytes: Vec::new(),
            bytes_max,
            is_over: false,
        };
        Self { hook, out }
    }

    /// Unpacks one payload; it may be parsed in place, as a message that was never packed.
    ///
    /// # Errors
    /// The payload is broken or too large. The link's framing is fine: whether to go on without
    /// this message or to reconnect is for the venue's code to say.
    pub fn open(&mut self, payload: &[u8]) -> Result<&mut [u8], PayloadError> {
        self.out.bytes.clear();
        self.out.is_over = false;
        let result = self.hook.inflate(payload, &mut self.out);
        if self.out.is_over {
            // Also where a library between turned the error into another, or lost it.
            return Err(PayloadError::TooLarge {
                max: self.out.bytes_max,
            });
        }
        result?;
        Ok(&mut self.out.bytes)
    }
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflater")
            .field("out", &self.out)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// Pairs of a count and a byte; swallows every error, as a careless library might.
    struct RunLength;

    impl PayloadHook for RunLength {
        fn inflate(&mut self, payload: &[u8], out: &mut Inflated) -> Result<(), PayloadError> {
            let (pairs, rest) = payload.as_chunks::<2>();
            for &[count, byte] in pairs {
                let _ = out.write_all(&vec![byte; usize::from(count)]);
            }
            if rest.is_empty() {
                Ok(())
            } else {
                Err(PayloadError::Malformed)
            }
        }
    }

    #[test]
    fn a_payload_is_opened_up_to_the_limit() {
        let mut inflater = Inflater::new(Box::new(RunLength), 1000);
        let full = [250, b'x'].repeat(4);
        assert_eq!(
            inflater.open(&[3, b'a', 0, b'z', 2, b'b']).unwrap(),
            b"aaabb"
        );
        assert_eq!(inflater.open(&full).unwrap(), [b'x'; 1000]);
        assert_eq!(inflater.open(b"").unwrap(), b"");
        assert_eq!(inflater.open(&[1]), Err(PayloadError::Malformed));
    }

    #[test]
    fn a_bomb_is_refused_and_the_next_payload_is_not() {
        let mut inflater = Inflater::new(Box::new(RunLength), 1000);
        let bomb = [255, 0].repeat(100_000);
        assert_eq!(
            inflater.open(&bomb),
            Err(PayloadError::TooLarge { max: 1000 })
        );
        assert!(inflater.out.bytes.capacity() <= 1000);
        assert_eq!(inflater.open(&[1, b'a']).unwrap(), b"a");
    }
}

//! Frames out: header, mask and masked payload in one pass over the send buffer.

use super::close;
use super::header::{CONTROL_LEN_MAX, OpCode};
use crate::wire::{Full, TxBuffer};

/// How frames are masked. Every client frame carries a mask (RFC 6455 §5.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Masking {
    /// A fresh key for each frame, as §5.3 demands.
    #[default]
    Random,
    /// The key is always zero: masking becomes a copy. §5.3 wants a key that cannot be predicted,
    /// which protects proxies from pages that a browser runs; a client that sends only its own
    /// words, over TLS, harms nobody with it, but a server or a firewall may object. Opt in.
    Zero,
}

/// Why a frame was not added. Nothing of it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The send buffer has no room for the whole frame.
    #[error(transparent)]
    Full(#[from] Full),
    /// A ping, pong or close payload is longer than 125 bytes (§5.5).
    #[error("control payload of {0} bytes is longer than 125")]
    ControlTooLong(usize),
    /// The close code must not stand in a frame (§7.4).
    #[error("close code {0} must not be sent")]
    InvalidCloseCode(u16),
}

/// Writes a client's frames into a [`TxBuffer`], each whole or not at all.
#[derive(Clone, Debug)]
pub struct Encoder {
    rng: fastrand::Rng,
    masking: Masking,
}

impl Encoder {
    /// An encoder whose mask keys come from `rng`, so that the same seed gives the same bytes.
    pub fn new(rng: fastrand::Rng, masking: Masking) -> Self {
        Self { rng, masking }
    }

    /// Adds a text message.
    #[inline]
    pub fn text(&mut self, payload: &str, tx: &mut TxBuffer) -> Result<(), EncodeError> {
        self.frame(OpCode::Text, payload.as_bytes(), tx)
    }

    /// Adds a binary message.
    #[inline]
    pub fn binary(&mut self, payload: &[u8], tx: &mut TxBuffer) -> Result<(), EncodeError> {
        self.frame(OpCode::Binary, payload, tx)
    }

    /// Adds a ping with at most 125 bytes.
    #[inline]
    pub fn ping(&mut self, payload: &[u8], tx: &mut TxBuffer) -> Result<(), EncodeError> {
        self.frame(OpCode::Ping, payload, tx)
    }

    /// Adds a pong with the bytes of the ping that it answers (§5.5.3).
    #[inline]
    pub fn pong(&mut self, payload: &[u8], tx: &mut TxBuffer) -> Result<(), EncodeError> {
        self.frame(OpCode::Pong, payload, tx)
    }

    /// Adds a close frame: empty, or with a code and a reason of at most 123 bytes (§5.5.1).
    pub fn close(
        &mut self,
        code: Option<u16>,
        reason: &str,
        tx: &mut TxBuffer,
    ) -> Result<(), EncodeError> {
        let Some(code) = code else {
            return self.frame(OpCode::Close, &[], tx);
        };
        if !close::is_allowed(code) {
            return Err(EncodeError::InvalidCloseCode(code));
        }
        let mut payload = [0; CONTROL_LEN_MAX];
        let len = 2 + reason.len();
        let Some(room) = payload.get_mut(..len) else {
            return Err(EncodeError::ControlTooLong(len));
        };
        room[..2].copy_from_slice(&code.to_be_bytes());
        room[2..].copy_from_slice(reason.as_bytes());
        self.frame(OpCode::Close, &payload[..len], tx)
    }

    /// Adds one unfragmented frame.
    pub fn frame(
        &mut self,
        opcode: OpCode,
        payload: &[u8],
        tx: &mut TxBuffer,
    ) -> Result<(), EncodeError> {
        let len = payload.len();
        if opcode.is_control() && len > CONTROL_LEN_MAX {
            return Err(EncodeError::ControlTooLong(len));
        }
        // Two bytes, the wider length if there is one (§5.2), the mask.
        let header_len = match len {
            0..=125 => 6,
            126..=0xFFFF => 8,
            _ => 14,
        };
        let total = header_len + len;
        let out = tx.reserve(total)?;
        // The key is drawn only when the frame fits: a refused frame changes no later byte.
        let key = match self.masking {
            Masking::Random => self.rng.u32(..).to_ne_bytes(),
            Masking::Zero => [0; 4],
        };
        out[0] = 0x80 | opcode as u8;
        match len {
            0..=125 => out[1] = 0x80 | len as u8,
            126..=0xFFFF => {
                out[1] = 0x80 | 126;
                out[2..4].copy_from_slice(&(len as u16).to_be_bytes());
            }
            _ => {
                out[1] = 0x80 | 127;
                out[2..10].copy_from_slice(&(len as u64).to_be_bytes());
            }
        }
        out[header_len - 4..header_len].copy_from_slice(&key);
        mask_into(&mut out[header_len..], payload, key);
        tx.commit(total);
        Ok(())
    }
}

/// Copies `from` to `to` (of the same length), masked with `key` (RFC 6455 §5.3), eight bytes at a
/// time.
fn mask_into(to: &mut [u8], from: &[u8], key: [u8; 4]) {
    if key == [0; 4] {
        to.copy_from_slice(from);
        return;
    }
    let [a, b, c, d] = key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (to_words, to_rest) = to.as_chunks_mut::<8>();
    let (from_words, from_rest) = from.as_chunks::<8>();
    for (to, from) in to_words.iter_mut().zip(from_words) {
        *to = (u64::from_ne_bytes(*from) ^ wide).to_ne_bytes();
    }
    for (index, (to, from)) in to_rest.iter_mut().zip(from_rest).enumerate() {
        *to = from ^ key[index & 3];
    }
}

//! An echo client without a socket: `wire::ws` and nothing else. The conformance table drives it
//! with bytes, `examples/echo_client.rs` with a link.

use tickwire::wire::ws::encoder::EncodeError;
use tickwire::wire::ws::{
    Decoder, DecoderConfig, Encoder, Frame, Masking, MessageKind, OpCode, WsError,
};
use tickwire::wire::{RxBuffer, TxBuffer};

/// The longest header of a client's frame: two bytes, a 64-bit length, the mask.
const HEADER_BYTES_MAX: usize = 14;

/// Room for answers behind the longest one, so that small messages are answered in batches.
const BATCH_BYTES: usize = 64 << 10;

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The peer closed with this code; the close frame that answers it is among the bytes to send.
    Closed(Option<u16>),
    /// The peer broke the protocol; the close frame that says so is among the bytes to send.
    Failed(WsError),
}

/// Answers each message with itself, each ping with a pong, a close with a close.
#[derive(Debug)]
pub(crate) struct EchoClient {
    decoder: Decoder,
    encoder: Encoder,
    tx: TxBuffer,
    message_bytes_max: usize,
    ended: Option<Ended>,
}

impl EchoClient {
    /// A client for messages of at most `message_bytes_max` bytes, whose masks follow from `seed`.
    pub(crate) fn new(message_bytes_max: usize, seed: u64) -> Self {
        let config = DecoderConfig {
            message_bytes_max,
            check_utf8: true,
        };
        Self {
            decoder: Decoder::new(config),
            encoder: Encoder::new(fastrand::Rng::with_seed(seed), Masking::Random),
            tx: TxBuffer::new(HEADER_BYTES_MAX + message_bytes_max + BATCH_BYTES),
            message_bytes_max,
            ended: None,
        }
    }

    /// Answers what is there. Stops where the next answer might not fit: the bytes then wait in
    /// `rx`, and their sender in its socket, until something was sent. Call again after each
    /// [`advance`](Self::advance).
    ///
    /// # Errors
    /// Never, as room is made sure of first; an error would be our bug.
    pub(crate) fn handle(&mut self, rx: &mut RxBuffer) -> Result<(), EncodeError> {
        while self.ended.is_none() && self.has_room() {
            let tx = &mut self.tx;
            match self.decoder.next(rx) {
                Ok(None) => break,
                Ok(Some(Frame::Message { kind, payload })) => {
                    let opcode = match kind {
                        MessageKind::Text => OpCode::Text,
                        MessageKind::Binary => OpCode::Binary,
                    };
                    self.encoder.frame(opcode, payload, tx)?;
                }
                Ok(Some(Frame::Ping(payload))) => self.encoder.pong(payload, tx)?,
                Ok(Some(Frame::Pong(_))) => {}
                Ok(Some(Frame::Close { code, .. })) => {
                    self.ended = Some(Ended::Closed(code));
                    self.encoder.close(code, "", tx)?;
                }
                Err(error) => {
                    self.ended = Some(Ended::Failed(error));
                    self.encoder.close(Some(error.close_code()), "", tx)?;
                }
            }
        }
        Ok(())
    }

    /// Whether the answer to any message would fit.
    fn has_room(&self) -> bool {
        self.tx.free() >= HEADER_BYTES_MAX + self.message_bytes_max
    }

    /// The bytes to send.
    pub(crate) fn pending(&self) -> &[u8] {
        self.tx.pending()
    }

    /// Marks the first `count` bytes as sent.
    pub(crate) fn advance(&mut self, count: usize) {
        self.tx.advance(count);
    }

    /// How it ended, if it has. What is pending is still to be sent.
    pub(crate) fn ended(&self) -> Option<Ended> {
        self.ended
    }
}

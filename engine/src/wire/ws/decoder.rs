//! Frames in: messages are lent from where they lie.

use super::header::{FrameHeader, OpCode};
use super::{WsError, close};
use crate::wire::{PADDING, RxBuffer};

/// Whether a message is text or binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageKind {
    /// UTF-8 text; checked only if [`DecoderConfig::check_utf8`] is on.
    Text,
    /// Any bytes.
    Binary,
}

/// One whole message or one control frame, lent until the decoder is asked again.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A whole message, to be parsed in place.
    Message {
        /// Text or binary.
        kind: MessageKind,
        /// Its bytes; those of a fragmented message are joined.
        payload: &'a mut [u8],
    },
    /// Answer with a pong that carries the same bytes (RFC 6455 §5.5.2).
    Ping(&'a [u8]),
    /// An answer to our ping, or an unasked sign of life (§5.5.3).
    Pong(&'a [u8]),
    /// The peer closes: answer with a close frame (§5.5.1). Nothing follows.
    Close {
        /// Why, if the peer said so; a code that may stand in a frame.
        code: Option<u16>,
        /// The reason, UTF-8, often empty.
        reason: &'a [u8],
    },
}

/// The largest limit that a [`DecoderConfig`] may set: 1 GiB. A message near it is no market data.
pub const MESSAGE_BYTES_CEILING: usize = 1 << 30;

/// Limits and checks of a [`Decoder`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecoderConfig {
    /// The longest message, in one frame or in all its fragments together. At most
    /// [`MESSAGE_BYTES_CEILING`].
    pub message_bytes_max: usize,
    /// Whether text is checked to be UTF-8 (§8.1), as its bytes arrive: a message that cannot become
    /// UTF-8 any more fails before it is complete. Off by default: the JSON parsers behind it check
    /// what they use.
    pub check_utf8: bool,
}

impl Default for DecoderConfig {
    /// 16 MiB: the largest snapshots of the venues are below 4 MiB. No UTF-8 check.
    fn default() -> Self {
        Self {
            message_bytes_max: 16 << 20,
            check_utf8: false,
        }
    }
}

/// Reads a server's frames out of an [`RxBuffer`].
///
/// A message in one frame is lent in place. A fragmented message, or a frame that is larger than
/// the receive buffer, is collected in a second buffer, which is allocated once, on first use, at
/// the size of the longest message.
#[derive(Debug)]
pub struct Decoder {
    config: DecoderConfig,
    state: State,
    /// The kind of the message whose fragments are being collected.
    partial: Option<MessageKind>,
    collected: Vec<u8>,
    /// How many bytes of the text that is arriving are known to be whole characters: counted from
    /// the start of `collected`, or of the payload that is still incomplete in the receive buffer.
    text_checked: usize,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// At a frame header.
    Header,
    /// Inside a frame that is being moved to `collected`.
    Collecting { left: usize, fin: bool },
    /// `collected` was lent out and is free again.
    Lent,
    /// A close frame was read. "After receiving a control frame indicating the connection should
    /// be closed, a peer discards any further data received" (§1.4).
    Closed,
    /// The stream broke the protocol.
    Failed(WsError),
}

/// What lies at the front, as numbers, so that the loan can be made last.
enum Step {
    InPlace {
        kind: MessageKind,
        header_len: usize,
        len: usize,
    },
    Collected {
        kind: MessageKind,
    },
    Control {
        opcode: OpCode,
        header_len: usize,
        len: usize,
    },
}

impl Decoder {
    /// A decoder for a new link.
    ///
    /// # Panics
    /// If the limit is above [`MESSAGE_BYTES_CEILING`].
    pub fn new(config: DecoderConfig) -> Self {
        let max = config.message_bytes_max;
        assert!(
            max <= MESSAGE_BYTES_CEILING,
            "{max} is above {MESSAGE_BYTES_CEILING}"
        );
        Self {
            config,
            state: State::Header,
            partial: None,
            collected: Vec::new(),
            text_checked: 0,
        }
    }

    /// Starts over for a new link. Keeps the second buffer.
    pub fn reset(&mut self) {
        self.state = State::Header;
        self.partial = None;
        self.collected.clear();
        self.text_checked = 0;
    }

    /// Whether a message has begun and not ended: some of its fragments were read.
    pub fn is_in_message(&self) -> bool {
        self.partial.is_some()
    }

    /// Whether a close frame was read.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// The next message or control frame; `None` when more bytes are needed. Call it until then:
    /// no control frame ends a batch, and fragments are joined on the way.
    ///
    /// After a close frame everything else is thrown away; after an error the same error is given
    /// again.
    #[inline]
    pub fn next<'a>(&'a mut self, rx: &'a mut RxBuffer) -> Result<Option<Frame<'a>>, WsError> {
        self.next_with(rx, 0)
    }

    /// Like [`next`](Self::next), but the payload of a message is followed by [`PADDING`] more
    /// bytes, which may be the next frame's: they may be changed while the loan lasts, and must be
    /// restored before it ends. This is what `simd_json::fill_tape_padded` asks for and does.
    #[inline]
    pub fn next_padded<'a>(
        &'a mut self,
        rx: &'a mut RxBuffer,
    ) -> Result<Option<Frame<'a>>, WsError> {
        self.next_with(rx, PADDING)
    }

    #[inline]
    fn next_with<'a>(
        &'a mut self,
        rx: &'a mut RxBuffer,
        extra: usize,
    ) -> Result<Option<Frame<'a>>, WsError> {
        let step = match self.step(rx) {
            Ok(Some(step)) => step,
            Ok(None) => return Ok(None),
            Err(error) => {
                self.state = State::Failed(error);
                return Err(error);
            }
        };
        match step {
            Step::InPlace {
                kind,
                header_len,
                len,
            } => Ok(Some(Frame::Message {
                kind,
                payload: rx.take(header_len, len, extra),
            })),
            Step::Collected { kind } => {
                let end = self.collected.len() - PADDING + extra;
                Ok(Some(Frame::Message {
                    kind,
                    payload: &mut self.collected[..end],
                }))
            }
            Step::Control {
                opcode,
                header_len,
                len,
            } => self.control(opcode, rx.take(header_len, len, 0)),
        }
    }

    /// Finds the next thing to lend, moving fragments out of the way.
    #[inline]
    fn step(&mut self, rx: &mut RxBuffer) -> Result<Option<Step>, WsError> {
        loop {
            if !matches!(self.state, State::Header) {
                match self.resume(rx)? {
                    Resumed::AtHeader => {}
                    Resumed::Message(kind) => return Ok(Some(Step::Collected { kind })),
                    Resumed::Starved => return Ok(None),
                }
            }
            let Some(header) = FrameHeader::parse(rx.filled())? else {
                return Ok(None);
            };
            let FrameHeader {
                fin,
                opcode,
                header_len,
                ..
            } = header;
            if opcode.is_control() {
                // At most 125: the header was checked.
                let len = header.payload_len as usize;
                if rx.len() < header_len + len {
                    return Ok(None);
                }
                return Ok(Some(Step::Control {
                    opcode,
                    header_len,
                    len,
                }));
            }
            let len = self.check_size(header.payload_len)?;
            let kind = match (opcode, self.partial) {
                (OpCode::Continuation, None) => return Err(WsError::UnexpectedContinuation),
                (OpCode::Continuation, Some(kind)) => kind,
                (_, Some(_)) => return Err(WsError::ExpectedContinuation),
                (OpCode::Text, None) => MessageKind::Text,
                (_, None) => MessageKind::Binary,
            };
            // `len` is at most the ceiling, so that the sum does not overflow.
            if fin && self.partial.is_none() && header_len + len <= rx.capacity() {
                let end = header_len + len;
                let is_whole = rx.len() >= end;
                if self.config.check_utf8 && kind == MessageKind::Text {
                    let arrived = end.min(rx.len());
                    let text = rx.filled().get(header_len..arrived).unwrap_or_default();
                    self.text_checked = check_text(text, self.text_checked, is_whole)?;
                }
                if !is_whole {
                    return Ok(None);
                }
                return Ok(Some(Step::InPlace {
                    kind,
                    header_len,
                    len,
                }));
            }
            self.start_collecting(kind, rx, header_len, len, fin);
        }
    }

    /// Compares a frame's length, on top of what was collected of its message, with the limit,
    /// before anything is done with it.
    #[inline]
    fn check_size(&self, payload_len: u64) -> Result<usize, WsError> {
        let max = self.config.message_bytes_max;
        let collected = if self.partial.is_some() {
            self.collected.len()
        } else {
            0
        };
        let size = payload_len.saturating_add(collected as u64);
        match usize::try_from(size) {
            Ok(total) if total <= max => Ok(total - collected),
            _ => Err(WsError::TooLarge { size, max }),
        }
    }

    #[cold]
    fn start_collecting(
        &mut self,
        kind: MessageKind,
        rx: &mut RxBuffer,
        header_len: usize,
        len: usize,
        fin: bool,
    ) {
        if self.partial.is_none() {
            self.partial = Some(kind);
            self.collected.clear();
            // Once, at its final size: the pages are touched only as far as they are used.
            self.collected
                .reserve_exact(self.config.message_bytes_max + PADDING);
        }
        rx.consume(header_len);
        self.state = State::Collecting { left: len, fin };
    }

    /// Everything that is not a frame in one piece.
    #[cold]
    fn resume(&mut self, rx: &mut RxBuffer) -> Result<Resumed, WsError> {
        match self.state {
            State::Header => Ok(Resumed::AtHeader),
            State::Failed(error) => Err(error),
            State::Closed => {
                rx.clear();
                Ok(Resumed::Starved)
            }
            State::Lent => {
                self.collected.clear();
                self.state = State::Header;
                Ok(Resumed::AtHeader)
            }
            State::Collecting { left, fin } => {
                let count = left.min(rx.len());
                let bytes = rx.filled().get(..count).unwrap_or_default();
                self.collected.extend_from_slice(bytes);
                rx.consume(count);
                let is_end = fin && count == left;
                if self.config.check_utf8 && self.partial == Some(MessageKind::Text) {
                    self.text_checked = check_text(&self.collected, self.text_checked, is_end)?;
                }
                if count < left {
                    self.state = State::Collecting {
                        left: left - count,
                        fin,
                    };
                    return Ok(Resumed::Starved);
                }
                self.state = State::Header;
                let Some(kind) = self.partial.take_if(|_| fin) else {
                    return Ok(Resumed::AtHeader);
                };
                self.collected.extend_from_slice(&[0; PADDING]);
                self.state = State::Lent;
                Ok(Resumed::Message(kind))
            }
        }
    }

    #[cold]
    fn control<'a>(
        &mut self,
        opcode: OpCode,
        payload: &'a [u8],
    ) -> Result<Option<Frame<'a>>, WsError> {
        match opcode {
            OpCode::Ping => Ok(Some(Frame::Ping(payload))),
            OpCode::Pong => Ok(Some(Frame::Pong(payload))),
            _ => match parse_close(payload) {
                Ok((code, reason)) => {
                    self.state = State::Closed;
                    Ok(Some(Frame::Close { code, reason }))
                }
                Err(error) => {
                    self.state = State::Failed(error);
                    Err(error)
                }
            },
        }
    }
}

enum Resumed {
    AtHeader,
    Message(MessageKind),
    Starved,
}

/// Checks text of which the first `checked` bytes are known to be whole characters; gives how many
/// are now. A character may be cut off at the end of what has arrived, but not `at_end` of the text:
/// then the answer is 0, where the next text begins.
#[cold]
fn check_text(text: &[u8], checked: usize, at_end: bool) -> Result<usize, WsError> {
    let rest = text.get(checked..).unwrap_or_default();
    match std::str::from_utf8(rest) {
        Ok(_) if at_end => Ok(0),
        Ok(_) => Ok(text.len()),
        Err(error) if error.error_len().is_none() && !at_end => Ok(checked + error.valid_up_to()),
        Err(_) => Err(WsError::TextNotUtf8),
    }
}

/// The body of a close frame (RFC 6455 §5.5.1): nothing, or a code and a reason in UTF-8.
fn parse_close(payload: &[u8]) -> Result<(Option<u16>, &[u8]), WsError> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return if payload.is_empty() {
            Ok((None, payload))
        } else {
            Err(WsError::ClosePayloadTooShort)
        };
    };
    let code = u16::from_be_bytes(*code);
    if !close::is_allowed(code) {
        return Err(WsError::InvalidCloseCode(code));
    }
    if std::str::from_utf8(reason).is_err() {
        return Err(WsError::CloseReasonNotUtf8);
    }
    Ok((Some(code), reason))
}

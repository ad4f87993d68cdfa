//! The frame header (RFC 6455 §5.2), as a client reads it.

use super::WsError;

/// The longest header of an unmasked frame: two bytes and a 64-bit length.
pub const HEADER_LEN_MAX: usize = 10;

/// The longest payload of a control frame (RFC 6455 §5.5).
pub const CONTROL_LEN_MAX: usize = 125;

/// What a frame carries (RFC 6455 §5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum OpCode {
    /// The next fragment of a message.
    Continuation = 0x0,
    /// A text message, or its first fragment.
    Text = 0x1,
    /// A binary message, or its first fragment.
    Binary = 0x2,
    /// The peer closes.
    Close = 0x8,
    /// Wants a pong.
    Ping = 0x9,
    /// Answers a ping, or a sign of life.
    Pong = 0xA,
}

impl OpCode {
    /// Whether this is a control frame's opcode (§5.5): the high bit is set.
    #[inline]
    pub const fn is_control(self) -> bool {
        self as u8 & 0x8 != 0
    }
}

/// The header of a frame from a server, checked as far as one header can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Whether this is the last fragment of its message.
    pub fin: bool,
    /// What the frame carries.
    pub opcode: OpCode,
    /// How many bytes the header itself takes.
    pub header_len: usize,
    /// How many bytes of payload follow. At most 2⁶³−1, and not yet compared with any limit.
    pub payload_len: u64,
}

impl FrameHeader {
    /// Reads the header at the front of `bytes`; `None` if it is not complete yet. Faults are
    /// reported as soon as the byte that shows them is there.
    ///
    /// Refused: reserved bits (§5.2, no extension is ever negotiated), undefined opcodes (§5.2),
    /// masked frames (§5.1), control frames that are fragmented or longer than 125 bytes (§5.5),
    /// and 64-bit lengths with the most significant bit set (§5.2). A length that is not in its
    /// shortest form is refused too: §5.2 says "the minimal number of bytes MUST be used to
    /// encode the length". (Chromium refuses it as well, so no public venue can rely on it.)
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, WsError> {
        let Some((&first, rest)) = bytes.split_first() else {
            return Ok(None);
        };
        if first & 0x70 != 0 {
            return Err(WsError::ReservedBits((first >> 4) & 0x7));
        }
        let fin = first & 0x80 != 0;
        let opcode = match first & 0x0F {
            0x0 => OpCode::Continuation,
            0x1 => OpCode::Text,
            0x2 => OpCode::Binary,
            0x8 => OpCode::Close,
            0x9 => OpCode::Ping,
            0xA => OpCode::Pong,
            other => return Err(WsError::UnknownOpcode(other)),
        };
        if opcode.is_control() && !fin {
            return Err(WsError::FragmentedControl);
        }
        let Some((&second, rest)) = rest.split_first() else {
            return Ok(None);
        };
        if second & 0x80 != 0 {
            return Err(WsError::MaskedFrame);
        }
        let short = second & 0x7F;
        if opcode.is_control() && usize::from(short) > CONTROL_LEN_MAX {
            return Err(WsError::ControlTooLong);
        }
        let (header_len, payload_len) = match short {
            126 => {
                let Some(wide) = rest.first_chunk() else {
                    return Ok(None);
                };
                let len = u64::from(u16::from_be_bytes(*wide));
                if len < 126 {
                    return Err(WsError::LengthNotMinimal(len));
                }
                (4, len)
            }
            127 => {
                let Some(wide) = rest.first_chunk() else {
                    return Ok(None);
                };
                let len = u64::from_be_bytes(*wide);
                if len >> 63 != 0 {
                    return Err(WsError::LengthOverflow(len));
                }
                if len <= u64::from(u16::MAX) {
                    return Err(WsError::LengthNotMinimal(len));
                }
                (HEADER_LEN_MAX, len)
            }
            len => (2, u64::from(len)),
        };
        Ok(Some(Self {
            fin,
            opcode,
            header_len,
            payload_len,
        }))
    }
}

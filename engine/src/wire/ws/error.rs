//! Why a WebSocket stream cannot be read on.

use super::close;

/// Who has to change something before the stream can work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The peer broke the protocol; a new link may do better.
    Peer,
    /// The peer sent something legal that is beyond a limit set here; a new link will not help
    /// unless the limit is raised.
    Limit,
}

/// Why a WebSocket stream cannot be read on. Each is final: send a close frame with
/// [`close_code`](Self::close_code) and drop the link (RFC 6455 §7.1.7, _Fail the WebSocket
/// Connection_).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WsError {
    /// A reserved bit is set although no extension was negotiated (§5.2).
    #[error("reserved bits {0:#05b} set without an extension")]
    ReservedBits(u8),
    /// An opcode that RFC 6455 does not define (§5.2).
    #[error("unknown opcode {0:#x}")]
    UnknownOpcode(u8),
    /// A server must not mask (§5.1).
    #[error("masked frame from a server")]
    MaskedFrame,
    /// A control frame without FIN (§5.5).
    #[error("fragmented control frame")]
    FragmentedControl,
    /// A control frame with more than 125 bytes of payload (§5.5).
    #[error("control frame longer than 125 bytes")]
    ControlTooLong,
    /// A length in more bytes than it needs (§5.2: "the minimal number of bytes MUST be used").
    #[error("payload length {0} is not encoded in the fewest bytes")]
    LengthNotMinimal(u64),
    /// The most significant bit of a 64-bit length is set (§5.2).
    #[error("payload length {0:#x} has its most significant bit set")]
    LengthOverflow(u64),
    /// A message, or what has come of it, is longer than the limit (§10.4).
    #[error("message of at least {size} bytes is over the limit of {max}")]
    TooLarge {
        /// The size that the message has or would have at least.
        size: u64,
        /// The limit it was compared with.
        max: usize,
    },
    /// A continuation frame with no message to continue (§5.4).
    #[error("continuation frame without a message to continue")]
    UnexpectedContinuation,
    /// A new message before the last one ended (§5.4).
    #[error("new data frame inside a fragmented message")]
    ExpectedContinuation,
    /// A close payload of one byte: too short for a code (§5.5.1).
    #[error("close frame with a payload of one byte")]
    ClosePayloadTooShort,
    /// A close code that must not stand in a frame (§7.4).
    #[error("close code {0} must not be sent")]
    InvalidCloseCode(u16),
    /// The reason of a close frame is not UTF-8 (§5.5.1, §8.1).
    #[error("close reason is not UTF-8")]
    CloseReasonNotUtf8,
    /// A text message is not UTF-8 (§8.1). Only seen if the check is on.
    #[error("text message is not UTF-8")]
    TextNotUtf8,
}

impl WsError {
    /// The close code to tell the peer (RFC 6455 §7.4.1).
    pub fn close_code(self) -> u16 {
        match self {
            Self::CloseReasonNotUtf8 | Self::TextNotUtf8 => close::INVALID_PAYLOAD,
            Self::TooLarge { .. } => close::TOO_BIG,
            _ => close::PROTOCOL_ERROR,
        }
    }

    /// Whose fault it is.
    pub fn fault(self) -> Fault {
        match self {
            Self::TooLarge { .. } => Fault::Limit,
            _ => Fault::Peer,
        }
    }
}

//! WebSocket (RFC 6455), client side: upgrade, frames in, frames out.
//!
//! No extension is ever offered, so no extension bit is ever accepted: permessage-deflate costs
//! more than it gives on market data, and the venues' negotiation of it is unreliable.

pub mod close;
pub mod decoder;
pub mod encoder;
pub mod error;
pub mod handshake;
pub mod header;

pub use decoder::{Decoder, DecoderConfig, Frame, MESSAGE_BYTES_CEILING, MessageKind};
pub use encoder::{EncodeError, Encoder, Masking};
pub use error::{Fault, WsError};
pub use handshake::{Handshake, HandshakeError, Refused, Upgrade, Upgraded};
pub use header::{FrameHeader, OpCode};
pub use tickwire_connectors::payload::{Inflated, Inflater, PayloadError, PayloadHook};

#[cfg(test)]
mod tests;

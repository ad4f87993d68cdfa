//! Framing state machines over buffers: TLS records, WebSocket frames, HTTP/1.1.
//!
//! Nothing in this folder names a socket, a poller or a clock: bytes come in through an
//! [`RxBuffer`], leave through a [`TxBuffer`], and the same bytes always give the same answers,
//! however they were cut on the way. `net` owns the sockets and moves the bytes.
//!
//! ```text
//! recv -> RxBuffer -> tls::Session -> RxBuffer -> ws::Decoder            -> messages, in place
//!                                              -> http::ResponseParser   -> responses
//! send <- TxBuffer <- tls::Session <- TxBuffer <- ws::Encoder, http::Request
//! ```
//!
//! A peer can send anything. Every length is compared with a limit before it is believed, every
//! failure is a typed error that says whose fault it is, and no byte of a peer can make this code
//! panic, grow without bound or read out of range.

pub mod buffer;
pub mod http;
pub mod tls;
pub mod ws;
pub mod zone;

pub use buffer::{Full, PADDING, RxBuffer, TxBuffer};

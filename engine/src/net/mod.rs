//! The seam between the engine and the world: sockets behind a small trait, so that the same loop
//! runs over TCP, over memory pipes with faults, and over a recording.

mod counted;
#[cfg(test)]
pub(crate) mod memory;
mod resolver;
mod tcp;

use core::fmt;
use std::io;
use std::time::Duration;

use tickwire_connectors::transmit::Endpoint;

pub(crate) use counted::Counted;
pub use tcp::{TcpNet, TcpOptions, Wake};

/// One connection. Carries a generation, so that a late event can't reach the connection that took
/// over its slot.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token(u64);

impl Token {
    /// A slot and how often it has been used.
    pub const fn new(slot: u32, generation: u32) -> Token {
        Token((generation as u64) << 32 | slot as u64)
    }

    /// The slot: dense from 0.
    pub const fn slot(self) -> usize {
        (self.0 & 0xFFFF_FFFF) as usize
    }

    const fn raw(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({}.{})", self.slot(), self.0 >> 32)
    }
}

// A token travels through mio's, which is a usize.
const _: () = assert!(usize::BITS == 64, "tickwire runs on 64-bit systems");

/// What [`Net::poll`] found.
#[derive(Debug)]
pub enum Ready {
    /// The connection stands; reading and writing may begin.
    Connected(Token),
    /// The connection could not be made: name, address or refusal, in words. The token is spent.
    Failed(Token, String),
    /// Bytes may be there to read (or the end, or an error: read to know).
    Readable(Token),
    /// There is room to write again.
    Writable(Token),
}

/// Where the engine's bytes come from and go to. Nothing here blocks but [`Net::poll`], and that
/// only for the time it is given.
pub trait Net {
    /// Starts a connection. The outcome is a [`Ready::Connected`] or [`Ready::Failed`].
    fn open(&mut self, endpoint: &Endpoint) -> Token;

    /// Waits for at most `timeout` (zero: not at all; `None`: until something happens) and adds what
    /// is ready. Readiness is told once: after [`Ready::Readable`], read until the source is dry.
    fn poll(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()>;

    /// Reads what is there; `Ok(0)` is the peer's end, `WouldBlock` is "nothing now". A read that
    /// does not fill `into` has drained the source.
    fn recv(&mut self, token: Token, into: &mut [u8]) -> io::Result<usize>;

    /// Writes what fits; `WouldBlock` is "no room now".
    fn send(&mut self, token: Token, bytes: &[u8]) -> io::Result<usize>;

    /// Drops the connection; nothing more comes for its token.
    fn close(&mut self, token: Token);
}

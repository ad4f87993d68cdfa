//! The seam between the engine and the world: sockets behind a small trait, so that the same loop
//! runs over TCP, over memory pipes with faults, and over a recording.

mod counted;
#[cfg(test)]
pub(crate) mod memory;
mod resolver;
mod tcp;

use core::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tickwire_connectors::Nanos;
use tickwire_connectors::transmit::Endpoint;

pub(crate) use counted::Counted;
pub use tcp::{Acks, TcpNet, TcpOptions, Wake};

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

/// A connection's addresses, and what became of the options of its socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketReport {
    /// Our address and port.
    pub local: Option<SocketAddr>,
    /// The venue's address and port: which of a name's addresses answered.
    pub peer: Option<SocketAddr>,
    /// The options that were asked for.
    pub options: Vec<SocketOption>,
}

/// One option of a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketOption {
    /// As the system calls it.
    pub name: &'static str,
    /// The value that is in effect, as the system tells it; or why it did not take ours.
    pub in_effect: Result<String, String>,
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

    /// A turn found nothing to do: here is time for what messages need not wait for. Gives for how many
    /// connections something was done.
    fn idle(&mut self) -> usize {
        0
    }

    /// Tells the time: at the start, and then every ten milliseconds or so. What a network gives up
    /// on after a time, it gives up here; the outcome comes with the next poll.
    fn tick(&mut self, now: Nanos) {
        let _ = now;
    }

    /// What became of the socket of a connection that stands; once.
    fn take_report(&mut self, token: Token) -> Option<SocketReport> {
        let _ = token;
        None
    }
}

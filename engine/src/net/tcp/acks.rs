//! Acknowledgements behind the messages: the kernel sends one from within the recv that takes the bytes,
//! before anybody has read them, and that is half of what a recv costs.

use std::io;

use mio::net::TcpStream;

use super::{Slot, State, TcpNet};
use crate::net::SocketOption;

/// When what came in is acknowledged to the venue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acks {
    /// As the system does it: mostly from within the recv, so that the message waits for it. Measured on
    /// loopback that is 1.3 µs of a recv of 2.9.
    System,
    /// In the first turn that finds nothing to do: when the message is with the strategies, microseconds
    /// later; several messages may share one. Where no such turn comes, the system's rules hold: every second full segment, and after 40 ms at the latest.
    ///
    /// It takes two system calls (`TCP_QUICKACK`) a message or burst of them, both behind it. Linux; elsewhere
    /// it is as [`Acks::System`].
    #[default]
    WhenIdle,
}

/// A connection's acknowledgements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ack {
    /// Nobody keeps them back.
    System,
    /// The next is kept back.
    Kept,
    /// One may be due.
    Owed,
}

/// For a connection that stands: from here on acknowledgements are kept back, if they are to be.
pub(super) fn begin(stream: &TcpStream, acks: Acks) -> (Ack, Option<SocketOption>) {
    if acks == Acks::System {
        return (Ack::System, None);
    }
    let set = keep_back(stream);
    let ack = if set.is_ok() { Ack::Kept } else { Ack::System };
    (ack, report(stream, set))
}

impl TcpNet {
    /// Sends what is owed. Gives how many connections that were.
    pub(super) fn acknowledge(&mut self) -> usize {
        let mut tokens = core::mem::take(&mut self.owed);
        let mut count = 0;
        for token in tokens.drain(..) {
            let Some(Slot {
                state: State::Open(stream),
                ack,
                ..
            }) = self.current_slot(token)
            else {
                continue;
            };
            // What fails leaves the system's own rules, which are good enough.
            *ack = match send_now(stream).and_then(|()| keep_back(stream)) {
                Ok(()) => Ack::Kept,
                Err(_) => Ack::System,
            };
            count += 1;
        }
        self.owed = tokens;
        count
    }
}

/// "Disable quickack mode if cleared .. this flag is not permanent" (tcp(7), TCP_QUICKACK): the mode comes back
/// when the kernel's timer finds an acknowledgement that was kept back for too long.
#[cfg(target_os = "linux")]
fn keep_back(stream: &TcpStream) -> io::Result<()> {
    socket2::SockRef::from(stream).set_tcp_quickack(false)
}

#[cfg(target_os = "linux")]
fn send_now(stream: &TcpStream) -> io::Result<()> {
    socket2::SockRef::from(stream).set_tcp_quickack(true)
}

#[cfg(target_os = "linux")]
fn report(stream: &TcpStream, set: io::Result<()>) -> Option<SocketOption> {
    let value = socket2::SockRef::from(stream).tcp_quickack();
    Some(super::option("TCP_QUICKACK", set, value))
}

#[cfg(not(target_os = "linux"))]
fn keep_back(_: &TcpStream) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(target_os = "linux"))]
fn send_now(_: &TcpStream) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(target_os = "linux"))]
fn report(_: &TcpStream, _: io::Result<()>) -> Option<SocketOption> {
    None
}

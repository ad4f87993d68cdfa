//! TLS behind a small trait: records in memory, never a socket.
//!
//! `net` receives as much as it can into a cipher buffer with one call; [`Session::read_from`]
//! decrypts from there into the plain buffer where frames are read. Sending goes the other way.
//!
//! Why rustls' `ClientConnection` and not its `UnbufferedClientConnection`: fed from memory the
//! two cost the same (within a few per cent from 191 B to 7.5 KB a record; both allocate a `Vec` a
//! record). The unbuffered one must be given the same receive buffer also to *write*, as it slices
//! it at an offset of its own: a server that splits a session ticket over two records would make
//! a write with any other buffer panic. And what it wants sent is lost if the buffer is too small.
//! The buffered one reads at most 4 KiB a call, which matters over a socket, but not over memory.
//!
//! [`InPlaceSession`] does the handshake by the unbuffered one, which is given a record at a time and
//! nothing behind the handshake, and then needs neither.

mod config;
mod error;
mod in_place;
mod plain;
mod session;

use std::sync::Arc;

use rustls::ClientConfig;

pub use config::{Records, Roots, certificates_from_pem, client_config};
pub use error::TlsError;
pub use in_place::InPlaceSession;
pub use plain::PlainSession;
pub use session::RustlsSession;

use crate::wire::{RxBuffer, TxBuffer};

/// What a call of [`Session::read_from`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TlsProgress {
    /// How many plain bytes were added.
    pub plain_bytes: usize,
    /// The plain buffer filled up and there is more: read it empty and call again, also if no new
    /// bytes arrive.
    pub plain_full: bool,
    /// The handshake ended in this call.
    pub handshake_done: bool,
    /// There is something to [`flush`](Session::flush): handshake messages, alerts, key updates.
    pub wants_flush: bool,
    /// The peer said in order that it sends no more.
    pub peer_closed: bool,
}

/// The record layer of one link: cipher bytes on one side, plain bytes on the other.
pub trait Session {
    /// Decrypts from `cipher` into `plain`, as much as fits; the rest stays where it is.
    ///
    /// # Errors
    /// Final for the link. [`flush`](Self::flush) still sends the alert that tells the peer why.
    fn read_from(
        &mut self,
        cipher: &mut RxBuffer,
        plain: &mut RxBuffer,
    ) -> Result<TlsProgress, TlsError>;

    /// Encrypts from `plain` into `cipher`; gives how many plain bytes were taken. It takes fewer
    /// than all when `cipher` lacks the room, and none while the handshake runs.
    fn write_to(&mut self, plain: &[u8], cipher: &mut TxBuffer) -> Result<usize, TlsError>;

    /// Moves what the session itself has to say (handshake messages, alerts, key updates) into
    /// `cipher`, as much as fits; gives how many bytes. Call it once at the start of a link.
    fn flush(&mut self, cipher: &mut TxBuffer) -> Result<usize, TlsError>;

    /// Whether there is something to [`flush`](Self::flush).
    fn wants_flush(&self) -> bool;

    /// Whether the handshake is not done yet.
    fn is_handshaking(&self) -> bool;

    /// Whether the peer said in order that it sends no more.
    fn peer_closed(&self) -> bool;

    /// Tells the peer in order that we send no more: queues `close_notify` and flushes it.
    fn send_close_notify(&mut self, cipher: &mut TxBuffer) -> Result<(), TlsError>;

    /// The socket reached its end, after all bytes were read. Without TLS that is an end like any
    /// other.
    ///
    /// # Errors
    /// [`TlsError::Truncated`] if the peer had not said that it closes: bytes may be missing.
    fn finish_eof(&self) -> Result<(), TlsError>;
}

/// Either kind of session, without a call through a pointer.
#[derive(Debug)]
pub enum AnySession {
    /// No TLS.
    Plain(PlainSession),
    /// TLS by rustls.
    Rustls(Box<RustlsSession>),
    /// TLS 1.3 with a handshake by rustls, and records in place.
    InPlace(Box<InPlaceSession>),
}

impl AnySession {
    /// A session with the server of this name (or address), as the configuration wants its records.
    ///
    /// # Errors
    /// [`TlsError::InvalidServerName`] if it is neither a DNS name nor an address.
    pub fn client(config: &Arc<ClientConfig>, server_name: &str) -> Result<AnySession, TlsError> {
        let config = Arc::clone(config);
        Ok(match Records::of(&config) {
            Records::Rustls => {
                AnySession::Rustls(Box::new(RustlsSession::new(config, server_name)?))
            }
            Records::InPlace => {
                AnySession::InPlace(Box::new(InPlaceSession::new(config, server_name)?))
            }
        })
    }

    /// Whether TLS resumed a session; `None` without TLS, and until it is known.
    pub fn is_resumed(&self) -> Option<bool> {
        match self {
            AnySession::Plain(_) => None,
            AnySession::Rustls(session) => session.is_resumed(),
            AnySession::InPlace(session) => session.is_resumed(),
        }
    }
}

/// Calls the same method on whichever session it is.
macro_rules! either {
    ($self:expr, $session:ident => $call:expr) => {
        match $self {
            AnySession::Plain($session) => $call,
            AnySession::Rustls($session) => $call,
            AnySession::InPlace($session) => $call,
        }
    };
}

impl Session for AnySession {
    #[inline]
    fn read_from(
        &mut self,
        cipher: &mut RxBuffer,
        plain: &mut RxBuffer,
    ) -> Result<TlsProgress, TlsError> {
        either!(self, session => session.read_from(cipher, plain))
    }

    #[inline]
    fn write_to(&mut self, plain: &[u8], cipher: &mut TxBuffer) -> Result<usize, TlsError> {
        either!(self, session => session.write_to(plain, cipher))
    }

    fn flush(&mut self, cipher: &mut TxBuffer) -> Result<usize, TlsError> {
        either!(self, session => session.flush(cipher))
    }

    #[inline]
    fn wants_flush(&self) -> bool {
        either!(self, session => session.wants_flush())
    }

    #[inline]
    fn is_handshaking(&self) -> bool {
        either!(self, session => session.is_handshaking())
    }

    #[inline]
    fn peer_closed(&self) -> bool {
        either!(self, session => session.peer_closed())
    }

    fn send_close_notify(&mut self, cipher: &mut TxBuffer) -> Result<(), TlsError> {
        either!(self, session => session.send_close_notify(cipher))
    }

    fn finish_eof(&self) -> Result<(), TlsError> {
        either!(self, session => session.finish_eof())
    }
}

#[cfg(test)]
mod tests;

//! TLS by rustls, fed from memory.

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Error, HandshakeKind};

use super::{Session, TlsError, TlsProgress};
use crate::wire::zone::{self, Zone};
use crate::wire::{RxBuffer, TxBuffer};

/// The most plain bytes in a record (RFC 8446 §5.1).
const RECORD_PLAIN_MAX: usize = 1 << 14;

/// The most that a record adds to its plain bytes: 29 in TLS 1.2 with GCM, 22 in 1.3.
const RECORD_OVERHEAD: usize = 32;

/// Room kept free for the key update that rustls may put before a record.
const CONTROL_RESERVE: usize = 64;

/// A client's TLS session.
///
/// What it buffers inside is bounded: it is given the next cipher bytes (at most 4 KiB at a time)
/// only when its plain bytes have been read out, so that it holds at most one record and what was
/// given; what it has encrypted is moved out before more is taken in.
pub struct RustlsSession {
    connection: ClientConnection,
    /// Plain bytes wait inside, because the plain buffer was full.
    has_plain: bool,
    is_handshaking: bool,
    peer_closed: bool,
    failed: Option<TlsError>,
}

impl RustlsSession {
    /// A session with the server of this name (or address). Then [`flush`](Session::flush) for
    /// the first message.
    ///
    /// # Errors
    /// [`TlsError::InvalidServerName`] if it is neither a DNS name nor an address.
    pub fn new(config: Arc<ClientConfig>, server_name: &str) -> Result<Self, TlsError> {
        let _zone = zone::enter(Zone::Tls);
        let name = ServerName::try_from(server_name.to_owned())
            .map_err(|_| TlsError::InvalidServerName(server_name.to_owned()))?;
        let connection = ClientConnection::new(config, name)?;
        Ok(Self {
            connection,
            has_plain: false,
            is_handshaking: true,
            peer_closed: false,
            failed: None,
        })
    }

    /// Whether the session was resumed; `None` until that is known.
    pub fn is_resumed(&self) -> Option<bool> {
        self.connection
            .handshake_kind()
            .map(|kind| kind == HandshakeKind::Resumed)
    }

    /// The negotiated version and cipher suite, for the log; `None` until they are known.
    pub fn parameters(&self) -> Option<(rustls::ProtocolVersion, rustls::CipherSuite)> {
        let suite = self.connection.negotiated_cipher_suite()?;
        Some((self.connection.protocol_version()?, suite.suite()))
    }

    /// Moves plain bytes out of rustls into `plain`; gives how many. `has_plain` says if there are
    /// more.
    fn read_plain(&mut self, plain: &mut RxBuffer) -> Result<usize, TlsError> {
        let mut total = 0;
        while self.has_plain {
            plain.compact();
            let room = plain.space();
            if room.is_empty() {
                break;
            }
            match self.connection.reader().read(room) {
                // The end, after close_notify.
                Ok(0) => self.has_plain = false,
                Ok(count) => {
                    plain.commit(count);
                    total += count;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.has_plain = false,
                Err(error) => return Err(io_error(&error)),
            }
        }
        Ok(total)
    }

    /// Gives rustls at most what it takes in one go.
    fn feed(&mut self, cipher: &mut RxBuffer) -> Result<(), TlsError> {
        let mut bytes = cipher.filled();
        let taken = self
            .connection
            .read_tls(&mut bytes)
            .map_err(|error| io_error(&error))?;
        cipher.consume(taken);
        let state = self.connection.process_new_packets()?;
        self.has_plain = state.plaintext_bytes_to_read() > 0;
        self.is_handshaking = self.connection.is_handshaking();
        self.peer_closed = state.peer_has_closed();
        if taken == 0 && !self.peer_closed {
            // Cannot be: it had room and was given bytes. Better an error than a loop.
            return Err(TlsError::Internal(Error::General(
                "TLS input stalled".to_owned(),
            )));
        }
        Ok(())
    }

    fn read(
        &mut self,
        cipher: &mut RxBuffer,
        plain: &mut RxBuffer,
    ) -> Result<TlsProgress, TlsError> {
        let was_handshaking = self.is_handshaking;
        let mut plain_bytes = self.read_plain(plain)?;
        while !cipher.is_empty() && !self.has_plain {
            if self.peer_closed {
                // "Any data received after a closure alert has been received MUST be ignored"
                // (RFC 8446 §6.1).
                cipher.clear();
                break;
            }
            self.feed(cipher)?;
            plain_bytes += self.read_plain(plain)?;
        }
        Ok(TlsProgress {
            plain_bytes,
            plain_full: self.has_plain,
            handshake_done: was_handshaking && !self.is_handshaking,
            wants_flush: self.connection.wants_write(),
            peer_closed: self.peer_closed,
        })
    }

    fn check(&self) -> Result<(), TlsError> {
        match &self.failed {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }

    fn move_out(&mut self, cipher: &mut TxBuffer) -> Result<usize, TlsError> {
        let mut total = 0;
        while self.connection.wants_write() && cipher.free() > 0 {
            total += self
                .connection
                .write_tls(cipher)
                .map_err(|error| io_error(&error))?;
        }
        Ok(total)
    }
}

impl Session for RustlsSession {
    fn read_from(
        &mut self,
        cipher: &mut RxBuffer,
        plain: &mut RxBuffer,
    ) -> Result<TlsProgress, TlsError> {
        self.check()?;
        let _zone = zone::enter(Zone::Tls);
        self.read(cipher, plain)
            .inspect_err(|error| self.failed = Some(error.clone()))
    }

    fn write_to(&mut self, plain: &[u8], cipher: &mut TxBuffer) -> Result<usize, TlsError> {
        self.check()?;
        let _zone = zone::enter(Zone::Tls);
        self.move_out(cipher)?;
        if self.is_handshaking || self.connection.wants_write() {
            return Ok(0);
        }
        // Only what will fit as records: nothing is left inside.
        let count = plain.len().min(plain_room(cipher.free()));
        let fits = plain.get(..count).unwrap_or_default();
        if fits.is_empty() {
            return Ok(0);
        }
        let taken = self
            .connection
            .writer()
            .write(fits)
            .map_err(|error| io_error(&error))?;
        self.move_out(cipher)?;
        Ok(taken)
    }

    fn flush(&mut self, cipher: &mut TxBuffer) -> Result<usize, TlsError> {
        let _zone = zone::enter(Zone::Tls);
        self.move_out(cipher)
    }

    #[inline]
    fn wants_flush(&self) -> bool {
        self.connection.wants_write()
    }

    #[inline]
    fn is_handshaking(&self) -> bool {
        self.is_handshaking
    }

    #[inline]
    fn peer_closed(&self) -> bool {
        self.peer_closed
    }

    fn send_close_notify(&mut self, cipher: &mut TxBuffer) -> Result<(), TlsError> {
        let _zone = zone::enter(Zone::Tls);
        self.connection.send_close_notify();
        self.move_out(cipher).map(|_| ())
    }

    fn finish_eof(&self) -> Result<(), TlsError> {
        self.check()?;
        if self.peer_closed {
            Ok(())
        } else {
            Err(TlsError::Truncated)
        }
    }
}

impl fmt::Debug for RustlsSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RustlsSession")
            .field("parameters", &self.parameters())
            .field("is_handshaking", &self.is_handshaking)
            .field("peer_closed", &self.peer_closed)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

/// How many plain bytes become at most `free` cipher bytes.
fn plain_room(free: usize) -> usize {
    let free = free.saturating_sub(CONTROL_RESERVE);
    let whole = free / (RECORD_PLAIN_MAX + RECORD_OVERHEAD);
    let rest = free % (RECORD_PLAIN_MAX + RECORD_OVERHEAD);
    whole * RECORD_PLAIN_MAX + rest.saturating_sub(RECORD_OVERHEAD)
}

/// rustls wraps its errors where a call looks like IO.
#[cold]
fn io_error(error: &io::Error) -> TlsError {
    match error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Error>())
    {
        Some(inner) => TlsError::from(inner.clone()),
        None => TlsError::Protocol(Error::General(error.to_string())),
    }
}

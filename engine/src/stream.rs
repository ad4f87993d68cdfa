//! One connection with or without TLS: the bytes of a socket on one side, plain bytes on the other.
//! WebSocket links and the HTTP pool both stand on it.

use std::io;
use std::sync::Arc;

use rustls::ClientConfig;
use tickwire_connectors::transmit::{DownReason, Endpoint};

use crate::net::{Net, Token};
use crate::wire::tls::{AnySession, PlainSession, Session, TlsError};
use crate::wire::{RxBuffer, TxBuffer};

/// What one turn reads of one connection at most: a single recv of this size. It bounds the time
/// that a busy link can keep the others waiting (64 KiB of deltas are some hundred microseconds).
pub(crate) const RECV_BYTES_MAX: usize = 64 << 10;

/// Room for plain bytes: what one recv can decrypt to, and the head of a frame left from before.
const PLAIN_BYTES: usize = 2 * RECV_BYTES_MAX;

/// Room for bytes on their way to the socket. The largest thing sent is a subscribe request of
/// 21,000 bytes; a handshake needs less.
const TX_BYTES: usize = 64 << 10;

/// What [`SecureStream::recv`] left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drained {
    /// The socket is empty until the next readiness.
    Yes,
    /// The socket may hold more: come again next turn.
    No,
}

/// The buffers of a connection. A link keeps them over its connections: to let 300 KiB go and take
/// others at each loss costs a thousand links in a storm hundreds of MiB that the system has to give
/// anew.
#[derive(Debug)]
pub(crate) struct Buffers {
    cipher: RxBuffer,
    plain: RxBuffer,
    tx: TxBuffer,
}

impl Default for Buffers {
    fn default() -> Buffers {
        Buffers {
            cipher: RxBuffer::with_compact_below(2 * RECV_BYTES_MAX, RECV_BYTES_MAX),
            plain: RxBuffer::with_compact_below(PLAIN_BYTES, RECV_BYTES_MAX),
            tx: TxBuffer::new(TX_BYTES),
        }
    }
}

/// A connection with its buffers.
#[derive(Debug)]
pub(crate) struct SecureStream {
    token: Token,
    session: AnySession,
    cipher: RxBuffer,
    pub(crate) plain: RxBuffer,
    tx: TxBuffer,
    /// Nothing more can be decrypted until new bytes come.
    dry: bool,
    ended: bool,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
}

impl SecureStream {
    /// For a connection that [`Net::open`] has begun.
    pub(crate) fn new(
        token: Token,
        endpoint: &Endpoint,
        tls: &Arc<ClientConfig>,
        Buffers { cipher, plain, tx }: Buffers,
    ) -> Result<SecureStream, DownReason> {
        let session = if endpoint.tls {
            AnySession::client(tls, &endpoint.host).map_err(|error| tls_down(&error))?
        } else {
            AnySession::Plain(PlainSession)
        };
        Ok(SecureStream {
            token,
            session,
            cipher,
            plain,
            tx,
            dry: true,
            ended: false,
            bytes_in: 0,
            bytes_out: 0,
        })
    }

    /// The buffers, empty, for the next connection.
    pub(crate) fn into_buffers(self) -> Buffers {
        let SecureStream {
            mut cipher,
            mut plain,
            mut tx,
            ..
        } = self;
        cipher.clear();
        plain.clear();
        tx.clear();
        Buffers { cipher, plain, tx }
    }

    pub(crate) const fn token(&self) -> Token {
        self.token
    }

    /// Whether plain bytes can be exchanged: the TLS handshake is done.
    pub(crate) fn is_ready(&self) -> bool {
        !self.session.is_handshaking()
    }

    /// Whether TLS resumed a session; `None` without TLS, and until it is known.
    pub(crate) fn is_resumed(&self) -> Option<bool> {
        self.session.is_resumed()
    }

    /// Whether the peer has ended the connection; what came before is still in `plain`.
    pub(crate) const fn ended(&self) -> bool {
        self.ended
    }

    /// Whether bytes wait to be decrypted, for want of room in `plain`.
    pub(crate) const fn has_more(&self) -> bool {
        !self.dry
    }

    /// The socket stands: says what TLS has to say first.
    pub(crate) fn begin(&mut self, net: &mut impl Net) -> Result<(), DownReason> {
        self.session
            .flush(&mut self.tx)
            .map_err(|error| tls_down(&error))?;
        self.send(net)
    }

    /// Reads the socket, once.
    pub(crate) fn recv(&mut self, net: &mut impl Net) -> Result<Drained, DownReason> {
        self.cipher.compact();
        let space = self.cipher.space();
        let wanted = space.len().min(RECV_BYTES_MAX);
        if wanted == 0 {
            return Ok(Drained::No);
        }
        match net.recv(self.token, &mut space[..wanted]) {
            Ok(0) => {
                self.ended = true;
                self.dry = false;
                Ok(Drained::Yes)
            }
            Ok(count) => {
                self.cipher.commit(count);
                self.dry = false;
                self.bytes_in += count as u64;
                Ok(if count < wanted {
                    Drained::Yes
                } else {
                    Drained::No
                })
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Drained::Yes),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Drained::No),
            Err(error) => Err(DownReason::Lost(error.to_string())),
        }
    }

    /// Decrypts what fits into `plain`; gives how many bytes that added.
    #[inline]
    pub(crate) fn decrypt(&mut self) -> Result<usize, DownReason> {
        if self.dry {
            return Ok(0);
        }
        let progress = self.session.read_from(&mut self.cipher, &mut self.plain);
        if self.session.wants_flush() {
            // Handshake messages and alerts; an alert goes out as well as it can.
            let _ = self.session.flush(&mut self.tx);
        }
        let progress = progress.map_err(|error| tls_down(&error))?;
        self.dry = !progress.plain_full;
        self.ended |= progress.peer_closed;
        Ok(progress.plain_bytes)
    }

    /// Takes plain bytes to send, as many as there is room for.
    pub(crate) fn write(&mut self, plain: &[u8]) -> Result<usize, DownReason> {
        self.session
            .write_to(plain, &mut self.tx)
            .map_err(|error| tls_down(&error))
    }

    /// Gives the socket what it takes now. The rest goes when it is writable again.
    pub(crate) fn send(&mut self, net: &mut impl Net) -> Result<(), DownReason> {
        while !self.tx.is_empty() {
            match net.send(self.token, self.tx.pending()) {
                Ok(0) => return Err(DownReason::Lost("the socket takes no bytes".to_owned())),
                Ok(count) => {
                    self.tx.advance(count);
                    self.bytes_out += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(DownReason::Lost(error.to_string())),
            }
        }
        Ok(())
    }

    /// Whether encrypted bytes wait for the socket.
    pub(crate) fn is_sending(&self) -> bool {
        !self.tx.is_empty()
    }

    /// Once the connection has ended and all is read: whether the peer meant it to. TLS says so;
    /// without TLS nobody can tell.
    pub(crate) fn check_end(&self) -> Result<(), DownReason> {
        self.session.finish_eof().map_err(|error| tls_down(&error))
    }

    /// Why the connection ended, once it has and all is read.
    pub(crate) fn end_reason(&self) -> DownReason {
        match self.check_end() {
            Ok(()) => DownReason::Lost("the peer closed the connection".to_owned()),
            Err(reason) => reason,
        }
    }

    /// Says goodbye as well as it can.
    pub(crate) fn close(&mut self, net: &mut impl Net) {
        let _ = self.session.send_close_notify(&mut self.tx);
        let _ = self.send(net);
    }
}

#[cold]
fn tls_down(error: &TlsError) -> DownReason {
    DownReason::Tls(error.to_string())
}

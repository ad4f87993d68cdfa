//! The handshake, by rustls, a record at a time: so that it hands its secrets over before it has
//! seen a record that is encrypted with them.

use std::fmt;
use std::sync::Arc;

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::kernel::KernelConnection;
use rustls::pki_types::ServerName;
use rustls::unbuffered::{ConnectionState, EncodeError, UnbufferedStatus};
use rustls::{ClientConfig, Error, ExtractedSecrets, HandshakeKind};

use crate::wire::RxBuffer;

use super::record::HEADER;

/// The most bytes behind the header of a record of the handshake (RFC 5246 §6.2.3).
const BODY_MAX: usize = (1 << 14) + (2 << 10);

/// A handshake under way.
pub(super) struct Handshake {
    connection: UnbufferedClientConnection,
    /// How many of the bytes at the head of the cipher buffer rustls has been given. It may want them
    /// again, as they lie there: a message may take several records.
    given: usize,
}

/// What a handshake has brought.
pub(super) struct Outcome {
    pub(super) secrets: ExtractedSecrets,
    /// For tickets and key updates.
    pub(super) kernel: KernelConnection<ClientConnectionData>,
    pub(super) kind: Option<HandshakeKind>,
}

/// What is to happen next.
enum Next {
    /// It goes on at once.
    Again,
    /// It wants more bytes.
    More,
    /// It is over.
    Over,
}

impl Handshake {
    pub(super) fn new(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Handshake, Error> {
        Ok(Handshake {
            connection: UnbufferedClientConnection::new(config, name)?,
            given: 0,
        })
    }

    /// Goes on as far as the bytes of `cipher` allow; whether the handshake is over. What is to be sent
    /// is added to `outgoing`, an alert before an error, too.
    pub(super) fn advance(
        &mut self,
        cipher: &mut RxBuffer,
        outgoing: &mut Vec<u8>,
    ) -> Result<bool, Error> {
        loop {
            match self.step(cipher, outgoing) {
                Ok(Next::Again) => {}
                Ok(Next::Over) if self.given > 0 => {
                    // Its last message ends its record, since keys change behind it.
                    return Err(Error::General("bytes behind the handshake".to_owned()));
                }
                Ok(Next::Over) => return Ok(true),
                Ok(Next::More) => {
                    if !self.give_more(cipher) {
                        return Ok(false);
                    }
                }
                Err(error) => {
                    self.say_why(cipher, outgoing);
                    return Err(error);
                }
            }
        }
    }

    fn step(&mut self, cipher: &mut RxBuffer, outgoing: &mut Vec<u8>) -> Result<Next, Error> {
        let given = cipher.filled_mut().get_mut(..self.given);
        let UnbufferedStatus { discard, state } = self
            .connection
            .process_tls_records(given.unwrap_or_default());
        let next = match state {
            Ok(ConnectionState::EncodeTlsData(mut data)) => {
                encode(|room| data.encode(room), outgoing)?;
                Ok(Next::Again)
            }
            Ok(ConnectionState::TransmitTlsData(data)) => {
                data.done();
                Ok(Next::Again)
            }
            Ok(ConnectionState::BlockedHandshake) => Ok(Next::More),
            Ok(ConnectionState::WriteTraffic(_)) => Ok(Next::Over),
            // It was given nothing but the handshake.
            Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => {
                Err(Error::AlertReceived(rustls::AlertDescription::CloseNotify))
            }
            Ok(_) => Err(Error::General("data in the handshake".to_owned())),
            Err(error) => Err(error),
        };
        cipher.consume(discard);
        self.given -= discard.min(self.given);
        next
    }

    /// Gives one more record, once it is whole; whether there was one. What is no record at all is given
    /// as it is, for rustls to say so.
    fn give_more(&mut self, cipher: &RxBuffer) -> bool {
        let bytes = cipher.filled().get(self.given..).unwrap_or_default();
        let Some((header, rest)) = bytes.split_first_chunk::<HEADER>() else {
            return false;
        };
        let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
        let is_record = (20..=23).contains(&header[0]) && header[1] == 3 && length <= BODY_MAX;
        if !is_record {
            self.given += bytes.len();
            return true;
        }
        if rest.len() < length {
            return false;
        }
        self.given += HEADER + length;
        true
    }

    /// Behind an error: the alert that tells the peer why.
    fn say_why(&mut self, cipher: &mut RxBuffer, outgoing: &mut Vec<u8>) {
        // What it was given stays in its place: rustls would look for the rest of a message there.
        let given = cipher.filled_mut().get_mut(..self.given);
        let status = self
            .connection
            .process_tls_records(given.unwrap_or_default());
        if let Ok(ConnectionState::EncodeTlsData(mut data)) = status.state {
            // The first error counts.
            let _ = encode(|room| data.encode(room), outgoing);
        }
    }

    /// Once it is over: hands everything over.
    pub(super) fn finish(self) -> Result<Outcome, Error> {
        let kind = self.connection.handshake_kind();
        let (secrets, kernel) = self.connection.dangerous_into_kernel_connection()?;
        Ok(Outcome {
            secrets,
            kernel,
            kind,
        })
    }
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake")
            .field("given", &self.given)
            .finish_non_exhaustive()
    }
}

/// Encodes into as much room as it turns out to need.
fn encode(
    mut into: impl FnMut(&mut [u8]) -> Result<usize, EncodeError>,
    outgoing: &mut Vec<u8>,
) -> Result<(), Error> {
    let start = outgoing.len();
    let mut room = 0;
    loop {
        outgoing.resize(start + room, 0);
        match into(&mut outgoing[start..]) {
            Ok(count) => {
                outgoing.truncate(start + count);
                return Ok(());
            }
            Err(EncodeError::InsufficientSize(wanted)) if wanted.required_size > room => {
                room = wanted.required_size;
            }
            Err(error) => return Err(Error::General(error.to_string())),
        }
    }
}

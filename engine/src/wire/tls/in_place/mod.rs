//! TLS 1.3 whose records are opened where they were received and sealed where they are sent from,
//! without an allocation.
//!
//! The handshake, with all that is trusted or not, is rustls'. Behind it rustls hands the secrets over
//! (what it has for kernel TLS): each record is then one call of ring's AEAD on the receive buffer.
//! rustls keeps what derives keys and stores tickets, and is asked at each key update and ticket.
//! What is handled here is what RFC 8446 leaves of the protocol behind a handshake: records, alerts,
//! `NewSessionTicket`, `KeyUpdate`. Anything else ends the link with the alert that the RFC names.

mod handshake;
mod messages;
pub(super) mod record;

use std::fmt;
use std::sync::Arc;

use rustls::client::ClientConnectionData;
use rustls::kernel::KernelConnection;
use rustls::pki_types::ServerName;
use rustls::{
    AlertDescription, ClientConfig, ContentType, Error, HandshakeKind, InvalidMessage,
    PeerMisbehaved, ProtocolVersion,
};

use super::{Session, TlsError, TlsProgress};
use crate::wire::zone::{self, Zone};
use crate::wire::{RxBuffer, TxBuffer};

use handshake::Handshake;
use messages::{Message, Messages};
use record::{CONTENT_MAX, HEADER, Keys, OVERHEAD, RECORD_MAX};

/// Records under one key before we change ours: below the 2^24.5 of AES-GCM (RFC 8446 §5.5).
const RECORDS_MAX: u64 = 1 << 23;

/// Changes of keys that a peer may ask for without sending data in between: rustls' own limit.
const KEY_UPDATES_MAX: u32 = 32;

/// Alerts without a meaning that a peer may send: rustls' own limit.
const WARNINGS_MAX: u32 = 4;

const ALERT_FATAL: u8 = 2;
const ALERT_WARNING: u8 = 1;

/// A client's TLS session that decrypts in place. The cipher buffer has to hold a whole record: 16,645
/// bytes.
#[derive(Debug)]
pub struct InPlaceSession {
    phase: Phase,
    kind: Option<HandshakeKind>,
    /// What the session itself has to say.
    outgoing: Vec<u8>,
    peer_closed: bool,
    failed: Option<TlsError>,
}

#[derive(Debug)]
enum Phase {
    Handshake(Box<Handshake>),
    Traffic(Box<Traffic>),
    /// Between the two, or behind an error.
    Over,
}

/// Behind the handshake.
struct Traffic {
    receive: Keys,
    transmit: Keys,
    kernel: KernelConnection<ClientConnectionData>,
    messages: Messages,
    /// Content at the head of the cipher buffer that is open already and had no room in the plain one,
    /// and the rest of its record.
    open: (usize, usize),
    key_updates: u32,
    warnings: u32,
}

impl InPlaceSession {
    /// A session with the server of this name (or address). Then [`flush`](Session::flush) for the first
    /// message.
    ///
    /// # Errors
    /// [`TlsError::InvalidServerName`] if it is neither a DNS name nor an address;
    /// [`TlsError::Config`] if the configuration was not made for it.
    pub fn new(config: Arc<ClientConfig>, server_name: &str) -> Result<InPlaceSession, TlsError> {
        let _zone = zone::enter(Zone::Tls);
        let name = ServerName::try_from(server_name.to_owned())
            .map_err(|_| TlsError::InvalidServerName(server_name.to_owned()))?;
        if !config.enable_secret_extraction {
            let why = "secrets stay within this configuration".to_owned();
            return Err(TlsError::Config(Error::General(why)));
        }
        let mut handshake = Handshake::new(config, name)?;
        let mut outgoing = Vec::new();
        handshake.advance(&mut RxBuffer::new(RECORD_MAX), &mut outgoing)?;
        Ok(InPlaceSession {
            phase: Phase::Handshake(Box::new(handshake)),
            kind: None,
            outgoing,
            peer_closed: false,
            failed: None,
        })
    }

    /// Whether the session was resumed; `None` until that is known.
    pub fn is_resumed(&self) -> Option<bool> {
        self.kind.map(|kind| kind == HandshakeKind::Resumed)
    }

    fn shake(&mut self, cipher: &mut RxBuffer) -> Result<bool, TlsError> {
        let Phase::Handshake(handshake) = &mut self.phase else {
            return Ok(false);
        };
        if !handshake.advance(cipher, &mut self.outgoing)? {
            return Ok(false);
        }
        let Phase::Handshake(handshake) = std::mem::replace(&mut self.phase, Phase::Over) else {
            return Ok(false);
        };
        let outcome = handshake.finish()?;
        if outcome.kernel.protocol_version() != ProtocolVersion::TLSv1_3 {
            let why = "records are decrypted in place in TLS 1.3 alone".to_owned();
            return Err(TlsError::Config(Error::General(why)));
        }
        self.kind = outcome.kind;
        let (receive, transmit) = (outcome.secrets.rx, outcome.secrets.tx);
        self.phase = Phase::Traffic(Box::new(Traffic {
            receive: Keys::new(receive.0, &receive.1)?,
            transmit: Keys::new(transmit.0, &transmit.1)?,
            kernel: outcome.kernel,
            messages: Messages::default(),
            open: (0, 0),
            key_updates: 0,
            warnings: 0,
        }));
        Ok(true)
    }

    fn read(
        &mut self,
        cipher: &mut RxBuffer,
        plain: &mut RxBuffer,
    ) -> Result<TlsProgress, TlsError> {
        let handshake_done = self.shake(cipher)?;
        let (mut plain_bytes, mut plain_full) = (0, false);
        if let Phase::Traffic(traffic) = &mut self.phase {
            loop {
                plain_bytes += traffic.hand_on(cipher, plain);
                if traffic.open.0 > 0 {
                    plain_full = true;
                    break;
                }
                if self.peer_closed {
                    // "Any data received after a closure alert has been received MUST be ignored"
                    // (RFC 8446 §6.1).
                    cipher.clear();
                    break;
                }
                match traffic.next(cipher, &mut self.outgoing) {
                    Ok(Heard::Content) => {}
                    Ok(Heard::Closed) => self.peer_closed = true,
                    Ok(Heard::Nothing) => break,
                    Err(error) => {
                        let alert = [ALERT_FATAL, alert_of(&error).into()];
                        // The first error counts.
                        let _ = traffic.say(ContentType::Alert, &alert, &mut self.outgoing);
                        return Err(error.into());
                    }
                }
            }
        }
        Ok(TlsProgress {
            plain_bytes,
            plain_full,
            handshake_done,
            wants_flush: !self.outgoing.is_empty(),
            peer_closed: self.peer_closed,
        })
    }

    fn write(&mut self, plain: &[u8], cipher: &mut TxBuffer) -> Result<usize, TlsError> {
        self.move_out(cipher);
        let Phase::Traffic(traffic) = &mut self.phase else {
            return Ok(0);
        };
        let mut taken = 0;
        while self.outgoing.is_empty() && taken < plain.len() {
            if traffic.transmit.count() >= RECORDS_MAX {
                traffic.change_keys(&mut self.outgoing)?;
                let count = cipher.push(&self.outgoing).map(|()| self.outgoing.clear());
                if count.is_err() {
                    break;
                }
            }
            let room = cipher.free().saturating_sub(OVERHEAD);
            let count = (plain.len() - taken).min(CONTENT_MAX).min(room);
            let content = plain.get(taken..taken + count).unwrap_or_default();
            if content.is_empty() {
                break;
            }
            let Ok(space) = cipher.reserve(count + OVERHEAD) else {
                break;
            };
            traffic
                .transmit
                .seal(ContentType::ApplicationData, content, space)?;
            cipher.commit(count + OVERHEAD);
            taken += count;
        }
        Ok(taken)
    }

    /// Moves what the session has to say into `cipher`, as much as fits.
    fn move_out(&mut self, cipher: &mut TxBuffer) -> usize {
        if self.outgoing.is_empty() {
            return 0;
        }
        let count = self.outgoing.len().min(cipher.free());
        if cipher.push(&self.outgoing[..count]).is_err() {
            return 0;
        }
        self.outgoing.drain(..count);
        count
    }

    fn check(&self) -> Result<(), TlsError> {
        match &self.failed {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }
}

/// What a record brought.
enum Heard {
    /// Content, or something that was dealt with.
    Content,
    /// The peer's goodbye.
    Closed,
    /// There is no whole record.
    Nothing,
}

impl Traffic {
    /// Copies open content into `plain`, as much as fits; gives how many bytes.
    #[inline]
    fn hand_on(&mut self, cipher: &mut RxBuffer, plain: &mut RxBuffer) -> usize {
        let (left, behind) = self.open;
        if left == 0 {
            return 0;
        }
        let count = plain.fill_from(&cipher.filled()[..left]);
        self.open.0 -= count;
        if self.open.0 == 0 {
            cipher.consume(count + behind);
            self.open.1 = 0;
        } else {
            cipher.consume(count);
        }
        count
    }

    /// Opens the next record.
    #[inline]
    fn next(&mut self, cipher: &mut RxBuffer, outgoing: &mut Vec<u8>) -> Result<Heard, Error> {
        let Some(length) = record::whole(cipher.filled())? else {
            if cipher.capacity() < RECORD_MAX && cipher.free() == 0 {
                return Err(Error::General("no room for a record".to_owned()));
            }
            return Ok(Heard::Nothing);
        };
        let bytes = &mut cipher.filled_mut()[..length];
        let (kind, count) = self.receive.open(bytes)?;
        if kind == ContentType::ApplicationData && self.messages.is_empty() {
            self.key_updates = 0;
            cipher.consume(HEADER);
            self.open = (count, length - HEADER - count);
            if count == 0 {
                cipher.consume(self.open.1);
            }
            return Ok(Heard::Content);
        }
        let heard = self.hear(kind, &cipher.filled()[HEADER..HEADER + count], outgoing);
        cipher.consume(length);
        heard
    }

    /// What is no application data.
    #[cold]
    fn hear(
        &mut self,
        kind: ContentType,
        content: &[u8],
        outgoing: &mut Vec<u8>,
    ) -> Result<Heard, Error> {
        match kind {
            ContentType::Handshake => {
                let mut rest = content;
                while let Some(message) = self.messages.next(&mut rest)? {
                    self.handle(message, rest.is_empty(), outgoing)?;
                }
                Ok(Heard::Content)
            }
            _ if !self.messages.is_empty() => {
                Err(PeerMisbehaved::MessageInterleavedWithHandshakeMessage.into())
            }
            ContentType::Alert => self.alert(content),
            _ => Err(record::unexpected(kind)),
        }
    }

    fn handle(
        &mut self,
        message: Message,
        ends_record: bool,
        outgoing: &mut Vec<u8>,
    ) -> Result<(), Error> {
        match message {
            Message::Ticket(payload) => self.kernel.handle_new_session_ticket(&payload),
            // Keys change behind it, so that nothing may follow under the old ones.
            Message::KeyUpdate { .. } if !ends_record => {
                Err(PeerMisbehaved::KeyEpochWithPendingFragment.into())
            }
            Message::KeyUpdate { wants_ours } => {
                self.key_updates += 1;
                if self.key_updates > KEY_UPDATES_MAX {
                    return Err(PeerMisbehaved::TooManyKeyUpdateRequests.into());
                }
                let (next, secrets) = self.kernel.update_rx_secret()?;
                self.receive = Keys::new(next, &secrets)?;
                if wants_ours {
                    self.change_keys(outgoing)?;
                }
                Ok(())
            }
        }
    }

    /// Changes our keys, and says so under the old ones.
    #[cold]
    fn change_keys(&mut self, outgoing: &mut Vec<u8>) -> Result<(), Error> {
        self.say(ContentType::Handshake, &messages::KEY_UPDATE, outgoing)?;
        let (next, secrets) = self.kernel.update_tx_secret()?;
        self.transmit = Keys::new(next, &secrets)?;
        Ok(())
    }

    fn alert(&mut self, content: &[u8]) -> Result<Heard, Error> {
        let [level, description] = *content else {
            return Err(InvalidMessage::MessageTooShort.into());
        };
        match AlertDescription::from(description) {
            other if level != ALERT_WARNING && level != ALERT_FATAL => {
                Err(Error::AlertReceived(other))
            }
            AlertDescription::CloseNotify => Ok(Heard::Closed),
            AlertDescription::UserCanceled if level == ALERT_WARNING => {
                self.warnings += 1;
                if self.warnings > WARNINGS_MAX {
                    return Err(PeerMisbehaved::TooManyWarningAlertsReceived.into());
                }
                Ok(Heard::Content)
            }
            // All others are fatal, whatever level they claim (RFC 8446 §6.2).
            other => Err(Error::AlertReceived(other)),
        }
    }

    /// Adds a record of our own to `outgoing`.
    #[cold]
    fn say(
        &mut self,
        kind: ContentType,
        content: &[u8],
        outgoing: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let start = outgoing.len();
        outgoing.resize(start + content.len() + OVERHEAD, 0);
        self.transmit.seal(kind, content, &mut outgoing[start..])
    }
}

impl fmt::Debug for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Traffic")
            .field("receive", &self.receive)
            .field("transmit", &self.transmit)
            .finish_non_exhaustive()
    }
}

/// What the peer is told of an error.
#[cold]
fn alert_of(error: &Error) -> AlertDescription {
    match error {
        Error::DecryptError => AlertDescription::BadRecordMac,
        Error::PeerSentOversizedRecord => AlertDescription::RecordOverflow,
        Error::InvalidMessage(_) => AlertDescription::DecodeError,
        Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. }
        | Error::PeerMisbehaved(_) => AlertDescription::UnexpectedMessage,
        // One of theirs, that needs no answer but an end.
        Error::AlertReceived(_) => AlertDescription::CloseNotify,
        _ => AlertDescription::InternalError,
    }
}

impl Session for InPlaceSession {
    #[inline]
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

    #[inline]
    fn write_to(&mut self, plain: &[u8], cipher: &mut TxBuffer) -> Result<usize, TlsError> {
        self.check()?;
        let _zone = zone::enter(Zone::Tls);
        self.write(plain, cipher)
            .inspect_err(|error| self.failed = Some(error.clone()))
    }

    fn flush(&mut self, cipher: &mut TxBuffer) -> Result<usize, TlsError> {
        Ok(self.move_out(cipher))
    }

    #[inline]
    fn wants_flush(&self) -> bool {
        !self.outgoing.is_empty()
    }

    #[inline]
    fn is_handshaking(&self) -> bool {
        matches!(self.phase, Phase::Handshake(_))
    }

    #[inline]
    fn peer_closed(&self) -> bool {
        self.peer_closed
    }

    fn send_close_notify(&mut self, cipher: &mut TxBuffer) -> Result<(), TlsError> {
        let _zone = zone::enter(Zone::Tls);
        if let Phase::Traffic(traffic) = &mut self.phase {
            let alert = [ALERT_WARNING, AlertDescription::CloseNotify.into()];
            traffic.say(ContentType::Alert, &alert, &mut self.outgoing)?;
        }
        self.move_out(cipher);
        Ok(())
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

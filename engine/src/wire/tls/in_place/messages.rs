//! Messages of the handshake protocol that come behind the handshake (RFC 8446 §4.6).

use rustls::{Error, HandshakeType, InvalidMessage};

/// Kind and length.
const HEADER: usize = 4;

/// The largest message that is put together: rustls' own limit. A ticket is smaller.
const LENGTH_MAX: usize = 0xffff;

/// What says that our keys change, and that the peer's need not (RFC 8446 §4.6.3).
pub(super) const KEY_UPDATE: [u8; 5] = [24, 0, 0, 1, 0];

/// One of them.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// The payload of a `NewSessionTicket`.
    Ticket(Vec<u8>),
    /// The peer's keys change behind this record.
    KeyUpdate {
        /// And it asks for ours to change.
        wants_ours: bool,
    },
}

/// Puts messages together from records: one may take several, and several may be in one.
#[derive(Debug, Default)]
pub(super) struct Messages {
    /// The beginning of one that goes on in the next record.
    begun: Vec<u8>,
}

impl Messages {
    /// Whether no message has begun that has not ended.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.begun.is_empty()
    }

    /// The next message; what of the content it took is cut off. `None` once there is no whole one, and
    /// then all was taken.
    ///
    /// # Errors
    /// A message that may not come now, or is none.
    pub(super) fn next(&mut self, content: &mut &[u8]) -> Result<Option<Message>, Error> {
        if !self.take(HEADER, content) {
            return Ok(None);
        }
        let length = match self.begun[..] {
            [_, high, middle, low, ..] => u32::from_be_bytes([0, high, middle, low]) as usize,
            _ => return Ok(None),
        };
        if length > LENGTH_MAX {
            return Err(InvalidMessage::HandshakePayloadTooLarge.into());
        }
        if !self.take(HEADER + length, content) {
            return Ok(None);
        }
        let whole = std::mem::take(&mut self.begun);
        message(&whole).map(Some)
    }

    /// Takes as much content as makes `wanted` bytes; whether they are there.
    fn take(&mut self, wanted: usize, content: &mut &[u8]) -> bool {
        let count = wanted.saturating_sub(self.begun.len()).min(content.len());
        let (taken, rest) = content.split_at(count);
        self.begun.extend_from_slice(taken);
        *content = rest;
        self.begun.len() >= wanted
    }
}

fn message(whole: &[u8]) -> Result<Message, Error> {
    let (kind, payload) = match whole {
        [kind, _, _, _, payload @ ..] => (HandshakeType::from(*kind), payload),
        _ => return Err(InvalidMessage::MessageTooShort.into()),
    };
    match (kind, payload) {
        (HandshakeType::NewSessionTicket, payload) => Ok(Message::Ticket(payload.to_vec())),
        (HandshakeType::KeyUpdate, [wants_ours @ (0 | 1)]) => Ok(Message::KeyUpdate {
            wants_ours: *wants_ours == 1,
        }),
        (HandshakeType::KeyUpdate, _) => Err(InvalidMessage::InvalidKeyUpdate.into()),
        (got_type, _) => Err(Error::InappropriateHandshakeMessage {
            expect_types: vec![HandshakeType::NewSessionTicket, HandshakeType::KeyUpdate],
            got_type,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(parts: &[&[u8]]) -> Result<Vec<Message>, Error> {
        let (mut messages, mut found) = (Messages::default(), Vec::new());
        for part in parts {
            let mut rest = *part;
            while let Some(message) = messages.next(&mut rest)? {
                found.push(message);
            }
            assert!(rest.is_empty());
        }
        Ok(found)
    }

    #[test]
    fn messages_come_in_any_parts() {
        let bytes = [4, 0, 0, 3, 7, 8, 9, 24, 0, 0, 1, 1, 4, 0, 0, 0];
        let expected = [
            Message::Ticket(vec![7, 8, 9]),
            Message::KeyUpdate { wants_ours: true },
            Message::Ticket(vec![]),
        ];
        assert_eq!(all(&[&bytes]), Ok(expected.into()));
        for at in 1..bytes.len() {
            let (left, right) = bytes.split_at(at);
            let found = all(&[left, right]);
            assert_eq!(found.as_ref().map(Vec::len), Ok(3), "cut at {at}");
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(all(&single).map(|found| found.len()), Ok(3));
    }

    #[test]
    fn what_may_not_come_is_an_error() {
        let refused: [&[u8]; 5] = [
            &[24, 0, 0, 1, 2],
            &[24, 0, 0, 0],
            &[1, 0, 0, 0],
            &[13, 0, 0, 1, 0],
            &[4, 1, 0, 0],
        ];
        for bytes in refused {
            assert!(all(&[bytes]).is_err(), "{bytes:?}");
        }
    }
}

//! TLS 1.3 records, opened and sealed where they lie (RFC 8446 §5.2).

use std::fmt;

use ring::aead::{
    AES_128_GCM, AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey,
};
use rustls::{ConnectionTrafficSecrets, ContentType, Error};

/// Type, version and length.
pub(super) const HEADER: usize = 5;

/// The tag of each of the suites of TLS 1.3.
pub(super) const TAG: usize = 16;

/// The most bytes of content in a record (RFC 8446 §5.1).
pub(super) const CONTENT_MAX: usize = 1 << 14;

/// The most bytes behind a header: content, its type, padding and tag (RFC 8446 §5.2).
const BODY_MAX: usize = CONTENT_MAX + 256;

/// The largest record there is.
pub(super) const RECORD_MAX: usize = HEADER + BODY_MAX;

/// What a record has around its content: header, type and tag.
pub(in crate::wire::tls) const OVERHEAD: usize = HEADER + 1 + TAG;

/// A record of application data, by its header: the only kind there is behind the handshake.
const PROTECTED: [u8; 3] = [23, 3, 3];

/// How many bytes the first record of `bytes` has in all; `None` until they are all there.
///
/// # Errors
/// The header is none of a protected record, or names a length that none has.
#[inline]
pub(super) fn whole(bytes: &[u8]) -> Result<Option<usize>, Error> {
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER>() else {
        return Ok(None);
    };
    let [kind, major, minor, high, low] = *header;
    if [kind, major, minor] != PROTECTED {
        return Err(unexpected(ContentType::from(kind)));
    }
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > BODY_MAX {
        return Err(Error::PeerSentOversizedRecord);
    }
    Ok((rest.len() >= length).then_some(HEADER + length))
}

/// What was not to come now.
#[cold]
pub(super) fn unexpected(got_type: ContentType) -> Error {
    Error::InappropriateMessage {
        expect_types: vec![ContentType::ApplicationData],
        got_type,
    }
}

/// The keys of one direction, with the number of its next record.
pub(in crate::wire::tls) struct Keys {
    key: LessSafeKey,
    iv: [u8; NONCE_LEN],
    next: u64,
}

impl Keys {
    /// From what the handshake or a key update has agreed on.
    pub(in crate::wire::tls) fn new(
        next: u64,
        secrets: &ConnectionTrafficSecrets,
    ) -> Result<Keys, Error> {
        let (algorithm, key, iv) = match secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&AES_128_GCM, key, iv),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (&AES_256_GCM, key, iv),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (&CHACHA20_POLY1305, key, iv),
            _ => return Err(Error::General("a cipher suite without a name".to_owned())),
        };
        let odd = |_| Error::General("secrets of another length".to_owned());
        let key = UnboundKey::new(algorithm, key.as_ref()).map_err(|_| Error::EncryptError)?;
        Ok(Keys {
            key: LessSafeKey::new(key),
            iv: iv.as_ref().try_into().map_err(odd)?,
            next,
        })
    }

    /// How many records went under these keys.
    pub(super) const fn count(&self) -> u64 {
        self.next
    }

    /// The number of a record makes its nonce: none is used twice, since none is counted twice
    /// (RFC 8446 §5.3).
    #[inline]
    fn nonce(&mut self) -> Result<Nonce, Error> {
        let mut nonce = self.iv;
        if let Some(tail) = nonce.last_chunk_mut() {
            *tail = (u64::from_be_bytes(*tail) ^ self.next).to_be_bytes();
        }
        // 2^64 records do not come; a number used twice would give the key away.
        self.next = self.next.checked_add(1).ok_or(Error::EncryptError)?;
        Ok(Nonce::assume_unique_for_key(nonce))
    }

    /// Opens a whole record; its content then begins behind the header. Gives the content's type and
    /// length.
    #[inline]
    pub(super) fn open(&mut self, record: &mut [u8]) -> Result<(ContentType, usize), Error> {
        let Some((header, body)) = record.split_first_chunk_mut::<HEADER>() else {
            return Err(Error::DecryptError);
        };
        let nonce = self.nonce()?;
        let plain = self
            .key
            .open_in_place(nonce, Aad::from(&*header), body)
            .map_err(|_| Error::DecryptError)?;
        // Behind the content its type, behind that zeroes.
        let Some(at) = plain.iter().rposition(|byte| *byte != 0) else {
            return Err(unexpected(ContentType::Unknown(0)));
        };
        if at > CONTENT_MAX {
            return Err(Error::PeerSentOversizedRecord);
        }
        Ok((ContentType::from(plain[at]), at))
    }

    /// Writes content as a record into `out`, which has room for it and [`OVERHEAD`] more.
    #[inline]
    pub(in crate::wire::tls) fn seal(
        &mut self,
        kind: ContentType,
        content: &[u8],
        out: &mut [u8],
    ) -> Result<(), Error> {
        let length = u16::try_from(content.len() + 1 + TAG).map_err(|_| Error::EncryptError)?;
        let nonce = self.nonce()?;
        let room = || Error::EncryptError;
        let (header, body) = out.split_first_chunk_mut::<HEADER>().ok_or_else(room)?;
        let (inner, tag) = body.split_last_chunk_mut::<TAG>().ok_or_else(room)?;
        let (last, text) = inner.split_last_mut().ok_or_else(room)?;
        if text.len() != content.len() {
            return Err(room());
        }
        header[..3].copy_from_slice(&PROTECTED);
        header[3..].copy_from_slice(&length.to_be_bytes());
        text.copy_from_slice(content);
        *last = kind.into();
        let sealed = self
            .key
            .seal_in_place_separate_tag(nonce, Aad::from(&*header), inner)
            .map_err(|_| Error::EncryptError)?;
        tag.copy_from_slice(sealed.as_ref());
        Ok(())
    }
}

impl fmt::Debug for Keys {
    // Without the keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys")
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

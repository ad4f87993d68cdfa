//! No TLS: for `ws://`, `http://` and tests.

use super::{Session, TlsError, TlsProgress};
use crate::wire::{RxBuffer, TxBuffer};

/// Copies. There is no handshake, and no way to say in order that one closes.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlainSession;

impl Session for PlainSession {
    #[inline]
    fn read_from(
        &mut self,
        cipher: &mut RxBuffer,
        plain: &mut RxBuffer,
    ) -> Result<TlsProgress, TlsError> {
        let count = plain.fill_from(cipher.filled());
        cipher.consume(count);
        Ok(TlsProgress {
            plain_bytes: count,
            plain_full: !cipher.is_empty(),
            ..TlsProgress::default()
        })
    }

    #[inline]
    fn write_to(&mut self, plain: &[u8], cipher: &mut TxBuffer) -> Result<usize, TlsError> {
        let count = plain.len().min(cipher.free());
        match cipher.push(plain.get(..count).unwrap_or_default()) {
            Ok(()) => Ok(count),
            Err(_) => Ok(0),
        }
    }

    fn flush(&mut self, _cipher: &mut TxBuffer) -> Result<usize, TlsError> {
        Ok(0)
    }

    fn wants_flush(&self) -> bool {
        false
    }

    fn is_handshaking(&self) -> bool {
        false
    }

    fn peer_closed(&self) -> bool {
        false
    }

    fn send_close_notify(&mut self, _cipher: &mut TxBuffer) -> Result<(), TlsError> {
        Ok(())
    }

    fn finish_eof(&self) -> Result<(), TlsError> {
        Ok(())
    }
}

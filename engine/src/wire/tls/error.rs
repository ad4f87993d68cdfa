//! Why TLS failed, told apart by what to do about it.

use rustls::{AlertDescription, CertificateError, Error};

/// Why TLS failed. Final for the link.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TlsError {
    /// The certificate has expired, or our clock is ahead.
    #[error("certificate has expired (or this machine's clock is ahead): {0}")]
    CertificateExpired(Error),
    /// The certificate is not valid yet, or our clock is behind.
    #[error("certificate is not valid yet (or this machine's clock is behind): {0}")]
    CertificateNotYetValid(Error),
    /// The certificate is for another name: a wrong host, or someone in between.
    #[error("certificate is for another name: {0}")]
    CertificateNotValidForName(Error),
    /// No root that we trust stands behind the certificate: a private authority that was not added
    /// to the roots, a missing intermediate, or someone in between.
    #[error("certificate is from an unknown issuer: {0}")]
    CertificateUnknownIssuer(Error),
    /// The certificate was revoked.
    #[error("certificate is revoked: {0}")]
    CertificateRevoked(Error),
    /// The certificate is wrong in another way, or there is none.
    #[error("certificate is invalid: {0}")]
    CertificateInvalid(Error),
    /// The peer ended the link with an alert.
    #[error("alert received: {0:?}")]
    AlertReceived(AlertDescription),
    /// Both sides keep to the protocol but share no version, cipher or application protocol.
    #[error("no common TLS parameters: {0}")]
    Incompatible(Error),
    /// The peer broke the protocol, or does not speak TLS.
    #[error("TLS protocol error: {0}")]
    Protocol(Error),
    /// The link ended without `close_notify` (RFC 8446 §6.1): bytes may be missing.
    #[error("link ended without close_notify")]
    Truncated,
    /// Ours: the name to connect to is not one.
    #[error("invalid server name {0:?}")]
    InvalidServerName(String),
    /// Ours: a root certificate cannot be read, or the configuration contradicts itself.
    #[error("TLS configuration: {0}")]
    Config(Error),
    /// Ours: the machine gave no time or no randomness, or the library failed inside.
    #[error("TLS library: {0}")]
    Internal(Error),
}

impl From<Error> for TlsError {
    #[cold]
    fn from(error: Error) -> Self {
        use CertificateError as Cert;
        match &error {
            Error::InvalidCertificate(certificate) => match certificate {
                Cert::Expired | Cert::ExpiredContext { .. } => Self::CertificateExpired(error),
                Cert::NotValidYet | Cert::NotValidYetContext { .. } => {
                    Self::CertificateNotYetValid(error)
                }
                Cert::NotValidForName | Cert::NotValidForNameContext { .. } => {
                    Self::CertificateNotValidForName(error)
                }
                Cert::UnknownIssuer => Self::CertificateUnknownIssuer(error),
                Cert::Revoked => Self::CertificateRevoked(error),
                _ => Self::CertificateInvalid(error),
            },
            Error::NoCertificatesPresented => Self::CertificateInvalid(error),
            Error::AlertReceived(alert) => Self::AlertReceived(*alert),
            Error::PeerIncompatible(_) | Error::NoApplicationProtocol => Self::Incompatible(error),
            Error::FailedToGetCurrentTime
            | Error::FailedToGetRandomBytes
            | Error::EncryptError
            | Error::General(_)
            | Error::Other(_) => Self::Internal(error),
            _ => Self::Protocol(error),
        }
    }
}

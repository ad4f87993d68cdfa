//! One client configuration a venue, shared by its links so that sessions resume.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::{CipherSuite, ClientConfig, Error, RootCertStore, SupportedProtocolVersion};

use super::TlsError;
use crate::wire::zone::{self, Zone};

static ONLY_13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// Whom to trust.
#[derive(Clone, Debug, Default)]
pub enum Roots {
    /// Mozilla's list, built in.
    #[default]
    Web,
    /// Only these: a venue simulator, a private line.
    Custom(Vec<CertificateDer<'static>>),
    /// Mozilla's list and these: a proxy that ends TLS.
    WebAnd(Vec<CertificateDer<'static>>),
}

/// Who opens and seals TLS records behind the handshake, which is always rustls'.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Records {
    /// rustls: TLS 1.3 and 1.2. An allocation and three copies a record.
    #[default]
    Rustls,
    /// This crate, in the receive and send buffers, with ring's AEAD: TLS 1.3 alone, one copy, no
    /// allocation. A venue without TLS 1.3 can't be reached.
    InPlace,
}

impl Records {
    /// What a configuration was made for.
    pub(super) fn of(config: &ClientConfig) -> Records {
        if config.enable_secret_extraction {
            Records::InPlace
        } else {
            Records::Rustls
        }
    }
}

/// A configuration for HTTP/1.1 and WebSocket links: TLS 1.3 and (by rustls alone) 1.2, ALPN `http/1.1`,
/// no client certificate, session resumption in memory. Share one among all links to a venue: a resumed
/// handshake costs half the CPU of a full one.
///
/// The crypto provider (ring) is named here, so that no process-wide default is needed or changed.
/// AES-128-GCM is preferred: it is the fastest of the suites per record.
///
/// # Errors
/// [`TlsError::Config`] if one of the given roots is not a certificate.
pub fn client_config(roots: Roots, records: Records) -> Result<Arc<ClientConfig>, TlsError> {
    let _zone = zone::enter(Zone::Tls);
    let (web, custom) = match roots {
        Roots::Web => (true, Vec::new()),
        Roots::Custom(custom) => (false, custom),
        Roots::WebAnd(custom) => (true, custom),
    };
    let mut store = RootCertStore::empty();
    if web {
        store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    for root in custom {
        store.add(root).map_err(TlsError::Config)?;
    }
    if store.is_empty() {
        return Err(TlsError::Config(Error::General(
            "no root certificates".to_owned(),
        )));
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(match records {
            Records::Rustls => rustls::DEFAULT_VERSIONS,
            Records::InPlace => ONLY_13,
        })
        .map_err(TlsError::Config)?
        .with_root_certificates(store)
        .with_no_client_auth();
    config.enable_secret_extraction = records == Records::InPlace;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The certificates of a PEM text, for [`Roots::Custom`]; at least one.
///
/// # Errors
/// The text is no PEM, or holds no certificate.
pub fn certificates_from_pem(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, pem::Error> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(text).collect::<Result<_, _>>()?;
    if certificates.is_empty() {
        Err(pem::Error::NoItemsFound)
    } else {
        Ok(certificates)
    }
}

/// ring, with the AES-128 suites in front. The sort is stable: TLS 1.3 stays before 1.2.
fn provider() -> CryptoProvider {
    let mut provider = ring::default_provider();
    provider
        .cipher_suites
        .sort_by_key(|suite| match suite.suite() {
            CipherSuite::TLS13_AES_128_GCM_SHA256 => 0,
            CipherSuite::TLS13_AES_256_GCM_SHA384 | CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => {
                1
            }
            CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => 2,
            _ => 3,
        });
    provider
}

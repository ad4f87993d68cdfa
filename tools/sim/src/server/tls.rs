//! A certificate authority made at start, and a leaf for loopback signed by it; beside them the
//! certificates that must not be trusted.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::error::SimError;
use crate::fault::BadCertificate;

/// What a client needs to trust the simulator, and what the server needs to be trusted.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) ca_pem: String,
    pub(crate) ca_der: Vec<u8>,
    pub(crate) configs: Configs,
}

/// One configuration a certificate. Each has a session store of its own: a resumed session would
/// not look at the certificate.
#[derive(Debug)]
pub(crate) struct Configs {
    good: Arc<ServerConfig>,
    wrong_name: Arc<ServerConfig>,
    unknown_authority: Arc<ServerConfig>,
    expired: Arc<ServerConfig>,
}

impl Configs {
    pub(crate) const fn of(&self, fault: Option<BadCertificate>) -> &Arc<ServerConfig> {
        match fault {
            None => &self.good,
            Some(BadCertificate::WrongName) => &self.wrong_name,
            Some(BadCertificate::UnknownAuthority) => &self.unknown_authority,
            Some(BadCertificate::Expired) => &self.expired,
        }
    }
}

/// TLS sessions that can be resumed: one a connection of a large test.
const SESSIONS_MAX: usize = 4_096;

pub(crate) fn identity(names: &[String]) -> Result<Identity, SimError> {
    let fixed = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let names: Vec<String> = fixed.into_iter().chain(names.iter().cloned()).collect();
    let (ca, issuer) = authority("tickwire-sim test CA")?;
    let (_, stranger) = authority("nobody's CA")?;
    let elsewhere = vec!["elsewhere.invalid".to_owned()];
    let configs = Configs {
        good: config(&issuer, names.clone(), false)?,
        wrong_name: config(&issuer, elsewhere, false)?,
        unknown_authority: config(&stranger, names.clone(), false)?,
        expired: config(&issuer, names, true)?,
    };
    let (ca_pem, ca_der) = (ca.pem(), ca.der().to_vec());
    Ok(Identity {
        ca_pem,
        ca_der,
        configs,
    })
}

fn authority(name: &str) -> Result<(Certificate, Issuer<'static, KeyPair>), SimError> {
    let mut ca = CertificateParams::new(Vec::new())?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.distinguished_name.push(DnType::CommonName, name);
    ca.key_usages
        .extend([KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign]);
    let key = KeyPair::generate()?;
    let cert = ca.self_signed(&key)?;
    Ok((cert, Issuer::new(ca, key)))
}

fn config(
    issuer: &Issuer<'_, KeyPair>,
    names: Vec<String>,
    expired: bool,
) -> Result<Arc<ServerConfig>, SimError> {
    let mut leaf = CertificateParams::new(names)?;
    leaf.distinguished_name
        .push(DnType::CommonName, "tickwire-sim");
    leaf.use_authority_key_identifier_extension = true;
    leaf.key_usages.push(KeyUsagePurpose::DigitalSignature);
    leaf.extended_key_usages
        .push(ExtendedKeyUsagePurpose::ServerAuth);
    if expired {
        leaf.not_before = date_time_ymd(2019, 1, 1);
        leaf.not_after = date_time_ymd(2020, 1, 1);
    }
    let key = KeyPair::generate()?;
    let cert = leaf.signed_by(&key, issuer)?;
    let chain = vec![CertificateDer::from(cert.der().to_vec())];
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.session_storage = rustls::server::ServerSessionMemoryCache::new(SESSIONS_MAX);
    Ok(Arc::new(config))
}

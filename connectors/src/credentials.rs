//! API keys: held zeroed-on-drop, shown to nobody.
//!
//! Reading them from the environment or a file is the engine's; here they only are.

use core::fmt;

use secrecy::{ExposeSecret, SecretString};

use crate::sign::{KeyError, Signer};

/// What a venue gave a user to prove who they are.
///
/// Nothing in it is printed: `Debug` shows neither key nor secret, there is no `Display`, and
/// the texts are zeroed when dropped.
#[derive(Clone)]
pub struct Credentials {
    key: SecretString,
    secret: SecretString,
    kind: KeyKind,
    passphrase: Option<SecretString>,
    address: Option<SecretString>,
}

/// How the secret signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyKind {
    Hmac,
    Ed25519,
}

impl Credentials {
    /// A key with a shared secret: HMAC-SHA256 at Binance and Bybit, client id and secret at Deribit.
    pub fn hmac(key: impl Into<String>, secret: impl Into<String>) -> Credentials {
        Credentials {
            key: SecretString::from(key.into()),
            secret: SecretString::from(secret.into()),
            kind: KeyKind::Hmac,
            passphrase: None,
            address: None,
        }
    }

    /// A key with an Ed25519 private key as PKCS#8 PEM: Binance's `session.logon` takes no other
    /// (binance-spot-api-docs web-socket-api.md, 2026-07).
    pub fn ed25519(key: impl Into<String>, pem: impl Into<String>) -> Credentials {
        Credentials {
            kind: KeyKind::Ed25519,
            ..Credentials::hmac(key, pem)
        }
    }

    /// With the passphrase that Polymarket gives beside key and secret.
    #[must_use]
    pub fn with_passphrase(mut self, passphrase: impl Into<String>) -> Credentials {
        self.passphrase = Some(SecretString::from(passphrase.into()));
        self
    }

    /// With the address that owns the key (Polymarket's `POLY_ADDRESS`).
    #[must_use]
    pub fn with_address(mut self, address: impl Into<String>) -> Credentials {
        self.address = Some(SecretString::from(address.into()));
        self
    }

    /// The key, or client id. Not a secret by itself, but it names an account: put it into requests only.
    pub fn key(&self) -> &str {
        self.key.expose_secret()
    }

    /// The secret itself, for venues that want it sent (Deribit `client_credentials`, Polymarket's user
    /// channel).
    pub fn expose_secret(&self) -> &str {
        self.secret.expose_secret()
    }

    /// The passphrase, where one was given.
    pub fn passphrase(&self) -> Option<&str> {
        self.passphrase.as_ref().map(ExposeSecret::expose_secret)
    }

    /// The address, where one was given.
    pub fn address(&self) -> Option<&str> {
        self.address.as_ref().map(ExposeSecret::expose_secret)
    }

    /// What signs with the secret: its text as it is, or the Ed25519 key in it.
    pub fn signer(&self) -> Result<Signer, KeyError> {
        match self.kind {
            KeyKind::Hmac => Ok(Signer::hmac(self.expose_secret().as_bytes())),
            KeyKind::Ed25519 => Signer::ed25519(self.expose_secret()),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_them_is_printed() {
        let credentials = Credentials::hmac("the-key", "the-secret")
            .with_passphrase("the-phrase")
            .with_address("the-address");
        let shown = format!("{credentials:?} {credentials:#?}");
        for part in ["the-key", "the-secret", "the-phrase", "the-address"] {
            assert!(!shown.contains(part), "{shown}");
        }
        let broken = Credentials::ed25519("the-key", "not a pem: the-secret");
        let error = broken.signer().err().map(|error| error.to_string());
        assert!(!error.unwrap_or_default().contains("the-secret"));
    }
}

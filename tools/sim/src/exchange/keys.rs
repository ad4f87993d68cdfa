//! Accounts as a test describes them, and the check of their signatures.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use ed25519_dalek::{Signature, SigningKey, Verifier, VerifyingKey};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::CLIENTS_FROM;
use crate::spec::SimVenue;

#[derive(Clone, PartialEq, Eq)]
pub(super) enum Secret {
    Hmac(String),
    /// A public key.
    Ed25519([u8; 32]),
    /// A secret in URL-safe base64 that comes with a passphrase (Polymarket).
    Phrase(String, String),
}

/// An account of a venue: who may trade there, and with what.
#[derive(Clone, PartialEq, Eq)]
#[must_use]
pub struct AccountSpec {
    pub(crate) name: String,
    pub(crate) balances: Vec<(String, String)>,
    keys: Vec<(String, Secret)>,
}

impl fmt::Debug for AccountSpec {
    /// Without its secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<&str> = self.keys.iter().map(|(key, _)| key.as_str()).collect();
        f.debug_struct("AccountSpec")
            .field("name", &self.name)
            .field("balances", &self.balances)
            .field("keys", &keys)
            .finish_non_exhaustive()
    }
}

impl AccountSpec {
    /// API key of the demo account, signed with [`AccountSpec::DEMO_SECRET`].
    pub const DEMO_KEY: &str = "tickwire-demo-hmac-key";
    /// Its secret (HMAC-SHA256).
    pub const DEMO_SECRET: &str = "tickwire-demo-hmac-secret";
    /// Its secret at Polymarket, in URL-safe base64; the passphrase there is [`AccountSpec::DEMO_SECRET`].
    pub const DEMO_BASE64_SECRET: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    /// API key of the demo account that is signed with Ed25519.
    pub const DEMO_ED25519_KEY: &str = "tickwire-demo-ed25519-key";
    /// The private key behind it: test 1 of RFC 8032, 7.1, known to everybody.
    pub const DEMO_ED25519_SEED: [u8; 32] = [
        0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c,
        0xc4, 0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae,
        0x7f, 0x60,
    ];

    /// That private key as a PEM file holds it (PKCS #8, RFC 8410, 7).
    #[must_use]
    pub fn demo_ed25519_pem() -> String {
        const HEAD: [u8; 16] = [
            0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22,
            0x04, 0x20,
        ];
        let der = [HEAD.as_slice(), &Self::DEMO_ED25519_SEED].concat();
        let body = STANDARD.encode(der);
        format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n")
    }

    /// An account without keys and money.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            balances: Vec::new(),
            keys: Vec::new(),
        }
    }

    /// The account "demo" of a venue: the keys above, and enough of the best known assets.
    pub fn demo(venue: SimVenue) -> Self {
        let coins = [
            ("BTC", "5"),
            ("ETH", "100"),
            ("SOL", "2000"),
            ("XRP", "200000"),
        ];
        let account = Self::new("demo");
        let account = if venue == SimVenue::Polymarket {
            account.phrase_key(Self::DEMO_KEY, Self::DEMO_BASE64_SECRET, Self::DEMO_SECRET)
        } else {
            account
                .hmac_key(Self::DEMO_KEY, Self::DEMO_SECRET)
                .ed25519_seed(Self::DEMO_ED25519_KEY, &Self::DEMO_ED25519_SEED)
        };
        let account = match venue {
            SimVenue::BinanceInverse | SimVenue::DeribitInverse | SimVenue::DeribitOption => {
                account
            }
            SimVenue::DeribitLinear | SimVenue::DeribitSpot => account.balance("USDC", "1000000"),
            SimVenue::Polymarket => account.balance("pUSD", "1000000"),
            _ => account.balance("USDT", "1000000"),
        };
        match venue {
            SimVenue::BinanceLinear
            | SimVenue::BybitLinear
            | SimVenue::DeribitLinear
            | SimVenue::Polymarket => account,
            _ => coins.iter().fold(account, |account, (asset, amount)| {
                account.balance(asset, amount)
            }),
        }
    }

    /// A key with a secret in URL-safe base64 and a passphrase, as Polymarket's are.
    pub fn phrase_key(mut self, key: &str, secret: &str, passphrase: &str) -> Self {
        let secret = Secret::Phrase(secret.to_owned(), passphrase.to_owned());
        self.keys.push((key.to_owned(), secret));
        self
    }

    /// A key whose requests are signed with HMAC-SHA256.
    pub fn hmac_key(mut self, key: &str, secret: &str) -> Self {
        self.keys
            .push((key.to_owned(), Secret::Hmac(secret.to_owned())));
        self
    }

    /// A key whose requests are signed with the private half of this Ed25519 key.
    pub fn ed25519_key(mut self, key: &str, public: [u8; 32]) -> Self {
        self.keys.push((key.to_owned(), Secret::Ed25519(public)));
        self
    }

    /// The same, from the private key.
    pub fn ed25519_seed(self, key: &str, seed: &[u8; 32]) -> Self {
        let public = SigningKey::from_bytes(seed).verifying_key().to_bytes();
        self.ed25519_key(key, public)
    }

    /// A deposit, as decimal text.
    pub fn balance(mut self, asset: &str, amount: &str) -> Self {
        self.balances.push((asset.to_owned(), amount.to_owned()));
        self
    }
}

/// Why a request is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unauthorised {
    UnknownKey,
    BadSignature,
    /// The key is of another kind than this call takes.
    WrongKind,
}

/// The keys of all accounts of a venue.
#[derive(Default)]
pub(crate) struct Keys(BTreeMap<String, (usize, Secret)>);

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Keys {
    pub(crate) fn new(accounts: &[AccountSpec]) -> Self {
        let mut keys = BTreeMap::new();
        for (index, account) in accounts.iter().enumerate() {
            for (key, secret) in &account.keys {
                keys.insert(key.clone(), (CLIENTS_FROM + index, secret.clone()));
            }
        }
        Self(keys)
    }

    /// The account of a key.
    pub(crate) fn account(&self, key: &str) -> Option<usize> {
        self.0.get(key).map(|(account, _)| *account)
    }

    /// The shared secret of a key.
    pub(crate) fn secret(&self, key: &str) -> Option<&str> {
        match self.0.get(key) {
            Some((_, Secret::Hmac(secret))) => Some(secret),
            _ => None,
        }
    }

    /// Whether requests of this key are signed with Ed25519.
    pub(crate) fn is_ed25519(&self, key: &str) -> bool {
        matches!(self.0.get(key), Some((_, Secret::Ed25519(_))))
    }

    /// The account of a key whose secret and passphrase these are.
    pub(crate) fn check_secrets(&self, key: &str, secret: &str, phrase: &str) -> Option<usize> {
        match self.0.get(key)? {
            (account, Secret::Phrase(s, p)) if s == secret && p == phrase => Some(*account),
            _ => None,
        }
    }

    /// The account whose key signed this payload, secret and signature in URL-safe base64.
    pub(crate) fn check_url_safe(
        &self,
        key: &str,
        phrase: &str,
        payload: &str,
        signature: &str,
    ) -> Option<usize> {
        let (account, Secret::Phrase(secret, known)) = self.0.get(key)? else {
            return None;
        };
        let mac = Hmac::<Sha256>::new_from_slice(&URL_SAFE.decode(secret).ok()?).ok()?;
        let given = URL_SAFE.decode(signature).ok()?;
        let signed = mac.chain_update(payload).verify_slice(&given).is_ok();
        (signed && known == phrase).then_some(*account)
    }

    /// The account whose key signed this payload: HMACs in hexadecimal of any case, Ed25519 in base64.
    pub(crate) fn check(
        &self,
        key: &str,
        payload: &[u8],
        signature: &str,
    ) -> Result<usize, Unauthorised> {
        let (account, secret) = self.0.get(key).ok_or(Unauthorised::UnknownKey)?;
        let good = match secret {
            Secret::Hmac(secret) => {
                let given = unhex(signature);
                let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes());
                match (mac, given) {
                    (Ok(mac), Some(given)) => {
                        mac.chain_update(payload).verify_slice(&given).is_ok()
                    }
                    _ => false,
                }
            }
            Secret::Phrase(..) => false,
            Secret::Ed25519(public) => {
                let public = VerifyingKey::from_bytes(public);
                let given = STANDARD.decode(signature).ok();
                let given = given.and_then(|bytes| Signature::from_slice(&bytes).ok());
                match (public, given) {
                    (Ok(public), Some(given)) => public.verify(payload, &given).is_ok(),
                    _ => false,
                }
            }
        };
        if good {
            Ok(*account)
        } else {
            Err(Unauthorised::BadSignature)
        }
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let pairs = text.as_bytes().chunks(2).map(|pair| match pair {
        [high, low] => Some((digit(high)? * 16 + digit(low)?) as u8),
        _ => None,
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pem_of_the_demo_key_is_read_back() {
        use ed25519_dalek::pkcs8::DecodePrivateKey as _;
        let key = SigningKey::from_pkcs8_pem(&AccountSpec::demo_ed25519_pem()).unwrap();
        assert_eq!(key.to_bytes(), AccountSpec::DEMO_ED25519_SEED);
    }

    /// The vectors of the venues' pages: rest-api.md (HMAC), and one over RFC 8032's first key.
    #[test]
    fn signatures_are_checked_as_the_venues_sign() {
        let key = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A";
        let secret = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j";
        let account = AccountSpec::new("a")
            .hmac_key(key, secret)
            .ed25519_seed("e", &AccountSpec::DEMO_ED25519_SEED);
        let keys = Keys::new(&[account]);
        let payload = b"symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559";
        let hex = "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71";
        let check = |key, payload: &[u8], signature: &str| keys.check(key, payload, signature);
        assert_eq!(check(key, payload, hex), Ok(CLIENTS_FROM));
        assert_eq!(check(key, payload, &hex.to_uppercase()), Ok(CLIENTS_FROM));
        assert_eq!(
            check(key, b"symbol=ETHBTC", hex),
            Err(Unauthorised::BadSignature)
        );
        assert_eq!(check(key, payload, "zz"), Err(Unauthorised::BadSignature));
        assert_eq!(check("nobody", payload, hex), Err(Unauthorised::UnknownKey));
        let payload = b"apiKey=4yNzx3yWC5bS6YTwEkSRaC0nRmSQIIStAUOh1b6kqaBrTLIhjCpI5lJH8q8R8WNO&price=52000.00&quantity=0.01000000&recvWindow=100&side=SELL&symbol=BTCUSDT&timeInForce=GTC&timestamp=1645423376532&type=LIMIT";
        let base64 = "Ws+5m/CMnpkko0uBFxGTZ2+fjqqBXsUjRiaz173fPhXTkhoDBYNZ6wcYNeWItdrGn1pvG7vkwx2fhmJdAZ3KDQ==";
        assert_eq!(check("e", payload, base64), Ok(CLIENTS_FROM));
        assert_eq!(
            check("e", b"other", base64),
            Err(Unauthorised::BadSignature)
        );
    }
}

//! Signatures of requests: HMAC-SHA256 in three spellings, and Ed25519.
//!
//! A [`Signer`] is made once a key: an HMAC's two key blocks are hashed then, not at each request.

use arrayvec::ArrayString;
use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, STANDARD, URL_SAFE};
use ed25519_dalek::pkcs8::DecodePrivateKey;
use ed25519_dalek::{Signer as _, SigningKey};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// A signature as text: 64 hex digits of an HMAC, 44 characters of base64, or 88 of an Ed25519
/// signature.
pub type Signature = ArrayString<88>;

/// The key can't be used. Its text is not repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not a private key in PKCS#8 PEM.
    #[error("the Ed25519 key is not PKCS#8 PEM (-----BEGIN PRIVATE KEY-----)")]
    NotPem,
    /// Not URL-safe base64.
    #[error("the secret is not URL-safe base64")]
    NotBase64,
}

/// A key, ready to sign. Its state is zeroed when dropped.
#[derive(Clone)]
pub struct Signer(Kind);

#[derive(Clone)]
enum Kind {
    Hmac(Hmac<Sha256>),
    Ed25519(Box<SigningKey>),
}

impl core::fmt::Debug for Signer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self.0 {
            Kind::Hmac(_) => "Signer(HMAC-SHA256)",
            Kind::Ed25519(_) => "Signer(Ed25519)",
        })
    }
}

impl Signer {
    /// HMAC-SHA256 with these bytes as its key.
    pub fn hmac(secret: &[u8]) -> Signer {
        // An HMAC takes a key of any length: the error has no case.
        let mac = Hmac::new_from_slice(secret).unwrap_or_else(|_| Hmac::new(&Default::default()));
        Signer(Kind::Hmac(mac))
    }

    /// HMAC-SHA256 with a key that is written in URL-safe base64, padded or not (Polymarket L2).
    pub fn hmac_base64(secret: &str) -> Result<Signer, KeyError> {
        const LENIENT: GeneralPurpose = GeneralPurpose::new(
            &base64::alphabet::URL_SAFE,
            base64::engine::GeneralPurposeConfig::new()
                .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent),
        );
        let bytes = LENIENT.decode(secret).map_err(|_| KeyError::NotBase64)?;
        let bytes = zeroize::Zeroizing::new(bytes);
        Ok(Signer::hmac(&bytes))
    }

    /// Ed25519 with a private key in PKCS#8 PEM.
    pub fn ed25519(pem: &str) -> Result<Signer, KeyError> {
        let key = SigningKey::from_pkcs8_pem(pem.trim()).map_err(|_| KeyError::NotPem)?;
        Ok(Signer(Kind::Ed25519(Box::new(key))))
    }

    /// Whether this is an Ed25519 key, which Binance's `session.logon` demands.
    pub fn is_ed25519(&self) -> bool {
        matches!(self.0, Kind::Ed25519(_))
    }

    /// Signs the concatenation of `parts` the way Binance, Bybit and Deribit write it: HMAC in
    /// lower-case hex, Ed25519 in base64.
    pub fn sign(&self, parts: &[&[u8]]) -> Signature {
        match &self.0 {
            Kind::Hmac(mac) => hex(&digest(mac, parts)),
            Kind::Ed25519(key) => encode(&STANDARD, &key.sign(&parts.concat()).to_bytes()),
        }
    }

    /// Signs the concatenation of `parts` in URL-safe base64, with padding (Polymarket L2).
    pub fn sign_base64url(&self, parts: &[&[u8]]) -> Signature {
        match &self.0 {
            Kind::Hmac(mac) => encode(&URL_SAFE, &digest(mac, parts)),
            Kind::Ed25519(key) => encode(&URL_SAFE, &key.sign(&parts.concat()).to_bytes()),
        }
    }
}

fn digest(mac: &Hmac<Sha256>, parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = mac.clone();
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

fn hex(bytes: &[u8; 32]) -> Signature {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = Signature::new_const();
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

fn encode(alphabet: &GeneralPurpose, bytes: &[u8]) -> Signature {
    let mut out = [0u8; 88];
    // 64 bytes, the longest there are, make 88 characters.
    let length = alphabet.encode_slice(bytes, &mut out).unwrap_or(0);
    let text = core::str::from_utf8(&out[..length]).unwrap_or_default();
    Signature::from(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors that the venues print, and those recomputed from their SDKs' tests (fact sheets,
    /// 2026-11).
    #[test]
    fn signatures_are_the_venues_own() {
        let hex = [
            // binance-spot-api-docs rest-api.md
            (
                "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j",
                "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559",
                "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71",
            ),
            // nautilus_trader, Bybit WebSocket auth
            (
                "test_secret",
                "GET/realtime1700000000000",
                "bacffe7500499eb829bb58c45d36d1b3e5ac67c14eaeba91df5e99ccee013925",
            ),
            // nautilus_trader, Bybit REST
            (
                "test_secret",
                "1700000000000test_api_key5000category=linear&symbol=BTCUSDT",
                "fd4f31228a46109dc6673062328693696df9a96c7ff04e6491a45e7f63a0fdd7",
            ),
            // docs.deribit.com, authentication
            (
                "AMANDASECRECT",
                "1576074319000\n1iqt2wls\n",
                "56590594f97921b09b18f166befe0d1319b198bbcdad7ca73382de2f88fe9aa1",
            ),
            (
                "AMANDASECRECT",
                "1576074319000\n1iqt2wls\nGET\n/api/v2/private/get_account_summary?currency=BTC\n\n",
                "9bfbc51a2bc372d72cc396cf1a213dc78d42eb74cb7dc272351833ad0de276ab",
            ),
        ];
        for (secret, payload, signature) in hex {
            let signer = Signer::hmac(secret.as_bytes());
            assert_eq!(
                signer.sign(&[payload.as_bytes()]).as_str(),
                signature,
                "{payload}"
            );
            let (head, tail) = payload.as_bytes().split_at(7);
            assert_eq!(signer.sign(&[head, b"", tail]).as_str(), signature);
        }

        // py-clob-client-v2, L2 headers
        let secret = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        let base64 = [
            (
                r#"1000000test-sign/orders{"hash": "0x123"}"#,
                "ZwAdJKvoYRlEKDkNMwd5BuwNNtg93kNaR_oU2HrfVvc=",
            ),
            (
                r#"1000000test-sign/orders{"hash":"0x123"}"#,
                "4gJVbox-R6XlDK4nlaicig0_ANVL1qdcahiL8CXfXLM=",
            ),
            ("1GET/", "eHaylCwqRSOa2LFD77Nt_SaTpbsxzN8eTEI3LryhEj4="),
        ];
        for (payload, signature) in base64 {
            for secret in [secret, secret.trim_end_matches('=')] {
                let signer = Signer::hmac_base64(secret).expect("a key");
                let signed = signer.sign_base64url(&[payload.as_bytes()]);
                assert_eq!(signed.as_str(), signature, "{payload}");
            }
        }
        assert_eq!(
            Signer::hmac_base64("not base64!").err(),
            Some(KeyError::NotBase64)
        );
    }

    /// RFC 8032, section 7.1, test 1: the empty message.
    #[test]
    fn ed25519_keys_are_read_from_pem() {
        let der = unhex(
            "302e020100300506032b6570042204209d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        );
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            STANDARD.encode(&der)
        );
        let signer = Signer::ed25519(&pem).expect("a key");
        assert!(signer.is_ed25519());
        let signature = unhex(
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        );
        assert_eq!(signer.sign(&[]).as_str(), STANDARD.encode(signature));
        assert_eq!(Signer::ed25519("x").err(), Some(KeyError::NotPem));
    }

    fn unhex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text
            .chars()
            .filter_map(|c| c.to_digit(16).map(|d| d as u8))
            .collect();
        digits
            .chunks(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect()
    }
}

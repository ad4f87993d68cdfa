//! Who may log in, and for how long (public/auth, API v2.1.1).

use std::collections::BTreeSet;

use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

use crate::spec::SECOND_NS;

/// The one account: id and secret of the documentation's own example.
pub const DERIBIT_ACCOUNT: (&str, &str) = ("AMANDA", "AMANDASECRECT");

/// A signature holds for so long.
const SIGNATURE_NS: i64 = 60 * SECOND_NS;

/// What was given out.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    nonces: BTreeSet<String>,
    tokens: BTreeSet<String>,
}

impl Accounts {
    /// Whether these parameters log in. The venue does not say which of them is wrong.
    pub(super) fn admits(&mut self, params: &Value, now: i64) -> bool {
        let text = |key: &str| params.get(key).and_then(Value::as_str).unwrap_or_default();
        let (id, secret) = DERIBIT_ACCOUNT;
        match text("grant_type") {
            "client_credentials" => text("client_id") == id && text("client_secret") == secret,
            "client_signature" => {
                let time_ms = params.get("timestamp").and_then(Value::as_i64).unwrap_or(0);
                let (nonce, data) = (text("nonce"), text("data"));
                let age_ns = now - time_ms.saturating_mul(1_000_000);
                let signed = format!("{time_ms}\n{nonce}\n{data}");
                text("client_id") == id
                    && (-SIGNATURE_NS..=SIGNATURE_NS).contains(&age_ns)
                    && text("signature") == sign(secret, &signed)
                    && self.nonces.insert(nonce.to_owned())
            }
            // Each renews once.
            "refresh_token" => self.tokens.remove(text("refresh_token")),
            _ => false,
        }
    }

    /// A token that renews a login.
    pub(super) fn token(&mut self, rng: &mut fastrand::Rng) -> String {
        let token: String = (0..32).map(|_| rng.alphanumeric()).collect();
        self.tokens.insert(token.clone());
        token
    }
}

/// HMAC-SHA256 in lower-case hex.
fn sign(secret: &str, text: &str) -> String {
    // An HMAC takes a key of any length: the error has no case.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
        return String::new();
    };
    mac.update(text.as_bytes());
    let digest = mac.finalize().into_bytes();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_576_074_319 * SECOND_NS;

    fn signed(timestamp: i64, nonce: &str) -> Value {
        let signature = sign(DERIBIT_ACCOUNT.1, &format!("{timestamp}\n{nonce}\n"));
        serde_json::json!({"grant_type":"client_signature","client_id":"AMANDA",
            "timestamp":timestamp,"nonce":nonce,"data":"","signature":signature})
    }

    #[test]
    fn the_documentations_own_signature_logs_in_once() {
        let params = signed(1_576_074_319_000, "1iqt2wls");
        let printed = "56590594f97921b09b18f166befe0d1319b198bbcdad7ca73382de2f88fe9aa1";
        assert_eq!(params["signature"], printed);
        let mut accounts = Accounts::default();
        assert!(accounts.admits(&params, NOW));
        assert!(!accounts.admits(&params, NOW), "a nonce is good once");
        assert!(
            !accounts.admits(&signed(1_576_074_258_000, "2"), NOW),
            "too old"
        );
        let mut wrong = signed(1_576_074_319_000, "3");
        wrong["signature"] = printed.into();
        assert!(!accounts.admits(&wrong, NOW));
    }

    #[test]
    fn a_token_renews_once() {
        let mut accounts = Accounts::default();
        let token = accounts.token(&mut fastrand::Rng::with_seed(1));
        let params = serde_json::json!({"grant_type":"refresh_token","refresh_token":token});
        assert!(accounts.admits(&params, NOW) && !accounts.admits(&params, NOW));
        let params = serde_json::json!({"grant_type":"client_credentials",
            "client_id":"AMANDA","client_secret":"amanda"});
        assert!(!accounts.admits(&params, NOW));
    }
}

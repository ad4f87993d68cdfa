//! Who may log in, and for how long (public/auth, API v2.1.1).

use std::collections::{BTreeMap, BTreeSet};

use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

use crate::exchange::Keys;
use crate::spec::SECOND_NS;
use crate::venue::HttpRequest;

/// Who may log in without an account to trade with: id and secret of the documentation's own example.
pub const DERIBIT_ACCOUNT: (&str, &str) = ("AMANDA", "AMANDASECRECT");

/// A signature holds for so long.
const SIGNATURE_NS: i64 = 60 * SECOND_NS;

/// What was given out.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    nonces: BTreeSet<String>,
    /// Whose login each renews.
    tokens: BTreeMap<String, Option<usize>>,
}

impl Accounts {
    /// The account that these parameters log in, which may have nothing to trade with; `None`: they do
    /// not. The venue does not say which of them is wrong.
    pub(super) fn admits(
        &mut self,
        params: &Value,
        keys: &Keys,
        now: i64,
    ) -> Option<Option<usize>> {
        if params.get("grant_type").and_then(Value::as_str) == Some("refresh_token") {
            // Each renews once.
            let token = params.get("refresh_token").and_then(Value::as_str)?;
            return self.tokens.remove(token);
        }
        let id = params.get("client_id").and_then(Value::as_str)?;
        let known = (id == DERIBIT_ACCOUNT.0).then_some(DERIBIT_ACCOUNT.1);
        let secret = keys.secret(id).or(known)?;
        self.is_signed(params, secret, now)
            .then(|| keys.account(id))
    }

    /// The account that an HTTP request is signed for.
    pub(super) fn admits_request(
        &mut self,
        request: &HttpRequest<'_>,
        keys: &Keys,
        now: i64,
    ) -> Option<usize> {
        let header = request.header("authorization")?;
        let parts = header.strip_prefix("deri-hmac-sha256 ")?;
        let part = |name: &str| {
            let mut parts = parts.split(',').filter_map(|part| part.split_once('='));
            parts.find(|(key, _)| *key == name).map(|(_, value)| value)
        };
        let (id, nonce) = (part("id")?, part("nonce")?);
        let time_ms: i64 = part("ts")?.parse().ok()?;
        let age_ns = now - time_ms.saturating_mul(1_000_000);
        let (path, query) = (request.path, request.query);
        let mark = if query.is_empty() { "" } else { "?" };
        let body = String::from_utf8_lossy(request.body);
        let method = request.method;
        let signed = format!("{time_ms}\n{nonce}\n{method}\n{path}{mark}{query}\n{body}\n");
        let good = (-SIGNATURE_NS..=SIGNATURE_NS).contains(&age_ns)
            && part("sig")? == sign(keys.secret(id)?, &signed)
            && self.nonces.insert(nonce.to_owned());
        keys.account(id).filter(|_| good)
    }

    fn is_signed(&mut self, params: &Value, secret: &str, now: i64) -> bool {
        let text = |key: &str| params.get(key).and_then(Value::as_str).unwrap_or_default();
        match text("grant_type") {
            "client_credentials" => text("client_secret") == secret,
            "client_signature" => {
                let time_ms = params.get("timestamp").and_then(Value::as_i64).unwrap_or(0);
                let (nonce, data) = (text("nonce"), text("data"));
                let age_ns = now - time_ms.saturating_mul(1_000_000);
                let signed = format!("{time_ms}\n{nonce}\n{data}");
                (-SIGNATURE_NS..=SIGNATURE_NS).contains(&age_ns)
                    && text("signature") == sign(secret, &signed)
                    && self.nonces.insert(nonce.to_owned())
            }
            _ => false,
        }
    }

    /// A token that renews a login.
    pub(super) fn token(&mut self, account: Option<usize>, rng: &mut fastrand::Rng) -> String {
        let token: String = (0..32).map(|_| rng.alphanumeric()).collect();
        self.tokens.insert(token.clone(), account);
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
        let (mut accounts, keys) = (Accounts::default(), Keys::default());
        assert_eq!(accounts.admits(&params, &keys, NOW), Some(None));
        let again = accounts.admits(&params, &keys, NOW);
        assert_eq!(again, None, "a nonce is good once");
        let old = signed(1_576_074_258_000, "2");
        assert_eq!(accounts.admits(&old, &keys, NOW), None, "too old");
        let mut wrong = signed(1_576_074_319_000, "3");
        wrong["signature"] = printed.into();
        assert_eq!(accounts.admits(&wrong, &keys, NOW), None);
    }

    #[test]
    fn a_token_renews_once() {
        let mut accounts = Accounts::default();
        let keys = Keys::default();
        let token = accounts.token(Some(2), &mut fastrand::Rng::with_seed(1));
        let params = serde_json::json!({"grant_type":"refresh_token","refresh_token":token});
        assert_eq!(accounts.admits(&params, &keys, NOW), Some(Some(2)));
        assert_eq!(accounts.admits(&params, &keys, NOW), None);
        let params = serde_json::json!({"grant_type":"client_credentials",
            "client_id":"AMANDA","client_secret":"amanda"});
        assert_eq!(accounts.admits(&params, &keys, NOW), None);
    }
}

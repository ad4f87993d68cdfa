//! `public/auth`: how a link logs in, and stays so.
//!
//! Each link logs in for itself, after it comes up and before it subscribes, and renews its login when
//! most of its time has passed. The scope is a session of the link's own name: requests that follow then
//! need no token (API, "access scope"), and none is kept but the one that renews.

use std::io::Write;

use super::subscribe::LOGIN_ID;
use super::urls::Login;
use crate::credentials::Credentials;
use crate::error::{Error, ErrorKind};
use crate::instrument::Market;
use crate::sign::Signer;
use crate::time::Nanos;
use crate::transmit::LinkId;

/// Characters of a nonce. It is to be used once in the minute that a signature holds.
const NONCE_CHARS: usize = 16;

/// Writes the logins of one connector.
#[derive(Debug)]
pub(super) struct LoginWriter {
    credentials: Credentials,
    signer: Signer,
    how: Login,
    market: Market,
    rng: fastrand::Rng,
}

impl LoginWriter {
    /// Fails for credentials that no JSON string holds as they are: those are not Deribit's.
    pub(super) fn new(
        credentials: Credentials,
        how: Login,
        market: Market,
        rng: fastrand::Rng,
    ) -> Result<LoginWriter, Error> {
        if !is_plain(credentials.key()) || !is_plain(credentials.expose_secret()) {
            let text = "Deribit's client id and secret are letters, digits, - and _";
            return Err(Error::ours(ErrorKind::Authentication, text));
        }
        let signer = credentials
            .signer()
            .map_err(|error| Error::ours(ErrorKind::Authentication, error.to_string()))?;
        if signer.is_ed25519() {
            let text = "Deribit logs in by client id and secret: use Credentials::hmac";
            return Err(Error::ours(ErrorKind::Authentication, text));
        }
        Ok(LoginWriter {
            credentials,
            signer,
            how,
            market,
            rng,
        })
    }

    /// The market that logins are for.
    pub(super) const fn market(&self) -> Market {
        self.market
    }

    /// What tells the nonces of one writer from those of another with the same key.
    pub(super) fn salt(&mut self) -> u32 {
        self.rng.u32(..)
    }

    /// A login, or its renewal where there is a token for it.
    pub(super) fn write(
        &mut self,
        now: Nanos,
        link: LinkId,
        refresh_token: Option<&str>,
        body: &mut Vec<u8>,
    ) {
        let nonce: String = (0..NONCE_CHARS).map(|_| self.rng.alphanumeric()).collect();
        let (market, link) = (self.market, link.0);
        let session = format!("tickwire-{market}-{link}");
        // Writing to a Vec can't fail, here and below.
        let _ = write!(
            body,
            r#"{{"jsonrpc":"2.0","id":"{LOGIN_ID}","method":"public/auth","params":"#
        );
        self.write_params(now, (&nonce, &session), refresh_token, body);
        body.push(b'}');
    }

    /// The parameters of a login. `now` is the venue's time, the nonce is good once.
    pub(super) fn write_params(
        &self,
        now: Nanos,
        (nonce, session): (&str, &str),
        refresh_token: Option<&str>,
        body: &mut Vec<u8>,
    ) {
        let id = self.credentials.key();
        body.push(b'{');
        match (refresh_token, self.how) {
            (Some(token), _) => {
                let _ = write!(
                    body,
                    r#""grant_type":"refresh_token","refresh_token":"{token}""#
                );
            }
            (None, Login::Secret) => {
                let secret = self.credentials.expose_secret();
                let _ = write!(
                    body,
                    r#""grant_type":"client_credentials","client_id":"{id}","client_secret":"{secret}""#
                );
            }
            (None, Login::Signature) => {
                let ms = now.as_millis();
                let signature = signature(&self.signer, ms, nonce);
                let _ = write!(
                    body,
                    r#""grant_type":"client_signature","client_id":"{id}","timestamp":{ms},"nonce":"{nonce}","data":"","signature":"{signature}""#
                );
            }
        }
        if refresh_token.is_none() {
            let _ = write!(body, r#","scope":"session:{session}""#);
        }
        body.push(b'}');
    }

    /// The `Authorization` of an HTTP request: over time, nonce, method, path with query, and body
    /// (API, "authentication").
    pub(super) fn authorization(
        &self,
        now: Nanos,
        nonce: &str,
        (method, uri, body): (&str, &str, &[u8]),
    ) -> String {
        let (id, ms) = (self.credentials.key(), now.as_millis());
        let head = format!("{ms}\n{nonce}\n{method}\n{uri}\n");
        let signature = self.signer.sign(&[head.as_bytes(), body, b"\n"]);
        format!("deri-hmac-sha256 id={id},ts={ms},sig={signature},nonce={nonce}")
    }
}

/// Over time, nonce and data, which is empty; both line ends are always there (API, "authentication").
fn signature(signer: &Signer, ms: i64, nonce: &str) -> crate::sign::Signature {
    signer.sign(&[ms.to_string().as_bytes(), b"\n", nonce.as_bytes(), b"\n"])
}

/// Whether a text can stand in JSON as it is.
pub(super) fn is_plain(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
    !text.is_empty() && text.bytes().all(legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer(how: Login) -> LoginWriter {
        let credentials = Credentials::hmac("AMANDA", "AMANDASECRECT");
        let rng = fastrand::Rng::with_seed(1);
        LoginWriter::new(credentials, how, Market::Inverse, rng).expect("good credentials")
    }

    #[test]
    fn the_signature_is_that_of_the_documentation() {
        let got = signature(
            &writer(Login::Signature).signer,
            1_576_074_319_000,
            "1iqt2wls",
        );
        let want = "56590594f97921b09b18f166befe0d1319b198bbcdad7ca73382de2f88fe9aa1";
        assert_eq!(got.as_str(), want);
    }

    /// The vector is computed from the documented rule (API, "authentication").
    #[test]
    fn http_requests_are_signed_over_all_that_is_sent() {
        let writer = writer(Login::Signature);
        let now = Nanos::from_millis(1_576_074_319_000);
        let uri = "/api/v2/private/get_account_summary?currency=BTC";
        let got = writer.authorization(now, "1iqt2wls", ("GET", uri, b""));
        let want = "deri-hmac-sha256 id=AMANDA,ts=1576074319000,sig=9bfbc51a2bc372d72cc396cf1a213dc78d42eb74cb7dc272351833ad0de276ab,nonce=1iqt2wls";
        assert_eq!(got, want);
    }

    #[test]
    fn a_signed_login_has_no_secret_and_no_nonce_twice() {
        let mut writer = writer(Login::Signature);
        let mut write = || {
            let mut body = Vec::new();
            writer.write(Nanos::from_secs(5), LinkId(3), None, &mut body);
            String::from_utf8(body).expect("text")
        };
        let (one, two) = (write(), write());
        assert!(one.contains(r#""timestamp":5000,"#) && one.contains("session:tickwire-inverse-3"));
        assert!(!one.contains("AMANDASECRECT"));
        assert_ne!(one, two);
    }

    #[test]
    fn logins_by_secret_and_renewals_are_written_as_documented() {
        let mut writer = writer(Login::Secret);
        let mut body = Vec::new();
        writer.write(Nanos(0), LinkId(0), None, &mut body);
        let want = r#"{"jsonrpc":"2.0","id":"login","method":"public/auth","params":{"grant_type":"client_credentials","client_id":"AMANDA","client_secret":"AMANDASECRECT","scope":"session:tickwire-inverse-0"}}"#;
        assert_eq!(String::from_utf8_lossy(&body), want);
        body.clear();
        writer.write(Nanos(0), LinkId(0), Some("token"), &mut body);
        let want = r#"{"jsonrpc":"2.0","id":"login","method":"public/auth","params":{"grant_type":"refresh_token","refresh_token":"token"}}"#;
        assert_eq!(String::from_utf8_lossy(&body), want);
    }

    #[test]
    fn credentials_that_are_not_the_venues_are_refused() {
        for credentials in [
            Credentials::hmac("", "x"),
            Credentials::hmac("a\"b", "x"),
            Credentials::hmac("a", "x\n"),
            Credentials::ed25519("a", "x"),
        ] {
            let rng = fastrand::Rng::with_seed(1);
            let made = LoginWriter::new(credentials, Login::Signature, Market::Spot, rng);
            let kind = made.map(|_| ()).map_err(|error| error.kind);
            assert_eq!(kind, Err(ErrorKind::Authentication));
        }
    }
}

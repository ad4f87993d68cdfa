//! A client that signs: what tests of trading need.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use ed25519_dalek::{Signer, SigningKey};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;
use tickwire_sim::{AccountSpec, ConnId, HttpResponse, SimVenue};

use super::{MS, Pipe};

pub(crate) fn hmac_hex(secret: &str, payload: &str) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    let bytes = mac.chain_update(payload).finalize().into_bytes();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn ed25519_base64(payload: &str) -> String {
    let key = SigningKey::from_bytes(&AccountSpec::DEMO_ED25519_SEED);
    STANDARD.encode(key.sign(payload.as_bytes()).to_bytes())
}

pub(crate) fn json(response: &HttpResponse) -> Value {
    serde_json::from_slice(&response.body).unwrap()
}

pub(crate) fn header<'a>(response: &'a HttpResponse, name: &str) -> Option<&'a str> {
    let found = response
        .headers
        .iter()
        .find(|(key, _)| key.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.as_str())
}

impl Pipe {
    /// A signed call of the demo account at Binance.
    pub(crate) fn binance(
        &mut self,
        venue: SimVenue,
        (method, path): (&str, &str),
        params: &str,
    ) -> HttpResponse {
        let stamp = format!("timestamp={}", self.now / MS);
        let signed = if params.is_empty() {
            stamp
        } else {
            format!("{params}&{stamp}")
        };
        let signature = hmac_hex(AccountSpec::DEMO_SECRET, &signed);
        let key = ("x-mbx-apikey".to_owned(), AccountSpec::DEMO_KEY.to_owned());
        let target = format!("{path}?{signed}&signature={signature}");
        self.http(venue, (method, &target), &[key], b"")
    }

    /// A request of the WebSocket API by a session that has logged on (or needs none).
    pub(crate) fn ws_call(
        &mut self,
        venue: SimVenue,
        conn: ConnId,
        method: &str,
        params: &Value,
    ) -> Vec<Value> {
        let mut params = params.clone();
        params["timestamp"] = Value::from(self.now / MS);
        let request = serde_json::json!({"id": "r", "method": method, "params": params});
        self.send(venue, conn, &request.to_string());
        self.run(0);
        self.texts(conn)
    }

    /// Logs a connection of the WebSocket API on, with the Ed25519 key.
    pub(crate) fn ws_logon(&mut self, venue: SimVenue, conn: ConnId) -> Value {
        let (key, stamp) = (AccountSpec::DEMO_ED25519_KEY, self.now / MS);
        let signature = ed25519_base64(&format!("apiKey={key}&timestamp={stamp}"));
        let params = serde_json::json!({"apiKey": key, "timestamp": stamp, "signature": signature});
        let request = serde_json::json!({"id": 1, "method": "session.logon", "params": params});
        self.send(venue, conn, &request.to_string());
        self.texts(conn).remove(0)
    }

    /// A signed call of the demo account at Bybit: a query, or a JSON body.
    pub(crate) fn bybit(
        &mut self,
        venue: SimVenue,
        (method, path): (&str, &str),
        payload: &str,
    ) -> HttpResponse {
        let (key, stamp) = (AccountSpec::DEMO_KEY, self.now / MS);
        let sign = hmac_hex(
            AccountSpec::DEMO_SECRET,
            &format!("{stamp}{key}5000{payload}"),
        );
        let headers = [
            ("X-BAPI-API-KEY", key.to_owned()),
            ("X-BAPI-TIMESTAMP", stamp.to_string()),
            ("X-BAPI-SIGN", sign),
            ("X-BAPI-RECV-WINDOW", "5000".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value));
        if method == "GET" {
            self.http(venue, (method, &format!("{path}?{payload}")), &headers, b"")
        } else {
            self.http(venue, (method, path), &headers, payload.as_bytes())
        }
    }

    /// Opens Bybit's private or trade link and logs it on. The answer to the login comes with it.
    pub(crate) fn bybit_link(&mut self, venue: SimVenue, path: &str) -> (ConnId, Value) {
        let conn = self.open(venue, path).unwrap();
        let expires = self.now / MS + 1_000;
        let sign = hmac_hex(AccountSpec::DEMO_SECRET, &format!("GET/realtime{expires}"));
        let auth =
            serde_json::json!({"op": "auth", "args": [AccountSpec::DEMO_KEY, expires, sign]});
        self.send(venue, conn, &auth.to_string());
        let answer = self.texts(conn).remove(0);
        (conn, answer)
    }

    /// A signed call of the demo account at Polymarket.
    pub(crate) fn polymarket(
        &mut self,
        (method, target): (&str, &str),
        body: &str,
    ) -> HttpResponse {
        let stamp = self.now / 1_000_000_000;
        let path = target.split('?').next().unwrap();
        let secret = URL_SAFE.decode(AccountSpec::DEMO_BASE64_SECRET).unwrap();
        let mac = Hmac::<Sha256>::new_from_slice(&secret).unwrap();
        let signed = format!("{stamp}{method}{path}{body}");
        let sign = URL_SAFE.encode(mac.chain_update(signed).finalize().into_bytes());
        let headers = [
            ("POLY_ADDRESS", "0x0".to_owned()),
            ("POLY_API_KEY", AccountSpec::DEMO_KEY.to_owned()),
            ("POLY_PASSPHRASE", AccountSpec::DEMO_SECRET.to_owned()),
            ("POLY_TIMESTAMP", stamp.to_string()),
            ("POLY_SIGNATURE", sign),
        ]
        .map(|(name, value)| (name.to_owned(), value));
        self.http(
            SimVenue::Polymarket,
            (method, target),
            &headers,
            body.as_bytes(),
        )
    }

    /// Best bid and ask of an instrument, as decimal text.
    pub(crate) fn top(&self, venue: SimVenue, symbol: &str) -> (String, String) {
        let book = self.world.truth().latest(venue, symbol).unwrap();
        (
            book.bid_strings()[0].0.clone(),
            book.ask_strings()[0].0.clone(),
        )
    }
}

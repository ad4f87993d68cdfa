//! Parameters of a signed call: from a query and form body, or from the `params` of a WebSocket
//! request. And the errors that calls end with (errors.md, 2026-07).

use serde_json::Value;

use crate::exchange::{NotUnits, Unauthorised};
use crate::venue::{HttpRequest, percent_decode};

/// An error answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct ApiError {
    pub(in super::super) status: u16,
    pub(in super::super) code: i64,
    pub(in super::super) msg: String,
    /// JSON of `data`, where the answer has it.
    pub(in super::super) data: Option<Vec<u8>>,
}

impl ApiError {
    pub(in super::super) fn new(status: u16, code: i64, msg: impl Into<String>) -> Self {
        Self {
            status,
            code,
            msg: msg.into(),
            data: None,
        }
    }

    /// A caller's fault.
    pub(in super::super) fn bad(code: i64, msg: impl Into<String>) -> Self {
        Self::new(400, code, msg)
    }

    pub(in super::super) fn missing(name: &str) -> Self {
        let text = "was not sent, was empty/null, or malformed.";
        Self::bad(-1102, format!("Mandatory parameter '{name}' {text}"))
    }

    pub(in super::super) fn filter(name: &str) -> Self {
        Self::bad(-1013, format!("Filter failure: {name}"))
    }

    pub(in super::super) fn units(problem: NotUnits, name: &str, filter: &str) -> Self {
        match problem {
            NotUnits::Malformed => Self::bad(
                -1100,
                format!(
                    "Illegal characters found in parameter '{name}'; legal range is \
                     '^([0-9]{{1,20}})(\\.[0-9]{{1,20}})?$'."
                ),
            ),
            NotUnits::Precision => {
                Self::bad(-1111, format!("Parameter '{name}' has too much precision."))
            }
            NotUnits::Step => Self::filter(filter),
        }
    }
}

impl From<Unauthorised> for ApiError {
    fn from(why: Unauthorised) -> Self {
        match why {
            Unauthorised::UnknownKey => Self::new(
                401,
                -2015,
                "Invalid API-key, IP, or permissions for action.",
            ),
            Unauthorised::BadSignature => {
                Self::bad(-1022, "Signature for this request is not valid.")
            }
            // Not documented with its code: the futures errors page has this one for key types.
            Unauthorised::WrongKind => Self::bad(-4056, "HMAC_SHA256 API key is not supported."),
        }
    }
}

/// Named parameters, in the order sent.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Params(Vec<(String, String)>);

impl Params {
    /// Of a REST request, the query's first: it wins. With it comes what was signed: query and body
    /// as sent, one after the other, without the signature.
    pub(in super::super) fn of_rest(request: &HttpRequest<'_>) -> (Self, String) {
        let body = String::from_utf8_lossy(request.body).into_owned();
        let mut all = Vec::new();
        let mut signed = String::new();
        for part in [request.query, &body] {
            let pairs = part.split('&').filter(|pair| !pair.is_empty());
            let kept: Vec<&str> = pairs
                .clone()
                .filter(|p| !p.starts_with("signature="))
                .collect();
            signed.push_str(&kept.join("&"));
            let decoded = pairs.filter_map(|pair| pair.split_once('='));
            all.extend(decoded.map(|(key, value)| (key.to_owned(), percent_decode(value))));
        }
        (Self(all), signed)
    }

    /// Of a WebSocket request, and what was signed: all but the signature, by name.
    pub(in super::super) fn of_ws(params: Option<&Value>) -> (Self, String) {
        let mut all = Vec::new();
        for (key, value) in params.and_then(Value::as_object).into_iter().flatten() {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Null => continue,
                other => other.to_string(),
            };
            all.push((key.clone(), text));
        }
        all.sort();
        let signed = all.iter().filter(|(key, _)| key != "signature");
        let signed: Vec<String> = signed
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        (Self(all), signed.join("&"))
    }

    /// A parameter that was sent and is not empty.
    pub(in super::super) fn get(&self, name: &str) -> Option<&str> {
        let found = self
            .0
            .iter()
            .find(|(key, value)| key == name && !value.is_empty());
        found.map(|(_, value)| value.as_str())
    }

    pub(in super::super) fn need(&self, name: &str) -> Result<&str, ApiError> {
        self.get(name).ok_or_else(|| ApiError::missing(name))
    }

    pub(in super::super) fn number(&self, name: &str) -> Result<Option<i64>, ApiError> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        let range = "'^[0-9]{1,20}$'";
        let msg =
            format!("Illegal characters found in parameter '{name}'; legal range is {range}.");
        text.parse()
            .map(Some)
            .map_err(|_| ApiError::bad(-1100, msg))
    }

    pub(in super::super) fn flag(&self, name: &str) -> Result<bool, ApiError> {
        match self.get(name) {
            None => Ok(false),
            Some(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Some(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            Some(_) => Err(ApiError::bad(
                -1130,
                format!("Data sent for parameter '{name}' is not valid."),
            )),
        }
    }

    /// As a query, for the calls that market data and trading have in common.
    pub(in super::super) fn query(&self) -> String {
        let pairs: Vec<String> = self
            .0
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        pairs.join("&")
    }
}

/// rest-api.md "Timing security": `timestamp < serverTime + 1000 && serverTime - timestamp <=
/// recvWindow`; milliseconds or microseconds.
pub(in super::super) fn check_time(params: &Params, server_ms: i64) -> Result<(), ApiError> {
    let stamp = params
        .number("timestamp")?
        .ok_or_else(|| ApiError::missing("timestamp"))?;
    // Beyond the year 5000 in milliseconds: it is microseconds.
    let stamp_ms = if stamp > 100_000_000_000_000 {
        stamp / 1_000
    } else {
        stamp
    };
    let window = params.get("recvWindow").unwrap_or("5000");
    let window_ms = window
        .split('.')
        .next()
        .and_then(|text| text.parse::<i64>().ok());
    let window_ms = window_ms.ok_or_else(|| {
        ApiError::bad(-1100, "Illegal characters found in parameter 'recvWindow'.")
    })?;
    if window_ms > 60_000 {
        return Err(ApiError::bad(-1131, "recvWindow must be less than 60000."));
    }
    if stamp_ms >= server_ms + 1_000 {
        let msg = "Timestamp for this request was 1000ms ahead of the server's time.";
        return Err(ApiError::bad(-1021, msg));
    }
    if server_ms - stamp_ms > window_ms {
        let msg = "Timestamp for this request is outside of the recvWindow.";
        return Err(ApiError::bad(-1021, msg));
    }
    Ok(())
}

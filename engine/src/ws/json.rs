//! Messages in JSON, as far as a client has to look into them: their top level.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// A message in JSON: its text, checked to be well-formed. What of it is parsed, and into what, is the
/// program's choice: numbers stand in the text as they were sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Json(String);

impl Json {
    /// The text as it came.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// The text as it came.
    pub fn into_text(self) -> String {
        self.0
    }

    /// All of it parsed. Numbers with a fraction become `f64`: read prices from
    /// [`text`](Json::text) or [`raw`](Json::raw).
    pub fn value(&self) -> serde_json::Value {
        serde_json::from_str(&self.0).unwrap_or_default()
    }

    /// The value of a key of the top level, as it stands in the text. `None` where there is none, and
    /// where the message is an array.
    pub fn raw(&self, key: &str) -> Option<String> {
        Envelope::read(&self.0)?.raw(key).map(str::to_owned)
    }

    /// The error of a JSON-RPC answer, as it stands in the text.
    pub fn error(&self) -> Option<String> {
        self.raw("error").filter(|error| error != "null")
    }

    pub(crate) fn of(text: String) -> Json {
        Json(text)
    }
}

impl std::fmt::Debug for Json {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The top level of a JSON object, its values unread. The whole text has been checked.
#[derive(Debug)]
pub struct Envelope<'a> {
    fields: BTreeMap<String, &'a RawValue>,
}

impl<'a> Envelope<'a> {
    /// `None` where the text is no JSON object.
    pub fn read(text: &'a str) -> Option<Envelope<'a>> {
        if !text.trim_start().starts_with('{') {
            return None;
        }
        let fields = serde_json::from_str(text).ok()?;
        Some(Envelope { fields })
    }

    /// The value of a key as it stands in the text.
    pub fn raw(&self, key: &str) -> Option<&'a str> {
        self.fields.get(key).map(|value| value.get())
    }

    /// Whether the key is there, with anything but null.
    pub fn has(&self, key: &str) -> bool {
        self.raw(key).is_some_and(|value| value != "null")
    }

    /// The value of a key, where it is a string.
    pub fn text(&self, key: &str) -> Option<String> {
        serde_json::from_str(self.raw(key)?).ok()
    }

    /// The value of a key, where it is an integer.
    pub fn number(&self, key: &str) -> Option<i64> {
        self.raw(key)?.parse().ok()
    }

    /// The value of a key, where it is an object.
    pub fn object(&self, key: &str) -> Option<Envelope<'a>> {
        Envelope::read(self.raw(key)?)
    }

    /// The strings of a key, where it is an array of strings.
    pub fn texts(&self, key: &str) -> Option<Vec<String>> {
        serde_json::from_str(self.raw(key)?).ok()
    }

    /// The first of `keys` that holds a number or a string: what tells a request from the others.
    pub(crate) fn id(&self, keys: &[&str]) -> Option<RequestKey> {
        keys.iter().find_map(|key| RequestKey::read(self.raw(key)?))
    }

    /// What it asks for: `method` (JSON-RPC, Binance) or `op` (Bybit).
    pub fn method(&self) -> Option<String> {
        self.text("method").or_else(|| self.text("op"))
    }
}

/// The id of a request, written so that equal ids are equal texts: `"a"` however it was escaped, and
/// `1`, which is not `"1"`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RequestKey(String);

impl RequestKey {
    fn read(raw: &str) -> Option<RequestKey> {
        match raw.as_bytes().first()? {
            b'"' => {
                let text: String = serde_json::from_str(raw).ok()?;
                // An empty one is Bybit's way to say that there was none (linear acks).
                (!text.is_empty()).then(|| RequestKey(serde_json::Value::from(text).to_string()))
            }
            b'0'..=b'9' | b'-' => Some(RequestKey(raw.to_owned())),
            _ => None,
        }
    }

    #[cfg(test)]
    pub(crate) fn number(number: u64) -> RequestKey {
        RequestKey(number.to_string())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a text message is.
pub(crate) enum Shape<'a> {
    Object(Envelope<'a>),
    Array,
    Text,
}

/// Tells a JSON object or array from other text. A number or a word is text.
pub(crate) fn shape(text: &str) -> Shape<'_> {
    match text.trim_start().as_bytes().first() {
        Some(b'{') => Envelope::read(text).map_or(Shape::Text, Shape::Object),
        Some(b'[') if serde_json::from_str::<&RawValue>(text).is_ok() => Shape::Array,
        _ => Shape::Text,
    }
}

/// Whether a text is a JSON object or array.
pub(crate) fn is_json(text: &str) -> bool {
    !matches!(shape(text), Shape::Text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_their_senders_mean_them() {
        let table = [
            (r#"{"id":1}"#, Some("1")),
            (r#"{"id":"1"}"#, Some("\"1\"")),
            (r#"{"id":"\u0061"}"#, Some("\"a\"")),
            (r#"{"id":-7,"id":8}"#, Some("8")),
            (r#"{"req_id":"x"}"#, Some("\"x\"")),
            (r#"{"id":null,"req_id":"x"}"#, Some("\"x\"")),
            (r#"{"id":""}"#, None),
            (r#"{"id":null}"#, None),
            (r#"{"id":[1]}"#, None),
            (r#"{"id":true}"#, None),
            ("{}", None),
        ];
        for (text, id) in table {
            let found = Envelope::read(text)
                .expect("an object")
                .id(&["id", "req_id"]);
            assert_eq!(found.as_ref().map(RequestKey::as_str), id, "{text}");
        }
    }

    #[test]
    fn shapes_are_told_apart_and_broken_json_is_text() {
        let table = [
            (r#"{"a":1}"#, "object"),
            (" \n{}", "object"),
            ("[1,2]", "array"),
            ("[]", "array"),
            ("PONG", "text"),
            ("", "text"),
            ("17", "text"),
            ("\"x\"", "text"),
            ("{\"a\":", "text"),
            ("{'a':1}", "text"),
            ("[1,", "text"),
            ("{} x", "text"),
        ];
        for (text, expected) in table {
            let found = match shape(text) {
                Shape::Object(_) => "object",
                Shape::Array => "array",
                Shape::Text => "text",
            };
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn numbers_stay_as_they_were_sent() {
        let json =
            Json::of(r#"{"price":0.10000000000000000001,"n":12345678901234567890}"#.to_owned());
        assert_eq!(json.raw("price").as_deref(), Some("0.10000000000000000001"));
        assert_eq!(json.raw("n").as_deref(), Some("12345678901234567890"));
        assert_eq!(json.raw("x"), None);
    }
}

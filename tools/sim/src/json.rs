//! JSON of answers and private events: objects whose keys keep the order in which they are written.

use crate::num::push_i64;

/// An object under construction.
#[derive(Clone, Debug)]
pub(crate) struct Obj(Vec<u8>);

impl Obj {
    pub(crate) fn new() -> Self {
        Self(vec![b'{'])
    }

    fn key(&mut self, key: &str) {
        if self.0.len() > 1 {
            self.0.push(b',');
        }
        self.0.push(b'"');
        self.0.extend_from_slice(key.as_bytes());
        self.0.extend_from_slice(b"\":");
    }

    /// A text, escaped.
    pub(crate) fn str(mut self, key: &str, value: &str) -> Self {
        self.key(key);
        self.0.extend_from_slice(quoted(value).as_bytes());
        self
    }

    pub(crate) fn int(mut self, key: &str, value: i64) -> Self {
        self.key(key);
        push_i64(&mut self.0, value);
        self
    }

    /// An id: those fit a signed number at every venue.
    pub(crate) fn id(self, key: &str, value: u64) -> Self {
        self.int(key, value as i64)
    }

    pub(crate) fn bool(self, key: &str, value: bool) -> Self {
        self.raw(key, if value { b"true" } else { b"false" })
    }

    /// JSON that stands already.
    pub(crate) fn raw(mut self, key: &str, json: &[u8]) -> Self {
        self.key(key);
        self.0.extend_from_slice(json);
        self
    }

    pub(crate) fn end(mut self) -> Vec<u8> {
        self.0.push(b'}');
        self.0
    }
}

/// A text as JSON writes it.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A list of what stands already.
pub(crate) fn list(items: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut out = vec![b'['];
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(&item);
    }
    out.push(b']');
    out
}

//! A JSON object, written key by key: the keys keep their order, and decimals their digits.

use std::fmt::Display;
use std::io::Write;

/// A JSON object under way. [`end`](Object::end) closes it.
#[derive(Debug)]
pub(super) struct Object<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

impl<'a> Object<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>) -> Object<'a> {
        out.push(b'{');
        Object { out, first: true }
    }

    fn key(&mut self, key: &'static str) -> &mut Vec<u8> {
        if !std::mem::take(&mut self.first) {
            self.out.push(b',');
        }
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    pub(super) fn text(mut self, key: &'static str, value: &str) -> Self {
        let out = self.key(key);
        // Writing to memory does not fail, and a text has no way to be no JSON.
        let _ = serde_json::to_writer(out, value);
        self
    }

    /// A whole number, `true`, `false`: what JSON writes as Rust does.
    pub(super) fn plain(mut self, key: &'static str, value: impl Display) -> Self {
        let out = self.key(key);
        let _ = write!(out, "{value}");
        self
    }

    /// A decimal as text; its display form holds nothing that JSON would have to escape.
    pub(super) fn decimal(mut self, key: &'static str, value: impl Display) -> Self {
        let out = self.key(key);
        let _ = write!(out, "\"{value}\"");
        self
    }

    pub(super) fn null(mut self, key: &'static str) -> Self {
        self.key(key).extend_from_slice(b"null");
        self
    }

    /// `null` for `None`.
    pub(super) fn decimal_or_null(self, key: &'static str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.decimal(key, value),
            None => self.null(key),
        }
    }

    /// Nothing at all for `None`.
    pub(super) fn decimal_if(self, key: &'static str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.decimal(key, value),
            None => self,
        }
    }

    /// Nothing at all for `None`.
    pub(super) fn plain_if(self, key: &'static str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.plain(key, value),
            None => self,
        }
    }

    /// Pairs of decimals: `[["1","2"],..]`.
    pub(super) fn pairs<T: Display>(
        mut self,
        key: &'static str,
        pairs: impl Iterator<Item = (T, T)>,
    ) -> Self {
        let out = self.key(key);
        out.push(b'[');
        for (index, (left, right)) in pairs.enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let _ = write!(out, "{comma}[\"{left}\",\"{right}\"]");
        }
        out.push(b']');
        self
    }

    pub(super) fn end(self) {
        self.out.extend_from_slice(b"}\n");
    }
}

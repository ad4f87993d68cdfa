//! The book that a recording implies at its present position, so that a client which comes late
//! (or comes again) can still synchronise. Levels keep the text that the venue printed.

use std::collections::BTreeMap;

use serde_json::Value;

/// Digits that every recorded price fits in: the longest seen has 8 after the point.
const DECIMALS: usize = 12;

/// A price level: sort key, printed price, printed quantity.
pub(super) type Level = (i128, String, String);

/// Levels of both sides as printed.
#[derive(Clone, Debug, Default)]
pub(super) struct Levels {
    pub(super) bids: Vec<Level>,
    pub(super) asks: Vec<Level>,
}

impl Levels {
    /// Reads `[["price","qty"],..]` twice; what is not a level is left out.
    pub(super) fn parse(bids: Option<&Value>, asks: Option<&Value>) -> Self {
        let side = |value: Option<&Value>| {
            let list = value
                .and_then(Value::as_array)
                .map_or(&[][..], Vec::as_slice);
            list.iter()
                .filter_map(|level| {
                    let price = level.get(0)?.as_str()?;
                    let qty = level.get(1)?.as_str()?;
                    Some((key(price)?, price.to_owned(), qty.to_owned()))
                })
                .collect()
        };
        Self {
            bids: side(bids),
            asks: side(asks),
        }
    }
}

/// A decimal text as an integer of `DECIMALS` digits; `None` if it is not a plain decimal.
fn key(text: &str) -> Option<i128> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    if part.len() > DECIMALS || whole.len() > 20 {
        return None;
    }
    let digits = format!("{whole}{part:0<DECIMALS$}");
    digits
        .bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| digits.parse().ok())?
}

fn is_zero(qty: &str) -> bool {
    qty.bytes().all(|b| matches!(b, b'0' | b'.'))
}

/// A rebuilt book.
#[derive(Clone, Debug, Default)]
pub(super) struct ReplayBook {
    bids: BTreeMap<i128, (String, String)>,
    asks: BTreeMap<i128, (String, String)>,
    /// Newest applied update id; 0: nothing is known yet.
    pub(super) id: u64,
    /// When the matching engine made it, as recorded (`T` of Binance's futures; 0 elsewhere).
    pub(super) engine_ms: i64,
}

impl ReplayBook {
    pub(super) fn load(&mut self, levels: &Levels, numbers: (u64, i64)) {
        self.bids.clear();
        self.asks.clear();
        self.apply(levels, numbers);
    }

    pub(super) fn apply(&mut self, levels: &Levels, (id, engine_ms): (u64, i64)) {
        let sides = [
            (&levels.bids, &mut self.bids),
            (&levels.asks, &mut self.asks),
        ];
        for (from, to) in sides {
            for (key, price, qty) in from {
                if is_zero(qty) {
                    to.remove(key);
                } else {
                    to.insert(*key, (price.clone(), qty.clone()));
                }
            }
        }
        (self.id, self.engine_ms) = (id, engine_ms);
    }

    /// Appends `[["price","qty"],..]` of the best `limit` bids.
    pub(super) fn write_bids(&self, out: &mut Vec<u8>, limit: usize) {
        write(out, self.bids.values().rev().take(limit));
    }

    /// Appends `[["price","qty"],..]` of the best `limit` asks.
    pub(super) fn write_asks(&self, out: &mut Vec<u8>, limit: usize) {
        write(out, self.asks.values().take(limit));
    }
}

fn write<'a>(out: &mut Vec<u8>, levels: impl Iterator<Item = &'a (String, String)>) {
    out.push(b'[');
    for (index, (price, qty)) in levels.enumerate() {
        out.extend_from_slice(if index == 0 { b"[\"" } else { b",[\"" });
        out.extend_from_slice(price.as_bytes());
        out.extend_from_slice(b"\",\"");
        out.extend_from_slice(qty.as_bytes());
        out.extend_from_slice(b"\"]");
    }
    out.push(b']');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_order_as_the_numbers_do() {
        assert_eq!(key("1.5"), Some(1_500_000_000_000));
        assert_eq!(key("1.50000000"), key("1.5"));
        assert!(key("0.00000637") < key("61837.63000000"));
        assert_eq!(key("1e5"), None);
        assert_eq!(key("-1"), None);
    }
}

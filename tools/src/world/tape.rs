//! Trades as they left the venues, read from their frames by a plain JSON parser: what a strategy
//! may see, and in which order.

use std::collections::HashMap;

use serde_json::Value;
use tickwire::testing::sim::SimVenue;

/// One trade, in the venue's own digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sale {
    pub(super) price: String,
    pub(super) qty: String,
    pub(super) buyer_aggressed: bool,
}

/// What a trade without a number is known by: its time in milliseconds, price and size, without zeros at
/// their ends.
type Mark = (u64, String, String);

/// The trades of one instrument, in the order of their leaving; a number tells its place.
#[derive(Debug, Default)]
struct Roll {
    places: HashMap<u128, usize>,
    /// Where the venue numbers none. One transaction may hold two that are alike.
    marked: HashMap<Mark, Vec<usize>>,
    sales: Vec<Sale>,
}

/// All trades of a run. Maps are only looked up, never walked.
#[derive(Debug, Default)]
pub(super) struct Tape {
    rolls: HashMap<(SimVenue, String), Roll>,
}

impl Tape {
    /// Takes a trade frame, wrapped or not. One that a fault has damaged says nothing.
    pub(super) fn record(&mut self, venue: SimVenue, frame: &[u8]) {
        let Ok(frame) = serde_json::from_slice::<Value>(frame) else {
            return;
        };
        if venue.is_binance() {
            let data = frame.get("data").unwrap_or(&frame);
            self.push(venue, data, ["s", "t", "p", "q"], |data| {
                // The buyer was the maker: the seller aggressed.
                data.get("m")?.as_bool().map(|maker| !maker)
            });
        } else if venue == SimVenue::Polymarket {
            self.push_unnumbered(venue, &frame);
        } else if venue.is_deribit() {
            let rows = frame.pointer("/params/data").and_then(Value::as_array);
            let keys = ["instrument_name", "trade_id", "price", "amount"];
            for row in rows.into_iter().flatten() {
                self.push(venue, row, keys, |row| {
                    row.get("direction")?.as_str().map(|side| side == "buy")
                });
            }
        } else {
            let rows = frame.get("data").and_then(Value::as_array);
            for row in rows.into_iter().flatten() {
                self.push(venue, row, ["s", "i", "p", "v"], |row| {
                    row.get("S")?.as_str().map(|side| side == "Buy")
                });
            }
        }
    }

    fn push(
        &mut self,
        venue: SimVenue,
        row: &Value,
        [symbol, id, price, qty]: [&str; 4],
        buys: impl Fn(&Value) -> Option<bool>,
    ) {
        let text = |key: &str| match row.get(key)? {
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        };
        let sale = || {
            Some((
                text(symbol)?,
                number(&text(id)?)?,
                Sale {
                    price: text(price)?,
                    qty: text(qty)?,
                    buyer_aggressed: buys(row)?,
                },
            ))
        };
        if let Some((symbol, id, sale)) = sale() {
            let roll = self.rolls.entry((venue, symbol)).or_default();
            if !roll.places.contains_key(&id) {
                roll.places.insert(id, roll.sales.len());
                roll.sales.push(sale);
            }
        }
    }

    /// A trade that has no number: the transaction tells whether it was sent before.
    fn push_unnumbered(&mut self, venue: SimVenue, row: &Value) {
        let keys = ["asset_id", "transaction_hash", "price", "size"];
        let count = |tape: &Tape, symbol: &str| {
            let roll = tape.rolls.get(&(venue, symbol.to_owned()));
            roll.map_or(0, |roll| roll.sales.len())
        };
        let symbol = row
            .get("asset_id")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let before = count(self, symbol);
        self.push(venue, row, keys, |row| {
            row.get("side")?.as_str().map(|side| side == "BUY")
        });
        let ms = row
            .get("timestamp")
            .and_then(|ms| ms.as_str()?.parse().ok());
        if let (Some(ms), Some(roll)) = (ms, self.rolls.get_mut(&(venue, symbol.to_owned())))
            && let Some(sale) = roll.sales.get(before)
        {
            let mark = (ms, trim(&sale.price).to_owned(), trim(&sale.qty).to_owned());
            roll.marked.entry(mark).or_default().push(before);
        }
    }

    /// A trade without a number, and its place: of several that are alike the one that is due, or one that
    /// is owed.
    pub(super) fn find_unnumbered(
        &self,
        venue: SimVenue,
        symbol: &str,
        (ms, price, qty): (u64, &str, &str),
        due: Option<usize>,
        owed: &[usize],
    ) -> Option<(usize, &Sale)> {
        let roll = self.rolls.get(&(venue, symbol.to_owned()))?;
        let mark = (ms, trim(price).to_owned(), trim(qty).to_owned());
        let places = roll.marked.get(&mark)?;
        let expected = due.filter(|due| places.contains(due));
        let owed = places.iter().find(|place| owed.contains(place));
        let place = expected.or_else(|| owed.or(places.first()).copied())?;
        Some((place, roll.sales.get(place)?))
    }

    /// A trade and its place.
    pub(super) fn find(&self, venue: SimVenue, symbol: &str, id: u128) -> Option<(usize, &Sale)> {
        let roll = self.rolls.get(&(venue, symbol.to_owned()))?;
        let place = *roll.places.get(&id)?;
        Some((place, roll.sales.get(place)?))
    }
}

/// A decimal's text without the zeros at its end.
pub(super) fn trim(text: &str) -> &str {
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        text
    }
}

/// A trade's number: decimal, a UUID, the octets of a name ("ETH-34066694"), or the end of a
/// transaction's.
fn number(text: &str) -> Option<u128> {
    if let Some(digits) = text.strip_prefix("0x") {
        u128::from_str_radix(digits.get(digits.len().checked_sub(32)?..)?, 16).ok()
    } else if text.contains('-') && text.len() < 36 {
        let octets = text.bytes();
        Some(octets.fold(0, |number, octet| number << 8 | u128::from(octet)))
    } else if text.contains('-') {
        u128::from_str_radix(&text.replace('-', ""), 16).ok()
    } else {
        text.parse().ok()
    }
}

//! A naive book, to compare with the truth.

use std::collections::BTreeMap;

use serde_json::Value;
use tickwire_sim::TruthBook;

/// Levels by price text as a number; prices of a test fit in f64's 53 bits as mantissas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Book {
    pub(crate) bids: BTreeMap<i128, i128>,
    pub(crate) asks: BTreeMap<i128, i128>,
}

/// A decimal as an integer of 12 digits after the point.
pub(crate) fn number(text: &Value) -> i128 {
    let text = text.as_str().unwrap();
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    format!("{whole}{part:0<12}").parse().unwrap()
}

impl Book {
    pub(crate) fn apply(&mut self, bids: &Value, asks: &Value) {
        for (list, side) in [(bids, &mut self.bids), (asks, &mut self.asks)] {
            for level in list.as_array().unwrap() {
                let (price, qty) = (number(&level[0]), number(&level[1]));
                if qty == 0 {
                    side.remove(&price);
                } else {
                    side.insert(price, qty);
                }
            }
        }
    }

    pub(crate) fn of(truth: &TruthBook) -> Self {
        let scale = |mantissa: i64, decimals: u8| {
            i128::from(mantissa) * 10i128.pow(12 - u32::from(decimals))
        };
        let side = |levels: &[(i64, i64)]| {
            let pair = |&(p, q): &(i64, i64)| {
                (scale(p, truth.price_decimals), scale(q, truth.qty_decimals))
            };
            levels.iter().map(pair).collect()
        };
        Self {
            bids: side(&truth.bids),
            asks: side(&truth.asks),
        }
    }

    pub(crate) fn top(&self) -> [Option<(i128, i128)>; 2] {
        let pair = |(p, q): (&i128, &i128)| (*p, *q);
        [
            self.bids.last_key_value().map(pair),
            self.asks.first_key_value().map(pair),
        ]
    }
}

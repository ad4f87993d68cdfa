//! serde_json: a value tree for each message, `BTreeMap`s for the book. What one writes first.

use std::collections::BTreeMap;

use serde_json::Value;
use tickwire_orderbook::decimal::mantissa_at;
use tickwire_orderbook::{Level, Scale, Side};

use super::{Layout, TOKEN, Way, levels, rounded, side_of};
use crate::Checksum;

/// See the [module above](super).
#[derive(Debug)]
pub struct Naive {
    layout: Layout,
    scales: (Scale, Scale),
    bids: BTreeMap<i64, i64>,
    asks: BTreeMap<i64, i64>,
    sum: Checksum,
}

impl Naive {
    pub(super) fn new(
        layout: Layout,
        scales: (Scale, Scale),
        (bids, asks): (&[Level], &[Level]),
    ) -> Naive {
        let map = |levels: &[Level]| {
            levels
                .iter()
                .map(|level| (level.price, level.qty))
                .collect()
        };
        Naive {
            layout,
            scales,
            bids: map(bids),
            asks: map(asks),
            sum: Checksum::default(),
        }
    }

    fn walk(&mut self, data: &Value) -> Option<()> {
        let (price_scale, qty_scale) = self.scales;
        let price = |value: &Value| mantissa_at(value.as_str()?.as_bytes(), price_scale).ok();
        let qty = |value: &Value| mantissa_at(value.as_str()?.as_bytes(), qty_scale).ok();
        match self.layout {
            Layout::BinanceDepth | Layout::BybitDepth => {
                for (key, side) in [("b", &mut self.bids), ("a", &mut self.asks)] {
                    for level in data.get(key)?.as_array()? {
                        let (at, size) = (price(level.get(0)?)?, qty(level.get(1)?)?);
                        put(side, at, size);
                    }
                }
            }
            Layout::BinanceTop => {
                for (price_key, qty_key) in [("b", "B"), ("a", "A")] {
                    self.sum.add(price(data.get(price_key)?)?);
                    self.sum.add(qty(data.get(qty_key)?)?);
                }
            }
            Layout::BinanceTrade => {
                self.sum.add(price(data.get("p")?)?);
                self.sum.add(qty(data.get("q")?)?);
            }
            Layout::BybitTrade => {
                for trade in data.as_array()? {
                    self.sum.add(price(trade.get("p")?)?);
                    self.sum.add(qty(trade.get("v")?)?);
                }
            }
            Layout::DeribitBook => {
                for (key, side) in [("bids", &mut self.bids), ("asks", &mut self.asks)] {
                    for level in data.get(key)?.as_array()? {
                        let at = rounded(level.get(1)?.as_f64()?, price_scale);
                        let size = rounded(level.get(2)?.as_f64()?, qty_scale);
                        put(side, at, size);
                    }
                }
            }
            Layout::PolymarketChange => {
                for change in data.get("price_changes")?.as_array()? {
                    if change.get("asset_id")?.as_str()? != TOKEN {
                        continue;
                    }
                    let side = match side_of(change.get("side")?.as_str()?)? {
                        Side::Bid => &mut self.bids,
                        Side::Ask => &mut self.asks,
                    };
                    let at = price(change.get("price")?)?;
                    put(side, at, qty(change.get("size")?)?);
                }
            }
        }
        Some(())
    }
}

fn put(side: &mut BTreeMap<i64, i64>, price: i64, qty: i64) {
    if qty == 0 {
        side.remove(&price);
    } else {
        side.insert(price, qty);
    }
}

impl Way for Naive {
    #[inline]
    fn take(&mut self, message: &mut [u8]) {
        let root: Value = match serde_json::from_slice(message) {
            Ok(root) => root,
            Err(error) => panic!("the simulator writes JSON: {error}"),
        };
        let mut path = self.layout.path().iter();
        let data = path.try_fold(&root, |value, key| value.get(key));
        let walked = data.and_then(|data| self.walk(data));
        assert!(walked.is_some(), "a message of another layout: {root}");
    }

    fn result(&self) -> Checksum {
        if self.layout.is_book() {
            let level = |(price, qty): (&i64, &i64)| Level {
                price: *price,
                qty: *qty,
            };
            return levels(
                self.bids.iter().rev().map(level),
                self.asks.iter().map(level),
            );
        }
        self.sum
    }
}

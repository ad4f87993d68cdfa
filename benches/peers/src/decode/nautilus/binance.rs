//! Binance's futures.

use nautilus_binance::common::enums::BinanceWsEventType;
use nautilus_binance::futures::websocket::streams::messages::{
    BinanceFuturesAggTradeMsg, BinanceFuturesBookTickerMsg, BinanceFuturesDepthUpdateMsg,
    BinanceFuturesTradeMsg,
};
use nautilus_binance::futures::websocket::streams::parse_data::{
    extract_event_type, parse_agg_trade, parse_book_ticker, parse_depth_update, parse_trade,
};
use nautilus_core::UnixNanos;
use nautilus_model::data::{BookOrder, OrderBookDelta, OrderBookDeltas};
use nautilus_model::enums::{BookAction, OrderSide};
use nautilus_model::types::{Price, Quantity};
use serde_json::Value;

use super::{DECIMALS, Nautilus, good, of_tree, place, read, say_quote, say_trade};
use crate::decode::market::snapshot_of;
use crate::feed::{Call, Kind};

impl Nautilus {
    /// `handle_raw_message` and `handle_stream_data` of its handler, `handle_ws_message` of its client.
    #[inline]
    pub(super) fn binance(&mut self, connector: usize, kind: Kind, text: &[u8], now: UnixNanos) {
        if self.is_at_once {
            return match kind {
                Kind::Depth | Kind::Whole => self.binance_depth(connector, &read(text), now),
                Kind::Top => self.binance_ticker(connector, &read(text), now),
                Kind::Trade => self.binance_trade(connector, &read(text), now),
                Kind::AggTrade => self.binance_agg_trade(connector, &read(text), now),
            };
        }
        let tree: Value = read(text);
        let is_answer = tree.get("result").is_some() || tree.get("id").is_some();
        assert!(!is_answer && tree.get("code").is_none(), "{tree}");
        match extract_event_type(&tree) {
            Some(BinanceWsEventType::DepthUpdate) => {
                self.binance_depth(connector, &of_tree(&tree), now);
            }
            Some(BinanceWsEventType::BookTicker) => {
                self.binance_ticker(connector, &of_tree(&tree), now);
            }
            Some(BinanceWsEventType::Trade) => self.binance_trade(connector, &of_tree(&tree), now),
            Some(BinanceWsEventType::AggTrade) => {
                self.binance_agg_trade(connector, &of_tree(&tree), now);
            }
            _ => panic!("nautilus: {tree}"),
        }
    }

    #[inline]
    fn binance_depth(
        &mut self,
        connector: usize,
        message: &BinanceFuturesDepthUpdateMsg,
        now: UnixNanos,
    ) {
        let place = place(&mut self.places[connector], &message.symbol);
        let deltas = good(parse_depth_update(message, &place.instrument, now));
        if !place.is_live {
            place.held.push(deltas);
        } else if message.final_update_id > place.last {
            place.last = message.final_update_id;
            place.apply(&deltas);
        }
    }

    #[inline]
    fn binance_ticker(
        &mut self,
        connector: usize,
        message: &BinanceFuturesBookTickerMsg,
        now: UnixNanos,
    ) {
        let place = place(&mut self.places[connector], &message.symbol);
        let quote = good(parse_book_ticker(message, &place.instrument, now));
        say_quote(place, quote, self.summary.as_mut());
    }

    #[inline]
    fn binance_trade(
        &mut self,
        connector: usize,
        message: &BinanceFuturesTradeMsg,
        now: UnixNanos,
    ) {
        let place = place(&mut self.places[connector], &message.symbol);
        let trade = good(parse_trade(message, &place.instrument, now));
        say_trade(trade, self.summary.as_mut());
    }

    #[inline]
    fn binance_agg_trade(
        &mut self,
        connector: usize,
        message: &BinanceFuturesAggTradeMsg,
        now: UnixNanos,
    ) {
        let place = place(&mut self.places[connector], &message.symbol);
        let trade = good(parse_agg_trade(message, &place.instrument, now));
        say_trade(trade, self.summary.as_mut());
    }

    /// A snapshot of Binance by REST, and what was held for it.
    pub(super) fn snapshot(&mut self, connector: usize, call: &Call) {
        let Some((symbol, last, bids, asks)) = snapshot_of(call) else {
            return;
        };
        for (name, place) in &mut self.places[connector] {
            let is_its = symbol.as_ref().is_none_or(|symbol| symbol == name.as_str());
            if !is_its || place.is_live || place.book_key.is_none() {
                continue;
            }
            let zero = UnixNanos::default();
            let mut deltas = vec![OrderBookDelta::clear(place.id, last, zero, zero)];
            for (side, levels) in [(OrderSide::Buy, &bids), (OrderSide::Sell, &asks)] {
                for (price, qty) in levels {
                    let price = good(Price::from_decimal_dp(*price, DECIMALS));
                    let qty = good(Quantity::from_decimal_dp(*qty, DECIMALS));
                    let order = BookOrder::new(side, price, qty, 0);
                    let (add, id) = (BookAction::Add, place.id);
                    deltas.push(OrderBookDelta::new(id, add, order, 0, last, zero, zero));
                }
            }
            place.apply(&OrderBookDeltas::new(place.id, deltas));
            (place.is_live, place.last) = (true, last);
            for deltas in core::mem::take(&mut place.held) {
                if deltas.sequence > place.last {
                    place.last = deltas.sequence;
                    place.apply(&deltas);
                }
            }
        }
    }
}

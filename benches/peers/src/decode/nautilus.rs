//! nautilus: the handlers' way from a text to its message types, its parse functions, its books.
//!
//! At Binance spot it reads SBE alone and has no decoder of JSON. Spot's frames are given to that of
//! futures, with the fields added beforehand that futures have and spot has not. It subscribes to
//! raw streams: of combined frames it is given what stands in `data`.

use core::hint::black_box;

use nautilus_binance::futures::websocket::streams::messages::{
    BinanceFuturesAggTradeMsg, BinanceFuturesBookTickerMsg, BinanceFuturesDepthUpdateMsg,
    BinanceFuturesTradeMsg,
};
use nautilus_binance::common::enums::BinanceWsEventType;
use nautilus_binance::futures::websocket::streams::parse_data::{
    extract_event_type, parse_agg_trade, parse_book_ticker, parse_depth_update, parse_trade,
};
use nautilus_bybit::websocket::messages::BybitWsFrame;
use nautilus_bybit::websocket::parse::{
    parse_bybit_ws_frame, parse_orderbook_deltas, parse_orderbook_quote, parse_ws_trade_tick,
};
use nautilus_core::UnixNanos;
use nautilus_model::data::{BookOrder, OrderBookDelta, OrderBookDeltas, QuoteTick, TradeTick};
use nautilus_model::enums::{BookAction, BookType, OrderSide};
use nautilus_model::identifiers::{InstrumentId, Symbol};
use nautilus_model::instruments::{CryptoPerpetual, Instrument as _, InstrumentAny};
use nautilus_model::orderbook::OrderBook;
use nautilus_model::types::{Currency, Price, Quantity};
use serde_json::Value;
use tickwire_connectors::{Market, Nanos, Venue};
use ustr::{Ustr, UstrMap};

use super::market::snapshot_of;
use super::ours::top_key;
use super::{Pair, Summary, Way, key_of_topic};
use crate::feed::{Call, Feed, Kind, Message, topic_of};

/// Digits behind the point of every price and quantity: no recording has more.
const PRECISION: u8 = 8;

#[derive(Debug)]
struct Known {
    instrument: InstrumentAny,
    key: String,
    top_key: String,
    book: OrderBook,
    top: [Option<(Price, Quantity)>; 2],
    quote: Option<QuoteTick>,
    last: u64,
    is_live: bool,
    held: Vec<BinanceFuturesDepthUpdateMsg>,
}

/// nautilus.
#[derive(Debug)]
pub struct Nautilus {
    venue: Venue,
    is_spot: bool,
    instruments: Vec<UstrMap<Known>>,
    summary: Option<Summary>,
}

fn instrument(symbol: &str, venue: Venue) -> InstrumentAny {
    let tick = Price::new(1e-8, PRECISION);
    let lot = Quantity::new(1e-8, PRECISION);
    let id = InstrumentId::from(format!("{symbol}.{}", venue.as_str().to_uppercase()).as_str());
    let none = UnixNanos::default();
    let (btc, usdt) = (Currency::BTC(), Currency::USDT());
    InstrumentAny::CryptoPerpetual(CryptoPerpetual::new(
        id,
        Symbol::from(symbol),
        btc,
        usdt,
        usdt,
        false,
        PRECISION,
        PRECISION,
        tick,
        lot,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        none,
        none,
    ))
}

impl Nautilus {
    /// For a recording; `check` has it take down what it says.
    pub fn new(feed: &Feed, check: bool) -> Nautilus {
        let mut instruments: Vec<UstrMap<Known>> = Vec::new();
        instruments.resize_with(feed.plans.len(), UstrMap::default);
        for message in &feed.messages {
            let Some(topic) = topic_of(&message.text) else {
                continue;
            };
            let key = key_of_topic(message.connector, topic);
            let symbol = key.split(' ').nth(1).unwrap_or_default();
            let known = instruments[message.connector].entry(Ustr::from(symbol)).or_insert_with(|| {
                let instrument = instrument(symbol, feed.venue);
                Known {
                    book: OrderBook::new(instrument.id(), BookType::L2_MBP),
                    instrument,
                    key: String::new(),
                    top_key: String::new(),
                    top: [None, None],
                    quote: None,
                    last: 0,
                    is_live: false,
                    held: Vec::new(),
                }
            });
            match message.kind {
                Kind::Depth => known.key = key,
                Kind::Top => known.top_key = top_key(&key, Kind::Top),
                _ => {}
            }
        }
        Nautilus {
            venue: feed.venue,
            is_spot: feed.plans.iter().any(|plan| plan.market == Market::Spot),
            instruments,
            summary: check.then(Summary::default),
        }
    }

    #[inline]
    fn binance(&mut self, connector: usize, text: &[u8], now: UnixNanos) -> Option<()> {
        let json: Value = serde_json::from_slice(text).ok()?;
        if json.get("result").is_some() || json.get("id").is_some() || json.get("code").is_some() {
            return None;
        }
        let known = &mut self.instruments[connector];
        match extract_event_type(&json)? {
            BinanceWsEventType::DepthUpdate => {
                let message: BinanceFuturesDepthUpdateMsg =
                    serde_json::from_value(json.clone()).ok()?;
                let known = known.get_mut(&message.symbol)?;
                if !known.is_live {
                    known.held.push(message);
                    return Some(());
                }
                known.depth(&message, now)?;
            }
            BinanceWsEventType::BookTicker => {
                let message: BinanceFuturesBookTickerMsg =
                    serde_json::from_value(json.clone()).ok()?;
                let known = known.get_mut(&message.symbol)?;
                let quote = parse_book_ticker(&message, &known.instrument, now).ok()?;
                black_box(quote);
                self.quote(connector, message.symbol, quote);
            }
            BinanceWsEventType::Trade => {
                let message: BinanceFuturesTradeMsg = serde_json::from_value(json.clone()).ok()?;
                let known = known.get_mut(&message.symbol)?;
                let trade = parse_trade(&message, &known.instrument, now).ok()?;
                self.trade(black_box(trade));
            }
            BinanceWsEventType::AggTrade => {
                let message: BinanceFuturesAggTradeMsg =
                    serde_json::from_value(json.clone()).ok()?;
                let known = known.get_mut(&message.symbol)?;
                let trade = parse_agg_trade(&message, &known.instrument, now).ok()?;
                self.trade(black_box(trade));
            }
            _ => return None,
        }
        Some(())
    }

    #[inline]
    fn bybit(&mut self, connector: usize, text: &[u8], now: UnixNanos) -> Option<()> {
        let json: Value = serde_json::from_str(std::str::from_utf8(text).ok()?).ok()?;
        if json.get("op").and_then(Value::as_str).is_some_and(|op| op == "pong") {
            return None;
        }
        let known = &mut self.instruments[connector];
        match parse_bybit_ws_frame(json) {
            BybitWsFrame::Orderbook(message) => {
                let symbol = message.data.s;
                let known = known.get_mut(&symbol)?;
                if message.topic.starts_with("orderbook.1.") {
                    let last = known.quote.as_ref();
                    let quote = parse_orderbook_quote(&message, &known.instrument, last, now).ok()?;
                    known.quote = Some(quote);
                    self.quote(connector, symbol, black_box(quote));
                } else {
                    let deltas = parse_orderbook_deltas(&message, &known.instrument, now).ok()?;
                    known.apply(&deltas)?;
                    known.is_live = true;
                }
            }
            BybitWsFrame::Trade(message) => {
                for trade in &message.data {
                    let known = self.instruments[connector].get(&trade.s)?;
                    let trade = parse_ws_trade_tick(trade, &known.instrument, now).ok()?;
                    self.trade(black_box(trade));
                }
            }
            _ => return None,
        }
        Some(())
    }

    #[inline]
    fn quote(&mut self, connector: usize, symbol: Ustr, quote: QuoteTick) {
        if let Some(summary) = &mut self.summary
            && let Some(known) = self.instruments[connector].get(&symbol)
        {
            let pair = |price: Price, qty: Quantity| {
                let pair = (price.as_decimal(), qty.as_decimal());
                (!pair.1.is_zero()).then_some(pair)
            };
            let bid = pair(quote.bid_price, quote.bid_size);
            summary.top(&known.top_key, [bid, pair(quote.ask_price, quote.ask_size)]);
        }
    }

    #[inline]
    fn trade(&mut self, trade: TradeTick) {
        if let Some(summary) = &mut self.summary {
            summary.trade(trade.price.as_decimal(), trade.size.as_decimal());
        }
    }
}

impl Known {
    #[inline]
    fn depth(&mut self, message: &BinanceFuturesDepthUpdateMsg, now: UnixNanos) -> Option<()> {
        if message.final_update_id <= self.last {
            return Some(());
        }
        self.last = message.final_update_id;
        let deltas = parse_depth_update(message, &self.instrument, now).ok()?;
        self.apply(&deltas)
    }

    #[inline]
    fn apply(&mut self, deltas: &OrderBookDeltas) -> Option<()> {
        self.book.apply_deltas(deltas).ok()?;
        let book = &self.book;
        let top = [
            book.best_bid_price().zip(book.best_bid_size()),
            book.best_ask_price().zip(book.best_ask_size()),
        ];
        if top != self.top {
            self.top = top;
            black_box(&self.top);
        }
        Some(())
    }
}

impl Way for Nautilus {
    fn call(&mut self, connector: usize, now: Nanos, call: &Call) {
        let Some((symbol, last, bids, asks)) = snapshot_of(call) else {
            return;
        };
        let now = UnixNanos::from(now.0.unsigned_abs());
        for (name, known) in &mut self.instruments[connector] {
            if known.is_live || symbol.as_ref().is_some_and(|symbol| *symbol != name.as_str()) {
                continue;
            }
            let id = known.instrument.id();
            let sides = [(OrderSide::Buy, &bids), (OrderSide::Sell, &asks)];
            for (side, levels) in sides {
                for (price, qty) in levels {
                    let price = Price::from_decimal_dp(*price, PRECISION);
                    let qty = Quantity::from_decimal_dp(*qty, PRECISION);
                    let (Ok(price), Ok(qty)) = (price, qty) else {
                        continue;
                    };
                    let order = BookOrder::new(side, price, qty, 0);
                    let delta =
                        OrderBookDelta::new(id, BookAction::Add, order, 0, last, now, now);
                    let _ = known.book.apply_delta(&delta);
                }
            }
            known.last = last;
            known.is_live = true;
            for message in std::mem::take(&mut known.held) {
                let _ = known.depth(&message, now);
            }
        }
    }

    fn text(&self, message: &Message) -> Vec<u8> {
        if self.venue == Venue::Bybit {
            return message.text.clone();
        }
        let text = String::from_utf8_lossy(&message.text);
        let data = text.split_once("\"data\":").map_or("", |(_, data)| data);
        let data = data.strip_suffix('}').unwrap_or(data);
        if !self.is_spot {
            return data.as_bytes().to_vec();
        }
        let missing = match message.kind {
            Kind::Depth => ",\"T\":1628952395768,\"pu\":1}",
            Kind::Top => ",\"e\":\"bookTicker\",\"T\":1628952395768,\"E\":1628952395768}",
            _ => "}",
        };
        let data = data.strip_suffix('}').unwrap_or(data);
        format!("{data}{missing}").into_bytes()
    }

    #[inline]
    fn take(&mut self, message: &Message, text: &mut [u8]) {
        let now = UnixNanos::from(message.now.0.unsigned_abs());
        let read = match self.venue {
            Venue::Bybit => self.bybit(message.connector, text, now),
            _ => self.binance(message.connector, text, now),
        };
        assert!(read.is_some(), "nautilus: {}", String::from_utf8_lossy(text));
    }

    fn summary(&mut self) -> Summary {
        let mut summary = self.summary.take().unwrap_or_default();
        for known in self.instruments.iter().flat_map(UstrMap::values) {
            if known.is_live && !known.key.is_empty() {
                let pair = |level: &nautilus_model::orderbook::BookLevel| -> Pair {
                    (level.price.value.as_decimal(), level.size_decimal())
                };
                let (bids, asks) = (known.book.bids(None), known.book.asks(None));
                summary.book(&known.key, bids.map(pair), asks.map(pair));
            }
        }
        summary
    }
}

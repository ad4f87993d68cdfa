//! nautilus: its own types and public functions, from the bytes to its data and its books, called in the
//! order in which its clients call them. What its clients do besides is left out: their channels
//! between tasks, their clock, their log.
//!
//! Its clients read a message into a tree of `serde_json::Value` first and its type out of a copy of that;
//! only at Polymarket they read the type at once. [`Nautilus::at_once`] does that everywhere: it is what
//! its types and functions cost alone.
//!
//! Its decimals are integers with a fixed number of decimals, made by way of a double. An instrument says how
//! many; here all have [`DECIMALS`].

mod binance;

use core::hint::black_box;

use ahash::AHashMap;
use nautilus_bybit::websocket::messages::{
    BybitWsFrame, BybitWsOrderbookDepthMsg, BybitWsTradeMsg,
};
use nautilus_bybit::websocket::parse::{
    parse_bybit_ws_frame, parse_orderbook_deltas, parse_orderbook_quote, parse_ws_trade_tick,
};
use nautilus_core::UnixNanos;
use nautilus_deribit::websocket::enums::{DeribitBookMsgType, DeribitWsChannel};
use nautilus_deribit::websocket::messages::{
    DeribitBookMsg, DeribitQuoteMsg, DeribitSubscriptionNotification, DeribitTradeMsg,
    DeribitWsMessage, parse_raw_message,
};
use nautilus_deribit::websocket::parse::{parse_book_msg, parse_quote_msg, parse_trade_msg};
use nautilus_model::data::{OrderBookDeltas, QuoteTick, TradeTick};
use nautilus_model::enums::BookType;
use nautilus_model::identifiers::{InstrumentId, Symbol, Venue as VenueName};
use nautilus_model::instruments::{CryptoPerpetual, InstrumentAny};
use nautilus_model::orderbook::{BookLevel, OrderBook};
use nautilus_model::types::{Currency, Price, Quantity};
use nautilus_polymarket::websocket::messages::{MarketWsMessage, PolymarketQuotes};
use nautilus_polymarket::websocket::parse::{
    parse_book_deltas, parse_book_snapshot, parse_trade_tick,
};
use serde::Deserialize;
use serde_json::Value;
use tickwire_connectors::{Market, Nanos, Venue};
use ustr::Ustr;

use super::{Pair, Summary, Way};
use crate::feed::{Call, Feed, Kind, Message, kind_of, topic_of};

/// Decimals of all prices and quantities.
pub const DECIMALS: u8 = 8;

/// What is known of a symbol.
struct Place {
    instrument: InstrumentAny,
    id: InstrumentId,
    book: OrderBook,
    top: [Option<(Price, Quantity)>; 2],
    quote: Option<QuoteTick>,
    /// Number of its last book message.
    last: u64,
    is_live: bool,
    /// What came before the snapshot by REST.
    held: Vec<OrderBookDeltas>,
    /// Its names in a summary.
    book_key: Option<String>,
    top_key: Option<String>,
}

/// nautilus.
#[expect(
    missing_debug_implementations,
    reason = "not all of its parts have one"
)]
pub struct Nautilus {
    venue: Venue,
    is_at_once: bool,
    /// By connector.
    places: Vec<AHashMap<Ustr, Place>>,
    /// What topics bring, where that is not asked of a tree.
    kinds: AHashMap<String, Kind>,
    summary: Option<Summary>,
}

/// Whether it can take the recording, or why not.
pub fn refusal(feed: &Feed) -> Option<&'static str> {
    let has = |kind: Kind, text: &[u8]| {
        let of_kind = feed.messages.iter().filter(|message| message.kind == kind);
        let mut texts = of_kind.map(|message| &message.text);
        texts.any(|one| one.windows(text.len()).any(|window| window == text))
    };
    let is_spot = feed.plans.iter().any(|plan| plan.market == Market::Spot);
    match feed.venue {
        Venue::Binance if is_spot => Some("nautilus reads Binance's spot as SBE alone"),
        Venue::Bybit if has(Kind::Top, b"\"b\":[]") || has(Kind::Top, b"\"a\":[]") => {
            Some("nautilus keeps the last price of a side that level 1 says is empty")
        }
        Venue::Deribit if has(Kind::Top, b"_price\":null") => {
            Some("nautilus reads no quote without a price")
        }
        _ => None,
    }
}

fn instrument(id: InstrumentId) -> InstrumentAny {
    let least = 10f64.powi(-i32::from(DECIMALS));
    InstrumentAny::CryptoPerpetual(CryptoPerpetual::new(
        id,
        id.symbol,
        Currency::BTC(),
        Currency::USDT(),
        Currency::USDT(),
        false,
        DECIMALS,
        DECIMALS,
        Price::new(least, DECIMALS),
        Quantity::new(least, DECIMALS),
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
        UnixNanos::default(),
        UnixNanos::default(),
    ))
}

impl Place {
    fn new(venue: Venue, symbol: &str) -> Place {
        let id = InstrumentId::new(Symbol::new(symbol), VenueName::new(venue.as_str()));
        Place {
            instrument: instrument(id),
            id,
            book: OrderBook::new(id, BookType::L2_MBP),
            top: [None, None],
            quote: None,
            last: 0,
            is_live: false,
            held: Vec::new(),
            book_key: None,
            top_key: None,
        }
    }

    /// Changes of its book, and the event where the best prices are new.
    #[inline]
    fn apply(&mut self, deltas: &OrderBookDeltas) {
        let applied = self.book.apply_deltas(deltas);
        assert!(applied.is_ok(), "nautilus: {applied:?}");
        black_box(deltas);
        let book = &self.book;
        let top = [
            book.best_bid_price().zip(book.best_bid_size()),
            book.best_ask_price().zip(book.best_ask_size()),
        ];
        if top != self.top {
            self.top = top;
            black_box((deltas.ts_event, top));
        }
    }
}

#[inline]
fn read<'a, T: Deserialize<'a>>(text: &'a [u8]) -> T {
    match serde_json::from_slice(text) {
        Ok(read) => read,
        Err(error) => panic!("nautilus: {error}: {}", String::from_utf8_lossy(text)),
    }
}

/// Its type out of a copy of the tree.
#[inline]
fn of_tree<T: for<'a> Deserialize<'a>>(tree: &Value) -> T {
    match serde_json::from_value(tree.clone()) {
        Ok(read) => read,
        Err(error) => panic!("nautilus: {error}: {tree}"),
    }
}

#[inline]
fn good<T>(parsed: Result<T, impl core::fmt::Display>) -> T {
    match parsed {
        Ok(parsed) => parsed,
        Err(error) => panic!("nautilus: {error}"),
    }
}

fn place<'a>(places: &'a mut AHashMap<Ustr, Place>, symbol: &Ustr) -> &'a mut Place {
    match places.get_mut(symbol) {
        Some(place) => place,
        None => panic!("nautilus: {symbol} is not known"),
    }
}

fn say_quote(place: &mut Place, quote: QuoteTick, summary: Option<&mut Summary>) {
    place.quote = Some(black_box(quote));
    if let (Some(summary), Some(key)) = (summary, &place.top_key) {
        let side = |price: Price, size: Quantity| -> Option<Pair> {
            let pair = (price.as_decimal(), size.as_decimal());
            (!pair.1.is_zero()).then_some(pair)
        };
        let bid = side(quote.bid_price, quote.bid_size);
        summary.top(key, [bid, side(quote.ask_price, quote.ask_size)]);
    }
}

fn say_trade(trade: TradeTick, summary: Option<&mut Summary>) {
    let trade = black_box(trade);
    if let Some(summary) = summary {
        summary.trade(trade.price.as_decimal(), trade.size.as_decimal());
    }
}

impl Nautilus {
    /// For a recording, as its clients do; `check` has it take down what it says.
    pub fn new(feed: &Feed, check: bool) -> Nautilus {
        let mut places: Vec<AHashMap<Ustr, Place>> = Vec::new();
        places.resize_with(feed.plans.len(), AHashMap::new);
        let mut kinds = AHashMap::new();
        for topic in &feed.topics {
            let symbol = topic.key.split(' ').nth(1).unwrap_or_default();
            let place = places[topic.connector]
                .entry(Ustr::from(symbol))
                .or_insert_with(|| Place::new(feed.venue, symbol));
            match topic.kind {
                Kind::Depth => place.book_key = Some(topic.key.clone()),
                Kind::Top => place.top_key = Some(topic.key.clone()),
                _ => {}
            }
            kinds.insert(topic.name.clone(), topic.kind);
        }
        Nautilus {
            venue: feed.venue,
            is_at_once: false,
            places,
            kinds,
            summary: check.then(Summary::default),
        }
    }

    /// The same with each type read from the bytes at once.
    pub fn at_once(feed: &Feed, check: bool) -> Nautilus {
        Nautilus {
            is_at_once: true,
            ..Nautilus::new(feed, check)
        }
    }

    /// What a message brings, by its topic.
    #[inline]
    fn kind(&self, text: &[u8]) -> Kind {
        let topic = topic_of(self.venue, text);
        match topic.and_then(|topic| self.kinds.get(topic)) {
            Some(kind) => *kind,
            None => panic!("nautilus: {}", String::from_utf8_lossy(text)),
        }
    }

    /// `parse_raw_frame` of its handler, `handle_ws_message` of its client.
    #[inline]
    fn bybit(&mut self, connector: usize, text: &[u8], now: UnixNanos) {
        if self.is_at_once {
            return match self.kind(text) {
                Kind::Trade | Kind::AggTrade => self.bybit_trades(connector, &read(text), now),
                _ => self.bybit_book(connector, &read(text), now),
            };
        }
        let tree: Value = read(text);
        let is_pong = tree.get("op").and_then(Value::as_str) == Some("pong");
        assert!(!is_pong, "{tree}");
        match parse_bybit_ws_frame(tree) {
            BybitWsFrame::Orderbook(message) => self.bybit_book(connector, &message, now),
            BybitWsFrame::Trade(message) => self.bybit_trades(connector, &message, now),
            other => panic!("nautilus: {other:?}"),
        }
    }

    #[inline]
    fn bybit_book(&mut self, connector: usize, message: &BybitWsOrderbookDepthMsg, now: UnixNanos) {
        let place = place(&mut self.places[connector], &message.data.s);
        if message.topic.starts_with("orderbook.1.") {
            let last = place.quote.as_ref();
            let quote = good(parse_orderbook_quote(message, &place.instrument, last, now));
            say_quote(place, quote, self.summary.as_mut());
        } else {
            let deltas = good(parse_orderbook_deltas(message, &place.instrument, now));
            place.apply(&deltas);
        }
    }

    #[inline]
    fn bybit_trades(&mut self, connector: usize, message: &BybitWsTradeMsg, now: UnixNanos) {
        for trade in &message.data {
            let place = place(&mut self.places[connector], &trade.s);
            let trade = good(parse_ws_trade_tick(trade, &place.instrument, now));
            say_trade(trade, self.summary.as_mut());
        }
    }

    /// `process_raw_message` of its handler.
    #[inline]
    fn deribit(&mut self, connector: usize, text: &[u8], now: UnixNanos) {
        if self.is_at_once {
            return match self.kind(text) {
                Kind::Depth | Kind::Whole => {
                    let message: DeribitSubscriptionNotification<DeribitBookMsg> = read(text);
                    self.deribit_book(connector, &message.params.data, now);
                }
                Kind::Top => {
                    let message: DeribitSubscriptionNotification<DeribitQuoteMsg> = read(text);
                    self.deribit_quote(connector, &message.params.data, now);
                }
                Kind::Trade | Kind::AggTrade => {
                    let message: DeribitSubscriptionNotification<Vec<DeribitTradeMsg>> = read(text);
                    self.deribit_trades(connector, &message.params.data, now);
                }
            };
        }
        let text = good(std::str::from_utf8(text));
        let notification = match good(parse_raw_message(text)) {
            DeribitWsMessage::Notification(notification) => notification,
            other => panic!("nautilus: {other:?}"),
        };
        let data = &notification.params.data;
        match DeribitWsChannel::from_channel_string(&notification.params.channel) {
            Some(DeribitWsChannel::Book) => self.deribit_book(connector, &of_tree(data), now),
            Some(DeribitWsChannel::Quote) => self.deribit_quote(connector, &of_tree(data), now),
            Some(DeribitWsChannel::Trades) => {
                self.deribit_trades(connector, &of_tree::<Vec<DeribitTradeMsg>>(data), now);
            }
            other => panic!("nautilus: {other:?}"),
        }
    }

    #[inline]
    fn deribit_book(&mut self, connector: usize, message: &DeribitBookMsg, now: UnixNanos) {
        let place = place(&mut self.places[connector], &message.instrument_name);
        let is_change = message.msg_type == DeribitBookMsgType::Change;
        let follows = message.prev_change_id == Some(place.last);
        assert!(!is_change || follows, "nautilus: a gap");
        place.last = message.change_id;
        let deltas = good(parse_book_msg(message, &place.instrument, now));
        place.apply(&deltas);
    }

    #[inline]
    fn deribit_quote(&mut self, connector: usize, message: &DeribitQuoteMsg, now: UnixNanos) {
        let place = place(&mut self.places[connector], &message.instrument_name);
        let quote = good(parse_quote_msg(message, &place.instrument, now));
        say_quote(place, quote, self.summary.as_mut());
    }

    #[inline]
    fn deribit_trades(&mut self, connector: usize, trades: &[DeribitTradeMsg], now: UnixNanos) {
        for trade in trades {
            let place = place(&mut self.places[connector], &trade.instrument_name);
            let trade = good(parse_trade_msg(trade, &place.instrument, now));
            say_trade(trade, self.summary.as_mut());
        }
    }

    /// `parse_messages` of its handler, `handle_market_message` of its client.
    #[inline]
    fn polymarket(&mut self, connector: usize, text: &[u8], now: UnixNanos) {
        if let Ok(messages) = serde_json::from_slice::<Vec<MarketWsMessage>>(text) {
            for message in messages {
                self.polymarket_message(connector, message, now);
            }
        } else {
            self.polymarket_message(connector, read(text), now);
        }
    }

    #[inline]
    fn polymarket_message(&mut self, connector: usize, message: MarketWsMessage, now: UnixNanos) {
        let places = &mut self.places[connector];
        match message {
            MarketWsMessage::PriceChange(quotes) => {
                for change in &quotes.price_changes {
                    let place = place(places, &change.asset_id);
                    let one = PolymarketQuotes {
                        market: quotes.market,
                        price_changes: vec![change.clone()],
                        timestamp: quotes.timestamp.clone(),
                    };
                    let deltas = parse_book_deltas(&one, place.id, DECIMALS, DECIMALS, now);
                    place.apply(&good(deltas));
                }
            }
            MarketWsMessage::Book(book) => {
                let place = place(places, &book.asset_id);
                if book.bids.is_empty() && book.asks.is_empty() {
                    // It refuses a book without levels: what a recording without books begins with.
                    place.book.clear(0, now);
                    place.top = [None, None];
                    return;
                }
                let deltas = parse_book_snapshot(&book, place.id, DECIMALS, DECIMALS, now);
                place.apply(&good(deltas));
            }
            MarketWsMessage::LastTradePrice(trade) => {
                let place = place(places, &trade.asset_id);
                let trade = parse_trade_tick(&trade, place.id, DECIMALS, DECIMALS, now);
                say_trade(good(trade), self.summary.as_mut());
            }
            _ => {}
        }
    }
}

impl Way for Nautilus {
    fn call(&mut self, connector: usize, now: Nanos, call: &Call) {
        match call {
            // Whole books that are not timed.
            Call::Other(_, text) if self.venue == Venue::Polymarket => {
                if kind_of(self.venue, text) == Some(Kind::Whole) {
                    self.polymarket(connector, text, nanos(now));
                }
            }
            _ => self.snapshot(connector, call),
        }
    }

    /// Its clients subscribe to raw streams of Binance; and Polymarket's messages have fields that it wants
    /// and that a recording may lack.
    fn text(&self, message: &Message) -> Vec<u8> {
        let text = String::from_utf8_lossy(&message.text);
        match self.venue {
            Venue::Binance => {
                let data = text.split_once("\"data\":").map_or("", |(_, data)| data);
                data.strip_suffix('}').unwrap_or(data).as_bytes().to_vec()
            }
            Venue::Polymarket if message.kind == Kind::Depth && !text.contains("\"hash\"") => {
                let with = "\"hash\":\"\",\"best_bid\":";
                text.replace("\"best_bid\":", with).into_bytes()
            }
            Venue::Polymarket
                if message.kind == Kind::Trade && !text.contains("\"fee_rate_bps\"") =>
            {
                let with = "\"fee_rate_bps\":\"0\",\"price\":";
                text.replacen("\"price\":", with, 1).into_bytes()
            }
            _ => message.text.clone(),
        }
    }

    #[inline]
    fn take(&mut self, message: &Message, text: &mut [u8]) {
        let (connector, now) = (message.connector, nanos(message.now));
        match self.venue {
            Venue::Polymarket => self.polymarket(connector, text, now),
            // A raw frame does not say at its front what it brings: read at once, that is known, as of a
            // connection for each kind.
            Venue::Binance => self.binance(connector, message.kind, text, now),
            Venue::Bybit => self.bybit(connector, text, now),
            _ => self.deribit(connector, text, now),
        }
    }

    fn summary(&mut self) -> Summary {
        let mut summary = self.summary.take().unwrap_or_default();
        let pair = |level: &BookLevel| (level.price.value.as_decimal(), level.size_decimal());
        for place in self.places.iter().flat_map(|places| places.values()) {
            let Some(key) = &place.book_key else { continue };
            let book = &place.book;
            if book.has_bid() || book.has_ask() {
                summary.book(key, book.bids(None).map(pair), book.asks(None).map(pair));
            }
        }
        summary
    }
}

fn nanos(now: Nanos) -> UnixNanos {
    UnixNanos::from(now.0.unsigned_abs())
}

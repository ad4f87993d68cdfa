//! Polymarket's frames as JSON text, in the words of docs.polymarket.com
//! (market-data/websocket/market-channel and user-channel, 2026-11) and of recorded frames (2026-02).

use sha1::{Digest, Sha1};

use crate::market::{Book, InstrumentSpec, Side};
use crate::num::{NumFmt, push_i64};

/// Appends text and numbers.
pub(super) struct Json<'a>(pub(super) &'a mut Vec<u8>);

impl Json<'_> {
    pub(super) fn raw(&mut self, text: &str) -> &mut Self {
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    pub(super) fn int(&mut self, value: i64) -> &mut Self {
        push_i64(self.0, value);
        self
    }

    fn price(&mut self, spec: &InstrumentSpec, ticks: i64) -> &mut Self {
        spec.price.push(self.0, ticks);
        self
    }

    /// The last trade's price, which alone keeps its zeros ("0.870" in recorded frames).
    fn last(&mut self, spec: &InstrumentSpec, head: &BookHead<'_>) -> &mut Self {
        let (_, price) = head.tokens.mirror(head.token, Side::Bid, head.tokens.last);
        let format = NumFmt {
            trim: false,
            ..spec.price
        };
        format.push(self.0, price);
        self
    }

    fn qty(&mut self, spec: &InstrumentSpec, lots: i64) -> &mut Self {
        spec.qty.push(self.0, lots);
        self
    }
}

/// The two tokens of a market, "Yes" first.
#[derive(Debug)]
pub(super) struct Tokens {
    pub(super) ids: [String; 2],
    pub(super) condition: String,
    pub(super) question: String,
    /// Ticks of a price of 1.
    pub(super) one: i64,
    pub(super) tick: String,
    /// Price of the last trade, of "Yes".
    pub(super) last: i64,
}

impl Tokens {
    /// Side and price as the token has them: the complement's bid at p is an ask at 1 - p.
    pub(super) fn mirror(&self, token: usize, side: Side, price: i64) -> (Side, i64) {
        match (token, side) {
            (0, side) => (side, price),
            (_, Side::Bid) => (Side::Ask, self.one - price),
            (_, Side::Ask) => (Side::Bid, self.one - price),
        }
    }
}

const fn word(side: Side) -> &'static str {
    match side {
        Side::Bid => "BUY",
        Side::Ask => "SELL",
    }
}

/// What a book frame says beside its levels.
#[derive(Clone, Copy)]
pub(super) struct BookHead<'a> {
    pub(super) tokens: &'a Tokens,
    pub(super) token: usize,
    pub(super) ms: i64,
}

/// The levels of a side as the token has them, the best last.
fn levels(
    json: &mut Json<'_>,
    spec: &InstrumentSpec,
    head: &BookHead<'_>,
    book: &Book,
    side: Side,
) {
    let (own, _) = head.tokens.mirror(head.token, side, 0);
    let map = book.side(own);
    let rows: Box<dyn Iterator<Item = (&i64, &i64)>> = match own {
        Side::Bid => Box::new(map.iter()),
        Side::Ask => Box::new(map.iter().rev()),
    };
    for (index, (price, qty)) in rows.enumerate() {
        let (_, price) = head.tokens.mirror(head.token, own, *price);
        json.raw(if index == 0 { "" } else { "," })
            .raw("{\"price\":\"");
        json.price(spec, price)
            .raw("\",\"size\":\"")
            .qty(spec, *qty)
            .raw("\"}");
    }
}

/// A `book` frame; key order as recorded.
pub(super) fn book(out: &mut Vec<u8>, spec: &InstrumentSpec, head: &BookHead<'_>, book: &Book) {
    let mut json = Json(out);
    json.raw("{\"asks\":[");
    levels(&mut json, spec, head, book, Side::Ask);
    json.raw("],\"asset_id\":\"")
        .raw(&head.tokens.ids[head.token])
        .raw("\",\"bids\":[");
    levels(&mut json, spec, head, book, Side::Bid);
    json.raw("],\"event_type\":\"book\",\"hash\":\"")
        .raw(&book_hash(spec, head, book))
        .raw("\",\"last_trade_price\":\"")
        .last(spec, head)
        .raw("\",\"market\":\"")
        .raw(&head.tokens.condition);
    json.raw("\",\"tick_size\":\"").raw(&head.tokens.tick);
    json.raw("\",\"timestamp\":\"").int(head.ms).raw("\"}");
}

/// The answer of `/book`.
pub(super) fn rest_book(
    out: &mut Vec<u8>,
    spec: &InstrumentSpec,
    head: &BookHead<'_>,
    book: &Book,
) {
    summary(out, spec, head, book, &book_hash(spec, head, book));
}

/// A book as the venue hashes it: the answer of `/book`, with no hash yet.
fn book_hash(spec: &InstrumentSpec, head: &BookHead<'_>, book: &Book) -> String {
    let mut text = Vec::new();
    summary(&mut text, spec, head, book, "");
    let digest = Sha1::digest(&text);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn summary(out: &mut Vec<u8>, spec: &InstrumentSpec, head: &BookHead<'_>, book: &Book, hash: &str) {
    let mut json = Json(out);
    json.raw("{\"market\":\"").raw(&head.tokens.condition);
    json.raw("\",\"asset_id\":\"")
        .raw(&head.tokens.ids[head.token]);
    json.raw("\",\"timestamp\":\"").int(head.ms);
    json.raw("\",\"hash\":\"").raw(hash).raw("\",\"bids\":[");
    levels(&mut json, spec, head, book, Side::Bid);
    json.raw("],\"asks\":[");
    levels(&mut json, spec, head, book, Side::Ask);
    json.raw("],\"min_order_size\":\"5\",\"tick_size\":\"")
        .raw(&head.tokens.tick);
    json.raw("\",\"neg_risk\":false,\"last_trade_price\":\"")
        .last(spec, head)
        .raw("\"}");
}

/// A `price_change` of both tokens: each level's new total, with the best prices after all of them.
pub(super) fn price_change(
    out: &mut Vec<u8>,
    spec: &InstrumentSpec,
    tokens: &Tokens,
    book: &Book,
    changes: &[(Side, i64, i64)],
    ms: i64,
) {
    let mut json = Json(out);
    json.raw("{\"market\":\"")
        .raw(&tokens.condition)
        .raw("\",\"price_changes\":[");
    let mut first = true;
    for (side, price, qty) in changes {
        for token in 0..2 {
            let (side, price) = tokens.mirror(token, *side, *price);
            json.raw(if first { "{" } else { ",{" });
            first = false;
            json.raw("\"asset_id\":\"")
                .raw(&tokens.ids[token])
                .raw("\",\"price\":\"");
            json.price(spec, price).raw("\",\"size\":\"");
            if *qty == 0 {
                json.raw("0");
            } else {
                json.qty(spec, *qty);
            }
            json.raw("\",\"side\":\"").raw(word(side));
            json.raw("\",\"hash\":\"")
                .raw(&order_hash(ms, token))
                .raw("\",\"best_bid\":\"");
            let (bid, ask) = best(tokens, token, book);
            price_or(&mut json, spec, bid, "0");
            json.raw("\",\"best_ask\":\"");
            price_or(&mut json, spec, ask, "1");
            json.raw("\"}");
        }
    }
    json.raw("],\"timestamp\":\"")
        .int(ms)
        .raw("\",\"event_type\":\"price_change\"}");
}

fn price_or(json: &mut Json<'_>, spec: &InstrumentSpec, price: Option<i64>, none: &str) {
    match price {
        Some(price) => json.price(spec, price),
        None => json.raw(none),
    };
}

/// Best bid and ask of a token.
fn best(tokens: &Tokens, token: usize, book: &Book) -> (Option<i64>, Option<i64>) {
    let (bid, ask) = book.top();
    let (bid, ask) = (bid.map(|level| level.0), ask.map(|level| level.0));
    match token {
        0 => (bid, ask),
        _ => (
            ask.map(|ask| tokens.one - ask),
            bid.map(|bid| tokens.one - bid),
        ),
    }
}

/// A `best_bid_ask`, which comes with `custom_feature_enabled`.
pub(super) fn best_bid_ask(
    out: &mut Vec<u8>,
    spec: &InstrumentSpec,
    tokens: &Tokens,
    book: &Book,
    ms: i64,
) {
    let mut json = Json(out);
    json.raw("{\"event_type\":\"best_bid_ask\",\"market\":\"")
        .raw(&tokens.condition);
    json.raw("\",\"asset_id\":\"")
        .raw(&tokens.ids[0])
        .raw("\",\"best_bid\":\"");
    let (bid, ask) = best(tokens, 0, book);
    price_or(&mut json, spec, bid, "0");
    json.raw("\",\"best_ask\":\"");
    price_or(&mut json, spec, ask, "1");
    json.raw("\",\"spread\":\"");
    price_or(&mut json, spec, bid.and_then(|bid| Some(ask? - bid)), "1");
    json.raw("\",\"timestamp\":\"").int(ms).raw("\"}");
}

/// A trade on one of the tokens.
pub(super) struct Traded {
    pub(super) token: usize,
    pub(super) price: i64,
    pub(super) qty: i64,
    pub(super) buys: bool,
    pub(super) id: u64,
}

/// A `last_trade_price`.
pub(super) fn last_trade(
    out: &mut Vec<u8>,
    spec: &InstrumentSpec,
    tokens: &Tokens,
    trade: &Traded,
    ms: i64,
) {
    let mut json = Json(out);
    json.raw("{\"asset_id\":\"").raw(&tokens.ids[trade.token]);
    json.raw("\",\"event_type\":\"last_trade_price\",\"fee_rate_bps\":\"0\",\"market\":\"");
    json.raw(&tokens.condition)
        .raw("\",\"price\":\"")
        .price(spec, trade.price);
    json.raw("\",\"side\":\"")
        .raw(if trade.buys { "BUY" } else { "SELL" });
    json.raw("\",\"size\":\"").qty(spec, trade.qty);
    json.raw("\",\"timestamp\":\"")
        .int(ms)
        .raw("\",\"transaction_hash\":\"0x");
    json.raw(&hex(trade.id ^ u64::from(spec.id) << 40, 64))
        .raw("\"}");
}

/// A `tick_size_change`.
pub(super) fn tick_size(out: &mut Vec<u8>, tokens: &Tokens, token: usize, new: &str, ms: i64) {
    let mut json = Json(out);
    json.raw("{\"event_type\":\"tick_size_change\",\"asset_id\":\"")
        .raw(&tokens.ids[token]);
    json.raw("\",\"market\":\"").raw(&tokens.condition);
    json.raw("\",\"old_tick_size\":\"").raw(&tokens.tick);
    json.raw("\",\"new_tick_size\":\"").raw(new);
    json.raw("\",\"timestamp\":\"").int(ms).raw("\"}");
}

/// A hash beside a change: the venue's is of an order, not of the book.
fn order_hash(ms: i64, token: usize) -> String {
    hex(ms as u64 ^ (token as u64) << 60, 40)
}

/// So many hexadecimal digits made of a seed.
pub(super) fn hex(seed: u64, digits: usize) -> String {
    let mut rng = fastrand::Rng::with_seed(seed);
    (0..digits)
        .map(|_| rng.digit(16).to_ascii_lowercase())
        .collect()
}

//! Polymarket's words: one topic a token, no acks, no numbers but the time in milliseconds.

use super::*;

pub(super) const TOKENS: [&str; SYMBOLS] = [
    "11111111111111111111111111111111111111111111111111111111111111111111111111111",
    "22222222222222222222222222222222222222222222222222222222222222222222222222222",
    "33333333333333333333333333333333333333333333333333333333333333333333333333333",
];

/// Id (there is none), what is asked for, and the tokens.
pub(super) fn parts(request: &Value) -> [&Value; 3] {
    let first = &request["type"];
    let op = if first.is_null() {
        &request["operation"]
    } else {
        first
    };
    [&Value::Null, op, &request["assets_ids"]]
}

fn levels(side: &Side64) -> Value {
    let row = |(&price, &qty): (&i64, &i64)| json!({"price": text(price), "size": text(qty)});
    side.iter().map(row).collect()
}

fn book(token: &str, truth: &Truth) -> Value {
    json!({
        "event_type": "book", "asset_id": token, "market": "0x1", "hash": "ab",
        "timestamp": truth.seq.to_string(), "bids": levels(&truth.bids),
        "asks": levels(&truth.asks), "tick_size": "0.01",
    })
}

impl World {
    pub(super) fn polymarket_whole(&self, token: &str) -> Option<String> {
        let symbol = TOKENS.iter().position(|one| *one == token)?;
        Some(json!([book(token, &self.truths[symbol])]).to_string())
    }

    pub(super) fn polymarket_news(
        &self,
        symbol: usize,
        bids: &Side64,
        asks: &Side64,
    ) -> Vec<(String, String)> {
        let (token, truth) = (TOKENS[symbol], &self.truths[symbol]);
        let ms = truth.seq.to_string();
        let best_bid = truth.bids.keys().next_back();
        let best_ask = truth.asks.keys().next();
        let row = |side: &str, (&price, &qty): (&i64, &i64)| {
            json!({
                "asset_id": token, "price": text(price), "size": text(qty), "side": side,
                "hash": "ab", "best_bid": best_bid.map_or("0".to_owned(), |price| text(*price)),
                "best_ask": best_ask.map_or("1".to_owned(), |price| text(*price)),
            })
        };
        let bids = bids.iter().map(|level| row("BUY", level));
        let asks = asks.iter().map(|level| row("SELL", level));
        let rows: Vec<Value> = bids.chain(asks).collect();
        let change = if rows.is_empty() {
            // A message without a change is none: the book comes instead.
            json!([book(token, truth)])
        } else {
            json!({
                "market": "0x1", "price_changes": rows, "timestamp": ms,
                "event_type": "price_change",
            })
        };
        let trade = json!({
            "asset_id": token, "event_type": "last_trade_price", "fee_rate_bps": "0",
            "market": "0x1", "price": "0.5", "side": "BUY", "size": "1", "timestamp": ms,
            "transaction_hash": format!("0x{:064x}", self.trades),
        });
        let message = |data: Value| (token.to_owned(), data.to_string());
        vec![message(change), message(trade)]
    }

    /// The answer to a REST call: a token's book, or those of all.
    pub(super) fn polymarket_answer(&self, target: &str, fault: HttpFault) -> Value {
        let truth = |symbol: usize| match fault {
            HttpFault::Old => self.past[symbol].front().expect("a past"),
            _ => &self.truths[symbol],
        };
        let Some((_, token)) = target.split_once("token_id=") else {
            let all = TOKENS.iter().enumerate();
            return all
                .map(|(symbol, token)| book(token, truth(symbol)))
                .collect();
        };
        match TOKENS.iter().position(|one| *one == token) {
            Some(symbol) => book(token, truth(symbol)),
            None => json!({"error": "No orderbook exists for the requested token id"}),
        }
    }
}

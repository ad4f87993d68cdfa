//! Deribit's words: JSON-RPC, numbers without quotes, books by a chain of ids.

use super::*;

/// Id, method and topics of a request.
pub(super) fn parts(request: &Value) -> [&Value; 3] {
    [
        &request["id"],
        &request["method"],
        &request["params"]["channels"],
    ]
}

/// The answer to a request that is not about topics.
pub(super) fn done(id: &Value) -> String {
    json!({"jsonrpc": "2.0", "id": id, "result": "ok", "usIn": 1, "usOut": 2}).to_string()
}

pub(super) fn refusal(id: &Value, words: &str) -> Value {
    let error = json!({"code": 11_050, "message": words});
    json!({"jsonrpc": "2.0", "id": id, "error": error})
}

fn notification(topic: &str, data: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","method":"subscription","params":{{"channel":"{topic}","data":{data}}}}}"#
    )
}

/// Levels with what has become of them.
fn steps(side: &Side64) -> String {
    let row = |(&price, &qty): (&i64, &i64)| {
        let action = if qty == 0 { "delete" } else { "change" };
        format!(r#"["{action}",{},{}]"#, text(price), text(qty))
    };
    side.iter().map(row).collect::<Vec<_>>().join(",")
}

/// Levels alone, the best first.
fn levels<'a>(side: impl Iterator<Item = (&'a i64, &'a i64)>) -> String {
    let row = |(&price, &qty): (&i64, &i64)| format!("[{},{}]", text(price), text(qty));
    side.map(row).collect::<Vec<_>>().join(",")
}

fn quote(name: &str, ms: i64, truth: &Truth) -> String {
    let side = |level: Option<(&i64, &i64)>| {
        let (price, qty) = level.map_or((0, 0), |(&price, &qty)| (price, qty));
        (text(price), text(qty))
    };
    let (bid, bids) = side(truth.bids.last_key_value());
    let (ask, asks) = side(truth.asks.first_key_value());
    format!(
        r#"{{"timestamp":{ms},"instrument_name":"{name}","best_bid_price":{bid},"best_bid_amount":{bids},"best_ask_price":{ask},"best_ask_amount":{asks}}}"#
    )
}

impl World {
    pub(super) fn deribit_whole(&self, topic: &str) -> Option<String> {
        let name = topic.split('.').nth(1)?;
        let truth = &self.truths[self.kind.names().iter().position(|one| *one == name)?];
        let ms = self.now.as_millis();
        let (bids, asks, seq) = (steps(&truth.bids), steps(&truth.asks), truth.seq);
        let data = match topic.split('.').next()? {
            "book" => format!(
                r#"{{"type":"snapshot","timestamp":{ms},"instrument_name":"{name}","change_id":{seq},"bids":[{bids}],"asks":[{asks}]}}"#
            ),
            "quote" => quote(name, ms, truth),
            _ => return None,
        };
        Some(notification(topic, &data))
    }

    pub(super) fn deribit_news(
        &self,
        symbol: usize,
        before: u64,
        bids: &Side64,
        asks: &Side64,
    ) -> Vec<(String, String)> {
        let (name, truth) = (self.kind.names()[symbol], &self.truths[symbol]);
        let (ms, seq, trade) = (self.now.as_millis(), truth.seq, self.trades);
        let (bids, asks) = (steps(bids), steps(asks));
        let book = format!(
            r#"{{"type":"change","timestamp":{ms},"prev_change_id":{before},"instrument_name":"{name}","change_id":{seq},"bids":[{bids}],"asks":[{asks}]}}"#
        );
        let trades = format!(
            r#"[{{"trade_seq":{trade},"trade_id":"{trade}","timestamp":{ms},"tick_direction":0,"price":100,"mark_price":100.5,"instrument_name":"{name}","index_price":100.25,"direction":"buy","amount":1}}]"#
        );
        let topics = [
            (format!("book.{name}.100ms"), book),
            (format!("quote.{name}"), quote(name, ms, truth)),
            (format!("trades.{name}.100ms"), trades),
        ];
        let message = |(topic, data): (String, String)| {
            let text = notification(&topic, &data);
            (topic, text)
        };
        topics.map(message).into()
    }

    /// The answer to a REST call.
    pub(super) fn deribit_answer(&self, target: &str, fault: HttpFault) -> Value {
        let names = self.kind.names();
        let asked = target.split(['?', '&']).find_map(|part| {
            let name = part.strip_prefix("instrument_name=")?;
            names.iter().position(|one| *one == name)
        });
        let instrument = |name: &str| {
            json!({
                "instrument_name": name, "tick_size": 0.01, "min_trade_amount": 0.01,
                "contract_size": 0.01, "is_active": true, "kind": "future",
                "expiration_timestamp": 32_503_708_800_000u64,
            })
        };
        let ms = self.now.as_millis();
        let result = match asked {
            None => names.iter().map(|name| instrument(name)).collect(),
            Some(symbol) if target.contains("get_order_book") => {
                let truth = match fault {
                    HttpFault::Old => self.past[symbol].front().expect("a past"),
                    _ => &self.truths[symbol],
                };
                let (bids, asks) = (levels(truth.bids.iter().rev()), levels(truth.asks.iter()));
                let book = format!(
                    r#"{{"timestamp":{ms},"change_id":{},"bids":[{bids}],"asks":[{asks}]}}"#,
                    truth.seq
                );
                serde_json::from_str(&book).expect("JSON")
            }
            Some(_) if target.contains("get_last_trades") => {
                let trade = json!({"trade_seq": self.trades, "price": 100, "amount": 1});
                json!({"trades": [trade], "has_more": false})
            }
            Some(symbol) => instrument(names[symbol]),
        };
        json!({"jsonrpc": "2.0", "result": result, "usIn": 1, "usOut": 2})
    }
}

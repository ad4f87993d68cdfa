//! What the methods give.

use serde_json::Value;

use super::entity::*;

said! {
    /// Result of `sessions.list`; newest first.
    pub struct Sessions {
        /// The sessions.
        pub sessions: Vec<Session>,
        /// There are more from here.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub next_cursor: Option<String>,
    }

    /// Result of `messages.send` and `messages.retry`
    pub struct MessageSent {
        /// The instruction.
        pub message_id: String,
        /// The message that will hold the answer.
        pub reply_id: String,
    }

    /// Result of `messages.cancel`
    pub struct MessageCancelled {
        /// False where no answer was under way.
        pub cancelled: bool,
    }

    /// Result of `agents.list`
    pub struct Agents {
        /// The strategies.
        pub agents: Vec<Agent>,
    }

    /// Result of `tools.list`
    pub struct Tools {
        /// The tools.
        pub tools: Vec<Tool>,
    }

    /// Result of `tools.approve` and `tools.reject`
    pub struct Decision {
        /// How it was decided.
        pub state: CallState,
        /// By whom.
        pub decided_by: String,
        /// When.
        pub decided_at: i64,
    }

    /// Result of `todos.get` and `todos.update`
    pub struct Todos {
        /// The plan.
        pub todos: Vec<Todo>,
        /// Its version.
        pub version: u64,
    }

    /// Result of `markets.list`
    pub struct Markets {
        /// The instruments.
        pub markets: Vec<MarketOf>,
    }

    /// Result of `orders.list`
    pub struct Orders {
        /// The orders.
        pub orders: Vec<Order>,
    }

    /// Result of `orders.cancel` and `orders.cancelAll`: cancels that were sent. What becomes of an
    /// order is told on `orders:{projectId}`.
    pub struct CancelsSent {
        /// How many.
        pub requested: u32,
    }

    /// Result of `positions.list`
    pub struct Positions {
        /// The positions.
        pub positions: Vec<PositionOf>,
    }

    /// Result of `system.kill`
    pub struct Killed {
        /// Approvals that were called back.
        pub approvals_cancelled: u32,
        /// Answers that were cancelled.
        pub messages_cancelled: u32,
        /// Orders whose cancel was sent.
        pub orders_cancelled: u32,
    }

    /// Result of `system.resume`
    pub struct Resumed {
        /// `running`
        pub state: String,
    }

    /// Percentiles in nanoseconds.
    pub struct Percentiles {
        /// How many were measured.
        pub count: u64,
        /// Half are below.
        pub p50_ns: u64,
        /// 99 of 100 are below.
        pub p99_ns: u64,
        /// 999 of 1,000 are below.
        pub p999_ns: u64,
        /// The largest.
        pub max_ns: u64,
    }

    /// Result of `system.stats`
    pub struct Stats {
        /// `running` or `halted`
        pub state: String,
        /// Counters of the gateway, by name.
        pub counters: std::collections::BTreeMap<String, u64>,
        /// How long a turn of the gateway's thread took.
        pub turn: Percentiles,
        /// How long a request took, from its frame to its answer.
        pub request: Percentiles,
        /// What the trading side counts, as it names it.
        pub desk: Value,
    }

    /// Result of `auth.refresh`
    pub struct Refreshed {
        /// When it expires, milliseconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub expires_at: Option<i64>,
        /// What it allows.
        pub scopes: Vec<String>,
    }
}

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;
    use serde_json::json;

    use super::*;
    use crate::protocol::{Connected, ErrorBody, OrderEvent, Subscribed};

    /// With a field that nobody knows in each object, but in those that anybody may fill.
    fn with_more(value: Value) -> Value {
        match value {
            Value::Object(fields) => {
                let more = fields.into_iter().map(|(name, value)| match name.as_str() {
                    "details" | "snapshot" | "desk" | "paramsSchema" | "counters" => (name, value),
                    _ => (name, with_more(value)),
                });
                let mut fields: serde_json::Map<_, _> = more.collect();
                fields.insert("ofTomorrow".to_owned(), json!({ "any": [1] }));
                Value::Object(fields)
            }
            Value::Array(items) => items.into_iter().map(with_more).collect(),
            other => other,
        }
    }

    fn read<T: DeserializeOwned + std::fmt::Debug + PartialEq>(value: Value) {
        let today: T = serde_json::from_value(value.clone()).expect("as it is today");
        let more = with_more(value);
        let tomorrow: T =
            serde_json::from_value(more.clone()).unwrap_or_else(|error| panic!("{error}: {more}"));
        assert_eq!(today, tomorrow);
    }

    #[test]
    fn a_client_passes_over_what_a_newer_gateway_says() {
        let error = json!({ "code": "BUSY", "message": "m", "retryable": true });
        let order = json!({ "projectId": "p", "clientOrderId": "c", "venue": "v", "market": "m",
            "symbol": "s", "side": "buy", "type": "limit", "filled": "0", "status": "new",
            "updatedAt": 1 });
        let fill = json!({ "tradeId": "t", "clientOrderId": "c", "price": "1", "qty": "1",
            "liquidity": "maker", "at": 1 });
        let ticket = json!({ "mode": "live", "venue": "v", "market": "m", "symbol": "s",
            "side": "sell", "type": "limit", "timeInForce": "gtc", "size": "1", "sizeIn": "base",
            "reduceOnly": false, "clientOrderId": "c" });
        let call = json!({ "id": "i", "tool": "order.place", "sessionId": "s", "projectId": "p",
            "messageId": "m", "order": ticket, "digest": "d", "state": "pending",
            "requestedAt": 1, "expiresAt": 2 });
        let part = json!({ "id": "i", "messageId": "m", "sessionId": "s", "type": "tool-result",
            "toolCall": call, "toolResult": { "toolCallId": "i", "order": order, "fill": fill,
            "error": error } });
        let session = json!({ "id": "i", "projectId": "p", "agent": "a", "title": "t",
            "mode": "live", "status": "active", "createdAt": 1, "updatedAt": 1 });
        let message = json!({ "id": "i", "sessionId": "s", "role": "assistant",
            "status": "complete", "createdAt": 1, "error": error, "parts": [part] });
        let todo = json!({ "id": "i", "content": "c", "status": "pending", "position": 0 });
        read::<SessionDetail>(json!({ "session": session, "messages": [message],
            "todos": [todo], "pendingApprovals": [call],
            "position": { "epoch": "e", "offset": 1 } }));
        read::<Sessions>(json!({ "sessions": [session] }));
        read::<Todos>(json!({ "todos": [todo], "version": 1 }));
        read::<Decision>(json!({ "state": "approved", "decidedBy": "u", "decidedAt": 1 }));
        read::<OrderEvent>(json!({ "order": order, "fill": fill }));
        read::<Orders>(json!({ "orders": [order] }));
        let place = json!({ "venue": "v", "market": "m", "symbol": "s", "qty": "1" });
        read::<Positions>(json!({ "positions": [place] }));
        let level = ("1", "2");
        read::<BookOf>(
            json!({ "venue": "v", "market": "m", "symbol": "s", "live": true,
            "seqVenue": 1, "tsVenue": 1, "tsRecv": 1, "bids": [level], "asks": [level] }),
        );
        let spans = json!({ "count": 1, "p50Ns": 1, "p99Ns": 1, "p999Ns": 1, "maxNs": 1 });
        read::<Stats>(
            json!({ "state": "running", "counters": { "a": 1 }, "turn": spans,
            "request": spans, "desk": [] }),
        );
        read::<Agents>(
            json!({ "agents": [{ "name": "n", "description": "d", "venues": [],
            "tools": [], "paramsSchema": {}, "status": "idle" }] }),
        );
        read::<Connected>(json!({ "connectionId": "c", "userId": "u", "scopes": [],
            "protocol": 1, "serverTime": 1, "pingMs": 1, "bootId": "b" }));
        read::<Subscribed>(json!({ "channel": "c", "epoch": "e", "offset": 1, "error": error }));
        read::<ErrorBody>(error);
    }
}

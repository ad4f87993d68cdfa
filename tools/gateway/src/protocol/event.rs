//! Events: what a channel tells. The table at the end names each with its data.

use super::entity::*;

said! {
    /// `connected`: the first frame of a connection.
    pub struct Connected {
        /// `conn_…`
        pub connection_id: String,
        /// Who it is.
        pub user_id: String,
        /// What the token allows.
        pub scopes: Vec<String>,
        /// Version of the protocol.
        pub protocol: u32,
        /// The gateway's time, milliseconds.
        pub server_time: i64,
        /// A ping comes this often, milliseconds.
        pub ping_ms: u64,
        /// When the token expires; it can be replaced before (`auth.refresh`).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub expires_at: Option<i64>,
        /// New with each start of the gateway.
        pub boot_id: String,
    }

    /// `message.created` and `message.updated`
    pub struct MessageEvent {
        /// The message; in `message.updated` without its parts.
        pub message: Message,
    }

    /// `part.created`
    pub struct PartCreated {
        /// The part.
        pub part: Part,
    }

    /// `part.updated`: words were added, or the part changed.
    pub struct PartUpdated {
        /// The session.
        pub session_id: String,
        /// The message.
        pub message_id: String,
        /// The part.
        pub part_id: String,
        /// To be added to `content`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub append: Option<String>,
        /// The part as it is now.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub part: Option<Part>,
    }

    /// `session.updated`
    pub struct SessionEvent {
        /// The session.
        pub session: Session,
    }

    /// `tool.approval_required`
    pub struct ApprovalRequired {
        /// What waits.
        pub tool_call: ToolCall,
    }

    /// `tool.approval_resolved`
    pub struct ApprovalResolved {
        /// The session.
        pub session_id: String,
        /// The call.
        pub tool_call_id: String,
        /// How it was decided.
        pub state: CallState,
        /// By whom.
        pub decided_by: String,
        /// When.
        pub decided_at: i64,
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub reason: Option<String>,
    }

    /// `agent.status_changed`
    pub struct AgentChanged {
        /// The agent.
        pub agent: String,
        /// How it is.
        pub status: AgentStatus,
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub reason: Option<String>,
        /// Since when.
        pub since: i64,
    }

    /// `todo.updated`
    pub struct TodosChanged {
        /// The session.
        pub session_id: String,
        /// The plan.
        pub todos: Vec<Todo>,
        /// Its version.
        pub version: u64,
    }

    /// `book.delta`: new quantities of levels; `"0"` is a level that is gone. It goes on from the state
    /// at offset `from - 1` and leads to that at `to`.
    pub struct BookDelta {
        /// The first offset that is in it.
        pub from: u64,
        /// The last one.
        pub to: u64,
        /// The venue's number of the last update in it.
        pub seq_venue: u64,
        /// The venue's time, nanoseconds; 0 where it tells none.
        pub ts_venue: i64,
        /// Our time of receipt, nanoseconds.
        pub ts_recv: i64,
        /// Bids.
        pub bids: Vec<(String, String)>,
        /// Asks.
        pub asks: Vec<(String, String)>,
    }

    /// `book.state`: a book is not to be believed until the next `book.snapshot`.
    pub struct BookState {
        /// pending, live, resync, stale, closed, refused
        pub state: String,
        /// Why.
        pub reason: String,
    }

    /// `trade`
    pub struct TradeEvent {
        /// The venue's id of the trade.
        pub id: String,
        /// Price.
        pub price: String,
        /// Quantity.
        pub qty: String,
        /// Who took: buy, sell, unknown.
        pub aggressor: String,
        /// The venue's time, nanoseconds; 0 where it tells none.
        pub ts_venue: i64,
        /// Our time of receipt, nanoseconds.
        pub ts_recv: i64,
    }

    /// `ticker`
    pub struct TickerEvent {
        /// Last trade's price.
        pub last: Option<String>,
        /// Best bid: price and quantity.
        pub bid: Option<(String, String)>,
        /// Best ask: price and quantity.
        pub ask: Option<(String, String)>,
        /// Highest price of 24 hours.
        pub high: Option<String>,
        /// Lowest price of 24 hours.
        pub low: Option<String>,
        /// Volume of 24 hours in base currency or contracts.
        pub volume: Option<String>,
        /// Mark price.
        pub mark: Option<String>,
        /// Rate of the next funding, as a fraction.
        pub funding_rate: Option<String>,
        /// The venue's time, nanoseconds; 0 where it tells none.
        pub ts_venue: i64,
        /// Our time of receipt, nanoseconds.
        pub ts_recv: i64,
    }

    /// `order.updated`
    pub struct OrderEvent {
        /// The order as it is now.
        pub order: Order,
        /// The trade that changed it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub fill: Option<Fill>,
    }

    /// `venue.state`
    pub struct VenueEvent {
        /// The venue.
        pub venue: String,
        /// How it is.
        pub state: VenueStatus,
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub reason: Option<String>,
        /// Since when.
        pub since: i64,
    }

    /// Snapshot of `project:{id}`
    pub struct ProjectSnapshot {
        /// Its active sessions.
        pub sessions: Vec<Session>,
        /// What waits for a person.
        pub pending_approvals: Vec<ToolCall>,
    }

    /// Snapshot of `user:{id}`
    pub struct UserSnapshot {
        /// What waits for this user.
        pub pending_approvals: Vec<ToolCall>,
    }

    /// Snapshot of `orders:{projectId}`
    pub struct OrdersSnapshot {
        /// Open orders, and those that ended lately.
        pub orders: Vec<Order>,
        /// Positions.
        pub positions: Vec<PositionOf>,
    }

    /// Snapshot of `trades:…`
    pub struct TradesSnapshot {
        /// The last ones, oldest first.
        pub trades: Vec<TradeEvent>,
    }

    /// Snapshot of `system`
    pub struct SystemSnapshot {
        /// Why trading is halted; null where it is not.
        pub halted: Option<String>,
        /// The agents.
        pub agents: Vec<Agent>,
    }
}

/// Names an event with its data: once for the code, once for the schema.
macro_rules! events {
    ($($(#[$meta:meta])* $variant:ident($data:ty) = $name:literal,)+) => {
        /// An event to be told.
        #[derive(Clone, Debug, PartialEq, serde::Serialize)]
        #[serde(untagged)]
        pub enum EventData {
            $($(#[$meta])* $variant($data),)+
        }

        impl EventData {
            /// Its name on the wire.
            pub const fn name(&self) -> &'static str {
                match self { $(EventData::$variant(_) => $name,)+ }
            }
        }

        pub(super) fn event_schemas(generator: &mut schemars::SchemaGenerator) -> serde_json::Value {
            let mut events = serde_json::Map::new();
            $(events.insert($name.to_owned(), generator.subschema_for::<$data>().to_value());)+
            serde_json::Value::Object(events)
        }

        /// The name of every event.
        pub const EVENTS: &[&str] = &[$($name),+];
    };
}

events! {
    /// The first frame of a connection.
    Connected(Connected) = "connected",
    /// A message is there.
    MessageCreated(MessageEvent) = "message.created",
    /// A message changed its status.
    MessageUpdated(MessageEvent) = "message.updated",
    /// A part is there.
    PartCreated(PartCreated) = "part.created",
    /// A part changed.
    PartUpdated(PartUpdated) = "part.updated",
    /// A session is there, or changed.
    SessionUpdated(SessionEvent) = "session.updated",
    /// An order waits for a person.
    ApprovalRequired(ApprovalRequired) = "tool.approval_required",
    /// It does not any more.
    ApprovalResolved(ApprovalResolved) = "tool.approval_resolved",
    /// An agent is otherwise than before.
    AgentChanged(AgentChanged) = "agent.status_changed",
    /// A plan changed.
    TodosChanged(TodosChanged) = "todo.updated",
    /// A whole book.
    BookSnapshot(BookOf) = "book.snapshot",
    /// Levels of a book changed.
    BookDelta(BookDelta) = "book.delta",
    /// A book is or is not to be believed.
    BookState(BookState) = "book.state",
    /// A trade.
    Trade(TradeEvent) = "trade",
    /// A ticker.
    Ticker(TickerEvent) = "ticker",
    /// An order changed.
    OrderUpdated(OrderEvent) = "order.updated",
    /// A venue is otherwise than before.
    VenueState(VenueEvent) = "venue.state",
}

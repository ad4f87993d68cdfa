//! What the methods and events are about. Times are milliseconds since the Unix epoch; prices and
//! quantities are decimal text, never JSON numbers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::ErrorBody;
use super::frame::Position;

/// Puts the usual derives on what the gateway says. It may say more one day: a client passes over fields that
/// it does not know.
macro_rules! said {
    ($($(#[$meta:meta])* pub struct $name:ident { $($body:tt)* })+) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(rename_all = "camelCase")]
        pub struct $name { $($body)* }
    )+};
}
pub(crate) use said;

/// Puts the usual derives on what a client says: a field that is not known is a mistake.
macro_rules! asked {
    ($($(#[$meta:meta])* pub struct $name:ident { $($body:tt)* })+) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        pub struct $name { $($body)* }
    )+};
}
pub(crate) use asked;

/// Puts the usual derives on words of the wire.
macro_rules! words {
    ($($(#[$meta:meta])* pub enum $name:ident: $case:literal { $($body:tt)* })+) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = $case)]
        pub enum $name { $($body)* }
    )+};
}

words! {
    /// Against what a session trades.
    pub enum Mode: "lowercase" {
        /// Orders go to the venue.
        Live,
        /// Orders are matched against the market's prices, here.
        Paper,
        /// The market is a recording.
        Replay,
    }

    /// Where a session stands.
    pub enum SessionStatus: "lowercase" {
        /// It takes messages.
        Active,
        /// It is over.
        Archived,
    }

    /// What becomes of a session's open orders when it is archived.
    pub enum OpenOrders: "lowercase" {
        /// They are cancelled.
        Cancel,
        /// They stay.
        Leave,
    }

    /// Who speaks.
    pub enum Role: "lowercase" {
        /// A person or a program.
        User,
        /// The strategy.
        Assistant,
    }

    /// Where a message stands.
    pub enum MessageStatus: "lowercase" {
        /// More parts may come.
        Streaming,
        /// Whole.
        Complete,
        /// Cancelled before it was whole.
        Cancelled,
        /// It could not be finished; `error` says why.
        Error,
    }

    /// What a part is.
    pub enum PartType: "kebab-case" {
        /// Words.
        Text,
        /// Why.
        Reasoning,
        /// An action of the strategy: an order.
        ToolCall,
        /// What became of it.
        ToolResult,
        /// A step begins.
        StepStart,
        /// A step is done.
        StepFinish,
    }

    /// Whether a tool's calls wait for a person.
    pub enum Approval: "snake_case" {
        /// No.
        Auto,
        /// Always.
        Required,
        /// Above a notional.
        AboveLimit,
    }

    /// Where a tool call stands.
    pub enum CallState: "lowercase" {
        /// It waits for a person.
        Pending,
        /// A person, or the policy, let it go out.
        Approved,
        /// A person said no.
        Rejected,
        /// Nobody decided in time.
        Expired,
        /// It was called back before it was decided: its message was cancelled, trading was halted, the
        /// gateway was started anew.
        Cancelled,
    }

    /// Where an approved call stands.
    pub enum Dispatch: "lowercase" {
        /// It may have reached the venue.
        Sent,
        /// It did not go out.
        Refused,
    }

    /// How an agent is.
    pub enum AgentStatus: "lowercase" {
        /// It has no run.
        Idle,
        /// It runs.
        Running,
        /// The kill switch is on.
        Halted,
        /// It has ended.
        Error,
    }

    /// Where an item of a plan stands.
    pub enum TodoStatus: "snake_case" {
        /// To be done.
        Pending,
        /// Under way; at most one is.
        InProgress,
        /// Done.
        Completed,
    }

    /// A side.
    pub enum OrderSide: "lowercase" {
        /// Buys.
        Buy,
        /// Sells.
        Sell,
    }

    /// In what an order's size is.
    pub enum SizeIn: "lowercase" {
        /// Base currency or contracts.
        Base,
        /// Quote currency.
        Quote,
    }

    /// How a venue is.
    pub enum VenueStatus: "lowercase" {
        /// Connected and current.
        Up,
        /// Partly not current.
        Degraded,
        /// Not connected, or banned.
        Down,
    }
}

/// What there was before live orders were told of.
const fn paper() -> Mode {
    Mode::Paper
}

said! {
    /// One run of a strategy.
    pub struct Session {
        /// `sess_…`
        pub id: String,
        /// The account it trades on.
        pub project_id: String,
        /// The strategy.
        pub agent: String,
        /// A name for people.
        pub title: String,
        /// Against what it trades.
        pub mode: Mode,
        /// Where it stands.
        pub status: SessionStatus,
        /// When it was created.
        pub created_at: i64,
        /// When it last changed.
        pub updated_at: i64,
    }

    /// An instruction, or the answer to one.
    pub struct Message {
        /// `msg_…`
        pub id: String,
        /// Its session.
        pub session_id: String,
        /// Who speaks.
        pub role: Role,
        /// Where it stands.
        pub status: MessageStatus,
        /// Of an answer: the message that it answers.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub reply_to: Option<String>,
        /// When it was created.
        pub created_at: i64,
        /// When it was whole, cancelled or failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub completed_at: Option<i64>,
        /// Why it could not be finished.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub error: Option<ErrorBody>,
        /// What it says; in order.
        pub parts: Vec<Part>,
    }

    /// A piece of a message.
    pub struct Part {
        /// `part_…`
        pub id: String,
        /// Its message.
        pub message_id: String,
        /// Its session.
        pub session_id: String,
        /// What it is.
        #[serde(rename = "type")]
        pub kind: PartType,
        /// The words; of a step, its name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub content: Option<String>,
        /// Of a tool call.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub tool_call: Option<ToolCall>,
        /// Of a tool result.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub tool_result: Option<ToolResult>,
    }

    /// An order that a strategy asked for.
    pub struct ToolCall {
        /// `call_…`
        pub id: String,
        /// The tool: `order.place`.
        pub tool: String,
        /// Its session.
        pub session_id: String,
        /// Its project.
        pub project_id: String,
        /// The answer that asked.
        pub message_id: String,
        /// The exact order.
        pub order: OrderTicket,
        /// SHA-256 of the exact order and of where it goes, in hexadecimal: what an approval names.
        pub digest: String,
        /// Where it stands.
        pub state: CallState,
        /// When it was asked for.
        pub requested_at: i64,
        /// When it expires undecided.
        pub expires_at: i64,
        /// Who decided: a user, or `policy`, `expiry`, `kill`, `restart`, `cancel`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub decided_by: Option<String>,
        /// When.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub decided_at: Option<i64>,
        /// Why it was rejected or called back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub reason: Option<String>,
        /// Of an approved one: whether it went out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub dispatch: Option<Dispatch>,
    }

    /// An order as it is to go out.
    pub struct OrderTicket {
        /// Against what it trades.
        pub mode: Mode,
        /// Venue.
        pub venue: String,
        /// Market.
        pub market: String,
        /// Symbol.
        pub symbol: String,
        /// Side.
        pub side: OrderSide,
        /// limit, market, limit_maker
        #[serde(rename = "type")]
        pub kind: String,
        /// gtc, ioc, fok, gtd
        pub time_in_force: String,
        /// When a gtd order ends by itself, milliseconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub ends_at: Option<i64>,
        /// Limit price.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub price: Option<String>,
        /// What a stop waits for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub stop_price: Option<String>,
        /// last, mark, index: which price that is
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub stop_by: Option<String>,
        /// How much.
        pub size: String,
        /// In what.
        pub size_in: SizeIn,
        /// Only to make a position smaller.
        pub reduce_only: bool,
        /// Our id at the venue.
        pub client_order_id: String,
    }

    /// What became of a tool call.
    pub struct ToolResult {
        /// The call.
        pub tool_call_id: String,
        /// The order, as far as it is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub order: Option<Order>,
        /// A trade of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub fill: Option<Fill>,
        /// Why it did not go out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub error: Option<ErrorBody>,
    }

    /// An order as the venue last told of it.
    pub struct Order {
        /// Its project.
        pub project_id: String,
        /// Whether it is at the venue, on paper, or on the paper of a recording.
        #[serde(default = "paper")]
        pub mode: Mode,
        /// Our id.
        pub client_order_id: String,
        /// The venue's id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub venue_order_id: Option<String>,
        /// Venue.
        pub venue: String,
        /// Market.
        pub market: String,
        /// Symbol.
        pub symbol: String,
        /// Side.
        pub side: OrderSide,
        /// limit, market, limit_maker
        #[serde(rename = "type")]
        pub kind: String,
        /// Limit price.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub price: Option<String>,
        /// How much; none for an order by quote quantity.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub qty: Option<String>,
        /// How much of it has traded.
        pub filled: String,
        /// Mean price of what has traded.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub price_mean: Option<String>,
        /// untriggered, new, partially_filled, filled, pending_cancel, canceled, rejected, expired, unknown.
        /// An unknown one went out, and what became of it is being found out; it is not sent again.
        pub status: String,
        /// Why it was rejected or not cancelled, or is not known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub reason: Option<String>,
        /// When it last changed.
        pub updated_at: i64,
    }

    /// A trade of the account's own.
    pub struct Fill {
        /// The trade's id at the venue.
        pub trade_id: String,
        /// Our id of the order.
        pub client_order_id: String,
        /// Price.
        pub price: String,
        /// How much.
        pub qty: String,
        /// The fee; negative where it was a rebate.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub fee: Option<String>,
        /// In what the fee was paid.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub fee_currency: Option<String>,
        /// maker, taker, unknown
        pub liquidity: String,
        /// Of one that can still be undone: matched, mined, retrying, failed. It is told again as it goes on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub settlement: Option<String>,
        /// When.
        pub at: i64,
    }

    /// What a project holds of a contract or currency, net.
    pub struct PositionOf {
        /// Whether it is the account's, on paper, or on the paper of a recording.
        #[serde(default = "paper")]
        pub mode: Mode,
        /// Venue.
        pub venue: String,
        /// Market.
        pub market: String,
        /// Symbol.
        pub symbol: String,
        /// Above zero long, below short.
        pub qty: String,
        /// Mean price at which it was opened.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub price_mean: Option<String>,
    }

    /// A strategy that can be run.
    pub struct Agent {
        /// Its name.
        pub name: String,
        /// What it does.
        pub description: String,
        /// Where it trades.
        pub venues: Vec<String>,
        /// What it can do.
        pub tools: Vec<String>,
        /// JSON schema of a session's `params`.
        pub params_schema: Value,
        /// How it is.
        pub status: AgentStatus,
    }

    /// Something a strategy can do.
    pub struct Tool {
        /// Its name.
        pub name: String,
        /// JSON schema of what it is called with.
        pub parameters_schema: Value,
        /// Whether a call waits for a person.
        pub approval: Approval,
    }

    /// An item of a run's plan.
    pub struct Todo {
        /// `todo_…`
        pub id: String,
        /// What is to be done.
        pub content: String,
        /// Where it stands.
        pub status: TodoStatus,
        /// Its place, from 0.
        pub position: u32,
    }

    /// An instrument.
    pub struct MarketOf {
        /// Venue.
        pub venue: String,
        /// Market.
        pub market: String,
        /// Symbol, unified.
        pub symbol: String,
        /// The venue's symbol.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub venue_symbol: Option<String>,
        /// Prices are multiples of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub price_step: Option<String>,
        /// Quantities are multiples of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub qty_step: Option<String>,
    }

    /// A book at one moment: price and quantity, best first.
    pub struct BookOf {
        /// Venue.
        pub venue: String,
        /// Market.
        pub market: String,
        /// Symbol.
        pub symbol: String,
        /// Whether it is continuous with the venue: if not, it is empty.
        pub live: bool,
        /// The venue's number of the last update in it.
        pub seq_venue: u64,
        /// The venue's time of it, nanoseconds; 0 where it tells none.
        pub ts_venue: i64,
        /// Our time of receipt, nanoseconds.
        pub ts_recv: i64,
        /// Bids.
        pub bids: Vec<(String, String)>,
        /// Asks.
        pub asks: Vec<(String, String)>,
    }

    /// All of a session: a snapshot of its channel, and what `sessions.get` gives.
    pub struct SessionDetail {
        /// The session.
        pub session: Session,
        /// Its newest messages with their parts, oldest first.
        pub messages: Vec<Message>,
        /// Its plan.
        pub todos: Vec<Todo>,
        /// What waits for a person.
        pub pending_approvals: Vec<ToolCall>,
        /// The position of `session:{id}` that this is.
        pub position: Position,
    }
}

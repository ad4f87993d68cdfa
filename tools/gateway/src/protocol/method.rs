//! Methods: their parameters, and the scope that each needs.

use serde_json::{Map, Value};

use super::entity::*;
use super::error::{Code, ErrorBody};
use super::limited::{Text, Within};
use super::result::*;

/// An id of ours.
pub type Id = Text<1, 64>;
/// A name that the operator of the gateway gave: project, agent, venue, market, symbol.
pub type Name = Text<1, 128>;
/// A session's title.
pub type Title = Text<1, 200>;
/// The words of a message, or of a todo: 1 B to 32 KiB.
pub type Content = Text<1, 32_768>;
/// Why somebody did something.
pub type Why = Text<1, 500>;
/// Makes a call that is repeated the same call.
pub type IdempotencyKey = Text<1, 128>;
/// How many of a list at once.
pub type Limit = Within<1, 100>;

/// What a token allows.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// To look.
    Read,
    /// To create sessions and talk to strategies.
    Control,
    /// To cancel orders and halt trading.
    Trade,
    /// To decide on orders.
    Approve,
    /// To resume trading.
    Admin,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Scope; 5] = [
        Scope::Read,
        Scope::Control,
        Scope::Trade,
        Scope::Approve,
        Scope::Admin,
    ];

    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Scope::Read => "read",
            Scope::Control => "control",
            Scope::Trade => "trade",
            Scope::Approve => "approve",
            Scope::Admin => "admin",
        }
    }
}

const fn limit_default() -> Limit {
    Limit::of::<50>()
}

fn agent_default() -> Name {
    Text::new("default").expect("a name of 7 bytes")
}

const fn mode_default() -> Mode {
    Mode::Paper
}

const fn depth_default() -> Within<1, 1_000> {
    Within::of::<20>()
}

const fn markets_default() -> Within<1, 1_000> {
    Within::of::<100>()
}

asked! {
    /// `sessions.create`
    pub struct SessionsCreate {
        /// The account.
        pub project_id: Name,
        /// The strategy.
        #[serde(default = "agent_default")]
        pub agent: Name,
        /// A name for people.
        #[serde(default)]
        pub title: Option<Title>,
        /// Against what it trades.
        #[serde(default = "mode_default")]
        pub mode: Mode,
        /// What the strategy is told: an object that its `paramsSchema` describes.
        #[serde(default)]
        pub params: Map<String, Value>,
        /// A repeat gives the same session.
        #[serde(default)]
        pub idempotency_key: Option<IdempotencyKey>,
    }

    /// `sessions.list`
    pub struct SessionsList {
        /// The account.
        pub project_id: Name,
        /// Only those.
        #[serde(default)]
        pub status: Option<SessionStatus>,
        /// Only those of this strategy.
        #[serde(default)]
        pub agent: Option<Name>,
        /// How many at once.
        #[serde(default = "limit_default")]
        pub limit: Limit,
        /// Where the last list ended.
        #[serde(default)]
        pub cursor: Option<Id>,
    }

    /// `sessions.get`
    pub struct SessionsGet {
        /// The session.
        pub session_id: Id,
        /// How many of its newest messages.
        #[serde(default = "limit_default")]
        pub message_limit: Limit,
    }

    /// `sessions.archive`
    pub struct SessionsArchive {
        /// The session.
        pub session_id: Id,
        /// What becomes of its open orders.
        pub open_orders: OpenOrders,
    }

    /// `messages.send`
    pub struct MessagesSend {
        /// The session.
        pub session_id: Id,
        /// The instruction.
        pub content: Content,
        /// A repeat gives the same answer and sends nothing.
        #[serde(default)]
        pub idempotency_key: Option<IdempotencyKey>,
    }

    /// `messages.cancel`
    pub struct MessagesCancel {
        /// The session.
        pub session_id: Id,
    }

    /// `messages.retry`
    pub struct MessagesRetry {
        /// The session.
        pub session_id: Id,
        /// The instruction that is to be answered anew; one of a user.
        pub message_id: Id,
    }

    /// `agents.list`
    pub struct AgentsList {
        /// The account.
        pub project_id: Name,
    }

    /// `agents.get`
    pub struct AgentsGet {
        /// Its name.
        pub agent: Name,
    }

    /// `tools.list`
    pub struct ToolsList {
        /// As its mode and agent have them; without, as they are by default.
        #[serde(default)]
        pub session_id: Option<Id>,
    }

    /// `tools.approve`
    pub struct ToolsApprove {
        /// The session.
        pub session_id: Id,
        /// What is approved.
        pub tool_call_id: Id,
        /// Of exactly this order.
        pub digest: Text<64, 64>,
    }

    /// `tools.reject`
    pub struct ToolsReject {
        /// The session.
        pub session_id: Id,
        /// What is rejected.
        pub tool_call_id: Id,
        /// Why.
        #[serde(default)]
        pub reason: Option<Why>,
    }

    /// `todos.get`
    pub struct TodosGet {
        /// The session.
        pub session_id: Id,
    }

    /// An item of a plan, to be.
    pub struct TodoItem {
        /// What is to be done.
        pub content: Text<1, 2_000>,
        /// Where it stands.
        #[serde(default)]
        pub status: Option<TodoStatus>,
    }

    /// `todos.update`: a whole plan in `todos`, or one item by `todoId`.
    pub struct TodosUpdate {
        /// The session.
        pub session_id: Id,
        /// The version that this goes on from.
        #[serde(default)]
        pub version: Option<u64>,
        /// The whole plan; at most one item is in progress.
        #[serde(default)]
        pub todos: Option<Todos100>,
        /// One item. Set to in progress, it takes the place of the one that is.
        #[serde(default)]
        pub todo_id: Option<Id>,
        /// Its new status.
        #[serde(default)]
        pub status: Option<TodoStatus>,
        /// Its new words.
        #[serde(default)]
        pub content: Option<Text<1, 2_000>>,
        /// Its new place, from 0.
        #[serde(default)]
        pub position: Option<u32>,
    }

    /// `markets.list`
    pub struct MarketsList {
        /// Only this venue.
        #[serde(default)]
        pub venue: Option<Name>,
        /// Only this market.
        #[serde(default)]
        pub market: Option<Name>,
        /// Only this symbol, unified or the venue's.
        #[serde(default)]
        pub symbol: Option<Name>,
        /// How many.
        #[serde(default = "markets_default")]
        pub limit: Within<1, 1_000>,
    }

    /// `books.get`
    pub struct BooksGet {
        /// Venue.
        pub venue: Name,
        /// Market.
        pub market: Name,
        /// Symbol.
        pub symbol: Name,
        /// Levels a side.
        #[serde(default = "depth_default")]
        pub depth: Within<1, 1_000>,
    }

    /// `orders.list`
    pub struct OrdersList {
        /// The account.
        pub project_id: Name,
        /// Only this venue.
        #[serde(default)]
        pub venue: Option<Name>,
        /// Only this market.
        #[serde(default)]
        pub market: Option<Name>,
        /// Only this symbol.
        #[serde(default)]
        pub symbol: Option<Name>,
        /// Only those that can still trade.
        #[serde(default)]
        pub open: bool,
    }

    /// `orders.cancel`
    pub struct OrdersCancel {
        /// The account.
        pub project_id: Name,
        /// Our id of the order; the venue's of one that has none of ours.
        pub client_order_id: Text<1, 66>,
    }

    /// `orders.cancelAll`
    pub struct OrdersCancelAll {
        /// The account.
        pub project_id: Name,
        /// Only this venue.
        #[serde(default)]
        pub venue: Option<Name>,
        /// Only this market.
        #[serde(default)]
        pub market: Option<Name>,
        /// Only this symbol.
        #[serde(default)]
        pub symbol: Option<Name>,
    }

    /// `positions.list`
    pub struct PositionsList {
        /// The account.
        pub project_id: Name,
        /// Only this venue.
        #[serde(default)]
        pub venue: Option<Name>,
    }

    /// `system.kill` and `system.resume`
    pub struct SystemSwitch {
        /// Why.
        pub reason: Why,
    }

    /// A call without parameters.
    pub struct Nothing {}

    /// `auth.refresh`: a newer token of the same user, before the present one expires.
    pub struct AuthRefresh {
        /// The token.
        pub token: Text<1, 256>,
    }
}

/// A plan has this many items at most: more is no plan.
#[derive(Clone, Debug, PartialEq, serde::Serialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct Todos100(#[schemars(length(max = 100))] pub Vec<TodoItem>);

impl<'de> serde::Deserialize<'de> for Todos100 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let items = Vec::<TodoItem>::deserialize(deserializer)?;
        if items.len() > 100 {
            return Err(serde::de::Error::custom("a plan has 100 items at most"));
        }
        Ok(Todos100(items))
    }
}

/// Names a method with its parameters, result and scope: once for the code, once for the schema.
macro_rules! methods {
    ($($variant:ident as $function:ident = $name:literal: $params:ty => $result:ty, $scope:ident;)+) => {
        /// A method call whose parameters were checked.
        #[derive(Clone, Debug, PartialEq)]
        #[expect(missing_docs, reason = "each is named after its method")]
        pub enum Call {
            $($variant($params),)+
        }

        impl Call {
            /// Checks a call.
            pub fn parse(method: &str, params: Map<String, Value>) -> Result<Call, ErrorBody> {
                match method {
                    $($name => under_params(super::frame::typed(params)).map(Call::$variant),)+
                    _ => Err(ErrorBody::new(Code::MethodNotFound, format!("no method {method:?}"))),
                }
            }

            /// The method's name.
            pub const fn method(&self) -> &'static str {
                match self { $(Call::$variant(_) => $name,)+ }
            }

            /// Its parameters, as they travel.
            pub fn params(&self) -> Value {
                // Maps with text keys and plain numbers can always be written.
                match self { $(Call::$variant(params) => serde_json::to_value(params).unwrap_or_default(),)+ }
            }

            /// What a token must allow.
            pub const fn scope(&self) -> Scope {
                match self { $(Call::$variant(_) => Scope::$scope,)+ }
            }
        }

        /// Every method as a function, for who can have a call answered.
        pub trait Calls {
            /// Why there is no result.
            type Error;

            /// Makes a call and waits for its result.
            ///
            /// # Errors
            /// Where it was refused, or could not be made.
            fn ask<R: serde::de::DeserializeOwned>(&self, call: &Call) -> Result<R, Self::Error>;

            $(
                #[doc = concat!("`", $name, "`")]
                ///
                /// # Errors
                /// As [`ask`](Calls::ask).
                fn $function(&self, params: $params) -> Result<$result, Self::Error> {
                    self.ask(&Call::$variant(params))
                }
            )+
        }

        pub(super) fn method_schemas(generator: &mut schemars::SchemaGenerator) -> Value {
            let mut methods = Map::new();
            $(methods.insert($name.to_owned(), serde_json::json!({
                "params": generator.subschema_for::<$params>().to_value(),
                "result": generator.subschema_for::<$result>().to_value(),
                "scope": Scope::$scope.as_str(),
            }));)+
            Value::Object(methods)
        }

        /// The name of every method.
        pub const METHODS: &[&str] = &[$($name),+];
    };
}

/// The paths that the parameters' own check gives begin below `params`.
fn under_params<T>(outcome: Result<T, ErrorBody>) -> Result<T, ErrorBody> {
    outcome.map_err(|mut error| {
        if let Some(Value::String(path)) = error.details.as_mut().and_then(|d| d.get_mut("path")) {
            *path = match path.as_str() {
                "" | "." => "params".to_owned(),
                path => format!("params.{path}"),
            };
        }
        error
    })
}

methods! {
    SessionsCreate as sessions_create = "sessions.create": SessionsCreate => Session, Control;
    SessionsList as sessions_list = "sessions.list": SessionsList => Sessions, Read;
    SessionsGet as sessions_get = "sessions.get": SessionsGet => SessionDetail, Read;
    SessionsArchive as sessions_archive = "sessions.archive": SessionsArchive => Session, Control;
    MessagesSend as messages_send = "messages.send": MessagesSend => MessageSent, Control;
    MessagesCancel as messages_cancel = "messages.cancel": MessagesCancel => MessageCancelled, Control;
    MessagesRetry as messages_retry = "messages.retry": MessagesRetry => MessageSent, Control;
    AgentsList as agents_list = "agents.list": AgentsList => Agents, Read;
    AgentsGet as agents_get = "agents.get": AgentsGet => Agent, Read;
    ToolsList as tools_list = "tools.list": ToolsList => Tools, Read;
    ToolsApprove as tools_approve = "tools.approve": ToolsApprove => Decision, Approve;
    ToolsReject as tools_reject = "tools.reject": ToolsReject => Decision, Approve;
    TodosGet as todos_get = "todos.get": TodosGet => Todos, Read;
    TodosUpdate as todos_update = "todos.update": TodosUpdate => Todos, Control;
    MarketsList as markets_list = "markets.list": MarketsList => Markets, Read;
    BooksGet as books_get = "books.get": BooksGet => BookOf, Read;
    OrdersList as orders_list = "orders.list": OrdersList => Orders, Read;
    OrdersCancel as orders_cancel = "orders.cancel": OrdersCancel => CancelsSent, Trade;
    OrdersCancelAll as orders_cancel_all = "orders.cancelAll": OrdersCancelAll => CancelsSent, Trade;
    PositionsList as positions_list = "positions.list": PositionsList => Positions, Read;
    SystemKill as system_kill = "system.kill": SystemSwitch => Killed, Trade;
    SystemResume as system_resume = "system.resume": SystemSwitch => Resumed, Admin;
    SystemStats as system_stats = "system.stats": Nothing => Stats, Read;
    AuthRefresh as auth_refresh = "auth.refresh": AuthRefresh => Refreshed, Read;
}

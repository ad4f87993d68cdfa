//! What differs between venues in trading: their words. The [desk](super::desk) is the same at each.

use crate::error::Error;
use crate::governor::Window;
use crate::instrument::{Instrument, Symbol};
use crate::order::{
    Balance, ClientOrderId, Fill, OrderRequest, OrderType, OrderUpdate, Position, VenueOrderId,
};
use crate::time::Nanos;
use crate::transmit::{HttpRequest, Lane, LinkSpec, Response};

use tickwire_orderbook::{Price, Qty, Side};

use super::limits::OrderLimit;
use super::pages::Page;
use super::time_sync::Tolerance;

/// What a link of the desk is for. A venue may have both on one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Orders go out on it, and their answers come.
    Trade,
    /// The account's own events come on it.
    Private,
}

/// How requests about orders travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// Over the venue's WebSocket for orders.
    #[default]
    WebSocket,
    /// By HTTP.
    Rest,
}

/// Which order, by all that is known of it. Symbols of jobs are in the venue's writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The instrument.
    pub symbol: Symbol,
    /// Our id; may be empty where the venue's is known.
    pub client: ClientOrderId,
    /// The venue's; may be empty where ours is known.
    pub venue: VenueOrderId,
    /// It is a stop that has not triggered, as far as was told. It may have in the meantime: ours is the
    /// id that both have.
    pub waits: bool,
}

/// One request to the venue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// Prove who we are, on a fresh link.
    Login(Role),
    /// Have the account's events sent, on a fresh link.
    Listen(Role),
    /// Show a link that we live.
    Heartbeat(Role),
    /// Show the account that we live: without it the venue cancels all its orders.
    DeadMan,
    /// Have the venue look whether we live, and end the link where we do not, on a fresh link.
    AskHeartbeats(Role),
    /// Arm the venue's cancel on disconnect or disarm it, on a fresh link.
    SetCancelOnDisconnect(Role),
    /// Ask whether that is as it was set, on a fresh link.
    CheckCancelOnDisconnect(Role),
    /// Get what the private link's URL needs.
    ListenKey,
    /// Keep that from expiring.
    KeepListenKey,
    /// Place an order.
    Place(OrderRequest, Symbol),
    /// Cancel an order.
    Cancel(Target),
    /// Change an order.
    Amend {
        /// The order.
        target: Target,
        /// Its side.
        side: Side,
        /// Its new price.
        price: Option<Price>,
        /// Its new quantity, what has traded included.
        qty: Option<Qty>,
        /// Price and quantity as they stand, for venues that want both said.
        standing: (Option<Price>, Option<Qty>),
        /// Its kind, for venues where an order is only that which the last change of it says.
        order_type: OrderType,
    },
    /// Cancel all orders of a symbol.
    CancelAll {
        /// The instrument.
        symbol: Symbol,
        /// Counted from 0: where it takes several requests, the dialect knows which this is.
        part: u32,
    },
    /// Look an order up.
    Lookup(Target),
    /// Orders that stand, of an instrument or of all.
    OpenOrders(Option<Symbol>, Page),
    /// Trades of a symbol since then.
    Fills {
        /// The instrument.
        symbol: Symbol,
        /// By the venue's clock.
        since: Nanos,
        /// Counted from 0: where the venue gives them in pages, the dialect knows where the next begins.
        page: u32,
    },
    /// Balances.
    Balances,
    /// Positions.
    Positions(Page),
    /// The venue's time.
    ServerTime,
    /// An instrument, or all of them.
    Instruments(Option<Symbol>),
}

impl Job {
    /// What follows where the answer was [`Told::Further`].
    pub(crate) const fn further(self) -> Job {
        match self {
            Job::CancelAll { symbol, part } => Job::CancelAll {
                symbol,
                part: part.saturating_add(1),
            },
            same => same,
        }
    }

    /// The link that a request makes ready, where it is one of those.
    pub(crate) const fn prelude_of(&self) -> Option<Role> {
        match self {
            Job::Login(role)
            | Job::Listen(role)
            | Job::AskHeartbeats(role)
            | Job::SetCancelOnDisconnect(role)
            | Job::CheckCancelOnDisconnect(role) => Some(*role),
            _ => None,
        }
    }
}

/// How a request travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// As a text on a link.
    Link(Role, Lane),
    /// By HTTP.
    Http,
    /// The venue has no such request.
    None,
}

/// A request with what it needs to be written.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Names it among those in flight: its answer names it, too, where the venue repeats it.
    pub key: u32,
    /// What it is.
    pub job: &'a Job,
    /// The venue's time.
    pub at: Nanos,
}

/// What the answer to a request says.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// It is done.
    Done,
    /// Logged in for so long: the log-in is repeated before.
    LoggedIn {
        /// How long it holds.
        life_ns: Nanos,
    },
    /// The request has a further part, which is to be made now. The dialect knows which.
    Further,
    /// An order was accepted; its fate comes by the stream.
    Accepted {
        /// The venue's id.
        venue: VenueOrderId,
    },
    /// An order as it stands.
    Order(Box<OrderUpdate>),
    /// Orders, and whether there is another page of them.
    Orders(Vec<OrderUpdate>, bool),
    /// Trades, and whether there is another page of them.
    Fills(Vec<Fill>, bool),
    /// Balances: all that are not zero.
    Balances(Vec<Balance>),
    /// Positions: all that are not zero; and whether there is another page of them.
    Positions(Vec<Position>, bool),
    /// The venue's time.
    Time(Nanos),
    /// What the private link's URL needs.
    ListenKey(String),
}

/// What a message says.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// The answer to a request; without a key it belongs to the oldest login or listen request on the
    /// link.
    Answer {
        /// The request's key.
        key: Option<u32>,
        /// How it went.
        result: Result<Told, Error>,
    },
    /// An order changed.
    Order(OrderUpdate),
    /// A trade of ours.
    Fill(Fill),
    /// A balance changed.
    Balance(Balance),
    /// A position changed.
    Position(Position),
    /// The venue counts so many towards the limit of this index.
    Used {
        /// Index in [`Rules::limits`].
        index: usize,
        /// Its count.
        used: u32,
    },
    /// The venue's limit of this index in [`Rules::limits`] is another for this account.
    Limit {
        /// Index in [`Rules::limits`].
        index: usize,
        /// What it really is.
        window: Window,
    },
    /// The link is to be shown now that we live.
    WantsHeartbeat,
    /// The venue's time as it sent the message.
    Clock(Nanos),
    /// The venue counts so much weight in its present window.
    Weight(u32),
    /// What the private link's URL had is no longer good.
    ListenKeyGone,
    /// The link is no use any more.
    Ending(&'static str),
    /// Nothing that matters here.
    Nothing,
}

/// A venue's numbers.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Its limits on orders.
    pub limits: &'static [OrderLimit],
    /// What request times it takes.
    pub tolerance: Tolerance,
    /// A request that has not arrived after this is never acted on.
    pub request_life_ns: Nanos,
    /// Whether its market has positions.
    pub has_positions: bool,
    /// How often a link wants to be shown that we live.
    pub heartbeat_ns: Option<Nanos>,
    /// How often what the private link's URL needs is to be prolonged.
    pub listen_key_ns: Option<Nanos>,
}

/// Finds instruments by either name.
pub trait Names {
    /// By unified symbol or the venue's own; by the venue's naming rules alone where it has not told of
    /// it.
    fn instrument(&self, symbol: &str) -> Option<Instrument>;
}

/// A venue's words.
pub trait Dialect: core::fmt::Debug + Send {
    /// Its numbers.
    fn rules(&self) -> Rules;

    /// The links that it needs.
    fn links(&self) -> &'static [Role];

    /// A link as the venue wants it. `listen_key` is what [`Job::ListenKey`] gave.
    fn spec(&self, role: Role, listen_key: &str) -> LinkSpec;

    /// What a fresh link is told, each behind the answer to the one before.
    fn prelude(&self, role: Role) -> &'static [Job];

    /// How a request travels.
    fn way(&self, job: &Job) -> Way;

    /// Why a request has no way: what to do instead, where there is something.
    fn why_not(&self, job: &Job) -> &'static str {
        let _ = job;
        "the venue has no such request"
    }

    /// Whether the venue answers a request that goes over a link. One that it does not is done once sent.
    fn is_answered(&self, job: &Job) -> bool {
        let _ = job;
        true
    }

    /// What it means that a link goes down before its log-in was answered, at a venue that refuses keys so.
    fn dropped(&self) -> Option<Error> {
        None
    }

    /// Whether the account's stream tells of balances. Where it does not, they are asked for after trades.
    fn tells_balances(&self) -> bool {
        true
    }

    /// How often the venue is to be sent [`Job::DeadMan`]; `None` where it has no such thing, or it is not
    /// to be armed.
    fn dead_man_ns(&self) -> Option<Nanos> {
        None
    }

    /// A request is about to be written.
    fn prepare(&mut self, call: &Call<'_>) {
        let _ = call;
    }

    /// What an HTTP request costs of the venue's budget.
    fn weight(&self, job: &Job) -> u32;

    /// Writes a request that goes over a link.
    fn write_text(&self, call: &Call<'_>, body: &mut Vec<u8>);

    /// Writes an HTTP request; its [`HttpRequest::id`] is set by the desk.
    fn write_request(&self, call: &Call<'_>, body: &mut Vec<u8>) -> HttpRequest;

    /// Reads a message.
    fn read_text(
        &mut self,
        role: Role,
        payload: &mut [u8],
        names: &dyn Names,
        said: &mut Vec<Said>,
    );

    /// Reads the answer to an HTTP request: a status and a body of any kind. Counts that its headers
    /// name go into `said`.
    fn read_response(
        &mut self,
        job: &Job,
        response: Response<'_>,
        names: &dyn Names,
        said: &mut Vec<Said>,
    ) -> Result<Told, Error>;
}

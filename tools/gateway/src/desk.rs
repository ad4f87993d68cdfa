//! What the gateway asks of the trading side. One desk for live orders, one for paper.

use serde_json::Value;
use tickwire::Nanos;
use tickwire::connectors::order::OrderRequest;

use crate::protocol::{Code, ErrorBody, Fill, MarketOf, Order, PositionOf, VenueStatus};

/// Which orders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filter<'a> {
    /// Only this venue.
    pub venue: Option<&'a str>,
    /// Only this market.
    pub market: Option<&'a str>,
    /// Only this symbol.
    pub symbol: Option<&'a str>,
}

impl Filter<'_> {
    /// Whether an instrument is meant.
    pub fn takes(&self, venue: &str, market: &str, symbol: &str) -> bool {
        let fits = |wanted: Option<&str>, is: &str| wanted.is_none_or(|wanted| wanted == is);
        fits(self.venue, venue) && fits(self.market, market) && fits(self.symbol, symbol)
    }
}

/// Why the desk does not do it. Nothing has gone out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A risk limit or the price collar.
    #[error("{0}")]
    Risk(String),
    /// The venue is not there, or its account stream is not.
    #[error("{0}")]
    VenueDown(String),
    /// The kill switch is on.
    #[error("trading is halted: {0}")]
    Halted(String),
    /// No such order.
    #[error("no such order")]
    NoOrder,
    /// The queue to the engine is full.
    #[error("the engine has too much to do")]
    Busy,
}

impl From<Refusal> for ErrorBody {
    fn from(refusal: Refusal) -> ErrorBody {
        let code = match refusal {
            Refusal::Risk(_) => Code::RiskRejected,
            Refusal::VenueDown(_) => Code::VenueDown,
            Refusal::Halted(_) => Code::TradingHalted,
            Refusal::NoOrder => Code::NotFound,
            Refusal::Busy => Code::Busy,
        };
        ErrorBody::new(code, refusal.to_string())
    }
}

/// What happened at the trading side.
#[derive(Clone, Debug, PartialEq)]
pub enum DeskEvent {
    /// An order changed, perhaps by a trade.
    Order {
        /// The order.
        order: Order,
        /// The trade.
        fill: Option<Fill>,
    },
    /// A venue is otherwise than before.
    Venue {
        /// The venue.
        venue: String,
        /// Of which part of it this is said: a market, an instrument. The worst of all parts is told.
        part: String,
        /// How it is.
        state: VenueStatus,
        /// Why.
        reason: Option<String>,
    },
}

/// The trading side, as the gateway's thread sees it. Nothing here may wait.
pub trait Desk: Send {
    /// Whether it has an account for a project.
    fn serves(&self, project: &str) -> bool {
        let _ = project;
        true
    }

    /// Whether something is about to happen there: then it is asked every few milliseconds.
    fn is_watched(&self) -> bool {
        false
    }

    /// The instruments that it knows.
    fn markets(&self) -> Vec<MarketOf>;

    /// A project's orders: the open ones, and those that ended lately.
    fn orders(&self, project: &str) -> Vec<Order>;

    /// A project's positions.
    fn positions(&self, project: &str) -> Vec<PositionOf>;

    /// Whether the order could go out now: risk limits, price collar, the venue's health, the kill
    /// switch. Asked at the decision and again at dispatch.
    fn check(&self, project: &str, order: &OrderRequest, now: Nanos) -> Result<(), Refusal>;

    /// Sends the order. A second one of the same client order id is not sent.
    fn dispatch(&mut self, project: &str, order: &OrderRequest, now: Nanos) -> Result<(), Refusal>;

    /// Sends a cancel.
    fn cancel(&mut self, project: &str, client_order_id: &str, now: Nanos) -> Result<(), Refusal>;

    /// Sends cancels for every open order that is meant; gives how many.
    fn cancel_all(&mut self, project: &str, filter: Filter<'_>, now: Nanos)
    -> Result<u32, Refusal>;

    /// Cancels every open order of every project, and takes nothing that adds risk until
    /// [`resume`](Desk::resume). Gives how many orders are being cancelled.
    fn kill(&mut self, reason: &str, now: Nanos) -> u32;

    /// Takes orders again.
    fn resume(&mut self, now: Nanos);

    /// An order that went out before a restart, as it was last heard of: what became of it is found out, and
    /// told by [`poll`](Desk::poll). It is not sent again.
    fn recall(&mut self, order: &Order, now: Nanos);

    /// What happened since it was last asked.
    fn poll(&mut self, now: Nanos) -> Option<DeskEvent>;

    /// Its own counters.
    fn stats(&self) -> Value {
        Value::Null
    }
}

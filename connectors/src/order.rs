//! Orders: what is asked for and what the venue last said of it. These are the types; the connectors
//! that place orders come with the Driver.

use arrayvec::ArrayString;
use tickwire_orderbook::{Price, Qty, Side};

use crate::instrument::InstrumentKey;
use crate::time::Nanos;

/// Our own id of an order, at most 36 bytes of `[A-Za-z0-9_-]` as every venue takes it.
pub type ClientOrderId = ArrayString<36>;

/// The venue's id of an order.
pub type VenueOrderId = ArrayString<66>;

/// How an order is priced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OrderType {
    /// At the price or better.
    Limit,
    /// At whatever price the book gives.
    Market,
    /// At the price, and only as maker: rejected where it would trade at once.
    LimitMaker,
}

/// How long an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimeInForce {
    /// Until it is cancelled.
    Gtc,
    /// What trades at once; the rest is cancelled.
    Ioc,
    /// All at once or nothing.
    Fok,
}

/// How much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// In base currency or contracts.
    Base(Qty),
    /// In quote currency: market orders of venues that take it.
    Quote(Qty),
}

/// An order to be placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderRequest {
    /// What to trade.
    pub instrument: InstrumentKey,
    /// Bid buys, ask sells.
    pub side: Side,
    /// How it is priced.
    pub order_type: OrderType,
    /// How much.
    pub size: Size,
    /// Limit price; none for market orders.
    pub price: Option<Price>,
    /// How long it stands.
    pub time_in_force: TimeInForce,
    /// Only to make a position smaller.
    pub reduce_only: bool,
    /// Our id.
    pub client_order_id: ClientOrderId,
}

/// Where an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OrderStatus {
    /// On the book, nothing traded.
    New,
    /// On the book, partly traded.
    PartiallyFilled,
    /// All traded.
    Filled,
    /// A cancel is on its way.
    PendingCancel,
    /// Cancelled; part of it may have traded.
    Canceled,
    /// The venue said no.
    Rejected,
    /// Ended by its own terms.
    Expired,
    /// Not known: a request went out and no answer came back.
    Unknown,
}

impl OrderStatus {
    /// Whether nothing more can happen to the order.
    pub const fn is_final(self) -> bool {
        matches!(
            self,
            OrderStatus::Filled
                | OrderStatus::Canceled
                | OrderStatus::Rejected
                | OrderStatus::Expired
        )
    }
}

/// An order as we last knew it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// What was asked for.
    pub request: OrderRequest,
    /// The venue's id, once it gave one.
    pub venue_order_id: Option<VenueOrderId>,
    /// Where it stands.
    pub status: OrderStatus,
    /// How much has traded.
    pub filled: Qty,
    /// The venue's time of the last change.
    pub updated_ns: Nanos,
}

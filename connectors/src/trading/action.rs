//! What a strategy or a tool asks of an account, and what comes back.

use crate::error::Error;
use crate::instrument::{Instrument, Symbol};
use crate::order::{Balance, ClientOrderId, OrderRequest, OrderUpdate, Position, VenueOrderId};
use crate::time::Nanos;

use tickwire_orderbook::{Price, Qty};

/// The number of a command on an account; its answer carries it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(u64);

/// Set where somebody waits for the answer; otherwise the order's own events say all.
const AWAITED: u64 = 1 << 63;
const ASKER_SHIFT: u32 = 48;

impl Ticket {
    /// The `number`-th command of an asker (below 2^48, counted from 0), who waits for its answer or not.
    pub const fn new(asker: u8, number: u64, awaited: bool) -> Ticket {
        let low = number & ((1 << ASKER_SHIFT) - 1);
        let flag = if awaited { AWAITED } else { 0 };
        Ticket(flag | (asker as u64) << ASKER_SHIFT | low)
    }

    /// Who asked: the engine's number of a strategy.
    pub const fn asker(self) -> u8 {
        (self.0 >> ASKER_SHIFT) as u8
    }

    /// Whether somebody waits for the answer.
    pub const fn is_awaited(self) -> bool {
        self.0 & AWAITED != 0
    }
}

/// By which id an order is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OrderId {
    /// Ours.
    Client(ClientOrderId),
    /// The venue's.
    Venue(VenueOrderId),
}

/// An order of the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OrderRef {
    /// What it trades, unified or as the venue writes it.
    pub symbol: Symbol,
    /// Which order.
    pub id: OrderId,
}

/// A change of an order that stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AmendRequest {
    /// The order.
    pub order: OrderRef,
    /// The new price, where it is to change.
    pub price: Option<Price>,
    /// The new quantity (all of it, what has traded included), where it is to change.
    pub qty: Option<Qty>,
}

/// What is wanted to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Query {
    /// One order.
    Order(OrderRef),
    /// Orders that stand, of a symbol or of all.
    OpenOrders(Option<Symbol>),
    /// What the account holds of each currency.
    Balances,
    /// What the account holds of each contract.
    Positions,
    /// The venue's time; our clock is set against it.
    ServerTime,
    /// What the venue says of an instrument, or of every one of the market.
    Instruments(Option<Symbol>),
}

/// What an account is asked to do. [`OrderRequest::instrument`]'s symbol and all others may be unified or
/// the venue's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Place an order. The same client order id again never makes a second one.
    Place(OrderRequest),
    /// Cancel an order.
    Cancel(OrderRef),
    /// Change an order.
    Amend(AmendRequest),
    /// Cancel every order, of a symbol or of all.
    CancelAll(Option<Symbol>),
    /// Ask something.
    Query(Query),
    /// Cancel every order and take no new ones until [`Action::Release`].
    Kill,
    /// Take new orders again.
    Release,
}

/// What an action came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// Done; there is nothing to tell.
    Done,
    /// The order as it stands.
    Order(Box<OrderUpdate>),
    /// The orders that stand.
    Orders(Vec<OrderUpdate>),
    /// What the account holds.
    Balances(Vec<Balance>),
    /// What the account holds in contracts.
    Positions(Vec<Position>),
    /// The venue's time when it answered, and how far ours is behind it (below zero: ahead).
    Time {
        /// The venue's clock.
        server_ns: Nanos,
        /// The venue's clock less ours.
        offset_ns: Nanos,
    },
    /// Instruments.
    Instruments(Vec<Instrument>),
}

/// The end of a command.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Which command.
    pub ticket: Ticket,
    /// How it ended.
    pub result: Result<Reply, Error>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_names_who_asked() {
        let awaited = Ticket::new(63, 7, true);
        assert_eq!((awaited.asker(), awaited.is_awaited()), (63, true));
        let event = Ticket::new(0, (1 << 48) - 1, false);
        assert_eq!((event.asker(), event.is_awaited()), (0, false));
        assert_ne!(awaited, Ticket::new(63, 7, false));
    }
}

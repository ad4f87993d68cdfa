//! Orders: what a client asks for, what became of it, and what is told about it.

use super::amount::Amount;
use crate::market::Side;

impl Side {
    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Bid => Self::Ask,
            Self::Ask => Self::Bid,
        }
    }

    /// 1 for a buyer, -1 for a seller.
    pub(crate) const fn sign(self) -> i64 {
        match self {
            Self::Bid => 1,
            Self::Ask => -1,
        }
    }
}

/// How much an order is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    /// So many lots.
    Lots(i64),
    /// As many lots as so much of the quote asset buys (or brings).
    Quote(Amount),
}

/// How long an order lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tif {
    Gtc,
    Ioc,
    Fok,
}

/// When a stop order becomes an order. Mark and index prices are the last price here: there is one
/// market, and no other to take an index of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trigger {
    /// In ticks.
    pub(crate) price: i64,
    /// When the price is at or above it (else at or below).
    pub(crate) rising: bool,
    /// Which price it waits for, in the venue's words.
    pub(crate) by: &'static str,
    /// It holds back what it may spend while it waits; else it must be paid for when it triggers.
    pub(crate) holds: bool,
}

/// The venue's own words for an order, echoed in every answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Words {
    pub(crate) kind: &'static str,
    pub(crate) tif: &'static str,
    /// Post-only is refused where it would take, rather than moved (Deribit).
    pub(crate) strict: bool,
}

/// An order as a client asks for it.
#[derive(Clone, Debug)]
pub(crate) struct NewOrder {
    pub(crate) account: usize,
    pub(crate) instrument: usize,
    pub(crate) client_id: String,
    pub(crate) side: Side,
    /// In ticks; `None`: a market order.
    pub(crate) price: Option<i64>,
    pub(crate) size: Size,
    pub(crate) tif: Tif,
    pub(crate) post_only: bool,
    pub(crate) reduce_only: bool,
    pub(crate) trigger: Option<Trigger>,
    pub(crate) expires_ns: Option<i64>,
    pub(crate) words: Words,
}

/// Where an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Status {
    /// A stop order whose price was not reached.
    Waiting,
    New,
    Partial,
    Filled,
    Canceled,
    Expired,
}

impl Status {
    pub(crate) const fn is_open(self) -> bool {
        matches!(self, Self::Waiting | Self::New | Self::Partial)
    }
}

/// Why an order ended without being filled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum End {
    #[default]
    None,
    /// Its owner cancelled it.
    User,
    /// All orders of its owner were cancelled: a link was lost or a timer ran out.
    DeadMan,
    /// Post-only, and it would have taken.
    PostOnly,
    /// Immediate-or-cancel, fill-or-kill or market, and there was not enough.
    Liquidity,
    /// Its time was over.
    Time,
    /// Reduce-only, and there is nothing left to reduce.
    ReduceOnly,
    /// A stop order that could not be paid for when its price came.
    Balance,
}

/// An order with its fate.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) id: u64,
    pub(crate) account: usize,
    pub(crate) instrument: usize,
    pub(crate) client_id: String,
    pub(crate) side: Side,
    /// In ticks; `None`: a market order.
    pub(crate) price: Option<i64>,
    /// Lots in all. Of an order by quote quantity: what was filled.
    pub(crate) lots: i64,
    /// What it was for, of an order by quote quantity.
    pub(crate) quote: Option<Amount>,
    pub(crate) filled: i64,
    /// Sum over its fills of price times quantity (inverse: in coin).
    pub(crate) filled_value: Amount,
    pub(crate) fee: Amount,
    pub(crate) tif: Tif,
    pub(crate) post_only: bool,
    pub(crate) reduce_only: bool,
    pub(crate) trigger: Option<Trigger>,
    pub(crate) expires_ns: Option<i64>,
    pub(crate) words: Words,
    pub(crate) status: Status,
    pub(crate) end: End,
    /// It was a stop, and its price has come.
    pub(crate) triggered: bool,
    /// Its price or quantity was changed.
    pub(crate) amended: bool,
    pub(crate) created_ns: i64,
    pub(crate) updated_ns: i64,
    /// When it came into the book.
    pub(crate) working_ns: i64,
    /// Last price of the market when it came, in ticks.
    pub(crate) last_at_entry: i64,
    /// Of what it may spend: held back from its owner's free balance.
    pub(super) locked: Amount,
    /// Place in the queue of its price.
    pub(super) rank: u64,
    /// Lots of the market's own that stand before it at its price.
    pub(super) ahead: i64,
}

impl Order {
    pub(crate) const fn left(&self) -> i64 {
        self.lots - self.filled
    }

    pub(crate) const fn is_open(&self) -> bool {
        self.status.is_open()
    }

    /// Whether it holds nothing back yet.
    pub(crate) fn is_free(&self) -> bool {
        self.trigger.is_some_and(|trigger| !trigger.holds) && !self.triggered
    }
}

/// One fill of one order.
#[derive(Clone, Debug)]
pub(crate) struct Fill {
    /// Unique at the venue; both sides of a trade between two clients have the same.
    pub(crate) trade_id: u64,
    pub(crate) order_id: u64,
    pub(crate) account: usize,
    pub(crate) instrument: usize,
    pub(crate) side: Side,
    /// In ticks.
    pub(crate) price: i64,
    pub(crate) lots: i64,
    pub(crate) value: Amount,
    pub(crate) fee: Amount,
    /// What the fee was paid in.
    pub(crate) fee_asset: String,
    /// It rested; else it took.
    pub(crate) maker: bool,
    /// Profit that it realised (derivatives).
    pub(crate) realised: Amount,
    /// Lots of a position that it closed.
    pub(crate) closed: i64,
    pub(crate) at_ns: i64,
}

/// What happened to an order.
#[derive(Clone, Debug)]
pub(crate) enum What {
    /// It was accepted.
    New,
    /// Its stop price came.
    Triggered,
    Trade(Fill),
    Amended,
    Canceled,
    Expired,
}

/// One thing to tell an order's owner.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    /// Unique at the venue, rising.
    pub(crate) id: u64,
    pub(crate) at_ns: i64,
    pub(crate) what: What,
    /// The order right after it.
    pub(crate) order: Order,
    /// The client id of the request that cancelled it, where that had one.
    pub(crate) request_id: String,
    /// Send it twice: a fault's doing.
    pub(crate) twice: bool,
}

/// Why the core refuses a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// No such order, or it is not open any more.
    UnknownOrder,
    /// Not enough of the asset.
    Balance,
    /// Not enough margin.
    Margin,
    /// Post-only, and it would take.
    WouldTake,
    /// The client id is in use.
    DuplicateId,
    /// Reduce-only without a position to reduce.
    ReduceOnly,
    /// A stop whose price is there already.
    WouldTrigger,
    /// Nothing to trade with.
    NoLiquidity,
    /// The account has as many open orders as it may.
    TooManyOrders,
    /// An amendment that the venue does not take.
    BadAmendment,
}

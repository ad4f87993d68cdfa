//! Orders and accounts: what is asked for, and what the venue says of it.

use arrayvec::ArrayString;
use tickwire_orderbook::{Amount, Price, Qty, Side};

use crate::instrument::{Currency, InstrumentKey};
use crate::time::Nanos;

/// Our own id of an order, at most 36 bytes of `[A-Za-z0-9_-]` as every venue takes it.
pub type ClientOrderId = ArrayString<36>;

/// The venue's id of an order: the longest, Polymarket's, is a hash of 66 characters.
pub type VenueOrderId = ArrayString<66>;

/// The venue's id of a trade: a number, a UUID or a hash.
pub type TradeId = ArrayString<66>;

/// How an order is priced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OrderType {
    /// At the price or better.
    Limit,
    /// At whatever price the book gives.
    Market,
    /// At the price, and only as maker ("post-only"): rejected where it would trade at once.
    LimitMaker,
}

impl OrderType {
    /// The word used in JSON output.
    pub const fn as_str(self) -> &'static str {
        match self {
            OrderType::Limit => "limit",
            OrderType::Market => "market",
            OrderType::LimitMaker => "limit_maker",
        }
    }
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
    /// Until a time of the venue's clock.
    Gtd {
        /// When it ends by itself.
        expires_ns: Nanos,
    },
}

impl TimeInForce {
    /// The word used in JSON output.
    pub const fn as_str(self) -> &'static str {
        match self {
            TimeInForce::Gtc => "gtc",
            TimeInForce::Ioc => "ioc",
            TimeInForce::Fok => "fok",
            TimeInForce::Gtd { .. } => "gtd",
        }
    }
}

/// How much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// In base currency or contracts.
    Base(Qty),
    /// In quote currency: market orders of venues that take it.
    Quote(Qty),
}

/// Which price a [`Stop`] waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TriggerBy {
    /// The last trade's: what every venue with stops has.
    #[default]
    Last,
    /// The mark price, where the market has one.
    Mark,
    /// The price of the index behind the contract, where there is one.
    Index,
}

impl TriggerBy {
    /// The word used in JSON output.
    pub const fn as_str(self) -> &'static str {
        match self {
            TriggerBy::Last => "last",
            TriggerBy::Mark => "mark",
            TriggerBy::Index => "index",
        }
    }
}

/// What an order waits for before it goes to the book: a buy for a price at or above this one, a sell
/// for one at or below.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stop {
    /// The price, on the instrument's ticks. Venues refuse one that the market has reached already.
    pub price: Price,
    /// Which price is meant.
    pub by: TriggerBy,
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
    /// What it waits for, before it is a market or limit order at all; `None` for an order of now.
    pub stop: Option<Stop>,
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
    /// At the venue and not on the book: its [`Stop`] was not reached. It goes on as `New` or as what it
    /// comes to, and never comes back here.
    Untriggered,
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

    /// The word used in JSON output.
    pub const fn as_str(self) -> &'static str {
        match self {
            OrderStatus::Untriggered => "untriggered",
            OrderStatus::New => "new",
            OrderStatus::PartiallyFilled => "partially_filled",
            OrderStatus::Filled => "filled",
            OrderStatus::PendingCancel => "pending_cancel",
            OrderStatus::Canceled => "canceled",
            OrderStatus::Rejected => "rejected",
            OrderStatus::Expired => "expired",
            OrderStatus::Unknown => "unknown",
        }
    }
}

/// An order of the account's own as the venue last told of it. What the message did not say is `None`
/// or empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderUpdate {
    /// What it trades.
    pub instrument: InstrumentKey,
    /// Our id; empty where the order was not placed with one.
    pub client_order_id: ClientOrderId,
    /// The venue's id; empty where it has none yet. Of a stop it may be another once it has triggered.
    pub venue_order_id: VenueOrderId,
    /// Bid buys, ask sells.
    pub side: Side,
    /// How it is priced.
    pub order_type: OrderType,
    /// How long it stands, where the venue said it.
    pub time_in_force: Option<TimeInForce>,
    /// Limit price; none for market orders.
    pub price: Option<Price>,
    /// What it waits for, or has waited for; `None` also where the message does not say.
    pub stop: Option<Stop>,
    /// How much was asked for in base currency or contracts; `None` for an order by quote quantity.
    pub qty: Option<Qty>,
    /// How much of it has traded.
    pub filled: Qty,
    /// Mean price of what has traded, where the venue says it.
    pub price_mean: Option<Price>,
    /// Where it stands.
    pub status: OrderStatus,
    /// The venue's time of this change; [`Nanos::ZERO`] where it has none.
    pub exch_ns: Nanos,
}

/// Which side of a trade one was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Liquidity {
    /// The order stood in the book.
    Maker,
    /// The order took from the book.
    Taker,
    /// The venue did not say.
    Unknown,
}

impl Liquidity {
    /// The word used in JSON output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Liquidity::Maker => "maker",
            Liquidity::Taker => "taker",
            Liquidity::Unknown => "unknown",
        }
    }
}

/// How far the settlement of a fill has come. On a chain a trade can still be undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Settlement {
    /// Done: every fill of a venue that keeps its own books.
    Final,
    /// Matched, on its way to the chain (Polymarket MATCHED).
    Matched,
    /// In a block (Polymarket MINED).
    Mined,
    /// The transaction failed and is sent again (Polymarket RETRYING).
    Retrying,
    /// It failed for good: the trade has not happened (Polymarket FAILED).
    Failed,
}

impl Settlement {
    /// Whether it can still go on: neither done nor failed for good.
    pub const fn is_under_way(self) -> bool {
        !matches!(self, Settlement::Final | Settlement::Failed)
    }

    /// Whether one that stood at `self` may be told to stand at `next`. A message that is late or comes
    /// again tells nothing new.
    pub const fn goes_on_to(self, next: Settlement) -> bool {
        match (self, next) {
            (Settlement::Final | Settlement::Failed, _) | (_, Settlement::Matched) => false,
            // Sent again and mined again, as often as the chain likes.
            (Settlement::Mined, Settlement::Mined) => false,
            (Settlement::Retrying, Settlement::Retrying) => false,
            _ => true,
        }
    }

    /// The word used in JSON output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Settlement::Final => "final",
            Settlement::Matched => "matched",
            Settlement::Mined => "mined",
            Settlement::Retrying => "retrying",
            Settlement::Failed => "failed",
        }
    }
}

/// A trade of the account's own. The same `trade_id` comes again when its settlement goes on; one that
/// comes as [`Settlement::Failed`] has not happened: what it brought and cost is taken back. Its order
/// stays as filled as the venue says: what was matched does not go back into the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// What was traded.
    pub instrument: InstrumentKey,
    /// The order's id of ours; empty where it has none or the message does not say it.
    pub client_order_id: ClientOrderId,
    /// The order's id of the venue.
    pub venue_order_id: VenueOrderId,
    /// The trade's id; with [`Fill::venue_order_id`] it is unique at a venue.
    pub trade_id: TradeId,
    /// Bid bought, ask sold.
    pub side: Side,
    /// At which price.
    pub price: Price,
    /// How much, in base currency or contracts.
    pub qty: Qty,
    /// The fee, negative where it was a rebate; `None` where the message does not say it.
    pub fee: Option<Amount>,
    /// In what the fee was paid; empty where there is none.
    pub fee_currency: Currency,
    /// Maker or taker.
    pub liquidity: Liquidity,
    /// Whether it can still be undone.
    pub settlement: Settlement,
    /// The venue's time of the trade; [`Nanos::ZERO`] where it has none.
    pub exch_ns: Nanos,
}

/// What the account holds of a currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Balance {
    /// The currency.
    pub currency: Currency,
    /// All of it, also what orders have locked.
    pub total: Amount,
    /// What new orders may use.
    pub available: Amount,
    /// The venue's time; [`Nanos::ZERO`] where it has none.
    pub exch_ns: Nanos,
}

/// What the account holds of a contract, net.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The contract.
    pub instrument: InstrumentKey,
    /// In base currency or contracts: above zero long, below short, zero none.
    pub qty: Amount,
    /// Mean price at which it was opened.
    pub price_mean: Option<Price>,
    /// Profit or loss not yet realised, in the settlement currency.
    pub unrealized: Option<Amount>,
    /// The venue's time; [`Nanos::ZERO`] where it has none.
    pub exch_ns: Nanos,
}

//! One account at one venue, by one interface: the same calls at every venue.
//!
//! A [`Driver`] is for programs, tools and scripts. It has an engine of its own beneath it; everything
//! it does goes over that engine's loop, and handlers run on the caller's thread, in
//! [`Driver::poll`] or while a call waits. A [`Strategy`](crate::Strategy) has the same commands without
//! waiting, through its [`Context`](crate::Context).
//!
//! ```no_run
//! use std::time::Duration;
//! use tickwire::driver::{self, Driver, DriverConfig};
//! use tickwire::{Market, Venue};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let credentials = driver::credentials_from_env(Venue::Binance)?;
//! let config = DriverConfig::testnet(Venue::Binance, Market::Spot).with_credentials(credentials);
//! let mut driver = driver::open(config)?;
//! let within = Duration::from_secs(5);
//! driver.connect(within)?;
//! for balance in driver.balances(within)? {
//!     println!("{} {}", balance.currency, balance.total);
//! }
//! # Ok(())
//! # }
//! ```

mod capabilities;
mod config;
mod credentials;
mod live;
mod subscription;

use std::time::Duration;

use tickwire_connectors::order::{Balance, ClientOrderId, OrderRequest, OrderUpdate, Position};
use tickwire_connectors::trading::{Action, AmendRequest, Answer, OrderRef, Ticket};
use tickwire_connectors::wide::{Ticker, WideBody};
use tickwire_connectors::{Error, Instrument, Nanos, Symbol, Trade};
use tickwire_orderbook::{Price, Qty};

pub use capabilities::Capabilities;
pub use config::{DriverConfig, OpenError, open};
pub use credentials::{CredentialsError, credentials_from_env, credentials_from_file};
pub use live::EngineDriver;
pub use subscription::Subscription;

/// The best levels of a book.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrderBook {
    /// As it was asked for.
    pub symbol: Symbol,
    /// Best first.
    pub bids: Vec<(Price, Qty)>,
    /// Best first.
    pub asks: Vec<(Price, Qty)>,
    /// The venue's number of the last update in it.
    pub seq: u64,
    /// When we received that.
    pub recv_ns: Nanos,
}

/// What an account holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AccountInfo {
    /// Currencies.
    pub balances: Vec<Balance>,
    /// Contracts; empty on a spot market.
    pub positions: Vec<Position>,
}

/// The venue's clock beside ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeReport {
    /// The venue's time when it answered.
    pub server_ns: Nanos,
    /// The venue's clock less ours.
    pub offset_ns: Nanos,
}

/// Called with each ticker.
pub type TickerHandler = Box<dyn FnMut(&Ticker)>;
/// Called with the best levels after each message that changed the book.
pub type OrderBookHandler = Box<dyn FnMut(&OrderBook)>;
/// Called with each trade.
pub type TradeHandler = Box<dyn FnMut(&Trade)>;
/// Called with what happens to the account: orders, fills, balances, positions, refusals.
pub type AccountHandler = Box<dyn FnMut(&WideBody)>;

/// One account at one market of one venue.
///
/// **Waiting.** A call that takes `within` waits at most so long. When the time is over, the error's
/// [`outcome`](Error::outcome) says what is known of the request: an order whose call timed out is
/// [`Unknown`](crate::connectors::Outcome::Unknown), goes on being looked up, and is told of by
/// [`on_account`](Driver::on_account). Nothing is ever sent twice: the same client order id again gives
/// the first order.
///
/// **Errors** say their kind, what became of the request and what to do next. A venue or market that
/// lacks something says [`NotSupported`](crate::ErrorKind::NotSupported), and
/// [`capabilities`](Driver::capabilities) says so beforehand.
///
/// **Handlers** run on the thread that calls [`poll`](Driver::poll) or a waiting call, never on the
/// engine's.
///
/// **Symbols** may be unified ("BTC/USDT") or the venue's own ("BTCUSDT").
pub trait Driver {
    /// Venue and market, like "binance spot".
    fn name(&self) -> String;

    /// What this venue and market can do.
    fn capabilities(&self) -> Capabilities;

    /// Logs in and reconciles the account (where there are credentials), and opens again what was open
    /// when [`disconnect`](Driver::disconnect) was called. Connected already, it does nothing.
    fn connect(&mut self, within: Duration) -> Result<(), Error>;

    /// Lets all links go; [`connect`](Driver::connect) comes back. Orders that stand stay where they
    /// are: cancel them first, or rely on the venue's cancel on disconnect where it has one.
    fn disconnect(&mut self);

    /// Ends it for good: every later call is an error of
    /// [`Disconnected`](crate::ErrorKind::Disconnected).
    fn close(&mut self);

    /// Whether the account is logged in and reconciled; without credentials whether
    /// [`connect`](Driver::connect) was called.
    fn is_connected(&self) -> bool;

    /// Handles what has come since, and calls the handlers. Gives how many events there were. Call it
    /// often: a driver with orders that is not polled for 5 s is taken for dead, and its orders are
    /// cancelled.
    fn poll(&mut self) -> usize;

    /// The venue's time.
    fn server_time(&mut self, within: Duration) -> Result<Nanos, Error>;

    /// Asks for the venue's time and sets by it what requests are stamped with.
    fn sync_time(&mut self, within: Duration) -> Result<TimeReport, Error>;

    /// Every instrument of the market with its filters; of one, where `symbol` names it.
    fn exchange_info(
        &mut self,
        symbol: Option<&str>,
        within: Duration,
    ) -> Result<Vec<Instrument>, Error>;

    /// The next ticker.
    fn ticker(&mut self, symbol: &str, within: Duration) -> Result<Ticker, Error>;

    /// The best `depth` levels of each side, as soon as the book is Live.
    fn orderbook(
        &mut self,
        symbol: &str,
        depth: usize,
        within: Duration,
    ) -> Result<OrderBook, Error>;

    /// Has tickers handled until the returned handle is dropped.
    fn subscribe_ticker(
        &mut self,
        symbol: &str,
        handler: TickerHandler,
    ) -> Result<Subscription, Error>;

    /// Has the best `depth` levels of a book handled until the returned handle is dropped. The handler
    /// is never called with a book that is not Live.
    fn subscribe_orderbook(
        &mut self,
        symbol: &str,
        depth: usize,
        handler: OrderBookHandler,
    ) -> Result<Subscription, Error>;

    /// Has trades handled until the returned handle is dropped.
    fn subscribe_trades(
        &mut self,
        symbol: &str,
        handler: TradeHandler,
    ) -> Result<Subscription, Error>;

    /// Has what happens to the account handled, in place of any earlier handler.
    fn on_account(&mut self, handler: AccountHandler);

    /// Balances and positions.
    fn account(&mut self, within: Duration) -> Result<AccountInfo, Error>;

    /// What the account holds of each currency, as the venue says it now.
    fn balances(&mut self, within: Duration) -> Result<Vec<Balance>, Error>;

    /// What the account holds of each contract.
    fn positions(&mut self, within: Duration) -> Result<Vec<Position>, Error>;

    /// An id for an order that no other order of the account has.
    fn next_order_id(&self) -> ClientOrderId;

    /// Places an order and waits until the venue has taken or refused it.
    fn place_order(
        &mut self,
        request: &OrderRequest,
        within: Duration,
    ) -> Result<OrderUpdate, Error>;

    /// Cancels an order and waits for the venue's answer; gives the order as it is known then, `None`
    /// where only the venue knows it.
    fn cancel_order(
        &mut self,
        order: &OrderRef,
        within: Duration,
    ) -> Result<Option<OrderUpdate>, Error>;

    /// Changes price or quantity of an order.
    fn amend_order(
        &mut self,
        amend: &AmendRequest,
        within: Duration,
    ) -> Result<Option<OrderUpdate>, Error>;

    /// An order as the venue has it.
    fn order(&mut self, order: &OrderRef, within: Duration) -> Result<OrderUpdate, Error>;

    /// Orders that stand at the venue, of a symbol or of all.
    fn open_orders(
        &mut self,
        symbol: Option<&str>,
        within: Duration,
    ) -> Result<Vec<OrderUpdate>, Error>;

    /// Cancels every order, of a symbol or of all that this driver knows.
    fn cancel_all(&mut self, symbol: Option<&str>, within: Duration) -> Result<(), Error>;

    /// The kill switch: cancels every order, and takes no new ones until [`release`](Driver::release).
    fn kill(&mut self, within: Duration) -> Result<(), Error>;

    /// Takes new orders again.
    fn release(&mut self, within: Duration) -> Result<(), Error>;

    /// Asks for anything without waiting; [`next_answer`](Driver::next_answer) has the answer later, and
    /// what becomes of orders goes to [`on_account`](Driver::on_account).
    fn submit(&mut self, action: Action) -> Result<Ticket, Error>;

    /// The next answer to a [`submit`](Driver::submit).
    fn next_answer(&mut self) -> Option<Answer>;
}

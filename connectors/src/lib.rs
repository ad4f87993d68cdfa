//! What venues have in common, and one folder a venue.
//!
//! A connector is a sans-IO state machine: bytes, time and commands go in; events, requests and
//! timers come out. It names no socket and reads no clock, so a test needs neither, and a replay
//! of the same inputs gives the same events.
//!
//! | module | what it holds |
//! |---|---|
//! | [`connector`] | the [`Connector`] contract and the order in which to call it |
//! | [`transmit`] | what a connector asks of the engine: links, messages, HTTP requests |
//! | [`payload`] | how a venue that packs its binary messages has them opened |
//! | [`command`] | what a strategy asks of a connector |
//! | [`channel`] | the kinds of stream a strategy can subscribe to |
//! | [`event`] | hot events: one cache line each ([`Bbo`], [`Trade`], [`LevelDelta`], [`StateChange`], [`Lost`]) |
//! | [`wide`] | events that don't fit one: ticker, kline, instrument, order, notice |
//! | [`outbox`] | where a connector writes the events of one call |
//! | [`instrument`] | venue, market, symbol, tick and lot size |
//! | [`network`] | mainnet, testnet or any host |
//! | [`order`] | order requests, order state, fills, balances, positions |
//! | [`credentials`], [`sign`] | API keys and what they sign |
//! | [`trading`] | orders and accounts: what is the same at every venue |
//! | [`error`] | errors by kind, outcome and what to do next |
//! | [`upkeep`], [`liveness`], [`agreement`], [`carriers`], [`numbering`], [`governor`] | how links and books are kept true |
//! | [`scan`], [`stream`], [`subscriptions`], [`hold`], [`in_order`], [`seen`], [`timers`] | parts that connectors are made of |
//! | [`binance`], [`bybit`], [`deribit`], [`polymarket`] | the venues |

pub mod agreement;
pub mod any;
pub mod binance;
pub mod bybit;
pub mod carriers;
pub mod catalog;
pub mod channel;
pub mod command;
pub mod connector;
pub mod credentials;
pub mod deribit;
#[cfg(any(test, feature = "fuzzing"))]
mod differential;
pub mod error;
pub mod event;
pub mod governor;
pub mod hold;
pub mod in_order;
pub mod instrument;
pub mod liveness;
mod market_data;
#[cfg(test)]
mod mutation;
mod names;
pub mod network;
pub mod numbering;
pub mod order;
pub mod outbox;
pub mod payload;
pub mod polymarket;
mod reader;
#[cfg(test)]
#[path = "../fuzz/replay.rs"]
mod replay;
pub mod scan;
pub mod seen;
pub mod sign;
pub mod stream;
pub mod subscriptions;
mod swar;
pub mod time;
pub mod timers;
pub mod trading;
pub mod transmit;
pub mod upkeep;
pub mod wide;

pub use any::AnyConnector;
pub use channel::{BookParams, Channel, Interval};
pub use command::Command;
pub use connector::{BookView, Connector};
pub use credentials::Credentials;
pub use error::{Error, ErrorKind, Next, Outcome};
pub use event::{
    Aggressor, Bbo, Body, Event, EventKind, LevelDelta, Lost, Reason, Source, StateChange,
    StreamId, StreamState, Trade,
};
pub use instrument::{Instrument, InstrumentKey, Market, Symbol, Venue};
pub use liveness::Liveness;
pub use network::{FetchInstruments, Network};
pub use outbox::Outbox;
pub use time::Nanos;
pub use transmit::{LinkChange, LinkId, LinkSpec, RequestId, Transmit};
pub use upkeep::Upkeep;
pub use wide::{VenueNews, Wide, WideBody};

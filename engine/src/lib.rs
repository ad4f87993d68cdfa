//! A low-latency market-data and order engine for crypto venues, to link into a strategy binary.
//!
//! One pinned thread owns every exchange socket. It spins on a poll, decrypts, frames, parses and
//! applies each message to an order book in one pass, and publishes tops of book, trades and state
//! changes to strategy threads over lock-free single-producer single-consumer rings.
//!
//! ```text
//! net (one recv) -> wire::tls -> wire::ws (in place) -> connector: parse -> book -> event
//!    -> router -> ring -> Strategy        (or the strategy itself, inline)
//! ```
//!
//! | to do this | look at |
//! |---|---|
//! | build and start an engine | [`Engine::builder`], [`StrategySetup`] |
//! | write a strategy | [`Strategy`], [`Context`] |
//! | steer a running engine | [`Handle`], [`Commander`] |
//! | ask a running strategy something | [`operator`], [`Strategy::on_instruction`] |
//! | read rings without a `Strategy` | [`StrategySetup::pair`], [`ring`] |
//! | talk to any other WebSocket server | [`ws`] |
//! | add a venue | [`Connector`], [`VenueSetup::custom`] |
//! | test against a venue | the feature `testing` |

mod asker;
mod backoff;
mod builder;
mod clock;
mod control;
mod credit;
pub mod driver;
mod engine;
mod handle;
mod helper;
mod hosts;
mod http;
mod link;
mod memory;
pub mod net;
mod notice;
pub mod operator;
mod pacer;
mod pin;
mod registry;
pub mod ring;
mod router;
mod strategy;
mod stream;
pub mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;
mod window;
pub mod wire;
pub mod ws;

pub use backoff::BackoffConfig;
pub use builder::{BuildError, Engine, EngineBuilder, StrategySetup, VenueSetup};
pub use clock::Clock;
pub use control::{Commander, STRATEGIES_MAX, StrategyId};
pub use engine::PollMode;
pub use handle::{Handle, ThreadPanicked};
pub use hosts::HostInfo;
pub use memory::LockError;
pub use notice::{Hold, LinkNotice, LinkNoticeKind, VenueNotice};
pub use pin::{PinError, check_core, cores, last_core, pin};
pub use registry::{LinkInfo, LinkState, StreamInfo, StreamKey, SubscribeError};
pub use strategy::{Change, Context, Replica, Strategy, TimerId, Wait};

pub use rustls::pki_types::CertificateDer;
pub use tickwire_connectors as connectors;
pub use tickwire_connectors::binance::{self, BinanceConfig};
pub use tickwire_connectors::bybit::{self, BybitConfig};
pub use tickwire_connectors::deribit::{self, DeribitConfig};
pub use tickwire_connectors::polymarket::{self, PolymarketConfig};
pub use tickwire_connectors::{
    Aggressor, Bbo, Body, BookParams, Channel, Connector, Error, ErrorKind, Event, EventKind,
    Instrument, Interval, LevelDelta, Lost, Market, Nanos, Outbox, Reason, Source, StateChange,
    StreamId, StreamState, Symbol, Trade, Upkeep, Venue, VenueNews, Wide, WideBody,
};
pub use tickwire_orderbook as orderbook;
pub use tickwire_orderbook::{Amount, Book, Level, Price, Qty, Scale, Side};
pub use wire::tls::certificates_from_pem;

/// The README's code compiles, or the documentation tests fail.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// So does the code of the WebSocket client's guide.
#[cfg(doctest)]
#[doc = include_str!("../../docs/websocket-client.md")]
struct WebSocketClientGuide;
/// So does that of the guides.
#[cfg(doctest)]
#[doc = include_str!("../../docs/real-time/deribit.md")]
struct DeribitGuide;

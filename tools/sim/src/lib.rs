//! A venue simulator on loopback: a TLS WebSocket and REST server that speaks the wire protocols
//! of Binance (spot, USD-M, COIN-M) and Bybit v5 (spot, linear): acks and errors, heartbeats and
//! their time-outs, limits, and REST snapshots whose sequence lines up with the stream.
//!
//! It has two sources. A *seeded synthetic market*, whose true book is known at each sequence
//! number ([`Truth`]), and a *recording*, whose frames are served byte for byte at the recorded
//! pace or faster. It was written from the venues' documentation and from recorded frames, not
//! from tickwire's connectors, so that the two do not merely prove each other.
//!
//! ```no_run
//! use tickwire_sim::{Sim, SimVenue, VenueSpec};
//!
//! let sim = Sim::builder()
//!     .seed(7)
//!     .venue(VenueSpec::binance_spot().instruments(4))
//!     .venue(VenueSpec::bybit_linear().symbols(&["BTCUSDT", "ETHUSDT"]).rate_msgs_s(2_000))
//!     .start()?;
//! let url = sim.ws_url(SimVenue::BinanceSpot); // + "/stream?streams=btcusdt@depth@100ms"
//! let trusted = sim.ca_der(); // for the client's root store
//! # let _ = (url, trusted);
//! # Ok::<(), tickwire_sim::SimError>(())
//! ```
//!
//! Inside, [`World`] holds all venues as sans-IO state machines: inputs and the time in, an
//! [`Outbox`] out, all chance from the seed. [`Sim`] is a shell of sockets around it, one thread
//! for any number of connections.
//!
//! # Limits
//! Weekly and monthly candles, futures partial depth, `!..@arr` streams, SBE, Bybit's
//! `orderbook.full` and `orderbook.rpi`, and everything private are not served. All REST callers
//! count as one IP address. permessage-deflate is never granted.

mod clock;
mod control;
mod error;
mod market;
mod num;
mod outbox;
mod replay;
mod sent;
mod server;
mod sim;
mod spec;
mod stats;
mod truth;
mod venue;
mod world;

pub use control::{Command, Control};
pub use error::SimError;
pub use outbox::{ConnId, Item, Mark, MsgKind, Outbox};
pub use sent::{SendLog, Sent};
pub use sim::{Sim, SimBuilder};
pub use spec::{Limits, SimVenue, Speed, VenueSpec};
pub use stats::Stats;
pub use truth::{Channel, Truth, TruthBook};
pub use venue::{Accept, HttpRequest, HttpResponse};
pub use world::World;

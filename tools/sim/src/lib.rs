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
//! # Trading
//! With an account ([`VenueSpec::account`], [`VenueSpec::demo_account`]) a venue takes orders: signed
//! REST calls, order entry over WebSocket and private streams. Orders are matched with the synthetic
//! market and with each other in exact integers; [`Control::ledger`] and [`World::ledger`] say what an
//! account really has, for a test to compare with what its client believes. The model and its limits
//! are in `docs/paper-trading.md`. A recording takes no orders.
//!
//! # Faults
//! Injected by a test ([`Control::inject`], [`World::inject`]), by a [`FaultScript`] or by chance
//! ([`FaultPlan`]); what happened is in the [`FaultLog`]. Each row of [`Fault`] says what a client
//! may see and should do. The world does what concerns messages and sessions; what concerns bytes
//! it hands to its shell as a [`ShellFault`], and a [`LinkFilter`] does it over TLS or in memory.
//!
//! | fault, as a script writes it | acts on | seen by a client |
//! |---|---|---|
//! | `cut [links]` | links | end of stream without a close frame |
//! | `stall [target] for=5s` | streams | silence on live links, then a gap |
//! | `half-open [links]` | links, bytes | nothing at all, for ever |
//! | `gap [target]` | next delta | a number is missing |
//! | `miss [target]` | next delta | a number is missing on one link, and on no other |
//! | `duplicate [target]` | next delta | the same frame twice |
//! | `reorder [target]` | next two deltas | they come in the wrong order |
//! | `trickle [links] bytes=16 every=20ms for=5s [wire]` | bytes | frames or TLS records in pieces |
//! | `cut-mid-frame [links] [keep=N] [reset] [wire]` | bytes | a part of a frame, then FIN or reset |
//! | `refuse-upgrade STATUS [retry=S] times=1` | upgrades | 401, 403, 429, 503 .. |
//! | `certificate wrong-name\|unknown-authority\|expired for=5s` | handshakes | verification fails |
//! | `old-snapshot [symbol] times=1` | REST depth | older than every buffered delta |
//! | `rest STATUS [retry=S] times=1` | REST | 429, 418, 403, 5xx |
//! | `corrupt [target] [utf8]` | next delta | one damaged byte: no JSON (or no UTF-8) |
//! | `oversized [target] bytes=16MiB` | next delta | legal JSON, too long |
//! | `huge-header [links]` | bytes | a frame header that announces 2^62 bytes |
//! | `crossed [target]` | next delta | a bid above the best ask, with good numbers |
//! | `skew SPAN for=5s` | clock | event and REST times are shifted |
//! | `restart` | venue | links end, numbers start over |
//! | `service-reset` | Bybit's books | a snapshot with `u` 1 on live links |
//! | `kill for=1s [reset]` | venue | resets, refused connections, then back |
//! | `server-shutdown [links] for=5s` | Binance's links | the event `serverShutdown`, then the end |
//! | `ack-lost times=1` | order requests | done, and never answered |
//! | `fill-first by=20ms times=1` | order requests | events come before the answer |
//! | `duplicate-fill times=1` | fills | told twice |
//! | `cancel-race times=1` | cancels | filled just before; the cancel is refused |
//! | `accepted-5xx STATUS times=1` | order requests | done, and answered with an error |
//! | `slow-ack for=2s times=1` | order requests | done at once, answered late |
//! | `cut-private` | links with private data | end of stream |
//! | `mute [links]` | links | pongs and acks, and no data, for ever |
//! | `deaf-test [links] for=1s` | Deribit's links | a `test_request`, then the end, whatever is answered |
//! | `no-credits times=1` | Deribit's next subscribe | error 10028, close code 1008 |
//! | `ping-refused [links]` | Polymarket's next PING | close code 1008 |
//!
//! `links` is `all` (default), `oldest`, `newest` or a stream's name (those that hold it); `target`
//! is `any` (default), a symbol or a stream's name. The [`Truth`] is what the venue's book is,
//! whatever was sent: a crossed batch or a damaged frame is no part of it, and later deltas go on
//! from the true book.
//!
//! # Limits
//! Weekly and monthly candles, futures partial depth, `!..@arr` streams, SBE, Bybit's
//! `orderbook.full` and `orderbook.rpi` are not served; nor are COIN-M orders, batches of orders,
//! order lists (OCO), conditional orders of USD-M, leverage and hedge modes. All REST callers
//! count as one IP address. permessage-deflate is never granted. From a recording `crossed`,
//! `skew` of stream times and `old-snapshot` have no effect: its frames are served as they are. A
//! stall or a one-shot fault hits all subscribers of its stream.

mod clock;
mod control;
mod error;
mod exchange;
mod fault;
mod inject;
mod json;
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

pub use control::{Command, Control, Settlement};
pub use error::SimError;
pub use exchange::{AccountSpec, BalanceView, FillView, Ledger, OrderView, PositionView};
pub use fault::{
    BadCertificate, DoorFault, Fault, FaultKind, FaultLog, FaultPlan, FaultRates, FaultRecord,
    FaultScript, Layer, LinkFault, LinkFilter, Links, Planned, ShellFault, Target,
};
pub use outbox::{ConnId, Item, Mark, MsgKind, Outbox};
pub use sent::{SendLog, Sent};
pub use server::{Broken, Incoming, Parsed, Session};
pub use sim::{Sim, SimBuilder};
pub use spec::{Limits, SimVenue, Speed, VenueSpec};
pub use stats::Stats;
pub use truth::{Channel, Truth, TruthBook};
pub use venue::deribit::DERIBIT_ACCOUNT;
pub use venue::{Accept, Delivery, HttpRequest, HttpResponse};
pub use world::World;

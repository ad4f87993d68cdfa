//! A WebSocket client for anything that is no venue here: five functions and a few readers.
//!
//! ```no_run
//! use tickwire::ws::{self, Message};
//!
//! # fn main() -> Result<(), ws::Error> {
//! let client = ws::connect("wss://test.deribit.com/ws/api/v2")?;
//! let time = r#"{"jsonrpc":"2.0","id":1,"method":"public/get_time","params":{}}"#;
//! println!("{:?}", client.request(time)?);
//! let _done = client.subscribe(["ticker.BTC-PERPETUAL.100ms"])?;
//! while let Some(message) = client.recv() {
//!     println!("{:?} {message:?}", client.get_state());
//! }
//! client.close();
//! # Ok(())
//! # }
//! ```
//!
//! It stands on the engine's links: the same TCP, TLS, frames, reconnects and host budgets as the
//! venues', and many clients on one loop ([`Clients`]). What it adds: an error that does not heal stops
//! it, and so do `retry_count` failures; heartbeats that act; answers that find their requests;
//! subscriptions that come back; a rate limiter.
//!
//! | to do this | look at |
//! |---|---|
//! | configure | [`Config`] |
//! | send, and wait for answers | [`Client::send_message`], [`Ticket`] |
//! | receive | [`Client::recv`], [`Message`] |
//! | add a venue's words | [`Dialect`] |
//! | stay within a limit | [`limit`] |
//! | know what to do about an error | [`explain`], [`Class`] |
//! | run many that must not die | [`Supervisor`] |
//! | test against a server that misbehaves | `tickwire::testing::ws`, with the feature `testing` |

mod client;
mod config;
mod dialect;
mod error;
mod heartbeat;
mod hub;
mod json;
pub mod limit;
mod message;
mod metrics;
mod pending;
mod record;
mod session;
mod shared;
mod subscriptions;
mod supervisor;
mod ticket;

use std::time::Duration;

use tickwire_connectors::Nanos;

pub use client::{Client, Clients, Receipt, SEND_BYTES_MAX, connect, open};
pub use config::{Config, ConfigError, Handler, Login};
pub use dialect::{
    Ack, Binance, Bybit, ChannelRequest, Deribit, Dialect, Polymarket, Rest, dialect_of,
};
pub use error::{Class, Error, Explanation, FATAL_CLOSE_CODES, explain};
pub use heartbeat::{Answer, HeartbeatConfig, HeartbeatType};
pub use json::{Envelope, Json};
pub use limit::{LimitConfig, Limiter};
pub use message::{Message, Request};
pub use metrics::{HeartbeatHealth, LatencyStats, Metrics, StateMetrics};
pub use shared::State;
pub use subscriptions::Subscribed;
pub use supervisor::{Supervisor, SupervisorConfig, SupervisorError};
pub use ticket::Ticket;

fn duration(time: Nanos) -> Duration {
    Duration::from_nanos(time.0.max(0) as u64)
}

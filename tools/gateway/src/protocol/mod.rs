//! What is said on the wire: frames, methods, events, errors, channel names. Everything a peer sends is
//! checked against these types, and `docs/gateway/schema.json` is generated from them.

mod channel;
mod entity;
mod error;
mod event;
mod frame;
mod limited;
mod method;
mod result;
mod schema;

pub use channel::{BadChannel, CHANNEL_BYTES_MAX, Channel, Class, MarketPart};
pub use entity::*;
pub use error::{Code, ErrorBody};
pub use event::*;
pub use frame::{
    ChannelAt, ChannelSince, ChannelsFrame, ClientFrame, FrameError, PingFrame, Position,
    RequestFrame, Since, Subscribed, response,
};
pub use limited::{Text, Within};
pub use method::*;
pub use result::*;
pub use schema::schema;

/// The version in the `connected` event; raised when a client that follows the present one would break.
pub const PROTOCOL: u32 = 1;

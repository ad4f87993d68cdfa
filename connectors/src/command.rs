//! What a strategy asks of a connector.

use crate::channel::Channel;
use crate::event::StreamId;
use crate::instrument::Symbol;

/// A request of a strategy. It never fails at the call: a refusal is an event on the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Opens a stream. The engine gives out a new `stream` for each (instrument, channel) and sends
    /// this once a stream, however many strategies share it. Also while disconnected.
    Subscribe {
        /// The number that all events of the stream will carry.
        stream: StreamId,
        /// Unified ("BTC/USDT") or the venue's own ("BTCUSDT").
        symbol: Symbol,
        /// The kind of stream.
        channel: Channel,
        /// Whether to publish each level of a book beside its top.
        depth: bool,
    },
    /// Ends a stream. Its last event is [`StreamState::Closed`](crate::StreamState::Closed); a stream
    /// that was refused has had its last event.
    Unsubscribe {
        /// The stream.
        stream: StreamId,
    },
    /// Turns level events of a book on or off.
    SetDepth {
        /// The stream.
        stream: StreamId,
        /// Whether to publish each level.
        depth: bool,
    },
    /// Publishes the stream's present book (as one snapshot batch where depth is on, and its top)
    /// from our own copy: for a strategy that joins late, or whose ring lost levels.
    Republish {
        /// The stream.
        stream: StreamId,
    },
    /// Throws the stream's book away and fetches a fresh one.
    Resync {
        /// The stream.
        stream: StreamId,
    },
}

impl Command {
    /// The stream it is about.
    pub const fn stream(&self) -> StreamId {
        match *self {
            Command::Subscribe { stream, .. }
            | Command::Unsubscribe { stream }
            | Command::SetDepth { stream, .. }
            | Command::Republish { stream }
            | Command::Resync { stream } => stream,
        }
    }
}

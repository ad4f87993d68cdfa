//! What a client receives.

use std::time::Duration;

use super::error::Error;
use super::json::Json;
use super::subscriptions::Subscribed;

/// What a client receives, in the order in which it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Message {
    /// A JSON object or array that answers nothing.
    Json(Json),
    /// A text that is neither.
    Text(String),
    /// A binary message.
    Binary(Vec<u8>),
    /// An answer that nobody waits for: it is late, or its id was never asked.
    Unmatched(Json),
    /// The server asks for something: answer with [`Client::respond`](super::Client::respond).
    Request(Request),
    /// The server broke the protocol. The client stops: [`Message::Closed`] follows.
    ProtocolError(Error),
    /// The connection is lost. What comes next is [`Message::Reconnected`] or [`Message::Closed`].
    Disconnected {
        /// Why.
        error: Error,
        /// How long until the next try.
        retry_in: Duration,
    },
    /// A new connection stands, logged in. Messages from here on are its own.
    Reconnected {
        /// Counts the client's connections from 1.
        connection: u64,
    },
    /// What was subscribed before the loss is subscribed again, as far as the server took it.
    Restored(Subscribed),
    /// So many messages were dropped here because nobody received them in time.
    Lost {
        /// How many.
        count: u64,
    },
    /// The client has stopped. Nothing follows, unless it is told to reconnect.
    Closed(Error),
}

impl Message {
    /// Whether it is what the server sent, and not news of the connection.
    pub(crate) fn is_data(&self) -> bool {
        matches!(
            self,
            Message::Json(_)
                | Message::Text(_)
                | Message::Binary(_)
                | Message::Unmatched(_)
                | Message::Request(_)
        )
    }
}

/// A request that the server makes of us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its id, as it stands in the text; the answer carries it.
    pub id: String,
    /// What it asks for.
    pub method: String,
    /// All of it.
    pub json: Json,
}

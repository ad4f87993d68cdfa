//! A client in Rust, on [`tickwire::ws`]: typed calls, and channels that go on after a loss from where they
//! were.
//!
//! ```no_run
//! use std::time::Duration;
//! use tickwire_gateway::client::{Calls, Client, Config, Told};
//! use tickwire_gateway::protocol::{MessagesSend, Text};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::connect(Config::new("ws://127.0.0.1:4096/ws", "a token"))?;
//! client.subscribe(["session:sess_1"])?;
//! let sent = client.messages_send(MessagesSend {
//!     session_id: Text::new("sess_1").ok_or("an id")?,
//!     content: Text::new("buy 0.1").ok_or("words")?,
//!     idempotency_key: None,
//! })?;
//! while let Some(told) = client.recv_timeout(Duration::from_secs(10)) {
//!     match told {
//!         Told::Joined(joined) => println!("{} is at {:?}", joined.channel, joined.position),
//!         Told::Event(event) => println!("{} {} for {}", event.name, event.data, sent.reply_id),
//!         Told::Closed(why) => return Err(why.into()),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod course;
mod words;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tickwire::ws::{self, Message};

use crate::protocol::{Call, ErrorBody};
pub use crate::protocol::{Calls, Connected};
use course::read_event;
pub use course::{Event, Joined};
use words::Words;

/// Whom to call, and as whom.
#[derive(Clone)]
pub struct Config {
    token: String,
    /// How the connection is made and kept: every field of the general client but `dialect` and the header of the
    /// token, which are filled in.
    pub link: ws::Config,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("url", &self.link.url)
            .finish_non_exhaustive()
    }
}

impl Config {
    /// A gateway at `url` (`ws://127.0.0.1:4096/ws`, or `wss`), with a token. It is tried again without end: a gateway may be restarted.
    pub fn new(url: impl Into<String>, token: impl Into<String>) -> Config {
        let link = ws::Config {
            retry_count: u32::MAX,
            ..ws::Config::new(url)
        };
        Config {
            token: token.into(),
            link,
        }
    }

    /// Trusts these certificates and no others.
    #[must_use]
    pub fn trust_only(mut self, roots: Vec<CertificateDer<'static>>) -> Config {
        self.link.trust_only = Some(roots);
        self
    }
}

/// What went wrong with a call.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// The gateway said no. Its `code` says why, and `retryable` whether to ask again.
    #[error("{}: {}", .0.code.as_str(), .0.message)]
    Refused(ErrorBody),
    /// The connection. Where the call had left, the gateway may have acted on it: repeat it with the same
    /// `idempotencyKey`.
    #[error(transparent)]
    Link(#[from] ws::Error),
    /// The gateway answered with something else than this method's result.
    #[error("an answer that is none: {0}")]
    Answer(String),
}

/// What is told, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// A connection stands: the first one, or another after a loss. Joined channels follow, and what they
    /// missed.
    Connected(Connected),
    /// A channel is told from here on; what came before is in the snapshot, where it was not recovered.
    Joined(Joined),
    /// Something happened in a channel.
    Event(Event),
    /// Channels that were told before the loss, and why they are not any more.
    Refused(Vec<(String, String)>),
    /// The connection is lost, and made anew.
    Lost(ws::Error),
    /// This program took so many messages too late, and they were dropped: subscribe again.
    Overrun(u64),
    /// It is over: closed, or refused for good.
    Closed(ws::Error),
}

/// A connection to a gateway that is made anew when it is lost. All methods can be used from several
/// threads, but one should receive.
#[derive(Debug)]
pub struct Client {
    ws: ws::Client,
    words: Arc<Words>,
    next_call: AtomicU64,
}

impl Client {
    /// Connects, and waits until the gateway lets us in.
    ///
    /// # Errors
    /// As [`ws::connect`]; a token that is not valid is [`ws::Error`] of HTTP 401, at once and for good.
    pub fn connect(config: Config) -> Result<Client, Error> {
        let Config { token, mut link } = config;
        let words = Arc::new(Words::default());
        link.dialect = Some(words.clone());
        let bearer = format!("Bearer {token}");
        link.headers.push(("Authorization".to_owned(), bearer));
        Ok(Client {
            ws: ws::connect(link)?,
            words,
            next_call: AtomicU64::new(1),
        })
    }

    /// Has channels told. Each begins with [`Told::Joined`]; those that are refused come back with why.
    ///
    /// # Errors
    /// Where the connection is lost or nothing is answered; the channels are asked for again then.
    pub fn subscribe<C: Into<String>>(
        &self,
        channels: impl IntoIterator<Item = C>,
    ) -> Result<ws::Subscribed, Error> {
        let channels: Vec<String> = channels.into_iter().map(Into::into).collect();
        self.words.course().want(&channels);
        let done = self.ws.subscribe(channels)?.wait()?;
        let refused = done.refused.iter().map(|(channel, _)| channel);
        self.words.course().forget(refused);
        Ok(done)
    }

    /// Has channels told no more. What is on its way is thrown away.
    ///
    /// # Errors
    /// Where the connection is lost: they are not asked for again then either.
    pub fn unsubscribe<C: Into<String>>(
        &self,
        channels: impl IntoIterator<Item = C>,
    ) -> Result<(), Error> {
        let channels: Vec<String> = channels.into_iter().map(Into::into).collect();
        self.words.course().forget(channels.iter());
        self.ws.unsubscribe(channels)?.wait()?;
        Ok(())
    }

    /// What comes next; `None` where nothing does within `longest`.
    pub fn recv_timeout(&self, longest: Duration) -> Option<Told> {
        loop {
            if let Some(told) = self.words.course().next() {
                return Some(told);
            }
            let message = match self.ws.try_recv() {
                Some(message) => message,
                None => {
                    // An answer waits for the events before it: there are none once nothing waits. The
                    // lock is let go before the wait, since the loop takes it as well.
                    let joined = self.words.course().next_joined();
                    if let Some(joined) = joined {
                        return Some(Told::Joined(joined));
                    }
                    self.ws.recv_timeout(longest)?
                }
            };
            if let Some(told) = self.hear(message) {
                return Some(told);
            }
        }
    }

    fn hear(&self, message: Message) -> Option<Told> {
        match message {
            Message::Json(json) => match read_event(json.text())? {
                Ok(connected) => Some(Told::Connected(*connected)),
                Err(event) => {
                    self.words.course().hear(event);
                    None
                }
            },
            Message::Disconnected { error, .. } => Some(Told::Lost(error)),
            Message::Restored(done) if !done.refused.is_empty() => {
                let names = done.refused.iter().map(|(channel, _)| channel);
                self.words.course().forget(names);
                Some(Told::Refused(done.refused))
            }
            Message::Lost { count } => Some(Told::Overrun(count)),
            Message::Closed(error) => Some(Told::Closed(error)),
            _ => None,
        }
    }

    /// Closes for good.
    pub fn close(&self) {
        self.ws.close();
    }

    /// The connection beneath: its state, health and latency.
    pub const fn link(&self) -> &ws::Client {
        &self.ws
    }
}

impl Calls for Client {
    type Error = Error;

    fn ask<R: DeserializeOwned>(&self, call: &Call) -> Result<R, Error> {
        let number = self.next_call.fetch_add(1, Ordering::Relaxed);
        let frame = serde_json::json!({
            "type": "request",
            "id": format!("call-{number}"),
            "method": call.method(),
            "params": call.params(),
        });
        let answer = self.ws.request(frame.to_string())?;
        let mut answer = answer.map_or(Value::Null, |answer| answer.value());
        if let Some(error) = answer.get_mut("error") {
            let body = serde_json::from_value(error.take());
            return Err(body.map_or_else(|error| Error::Answer(error.to_string()), Error::Refused));
        }
        let result = answer.get_mut("result").map_or(Value::Null, Value::take);
        serde_json::from_value(result).map_err(|error| Error::Answer(error.to_string()))
    }
}

//! A client as the program holds it, and the loops that clients run on.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::config::{Config, ConfigError, shown};
use super::error::Error;
use super::heartbeat::HeartbeatConfig;
use super::hub::{CLIENTS_MAX, Hub, Inbox, Item};
use super::json::{Envelope, Json};
use super::limit::{Lane, OnEmpty};
use super::message::Message;
use super::metrics::{HeartbeatHealth, LatencyStats, StateMetrics};
use super::record::Recorder;
use super::session::{Command, Outgoing, Settings};
use super::shared::{OUTGOING_MAX, Shared, State};
use super::subscriptions::Subscribed;
use super::ticket::{Ticket, ticket};
use crate::engine::PollMode;
use crate::handle::Handle;
use crate::registry::lock;
use crate::wire::ws::OpCode;
use crate::{CertificateDer, Engine};

/// The longest message that can be sent, in bytes. A frame is written whole into the link's buffer.
pub const SEND_BYTES_MAX: usize = 60 << 10;

/// Connects on a loop of its own, and waits until the connection stands (and is logged in).
///
/// # Errors
/// [`Error::Config`] before anything is opened; else why there is no connection and will be none.
pub fn connect(config: impl Into<Config>) -> Result<Client, Error> {
    let client = open(config)?;
    client.wait_connected()?;
    Ok(client)
}

/// As [`connect`], without waiting.
///
/// # Errors
/// [`Error::Config`] before anything is opened.
pub fn open(config: impl Into<Config>) -> Result<Client, Error> {
    let mut config = config.into();
    let roots = config.trust_only.take();
    config.validate()?;
    let clients = Clients::new();
    let client = clients.open(config)?;
    let handle = clients.run(roots)?;
    *lock(&client.inner.alone) = Some(handle);
    Ok(client)
}

/// Clients that share a loop: one of their own, or an engine's.
///
/// ```no_run
/// use tickwire::ws::Clients;
///
/// # fn main() -> Result<(), tickwire::ws::Error> {
/// // Many clients on one thread:
/// let clients = Clients::new();
/// let running = clients.run(None)?;
/// let first = clients.connect("wss://example.com/a")?;
/// let second = clients.connect("wss://example.com/b")?;
/// # drop((first, second, running));
/// # Ok(())
/// # }
/// ```
///
/// On an engine's loop, beside its venues: [`EngineBuilder::clients`](crate::EngineBuilder::clients).
#[derive(Clone, Debug, Default)]
pub struct Clients {
    inbox: Arc<Inbox>,
}

impl Clients {
    /// Not yet on a loop: clients that are opened wait for it.
    pub fn new() -> Clients {
        Clients::default()
    }

    /// Starts a loop for them, which sleeps while nothing happens. `trust_only` names the certificates
    /// that it trusts, in place of the web's roots. It ends with the handle; the clients stop then.
    ///
    /// # Errors
    /// Where the system gives no thread or no poll, or they are on a loop already.
    pub fn run(
        &self,
        trust_only: Option<Vec<CertificateDer<'static>>>,
    ) -> Result<Handle, ConfigError> {
        let mut builder = Engine::builder().clients(self).poll(PollMode::PARK);
        if let Some(roots) = trust_only {
            builder = builder.trust_only(roots);
        }
        builder
            .spawn()
            .map_err(|error| ConfigError::Loop(error.to_string()))
    }

    /// Connects, and waits until the connection stands (and is logged in).
    ///
    /// # Errors
    /// As [`connect`]. It waits for ever where there is no loop, and on the loop's own thread (in a
    /// handler or an inline strategy): use [`open`](Clients::open) there.
    pub fn connect(&self, config: impl Into<Config>) -> Result<Client, Error> {
        let client = self.open(config)?;
        client.wait_connected()?;
        Ok(client)
    }

    /// As [`connect`](Clients::connect), without waiting.
    ///
    /// # Errors
    /// [`Error::Config`] before anything is opened; [`Error::LoopEnded`].
    pub fn open(&self, config: impl Into<Config>) -> Result<Client, Error> {
        let config = config.into();
        let (endpoint, path) = config.target()?;
        if config.trust_only.is_some() {
            return Err(ConfigError::TrustOnly.into());
        }
        let dialect = config.dialect(&endpoint.host);
        let (recorder, writer) = match &config.record_to {
            None => (None, None),
            Some(to) => {
                let opened = Recorder::open(to, shown(&config.url));
                let (recorder, writer) = opened.map_err(|why| ConfigError::Record {
                    path: to.clone(),
                    why: why.to_string(),
                })?;
                (Some(Box::new(recorder)), Some(writer))
            }
        };
        if !self.inbox.take_place() {
            return Err(ConfigError::TooManyClients(CLIENTS_MAX).into());
        }
        let key = self.inbox.new_key();
        let shared = Arc::new(Shared::new(config.queue_max));
        let settings = Arc::new(Settings {
            config,
            endpoint,
            path,
            dialect,
        });
        self.inbox.push(Item::Open {
            key,
            settings: Arc::clone(&settings),
            shared: Arc::clone(&shared),
            recorder,
        })?;
        Ok(Client {
            inner: Arc::new(Inner {
                key,
                settings,
                shared,
                inbox: Arc::clone(&self.inbox),
                alone: Mutex::new(None),
                writer: Mutex::new(writer),
            }),
        })
    }

    pub(crate) fn inbox(&self) -> &Arc<Inbox> {
        &self.inbox
    }

    pub(crate) fn hub(&self, seed: u64) -> Hub {
        Hub::new(Arc::clone(&self.inbox), seed)
    }
}

/// A WebSocket client. Clones are the same client; when the last is dropped, the connection is closed.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    key: u64,
    settings: Arc<Settings>,
    shared: Arc<Shared>,
    inbox: Arc<Inbox>,
    /// The loop, where it is this client's alone.
    alone: Mutex<Option<Handle>>,
    /// Writes the recording.
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// What became of a message.
#[derive(Debug)]
#[must_use = "an answer comes to the ticket"]
pub enum Receipt {
    /// It has no id: it was handed to the connection that stands. A loss of the connection from here on
    /// is told by [`Message::Disconnected`], not message by message.
    Sent,
    /// It has an id: its answer comes here.
    Ticket(Ticket),
}

impl Receipt {
    /// The ticket, where there is one.
    pub fn ticket(self) -> Option<Ticket> {
        match self {
            Receipt::Sent => None,
            Receipt::Ticket(ticket) => Some(ticket),
        }
    }
}

impl Client {
    /// Sends a text: JSON with an `id` (or what the dialect calls it) that is not null is a request, and
    /// its answer comes to the ticket.
    ///
    /// # Errors
    /// Where it was not sent: [`Error::NotConnected`], [`Error::RateLimited`], [`Error::QueueFull`],
    /// [`Error::MessageTooLong`], [`Error::LoopEnded`].
    pub fn send_message(&self, message: impl Into<String>) -> Result<Receipt, Error> {
        let text = message.into();
        let dialect = self.inner.settings.dialect.as_ref();
        let keys = dialect.map_or(&["id"][..], |dialect| dialect.id_keys());
        let envelope = Envelope::read(&text);
        let method = envelope.as_ref().and_then(Envelope::method);
        let lane = Lane::of(method.as_deref().unwrap_or_default());
        // Our own answer to a request of the server's has its id and waits for nothing.
        let answers = |envelope: &Envelope<'_>| {
            method.is_none() && (envelope.raw("result").is_some() || envelope.has("error"))
        };
        let key = envelope
            .as_ref()
            .filter(|envelope| !answers(envelope))
            .and_then(|envelope| envelope.id(keys));
        let limiter = self.inner.settings.config.limiter.as_ref();
        let cost = limiter.map_or(0, |limiter| limiter.cost(&text));
        drop(envelope);
        let Some(key) = key else {
            self.hand_over(OpCode::Text, text.into_bytes(), None, (lane, cost))?;
            return Ok(Receipt::Sent);
        };
        let (caller, waiter) = ticket();
        let request = Some((key, waiter));
        self.hand_over(OpCode::Text, text.into_bytes(), request, (lane, cost))?;
        Ok(Receipt::Ticket(caller))
    }

    /// Sends a request and waits for its answer. Not on the loop's own thread.
    ///
    /// # Errors
    /// As [`send_message`](Client::send_message), and why there is no answer.
    pub fn request(&self, message: impl Into<String>) -> Result<Option<Json>, Error> {
        match self.send_message(message)? {
            Receipt::Sent => Ok(None),
            Receipt::Ticket(ticket) => ticket.wait().map(Some),
        }
    }

    /// Sends a binary message.
    ///
    /// # Errors
    /// As [`send_message`](Client::send_message).
    pub fn send_binary(&self, message: impl Into<Vec<u8>>) -> Result<(), Error> {
        self.hand_over(OpCode::Binary, message.into(), None, (Lane::Query, 1))
    }

    /// Answers a request of the server's ([`Message::Request`]); `result` is JSON.
    ///
    /// # Errors
    /// As [`send_message`](Client::send_message).
    pub fn respond(&self, id: &str, result: &str) -> Result<(), Error> {
        let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#);
        self.send_message(text).map(drop)
    }

    fn hand_over(
        &self,
        opcode: OpCode,
        payload: Vec<u8>,
        request: Option<(super::json::RequestKey, super::ticket::Resolver<Json>)>,
        (lane, cost): (Lane, u32),
    ) -> Result<(), Error> {
        let inner = &*self.inner;
        if payload.len() > SEND_BYTES_MAX {
            let (size, max) = (payload.len(), SEND_BYTES_MAX);
            return Err(Error::MessageTooLong { size, max });
        }
        self.check_connected()?;
        if !inner.shared.sending() {
            return Err(Error::QueueFull(OUTGOING_MAX));
        }
        let mut is_paid = false;
        if let Some(limiter) = &inner.settings.config.limiter
            && limiter.on_empty() == OnEmpty::Deny
        {
            if let Err(wait) = limiter.take(inner.inbox.now(), cost) {
                inner.shared.sent();
                return Err(Error::RateLimited(super::duration(wait)));
            }
            is_paid = true;
        }
        self.command(Command::Send(Outgoing {
            opcode,
            payload,
            request,
            lane,
            cost,
            is_paid,
        }))
    }

    fn check_connected(&self) -> Result<(), Error> {
        match self.inner.shared.state() {
            State::Connected => Ok(()),
            State::Connecting => Err(Error::NotConnected),
            State::Disconnected => match self.inner.shared.end() {
                Some(error @ (Error::Closed | Error::LoopEnded)) => Err(error),
                _ => Err(Error::NotConnected),
            },
        }
    }

    fn command(&self, command: Command) -> Result<(), Error> {
        let key = self.inner.key;
        self.inner.inbox.push(Item::Do(key, command))
    }

    /// Subscribes to channels, in the words of the client's dialect and in requests as large as the
    /// venue takes. They are subscribed again after a loss.
    ///
    /// # Errors
    /// [`Error::NoDialect`], [`Error::NotConnected`]. What the server refuses is in the ticket's answer.
    pub fn subscribe<C: Into<String>>(
        &self,
        channels: impl IntoIterator<Item = C>,
    ) -> Result<Ticket<Subscribed>, Error> {
        self.ask_for(channels, Command::Subscribe)
    }

    /// Lets channels go.
    ///
    /// # Errors
    /// As [`subscribe`](Client::subscribe).
    pub fn unsubscribe<C: Into<String>>(
        &self,
        channels: impl IntoIterator<Item = C>,
    ) -> Result<Ticket<Subscribed>, Error> {
        self.ask_for(channels, Command::Unsubscribe)
    }

    fn ask_for<C: Into<String>>(
        &self,
        channels: impl IntoIterator<Item = C>,
        command: fn(Vec<String>, super::ticket::Resolver<Subscribed>) -> Command,
    ) -> Result<Ticket<Subscribed>, Error> {
        if self.inner.settings.dialect.is_none() {
            return Err(Error::NoDialect);
        }
        self.check_connected()?;
        let channels = channels.into_iter().map(Into::into).collect();
        let (caller, waiter) = ticket();
        self.command(command(channels, waiter))?;
        Ok(caller)
    }

    /// Where the client stands.
    pub fn get_state(&self) -> State {
        self.inner.shared.state()
    }

    /// Why the client has stopped; `None` where it has not.
    pub fn end(&self) -> Option<Error> {
        self.inner.shared.end()
    }

    /// Waits until there is a connection, or none will be.
    ///
    /// # Errors
    /// Why none will be.
    pub fn wait_connected(&self) -> Result<(), Error> {
        self.inner.shared.wait_connected()
    }

    /// Waits until the client has stopped, `longest` at most. Gives whether it has.
    pub fn wait_end(&self, longest: Duration) -> bool {
        self.inner.shared.wait_end(longest)
    }

    /// The next message; waits for it. `None` where the client has stopped and all is received.
    pub fn recv(&self) -> Option<Message> {
        self.inner.shared.recv(None)
    }

    /// The next message; waits for it, `longest` at most.
    pub fn recv_timeout(&self, longest: Duration) -> Option<Message> {
        self.inner.shared.recv(Some(longest))
    }

    /// The next message, if it is there.
    pub fn try_recv(&self) -> Option<Message> {
        self.inner.shared.pop()
    }

    /// Makes a new connection at once, whatever there was; also after the client has given up. Requests
    /// that wait fail with [`Error::Disconnected`]; channels are subscribed again. Nothing happens to a
    /// client that was closed.
    ///
    /// # Errors
    /// [`Error::LoopEnded`].
    pub fn reconnect(&self) -> Result<(), Error> {
        let shared = &self.inner.shared;
        if matches!(shared.end(), Some(Error::Closed | Error::LoopEnded)) {
            return self.command(Command::Reconnect);
        }
        // At once, so that `wait_connected` waits for the new connection and not for the loop to hear.
        shared.set_state(State::Connecting);
        self.command(Command::Reconnect)
            .inspect_err(|error| shared.set_end(error.clone()))
    }

    /// Closes the connection for good. A second time does nothing.
    pub fn close(&self) {
        // Where the loop has ended, it is closed already.
        let _ = self.command(Command::Close);
    }

    /// How its heartbeat is.
    pub fn heartbeat_health(&self) -> HeartbeatHealth {
        let config: Option<&HeartbeatConfig> = self.config().heartbeat_config.as_ref();
        self.inner.shared.stats.heartbeat(config)
    }

    /// Its counts.
    pub fn state_metrics(&self) -> StateMetrics {
        self.inner.shared.stats.snapshot()
    }

    /// How long answers took.
    pub fn latency_stats(&self) -> LatencyStats {
        self.inner.shared.stats.latency()
    }

    /// How it was configured.
    pub fn config(&self) -> &Config {
        &self.inner.settings.config
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("url", &shown(&self.config().url))
            .field("state", &self.get_state())
            .finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let _ = self.inbox.push(Item::Do(self.key, Command::Close));
        let (alone, writer) = (lock(&self.alone).take(), lock(&self.writer).take());
        let Some(handle) = alone else { return };
        let end = move || {
            drop(handle);
            // The loop has let go of the recorder: a program that ends now has all of the recording.
            if let Some(writer) = writer {
                let _ = writer.join();
            }
        };
        // In a handler this is the loop's own thread, which can't wait for its own end.
        if std::thread::current().name() == Some("tickwire-loop") {
            std::thread::spawn(end);
        } else {
            end();
        }
    }
}

//! A WebSocket server that does as it is told: for tests of a client against what servers do.
//!
//! ```
//! use std::time::Duration;
//! use tickwire::testing::ws::{Expect, Scheme, Server};
//! use tickwire::ws;
//!
//! let server = Server::start(0, Scheme::Ws, |text| Some(format!("echo: {text}")))?;
//! let client = ws::connect(server.url())?;
//! let _ = client.send_message("hello")?;
//! server.assert_message_sent(Expect::Exact("hello"), Duration::from_secs(5));
//! assert_eq!(client.recv(), Some(ws::Message::Text("echo: hello".to_owned())));
//! server.simulate_disconnect(1001);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod connection;

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::registry::lock;

/// With or without TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `ws`.
    Ws,
    /// `wss`, with a certificate made at the start: trust [`Server::certificate`].
    Wss,
}

/// What the server does with pings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pongs {
    /// Answers each with its payload.
    #[default]
    Right,
    /// Answers each with another payload.
    Wrong,
    /// Answers none.
    Withheld,
}

/// An upgrade that is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: String,
}

impl Refusal {
    /// With this status and nothing else.
    pub fn status(status: u16) -> Refusal {
        Refusal {
            status,
            headers: Vec::new(),
            body: String::new(),
        }
    }

    /// With this header.
    pub fn header(mut self, name: &str, value: &str) -> Refusal {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// How the server behaves, from the next frame or the next upgrade on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Behaviour {
    /// Reads nothing: what the client sends stays in the sockets.
    pub stalls: bool,
    /// Reads and says nothing: no answer, no pong, no close. Injected messages still go out.
    pub is_half_open: bool,
    /// Waits so long before each frame.
    pub slow: Option<Duration>,
    /// Sends text in fragments of so many bytes.
    pub fragment_bytes: Option<usize>,
    /// What it does with pings.
    pub pongs: Pongs,
    /// Refuses upgrades.
    pub refusal: Option<Refusal>,
}

/// What a message should be.
pub enum Expect<'a> {
    /// This text.
    Exact(&'a str),
    /// A text that matches this regular expression.
    Regex(&'a str),
    /// JSON with at least this in it: objects may have more keys, everything else is equal.
    Partial(serde_json::Value),
    /// A text that this says yes to.
    By(Box<dyn Fn(&str) -> bool + 'a>),
}

impl fmt::Debug for Expect<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expect::Exact(text) => write!(f, "exactly {text:?}"),
            Expect::Regex(pattern) => write!(f, "a match of {pattern:?}"),
            Expect::Partial(json) => write!(f, "JSON with {json}"),
            Expect::By(_) => f.write_str("what a function says yes to"),
        }
    }
}

impl Expect<'_> {
    fn is_met_by(&self, text: &str) -> bool {
        match self {
            Expect::Exact(exact) => text == *exact,
            Expect::Regex(pattern) => match regex_lite::Regex::new(pattern) {
                Ok(regex) => regex.is_match(text),
                Err(error) => panic!("{pattern:?} is no regular expression: {error}"),
            },
            Expect::Partial(part) => {
                serde_json::from_str(text).is_ok_and(|whole| is_part(part, &whole))
            }
            Expect::By(is_met) => is_met(text),
        }
    }
}

fn is_part(part: &serde_json::Value, whole: &serde_json::Value) -> bool {
    match (part, whole) {
        (serde_json::Value::Object(part), serde_json::Value::Object(whole)) => part
            .iter()
            .all(|(key, value)| whole.get(key).is_some_and(|one| is_part(value, one))),
        _ => part == whole,
    }
}

/// Gives the answer to a text, if there is one.
pub type Handler = dyn Fn(&str) -> Option<String> + Send + Sync;

/// Messages that are kept to be asked for.
const KEPT_MAX: usize = 10_000;

/// A server on loopback. Dropping it cuts its connections.
pub struct Server {
    address: SocketAddr,
    scheme: Scheme,
    certificate: Option<CertificateDer<'static>>,
    inner: Arc<Inner>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("url", &self.url())
            .finish_non_exhaustive()
    }
}

pub(super) struct Inner {
    handler: Box<Handler>,
    tls: Option<Arc<ServerConfig>>,
    state: Mutex<State>,
    changed: Condvar,
    is_stopping: AtomicBool,
}

#[derive(Default)]
struct State {
    behaviour: Behaviour,
    /// What the clients sent.
    received: VecDeque<String>,
    /// Requests to upgrade, refused ones too.
    upgrades: usize,
    /// The head of the last one.
    last_head: String,
    /// What each open connection is to do next.
    open: Vec<(usize, std::sync::mpsc::Sender<Order>)>,
}

/// What a connection is told to do.
#[derive(Clone, Debug)]
enum Order {
    Text(String),
    Binary(Vec<u8>),
    /// Bytes as they are, frames or not.
    Raw(Vec<u8>),
    Close(u16, String),
    Cut,
}

impl Server {
    /// Listens at `port` of loopback, 0 for any that is free. `handler` answers texts; binary messages
    /// come back as they are.
    ///
    /// # Errors
    /// Where the port is taken or the certificate can't be made.
    pub fn start(
        port: u16,
        scheme: Scheme,
        handler: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    ) -> io::Result<Server> {
        let listener = TcpListener::bind(("127.0.0.1", port))?;
        let address = listener.local_addr()?;
        let (tls, certificate) = match scheme {
            Scheme::Ws => (None, None),
            Scheme::Wss => {
                let (config, certificate) = identity().map_err(io::Error::other)?;
                (Some(Arc::new(config)), Some(certificate))
            }
        };
        let inner = Arc::new(Inner {
            handler: Box::new(handler),
            tls,
            state: Mutex::new(State::default()),
            changed: Condvar::new(),
            is_stopping: AtomicBool::new(false),
        });
        let acceptor = Arc::clone(&inner);
        let thread = std::thread::Builder::new()
            .name("test-server".to_owned())
            .spawn(move || accept(&listener, &acceptor))?;
        Ok(Server {
            address,
            scheme,
            certificate,
            inner,
            thread: Some(thread),
        })
    }

    /// Answers `ping` with `pong`, and any other text with `echo: ` and the text.
    ///
    /// # Errors
    /// As [`start`](Server::start).
    pub fn echo() -> io::Result<Server> {
        Server::start(0, Scheme::Ws, |text| {
            Some(match text {
                "ping" => "pong".to_owned(),
                other => format!("echo: {other}"),
            })
        })
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        let scheme = match self.scheme {
            Scheme::Ws => "ws",
            Scheme::Wss => "wss",
        };
        format!("{scheme}://localhost:{}/ws", self.address.port())
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// What to trust; `None` without TLS.
    pub fn certificate(&self) -> Option<CertificateDer<'static>> {
        self.certificate.clone()
    }

    /// Changes how it behaves.
    pub fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut lock(&self.inner.state).behaviour);
    }

    /// Has every client receive a text.
    pub fn inject_message(&self, text: &str) {
        self.inner.order(&Order::Text(text.to_owned()));
    }

    /// Has every client receive a binary message.
    pub fn inject_binary(&self, bytes: &[u8]) {
        self.inner.order(&Order::Binary(bytes.to_vec()));
    }

    /// Has every client receive these bytes, whatever they are.
    pub fn inject_bytes(&self, bytes: &[u8]) {
        self.inner.order(&Order::Raw(bytes.to_vec()));
    }

    /// Has every client receive a text that is not UTF-8.
    pub fn inject_bad_utf8(&self) {
        self.inject_bytes(&[0x81, 0x02, 0xC3, 0x28]);
    }

    /// Closes every connection with this code, 1000 for a normal close.
    pub fn simulate_disconnect(&self, code: u16) {
        self.inner.order(&Order::Close(code, String::new()));
    }

    /// Drops every connection without a word.
    pub fn cut(&self) {
        self.inner.order(&Order::Cut);
    }

    /// Waits until a message was received that is as expected, and gives the first that is; also of
    /// those that came before.
    ///
    /// # Panics
    /// Where none has come in `timeout`, with what has.
    #[track_caller]
    pub fn assert_message_sent(&self, expect: Expect<'_>, timeout: Duration) -> String {
        let met = |state: &State| {
            let mut received = state.received.iter();
            received.find(|text| expect.is_met_by(text)).cloned()
        };
        match self.wait_for(timeout, met) {
            Ok(text) => text,
            Err(state) => panic!(
                "waited {timeout:?} for {expect:?}; received {:?}",
                state.received
            ),
        }
    }

    /// Waits until so many connections are open.
    ///
    /// # Panics
    /// Where there are not so many in `timeout`.
    #[track_caller]
    pub fn assert_connections(&self, count: usize, timeout: Duration) {
        let met = |state: &State| (state.open.len() == count).then_some(());
        if let Err(state) = self.wait_for(timeout, met) {
            panic!(
                "waited {timeout:?} for {count} connections; there are {}",
                state.open.len()
            );
        }
    }

    /// Waits until so many upgrades were asked for, refused ones too.
    ///
    /// # Panics
    /// Where there were not so many in `timeout`.
    #[track_caller]
    pub fn assert_upgrades(&self, count: usize, timeout: Duration) {
        let met = |state: &State| (state.upgrades >= count).then_some(());
        if let Err(state) = self.wait_for(timeout, met) {
            panic!(
                "waited {timeout:?} for {count} upgrades; there were {}",
                state.upgrades
            );
        }
    }

    fn wait_for<T>(
        &self,
        timeout: Duration,
        look: impl Fn(&State) -> Option<T>,
    ) -> Result<T, std::sync::MutexGuard<'_, State>> {
        let state = lock(&self.inner.state);
        let waited = self
            .inner
            .changed
            .wait_timeout_while(state, timeout, |state| look(state).is_none());
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        look(&state).ok_or(state)
    }

    /// What clients sent, the oldest first; the last ten thousand.
    pub fn received(&self) -> Vec<String> {
        lock(&self.inner.state).received.iter().cloned().collect()
    }

    /// Forgets what clients sent.
    pub fn clear(&self) {
        lock(&self.inner.state).received.clear();
    }

    /// Upgrades asked for so far.
    pub fn upgrades(&self) -> usize {
        lock(&self.inner.state).upgrades
    }

    /// The request head of the last upgrade.
    pub fn last_head(&self) -> String {
        lock(&self.inner.state).last_head.clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.inner.is_stopping.store(true, Ordering::SeqCst);
        self.cut();
        // Wakes the accept.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the test server's thread panicked");
        }
    }
}

impl Inner {
    fn order(&self, order: &Order) {
        for (_, orders) in &lock(&self.state).open {
            let _ = orders.send(order.clone());
        }
    }

    fn behaviour(&self) -> Behaviour {
        lock(&self.state).behaviour.clone()
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut lock(&self.state));
        self.changed.notify_all();
    }

    fn received(&self, text: String) {
        self.change(|state| {
            if state.received.len() >= KEPT_MAX {
                state.received.pop_front();
            }
            state.received.push_back(text);
        });
    }
}

fn accept(listener: &TcpListener, inner: &Arc<Inner>) {
    let mut connections: Vec<JoinHandle<()>> = Vec::new();
    let mut number = 0;
    for stream in listener.incoming() {
        if inner.is_stopping.load(Ordering::SeqCst) {
            break;
        }
        let Ok(stream) = stream else { continue };
        number += 1;
        let (inner, number) = (Arc::clone(inner), number);
        let serving = std::thread::Builder::new()
            .name("test-connection".to_owned())
            // It only shovels bytes, and there may be a thousand.
            .stack_size(256 << 10)
            .spawn(move || {
                // A client that goes away in the middle is nothing unusual here.
                let _ = connection::serve(stream, &inner, number);
                inner.change(|state| state.open.retain(|(one, _)| *one != number));
            });
        connections.extend(serving);
        connections.retain(|connection| !connection.is_finished());
    }
    for connection in connections {
        let _ = connection.join();
    }
}

fn identity()
-> Result<(ServerConfig, CertificateDer<'static>), Box<dyn std::error::Error + Send + Sync>> {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names)?;
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)?;
    Ok((config, certificate))
}

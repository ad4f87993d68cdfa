//! The sockets: one thread, one poll that sleeps. It moves bytes and reads the clock; what they mean is the
//! core's.

mod io;
mod socket;

use std::collections::VecDeque;
use std::io as std_io;
use std::net::SocketAddr;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token, Waker};
use rustls::ServerConfig;
use tickwire::{Clock, Nanos};

use crate::auth::{Grant, NoRandomness, Secret, TicketError};
use crate::config::Config;
use crate::core::{Close, Core, Desks};
use crate::crew::Crew;
use crate::feed::Feed;
use crate::store::StoreError;
use crate::upgrade::Doors;
use io::Io;
use socket::{Progress, Socket};

const LISTENER: Token = Token(0);
const WAKER: Token = Token(1);
const FIRST: usize = 2;

/// Readiness events taken from the kernel at once.
const EVENTS: usize = 1_024;

/// Sockets accepted in a turn: those that are connected come first.
const ACCEPTS_A_TURN: usize = 64;

/// What the system keeps for a client that does not read. Left to itself it takes megabytes, and a stalled
/// client is told from a quiet one only when its pongs are missing.
const SEND_BUFFER_BYTES: usize = 64 * 1024;

/// Between two looks at what time changes.
const TICK: Nanos = Nanos::from_millis(100);

/// While market data or orders are watched, the rings are looked at this often: the engine's loop wakes nobody.
const WATCH: Nanos = Nanos::from_millis(2);

/// The gateway could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The address can't be had, or the system gives no poll or thread.
    #[error("can't listen on {0}: {1}")]
    Listen(SocketAddr, std_io::Error),
}

/// The gateway ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The poll.
    #[error("the poll failed: {0}")]
    Poll(std_io::Error),
    /// Its thread panicked.
    #[error("the gateway's thread panicked")]
    Panicked,
    /// It has ended.
    #[error("the gateway has ended")]
    Gone,
    /// The system gives no randomness.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// No ticket.
    #[error(transparent)]
    Ticket(#[from] TicketError),
    /// A ticket was asked for with a token that is not valid.
    #[error("the token is not valid")]
    BadToken,
}

/// Gets a gateway out of its sleep, from any thread. There before the gateway is, so that the lines to the
/// strategies can be made.
#[derive(Clone, Debug, Default)]
pub struct Bell(Arc<OnceLock<Waker>>);

impl Bell {
    /// A bell that nobody hears yet.
    pub fn new() -> Bell {
        Bell::default()
    }

    /// Rings.
    pub fn ring(&self) {
        if let Some(waker) = self.0.get() {
            // The poll is gone only with the gateway.
            let _ = waker.wake();
        }
    }
}

enum Command {
    Issue(Grant, Sender<Result<Secret, NoRandomness>>),
    Ticket(Secret, Sender<Option<Result<Secret, TicketError>>>),
    Revoke(String, Sender<()>),
    Stop(Close),
}

/// What a gateway is made of.
#[derive(Debug)]
pub struct Parts {
    /// The trading side.
    pub desks: Desks,
    /// The strategies.
    pub crew: Crew,
    /// The bell that their lines ring.
    pub bell: Bell,
    /// TLS; none on loopback.
    pub tls: Option<Arc<ServerConfig>>,
}

/// A running gateway. Dropping it stops it.
#[derive(Debug)]
pub struct Gateway {
    address: SocketAddr,
    commands: Sender<Command>,
    bell: Bell,
    thread: Option<JoinHandle<Result<(), GatewayError>>>,
}

impl Gateway {
    /// Opens the store, listens, and starts the thread.
    pub fn start(
        config: Config,
        parts: Parts,
        feed: impl Feed + 'static,
    ) -> Result<Gateway, StartError> {
        let bind = config.bind;
        let refused = |error| StartError::Listen(bind, error);
        let clock = Clock::start();
        let poll = Poll::new().map_err(refused)?;
        let mut listener = TcpListener::bind(bind).map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        poll.registry()
            .register(&mut listener, LISTENER, Interest::READABLE)
            .map_err(refused)?;
        let waker = Waker::new(poll.registry(), WAKER).map_err(refused)?;
        // A bell that is hung already rings another gateway: this one then learns of it at its next tick.
        let _ = parts.bell.0.set(waker);
        let port = address.port();
        let mut hosts = config.hosts.clone();
        for own in ["127.0.0.1", "localhost", "[::1]"] {
            hosts.push(format!("{own}:{port}"));
        }
        let doors = Doors {
            hosts,
            origins: config.origins.clone(),
            secure: parts.tls.is_some(),
        };
        let now = clock.now();
        let core = Core::new(config.clone(), parts.desks, parts.crew, Box::new(feed), now)?;
        let (commands, receiver) = mpsc::channel();
        let server = Server {
            poll,
            listener: Some(listener),
            doors,
            tls: parts.tls,
            core,
            clock,
            config,
            commands: receiver,
            sockets: Vec::new(),
            free: Vec::new(),
            handshakes: 0,
            again: VecDeque::new(),
            by_conn: Vec::new(),
            tick_at: now,
            drain: None,
        };
        let thread = thread::Builder::new()
            .name("tickwire-gateway".to_owned())
            .spawn(move || server.run())
            .map_err(refused)?;
        tracing::info!(%address, "the gateway listens");
        Ok(Gateway {
            address,
            commands,
            bell: parts.bell,
            thread: Some(thread),
        })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    fn ask<T>(&self, command: impl FnOnce(Sender<T>) -> Command) -> Result<T, GatewayError> {
        let (sender, receiver) = mpsc::channel();
        let gone = |_| GatewayError::Gone;
        self.commands
            .send(command(sender))
            .map_err(|_| GatewayError::Gone)?;
        self.bell.ring();
        receiver.recv().map_err(gone)
    }

    /// Makes a token. Its text is given here and kept nowhere.
    pub fn issue(&self, grant: Grant) -> Result<Secret, GatewayError> {
        Ok(self.ask(|sender| Command::Issue(grant, sender))??)
    }

    /// Makes a ticket for the holder of a token: good once, for 30 seconds.
    pub fn ticket(&self, token: &Secret) -> Result<Secret, GatewayError> {
        let ticket = self.ask(|sender| Command::Ticket(token.clone(), sender))?;
        Ok(ticket.ok_or(GatewayError::BadToken)??)
    }

    /// Revokes a token, by its text or its id (`tw_ID_…`), and closes the connections that came by it.
    pub fn revoke(&self, token: &str) -> Result<(), GatewayError> {
        let id = crate::auth::Auth::id_of(token).unwrap_or(token).to_owned();
        self.ask(|sender| Command::Revoke(id, sender))
    }

    /// Sends everybody away with 1001, and ends.
    pub fn stop(self) -> Result<(), GatewayError> {
        self.end(Close::GoingAway)
    }

    /// Sends everybody away with 4499: come back, with your positions. Then ends.
    pub fn restart(self) -> Result<(), GatewayError> {
        self.end(Close::Restart)
    }

    fn end(mut self, why: Close) -> Result<(), GatewayError> {
        // It may have ended by itself.
        let _ = self.commands.send(Command::Stop(why));
        self.bell.ring();
        match self.thread.take() {
            Some(thread) => thread.join().map_err(|_| GatewayError::Panicked)?,
            None => Ok(()),
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.commands.send(Command::Stop(Close::GoingAway));
        self.bell.ring();
        if let Some(thread) = self.thread.take()
            && !matches!(thread.join(), Ok(Ok(())))
        {
            tracing::error!("the gateway did not end cleanly");
        }
    }
}

/// How the gateway is ending.
#[derive(Debug)]
struct Drain {
    why: Close,
    /// The next client is sent away then.
    next_at: Nanos,
    /// Between two of them.
    step: Nanos,
    ends_at: Nanos,
}

struct Server {
    poll: Poll,
    listener: Option<TcpListener>,
    doors: Doors,
    tls: Option<Arc<ServerConfig>>,
    core: Core,
    clock: Clock,
    config: Config,
    commands: Receiver<Command>,
    sockets: Vec<Option<Socket>>,
    free: Vec<usize>,
    /// Sockets that are not upgraded.
    handshakes: usize,
    /// Sockets that may have more to read than was taken in a turn.
    again: VecDeque<usize>,
    /// Sockets by the core's number of the connection.
    by_conn: Vec<usize>,
    tick_at: Nanos,
    drain: Option<Drain>,
}

impl Server {
    fn run(mut self) -> Result<(), GatewayError> {
        let outcome = self.turns();
        if let Err(error) = &outcome {
            tracing::error!(%error, "the gateway ends");
        }
        outcome
    }

    fn turns(&mut self) -> Result<(), GatewayError> {
        let mut events = Events::with_capacity(EVENTS);
        let mut more = false;
        loop {
            let timeout = self.timeout(more);
            match self.poll.poll(&mut events, Some(timeout)) {
                Ok(()) => {}
                Err(error) if error.kind() == std_io::ErrorKind::Interrupted => {}
                Err(error) => return Err(GatewayError::Poll(error)),
            }
            let now = self.clock.now();
            for _ in 0..self.again.len() {
                if let Some(index) = self.again.pop_front() {
                    self.readable(index, now);
                }
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.accept(now),
                    WAKER => {}
                    Token(token) => {
                        let index = token - FIRST;
                        if event.is_writable() {
                            self.writable(index, now);
                        }
                        if event.is_readable() || event.is_read_closed() || event.is_error() {
                            self.readable(index, now);
                        }
                    }
                }
            }
            self.obey(now);
            more = self.core.turn(now);
            if now >= self.tick_at {
                self.tick_at = now + TICK;
                self.core.tick(now);
                self.time_out(now);
            }
            let is_over = self.drain_some(now);
            self.core.settle()?;
            // Those that are not done come again in the next turn.
            for _ in 0..self.core.ready() {
                if let Some(conn) = self.core.next_ready()
                    && let Some(&index) = self.by_conn.get(conn)
                {
                    self.flush(index, now);
                }
            }
            self.core.telemetry.turned(self.clock.now().since(now));
            if is_over {
                return Ok(());
            }
        }
    }

    fn timeout(&self, more: bool) -> Duration {
        if more || !self.again.is_empty() || self.core.ready() > 0 {
            return Duration::ZERO;
        }
        let now = self.clock.now();
        let mut wait = self.tick_at.since(now);
        if self.core.is_watching() {
            wait = wait.min(WATCH);
        }
        Duration::from_nanos(wait.0.max(0).unsigned_abs())
    }

    fn obey(&mut self, now: Nanos) {
        while let Ok(command) = self.commands.try_recv() {
            // Who asked may have gone.
            match command {
                Command::Issue(grant, sender) => {
                    let _ = sender.send(self.core.issue(grant));
                }
                Command::Ticket(token, sender) => {
                    let _ = sender.send(self.core.ticket(&token, now));
                }
                Command::Revoke(token, sender) => {
                    self.core.revoke(&token);
                    let _ = sender.send(());
                }
                Command::Stop(why) => self.begin_drain(why, now),
            }
        }
    }

    // The end.

    fn begin_drain(&mut self, why: Close, now: Nanos) {
        if self.drain.is_some() {
            return;
        }
        if let Some(mut listener) = self.listener.take() {
            // It is closed in any case.
            let _ = self.poll.registry().deregister(&mut listener);
        }
        let limits = &self.config.limits;
        let count = self.core.connections().max(1) as i64;
        self.drain = Some(Drain {
            why,
            next_at: now,
            step: Nanos(limits.drain.0 / count / 2),
            ends_at: now + limits.drain + limits.linger,
        });
    }

    /// Sends the next clients away, one by one, so that they don't all come back at once. Gives whether
    /// the gateway is to end now.
    fn drain_some(&mut self, now: Nanos) -> bool {
        let Some(drain) = &mut self.drain else {
            return false;
        };
        let why = drain.why;
        let mut due = 0;
        while drain.next_at <= now {
            drain.next_at += drain.step.max(Nanos(1));
            due += 1;
            if due >= self.by_conn.len() {
                break;
            }
        }
        let (ends_at, next_at) = (drain.ends_at, drain.next_at);
        let open: Vec<usize> = self
            .sockets
            .iter()
            .flatten()
            .filter_map(Socket::open_conn)
            .collect();
        for conn in open.iter().take(due) {
            self.core.close(*conn, why);
        }
        for index in 0..self.sockets.len() {
            let is_handshake = self
                .socket(index)
                .is_some_and(|socket| !socket.is_upgraded());
            if is_handshake {
                self.drop_socket(index);
            }
        }
        self.tick_at = self.tick_at.min(next_at.max(now + Nanos::from_millis(1)));
        self.sockets.len() == self.free.len() || now >= ends_at
    }

    // Sockets.

    fn socket(&self, index: usize) -> Option<&Socket> {
        self.sockets.get(index)?.as_ref()
    }

    fn socket_mut(&mut self, index: usize) -> Option<&mut Socket> {
        self.sockets.get_mut(index)?.as_mut()
    }

    fn accept(&mut self, now: Nanos) {
        for _ in 0..ACCEPTS_A_TURN {
            let Some(listener) = &self.listener else {
                return;
            };
            let mut stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == std_io::ErrorKind::WouldBlock => return,
                // One client's fault (gone again), or no descriptor is left: the next turn tries again.
                Err(_) => break,
            };
            let limits = &self.config.limits;
            let open = self.sockets.len() - self.free.len();
            let is_full = self.handshakes >= limits.handshakes_max
                || open >= limits.connections_max + limits.handshakes_max;
            if is_full {
                self.core.telemetry.refused_connections += 1;
                continue;
            }
            // Refused, these only cost speed and memory.
            let _ = stream.set_nodelay(true);
            let _ = socket2::SockRef::from(&stream).set_send_buffer_size(SEND_BUFFER_BYTES);
            let index = self.free.pop().unwrap_or_else(|| {
                self.sockets.push(None);
                self.sockets.len() - 1
            });
            let interest = Interest::READABLE | Interest::WRITABLE;
            let registered =
                self.poll
                    .registry()
                    .register(&mut stream, Token(index + FIRST), interest);
            let io = registered
                .map_err(|_| ())
                .and_then(|()| Io::new(stream, self.tls.as_ref()).map_err(|_| ()));
            let Ok(io) = io else {
                self.free.push(index);
                continue;
            };
            if let Some(slot) = self.sockets.get_mut(index) {
                *slot = Some(Socket::new(io, now + limits.handshake));
            }
            self.handshakes += 1;
            self.readable(index, now);
        }
        // More may wait: an edge comes once.
        if let Some(listener) = &mut self.listener {
            // A refusal leaves the old registration, which will do for the next edge.
            let _ = self
                .poll
                .registry()
                .reregister(listener, LISTENER, Interest::READABLE);
        }
    }

    fn readable(&mut self, index: usize, now: Nanos) {
        let Some(socket) = self.sockets.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        let was_upgraded = socket.is_upgraded();
        let progress = socket.read(&mut self.core, &self.doors, &self.config.limits, now);
        if !was_upgraded && socket.is_upgraded() {
            self.handshakes -= 1;
            if let Some(conn) = socket.conn() {
                if self.by_conn.len() <= conn {
                    self.by_conn.resize(conn + 1, usize::MAX);
                }
                if let Some(slot) = self.by_conn.get_mut(conn) {
                    *slot = index;
                }
            }
        }
        match progress {
            Progress::Done => {}
            Progress::More => self.again.push_back(index),
            Progress::Gone => self.drop_socket(index),
        }
    }

    fn writable(&mut self, index: usize, now: Nanos) {
        self.flush(index, now);
        // A handshake that waited for room may be over now: what came behind it is read.
        if self
            .socket(index)
            .is_some_and(|socket| !socket.is_upgraded())
        {
            self.readable(index, now);
        }
    }

    fn flush(&mut self, index: usize, now: Nanos) {
        let Some(socket) = self.sockets.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        if socket.flush(&mut self.core, &self.config.limits, now) == Progress::Gone {
            self.drop_socket(index);
        }
    }

    /// Ends handshakes that take too long and closed connections that linger.
    fn time_out(&mut self, now: Nanos) {
        for index in 0..self.sockets.len() {
            let Some(socket) = self.socket_mut(index) else {
                continue;
            };
            if socket.is_due(now) {
                if !socket.is_upgraded() {
                    self.core.telemetry.handshakes_timed_out += 1;
                }
                self.drop_socket(index);
            }
        }
    }

    fn drop_socket(&mut self, index: usize) {
        let Some(mut socket) = self.sockets.get_mut(index).and_then(Option::take) else {
            return;
        };
        socket.deregister(self.poll.registry());
        match socket.conn() {
            Some(conn) => {
                self.core.closed(conn);
                if let Some(slot) = self.by_conn.get_mut(conn) {
                    *slot = usize::MAX;
                }
            }
            None => self.handshakes -= 1,
        }
        self.free.push(index);
    }
}

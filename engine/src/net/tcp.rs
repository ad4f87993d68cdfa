//! TCP over mio: edge-triggered readiness, non-blocking sockets, every address of a name tried in
//! turn.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Waker};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tickwire_connectors::Nanos;
use tickwire_connectors::transmit::Endpoint;

use super::resolver::Resolver;
use super::{Net, Ready, SocketOption, SocketReport, Token};

mod acks;

pub use acks::Acks;

/// The token of the waker: no slot is that high.
const WAKER: mio::Token = mio::Token(usize::MAX);

/// Readiness events taken a poll. More wait for the next; 1,024 links are ready at once in no venue.
const EVENTS_MAX: usize = 1024;

/// Addresses remembered as mute: a few names with a dozen addresses each.
const MUTE_MAX: usize = 64;

/// Socket options of every connection. `TCP_NODELAY` is always on.
///
/// An option that the system does not take makes a link worse, not impossible: it is reported in
/// [`LinkInfo::socket`](crate::LinkInfo::socket). Only where to connect *from* is not negotiable:
/// with an address or an interface that can't be had, the connection fails and says why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpOptions {
    /// Idle time before the kernel probes a silent peer (`TCP_KEEPIDLE`, whole seconds); the probes
    /// go out every third of it.
    pub keepalive: Duration,
    /// Unacknowledged data for this long is a dead peer (`TCP_USER_TIMEOUT`, whole milliseconds;
    /// Linux).
    pub user_timeout: Duration,
    /// How long a read or poll spins on the network card's queue before it gives up
    /// (`SO_BUSY_POLL`, whole microseconds; Linux, and to raise it takes `CAP_NET_ADMIN`). `None`
    /// leaves what the system has set.
    pub busy_poll: Option<Duration>,
    /// The local address to connect from: where a venue knows keys or limits by address. Names are
    /// then only connected to by addresses of its family.
    pub local_address: Option<IpAddr>,
    /// The interface to connect through, such as "eth1" (`SO_BINDTODEVICE`; Linux).
    pub interface: Option<String>,
    /// An address of a name that has not answered for this long is left for the next one; the last
    /// has what remains of the ten seconds that a connection may take. Two seconds let one SYN get
    /// lost (it is repeated after one).
    pub address_timeout: Duration,
    /// When what came in is acknowledged.
    pub acks: Acks,
}

impl Default for TcpOptions {
    fn default() -> TcpOptions {
        TcpOptions {
            keepalive: Duration::from_secs(10),
            user_timeout: Duration::from_secs(10),
            busy_poll: None,
            local_address: None,
            interface: None,
            address_timeout: Duration::from_secs(2),
            acks: Acks::default(),
        }
    }
}

/// Wakes a parked [`TcpNet::poll`] from another thread.
#[derive(Clone, Debug)]
pub struct Wake(Arc<Waker>);

impl Wake {
    /// Ends the present (or the next) wait.
    pub fn wake(&self) {
        // It fails only where the poll is gone, and then nobody waits.
        let _ = self.0.wake();
    }
}

/// Sockets of this machine.
#[derive(Debug)]
pub struct TcpNet {
    poll: Poll,
    events: Events,
    waker: Arc<Waker>,
    resolver: Resolver,
    options: TcpOptions,
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Connections that failed before they had a socket; told at the next poll.
    failed: Vec<(Token, String)>,
    /// Connections that the peer has ended and whose end has not been read. Its readiness comes once,
    /// often together with the last bytes; a read of those does not fill the buffer and so counts as
    /// the last. These are told at every poll until they are closed.
    ended: Vec<Token>,
    /// Addresses that had not answered when the attempt was given up (an IPv6 route that leads
    /// nowhere), the newest last. They stay at the end of the line until they answer.
    mute: VecDeque<SocketAddr>,
    /// Connections that have been read from since the last idle turn.
    owed: Vec<Token>,
    /// The time as [`Net::tick`] last told it.
    now: Nanos,
    /// No address has been tried for too long before this.
    give_up_at: Nanos,
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    state: State,
    /// What became of the options, until it is taken.
    report: Option<SocketReport>,
    /// Whether an acknowledgement is kept back, or may be.
    ack: acks::Ack,
}

#[derive(Debug)]
enum State {
    Free,
    Resolving,
    Connecting(Box<Connecting>),
    Open(TcpStream),
}

/// One address of a name, and what is left to try.
#[derive(Debug)]
struct Connecting {
    stream: TcpStream,
    address: SocketAddr,
    since: Nanos,
    rest: VecDeque<SocketAddr>,
    /// Why other addresses could not be connected to.
    errors: String,
}

impl TcpNet {
    /// A poll of its own.
    pub fn new(options: TcpOptions) -> io::Result<TcpNet> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        Ok(TcpNet {
            poll,
            events: Events::with_capacity(EVENTS_MAX),
            resolver: Resolver::new(Arc::clone(&waker)),
            waker,
            options,
            slots: Vec::new(),
            free: Vec::new(),
            failed: Vec::new(),
            ended: Vec::new(),
            mute: VecDeque::new(),
            owed: Vec::new(),
            now: Nanos::ZERO,
            give_up_at: Nanos::MAX,
        })
    }

    /// A handle that wakes the poll.
    pub fn wake_handle(&self) -> Wake {
        Wake(Arc::clone(&self.waker))
    }

    fn token(&self, slot: u32) -> Token {
        Token::new(slot, self.slots[slot as usize].generation)
    }

    fn current_slot(&mut self, token: Token) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(token.slot())?;
        (Token::new(token.slot() as u32, slot.generation) == token).then_some(slot)
    }

    fn current(&mut self, token: Token) -> Option<&mut State> {
        self.current_slot(token).map(|slot| &mut slot.state)
    }

    fn open_stream(&mut self, token: Token) -> io::Result<&mut TcpStream> {
        match self.current(token) {
            Some(State::Open(stream)) => Ok(stream),
            _ => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Starts with the addresses of a name, those that did not answer last time behind the others.
    fn connect_first(&mut self, token: Token, mut addresses: Vec<SocketAddr>) {
        addresses.sort_by_key(|address| self.mute.contains(address));
        self.connect_next(token, addresses.into(), String::new());
    }

    /// Goes through the addresses until one can be tried; `errors` collects why others could not.
    fn connect_next(&mut self, token: Token, mut rest: VecDeque<SocketAddr>, mut errors: String) {
        while let Some(address) = rest.pop_front() {
            match self.start(token, address) {
                Ok(stream) => {
                    let since = self.now;
                    if !rest.is_empty() {
                        let patience = self.address_timeout();
                        self.give_up_at = self.give_up_at.min(since + patience);
                    }
                    if let Some(state) = self.current(token) {
                        *state = State::Connecting(Box::new(Connecting {
                            stream,
                            address,
                            since,
                            rest,
                            errors,
                        }));
                    }
                    return;
                }
                Err(error) => note(&mut errors, address, &error),
            }
        }
        self.failed.push((token, errors));
    }

    fn start(&self, token: Token, address: SocketAddr) -> io::Result<TcpStream> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        socket.set_nonblocking(true)?;
        if let Some(local) = self.options.local_address {
            if local.is_ipv4() != address.is_ipv4() {
                return Err(io::Error::other(format!(
                    "is not of the family of {local}, which is to be connected from"
                )));
            }
            let from = SocketAddr::new(local, 0).into();
            socket.bind(&from).map_err(|error| {
                io::Error::new(error.kind(), format!("can't connect from {local}: {error}"))
            })?;
        }
        if let Some(interface) = &self.options.interface {
            bind_interface(&socket, interface).map_err(|error| {
                let text = format!("can't connect through interface {interface:?}: {error}");
                io::Error::new(error.kind(), text)
            })?;
        }
        match socket.connect(&address.into()) {
            Err(error) if !is_under_way(&error) => return Err(error),
            _ => {}
        }
        let mut stream = TcpStream::from_std(socket.into());
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll
            .registry()
            .register(&mut stream, mio::Token(token.raw()), interest)?;
        Ok(stream)
    }

    fn address_timeout(&self) -> Nanos {
        let nanos = self.options.address_timeout.as_nanos();
        Nanos(i64::try_from(nanos).unwrap_or(i64::MAX))
    }

    /// Leaves addresses that have not answered for the next of their name.
    fn give_up_mute(&mut self) {
        let patience = self.address_timeout();
        self.give_up_at = Nanos::MAX;
        for slot in 0..self.slots.len() {
            let State::Connecting(connecting) = &self.slots[slot].state else {
                continue;
            };
            if connecting.rest.is_empty() {
                continue;
            }
            let until = connecting.since + patience;
            if until > self.now {
                self.give_up_at = self.give_up_at.min(until);
                continue;
            }
            let token = self.token(slot as u32);
            let state = core::mem::replace(&mut self.slots[slot].state, State::Resolving);
            if let State::Connecting(connecting) = state {
                let Connecting {
                    address,
                    rest,
                    mut errors,
                    ..
                } = *connecting;
                self.note_mute(address);
                note(&mut errors, address, &"no answer");
                self.connect_next(token, rest, errors);
            }
        }
    }

    fn note_mute(&mut self, address: SocketAddr) {
        self.mute.retain(|one| *one != address);
        self.mute.push_back(address);
        if self.mute.len() > MUTE_MAX {
            self.mute.pop_front();
        }
    }

    /// Sets every option, and says for each what is in effect then.
    fn set_options(&self, stream: &TcpStream) -> SocketReport {
        let socket = SockRef::from(stream);
        let keepalive = TcpKeepalive::new()
            .with_time(self.options.keepalive)
            .with_interval(self.options.keepalive / 3)
            .with_retries(3);
        let mut options = vec![
            option(
                "TCP_NODELAY",
                socket.set_tcp_nodelay(true),
                socket.tcp_nodelay(),
            ),
            option(
                "TCP_KEEPIDLE",
                socket.set_tcp_keepalive(&keepalive),
                socket.tcp_keepalive_time(),
            ),
        ];
        #[cfg(target_os = "linux")]
        {
            let timeout = Some(self.options.user_timeout);
            options.push(option(
                "TCP_USER_TIMEOUT",
                socket.set_tcp_user_timeout(timeout),
                socket.tcp_user_timeout().map(Option::unwrap_or_default),
            ));
        }
        if let Some(spin) = self.options.busy_poll {
            options.push(busy_poll(&socket, spin));
        }
        SocketReport {
            local: stream.local_addr().ok(),
            peer: stream.peer_addr().ok(),
            options,
        }
    }

    /// The socket of a connection attempt became writable: it stands, or it failed and the next
    /// address is tried.
    fn finish_connect(&mut self, token: Token, ready: &mut Vec<Ready>) {
        let Some(state) = self.current(token) else {
            return;
        };
        let connecting = match core::mem::replace(state, State::Resolving) {
            State::Connecting(connecting) => connecting,
            other => {
                *state = other;
                return;
            }
        };
        let outcome = match connecting.stream.take_error() {
            Ok(None) => connecting.stream.peer_addr().map(|_| ()),
            Ok(Some(error)) | Err(error) => Err(error),
        };
        match outcome {
            Ok(()) => {
                let Connecting {
                    stream, address, ..
                } = *connecting;
                let mut report = self.set_options(&stream);
                let (ack, option) = acks::begin(&stream, self.options.acks);
                report.options.extend(option);
                // So that noting one does not allocate.
                self.owed.reserve(self.slots.len());
                self.mute.retain(|one| *one != address);
                if let Some(slot) = self.slots.get_mut(token.slot()) {
                    slot.state = State::Open(stream);
                    slot.report = Some(report);
                    slot.ack = ack;
                }
                ready.push(Ready::Connected(token));
            }
            Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                // Spurious: still under way.
                if let Some(state) = self.current(token) {
                    *state = State::Connecting(connecting);
                }
            }
            Err(error) => {
                let Connecting {
                    address,
                    rest,
                    mut errors,
                    ..
                } = *connecting;
                note(&mut errors, address, &error);
                self.connect_next(token, rest, errors);
            }
        }
    }

    /// A slot for a connection that waits for its addresses.
    fn reserve(&mut self) -> Token {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                generation: 1,
                state: State::Free,
                report: None,
                ack: acks::Ack::System,
            });
            (self.slots.len() - 1) as u32
        });
        self.slots[slot as usize].state = State::Resolving;
        self.token(slot)
    }

    fn free_slot(&mut self, token: Token) {
        if let Some(state) = self.current(token) {
            *state = State::Free;
            if let Some(slot) = self.slots.get_mut(token.slot()) {
                slot.report = None;
                slot.ack = acks::Ack::System;
                slot.generation = slot.generation.wrapping_add(1);
            }
            self.free.push(token.slot() as u32);
        }
    }
}

/// Sets an option and reads back what is in effect.
fn option<T: fmt::Debug>(
    name: &'static str,
    set: io::Result<()>,
    value: io::Result<T>,
) -> SocketOption {
    let in_effect = set.and(value).map(|value| format!("{value:?}"));
    SocketOption {
        name,
        in_effect: in_effect.map_err(|error| error.to_string()),
    }
}

#[cfg(target_os = "linux")]
fn busy_poll(socket: &Socket, spin: Duration) -> SocketOption {
    let micros = u32::try_from(spin.as_micros()).unwrap_or(u32::MAX);
    let set = socket.set_busy_poll(micros);
    let value = socket.busy_poll();
    let value = value.map(|micros| Duration::from_micros(micros.into()));
    option("SO_BUSY_POLL", set, value)
}

#[cfg(not(target_os = "linux"))]
fn busy_poll(_: &Socket, _: Duration) -> SocketOption {
    let none = || Err::<(), _>(io::ErrorKind::Unsupported.into());
    option("SO_BUSY_POLL", none(), none())
}

#[cfg(target_os = "linux")]
fn bind_interface(socket: &Socket, name: &str) -> io::Result<()> {
    socket.bind_device(Some(name.as_bytes()))
}

#[cfg(not(target_os = "linux"))]
fn bind_interface(_: &Socket, _: &str) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// What `connect` says of a socket that does not block: the outcome comes as readiness.
fn is_under_way(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || error.raw_os_error() == Some(libc::EINPROGRESS)
}

fn note(errors: &mut String, address: SocketAddr, error: &dyn fmt::Display) {
    if !errors.is_empty() {
        errors.push_str("; ");
    }
    errors.push_str(&format!("{address}: {error}"));
}

impl Net for TcpNet {
    fn open(&mut self, endpoint: &Endpoint) -> Token {
        let token = self.reserve();
        if let Some(addresses) = self.resolver.resolve(token, &endpoint.host, endpoint.port) {
            self.connect_first(token, addresses);
        }
        token
    }

    fn poll(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        let timeout = if self.failed.is_empty() && self.ended.is_empty() {
            timeout
        } else {
            Some(Duration::ZERO)
        };
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => other?,
        }
        // Taken out while the loop below needs the rest of `self`; put back behind it.
        let events = core::mem::replace(&mut self.events, Events::with_capacity(0));
        for event in events.iter().filter(|event| event.token() != WAKER) {
            let token = Token(event.token().0 as u64);
            if event.is_read_closed() && !self.ended.contains(&token) {
                self.ended.push(token);
            }
            match self.current(token) {
                Some(State::Open(_)) => {
                    if event.is_readable() || event.is_read_closed() || event.is_error() {
                        ready.push(Ready::Readable(token));
                    }
                    if event.is_writable() {
                        ready.push(Ready::Writable(token));
                    }
                }
                Some(State::Connecting(_))
                    if event.is_writable() || event.is_error() || event.is_read_closed() =>
                {
                    self.finish_connect(token, ready);
                    if event.is_readable() && matches!(self.current(token), Some(State::Open(_))) {
                        ready.push(Ready::Readable(token));
                    }
                }
                _ => {}
            }
        }
        self.events = events;
        let mut ended = core::mem::take(&mut self.ended);
        ended.retain(|token| matches!(self.current(*token), Some(State::Open(_))));
        ready.extend(ended.iter().map(|token| Ready::Readable(*token)));
        self.ended = ended;
        while let Some(resolved) = self.resolver.poll() {
            for token in resolved.tokens {
                if !matches!(self.current(token), Some(State::Resolving)) {
                    continue;
                }
                match &resolved.addresses {
                    Ok(addresses) => self.connect_first(token, addresses.clone()),
                    Err(error) => self.failed.push((token, error.clone())),
                }
            }
        }
        for (token, error) in core::mem::take(&mut self.failed) {
            if self.current(token).is_some() {
                self.free_slot(token);
                ready.push(Ready::Failed(token, error));
            }
        }
        Ok(())
    }

    #[inline]
    fn recv(&mut self, token: Token, into: &mut [u8]) -> io::Result<usize> {
        let count = self.open_stream(token)?.read(into)?;
        let slot = &mut self.slots[token.slot()];
        if slot.ack == acks::Ack::Kept {
            slot.ack = acks::Ack::Owed;
            self.owed.push(token);
        }
        Ok(count)
    }

    #[inline]
    fn send(&mut self, token: Token, bytes: &[u8]) -> io::Result<usize> {
        self.open_stream(token)?.write(bytes)
    }

    fn close(&mut self, token: Token) {
        if let Some(State::Connecting(connecting)) = self.current(token) {
            let address = connecting.address;
            self.note_mute(address);
        }
        // Dropping the stream closes the socket, which takes it out of epoll.
        self.free_slot(token);
    }

    #[inline]
    fn idle(&mut self) -> usize {
        if self.owed.is_empty() {
            0
        } else {
            self.acknowledge()
        }
    }

    fn tick(&mut self, now: Nanos) {
        self.now = now;
        if now >= self.give_up_at {
            self.give_up_mute();
        }
    }

    fn take_report(&mut self, token: Token) -> Option<SocketReport> {
        self.current(token)?;
        self.slots.get_mut(token.slot())?.report.take()
    }
}

#[cfg(test)]
mod tests;

//! TCP over mio: edge-triggered readiness, non-blocking sockets, every address of a name tried.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Waker};
use socket2::{SockRef, TcpKeepalive};
use tickwire_connectors::transmit::Endpoint;

use super::resolver::Resolver;
use super::{Net, Ready, Token};

/// The token of the waker: no slot is that high.
const WAKER: mio::Token = mio::Token(usize::MAX);

/// Readiness events taken a poll. More wait for the next; 1,024 links are ready at once in no venue.
const EVENTS_MAX: usize = 1024;

/// Addresses remembered as mute: a few names with a dozen addresses each.
const MUTE_MAX: usize = 64;

/// Socket options of every connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpOptions {
    /// Idle time before the kernel probes a silent peer; the probes go out every third of it.
    pub keepalive: Duration,
    /// Unacknowledged data for this long is a dead peer (`TCP_USER_TIMEOUT`).
    pub user_timeout: Duration,
}

impl Default for TcpOptions {
    fn default() -> TcpOptions {
        TcpOptions {
            keepalive: Duration::from_secs(10),
            user_timeout: Duration::from_secs(10),
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
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    state: State,
}

#[derive(Debug)]
enum State {
    Free,
    Resolving,
    Connecting {
        stream: TcpStream,
        address: SocketAddr,
        rest: VecDeque<SocketAddr>,
        errors: String,
    },
    Open(TcpStream),
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
        })
    }

    /// A handle that wakes the poll.
    pub fn wake_handle(&self) -> Wake {
        Wake(Arc::clone(&self.waker))
    }

    fn token(&self, slot: u32) -> Token {
        Token::new(slot, self.slots[slot as usize].generation)
    }

    fn current(&mut self, token: Token) -> Option<&mut State> {
        let slot = self.slots.get_mut(token.slot())?;
        if Token::new(token.slot() as u32, slot.generation) == token {
            Some(&mut slot.state)
        } else {
            None
        }
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
                    if let Some(state) = self.current(token) {
                        *state = State::Connecting {
                            stream,
                            address,
                            rest,
                            errors,
                        };
                    }
                    return;
                }
                Err(error) => note(&mut errors, address, &error),
            }
        }
        self.failed.push((token, errors));
    }

    fn start(&self, token: Token, address: SocketAddr) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect(address)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll
            .registry()
            .register(&mut stream, mio::Token(token.raw()), interest)?;
        Ok(stream)
    }

    fn set_options(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let socket = SockRef::from(stream);
        let keepalive = TcpKeepalive::new()
            .with_time(self.options.keepalive)
            .with_interval(self.options.keepalive / 3)
            .with_retries(3);
        socket.set_tcp_keepalive(&keepalive)?;
        #[cfg(target_os = "linux")]
        socket.set_tcp_user_timeout(Some(self.options.user_timeout))?;
        Ok(())
    }

    /// The socket of a connection attempt became writable: it stands, or it failed and the next
    /// address is tried.
    fn finish_connect(&mut self, token: Token, ready: &mut Vec<Ready>) {
        let Some(state) = self.current(token) else {
            return;
        };
        let State::Connecting {
            stream,
            address,
            rest,
            errors,
        } = core::mem::replace(state, State::Resolving)
        else {
            return;
        };
        let outcome = match stream.take_error() {
            Ok(None) => stream.peer_addr().map(|_| ()),
            Ok(Some(error)) | Err(error) => Err(error),
        };
        match outcome {
            Ok(()) => {
                // Options make a link better, not possible: a system that lacks one still works.
                if let Err(error) = self.set_options(&stream) {
                    tracing::warn!(%error, "socket options could not be set");
                }
                self.mute.retain(|one| *one != address);
                if let Some(state) = self.current(token) {
                    *state = State::Open(stream);
                }
                ready.push(Ready::Connected(token));
            }
            Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                // Spurious: still under way.
                if let Some(state) = self.current(token) {
                    *state = State::Connecting {
                        stream,
                        address,
                        rest,
                        errors,
                    };
                }
            }
            Err(error) => {
                let mut errors = errors;
                note(&mut errors, address, &error);
                drop(stream);
                self.connect_next(token, rest, errors);
            }
        }
    }

    fn free_slot(&mut self, token: Token) {
        if let Some(state) = self.current(token) {
            *state = State::Free;
            if let Some(slot) = self.slots.get_mut(token.slot()) {
                slot.generation = slot.generation.wrapping_add(1);
            }
            self.free.push(token.slot() as u32);
        }
    }
}

fn note(errors: &mut String, address: SocketAddr, error: &io::Error) {
    if !errors.is_empty() {
        errors.push_str("; ");
    }
    errors.push_str(&format!("{address}: {error}"));
}

impl Net for TcpNet {
    fn open(&mut self, endpoint: &Endpoint) -> Token {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                generation: 1,
                state: State::Free,
            });
            (self.slots.len() - 1) as u32
        });
        self.slots[slot as usize].state = State::Resolving;
        let token = self.token(slot);
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
                Some(State::Connecting { .. })
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
        self.open_stream(token)?.read(into)
    }

    #[inline]
    fn send(&mut self, token: Token, bytes: &[u8]) -> io::Result<usize> {
        self.open_stream(token)?.write(bytes)
    }

    fn close(&mut self, token: Token) {
        if let Some(State::Connecting { address, .. }) = self.current(token) {
            let address = *address;
            self.mute.retain(|one| *one != address);
            self.mute.push_back(address);
            if self.mute.len() > MUTE_MAX {
                self.mute.pop_front();
            }
        }
        // Dropping the stream closes the socket, which takes it out of epoll.
        self.free_slot(token);
    }
}

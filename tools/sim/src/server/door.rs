//! A venue's listener: its address stays its own also while nobody listens.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use socket2::{Domain, Socket, Type};

use crate::fault::BadCertificate;
use crate::spec::{SimVenue, VenueSpec};
use crate::stats::Counters;

#[derive(Debug)]
enum State {
    Listening(TcpListener),
    /// Bound and not listening: connection attempts are refused, and no one else gets the port.
    Refusing {
        _holder: Option<Socket>,
    },
}

/// One listener and what its connections need to know.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) venue: SimVenue,
    pub(crate) counters: Arc<Counters>,
    pub(super) chunk_from: usize,
    pub(super) keep_alive: bool,
    pub(super) queue_max: usize,
    /// What new handshakes are shown.
    pub(super) certificate: Option<BadCertificate>,
    addr: SocketAddr,
    state: State,
    /// It is to listen again and could not yet.
    wants_up: bool,
}

impl Door {
    pub(crate) fn open(
        spec: &VenueSpec,
        ip: std::net::IpAddr,
        counters: Arc<Counters>,
    ) -> io::Result<(Self, SocketAddr)> {
        let listener = TcpListener::bind(SocketAddr::new(ip, spec.port))?;
        let addr = listener.local_addr()?;
        let door = Self {
            venue: spec.venue,
            counters,
            chunk_from: spec.chunk_from,
            keep_alive: spec.keep_alive,
            queue_max: spec.queue_max,
            certificate: None,
            addr,
            state: State::Listening(listener),
            wants_up: false,
        };
        Ok((door, addr))
    }

    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match &mut self.state {
            State::Listening(listener) => registry.register(listener, token, Interest::READABLE),
            State::Refusing { .. } => Ok(()),
        }
    }

    /// The next connection; `None`: there is none now.
    pub(super) fn accept(&self) -> Option<TcpStream> {
        let State::Listening(listener) = &self.state else {
            return None;
        };
        // An error may also be a connection that died in the queue, or too many open files: the
        // rest waits for the next event.
        listener.accept().ok().map(|(tcp, _)| tcp)
    }

    /// Stops listening. Connections that nobody has accepted are reset.
    pub(super) fn shut(&mut self, registry: &Registry) {
        self.wants_up = false;
        let State::Listening(listener) = &mut self.state else {
            return;
        };
        // The socket is closed right after.
        let _ = registry.deregister(listener);
        self.state = State::Refusing { _holder: None };
        // Without the holder the port is merely unguarded.
        let _holder = hold(self.addr).ok();
        self.state = State::Refusing { _holder };
    }

    /// Listens again. False: the port is not free yet; try again soon.
    pub(super) fn reopen(&mut self, registry: &Registry, token: Token) -> bool {
        if matches!(self.state, State::Listening(_)) {
            self.wants_up = false;
            return true;
        }
        let opened = TcpListener::bind(self.addr).and_then(|mut listener| {
            registry.register(&mut listener, token, Interest::READABLE)?;
            Ok(listener)
        });
        self.wants_up = opened.is_err();
        if let Ok(listener) = opened {
            self.state = State::Listening(listener);
        }
        !self.wants_up
    }

    pub(super) const fn wants_up(&self) -> bool {
        self.wants_up
    }
}

/// A socket that has the address and does not listen; one that does can be bound beside it.
fn hold(addr: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&addr.into())?;
    Ok(socket)
}

//! Clients that are not an engine: what they are given, and the floors, who read frames of known length and
//! do not look into them.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rtrb::Producer;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::RING;
use super::round::{Ask, Round, run};
use super::server::Server;
use super::shape::{Shape, number_in};

/// What a ring carries: as large as tickwire's.
#[derive(Clone, Copy, Debug, Default)]
pub struct Event {
    /// The venue's number.
    pub number: u64,
    /// The best bid and ask, as whatever numbers the client has.
    pub top: [[u64; 2]; 2],
    /// As much as tickwire's says besides: times, states.
    pub rest: [u64; 3],
}

/// Where to, and until when.
#[derive(Clone, Debug)]
pub struct Job {
    /// The server.
    pub addr: SocketAddr,
    /// How to do TLS.
    pub tls: Arc<ClientConfig>,
    /// What comes, and on how many sockets.
    pub shape: Shape,
    /// Set at the end.
    pub stop: Arc<AtomicBool>,
}

/// Where clients that are not an engine ask for their WebSockets, with a socket's number behind it: they are
/// sent to without a subscription.
pub(super) const PATH: &str = "/ws/";

/// What the n-th socket of a client asks for.
pub fn path(socket: usize) -> String {
    format!("{PATH}{socket}")
}

const CHUNK: usize = 64 << 10;

/// Runs a round against a client on a thread of its own, on `core` where one is given.
///
/// # Errors
/// In words, also those of the client.
pub fn against(
    shape: &Shape,
    ask: Ask,
    tls: bool,
    core: Option<usize>,
    client: impl FnOnce(&Job, Producer<Event>) -> io::Result<()> + Send + 'static,
) -> Result<Round, String> {
    let server = Server::start(shape, tls)?;
    let stop = Arc::new(AtomicBool::new(false));
    let job = Job {
        addr: server.addr,
        tls: server.client_config()?,
        shape: shape.clone(),
        stop: Arc::clone(&stop),
    };
    let (sender, mut ring) = rtrb::RingBuffer::<Event>::new(RING);
    let thread = thread::spawn(move || {
        if let Some(core) = core {
            tickwire::pin(core).map_err(io::Error::other)?;
        }
        client(&job, sender)
    });
    let mut links = server.links();
    let round = match &mut links {
        Ok(links) => {
            let pop = || ring.pop().ok().map(|event| event.number);
            run(shape, ask, links, pop, || (0, 0))
        }
        Err(error) => Err(error.clone()),
    };
    // Before the links go: their end would be an error to the client.
    stop.store(true, Ordering::Relaxed);
    let ended = match thread.join() {
        Ok(ended) => ended.map_err(|error| error.to_string()),
        Err(_) => Err("the client panicked".to_owned()),
    };
    // What became of the client explains why nothing arrived.
    ended.and(round)
}

impl Job {
    /// Whether it is to end.
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// The sockets' numbers.
    pub fn sockets(&self) -> Range<usize> {
        0..self.shape.spread.sockets()
    }

    /// A socket after TLS and upgrade, that does not block any more.
    ///
    /// # Errors
    /// The socket's, and those of TLS.
    pub fn upgraded(&self, socket: usize) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
        let request = request(&path(socket));
        let socket = TcpStream::connect(self.addr)?;
        socket.set_nodelay(true)?;
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
        let session =
            ClientConnection::new(Arc::clone(&self.tls), name).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(session, socket);
        stream.write_all(request.as_bytes())?;
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte)?;
            head.extend_from_slice(&byte);
        }
        stream.sock.set_nonblocking(true)?;
        Ok(stream)
    }
}

/// The upgrade, as text.
pub fn request(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
}

/// What the floors do with plain bytes: a number out of each frame of known length.
struct Fixed {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    frame: usize,
    number_at: usize,
    /// Bytes of another length that come first.
    first: usize,
}

impl Fixed {
    fn new(shape: &Shape) -> Fixed {
        Fixed {
            bytes: vec![0; 4 * CHUNK],
            start: 0,
            end: 0,
            frame: shape.frame().bytes.len(),
            number_at: shape.number_at(),
            first: shape.first(0).len() * shape.spread.share(),
        }
    }

    fn space(&mut self) -> &mut [u8] {
        if self.start == self.end {
            // The same bytes again, which are in the caches.
            (self.start, self.end) = (0, 0);
        } else if self.bytes.len() - self.end < CHUNK {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        &mut self.bytes[self.end..]
    }

    fn filled(&mut self, count: usize, ring: &mut Producer<Event>) {
        self.end += count;
        let skipped = self.first.min(self.end - self.start);
        (self.start, self.first) = (self.start + skipped, self.first - skipped);
        while self.end - self.start >= self.frame {
            let number = number_in(&self.bytes[self.start + self.number_at..]);
            // It is larger than any burst.
            let _ = ring.push(Event {
                number,
                ..Event::default()
            });
            self.start += self.frame;
        }
    }
}

/// The floor of plain TCP.
///
/// # Errors
/// The socket's.
pub(super) fn floor_tcp(job: &Job, mut ring: Producer<Event>) -> io::Result<()> {
    let connect = |_| {
        let socket = TcpStream::connect(job.addr)?;
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        Ok((socket, Fixed::new(&job.shape)))
    };
    let mut sockets: Vec<_> = job.sockets().map(connect).collect::<io::Result<_>>()?;
    while !job.stopped() {
        for (socket, fixed) in &mut sockets {
            match socket.read(fixed.space()) {
                Ok(0) => return Ok(()),
                Ok(count) => fixed.filled(count, &mut ring),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// The floor of TLS: the same frames out of rustls.
///
/// # Errors
/// The socket's, and those of TLS.
pub(super) fn floor_tls(job: &Job, mut ring: Producer<Event>) -> io::Result<()> {
    let connect = |socket| Ok((job.upgraded(socket)?, Fixed::new(&job.shape)));
    let mut sockets: Vec<_> = job.sockets().map(connect).collect::<io::Result<_>>()?;
    let mut cipher = vec![0; CHUNK];
    while !job.stopped() {
        for (StreamOwned { conn, sock }, fixed) in &mut sockets {
            let count = match sock.read(&mut cipher) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error),
            };
            let mut rest = cipher.get(..count).unwrap_or_default();
            while !rest.is_empty() {
                conn.read_tls(&mut rest)?;
                let state = conn.process_new_packets().map_err(io::Error::other)?;
                let mut left = state.plaintext_bytes_to_read();
                while left > 0 {
                    let count = conn.reader().read(fixed.space())?;
                    fixed.filled(count, &mut ring);
                    left -= count;
                }
            }
        }
    }
    Ok(())
}

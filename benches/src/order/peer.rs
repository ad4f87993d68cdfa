//! The venue of the order bench: the simulator's core behind real TLS, in memory, on the same thread;
//! but what is measured is also written to a real socket.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustls::{ServerConfig, ServerConnection};
use tickwire::connectors::transmit::Endpoint;
use tickwire::net::{Net, Ready, Token};
use tickwire::wire::zone::{self, Zone};
use tickwire_sim::{
    Accept, ConnId, HttpRequest, Incoming, Item, Outbox, Session, SimVenue, VenueSpec, World,
};

use super::Failure;

/// Bodies from this size on go chunked.
const CHUNK_FROM: usize = 64 << 10;

/// What both sides of a measurement know.
#[derive(Debug)]
pub(super) struct Watch {
    base: Instant,
    /// Virtual time, in ns since 1970.
    pub(super) now: AtomicI64,
    /// The loop has turned at this time, where it has a thread of its own.
    pub(super) turned: AtomicI64,
    armed: AtomicBool,
    /// When the command was given, and when its bytes were on the socket; 0: not yet.
    began_ns: AtomicU64,
    sent_ns: AtomicU64,
    /// Orders that have ended.
    pub(super) ended: AtomicU64,
    /// Orders whose answer stayed away.
    pub(super) unknown: AtomicU64,
    pub(super) is_live: AtomicBool,
}

impl Watch {
    pub(super) fn new(now: i64) -> Arc<Watch> {
        Arc::new(Watch {
            base: super::moment(),
            now: AtomicI64::new(now),
            turned: AtomicI64::new(now),
            armed: AtomicBool::new(false),
            began_ns: AtomicU64::new(0),
            sent_ns: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            unknown: AtomicU64::new(0),
            is_live: AtomicBool::new(false),
        })
    }

    /// Lets virtual time pass, and waits for the loop's thread to have lived through it: time that ran
    /// ahead of it would have everything time out.
    pub(super) fn pass(&self, span_ns: i64) {
        let now = self.now.fetch_add(span_ns, Ordering::AcqRel) + span_ns;
        while self.turned.load(Ordering::Acquire) < now {
            thread::yield_now();
        }
    }

    fn elapsed_ns(&self) -> u64 {
        u64::try_from(self.base.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// The next bytes that leave are those that are measured; the clock runs from here.
    pub(super) fn begin(&self) {
        self.sent_ns.store(0, Ordering::Relaxed);
        self.armed.store(true, Ordering::Release);
        self.began_ns.store(self.elapsed_ns(), Ordering::Release);
    }

    /// Whether the venue has answered each order: one that it has not is looked up, which costs more.
    pub(super) fn all_answered(&self) -> Result<(), Failure> {
        match self.unknown.load(Ordering::Acquire) {
            0 => Ok(()),
            count => Err(format!("{count} orders had no answer").into()),
        }
    }

    fn take_armed(&self) -> bool {
        self.armed.load(Ordering::Acquire) && self.armed.swap(false, Ordering::AcqRel)
    }

    fn sent(&self) {
        self.sent_ns.store(self.elapsed_ns(), Ordering::Release);
    }

    /// How long it took, once the bytes are on the socket; once.
    pub(super) fn take(&self) -> Option<u64> {
        if self.sent_ns.load(Ordering::Acquire) == 0 {
            return None;
        }
        let sent_ns = self.sent_ns.swap(0, Ordering::AcqRel);
        let began_ns = self.began_ns.load(Ordering::Acquire);
        Some(sent_ns.saturating_sub(began_ns))
    }
}

/// A socket and its other end, on one thread: nobody has to be woken while a write is measured.
pub(super) struct Drain {
    socket: TcpStream,
    other: TcpStream,
}

impl Drain {
    pub(super) fn new() -> io::Result<Drain> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let socket = TcpStream::connect(listener.local_addr()?)?;
        socket.set_nodelay(true)?;
        let (other, _) = listener.accept()?;
        other.set_nonblocking(true)?;
        Ok(Drain { socket, other })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes)
    }

    /// Reads all that was written, outside of what is measured.
    pub(super) fn empty(&mut self) {
        let mut part = [0; 16 << 10];
        while self.other.read(&mut part).is_ok_and(|count| count > 0) {}
    }
}

struct Line {
    id: ConnId,
    token: Token,
    tls: ServerConnection,
    session: Session,
    from_client: Vec<u8>,
    to_client: VecDeque<u8>,
    /// What it has from the client is the order that is measured.
    is_measured: bool,
}

/// All of it.
pub(super) struct Peer {
    config: Arc<ServerConfig>,
    world: World,
    out: Outbox,
    lines: Vec<Option<Line>>,
    ready: Vec<Ready>,
    watch: Arc<Watch>,
    drain: Drain,
    opened: u32,
    /// The last measured bytes as the TLS library was given them.
    pub(super) plain: Vec<u8>,
}

pub(super) const VENUE: SimVenue = SimVenue::BinanceSpot;

impl Peer {
    pub(super) fn new(
        config: Arc<ServerConfig>,
        watch: Arc<Watch>,
        seed: u64,
    ) -> Result<Peer, Failure> {
        let spec = VenueSpec::of(VENUE)
            .symbols(&["BTCUSDT"])
            .rate_msgs_s(1)
            .levels(25)
            .demo_account();
        let now = watch.now.load(Ordering::Acquire);
        Ok(Peer {
            config,
            world: World::new(&[spec], seed, now, super::moment())?,
            out: Outbox::default(),
            lines: Vec::new(),
            ready: Vec::new(),
            watch,
            drain: Drain::new()?,
            opened: 0,
            plain: Vec::new(),
        })
    }

    fn line(&mut self, token: Token) -> io::Result<&mut Line> {
        let found = self.lines.get_mut(token.slot()).and_then(Option::as_mut);
        let line = found.filter(|line| line.token == token);
        line.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Reads what has come, does what is due, and has the answers ready.
    fn work(&mut self) -> Result<(), Failure> {
        let now = self.watch.now.load(Ordering::Acquire);
        for index in 0..self.lines.len() {
            let incoming = match &mut self.lines[index] {
                Some(line) if !line.from_client.is_empty() => line.read(&mut self.plain)?,
                _ => continue,
            };
            for one in incoming {
                self.handle(index, one, now);
            }
            self.flush(index)?;
        }
        for _ in 0..16 {
            let next = self.world.poll(now, &mut self.out);
            self.dispatch()?;
            if next.is_none_or(|at| at > now) {
                break;
            }
        }
        Ok(())
    }

    fn handle(&mut self, index: usize, incoming: Incoming, now: i64) {
        let Some(line) = self.lines[index].as_mut() else {
            return;
        };
        match incoming {
            Incoming::Request(parsed) if parsed.upgrade.is_some() => {
                let target = &parsed.target;
                let accept = self
                    .world
                    .handle_open(VENUE, line.id, target, now, &mut self.out);
                match accept {
                    Accept::Upgrade => line.session.upgrade(&parsed.upgrade.unwrap_or_default()),
                    Accept::Refuse(no) => line.session.respond(&no, true, true, CHUNK_FROM),
                }
            }
            Incoming::Request(parsed) => {
                let (path, query) = parsed
                    .target
                    .split_once('?')
                    .unwrap_or((&parsed.target, ""));
                let request = HttpRequest {
                    method: &parsed.method,
                    path,
                    query,
                    headers: &parsed.headers,
                    body: &parsed.body,
                };
                let answer = self.world.handle_http(VENUE, &request, now);
                line.session.respond(&answer, true, true, CHUNK_FROM);
            }
            Incoming::Text(text) => {
                self.world
                    .handle_text(VENUE, line.id, &text, now, &mut self.out);
            }
            Incoming::Ping(payload) => {
                self.world
                    .handle_ping(VENUE, line.id, &payload, now, &mut self.out);
            }
            // Without them the venue is silent after a minute.
            Incoming::Pong(payload) => {
                self.world
                    .handle_pong(VENUE, line.id, &payload, now, &mut self.out);
            }
            Incoming::Close => {}
        }
    }

    fn dispatch(&mut self) -> Result<(), Failure> {
        let mut out = std::mem::take(&mut self.out);
        for item in out.items.drain(..) {
            let (Item::Text { conn, .. } | Item::Ping { conn, .. } | Item::Pong { conn, .. }) =
                item
            else {
                continue;
            };
            let mut lines = self.lines.iter_mut().flatten();
            let Some(line) = lines.find(|line| line.id == conn) else {
                continue;
            };
            match item {
                Item::Text { range, .. } => line.session.push_text(&out.bytes[range]),
                Item::Ping { range, .. } => line.session.push_ping(&out.bytes[range]),
                Item::Pong { range, .. } => line.session.push_pong(&out.bytes[range]),
                _ => {}
            }
        }
        out.clear();
        self.out = out;
        (0..self.lines.len()).try_for_each(|index| self.flush(index))
    }

    fn flush(&mut self, index: usize) -> Result<(), Failure> {
        let now = self.watch.now.load(Ordering::Acquire);
        let Some(line) = self.lines[index].as_mut() else {
            return Ok(());
        };
        line.session.poll(now);
        let count = line.session.pending().len();
        line.tls.writer().write_all(line.session.pending())?;
        line.session.advance(count);
        let before = line.to_client.len();
        while line.tls.wants_write() {
            line.tls.write_tls(&mut line.to_client)?;
        }
        if line.to_client.len() > before {
            self.ready.push(Ready::Readable(line.token));
        }
        Ok(())
    }
}

impl Line {
    fn read(&mut self, plain: &mut Vec<u8>) -> Result<Vec<Incoming>, Failure> {
        let bytes = std::mem::take(&mut self.from_client);
        let mut rest = bytes.as_slice();
        let mut text = Vec::new();
        while !rest.is_empty() {
            self.tls.read_tls(&mut rest)?;
            let state = self.tls.process_new_packets()?;
            let from = text.len();
            text.resize(from + state.plaintext_bytes_to_read(), 0);
            self.tls.reader().read_exact(&mut text[from..])?;
        }
        if std::mem::take(&mut self.is_measured) {
            plain.clone_from(&text);
        }
        let odd = |_| Failure::from("a frame or request that the simulator can't read");
        self.session.feed(&text).map_err(odd)?;
        let mut incoming = Vec::new();
        while let Some(one) = self.session.next_incoming().map_err(odd)? {
            if let Incoming::Request(parsed) = &one
                && parsed.upgrade.is_some()
            {
                // What follows is frames: one at a time.
                incoming.push(one);
                break;
            }
            incoming.push(one);
        }
        Ok(incoming)
    }
}

impl Net for Peer {
    fn open(&mut self, _: &Endpoint) -> Token {
        let _zone = zone::enter(Zone::Elsewhere);
        self.opened += 1;
        let slot = self.lines.len();
        let token = Token::new(slot as u32, 1);
        let line = ServerConnection::new(Arc::clone(&self.config)).ok();
        self.lines.push(line.map(|tls| Line {
            id: ConnId(u64::from(self.opened)),
            token,
            tls,
            session: Session::default(),
            from_client: Vec::new(),
            to_client: VecDeque::new(),
            is_measured: false,
        }));
        self.ready.push(Ready::Connected(token));
        token
    }

    fn poll(&mut self, _: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        let _zone = zone::enter(Zone::Elsewhere);
        self.work().map_err(io::Error::other)?;
        ready.append(&mut self.ready);
        Ok(())
    }

    fn recv(&mut self, token: Token, into: &mut [u8]) -> io::Result<usize> {
        let _zone = zone::enter(Zone::Elsewhere);
        let line = self.line(token)?;
        // As one piece: a read that does not fill `into` says that there is no more.
        let bytes = line.to_client.make_contiguous();
        let count = bytes.len().min(into.len());
        if count == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        into[..count].copy_from_slice(&bytes[..count]);
        line.to_client.drain(..count);
        Ok(count)
    }

    fn send(&mut self, token: Token, bytes: &[u8]) -> io::Result<usize> {
        let _zone = zone::enter(Zone::Elsewhere);
        let is_measured = self.watch.take_armed();
        if is_measured {
            self.drain.write(bytes)?;
            self.watch.sent();
            self.drain.empty();
        }
        let line = self.line(token)?;
        line.is_measured = is_measured;
        line.from_client.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn close(&mut self, token: Token) {
        if let Some(slot) = self.lines.get_mut(token.slot()) {
            *slot = None;
        }
    }
}

//! The network: connections in memory in virtual time. Chance decides how long a connection takes
//! and whether it comes about, how long bytes travel and in what pieces they arrive, and how many
//! fit at once. Bytes of one direction arrive in order, each once.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::time::Duration;

use fastrand::Rng;
use tickwire::connectors::transmit::Endpoint;
use tickwire::net::{Net, Ready, Token};

use super::MS;

/// Bytes that may be on their way to a venue: a small socket buffer, so that a half-open link fills
/// it.
const WINDOW_BYTES: usize = 16 << 10;

/// A connection, counted from the start of the run.
pub(super) type Line = usize;

/// What the venue's side sees.
#[derive(Debug)]
pub(super) enum AtVenue {
    /// A client stands at the door of the venue with this port.
    Opened(Line, u16),
    /// Bytes or the end came: read.
    Readable(Line),
}

#[derive(Debug)]
enum Chunk {
    Bytes(Vec<u8>),
    Fin,
    Reset,
}

/// One direction.
#[derive(Debug, Default)]
struct Pipe {
    chunks: VecDeque<(i64, Chunk)>,
    /// Of the oldest chunk, taken already.
    taken: usize,
    /// Arrival of the newest.
    last_ns: i64,
    bytes: usize,
}

impl Pipe {
    fn push(&mut self, at_ns: i64, chunk: Chunk) -> i64 {
        self.last_ns = self.last_ns.max(at_ns);
        if let Chunk::Bytes(bytes) = &chunk {
            self.bytes += bytes.len();
        }
        self.chunks.push_back((self.last_ns, chunk));
        self.last_ns
    }

    /// Bytes that have arrived; `Ok(0)` at the end.
    fn read(&mut self, now: i64, into: &mut [u8]) -> io::Result<usize> {
        let mut count = 0;
        while count < into.len() {
            match self.chunks.front() {
                Some((at_ns, chunk)) if *at_ns <= now => match chunk {
                    Chunk::Bytes(bytes) => {
                        let rest = &bytes[self.taken..];
                        let fits = rest.len().min(into.len() - count);
                        into[count..count + fits].copy_from_slice(&rest[..fits]);
                        count += fits;
                        self.taken += fits;
                        self.bytes -= fits;
                        if self.taken == bytes.len() {
                            self.taken = 0;
                            self.chunks.pop_front();
                        }
                    }
                    _ if count > 0 => return Ok(count),
                    Chunk::Fin => return Ok(0),
                    Chunk::Reset => return Err(io::ErrorKind::ConnectionReset.into()),
                },
                _ if count > 0 => return Ok(count),
                _ => return Err(io::ErrorKind::WouldBlock.into()),
            }
        }
        Ok(count)
    }

    fn has_arrived(&self, now: i64) -> bool {
        self.chunks.front().is_some_and(|(at_ns, _)| *at_ns <= now)
    }
}

/// How a connection's bytes travel.
#[derive(Clone, Copy, Debug)]
struct Manner {
    delay_ns: i64,
    jitter_ns: i64,
    /// Longest piece.
    piece_max: usize,
}

impl Manner {
    fn draw(rng: &mut Rng) -> Manner {
        Manner {
            delay_ns: rng.i64(200_000..60 * MS),
            jitter_ns: if rng.u8(..4) == 0 {
                rng.i64(1..20 * MS)
            } else {
                rng.i64(1..MS)
            },
            piece_max: match rng.u8(..16) {
                0 => rng.usize(1..64),
                1..4 => 1_460,
                _ => 64 << 10,
            },
        }
    }
}

#[derive(Debug)]
struct Connection {
    token: Token,
    port: u16,
    manner: Manner,
    stands: bool,
    /// The engine has let go of it.
    left: bool,
    /// The venue has.
    ended: bool,
    to_engine: Pipe,
    to_venue: Pipe,
    /// The engine was told that there is no room.
    wants_room: bool,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Established(Line),
    Refused(Line),
    ToEngine(Line),
    ToVenue(Line),
    Room(Line),
}

/// All connections of a run.
#[derive(Debug)]
pub(super) struct Pipes {
    now: i64,
    rng: Rng,
    connections: Vec<Connection>,
    /// By token slot: how often it was used, and by which connection it is now.
    slots: Vec<(u32, Option<Line>)>,
    free: Vec<u32>,
    due: BinaryHeap<Reverse<(i64, u64, Due)>>,
    count: u64,
    ready: Vec<Ready>,
    /// Doors where nobody listens.
    shut: Vec<u16>,
    /// Connections fail by chance.
    moody: bool,
    /// Ports of connections that did.
    unreachable: Vec<u16>,
    /// Ports whose bytes arrive no sooner than this.
    held: Vec<(u16, i64)>,
}

impl Pipes {
    pub(super) fn new(seed: u64) -> Pipes {
        Pipes {
            now: 0,
            rng: Rng::with_seed(seed),
            connections: Vec::new(),
            slots: Vec::new(),
            free: Vec::new(),
            due: BinaryHeap::new(),
            count: 0,
            ready: Vec::new(),
            shut: Vec::new(),
            moody: true,
            unreachable: Vec::new(),
            held: Vec::new(),
        }
    }

    /// From now on every connection comes about.
    pub(super) fn calm_down(&mut self) {
        self.moody = false;
    }

    /// The port of a connection that failed by chance, or takes long; each once.
    pub(super) fn take_unreachable(&mut self) -> Option<u16> {
        self.unreachable.pop()
    }

    /// Connections that neither side has let go of.
    pub(super) fn open(&self) -> usize {
        let open = |one: &&Connection| !one.left && !one.ended;
        self.connections.iter().filter(open).count()
    }

    /// When something arrives next.
    pub(super) fn next_ns(&self) -> Option<i64> {
        if self.ready.is_empty() {
            self.due.peek().map(|Reverse((at_ns, ..))| *at_ns)
        } else {
            Some(self.now)
        }
    }

    /// Whether the engine has something to hear of.
    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    fn at(&mut self, at_ns: i64, due: Due) {
        self.count += 1;
        self.due.push(Reverse((at_ns, self.count, due)));
    }

    /// Moves to `now`: what has arrived is told to the engine by its next poll, and to the venues by
    /// `tell`.
    pub(super) fn advance(&mut self, now: i64, tell: &mut Vec<AtVenue>) {
        self.now = now;
        while let Some(Reverse((at_ns, ..))) = self.due.peek() {
            if *at_ns > now {
                break;
            }
            let Some(Reverse((_, _, due))) = self.due.pop() else {
                break;
            };
            match due {
                Due::Established(line) => self.establish(line, tell),
                Due::Refused(line) => self.refuse(line),
                Due::ToEngine(line) => {
                    let one = &self.connections[line];
                    if !one.left && one.stands {
                        self.ready.push(Ready::Readable(one.token));
                    }
                }
                Due::ToVenue(line) => tell.push(AtVenue::Readable(line)),
                Due::Room(line) => {
                    let one = &self.connections[line];
                    if !one.left {
                        self.ready.push(Ready::Writable(one.token));
                    }
                }
            }
        }
    }

    fn establish(&mut self, line: Line, tell: &mut Vec<AtVenue>) {
        let one = &mut self.connections[line];
        if one.left {
            return;
        }
        let at_ns = one.manner.delay_ns + self.now;
        let port = one.port;
        let held_until = self.arrival(port, self.now);
        if held_until > self.now {
            return self.at(held_until.max(at_ns), Due::Established(line));
        }
        let one = &mut self.connections[line];
        if self.shut.contains(&one.port) {
            return self.refuse(line);
        }
        one.stands = true;
        self.ready.push(Ready::Connected(one.token));
        tell.push(AtVenue::Opened(line, one.port));
    }

    fn refuse(&mut self, line: Line) {
        let token = self.connections[line].token;
        if !self.connections[line].left {
            self.let_go(line);
            let why = "192.0.2.1: connection refused; 192.0.2.2: connection refused".to_owned();
            self.ready.push(Ready::Failed(token, why));
        }
    }

    fn let_go(&mut self, line: Line) {
        let one = &mut self.connections[line];
        one.left = true;
        let slot = one.token.slot();
        self.slots[slot].1 = None;
        self.free.push(slot as u32);
    }

    fn line(&self, token: Token) -> Option<Line> {
        let line = self.slots.get(token.slot())?.1?;
        (self.connections[line].token == token).then_some(line)
    }

    /// Resets every connection of this port; what is on its way is lost.
    pub(super) fn cut(&mut self, port: u16, now: i64) {
        for line in 0..self.connections.len() {
            let one = &mut self.connections[line];
            if one.port != port || !one.stands || one.left || one.ended {
                continue;
            }
            let at_ns = now + one.manner.delay_ns;
            one.to_engine = Pipe::default();
            one.to_venue = Pipe::default();
            one.to_engine.push(at_ns, Chunk::Reset);
            one.to_venue.push(at_ns, Chunk::Reset);
            one.ended = true;
            self.at(at_ns, Due::ToEngine(line));
            self.at(at_ns, Due::ToVenue(line));
        }
    }

    /// Lets nothing of this port arrive before `until_ns`.
    pub(super) fn hold(&mut self, port: u16, until_ns: i64) {
        self.held.push((port, until_ns));
    }

    /// When bytes of this port arrive that would arrive then.
    fn arrival(&self, port: u16, at_ns: i64) -> i64 {
        let held = self.held.iter().filter(|(of, _)| *of == port);
        held.map(|(_, until_ns)| *until_ns)
            .filter(|until_ns| self.now < *until_ns)
            .fold(at_ns, i64::max)
    }

    // The venues' side.

    /// Nobody listens at this port any more (or somebody does again).
    pub(super) fn shut(&mut self, port: u16, is_shut: bool) {
        self.shut.retain(|one| *one != port);
        if is_shut {
            self.shut.push(port);
        }
    }

    /// What has arrived at the venue; `Ok(0)` at the end.
    pub(super) fn venue_recv(&mut self, line: Line, into: &mut [u8]) -> io::Result<usize> {
        let now = self.now;
        let one = &mut self.connections[line];
        let outcome = one.to_venue.read(now, into);
        if one.wants_room && one.to_venue.bytes < WINDOW_BYTES {
            one.wants_room = false;
            let at_ns = now + one.manner.delay_ns;
            self.at(at_ns, Due::Room(line));
        }
        outcome
    }

    /// The venue sends bytes; it has a deep buffer.
    pub(super) fn venue_send(&mut self, line: Line, bytes: &[u8]) {
        let one = &mut self.connections[line];
        if one.ended || one.left {
            return;
        }
        let manner = one.manner;
        let mut rest = bytes;
        while !rest.is_empty() {
            let longest = manner.piece_max.min(rest.len());
            let piece = if manner.piece_max < 1_000 {
                self.rng.usize(1..=longest)
            } else {
                longest
            };
            let at_ns = self.now + manner.delay_ns + self.rng.i64(0..manner.jitter_ns);
            let at_ns = self.arrival(self.connections[line].port, at_ns);
            let chunk = Chunk::Bytes(rest[..piece].to_vec());
            let at_ns = self.connections[line].to_engine.push(at_ns, chunk);
            self.at(at_ns, Due::ToEngine(line));
            rest = &rest[piece..];
        }
    }

    /// The venue ends it, behind what it has sent.
    pub(super) fn venue_close(&mut self, line: Line, reset: bool) {
        let one = &mut self.connections[line];
        if one.ended {
            return;
        }
        one.ended = true;
        let chunk = if reset { Chunk::Reset } else { Chunk::Fin };
        let at_ns = one.to_engine.push(self.now + one.manner.delay_ns, chunk);
        self.at(at_ns, Due::ToEngine(line));
    }
}

impl Net for Pipes {
    fn open(&mut self, endpoint: &Endpoint) -> Token {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push((0, None));
            (self.slots.len() - 1) as u32
        });
        let line = self.connections.len();
        let entry = &mut self.slots[slot as usize];
        entry.0 += 1;
        entry.1 = Some(line);
        let token = Token::new(slot, entry.0);
        let manner = Manner::draw(&mut self.rng);
        let tries = 1 + self.rng.i64(0..2) * i64::from(self.moody);
        self.connections.push(Connection {
            token,
            port: endpoint.port,
            manner,
            stands: false,
            left: false,
            ended: false,
            to_engine: Pipe::default(),
            to_venue: Pipe::default(),
            wants_room: false,
        });
        let at_ns = self.now + 2 * tries * manner.delay_ns;
        let mood = self.rng.u8(..50);
        if self.moody && mood < 3 {
            self.unreachable.push(endpoint.port);
        }
        match mood {
            // A black hole: nothing ever comes back.
            0 if self.moody => {}
            1 if self.moody => self.at(at_ns, Due::Refused(line)),
            2 if self.moody => self.at(at_ns + 4_000 * MS, Due::Established(line)),
            _ => self.at(at_ns, Due::Established(line)),
        }
        token
    }

    fn poll(&mut self, _: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        for one in std::mem::take(&mut self.ready) {
            let (Ready::Connected(token) | Ready::Readable(token) | Ready::Writable(token)) = &one
            else {
                ready.push(one);
                continue;
            };
            // Nothing comes for a connection that was closed.
            if self.line(*token).is_some() {
                ready.push(one);
            }
        }
        Ok(())
    }

    fn recv(&mut self, token: Token, into: &mut [u8]) -> io::Result<usize> {
        let line = self.line(token).ok_or(io::ErrorKind::NotConnected)?;
        let outcome = self.connections[line].to_engine.read(self.now, into);
        let short = matches!(outcome, Ok(count) if count > 0 && count < into.len());
        if short && self.connections[line].to_engine.has_arrived(self.now) {
            // The end stands behind the bytes, and a short read counts as dry.
            self.ready.push(Ready::Readable(token));
        }
        outcome
    }

    fn send(&mut self, token: Token, bytes: &[u8]) -> io::Result<usize> {
        let line = self.line(token).ok_or(io::ErrorKind::NotConnected)?;
        let (now, rng) = (self.now, &mut self.rng);
        let one = &mut self.connections[line];
        let room = WINDOW_BYTES.saturating_sub(one.to_venue.bytes);
        if room == 0 {
            one.wants_room = true;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let fits = bytes.len().min(room);
        let count = match rng.u8(..8) {
            0 if fits > 1 => rng.usize(1..fits),
            _ => fits,
        };
        if one.ended {
            // Into the void, as far as the sender knows.
            return Ok(count);
        }
        let at_ns = now + one.manner.delay_ns + rng.i64(0..one.manner.jitter_ns);
        let at_ns = self.arrival(self.connections[line].port, at_ns);
        let chunk = Chunk::Bytes(bytes[..count].to_vec());
        let at_ns = self.connections[line].to_venue.push(at_ns, chunk);
        self.at(at_ns, Due::ToVenue(line));
        Ok(count)
    }

    fn close(&mut self, token: Token) {
        let Some(line) = self.line(token) else {
            return;
        };
        self.let_go(line);
        let one = &mut self.connections[line];
        if one.stands {
            let at_ns = one
                .to_venue
                .push(self.now + one.manner.delay_ns, Chunk::Fin);
            self.at(at_ns, Due::ToVenue(line));
        }
        // What was on its way to the engine has no reader.
        self.connections[line].to_engine = Pipe::default();
    }
}

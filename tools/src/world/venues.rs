//! The venues: the simulator's world behind doors in memory. A shell as the simulator's own one over
//! sockets, and as thin: it moves bytes and tells the time.

use std::collections::BTreeMap;
use std::time::Instant;

use tickwire::testing::sim::{
    Accept, Broken, ConnId, Delivery, DoorFault, HttpRequest, HttpResponse, Incoming, Item, Outbox,
    Session, ShellFault, SimError, SimVenue, VenueSpec, World,
};

use super::model::Shared;
use super::pipes::{AtVenue, Line, Pipes};

/// Ports of the venues: this and the venue's place in [`SimVenue::ALL`].
const PORT_FIRST: u16 = 1_000;

/// Bodies from this size on go chunked.
const CHUNK_FROM: usize = 2 << 10;

/// Polls of the world at one moment; more would be a venue that never comes to rest.
const POLLS_MAX: usize = 10_000;

/// The port of a venue's door.
pub(super) fn port(venue: SimVenue) -> u16 {
    let place = SimVenue::ALL.iter().position(|one| *one == venue);
    PORT_FIRST + place.unwrap_or(0) as u16
}

/// The venue at a port.
pub(super) fn venue_at(at_port: u16) -> Option<SimVenue> {
    SimVenue::ALL.into_iter().find(|one| port(*one) == at_port)
}

#[derive(Debug)]
struct Seat {
    id: ConnId,
    venue: SimVenue,
    session: Session,
    /// Ends once everything is written.
    closing: bool,
}

/// All venues with their sessions.
#[derive(Debug)]
pub(super) struct Venues {
    pub(super) world: World,
    out: Outbox,
    seats: BTreeMap<Line, Seat>,
    lines: BTreeMap<ConnId, Line>,
    next_id: u64,
    told: Vec<AtVenue>,
    next_ns: i64,
    /// Where the trades that leave are noted.
    pub(super) board: Option<Shared>,
    /// What venues cut or refused for a fault of the client's.
    pub(super) violations: Vec<(SimVenue, String)>,
}

impl Venues {
    pub(super) fn new(
        specs: &[VenueSpec],
        seed: u64,
        now: i64,
        base: Instant,
    ) -> Result<Venues, SimError> {
        Ok(Venues {
            world: World::new(specs, seed, now, base)?,
            out: Outbox::default(),
            seats: BTreeMap::new(),
            lines: BTreeMap::new(),
            next_id: 1,
            told: Vec::new(),
            next_ns: now,
            board: None,
            violations: Vec::new(),
        })
    }

    /// When there is something to do without anybody's bytes.
    pub(super) const fn next_ns(&self) -> i64 {
        self.next_ns
    }

    /// Does what is due, and reads what has come.
    pub(super) fn turn(&mut self, now: i64, net: &mut Pipes) {
        let mut told = std::mem::take(&mut self.told);
        net.advance(now, &mut told);
        for one in told.drain(..) {
            match one {
                AtVenue::Opened(line, port) => self.opened(line, port),
                AtVenue::Readable(line) => self.read(line, now, net),
            }
        }
        self.told = told;
        if self.next_ns <= now {
            self.poll(now, net);
        }
    }

    /// Has the world do something at once, outside its own time.
    pub(super) fn with_world(
        &mut self,
        now: i64,
        net: &mut Pipes,
        act: impl FnOnce(&mut World, &mut Outbox),
    ) {
        act(&mut self.world, &mut self.out);
        self.dispatch(now, net);
        self.next_ns = now;
    }

    fn poll(&mut self, now: i64, net: &mut Pipes) {
        let mut next = None;
        for _ in 0..POLLS_MAX {
            next = self.world.poll(now, &mut self.out);
            self.dispatch(now, net);
            if next.is_none_or(|at| at > now) {
                break;
            }
        }
        self.next_ns = next.unwrap_or(i64::MAX);
        let mut morsels = Vec::new();
        for (line, seat) in &self.seats {
            if let Some(at) = seat.session.next_deadline() {
                if at <= now {
                    morsels.push(*line);
                } else {
                    self.next_ns = self.next_ns.min(at);
                }
            }
        }
        for line in morsels {
            self.flush(line, now, net);
            self.next_ns = now;
        }
    }

    fn opened(&mut self, line: Line, at_port: u16) {
        let Some(venue) = venue_at(at_port) else {
            return;
        };
        let id = ConnId(self.next_id);
        self.next_id += 1;
        self.lines.insert(id, line);
        let (session, closing) = (Session::default(), false);
        self.seats.insert(
            line,
            Seat {
                id,
                venue,
                session,
                closing,
            },
        );
    }

    fn read(&mut self, line: Line, now: i64, net: &mut Pipes) {
        let mut chunk = [0u8; 4_096];
        loop {
            let Some(seat) = self.seats.get_mut(&line) else {
                return;
            };
            if seat.session.is_half_open() {
                return;
            }
            match net.venue_recv(line, &mut chunk) {
                Ok(0) => {
                    seat.session.feed_eof();
                    break;
                }
                Ok(count) => {
                    if let Err(broken) = seat.session.feed(&chunk[..count]) {
                        return self.fail(line, broken, now, net);
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(_) => return self.drop_seat(line, true, net),
            }
        }
        loop {
            let Some(seat) = self.seats.get_mut(&line) else {
                return;
            };
            if seat.closing {
                break;
            }
            match seat.session.next_incoming() {
                Ok(Some(incoming)) => self.handle(line, incoming, now, net),
                Ok(None) => break,
                Err(broken) => return self.fail(line, broken, now, net),
            }
        }
        self.flush(line, now, net);
        // What was asked for may bring the venue's next moment forward.
        self.next_ns = self.next_ns.min(now);
    }

    fn handle(&mut self, line: Line, incoming: Incoming, now: i64, net: &mut Pipes) {
        let Some(seat) = self.seats.get_mut(&line) else {
            return;
        };
        let (venue, id, out) = (seat.venue, seat.id, &mut self.out);
        match incoming {
            Incoming::Request(parsed) if parsed.upgrade.is_some() => {
                match self.world.handle_open(venue, id, &parsed.target, now, out) {
                    Accept::Upgrade => seat.session.upgrade(&parsed.upgrade.unwrap_or_default()),
                    Accept::Refuse(response) => {
                        seat.session
                            .respond(&response, parsed.http11, false, usize::MAX);
                        seat.closing = true;
                    }
                }
            }
            Incoming::Request(parsed) => {
                let target = &parsed.target;
                let (path, query) = target.split_once('?').unwrap_or((target, ""));
                let request = HttpRequest {
                    method: &parsed.method,
                    path,
                    query,
                    headers: &parsed.headers,
                    body: &parsed.body,
                };
                let response = self.world.handle_http(venue, &request, now);
                seat.session
                    .respond(&response, parsed.http11, parsed.keep_alive, CHUNK_FROM);
                seat.closing = !parsed.keep_alive;
            }
            Incoming::Text(text) => self.world.handle_text(venue, id, &text, now, out),
            Incoming::Ping(payload) => self.world.handle_ping(venue, id, &payload, now, out),
            Incoming::Pong(payload) => self.world.handle_pong(venue, id, &payload, now, out),
            Incoming::Close => {
                seat.session.push_close(1000, "");
                seat.closing = true;
                self.world.handle_closed(venue, id);
            }
        }
        self.dispatch(now, net);
    }

    /// Queues what the world wants sent.
    fn dispatch(&mut self, now: i64, net: &mut Pipes) {
        if self.out.items.is_empty() && self.out.faults.is_empty() {
            return self.out.clear();
        }
        let mut out = std::mem::take(&mut self.out);
        let mut dirty: Vec<Line> = Vec::new();
        for item in out.items.drain(..) {
            let (Item::Text { conn: id, .. }
            | Item::Ping { conn: id, .. }
            | Item::Pong { conn: id, .. }
            | Item::Close { conn: id, .. }
            | Item::Cut { conn: id }) = item;
            let Some(line) = self.lines.get(&id).copied() else {
                continue;
            };
            let Some(seat) = self.seats.get_mut(&line).filter(|seat| !seat.closing) else {
                continue;
            };
            match item {
                Item::Text { range, kind, .. } => {
                    let payload = &out.bytes[range];
                    if let Some(board) =
                        self.board.as_ref().filter(|_| !seat.session.is_half_open())
                    {
                        board.lock().record(now, (seat.venue, id), kind, payload);
                    }
                    seat.session.push_text(payload);
                }
                Item::Ping { range, .. } => seat.session.push_ping(&out.bytes[range]),
                Item::Pong { range, .. } => seat.session.push_pong(&out.bytes[range]),
                Item::Close { code, reason, .. } => {
                    if reason.starts_with("Too many") {
                        let words = format!("{} cut a link: {reason}", seat.venue);
                        self.violations.push((seat.venue, words));
                    }
                    seat.session.push_close(code, reason);
                    seat.closing = true;
                }
                Item::Cut { .. } => {
                    self.flush(line, now, net);
                    self.drop_seat(line, false, net);
                    continue;
                }
            }
            if dirty.last() != Some(&line) {
                dirty.push(line);
            }
        }
        for line in dirty {
            self.flush(line, now, net);
        }
        for fault in out.faults.drain(..) {
            self.apply(fault, now, net);
        }
        out.clear();
        self.out = out;
    }

    fn apply(&mut self, fault: ShellFault, now: i64, net: &mut Pipes) {
        match fault {
            ShellFault::Link { conn, fault } => {
                if let Some(line) = self.lines.get(&conn).copied()
                    && let Some(seat) = self.seats.get_mut(&line)
                {
                    seat.session.apply(&fault, now);
                    self.flush(line, now, net);
                }
            }
            ShellFault::Door {
                venue,
                fault: DoorFault::Down,
            } => {
                net.shut(port(venue), true);
                let lines: Vec<Line> = self
                    .seats
                    .iter()
                    .filter(|(_, seat)| seat.venue == venue)
                    .map(|(line, _)| *line)
                    .collect();
                for line in lines {
                    self.drop_seat(line, true, net);
                }
            }
            ShellFault::Door {
                venue,
                fault: DoorFault::Up,
            } => net.shut(port(venue), false),
            // Nothing here speaks TLS.
            _ => {}
        }
    }

    fn flush(&mut self, line: Line, now: i64, net: &mut Pipes) {
        let Some(seat) = self.seats.get_mut(&line) else {
            return;
        };
        let session = &mut seat.session;
        if session.is_half_open() {
            return;
        }
        let end = session.poll(now);
        let count = session.pending().len();
        if count > 0 {
            net.venue_send(line, session.pending());
            session.advance(count);
        }
        if let Some(at) = session.next_deadline() {
            self.next_ns = self.next_ns.min(at);
        }
        if let Some(reset) = end {
            self.drop_seat(line, reset, net);
        } else if seat.closing && seat.session.held() == 0 {
            self.drop_seat(line, false, net);
        }
    }

    fn fail(&mut self, line: Line, broken: Broken, now: i64, net: &mut Pipes) {
        let Some(seat) = self.seats.get_mut(&line) else {
            return;
        };
        match broken {
            Broken::Link => return self.drop_seat(line, false, net),
            Broken::Cut { reset } => return self.drop_seat(line, reset, net),
            Broken::Http(status) => {
                let words = format!("{} got a bad request", seat.venue);
                self.violations.push((seat.venue, words));
                let response = HttpResponse {
                    status,
                    headers: Vec::new(),
                    body: Vec::new(),
                    delivery: Delivery::Now,
                };
                seat.session.respond(&response, true, false, usize::MAX);
            }
            Broken::Frame(code) => {
                let words = format!("{} got a bad frame: {code}", seat.venue);
                self.violations.push((seat.venue, words));
                seat.session.push_close(code, "");
            }
        }
        seat.closing = true;
        self.flush(line, now, net);
    }

    fn drop_seat(&mut self, line: Line, reset: bool, net: &mut Pipes) {
        let Some(seat) = self.seats.remove(&line) else {
            return;
        };
        self.lines.remove(&seat.id);
        if let Some(board) = &self.board {
            board.lock().told.forget(seat.id);
        }
        net.venue_close(line, reset);
        self.world.handle_closed(seat.venue, seat.id);
    }
}

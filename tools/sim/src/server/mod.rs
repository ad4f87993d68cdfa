//! The IO shell: one thread, one poll, TLS listeners on loopback. It moves bytes and reads the
//! clock; everything else is the world's.

mod conn;
mod door;
mod faults;
mod http;
mod output;
mod session;
pub(crate) mod tls;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use mio::{Events, Interest, Poll, Token};
use rustls::ServerConnection;

use crate::clock::{self, Clock};
use crate::control::Order;
use crate::outbox::{ConnId, Outbox};
use crate::spec::SimVenue;
use crate::stats::Counters;
use crate::venue::{Accept, Delivery, HttpRequest, earlier};
use crate::world::World;
use conn::Conn;
pub(crate) use door::Door;
pub use http::Parsed;
pub use session::{Broken, Incoming, Session};
use tls::Configs;

/// The waker's token; listeners follow, then connections.
pub(crate) const WAKER: Token = Token(0);
/// Readiness events taken from the kernel at once.
const EVENTS: usize = 1_024;

#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) poll: Poll,
    pub(crate) doors: Vec<Door>,
    pub(crate) tls: Configs,
    pub(crate) world: World,
    pub(crate) clock: Clock,
    pub(crate) orders: Receiver<Order>,
    pub(crate) stop: Arc<AtomicBool>,
    conns: Vec<Option<Conn>>,
    free: Vec<usize>,
    next_id: u64,
    out: Outbox,
    dirty: Vec<usize>,
    /// Connections with a byte fault.
    faulty: Vec<(usize, ConnId)>,
    /// End of the last turn: what was scheduled before it found the generator busy.
    idle_since: i64,
}

impl Server {
    pub(crate) fn new(
        poll: Poll,
        doors: Vec<Door>,
        tls: Configs,
        world: World,
        clock: Clock,
        orders: Receiver<Order>,
        stop: Arc<AtomicBool>,
    ) -> io::Result<Self> {
        let mut server = Self {
            poll,
            doors,
            tls,
            world,
            clock,
            orders,
            stop,
            conns: Vec::new(),
            free: Vec::new(),
            next_id: 1,
            out: Outbox::default(),
            dirty: Vec::new(),
            faulty: Vec::new(),
            idle_since: 0,
        };
        for (index, door) in server.doors.iter_mut().enumerate() {
            let registry = server.poll.registry();
            door.register(registry, Token(1 + index))?;
        }
        Ok(server)
    }

    /// Runs until told to stop.
    pub(crate) fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS);
        // The first turn comes at once: a fault of the script may be due before any client.
        let mut deadline = Some(self.clock.base_ns);
        while !self.stop.load(Ordering::Acquire) {
            if !self.wait(&mut events, deadline) {
                return;
            }
            let first_conn = 1 + self.doors.len();
            for event in &events {
                match event.token() {
                    WAKER => self.take_orders(),
                    Token(n) if n < first_conn => self.accept(n - 1),
                    Token(n) => {
                        let gone = event.is_read_closed() || event.is_error();
                        self.turn(n - first_conn, gone);
                    }
                }
            }
            let now = self.clock.now();
            deadline = self.world.poll(now, &mut self.out);
            self.dispatch();
            self.flush_dirty();
            deadline = earlier(deadline, self.turn_faults());
            self.idle_since = self.clock.now();
        }
    }

    /// Sleeps until something is ready or due. False: the poll itself failed.
    ///
    /// The kernel's poll counts in milliseconds and rounds up, so the last stretch before a
    /// deadline is slept in finer steps; sockets wait that long at most.
    fn wait(&mut self, events: &mut Events, deadline: Option<i64>) -> bool {
        const FINE: Duration = Duration::from_millis(1);
        let left = deadline.map(|at| (at - self.clock.now()).max(0) as u64);
        let left = left.map(Duration::from_nanos);
        let timeout = left.map(|left| {
            // Whole milliseconds, one short, so that rounding up cannot oversleep.
            Duration::from_millis(left.saturating_sub(FINE).as_millis() as u64)
        });
        match self.poll.poll(events, timeout) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
        if events.is_empty() && timeout.is_some_and(|t| t.is_zero()) {
            let rest = deadline.map_or(0, |at| at - self.clock.now());
            if rest > 0 {
                clock::sleep(Duration::from_nanos(rest as u64));
            }
        }
        true
    }

    fn take_orders(&mut self) {
        while let Ok(order) = self.orders.try_recv() {
            let now = self.clock.now();
            // A caller may have given up waiting for its answer.
            match order {
                Order::Apply {
                    venue,
                    command,
                    done,
                } => {
                    self.world
                        .handle_control(venue, &command, now, &mut self.out);
                    self.dispatch();
                    self.flush_dirty();
                    let _ = done.send(());
                }
                Order::Ledger {
                    venue,
                    account,
                    answer,
                } => {
                    let _ = answer.send(self.world.ledger(venue, &account));
                }
                Order::Links { venue, answer } => {
                    let _ = answer.send(self.world.links(venue));
                }
            }
        }
    }

    fn accept(&mut self, door: usize) {
        while let Some(tcp) = self.doors[door].accept() {
            let (venue, counters) = (self.doors[door].venue, &self.doors[door].counters);
            Counters::add(&counters.accepted, 1);
            let config = self.tls.of(self.doors[door].certificate);
            let Ok(tls) = ServerConnection::new(Arc::clone(config)) else {
                continue;
            };
            // Small frames must leave at once, or the peer would measure Nagle.
            let _ = tcp.set_nodelay(true);
            let slot = self.free.pop().unwrap_or_else(|| {
                self.conns.push(None);
                self.conns.len() - 1
            });
            // The slot in the low half finds the connection; the number above it makes ids unique.
            let id = ConnId(self.next_id << 32 | slot as u64);
            self.next_id += 1;
            let mut conn = Conn::new(id, venue, tcp, tls);
            let token = Token(1 + self.doors.len() + slot);
            let interest = Interest::READABLE | Interest::WRITABLE;
            if self
                .poll
                .registry()
                .register(&mut conn.tcp, token, interest)
                .is_err()
            {
                self.free.push(slot);
                continue;
            }
            self.conns[slot] = Some(conn);
            self.turn(slot, false);
        }
    }

    /// A connection is ready, or its peer has `gone`: reads, handles, writes.
    fn turn(&mut self, slot: usize, gone: bool) {
        let Some(conn) = self.conns.get_mut(slot).and_then(Option::as_mut) else {
            return;
        };
        if conn.is_half_open() {
            // It reads nothing; only the kernel says that the peer has left.
            if gone {
                self.drop_conn(slot);
            }
            return;
        }
        if let Err(broken) = conn.fill() {
            return self.fail(slot, broken);
        }
        loop {
            let Some(conn) = self.conns.get_mut(slot).and_then(Option::as_mut) else {
                return;
            };
            if conn.closing {
                break;
            }
            match conn.next() {
                Ok(Some(incoming)) => self.handle(slot, incoming),
                Ok(None) => break,
                Err(broken) => return self.fail(slot, broken),
            }
        }
        self.touch(slot);
        self.flush_dirty();
    }

    fn handle(&mut self, slot: usize, incoming: Incoming) {
        let now = self.clock.now();
        let Some(conn) = self.conns.get_mut(slot).and_then(Option::as_mut) else {
            return;
        };
        let (venue, id) = (conn.venue, conn.id);
        match incoming {
            Incoming::Request(parsed) if parsed.upgrade.is_some() => {
                let accept = self
                    .world
                    .handle_open(venue, id, &parsed.target, now, &mut self.out);
                let counters = Arc::clone(&self.door(venue).counters);
                let Some(conn) = self.conns.get_mut(slot).and_then(Option::as_mut) else {
                    return;
                };
                match accept {
                    Accept::Upgrade => {
                        Counters::add(&counters.upgrades, 1);
                        conn.session.upgrade(&parsed.upgrade.unwrap_or_default());
                    }
                    Accept::Refuse(response) => {
                        Counters::add(&counters.upgrades_refused, 1);
                        conn.session
                            .respond(&response, parsed.http11, false, usize::MAX);
                        conn.closing = true;
                    }
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
                let response = self.world.handle_http(venue, &request, now);
                let Door {
                    chunk_from,
                    keep_alive,
                    ..
                } = *self.door(venue);
                let Some(conn) = self.conns.get_mut(slot).and_then(Option::as_mut) else {
                    return;
                };
                let (http11, keep_alive) = (parsed.http11, parsed.keep_alive && keep_alive);
                conn.session
                    .respond(&response, http11, keep_alive, chunk_from);
                conn.closing = !keep_alive;
                if response.delivery != Delivery::Now {
                    self.faulty.push((slot, id));
                }
            }
            Incoming::Text(text) => {
                self.world.handle_text(venue, id, &text, now, &mut self.out);
            }
            Incoming::Ping(payload) => {
                self.world
                    .handle_ping(venue, id, &payload, now, &mut self.out);
            }
            Incoming::Pong(payload) => {
                self.world
                    .handle_pong(venue, id, &payload, now, &mut self.out);
            }
            Incoming::Close => {
                conn.push_close(1000, "");
                self.world.handle_closed(venue, id);
            }
        }
        self.dispatch();
    }

    fn door(&self, venue: SimVenue) -> &Door {
        // Every connection came through a door, and doors are never removed.
        self.doors
            .iter()
            .find(|door| door.venue == venue)
            .unwrap_or(&self.doors[0])
    }
}

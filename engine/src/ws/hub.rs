//! Clients on a loop: the engine drives them as if they were one more venue, whose links they are.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use crossbeam_queue::SegQueue;
use tickwire_connectors::connector::{BookView, Counters};
use tickwire_connectors::timers::Timers;
use tickwire_connectors::transmit::{
    HttpFailure, LinkChange, LinkLoss, RequestId, Response, Transmit,
};
use tickwire_connectors::{
    Command as VenueCommand, Connector, LinkId, Market, Nanos, Outbox, StreamId, Venue,
};

use super::error::Error;
use super::record::Recorder;
use super::session::{Command, Output, Session, Settings};
use super::shared::Shared;
use crate::clock::Clock;
use crate::control::{Control, ControlQueue};
use crate::wire::ws::OpCode;

/// Clients a loop can have: links are numbered in 16 bits.
pub(crate) const CLIENTS_MAX: usize = 60_000;

/// Tries to tell the loop to look. It takes 64 commands a turn, so that its queue of 8,192 has room again
/// long before.
const NUDGES_MAX: usize = 10_000;

/// What the program's side and the loop's side of a hub have in common.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    queue: SegQueue<Item>,
    /// Whether the loop has been told to look.
    nudged: AtomicBool,
    loop_end: OnceLock<(Arc<ControlQueue>, usize)>,
    clock: OnceLock<Clock>,
    has_ended: AtomicBool,
    next_key: AtomicU64,
    clients: AtomicUsize,
}

pub(crate) enum Item {
    Open {
        key: u64,
        settings: Arc<Settings>,
        shared: Arc<Shared>,
        recorder: Option<Box<Recorder>>,
    },
    Do(u64, Command),
}

impl std::fmt::Debug for Item {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Item::Open { key, .. } => write!(f, "Open({key})"),
            Item::Do(key, command) => write!(f, "Do({key}, {command:?})"),
        }
    }
}

impl Inbox {
    /// The hub is on a loop, as its connector of this number.
    pub(crate) fn attach(&self, control: Arc<ControlQueue>, venue: usize, clock: Option<Clock>) {
        if let Some(clock) = clock {
            let _ = self.clock.set(clock);
        }
        let _ = self.loop_end.set((control, venue));
        self.nudge();
    }

    pub(crate) fn is_attached(&self) -> bool {
        self.loop_end.get().is_some()
    }

    /// The loop's time.
    pub(crate) fn now(&self) -> Nanos {
        self.clock.get().map_or(Nanos::ZERO, Clock::now)
    }

    pub(crate) fn new_key(&self) -> u64 {
        self.next_key.fetch_add(1, Ordering::Relaxed)
    }

    /// Takes a place for a client. False where the loop has all that it can have.
    pub(crate) fn take_place(&self) -> bool {
        let before = self.clients.fetch_add(1, Ordering::Relaxed);
        if before >= CLIENTS_MAX {
            self.clients.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        true
    }

    pub(crate) fn push(&self, item: Item) -> Result<(), Error> {
        self.queue.push(item);
        if self.has_ended.load(Ordering::SeqCst) {
            // The loop looks no more. Who waits for one of these is told by its drop.
            while self.queue.pop().is_some() {}
            return Err(Error::LoopEnded);
        }
        self.nudge();
        Ok(())
    }

    fn nudge(&self) {
        let Some((control, venue)) = self.loop_end.get() else {
            return;
        };
        if self.nudged.swap(true, Ordering::SeqCst) {
            return;
        }
        // Full for as long as strategies have thousands of commands waiting. On the loop's own thread
        // (in a handler) nobody empties it meanwhile: then the next of us tries again.
        for _ in 0..NUDGES_MAX {
            if control.push(Control::Nudge { venue: *venue }).is_ok() {
                return;
            }
            std::thread::yield_now();
        }
        self.nudged.store(false, Ordering::SeqCst);
    }
}

/// The loop's side: a connector without a market.
pub(crate) struct Hub {
    inbox: Arc<Inbox>,
    /// By link.
    sessions: Vec<Option<Seat>>,
    free: Vec<u16>,
    links: HashMap<u64, u16>,
    timers: Timers,
    outputs: VecDeque<(LinkId, Output)>,
    seeds: fastrand::Rng,
    messages: u64,
}

struct Seat {
    key: u64,
    session: Session,
    /// When connecting began.
    since: Nanos,
    armed: Nanos,
}

impl Hub {
    pub(crate) fn new(inbox: Arc<Inbox>, seed: u64) -> Hub {
        Hub {
            inbox,
            sessions: Vec::new(),
            free: Vec::new(),
            links: HashMap::new(),
            timers: Timers::new(),
            outputs: VecDeque::new(),
            seeds: fastrand::Rng::with_seed(seed),
            messages: 0,
        }
    }

    fn take(&mut self, now: Nanos, item: Item) {
        match item {
            Item::Open {
                key,
                settings,
                shared,
                recorder,
            } => {
                let link = self.free.pop().unwrap_or_else(|| {
                    self.sessions.push(None);
                    // Below CLIENTS_MAX: a place was taken before.
                    (self.sessions.len() - 1) as u16
                });
                let recorder = recorder.map(|recorder| *recorder);
                let session = Session::new(settings, shared, recorder, self.seeds.u64(..));
                self.links.insert(key, link);
                self.sessions[usize::from(link)] = Some(Seat {
                    key,
                    session,
                    since: now,
                    armed: Nanos::MAX,
                });
                self.after(now, link);
            }
            Item::Do(key, command) => {
                if let Some(link) = self.links.get(&key).copied() {
                    self.with(now, link, |seat| seat.session.handle_command(now, command));
                }
            }
        }
    }

    /// Has a session do something, and takes what comes of it.
    fn with(&mut self, now: Nanos, link: u16, act: impl FnOnce(&mut Seat)) {
        if let Some(Some(seat)) = self.sessions.get_mut(usize::from(link)) {
            act(seat);
            self.after(now, link);
        }
    }

    fn after(&mut self, now: Nanos, link: u16) {
        let index = usize::from(link);
        let Some(Some(seat)) = self.sessions.get_mut(index) else {
            return;
        };
        while let Some(output) = seat.session.poll_output() {
            if output == Output::Open {
                seat.since = now;
            }
            self.outputs.push_back((LinkId(link), output));
        }
        let deadline = seat.session.deadline();
        // A later one waits for the timer that is set: it would be set anew with each message.
        if deadline < seat.armed {
            seat.armed = deadline;
            self.timers.arm(index, deadline);
        }
        if seat.session.is_over() {
            self.links.remove(&seat.key);
            self.timers.disarm(index);
            self.sessions[index] = None;
            self.free.push(link);
            self.inbox.clients.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Connector for Hub {
    fn venue(&self) -> Venue {
        Venue::custom("clients").unwrap_or(Venue::Binance)
    }

    fn market(&self) -> Market {
        Market::Spot
    }

    fn handle_command(&mut self, _: Nanos, _: VenueCommand, _: &mut Outbox) {}

    fn handle_link(&mut self, now: Nanos, link: LinkId, change: LinkChange, _: &mut Outbox) {
        if let LinkChange::Up { .. } = change {
            self.with(now, link.0, |seat| {
                let took = now - seat.since;
                seat.session.handle_up(now, took);
            });
        }
    }

    fn handle_binary(&mut self, now: Nanos, link: LinkId, payload: &mut [u8], _: &mut Outbox) {
        self.messages += 1;
        self.with(now, link.0, |seat| seat.session.handle_binary(now, payload));
    }

    fn handle_message(&mut self, now: Nanos, link: LinkId, payload: &mut [u8], _: &mut Outbox) {
        self.messages += 1;
        self.with(now, link.0, |seat| seat.session.handle_text(now, payload));
    }

    fn handle_pong(&mut self, now: Nanos, link: LinkId, payload: &[u8], _: &mut Outbox) {
        self.with(now, link.0, |seat| seat.session.handle_pong(now, payload));
    }

    fn handle_loss(&mut self, now: Nanos, link: LinkId, loss: LinkLoss<'_>, _: &mut Outbox) {
        self.with(now, link.0, |seat| {
            seat.since = now + loss.retry_in_ns.unwrap_or(Nanos::ZERO);
            seat.session.handle_loss(now, loss);
        });
    }

    fn handle_nudge(&mut self, now: Nanos, _: &mut Outbox) {
        // Before the queue is read: who pushes from here on nudges again.
        self.inbox.nudged.store(false, Ordering::SeqCst);
        while let Some(item) = self.inbox.queue.pop() {
            self.take(now, item);
        }
    }

    fn handle_response(
        &mut self,
        _: Nanos,
        _: RequestId,
        _: Result<Response<'_>, HttpFailure>,
        _: &mut Outbox,
    ) {
    }

    fn handle_timeout(&mut self, now: Nanos, _: &mut Outbox) {
        while let Some(index) = self.timers.pop(now) {
            let link = index as u16;
            self.with(now, link, |seat| {
                seat.armed = Nanos::MAX;
                if seat.session.deadline() <= now {
                    seat.session.handle_timeout(now);
                }
            });
        }
    }

    fn poll_timeout(&self) -> Option<Nanos> {
        Some(self.timers.next()).filter(|at| *at != Nanos::MAX)
    }

    fn poll_transmit(&mut self, _: Nanos, body: &mut Vec<u8>) -> Option<Transmit> {
        loop {
            let (link, output) = self.outputs.pop_front()?;
            return Some(match output {
                Output::Open => {
                    let Some(Some(seat)) = self.sessions.get(usize::from(link.0)) else {
                        continue;
                    };
                    let spec = Box::new(seat.session.settings().link());
                    Transmit::Open { link, spec }
                }
                Output::Close => Transmit::Close { link },
                Output::Reconnect(why) => Transmit::Reconnect { link, why },
                Output::Frame(opcode, lane, payload) => {
                    body.extend_from_slice(&payload);
                    match opcode {
                        OpCode::Binary => Transmit::Binary { link, lane },
                        OpCode::Ping => Transmit::Ping { link },
                        _ => Transmit::Text { link, lane },
                    }
                }
            });
        }
    }

    fn has_transmit(&self) -> bool {
        !self.outputs.is_empty()
    }

    fn book(&self, _: StreamId) -> Option<BookView<'_>> {
        None
    }

    fn counters(&self) -> Counters {
        Counters {
            messages: self.messages,
            ..Counters::default()
        }
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.inbox.has_ended.store(true, Ordering::SeqCst);
        for seat in self.sessions.iter_mut().flatten() {
            seat.session.handle_stop();
        }
        while let Some(item) = self.inbox.queue.pop() {
            if let Item::Open { shared, .. } = item {
                shared.set_end(Error::LoopEnded);
            }
        }
    }
}

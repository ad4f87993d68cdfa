//! The loop: one thread, every socket, one turn after another.
//!
//! A turn is a short sum of named phases, each bounded: look for readiness, take commands, read each
//! ready connection once and carry its bytes all the way to the strategies, keep the time limits.
//! `now` is read once a turn and is the only time that logic sees.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustls::ClientConfig;
use tickwire_connectors::connector::Counters;
use tickwire_connectors::transmit::{DownReason, LinkChange, LinkSpec, ReadOn, Response, Transmit};
use tickwire_connectors::{Command, Connector, LinkId, Market, Nanos, Outbox, StreamId, Venue};

use crate::backoff::BackoffConfig;
use crate::clock::Clock;
use crate::control::{Control, ControlQueue, StrategyId};
use crate::helper::{Helper, Job};
use crate::http::{Finished, HttpPool};
use crate::link::{Input, Link};
use crate::net::{Counted, Net, Ready, Token, Wake};
use crate::notice::{LinkNotice, LinkNoticeKind, Notices, VenueNotice};
use crate::registry::{LinkState, Registry};
use crate::router::{Effect, Router};
use crate::telemetry::{LatencyRecorder, LoopCounters};
use crate::wire::zone::{self, Zone};

/// Commands taken a turn: a strategy that subscribes thousands of streams must not hold up the
/// links.
const COMMANDS_A_TURN: usize = 64;

/// Counters and time limits are looked at no later than this after the last look.
const CHECK_INTERVAL: Nanos = Nanos::from_millis(10);

/// In [`PollMode::Direct`], readiness (of connections that are being made) is asked for once in so
/// many turns.
const DIRECT_POLL_INTERVAL: u64 = 64;

/// How the loop looks for bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PollMode {
    /// Asks the system which sockets are ready, without waiting, each turn. The cost of an idle turn
    /// does not grow with the number of sockets.
    #[default]
    Mio,
    /// Reads every link each turn without asking: saves about 0.6 µs on a busy link and costs about
    /// 0.4 µs for each idle one. For one or two hot links.
    Direct,
    /// Sleeps until a socket is ready, a timer is due or a command comes, `longest` at most. For
    /// laptops and CI.
    Park {
        /// The longest sleep.
        longest: Duration,
    },
}

impl PollMode {
    /// [`PollMode::Park`] of at most 10 ms.
    pub const PARK: PollMode = PollMode::Park {
        longest: Duration::from_millis(10),
    };
}

/// A venue's counters as other threads may read them.
#[derive(Debug)]
pub(crate) struct VenueCounters {
    pub(crate) venue: Venue,
    pub(crate) market: Market,
    cells: [AtomicU64; Counters::COUNT],
}

impl VenueCounters {
    fn new(venue: Venue, market: Market) -> VenueCounters {
        VenueCounters {
            venue,
            market,
            cells: [const { AtomicU64::new(0) }; Counters::COUNT],
        }
    }

    fn publish(&self, counters: Counters) {
        for (cell, value) in self.cells.iter().zip(counters.to_array()) {
            cell.store(value, Ordering::Relaxed);
        }
    }

    pub(crate) fn read(&self) -> Counters {
        Counters::from_array(
            self.cells
                .each_ref()
                .map(|cell| cell.load(Ordering::Relaxed)),
        )
    }
}

/// A venue in the engine.
struct Slot<C> {
    connector: C,
    links: Vec<Option<Link>>,
    /// Connections made so far, by link: a link that is opened anew goes on counting.
    epochs: Vec<u16>,
    pool: HttpPool,
    tls: Arc<ClientConfig>,
    counters: Arc<VenueCounters>,
}

/// Whose a connection is.
#[derive(Clone, Copy, Debug)]
struct Owner {
    token: Token,
    venue: usize,
    part: Part,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Link(usize),
    Http(usize),
}

/// What an engine is made of.
pub(crate) struct EngineParts<C, N> {
    pub(crate) net: N,
    pub(crate) connectors: Vec<C>,
    pub(crate) router: Router,
    pub(crate) control: Arc<ControlQueue>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) notices: Arc<Notices>,
    pub(crate) counters: Arc<LoopCounters>,
    pub(crate) turn_times: LatencyRecorder,
    pub(crate) wake: Option<Wake>,
    pub(crate) tls: Vec<Arc<ClientConfig>>,
    pub(crate) backoff: BackoffConfig,
    pub(crate) poll: PollMode,
    pub(crate) seed: u64,
}

/// The loop with all that it owns.
pub(crate) struct Loop<C, N> {
    net: Counted<N>,
    slots: Vec<Slot<C>>,
    router: Router,
    outbox: Outbox,
    /// Where connectors write texts and request bodies.
    body: Vec<u8>,
    /// By the slot of a connection's token.
    owners: Vec<Option<Owner>>,
    ready: Vec<Ready>,
    /// Connections to be read this turn, and those that must be read again in the next.
    work: Vec<(usize, Part)>,
    /// Links that have something to send, or that are to be cut.
    touched: Vec<(usize, usize)>,
    control: Arc<ControlQueue>,
    registry: Arc<Registry>,
    notices: Arc<Notices>,
    counters: Arc<LoopCounters>,
    turn_times: LatencyRecorder,
    helper: Helper,
    backoff: BackoffConfig,
    poll: PollMode,
    seeds: fastrand::Rng,
    /// No deadline is before this.
    next_check: Nanos,
    now: Nanos,
    turns: u64,
    stopping: bool,
}

impl<C: Connector, N: Net> Loop<C, N> {
    pub(crate) fn new(parts: EngineParts<C, N>) -> Loop<C, N> {
        let slots = parts
            .connectors
            .into_iter()
            .zip(parts.tls)
            .map(|(connector, tls)| {
                let counters = VenueCounters::new(connector.venue(), connector.market());
                let (links, pool) = (Vec::new(), HttpPool::new());
                Slot {
                    connector,
                    links,
                    epochs: Vec::new(),
                    pool,
                    tls,
                    counters: Arc::new(counters),
                }
            })
            .collect();
        Loop {
            net: Counted::new(parts.net, Arc::clone(&parts.counters)),
            slots,
            router: parts.router,
            outbox: Outbox::new(),
            body: Vec::with_capacity(32 << 10),
            owners: Vec::new(),
            ready: Vec::with_capacity(1_024),
            work: Vec::with_capacity(1_024),
            touched: Vec::with_capacity(64),
            control: parts.control,
            registry: parts.registry,
            notices: parts.notices,
            counters: parts.counters,
            turn_times: parts.turn_times,
            helper: Helper::new(parts.wake),
            backoff: parts.backoff,
            poll: parts.poll,
            seeds: fastrand::Rng::with_seed(parts.seed),
            next_check: Nanos::ZERO,
            now: Nanos::ZERO,
            turns: 0,
            stopping: false,
        }
    }

    pub(crate) fn venue_counters(&self) -> Vec<Arc<VenueCounters>> {
        self.slots
            .iter()
            .map(|slot| Arc::clone(&slot.counters))
            .collect()
    }

    /// Turns until it is told to stop; then closes everything.
    pub(crate) fn run(mut self, clock: Clock, initial: Vec<Control>) {
        let _zone = zone::enter(Zone::Ours);
        // Also where an inline strategy panics: nobody takes commands any more.
        let _closed = CloseOnDrop(Arc::clone(&self.control));
        self.start(clock.now(), initial);
        let mut turn_started = clock.now();
        while !self.stopping {
            self.poll_net();
            let now = clock.now();
            if matches!(self.poll, PollMode::Park { .. }) {
                // Sleep is not work: a turn is measured from the wake-up.
                turn_started = now;
            }
            let worked = self.turn(now);
            if worked {
                let ended = clock.now();
                self.turn_times.record((ended - turn_started).0);
                turn_started = ended;
            } else {
                turn_started = now;
            }
        }
        self.shut_down(clock.now());
    }

    /// Takes the subscriptions of the builder.
    pub(crate) fn start(&mut self, now: Nanos, initial: Vec<Control>) {
        self.now = now;
        self.router.start(now);
        for control in initial {
            self.command(control);
        }
    }

    /// Looks for readiness, waiting as long as the mode and the deadlines allow.
    pub(crate) fn poll_net(&mut self) {
        let timeout = match self.poll {
            PollMode::Mio => Duration::ZERO,
            PollMode::Direct if !self.turns.is_multiple_of(DIRECT_POLL_INTERVAL) => return,
            PollMode::Direct => Duration::ZERO,
            PollMode::Park { .. } if self.has_work() => Duration::ZERO,
            PollMode::Park { longest } => {
                let timer = self.router.next_timer().unwrap_or(Nanos::MAX);
                let due = (self.next_check.min(timer) - self.now).0.max(0);
                longest.min(Duration::from_nanos(due as u64))
            }
        };
        if let Err(error) = self.net.poll(Some(timeout), &mut self.ready) {
            tracing::error!(%error, "the poll failed");
        }
    }

    /// Whether the next turn has something to do that no readiness will announce.
    fn has_work(&self) -> bool {
        !self.work.is_empty()
            || !self.touched.is_empty()
            || self.control.is_rung()
            || self.slots.iter().any(|slot| slot.pool.finished() > 0)
    }

    /// One turn. Gives whether there was anything to do.
    pub(crate) fn turn(&mut self, now: Nanos) -> bool {
        self.now = now;
        self.turns += 1;
        self.router.set_now(now);
        let mut worked = self.take_ready();
        if self.control.rung() {
            worked = true;
            self.take_commands();
        }
        if self.poll == PollMode::Direct {
            self.read_every_link();
        }
        worked |= self.read();
        worked |= self.take_helper();
        if now >= self.next_check {
            self.check_deadlines();
        }
        worked |= self.finish_requests();
        if !self.touched.is_empty() {
            worked = true;
            self.settle();
        }
        self.router.turn(now);
        self.counters.turns.add(1);
        if !worked {
            self.counters.turns_idle.add(1);
        }
        worked
    }

    /// Sorts what became ready; connections that stand (or fail) are dealt with at once.
    fn take_ready(&mut self) -> bool {
        if self.ready.is_empty() {
            return false;
        }
        let mut ready = core::mem::take(&mut self.ready);
        for one in ready.drain(..) {
            match one {
                Ready::Readable(token) | Ready::Writable(token) => {
                    if let Some(owner) = self.owner(token) {
                        let (part, readable) = (owner.part, matches!(one, Ready::Readable(_)));
                        match part {
                            // Readiness to write comes with each readiness to read.
                            Part::Link(link) if !readable => {
                                let link_ref = &self.slots[owner.venue].links[link];
                                if link_ref.as_ref().is_some_and(Link::wants_room) {
                                    push_once(&mut self.touched, (owner.venue, link));
                                }
                            }
                            _ => push_once(&mut self.work, (owner.venue, part)),
                        }
                    }
                }
                Ready::Connected(token) => self.handle_connected(token),
                Ready::Failed(token, error) => self.handle_failed(token, &error),
            }
        }
        self.ready = ready;
        true
    }

    fn owner(&self, token: Token) -> Option<Owner> {
        self.owners
            .get(token.slot())
            .copied()
            .flatten()
            .filter(|owner| owner.token == token)
    }

    fn own(&mut self, token: Token, venue: usize, part: Part) {
        if self.owners.len() <= token.slot() {
            self.owners.resize(token.slot() + 1, None);
        }
        self.owners[token.slot()] = Some(Owner { token, venue, part });
    }

    fn handle_connected(&mut self, token: Token) {
        let Some(Owner { venue, part, .. }) = self.owner(token) else {
            return;
        };
        let slot = &mut self.slots[venue];
        match part {
            Part::Link(index) => {
                let Some(link) = slot.links[index].as_mut() else {
                    return;
                };
                if let Err(reason) = link.handle_connected(&mut self.net, &slot.tls) {
                    self.link_down(venue, index, reason);
                    return;
                }
            }
            Part::Http(index) => {
                slot.pool
                    .handle_connected(index, &mut self.net, &slot.tls, self.now);
            }
        }
        push_once(&mut self.work, (venue, part));
    }

    fn handle_failed(&mut self, token: Token, error: &str) {
        let Some(Owner { venue, part, .. }) = self.owner(token) else {
            return;
        };
        match part {
            Part::Link(index) => {
                self.link_down(venue, index, DownReason::Connect(error.to_owned()));
            }
            Part::Http(index) => {
                self.slots[venue].pool.handle_failed(index, error, self.now);
                self.dispatch_requests(venue);
            }
        }
    }

    fn read_every_link(&mut self) {
        for venue in 0..self.slots.len() {
            for index in 0..self.slots[venue].links.len() {
                if self.slots[venue].links[index]
                    .as_ref()
                    .is_some_and(Link::is_up)
                {
                    push_once(&mut self.work, (venue, Part::Link(index)));
                }
            }
        }
    }

    /// Reads each connection that may have bytes, once.
    fn read(&mut self) -> bool {
        if self.work.is_empty() {
            return false;
        }
        let before = self.counters.bytes_in.value();
        let mut work = core::mem::take(&mut self.work);
        // What must be read again is put at the front of the next turn's work.
        let count = work.len();
        for index in 0..count {
            let (venue, part) = work[index];
            let again = match part {
                Part::Link(link) => self.read_link(venue, link),
                Part::Http(connection) => self.read_http(venue, connection),
            };
            if again {
                work.push((venue, part));
            }
        }
        work.drain(..count);
        // Reading may have opened connections whose readiness is already known: keep both.
        work.append(&mut self.work);
        self.work = work;
        self.poll != PollMode::Direct || self.counters.bytes_in.value() != before
    }

    #[inline]
    fn read_link(&mut self, venue: usize, index: usize) -> bool {
        match self.drive_link(venue, index) {
            Ok(again) => again,
            Err(reason) => {
                self.link_down(venue, index, reason);
                false
            }
        }
    }

    /// One recv, and all that it brought carried to the strategies.
    #[inline]
    fn drive_link(&mut self, venue: usize, index: usize) -> Result<bool, DownReason> {
        let now = self.now;
        let Some(link) = self.slots[venue].links[index].as_mut() else {
            return Ok(false);
        };
        link.recv(&mut self.net, now)?;
        loop {
            let slot = &mut self.slots[venue];
            let Some(link) = slot.links[index].as_mut() else {
                return Ok(false);
            };
            let id = link.id;
            match link.next_input(now)? {
                Input::Message(payload) => {
                    self.counters.messages.add(1);
                    slot.connector
                        .handle_message(now, id, payload, &mut self.outbox);
                }
                Input::Up => self.link_up(venue, index),
                Input::Again => continue,
                Input::Dry => break,
            }
            self.after_call(venue, None);
        }
        self.note_timeout(venue);
        let Some(link) = self.slots[venue].links[index].as_mut() else {
            return Ok(false);
        };
        self.counters.frames.add(link.take_frames());
        link.flush(&mut self.net, now)?;
        self.next_check = self.next_check.min(link.paced_until());
        if link.maybe_readable {
            self.counters.budget_reached.add(1);
        }
        Ok(link.maybe_readable)
    }

    /// Behind every call of a connector: events out, requests on their way.
    #[inline]
    fn after_call(&mut self, venue: usize, only: Option<StrategyId>) {
        if !self.outbox.is_empty() {
            let events = match self.outbox.has_wide() {
                true => self.outbox.iter().count(),
                false => self.outbox.hot().len(),
            };
            self.counters.events.add(events as u64);
            self.router.route(&self.outbox, only);
            for news in self.outbox.news() {
                self.router.venue_news(venue, news);
                self.notices.push_venue(VenueNotice {
                    at: self.now,
                    venue: self.slots[venue].connector.venue(),
                    market: self.slots[venue].connector.market(),
                    news: *news,
                });
            }
            self.outbox.clear();
        }
        if self.slots[venue].connector.has_transmit() {
            self.pump(venue);
        }
    }

    /// Does what a connector wants done.
    #[cold]
    fn pump(&mut self, venue: usize) {
        loop {
            self.body.clear();
            let slot = &mut self.slots[venue];
            let Some(transmit) = slot.connector.poll_transmit(self.now, &mut self.body) else {
                break;
            };
            match transmit {
                Transmit::Open { link, spec } => self.open_link(venue, link, *spec),
                Transmit::Close { link } => self.cut_link(venue, link, DownReason::Closed),
                Transmit::Reconnect { link, why } => {
                    self.cut_link(venue, link, DownReason::Cut(why));
                }
                Transmit::Text { link, lane } => {
                    let index = usize::from(link.0);
                    let found = slot.links.get_mut(index).and_then(Option::as_mut);
                    if !found.is_some_and(|link| link.queue(lane, &self.body)) {
                        self.counters.texts_dropped.add(1);
                    }
                    push_once(&mut self.touched, (venue, index));
                }
                Transmit::Http(request) => {
                    let body = self.body.clone();
                    slot.pool.submit(*request, body, self.now);
                }
            }
        }
        self.dispatch_requests(venue);
    }

    /// Takes the connector's next time limit into account.
    #[inline]
    fn note_timeout(&mut self, venue: usize) {
        if let Some(at) = self.slots[venue].connector.poll_timeout() {
            self.next_check = self.next_check.min(at);
        }
    }

    fn open_link(&mut self, venue: usize, id: LinkId, spec: LinkSpec) {
        let slot = &mut self.slots[venue];
        let index = usize::from(id.0);
        if slot.links.len() <= index {
            slot.links.resize_with(index + 1, || None);
            slot.epochs.resize(index + 1, 0);
        }
        // A number that is used again before the old link is gone: nobody waits for its end.
        if let Some(mut old) = slot.links[index].take() {
            slot.epochs[index] = old.epoch();
            old.fail(&mut self.net, &DownReason::Closed, self.now);
            self.registry.remove_link(&old.info);
        }
        let endpoint = format!("{}:{}", spec.endpoint.host, spec.endpoint.port);
        let (name, market) = (slot.connector.venue(), slot.connector.market());
        let info = self.registry.add_link(name, market, id, endpoint);
        let epoch = slot.epochs[index];
        let seed = self.seeds.u64(..);
        slot.links[index] = Some(Link::new(id, spec, info, self.backoff, seed, epoch));
        self.connect(venue, index);
    }

    fn connect(&mut self, venue: usize, index: usize) {
        let Some(link) = self.slots[venue].links[index].as_mut() else {
            return;
        };
        let token = link.connect(&mut self.net, self.now);
        self.next_check = self.next_check.min(link.deadline());
        self.own(token, venue, Part::Link(index));
    }

    fn cut_link(&mut self, venue: usize, id: LinkId, reason: DownReason) {
        let index = usize::from(id.0);
        if let Some(link) = self.slots[venue]
            .links
            .get_mut(index)
            .and_then(Option::as_mut)
        {
            link.cut(reason);
            push_once(&mut self.touched, (venue, index));
        }
    }

    fn link_up(&mut self, venue: usize, index: usize) {
        let slot = &mut self.slots[venue];
        let Some(link) = slot.links[index].as_ref() else {
            return;
        };
        let (id, epoch, took_ns) = (link.id, link.epoch(), link.connect_time());
        slot.connector
            .handle_link(self.now, id, LinkChange::Up { epoch }, &mut self.outbox);
        self.notify(venue, id, LinkNoticeKind::Connected { epoch, took_ns });
    }

    fn link_down(&mut self, venue: usize, index: usize, reason: DownReason) {
        let slot = &mut self.slots[venue];
        let Some(link) = slot.links[index].as_mut() else {
            return;
        };
        // A link that was to be let go does not come back because it was lost first.
        let closed = reason == DownReason::Closed || link.take_cut() == Some(DownReason::Closed);
        let reason = if closed { DownReason::Closed } else { reason };
        let (id, was_up) = (link.id, link.is_up());
        let retry_in_ns = link.fail(&mut self.net, &reason, self.now);
        self.next_check = self.next_check.min(link.deadline());
        if closed {
            slot.epochs[index] = link.epoch();
            self.registry.remove_link(&link.info);
            slot.links[index] = None;
        }
        // The end of a link that was closed is told in any case: its number is free from here on.
        if was_up || closed {
            let change = LinkChange::Down {
                reason: reason.clone(),
            };
            slot.connector
                .handle_link(self.now, id, change, &mut self.outbox);
        }
        self.notify(
            venue,
            id,
            LinkNoticeKind::Disconnected {
                reason,
                retry_in_ns,
            },
        );
        self.after_call(venue, None);
        self.note_timeout(venue);
    }

    fn notify(&self, venue: usize, link: LinkId, kind: LinkNoticeKind) {
        let connector = &self.slots[venue].connector;
        let (venue, market) = (connector.venue(), connector.market());
        self.notices.push(LinkNotice {
            at: self.now,
            venue,
            market,
            link,
            kind,
        });
    }

    fn read_http(&mut self, venue: usize, index: usize) -> bool {
        let pool = &mut self.slots[venue].pool;
        let again = pool.handle_ready(index, &mut self.net, self.now);
        self.dispatch_requests(venue);
        again
    }

    /// Puts waiting requests on connections.
    fn dispatch_requests(&mut self, venue: usize) {
        let pool = &mut self.slots[venue].pool;
        let mut opened = Vec::new();
        pool.dispatch(&mut self.net, self.now, |index, token| {
            opened.push((index, token));
        });
        self.next_check = self.next_check.min(pool.deadline());
        for (index, token) in opened {
            self.own(token, venue, Part::Http(index));
        }
    }

    /// Hands on the requests that have their outcome by now. One that is made in answer to it has its
    /// outcome in the next turn at the earliest: a connector that asks again at once can't hold up
    /// the loop.
    fn finish_requests(&mut self) -> bool {
        let mut worked = false;
        for venue in 0..self.slots.len() {
            for _ in 0..self.slots[venue].pool.finished() {
                if let Some(finished) = self.slots[venue].pool.pop_finished() {
                    worked = true;
                    self.finish_request(venue, finished);
                }
            }
        }
        worked
    }

    #[cold]
    fn finish_request(&mut self, venue: usize, finished: Finished) {
        let Finished {
            id,
            read_on,
            outcome,
        } = finished;
        self.counters.responses.add(1);
        let slot = &mut self.slots[venue];
        match outcome {
            Ok(answer) if read_on == ReadOn::Helper && answer.status == 200 => {
                let (market, reader) =
                    (slot.connector.market(), slot.connector.instrument_reader());
                self.helper.submit(Job {
                    venue,
                    id,
                    market,
                    reader,
                    body: answer.body,
                });
                return;
            }
            Ok(mut answer) => {
                let response = Response {
                    status: answer.status,
                    headers: &answer.headers,
                    body: &mut answer.body,
                };
                slot.connector
                    .handle_response(self.now, id, Ok(response), &mut self.outbox);
            }
            Err(failure) => {
                slot.connector
                    .handle_response(self.now, id, Err(failure), &mut self.outbox);
            }
        }
        self.after_call(venue, None);
        self.note_timeout(venue);
    }

    fn take_helper(&mut self) -> bool {
        let mut worked = false;
        while let Some(done) = self.helper.poll() {
            worked = true;
            let connector = &mut self.slots[done.venue].connector;
            connector.handle_instruments(self.now, done.id, done.instruments, &mut self.outbox);
            self.after_call(done.venue, None);
            self.note_timeout(done.venue);
        }
        worked
    }

    /// Fires what is due and finds the next deadline.
    fn check_deadlines(&mut self) {
        let now = self.now;
        for venue in 0..self.slots.len() {
            if self.slots[venue]
                .connector
                .poll_timeout()
                .is_some_and(|at| at <= now)
            {
                self.slots[venue]
                    .connector
                    .handle_timeout(now, &mut self.outbox);
                self.after_call(venue, None);
                self.counters.timers.add(1);
            }
            for index in 0..self.slots[venue].links.len() {
                self.check_link(venue, index);
            }
            let pool = &mut self.slots[venue].pool;
            if pool.deadline() <= now {
                pool.handle_deadline(&mut self.net, now);
                self.dispatch_requests(venue);
            }
            let slot = &self.slots[venue];
            slot.counters.publish(slot.connector.counters());
        }
        self.counters.ring_full.set(self.router.diverted());
        for strategy in self.router.take_gone() {
            for stream in self.router.streams_of(strategy) {
                self.command(Control::Unsubscribe { strategy, stream });
            }
        }
        self.next_check = self.next_deadline();
    }

    fn check_link(&mut self, venue: usize, index: usize) {
        let Some(link) = self.slots[venue].links[index].as_mut() else {
            return;
        };
        link.publish();
        if link.deadline() > self.now {
            return;
        }
        if link.is_due(self.now) {
            self.connect(venue, index);
            return;
        }
        match link.check_limits(self.now) {
            Ok(()) => push_once(&mut self.touched, (venue, index)),
            Err(reason) => self.link_down(venue, index, reason),
        }
    }

    fn next_deadline(&self) -> Nanos {
        let mut next = self.now + CHECK_INTERVAL;
        for slot in &self.slots {
            next = next.min(slot.connector.poll_timeout().unwrap_or(Nanos::MAX));
            next = next.min(slot.pool.deadline());
            for link in slot.links.iter().flatten() {
                next = next.min(link.deadline());
            }
        }
        next.min(self.router.next_timer().unwrap_or(Nanos::MAX))
    }

    /// Sends what was queued during the turn and cuts what was to be cut. Either may touch further
    /// links; those wait for the next turn.
    fn settle(&mut self) {
        let mut touched = core::mem::take(&mut self.touched);
        for (venue, index) in touched.drain(..) {
            let Some(link) = self.slots[venue]
                .links
                .get_mut(index)
                .and_then(Option::as_mut)
            else {
                continue;
            };
            let outcome = match link.take_cut() {
                Some(reason) => Err(reason),
                None => link.flush(&mut self.net, self.now),
            };
            self.next_check = self.next_check.min(link.paced_until());
            if let Err(reason) = outcome {
                self.link_down(venue, index, reason);
            }
        }
        if self.touched.is_empty() {
            self.touched = touched;
        }
    }

    fn take_commands(&mut self) {
        for _ in 0..COMMANDS_A_TURN {
            let Some(control) = self.control.pop() else {
                return;
            };
            self.command(control);
        }
        // More may wait: look again next turn.
        self.control.ring();
    }

    fn command(&mut self, control: Control) {
        self.counters.commands.add(1);
        match control {
            Control::Stop => self.stopping = true,
            Control::Subscribe {
                strategy,
                stream,
                depth,
            } => {
                self.subscribe(strategy, stream, depth);
            }
            Control::Unsubscribe { strategy, stream } => self.unsubscribe(strategy, stream),
            Control::Republish { strategy, stream } => {
                self.tell(stream, Command::Republish { stream }, Some(strategy));
            }
            Control::Resync { stream } => self.tell(stream, Command::Resync { stream }, None),
        }
    }

    fn subscribe(&mut self, strategy: StrategyId, stream: StreamId, depth: bool) {
        // The stream would stay open for a strategy that has ended, and nobody would let it go.
        if self.router.is_gone(strategy) {
            return;
        }
        let Some(info) = self.registry.info(stream) else {
            return;
        };
        let (symbol, channel) = (info.asked, info.key.channel);
        match self.router.join(strategy, info, depth) {
            Effect::Open => {
                self.tell(
                    stream,
                    Command::Subscribe {
                        stream,
                        symbol,
                        channel,
                        depth,
                    },
                    None,
                );
            }
            Effect::Depth(on) => {
                self.tell(stream, Command::SetDepth { stream, depth: on }, None);
                self.tell(stream, Command::Republish { stream }, Some(strategy));
            }
            Effect::None => self.tell(stream, Command::Republish { stream }, Some(strategy)),
            Effect::Close => {}
        }
    }

    fn unsubscribe(&mut self, strategy: StrategyId, stream: StreamId) {
        match self.router.leaving(strategy, stream) {
            Effect::Close => self.tell(stream, Command::Unsubscribe { stream }, None),
            Effect::Depth(on) => {
                self.tell(stream, Command::SetDepth { stream, depth: on }, None);
            }
            Effect::None | Effect::Open => {}
        }
        self.router.leave(strategy, stream, self.now);
    }

    fn tell(&mut self, stream: StreamId, command: Command, only: Option<StrategyId>) {
        let Some(venue) = self.router.info(stream).map(|info| info.venue_index) else {
            return;
        };
        self.slots[venue]
            .connector
            .handle_command(self.now, command, &mut self.outbox);
        self.after_call(venue, only);
        self.note_timeout(venue);
    }

    /// Closes every connection in order; the rings end with it.
    fn shut_down(mut self, now: Nanos) {
        self.control.close();
        for slot in &mut self.slots {
            slot.pool.close(&mut self.net);
            for link in slot.links.iter_mut().flatten() {
                let was_up = link.is_up();
                link.say_goodbye();
                link.fail(&mut self.net, &DownReason::Closed, now);
                link.info.set_state(LinkState::Closed, link.epoch());
                if was_up {
                    // The last word on every stream: its prices are no longer to be believed.
                    let change = LinkChange::Down {
                        reason: DownReason::Closed,
                    };
                    slot.connector
                        .handle_link(now, link.id, change, &mut self.outbox);
                }
            }
            self.router.route(&self.outbox, None);
            self.outbox.clear();
            slot.counters.publish(slot.connector.counters());
        }
        self.router.turn(now);
        self.router.stop(now);
    }
}

/// Refuses commands from the end of the loop on, however it ends.
struct CloseOnDrop(Arc<ControlQueue>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}

fn push_once<T: PartialEq>(list: &mut Vec<T>, one: T) {
    if !list.contains(&one) {
        list.push(one);
    }
}

#[cfg(test)]
mod tests;

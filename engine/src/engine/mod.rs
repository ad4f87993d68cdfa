//! The loop: one thread, every socket, one turn after another.
//!
//! A turn is a short sum of named phases, each bounded: look for readiness, take commands, read each
//! ready connection once and carry its bytes all the way to the strategies, keep the time limits.
//! `now` is read once a turn and is the only time that logic sees.

mod commands;
mod links;
mod requests;
#[cfg(test)]
mod tests;
mod worklist;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustls::ClientConfig;
use tickwire_connectors::connector::Counters;
use tickwire_connectors::transmit::{DownReason, Lane, LinkChange, Transmit};
use tickwire_connectors::{Connector, LinkId, Market, Nanos, Outbox, Venue};

use self::worklist::WorkList;
use crate::backoff::BackoffConfig;
use crate::clock::Clock;
use crate::control::{Control, ControlQueue, StrategyId};
use crate::helper::Helper;
use crate::hosts::Hosts;
use crate::http::HttpPool;
use crate::link::Link;
use crate::net::{Counted, Net, Ready, Token};
use crate::notice::{Notices, VenueNotice};
use crate::registry::{LinkState, Registry};
use crate::router::Router;
use crate::telemetry::{LatencyRecorder, LoopCounters};
use crate::wire::ws::OpCode;
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
    pub(crate) helper: Helper,
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
    work: WorkList,
    /// Links that have something to send, or that are to be cut.
    touched: WorkList,
    control: Arc<ControlQueue>,
    registry: Arc<Registry>,
    notices: Arc<Notices>,
    counters: Arc<LoopCounters>,
    turn_times: LatencyRecorder,
    helper: Helper,
    hosts: Hosts,
    backoff: BackoffConfig,
    poll: PollMode,
    seeds: fastrand::Rng,
    /// No deadline is before this.
    next_check: Nanos,
    now: Nanos,
    turns: u64,
    stopping: bool,
    /// Strategies that have ended, whose orders are being cancelled; and until when that is waited for.
    orphans: Vec<(StrategyId, Nanos)>,
    /// A connector has been asked something of an account, and not yet when it is next to be looked at.
    acted: bool,
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
        let hosts = Hosts::new(Arc::clone(&parts.registry), Arc::clone(&parts.counters));
        Loop {
            net: Counted::new(parts.net, Arc::clone(&parts.counters)),
            slots,
            router: parts.router,
            outbox: Outbox::new(),
            body: Vec::with_capacity(32 << 10),
            owners: Vec::new(),
            ready: Vec::with_capacity(1_024),
            work: WorkList::with_capacity(1_024),
            touched: WorkList::with_capacity(64),
            control: parts.control,
            registry: parts.registry,
            notices: parts.notices,
            counters: parts.counters,
            turn_times: parts.turn_times,
            helper: parts.helper,
            hosts,
            backoff: parts.backoff,
            poll: parts.poll,
            seeds: fastrand::Rng::with_seed(parts.seed),
            next_check: Nanos::ZERO,
            now: Nanos::ZERO,
            turns: 0,
            stopping: false,
            orphans: Vec::new(),
            acted: false,
        }
    }

    pub(crate) fn venue_counters(&self) -> Vec<Arc<VenueCounters>> {
        self.slots
            .iter()
            .map(|slot| Arc::clone(&slot.counters))
            .collect()
    }

    /// The network, for who turns the loop by hand.
    #[cfg(feature = "testing")]
    pub(crate) fn net(&mut self) -> &mut N {
        &mut self.net.net
    }

    /// What a strategy's ring has carried and lost.
    #[cfg(feature = "testing")]
    pub(crate) fn ring_stats(&self, strategy: usize) -> Option<crate::ring::RingStats> {
        self.router.ring_stats(strategy)
    }

    /// How many orders of a strategy are under way.
    #[cfg(feature = "testing")]
    pub(crate) fn orders_under_way(&self, strategy: usize) -> usize {
        self.router.orders_of(StrategyId(strategy as u8)).len()
    }

    /// When the loop turns again where nothing happens: at the earliest time limit; soon, where a
    /// ring was full and may have room.
    #[cfg(feature = "testing")]
    pub(crate) fn next_turn(&self) -> Nanos {
        if self.has_work() {
            self.now
        } else if self.router.is_dirty() {
            self.next_deadline()
        } else {
            self.deadline()
        }
    }

    /// Each venue's counters as they stand.
    #[cfg(feature = "testing")]
    pub(crate) fn connector_counters(&self) -> Vec<(Venue, Market, Counters)> {
        let slots = self.slots.iter().map(|slot| &slot.connector);
        let row = |one: &C| (one.venue(), one.market(), one.counters());
        slots.map(row).collect()
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
        self.net.tick(now);
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
            // Orders don't wait for what there is to read.
            self.settle();
            self.note_acted();
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
        self.router.turn(now);
        // What inline strategies have asked for in this turn, on an event or a timer, leaves in this turn.
        if self.control.rung() {
            worked = true;
            self.take_commands();
        }
        if !self.touched.is_empty() {
            worked = true;
            self.settle();
        }
        self.note_acted();
        self.counters.turns.add(1);
        if !worked {
            self.counters.turns_idle.add(1);
        }
        // Who sleeps has no idle turn before it.
        if !worked || matches!(self.poll, PollMode::Park { .. }) {
            self.net.idle();
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
                                    self.touched.push(owner.venue, Part::Link(link));
                                }
                            }
                            _ => self.work.push(owner.venue, part),
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
        self.work.push(venue, part);
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

    /// Reads each connection that may have bytes, once.
    fn read(&mut self) -> bool {
        if self.work.is_empty() {
            return false;
        }
        let before = self.counters.bytes_in.value();
        let work = self.work.take();
        for &(venue, part) in &work {
            let again = match part {
                Part::Link(link) => self.read_link(venue, link),
                Part::Http(connection) => self.read_http(venue, connection),
            };
            // In the next turn: each link has its share of this one.
            if again {
                self.work.push(venue, part);
            }
        }
        self.work.give_back(work);
        self.poll != PollMode::Direct || self.counters.bytes_in.value() != before
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
            for answer in self.outbox.take_answers() {
                self.router.answer(answer);
            }
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
        let mut is_http = false;
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
                Transmit::Text { link, lane } => self.queue(venue, link, lane, OpCode::Text),
                Transmit::Binary { link, lane } => {
                    self.queue(venue, link, lane, OpCode::Binary);
                }
                Transmit::Ping { link } => self.queue(venue, link, Lane::Urgent, OpCode::Ping),
                Transmit::Http(request) => {
                    let body = self.body.clone();
                    slot.pool.submit(*request, body, self.now);
                    is_http = true;
                }
            }
        }
        if is_http {
            self.dispatch_requests(venue);
        }
    }

    /// Hands what a connector has written to a link.
    fn queue(&mut self, venue: usize, link: LinkId, lane: Lane, opcode: OpCode) {
        let index = usize::from(link.0);
        let links = &mut self.slots[venue].links;
        let Some(found) = links.get_mut(index).and_then(Option::as_mut) else {
            self.counters.texts_dropped.add(1);
            return;
        };
        if !found.queue(lane, opcode, &self.body) {
            self.counters.texts_dropped.add(1);
            if found.overflows() {
                found.cut(DownReason::Cut("more is to be sent than the socket takes"));
            }
        }
        self.touched.push(venue, Part::Link(index));
    }

    /// Takes the connector's next time limit into account.
    #[inline]
    fn note_timeout(&mut self, venue: usize) {
        if let Some(at) = self.slots[venue].connector.poll_timeout() {
            self.next_check = self.next_check.min(at);
        }
    }

    /// As [`note_timeout`](Loop::note_timeout), of what has been asked since the last time.
    fn note_acted(&mut self) {
        if core::mem::take(&mut self.acted) {
            for venue in 0..self.slots.len() {
                self.note_timeout(venue);
            }
        }
    }

    /// Fires what is due and finds the next deadline.
    fn check_deadlines(&mut self) {
        let now = self.now;
        self.net.tick(now);
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
        self.counters.ring_full.set(self.router.publish());
        for strategy in self.router.take_gone() {
            self.orphan(strategy);
        }
        for strategy in self.router.take_dead(now) {
            tracing::error!(
                strategy = strategy.index(),
                "it reads nothing: its orders are cancelled"
            );
            self.cancel_orders_of(strategy);
        }
        self.let_orphans_go();
        self.next_check = self.next_deadline();
    }

    fn next_deadline(&self) -> Nanos {
        self.deadline().min(self.now + CHECK_INTERVAL)
    }

    /// The earliest time limit of all.
    fn deadline(&self) -> Nanos {
        let mut next = Nanos::MAX;
        for slot in &self.slots {
            next = next.min(slot.connector.poll_timeout().unwrap_or(Nanos::MAX));
            next = next.min(slot.pool.deadline());
            for link in slot.links.iter().flatten() {
                next = next.min(link.deadline());
            }
        }
        next.min(self.router.next_timer().unwrap_or(Nanos::MAX))
    }

    /// Closes every connection in order; the rings end with it.
    pub(crate) fn shut_down(mut self, now: Nanos) {
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
        self.router.publish();
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

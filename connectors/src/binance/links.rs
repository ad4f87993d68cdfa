//! The connector's links: which stream is on which, what a lost one means, and how one is replaced
//! before it is cut.
//!
//! A link that reaches its age, or whose end the venue announces, gets a successor with the same
//! topics. From then on each of its streams has two carriers; what arrives first counts, by the venue's
//! own numbers. A stream is handed over once the successor has shown that it is in step, one that says
//! nothing after a while on both; the old link goes with its last stream. Where links are paired, the
//! twin is that second carrier at all times, so that a planned cut only loses one of two.

use crate::event::{Reason, StreamState};
use crate::liveness::Liveness;
use crate::outbox::Outbox;
use crate::stream::Times;
use crate::subscriptions::{Overdue, Rules, Subscriptions};
use crate::time::Nanos;
use crate::trading::desk::Seat;
use crate::transmit::{LinkId, LinkSpec, Transmit};
use crate::upkeep::Redundancy;

use super::urls::{ATTEMPT_LIMIT, LINK_AGE_JITTER_NS, LINK_TOPICS_MAX, Route};
use super::{Binance, Kind, Slot};

/// How requests are made. `topics_max` and `bytes_max` keep a request below 4 KiB: longer ones have
/// been answered with "Payload too long" (seen in practice, not documented).
const RULES: Rules = Rules {
    topics_max: LINK_TOPICS_MAX as usize,
    bytes_max: 3_000,
    in_flight_max: 4,
    ack_timeout_ns: Nanos::from_secs(5),
    tries_max: 3,
};

/// The largest frame: a second of changes of a busy book is some 100 KB.
const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// A stream that has said nothing on either link for so long since its ack has nothing to miss.
const SETTLE_NS: Nanos = Nanos::from_secs(3);

/// One link of the connector.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) id: LinkId,
    pub(super) route: Route,
    pub(super) subscriptions: Subscriptions,
    up: bool,
    /// Let go; its number is free again once the engine has said that it is down.
    closing: bool,
    /// A new connection was asked for already.
    reconnecting: bool,
    /// Its other half, where links are paired.
    twin: Option<LinkId>,
    /// The link that it takes the streams of.
    replaces: Option<LinkId>,
    /// The link that takes its streams.
    replaced_by: Option<LinkId>,
    /// When it is to be replaced; [`Nanos::MAX`] for never.
    replace_at: Nanos,
    /// Of a link that replaces another: when to look which streams it has; [`Nanos::MAX`] for never.
    settle_at: Nanos,
    /// After this it has what it has.
    settled_by: Nanos,
    acked_at: Nanos,
}

impl Link {
    fn deadline(&self) -> Nanos {
        let acks = self.subscriptions.poll_timeout().unwrap_or(Nanos::MAX);
        acks.min(self.replace_at).min(self.settle_at)
    }

    /// Whether further topics may be put on it.
    fn is_open(&self) -> bool {
        !self.closing && self.replaced_by.is_none()
    }
}

impl Slot {
    /// The link carries it no longer.
    pub(super) fn drop_carrier(&mut self, link: LinkId) {
        // What is left may lag behind the one that goes.
        self.catching_up |= self.carriers.is_pair();
        self.carriers.remove(link);
        if let Kind::Book(sync) = &mut self.kind {
            sync.lose_feed(link);
        }
    }

    fn add_carrier(&mut self, link: LinkId) {
        self.carriers.add(link);
    }

    /// It goes on over another link, without a break.
    fn hand_over(&mut self, from: LinkId, now: Nanos, out: &mut Outbox) {
        let other = self.carriers.other(from);
        let is_in_step = other.is_some_and(|carrier| carrier.in_step);
        self.drop_carrier(from);
        self.stream.next_epoch();
        self.stream
            .remark(Reason::HandedOver, Times::ours(now), out);
        self.lossy |= !is_in_step;
        self.lose_trades_of(from, now, out);
    }

    /// The link brings no further trades: what another waits for does not come any more.
    fn lose_trades_of(&mut self, link: LinkId, now: Nanos, out: &mut Outbox) {
        self.early.drop_link(link);
        if !self.early.is_empty() {
            self.lossy = true;
            self.flush_trades(now, out);
        }
    }
}

impl Binance {
    /// When a link needs attention; [`Nanos::MAX`] for never.
    #[inline]
    pub(super) fn link_deadline(&self) -> Nanos {
        let deadlines = self.links.iter().map(Link::deadline);
        deadlines.min().unwrap_or(Nanos::MAX)
    }

    pub(super) fn link(&self, id: LinkId) -> Option<&Link> {
        self.links.iter().find(|link| link.id == id)
    }

    pub(super) fn link_mut(&mut self, id: LinkId) -> Option<&mut Link> {
        self.links.iter_mut().find(|link| link.id == id)
    }

    /// Puts a stream on the links that carry its topic already, or on those with room.
    pub(super) fn carry(&mut self, index: usize, route: Route, topic: &str) {
        let mut links = arrayvec::ArrayVec::<LinkId, 2>::new();
        let head = self.topics.find(topic.as_bytes());
        let head = head.and_then(|head| self.slots.get(head)?.as_ref());
        if let Some(head) = head {
            links.extend(head.carriers.iter().map(|carrier| carrier.link));
        } else {
            let first = self.link_for(route);
            links.push(first);
            links.extend(self.link(first).and_then(|link| link.twin));
        }
        let (mut up, mut acked) = (false, [None; 2]);
        for (place, id) in acked.iter_mut().zip(&links) {
            if let Some(link) = self.link_mut(*id) {
                link.subscriptions.want(topic);
                up |= link.up;
                *place = link.subscriptions.has(topic).then_some(*id);
            }
        }
        if let Some(slot) = self.slot_mut(index) {
            for id in links {
                slot.add_carrier(id);
            }
            for id in acked.into_iter().flatten() {
                slot.carriers.note_ack(id);
            }
            if up {
                slot.stream.next_epoch();
            }
        }
    }

    /// A link with room for a topic; opened where there is none.
    fn link_for(&mut self, route: Route) -> LinkId {
        let route = self.urls.route(route);
        let most = usize::from(self.config.link_topics_max);
        let room = self
            .links
            .iter()
            .find(|link| link.route == route && link.is_open() && link.subscriptions.len() < most);
        if let Some(link) = room {
            return link.id;
        }
        let first = self.open(route);
        if self.config.upkeep.redundancy == Redundancy::Pair {
            let second = self.open(route);
            for (id, twin) in [(first, second), (second, first)] {
                if let Some(link) = self.link_mut(id) {
                    link.twin = Some(twin);
                }
            }
        }
        first
    }

    fn open(&mut self, route: Route) -> LinkId {
        let id = (0..=u16::MAX)
            .map(LinkId)
            .find(|id| !self.is_link_of_desk(*id) && self.links.iter().all(|link| link.id != *id));
        // 65,536 links of 200 topics are more than there are stream numbers for.
        let id = id.unwrap_or(LinkId(u16::MAX));
        self.links.push(Link {
            id,
            route,
            subscriptions: Subscriptions::new(RULES),
            up: false,
            closing: false,
            reconnecting: false,
            twin: None,
            replaces: None,
            replaced_by: None,
            replace_at: Nanos::MAX,
            settle_at: Nanos::MAX,
            settled_by: Nanos::MAX,
            acked_at: Nanos::MAX,
        });
        let (endpoint, path) = self.urls.stream(route);
        let spec = Box::new(LinkSpec {
            send_limit: Some(self.rules.send_limit),
            attempt_limit: Some(ATTEMPT_LIMIT),
            silence_max_ns: Some(self.config.silence_max_ns),
            message_bytes_max: MESSAGE_BYTES_MAX,
            ..LinkSpec::new(endpoint, path)
        });
        self.control.push_back(Transmit::Open { link: id, spec });
        id
    }

    /// Lets a link go that no stream needs.
    pub(super) fn close_if_idle(&mut self, id: LinkId) {
        let mut slots = self.slots.iter().flatten();
        if slots.any(|slot| slot.carriers.carries(id)) {
            return;
        }
        let Some(link) = self.link_mut(id).filter(|link| !link.closing) else {
            return;
        };
        link.closing = true;
        link.up = false;
        link.subscriptions.handle_down();
        (link.replace_at, link.settle_at) = (Nanos::MAX, Nanos::MAX);
        let handed_over = link.replaced_by.is_some();
        self.counters.handovers += u64::from(handed_over);
        self.control.push_back(Transmit::Close { link: id });
        for other in &mut self.links {
            if other.replaces == Some(id) {
                (other.replaces, other.settle_at) = (None, Nanos::MAX);
            }
            if other.replaced_by == Some(id) {
                other.replaced_by = None;
            }
            if other.twin == Some(id) {
                other.twin = None;
            }
        }
    }

    pub(super) fn handle_link_up(&mut self, now: Nanos, id: LinkId, out: &mut Outbox) {
        let Some(link) = self.link_mut(id).filter(|link| !link.closing) else {
            return;
        };
        if core::mem::replace(&mut link.up, true) {
            // There was a loss that we were not told of.
            self.lose(now, id, out);
            self.close_if_idle(id);
        }
        let replace_at = self.next_replacement(now);
        let handover_max_ns = self.config.upkeep.handover_max_ns;
        let Some(link) = self.link_mut(id).filter(|link| !link.closing) else {
            return;
        };
        link.up = true;
        link.reconnecting = false;
        link.subscriptions.handle_up();
        link.replace_at = replace_at;
        if link.replaces.is_some() {
            link.settle_at = now + SETTLE_NS;
            link.settled_by = now + handover_max_ns;
        }
        let Binance { slots, links, .. } = self;
        let of_link = slots.iter_mut().flatten();
        for slot in of_link.filter(|slot| slot.carriers.carries(id)) {
            let is_up = |id: LinkId| links.iter().any(|link| link.id == id && link.up);
            let other = slot.carriers.other(id);
            if !other.is_some_and(|carrier| is_up(carrier.link)) {
                slot.stream.next_epoch();
                slot.start_over();
            }
        }
    }

    fn next_replacement(&mut self, now: Nanos) -> Nanos {
        let Some(age) = self.config.upkeep.link_age_max_ns else {
            return Nanos::MAX;
        };
        let jitter = LINK_AGE_JITTER_NS.0.min(age.0 / 16).max(0);
        now + age - Nanos(self.rng.i64(0..=jitter))
    }

    pub(super) fn handle_link_down(&mut self, now: Nanos, id: LinkId, out: &mut Outbox) {
        let Some(link) = self.link_mut(id) else {
            return;
        };
        if link.closing {
            self.links.retain(|link| link.id != id);
            return;
        }
        link.up = false;
        link.reconnecting = false;
        self.lose(now, id, out);
        // A link that was to be cut anyway is not made anew.
        self.close_if_idle(id);
    }

    /// A connection was lost. Streams that another link carries go on; the others say so.
    fn lose(&mut self, now: Nanos, id: LinkId, out: &mut Outbox) {
        let Some(link) = self.link_mut(id) else {
            return;
        };
        link.subscriptions.handle_down();
        (link.replace_at, link.settle_at) = (Nanos::MAX, Nanos::MAX);
        let successor = link.replaced_by;
        let times = Times::ours(now);
        let Binance { slots, links, .. } = self;
        let is_up = |id: LinkId| links.iter().any(|link| link.id == id && link.up);
        for slot in slots.iter_mut().flatten() {
            if !slot.carriers.carries(id) {
                continue;
            }
            slot.carriers.note_lost(id);
            let other = slot.carriers.other(id).copied();
            let other = other.filter(|carrier| is_up(carrier.link));
            let is_safe = other.is_some_and(|carrier| carrier.acked);
            if is_safe && successor.is_some() {
                slot.hand_over(id, now, out);
            } else if is_safe {
                if let Kind::Book(sync) = &mut slot.kind {
                    sync.lose_feed(id);
                }
                slot.lose_trades_of(id, now, out);
            } else {
                slot.stream
                    .change(StreamState::Stale, Reason::LinkDown, None, times, out);
                slot.start_over();
                if successor.is_some() {
                    slot.drop_carrier(id);
                }
                if other.is_some() {
                    slot.stream.next_epoch();
                }
            }
        }
    }

    /// Asks for a new connection, once.
    pub(super) fn reconnect(&mut self, id: LinkId, why: &'static str) {
        let Some(link) = self.link_mut(id) else {
            return;
        };
        if link.up && !link.reconnecting && !link.closing {
            link.reconnecting = true;
            self.control
                .push_back(Transmit::Reconnect { link: id, why });
        }
    }

    /// A link will be cut, or is not to be trusted: makes another before it is let go.
    pub(super) fn replace(&mut self, now: Nanos, id: LinkId, why: &'static str) {
        let handover_max_ns = self.config.upkeep.handover_max_ns;
        let Some(link) = self.link_mut(id) else {
            return;
        };
        link.replace_at = Nanos::MAX;
        if !link.up || link.closing || link.replaced_by.is_some() {
            return;
        }
        if let Some(twin) = link.twin {
            // The twin carries on: one of two is enough while it is whole, and only then.
            if self.is_whole(twin) {
                self.reconnect(id, why);
            } else {
                self.replace_by(id, now + handover_max_ns);
            }
            return;
        }
        if link.replaces.is_some() {
            // When it has all that it was made for.
            link.replace_at = now + handover_max_ns;
            return;
        }
        let route = link.route;
        let topics: Vec<Box<str>> = link.subscriptions.wanted().map(Into::into).collect();
        let next = self.open(route);
        if let Some(link) = self.link_mut(id) {
            link.replaced_by = Some(next);
        }
        if let Some(link) = self.link_mut(next) {
            link.replaces = Some(id);
            for topic in topics {
                link.subscriptions.want(&topic);
            }
        }
        for slot in self.slots.iter_mut().flatten() {
            if slot.carriers.carries(id) {
                slot.add_carrier(next);
            }
        }
    }

    fn replace_by(&mut self, id: LinkId, at: Nanos) {
        if let Some(link) = self.link_mut(id) {
            link.replace_at = at;
        }
    }

    /// Whether a link is up and has all its streams.
    fn is_whole(&self, id: LinkId) -> bool {
        let link = self.link(id).filter(|link| link.up && !link.reconnecting);
        let mut slots = self.slots.iter().flatten();
        let acked = |slot: &Slot| slot.carriers.get(id).is_none_or(|carrier| carrier.acked);
        link.is_some() && slots.all(acked)
    }

    /// A carrier has shown that it is in step with the stream: if it was made to replace another, that
    /// one is not needed for the stream any more.
    #[cold]
    pub(super) fn note_in_step(&mut self, now: Nanos, index: usize, id: LinkId, out: &mut Outbox) {
        let replaces = self.link(id).and_then(|link| link.replaces);
        let Some(slot) = self.slot_mut(index) else {
            return;
        };
        slot.carriers.note_in_step(id);
        if let Some(old) = replaces
            && slot.carriers.carries(old)
        {
            slot.hand_over(old, now, out);
            self.close_if_idle(old);
        }
    }

    /// The venue has acked topics on a link.
    pub(super) fn note_acks(&mut self, now: Nanos, id: LinkId, topics: &[Box<str>]) {
        if let Some(link) = self.link_mut(id) {
            link.acked_at = now;
        }
        for topic in topics {
            let of_topic: Vec<usize> = self.chain(topic).collect();
            for index in of_topic {
                let Some(slot) = self.slot_mut(index) else {
                    continue;
                };
                slot.carriers.note_ack(id);
                // One that was given up with its link begins anew on the next.
                if slot.watch.liveness() == Liveness::Dead {
                    slot.watch.stop();
                }
                slot.watch.start(now);
                self.rearm(index);
            }
        }
    }

    pub(super) fn handle_link_timers(&mut self, now: Nanos, out: &mut Outbox) {
        self.handle_overdue_acks(now);
        for index in 0..self.links.len() {
            let Some(link) = self.links.get(index) else {
                return;
            };
            let (id, settle_at) = (link.id, link.settle_at);
            if link.replace_at <= now {
                self.replace(now, id, "its time is over");
            }
            if settle_at <= now {
                self.settle(now, id, out);
            }
        }
    }

    /// Hands over the streams that have been silent since they were acked on their new link; after
    /// the longest time all of those that were acked.
    fn settle(&mut self, now: Nanos, id: LinkId, out: &mut Outbox) {
        let Some(link) = self.link_mut(id) else {
            return;
        };
        link.settle_at = now + SETTLE_NS;
        let (acked_at, at_last) = (link.acked_at, now >= link.settled_by);
        let Some(old) = link.replaces else {
            link.settle_at = Nanos::MAX;
            return;
        };
        for slot in self.slots.iter_mut().flatten() {
            let acked = slot.carriers.get(id).is_some_and(|carrier| carrier.acked);
            let is_silent = slot.watch.heard_at() <= acked_at && acked_at + SETTLE_NS <= now;
            if acked && slot.carriers.carries(old) && (is_silent || at_last) {
                slot.hand_over(old, now, out);
            }
        }
        self.close_if_idle(old);
    }

    /// Requests without an ack.
    fn handle_overdue_acks(&mut self, now: Nanos) {
        let mut mute = Vec::new();
        for link in &mut self.links {
            let due = link
                .subscriptions
                .poll_timeout()
                .is_some_and(|at| at <= now);
            if due && link.subscriptions.handle_timeout(now) == Overdue::LinkIsMute {
                mute.push(link.id);
            }
        }
        for id in mute {
            self.reconnect(id, "no answer to subscribe requests");
        }
    }
}

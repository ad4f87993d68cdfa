//! Links: their requests and heartbeat, and how a stream goes on where a link ends.
//!
//! **No acks.** A request counts as taken once it is sent; that it was shows in the `book` of each token.
//!
//! **Hand-over.** A link that grows too old is replaced before it stalls: a second one is made and asked
//! for the same tokens. Without numbers nothing joins the changes of the one to those of the other, so
//! the new link's `book` is the join: it is taken whole once it is not behind what the old link has told
//! (by the venue's time; until then the new link's changes are kept with it), and from then on the
//! stream is on the new link alone. Trades are on both until what the old link may still have under way
//! has come.
//!
//! **The silent stall.** A link may bring nothing though its pongs come. Where it carries so many
//! tokens that some of them must have changed, it is made anew; where it carries few, each is probed.

use super::Polymarket;
use super::subscribe::{PING, write_request};
use super::sync::Entry;
use super::urls::{self, Urls};
use crate::outbox::Outbox;
use crate::subscriptions::{Op, Subscriptions};
use crate::time::Nanos;
use crate::transmit::{Lane, LinkId, Transmit};

/// What two links of the venue are apart at most: after this, what came on one would have come on
/// the other.
pub(super) const LAG_NS: Nanos = Nanos::from_secs(3);

/// How long a stream that has changed links keeps in mind what came on the old one.
pub(super) const LAG_KEPT_NS: Nanos = Nanos::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LinkState {
    /// The engine has not been told of it.
    New,
    /// The engine makes it.
    Connecting,
    Up,
}

/// One WebSocket link with its subscriptions and its heartbeat.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) id: LinkId,
    subscriptions: Subscriptions,
    state: LinkState,
    /// Tokens that streams want.
    topics: usize,
    /// Whether the message that says what the connection is for has been sent: the venue closes one
    /// that pings before (observed, code 1008).
    has_begun: bool,
    ping_at: Nanos,
    ping_due: bool,
    pong_until: Option<Nanos>,
    cut: Option<&'static str>,
    /// Whether any data has come on this connection.
    has_heard: bool,
    /// When the last data came, and when it is looked at again.
    heard_at: Nanos,
    stall_at: Nanos,
    /// The link that takes over from this one.
    pub(super) successor: Option<LinkId>,
    /// When it is too old, or, once it is being replaced, when what is left on it is moved.
    retire_at: Nanos,
}

/// Whether a link is still needed once its output is taken.
#[derive(Debug)]
pub(super) enum LinkOutput {
    /// Nothing to do now.
    Nothing,
    /// This is to be done.
    Do(Transmit),
    /// This is to be done, and then these tokens have been asked for.
    Asked(Transmit, Vec<String>),
    /// It is no longer wanted: this is to be done, if anything, and the link forgotten.
    Forget(Option<Transmit>),
}

impl Link {
    pub(super) fn new(id: LinkId) -> Link {
        Link {
            id,
            subscriptions: Subscriptions::new(urls::RULES),
            state: LinkState::New,
            topics: 0,
            has_begun: false,
            ping_at: Nanos::MAX,
            ping_due: false,
            pong_until: None,
            cut: None,
            has_heard: false,
            heard_at: Nanos::ZERO,
            stall_at: Nanos::MAX,
            successor: None,
            retire_at: Nanos::MAX,
        }
    }

    /// Whether there is room for one more token.
    pub(super) fn has_room(&self, topics_max: usize) -> bool {
        self.subscriptions.len() < topics_max
    }

    pub(super) fn is_up(&self) -> bool {
        self.state == LinkState::Up
    }

    /// A stream wants a token that none wanted.
    pub(super) fn add(&mut self, topic: &str) {
        self.topics += 1;
        // Where the venue still has it from before, only a renewal brings its book.
        self.subscriptions.renew(topic);
    }

    /// No stream wants the token any more.
    pub(super) fn remove(&mut self, topic: &str) {
        self.topics = self.topics.saturating_sub(1);
        self.subscriptions.unwant(topic);
    }

    /// A fresh book of the token is needed.
    pub(super) fn renew(&mut self, topic: &str) {
        self.subscriptions.renew(topic);
    }

    /// Data has come.
    #[inline]
    pub(super) fn hear(&mut self, now: Nanos) {
        self.has_heard = true;
        self.heard_at = now;
    }

    fn handle_up(&mut self, now: Nanos, retire_at: Nanos, stall_max_ns: Nanos) {
        self.subscriptions.handle_up();
        self.state = LinkState::Up;
        self.retire_at = retire_at;
        self.heard_at = now;
        self.stall_at = now + stall_max_ns;
        self.quiet();
    }

    fn handle_down(&mut self) {
        self.subscriptions.handle_down();
        if self.state == LinkState::Up {
            self.state = LinkState::Connecting;
        }
        self.quiet();
    }

    fn quiet(&mut self) {
        self.has_begun = false;
        self.has_heard = false;
        self.ping_at = Nanos::MAX;
        self.ping_due = false;
        self.pong_until = None;
        self.cut = None;
    }

    /// Cuts the link; what it carried is to be told by the caller.
    pub(super) fn cut(&mut self, why: &'static str) {
        if self.is_up() {
            self.handle_down();
            self.cut = Some(why);
        }
    }

    /// The answer to a ping: the venue's end of the connection lives.
    pub(super) fn handle_pong(&mut self) {
        self.pong_until = None;
    }

    /// True where the link has been found dead: it is cut, and what it carried is stale.
    fn handle_timeout(&mut self, now: Nanos, urls: &Urls) -> bool {
        if self.state != LinkState::Up {
            return false;
        }
        if self.pong_until.is_some_and(|until| until <= now) {
            self.cut("no pong");
            return true;
        }
        if self.stall_at <= now {
            let silent_until = self.heard_at + urls.stall_max_ns;
            if silent_until > now {
                self.stall_at = silent_until;
            } else if !self.has_heard {
                // Each token asked for should have brought its book.
                self.cut("no data since it came up");
                return true;
            } else if self.topics >= urls::STALL_ASSETS_MIN {
                self.cut("no data of many tokens");
                return true;
            } else {
                // Few tokens: each is watched by itself.
                self.stall_at = now + urls.stall_max_ns;
            }
        }
        if self.ping_at <= now {
            self.ping_at = now + urls.ping_interval_ns;
            self.ping_due = true;
        }
        false
    }

    pub(super) fn poll_timeout(&self) -> Option<Nanos> {
        if self.state != LinkState::Up {
            return None;
        }
        let always = [self.ping_at, self.retire_at, self.stall_at];
        self.pong_until.into_iter().chain(always).min()
    }

    #[inline]
    pub(super) fn has_transmit(&self) -> bool {
        self.topics == 0
            || self.state == LinkState::New
            || self.cut.is_some()
            || self.ping_due
            || self.subscriptions.has_request()
    }

    pub(super) fn poll(&mut self, now: Nanos, urls: &Urls, body: &mut Vec<u8>) -> LinkOutput {
        let link = self.id;
        if self.topics == 0 {
            let known = self.state != LinkState::New;
            return LinkOutput::Forget(known.then_some(Transmit::Close { link }));
        }
        if self.state == LinkState::New {
            self.state = LinkState::Connecting;
            let spec = Box::new(urls.link());
            return LinkOutput::Do(Transmit::Open { link, spec });
        }
        if let Some(why) = self.cut.take() {
            return LinkOutput::Do(Transmit::Reconnect { link, why });
        }
        if core::mem::take(&mut self.ping_due) {
            self.pong_until.get_or_insert(now + urls::PONG_TIMEOUT);
            body.extend_from_slice(PING);
            let lane = Lane::Urgent;
            return LinkOutput::Do(Transmit::Text { link, lane });
        }
        let Some(request) = self.subscriptions.next_request(now) else {
            return LinkOutput::Nothing;
        };
        let is_first = !core::mem::replace(&mut self.has_begun, true);
        if is_first {
            self.ping_at = now + urls.ping_interval_ns;
        }
        let topics = self.subscriptions.topics_of(request.id);
        write_request(body, is_first, request.op, topics);
        let asked = match request.op {
            Op::Subscribe => self
                .subscriptions
                .topics_of(request.id)
                .map(str::to_owned)
                .collect(),
            Op::Unsubscribe => Vec::new(),
        };
        self.subscriptions.handle_ack(request.id);
        let lane = Lane::Normal;
        LinkOutput::Asked(Transmit::Text { link, lane }, asked)
    }
}

impl Polymarket {
    pub(super) fn link(&self, id: LinkId) -> Option<&Link> {
        self.links.iter().find(|link| link.id == id)
    }

    pub(super) fn link_mut(&mut self, id: LinkId) -> Option<&mut Link> {
        self.links.iter_mut().find(|link| link.id == id)
    }

    /// The link for a new token: the first with room, or a further one.
    pub(super) fn link_for_topic(&mut self) -> LinkId {
        let most = usize::from(self.assets_per_link_max);
        let room = |link: &&Link| link.successor.is_none() && link.has_room(most);
        let known = self.links.iter().find(room).map(|link| link.id);
        known.unwrap_or_else(|| self.open_link())
    }

    /// A link under the lowest number that is free. The number of a closed link is free once its end
    /// has been told: until then, what is said of it concerns no other.
    fn open_link(&mut self) -> LinkId {
        let id = self.free_link_id();
        self.links.push(Link::new(id));
        id
    }

    /// The lowest number that no link has.
    pub(super) fn free_link_id(&self) -> LinkId {
        let user = self.user.link();
        let taken = |id: LinkId| {
            user == Some(id)
                || self.is_link_of_desk(id)
                || self.closing.contains(&id)
                || self.links.iter().any(|link| link.id == id)
        };
        let id = (0..=u16::MAX).map(LinkId).find(|id| !taken(*id));
        id.unwrap_or(LinkId(u16::MAX))
    }

    /// The routes that a link carries.
    pub(super) fn routes_on(&self, link: LinkId) -> Vec<usize> {
        let carries = |route: &usize| {
            let known = self.routes.get(*route);
            known.is_some_and(|route| route.carriers.carries(link))
        };
        (0..self.routes.len()).filter(carries).collect()
    }

    /// Calls `act` for each stream of a route, with where its events go.
    pub(super) fn each_entry(
        &mut self,
        route: usize,
        out: &mut Outbox,
        mut act: impl FnMut(&mut Entry, &mut Outbox),
    ) {
        let mut number = 0;
        while let Some(slot) = self.routes.entry(route, number) {
            number += 1;
            if let Some(entry) = self.entries.get_mut(slot).and_then(Option::as_mut) {
                act(entry, out);
                self.timers.arm(slot, entry.deadline());
            }
        }
    }

    pub(super) fn handle_link_up(&mut self, now: Nanos, link: LinkId, out: &mut Outbox) {
        if self.link(link).is_some_and(Link::is_up) {
            // Its end was not told.
            self.handle_link_down(now, link, out);
        }
        let age_max = self.upkeep.link_age_max_ns;
        let retire_at = age_max.map_or(Nanos::MAX, |age| {
            // So that links which came up together are not all replaced at once.
            now + Nanos(age.0 - self.rng.i64(0..=age.0.max(0) / 16))
        });
        let stall_max_ns = self.urls.stall_max_ns;
        if let Some(known) = self.link_mut(link) {
            let retiring = known.successor.is_some();
            let retire_at = if retiring { known.retire_at } else { retire_at };
            known.handle_up(now, retire_at, stall_max_ns);
        }
        for route in self.routes_on(link) {
            self.each_entry(route, out, |entry, _| entry.handle_link_up());
        }
    }

    /// The link's connection is gone: what only it carried is stale.
    pub(super) fn handle_link_down(&mut self, now: Nanos, link: LinkId, out: &mut Outbox) {
        let Some(known) = self.link_mut(link) else {
            return;
        };
        known.handle_down();
        self.handle_link_lost(now, link, out);
    }

    pub(super) fn handle_link_lost(&mut self, now: Nanos, link: LinkId, out: &mut Outbox) {
        let successor = self.link(link).and_then(|link| link.successor);
        for route in self.routes_on(link) {
            let Some(known) = self.routes.get_mut(route) else {
                continue;
            };
            known.carriers.note_lost(link);
            let other = known.carriers.iter().find(|one| one.link != link).copied();
            let (topic, other) = (known.topic, other.filter(|other| other.acked));
            let slots = known.entries.clone();
            let entries = slots
                .iter()
                .filter_map(|slot| self.entries.get(*slot)?.as_ref());
            let safe = other.is_some_and(|other| {
                let mut entries = entries;
                entries.all(|entry| entry.goes_on_with(other.link))
            });
            match other {
                Some(other) if safe => {
                    self.each_entry(route, out, |entry, out| entry.lead(other.link, now, out));
                }
                _ => {
                    self.each_entry(route, out, |entry, out| entry.handle_link_down(now, out));
                    // Its snapshot was not needed when it came.
                    if let Some(other) = other.and_then(|other| self.link_mut(other.link)) {
                        other.renew(&topic);
                    }
                }
            }
            if successor.is_some() {
                self.drop_carrier(now, route, link, safe, out);
            }
        }
    }

    /// The link sends what follows on what the route's streams have.
    pub(super) fn note_in_step(
        &mut self,
        now: Nanos,
        route: usize,
        link: LinkId,
        out: &mut Outbox,
    ) {
        let Some(known) = self.routes.get_mut(route) else {
            return;
        };
        known.carriers.note_in_step(link);
        let mut entries = known.entries.iter();
        let entries_of = &self.entries;
        let shows_step = entries.all(|slot| {
            let entry = entries_of.get(*slot).and_then(Option::as_ref);
            entry.is_none_or(|entry| entry.shows_step() && entry.is_on(link))
        });
        if !shows_step {
            return;
        }
        let mut others = known.carriers.iter().map(|carrier| carrier.link);
        let other = others.find(|other| *other != link);
        drop(others);
        let Some(other) = other else {
            return;
        };
        if self
            .link(other)
            .is_some_and(|old| old.successor == Some(link))
        {
            self.drop_carrier(now, route, other, true, out);
            self.rearm();
        }
    }

    /// Another link carries the route from here on.
    fn drop_carrier(
        &mut self,
        now: Nanos,
        route: usize,
        old: LinkId,
        seamless: bool,
        out: &mut Outbox,
    ) {
        let Some(known) = self.routes.get_mut(route) else {
            return;
        };
        known.carriers.remove(old);
        let (topic, other) = (known.topic, known.carriers.first());
        if let Some(old) = self.link_mut(old) {
            old.remove(&topic);
            let done = old.topics == 0;
            self.counters.handovers += u64::from(done);
        }
        let Some(other) = other else {
            return;
        };
        self.each_entry(route, out, |entry, out| {
            entry.lead(other, now, out);
            entry.end_pair(now);
            if seamless {
                entry.handle_handover(now, out);
            }
        });
    }

    /// The book of a token has come by a link: the venue has heard that it is wanted there.
    pub(super) fn handle_topic_acked(
        &mut self,
        now: Nanos,
        link: LinkId,
        route: usize,
        in_step: bool,
        out: &mut Outbox,
    ) {
        let Some(known) = self.routes.get_mut(route) else {
            return;
        };
        let is_first = known.carriers.get(link).is_some_and(|one| !one.acked);
        known.carriers.note_ack(link);
        if in_step {
            self.note_in_step(now, route, link, out);
        }
        if is_first {
            self.each_entry(route, out, |entry, _| entry.watch.start(now));
            // What can't show that it is in step moves once all that came before has come.
            let mut links = self.links.iter_mut();
            if let Some(old) = links.find(|old| old.successor == Some(link)) {
                old.retire_at = old.retire_at.min(now + LAG_NS);
                self.rearm();
            }
        }
    }

    /// The timers of links.
    pub(super) fn handle_link_timeouts(&mut self, now: Nanos, out: &mut Outbox) {
        // By index: a list of them would be an allocation each time.
        for index in 0..self.links.len() {
            let Some(link) = self.links.get_mut(index) else {
                return;
            };
            let id = link.id;
            if link.handle_timeout(now, &self.urls) {
                self.handle_link_lost(now, id, out);
            } else if link.is_up() && link.retire_at <= now {
                self.retire(now, id, out);
            }
        }
    }

    /// A link is too old, or is being replaced and may be done.
    fn retire(&mut self, now: Nanos, id: LinkId, out: &mut Outbox) {
        let Some(link) = self.link(id) else {
            return;
        };
        match link.successor {
            Some(successor) => self.move_rest(now, id, successor, out),
            None => self.replace(now, id),
        }
    }

    /// Makes the link that takes over from another.
    fn replace(&mut self, now: Nanos, old: LinkId) {
        let again = now + self.upkeep.handover_max_ns;
        // One that takes over itself is not in use yet.
        let busy = self.links.iter().any(|link| link.successor == Some(old));
        if let Some(link) = self.link_mut(old) {
            link.retire_at = again;
        }
        if busy {
            return;
        }
        let new = self.open_link();
        for route in self.routes_on(old) {
            let Some(known) = self.routes.get_mut(route) else {
                continue;
            };
            if !known.carriers.add(new) {
                continue;
            }
            let topic = known.topic;
            if let Some(link) = self.link_mut(new) {
                link.add(&topic);
            }
            let mut number = 0;
            while let Some(slot) = self.routes.entry(route, number) {
                number += 1;
                if let Some(entry) = self.entries.get_mut(slot).and_then(Option::as_mut) {
                    entry.begin_pair(old);
                }
            }
        }
        if let Some(link) = self.link_mut(old) {
            link.successor = Some(new);
        }
    }

    /// What has all it needs on the new link goes there. What has not stays where it is, to the old
    /// link's end.
    fn move_rest(&mut self, now: Nanos, old: LinkId, new: LinkId, out: &mut Outbox) {
        let again = now + self.upkeep.handover_max_ns;
        if let Some(link) = self.link_mut(old) {
            link.retire_at = again;
        }
        for route in self.routes_on(old) {
            let Some(known) = self.routes.get(route) else {
                continue;
            };
            let acked = known.carriers.get(new).is_some_and(|carrier| carrier.acked);
            let mut entries = known.entries.iter();
            let whole = entries.all(|slot| {
                let entry = self.entries.get(*slot).and_then(Option::as_ref);
                entry.is_none_or(|entry| entry.goes_on_with(new))
            });
            if acked && whole {
                self.drop_carrier(now, route, old, true, out);
            }
        }
    }
}

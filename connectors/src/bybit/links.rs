//! Links: their requests and heartbeat, and how a stream goes on where a link ends.
//!
//! **Hand-over.** A link that grows too old is replaced before it is cut: a second one is made, the
//! same topics are asked for on it, and each topic is dropped from the old one once the new one is in
//! step ([`Carriers`](crate::carriers::Carriers)); what that is stands in [`pair`](super::pair). Topics
//! without a first message that stay silent go by their ack, once the old link has answered a ping of
//! after it.
//!
//! **Pairs.** With [`Redundancy::Pair`] links come in twos with the same topics, for good.
//!
//! **Numbers.** That `u` is the same on all connections is not promised; it was so on one relay. So
//! updates of one link go on where the other's end only after one update has come by both under the
//! same `u` and the same `seq` ([`Numbering`](crate::numbering::Numbering)). Where two updates come
//! under one `u`, the book follows one link alone, the hand-over goes by the new link's snapshot, and
//! `Counters::unalike` counts it.

use super::subscribe::{Refusal, refusal, write_ping, write_request};
use super::sync::{Entry, Phase};
use super::tape::{Answer, AnswerOp};
use super::urls::{self, Urls};
use super::{Bybit, sink};
use crate::instrument::Market;
use crate::outbox::Outbox;
use crate::subscriptions::{Op, Overdue, Subscriptions};
use crate::time::Nanos;
use crate::transmit::{Lane, LinkId, Transmit};
use crate::upkeep::Redundancy;

/// What two links of the venue are apart at most: after this, what came on one would have come on
/// the other.
pub(super) const LAG_NS: Nanos = Nanos::from_secs(3);

/// The wait before a link of a pair that can't be spared yet is looked at again.
const SPARE_AGAIN_NS: Nanos = Nanos::from_secs(5);

/// What a link's answer meant.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Topics that the venue has now.
    pub(super) had: Vec<String>,
    /// Topics that the venue refused for good.
    pub(super) refused: Vec<String>,
    /// Whether it refused them because it does not know them.
    pub(super) unknown: bool,
}

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
    /// Topics that streams want.
    topics: usize,
    ping_at: Nanos,
    ping_due: bool,
    /// Pings sent, and pongs that have come: the venue answers in order.
    pings: u32,
    pongs: u32,
    /// The ping whose pong shows that all is in that the link had when its successor's topics were
    /// acked, where one was asked for since.
    proof: Option<u32>,
    pong_until: Option<Nanos>,
    cut: Option<&'static str>,
    /// Requests that were given up and whose ack may still come, where acks carry no id: subscribes
    /// and unsubscribes.
    owed: [u32; 2],
    /// The other of a pair.
    pub(super) mate: Option<LinkId>,
    /// The link that takes over from this one.
    pub(super) successor: Option<LinkId>,
    /// When it is too old, or, once it is being replaced, when what is silent is moved.
    retire_at: Nanos,
}

/// Whether a link is still needed once its output is taken.
#[derive(Debug)]
pub(super) enum LinkOutput {
    /// Nothing to do now.
    Nothing,
    /// This is to be done.
    Do(Transmit),
    /// It is no longer wanted: this is to be done, if anything, and the link forgotten.
    Forget(Option<Transmit>),
}

impl Link {
    pub(super) fn new(id: LinkId, market: Market) -> Link {
        Link {
            id,
            subscriptions: Subscriptions::new(urls::rules(market)),
            state: LinkState::New,
            topics: 0,
            ping_at: Nanos::MAX,
            ping_due: false,
            pings: 0,
            pongs: 0,
            proof: None,
            pong_until: None,
            cut: None,
            owed: [0; 2],
            mate: None,
            successor: None,
            retire_at: Nanos::MAX,
        }
    }

    /// Whether the venue's limit on a connection, and ours, leave room for one more topic.
    pub(super) fn has_room(&self, topic: &str, topics_max: usize) -> bool {
        let count = self.subscriptions.len();
        let extra = (count + 1) * urls::ARG_EXTRA_CHARS;
        count < topics_max
            && self.subscriptions.name_bytes() + topic.len() + extra <= urls::ARGS_CHARS_MAX
    }

    pub(super) fn is_up(&self) -> bool {
        self.state == LinkState::Up
    }

    /// A stream wants a topic that none wanted.
    pub(super) fn add(&mut self, topic: &str) {
        self.topics += 1;
        // Where the venue still has it from before, only a renewal brings its snapshot.
        self.subscriptions.renew(topic);
    }

    /// No stream wants the topic any more.
    pub(super) fn remove(&mut self, topic: &str) {
        self.topics = self.topics.saturating_sub(1);
        self.subscriptions.unwant(topic);
    }

    /// A fresh snapshot of the topic is needed.
    pub(super) fn renew(&mut self, topic: &str) {
        self.subscriptions.renew(topic);
    }

    fn handle_up(&mut self, now: Nanos, retire_at: Nanos) {
        self.subscriptions.handle_up();
        self.state = LinkState::Up;
        self.retire_at = retire_at;
        self.ping_at = now + urls::PING_INTERVAL;
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
        self.ping_due = false;
        (self.pings, self.pongs, self.proof) = (0, 0, None);
        self.pong_until = None;
        self.cut = None;
        self.owed = [0; 2];
    }

    /// Cuts the link; what it carried is to be told by the caller.
    pub(super) fn cut(&mut self, why: &'static str) {
        if self.is_up() {
            self.handle_down();
            self.cut = Some(why);
        }
    }

    /// Any answer to a ping shows that the link lives.
    pub(super) fn handle_pong(&mut self) {
        self.pongs = self.pongs.wrapping_add(1);
        self.pong_until = None;
    }

    /// Whether all is in that it had when its successor's topics were acked: it has answered a ping
    /// of after that, which is sent at the first question.
    fn is_proven(&mut self) -> bool {
        match self.proof {
            Some(ping) => self.pongs >= ping,
            None => {
                self.ping_due = true;
                self.proof = Some(self.pings.wrapping_add(1));
                false
            }
        }
    }

    /// An ack or a refusal. Linear acks carry an empty `req_id`: they answer the request that waits,
    /// or one before it that was given up, as the venue answers in order.
    pub(super) fn handle_answer(&mut self, answer: &Answer) -> Outcome {
        let mut outcome = Outcome::default();
        if answer.success && answer.id.is_none() && self.is_owed(answer.op) {
            return outcome;
        }
        let Some(waiting) = self.subscriptions.oldest() else {
            return outcome;
        };
        let op = match waiting.op {
            Op::Subscribe => AnswerOp::Subscribe,
            Op::Unsubscribe => AnswerOp::Unsubscribe,
        };
        let mine = answer.id.is_none_or(|id| id == waiting.id);
        if !mine || (answer.op != op && answer.op != AnswerOp::Unknown) {
            return outcome;
        }
        if answer.success {
            if waiting.op == Op::Subscribe {
                let topics = self.subscriptions.topics_of(waiting.id);
                outcome.had = topics.map(str::to_owned).collect();
            }
            self.subscriptions.handle_ack(waiting.id);
            return outcome;
        }
        let refusal = refusal(&answer.text);
        if let Refusal::Had(topic) | Refusal::Unknown(topic) | Refusal::Other(Some(topic)) = refusal
            && answer.id.is_none()
            && !self
                .subscriptions
                .topics_of(waiting.id)
                .any(|one| one == topic)
        {
            // Late, and about a request that was given up: the one that waits has not been refused.
            return outcome;
        }
        let named = match refusal {
            // As if it had not been heard: asked again when its time is over.
            Refusal::Later => return outcome,
            Refusal::Had(topic) if self.subscriptions.handle_had(waiting.id, topic) => {
                outcome.had.push(topic.to_owned());
                return outcome;
            }
            Refusal::Unknown(topic) | Refusal::Had(topic) => Some(topic),
            Refusal::Other(topic) => topic,
        };
        outcome.unknown = matches!(refusal, Refusal::Unknown(_));
        self.subscriptions
            .handle_refusal(waiting.id, named, |topic| {
                outcome.refused.push(topic.to_owned());
            });
        outcome
    }

    /// Whether a success without an id is the late answer to a request that was given up.
    fn is_owed(&mut self, op: AnswerOp) -> bool {
        let [subscribes, unsubscribes] = &mut self.owed;
        let owed = match op {
            AnswerOp::Subscribe => subscribes,
            AnswerOp::Unsubscribe => unsubscribes,
            _ => return false,
        };
        let late = *owed > 0;
        *owed = owed.saturating_sub(1);
        late
    }

    /// True where the link has been found dead: it is cut, and what it carried is stale.
    fn handle_timeout(&mut self, now: Nanos) -> bool {
        if self.state != LinkState::Up {
            return false;
        }
        let waiting = self.subscriptions.oldest();
        let overdue = self.subscriptions.handle_timeout(now);
        if let (Some(request), None) = (waiting, self.subscriptions.oldest()) {
            let [subscribes, unsubscribes] = &mut self.owed;
            match request.op {
                Op::Subscribe => *subscribes += 1,
                Op::Unsubscribe => *unsubscribes += 1,
            }
        }
        if self.pong_until.is_some_and(|until| until <= now) {
            self.cut("no pong");
        } else if overdue == Overdue::LinkIsMute {
            self.cut("no ack");
        } else {
            if self.ping_at <= now {
                self.ping_at = now + urls::PING_INTERVAL;
                self.ping_due = true;
            }
            return false;
        }
        true
    }

    pub(super) fn poll_timeout(&self) -> Option<Nanos> {
        if self.state != LinkState::Up {
            return None;
        }
        let others = [self.pong_until, self.subscriptions.poll_timeout()];
        let always = [self.ping_at, self.retire_at];
        others.into_iter().flatten().chain(always).min()
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
            self.pings = self.pings.wrapping_add(1);
            self.pong_until.get_or_insert(now + urls::PONG_TIMEOUT);
            write_ping(body, self.pings);
            let lane = Lane::Urgent;
            return LinkOutput::Do(Transmit::Text { link, lane });
        }
        let Some(request) = self.subscriptions.next_request(now) else {
            return LinkOutput::Nothing;
        };
        let topics = self.subscriptions.topics_of(request.id);
        write_request(body, request.id, request.op, topics);
        let lane = Lane::Normal;
        LinkOutput::Do(Transmit::Text { link, lane })
    }
}

impl Bybit {
    pub(super) fn link(&self, id: LinkId) -> Option<&Link> {
        self.links.iter().find(|link| link.id == id)
    }

    pub(super) fn link_mut(&mut self, id: LinkId) -> Option<&mut Link> {
        self.links.iter_mut().find(|link| link.id == id)
    }

    /// The links for a new topic: the first with room, or a further one; two where pairs are wanted.
    pub(super) fn links_for(&mut self, topic: &str) -> (LinkId, Option<LinkId>) {
        let most = usize::from(self.link_topics_max);
        let mut links = self.links.iter();
        let room = |link: &&Link| link.successor.is_none() && link.has_room(topic, most);
        if let Some(link) = links.find(room) {
            return (link.id, link.mate);
        }
        let id = self.open_link();
        if self.upkeep.redundancy == Redundancy::Single {
            return (id, None);
        }
        let mate = self.open_link();
        for (one, other) in [(id, mate), (mate, id)] {
            if let Some(link) = self.link_mut(one) {
                link.mate = Some(other);
            }
        }
        (id, Some(mate))
    }

    /// A link under the lowest number that is free. The number of a closed link is free once its end
    /// has been told: until then, what is said of it concerns no other.
    fn open_link(&mut self) -> LinkId {
        let taken = |id: LinkId| {
            self.closing.contains(&id)
                || self.links.iter().any(|link| link.id == id)
                || self.desk.as_ref().is_some_and(|desk| desk.has_link(id))
        };
        let id = (0..=u16::MAX).map(LinkId).find(|id| !taken(*id));
        let id = id.unwrap_or(LinkId(u16::MAX));
        self.links.push(Link::new(id, self.market));
        id
    }

    /// The routes that a link carries.
    fn routes_on(&self, link: LinkId) -> Vec<usize> {
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
                let out = sink(entry, &mut self.unseen, out);
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
        if let Some(known) = self.link_mut(link) {
            let retiring = known.successor.is_some();
            let retire_at = if retiring { known.retire_at } else { retire_at };
            known.handle_up(now, retire_at);
        }
        for route in self.routes_on(link) {
            self.each_entry(route, out, |entry, _| entry.handle_link_up(link));
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
            let other = known.carriers.other(link).copied();
            let topic = known.topic;
            let slots = known.entries.clone();
            let entries = slots
                .iter()
                .filter_map(|slot| self.entries.get(*slot)?.as_ref());
            let lives = other.is_some_and(|other| self.link(other.link).is_some_and(Link::is_up));
            let other = other.filter(|other| other.acked);
            let safe = other.is_some_and(|other| {
                let mut entries = entries;
                entries.all(|entry| entry.goes_on_with(other.link))
            });
            match other {
                Some(other) if safe => {
                    self.each_entry(route, out, |entry, _| entry.lose_link(link, other.link));
                }
                _ => {
                    self.each_entry(route, out, |entry, out| {
                        entry.handle_link_down(now, link, lives, out);
                    });
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
            entry.lose_link(old, other);
            entry.end_pair();
            if seamless {
                entry.handle_handover(now, out);
            }
        });
    }

    /// The venue has acked a topic on a link.
    pub(super) fn handle_topic_acked(
        &mut self,
        now: Nanos,
        link: LinkId,
        topic: &str,
        out: &mut Outbox,
    ) {
        let Some(route) = self.routes.find(topic.as_bytes()) else {
            return;
        };
        if let Some(known) = self.routes.get_mut(route) {
            known.carriers.note_ack(link);
        }
        self.each_entry(route, out, |entry, out| entry.handle_ack(now, link, out));
        // What has no first message is moved once all that came before the ack has come.
        let mut links = self.links.iter_mut();
        if let Some(old) = links.find(|old| old.successor == Some(link)) {
            old.proof = None;
            old.retire_at = old.retire_at.min(now + LAG_NS);
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
            if link.handle_timeout(now) {
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
        match (link.successor, link.mate) {
            (Some(successor), _) => self.move_silent(now, id, successor, out),
            (None, Some(_)) => self.renew_of_pair(now, id, out),
            (None, None) => self.replace(now, id),
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

    /// What has shown nothing on the new link, as it has nothing to show, goes by its ack there, once the
    /// old link has answered a ping of after that: then all that it had is in. What should have shown
    /// something stays where it is, to the old link's end.
    fn move_silent(&mut self, now: Nanos, old: LinkId, new: LinkId, out: &mut Outbox) {
        let mut silent = self.routes_on(old);
        silent.retain(|route| {
            self.routes.get(*route).is_some_and(|known| {
                let acked = known.carriers.get(new).is_some_and(|carrier| carrier.acked);
                let mut entries = known.entries.iter();
                acked
                    && entries.all(|slot| {
                        let entry = self.entries.get(*slot).and_then(Option::as_ref);
                        entry.is_none_or(|entry| entry.may_be_silent() && entry.is_silent_on(new))
                    })
            })
        });
        let again = now + self.upkeep.handover_max_ns;
        let Some(link) = self.link_mut(old) else {
            return;
        };
        if !silent.is_empty() && !link.is_proven() {
            link.retire_at = now + LAG_NS;
            return;
        }
        link.retire_at = again;
        for route in silent {
            self.drop_carrier(now, route, old, true, out);
        }
    }

    /// One of a pair is made anew while the other carries all of its topics.
    fn renew_of_pair(&mut self, now: Nanos, id: LinkId, out: &mut Outbox) {
        let spare = self.routes_on(id).into_iter().all(|route| {
            let known = self.routes.get(route);
            known.is_some_and(|known| {
                let mut others = known.carriers.iter().filter(|one| one.link != id);
                let mut entries = known.entries.iter();
                others.next().is_some_and(|other| {
                    other.in_step
                        && entries.all(|slot| {
                            let entry = self.entries.get(*slot).and_then(Option::as_ref);
                            entry.is_none_or(|entry| {
                                entry.phase == Phase::Live && entry.goes_on_with(other.link)
                            })
                        })
                })
            })
        });
        let Some(link) = self.link_mut(id) else {
            return;
        };
        if spare {
            link.cut("its age");
            self.counters.handovers += 1;
            self.handle_link_lost(now, id, out);
        } else {
            link.retire_at = now + SPARE_AGAIN_NS;
        }
    }
}

//! Links: who carries a stream, and how it goes on where a link ends.
//!
//! **Hand-over.** A link that grows too old is replaced before it is cut: a second one is made, the same
//! topics are asked for on it, and each topic is dropped from the old one once the new one is in step
//! ([`Carriers`](crate::carriers::Carriers)); what that is, the venue's numbers say ([`Kept`]). Topics that
//! may stay silent go by their ack.
//!
//! **Pairs.** With [`Redundancy::Pair`] links come in twos with the same topics, for good.

use super::Streams;
use super::dialect::Dialect;
use super::entry::{Entry, Kept, Phase};
use super::link::{Life, Link};
use crate::outbox::Outbox;
use crate::time::Nanos;
use crate::transmit::LinkId;
use crate::upkeep::Redundancy;

/// What two links of a venue are apart at most: after this, what came on one would have come on the
/// other.
pub(crate) const LAG_NS: Nanos = Nanos::from_secs(3);

/// How long a stream that has changed links keeps in mind what came on the old one.
pub(crate) const LAG_KEPT_NS: Nanos = Nanos::from_secs(10);

/// The wait before a link of a pair that can't be spared yet is looked at again.
const SPARE_AGAIN_NS: Nanos = Nanos::from_secs(5);

/// The lowest number of a link that is not taken.
pub(crate) fn free_link(is_taken: impl Fn(LinkId) -> bool) -> LinkId {
    let id = (0..=u16::MAX).map(LinkId).find(|id| !is_taken(*id));
    id.unwrap_or(LinkId(u16::MAX))
}

impl<D: Dialect> Streams<D> {
    pub(crate) fn link(&self, id: LinkId) -> Option<&Link<D::Life>> {
        self.links.iter().find(|link| link.id == id)
    }

    pub(crate) fn link_mut(&mut self, id: LinkId) -> Option<&mut Link<D::Life>> {
        self.links.iter_mut().find(|link| link.id == id)
    }

    /// The links for a new topic: the first with room, or a further one; two where pairs are wanted.
    pub(super) fn links_for(&mut self, topic: &str) -> (LinkId, Option<LinkId>) {
        let most = usize::from(self.link_topics_max);
        let mut links = self.links.iter();
        let room = |link: &&Link<D::Life>| {
            let count = link.subscriptions.len();
            link.successor.is_none() && count < most && self.own.has_room(link, topic)
        };
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

    fn open_link(&mut self) -> LinkId {
        let taken = self.links_taken();
        let id = free_link(|id| taken.contains(&id) || self.own.has_link(id));
        let life = self.own.new_life();
        self.links.push(Link::new(id, self.own.rules(), life));
        id
    }

    /// The numbers that links have. That of a closed link is free once its end has been told: until then,
    /// what is said of it concerns no other.
    pub(crate) fn links_taken(&self) -> Vec<LinkId> {
        let links = self.links.iter().map(|link| link.id);
        links.chain(self.closing.iter().copied()).collect()
    }

    /// The routes that a link carries.
    pub(crate) fn routes_on(&self, link: LinkId) -> Vec<usize> {
        let carries = |route: &usize| {
            let known = self.routes.get(*route);
            known.is_some_and(|route| route.carriers.carries(link))
        };
        (0..self.routes.len()).filter(carries).collect()
    }

    /// Calls `act` for each stream of a route, with where its events go.
    pub(crate) fn each_entry(
        &mut self,
        route: usize,
        out: &mut Outbox,
        mut act: impl FnMut(&mut Entry<D::Kept>, &mut Outbox),
    ) {
        let mut number = 0;
        while let Some(slot) = self.routes.entry(route, number) {
            number += 1;
            if let Some(entry) = self.table.get_mut(slot) {
                let out = entry.sink(&mut self.unseen, out);
                act(entry, out);
                self.table.arm(slot);
            }
        }
    }

    /// Whether `holds` is true of all streams of a route.
    fn all_entries(&self, route: usize, holds: impl Fn(&Entry<D::Kept>) -> bool) -> bool {
        let known = self.routes.get(route);
        known.is_some_and(|known| {
            let mut slots = known.entries();
            slots.all(|slot| self.table.get(slot).is_none_or(&holds))
        })
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
        let mut links = self.links.iter_mut();
        if let Some(known) = links.find(|known| known.id == link) {
            let retiring = known.successor.is_some();
            let retire_at = if retiring { known.retire_at } else { retire_at };
            known.handle_up(retire_at);
            self.own.begin_life(now, &mut known.life);
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
            let (topic, other) = (known.topic, known.carriers.other(link).copied());
            let lives = other.is_some_and(|other| self.link(other.link).is_some_and(Link::is_up));
            let other = other.filter(|other| other.acked).map(|other| other.link);
            let goes_on =
                |other: LinkId| self.all_entries(route, |entry| entry.own.goes_on_with(other));
            let safe = other.filter(|other| goes_on(*other));
            if let Some(other) = safe {
                self.each_entry(route, out, |entry, out| {
                    D::Kept::lead(entry, link, other, now, out);
                });
            } else {
                self.each_entry(route, out, |entry, out| {
                    entry.handle_link_down(now, link, lives, out);
                });
                // Its snapshot was not needed when it came.
                if let Some(other) = other.and_then(|other| self.link_mut(other)) {
                    other.renew(&topic);
                }
            }
            if successor.is_some() {
                self.drop_carrier(now, route, link, safe.is_some(), out);
            }
        }
    }

    /// The link sends what follows on what the route's streams have.
    pub(crate) fn note_in_step(
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
        let other = known.carriers.other(link).map(|other| other.link);
        let other = other.and_then(|other| self.link(other));
        let Some(old) = other.filter(|old| old.successor == Some(link)) else {
            return;
        };
        let old = old.id;
        if self.all_entries(route, |entry| entry.own.is_on(link)) {
            self.drop_carrier(now, route, old, true, out);
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
            let done = old.topics() == 0;
            self.counters.handovers += u64::from(done);
        }
        let Some(other) = other else {
            return;
        };
        self.each_entry(route, out, |entry, out| {
            D::Kept::lead(entry, old, other, now, out);
            entry.own.end_pair(now);
            if seamless {
                entry.handle_handover(now, out);
            }
        });
    }

    /// The venue refused a topic on a link for good. True where its streams are well on another.
    pub(super) fn is_well_without(
        &mut self,
        now: Nanos,
        link: LinkId,
        topic: &str,
        out: &mut Outbox,
    ) -> bool {
        let route = self.routes.find(topic.as_bytes());
        let Some(route) = route else {
            return false;
        };
        let known = self.routes.get_mut(route);
        let Some(known) = known.filter(|known| known.carriers.is_safe_without(link)) else {
            return false;
        };
        known.carriers.remove(link);
        let other = known.carriers.first();
        if let Some(link) = self.link_mut(link) {
            link.remove(topic);
        }
        if let Some(other) = other {
            self.each_entry(route, out, |entry, out| {
                D::Kept::lead(entry, link, other, now, out);
                entry.own.end_pair(now);
            });
        }
        true
    }

    /// The venue has acked a topic on a link.
    pub(crate) fn handle_topic_acked(
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
        self.note_successor_acked(now, link);
    }

    /// What has no first message is moved once all that came before the ack has come.
    pub(crate) fn note_successor_acked(&mut self, now: Nanos, link: LinkId) {
        let mut links = self.links.iter_mut();
        if let Some(old) = links.find(|old| old.successor == Some(link)) {
            old.life.note_successor_acked();
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
            if !link.is_up() {
                continue;
            }
            let id = link.id;
            if let Some(why) = self.own.handle_link_timeout(now, link) {
                link.cut(why);
                self.handle_link_lost(now, id, out);
            } else if link.retire_at <= now {
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
            (Some(successor), _) => self.move_rest(now, id, successor, out),
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
                if let Some(entry) = self.table.get_mut(slot) {
                    D::Kept::begin_pair(entry, old);
                }
            }
        }
        if let Some(link) = self.link_mut(old) {
            link.successor = Some(new);
        }
    }

    /// What has not been found in step on the new link, and need not be, goes there by its ack, once the
    /// old link is proven to have brought all that it had. The rest stays where it is, to the old link's
    /// end.
    fn move_rest(&mut self, now: Nanos, old: LinkId, new: LinkId, out: &mut Outbox) {
        let mut rest = self.routes_on(old);
        rest.retain(|route| {
            let carriers = self.routes.get(*route).map(|route| &route.carriers);
            let carrier = carriers.and_then(|carriers| carriers.get(new));
            carrier.is_some_and(|carrier| carrier.acked)
                && self.all_entries(*route, |entry| entry.own.may_move_to(new))
        });
        let again = now + self.upkeep.handover_max_ns;
        let Some(link) = self.link_mut(old) else {
            return;
        };
        if !rest.is_empty() && !link.life.is_proven() {
            link.retire_at = now + LAG_NS;
            return;
        }
        link.retire_at = again;
        for route in rest {
            self.drop_carrier(now, route, old, true, out);
        }
    }

    /// One of a pair is made anew while the other carries all of its topics.
    fn renew_of_pair(&mut self, now: Nanos, id: LinkId, out: &mut Outbox) {
        let spare = self.routes_on(id).into_iter().all(|route| {
            let other = self.routes.get(route);
            let other = other.and_then(|route| route.carriers.other(id));
            other.is_some_and(|other| {
                let goes_on = |entry: &Entry<D::Kept>| {
                    entry.phase == Phase::Live && entry.own.goes_on_with(other.link)
                };
                other.in_step && self.all_entries(route, goes_on)
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

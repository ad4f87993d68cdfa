//! The subscriptions of one link: what is wanted, what the venue has confirmed, and the requests that
//! bring the second to the first. Each venue writes the requests and reads the acks in its own words.
//!
//! The machine works from the difference of want and have. So a topic can be asked for or given up
//! at any time, also while the link is down, and a link that comes up again asks for all that is
//! still wanted, without anyone keeping a list of what to repeat.

use core::fmt;
use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use crate::time::Nanos;

/// The venue's rules on subscribe requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Most topics in one request.
    pub topics_max: usize,
    /// Most bytes of topic names in one request.
    pub bytes_max: usize,
    /// Most requests that wait for their ack at once; 1 where acks carry no id.
    pub in_flight_max: usize,
    /// A request without an ack for this long is sent again.
    pub ack_timeout_ns: Nanos,
    /// After so many requests without an ack the link is given up.
    pub tries_max: u8,
}

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Adds topics.
    Subscribe,
    /// Removes topics.
    Unsubscribe,
}

/// A request to be written and sent; its topics are [`Subscriptions::topics_of`] its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Unique on the link's lifetime, from 1.
    pub id: u32,
    /// What it does.
    pub op: Op,
}

/// What [`Subscriptions::handle_timeout`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overdue {
    /// Nothing, or topics that will be asked for again.
    Retry,
    /// The venue has answered none of the tries: make the link anew.
    LinkIsMute,
}

/// What an answer to a request says of one of its topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was done.
    Done,
    /// It was refused, and will be again.
    Refused,
    /// It was not done, though nothing is wrong with it: it is asked for again.
    Again,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Have {
    No,
    Asked,
    Yes,
    Leaving,
    Refused,
}

#[derive(Debug)]
struct Topic {
    name: Box<str>,
    want: bool,
    have: Have,
    /// Ask for it in a request of its own: the venue refused one with others in it and did not say
    /// which.
    alone: bool,
    /// Let it go once and ask for it again: the venue then sends a fresh snapshot.
    renew: bool,
}

impl Topic {
    fn due(&self) -> Option<Op> {
        match (self.want, self.have) {
            (true, Have::No) => Some(Op::Subscribe),
            (true, Have::Yes) if self.renew => Some(Op::Unsubscribe),
            (false, Have::Yes) => Some(Op::Unsubscribe),
            _ => None,
        }
    }
}

#[derive(Debug)]
struct InFlight {
    request: Request,
    topics: Vec<usize>,
    deadline: Nanos,
}

/// The subscriptions of one link.
pub struct Subscriptions {
    rules: Rules,
    /// A slot is reused once its topic is neither wanted nor had.
    topics: Vec<Option<Topic>>,
    index: FxHashMap<Box<str>, usize>,
    free: Vec<usize>,
    /// Topics to look at, oldest first; may hold ones that are no longer due. Empty while the link is
    /// down.
    due: VecDeque<usize>,
    in_flight: Vec<InFlight>,
    up: bool,
    next_id: u32,
    /// Requests in a row that got no ack.
    unanswered: u8,
}

impl Subscriptions {
    /// Nothing wanted, link down.
    pub fn new(rules: Rules) -> Subscriptions {
        Subscriptions {
            rules,
            topics: Vec::new(),
            index: FxHashMap::default(),
            free: Vec::new(),
            due: VecDeque::new(),
            in_flight: Vec::new(),
            up: false,
            next_id: 1,
            unanswered: 0,
        }
    }

    /// How many topics are wanted or had.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether no topic is wanted or had.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// The topics that are wanted, in no order that means anything, but always the same.
    pub fn wanted(&self) -> impl Iterator<Item = &str> {
        let wanted = self.topics.iter().flatten().filter(|topic| topic.want);
        wanted.map(|topic| &*topic.name)
    }

    /// Whether the venue has confirmed the topic.
    pub fn has(&self, name: &str) -> bool {
        let slot = self.index.get(name).and_then(|slot| self.topics.get(*slot));
        matches!(slot, Some(Some(topic)) if topic.have == Have::Yes)
    }

    /// Total bytes of the names of [`len`](Subscriptions::len) topics: some venues limit it.
    pub fn name_bytes(&self) -> usize {
        self.index.keys().map(|name| name.len()).sum()
    }

    /// Asks for a topic. A topic that the venue refused before is asked for again.
    pub fn want(&mut self, name: &str) {
        let slot = self.slot(name);
        let Some(topic) = self.topics.get_mut(slot).and_then(Option::as_mut) else {
            return;
        };
        topic.want = true;
        if topic.have == Have::Refused {
            topic.have = Have::No;
        }
        self.look_at(slot);
    }

    fn look_at(&mut self, slot: usize) {
        if self.up {
            self.due.push_back(slot);
        }
    }

    /// Asks for a topic anew: one that the venue has already is let go first, so that its snapshot is
    /// sent again. Other topics are not touched.
    pub fn renew(&mut self, name: &str) {
        self.want(name);
        let slot = self.index.get(name).copied();
        let topic = slot.and_then(|slot| self.topics.get_mut(slot)?.as_mut());
        if let Some(topic) = topic {
            topic.renew = matches!(topic.have, Have::Asked | Have::Yes | Have::Leaving);
        }
    }

    /// Lets a topic go.
    pub fn unwant(&mut self, name: &str) {
        let Some(&slot) = self.index.get(name) else {
            return;
        };
        if let Some(topic) = self.topics.get_mut(slot).and_then(Option::as_mut) {
            topic.want = false;
        }
        self.look_at(slot);
        self.release(slot);
    }

    fn slot(&mut self, name: &str) -> usize {
        if let Some(&slot) = self.index.get(name) {
            return slot;
        }
        let topic = Topic {
            name: name.into(),
            want: true,
            have: Have::No,
            alone: false,
            renew: false,
        };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.topics[slot] = Some(topic);
                slot
            }
            None => {
                self.topics.push(Some(topic));
                self.topics.len() - 1
            }
        };
        self.index.insert(name.into(), slot);
        slot
    }

    /// Forgets a topic that is neither wanted nor known to the venue.
    fn release(&mut self, slot: usize) {
        let Some(topic) = self.topics.get(slot).and_then(Option::as_ref) else {
            return;
        };
        if !topic.want && matches!(topic.have, Have::No | Have::Refused) {
            self.index.remove(&topic.name);
            self.topics[slot] = None;
            self.free.push(slot);
        }
    }

    /// The link is up: the venue knows of nothing, and all that is wanted is due.
    pub fn handle_up(&mut self) {
        self.up = true;
        self.forget_have();
        self.unanswered = 0;
    }

    /// The link is down.
    pub fn handle_down(&mut self) {
        self.up = false;
        self.forget_have();
    }

    fn forget_have(&mut self) {
        self.in_flight.clear();
        self.due.clear();
        for slot in 0..self.topics.len() {
            if let Some(topic) = &mut self.topics[slot] {
                if topic.have != Have::Refused {
                    topic.have = Have::No;
                }
                topic.renew = false;
                self.look_at(slot);
                self.release(slot);
            }
        }
    }

    /// Whether [`next_request`](Subscriptions::next_request) may have one.
    #[inline]
    pub fn has_request(&self) -> bool {
        self.up && !self.due.is_empty() && self.in_flight.len() < self.rules.in_flight_max
    }

    /// Forgets topics that have become as they are wanted, so that [`has_request`](Subscriptions::has_request)
    /// means a request.
    pub fn drop_settled(&mut self) {
        while let Some(&slot) = self.due.front() {
            let topic = self.topics.get(slot).and_then(Option::as_ref);
            if topic.and_then(Topic::due).is_some() {
                break;
            }
            self.due.pop_front();
        }
    }

    /// The next request to send, if one is due and may go now.
    pub fn next_request(&mut self, now: Nanos) -> Option<Request> {
        if !self.has_request() {
            return None;
        }
        let (mut op, mut topics, mut bytes) = (None, Vec::new(), 0);
        while let Some(&slot) = self.due.front() {
            let Some(topic) = self.topics.get_mut(slot).and_then(Option::as_mut) else {
                self.due.pop_front();
                continue;
            };
            let Some(due) = topic.due() else {
                self.due.pop_front();
                continue;
            };
            let full = topics.len() >= self.rules.topics_max
                || bytes + topic.name.len() > self.rules.bytes_max;
            if !topics.is_empty() && (full || topic.alone || op != Some(due)) {
                break;
            }
            self.due.pop_front();
            op = Some(due);
            bytes += topic.name.len();
            topic.have = if due == Op::Subscribe {
                Have::Asked
            } else {
                Have::Leaving
            };
            topics.push(slot);
            if topic.alone {
                break;
            }
        }
        let request = Request {
            id: self.next_id,
            op: op?,
        };
        self.next_id = self.next_id.checked_add(1).unwrap_or(1);
        let deadline = now + self.rules.ack_timeout_ns;
        self.in_flight.push(InFlight {
            request,
            topics,
            deadline,
        });
        Some(request)
    }

    /// The topics of a request that waits for its ack.
    pub fn topics_of(&self, id: u32) -> impl Iterator<Item = &str> {
        let in_flight = self
            .in_flight
            .iter()
            .find(move |waiting| waiting.request.id == id);
        let slots = in_flight.map_or(&[][..], |waiting| &waiting.topics[..]);
        slots
            .iter()
            .filter_map(|&slot| Some(&*self.topics.get(slot)?.as_ref()?.name))
    }

    /// The request that has waited longest: for venues whose acks carry no id.
    pub fn oldest(&self) -> Option<Request> {
        self.in_flight.first().map(|waiting| waiting.request)
    }

    /// The venue took the request. False where no such request waits (a late ack: harmless).
    pub fn handle_ack(&mut self, id: u32) -> bool {
        let Some(done) = self.finish(id) else {
            return false;
        };
        for slot in done.topics {
            let Some(topic) = self.topics.get_mut(slot).and_then(Option::as_mut) else {
                continue;
            };
            topic.have = if done.request.op == Op::Subscribe {
                Have::Yes
            } else {
                topic.renew = false;
                Have::No
            };
            topic.alone = false;
            // What was wanted may have changed while the request was under way.
            self.due.push_back(slot);
            self.release(slot);
        }
        true
    }

    /// The venue refused the request. `named` is the topic it gave as the reason; the others of the
    /// request are asked for again. Where it named none (or one that was not in the request), each
    /// is asked for alone, and one that is refused alone is at fault. Topics found at fault are
    /// given to `refused`; they are not asked for again until they are wanted anew.
    pub fn handle_refusal(&mut self, id: u32, named: Option<&str>, mut refused: impl FnMut(&str)) {
        let Some(done) = self.finish(id) else { return };
        let named = named.and_then(|name| self.index.get(name)).copied();
        let named = named.filter(|slot| done.topics.contains(slot));
        let single = done.topics.len() == 1;
        for slot in done.topics {
            let Some(topic) = self.topics.get_mut(slot).and_then(Option::as_mut) else {
                continue;
            };
            if named == Some(slot) || (named.is_none() && single) {
                if done.request.op == Op::Subscribe {
                    topic.have = Have::Refused;
                    refused(&topic.name);
                } else {
                    // A refused unsubscribe: the venue does not have it. It may be wanted again.
                    topic.have = Have::No;
                    self.due.push_back(slot);
                }
                topic.renew = false;
            } else {
                topic.have = if done.request.op == Op::Subscribe {
                    Have::No
                } else {
                    Have::Yes
                };
                topic.alone |= named.is_none();
                self.due.push_back(slot);
            }
            self.release(slot);
        }
    }

    /// The venue refused the subscribe request because it has `named` already, which is harmless; the
    /// others of the request are asked for again. False where `named` is not in the request: then it
    /// is a refusal like any other.
    pub fn handle_had(&mut self, id: u32, named: &str) -> bool {
        let Some(&had) = self.index.get(named) else {
            return false;
        };
        let Some(waiting) = self.in_flight.iter().find(|one| one.request.id == id) else {
            return false;
        };
        if waiting.request.op != Op::Subscribe || !waiting.topics.contains(&had) {
            return false;
        }
        let Some(done) = self.finish(id) else {
            return false;
        };
        for slot in done.topics {
            if let Some(topic) = self.topics.get_mut(slot).and_then(Option::as_mut) {
                topic.have = if slot == had { Have::Yes } else { Have::No };
                self.due.push_back(slot);
                self.release(slot);
            }
        }
        true
    }

    /// The venue answered the request topic by topic. Those refused are given to `refused`, and are not
    /// asked for again until they are wanted anew.
    pub fn handle_verdicts(
        &mut self,
        id: u32,
        verdict: impl Fn(&str) -> Verdict,
        mut refused: impl FnMut(&str),
    ) {
        let Some(done) = self.finish(id) else { return };
        for slot in done.topics {
            let Some(topic) = self.topics.get_mut(slot).and_then(Option::as_mut) else {
                continue;
            };
            let is_subscribe = done.request.op == Op::Subscribe;
            topic.have = match verdict(&topic.name) {
                Verdict::Again if is_subscribe => Have::No,
                Verdict::Again => Have::Yes,
                Verdict::Done if is_subscribe => Have::Yes,
                Verdict::Refused if is_subscribe => {
                    topic.renew = false;
                    refused(&topic.name);
                    Have::Refused
                }
                // Refused or done, the venue does not have it.
                Verdict::Done | Verdict::Refused => {
                    topic.renew = false;
                    Have::No
                }
            };
            topic.alone = false;
            self.due.push_back(slot);
            self.release(slot);
        }
    }

    fn finish(&mut self, id: u32) -> Option<InFlight> {
        let index = self
            .in_flight
            .iter()
            .position(|waiting| waiting.request.id == id)?;
        self.unanswered = 0;
        Some(self.in_flight.remove(index))
    }

    /// When the oldest ack is overdue.
    #[inline]
    pub fn poll_timeout(&self) -> Option<Nanos> {
        self.in_flight.iter().map(|waiting| waiting.deadline).min()
    }

    /// Puts what waited too long back into the queue.
    pub fn handle_timeout(&mut self, now: Nanos) -> Overdue {
        while let Some(index) = self
            .in_flight
            .iter()
            .position(|waiting| waiting.deadline <= now)
        {
            let late = self.in_flight.remove(index);
            self.unanswered = self.unanswered.saturating_add(1);
            for slot in late.topics {
                if let Some(topic) = self.topics.get_mut(slot).and_then(Option::as_mut) {
                    // The venue may have heard the request or not: what is asked for next must be
                    // right either way.
                    topic.have = match late.request.op {
                        _ if !topic.want => Have::Yes,
                        Op::Unsubscribe if topic.renew => Have::Yes,
                        _ => Have::No,
                    };
                    self.due.push_back(slot);
                }
            }
        }
        if self.unanswered >= self.rules.tries_max {
            Overdue::LinkIsMute
        } else {
            Overdue::Retry
        }
    }
}

impl fmt::Debug for Subscriptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscriptions")
            .field("up", &self.up)
            .field("topics", &self.index.len())
            .field("in_flight", &self.in_flight)
            .finish()
    }
}

#[cfg(test)]
mod tests;

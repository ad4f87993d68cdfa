//! Links: their login, requests and proofs of life, and how a stream goes on where a link ends.
//!
//! **From up to subscribed.** Deribit is asked for heartbeats; where there are credentials the link logs
//! in, and only then are its topics asked for, in few large requests within the credits of the budget.
//!
//! **Hand-over.** A link that grows too old (none does by default) is replaced before it is cut: a second
//! one is made, the same topics are asked for on it, and each topic is dropped from the old one once the
//! new one is in step ([`Carriers`](crate::carriers::Carriers)). What is in step differs by kind: a book
//! of changes where both links stand at one `change_id`, or by the new link's own newer snapshot; every
//! other kind by any message. Topics without a first message that stay silent go by their ack.
//!
//! **No pairs.** Nothing promises that the changes of a book are cut at the same ids on two connections.

use super::login::{self, LoginWriter};
use super::subscribe::{Refusal, code_error, refusal, write_heartbeat, write_request, write_test};
use super::sync::Entry;
use super::tape::{Answer, AnswerTo, Grant};
use super::urls::{self, Urls};
use super::{Deribit, sink};
use crate::error::{Error, ErrorKind, Next};
use crate::governor::Governor;
use crate::outbox::Outbox;
use crate::subscriptions::{Overdue, Subscriptions, Verdict};
use crate::time::Nanos;
use crate::transmit::{Lane, LinkId, Transmit};

/// What two links of the venue are apart at most: after this, what came on one would have come on
/// the other.
pub(super) const LAG_NS: Nanos = Nanos::from_secs(3);

/// How long a stream that has changed links keeps in mind what came on the old one.
pub(super) const LAG_KEPT_NS: Nanos = Nanos::from_secs(10);

/// A login that the venue does not take for one so soon after it was granted has not the rights.
const FRESH_LOGIN_NS: Nanos = Nanos::from_secs(60);

/// What a link's answer meant.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Outcome {
    /// Topics that the venue has now.
    pub(super) had: Vec<String>,
    /// Topics that the venue refused for good, and why.
    pub(super) refused: Vec<String>,
    pub(super) error: Option<Error>,
    /// The login was refused for good, and all that wait for it.
    pub(super) login_refused: bool,
    /// Out of credits.
    pub(super) throttled: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LinkState {
    /// The engine has not been told of it.
    New,
    /// The engine makes it.
    Connecting,
    Up,
}

/// A request that is made once a connection, or from time to time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Nothing to do.
    Done,
    /// To be asked.
    Due,
    /// Asked; an answer is due.
    Asked { until: Nanos },
    /// To be asked again then.
    Later { at: Nanos },
}

impl Step {
    const fn deadline(self) -> Nanos {
        match self {
            Step::Asked { until } => until,
            Step::Later { at } => at,
            Step::Done | Step::Due => Nanos::MAX,
        }
    }
}

/// One WebSocket link with its login, its subscriptions and its proofs of life.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) id: LinkId,
    subscriptions: Subscriptions,
    state: LinkState,
    /// Topics that streams want.
    topics: usize,
    /// Whether the venue wants a proof of life.
    test_due: bool,
    heartbeat: Step,
    login: Step,
    /// Whether links log in.
    logs_in: bool,
    /// When the login was granted; `None` while topics have to wait for it.
    granted_at: Option<Nanos>,
    refresh_at: Nanos,
    refresh_token: Option<String>,
    /// No topic is asked for before: there are no credits.
    hold_until: Option<Nanos>,
    cut: Option<&'static str>,
    /// The link that takes over from this one.
    pub(super) successor: Option<LinkId>,
    /// When it is too old, or, once it is being replaced, when what is silent is moved.
    retire_at: Nanos,
}

/// What a link needs of its connector to go on.
#[derive(Debug)]
pub(super) struct Desk<'a> {
    pub(super) urls: &'a Urls,
    pub(super) governor: &'a Governor,
    pub(super) login: Option<&'a mut LoginWriter>,
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
    pub(super) fn new(id: LinkId, logs_in: bool) -> Link {
        Link {
            id,
            subscriptions: Subscriptions::new(urls::RULES),
            state: LinkState::New,
            topics: 0,
            test_due: false,
            heartbeat: Step::Done,
            login: Step::Done,
            logs_in,
            granted_at: None,
            refresh_at: Nanos::MAX,
            refresh_token: None,
            hold_until: None,
            cut: None,
            successor: None,
            retire_at: Nanos::MAX,
        }
    }

    /// Whether our limit leaves room for one more topic.
    pub(super) fn has_room(&self, topics_max: usize) -> bool {
        self.subscriptions.len() < topics_max
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

    fn handle_up(&mut self, retire_at: Nanos) {
        self.quiet();
        self.subscriptions.handle_up();
        self.state = LinkState::Up;
        self.retire_at = retire_at;
        self.heartbeat = Step::Due;
        if self.logs_in {
            self.login = Step::Due;
        }
    }

    fn handle_down(&mut self) {
        self.subscriptions.handle_down();
        if self.state == LinkState::Up {
            self.state = LinkState::Connecting;
        }
        self.quiet();
    }

    /// What was under way on the last connection is of none.
    fn quiet(&mut self) {
        self.test_due = false;
        (self.heartbeat, self.login) = (Step::Done, Step::Done);
        self.granted_at = None;
        self.refresh_at = Nanos::MAX;
        self.refresh_token = None;
        self.hold_until = None;
        self.cut = None;
    }

    /// Cuts the link; what it carried is to be told by the caller.
    pub(super) fn cut(&mut self, why: &'static str) {
        if self.is_up() {
            self.handle_down();
            self.cut = Some(why);
        }
    }

    /// Whether topics may be asked for.
    fn is_ready(&self) -> bool {
        !self.logs_in || self.granted_at.is_some()
    }

    pub(super) fn handle_answer(&mut self, now: Nanos, answer: &Answer) -> Outcome {
        let mut outcome = Outcome::default();
        match answer {
            Answer::Heartbeat | Answer::Done(AnswerTo::Test) => {}
            Answer::TestRequest => self.test_due = true,
            Answer::Done(_) => self.heartbeat = Step::Done,
            Answer::Granted(grant) => self.handle_granted(now, grant),
            Answer::Topics(id, topics) => self.handle_topics(*id, topics, &mut outcome),
            Answer::Refused(to, code, words) => {
                self.handle_refused(now, *to, *code, words, &mut outcome);
            }
        }
        outcome
    }

    fn handle_granted(&mut self, now: Nanos, grant: &Grant) {
        if !matches!(self.login, Step::Asked { .. }) {
            return;
        }
        self.login = Step::Done;
        self.granted_at = Some(now);
        let used = grant.expires_in_s.saturating_mul(urls::LOGIN_USED_PERCENT) / 100;
        let used = used.clamp(urls::LOGIN_AGE_MIN_S, urls::LOGIN_AGE_MAX_S);
        self.refresh_at = now + Nanos::from_secs(used);
        let token = Some(&grant.refresh_token).filter(|token| login::is_plain(token));
        self.refresh_token = token.cloned();
    }

    /// What is not among the topics that were taken was refused without a word: it is misspelt, or
    /// needs other rights.
    fn handle_topics(&mut self, id: u32, topics: &[String], outcome: &mut Outcome) {
        let asked = self.subscriptions.topics_of(id);
        let taken = |topic: &str| topics.iter().any(|one| one == topic);
        let had = asked.filter(|topic| taken(topic));
        outcome.had = had.map(str::to_owned).collect();
        let verdict = |topic: &str| match taken(topic) {
            true => Verdict::Done,
            false => Verdict::Refused,
        };
        let refused = &mut outcome.refused;
        self.subscriptions
            .handle_verdicts(id, verdict, |topic| refused.push(topic.to_owned()));
        let text = "Deribit does not have this channel, or not for this login";
        outcome.error = Some(Error::venue(ErrorKind::BadSymbol, Next::Never, None, text));
    }

    fn handle_refused(
        &mut self,
        now: Nanos,
        to: AnswerTo,
        code: i64,
        words: &str,
        outcome: &mut Outcome,
    ) {
        let meant = refusal(code);
        outcome.error = Some(code_error(code, words));
        outcome.throttled = meant == Refusal::TooMany;
        let later = Step::Later {
            at: now + urls::RETRY_WAIT,
        };
        match to {
            // Without heartbeats the engine's own pings tell whether the link lives.
            AnswerTo::Heartbeat if meant == Refusal::Other => self.heartbeat = Step::Done,
            AnswerTo::Heartbeat => self.heartbeat = later,
            AnswerTo::Login if matches!(meant, Refusal::Later | Refusal::TooMany) => {
                self.login = later;
            }
            // A token that does not renew any more: the key itself may.
            AnswerTo::Login if self.refresh_token.take().is_some() => self.login = Step::Due,
            AnswerTo::Login => {
                self.login = Step::Done;
                outcome.login_refused = true;
            }
            AnswerTo::Request(id) => self.handle_request_refused(now, id, meant, outcome),
            AnswerTo::Test | AnswerTo::Unknown => {}
        }
    }

    fn handle_request_refused(
        &mut self,
        now: Nanos,
        id: u32,
        meant: Refusal,
        outcome: &mut Outcome,
    ) {
        let is_raw = |topic: &str| topic.ends_with(".raw");
        let fresh = |at: Nanos| now.since(at) < FRESH_LOGIN_NS;
        let login_lost = self.granted_at.is_some_and(|at| !fresh(at));
        let refused = &mut outcome.refused;
        let mut refuse = |topic: &str| refused.push(topic.to_owned());
        let again = |_: &str| Verdict::Again;
        let subscriptions = &mut self.subscriptions;
        match meant {
            // As if it had not been heard: asked again when its time is over.
            Refusal::Later => {}
            Refusal::TooMany => subscriptions.handle_verdicts(id, again, refuse),
            Refusal::RawNeedsLogin | Refusal::Login if login_lost => {
                subscriptions.handle_verdicts(id, again, refuse);
                self.granted_at = None;
                self.refresh_token = None;
                self.login = Step::Due;
            }
            // The others of the request were refused as well, for nothing.
            Refusal::RawNeedsLogin if subscriptions.topics_of(id).any(is_raw) => {
                let verdict = |topic: &str| match is_raw(topic) {
                    true => Verdict::Refused,
                    false => Verdict::Again,
                };
                subscriptions.handle_verdicts(id, verdict, refuse);
            }
            _ => subscriptions.handle_refusal(id, None, &mut refuse),
        }
    }

    /// True where the link has been found dead: it is cut, and what it carried is stale.
    fn handle_timeout(&mut self, now: Nanos) -> bool {
        if self.state != LinkState::Up {
            return false;
        }
        let is_due = |step: Step| matches!(step, Step::Later { at } if at <= now);
        let is_overdue = |step: Step| matches!(step, Step::Asked { until } if until <= now);
        if self.hold_until.is_some_and(|until| until <= now) {
            self.hold_until = None;
        }
        if is_due(self.heartbeat) {
            self.heartbeat = Step::Due;
        }
        if is_due(self.login) || (self.refresh_at <= now && self.login == Step::Done) {
            self.login = Step::Due;
            self.refresh_at = Nanos::MAX;
        }
        if is_overdue(self.heartbeat) || is_overdue(self.login) {
            self.cut("no answer");
        } else if self.subscriptions.handle_timeout(now) == Overdue::LinkIsMute {
            self.cut("no ack");
        } else {
            return false;
        }
        true
    }

    pub(super) fn poll_timeout(&self) -> Option<Nanos> {
        if self.state != LinkState::Up {
            return None;
        }
        let others = [self.hold_until, self.subscriptions.poll_timeout()];
        let always = [
            self.heartbeat.deadline(),
            self.login.deadline(),
            self.refresh_at,
            self.retire_at,
        ];
        others.into_iter().flatten().chain(always).min()
    }

    #[inline]
    pub(super) fn has_transmit(&self) -> bool {
        self.topics == 0
            || self.state == LinkState::New
            || self.cut.is_some()
            || self.test_due
            || self.heartbeat == Step::Due
            || self.login == Step::Due
            || self.has_request()
    }

    #[inline]
    fn has_request(&self) -> bool {
        self.subscriptions.has_request() && self.hold_until.is_none() && self.is_ready()
    }

    pub(super) fn poll(
        &mut self,
        now: Nanos,
        desk: &mut Desk<'_>,
        body: &mut Vec<u8>,
    ) -> LinkOutput {
        let link = self.id;
        if self.topics == 0 {
            let known = self.state != LinkState::New;
            return LinkOutput::Forget(known.then_some(Transmit::Close { link }));
        }
        if self.state == LinkState::New {
            self.state = LinkState::Connecting;
            let spec = Box::new(desk.urls.link());
            return LinkOutput::Do(Transmit::Open { link, spec });
        }
        if let Some(why) = self.cut.take() {
            return LinkOutput::Do(Transmit::Reconnect { link, why });
        }
        let lane = Lane::Urgent;
        let asked = Step::Asked {
            until: now + urls::ANSWER_TIMEOUT,
        };
        if core::mem::take(&mut self.test_due) {
            write_test(body);
            return LinkOutput::Do(Transmit::Text { link, lane });
        }
        if self.heartbeat == Step::Due {
            self.heartbeat = asked;
            write_heartbeat(body, urls::HEARTBEAT_S);
            return LinkOutput::Do(Transmit::Text { link, lane });
        }
        if self.login == Step::Due
            && let Some(writer) = &mut desk.login
        {
            self.login = asked;
            writer.write(now, link, self.refresh_token.as_deref(), body);
            return LinkOutput::Do(Transmit::Text { link, lane });
        }
        self.poll_request(now, desk.governor, body)
    }

    /// Each request about topics has its price.
    fn poll_request(&mut self, now: Nanos, governor: &Governor, body: &mut Vec<u8>) -> LinkOutput {
        let link = self.id;
        self.subscriptions.drop_settled();
        if !self.has_request() {
            return LinkOutput::Nothing;
        }
        let banned_until = governor.banned_until();
        let admitted = match banned_until > now {
            true => Err(banned_until),
            false => governor.admit_renewal(now),
        };
        if let Err(until) = admitted {
            self.hold_until = Some(until);
            return LinkOutput::Nothing;
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

impl Deribit {
    pub(super) fn link(&self, id: LinkId) -> Option<&Link> {
        self.links.iter().find(|link| link.id == id)
    }

    pub(super) fn link_mut(&mut self, id: LinkId) -> Option<&mut Link> {
        self.links.iter_mut().find(|link| link.id == id)
    }

    /// The link for a new topic: the first with room, or a further one.
    pub(super) fn link_for(&mut self) -> LinkId {
        let most = usize::from(self.link_topics_max);
        let mut links = self.links.iter();
        let room = |link: &&Link| link.successor.is_none() && link.has_room(most);
        match links.find(room) {
            Some(link) => link.id,
            None => self.open_link(),
        }
    }

    /// A link under the lowest number that is free. The number of a closed link is free once its end
    /// has been told: until then, what is said of it concerns no other.
    fn open_link(&mut self) -> LinkId {
        let taken = |id: LinkId| {
            self.closing.contains(&id)
                || self.links.iter().any(|link| link.id == id)
                || self.is_desk_link(id)
        };
        let id = (0..=u16::MAX).map(LinkId).find(|id| !taken(*id));
        let id = id.unwrap_or(LinkId(u16::MAX));
        self.links.push(Link::new(id, self.login.is_some()));
        id
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
            known.handle_up(retire_at);
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
                    self.each_entry(route, out, |entry, _| entry.lead(other.link));
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
            entry.lead(other);
            entry.end_pair(now);
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
        self.each_entry(route, out, |entry, out| entry.handle_ack(now, out));
        // What has no first message is moved once all that came before the ack has come.
        let mut links = self.links.iter_mut();
        if let Some(old) = links.find(|old| old.successor == Some(link)) {
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
        match link.successor {
            Some(successor) => self.move_silent(now, id, successor, out),
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

    /// What has shown nothing on the new link, as it has nothing to show, goes by its ack there. What
    /// should have shown something stays where it is, to the old link's end.
    fn move_silent(&mut self, now: Nanos, old: LinkId, new: LinkId, out: &mut Outbox) {
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
            let silent = entries.all(|slot| {
                let entry = self.entries.get(*slot).and_then(Option::as_ref);
                entry.is_none_or(|entry| entry.may_be_silent())
            });
            if acked && silent {
                self.drop_carrier(now, route, old, true, out);
            }
        }
    }
}

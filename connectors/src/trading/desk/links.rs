//! The desk's links: clock first, then connections, log in, listen; and what their loss means.

use crate::event::{Reason, StreamState};
use crate::outbox::Outbox;
use crate::stream::Times;
use crate::time::Nanos;
use crate::transmit::{LinkId, Transmit};

use super::{
    Desk, ErrorKind, For, Job, Names, Need, Pending, Role, TIME_RETRY_NS, TIME_SYNC_NS, UserStream,
    Way, not_sent, unknown,
};
use crate::trading::dialect::{Dialect, Told};

/// Trades are asked for from so long before the loss of the stream was seen: a link that dies without a
/// word is found dead within 65 s. What was told before is known by its id.
pub(super) const OVERLAP_NS: Nanos = Nanos::from_secs(120);

/// A log-in that ends is repeated when so much of its time is over.
const LOGIN_USED_PERCENT: i64 = 80;

/// The longest that a log-in is left alone, so that no timer is further off than a day.
const LOGIN_AGE_MAX_NS: Nanos = Nanos::from_secs(86_400);

/// Between two tries to log in again.
const LOGIN_RETRY_NS: Nanos = Nanos::from_secs(5);

/// Where a link stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Not there.
    Down,
    /// Connected; so many of its prelude's requests are answered.
    Telling(usize),
    /// All of them are.
    Ready,
}

/// One link.
#[derive(Debug)]
pub(super) struct DeskLink {
    pub(super) role: Role,
    /// `None` until it was opened.
    pub(super) id: Option<LinkId>,
    pub(super) state: State,
    /// When to show that we live; [`Nanos::MAX`] for never.
    pub(super) heartbeat_at: Nanos,
    /// When to log in again; [`Nanos::MAX`] for never.
    pub(super) login_at: Nanos,
    /// When the log-in ends.
    login_ends_at: Nanos,
}

impl DeskLink {
    pub(super) fn is_up(&self) -> bool {
        self.state != State::Down
    }
}

impl<D: Dialect> Desk<D> {
    /// Begins: the clock, since every signature needs it, then the links.
    pub(super) fn open(&mut self, now: Nanos, mut free_link: impl FnMut(&[LinkId]) -> LinkId) {
        let mut taken = Vec::new();
        for role in self.dialect.links() {
            let id = free_link(&taken);
            taken.push(id);
            self.links.push(DeskLink {
                role: *role,
                id: Some(id),
                state: State::Down,
                heartbeat_at: Nanos::MAX,
                login_at: Nanos::MAX,
                login_ends_at: Nanos::MAX,
            });
        }
        self.ask_time(now);
    }

    pub(super) fn ask_time(&mut self, now: Nanos) {
        if !self.time_asked {
            self.time_asked = true;
            self.push(now, Job::ServerTime, For::Upkeep);
        }
    }

    /// The clock is known, or could not be.
    pub(super) fn time_answered(&mut self, now: Nanos, is_known: bool) {
        self.time_asked = false;
        let was_known = self.opened || self.listen_key_at != Nanos::MAX;
        self.time_at = now
            + if is_known {
                TIME_SYNC_NS
            } else {
                TIME_RETRY_NS
            };
        if !is_known || was_known || self.streams.is_empty() {
            return;
        }
        if self.rules.listen_key_ns.is_some() && self.listen_key.is_empty() {
            self.listen_key_at = now;
        } else {
            self.open_links();
        }
    }

    /// A key for the private link came.
    pub(super) fn listen_key_answered(&mut self, now: Nanos, key: Option<String>) {
        let Some(wait) = self.rules.listen_key_ns else {
            return;
        };
        match key {
            Some(key) => {
                let is_new = key != self.listen_key && !key.is_empty();
                if is_new {
                    self.listen_key = key;
                    self.open_links();
                }
                self.listen_key_at = now + wait;
            }
            None => {
                // Expired, or the venue does not answer: ask for a new one.
                self.listen_key.clear();
                self.listen_key_at = now + TIME_RETRY_NS;
            }
        }
    }

    /// Asks the engine for the links; one whose URL has changed is made anew.
    fn open_links(&mut self) {
        for link in &self.links {
            let Some(id) = link.id else { continue };
            let with_key = self.rules.listen_key_ns.is_some() && link.role == Role::Private;
            if self.opened && !with_key {
                continue;
            }
            if self.opened {
                self.control.push_back(Transmit::Close { link: id });
            }
            let spec = Box::new(self.dialect.spec(link.role, &self.listen_key));
            self.control.push_back(Transmit::Open { link: id, spec });
        }
        self.opened = true;
    }

    /// The last stream was let go.
    pub(super) fn close(&mut self, now: Nanos, out: &mut Outbox) {
        for link in self.links.drain(..) {
            if let Some(id) = link.id.filter(|_| self.opened) {
                self.control.push_back(Transmit::Close { link: id });
            }
        }
        self.opened = false;
        self.reconcile.stop();
        (self.time_at, self.listen_key_at) = (Nanos::MAX, Nanos::MAX);
        self.dead_man_at = Nanos::MAX;
        self.time_asked = false;
        self.listen_key.clear();
        self.note_whole(now);
        for pending in core::mem::take(&mut self.pending) {
            self.fail_lost(now, pending, out);
        }
    }

    /// Whether a link is the desk's.
    pub fn has_link(&self, id: LinkId) -> bool {
        self.links.iter().any(|link| link.id == Some(id))
    }

    /// The role of a link.
    pub(super) fn role_of(&self, id: LinkId) -> Option<Role> {
        let link = self.links.iter().find(|link| link.id == Some(id))?;
        Some(link.role)
    }

    /// Whether every link is logged in.
    pub(super) fn is_up(&self) -> bool {
        let mut links = self.links.iter();
        links.all(|link| link.state == State::Ready)
    }

    /// Whether requests of this kind can go now.
    pub(super) fn can_send(&self, way: Way) -> bool {
        match way {
            Way::Link(role, _) => {
                let link = self.links.iter().find(|link| link.role == role);
                link.is_some_and(|link| link.state == State::Ready)
            }
            Way::Http => self.time.synced_at().is_some(),
            Way::None => false,
        }
    }

    /// A link came up: it is told its prelude.
    pub fn handle_up(&mut self, now: Nanos, id: LinkId, out: &mut Outbox) {
        let Some(role) = self.role_of(id) else { return };
        self.lose(now, role, out);
        self.tell(now, role, 0, out);
    }

    /// A link went down.
    pub fn handle_down(&mut self, now: Nanos, id: LinkId, out: &mut Outbox) {
        if let Some(role) = self.role_of(id) {
            self.lose(now, role, out);
        }
    }

    /// Tells a link the next of its prelude, or finds it ready.
    fn tell(&mut self, now: Nanos, role: Role, told: usize, out: &mut Outbox) {
        let next = self.dialect.prelude(role).get(told).copied();
        let heartbeat_at = self
            .rules
            .heartbeat_ns
            .map_or(Nanos::MAX, |span| now + span);
        let Some(link) = self.links.iter_mut().find(|link| link.role == role) else {
            return;
        };
        let Some(job) = next else {
            link.state = State::Ready;
            if self.dead_man_at == Nanos::MAX && self.dialect.dead_man_ns().is_some() {
                self.dead_man_at = now;
            }
            if self.is_up() {
                self.begin_reconcile(now, out);
            }
            return;
        };
        link.state = State::Telling(told);
        if told == 0 {
            link.heartbeat_at = heartbeat_at;
        }
        self.push(now, job, For::Upkeep);
    }

    /// A request of a link's prelude was answered.
    pub(super) fn told(&mut self, now: Nanos, role: Role, out: &mut Outbox) {
        let link = self.links.iter().find(|link| link.role == role);
        if let Some(State::Telling(told)) = link.map(|link| link.state) {
            self.tell(now, role, told + 1, out);
        }
    }

    /// A request of a link's prelude was refused: without it the link is no use.
    pub(super) fn told_off(&mut self, role: Role, why: &'static str) {
        let link = self.links.iter().find(|link| link.role == role);
        if let Some(id) = link.filter(|link| link.is_up()).and_then(|link| link.id) {
            self.control
                .push_back(Transmit::Reconnect { link: id, why });
        }
    }

    /// A log-in was granted for so long.
    pub(super) fn logged_in(&mut self, now: Nanos, role: Role, life_ns: Nanos) {
        if let Some(link) = self.links.iter_mut().find(|link| link.role == role) {
            let used = Nanos(life_ns.0 / 100 * LOGIN_USED_PERCENT).min(LOGIN_AGE_MAX_NS);
            link.login_at = now + used.max(LOGIN_RETRY_NS);
            link.login_ends_at = now + life_ns;
        }
    }

    /// Whether a log-in that was refused was a renewal, and the old one still holds: then another try
    /// follows.
    pub(super) fn is_still_logged_in(&self, now: Nanos, role: Role) -> bool {
        let link = self.links.iter().find(|link| link.role == role);
        link.is_some_and(|link| link.state == State::Ready && now < link.login_ends_at)
    }

    /// Logs in again where that is due.
    pub(super) fn renew_logins(&mut self, now: Nanos) {
        let mut due = arrayvec::ArrayVec::<Role, 4>::new();
        for link in self.links.iter_mut().filter(|link| link.login_at <= now) {
            link.login_at = now + LOGIN_RETRY_NS;
            let _ = due.try_push(link.role);
        }
        for role in due {
            self.push(now, Job::Login(role), For::Upkeep);
        }
    }

    fn begin_reconcile(&mut self, now: Nanos, out: &mut Outbox) {
        let mut needs = vec![Need::OpenOrders, Need::Balances];
        if self.rules.has_positions {
            needs.push(Need::Positions);
        }
        if self.born == Nanos::ZERO {
            self.born = self.time.venue_now(now);
        } else {
            needs.extend(
                self.holdings
                    .iter()
                    .map(|held| Need::Fills(held.venue_symbol)),
            );
        }
        self.reconcile.begin(now, needs);
        self.go_on(now, out);
    }

    /// Up to now every event has come.
    fn note_whole(&mut self, now: Nanos) {
        if self.is_whole() {
            self.whole_until = self.whole_until.max(self.time.venue_now(now));
        }
    }

    /// The connection is gone: what was sent on it and not answered is of unknown fate, and nobody knows
    /// what the account did since.
    fn lose(&mut self, now: Nanos, role: Role, out: &mut Outbox) {
        self.note_whole(now);
        let Some(link) = self.links.iter_mut().find(|link| link.role == role) else {
            return;
        };
        link.state = State::Down;
        link.heartbeat_at = Nanos::MAX;
        (link.login_at, link.login_ends_at) = (Nanos::MAX, Nanos::MAX);
        self.reconcile.stop();
        let times = Times::ours(now);
        for UserStream { stream, .. } in &mut self.streams {
            if stream.is_live() {
                stream.change(StreamState::Stale, Reason::LinkDown, None, times, out);
            }
            stream.next_epoch();
        }
        let is_of = |pending: &Pending| match (pending.way, pending.purpose) {
            (Way::Link(of, _), _) => of == role,
            (_, For::Need(_)) => true,
            // By HTTP, about a link that is none any more.
            _ => pending.job.prelude_of() == Some(role),
        };
        let mut lost = Vec::new();
        let mut index = 0;
        while let Some(pending) = self.pending.get(index) {
            if is_of(pending) {
                lost.push(self.pending.remove(index));
            } else {
                index += 1;
            }
        }
        for pending in lost {
            self.fail_lost(now, pending, out);
        }
    }

    /// A request whose link is gone.
    fn fail_lost(&mut self, now: Nanos, pending: Pending, out: &mut Outbox) {
        let error = match pending.sent_at {
            None => not_sent(
                ErrorKind::Disconnected,
                500,
                "the link went down before the request left",
            ),
            Some(_) => {
                let is_login = matches!(pending.job, Job::Login(_) | Job::Listen(_));
                let refused = self.dialect.dropped().filter(|_| is_login);
                refused.unwrap_or_else(|| {
                    let text = "the link went down before the answer came";
                    unknown(ErrorKind::Disconnected, text)
                })
            }
        };
        self.fail(now, pending, error, out);
    }

    /// Requests without an answer in time.
    pub(super) fn give_up(&mut self, now: Nanos, names: &dyn Names, out: &mut Outbox) {
        while let Some(index) = self.pending.iter().position(|one| one.deadline <= now) {
            let pending = self.pending.remove(index);
            let is_link = matches!(pending.way, Way::Link(..));
            if pending.sent_at.is_some() && is_link && !self.dialect.is_answered(&pending.job) {
                self.finish(now, pending, Ok(Told::Done), names, out);
                continue;
            }
            let error = match pending.sent_at {
                None if pending.way == Way::None => {
                    let why = self.dialect.why_not(&pending.job);
                    crate::Error::ours(ErrorKind::NotSupported, why)
                }
                None => not_sent(
                    ErrorKind::RateLimited,
                    1_000,
                    "there was no room for the request",
                ),
                Some(_) => unknown(ErrorKind::Timeout, "no answer in time"),
            };
            if let (Some(role), Some(_)) = (pending.job.prelude_of(), pending.sent_at) {
                self.told_off(role, "no answer to the log-in");
            }
            self.finish(now, pending, Err(error), names, out);
        }
    }

    /// Shows the venue that we live.
    pub(super) fn beat(&mut self, now: Nanos) {
        let Some(span) = self.rules.heartbeat_ns else {
            return;
        };
        let mut due = arrayvec::ArrayVec::<Role, 4>::new();
        for link in &mut self.links {
            if link.heartbeat_at <= now {
                link.heartbeat_at = now + span;
                let _ = due.try_push(link.role);
            }
        }
        for role in due {
            self.push(now, Job::Heartbeat(role), For::Upkeep);
        }
    }
}

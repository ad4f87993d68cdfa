//! One WebSocket link: its course, its subscriptions, and who takes over from it. How it shows that it
//! lives, and what is said on it, is the venue's ([`Life`], [`Dialect`]).

use super::dialect::Dialect;
use crate::governor::Governor;
use crate::subscriptions::{Rules, Subscriptions};
use crate::time::Nanos;
use crate::transmit::{LinkId, Transmit};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LinkState {
    /// The engine has not been told of it.
    New,
    /// The engine makes it.
    Connecting,
    Up,
}

/// What the venue keeps beside a link: heartbeat, login.
pub(crate) trait Life: core::fmt::Debug {
    /// What was under way on the last connection is of none.
    fn quiet(&mut self);

    /// When the dialect is next to look at the link; [`Nanos::MAX`] for never.
    fn deadline(&self) -> Nanos;

    /// Whether the dialect has something to say on a link that is up.
    fn has_transmit(&self, subscriptions: &Subscriptions) -> bool;

    /// Whether all is in that the link had when its successor's topics were acked. Asked again until
    /// it is.
    fn is_proven(&mut self) -> bool {
        true
    }

    /// A topic was acked on the link that takes over from this one.
    fn note_successor_acked(&mut self) {}
}

/// One WebSocket link.
#[derive(Debug)]
pub(crate) struct Link<L> {
    pub(crate) id: LinkId,
    pub(crate) subscriptions: Subscriptions,
    state: LinkState,
    /// Topics that streams want.
    topics: usize,
    cut: Option<&'static str>,
    /// The other of a pair.
    pub(super) mate: Option<LinkId>,
    /// The link that takes over from this one.
    pub(super) successor: Option<LinkId>,
    /// When it is too old, or, once it is being replaced, when what is silent is moved.
    pub(super) retire_at: Nanos,
    pub(crate) life: L,
}

/// Whether a link is still needed once its output is taken.
#[derive(Debug)]
pub(crate) enum LinkOutput {
    /// Nothing to do now.
    Nothing,
    /// This is to be done.
    Do(Transmit),
    /// This is to be done, and then these topics have been asked for, at a venue that acks nothing.
    Asked(Transmit, Vec<String>),
    /// It is no longer wanted: this is to be done, if anything, and the link forgotten.
    Forget(Option<Transmit>),
}

impl<L: Life> Link<L> {
    pub(super) fn new(id: LinkId, rules: Rules, life: L) -> Link<L> {
        Link {
            id,
            subscriptions: Subscriptions::new(rules),
            state: LinkState::New,
            topics: 0,
            cut: None,
            mate: None,
            successor: None,
            retire_at: Nanos::MAX,
            life,
        }
    }

    #[inline]
    pub(crate) fn is_up(&self) -> bool {
        self.state == LinkState::Up
    }

    /// How many topics streams want.
    pub(crate) const fn topics(&self) -> usize {
        self.topics
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

    /// Its connection is made; the dialect begins its life.
    pub(super) fn handle_up(&mut self, retire_at: Nanos) {
        self.quiet();
        self.subscriptions.handle_up();
        self.state = LinkState::Up;
        self.retire_at = retire_at;
    }

    pub(super) fn handle_down(&mut self) {
        self.subscriptions.handle_down();
        if self.state == LinkState::Up {
            self.state = LinkState::Connecting;
        }
        self.quiet();
    }

    fn quiet(&mut self) {
        self.life.quiet();
        self.cut = None;
    }

    /// Cuts the link; what it carried is to be told by the caller.
    pub(super) fn cut(&mut self, why: &'static str) {
        if self.is_up() {
            self.handle_down();
            self.cut = Some(why);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Nanos> {
        if !self.is_up() {
            return None;
        }
        let always = [self.life.deadline(), self.retire_at];
        let requests = self.subscriptions.poll_timeout();
        requests.into_iter().chain(always).min()
    }

    #[inline]
    pub(super) fn has_transmit(&self) -> bool {
        self.topics == 0
            || self.state == LinkState::New
            || self.cut.is_some()
            || self.life.has_transmit(&self.subscriptions)
    }

    pub(super) fn poll<D: Dialect<Life = L>>(
        &mut self,
        now: Nanos,
        dialect: &mut D,
        governor: &Governor,
        body: &mut Vec<u8>,
    ) -> LinkOutput {
        let link = self.id;
        if self.topics == 0 {
            let known = self.state != LinkState::New;
            return LinkOutput::Forget(known.then_some(Transmit::Close { link }));
        }
        if self.state == LinkState::New {
            self.state = LinkState::Connecting;
            let spec = Box::new(dialect.link_spec());
            return LinkOutput::Do(Transmit::Open { link, spec });
        }
        if let Some(why) = self.cut.take() {
            return LinkOutput::Do(Transmit::Reconnect { link, why });
        }
        dialect.poll_link(now, self, governor, body)
    }
}

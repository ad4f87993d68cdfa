//! One stream: how it stands with its venue, and when it is next to be looked at.
//!
//! The course of a stream is the same at every venue of topics: its instrument is asked for, then its
//! topic; its data comes in, breaks, is asked for anew after a wait; it falls silent and is heard again.
//! What it carries, and what is kept of two links that carry it, is the venue's ([`Kept`]).

use tickwire_orderbook::{Scale, Side, prefetch};

use super::routes::Topic;
use crate::agreement::Agreement;
use crate::connector::Counters;
use crate::event::{Reason, StreamState};
use crate::instrument::Instrument;
use crate::liveness::Watch;
use crate::outbox::Outbox;
use crate::stream::{BookKeeper, Levels, Stream, Times};
use crate::time::Nanos;
use crate::transmit::LinkId;
use crate::upkeep::Upkeep;
use crate::wide::WideBody;

/// First wait before a broken stream is asked for anew; it doubles with each try.
const RESYNC_BACKOFF_MIN: Nanos = Nanos::from_millis(100);

/// Longest wait before a broken stream is asked for anew.
const RESYNC_BACKOFF_MAX: Nanos = Nanos::from_secs(30);

/// A stream that was Live for this long starts again at the shortest wait.
pub(crate) const RESYNC_HEALTHY: Nanos = Nanos::from_secs(60);

/// What sends its first message with the ack or before it is asked for anew after this long.
pub(crate) const SNAPSHOT_TIMEOUT: Nanos = Nanos::from_secs(10);

/// How a stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Its instrument is asked for; at `until` defaults have to do.
    Resolving { until: Nanos },
    /// It waits for data; at `until`, set once the venue has acked, for long enough.
    Waiting { until: Option<Nanos> },
    /// Its data is in.
    Live,
    /// It is broken, and asked for anew at `until`.
    Backoff { until: Nanos },
}

/// What comes of a topic once it is acked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum First {
    /// Perhaps nothing for long, as nothing may have happened: it is Live with the ack.
    Event,
    /// Its state, within a time.
    State,
    /// Nothing promises when.
    Whenever,
}

/// What the venue keeps beside a stream: what it carries, and what two links make of each other.
pub(crate) trait Kept: core::fmt::Debug + Sized {
    /// The book, where the stream is one that is held against the best prices.
    fn book(&self) -> Option<&BookKeeper>;

    /// The best prices, where the stream is those alone.
    fn best(&self) -> Option<&BookKeeper> {
        None
    }

    /// Forgets what came: what comes from here on stands for itself.
    fn reset(&mut self);

    /// What comes of the topic once it is acked.
    fn first(&self) -> First;

    /// Whether the venue sends its state when the topic is asked for, and only then.
    fn has_snapshot(&self) -> bool;

    /// Whether there is a state that a strategy may wish to be fetched anew.
    fn is_fetched(&self) -> bool;

    /// Starts from what another stream of the same topic holds, which is Live.
    fn join(entry: &mut Entry<Self>, other: &Entry<Self>, context: &mut Context<'_>);

    /// Takes over what another stream of the same topic knows of its links.
    fn join_links(&mut self, _other: &Self) {}

    /// Publishes what is there again, for one who joins late; the stream is Live.
    fn republish(entry: &mut Entry<Self>, times: Times, out: &mut Outbox);

    /// Whether a message that can't be read breaks the stream.
    fn breaks_if_malformed(entry: &Entry<Self>) -> bool {
        let resyncs = entry.stream.state() == StreamState::Resync;
        match entry.phase {
            Phase::Resolving { .. } | Phase::Backoff { .. } => false,
            Phase::Waiting { .. } => !resyncs || entry.own.has_snapshot(),
            Phase::Live => true,
        }
    }

    /// When [`handle_timeout`](Kept::handle_timeout) is next to be called.
    #[inline]
    fn deadline(&self) -> Nanos {
        Nanos::MAX
    }

    /// What was waited for may have to be given up.
    fn handle_timeout(_entry: &mut Entry<Self>, _context: &mut Context<'_>) {}

    // Links.

    /// A link that carries it has come up.
    fn begin_link(&mut self, _link: LinkId) {}

    /// The topic is asked for anew on all links: what comes before their acks is of before.
    fn ask_anew(&mut self) {}

    /// The venue has acked the topic on a link.
    fn note_ack(&mut self, _link: LinkId) {}

    /// It is Live by a link's ack.
    fn start_with(&mut self, _link: LinkId) {}

    /// It can't go on without a link, though another may live.
    fn lose_with(&mut self, _link: LinkId, _lives: bool) {}

    /// It is heard again after a silence.
    fn handle_heard(&mut self) {}

    /// A second link begins to carry it beside `leader`.
    fn begin_pair(entry: &mut Entry<Self>, leader: LinkId);

    /// One link is left: what it has not sent yet it may send again.
    fn end_pair(&mut self, now: Nanos);

    /// Whether it would go on without a break on `link` alone, which has acked it.
    fn goes_on_with(&self, link: LinkId) -> bool;

    /// It goes on without `lost`, on `other` alone.
    fn lead(entry: &mut Entry<Self>, lost: LinkId, other: LinkId, now: Nanos, out: &mut Outbox);

    /// Whether all that it has comes by a link that has been found in step.
    fn is_on(&self, _link: LinkId) -> bool {
        true
    }

    /// Whether it may move to a link that has acked it and has not been found in step, after a while.
    fn may_move_to(&self, link: LinkId) -> bool;
}

/// A stream and what is kept beside it.
#[derive(Debug)]
pub(crate) struct Entry<K> {
    pub(crate) stream: Stream,
    /// What is the venue's.
    pub(crate) own: K,
    /// Empty while its instrument is not known.
    pub(crate) topic: Topic,
    pub(crate) route: Option<usize>,
    pub(crate) phase: Phase,
    /// A companion: best prices beside a book, for us alone.
    pub(crate) hidden: bool,
    /// Whether it has been told that the stream is quiet.
    told_quiet: bool,
    pub(crate) watch: Watch,
    /// Of a book, with the best prices of its instrument.
    pub(crate) agreement: Agreement,
    pub(crate) disagreed_at: Nanos,
    /// Unlike those of every other entry: what is asked about one must not be taken for another.
    pub(crate) serial: u32,
    /// Whether its next connection is another than before.
    lost: bool,
    /// Resyncs in a row.
    tries: u32,
    live_since: Nanos,
}

/// What the methods of an entry work with.
pub(crate) struct Context<'a> {
    pub(crate) now: Nanos,
    /// Where the message at hand came from.
    pub(crate) link: LinkId,
    /// Whether another link may bring what is missing on this one.
    pub(crate) healable: bool,
    /// Whether the message shows that its link is in step.
    pub(crate) in_step: bool,
    pub(crate) rng: &'a mut fastrand::Rng,
    pub(crate) counters: &'a mut Counters,
    pub(crate) out: &'a mut Outbox,
}

impl<'a> Context<'a> {
    /// For what no message of a link causes.
    pub(crate) fn new(
        now: Nanos,
        rng: &'a mut fastrand::Rng,
        counters: &'a mut Counters,
        out: &'a mut Outbox,
    ) -> Context<'a> {
        Context {
            now,
            link: LinkId(0),
            healable: false,
            in_step: false,
            rng,
            counters,
            out,
        }
    }
}

impl<K: Kept> Entry<K> {
    pub(crate) fn new(
        stream: Stream,
        own: K,
        phase: Phase,
        upkeep: &Upkeep,
        serial: u32,
    ) -> Entry<K> {
        Entry {
            watch: Watch::new(upkeep.expectations.of(stream.channel)),
            agreement: Agreement::new(upkeep.top_differs_max_ns),
            disagreed_at: Nanos::ZERO,
            stream,
            own,
            topic: Topic::new_const(),
            route: None,
            phase,
            hidden: false,
            told_quiet: false,
            serial,
            lost: true,
            tries: 0,
            live_since: Nanos::ZERO,
        }
    }

    /// Asks for all that a message of it needs, where there are so many that it is far away.
    #[inline]
    pub(crate) fn prefetch(&self) {
        prefetch(&self.own);
        prefetch(&self.watch);
        prefetch(&self.agreement);
        prefetch(&self.phase);
        prefetch(&self.hidden);
        self.stream.prefetch();
        if let Some(keeper) = self.own.book() {
            keeper.book().prefetch();
        }
    }

    /// When it is next to be looked at.
    #[inline]
    pub(crate) fn deadline(&self) -> Nanos {
        let phase = match self.phase {
            Phase::Resolving { until } | Phase::Backoff { until } => until,
            Phase::Waiting { until } => until.unwrap_or(Nanos::MAX),
            Phase::Live => Nanos::MAX,
        };
        let watch = self.watch.deadline().min(self.agreement.deadline());
        phase.min(self.own.deadline()).min(watch)
    }

    /// The book, or the best prices as one, where there is either.
    #[inline]
    pub(crate) fn keeper(&self) -> Option<&BookKeeper> {
        self.own.book().or_else(|| self.own.best())
    }

    /// Where its events go: those of a companion nowhere.
    #[inline]
    pub(crate) fn sink<'a>(&self, unseen: &'a mut Outbox, out: &'a mut Outbox) -> &'a mut Outbox {
        if self.hidden {
            unseen.clear();
            unseen
        } else {
            out
        }
    }

    pub(crate) fn reset(&mut self) {
        self.agreement.reset();
        self.own.reset();
    }

    // Links.

    /// The topic is asked for anew: what comes from here on stands for itself.
    pub(crate) fn wait_anew(&mut self) {
        self.reset();
        self.own.ask_anew();
        self.phase = Phase::Waiting { until: None };
    }

    /// The venue has acked the topic on a link.
    pub(super) fn handle_ack(&mut self, now: Nanos, link: LinkId, out: &mut Outbox) {
        self.watch.start(now);
        self.own.note_ack(link);
        match self.own.first() {
            First::Event if matches!(self.phase, Phase::Waiting { .. }) => {
                self.own.start_with(link);
                self.go_live(now, Times::ours(now), out);
            }
            First::State => self.await_first(now),
            _ => {}
        }
    }

    /// Its state must show within its time.
    pub(crate) fn await_first(&mut self, now: Nanos) {
        if matches!(self.phase, Phase::Waiting { .. }) {
            let until = Some(now + SNAPSHOT_TIMEOUT);
            self.phase = Phase::Waiting { until };
        }
    }

    /// A link is lost that it can't go on without, though another may `live`: nothing is to be believed
    /// until fresh data is in.
    pub(super) fn handle_link_down(
        &mut self,
        now: Nanos,
        link: LinkId,
        lives: bool,
        out: &mut Outbox,
    ) {
        self.wait_anew();
        self.own.lose_with(link, lives);
        self.watch.stop();
        self.told_quiet = false;
        self.lost = true;
        let stale = StreamState::Stale;
        self.stream
            .change(stale, Reason::LinkDown, None, Times::ours(now), out);
    }

    /// A link is up: the topic is asked for, whatever was under way before.
    pub(super) fn handle_link_up(&mut self, link: LinkId) {
        self.own.begin_link(link);
        if core::mem::take(&mut self.lost) {
            self.stream.next_epoch();
        }
        if self.phase != Phase::Live {
            self.phase = Phase::Waiting { until: None };
        }
    }

    /// It is on another link, and was Live all along.
    pub(super) fn handle_handover(&mut self, now: Nanos, out: &mut Outbox) {
        self.stream.next_epoch();
        self.stream
            .remark(Reason::HandedOver, Times::ours(now), out);
    }

    // Silence.

    /// Heard again after a silence that may have been told.
    #[cold]
    pub(crate) fn handle_heard(&mut self, now: Nanos, out: &mut Outbox) {
        self.own.handle_heard();
        if core::mem::take(&mut self.told_quiet) {
            self.stream.remark(Reason::Heard, Times::ours(now), out);
        }
    }

    /// It is silent for longer than expected.
    pub(super) fn handle_quiet(&mut self, now: Nanos, out: &mut Outbox) {
        if !core::mem::replace(&mut self.told_quiet, true) {
            self.stream.remark(Reason::Quiet, Times::ours(now), out);
        }
    }

    /// The venue has sent what did not come: nothing is to be believed, and the topic is asked for
    /// anew at once.
    pub(super) fn handle_mute(&mut self, now: Nanos, out: &mut Outbox) {
        self.told_quiet = false;
        let stale = StreamState::Stale;
        self.stream
            .change(stale, Reason::Mute, None, Times::ours(now), out);
        self.reset();
        self.phase = Phase::Backoff { until: now };
    }

    /// It stayed mute though it was asked for anew: its link is made anew.
    pub(super) fn handle_dead(&mut self, now: Nanos, out: &mut Outbox) {
        let (stale, times) = (StreamState::Stale, Times::ours(now));
        self.stream.change(stale, Reason::Mute, None, times, out);
        self.stream.remark(Reason::Dead, times, out);
    }

    // From message to message.

    pub(crate) fn go_live(&mut self, now: Nanos, times: Times, out: &mut Outbox) {
        if core::mem::take(&mut self.lost) {
            // On the other of two links, which was up all along.
            self.stream.next_epoch();
        }
        if self.phase != Phase::Live {
            self.phase = Phase::Live;
            self.live_since = now;
        }
        self.stream
            .change(StreamState::Live, Reason::Synced, None, times, out);
    }

    /// It can't go on from what it has. What has a snapshot asks for it after a wait; the rest is
    /// whole again with its next message.
    pub(crate) fn break_off(
        &mut self,
        reason: Reason,
        gap: Option<(u64, u64)>,
        times: Times,
        context: &mut Context<'_>,
    ) {
        let counters = &mut *context.counters;
        counters.resyncs += 1;
        counters.gaps += u64::from(gap.is_some());
        counters.crossed += u64::from(reason == Reason::Crossed);
        let resync = StreamState::Resync;
        self.stream.change(resync, reason, gap, times, context.out);
        let healthy = context.now.since(self.live_since) >= RESYNC_HEALTHY;
        if self.phase == Phase::Live && healthy {
            self.tries = 0;
        }
        self.reset();
        if matches!(self.phase, Phase::Backoff { .. }) {
            // It is on its way already, and must not be put off by every further fault.
            return;
        }
        self.phase = if self.own.has_snapshot() || reason == Reason::SnapshotFailed {
            let until = context.now + backoff(self.tries, context.rng);
            self.tries = self.tries.saturating_add(1);
            Phase::Backoff { until }
        } else {
            Phase::Waiting { until: None }
        };
    }

    /// As [`break_off`](Entry::break_off), but the wait is over already: for a strategy's wish.
    pub(super) fn break_off_now(&mut self, reason: Reason, context: &mut Context<'_>) {
        self.break_off(reason, None, Times::ours(context.now), context);
        self.phase = Phase::Backoff { until: context.now };
    }

    /// A message for the stream could not be read: something is missing from here on.
    pub(crate) fn handle_malformed(&mut self, context: &mut Context<'_>) {
        context.counters.malformed += 1;
        if K::breaks_if_malformed(self) {
            let times = Times::ours(context.now);
            self.break_off(Reason::Malformed, None, times, context);
        }
    }

    /// Joins a topic that another stream has: from here on both see the same messages, so this one
    /// starts from what that one holds.
    pub(super) fn join(&mut self, other: &Entry<K>, context: &mut Context<'_>) {
        let scales = (other.stream.price_scale(), other.stream.qty_scale());
        self.set_scales(scales, context);
        self.own.join_links(&other.own);
        if other.stream.is_live() {
            self.stream.set_seq(other.stream.seq());
            K::join(self, other, context);
        } else if !matches!(other.phase, Phase::Live | Phase::Waiting { until: None }) {
            // The other may go before its wait is over: each has its own.
            self.phase = other.phase;
        }
    }

    /// Another scale is needed to read a book. True where the message at hand, read at it, is to be
    /// taken: it `is_whole`, or broke no book.
    pub(crate) fn handle_rescale(
        &mut self,
        scales: (Scale, Scale),
        is_whole: bool,
        context: &mut Context<'_>,
    ) -> bool {
        if self.stream.is_live() {
            self.break_off(Reason::Rescale, None, Times::ours(context.now), context);
        } else if !is_whole {
            // A delta before its snapshot is not for this book.
            return false;
        }
        self.set_scales(scales, context);
        is_whole
    }

    /// Changes the scales and says so.
    pub(crate) fn set_scales(&mut self, scales: (Scale, Scale), context: &mut Context<'_>) {
        let instrument = &mut self.stream.instrument;
        (instrument.price_scale, instrument.qty_scale) = scales;
        self.publish_instrument(context.now, context.out);
    }

    pub(crate) fn publish_instrument(&self, now: Nanos, out: &mut Outbox) {
        let body = WideBody::Instrument(self.stream.instrument);
        self.stream.publish_wide(body, Times::ours(now), out);
    }

    /// The venue has told us of the instrument after all. The scales stay: the book is at them.
    pub(super) fn handle_instrument(&mut self, found: &Instrument, now: Nanos, out: &mut Outbox) {
        let instrument = &mut self.stream.instrument;
        *instrument = Instrument {
            price_scale: instrument.price_scale,
            qty_scale: instrument.qty_scale,
            ..*found
        };
        self.publish_instrument(now, out);
    }

    /// Publishes what is there again, for one who joins late.
    pub(super) fn republish(&mut self, now: Nanos, out: &mut Outbox) {
        if self.stream.is_live() {
            K::republish(self, Times::ours(now), out);
        }
    }
}

/// All levels of a book, for another that joins it.
pub(crate) fn levels_of(keeper: &BookKeeper) -> Levels {
    Levels {
        bids: keeper.book().levels(Side::Bid).collect(),
        asks: keeper.book().levels(Side::Ask).collect(),
    }
}

/// The wait before the next try: doubles from the shortest to the longest, and up to half of it on
/// top by chance.
fn backoff(tries: u32, rng: &mut fastrand::Rng) -> Nanos {
    let doubled = RESYNC_BACKOFF_MIN.0.checked_shl(tries.min(30));
    let wait = doubled.unwrap_or(i64::MAX).min(RESYNC_BACKOFF_MAX.0);
    Nanos(wait + rng.i64(0..=wait / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backoff_doubles_to_its_maximum_and_depends_on_the_seed_alone() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut twin = fastrand::Rng::with_seed(1);
        for tries in 0..100 {
            let wait = backoff(tries, &mut rng);
            assert_eq!(wait, backoff(tries, &mut twin));
            let least = (RESYNC_BACKOFF_MIN.0 << tries.min(20)).min(RESYNC_BACKOFF_MAX.0);
            assert!(
                (least..=least + least / 2).contains(&wait.0),
                "{tries}: {wait}"
            );
        }
    }
}

//! What is kept beside a stream: its book or ticker, how it stands with the venue, and when it is
//! next to be looked at.
//!
//! Bybit's rules (websocket/public/orderbook, 2026-07-24; measured 2026-09 where the page is silent):
//!
//! - A snapshot replaces the book, whenever it comes.
//! - Each delta has the number after the last one's. On a gap the topic is let go and asked for
//!   anew, after a wait that doubles from 100 ms to 30 s and has a seeded jitter, so that books which
//!   broke together don't come back together.
//! - `u == 1` means that the service has restarted and that this message is the book.
//! - Level 1 is snapshots only; after 3 quiet seconds it is sent again with the same `u`.
//!
//! The venue keeps the window of a book (its best 50, 200 or 1000 levels) filled by itself: levels
//! that enter it are sent and levels that leave it are deleted. So no book has a watermark.

use tickwire_orderbook::sequence::{Ids, SequenceRule};
use tickwire_orderbook::{Amount, Limits, Price, Scale, Side};

use super::links::LAG_KEPT_NS;
use super::parse::{BookMessage, Kind, TradeRow};
use super::subscribe::{Topic, book_depth};
use super::tape::{Head, TickerState};
use super::urls;
use crate::agreement::Agreement;
use crate::channel::{Channel, Interval};
use crate::connector::Counters;
use crate::event::{Event, Reason, StreamState};
use crate::hold::{Ahead, Joined};
use crate::instrument::{Instrument, Market};
use crate::liveness::Watch;
use crate::numbering::{Alike, Numbering};
use crate::outbox::Outbox;
use crate::seen::Seen;
use crate::stream::{Applied, BookKeeper, Break, Levels, Stream, Times};
use crate::time::Nanos;
use crate::transmit::LinkId;
use crate::upkeep::Upkeep;
use crate::wide::{Kline, WideBody};

/// What a stream carries.
#[derive(Debug)]
pub(super) enum Feed {
    /// `orderbook.50` and deeper.
    Book(BookKeeper),
    /// `orderbook.1`: each message is whole.
    Top(BookKeeper),
    Trades,
    /// `whole` says that a snapshot has come; `deltas` that the market sends deltas over it.
    Ticker {
        state: TickerState,
        whole: bool,
        deltas: bool,
    },
    Kline(Interval),
}

impl Feed {
    pub(super) fn new(market: Market, channel: Channel) -> Feed {
        match channel {
            Channel::Book(params) => {
                let depth = book_depth(params).unwrap_or(super::subscribe::DEPTH_DEFAULT);
                // The window holds `depth` levels; within a message it may hold more.
                let levels_max = usize::from(depth) * 2;
                Feed::Book(BookKeeper::new(SequenceRule::BYBIT, Limits { levels_max }))
            }
            Channel::Bbo => {
                let limits = Limits { levels_max: 4 };
                Feed::Top(BookKeeper::new(SequenceRule::BYBIT_LEVEL1, limits))
            }
            Channel::Ticker => Feed::Ticker {
                state: TickerState::default(),
                whole: false,
                deltas: market != Market::Spot,
            },
            Channel::Kline(interval) => Feed::Kline(interval),
            // A user stream is refused by its topic before it comes here.
            Channel::Trades | Channel::AggTrades | Channel::User => Feed::Trades,
        }
    }
}

/// How a stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its instrument is asked for; at `until` defaults have to do.
    Resolving { until: Nanos },
    /// It waits for data; at `until`, set once the venue has acked, for long enough.
    Waiting { until: Option<Nanos> },
    /// Its data is in.
    Live,
    /// It is broken, and asked for anew at `until`.
    Backoff { until: Nanos },
}

/// What the venue has sent last of a stream without a state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum LastWord {
    None,
    /// The time of a trade.
    Trade(Nanos),
    /// Start, last price and volume of a candle.
    Candle(Nanos, Price, Amount),
    /// The last price.
    Price(Option<Price>),
}

/// A stream and what is kept beside it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) stream: Stream,
    pub(super) feed: Feed,
    /// Empty while its instrument is not known.
    pub(super) topic: Topic,
    pub(super) route: Option<usize>,
    pub(super) phase: Phase,
    /// A companion: level 1 beside a book, for us alone.
    pub(super) hidden: bool,
    /// Whether it has been told that the stream is quiet.
    pub(super) told_quiet: bool,
    pub(super) watch: Watch,
    /// Of a book, with the level 1 of its instrument.
    pub(super) agreement: Agreement,
    pub(super) disagreed_at: Nanos,
    /// Unlike those of every other entry: what is asked about one must not be taken for another.
    pub(super) serial: u32,
    /// The venue's time and cross sequence of the last message.
    pub(super) last_ns: Nanos,
    pub(super) cross: u64,
    /// Of trades and candles, what came last, and what the last probe has found.
    pub(super) heard: LastWord,
    pub(super) probed: Option<LastWord>,
    /// Whether its next connection is another than before.
    lost: bool,
    /// What is kept while two links carry it, and a little longer.
    pair: Option<Box<PairOf>>,
    /// Resyncs in a row.
    pub(super) tries: u32,
    live_since: Nanos,
    /// Messages in a row with a number that was seen before.
    stale_run: u32,
}

/// What is kept of a stream that two links carry.
#[derive(Debug)]
struct PairOf {
    /// The link that the stream is on, while the two are not known to number alike; of kinds without
    /// numbers the one that the last message came by.
    leader: LinkId,
    numbering: Numbering,
    /// Cross sequence of the service's last restart: what is older is of another count, though its
    /// link may bring it after the other has told of the restart.
    restarted: u64,
    ahead: Ahead,
    scratch: Levels,
    seen: Seen,
    /// After this, what the one link sends is not what the other has sent.
    until: Nanos,
}

/// What the methods of an entry work with.
pub(super) struct Context<'a> {
    pub(super) now: Nanos,
    /// Where the message at hand came from.
    pub(super) link: LinkId,
    /// Whether another link may bring what is missing on this one.
    pub(super) healable: bool,
    /// Whether the message shows that its link is in step.
    pub(super) in_step: bool,
    pub(super) rng: &'a mut fastrand::Rng,
    pub(super) counters: &'a mut Counters,
    pub(super) out: &'a mut Outbox,
}

impl<'a> Context<'a> {
    /// For what no message of a link causes.
    pub(super) fn new(
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

impl Entry {
    pub(super) fn new(
        stream: Stream,
        feed: Feed,
        phase: Phase,
        upkeep: &Upkeep,
        serial: u32,
    ) -> Entry {
        Entry {
            watch: Watch::new(upkeep.expectations.of(stream.channel)),
            agreement: Agreement::new(upkeep.top_differs_max_ns),
            disagreed_at: Nanos::ZERO,
            stream,
            feed,
            topic: Topic::new_const(),
            route: None,
            phase,
            hidden: false,
            told_quiet: false,
            serial,
            last_ns: Nanos::ZERO,
            cross: 0,
            heard: LastWord::None,
            probed: None,
            lost: true,
            pair: None,
            tries: 0,
            live_since: Nanos::ZERO,
            stale_run: 0,
        }
    }

    /// When it is next to be looked at.
    #[inline]
    pub(super) fn deadline(&self) -> Nanos {
        let phase = match self.phase {
            Phase::Resolving { until } | Phase::Backoff { until } => until,
            Phase::Waiting { until } => until.unwrap_or(Nanos::MAX),
            Phase::Live => Nanos::MAX,
        };
        let ahead = match &self.pair {
            Some(pair) => pair.ahead.deadline(),
            None => Nanos::MAX,
        };
        let watch = self.watch.deadline().min(self.agreement.deadline());
        phase.min(ahead).min(watch)
    }

    /// Whether the venue sends a snapshot when the topic is asked for, and only then.
    fn has_snapshot(&self) -> bool {
        matches!(self.feed, Feed::Book(_) | Feed::Ticker { deltas: true, .. })
    }

    /// The book, where there is one.
    pub(super) fn keeper(&self) -> Option<&BookKeeper> {
        match &self.feed {
            Feed::Book(keeper) | Feed::Top(keeper) => Some(keeper),
            _ => None,
        }
    }

    pub(super) fn reset(&mut self) {
        self.stale_run = 0;
        self.agreement.reset();
        if let Some(pair) = &mut self.pair {
            pair.numbering.clear();
            pair.ahead.clear();
        }
        match &mut self.feed {
            Feed::Book(keeper) | Feed::Top(keeper) => keeper.reset(),
            Feed::Ticker { state, whole, .. } => {
                *state = TickerState::default();
                *whole = false;
            }
            Feed::Trades | Feed::Kline(_) => {}
        }
    }

    /// The topic is asked for anew: what comes from here on stands for itself.
    pub(super) fn wait_anew(&mut self) {
        self.reset();
        self.phase = Phase::Waiting { until: None };
    }

    /// The venue has acked the topic. A trade may be long in coming, so trades are Live with the
    /// ack; what has a snapshot must show it within its time.
    pub(super) fn handle_ack(&mut self, now: Nanos, out: &mut Outbox) {
        self.watch.start(now);
        if !matches!(self.phase, Phase::Waiting { .. }) {
            return;
        }
        match self.feed {
            Feed::Trades => self.go_live(now, Times::ours(now), out),
            Feed::Kline(_) => {}
            _ => {
                let until = Some(now + urls::SNAPSHOT_TIMEOUT);
                self.phase = Phase::Waiting { until };
            }
        }
    }

    /// All its links are lost: nothing is to be believed until fresh data is in.
    pub(super) fn handle_link_down(&mut self, now: Nanos, out: &mut Outbox) {
        self.wait_anew();
        self.watch.stop();
        self.told_quiet = false;
        self.lost = true;
        let stale = StreamState::Stale;
        self.stream
            .change(stale, Reason::LinkDown, None, Times::ours(now), out);
    }

    /// A link is up: the topic is asked for, whatever was under way before.
    pub(super) fn handle_link_up(&mut self) {
        if core::mem::take(&mut self.lost) {
            self.stream.next_epoch();
        }
        if self.phase != Phase::Live {
            self.phase = Phase::Waiting { until: None };
        }
    }

    // Two links.

    /// A second link begins to carry it beside `leader`.
    pub(super) fn begin_pair(&mut self, leader: LinkId) {
        let until = Nanos::MAX;
        match &mut self.pair {
            Some(pair) => (pair.leader, pair.until) = (leader, until),
            None => {
                self.pair = Some(Box::new(PairOf {
                    leader,
                    numbering: Numbering::new(),
                    restarted: 0,
                    ahead: Ahead::default(),
                    scratch: Levels::default(),
                    seen: Seen::new(),
                    until,
                }));
            }
        }
        // The book as it stands, should the other link's snapshot show no more.
        let cross = self.cross;
        if let (Some(last), Some(pair)) = (self.last_number(), &mut self.pair) {
            pair.numbering.note(leader, last, cross);
        }
    }

    fn last_number(&self) -> Option<u64> {
        self.keeper().and_then(BookKeeper::last)
    }

    /// One link is left: what it has not sent yet it may send again.
    pub(super) fn end_pair(&mut self, now: Nanos) {
        if let Some(pair) = &mut self.pair {
            pair.until = now + LAG_KEPT_NS;
        }
    }

    /// Whether it would go on without a break on `link` alone, which has acked it.
    pub(super) fn goes_on_with(&self, link: LinkId) -> bool {
        match (&self.feed, &self.pair) {
            (Feed::Book(_), Some(pair)) => {
                pair.leader == link || pair.numbering.alike() == Alike::Yes
            }
            (Feed::Book(_), None) => false,
            _ => true,
        }
    }

    /// From here on it is on `link`, if it goes on.
    pub(super) fn lead(&mut self, link: LinkId) {
        if let Some(pair) = &mut self.pair {
            pair.leader = link;
        }
    }

    /// It is on another link, and was Live all along.
    pub(super) fn handle_handover(&mut self, now: Nanos, out: &mut Outbox) {
        self.stream.next_epoch();
        self.stream
            .remark(Reason::HandedOver, Times::ours(now), out);
    }

    /// Whether its topic, healthy, may send nothing for long after the ack: it has no first message.
    pub(super) fn may_be_silent(&self) -> bool {
        matches!(
            self.feed,
            Feed::Trades | Feed::Kline(_) | Feed::Ticker { deltas: false, .. }
        )
    }

    /// What is kept of two links, where there are two or were a moment ago.
    #[inline]
    fn pair(&mut self, now: Nanos) -> Option<&mut PairOf> {
        if self.pair.as_ref().is_some_and(|pair| pair.until <= now) {
            self.pair = None;
        }
        self.pair.as_deref_mut()
    }

    /// Whether the other link has brought the message before; by the venue's time, for kinds whose
    /// messages stand for themselves. One link's are always news.
    fn is_news_by_time(&mut self, exch_ns: Nanos, context: &mut Context<'_>) -> bool {
        let last_ns = self.last_ns;
        let Some(pair) = self.pair(context.now) else {
            self.last_ns = exch_ns;
            return true;
        };
        context.in_step = true;
        let is_news = exch_ns > last_ns || pair.leader == context.link;
        if is_news {
            pair.leader = context.link;
            self.last_ns = exch_ns;
        } else {
            context.counters.duplicates += 1;
        }
        is_news
    }

    /// A book message while two links carry the topic. True where it is to be handled as that of one
    /// link is.
    #[cold]
    fn judge_of_two(&mut self, message: &BookMessage, context: &mut Context<'_>) -> bool {
        let (link, seq) = (context.link, message.seq);
        let (cross, last) = (self.cross, self.last_number());
        let is_top = matches!(self.feed, Feed::Top(_));
        let Some(pair) = self.pair(context.now) else {
            return true;
        };
        if is_top {
            // Each message is whole, and the engine's sequence tells which is newer.
            context.in_step = true;
            let is_news = link == pair.leader || message.cross > cross || last.is_none();
            if is_news {
                pair.leader = link;
            } else {
                context.counters.duplicates += 1;
            }
            return is_news;
        }
        if message.cross < pair.restarted {
            context.counters.duplicates += 1;
            return false;
        }
        if last.is_none() {
            // The first snapshot is the book, whichever link it comes by.
            if message.kind == Kind::Snapshot || seq == RESTART {
                pair.leader = link;
                pair.numbering.note(link, seq, message.cross);
                context.in_step = true;
            }
            return true;
        }
        let before = pair.numbering.alike();
        let known = pair.numbering.note(link, seq, message.cross);
        let alike = pair.numbering.alike();
        if alike == Alike::No && before != Alike::No {
            context.counters.unalike += 1;
        }
        context.in_step = link == pair.leader || alike == Alike::Yes;
        if link == pair.leader {
            return true;
        }
        if known {
            context.counters.duplicates += 1;
            return false;
        }
        if message.kind == Kind::Snapshot {
            // What the book does not have yet is the book now; what is older has to catch up.
            let newer = message.cross > cross;
            if newer {
                pair.leader = link;
                pair.ahead.clear();
                context.in_step = true;
            }
            return newer;
        }
        alike == Alike::Yes
    }

    /// A delta that does not follow. True where it waits for what another link may bring.
    #[cold]
    fn wait_for_other(
        &mut self,
        seq: u64,
        gap: (u64, u64),
        levels: &Levels,
        times: Times,
        context: &mut Context<'_>,
    ) -> bool {
        let Some(pair) = &mut self.pair else {
            return false;
        };
        let healable = context.healable && pair.numbering.alike() == Alike::Yes;
        healable && pair.ahead.push(Ids::single(seq), levels, times, gap)
    }

    /// The book has moved on: what waited for that may follow now.
    #[cold]
    fn join_ahead(&mut self, context: &mut Context<'_>) {
        let (Feed::Book(keeper), Some(pair)) = (&mut self.feed, self.pair.as_deref_mut()) else {
            return;
        };
        if pair.ahead.is_empty() {
            return;
        }
        let PairOf { ahead, scratch, .. } = pair;
        match ahead.join(keeper, &mut self.stream, scratch, context.out) {
            Joined::Whole => context.counters.healed += u64::from(ahead.is_empty()),
            Joined::Broken(why) => {
                let times = Times::ours(context.now);
                self.break_off(why.reason(), why.gap(), times, context);
            }
        }
    }

    /// A gap that no link has filled in its time.
    pub(super) fn handle_ahead_timeout(&mut self, context: &mut Context<'_>) {
        let overdue = self.pair.as_ref();
        if let Some(why) = overdue.and_then(|pair| pair.ahead.overdue(context.now)) {
            let times = Times::ours(context.now);
            self.break_off(why.reason(), why.gap(), times, context);
        }
    }

    // Silence.

    /// Heard again after a silence that may have been told.
    #[cold]
    pub(super) fn handle_heard(&mut self, now: Nanos, out: &mut Outbox) {
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

    fn go_live(&mut self, now: Nanos, times: Times, out: &mut Outbox) {
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
    pub(super) fn break_off(
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
        let healthy = context.now.since(self.live_since) >= urls::RESYNC_HEALTHY;
        if self.phase == Phase::Live && healthy {
            self.tries = 0;
        }
        self.reset();
        if matches!(self.phase, Phase::Backoff { .. }) {
            // It is on its way already, and must not be put off by every further fault.
            return;
        }
        self.phase = if self.has_snapshot() || reason == Reason::SnapshotFailed {
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

    /// A book message at the stream's scales.
    #[inline]
    pub(super) fn handle_book(
        &mut self,
        message: &BookMessage,
        levels: &Levels,
        context: &mut Context<'_>,
    ) {
        let times = Times {
            exch_ns: message.exch_ns,
            recv_ns: context.now,
        };
        if self.pair.is_some() && !self.judge_of_two(message, context) {
            return;
        }
        match (&mut self.feed, message.kind) {
            (Feed::Book(keeper), Kind::Delta) => {
                // What comes before the snapshot is not for this book.
                if keeper.last().is_none() && message.seq != RESTART {
                    return;
                }
                let ids = Ids::single(message.seq);
                let applied = keeper.apply(&mut self.stream, &ids, levels, times, context.out);
                match applied {
                    Applied::Yes => {
                        self.stale_run = 0;
                        self.cross = message.cross;
                        if self.pair.is_some() {
                            self.join_ahead(context);
                        }
                    }
                    Applied::Broken(Break::Restart) => {
                        self.take_whole(message, levels, times, context);
                    }
                    Applied::Broken(Break::Gap { expected, got })
                        if self.wait_for_other(
                            message.seq,
                            (expected, got),
                            levels,
                            times,
                            context,
                        ) => {}
                    Applied::Broken(why) => {
                        self.break_off(why.reason(), why.gap(), times, context);
                    }
                    Applied::Stale | Applied::Repeat => {
                        self.seen_before(message.seq, times, context)
                    }
                }
            }
            (Feed::Book(_), Kind::Snapshot) => self.take_whole(message, levels, times, context),
            (Feed::Top(keeper), Kind::Snapshot) => match keeper.last() {
                // Two restarts have the same number: only the levels tell them from a repeat.
                Some(last)
                    if last == message.seq && (last != RESTART || is_top(keeper, levels)) =>
                {
                    self.stale_run = 0;
                    self.cross = message.cross;
                }
                // Another link may number otherwise, and has been found to be newer.
                Some(last)
                    if message.seq < last && message.seq != RESTART && self.pair.is_none() =>
                {
                    self.seen_before(message.seq, times, context);
                }
                _ => self.take_whole(message, levels, times, context),
            },
            // No deltas since 2025-03-20 (changelog).
            _ => self.handle_malformed(context),
        }
    }

    /// A number that was passed is harmless once; a run of them means that the venue counts anew.
    fn seen_before(&mut self, seq: u64, times: Times, context: &mut Context<'_>) {
        if self.pair(context.now).is_some() {
            // The other link has brought it.
            context.counters.duplicates += 1;
            return;
        }
        context.counters.stale += 1;
        self.stale_run += 1;
        if self.stale_run >= urls::STALE_RUN_MAX {
            let last = self.keeper().and_then(BookKeeper::last).unwrap_or(0);
            let gap = Some((last.saturating_add(1), seq));
            self.break_off(Reason::Gap, gap, times, context);
        }
    }

    /// The message is the book.
    fn take_whole(
        &mut self,
        message: &BookMessage,
        levels: &Levels,
        times: Times,
        context: &mut Context<'_>,
    ) {
        let seq = message.seq;
        let (Feed::Book(keeper) | Feed::Top(keeper)) = &mut self.feed else {
            return;
        };
        if seq == RESTART && self.stream.is_live() {
            context.counters.resyncs += 1;
            let (resync, restart) = (StreamState::Resync, Reason::VenueRestart);
            self.stream
                .change(resync, restart, None, times, context.out);
        }
        if let (RESTART, Some(pair)) = (seq, &mut self.pair) {
            pair.restarted = message.cross;
            pair.ahead.clear();
            pair.numbering.restart();
            pair.numbering.note(context.link, seq, message.cross);
        }
        if let Err(why) = keeper.load(seq, levels) {
            self.break_off(why.reason(), why.gap(), times, context);
            return;
        }
        self.stale_run = 0;
        self.cross = message.cross;
        self.stream.set_seq(seq);
        self.go_live(context.now, times, context.out);
        if let Feed::Book(keeper) | Feed::Top(keeper) = &mut self.feed {
            keeper.publish_all(&self.stream, times, context.out);
        }
    }

    /// Joins a topic that another stream has: from here on both see the same messages, so this one
    /// starts from what that one holds.
    pub(super) fn join(&mut self, other: &Entry, context: &mut Context<'_>) {
        let scales = (other.stream.price_scale(), other.stream.qty_scale());
        let instrument = &mut self.stream.instrument;
        (instrument.price_scale, instrument.qty_scale) = scales;
        self.publish_instrument(context.now, context.out);
        if !other.stream.is_live() {
            // The other may go before its wait is over: each has its own.
            if !matches!(other.phase, Phase::Live | Phase::Waiting { until: None }) {
                self.phase = other.phase;
            }
            return;
        }
        let times = Times::ours(context.now);
        self.stream.set_seq(other.stream.seq());
        self.last_ns = other.last_ns;
        if let (Some(keeper), Some(_)) = (other.keeper(), self.keeper()) {
            let levels = Levels {
                bids: keeper.book().levels(Side::Bid).collect(),
                asks: keeper.book().levels(Side::Ask).collect(),
            };
            if let Some(seq) = keeper.last() {
                let message = BookMessage {
                    kind: Kind::Snapshot,
                    seq,
                    cross: other.cross,
                    exch_ns: Nanos::ZERO,
                };
                self.take_whole(&message, &levels, times, context);
            }
        } else if let Feed::Ticker {
            state, whole: true, ..
        } = &other.feed
        {
            let head = Head {
                kind: Kind::Snapshot,
                seq: other.stream.seq(),
                exch_ns: Nanos::ZERO,
            };
            self.handle_ticker(&head, *state, context);
        } else if matches!(self.feed, Feed::Trades) {
            self.go_live(context.now, times, context.out);
        }
    }

    /// Another scale is needed to read a book. `whole` is a message that is read at it already.
    pub(super) fn handle_rescale(
        &mut self,
        scales: (Scale, Scale),
        whole: Option<(&BookMessage, &Levels)>,
        context: &mut Context<'_>,
    ) {
        let times = Times::ours(context.now);
        if self.stream.is_live() {
            self.break_off(Reason::Rescale, None, times, context);
        } else if whole.is_none() {
            // A delta before its snapshot is not for this book.
            return;
        }
        self.set_scales(scales, context);
        if let Some((message, levels)) = whole {
            self.handle_book(message, levels, context);
        }
    }

    /// Changes the scales and says so.
    pub(super) fn set_scales(&mut self, scales: (Scale, Scale), context: &mut Context<'_>) {
        let instrument = &mut self.stream.instrument;
        (instrument.price_scale, instrument.qty_scale) = scales;
        self.publish_instrument(context.now, context.out);
    }

    pub(super) fn publish_instrument(&self, now: Nanos, out: &mut Outbox) {
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

    /// The trades of a message, as sent.
    #[inline]
    pub(super) fn handle_trades(&mut self, rows: &[TradeRow], context: &mut Context<'_>) {
        let mut news = rows.is_empty();
        for row in rows {
            let times = Times {
                exch_ns: row.exch_ns,
                recv_ns: context.now,
            };
            if let Some(pair) = self.pair(context.now) {
                // Half of an id is as unlike others as the whole.
                if !pair.seen.note((row.id ^ (row.id >> 64)) as u64) {
                    // It came by the one before and comes by the other now: both are in step.
                    context.in_step = true;
                    continue;
                }
            }
            news = true;
            self.heard = LastWord::Trade(row.exch_ns);
            self.stream.set_seq(row.seq);
            if !self.stream.is_live() {
                self.go_live(context.now, times, context.out);
            }
            let stamp = self.stream.stamp(times);
            context.out.push(Event::trade(
                &stamp,
                row.price,
                row.qty,
                row.id,
                row.aggressor,
            ));
        }
        context.counters.duplicates += u64::from(!news);
    }

    /// The ticker as it is with this message.
    pub(super) fn handle_ticker(
        &mut self,
        head: &Head,
        next: TickerState,
        context: &mut Context<'_>,
    ) {
        if !self.is_news_by_time(head.exch_ns, context) {
            return;
        }
        let Feed::Ticker { state, whole, .. } = &mut self.feed else {
            return;
        };
        *whole |= head.kind == Kind::Snapshot;
        if !*whole {
            // A delta over a snapshot that never came.
            return;
        }
        *state = next;
        let times = Times {
            exch_ns: head.exch_ns,
            recv_ns: context.now,
        };
        self.stream.set_seq(head.seq);
        self.go_live(context.now, times, context.out);
        let body = WideBody::Ticker(next.ticker());
        self.stream.publish_wide(body, times, context.out);
    }

    /// The candles of a message.
    pub(super) fn handle_klines(&mut self, candles: &[(Nanos, Kline)], context: &mut Context<'_>) {
        for (exch_ns, kline) in candles {
            if !self.is_news_by_time(*exch_ns, context) {
                continue;
            }
            self.heard = LastWord::Candle(kline.start_ns, kline.close, kline.volume);
            let times = Times {
                exch_ns: *exch_ns,
                recv_ns: context.now,
            };
            self.go_live(context.now, times, context.out);
            self.stream
                .publish_wide(WideBody::Kline(*kline), times, context.out);
        }
    }

    /// A message for the stream could not be read: something is missing from here on.
    pub(super) fn handle_malformed(&mut self, context: &mut Context<'_>) {
        context.counters.malformed += 1;
        let resyncs = self.stream.state() == StreamState::Resync;
        let waits = match self.phase {
            Phase::Resolving { .. } | Phase::Backoff { .. } => true,
            Phase::Waiting { .. } => resyncs && !self.has_snapshot(),
            Phase::Live => false,
        };
        if !waits {
            let times = Times::ours(context.now);
            self.break_off(Reason::Malformed, None, times, context);
        }
    }

    /// Publishes what is there again, for one who joins late.
    pub(super) fn republish(&mut self, now: Nanos, out: &mut Outbox) {
        if !self.stream.is_live() {
            return;
        }
        let times = Times::ours(now);
        match &mut self.feed {
            Feed::Book(keeper) | Feed::Top(keeper) => keeper.publish_all(&self.stream, times, out),
            Feed::Ticker { state, .. } => {
                let body = WideBody::Ticker(state.ticker());
                self.stream.publish_wide(body, times, out);
            }
            Feed::Trades | Feed::Kline(_) => {}
        }
    }
}

/// `u` of the first message after a restart of the service.
const RESTART: u64 = 1;

/// Whether the levels are the book's best ones.
fn is_top(keeper: &BookKeeper, levels: &Levels) -> bool {
    let top = keeper.book().top();
    (top.bid.as_slice(), top.ask.as_slice()) == (&levels.bids[..], &levels.asks[..])
}

/// The wait before the next try: doubles from the shortest to the longest, and up to half of it on
/// top by chance.
fn backoff(tries: u32, rng: &mut fastrand::Rng) -> Nanos {
    let doubled = urls::RESYNC_BACKOFF_MIN.0.checked_shl(tries.min(30));
    let wait = doubled.unwrap_or(i64::MAX).min(urls::RESYNC_BACKOFF_MAX.0);
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
            let least =
                (urls::RESYNC_BACKOFF_MIN.0 << tries.min(20)).min(urls::RESYNC_BACKOFF_MAX.0);
            assert!(
                (least..=least + least / 2).contains(&wait.0),
                "{tries}: {wait}"
            );
        }
    }
}

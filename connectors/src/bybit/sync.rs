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

use super::pair::{Mark, Pair};
use super::parse::{BookMessage, Kind, TradeRow};
use super::subscribe::{Topic, book_depth};
use super::tape::{Head, TickerState};
use super::urls;
use crate::agreement::Agreement;
use crate::channel::{Channel, Interval};
use crate::connector::Counters;
use crate::event::{Event, Reason, StreamState};
use crate::instrument::{Instrument, Market};
use crate::liveness::Watch;
use crate::outbox::Outbox;
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
    /// Of the last message; of what was shown, where two links carry the topic.
    pub(super) mark: Mark,
    /// Of trades and candles, what came last, and what the last probe has found.
    pub(super) heard: LastWord,
    pub(super) probed: Option<LastWord>,
    /// Whether its next connection is another than before.
    lost: bool,
    /// What is kept while two links carry it, and a little longer.
    pub(super) pair: Option<Box<Pair>>,
    /// Resyncs in a row.
    pub(super) tries: u32,
    live_since: Nanos,
    /// Messages in a row with a number that was seen before.
    stale_run: u32,
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
            mark: Mark::default(),
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
            Some(pair) => pair.deadline(),
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
        if let (Feed::Book(_), Some(pair)) = (&self.feed, &mut self.pair) {
            pair.reset_book(self.mark);
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
        self.ask_anew();
        self.phase = Phase::Waiting { until: None };
    }

    /// The venue has acked the topic on a link. A trade may be long in coming, so trades are Live with the
    /// ack; what has a snapshot must show it within its time.
    pub(super) fn handle_ack(&mut self, now: Nanos, link: LinkId, out: &mut Outbox) {
        self.watch.start(now);
        self.note_ack(link);
        if !matches!(self.phase, Phase::Waiting { .. }) {
            return;
        }
        match self.feed {
            Feed::Trades => {
                self.start_with(link);
                self.go_live(now, Times::ours(now), out);
            }
            Feed::Kline(_) => {}
            _ => {
                let until = Some(now + urls::SNAPSHOT_TIMEOUT);
                self.phase = Phase::Waiting { until };
            }
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
        self.lose_with(link, lives);
        self.watch.stop();
        self.told_quiet = false;
        self.lost = true;
        let stale = StreamState::Stale;
        self.stream
            .change(stale, Reason::LinkDown, None, Times::ours(now), out);
    }

    /// A link is up: the topic is asked for, whatever was under way before.
    pub(super) fn handle_link_up(&mut self, link: LinkId) {
        self.begin_link(link);
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

    /// Whether its topic, healthy, may send nothing for long after the ack: it has no first message.
    pub(super) fn may_be_silent(&self) -> bool {
        matches!(
            self.feed,
            Feed::Trades | Feed::Kline(_) | Feed::Ticker { deltas: false, .. }
        )
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

    pub(super) fn go_live(&mut self, now: Nanos, times: Times, out: &mut Outbox) {
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
        let is_due = if matches!(self.feed, Feed::Top(_)) {
            let mark = Mark::with_number(message.cross, message.seq);
            self.is_news(mark, times, context)
        } else {
            self.pair.is_none() || self.judge_book(message, times, context)
        };
        if !is_due {
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
                        self.mark = Mark::of(message.cross);
                        if self.pair.is_some() {
                            self.follow_up(times, context);
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
                        self.seen_before(message, times, context);
                    }
                }
            }
            (Feed::Book(_), Kind::Snapshot) => self.take_whole(message, levels, times, context),
            (Feed::Top(keeper), Kind::Snapshot) => match keeper.last() {
                // Two restarts have the same number, as may the messages of two links: only the levels
                // tell them from a repeat.
                Some(last) if last == message.seq && is_top(keeper, levels) => self.stale_run = 0,
                // Another link may number otherwise, and has been found to be newer.
                Some(last)
                    if message.seq < last && message.seq != RESTART && self.pair.is_none() =>
                {
                    self.seen_before(message, times, context);
                }
                _ => self.take_whole(message, levels, times, context),
            },
            // No deltas since 2025-03-20 (changelog).
            _ => self.handle_malformed(context),
        }
    }

    /// A number that was passed is harmless once; a run of them means that the venue counts anew.
    fn seen_before(&mut self, message: &BookMessage, times: Times, context: &mut Context<'_>) {
        if self.pair.is_some() && message.cross <= self.mark.cross {
            // The other link has brought it.
            context.counters.duplicates += 1;
            return;
        }
        context.counters.stale += 1;
        self.stale_run += 1;
        if self.stale_run >= urls::STALE_RUN_MAX {
            let last = self.keeper().and_then(BookKeeper::last).unwrap_or(0);
            let gap = Some((last.saturating_add(1), message.seq));
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
        if seq == RESTART && self.stream.is_live() {
            context.counters.resyncs += 1;
            let (resync, restart) = (StreamState::Resync, Reason::VenueRestart);
            self.stream
                .change(resync, restart, None, times, context.out);
        }
        let is_book = matches!(self.feed, Feed::Book(_));
        if let (RESTART, Some(pair)) = (seq, &mut self.pair) {
            pair.restart(context.link, message.cross);
        }
        let (Feed::Book(keeper) | Feed::Top(keeper)) = &mut self.feed else {
            return;
        };
        if let Err(why) = keeper.load(seq, levels) {
            self.break_off(why.reason(), why.gap(), times, context);
            return;
        }
        self.stale_run = 0;
        self.stream.set_seq(seq);
        if is_book {
            self.mark = Mark::of(message.cross);
            let behind = |pair: &Pair| !pair.has_reached(self.mark);
            if self.pair.as_deref().is_some_and(behind) {
                return;
            }
        }
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
        (self.mark, self.pair) = (other.mark, other.pair.clone());
        if !other.stream.is_live() {
            // The other may go before its wait is over: each has its own.
            if !matches!(other.phase, Phase::Live | Phase::Waiting { until: None }) {
                self.phase = other.phase;
            }
            return;
        }
        let times = Times::ours(context.now);
        self.stream.set_seq(other.stream.seq());
        if let (Some(keeper), Some(_)) = (other.keeper(), self.keeper()) {
            let levels = Levels {
                bids: keeper.book().levels(Side::Bid).collect(),
                asks: keeper.book().levels(Side::Ask).collect(),
            };
            if let Some(seq) = keeper.last() {
                let message = BookMessage {
                    kind: Kind::Snapshot,
                    seq,
                    cross: other.mark.cross,
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
            self.take_ticker(&head, *state, times, context);
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
        if self.pair.is_some() {
            self.handle_trades_of_two(rows, context);
            return;
        }
        for row in rows {
            self.show_trade(row, context);
        }
    }

    /// Publishes a trade.
    #[inline]
    pub(super) fn show_trade(&mut self, row: &TradeRow, context: &mut Context<'_>) {
        let times = Times {
            exch_ns: row.exch_ns,
            recv_ns: context.now,
        };
        self.mark = Mark::of(row.seq);
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

    /// The ticker as it is with this message.
    pub(super) fn handle_ticker(
        &mut self,
        head: &Head,
        next: TickerState,
        context: &mut Context<'_>,
    ) {
        let times = Times {
            exch_ns: head.exch_ns,
            recv_ns: context.now,
        };
        if self.is_news(Mark::with_time(head.seq, head.exch_ns), times, context) {
            self.take_ticker(head, next, times, context);
        }
    }

    fn take_ticker(
        &mut self,
        head: &Head,
        next: TickerState,
        times: Times,
        context: &mut Context<'_>,
    ) {
        let Feed::Ticker { state, whole, .. } = &mut self.feed else {
            return;
        };
        *whole |= head.kind == Kind::Snapshot;
        if !*whole {
            // A delta over a snapshot that never came.
            return;
        }
        *state = next;
        self.stream.set_seq(head.seq);
        self.go_live(context.now, times, context.out);
        let body = WideBody::Ticker(next.ticker());
        self.stream.publish_wide(body, times, context.out);
    }

    /// The candles of a message.
    pub(super) fn handle_klines(&mut self, candles: &[(Nanos, Kline)], context: &mut Context<'_>) {
        for (exch_ns, kline) in candles {
            let times = Times {
                exch_ns: *exch_ns,
                recv_ns: context.now,
            };
            if !self.is_news(Mark::with_time(0, *exch_ns), times, context) {
                continue;
            }
            self.heard = LastWord::Candle(kline.start_ns, kline.close, kline.volume);
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
pub(super) const RESTART: u64 = 1;

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

//! What is kept beside a stream: its book or ticker, how it stands with the venue, and when it is
//! next to be looked at.
//!
//! Deribit's rules (book.*, API v2.1.1):
//!
//! - The first message after a subscribe is the book; a snapshot replaces it whenever it comes.
//! - Each change names the one before it: `prev_change_id` is the last `change_id` of this topic. Where it
//!   is not, messages were lost: the topic is let go and asked for anew, after a wait that doubles from
//!   100 ms to 30 s and has a seeded jitter, and changes are ignored until the next snapshot.
//! - Ids grow and have holes. Times are never compared: a snapshot's may be later than that of the change
//!   that follows it.
//! - Of a grouped book and of the best prices each message is whole.
//!
//! Books of changes come whole and stay so: they have no watermark.

use tickwire_orderbook::sequence::{Ids, SequenceRule};
use tickwire_orderbook::{Amount, Limits, Price, Scale, Side};

use super::links::LAG_KEPT_NS;
use super::parse::{BookMessage, Kind, TradeRow};
use super::subscribe::Topic;
use super::{symbols, urls};
use crate::agreement::Agreement;
use crate::channel::{Channel, Interval};
use crate::connector::Counters;
use crate::event::{Event, Reason, StreamState};
use crate::instrument::Instrument;
use crate::liveness::Watch;
use crate::outbox::Outbox;
use crate::stream::{Applied, BookKeeper, Levels, Stream, Times};
use crate::time::Nanos;
use crate::transmit::LinkId;
use crate::upkeep::Upkeep;
use crate::wide::{Kline, Ticker, WideBody};

/// What a stream carries.
#[derive(Debug)]
pub(super) enum Feed {
    /// `book.*.raw`, `100ms` or `agg2`: a snapshot and changes.
    Book(BookKeeper),
    /// `book.*.none.20.100ms` and its like: each message is whole and has a `change_id`.
    Grouped(BookKeeper),
    /// `quote.*`: each message is whole and has none.
    Top(BookKeeper),
    Trades,
    /// The last one.
    Ticker(Option<Ticker>),
    /// The price of an index, as a ticker.
    Index(Option<Ticker>),
    Kline {
        interval: Interval,
        /// The candle that has not been followed by another.
        last: Option<Kline>,
    },
}

/// Levels of a side of a whole book. A perpetual has some thousand; the book goes on without the worst
/// of more.
const LEVELS_MAX: usize = 16_384;

impl Feed {
    pub(super) fn new(channel: Channel, symbol: &str) -> Feed {
        let whole = |levels_max| BookKeeper::new(SequenceRule::UNSEQUENCED, Limits { levels_max });
        match channel {
            Channel::Book(params) => match params.levels {
                Some(levels) => Feed::Grouped(whole(usize::from(levels) * 2)),
                None => {
                    let limits = Limits {
                        levels_max: LEVELS_MAX,
                    };
                    Feed::Book(BookKeeper::new(SequenceRule::DERIBIT, limits))
                }
            },
            Channel::Bbo => Feed::Top(whole(4)),
            Channel::Ticker if symbols::is_index(symbol) => Feed::Index(None),
            Channel::Ticker => Feed::Ticker(None),
            Channel::Kline(interval) => Feed::Kline {
                interval,
                last: None,
            },
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

/// What the venue has sent or said last of a stream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum LastWord {
    None,
    /// The `change_id` of its book, of a stream whose first message has not come.
    Book(u64),
    /// The number of a trade.
    Trade(u64),
    /// Start, last price and volume of a candle.
    Candle(Nanos, Price, Amount),
    /// Last, mark and index price.
    Prices([Option<Price>; 3]),
}

impl LastWord {
    pub(super) fn of_candle(kline: &Kline) -> LastWord {
        LastWord::Candle(kline.start_ns, kline.close, kline.volume)
    }

    pub(super) fn of_ticker(ticker: &Ticker) -> LastWord {
        LastWord::Prices([ticker.last, ticker.mark, ticker.index])
    }
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
    /// A companion: quotes beside a book, for us alone.
    pub(super) hidden: bool,
    /// Whether it has been told that the stream is quiet.
    pub(super) told_quiet: bool,
    pub(super) watch: Watch,
    /// Of a book, with the quotes of its instrument.
    pub(super) agreement: Agreement,
    pub(super) disagreed_at: Nanos,
    /// Unlike those of every other entry: what is asked about one must not be taken for another.
    pub(super) serial: u32,
    /// The venue's time of the last message.
    pub(super) last_ns: Nanos,
    /// Of what has no book, what came last, and what the last probe has found.
    pub(super) heard: LastWord,
    pub(super) probed: Option<LastWord>,
    /// Whether its next connection is another than before.
    lost: bool,
    /// What is kept while two links carry it, and a little longer.
    pair: Option<PairOf>,
    /// Resyncs in a row.
    pub(super) tries: u32,
    live_since: Nanos,
    /// Messages in a row with a number that was seen before.
    stale_run: u32,
}

/// What is kept of a stream that two links carry while one takes over from the other.
#[derive(Clone, Copy, Debug)]
struct PairOf {
    /// The link that the stream is on: that of its book, otherwise that of the last message.
    leader: LinkId,
    /// Where the other link's changes stand, while they have no hole.
    shadow: Option<u64>,
    /// After this, what the one link sends is not what the other has sent.
    until: Nanos,
}

/// What the methods of an entry work with.
pub(super) struct Context<'a> {
    pub(super) now: Nanos,
    /// Where the message at hand came from.
    pub(super) link: LinkId,
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
        let watch = self.watch.deadline().min(self.agreement.deadline());
        phase.min(watch)
    }

    /// Whether the venue sends a snapshot when the topic is asked for, and only then.
    fn has_snapshot(&self) -> bool {
        matches!(self.feed, Feed::Book(_))
    }

    /// The book, where there is one.
    pub(super) fn keeper(&self) -> Option<&BookKeeper> {
        match &self.feed {
            Feed::Book(keeper) | Feed::Grouped(keeper) | Feed::Top(keeper) => Some(keeper),
            _ => None,
        }
    }

    pub(super) fn reset(&mut self) {
        self.stale_run = 0;
        self.agreement.reset();
        if let Some(pair) = &mut self.pair {
            pair.shadow = None;
        }
        match &mut self.feed {
            Feed::Book(keeper) | Feed::Grouped(keeper) | Feed::Top(keeper) => keeper.reset(),
            Feed::Ticker(last) | Feed::Index(last) => *last = None,
            Feed::Kline { last, .. } => *last = None,
            // Trades that were missed are no gap in what follows.
            Feed::Trades => self.heard = LastWord::None,
        }
    }

    /// The topic is asked for anew: what comes from here on stands for itself.
    pub(super) fn wait_anew(&mut self) {
        self.reset();
        self.phase = Phase::Waiting { until: None };
    }

    /// The venue has acked the topic. A trade may be long in coming, so trades are Live with the
    /// ack; a book of changes must show its snapshot within its time.
    pub(super) fn handle_ack(&mut self, now: Nanos, out: &mut Outbox) {
        self.watch.start(now);
        if !matches!(self.phase, Phase::Waiting { .. }) {
            return;
        }
        match self.feed {
            Feed::Trades => self.go_live(now, Times::ours(now), out),
            Feed::Book(_) => {
                let until = Some(now + urls::SNAPSHOT_TIMEOUT);
                self.phase = Phase::Waiting { until };
            }
            // Nothing promises a first message: where nothing changes there may be none for long.
            _ => {}
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
        self.pair = Some(PairOf {
            leader,
            shadow: None,
            until: Nanos::MAX,
        });
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
            (Feed::Book(_), Some(pair)) => pair.leader == link,
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

    /// Whether its topic, healthy, may send nothing for long after the ack.
    pub(super) fn may_be_silent(&self) -> bool {
        !matches!(self.feed, Feed::Book(_))
    }

    /// What is kept of two links, where there are two or were a moment ago.
    #[inline]
    fn pair(&mut self, now: Nanos) -> Option<&mut PairOf> {
        if self.pair.as_ref().is_some_and(|pair| pair.until <= now) {
            self.pair = None;
        }
        self.pair.as_mut()
    }

    /// Whether the other link has not brought the message before; by the venue's time, for kinds whose
    /// messages stand for themselves. One link's are always news.
    fn is_news_by_time(&mut self, exch_ns: Nanos, context: &mut Context<'_>) -> bool {
        let last_ns = self.last_ns;
        if let Some(pair) = self.pair(context.now) {
            context.in_step = true;
            if exch_ns < last_ns || (exch_ns == last_ns && pair.leader != context.link) {
                context.counters.duplicates += 1;
                return false;
            }
            pair.leader = context.link;
        }
        self.last_ns = exch_ns;
        true
    }

    /// A message of a book of changes while two links carry it. True where it is to be handled as that
    /// of one link is.
    #[cold]
    fn judge_of_two(&mut self, message: &BookMessage, context: &mut Context<'_>) -> bool {
        let (link, last) = (context.link, self.keeper().and_then(BookKeeper::last));
        let Some(pair) = self.pair(context.now) else {
            return true;
        };
        let is_snapshot = message.kind == Kind::Snapshot;
        let Some(last) = last else {
            // The first snapshot is the book, whichever link it comes by.
            if is_snapshot {
                pair.leader = link;
                context.in_step = true;
            }
            return true;
        };
        if link == pair.leader {
            context.in_step = true;
            return true;
        }
        // Ids are the book's, not the connection's: where both stand at one, they hold the same.
        let follows = !is_snapshot && pair.shadow == Some(message.prev);
        let joins = is_snapshot && message.seq > last || follows && message.prev == last;
        if joins || (is_snapshot || follows) && message.seq == last {
            (pair.leader, pair.shadow) = (link, None);
            context.in_step = true;
            return joins;
        }
        pair.shadow = (is_snapshot || follows).then_some(message.seq);
        context.counters.duplicates += 1;
        false
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
        match (&mut self.feed, message.kind) {
            (Feed::Book(_), Kind::Snapshot | Kind::Change) => {
                if self.pair.is_some() && !self.judge_of_two(message, context) {
                    return;
                }
                match message.kind {
                    Kind::Change => self.take_change(message, levels, times, context),
                    _ => self.take_whole(message, levels, times, context),
                }
            }
            (Feed::Grouped(_) | Feed::Top(_), Kind::Whole) => {
                if self.is_news_by_time(message.exch_ns, context) {
                    self.take_whole(message, levels, times, context);
                }
            }
            // A book of the other kind under this name.
            _ => self.handle_malformed(context),
        }
    }

    #[inline]
    fn take_change(
        &mut self,
        message: &BookMessage,
        levels: &Levels,
        times: Times,
        context: &mut Context<'_>,
    ) {
        let Feed::Book(keeper) = &mut self.feed else {
            return;
        };
        if keeper.last().is_none() {
            // What comes before the snapshot is not for this book.
            return;
        }
        let ids = Ids::chained(message.prev, message.seq);
        match keeper.apply(&mut self.stream, &ids, levels, times, context.out) {
            Applied::Yes => {
                self.stale_run = 0;
                self.last_ns = message.exch_ns;
            }
            Applied::Broken(why) => self.break_off(why.reason(), why.gap(), times, context),
            Applied::Stale | Applied::Repeat => self.seen_before(message.seq, times, context),
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
            self.break_off(Reason::Gap, Some((last, seq)), times, context);
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
        let (Feed::Book(keeper) | Feed::Grouped(keeper) | Feed::Top(keeper)) = &mut self.feed
        else {
            return;
        };
        if let Err(why) = keeper.load(message.seq, levels) {
            self.break_off(why.reason(), why.gap(), times, context);
            return;
        }
        self.stale_run = 0;
        self.last_ns = message.exch_ns;
        self.stream.set_seq(message.seq);
        self.go_live(context.now, times, context.out);
        if let Feed::Book(keeper) | Feed::Grouped(keeper) | Feed::Top(keeper) = &mut self.feed {
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
                    prev: 0,
                    exch_ns: Nanos::ZERO,
                };
                self.take_whole(&message, &levels, times, context);
            }
            return;
        }
        self.heard = other.heard;
        match &other.feed {
            Feed::Ticker(Some(ticker)) | Feed::Index(Some(ticker)) => {
                self.handle_ticker(other.last_ns, *ticker, context);
            }
            Feed::Kline {
                last: Some(kline), ..
            } => self.handle_kline(*kline, context),
            Feed::Trades => self.go_live(context.now, times, context.out),
            _ => {}
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

    /// The trades of a message, as sent. Their numbers have no holes: one that is left out is counted as
    /// a gap. Nothing brings it back, and the trades that follow are as good as ever.
    #[inline]
    pub(super) fn handle_trades(&mut self, rows: &[TradeRow], context: &mut Context<'_>) {
        for row in rows {
            let times = Times {
                exch_ns: row.exch_ns,
                recv_ns: context.now,
            };
            let last = match self.heard {
                LastWord::Trade(last) => last,
                _ => 0,
            };
            if let Some(pair) = self.pair(context.now) {
                context.in_step = true;
                pair.leader = context.link;
                if row.seq <= last {
                    context.counters.duplicates += 1;
                    continue;
                }
            }
            let is_gap = last != 0 && row.seq > last.saturating_add(1);
            context.counters.gaps += u64::from(is_gap);
            self.heard = LastWord::Trade(row.seq);
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
    }

    /// The ticker of an instrument or of an index.
    pub(super) fn handle_ticker(
        &mut self,
        exch_ns: Nanos,
        ticker: Ticker,
        context: &mut Context<'_>,
    ) {
        if !self.is_news_by_time(exch_ns, context) {
            return;
        }
        let (Feed::Ticker(last) | Feed::Index(last)) = &mut self.feed else {
            return;
        };
        *last = Some(ticker);
        self.heard = LastWord::of_ticker(&ticker);
        let times = Times {
            exch_ns,
            recv_ns: context.now,
        };
        self.go_live(context.now, times, context.out);
        let body = WideBody::Ticker(ticker);
        self.stream.publish_wide(body, times, context.out);
    }

    /// A candle as it stands. The first of the next says that it is complete.
    pub(super) fn handle_kline(&mut self, kline: Kline, context: &mut Context<'_>) {
        if !self.is_news_by_time(kline.start_ns, context) {
            return;
        }
        let Feed::Kline { last, .. } = &mut self.feed else {
            return;
        };
        let before = last.replace(kline);
        self.heard = LastWord::of_candle(&kline);
        // The message has no time but the candle's own.
        let times = Times::ours(context.now);
        self.go_live(context.now, times, context.out);
        if let Some(before) = before.filter(|before| before.start_ns < kline.start_ns) {
            let closed = true;
            let body = WideBody::Kline(Kline { closed, ..before });
            self.stream.publish_wide(body, times, context.out);
        }
        self.stream
            .publish_wide(WideBody::Kline(kline), times, context.out);
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
            Feed::Book(keeper) | Feed::Grouped(keeper) | Feed::Top(keeper) => {
                keeper.publish_all(&self.stream, times, out);
            }
            Feed::Ticker(Some(ticker)) | Feed::Index(Some(ticker)) => {
                let body = WideBody::Ticker(*ticker);
                self.stream.publish_wide(body, times, out);
            }
            _ => {}
        }
    }
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

//! What is kept beside a stream: its book, how it stands with the venue, and when it is next to be
//! looked at.
//!
//! Polymarket's rules (market-data/websocket/market-channel, 2026-11):
//!
//! - A `book` is the whole book, whenever it comes: at the subscription, and when a trade has changed
//!   it. It replaces what we have.
//! - A `price_change` gives levels their new total. **There are no numbers**: nothing says that none is
//!   missing. So each change's `best_bid` and `best_ask` are held against the book, and a difference
//!   that lasts makes it fetched anew.
//! - A `tick_size_change` begins a new book: what follows is not for the old one, up to the next `book`.

use tickwire_orderbook::sequence::{Ids, SequenceRule};
use tickwire_orderbook::{Limits, Price, Scale, Side};

use super::hash::{HashCheck, Printed, Verdict};
use super::links::LAG_KEPT_NS;
use super::parse::{Best, Body, Number, Row};
use super::route::Changes;
use super::subscribe::Topic;
use super::urls;
use crate::agreement::Agreement;
use crate::channel::Channel;
use crate::connector::Counters;
use crate::event::{Aggressor, Event, Reason, StreamState};
use crate::instrument::{Instrument, TradingStatus};
use crate::liveness::Watch;
use crate::outbox::Outbox;
use crate::scan::ScanErrorKind;
use crate::seen::Seen;
use crate::stream::{Applied, BookKeeper, Levels, Stream, Times};
use crate::time::Nanos;
use crate::transmit::LinkId;
use crate::upkeep::{TopCheck, Upkeep};
use crate::wide::WideBody;

/// What a stream carries.
#[derive(Debug)]
pub(super) enum Feed {
    Book(BookKeeper),
    Trades,
}

impl Feed {
    pub(super) fn new(channel: Channel) -> Feed {
        match channel {
            Channel::Book(_) => Feed::Book(keeper()),
            _ => Feed::Trades,
        }
    }
}

fn keeper() -> BookKeeper {
    let levels_max = urls::LEVELS_MAX;
    BookKeeper::new(SequenceRule::UNSEQUENCED, Limits { levels_max })
}

/// How a stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its instrument is asked for; at `until` defaults have to do.
    Resolving { until: Nanos },
    /// It waits for its `book`; at `until`, set once it was asked for, for long enough.
    Waiting { until: Option<Nanos> },
    /// Its data is in.
    Live,
    /// It is broken, and asked for anew at `until`.
    Backoff { until: Nanos },
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
    /// Whether it has been told that the stream is quiet.
    pub(super) told_quiet: bool,
    pub(super) watch: Watch,
    /// Of a book, with the best prices that come with its changes.
    pub(super) agreement: Agreement,
    top_check: TopCheck,
    /// Of a book, with the hashes that the venue gives it.
    pub(super) hashes: HashCheck,
    /// Unlike those of every other entry: what is asked about one must not be taken for another.
    pub(super) serial: u32,
    /// The venue's time of the last message.
    pub(super) last_ns: Nanos,
    /// What the last probe has found: a hash of the venue's book.
    pub(super) probed: Option<u64>,
    /// Whether its next connection is another than before.
    lost: bool,
    /// What is kept while two links carry it, and a little longer.
    pair: Option<Box<PairOf>>,
    /// Resyncs in a row.
    pub(super) tries: u32,
    live_since: Nanos,
}

/// What is kept of a stream that two links carry.
#[derive(Debug)]
struct PairOf {
    /// The link that the stream is on.
    leader: LinkId,
    /// The book as the other link has told it, while that is behind ours.
    shadow: BookKeeper,
    shadow_ns: Nanos,
    /// The stream has changed to the link that takes over: the other has no say any more.
    is_done: bool,
    /// What the shadow would say.
    unseen: Outbox,
    seen: Seen,
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
    /// What the hash of the book at hand is made of.
    pub(super) printed: Option<Printed<'a>>,
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
            printed: None,
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
            top_check: upkeep.top_check,
            hashes: HashCheck::new(0),
            stream,
            feed,
            topic: Topic::new_const(),
            route: None,
            phase,
            told_quiet: false,
            serial,
            last_ns: Nanos::ZERO,
            probed: None,
            lost: true,
            pair: None,
            tries: 0,
            live_since: Nanos::ZERO,
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
        phase
            .min(self.watch.deadline())
            .min(self.agreement.deadline())
    }

    /// The book, where there is one.
    pub(super) fn keeper(&self) -> Option<&BookKeeper> {
        match &self.feed {
            Feed::Book(keeper) => Some(keeper),
            Feed::Trades => None,
        }
    }

    pub(super) fn reset(&mut self) {
        self.agreement.reset();
        self.hashes.reset();
        if let Some(pair) = &mut self.pair {
            pair.shadow.reset();
        }
        if let Feed::Book(keeper) = &mut self.feed {
            keeper.reset();
        }
    }

    /// The token is asked for anew: what comes from here on stands for itself.
    pub(super) fn wait_anew(&mut self) {
        self.reset();
        self.phase = Phase::Waiting { until: None };
    }

    /// The token has been asked for: its book must show within its time.
    pub(super) fn handle_asked(&mut self, now: Nanos) {
        if matches!(self.phase, Phase::Waiting { .. }) {
            let until = Some(now + urls::SNAPSHOT_TIMEOUT);
            self.phase = Phase::Waiting { until };
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

    /// A link is up: the token is asked for, whatever was under way before.
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
        let pair = self.pair.get_or_insert_with(|| {
            Box::new(PairOf {
                leader,
                shadow: keeper(),
                shadow_ns: Nanos::ZERO,
                is_done: false,
                unseen: Outbox::new(),
                seen: Seen::new(),
                until: Nanos::MAX,
            })
        });
        pair.shadow.reset();
        (pair.leader, pair.is_done, pair.until) = (leader, false, Nanos::MAX);
    }

    /// One link is left: what it has not sent yet it may send again.
    pub(super) fn end_pair(&mut self, now: Nanos) {
        if let Some(pair) = &mut self.pair {
            pair.until = now + LAG_KEPT_NS;
        }
    }

    /// Whether it would go on without a break on `link` alone, which has sent its book.
    pub(super) fn goes_on_with(&self, link: LinkId) -> bool {
        match (&self.feed, &self.pair) {
            (Feed::Trades, _) => true,
            (Feed::Book(_), Some(pair)) => {
                pair.leader == link || (!pair.is_done && pair.shadow.last().is_some())
            }
            (Feed::Book(_), None) => false,
        }
    }

    /// From here on it is on `link`, where it goes on.
    ///
    /// A book of that link that is behind ours waits until it has caught up: ours is the newer one, and
    /// shows no time twice.
    pub(super) fn lead(&mut self, link: LinkId, now: Nanos, out: &mut Outbox) {
        let last_ns = self.last_ns;
        let is_other = |pair: &PairOf| pair.leader != link && pair.shadow_ns >= last_ns;
        if self.pair.as_deref().is_some_and(is_other) {
            self.take_shadow(link, now, out);
        }
    }

    /// Whether all that it has comes by `link`.
    pub(super) fn is_on(&self, link: LinkId) -> bool {
        match (&self.feed, &self.pair) {
            (Feed::Book(_), Some(pair)) => pair.leader == link,
            _ => true,
        }
    }

    /// Whether what its links send tells when both are in step. Trades don't: what the old link still
    /// has under way, the new one never had.
    pub(super) const fn shows_step(&self) -> bool {
        matches!(self.feed, Feed::Book(_))
    }

    /// It is on another link, and was Live all along.
    pub(super) fn handle_handover(&mut self, now: Nanos, out: &mut Outbox) {
        self.stream.next_epoch();
        self.stream
            .remark(Reason::HandedOver, Times::ours(now), out);
    }

    /// What is kept of two links, where there are two or were a moment ago.
    #[inline]
    fn pair(&mut self, now: Nanos) -> Option<&mut PairOf> {
        if self.pair.as_ref().is_some_and(|pair| pair.until <= now) {
            self.pair = None;
        }
        self.pair.as_deref_mut()
    }

    /// Whether a message about the book is to be handled as that of one link is. Of two, the other's
    /// goes to the shadow.
    fn is_leading(&mut self, context: &Context<'_>) -> bool {
        let has_book = self.keeper().is_some_and(|keeper| keeper.last().is_some());
        let Some(pair) = self.pair(context.now) else {
            return true;
        };
        if !has_book && !pair.is_done {
            // The first book is the book, whichever link it comes by.
            pair.leader = context.link;
        }
        pair.leader == context.link
    }

    /// The other link's book takes the place of ours.
    fn take_shadow(&mut self, link: LinkId, now: Nanos, out: &mut Outbox) {
        let (Feed::Book(keeper), Some(pair)) = (&mut self.feed, &mut self.pair) else {
            return;
        };
        core::mem::swap(keeper, &mut pair.shadow);
        pair.shadow.reset();
        (pair.leader, pair.is_done) = (link, true);
        let exch_ns = pair.shadow_ns;
        // Before it is published: what is shown is the other link's state, not our last.
        self.note_time(exch_ns);
        self.agreement.reset();
        if let (true, Feed::Book(keeper)) = (self.stream.is_live(), &mut self.feed) {
            let times = Times {
                exch_ns: self.last_ns,
                recv_ns: now,
            };
            keeper.publish_all(&self.stream, times, out);
        }
    }

    /// Where the other link's book is not behind ours, it is the book from here on.
    #[cold]
    fn join_shadow(&mut self, exch_ns: Nanos, context: &mut Context<'_>) {
        let last_ns = self.last_ns;
        let Some(pair) = &mut self.pair else {
            return;
        };
        pair.shadow_ns = exch_ns;
        if exch_ns >= last_ns {
            self.take_shadow(context.link, context.now, context.out);
            context.in_step = true;
        }
    }

    // Silence.

    /// Heard again after a silence that may have been told.
    #[cold]
    pub(super) fn handle_heard(&mut self, now: Nanos, out: &mut Outbox) {
        // What the venue had in an earlier silence may have come since.
        self.probed = None;
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

    /// The venue has sent what did not come: nothing is to be believed, and the token is asked for
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

    fn times(&self, exch_ns: Nanos, context: &Context<'_>) -> Times {
        Times {
            exch_ns,
            recv_ns: context.now,
        }
    }

    fn go_live(&mut self, times: Times, context: &mut Context<'_>) {
        if core::mem::take(&mut self.lost) {
            // On the other of two links, which was up all along.
            self.stream.next_epoch();
        }
        if self.phase != Phase::Live {
            self.phase = Phase::Live;
            self.live_since = context.now;
        }
        let (live, synced) = (StreamState::Live, Reason::Synced);
        self.stream.change(live, synced, None, times, context.out);
    }

    /// It can't go on from what it has: it asks for it after a wait.
    pub(super) fn break_off(&mut self, reason: Reason, times: Times, context: &mut Context<'_>) {
        let counters = &mut *context.counters;
        counters.resyncs += 1;
        counters.crossed += u64::from(reason == Reason::Crossed);
        let resync = StreamState::Resync;
        self.stream.change(resync, reason, None, times, context.out);
        let healthy = context.now.since(self.live_since) >= urls::RESYNC_HEALTHY;
        if self.phase == Phase::Live && healthy {
            self.tries = 0;
        }
        self.reset();
        if matches!(self.phase, Phase::Backoff { .. }) {
            // It is on its way already, and must not be put off by every further fault.
            return;
        }
        let until = context.now + backoff(self.tries, context.rng);
        self.tries = self.tries.saturating_add(1);
        self.phase = Phase::Backoff { until };
    }

    /// As [`break_off`](Entry::break_off), but the wait is over already: for a strategy's wish.
    pub(super) fn break_off_now(&mut self, reason: Reason, context: &mut Context<'_>) {
        self.break_off(reason, Times::ours(context.now), context);
        self.phase = Phase::Backoff { until: context.now };
    }

    fn note_time(&mut self, exch_ns: Nanos) {
        if exch_ns != Nanos::ZERO {
            self.last_ns = exch_ns;
        }
        // The venue numbers nothing; its time in milliseconds is the next best to find a message by.
        let millis = u64::try_from(self.last_ns.as_millis()).unwrap_or(0);
        self.stream.set_seq(millis);
    }

    /// A `book`: bids and asks in whatever order.
    pub(super) fn handle_book(
        &mut self,
        exch_ns: Nanos,
        sides: (&[Row], &[Row]),
        levels: &mut Levels,
        context: &mut Context<'_>,
    ) {
        let times = self.times(exch_ns, context);
        if matches!(self.feed, Feed::Trades) {
            // It shows that the token is there: its trades will come as well.
            self.note_time(exch_ns);
            return self.go_live(times, context);
        }
        let rows = sides.0.iter().chain(sides.1);
        if !self.fit(rows, context) {
            return self.handle_malformed(context);
        }
        let scales = (self.stream.price_scale(), self.stream.qty_scale());
        levels.clear();
        let bids = fill(sides.0, scales, &mut levels.bids);
        if bids
            .and_then(|()| fill(sides.1, scales, &mut levels.asks))
            .is_err()
        {
            return self.handle_malformed(context);
        }
        if self.is_leading(context) {
            return self.take_whole(exch_ns, levels, times, context);
        }
        context.counters.duplicates += 1;
        let seq = seq_of(exch_ns);
        if let Some(pair) = self.pair.as_mut().filter(|pair| !pair.is_done) {
            if pair.shadow.load(seq, levels).is_ok() {
                self.join_shadow(exch_ns, context);
            } else {
                pair.shadow.reset();
            }
        }
    }

    fn take_whole(
        &mut self,
        exch_ns: Nanos,
        levels: &Levels,
        times: Times,
        context: &mut Context<'_>,
    ) {
        let Feed::Book(keeper) = &mut self.feed else {
            return;
        };
        if let Err(why) = keeper.load(seq_of(exch_ns), levels) {
            return self.break_off(why.reason(), times, context);
        }
        if let Some(printed) = &context.printed {
            let (hashes, instrument) = (&mut self.hashes, &self.stream.instrument);
            let verdict = hashes.look(printed, keeper.book(), levels, instrument);
            let counters = &mut *context.counters;
            counters.hashes_met += u64::from(verdict == Verdict::Met);
            counters.hash_mismatches +=
                u64::from(matches!(verdict, Verdict::Unmet | Verdict::Broken));
            if verdict == Verdict::Broken {
                return self.break_off(Reason::Disagrees, times, context);
            }
        }
        context.in_step = true;
        self.agreement.reset();
        self.note_time(exch_ns);
        self.go_live(times, context);
        if let Feed::Book(keeper) = &mut self.feed {
            keeper.publish_all(&self.stream, times, context.out);
        }
    }

    /// The changes of one frame.
    #[inline]
    pub(super) fn handle_changes(
        &mut self,
        changes: Changes<'_>,
        levels: &mut Levels,
        context: &mut Context<'_>,
    ) {
        if matches!(self.feed, Feed::Trades) {
            return;
        }
        let scales = (self.stream.price_scale(), self.stream.qty_scale());
        let (mut best, mut exch_ns) = (None, Nanos::ZERO);
        levels.clear();
        let mut fits = Ok(());
        for item in changes.iter() {
            let Body::Change {
                side,
                row,
                best: now,
            } = item.body
            else {
                continue;
            };
            exch_ns = exch_ns.max(item.exch_ns);
            best = now.or(best);
            let into = match side {
                Side::Bid => &mut levels.bids,
                Side::Ask => &mut levels.asks,
            };
            fits = fits.and_then(|()| fill(&[row], scales, into));
        }
        let leading = self.is_leading(context);
        if fits.is_err() {
            return self.handle_misfit(changes, leading, context);
        }
        let times = self.times(exch_ns, context);
        // Changes without a time are filed under the last one.
        let stamp_ns = if exch_ns == Nanos::ZERO {
            self.last_ns
        } else {
            exch_ns
        };
        let ids = Ids::single(seq_of(stamp_ns));
        if !leading {
            return self.change_shadow(exch_ns, &ids, levels, times, context);
        }
        let Feed::Book(keeper) = &mut self.feed else {
            return;
        };
        if keeper.last().is_none() {
            // What comes before the book is not for it.
            return;
        }
        match keeper.apply(&mut self.stream, &ids, levels, times, context.out) {
            Applied::Broken(why) => return self.break_off(why.reason(), times, context),
            _ => self.note_time(exch_ns),
        }
        if let Some(best) = best {
            self.compare(best, context);
        }
    }

    #[cold]
    fn change_shadow(
        &mut self,
        exch_ns: Nanos,
        ids: &Ids,
        levels: &Levels,
        times: Times,
        context: &mut Context<'_>,
    ) {
        context.counters.duplicates += 1;
        let Some(pair) = &mut self.pair else {
            return;
        };
        if pair.is_done || pair.shadow.last().is_none() {
            return;
        }
        let shown = self.stream.seq();
        let applied = pair
            .shadow
            .apply(&mut self.stream, ids, levels, times, &mut pair.unseen);
        pair.unseen.clear();
        self.stream.set_seq(shown);
        if let Applied::Broken(_) = applied {
            pair.shadow.reset();
        } else {
            self.join_shadow(exch_ns, context);
        }
    }

    /// Changes that are not at our scales.
    #[cold]
    fn handle_misfit(&mut self, changes: Changes<'_>, leading: bool, context: &mut Context<'_>) {
        if !leading || self.keeper().is_none_or(|keeper| keeper.last().is_none()) {
            return;
        }
        self.break_off(Reason::Rescale, Times::ours(context.now), context);
        let mut need = (0, 0);
        for item in changes.iter() {
            if let Body::Change { row, .. } = item.body {
                need = (
                    need.0.max(row.price.decimals),
                    need.1.max(row.size.decimals),
                );
            }
        }
        self.widen(need, context);
    }

    /// Makes the scales hold all of `rows`, where they can.
    fn fit<'r>(&mut self, rows: impl Iterator<Item = &'r Row>, context: &mut Context<'_>) -> bool {
        let mut need = (0, 0);
        for row in rows {
            need = (
                need.0.max(row.price.decimals),
                need.1.max(row.size.decimals),
            );
        }
        if need.0 > self.stream.price_scale().get() || need.1 > self.stream.qty_scale().get() {
            if self.stream.is_live() && self.keeper().is_some() {
                self.break_off(Reason::Rescale, Times::ours(context.now), context);
            }
            return self.widen(need, context);
        }
        true
    }

    /// Changes the scales and says so.
    fn widen(&mut self, need: (u8, u8), context: &mut Context<'_>) -> bool {
        let (Some(price), Some(qty)) = (Scale::new(need.0), Scale::new(need.1)) else {
            return false;
        };
        let instrument = &mut self.stream.instrument;
        instrument.price_scale = instrument.price_scale.max(price);
        instrument.qty_scale = instrument.qty_scale.max(qty);
        self.publish_instrument(context.now, context.out);
        true
    }

    /// Holds the book against the venue's own best prices.
    #[inline]
    pub(super) fn compare(&mut self, best: Best, context: &mut Context<'_>) {
        if self.top_check == TopCheck::Never || !self.stream.is_live() || !self.is_on(context.link)
        {
            return;
        }
        if let Feed::Book(keeper) = &self.feed {
            let top = keeper.book().top();
            let scale = self.stream.price_scale();
            let is = |ours: Option<tickwire_orderbook::Level>, best: Number, none: i64| {
                let is_none = best.decimals == 0 && best.mantissa == none;
                match ours {
                    Some(ours) => best.at(scale) == Ok(ours.price),
                    None => is_none,
                }
            };
            let agrees = is(top.bid, best.bid, 0) && is(top.ask, best.ask, 1);
            context.counters.tops_checked += 1;
            context.counters.tops_agreed += u64::from(agrees);
            self.agreement.look_at_bbo(context.now, agrees);
        }
    }

    /// The tick size is another from here on: the book has to be told anew.
    #[cold]
    pub(super) fn handle_tick(&mut self, exch_ns: Nanos, tick: Number, context: &mut Context<'_>) {
        let scale = Scale::new(tick.decimals).unwrap_or(super::symbols::PRICE_SCALE);
        let tick = Some(Price::new(tick.mantissa, scale));
        if !self.is_leading(context) {
            if let Some(pair) = &mut self.pair {
                pair.shadow.reset();
            }
            return;
        }
        self.stream.instrument.tick_size = tick;
        self.publish_instrument(context.now, context.out);
        let times = self.times(exch_ns, context);
        if self.keeper().is_some() && self.stream.is_live() {
            context.counters.resyncs += 1;
            let (resync, reason) = (StreamState::Resync, Reason::Rescale);
            self.stream.change(resync, reason, None, times, context.out);
            self.wait_anew();
            self.handle_asked(context.now);
        }
    }

    /// A trade.
    #[inline]
    pub(super) fn handle_trade(
        &mut self,
        exch_ns: Nanos,
        row: Row,
        aggressor: Aggressor,
        id: u128,
        context: &mut Context<'_>,
    ) {
        if !matches!(self.feed, Feed::Trades) {
            return;
        }
        if let Some(pair) = self.pair(context.now)
            && !pair.seen.note(super::parse::short(id))
        {
            context.counters.duplicates += 1;
            return;
        }
        if !self.fit([row].iter(), context) {
            return self.handle_malformed(context);
        }
        let scales = (self.stream.price_scale(), self.stream.qty_scale());
        let (Ok(price), Ok(qty)) = (row.price.at(scales.0), row.size.at(scales.1)) else {
            return self.handle_malformed(context);
        };
        let times = self.times(exch_ns, context);
        self.note_time(exch_ns);
        self.go_live(times, context);
        let stamp = self.stream.stamp(times);
        context
            .out
            .push(Event::trade(&stamp, price, qty, id, aggressor));
    }

    /// The market's outcome is settled: it trades no more.
    pub(super) fn handle_resolved(&mut self, now: Nanos, out: &mut Outbox) {
        self.stream.instrument.status = TradingStatus::Closed;
        self.publish_instrument(now, out);
        // Nothing follows, and that is no fault.
        self.watch.stop();
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

    /// Joins a token that another stream has: from here on both see the same messages, so this one
    /// starts from what that one holds, where that is a book as well; else from its next one.
    pub(super) fn join(&mut self, other: &Entry, context: &mut Context<'_>) {
        let scales = (other.stream.price_scale(), other.stream.qty_scale());
        let instrument = &mut self.stream.instrument;
        (instrument.price_scale, instrument.qty_scale) = scales;
        self.publish_instrument(context.now, context.out);
        if !other.stream.is_live() {
            // The other may go before its wait is over: each has its own.
            if !matches!(other.phase, Phase::Live) {
                self.phase = other.phase;
            }
            return;
        }
        let times = Times::ours(context.now);
        self.stream.set_seq(other.stream.seq());
        self.last_ns = other.last_ns;
        match (other.keeper(), self.keeper()) {
            (Some(keeper), Some(_)) => {
                let levels = Levels {
                    bids: keeper.book().levels(Side::Bid).collect(),
                    asks: keeper.book().levels(Side::Ask).collect(),
                };
                self.take_whole(other.last_ns, &levels, times, context);
            }
            (_, None) => self.go_live(times, context),
            // Trades were here first: the book comes with the next one, or is asked for.
            (None, Some(_)) => self.phase = Phase::Backoff { until: context.now },
        }
    }

    /// A message for the stream could not be read: something is missing from here on.
    pub(super) fn handle_malformed(&mut self, context: &mut Context<'_>) {
        context.counters.malformed += 1;
        if self.phase == Phase::Live {
            let times = Times::ours(context.now);
            self.break_off(Reason::Malformed, times, context);
        }
    }

    /// Publishes what is there again, for one who joins late.
    pub(super) fn republish(&mut self, now: Nanos, out: &mut Outbox) {
        if let (true, Feed::Book(keeper)) = (self.stream.is_live(), &mut self.feed) {
            keeper.publish_all(&self.stream, Times::ours(now), out);
        }
    }
}

fn seq_of(exch_ns: Nanos) -> u64 {
    u64::try_from(exch_ns.as_millis()).unwrap_or(0)
}

/// Adds rows at the scales of a stream.
#[inline]
pub(super) fn fill(
    rows: &[Row],
    scales: (Scale, Scale),
    into: &mut Vec<tickwire_orderbook::Level>,
) -> Result<(), ScanErrorKind> {
    for row in rows {
        into.push(tickwire_orderbook::Level {
            price: row.price.at(scales.0)?,
            qty: row.size.at(scales.1)?,
        });
    }
    Ok(())
}

/// The wait before the next try: doubles from the shortest to the longest, and up to half of it on
/// top by chance.
fn backoff(tries: u32, rng: &mut fastrand::Rng) -> Nanos {
    let doubled = urls::RESYNC_BACKOFF_MIN.0.checked_shl(tries.min(30));
    let wait = doubled.unwrap_or(i64::MAX).min(urls::RESYNC_BACKOFF_MAX.0);
    Nanos(wait + rng.i64(0..=wait / 2))
}

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
use super::parse::{Best, Body, Number, Row};
use super::route::Changes;
use super::urls;
use crate::channel::Channel;
use crate::event::{Aggressor, Event, Reason, StreamState};
use crate::instrument::TradingStatus;
use crate::market_data::{self, Context, First, Kept, LAG_KEPT_NS, Phase, levels_of};
use crate::outbox::Outbox;
use crate::scan::ScanErrorKind;
use crate::seen::Seen;
use crate::stream::{Applied, BookKeeper, Levels, Times};
use crate::time::Nanos;
use crate::transmit::LinkId;
use crate::upkeep::TopCheck;

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

/// What is kept beside a stream.
#[derive(Debug)]
pub(crate) struct Beside {
    pub(super) feed: Feed,
    top_check: TopCheck,
    /// Of a book, with the hashes that the venue gives it.
    hashes: HashCheck,
    /// The venue's time of the last message.
    pub(super) last_ns: Nanos,
    /// What the last probe has found: a hash of the venue's book.
    pub(super) probed: Option<u64>,
    /// What is kept while two links carry it, and a little longer.
    pair: Option<Box<PairOf>>,
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

pub(super) type Entry = market_data::Entry<Beside>;

impl Beside {
    pub(super) fn new(channel: Channel, top_check: TopCheck, hash_every: u32) -> Beside {
        Beside {
            feed: Feed::new(channel),
            top_check,
            hashes: HashCheck::new(hash_every),
            last_ns: Nanos::ZERO,
            probed: None,
            pair: None,
        }
    }

    /// What is kept of two links, where there are two or were a moment ago.
    #[inline]
    fn pair(&mut self, now: Nanos) -> Option<&mut PairOf> {
        if self.pair.as_ref().is_some_and(|pair| pair.until <= now) {
            self.pair = None;
        }
        self.pair.as_deref_mut()
    }
}

impl Kept for Beside {
    #[inline]
    fn book(&self) -> Option<&BookKeeper> {
        match &self.feed {
            Feed::Book(keeper) => Some(keeper),
            Feed::Trades => None,
        }
    }

    fn reset(&mut self) {
        self.hashes.reset();
        if let Some(pair) = &mut self.pair {
            pair.shadow.reset();
        }
        if let Feed::Book(keeper) = &mut self.feed {
            keeper.reset();
        }
    }

    /// What the venue had in an earlier silence may have come since.
    fn handle_heard(&mut self) {
        self.probed = None;
    }

    /// With a token's first message comes its book, whatever is wanted of it.
    fn first(&self) -> First {
        First::State
    }

    fn has_snapshot(&self) -> bool {
        true
    }

    fn is_fetched(&self) -> bool {
        matches!(self.feed, Feed::Book(_))
    }

    /// Starts from what the other stream holds, where that is a book as well; else from its next one.
    fn join(entry: &mut Entry, other: &Entry, context: &mut Context<'_>) {
        let times = Times::ours(context.now);
        let last_ns = other.own.last_ns;
        entry.own.last_ns = last_ns;
        match (other.keeper(), entry.keeper()) {
            (Some(keeper), Some(_)) => {
                entry.take_whole(last_ns, &levels_of(keeper), None, times, context);
            }
            (_, None) => entry.go_live(context.now, times, context.out),
            // Trades were here first: the book comes with the next one, or is asked for.
            (None, Some(_)) => entry.phase = Phase::Backoff { until: context.now },
        }
    }

    fn republish(entry: &mut Entry, times: Times, out: &mut Outbox) {
        if let Feed::Book(keeper) = &mut entry.own.feed {
            keeper.publish_all(&entry.stream, times, out);
        }
    }

    /// A frame that nobody can read breaks all of its link's streams, of which most wait for nothing in
    /// it.
    fn breaks_if_malformed(entry: &Entry) -> bool {
        entry.phase == Phase::Live
    }

    fn begin_pair(entry: &mut Entry, leader: LinkId) {
        let pair = entry.own.pair.get_or_insert_with(|| {
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

    fn end_pair(&mut self, now: Nanos) {
        if let Some(pair) = &mut self.pair {
            pair.until = now + LAG_KEPT_NS;
        }
    }

    fn goes_on_with(&self, link: LinkId) -> bool {
        match (&self.feed, &self.pair) {
            (Feed::Trades, _) => true,
            (Feed::Book(_), Some(pair)) => {
                pair.leader == link || (!pair.is_done && pair.shadow.last().is_some())
            }
            (Feed::Book(_), None) => false,
        }
    }

    /// A book of that link that is behind ours waits until it has caught up: ours is the newer one, and
    /// shows no time twice.
    fn lead(entry: &mut Entry, _: LinkId, other: LinkId, now: Nanos, out: &mut Outbox) {
        let last_ns = entry.own.last_ns;
        let is_other = |pair: &PairOf| pair.leader != other && pair.shadow_ns >= last_ns;
        if entry.own.pair.as_deref().is_some_and(is_other) {
            entry.take_shadow(other, now, out);
        }
    }

    /// Trades don't tell when both links are in step: what the old one still has under way, the new one
    /// never had.
    fn is_on(&self, link: LinkId) -> bool {
        match (&self.feed, &self.pair) {
            (Feed::Book(_), Some(pair)) => pair.leader == link,
            (Feed::Book(_), None) => true,
            (Feed::Trades, _) => false,
        }
    }

    /// What has all it needs there.
    fn may_move_to(&self, link: LinkId) -> bool {
        self.goes_on_with(link)
    }
}

impl Entry {
    /// Whether a message about the book is to be handled as that of one link is. Of two, the other's
    /// goes to the shadow.
    fn is_leading(&mut self, context: &Context<'_>) -> bool {
        let has_book = self.keeper().is_some_and(|keeper| keeper.last().is_some());
        let Some(pair) = self.own.pair(context.now) else {
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
        let (Feed::Book(keeper), Some(pair)) = (&mut self.own.feed, &mut self.own.pair) else {
            return;
        };
        core::mem::swap(keeper, &mut pair.shadow);
        pair.shadow.reset();
        (pair.leader, pair.is_done) = (link, true);
        let exch_ns = pair.shadow_ns;
        // Before it is published: what is shown is the other link's state, not our last.
        self.note_time(exch_ns);
        self.agreement.reset();
        if let (true, Feed::Book(keeper)) = (self.stream.is_live(), &mut self.own.feed) {
            let times = Times {
                exch_ns: self.own.last_ns,
                recv_ns: now,
            };
            keeper.publish_all(&self.stream, times, out);
        }
    }

    /// Where the other link's book is not behind ours, it is the book from here on.
    #[cold]
    fn join_shadow(&mut self, exch_ns: Nanos, context: &mut Context<'_>) {
        let last_ns = self.own.last_ns;
        let Some(pair) = &mut self.own.pair else {
            return;
        };
        pair.shadow_ns = exch_ns;
        if exch_ns >= last_ns {
            self.take_shadow(context.link, context.now, context.out);
            context.in_step = true;
        }
    }

    fn times(&self, exch_ns: Nanos, context: &Context<'_>) -> Times {
        Times {
            exch_ns,
            recv_ns: context.now,
        }
    }

    fn note_time(&mut self, exch_ns: Nanos) {
        if exch_ns != Nanos::ZERO {
            self.own.last_ns = exch_ns;
        }
        // The venue numbers nothing; its time in milliseconds is the next best to find a message by.
        let millis = u64::try_from(self.own.last_ns.as_millis()).unwrap_or(0);
        self.stream.set_seq(millis);
    }

    /// A `book`: bids and asks in whatever order.
    pub(super) fn handle_book(
        &mut self,
        exch_ns: Nanos,
        sides: (&[Row], &[Row]),
        printed: Option<Printed<'_>>,
        levels: &mut Levels,
        context: &mut Context<'_>,
    ) {
        let times = self.times(exch_ns, context);
        if matches!(self.own.feed, Feed::Trades) {
            // It shows that the token is there: its trades will come as well.
            self.note_time(exch_ns);
            return self.go_live(context.now, times, context.out);
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
            return self.take_whole(exch_ns, levels, printed, times, context);
        }
        context.counters.duplicates += 1;
        let seq = seq_of(exch_ns);
        if let Some(pair) = self.own.pair.as_mut().filter(|pair| !pair.is_done) {
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
        printed: Option<Printed<'_>>,
        times: Times,
        context: &mut Context<'_>,
    ) {
        let Feed::Book(keeper) = &mut self.own.feed else {
            return;
        };
        if let Err(why) = keeper.load(seq_of(exch_ns), levels) {
            return self.break_off(why.reason(), None, times, context);
        }
        if let Some(printed) = &printed {
            let (hashes, instrument) = (&mut self.own.hashes, &self.stream.instrument);
            let verdict = hashes.look(printed, keeper.book(), levels, instrument);
            let counters = &mut *context.counters;
            counters.hashes_met += u64::from(verdict == Verdict::Met);
            counters.hash_mismatches +=
                u64::from(matches!(verdict, Verdict::Unmet | Verdict::Broken));
            if verdict == Verdict::Broken {
                return self.break_off(Reason::Disagrees, None, times, context);
            }
        }
        context.in_step = true;
        self.agreement.reset();
        self.note_time(exch_ns);
        self.go_live(context.now, times, context.out);
        if let Feed::Book(keeper) = &mut self.own.feed {
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
        if matches!(self.own.feed, Feed::Trades) {
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
            self.own.last_ns
        } else {
            exch_ns
        };
        let ids = Ids::single(seq_of(stamp_ns));
        if !leading {
            return self.change_shadow(exch_ns, &ids, levels, times, context);
        }
        let Feed::Book(keeper) = &mut self.own.feed else {
            return;
        };
        if keeper.last().is_none() {
            // What comes before the book is not for it.
            return;
        }
        match keeper.apply(&mut self.stream, &ids, levels, times, context.out) {
            Applied::Broken(why) => return self.break_off(why.reason(), None, times, context),
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
        let Some(pair) = &mut self.own.pair else {
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
        self.break_off(Reason::Rescale, None, Times::ours(context.now), context);
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
                self.break_off(Reason::Rescale, None, Times::ours(context.now), context);
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
        if self.own.top_check == TopCheck::Never
            || !self.stream.is_live()
            || !self.own.is_on(context.link)
        {
            return;
        }
        if let Feed::Book(keeper) = &self.own.feed {
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
            if let Some(pair) = &mut self.own.pair {
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
            self.await_first(context.now);
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
        if !matches!(self.own.feed, Feed::Trades) {
            return;
        }
        if let Some(pair) = self.own.pair(context.now)
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
        self.go_live(context.now, times, context.out);
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

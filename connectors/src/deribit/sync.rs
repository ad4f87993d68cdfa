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
use tickwire_orderbook::{Amount, Limits, Price};

use super::parse::{BookMessage, Kind, TradeRow};
use super::tape::Shown;
use super::{symbols, urls};
use crate::channel::{Channel, Interval};
use crate::event::{Event, Reason, StreamState};
use crate::in_order::InOrder;
use crate::market_data::{self, Context, First, Kept, LAG_KEPT_NS, levels_of};
use crate::outbox::Outbox;
use crate::stream::{Applied, BookKeeper, Levels, Stream, Times};
use crate::time::Nanos;
use crate::transmit::LinkId;
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
    Ticker(Option<Shown>),
    /// The price of an index, as a ticker.
    Index(Option<Shown>),
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

/// What is kept beside a stream.
#[derive(Debug)]
pub(crate) struct Beside {
    pub(super) feed: Feed,
    /// The venue's time of the last message.
    pub(super) last_ns: Nanos,
    /// Of what has no book, what came last, and what the last probe has found.
    pub(super) heard: LastWord,
    pub(super) probed: Option<LastWord>,
    /// What is kept while two links carry it, and a little longer.
    pair: Option<PairOf>,
    /// Messages in a row with a number that was seen before.
    stale_run: u32,
    /// Trades of one of two links that came before those which the other has yet to bring.
    early: InOrder<(TradeRow, Times)>,
    /// A link is gone that may have had trades which the other never had.
    lossy: bool,
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

pub(super) type Entry = market_data::Entry<Beside>;

impl Beside {
    pub(super) fn new(feed: Feed) -> Beside {
        Beside {
            feed,
            last_ns: Nanos::ZERO,
            heard: LastWord::None,
            probed: None,
            pair: None,
            stale_run: 0,
            early: InOrder::default(),
            lossy: false,
        }
    }

    /// What is kept of two links, where there are two or were a moment ago.
    #[inline]
    fn pair(&mut self, now: Nanos) -> Option<&mut PairOf> {
        if self.pair.as_ref().is_some_and(|pair| pair.until <= now) {
            self.pair = None;
        }
        self.pair.as_mut()
    }
}

impl Kept for Beside {
    #[inline]
    fn book(&self) -> Option<&BookKeeper> {
        match &self.feed {
            Feed::Book(keeper) | Feed::Grouped(keeper) => Some(keeper),
            _ => None,
        }
    }

    #[inline]
    fn best(&self) -> Option<&BookKeeper> {
        match &self.feed {
            Feed::Top(keeper) => Some(keeper),
            _ => None,
        }
    }

    fn reset(&mut self) {
        self.stale_run = 0;
        if let Some(pair) = &mut self.pair {
            pair.shadow = None;
        }
        match &mut self.feed {
            Feed::Book(keeper) | Feed::Grouped(keeper) | Feed::Top(keeper) => keeper.reset(),
            Feed::Ticker(last) | Feed::Index(last) => *last = None,
            Feed::Kline { last, .. } => *last = None,
            // Trades that were missed are no gap in what follows.
            Feed::Trades => {
                self.heard = LastWord::None;
                self.early.clear();
                self.lossy = false;
            }
        }
    }

    /// A trade may be long in coming. Of the rest only a book of changes has a first message: where
    /// nothing changes there may be none for long.
    fn first(&self) -> First {
        match self.feed {
            Feed::Trades => First::Event,
            Feed::Book(_) => First::State,
            _ => First::Whenever,
        }
    }

    fn has_snapshot(&self) -> bool {
        matches!(self.feed, Feed::Book(_))
    }

    fn is_fetched(&self) -> bool {
        self.book().or(self.best()).is_some()
    }

    fn join(entry: &mut Entry, other: &Entry, context: &mut Context<'_>) {
        let times = Times::ours(context.now);
        entry.own.last_ns = other.own.last_ns;
        if let (Some(keeper), Some(_)) = (other.keeper(), entry.keeper()) {
            if let Some(seq) = keeper.last() {
                let message = BookMessage {
                    kind: Kind::Snapshot,
                    seq,
                    prev: 0,
                    exch_ns: Nanos::ZERO,
                };
                entry.take_whole(&message, &levels_of(keeper), times, context);
            }
            return;
        }
        entry.own.heard = other.own.heard;
        match &other.own.feed {
            Feed::Ticker(Some(shown)) | Feed::Index(Some(shown)) => {
                entry.handle_ticker(other.own.last_ns, shown, context);
            }
            Feed::Kline {
                last: Some(kline), ..
            } => entry.handle_kline(*kline, context),
            Feed::Trades => entry.go_live(context.now, times, context.out),
            _ => {}
        }
    }

    fn republish(entry: &mut Entry, times: Times, out: &mut Outbox) {
        match &mut entry.own.feed {
            Feed::Book(keeper) | Feed::Grouped(keeper) | Feed::Top(keeper) => {
                keeper.publish_all(&entry.stream, times, out);
            }
            Feed::Ticker(Some(shown)) | Feed::Index(Some(shown)) => {
                publish_shown(&entry.stream, shown, times, out);
            }
            _ => {}
        }
    }

    fn begin_pair(entry: &mut Entry, leader: LinkId) {
        entry.own.pair = Some(PairOf {
            leader,
            shadow: None,
            until: Nanos::MAX,
        });
    }

    fn end_pair(&mut self, now: Nanos) {
        if let Some(pair) = &mut self.pair {
            pair.until = now + LAG_KEPT_NS;
        }
    }

    fn goes_on_with(&self, link: LinkId) -> bool {
        match (&self.feed, &self.pair) {
            (Feed::Book(_), Some(pair)) => pair.leader == link,
            (Feed::Book(_), None) => false,
            _ => true,
        }
    }

    /// Of trades, what the lost link alone has brought will come on the other; what lies before those of
    /// the other will not come any more.
    fn lead(entry: &mut Entry, lost: LinkId, other: LinkId, now: Nanos, out: &mut Outbox) {
        if let Some(pair) = &mut entry.own.pair {
            pair.leader = other;
        }
        if matches!(entry.own.feed, Feed::Trades) {
            entry.own.early.drop_link(lost);
            entry.own.lossy = true;
            entry.show_early(now, out);
        }
    }

    #[inline]
    fn deadline(&self) -> Nanos {
        self.early.deadline()
    }

    fn handle_timeout(entry: &mut Entry, context: &mut Context<'_>) {
        if entry.own.early.deadline() <= context.now {
            entry.show_early(context.now, context.out);
        }
    }

    /// What may send nothing for long after the ack. A book of changes has to show itself.
    fn may_move_to(&self, _: LinkId) -> bool {
        !matches!(self.feed, Feed::Book(_))
    }
}

impl Entry {
    /// Whether the other link has not brought the message before; by the venue's time, for kinds whose
    /// messages stand for themselves. One link's are always news.
    fn is_news_by_time(&mut self, exch_ns: Nanos, context: &mut Context<'_>) -> bool {
        let last_ns = self.own.last_ns;
        if let Some(pair) = self.own.pair(context.now) {
            context.in_step = true;
            if exch_ns < last_ns || (exch_ns == last_ns && pair.leader != context.link) {
                context.counters.duplicates += 1;
                return false;
            }
            pair.leader = context.link;
        }
        self.own.last_ns = exch_ns;
        true
    }

    /// A message of a book of changes while two links carry it. True where it is to be handled as that
    /// of one link is.
    #[cold]
    fn judge_of_two(&mut self, message: &BookMessage, context: &mut Context<'_>) -> bool {
        let (link, last) = (context.link, self.keeper().and_then(BookKeeper::last));
        let Some(pair) = self.own.pair(context.now) else {
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
        match (&mut self.own.feed, message.kind) {
            (Feed::Book(_), Kind::Snapshot | Kind::Change) => {
                if self.own.pair.is_some() && !self.judge_of_two(message, context) {
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
        let Feed::Book(keeper) = &mut self.own.feed else {
            return;
        };
        if keeper.last().is_none() {
            // What comes before the snapshot is not for this book.
            return;
        }
        let ids = Ids::chained(message.prev, message.seq);
        match keeper.apply(&mut self.stream, &ids, levels, times, context.out) {
            Applied::Yes => {
                self.own.stale_run = 0;
                self.own.last_ns = message.exch_ns;
            }
            Applied::Broken(why) => self.break_off(why.reason(), why.gap(), times, context),
            Applied::Stale | Applied::Repeat => self.seen_before(message.seq, times, context),
        }
    }

    /// A number that was passed is harmless once; a run of them means that the venue counts anew.
    fn seen_before(&mut self, seq: u64, times: Times, context: &mut Context<'_>) {
        if self.own.pair(context.now).is_some() {
            // The other link has brought it.
            context.counters.duplicates += 1;
            return;
        }
        context.counters.stale += 1;
        self.own.stale_run += 1;
        if self.own.stale_run >= urls::STALE_RUN_MAX {
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
        let (Feed::Book(keeper) | Feed::Grouped(keeper) | Feed::Top(keeper)) = &mut self.own.feed
        else {
            return;
        };
        if let Err(why) = keeper.load(message.seq, levels) {
            self.break_off(why.reason(), why.gap(), times, context);
            return;
        }
        self.own.stale_run = 0;
        self.own.last_ns = message.exch_ns;
        self.stream.set_seq(message.seq);
        self.go_live(context.now, times, context.out);
        if let Feed::Book(keeper) | Feed::Grouped(keeper) | Feed::Top(keeper) = &mut self.own.feed {
            keeper.publish_all(&self.stream, times, context.out);
        }
    }

    /// The trades of a message, as sent. Their numbers have no holes: one that is left out is counted as
    /// a gap. Nothing brings it back, and the trades that follow are as good as ever.
    #[inline]
    pub(super) fn handle_trades(&mut self, rows: &[TradeRow], context: &mut Context<'_>) {
        let is_of_two = self.own.pair(context.now).is_some();
        for row in rows {
            let times = Times {
                exch_ns: row.exch_ns,
                recv_ns: context.now,
            };
            if is_of_two && !self.is_next_of_two(row, times, context) {
                continue;
            }
            let is_gap = self.show_trade(row, times, context.now, context.out);
            context.counters.gaps += u64::from(is_gap);
            while let Some((_, (row, times))) = self.own.early.next(self.last_trade()) {
                self.show_trade(&row, times, context.now, context.out);
            }
        }
    }

    /// Number of the last trade that was shown, 0 for none.
    #[inline]
    const fn last_trade(&self) -> u64 {
        match self.own.heard {
            LastWord::Trade(last) => last,
            _ => 0,
        }
    }

    /// Whether a trade is to be shown now. One that leaves a hole waits for the other link, which may have
    /// what lies between; one that came before is the other link's copy.
    #[cold]
    fn is_next_of_two(&mut self, row: &TradeRow, times: Times, context: &mut Context<'_>) -> bool {
        let last = self.last_trade();
        let Some(pair) = self.own.pair(context.now) else {
            return true;
        };
        // Two links live until one is let go; after that only copies are on their way.
        let both_live = pair.until == Nanos::MAX;
        if last != 0 && row.seq <= last {
            // What follows comes by this link as well.
            pair.leader = context.link;
            context.in_step = true;
            let is_late = self.own.early.take_skipped(row.seq);
            context.counters.duplicates += u64::from(!is_late);
            if is_late {
                self.publish_trade(row, times, context.out);
            }
            return false;
        }
        if last != 0 && row.seq > last.saturating_add(1) && both_live {
            let early = (*row, times);
            self.own
                .early
                .push(context.now, row.seq, context.link, early);
            while let Some((_, (row, times))) = self.own.early.next(self.last_trade()) {
                self.show_trade(&row, times, context.now, context.out);
            }
            return false;
        }
        pair.leader = context.link;
        context.in_step = true;
        true
    }

    /// Shows all that has waited: what is missing before it does not come any more.
    fn show_early(&mut self, now: Nanos, out: &mut Outbox) {
        while let Some((_, (row, times))) = self.own.early.pop() {
            self.own.lossy = true;
            self.show_trade(&row, times, now, out);
        }
    }

    /// Shows a trade and says whether others are missing before it, which is told where a link took them
    /// along.
    #[inline]
    fn show_trade(&mut self, row: &TradeRow, times: Times, now: Nanos, out: &mut Outbox) -> bool {
        let last = self.last_trade();
        let is_gap = last != 0 && row.seq > last.saturating_add(1);
        if core::mem::take(&mut self.own.lossy) && is_gap {
            let (resync, gap) = (StreamState::Resync, Some((last + 1, row.seq)));
            self.stream.change(resync, Reason::Gap, gap, times, out);
        }
        self.own.heard = LastWord::Trade(row.seq);
        self.stream.set_seq(row.seq);
        if !self.stream.is_live() {
            self.go_live(now, times, out);
        }
        self.publish_trade(row, times, out);
        is_gap
    }

    #[inline]
    fn publish_trade(&self, row: &TradeRow, times: Times, out: &mut Outbox) {
        let stamp = self.stream.stamp(times);
        out.push(Event::trade(
            &stamp,
            row.price,
            row.qty,
            row.id,
            row.aggressor,
        ));
    }

    /// The ticker of an instrument or of an index.
    pub(super) fn handle_ticker(
        &mut self,
        exch_ns: Nanos,
        shown: &Shown,
        context: &mut Context<'_>,
    ) {
        if !self.is_news_by_time(exch_ns, context) {
            return;
        }
        let (Feed::Ticker(last) | Feed::Index(last)) = &mut self.own.feed else {
            return;
        };
        *last = Some(*shown);
        self.own.heard = LastWord::of_ticker(&shown.0);
        let times = Times {
            exch_ns,
            recv_ns: context.now,
        };
        self.go_live(context.now, times, context.out);
        publish_shown(&self.stream, shown, times, context.out);
    }

    /// A candle as it stands. The first of the next says that it is complete.
    pub(super) fn handle_kline(&mut self, kline: Kline, context: &mut Context<'_>) {
        if !self.is_news_by_time(kline.start_ns, context) {
            return;
        }
        let Feed::Kline { last, .. } = &mut self.own.feed else {
            return;
        };
        let before = last.replace(kline);
        self.own.heard = LastWord::of_candle(&kline);
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
}

fn publish_shown(stream: &Stream, (ticker, greeks): &Shown, times: Times, out: &mut Outbox) {
    stream.publish_wide(WideBody::Ticker(*ticker), times, out);
    if let Some(greeks) = greeks {
        stream.publish_wide(WideBody::Greeks(*greeks), times, out);
    }
}

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
use tickwire_orderbook::{Amount, Limits, Price};

use super::pair::{Mark, Pair};
use super::parse::{BookMessage, Kind, TradeRow};
use super::subscribe::book_depth;
use super::tape::{Head, TickerState};
use super::urls;
use crate::channel::{Channel, Interval};
use crate::event::{Event, Reason, StreamState};
use crate::instrument::Market;
use crate::market_data::{self, Context, First, Kept, levels_of};
use crate::outbox::Outbox;
use crate::stream::{Applied, BookKeeper, Break, Levels, Times};
use crate::time::Nanos;
use crate::transmit::LinkId;
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

/// What is kept beside a stream.
#[derive(Debug)]
pub(crate) struct Beside {
    pub(super) feed: Feed,
    /// Of the last message; of what was shown, where two links carry the topic.
    pub(super) mark: Mark,
    /// Of trades and candles, what came last, and what the last probe has found.
    pub(super) heard: LastWord,
    pub(super) probed: Option<LastWord>,
    /// What is kept while two links carry it, and a little longer.
    pub(super) pair: Option<Box<Pair>>,
    /// Messages in a row with a number that was seen before.
    stale_run: u32,
}

pub(super) type Entry = market_data::Entry<Beside>;

impl Beside {
    pub(super) fn new(feed: Feed) -> Beside {
        Beside {
            feed,
            mark: Mark::default(),
            heard: LastWord::None,
            probed: None,
            pair: None,
            stale_run: 0,
        }
    }

    /// Where its book stands.
    pub(super) fn last_number(&self) -> Option<u64> {
        match &self.feed {
            Feed::Book(keeper) | Feed::Top(keeper) => keeper.last(),
            _ => None,
        }
    }
}

impl Kept for Beside {
    #[inline]
    fn book(&self) -> Option<&BookKeeper> {
        match &self.feed {
            Feed::Book(keeper) => Some(keeper),
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

    /// A trade may be long in coming; a candle comes with the next trade.
    fn first(&self) -> First {
        match self.feed {
            Feed::Trades => First::Event,
            Feed::Kline(_) => First::Whenever,
            _ => First::State,
        }
    }

    fn has_snapshot(&self) -> bool {
        matches!(self.feed, Feed::Book(_) | Feed::Ticker { deltas: true, .. })
    }

    fn is_fetched(&self) -> bool {
        !matches!(self.feed, Feed::Trades | Feed::Kline(_))
    }

    fn join_links(&mut self, other: &Beside) {
        (self.mark, self.pair) = (other.mark, other.pair.clone());
    }

    fn join(entry: &mut Entry, other: &Entry, context: &mut Context<'_>) {
        let times = Times::ours(context.now);
        if let (Some(keeper), Some(_)) = (other.keeper(), entry.keeper()) {
            if let Some(seq) = keeper.last() {
                let message = BookMessage {
                    kind: Kind::Snapshot,
                    seq,
                    cross: other.own.mark.cross,
                    exch_ns: Nanos::ZERO,
                };
                entry.take_whole(&message, &levels_of(keeper), times, context);
            }
        } else if let Feed::Ticker {
            state, whole: true, ..
        } = &other.own.feed
        {
            let head = Head {
                kind: Kind::Snapshot,
                seq: other.stream.seq(),
                exch_ns: Nanos::ZERO,
            };
            entry.take_ticker(&head, *state, times, context);
        } else if matches!(entry.own.feed, Feed::Trades) {
            entry.go_live(context.now, times, context.out);
        }
    }

    fn republish(entry: &mut Entry, times: Times, out: &mut Outbox) {
        match &mut entry.own.feed {
            Feed::Book(keeper) | Feed::Top(keeper) => keeper.publish_all(&entry.stream, times, out),
            Feed::Ticker { state, .. } => {
                let body = WideBody::Ticker(state.ticker());
                entry.stream.publish_wide(body, times, out);
            }
            Feed::Trades | Feed::Kline(_) => {}
        }
    }

    #[inline]
    fn deadline(&self) -> Nanos {
        let pair = self.pair.as_ref();
        pair.map_or(Nanos::MAX, |pair| pair.deadline())
    }

    fn handle_timeout(entry: &mut Entry, context: &mut Context<'_>) {
        entry.handle_pair_timeout(context);
    }

    fn begin_link(&mut self, link: LinkId) {
        let mark = self.mark;
        if let Some(pair) = &mut self.pair {
            pair.begin_link(link, mark);
        }
    }

    fn ask_anew(&mut self) {
        if let Some(pair) = &mut self.pair {
            pair.ask_anew();
        }
    }

    fn note_ack(&mut self, link: LinkId) {
        let mark = self.mark;
        if let Some(pair) = &mut self.pair {
            pair.note_ack(link, mark);
        }
    }

    fn start_with(&mut self, link: LinkId) {
        let mark = self.mark;
        if let Some(pair) = &mut self.pair {
            pair.start_with(link, mark);
        }
    }

    fn lose_with(&mut self, link: LinkId, lives: bool) {
        if !lives {
            self.mark = Mark::default();
        }
        if let Some(pair) = &mut self.pair {
            pair.lose_with(link, lives);
        }
    }

    fn begin_pair(entry: &mut Entry, leader: LinkId) {
        entry.begin_pair(leader);
    }

    fn end_pair(&mut self, _: Nanos) {
        if let Some(pair) = &mut self.pair {
            pair.end();
        }
    }

    fn goes_on_with(&self, link: LinkId) -> bool {
        let pair = self.pair.as_ref();
        pair.is_some_and(|pair| pair.goes_on_with(link, self))
    }

    fn lead(entry: &mut Entry, lost: LinkId, other: LinkId, _: Nanos, _: &mut Outbox) {
        let (mark, last) = (entry.own.mark, entry.own.last_number());
        if let Some(pair) = &mut entry.own.pair {
            pair.lose(lost, other, mark, last);
        }
    }

    /// Topics without a first message: where nothing has come by the link.
    fn may_move_to(&self, link: LinkId) -> bool {
        let has_no_first = matches!(
            self.feed,
            Feed::Trades | Feed::Kline(_) | Feed::Ticker { deltas: false, .. }
        );
        has_no_first
            && self
                .pair
                .as_ref()
                .is_none_or(|pair| pair.is_silent_on(link))
    }
}

impl Entry {
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
        let is_due = if matches!(self.own.feed, Feed::Top(_)) {
            let mark = Mark::with_number(message.cross, message.seq);
            self.is_news(mark, times, context)
        } else {
            self.own.pair.is_none() || self.judge_book(message, times, context)
        };
        if !is_due {
            return;
        }
        match (&mut self.own.feed, message.kind) {
            (Feed::Book(keeper), Kind::Delta) => {
                // What comes before the snapshot is not for this book.
                if keeper.last().is_none() && message.seq != RESTART {
                    return;
                }
                let ids = Ids::single(message.seq);
                let applied = keeper.apply(&mut self.stream, &ids, levels, times, context.out);
                match applied {
                    Applied::Yes => {
                        self.own.stale_run = 0;
                        self.own.mark = Mark::of(message.cross);
                        if self.own.pair.is_some() {
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
                Some(last) if last == message.seq && is_top(keeper, levels) => {
                    self.own.stale_run = 0
                }
                // Another link may number otherwise, and has been found to be newer.
                Some(last)
                    if message.seq < last && message.seq != RESTART && self.own.pair.is_none() =>
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
        if self.own.pair.is_some() && message.cross <= self.own.mark.cross {
            // The other link has brought it.
            context.counters.duplicates += 1;
            return;
        }
        context.counters.stale += 1;
        self.own.stale_run += 1;
        if self.own.stale_run >= urls::STALE_RUN_MAX {
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
        let is_book = matches!(self.own.feed, Feed::Book(_));
        if let (RESTART, Some(pair)) = (seq, &mut self.own.pair) {
            pair.restart(context.link, message.cross);
        }
        let (Feed::Book(keeper) | Feed::Top(keeper)) = &mut self.own.feed else {
            return;
        };
        if let Err(why) = keeper.load(seq, levels) {
            self.break_off(why.reason(), why.gap(), times, context);
            return;
        }
        self.own.stale_run = 0;
        self.stream.set_seq(seq);
        if is_book {
            self.own.mark = Mark::of(message.cross);
            let behind = |pair: &Pair| !pair.has_reached(self.own.mark);
            if self.own.pair.as_deref().is_some_and(behind) {
                return;
            }
        }
        self.go_live(context.now, times, context.out);
        if let Feed::Book(keeper) | Feed::Top(keeper) = &mut self.own.feed {
            keeper.publish_all(&self.stream, times, context.out);
        }
    }

    /// The trades of a message, as sent.
    #[inline]
    pub(super) fn handle_trades(&mut self, rows: &[TradeRow], context: &mut Context<'_>) {
        if self.own.pair.is_some() {
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
        self.own.mark = Mark::of(row.seq);
        self.own.heard = LastWord::Trade(row.exch_ns);
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
        let Feed::Ticker { state, whole, .. } = &mut self.own.feed else {
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
            self.own.heard = LastWord::Candle(kline.start_ns, kline.close, kline.volume);
            self.go_live(context.now, times, context.out);
            self.stream
                .publish_wide(WideBody::Kline(*kline), times, context.out);
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

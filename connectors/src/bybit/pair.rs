//! A stream that two links carry: while a link is replaced before its end, or for good.
//!
//! The messages of both are put in order by the venue's own mark: the cross sequence of the matching
//! engine (`seq`, of tickers `cs`; websocket/public/orderbook, trade and ticker, 2026-07-24), which is
//! the same on all connections; candles have only their time. Few rules lead every kind of stream:
//!
//! 1. **The mark only rises.** What lies below what was shown is known. So it is while the topic is
//!    asked for anew, and as long as one link lives: a book that was thrown away is Live again only
//!    once it has come to where it was.
//! 2. **A link counts once it is in step.** Level 1, tickers and candles: with a message that is not
//!    below the stream's mark of when the link came up, as the venue sends nothing older there. Trades:
//!    once the other link has come to where this one begins; what it brings before waits. Books: with
//!    an update that came by both under the same number
//!    ([`Numbering`](crate::numbering::Numbering)), or with a whole book that is newer; until then the
//!    book follows the other link alone.
//! 3. **A gap may be filled by a link that is in step**, and is one if that has not done so in time.
//! 4. **A lost link takes along what it has proven.** The stream goes on without a break where the
//!    other is in step, and says Stale and is asked for anew there where it is not. With the last link
//!    all is forgotten.
//! 5. **A venue that counts anew is found by what one connection can't do otherwise**: a link that is
//!    below the mark of when it came up, while no other is in step; or one that goes on sending what
//!    lies below its own last message. What another link still sends of the count before is let be.

use arrayvec::ArrayVec;
use tickwire_orderbook::sequence::Ids;

use super::parse::{BookMessage, Kind, TradeRow};
use super::sync::{Beside, Entry, Feed, RESTART};
use super::urls;
use crate::event::Reason;
use crate::hold::{Ahead, Joined};
use crate::market_data::{Context, Kept, LAG_NS};
use crate::numbering::{Alike, Numbering};
use crate::seen::Seen;
use crate::stream::{Levels, Times};
use crate::time::Nanos;
use crate::transmit::LinkId;

/// Trades of a link that is not in step yet which wait: two links of one venue are apart by far less.
const EARLY_MAX: usize = 1_024;

/// Where a message stands among all of its stream, whichever link brings it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mark {
    /// Cross sequence of the matching engine.
    pub(super) cross: u64,
    /// What tells messages of one cross sequence apart, where there is something.
    then: u64,
}

impl Mark {
    pub(super) const fn of(cross: u64) -> Mark {
        Mark { cross, then: 0 }
    }

    pub(super) const fn with_number(cross: u64, number: u64) -> Mark {
        let then = number;
        Mark { cross, then }
    }

    pub(super) fn with_time(cross: u64, time: Nanos) -> Mark {
        let then = u64::try_from(time.0).unwrap_or(0);
        Mark { cross, then }
    }
}

/// What one connection has shown of the stream.
#[derive(Clone, Copy, Debug)]
struct Tail {
    link: LinkId,
    /// The stream's mark when it came up: the venue sends nothing older here.
    floor: Mark,
    /// From here on it has all; `None` before its first message.
    first: Option<Mark>,
    newest: Mark,
    /// Messages in a row below `newest`.
    back_run: u32,
    /// The topic was asked for anew here, and has not been acked since.
    asked: bool,
    /// The venue counts anew, as another link has shown; this one has not come to that yet.
    is_former: bool,
}

impl Tail {
    const fn new(link: LinkId, floor: Mark) -> Tail {
        Tail {
            link,
            floor,
            first: None,
            newest: Mark::of(0),
            back_run: 0,
            asked: false,
            is_former: false,
        }
    }

    /// Whether nothing of the stream from `mark` on is missing here.
    fn has_all_after(&self, mark: Mark) -> bool {
        self.first.is_some_and(|first| first <= mark)
    }

    /// Whether it has come to where the stream was when it came up.
    fn is_up_to_date(&self) -> bool {
        self.first.is_some() && self.newest >= self.floor && !self.is_former
    }
}

/// A trade that waits for the other link to come to it.
#[derive(Clone, Copy, Debug)]
struct Early {
    row: TradeRow,
    /// The venue has sent it behind a newer one.
    back: bool,
}

/// What a message was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    InOrder,
    /// Below the last one of its own link.
    Back,
    /// Of a count that is over.
    Former,
    /// The venue counts anew.
    Anew,
}

/// What is kept of a stream that two links carry, and after that until the one that is left has come
/// past what was shown.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    tails: ArrayVec<Tail, 2>,
    ending: bool,
    /// Of a book: the link whose numbers it goes by, while the two are not known to number alike.
    leader: LinkId,
    numbering: Numbering,
    /// Of a book: what it has to come to before it is Live.
    reached: Mark,
    /// Of a book: the cross sequence at which its numbers began anew. What is older is of another count,
    /// though its link may bring it after the other has told.
    restarted: u64,
    ahead: Ahead,
    scratch: Levels,
    /// Of trades: which were shown, and which wait.
    seen: Seen,
    early: Vec<Early>,
    early_since: Nanos,
}

impl Pair {
    fn new(leader: LinkId, reached: Mark) -> Pair {
        Pair {
            tails: ArrayVec::new(),
            ending: false,
            leader,
            numbering: Numbering::new(),
            reached,
            restarted: 0,
            ahead: Ahead::default(),
            scratch: Levels::default(),
            seen: Seen::new(),
            early: Vec::new(),
            early_since: Nanos::MAX,
        }
    }

    fn find(&self, link: LinkId) -> Option<&Tail> {
        self.tails.iter().find(|tail| tail.link == link)
    }

    fn drop_tail(&mut self, link: LinkId) {
        self.tails.retain(|tail| tail.link != link);
    }

    /// The tail of a link, which may be new to the stream.
    fn tail(&mut self, link: LinkId, floor: Mark) -> Option<&mut Tail> {
        if self.find(link).is_none() {
            if self.tails.is_full() {
                self.tails.remove(0);
            }
            self.tails.push(Tail::new(link, floor));
        }
        self.tails.iter_mut().find(|tail| tail.link == link)
    }

    /// A message has come by a link.
    fn hear(&mut self, link: LinkId, mark: Mark, shown: Mark) -> Heard {
        let mut others = self.tails.iter().filter(|tail| tail.link != link);
        let alone = !others.any(Tail::is_up_to_date);
        let Some(tail) = self.tail(link, shown) else {
            return Heard::InOrder;
        };
        tail.first.get_or_insert(mark);
        let is_back = mark < tail.newest;
        if tail.is_former && !is_back {
            tail.newest = mark;
            return Heard::Former;
        }
        if core::mem::take(&mut tail.is_former) {
            // It has begun the new count as well.
            *tail = Tail {
                first: Some(mark),
                newest: mark,
                ..Tail::new(link, Mark::default())
            };
            return Heard::InOrder;
        }
        if is_back {
            tail.back_run += 1;
        } else {
            (tail.newest, tail.back_run) = (mark, 0);
        }
        if tail.back_run >= urls::STALE_RUN_MAX || (alone && !tail.is_up_to_date()) {
            Heard::Anew
        } else if is_back {
            Heard::Back
        } else {
            Heard::InOrder
        }
    }

    /// Whether the trades of a link wait for another that has all.
    fn holds_back(&self, link: LinkId, shown: Mark) -> bool {
        let has_all = |tail: &Tail| tail.has_all_after(shown);
        let mut others = self.tails.iter().filter(|tail| tail.link != link);
        !self.find(link).is_some_and(has_all) && others.any(has_all)
    }

    /// All links are lost, or the venue counts anew: nothing of before says anything any more.
    fn forget(&mut self) {
        self.numbering.clear();
        self.reached = Mark::default();
        self.restarted = 0;
        self.ahead.clear();
        self.seen.clear();
        self.early.clear();
    }

    /// The book is thrown away, and is to come to `shown` again.
    pub(super) fn reset_book(&mut self, shown: Mark) {
        self.reached = self.reached.max(shown);
        self.numbering.clear();
        self.ahead.clear();
    }

    /// The book is whole at a new count's first number.
    pub(super) fn restart(&mut self, link: LinkId, cross: u64) {
        self.restarted = cross;
        self.ahead.clear();
        self.numbering.restart();
        self.numbering.note(link, RESTART, cross);
    }

    /// Whether a book that stands there may be Live.
    pub(super) fn has_reached(&self, mark: Mark) -> bool {
        mark >= self.reached
    }

    /// When what the other link might bring is given up.
    pub(super) fn deadline(&self) -> Nanos {
        self.ahead.deadline().min(self.early_deadline())
    }

    fn early_deadline(&self) -> Nanos {
        if self.early.is_empty() {
            Nanos::MAX
        } else {
            self.early_since + LAG_NS
        }
    }
}

/// The course of the links.
impl Pair {
    /// A link that carries the stream has come up.
    pub(super) fn begin_link(&mut self, link: LinkId, mark: Mark) {
        let floor = mark.max(self.reached);
        self.drop_tail(link);
        self.tail(link, floor);
    }

    /// The topic is asked for anew on all links: what comes before their acks is of before.
    pub(super) fn ask_anew(&mut self) {
        for tail in &mut self.tails {
            (tail.first, tail.asked) = (None, true);
        }
        self.early.clear();
    }

    /// The venue has acked the topic on a link.
    pub(super) fn note_ack(&mut self, link: LinkId, mark: Mark) {
        if let Some(tail) = self.tail(link, mark) {
            tail.asked = false;
        }
    }

    /// Trades are Live by this link's ack: it has all of them from now on.
    pub(super) fn start_with(&mut self, link: LinkId, mark: Mark) {
        if let Some(tail) = self.tail(link, mark) {
            tail.first.get_or_insert(mark);
        }
    }

    /// Whether the stream goes on without a break on `link` alone, which has acked it.
    pub(super) fn goes_on_with(&self, link: LinkId, of: &Beside) -> bool {
        if matches!(of.feed, Feed::Book(_)) {
            let follows = self.leader == link || self.numbering.alike() == Alike::Yes;
            return follows && of.last_number().is_some();
        }
        let Some(tail) = self.find(link) else {
            return false;
        };
        let has_all = !matches!(of.feed, Feed::Trades) || tail.has_all_after(of.mark);
        has_all && tail.is_up_to_date()
    }

    /// Whether a link has brought nothing since it came up.
    pub(super) fn is_silent_on(&self, link: LinkId) -> bool {
        self.find(link).is_none_or(|tail| tail.first.is_none())
    }

    /// The stream goes on without `link`, on `other` alone; its book stands at `last`.
    pub(super) fn lose(&mut self, link: LinkId, other: LinkId, mark: Mark, last: Option<u64>) {
        self.drop_tail(link);
        self.early.clear();
        self.leader = other;
        // What the next connection numbers alike has to be seen again.
        self.numbering.clear();
        if let Some(last) = last {
            self.numbering.note(other, last, mark.cross);
        }
    }

    /// The stream can't go on without `link`. What was shown counts on while another link `lives`.
    pub(super) fn lose_with(&mut self, link: LinkId, lives: bool) {
        self.drop_tail(link);
        if !lives {
            self.tails.clear();
            self.forget();
        }
    }

    /// One link is left.
    pub(super) const fn end(&mut self) {
        self.ending = true;
    }
}

impl Entry {
    /// A second link begins to carry it beside `leader`.
    pub(super) fn begin_pair(&mut self, leader: LinkId) {
        let (mark, last, is_live) = (self.own.mark, self.own.last_number(), self.stream.is_live());
        let pair = self
            .own
            .pair
            .get_or_insert_with(|| Box::new(Pair::new(leader, mark)));
        (pair.leader, pair.ending) = (leader, false);
        if let (true, Some(tail)) = (is_live, pair.tail(leader, Mark::default())) {
            tail.first.get_or_insert(mark);
            tail.newest = tail.newest.max(mark);
        }
        // The book as it stands, should the other link's snapshot show no more.
        if let Some(last) = last {
            pair.numbering.note(leader, last, mark.cross);
        }
    }
}

/// Messages.
impl Entry {
    /// Whether one link is left that has come past what was shown: then nothing more is to be kept.
    fn is_over(&self, mark: Mark) -> bool {
        let ending = self.own.pair.as_ref().is_some_and(|pair| pair.ending);
        ending && mark > self.own.mark && self.stream.is_live()
    }

    /// The venue counts anew, and this link shows it.
    fn begin_count(&mut self, mark: Mark, times: Times, context: &mut Context<'_>) {
        self.own.mark = Mark::default();
        if let Some(pair) = &mut self.own.pair {
            pair.forget();
            for tail in &mut pair.tails {
                tail.is_former = true;
                if tail.link == context.link {
                    *tail = Tail {
                        first: Some(mark),
                        newest: mark,
                        ..Tail::new(tail.link, Mark::default())
                    };
                }
            }
        }
        if self.stream.is_live() {
            self.break_off(Reason::VenueRestart, None, times, context);
        }
    }

    /// Whether a message that stands for itself is news, and not the other link's or older.
    pub(super) fn is_news(&mut self, mark: Mark, times: Times, context: &mut Context<'_>) -> bool {
        if self.is_over(mark) {
            self.own.pair = None;
        }
        let (shown, link) = (self.own.mark, context.link);
        let Some(pair) = &mut self.own.pair else {
            self.own.mark = mark;
            return true;
        };
        match pair.hear(link, mark, shown) {
            Heard::Anew => self.begin_count(mark, times, context),
            Heard::Former => return false,
            Heard::InOrder | Heard::Back => {}
        }
        context.in_step = self.own.goes_on_with(link);
        let is_known = mark < self.own.mark || (mark == self.own.mark && self.stream.is_live());
        if is_known {
            context.counters.duplicates += 1;
        } else {
            self.own.mark = mark;
        }
        !is_known
    }

    /// A book message while two links carry the topic. True where it is to be handled as that of one
    /// link is.
    #[cold]
    pub(super) fn judge_book(
        &mut self,
        message: &BookMessage,
        times: Times,
        context: &mut Context<'_>,
    ) -> bool {
        let (link, seq, mark) = (context.link, message.seq, Mark::of(message.cross));
        if self.is_over(mark) {
            self.own.pair = None;
        }
        let shown = self.own.mark;
        let Some(pair) = &mut self.own.pair else {
            return true;
        };
        let floor = shown.max(pair.reached);
        match pair.hear(link, mark, floor) {
            Heard::Anew => self.begin_count(mark, times, context),
            Heard::Former => return false,
            Heard::InOrder | Heard::Back => {}
        }
        let (shown, last) = (self.own.mark, self.own.last_number());
        let Some(pair) = &mut self.own.pair else {
            return true;
        };
        if message.cross < pair.restarted {
            context.counters.duplicates += 1;
            return false;
        }
        let is_whole = message.kind == Kind::Snapshot || seq == RESTART;
        let Some(last) = last else {
            // A first whole one is the book, whichever link it comes by.
            if is_whole {
                pair.leader = link;
                pair.numbering.note(link, seq, message.cross);
                context.in_step = true;
            }
            return true;
        };
        let before = pair.numbering.alike();
        let was_noted = pair.numbering.note(link, seq, message.cross);
        let alike = pair.numbering.alike();
        context.counters.unalike += u64::from(alike == Alike::No && before != Alike::No);
        context.in_step = link == pair.leader || alike == Alike::Yes;
        // Two restarts in a row may have the same numbers.
        let is_restart = seq == RESTART && last != RESTART;
        if mark < shown || (was_noted && !is_restart) {
            context.counters.duplicates += 1;
            return false;
        }
        if link != pair.leader && is_whole && mark > shown {
            pair.leader = link;
            pair.ahead.clear();
            context.in_step = true;
        }
        let follows = link == pair.leader || (alike == Alike::Yes && !is_whole);
        context.counters.duplicates += u64::from(!follows && mark == shown);
        follows
    }

    /// A delta that does not follow. True where it waits for what another link may bring.
    #[cold]
    pub(super) fn wait_for_other(
        &mut self,
        seq: u64,
        gap: (u64, u64),
        levels: &Levels,
        times: Times,
        context: &mut Context<'_>,
    ) -> bool {
        let Some(pair) = &mut self.own.pair else {
            return false;
        };
        let healable = context.healable && pair.numbering.alike() == Alike::Yes;
        healable && pair.ahead.push(Ids::single(seq), levels, times, gap)
    }

    /// The book has moved on: what waited for that may follow now, and it may be where it was.
    #[cold]
    pub(super) fn follow_up(&mut self, times: Times, context: &mut Context<'_>) {
        let (Feed::Book(keeper), Some(pair)) = (&mut self.own.feed, self.own.pair.as_deref_mut())
        else {
            return;
        };
        if !pair.ahead.is_empty() {
            let Pair { ahead, scratch, .. } = pair;
            match ahead.join(keeper, &mut self.stream, scratch, context.out) {
                Joined::Whole => context.counters.healed += u64::from(ahead.is_empty()),
                Joined::Broken(why) => {
                    self.break_off(why.reason(), why.gap(), times, context);
                    return;
                }
            }
            let cross = keeper.last().and_then(|last| pair.numbering.mark(last));
            self.own.mark = cross.map_or(self.own.mark, Mark::of);
        }
        if !self.stream.is_live() && pair.has_reached(self.own.mark) {
            self.go_live(context.now, times, context.out);
            if let Feed::Book(keeper) = &mut self.own.feed {
                keeper.publish_all(&self.stream, times, context.out);
            }
        }
    }

    /// Looks at the time: what is missing on one link the other had to bring by now.
    pub(super) fn handle_pair_timeout(&mut self, context: &mut Context<'_>) {
        let Some(pair) = &mut self.own.pair else {
            return;
        };
        let times = Times::ours(context.now);
        if let Some(why) = pair.ahead.overdue(context.now) {
            self.break_off(why.reason(), why.gap(), times, context);
        } else if pair.early_deadline() <= context.now {
            let early = core::mem::take(&mut pair.early);
            self.break_off(Reason::Gap, None, times, context);
            self.show_early(&early, context);
        }
    }

    /// The trades of a message while two links carry the topic.
    #[cold]
    pub(super) fn handle_trades_of_two(&mut self, rows: &[TradeRow], context: &mut Context<'_>) {
        let link = context.link;
        let mut news = rows.is_empty();
        for row in rows {
            news |= self.judge_trade(row, context);
        }
        self.take_early(context);
        context.in_step = self.own.pair.is_none() || self.own.goes_on_with(link);
        context.counters.duplicates += u64::from(!news);
    }

    /// Shows a trade, where it is due. False where it is known.
    fn judge_trade(&mut self, row: &TradeRow, context: &mut Context<'_>) -> bool {
        let (mark, link) = (Mark::of(row.seq), context.link);
        if self.is_over(mark) {
            self.own.pair = None;
        }
        let shown = self.own.mark;
        let Some(pair) = &mut self.own.pair else {
            self.show_trade(row, context);
            return true;
        };
        if pair.find(link).is_some_and(|tail| tail.asked) {
            return false;
        }
        let heard = pair.hear(link, mark, shown);
        match heard {
            Heard::Anew => self.begin_count(mark, Times::ours(context.now), context),
            Heard::Former => return false,
            Heard::InOrder | Heard::Back => {}
        }
        let shown = self.own.mark;
        let Some(pair) = &mut self.own.pair else {
            return false;
        };
        let back = heard == Heard::Back;
        if !pair.holds_back(link, shown) {
            return self.show_unless_known(row, back, context);
        }
        if pair.early.is_empty() {
            pair.early_since = context.now;
        }
        if pair.early.len() < EARLY_MAX {
            pair.early.push(Early { row: *row, back });
        } else {
            // From the next on it has all.
            pair.early.clear();
            if let Some(tail) = pair.tail(link, shown) {
                tail.first = None;
            }
        }
        true
    }

    /// Shows the trades that waited for the other link, once that has come to the first of them.
    fn take_early(&mut self, context: &mut Context<'_>) {
        let Some(pair) = &mut self.own.pair else {
            return;
        };
        let first = pair.early.first();
        if first.is_some_and(|early| Mark::of(early.row.seq) <= self.own.mark) {
            let early = core::mem::take(&mut pair.early);
            self.show_early(&early, context);
        }
    }

    fn show_early(&mut self, early: &[Early], context: &mut Context<'_>) {
        for Early { row, back } in early {
            self.show_unless_known(row, *back, context);
        }
    }

    /// What lies below the mark is known, unless the venue itself has sent it `back` behind a newer one.
    fn show_unless_known(&mut self, row: &TradeRow, back: bool, context: &mut Context<'_>) -> bool {
        let (mark, shown) = (Mark::of(row.seq), self.own.mark);
        let Some(pair) = &mut self.own.pair else {
            return false;
        };
        // Half of an id is as unlike others as the whole.
        if (mark < shown && !back) || !pair.seen.note((row.id ^ (row.id >> 64)) as u64) {
            return false;
        }
        self.show_trade(row, context);
        self.own.mark = self.own.mark.max(shown);
        true
    }
}

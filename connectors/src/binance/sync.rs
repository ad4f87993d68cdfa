//! How a book is kept in step with the venue: deltas are held until a REST snapshot joins them, and
//! from then on each delta must join the one before it, for ever.
//!
//! ```text
//!            first delta            snapshot joins the held deltas
//!   (empty) ────────────► syncing ────────────────────────────────► synced ──► (refreshing) ─┐
//!      ▲                    │  ▲ too old: ask again                  │  ▲                    │
//!      │                    └──┘                                     │  └── swapped in ──────┘
//!      └──── link down ──────────────── gap, crossed, beyond ────────┘ (back to syncing)
//! ```
//!
//! Numbers alone don't prove that a delta and a snapshot belong together: a venue that restarts between
//! the two counts anew, and its snapshot may come to lie among the deltas of before. Futures tell the
//! matching engine's time of both, so what goes beyond the snapshot by its number and is older by its
//! time is known for what it is. (Spot's snapshot has no time: there it is not to be told.)
//!
//! A book that was cut by the venue's snapshot is *refreshed* when its touch comes near the cut: a
//! second snapshot is fetched while the book stays Live, deltas are held beside being applied, and
//! the new book takes the old one's place in one step.
//! (binance-spot-api-docs web-socket-streams.md, 2026-07-21; USDS-M "How to manage a local order
//! book correctly")

use tickwire_orderbook::sequence::{Ids, Sequence, SequenceRule, Verdict};
use tickwire_orderbook::{Limits, Scale, Side, Top};

use crate::connector::{BookView, Counters};
use crate::event::{Reason, StreamState};
use crate::hold::{Ahead, Held, Hold};
use crate::outbox::Outbox;
use crate::stream::{Applied, BookKeeper, Break, Levels, Stream, Times};
use crate::time::Nanos;
use crate::transmit::{LinkId, RequestId};

use super::pair::Via;
use super::parse::{Delta, Snapshot};
use super::route::LAG_MAX_NS;

/// Deltas held before the snapshot is asked for: it will be newer than almost any of them. A snapshot
/// may wait for its turn for hours, and thousands of books with it.
const WAITING_DELTAS_MAX: usize = 64;

/// Wait before the second try for a snapshot; it doubles with each further one.
const RETRY_MIN_NS: Nanos = Nanos::from_millis(250);

/// Longest wait between two tries.
const RETRY_MAX_NS: Nanos = Nanos::from_secs(30);

/// A book that breaks again before it was whole for this long waits longer each time: one bad symbol
/// must not use up the weight of all.
const HEALTHY_NS: Nanos = Nanos::from_secs(60);

/// A book is not refreshed more often than this: on a thin book the touch may be near the cut
/// from the start.
const REFRESH_INTERVAL_NS: Nanos = Nanos::from_secs(10);

/// A book is refreshed when fewer than this part of the snapshot's levels is left before the cut.
const REFRESH_MARGIN_PART: usize = 10;

/// Before the touch can come near the cut, so many quarters of the margin must be deleted: the sides are counted no
/// earlier.
const UNCUT_QUARTERS: [usize; 5] = [28, 12, 4, 1, 0];

/// So many deltas in a row that the book has already seen mean that the venue's counter went back.
const STALE_RUN_MAX: u32 = 16;

/// The same before the first delta has joined the snapshot, which may be far ahead of the stream, and
/// where each delta comes twice.
const STALE_RUN_LONG_MAX: u32 = 1_000;

/// Where the wish for a snapshot stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fetch {
    /// None is wanted.
    No,
    /// One is to be asked for then.
    Due(Nanos),
    /// One waits for its turn (the venue's weight limit).
    Waiting,
    /// One was asked for.
    InFlight(RequestId),
}

/// What a message was to its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// It follows on what the stream had.
    News,
    /// The stream had it already.
    Known,
    /// Whether it follows can't be told yet.
    Early,
}

/// How the snapshots of a stream are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BookRules {
    pub(super) sequence: SequenceRule,
    pub(super) limits: Limits,
    pub(super) snapshot_levels: u16,
}

/// A book and what it takes to keep it in step.
#[derive(Debug)]
pub(super) struct BookSync {
    rules: BookRules,
    pub(super) keeper: BookKeeper,
    /// The book that a refresh builds; made at the first one.
    spare: Option<BookKeeper>,
    hold: Hold,
    /// The link whose deltas are held until a snapshot joins them: of two, one is enough, and in order.
    pub(super) feed: Option<LinkId>,
    /// Deltas of one of two links that are ahead of the book.
    pub(super) ahead: Ahead,
    fetch: Fetch,
    /// Snapshots in a row that did not help, or not for long.
    tries: u32,
    /// No snapshot is asked for before this.
    fetch_at: Nanos,
    /// The book counts as healthy from then on.
    healthy_at: Nanos,
    /// Whether the keeper holds a snapshot and all deltas since.
    pub(super) synced: bool,
    /// When the matching engine had that snapshot; zero where the venue does not say.
    snapshot_ns: Nanos,
    stale_run: u32,
    /// When the book moved last, and number and time of the delta that moved it.
    pub(super) news_at: Nanos,
    pub(super) newest: (u64, Nanos),
    /// No refresh before this.
    refresh_at: Nanos,
    /// So many edits of bids and of asks may come before it is looked whether the touch is near the cut.
    uncut: [usize; 2],
}

impl BookSync {
    pub(super) fn new(rules: BookRules) -> BookSync {
        BookSync {
            rules,
            keeper: BookKeeper::new(rules.sequence, rules.limits),
            spare: None,
            hold: Hold::default(),
            feed: None,
            ahead: Ahead::default(),
            fetch: Fetch::No,
            tries: 0,
            fetch_at: Nanos::ZERO,
            healthy_at: Nanos::ZERO,
            synced: false,
            snapshot_ns: Nanos::ZERO,
            stale_run: 0,
            news_at: Nanos::ZERO,
            newest: (0, Nanos::ZERO),
            refresh_at: Nanos::ZERO,
            uncut: [0; 2],
        }
    }

    #[inline]
    pub(super) const fn fetch(&self) -> Fetch {
        self.fetch
    }

    pub(super) const fn set_fetch(&mut self, fetch: Fetch) {
        self.fetch = fetch;
    }

    /// Takes one that is due by `now` into the queue.
    pub(super) fn take_due(&mut self, now: Nanos) -> bool {
        let due = matches!(self.fetch, Fetch::Due(at) if at <= now);
        if due {
            self.fetch = Fetch::Waiting;
        }
        due
    }

    /// The number of the last update in the book, and its best prices; `None` where it is not in step.
    pub(super) fn last(&self) -> Option<(u64, Top)> {
        let last = self.keeper.last().filter(|_| self.synced)?;
        Some((last, self.top()))
    }

    /// Its best prices.
    #[inline]
    pub(super) fn top(&self) -> Top {
        self.keeper.book().top()
    }

    /// How many deltas wait for a snapshot.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.hold.len()
    }

    pub(super) fn view<'a>(&'a self, stream: &Stream) -> BookView<'a> {
        self.keeper.view(stream)
    }

    /// Publishes the book as it stands.
    pub(super) fn republish(&mut self, stream: &Stream, now: Nanos, out: &mut Outbox) {
        if stream.is_live() {
            self.keeper.publish_all(stream, Times::ours(now), out);
        }
    }

    /// Forgets everything; the next delta starts a sync.
    pub(super) fn reset(&mut self) {
        self.forget();
        self.tries = 0;
        self.fetch_at = Nanos::ZERO;
    }

    pub(super) fn forget(&mut self) {
        self.keeper.reset();
        self.hold.clear();
        self.feed = None;
        self.ahead.clear();
        self.fetch = Fetch::No;
        self.synced = false;
        self.newest = (0, Nanos::ZERO);
        self.stale_run = 0;
    }

    /// Forgets the book; the next delta starts a sync, at once where the book was healthy.
    fn start_anew(&mut self, now: Nanos) {
        if self.synced && now >= self.healthy_at {
            self.tries = 0;
        }
        if let Some(doublings) = self.tries.checked_sub(1) {
            self.fetch_at = now + backoff(doublings);
        }
        self.tries = self.tries.saturating_add(1);
        self.forget();
    }

    /// The book can't be believed, for a reason that is not in a delta's numbers.
    pub(super) fn invalidate(
        &mut self,
        stream: &mut Stream,
        reason: Reason,
        times: Times,
        counters: &mut Counters,
        out: &mut Outbox,
    ) {
        counters.resyncs += u64::from(self.synced);
        self.start_anew(times.recv_ns);
        stream.change(StreamState::Resync, reason, None, times, out);
    }

    /// Goes to other scales, (price, quantity) each. A book in use has to be thrown away for that;
    /// what is held for a first one is kept where the scales get wider.
    pub(super) fn rescale(
        &mut self,
        stream: &mut Stream,
        (price, qty): (Scale, Scale),
        times: Times,
        counters: &mut Counters,
        out: &mut Outbox,
    ) {
        let factor = |from: Scale, to: Scale| {
            let digits = to.get().checked_sub(from.get())?;
            Some(Scale::new(digits)?.pow10())
        };
        let price_factor = factor(stream.price_scale(), price);
        let qty_factor = factor(stream.qty_scale(), qty);
        let kept = match (self.synced, price_factor, qty_factor) {
            (false, Some(price), Some(qty)) => self.hold.widen(price, qty),
            _ => false,
        };
        if !kept {
            self.invalidate(stream, Reason::Rescale, times, counters, out);
        }
        stream.instrument.price_scale = price;
        stream.instrument.qty_scale = qty;
    }

    /// A delta, whose levels are in `levels`. `scratch` is free for use.
    #[inline]
    #[expect(clippy::too_many_arguments, reason = "a message with its context")]
    pub(super) fn handle_delta(
        &mut self,
        stream: &mut Stream,
        delta: &Delta,
        via: Via,
        levels: &Levels,
        scratch: &mut Levels,
        now: Nanos,
        counters: &mut Counters,
        out: &mut Outbox,
    ) -> Arrival {
        let times = Times {
            exch_ns: delta.exch_ns,
            recv_ns: now,
        };
        if !self.synced {
            if *self.feed.get_or_insert(via.link) == via.link {
                self.hold(stream, delta.ids, levels, times, out);
            }
            return Arrival::Early;
        }
        let mut applied = if self.is_of_a_former_count(delta) {
            Applied::Stale
        } else if via.paired && self.is_of_a_new_count(delta, stream) {
            Applied::Broken(Break::Restart)
        } else {
            self.keeper.apply(stream, &delta.ids, levels, times, out)
        };
        if let Applied::Broken(Break::Gap { expected, got }) = applied
            && via.paired
            && got < expected
        {
            applied = self.reach_back(stream, delta, levels, times, out);
        }
        match applied {
            Applied::Yes => {
                self.stale_run = 0;
                self.news_at = now;
                self.newest = (delta.ids.last, delta.exch_ns);
                if !self.ahead.is_empty() {
                    self.join_ahead(stream, scratch, times, counters, out);
                }
                if self.fetch != Fetch::No {
                    if !self.hold.push(delta.ids, levels, times) {
                        self.give_up_refresh(now + RETRY_MAX_NS);
                    }
                } else if now >= self.refresh_at && self.is_near_cut(levels) {
                    self.hold.clear();
                    self.fetch = Fetch::Due(now);
                }
                Arrival::News
            }
            Applied::Stale | Applied::Repeat => {
                self.note_stale(via.paired, counters);
                let most = if self.keeper.is_joined() && !via.paired {
                    STALE_RUN_MAX
                } else {
                    STALE_RUN_LONG_MAX
                };
                let is_late = via.paired && now.since(self.news_at) >= LAG_MAX_NS;
                if self.stale_run >= most || is_late {
                    let why = Break::Restart;
                    self.restart(stream, why, delta.ids, via, levels, times, counters, out);
                }
                Arrival::Known
            }
            Applied::Broken(Break::Gap { expected, got })
                if via.paired && self.ahead.push(delta.ids, levels, times, (expected, got)) =>
            {
                Arrival::Early
            }
            Applied::Broken(why) => {
                self.restart(stream, why, delta.ids, via, levels, times, counters, out);
                Arrival::Early
            }
        }
    }

    /// Whether a delta is older than the snapshot that it seems to join.
    #[inline]
    fn is_of_a_former_count(&self, delta: &Delta) -> bool {
        let last = self.keeper.last().filter(|_| !self.keeper.is_joined());
        last.is_some_and(|last| is_contrary(&delta.ids, delta.exch_ns, (last, self.snapshot_ns)))
    }

    fn note_stale(&mut self, paired: bool, counters: &mut Counters) {
        self.stale_run += 1;
        if paired {
            counters.duplicates += 1;
        } else {
            counters.stale += 1;
        }
    }

    /// Whether the edits of this message have brought the touch near the end of what the snapshot told.
    fn is_near_cut(&mut self, levels: &Levels) -> bool {
        let margin = usize::from(self.rules.snapshot_levels) / REFRESH_MARGIN_PART;
        let book = self.keeper.book();
        let sides = [
            (Side::Bid, levels.bids.len()),
            (Side::Ask, levels.asks.len()),
        ];
        for ((side, edits), uncut) in sides.into_iter().zip(&mut self.uncut) {
            // No edit takes more than one level away.
            if *uncut > edits {
                *uncut -= edits;
                continue;
            }
            let reaches = |levels: usize| !book.touch_near_watermark(side, levels);
            *uncut = match UNCUT_QUARTERS
                .into_iter()
                .find(|quarters| reaches(margin + margin * quarters / 4))
            {
                Some(quarters) => margin * quarters / 4,
                None => {
                    // Edits during the refresh are not counted: behind it both sides are looked at anew.
                    self.uncut = [0; 2];
                    return true;
                }
            };
        }
        false
    }

    fn give_up_refresh(&mut self, again_at: Nanos) {
        self.hold.clear();
        self.fetch = Fetch::No;
        self.refresh_at = again_at;
    }

    /// Keeps a delta until a snapshot is there, and asks for one.
    fn hold(
        &mut self,
        stream: &mut Stream,
        ids: Ids,
        levels: &Levels,
        times: Times,
        out: &mut Outbox,
    ) {
        let waits = !matches!(self.fetch, Fetch::InFlight(_));
        if waits && self.hold.len() >= 2 * WAITING_DELTAS_MAX {
            self.hold.drop_front(WAITING_DELTAS_MAX);
        }
        if !self.hold.push(ids, levels, times) {
            stream.change(StreamState::Resync, Reason::BufferFull, None, times, out);
            self.hold.clear();
            // A single delta can't fill the hold: a frame is smaller.
            let _ = self.hold.push(ids, levels, times);
        }
        if self.fetch == Fetch::No {
            self.fetch = Fetch::Due(times.recv_ns.max(self.fetch_at));
        }
    }

    /// The book broke, and there is no delta to begin the next with.
    #[cold]
    pub(super) fn give_up(
        &mut self,
        stream: &mut Stream,
        why: Break,
        times: Times,
        counters: &mut Counters,
        out: &mut Outbox,
    ) {
        count(why, counters);
        self.start_anew(times.recv_ns);
        stream.change(StreamState::Resync, why.reason(), why.gap(), times, out);
    }

    /// The book broke at this delta: it is the first to be held for the next book.
    #[cold]
    #[expect(clippy::too_many_arguments, reason = "a message with its context")]
    fn restart(
        &mut self,
        stream: &mut Stream,
        why: Break,
        ids: Ids,
        via: Via,
        levels: &Levels,
        times: Times,
        counters: &mut Counters,
        out: &mut Outbox,
    ) {
        self.give_up(stream, why, times, counters, out);
        self.feed = Some(via.link);
        if why != Break::Malformed {
            self.hold(stream, ids, levels, times, out);
        }
    }

    /// The snapshot that was asked for, its levels in `levels`. `scratch` is free for use.
    #[expect(clippy::too_many_arguments, reason = "a message with its context")]
    pub(super) fn handle_snapshot(
        &mut self,
        stream: &mut Stream,
        snapshot: Snapshot,
        levels: &Levels,
        scratch: &mut Levels,
        now: Nanos,
        rng: &mut fastrand::Rng,
        counters: &mut Counters,
        out: &mut Outbox,
    ) {
        self.fetch = Fetch::No;
        let of_snapshot = (snapshot.seq, snapshot.exch_ns);
        let contrary = |held: &Held| is_contrary(&held.ids, held.times.exch_ns, of_snapshot);
        if let Some(place) = self.hold.rposition(contrary) {
            // What was held until then is of a count that is over.
            self.hold.drop_front(place + 1);
            self.retry(now, rng);
            return;
        }
        if self.is_too_old(snapshot.seq) {
            self.retry(now, rng);
            return;
        }
        let rules = self.rules;
        let keeper = if self.synced {
            self.spare
                .get_or_insert_with(|| BookKeeper::new(rules.sequence, rules.limits))
        } else {
            &mut self.keeper
        };
        if let Err(failure) = join(
            keeper,
            &rules,
            &self.hold,
            stream,
            snapshot.seq,
            levels,
            scratch,
        ) {
            self.handle_failed_join(stream, failure, now, rng, counters, out);
            return;
        }
        let exch_ns = self.hold.last().map(|held| held.times.exch_ns);
        let times = Times {
            exch_ns: exch_ns.unwrap_or(snapshot.exch_ns),
            recv_ns: now,
        };
        if self.synced
            && let Some(spare) = &mut self.spare
        {
            core::mem::swap(&mut self.keeper, spare);
            spare.reset();
        }
        if !self.synced {
            self.healthy_at = now + HEALTHY_NS;
        }
        self.synced = true;
        self.uncut = [0; 2];
        self.snapshot_ns = snapshot.exch_ns;
        self.news_at = now;
        if let Some(held) = self.hold.last() {
            self.newest = (held.ids.last, held.times.exch_ns);
        }
        self.hold.clear();
        self.refresh_at = now + REFRESH_INTERVAL_NS;
        stream.set_seq(self.keeper.last().unwrap_or(snapshot.seq));
        stream.change(StreamState::Live, Reason::Synced, None, times, out);
        self.keeper.publish_all(stream, times, out);
    }

    /// Whether deltas are missing between the snapshot and what is held (or, in a refresh, what the
    /// present book has).
    fn is_too_old(&self, snapshot_id: u64) -> bool {
        let mut sequence = Sequence::new(self.rules.sequence);
        sequence.snapshot(snapshot_id);
        match self.hold.first() {
            Some(first) => matches!(sequence.judge(&first.ids), Verdict::Gap { .. }),
            None => self.keeper.last().is_some_and(|last| snapshot_id < last),
        }
    }

    #[cold]
    fn handle_failed_join(
        &mut self,
        stream: &mut Stream,
        failure: FailedJoin,
        now: Nanos,
        rng: &mut fastrand::Rng,
        counters: &mut Counters,
        out: &mut Outbox,
    ) {
        if self.synced {
            // The book in use is whole: only the refresh has failed.
            self.retry(now, rng);
            return;
        }
        let why = failure.why;
        count(why, counters);
        self.keeper.reset();
        let times = Times::ours(now);
        stream.change(StreamState::Resync, why.reason(), why.gap(), times, out);
        match (why, failure.delta) {
            // What is held from the gap on may join another snapshot.
            (Break::Gap { .. }, Some(index)) => self.hold.drop_front(index),
            (Break::Crossed | Break::Malformed, Some(index)) => self.hold.drop_front(index + 1),
            _ => {}
        }
        self.retry(now, rng);
    }

    /// The snapshot could not be had, or did not help: try again later.
    pub(super) fn retry(&mut self, now: Nanos, rng: &mut fastrand::Rng) {
        let wait = backoff(self.tries).0;
        // Up to a quarter more, so that many books don't ask in step.
        let at = now + Nanos(wait + rng.i64(0..=wait / 4));
        self.tries = self.tries.saturating_add(1);
        if self.synced {
            self.give_up_refresh(at);
            return;
        }
        self.fetch_at = at;
        // Without a delta that is held, the next one asks.
        self.fetch = if self.hold.is_empty() {
            Fetch::No
        } else {
            Fetch::Due(at)
        };
    }
}

/// Whether a delta goes beyond a snapshot (number, time) by its number, and is older by its time: the
/// venue has begun to count anew between the two. (`T` of both is the matching engine's: in recordings
/// of 2021 and 2024, of USD-M and COIN-M, no later number has an earlier time)
#[inline]
fn is_contrary(ids: &Ids, exch_ns: Nanos, (snapshot_id, snapshot_ns): (u64, Nanos)) -> bool {
    ids.last > snapshot_id && exch_ns < snapshot_ns
}

fn backoff(doublings: u32) -> Nanos {
    let doubled = RETRY_MIN_NS.0 << doublings.min(16);
    Nanos(doubled.min(RETRY_MAX_NS.0))
}

fn count(why: Break, counters: &mut Counters) {
    counters.resyncs += 1;
    match why {
        Break::Gap { expected, got } => {
            counters.gaps = counters.gaps.saturating_add(got.abs_diff(expected));
        }
        Break::Crossed => counters.crossed += 1,
        Break::Malformed => counters.malformed += 1,
        Break::Restart | Break::BeyondSnapshot => {}
    }
}

struct FailedJoin {
    why: Break,
    /// The held delta at fault, where it was not the snapshot itself.
    delta: Option<usize>,
}

/// Loads a snapshot into `keeper` and puts the held deltas on top. Publishes nothing.
fn join(
    keeper: &mut BookKeeper,
    rules: &BookRules,
    hold: &Hold,
    stream: &Stream,
    snapshot_id: u64,
    levels: &Levels,
    scratch: &mut Levels,
) -> Result<(), FailedJoin> {
    keeper
        .load(snapshot_id, levels)
        .map_err(|why| FailedJoin { why, delta: None })?;
    let cut = usize::from(rules.snapshot_levels);
    for (side, count) in [
        (Side::Bid, levels.bids.len()),
        (Side::Ask, levels.asks.len()),
    ] {
        let worst = keeper.book().worst(side).map(|level| level.price);
        let watermark = worst.filter(|_| count == cut);
        keeper.book_mut().set_watermark(side, watermark);
    }
    // A stream that is not Live publishes nothing, and these are no news.
    let mut quiet = Stream::new(
        stream.id,
        stream.channel,
        stream.asked,
        stream.instrument,
        false,
    );
    let mut unpublished = Outbox::default();
    hold.replay(scratch, |index, held, levels| {
        match keeper.apply(&mut quiet, &held.ids, levels, held.times, &mut unpublished) {
            Applied::Broken(why) => Err(FailedJoin {
                why,
                delta: Some(index),
            }),
            _ => Ok(()),
        }
    })
}

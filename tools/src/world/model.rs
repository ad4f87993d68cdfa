//! The naive model: what a strategy must see, said without any of the code that makes it. It knows the
//! simulator's truth (the book at each number), the trades as they left, and the faults that have
//! acted; and it believes nothing but the events.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tickwire::testing::sim::{self, FaultLog, SimVenue, Truth, TruthBook};
use tickwire::{
    Aggressor, Bbo, Channel, Event, LevelDelta, Lost, Price, Qty, Reason, Replica, Side,
    StateChange, StreamId, StreamState, Trade,
};

use super::plan::{Plan, felt_at};
use super::tape::{Tape, trim};
use super::told::{Told, WHOLE};
use super::{Complaint, Figures, MS, Rules, SECOND};

/// A top of book, as events show it.
type Top = (Option<(Price, Qty)>, Option<(Price, Qty)>);

/// A top of the truth, in its digits.
type TrueTop = (Option<(i64, i64)>, Option<(i64, i64)>, (u8, u8));

/// Between two looks at the age of everything.
pub(super) const SAMPLE_NS: i64 = SECOND;

/// How long a book without numbers may be Live though the best prices that come with its changes are
/// others: the connector's 5 s, and what may be on its way or asleep in a ring.
const DIFFERS_MAX_NS: i64 = 20 * SECOND;

/// What a question to the venue that comes to nothing costs at most: its time-out, and the wait until it
/// is asked again.
const RETRY_NS: i64 = 70 * SECOND;

/// Trades in one frame, at most: those of 100 ms.
const FRAME_TRADES_MAX: usize = 32;

/// What a strategy has seen of one stream.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) venue: SimVenue,
    pub(super) symbol: String,
    pub(super) channel: Channel,
    pub(super) state: Option<StreamState>,
    epoch: u16,
    seq: u64,
    /// Newest top since the stream is Live.
    top: Option<Top>,
    /// When it was received; without a top, when the stream became Live.
    fresh_ns: i64,
    /// Place of the last trade on the tape, while the stream stays Live.
    place: Option<usize>,
    /// Of two frames of trades that came in the other order, those that are still to come.
    owed: Vec<usize>,
    /// Trades told as lost since then.
    trades_lost: u64,
}

impl Seen {
    /// A stream of which nothing was seen.
    pub(super) const fn new(venue: SimVenue, symbol: String, channel: Channel) -> Seen {
        Seen {
            venue,
            symbol,
            channel,
            state: None,
            epoch: 0,
            seq: 0,
            top: None,
            fresh_ns: 0,
            place: None,
            owed: Vec::new(),
            trades_lost: 0,
        }
    }

    fn is_live(&self) -> bool {
        self.state == Some(StreamState::Live)
    }

    /// Whether it shows tops of book.
    const fn has_tops(&self) -> bool {
        matches!(self.channel, Channel::Book(_) | Channel::Bbo)
    }

    /// Where the truth of its numbers stands.
    fn truth_channel(&self) -> Option<sim::Channel> {
        match self.channel {
            Channel::Book(_) if self.venue == SimVenue::Polymarket => Some(WHOLE),
            Channel::Book(_) | Channel::Bbo if self.venue.is_binance() => Some(sim::Channel::Full),
            Channel::Book(_) if self.venue.is_deribit() => Some(sim::Channel::Full),
            // Quotes have no number to look the truth up by; they are held against those that were sent.
            Channel::Bbo if self.venue.is_deribit() => None,
            Channel::Book(params) => {
                let levels = params.levels.map_or(BYBIT_LEVELS, usize::from);
                Some(sim::Channel::Levels(levels))
            }
            Channel::Bbo => Some(sim::Channel::Levels(1)),
            _ => None,
        }
    }

    fn name(&self) -> String {
        format!("{} {} {}", self.venue.slug(), self.symbol, self.channel)
    }
}

/// Levels of Bybit's usual book (docs v5 orderbook; the engine's choice where none is named).
const BYBIT_LEVELS: usize = 50;

/// Events of a strategy, to be held against its ring's own count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) hot: u64,
    pub(super) wide: u64,
    pub(super) lost: [u64; 4],
}

/// All that the model knows.
#[derive(Debug)]
pub(super) struct Board {
    rules: Rules,
    truth: Truth,
    log: FaultLog,
    /// The trades as they left.
    pub(super) tape: Tape,
    /// What left without a number.
    pub(super) told: Told,
    pub(super) seen: Vec<BTreeMap<usize, Seen>>,
    pub(super) tallies: Vec<Tally>,
    /// Instruments whose resync a strategy asked for.
    pub(super) asked: Vec<(SimVenue, String)>,
    /// Venues whose connections the network broke, or held for longer than is well.
    pub(super) cut: Vec<SimVenue>,
    /// Venues to which a connection did not come about.
    pub(super) unreachable: Vec<SimVenue>,
    /// True tops of the last seconds, by instrument.
    samples: BTreeMap<(SimVenue, String), Vec<(i64, TrueTop)>>,
    pub(super) complaint: Option<Complaint>,
    pub(super) figures: Figures,
    /// What happened beside prices, in words, for who wants to read it.
    pub(super) trace: Vec<String>,
    started_ns: i64,
}

/// The board, as the strategies and the run share it.
#[derive(Clone, Debug)]
pub(super) struct Shared(Arc<Mutex<Board>>);

impl Shared {
    pub(super) fn new(
        plan: &Plan,
        rules: Rules,
        (truth, log): (Truth, FaultLog),
        started_ns: i64,
    ) -> Shared {
        let seats = plan.seats.len();
        let mut samples = BTreeMap::new();
        for venue in &plan.venues {
            for symbol in &venue.symbols {
                samples.insert((venue.venue, symbol.clone()), Vec::new());
            }
        }
        Shared(Arc::new(Mutex::new(Board {
            rules,
            truth,
            log,
            tape: Tape::default(),
            told: Told::default(),
            seen: (0..seats).map(|_| BTreeMap::new()).collect(),
            tallies: vec![Tally::default(); seats],
            asked: Vec::new(),
            cut: Vec::new(),
            unreachable: Vec::new(),
            samples,
            complaint: None,
            figures: Figures::default(),
            trace: Vec::new(),
            started_ns,
        })))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Board> {
        // One thread: a panic in the middle ends the run anyway.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A decimal of an event against a mantissa of the truth.
fn same((mantissa, scale): (i64, u8), (of_truth, decimals): (i64, u8)) -> bool {
    let up = |value: i64, digits: u8| i128::from(value) * 10i128.pow(u32::from(digits));
    up(mantissa, decimals) == up(of_truth, scale)
}

fn same_level(seen: Option<(Price, Qty)>, truth: Option<&(i64, i64)>, digits: (u8, u8)) -> bool {
    match (seen, truth) {
        (None, None) => true,
        (Some((price, qty)), Some(&(true_price, true_qty))) => {
            same(
                (price.mantissa(), price.scale().get()),
                (true_price, digits.0),
            ) && same((qty.mantissa(), qty.scale().get()), (true_qty, digits.1))
        }
        _ => false,
    }
}

fn same_top(top: &Top, truth: &TrueTop) -> bool {
    same_level(top.0, truth.0.as_ref(), truth.2) && same_level(top.1, truth.1.as_ref(), truth.2)
}

/// Whether the prices of a top are the truth's, whatever the sizes.
fn same_prices(top: &Top, (bid, ask, (digits, _)): &TrueTop) -> bool {
    let is = |seen: Option<(Price, Qty)>, truth: Option<(i64, i64)>| match (seen, truth) {
        (None, None) => true,
        (Some((seen, _)), Some((truth, _))) => {
            same((seen.mantissa(), seen.scale().get()), (truth, *digits))
        }
        _ => false,
    };
    is(top.0, *bid) && is(top.1, *ask)
}

fn top_of(book: &TruthBook) -> TrueTop {
    let digits = (book.price_decimals, book.qty_decimals);
    (
        book.bids.first().copied(),
        book.asks.first().copied(),
        digits,
    )
}

fn same_side(replica: &Replica, side: Side, truth: &[(i64, i64)], digits: (u8, u8)) -> bool {
    let mut levels = replica.levels(side);
    truth
        .iter()
        .all(|level| same_level(levels.next(), Some(level), digits))
        && levels.next().is_none()
}

fn same_book(replica: &Replica, truth: &TruthBook, levels_max: usize) -> bool {
    let digits = (truth.price_decimals, truth.qty_decimals);
    let best = |levels: &'_ [(i64, i64)]| levels.len().min(levels_max);
    same_side(replica, Side::Bid, &truth.bids[..best(&truth.bids)], digits)
        && same_side(replica, Side::Ask, &truth.asks[..best(&truth.asks)], digits)
}

fn show((bid, ask): &Top) -> String {
    let side = |level: &Option<(Price, Qty)>| {
        level.map_or("none".to_owned(), |(price, qty)| {
            format!("{qty} at {price}")
        })
    };
    format!("bid {}, ask {}", side(bid), side(ask))
}

fn show_truth(book: &TruthBook) -> String {
    let best = |levels: Vec<(String, String)>| {
        let first = levels.into_iter().next();
        first.map_or("none".to_owned(), |(price, qty)| {
            format!("{qty} at {price}")
        })
    };
    let (bid, ask) = (best(book.bid_strings()), best(book.ask_strings()));
    format!("bid {bid}, ask {ask}")
}

impl Board {
    fn complain(&mut self, at_ns: i64, strategy: usize, what: String) {
        self.complain_at(at_ns, Some(strategy), what);
    }

    /// Notes something for who reads the course of a run.
    pub(super) fn note(&mut self, now: i64, what: impl FnOnce() -> String) {
        if self.rules.trace {
            let at_s = (now - self.started_ns) as f64 / SECOND as f64;
            self.trace.push(format!("{at_s:>11.6} {}", what()));
        }
    }

    /// Whether the network was rough with a venue.
    pub(super) fn was_cut(&self, venue: SimVenue) -> bool {
        self.cut.contains(&venue) || self.unreachable.contains(&venue)
    }

    /// What every event has to keep. False: a stream that the model has not met.
    pub(super) fn handle(&mut self, strategy: usize, event: &Event) -> bool {
        self.figures.events += 1;
        let words = [
            strategy as u64,
            event.stream().index() as u64,
            event.kind() as u64,
            event.state() as u64,
            u64::from(event.epoch()),
            event.seq(),
            event.exch_ns().0 as u64,
            event.recv_ns().0 as u64,
        ];
        self.figures.digest.words(&words);
        self.tallies[strategy].hot += 1;
        self.seen[strategy].contains_key(&event.stream().index())
    }

    /// What every price, level and trade has to keep.
    pub(super) fn price(&mut self, strategy: usize, event: &Event, now: i64) {
        let may_hand_over = self.rules.hand_over;
        let Some(seen) = self.seen[strategy].get_mut(&event.stream().index()) else {
            return;
        };
        let what = if !seen.is_live() {
            let state = seen.state.map_or("no state", StreamState::as_str);
            format!("{:?} while the stream is {state}", event.kind())
        } else if !event.is_live() {
            format!("{:?} that says {}", event.kind(), event.state().as_str())
        } else if event.epoch() != seen.epoch && !(may_hand_over && event.epoch() > seen.epoch) {
            format!(
                "{:?} of epoch {} while {} was told",
                event.kind(),
                event.epoch(),
                seen.epoch
            )
        } else {
            seen.epoch = event.epoch();
            return;
        };
        let what = format!("{}: {what}", seen.name());
        self.complain(now, strategy, what);
    }

    pub(super) fn bbo(&mut self, strategy: usize, bbo: &Bbo, now: i64) {
        self.price(strategy, bbo, now);
        let Some(seen) = self.seen[strategy].get_mut(&bbo.stream().index()) else {
            return;
        };
        let top = (bbo.bid(), bbo.ask());
        let went_back = bbo.seq() < seen.seq;
        let last = std::mem::replace(&mut seen.seq, bbo.seq());
        (seen.top, seen.fresh_ns) = (Some(top), bbo.recv_ns().0);
        let (name, venue, symbol) = (seen.name(), seen.venue, seen.symbol.clone());
        let may_go_back = self.has_restarted(venue)
            || venue == SimVenue::Polymarket
                && self.was_hit(venue, &symbol, sim::FaultKind::Reorder);
        let Some(channel) = self.seen[strategy]
            .get(&bbo.stream().index())
            .and_then(Seen::truth_channel)
        else {
            return self.quote(strategy, bbo, (venue, &symbol), now);
        };
        self.figures.tops += 1;
        let books = self.books_at(venue, &symbol, channel, bbo.seq());
        if !books.iter().any(|book| same_top(&top, &top_of(book))) {
            let truth = books
                .first()
                .map_or("never had that number".to_owned(), |book| {
                    format!("had {}", show_truth(book))
                });
            let what = format!(
                "{name}: top at {} is {}, the venue {truth}",
                bbo.seq(),
                show(&top)
            );
            self.complain(now, strategy, what);
        }
        if went_back && !may_go_back {
            let what = format!("{name}: top at {} after one at {last}", bbo.seq());
            self.complain(now, strategy, what);
        }
    }

    /// A top without a number: it must be one that was sent with its time.
    fn quote(&mut self, strategy: usize, bbo: &Bbo, (venue, symbol): (SimVenue, &str), now: i64) {
        self.figures.tops += 1;
        let top = (bbo.bid(), bbo.ask());
        // Without a time it is one that is shown again.
        let ms = u64::try_from(bbo.exch_ns().0 / MS).unwrap_or_default();
        let sent = self.told.quotes(venue, symbol, ms);
        if !sent.iter().any(|quote| same_top(&top, &top_of(quote))) {
            let what = format!(
                "{} {symbol} bbo: {} of {ms} ms is none of {} quotes that were sent",
                venue.slug(),
                show(&top),
                sent.len(),
            );
            self.complain(now, strategy, what);
        }
    }

    /// The venue's books under a number; where numbers hide a loss, also those that were told for it.
    fn books_at(
        &self,
        venue: SimVenue,
        symbol: &str,
        channel: sim::Channel,
        seq: u64,
    ) -> Vec<TruthBook> {
        let mut books = self.truth.books_at(venue, symbol, channel, seq);
        if venue == SimVenue::Polymarket {
            books.extend_from_slice(self.told.odd(symbol, seq));
        }
        books
    }

    /// Notes a frame that leaves for a connection.
    pub(super) fn record(
        &mut self,
        now: i64,
        to: (SimVenue, sim::ConnId),
        kind: sim::MsgKind,
        frame: &[u8],
    ) {
        if kind == sim::MsgKind::Trade {
            self.tape.record(to.0, frame);
        }
        self.told.record(&self.truth, now, to, kind, frame);
    }

    fn was_hit(&self, venue: SimVenue, symbol: &str, kind: sim::FaultKind) -> bool {
        was_hit(&self.log, (venue, symbol), kind)
    }

    /// Whether a venue has ever counted anew.
    fn has_restarted(&self, venue: SimVenue) -> bool {
        use sim::FaultKind::{Kill, Restart, ServiceReset};
        let mut records = self.log.records().into_iter();
        records.any(|one| {
            one.venue == venue && matches!(one.fault.kind(), Restart | ServiceReset | Kill)
        })
    }

    pub(super) fn depth(
        &mut self,
        strategy: usize,
        last: &LevelDelta,
        replica: &Replica,
        now: i64,
    ) {
        let Some(seen) = self.seen[strategy].get(&last.stream().index()) else {
            return;
        };
        let Some(channel) = seen.truth_channel() else {
            return;
        };
        self.figures.books += 1;
        let books = self.books_at(seen.venue, &seen.symbol, channel, last.seq());
        if !replica.is_valid() || replica.seq() != last.seq() {
            let what = format!("{}: a replica that is not valid was shown", seen.name());
            return self.complain(now, strategy, what);
        }
        if !books
            .iter()
            .any(|book| same_book(replica, book, usize::MAX))
        {
            let what = format!(
                "{}: the replica at {} is not the venue's book ({} candidates)",
                seen.name(),
                last.seq(),
                books.len()
            );
            self.complain(now, strategy, what);
        }
    }

    pub(super) fn trade(&mut self, strategy: usize, trade: &Trade, now: i64) {
        self.price(strategy, trade, now);
        let Board {
            seen,
            tape,
            figures,
            log,
            rules,
            ..
        } = self;
        let Some(seen) = seen[strategy].get_mut(&trade.stream().index()) else {
            return;
        };
        figures.trades += 1;
        let lost = std::mem::take(&mut seen.trades_lost);
        let mut expected = seen.place.map(|last| last + 1 + lost as usize);
        let found = if seen.venue == SimVenue::Polymarket {
            let (price, qty) = (trade.price().plain(), trade.qty().plain());
            let ms = u64::try_from(trade.exch_ns().0 / MS).unwrap_or_default();
            let mark = (ms, price.as_str(), qty.as_str());
            tape.find_unnumbered(seen.venue, &seen.symbol, mark, expected, &seen.owed)
        } else {
            tape.find(seen.venue, &seen.symbol, trade.id())
        };
        let what = match found {
            None => Some(format!("trade {} was never sent", trade.id())),
            Some((place, sale)) => {
                // Trades that the venue has sent behind their successors may come in either order: two
                // links put them right, one has no reason to wait. Those of two links of Polymarket, which
                // numbers none, come as they come.
                if let Some(known) = seen.owed.iter().position(|owed| *owed == place) {
                    seen.owed.remove(known);
                    expected = None;
                } else {
                    seen.place = Some(place);
                    let in_any_order = (seen.venue == SimVenue::Polymarket && rules.vary_upkeep)
                        || was_hit(log, (seen.venue, &seen.symbol), sim::FaultKind::Reorder);
                    if expected.is_none() && in_any_order {
                        // The other link, or the venue, may still bring what was before it.
                        let first = place.saturating_sub(FRAME_TRADES_MAX);
                        seen.owed.extend(first..place);
                    }
                    let due = expected.unwrap_or(place);
                    if in_any_order && (due + 1..=due + FRAME_TRADES_MAX).contains(&place) {
                        seen.owed.extend(due..place);
                        expected = None;
                    }
                }
                let buys = trade.aggressor() == Aggressor::Buy;
                if trim(trade.price().plain().as_str()) != trim(&sale.price)
                    || trim(trade.qty().plain().as_str()) != trim(&sale.qty)
                    || buys != sale.buyer_aggressed
                {
                    Some(format!("trade {trade:?} was sent as {sale:?}"))
                } else if expected.is_some_and(|expected| expected != place)
                    && (rules.trades_once
                        || !was_hit(log, (seen.venue, &seen.symbol), sim::FaultKind::Duplicate))
                {
                    Some(format!(
                        "trade {} is the {place}th that was sent, the {}th was due",
                        trade.id(),
                        expected.unwrap_or_default()
                    ))
                } else {
                    None
                }
            }
        };
        if let Some(what) = what {
            let what = format!("{}: {what}", seen.name());
            self.complain(now, strategy, what);
        }
    }

    pub(super) fn state(&mut self, strategy: usize, change: &StateChange, now: i64) {
        let Some(seen) = self.seen[strategy].get_mut(&change.stream().index()) else {
            return;
        };
        let was = seen.state.replace(change.state());
        seen.epoch = change.epoch();
        if self.rules.trace {
            let what = format!(
                "strategy {strategy}: {} is {} ({}), epoch {}, received at {:.6}",
                seen.name(),
                change.state().as_str(),
                change.reason().as_str(),
                change.epoch(),
                (change.recv_ns().0 - self.started_ns) as f64 / SECOND as f64
            );
            self.note(now, || what);
        }
        let Some(seen) = self.seen[strategy].get_mut(&change.stream().index()) else {
            return;
        };
        if change.is_live() {
            seen.fresh_ns = change.recv_ns().0;
            return;
        }
        (seen.place, seen.top) = (None, None);
        seen.owed.clear();
        let (venue, symbol, name) = (seen.venue, seen.symbol.clone(), seen.name());
        let is_break = matches!(
            change.state(),
            StreamState::Stale | StreamState::Resync | StreamState::Refused
        );
        self.figures.breaks += u64::from(is_break && was == Some(StreamState::Live));
        // Of one that is broken already it may be told that it is quiet as well.
        if is_break
            && was != Some(change.state())
            && !self.has_cause(venue, &symbol, change.reason())
        {
            let what = format!(
                "{name}: {} ({}) and no fault has touched it",
                change.state().as_str(),
                change.reason().as_str()
            );
            self.complain(now, strategy, what);
        }
    }

    /// Whether a fault that acted, a wish, or the network (where a request failed) can be felt at
    /// this instrument.
    fn has_cause(&self, venue: SimVenue, symbol: &str, reason: Reason) -> bool {
        let asked = |one: &(SimVenue, String)| (one.0, one.1.as_str()) == (venue, symbol);
        let failed_request = reason == Reason::SnapshotFailed && self.unreachable.contains(&venue);
        failed_request
            || self.cut.contains(&venue)
            || self.asked.iter().any(asked)
            || self.log.records().iter().any(|one| {
                one.venue == venue
                    && one.hits > 0
                    && felt_at(venue, &one.fault).is_none_or(|of| of == symbol)
            })
    }

    pub(super) fn lost(&mut self, strategy: usize, lost: &Lost, now: i64) {
        let counts = lost.counts();
        let stream = lost.stream();
        self.note(now, || {
            format!("strategy {strategy}: {stream} lost {counts:?}")
        });
        let tally = &mut self.tallies[strategy];
        let all = [counts.bbo, counts.trades, counts.levels, counts.wide];
        for (sum, count) in tally.lost.iter_mut().zip(all) {
            *sum += count;
        }
        self.figures.lost += counts.total();
        if let Some(seen) = self.seen[strategy].get_mut(&lost.stream().index()) {
            seen.trades_lost += counts.trades;
        }
    }

    /// Notes the true tops, and looks at the age of every stream that says Live.
    pub(super) fn sample(&mut self, now: i64) {
        let mut late = Vec::new();
        for ((venue, symbol), samples) in &mut self.samples {
            let unanswered = unanswered(&self.log, &self.unreachable, *venue);
            let bound_ns = self.rules.age_max_ns(*venue) + unanswered * RETRY_NS;
            if let Some(book) = self.truth.latest(*venue, symbol) {
                samples.push((now, top_of(&book)));
            }
            samples.retain(|(at_ns, _)| *at_ns > now - bound_ns);
            for (strategy, streams) in self.seen.iter().enumerate() {
                for seen in streams.values() {
                    let is_it = (seen.venue, &seen.symbol) == (*venue, symbol);
                    let matches = |truth: &TrueTop| {
                        let shown = seen.top.as_ref();
                        shown.is_some_and(|top| same_top(top, truth))
                    };
                    if is_it
                        && seen.is_live()
                        && seen.has_tops()
                        && seen.fresh_ns < now - bound_ns
                        && !samples.iter().any(|(_, truth)| matches(truth))
                    {
                        late.push((strategy, seen.name(), now - seen.fresh_ns));
                    }
                }
            }
        }
        self.figures.ages += 1;
        self.check_best_prices(now);
        if let Some((strategy, name, age_ns)) = late.into_iter().next() {
            let what = format!(
                "{name}: Live, and nothing came for {:.1} s while the venue's top moved",
                age_ns as f64 / SECOND as f64
            );
            self.complain(now, strategy, what);
        }
    }

    /// A book without numbers that says Live must not be at odds with the venue's best prices for long.
    fn check_best_prices(&mut self, now: i64) {
        let mut found = None;
        for (strategy, streams) in self.seen.iter().enumerate() {
            for seen in streams.values() {
                if seen.venue != SimVenue::Polymarket || !seen.is_live() || !seen.has_tops() {
                    continue;
                }
                let since_ns = self.told.differs_since_ns(&seen.symbol);
                let age_ns = since_ns.map_or(0, |since_ns| now - since_ns);
                if age_ns > DIFFERS_MAX_NS && !self.cut.contains(&seen.venue) {
                    found = found.or(Some((strategy, seen.name(), age_ns)));
                }
            }
        }
        if let Some((strategy, name, age_ns)) = found {
            let what = format!(
                "{name}: Live, and the venue's best prices have been others for {:.1} s",
                age_ns as f64 / SECOND as f64
            );
            self.complain(now, strategy, what);
        }
    }

    /// Whether a stream shows the venue's present top; streams without tops always do.
    fn is_current(&self, seen: &Seen) -> bool {
        if !seen.has_tops() {
            return true;
        }
        let truth = self.truth.latest(seen.venue, &seen.symbol);
        match (&seen.top, truth) {
            (Some(top), Some(book)) => {
                let truth = top_of(&book);
                let told = || {
                    let told = self.told.current(&seen.symbol);
                    same_prices(top, &truth) && told.iter().any(|told| same_top(top, &top_of(told)))
                };
                same_top(top, &truth) || seen.venue == SimVenue::Polymarket && told()
            }
            _ => false,
        }
    }

    /// Whether a replica is the venue's present book.
    pub(super) fn is_current_book(
        &self,
        strategy: usize,
        stream: StreamId,
        replica: &Replica,
    ) -> bool {
        let Some(seen) = self.seen[strategy].get(&stream.index()) else {
            return true;
        };
        let levels_max = match seen.truth_channel() {
            Some(sim::Channel::Levels(levels)) => levels,
            _ => usize::MAX,
        };
        let truth = self.truth.latest(seen.venue, &seen.symbol);
        let told = self.told.current(&seen.symbol);
        let mut books = truth.iter().chain(&told);
        books.any(|book| same_book(replica, book, levels_max))
    }

    /// What does not stand as it should at the end; `None`: all is well.
    pub(super) fn unsettled(&self, wanted: &[Vec<StreamId>]) -> Option<(usize, String)> {
        for (strategy, streams) in wanted.iter().enumerate() {
            for stream in streams {
                let Some(seen) = self.seen[strategy].get(&stream.index()) else {
                    continue;
                };
                if !seen.is_live() {
                    let state = seen.state.map_or("without state", StreamState::as_str);
                    return Some((strategy, format!("{} is {state}", seen.name())));
                }
            }
        }
        None
    }

    /// The first Live stream that does not show the present top.
    pub(super) fn outdated(&self, wanted: &[Vec<StreamId>]) -> Option<(usize, String)> {
        for (strategy, streams) in wanted.iter().enumerate() {
            for stream in streams {
                if let Some(seen) = self.seen[strategy].get(&stream.index())
                    && !self.is_current(seen)
                {
                    let top = seen.top.as_ref().map_or("no top".to_owned(), show);
                    let truth = self.truth.latest(seen.venue, &seen.symbol);
                    let truth = truth.as_ref().map_or(String::new(), show_truth);
                    let what = format!("{} shows {top}, the venue has {truth}", seen.name());
                    return Some((strategy, what));
                }
            }
        }
        None
    }

    pub(super) fn complain_at(&mut self, now: i64, strategy: Option<usize>, what: String) {
        if self.complaint.is_none() {
            let at_ns = now - self.started_ns;
            self.complaint = Some(Complaint {
                at_ns,
                strategy,
                what,
            });
        }
    }
}

/// Requests to a venue that were refused, answered with what was long past, or came to nothing.
fn unanswered(log: &FaultLog, unreachable: &[SimVenue], venue: SimVenue) -> i64 {
    let records = log.records();
    let refused = records
        .iter()
        .filter(|one| one.venue == venue && one.fault.kind() == sim::FaultKind::RestStatus);
    let refused: u64 = refused.map(|one| one.hits).sum();
    let lost = unreachable.iter().filter(|one| **one == venue).count();
    i64::try_from(refused).unwrap_or(i64::MAX) + lost as i64
}

/// Whether a fault of this kind has hit frames of the instrument.
fn was_hit(log: &FaultLog, (venue, symbol): (SimVenue, &str), kind: sim::FaultKind) -> bool {
    log.records().iter().any(|one| {
        let is_of_kind = one.fault.kind() == kind && one.hits > 0;
        is_of_kind && one.venue == venue && felt_at(venue, &one.fault).as_deref() == Some(symbol)
    })
}

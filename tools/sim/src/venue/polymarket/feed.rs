//! The synthetic market in Polymarket's words: a market of the simulator is the book of a "Yes" token,
//! and its "No" token shows the same orders from the other side.

use std::collections::HashMap;

use super::frames::{self, BookHead, Tokens, Traded};
use super::{rest, trade};
use crate::control::Command;
use crate::fault::Act;
use crate::market::{Batch, Market, Side};
use crate::num::ms;
use crate::outbox::{ConnId, MsgKind, Outbox};
use crate::stats::Counters;
use crate::truth::lock;
use crate::venue::stream::{Stream, Sub};
use crate::venue::{Common, Feed, HttpRequest, HttpResponse};

/// Depth under which the truth keeps the books: whole ones.
pub(crate) const WHOLE: usize = usize::MAX;

/// One in so many trades is followed by whole books, as of trades that "affect the book".
const BOOK_AFTER_TRADES: u8 = 8;

/// One in so many changes is followed by a `best_bid_ask`.
const BEST_AFTER_CHANGES: u8 = 16;

/// One market's streams. A connection with one of the tokens gets the changes of both.
#[derive(Debug)]
pub(super) struct Condition {
    pub(super) tokens: Tokens,
    changes: Stream,
    /// By token.
    trades: [Stream; 2],
    /// Connections by token.
    subs: [Vec<ConnId>; 2],
    /// Times in frames rise, so that each names one state of the book.
    pub(super) last_ms: i64,
}

impl Condition {
    fn stamp(&mut self, now: i64) -> i64 {
        self.last_ms = ms(now).max(self.last_ms + 1);
        self.last_ms
    }
}

#[derive(Debug)]
pub(crate) struct PolymarketFeed {
    pub(super) market: Market,
    pub(super) conditions: Vec<Condition>,
    /// Market and token by the token's id.
    by_token: HashMap<String, (usize, usize)>,
    batch: Batch,
    rng: fastrand::Rng,
    /// Tick sizes that are to change with the next turn.
    ticks: Vec<usize>,
}

/// The id of the complementary token: as unlike as any other.
pub(crate) fn complement(token: &str) -> String {
    let digits = token.bytes().map(|digit| char::from(b'9' - (digit - b'0')));
    let text: String = digits.collect();
    format!("1{text}").chars().take(77).collect()
}

impl PolymarketFeed {
    pub(crate) fn new(market: Market, seed: u64, now: i64) -> Self {
        let mut by_token = HashMap::new();
        let mut conditions = Vec::new();
        for (index, one) in market.instruments.iter().enumerate() {
            let yes = one.spec.symbol.clone();
            let ids = [yes.clone(), complement(&yes)];
            for (token, id) in ids.iter().enumerate() {
                by_token.insert(id.clone(), (index, token));
            }
            let trades =
                |token: usize| Stream::new(format!("trades.{}", ids[token]), MsgKind::Trade);
            let trades = [trades(0), trades(1)];
            lock(&one.history).publish(WHOLE, ms(now) as u64, one.last_id);
            conditions.push(Condition {
                changes: Stream::new(yes, MsgKind::Depth).with_deltas(true),
                trades,
                subs: [Vec::new(), Vec::new()],
                last_ms: ms(now),
                tokens: Tokens {
                    condition: format!("0x{}", frames::hex(u64::from(one.spec.id), 64)),
                    question: format!("Will {} close above its open?", one.spec.base),
                    one: 1_000,
                    tick: "0.001".to_owned(),
                    last: 500,
                    ids,
                },
            });
        }
        Self {
            market,
            conditions,
            by_token,
            batch: Batch::default(),
            rng: fastrand::Rng::with_seed(seed ^ 0x706f_6c79),
            ticks: Vec::new(),
        }
    }

    pub(super) fn find(&self, token: &str) -> Option<(usize, usize)> {
        self.by_token.get(token).copied()
    }

    fn market_event(&mut self, cx: &mut Common, out: &mut Outbox) {
        self.market.step(&mut self.batch);
        Counters::add(&cx.counters.market_events, 1);
        let batch = &self.batch;
        let one = &self.market.instruments[batch.instrument];
        trade::tell_exchange(&mut cx.exchange, one, batch);
        let condition = &mut self.conditions[batch.instrument];
        let at_ns = batch.at_ns;
        let stamp = condition.stamp(at_ns + cx.faults.skew_ns);
        lock(&one.history).publish(WHOLE, stamp as u64, one.last_id);
        for trade in &batch.trades {
            condition.tokens.last = trade.price;
            // The taker may have come by either token.
            let token = usize::from(self.rng.bool());
            let (side, price) = condition.tokens.mirror(token, Side::Bid, trade.price);
            let traded = Traded {
                token,
                price,
                qty: trade.qty,
                buys: trade.buyer_maker == (side == Side::Ask),
                id: trade.id,
            };
            let tokens = &condition.tokens;
            condition.trades[token].emit(out, cx, at_ns, stamp as u64, |buf, _| {
                frames::last_trade(buf, &one.spec, tokens, &traded, stamp);
            });
        }
        let mut changes: Vec<(Side, i64, i64)> = batch
            .changes
            .iter()
            .map(|change| (change.side, change.price, change.qty))
            .collect();
        let act = condition.changes.act(cx, at_ns, true);
        if let (Some(Act::Cross), Some((price, qty))) = (act, one.book.top().1) {
            changes.push((Side::Bid, price, qty));
        }
        let tokens = &condition.tokens;
        let numbers = (at_ns, stamp as u64);
        condition.changes.emit_as(act, out, cx, numbers, |buf, _| {
            frames::price_change(buf, &one.spec, tokens, &one.book, &changes, stamp);
        });
        let traded = !batch.trades.is_empty();
        if traded && self.rng.u8(0..BOOK_AFTER_TRADES) == 0 {
            let stamp = self.note(batch_index(&self.batch), at_ns, cx);
            self.push_books(batch_index(&self.batch), at_ns, stamp, cx, out);
        } else if self.rng.u8(0..BEST_AFTER_CHANGES) == 0 {
            let tokens = &condition.tokens;
            if !condition.changes.stalled {
                condition.changes.emit(out, cx, at_ns, 0, |buf, _| {
                    frames::best_bid_ask(buf, &one.spec, tokens, &one.book, stamp);
                });
            }
        }
    }

    /// A new time for a frame about a book that is as it was.
    fn note(&mut self, index: usize, at_ns: i64, cx: &Common) -> i64 {
        let one = &self.market.instruments[index];
        let stamp = self.conditions[index].stamp(at_ns + cx.faults.skew_ns);
        lock(&one.history).publish(WHOLE, stamp as u64, one.last_id);
        stamp
    }

    /// Both tokens' books, in one array.
    fn push_books(
        &mut self,
        index: usize,
        at_ns: i64,
        stamp: i64,
        cx: &mut Common,
        out: &mut Outbox,
    ) {
        let one = &self.market.instruments[index];
        let condition = &mut self.conditions[index];
        let tokens = &condition.tokens;
        condition
            .changes
            .emit(out, cx, at_ns, stamp as u64, |buf, _| {
                for token in 0..2 {
                    buf.push(if token == 0 { b'[' } else { b',' });
                    let head = BookHead {
                        tokens,
                        token,
                        ms: stamp,
                    };
                    frames::book(buf, &one.spec, &head, &one.book);
                }
                buf.push(b']');
            });
    }

    /// The tick size becomes another, and then the books come.
    fn change_tick(&mut self, index: usize, now: i64, cx: &mut Common, out: &mut Outbox) {
        let stamp = self.note(index, now, cx);
        let condition = &mut self.conditions[index];
        let new = match condition.tokens.tick.as_str() {
            "0.001" => "0.0001",
            _ => "0.001",
        };
        for token in 0..2 {
            let tokens = &condition.tokens;
            condition.changes.emit(out, cx, now, 0, |buf, _| {
                frames::tick_size(buf, tokens, token, new, stamp);
            });
        }
        new.clone_into(&mut condition.tokens.tick);
        let stamp = self.note(index, now, cx);
        self.push_books(index, now, stamp, cx, out);
    }
}

const fn batch_index(batch: &Batch) -> usize {
    batch.instrument
}

impl Feed for PolymarketFeed {
    fn knows(&self, topic: &str) -> bool {
        self.by_token.contains_key(topic)
    }

    fn subscribe(&mut self, sub: Sub, topic: &str, now: i64, cx: &mut Common, out: &mut Outbox) {
        let Some((index, token)) = self.find(topic) else {
            return;
        };
        let one = &self.market.instruments[index];
        let condition = &mut self.conditions[index];
        condition.changes.add(sub, &one.spec.symbol, cx);
        let id = condition.tokens.ids[token].clone();
        condition.trades[token].add(sub, &id, cx);
        condition.subs[token].push(sub.conn);
        // `wrapped` stands for "no book now": this venue wraps nothing.
        if sub.wrapped {
            return;
        }
        let head = BookHead {
            tokens: &condition.tokens,
            token,
            // That of the book's last change, as the venue's clock was then.
            ms: condition.last_ms,
        };
        condition
            .changes
            .emit_to(sub.conn, out, cx, now, 0, |buf, _| {
                frames::book(buf, &one.spec, &head, &one.book);
            });
    }

    fn unsubscribe(&mut self, conn: ConnId, topic: &str) {
        let Some((index, token)) = self.find(topic) else {
            return;
        };
        let condition = &mut self.conditions[index];
        condition.trades[token].remove(conn);
        condition.subs[token].retain(|one| *one != conn);
        if !condition.subs.iter().any(|subs| subs.contains(&conn)) {
            condition.changes.remove(conn);
        }
    }

    fn set_wrapped(&mut self, conn: ConnId, wrapped: bool) {
        for condition in &mut self.conditions {
            condition.changes.set_wrapped(conn, wrapped);
            for trades in &mut condition.trades {
                trades.set_wrapped(conn, wrapped);
            }
        }
    }

    fn poll(&mut self, now: i64, budget: usize, cx: &mut Common, out: &mut Outbox) {
        for index in std::mem::take(&mut self.ticks) {
            self.change_tick(index, now, cx, out);
        }
        for _ in 0..budget {
            match self.market.next_ns() {
                Some(at) if at <= now => self.market_event(cx, out),
                _ => return,
            }
        }
    }

    fn next_deadline(&self) -> Option<i64> {
        if !self.ticks.is_empty() {
            return Some(i64::MIN);
        }
        self.market.next_ns()
    }

    fn rest(
        &mut self,
        request: &HttpRequest<'_>,
        now: i64,
        cx: &mut Common,
    ) -> Option<HttpResponse> {
        rest::answer(self, request, now + cx.faults.skew_ns)
    }

    fn market(&self) -> Option<&Market> {
        Some(&self.market)
    }

    fn control(&mut self, command: &Command, now: i64) {
        match command {
            Command::Pause => self.market.pause(now),
            Command::Resume => {
                self.market.resume(now);
            }
            Command::SetRate(rate) => self.market.set_rate(*rate, now),
            Command::StallStream { topic, on } => {
                if let Some((index, _)) = self.find(topic) {
                    self.conditions[index].changes.stalled = *on;
                }
            }
            Command::SkipNextDelta { symbol } => {
                if let Some((index, _)) = self.find(symbol) {
                    self.conditions[index].changes.skip += 1;
                }
            }
            Command::ChangeTick { symbol } => {
                self.ticks.extend(self.find(symbol).map(|(index, _)| index));
            }
            // Nothing is numbered: a restart shows in the connections alone.
            _ => {}
        }
    }
}

//! Price-time matching of clients' orders with the synthetic market and with each other.
//!
//! The model. The market's book is what the market says it is; clients add to it unseen: their
//! orders and fills are not in the published depth and trades.
//!
//! * *Taking.* An order takes the best price first. At one price the market's lots that were there
//!   before a resting client's order go first, then that order, then what came later. What clients
//!   took of a level is gone until the market itself changes that level.
//! * *Resting.* An order at a price joins behind the market's lots there. It is filled when the
//!   market trades at a worse price (by as much as was traded), when trades at its own price have
//!   eaten what stood before it (cancels move it forward too), and when the market quotes through it
//!   on the other side (by what is quoted).

use std::collections::BTreeMap;

use super::Exchange;
use super::amount::Amount;
use super::ledger::MARKET;
use super::listing::{Listing, Settle};
use super::order::{End, Fill, Order, Report, Size, Status, What};
use crate::market::{Book, Change, Side, Trade};

/// One instrument's resting orders and what clients took of the market.
#[derive(Debug, Default)]
pub(super) struct Resting {
    /// By price (best first) and rank.
    bids: BTreeMap<(i64, u64), u64>,
    asks: BTreeMap<(i64, u64), u64>,
    /// Stop orders that wait.
    pub(super) waiting: Vec<u64>,
    /// Lots that clients took of the market's levels.
    taken: BTreeMap<(Side, i64), i64>,
}

impl Resting {
    pub(super) fn is_empty(&self) -> bool {
        self.bids.is_empty() && self.asks.is_empty() && self.waiting.is_empty()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.is_empty() && self.taken.is_empty()
    }

    fn side(&self, side: Side) -> &BTreeMap<(i64, u64), u64> {
        match side {
            Side::Bid => &self.bids,
            Side::Ask => &self.asks,
        }
    }

    fn side_mut(&mut self, side: Side) -> &mut BTreeMap<(i64, u64), u64> {
        match side {
            Side::Bid => &mut self.bids,
            Side::Ask => &mut self.asks,
        }
    }

    /// Lots of the market's level that clients have left.
    pub(super) fn available(&self, book: &Book, side: Side, price: i64) -> i64 {
        let taken = self.taken.get(&(side, price)).copied().unwrap_or(0);
        (book.qty(side, price) - taken).max(0)
    }
}

/// The best price has the smallest key.
const fn key(side: Side, price: i64) -> i64 {
    match side {
        Side::Bid => -price,
        Side::Ask => price,
    }
}

/// Whether `price` on `side` is at least as good for a taker as `limit`.
const fn reaches(side: Side, price: i64, limit: i64) -> bool {
    key(side, price) <= key(side, limit)
}

/// A part of a plan: so many lots at a price, against a client's order or the market.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slice {
    pub(super) price: i64,
    pub(super) lots: i64,
    pub(super) against: Option<u64>,
}

/// How much more a plan wants.
struct Appetite {
    lots: i64,
    quote: Option<Amount>,
}

impl Exchange {
    /// What an order would trade with right now, best first. Nothing is changed.
    pub(super) fn plan(
        &self,
        instrument: usize,
        side: Side,
        limit: Option<i64>,
        size: Size,
        book: &Book,
    ) -> Vec<Slice> {
        let (resting, other) = (&self.resting[instrument], side.other());
        let mut plan = Vec::new();
        let mut appetite = match size {
            Size::Lots(lots) => Appetite { lots, quote: None },
            Size::Quote(quote) => Appetite {
                lots: 0,
                quote: Some(quote),
            },
        };
        let mut levels = best_first(book, other).peekable();
        let mut clients = resting.side(other).iter().peekable();
        loop {
            let market = levels.peek().map(|(price, _)| key(other, *price));
            let client = clients.peek().map(|((key, _), _)| *key);
            let Some(best) = market.into_iter().chain(client).min() else {
                break;
            };
            let price = key(other, best);
            if limit.is_some_and(|limit| !reaches(other, price, limit)) {
                break;
            }
            let has_level = levels.next_if(|(at, _)| *at == price).is_some();
            let level = if has_level {
                resting.available(book, other, price)
            } else {
                0
            };
            let mut eaten = 0;
            let mut hungry = true;
            while let Some((_, id)) = clients.next_if(|((at, _), _)| *at == best) {
                let Some(order) = self.orders.get(id) else {
                    continue;
                };
                let before = (order.ahead - eaten).clamp(0, level - eaten);
                eaten += before;
                hungry = hungry
                    && self.eat(instrument, &mut appetite, (price, before), None, &mut plan)
                    && self.eat(
                        instrument,
                        &mut appetite,
                        (price, self.takeable(order)),
                        Some(*id),
                        &mut plan,
                    );
            }
            let rest = (price, level - eaten);
            if !hungry || !self.eat(instrument, &mut appetite, rest, None, &mut plan) {
                break;
            }
        }
        plan
    }

    /// Takes up to so many lots into the plan. False: the order is sated.
    fn eat(
        &self,
        instrument: usize,
        appetite: &mut Appetite,
        (price, lots): (i64, i64),
        against: Option<u64>,
        plan: &mut Vec<Slice>,
    ) -> bool {
        let listing = &self.listings[instrument];
        let wanted = match appetite.quote {
            Some(quote) => listing.lots_for(quote, price),
            None => appetite.lots,
        };
        let lots = lots.min(wanted);
        if lots > 0 {
            plan.push(Slice {
                price,
                lots,
                against,
            });
            appetite.lots -= lots;
            if let Some(quote) = &mut appetite.quote {
                *quote -= listing.value(price, lots);
            }
        }
        lots < wanted
    }

    /// Does what was planned, for an order that is already known.
    pub(super) fn execute(&mut self, taker: u64, plan: &[Slice], now: i64) {
        for slice in plan {
            let Some(order) = self.orders.get(&taker) else {
                return;
            };
            let (instrument, side) = (order.instrument, order.side);
            let lots = match slice.against {
                Some(id) => slice.lots.min(self.fillable(id, now)),
                None => slice.lots,
            };
            if lots <= 0 {
                continue;
            }
            if slice.against.is_none() {
                self.take_level(instrument, side.other(), slice.price, lots);
            }
            self.trade(taker, slice.against, slice.price, lots, now);
        }
    }

    /// Clients took so many lots of the market's level: who waits behind them moves forward.
    fn take_level(&mut self, instrument: usize, side: Side, price: i64, lots: i64) {
        let resting = &mut self.resting[instrument];
        *resting.taken.entry((side, price)).or_default() += lots;
        let at = key(side, price);
        for id in resting
            .side(side)
            .range((at, 0)..=(at, u64::MAX))
            .map(|(_, id)| id)
        {
            if let Some(order) = self.orders.get_mut(id) {
                order.ahead = (order.ahead - lots).max(0);
            }
        }
    }

    /// One trade: the taker's order against a resting one, or (`None`) against the market.
    pub(super) fn trade(
        &mut self,
        taker: u64,
        maker: Option<u64>,
        price: i64,
        lots: i64,
        now: i64,
    ) {
        self.trade_id += 1;
        let trade_id = self.trade_id;
        let Some((instrument, side)) = self.orders.get(&taker).map(|o| (o.instrument, o.side))
        else {
            return;
        };
        if maker.is_none() {
            self.fill_market(instrument, side.other(), price, lots);
        }
        // Who rested is told first: its order was there first.
        if let Some(maker) = maker {
            self.fill(maker, (trade_id, true), price, lots, now);
        }
        self.fill(taker, (trade_id, false), price, lots, now);
    }

    /// A resting order is filled by the market.
    pub(super) fn trade_with_market(&mut self, maker: u64, lots: i64, now: i64) {
        self.trade_id += 1;
        let trade_id = self.trade_id;
        let found = self.orders.get(&maker);
        if let Some((instrument, side, Some(price))) =
            found.map(|o| (o.instrument, o.side, o.price))
        {
            self.fill_market(instrument, side.other(), price, lots);
            self.fill(maker, (trade_id, true), price, lots, now);
        }
    }

    fn fill_market(&mut self, instrument: usize, side: Side, price: i64, lots: i64) {
        let listing = &self.listings[instrument];
        let value = listing.value(price, lots);
        self.ledger
            .fill(MARKET, instrument, listing, side, lots, value);
    }

    /// One order's side of a trade: books it, and tells its owner.
    fn fill(&mut self, id: u64, (trade_id, maker): (u64, bool), price: i64, lots: i64, now: i64) {
        let Some(order) = self.orders.get_mut(&id) else {
            return;
        };
        let listing = &self.listings[order.instrument];
        let value = listing.value(price, lots);
        order.filled += lots;
        order.filled_value += value;
        order.updated_ns = now;
        let whole = order.left() <= 0;
        order.status = if whole {
            Status::Filled
        } else {
            Status::Partial
        };
        // What was held back for these lots is free again, to be spent.
        let lock = lock_of(listing, order);
        let release = order.locked - lock;
        order.locked = lock;
        let (account, instrument, side) = (order.account, order.instrument, order.side);
        let locks = lock_asset(listing, side);
        self.ledger.lock(account, locks, -release);
        let effect = self
            .ledger
            .fill(account, instrument, listing, side, lots, value);
        let ppm = if maker {
            listing.fees.maker_ppm
        } else {
            listing.fees.taker_ppm
        };
        let (fee_asset, base) = match (&listing.settle, side) {
            (Settle::Spot { base, .. }, Side::Bid) => (base.clone(), listing.qty_amount(lots)),
            _ => (listing.quote_asset().to_owned(), value),
        };
        let fee = base.ppm(ppm, listing.decimals);
        self.ledger.pay_fee(account, &fee_asset, fee);
        order.fee += fee;
        let fill = Fill {
            trade_id,
            order_id: id,
            account,
            instrument,
            side,
            price,
            lots,
            value,
            fee,
            fee_asset,
            maker,
            realised: effect.realised,
            closed: effect.closed,
            at_ns: now,
        };
        if whole {
            self.leave_book(id);
        }
        self.keep_fill(fill.clone());
        self.report(id, What::Trade(fill), now);
        if whole {
            self.closed(id);
        }
    }

    /// Puts an order into the book, behind what stands at its price.
    pub(super) fn enter_book(&mut self, id: u64, book: &Book) {
        self.rank += 1;
        let Some(order) = self.orders.get_mut(&id) else {
            return;
        };
        let Some(price) = order.price else { return };
        let resting = &mut self.resting[order.instrument];
        order.rank = self.rank;
        order.ahead = resting.available(book, order.side, price);
        let place = (key(order.side, price), order.rank);
        resting.side_mut(order.side).insert(place, id);
    }

    /// Puts an order back to the place that it had.
    pub(super) fn return_to_book(&mut self, order: &Order) {
        if let Some(price) = order.price {
            let place = (key(order.side, price), order.rank);
            let resting = &mut self.resting[order.instrument];
            resting.side_mut(order.side).insert(place, order.id);
        }
    }

    /// Takes an order out of the book, if it is there.
    pub(super) fn leave_book(&mut self, id: u64) {
        let Some(order) = self.orders.get(&id) else {
            return;
        };
        let resting = &mut self.resting[order.instrument];
        if let Some(price) = order.price {
            let place = (key(order.side, price), order.rank);
            resting.side_mut(order.side).remove(&place);
        }
        resting.waiting.retain(|waiting| *waiting != id);
    }

    /// The market moved: resting orders are filled by the model above, and stop orders wake.
    pub(crate) fn on_market(
        &mut self,
        instrument: usize,
        book: &Book,
        changes: &[Change],
        trades: &[Trade],
        now: i64,
    ) {
        let Some(resting) = self.resting.get_mut(instrument) else {
            return;
        };
        if !resting.taken.is_empty() {
            for change in changes {
                resting.taken.remove(&(change.side, change.price));
            }
        }
        if let Some(last) = trades.last() {
            self.last_price[instrument] = last.price;
        }
        if self.resting[instrument].is_empty() {
            return;
        }
        for trade in trades {
            self.traded(instrument, trade, now);
        }
        for change in changes {
            let at = key(change.side, change.price);
            let queue = self.resting[instrument].side(change.side);
            for id in queue.range((at, 0)..=(at, u64::MAX)).map(|(_, id)| id) {
                if let Some(order) = self.orders.get_mut(id) {
                    order.ahead = order.ahead.min(change.qty);
                }
            }
        }
        self.cross(instrument, book, now);
        self.wake(instrument, book, now);
    }

    /// A trade of the market reaches those who rest at its price or better.
    fn traded(&mut self, instrument: usize, trade: &Trade, now: i64) {
        let side = if trade.buyer_maker {
            Side::Bid
        } else {
            Side::Ask
        };
        let at = key(side, trade.price);
        let queue = self.resting[instrument].side(side).range(..=(at, u64::MAX));
        let reached: Vec<(i64, u64)> = queue.map(|((key, _), id)| (*key, *id)).collect();
        let mut left = trade.qty;
        for (place, id) in reached {
            let Some(order) = self.orders.get_mut(&id) else {
                continue;
            };
            let mut lots = left;
            if place == at {
                let ahead = order.ahead;
                order.ahead = (ahead - trade.qty).max(0);
                lots = left.min((trade.qty - ahead).max(0));
            }
            let lots = lots.min(self.fillable(id, now));
            if lots > 0 {
                left -= lots;
                self.trade_with_market(id, lots, now);
            }
        }
    }

    /// The market quotes through resting orders: they trade at their own price, first come first.
    fn cross(&mut self, instrument: usize, book: &Book, now: i64) {
        for side in [Side::Bid, Side::Ask] {
            while let Some((&(place, _), &id)) =
                self.resting[instrument].side(side).first_key_value()
            {
                let other = side.other();
                let limit = key(side, place);
                let reached = best_first(book, other)
                    .take_while(|(price, _)| reaches(other, *price, limit))
                    .map(|(price, _)| {
                        (
                            price,
                            self.resting[instrument].available(book, other, price),
                        )
                    })
                    .find(|(_, lots)| *lots > 0);
                let Some((price, available)) = reached else {
                    break;
                };
                let lots = available.min(self.fillable(id, now));
                if lots > 0 {
                    self.take_level(instrument, other, price, lots);
                    self.trade_with_market(id, lots, now);
                }
            }
        }
    }

    /// How much of an order may be filled: of a reduce-only order no more than its position.
    pub(super) fn takeable(&self, order: &Order) -> i64 {
        if !order.reduce_only {
            return order.left();
        }
        let position = self.ledger.position(order.account, order.instrument).lots;
        (-position * order.side.sign()).max(0).min(order.left())
    }

    /// The same; an order with nothing left to reduce ends.
    fn fillable(&mut self, id: u64, now: i64) -> i64 {
        let found = self.orders.get(&id).filter(|order| order.is_open());
        let lots = found.map_or(0, |order| self.takeable(order));
        if lots == 0 {
            self.finish(id, (Status::Expired, End::ReduceOnly), "", now);
        }
        lots
    }

    /// Stop orders whose price has come become orders.
    fn wake(&mut self, instrument: usize, book: &Book, now: i64) {
        let last = self.last_price[instrument];
        let due = |order: &Order| {
            let trigger = order.trigger?;
            let reached = if trigger.rising {
                last >= trigger.price
            } else {
                last <= trigger.price
            };
            reached.then_some(order.id)
        };
        let waiting = self.resting[instrument].waiting.iter();
        let found = waiting.filter_map(|id| self.orders.get(id)).filter_map(due);
        for id in found.collect::<Vec<_>>() {
            self.resting[instrument]
                .waiting
                .retain(|waiting| *waiting != id);
            self.activate(id, book, now);
        }
    }

    pub(super) fn report(&mut self, id: u64, what: What, now: i64) {
        self.report_id += 1;
        if let Some(order) = self.orders.get(&id) {
            self.reports.push(Report {
                id: self.report_id,
                at_ns: now,
                what,
                order: order.clone(),
                request_id: String::new(),
                twice: false,
            });
        }
    }
}

fn best_first(book: &Book, side: Side) -> Box<dyn Iterator<Item = (i64, i64)> + '_> {
    let pair = |(price, qty): (&i64, &i64)| (*price, *qty);
    match side {
        Side::Bid => Box::new(book.bids.iter().rev().map(pair)),
        Side::Ask => Box::new(book.asks.iter().map(pair)),
    }
}

/// What an order holds back of its owner's balance for what is left of it.
pub(super) fn lock_of(listing: &Listing, order: &Order) -> Amount {
    match order.is_free() {
        true => Amount::ZERO,
        false => need_of(listing, order),
    }
}

/// What an order would hold back if it stood in the book.
pub(super) fn need_of(listing: &Listing, order: &Order) -> Amount {
    match (listing.is_spot(), order.price, order.side) {
        (true, Some(price), Side::Bid) => listing.value(price, order.left().max(0)),
        (true, Some(_), Side::Ask) => listing.qty_amount(order.left().max(0)),
        _ => Amount::ZERO,
    }
}

/// In which asset.
pub(super) fn lock_asset(listing: &Listing, side: Side) -> &str {
    match (&listing.settle, side) {
        (Settle::Spot { base, .. }, Side::Ask) => base,
        _ => listing.quote_asset(),
    }
}

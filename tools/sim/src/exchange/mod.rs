//! The matching core: accounts, balances, positions and orders of one venue-market, without a wire
//! format, a socket or a clock. A venue's folder translates requests into calls here and reports
//! into frames.

mod amount;
mod keys;
mod ledger;
mod listing;
mod matching;
mod order;
mod terms;
mod view;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

pub(crate) use amount::{Amount, NotUnits, parse_units, pow10};
pub use keys::AccountSpec;
pub(crate) use keys::{Keys, Unauthorised};
pub(crate) use ledger::{Balance, Position};
pub(crate) use listing::{LOTS_MAX, Listing, Settle};
pub(crate) use order::{
    End, Fill, NewOrder, Order, Refusal, Report, Size, Status, Tif, Trigger, What, Words,
};
pub(crate) use terms::terms;
pub use view::{BalanceView, FillView, Ledger, OrderView, PositionView};

use crate::market::{Book, Side};
use ledger::{Ledger as Books, MARKET};
use matching::{Resting, lock_asset, lock_of, need_of};

/// Accounts before the clients' own: the venue's, which gets the fees, and the market's.
pub(crate) const CLIENTS_FROM: usize = 2;
/// Ended orders that are remembered: a long run's; the oldest are forgotten, as venues archive.
const CLOSED_MAX: usize = 200_000;
/// Fills that are remembered.
const FILLS_MAX: usize = 500_000;
/// Open orders of an account and instrument (Binance's MAX_NUM_ORDERS is 200; Bybit's limit 500).
const OPEN_ORDERS_MAX: usize = 200;

/// How often a client id may be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ClientIds {
    /// By one open order at a time (Binance).
    #[default]
    OnceOpen,
    /// Never again, not even after its order has ended (Bybit).
    Once,
    /// By any number of orders: a label (Deribit).
    Labels,
}

/// A venue-market's accounts and orders.
#[derive(Debug, Default)]
pub(crate) struct Exchange {
    pub(crate) listings: Vec<Listing>,
    /// Names; the first two are the venue's and the market's.
    names: Vec<String>,
    ledger: Books,
    orders: BTreeMap<u64, Order>,
    resting: Vec<Resting>,
    last_price: Vec<i64>,
    /// The newest order of each client id.
    by_client_id: BTreeMap<(usize, String), u64>,
    open: BTreeSet<(usize, u64)>,
    closed: VecDeque<u64>,
    fills: VecDeque<Fill>,
    expiries: BTreeSet<(i64, u64)>,
    reports: Vec<Report>,
    client_ids: ClientIds,
    order_id: u64,
    trade_id: u64,
    report_id: u64,
    rank: u64,
}

impl Exchange {
    /// An exchange over these instruments, in the market's order; `ids_from` is where its numbers
    /// start.
    pub(crate) fn new(listings: Vec<(Listing, i64)>, names: &[&str], ids_from: u64) -> Self {
        let mut all = vec!["venue".to_owned(), "market".to_owned()];
        all.extend(names.iter().map(|name| (*name).to_owned()));
        let (listings, last_price): (Vec<_>, Vec<_>) = listings.into_iter().unzip();
        Self {
            ledger: Books::new(all.len()),
            names: all,
            resting: listings.iter().map(|_| Resting::default()).collect(),
            last_price,
            listings,
            order_id: ids_from,
            trade_id: ids_from / 3,
            report_id: ids_from / 2,
            ..Self::default()
        }
    }

    /// Says how often a client id may be used.
    pub(crate) fn with_client_ids(mut self, rule: ClientIds) -> Self {
        self.client_ids = rule;
        self
    }

    pub(crate) fn deposit(&mut self, account: usize, asset: &str, amount: Amount) {
        self.ledger.deposit(account, asset, amount);
    }

    /// The index of an account of this name.
    pub(crate) fn account(&self, name: &str) -> Option<usize> {
        let mut clients = self.names.iter().skip(CLIENTS_FROM);
        Some(CLIENTS_FROM + clients.position(|known| known == name)?)
    }

    /// Whether no client has anything to do with an instrument's book now.
    pub(crate) fn is_idle(&self, instrument: usize) -> bool {
        self.resting.get(instrument).is_none_or(Resting::is_idle)
    }

    /// Last price of an instrument, in ticks.
    pub(crate) fn last_price(&self, instrument: usize) -> i64 {
        self.last_price[instrument]
    }

    pub(crate) fn balance(&self, account: usize, asset: &str) -> Balance {
        self.ledger.balance(account, asset)
    }

    pub(crate) fn balances(&self, account: usize) -> impl Iterator<Item = (&str, Balance)> {
        self.ledger.balances(account)
    }

    pub(crate) fn position(&self, account: usize, instrument: usize) -> Position {
        self.ledger.position(account, instrument)
    }

    /// An account's order; another's is as good as none.
    pub(crate) fn order(&self, account: usize, id: u64) -> Option<&Order> {
        self.orders
            .get(&id)
            .filter(|order| order.account == account)
    }

    /// The newest order with this client id.
    pub(crate) fn order_by_client_id(&self, account: usize, client_id: &str) -> Option<&Order> {
        let id = self.by_client_id.get(&(account, client_id.to_owned()))?;
        self.orders.get(id)
    }

    /// An account's open orders, oldest first; of one instrument or all.
    pub(crate) fn open_orders(&self, account: usize, instrument: Option<usize>) -> Vec<&Order> {
        let ids = self.open.range((account, 0)..=(account, u64::MAX));
        let orders = ids.filter_map(|(_, id)| self.orders.get(id));
        orders
            .filter(|order| instrument.is_none_or(|wanted| order.instrument == wanted))
            .collect()
    }

    /// All its orders, oldest first.
    pub(crate) fn orders(&self, account: usize) -> impl DoubleEndedIterator<Item = &Order> {
        self.orders
            .values()
            .filter(move |order| order.account == account)
    }

    /// Its fills, oldest first.
    pub(crate) fn fills(&self, account: usize) -> impl DoubleEndedIterator<Item = &Fill> {
        self.fills
            .iter()
            .filter(move |fill| fill.account == account)
    }

    /// What happened since this was last asked.
    pub(crate) fn take_reports(&mut self) -> Vec<Report> {
        std::mem::take(&mut self.reports)
    }

    /// The reports to come out, for a fault to change.
    pub(crate) fn reports_mut(&mut self) -> &mut [Report] {
        &mut self.reports
    }

    /// The id of the newest report.
    pub(crate) const fn newest_report(&self) -> u64 {
        self.report_id
    }

    pub(crate) fn has_reports(&self) -> bool {
        !self.reports.is_empty()
    }

    /// The best price that an order of this side would trade at now.
    pub(crate) fn best_against(&self, instrument: usize, side: Side, book: &Book) -> Option<i64> {
        let plan = self.plan(instrument, side, None, Size::Lots(1), book);
        plan.first().map(|slice| slice.price)
    }

    /// Places an order. It may come back filled or ended; what happened is in the reports.
    ///
    /// # Errors
    /// Why it is refused; then nothing has changed.
    pub(crate) fn place(&mut self, new: NewOrder, book: &Book, now: i64) -> Result<u64, Refusal> {
        self.admit(&new)?;
        let mut order = self.draft(&new, now);
        if let Some(trigger) = new.trigger {
            let last = self.last_price[new.instrument];
            let there = if trigger.rising {
                last >= trigger.price
            } else {
                last <= trigger.price
            };
            if there {
                return Err(Refusal::WouldTrigger);
            }
            if trigger.holds {
                self.afford(&order, &[], Amount::ZERO)?;
            }
            order.status = Status::Waiting;
            let id = self.insert(order);
            self.resting[new.instrument].waiting.push(id);
            self.report(id, What::New, now);
            return Ok(id);
        }
        let size = match new.size {
            Size::Lots(_) => Size::Lots(self.takeable(&order)),
            quote @ Size::Quote(_) => quote,
        };
        let plan = self.plan(new.instrument, new.side, new.price, size, book);
        if new.post_only && !plan.is_empty() {
            return Err(Refusal::WouldTake);
        }
        if new.price.is_none() && plan.is_empty() {
            return Err(Refusal::NoLiquidity);
        }
        let planned: i64 = plan.iter().map(|slice| slice.lots).sum();
        let cost = plan
            .iter()
            .map(|s| self.listings[new.instrument].value(s.price, s.lots))
            .sum();
        if order.quote.is_some() || order.reduce_only {
            order.lots = if order.quote.is_some() {
                planned
            } else {
                self.takeable(&order)
            };
        }
        self.afford(&order, &plan, cost)?;
        let short = planned < order.lots;
        let id = self.insert(order);
        self.report(id, What::New, now);
        if new.tif == Tif::Fok && short {
            self.finish(id, (Status::Expired, End::Liquidity), "", now);
            return Ok(id);
        }
        self.enter(id, (&plan, new.tif), book, now);
        Ok(id)
    }

    /// Records an order that the venue took and ended at once (Bybit's post-only that would take).
    pub(crate) fn place_ended(&mut self, new: &NewOrder, end: (Status, End), now: i64) -> u64 {
        let id = self.insert(self.draft(new, now));
        self.finish(id, end, "", now);
        id
    }

    fn admit(&self, new: &NewOrder) -> Result<(), Refusal> {
        if !new.client_id.is_empty() {
            let known = self.order_by_client_id(new.account, &new.client_id);
            let taken = known.is_some_and(|order| match self.client_ids {
                ClientIds::Once => true,
                ClientIds::OnceOpen => order.is_open(),
                ClientIds::Labels => false,
            });
            if taken {
                return Err(Refusal::DuplicateId);
            }
        }
        if self.open_orders(new.account, Some(new.instrument)).len() >= OPEN_ORDERS_MAX {
            return Err(Refusal::TooManyOrders);
        }
        let position = self.ledger.position(new.account, new.instrument).lots;
        if new.reduce_only && position.signum() != -new.side.sign() {
            return Err(Refusal::ReduceOnly);
        }
        Ok(())
    }

    fn draft(&self, new: &NewOrder, now: i64) -> Order {
        let (lots, quote) = match new.size {
            Size::Lots(lots) => (lots, None),
            Size::Quote(quote) => (0, Some(quote)),
        };
        Order {
            id: 0,
            account: new.account,
            instrument: new.instrument,
            client_id: new.client_id.clone(),
            side: new.side,
            price: new.price,
            lots,
            quote,
            filled: 0,
            filled_value: Amount::ZERO,
            fee: Amount::ZERO,
            tif: new.tif,
            post_only: new.post_only,
            reduce_only: new.reduce_only,
            trigger: new.trigger,
            expires_ns: new.expires_ns,
            words: new.words,
            status: Status::New,
            end: End::None,
            triggered: false,
            amended: false,
            created_ns: now,
            updated_ns: now,
            working_ns: now,
            last_at_entry: self.last_price[new.instrument],
            locked: Amount::ZERO,
            rank: 0,
            ahead: 0,
        }
    }

    /// Whether the account can pay for an order with this plan, on top of what it has.
    fn afford(&self, order: &Order, plan: &[matching::Slice], cost: Amount) -> Result<(), Refusal> {
        let listing = &self.listings[order.instrument];
        if listing.is_spot() {
            let needed = match (order.price, order.side) {
                (None, Side::Bid) => cost,
                (None, Side::Ask) => listing.qty_amount(plan.iter().map(|slice| slice.lots).sum()),
                (Some(_), _) => need_of(listing, order),
            };
            let free = self
                .ledger
                .balance(order.account, lock_asset(listing, order.side))
                .free;
            return if needed - order.locked <= free {
                Ok(())
            } else {
                Err(Refusal::Balance)
            };
        }
        if order.reduce_only {
            return Ok(());
        }
        let position = self.ledger.position(order.account, order.instrument).lots;
        let opening = if position.signum() == -order.side.sign() {
            (order.left() - position.abs()).max(0)
        } else {
            order.left()
        };
        let at = order.price.unwrap_or(order.last_at_entry);
        let needed = self.margin(listing, at, opening);
        if needed <= self.available(order.account, listing.quote_asset()) {
            Ok(())
        } else {
            Err(Refusal::Margin)
        }
    }

    fn margin(&self, listing: &Listing, ticks: i64, lots: i64) -> Amount {
        Amount(listing.value(ticks, lots).0 / i128::from(listing.leverage.max(1)))
    }

    /// What is left of a margin asset beside positions and open orders, at their own prices.
    pub(crate) fn available(&self, account: usize, asset: &str) -> Amount {
        let wallet = self.ledger.balance(account, asset).free;
        wallet - self.position_margin(account, asset) - self.order_margin(account, asset)
    }

    /// Margin of the open positions in this asset.
    pub(crate) fn position_margin(&self, account: usize, asset: &str) -> Amount {
        let positions = self
            .ledger
            .positions(account)
            .map(|(instrument, position)| (&self.listings[instrument], position));
        let mine =
            positions.filter(|(listing, _)| !listing.is_spot() && listing.quote_asset() == asset);
        mine.map(|(listing, position)| {
            Amount(position.basis.0.abs() / i128::from(listing.leverage.max(1)))
        })
        .sum()
    }

    /// Margin of the open orders in this asset.
    pub(crate) fn order_margin(&self, account: usize, asset: &str) -> Amount {
        let orders = self.open_orders(account, None).into_iter();
        let held = orders
            .filter(|order| !order.reduce_only && !order.is_free())
            .filter_map(|order| {
                let listing = &self.listings[order.instrument];
                (!listing.is_spot() && listing.quote_asset() == asset).then(|| {
                    self.margin(
                        listing,
                        order.price.unwrap_or(order.last_at_entry),
                        order.left(),
                    )
                })
            });
        held.sum()
    }

    fn insert(&mut self, mut order: Order) -> u64 {
        self.order_id += 1;
        let id = self.order_id;
        order.id = id;
        let listing = &self.listings[order.instrument];
        order.locked = lock_of(listing, &order);
        self.ledger
            .lock(order.account, lock_asset(listing, order.side), order.locked);
        if !order.client_id.is_empty() {
            self.by_client_id
                .insert((order.account, order.client_id.clone()), id);
        }
        self.open.insert((order.account, id));
        if let Some(at) = order.expires_ns {
            self.expiries.insert((at, id));
        }
        self.orders.insert(id, order);
        id
    }

    /// Lets an order trade as planned; what is left rests or expires.
    fn enter(&mut self, id: u64, (plan, tif): (&[matching::Slice], Tif), book: &Book, now: i64) {
        self.execute(id, plan, now);
        let Some(order) = self.orders.get(&id).filter(|order| order.is_open()) else {
            return;
        };
        if order.price.is_none() || tif != Tif::Gtc {
            self.finish(id, (Status::Expired, End::Liquidity), "", now);
        } else {
            self.enter_book(id, book);
        }
    }

    /// A stop order's price has come.
    fn activate(&mut self, id: u64, book: &Book, now: i64) {
        let Some(order) = self.orders.get(&id) else {
            return;
        };
        let size = Size::Lots(self.takeable(order));
        let plan = self.plan(order.instrument, order.side, order.price, size, book);
        let listing = &self.listings[order.instrument];
        let cost = plan.iter().map(|s| listing.value(s.price, s.lots)).sum();
        if self.afford(order, &plan, cost).is_err() {
            return self.finish(id, (Status::Expired, End::Balance), "", now);
        }
        let Some(order) = self.orders.get_mut(&id) else {
            return;
        };
        (order.status, order.triggered) = (Status::New, true);
        (order.updated_ns, order.working_ns) = (now, now);
        let lock = lock_of(listing, order);
        let asset = lock_asset(listing, order.side);
        self.ledger.lock(order.account, asset, lock - order.locked);
        order.locked = lock;
        let (would_take, tif) = (order.post_only && !plan.is_empty(), order.tif);
        self.report(id, What::Triggered, now);
        if would_take {
            return self.finish(id, (Status::Expired, End::PostOnly), "", now);
        }
        self.enter(id, (&plan, tif), book, now);
    }

    /// Cancels an open order.
    ///
    /// # Errors
    /// If the account has no such open order.
    pub(crate) fn cancel(
        &mut self,
        account: usize,
        id: u64,
        (end, request_id): (End, &str),
        now: i64,
    ) -> Result<(), Refusal> {
        let found = self.order(account, id).filter(|order| order.is_open());
        found.ok_or(Refusal::UnknownOrder)?;
        self.finish(id, (Status::Canceled, end), request_id, now);
        Ok(())
    }

    /// Cancels all open orders of an account, of one instrument or all. Returns their ids.
    pub(crate) fn cancel_all(
        &mut self,
        account: usize,
        instrument: Option<usize>,
        (end, request_id): (End, &str),
        now: i64,
    ) -> Vec<u64> {
        let open = self.open_orders(account, instrument);
        let ids: Vec<u64> = open.iter().map(|order| order.id).collect();
        for id in &ids {
            self.finish(*id, (Status::Canceled, end), request_id, now);
        }
        ids
    }

    /// Changes price or quantity (in all, not what is left) of an open order. A smaller quantity
    /// alone keeps its place; anything else goes to the end of its price's queue, and may trade.
    ///
    /// # Errors
    /// Why it stays as it was.
    pub(crate) fn amend(
        &mut self,
        account: usize,
        id: u64,
        (price, lots): (Option<i64>, Option<i64>),
        book: &Book,
        now: i64,
    ) -> Result<(), Refusal> {
        let found = self.order(account, id).filter(|order| order.is_open());
        let old = found.ok_or(Refusal::UnknownOrder)?.clone();
        let mut order = old.clone();
        order.price = price.or(old.price);
        order.lots = lots.unwrap_or(old.lots);
        if order.lots <= order.filled || (order.price == old.price && order.lots == old.lots) {
            return Err(Refusal::BadAmendment);
        }
        let keeps_place = order.price == old.price && order.lots < old.lots;
        let waits = old.status == Status::Waiting;
        let mut plan = Vec::new();
        if !keeps_place && !waits {
            let size = Size::Lots(self.takeable(&order));
            // It must not meet itself.
            self.leave_book(id);
            plan = self.plan(order.instrument, order.side, order.price, size, book);
            let refused = if order.post_only && !plan.is_empty() {
                Err(Refusal::WouldTake)
            } else {
                self.afford_instead(&order, &old)
            };
            if let Err(refusal) = refused {
                self.return_to_book(&old);
                return Err(refusal);
            }
        } else {
            self.afford_instead(&order, &old)?;
        }
        let listing = &self.listings[order.instrument];
        let lock = lock_of(listing, &order);
        self.ledger
            .lock(account, lock_asset(listing, order.side), lock - old.locked);
        order.locked = lock;
        order.updated_ns = now;
        order.amended = true;
        let tif = order.tif;
        self.orders.insert(id, order);
        self.report(id, What::Amended, now);
        if !keeps_place && !waits {
            self.enter(id, (&plan, tif), book, now);
        }
        Ok(())
    }

    /// Whether an order can be paid for in place of what it was.
    fn afford_instead(&self, order: &Order, old: &Order) -> Result<(), Refusal> {
        let listing = &self.listings[order.instrument];
        if listing.is_spot() || order.reduce_only {
            return self.afford(order, &[], Amount::ZERO);
        }
        let at = |order: &Order| order.price.unwrap_or(order.last_at_entry);
        let needed = self.margin(listing, at(order), order.left());
        let had = self.margin(listing, at(old), old.left());
        if needed - had <= self.available(order.account, listing.quote_asset()) {
            Ok(())
        } else {
            Err(Refusal::Margin)
        }
    }

    /// Ends an order: out of the book, what it held back is free again, its owner is told.
    fn finish(&mut self, id: u64, (status, end): (Status, End), request_id: &str, now: i64) {
        if !self.orders.get(&id).is_some_and(Order::is_open) {
            return;
        }
        self.leave_book(id);
        if let Some(order) = self.orders.get_mut(&id) {
            let listing = &self.listings[order.instrument];
            let locked = std::mem::take(&mut order.locked);
            self.ledger
                .lock(order.account, lock_asset(listing, order.side), -locked);
            (order.status, order.end, order.updated_ns) = (status, end, now);
        }
        let what = match status {
            Status::Canceled => What::Canceled,
            _ => What::Expired,
        };
        self.report(id, what, now);
        if let Some(report) = self.reports.last_mut() {
            request_id.clone_into(&mut report.request_id);
        }
        self.closed(id);
    }

    /// An order has ended: it counts no more, and the oldest such are forgotten.
    fn closed(&mut self, id: u64) {
        if let Some(order) = self.orders.get(&id) {
            self.open.remove(&(order.account, id));
            if let Some(at) = order.expires_ns {
                self.expiries.remove(&(at, id));
            }
        }
        self.closed.push_back(id);
        if self.closed.len() > CLOSED_MAX
            && let Some(order) = self
                .closed
                .pop_front()
                .and_then(|old| self.orders.remove(&old))
        {
            let name = (order.account, order.client_id);
            if self.by_client_id.get(&name) == Some(&order.id) {
                self.by_client_id.remove(&name);
            }
        }
    }

    /// A trade that was booked has not happened after all: both sides get back what they gave. Its order
    /// stays as filled as it is. Of a trade between two clients each is undone by its own fill.
    pub(crate) fn undo(&mut self, fill: &Fill) {
        let listing = &self.listings[fill.instrument];
        let mut fills = self.fills.iter();
        let with_client = fills.any(|one| one.trade_id == fill.trade_id && one.maker != fill.maker);
        let mut turn = |account: usize, side: Side| {
            let (lots, value) = (fill.lots, fill.value);
            self.ledger
                .fill(account, fill.instrument, listing, side, lots, value);
        };
        turn(fill.account, fill.side.other());
        if !with_client {
            turn(MARKET, fill.side);
        }
        let fee = Amount(-fill.fee.0);
        self.ledger.pay_fee(fill.account, &fill.fee_asset, fee);
    }

    fn keep_fill(&mut self, fill: Fill) {
        if self.fills.len() == FILLS_MAX {
            self.fills.pop_front();
        }
        self.fills.push_back(fill);
    }

    /// When an order's time is over next.
    pub(crate) fn next_deadline(&self) -> Option<i64> {
        self.expiries.first().map(|(at, _)| *at)
    }

    /// Ends the orders whose time is over.
    pub(crate) fn expire(&mut self, now: i64) {
        while let Some((_, id)) = self.expiries.first().copied().filter(|(at, _)| *at <= now) {
            self.expiries.pop_first();
            self.finish(id, (Status::Expired, End::Time), "", now);
        }
    }

    /// Fills what is left of a resting order at its own price, as if the market had come to it just
    /// now: a fault's doing. False: it is not in the book.
    pub(crate) fn fill_now(&mut self, id: u64, now: i64) -> bool {
        let found = self.orders.get(&id).filter(|order| order.is_open());
        let lots = found.filter(|o| o.price.is_some() && o.status != Status::Waiting);
        let lots = lots.map_or(0, |order| self.takeable(order));
        if lots > 0 {
            self.trade_with_market(id, lots, now);
        }
        lots > 0
    }
}

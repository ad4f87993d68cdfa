//! The account's orders, by our id and by the venue's, and what all messages together say of each.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;
use tickwire_orderbook::{Qty, Scale};

use crate::order::{
    ClientOrderId, Fill, OrderRequest, OrderStatus, OrderUpdate, Settlement, Size, TradeId,
    VenueOrderId,
};
use crate::time::Nanos;

use super::action::OrderId;
use super::order_state::OrderState;

/// Orders that have ended and are still known, so that a late or repeated message of one is seen to be
/// that. The venues repeat within seconds; this is minutes of a busy quoter.
const ENDED_MAX: usize = 4_096;

/// The first wait before an order is looked up; doubled for each further look.
const LOOKUP_FIRST_NS: Nanos = Nanos::from_millis(100);

/// The longest wait between two looks.
const LOOKUP_WAIT_MAX_NS: Nanos = Nanos::from_secs(10);

/// When an order is to be looked up at the venue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lookup {
    at: Nanos,
    wait: Nanos,
    /// A look is under way since then.
    asked_at: Option<Nanos>,
}

/// One order of the account.
#[derive(Clone, Debug)]
pub struct Tracked {
    told: OrderUpdate,
    /// The venue's id of before its stop was reached, where that is another; empty where there is none.
    former: VenueOrderId,
    state: OrderState,
    /// When we sent it; [`Nanos::ZERO`] for one that somebody else placed.
    sent_at: Nanos,
    /// Its price and quantity are of then or later, by our clock.
    as_of: Nanos,
    /// It was sized by value: a quantity that the venue tells of it is none of ours.
    by_value: bool,
    trades: Vec<(TradeId, Settlement)>,
    traded: Qty,
    lookup: Option<Lookup>,
}

impl Tracked {
    /// Its status; `None` while nothing was heard of it.
    pub const fn status(&self) -> Option<OrderStatus> {
        self.state.status()
    }

    /// Whether nothing more can happen to it.
    pub const fn is_final(&self) -> bool {
        self.state.is_final()
    }

    /// Whether it is a stop that has not triggered, as far as was told.
    pub fn waits(&self) -> bool {
        self.told.stop.is_some() && self.state.waits()
    }

    /// Whether this run placed it.
    pub const fn is_ours(&self) -> bool {
        self.sent_at.0 != 0
    }

    /// The order as all messages together tell it; one that nothing was heard of is
    /// [`OrderStatus::Unknown`].
    pub fn update(&self) -> OrderUpdate {
        OrderUpdate {
            status: self.state.status().unwrap_or(OrderStatus::Unknown),
            filled: self.state.filled().normalized(),
            ..self.told
        }
    }

    /// What [`update`](Tracked::update) is made of: all of it but status and filled quantity.
    pub(super) const fn told(&self) -> &OrderUpdate {
        &self.told
    }

    /// A message names the venue's id of it. `is_of_stop`: that of an order that waits, which is another
    /// than the one of what it becomes where the venue numbers that anew.
    fn note_venue_id(&mut self, venue: &VenueOrderId, is_of_stop: bool) {
        let known = self.told.venue_order_id;
        if venue.is_empty() || known == *venue || self.former == *venue {
            return;
        }
        if known.is_empty() {
            self.told.venue_order_id = *venue;
        } else if self.former.is_empty() && is_of_stop {
            self.former = *venue;
        } else if self.former.is_empty() && self.told.stop.is_some() {
            // A stop triggers once: there is no third id.
            self.former = known;
            self.told.venue_order_id = *venue;
        }
    }

    /// What has not traded of it, where its quantity is known.
    pub fn left(&self) -> Option<Qty> {
        self.told.qty?.checked_sub(self.state.filled())
    }
}

/// What came of a request to place an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// It is to be sent.
    New,
    /// An order of this id was sent before: nothing is to be sent.
    Known,
}

/// What a fill was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filled {
    /// The fill with the ids of its order.
    pub fill: Fill,
    /// The order, where it changed by it.
    pub order: Option<OrderUpdate>,
    /// What it does to what the account holds.
    pub effect: Effect,
}

/// What a message about a trade does to what the account holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The trade is told for the first time.
    Adds,
    /// It was counted before, or never will be.
    Nothing,
    /// It was counted, and has failed since.
    TakesBack,
}

/// The table.
#[derive(Debug, Default)]
pub struct Tracker {
    slots: Vec<Option<Tracked>>,
    free: Vec<usize>,
    by_client: FxHashMap<ClientOrderId, usize>,
    by_venue: FxHashMap<VenueOrderId, usize>,
    ended: VecDeque<usize>,
    /// Slots of orders that have not ended, oldest first: each new order looks at them, and must not
    /// have to pass by thousands that have.
    open: Vec<usize>,
    lookups: usize,
}

impl Tracker {
    /// An empty one.
    pub fn new() -> Tracker {
        Tracker::default()
    }

    /// How many orders have not ended, those under way included.
    pub const fn open_count(&self) -> usize {
        self.open.len()
    }

    /// The orders that have not ended.
    pub fn open(&self) -> impl Iterator<Item = &Tracked> {
        self.open
            .iter()
            .filter_map(|index| self.slots.get(*index)?.as_ref())
    }

    /// An order.
    pub fn find(&self, id: &OrderId) -> Option<&Tracked> {
        let index = match id {
            OrderId::Client(id) => self.by_client.get(id)?,
            OrderId::Venue(id) => self.by_venue.get(id)?,
        };
        self.slots.get(*index)?.as_ref()
    }

    /// An order is to be sent.
    pub fn add(&mut self, now: Nanos, request: &OrderRequest) -> Added {
        if self.by_client.contains_key(&request.client_order_id) {
            return Added::Known;
        }
        let qty = match request.size {
            Size::Base(qty) => Some(qty),
            Size::Quote(_) => None,
        };
        let zero = Qty::new(0, qty.map_or(Scale::of(0), Qty::scale));
        let told = OrderUpdate {
            instrument: request.instrument,
            client_order_id: request.client_order_id,
            venue_order_id: VenueOrderId::new(),
            side: request.side,
            order_type: request.order_type,
            time_in_force: Some(request.time_in_force),
            price: request.price,
            stop: request.stop,
            qty,
            filled: zero,
            price_mean: None,
            status: OrderStatus::Unknown,
            exch_ns: Nanos::ZERO,
        };
        let index = self.insert(told, now);
        if let Some(order) = self.slots.get_mut(index).and_then(Option::as_mut) {
            order.by_value = qty.is_none();
        }
        Added::New
    }

    /// An order that was to be sent never left.
    pub fn forget(&mut self, id: &ClientOrderId) {
        if let Some(index) = self.by_client.get(id).copied() {
            self.open.retain(|open| *open != index);
            self.remove(index);
        }
    }

    fn insert(&mut self, told: OrderUpdate, sent_at: Nanos) -> usize {
        let index = self.free.pop().unwrap_or(self.slots.len());
        if index == self.slots.len() {
            self.slots.push(None);
        }
        let zero = Qty::new(0, told.filled.scale());
        self.index(&told, index);
        self.slots[index] = Some(Tracked {
            state: OrderState::sent(told.qty, zero),
            told,
            former: VenueOrderId::new(),
            sent_at,
            as_of: sent_at,
            by_value: false,
            trades: Vec::new(),
            traded: zero,
            lookup: None,
        });
        self.open.push(index);
        index
    }

    fn index(&mut self, told: &OrderUpdate, index: usize) {
        if !told.client_order_id.is_empty() {
            self.by_client.insert(told.client_order_id, index);
        }
        if !told.venue_order_id.is_empty() {
            self.by_venue.insert(told.venue_order_id, index);
        }
    }

    fn remove(&mut self, index: usize) {
        let Some(order) = self.slots.get_mut(index).and_then(Option::take) else {
            return;
        };
        self.lookups -= usize::from(order.lookup.is_some());
        // A client id may be used again once its order has ended: the newer one keeps it.
        if self.by_client.get(&order.told.client_order_id) == Some(&index) {
            self.by_client.remove(&order.told.client_order_id);
        }
        for id in [&order.told.venue_order_id, &order.former] {
            if self.by_venue.get(id) == Some(&index) {
                self.by_venue.remove(id);
            }
        }
        self.free.push(index);
    }

    /// The slot of an order by either id; the venue's wins, since client ids may be used again. A stop has
    /// two of the venue's where the order that it becomes is numbered anew: our id tells that it is one.
    fn slot_of(&self, client: &ClientOrderId, venue: &VenueOrderId) -> Option<usize> {
        if !venue.is_empty()
            && let Some(index) = self.by_venue.get(venue)
        {
            return Some(*index);
        }
        let index = *self.by_client.get(client).filter(|_| !client.is_empty())?;
        let known = &self.slots.get(index)?.as_ref()?.told;
        let is_same = venue.is_empty() || known.venue_order_id.is_empty() || known.stop.is_some();
        is_same.then_some(index)
    }

    /// The venue tells of an order as it was at `as_of` or later: what a stream brings is of the moment,
    /// an answer of when its request left. Gives the order, where that changed it.
    pub fn report(&mut self, as_of: Nanos, said: &OrderUpdate) -> Option<OrderUpdate> {
        let index = match self.slot_of(&said.client_order_id, &said.venue_order_id) {
            Some(index) => index,
            // Placed by somebody else, or before this run.
            None => self.insert(*said, Nanos::ZERO),
        };
        let is_of_stop = said.status == OrderStatus::Untriggered;
        self.change(index, |order| {
            order.note_venue_id(&said.venue_order_id, is_of_stop);
            let told = &mut order.told;
            told.stop = told.stop.or(said.stop);
            if told.client_order_id.is_empty() {
                told.client_order_id = said.client_order_id;
            }
            // An amend changes price and quantity; an older message must not change them back. What is said
            // of an order's end is the last word, and a word from before the end is older.
            let is_newer = if said.status.is_final() {
                true
            } else {
                as_of >= order.as_of && !order.state.is_final()
            };
            if is_newer && said.filled >= order.state.filled() {
                order.as_of = order.as_of.max(as_of);
                told.price = said.price.or(told.price);
                if !order.by_value {
                    told.qty = said.qty.or(told.qty);
                    order.state.set_qty(told.qty);
                }
                told.price_mean = said.price_mean.or(told.price_mean);
            }
            told.time_in_force = said.time_in_force.or(told.time_in_force);
            told.exch_ns = told.exch_ns.max(said.exch_ns);
            order.state.report(said.status, said.filled)
        })
    }

    /// The venue has taken an order and says no more of it than its id.
    pub fn accepted(&mut self, id: &ClientOrderId, venue: &VenueOrderId) -> Option<OrderUpdate> {
        let index = *self.by_client.get(id)?;
        self.change(index, |order| {
            let is_stop = order.told.stop.is_some();
            order.note_venue_id(venue, is_stop);
            let heard = order.state.status();
            let taken = match is_stop {
                true => OrderStatus::Untriggered,
                false => OrderStatus::New,
            };
            // What was told of it in the meantime says more.
            matches!(heard, None | Some(OrderStatus::Unknown))
                && order.state.report(taken, order.state.filled())
        })
    }

    /// A trade of the account. `None` where it was told before.
    pub fn fill(&mut self, fill: &Fill) -> Option<Filled> {
        let index = match self.slot_of(&fill.client_order_id, &fill.venue_order_id) {
            Some(index) => index,
            None => self.insert(of_fill(fill), Nanos::ZERO),
        };
        let order = self.slots.get_mut(index)?.as_mut()?;
        let mut fill = *fill;
        if fill.client_order_id.is_empty() {
            fill.client_order_id = order.told.client_order_id;
        }
        if let Some((_, settlement)) = order.trades.iter_mut().find(|one| one.0 == fill.trade_id) {
            let goes_on = settlement.goes_on_to(fill.settlement);
            if goes_on {
                *settlement = fill.settlement;
            }
            let effect = match fill.settlement {
                Settlement::Failed => Effect::TakesBack,
                _ => Effect::Nothing,
            };
            return goes_on.then_some(Filled {
                fill,
                order: None,
                effect,
            });
        }
        order.trades.push((fill.trade_id, fill.settlement));
        order.traded = order.traded.checked_add(fill.qty).unwrap_or(order.traded);
        let order = self.change(index, |order| {
            order.note_venue_id(&fill.venue_order_id, false);
            order.told.exch_ns = order.told.exch_ns.max(fill.exch_ns);
            order.state.trades(order.traded)
        });
        let effect = match fill.settlement {
            // All of its life was missed.
            Settlement::Failed => Effect::Nothing,
            _ => Effect::Adds,
        };
        Some(Filled {
            fill,
            order,
            effect,
        })
    }

    /// A change of the order goes out.
    pub fn amend_sent(&mut self, id: &OrderId) {
        let index = self.index_of(id);
        if let Some(order) = index.and_then(|index| self.slots.get_mut(index)?.as_mut()) {
            order.state.amend_sent();
        }
    }

    /// A cancel of the order goes out.
    pub fn cancel_sent(&mut self, id: &OrderId) -> Option<OrderUpdate> {
        self.change(self.index_of(id)?, |order| order.state.cancel_sent())
    }

    /// The cancel was refused or never left.
    pub fn cancel_failed(&mut self, id: &OrderId) -> Option<OrderUpdate> {
        self.change(self.index_of(id)?, |order| order.state.cancel_failed())
    }

    /// The venue refused the order.
    pub fn rejected(&mut self, id: &ClientOrderId) -> Option<OrderUpdate> {
        let index = *self.by_client.get(id)?;
        self.change(index, |order| order.state.rejected())
    }

    /// No answer came to the request that placed it: nobody knows what became of it until it was looked
    /// up.
    pub fn lost(&mut self, now: Nanos, id: &ClientOrderId) -> Option<OrderUpdate> {
        let index = *self.by_client.get(id)?;
        self.look_up(now, index);
        self.change(index, |order| order.state.lost())
    }

    /// Have the order looked up, since something of it may not have been told.
    pub fn doubt(&mut self, now: Nanos, id: &OrderId) {
        if let Some(index) = self.index_of(id) {
            self.look_up(now, index);
        }
    }

    /// Have every order looked up that stands here and is not among `standing` at the venue.
    pub fn doubt_absent(&mut self, now: Nanos, standing: &[OrderUpdate]) {
        for index in 0..self.slots.len() {
            let Some(order) = self.slots[index].as_ref().filter(|order| !order.is_final()) else {
                continue;
            };
            let told = &order.told;
            let is_there = standing.iter().any(|other| {
                (!told.venue_order_id.is_empty() && other.venue_order_id == told.venue_order_id)
                    || (!told.client_order_id.is_empty()
                        && other.client_order_id == told.client_order_id)
            });
            if !is_there {
                self.look_up(now, index);
            }
        }
    }

    fn index_of(&self, id: &OrderId) -> Option<usize> {
        match id {
            OrderId::Client(id) => self.by_client.get(id).copied(),
            OrderId::Venue(id) => self.by_venue.get(id).copied(),
        }
    }

    fn look_up(&mut self, now: Nanos, index: usize) {
        let Some(order) = self.slots.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        if !order.is_final() && order.lookup.is_none() {
            order.lookup = Some(Lookup {
                at: now,
                wait: LOOKUP_FIRST_NS,
                asked_at: None,
            });
            self.lookups += 1;
        }
    }

    /// Whether some order is yet to be looked up.
    pub const fn is_in_doubt(&self) -> bool {
        self.lookups > 0
    }

    /// When [`next_lookup`](Tracker::next_lookup) has one; [`Nanos::MAX`] for never.
    pub fn lookup_deadline(&self) -> Nanos {
        if self.lookups == 0 {
            return Nanos::MAX;
        }
        let waiting = self.slots.iter().flatten().filter_map(|order| order.lookup);
        let due = waiting.filter(|lookup| lookup.asked_at.is_none());
        due.map(|lookup| lookup.at).min().unwrap_or(Nanos::MAX)
    }

    /// An order to look up now.
    pub fn next_lookup(&mut self, now: Nanos) -> Option<OrderUpdate> {
        if self.lookups == 0 {
            return None;
        }
        let order = self.slots.iter_mut().flatten().find(|order| {
            let lookup = order.lookup.as_ref();
            lookup.is_some_and(|lookup| lookup.asked_at.is_none() && lookup.at <= now)
        })?;
        if let Some(lookup) = &mut order.lookup {
            lookup.asked_at = Some(now);
        }
        Some(order.update())
    }

    /// An order was looked up and found; [`report`](Tracker::report) it, too.
    pub fn looked_up(&mut self, client: &ClientOrderId, venue: &VenueOrderId) {
        let index = self.slot_of(client, venue);
        let Some(order) = index.and_then(|index| self.slots.get_mut(index)?.as_mut()) else {
            return;
        };
        self.lookups -= usize::from(order.lookup.take().is_some());
    }

    /// The look-up failed: another follows.
    pub fn lookup_failed(&mut self, now: Nanos, client: &ClientOrderId, venue: &VenueOrderId) {
        let index = self.slot_of(client, venue);
        let order = index.and_then(|index| self.slots.get_mut(index)?.as_mut());
        if let Some(lookup) = order.and_then(|order| order.lookup.as_mut()) {
            lookup.asked_at = None;
            lookup.at = now + lookup.wait;
            lookup.wait = (lookup.wait + lookup.wait).min(LOOKUP_WAIT_MAX_NS);
        }
    }

    /// The venue does not know the order. That is the end of one that it never told of, where the
    /// question was asked later than `life_ns` after the request was made: the venue takes no request
    /// that is so old. Any other is looked up again.
    pub fn not_found(
        &mut self,
        now: Nanos,
        life_ns: Nanos,
        client: &ClientOrderId,
        venue: &VenueOrderId,
    ) -> Option<OrderUpdate> {
        let index = self.slot_of(client, venue)?;
        let order = self.slots.get(index)?.as_ref()?;
        let asked_at = order.lookup?.asked_at.unwrap_or(now);
        let never_told = matches!(order.status(), None | Some(OrderStatus::Unknown));
        if never_told && order.state.filled().is_zero() && asked_at >= order.sent_at + life_ns {
            return self.change(index, |order| order.state.rejected());
        }
        self.lookup_failed(now, client, venue);
        None
    }

    /// Applies a change; gives the order, where something changed, and keeps count of those that stand.
    fn change(
        &mut self,
        index: usize,
        change: impl FnOnce(&mut Tracked) -> bool,
    ) -> Option<OrderUpdate> {
        let order = self.slots.get_mut(index)?.as_mut()?;
        let (was_final, before) = (order.is_final(), order.update());
        let is_changed = change(order);
        let (update, former) = (order.update(), order.former);
        // An amend leaves the state as it is.
        let is_changed = is_changed
            || (update.price, update.qty, update.venue_order_id)
                != (before.price, before.qty, before.venue_order_id);
        if order.is_final() && !was_final {
            self.open.retain(|open| *open != index);
            self.lookups -= usize::from(order.lookup.take().is_some());
            self.ended.push_back(index);
        }
        self.index(&update, index);
        if !former.is_empty() {
            self.by_venue.insert(former, index);
        }
        if self.ended.len() > ENDED_MAX
            && let Some(oldest) = self.ended.pop_front()
        {
            self.remove(oldest);
        }
        is_changed.then_some(update)
    }
}

/// What a fill tells of an order that nothing else was told of.
fn of_fill(fill: &Fill) -> OrderUpdate {
    OrderUpdate {
        instrument: fill.instrument,
        client_order_id: fill.client_order_id,
        venue_order_id: fill.venue_order_id,
        side: fill.side,
        order_type: crate::order::OrderType::Limit,
        time_in_force: None,
        price: None,
        stop: None,
        qty: None,
        filled: Qty::new(0, fill.qty.scale()),
        price_mean: None,
        status: OrderStatus::Unknown,
        exch_ns: fill.exch_ns,
    }
}

#[cfg(test)]
mod tests;

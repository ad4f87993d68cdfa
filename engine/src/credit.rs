//! Order events may not be lost: each order holds room in its strategy's ring for what will be told of
//! it, from when it is accepted until it has ended. A strategy that stops reading is dead to its orders.

use rustc_hash::FxHashMap;
use tickwire_connectors::order::{ClientOrderId, OrderUpdate};
use tickwire_connectors::wide::{Asked, Refusal};
use tickwire_connectors::{Outcome, Symbol, WideBody};

use crate::control::StrategyId;

/// Wide events that an order holds room for: taken, one fill with the order's new state, a cancel under
/// way, its end. What more fills bring waits beside the ring where that is full.
pub(crate) const SLOTS_AN_ORDER: usize = 6;

/// An order that a strategy has under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) strategy: StrategyId,
    pub(crate) venue: usize,
    pub(crate) symbol: Symbol,
}

/// Whose order is whose, and what room each strategy's orders hold.
#[derive(Debug, Default)]
pub(crate) struct Credits {
    orders: FxHashMap<ClientOrderId, Held>,
    counts: Vec<usize>,
}

impl Credits {
    /// Slots that a strategy's orders hold.
    pub(crate) fn reserved(&self, strategy: StrategyId) -> usize {
        self.count(strategy) * SLOTS_AN_ORDER
    }

    /// Orders that a strategy has under way.
    pub(crate) fn count(&self, strategy: StrategyId) -> usize {
        self.counts.get(strategy.index()).copied().unwrap_or(0)
    }

    /// Whether an order is under way already.
    pub(crate) fn holds(&self, id: &ClientOrderId) -> bool {
        self.orders.contains_key(id)
    }

    /// An order was accepted from a strategy.
    pub(crate) fn take(&mut self, id: ClientOrderId, held: Held) {
        let index = held.strategy.index();
        if self.counts.len() <= index {
            self.counts.resize(index + 1, 0);
        }
        if self.orders.insert(id, held).is_none() {
            self.counts[index] += 1;
        }
    }

    /// Reads what is told of an order; gives whose room has become free.
    pub(crate) fn note(&mut self, body: &WideBody) -> Option<StrategyId> {
        let id = match body {
            WideBody::Order(OrderUpdate {
                client_order_id,
                status,
                ..
            }) if status.is_final() => client_order_id,
            // One of unknown outcome is still under way.
            WideBody::Refusal(Refusal {
                client_order_id,
                asked: Asked::Place,
                outcome: Outcome::NotSent | Outcome::Rejected,
                ..
            }) => client_order_id,
            _ => return None,
        };
        let held = self.orders.remove(id)?;
        self.counts[held.strategy.index()] -= 1;
        Some(held.strategy)
    }

    /// A strategy's orders, in an order that does not depend on chance.
    pub(crate) fn orders_of(&self, strategy: StrategyId) -> Vec<(ClientOrderId, Held)> {
        let of_it = |(_, held): &(&ClientOrderId, &Held)| held.strategy == strategy;
        let orders = self.orders.iter().filter(of_it);
        let mut orders: Vec<_> = orders.map(|(id, held)| (*id, *held)).collect();
        orders.sort_unstable_by_key(|(id, _)| *id);
        orders
    }
}

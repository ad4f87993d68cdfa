//! Orders of strategies: room for what is told of them, and what becomes of them when nobody looks.

use std::time::Duration;

use tickwire::connectors::channel::ALL_SYMBOLS;
use tickwire::connectors::order::{OrderStatus, OrderUpdate};
use tickwire::connectors::{Outcome, wide::Refusal};
use tickwire::ring::RingConfig;
use tickwire::{
    Bbo, Channel, Context, Engine, Handle, PollMode, Source, StateChange, Strategy, StrategySetup,
    Wide,
};
use tickwire_sim::Sim;

use super::venues::{ROWS, Row, Stage, until};

/// Places orders when the account is Live, and then does as it was made to.
struct Placer {
    orders: Vec<tickwire::connectors::order::OrderRequest>,
    /// Ends, or stops reading, once that many orders stand.
    then: Then,
    standing: usize,
    account_is_live: bool,
    refused: std::sync::Arc<std::sync::atomic::AtomicUsize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Stay,
    End,
    Hang,
}

impl Strategy for Placer {
    fn on_state(&mut self, _: &mut Context, change: &StateChange) {
        if change.source() == Source::Account {
            self.account_is_live = change.is_live();
        }
    }

    fn on_bbo(&mut self, context: &mut Context, bbo: &Bbo) {
        if self.account_is_live && bbo.is_live() {
            for mut order in self.orders.drain(..) {
                order.client_order_id = context.next_order_id();
                context.place(&order).expect("room in the queue");
            }
        }
    }

    fn on_order(&mut self, context: &mut Context, _: &Wide, order: &OrderUpdate) {
        self.standing += usize::from(order.status == OrderStatus::New);
        if self.standing < 2 {
            return;
        }
        match self.then {
            Then::Stay => {}
            Then::End => context.stop(),
            // Longer than a strategy may be deaf.
            Then::Hang => std::thread::park_timeout(Duration::from_secs(9)),
        }
    }

    fn on_refusal(&mut self, _: &mut Context, _: &Wide, refusal: &Refusal) {
        assert_eq!(refusal.outcome, Outcome::NotSent);
        self.refused
            .fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }
}

fn run(row: Row, sim: &Sim, placer: Placer, ring: RingConfig) -> Handle {
    let config = row.config(sim);
    Engine::builder()
        .venue(config.venue_setup().expect("a venue"))
        .trust_only(config.roots.expect("roots"))
        .strategy(
            StrategySetup::new(placer)
                .ring(ring)
                .watch(row.venue, row.market, [row.symbol], [Channel::Bbo])
                .watch(row.venue, row.market, [ALL_SYMBOLS], [Channel::User]),
        )
        .poll(PollMode::PARK)
        .spawn()
        .expect("an engine")
}

/// Orders that stand at the simulator, by its own ledger.
fn standing(row: Row, sim: &Sim) -> (usize, usize) {
    let ledger = sim.control().ledger(row.sim, "demo").expect("a ledger");
    let open = ledger
        .orders
        .iter()
        .filter(|order| matches!(order.status, "new" | "partial"));
    (open.count(), ledger.orders.len())
}

/// `count` orders far from the market, of one row.
fn scene(count: usize, then: Then) -> (Stage, Placer) {
    let stage = Stage::open(ROWS[0]);
    let orders = (0..count).map(|_| stage.limit(tickwire::Side::Bid, stage.far(90)));
    let placer = Placer {
        orders: orders.collect(),
        then,
        standing: 0,
        account_is_live: false,
        refused: std::sync::Arc::default(),
    };
    (stage, placer)
}

#[test]
fn orders_of_a_strategy_that_ended_or_hangs_are_cancelled() {
    for then in [Then::End, Then::Hang] {
        let (stage, placer) = scene(2, then);
        let engine = run(stage.row, &stage.sim, placer, RingConfig::default());
        until("orders", || standing(stage.row, &stage.sim).1 == 2);
        until("cancels", || standing(stage.row, &stage.sim) == (0, 2));
        engine.stop().expect("no panic");
    }
}

#[test]
fn an_order_without_room_for_what_is_told_of_it_does_not_leave() {
    let (stage, placer) = scene(9, Then::Stay);
    let refused = std::sync::Arc::clone(&placer.refused);
    // Room for what is told of 3 orders, 6 slots each, and something beside.
    let ring = RingConfig {
        wide_capacity: 21,
        ..RingConfig::default()
    };
    let engine = run(stage.row, &stage.sim, placer, ring);
    until("refusals", || {
        refused.load(std::sync::atomic::Ordering::SeqCst) >= 6
    });
    until("orders", || standing(stage.row, &stage.sim).0 == 3);
    engine.stop().expect("no panic");
}

//! What becomes of orders when the venue loses us: cancel on disconnect, where the venue has it.

use tickwire::connectors::order::{OrderStatus, OrderUpdate};
use tickwire::connectors::trading::{OrderId, OrderRef};
use tickwire::driver::{self, Capabilities, Driver};
use tickwire::{Side, Venue};

use super::venues::{ROWS, Row, Stage, WITHIN, touch, until};

/// The rows with and without it, as their capabilities say.
fn rows(with: bool) -> impl Iterator<Item = Row> {
    let can = |row: &Row| Capabilities::of(row.venue, row.market, row.transport);
    ROWS.into_iter()
        .filter(move |row| can(row).cancel_on_disconnect == with)
}

/// How orders stand by the simulator's own ledger, the oldest first.
fn standing(stage: &Stage) -> Vec<&'static str> {
    let control = stage.sim.control();
    let ledger = control.ledger(stage.row.sim, "demo").expect("a ledger");
    ledger.orders.iter().map(|order| order.status).collect()
}

fn place(stage: &mut Stage, percent: i64) -> (OrderRef, OrderUpdate) {
    let request = stage.limit(Side::Bid, stage.far(percent));
    let placed = stage.driver.place_order(&request, WITHIN);
    let order = OrderRef {
        symbol: request.instrument.symbol,
        id: OrderId::Client(request.client_order_id),
    };
    (order, placed.expect("an order"))
}

#[test]
fn a_link_that_is_cut_takes_its_orders_along_and_the_driver_learns_of_it() {
    let mut count = 0;
    for row in rows(true) {
        count += 1;
        let mut stage = Stage::open(row);
        let orders = [place(&mut stage, 89).0, place(&mut stage, 90).0];
        assert_eq!(standing(&stage), ["new", "new"], "{row:?}");
        stage.sim.control().cut_connections(row.sim);
        until("cancels", || standing(&stage) == ["canceled", "canceled"]);
        stage.until("the account back", |stage| stage.driver.is_connected());
        for order in orders {
            stage.until("a cancelled order", |stage| {
                let order = stage.driver.order(&order, WITHIN);
                order.is_ok_and(|order| order.status == OrderStatus::Canceled)
            });
        }
        // It is armed again on the new link.
        place(&mut stage, 90);
        stage.sim.control().cut_connections(row.sim);
        until("the last cancel", || standing(&stage)[2..] == ["canceled"]);
    }
    assert!(count > 0, "no venue has it");
}

#[test]
fn orders_stay_where_they_are_where_that_was_asked_for() {
    for row in rows(true) {
        let sim = row.simulator();
        let config = row.config(&sim).leaving_orders();
        let mut driver = driver::open(config).expect("a driver");
        assert!(!driver.capabilities().cancel_on_disconnect);
        driver.connect(WITHIN).expect("connected");
        let touch = touch(&mut driver, row.symbol);
        let mut stage = Stage {
            row,
            sim,
            driver,
            touch,
        };
        place(&mut stage, 90);
        stage.sim.control().cut_connections(row.sim);
        stage.until("the link gone", |stage| !stage.driver.is_connected());
        stage.until("the account back", |stage| stage.driver.is_connected());
        assert_eq!(standing(&stage), ["new"], "{row:?}");
    }
}

#[test]
fn who_does_not_have_it_leaves_orders_standing() {
    let row = rows(false).next().expect("a row without");
    let mut stage = Stage::open(row);
    place(&mut stage, 90);
    stage.sim.control().cut_connections(row.sim);
    stage.until("the link gone", |stage| !stage.driver.is_connected());
    stage.until("the account back", |stage| stage.driver.is_connected());
    assert_eq!(standing(&stage), ["new"]);
}

/// Bybit grants it to institutions alone, and waits for a link to come back.
#[test]
fn what_has_to_be_granted_is_armed_where_that_was_asked_for() {
    const SECONDS: u16 = 3;
    for row in ROWS.into_iter().filter(|row| row.venue == Venue::Bybit) {
        let sim = row.simulator();
        let config = row.config(&sim).cancelling_after(SECONDS);
        let mut driver = driver::open(config).expect("a driver");
        assert!(driver.capabilities().cancel_on_disconnect);
        driver.connect(WITHIN).expect("connected");
        let touch = touch(&mut driver, row.symbol);
        let mut stage = Stage {
            row,
            sim,
            driver,
            touch,
        };
        place(&mut stage, 90);
        // Back before its time is over: nothing happens.
        stage.sim.control().cut_connections(row.sim);
        stage.until("the link gone", |stage| !stage.driver.is_connected());
        stage.until("the account back", |stage| stage.driver.is_connected());
        assert_eq!(standing(&stage), ["new"], "{row:?}");
        stage.driver.disconnect();
        until("a cancel", || standing(&stage) == ["canceled"]);
    }
}

//! What the driver says of the account is what the simulator's own ledger says, to the last digit, also
//! when answers and events are lost, come twice or in the wrong order.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use tickwire::connectors::order::{ClientOrderId, OrderStatus, OrderUpdate, TimeInForce};
use tickwire::connectors::trading::{OrderId, OrderRef};
use tickwire::connectors::wide::WideBody;
use tickwire::driver::Driver;
use tickwire::{Amount, Clock, Nanos, Side, Venue};
use tickwire_sim::Fault;

use super::venues::{ROWS, Row, Stage, WITHIN};

/// What was told of the account, and nothing else.
#[derive(Default)]
struct Books {
    orders: HashMap<ClientOrderId, OrderUpdate>,
    /// Our order's id, price, quantity: how trades are numbered is each venue's own.
    fills: Vec<(String, Amount, Amount)>,
    balances: HashMap<String, (Amount, Amount)>,
}

fn listen(stage: &mut Stage) -> Rc<RefCell<Books>> {
    let books = Rc::new(RefCell::new(Books::default()));
    let notes = Rc::clone(&books);
    stage.driver.on_account(Box::new(move |body| {
        let mut books = notes.borrow_mut();
        match body {
            WideBody::Order(order) => {
                if let Some(before) = books.orders.insert(order.client_order_id, *order) {
                    assert!(!before.status.is_final() || before.status == order.status);
                    assert!(order.filled >= before.filled, "{before:?} {order:?}");
                }
            }
            WideBody::Fill(fill) => {
                let fill = (
                    fill.client_order_id.to_string(),
                    amount(&fill.price.to_string()),
                    amount(&fill.qty.to_string()),
                );
                books.fills.push(fill);
            }
            WideBody::Balance(one) => {
                let held = (one.total, one.available);
                books.balances.insert(one.currency.to_string(), held);
            }
            _ => {}
        }
    }));
    books
}

fn amount(text: &str) -> Amount {
    text.parse().expect("an amount")
}

/// Orders, fills and balances are the ledger's.
fn matches(stage: &Stage, books: &Books) -> Result<(), String> {
    let ledger = stage
        .sim
        .control()
        .ledger(stage.row.sim, "demo")
        .expect("a ledger");
    for order in &ledger.orders {
        let id = ClientOrderId::from(&order.client_id).expect("ours");
        let told = books
            .orders
            .get(&id)
            .ok_or(format!("{id} was never told"))?;
        let status = match order.status {
            "waiting" | "new" => OrderStatus::New,
            "partial" => OrderStatus::PartiallyFilled,
            "filled" => OrderStatus::Filled,
            "canceled" => OrderStatus::Canceled,
            "expired" => OrderStatus::Expired,
            _ => OrderStatus::Rejected,
        };
        let filled = amount(&told.filled.to_string());
        if told.status != status || filled != amount(&order.filled) {
            return Err(format!("{told:?} is {order:?}"));
        }
    }
    let client_id = |order: u64| {
        let mut orders = ledger.orders.iter();
        let found = orders.find(|one| one.id == order);
        found.map_or(String::new(), |one| one.client_id.clone())
    };
    let real = ledger.fills.iter().map(|fill| {
        let (price, qty) = (amount(&fill.price), amount(&fill.qty));
        (client_id(fill.order_id), price, qty)
    });
    let (mut real, mut told): (Vec<_>, _) = (real.collect(), books.fills.clone());
    real.sort();
    told.sort();
    if told != real {
        return Err(format!("{} fills of {}", told.len(), real.len()));
    }
    for balance in &ledger.balances {
        let (free, locked) = (amount(&balance.free), amount(&balance.locked));
        let total = free.checked_add(locked).expect("small");
        // Deribit says what margins have left; the streams of the others do not.
        let free = match stage.row.venue {
            Venue::Deribit => amount(&balance.available),
            _ => free,
        };
        let held = books
            .balances
            .get(&balance.asset)
            .copied()
            .unwrap_or_default();
        if held != (total, free) {
            return Err(format!("{held:?} is {balance:?}"));
        }
    }
    Ok(())
}

/// Trades back and forth: orders that fill, rest, are cancelled.
fn trade(stage: &mut Stage, rounds: usize) {
    for round in 0..rounds {
        let side = if round % 2 == 0 { Side::Bid } else { Side::Ask };
        let mut taker = stage.limit(side, stage.crossing(side));
        taker.time_in_force = TimeInForce::Ioc;
        let far = if side == Side::Bid {
            stage.far(90)
        } else {
            stage.far(110)
        };
        let maker = stage.limit(side, far);
        for request in [taker, maker] {
            // One of unknown outcome is told of later, and that is what is compared.
            let _ = stage.driver.place_order(&request, WITHIN);
        }
        if round % 3 == 0 {
            let _ = stage.driver.cancel_all(Some(stage.row.symbol), WITHIN);
        }
    }
}

fn settle(stage: &mut Stage, books: &Rc<RefCell<Books>>) {
    let mut last = Ok(());
    let row = stage.row;
    let clock = Clock::start();
    let end = clock.now() + Nanos::from_secs(20);
    while clock.now() < end {
        stage.driver.poll();
        last = matches(stage, &books.borrow());
        if last.is_ok() {
            return;
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
    panic!("{row:?}: {last:?}");
}

#[test]
fn orders_fills_and_balances_are_the_ledgers() {
    for row in ROWS {
        let mut stage = Stage::open(row);
        stage.driver.disconnect();
        let books = listen(&mut stage);
        stage.driver.connect(WITHIN).expect("connected");
        trade(&mut stage, 12);
        settle(&mut stage, &books);
    }
}

#[test]
fn they_are_also_after_the_connection_was_cut_in_the_middle() {
    for row in ROWS {
        let mut stage = Stage::open(row);
        stage.driver.disconnect();
        let books = listen(&mut stage);
        stage.driver.connect(WITHIN).expect("connected");
        trade(&mut stage, 4);
        stage.sim.control().cut_connections(row.sim);
        trade(&mut stage, 2);
        stage.until("the account back", |stage| stage.driver.is_connected());
        trade(&mut stage, 4);
        settle(&mut stage, &books);
    }
}

/// Each fault of the simulator's that concerns orders, one after another, in the middle of trading.
#[test]
fn they_are_also_when_answers_and_events_are_lost_late_or_doubled() {
    // Most of it is waiting for answers that do not come.
    for rows in ROWS.chunks(7) {
        std::thread::scope(|scope| {
            for row in rows {
                scope.spawn(|| faults_at(*row));
            }
        });
    }
}

fn faults_at(row: Row) {
    let mut stage = Stage::open(row);
    stage.driver.disconnect();
    let books = listen(&mut stage);
    stage.driver.connect(WITHIN).expect("connected");
    let ms = 1_000_000;
    let faults = [
        Fault::AckLost { times: 1 },
        Fault::FillFirst {
            by_ns: 50 * ms,
            times: 2,
        },
        Fault::DuplicateFill { times: 3 },
        Fault::CancelRace { times: 1 },
        Fault::AcceptedError {
            status: 503,
            times: 1,
        },
        Fault::SlowAck {
            for_ns: 6_000 * ms,
            times: 1,
        },
        Fault::CutPrivate,
    ];
    for fault in faults {
        stage.sim.control().inject(row.sim, fault);
        trade(&mut stage, 2);
        let rest = stage.limit(Side::Bid, stage.far(90));
        let placed = stage.driver.place_order(&rest, WITHIN);
        if placed.is_ok() {
            let order = OrderRef {
                symbol: rest.instrument.symbol,
                id: OrderId::Client(rest.client_order_id),
            };
            let _ = stage.driver.cancel_order(&order, WITHIN);
        }
    }
    stage.until("the account back", |stage| stage.driver.is_connected());
    settle(&mut stage, &books);
    let unresolved = books
        .borrow()
        .orders
        .values()
        .filter(|order| order.status == OrderStatus::Unknown)
        .count();
    assert_eq!(unresolved, 0, "{row:?}");
}

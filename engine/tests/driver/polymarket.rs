//! Polymarket through the driver: what it has without a chain, with a wallet in the place of one. Its
//! prices, sizes and ids are too unlike the others' for the same test bodies.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use sha2::Digest;
use tickwire::connectors::order::{
    ClientOrderId, Fill, OrderRequest, OrderStatus, OrderType, OrderUpdate, Settlement, Size, Stop,
    TimeInForce, TriggerBy, VenueOrderId,
};
use tickwire::connectors::polymarket::{SignedOrder, UnsignedOrder, Wallet};
use tickwire::connectors::trading::{AmendRequest, OrderId, OrderRef};
use tickwire::connectors::wide::WideBody;
use tickwire::connectors::{Credentials, InstrumentKey, Outcome};
use tickwire::driver::{self, Driver, DriverConfig, EngineDriver};
use tickwire::{
    CertificateDer, Channel, Clock, Context, Engine, ErrorKind, Market, Nanos, PollMode,
    PolymarketConfig, Price, Qty, Side, StateChange, Strategy, StrategySetup, Symbol, Venue, Wide,
};
use tickwire_sim::{AccountSpec, Command, Fault, Ledger, Sim, SimVenue, VenueSpec};

use super::venues::{WITHIN, touch, until};

const VENUE: SimVenue = SimVenue::Polymarket;

/// Signs as the simulator checks: not at all. Its order ids are a hash of the same text as there.
#[derive(Debug, Default)]
struct TestWallet(AtomicU64);

impl Wallet for TestWallet {
    fn sign(&self, order: &UnsignedOrder) -> SignedOrder {
        let side = match order.side {
            Side::Bid => "BUY",
            Side::Ask => "SELL",
        };
        let json = format!(
            r#"{{"salt":{},"maker":"0x0","signer":"0x0","tokenId":"{}","makerAmount":"{}","takerAmount":"{}","side":"{side}","expiration":"{}","signatureType":0,"timestamp":"{}","metadata":"0x0","builder":"0x0","signature":"0xthe-signature"}}"#,
            self.0.fetch_add(1, Ordering::Relaxed),
            order.token,
            order.maker_amount,
            order.taker_amount,
            order.expiration_s,
            order.timestamp_ms,
        );
        let hash = sha2::Sha256::digest(json.as_bytes());
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let id = VenueOrderId::from(&format!("0x{hash}")).expect("66 characters");
        SignedOrder { json, id }
    }
}

/// What was told of the account.
#[derive(Default)]
struct Told {
    orders: HashMap<ClientOrderId, OrderUpdate>,
    fills: Vec<Fill>,
}

struct Stage {
    sim: Sim,
    driver: EngineDriver,
    token: Symbol,
    told: Rc<RefCell<Told>>,
    /// The last best bid and ask.
    touch: (Price, Price),
}

fn config(sim: &Sim) -> DriverConfig {
    let keys = Credentials::hmac(AccountSpec::DEMO_KEY, AccountSpec::DEMO_BASE64_SECRET)
        .with_passphrase(AccountSpec::DEMO_SECRET)
        .with_address("0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266");
    DriverConfig::mainnet(Venue::Polymarket, Market::Prediction)
        .at((sim.ws_url(VENUE), sim.rest_url(VENUE)))
        .with_credentials(keys)
        .trust_only(vec![CertificateDer::from(sim.ca_der().to_vec())])
}

impl Stage {
    fn open() -> Stage {
        let spec = VenueSpec::of(VENUE).instruments(1).demo_account();
        let sim = Sim::builder()
            .seed(11)
            .venue(spec)
            .start()
            .expect("a simulator");
        let wallet = Arc::new(TestWallet::default());
        let mut driver = driver::open(config(&sim).with_wallet(wallet)).expect("a driver");
        let told = Rc::new(RefCell::new(Told::default()));
        let notes = Rc::clone(&told);
        driver.on_account(Box::new(move |body| match body {
            WideBody::Order(order) => {
                let mut told = notes.borrow_mut();
                if let Some(before) = told.orders.insert(order.client_order_id, *order) {
                    assert!(!before.status.is_final() || before.status == order.status);
                    assert!(order.filled >= before.filled, "{before:?} {order:?}");
                }
            }
            WideBody::Fill(fill) => notes.borrow_mut().fills.push(*fill),
            _ => {}
        }));
        driver.connect(WITHIN).expect("connected");
        let token = sim.truth().symbols(VENUE).remove(0);
        let touch = touch(&mut driver, &token);
        Stage {
            token: Symbol::from(&token).expect("a token"),
            sim,
            driver,
            told,
            touch,
        }
    }

    fn limit(&self, side: Side, price: &str) -> OrderRequest {
        self.order(side, Price::parse(price.as_bytes()).expect("a price"))
    }

    fn order(&self, side: Side, price: Price) -> OrderRequest {
        OrderRequest {
            instrument: InstrumentKey {
                venue: Venue::Polymarket,
                market: Market::Prediction,
                symbol: self.token,
            },
            side,
            order_type: OrderType::Limit,
            size: Size::Base(Qty::parse(b"10").expect("a quantity")),
            price: Some(price),
            stop: None,
            time_in_force: TimeInForce::Gtc,
            reduce_only: false,
            client_order_id: self.driver.next_order_id(),
        }
    }

    /// One that trades at once, with room for the market to move.
    fn taker(&self) -> OrderRequest {
        let step = Price::parse(b"0.05").expect("a price");
        self.order(Side::Bid, self.touch.1.checked_add(step).expect("small"))
    }

    fn by_client(&self, id: ClientOrderId) -> OrderRef {
        OrderRef {
            symbol: self.token,
            id: OrderId::Client(id),
        }
    }

    fn ledger(&self) -> Ledger {
        self.sim.control().ledger(VENUE, "demo").expect("a ledger")
    }

    fn until(&mut self, what: &str, mut done: impl FnMut(&mut Stage) -> bool) {
        until(what, || {
            self.driver.poll();
            done(self)
        });
    }

    /// The orders that were not refused are the simulator's own.
    fn settle(&mut self) {
        self.until("agreement with the ledger", |stage| {
            let ledger = stage.ledger();
            let told = stage.told.borrow();
            let taken = told.orders.values();
            let taken = taken.filter(|order| order.status != OrderStatus::Rejected);
            let taken: Vec<&OrderUpdate> = taken.collect();
            let is_told = |id: &str, status: &str, filled: &str| {
                let mut taken = taken.iter();
                let order = taken.find(|order| order.venue_order_id.as_str() == id);
                let status = match status {
                    "new" => OrderStatus::New,
                    "partial" => OrderStatus::PartiallyFilled,
                    "filled" => OrderStatus::Filled,
                    _ => OrderStatus::Canceled,
                };
                order.is_some_and(|order| {
                    order.status == status && order.filled.plain().as_str() == filled
                })
            };
            let mut orders = ledger.orders.iter();
            taken.len() == ledger.orders.len()
                && orders.all(|order| is_told(&order.client_id, order.status, &order.filled))
        });
    }
}

#[test]
fn the_venue_is_asked_what_it_knows() {
    let mut stage = Stage::open();
    let token = stage.token;
    let ledger = stage.ledger();
    let driver = &mut stage.driver;
    let capabilities = driver.capabilities();
    assert!(capabilities.orders && capabilities.cancel_on_disconnect);
    assert!(!capabilities.websocket_orders && !capabilities.positions);
    // Whole seconds, there.
    let report = driver.sync_time(WITHIN).expect("a time");
    assert!(driver.server_time(WITHIN).expect("a time") >= report.server_ns);
    let info = driver.exchange_info(Some(&token), WITHIN).expect("a token");
    assert!(info[0].from_venue && info[0].tick_size.is_some() && info[0].qty_min.is_some());
    let balances = driver.balances(WITHIN).expect("balances");
    let held: Vec<String> = balances
        .iter()
        .map(|one| format!("{} {}", one.currency, one.total.plain()))
        .collect();
    assert_eq!(held, [format!("pUSD {}", ledger.balance("pUSD").0)]);
    let refusals = [
        driver.exchange_info(None, WITHIN).map(drop),
        driver.positions(WITHIN).map(drop),
    ];
    for refused in refusals {
        assert_eq!(refused.expect_err("none").kind, ErrorKind::NotSupported);
    }
    // A stream's refusal says why, each time it is asked for.
    for _ in 0..50 {
        let refused = driver.ticker(&token, WITHIN).expect_err("no tickers");
        assert_eq!(refused.kind, ErrorKind::NotSupported, "{refused}");
    }
}

#[test]
fn an_order_is_signed_placed_seen_and_cancelled() {
    let mut stage = Stage::open();
    let request = stage.limit(Side::Bid, "0.1");
    let placed = stage
        .driver
        .place_order(&request, WITHIN)
        .expect("an order");
    assert_eq!((placed.status, placed.side), (OrderStatus::New, Side::Bid));
    assert_eq!(placed.client_order_id, request.client_order_id);
    assert_eq!(placed.venue_order_id.len(), 66);
    let order = stage.by_client(request.client_order_id);
    let by_venue = OrderRef {
        id: OrderId::Venue(placed.venue_order_id),
        ..order
    };
    for order in [order, by_venue] {
        let seen = stage.driver.order(&order, WITHIN).expect("the order");
        assert_eq!((seen.status, seen.price), (OrderStatus::New, request.price));
        assert_eq!(seen.client_order_id, request.client_order_id);
    }
    let token = stage.token;
    for symbol in [None, Some(token.as_str())] {
        let open = stage.driver.open_orders(symbol, WITHIN).expect("orders");
        assert_eq!(open.len(), 1);
        assert_eq!(open[0].venue_order_id, placed.venue_order_id);
    }
    // Sent again with the same key: the same order.
    let again = stage
        .driver
        .place_order(&request, WITHIN)
        .expect("the order");
    assert_eq!(again.venue_order_id, placed.venue_order_id);
    assert_eq!(stage.ledger().orders.len(), 1);
    stage.driver.cancel_order(&order, WITHIN).expect("a cancel");
    stage.until("a cancelled order", |stage| {
        let seen = stage.driver.order(&order, WITHIN);
        seen.is_ok_and(|seen| seen.status == OrderStatus::Canceled)
    });
    let twice = stage
        .driver
        .cancel_order(&order, WITHIN)
        .expect_err("ended");
    assert_eq!(twice.kind, ErrorKind::OrderNotFound, "{twice}");
    for price in ["0.1", "0.11", "0.12"] {
        let request = stage.limit(Side::Bid, price);
        stage
            .driver
            .place_order(&request, WITHIN)
            .expect("an order");
    }
    let mut dated = stage.limit(Side::Bid, "0.13");
    let now = stage.driver.server_time(WITHIN).expect("a time");
    let expires_ns = now + Nanos::from_secs(1_000);
    dated.time_in_force = TimeInForce::Gtd { expires_ns };
    stage.driver.place_order(&dated, WITHIN).expect("an order");
    let seen = stage.by_client(dated.client_order_id);
    let seen = stage.driver.order(&seen, WITHIN).expect("the order");
    assert_eq!(seen.time_in_force, Some(dated.time_in_force));
    stage.driver.cancel_all(None, WITHIN).expect("a cancel");
    stage.settle();
    assert!(
        stage
            .ledger()
            .orders
            .iter()
            .all(|order| order.status == "canceled")
    );
}

#[test]
fn what_the_venue_has_not_and_what_it_refuses_says_why() {
    let mut stage = Stage::open();
    let with = |request: OrderRequest, change: &dyn Fn(&mut OrderRequest)| {
        let mut request = request;
        change(&mut request);
        request
    };
    let far = || stage.limit(Side::Bid, "0.1");
    let table = [
        (
            with(far(), &|r| {
                (r.order_type, r.price) = (OrderType::Market, None)
            }),
            ErrorKind::NotSupported,
            "limit orders alone",
        ),
        (
            with(far(), &|r| r.reduce_only = true),
            ErrorKind::NotSupported,
            "reduce-only",
        ),
        (
            with(far(), &|r| {
                let (price, by) = (stage.touch.0, TriggerBy::Last);
                r.stop = Some(Stop { price, by });
            }),
            ErrorKind::NotSupported,
            "stop orders",
        ),
        (
            stage.limit(Side::Bid, "0.10001"),
            ErrorKind::Precision,
            "tick size",
        ),
        (
            with(far(), &|r| {
                r.size = Size::Base(Qty::parse(b"0.001").expect("a quantity"))
            }),
            ErrorKind::Precision,
            "smallest quantity",
        ),
        (
            with(far(), &|r| r.time_in_force = TimeInForce::Fok),
            ErrorKind::OrderRejected,
            "fully filled",
        ),
        (
            with(far(), &|r| r.time_in_force = TimeInForce::Ioc),
            ErrorKind::OrderRejected,
            "no orders found",
        ),
        (
            with(stage.taker(), &|r| r.order_type = OrderType::LimitMaker),
            ErrorKind::OrderRejected,
            "crosses book",
        ),
        (
            stage.limit(Side::Ask, "0.9"),
            ErrorKind::InsufficientFunds,
            "not enough balance",
        ),
    ];
    for (number, (mut request, kind, words)) in table.into_iter().enumerate() {
        request.client_order_id = stage.driver.next_order_id();
        let refused = stage
            .driver
            .place_order(&request, WITHIN)
            .expect_err("refused");
        assert_eq!(refused.kind, kind, "{number}: {refused}");
        assert!(refused.text.contains(words), "{number}: {refused}");
        assert_ne!(refused.outcome, Outcome::Unknown);
    }
    let request = stage.limit(Side::Bid, "0.1");
    stage
        .driver
        .place_order(&request, WITHIN)
        .expect("an order");
    let amend = AmendRequest {
        order: stage.by_client(request.client_order_id),
        price: None,
        qty: Some(Qty::parse(b"5").expect("a quantity")),
    };
    let refused = stage.driver.amend_order(&amend, WITHIN).expect_err("none");
    assert_eq!(refused.kind, ErrorKind::NotSupported);
    let nobodys = stage.by_client(stage.driver.next_order_id());
    let unknown = stage.driver.order(&nobodys, WITHIN).expect_err("none");
    assert_eq!(unknown.kind, ErrorKind::NotSupported, "{unknown}");
    let elsewhere = OrderRef {
        id: OrderId::Venue(VenueOrderId::from("0x12").expect("short")),
        ..nobodys
    };
    let unknown = stage.driver.order(&elsewhere, WITHIN).expect_err("none");
    assert_eq!(unknown.kind, ErrorKind::OrderNotFound, "{unknown}");
}

/// A trade is told once a step of its settlement, and counts once; one that fails is taken back.
#[test]
fn a_list_of_several_pages_is_whole() {
    let mut stage = Stage::open();
    let mut ids: Vec<ClientOrderId> = (0..60)
        .map(|nth| {
            let mut request = stage.limit(Side::Bid, "0.01");
            request.size = Size::Base(Qty::new(500 + nth, tickwire::Scale::of(0)));
            let placed = stage.driver.place_order(&request, WITHIN);
            placed.expect("an order").client_order_id
        })
        .collect();
    ids.sort_unstable();
    let open = stage.driver.open_orders(None, WITHIN).expect("orders");
    let mut open: Vec<_> = open.iter().map(|order| order.client_order_id).collect();
    open.sort_unstable();
    assert_eq!(open, ids);
}

#[test]
fn a_fill_settles_on_the_chain_or_is_taken_back() {
    use Settlement::{Failed, Final, Matched, Mined, Retrying};
    use tickwire_sim::Settlement as How;
    let table: [(How, &[Settlement]); 3] = [
        (How::Confirmed, &[Matched, Mined, Final]),
        (How::Retried, &[Matched, Retrying, Mined, Final]),
        (How::Failed, &[Matched, Retrying, Failed]),
    ];
    for (how, life) in table {
        let mut stage = Stage::open();
        let step_ns = 100_000_000;
        stage
            .sim
            .control()
            .apply(VENUE, Command::Settle { how, step_ns });
        let before = stage.driver.balances(WITHIN).expect("balances");
        let request = stage.taker();
        stage
            .driver
            .place_order(&request, WITHIN)
            .expect("an order");
        stage.until("the end of every trade", |stage| {
            let told = stage.told.borrow();
            let count = |settlement| {
                told.fills
                    .iter()
                    .filter(|f| f.settlement == settlement)
                    .count()
            };
            let ended = count(life[life.len() - 1]);
            ended > 0 && ended == count(Matched)
        });
        let mut lives: HashMap<_, (Vec<Settlement>, Qty)> = HashMap::new();
        for fill in &stage.told.borrow().fills {
            assert_eq!(fill.client_order_id, request.client_order_id);
            let entry = lives.entry(fill.trade_id).or_insert((Vec::new(), fill.qty));
            entry.0.push(fill.settlement);
        }
        let mut sum = Qty::new(0, tickwire::Scale::of(0));
        for (told, qty) in lives.values() {
            assert_eq!(told, life);
            sum = sum.checked_add(*qty).expect("small");
        }
        assert_eq!(Size::Base(sum), request.size);
        // Matched is matched, also where it failed on the chain: the order stands no more.
        stage.settle();
        let after = stage.driver.balances(WITHIN).expect("balances");
        assert_eq!(after == before, how == How::Failed, "{before:?} {after:?}");
        let real = stage.ledger().balance("pUSD").0.to_owned();
        assert_eq!(after[0].total.plain().as_str(), real);
    }
}

#[test]
fn without_a_wallet_orders_are_seen_and_cancelled_and_none_is_placed() {
    let mut stage = Stage::open();
    let request = stage.limit(Side::Bid, "0.1");
    let placed = stage
        .driver
        .place_order(&request, WITHIN)
        .expect("an order");
    let mut other = driver::open(config(&stage.sim)).expect("a driver");
    other.connect(WITHIN).expect("connected");
    assert!(!other.capabilities().orders);
    let refused = other.place_order(&request, WITHIN).expect_err("no wallet");
    assert_eq!(
        (refused.kind, refused.outcome),
        (ErrorKind::NotSupported, Outcome::NotSent)
    );
    assert!(
        refused.text.contains("signed by the account's wallet"),
        "{refused}"
    );
    let open = other.open_orders(None, WITHIN).expect("orders");
    assert_eq!(open.len(), 1);
    assert!(open[0].client_order_id.is_empty(), "another's order");
    let order = OrderRef {
        symbol: stage.token,
        id: OrderId::Venue(placed.venue_order_id),
    };
    other.cancel_order(&order, WITHIN).expect("a cancel");
    stage.settle();
    assert_eq!(stage.ledger().orders[0].status, "canceled");
}

/// Each fault of the simulator's that concerns orders, one after another, in the middle of trading.
#[test]
fn orders_are_the_ledgers_when_answers_and_events_are_lost_late_or_doubled() {
    let mut stage = Stage::open();
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
            status: 500,
            times: 1,
        },
        Fault::CutPrivate,
    ];
    for fault in faults {
        stage.sim.control().inject(VENUE, fault);
        for _ in 0..2 {
            // One of unknown outcome is told of later, and that is what is compared.
            let taker = stage.taker();
            let _ = stage.driver.place_order(&taker, WITHIN);
            let rest = stage.limit(Side::Bid, "0.1");
            if stage.driver.place_order(&rest, WITHIN).is_ok() {
                let order = stage.by_client(rest.client_order_id);
                let _ = stage.driver.cancel_order(&order, WITHIN);
            }
        }
    }
    stage.until("the account back", |stage| stage.driver.is_connected());
    stage.settle();
    let told = stage.told.borrow();
    let mut matched: Vec<_> = told
        .fills
        .iter()
        .map(|fill| (fill.trade_id, fill.settlement as u8))
        .collect();
    let count = matched.len();
    matched.sort_unstable();
    matched.dedup();
    assert_eq!(matched.len(), count, "each step of each trade once");
}

/// Everything that a full run prints.
pub(super) fn print_a_run(printed: &mut String) {
    let mut stage = Stage::open();
    let config = config(&stage.sim).with_wallet(Arc::new(TestWallet::default()));
    let _ = writeln!(printed, "{config:?} {:?}", config.credentials);
    for request in [stage.limit(Side::Bid, "0.1"), stage.limit(Side::Ask, "0.9")] {
        let placed = stage.driver.place_order(&request, WITHIN);
        let _ = writeln!(printed, "{placed:?}");
    }
    stage.sim.control().cut_connections(VENUE);
    stage.until("the account back", |stage| stage.driver.is_connected());
    let handle = stage.driver.handle().expect("open");
    let _ = writeln!(
        printed,
        "{handle:?} {:?} {:?}",
        handle.links(),
        handle.hosts()
    );
    while let Some(notice) = handle.next_notice() {
        let _ = writeln!(printed, "{notice:?}");
    }
    stage.driver.close();
}

#[test]
fn wrong_keys_say_what_may_be_wrong() {
    let stage = Stage::open();
    let wrong = Credentials::hmac(AccountSpec::DEMO_KEY, AccountSpec::DEMO_BASE64_SECRET)
        .with_passphrase("another")
        .with_address("0x0");
    let mut driver = driver::open(config(&stage.sim).with_credentials(wrong)).expect("a driver");
    let refused = driver.connect(Duration::from_secs(3)).expect_err("wrong");
    assert_eq!(refused.kind, ErrorKind::Authentication, "{refused}");
    assert!(refused.text.contains("may be wrong"), "{refused}");
}

/// The driver's heartbeats were armed by nobody but itself.
#[test]
fn orders_end_when_the_driver_is_gone() {
    let mut stage = Stage::open();
    let request = stage.limit(Side::Bid, "0.1");
    stage
        .driver
        .place_order(&request, WITHIN)
        .expect("an order");
    assert_eq!(stage.ledger().orders[0].status, "new");
    stage.driver.close();
    // The simulator waits 15 s for the next; a machine that does ten other things longer.
    let clock = Clock::start();
    let end = clock.now() + Nanos::from_secs(60);
    while stage.ledger().orders[0].status != "canceled" {
        assert!(clock.now() < end, "the order stands");
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

/// What the user channel tells a strategy, where nobody trades by the same engine.
struct Listener(mpsc::Sender<Heard>);

enum Heard {
    Live,
    Order(OrderUpdate),
    Fill(Fill),
}

impl Strategy for Listener {
    fn on_state(&mut self, _: &mut Context, change: &StateChange) {
        if change.is_live() {
            let _ = self.0.send(Heard::Live);
        }
    }

    fn on_order(&mut self, _: &mut Context, _: &Wide, order: &OrderUpdate) {
        let _ = self.0.send(Heard::Order(*order));
    }

    fn on_fill(&mut self, _: &mut Context, _: &Wide, fill: &Fill) {
        let _ = self.0.send(Heard::Fill(*fill));
    }
}

/// With keys alone, without an account to trade with, a strategy hears of orders placed elsewhere, and of
/// each step of their trades.
#[test]
fn a_strategy_hears_the_life_of_orders_and_trades_placed_elsewhere() {
    let mut stage = Stage::open();
    let (how, step_ns) = (tickwire_sim::Settlement::Failed, 50_000_000);
    let settle = Command::Settle { how, step_ns };
    stage.sim.control().apply(VENUE, settle);
    let there = (stage.sim.ws_url(VENUE), stage.sim.rest_url(VENUE));
    let config = PolymarketConfig {
        credentials: config(&stage.sim).credentials,
        ..PolymarketConfig::new().at(there)
    };
    let (sender, heard) = mpsc::channel();
    let engine = Engine::builder()
        .poll(PollMode::PARK)
        .trust_only(vec![CertificateDer::from(stage.sim.ca_der().to_vec())])
        .venue(config)
        .strategy(StrategySetup::new(Listener(sender)).watch(
            Venue::Polymarket,
            Market::Prediction,
            ["*"],
            [Channel::User],
        ))
        .spawn()
        .expect("an engine");
    assert!(matches!(heard.recv_timeout(WITHIN), Ok(Heard::Live)));

    let rest = stage.limit(Side::Bid, "0.1");
    stage.driver.place_order(&rest, WITHIN).expect("an order");
    stage.driver.cancel_all(None, WITHIN).expect("a cancel");
    let taker = stage.taker();
    let taken = stage.driver.place_order(&taker, WITHIN).expect("an order");
    let mut orders: HashMap<VenueOrderId, Vec<OrderStatus>> = HashMap::new();
    let mut trades: HashMap<_, Vec<Settlement>> = HashMap::new();
    let life = [
        Settlement::Matched,
        Settlement::Retrying,
        Settlement::Failed,
    ];
    until("the end of every trade", || {
        for one in heard.try_iter() {
            match one {
                Heard::Order(order) => {
                    let told = orders.entry(order.venue_order_id).or_default();
                    told.push(order.status);
                }
                Heard::Fill(fill) => {
                    assert_eq!(fill.venue_order_id, taken.venue_order_id);
                    let told = trades.entry(fill.trade_id).or_default();
                    told.push(fill.settlement);
                }
                Heard::Live => {}
            }
        }
        let is_filled = orders
            .get(&taken.venue_order_id)
            .is_some_and(|told| told.last() == Some(&OrderStatus::Filled));
        let is_over = trades.values().all(|told| told.len() == life.len());
        is_filled && is_over && !trades.is_empty()
    });
    assert!(trades.values().all(|told| *told == life), "{trades:?}");
    let lives: Vec<&Vec<OrderStatus>> = orders.values().collect();
    let canceled = vec![OrderStatus::New, OrderStatus::Canceled];
    assert!(lives.len() == 2 && lives.contains(&&canceled), "{orders:?}");
    engine.stop().expect("no panic");
}

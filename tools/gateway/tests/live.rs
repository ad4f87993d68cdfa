//! Live sessions against the simulator's matching engine: what a person approves reaches the venue once, what
//! the venue says is shown, and nothing is guessed. The simulator's own ledger is the truth.

mod common;

use std::path::PathBuf;

use common::{Client, NoMarket, config};
use serde_json::{Value, json};
use tickwire::connectors::order::{ClientOrderId, OrderRequest, OrderType, Size, TimeInForce};
use tickwire::connectors::{Credentials, InstrumentKey};
use tickwire::driver::{self, Driver, DriverConfig};
use tickwire::operator::{CallOutcome, Instruction, OperatedBy, ReplyId, line};
use tickwire::{
    Amount, CertificateDer, Engine, Handle, Market, Nanos, PollMode, Price, Qty, Scale, Side,
    StrategySetup, Venue,
};
use tickwire_gateway::{
    AgentCard, Bell, Config, Crew, Desks, EngineFeed, Gateway, Grant, Limits, LiveDesk, LiveMarket,
    PaperDesk, Parts,
};
use tickwire_sim::{AccountSpec, Fault, Sim, SimVenue, VenueSpec};

/// Where a test runs.
#[derive(Clone, Copy, Debug)]
struct Row {
    venue: Venue,
    market: Market,
    sim: SimVenue,
    symbol: &'static str,
}

const SPOT: Row = Row {
    venue: Venue::Binance,
    market: Market::Spot,
    sim: SimVenue::BinanceSpot,
    symbol: "BTC/USDT",
};

const LINEAR: Row = Row {
    venue: Venue::Bybit,
    market: Market::Linear,
    sim: SimVenue::BybitLinear,
    symbol: "BTC/USDT:USDT",
};

impl Row {
    fn simulator(self) -> Sim {
        let spec = VenueSpec::of(self.sim).symbols(&["BTCUSDT"]).demo_account();
        let sim = Sim::builder().seed(11).venue(spec).start();
        sim.expect("a simulator")
    }

    fn config(self, sim: &Sim) -> DriverConfig {
        let keys = Credentials::hmac(AccountSpec::DEMO_KEY, AccountSpec::DEMO_SECRET);
        DriverConfig::mainnet(self.venue, self.market)
            .at((sim.ws_url(self.sim), sim.rest_url(self.sim)))
            .with_credentials(keys)
            .trust_only(vec![CertificateDer::from(sim.ca_der().to_vec())])
    }
}

/// Looks for something some thirty times a second, which the gateway's allowance bears.
fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..600 {
        if let Some(found) = look() {
            return found;
        }
        std::thread::park_timeout(std::time::Duration::from_millis(33));
    }
    panic!("no {what}");
}

/// The simulator, an engine on it, a gateway with a live desk, and a client. The test is the strategy.
struct Floor {
    row: Row,
    sim: Sim,
    store: PathBuf,
    _folder: Option<tempfile::TempDir>,
    engine: Option<Handle>,
    gateway: Option<Gateway>,
    strategy: OperatedBy,
    client: Client,
    session: String,
    next_id: u32,
}

impl Floor {
    fn open(row: Row) -> Floor {
        let folder = tempfile::tempdir().expect("a folder");
        let store = folder.path().join("gateway.redb");
        let mut floor = Floor::on(row, row.simulator(), store);
        floor._folder = Some(folder);
        let create = json!({ "projectId": "p1", "mode": "live" });
        let session = floor.ask("sessions.create", create).expect("a session");
        floor.session = session["id"].as_str().expect("an id").to_owned();
        let channel = format!("session:{}", floor.session);
        floor.client.subscribe(&channel);
        floor
    }

    fn on(row: Row, sim: Sim, store: PathBuf) -> Floor {
        let driver = row.config(&sim);
        let bell = Bell::new();
        let ring = bell.clone();
        let (operator, strategy) = line(move || ring.ring());
        let mut engine = Engine::builder()
            .venue(driver.venue_setup().expect("a venue"))
            .trust_only(driver.roots.clone().expect("roots"))
            .strategy(StrategySetup::pair().named("gateway"))
            .strategy(StrategySetup::pair().named("live"))
            .poll(PollMode::PARK)
            .spawn()
            .expect("an engine");
        let mut pair = |name: &str| {
            let id = engine.strategy(name).expect("built in");
            engine.take_pair(id).expect("not taken")
        };
        let live = LiveDesk::new("p1", pair("live"), [LiveMarket::of(&driver, [row.symbol])]);
        let paper = PaperDesk::new(NoMarket::default(), []).expect("a desk");
        let parts = Parts {
            desks: Desks::paper(paper).live(live.expect("a desk")),
            crew: Crew::new().with(AgentCard::new("default", "does as it is told"), operator),
            bell,
            tls: None,
        };
        let config = Config {
            store: Some(store.clone()),
            limits: Limits {
                drain: Nanos::from_millis(100),
                linger: Nanos::from_millis(100),
                ..config().limits
            },
            ..config()
        };
        let feed = EngineFeed::new(pair("gateway"));
        let gateway = Gateway::start(config, parts, feed).expect("a gateway");
        let token = gateway.issue(Grant::all("ann")).expect("a token");
        let mut client = common::connect(gateway.address(), token.expose());
        client.subscribe("orders:p1");
        let mut floor = Floor {
            row,
            sim,
            store,
            _folder: None,
            engine: Some(engine),
            gateway: Some(gateway),
            strategy,
            client,
            session: String::new(),
            next_id: 0,
        };
        floor.until_up();
        floor
    }

    /// Ends engine and gateway, in this order, and starts both anew on the same venue and store.
    fn restarted(mut self, between: impl FnOnce(&Floor)) -> Floor {
        let engine = self.engine.take().expect("it runs");
        engine.stop().expect("no panic");
        let gateway = self.gateway.take().expect("it runs");
        gateway.restart().expect("a clean end");
        between(&self);
        let Floor {
            row,
            sim,
            store,
            _folder,
            session,
            ..
        } = self;
        let mut floor = Floor::on(row, sim, store);
        floor._folder = _folder;
        floor.client.subscribe(&format!("session:{session}"));
        floor.session = session;
        floor
    }

    fn ask(&mut self, method: &str, params: Value) -> Result<Value, Value> {
        let answer = self.client.ask(method, params);
        match answer.get("error") {
            Some(error) => Err(error.clone()),
            None => Ok(answer["result"].clone()),
        }
    }

    fn until_up(&mut self) {
        let venue = format!("venue:{}", self.row.venue);
        let subscribe = json!({ "type": "subscribe", "id": "v", "channels": [venue] });
        self.client.say(&subscribe);
        self.until("the venue up", |frame| {
            let snapshot = &frame["result"]["channels"][0]["snapshot"];
            let told = &frame["data"];
            snapshot["state"] == "up" || (frame["event"] == "venue.state" && told["state"] == "up")
        });
    }

    /// The next frame that is meant.
    fn until(&mut self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..5_000 {
            let frame = self.client.next();
            let is_open = frame.get("gone").is_none() && frame.get("closed").is_none();
            assert!(is_open, "{what}: {frame}");
            if is_it(&frame) {
                return frame;
            }
        }
        panic!("no {what}");
    }

    /// The next word that an order stands like this.
    fn until_order(&mut self, status: &str) -> Value {
        let frame = self.until(status, |frame| {
            frame["channel"] == "orders:p1" && frame["data"]["order"]["status"] == status
        });
        frame["data"].clone()
    }

    /// Reads trades until they make up a quantity, each once; gives the order.
    fn until_filled(&mut self, qty: &str) -> Value {
        let whole: Amount = qty.parse().expect("a number");
        let (mut sum, mut ids) = (Amount::ZERO, Vec::new());
        loop {
            // Some venues tell of an order's end before its trades, some behind them.
            let told = self.until("a fill", |frame| frame["event"] == "order.updated");
            let (order, fill) = (&told["data"]["order"], &told["data"]["fill"]);
            if fill.is_object() {
                assert!(!ids.contains(&fill["tradeId"]), "twice: {fill}");
                ids.push(fill["tradeId"].clone());
                let part: Amount = { fill["qty"].as_str().expect("a number") }
                    .parse()
                    .expect("a number");
                sum = sum.checked_add(part).expect("small");
            }
            if sum >= whole && order["status"] == "filled" {
                assert_eq!(sum, whole);
                return order.clone();
            }
        }
    }

    /// A whole price, at `percent` of the best bid.
    fn price(&mut self, percent: i64) -> Price {
        let market = json!({ "venue": self.row.venue.as_str(), "market": self.row.market.as_str(),
            "symbol": self.row.symbol });
        let book = self.ask("books.get", market).expect("a book");
        let best: f64 = { book["bids"][0][0].as_str().expect("a price") }
            .parse()
            .expect("a number");
        Price::new(best as i64 * percent / 100, Scale::of(0))
    }

    fn order(&mut self, side: Side, percent: i64) -> OrderRequest {
        OrderRequest {
            instrument: InstrumentKey {
                venue: self.row.venue,
                market: self.row.market,
                symbol: tickwire::connectors::instrument::symbol(self.row.symbol).expect("short"),
            },
            side,
            order_type: OrderType::Limit,
            size: Size::Base(Qty::new(1, Scale::of(2))),
            price: Some(self.price(percent)),
            stop: None,
            time_in_force: TimeInForce::Gtc,
            reduce_only: false,
            client_order_id: ClientOrderId::new(),
        }
    }

    /// The strategy is told something, and asks for an order.
    fn request(&mut self, order: OrderRequest) -> String {
        self.next_id += 1;
        let params =
            json!({ "sessionId": self.session, "content": format!("go {}", self.next_id) });
        let sent = self.ask("messages.send", params).expect("sent");
        let reply = self.asked();
        self.strategy.answer(reply).order(order).expect("heard");
        self.strategy.answer(reply).finish().expect("heard");
        sent["messageId"].as_str().expect("an id").to_owned()
    }

    /// Asks for an order that waits for a person.
    fn pending(&mut self, order: OrderRequest) -> Value {
        self.request(order);
        let asked = self.until("a question", |frame| {
            frame["event"] == "tool.approval_required"
        });
        asked["data"]["toolCall"].clone()
    }

    fn approve(&mut self, call: &Value) -> Result<Value, Value> {
        let params = json!({ "sessionId": self.session, "toolCallId": call["id"],
            "digest": call["digest"] });
        self.ask("tools.approve", params)
    }

    /// An order that rests at the venue.
    fn resting(&mut self, percent: i64) -> Value {
        let order = self.order(Side::Bid, percent);
        let call = self.pending(order);
        self.approve(&call).expect("approved");
        self.until_order("new")["order"].clone()
    }

    /// The number of the next message that the strategy is given.
    fn asked(&mut self) -> ReplyId {
        eventually("a message", || match self.strategy.next() {
            Some(Instruction::Message { reply, .. }) => Some(reply),
            _ => None,
        })
    }

    /// What the strategy is told next of an order.
    fn outcome(&mut self) -> CallOutcome {
        eventually("an outcome", || match self.strategy.next() {
            Some(Instruction::Outcome { outcome, .. }) => Some(outcome),
            _ => None,
        })
    }

    /// How orders stand at the venue, the oldest first.
    fn ledger(&self) -> Vec<&'static str> {
        let ledger = self.sim.control().ledger(self.row.sim, "demo");
        let orders = ledger.expect("a ledger").orders;
        orders.iter().map(|order| order.status).collect()
    }

    fn holds(&mut self, symbol: &str) -> bool {
        let list = self.ask("positions.list", json!({ "projectId": "p1" }));
        let list = list.expect("positions");
        let rows = list["positions"].as_array().expect("rows");
        assert!(rows.iter().all(|row| row["mode"] == "live"), "{rows:?}");
        rows.iter().any(|row| row["symbol"] == symbol)
    }

    /// What the session says of an order: the call and its result.
    fn shown(&mut self, call: &Value) -> (Value, Value) {
        let params = json!({ "sessionId": self.session });
        let got = self.ask("sessions.get", params).expect("the session");
        let messages = got["messages"].as_array().expect("messages").clone();
        let parts = messages.iter().flat_map(|message| {
            let parts = message["parts"].as_array();
            parts.cloned().unwrap_or_default()
        });
        let (mut shown, mut result) = (Value::Null, Value::Null);
        for part in parts {
            if part["toolCall"]["id"] == call["id"] {
                shown = part["toolCall"].clone();
            }
            if part["toolResult"]["toolCallId"] == call["id"] {
                result = part["toolResult"].clone();
            }
        }
        (shown, result)
    }
}

#[test]
fn an_approved_order_reaches_the_venue_once_and_its_fill_comes_back() {
    for row in [SPOT, LINEAR] {
        let mut floor = Floor::open(row);
        let order = floor.order(Side::Bid, 103);
        let call = floor.pending(order);
        assert_eq!(call["order"]["mode"], "live");
        assert_eq!(floor.ledger().len(), 0, "nothing leaves unasked");
        let first = floor.approve(&call).expect("approved");
        assert_eq!(floor.approve(&call), Ok(first), "the same again");
        assert!(matches!(floor.outcome(), CallOutcome::Sent { .. }));
        let order = floor.until_filled("0.01");
        assert_eq!(
            (&order["mode"], &order["filled"]),
            (&json!("live"), &json!("0.01"))
        );
        assert!(order["venueOrderId"].is_string());
        assert_eq!(floor.ledger(), ["filled"], "{row:?}");
        let (shown, result) = floor.shown(&call);
        assert_eq!(shown["dispatch"], "sent");
        assert_eq!(result["order"]["status"], "filled");
        assert!(result["fill"]["tradeId"].is_string());
        let held = match row.market {
            Market::Spot => "BTC",
            _ => row.symbol,
        };
        // What an account holds comes behind its trades.
        eventually("a position", || floor.holds(held).then_some(()));
        let markets = floor.ask("markets.list", json!({})).expect("markets");
        assert_eq!(markets["markets"][0]["venueSymbol"], "BTCUSDT");
    }
}

#[test]
fn a_rejected_or_expired_order_never_leaves() {
    let mut floor = Floor::open(SPOT);
    let order = floor.order(Side::Bid, 90);
    let call = floor.pending(order);
    let params = json!({ "sessionId": floor.session, "toolCallId": call["id"] });
    floor.ask("tools.reject", params).expect("rejected");
    assert!(matches!(floor.outcome(), CallOutcome::Refused { .. }));
    assert_eq!(floor.ledger().len(), 0);
}

#[test]
fn orders_are_cancelled_one_by_one_all_at_once_and_with_their_session() {
    let mut floor = Floor::open(SPOT);
    let first = floor.resting(90);
    let cancel = json!({ "projectId": "p1", "clientOrderId": first["clientOrderId"] });
    let sent = floor.ask("orders.cancel", cancel.clone()).expect("sent");
    assert_eq!(sent["requested"], 1);
    floor.until_order("canceled");
    let late = floor.ask("orders.cancel", cancel);
    assert_eq!(late.expect_err("it has ended")["code"], "NOT_FOUND");
    floor.resting(90);
    floor.resting(91);
    // The filter may write the symbol as the venue does.
    for (symbol, count) in [("ETHUSDT", 0), ("BTCUSDT", 2)] {
        let params = json!({ "projectId": "p1", "symbol": symbol });
        let sent = floor.ask("orders.cancelAll", params).expect("sent");
        assert_eq!(sent["requested"], count, "{symbol}");
    }
    floor.until_order("canceled");
    floor.until_order("canceled");
    assert_eq!(floor.ledger(), ["canceled"; 3]);
    floor.resting(90);
    let session = floor.session.clone();
    let archive = json!({ "sessionId": session, "openOrders": "cancel" });
    floor.ask("sessions.archive", archive).expect("archived");
    floor.until_order("canceled");
    assert_eq!(floor.ledger(), ["canceled"; 4]);
}

#[test]
fn orders_of_a_session_that_is_archived_may_stay() {
    let mut floor = Floor::open(SPOT);
    let order = floor.resting(90);
    let session = floor.session.clone();
    let archive = json!({ "sessionId": session, "openOrders": "leave" });
    floor.ask("sessions.archive", archive).expect("archived");
    let open = json!({ "projectId": "p1", "open": true });
    let open = floor.ask("orders.list", open).expect("orders");
    assert_eq!(open["orders"][0]["clientOrderId"], order["clientOrderId"]);
    assert_eq!(floor.ledger(), ["new"]);
}

/// An order that somebody else placed on the account.
fn stranger(floor: &mut Floor) {
    let mut request = floor.order(Side::Bid, 88);
    let mut driver = driver::open(floor.row.config(&floor.sim)).expect("a driver");
    driver.connect(common::PATIENCE).expect("connected");
    request.client_order_id = driver.next_order_id();
    driver
        .place_order(&request, common::PATIENCE)
        .expect("an order");
}

#[test]
fn the_switch_cancels_everything_at_the_venue_and_keeps_new_orders_back() {
    let mut floor = Floor::open(LINEAR);
    floor.resting(90);
    stranger(&mut floor);
    floor.until_order("new");
    let waiting = floor.order(Side::Bid, 90);
    let waiting = floor.pending(waiting);
    let killed = floor.ask("system.kill", json!({ "reason": "enough" }));
    let killed = killed.expect("killed");
    assert_eq!(killed["ordersCancelled"], 2, "{killed}");
    assert_eq!(killed["approvalsCancelled"], 1);
    floor.until_order("canceled");
    floor.until_order("canceled");
    assert_eq!(floor.ledger(), ["canceled", "canceled"]);
    let late = floor.approve(&waiting).expect_err("called back");
    assert_eq!(late["code"], "NOT_PENDING");
    let order = floor.order(Side::Bid, 90);
    let call = floor.pending(order);
    let refused = floor.approve(&call).expect_err("halted");
    assert_eq!(refused["code"], "TRADING_HALTED");
    floor
        .ask("system.resume", json!({ "reason": "again" }))
        .expect("resumed");
    floor.approve(&call).expect("approved");
    floor.until_order("new");
    assert_eq!(floor.ledger(), ["canceled", "canceled", "new"]);
}

#[test]
fn a_switch_that_is_on_stays_on_over_a_restart() {
    let mut floor = Floor::open(SPOT);
    floor
        .ask("system.kill", json!({ "reason": "enough" }))
        .expect("killed");
    let mut floor = floor.restarted(|_| {});
    let order = floor.order(Side::Bid, 90);
    let call = floor.pending(order);
    let refused = floor.approve(&call).expect_err("halted");
    assert_eq!(refused["code"], "TRADING_HALTED");
    // Also what comes from elsewhere does not stand, since the engine's own switch is on.
    stranger(&mut floor);
    floor.until_order("canceled");
    assert_eq!(floor.ledger(), ["canceled"]);
}

#[test]
fn an_open_order_outlives_a_restart_and_its_old_message_shows_what_becomes_of_it() {
    let mut floor = Floor::open(SPOT);
    let order = floor.order(Side::Bid, 90);
    let call = floor.pending(order);
    floor.approve(&call).expect("approved");
    let order = floor.until_order("new")["order"].clone();
    let mut floor = floor.restarted(|floor| assert_eq!(floor.ledger(), ["new"]));
    let open = json!({ "projectId": "p1", "open": true });
    let open = floor.ask("orders.list", open).expect("orders");
    assert_eq!(open["orders"].as_array().map(Vec::len), Some(1), "{open}");
    assert_eq!(open["orders"][0]["clientOrderId"], order["clientOrderId"]);
    let cancel = json!({ "projectId": "p1", "clientOrderId": order["clientOrderId"] });
    floor.ask("orders.cancel", cancel).expect("sent");
    floor.until("its part", |frame| {
        let part = &frame["data"]["part"]["toolResult"];
        frame["event"] == "part.updated" && part["order"]["status"] == "canceled"
    });
    let (shown, result) = floor.shown(&call);
    assert_eq!(shown["dispatch"], "sent");
    assert_eq!(result["order"]["status"], "canceled");
    assert_eq!(floor.ledger(), ["canceled"], "it was not sent again");
}

#[test]
fn what_became_of_an_order_while_nobody_looked_is_asked_for() {
    let mut floor = Floor::open(SPOT);
    let order = floor.order(Side::Bid, 90);
    let call = floor.pending(order);
    floor.approve(&call).expect("approved");
    floor.until_order("new");
    let mut floor = floor.restarted(|floor| {
        let config = floor.row.config(&floor.sim);
        let mut driver = driver::open(config).expect("a driver");
        driver.connect(common::PATIENCE).expect("connected");
        driver
            .cancel_all(Some(floor.row.symbol), common::PATIENCE)
            .expect("cancelled");
        assert_eq!(floor.ledger(), ["canceled"]);
    });
    eventually("its end", || {
        let (_, result) = floor.shown(&call);
        let status = result["order"]["status"].as_str();
        assert!(
            matches!(status, Some("new" | "unknown" | "canceled")),
            "{result}"
        );
        (status == Some("canceled")).then_some(())
    });
    assert_eq!(floor.ledger(), ["canceled"]);
}

#[test]
fn an_order_without_an_answer_is_unknown_until_the_venue_has_said_what_it_is() {
    let mut floor = Floor::open(SPOT);
    let order = floor.order(Side::Bid, 90);
    let call = floor.pending(order);
    let control = floor.sim.control();
    control.inject(floor.row.sim, Fault::AckLost { times: 1 });
    // Its events are not told either.
    control.stall_stream(floor.row.sim, "executionReport", true);
    floor.approve(&call).expect("approved");
    let (_, result) = floor.shown(&call);
    let status = result["order"]["status"].as_str();
    assert!(matches!(status, None | Some("unknown" | "new")), "{result}");
    floor.until_order("new");
    assert_eq!(floor.ledger(), ["new"]);
    let params = json!({ "sessionId": floor.session });
    let got = floor.ask("sessions.get", params).expect("the session");
    let message = got["messages"][0]["id"].clone();
    let retry = json!({ "sessionId": floor.session, "messageId": message });
    floor.ask("messages.retry", retry).expect("asked again");
    let reply = floor.asked();
    let again = floor.order(Side::Bid, 91);
    floor.strategy.answer(reply).order(again).expect("heard");
    let CallOutcome::Refused { reason } = floor.outcome() else {
        panic!("sent again");
    };
    assert!(reason.starts_with("sent before as"), "{reason}");
    assert_eq!(floor.ledger(), ["new"]);
}

/// The link goes while a person decides: whenever it is noticed, what is shown is what the venue has.
#[test]
fn a_link_that_is_cut_between_approval_and_dispatch_sends_nothing_unseen() {
    let mut floor = Floor::open(SPOT);
    for round in 0..4 {
        let before = floor.ledger().len();
        let order = floor.order(Side::Bid, 90);
        let call = floor.pending(order);
        let (control, venue) = (floor.sim.control(), floor.row.sim);
        control.refuse_upgrades(venue, Some(503));
        control.cut_connections(venue);
        let decision = floor.approve(&call);
        control.refuse_upgrades(venue, None);
        if let Err(error) = &decision {
            assert_eq!(error["code"], "VENUE_DOWN", "{error}");
        }
        floor.until_up();
        // What was on its way is looked up by our own id until the venue has said what it is.
        let (went, status) = eventually("word of the order", || {
            let (shown, result) = floor.shown(&call);
            let went = shown["dispatch"].as_str() == Some("sent");
            let status = result["order"]["status"].as_str().unwrap_or("unknown");
            let is_known = !went || status != "unknown";
            is_known.then(|| (went, status.to_owned()))
        });
        assert!(decision.is_ok() || !went, "{round}");
        let reached = floor.ledger().len() - before;
        let stands = went && status == "new";
        assert_eq!(reached, usize::from(stands), "{round}: {went} {status}");
    }
}

#[test]
fn what_makes_a_position_smaller_waits_for_nobody_where_the_market_knows_it() {
    let reducing = |floor: &mut Floor| OrderRequest {
        reduce_only: true,
        time_in_force: TimeInForce::Ioc,
        ..floor.order(Side::Ask, 97)
    };
    let mut floor = Floor::open(LINEAR);
    let order = floor.order(Side::Bid, 103);
    let call = floor.pending(order);
    floor.approve(&call).expect("approved");
    floor.until_order("filled");
    floor.outcome();
    let order = reducing(&mut floor);
    floor.request(order);
    assert!(matches!(floor.outcome(), CallOutcome::Sent { .. }));
    floor.until_order("filled");
    assert_eq!(floor.ledger(), ["filled", "filled"]);
    // On spot the venue would take it for a plain order: it must not pass by the person who is to be asked.
    let mut floor = Floor::open(SPOT);
    let order = reducing(&mut floor);
    floor.request(order);
    let CallOutcome::Refused { reason } = floor.outcome() else {
        panic!("a sale that nobody was asked about");
    };
    assert!(reason.contains("reduce-only"), "{reason}");
    assert_eq!(floor.ledger().len(), 0);
}

#[test]
fn what_can_not_go_is_refused_at_the_decision_in_words() {
    let mut floor = Floor::open(SPOT);
    let good = floor.order(Side::Bid, 90);
    let mut elsewhere = good;
    elsewhere.instrument.symbol =
        tickwire::connectors::instrument::symbol("ETH/USDT").expect("short");
    let mut another = good;
    another.instrument.venue = Venue::Bybit;
    let table = [
        (elsewhere, "does not trade ETH/USDT"),
        (another, "no account at bybit spot"),
        (
            OrderRequest {
                price: Some(Price::new(1_000_001, Scale::of(6))),
                ..good
            },
            "",
        ),
        (
            OrderRequest {
                size: Size::Base(Qty::new(0, Scale::of(2))),
                ..good
            },
            "",
        ),
    ];
    for (order, words) in table {
        let call = floor.pending(order);
        let refused = floor.approve(&call).expect_err("it can't go");
        assert_eq!(refused["code"], "RISK_REJECTED", "{refused}");
        let message = refused["message"].as_str().expect("words");
        assert!(message.contains(words), "{message}");
        let params = json!({ "sessionId": floor.session, "toolCallId": call["id"] });
        floor.ask("tools.reject", params).expect("rejected");
    }
    let create = json!({ "projectId": "p2", "mode": "live" });
    let refused = floor
        .ask("sessions.create", create)
        .expect_err("no account");
    assert_eq!(refused["details"]["path"], "params.mode");
    assert_eq!(floor.ledger().len(), 0);
}

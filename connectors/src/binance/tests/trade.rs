//! The account at Binance as transcripts: what goes out, what comes back, what is told of it.

use super::*;
use crate::credentials::Credentials;
use crate::network::FetchInstruments;
use crate::order::{
    ClientOrderId, OrderRequest, OrderStatus, OrderType, Size, Stop, TimeInForce, TriggerBy,
};
use crate::trading::{Action, OrderId, OrderRef, Query, Reply, Ticket, Trading, Transport};
use crate::wide::Asked;
use crate::{Market, Venue};
use tickwire_orderbook::{Price, Qty, Side};

pub(super) const KEY: &str = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A";
pub(super) const SECRET: &str = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j";
const PEM: &str = "-----BEGIN PRIVATE KEY-----\n\
    MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n\
    -----END PRIVATE KEY-----\n";

/// When the rig begins: the time stamp of the documentation's signed samples.
const START: Nanos = Nanos::from_millis(1_645_423_376_532);

pub(super) struct Rig {
    pub(super) venue: Binance,
    out: Outbox,
    pub(super) now: Nanos,
    pub(super) texts: Vec<String>,
    pub(super) requests: Vec<HttpRequest>,
    opened: Vec<(LinkId, String)>,
    reconnects: usize,
    answered: Vec<Result<Reply, crate::Error>>,
}

impl Rig {
    pub(super) fn new(
        config: BinanceConfig,
        credentials: Credentials,
        transport: Transport,
    ) -> Rig {
        let mut trading = Trading::new(credentials);
        trading.transport = transport;
        let config = BinanceConfig {
            // These are about orders; what is asked for of an instrument first is another test's.
            instruments: FetchInstruments::No,
            ..config.trading(trading)
        };
        let venue = Binance::new(config, 1).expect("a connector");
        Rig {
            venue,
            out: Outbox::new(),
            now: START,
            texts: Vec::new(),
            requests: Vec::new(),
            opened: Vec::new(),
            reconnects: 0,
            answered: Vec::new(),
        }
    }

    pub(super) fn spot() -> Rig {
        Rig::new(
            BinanceConfig::spot(),
            Credentials::hmac(KEY, SECRET),
            Transport::WebSocket,
        )
    }

    pub(super) fn pump(&mut self) {
        let mut body = Vec::new();
        while let Some(transmit) = self.venue.poll_transmit(self.now, &mut body) {
            match transmit {
                Transmit::Open { link, spec } => self.opened.push((link, spec.path)),
                Transmit::Text { .. } => {
                    self.texts
                        .push(String::from_utf8(body.clone()).expect("text"));
                }
                Transmit::Http(request) => self.requests.push(*request),
                Transmit::Reconnect { .. } => self.reconnects += 1,
                Transmit::Close { .. } | Transmit::Binary { .. } | Transmit::Ping { .. } => {}
            }
            body.clear();
        }
    }

    pub(super) fn later(&mut self, ms: i64) {
        self.now += Nanos::from_millis(ms);
        while self.venue.poll_timeout().is_some_and(|at| at <= self.now) {
            self.venue.handle_timeout(self.now, &mut self.out);
            self.pump();
        }
    }

    pub(super) fn up(&mut self, link: u16) {
        let change = LinkChange::Up { epoch: 1 };
        self.venue
            .handle_link(self.now, LinkId(link), change, &mut self.out);
        self.pump();
    }

    pub(super) fn down(&mut self, link: u16) {
        let reason = crate::transmit::DownReason::Lost("reset".to_owned());
        let change = LinkChange::Down { reason };
        self.venue
            .handle_link(self.now, LinkId(link), change, &mut self.out);
        self.pump();
    }

    pub(super) fn message(&mut self, text: &str) {
        let mut payload = text.as_bytes().to_vec();
        self.venue
            .handle_message(self.now, LinkId(0), &mut payload, &mut self.out);
        self.pump();
    }

    /// The id of the last text that named this method.
    pub(super) fn id_of(&self, method: &str) -> String {
        let text = self
            .texts
            .iter()
            .rev()
            .find(|text| text.contains(&format!("\"{method}\"")));
        let text = text.unwrap_or_else(|| panic!("no {method} in {:?}", self.texts));
        let json: serde_json::Value = serde_json::from_str(text).expect("JSON");
        json["id"].as_str().expect("an id").to_owned()
    }

    pub(super) fn reply(&mut self, method: &str, rest: &str) {
        let id = self.id_of(method);
        self.message(&format!(r#"{{"id":"{id}",{rest}}}"#));
    }

    /// Answers the newest request whose target begins with this.
    pub(super) fn respond(&mut self, target: &str, status: u16, body: &str) {
        let index = self
            .requests
            .iter()
            .rposition(|request| request.target.starts_with(target));
        let index = index.unwrap_or_else(|| panic!("no {target} in {:?}", self.requests));
        let request = self.requests.remove(index);
        let mut body = body.as_bytes().to_vec();
        let response = Response {
            status,
            headers: &[],
            body: &mut body,
        };
        self.venue
            .handle_response(self.now, request.id, Ok(response), &mut self.out);
        self.pump();
    }

    /// The order as it was last told of.
    pub(super) fn order(&self, id: &str) -> crate::order::OrderUpdate {
        let desk = self.venue.desk.as_ref().expect("an account");
        let id = OrderId::Client(ClientOrderId::from(id).expect("short"));
        desk.tracker().find(&id).expect("an order").update()
    }

    pub(super) fn action(&mut self, number: u64, action: Action) -> Ticket {
        let ticket = Ticket::new(0, number, true);
        self.venue
            .handle_action(self.now, ticket, &action, &mut self.out);
        self.pump();
        ticket
    }

    /// What was told of the account since the last call.
    pub(super) fn told(&mut self) -> Vec<String> {
        let mut told = Vec::new();
        for item in self.out.iter() {
            told.push(match item {
                crate::outbox::Item::Hot(event) => format!("{:?}", event.state()),
                crate::outbox::Item::Wide(wide) => match &wide.body {
                    WideBody::Order(order) => format!(
                        "{} {} {}",
                        order.client_order_id,
                        order.status.as_str(),
                        order.filled
                    ),
                    WideBody::Fill(fill) => {
                        format!(
                            "{} {}@{} t{}",
                            fill.client_order_id, fill.qty, fill.price, fill.trade_id
                        )
                    }
                    WideBody::Balance(one) => {
                        format!("{} {} {}", one.currency, one.total, one.available)
                    }
                    WideBody::Position(one) => format!("{} {}", one.instrument.symbol, one.qty),
                    WideBody::Refusal(no) => {
                        format!(
                            "{} {:?} {:?}",
                            no.asked.as_str(),
                            no.outcome,
                            no.notice.kind
                        )
                    }
                    WideBody::Notice(notice) => format!("{:?} {}", notice.kind, notice.text),
                    other => format!("{other:?}"),
                },
            });
        }
        self.answered
            .extend(self.out.take_answers().map(|one| one.result));
        self.out.clear();
        told
    }

    fn answers(&mut self) -> Vec<Result<Reply, crate::Error>> {
        self.answered
            .extend(self.out.take_answers().map(|one| one.result));
        core::mem::take(&mut self.answered)
    }

    /// Opens the account and brings it to Live.
    pub(super) fn live(&mut self) {
        let subscribe = Command::Subscribe {
            stream: stream(7),
            symbol: crate::instrument::symbol("*").expect("short"),
            channel: Channel::User,
            depth: false,
        };
        self.venue
            .handle_command(self.now, subscribe, &mut self.out);
        self.pump();
        let time = format!(r#"{{"serverTime":{}}}"#, self.now.as_millis());
        self.respond("/api/v3/time", 200, &time);
        self.up(0);
        self.reply(
            "userDataStream.subscribe.signature",
            r#""status":200,"result":{"subscriptionId":0}"#,
        );
        self.respond("/api/v3/openOrders", 200, "[]");
        let account =
            r#"{"updateTime":1,"balances":[{"asset":"USDT","free":"900.5","locked":"99.50"}]}"#;
        self.respond("/api/v3/account", 200, account);
    }
}

pub(super) fn limit(id: &str, price: &str, qty: &str) -> OrderRequest {
    OrderRequest {
        instrument: crate::InstrumentKey {
            venue: Venue::Binance,
            market: Market::Spot,
            symbol: crate::instrument::symbol("BTC/USDT").expect("short"),
        },
        side: Side::Ask,
        order_type: OrderType::Limit,
        size: Size::Base(Qty::parse(qty.as_bytes()).expect("a quantity")),
        price: Price::parse(price.as_bytes()).ok(),
        stop: None,
        time_in_force: TimeInForce::Gtc,
        reduce_only: false,
        client_order_id: ClientOrderId::from(id).expect("short"),
    }
}

pub(super) fn order_ref(id: &str) -> OrderRef {
    OrderRef {
        symbol: crate::instrument::symbol("BTC/USDT").expect("short"),
        id: OrderId::Client(ClientOrderId::from(id).expect("short")),
    }
}

pub(super) fn report(
    id: &str,
    kind: &str,
    status: &str,
    filled: &str,
    last: &str,
    trade: i64,
) -> String {
    format!(
        r#"{{"subscriptionId":0,"event":{{"e":"executionReport","E":1645423376600,"s":"BTCUSDT","c":"{id}","S":"SELL","o":"LIMIT","f":"GTC","q":"0.01000000","p":"52000.00","C":"","x":"{kind}","X":"{status}","r":"NONE","i":28,"l":"{last}","z":"{filled}","L":"52000.00","n":"0.1","N":"USDT","T":1645423376600,"t":{trade},"m":true}}}}"#
    )
}

pub(super) fn order_json(id: &str, status: &str, filled: &str) -> String {
    format!(
        r#"{{"symbol":"BTCUSDT","orderId":28,"clientOrderId":"{id}","price":"52000.00000000","origQty":"0.01000000","executedQty":"{filled}","status":"{status}","timeInForce":"GTC","type":"LIMIT","side":"SELL","updateTime":1645423376700}}"#
    )
}

#[test]
fn the_account_is_live_when_it_is_logged_in_and_reconciled() {
    let mut rig = Rig::spot();
    rig.live();
    assert_eq!(rig.opened, [(LinkId(0), "/ws-api/v3".to_owned())]);
    assert_eq!(rig.told(), ["USDT 1000 900.5", "Live", "USDT 1000 900.5"]);
    let listen = &rig.texts[0];
    assert!(
        listen.starts_with(r#"{"id":""#) && listen.contains(KEY),
        "{listen}"
    );
    assert!(!listen.contains(SECRET));
}

/// The documentation's own vector (web-socket-api.md "SIGNED request example (HMAC)"), but for the
/// parameters that it does not have.
#[test]
fn an_order_is_written_and_signed_as_the_venue_documents() {
    let mut rig = Rig::spot();
    rig.live();
    rig.action(1, Action::Place(limit("tw1-0-1", "52000.00", "0.01")));
    let text = rig.texts.last().expect("an order");
    let json: serde_json::Value = serde_json::from_str(text).expect("JSON");
    assert_eq!(json["method"], "order.place");
    let params = json["params"].as_object().expect("parameters");
    let mut keys: Vec<&String> = params.keys().collect();
    keys.sort();
    let payload: Vec<String> = keys
        .iter()
        .filter(|key| **key != "signature")
        .map(|key| match &params[*key] {
            serde_json::Value::String(text) => format!("{key}={text}"),
            other => format!("{key}={other}"),
        })
        .collect();
    let payload = payload.join("&");
    assert_eq!(
        payload,
        format!(
            "apiKey={KEY}&newClientOrderId=tw1-0-1&newOrderRespType=RESULT&price=52000&quantity=0.01\
             &recvWindow=5000&side=SELL&symbol=BTCUSDT&timeInForce=GTC&timestamp=1645423376532&type=LIMIT"
        )
    );
    let signer = crate::sign::Signer::hmac(SECRET.as_bytes());
    assert_eq!(
        params["signature"],
        signer.sign(&[payload.as_bytes()]).as_str()
    );
}

#[test]
fn with_an_ed25519_key_the_link_is_logged_on_once_and_orders_are_not_signed() {
    let credentials = Credentials::ed25519(KEY, PEM);
    let mut rig = Rig::new(BinanceConfig::spot(), credentials, Transport::WebSocket);
    let subscribe = Command::Subscribe {
        stream: stream(7),
        symbol: crate::instrument::symbol("*").expect("short"),
        channel: Channel::User,
        depth: false,
    };
    rig.venue.handle_command(rig.now, subscribe, &mut rig.out);
    rig.pump();
    rig.respond("/api/v3/time", 200, r#"{"serverTime":1645423376532}"#);
    rig.up(0);
    let logon = rig.texts.last().expect("a logon").clone();
    assert!(
        logon.contains("session.logon") && logon.contains("signature"),
        "{logon}"
    );
    rig.reply("session.logon", r#""status":200,"result":{"apiKey":"x"}"#);
    let id = rig.id_of("userDataStream.subscribe");
    let listen = rig.texts.last().expect("a subscribe");
    assert_eq!(
        *listen,
        format!(r#"{{"id":"{id}","method":"userDataStream.subscribe"}}"#)
    );
    rig.reply(
        "userDataStream.subscribe",
        r#""status":200,"result":{"subscriptionId":0}"#,
    );
    rig.respond("/api/v3/openOrders", 200, "[]");
    let account = r#"{"updateTime":1,"balances":[]}"#;
    rig.respond("/api/v3/account", 200, account);
    rig.action(1, Action::Place(limit("tw1-0-1", "52000.00", "0.01")));
    let order = rig.texts.last().expect("an order");
    assert!(
        order.contains("order.place") && order.contains("timestamp"),
        "{order}"
    );
    assert!(
        !order.contains("signature") && !order.contains("apiKey"),
        "{order}"
    );
}

#[test]
fn an_order_lives_from_ack_to_fill() {
    let mut rig = Rig::spot();
    rig.live();
    rig.told();
    rig.action(1, Action::Place(limit("a", "52000", "0.01")));
    let ack = order_json("a", "NEW", "0.00000000");
    rig.reply("order.place", &format!(r#""status":200,"result":{ack}"#));
    let answers = rig.answers();
    assert!(matches!(&answers[..], [Ok(Reply::Order(order))] if order.status == OrderStatus::New));
    rig.message(&report("a", "NEW", "NEW", "0", "0", -1));
    rig.message(&report(
        "a",
        "TRADE",
        "PARTIALLY_FILLED",
        "0.004",
        "0.004",
        11,
    ));
    rig.message(&report(
        "a",
        "TRADE",
        "PARTIALLY_FILLED",
        "0.004",
        "0.004",
        11,
    ));
    rig.message(&report("a", "TRADE", "FILLED", "0.01", "0.006", 12));
    assert_eq!(
        rig.told(),
        [
            "a new 0",
            "a 0.004@52000 t11",
            "a partially_filled 0.004",
            "a 0.006@52000 t12",
            "a filled 0.01"
        ]
    );
    // The same command again: no second order, and the same answer.
    let sent = rig.texts.len();
    rig.action(2, Action::Place(limit("a", "52000", "0.01")));
    assert_eq!(rig.texts.len(), sent);
    let answers = rig.answers();
    assert!(
        matches!(&answers[..], [Ok(Reply::Order(order))] if order.status == OrderStatus::Filled)
    );
}

#[test]
fn the_fills_may_come_before_the_ack() {
    let mut rig = Rig::spot();
    rig.live();
    rig.told();
    rig.action(1, Action::Place(limit("a", "52000", "0.01")));
    rig.message(&report("a", "TRADE", "FILLED", "0.01", "0.01", 11));
    let ack = order_json("a", "NEW", "0.00000000");
    rig.reply("order.place", &format!(r#""status":200,"result":{ack}"#));
    assert_eq!(rig.told(), ["a 0.01@52000 t11", "a filled 0.01"]);
    let answers = rig.answers();
    assert!(
        matches!(&answers[..], [Ok(Reply::Order(order))] if order.status == OrderStatus::Filled)
    );
}

#[test]
fn a_rejection_says_why_and_what_became_of_the_request() {
    let mut rig = Rig::spot();
    rig.live();
    rig.told();
    rig.action(1, Action::Place(limit("a", "52000", "0.01")));
    rig.reply(
        "order.place",
        r#""status":400,"error":{"code":-2010,"msg":"Account has insufficient balance for requested action."}"#,
    );
    assert_eq!(
        rig.told(),
        ["a rejected 0", "place Rejected InsufficientFunds"]
    );
    let answers = rig.answers();
    assert!(matches!(&answers[..], [Err(error)] if error.code == Some(-2010)));
}

#[test]
fn an_order_without_an_answer_is_looked_up_until_its_fate_is_known() {
    let mut rig = Rig::spot();
    rig.live();
    rig.told();
    rig.action(1, Action::Place(limit("a", "52000", "0.01")));
    rig.later(5_000);
    assert_eq!(rig.told(), ["a unknown 0", "place Unknown Timeout"]);
    let look = rig.requests.last().expect("a look-up");
    assert!(
        look.target
            .starts_with("/api/v3/order?symbol=BTCUSDT&origClientOrderId=a&recvWindow")
    );
    rig.respond(
        "/api/v3/order",
        400,
        r#"{"code":-2013,"msg":"Order does not exist."}"#,
    );
    assert_eq!(rig.told(), [""; 0], "it may still arrive");
    rig.later(5_000);
    let found = order_json("a", "PARTIALLY_FILLED", "0.004");
    rig.respond("/api/v3/order", 200, &found);
    assert_eq!(rig.told(), ["a partially_filled 0.004"]);
    rig.later(60_000);
    assert!(rig.requests.is_empty(), "{:?}", rig.requests);
}

#[test]
fn an_order_that_never_arrived_is_rejected_when_it_can_no_longer() {
    let mut rig = Rig::spot();
    rig.live();
    rig.told();
    rig.action(1, Action::Place(limit("a", "52000", "0.01")));
    rig.down(0);
    assert_eq!(
        rig.told(),
        ["Stale", "a unknown 0", "place Unknown Disconnected"]
    );
    let none = r#"{"code":-2013,"msg":"Order does not exist."}"#;
    let mut looks = 0;
    while !rig.told().contains(&"a rejected 0".to_owned()) {
        rig.later(500);
        if rig
            .requests
            .iter()
            .any(|request| request.target.starts_with("/api/v3/order?"))
        {
            rig.respond("/api/v3/order?", 400, none);
            looks += 1;
        }
        assert!(
            rig.now < START + Nanos::from_secs(30),
            "looked up {looks} times"
        );
    }
    assert!(
        rig.now >= START + Nanos::from_secs(7),
        "its window was over"
    );
    assert!(looks > 3);
}

#[test]
fn a_cancel_goes_by_the_urgent_lane_and_a_refused_one_asks_what_became_of_the_order() {
    let mut rig = Rig::spot();
    rig.live();
    rig.action(1, Action::Place(limit("a", "52000", "0.01")));
    let ack = order_json("a", "NEW", "0.00000000");
    rig.reply("order.place", &format!(r#""status":200,"result":{ack}"#));
    rig.told();
    rig.answers();
    rig.action(2, Action::Cancel(order_ref("a")));
    let cancel = rig.texts.last().expect("a cancel");
    assert!(cancel.contains(r#""method":"order.cancel""#) && cancel.contains(r#""orderId":28"#));
    rig.reply(
        "order.cancel",
        r#""status":400,"error":{"code":-2011,"msg":"Unknown order sent."}"#,
    );
    rig.respond("/api/v3/order", 200, &order_json("a", "FILLED", "0.01"));
    assert_eq!(
        rig.told(),
        [
            "a pending_cancel 0",
            "a new 0",
            "cancel Rejected OrderNotFound",
            "a filled 0.01"
        ]
    );
    assert!(matches!(&rig.answers()[..], [Err(_)]));
    rig.action(3, Action::Cancel(order_ref("a")));
    assert_eq!(rig.told(), ["cancel NotSent OrderNotFound"]);
}

#[test]
fn after_a_loss_orders_and_trades_are_reconciled_before_anything_is_live() {
    let mut rig = Rig::spot();
    rig.live();
    for id in ["a", "b"] {
        rig.action(1, Action::Place(limit(id, "52000", "0.01")));
        let order = if id == "a" { 28 } else { 29 };
        let ack = order_json(id, "NEW", "0").replace("28", &order.to_string());
        rig.reply("order.place", &format!(r#""status":200,"result":{ack}"#));
    }
    rig.told();
    rig.down(0);
    rig.later(1_000);
    rig.up(0);
    let listening = r#""status":200,"result":{"subscriptionId":0}"#;
    rig.reply("userDataStream.subscribe.signature", listening);
    rig.respond(
        "/api/v3/account",
        200,
        r#"{"balances":[{"asset":"USDT","free":"0","locked":"1000"}]}"#,
    );
    assert_eq!(rig.told(), ["Stale", "USDT 1000 0"]);
    // Trades are named by the venue's ids alone: orders come first.
    let wants_trades = |rig: &Rig| {
        let mut requests = rig.requests.iter();
        requests.any(|one| one.target.starts_with("/api/v3/myTrades"))
    };
    rig.respond(
        "/api/v3/openOrders",
        200,
        &format!("[{}]", order_json("a", "NEW", "0")),
    );
    assert!(!wants_trades(&rig));
    let filled = order_json("b", "FILLED", "0.01").replace("28", "29");
    rig.respond("/api/v3/order?", 200, &filled);
    assert_eq!(rig.told(), ["b filled 0.01"]);
    let trade = r#"[{"symbol":"BTCUSDT","id":11,"orderId":29,"price":"52000.00","qty":"0.01","commission":"0.5","commissionAsset":"USDT","time":1645423376800,"isBuyer":false,"isMaker":true}]"#;
    rig.respond("/api/v3/myTrades", 200, trade);
    assert_eq!(
        rig.told(),
        ["b 0.01@52000 t11", "Live", "a new 0", "USDT 1000 0"]
    );
}

#[test]
fn what_stood_and_is_gone_is_looked_up_before_live() {
    let mut rig = Rig::spot();
    rig.live();
    rig.action(1, Action::Place(limit("a", "52000", "0.01")));
    let ack = order_json("a", "NEW", "0");
    rig.reply("order.place", &format!(r#""status":200,"result":{ack}"#));
    rig.told();
    rig.down(0);
    rig.up(0);
    let listening = r#""status":200,"result":{"subscriptionId":0}"#;
    rig.reply("userDataStream.subscribe.signature", listening);
    rig.respond("/api/v3/account", 200, r#"{"balances":[]}"#);
    rig.respond("/api/v3/openOrders", 200, "[]");
    assert_eq!(
        rig.told(),
        ["Stale", "USDT 0 0"],
        "not Live while an order is in doubt"
    );
    rig.respond("/api/v3/order?", 200, &order_json("a", "CANCELED", "0"));
    rig.respond("/api/v3/myTrades", 200, "[]");
    assert_eq!(rig.told(), ["a canceled 0", "Live", "USDT 0 0"]);
}

#[test]
fn the_kill_switch_cancels_all_and_takes_nothing_new() {
    let mut rig = Rig::spot();
    rig.live();
    rig.action(1, Action::Place(limit("a", "52000", "0.01")));
    let ack = order_json("a", "NEW", "0");
    rig.reply("order.place", &format!(r#""status":200,"result":{ack}"#));
    rig.told();
    rig.action(2, Action::Kill);
    assert!(
        rig.texts
            .last()
            .is_some_and(|text| text.contains("openOrders.cancelAll"))
    );
    rig.action(3, Action::Place(limit("b", "52000", "0.01")));
    assert_eq!(
        rig.told(),
        ["a pending_cancel 0", "place NotSent OrderRejected"]
    );
    rig.message(&report("a", "CANCELED", "CANCELED", "0", "0", -1));
    rig.reply("openOrders.cancelAll", r#""status":200,"result":[]"#);
    assert_eq!(rig.told(), ["a canceled 0"]);
    rig.action(4, Action::Release);
    rig.action(5, Action::Place(limit("b", "52000", "0.01")));
    assert!(
        rig.texts
            .last()
            .is_some_and(|text| text.contains("order.place"))
    );
}

/// rest-api.md "New order": STOP_LOSS takes quantity and stopPrice, STOP_LOSS_LIMIT price and timeInForce
/// beside. It is NEW before it triggers and after, and the same id.
#[test]
fn a_stop_is_written_and_waits_until_the_venue_says_that_it_works() {
    let mut rig = Rig::spot();
    rig.live();
    let at = |price: &str| Stop {
        price: Price::parse(price.as_bytes()).expect("a price"),
        by: TriggerBy::Last,
    };
    let limit = OrderRequest {
        stop: Some(at("52500.00")),
        ..limit("tw1-0-1", "52000.00", "0.01")
    };
    rig.action(1, Action::Place(limit));
    let params = |rig: &Rig| {
        let text = rig.texts.last().expect("an order");
        let json: serde_json::Value = serde_json::from_str(text).expect("JSON");
        let keys = ["type", "stopPrice", "price", "timeInForce"];
        keys.map(|key| json["params"][key].as_str().unwrap_or("-").to_owned())
    };
    assert_eq!(params(&rig), ["STOP_LOSS_LIMIT", "52500", "52000", "GTC"]);
    let event = |working: &str, status: &str| {
        let text = report("tw1-0-1", "NEW", status, "0.00000000", "0", -1);
        let text = text.replace(r#""o":"LIMIT""#, r#""o":"STOP_LOSS_LIMIT""#);
        let stop = format!(r#""P":"52500.00","w":{working},"q""#);
        text.replace(r#""q""#, &stop)
    };
    for (working, expected) in [
        ("false", OrderStatus::Untriggered),
        ("true", OrderStatus::New),
        ("false", OrderStatus::New),
    ] {
        rig.message(&event(working, "NEW"));
        let order = rig.order("tw1-0-1");
        assert_eq!(
            (order.status, order.stop),
            (expected, limit.stop),
            "{working}"
        );
    }
    let market = OrderRequest {
        order_type: OrderType::Market,
        price: None,
        client_order_id: ClientOrderId::from("tw1-0-2").expect("short"),
        ..limit
    };
    rig.action(2, Action::Place(market));
    assert_eq!(params(&rig), ["STOP_LOSS", "52500", "-", "-"]);
}

#[test]
fn by_rest_the_same_order_is_a_signed_request() {
    let credentials = Credentials::hmac(KEY, SECRET);
    let mut rig = Rig::new(BinanceConfig::spot(), credentials, Transport::Rest);
    rig.live();
    rig.told();
    rig.action(1, Action::Place(limit("a", "52000", "0.01")));
    let request = rig.requests.last().expect("an order").clone();
    assert_eq!(request.method, crate::transmit::Method::Post);
    assert_eq!(
        request.headers,
        [("X-MBX-APIKEY".to_owned(), KEY.to_owned())]
    );
    let (signed, signature) = request
        .target
        .split_once("&signature=")
        .expect("a signature");
    let query = signed.strip_prefix("/api/v3/order?").expect("the path");
    let signer = crate::sign::Signer::hmac(SECRET.as_bytes());
    assert_eq!(signer.sign(&[query.as_bytes()]).as_str(), signature);
    // A 5xx says nothing of the order.
    rig.respond(
        "/api/v3/order?",
        503,
        r#"{"code":-1001,"msg":"Internal error."}"#,
    );
    assert_eq!(
        rig.told(),
        ["a unknown 0", "place Unknown VenueUnavailable"]
    );
    rig.later(1_000);
    rig.respond("/api/v3/order?", 200, &order_json("a", "NEW", "0"));
    assert_eq!(rig.told(), ["a new 0"]);
}

#[test]
fn a_request_that_never_left_is_not_sent() {
    let mut rig = Rig::spot();
    rig.action(1, Action::Query(Query::Balances));
    assert!(matches!(&rig.answers()[..], [Err(error)] if error.outcome == crate::Outcome::NotSent));
    let credentials = Credentials::hmac(KEY, SECRET);
    let mut rig = Rig::new(BinanceConfig::spot(), credentials, Transport::Rest);
    rig.live();
    rig.told();
    rig.action(1, Action::Place(limit("a", "52000", "0.01")));
    let request = rig.requests.pop().expect("an order");
    let failure = HttpFailure {
        what: "no way".to_owned(),
        sent: false,
    };
    rig.venue
        .handle_response(rig.now, request.id, Err(failure), &mut rig.out);
    assert_eq!(rig.told(), ["a rejected 0", "place NotSent Disconnected"]);
}

#[test]
fn a_refused_log_in_is_told_and_tried_on_a_new_link() {
    let mut rig = Rig::spot();
    let subscribe = Command::Subscribe {
        stream: stream(7),
        symbol: crate::instrument::symbol("*").expect("short"),
        channel: Channel::User,
        depth: false,
    };
    rig.venue.handle_command(rig.now, subscribe, &mut rig.out);
    rig.pump();
    rig.respond("/api/v3/time", 200, r#"{"serverTime":1645423376532}"#);
    rig.up(0);
    rig.reply(
        "userDataStream.subscribe.signature",
        r#""status":401,"error":{"code":-2015,"msg":"Invalid API-key, IP, or permissions for action."}"#,
    );
    let told = rig.told();
    assert!(
        told[0].starts_with("Permission Invalid API-key"),
        "{told:?}"
    );
    assert_eq!(rig.reconnects, 1);
    assert_eq!(Asked::CancelAll.as_str(), "cancel_all");
}

//! Trading at Bybit spot and linear: REST, the trade link, the private stream, limits, refusals and
//! cancel-on-disconnect, beside the ledger.

mod common;

use common::orders::{header, json};
use common::{MS, Pipe, SECOND};
use serde_json::{Value, json as js};
use tickwire_sim::{ConnId, Delivery, Fault, SimVenue, VenueSpec};

const SPOT: SimVenue = SimVenue::BybitSpot;
const LINEAR: SimVenue = SimVenue::BybitLinear;
const CREATE: (&str, &str) = ("POST", "/v5/order/create");

/// A pipe, and a private link with all topics.
fn pipe(venue: SimVenue) -> (Pipe, ConnId) {
    let spec = VenueSpec::of(venue)
        .symbols(&["BTCUSDT"])
        .rate_msgs_s(200)
        .demo_account();
    let mut pipe = Pipe::new(&[spec]);
    let (conn, told) = pipe.bybit_link(venue, "/v5/private");
    assert_eq!(told["success"], true);
    let topics = js!({"op": "subscribe", "args": ["order", "execution", "position", "wallet"]});
    pipe.send(venue, conn, &topics.to_string());
    assert_eq!(pipe.texts(conn)[0]["success"], true);
    (pipe, conn)
}

fn order(venue: SimVenue, side: &str, price: &str, qty: &str) -> Value {
    let category = if venue == SPOT { "spot" } else { "linear" };
    js!({
        "category": category, "symbol": "BTCUSDT", "side": side, "orderType": "Limit",
        "qty": qty, "price": price, "timeInForce": "GTC",
    })
}

fn with(mut order: Value, fields: &[(&str, &str)]) -> Value {
    for (name, value) in fields {
        order[name] = Value::from(*value);
    }
    order
}

/// (topic, order status or exec type) of each element told.
fn told(texts: &[Value]) -> Vec<(String, String)> {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let all = texts.iter().flat_map(|text| {
        let data = text["data"].as_array().cloned().unwrap_or_default();
        data.into_iter().map(move |one| {
            let kind = if one.get("orderStatus").is_some() {
                "orderStatus"
            } else {
                "execType"
            };
            (word(&text["topic"]), word(&one[kind]))
        })
    });
    all.collect()
}

#[test]
fn answer_says_accepted_and_the_stream_says_what_became_of_it() {
    for venue in [SPOT, LINEAR] {
        let (mut pipe, conn) = pipe(venue);
        let body = with(
            order(venue, "Buy", "50000", "0.01"),
            &[("orderLinkId", "mine")],
        );
        let placed = pipe.bybit(venue, CREATE, &body.to_string());
        let limit = if venue == SPOT { "20" } else { "10" };
        assert_eq!(header(&placed, "X-Bapi-Limit"), Some(limit));
        let stamp = (pipe.now / MS).to_string();
        assert_eq!(
            header(&placed, "X-Bapi-Limit-Reset-Timestamp"),
            Some(&*stamp)
        );
        let placed = json(&placed);
        assert_eq!(
            (&placed["retCode"], &placed["result"]["orderLinkId"]),
            (&js!(0), &js!("mine"))
        );
        let id = placed["result"]["orderId"].as_str().unwrap().to_owned();
        let texts = pipe.texts(conn);
        assert_eq!(told(&texts)[0], ("order".to_owned(), "New".to_owned()));
        assert_eq!(texts[0]["data"][0]["orderId"], *id);
        let category = body["category"].as_str().unwrap();
        let query = format!("category={category}&symbol=BTCUSDT");
        let open = json(&pipe.bybit(venue, ("GET", "/v5/order/realtime"), &query));
        assert_eq!(open["result"]["list"][0]["orderId"], *id);
        let amend = js!({"category": category, "symbol": "BTCUSDT", "orderId": id, "qty": "0.02"});
        let amended = json(&pipe.bybit(venue, ("POST", "/v5/order/amend"), &amend.to_string()));
        assert_eq!(amended["retCode"], 0, "{amended}");
        let again = json(&pipe.bybit(venue, CREATE, &body.to_string()));
        assert_eq!(
            again["retCode"],
            if venue == SPOT { 170_141 } else { 110_072 }
        );
        let cancel = js!({"category": category, "symbol": "BTCUSDT", "orderLinkId": "mine"});
        let cancel = cancel.to_string();
        let canceled = json(&pipe.bybit(venue, ("POST", "/v5/order/cancel"), &cancel));
        assert_eq!(canceled["result"]["orderId"], *id);
        let last = told(&pipe.texts(conn))
            .into_iter()
            .rfind(|one| one.0 == "order")
            .unwrap();
        assert_eq!(last.1, "Cancelled");
        let twice = json(&pipe.bybit(venue, ("POST", "/v5/order/cancel"), &cancel));
        assert_eq!(
            twice["retCode"],
            if venue == SPOT { 170_142 } else { 110_001 }
        );
        // Not even after its order has ended may a client id be used again.
        let again = json(&pipe.bybit(venue, CREATE, &body.to_string()));
        assert_eq!(
            again["retCode"],
            if venue == SPOT { 170_141 } else { 110_072 }
        );
        let history = json(&pipe.bybit(venue, ("GET", "/v5/order/history"), &query));
        assert_eq!(history["result"]["list"][0]["orderStatus"], "Cancelled");
        let ledger = pipe.world.ledger(venue, "demo").unwrap();
        assert_eq!(ledger.balance("USDT"), ("1000000", "0"));
    }
}

#[test]
fn market_buyer_of_spot_gives_quote_unless_it_says_otherwise() {
    let (mut pipe, conn) = pipe(SPOT);
    let market = js!({"category": "spot", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Market", "qty": "100"});
    assert_eq!(
        json(&pipe.bybit(SPOT, CREATE, &market.to_string()))["retCode"],
        0
    );
    let fills = |pipe: &Pipe| pipe.world.ledger(SPOT, "demo").unwrap().fills;
    let value: f64 = fills(&pipe)
        .iter()
        .map(|fill| fill.price.parse::<f64>().unwrap() * fill.qty.parse::<f64>().unwrap())
        .sum();
    assert!((99.0..=100.0).contains(&value), "{value}");
    let before = fills(&pipe).len();
    let base = with(market, &[("marketUnit", "baseCoin"), ("qty", "0.01")]);
    assert_eq!(
        json(&pipe.bybit(SPOT, CREATE, &base.to_string()))["retCode"],
        0
    );
    let bought: f64 = fills(&pipe)[before..]
        .iter()
        .map(|f| f.qty.parse::<f64>().unwrap())
        .sum();
    assert!((bought - 0.01).abs() < 1e-9);
    assert_eq!(
        fills(&pipe)[0].fee_asset,
        "BTC",
        "a buyer pays in what it gets"
    );
    let texts = pipe.texts(conn);
    let wallet = texts
        .iter()
        .rfind(|text| text["topic"] == "wallet")
        .unwrap();
    let coins = wallet["data"][0]["coin"].as_array().unwrap();
    let ledger = pipe.world.ledger(SPOT, "demo").unwrap();
    for coin in coins {
        let (free, _) = ledger.balance(coin["coin"].as_str().unwrap());
        assert_eq!(coin["walletBalance"], free);
    }
}

#[test]
fn post_only_that_would_take_is_accepted_and_ends_on_the_stream() {
    for venue in [SPOT, LINEAR] {
        let (mut pipe, conn) = pipe(venue);
        let (_, ask) = pipe.top(venue, "BTCUSDT");
        let body = with(
            order(venue, "Buy", &ask, "0.01"),
            &[("timeInForce", "PostOnly")],
        );
        assert_eq!(
            json(&pipe.bybit(venue, CREATE, &body.to_string()))["retCode"],
            0
        );
        let texts = pipe.texts(conn);
        let order = &texts[0]["data"][0];
        assert_eq!(order["orderStatus"], "Cancelled");
        assert_eq!(order["rejectReason"], "EC_PostOnlyWillTakeLiquidity");
        assert_eq!(pipe.world.ledger(venue, "demo").unwrap().fills, []);
    }
}

#[test]
fn linear_position_opens_closes_and_is_told_as_the_ledger_has_it() {
    let (mut pipe, conn) = pipe(LINEAR);
    let market = |side: &str, reduce: bool| js!({"category": "linear", "symbol": "BTCUSDT", "side": side, "orderType": "Market", "qty": "0.5", "reduceOnly": reduce});
    let refused = json(&pipe.bybit(LINEAR, CREATE, &market("Sell", true).to_string()));
    assert_eq!(refused["retCode"], 110_017);
    assert_eq!(
        json(&pipe.bybit(LINEAR, CREATE, &market("Buy", false).to_string()))["retCode"],
        0
    );
    let position = json(&pipe.bybit(
        LINEAR,
        ("GET", "/v5/position/list"),
        "category=linear&symbol=BTCUSDT",
    ));
    let position = &position["result"]["list"][0];
    assert_eq!(
        (&position["side"], &position["size"]),
        (&js!("Buy"), &js!("0.500"))
    );
    let held = &pipe.world.ledger(LINEAR, "demo").unwrap().positions[0];
    assert_eq!(
        (&*held.qty, &position["avgPrice"]),
        ("0.5", &js!(held.average_price))
    );
    assert_eq!(
        json(&pipe.bybit(LINEAR, CREATE, &market("Sell", true).to_string()))["retCode"],
        0
    );
    let texts = pipe.texts(conn);
    let last = texts
        .iter()
        .rfind(|text| text["topic"] == "position")
        .unwrap();
    let ledger = pipe.world.ledger(LINEAR, "demo").unwrap();
    assert_eq!(last["data"][0]["size"], "0.000");
    assert_eq!(
        last["data"][0]["cumRealisedPnl"],
        *ledger.positions[0].realised
    );
    let wallet = texts
        .iter()
        .rfind(|text| text["topic"] == "wallet")
        .unwrap();
    assert_eq!(
        wallet["data"][0]["coin"][0]["walletBalance"],
        ledger.balance("USDT").0
    );
    let list = json(&pipe.bybit(
        LINEAR,
        ("GET", "/v5/execution/list"),
        "category=linear&limit=50",
    ));
    assert_eq!(
        list["result"]["list"].as_array().unwrap().len(),
        ledger.fills.len()
    );
}

#[test]
fn trade_link_takes_orders_and_its_requests_once() {
    let (mut pipe, private) = pipe(LINEAR);
    let (conn, told) = pipe.bybit_link(LINEAR, "/v5/trade");
    assert_eq!((&told["retCode"], &told["op"]), (&js!(0), &js!("auth")));
    let request = |pipe: &Pipe, id: &str, op: &str, arg: Value| {
        let stamp = (pipe.now / MS).to_string();
        js!({"reqId": id, "header": {"X-BAPI-TIMESTAMP": stamp}, "op": op, "args": [arg]})
            .to_string()
    };
    let place = request(
        &pipe,
        "a",
        "order.create",
        order(LINEAR, "Buy", "50000", "0.01"),
    );
    pipe.send(LINEAR, conn, &place);
    pipe.run(0);
    let answer = pipe.texts(conn).remove(0);
    assert_eq!((&answer["retCode"], &answer["reqId"]), (&js!(0), &js!("a")));
    assert_eq!(answer["header"]["X-Bapi-Limit-Status"], "9");
    assert_eq!(
        pipe.texts(private)[0]["data"][0]["orderId"],
        answer["data"]["orderId"]
    );
    pipe.send(LINEAR, conn, &place);
    assert_eq!(pipe.texts(conn)[0]["retCode"], 20_006);
    let id = &answer["data"]["orderId"];
    let arg = js!({"category": "linear", "symbol": "BTCUSDT", "orderId": id});
    let cancel = request(&pipe, "b", "order.cancel", arg.clone());
    pipe.send(LINEAR, conn, &cancel);
    assert_eq!(pipe.texts(conn)[0]["retCode"], 0);
    pipe.run(10 * SECOND);
    let late = cancel.replace("\"b\"", "\"c\"");
    pipe.send(LINEAR, conn, &late);
    assert_eq!(pipe.texts(conn)[0]["retCode"], 10_002, "an old timestamp");
    for (id, op, code) in [
        ("d", "order.cancel", 110_001),
        ("e", "order.destroy", 10_404),
    ] {
        let text = request(&pipe, id, op, arg.clone());
        pipe.send(LINEAR, conn, &text);
        assert_eq!(pipe.texts(conn)[0]["retCode"], code);
    }
    pipe.send(LINEAR, conn, r#"{"op":"ping"}"#);
    assert_eq!(pipe.texts(conn)[0]["op"], "pong");
}

#[test]
fn refusals_have_the_venues_own_codes() {
    for venue in [SPOT, LINEAR] {
        let (mut pipe, _) = pipe(venue);
        let good = order(venue, "Buy", "50000", "0.01");
        let spot = venue == SPOT;
        let pick = |a, b| if spot { a } else { b };
        let cases = [
            (with(good.clone(), &[("category", "option")]), 10_001),
            (
                with(good.clone(), &[("symbol", "NOPE")]),
                pick(170_121, 10_001),
            ),
            (with(good.clone(), &[("side", "Hold")]), 10_001),
            (with(good.clone(), &[("orderType", "Wish")]), 10_001),
            (
                with(good.clone(), &[("price", "50000.123")]),
                pick(170_134, 10_001),
            ),
            (
                with(good.clone(), &[("price", "5000000")]),
                pick(170_132, 110_003),
            ),
            (
                with(good.clone(), &[("qty", "0.0000000001")]),
                pick(170_137, 10_001),
            ),
            (with(good.clone(), &[("qty", "0")]), pick(170_136, 10_001)),
            (
                with(good.clone(), &[("qty", "0.001"), ("price", "4000")]),
                pick(170_140, 110_094),
            ),
            (
                with(good.clone(), &[("qty", if spot { "200" } else { "1000" })]),
                pick(170_131, 110_007),
            ),
            (with(good.clone(), &[("orderLinkId", "a b")]), 10_001),
            (with(good.clone(), &[("positionIdx", "1")]), 10_001),
        ];
        for (body, code) in cases {
            pipe.run(SECOND);
            let told = json(&pipe.bybit(venue, CREATE, &body.to_string()));
            assert_eq!(told["retCode"], code, "{body}: {told}");
        }
        let cancel = with(good, &[("orderId", "1")]).to_string();
        let told = json(&pipe.bybit(venue, ("POST", "/v5/order/cancel"), &cancel));
        assert_eq!(told["retCode"], pick(170_213, 110_001));
    }
}

#[test]
fn eleventh_order_of_a_second_is_too_many() {
    let (mut pipe, _) = pipe(LINEAR);
    let body = order(LINEAR, "Buy", "50000", "0.01").to_string();
    for n in 0..10 {
        let placed = pipe.bybit(LINEAR, CREATE, &body);
        assert_eq!(json(&placed)["retCode"], 0);
        assert_eq!(
            header(&placed, "X-Bapi-Limit-Status"),
            Some(&*(9 - n).to_string())
        );
    }
    let over = pipe.bybit(LINEAR, CREATE, &body);
    assert_eq!((over.status, &json(&over)["retCode"]), (200, &js!(10_006)));
    let reset = (pipe.now / MS + 1_000).to_string();
    assert_eq!(header(&over, "X-Bapi-Limit-Reset-Timestamp"), Some(&*reset));
    pipe.run(SECOND);
    assert_eq!(json(&pipe.bybit(LINEAR, CREATE, &body))["retCode"], 0);
}

#[test]
fn orders_end_when_all_links_that_hold_dcp_are_gone_for_its_window() {
    let (mut pipe, conn) = pipe(SPOT);
    let path = ("POST", "/v5/order/disconnected-cancel-all");
    assert_eq!(
        json(&pipe.bybit(SPOT, path, r#"{"timeWindow":10}"#))["retCode"],
        0
    );
    let info = json(&pipe.bybit(SPOT, ("GET", "/v5/account/info"), ""));
    assert_eq!(
        (&info["result"]["dcpStatus"], &info["result"]["timeWindow"]),
        (&js!("ON"), &js!(10))
    );
    pipe.send(SPOT, conn, r#"{"op":"subscribe","args":["dcp.spot"]}"#);
    let body = order(SPOT, "Buy", "50000", "0.01").to_string();
    pipe.bybit(SPOT, CREATE, &body);
    let status = |pipe: &Pipe| pipe.world.ledger(SPOT, "demo").unwrap().orders[0].status;
    pipe.inject(SPOT, &"cut-private".parse::<Fault>().unwrap());
    pipe.run(9 * SECOND);
    assert_eq!(status(&pipe), "new");
    pipe.run(2 * SECOND);
    assert_eq!(status(&pipe), "canceled");
}

#[test]
fn order_faults_act_on_what_is_told_alone() {
    for (text, delivery) in [
        ("ack-lost", Delivery::Never),
        ("slow-ack for=1s", Delivery::At(common::START + SECOND)),
        ("accepted-5xx", Delivery::Now),
    ] {
        let (mut pipe, _) = pipe(SPOT);
        pipe.inject(SPOT, &text.parse::<Fault>().unwrap());
        let body = order(SPOT, "Buy", "50000", "0.01").to_string();
        let placed = pipe.bybit(SPOT, CREATE, &body);
        assert_eq!(placed.delivery, delivery);
        assert_eq!(
            placed.status,
            if text == "accepted-5xx" { 503 } else { 200 }
        );
        assert_eq!(pipe.world.ledger(SPOT, "demo").unwrap().orders.len(), 1);
    }
}

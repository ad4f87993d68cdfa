//! Each shape of private frame and trading answer against the real thing: the keys and the JSON type
//! of each value, nested. Real means a line of a fixture pack, or where none has it the sample of the
//! venue's page. Named keys that only some of the real ones have are said where they are left out.

mod common;

use std::collections::BTreeSet;

use common::orders::json;
use common::{Pipe, fixture_lines};
use serde_json::{Value, json as js};
use tickwire_sim::{ConnId, HttpResponse, SimVenue, VenueSpec};

/// Keys and types, nested; a list has the shapes of its elements. Numbers are one type: 0 and 0.5 may
/// stand for each other. `null` and a list without elements fit anything.
fn shape(value: &Value) -> Value {
    match value {
        Value::Null => Value::from("any"),
        Value::Bool(_) => Value::from("bool"),
        Value::Number(_) => Value::from("number"),
        Value::String(_) => Value::from("string"),
        Value::Array(list) => list
            .first()
            .map_or(Value::from("any"), |one| js!([shape(one)])),
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| (key.clone(), shape(value)))
            .collect(),
    }
}

/// Fails where two shapes differ, but for keys that one alone may have.
fn same(ours: &Value, real: &Value, free: &[&str]) {
    fn walk(path: &str, ours: &Value, real: &Value, free: &[&str], faults: &mut Vec<String>) {
        match (ours, real) {
            (Value::Object(a), Value::Object(b)) => {
                let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
                for key in keys.into_iter().filter(|key| !free.contains(&key.as_str())) {
                    let at = format!("{path}.{key}");
                    match (a.get(key), b.get(key)) {
                        (Some(a), Some(b)) => walk(&at, a, b, free, faults),
                        (Some(_), None) => faults.push(format!("{at} is ours alone")),
                        _ => faults.push(format!("{at} is missing")),
                    }
                }
            }
            (Value::Array(a), Value::Array(b)) => {
                if let (Some(a), Some(b)) = (a.first(), b.first()) {
                    walk(&format!("{path}[]"), a, b, free, faults);
                }
            }
            (a, b) if a == b || a == "any" || b == "any" => {}
            (a, b) => faults.push(format!("{path}: {a} instead of {b}")),
        }
    }
    let mut faults = Vec::new();
    walk("", &shape(ours), &shape(real), free, &mut faults);
    assert!(
        faults.is_empty(),
        "{}\nours {ours}\nreal {real}",
        faults.join("\n")
    );
}

/// The body of a nautilus fixture whose path ends so.
fn nautilus(venue: &str, path: &str) -> Option<Value> {
    let lines = fixture_lines(&format!("{venue}/nautilus_test_data.jsonl"))?;
    let all = lines
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut found = all.filter(|one| one["path"].as_str().unwrap().ends_with(path));
    let body = found.next().unwrap_or_else(|| panic!("no fixture {path}"))["body"].take();
    Some(
        body.as_str()
            .map_or_else(|| body.clone(), |text| serde_json::from_str(text).unwrap()),
    )
}

/// The answer in a JKorf fixture whose path ends so: what stands behind the request line.
fn jkorf(file: &str, path: &str) -> Option<Value> {
    let lines = fixture_lines(file)?;
    let all = lines
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut found = all.filter(|one| one["path"].as_str().unwrap().ends_with(path));
    let one = found.next().unwrap_or_else(|| panic!("no fixture {path}"));
    let text = one["text"].as_str().unwrap();
    // Request texts stand before it: of REST a line, of sockets lines that begin with > and <.
    let text = text.rsplit_once("\n=").map_or(text, |(_, answer)| answer);
    let start = text.find(['{', '[']).unwrap();
    let text: String = text[start..].replace("|1|", "1").replace("|2|", "2");
    let mut values = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
    Some(values.next().unwrap().unwrap())
}

const BINANCE_JKORF: &str = "binance/jkorf_binancenet_fixtures.jsonl.zst";
const BYBIT_JKORF: &str = "bybit/jkorf_bybitnet_fixtures.jsonl";

fn binance(pipe: &mut Pipe, call: (&str, &str), params: &str) -> Value {
    let answer: HttpResponse = pipe.binance(SimVenue::BinanceSpot, call, params);
    json(&answer)
}

#[test]
fn binance_spot_orders_are_as_sampled() {
    let real = |path: &str| nautilus("binance", path);
    if real("spot/http_json/order_response.json").is_none() {
        return;
    }
    let venue = SimVenue::BinanceSpot;
    let mut pipe = Pipe::new(&[VenueSpec::of(venue).symbols(&["BTCUSDT"]).demo_account()]);
    let conn = pipe.open(venue, "/ws-api/v3").unwrap();
    pipe.ws_logon(venue, conn);
    let told = pipe
        .ws_call(venue, conn, "userDataStream.subscribe", &js!({}))
        .remove(0);
    let sample = r#"{"id":"1","status":200,"result":{"subscriptionId":0},"rateLimits":[{"rateLimitType":"REQUEST_WEIGHT","interval":"MINUTE","intervalNum":1,"limit":6000,"count":4}]}"#;
    same(&told, &serde_json::from_str(sample).unwrap(), &[]);
    let order = "/api/v3/order";
    let market = "symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.01";
    let full = binance(&mut pipe, ("POST", order), market);
    same(
        &full,
        &real("spot/http_json/new_order_full_response.json").unwrap(),
        &[],
    );
    let limit = "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&price=50000.00&quantity=0.02&newClientOrderId=a";
    binance(&mut pipe, ("POST", order), limit);
    let queried = binance(
        &mut pipe,
        ("GET", order),
        "symbol=BTCUSDT&origClientOrderId=a",
    );
    same(
        &queried,
        &real("spot/http_json/order_response.json").unwrap(),
        &[],
    );
    let open = binance(&mut pipe, ("GET", "/api/v3/openOrders"), "symbol=BTCUSDT");
    same(
        &open,
        &real("spot/http_json/open_orders_response.json").unwrap(),
        &[],
    );
    let all = binance(&mut pipe, ("GET", "/api/v3/allOrders"), "symbol=BTCUSDT");
    same(
        &all,
        &real("spot/http_json/all_orders_response.json").unwrap(),
        &[],
    );
    let trades = binance(&mut pipe, ("GET", "/api/v3/myTrades"), "symbol=BTCUSDT");
    same(
        &trades,
        &real("spot/http_json/account_trades_response.json").unwrap(),
        &[],
    );
    let account = binance(&mut pipe, ("GET", "/api/v3/account"), "");
    same(
        &account,
        &real("spot/http_json/account_response.json").unwrap(),
        &[],
    );
    let path = "/api/v3/order/amend/keepPriority";
    let amended = binance(
        &mut pipe,
        ("PUT", path),
        "symbol=BTCUSDT&origClientOrderId=a&newQty=0.01",
    );
    // Of orders with a trailing stop, a strategy or self-trade prevention alone.
    let others = [
        "trailingDelta",
        "trailingTime",
        "strategyId",
        "strategyType",
        "preventedMatchId",
        "preventedQuantity",
    ];
    let sample = jkorf(BINANCE_JKORF, "Endpoints/Spot/Trading/AmendOrder.txt").unwrap();
    same(&amended, &sample, &others);
    let cancel = binance(
        &mut pipe,
        ("DELETE", order),
        "symbol=BTCUSDT&origClientOrderId=a",
    );
    same(
        &cancel,
        &real("spot/http_json/cancel_order_response.json").unwrap(),
        &[],
    );
    binance(&mut pipe, ("POST", order), limit);
    let replace = format!("{limit}&cancelReplaceMode=STOP_ON_FAILURE&cancelOrigClientOrderId=a");
    let replaced = binance(&mut pipe, ("POST", "/api/v3/order/cancelReplace"), &replace);
    let sample = jkorf(BINANCE_JKORF, "Socket/Spot/Trading/ReplaceOrder.txt").unwrap();
    // The sample answers with RESULT, and leaves out when the order came into the book.
    same(&replaced, &sample["result"], &["workingTime", "fills"]);
    let all = binance(
        &mut pipe,
        ("DELETE", "/api/v3/openOrders"),
        "symbol=BTCUSDT",
    );
    same(
        &all,
        &real("spot/http_json/cancel_open_orders_response.json").unwrap(),
        &[],
    );
    let counts = binance(&mut pipe, ("GET", "/api/v3/rateLimit/order"), "");
    let sample = jkorf(BINANCE_JKORF, "Spot/Account/GetOrderRateLimitStatus.txt").unwrap();
    same(&counts, &sample, &[]);
    // Events.
    let texts = pipe.texts(conn);
    let report = real("spot/user_data_json/execution_report_wrapped.json").unwrap();
    let position = real("spot/user_data_json/account_position_wrapped.json").unwrap();
    let mut kinds = BTreeSet::new();
    for text in &texts {
        let event = &text["event"];
        kinds.insert(event["x"].as_str().unwrap_or_default().to_owned());
        same(
            text,
            if event["e"] == "executionReport" {
                &report
            } else {
                &position
            },
            &[],
        );
    }
    assert_eq!(
        kinds.into_iter().collect::<Vec<_>>(),
        ["", "CANCELED", "NEW", "REPLACED", "TRADE"]
    );
}

#[test]
fn binance_futures_orders_are_as_sampled() {
    let real = |path: &str| nautilus("binance", path);
    if real("futures/http_json/order_response.json").is_none() {
        return;
    }
    let venue = SimVenue::BinanceLinear;
    let mut pipe = Pipe::new(&[VenueSpec::of(venue).symbols(&["BTCUSDT"]).demo_account()]);
    let key = [(
        "X-MBX-APIKEY".to_owned(),
        tickwire_sim::AccountSpec::DEMO_KEY.to_owned(),
    )];
    let told = json(&pipe.http(venue, ("POST", "/fapi/v1/listenKey"), &key, b""));
    let key = told["listenKey"].as_str().unwrap();
    let conn = pipe
        .open(venue, &format!("/private/ws?listenKey={key}"))
        .unwrap();
    let call = |pipe: &mut Pipe, call: (&str, &str), params: &str| {
        json(&pipe.binance(venue, call, params))
    };
    let market = "symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.01";
    let placed = call(&mut pipe, ("POST", "/fapi/v1/order"), market);
    // Of trailing stops alone.
    let trailing = ["activatePrice", "priceRate"];
    let sample = jkorf(BINANCE_JKORF, "UsdFutures/Trading/PlaceOrder.txt").unwrap();
    same(
        &placed,
        &sample,
        &[&trailing[..], &["goodTillDate"]].concat(),
    );
    let id = &placed["orderId"];
    let queried = call(
        &mut pipe,
        ("GET", "/fapi/v1/order"),
        &format!("symbol=BTCUSDT&orderId={id}"),
    );
    same(
        &queried,
        &real("futures/http_json/order_response.json").unwrap(),
        &[],
    );
    let trades = call(&mut pipe, ("GET", "/fapi/v1/userTrades"), "symbol=BTCUSDT");
    same(
        &trades,
        &jkorf(BINANCE_JKORF, "UsdFutures/Trading/GetUserTrades.txt").unwrap(),
        &[],
    );
    let risk = call(
        &mut pipe,
        ("GET", "/fapi/v3/positionRisk"),
        "symbol=BTCUSDT",
    );
    same(
        &risk,
        &real("futures/http_json/position_risk.json").unwrap(),
        &[],
    );
    let balance = call(&mut pipe, ("GET", "/fapi/v3/balance"), "");
    same(
        &balance,
        &real("futures/http_json/balance.json").unwrap(),
        &[],
    );
    let account = call(&mut pipe, ("GET", "/fapi/v2/account"), "");
    // Version 3 has the value of each position.
    let sample = real("futures/http_json/account_info_v2.json").unwrap();
    same(&account, &sample, &["notional"]);
    let texts = pipe.texts(conn);
    let event = |name: &str| texts.iter().rfind(|text| text["e"] == name).unwrap();
    let sample = real("futures/user_data_json/order_update_trade.json").unwrap();
    // Trailing stops have AP and cr; price matching and expiry came after the sample.
    same(
        event("ORDER_TRADE_UPDATE"),
        &sample,
        &["AP", "cr", "pm", "gtd"],
    );
    same(
        event("ACCOUNT_UPDATE"),
        &real("futures/user_data_json/account_update.json").unwrap(),
        &[],
    );
    same(
        event("TRADE_LITE"),
        &real("futures/user_data_json/trade_lite.json").unwrap(),
        &[],
    );
}

#[test]
fn binance_conditional_orders_are_as_sampled_and_no_others_know_them() {
    let real = |path: &str| jkorf(BINANCE_JKORF, &format!("UsdFutures/Trading/{path}"));
    let Some(sample) = real("PlaceConditionalOrder.txt") else {
        return;
    };
    let venue = SimVenue::BinanceLinear;
    let mut pipe = Pipe::new(&[VenueSpec::of(venue).symbols(&["BTCUSDT"]).demo_account()]);
    let key = [(
        "X-MBX-APIKEY".to_owned(),
        tickwire_sim::AccountSpec::DEMO_KEY.to_owned(),
    )];
    let told = json(&pipe.http(venue, ("POST", "/fapi/v1/listenKey"), &key, b""));
    let key = told["listenKey"].as_str().unwrap();
    let conn = pipe
        .open(venue, &format!("/private/ws?listenKey={key}"))
        .unwrap();
    let call = |pipe: &mut Pipe, call: (&str, &str), params: &str| {
        json(&pipe.binance(venue, call, params))
    };
    let algo = "/fapi/v1/algoOrder";
    let stop = "algoType=CONDITIONAL&symbol=BTCUSDT&side=SELL&type=STOP&timeInForce=GTC&quantity=0.01&price=44000&triggerPrice=45000&workingType=MARK_PRICE&clientAlgoId=";
    let placed = call(&mut pipe, ("POST", algo), &format!("{stop}a"));
    // Of trailing stops alone.
    same(&placed, &sample, &["activatePrice", "callbackRate"]);
    assert_eq!(
        (&placed["algoStatus"], &placed["workingType"]),
        (&js!("NEW"), &js!("MARK_PRICE"))
    );
    let id = &placed["algoId"];
    let queried = call(&mut pipe, ("GET", algo), &format!("algoId={id}"));
    // Of one that has triggered alone.
    let actual = ["actualQty", "actualType"];
    same(&queried, &real("GetConditionalOrder.txt").unwrap(), &actual);
    let open = call(&mut pipe, ("GET", "/fapi/v1/openAlgoOrders"), "");
    same(&open, &real("GetOpenConditionalOrders.txt").unwrap(), &[]);
    // The book's own requests know nothing of it.
    let path = "/fapi/v1/order";
    let unknown = call(
        &mut pipe,
        ("GET", path),
        "symbol=BTCUSDT&origClientOrderId=a",
    );
    assert_eq!(unknown["code"], -2013);
    let unknown = call(
        &mut pipe,
        ("DELETE", path),
        "symbol=BTCUSDT&origClientOrderId=a",
    );
    assert_eq!(unknown["code"], -2011);
    let none = call(&mut pipe, ("GET", "/fapi/v1/openOrders"), "");
    assert_eq!(none, js!([]));
    call(
        &mut pipe,
        ("DELETE", "/fapi/v1/allOpenOrders"),
        "symbol=BTCUSDT",
    );
    let canceled = call(&mut pipe, ("DELETE", algo), "clientAlgoId=a");
    // "Cancel Algo Order", 2026-03.
    let sample = js!({"algoId":2146760,"clientAlgoId":"a","code":"200","msg":"success"});
    same(&canceled, &sample, &[]);
    let twice = call(&mut pipe, ("DELETE", algo), "clientAlgoId=a");
    assert_eq!(twice["code"], -2011);
    call(&mut pipe, ("POST", algo), &format!("{stop}b"));
    let all = call(
        &mut pipe,
        ("DELETE", "/fapi/v1/algoOpenOrders"),
        "symbol=BTCUSDT",
    );
    same(&all, &real("CancelAllConditionalOrders.txt").unwrap(), &[]);
    let there = stop.replace("SELL", "BUY");
    let refused = call(&mut pipe, ("POST", algo), &format!("{there}c"));
    assert_eq!(refused["code"], -2021);
    let texts = pipe.texts(conn);
    let events: Vec<_> = texts
        .iter()
        .filter(|text| text["e"] == "ALGO_UPDATE")
        .collect();
    let states: Vec<_> = events.iter().map(|event| &event["o"]["X"]).collect();
    assert_eq!(states, ["NEW", "CANCELED", "NEW", "CANCELED"]);
    assert!(texts.iter().all(|text| text["e"] != "ORDER_TRADE_UPDATE"));
    let sample = nautilus("binance", "futures/user_data_json/algo_update_new.json").unwrap();
    // Why one has failed.
    same(events[0], &sample, &["rm"]);
}

fn bybit_rig(venue: SimVenue) -> (Pipe, ConnId) {
    let mut pipe = Pipe::new(&[VenueSpec::of(venue).symbols(&["BTCUSDT"]).demo_account()]);
    let (conn, _) = pipe.bybit_link(venue, "/v5/private");
    let topics =
        r#"{"op":"subscribe","args":["order","execution","execution.fast","position","wallet"]}"#;
    pipe.send(venue, conn, topics);
    pipe.texts(conn);
    (pipe, conn)
}

#[test]
fn bybit_orders_are_as_sampled() {
    let real = |path: &str| nautilus("bybit", path);
    if real("ws_account_order_filled.json").is_none() {
        return;
    }
    let venue = SimVenue::BybitLinear;
    let (mut pipe, conn) = bybit_rig(venue);
    let market = r#"{"category":"linear","symbol":"BTCUSDT","side":"Buy","orderType":"Market","qty":"0.01"}"#;
    let placed = json(&pipe.bybit(venue, ("POST", "/v5/order/create"), market));
    same(
        &placed,
        &jkorf(BYBIT_JKORF, "V5Api/Trading/CancelOrder.txt").unwrap(),
        &[],
    );
    let limit = r#"{"category":"linear","symbol":"BTCUSDT","side":"Buy","orderType":"Limit","qty":"0.01","price":"50000"}"#;
    pipe.bybit(venue, ("POST", "/v5/order/create"), limit);
    let query = "category=linear&symbol=BTCUSDT";
    let open = json(&pipe.bybit(venue, ("GET", "/v5/order/realtime"), query));
    same(
        &open,
        &jkorf(BYBIT_JKORF, "V5Api/Trading/GetOrders.txt").unwrap(),
        &[],
    );
    let trades = json(&pipe.bybit(venue, ("GET", "/v5/execution/list"), query));
    same(&trades, &real("http_get_executions.json").unwrap(), &[]);
    let positions = json(&pipe.bybit(venue, ("GET", "/v5/position/list"), query));
    same(
        &positions,
        &jkorf(BYBIT_JKORF, "V5Api/Trading/GetPositions.txt").unwrap(),
        &[],
    );
    let info = json(&pipe.bybit(venue, ("GET", "/v5/account/info"), ""));
    same(
        &info,
        &real("http_get_account_info.json").unwrap(),
        &["time", "retExtInfo"],
    );
    let wallet = json(&pipe.bybit(
        venue,
        ("GET", "/v5/account/wallet-balance"),
        "accountType=UNIFIED",
    ));
    // Spot hedging came, spot borrowing went after the sample.
    same(
        &wallet,
        &real("http_get_wallet_balance.json").unwrap(),
        &["spotHedgingQty", "spotBorrow"],
    );
    let texts = pipe.texts(conn);
    let topic = |name: &str| texts.iter().find(|text| text["topic"] == name).unwrap();
    same(
        topic("order"),
        &real("ws_account_order_filled.json").unwrap(),
        &[],
    );
    // The fee's currency is in the sample of the page (v5/websocket/private/execution).
    same(
        topic("execution"),
        &real("ws_account_execution.json").unwrap(),
        &["feeCurrency"],
    );
    same(
        topic("execution.fast"),
        &real("ws_account_execution_fast.json").unwrap(),
        &["id"],
    );
    let by_mark_price = ["positionIMByMp", "positionMMByMp"];
    same(
        topic("position"),
        &real("ws_account_position.json").unwrap(),
        &by_mark_price,
    );
    let sample = jkorf(BYBIT_JKORF, "Subscriptions/V5/Private/Balance.txt").unwrap();
    same(topic("wallet"), &sample, &[]);
    let (trade, auth) = pipe.bybit_link(venue, "/v5/trade");
    let sample = r#"{"retCode":0,"retMsg":"OK","op":"auth","connId":"x"}"#;
    same(&auth, &serde_json::from_str(sample).unwrap(), &[]);
    let stamp = pipe.now / common::MS;
    let request = format!(
        r#"{{"reqId":"1","header":{{"X-BAPI-TIMESTAMP":"{stamp}"}},"op":"order.create","args":[{limit}]}}"#
    );
    pipe.send(venue, trade, &request);
    let answer = pipe.texts(trade).remove(0);
    let mut sample = jkorf(BYBIT_JKORF, "Socket/V5Api/Private/PlaceOrder.txt").unwrap();
    sample["reqId"] = Value::from("1");
    same(&answer, &sample, &[]);
}

//! Trading at Binance spot: over REST and over the WebSocket API, with the events of the user data
//! stream, the venue's errors and limits, and the ledger behind it all.

mod common;

use common::orders::{header, hmac_hex, json};
use common::{MS, Pipe, SECOND};
use serde_json::{Value, json as js};
use tickwire_sim::{AccountSpec, ConnId, Fault, SimVenue, VenueSpec};

const VENUE: SimVenue = SimVenue::BinanceSpot;
const ORDER: &str = "/api/v3/order";

/// One instrument whose market stands still until it is resumed.
fn spec() -> VenueSpec {
    VenueSpec::binance_spot()
        .symbols(&["BTCUSDT"])
        .rate_msgs_s(200)
        .demo_account()
}

/// A pipe, and a connection with the account's events.
fn pipe() -> (Pipe, ConnId) {
    let mut pipe = Pipe::new(&[spec()]);
    let conn = pipe.open(VENUE, "/ws-api/v3").unwrap();
    assert_eq!(pipe.ws_logon(VENUE, conn)["status"], 200);
    let told = pipe.ws_call(VENUE, conn, "userDataStream.subscribe", &js!({}));
    assert_eq!(told[0]["result"], js!({"subscriptionId": 0}));
    (pipe, conn)
}

fn limit(side: &str, price: &str, qty: &str) -> String {
    format!("symbol=BTCUSDT&side={side}&type=LIMIT&timeInForce=GTC&price={price}&quantity={qty}")
}

/// (execution type, status, last quantity) of the execution reports among these.
fn reports(texts: &[Value]) -> Vec<(String, String, String)> {
    let events = texts.iter().map(|text| &text["event"]);
    let reports = events.filter(|event| event["e"] == "executionReport");
    let word = |event: &Value, key: &str| event[key].as_str().unwrap().to_owned();
    reports
        .map(|event| (word(event, "x"), word(event, "X"), word(event, "l")))
        .collect()
}

#[test]
fn order_rests_is_told_and_is_cancelled() {
    let (mut pipe, conn) = pipe();
    let params = limit("BUY", "50000.00", "0.01") + "&newClientOrderId=mine";
    let placed = pipe.binance(VENUE, ("POST", ORDER), &params);
    assert_eq!(placed.status, 200, "{}", json(&placed));
    assert_eq!(header(&placed, "X-MBX-ORDER-COUNT-10S"), Some("1"));
    assert_eq!(header(&placed, "X-MBX-ORDER-COUNT-1D"), Some("1"));
    let order = json(&placed);
    assert_eq!((&order["status"], &order["fills"]), (&js!("NEW"), &js!([])));
    let texts = pipe.texts(conn);
    let new = ("NEW".to_owned(), "NEW".to_owned(), "0.00000000".to_owned());
    assert_eq!(reports(&texts), [new]);
    let locked = js!({"a": "USDT", "f": "999500.00000000", "l": "500.00000000"});
    assert_eq!(texts[1]["event"]["B"][1], locked);
    let open = json(&pipe.binance(VENUE, ("GET", "/api/v3/openOrders"), "symbol=BTCUSDT"));
    assert_eq!(open[0]["clientOrderId"], "mine");
    let again = pipe.binance(VENUE, ("POST", ORDER), &params);
    assert_eq!(
        json(&again),
        js!({"code": -2010, "msg": "Duplicate order sent."})
    );
    let cancel = "symbol=BTCUSDT&origClientOrderId=mine&newClientOrderId=bye";
    let canceled = json(&pipe.binance(VENUE, ("DELETE", ORDER), cancel));
    assert_eq!(
        (&canceled["clientOrderId"], &canceled["status"]),
        (&js!("bye"), &js!("CANCELED"))
    );
    let event = pipe.texts(conn)[0]["event"].clone();
    assert_eq!(
        (&event["c"], &event["C"], &event["X"]),
        (&js!("bye"), &js!("mine"), &js!("CANCELED"))
    );
    let ledger = pipe.world.ledger(VENUE, "demo").unwrap();
    assert_eq!(ledger.balance("USDT"), ("1000000", "0"));
    let twice = pipe.binance(VENUE, ("DELETE", ORDER), cancel);
    assert_eq!(json(&twice)["code"], -2011);
}

#[test]
fn marketable_order_fills_in_its_answer_its_events_and_the_ledger_alike() {
    let (mut pipe, conn) = pipe();
    let (_, ask) = pipe.top(VENUE, "BTCUSDT");
    let params =
        js!({"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quoteOrderQty": "1000"});
    let texts = pipe.ws_call(VENUE, conn, "order.place", &params);
    let result = &texts[0]["result"];
    assert_eq!(result["status"], "FILLED");
    let kinds: Vec<&str> = texts[0]["rateLimits"]
        .as_array()
        .unwrap()
        .iter()
        .map(|limit| limit["rateLimitType"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["ORDERS", "ORDERS", "REQUEST_WEIGHT"]);
    let fills = result["fills"].as_array().unwrap();
    assert!(fills[0]["price"].as_str().unwrap().starts_with(&ask));
    let trades = reports(&texts)
        .into_iter()
        .filter(|report| report.0 == "TRADE")
        .count();
    assert_eq!(trades, fills.len());
    let id = &result["orderId"];
    let mine = json(&pipe.binance(VENUE, ("GET", "/api/v3/myTrades"), "symbol=BTCUSDT"));
    let ids = |list: &Value, key: &str| -> Vec<Value> {
        list.as_array()
            .unwrap()
            .iter()
            .map(|one| one[key].clone())
            .collect()
    };
    assert_eq!(ids(&mine, "id"), ids(&result["fills"], "tradeId"));
    let queried = json(&pipe.binance(
        VENUE,
        ("GET", ORDER),
        &format!("symbol=BTCUSDT&orderId={id}"),
    ));
    assert_eq!(
        queried["cummulativeQuoteQty"],
        result["cummulativeQuoteQty"]
    );
    // What the last event says of the balances is what the account and the ledger say.
    let account = json(&pipe.binance(VENUE, ("GET", "/api/v3/account"), ""));
    let told = &texts.last().unwrap()["event"]["B"];
    let ledger = pipe.world.ledger(VENUE, "demo").unwrap();
    for balance in told.as_array().unwrap() {
        let all = account["balances"].as_array().unwrap();
        let same = all.iter().find(|one| one["asset"] == balance["a"]).unwrap();
        assert_eq!(
            (&same["free"], &same["locked"]),
            (&balance["f"], &balance["l"])
        );
        let (free, _) = ledger.balance(balance["a"].as_str().unwrap());
        assert!(balance["f"].as_str().unwrap().starts_with(free));
    }
    assert_eq!(ledger.fills.len(), fills.len());
}

#[test]
fn resting_order_is_filled_as_the_market_comes_to_it() {
    let (mut pipe, conn) = pipe();
    let (bid, ask) = pipe.top(VENUE, "BTCUSDT");
    for (side, price) in [("BUY", bid), ("SELL", ask)] {
        let params = limit(side, &price, "0.001").replace("LIMIT&timeInForce=GTC", "LIMIT_MAKER");
        assert_eq!(pipe.binance(VENUE, ("POST", ORDER), &params).status, 200);
    }
    for _ in 0..600 {
        pipe.run(SECOND);
    }
    let texts = pipe.texts(conn);
    let maker = texts
        .iter()
        .map(|text| &text["event"])
        .find(|event| event["x"] == "TRADE")
        .unwrap();
    assert_eq!(maker["m"], true);
    assert_eq!(maker["p"], maker["L"], "at its own price");
}

/// Each refusal with its status and code: parameters, filters, orders, keys and clocks.
#[test]
fn refusals_have_the_venues_own_codes() {
    let (mut pipe, _) = pipe();
    let (bid, ask) = pipe.top(VENUE, "BTCUSDT");
    let good = limit("BUY", "50000.00", "0.01");
    let cases: Vec<(String, i64, &str)> = vec![
        (good.replace("BTCUSDT", "NOPE"), -1121, "Invalid symbol."),
        (
            good.replace("&side=BUY", ""),
            -1102,
            "Mandatory parameter 'side'",
        ),
        (good.replace("BUY", "HOLD"), -1117, "Invalid side."),
        (
            good.replace("=LIMIT", "=LIMITED"),
            -1116,
            "Invalid orderType.",
        ),
        (good.replace("GTC", "GTX"), -1115, "Invalid timeInForce."),
        (
            good.replace("50000.00", "50000.001"),
            -1013,
            "Filter failure: PRICE_FILTER",
        ),
        (
            good.replace("50000.00", "50000.000000001"),
            -1111,
            "too much precision",
        ),
        (
            good.replace("50000.00", "cheap"),
            -1100,
            "Illegal characters",
        ),
        (
            good.replace("50000.00", "0"),
            -1013,
            "Filter failure: PRICE_FILTER",
        ),
        (
            good.replace("0.01", "0.000001"),
            -1013,
            "Filter failure: LOT_SIZE",
        ),
        (
            good.replace("0.01", "0.00001"),
            -1013,
            "Filter failure: NOTIONAL",
        ),
        (
            good.replace("0.01", "300"),
            -1013,
            "Filter failure: NOTIONAL",
        ),
        (good.replace("0.01", "100"), -2010, "insufficient balance"),
        (
            good.replace("=LIMIT&", "=LIMIT_MAKER&"),
            -1114,
            "TimeInForce",
        ),
        (
            limit("BUY", &ask, "0.01").replace("=LIMIT&timeInForce=GTC", "=LIMIT_MAKER"),
            -2010,
            "immediately match and take",
        ),
        (
            good.clone() + "&stopPrice=1",
            -1106,
            "'stopPrice' sent when not required",
        ),
        (
            good.clone() + "&newClientOrderId=a+b",
            -1100,
            "newClientOrderId",
        ),
        (
            format!("symbol=BTCUSDT&side=SELL&type=STOP_LOSS&stopPrice={ask}&quantity=0.01"),
            -2010,
            "trigger immediately",
        ),
        (good.clone() + "&recvWindow=70000", -1131, "recvWindow"),
    ];
    for (params, code, words) in cases {
        let response = pipe.binance(VENUE, ("POST", ORDER), &params);
        let told = json(&response);
        assert_eq!(
            (response.status, &told["code"]),
            (400, &js!(code)),
            "{params}: {told}"
        );
        assert!(
            told["msg"].as_str().unwrap().contains(words),
            "{params}: {told}"
        );
    }
    assert!(bid < ask);
    for (method, path, code) in [
        ("GET", ORDER, -2013),
        ("DELETE", ORDER, -2011),
        ("PUT", "/api/v3/order/amend/keepPriority", -2011),
    ] {
        let params = "symbol=BTCUSDT&orderId=1&newQty=0.1";
        assert_eq!(
            json(&pipe.binance(VENUE, (method, path), params))["code"],
            code
        );
    }
    // Keys and clocks.
    let now_ms = pipe.now / MS;
    let ask_account = |pipe: &mut Pipe, key: Option<&str>, secret: &str, stamp: i64| {
        let signed = format!("timestamp={stamp}");
        let target = format!(
            "/api/v3/account?{signed}&signature={}",
            hmac_hex(secret, &signed)
        );
        let headers: Vec<_> = key
            .map(|key| ("X-MBX-APIKEY".to_owned(), key.to_owned()))
            .into_iter()
            .collect();
        let response = pipe.http(VENUE, ("GET", &target), &headers, b"");
        (
            response.status,
            json(&response)["code"].as_i64().unwrap_or(0),
        )
    };
    let (key, secret) = (Some(AccountSpec::DEMO_KEY), AccountSpec::DEMO_SECRET);
    for (key, secret, stamp, wanted) in [
        (key, secret, now_ms, (200, 0)),
        (key, secret, now_ms + 999, (200, 0)),
        (key, secret, now_ms + 1_000, (400, -1021)),
        (key, secret, now_ms - 5_000, (200, 0)),
        (key, secret, now_ms - 5_001, (400, -1021)),
        (key, "wrong", now_ms, (400, -1022)),
        (Some("nobody"), secret, now_ms, (401, -2015)),
        (None, secret, now_ms, (401, -2014)),
    ] {
        assert_eq!(ask_account(&mut pipe, key, secret, stamp), wanted);
    }
}

#[test]
fn amend_keeps_its_place_and_cancel_replace_says_what_was_done() {
    let (mut pipe, conn) = pipe();
    let id =
        json(&pipe.binance(VENUE, ("POST", ORDER), &limit("BUY", "50000.00", "0.02")))["orderId"]
            .clone();
    let path = "/api/v3/order/amend/keepPriority";
    let params = format!("symbol=BTCUSDT&orderId={id}&newQty=0.01");
    let amended = json(&pipe.binance(VENUE, ("PUT", path), &params));
    assert_eq!(amended["amendedOrder"]["origQty"], "0.01000000");
    let up = json(&pipe.binance(VENUE, ("PUT", path), &params.replace("0.01", "0.03")));
    assert_eq!(up["code"], -2038);
    pipe.texts(conn);
    let path = "/api/v3/order/cancelReplace";
    let replace = format!(
        "{}&cancelReplaceMode=STOP_ON_FAILURE",
        limit("BUY", "49000.00", "0.01")
    );
    let done = json(&pipe.binance(
        VENUE,
        ("POST", path),
        &format!("{replace}&cancelOrderId={id}"),
    ));
    assert_eq!(
        (&done["cancelResult"], &done["newOrderResult"]),
        (&js!("SUCCESS"), &js!("SUCCESS"))
    );
    let kinds: Vec<String> = reports(&pipe.texts(conn))
        .into_iter()
        .map(|report| report.0)
        .collect();
    assert_eq!(kinds, ["CANCELED", "NEW"]);
    let failed = pipe.binance(
        VENUE,
        ("POST", path),
        &format!("{replace}&cancelOrderId={id}"),
    );
    assert_eq!((failed.status, &json(&failed)["code"]), (400, &js!(-2022)));
    assert_eq!(json(&failed)["data"]["newOrderResult"], "NOT_ATTEMPTED");
    let allow = replace.replace("STOP_ON_FAILURE", "ALLOW_FAILURE");
    let half = pipe.binance(
        VENUE,
        ("POST", path),
        &format!("{allow}&cancelOrderId={id}"),
    );
    assert_eq!((half.status, &json(&half)["code"]), (409, &js!(-2021)));
}

#[test]
fn order_limit_refuses_until_the_window_ends_and_fills_do_not_count() {
    let (mut pipe, _) = pipe();
    let market = "symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.001";
    for _ in 0..5 {
        assert_eq!(pipe.binance(VENUE, ("POST", ORDER), market).status, 200);
    }
    for n in 1..=50 {
        let placed = pipe.binance(VENUE, ("POST", ORDER), &limit("BUY", "50000.00", "0.001"));
        assert_eq!(placed.status, 200, "order {n}: {}", json(&placed));
    }
    let refused = pipe.binance(VENUE, ("POST", ORDER), &limit("BUY", "50000.00", "0.001"));
    assert_eq!(
        (refused.status, &json(&refused)["code"]),
        (429, &js!(-1015))
    );
    assert_eq!(header(&refused, "Retry-After"), Some("10"));
    pipe.run(10 * SECOND);
    let after = pipe.binance(VENUE, ("POST", ORDER), &limit("BUY", "50000.00", "0.001"));
    assert_eq!(header(&after, "X-MBX-ORDER-COUNT-10S"), Some("1"));
}

#[test]
fn weights_are_shared_and_ban_over_the_websocket_api_too() {
    let spec = spec().limits(|l| (l.rest_weight_max, l.rest_ban_after) = (50, 1));
    let mut pipe = Pipe::new(&[spec]);
    let conn = pipe.open(VENUE, "/ws-api/v3").unwrap();
    pipe.ws_logon(VENUE, conn);
    let status = |pipe: &mut Pipe| {
        pipe.ws_call(VENUE, conn, "account.status", &js!({}))
            .remove(0)
    };
    assert_eq!(status(&mut pipe)["rateLimits"][0]["count"], 22);
    assert_eq!(
        pipe.binance(VENUE, ("GET", "/api/v3/account"), "").status,
        200
    );
    let limited = status(&mut pipe);
    assert_eq!(
        (&limited["status"], &limited["error"]["code"]),
        (&js!(429), &js!(-1003))
    );
    let until = limited["error"]["data"]["retryAfter"].as_i64().unwrap();
    assert_eq!(until, pipe.now / MS + 60_000);
    assert_eq!(status(&mut pipe)["status"], 418);
}

#[test]
fn session_knows_who_logged_on_and_hmac_keys_may_not() {
    let mut pipe = Pipe::new(&[spec()]);
    let conn = pipe
        .open(VENUE, "/ws-api/v3?returnRateLimits=false")
        .unwrap();
    let key = AccountSpec::DEMO_KEY;
    let refused = pipe
        .ws_call(VENUE, conn, "userDataStream.subscribe", &js!({}))
        .remove(0);
    assert_eq!(refused["status"], 401);
    let stamp = pipe.now / MS;
    let signature = hmac_hex(
        AccountSpec::DEMO_SECRET,
        &format!("apiKey={key}&timestamp={stamp}"),
    );
    let params = js!({"apiKey": key, "timestamp": stamp, "signature": signature});
    let logon = pipe
        .ws_call(VENUE, conn, "session.logon", &params)
        .remove(0);
    assert_eq!(logon["error"]["code"], -4056);
    let told = pipe
        .ws_call(VENUE, conn, "userDataStream.subscribe.signature", &params)
        .remove(0);
    assert_eq!(
        told,
        js!({"id": "r", "status": 200, "result": {"subscriptionId": 0}})
    );
    // Orders of such a session are signed one by one, by name and unencoded.
    let signed = format!(
        "apiKey={key}&price=50000.00&quantity=0.01&side=BUY&symbol=BTCUSDT&timeInForce=GTC&timestamp={stamp}&type=LIMIT"
    );
    let order = js!({
        "symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC",
        "price": "50000.00", "quantity": "0.01", "apiKey": key,
        "signature": hmac_hex(AccountSpec::DEMO_SECRET, &signed),
    });
    let placed = pipe.ws_call(VENUE, conn, "order.place", &order).remove(0);
    assert_eq!(placed["result"]["status"], "NEW");
    assert_eq!(pipe.world.links(VENUE), [["private.data"]]);
}

/// What each order fault lets a client see, and that the venue's own books do not care.
#[test]
fn order_faults_act_on_what_is_told_alone() {
    let cases = [
        "ack-lost",
        "fill-first by=20ms",
        "accepted-5xx 503",
        "slow-ack for=2s",
    ];
    for text in cases {
        let (mut pipe, conn) = pipe();
        pipe.inject(VENUE, &text.parse::<Fault>().unwrap());
        let params =
            js!({"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.001"});
        let at_once = pipe.ws_call(VENUE, conn, "order.place", &params);
        let answer = |texts: &[Value]| texts.iter().find(|text| text["id"] == "r").cloned();
        assert!(
            reports(&at_once).iter().any(|report| report.1 == "FILLED"),
            "{text}"
        );
        assert_eq!(
            pipe.world.ledger(VENUE, "demo").unwrap().fills.len(),
            1,
            "{text}"
        );
        pipe.run(3 * SECOND);
        let later = answer(&pipe.texts(conn));
        let (now, later) = (
            answer(&at_once).map(|a| a["status"].clone()),
            later.map(|a| a["status"].clone()),
        );
        let wanted = match text.split(' ').next().unwrap() {
            "ack-lost" => (None, None),
            "accepted-5xx" => (Some(js!(503)), None),
            _ => (None, Some(js!(200))),
        };
        assert_eq!((now, later), wanted, "{text}");
        assert_eq!(pipe.world.fault_log().records()[0].hits, 1);
    }
}

#[test]
fn fill_is_told_twice_a_cancel_comes_too_late_and_private_links_end() {
    let (mut pipe, conn) = pipe();
    pipe.inject(VENUE, &"duplicate-fill".parse::<Fault>().unwrap());
    let market = "symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.001";
    pipe.binance(VENUE, ("POST", ORDER), market);
    let texts = pipe.texts(conn);
    let trades: Vec<&Value> = texts
        .iter()
        .filter(|text| text["event"]["x"] == "TRADE")
        .collect();
    assert_eq!((trades.len(), trades[0]), (2, trades[1]));
    assert_eq!(pipe.world.ledger(VENUE, "demo").unwrap().fills.len(), 1);
    let id =
        json(&pipe.binance(VENUE, ("POST", ORDER), &limit("BUY", "50000.00", "0.01")))["orderId"]
            .clone();
    pipe.inject(VENUE, &"cancel-race".parse::<Fault>().unwrap());
    let cancel = pipe.binance(
        VENUE,
        ("DELETE", ORDER),
        &format!("symbol=BTCUSDT&orderId={id}"),
    );
    assert_eq!(json(&cancel)["code"], -2011);
    let last = reports(&pipe.texts(conn)).pop().unwrap();
    assert_eq!((last.0.as_str(), last.1.as_str()), ("TRADE", "FILLED"));
    let data = pipe.open(VENUE, "/ws/btcusdt@trade").unwrap();
    pipe.inject(VENUE, &"cut-private".parse::<Fault>().unwrap());
    assert!(pipe.events(conn).contains(&common::Event::Cut));
    assert!(
        !pipe.events(data).contains(&common::Event::Cut),
        "market data lives on"
    );
}

#[test]
fn rest_answers_are_lost_and_late_too() {
    use tickwire_sim::Delivery;
    let (mut pipe, _) = pipe();
    for (text, wanted) in [
        ("ack-lost", Delivery::Never),
        ("slow-ack for=1s", Delivery::At(pipe.now + SECOND)),
        ("accepted-5xx 502", Delivery::Now),
    ] {
        pipe.inject(VENUE, &text.parse::<Fault>().unwrap());
        let placed = pipe.binance(VENUE, ("POST", ORDER), &limit("BUY", "50000.00", "0.01"));
        assert_eq!(placed.delivery, wanted, "{text}");
        assert_eq!(placed.status == 502, text.contains("502"));
    }
    assert_eq!(pipe.world.ledger(VENUE, "demo").unwrap().orders.len(), 3);
}

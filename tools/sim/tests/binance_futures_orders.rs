//! Trading at Binance USD-M: orders, positions, listen keys and the events behind them, countdowns,
//! over REST and the WebSocket API.

mod common;

use common::orders::json;
use common::{MS, Pipe, SECOND};
use serde_json::{Value, json as js};
use tickwire_sim::{AccountSpec, ConnId, SimVenue, VenueSpec};

const VENUE: SimVenue = SimVenue::BinanceLinear;
const ORDER: &str = "/fapi/v1/order";

fn listen_key(pipe: &mut Pipe, method: &str) -> Value {
    let key = [("X-MBX-APIKEY".to_owned(), AccountSpec::DEMO_KEY.to_owned())];
    json(&pipe.http(VENUE, (method, "/fapi/v1/listenKey"), &key, b""))
}

/// A pipe, and a connection that hears the account.
fn pipe() -> (Pipe, ConnId) {
    let spec = VenueSpec::binance_linear()
        .symbols(&["BTCUSDT"])
        .rate_msgs_s(20)
        .demo_account();
    // Nobody answers pings here.
    let spec = spec.limits(|limits| limits.ping_interval_ns = None);
    let mut pipe = Pipe::new(&[spec]);
    let key = listen_key(&mut pipe, "POST")["listenKey"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("/private/ws?listenKey={key}&events=ORDER_TRADE_UPDATE/ACCOUNT_UPDATE");
    let conn = pipe.open(VENUE, &path).unwrap();
    (pipe, conn)
}

fn limit(side: &str, price: &str, qty: &str) -> String {
    format!("symbol=BTCUSDT&side={side}&type=LIMIT&timeInForce=GTC&price={price}&quantity={qty}")
}

fn events(texts: &[Value]) -> Vec<(String, String)> {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    texts
        .iter()
        .map(|text| (word(&text["e"]), word(&text["o"]["X"])))
        .collect()
}

#[test]
fn position_opens_and_closes_as_answers_events_and_ledger_say() {
    let (mut pipe, conn) = pipe();
    let market = |side: &str, more: &str| {
        format!(
            "symbol=BTCUSDT&side={side}&type=MARKET&quantity=0.002&newOrderRespType=RESULT{more}"
        )
    };
    let early = json(&pipe.binance(VENUE, ("POST", ORDER), &market("SELL", "&reduceOnly=true")));
    assert_eq!(early["code"], -2022);
    let bought = json(&pipe.binance(VENUE, ("POST", ORDER), &market("BUY", "")));
    assert_eq!(
        (&bought["status"], &bought["executedQty"]),
        (&js!("FILLED"), &js!("0.002"))
    );
    let risk = json(&pipe.binance(VENUE, ("GET", "/fapi/v3/positionRisk"), "symbol=BTCUSDT"));
    let held = pipe.world.ledger(VENUE, "demo").unwrap().positions[0].clone();
    assert_eq!(
        (&risk[0]["positionAmt"], &*held.qty),
        (&js!("0.002"), "0.002")
    );
    assert_eq!(risk[0]["entryPrice"], *held.average_price);
    let sold = json(&pipe.binance(VENUE, ("POST", ORDER), &market("SELL", "&reduceOnly=true")));
    assert_eq!(sold["reduceOnly"], true);
    let texts = pipe.texts(conn);
    let told = events(&texts);
    assert_eq!(told[0], ("ORDER_TRADE_UPDATE".to_owned(), "NEW".to_owned()));
    assert_eq!(told.iter().filter(|one| one.1 == "FILLED").count(), 2);
    let update = texts
        .iter()
        .rfind(|text| text["e"] == "ACCOUNT_UPDATE")
        .unwrap();
    let ledger = pipe.world.ledger(VENUE, "demo").unwrap();
    let wallet = update["a"]["B"][0]["wb"].as_str().unwrap();
    assert_eq!(
        wallet.trim_end_matches('0').trim_end_matches('.'),
        ledger.balance("USDT").0
    );
    assert_eq!(update["a"]["P"][0]["pa"], "0");
    assert_eq!(update["a"]["P"][0]["cr"], *ledger.positions[0].realised);
    let balance = json(&pipe.binance(VENUE, ("GET", "/fapi/v3/balance"), ""));
    assert_eq!(balance[0]["balance"], wallet);
    let account = json(&pipe.binance(VENUE, ("GET", "/fapi/v3/account"), ""));
    assert_eq!(account["totalWalletBalance"], wallet);
    let trades = json(&pipe.binance(VENUE, ("GET", "/fapi/v1/userTrades"), "symbol=BTCUSDT"));
    assert_eq!(trades.as_array().unwrap().len(), ledger.fills.len());
}

#[test]
fn order_rests_is_modified_expires_and_is_cancelled() {
    let (mut pipe, conn) = pipe();
    let placed = json(&pipe.binance(VENUE, ("POST", ORDER), &limit("BUY", "50000.00", "0.01")));
    let id = &placed["orderId"];
    let change = format!("symbol=BTCUSDT&orderId={id}&side=BUY&price=49000.00&quantity=0.02");
    let modified = json(&pipe.binance(VENUE, ("PUT", ORDER), &change));
    assert_eq!(
        (&modified["price"], &modified["origQty"]),
        (&js!("49000.00"), &js!("0.020"))
    );
    let same = json(&pipe.binance(VENUE, ("PUT", ORDER), &change));
    assert_eq!(same["code"], -5027);
    let canceled = json(&pipe.binance(
        VENUE,
        ("DELETE", ORDER),
        &format!("symbol=BTCUSDT&orderId={id}"),
    ));
    assert_eq!(canceled["status"], "CANCELED");
    let till = (pipe.now + 700 * SECOND) / MS;
    let timed =
        limit("BUY", "50000.00", "0.01").replace("GTC", "GTD") + &format!("&goodTillDate={till}");
    assert_eq!(
        json(&pipe.binance(VENUE, ("POST", ORDER), &timed))["goodTillDate"],
        till
    );
    pipe.run(701 * SECOND);
    let told: Vec<String> = events(&pipe.texts(conn))
        .into_iter()
        .map(|one| one.1)
        .collect();
    assert_eq!(told, ["NEW", "NEW", "CANCELED", "NEW", "EXPIRED"]);
}

#[test]
fn refusals_have_the_venues_own_codes() {
    let (mut pipe, _) = pipe();
    let (_, ask) = pipe.top(VENUE, "BTCUSDT");
    let good = limit("BUY", "50000.00", "0.01");
    for (params, code) in [
        (good.replace("GTC", "GTX").replace("50000.00", &ask), -5022),
        (good.replace("0.01", "0.0001"), -1111),
        (
            limit("BUY", "50000.00", "0.001").replace("50000.00", "4000.00"),
            -4164,
        ),
        (good.replace("50000.00", "50000.05"), -1013),
        (good.replace("0.01", "900"), -2019),
        (good.replace("=LIMIT", "=STOP_MARKET"), -4120),
        (good.replace("GTC", "GTD"), -1102),
        (good.replace("GTC", "GTD") + "&goodTillDate=1", -4181),
    ] {
        let told = json(&pipe.binance(VENUE, ("POST", ORDER), &params));
        assert_eq!(told["code"], code, "{params}: {told}");
    }
    let named = good.clone() + "&newClientOrderId=a";
    pipe.binance(VENUE, ("POST", ORDER), &named);
    assert_eq!(
        json(&pipe.binance(VENUE, ("POST", ORDER), &named))["code"],
        -4116
    );
}

#[test]
fn listen_key_ends_after_an_hour_unless_it_is_kept_alive() {
    let (mut pipe, conn) = pipe();
    pipe.run(50 * 60 * SECOND);
    let kept = listen_key(&mut pipe, "PUT");
    assert_eq!(kept.as_object().unwrap().len(), 1);
    pipe.run(50 * 60 * SECOND);
    assert_eq!(pipe.texts(conn), Vec::<Value>::new());
    pipe.run(11 * 60 * SECOND);
    assert_eq!(pipe.texts(conn)[0]["e"], "listenKeyExpired");
    assert_eq!(listen_key(&mut pipe, "PUT")["code"], -1125);
    let stale = format!(
        "/private/ws?listenKey={}",
        kept["listenKey"].as_str().unwrap()
    );
    assert!(pipe.open(VENUE, &stale).is_err());
}

#[test]
fn countdown_cancels_all_unless_it_is_called_again() {
    let (mut pipe, _) = pipe();
    pipe.binance(VENUE, ("POST", ORDER), &limit("BUY", "50000.00", "0.01"));
    let path = "/fapi/v1/countdownCancelAll";
    let start = "symbol=BTCUSDT&countdownTime=5000";
    let told = json(&pipe.binance(VENUE, ("POST", path), start));
    assert_eq!(told, js!({"symbol": "BTCUSDT", "countdownTime": "5000"}));
    let status = |pipe: &Pipe| pipe.world.ledger(VENUE, "demo").unwrap().orders[0].status;
    pipe.run(4 * SECOND);
    pipe.binance(VENUE, ("POST", path), start);
    pipe.run(4 * SECOND);
    assert_eq!(status(&pipe), "new");
    pipe.run(2 * SECOND);
    assert_eq!(status(&pipe), "canceled");
}

#[test]
fn websocket_api_takes_orders_and_starts_the_stream() {
    let (mut pipe, conn) = pipe();
    let api = pipe.open(VENUE, "/ws-fapi/v1").unwrap();
    assert_eq!(pipe.ws_logon(VENUE, api)["status"], 200);
    let params = js!({
        "symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTX",
        "price": "50000.00", "quantity": "0.010",
    });
    let placed = pipe.ws_call(VENUE, api, "order.place", &params).remove(0);
    assert_eq!(placed["result"]["timeInForce"], "GTX", "{placed}");
    assert_eq!(placed["rateLimits"][1]["interval"], "MINUTE");
    assert_eq!(events(&pipe.texts(conn))[0].1, "NEW");
    let id = &placed["result"]["orderId"];
    let params = js!({"symbol": "BTCUSDT", "orderId": id});
    let canceled = pipe.ws_call(VENUE, api, "order.cancel", &params).remove(0);
    assert_eq!(canceled["result"]["status"], "CANCELED");
    let key = pipe
        .ws_call(VENUE, api, "userDataStream.start", &js!({}))
        .remove(0);
    assert_eq!(key["result"]["listenKey"].as_str().unwrap().len(), 64);
    let balance = pipe
        .ws_call(VENUE, api, "v2/account.balance", &js!({}))
        .remove(0);
    assert_eq!(balance["result"][0]["asset"], "USDT");
    let depth = pipe
        .ws_call(VENUE, api, "depth", &js!({"symbol": "BTCUSDT", "limit": 5}))
        .remove(0);
    assert_eq!(depth["result"]["bids"].as_array().unwrap().len(), 5);
}

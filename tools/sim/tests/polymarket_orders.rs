//! Trading at Polymarket: signed REST, both tokens of a market, the life of a trade on the user
//! channel, and the dead man's switch.

mod common;

use std::collections::BTreeMap;

use common::orders::json;
use common::{Pipe, SECOND};
use serde_json::{Value, json as js};
use tickwire_sim::{AccountSpec, Command, ConnId, Settlement, SimVenue, VenueSpec};

const VENUE: SimVenue = SimVenue::Polymarket;

fn pipe() -> (Pipe, ConnId, String) {
    let mut pipe = Pipe::new(&[VenueSpec::of(VENUE)
        .instruments(1)
        .rate_msgs_s(20)
        .demo_account()]);
    let conn = pipe.open(VENUE, "/ws/user").unwrap();
    let login = js!({
        "auth": {
            "apiKey": AccountSpec::DEMO_KEY,
            "secret": AccountSpec::DEMO_BASE64_SECRET,
            "passphrase": AccountSpec::DEMO_SECRET,
        },
        "markets": [], "type": "user",
    });
    pipe.send(VENUE, conn, &login.to_string());
    let token = pipe.world.truth().symbols(VENUE).remove(0);
    (pipe, conn, token)
}

/// An order for so many shares at a price in thousandths.
fn order(token: &str, side: &str, price: u64, shares: u64) -> Value {
    let (dollars, shares) = (price * shares * 1_000, shares * 1_000_000);
    let (maker, taker) = if side == "BUY" {
        (dollars, shares)
    } else {
        (shares, dollars)
    };
    js!({
        "order": {
            "salt": 1, "maker": "0x0", "signer": "0x0", "tokenId": token,
            "makerAmount": maker.to_string(), "takerAmount": taker.to_string(), "side": side,
            "expiration": "0", "signatureType": 0, "timestamp": "1", "metadata": "0x0",
            "builder": "0x0", "signature": "0x0",
        },
        "owner": AccountSpec::DEMO_KEY, "orderType": "GTC", "deferExec": false, "postOnly": false,
    })
}

fn thousandths(price: &str) -> u64 {
    (price.parse::<f64>().unwrap() * 1_000.0).round() as u64
}

#[test]
fn order_rests_is_listed_and_is_cancelled() {
    let (mut pipe, conn, token) = pipe();
    let placed = json(&pipe.polymarket(
        ("POST", "/order"),
        &order(&token, "BUY", 100, 50).to_string(),
    ));
    assert_eq!(
        (&placed["success"], &placed["status"]),
        (&js!(true), &js!("live")),
        "{placed}"
    );
    let id = &placed["orderID"];
    let event = pipe.texts(conn).remove(0);
    assert_eq!(
        (&event["type"], &event["id"], &event["status"]),
        (&js!("PLACEMENT"), id, &js!("LIVE"))
    );
    let open = json(&pipe.polymarket(("GET", "/data/orders"), ""));
    assert_eq!(
        (&open["data"][0]["id"], &open["next_cursor"]),
        (id, &js!("LTE="))
    );
    assert_eq!(
        pipe.world.ledger(VENUE, "demo").unwrap().balance("pUSD"),
        ("999995", "5")
    );
    let body = js!({"orderID": id}).to_string();
    let canceled = json(&pipe.polymarket(("DELETE", "/order"), &body));
    assert_eq!(canceled, js!({"canceled": [id], "not_canceled": {}}));
    let again = json(&pipe.polymarket(("DELETE", "/order"), &body));
    assert_eq!(
        again["not_canceled"][id.as_str().unwrap()],
        "already canceled or matched"
    );
    assert_eq!(pipe.texts(conn)[0]["type"], "CANCELLATION");
    let one = json(&pipe.polymarket(
        ("GET", &format!("/data/order/{}", id.as_str().unwrap())),
        "",
    ));
    assert_eq!(one["status"], "CANCELED");
}

#[test]
fn both_tokens_trade_against_one_book() {
    let (mut pipe, conn, yes) = pipe();
    let (bid, ask) = pipe.top(VENUE, &yes);
    let book = json(&pipe.http(VENUE, ("GET", &format!("/book?token_id={yes}")), &[], b""));
    let condition = book["market"].as_str().unwrap().to_owned();
    let bought = json(&pipe.polymarket(
        ("POST", "/order"),
        &order(&yes, "BUY", thousandths(&ask) + 50, 5).to_string(),
    ));
    assert_eq!(bought["status"], "matched", "{bought}");
    // Whoever buys "No" at one minus the best bid meets those who buy "Yes".
    let ledger = pipe.world.ledger(VENUE, "demo").unwrap();
    assert_eq!(ledger.balance(&yes).0, "5");
    let no = {
        let digits = yes.bytes().map(|digit| char::from(b'9' - (digit - b'0')));
        format!("1{}", digits.collect::<String>())
            .chars()
            .take(77)
            .collect::<String>()
    };
    let price = 1_050 - thousandths(&bid);
    let other =
        json(&pipe.polymarket(("POST", "/order"), &order(&no, "BUY", price, 5).to_string()));
    assert_eq!(other["status"], "matched", "{other}");
    assert_eq!(
        pipe.world.ledger(VENUE, "demo").unwrap().balance(&no).0,
        "5"
    );
    let target = format!("/balance-allowance?asset_type=CONDITIONAL&token_id={no}");
    assert_eq!(
        json(&pipe.polymarket(("GET", &target), ""))["balance"],
        "5000000"
    );
    let texts = pipe.texts(conn);
    let trade = texts.iter().find(|text| text["event_type"] == "trade");
    assert_eq!(trade.unwrap()["market"], condition);
}

/// Under one id a trade is matched, and then goes its way on the chain; one that fails is taken back.
#[test]
fn a_trade_settles_on_the_chain() {
    use Settlement::{Confirmed, Failed, Retried};
    let table: [(Option<Settlement>, &[&str], bool); 4] = [
        (None, &["MATCHED", "MINED", "CONFIRMED"], true),
        (Some(Confirmed), &["MATCHED", "MINED", "CONFIRMED"], true),
        (
            Some(Retried),
            &["MATCHED", "RETRYING", "MINED", "CONFIRMED"],
            true,
        ),
        (Some(Failed), &["MATCHED", "RETRYING", "FAILED"], false),
    ];
    for (how, life, holds) in table {
        let (mut pipe, conn, yes) = pipe();
        if let Some(how) = how {
            let step_ns = SECOND;
            pipe.control(VENUE, &Command::Settle { how, step_ns });
        }
        let before = pipe.world.ledger(VENUE, "demo").unwrap();
        let (_, ask) = pipe.top(VENUE, &yes);
        let order = order(&yes, "BUY", thousandths(&ask) + 50, 5);
        let bought = json(&pipe.polymarket(("POST", "/order"), &order.to_string()));
        assert_eq!(bought["status"], "matched", "{bought}");
        let again = pipe.polymarket(("POST", "/order"), &order.to_string());
        assert_eq!(json(&again)["error"], "INVALID_ORDER_DUPLICATED");
        assert_eq!(
            pipe.world.ledger(VENUE, "demo").unwrap().balance(&yes).0,
            "5"
        );
        pipe.run(6 * SECOND);
        let texts = pipe.texts(conn);
        let mut lives: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for trade in texts.iter().filter(|text| text["event_type"] == "trade") {
            let status = trade["status"].as_str().unwrap();
            lives
                .entry(trade["id"].as_str().unwrap())
                .or_default()
                .push(status);
        }
        assert!(
            !lives.is_empty() && lives.values().all(|told| told == life),
            "{lives:?}"
        );
        let told = json(&pipe.polymarket(("GET", "/data/trades"), ""));
        assert_eq!(told["data"][0]["status"], life[life.len() - 1]);
        let after = pipe.world.ledger(VENUE, "demo").unwrap();
        assert_eq!(after.balance(&yes).0, if holds { "5" } else { "0" });
        assert_eq!(after.balance("pUSD") == before.balance("pUSD"), !holds);
        // What was matched stays matched.
        assert_eq!(after.orders[0].status, "filled");
    }
}

#[test]
fn refusals_say_why() {
    let (mut pipe, _, token) = pipe();
    let (_, ask) = pipe.top(VENUE, &token);
    let good = order(&token, "BUY", 100, 50);
    let with = |path: &[&str], value: Value| {
        let mut order = good.clone();
        let mut at = &mut order;
        for name in path {
            at = &mut at[*name];
        }
        *at = value;
        order
    };
    let mut post_only = order(&token, "BUY", thousandths(&ask), 5);
    post_only["postOnly"] = js!(true);
    let mut fok = order(&token, "BUY", 100, 50);
    fok["orderType"] = js!("FOK");
    let cases = [
        (with(&["owner"], js!("nobody")), "owner"),
        (with(&["order", "tokenId"], js!("1")), "token"),
        (
            with(&["order", "makerAmount"], js!("5000001")),
            "INVALID_ORDER_MIN_TICK_SIZE",
        ),
        (order(&token, "BUY", 100, 4), "INVALID_ORDER_MIN_SIZE"),
        (order(&token, "BUY", 100, 100_000_000), "not enough balance"),
        (order(&token, "SELL", 900, 50), "not enough balance"),
        (with(&["orderType"], js!("GTD")), "INVALID_ORDER_EXPIRATION"),
        (post_only, "post-only"),
        (fok, "fully filled"),
    ];
    for (body, words) in cases {
        let refused = pipe.polymarket(("POST", "/order"), &body.to_string());
        let told = json(&refused);
        assert_eq!(refused.status, 400, "{told}");
        assert!(told["error"].as_str().unwrap().contains(words), "{told}");
    }
    let stranger = pipe.http(VENUE, ("GET", "/data/orders"), &[], b"");
    assert_eq!(stranger.status, 401);
}

#[test]
fn orders_end_when_heartbeats_stop() {
    let (mut pipe, _, token) = pipe();
    pipe.polymarket(
        ("POST", "/order"),
        &order(&token, "BUY", 100, 50).to_string(),
    );
    let beat = json(&pipe.polymarket(("POST", "/v1/heartbeats"), r#"{"heartbeat_id":null}"#));
    assert!(beat["heartbeat_id"].is_string());
    pipe.run(10 * SECOND);
    pipe.polymarket(("POST", "/v1/heartbeats"), &beat.to_string());
    pipe.run(14 * SECOND);
    let status = |pipe: &Pipe| pipe.world.ledger(VENUE, "demo").unwrap().orders[0].status;
    assert_eq!(status(&pipe), "new");
    pipe.run(2 * SECOND);
    assert_eq!(status(&pipe), "canceled");
}

/// Keys of what is told about orders and trades, against the fixture pack.
#[test]
fn orders_and_trades_are_as_sampled() {
    let Some(lines) = common::fixture_lines("polymarket/nautilus_test_data.jsonl") else {
        return;
    };
    let all: Vec<Value> = lines
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let real = |path: &str| -> Value {
        let one = all
            .iter()
            .find(|one| one["path"].as_str().unwrap().ends_with(path))
            .unwrap();
        let body = &one["body"];
        body.as_str()
            .map_or_else(|| body.clone(), |text| serde_json::from_str(text).unwrap())
    };
    let keys = |value: &Value, but: &[&str]| -> Vec<String> {
        let keys = value.as_object().unwrap().keys().cloned();
        keys.filter(|key| !but.contains(&key.as_str())).collect()
    };
    let (mut pipe, conn, token) = pipe();
    let (_, ask) = pipe.top(VENUE, &token);
    pipe.polymarket(
        ("POST", "/order"),
        &order(&token, "BUY", 100, 50).to_string(),
    );
    pipe.polymarket(
        ("POST", "/order"),
        &order(&token, "BUY", thousandths(&ask), 5).to_string(),
    );
    let open = json(&pipe.polymarket(("GET", "/data/orders"), ""));
    let page = real("http_open_orders_page.json");
    assert_eq!(keys(&open["data"][0], &[]), keys(&page["data"][0], &[]));
    let trades = json(&pipe.polymarket(("GET", "/data/trades"), ""));
    // Mined later, and told by the chain.
    let sample = &real("http_trades_page.json")["data"][0];
    assert_eq!(
        keys(&trades["data"][0], &[]),
        keys(sample, &["transaction_hash"])
    );
    let balance = json(&pipe.polymarket(("GET", "/balance-allowance?asset_type=COLLATERAL"), ""));
    assert_eq!(
        keys(&balance, &[]),
        keys(&real("http_balance_allowance_collateral.json"), &[])
    );
    for text in pipe.texts(conn) {
        // The samples were cut at their event's name, which the page's own have.
        let sample = if text["event_type"] == "order" {
            real("ws_user_order_placement.json")
        } else {
            real("ws_user_trade.json")
        };
        assert_eq!(keys(&text, &["event_type"]), keys(&sample, &["event_type"]));
    }
}

//! Bybit sessions over virtual time.

mod common;

use std::collections::BTreeSet;

use common::{Event, Pipe, SECOND, START};
use serde_json::{Value, json};
use tickwire_sim::{Command, ConnId, SimVenue, VenueSpec};

const SPOT: SimVenue = SimVenue::BybitSpot;
const LINEAR: SimVenue = SimVenue::BybitLinear;

fn pipe() -> Pipe {
    Pipe::new(&[
        VenueSpec::bybit_spot().instruments(12).rate_msgs_s(100),
        VenueSpec::bybit_linear().instruments(2).rate_msgs_s(100),
    ])
}

fn ack(pipe: &mut Pipe, venue: SimVenue, conn: ConnId, text: &str) -> Value {
    pipe.send(venue, conn, text);
    pipe.texts(conn)
        .into_iter()
        .find(|t| t.get("op").is_some())
        .unwrap()
}

fn keys(value: &Value) -> Vec<&str> {
    value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

#[test]
fn acks_and_pongs_have_each_markets_shape() {
    let mut pipe = pipe();
    let spot = pipe.open(SPOT, "/v5/public/spot").unwrap();
    let linear = pipe.open(LINEAR, "/v5/public/linear").unwrap();
    let sub = r#"{"op":"subscribe","args":["publicTrade.BTCUSDT"]}"#;
    let spot_ack = ack(&mut pipe, SPOT, spot, sub);
    assert_eq!(
        (&spot_ack["ret_msg"], &spot_ack["success"]),
        (&json!("subscribe"), &json!(true))
    );
    assert_eq!(keys(&spot_ack), ["conn_id", "op", "ret_msg", "success"]);
    let linear_ack = ack(&mut pipe, LINEAR, linear, sub);
    assert_eq!(
        (&linear_ack["ret_msg"], &linear_ack["req_id"]),
        (&json!(""), &json!(""))
    );

    let pong = ack(&mut pipe, SPOT, spot, r#"{"op":"ping"}"#);
    assert_eq!(keys(&pong), ["conn_id", "op", "ret_msg", "success"]);
    assert_eq!(
        (&pong["ret_msg"], &pong["op"]),
        (&json!("pong"), &json!("ping"))
    );
    let pong = ack(&mut pipe, LINEAR, linear, r#"{"op":"ping"}"#);
    assert_eq!(pong["req_id"], "");
    let pong = ack(&mut pipe, LINEAR, linear, r#"{"req_id":"7","op":"ping"}"#);
    assert_eq!(pong["req_id"], "7");
    let gone = ack(
        &mut pipe,
        SPOT,
        spot,
        r#"{"op":"unsubscribe","args":["publicTrade.BTCUSDT"]}"#,
    );
    assert_eq!(gone["success"], true);
    pipe.run(30 * SECOND);
    assert_eq!(
        pipe.texts(spot).len(),
        0,
        "nothing streams after the unsubscribe"
    );
    pipe.control(LINEAR, &Command::MutePongs(true));
    pipe.send(LINEAR, linear, r#"{"op":"ping"}"#);
    assert!(pipe.texts(linear).iter().all(|t| t.get("op").is_none()));
}

#[test]
fn linear_acks_sometimes_lose_their_id_and_follow_their_snapshot() {
    let mut pipe = pipe();
    let mut ids = BTreeSet::new();
    let mut orders = BTreeSet::new();
    for n in 0..40 {
        let conn = pipe.open(LINEAR, "/v5/public/linear").unwrap();
        let text = r#"{"req_id":"q","op":"subscribe","args":["orderbook.50.BTCUSDT"]}"#;
        pipe.send(LINEAR, conn, text);
        let texts = pipe.texts(conn);
        let at = texts.iter().position(|t| t.get("op").is_some()).unwrap();
        ids.insert(texts[at]["req_id"].as_str().unwrap().to_owned());
        orders.insert(at);
        assert_eq!(texts.len(), 2, "connection {n}");
    }
    assert_eq!(ids, BTreeSet::from([String::new(), "q".to_owned()]));
    assert_eq!(orders, BTreeSet::from([0, 1]));
}

#[test]
fn one_bad_topic_refuses_the_whole_request() {
    let mut pipe = pipe();
    let conn = pipe.open(LINEAR, "/v5/public/linear").unwrap();
    let mut refused = |text: &str| {
        pipe.send(LINEAR, conn, text);
        let answer = pipe
            .texts(conn)
            .into_iter()
            .find(|t| t.get("op").is_some())
            .unwrap();
        assert_eq!(answer["success"], false, "{answer}");
        answer["ret_msg"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        refused(r#"{"op":"subscribe","args":["publicTrade.BTCUSDT","orderbook.50.NOPEUSDT"]}"#),
        "error:handler not found,topic:orderbook.50.NOPEUSDT"
    );
    assert_eq!(
        refused(r#"{"op":"subscribe","args":["orderbook.500.BTCUSDT"]}"#),
        "error:handler not found,topic:orderbook.500.BTCUSDT"
    );
    assert_eq!(refused(r#"{"op":"fly"}"#), "error:invalid op");
    assert!(refused("{nope").starts_with("Failed to decode incoming data:"));
    pipe.run(20 * SECOND);
    assert_eq!(
        pipe.texts(conn).len(),
        0,
        "the good topic of the refused request is silent"
    );

    let good = r#"{"op":"subscribe","args":["publicTrade.BTCUSDT","allLiquidation.BTCUSDT"]}"#;
    assert_eq!(ack(&mut pipe, LINEAR, conn, good)["success"], true);
    let again = ack(
        &mut pipe,
        LINEAR,
        conn,
        r#"{"op":"subscribe","args":["publicTrade.BTCUSDT"]}"#,
    );
    assert_eq!(
        again["ret_msg"],
        "error:already subscribed,topic:publicTrade.BTCUSDT"
    );
}

#[test]
fn spot_takes_ten_args_and_any_market_a_bounded_length() {
    let mut pipe = pipe();
    let conn = pipe.open(SPOT, "/v5/public/spot").unwrap();
    let names: Vec<String> = (0..11).map(|i| format!("\"x{i}\"")).collect();
    let text = format!(r#"{{"op":"subscribe","args":[{}]}}"#, names.join(","));
    assert_eq!(
        ack(&mut pipe, SPOT, conn, &text)["ret_msg"],
        "args size >10"
    );
    let conn = pipe.open(LINEAR, "/v5/public/linear").unwrap();
    let text = format!(r#"{{"op":"subscribe","args":["{}"]}}"#, "x".repeat(21_001));
    assert_eq!(
        ack(&mut pipe, LINEAR, conn, &text)["ret_msg"],
        "args length >21000"
    );
}

#[test]
fn idle_connection_is_cut_after_ten_minutes_a_pinging_one_is_not() {
    let mut pipe = pipe();
    let idle = pipe.open(LINEAR, "/v5/public/linear").unwrap();
    let pings = pipe.open(LINEAR, "/v5/public/linear").unwrap();
    let listens = pipe.open(LINEAR, "/v5/public/linear").unwrap();
    pipe.send(
        LINEAR,
        listens,
        r#"{"op":"subscribe","args":["tickers.BTCUSDT"]}"#,
    );
    for _ in 0..32 {
        pipe.run(20 * SECOND);
        pipe.send(LINEAR, pings, r#"{"op":"ping"}"#);
    }
    assert_eq!(pipe.events(idle), [Event::Cut]);
    assert_eq!(pipe.events(pings).len(), 32);
    assert!(!pipe.events(listens).contains(&Event::Cut));
    assert_eq!(
        pipe.open(LINEAR, "/v5/public/spot").unwrap_err().status,
        404
    );
}

#[test]
fn connection_with_a_life_is_cut_at_its_end_whatever_it_does() {
    let spec = VenueSpec::bybit_linear()
        .instruments(1)
        .limits(|l| l.life_ns = Some(5 * SECOND));
    let mut pipe = Pipe::new(&[spec]);
    let conn = pipe.open(LINEAR, "/v5/public/linear").unwrap();
    let ask = r#"{"op":"subscribe","args":["orderbook.50.BTCUSDT"]}"#;
    pipe.send(LINEAR, conn, ask);
    pipe.run(6 * SECOND);
    let events = pipe.timed_events(conn);
    let (at, last) = events.last().unwrap();
    assert_eq!((at - START, last), (5 * SECOND, &Event::Cut));
    assert!(events.len() > 50, "alive until then");
}

#[test]
fn level_one_is_snapshots_repeated_with_the_same_number_when_quiet() {
    let mut pipe = Pipe::new(&[VenueSpec::bybit_spot().instruments(1).rate_msgs_s(100)]);
    let conn = pipe.open(SPOT, "/v5/public/spot").unwrap();
    pipe.send(
        SPOT,
        conn,
        r#"{"op":"subscribe","args":["orderbook.1.BTCUSDT"]}"#,
    );
    pipe.run(2 * SECOND);
    pipe.control(SPOT, &Command::SetRate(0.0));
    pipe.run(10 * SECOND);
    let frames: Vec<Value> = pipe
        .texts(conn)
        .into_iter()
        .filter(|t| t.get("op").is_none())
        .collect();
    assert!(frames.len() > 10);
    let mut repeats = 0;
    for pair in frames.windows(2) {
        let u = |i: usize| pair[i]["data"]["u"].as_u64().unwrap();
        assert_eq!(pair[1]["type"], "snapshot");
        assert_eq!(pair[1]["data"]["b"].as_array().unwrap().len(), 1);
        if u(1) == u(0) {
            repeats += 1;
            let data = |i: usize, key: &str| &pair[i]["data"][key];
            assert!(["b", "a"].iter().all(|side| data(0, side) == data(1, side)));
            assert!(data(0, "seq").as_u64() <= data(1, "seq").as_u64());
            assert!(pair[1]["cts"].as_i64() >= pair[0]["cts"].as_i64());
            let ts = |i: usize| pair[i]["ts"].as_i64().unwrap();
            assert!(ts(1) - ts(0) >= 3_000);
        } else {
            assert_eq!(u(1), u(0) + 1);
            let sides = |i: usize| (&pair[i]["data"]["b"], &pair[i]["data"]["a"]);
            assert_ne!(sides(0), sides(1), "a push without a change");
        }
    }
    assert!((2..=4).contains(&repeats), "{repeats} repeats");
}

#[test]
fn service_reset_sends_a_snapshot_with_number_one() {
    let mut pipe = Pipe::new(&[VenueSpec::bybit_linear().instruments(1).rate_msgs_s(200)]);
    let conn = pipe.open(LINEAR, "/v5/public/linear").unwrap();
    pipe.send(
        LINEAR,
        conn,
        r#"{"op":"subscribe","args":["orderbook.50.BTCUSDT"]}"#,
    );
    pipe.run(2 * SECOND);
    pipe.texts(conn);
    pipe.control(LINEAR, &Command::ServiceReset);
    pipe.run(SECOND);
    let texts = pipe.texts(conn);
    assert_eq!(
        (&texts[0]["type"], &texts[0]["data"]["u"]),
        (&json!("snapshot"), &json!(1))
    );
    assert_eq!(texts[0]["data"]["b"].as_array().unwrap().len(), 50);
    assert!(texts[1..].iter().all(|t| t["type"] == "delta"));
    assert_eq!(texts[1]["data"]["u"], 2);
}

#[test]
fn rest_checks_category_symbol_limit_and_pages() {
    let mut pipe = Pipe::new(&[VenueSpec::bybit_linear().instruments(25)]);
    let mut code = |target: &str| pipe.get_json(LINEAR, target)["retCode"].as_i64().unwrap();
    assert_eq!(
        code("/v5/market/orderbook?category=linear&symbol=BTCUSDT&limit=1"),
        0
    );
    assert_eq!(
        code("/v5/market/orderbook?category=linear&symbol=NOPE"),
        10_001
    );
    assert_eq!(
        code("/v5/market/orderbook?category=linear&symbol=BTCUSDT&limit=1001"),
        10_001
    );
    assert_eq!(
        code("/v5/market/orderbook?category=spot&symbol=BTCUSDT"),
        10_001
    );
    assert_eq!(code("/v5/market/tickers?category=linear&symbol=BTCUSDT"), 0);
    assert_eq!(pipe.get(LINEAR, "/v5/market/nope").status, 404);
    let mut seen = BTreeSet::new();
    let mut cursor = String::new();
    loop {
        let target =
            format!("/v5/market/instruments-info?category=linear&limit=10&cursor={cursor}");
        let page = pipe.get_json(LINEAR, &target);
        for one in page["result"]["list"].as_array().unwrap() {
            assert!(seen.insert(one["symbol"].as_str().unwrap().to_owned()));
        }
        page["result"]["nextPageCursor"]
            .as_str()
            .unwrap()
            .clone_into(&mut cursor);
        if cursor.is_empty() {
            break;
        }
    }
    assert_eq!(seen.len(), 25);
    // 600 requests in 5 seconds, then 403 for ten minutes.
    let statuses: Vec<u16> = (0..700)
        .map(|_| pipe.get(LINEAR, "/v5/market/time").status)
        .collect();
    assert_eq!(statuses.last(), Some(&403));
    pipe.run(599 * SECOND);
    assert_eq!(pipe.get(LINEAR, "/v5/market/time").status, 403);
    pipe.run(SECOND);
    assert_eq!(pipe.get(LINEAR, "/v5/market/time").status, 200);
}

#[test]
fn key_order_varies_only_when_asked_to() {
    let heads = |vary| {
        let spec = VenueSpec::bybit_linear()
            .instruments(1)
            .rate_msgs_s(200)
            .vary_key_order(vary);
        let mut pipe = Pipe::new(&[spec]);
        let conn = pipe.open(LINEAR, "/v5/public/linear").unwrap();
        pipe.send(
            LINEAR,
            conn,
            r#"{"op":"subscribe","args":["orderbook.50.BTCUSDT"]}"#,
        );
        pipe.run(3 * SECOND);
        let frames = pipe
            .raw(conn)
            .into_iter()
            .filter(|t| t.contains("orderbook"));
        frames
            .map(|t| t.find("\"type\"") < t.find("\"ts\""))
            .collect::<BTreeSet<bool>>()
    };
    assert_eq!(heads(false), BTreeSet::from([true]));
    assert_eq!(heads(true), BTreeSet::from([false, true]));
}

//! Deribit sessions over virtual time, and each shape of frame against a recorded one or a sample of
//! the documentation (API v2.1.1).

mod common;

use std::collections::BTreeSet;

use common::{Event, Pipe, SECOND, fixture_lines};
use serde_json::{Value, json};
use tickwire_sim::{ConnId, DERIBIT_ACCOUNT, Fault, FaultRecord, Links, SimVenue, VenueSpec};

const INVERSE: SimVenue = SimVenue::DeribitInverse;
const PATH: &str = "/ws/api/v2";

fn pipe() -> Pipe {
    let spec = |venue| VenueSpec::of(venue).instruments(3).rate_msgs_s(200);
    Pipe::new(&[spec(INVERSE), spec(SimVenue::DeribitOption)])
}

fn call(pipe: &mut Pipe, conn: ConnId, method: &str, params: Value) -> Value {
    let request = json!({"jsonrpc":"2.0","id":7,"method":method,"params":params});
    pipe.send(INVERSE, conn, &request.to_string());
    let texts = pipe.texts(conn);
    let answer = texts.into_iter().find(|text| text["id"] == 7);
    answer.unwrap_or_default()
}

fn subscribe(pipe: &mut Pipe, conn: ConnId, channels: &[&str]) -> Value {
    call(pipe, conn, "public/subscribe", json!({"channels":channels}))
}

fn log_in(pipe: &mut Pipe, conn: ConnId) -> Value {
    let (id, secret) = DERIBIT_ACCOUNT;
    let params = json!({"grant_type":"client_credentials","client_id":id,"client_secret":secret});
    call(pipe, conn, "public/auth", params)
}

#[test]
fn subscriptions_answer_with_what_was_really_taken() {
    let mut pipe = pipe();
    let conn = pipe.open(INVERSE, PATH).unwrap();
    let asked = [
        "book.BTC-PERPETUAL.100ms",
        "book.BTC-PERPETUL.100ms",
        "quote.BTC-PERPETUAL",
    ];
    let answer = subscribe(&mut pipe, conn, &asked);
    let taken: BTreeSet<&str> = answer["result"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert_eq!(
        taken,
        BTreeSet::from([asked[0], asked[2]]),
        "the misspelt one is silently absent"
    );
    pipe.run(SECOND);
    assert!(pipe.texts(conn).len() > 5);
    let gone = call(
        &mut pipe,
        conn,
        "public/unsubscribe",
        json!({"channels":asked}),
    );
    assert_eq!(gone["result"].as_array().unwrap().len(), 2);
    pipe.run(SECOND);
    assert_eq!(pipe.texts(conn).len(), 0);
}

#[test]
fn raw_needs_a_login_and_costs_the_whole_request_without() {
    let spec = VenueSpec::of(INVERSE).instruments(1).rate_msgs_s(50);
    let mut pipe = Pipe::new(&[spec.limits(|limits| limits.login_ns = 20 * SECOND)]);
    let conn = pipe.open(INVERSE, PATH).unwrap();
    let asked = ["quote.BTC-PERPETUAL", "book.BTC-PERPETUAL.raw"];
    let answer = subscribe(&mut pipe, conn, &asked);
    assert_eq!(answer["error"]["code"], 13_778);
    pipe.run(SECOND);
    assert_eq!(pipe.texts(conn).len(), 0, "nothing of it was taken");
    let granted = log_in(&mut pipe, conn);
    assert_eq!(granted["result"]["expires_in"], 20);
    assert_eq!(
        subscribe(&mut pipe, conn, &asked)["result"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    // The login ends with its time, for what is asked for from then on.
    pipe.run(21 * SECOND);
    let answer = subscribe(&mut pipe, conn, &["trades.BTC-PERPETUAL.raw"]);
    assert_eq!(answer["error"]["code"], 13_778);
    let token = &granted["result"]["refresh_token"];
    let params = json!({"grant_type":"refresh_token","refresh_token":token});
    assert!(call(&mut pipe, conn, "public/auth", params.clone())["result"].is_object());
    assert_eq!(
        call(&mut pipe, conn, "public/auth", params)["error"]["code"],
        13_004
    );
}

#[test]
fn private_channels_are_for_the_account_and_silent_here() {
    let mut pipe = pipe();
    let conn = pipe.open(INVERSE, PATH).unwrap();
    let channels = [
        "user.orders.BTC-PERPETUAL.raw",
        "user.changes.future.BTC.raw",
        "user.portfolio.btc",
        "user.trades.any.any.raw",
    ];
    let public = subscribe(&mut pipe, conn, &channels);
    assert_eq!(public["result"], json!([]));
    let params = json!({"channels":channels});
    let refused = call(&mut pipe, conn, "private/subscribe", params.clone());
    assert_eq!(refused["error"]["code"], 13_009);
    log_in(&mut pipe, conn);
    let taken = call(&mut pipe, conn, "private/subscribe", params);
    assert_eq!(taken["result"].as_array().unwrap().len(), 4);
    pipe.run(SECOND);
    assert_eq!(pipe.texts(conn).len(), 0);
}

#[test]
fn an_unanswered_test_request_ends_the_connection() {
    for answers in [true, false] {
        let mut pipe = pipe();
        let conn = pipe.open(INVERSE, PATH).unwrap();
        let short = call(
            &mut pipe,
            conn,
            "public/set_heartbeat",
            json!({"interval":9}),
        );
        assert_eq!(short["error"]["code"], -32_602);
        let set = call(
            &mut pipe,
            conn,
            "public/set_heartbeat",
            json!({"interval":10}),
        );
        assert_eq!(set["result"], "ok");
        for _ in 0..3 {
            pipe.run(10 * SECOND);
            let asked = pipe
                .texts(conn)
                .iter()
                .any(|text| text["params"]["type"] == "test_request");
            if answers {
                assert!(asked);
                assert!(
                    call(&mut pipe, conn, "public/test", json!({}))["result"]["version"]
                        .is_string()
                );
            }
        }
        let open = !pipe.world.links(INVERSE).is_empty();
        assert_eq!(open, answers);
    }
}

#[test]
fn faults_of_sessions_end_them_as_the_venue_does() {
    let mut pipe = pipe();
    let beating = |pipe: &mut Pipe| {
        let conn = pipe.open(INVERSE, PATH).unwrap();
        call(pipe, conn, "public/set_heartbeat", json!({"interval":10}));
        conn
    };
    // A question whose answer is not heard.
    let conn = beating(&mut pipe);
    let (links, for_ns) = (Links::Newest, SECOND);
    pipe.inject(INVERSE, &Fault::DeafTest { links, for_ns });
    pipe.run(SECOND / 2);
    let asked = |text: &Value| text["params"]["type"] == "test_request";
    assert!(pipe.texts(conn).iter().any(asked));
    call(&mut pipe, conn, "public/test", json!({}));
    pipe.run(SECOND);
    assert!(pipe.events(conn).contains(&Event::Cut));
    // The next subscribe is one too many; other requests are not.
    let conn = beating(&mut pipe);
    pipe.inject(INVERSE, &Fault::NoCredits { times: 1 });
    assert!(call(&mut pipe, conn, "public/test", json!({}))["result"].is_object());
    let refused = subscribe(&mut pipe, conn, &["quote.BTC-PERPETUAL"]);
    assert_eq!(refused["error"]["code"], 10_028);
    assert!(pipe.world.links(INVERSE).is_empty());
    // No data, and answers all the same.
    let conn = beating(&mut pipe);
    let links = Links::Newest;
    pipe.inject(INVERSE, &Fault::Mute { links });
    assert!(subscribe(&mut pipe, conn, &["quote.BTC-PERPETUAL"])["result"].is_array());
    pipe.run(5 * SECOND);
    assert_eq!(pipe.texts(conn), [Value::Null; 0]);
    let hits = |record: FaultRecord| record.hits;
    let log = pipe.world.fault_log().records();
    assert_eq!(log.into_iter().map(hits).collect::<Vec<_>>(), [1, 1, 1]);
}

#[test]
fn who_has_no_credits_is_told_and_cut() {
    let mut pipe = pipe();
    let conn = pipe.open(INVERSE, PATH).unwrap();
    for _ in 0..10 {
        assert!(subscribe(&mut pipe, conn, &["quote.BTC-PERPETUAL"])["result"].is_array());
    }
    pipe.events(conn);
    let request =
        json!({"jsonrpc":"2.0","id":1,"method":"public/subscribe","params":{"channels":[]}});
    pipe.send(INVERSE, conn, &request.to_string());
    let events = pipe.events(conn);
    let [Event::Text(told), Event::Close(..)] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(
        serde_json::from_str::<Value>(told).unwrap()["error"]["code"],
        10_028
    );
    // It refills, 10,000 a second.
    pipe.run(SECOND);
    let conn = pipe.open(INVERSE, PATH).unwrap();
    assert!(subscribe(&mut pipe, conn, &["quote.BTC-PERPETUAL"])["result"].is_array());
}

#[test]
fn silence_of_ten_minutes_length_and_bad_requests_have_their_ends() {
    let mut pipe = pipe();
    let conn = pipe.open(INVERSE, PATH).unwrap();
    let long = format!(
        r#"{{"id":7,"method":"public/test","params":{{"x":"{}"}}}}"#,
        "x".repeat(32_000)
    );
    pipe.send(INVERSE, conn, &long);
    pipe.send(INVERSE, conn, "{");
    let codes: Vec<i64> = pipe
        .texts(conn)
        .iter()
        .filter_map(|text| text["error"]["code"].as_i64())
        .collect();
    assert_eq!(codes, [-32_600, -32_700]);
    let unknown = call(&mut pipe, conn, "public/nothing", json!({}));
    assert_eq!(unknown["error"]["code"], -32_601);
    pipe.run(599 * SECOND);
    assert_eq!(pipe.world.links(INVERSE).len(), 1);
    pipe.run(2 * SECOND);
    assert_eq!(pipe.world.links(INVERSE).len(), 0);
    assert!(pipe.open(INVERSE, "/ws").is_err());
    for _ in 0..32 {
        pipe.open(INVERSE, PATH).unwrap();
    }
    assert_eq!(
        pipe.open(INVERSE, PATH).map_err(|refused| refused.status),
        Err(429)
    );
}

#[test]
fn changes_follow_one_another_at_every_pace_and_lead_to_the_true_book() {
    let mut pipe = pipe();
    let conn = pipe.open(INVERSE, PATH).unwrap();
    log_in(&mut pipe, conn);
    let paces = ["raw", "100ms", "agg2"];
    let channels = paces.map(|pace| format!("book.BTC-PERPETUAL.{pace}"));
    let channels: Vec<&str> = channels.iter().map(String::as_str).collect();
    let request =
        json!({"jsonrpc":"2.0","id":7,"method":"public/subscribe","params":{"channels":channels}});
    pipe.send(INVERSE, conn, &request.to_string());
    pipe.run(10 * SECOND);
    let texts = pipe.texts(conn);
    for channel in channels {
        let of_channel = texts
            .iter()
            .filter(|text| text["params"]["channel"] == channel);
        let (mut last, mut count) = (None, 0);
        let (mut bids, mut asks) = (
            std::collections::BTreeMap::new(),
            std::collections::BTreeMap::new(),
        );
        for data in of_channel.map(|text| &text["params"]["data"]) {
            match data["type"].as_str().unwrap() {
                "snapshot" => assert!(last.is_none() && data.get("prev_change_id").is_none()),
                _ => assert_eq!(data["prev_change_id"].as_u64(), last, "{channel}"),
            }
            for (side, map) in [("bids", &mut bids), ("asks", &mut asks)] {
                for level in data[side].as_array().unwrap() {
                    let (action, price) = (level[0].as_str().unwrap(), level[1].as_f64().unwrap());
                    let key = (price * 1e4) as i64;
                    match action {
                        "delete" => {
                            assert!(map.remove(&key).is_some() && level[2].as_f64() == Some(0.0))
                        }
                        "new" => assert!(map.insert(key, level[2].as_f64()).is_none()),
                        _ => assert!(map.insert(key, level[2].as_f64()).is_some()),
                    }
                }
            }
            last = data["change_id"].as_u64();
            count += 1;
        }
        assert!(count > 5, "{channel}: {count}");
        let truth = pipe.world.truth();
        let truth = truth
            .book_at(
                INVERSE,
                "BTC-PERPETUAL",
                tickwire_sim::Channel::Full,
                last.unwrap(),
            )
            .unwrap();
        assert_eq!(
            (bids.len(), asks.len()),
            (truth.bids.len(), truth.asks.len()),
            "{channel}"
        );
    }
}

// Shapes.

/// Every key of ours is in the real one, with a value of the same JSON type.
fn fits(ours: &Value, real: &Value, at: &str) {
    match (ours, real) {
        (Value::Object(ours), Value::Object(real)) => {
            for (key, value) in ours {
                let known = real.get(key);
                assert!(known.is_some(), "{at}.{key} is not in the real one");
                fits(
                    value,
                    &known.cloned().unwrap_or_default(),
                    &format!("{at}.{key}"),
                );
            }
        }
        (Value::Array(ours), Value::Array(real)) => {
            for (index, one) in ours.iter().enumerate() {
                // A level has a place for each part; other lists have elements of one kind.
                let other = real.get(index).or(real.first());
                if let Some(other) = other {
                    fits(one, other, &format!("{at}[{index}]"));
                }
            }
        }
        (Value::Number(_), Value::Number(_))
        | (Value::String(_), Value::String(_))
        | (Value::Bool(_), Value::Bool(_))
        | (Value::Null, Value::Null) => {}
        _ => panic!("{at}: {ours} beside {real}"),
    }
}

/// Samples of the documentation (API v2.1.1), where nothing is recorded.
const SAMPLES: [(&str, &str); 4] = [
    (
        "book.BTC-PERPETUAL.none.10.100ms",
        r#"{"jsonrpc":"2.0","method":"subscription","params":{"channel":"book.ETH-PERPETUAL.100.1.100ms","data":{"timestamp":1554375447971,"instrument_name":"ETH-PERPETUAL","change_id":109615,"bids":[[160,40]],"asks":[[161,20]]}}}"#,
    ),
    (
        "quote.BTC-PERPETUAL",
        r#"{"jsonrpc":"2.0","method":"subscription","params":{"channel":"quote.BTC-PERPETUAL","data":{"timestamp":1550658624149,"instrument_name":"BTC-PERPETUAL","best_bid_price":3914.97,"best_bid_amount":40,"best_ask_price":3996.61,"best_ask_amount":50}}}"#,
    ),
    (
        "deribit_price_index.btc_usd",
        r#"{"jsonrpc":"2.0","method":"subscription","params":{"channel":"deribit_price_index.btc_usd","data":{"timestamp":1550588002899,"price":3937.89,"index_name":"btc_usd"}}}"#,
    ),
    (
        "chart.trades.BTC-PERPETUAL.1",
        r#"{"jsonrpc":"2.0","method":"subscription","params":{"channel":"chart.trades.BTC-PERPETUAL.1","data":{"volume":0.05219351,"tick":1573645080000,"open":8869.79,"low":8788.25,"high":8870.31,"cost":460,"close":8791.25}}}"#,
    ),
];

fn first<'a>(texts: &'a [Value], channel: &str, kind: Option<&str>) -> &'a Value {
    let found = texts.iter().find(|text| {
        let params = &text["params"];
        let is_kind = kind.is_none_or(|kind| params["data"]["type"] == kind);
        params["channel"] == channel && is_kind
    });
    found.unwrap_or_else(|| panic!("no frame of {channel}"))
}

#[test]
fn frames_are_as_documented() {
    let mut pipe = pipe();
    let conn = pipe.open(INVERSE, PATH).unwrap();
    let channels = SAMPLES.map(|(channel, _)| channel);
    let request =
        json!({"jsonrpc":"2.0","id":7,"method":"public/subscribe","params":{"channels":channels}});
    pipe.send(INVERSE, conn, &request.to_string());
    pipe.run(20 * SECOND);
    let texts = pipe.texts(conn);
    for (channel, real) in SAMPLES {
        let real: Value = serde_json::from_str(real).unwrap();
        let ours = first(&texts, channel, None);
        fits(ours, &real, channel);
        fits(&real, ours, channel);
    }
    let beat = json!({"jsonrpc":"2.0","method":"heartbeat","params":{"type":"test_request"}});
    call(
        &mut pipe,
        conn,
        "public/set_heartbeat",
        json!({"interval":10}),
    );
    pipe.run(10 * SECOND);
    assert!(pipe.texts(conn).contains(&beat));
}

#[test]
fn frames_are_as_recorded() {
    let Some(lines) = fixture_lines("deribit/options_20210405_10instr.jsonl.zst") else {
        return;
    };
    let recorded: Vec<Value> = lines
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["msg"].take())
        .collect();
    let packs = fixture_lines("deribit/nautilus_test_data.jsonl").unwrap();
    let pack = |name: &str| -> Value {
        let mut rows = packs
            .iter()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        rows.find(|row| row["path"].as_str().unwrap().ends_with(name))
            .unwrap()["body"]
            .take()
    };
    let mut pipe = pipe();
    let conn = pipe.open(INVERSE, PATH).unwrap();
    let book = "book.BTC-PERPETUAL.100ms";
    let channels = [
        book,
        "trades.BTC-PERPETUAL.100ms",
        "ticker.BTC-PERPETUAL.100ms",
    ];
    let request =
        json!({"jsonrpc":"2.0","id":7,"method":"public/subscribe","params":{"channels":channels}});
    pipe.send(INVERSE, conn, &request.to_string());
    pipe.run(20 * SECOND);
    let texts = pipe.texts(conn);
    let real_ack = pack("ws_subscribe_response.json");
    let ack = texts.iter().find(|text| text["id"] == 7).unwrap();
    fits(ack, &real_ack, "ack");
    fits(&real_ack, ack, "ack");
    for kind in ["snapshot", "change"] {
        let real = recorded.iter().find(|msg| {
            let data = &msg["params"]["data"];
            let full = |side: &str| data[side].as_array().is_some_and(|side| !side.is_empty());
            data["type"] == kind && (full("bids") || full("asks"))
        });
        let (ours, real) = (first(&texts, book, Some(kind)), real.unwrap());
        fits(ours, real, kind);
        let keys = |value: &Value| {
            value["params"]["data"]
                .as_object()
                .unwrap()
                .keys()
                .cloned()
                .collect::<BTreeSet<_>>()
        };
        assert_eq!(keys(ours), keys(real), "{kind}");
    }
    fits(
        first(&texts, channels[1], None),
        &pack("ws_trades.json"),
        "trades",
    );
    fits(
        first(&texts, channels[2], None),
        &pack("ws_ticker.json"),
        "ticker",
    );
    let ours = pipe.get_json(
        INVERSE,
        "/api/v2/public/get_instrument?instrument_name=BTC-PERPETUAL",
    );
    let mut real = pack("http_get_instrument.json");
    // What the release notes of 2026-01-13 have added since.
    real["result"]["state"] = "open".into();
    fits(&ours["result"], &real["result"], "instrument");
}

#[test]
fn rest_answers_and_errors_have_one_shape_over_both_ways() {
    let mut pipe = pipe();
    pipe.run(5 * SECOND);
    let conn = pipe.open(INVERSE, PATH).unwrap();
    let of = |method: &str| format!("/api/v2/public/{method}");
    let calls = [
        ("get_time", json!({}), ""),
        (
            "get_instruments",
            json!({"currency":"any","kind":"future"}),
            "?currency=any&kind=future",
        ),
        (
            "ticker",
            json!({"instrument_name":"BTC-PERPETUAL"}),
            "?instrument_name=BTC-PERPETUAL",
        ),
        (
            "get_order_book",
            json!({"instrument_name":"BTC-PERPETUAL","depth":5}),
            "?instrument_name=BTC-PERPETUAL&depth=5",
        ),
        (
            "get_last_trades_by_instrument",
            json!({"instrument_name":"BTC-PERPETUAL","count":1}),
            "?instrument_name=BTC-PERPETUAL&count=1",
        ),
        (
            "get_tradingview_chart_data",
            json!({"instrument_name":"BTC-PERPETUAL","resolution":"1"}),
            "?instrument_name=BTC-PERPETUAL&resolution=1",
        ),
        (
            "get_index_price",
            json!({"index_name":"btc_usd"}),
            "?index_name=btc_usd",
        ),
    ];
    for (method, params, query) in calls {
        let answer = call(&mut pipe, conn, &format!("public/{method}"), params);
        let rest = pipe.get_json(INVERSE, &format!("{}{query}", of(method)));
        assert_eq!(answer["result"], rest["result"], "{method}");
        assert!(
            !rest["result"].is_null() && rest["usOut"].is_i64(),
            "{method}"
        );
    }
    let listed = pipe.get_json(
        SimVenue::DeribitOption,
        "/api/v2/public/get_instruments?currency=BTC&kind=option",
    );
    assert_eq!(listed["result"].as_array().unwrap().len(), 3);
    let refused = pipe.get(INVERSE, &format!("{}?instrument_name=X", of("ticker")));
    let body: Value = serde_json::from_slice(&refused.body).unwrap();
    assert_eq!(
        (refused.status, &body["error"]["code"]),
        (400, &json!(-32_602))
    );
}

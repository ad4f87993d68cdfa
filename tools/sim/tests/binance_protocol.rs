//! Binance sessions over virtual time: acks, errors, heartbeat, limits, REST budget, faults.

mod common;

use common::{Event, MS, Pipe, SECOND, START};
use serde_json::json;
use tickwire_sim::{Command, MsgKind, SimVenue, VenueSpec};

const SPOT: SimVenue = SimVenue::BinanceSpot;
const LINEAR: SimVenue = SimVenue::BinanceLinear;

fn spot() -> Pipe {
    Pipe::new(&[VenueSpec::binance_spot().instruments(3).rate_msgs_s(100)])
}

#[test]
fn requests_are_acked_in_the_documented_shapes() {
    let mut pipe = spot();
    let conn = pipe.open(SPOT, "/ws").unwrap();
    let mut ask = |text: &str| {
        pipe.run(SECOND);
        pipe.send(SPOT, conn, text);
        pipe.raw(conn)
            .into_iter()
            .find(|t| !t.contains("\"u\":"))
            .unwrap()
    };
    assert_eq!(
        ask(r#"{"method":"SUBSCRIBE","params":["btcusdt@depth","nope@trade"],"id":1}"#),
        r#"{"result":null,"id":1}"#
    );
    assert_eq!(
        ask(r#"{"method":"LIST_SUBSCRIPTIONS","id":"three"}"#),
        r#"{"result":["btcusdt@depth","nope@trade"],"id":"three"}"#
    );
    assert_eq!(
        ask(r#"{"method":"UNSUBSCRIBE","params":["btcusdt@depth"],"id":312}"#),
        r#"{"result":null,"id":312}"#
    );
    assert_eq!(
        ask(r#"{"method":"SET_PROPERTY","params":["combined",true],"id":5}"#),
        r#"{"result":null,"id":5}"#
    );
    assert_eq!(
        ask(r#"{"method":"GET_PROPERTY","params":["combined"],"id":-6}"#),
        r#"{"result":true,"id":-6}"#
    );
}

#[test]
fn bad_requests_get_codes_zero_to_three_and_the_link_lives() {
    let mut pipe = spot();
    let conn = pipe.open(SPOT, "/ws").unwrap();
    let cases = [
        (
            r#"{"method":"SET_PROPERTY","params":["nope",true],"id":1}"#,
            0,
            json!(1),
        ),
        (
            r#"{"method":"SET_PROPERTY","params":["combined","x"],"id":2}"#,
            1,
            json!(2),
        ),
        (r#"{"method":"FLY","params":[],"id":3}"#, 2, json!(3)),
        (r#"{"method":"SUBSCRIBE","params":"x","id":4}"#, 2, json!(4)),
        (
            r#"{"method":"SUBSCRIBE","params":["a@b"],"id":1.5}"#,
            2,
            json!(null),
        ),
        (
            r#"{"method":"SUBSCRIBE","params":["a@b"],"id":18446744073709551615}"#,
            2,
            json!(null),
        ),
        (r#"{"method"#, 3, json!(null)),
        ("[]", 2, json!(null)),
    ];
    for (text, code, id) in cases {
        pipe.run(SECOND);
        pipe.send(SPOT, conn, text);
        let answer = pipe.texts(conn).pop().unwrap();
        assert_eq!(
            (&answer["code"], &answer["id"]),
            (&json!(code), &id),
            "{text}: {answer}"
        );
        assert!(answer["msg"].is_string());
    }
    assert_eq!(pipe.world.stats(SPOT).rejects, 8);
}

#[test]
fn paths_choose_streams_and_wrapping() {
    let mut pipe = spot();
    let raw = pipe
        .open(SPOT, "/ws/btcusdt@bookTicker/ethusdt@bookTicker")
        .unwrap();
    let combined = pipe
        .open(
            SPOT,
            "/stream?streams=btcusdt@bookTicker/ethusdt@bookTicker",
        )
        .unwrap();
    pipe.run(5 * SECOND);
    let (raw, combined) = (pipe.texts(raw), pipe.texts(combined));
    assert!(raw.len() > 20, "{} frames", raw.len());
    assert_eq!(raw.len(), combined.len());
    for (raw, combined) in raw.iter().zip(&combined) {
        assert_eq!(raw, &combined["data"]);
        let symbol = raw["s"].as_str().unwrap().to_lowercase();
        assert_eq!(combined["stream"], format!("{symbol}@bookTicker"));
    }
    assert_eq!(pipe.open(SPOT, "/nope").unwrap_err().status, 404);
    assert_eq!(pipe.open(SPOT, "/public/ws").unwrap_err().status, 404);
}

#[test]
fn usd_m_serves_its_streams_by_route_and_not_on_retired_paths() {
    let mut pipe = Pipe::new(&[VenueSpec::binance_linear().instruments(1)]);
    assert_eq!(pipe.open(LINEAR, "/ws").unwrap_err().status, 404);
    let streams = "btcusdt@bookTicker/btcusdt@aggTrade";
    let public = pipe
        .open(LINEAR, &format!("/public/stream?streams={streams}"))
        .unwrap();
    let market = pipe.open(LINEAR, &format!("/market/ws/{streams}")).unwrap();
    pipe.run(10 * SECOND);
    assert!(
        pipe.texts(public)
            .iter()
            .all(|t| t["data"]["e"] == "bookTicker")
    );
    let trades = pipe.texts(market);
    assert!(!trades.is_empty() && trades.iter().all(|t| t["e"] == "aggTrade"));

    let spec = VenueSpec::binance_linear()
        .instruments(1)
        .legacy_paths(true);
    assert!(Pipe::new(&[spec]).open(LINEAR, "/ws").is_ok());
}

#[test]
fn server_pings_every_20_s_and_cuts_without_a_pong_in_a_minute() {
    let mut pipe = spot();
    let good = pipe.open(SPOT, "/ws").unwrap();
    let mute = pipe.open(SPOT, "/ws").unwrap();
    let liar = pipe.open(SPOT, "/ws").unwrap();
    for _ in 0..200 {
        pipe.run(SECOND);
        for event in pipe.events(good) {
            if let Event::Ping(payload) = event {
                pipe.pong(SPOT, good, &payload);
            }
        }
        // An unsolicited pong does not keep a connection alive.
        pipe.pong(SPOT, liar, b"");
    }
    for conn in [mute, liar] {
        let events = pipe.timed_events(conn);
        let pings = events.iter().filter(|(_, e)| matches!(e, Event::Ping(_)));
        let times: Vec<i64> = pings.map(|(at, _)| (at - START) / SECOND).collect();
        assert_eq!(times, [20, 40, 60]);
        let (at, last) = events.last().unwrap();
        assert_eq!(
            ((at - START) / SECOND, last),
            (80, &Event::Close(1008, "Pong timeout"))
        );
    }
    assert!(
        pipe.events(good)
            .iter()
            .all(|e| matches!(e, Event::Ping(_)))
    );
}

#[test]
fn pings_can_be_muted() {
    let mut pipe = spot();
    let conn = pipe.open(SPOT, "/ws").unwrap();
    pipe.control(SPOT, &Command::MutePings(true));
    pipe.control(SPOT, &Command::MutePongs(true));
    pipe.ping(SPOT, conn, b"x");
    pipe.run(300 * SECOND);
    assert_eq!(pipe.events(conn), []);
    pipe.control(SPOT, &Command::MutePongs(false));
    pipe.ping(SPOT, conn, b"x");
    assert_eq!(pipe.events(conn), [Event::Pong(b"x".to_vec())]);
}

#[test]
fn sixth_inbound_frame_in_a_second_cuts() {
    let mut pipe = spot();
    let conn = pipe.open(SPOT, "/ws").unwrap();
    for _ in 0..3 {
        pipe.send(SPOT, conn, r#"{"method":"LIST_SUBSCRIPTIONS","id":1}"#);
    }
    pipe.ping(SPOT, conn, b"");
    pipe.pong(SPOT, conn, b"");
    assert!(
        !pipe
            .events(conn)
            .contains(&Event::Close(1008, "Too many requests"))
    );
    pipe.ping(SPOT, conn, b"");
    assert_eq!(pipe.events(conn), [Event::Close(1008, "Too many requests")]);
    assert_eq!(pipe.world.stats(SPOT).cut, 1);
}

#[test]
fn stream_limit_and_life_end_connections() {
    let spec = VenueSpec::binance_spot()
        .instruments(1)
        .limits(|l| (l.streams_max, l.life_ns) = (3, Some(10 * SECOND)));
    let mut pipe = Pipe::new(&[spec]);
    let conn = pipe.open(SPOT, "/ws").unwrap();
    pipe.send(
        SPOT,
        conn,
        r#"{"method":"SUBSCRIBE","params":["a@b","c@d","e@f","g@h"],"id":1}"#,
    );
    assert_eq!(pipe.events(conn), [Event::Close(1008, "Too many streams")]);
    let conn = pipe.open(SPOT, "/ws").unwrap();
    pipe.run(11 * SECOND);
    let events = pipe.timed_events(conn);
    assert_eq!(
        events,
        [(
            START + 10 * SECOND,
            Event::Close(1008, "Connection lived 24 hours")
        )]
    );
}

#[test]
fn rest_reports_weight_limits_then_bans() {
    let spec = VenueSpec::binance_spot()
        .instruments(2)
        .limits(|l| l.rest_ban_after = 2);
    let mut pipe = Pipe::new(&[spec]);
    let header = |response: &tickwire_sim::HttpResponse, name: &str| {
        response
            .headers
            .iter()
            .find(|(n, _)| *n == name)
            .map(|(_, v)| v.clone())
    };
    let depth = "/api/v3/depth?symbol=BTCUSDT&limit=5000";
    for used in 1..=24 {
        let response = pipe.get(SPOT, depth);
        assert_eq!(response.status, 200);
        assert_eq!(
            header(&response, "X-MBX-USED-WEIGHT-1M"),
            Some((used * 250).to_string())
        );
    }
    let limited = pipe.get(SPOT, depth);
    assert_eq!(
        (limited.status, header(&limited, "Retry-After").as_deref()),
        (429, Some("60"))
    );
    let body: serde_json::Value = serde_json::from_slice(&limited.body).unwrap();
    assert_eq!(body["code"], -1003);
    assert_eq!(pipe.get(SPOT, depth).status, 429);
    let banned = pipe.get(SPOT, depth);
    assert_eq!(
        (banned.status, header(&banned, "Retry-After").as_deref()),
        (418, Some("120"))
    );
    pipe.run(121 * SECOND);
    assert_eq!(pipe.get(SPOT, "/api/v3/time").status, 200);
    let stats = pipe.world.stats(SPOT);
    assert_eq!(
        (stats.rest_requests, stats.rest_limited, stats.rest_banned),
        (28, 2, 1)
    );
}

#[test]
fn rest_parameters_are_checked() {
    let mut pipe = Pipe::new(&[
        VenueSpec::binance_spot().instruments(3),
        VenueSpec::binance_linear(),
    ]);
    let mut code = |venue, target: &str| {
        let response = pipe.get(venue, target);
        let body: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
        (response.status, body["code"].as_i64().unwrap_or(0))
    };
    assert_eq!(code(SPOT, "/api/v3/depth"), (400, -1102));
    assert_eq!(code(SPOT, "/api/v3/depth?symbol=NOPE"), (400, -1121));
    assert_eq!(
        code(SPOT, "/api/v3/depth?symbol=BTCUSDT&limit=x"),
        (400, -1130)
    );
    assert_eq!(
        code(LINEAR, "/fapi/v1/depth?symbol=BTCUSDT&limit=7"),
        (400, -1130)
    );
    assert_eq!(code(SPOT, "/api/v3/exchangeInfo?symbol=NOPE"), (400, -1121));
    assert_eq!(code(SPOT, "/api/v3/exchangeInfo?symbols=x"), (400, -1100));
    assert_eq!(code(SPOT, "/fapi/v1/time").0, 404);
    let info = pipe.get_json(
        SPOT,
        "/api/v3/exchangeInfo?symbols=%5B%22ETHUSDT%22,%22BTCUSDT%22%5D",
    );
    let names: Vec<_> = info["symbols"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| &s["symbol"])
        .collect();
    assert_eq!(names, ["ETHUSDT", "BTCUSDT"]);
    let depth = pipe.get_json(SPOT, "/api/v3/depth?symbol=BTCUSDT");
    assert_eq!(depth["bids"].as_array().unwrap().len(), 100);
    let depth = pipe.get_json(SPOT, "/api/v3/depth?symbol=BTCUSDT&limit=5000");
    assert!(depth["bids"].as_array().unwrap().len() >= 1_000);
    assert_eq!(
        pipe.get_json(SPOT, "/api/v3/time")["serverTime"],
        START / MS
    );
}

#[test]
fn faults_cut_pause_stall_and_refuse() {
    let mut pipe = spot();
    let conn = pipe
        .open(SPOT, "/ws/btcusdt@bookTicker/btcusdt@trade")
        .unwrap();
    pipe.run(5 * SECOND);
    assert!(!pipe.texts(conn).is_empty());
    pipe.control(SPOT, &Command::Pause);
    pipe.run(5 * SECOND);
    assert_eq!(pipe.texts(conn).len(), 0);
    pipe.control(SPOT, &Command::Resume);
    pipe.control(
        SPOT,
        &Command::StallStream {
            topic: "btcusdt@bookTicker".to_owned(),
            on: true,
        },
    );
    pipe.run(20 * SECOND);
    let texts = pipe.texts(conn);
    assert!(!texts.is_empty() && texts.iter().all(|t| t["e"] == "trade"));
    assert!(pipe.world.stats(SPOT).withheld > 0);

    pipe.control(SPOT, &Command::RefuseUpgrades(Some(503)));
    assert_eq!(pipe.open(SPOT, "/ws").unwrap_err().status, 503);
    pipe.control(SPOT, &Command::CutConnections);
    assert_eq!(pipe.events(conn), [Event::Cut]);
    pipe.run(SECOND);
    assert_eq!(pipe.events(conn), []);
    pipe.control(SPOT, &Command::RefuseUpgrades(None));
    assert!(pipe.open(SPOT, "/ws").is_ok());
}

#[test]
fn one_skipped_delta_is_one_gap() {
    let mut pipe = spot();
    let conn = pipe.open(SPOT, "/ws/btcusdt@depth@100ms").unwrap();
    pipe.run(3 * SECOND);
    pipe.control(
        SPOT,
        &Command::SkipNextDelta {
            symbol: "BTCUSDT".to_owned(),
        },
    );
    pipe.run(3 * SECOND);
    let texts = pipe.texts(conn);
    let gaps = texts
        .windows(2)
        .filter(|w| w[1]["U"].as_u64().unwrap() != w[0]["u"].as_u64().unwrap() + 1);
    assert_eq!(gaps.count(), 1);
    assert_eq!(
        pipe.world.stats(SPOT).sent(MsgKind::Depth),
        texts.len() as u64
    );
}

#[test]
fn candles_close_at_their_end_and_tickers_tick() {
    // Nobody answers pings here.
    let spec = VenueSpec::binance_spot()
        .instruments(1)
        .limits(|l| l.ping_interval_ns = None);
    let mut pipe = Pipe::new(&[spec]);
    let conn = pipe
        .open(
            SPOT,
            "/ws/btcusdt@kline_1m/btcusdt@ticker/btcusdt@miniTicker",
        )
        .unwrap();
    pipe.run(125 * SECOND);
    let texts = pipe.texts(conn);
    let count = |event: &str| texts.iter().filter(|t| t["e"] == event).count();
    assert_eq!(count("24hrTicker"), 125);
    assert_eq!(count("24hrMiniTicker"), 125);
    let closed: Vec<_> = texts.iter().filter(|t| t["k"]["x"] == true).collect();
    assert_eq!(closed.len(), 2);
    for candle in closed {
        assert_eq!(
            candle["E"].as_i64().unwrap(),
            candle["k"]["T"].as_i64().unwrap() + 1
        );
        assert!(candle["k"]["n"].as_u64().unwrap() > 0);
    }
}

#[test]
fn same_seed_same_frames() {
    let frames = |seed| {
        let mut pipe = Pipe::seeded(&[VenueSpec::binance_spot().instruments(2)], seed);
        let conn = pipe
            .open(SPOT, "/stream?streams=btcusdt@depth@100ms/ethusdt@trade")
            .unwrap();
        pipe.run(20 * SECOND);
        pipe.raw(conn)
    };
    assert_eq!(frames(3), frames(3));
    assert_ne!(frames(3), frames(4));
}

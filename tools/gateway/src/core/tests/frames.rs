//! Frames that are not what they should be, limits, and connections that end.

use super::*;
use crate::config::Limits;

fn last(frames: &[Value]) -> &Value {
    frames.last().expect("a frame")
}

#[test]
fn a_plain_client_that_knows_no_ids_works() {
    let mut world = World::new();
    let conn = world.connect();
    world.say(conn, r#"{"type":"subscribe","channels":["project:p1"]}"#);
    assert_eq!(world.read(conn), Vec::<Value>::new());
    world.session(conn);
    world.say(conn, r#"{"type":"ping"}"#);
    assert_eq!(world.read(conn), [json!({ "type": "pong" })]);
    world.say(
        conn,
        r#"{"type":"unsubscribe","channels":["project:p1","nonsense"]}"#,
    );
    world.session(conn);
    assert_eq!(world.read(conn), Vec::<Value>::new());
}

#[test]
fn a_bad_frame_never_ends_a_connection_and_32_in_a_row_do() {
    let mut world = World::new();
    let conn = world.connect();
    for round in 0..3 {
        for _ in 0..31 {
            world.say(conn, "{");
            let frames = world.read(conn);
            assert_eq!(last(&frames)["error"]["code"], "PARSE_ERROR", "{round}");
            assert_eq!(last(&frames)["id"], Value::Null);
        }
        world.say(conn, r#"{"type":"ping"}"#);
        assert_eq!(world.read(conn), [json!({ "type": "pong" })]);
    }
    for _ in 0..31 {
        world.core.binary(conn, world.now);
    }
    world.say(conn, r#"{"type":"nothing"}"#);
    assert_eq!(world.read(conn), [json!({ "closed": 4501 })]);
    world.say(conn, r#"{"type":"ping"}"#);
    assert_eq!(
        world.read(conn),
        Vec::<Value>::new(),
        "nothing after the verdict"
    );
}

#[test]
fn a_client_that_is_too_fast_is_told_when_to_come_again() {
    let mut world = World::new();
    let conn = world.connect();
    let ping = r#"{"type":"request","id":"x","method":"system.stats"}"#;
    for _ in 0..101 {
        world.core.text(conn, ping, world.now);
    }
    let frames = world.read(conn);
    assert_eq!(frames.len(), 101);
    let error = &last(&frames)["error"];
    assert_eq!(
        (&error["code"], &error["retryable"]),
        (&json!("RATE_LIMITED"), &json!(true))
    );
    let wait_ms = error["retryAfterMs"].as_i64().expect("a wait");
    assert_eq!(wait_ms, 21, "one of 50 a second");
    world.now += Nanos::from_millis(wait_ms);
    world.core.text(conn, ping, world.now);
    assert!(last(&world.read(conn)).get("result").is_some());
}

#[test]
fn one_bad_channel_fails_alone() {
    let mut world = World::new();
    let conn = world.connect_as(reader("ann").projects(["p1"]));
    let table = [
        ("system", ""),
        ("nonsense", "VALIDATION_ERROR"),
        ("project:p2", "FORBIDDEN"),
        ("orders:p2", "FORBIDDEN"),
        ("user:bob", "FORBIDDEN"),
        ("session:none", "NOT_FOUND"),
        ("book:nowhere:spot:x", "NOT_FOUND"),
        ("project:p1", ""),
    ];
    let channels: Vec<&str> = table.iter().map(|(channel, _)| *channel).collect();
    let frame = json!({ "type": "subscribe", "id": "s", "channels": channels });
    world.say(conn, &frame.to_string());
    let frames = world.read(conn);
    let results = &last(&frames)["result"]["channels"];
    for (place, (channel, expected)) in table.iter().enumerate() {
        let result = &results[place];
        assert_eq!(result["channel"], *channel);
        let error = result["error"]["code"].as_str().unwrap_or_default();
        assert_eq!(error, *expected, "{channel}");
        assert_eq!(result["offset"].is_u64(), expected.is_empty());
    }
    let blind = world.connect_as(Grant::all("ann").scopes([Scope::Control]));
    let subscribed = world.subscribe(blind, &json!("system"));
    assert_eq!(subscribed["error"]["code"], "FORBIDDEN");
}

#[test]
fn limits_of_channels_and_of_requests_under_way_hold() {
    let limits = Limits {
        channels_max: 3,
        requests_max: 2,
        ..Limits::default()
    };
    let mut world = World::with(Config { limits, ..config() });
    let conn = world.connect();
    for channel in ["system", "project:p1", "orders:p1"] {
        assert!(
            world
                .subscribe(conn, &json!(channel))
                .get("error")
                .is_none()
        );
    }
    let fourth = world.subscribe(conn, &json!("user:ann"));
    assert_eq!(fourth["error"]["code"], "LIMIT_EXCEEDED");
    assert!(
        world
            .subscribe(conn, &json!("system"))
            .get("error")
            .is_none(),
        "held already"
    );
    let book = |id: &str| {
        json!({ "type": "request", "id": id, "method": "books.get",
            "params": { "venue": "binance", "market": "spot", "symbol": "X" } })
        .to_string()
    };
    // The book is not there yet: these are under way.
    world.say(conn, &book("1"));
    world.say(conn, &book("2"));
    assert_eq!(world.read(conn), Vec::<Value>::new());
    world.say(conn, &book("2"));
    assert_eq!(last(&world.read(conn))["error"]["code"], "DUPLICATE_ID");
    world.say(conn, &book("3"));
    assert_eq!(last(&world.read(conn))["error"]["code"], "LIMIT_EXCEEDED");
    world.feed.levels(1, 1, true, &[(Side::Bid, 999, 5)]);
    let frames = world.read(conn);
    assert_eq!(frames.len(), 2);
    assert!(
        frames
            .iter()
            .all(|frame| frame["result"]["bids"] == json!([["99.9", "0.05"]]))
    );
    world.feed.stale(1);
    world.turn();
    world.say(conn, &book("2"));
    assert_eq!(world.read(conn), Vec::<Value>::new());
    world.pass(Nanos::from_secs(5));
    assert_eq!(last(&world.read(conn))["error"]["code"], "TIMEOUT");
}

#[test]
fn clients_are_pinged_and_the_dead_are_closed_with_4408() {
    let mut world = World::new();
    let (alive, dead) = (world.connect(), world.connect());
    let mut pings = 0;
    for _ in 0..45 {
        world.pass(Nanos::from_secs(1));
        while let Some(out) = world.core.next(alive) {
            if out == Out::Ping {
                pings += 1;
                world.core.heard(alive, world.now);
            }
        }
    }
    assert!((2..=4).contains(&pings), "{pings} in 45 s");
    let left: Vec<Value> = world.read(dead);
    assert_eq!(left, [json!({ "closed": 4408 })]);
    world.say(alive, r#"{"type":"ping"}"#);
    assert_eq!(world.read(alive), [json!({ "type": "pong" })]);
}

#[test]
fn an_expiring_token_can_be_replaced_and_an_expired_one_ends_its_connections() {
    let mut world = World::new();
    let until = START + Nanos::from_secs(10);
    let one = world.connect_as(Grant::all("ann").until(until));
    let two = world.connect_as(Grant::all("ann").until(until));
    world.subscribe(one, &json!("project:p1"));
    world.subscribe(one, &json!("system"));
    let fresh = Grant::all("ann")
        .projects(["p2"])
        .until(START + Nanos::from_secs(1_000));
    let fresh = world.core.issue(fresh).expect("randomness");
    let stranger = world.core.issue(Grant::all("bob")).expect("randomness");
    let refresh = |token: &str| json!({ "token": token });
    let other = world.ask(one, "auth.refresh", refresh(stranger.expose()));
    assert_eq!(code(&other), "AUTH_INVALID");
    world
        .ask(one, "auth.refresh", refresh(fresh.expose()))
        .expect("refreshed");
    world.pass(Nanos::from_secs(10));
    assert_eq!(world.read(two), [json!({ "closed": 4001 })]);
    world.core.heard(one, world.now);
    let ann = world.connect();
    world.session(ann);
    let frames = world.read(one);
    assert!(
        frames.iter().all(|frame| frame["channel"] != "project:p1"),
        "not covered any more"
    );
    world.pass(Nanos::from_secs(990));
    assert_eq!(last(&world.read(one)), &json!({ "closed": 4001 }));
}

#[test]
fn revocation_closes_live_connections() {
    let mut world = World::new();
    let token = world.core.issue(Grant::all("ann")).expect("randomness");
    let identity = world
        .core
        .auth
        .token(token.expose(), world.now)
        .expect("good");
    let id = identity.token.clone();
    let (conn, other) = (world.core.open(identity, world.now), world.connect());
    world.core.revoke(&id);
    assert_eq!(world.read(conn), [json!({ "closed": 4003 })]);
    assert_eq!(world.read(other), Vec::<Value>::new());
    assert!(world.core.auth.token(token.expose(), world.now).is_err());
}

#[test]
fn a_client_whose_socket_takes_nothing_is_closed_with_4429() {
    let mut world = World::new();
    let conn = world.connect();
    world.subscribe(conn, &json!("system"));
    world.core.set_blocked(conn, true, world.now);
    world.core.heard(conn, world.now);
    world.pass(Nanos::from_secs(9));
    assert!(
        world
            .core
            .conn(conn)
            .is_some_and(|conn| conn.closing.is_none())
    );
    world.core.set_blocked(conn, true, world.now);
    world.pass(Nanos::from_secs(1));
    assert_eq!(world.read(conn), [json!({ "closed": 4429 })]);
}

#[test]
fn answers_that_nobody_reads_and_logs_that_nobody_keeps_up_with_end_in_4429() {
    let limits = Limits {
        queue_bytes_max: 20_000,
        ..Limits::default()
    };
    let mut world = World::with(Config { limits, ..config() });
    let conn = world.connect();
    for _ in 0..90 {
        world.core.text(
            conn,
            r#"{"type":"request","id":"x","method":"system.stats"}"#,
            world.now,
        );
    }
    assert_eq!(world.read(conn), [json!({ "closed": 4429 })]);
    let (slow, other) = (world.connect(), world.connect());
    world.subscribe(slow, &json!("project:p1"));
    for _ in 0..200 {
        world.session(other);
    }
    world.core.heard(slow, world.now);
    world.core.tick(world.now);
    assert_eq!(world.read(slow), [json!({ "closed": 4429 })]);
}

#[test]
fn every_close_has_its_code() {
    let codes = Close::ALL.map(Close::code);
    assert_eq!(codes, [1001, 1009, 4001, 4003, 4408, 4429, 4499, 4501]);
}

#[test]
fn frames_of_chance_are_answered_with_typed_errors() {
    let mut world = World::new();
    let mut chance = fastrand::Rng::with_seed(1);
    let good = json!({ "type": "request", "id": "1", "method": "sessions.create",
        "params": { "projectId": "p1", "params": { "a": [1, 2, { "b": null }] } } })
    .to_string();
    for _ in 0..2_000 {
        let conn = world.connect();
        let mut bytes = good.clone().into_bytes();
        for _ in 0..chance.usize(1..6) {
            let at = chance.usize(..bytes.len());
            match chance.u8(..3) {
                0 => bytes[at] = chance.u8(b' '..b'~'),
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, *chance.choice(b"{}[]\",:0\\").expect("some")),
            }
        }
        world.say(conn, &String::from_utf8_lossy(&bytes));
        for frame in world.read(conn) {
            let is_answer = frame["type"] == "response" || frame["type"] == "pong";
            assert!(is_answer, "{frame}");
            if let Some(error) = frame.get("error") {
                assert_ne!(error["code"], "INTERNAL_ERROR", "{frame}");
            }
        }
        world.core.closed(conn);
    }
}

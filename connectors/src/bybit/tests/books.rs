//! Books: snapshots, deltas, gaps, restarts, scales, level 1.

use super::*;

const FIRST: &str = r#""b":[["100.5","1"],["100","2"]],"a":[["101","3"],["102","4"]]"#;

fn live() -> World {
    let mut world = World::linear().subscribed("book");
    assert_eq!(
        world.book("snapshot", 10, FIRST),
        ["#0 live synced e1", "#0 bbo 100.5x1 101x3 u=10"]
    );
    world
}

/// One message of level 1.
fn top(world: &mut World, seq: u64, sides: &str) -> Vec<String> {
    world.message(
        0,
        &format!(
            r#"{{"topic":"orderbook.1.BTCUSDT","ts":1,"type":"snapshot","data":{{"s":"BTCUSDT",{sides},"u":{seq},"seq":1}},"cts":1}}"#
        ),
    )
}

#[test]
fn snapshot_and_deltas_make_a_book() {
    let mut world = live();
    assert_eq!(
        world.book("delta", 11, r#""b":[["100.5","0"],["99","1"]],"a":[]"#),
        ["#0 bbo 100x2 101x3 u=11"]
    );
    assert!(
        world
            .book("delta", 12, r#""b":[["90","1"]],"a":[]"#)
            .is_empty()
    );
    // A level that is not held is deleted: harmless (pybit #372).
    assert!(
        world
            .book("delta", 13, r#""b":[["1","0"]],"a":[]"#)
            .is_empty()
    );
    let view = world.venue.book(id(0)).expect("a book");
    assert_eq!((view.seq, view.state), (13, StreamState::Live));
    assert_eq!(view.book.len(Side::Bid), 3);
    // A snapshot replaces the book at any time.
    assert_eq!(
        world.book("snapshot", 50, r#""b":[["7","1"]],"a":[["8","1"]]"#),
        ["#0 bbo 7x1 8x1 u=50"]
    );
    assert_eq!(
        world.book("delta", 51, r#""b":[],"a":[["7.5","1"]]"#),
        ["#0 bbo 7x1 7.5x1 u=51"]
    );
}

#[test]
fn levels_are_published_where_depth_is_on() {
    let mut world = World::linear();
    world.subscribe_depth(0, "BTCUSDT", "book", true);
    world.up(0, 1);
    world.ack(0, 1);
    assert_eq!(
        world.book("snapshot", 10, r#""b":[["100","2"]],"a":[["101","3"]]"#),
        [
            "#0 live synced e1",
            "#0 [bid 100x2",
            "#0 ask 101x3]",
            "#0 bbo 100x2 101x3 u=10"
        ]
    );
    assert_eq!(
        world.book("delta", 11, r#""b":[["99","1"]],"a":[["101","0"]]"#),
        ["#0 bid 99x1", "#0 ask 101x0]", "#0 bbo 100x2 - u=11"]
    );
    let depth = |depth| Command::SetDepth {
        stream: id(0),
        depth,
    };
    assert!(world.command(depth(false)).is_empty());
    assert!(
        world
            .book("delta", 12, r#""b":[["98","1"]],"a":[]"#)
            .is_empty()
    );
    assert_eq!(
        world.command(depth(true)),
        [
            "#0 [bid 98x1",
            "#0 bid 99x1",
            "#0 bid 100x2]",
            "#0 bbo 100x2 - u=12"
        ]
    );
    assert_eq!(world.command(Command::Republish { stream: id(0) }).len(), 4);
}

#[test]
fn a_gap_fetches_that_topic_anew_and_no_other() {
    let mut world = live();
    world.subscribe(1, "ETHUSDT", "book");
    world.ack(0, 2);
    assert_eq!(
        world.book("delta", 12, r#""b":[["100.6","1"]],"a":[]"#),
        ["#0 resync gap expected 11 got 12 e1"]
    );
    assert!(
        world.book("delta", 13, FIRST).is_empty(),
        "no price until Live"
    );
    let before = world.now;
    assert_eq!(
        world.timeout(),
        [r#"send 0 {"req_id":"3","op":"unsubscribe","args":["orderbook.50.BTCUSDT"]}"#]
    );
    let wait = world.now.since(before);
    assert!(
        (Nanos::from_millis(100)..=Nanos::from_millis(150)).contains(&wait),
        "{wait}"
    );
    assert!(world.book("delta", 14, FIRST).is_empty());
    assert_eq!(
        world.ack_unsubscribe(0, 3),
        [r#"send 0 {"req_id":"4","op":"subscribe","args":["orderbook.50.BTCUSDT"]}"#]
    );
    // The snapshot may come before the ack.
    assert_eq!(
        world.book("snapshot", 20, FIRST),
        ["#0 live synced e1", "#0 bbo 100.5x1 101x3 u=20"]
    );
    assert!(world.ack(0, 4).is_empty());
    assert_eq!(
        world.book("delta", 21, r#""a":[["101","5"]]"#),
        ["#0 bbo 100.5x1 101x5 u=21"]
    );
    let counters = world.venue.counters();
    assert_eq!((counters.gaps, counters.resyncs), (1, 1));
}

#[test]
fn a_snapshot_that_comes_by_itself_ends_the_wait() {
    let mut world = live();
    world.book("delta", 12, r#""b":[]"#);
    assert_eq!(world.book("snapshot", 30, FIRST).len(), 2);
    // The next timer is the ping, not the resync.
    assert!(world.timeout()[0].contains("ping"));
}

#[test]
fn a_seen_delta_is_dropped_and_a_run_of_them_is_a_gap() {
    let mut world = live();
    for _ in 1..urls::STALE_RUN_MAX {
        assert!(world.book("delta", 9, r#""b":[["200","1"]]"#).is_empty());
    }
    assert_eq!(
        world.book("delta", 9, r#""b":[["200","1"]]"#),
        ["#0 resync gap expected 11 got 9 e1"]
    );
    assert_eq!(world.venue.counters().stale, u64::from(urls::STALE_RUN_MAX));
}

#[test]
fn a_book_message_without_one_of_its_sides_is_damaged() {
    for side in ["b", "a"] {
        let mut world = live();
        let text = format!(
            r#"{{"topic":"orderbook.50.BTCUSDT","type":"delta","ts":1,"data":{{"s":"BTCUSDT","{side}":[],"u":11,"seq":9}},"cts":1}}"#
        );
        let events = world.message(0, &text);
        assert!(events[0].contains("resync"), "{side}: {events:?}");
        assert_eq!(world.venue.counters().malformed, 1, "{side}");
    }
}

#[test]
fn u_of_1_is_a_restart_and_the_message_is_the_book() {
    let mut world = live();
    for kind in ["delta", "snapshot", "delta"] {
        assert_eq!(
            world.book(kind, 1, r#""b":[["50","1"],["49","0"]],"a":[["51","1"]]"#),
            [
                "#0 resync venue_restart e1",
                "#0 live synced e1",
                "#0 bbo 50x1 51x1 u=1"
            ]
        );
    }
    assert_eq!(
        world.book("delta", 2, r#""b":[["50.5","1"]]"#),
        ["#0 bbo 50.5x1 51x1 u=2"]
    );
}

#[test]
fn a_crossed_book_is_not_published() {
    let mut world = live();
    assert_eq!(
        world.book("delta", 11, r#""b":[["103","1"]]"#),
        ["#0 resync crossed e1"]
    );
    assert_eq!(world.venue.counters().crossed, 1);
    // A crossed snapshot doesn't put the next try off.
    let due = world.venue.poll_timeout();
    assert!(
        world
            .book("snapshot", 12, r#""b":[["2","1"]],"a":[["1","1"]]"#)
            .is_empty()
    );
    assert_eq!(world.venue.poll_timeout(), due);
}

#[test]
fn tries_that_fail_wait_longer_and_health_makes_them_short_again() {
    let mut world = live();
    let mut waits = Vec::new();
    let mut seq = 10;
    let mut request = 2;
    for _ in 0..6 {
        world.book("delta", seq + 2, r#""b":[]"#);
        let before = world.now;
        world.timeout();
        waits.push(world.now.since(before).as_millis());
        world.ack_unsubscribe(0, request);
        world.ack(0, request + 1);
        request += 2;
        seq += 100;
        world.book("snapshot", seq, FIRST);
    }
    for (tries, wait) in waits.iter().enumerate() {
        let least = 100 << tries;
        assert!((least..=least + least / 2).contains(wait), "{waits:?}");
    }
    world.pass(RESYNC_HEALTHY);
    world.message(0, r#"{"success":true,"ret_msg":"pong","op":"ping"}"#);
    world.book("delta", seq + 2, r#""b":[]"#);
    let due = world.venue.poll_timeout().expect("a timer");
    assert!(due.since(world.now) <= Nanos::from_millis(150));
}

#[test]
fn a_snapshot_that_never_comes_is_asked_for_again() {
    let mut world = World::linear().subscribed("book");
    assert_eq!(world.timeout(), ["#0 resync snapshot_failed e1"]);
    assert_eq!(
        world.timeout(),
        [r#"send 0 {"req_id":"2","op":"unsubscribe","args":["orderbook.50.BTCUSDT"]}"#]
    );
}

#[test]
fn a_strategy_can_ask_for_a_fresh_book() {
    let mut world = live();
    let resync = Command::Resync { stream: id(0) };
    assert_eq!(world.command(resync), ["#0 resync requested e1"]);
    let before = world.now;
    assert!(world.timeout()[0].contains("unsubscribe"));
    assert_eq!(world.now, before, "at once");
}

#[test]
fn a_malformed_message_costs_its_book_and_no_other() {
    let mut world = live();
    world.subscribe(1, "BTCUSDT", "trades");
    world.ack(0, 2);
    assert!(
        world
            .message(0, r#"{"type":"delta","data":{"b":[["#)
            .is_empty()
    );
    assert!(
        world
            .message(0, "Failed to decode incoming data: x")
            .is_empty()
    );
    assert!(world.message(0, "").is_empty());
    assert!(world.message(0, "\u{0}\u{1}").is_empty());
    assert_eq!(
        world.message(
            0,
            r#"{"topic":"orderbook.50.BTCUSDT","type":"delta","data":{"b":[["1"#
        ),
        ["#0 resync malformed e1"]
    );
    assert_eq!(world.venue.counters().malformed, 5);
    // Negative quantities are no book.
    world.book("snapshot", 20, FIRST);
    assert_eq!(
        world.book("delta", 21, r#""b":[["1","-1"]]"#),
        ["#0 resync malformed e1"]
    );
    assert_eq!(
        world.message(0, r#"{"topic":"publicTrade.BTCUSDT","data":[{"T":1}]}"#),
        ["#1 resync malformed e1"]
    );
    let trade = r#"{"topic":"publicTrade.BTCUSDT","data":[{"T":1,"p":"1","v":"1","S":"Buy","i":"5","seq":3}]}"#;
    assert_eq!(
        world.message(0, trade),
        ["#1 live synced e1", "#1 trade buy 1x1 id=5 seq=3 at=1"]
    );
}

#[test]
fn more_digits_than_the_scale_give_a_fresh_book_at_a_wider_one() {
    let mut world = World::linear().subscribed("book");
    // The first snapshot is read at the scale that it needs: linear starts with 8 and 4.
    assert_eq!(
        world.book("snapshot", 10, r#""b":[["1.123456789","1"]],"a":[]"#),
        [
            "#0 instrument BTC/USDT:USDT BTCUSDT 9/4",
            "#0 live synced e1",
            "#0 bbo 1.123456789x1 - u=10"
        ]
    );
    // A delta can't be read at another scale than its book.
    assert_eq!(
        world.book("delta", 11, r#""b":[["1","0.12345"]],"a":[]"#),
        [
            "#0 resync rescale e1",
            "#0 instrument BTC/USDT:USDT BTCUSDT 9/5"
        ]
    );
    assert!(
        world
            .book("delta", 12, r#""b":[["1","0.1234567"]]"#)
            .is_empty()
    );
    assert!(world.timeout()[0].contains("unsubscribe"));
    assert_eq!(
        world.book("snapshot", 20, r#""b":[["1","0.12345"]],"a":[]"#),
        ["#0 live synced e1", "#0 bbo 1x0.12345 - u=20"]
    );
    // A snapshot while Live, with a quantity too large for 5 decimals.
    assert_eq!(
        world.book("snapshot", 30, r#""b":[["1","900000000000000"]],"a":[]"#),
        [
            "#0 resync rescale e1",
            "#0 instrument BTC/USDT:USDT BTCUSDT 9/0",
            "#0 live synced e1",
            "#0 bbo 1x900000000000000 - u=30"
        ]
    );
    // What no scale holds is no book.
    assert_eq!(
        world.book(
            "snapshot",
            31,
            r#""b":[["1","900000000000000000000"]],"a":[]"#
        ),
        ["#0 resync malformed e1"]
    );
}

#[test]
fn level_1_is_whole_each_time_and_its_repeat_is_no_event() {
    let mut world = World::spot().subscribed("bbo");
    assert_eq!(
        top(&mut world, 5, r#""b":[["10","1"]],"a":[["11","1"]]"#),
        ["#0 live synced e1", "#0 bbo 10x1 11x1 u=5"]
    );
    assert!(top(&mut world, 5, r#""b":[["10","1"]],"a":[["11","1"]]"#).is_empty());
    // Numbers may jump: each message is whole. A side may be empty.
    assert_eq!(
        top(&mut world, 9, r#""b":[],"a":[["11","1"]]"#),
        ["#0 bbo - 11x1 u=9"]
    );
    assert_eq!(
        top(&mut world, 10, r#""b":[["10","1"]],"a":[]"#),
        ["#0 bbo 10x1 - u=10"]
    );
    assert!(
        top(&mut world, 8, r#""b":[["1","1"]],"a":[]"#).is_empty(),
        "an old one"
    );
    assert_eq!(world.venue.counters().stale, 1);
    assert_eq!(
        top(&mut world, 1, r#""b":[["3","1"]],"a":[["4","1"]]"#),
        [
            "#0 resync venue_restart e1",
            "#0 live synced e1",
            "#0 bbo 3x1 4x1 u=1"
        ]
    );
    assert!(top(&mut world, 1, r#""b":[["3","1"]],"a":[["4","1"]]"#).is_empty());
    // After a fault the next message, a repeat as well, is enough.
    assert_eq!(
        top(&mut world, 2, r#""b":[["5","1"]],"a":[["4","1"]]"#),
        ["#0 resync crossed e1"]
    );
    assert_eq!(
        top(&mut world, 2, r#""b":[["3","1"]],"a":[["4","1"]]"#),
        ["#0 live synced e1", "#0 bbo 3x1 4x1 u=2"]
    );
    assert!(
        world.timeout()[0].contains("ping"),
        "nothing is asked for anew"
    );
}

#[test]
fn keys_in_any_order_and_escapes_give_the_same_book() {
    let data = r#""data":{"u":10,"seq":1,"a":[["101","3","x"]],"s":"BTCUSDT","b":[["100.5","1"]]}"#;
    let topic = r#""topic":"orderbook.50.BTCUSDT""#;
    let orders = [
        format!(r#"{{{topic},"type":"snapshot","ts":9,{data},"cts":5}}"#),
        format!(r#"{{{data},"cts":5,"ts":9,"type":"snapshot",{topic}}}"#),
        format!(r#" {{ "cts" : 5 , {data} , {topic} , "ts":9 , "type" : "snapshot" }} "#),
        format!(r#"{{{topic},"new":{{"x":[1,null]}},"cts":5,"type":"snapshot",{data}}}"#),
        format!(r#"{{"type":"snap\u0073hot",{topic},{data},"ts":9}}"#),
        format!(r#"{{"to\u0070ic":"orderbook.50.BTC\u0055SDT","type":"snapshot",{data}}}"#),
    ];
    for text in orders {
        let mut world = World::linear().subscribed("book");
        assert_eq!(
            world.message(0, &text),
            ["#0 live synced e1", "#0 bbo 100.5x1 101x3 u=10"],
            "{text}"
        );
    }
}

#[test]
fn a_key_that_comes_twice_is_malformed() {
    let mut world = live();
    let text = r#"{"topic":"orderbook.50.BTCUSDT","type":"delta","data":{"u":11,"u":12,"b":[]}}"#;
    assert_eq!(world.message(0, text), ["#0 resync malformed e1"]);
}

//! Links: subscriptions, refusals, heartbeat, loss.

use super::*;

const SNAPSHOT: &str = r#""b":[["100","1"]],"a":[["101","1"]]"#;

#[test]
fn a_subscription_opens_a_link_and_asks_when_it_is_up() {
    let mut world = World::spot();
    assert_eq!(
        world.subscribe(0, "BTC/USDT", "book"),
        [
            "#0 instrument BTC/USDT BTCUSDT 10/6",
            "open 0 wss://stream.bybit.com/v5/public/spot"
        ]
    );
    assert!(world.subscribe(1, "BTCUSDT", "trades")[0].contains("instrument"));
    assert_eq!(
        world.up(0, 1),
        [
            r#"send 0 {"req_id":"1","op":"subscribe","args":["orderbook.50.BTCUSDT","publicTrade.BTCUSDT"]}"#
        ]
    );
    // Trades may be long in coming: they are Live with the ack.
    assert_eq!(world.ack(0, 1), ["#1 live synced e1"]);
    assert_eq!(
        world.book("snapshot", 1, SNAPSHOT).len(),
        2,
        "a first u of 1 is no restart"
    );
}

#[test]
fn linear_acks_without_an_id_answer_the_oldest_request() {
    let mut world = World::linear();
    world.subscribe(0, "BTCUSDT", "trades");
    world.up(0, 1);
    let ack = r#"{"success":true,"ret_msg":"","conn_id":"c","req_id":"","op":"subscribe"}"#;
    assert!(
        world.subscribe(1, "ETHUSDT", "trades").len() == 1,
        "one in flight at a time"
    );
    let lines = world.message(0, ack);
    assert_eq!(lines[0], "#0 live synced e1");
    assert!(lines[1].contains(r#""args":["publicTrade.ETHUSDT"]"#));
    // An ack of something else changes nothing.
    assert!(world.ack_unsubscribe(0, 2).is_empty());
    assert!(world.ack(0, 1).is_empty(), "late");
    assert_eq!(world.message(0, ack), ["#1 live synced e1"]);
}

#[test]
fn a_lost_link_makes_everything_stale_before_any_price() {
    let mut world = World::linear().subscribed("book");
    world.book("snapshot", 10, SNAPSHOT);
    world.subscribe(1, "BTCUSDT", "bbo");
    world.ack(0, 2);
    assert_eq!(
        world.down(0),
        ["#0 stale link_down e1", "#1 stale link_down e1"]
    );
    assert!(world.venue.book(id(0)).expect("a book").book.is_empty());
    assert_eq!(
        world.up(0, 2),
        [
            r#"send 0 {"req_id":"3","op":"subscribe","args":["orderbook.50.BTCUSDT","orderbook.1.BTCUSDT"]}"#
        ]
    );
    assert!(world.book("delta", 11, SNAPSHOT).is_empty());
    assert_eq!(
        world.book("snapshot", 20, SNAPSHOT),
        ["#0 live synced e2", "#0 bbo 100x1 101x1 u=20"]
    );
}

#[test]
fn a_link_lost_during_a_resync_asks_for_everything_again() {
    let mut world = World::linear().subscribed("book");
    world.book("snapshot", 10, SNAPSHOT);
    world.book("delta", 12, SNAPSHOT);
    assert!(world.timeout()[0].contains("unsubscribe"));
    assert_eq!(world.down(0), ["#0 stale link_down e1"]);
    assert_eq!(
        world.up(0, 2),
        [r#"send 0 {"req_id":"3","op":"subscribe","args":["orderbook.50.BTCUSDT"]}"#]
    );
}

#[test]
fn streams_come_and_go_on_a_live_link_and_the_last_one_closes_it() {
    let mut world = World::linear().subscribed("book");
    world.subscribe(1, "ETHUSDT", "book");
    world.ack(0, 2);
    assert_eq!(
        world.unsubscribe(0),
        [
            "#0 closed unsubscribed e1",
            r#"send 0 {"req_id":"3","op":"unsubscribe","args":["orderbook.50.BTCUSDT"]}"#
        ]
    );
    assert!(
        world.book("delta", 11, SNAPSHOT).is_empty(),
        "what is still under way"
    );
    assert_eq!(world.venue.counters().unrouted, 1);
    // Wanted again before the ack: a fresh subscription, and with it a snapshot.
    assert_eq!(world.subscribe(2, "BTCUSDT", "book").len(), 1);
    assert_eq!(
        world.ack_unsubscribe(0, 3),
        [r#"send 0 {"req_id":"4","op":"subscribe","args":["orderbook.50.BTCUSDT"]}"#]
    );
    world.ack(0, 4);
    assert_eq!(world.book("snapshot", 20, SNAPSHOT)[0], "#2 live synced e1");
    world.unsubscribe(1);
    assert_eq!(
        world.unsubscribe(2),
        ["#2 closed unsubscribed e1", "close 0"]
    );
    assert!(world.unsubscribe(2).is_empty(), "twice is harmless");
    assert!(
        world.pass(Nanos::from_secs(600)).is_empty(),
        "nothing waits"
    );
    // The next link has a number of its own.
    assert!(world.subscribe(3, "BTCUSDT", "book")[1].starts_with("open 1 "));
    assert!(world.down(0).is_empty(), "news of the old link");
}

#[test]
fn a_stream_that_goes_before_its_link_is_asked_for_leaves_nothing() {
    let mut world = World::linear();
    let mut out = Outbox::new();
    let subscribe = Command::Subscribe {
        stream: id(0),
        symbol: symbol("BTCUSDT").expect("short"),
        channel: Channel::Bbo,
        depth: false,
    };
    world.venue.handle_command(world.now, subscribe, &mut out);
    assert_eq!(world.unsubscribe(0), ["#0 closed unsubscribed e0"]);
}

#[test]
fn two_streams_of_one_topic_share_it() {
    let mut world = World::linear().subscribed("book");
    world.book("snapshot", 10, SNAPSHOT);
    assert_eq!(
        world.subscribe(1, "BTC/USDT:USDT", "book:50"),
        [
            "#1 instrument BTC/USDT:USDT BTCUSDT 8/4",
            "#1 live synced e1",
            "#1 bbo 100x1 101x1 u=10"
        ]
    );
    assert_eq!(
        world.book("delta", 11, r#""b":[["100","2"]]"#),
        ["#0 bbo 100x2 101x1 u=11", "#1 bbo 100x2 101x1 u=11"]
    );
    assert_eq!(world.unsubscribe(0), ["#0 closed unsubscribed e1"]);
    assert_eq!(
        world.book("delta", 12, r#""b":[["100","3"]]"#),
        ["#1 bbo 100x3 101x1 u=12"]
    );
}

#[test]
fn a_named_refusal_costs_one_topic_and_the_rest_is_asked_for_again() {
    let mut world = World::spot();
    for (stream, symbol) in ["BTCUSDT", "NOPEUSDT", "ETHUSDT"].into_iter().enumerate() {
        world.subscribe(stream as u32, symbol, "book");
    }
    world.up(0, 1);
    let refusal = r#"{"success":false,"ret_msg":"error:handler not found,topic:orderbook.50.NOPEUSDT","conn_id":"c","req_id":"1","op":"subscribe"}"#;
    assert_eq!(
        world.message(0, refusal),
        [
            "#1 notice BadSymbol: error:handler not found,topic:orderbook.50.NOPEUSDT",
            "#1 refused refused e1",
            r#"send 0 {"req_id":"2","op":"subscribe","args":["orderbook.50.BTCUSDT","orderbook.50.ETHUSDT"]}"#
        ]
    );
    assert_eq!(world.venue.counters().refused, 1);
    world.down(0);
    assert!(
        !world.up(0, 2)[0].contains("NOPE"),
        "it is not asked for again"
    );
}

#[test]
fn already_subscribed_is_harmless() {
    let mut world = World::linear();
    world.subscribe(0, "ETHUSDT", "trades");
    world.subscribe(1, "BTCUSDT", "trades");
    world.up(0, 1);
    let refusal = r#"{"success":false,"ret_msg":"error:already subscribed,topic:publicTrade.ETHUSDT","conn_id":"c","req_id":"","op":"subscribe"}"#;
    assert_eq!(
        world.message(0, refusal),
        [
            "#0 live synced e1",
            r#"send 0 {"req_id":"2","op":"subscribe","args":["publicTrade.BTCUSDT"]}"#
        ]
    );
}

#[test]
fn what_the_venue_does_not_offer_is_refused_here() {
    let mut world = World::spot();
    for (stream, (symbol, channel)) in [
        ("BTC/USDT", "agg_trades"),
        ("BTC/USDT", "book:500"),
        ("BTC/USDT", "kline:8h"),
        ("BTC/USDT:USDT", "bbo"),
        ("btc", "bbo"),
    ]
    .into_iter()
    .enumerate()
    {
        let lines = world.subscribe(stream as u32, symbol, channel);
        assert_eq!(lines[1], format!("#{stream} refused refused e0"));
        let kind = if stream < 3 {
            "NotSupported"
        } else {
            "BadSymbol"
        };
        assert!(lines[0].contains(kind), "{lines:?}");
        assert_eq!(lines.len(), 2, "no link for it");
    }
}

#[test]
fn spot_requests_have_at_most_10_args() {
    let mut world = World::spot();
    for stream in 0..23 {
        world.subscribe(stream, &format!("A{stream}USDT"), "bbo");
    }
    let mut counts = Vec::new();
    let mut lines = world.up(0, 1);
    for request in 1.. {
        let Some(line) = lines.first() else { break };
        counts.push(line.matches("orderbook").count());
        lines = world.ack(0, request);
    }
    assert_eq!(counts, [10, 10, 3]);
}

#[test]
fn a_further_link_carries_what_exceeds_21000_characters() {
    let mut world = World::linear();
    let mut opened = 0;
    for stream in 0..1_500 {
        let lines = world.subscribe(stream, &format!("COIN{stream:05}USDT"), "trades");
        opened += lines.iter().filter(|line| line.starts_with("open")).count();
    }
    assert_eq!(opened, 3);
    let mut topics = 0;
    for link in 0..3 {
        let mut chars = 0;
        let mut lines = world.up(link, 1);
        for request in 1.. {
            let Some(line) = lines.iter().find(|line| line.starts_with("send")) else {
                break;
            };
            let args = line.split_once('[').expect("args").1;
            chars += args.len();
            topics += args.matches("publicTrade").count();
            lines = world.ack(link, request);
        }
        assert!(chars <= 21_000, "{chars}");
    }
    assert_eq!(topics, 1_500);
}

#[test]
fn pings_go_every_20_seconds_and_every_pong_is_taken() {
    let mut world = World::linear().subscribed("trades");
    let pongs = [
        r#"{"success":true,"ret_msg":"pong","conn_id":"0970e817","op":"ping"}"#,
        r#"{"success":true,"ret_msg":"pong","conn_id":"465772b1","req_id":"","op":"ping"}"#,
        r#"{"args":["1672916271846"],"op":"pong"}"#,
        r#"{"req_id":"test","op":"pong","args":["1675418560633"],"conn_id":"c"}"#,
        r#"{"retCode":0,"retMsg":"OK","op":"pong","data":["1711002002529"],"connId":"c"}"#,
    ];
    for (index, pong) in pongs.iter().enumerate() {
        let before = world.now;
        let number = index + 1;
        assert_eq!(
            world.timeout(),
            [format!(
                r#"send 0 urgent {{"req_id":"ping-{number}","op":"ping"}}"#
            )]
        );
        assert_eq!(world.now.since(before), Nanos::from_secs(20));
        assert!(world.message(0, pong).is_empty());
    }
    assert_eq!(world.venue.counters().malformed, 0);
}

#[test]
fn links_are_as_small_and_as_impatient_as_configured() {
    let mut world = World::new(BybitConfig {
        link_topics_max: 2,
        silence_max_ns: Nanos::from_secs(3),
        ..plain(BybitConfig::spot())
    });
    let mut opened = Vec::new();
    for (id, symbol) in ["BTCUSDT", "ETHUSDT", "SOLUSDT"].iter().enumerate() {
        let lines = world.subscribe(id as u32, symbol, "bbo");
        opened.push(lines.iter().any(|line| line.starts_with("open")));
    }
    assert_eq!(opened, [true, false, true]);
    let spec = world.venue.streams.own.link_spec();
    assert_eq!(spec.silence_max_ns, Some(Nanos::from_secs(3)));
}

#[test]
fn a_missed_pong_cuts_the_link() {
    let mut world = World::linear().subscribed("book");
    world.book("snapshot", 10, SNAPSHOT);
    assert!(world.timeout()[0].contains("ping"));
    let before = world.now;
    assert_eq!(
        world.timeout(),
        ["#0 stale link_down e1", "reconnect 0: no pong"]
    );
    assert_eq!(world.now.since(before), urls::PONG_TIMEOUT);
    assert!(world.venue.poll_timeout().is_none(), "the engine's turn");
    assert!(world.down(0).is_empty(), "said already");
    assert_eq!(world.up(0, 2).len(), 1);
}

#[test]
fn requests_without_an_ack_are_sent_again_and_then_the_link_is_cut() {
    let mut world = World::linear();
    world.subscribe(0, "BTCUSDT", "trades");
    world.up(0, 1);
    assert!(world.timeout()[0].contains(r#""req_id":"2""#));
    assert!(world.timeout()[0].contains(r#""req_id":"3""#));
    assert_eq!(
        world.timeout(),
        ["#0 stale link_down e1", "reconnect 0: no ack"]
    );
}

#[test]
fn the_same_inputs_give_the_same_outputs() {
    let run = || {
        let mut world = World::linear().subscribed("book");
        let mut lines = Vec::new();
        for round in 0..5 {
            lines.extend(world.book("snapshot", 10, SNAPSHOT));
            lines.extend(world.book("delta", 12 + round, SNAPSHOT));
            lines.extend(world.pass(Nanos::from_secs(1)));
            lines.push(format!("{:?}", world.venue.poll_timeout()));
        }
        lines
    };
    assert_eq!(run(), run());
}

#[test]
fn a_late_answer_without_an_id_is_taken_for_no_other_request() {
    let mut world = World::linear();
    world.subscribe(0, "ETHUSDT", "trades");
    world.up(0, 1);
    // No ack in time: it is asked for again, and the venue answers in order.
    world.pass(Nanos::from_secs(5));
    let ack = r#"{"success":true,"ret_msg":"","conn_id":"c","req_id":"","op":"subscribe"}"#;
    let had = r#"{"success":false,"ret_msg":"error:already subscribed,topic:publicTrade.ETHUSDT","conn_id":"c","req_id":"","op":"subscribe"}"#;
    assert_eq!(world.message(0, ack), [""; 0], "that of the first request");
    let lines = world.message(0, had);
    assert_eq!(lines, ["#0 live synced e1"], "that of the second");
    let lines = world.subscribe(1, "BTCUSDT", "trades");
    assert!(lines[1].contains(r#""req_id":"3""#), "{lines:?}");
    assert_eq!(world.message(0, had), [""; 0], "BTCUSDT is not refused");
    assert_eq!(world.message(0, ack), ["#1 live synced e1"]);
}

#[test]
fn a_refusal_that_is_not_for_good_is_as_no_answer() {
    let mut world = World::spot();
    world.subscribe(0, "BTCUSDT", "trades");
    world.up(0, 1);
    for request in [1, 2] {
        let later = format!(
            r#"{{"success":false,"ret_msg":"Too many visits!","req_id":"{request}","op":"subscribe"}}"#
        );
        assert_eq!(world.message(0, &later), [""; 0]);
        let lines = world.pass(Nanos::from_secs(5));
        assert!(
            lines[0].contains(r#""args":["publicTrade.BTCUSDT"]"#),
            "{lines:?}"
        );
    }
    assert_eq!(world.ack(0, 3), ["#0 live synced e1"]);
}

#[test]
fn a_stream_that_joins_a_broken_one_does_not_need_it() {
    let mut world = World::spot().subscribed("book");
    assert_eq!(world.book("delta", 1, r#""b":[["#).len(), 1, "malformed");
    world.subscribe(1, "BTC/USDT", "book:50");
    world.unsubscribe(0);
    assert!(
        world.timeout()[0].contains("unsubscribe"),
        "its snapshot is asked for all the same"
    );
}

#[test]
fn nothing_is_live_while_its_topic_is_let_go() {
    let mut world = World::spot().subscribed("book");
    world.book("snapshot", 10, SNAPSHOT);
    world.subscribe(1, "BTCUSDT", "book:50");
    let resync = Command::Resync { stream: id(0) };
    assert_eq!(world.command(resync), ["#0 resync requested e1"]);
    let lines = world.timeout();
    assert_eq!(lines[0], "#1 resync requested e1");
    assert!(lines[1].contains("unsubscribe"));
}

#[test]
fn a_resync_without_the_link_changes_nothing() {
    let mut world = World::spot().subscribed("book");
    world.book("snapshot", 10, SNAPSHOT);
    world.down(0);
    let resync = Command::Resync { stream: id(0) };
    assert_eq!(world.command(resync), [""; 0], "Stale says more");
}

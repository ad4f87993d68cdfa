//! Streams that are silent, books that are wrong: probes, renewals, companions, agreement.

use super::*;
use crate::liveness::Expectation;

const FIRST: &str = r#""b":[["100","1"]],"a":[["101","1"]]"#;

/// Every kind of stream is probed after 10 seconds; level 1 is repeated.
fn watching(config: BybitConfig) -> World {
    let probed = Expectation::probed(Nanos::from_secs(10));
    let config = plain(config);
    World::new(BybitConfig {
        upkeep: Upkeep {
            expectations: Expectations {
                book: probed,
                bbo: Expectation::repeated(Nanos::from_secs(10)),
                trades: probed,
                ticker: probed,
                kline: probed,
            },
            ..config.upkeep
        },
        ..config
    })
}

impl World {
    /// Time passes with the link's pings answered; gives what was not a ping.
    fn quiet_for(&mut self, secs: i64) -> Vec<String> {
        let mut lines = Vec::new();
        for _ in 0..secs {
            let more = self.pass(Nanos::from_secs(1));
            if more.iter().any(|line| line.contains("ping")) {
                self.message(0, r#"{"success":true,"ret_msg":"pong","op":"ping"}"#);
            }
            lines.extend(more.into_iter().filter(|line| !line.contains("ping")));
        }
        lines
    }

    fn answer_probe(&mut self, request: u32, result: &str) -> Vec<String> {
        let body = format!(r#"{{"retCode":0,"retMsg":"OK","result":{result},"time":1}}"#);
        let mut body = body.into_bytes();
        let response = Response {
            status: 200,
            headers: &[],
            body: &mut body,
        };
        self.input(|bybit, now, out| {
            bybit.handle_response(now, RequestId(request), Ok(response), out);
        })
    }
}

#[test]
fn a_silent_book_is_probed_and_asked_for_anew_where_the_venue_has_more() {
    let mut world = watching(BybitConfig::linear()).subscribed("book");
    world.book("snapshot", 10, FIRST);
    let probe = "http 0 /v5/market/orderbook?category=linear&symbol=BTCUSDT&limit=50".to_owned();
    assert_eq!(world.quiet_for(10), ["#0 live quiet e1", &probe]);
    // The venue shows what we have, though at a later number: deeper levels count as well.
    let same = r#"{"s":"BTCUSDT","b":[["100","1"]],"a":[["101","1"]],"ts":1,"u":5,"seq":99}"#;
    assert!(world.answer_probe(0, same).is_empty(), "it stays quiet");
    let lines = world.quiet_for(10);
    assert_eq!(lines, [probe.replace("http 0", "http 1")], "told once");
    // A message ends it.
    assert_eq!(
        world.book("delta", 11, r#""b":[["99","1"]],"a":[]"#),
        ["#0 live heard e1"]
    );
    world.answer_probe(1, same);
    world.quiet_for(10);
    let more = r#"{"s":"BTCUSDT","b":[["99.5","1"]],"a":[["101","1"]],"ts":1,"u":5,"seq":99}"#;
    assert!(
        world.answer_probe(2, more).is_empty(),
        "it may be under way"
    );
    assert_eq!(
        world.quiet_for(3),
        [
            "#0 stale mute e1",
            r#"send 0 {"req_id":"2","op":"unsubscribe","args":["orderbook.50.BTCUSDT"]}"#
        ]
    );
    world.ack_unsubscribe(0, 2);
    world.ack(0, 3);
    assert_eq!(
        world.book("snapshot", 20, FIRST),
        ["#0 live synced e1", "#0 bbo 100x1 101x1 u=20"]
    );
    let counters = world.venue.counters();
    assert_eq!((counters.probes, counters.mute), (3, 1));
}

#[test]
fn a_snapshot_that_is_older_than_the_book_says_nothing() {
    let mut world = watching(BybitConfig::linear()).subscribed("book");
    world.book("snapshot", 10, FIRST);
    world.quiet_for(10);
    let old = r#"{"s":"BTCUSDT","b":[["90","1"]],"a":[["91","1"]],"ts":1,"u":5,"seq":8}"#;
    assert!(world.answer_probe(0, old).is_empty());
    assert!(!world.quiet_for(9).iter().any(|line| line.contains("mute")));
}

#[test]
fn what_a_probe_says_of_streams_without_a_book() {
    // (channel, what came last, what the venue says, whether it has more)
    let trade = r#"{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":9,"data":[{"T":1000,"s":"BTCUSDT","S":"Buy","v":"1","p":"2","i":"7"}]}"#;
    let ticker = r#"{"topic":"tickers.BTCUSDT","type":"snapshot","ts":9,"data":{"symbol":"BTCUSDT","lastPrice":"5.0","volume24h":"7"}}"#;
    let kline = r#"{"topic":"kline.1.BTCUSDT","type":"snapshot","ts":9,"data":[{"start":60000,"end":119999,"interval":"1","open":"1","close":"2.50","high":"3","low":"1","volume":"4","turnover":"9","confirm":false,"timestamp":61000}]}"#;
    let table = [
        (
            "trades",
            trade,
            r#"{"list":[{"execId":"7","time":"1000"}]}"#,
            false,
        ),
        (
            "trades",
            trade,
            r#"{"list":[{"execId":"8","time":"1001"}]}"#,
            true,
        ),
        ("trades", trade, r#"{"list":[]}"#, false),
        ("trades", trade, r#"{"list":[{}]}"#, false),
        (
            "ticker",
            ticker,
            r#"{"list":[{"lastPrice":"5.00","volume24h":"7.0"}]}"#,
            false,
        ),
        (
            "ticker",
            ticker,
            r#"{"list":[{"lastPrice":"5.01","volume24h":"7"}]}"#,
            true,
        ),
        (
            "kline:1m",
            kline,
            r#"{"list":[["60000","1","3","1","2.5","4.0","9"]]}"#,
            false,
        ),
        (
            "kline:1m",
            kline,
            r#"{"list":[["60000","1","3","1","2.5","5","9"]]}"#,
            true,
        ),
        (
            "kline:1m",
            kline,
            r#"{"list":[["0","1","3","1","7","5","9"]]}"#,
            false,
        ),
    ];
    for (channel, message, answer, more) in table {
        let mut world = watching(BybitConfig::spot()).subscribed(channel);
        world.message(0, message);
        let lines = world.quiet_for(10);
        assert!(lines[0].contains("quiet"), "{channel}: {lines:?}");
        assert!(lines[1].starts_with("http 0"), "{channel}: {lines:?}");
        world.answer_probe(0, answer);
        let lines = world.quiet_for(5);
        let mute = lines.iter().any(|line| line.starts_with("#0 stale mute"));
        assert_eq!(mute, more, "{channel} {answer}: {lines:?}");
    }
}

#[test]
fn a_stream_that_never_spoke_is_mute_once_the_venue_has_something_new() {
    let mut world = watching(BybitConfig::spot()).subscribed("trades");
    let trade = |time: u32| format!(r#"{{"list":[{{"execId":"1","time":"{time}"}}]}}"#);
    world.quiet_for(10);
    // The last trade may be of yesterday.
    world.answer_probe(0, &trade(1_000));
    assert!(!world.quiet_for(10).iter().any(|line| line.contains("mute")));
    world.answer_probe(1, &trade(1_001));
    let lines = world.quiet_for(3);
    assert_eq!(lines[0], "#0 stale mute e1");
    world.ack_unsubscribe(0, 2);
    assert_eq!(world.ack(0, 3), ["#0 live synced e1"]);
    // Silent again, and there was nothing since: no reason to cut the link.
    let lines = world.quiet_for(16);
    assert!(lines[0].starts_with("http 2"), "{lines:?}");
    assert!(world.answer_probe(2, &trade(1_001)).is_empty());
    assert!(world.quiet_for(9).is_empty());
}

#[test]
fn a_stream_that_stays_mute_costs_its_link() {
    let mut world = watching(BybitConfig::spot()).subscribed("bbo");
    world.subscribe(1, "ETHUSDT", "trades");
    world.ack(0, 2);
    top(&mut world, 5, "100", "101");
    // Level 1 is repeated by the venue: its silence is proof. It is acked again, and stays silent.
    let mut lines = Vec::new();
    while !lines
        .iter()
        .any(|line: &String| line.starts_with("reconnect"))
    {
        lines.extend(world.quiet_for(1));
        world.message(
            0,
            r#"{"topic":"publicTrade.ETHUSDT","type":"snapshot","ts":9,"data":[]}"#,
        );
        if lines.iter().any(|line| line.contains("unsubscribe")) {
            world.ack_unsubscribe(0, 3);
            world.ack(0, 4);
        }
        assert!(lines.len() < 100, "{lines:?}");
    }
    assert_eq!(lines[0], "#0 stale mute e1");
    let end = &lines[lines.len() - 4..];
    assert_eq!(
        end,
        [
            "#0 stale mute e1",
            "#0 stale dead e1",
            "#1 stale link_down e1",
            "reconnect 0: a stream stays mute"
        ]
    );
}

#[test]
fn many_mute_streams_cost_their_link_and_not_a_renewal_each() {
    let mut world = watching(BybitConfig::spot());
    for stream in 0..30 {
        world.subscribe(stream, &format!("A{stream}USDT"), "bbo");
    }
    world.up(0, 1);
    for request in 1..=3 {
        world.ack(0, request);
    }
    // Nothing comes, though pongs do.
    let lines = world.quiet_for(11);
    let count = |word: &str| lines.iter().filter(|line| line.contains(word)).count();
    assert_eq!(count("reconnect 0: many streams are mute"), 1, "{lines:?}");
    assert_eq!(count("stale mute") + count("stale link_down"), 30);
    assert_eq!(count("unsubscribe"), 0);
}

#[test]
fn probes_leave_the_budget_to_others_and_fewer_go_while_nothing_changes() {
    let mut world = watching(BybitConfig::linear());
    for stream in 0..1_000 {
        world.subscribe(stream, &format!("A{stream}USDT"), "trades");
    }
    world.up(0, 1);
    for request in 1..=20 {
        world.ack(0, request);
    }
    let mut probes = Vec::new();
    for _ in 0..600 {
        let before = world.venue.counters().requests;
        let mut lines = world.pass(Nanos::from_millis(500));
        // Each is answered at once: only the budget holds them.
        while let Some(line) = lines.iter().rev().find(|line| line.starts_with("http")) {
            let id = line
                .split(' ')
                .nth(1)
                .and_then(|id| id.parse().ok())
                .expect("an id");
            let first =
                id + 1 - lines.iter().filter(|line| line.starts_with("http")).count() as u32;
            lines = (first..=id)
                .flat_map(|id| world.answer_probe(id, r#"{"list":[]}"#))
                .collect();
        }
        world.message(0, r#"{"success":true,"ret_msg":"pong","op":"ping"}"#);
        probes.push(world.venue.counters().requests - before);
    }
    let in_5s: Vec<u64> = probes.chunks(10).map(|chunk| chunk.iter().sum()).collect();
    assert!(in_5s.iter().all(|count| *count <= 200), "{in_5s:?}");
    let (first, last) = (
        probes[..200].iter().sum::<u64>(),
        probes[400..].iter().sum::<u64>(),
    );
    assert!(first >= 1_000 && last < first, "{first} {last}");
    assert_eq!(world.venue.counters().mute, 0);
}

// Companions and agreement.

fn checked() -> World {
    let config = plain(BybitConfig::linear());
    World::new(BybitConfig {
        upkeep: Upkeep {
            top_check: TopCheck::Always,
            ..config.upkeep
        },
        ..config
    })
}

fn top(world: &mut World, seq: u64, bid: &str, ask: &str) -> Vec<String> {
    world.message(
        0,
        &format!(
            r#"{{"topic":"orderbook.1.BTCUSDT","ts":1,"type":"snapshot","data":{{"s":"BTCUSDT","b":[["{bid}","1"]],"a":[["{ask}","1"]],"u":{seq},"seq":{seq}}},"cts":1}}"#
        ),
    )
}

#[test]
fn a_companion_comes_and_goes_with_the_books_of_its_instrument() {
    let mut world = checked();
    world.subscribe(0, "BTCUSDT", "book");
    let lines = world.up(0, 1);
    assert!(
        lines[0].contains(r#""args":["orderbook.50.BTCUSDT","orderbook.1.BTCUSDT"]"#),
        "{lines:?}"
    );
    world.ack(0, 1);
    assert!(
        top(&mut world, 5, "100", "101").is_empty(),
        "nobody sees it"
    );
    assert!(world.subscribe(1, "BTCUSDT", "book:200")[1].contains("orderbook.200"));
    world.ack(0, 2);
    // A strategy's stream of it takes its place, with what is known already.
    assert_eq!(
        world.subscribe(2, "BTCUSDT", "bbo"),
        [
            "#2 instrument BTC/USDT:USDT BTCUSDT 8/4",
            "#2 live synced e1",
            "#2 bbo 100x1 101x1 u=5"
        ]
    );
    assert_eq!(top(&mut world, 6, "100", "102"), ["#2 bbo 100x1 102x1 u=6"]);
    // And gives it back.
    assert_eq!(world.unsubscribe(2), ["#2 closed unsubscribed e1"]);
    assert!(top(&mut world, 7, "100", "101").is_empty());
    assert_eq!(world.venue.counters().unrouted, 0);
    world.unsubscribe(0);
    world.ack_unsubscribe(0, 3);
    assert_eq!(
        world.unsubscribe(1),
        ["#1 closed unsubscribed e1", "close 0"]
    );
    assert_eq!(world.venue.streams.table.iter().count(), 0);
    assert_eq!(world.venue.streams.routes.len(), 3);
}

/// A live book with its companion: bid 100, ask 101.
fn both() -> World {
    let mut world = checked();
    world.subscribe(0, "BTCUSDT", "book");
    world.up(0, 1);
    world.ack(0, 1);
    world.book("snapshot", 10, FIRST);
    top(&mut world, 5, "100", "101");
    world
}

#[test]
fn a_book_that_never_shows_the_venues_best_prices_is_fetched_anew() {
    let mut world = both();
    // A deletion was lost in a way that no number tells: the best bid stays.
    for seq in 6..16 {
        top(&mut world, seq, "99", "101");
        assert!(
            world
                .book("delta", seq + 5, r#""b":[["90","1"]],"a":[]"#)
                .is_empty()
        );
        let lines = world.pass(Nanos::from_millis(500));
        let told = ["#0 resync disagrees e1"];
        assert_eq!(lines, if seq == 15 { &told[..] } else { &[] }, "{seq}");
    }
    assert_eq!(world.venue.counters().disagreements, 1);
    assert!(world.timeout()[0].contains(r#"["orderbook.50.BTCUSDT"]"#));
}

#[test]
fn a_moment_of_agreement_is_enough() {
    let mut world = both();
    for seq in 6..100 {
        top(&mut world, seq, "99", "101");
        world.pass(Nanos::from_millis(500));
        if seq % 9 == 0 {
            top(&mut world, seq, "100", "101");
            assert_eq!(top(&mut world, seq + 1, "100", "101"), [""; 0]);
        }
        world.message(0, r#"{"success":true,"ret_msg":"pong","op":"ping"}"#);
    }
    assert_eq!(world.venue.counters().disagreements, 0);
}

#[test]
fn level_1_that_is_silent_while_the_book_moves_is_fetched_anew() {
    let mut world = both();
    world.pass(Nanos::from_millis(500));
    for seq in 11..21 {
        world.book("delta", seq, r#""b":[["100.5","1"]],"a":[]"#);
        world.pass(Nanos::from_millis(500));
    }
    let counters = world.venue.counters();
    assert_eq!((counters.disagreements, counters.mute), (1, 1));
    assert!(
        world
            .venue
            .book(id(0))
            .is_some_and(|view| view.state == StreamState::Live)
    );
}

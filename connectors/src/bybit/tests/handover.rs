//! Two links: planned ends, pairs.

use super::*;
use crate::upkeep::Redundancy;

pub(super) const FIRST: &str = r#""b":[["100","1"]],"a":[["101","1"]]"#;
const AGE: Nanos = Nanos::from_secs(600);

fn config(redundancy: Redundancy) -> BybitConfig {
    let config = plain(BybitConfig::linear());
    BybitConfig {
        upkeep: Upkeep {
            redundancy,
            link_age_max_ns: Some(AGE),
            ..config.upkeep
        },
        ..config
    }
}

impl World {
    /// A book message on a link; its cross sequence is 10 times its number, and `off`.
    pub(super) fn book_on(
        &mut self,
        link: u16,
        kind: &str,
        seq: u64,
        off: u64,
        sides: &str,
    ) -> Vec<String> {
        let cross = seq * 10 + off;
        self.message(
            link,
            &format!(
                r#"{{"topic":"orderbook.50.BTCUSDT","type":"{kind}","ts":9,"data":{{"s":"BTCUSDT",{sides},"u":{seq},"seq":{cross}}},"cts":5}}"#
            ),
        )
    }

    pub(super) fn delta_on(&mut self, link: u16, seq: u64) -> Vec<String> {
        let sides = format!(r#""b":[["100","{seq}"]],"a":[]"#);
        self.book_on(link, "delta", seq, 0, &sides)
    }

    pub(super) fn trade_on(&mut self, link: u16, number: u32) -> Vec<String> {
        self.message(
            link,
            &format!(
                r#"{{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":9,"data":[{{"T":{number},"s":"BTCUSDT","S":"Buy","v":"1","p":"2","i":"{number}","seq":{number}}}]}}"#
            ),
        )
    }

    /// Lets the link grow old, with its pings answered; gives what the end brings.
    fn age(&mut self, link: u16) -> Vec<String> {
        for _ in 0..700 {
            let lines = self.pass(Nanos::from_secs(1));
            let is_ping = |line: &&String| line.contains("ping");
            for line in lines.iter().filter(is_ping) {
                let pinged = line.split(' ').nth(1).and_then(|link| link.parse().ok());
                let pong = r#"{"success":true,"ret_msg":"pong","op":"ping"}"#;
                self.message(pinged.expect("a link"), pong);
            }
            let lines: Vec<String> = lines.into_iter().filter(|line| !is_ping(&line)).collect();
            if !lines.is_empty() {
                return lines;
            }
        }
        panic!("link {link} is not replaced");
    }
}

/// A live book at `u` 10 on link 0, which has grown old: link 1 is up with its ack.
fn replaced() -> World {
    let mut world = World::new(config(Redundancy::Single)).subscribed("book");
    world.book_on(0, "snapshot", 10, 0, FIRST);
    assert_eq!(
        world.age(0),
        ["open 1 wss://stream.bybit.com/v5/public/linear"]
    );
    assert_eq!(
        world.up(1, 1),
        [r#"send 1 {"req_id":"1","op":"subscribe","args":["orderbook.50.BTCUSDT"]}"#]
    );
    assert!(world.ack(1, 1).is_empty());
    world
}

fn is_live(world: &World, seq: u64) -> bool {
    let view = world.venue.book(id(0)).expect("a book");
    (view.state, view.seq) == (StreamState::Live, seq)
}

#[test]
fn an_old_link_is_replaced_without_a_break() {
    let mut world = replaced();
    // The new link shows what the book is: it is in step, and the old one goes.
    assert_eq!(
        world.book_on(1, "snapshot", 10, 0, FIRST),
        ["#0 live handed_over e2", "close 0"]
    );
    assert!(world.delta_on(0, 11).is_empty(), "its last words");
    assert_eq!(world.delta_on(1, 11), ["#0 bbo 100x11 101x1 u=11"]);
    let counters = world.venue.counters();
    assert_eq!((counters.handovers, counters.duplicates), (1, 1));
    assert_eq!((counters.resyncs, counters.gaps, counters.stale), (0, 0, 0));
    assert!(world.down(0).is_empty(), "the end of the old one");
    // Its number is free again.
    assert_eq!(
        world.age(1),
        ["open 0 wss://stream.bybit.com/v5/public/linear"]
    );
}

#[test]
fn a_newer_snapshot_is_the_book_and_what_follows_on_either_link_joins() {
    let mut world = replaced();
    let newer = r#""b":[["100","12"]],"a":[["101","1"]]"#;
    assert_eq!(
        world.book_on(1, "snapshot", 12, 0, newer),
        [
            "#0 bbo 100x12 101x1 u=12",
            "#0 live handed_over e2",
            "close 0"
        ]
    );
    assert_eq!(world.delta_on(1, 13), ["#0 bbo 100x13 101x1 u=13"]);
}

#[test]
fn an_older_snapshot_waits_until_its_deltas_catch_up() {
    let mut world = replaced();
    for seq in 11..=15 {
        world.delta_on(0, seq);
    }
    // The book of some time ago, which the numbers that are kept don't reach back to.
    assert!(world.book_on(1, "snapshot", 8, 0, FIRST).is_empty());
    assert!(world.delta_on(1, 9).is_empty());
    assert!(is_live(&world, 15), "it is not taken back");
    let lines = world.delta_on(1, 10);
    assert_eq!(lines, ["#0 live handed_over e2", "close 0"], "seen before");
    // The new link is behind: what it repeats is no sign of a new count.
    for seq in 11..=15 {
        assert!(world.delta_on(1, seq).is_empty());
    }
    assert_eq!(world.delta_on(1, 16), ["#0 bbo 100x16 101x1 u=16"]);
    assert_eq!(world.venue.counters().stale, 0);
}

#[test]
fn links_that_number_each_in_its_own_way_are_not_mixed() {
    let mut world = replaced();
    // The same number, another update.
    assert!(world.book_on(1, "snapshot", 10, 1_000_000, FIRST).len() == 3);
    assert_eq!(world.venue.counters().unalike, 1);
    let mut world = replaced();
    for seq in 11..=15 {
        world.delta_on(0, seq);
    }
    assert!(world.book_on(1, "snapshot", 8, 0, FIRST).is_empty());
    let other = r#""b":[["90","1"]],"a":[]"#;
    assert!(world.book_on(1, "delta", 14, 3, other).is_empty());
    assert_eq!(world.venue.counters().unalike, 1);
    assert!(
        world.book_on(1, "delta", 16, 3, other).is_empty(),
        "not of this book"
    );
    assert_eq!(world.delta_on(0, 16), ["#0 bbo 100x16 101x1 u=16"]);
    // The new link's own snapshot, newer than all, is the way over.
    let whole = r#""b":[["100","7"]],"a":[["101","1"]]"#;
    assert_eq!(
        world.book_on(1, "snapshot", 20, 0, whole),
        [
            "#0 bbo 100x7 101x1 u=20",
            "#0 live handed_over e2",
            "close 0"
        ]
    );
}

#[test]
fn an_old_link_that_dies_first_leaves_its_streams_to_the_new_one_where_that_is_safe() {
    // (what the new link has shown, whether the book goes on)
    for (shown, goes_on) in [(Some(10), true), (Some(8), false), (None, false)] {
        let mut world = replaced();
        world.subscribe(1, "BTCUSDT", "trades");
        world.ack(1, 2);
        if let Some(seq) = shown {
            world.book_on(1, "snapshot", seq, 0, FIRST);
        }
        let lines = world.down(0);
        let stale = lines.iter().any(|line| line == "#0 stale link_down e1");
        assert_eq!(stale, !goes_on, "{shown:?}: {lines:?}");
        assert!(
            !lines.iter().any(|line| line.starts_with("#1")),
            "{lines:?}"
        );
        if goes_on {
            continue;
        }
        // Its snapshot has gone by: it is asked for anew.
        let unsubscribe = lines.iter().any(|line| line.contains("unsubscribe"));
        assert!(unsubscribe, "{lines:?}");
        assert!(lines.contains(&"close 0".to_owned()), "{lines:?}");
        world.ack_unsubscribe(1, 3);
        world.ack(1, 4);
        assert_eq!(
            world.book_on(1, "snapshot", 20, 0, FIRST)[0],
            "#0 live synced e2"
        );
    }
}

#[test]
fn a_new_link_that_can_not_be_made_costs_nothing() {
    let mut world = World::new(config(Redundancy::Single)).subscribed("book");
    world.book_on(0, "snapshot", 10, 0, FIRST);
    world.age(0);
    for seq in 11..20 {
        assert_eq!(world.delta_on(0, seq).len(), 1);
        assert!(world.down(1).is_empty());
    }
    world.up(1, 1);
    world.down(1);
    assert!(is_live(&world, 19));
    // What is subscribed to meanwhile goes to the new one, what goes is gone from both.
    assert_eq!(world.subscribe(1, "ETHUSDT", "book").len(), 1);
    world.unsubscribe(0);
    assert!(world.up(1, 2)[0].contains(r#"["orderbook.50.ETHUSDT"]"#));
}

#[test]
fn quiet_streams_go_by_their_ack_once_what_was_under_way_has_come() {
    let mut world = World::new(config(Redundancy::Single)).subscribed("trades");
    world.trade_on(0, 1);
    world.age(0);
    world.up(1, 1);
    assert!(world.ack(1, 1).is_empty());
    assert!(world.pass(Nanos::from_millis(2_900)).is_empty());
    // Under way on the old link when the new one was acked.
    assert_eq!(world.trade_on(0, 2).len(), 1);
    let ping = world.pass(Nanos::from_millis(200));
    assert!(
        ping[0].starts_with("send 0") && ping[0].contains("ping"),
        "{ping:?}"
    );
    // Nothing shows yet that the old link has sent all that it had.
    assert!(world.pass(Nanos::from_secs(3)).is_empty());
    assert_eq!(world.trade_on(0, 3).len(), 1);
    world.message(0, r#"{"success":true,"ret_msg":"pong","op":"ping"}"#);
    assert_eq!(
        world.pass(Nanos::from_secs(3)),
        ["#0 live handed_over e2", "close 0"]
    );
    assert!(world.trade_on(1, 3).is_empty(), "late, and known");
    assert_eq!(world.trade_on(1, 4).len(), 1);
}

#[test]
fn each_trade_comes_once_whichever_link_is_first() {
    let mut world = World::new(config(Redundancy::Single)).subscribed("trades");
    world.age(0);
    world.up(1, 1);
    world.ack(1, 1);
    // What lies before the new link's first trade may still be on its way on the old one: it waits.
    for (link, number, shown) in [(0, 1, 1), (1, 3, 0), (1, 4, 0), (0, 2, 1), (0, 3, 2)] {
        let lines = world.trade_on(link, number);
        assert_eq!(lines.len(), shown, "{number} on {link}: {lines:?}");
    }
    // The old one has come to there: the new one misses nothing any more.
    let lines = world.trade_on(1, 4);
    assert_eq!(lines, ["#0 live handed_over e2", "close 0"]);
    assert!(world.trade_on(1, 4).is_empty());
    assert_eq!(world.trade_on(1, 5).len(), 1);
}

// Pairs.

pub(super) fn pair(channel: &str) -> World {
    let mut world = World::new(config(Redundancy::Pair));
    let lines = world.subscribe(0, "BTCUSDT", channel);
    assert_eq!(lines.len(), 3, "two links: {lines:?}");
    for link in [0, 1] {
        assert!(world.up(link, 1)[0].contains(r#""op":"subscribe""#));
        world.ack(link, 1);
    }
    world
}

#[test]
fn the_first_arrival_counts_and_a_gap_on_one_link_is_healed_by_the_other() {
    let mut world = pair("book");
    assert_eq!(world.book_on(0, "snapshot", 10, 0, FIRST).len(), 2);
    assert!(world.book_on(1, "snapshot", 10, 0, FIRST).is_empty());
    assert_eq!(world.delta_on(1, 11).len(), 1);
    assert!(world.delta_on(0, 11).is_empty());
    // Link 0 has lost 12 and 13.
    assert!(world.delta_on(0, 14).is_empty());
    assert_eq!(world.delta_on(1, 12).len(), 1);
    assert_eq!(
        world.delta_on(1, 13),
        ["#0 bbo 100x13 101x1 u=13", "#0 bbo 100x14 101x1 u=14"]
    );
    assert!(world.delta_on(1, 14).is_empty());
    let counters = world.venue.counters();
    assert_eq!(
        (counters.healed, counters.gaps, counters.resyncs),
        (1, 0, 0)
    );
    // What neither has is a gap, after what two links can be apart.
    world.delta_on(0, 16);
    assert!(world.delta_on(1, 16).is_empty());
    assert_eq!(world.timeout(), ["#0 resync gap expected 15 got 16 e1"]);
}

#[test]
fn one_link_of_a_pair_may_be_lost_and_joins_again() {
    let mut world = pair("book");
    world.book_on(0, "snapshot", 10, 0, FIRST);
    world.book_on(1, "snapshot", 10, 0, FIRST);
    for lost in [0, 1] {
        let kept = 1 - lost;
        let seq = 11 + u64::from(lost) * 10;
        assert!(world.down(lost).is_empty(), "nobody notices");
        assert_eq!(world.delta_on(kept, seq).len(), 1);
        world.up(lost, 2);
        world.ack(lost, 2);
        assert!(world.delta_on(kept, seq + 1).len() == 1);
        let sides = format!(r#""b":[["100","{}"]],"a":[["101","1"]]"#, seq + 1);
        assert!(
            world
                .book_on(lost, "snapshot", seq + 1, 0, &sides)
                .is_empty()
        );
        for next in seq + 2..seq + 10 {
            assert_eq!(world.delta_on(lost, next).len(), 1);
            assert!(world.delta_on(kept, next).is_empty());
        }
    }
    assert!(world.down(0).is_empty());
    assert_eq!(world.down(1), ["#0 stale link_down e1"]);
    world.up(1, 3);
    assert_eq!(
        world.book_on(1, "snapshot", 50, 0, FIRST)[0],
        "#0 live synced e2"
    );
}

#[test]
fn a_restart_that_one_link_tells_first_is_not_taken_back_by_the_other() {
    let mut world = pair("book");
    world.book_on(0, "snapshot", 10, 0, FIRST);
    world.book_on(1, "snapshot", 10, 0, FIRST);
    // The service restarts twice; link 1 lags behind, and link 0 has lost 3 of the first count.
    for (count, last) in [(1_000, 2), (2_000, 2)] {
        assert_eq!(
            world.book_on(0, "delta", 1, count, FIRST)[0],
            "#0 resync venue_restart e1"
        );
        for seq in 2..=last {
            assert_eq!(
                world
                    .book_on(0, "delta", seq, count, r#""b":[["100","5"]],"a":[]"#)
                    .len(),
                1
            );
        }
    }
    for seq in 1..=3 {
        let late = world.book_on(1, "delta", seq, 1_000, r#""b":[["90","1"]],"a":[]"#);
        assert!(late.is_empty(), "{seq}: {late:?}");
    }
    for seq in 1..=2 {
        assert!(world.book_on(1, "delta", seq, 2_000, FIRST).is_empty());
    }
    let lines = world.book_on(1, "delta", 3, 2_000, r#""b":[["100","6"]],"a":[]"#);
    assert_eq!(lines, ["#0 bbo 100x6 101x1 u=3"]);
    assert_eq!(world.venue.counters().unalike, 0);
}

#[test]
fn links_of_a_pair_are_made_anew_one_at_a_time() {
    let mut world = pair("trades");
    world.trade_on(0, 1);
    world.trade_on(1, 1);
    world.trade_on(1, 2);
    world.trade_on(0, 2);
    let first = world.age(0);
    assert_eq!(first.len(), 1, "{first:?}");
    let old = u16::from(!first[0].starts_with("reconnect 0"));
    assert_eq!(first, [format!("reconnect {old}: its age")]);
    // The other, as old, has to wait until this one is back and in step.
    let lines = world.pass(Nanos::from_secs(60));
    assert!(!lines.iter().any(|line| line.starts_with("reconnect")));
    world.message(1 - old, r#"{"success":true,"ret_msg":"pong","op":"ping"}"#);
    assert!(world.down(old).is_empty());
    world.up(old, 2);
    world.ack(old, 2);
    world.trade_on(1 - old, 3);
    world.trade_on(old, 3);
    assert_eq!(world.age(old), [format!("reconnect {}: its age", 1 - old)]);
    assert_eq!(world.venue.counters().handovers, 2);
}

#[test]
fn level_1_and_tickers_of_a_pair_go_by_what_is_newer() {
    let mut world = pair("bbo");
    let top = |world: &mut World, link: u16, seq: u64, cross: u64, bid: u64| {
        world.message(
            link,
            &format!(
                r#"{{"topic":"orderbook.1.BTCUSDT","ts":1,"type":"snapshot","data":{{"s":"BTCUSDT","b":[["{bid}","1"]],"a":[],"u":{seq},"seq":{cross}}},"cts":1}}"#
            ),
        )
    };
    assert_eq!(top(&mut world, 0, 5, 50, 10).len(), 2);
    assert!(top(&mut world, 1, 5, 50, 10).is_empty());
    // Its own numbers, and newer.
    assert_eq!(top(&mut world, 1, 3, 60, 11), ["#0 bbo 11x1 - u=3"]);
    assert!(top(&mut world, 0, 6, 55, 12).is_empty());
    assert_eq!(top(&mut world, 0, 7, 70, 13), ["#0 bbo 13x1 - u=7"]);

    let mut world = pair("ticker");
    let ticker = |world: &mut World, link: u16, ts: u64, kind: &str, data: &str| {
        world.message(
            link,
            &format!(
                r#"{{"topic":"tickers.BTCUSDT","type":"{kind}","data":{{"symbol":"BTCUSDT",{data}}},"cs":1,"ts":{ts}}}"#
            ),
        )
    };
    assert_eq!(
        ticker(&mut world, 0, 10, "snapshot", r#""lastPrice":"5""#).len(),
        2
    );
    assert!(ticker(&mut world, 1, 10, "snapshot", r#""lastPrice":"5""#).is_empty());
    assert_eq!(
        ticker(&mut world, 1, 20, "delta", r#""lastPrice":"6""#).len(),
        1
    );
    assert!(ticker(&mut world, 0, 15, "delta", r#""lastPrice":"7""#).is_empty());
    assert!(ticker(&mut world, 0, 20, "delta", r#""lastPrice":"6""#).is_empty());
    assert_eq!(
        ticker(&mut world, 1, 21, "delta", r#""lastPrice":"8""#).len(),
        1
    );
    assert_eq!(world.venue.counters().duplicates, 3);
}

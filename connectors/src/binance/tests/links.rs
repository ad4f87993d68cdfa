use super::*;
use crate::channel::Interval;
use crate::upkeep::Redundancy;

const SHUTDOWN: &str =
    r#"{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1770123456789}}"#;

fn tick(id: u64) -> String {
    format!(
        r#"{{"stream":"btcusdt@bookTicker","data":{{"u":{id},"s":"BTCUSDT","b":"99","B":"1","a":"101","A":"2"}}}}"#
    )
}

fn trade(id: u64) -> String {
    format!(
        r#"{{"stream":"btcusdt@trade","data":{{"e":"trade","E":5,"s":"BTCUSDT","t":{id},"p":"1","q":"1","T":4,"m":true,"M":true}}}}"#
    )
}

fn candle(at_ms: u64) -> String {
    format!(
        r#"{{"stream":"btcusdt@kline_1m","data":{{"e":"kline","E":{at_ms},"s":"BTCUSDT","k":{{"t":1,"T":2,"s":"BTCUSDT","i":"1m","o":"1","c":"2","h":"2","l":"1","v":"1","n":1,"x":false,"q":"1"}}}}}}"#
    )
}

fn book(id: u64) -> String {
    snapshot(id, r#"["99","1"]"#, r#"["101","2"]"#)
}

/// A book, best prices, trades and candles, all Live on link 0.
fn live(redundancy: Redundancy) -> World {
    let mut config = plain(BinanceConfig::spot());
    config.upkeep.redundancy = redundancy;
    let mut world = World::new(config);
    let channels = [
        Channel::BOOK,
        Channel::Bbo,
        Channel::Trades,
        Channel::Kline(Interval::Min1),
    ];
    for (id, channel) in channels.into_iter().enumerate() {
        world.subscribe(id as u32, "BTCUSDT", channel);
    }
    world.up(0, 1);
    world.ack(0);
    world.frame(&delta(10, 10, "", ""));
    let request = world.request();
    let mut events = world.respond(request.id, 200, &book(10));
    for frame in [tick(10), trade(100), candle(1_000)] {
        events.extend(world.frame_on(0, &frame));
    }
    let live = events
        .iter()
        .filter(|event| event.contains("live synced epoch 1"));
    assert_eq!(live.count(), 4, "{events:?}");
    world.control.clear();
    world
}

/// The same after a notice of shutdown, with the next link up and all acked on it.
fn handing_over() -> World {
    let mut world = live(Redundancy::Single);
    assert_eq!(world.frame_on(0, SHUTDOWN), [""; 0]);
    assert_eq!(world.frame_on(0, SHUTDOWN), [""; 0], "once");
    assert!(matches!(
        world.control[..],
        [Transmit::Open {
            link: LinkId(1),
            ..
        }]
    ));
    world.control.clear();
    assert_eq!(world.up(1, 1), [""; 0]);
    assert_eq!(world.ack(1), [""; 0]);
    world
}

fn states(events: &[String]) -> Vec<&str> {
    let words = ["stale", "resync", "handed_over"];
    let told = events.iter().map(String::as_str);
    told.filter(|event| words.iter().any(|word| event.contains(word)))
        .collect()
}

#[test]
fn a_link_that_will_be_shut_down_is_replaced_without_a_break() {
    let mut world = handing_over();
    // What comes on both counts once; the old link is ahead.
    assert_eq!(
        world.frame_on(0, &delta(11, 11, r#"["99","3"]"#, "")),
        ["#0 bbo 99x3 101x2 seq 11"]
    );
    assert_eq!(
        world.frame_on(1, &delta(11, 11, r#"["99","3"]"#, "")),
        ["#0 live handed_over epoch 2"]
    );
    // Or the new one is.
    assert_eq!(world.frame_on(1, &tick(12)).len(), 2);
    assert_eq!(world.frame_on(0, &tick(12)), [""; 0]);
    assert_eq!(
        world.frame_on(0, &trade(101)),
        ["#2 trade 1 x 1 sell id 101"]
    );
    assert_eq!(
        world.frame_on(1, &trade(101)),
        ["#2 live handed_over epoch 2"]
    );
    assert_eq!(
        world.frame_on(1, &trade(102)),
        ["#2 trade 1 x 1 sell id 102"]
    );
    assert_eq!(world.frame_on(0, &trade(102)), [""; 0]);
    assert!(
        world.control.is_empty(),
        "the candle is still on the old one"
    );
    let events = world.frame_on(1, &candle(2_000));
    assert_eq!(
        events,
        ["#3 kline 2 closed false", "#3 live handed_over epoch 2"]
    );
    assert_eq!(world.control, [Transmit::Close { link: LinkId(0) }]);
    assert_eq!(world.down(0), [""; 0]);
    assert_eq!(
        world.frame_on(1, &delta(12, 12, r#"["99","4"]"#, "")),
        ["#0 bbo 99x4 101x2 seq 12"]
    );
    let counters = world.binance.counters();
    assert_eq!(
        (counters.handovers, counters.resyncs, counters.stale),
        (1, 0, 0)
    );
    assert_eq!(counters.duplicates, 2);
    assert!(world.http.is_empty(), "no snapshot was needed");
}

#[test]
fn a_new_link_that_lags_repeats_nothing_and_loses_nothing() {
    let mut world = handing_over();
    let frames = |id: u64| [delta(id, id, "", ""), trade(90 + id), candle(1_000 + id)];
    // The old one is 30 messages ahead, and has lost a trade.
    for id in 11..=40 {
        for frame in frames(id) {
            if !frame.contains("\"t\":115") {
                world.frame_on(0, &frame);
            }
        }
    }
    let mut handed = 0;
    let mut published = Vec::new();
    for id in 11..=42 {
        for frame in frames(id) {
            let events = world.frame_on(1, &frame);
            assert!(
                events.iter().all(|event| !event.contains("resync")),
                "{events:?}"
            );
            handed += events
                .iter()
                .filter(|event| event.contains("handed_over"))
                .count();
            let ids = events
                .iter()
                .filter_map(|event| event.split_once("sell id "));
            published.extend(ids.map(|(_, id)| id.to_owned()));
            published.extend(
                events
                    .iter()
                    .filter(|event| event.contains("kline"))
                    .cloned(),
            );
        }
    }
    assert_eq!(handed, 3);
    // The trades behind the lost one have waited for it, so that all come in order.
    let mut late: Vec<String> = (115..=130).map(|id| id.to_string()).collect();
    let candle = "#3 kline 2 closed false";
    late.extend(["131", candle, "132", candle].map(str::to_owned));
    assert_eq!(published, late);
    assert_eq!(world.state(0), "live");
    assert!(
        world.binance.slots[2]
            .as_ref()
            .is_some_and(|slot| slot.early.is_empty() && !slot.catching_up)
    );
}

#[test]
fn a_link_is_replaced_before_the_venue_cuts_it() {
    let mut world = live(Redundancy::Single);
    let day = Nanos::from_secs(23 * 3_600);
    let start = world.now;
    let mut opened = None;
    while opened.is_none() && world.now - start < day + day {
        // A sign of life now and then.
        world.frame_on(0, &tick(11));
        world.pass(Nanos::from_secs(20));
        let open = |transmit: &Transmit| matches!(transmit, Transmit::Open { .. });
        opened = world.control.iter().any(open).then_some(world.now - start);
    }
    let hours = opened.expect("a second link").0 / 1_000_000_000;
    assert!((83_000..84_700).contains(&hours), "{hours} s");
}

#[test]
fn quiet_streams_follow_when_nothing_came_on_either_link() {
    let mut world = handing_over();
    world.frame_on(0, &delta(11, 11, "", ""));
    world.frame_on(1, &delta(11, 11, "", ""));
    let events = world.pass(Nanos::from_secs(7));
    assert_eq!(
        events,
        [
            "#1 live handed_over epoch 2",
            "#2 live handed_over epoch 2",
            "#3 live handed_over epoch 2",
        ]
    );
    assert_eq!(world.control, [Transmit::Close { link: LinkId(0) }]);
    // One that is heard on the old link alone waits for the longest time.
    let mut world = handing_over();
    let mut handed = Vec::new();
    for id in 11..45 {
        world.frame_on(0, &trade(90 + id));
        let events = world.pass(Nanos::from_secs(1));
        handed.extend(events.into_iter().map(|event| (id, event)));
    }
    let trades = handed.iter().find(|(_, event)| event.starts_with("#2"));
    assert!(
        trades.is_some_and(|(id, _)| (39..44).contains(id)),
        "{handed:?}"
    );
}

#[test]
fn an_old_link_that_is_cut_too_early_costs_only_what_was_not_acked() {
    let mut world = handing_over();
    let events = world.down(0);
    assert_eq!(states(&events).len(), 4);
    assert!(
        events
            .iter()
            .all(|event| event.contains("live handed_over epoch 2")),
        "{events:?}"
    );
    assert_eq!(world.control, [Transmit::Close { link: LinkId(0) }]);
    assert_eq!(
        world.frame_on(1, &delta(11, 11, r#"["99","3"]"#, "")).len(),
        1
    );
    // A hole is still a hole.
    assert_eq!(
        world.frame_on(1, &delta(13, 13, "", "")),
        ["#0 resync gap 12 13 epoch 2"]
    );

    let mut world = live(Redundancy::Single);
    world.frame_on(0, SHUTDOWN);
    world.up(1, 1);
    let events = world.down(0);
    assert!(
        events
            .iter()
            .all(|event| event.contains("stale link_down epoch 1")),
        "{events:?}"
    );
    assert_eq!(events.len(), 4);
    world.ack(1);
    assert_eq!(world.frame_on(1, &tick(12))[0], "#1 live synced epoch 2");

    let mut world = live(Redundancy::Single);
    world.frame_on(0, SHUTDOWN);
    assert_eq!(states(&world.down(0)).len(), 4);
    world.up(1, 1);
    assert_eq!(world.frame_on(1, &tick(12))[0], "#1 live synced epoch 2");
    assert_eq!(
        world.binance.links.len(),
        2,
        "the old one is let go, not made anew"
    );
}

#[test]
fn a_new_link_that_fails_leaves_the_old_to_its_end() {
    let mut world = live(Redundancy::Single);
    world.frame_on(0, SHUTDOWN);
    world.down(1);
    assert_eq!(states(&world.pass(Nanos::from_secs(120))), [""; 0]);
    assert_eq!(
        world.frame_on(0, &tick(12)),
        ["#1 live heard epoch 1", "#1 bbo 99x1 101x2 seq 12"]
    );
    // It comes, is lost before it has shown anything, and comes again.
    world.up(1, 1);
    world.ack(1);
    assert_eq!(world.down(1), [""; 0]);
    assert_eq!(world.frame_on(0, &tick(13)).len(), 1);
    world.up(1, 2);
    world.ack(1);
    assert_eq!(
        world.frame_on(1, &tick(13)),
        ["#1 live handed_over epoch 2"]
    );
}

#[test]
fn streams_come_and_go_during_a_hand_over() {
    let mut world = handing_over();
    world.subscribe(10, "ETHUSDT", Channel::Bbo);
    let texts = world.texts();
    assert_eq!(texts.len(), 1);
    assert_eq!(texts[0].0, 1, "on the new link alone");
    // Another stream of a topic that is on both.
    world.subscribe(11, "BTC/USDT", Channel::Trades);
    assert!(world.texts().is_empty());
    let events = world.frame_on(0, &trade(101));
    assert_eq!(events.len(), 3, "{events:?}");
    let events = world.frame_on(1, &trade(101));
    assert_eq!(
        events,
        [
            "#11 live handed_over epoch 2",
            "#2 live handed_over epoch 2"
        ]
    );
    for id in [0, 1, 3] {
        world.command(Command::Unsubscribe { stream: stream(id) });
    }
    assert_eq!(world.control, [Transmit::Close { link: LinkId(0) }]);
    for id in [2, 10, 11] {
        world.command(Command::Unsubscribe { stream: stream(id) });
    }
    assert_eq!(world.control[1], Transmit::Close { link: LinkId(1) });
}

#[test]
fn a_book_without_its_snapshot_takes_it_once() {
    let mut world = live(Redundancy::Single);
    world.frame_on(0, &delta(20, 20, "", ""));
    let request = world.request();
    world.frame_on(0, SHUTDOWN);
    world.up(1, 1);
    world.ack(1);
    // Both bring deltas, out of step; those of one are held.
    for (link, id) in [(1, 23), (0, 21), (1, 24), (0, 22), (0, 23), (1, 25)] {
        assert_eq!(world.frame_on(link, &delta(id, id, "", "")), [""; 0]);
    }
    let events = world.respond(request.id, 200, &book(20));
    assert_eq!(
        events,
        ["#0 live synced epoch 1", "#0 bbo 99x1 101x2 seq 23"]
    );
    assert_eq!(world.frame_on(0, &delta(24, 24, "", "")), [""; 0]);
    let events = world.frame_on(1, &delta(25, 25, "", ""));
    assert_eq!(events, ["#0 live handed_over epoch 2"]);
    assert!(world.http.is_empty());
}

#[test]
fn a_second_up_without_a_down_is_a_loss() {
    let mut world = live(Redundancy::Single);
    let events = world.up(0, 2);
    assert_eq!(events.len(), 4);
    assert!(
        events
            .iter()
            .all(|event| event.contains("stale link_down epoch 1")),
        "{events:?}"
    );
    assert_eq!(world.frame_on(0, &tick(11))[0], "#1 live synced epoch 2");
}

#[test]
fn futures_messages_that_are_cut_elsewhere_on_the_new_link_go_on_all_the_same() {
    let mut config = plain(BinanceConfig::linear());
    config.upkeep.link_age_max_ns = None;
    let mut world = World::new(config);
    world.subscribe(0, "BTC/USDT:USDT", Channel::BOOK);
    world.up(0, 1);
    let delta = |prev: u64, last: u64| {
        format!(
            r#"{{"stream":"btcusdt@depth@100ms","data":{{"e":"depthUpdate","E":5,"T":4,"s":"BTCUSDT","U":{},"u":{last},"pu":{prev},"b":[["99","{last}"]],"a":[]}}}}"#,
            prev + 1
        )
    };
    world.frame_on(0, &delta(0, 10));
    let request = world.request();
    let body = r#"{"lastUpdateId":10,"E":5,"T":4,"bids":[["99","1"]],"asks":[["101","2"]]}"#;
    world.respond(request.id, 200, body);
    world.frame_on(0, SHUTDOWN);
    world.up(1, 1);
    world.ack(1);
    assert_eq!(
        world.frame_on(0, &delta(10, 20)),
        ["#0 bbo 99x20 101x2 seq 20"]
    );
    let events = world.frame_on(1, &delta(5, 15));
    assert_eq!(events, ["#0 live handed_over epoch 2"]);
    assert_eq!(
        world.frame_on(1, &delta(15, 25)),
        ["#0 bbo 99x25 101x2 seq 25"]
    );
    assert_eq!(
        world.frame_on(1, &delta(26, 35)),
        ["#0 resync gap 25 26 epoch 2"]
    );
}

/// The same streams on two links, both up and in step.
fn paired() -> World {
    let mut world = live(Redundancy::Pair);
    assert_eq!(world.up(1, 1), [""; 0]);
    world.ack(1);
    for frame in [delta(11, 11, "", ""), tick(11), trade(101), candle(2_000)] {
        world.frame_on(0, &frame);
        assert_eq!(world.frame_on(1, &frame), [""; 0], "a copy");
    }
    world
}

#[test]
fn what_one_link_of_a_pair_misses_the_other_fills() {
    let mut world = paired();
    assert_eq!(
        world.frame_on(0, &delta(13, 13, r#"["99","3"]"#, "")),
        [""; 0],
        "early"
    );
    let events = world.frame_on(1, &delta(12, 12, r#"["99","2"]"#, ""));
    assert_eq!(
        events,
        ["#0 bbo 99x2 101x2 seq 12", "#0 bbo 99x3 101x2 seq 13"]
    );
    assert_eq!(
        world.frame_on(1, &delta(13, 13, r#"["99","3"]"#, "")),
        [""; 0]
    );
    assert_eq!(world.frame_on(1, &trade(103)), [""; 0], "early");
    let both = [102, 103].map(|id| format!("#2 trade 1 x 1 sell id {id}"));
    assert_eq!(world.frame_on(0, &trade(102)), both);
    assert_eq!(world.frame_on(0, &trade(103)), [""; 0]);
    // A number that neither has is not waited for.
    assert_eq!(world.frame_on(0, &trade(105)), [""; 0]);
    let alone = ["#2 trade 1 x 1 sell id 105"];
    assert_eq!(world.frame_on(1, &trade(105)), alone);
    // What one link alone has waits its time, and what is missing is told.
    assert_eq!(world.frame_on(0, &trade(107)), [""; 0]);
    assert_eq!(
        world.pass(Nanos::from_secs(3)),
        [
            "#2 resync gap 106 107 epoch 1",
            "#2 live synced epoch 1",
            "#2 trade 1 x 1 sell id 107"
        ]
    );
    let counters = world.binance.counters();
    assert_eq!((counters.healed, counters.resyncs), (1, 0));
    // What neither has is a gap.
    world.frame_on(0, &delta(15, 15, "", ""));
    world.frame_on(1, &delta(15, 15, "", ""));
    let events = world.pass(Nanos::from_secs(1));
    assert_eq!(events, ["#0 resync gap 14 15 epoch 1"]);
}

#[test]
fn a_pair_is_stale_when_both_are_lost() {
    let mut world = paired();
    assert_eq!(world.down(1), [""; 0]);
    assert_eq!(world.frame_on(0, &tick(12)).len(), 1);
    assert_eq!(world.up(1, 2), [""; 0]);
    world.ack(1);
    assert_eq!(world.frame_on(1, &tick(12)), [""; 0]);
    assert_eq!(world.down(0), [""; 0]);
    let events = world.frame_on(1, &delta(12, 12, r#"["99","5"]"#, ""));
    assert_eq!(events, ["#0 bbo 99x5 101x2 seq 12"]);
    let events = world.down(1);
    assert_eq!(events.len(), 4);
    assert!(
        events
            .iter()
            .all(|event| event.contains("stale link_down epoch 1")),
        "{events:?}"
    );
    world.up(0, 2);
    assert_eq!(world.frame_on(0, &tick(13))[0], "#1 live synced epoch 2");
}

#[test]
fn of_a_pair_one_at_a_time_is_replaced() {
    let mut world = paired();
    world.control.clear();
    world.frame_on(0, SHUTDOWN);
    assert!(matches!(
        world.control[..],
        [Transmit::Reconnect {
            link: LinkId(0),
            ..
        }]
    ));
    world.frame_on(1, SHUTDOWN);
    assert_eq!(world.control.len(), 1, "not while the other is away");
    assert_eq!(world.down(0), [""; 0]);
    world.up(0, 2);
    world.ack(0);
    world.pass(Nanos::from_secs(31));
    assert!(matches!(
        world.control[..],
        [
            _,
            Transmit::Reconnect {
                link: LinkId(1),
                ..
            }
        ]
    ));
    assert_eq!(world.down(1), [""; 0]);
}

#[test]
fn a_counter_that_went_back_is_found_while_the_other_link_hangs() {
    let mut world = paired();
    // The other link does not say that it is gone.
    world.down(0);
    world.up(0, 2);
    world.ack(0);
    let frames = [delta(3, 3, "", ""), tick(3), trade(3)];
    for frame in &frames {
        assert_eq!(world.frame_on(0, frame), [""; 0], "it may lag");
    }
    world.now += Nanos::from_secs(10);
    for (frame, events) in frames
        .iter()
        .zip(["#0 resync venue_restart", "#1 bbo", "#2 trade"])
    {
        let told = world.frame_on(0, frame);
        assert!(
            told.iter().any(|event| event.starts_with(events)),
            "{told:?}"
        );
    }
}

#[test]
fn a_count_that_began_anew_does_not_join_the_book_of_before() {
    // (first, last, previous number and the engine's time of what comes by the link that came up again,
    // whether it tells of a new count); the book stands at 15 since 1,000 ms.
    let table = [
        ((10, 15, 8), 1_000, false),
        ((3, 9, 2), 900, false),
        ((3, 9, 2), 1_001, true),
        ((12, 18, 11), 1_350, false),
        ((12, 18, 11), 1_351, true),
        ((16, 18, 15), 9_000, false),
    ];
    for ((first, last, prev), engine_ms, restarts) in table {
        let mut config = plain(BinanceConfig::linear());
        config.upkeep.redundancy = Redundancy::Pair;
        let mut world = World::new(config);
        world.subscribe(0, "BTC/USDT:USDT", Channel::BOOK);
        for link in [0, 1] {
            world.up(link, 1);
            world.ack(link);
        }
        let delta = |(first, last, prev): (u64, u64, u64), engine_ms: u64| {
            format!(
                r#"{{"stream":"btcusdt@depth@100ms","data":{{"e":"depthUpdate","E":9,"T":{engine_ms},"s":"BTCUSDT","U":{first},"u":{last},"pu":{prev},"b":[["98","{last}"]],"a":[]}}}}"#
            )
        };
        world.frame_on(0, &delta((10, 15, 8), 1_000));
        let request = world.request();
        let whole = r#"{"lastUpdateId":12,"E":9,"T":990,"bids":[["99","1"]],"asks":[["101","2"]]}"#;
        world.respond(request.id, 200, whole);
        // The other hangs, and does not say that it is gone.
        world.down(1);
        world.up(1, 2);
        world.ack(1);
        let told = world.frame_on(1, &delta((first, last, prev), engine_ms));
        let told = told == ["#0 resync venue_restart epoch 1"];
        assert_eq!(told, restarts, "{first} to {last} at {engine_ms} ms");
    }
}

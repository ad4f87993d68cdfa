//! A link that is too old is replaced before it is cut.

use super::*;

const FIRST: (&str, &str) = (r#"["new",100,20]"#, r#"["new",101,40]"#);

/// Links are replaced when they are 100 seconds old.
fn aging(channel: &str, topic: &str) -> World {
    let config = plain(DeribitConfig::inverse());
    let upkeep = Upkeep {
        link_age_max_ns: Some(Nanos::from_secs(100)),
        ..config.upkeep
    };
    let mut world = World::new(DeribitConfig { upkeep, ..config }).subscribed(channel, topic);
    world.message(0, r#"{"jsonrpc":"2.0","id":"heartbeat","result":"ok"}"#);
    world
}

/// The second link is up, and has acked the topic.
fn replaced(world: &mut World, topic: &str) {
    let lines = world.timeout();
    assert_eq!(lines, ["open 1 wss://www.deribit.com/ws/api/v2"]);
    world.up(1, 1);
    world.message(1, r#"{"jsonrpc":"2.0","id":"heartbeat","result":"ok"}"#);
    world.ack(1, 1, &[topic]);
}

const HANDED_OVER: [&str; 2] = ["#0 live handed_over e2", "close 0"];

#[test]
fn a_book_goes_on_with_a_newer_snapshot() {
    let mut world = aging("book", BOOK);
    world.snapshot(0, 10, FIRST.0, FIRST.1);
    replaced(&mut world, BOOK);
    let lines = world.snapshot(1, 12, r#"["new",100,25]"#, FIRST.1);
    assert_eq!(lines[0], "#0 bbo 100x25 101x40 u=12");
    assert_eq!(lines[1..], HANDED_OVER);
    assert_eq!(
        world.change(1, 12, 13, r#"["delete",100,0]"#, ""),
        ["#0 bbo - 101x40 u=13"]
    );
}

#[test]
fn a_book_with_an_older_snapshot_waits_until_both_stand_at_one_id() {
    let mut world = aging("book", BOOK);
    world.snapshot(0, 10, FIRST.0, FIRST.1);
    world.change(0, 10, 15, r#"["change",100,21]"#, "");
    replaced(&mut world, BOOK);
    assert!(world.snapshot(1, 10, FIRST.0, FIRST.1).is_empty(), "older");
    assert_eq!(
        world.change(1, 10, 15, r#"["change",100,21]"#, ""),
        HANDED_OVER
    );
    assert_eq!(
        world.change(1, 15, 16, r#"["change",100,22]"#, ""),
        ["#0 bbo 100x22 101x40 u=16"]
    );
    assert_eq!(world.venue.counters().handovers, 1);
    assert_eq!(world.venue.counters().gaps, 0);
}

#[test]
fn a_book_that_was_not_in_step_when_its_link_died_is_stale() {
    let mut world = aging("book", BOOK);
    world.snapshot(0, 10, FIRST.0, FIRST.1);
    world.change(0, 10, 15, r#"["change",100,21]"#, "");
    replaced(&mut world, BOOK);
    world.snapshot(1, 10, FIRST.0, FIRST.1);
    let lines = world.down(0);
    assert_eq!(lines[0], "#0 stale link_down e1");
    assert_eq!(lines[1], "close 0");
    assert!(
        lines[2].contains("public/unsubscribe"),
        "its snapshot was not kept: {lines:?}"
    );
}

const TRADES: &str = "trades.BTC-PERPETUAL.100ms";

fn trade(seq: u64) -> String {
    format!(
        r#"[{{"trade_seq":{seq},"trade_id":"{seq}","timestamp":1,"price":{seq},"direction":"buy","amount":1}}]"#
    )
}

#[test]
fn trades_that_came_twice_are_told_once() {
    let topic = TRADES;
    let mut world = aging("trades", topic);
    assert_eq!(world.notify(0, topic, &trade(1)).len(), 1);
    replaced(&mut world, topic);
    assert_eq!(world.notify(1, topic, &trade(1)), HANDED_OVER);
    assert_eq!(world.notify(1, topic, &trade(2)).len(), 1);
}

#[test]
fn trades_ahead_of_the_old_link_wait_for_what_it_has_yet_to_bring() {
    let mut world = aging("trades", TRADES);
    world.notify(0, TRADES, &trade(1));
    replaced(&mut world, TRADES);
    // The new link began behind trades 2 and 3, which the old one brings late.
    assert!(world.notify(1, TRADES, &trade(4)).is_empty());
    for seq in [2, 3] {
        let lines = world.notify(0, TRADES, &trade(seq));
        assert!(lines[0].starts_with("#0 trade"), "{lines:?}");
        assert_eq!(lines.len(), if seq == 3 { 2 } else { 1 }, "{lines:?}");
    }
    assert_eq!(world.notify(0, TRADES, &trade(4)), [""; 0], "told already");
    assert_eq!(world.venue.counters().gaps, 0);
}

#[test]
fn trades_that_went_with_the_old_link_are_told_as_missing() {
    let mut world = aging("trades", TRADES);
    world.notify(0, TRADES, &trade(1));
    replaced(&mut world, TRADES);
    world.notify(1, TRADES, &trade(4));
    let lines = world.down(0);
    let told: Vec<&String> = lines.iter().filter(|line| line.starts_with("#0")).collect();
    assert!(told[0].starts_with("#0 resync gap"), "{lines:?}");
    assert!(told.iter().any(|line| line.contains("trade")), "{lines:?}");
}

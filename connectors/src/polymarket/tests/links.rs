//! Links: subscriptions without acks, the heartbeat, sharding, hand-over.

use super::*;
use crate::upkeep::Redundancy;

#[test]
fn tokens_are_added_and_removed_on_the_live_link() {
    let mut world = World::plain().live("book");
    let lines = world.subscribe(1, NO, "book");
    let add = format!(r#"send 0 {{"assets_ids":["{NO}"],"operation":"subscribe"}}"#);
    assert_eq!(lines[1..], [add]);
    // A second stream of a token needs no word on the link.
    let lines = world.subscribe(2, YES, "trades");
    assert_eq!(lines[1..], ["#2 live synced e1"]);
    assert_eq!(world.unsubscribe(2), ["#2 closed unsubscribed e1"]);
    let remove = format!(r#"send 0 {{"assets_ids":["{NO}"],"operation":"unsubscribe"}}"#);
    assert_eq!(world.unsubscribe(1), ["#1 closed unsubscribed e1", &remove]);
    assert_eq!(
        world.unsubscribe(0),
        ["#0 closed unsubscribed e1", "close 0"]
    );
}

#[test]
fn pings_begin_with_the_subscription_and_end_without_a_pong() {
    let mut world = World::plain();
    world.subscribe(0, YES, "book");
    let pings = world.pass(Nanos::from_secs(30));
    assert!(pings.is_empty(), "nothing to ping yet: {pings:?}");
    world.up(0, 1);
    world.book(0, YES, 1_000);
    for _ in 0..3 {
        assert_eq!(world.pass(Nanos::from_secs(10)), ["send 0 urgent PING"]);
        world.message(0, "PONG");
    }
    world.pass(Nanos::from_secs(10));
    let lines = world.pass(urls::PONG_TIMEOUT);
    assert_eq!(lines, ["#0 stale link_down e1", "reconnect 0: no pong"]);
    // All that was had is asked for again, in the first message's words.
    let asked = world.up(0, 2).join("");
    assert!(asked.contains(r#""type":"market""#), "{asked}");
    assert_eq!(world.book(0, YES, 2_000)[0], "#0 live synced e2");
}

#[test]
fn tokens_are_spread_over_links() {
    let config = PolymarketConfig {
        assets_per_link_max: 2,
        ..plain(PolymarketConfig::new())
    };
    let mut world = World::new(config);
    for stream in 0..5 {
        world.subscribe(stream, &format!("{}", 100 + stream), "book");
    }
    assert_eq!(world.venue.streams.links.len(), 3);
}

#[test]
fn a_token_without_its_book_is_asked_for_again() {
    let mut world = World::plain();
    world.subscribe(0, YES, "book");
    world.up(0, 1);
    world.now += SNAPSHOT_TIMEOUT;
    let lines = world.timeout();
    assert!(
        lines.contains(&"#0 resync snapshot_failed e1".to_owned()),
        "{lines:?}"
    );
    let lines = world.timeout();
    let ops: Vec<bool> = lines
        .iter()
        .map(|line| line.contains("unsubscribe"))
        .collect();
    assert_eq!(ops, [true, false], "{lines:?}");
}

#[test]
fn a_link_that_never_brings_data_is_made_anew() {
    let mut world = World::plain();
    world.subscribe(0, YES, "book");
    world.up(0, 1);
    let mut lines = Vec::new();
    for _ in 0..7 {
        lines.extend(world.pass(Nanos::from_secs(10)));
        world.message(0, "PONG");
    }
    let lines = lines.join("\n");
    assert!(
        lines.contains("reconnect 0: no data since it came up"),
        "{lines}"
    );
}

#[test]
fn a_link_of_many_tokens_that_stalls_is_made_anew() {
    let mut world = World::plain();
    for stream in 0..STALL_ASSETS_MIN as u32 {
        world.subscribe(stream, &format!("{}", 100 + stream), "book");
    }
    world.up(0, 1);
    for stream in 0..STALL_ASSETS_MIN {
        world.book(0, &format!("{}", 100 + stream), 1_000);
    }
    let mut lines = Vec::new();
    for _ in 0..6 {
        lines = world.pass(Nanos::from_secs(10));
        world.message(0, "PONG");
    }
    assert_eq!(
        lines.last().map(String::as_str),
        Some("reconnect 0: no data of many tokens")
    );
    assert_eq!(lines[0], "#0 stale link_down e1", "said before");
}

/// A link that is to be replaced, with its successor up: [`YES`] as stream 0.
fn handing_over(channel: &str) -> World {
    let mut config = plain(PolymarketConfig::new());
    config.upkeep.link_age_max_ns = Some(Nanos::from_secs(600));
    let mut world = World::new(config).live(channel);
    for _ in 0..60 {
        let lines = world.pass(Nanos::from_secs(10));
        world.message(0, "PONG");
        if lines.iter().any(|line| line.starts_with("open 1")) {
            world.up(1, 1);
            return world;
        }
    }
    panic!("no second link");
}

#[test]
fn an_old_link_is_replaced_by_the_new_links_book() {
    let mut world = handing_over("book");
    world.change(0, 5_000, &[("BUY", "0.49", "5")], None);
    // The new link's book is behind what we have: it is not shown, but kept.
    let text = book(YES, 4_000);
    assert!(world.message(1, &text).is_empty());
    // The old one goes on.
    let lines = world.change(0, 5_001, &[("BUY", "0.49", "6")], None);
    assert_eq!(lines, ["#0 bbo 0.49x6 0.52x25 u=5001"]);
    // The new one catches up: the stream is on it, and was Live all along.
    world.change(1, 5_000, &[("BUY", "0.49", "5")], None);
    let lines = world.change(1, 5_001, &[("BUY", "0.49", "6")], None);
    let want = [
        "#0 bbo 0.49x6 0.52x25 u=5001",
        "#0 live handed_over e2",
        "close 0",
    ];
    assert_eq!(lines, want);
    assert_eq!(world.venue.counters().handovers, 1);
    let late = world.change(0, 5_002, &[("BUY", "0.3", "1")], None);
    assert!(late.is_empty(), "the old link's last words: {late:?}");
}

#[test]
fn the_new_links_book_takes_over_where_the_old_link_is_lost() {
    let mut world = handing_over("book");
    world.change(0, 5_000, &[("BUY", "0.49", "5")], None);
    world.message(1, &book(YES, 4_999));
    // It is behind ours: what we have is shown no second time, and nothing older.
    assert_eq!(world.down(0), ["#0 live handed_over e2", "close 0"]);
    assert_eq!(
        world.change(1, 5_000, &[("BUY", "0.49", "5")], None),
        ["#0 bbo 0.49x5 0.52x25 u=5000"]
    );
    assert_eq!(
        world.change(1, 5_001, &[("BUY", "0.49", "7")], None),
        ["#0 bbo 0.49x7 0.52x25 u=5001"]
    );
    // One that is not behind is the book at once, under its own number.
    let mut world = handing_over("book");
    assert_eq!(
        world.message(1, &book(YES, 5_000))[0],
        "#0 bbo 0.48x30 0.52x25 u=5000"
    );
    // Without the new link's book there is nothing to go on from.
    let mut world = handing_over("book");
    assert_eq!(world.down(0)[0], "#0 stale link_down e1");
}

#[test]
fn trades_are_on_both_links_until_the_old_ones_last_has_come() {
    let mut world = handing_over("trades");
    world.book(1, YES, 5_000);
    let trade = |ms: i64| {
        format!(
            r#"{{"asset_id":"{YES}","event_type":"last_trade_price","price":"0.5","side":"BUY","size":"1","timestamp":"{ms}","transaction_hash":"0xab"}}"#
        )
    };
    assert_eq!(world.message(1, &trade(5_001)).len(), 1);
    assert!(world.message(0, &trade(5_001)).is_empty(), "seen before");
    assert_eq!(
        world.message(0, &trade(5_000)).len(),
        1,
        "the old link's alone"
    );
    assert_eq!(
        world.pass(Nanos::from_secs(3)),
        ["#0 live handed_over e2", "close 0"]
    );
}

#[test]
fn pairs_are_refused_with_the_reason() {
    let mut config = PolymarketConfig::new();
    config.upkeep.redundancy = Redundancy::Pair;
    let refused = Polymarket::new(config, 1).map(|_| ());
    let error = refused.expect_err("no pairs");
    assert_eq!(error.kind, crate::error::ErrorKind::NotSupported);
    assert!(error.text.contains("Redundancy::Single"), "{error}");
}

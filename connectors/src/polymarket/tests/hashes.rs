//! Books against the venue's own hash of them.

use sha1::{Digest, Sha1};

use super::*;

const MARKET: &str = "0xaabbcc";

/// Levels as the venue writes them.
fn side(rows: &[(&str, &str)]) -> String {
    let rows: Vec<String> = rows
        .iter()
        .map(|(price, size)| format!(r#"{{"price":"{price}","size":"{size}"}}"#))
        .collect();
    rows.join(",")
}

/// What is hashed (`generate_orderbook_summary_hash` of py-clob-client-v2).
fn hashed(ms: i64, bids: &str, asks: &str, tail: &str) -> String {
    let text = format!(
        r#"{{"market":"{MARKET}","asset_id":"{YES}","timestamp":"{ms}","hash":"","bids":[{bids}],"asks":[{asks}],{tail}}}"#
    );
    let digest = Sha1::digest(text.as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn tail(least: &str, neg_risk: bool) -> String {
    format!(
        r#""min_order_size":"{least}","tick_size":"0.01","neg_risk":{neg_risk},"last_trade_price":"0.870""#
    )
}

/// A message with that hash and those levels.
fn message(ms: i64, bids: &str, asks: &str, hash: &str) -> String {
    format!(
        r#"{{"asks":[{asks}],"asset_id":"{YES}","bids":[{bids}],"event_type":"book","hash":"{hash}","last_trade_price":"0.870","market":"{MARKET}","tick_size":"0.01","timestamp":"{ms}"}}"#
    )
}

const BIDS: [(&str, &str); 3] = [("0.01", "6225.9"), ("0.3", "100"), ("0.47", "12.73")];
const ASKS: [(&str, &str); 3] = [("0.99", "37776"), ("0.5", "0.05"), ("0.48", "1")];

fn good(ms: i64) -> String {
    let (bids, asks) = (side(&BIDS), side(&ASKS));
    let hash = hashed(ms, &bids, &asks, &tail("5", false));
    message(ms, &bids, &asks, &hash)
}

/// A level is another than the one that was hashed.
fn bad(ms: i64) -> String {
    good(ms).replace("12.73", "12.74")
}

fn world(every: u32) -> World {
    let mut world = World::new(plain(PolymarketConfig {
        book_hash_every: every,
        ..PolymarketConfig::new()
    }));
    world.subscribe(0, YES, "book");
    world.up(0, 1);
    world
}

fn counted(world: &World) -> (u64, u64) {
    let counters = world.venue.counters();
    (counters.hashes_met, counters.hash_mismatches)
}

#[test]
fn a_hash_is_met_in_either_order_of_levels_and_with_what_the_market_has() {
    let turned = |rows: &[(&str, &str)]| {
        let rows: Vec<_> = rows.iter().rev().copied().collect();
        side(&rows)
    };
    let table = [
        (side(&BIDS), side(&ASKS), tail("5", false), 1),
        (turned(&BIDS), turned(&ASKS), tail("5", false), 1),
        (side(&BIDS), String::new(), tail("5", true), 1),
        (String::new(), String::new(), tail("5", true), 1),
        (side(&BIDS), side(&ASKS), tail("15", false), 0),
    ];
    for (bids, asks, tail, met) in table {
        let mut world = world(1);
        let hash = hashed(1_000, &bids, &asks, &tail);
        let lines = world.message(0, &message(1_000, &bids, &asks, &hash));
        assert_eq!(lines[0], "#0 live synced e1");
        assert_eq!(counted(&world), (met, 1 - met), "{bids} {asks} {tail}");
    }
}

#[test]
fn a_hash_not_met_after_one_that_was_breaks_the_book_before_it_is_published() {
    let mut world = world(1);
    world.message(0, &good(1_000));
    let lines = world.message(0, &bad(1_001));
    assert_eq!(lines, ["#0 resync disagrees e1"]);
    assert_eq!(counted(&world), (1, 1));
    let lines = world.timeout();
    assert!(
        lines.iter().any(|line| line.contains("unsubscribe")),
        "{lines:?}"
    );
    assert_eq!(world.message(0, &good(1_002))[0], "#0 live synced e1");
    assert_eq!(counted(&world), (2, 1));
}

#[test]
fn a_venue_that_hashes_otherwise_than_before_is_no_longer_asked_to_agree() {
    let mut world = world(1);
    world.message(0, &good(1_000));
    assert_eq!(world.message(0, &bad(1_001)), ["#0 resync disagrees e1"]);
    world.timeout();
    // Neither the fresh one nor those that follow are what they were: then the hash says nothing.
    for ms in 1_002..1_006 {
        world.message(0, &bad(ms));
        let view = world.venue.book(id(0)).expect("a book");
        assert_eq!(view.state, StreamState::Live);
    }
    assert_eq!(counted(&world), (1, 5));
    // Until one is met, on a connection to come.
    world.message(0, &good(1_006));
    assert_eq!(counted(&world), (1, 5), "given up on this connection");
    world.down(0);
    world.up(0, 2);
    world.message(0, &good(1_007));
    assert_eq!(counted(&world), (2, 5));
    assert_eq!(world.message(0, &bad(1_008)), ["#0 resync disagrees e2"]);
}

#[test]
fn what_can_not_be_reproduced_breaks_nothing() {
    let mut world = world(1);
    for ms in 0..10 {
        world.message(0, &bad(ms));
    }
    assert_eq!(counted(&world), (0, 3), "after three it is left alone");
    assert_eq!(world.venue.counters().resyncs, 0);
    // Messages of older recordings lack what the hash is made of.
    let mut world = World::plain().live("book");
    assert_eq!(counted(&world), (0, 0));
    world.book(0, YES, 1_001);
    assert_eq!(counted(&world), (0, 0));
}

#[test]
fn each_n_th_book_is_looked_at_and_the_first_of_each_connection() {
    for (every, met) in [(0, 0), (1, 9), (3, 3), (u32::MAX, 1)] {
        let mut world = world(every);
        (0..9).for_each(|ms| drop(world.message(0, &good(ms))));
        assert_eq!(counted(&world).0, met, "{every}");
        world.down(0);
        world.up(0, 2);
        world.message(0, &good(10));
        assert_eq!(counted(&world).0, met + u64::from(every > 0), "{every}");
    }
}

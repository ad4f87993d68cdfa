//! Books: the chain of changes, grouped books, quotes.

use super::*;

const FIRST: (&str, &str) = (r#"["new",100.5,30],["new",100,20]"#, r#"["new",101,40]"#);

fn live() -> World {
    let mut world = World::inverse().subscribed("book", BOOK);
    let lines = world.snapshot(0, 10, FIRST.0, FIRST.1);
    assert_eq!(lines, ["#0 live synced e1", "#0 bbo 100.5x30 101x40 u=10"]);
    world
}

#[test]
fn a_book_follows_its_chain_and_every_action() {
    let mut world = live();
    let lines = world.change(0, 10, 17, r#"["change",100.5,31.0]"#, "");
    assert_eq!(lines, ["#0 bbo 100.5x31 101x40 u=17"]);
    let lines = world.change(
        0,
        17,
        18,
        r#"["delete",100.5,0.0]"#,
        r#"["new",100.75,1e1]"#,
    );
    assert_eq!(lines, ["#0 bbo 100x20 100.75x10 u=18"]);
    assert!(
        world
            .change(0, 17, 18, r#"["delete",100,0]"#, "")
            .is_empty(),
        "seen before"
    );
    assert_eq!(world.venue.counters().stale, 1);
}

#[test]
fn a_gap_lets_one_topic_go_and_asks_for_it_anew() {
    let mut world = live();
    assert_eq!(
        world.change(0, 11, 12, r#"["new",99,1]"#, ""),
        ["#0 resync gap expected 10 got 11 e1"]
    );
    assert!(
        world.change(0, 12, 13, r#"["new",98,1]"#, "").is_empty(),
        "not for this book"
    );
    assert_eq!(world.timeout(), [request(2, "unsubscribe", &[BOOK])]);
    assert_eq!(world.ack(0, 2, &[BOOK]), [request(3, "subscribe", &[BOOK])]);
    // The snapshot may come before the answer.
    let lines = world.snapshot(0, 40, FIRST.0, FIRST.1);
    assert_eq!(lines, ["#0 live synced e1", "#0 bbo 100.5x30 101x40 u=40"]);
    assert!(world.ack(0, 3, &[BOOK]).is_empty());
    assert_eq!(world.venue.counters().gaps, 1);
}

#[test]
fn what_a_book_can_not_take_breaks_it() {
    let table = [
        (r#"["new",101,1]"#, "crossed"),
        (r#"["new",100,-1]"#, "malformed"),
        (r#"["grow",100,1]"#, "malformed"),
        (r#"["new","100",1]"#, "malformed"),
        (r#"["new",0.00001,1]"#, "rescale"),
    ];
    for (bids, reason) in table {
        let mut world = live();
        let lines = world.change(0, 10, 11, bids, "");
        assert_eq!(lines[0], format!("#0 resync {reason} e1"), "{bids}");
    }
}

#[test]
fn numbers_with_exponents_are_exact_and_widen_the_scale() {
    let mut world = World::inverse().subscribed("book", BOOK);
    let lines = world.snapshot(0, 1, r#"["new",2.11e-5,10]"#, "");
    assert_eq!(
        lines,
        [
            "#0 instrument BTC/USD:BTC BTC-PERPETUAL 7/2",
            "#0 live synced e1",
            "#0 bbo 0.0000211x10 - u=1"
        ]
    );
}

#[test]
fn an_empty_book_is_a_book() {
    let mut world = World::inverse().subscribed("book", BOOK);
    assert_eq!(
        world.snapshot(0, 0, "", ""),
        ["#0 live synced e1", "#0 bbo - - u=0"]
    );
    let lines = world.change(0, 0, 5, r#"["new",1,2]"#, "");
    assert_eq!(lines, ["#0 bbo 1x2 - u=5"]);
}

#[test]
fn a_grouped_book_is_replaced_by_each_message() {
    let topic = "book.BTC-PERPETUAL.none.10.100ms";
    let mut world = World::inverse().subscribed("book:10", topic);
    let data = |seq: u64, bids: &str| {
        format!(r#"{{"timestamp":1,"change_id":{seq},"bids":[{bids}],"asks":[[102,1]]}}"#)
    };
    let lines = world.notify(0, topic, &data(7, "[100,1],[99,2]"));
    assert_eq!(lines, ["#0 live synced e1", "#0 bbo 100x1 102x1 u=7"]);
    let lines = world.notify(0, topic, &data(9, "[99,2]"));
    assert_eq!(lines, ["#0 bbo 99x2 102x1 u=9"]);
    let whole = r#"{"type":"snapshot","timestamp":1,"change_id":9,"bids":[],"asks":[]}"#;
    let lines = world.notify(0, topic, whole);
    assert_eq!(
        lines,
        ["#0 resync malformed e1"],
        "a book of the other kind"
    );
    let lines = world.notify(0, topic, &data(11, "[98,2]"));
    assert_eq!(lines[0], "#0 live synced e1", "whole again by itself");
}

#[test]
fn quotes_have_no_number_and_either_side_may_be_empty() {
    let mut world = World::inverse().subscribed("bbo", "quote.BTC-PERPETUAL");
    let data = r#"{"timestamp":1,"instrument_name":"BTC-PERPETUAL","best_bid_price":3914.97,"best_bid_amount":40,"best_ask_price":0.0,"best_ask_amount":0.0}"#;
    let lines = world.notify(0, "quote.BTC-PERPETUAL", data);
    assert_eq!(lines, ["#0 live synced e1", "#0 bbo 3914.97x40 - u=0"]);
}

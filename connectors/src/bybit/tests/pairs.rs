//! What two links of one stream make of each other, rule by rule (see `pair`).

use super::handover::{FIRST, pair};
use super::*;

/// Level 1 whose number is its cross sequence.
fn top(world: &mut World, link: u16, cross: u64) -> Vec<String> {
    world.message(
        link,
        &format!(
            r#"{{"topic":"orderbook.1.BTCUSDT","ts":1,"type":"snapshot","data":{{"s":"BTCUSDT","b":[["{cross}","1"]],"a":[],"u":{cross},"seq":{cross}}},"cts":1}}"#
        ),
    )
}

/// The links are lost, and come up again with their acks.
fn lose(world: &mut World, links: &[u16]) -> Vec<String> {
    let mut lines = Vec::new();
    for link in links {
        lines.extend(world.down(*link));
    }
    lines
}

fn regain(world: &mut World, link: u16) {
    world.up(link, 2);
    world.ack(link, 2);
}

#[test]
fn the_mark_only_rises_while_a_link_lives() {
    let mut world = pair("bbo");
    assert_eq!(top(&mut world, 0, 50).len(), 2);
    assert_eq!(top(&mut world, 0, 70).len(), 1);
    assert!(top(&mut world, 1, 60).is_empty(), "the other lags");
    // In the other order on its own link.
    assert!(top(&mut world, 0, 65).is_empty());
    // The link that was ahead is lost.
    assert!(lose(&mut world, &[0]).is_empty());
    for cross in [61, 70] {
        assert!(top(&mut world, 1, cross).is_empty(), "{cross}");
    }
    assert_eq!(top(&mut world, 1, 71).len(), 1);
    // The topic is asked for anew, and what comes first is of before.
    let lines = world.command(Command::Resync { stream: id(0) });
    assert_eq!(lines[0], "#0 resync requested e1");
    assert!(top(&mut world, 1, 69).is_empty());
    assert_eq!(top(&mut world, 1, 71)[0], "#0 live synced e1");
}

#[test]
fn with_the_last_link_all_is_forgotten() {
    let mut world = pair("book");
    world.book_on(0, "snapshot", 10, 0, FIRST);
    world.book_on(1, "snapshot", 10, 0, FIRST);
    world.book_on(0, "delta", 1, 1_000, FIRST);
    assert_eq!(lose(&mut world, &[0, 1]), ["#0 stale link_down e1"]);
    regain(&mut world, 0);
    // The venue was down, and counts from lower than before.
    let lines = world.book_on(0, "snapshot", 50, 0, FIRST);
    assert_eq!(lines[0], "#0 live synced e2");
    assert_eq!(world.delta_on(0, 51), ["#0 bbo 100x51 101x1 u=51"]);
}

#[test]
fn a_book_is_live_again_once_it_has_come_to_where_it_was() {
    let mut world = pair("book");
    world.book_on(0, "snapshot", 10, 0, FIRST);
    for seq in 11..=15 {
        world.delta_on(0, seq);
    }
    // The other link has shown nothing: it can't be gone on with.
    assert_eq!(world.down(0)[0], "#0 stale link_down e1");
    let sides = r#""b":[["100","13"]],"a":[["101","1"]]"#;
    assert!(world.book_on(1, "snapshot", 13, 0, sides).is_empty());
    assert!(world.delta_on(1, 14).is_empty());
    let lines = world.delta_on(1, 15);
    assert_eq!(lines, ["#0 live synced e2", "#0 bbo 100x15 101x1 u=15"]);
}

#[test]
fn a_new_count_is_believed_once_the_link_that_hangs_is_gone() {
    for channel in ["bbo", "trades"] {
        let mut world = pair(channel);
        let show = |world: &mut World, link: u16, cross: u64| match channel {
            "bbo" => top(world, link, cross),
            _ => world.trade_on(link, u32::try_from(cross).expect("small")),
        };
        for link in [0, 1] {
            show(&mut world, link, 500);
        }
        // The venue restarts; link 0 does not say that it is gone.
        assert!(lose(&mut world, &[1]).is_empty(), "{channel}");
        regain(&mut world, 1);
        for cross in 3..6 {
            assert!(show(&mut world, 1, cross).is_empty(), "it may lag");
        }
        let lines = lose(&mut world, &[0]);
        assert_eq!(lines[0], "#0 stale link_down e1", "{channel}");
        world.ack_unsubscribe(1, 3);
        world.ack(1, 4);
        assert!(!show(&mut world, 1, 6).is_empty(), "{channel}");
        assert_eq!(show(&mut world, 1, 7).len(), 1, "{channel}");
    }
}

#[test]
fn a_link_that_goes_back_for_long_shows_a_new_count() {
    let mut world = pair("bbo");
    for link in [0, 1] {
        top(&mut world, link, 500);
    }
    let mut lines = Vec::new();
    for cross in 1..=16 {
        assert!(lines.is_empty(), "{cross}: {lines:?}");
        lines = top(&mut world, 0, cross);
    }
    let told = ["#0 resync venue_restart e1", "#0 live synced e1"];
    assert_eq!(lines[..2], told);
    // The other has not come to that yet.
    assert!(top(&mut world, 1, 501).is_empty());
    assert!(top(&mut world, 1, 16).is_empty());
    assert_eq!(top(&mut world, 1, 17), ["#0 bbo 17x1 - u=17"]);
}

#[test]
fn trades_of_a_link_wait_for_the_one_that_has_all() {
    let mut world = pair("trades");
    assert_eq!(world.trade_on(0, 1).len(), 1);
    // It begins later than the other has come.
    for number in [3, 5, 4] {
        assert!(world.trade_on(1, number).is_empty());
    }
    assert_eq!(world.trade_on(0, 2).len(), 1);
    // From here on none is missing: what waited comes in the order in which the venue sent it.
    let lines = world.trade_on(0, 3);
    let numbers: Vec<&str> = lines
        .iter()
        .filter_map(|line| line.split(' ').next_back())
        .collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(
        numbers.is_sorted_by_key(|number| ["3", "5", "4"]
            .iter()
            .position(|one| number.ends_with(one)))
    );
    for number in [5, 4] {
        assert!(world.trade_on(0, number).is_empty(), "{number} twice");
    }
    assert_eq!(world.trade_on(1, 6).len(), 1);
    // Either may go now.
    assert!(world.down(0).is_empty());
    assert_eq!(world.trade_on(1, 7).len(), 1);
}

#[test]
fn trades_that_wait_too_long_are_shown_behind_what_is_told_as_lost() {
    let mut world = pair("trades");
    world.trade_on(0, 1);
    world.trade_on(1, 3);
    assert!(world.pass(Nanos::from_millis(2_900)).is_empty());
    let lines = world.pass(Nanos::from_millis(200));
    assert_eq!(lines[..2], ["#0 resync gap e1", "#0 live synced e1"]);
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(world.trade_on(0, 2).is_empty(), "it was given up");
    assert_eq!(world.trade_on(0, 4).len(), 1);
}

#[test]
fn trades_do_not_go_on_with_a_link_that_may_miss_some() {
    let mut world = pair("trades");
    world.trade_on(0, 1);
    let lines = world.down(0);
    assert_eq!(lines[0], "#0 stale link_down e1");
    // What is of before the new request is let be.
    assert!(world.trade_on(1, 3).is_empty());
    world.ack_unsubscribe(1, 2);
    assert_eq!(world.ack(1, 3), ["#0 live synced e2"]);
    assert_eq!(world.trade_on(1, 4).len(), 1);
}

#[test]
fn a_second_stream_of_a_topic_knows_what_the_first_knows() {
    let mut world = pair("trades");
    world.trade_on(0, 1);
    world.trade_on(1, 1);
    let lines = world.subscribe(1, "BTC/USDT:USDT", "trades");
    assert!(
        lines.iter().any(|line| line.starts_with("#1 live")),
        "{lines:?}"
    );
    for (link, shown) in [(1, 2), (0, 0)] {
        assert_eq!(world.trade_on(link, 2).len(), shown);
    }
}

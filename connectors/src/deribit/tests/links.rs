//! Links: login, heartbeats, requests and what the venue says to them.

use super::*;

const QUOTE: &str = "quote.BTC-PERPETUAL";
const HEARTBEAT: &str = r#"send 0 urgent {"jsonrpc":"2.0","id":"heartbeat","method":"public/set_heartbeat","params":{"interval":30}}"#;
const TEST: &str =
    r#"send 0 urgent {"jsonrpc":"2.0","id":"test","method":"public/test","params":{}}"#;

fn is_login(line: &str) -> bool {
    line.contains(r#""method":"public/auth""#)
}

#[test]
fn a_link_asks_for_heartbeats_and_subscribes() {
    let mut world = World::inverse();
    assert_eq!(
        world.subscribe(0, "BTC/USD:BTC", "bbo"),
        [
            "#0 instrument BTC/USD:BTC BTC-PERPETUAL 4/2",
            "open 0 wss://www.deribit.com/ws/api/v2"
        ]
    );
    assert_eq!(
        world.up(0, 1),
        [HEARTBEAT, &request(1, "subscribe", &[QUOTE])]
    );
    let beat = |kind: &str| {
        format!(r#"{{"jsonrpc":"2.0","method":"heartbeat","params":{{"type":"{kind}"}}}}"#)
    };
    assert!(
        world
            .message(0, r#"{"jsonrpc":"2.0","id":"heartbeat","result":"ok"}"#)
            .is_empty()
    );
    assert!(world.message(0, &beat("heartbeat")).is_empty());
    assert_eq!(world.message(0, &beat("test_request")), [TEST]);
    assert!(
        world
            .message(
                0,
                r#"{"jsonrpc":"2.0","id":"test","result":{"version":"1"}}"#
            )
            .is_empty()
    );
    assert_eq!(world.venue.counters().malformed, 0);
}

#[test]
fn a_link_whose_venue_does_not_answer_is_cut() {
    let mut world = World::inverse();
    world.subscribe(0, "BTC-PERPETUAL", "bbo");
    world.up(0, 1);
    world.ack(0, 1, &[QUOTE]);
    let lines = world.timeout();
    assert_eq!(lines, ["#0 stale link_down e1", "reconnect 0: no answer"]);
}

#[test]
fn a_link_logs_in_before_it_subscribes_and_after_each_loss() {
    let mut world = World::logging_in();
    world.subscribe(0, "BTC-PERPETUAL", "book");
    for epoch in 1..3 {
        let lines = world.up(0, epoch);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0] == HEARTBEAT && is_login(&lines[1]), "{lines:?}");
        let raw = request(u32::from(epoch), "subscribe", &["book.BTC-PERPETUAL.raw"]);
        assert_eq!(world.grant(0, 900), [raw]);
        world.down(0);
    }
}

#[test]
fn a_login_is_renewed_before_it_ends() {
    let mut world = World::logging_in();
    world.subscribe(0, "BTC-PERPETUAL", "trades");
    world.up(0, 1);
    world.message(0, r#"{"jsonrpc":"2.0","id":"heartbeat","result":"ok"}"#);
    world.grant(0, 900);
    world.ack(0, 1, &["trades.BTC-PERPETUAL.raw"]);
    let lines = world.pass(Nanos::from_secs(719));
    assert!(lines.is_empty(), "{lines:?}");
    let lines = world.pass(Nanos::from_secs(1));
    assert!(
        is_login(&lines[0]) && lines[0].contains(r#""refresh_token":"r""#),
        "{lines:?}"
    );
    // A token that renews nothing any more: the key itself may.
    let lines = world.refuse(0, r#""login""#, 13_009, "unauthorized");
    assert!(
        is_login(&lines[0]) && lines[0].contains("client_signature"),
        "{lines:?}"
    );
    assert!(world.grant(0, 900).is_empty(), "nothing was lost");
}

#[test]
fn a_refused_login_refuses_what_waits_for_it() {
    let mut world = World::logging_in();
    world.subscribe(0, "BTC-PERPETUAL", "trades");
    world.subscribe(1, "BTC-PERPETUAL", "bbo");
    world.up(0, 1);
    let lines = world.refuse(0, r#""login""#, 13_004, "invalid_credentials");
    let notice = "notice Authentication: Deribit: invalid_credentials";
    assert_eq!(
        lines,
        [
            &format!("#0 {notice}"),
            "#0 refused refused e1",
            &format!("#1 {notice}"),
            "#1 refused refused e1",
            "close 0"
        ]
    );
}

#[test]
fn a_login_that_can_not_be_had_just_now_is_tried_again() {
    let mut world = World::logging_in();
    world.subscribe(0, "BTC-PERPETUAL", "trades");
    world.up(0, 1);
    world.message(0, r#"{"jsonrpc":"2.0","id":"heartbeat","result":"ok"}"#);
    assert!(
        world
            .refuse(0, r#""login""#, 13_028, "temporarily_unavailable")
            .is_empty()
    );
    assert!(is_login(&world.timeout()[0]));
}

#[test]
fn what_the_answer_leaves_out_was_refused() {
    let mut world = World::inverse();
    world.subscribe(0, "BTC-PERPETUAL", "bbo");
    world.subscribe(1, "BTC-1JAN99", "bbo");
    world.up(0, 1);
    let lines = world.ack(0, 1, &[QUOTE]);
    assert_eq!(
        lines,
        [
            "#1 notice BadSymbol: Deribit does not have this channel, or not for this login",
            "#1 refused refused e1"
        ]
    );
}

#[test]
fn a_refusal_of_raw_costs_only_what_is_raw() {
    let mut world = World::inverse();
    world.subscribe(0, "BTC-PERPETUAL", "bbo");
    world.subscribe(1, "BTC-PERPETUAL", "book@0");
    world.subscribe(2, "BTC-PERPETUAL", "book");
    world.up(0, 1);
    let lines = world.refuse(
        0,
        "1",
        13_778,
        "raw_subscriptions_not_available_for_unauthorized",
    );
    assert_eq!(
        lines,
        [
            "#1 notice Authentication: Deribit: raw_subscriptions_not_available_for_unauthorized: give credentials, or ask for 100 ms",
            "#1 refused refused e1",
            &request(2, "subscribe", &[QUOTE, BOOK]),
        ]
    );
}

#[test]
fn a_login_that_is_lost_is_made_anew() {
    let mut world = World::logging_in();
    world.subscribe(0, "BTC-PERPETUAL", "book");
    world.up(0, 1);
    world.message(0, r#"{"jsonrpc":"2.0","id":"heartbeat","result":"ok"}"#);
    world.grant(0, 100_000);
    world.ack(0, 1, &["book.BTC-PERPETUAL.raw"]);
    world.pass(Nanos::from_secs(100));
    world.subscribe(1, "ETH-PERPETUAL", "book");
    let lines = world.refuse(
        0,
        "2",
        13_778,
        "raw_subscriptions_not_available_for_unauthorized",
    );
    assert!(is_login(&lines[0]) && lines.len() == 1, "{lines:?}");
    let raw = request(3, "subscribe", &["book.ETH-PERPETUAL.raw"]);
    assert_eq!(world.grant(0, 100_000), [raw]);
    // The rights are missing where a fresh login does not help.
    let lines = world.refuse(0, "3", 13_778, "raw");
    assert_eq!(
        lines.last().map(String::as_str),
        Some("#1 refused refused e1")
    );
}

#[test]
fn a_request_that_names_nothing_is_taken_apart() {
    let mut world = World::inverse();
    world.subscribe(0, "BTC-PERPETUAL", "bbo");
    world.subscribe(1, "ETH-PERPETUAL", "bbo");
    world.up(0, 1);
    let lines = world.refuse(0, "1", -32_602, "Invalid params");
    assert_eq!(
        lines,
        [
            request(2, "subscribe", &[QUOTE]),
            request(3, "subscribe", &["quote.ETH-PERPETUAL"])
        ]
    );
    world.ack(0, 2, &[QUOTE]);
    let lines = world.refuse(0, "3", -32_602, "Invalid params");
    assert_eq!(lines[1], "#1 refused refused e1");
}

#[test]
fn requests_keep_to_the_credits() {
    let mut config = plain(DeribitConfig::inverse());
    config.link_topics_max = 1;
    let mut world = World::new(config);
    for stream in 0..5u16 {
        world.subscribe(u32::from(stream), &format!("A{stream}-PERPETUAL"), "bbo");
    }
    let mut sent = 0;
    let subscribes = |lines: &[String]| {
        lines
            .iter()
            .filter(|line| line.contains("channels"))
            .count()
    };
    for link in 0..5 {
        sent += subscribes(&world.up(link, 1));
    }
    assert_eq!(sent, 3, "a second's worth");
    let lines = world.pass(Nanos::from_secs(1));
    assert_eq!(subscribes(&lines), 2);
}

#[test]
fn a_venue_without_credits_is_left_alone_until_it_has_some() {
    let mut world = World::inverse();
    world.subscribe(0, "BTC-PERPETUAL", "bbo");
    world.up(0, 1);
    let lines = world.refuse(0, "1", 10_028, "too_many_requests");
    assert!(
        lines.len() == 1 && lines[0].starts_with("Banned"),
        "{lines:?}"
    );
    world.down(0);
    assert_eq!(world.up(0, 2), [HEARTBEAT], "not yet");
    world.message(0, r#"{"jsonrpc":"2.0","id":"heartbeat","result":"ok"}"#);
    let lines = world.pass(Nanos::from_secs(3));
    assert_eq!(lines, ["BanLifted", &request(2, "subscribe", &[QUOTE])]);
    assert_eq!(world.venue.counters().bans, 1);
}

#[test]
fn pairs_of_links_are_refused() {
    let config = DeribitConfig::option();
    let upkeep = Upkeep {
        redundancy: Redundancy::Pair,
        ..config.upkeep
    };
    let made = Deribit::new(DeribitConfig { upkeep, ..config }, 1);
    let kind = made.map(|_| ()).map_err(|error| error.kind);
    assert_eq!(kind, Err(ErrorKind::NotSupported));
}

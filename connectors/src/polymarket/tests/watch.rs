//! What is asked by REST: instruments, and whether a silent stream is mute.

use super::*;
use crate::liveness::Expectation;

fn respond(world: &mut World, id: u32, status: u16, body: &str) -> Vec<String> {
    let mut body = body.as_bytes().to_vec();
    world.input(|polymarket, now, out| {
        let response = Response {
            status,
            headers: &[],
            body: &mut body,
        };
        polymarket.handle_response(now, RequestId(id), Ok(response), out);
    })
}

fn rest_book(token: &str, ms: i64) -> String {
    format!(
        r#"{{"market":"0x1","asset_id":"{token}","timestamp":"{ms}","hash":"ab","bids":[{{"price":"0.47","size":"10"}},{{"price":"0.48","size":"30"}}],"asks":[{{"price":"0.54","size":"10"}},{{"price":"0.52","size":"25"}}],"min_order_size":"5","tick_size":"0.01","neg_risk":false,"last_trade_price":"0.5"}}"#
    )
}

#[test]
fn a_token_is_asked_for_before_it_is_subscribed_to() {
    let mut config = plain(PolymarketConfig::new());
    config.instruments = FetchInstruments::Yes;
    let mut world = World::new(config);
    let lines = world.subscribe(0, YES, "book");
    assert_eq!(lines, [format!("http 0 helper /book?token_id={YES} ")]);
    let lines = respond(&mut world, 0, 200, &rest_book(YES, 1));
    assert_eq!(lines.len(), 2, "{lines:?}");
    let tick = world.venue.streams.table.get(0);
    let tick = tick.and_then(|entry| entry.stream.instrument.tick_size);
    assert_eq!(
        tick.map(|tick| tick.plain().to_string()),
        Some("0.01".to_owned())
    );
    // One that the venue does not know is refused, with what it may be.
    world.subscribe(1, "12", "book");
    let text = r#"{"error":"No orderbook exists for the requested token id"}"#;
    let lines = respond(&mut world, 1, 404, text);
    assert!(lines[0].contains("BadSymbol"), "{lines:?}");
    assert_eq!(lines[1], "#1 refused refused e0");
}

#[test]
fn many_tokens_are_asked_for_at_once() {
    let mut config = plain(PolymarketConfig::new());
    config.instruments = FetchInstruments::Yes;
    let mut world = World::new(config);
    let mut out = Outbox::new();
    for stream in 0..6 {
        let command = Command::Subscribe {
            stream: id(stream),
            symbol: symbol(&format!("{}", 100 + stream)).expect("short"),
            channel: Channel::BOOK,
            depth: false,
        };
        let now = world.now;
        world.venue.handle_command(now, command, &mut out);
    }
    let lines = world.input(|_, _, _| {});
    assert_eq!(lines.len(), 1);
    assert!(
        lines[0].starts_with(r#"http 0 helper /books [{"token_id":"100"},"#),
        "{lines:?}"
    );
    // What the list has left out is asked for alone.
    let known: Vec<String> = (100..105)
        .map(|token| rest_book(&token.to_string(), 1))
        .collect();
    let lines = respond(&mut world, 0, 200, &format!("[{}]", known.join(",")));
    assert!(
        lines.contains(&"http 1 helper /book?token_id=105 ".to_owned()),
        "{lines:?}"
    );
}

fn watched(channel: &str) -> World {
    let mut config = plain(PolymarketConfig::new());
    let probed = Expectation::probed(Nanos::from_secs(60));
    config.upkeep.expectations.book = probed;
    config.upkeep.expectations.trades = probed;
    let mut world = World::new(config).live(channel);
    for _ in 0..6 {
        let lines = world.pass(Nanos::from_secs(10));
        world.message(0, "PONG");
        if lines.iter().any(|line| line.contains("/book?")) {
            assert_eq!(lines[0], "#0 live quiet e1");
            return world;
        }
    }
    panic!("no probe");
}

#[test]
fn a_quiet_book_is_left_alone() {
    for ms in [900, 1_000, 99_000] {
        let mut world = watched("book");
        respond(&mut world, 0, 200, &rest_book(YES, ms));
        world.pass(Nanos::from_secs(9));
        assert_eq!(world.venue.counters().mute, 0, "{ms}");
        assert_eq!(
            world.change(0, 2_000, &[("BUY", "0.3", "1")], None)[0],
            "#0 live heard e1"
        );
    }
}

#[test]
fn a_mute_book_is_stale_and_asked_for_anew() {
    let mut world = watched("book");
    let other = rest_book(YES, 9_000).replace("0.48", "0.49");
    respond(&mut world, 0, 200, &other);
    let lines = world.timeout();
    assert_eq!(lines[0], "#0 stale mute e1");
    assert!(
        lines[1].contains("unsubscribe") && lines[2].contains("subscribe"),
        "{lines:?}"
    );
    assert_eq!(world.book(0, YES, 9_001)[0], "#0 live synced e1");
    assert_eq!(world.venue.counters().mute, 1);
    // An older answer says nothing: `/book` is known to lag.
    let mut world = watched("book");
    let older = rest_book(YES, 500).replace("0.48", "0.49");
    respond(&mut world, 0, 200, &older);
    world.pass(Nanos::from_secs(9));
    assert_eq!(world.venue.counters().mute, 0);
}

#[test]
fn a_book_of_an_earlier_silence_makes_no_trades_mute() {
    let mut world = watched("trades");
    respond(&mut world, 0, 200, &rest_book(YES, 2_000));
    assert_eq!(
        world.change(0, 3_000, &[("BUY", "0.49", "1")], None),
        ["#0 live heard e1"]
    );
    let other = rest_book(YES, 3_000).replace("0.48", "0.49");
    for _ in 0..8 {
        let lines = world.pass(Nanos::from_secs(10));
        world.message(0, "PONG");
        if lines.iter().any(|line| line.contains("http 1")) {
            respond(&mut world, 1, 200, &other);
        }
    }
    assert_eq!(world.venue.counters().mute, 0);
}

#[test]
fn changes_without_a_time_keep_the_last_one() {
    let mut world = World::plain().live("book");
    let text = format!(
        r#"{{"price_changes":[{{"asset_id":"{YES}","price":"0.49","size":"5","side":"BUY"}}],"event_type":"price_change"}}"#
    );
    assert_eq!(world.message(0, &text), ["#0 bbo 0.49x5 0.52x25 u=1000"]);
}

#[test]
fn a_mute_stream_that_stays_so_costs_its_link() {
    let mut world = watched("book");
    let other = rest_book(YES, 9_000).replace("0.48", "0.49");
    respond(&mut world, 0, 200, &other);
    let mut lines = Vec::new();
    for _ in 0..12 {
        lines.extend(world.pass(Nanos::from_secs(10)));
        world.message(0, "PONG");
        let probe = lines
            .iter()
            .rev()
            .find(|line| line.contains("/book?"))
            .cloned();
        let number = probe.and_then(|line| line.split(' ').nth(1)?.parse().ok());
        respond(&mut world, number.unwrap_or(99), 200, &other);
    }
    let text = lines.join("\n");
    assert!(text.contains("reconnect 0"), "{text}");
}

#[test]
fn a_ban_is_told_and_its_end() {
    let mut config = plain(PolymarketConfig::new());
    config.instruments = FetchInstruments::Yes;
    let mut world = World::new(config);
    world.subscribe(0, YES, "book");
    let lines = respond(&mut world, 0, 429, "");
    assert!(
        lines.iter().any(|line| line.contains("Banned")),
        "{lines:?}"
    );
    let lines = world.timeout();
    assert!(
        lines.iter().any(|line| line.contains("BanLifted")),
        "{lines:?}"
    );
}

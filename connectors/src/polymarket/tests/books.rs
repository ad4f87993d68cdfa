//! Books: what replaces, changes and breaks them.

use super::*;

#[test]
fn a_stream_comes_up_with_the_book() {
    let mut world = World::plain();
    let opened = "open 0 wss://ws-subscriptions-clob.polymarket.com/ws/market";
    let lines = world.subscribe_depth(0, YES, "book", true);
    let instrument = format!("#0 instrument {YES} {YES} 4/6");
    assert_eq!(lines, [instrument.as_str(), opened]);
    let asked = format!(
        r#"send 0 {{"assets_ids":["{YES}"],"type":"market","custom_feature_enabled":true}}"#
    );
    assert_eq!(world.up(0, 1), [asked]);
    assert_eq!(
        world.book(0, YES, 1_000),
        [
            "#0 live synced e1",
            "#0 [bid 0.47x10",
            "#0 bid 0.48x30",
            "#0 ask 0.54x10",
            "#0 ask 0.52x25]",
            "#0 bbo 0.48x30 0.52x25 u=1000",
        ]
    );
}

#[test]
fn a_book_is_sorted_by_us_and_always_replaces() {
    let mut world = World::plain().live("book");
    // Best first, sides named as an older page had them, numbers bare, keys in another order.
    let text = format!(
        r#"[{{"sells":[{{"size":7,"price":"0.50"}},{{"size":"1","price":".51"}}],"buys":[{{"price":"0.4","size":"2"}},{{"price":"0.3","size":"3"}}],"timestamp":1001,"asset_id":"{YES}","event_type":"book"}}]"#
    );
    assert_eq!(world.message(0, &text), ["#0 bbo 0.4x2 0.5x7 u=1001"]);
    let view = world.venue.book(id(0)).expect("a book");
    let prices: Vec<i64> = view
        .book
        .levels(Side::Bid)
        .map(|level| level.price)
        .collect();
    assert_eq!(prices, [4_000, 3_000]);
}

#[test]
fn price_changes_are_read_in_all_three_forms() {
    let forms = [
        format!(
            r#"{{"market":"0x1","price_changes":[{{"asset_id":"{NO}","price":"0.51","size":"5","side":"SELL"}},{{"asset_id":"{YES}","price":"0.49","size":"5","side":"BUY","hash":"h","best_bid":"0.49","best_ask":"0.52"}}],"timestamp":"1001","event_type":"price_change"}}"#
        ),
        format!(
            r#"{{"asset_id":"{YES}","changes":[{{"price":"0.49","side":"BUY","size":"5"}}],"event_type":"price_change","market":"0x1","timestamp":"1001","hash":"h"}}"#
        ),
        format!(
            r#"{{"event_type":"price_change","asset_id":"{YES}","price":"0.49","side":"bid","size":5,"time":1001}}"#
        ),
    ];
    for text in forms {
        let mut world = World::plain().live("book");
        let lines = world.message(0, &text);
        assert_eq!(lines, ["#0 bbo 0.49x5 0.52x25 u=1001"], "{text}");
    }
}

#[test]
fn the_top_is_published_once_a_frame() {
    let mut world = World::plain().live("book");
    // Crossed after its first entry, and whole after its last; over two objects of an array.
    let first = change(YES, 1_001, &[("BUY", "0.53", "5")], Some(("0.53", "0.54")));
    let second = change(YES, 1_002, &[("SELL", "0.52", "0")], Some(("0.53", "0.54")));
    let lines = world.message(0, &format!("[{first},{second}]"));
    assert_eq!(lines, ["#0 bbo 0.53x5 0.54x10 u=1002"]);
    // A book between them ends a batch.
    let cut = book(YES, 1_003);
    let third = change(YES, 1_004, &[("BUY", "0.49", "1")], None);
    let lines = world.message(0, &format!("[{first},{cut},{third}]"));
    assert_eq!(
        lines,
        [
            "#0 bbo 0.48x30 0.52x25 u=1003",
            "#0 bbo 0.49x1 0.52x25 u=1004"
        ]
    );
}

#[test]
fn a_new_tick_size_is_a_new_book() {
    let mut world = World::plain().live("book");
    let tick = format!(
        r#"{{"event_type":"tick_size_change","asset_id":"{YES}","market":"0x1","old_tick_size":"0.01","new_tick_size":"0.001","timestamp":"1001"}}"#
    );
    let lines = world.message(0, &tick);
    let instrument = format!("#0 instrument {YES} {YES} 4/6");
    assert_eq!(lines, [instrument.as_str(), "#0 resync rescale e1"]);
    let late = world.change(0, 1_002, &[("BUY", "0.49", "5")], None);
    assert!(late.is_empty(), "not for the old book: {late:?}");
    let lines = world.book(0, YES, 1_003);
    assert_eq!(
        lines,
        ["#0 live synced e1", "#0 bbo 0.48x30 0.52x25 u=1003"]
    );
    // Where the book does not come, it is asked for.
    world.message(0, &tick);
    world.pass(SNAPSHOT_TIMEOUT);
    let lines = world.timeout().join("\n");
    assert!(lines.contains("\"operation\":\"unsubscribe\""), "{lines}");
    assert!(lines.contains("\"operation\":\"subscribe\""), "{lines}");
}

#[test]
fn a_lasting_difference_from_the_venues_best_prices_fetches_the_book_anew() {
    let mut world = World::plain().live("book");
    // A level above 0.48 was missed.
    for ms in 0..6 {
        world.pass(Nanos::from_secs(1));
        let rows = [("BUY", "0.3", if ms % 2 == 0 { "1" } else { "2" })];
        world.change(0, 2_000 + ms * 1_000, &rows, Some(("0.49", "0.52")));
    }
    assert_eq!(world.venue.counters().disagreements, 1);
    let state = world.venue.book(id(0)).map(|view| view.state);
    assert_eq!(state, Some(StreamState::Resync));
    let asked = world.timeout().join("\n");
    assert!(asked.contains("subscribe"), "{asked}");
    let lines = world.book(0, YES, 9_000);
    assert_eq!(lines[0], "#0 live synced e1");
}

#[test]
fn one_moment_of_agreement_and_empty_sides_are_no_difference() {
    let mut world = World::plain().live("book");
    for ms in 0..20 {
        world.pass(Nanos::from_secs(1));
        world.message(0, "PONG");
        let best = if ms % 4 == 3 { "0.48" } else { "0.49" };
        world.change(0, 2_000 + ms, &[("BUY", "0.3", "1")], Some((best, "0.52")));
    }
    let bids = [
        ("BUY", "0.3", "0"),
        ("BUY", "0.47", "0"),
        ("BUY", "0.48", "0"),
    ];
    world.change(0, 3_000, &bids, Some(("0", "0.52")));
    let asks = [("SELL", "0.52", "0"), ("SELL", "0.54", "0")];
    let lines = world.change(0, 3_001, &asks, Some(("0", "1")));
    assert_eq!(lines, ["#0 bbo - - u=3001"]);
    world.pass(Nanos::from_secs(60));
    assert_eq!(world.venue.counters().disagreements, 0);
}

#[test]
fn numbers_beyond_the_scale_change_the_scale_and_are_never_rounded() {
    let mut world = World::plain().live("book");
    let lines = world.change(0, 1_001, &[("BUY", "0.48001", "5")], None);
    let wider = format!("#0 instrument {YES} {YES} 5/6");
    assert_eq!(lines, ["#0 resync rescale e1", &wider]);
    let lines = world.book(0, YES, 1_002);
    assert_eq!(
        lines,
        ["#0 live synced e1", "#0 bbo 0.48x30 0.52x25 u=1002"]
    );
    let lines = world.change(0, 1_003, &[("BUY", "0.48001", "5")], None);
    assert_eq!(lines, ["#0 bbo 0.48001x5 0.52x25 u=1003"]);
}

#[test]
fn a_frame_that_nobody_can_read_breaks_every_book_of_its_link() {
    let mut world = World::plain().live("book");
    world.subscribe(1, NO, "book");
    world.book(0, NO, 1_000);
    let lines = world.message(0, r#"{"event_type":"price_change","price_changes":[{"#);
    assert_eq!(lines, ["#0 resync malformed e1", "#1 resync malformed e1"]);
    // What is no JSON at all is no frame.
    for text in ["PONG", "NO NEW ASSETS", "", "INVALID OPERATION"] {
        world.book(0, YES, 1_001);
        assert!(world.message(0, text).is_empty(), "{text}");
    }
    assert!(world.message(0, "[]").is_empty());
}

#[test]
fn trades_come_with_their_token_and_are_live_with_its_book() {
    let mut world = World::plain();
    world.subscribe(0, YES, "trades");
    world.up(0, 1);
    assert_eq!(world.book(0, YES, 1_000), ["#0 live synced e1"]);
    let trade = format!(
        r#"{{"asset_id":"{YES}","event_type":"last_trade_price","fee_rate_bps":"0","market":"0x1","price":"0.456","side":"BUY","size":"219.217767","timestamp":"1001","transaction_hash":"0xab"}}"#
    );
    let lines = world.message(0, &trade);
    assert_eq!(lines.len(), 1);
    assert!(
        lines[0].starts_with("#0 trade buy 0.456x219.217767 id="),
        "{lines:?}"
    );
    // On one link the same trade twice is two trades.
    assert_eq!(world.message(0, &trade), lines);
}

#[test]
fn a_settled_market_closes_its_tokens() {
    let mut world = World::plain().live("book");
    let text = format!(
        r#"{{"event_type":"market_resolved","id":"1","market":"0x1","assets_ids":["{YES}","{NO}"],"winning_asset_id":"{YES}","timestamp":"1"}}"#
    );
    let lines = world.message(0, &text);
    assert_eq!(lines, [format!("#0 instrument {YES} {YES} 4/6")]);
    let status = world.venue.streams.table.get(0);
    let status = status.map(|entry| entry.stream.instrument.status);
    assert_eq!(status, Some(crate::instrument::TradingStatus::Closed));
}

#[test]
fn escapes_are_read_by_the_general_parser() {
    let mut world = World::plain().live("book");
    let text = change(YES, 1_001, &[("BUY", "0.49", "5")], None);
    let escaped = text.replace("\"BUY\"", "\"\\u0042UY\"");
    assert_ne!(text, escaped);
    assert_eq!(world.message(0, &escaped), ["#0 bbo 0.49x5 0.52x25 u=1001"]);
}

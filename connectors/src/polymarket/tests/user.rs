//! The user channel: keys, states, orders and trades.

use super::*;
use crate::channel::ALL_SYMBOLS;
use crate::credentials::Credentials;

const KEY: &str = "9180014b-33c8-9240-a14b-bdca11c0a465";

fn world() -> World {
    let keys = Credentials::hmac(KEY, "se\"cret").with_passphrase("phrase");
    World::new(PolymarketConfig {
        credentials: Some(keys),
        ..plain(PolymarketConfig::new())
    })
}

fn live() -> World {
    let mut world = world();
    world.subscribe(0, ALL_SYMBOLS, "user");
    world.up(0, 1);
    world.message(0, "PONG");
    world
}

fn order(kind: &str, status: &str, matched: &str) -> String {
    format!(
        r#"{{"event_type":"order","type":"{kind}","id":"0xff354cd7","asset_id":"{YES}","market":"0xbd","owner":"{KEY}","order_owner":"{KEY}","original_size":"10","size_matched":"{matched}","price":".57","side":"SELL","outcome":"YES","status":"{status}","order_type":"GTC","associate_trades":null,"timestamp":"1672290687"}}"#
    )
}

fn trade(status: &str, owner: &str, maker: &str, maker_token: &str) -> String {
    format!(
        r#"{{"event_type":"trade","type":"TRADE","id":"28c4d2eb","status":"{status}","asset_id":"{YES}","market":"0xbd","side":"BUY","size":"10","price":"0.57","outcome":"YES","owner":"{owner}","trade_owner":"{owner}","taker_order_id":"0x06bc63e3","maker_orders":[{{"asset_id":"{maker_token}","matched_amount":"4","order_id":"0xff354cd7","outcome":"YES","owner":"{maker}","price":"0.43"}}],"matchtime":"1672290701","last_update":"1672290701","timestamp":"1672290701000"}}"#
    )
}

#[test]
fn the_keys_are_sent_and_the_first_pong_proves_them() {
    let mut world = world();
    let opened = "open 0 wss://ws-subscriptions-clob.polymarket.com/ws/user";
    assert_eq!(world.subscribe(0, ALL_SYMBOLS, "user"), [opened]);
    let login = format!(
        r#"send 0 urgent {{"auth":{{"apiKey":"{KEY}","secret":"se\"cret","passphrase":"phrase"}},"markets":[],"type":"user"}}"#
    );
    assert_eq!(world.up(0, 1), [login.as_str(), "send 0 urgent PING"]);
    assert_eq!(world.message(0, "PONG"), ["#0 live synced e1"]);
    assert_eq!(world.pass(Nanos::from_secs(10)), ["send 0 urgent PING"]);
    // Without an answer nothing is to be believed; and the market channel has a link of its own.
    let lines = world.pass(urls::PONG_TIMEOUT);
    assert_eq!(
        lines[..2],
        ["#0 stale link_down e1", "reconnect 0: no pong"]
    );
    assert!(
        world
            .subscribe(1, YES, "book")
            .iter()
            .any(|line| line.starts_with("open 1"))
    );
    assert_eq!(
        world.unsubscribe(0),
        ["#0 closed unsubscribed e1", "close 0"]
    );
}

#[test]
fn a_channel_dropped_right_after_the_keys_says_what_may_be_wrong() {
    let mut world = world();
    world.subscribe(0, YES, "user");
    world.up(0, 1);
    let lines = world.down(0);
    assert!(
        lines[0].contains("Authentication") && lines[0].contains("passphrase"),
        "{lines:?}"
    );
    assert_eq!(lines[1], "#0 stale link_down e1");
    let shown = format!("{:?}", world.venue);
    assert!(
        !shown.contains("phrase\"") && !shown.contains(KEY),
        "keys are shown to nobody"
    );
}

#[test]
fn no_keys_no_user_channel() {
    let mut world = World::plain();
    let lines = world.subscribe(0, ALL_SYMBOLS, "user");
    assert!(lines[0].contains("credentials"), "{lines:?}");
    assert_eq!(lines[1], "#0 refused refused e0");
}

#[test]
fn an_order_lives_and_ends() {
    let mut world = live();
    let table = [
        ("PLACEMENT", "LIVE", "0", "New", "0"),
        ("UPDATE", "LIVE", "2.5", "PartiallyFilled", "2.5"),
        ("UPDATE", "MATCHED", "10", "Filled", "10"),
        ("CANCELLATION", "CANCELED", "2.5", "Canceled", "2.5"),
        ("CANCELLATION", "INVALID", "", "Rejected", "0"),
        (
            "CANCELLATION",
            "CANCELED_MARKET_RESOLVED",
            "0",
            "Expired",
            "0",
        ),
        // Frames of older editions have no status.
        ("CANCELLATION", "", "0", "Canceled", "0"),
    ];
    for (kind, status, matched, want, filled) in table {
        let lines = world.message(0, &order(kind, status, matched));
        let [line] = &lines[..] else {
            panic!("{lines:?}")
        };
        let update = match world.last_wide() {
            Some(WideBody::Order(update)) => update,
            other => panic!("{line}: {other:?}"),
        };
        assert_eq!(format!("{:?}", update.status), want, "{line}");
        assert_eq!(update.filled.plain().to_string(), filled, "{line}");
        assert_eq!(update.venue_order_id.as_str(), "0xff354cd7");
        assert_eq!(
            (update.side, update.exch_ns),
            (Side::Ask, Nanos::from_secs(1_672_290_687))
        );
        assert_eq!(
            update.price.map(|price| price.plain().to_string()),
            Some("0.57".to_owned())
        );
    }
}

#[test]
fn fills_are_ours_as_taker_or_as_maker_also_of_the_complementary_token() {
    let fills = |text: &str| {
        let mut world = live();
        world.message(0, text);
        world
            .wide
            .iter()
            .filter_map(|body| match body {
                WideBody::Fill(fill) => Some(format!(
                    "{} {:?} {}x{} {:?} {:?} {}",
                    if &*fill.instrument.symbol == YES {
                        "yes"
                    } else {
                        "no"
                    },
                    fill.side,
                    fill.price.plain(),
                    fill.qty.plain(),
                    fill.liquidity,
                    fill.settlement,
                    fill.venue_order_id,
                )),
                _ => None,
            })
            .collect::<Vec<_>>()
    };
    let taker = "yes Bid 0.57x10 Taker Matched 0x06bc63e3";
    assert_eq!(fills(&trade("MATCHED", KEY, "else", YES)), [taker]);
    let maker = "yes Ask 0.43x4 Maker Mined 0xff354cd7";
    assert_eq!(fills(&trade("MINED", "else", KEY, YES)), [maker]);
    let complement = "no Bid 0.43x4 Maker Failed 0xff354cd7";
    assert_eq!(fills(&trade("FAILED", "else", KEY, NO)), [complement]);
    assert_eq!(
        fills(&format!("[{}]", trade("CONFIRMED", KEY, "x", YES))).len(),
        1
    );
}

#[test]
fn a_stream_of_one_token_hears_of_that_alone() {
    let mut world = world();
    world.subscribe(0, NO, "user");
    world.up(0, 1);
    assert_eq!(
        world.message(0, &order("PLACEMENT", "LIVE", "0")),
        ["#0 live synced e1"]
    );
    assert_eq!(world.venue.counters().malformed, 0);
    world.message(0, r#"{"event_type":"order","type":"PLACEMENT"}"#);
    assert_eq!(world.venue.counters().malformed, 1);
}

use serde_json::Value;
use tickwire_connectors::event::{Reason, Stamp};
use tickwire_connectors::instrument::symbol;
use tickwire_connectors::{Aggressor, Market, Source, StreamId, Venue};
use tickwire_orderbook::Scale;

use super::*;

fn info(channel: Channel) -> StreamInfo {
    let symbol = symbol("BTC\"USDT").unwrap_or_default();
    StreamInfo::new(Venue::Binance, Market::Spot, symbol, channel)
}

fn stamp() -> Stamp {
    Stamp {
        stream: StreamId::default(),
        source: Source::Book,
        epoch: 1,
        state: StreamState::Live,
        price_scale: Scale::of(2),
        qty_scale: Scale::of(8),
        seq: u64::MAX,
        exch_ns: Nanos::ZERO,
        recv_ns: Nanos(7),
    }
}

fn line(channel: Channel, item: Item<'_>) -> String {
    let mut out = Vec::new();
    let written = Json::default().item(&mut out, &info(channel), item);
    assert!(written.is_ok());
    String::from_utf8(out).unwrap_or_default()
}

#[test]
fn a_top_of_book_keeps_every_digit_and_the_order_of_its_keys() {
    let bid = Level {
        price: 6_180_020,
        qty: 1,
    };
    let event = Event::bbo(&stamp(), Some(bid), None);
    assert_eq!(
        line(Channel::BOOK, Item::Hot(&event)),
        concat!(
            r#"{"type":"bbo","venue":"binance","market":"spot","channel":"book","#,
            r#""symbol":"BTC\"USDT","venue_symbol":"BTC\"USDT","#,
            r#""bid_price":"61800.2","bid_qty":"0.00000001","ask_price":null,"ask_qty":null,"#,
            r#""state":"live","epoch":1,"seq":18446744073709551615,"exch_ns":null,"recv_ns":7}"#,
            "\n"
        )
    );
}

#[test]
fn every_kind_of_event_is_one_json_object() {
    let level = Level { price: -5, qty: 0 };
    let events = [
        Event::trade(&stamp(), 1, 2, 3, Aggressor::Sell),
        Event::level(&stamp(), Side::Ask, level, true, true),
        Event::state_change(&stamp(), Reason::Gap, Some((5, 9))),
        Event::lost(&stamp(), Default::default()),
    ];
    let mut types = Vec::new();
    for event in &events {
        let text = line(Channel::BOOK, Item::Hot(event));
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        let value: Value = text.parse().unwrap_or_default();
        types.push(value["type"].as_str().unwrap_or_default().to_owned());
        if value["type"] == "book_state" {
            assert_eq!(
                (value["expected"].as_u64(), value["got"].as_u64()),
                (Some(5), Some(9))
            );
            assert_eq!(value["reason"], "gap");
        }
    }
    assert_eq!(types, ["trade", "level", "book_state", "lost"]);
    let state = line(Channel::Trades, Item::Hot(&events[2]));
    assert!(state.starts_with(r#"{"type":"stream_state""#), "{state}");
}

#[test]
fn trade_ids_are_numbers_or_uuids() {
    assert_eq!(trade_id(5_266_583_935), "5266583935");
    let uuid = 0x20f4_3950_d8dd_5b31_9112_a178_eb60_23af;
    assert_eq!(trade_id(uuid), "20f43950-d8dd-5b31-9112-a178eb6023af");
}

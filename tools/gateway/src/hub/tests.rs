use serde_json::Value;

use super::*;
use crate::protocol::{BookState, TradeEvent};

fn hub(events_max: usize, merge_after: u64) -> Hub {
    Hub::new(Keep {
        events_max,
        bytes_max: 1_000_000,
        merge_after,
    })
}

fn open(hub: &mut Hub, name: &str) -> ChannelId {
    let epoch = "e1".to_owned();
    hub.open(
        &name.parse().expect(name),
        Position { epoch, offset: 0 },
        [],
    )
}

fn trade(id: u64) -> EventData {
    EventData::Trade(TradeEvent {
        id: id.to_string(),
        price: "1".to_owned(),
        qty: "1".to_owned(),
        aggressor: "buy".to_owned(),
        ts_venue: 0,
        ts_recv: 0,
    })
}

fn delta(at: u64, bids: &[(&str, &str)]) -> EventData {
    EventData::BookDelta(BookDelta {
        from: at,
        to: at,
        seq_venue: at * 10,
        ts_venue: 0,
        ts_recv: 0,
        bids: bids
            .iter()
            .map(|(price, qty)| ((*price).to_owned(), (*qty).to_owned()))
            .collect(),
        asks: Vec::new(),
    })
}

fn state() -> EventData {
    EventData::BookState(BookState {
        state: "stale".to_owned(),
        reason: "link_down".to_owned(),
    })
}

fn read(hub: &mut Hub, id: ChannelId, sent: u64) -> (Value, u64) {
    match hub.next(id, sent, || Some(state())) {
        Next::Frame { frame, offset } => (serde_json::from_str(&frame).expect("JSON"), offset),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_log_gives_every_event_or_says_that_it_can_not() {
    let mut hub = hub(4, 1);
    let id = open(&mut hub, "trades:binance:spot:BTC");
    for number in 1..=6 {
        hub.publish(id, &trade(number));
    }
    assert_eq!(hub.next(id, 6, || None), Next::Done);
    assert_eq!(hub.next(id, 1, || None), Next::Behind, "3 to 6 are kept");
    let mut sent = 2;
    for number in 3..=6 {
        let (frame, offset) = read(&mut hub, id, sent);
        assert_eq!(frame["data"]["id"], number.to_string());
        assert_eq!((frame["offset"].as_u64(), offset), (Some(number), number));
        sent = offset;
    }
    let at = |offset| Position {
        epoch: "e1".to_owned(),
        offset,
    };
    let recovered: Vec<u64> = (0..9)
        .filter(|offset| hub.recovers(id, &at(*offset)))
        .collect();
    assert_eq!(recovered, [2, 3, 4, 5, 6]);
    let other = Position {
        epoch: "e0".to_owned(),
        offset: 4,
    };
    assert!(!hub.recovers(id, &other));
}

#[test]
fn a_position_before_the_first_event_recovers() {
    let mut hub = hub(4, 1);
    let id = open(&mut hub, "system");
    let at = hub.position(id).expect("open");
    assert_eq!(at.offset, 0);
    assert!(hub.recovers(id, &at));
    hub.publish(id, &trade(1));
    assert!(hub.recovers(id, &at));
}

#[test]
fn a_value_is_the_newest() {
    let mut hub = hub(4, 1);
    let id = open(&mut hub, "ticker:binance:spot:BTC");
    for number in 1..=9 {
        hub.publish(id, &trade(number));
    }
    let (frame, offset) = read(&mut hub, id, 0);
    assert_eq!((frame["data"]["id"].as_str(), offset), (Some("9"), 9));
}

#[test]
fn a_book_reader_that_is_behind_gets_one_delta_with_the_newest_of_each_level() {
    let mut hub = hub(100, 2);
    let id = open(&mut hub, "book:binance:spot:BTC");
    hub.publish(id, &delta(1, &[("10", "1"), ("9", "1")]));
    hub.publish(id, &delta(2, &[("10", "2")]));
    hub.publish(id, &delta(3, &[("8", "5"), ("9", "0")]));
    let (frame, offset) = read(&mut hub, id, 1);
    assert_eq!(
        (frame["data"]["from"].as_u64(), offset),
        (Some(2), 2),
        "near: as it came"
    );
    let (frame, offset) = read(&mut hub, id, 0);
    assert_eq!(offset, 3);
    let data = &frame["data"];
    assert_eq!(
        (data["from"].as_u64(), data["to"].as_u64()),
        (Some(1), Some(3))
    );
    assert_eq!(
        data["bids"],
        serde_json::json!([["10", "2"], ["8", "5"], ["9", "0"]])
    );
    assert_eq!(hub.merged, 2);
}

#[test]
fn word_that_a_book_is_not_to_be_believed_is_never_merged_away() {
    let mut hub = hub(100, 1);
    let id = open(&mut hub, "book:binance:spot:BTC");
    hub.publish(id, &delta(1, &[("10", "1")]));
    hub.publish(id, &state());
    hub.publish(id, &delta(3, &[("10", "3")]));
    hub.publish(id, &delta(4, &[("10", "4")]));
    let (frame, offset) = read(&mut hub, id, 0);
    assert_eq!((frame["event"].as_str(), offset), (Some("book.state"), 2));
    let (frame, offset) = read(&mut hub, id, 2);
    assert_eq!((frame["data"]["from"].as_u64(), offset), (Some(3), 4));
}

#[test]
fn a_book_reader_whose_events_are_gone_gets_the_state() {
    let mut hub = hub(2, 1);
    let id = open(&mut hub, "book:binance:spot:BTC");
    for number in 1..=5 {
        hub.publish(id, &delta(number, &[]));
    }
    let (frame, offset) = read(&mut hub, id, 0);
    assert_eq!((frame["event"].as_str(), offset), (Some("book.state"), 5));
}

#[test]
fn logs_are_bounded_by_bytes_and_lag_is_counted_for_logs_alone() {
    let mut hub = Hub::new(Keep {
        events_max: 1_000,
        bytes_max: 1_000,
        merge_after: 1,
    });
    let (log, book) = (
        open(&mut hub, "system"),
        open(&mut hub, "book:binance:spot:BTC"),
    );
    for number in 1..=100 {
        hub.publish(log, &trade(number));
        hub.publish(book, &delta(number, &[]));
    }
    assert!(hub.bytes() <= 2_000);
    assert!(hub.lag_bytes(log, 0) > 800);
    assert_eq!(hub.lag_bytes(log, 100), 0);
    assert_eq!(hub.lag_bytes(book, 0), 0);
}

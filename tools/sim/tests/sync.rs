//! A naive client, written from the venues' rules for a local book, follows every stream and must
//! equal the truth at every sequence number.

mod common;

use std::collections::BTreeMap;

use common::book::{Book, number};
use common::{MS, Pipe, SECOND};
use serde_json::Value;
use tickwire_sim::{Channel, Command, ConnId, SimVenue, VenueSpec};

/// Follows Binance's rule for one symbol; returns how many events were applied.
fn binance(venue: SimVenue, spec: VenueSpec, ws: &str, rest: &str, symbol: &str) -> usize {
    let mut pipe = Pipe::new(&[spec.history(1 << 17).limits(|l| l.ping_interval_ns = None)]);
    let lower = symbol.to_lowercase();
    let path = format!("{ws}/{lower}@depth@100ms/{lower}@bookTicker");
    let conn = pipe.open(venue, &path).unwrap();
    let truth = pipe.world.truth();
    let spot = venue.is_spot();
    // Buffer until the first event, then ask for the snapshot in the middle of a push period.
    let mut buffer: Vec<Value> = Vec::new();
    while !buffer.iter().any(|t| t["e"] == "depthUpdate") {
        pipe.run(SECOND);
        buffer.extend(pipe.texts(conn));
    }
    pipe.run(SECOND + 33 * MS);
    let mut snapshot = pipe.get_json(venue, &format!("{rest}/depth?symbol={symbol}&limit=1000"));
    let mut local = snapshot["lastUpdateId"].as_u64().unwrap();
    pipe.run(60 * SECOND);
    buffer.extend(pipe.texts(conn));
    // The snapshot holds only so many levels; the truth beyond them is not known to a client, so
    // the whole book is loaded for the comparison.
    let whole = truth.book_at(venue, symbol, Channel::Full, local).unwrap();
    for (side, levels) in [("bids", &whole.bids), ("asks", &whole.asks)] {
        assert_eq!(
            snapshot[side].as_array().unwrap().len(),
            levels.len().min(1_000)
        );
    }
    let mut book = Book::default();
    book.apply(&snapshot["bids"].take(), &snapshot["asks"].take());
    let mut known = Book::of(&whole);
    for (mine, all) in [(&book.bids, &known.bids), (&book.asks, &known.asks)] {
        assert!(mine.iter().all(|(price, qty)| all.get(price) == Some(qty)));
    }
    std::mem::swap(&mut book, &mut known);
    let (mut applied, mut last_u) = (0, None);
    for event in buffer {
        let u = event["u"].as_u64().unwrap();
        if event["e"] != "depthUpdate" {
            // bookTicker shares the id space: its top is the truth at its number.
            let truth = Book::of(&truth.book_at(venue, symbol, Channel::Full, u).unwrap());
            let side = |p: &str, q: &str| Some((number(&event[p]), number(&event[q])));
            assert_eq!(truth.top(), [side("b", "B"), side("a", "A")]);
            continue;
        }
        let first = event["U"].as_u64().unwrap();
        if if spot { u <= local } else { u < local } {
            last_u = Some(u);
            continue;
        }
        match last_u.filter(|_| applied > 0) {
            None if spot => assert!(first <= local + 1 && local < u, "{first} {local} {u}"),
            None => assert!(first <= local && local <= u, "{first} {local} {u}"),
            Some(last) if spot => assert_eq!(first, last + 1),
            Some(last) => assert_eq!(event["pu"].as_u64(), Some(last)),
        }
        book.apply(&event["b"], &event["a"]);
        (local, last_u) = (u, Some(u));
        applied += 1;
        let truth = truth.book_at(venue, symbol, Channel::Full, u).unwrap();
        assert_eq!(book, Book::of(&truth), "at {u}");
    }
    assert!(local > 0);
    applied
}

#[test]
fn binance_spot_book_equals_truth_at_every_event() {
    let spec = VenueSpec::binance_spot().instruments(3).rate_msgs_s(300);
    assert!(binance(SimVenue::BinanceSpot, spec, "/ws", "/api/v3", "ETHUSDT") > 300);
}

#[test]
fn binance_linear_book_equals_truth_at_every_event() {
    let spec = VenueSpec::binance_linear().instruments(3).rate_msgs_s(300);
    assert!(
        binance(
            SimVenue::BinanceLinear,
            spec,
            "/public/ws",
            "/fapi/v1",
            "BTCUSDT"
        ) > 300
    );
}

#[test]
fn binance_inverse_book_equals_truth_at_every_event() {
    let spec = VenueSpec::binance_inverse().instruments(3).rate_msgs_s(300);
    assert!(
        binance(
            SimVenue::BinanceInverse,
            spec,
            "/ws",
            "/dapi/v1",
            "SOLUSD_PERP"
        ) > 300
    );
}

fn subscribe(pipe: &mut Pipe, venue: SimVenue, topics: &[String]) -> ConnId {
    let path = if venue.is_spot() {
        "/v5/public/spot"
    } else {
        "/v5/public/linear"
    };
    let conn = pipe.open(venue, path).unwrap();
    let args: Vec<String> = topics.iter().map(|t| format!("\"{t}\"")).collect();
    pipe.send(
        venue,
        conn,
        &format!(r#"{{"op":"subscribe","args":[{}]}}"#, args.join(",")),
    );
    conn
}

/// Follows one `orderbook.N` topic from its snapshot on.
fn follow(pipe: &mut Pipe, venue: SimVenue, conn: ConnId, symbol: &str, depth: usize) -> usize {
    let truth = pipe.world.truth();
    let (mut book, mut last, mut deltas) = (Book::default(), None, 0);
    let topic = format!("orderbook.{depth}.{symbol}");
    for frame in pipe
        .texts(conn)
        .into_iter()
        .filter(|t| t["topic"] == topic.as_str())
    {
        let (data, u) = (&frame["data"], frame["data"]["u"].as_u64().unwrap());
        if frame["type"] == "snapshot" {
            book = Book::default();
        } else {
            assert_eq!(Some(u), last.map(|last: u64| last + 1), "{topic}");
            deltas += 1;
        }
        book.apply(&data["b"], &data["a"]);
        last = Some(u);
        let truth = truth
            .book_at(venue, symbol, Channel::Levels(depth), u)
            .unwrap();
        assert_eq!(book, Book::of(&truth), "{topic} at {u}");
        assert_eq!((book.bids.len(), book.asks.len()), (depth, depth));
        assert!(frame["cts"].as_i64() <= frame["ts"].as_i64());
    }
    deltas
}

#[test]
fn bybit_books_of_every_depth_equal_truth_and_hold_exactly_their_levels() {
    for venue in [SimVenue::BybitSpot, SimVenue::BybitLinear] {
        let spec = VenueSpec::of(venue)
            .instruments(2)
            .rate_msgs_s(300)
            .history(1 << 17);
        let mut pipe = Pipe::new(&[spec]);
        for depth in [50, 200, 1_000] {
            let conn = subscribe(&mut pipe, venue, &[format!("orderbook.{depth}.ETHUSDT")]);
            pipe.run(30 * SECOND);
            // A second client joins in the middle: same numbers, same book.
            let late = subscribe(&mut pipe, venue, &[format!("orderbook.{depth}.ETHUSDT")]);
            pipe.run(30 * SECOND);
            assert!(follow(&mut pipe, venue, conn, "ETHUSDT", depth) > 100);
            assert!(follow(&mut pipe, venue, late, "ETHUSDT", depth) > 50);
        }
    }
}

#[test]
fn binance_restart_resets_numbers_and_a_fresh_client_synchronises() {
    let venue = SimVenue::BinanceSpot;
    let spec = VenueSpec::binance_spot().instruments(1).rate_msgs_s(200);
    let mut pipe = Pipe::new(&[spec]);
    let conn = pipe.open(venue, "/ws/btcusdt@depth@100ms").unwrap();
    pipe.run(5 * SECOND);
    let before = pipe.texts(conn).last().unwrap()["u"].as_u64().unwrap();
    pipe.control(venue, &Command::Restart);
    let conn = pipe.open(venue, "/ws/btcusdt@depth@100ms").unwrap();
    pipe.run(5 * SECOND);
    let events = pipe.texts(conn);
    assert!(events[0]["u"].as_u64().unwrap() < before);
    let truth = pipe.world.truth();
    let start = events[0]["U"].as_u64().unwrap() - 1;
    let mut book = Book::of(
        &truth
            .book_at(venue, "BTCUSDT", Channel::Full, start)
            .unwrap(),
    );
    for event in events {
        book.apply(&event["b"], &event["a"]);
        let u = event["u"].as_u64().unwrap();
        assert_eq!(
            book,
            Book::of(&truth.book_at(venue, "BTCUSDT", Channel::Full, u).unwrap())
        );
    }
}

#[test]
fn trades_aggregate_to_their_aggregates() {
    let venue = SimVenue::BinanceSpot;
    let spec = VenueSpec::binance_spot().instruments(1).rate_msgs_s(200);
    let mut pipe = Pipe::new(&[spec]);
    let trades = pipe.open(venue, "/ws/btcusdt@trade").unwrap();
    let joined = pipe.open(venue, "/ws/btcusdt@aggTrade").unwrap();
    pipe.run(30 * SECOND);
    let trades: BTreeMap<u64, Value> = pipe
        .texts(trades)
        .into_iter()
        .map(|t| (t["t"].as_u64().unwrap(), t))
        .collect();
    let mut several = 0;
    for one in pipe.texts(joined) {
        let (first, last) = (one["f"].as_u64().unwrap(), one["l"].as_u64().unwrap());
        let sum: i128 = (first..=last).map(|id| number(&trades[&id]["q"])).sum();
        assert_eq!(sum, number(&one["q"]));
        assert!((first..=last).all(|id| trades[&id]["p"] == one["p"]));
        several += usize::from(last > first);
    }
    assert!(several > 5, "no trade was more than one order");
}

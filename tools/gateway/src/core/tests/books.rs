//! Books: deltas join their snapshot, and nobody's book delays another's fill.

use std::collections::BTreeMap;

use super::*;

/// A book as a client of the protocol keeps it.
#[derive(Debug, Default)]
struct Kept {
    at: u64,
    live: bool,
    sides: [BTreeMap<String, String>; 2],
}

impl Kept {
    fn whole(&mut self, book: &Value, at: u64) {
        self.at = at;
        self.live = book["live"].as_bool().expect("a flag");
        self.sides = Default::default();
        self.levels(book);
    }

    fn levels(&mut self, data: &Value) {
        for (side, name) in self.sides.iter_mut().zip(["bids", "asks"]) {
            for level in data[name].as_array().expect("levels") {
                let text = |at: usize| level[at].as_str().expect("text").to_owned();
                let qty = text(1);
                if qty.bytes().all(|digit| digit == b'0' || digit == b'.') {
                    side.remove(&text(0));
                } else {
                    side.insert(text(0), qty);
                }
            }
        }
    }

    fn take(&mut self, frame: &Value) {
        let offset = frame["offset"].as_u64().expect("an offset");
        let data = &frame["data"];
        match frame["event"].as_str().expect("an event") {
            "book.snapshot" => self.whole(data, offset),
            "book.state" => {
                self.live = false;
                self.at = offset;
            }
            "book.delta" => {
                assert!(self.live, "a delta without its book");
                assert_eq!(data["from"].as_u64(), Some(self.at + 1));
                assert_eq!(data["to"].as_u64(), Some(offset));
                self.at = offset;
                self.levels(data);
            }
            other => panic!("{other}"),
        }
    }
}

/// The venue's book at the same moment, as text.
fn truth(book: &BTreeMap<(bool, i64), i64>, depth: usize) -> [BTreeMap<String, String>; 2] {
    let text = |(price, qty): (&i64, &i64)| {
        let price = Price::new(*price, Scale::of(1)).to_string();
        (price, Qty::new(*qty, Scale::of(2)).to_string())
    };
    let side = |is_bid: bool| -> Vec<(&i64, &i64)> {
        book.iter()
            .filter(|((bid, _), _)| *bid == is_bid)
            .map(|((_, p), q)| (p, q))
            .collect()
    };
    let mut bids = side(true);
    bids.reverse();
    let asks = side(false);
    [bids, asks].map(|side| side.into_iter().take(depth).map(text).collect())
}

#[test]
fn readers_of_every_pace_and_depth_end_with_the_venues_book() {
    for seed in 0..20 {
        let mut chance = fastrand::Rng::with_seed(seed);
        let mut world = World::new();
        let mut book: BTreeMap<(bool, i64), i64> = BTreeMap::new();
        let mut readers: Vec<(usize, usize, Kept)> = Vec::new();
        let mut seq = 0;
        for _ in 0..600 {
            match chance.u8(..20) {
                0 if readers.len() < 6 => {
                    let depth = *chance.choice(&[usize::MAX, 3, 1]).expect("some");
                    let conn = world.connect();
                    let name = match depth {
                        usize::MAX => "book:binance:spot:X".to_owned(),
                        depth => format!("book:binance:spot:X:{depth}"),
                    };
                    let frame = json!({ "type": "subscribe", "id": "s", "channels": [name] });
                    world.say(conn, &frame.to_string());
                    let mut kept = Kept::default();
                    for frame in world.read(conn) {
                        if frame["id"] == "s" {
                            let got = &frame["result"]["channels"][0];
                            kept.whole(&got["snapshot"], got["offset"].as_u64().expect("offset"));
                        } else {
                            kept.take(&frame);
                        }
                    }
                    readers.push((conn, depth, kept));
                }
                1 => {
                    world.feed.stale(1);
                    world.turn();
                    book.clear();
                }
                2..=4 if !readers.is_empty() => {
                    let at = chance.usize(..readers.len());
                    let (conn, _, kept) = &mut readers[at];
                    for frame in world.read(*conn) {
                        kept.take(&frame);
                    }
                }
                _ if readers.is_empty() => {}
                _ => {
                    seq += 1;
                    let is_whole = book.is_empty();
                    let mut levels = Vec::new();
                    for _ in 0..chance.usize(1..8) {
                        let is_bid = chance.bool();
                        let price = if is_bid {
                            chance.i64(950..1_000)
                        } else {
                            chance.i64(1_000..1_050)
                        };
                        let qty = if is_whole { 1 } else { chance.i64(0..4) };
                        let side = if is_bid { Side::Bid } else { Side::Ask };
                        levels.push((side, price, qty));
                        match qty {
                            0 => book.remove(&(is_bid, price)),
                            qty => book.insert((is_bid, price), qty),
                        };
                    }
                    world.feed.levels(1, seq, is_whole, &levels);
                    if chance.bool() {
                        world.turn();
                    }
                    if book.is_empty() {
                        world.feed.stale(1);
                    }
                }
            }
        }
        world.turn();
        for (conn, depth, kept) in &mut readers {
            for frame in world.read(*conn) {
                kept.take(&frame);
            }
            if !book.is_empty() {
                assert!(kept.live, "seed {seed}");
                assert_eq!(
                    kept.sides,
                    truth(&book, *depth),
                    "seed {seed} depth {depth}"
                );
            }
        }
    }
}

#[test]
fn a_reader_that_is_behind_gets_merged_deltas_and_no_more_memory() {
    let mut world = World::new();
    let conn = world.connect();
    world.subscribe(conn, &json!("book:binance:spot:X"));
    world
        .feed
        .levels(1, 1, true, &[(Side::Bid, 999, 5), (Side::Ask, 1_000, 5)]);
    let mut kept = Kept::default();
    for frame in world.read(conn) {
        kept.take(&frame);
    }
    for seq in 2..500 {
        world.feed.levels(
            1,
            seq,
            false,
            &[(Side::Bid, 900 + (seq as i64 % 50), seq as i64)],
        );
        world.turn();
    }
    let frames = world.read(conn);
    assert_eq!(frames.len(), 1, "498 changes in one frame");
    kept.take(&frames[0]);
    assert_eq!(kept.sides[0].len(), 51);
}

#[test]
fn a_slow_reader_of_books_never_delays_a_fill() {
    let mut world = World::new();
    let conn = world.connect();
    world.subscribe(conn, &json!("book:binance:spot:X"));
    world.subscribe(conn, &json!("trades:binance:spot:X"));
    world.subscribe(conn, &json!("orders:p1"));
    let other = world.connect();
    let (session, call) = world.pending(other, order());
    world
        .feed
        .levels(1, 1, true, &[(Side::Bid, 999, 5), (Side::Ask, 1_000, 5)]);
    for seq in 2..300 {
        world
            .feed
            .levels(1, seq, false, &[(Side::Bid, 900, seq as i64)]);
        world.feed.trade(2, seq);
        world.turn();
    }
    world
        .ask(other, "tools.approve", approve(&session, &call))
        .expect("approved");
    let frames = world.read(conn);
    assert_eq!(
        events(&frames)[..2],
        ["order.updated", "order.updated"],
        "before all prices"
    );
    let trades = frames.iter().filter(|frame| frame["event"] == "trade");
    assert_eq!(trades.count(), 298, "and no trade is left out");
}

#[test]
fn a_stream_is_shared_and_closed_when_nobody_looks() {
    let mut world = World::new();
    let conn = world.connect();
    for channel in [
        "book:binance:spot:X",
        "book:binance:spot:X:5",
        "ticker:binance:spot:X",
    ] {
        world.subscribe(conn, &json!(channel));
    }
    assert_eq!(world.feed.0.lock().expect("one thread").opened.len(), 2);
    let ticker = world.subscribe(conn, &json!("ticker:binance:spot:X"));
    assert_eq!(ticker["snapshot"], Value::Null);
    world.core.closed(conn);
    assert!(world.core.is_watching());
    for _ in 0..8 {
        world.pass(Nanos::from_secs(1));
    }
    assert!(!world.core.is_watching());
    assert_eq!(world.core.hub.find("book:binance:spot:X"), None);
}

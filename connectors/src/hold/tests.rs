use tickwire_orderbook::sequence::SequenceRule;
use tickwire_orderbook::{Limits, Scale, Side};

use super::*;
use crate::channel::{BookParams, Channel};
use crate::event::{Reason, StreamId, StreamState};
use crate::instrument::{Instrument, InstrumentKey, Market, Venue, symbol};

fn stream() -> Stream {
    let name = symbol("BTCUSDT").expect("short");
    let key = InstrumentKey {
        venue: Venue::Binance,
        market: Market::Spot,
        symbol: name,
    };
    let instrument = Instrument::with_defaults(key, name, Scale::of(2), Scale::of(2));
    let id = StreamId::new(0).expect("in range");
    let channel = Channel::Book(BookParams::default());
    Stream::new(id, channel, name, instrument, false)
}

const TIMES: Times = Times {
    exch_ns: Nanos::ZERO,
    recv_ns: Nanos(1_000),
};

/// One level whose quantity is its number, so that the book shows which deltas are in it.
fn delta(id: u64) -> (Ids, Levels) {
    let level = Level {
        price: id as i64,
        qty: id as i64,
    };
    let levels = Levels {
        bids: vec![level],
        asks: Vec::new(),
    };
    (Ids::single(id), levels)
}

struct Pair {
    stream: Stream,
    keeper: BookKeeper,
    ahead: Ahead,
    out: Outbox,
}

impl Pair {
    fn at(seq: u64) -> Pair {
        let mut pair = Pair {
            stream: stream(),
            keeper: BookKeeper::new(SequenceRule::BINANCE_SPOT, Limits::default()),
            ahead: Ahead::default(),
            out: Outbox::new(),
        };
        pair.keeper.load(seq, &Levels::default()).expect("a book");
        pair.stream.change(
            StreamState::Live,
            Reason::Synced,
            None,
            TIMES,
            &mut pair.out,
        );
        pair
    }

    /// What a venue's sync does with a delta of a pair.
    fn handle(&mut self, id: u64) -> Joined {
        let (ids, levels) = delta(id);
        let Pair {
            stream,
            keeper,
            ahead,
            out,
        } = self;
        match keeper.apply(stream, &ids, &levels, TIMES, out) {
            Applied::Broken(Break::Gap { expected, got }) => {
                assert!(ahead.push(ids, &levels, TIMES, (expected, got)));
                Joined::Whole
            }
            Applied::Broken(why) => Joined::Broken(why),
            _ if ahead.is_empty() => Joined::Whole,
            _ => ahead.join(keeper, stream, &mut Levels::default(), out),
        }
    }
}

#[test]
fn what_is_missing_on_one_link_is_filled_by_the_other() {
    let mut pair = Pair::at(100);
    // One link has lost 102 and 103; the other lags.
    for id in [101, 104, 105, 101, 102] {
        assert_eq!(pair.handle(id), Joined::Whole);
    }
    assert_eq!(pair.keeper.last(), Some(102));
    assert_eq!(pair.ahead.deadline(), TIMES.recv_ns + HEAL_NS);
    // The copies of what waits change nothing.
    for id in [103, 104, 105, 106] {
        assert_eq!(pair.handle(id), Joined::Whole);
    }
    assert_eq!(pair.keeper.last(), Some(106));
    assert!(pair.ahead.is_empty());
    assert_eq!(pair.ahead.deadline(), Nanos::MAX);
    let bids: Vec<i64> = pair
        .keeper
        .book()
        .levels(Side::Bid)
        .map(|level| level.qty)
        .collect();
    assert_eq!(bids, [106, 105, 104, 103, 102, 101]);
}

#[test]
fn what_no_link_has_is_a_gap_in_the_end() {
    let mut pair = Pair::at(100);
    for id in [101, 104, 101, 105, 104] {
        assert_eq!(pair.handle(id), Joined::Whole);
    }
    let deadline = pair.ahead.deadline();
    assert_eq!(pair.ahead.overdue(Nanos(deadline.0 - 1)), None);
    let gap = Break::Gap {
        expected: 102,
        got: 104,
    };
    assert_eq!(pair.ahead.overdue(deadline), Some(gap));
}

#[test]
fn a_hold_gives_back_what_was_put_in_and_no_more_than_it_may() {
    let mut hold = Hold::default();
    for id in 1..=5 {
        let (ids, levels) = delta(id);
        assert!(hold.push(ids, &levels, TIMES));
    }
    hold.drop_front(2);
    assert!(hold.widen(10, 100));
    let mut found = Vec::new();
    let stopped = hold.replay(&mut Levels::default(), |_, held, levels| {
        found.push((held.ids.last as i64, levels.bids[0]));
        if held.ids.last == 4 { Err(()) } else { Ok(()) }
    });
    assert_eq!(stopped, Err(()));
    let level = |id: i64| Level {
        price: id * 10,
        qty: id * 100,
    };
    assert_eq!(found, [(3, level(3)), (4, level(4))]);
    assert!(!hold.widen(i64::MAX, 1));

    hold.clear();
    let (ids, levels) = delta(1);
    for _ in 0..DELTAS_MAX {
        assert!(hold.push(ids, &levels, TIMES));
    }
    assert!(!hold.push(ids, &levels, TIMES));
}

//! Faults on messages, in virtual time, at every venue-market: each is seen as documented, as often
//! as injected, by nobody else, and the truth stays the truth.

mod common;

use common::rig::{Rig, Subject};
use common::{Event, MS, SECOND};
use tickwire_sim::{Fault, SimVenue, Target};

/// A rig each venue-market.
fn rigs() -> impl Iterator<Item = Rig> {
    Subject::ALL.into_iter().map(Rig::new)
}

#[test]
fn gap_breaks_one_chain_once() {
    for mut rig in rigs() {
        let btc = rig.subject.btc();
        let target = rig.subject.target();
        rig.lead_in();
        rig.inject(Fault::Gap { target });
        let (a, b) = rig.run(3 * SECOND);
        assert_eq!(a.breaks(btc), 1, "{:?}", rig.subject);
        assert_eq!(a.lies(&rig.truth(), btc), 0);
        rig.assert_others_untouched(&a, &b);
        rig.assert_hits(1);
        assert_eq!(rig.pipe.world.stats(rig.subject.0).withheld, 1);
    }
}

#[test]
fn miss_breaks_the_chain_on_the_oldest_link_alone() {
    for mut rig in rigs() {
        let eth = rig.subject.eth();
        rig.lead_in();
        let target = Target::Symbol(eth.to_owned());
        rig.inject(Fault::Miss { target });
        let (a, b) = rig.run(3 * SECOND);
        assert_eq!((a.breaks(eth), b.breaks(eth)), (1, 0), "{:?}", rig.subject);
        assert_eq!(a.lies(&rig.truth(), eth), 0);
        rig.assert_b_untouched(&b);
        rig.assert_hits(1);
        assert_eq!(rig.pipe.world.stats(rig.subject.0).withheld, 1);
    }
}

#[test]
fn gap_can_hit_a_named_stream_that_is_not_a_book() {
    for mut rig in rigs() {
        let top = rig.subject.top(rig.subject.btc());
        rig.inject(Fault::Gap {
            target: Target::Stream(top),
        });
        let (a, b) = rig.run(3 * SECOND);
        assert_eq!(a.breaks(rig.subject.btc()), 0);
        rig.assert_others_untouched(&a, &b);
        rig.assert_hits(1);
        assert_eq!(rig.pipe.world.stats(rig.subject.0).withheld, 1);
    }
}

#[test]
fn faults_wait_for_their_frame_and_for_no_other() {
    for mut rig in rigs() {
        let name = format!("{}9", rig.subject.depth(rig.subject.btc()));
        for target in [Target::Stream(name), Target::Symbol("XRPUSDT".to_owned())] {
            rig.inject(Fault::Gap { target });
        }
        let (a, b) = rig.run(3 * SECOND);
        assert_eq!(a.breaks(rig.subject.btc()), 0);
        rig.assert_others_untouched(&a, &b);
        assert!(rig.records().iter().all(|r| r.acted_ns.is_none()));
    }
}

#[test]
fn duplicate_is_the_same_frame_twice() {
    for mut rig in rigs() {
        let btc = rig.subject.btc();
        let target = rig.subject.target();
        rig.inject(Fault::Duplicate { target });
        let (a, b) = rig.run(3 * SECOND);
        let deltas = a.depth(btc);
        let twice = deltas.windows(2).filter(|w| w[0].value == w[1].value);
        assert_eq!(twice.count(), 1, "{:?}", rig.subject);
        assert_eq!(a.breaks(btc), 1, "the second one follows on nothing");
        assert_eq!(a.lies(&rig.truth(), btc), 0);
        rig.assert_others_untouched(&a, &b);
        rig.assert_hits(1);
    }
}

#[test]
fn reorder_swaps_two_frames_and_loses_none() {
    for mut rig in rigs() {
        let btc = rig.subject.btc();
        for _ in 0..2 {
            let target = rig.subject.target();
            rig.inject(Fault::Reorder { target });
        }
        let (a, b) = rig.run(4 * SECOND);
        let mut numbers: Vec<(Option<u64>, u64)> =
            a.depth(btc).iter().map(|d| (d.before, d.u)).collect();
        let back: Vec<usize> = (1..numbers.len())
            .filter(|&i| numbers[i].1 < numbers[i - 1].1)
            .collect();
        assert_eq!(back.len(), 2, "{:?}: two pairs", rig.subject);
        back.iter().for_each(|&i| numbers.swap(i - 1, i));
        let whole = numbers.windows(2).all(|w| w[1].0 == Some(w[0].1));
        assert!(whole, "{:?}: {numbers:?}", rig.subject);
        assert_eq!(a.lies(&rig.truth(), btc), 0);
        rig.assert_others_untouched(&a, &b);
    }
}

#[test]
fn reorder_keeps_the_wrapping_of_combined_streams() {
    let mut rig = Rig::new(Subject(SimVenue::BinanceSpot));
    let path = "/stream?streams=btcusdt@depth@100ms";
    let combined = rig.pipe.open(SimVenue::BinanceSpot, path).unwrap();
    let target = rig.subject.target();
    rig.inject(Fault::Reorder { target });
    rig.pipe.run(3 * SECOND);
    let frames = rig.pipe.texts(combined);
    assert!(frames.len() > 10);
    assert!(frames.iter().all(|f| f["stream"] == "btcusdt@depth@100ms"));
    let back = frames
        .windows(2)
        .filter(|w| w[1]["data"]["u"].as_u64() < w[0]["data"]["u"].as_u64());
    assert_eq!(back.count(), 1);
}

#[test]
fn corrupt_frame_is_no_json_and_its_content_is_lost() {
    for utf8 in [false, true] {
        for mut rig in rigs() {
            let btc = rig.subject.btc();
            let target = rig.subject.target();
            rig.lead_in();
            rig.inject(Fault::Corrupt { target, utf8 });
            let (a, b) = rig.run(3 * SECOND);
            assert_eq!(a.broken(), 1, "{:?}", rig.subject);
            let bytes = |(_, event): &&(i64, Event)| matches!(event, Event::Bytes(_));
            let not_utf8 = a.events.iter().filter(bytes).count();
            assert_eq!(not_utf8, usize::from(utf8));
            assert_eq!(a.breaks(btc), 1);
            assert_eq!(a.lies(&rig.truth(), btc), 0);
            rig.assert_others_untouched(&a, &b);
            rig.assert_hits(1);
        }
    }
}

#[test]
fn every_damage_of_many_is_no_json() {
    let mut rig = Rig::new(Subject(SimVenue::BybitLinear));
    for _ in 0..100 {
        let target = Target::Any;
        let utf8 = false;
        rig.inject(Fault::Corrupt { target, utf8 });
    }
    let (a, b) = rig.run(10 * SECOND);
    assert!(a.broken() + b.broken() >= 100);
    assert!(rig.records().iter().all(|r| r.hits == 1));
}

#[test]
fn oversized_frame_is_long_legal_and_alone() {
    const LONG: usize = 2 << 20;
    for mut rig in rigs() {
        let btc = rig.subject.btc();
        let target = rig.subject.target();
        let bytes = LONG;
        rig.inject(Fault::Oversized { target, bytes });
        let (a, b) = rig.run(2 * SECOND);
        let long = |(_, event): &&(i64, Event)| matches!(event, Event::Text(t) if t.len() >= LONG);
        assert_eq!(a.events.iter().filter(long).count(), 1);
        assert_eq!((a.broken(), a.breaks(btc)), (0, 0), "spaces are legal JSON");
        assert_eq!(a.lies(&rig.truth(), btc), 0);
        rig.assert_others_untouched(&a, &b);
        rig.assert_hits(1);
    }
}

#[test]
fn crossed_batch_lies_once_with_good_numbers_and_nothing_mends_it() {
    for mut rig in rigs() {
        let (btc, truth) = (rig.subject.btc(), rig.truth());
        let target = rig.subject.target();
        rig.inject(Fault::Crossed { target });
        let (a, b) = rig.run(3 * SECOND);
        assert_eq!(a.breaks(btc), 0, "{:?}: the numbers are right", rig.subject);
        assert_eq!(a.lies(&truth, btc), 1, "{:?}", rig.subject);
        rig.assert_others_untouched(&a, &b);
        rig.assert_hits(1);
        // The book of a client that believes it is crossed at that frame.
        let is_binance = rig.subject.0.is_binance();
        let mut crossed = 0;
        for delta in a.depth(btc) {
            let data = if is_binance {
                &delta.value
            } else {
                &delta.value["data"]
            };
            let channel = if is_binance {
                tickwire_sim::Channel::Full
            } else {
                tickwire_sim::Channel::Levels(50)
            };
            let before = truth.book_at(rig.subject.0, btc, channel, delta.before.unwrap());
            let mut book = common::book::Book::of(&before.unwrap());
            book.apply(&data["b"], &data["a"]);
            let [bid, ask] = book.top();
            crossed += usize::from(bid.unwrap().0 > ask.unwrap().0);
        }
        assert_eq!(crossed, 1);
    }
}

#[test]
fn stall_of_a_symbol_is_silence_then_one_gap() {
    for mut rig in rigs() {
        let btc = rig.subject.btc();
        let stall = Fault::Stall {
            target: Target::Stream(rig.subject.depth(btc)),
            for_ns: 2 * SECOND,
        };
        rig.lead_in();
        let start = rig.pipe.now;
        rig.inject(stall);
        let (a, b) = rig.run(5 * SECOND);
        let deltas = a.depth(btc);
        let mut after = deltas.iter().filter(|d| d.at >= start);
        let first = after.next().unwrap().at;
        assert!((start + 2 * SECOND..start + 3 * SECOND).contains(&first));
        assert_eq!(a.breaks(btc), 1, "one gap, then the chain is whole");
        assert_eq!(a.lies(&rig.truth(), btc), 0);
        rig.assert_others_untouched(&a, &b);
        assert!(rig.records()[0].hits > 3);
    }
}

#[test]
fn stall_of_everything_leaves_connections_and_pings_alone() {
    for mut rig in rigs() {
        let for_ns = 2 * SECOND;
        let target = Target::Any;
        rig.inject(Fault::Stall { target, for_ns });
        let (a, b) = rig.run(2 * SECOND - MS);
        assert_eq!(
            (a.events.len(), b.events.len()),
            (0, 0),
            "{:?}",
            rig.subject
        );
        let (venue, conn) = (rig.subject.0, rig.a);
        rig.pipe.ping(venue, conn, b"x");
        assert_eq!(rig.pipe.events(conn), [Event::Pong(b"x".to_vec())]);
        // Who subscribes now gets an ack and no data, not even Bybit's snapshot.
        let late = rig.connect(&[rig.subject.depth(rig.subject.btc())]);
        assert_eq!(rig.pipe.texts(late).len(), 1);
        let (a, b) = rig.run(3 * SECOND);
        assert_eq!(a.lies(&rig.truth(), rig.subject.btc()), 0);
        rig.assert_others_untouched(&a, &b);
    }
}

#[test]
fn clock_skew_shifts_event_times_and_rest_and_ends() {
    for by_ns in [-90 * SECOND, 3_600 * SECOND] {
        for mut rig in rigs() {
            let (btc, venue) = (rig.subject.btc(), rig.subject.0);
            let for_ns = 2 * SECOND;
            let start = rig.pipe.now;
            rig.inject(Fault::ClockSkew { by_ns, for_ns });
            let time_path = match venue {
                SimVenue::BinanceSpot => "/api/v3/time",
                SimVenue::BinanceLinear => "/fapi/v1/time",
                SimVenue::BinanceInverse => "/dapi/v1/time",
                _ => "/v5/market/time",
            };
            let key = if venue.is_binance() {
                "serverTime"
            } else {
                "time"
            };
            let told = rig.pipe.get_json(venue, time_path)[key].as_i64().unwrap();
            assert_eq!(told, (rig.pipe.now + by_ns) / MS);
            let (a, b) = rig.run(4 * SECOND);
            let mut shifted = 0;
            for delta in a.depth(btc) {
                let key = if venue.is_binance() { "E" } else { "ts" };
                let stamp = delta.value[key].as_i64().unwrap();
                let within = delta.at < start + for_ns;
                let due = if within { delta.at + by_ns } else { delta.at };
                assert_eq!(stamp, due / MS, "{venue}");
                shifted += usize::from(within);
            }
            assert!(shifted > 5);
            assert_eq!((a.breaks(btc), a.lies(&rig.truth(), btc)), (0, 0));
            rig.assert_others_untouched(&a, &b);
            rig.assert_hits(1);
        }
    }
}

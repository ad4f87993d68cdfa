//! Faults by script and by seed: the right ones, at the right times, and always the same.

mod common;

use std::collections::BTreeSet;

use common::rig::{Rig, Subject, connect};
use common::{Event, MS, Pipe, SECOND, START};
use tickwire_sim::{
    ConnId, FaultKind, FaultPlan, FaultRates, FaultRecord, FaultScript, SimVenue, VenueSpec,
};

#[test]
fn script_acts_at_its_times() {
    let script: FaultScript =
        "2s bybit-linear gap BTCUSDT; 3500ms bybit-linear cut; 9s bybit-spot cut"
            .parse()
            .unwrap();
    let mut rig = Rig::new(Subject(SimVenue::BybitLinear));
    let start = rig.pipe.now;
    rig.pipe.world.schedule(&script, start);
    let (a, _) = rig.run(10 * SECOND);
    let records = rig.records();
    let times: Vec<i64> = records.iter().map(|r| r.at_ns - start).collect();
    assert_eq!(times, [2 * SECOND, 3_500 * MS], "of this world's venues");
    let acted = records[0].acted_ns.unwrap();
    assert!((start + 2 * SECOND..start + 3 * SECOND).contains(&acted));
    assert_eq!(a.breaks("BTCUSDT"), 1);
    assert_eq!(a.events.last(), Some(&(start + 3_500 * MS, Event::Cut)));
}

#[test]
fn late_poll_still_acts_in_the_order_of_time() {
    let run = |step: i64| {
        let script: FaultScript = "1s binance-spot gap BTCUSDT; 2s binance-spot stall any for=1s"
            .parse()
            .unwrap();
        let mut rig = Rig::new(Subject(SimVenue::BinanceSpot));
        rig.pipe.world.schedule(&script, rig.pipe.now);
        for _ in 0..(5 * SECOND / step) {
            // A shell that sleeps too long polls only now and then.
            rig.pipe.now += step;
            rig.pipe.run(0);
        }
        let texts = rig.pipe.raw(rig.a);
        (texts, rig.records())
    };
    let (texts, records) = run(SECOND / 4);
    let (late, late_records) = run(5 * SECOND);
    assert_eq!(texts, late);
    assert_eq!(records, late_records);
}

#[test]
fn plan_draws_its_rates_and_the_same_faults_for_the_same_seed() {
    let run = |seed: u64, extra: bool| {
        let mut rates = FaultRates::none()
            .per_minute(FaultKind::Gap, 6.0)
            .per_minute(FaultKind::Duplicate, 3.0);
        if extra {
            rates = rates.per_minute(FaultKind::ClockSkew, 1.0);
        }
        let mut rig = Rig::new(Subject(SimVenue::BybitSpot));
        rig.pipe
            .world
            .start_plan(FaultPlan::random(seed, rates), START);
        rig.pipe.run(120 * SECOND);
        rig.records()
    };
    let (one, same, other) = (run(5, false), run(5, false), run(6, false));
    assert_eq!(one, same);
    assert_ne!(one, other);
    let count = |records: &[FaultRecord], kind| {
        let mine = records.iter().filter(|r| r.fault.kind() == kind);
        mine.count()
    };
    // 12 and 6 are expected; three standard deviations around.
    assert!((2..=23).contains(&count(&one, FaultKind::Gap)));
    assert!((1..=14).contains(&count(&one, FaultKind::Duplicate)));
    // One more kind moves no other.
    let gaps = |records: Vec<FaultRecord>| {
        let gaps = records.into_iter();
        let gaps = gaps.filter(|r| r.fault.kind() == FaultKind::Gap);
        gaps.map(|r| (r.at_ns, r.fault)).collect::<Vec<_>>()
    };
    assert_eq!(gaps(one), gaps(run(5, true)));
}

/// Everything goes wrong for some minutes; a client that only reconnects lives through it, and when
/// it is over the truth is still the truth.
#[test]
fn storm_of_all_faults_leaves_truth_and_venues_whole() {
    let specs = Subject::ALL.map(|subject| {
        VenueSpec::of(subject.0)
            .symbols(&[subject.btc(), subject.eth()])
            .rate_msgs_s(100)
            .levels(200)
            .limits(|l| l.ping_interval_ns = None)
    });
    let storm = |seed: u64| {
        let mut pipe = Pipe::new(&specs);
        let rates = FaultRates::all_per_minute(4.0).per_minute(FaultKind::Oversized, 0.0);
        let now = pipe.now;
        pipe.world.start_plan(FaultPlan::random(seed, rates), now);
        let mut conns: Vec<Option<ConnId>> = vec![None; Subject::ALL.len()];
        let mut frames = 0usize;
        for _ in 0..(120 * SECOND / (SECOND / 2)) {
            for (conn, subject) in conns.iter_mut().zip(Subject::ALL) {
                let streams = [subject.depth(subject.btc()), subject.top(subject.eth())];
                if conn.is_none() && !pipe.world.is_down(subject.0) {
                    *conn = connect(&mut pipe, subject, &streams).ok();
                }
                let _ = pipe.get(subject.0, &subject.rest_depth(subject.btc()));
            }
            pipe.run(SECOND / 2);
            for conn in &mut conns {
                let events = conn.map(|conn| pipe.events(conn)).unwrap_or_default();
                frames += events.len();
                // Silence is a reason to reconnect too.
                if events.is_empty() || events.contains(&Event::Cut) {
                    *conn = None;
                }
            }
        }
        (pipe, frames)
    };
    let (mut pipe, frames) = storm(11);
    let records = pipe.world.fault_log().records();
    assert_eq!(
        (frames, &records),
        (storm(11).1, &storm(11).0.world.fault_log().records())
    );
    let kinds: BTreeSet<FaultKind> = records.iter().map(|r| r.fault.kind()).collect();
    assert_eq!(kinds.len(), FaultKind::ALL.len() - 1, "{kinds:?}");
    assert!(
        records.len() > 300 && frames > 1_000,
        "{} {frames}",
        records.len()
    );
    // The storm is over.
    pipe.world
        .start_plan(FaultPlan::random(0, FaultRates::none()), START);
    pipe.run(10 * SECOND);
    for subject in Subject::ALL {
        let btc = subject.btc();
        for _ in 0..100 {
            // Refusals that nobody has used up.
            if connect(&mut pipe, subject, &[]).is_ok() {
                break;
            }
        }
        let conn = connect(&mut pipe, subject, &[subject.depth(btc)]).unwrap();
        pipe.run(5 * SECOND);
        let got = common::rig::Got::new(subject, pipe.timed_events(conn));
        assert_eq!(got.lies(&pipe.world.truth(), btc), 0, "{subject:?}");
    }
}

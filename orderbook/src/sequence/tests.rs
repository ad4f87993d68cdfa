use super::*;

fn gap(expected: u64, got: u64) -> Verdict {
    Verdict::Gap { expected, got }
}

fn at(rule: SequenceRule, snapshot: u64) -> Sequence {
    let mut sequence = Sequence::new(rule);
    sequence.snapshot(snapshot);
    sequence
}

fn futures(first: u64, last: u64, prev: u64) -> Ids {
    Ids { first, last, prev }
}

/// Judges each in turn and advances where a connector would.
fn run(mut sequence: Sequence, steps: &[(Ids, Verdict)]) {
    for (index, (ids, verdict)) in steps.iter().enumerate() {
        assert_eq!(
            sequence.judge(ids),
            *verdict,
            "step {index}: {ids:?} in {sequence:?}"
        );
        if matches!(verdict, Verdict::Apply | Verdict::Restart) {
            sequence.advance(ids);
            assert_eq!(sequence.last(), Some(ids.last));
            assert!(sequence.bridged());
        }
    }
}

#[test]
fn binance_spot_fact_sheet_example_bridges() {
    // depth {"lastUpdateId":160}, depthUpdate {"U":157,"u":160}: all known, dropped.
    run(
        at(SequenceRule::BINANCE_SPOT, 160),
        &[
            (Ids::range(157, 160), Verdict::Stale),
            (Ids::range(161, 165), Verdict::Apply),
            (Ids::range(166, 166), Verdict::Apply),
            (Ids::range(166, 166), Verdict::Stale),
            (Ids::range(160, 168), Verdict::Apply),
            (Ids::range(170, 171), gap(169, 170)),
        ],
    );
}

#[test]
fn binance_spot_first_update_may_overlap_the_snapshot() {
    for (first, verdict) in [
        (1, Verdict::Apply),
        (100, Verdict::Apply),
        (101, Verdict::Apply),
        (102, gap(101, 102)),
    ] {
        run(
            at(SequenceRule::BINANCE_SPOT, 100),
            &[(Ids::range(first, 105), verdict)],
        );
    }
}

#[test]
fn binance_futures_first_update_covers_the_snapshot() {
    let rule = SequenceRule::BINANCE_FUTURES;
    let table = [
        (futures(90, 99, 80), Verdict::Stale),
        // Ends where the snapshot does: changes nothing, and joins the chain.
        (futures(90, 100, 80), Verdict::Apply),
        (futures(95, 105, 90), Verdict::Apply),
        (futures(100, 105, 99), Verdict::Apply),
        // `pu` is the snapshot's id: U lies beyond it, and nothing between was missed.
        (futures(103, 105, 100), Verdict::Apply),
        // The snapshot's id lies in the hole between `pu` and `U`.
        (futures(103, 105, 98), Verdict::Apply),
        (futures(103, 105, 101), gap(100, 101)),
    ];
    for (ids, verdict) in table {
        run(at(rule, 100), &[(ids, verdict)]);
    }
}

#[test]
fn binance_futures_then_chains_by_pu() {
    run(
        at(SequenceRule::BINANCE_FUTURES, 100),
        &[
            (futures(90, 100, 80), Verdict::Apply),
            (futures(104, 110, 100), Verdict::Apply),
            (futures(104, 110, 100), Verdict::Stale),
            (futures(120, 130, 110), Verdict::Apply),
            // Overlap is not enough once bridged: `pu` must be the previous `u`.
            (futures(125, 140, 120), gap(130, 120)),
            (futures(141, 150, 140), gap(130, 140)),
        ],
    );
}

#[test]
fn another_connection_may_cut_its_updates_elsewhere() {
    let table = [
        (futures(104, 120, 90), Verdict::Apply),
        (futures(104, 120, 110), Verdict::Apply),
        (futures(104, 120, 111), gap(110, 111)),
        (futures(100, 109, 90), Verdict::Stale),
    ];
    for (ids, verdict) in table {
        let mut sequence = at(SequenceRule::BINANCE_FUTURES, 100);
        sequence.advance(&futures(101, 110, 100));
        sequence.rejoin();
        run(sequence, &[(ids, verdict)]);
    }
    // Whose chain needs no joining keeps to it.
    let mut bybit = at(SequenceRule::BYBIT, 7);
    bybit.rejoin();
    run(bybit, &[(Ids::single(9), gap(8, 9))]);
}

#[test]
fn bybit_counts_by_one_and_restarts_at_one() {
    run(
        at(SequenceRule::BYBIT, 18_521_288),
        &[
            (Ids::single(18_521_289), Verdict::Apply),
            (Ids::single(18_521_290), Verdict::Apply),
            (Ids::single(18_521_290), Verdict::Stale),
            (Ids::single(18_521_292), gap(18_521_291, 18_521_292)),
            (Ids::single(1), Verdict::Restart),
            (Ids::single(1), Verdict::Restart),
            (Ids::single(2), Verdict::Apply),
        ],
    );
}

#[test]
fn bybit_level_1_repeats_are_a_sign_of_life() {
    run(
        Sequence::new(SequenceRule::BYBIT_LEVEL1),
        &[
            (Ids::single(500), Verdict::Apply),
            (Ids::single(500), Verdict::Repeat),
            (Ids::single(507), Verdict::Apply),
            (Ids::single(506), Verdict::Stale),
            (Ids::single(1), Verdict::Restart),
            (Ids::single(1), Verdict::Repeat),
            (Ids::single(9), Verdict::Apply),
        ],
    );
}

#[test]
fn deribit_chains_by_the_previous_change_id() {
    run(
        at(SequenceRule::DERIBIT, 297_217),
        &[
            (Ids::chained(297_217, 297_218), Verdict::Apply),
            (Ids::chained(297_218, 297_230), Verdict::Apply),
            (Ids::chained(297_217, 297_218), Verdict::Stale),
            (Ids::chained(297_231, 297_240), gap(297_230, 297_231)),
        ],
    );
}

#[test]
fn without_a_snapshot_only_whole_messages_apply() {
    let seven = Ids::single(7);
    let table = [
        (SequenceRule::BINANCE_SPOT, gap(0, 7)),
        (SequenceRule::BINANCE_FUTURES, gap(0, 7)),
        (SequenceRule::BYBIT, gap(0, 7)),
        (SequenceRule::BYBIT_LEVEL1, Verdict::Apply),
        (SequenceRule::DERIBIT, gap(0, 7)),
        (SequenceRule::UNSEQUENCED, Verdict::Apply),
    ];
    for (rule, verdict) in table {
        assert_eq!(Sequence::new(rule).judge(&seven), verdict, "{rule:?}");
    }
    assert_eq!(
        Sequence::new(SequenceRule::BYBIT).judge(&Ids::single(1)),
        Verdict::Restart
    );
}

#[test]
fn a_reset_forgets_the_snapshot() {
    let mut sequence = at(SequenceRule::BYBIT, 10);
    sequence.reset();
    assert_eq!((sequence.last(), sequence.bridged()), (None, false));
    assert_eq!(sequence.judge(&Ids::single(11)), gap(0, 11));
}

#[test]
fn ids_at_the_ends_of_the_range_never_panic() {
    let rules = [
        SequenceRule::BINANCE_SPOT,
        SequenceRule::BINANCE_FUTURES,
        SequenceRule::BYBIT,
        SequenceRule::BYBIT_LEVEL1,
        SequenceRule::DERIBIT,
        SequenceRule::UNSEQUENCED,
    ];
    let ends = [0, 1, 2, u64::MAX - 1, u64::MAX];
    for rule in rules {
        for snapshot in ends {
            for first in ends {
                for last in ends {
                    for prev in ends {
                        let mut sequence = at(rule, snapshot);
                        let ids = Ids { first, last, prev };
                        let _ = sequence.judge(&ids);
                        sequence.advance(&ids);
                        let _ = sequence.judge(&ids);
                        let _ = (Ids::single(first), Ids::range(first, last));
                        let _ = Ids::chained(prev, last);
                    }
                }
            }
        }
    }
    let full = at(SequenceRule::BINANCE_SPOT, u64::MAX);
    assert_eq!(full.judge(&Ids::range(0, u64::MAX)), Verdict::Stale);
}

//! Random inputs in random order against the connectors: links that come and go, acks that are late,
//! lost, doubled or refusals, deltas that are dropped, doubled, cut off or too fine for the scale,
//! HTTP answers that are late, old, doubled, failed or refused, commands and timers at any time.
//!
//! Beside each connector runs a plain venue that knows what every book was at every number, and a
//! strategy that believes nothing but the events. After each input all of it must agree; and when the
//! venue behaves again, every stream must become Live again.

#[path = "../../fuzz/replay.rs"]
mod replay;
mod world;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use world::{AckFault, Fault, HttpFault, Op, SYMBOLS, VenueKind, check};

fn op() -> impl Strategy<Value = Op> {
    let ack = prop_oneof![
        8 => Just(AckFault::None),
        1 => Just(AckFault::Lost),
        1 => Just(AckFault::Doubled),
        1 => Just(AckFault::Unheard),
        1 => Just(AckFault::Refused),
    ];
    let fault = prop_oneof![
        12 => Just(Fault::None),
        1 => Just(Fault::Dropped),
        1 => Just(Fault::Doubled),
        1 => Just(Fault::CutOff),
        1 => Just(Fault::TooFine),
        1 => Just(Fault::Restart),
    ];
    let http = prop_oneof![
        10 => Just(HttpFault::None),
        2 => Just(HttpFault::Old),
        1 => Just(HttpFault::Doubled),
        1 => Just(HttpFault::Failed),
        1 => prop_oneof![Just(429u16), Just(418), Just(500), Just(400)].prop_map(HttpFault::Status),
        1 => Just(HttpFault::Garbage),
        1 => Just(HttpFault::Never),
    ];
    let wait = prop_oneof![
        6 => 1u64..300,
        2 => 300u64..6_000,
        1 => 6_000u64..120_000,
    ];
    prop_oneof![
        4 => (0..SYMBOLS, 0usize..4, any::<bool>())
            .prop_map(|(symbol, channel, depth)| Op::Subscribe { symbol, channel, depth }),
        1 => (0usize..8).prop_map(Op::Unsubscribe),
        1 => (0usize..8, any::<bool>()).prop_map(|(stream, depth)| Op::SetDepth(stream, depth)),
        1 => (0usize..8).prop_map(Op::Republish),
        1 => (0usize..8).prop_map(Op::Resync),
        5 => (0usize..3).prop_map(Op::Up),
        1 => (0usize..3).prop_map(Op::Down),
        8 => (0usize..4, ack).prop_map(|(number, fault)| Op::Answer(number, fault)),
        20 => (0..SYMBOLS, fault).prop_map(|(symbol, fault)| Op::Tick(symbol, fault)),
        6 => (0usize..4, http).prop_map(|(number, fault)| Op::Http(number, fault)),
        5 => wait.prop_map(Op::Wait),
    ]
}

/// The same cases each time; other ones by `PROPTEST_RNG_SEED`.
fn config() -> ProptestConfig {
    let asked = ProptestConfig::default();
    ProptestConfig {
        cases: 3 * asked.cases,
        rng_seed: match asked.rng_seed {
            RngSeed::Random => RngSeed::Fixed(1),
            fixed => fixed,
        },
        ..asked
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn nothing_is_published_that_is_not_so(
        kind in prop::sample::select(&VenueKind::ALL[..]),
        instruments in any::<bool>(),
        seed in any::<u64>(),
        ops in prop::collection::vec(op(), 1..200),
    ) {
        check(kind, instruments, seed, &ops);
    }
}

/// The scripts that the fuzz target `calls` has found worth keeping, and those written by hand.
#[test]
fn the_corpus_of_scripts() {
    let mut prices = 0;
    replay::replay("calls", 50, |data| prices += world::run_script(data));
    assert!(prices > 1_000, "books come up in {prices} prices");
}

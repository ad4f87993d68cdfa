use super::*;
use crate::world::{Choice, Outcome};

fn world(seed: u64) -> Outcome<Figures> {
    let choice = Choice::of(seed);
    run(&choice, false).unwrap_or_else(|error| panic!("{choice}: {error}"))
}

#[test]
fn every_account_is_the_ledger_after_these_seeds() {
    let mut figures = Figures::default();
    for seed in 0..60 {
        let outcome = world(seed);
        assert_eq!(outcome.complaint, None, "seed {seed}");
        figures.add(&outcome.figures);
    }
    // It did look at something.
    assert!(figures.orders > 500 && figures.fills > 200, "{figures:?}");
    assert!(figures.unknown > 20, "{figures:?}");
    assert!(figures.stops > 20 && figures.triggered > 0, "{figures:?}");
    assert_eq!(figures.orders_by_row.len(), rows().len(), "{figures:?}");
    for kind in tickwire::testing::sim::FaultKind::ORDERS {
        let count = figures.faults.get(kind.name());
        assert!(
            count.is_some_and(|count| *count > 0),
            "{kind:?}: {figures:?}"
        );
    }
}

#[test]
fn one_seed_gives_the_same_events_twice_and_another_others() {
    let mut digests = Vec::new();
    for seed in 0..4 {
        let first = world(seed).figures;
        assert_eq!(first, world(seed).figures, "seed {seed}");
        assert!(!digests.contains(&first.digest.value()), "seed {seed}");
        digests.push(first.digest.value());
    }
}

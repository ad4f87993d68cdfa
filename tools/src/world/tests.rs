use super::*;

fn world(choice: &Choice, rules: Rules) -> Outcome {
    run(choice, rules).unwrap_or_else(|error| panic!("{choice}: {error}"))
}

#[test]
fn the_model_has_nothing_to_say_against_these_seeds() {
    let mut figures = Figures::default();
    for seed in 0..60 {
        let choice = Choice::of(seed);
        let outcome = world(&choice, Rules::default());
        assert_eq!(outcome.complaint, None, "{choice}");
        figures.add(&outcome.figures);
    }
    // It did look at something.
    assert!(figures.faults_total() > 100, "{figures:?}");
    assert!(
        figures.resyncs > 30 && figures.reconnects > 30,
        "{figures:?}"
    );
    assert!(figures.books > 1_000 && figures.tops > 1_000, "{figures:?}");
    assert!(figures.trades > 100, "{figures:?}");
}

#[test]
fn one_seed_gives_the_same_events_twice_and_another_others() {
    let mut digests = Vec::new();
    for seed in 0..6 {
        let choice = Choice::of(seed);
        let first = world(&choice, Rules::default()).figures;
        assert_eq!(first, world(&choice, Rules::default()).figures, "{choice}");
        assert!(!digests.contains(&first.digest.value()), "{choice}");
        digests.push(first.digest.value());
    }
}

/// A model that lets nothing be older than nothing complains soon: of what, does not matter here.
const IMPATIENT: Rules = Rules {
    ages_max_s: [0; 4],
    hand_over: true,
    trades_once: false,
    vary_upkeep: false,
    trace: false,
};

#[test]
fn a_failing_run_is_made_smaller_and_still_fails() {
    let failing = (0..20).find(|seed| world(&Choice::of(*seed), IMPATIENT).complaint.is_some());
    let choice = Choice::of(failing.expect("a seed that fails"));
    let whole = world(&choice, IMPATIENT);
    let shrunk = shrink(&choice, |choice| run(choice, IMPATIENT))
        .expect("a world")
        .expect("it still fails");
    let kept = shrunk.choice.keep.clone().unwrap_or_default();
    assert!(kept.len() < whole.items.len(), "{kept:?}");
    assert_eq!(kept.len(), shrunk.outcome.items.len());
    let again = world(&shrunk.choice, IMPATIENT);
    assert_eq!(again.complaint, Some(shrunk.complaint));
    for place in 0..kept.len() {
        let mut fewer = kept.clone();
        fewer.remove(place);
        let choice = Choice {
            keep: Some(fewer),
            ..shrunk.choice.clone()
        };
        assert_eq!(world(&choice, IMPATIENT).complaint, None, "{choice}");
    }
}

#[test]
fn a_seed_without_a_complaint_shrinks_to_nothing() {
    let run = |choice: &Choice| run(choice, Rules::default());
    let shrunk = shrink(&Choice::of(0), run).expect("a world");
    assert!(shrunk.is_none());
}

#[test]
fn a_choice_is_told_as_the_command_that_runs_it() {
    let choice = Choice {
        seed: 7,
        keep: Some(vec![2, 5]),
        until_ns: Some(1_500 * MS),
    };
    assert_eq!(
        choice.to_string(),
        "tickwire world --seed 7 --keep 2,5 --until-ms 1500"
    );
    assert_eq!(Choice::of(3).to_string(), "tickwire world --seed 3");
}

use super::*;

#[test]
fn one_seed_gives_the_same_events_twice() {
    for seed in 0..8 {
        let [first, second] = [(), ()].map(|()| {
            let outcome = run(&Choice::of(seed), Rules::default()).expect("a world");
            assert_eq!(outcome.complaint, None, "seed {seed}");
            outcome.figures
        });
        assert!(first.events > 0, "seed {seed}: {first:?}");
        assert_eq!(first, second, "seed {seed}");
    }
}

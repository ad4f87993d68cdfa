use proptest::prelude::*;

use super::*;
use crate::Twin;

fn level(price: i64, qty: i64) -> Level {
    Level { price, qty }
}

fn book(levels_max: usize) -> Book {
    Book::new(Limits { levels_max })
}

fn edit(kind: EditKind, touch: bool) -> Edit {
    Edit { kind, touch }
}

fn prices(book: &Book, side: Side) -> Vec<i64> {
    book.levels(side).map(|level| level.price).collect()
}

#[test]
fn an_edit_says_what_it_did_and_whether_the_touch_moved() {
    let mut book = book(64);
    assert_eq!(
        book.apply(Side::Bid, 100, 5),
        edit(EditKind::Inserted, true)
    );
    assert_eq!(
        book.apply(Side::Bid, 99, 5),
        edit(EditKind::Inserted, false)
    );
    assert_eq!(book.apply(Side::Bid, 99, 6), edit(EditKind::Changed, false));
    assert_eq!(book.apply(Side::Bid, 100, 7), edit(EditKind::Changed, true));
    assert_eq!(
        book.apply(Side::Bid, 100, 7),
        edit(EditKind::Unchanged, false)
    );
    assert_eq!(book.apply(Side::Bid, 98, 0), edit(EditKind::Absent, false));
    assert_eq!(
        book.apply(Side::Bid, 100, -1),
        edit(EditKind::Refused, false)
    );
    assert_eq!(book.apply(Side::Bid, 100, 0), edit(EditKind::Removed, true));
    assert_eq!(book.best(Side::Bid), Some(level(99, 6)));
    assert_eq!(book.apply(Side::Bid, 99, 0), edit(EditKind::Removed, true));
    assert!(book.is_empty());
}

#[test]
fn both_sides_are_listed_best_first() {
    let mut book = book(64);
    for price in [3, 1, 2] {
        let _ = book.apply(Side::Bid, price, 1);
        let _ = book.apply(Side::Ask, price + 10, 1);
    }
    assert_eq!(prices(&book, Side::Bid), [3, 2, 1]);
    assert_eq!(prices(&book, Side::Ask), [11, 12, 13]);
    assert_eq!(book.worst(Side::Ask), Some(level(13, 1)));
    assert_eq!(
        book.top(),
        Top {
            bid: Some(level(3, 1)),
            ask: Some(level(11, 1))
        }
    );
}

#[test]
fn extreme_prices_keep_their_order() {
    let mut book = book(64);
    for side in [Side::Bid, Side::Ask] {
        for price in [0, i64::MIN, i64::MAX, -1, 1] {
            let _ = book.apply(side, price, i64::MAX);
        }
    }
    assert_eq!(prices(&book, Side::Bid), [i64::MAX, 1, 0, -1, i64::MIN]);
    assert_eq!(prices(&book, Side::Ask), [i64::MIN, -1, 0, 1, i64::MAX]);
    assert_eq!(book.crossed(), Cross::Crossed);
    assert_eq!(book.broken_invariant(), None);
}

#[test]
fn crossed_and_locked_tops_are_told_apart() {
    let mut book = book(64);
    assert_eq!(book.crossed(), Cross::No);
    let _ = book.apply(Side::Bid, 10, 1);
    assert_eq!(book.crossed(), Cross::No);
    let _ = book.apply(Side::Ask, 11, 1);
    assert_eq!(book.crossed(), Cross::No);
    let _ = book.apply(Side::Ask, 10, 1);
    assert_eq!(book.crossed(), Cross::Locked);
    let _ = book.apply(Side::Ask, 9, 1);
    assert_eq!(book.crossed(), Cross::Crossed);
}

#[test]
fn of_a_price_twice_in_a_snapshot_the_last_counts() {
    let mut book = book(64);
    let bids = [
        level(5, 1),
        level(7, 2),
        level(5, 3),
        level(6, 4),
        level(6, 0),
    ];
    book.load(&bids, &[]).unwrap();
    assert_eq!(
        book.levels(Side::Bid).collect::<Vec<_>>(),
        [level(7, 2), level(5, 3)]
    );
    assert_eq!(book.watermark(Side::Bid), None);
}

#[test]
fn a_negative_quantity_in_a_snapshot_leaves_the_book_empty() {
    let mut book = book(64);
    let _ = book.apply(Side::Bid, 1, 1);
    let error = book.load(&[level(5, 1)], &[level(6, 1), level(7, -2)]);
    assert_eq!(
        error,
        Err(BookError::NegativeQty {
            side: Side::Ask,
            price: 7,
            qty: -2
        })
    );
    assert!(book.is_empty());
}

#[test]
fn a_snapshot_beyond_the_cap_is_cut_and_keeps_no_more_memory() {
    let mut book = book(4);
    let bids: Vec<Level> = (0..100).map(|price| level(price, 1)).collect();
    book.load(&bids, &[]).unwrap();
    assert_eq!(prices(&book, Side::Bid), [99, 98, 97, 96]);
    assert_eq!(book.watermark(Side::Bid), Some(96));
    assert!(book.bids.levels.is_within(4));
}

#[test]
fn a_full_side_drops_its_worst_chunk_and_says_so() {
    let mut book = book(16);
    for price in 1..=16 {
        assert_eq!(book.apply(Side::Ask, price, 1).kind, EditKind::Inserted);
    }
    assert_eq!(book.watermark(Side::Ask), None);
    assert_eq!(book.apply(Side::Ask, 17, 1), edit(EditKind::Dropped, false));
    assert_eq!(
        (book.len(Side::Ask), book.watermark(Side::Ask)),
        (16, Some(16))
    );
    assert_eq!(book.apply(Side::Ask, 0, 1), edit(EditKind::Inserted, true));
    assert_eq!(
        (book.len(Side::Ask), book.watermark(Side::Ask)),
        (15, Some(14))
    );
    // The connector's own mark never loosens what the cap has cut.
    book.set_watermark(Side::Ask, Some(15));
    assert_eq!(book.watermark(Side::Ask), Some(14));
    book.set_watermark(Side::Ask, Some(10));
    assert_eq!(book.watermark(Side::Ask), Some(10));
    book.clear();
    assert_eq!(book.watermark(Side::Ask), None);
}

#[test]
fn a_new_level_within_the_dropped_chunk_is_dropped() {
    let mut book = book(16);
    for price in 1..=16 {
        let _ = book.apply(Side::Bid, price * 10, 1);
    }
    assert_eq!(book.apply(Side::Bid, 15, 1), edit(EditKind::Dropped, false));
    assert_eq!(
        (book.len(Side::Bid), book.watermark(Side::Bid)),
        (15, Some(20))
    );
}

#[test]
fn the_touch_nears_the_watermark_as_levels_go() {
    let mut book = book(64);
    let bids: Vec<Level> = (1..=5).map(|price| level(price, 1)).collect();
    book.load(&bids, &[]).unwrap();
    assert!(
        !book.touch_near_watermark(Side::Bid, 100),
        "complete throughout"
    );
    book.set_watermark(Side::Bid, book.worst(Side::Bid).map(|level| level.price));
    assert!(!book.touch_near_watermark(Side::Bid, 5));
    assert!(book.touch_near_watermark(Side::Bid, 6));
    // Held, and still not known to be complete.
    let _ = book.apply(Side::Bid, 0, 1);
    assert!(book.touch_near_watermark(Side::Bid, 6));
    for price in 2..=5 {
        let _ = book.apply(Side::Bid, price, 0);
    }
    assert!(book.touch_near_watermark(Side::Bid, 2));
    assert!(!book.touch_beyond_watermark(Side::Bid));
    let _ = book.apply(Side::Bid, 1, 0);
    assert!(book.touch_beyond_watermark(Side::Bid));
    let _ = book.apply(Side::Bid, 0, 0);
    assert!(
        book.touch_beyond_watermark(Side::Bid),
        "an empty side has no known touch"
    );
}

#[test]
fn edits_never_grow_the_memory() {
    let mut book = book(32);
    let mut clone = book.clone();
    for book in [&mut book, &mut clone] {
        for step in 0..10_000i64 {
            let _ = book.apply(Side::Ask, step.wrapping_mul(7_919) % 211, 1 + step % 3);
        }
        assert!(book.asks.levels.is_within(32));
    }
}

/// The best prices wander far, by steps of one tick and by leaps, and all that is behind them is deleted.
#[test]
fn a_touch_that_wanders_takes_its_window_along() {
    let mut rng = 7u64;
    let mut next = |below: i64| {
        rng = rng.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (rng >> 33) as i64 % below
    };
    for (levels_max, tick) in [(300, 1), (40, 25), (5_000, 10)] {
        let (mut book, mut twin) = (book(levels_max), Twin::new(Limits { levels_max }));
        let mut mid = 60_000 * tick;
        for step in 0..60_000 {
            mid += match next(500) {
                0 => (next(4_000) - 2_000) * tick,
                1 => (next(100_000) - 50_000) * tick,
                some => (some % 3 - 1) * tick,
            };
            let far = if next(8) == 0 { 3_000 } else { 60 };
            let price = mid + (next(far) - next(60)) * tick;
            for (side, price) in [(Side::Ask, price), (Side::Bid, -price)] {
                let qty = next(3);
                assert_eq!(book.apply(side, price, qty), twin.apply(side, price, qty));
                // What is crossed goes.
                while let Some(best) = twin.best(side)
                    && (best.price.abs() - mid).abs() > 20_000 * tick
                {
                    let edits = [&mut book].map(|book| book.apply(side, best.price, 0));
                    assert_eq!(edits, [twin.apply(side, best.price, 0)]);
                }
                assert_eq!(book.best(side), twin.best(side));
            }
            if step % 997 == 0 {
                assert_same(&book, &twin).expect("the same");
            }
        }
    }
}

#[test]
fn a_finer_tick_is_let_in() {
    let mut book = book(500);
    let coarse: Vec<Level> = (0..200)
        .map(|index| level(10_000 - index * 10, 1))
        .collect();
    book.load(&coarse, &[]).expect("good levels");
    for (price, kind) in [
        (9_005, EditKind::Inserted),
        (9_003, EditKind::Absent),
        (11_111, EditKind::Inserted),
        (9_990, EditKind::Changed),
    ] {
        let qty = if kind == EditKind::Absent { 0 } else { 2 };
        assert_eq!(book.apply(Side::Bid, price, qty).kind, kind, "{price}");
        assert_eq!(book.broken_invariant(), None);
    }
    assert_eq!(book.len(Side::Bid), 202);
    assert_eq!(book.best(Side::Bid), Some(level(11_111, 2)));
    assert_eq!(book.qty_at(Side::Bid, 9_005), Some(2));
    assert_eq!(book.qty_at(Side::Bid, 9_004), None);
}

#[derive(Clone, Debug)]
enum Step {
    Apply(Side, i64, i64),
    All(Side, Vec<Level>),
    Load(Vec<Level>, Vec<Level>),
    Watermark(Side, Option<i64>),
    Clear,
}

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Bid), Just(Side::Ask)]
}

/// Close together (so that deletes hit), wide, and the ends of the range.
fn price() -> impl Strategy<Value = i64> {
    prop_oneof![
        8 => -12i64..12,
        3 => -400i64..400,
        3 => (-900i64..900).prop_map(|ticks| ticks * 5),
        2 => (-40_000i64..40_000).prop_map(|ticks| ticks * 50),
        1 => (-9i64..9).prop_map(|beyond| (1 << 61) + beyond),
        1 => any::<i64>(),
        1 => Just(i64::MIN),
    ]
}

fn qty() -> impl Strategy<Value = i64> {
    prop_oneof![5 => 1i64..4, 4 => Just(0i64), 1 => any::<i64>()]
}

fn levels() -> impl Strategy<Value = Vec<Level>> {
    let qty = prop_oneof![40 => 0i64..4, 1 => any::<i64>()];
    prop::collection::vec(
        (price(), qty).prop_map(|(price, qty)| Level { price, qty }),
        0..60,
    )
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        60 => (side(), price(), qty()).prop_map(|(side, price, qty)| Step::Apply(side, price, qty)),
        10 => (side(), levels()).prop_map(|(side, levels)| Step::All(side, levels)),
        1 => (levels(), levels()).prop_map(|(bids, asks)| Step::Load(bids, asks)),
        2 => (side(), prop::option::of(price())).prop_map(|(side, price)| {
            Step::Watermark(side, price)
        }),
        1 => Just(Step::Clear),
    ];
    prop::collection::vec(step, 0..400)
}

fn assert_same(book: &Book, twin: &Twin) -> Result<(), TestCaseError> {
    prop_assert_eq!(book.broken_invariant(), None);
    prop_assert_eq!(book.top(), twin.top());
    prop_assert_eq!(book.crossed(), twin.crossed());
    prop_assert_eq!(book.is_empty(), twin.is_empty());
    for side in [Side::Bid, Side::Ask] {
        prop_assert!(book.levels(side).eq(twin.levels(side)));
        prop_assert_eq!(book.len(side), twin.len(side));
        prop_assert_eq!(book.worst(side), twin.worst(side));
        prop_assert_eq!(book.watermark(side), twin.watermark(side));
        prop_assert_eq!(
            book.touch_beyond_watermark(side),
            twin.touch_beyond_watermark(side)
        );
        for margin in [0, 1, 2, 5, 20] {
            prop_assert_eq!(
                book.touch_near_watermark(side, margin),
                twin.touch_near_watermark(side, margin)
            );
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn book_equals_its_twin(levels_max in 0usize..200, steps in steps()) {
        let mut book = book(levels_max);
        let mut twin = Twin::new(Limits { levels_max });
        for step in steps {
            match step {
                Step::Apply(side, price, qty) => {
                    prop_assert_eq!(book.apply(side, price, qty), twin.apply(side, price, qty));
                    prop_assert_eq!(book.qty_at(side, price), twin.qty_at(side, price));
                }
                Step::All(side, levels) => {
                    let mut touch = false;
                    for Level { price, qty } in &levels {
                        touch |= twin.apply(side, *price, *qty).touch;
                    }
                    prop_assert_eq!(book.apply_all(side, &levels), touch);
                }
                Step::Load(bids, asks) => {
                    prop_assert_eq!(book.load(&bids, &asks), twin.load(&bids, &asks));
                }
                Step::Watermark(side, price) => {
                    book.set_watermark(side, price);
                    twin.set_watermark(side, price);
                }
                Step::Clear => {
                    book.clear();
                    twin.clear();
                }
            }
            assert_same(&book, &twin)?;
        }
    }

    #[test]
    fn a_snapshot_loads_the_same_in_any_order(
        prices in prop::collection::btree_set(price(), 0..60),
    ) {
        let worst_first: Vec<Level> = prices.iter().map(|price| level(*price, 1)).collect();
        let best_first: Vec<Level> = worst_first.iter().rev().copied().collect();
        let half = worst_first.len() / 2;
        let mixed = [&worst_first[half..], &worst_first[..half]].concat();
        for levels in [&worst_first, &best_first, &mixed] {
            let mut book = book(64);
            book.load(levels, levels).unwrap();
            prop_assert!(book.levels(Side::Bid).eq(best_first.iter().copied()));
            prop_assert!(book.levels(Side::Ask).eq(worst_first.iter().copied()));
        }
    }
}

use proptest::prelude::*;

use super::*;
use crate::Limits;

const SCALE: Scale = Scale::of(2);

fn book(bids: &[(i64, i64)], asks: &[(i64, i64)]) -> Book {
    let levels = |side: &[(i64, i64)]| -> Vec<Level> {
        side.iter()
            .map(|&(price, qty)| Level { price, qty })
            .collect()
    };
    let mut book = Book::new(Limits { levels_max: 64 });
    book.load(&levels(bids), &levels(asks)).unwrap();
    book
}

fn real(value: f64) -> Option<Real> {
    Some(Real::from_num(value))
}

#[test]
fn a_small_book_has_the_figures_one_works_out_by_hand() {
    let book = book(&[(10_000, 3), (9_900, 1)], &[(10_100, 1), (10_300, 3)]);
    let top = book.top();
    assert_eq!(mid(&top, SCALE), real(100.5));
    assert_eq!(microprice(&top, SCALE), real(100.75));
    assert_eq!(spread(&top, SCALE), Some(Price::new(100, SCALE)));
    assert_eq!(vwap_levels(&book, Side::Bid, 1, SCALE), real(100.0));
    assert_eq!(vwap_levels(&book, Side::Bid, 9, SCALE), real(99.75));
    assert_eq!(vwap_for_qty(&book, Side::Ask, 1, SCALE), real(101.0));
    assert_eq!(vwap_for_qty(&book, Side::Ask, 2, SCALE), real(102.0));
    assert_eq!(vwap_for_qty(&book, Side::Ask, 4, SCALE), real(102.5));
    assert_eq!(
        vwap_for_qty(&book, Side::Ask, 5, SCALE),
        None,
        "the side holds less"
    );
    assert_eq!(imbalance(&book, 1), real(0.5));
    assert_eq!(imbalance(&book, 2), real(0.0));
}

#[test]
fn an_empty_or_one_sided_book_has_no_figures() {
    let empty = book(&[], &[]);
    let bids = book(&[(10_000, 3)], &[]);
    for book in [&empty, &bids] {
        assert_eq!(mid(&book.top(), SCALE), None);
        assert_eq!(microprice(&book.top(), SCALE), None);
        assert_eq!(spread(&book.top(), SCALE), None);
        assert_eq!(vwap_levels(book, Side::Ask, 5, SCALE), None);
        assert_eq!(vwap_for_qty(book, Side::Ask, 1, SCALE), None);
    }
    assert_eq!(imbalance(&empty, 5), None);
    assert_eq!(imbalance(&bids, 5), real(1.0));
    assert_eq!(imbalance(&bids, 0), None);
    assert_eq!(vwap_levels(&bids, Side::Bid, 0, SCALE), None);
    assert_eq!(vwap_for_qty(&bids, Side::Bid, 0, SCALE), None);
    assert_eq!(vwap_for_qty(&bids, Side::Bid, -1, SCALE), None);
}

#[test]
fn a_ratio_of_wide_numbers_is_exact_where_it_can_be() {
    assert_eq!(ratio(1 << 100, 1 << 101), real(0.5));
    assert_eq!(ratio(-(3 << 100), 1 << 102), real(-0.75));
    assert_eq!(ratio(i128::MAX, i128::MAX), real(1.0));
    assert_eq!(ratio(i128::MIN, 1), None);
    assert_eq!(ratio(1, 0), None);
}

#[test]
fn extreme_books_never_overflow() {
    let ends = [i64::MIN, -1, 0, 1, i64::MAX];
    for bid in ends {
        for ask in ends {
            let book = book(
                &[(bid, i64::MAX), (0, i64::MAX)],
                &[(ask, i64::MAX), (5, 1)],
            );
            for digits in [0, 18] {
                let scale = Scale::of(digits);
                let _ = (mid(&book.top(), scale), microprice(&book.top(), scale));
                let _ = spread(&book.top(), scale);
                let _ = (imbalance(&book, 9), vwap_levels(&book, Side::Bid, 9, scale));
                let _ = vwap_for_qty(&book, Side::Bid, i64::MAX, scale);
            }
        }
    }
    let widest = Top {
        bid: Some(Level {
            price: i64::MIN,
            qty: 1,
        }),
        ask: Some(Level {
            price: i64::MAX,
            qty: 1,
        }),
    };
    assert_eq!(spread(&widest, SCALE), None);
}

proptest! {
    #[test]
    fn a_ratio_is_the_quotient_rounded_towards_zero(
        numerator in any::<i64>(),
        shift in 0u32..60,
        denominator in 1i128..i128::MAX >> 8,
    ) {
        use bigdecimal::num_bigint::BigInt;
        let numerator = i128::from(numerator) << shift;
        let expected = (BigInt::from(numerator) << 64u32) / BigInt::from(denominator);
        let expected = i128::try_from(expected).ok();
        prop_assert_eq!(ratio(numerator, denominator).map(Real::to_bits), expected);
    }

    #[test]
    fn a_mean_lies_between_the_prices(
        bids in prop::collection::btree_map(1i64..1_000_000_000, 1i64..1_000_000_000, 1..40),
        levels_max in 1usize..50,
    ) {
        let bids: Vec<(i64, i64)> = bids.into_iter().collect();
        let book = book(&bids, &[]);
        let mean = vwap_levels(&book, Side::Bid, levels_max, Scale::of(0)).unwrap();
        let worst = book.levels(Side::Bid).take(levels_max).next_back().unwrap();
        prop_assert!(mean >= Real::from_num(worst.price));
        prop_assert!(mean <= Real::from_num(bids.last().unwrap().0));
        let held = bids.iter().map(|(_, qty)| qty).sum();
        prop_assert_eq!(
            vwap_for_qty(&book, Side::Bid, held, SCALE),
            vwap_levels(&book, Side::Bid, usize::MAX, SCALE)
        );
        prop_assert_eq!(vwap_for_qty(&book, Side::Bid, held + 1, SCALE), None);
    }
}

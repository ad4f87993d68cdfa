use std::collections::hash_map::DefaultHasher;

use bigdecimal::num_bigint::BigInt;
use bigdecimal::{BigDecimal, Zero};
use proptest::prelude::*;

use super::*;

fn big(text: &str) -> BigDecimal {
    text.parse().expect("bigdecimal reads it")
}

fn big_price(price: Price) -> BigDecimal {
    BigDecimal::new(
        BigInt::from(price.mantissa()),
        i64::from(price.scale().get()),
    )
}

fn big_amount(amount: Amount) -> BigDecimal {
    BigDecimal::new(BigInt::from(amount.mantissa()), i64::from(amount.scale()))
}

fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// What [`mantissa_at`] must give for well-formed text.
fn oracle(text: &str, scale: Scale) -> Result<i64, DecimalError> {
    let scaled = big(text) * BigDecimal::from(scale.pow10());
    let whole = scaled.with_scale(0);
    let mantissa = whole.as_bigint_and_exponent().0;
    let mantissa = i64::try_from(mantissa).map_err(|_| DecimalError::Overflow)?;
    if whole == scaled {
        Ok(mantissa)
    } else {
        Err(DecimalError::ExcessDigits)
    }
}

fn malformed<T>(at: usize) -> Result<T, DecimalError> {
    Err(DecimalError::Malformed { at })
}

#[test]
fn mantissa_at_reads_what_venues_send() {
    let table: &[(&str, u8, Result<i64, DecimalError>)] = &[
        ("25.35190000", 4, Ok(253_519)),
        ("25.35190000", 8, Ok(2_535_190_000)),
        ("25.35190000", 3, Err(DecimalError::ExcessDigits)),
        ("0", 8, Ok(0)),
        ("-0.0", 8, Ok(0)),
        ("0.00000001", 8, Ok(1)),
        ("-12.5", 2, Ok(-1_250)),
        ("007", 0, Ok(7)),
        ("9223372036854775807", 0, Ok(i64::MAX)),
        ("-9223372036854775808", 0, Ok(i64::MIN)),
        ("-9.223372036854775808", 18, Ok(i64::MIN)),
        ("9223372036854775808", 0, Err(DecimalError::Overflow)),
        ("-9223372036854775809", 0, Err(DecimalError::Overflow)),
        ("18446744073709551617", 0, Err(DecimalError::Overflow)),
        (
            "100000000000000000000000000000000",
            0,
            Err(DecimalError::Overflow),
        ),
        ("10", 18, Err(DecimalError::Overflow)),
        ("99999999999999999999.9", 0, Err(DecimalError::Overflow)),
        ("00000000000000000000000000000000000001.5", 1, Ok(15)),
        ("1.50000000000000000000000000000000000000", 1, Ok(15)),
        ("", 2, Err(DecimalError::Empty)),
        ("-", 2, malformed(1)),
        ("+1", 2, malformed(0)),
        (".5", 2, malformed(0)),
        ("-.5", 2, malformed(1)),
        ("5.", 2, malformed(2)),
        ("-5.", 2, malformed(3)),
        (".", 2, malformed(0)),
        ("1.2.3", 2, malformed(3)),
        ("1,5", 2, malformed(1)),
        ("--1", 2, malformed(1)),
        ("1.5 ", 2, malformed(3)),
        (" 1", 2, malformed(0)),
        ("1e5", 2, malformed(1)),
        ("1.005x", 2, malformed(5)),
        ("99999999999999999999x", 2, malformed(20)),
        ("NaN", 2, malformed(0)),
    ];
    for (text, scale, expected) in table {
        assert_eq!(
            mantissa_at(text.as_bytes(), Scale::of(*scale)),
            *expected,
            "{text:?}"
        );
    }
}

#[test]
fn json_numbers_may_have_exponents() {
    let at = |text: &str, scale| json_mantissa_at(text.as_bytes(), Scale::of(scale));
    assert_eq!(at("1e-5", 5), Ok(1));
    assert_eq!(at("1e-5", 4), Err(DecimalError::ExcessDigits));
    assert_eq!(at("-1.50E+3", 2), Ok(-150_000));
    assert_eq!(at("2.5", 1), Ok(25));
    assert_eq!(at("1e19", 0), Err(DecimalError::Overflow));
    assert_eq!(at("1e99999999999999999999", 0), Err(DecimalError::Overflow));
    assert_eq!(at("0e99999999999999999999", 0), Ok(0));
    assert_eq!(at("0e-99999999999999999999", 0), Ok(0));
    assert_eq!(
        at("1e-99999999999999999999", 18),
        Err(DecimalError::ExcessDigits)
    );
    assert_eq!(at("1e", 0), malformed(2));
    assert_eq!(at("1e+", 0), malformed(3));
    assert_eq!(at("1e5.0", 0), malformed(3));
    assert_eq!(at("e5", 0), malformed(0));
}

#[test]
fn required_scale_ignores_trailing_zeros() {
    let of = |text: &str| required_scale(text.as_bytes()).map(Scale::get);
    assert_eq!(of("25.35190000"), Ok(4));
    assert_eq!(of("100"), Ok(0));
    assert_eq!(of("0.000"), Ok(0));
    assert_eq!(of("1.50e-5"), Ok(6));
    assert_eq!(of("0.0000000000000000010"), Ok(18));
    assert_eq!(of("0.0000000000000000001"), Err(DecimalError::ExcessDigits));
    assert_eq!(of(""), Err(DecimalError::Empty));
    assert_eq!(of("1."), malformed(2));
}

#[test]
fn parse_keeps_the_scale_that_was_written() {
    let parts = |text: &str| {
        let price: Price = text.parse().unwrap();
        (price.mantissa(), price.scale().get())
    };
    assert_eq!(parts("1.50"), (150, 2));
    assert_eq!(parts("1e-5"), (1, 5));
    assert_eq!(parts("1.20e-3"), (120, 5));
    assert_eq!(parts("2e3"), (2_000, 0));
    assert_eq!(parts("-0"), (0, 0));
    // Zeros go where there is no room for them.
    assert_eq!(
        parts("1.00000000000000000000000"),
        (1_000_000_000_000_000_000, 18)
    );
    assert_eq!(
        parts("100000.00000000000000"),
        (1_000_000_000_000_000_000, 13)
    );
    assert_eq!(
        Price::parse(b"1.0000000000000000001"),
        Err(DecimalError::ExcessDigits)
    );
    assert_eq!(
        Price::parse(b"12345678901234567890"),
        Err(DecimalError::Overflow)
    );
    assert_eq!(Qty::parse(b"1 "), malformed(1));
}

#[test]
fn text_has_all_digits_and_plain_only_those_that_count() {
    let price = Price::new(-150, Scale::of(3));
    assert_eq!(price.text(), "-0.150");
    assert_eq!(price.plain(), "-0.15");
    assert_eq!(Price::new(0, Scale::of(2)).to_string(), "0.00");
    assert_eq!(Price::new(1_200, Scale::of(0)).plain(), "1200");
    assert_eq!(Price::new(1_200, Scale::of(2)).plain(), "12");
    assert_eq!(
        format!("{:>8}|{:<8}|{:+}", price, price, Qty::new(1, Scale::of(1))),
        "  -0.150|-0.150  |+0.1"
    );
    assert_eq!(
        format!("{:.1}", Price::new(1234, Scale::of(3))),
        "1.234",
        "no digit is hidden"
    );
    assert_eq!(format!("{price:?}"), "Price(-0.150)");
    let least = Amount::new(i128::MIN, 38).unwrap();
    assert_eq!(least.text(), "-1.70141183460469231731687303715884105728");
    assert_eq!(
        Amount::new(-1, 38).unwrap().text(),
        "-0.00000000000000000000000000000000000001"
    );
    assert_eq!(
        Amount::parse(least.text().as_bytes()).unwrap().mantissa(),
        i128::MIN
    );
}

#[test]
fn multiples_and_sums_are_exact() {
    let price = |text: &str| text.parse::<Price>().unwrap();
    assert!(price("0.3").is_multiple_of(price("0.1")));
    assert!(price("100").is_multiple_of(price("0.05")));
    assert!(!price("100.01").is_multiple_of(price("0.05")));
    assert!(
        price("1.23").is_multiple_of(price("0.000")),
        "a step of zero is a rule that is off"
    );
    assert_eq!(
        price("0.1").checked_add(price("0.2")).unwrap(),
        price("0.3")
    );
    assert_eq!(
        price("0.1").checked_sub(price("0.25")).unwrap(),
        price("-0.15")
    );
    assert_eq!(
        Price::new(i64::MAX, Scale::of(0)).checked_add(price("0.1")),
        None
    );
}

#[test]
fn amounts_compare_beyond_the_reach_of_one_scale() {
    let amount = |text: &str| text.parse::<Amount>().unwrap();
    let tiny = Amount::new(1, 38).unwrap();
    assert!(amount("1e38") > tiny);
    assert!(amount("-1e38") < tiny);
    assert_eq!(amount("1e38").checked_add(tiny), None);
    let padded = Amount::new(10i128.pow(38), 38).unwrap();
    assert_eq!(
        amount("1e30").checked_add(padded),
        Some(amount("1000000000000000000000000000001"))
    );
    assert_eq!(Amount::new(0, 39), None);
}

/// Digits with an optional fraction, biased to the lengths where things break.
fn plain_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "-?[0-9]{1,21}(\\.[0-9]{1,21})?",
        "-?0{0,3}[0-9]{1,6}(\\.[0-9]{1,8}0{0,12})?",
        "-?922337203685477580[0-9](\\.0{1,4})?",
    ]
}

fn json_text() -> impl Strategy<Value = String> {
    (plain_text(), prop::option::of("[eE][+-]?[0-9]{1,2}"))
        .prop_map(|(text, exponent)| text + exponent.as_deref().unwrap_or_default())
}

fn scale() -> impl Strategy<Value = Scale> {
    (0u8..=18).prop_map(Scale::of)
}

fn price() -> impl Strategy<Value = Price> {
    let mantissa = prop_oneof![
        any::<i64>(),
        -1_000i64..1_000,
        (-99i64..99).prop_map(|m| m * 1_000)
    ];
    (mantissa, scale()).prop_map(|(mantissa, scale)| Price::new(mantissa, scale))
}

fn amount() -> impl Strategy<Value = Amount> {
    let mantissa = prop_oneof![
        any::<i128>(),
        -1_000i128..1_000,
        (-99i128..99).prop_map(|m| m * 1_000)
    ];
    (mantissa, 0u8..=38).prop_map(|(mantissa, scale)| Amount::new(mantissa, scale).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn mantissa_at_equals_bigdecimal(text in plain_text(), scale in scale()) {
        let expected = oracle(&text, scale);
        prop_assert_eq!(mantissa_at(text.as_bytes(), scale), expected);
        prop_assert_eq!(json_mantissa_at(text.as_bytes(), scale), expected);
    }

    #[test]
    fn readers_take_any_bytes_without_a_panic(
        text in prop_oneof!["[-+.eE0-9]{0,12}", ".{0,8}"],
        scale in scale(),
    ) {
        let text = text.as_bytes();
        let plain = mantissa_at(text, scale);
        let json = json_mantissa_at(text, scale);
        if plain.is_ok() {
            prop_assert_eq!(plain, json);
        }
        let malformed =
            |error| matches!(error, DecimalError::Malformed { .. } | DecimalError::Empty);
        // All readers agree on what is a number and on where it breaks.
        let errors = [
            json.err(),
            Price::parse(text).err(),
            Amount::parse(text).err(),
            required_scale(text).err(),
        ];
        let errors = errors.map(|error| error.filter(|error| malformed(*error)));
        prop_assert!(errors.iter().all(|error| *error == errors[0]), "{errors:?}");
    }

    #[test]
    fn parse_equals_bigdecimal(text in json_text()) {
        let expected = big(&text);
        match Price::parse(text.as_bytes()) {
            Ok(price) => prop_assert_eq!(big_price(price), expected.clone()),
            Err(DecimalError::ExcessDigits) => prop_assert!(expected != expected.with_scale(18)),
            Err(_) => {
                let needed = expected.normalized().as_bigint_and_exponent().1.clamp(0, 18);
                let mantissa = expected.with_scale(needed).as_bigint_and_exponent().0;
                prop_assert!(i64::try_from(mantissa).is_err());
            }
        }
        match Amount::parse(text.as_bytes()) {
            Ok(amount) => prop_assert_eq!(big_amount(amount), expected),
            Err(DecimalError::ExcessDigits) => prop_assert!(expected != expected.with_scale(38)),
            Err(_) => {
                let needed = expected.normalized().as_bigint_and_exponent().1.clamp(0, 38);
                let mantissa = expected.with_scale(needed).as_bigint_and_exponent().0;
                prop_assert!(i128::try_from(mantissa).is_err());
            }
        }
    }

    #[test]
    fn required_scale_is_the_least_that_reads(text in json_text()) {
        match required_scale(text.as_bytes()) {
            Ok(needed) => {
                let read = |scale| json_mantissa_at(text.as_bytes(), scale);
                prop_assert_ne!(read(needed), Err(DecimalError::ExcessDigits));
                if let Some(less) = needed.get().checked_sub(1) {
                    prop_assert!(read(Scale::of(less)).is_err());
                }
            }
            Err(error) => prop_assert_eq!(error, DecimalError::ExcessDigits),
        }
    }

    #[test]
    fn text_and_plain_read_back(price in price(), amount in amount()) {
        let back = Price::parse(price.text().as_bytes()).unwrap();
        prop_assert_eq!((back.mantissa(), back.scale()), (price.mantissa(), price.scale()));
        prop_assert_eq!(price.plain().as_str().parse::<Price>(), Ok(price));
        prop_assert_eq!(mantissa_at(price.plain().as_bytes(), price.scale()), Ok(price.mantissa()));
        let back = Amount::parse(amount.text().as_bytes()).unwrap();
        prop_assert_eq!((back.mantissa(), back.scale()), (amount.mantissa(), amount.scale()));
        prop_assert_eq!(amount.plain().as_str().parse::<Amount>(), Ok(amount));
    }

    #[test]
    fn order_and_hash_equal_bigdecimal(left in price(), right in price(), wide in scale()) {
        prop_assert_eq!(left.cmp(&right), big_price(left).cmp(&big_price(right)));
        if let Ok(same) = left.rescale(wide) {
            prop_assert_eq!(same, left);
            prop_assert_eq!(hash(same), hash(left));
            prop_assert_eq!(hash(Amount::from(same)), hash(Amount::from(left)));
        }
    }

    #[test]
    fn rescale_is_exact_or_an_error(price in price(), to in scale()) {
        let expected = oracle(price.text().as_str(), to);
        match price.rescale(to) {
            Ok(same) => prop_assert_eq!(Ok(same.mantissa()), expected),
            Err(error) => prop_assert_eq!(Err(error), expected),
        }
    }

    #[test]
    fn sums_and_multiples_equal_bigdecimal(left in price(), right in price()) {
        let (big_left, big_right) = (big_price(left), big_price(right));
        if let Some(sum) = left.checked_add(right) {
            prop_assert_eq!(big_price(sum), &big_left + &big_right);
        }
        if let Some(difference) = left.checked_sub(right) {
            prop_assert_eq!(big_price(difference), &big_left - &big_right);
        }
        if !right.is_zero() {
            let whole = (&big_left % &big_right).is_zero();
            prop_assert_eq!(left.is_multiple_of(right), whole);
        }
    }

    #[test]
    fn notional_is_the_exact_product(price in price(), qty in price()) {
        let qty = Qty::new(qty.mantissa(), qty.scale());
        let expected = big_price(price) * BigDecimal::from(qty.mantissa())
            / BigDecimal::from(qty.scale().pow10());
        let product = Amount::notional(price, qty);
        prop_assert_eq!(product.scale(), price.scale().get() + qty.scale().get());
        prop_assert_eq!(big_amount(product), expected);
    }

    #[test]
    fn amounts_equal_bigdecimal(left in amount(), right in amount()) {
        let (big_left, big_right) = (big_amount(left), big_amount(right));
        prop_assert_eq!(left.cmp(&right), big_left.cmp(&big_right));
        if left == right {
            prop_assert_eq!(hash(left), hash(right));
        }
        if let Some(sum) = left.checked_add(right) {
            prop_assert_eq!(big_amount(sum), &big_left + &big_right);
        }
        if let Some(difference) = left.checked_sub(right) {
            prop_assert_eq!(big_amount(difference), &big_left - &big_right);
        }
    }

    #[test]
    fn to_f64_is_near(price in price()) {
        let expected: f64 = price.text().as_str().parse().unwrap();
        prop_assert!((price.to_f64() - expected).abs() <= expected.abs() * 1e-15);
    }
}

use super::*;
use proptest::prelude::*;

fn word(text: &[u8]) -> u128 {
    let mut bytes = [0; WIDTH];
    let count = text.len().min(WIDTH);
    bytes[..count].copy_from_slice(&text[..count]);
    u128::from_le_bytes(bytes)
}

#[test]
fn words_at_the_end_of_a_text_end_in_zeros() {
    let text = b"0123456789abcdefghij";
    for at in 0..text.len() {
        assert_eq!(load(text, at), Some(word(&text[at..])), "{at}");
    }
    assert_eq!(load(text, text.len()), None);
    assert_eq!(load(text, text.len() + 1), None);
    assert_eq!(load(b"short", 0), None);
}

#[test]
fn decimals_are_read_or_left_to_others() {
    let read = |number, missing, length| {
        Some(Digits {
            number,
            missing,
            length,
        })
    };
    let table: [(&str, u8, Option<Digits>); 25] = [
        ("0\"", 0, read(0, 0, 1)),
        ("0\"", 8, read(0, 8, 1)),
        ("61837.63000000\"", 2, read(6_183_763, 0, 14)),
        ("61837.63000000\"", 8, read(6_183_763_000_000, 0, 14)),
        ("61837.63000000\"", 9, read(6_183_763_000_000, 1, 14)),
        ("61837.63000000\"", 1, None),
        ("61837.63000000\"", 0, None),
        ("61837.00000000\"", 0, read(61_837, 0, 14)),
        ("0.00000001\"", 8, read(1, 0, 10)),
        ("0.00000001\"", 7, None),
        ("123456789012345\"", 0, None),
        ("12345678\"", 0, read(12_345_678, 0, 8)),
        ("12345678.123456\"", 6, read(12_345_678_123_456, 0, 15)),
        ("1.123456789\"", 9, None),
        ("1234567890123456\"", 0, None),
        ("12345678901234.5\"", 1, None),
        ("1.5\",\"2.25\"", 2, read(15, 1, 3)),
        ("15\",\"2.25\"", 2, read(15, 2, 2)),
        ("\"", 2, None),
        (".5\"", 2, None),
        ("5.\"", 2, None),
        ("1.2.3\"", 8, None),
        ("-1\"", 2, None),
        ("1e5\"", 2, None),
        ("1.5", 2, None),
    ];
    for (text, scale, want) in table {
        assert_eq!(
            decimal(word(text.as_bytes()), scale),
            want,
            "{text} at {scale}"
        );
    }
}

#[test]
fn integers_are_read_or_left_to_others() {
    let table: [(&str, Option<(u64, usize)>); 9] = [
        ("0,", Some((0, 1))),
        ("7}", Some((7, 1))),
        ("1723161255208,\"s\":", Some((1_723_161_255_208, 13))),
        ("123456789012345,", Some((123_456_789_012_345, 15))),
        ("1234567890123456,", None),
        ("01,", None),
        ("-1,", None),
        (",", None),
        ("", None),
    ];
    for (text, want) in table {
        assert_eq!(integer(word(text.as_bytes())), want, "{text}");
    }
}

proptest! {
    #[test]
    fn any_word_gives_what_a_loop_gives(text in proptest::collection::vec(
        prop_oneof![4 => b'0'..=b'9', 1 => Just(b'.'), 1 => Just(b'"'), 1 => any::<u8>()], 0..20,
    ), scale in 0u8..19) {
        let word = word(&text);
        let padded: Vec<u8> = word.to_le_bytes().to_vec();
        prop_assert_eq!(Marks::of(word), Marks::by_loop(word));
        let length = padded.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let digits = core::str::from_utf8(&padded[..length]).unwrap_or("");
        let whole = (1..=15).contains(&length) && !(length > 1 && digits.starts_with('0'));
        let want = whole.then(|| (digits.parse::<u64>().unwrap_or(0), length));
        prop_assert_eq!(integer(word), want);
        if let Some(got) = decimal(word, scale) {
            let text = core::str::from_utf8(&padded[..got.length]).unwrap_or("");
            let scale = tickwire_orderbook::Scale::new(scale).expect("at most 18");
            let slow = tickwire_orderbook::decimal::mantissa_at(text.as_bytes(), scale);
            let fast = i64::try_from(got.number).ok();
            let fast = fast.and_then(|it| it.checked_mul(10i64.pow(got.missing as u32)));
            prop_assert_eq!(slow.ok(), fast);
        }
    }

    #[test]
    fn strings_end_where_a_loop_ends(bytes in any::<[u8; 8]>(), at in 0usize..9, mark in
        prop_oneof![Just(b'"'), Just(b'\\'), 0u8..0x20])
    {
        let mut bytes = bytes.map(|byte| byte | 0x40 | (byte & 1) << 7).map(|byte| if byte == b'\\' { b'a' } else { byte });
        if let Some(place) = bytes.get_mut(at) {
            *place = mark;
        }
        let want = bytes.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
        prop_assert_eq!(string_end(bytes), want.unwrap_or(8));
    }

    #[test]
    fn hexadecimal_digits_are_what_the_library_reads(bytes in prop_oneof![
        any::<[u8; 8]>(),
        proptest::array::uniform8(prop_oneof![b'0'..=b'9', b'a'..=b'f', b'A'..=b'F']),
        (proptest::array::uniform8(prop_oneof![b'0'..=b'9', b'a'..=b'f', b'A'..=b'F']), 0usize..8, any::<u8>())
            .prop_map(|(mut bytes, at, byte)| { bytes[at] = byte; bytes }),
    ]) {
        let is_hex = bytes.iter().all(u8::is_ascii_hexdigit);
        let text = core::str::from_utf8(&bytes).unwrap_or("");
        let want = is_hex.then(|| u32::from_str_radix(text, 16).unwrap_or(0));
        prop_assert_eq!(hex(bytes), want);
    }
}

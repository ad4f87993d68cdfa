use super::*;
use proptest::prelude::*;

/// All that this processor can.
fn lanes(check: impl Fn(&dyn Fn(Word, u8) -> Read, &str)) {
    check(&read::<Common>, "common");
    #[cfg(target_arch = "x86_64")]
    if Avx2::found().is_some() {
        check(&read::<Avx2>, "avx2");
    }
}

/// Everything that can be made of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Read {
    marks: Marks,
    digits: u32,
    end: usize,
    integer: Option<(u64, usize)>,
    decimal: Option<(i64, usize)>,
    number: Option<(i64, usize)>,
    number_length: Option<usize>,
    exact: Option<(i64, u8, usize)>,
    far_ends: u32,
}

fn read<L: Lanes>(word: Word, scale: u8) -> Read {
    let word = &word;
    let mut words = [0; FAR];
    words[3..3 + WIDTH].copy_from_slice(word);
    Read {
        marks: L::marks(word),
        digits: L::digits(word),
        end: string_end::<L>(word),
        integer: integer::<L>(word),
        decimal: decimal::<L>(word, scale),
        number: number::<L>(word, scale),
        number_length: number_length::<L>(word),
        exact: exact::<L>(word),
        far_ends: L::far_ends(&words),
    }
}

fn word(text: &[u8]) -> Word {
    let mut bytes = [0; WIDTH];
    let count = text.len().min(WIDTH);
    bytes[..count].copy_from_slice(&text[..count]);
    bytes
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
    /// The text, the scale, and what is read with how many bytes of it.
    type Row = (&'static str, u8, Option<(i64, usize)>);
    let table: [Row; 29] = [
        ("0\"", 0, Some((0, 1))),
        ("0\"", 8, Some((0, 1))),
        ("61837.63000000\"", 2, Some((6_183_763, 14))),
        ("61837.63000000\"", 8, Some((6_183_763_000_000, 14))),
        ("61837.63000000\"", 9, Some((61_837_630_000_000, 14))),
        ("61837.63000000\"", 1, None),
        ("61837.63000000\"", 0, None),
        ("61837.00000000\"", 0, Some((61_837, 14))),
        ("0.00000001\"", 8, Some((1, 10))),
        ("0.00000001\"", 7, None),
        ("123456789012345\"", 0, None),
        ("12345678\"", 0, Some((12_345_678, 8))),
        ("12345678.123456\"", 6, Some((12_345_678_123_456, 15))),
        ("1.123456789\"", 9, None),
        ("1234567890123456\"", 0, None),
        ("12345678901234.5\"", 1, None),
        ("1.5\",\"2.25\"", 2, Some((150, 3))),
        ("15\",\"2.25\"", 2, Some((1_500, 2))),
        ("9\"", 18, Some((9_000_000_000_000_000_000, 1))),
        ("9.2\"", 18, Some((9_200_000_000_000_000_000, 3))),
        ("9.3\"", 18, None),
        ("10\"", 18, None),
        ("\"", 2, None),
        (".5\"", 2, None),
        ("5.\"", 2, None),
        ("1.2.3\"", 8, None),
        ("-1\"", 2, None),
        ("1e5\"", 2, None),
        ("1.5", 2, None),
    ];
    lanes(|read, name| {
        for (text, scale, want) in table {
            let got = read(word(text.as_bytes()), scale).decimal;
            assert_eq!(got, want, "{name}: {text} at {scale}");
        }
    });
}

#[test]
fn bare_numbers_are_read_or_left_to_others() {
    /// The mantissa, where it is read, and the length, where there is one.
    type Want = (Option<i64>, Option<usize>);
    let table: [(&str, u8, Want); 16] = [
        ("0,", 2, (Some(0), Some(1))),
        ("203,", 2, (Some(20_300), Some(3))),
        ("203.3,", 2, (Some(20_330), Some(5))),
        ("203.30]", 1, (Some(2_033), Some(6))),
        ("203.35}", 1, (None, Some(6))),
        ("0.0005,", 4, (Some(5), Some(6))),
        // An exponent and a second point are seen by who reads on.
        ("2.11e-5,", 2, (Some(211), Some(4))),
        ("1.2.3,", 2, (Some(120), Some(3))),
        ("123456789.1,", 1, (None, Some(11))),
        ("01,", 2, (None, None)),
        ("00.5,", 2, (None, None)),
        ("5.,", 2, (None, None)),
        (".5,", 2, (None, None)),
        ("-1,", 2, (None, None)),
        ("1234567890.12345", 2, (None, None)),
        ("", 2, (None, None)),
    ];
    lanes(|read, name| {
        for (text, scale, (mantissa, length)) in table {
            let got = read(word(text.as_bytes()), scale);
            let want = mantissa.and_then(|mantissa| Some((mantissa, length?)));
            assert_eq!(
                (got.number, got.number_length),
                (want, length),
                "{name}: {text}"
            );
        }
    });
}

#[test]
fn exact_decimals_are_read_or_left_to_others() {
    /// The mantissa, its digits behind the point, and the bytes.
    type Row = (&'static str, Option<(i64, u8, usize)>);
    let table: [Row; 20] = [
        ("0\"", Some((0, 0, 1))),
        ("0.000\"", Some((0, 0, 5))),
        ("0.5\"", Some((5, 1, 3))),
        ("0.50\",\"0.1\"", Some((5, 1, 4))),
        ("0.505\"", Some((505, 3, 5))),
        ("100\"", Some((100, 0, 3))),
        ("100.0\"", Some((100, 0, 5))),
        ("219.217767\"", Some((219_217_767, 6, 10))),
        ("12345678\"", Some((12_345_678, 0, 8))),
        ("12345678.123456\"", Some((12_345_678_123_456, 6, 15))),
        ("1.12345678000\"", Some((112_345_678, 8, 13))),
        ("1.123456789\"", None),
        ("123456789\"", None),
        ("12345678.1234567\"", None),
        (".5\"", None),
        ("5.\"", None),
        ("\"", None),
        ("-1\"", None),
        ("1.2.3\"", None),
        ("1.5", None),
    ];
    lanes(|read, name| {
        for (text, want) in table {
            let got = read(word(text.as_bytes()), 0).exact;
            assert_eq!(got, want, "{name}: {text}");
        }
    });
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
    lanes(|read, name| {
        for (text, want) in table {
            let got = read(word(text.as_bytes()), 0).integer;
            assert_eq!(got, want, "{name}: {text}");
        }
    });
}

fn mask(word: Word, test: impl Fn(u8) -> bool) -> u32 {
    let bits = word.into_iter().enumerate();
    bits.fold(0, |mask, (bit, byte)| mask | u32::from(test(byte)) << bit)
}

proptest! {
    #[test]
    fn any_word_gives_what_a_loop_gives(text in proptest::collection::vec(
        prop_oneof![4 => b'0'..=b'9', 1 => Just(b'.'), 1 => Just(b'"'), 1 => any::<u8>()], 0..20,
    ), scale in 0u8..19) {
        let word = word(&text);
        let is_end = |byte: u8| matches!(byte, b'"' | b'\\' | 0..0x20);
        let marks = Marks {
            quotes: mask(word, |byte| byte == b'"'),
            points: mask(word, |byte| byte == b'.'),
            zeros: mask(word, |byte| byte == b'0'),
            digits: mask(word, |byte| byte.is_ascii_digit()),
        };
        let end = word.iter().position(|byte| is_end(*byte)).unwrap_or(WIDTH);
        let length = word.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let digits = core::str::from_utf8(&word[..length]).unwrap_or("");
        let whole = (1..=15).contains(&length) && !(length > 1 && digits.starts_with('0'));
        let integer = whole.then(|| (digits.parse::<u64>().unwrap_or(0), length));
        lanes(|read, name| {
            let got = read(word, scale);
            assert_eq!((got.marks, got.digits, got.end), (marks, marks.digits, end), "{name}");
            assert_eq!(got.integer, integer, "{name}");
            let at = tickwire_orderbook::Scale::new(scale).expect("at most 18");
            let slow = |length| tickwire_orderbook::decimal::mantissa_at(&word[..length], at);
            if let Some((mantissa, length)) = got.decimal {
                assert_eq!(slow(length), Ok(mantissa), "{name}");
                assert_eq!(word[length], b'"', "{name}");
            }
            let padded: Vec<u8> = [&[0; 3][..], &word[..], &[0; FAR - WIDTH - 3][..]].concat();
            let far = padded.iter().enumerate();
            let far = far.fold(0, |mask, (bit, byte)| mask | u32::from(is_end(*byte)) << bit);
            assert_eq!(got.far_ends, far, "{name}");
            if let Some((mantissa, decimals, length)) = got.exact {
                let scale = tickwire_orderbook::Scale::new(decimals).expect("at most 18");
                let slow = tickwire_orderbook::decimal::mantissa_at(&word[..length], scale);
                assert_eq!(slow, Ok(mantissa), "{name}");
                assert_eq!(word[length], b'"', "{name}");
                assert!(decimals == 0 || mantissa % 10 != 0, "{name}");
            }
            if let Some((mantissa, length)) = got.number {
                assert_eq!(slow(length), Ok(mantissa), "{name}");
                assert_eq!(got.number_length, Some(length), "{name}");
                assert!(!word[length].is_ascii_digit(), "{name}");
            }
        });
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

/// A UUID as a loop reads it.
fn uuid_by_a_loop(text: &Uuid) -> Option<u128> {
    let mut value = 0;
    for (at, byte) in text.iter().enumerate() {
        if HYPHENS.contains(&at) {
            if *byte != b'-' {
                return None;
            }
        } else {
            let digit = char::from(*byte).to_digit(16)?;
            value = value << 4 | u128::from(digit);
        }
    }
    Some(value)
}

#[test]
fn uuids_are_read_as_by_a_loop() {
    let usual = *b"20f43950-d8dd-5B31-9112-a178eb6023AF";
    assert_eq!(
        uuid_by_a_loop(&usual),
        Some(0x20f4_3950_d8dd_5b31_9112_a178_eb60_23af)
    );
    let check = |text: &Uuid| {
        let want = uuid_by_a_loop(text);
        let shown = String::from_utf8_lossy(text);
        assert_eq!(Common::uuid(text), want, "{shown}");
        #[cfg(target_arch = "x86_64")]
        if Avx2::found().is_some() {
            assert_eq!(Avx2::uuid(text), want, "{shown}");
        }
    };
    // Every byte at every place.
    for at in 0..usual.len() {
        for byte in 0..=u8::MAX {
            let mut text = usual;
            text[at] = byte;
            check(&text);
        }
    }
}

#[cfg(target_arch = "x86_64")]
proptest! {
    #[test]
    fn pairs_are_read_as_two_numbers(
        text in "(0|[0-9]{1,9}|[.,e-]{1,2})(\\.[0-9]{1,9})?[,.]?[0-9]{0,9}(\\.[0-9]{0,9})?[],.]",
        scales in (0u8..=8, 0u8..=8),
        at_end in any::<bool>(),
    ) {
        let fill = if at_end { b'7' } else { b']' };
        let mut window = [fill; FAR];
        let Some(skip) = FAR.checked_sub(text.len()).map(|skip| if at_end { skip } else { 0 }) else {
            return Ok(());
        };
        window[skip..skip + text.len()].copy_from_slice(text.as_bytes());
        let (price, qty) = (Scale::of(scales.0), Scale::of(scales.1));
        if Avx2::found().is_some()
            && let Some((read, length)) = Avx2::bare_pair(&window, skip, (price, qty))
        {
            prop_assert_eq!(window[skip + length], b']');
            let parts: Vec<&str> = text[..length].split(',').collect();
            let [first, second] = parts[..] else {
                panic!("{text}: {parts:?}");
            };
            let mantissa = |text: &str, scale| {
                tickwire_orderbook::json_mantissa_at(text.as_bytes(), scale)
            };
            prop_assert_eq!(mantissa(first, price), Ok(read[0] as i64), "{}", text);
            prop_assert_eq!(mantissa(second, qty), Ok(read[1] as i64), "{}", text);
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn usual_pairs_are_read_wherever_they_stand() {
    if Avx2::found().is_none() {
        return;
    }
    let scales = (Scale::of(2), Scale::of(1));
    let text = b"4092.5,282690.0]";
    for skip in 0..=FAR - text.len() {
        let mut window = [b']'; FAR];
        window[skip..skip + text.len()].copy_from_slice(text);
        let read = Avx2::bare_pair(&window, skip, scales);
        assert_eq!(read, Some(([409_250, 2_826_900], text.len() - 1)), "{skip}");
    }
    for text in [
        &b"04.5,1]"[..],
        b"4.5,01]",
        b"4,5,1]",
        b"4.5]",
        b"4.5,]",
        b"4.,1]",
        b"4.555,1]",
    ] {
        let mut window = [b' '; FAR];
        window[..text.len()].copy_from_slice(text);
        assert_eq!(Avx2::bare_pair(&window, 0, scales), None);
    }
}

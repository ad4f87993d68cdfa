use super::*;

const BBO: &[u8] =
    br#"{"stream":"x@bookTicker","data":{"u":5009,"s":"BTC","b":"61.25000000","B":"0.50","E":7}}"#;

fn scales() -> (Scale, Scale) {
    (Scale::of(4), Scale::of(3))
}

fn wanted() -> [(&'static [u8], Number); 4] {
    let (price, qty) = scales();
    [
        (b"b", Number::Decimal(price)),
        (b"B", Number::Decimal(qty)),
        (b"u", Number::Integer),
        (b"T", Number::Integer),
    ]
}

/// At the data of the wrapper.
fn scan(text: &[u8]) -> Scan<'_> {
    Scan {
        bytes: text,
        at: 32,
    }
}

fn learnt(text: &[u8]) -> Templates {
    let mut templates = Templates::new();
    templates.learn(scan(text), scales(), wanted(), true);
    templates
}

fn replaced(from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8_lossy(BBO);
    assert!(text.contains(from), "{from}");
    text.replacen(from, to, 1).into_bytes()
}

fn can() -> bool {
    cfg!(target_arch = "x86_64") && std::arch::is_x86_feature_detected!("avx2")
}

#[test]
fn numbers_are_taken_from_where_they_were() {
    if !can() {
        return;
    }
    let mut templates = learnt(BBO);
    let told = |numbers| {
        Some(Filled {
            numbers,
            flag: true,
        })
    };
    let numbers = [612_500, 500, 5_009, 0, 0, 0];
    assert_eq!(templates.read(scan(BBO), scales()), told(numbers));
    for (from, to, numbers) in [
        ("61.2500", "98.7654", [987_654, 500, 5_009, 0, 0, 0]),
        ("61.2500", "00.0000", [0, 500, 5_009, 0, 0, 0]),
        ("0.50", "9.99", [612_500, 9_990, 5_009, 0, 0, 0]),
        ("5009", "5990", [612_500, 500, 5_990, 0, 0, 0]),
        // Nobody asked for it.
        (":7}", ":3}", [612_500, 500, 5_009, 0, 0, 0]),
    ] {
        let text = replaced(from, to);
        assert_eq!(
            templates.read(scan(&text), scales()),
            told(numbers),
            "{from} {to}"
        );
    }
}

#[test]
fn anything_else_is_not_alike() {
    let mut templates = learnt(BBO);
    for at in 0..BBO.len() {
        let mut text = BBO.to_vec();
        for byte in [b'"', b'/', b':', b'-', b' ', 0, 0x80, 0xFF, b'0' | 0x80] {
            text[at] = byte;
            let is_same = byte == BBO[at];
            let read = templates.read(scan(&text), scales());
            assert_eq!(read.is_some(), is_same && can(), "{at} {byte}");
        }
    }
    for (from, to) in [
        // A zero in front, digits that the scale does not have, other keys, other lengths.
        ("5009", "0009"),
        ("61.25000000", "61.25000001"),
        ("\"b\"", "\"c\""),
        ("61.25", "161.25"),
        ("\"BTC\"", "\"BTX\""),
    ] {
        let text = replaced(from, to);
        assert_eq!(templates.read(scan(&text), scales()), None, "{from} {to}");
    }
    let other = (Scale::of(4), Scale::of(4));
    assert_eq!(templates.read(scan(BBO), other), None, "another scale");
    assert_eq!(templates.read(scan(b""), scales()), None);
}

#[test]
fn what_is_not_usual_is_not_learnt() {
    for (from, to) in [
        ("61.25", "-1.25"),
        ("61.25000000", "6125e-2"),
        ("\"u\":5009", "\"u\":5.09"),
        ("\"s\":\"BTC\"", "\"u\":5010"),
        ("\"s\":\"BTC\"", "\"s\":\"\u{e9}\""),
        // More digits than are read at once.
        ("61.25", "12345678901234.25"),
        ("5009", "12345678901234567"),
    ] {
        let text = replaced(from, to);
        let mut templates = learnt(&text);
        assert_eq!(templates.read(scan(&text), scales()), None, "{to}");
    }
    let long = replaced("BTC", &"x".repeat(TEXT_MAX));
    assert_eq!(learnt(&long).read(scan(&long), scales()), None);
}

#[test]
fn a_stream_that_looks_different_each_time_is_not_learnt_for_ever() {
    if !can() {
        return;
    }
    let mut templates = Templates::new();
    let mut lessons = 0;
    for length in 1..60 {
        let text = replaced("BTC", &"x".repeat(length));
        assert_eq!(templates.read(scan(&text), scales()), None);
        templates.learn(scan(&text), scales(), wanted(), false);
        lessons += usize::from(templates.read(scan(&text), scales()).is_some());
    }
    assert!((8..12).contains(&lessons), "{lessons}");
    assert_eq!(templates.looks.capacity(), LOOKS, "no memory is asked for");
}

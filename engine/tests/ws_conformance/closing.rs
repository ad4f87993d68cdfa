//! Groups 7, 9 and 10, and rows of our own.

use super::case::*;

/// The client's limit in the table, that of [`tickwire::wire::ws::DecoderConfig::default`].
pub(crate) const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// Closing.
pub(crate) fn group_7() -> Vec<Case> {
    const HELLO: &str = "Hello World!";
    const NOT_TEXT: &[u8] = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited";
    let long = Octets::repeat(b"BAsd7&jh23", 256 << 10);
    let mut cases = vec![
        case("7.1.1", "§5.5.1")
            .part(frame(TEXT, HELLO))
            .text(HELLO)
            .closes(),
        case("7.1.2", "§1.4, §5.5.1").parts([close(1000), frame(CLOSE, "")]),
        case("7.1.3", "§1.4, §5.5.1").parts([close(1000), frame(PING, "")]),
        case("7.1.4", "§1.4, §5.5.1").parts([close(1000), frame(TEXT, HELLO)]),
        case("7.1.5", "§1.4, §5.5.1").parts([
            frame(TEXT, "fragment1").more(),
            close(1000),
            frame(CONTINUATION, "fragment2"),
        ]),
        case("7.1.6", "§1.4, §5.5.1")
            .parts([
                frame(TEXT, long.clone()),
                frame(TEXT, HELLO),
                close(1000),
                frame(PING, ""),
            ])
            .text(long)
            .text(HELLO),
        case("7.3.1", "§5.5.1").part(frame(CLOSE, "")).end(None),
        case("7.3.2", "§5.5.1").part(frame(CLOSE, "a")).fails(1002),
        case("7.3.3", "§5.5.1").part(close(1000)),
        case("7.3.4", "§5.5.1").part(close_because(1000, HELLO.as_bytes())),
        case("7.3.5", "§5.5").part(close_because(1000, &[b'*'; 123])),
        case("7.3.6", "§5.5")
            .part(close_because(1000, &[b'*'; 124]))
            .fails(1002),
        case("7.5.1", "§5.5.1, §8.1")
            .part(close_because(1000, NOT_TEXT))
            .fails(1007),
    ];
    let valid = [
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999,
    ];
    for (code, number) in valid.into_iter().zip(1..) {
        let this = case(format!("7.7.{number}"), "§7.4.1, §7.4.2").part(close(code));
        cases.push(this.end(Some(code)));
    }
    let invalid = [0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999];
    for (code, number) in invalid.into_iter().zip(1..) {
        let this = case(format!("7.9.{number}"), "§7.4.1, §7.4.2").part(close(code));
        cases.push(this.fails(1002));
    }
    for (code, number) in [(5000, 1), (65_535, 2)] {
        let this = case(format!("7.13.{number}"), "§7.4.2").part(close(code));
        cases.push(this.fails(1002));
    }
    cases
}

/// Limits and round trips. Text has odd sub-groups, binary even ones.
pub(crate) fn group_9() -> Vec<Case> {
    const SECTION: &str = "§5.2, §5.4";
    let kinds = |pair: u32| {
        let patterns: [&'static [u8]; 2] = match pair {
            3 => [b"*", b"\xfe"],
            7 => [b"*", b"\xfe"],
            _ => [b"BAsd7&jh23", b"\x00\xfe\x23\xfa\xf0"],
        };
        [(pair, TEXT, patterns[0]), (pair + 1, BINARY, patterns[1])]
    };
    let back = |opcode, payload| match opcode {
        TEXT => Back::Text(payload),
        _ => Back::Binary(payload),
    };
    let mut cases = Vec::new();
    for (group, opcode, pattern) in kinds(1) {
        for (kib, number) in [64, 256, 1 << 10, 4 << 10, 8 << 10, 16 << 10]
            .into_iter()
            .zip(1..)
        {
            let payload = Octets::repeat(pattern, kib << 10);
            let this =
                case(format!("9.{group}.{number}"), SECTION).part(frame(opcode, payload.clone()));
            cases.push(this.back([back(opcode, payload)]).closes());
        }
    }
    for (group, opcode, pattern) in kinds(3) {
        for number in 1..=9 {
            // 64, 256, 1 Ki ... 4 Mi.
            let part = Part::Fragments(
                opcode,
                Octets::repeat(pattern, 4 << 20),
                64 << (2 * (number - 1)),
            );
            let this = case(format!("9.{group}.{number}"), SECTION).part(part);
            cases.push(
                this.back([back(opcode, Octets::repeat(pattern, 4 << 20))])
                    .closes(),
            );
        }
    }
    for (group, opcode, pattern) in kinds(5) {
        for number in 1..=6 {
            let payload = Octets::repeat(pattern, 1 << 20);
            let this =
                case(format!("9.{group}.{number}"), SECTION).part(frame(opcode, payload.clone()));
            let chopped = this.chop(Chop::Octets(32 << number));
            cases.push(chopped.back([back(opcode, payload)]).closes());
        }
    }
    for (group, opcode, pattern) in kinds(7) {
        for (size, number) in [0, 16, 64, 256, 1024, 4096].into_iter().zip(1..) {
            let payload = Octets::repeat(pattern, size);
            let part = Part::RoundTrips(frame(opcode, payload.clone()), 1000);
            let this = case(format!("9.{group}.{number}"), SECTION).part(part);
            cases.push(this.back(vec![back(opcode, payload); 1000]).closes());
        }
    }
    cases
}

/// A message that the server's library fragments by itself.
pub(crate) fn group_10() -> Vec<Case> {
    let payload = Octets::repeat(b"*", 65_536);
    let part = Part::Fragments(TEXT, payload.clone(), 1300);
    vec![case("10.1.1", "§5.4").part(part).text(payload).closes()]
}

/// What the suite leaves out: it is a server and cannot mask, and it knows no limits.
pub(crate) fn own() -> Vec<Case> {
    let raw = |octets: &[u8], name| Part::Raw(octets.to_vec().into(), name);
    let header = |len: u64| [&[0x82, 127][..], &len.to_be_bytes()].concat();
    let half = Octets::repeat(b"*", MESSAGE_BYTES_MAX / 2);
    vec![
        case("T.1", "§5.1")
            .part(raw(b"\x81\x85\0\0\0\0Hello", "masked text"))
            .fails(1002),
        case("T.2", "§5.1")
            .part(raw(b"\x89\x80\0\0\0\0", "masked ping"))
            .fails(1002),
        case("T.3", "§5.2")
            .part(raw(b"\x82\x7E\0\x7D", "125 as a 16-bit length"))
            .fails(1002),
        case("T.4", "§5.2")
            .part(raw(&header(0xFFFF), "65535 as a 64-bit length"))
            .fails(1002),
        case("T.5", "§5.2")
            .part(raw(&header(1 << 63), "2^63 as a length"))
            .fails(1002),
        case("T.6", "§10.4")
            .part(raw(&header((1 << 63) - 1), "2^63 - 1 as a length"))
            .fails(1009),
        case("T.7", "§10.4")
            .part(raw(
                &header(MESSAGE_BYTES_MAX as u64 + 1),
                "a length one above the limit",
            ))
            .fails(1009),
        case("T.8", "§5.4, §10.4")
            .part(frame(TEXT, half.clone()).more())
            .part(frame(CONTINUATION, half).more())
            .part(Part::Still(0))
            .part(frame(CONTINUATION, "*").more())
            .fails(1009),
        case("T.9", "§5.5")
            .part(raw(&header(1)[1..], "reserved bits before anything"))
            .fails(1002),
        case("T.10", "§5.5")
            .part(raw(b"\x89\x7E\0\x7D", "ping with a 16-bit length"))
            .fails(1002),
    ]
}

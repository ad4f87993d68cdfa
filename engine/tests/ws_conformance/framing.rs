//! Groups 1 to 5: framing, pings, reserved bits, opcodes, fragmentation.

use super::case::*;

const HELLO: &str = "Hello, world!";
const NOT_TEXT: &[u8] = b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff";

/// 1.1 text and 1.2 binary, by size; the last in pieces of 997 octets.
pub(crate) fn group_1() -> Vec<Case> {
    let sizes = [0, 125, 126, 127, 128, 65_535, 65_536, 65_536];
    let mut cases = Vec::new();
    for (kind, opcode, octet) in [(1, TEXT, &b"*"[..]), (2, BINARY, b"\xfe")] {
        for (size, number) in sizes.into_iter().zip(1..) {
            let payload = Octets::repeat(octet, size);
            let back = match opcode {
                TEXT => Back::Text(payload.clone()),
                _ => Back::Binary(payload.clone()),
            };
            let chop = match number {
                8 => Chop::Octets(997),
                _ => Chop::Together,
            };
            cases.push(
                case(format!("1.{kind}.{number}"), "§5.2, §5.6")
                    .part(frame(opcode, payload))
                    .chop(chop)
                    .back([back])
                    .closes(),
            );
        }
    }
    cases
}

/// Pings and pongs.
pub(crate) fn group_2() -> Vec<Case> {
    let full = || Octets::repeat(b"\xfe", 125);
    let unasked = "unsolicited pong payload";
    let ten = |id: &str, chop| {
        let payloads =
            || (0..10).map(|index| Octets::from(format!("payload-{index}").into_bytes()));
        case(id, "§5.5.2")
            .parts(payloads().map(|payload| frame(PING, payload)))
            .chop(chop)
            .back(payloads().map(Back::Pong))
            .closes()
    };
    vec![
        case("2.1", "§5.5.2")
            .part(frame(PING, ""))
            .pong("")
            .closes(),
        case("2.2", "§5.5.2")
            .part(frame(PING, HELLO))
            .pong(HELLO)
            .closes(),
        case("2.3", "§5.5.2")
            .part(frame(PING, NOT_TEXT))
            .pong(NOT_TEXT)
            .closes(),
        case("2.4", "§5.5")
            .part(frame(PING, full()))
            .pong(full())
            .closes(),
        case("2.5", "§5.5")
            .part(frame(PING, Octets::repeat(b"\xfe", 126)))
            .fails(1002),
        case("2.6", "§5.5")
            .part(frame(PING, full()))
            .chop(Chop::Octets(1))
            .pong(full())
            .closes(),
        case("2.7", "§5.5.3").part(frame(PONG, "")).closes(),
        case("2.8", "§5.5.3").part(frame(PONG, unasked)).closes(),
        case("2.9", "§5.5.3")
            .parts([frame(PONG, unasked), frame(PING, "ping payload")])
            .pong("ping payload")
            .closes(),
        ten("2.10", Chop::Together),
        ten("2.11", Chop::Octets(1)),
    ]
}

/// A good message, then a frame that must not be, then a ping that is not answered.
fn behind_a_message(id: &str, bad: Sent, chop: Chop) -> Case {
    case(id, "§5.2")
        .parts([frame(TEXT, HELLO), bad, frame(PING, "")])
        .chop(chop)
        .text(HELLO)
        .fails(1002)
}

/// Reserved bits.
pub(crate) fn group_3() -> Vec<Case> {
    let hello = |rsv| frame(TEXT, HELLO).rsv(rsv);
    vec![
        case("3.1", "§5.2").part(hello(1)).fails(1002),
        behind_a_message("3.2", hello(2), Chop::Together),
        behind_a_message("3.3", hello(3), Chop::Frames),
        behind_a_message("3.4", hello(4), Chop::Octets(1)),
        case("3.5", "§5.2")
            .part(frame(BINARY, NOT_TEXT).rsv(5))
            .fails(1002),
        case("3.6", "§5.2")
            .part(frame(PING, HELLO).rsv(6))
            .fails(1002),
        case("3.7", "§5.2")
            .part(frame(CLOSE, "").rsv(7))
            .fails(1002),
    ]
}

/// Opcodes that are not defined: 4.1 data, 4.2 control.
pub(crate) fn group_4() -> Vec<Case> {
    let mut cases = Vec::new();
    for (group, first) in [("4.1", 3_u8), ("4.2", 11)] {
        let id = |number| format!("{group}.{number}");
        let bad = |more: u8, payload: &'static str| frame(first + more, payload);
        cases.extend([
            case(id(1), "§5.2").part(bad(0, "")).fails(1002),
            case(id(2), "§5.2")
                .part(bad(1, "reserved opcode payload"))
                .fails(1002),
            behind_a_message(&id(3), bad(2, ""), Chop::Together),
            behind_a_message(&id(4), bad(3, HELLO), Chop::Together),
            behind_a_message(&id(5), bad(4, HELLO), Chop::Octets(1)),
        ]);
    }
    cases
}

/// Fragmentation.
pub(crate) fn group_5() -> Vec<Case> {
    const ONE: &str = "fragment1";
    const TWO: &str = "fragment2";
    const BOTH: &str = "fragment1fragment2";
    const PINGED: &str = "ping payload";
    const CHOPS: [Chop; 3] = [Chop::Together, Chop::Frames, Chop::Octets(1)];
    let first = || frame(TEXT, ONE).more();
    let last = || frame(CONTINUATION, TWO);
    let mut cases = vec![
        case("5.1", "§5.4, §5.5")
            .parts([frame(PING, ONE).more(), last()])
            .fails(1002),
        case("5.2", "§5.4, §5.5")
            .parts([frame(PONG, ONE).more(), last()])
            .fails(1002),
    ];
    for (chop, number) in CHOPS.into_iter().zip(3..) {
        let this = case(format!("5.{number}"), "§5.4").parts([first(), last()]);
        cases.push(this.chop(chop).text(BOTH).closes());
    }
    for (chop, number) in CHOPS.into_iter().zip(6..) {
        let this =
            case(format!("5.{number}"), "§5.4").parts([first(), frame(PING, PINGED), last()]);
        cases.push(this.chop(chop).pong(PINGED).text(BOTH).closes());
    }
    let stray = || frame(CONTINUATION, "non-continuation payload");
    for (stray, from) in [(stray(), 9), (stray().more(), 12)] {
        for (chop, number) in CHOPS.into_iter().zip(from..) {
            let this =
                case(format!("5.{number}"), "§5.4").parts([stray.clone(), frame(TEXT, HELLO)]);
            cases.push(this.chop(chop).fails(1002));
        }
    }
    cases.push(
        case("5.15", "§5.4")
            .parts([
                first(),
                last(),
                frame(CONTINUATION, "fragment3").more(),
                frame(TEXT, "fragment4"),
            ])
            .text(BOTH)
            .fails(1002),
    );
    for (number, fin) in [(16, false), (17, true)] {
        let stray = match fin {
            true => frame(CONTINUATION, ONE),
            false => frame(CONTINUATION, ONE).more(),
        };
        let once = [
            stray,
            frame(TEXT, TWO).more(),
            frame(CONTINUATION, "fragment3"),
        ];
        let this = case(format!("5.{number}"), "§5.4")
            .parts(once.clone())
            .parts(once);
        cases.push(this.fails(1002));
    }
    cases.push(
        case("5.18", "§5.4")
            .parts([first(), frame(TEXT, TWO)])
            .fails(1002),
    );
    for (number, chop) in [(19, Chop::Together), (20, Chop::Frames)] {
        cases.push(
            case(format!("5.{number}"), "§5.4")
                .parts([first(), last().more(), frame(PING, "pongme 1!")])
                .part(Part::Still(1))
                .parts([
                    frame(CONTINUATION, "fragment3").more(),
                    frame(CONTINUATION, "fragment4").more(),
                    frame(PING, "pongme 2!"),
                    frame(CONTINUATION, "fragment5"),
                ])
                .chop(chop)
                .pong("pongme 1!")
                .pong("pongme 2!")
                .text("fragment1fragment2fragment3fragment4fragment5")
                .closes(),
        );
    }
    cases
}

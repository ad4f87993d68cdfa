//! The WebSocket client against the cases of the Autobahn suite, as a table: what the server sends,
//! by section of RFC 6455, and what must come back.
//!
//! Each row is run as the suite cuts it, cut at random, and octet by octet, with receive buffers
//! from 256 octets up. `docs/websocket-conformance.md` is written from the same rows:
//! `UPDATE_DOCS=1 cargo test -p tickwire --test ws_conformance`.

#[path = "ws_conformance/case.rs"]
mod case;
#[path = "ws_conformance/closing.rs"]
mod closing;
#[path = "ws_conformance/docs.rs"]
mod docs;
#[path = "ws_conformance/endpoint.rs"]
mod endpoint;
#[path = "ws_conformance/framing.rs"]
mod framing;
#[path = "common/held.rs"]
mod held;
#[path = "ws_conformance/hostile.rs"]
mod hostile;
#[path = "ws_conformance/peer.rs"]
mod peer;
#[path = "ws_conformance/utf8.rs"]
mod utf8;

use case::Case;
use peer::Cut;

/// A group of the suite: its number, its name, its sub-groups with how many cases each has, its
/// rows.
struct Group {
    number: &'static str,
    name: &'static str,
    sizes: &'static [(&'static str, usize)],
    cases: Vec<Case>,
}

/// The suite in its own order. Its groups 8 and 11 have no cases; 12 and 13 are about the extension
/// permessage-deflate, which is never offered.
#[rustfmt::skip]
fn suite() -> Vec<Group> {
    let group = |number, name, sizes, cases| Group { number, name, sizes, cases };
    vec![
        group("1", "Framing", &[("1.1", 8), ("1.2", 8)], framing::group_1()),
        group("2", "Pings and pongs", &[("2", 11)], framing::group_2()),
        group("3", "Reserved bits", &[("3", 7)], framing::group_3()),
        group("4", "Opcodes", &[("4.1", 5), ("4.2", 5)], framing::group_4()),
        group("5", "Fragmentation", &[("5", 20)], framing::group_5()),
        group("6", "UTF-8", &[
            ("6.1", 3), ("6.2", 4), ("6.3", 2), ("6.4", 4), ("6.5", 5), ("6.6", 11), ("6.7", 4),
            ("6.8", 2), ("6.9", 4), ("6.10", 3), ("6.11", 5), ("6.12", 8), ("6.13", 5),
            ("6.14", 10), ("6.15", 1), ("6.16", 3), ("6.17", 5), ("6.18", 5), ("6.19", 5),
            ("6.20", 7), ("6.21", 8), ("6.22", 34), ("6.23", 7),
        ], utf8::group_6()),
        group("7", "Closing", &[
            ("7.1", 6), ("7.3", 6), ("7.5", 1), ("7.7", 13), ("7.9", 9), ("7.13", 2),
        ], closing::group_7()),
        group("9", "Limits and round trips", &[
            ("9.1", 6), ("9.2", 6), ("9.3", 9), ("9.4", 9), ("9.5", 6), ("9.6", 6), ("9.7", 6),
            ("9.8", 6),
        ], closing::group_9()),
        group("10", "Fragmented by a library", &[("10.1", 1)], closing::group_10()),
        group("T", "Not in the suite", &[("T", 10)], closing::own()),
    ]
}

#[test]
fn no_case_is_left_out() {
    let mut total = 0;
    for group in suite() {
        let mut ids = group.cases.iter().map(|case| &*case.id);
        for &(name, size) in group.sizes {
            for number in 1..=size {
                assert_eq!(ids.next(), Some(&*format!("{name}.{number}")));
                total += 1;
            }
        }
        assert_eq!(
            ids.next(),
            None,
            "group {} has more than it should",
            group.number
        );
    }
    assert_eq!(
        total,
        301 + 10,
        "the suite has 301 cases without compression"
    );
}

/// Runs the rows of these groups as they are, and twice cut at random.
fn run(numbers: &[&str]) {
    let mut failures = Vec::new();
    let mut count = 0;
    for group in suite()
        .iter()
        .filter(|group| numbers.contains(&group.number))
    {
        for (case, seed) in group.cases.iter().zip(1..) {
            let cuts = [
                Cut::AsSent,
                Cut::Random(seed),
                Cut::Octetwise,
                Cut::Random(1000 + seed),
            ];
            // The large ones once as they are and once cut.
            let cuts = if group.number == "9" {
                &cuts[..2]
            } else {
                &cuts
            };
            for &cut in cuts {
                count += 1;
                if let Err(problem) = peer::run(case, cut) {
                    failures.push(format!(
                        "{} {cut:?}: {problem}\n  sent: {}",
                        case.id,
                        case.sent()
                    ));
                }
            }
        }
    }
    assert!(count > 0, "no rows in {numbers:?}");
    assert!(
        failures.is_empty(),
        "{} failures:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

#[test]
fn framing_pings_bits_opcodes_fragments() {
    run(&["1", "2", "3", "4", "5"]);
}

#[test]
fn utf8_text() {
    run(&["6"]);
}

#[test]
fn closing_and_close_codes() {
    run(&["7", "10", "T"]);
}

#[test]
fn limits_and_round_trips() {
    run(&["9"]);
}

/// The runner can tell a good client from a bad one.
#[test]
fn a_wrong_expectation_is_noticed() {
    use case::{PING, Part, TEXT, case, frame};
    let hello = || case("x", "").part(frame(TEXT, "Hello"));
    let wrong = [
        hello().text("Hellx").closes(),
        hello().closes(),
        hello().text("Hello").text("Hello").closes(),
        hello().text("Hello").fails(1002),
        hello()
            .text("Hello")
            .part(case::close(1000))
            .end(Some(1001)),
        hello().text("Hello"),
        case("x", "").part(frame(PING, "a").rsv(1)).fails(1007),
        hello().part(Part::Still(0)).text("Hello").closes(),
    ];
    for (case, index) in wrong.iter().zip(0..) {
        let result = peer::run(case, Cut::AsSent);
        assert!(result.is_err(), "row {index} passes");
    }
}

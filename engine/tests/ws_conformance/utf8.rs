//! Group 6: UTF-8, with `check_utf8` on. 6.5 and on are Markus Kuhn's decoder tests.

use super::case::*;

/// κόσμε.
const KOSME: &[u8] = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5";

pub(crate) fn group_6() -> Vec<Case> {
    let mut cases = valid();
    cases.extend(broken());
    for (texts, group) in sequences().into_iter().zip(5..) {
        for ((is_valid, text), number) in texts.into_iter().zip(1..) {
            let this = case(format!("6.{group}.{number}"), "§8.1").part(frame(TEXT, text.clone()));
            cases.push(match is_valid {
                true => this.text(text).closes(),
                false => this.fails(1007),
            });
        }
    }
    cases
}

fn valid() -> Vec<Case> {
    const HELLO: &str = "Hello-µ@ßöäüàá-UTF-8!!";
    const MIDDLE: &str = "middle frame payload";
    let around = |id, middle: &'static str| {
        let parts = [
            frame(TEXT, "").more(),
            frame(CONTINUATION, middle).more(),
            frame(CONTINUATION, ""),
        ];
        case(id, "§5.4, §8.1").parts(parts).text(middle).closes()
    };
    let bytewise = |id, text: Octets| {
        let part = Part::Fragments(TEXT, text.clone(), 1);
        case(id, "§5.4, §8.1").part(part).text(text).closes()
    };
    vec![
        case("6.1.1", "§5.6")
            .part(frame(TEXT, ""))
            .text("")
            .closes(),
        around("6.1.2", ""),
        around("6.1.3", MIDDLE),
        case("6.2.1", "§8.1")
            .part(frame(TEXT, HELLO))
            .text(HELLO)
            .closes(),
        case("6.2.2", "§5.4, §8.1")
            .parts([
                frame(TEXT, "Hello-µ@ßöä").more(),
                frame(CONTINUATION, "üàá-UTF-8!!"),
            ])
            .text(HELLO)
            .closes(),
        bytewise("6.2.3", HELLO.into()),
        bytewise("6.2.4", KOSME.into()),
    ]
}

/// 6.3: broken somewhere. 6.4: the server stops behind the octet that breaks it, so that only a
/// client that fails at once passes: at the end of the frame (6.4.1, 6.4.2), or inside it.
fn broken() -> Vec<Case> {
    const SURROGATE: &[u8] = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited";
    const TOO_HIGH: &[u8] = b"\xf4\x90\x80\x80";
    let in_frames = |id, head: Vec<u8>, tail: &'static [u8]| {
        case(id, "§8.1")
            .part(frame(TEXT, head).more())
            .part(Part::Still(0))
            .part(frame(CONTINUATION, tail).more())
            .fails(1007)
    };
    // One frame of 21 octets.
    let in_chops = |id, head: Vec<u8>, tail: &'static [u8]| {
        let head = [&[0x81, 21], &*head].concat();
        case(id, "§8.1")
            .part(Part::Raw(
                head.into(),
                "the valid head of a text of 21 octets",
            ))
            .part(Part::Still(0))
            .part(Part::Raw(tail.into(), "octets of it that cannot follow"))
            .fails(1007)
    };
    let up_to_f4 = || [KOSME, b"\xf4"].concat();
    vec![
        case("6.3.1", "§8.1")
            .part(frame(TEXT, SURROGATE))
            .fails(1007),
        case("6.3.2", "§5.4, §8.1")
            .part(Part::Fragments(TEXT, SURROGATE.into(), 1))
            .fails(1007),
        in_frames("6.4.1", KOSME.to_vec(), TOO_HIGH),
        in_frames("6.4.2", up_to_f4(), b"\x90"),
        in_chops("6.4.3", KOSME.to_vec(), TOO_HIGH),
        in_chops("6.4.4", up_to_f4(), b"\x90"),
    ]
}

type Texts = Vec<(bool, Vec<u8>)>;

fn all(is_valid: bool, texts: &[&[u8]]) -> Texts {
    texts.iter().map(|text| (is_valid, text.to_vec())).collect()
}

/// 6.5 to 6.23.
fn sequences() -> Vec<Texts> {
    // A first octet for each length, with the last octet of its character missing.
    let cut: [&[u8]; 10] = [
        b"\xc0",
        b"\xe0\x80",
        b"\xf0\x80\x80",
        b"\xf8\x80\x80\x80",
        b"\xfc\x80\x80\x80\x80",
        b"\xdf",
        b"\xef\xbf",
        b"\xf7\xbf\xbf",
        b"\xfb\xbf\xbf\xbf",
        b"\xfd\xbf\xbf\xbf\xbf",
    ];
    let prefixes =
        (1..=KOSME.len()).map(|len| ([2, 5, 7, 9, 11].contains(&len), KOSME[..len].to_vec()));
    let starts = |from: u8, to: u8| {
        (from..to)
            .flat_map(|octet| [octet, b' '])
            .collect::<Vec<u8>>()
    };
    let lonely = [
        (0xc0, 0xdf),
        (0xe0, 0xef),
        (0xf0, 0xf7),
        (0xf8, 0xfb),
        (0xfc, 0xfd),
    ];
    let continuations: Vec<u8> = (0x80..0xbf).collect();
    let mut stray = all(
        false,
        &[
            b"\x80",
            b"\xbf",
            b"\x80\xbf",
            b"\x80\xbf\x80",
            b"\x80\xbf\x80\xbf",
            b"\x80\xbf\x80\xbf\x80",
            b"\x80\xbf\x80\xbf\x80\xbf",
        ],
    );
    stray.push((false, continuations));
    vec![
        // 6.5 valid
        all(
            true,
            &[
                b"hello$world",
                b"hello\xC2\xA2world",
                b"hello\xE2\x82\xACworld",
                b"hello\xF0\xA4\xAD\xA2world",
                KOSME,
            ],
        ),
        // 6.6 all prefixes of a text
        prefixes.collect(),
        // 6.7 first of each length
        all(
            true,
            &[b"\x00", b"\xc2\x80", b"\xe0\xa0\x80", b"\xf0\x90\x80\x80"],
        ),
        // 6.8 first of five and six octets
        all(
            false,
            &[b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80"],
        ),
        // 6.9 last of each length
        all(
            true,
            &[b"\x7f", b"\xdf\xbf", b"\xef\xbf\xbf", b"\xf4\x8f\xbf\xbf"],
        ),
        // 6.10 last of four, five and six octets
        all(
            false,
            &[
                b"\xf7\xbf\xbf\xbf",
                b"\xfb\xbf\xbf\xbf\xbf",
                b"\xfd\xbf\xbf\xbf\xbf\xbf",
            ],
        ),
        // 6.11 other boundaries
        [
            all(
                true,
                &[
                    b"\xed\x9f\xbf",
                    b"\xee\x80\x80",
                    b"\xef\xbf\xbd",
                    b"\xf4\x8f\xbf\xbf",
                ],
            ),
            all(false, &[b"\xf4\x90\x80\x80"]),
        ]
        .concat(),
        // 6.12 unexpected continuation octets
        stray,
        // 6.13 lonely first octets
        lonely.map(|(from, to)| (false, starts(from, to))).to_vec(),
        // 6.14 last octet missing
        all(false, &cut),
        // 6.15 all of them in a row
        vec![(false, cut.concat())],
        // 6.16 impossible octets
        all(false, &[b"\xfe", b"\xff", b"\xfe\xfe\xff\xff"]),
        // 6.17 overlong ASCII
        all(
            false,
            &[
                b"\xc0\xaf",
                b"\xe0\x80\xaf",
                b"\xf0\x80\x80\xaf",
                b"\xf8\x80\x80\x80\xaf",
                b"\xfc\x80\x80\x80\x80\xaf",
            ],
        ),
        // 6.18 largest overlong
        all(
            false,
            &[
                b"\xc1\xbf",
                b"\xe0\x9f\xbf",
                b"\xf0\x8f\xbf\xbf",
                b"\xf8\x87\xbf\xbf\xbf",
                b"\xfc\x83\xbf\xbf\xbf\xbf",
            ],
        ),
        // 6.19 overlong NUL
        all(
            false,
            &[
                b"\xc0\x80",
                b"\xe0\x80\x80",
                b"\xf0\x80\x80\x80",
                b"\xf8\x80\x80\x80\x80",
                b"\xfc\x80\x80\x80\x80\x80",
            ],
        ),
        // 6.20 single surrogates
        all(
            false,
            &[
                b"\xed\xa0\x80",
                b"\xed\xad\xbf",
                b"\xed\xae\x80",
                b"\xed\xaf\xbf",
                b"\xed\xb0\x80",
                b"\xed\xbe\x80",
                b"\xed\xbf\xbf",
            ],
        ),
        // 6.21 paired surrogates
        all(
            false,
            &[
                b"\xed\xa0\x80\xed\xb0\x80",
                b"\xed\xa0\x80\xed\xbf\xbf",
                b"\xed\xad\xbf\xed\xb0\x80",
                b"\xed\xad\xbf\xed\xbf\xbf",
                b"\xed\xae\x80\xed\xb0\x80",
                b"\xed\xae\x80\xed\xbf\xbf",
                b"\xed\xaf\xbf\xed\xb0\x80",
                b"\xed\xaf\xbf\xed\xbf\xbf",
            ],
        ),
        non_characters(),
        // 6.23 specials, U+FFF9 to U+FFFF
        (0xb9..=0xbf)
            .map(|last| (true, vec![0xef, 0xbf, last]))
            .collect(),
    ]
}

/// 6.22: the last two of each plane, which are valid: U+FFFE, U+FFFF, U+1FFFE ... U+10FFFF.
fn non_characters() -> Texts {
    (0..=0x10_u32)
        .flat_map(|plane| [plane << 16 | 0xFFFE, plane << 16 | 0xFFFF])
        .map(|code| {
            (
                true,
                char::from_u32(code)
                    .unwrap_or_default()
                    .to_string()
                    .into_bytes(),
            )
        })
        .collect()
}

//! What is sent: the venues' messages, with a number, a quantity and an instrument that are written in each time.

use super::snapshot;
use super::spread::Spread;

/// A message that is sent again and again, with its number, one quantity and its instrument written in each time.
#[derive(Clone, Debug)]
pub struct Shape {
    /// As the table says it.
    pub name: &'static str,
    /// What it brings.
    pub kind: ShapeKind,
    /// Over which instruments and sockets it is spread.
    pub spread: Spread,
    text: Vec<u8>,
    places: Places,
}

/// What is written in, and where.
#[derive(Clone, Debug)]
struct Places {
    numbers: Vec<Place>,
    firsts: Vec<Place>,
    previous: Vec<Place>,
    counts: Vec<Place>,
    quantities: Vec<Place>,
    names: Vec<(Place, Letters)>,
}

/// What a shape brings, and in whose words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShapeKind {
    /// Binance's best bid and ask.
    Top,
    /// Binance's diff depth.
    Depth,
    /// Bybit's delta of 50 levels.
    Bybit,
    /// Deribit's change of a whole book.
    Deribit,
    /// Polymarket's change of a price, of both outcomes.
    Polymarket,
}

/// Digits that are written in.
#[derive(Clone, Copy, Debug)]
struct Place {
    at: usize,
    digits: usize,
}

/// How an instrument's name is written.
#[derive(Clone, Copy, Debug)]
enum Letters {
    Upper,
    Lower,
    /// A token's last digits.
    Digits,
}

/// Numbers of messages begin above it, and books with a snapshot that has it: eleven digits, as the venues'
/// are today.
pub(super) const BASE: u64 = 50_093_239_211;

const NUMBER_DIGITS: usize = 11;

/// Stand for the digits of the message's number, of the first that it may be read as (one behind that of the
/// instrument's last message), of that last one, of the count of the instrument's messages, and of the quantity.
const NUMBER: &str = "NNNNNNNNNNN";
const FIRST: &str = "FFFFFFFFFFF";
const PREVIOUS: &str = "PPPPPPPPPPP";
const COUNT: &str = "CCCCCCCCCCC";
const QUANTITY: &str = "QQQQQQQQ";
const QUANTITY_OF_SIX: &str = "SSSSSS";

/// Stand for the instrument: its three letters, or the last digits of its token.
pub(super) const UPPER: &str = "%UP";
const LOWER: &str = "%lo";
pub(super) const DIGITS: &str = "%digi";

/// All but the last digits of the token of Polymarket's messages.
pub(super) const TOKEN: &str =
    "713210456792522125946263855327069127503327285719425322896313793124555839";
const OTHER_TOKEN: &str =
    "52114319501245915516055106046884209969926127482827954674443846427813813222426";
pub(super) const MARKET: &str =
    "0x5f65177b394277fd294cd75650044e32ba009a95022d88a0c1d565897d72f8f1";

/// Polymarket has times in place of numbers: a number with two digits before it is one in milliseconds, of
/// 2025.
pub(super) const POLYMARKET_OFFSET: u64 = 1_700_000_000_000;

impl Shape {
    /// All of them.
    pub fn all(spread: Spread) -> Vec<Shape> {
        use ShapeKind::{Bybit, Depth, Deribit, Polymarket, Top};
        let new = |name, kind, text: String| Shape {
            name,
            kind,
            spread,
            places: Places::of(&text),
            text: text.into_bytes(),
        };
        vec![
            new("bookTicker", Top, ticker()),
            new("depth small", Depth, depth(3)),
            new("depth 4 KB", Depth, depth(60)),
            new("bybit delta", Bybit, bybit()),
            new("deribit change", Deribit, deribit()),
            new("polymarket price_change", Polymarket, polymarket()),
        ]
    }

    /// Its bytes as a server's WebSocket frame of text.
    pub(super) fn frame(&self) -> Frame {
        let bytes = frame_of(&self.text);
        let head = bytes.len() - self.text.len();
        Frame {
            bytes,
            spread: self.spread,
            places: self.places.moved(head),
        }
    }

    /// The frame that an instrument's book begins with; empty where it begins by REST, or there is none.
    pub(super) fn first(&self, instrument: usize) -> Vec<u8> {
        let text = match self.kind {
            ShapeKind::Top | ShapeKind::Depth => return Vec::new(),
            ShapeKind::Bybit => snapshot::bybit(),
            ShapeKind::Deribit => snapshot::deribit(),
            ShapeKind::Polymarket => snapshot::polymarket(),
        };
        frame_of(named(&text, instrument).as_bytes())
    }

    /// What each book begins with where it is fetched by REST: the answer.
    pub fn fetched(&self) -> Option<String> {
        (self.kind == ShapeKind::Depth).then(snapshot::binance)
    }

    /// What a message of an instrument says that it is about, which is also what is subscribed to.
    pub fn topic(&self, instrument: usize) -> String {
        let text = match self.kind {
            ShapeKind::Top => format!("{LOWER}usdt@bookTicker"),
            ShapeKind::Depth => format!("{LOWER}usdt@depth@100ms"),
            ShapeKind::Bybit => format!("orderbook.50.{UPPER}USDT"),
            ShapeKind::Deribit => format!("book.{UPPER}-PERPETUAL.100ms"),
            ShapeKind::Polymarket => format!("{TOKEN}{DIGITS}"),
        };
        named(&text, instrument)
    }

    /// An instrument as the venue names it.
    pub(super) fn symbol(&self, instrument: usize) -> String {
        let text = match self.kind {
            ShapeKind::Top | ShapeKind::Depth | ShapeKind::Bybit => format!("{UPPER}USDT"),
            ShapeKind::Deribit => format!("{UPPER}-PERPETUAL"),
            ShapeKind::Polymarket => format!("{TOKEN}{DIGITS}"),
        };
        named(&text, instrument)
    }

    /// Where the floors, who do not parse, read the number: its offset in a frame.
    pub(super) fn number_at(&self) -> usize {
        self.frame()
            .places
            .numbers
            .first()
            .map_or(0, |place| place.at)
    }

    /// The number of the message of `instrument` that an event with this number, count or time came from.
    #[inline]
    pub const fn number_of(&self, seq: u64, instrument: usize) -> u64 {
        match self.kind {
            ShapeKind::Polymarket => seq.saturating_sub(POLYMARKET_OFFSET),
            ShapeKind::Bybit => self.spread.number_of(seq, instrument),
            _ => seq,
        }
    }
}

impl Places {
    fn of(text: &str) -> Places {
        let places = |mark: &str| -> Vec<Place> {
            let digits = mark.len();
            let found = text.match_indices(mark);
            found.map(|(at, _)| Place { at, digits }).collect()
        };
        let names = [
            (UPPER, Letters::Upper),
            (LOWER, Letters::Lower),
            (DIGITS, Letters::Digits),
        ];
        let names =
            names.map(|(mark, letters)| places(mark).into_iter().map(move |it| (it, letters)));
        Places {
            numbers: places(NUMBER),
            firsts: places(FIRST),
            previous: places(PREVIOUS),
            counts: places(COUNT),
            quantities: [places(QUANTITY), places(QUANTITY_OF_SIX)].concat(),
            names: names.into_iter().flatten().collect(),
        }
    }

    /// The same, `by` bytes further on.
    fn moved(&self, by: usize) -> Places {
        let mut moved = self.clone();
        let numbers = moved.numbers.iter_mut().chain(&mut moved.firsts);
        let numbers = numbers.chain(&mut moved.previous).chain(&mut moved.counts);
        let names = moved.names.iter_mut().map(|(place, _)| place);
        for place in numbers.chain(&mut moved.quantities).chain(names) {
            place.at += by;
        }
        moved
    }
}

/// Three letters: Bitcoin's for the first instrument, and others from there on.
fn letters_of(instrument: usize) -> [u8; 3] {
    const BITCOIN: usize = (26 + 19) * 26 + 2;
    let number = BITCOIN + instrument;
    [number / 676, number / 26, number].map(|part| b'A' + (part % 26) as u8)
}

/// A text with an instrument's name written in.
fn named(text: &str, instrument: usize) -> String {
    let mut bytes = text.as_bytes().to_vec();
    write_names(&mut bytes, &Places::of(text).names, instrument);
    String::from_utf8_lossy(&bytes).into_owned()
}

fn write_names(bytes: &mut [u8], names: &[(Place, Letters)], instrument: usize) {
    for (place, letters) in names {
        let upper = letters_of(instrument);
        let name = match letters {
            Letters::Digits => {
                digits(bytes, *place, instrument as u64);
                continue;
            }
            Letters::Upper => upper,
            Letters::Lower => upper.map(|letter| letter.to_ascii_lowercase()),
        };
        if let Some(bytes) = bytes.get_mut(place.at..place.at + name.len()) {
            bytes.copy_from_slice(&name);
        }
    }
}

fn ticker() -> String {
    format!(
        "{{\"stream\":\"{LOWER}usdt@bookTicker\",\"data\":{{\"u\":{NUMBER},\"s\":\"{UPPER}USDT\",\
         \"b\":\"61837.63000000\",\"B\":\"3.{QUANTITY}\",\"a\":\"61837.64000000\",\"A\":\"1.54698000\"}}}}"
    )
}

fn depth(levels: usize) -> String {
    let side = |first: &str, step: i64| {
        let far = (1..levels as i64).map(|index| {
            let cents = 6_183_763 + step * (index * 7 + 1);
            let qty = (index * 7_919) % 1_000_000 * i64::from(index % 5 != 0);
            format!(
                ",[\"{}.{:02}000000\",\"{}.{:05}000\"]",
                cents / 100,
                cents % 100,
                qty / 100_000,
                qty % 100_000
            )
        });
        let far: String = far.collect();
        format!("[[\"{first}\",\"0.{QUANTITY}\"]{far}]")
    };
    format!(
        "{{\"stream\":\"{LOWER}usdt@depth@100ms\",\"data\":{{\"e\":\"depthUpdate\",\
         \"E\":1723161255208,\"s\":\"{UPPER}USDT\",\"U\":{FIRST},\"u\":{NUMBER},\"b\":{},\"a\":{}}}}}",
        side("61837.63000000", -1),
        side("61837.64000000", 1)
    )
}

fn bybit() -> String {
    format!(
        "{{\"topic\":\"orderbook.50.{UPPER}USDT\",\"type\":\"delta\",\"ts\":1723161255208,\"data\":\
         {{\"s\":\"{UPPER}USDT\",\"b\":[[\"61837.60\",\"{QUANTITY}\"],[\"61830.10\",\"0.204\"]],\
         \"a\":[[\"61840.00\",\"1.000\"]],\"u\":{COUNT},\"seq\":{NUMBER}}},\"cts\":1723161255205}}"
    )
}

/// Deribit's notification of a book.
pub(super) fn deribit_message(data: &str) -> String {
    format!(
        "{{\"jsonrpc\":\"2.0\",\"method\":\"subscription\",\"params\":\
         {{\"channel\":\"book.{UPPER}-PERPETUAL.100ms\",\"data\":{{{data}}}}}}}"
    )
}

fn deribit() -> String {
    deribit_message(&format!(
        "\"type\":\"change\",\"timestamp\":1723161255208,\"prev_change_id\":{PREVIOUS},\
         \"instrument_name\":\"{UPPER}-PERPETUAL\",\"change_id\":{NUMBER},\
         \"bids\":[[\"change\",61837.5,1{QUANTITY_OF_SIX}.0],[\"change\",61830.0,1200.0]],\
         \"asks\":[[\"change\",61838.0,3400.0]]"
    ))
}

fn polymarket() -> String {
    let of = |token: &str, side, hash, (bid, ask)| {
        format!(
            "{{\"asset_id\":\"{token}\",\"price\":\"0.5\",\"size\":\"219.{QUANTITY_OF_SIX}\",\"side\":\"{side}\",\
             \"hash\":\"{hash}\",\"best_bid\":\"{bid}\",\"best_ask\":\"{ask}\"}}"
        )
    };
    format!(
        "{{\"market\":\"{MARKET}\",\"price_changes\":[{},{}],\"timestamp\":\"17{NUMBER}\",\
         \"event_type\":\"price_change\"}}",
        of(
            &format!("{TOKEN}{DIGITS}"),
            "BUY",
            "56621a121a47ed9333273e21c83b660cff37ae50",
            ("0.5", "0.51")
        ),
        of(
            OTHER_TOKEN,
            "SELL",
            "1895759e4df7a796bf4f1c5a5950b748306923e2",
            ("0.49", "0.5")
        )
    )
}

/// A server's WebSocket frame of text, below 64 KiB.
pub(super) fn frame_of(text: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x81];
    let len = text.len();
    if len < 126 {
        frame.push(len as u8);
    } else {
        frame.push(126);
        frame.extend_from_slice(&(len as u16).to_be_bytes());
    }
    frame.extend_from_slice(text);
    frame
}

/// A shape as it is sent.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    /// All of it.
    pub(super) bytes: Vec<u8>,
    spread: Spread,
    places: Places,
}

impl Frame {
    /// Writes the number of a message in and whose it is; each has another best bid than its instrument's last.
    pub(super) fn set(&mut self, number: u64) {
        let (spread, places, bytes) = (self.spread, &self.places, &mut self.bytes);
        for place in &places.numbers {
            digits(bytes, *place, number);
        }
        for place in &places.firsts {
            digits(bytes, *place, spread.previous(number) + 1);
        }
        for place in &places.previous {
            digits(bytes, *place, spread.previous(number));
        }
        for place in &places.counts {
            digits(bytes, *place, spread.count_of(number));
        }
        for place in &places.quantities {
            // Its first digit stays, so that it is never nothing.
            let most = 10_u64.pow(place.digits as u32 - 1);
            digits(bytes, *place, most + number % most);
        }
        write_names(bytes, &places.names, spread.instrument_of(number));
    }
}

fn digits(bytes: &mut [u8], place: Place, mut number: u64) {
    let place = bytes.get_mut(place.at..place.at + place.digits);
    for byte in place.into_iter().flatten().rev() {
        *byte = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// The number that stands in a message at a known place.
#[inline]
pub(super) fn number_in(bytes: &[u8]) -> u64 {
    let digits = bytes.iter().take(NUMBER_DIGITS);
    digits.fold(0, |number, byte| {
        number * 10 + u64::from(byte.wrapping_sub(b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::super::spread::INSTRUMENTS_MAX;
    use super::*;

    fn text_of(shape: &Shape, frame: &Frame) -> String {
        let head = frame.bytes.len() - shape.text.len();
        String::from_utf8(frame.bytes[head..].to_vec()).expect("text")
    }

    #[test]
    fn every_shape_is_json_with_its_number_in_it() {
        for shape in Shape::all(Spread::ONE) {
            let mut frame = shape.frame();
            frame.set(BASE + 7);
            let text = text_of(&shape, &frame);
            let read: serde_json::Value = text.parse().expect("JSON");
            assert!(read.is_object(), "{text}");
            assert!(text.contains("50093239218"), "{text}");
            assert!(text.contains(&shape.topic(0)), "{text}");
            assert_eq!(number_in(&frame.bytes[shape.number_at()..]), BASE + 7);
            for mark in ["NN", "FF", "PP", "CC", "QQ", "SSS", "%"] {
                assert!(!text.contains(mark), "{text}");
            }
            let first = String::from_utf8_lossy(&shape.first(0)).into_owned();
            if !first.is_empty() {
                assert!(first.contains("50093239211"), "{first}");
                assert!(first.contains(&shape.topic(0)), "{first}");
            }
        }
    }

    #[test]
    fn each_message_of_an_instrument_has_another_best_bid() {
        let spread = Spread::new(2, Some(6)).expect("a spread");
        for shape in Shape::all(spread) {
            let (mut one, mut other) = (shape.frame(), shape.frame());
            one.set(BASE + 1);
            other.set(BASE + 7);
            let quantity = |frame: &Frame| {
                let place = frame.places.quantities[0];
                frame.bytes[place.at..place.at + place.digits].to_vec()
            };
            assert_ne!(quantity(&one), quantity(&other), "{}", shape.name);
        }
    }

    #[test]
    fn messages_go_to_instruments_in_turn_and_follow_each_other() {
        let spread = Spread::new(2, Some(6)).expect("a spread");
        for shape in Shape::all(spread) {
            let topics: Vec<String> = (0..6).map(|it| shape.topic(it)).collect();
            let mut last = [BASE; 6];
            let mut frame = shape.frame();
            for number in BASE + 1..BASE + 19 {
                frame.set(number);
                let text = text_of(&shape, &frame);
                let found: Vec<usize> = (0..6).filter(|it| text.contains(&topics[*it])).collect();
                assert_eq!(found, [spread.instrument_of(number)], "{text}");
                let previous = std::mem::replace(&mut last[found[0]], number);
                let read: serde_json::Value = text.parse().expect("JSON");
                let follows = match shape.kind {
                    ShapeKind::Depth => read["data"]["U"] == previous + 1,
                    ShapeKind::Deribit => read["params"]["data"]["prev_change_id"] == previous,
                    ShapeKind::Bybit => {
                        let count = read["data"]["u"].as_u64().expect("a count");
                        shape.number_of(count, found[0]) == number
                    }
                    ShapeKind::Top | ShapeKind::Polymarket => true,
                };
                assert!(follows, "{number}: {text}");
            }
        }
    }

    #[test]
    fn no_two_instruments_share_a_name() {
        let names: std::collections::HashSet<_> = (0..INSTRUMENTS_MAX).map(letters_of).collect();
        assert_eq!(names.len(), INSTRUMENTS_MAX);
        assert_eq!(letters_of(0), *b"BTC");
    }
}

//! What is sent: the venues' messages, with a number and a quantity that are written in each time.

/// A message that is sent again and again, with its number and one quantity written in each time.
#[derive(Clone, Debug)]
pub struct Shape {
    /// As the table says it.
    pub name: &'static str,
    /// What it brings.
    pub kind: ShapeKind,
    text: Vec<u8>,
    /// What a book begins with, where the stream brings that, as a frame.
    first: Vec<u8>,
    numbers: Vec<Place>,
    previous: Vec<Place>,
    quantities: Vec<Place>,
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

/// Numbers of messages begin above it, and books with a snapshot that has it: eleven digits, as the venues'
/// are today.
pub(super) const BASE: u64 = 50_093_239_211;

const NUMBER_DIGITS: usize = 11;

/// Stand for the digits of the message's number, of the one before it, and of the quantity.
const NUMBER: &str = "NNNNNNNNNNN";
const PREVIOUS: &str = "PPPPPPPPPPP";
const QUANTITY: &str = "QQQQQQQQ";
const QUANTITY_OF_SIX: &str = "SSSSSS";

/// The instrument of Deribit's messages.
pub(super) const DERIBIT_SYMBOL: &str = "BTC-PERPETUAL";

/// The token of Polymarket's messages.
pub const TOKEN: &str =
    "71321045679252212594626385532706912750332728571942532289631379312455583992563";
const OTHER_TOKEN: &str =
    "52114319501245915516055106046884209969926127482827954674443846427813813222426";
const MARKET: &str = "0x5f65177b394277fd294cd75650044e32ba009a95022d88a0c1d565897d72f8f1";

/// Polymarket has times in place of numbers: a number with two digits before it is one in milliseconds, of
/// 2025.
const POLYMARKET_OFFSET: u64 = 1_700_000_000_000;

impl Shape {
    /// All of them.
    pub fn all() -> Vec<Shape> {
        vec![
            Shape::new("bookTicker", ShapeKind::Top, &ticker()),
            Shape::new("depth small", ShapeKind::Depth, &depth(3)),
            Shape::new("depth 4 KB", ShapeKind::Depth, &depth(60)),
            Shape::new("bybit delta", ShapeKind::Bybit, &bybit()),
            Shape::new("deribit change", ShapeKind::Deribit, &deribit()),
            Shape::new(
                "polymarket price_change",
                ShapeKind::Polymarket,
                &polymarket(),
            ),
        ]
    }

    fn new(name: &'static str, kind: ShapeKind, text: &str) -> Shape {
        let places = |mark: &str| -> Vec<Place> {
            let digits = mark.len();
            let found = text.match_indices(mark);
            found.map(|(at, _)| Place { at, digits }).collect()
        };
        let quantities = [places(QUANTITY), places(QUANTITY_OF_SIX)].concat();
        let first = match kind {
            ShapeKind::Top | ShapeKind::Depth => Vec::new(),
            ShapeKind::Bybit => frame_of(bybit_snapshot().as_bytes()),
            ShapeKind::Deribit => frame_of(deribit_snapshot().as_bytes()),
            ShapeKind::Polymarket => frame_of(polymarket_book().as_bytes()),
        };
        Shape {
            name,
            kind,
            text: text.as_bytes().to_vec(),
            first,
            numbers: places(NUMBER),
            previous: places(PREVIOUS),
            quantities,
        }
    }

    /// Its bytes as a server's WebSocket frame of text.
    pub(super) fn frame(&self) -> Frame {
        let bytes = frame_of(&self.text);
        let head = bytes.len() - self.text.len();
        let moved = |places: &[Place]| -> Vec<Place> {
            let moved = places.iter().map(|place| Place {
                at: place.at + head,
                ..*place
            });
            moved.collect()
        };
        Frame {
            bytes,
            numbers: moved(&self.numbers),
            previous: moved(&self.previous),
            quantities: moved(&self.quantities),
        }
    }

    /// The frame that a book begins with; empty where it begins by REST, or there is none.
    pub(super) fn first(&self) -> &[u8] {
        &self.first
    }

    /// Where the floors, who do not parse, read the number: its offset in a frame.
    pub(super) fn number_at(&self) -> usize {
        self.frame().numbers.first().map_or(0, |place| place.at)
    }

    /// The number of the message that an event with this number or time came from.
    #[inline]
    pub const fn number_of(&self, seq: u64) -> u64 {
        match self.kind {
            ShapeKind::Polymarket => seq.saturating_sub(POLYMARKET_OFFSET),
            _ => seq,
        }
    }
}

fn ticker() -> String {
    format!(
        "{{\"stream\":\"btcusdt@bookTicker\",\"data\":{{\"u\":{NUMBER},\"s\":\"BTCUSDT\",\
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
        "{{\"stream\":\"btcusdt@depth@100ms\",\"data\":{{\"e\":\"depthUpdate\",\
         \"E\":1723161255208,\"s\":\"BTCUSDT\",\"U\":{NUMBER},\"u\":{NUMBER},\"b\":{},\"a\":{}}}}}",
        side("61837.63000000", -1),
        side("61837.64000000", 1)
    )
}

fn bybit() -> String {
    format!(
        "{{\"topic\":\"orderbook.50.BTCUSDT\",\"type\":\"delta\",\"ts\":1723161255208,\"data\":\
         {{\"s\":\"BTCUSDT\",\"b\":[[\"61837.60\",\"{QUANTITY}\"],[\"61830.10\",\"0.204\"]],\
         \"a\":[[\"61840.00\",\"1.000\"]],\"u\":{NUMBER},\"seq\":7961638724}},\"cts\":1723161255205}}"
    )
}

fn bybit_snapshot() -> String {
    format!(
        "{{\"topic\":\"orderbook.50.BTCUSDT\",\"type\":\"snapshot\",\"ts\":1723161255208,\"data\":\
         {{\"s\":\"BTCUSDT\",\"b\":[[\"61837.60\",\"1.000\"]],\"a\":[[\"61840.00\",\"1.000\"]],\
         \"u\":{BASE},\"seq\":7961638723}},\"cts\":1723161255205}}"
    )
}

fn deribit_message(data: &str) -> String {
    format!(
        "{{\"jsonrpc\":\"2.0\",\"method\":\"subscription\",\"params\":\
         {{\"channel\":\"book.{DERIBIT_SYMBOL}.100ms\",\"data\":{{{data}}}}}}}"
    )
}

fn deribit() -> String {
    deribit_message(&format!(
        "\"type\":\"change\",\"timestamp\":1723161255208,\"prev_change_id\":{PREVIOUS},\
         \"instrument_name\":\"{DERIBIT_SYMBOL}\",\"change_id\":{NUMBER},\
         \"bids\":[[\"change\",61837.5,1{QUANTITY_OF_SIX}.0],[\"change\",61830.0,1200.0]],\
         \"asks\":[[\"change\",61838.0,3400.0]]"
    ))
}

fn deribit_snapshot() -> String {
    deribit_message(&format!(
        "\"type\":\"snapshot\",\"timestamp\":1723161255208,\"instrument_name\":\"{DERIBIT_SYMBOL}\",\
         \"change_id\":{BASE},\"bids\":[[\"new\",61837.5,10.0],[\"new\",61830.0,1000.0]],\
         \"asks\":[[\"new\",61838.0,3000.0]]"
    ))
}

fn polymarket() -> String {
    let of = |token, side, hash, (bid, ask)| {
        format!(
            "{{\"asset_id\":\"{token}\",\"price\":\"0.5\",\"size\":\"219.{QUANTITY_OF_SIX}\",\"side\":\"{side}\",\
             \"hash\":\"{hash}\",\"best_bid\":\"{bid}\",\"best_ask\":\"{ask}\"}}"
        )
    };
    format!(
        "{{\"market\":\"{MARKET}\",\"price_changes\":[{},{}],\"timestamp\":\"17{NUMBER}\",\
         \"event_type\":\"price_change\"}}",
        of(
            TOKEN,
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

fn polymarket_book() -> String {
    format!(
        "[{{\"event_type\":\"book\",\"asset_id\":\"{TOKEN}\",\"market\":\"{MARKET}\",\
         \"bids\":[{{\"price\":\"0.49\",\"size\":\"20\"}},{{\"price\":\"0.5\",\"size\":\"15\"}}],\
         \"asks\":[{{\"price\":\"0.52\",\"size\":\"25\"}},{{\"price\":\"0.51\",\"size\":\"60\"}}],\
         \"timestamp\":\"{}\",\"hash\":\"0x0\"}}]",
        POLYMARKET_OFFSET + BASE
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
    numbers: Vec<Place>,
    previous: Vec<Place>,
    quantities: Vec<Place>,
}

impl Frame {
    /// Writes the number of a message in; each has another best bid than the one before.
    pub(super) fn set(&mut self, number: u64) {
        for place in &self.numbers {
            digits(&mut self.bytes, *place, number);
        }
        for place in &self.previous {
            digits(&mut self.bytes, *place, number - 1);
        }
        for place in &self.quantities {
            // Its first digit stays, so that it is never nothing.
            let most = 10_u64.pow(place.digits as u32 - 1);
            digits(&mut self.bytes, *place, most + number % most);
        }
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
    use super::*;

    #[test]
    fn every_shape_is_json_with_its_number_in_it() {
        for shape in Shape::all() {
            let mut frame = shape.frame();
            frame.set(BASE + 7);
            let head = frame.bytes.len() - shape.text.len();
            let text = std::str::from_utf8(&frame.bytes[head..]).expect("text");
            let read: serde_json::Value = text.parse().expect("JSON");
            assert!(read.is_object(), "{text}");
            assert!(text.contains("50093239218"), "{text}");
            assert_eq!(number_in(&frame.bytes[shape.number_at()..]), BASE + 7);
            for mark in ["NN", "PP", "QQ", "SSS"] {
                assert!(!text.contains(mark), "{text}");
            }
            if !shape.first().is_empty() {
                let first = String::from_utf8_lossy(shape.first());
                assert!(first.contains("50093239211"), "{first}");
            }
        }
    }

    #[test]
    fn each_message_has_another_best_bid() {
        for shape in Shape::all() {
            let (mut one, mut other) = (shape.frame(), shape.frame());
            one.set(BASE + 1);
            other.set(BASE + 2);
            let quantity = |frame: &Frame| {
                let place = frame.quantities[0];
                frame.bytes[place.at..place.at + place.digits].to_vec()
            };
            assert_ne!(quantity(&one), quantity(&other), "{}", shape.name);
        }
    }
}

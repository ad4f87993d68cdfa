//! From a scheduled send to the strategy's pop from the ring, over TLS on loopback.
//!
//! The sender keeps an absolute schedule: a message is due at its time whether or not those before
//! it have arrived, and its latency counts from then. The client under test runs on a thread of its
//! own, up to the book, and hands an event of 64 bytes to a ring; the sender's thread pops it, so
//! that a machine of two cores has no third spinner.

pub mod clients;
pub mod server;

use std::time::{Duration, Instant};

/// A message that is sent again and again, with its number and one quantity written in each time.
#[derive(Clone, Debug)]
pub struct Shape {
    /// As the table says it.
    pub name: &'static str,
    /// What it brings.
    pub kind: ShapeKind,
    text: Vec<u8>,
    numbers: Vec<usize>,
    quantities: Vec<usize>,
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
}

/// Numbers of messages begin above it, and books of Bybit with a snapshot that has it: eleven digits, as the venues' are today.
pub const BASE: u64 = 50_093_239_211;
const NUMBER_DIGITS: usize = 11;
const QUANTITY_DIGITS: usize = 8;
const NUMBER: &str = "NNNNNNNNNNN";
const QUANTITY: &str = "QQQQQQQQ";

impl Shape {
    /// All of them.
    pub fn all() -> Vec<Shape> {
        let depth = |levels: usize| {
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
                format!(
                    "[[\"{first}\",\"0.{QUANTITY}\"]{}]",
                    far.collect::<String>()
                )
            };
            format!(
                "{{\"stream\":\"btcusdt@depth@100ms\",\"data\":{{\"e\":\"depthUpdate\",\
                 \"E\":1723161255208,\"s\":\"BTCUSDT\",\"U\":{NUMBER},\"u\":{NUMBER},\"b\":{},\"a\":{}}}}}",
                side("61837.63000000", -1),
                side("61837.64000000", 1)
            )
        };
        let top = format!(
            "{{\"stream\":\"btcusdt@bookTicker\",\"data\":{{\"u\":{NUMBER},\"s\":\"BTCUSDT\",\
             \"b\":\"61837.63000000\",\"B\":\"3.{QUANTITY}\",\"a\":\"61837.64000000\",\"A\":\"1.54698000\"}}}}"
        );
        let bybit = format!(
            "{{\"topic\":\"orderbook.50.BTCUSDT\",\"type\":\"delta\",\"ts\":1723161255208,\"data\":\
             {{\"s\":\"BTCUSDT\",\"b\":[[\"61837.60\",\"{QUANTITY}\"],[\"61830.10\",\"0.204\"]],\
             \"a\":[[\"61840.00\",\"1.000\"]],\"u\":{NUMBER},\"seq\":7961638724}},\"cts\":1723161255205}}"
        );
        vec![
            Shape::new("bookTicker", ShapeKind::Top, &top),
            Shape::new("depth small", ShapeKind::Depth, &depth(3)),
            Shape::new("depth 4 KB", ShapeKind::Depth, &depth(60)),
            Shape::new("bybit delta", ShapeKind::Bybit, &bybit),
        ]
    }

    fn new(name: &'static str, kind: ShapeKind, text: &str) -> Shape {
        let places = |mark| text.match_indices(mark).map(|(at, _)| at).collect();
        Shape {
            name,
            kind,
            numbers: places(NUMBER),
            quantities: places(QUANTITY),
            text: text.as_bytes().to_vec(),
        }
    }

    /// Its bytes as a server's WebSocket frame of text.
    pub fn frame(&self) -> Frame {
        let bytes = frame_of(&self.text);
        let head = bytes.len() - self.text.len();
        Frame {
            bytes,
            numbers: self.numbers.iter().map(|at| at + head).collect(),
            quantities: self.quantities.iter().map(|at| at + head).collect(),
        }
    }

    /// Where the floors, who do not parse, read the number: its offset in a frame.
    pub fn number_at(&self) -> usize {
        self.frame().numbers.first().copied().unwrap_or(0)
    }
}

/// What a book of Bybit begins with, as a frame.
fn bybit_snapshot() -> Vec<u8> {
    let text = format!(
        "{{\"topic\":\"orderbook.50.BTCUSDT\",\"type\":\"snapshot\",\"ts\":1723161255208,\"data\":\
         {{\"s\":\"BTCUSDT\",\"b\":[[\"61837.60\",\"1.000\"]],\"a\":[[\"61840.00\",\"1.000\"]],\
         \"u\":{BASE},\"seq\":7961638723}},\"cts\":1723161255205}}"
    );
    frame_of(text.as_bytes())
}

/// A server's WebSocket frame of text, below 64 KiB.
fn frame_of(text: &[u8]) -> Vec<u8> {
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
pub struct Frame {
    /// All of it.
    pub bytes: Vec<u8>,
    numbers: Vec<usize>,
    quantities: Vec<usize>,
}

impl Frame {
    /// Writes the number of a message in; each has another best bid than the one before.
    pub fn set(&mut self, number: u64) {
        for at in &self.numbers {
            digits(&mut self.bytes[*at..*at + NUMBER_DIGITS], number);
        }
        for at in &self.quantities {
            digits(
                &mut self.bytes[*at..*at + QUANTITY_DIGITS],
                10_000_000 + number % 10_000_000,
            );
        }
    }
}

fn digits(place: &mut [u8], mut number: u64) {
    for byte in place.iter_mut().rev() {
        *byte = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// The number that stands in a message at a known place.
#[inline]
pub fn number_in(bytes: &[u8]) -> u64 {
    let digits = bytes.iter().take(NUMBER_DIGITS);
    digits.fold(0, |number, byte| {
        number * 10 + u64::from(byte.wrapping_sub(b'0'))
    })
}

/// Latencies in nanoseconds, to three digits.
pub type Histogram = hdrhistogram::Histogram<u64>;

/// What a round has shown.
#[derive(Debug)]
pub struct Round {
    /// From the scheduled send to the pop.
    pub latency: Histogram,
    /// Messages a second in a burst, from the first send to the last pop.
    pub burst_msgs_s: f64,
    /// Allocations of the loop's thread while timed: ours, and inside TLS.
    pub allocations: (u64, u64),
}

/// What is asked of a round.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    /// Messages a second.
    pub rate: u64,
    /// How long.
    pub length: Duration,
    /// Messages of the burst; 0 for none.
    pub burst: u64,
}

/// Nothing comes for so long: something is broken.
const PATIENCE: Duration = Duration::from_secs(20);

/// Messages of a burst that share a TLS record and a write, as venues coalesce them.
const BURST_BATCH: u64 = 16;

/// Runs a round: `send` takes bytes and says whether the socket took all that was given so far; `pop`
/// gives the number of the newest event.
///
/// # Errors
/// In words, where messages stay away.
pub fn run(
    shape: &Shape,
    ask: Ask,
    mut send: impl FnMut(&[u8]) -> Result<bool, String>,
    mut pop: impl FnMut() -> Option<u64>,
    mut allocations: impl FnMut() -> (u64, u64),
) -> Result<Round, String> {
    let mut frame = shape.frame();
    let mut number = BASE;
    let mut seen = BASE;
    if shape.kind == ShapeKind::Bybit {
        send(&bybit_snapshot())?;
    }
    // Until the client is up and its book is whole, and then until its caches are warm.
    let started = Instant::now();
    let mut warm = 0;
    while warm < 500 {
        number += 1;
        frame.set(number);
        send(&frame.bytes)?;
        let pause = Instant::now();
        while pause.elapsed() < Duration::from_micros(if warm == 0 { 5_000 } else { 200 }) {
            send(&[])?;
            while let Some(got) = pop() {
                seen = seen.max(got);
            }
        }
        warm = if seen > BASE { warm + 1 } else { 0 };
        if started.elapsed() > PATIENCE {
            return Err(format!("{}: nothing arrives", shape.name));
        }
    }
    wait_for(number, &mut seen, &mut send, &mut pop)?;
    let mut latency =
        Histogram::new_with_bounds(1, 60_000_000_000, 3).map_err(|it| it.to_string())?;
    let before = allocations();
    let interval_ns = 1_000_000_000 / ask.rate.max(1);
    let count = (ask.length.as_nanos() as u64 / interval_ns).max(1);
    let (first, start) = (number, Instant::now() + Duration::from_millis(1));
    let due = |number: u64| start + Duration::from_nanos((number - first - 1) * interval_ns);
    let last = first + count;
    while seen < last {
        let now = Instant::now();
        if number < last && now >= due(number + 1) {
            number += 1;
            frame.set(number);
            send(&frame.bytes)?;
        } else {
            send(&[])?;
        }
        while let Some(got) = pop() {
            let late = Instant::now().saturating_duration_since(due(got));
            latency.saturating_record(late.as_nanos() as u64);
            seen = got;
        }
        if now.saturating_duration_since(due(last)) > PATIENCE {
            return Err(format!(
                "{}: {} of {count} arrived",
                shape.name,
                seen - first
            ));
        }
    }
    let after = allocations();
    let mut burst_msgs_s = 0.0;
    if ask.burst > 0 {
        let (first, start) = (number, Instant::now());
        let mut batch = Vec::new();
        while number < first + ask.burst {
            batch.clear();
            for _ in 0..BURST_BATCH {
                number += 1;
                frame.set(number);
                batch.extend_from_slice(&frame.bytes);
            }
            let mut taken = send(&batch)?;
            while !taken {
                while let Some(got) = pop() {
                    seen = got;
                }
                taken = send(&[])?;
            }
            while let Some(got) = pop() {
                seen = got;
            }
        }
        wait_for(number, &mut seen, &mut send, &mut pop)?;
        burst_msgs_s = (number - first) as f64 / start.elapsed().as_secs_f64();
    }
    Ok(Round {
        latency,
        burst_msgs_s,
        allocations: (after.0 - before.0, after.1 - before.1),
    })
}

fn wait_for(
    number: u64,
    seen: &mut u64,
    send: &mut impl FnMut(&[u8]) -> Result<bool, String>,
    pop: &mut impl FnMut() -> Option<u64>,
) -> Result<(), String> {
    let started = Instant::now();
    while *seen < number {
        send(&[])?;
        while let Some(got) = pop() {
            *seen = got;
        }
        if started.elapsed() > PATIENCE {
            return Err(format!("{} of the last messages stay away", number - *seen));
        }
    }
    Ok(())
}

//! A delta of a book, as there are more books, and as a run goes on: Bybit's messages from their bytes to
//! the book and the events.

use core::hint::black_box;
use std::collections::HashMap;
use std::io::Write as _;
use std::time::Duration;

use tickwire_connectors::bybit::{Bybit, BybitConfig};
use tickwire_connectors::instrument::symbol;
use tickwire_connectors::transmit::Transmit;
use tickwire_connectors::upkeep::{TopCheck, Upkeep};
use tickwire_connectors::{
    AnyConnector, Channel, Command, Connector, FetchInstruments, LinkChange, LinkId, Nanos, Outbox,
    StreamId, StreamState,
};

use super::{Curve, Failure, Options, cpu_time, least};

const COUNTS: [usize; 6] = [1, 10, 100, 1_000, 2_500, 5_000];

/// Levels a side of each book.
const LEVELS: i64 = 200;

/// The best bid in ticks; the best ask is one more.
const BEST: i64 = 6_183_763;

const START: Nanos = Nanos(1_700_000_040_000_000_000);

/// All of them in a virtual second: nothing is too late.
const STEP: Nanos = Nanos(100);

/// A venue with many books, and the connector that keeps them.
struct Books {
    connector: AnyConnector,
    out: Outbox,
    now: Nanos,
    links: Vec<LinkId>,
    /// The last number of each book.
    numbers: Vec<u64>,
    /// Sums of the weights 1/1, 1/2, 1/3 ..: a few instruments make most of the messages.
    zipf: Vec<f64>,
    rng: fastrand::Rng,
}

fn name(index: usize) -> String {
    format!("C{index:04}USDT")
}

impl Books {
    fn new(count: usize) -> Result<Books, Failure> {
        let config = BybitConfig::linear();
        let config = BybitConfig {
            instruments: FetchInstruments::No,
            upkeep: Upkeep {
                top_check: TopCheck::Never,
                ..config.upkeep
            },
            ..config
        };
        let mut sum = 0.0;
        let zipf = (1..=count).map(|rank| {
            sum += 1.0 / rank as f64;
            sum
        });
        let mut books = Books {
            connector: AnyConnector::Bybit(Box::new(Bybit::new(config, 7)?)),
            out: Outbox::new(),
            now: START,
            links: vec![LinkId(0); count],
            numbers: vec![1; count],
            zipf: zipf.collect(),
            rng: fastrand::Rng::with_seed(7),
        };
        let channel: Channel = "book:200".parse()?;
        for index in 0..count {
            let command = Command::Subscribe {
                stream: StreamId::new(index as u32).ok_or("a stream")?,
                symbol: symbol(&name(index)).ok_or("a symbol")?,
                channel,
                depth: false,
            };
            books
                .connector
                .handle_command(books.now, command, &mut books.out);
            books.out.clear();
        }
        books.answer()?;
        for index in 0..count as u32 {
            let view = StreamId::new(index).and_then(|id| books.connector.book(id));
            let state = view.map(|view| (view.state, view.book.len(tickwire_orderbook::Side::Bid)));
            if state != Some((StreamState::Live, LEVELS as usize)) {
                return Err(format!("book {index} is not Live: {state:?}").into());
            }
        }
        Ok(books)
    }

    /// Does what the connector wants done until it wants nothing any more.
    fn answer(&mut self) -> Result<(), Failure> {
        let mut body = Vec::new();
        for _ in 0..100_000 {
            body.clear();
            match self.connector.poll_transmit(self.now, &mut body) {
                Some(Transmit::Open { link, .. }) => {
                    let up = LinkChange::Up { epoch: 1 };
                    self.connector
                        .handle_link(self.now, link, up, &mut self.out);
                }
                Some(Transmit::Text { link, .. }) => self.grant(link, &body)?,
                Some(_) => {}
                // Requests are spread over time.
                None => match self.connector.poll_timeout() {
                    Some(at) if at < START + Nanos::from_secs(5) => {
                        self.now = self.now.max(at);
                        self.connector.handle_timeout(self.now, &mut self.out);
                    }
                    _ => return Ok(()),
                },
            }
            self.out.clear();
        }
        Err("the connector never rests".into())
    }

    fn grant(&mut self, link: LinkId, request: &[u8]) -> Result<(), Failure> {
        let request: serde_json::Value = serde_json::from_slice(request)?;
        let id = request["req_id"].as_str().unwrap_or_default();
        if request["op"] == "ping" {
            return Ok(());
        }
        let mut ok = format!(
            r#"{{"success":true,"ret_msg":"","conn_id":"c","req_id":"{id}","op":"subscribe"}}"#
        )
        .into_bytes();
        self.connector
            .handle_message(self.now, link, &mut ok, &mut self.out);
        let names: HashMap<String, usize> = (0..self.numbers.len())
            .map(|index| (name(index), index))
            .collect();
        for topic in request["args"].as_array().into_iter().flatten() {
            let of = topic.as_str().and_then(|topic| topic.rsplit('.').next());
            let index = of.and_then(|of| names.get(of)).ok_or("another topic")?;
            self.links[*index] = link;
            let mut text = Vec::new();
            self.write(*index, "snapshot", 1..=LEVELS, &mut text);
            self.connector
                .handle_message(self.now, link, &mut text, &mut self.out);
            self.out.clear();
        }
        Ok(())
    }

    /// Levels of both sides at these distances from the middle.
    fn write(
        &mut self,
        index: usize,
        kind: &str,
        distances: impl Iterator<Item = i64> + Clone,
        text: &mut Vec<u8>,
    ) {
        let (number, name) = (self.numbers[index], name(index));
        // A vector takes all that is written.
        let _ = write!(
            text,
            r#"{{"topic":"orderbook.200.{name}","type":"{kind}","ts":{},"data":{{"s":"{name}""#,
            self.now.0 / 1_000_000
        );
        for (side, step) in [("b", -1), ("a", 1)] {
            let _ = write!(text, r#","{side}":["#);
            for (place, distance) in distances.clone().enumerate() {
                let price = BEST + i64::from(step == 1) + step * (distance - 1);
                let comma = if place > 0 { "," } else { "" };
                let (units, cents, qty) = (price / 100, price % 100, self.rng.u32(1..100_000));
                let (whole, part) = (qty / 1_000, qty % 1_000);
                let _ = write!(text, r#"{comma}["{units}.{cents:02}","{whole}.{part:03}"]"#);
            }
            text.push(b']');
        }
        let _ = write!(
            text,
            r#","u":{number},"seq":{}}},"cts":{}}}"#,
            7_961_638_723 + number,
            self.now.0 / 1_000_000
        );
    }

    /// A delta of an instrument by its share: two levels a side, near the touch.
    fn delta(&mut self, text: &mut Vec<u8>) -> usize {
        let total = self.zipf.last().copied().unwrap_or(1.0);
        let at = self.rng.f64() * total;
        let index = self
            .zipf
            .partition_point(|sum| *sum < at)
            .min(self.numbers.len() - 1);
        self.numbers[index] += 1;
        let near = |rng: &mut fastrand::Rng| i64::from(rng.u64(..).trailing_zeros().min(99)) + 1;
        let (first, second) = (near(&mut self.rng), near(&mut self.rng) + 99);
        self.write(index, "delta", [first, second].into_iter(), text);
        index
    }

    /// So many messages.
    fn messages(&mut self, count: usize) -> Vec<(LinkId, Vec<u8>)> {
        let mut messages = Vec::with_capacity(count);
        for _ in 0..count {
            let mut text = Vec::with_capacity(320);
            let index = self.delta(&mut text);
            messages.push((self.links[index], text));
        }
        messages
    }

    fn read(&mut self, messages: &mut [(LinkId, Vec<u8>)]) {
        for (link, text) in messages {
            self.now += STEP;
            self.connector
                .handle_message(self.now, *link, text, &mut self.out);
            black_box(self.out.hot());
            self.out.clear();
        }
    }

    /// Makes so many messages, and then has them read; gives what reading took.
    fn round(&mut self, count: usize) -> Duration {
        let mut messages = self.messages(count);
        let began = cpu_time();
        self.read(&mut messages);
        cpu_time() - began
    }

    /// Every message has changed a book, and none was lost.
    fn check(&self) -> Result<(), Failure> {
        let counters = self.connector.counters();
        match (counters.gaps, counters.malformed) {
            (0, 0) => Ok(()),
            _ => Err(format!("a message was not taken: {counters:?}").into()),
        }
    }
}

/// Has so many messages of `count` instruments read within `counted`, behind as many that are not counted. No clock is
/// read: valgrind hides it from who looks for it by himself.
pub fn read_within(
    count: usize,
    messages: usize,
    counted: impl FnOnce(&mut dyn FnMut()),
) -> Result<(), Failure> {
    let mut books = Books::new(count)?;
    let mut warm_up = books.messages(messages);
    books.read(&mut warm_up);
    let mut texts = books.messages(messages);
    counted(&mut || books.read(&mut texts));
    books.check()
}

pub(super) fn curve(options: &Options) -> Result<Curve, Failure> {
    let mut points = Vec::new();
    for count in COUNTS
        .into_iter()
        .filter(|count| *count <= options.instruments_max)
    {
        let mut books = Books::new(count)?;
        books.round(options.messages);
        let ns = least(options.rounds, options.messages, || {
            books.round(options.messages)
        });
        books.check()?;
        points.push((count as u64, ns));
    }
    Ok(Curve {
        of: "instruments, 200 levels a side each, shares 1, 1/2, 1/3 ..",
        unit: "a message",
        points,
    })
}

/// One instrument: the mean of each decade of a run.
pub(super) fn long_run(options: &Options) -> Result<Curve, Failure> {
    let mut books = Books::new(1)?;
    books.round(options.messages);
    let (mut points, mut done, mut until) = (Vec::new(), 0u64, 100_000u64);
    while until <= options.messages_max {
        let (mut spent, from) = (Duration::ZERO, done);
        while done < until {
            let count = options.messages.min((until - done) as usize);
            spent += books.round(count);
            done += count as u64;
        }
        points.push((until, spent.as_nanos() as f64 / (done - from) as f64));
        until *= 10;
    }
    books.check()?;
    Ok(Curve {
        of: "messages of one run",
        unit: "a message, mean since the line above",
        points,
    })
}

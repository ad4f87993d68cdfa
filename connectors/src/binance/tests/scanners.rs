//! The scanners against simd-json, over real messages and what becomes of them when bytes change.

use serde_json::value::RawValue;
use tickwire_orderbook::Scale;

use super::super::parse::{self, Shape, TradeKind};
use super::super::route::data_of;
use super::super::tape::{self, Reader};
use super::fixtures::{fixture, message};
use crate::connector::Connector as _;
use crate::instrument::Market;
use crate::scan::{ScanError, ScanErrorKind};
use crate::stream::Levels;

/// Of the fact sheet. ([S] web-socket-streams.md; USDS-M pages)
const SAMPLES: [&str; 9] = [
    r#"{"u":400900217,"s":"BNBUSDT","b":"25.35190000","B":"31.21000000","a":"25.36520000","A":"40.66000000"}"#,
    r#"{"e":"trade","E":1672515782136,"s":"BNBBTC","t":12345,"p":"0.001","q":"100","T":1672515782136,"m":true,"M":true}"#,
    r#"{"e":"aggTrade","E":1672515782136,"s":"BNBBTC","a":12345,"p":"0.001","q":"100","f":100,"l":105,"T":1672515782136,"m":true,"M":true}"#,
    r#"{"lastUpdateId":160,"bids":[["0.0024","10"]],"asks":[["0.0026","100"]]}"#,
    r#"{"e":"depthUpdate","E":1672515782136,"s":"BNBBTC","U":157,"u":160,"b":[["0.0024","10"]],"a":[["0.0026","100"]]}"#,
    r#"{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":2,"T":1,"s":"BTCUSDT","U":157,"u":160,"pu":149,"b":[["0.0024","10"]],"a":[]}}"#,
    r#"{"data":{"e":"bookTicker","u":7,"s":"BTCUSDT","b":"1","B":"2","a":"3","A":"4","T":8,"E":9},"stream":"btcusdt@bookTicker"}"#,
    r#"{"stream":"runeusd_perp@depth5","data":{"e":"depthUpdate","E":1648006221596,"T":1648006221340,"s":"RUNEUSD_PERP","ps":"RUNEUSD","U":395028983849,"u":395028983849,"pu":-1,"b":[],"a":[["8.4400","2"]]}}"#,
    r#"{"stream":"x@trade","data":{"e":"trade","E":1,"s":"\u0042TC","t":1,"p":"1","q":"1","T":1,"m":false,"z":[{"a":null},1e-5,-2.5]}}"#,
];

const RECORDINGS: [&str; 6] = [
    "spot_btcusdt_20240808-09.jsonl.zst",
    "usdm_btcusdt_20240808.jsonl.zst",
    "coinm_btcusd_perp_20240808-09.jsonl.zst",
    "cf_spot_20210404_3sym.jsonl.zst",
    "cf_usdm_20210722_4sym.jsonl.zst",
    "cf_coinm_20210722_10sym.jsonl.zst",
];

/// Messages of every kind: the samples, and some of each recording.
fn messages() -> Vec<String> {
    let mut messages: Vec<String> = SAMPLES.iter().map(|&text| text.to_owned()).collect();
    for name in RECORDINGS {
        let Some(text) = fixture(name) else { continue };
        let frames = text
            .lines()
            .filter_map(message)
            .filter(|frame| frame.len() < 3_000);
        messages.extend(frames.take(600).step_by(3).map(str::to_owned));
    }
    messages
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Depth,
    Bbo,
    Trade(TradeKind),
    Snapshot,
}

const KINDS: [Kind; 5] = [
    Kind::Depth,
    Kind::Bbo,
    Kind::Trade(TradeKind::Single),
    Kind::Trade(TradeKind::Aggregated),
    Kind::Snapshot,
];

/// What a message says, whichever way it was read.
#[derive(Debug, PartialEq)]
enum Read {
    Delta(parse::Delta),
    Bbo(parse::BookTicker),
    Trade(parse::Trade),
    Snapshot(parse::Snapshot),
}

fn scanned(kind: Kind, bytes: &[u8], shape: Shape, levels: &mut Levels) -> Result<Read, ScanError> {
    if kind == Kind::Snapshot {
        return parse::snapshot(bytes, shape, levels).map(Read::Snapshot);
    }
    let data = data_of(bytes)?;
    match kind {
        Kind::Depth => parse::depth(data, shape, levels).map(Read::Delta),
        Kind::Bbo => parse::book_ticker(data, shape).map(Read::Bbo),
        Kind::Trade(kind) => parse::trade(data, kind, shape).map(Read::Trade),
        Kind::Snapshot => unreachable!("returned above"),
    }
}

fn taped(
    kind: Kind,
    bytes: &[u8],
    shape: Shape,
    levels: &mut Levels,
    reader: &mut Reader,
) -> Result<Read, ScanError> {
    reader.read(bytes, |root| match kind {
        Kind::Depth => tape::depth(&tape::data(root)?, shape, levels).map(Read::Delta),
        Kind::Bbo => tape::book_ticker(&tape::data(root)?, shape).map(Read::Bbo),
        Kind::Trade(kind) => tape::trade(&tape::data(root)?, kind, shape).map(Read::Trade),
        Kind::Snapshot => tape::snapshot(root, shape, levels).map(Read::Snapshot),
    })
}

/// What the two may differ in: see the head of [`scan`](crate::scan). simd-json also refuses
/// numbers that fit neither 64 bits nor a float, which the scanner steps over.
fn is_excused(bytes: &[u8]) -> bool {
    let Ok(text) = core::str::from_utf8(bytes) else {
        return true;
    };
    text.contains("\\u") || serde_json::from_str::<&RawValue>(text).is_ok()
}

struct Check {
    reader: Reader,
    ours: Levels,
    theirs: Levels,
    /// How often both took a message.
    agreed: usize,
}

impl Check {
    fn message(&mut self, bytes: &[u8]) {
        let text = || String::from_utf8_lossy(bytes);
        for market in [Market::Spot, Market::Linear] {
            let shape = Shape {
                market,
                price: Scale::of(8),
                qty: Scale::of(8),
            };
            for kind in KINDS {
                let ours = scanned(kind, bytes, shape, &mut self.ours);
                let theirs = taped(kind, bytes, shape, &mut self.theirs, &mut self.reader);
                match (&ours, &theirs) {
                    (Ok(ours), Ok(theirs)) => {
                        assert_eq!(ours, theirs, "{}", text());
                        if matches!(kind, Kind::Depth | Kind::Snapshot) {
                            assert_eq!(self.ours.bids, self.theirs.bids, "{}", text());
                            assert_eq!(self.ours.asks, self.theirs.asks, "{}", text());
                        }
                        self.agreed += 1;
                    }
                    (Err(error), Ok(_)) => {
                        // A minus zero is an integer to simd-json.
                        let excused = error.kind == ScanErrorKind::Escape || text().contains(":-0");
                        assert!(excused, "{kind:?} {error}: {}", text());
                    }
                    (Ok(_), Err(error)) => {
                        let parsed = self.reader.read(bytes, |_| Ok(())).is_ok();
                        assert!(!parsed && is_excused(bytes), "{kind:?} {error}: {}", text());
                    }
                    (Err(_), Err(_)) => {}
                }
            }
        }
    }
}

/// Changes one thing.
fn mutate(bytes: &mut Vec<u8>, rng: &mut fastrand::Rng) {
    const TOKENS: &[&[u8]] = &[
        b"\"",
        b"\\",
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"0",
        b"-",
        b".",
        b"e",
        b"9999999999",
        b" ",
        b"\\u0041",
        b"null",
        b"true",
        b"\"a\":1,",
        b"\"b\":[],",
        b"\"u\":7,",
        b"\x00",
        b"\xc3",
        b"\"stream\":\"x\",",
        b"1e5",
        b"00",
    ];
    let at = rng.usize(0..=bytes.len());
    let end = (at + rng.usize(0..8)).min(bytes.len());
    match rng.u8(0..6) {
        0 => bytes.truncate(at),
        1 => drop(bytes.drain(at..end)),
        2 => {
            let token = TOKENS[rng.usize(..TOKENS.len())];
            bytes.splice(at..at, token.iter().copied());
        }
        3 => {
            let token = TOKENS[rng.usize(..TOKENS.len())];
            bytes.splice(at..end, token.iter().copied());
        }
        4 => {
            let copy = bytes[at..end].to_vec();
            let to = rng.usize(0..=bytes.len());
            bytes.splice(to..to, copy);
        }
        _ => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << rng.u8(0..8);
            }
        }
    }
}

#[test]
fn scanners_read_what_simd_json_reads() {
    let messages = messages();
    let mut check = Check {
        reader: Reader::new(),
        ours: Levels::new(),
        theirs: Levels::new(),
        agreed: 0,
    };
    for text in &messages {
        check.message(text.as_bytes());
    }
    assert!(
        check.agreed >= messages.len() / 2,
        "{} of {}",
        check.agreed,
        messages.len()
    );
    let mut rng = fastrand::Rng::with_seed(0xb17a);
    let rounds = 60_000 / messages.len() + 1;
    check.agreed = 0;
    for text in &messages {
        for _ in 0..rounds {
            let mut bytes = text.as_bytes().to_vec();
            for _ in 0..rng.u8(1..=3) {
                mutate(&mut bytes, &mut rng);
            }
            check.message(&bytes);
        }
    }
    assert!(
        check.agreed > 1_000,
        "{} mutants were messages still",
        check.agreed
    );
}

/// Whatever comes, the connector neither panics nor leaves a price behind a broken book.
#[test]
fn any_bytes_are_survived() {
    let messages = messages();
    let mut world = super::World::spot();
    let mut rng = fastrand::Rng::with_seed(0x5afe);
    for (index, channel) in [
        super::Channel::BOOK,
        super::Channel::Bbo,
        super::Channel::Trades,
    ]
    .into_iter()
    .enumerate()
    {
        world.subscribe(index as u32, "BTCUSDT", channel);
    }
    world.up(0, 1);
    for text in messages.iter().cycle().take(20_000) {
        let mut bytes = text.as_bytes().to_vec();
        mutate(&mut bytes, &mut rng);
        world
            .binance
            .handle_message(world.now, super::LinkId(0), &mut bytes, &mut world.out);
        world.drain();
        if let Some(request) = world.http.pop() {
            let mut body = messages[3].clone().into_bytes();
            mutate(&mut body, &mut rng);
            world.respond(request.id, 200, &String::from_utf8_lossy(&body));
        }
        world.pass(super::Nanos::from_millis(200));
    }
    assert!(world.binance.counters().malformed > 1_000);
}

#[test]
fn a_key_that_comes_hundreds_of_times_is_survived() {
    let mut world = super::World::spot();
    world.subscribe(0, "BTCUSDT", crate::channel::Channel::Bbo);
    world.up(0, 1);
    let keys = vec![r#""u":1"#; 300].join(",");
    assert_eq!(
        world.frame(&format!(r#"{{"s":"BTCUSDT",{keys}}}"#)),
        [""; 0]
    );
}

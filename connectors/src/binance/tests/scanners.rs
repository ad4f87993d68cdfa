//! The scanners against simd-json, over real messages and what becomes of them when bytes change.

use tickwire_orderbook::Scale;

use super::super::differential::{self, Differential};
use super::super::parse::Shape;
use super::fixtures::{fixture, message};
use crate::connector::Connector as _;
use crate::instrument::Market;

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

/// Checks a message as one of either market; gives how often both readers took it.
fn check(readers: &mut Differential, bytes: &[u8]) -> usize {
    let shapes = [Market::Spot, Market::Linear].map(|market| Shape {
        market,
        price: Scale::of(8),
        qty: Scale::of(8),
    });
    let agreed = shapes.map(|shape| readers.hot(bytes, shape, 0));
    agreed.iter().sum()
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
    let mut readers = Differential::new();
    let agreed: usize = messages
        .iter()
        .map(|text| check(&mut readers, text.as_bytes()))
        .sum();
    let count = messages.len();
    assert!(agreed >= count / 2, "{agreed} of {count}");
    let mut rng = fastrand::Rng::with_seed(0xb17a);
    let rounds = 60_000 / count + 1;
    let mut agreed = 0;
    for text in &messages {
        for _ in 0..rounds {
            let mut bytes = text.as_bytes().to_vec();
            for _ in 0..rng.u8(1..=3) {
                mutate(&mut bytes, &mut rng);
            }
            agreed += check(&mut readers, &bytes);
        }
    }
    assert!(agreed > 1_000, "{agreed} mutants were messages still");
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

#[test]
fn the_corpus_of_the_fuzz_target() {
    crate::replay::replay("binance", 20, differential::check);
}

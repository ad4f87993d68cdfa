//! The hot scanners against simd-json, over real messages and mutations of them.

use std::path::PathBuf;

use proptest::prelude::*;
use tickwire_orderbook::Scale;

use super::super::differential::{self, Differential};
use super::super::route;
use crate::mutation::{mutate, mutation};

/// The samples of the venue's pages: the test says something without the fixtures as well.
const SAMPLES: [&str; 8] = [
    r#"{"topic":"orderbook.50.BTCUSDT","type":"snapshot","ts":1672304484978,"data":{"s":"BTCUSDT","b":[["16493.50","0.006"],["16493.00","0.100"]],"a":[["16611.00","0.029"],["16612.00","0.213"]],"u":18521288,"seq":7961638724},"cts":1672304484976}"#,
    r#"{"topic":"orderbook.50.BTCUSDT","type":"delta","ts":1687940967466,"data":{"s":"BTCUSDT","b":[["30247.20","30.028"],["30240.00","0"]],"a":[["30248.70","0"]],"u":177400507,"seq":66544703342},"cts":1687940967464}"#,
    r#"{"topic":"orderbook.1.A","ts":1,"type":"snapshot","data":{"s":"A","b":[],"a":[["1","2"]],"u":1,"seq":0}}"#,
    r#"{"data":{"u":7,"a":[],"b":[["0.1","10.10"]]},"cts":5,"type":"delta","topic":"orderbook.200.A"}"#,
    r#"{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1672304486868,"data":[{"T":1672304486865,"s":"BTCUSDT","S":"Buy","v":"0.001","p":"16578.50","L":"PlusTick","i":"20f43950-d8dd-5b31-9112-a178eb6023af","BT":false,"RPI":false,"seq":1783284617}]}"#,
    r#"{"topic":"publicTrade.BTCUSDT","ts":1786310822606,"type":"snapshot","data":[{"i":"2290000001189048101","T":1786310822605,"p":"65140.5","v":"0.002705","S":"Sell","seq":112488547164,"s":"BTCUSDT","BT":false,"RPI":false},{"i":"x","T":-1,"p":"0","v":"00.5","S":"","BT":null}]}"#,
    r#"{"type":"delta","x":"\"\\\/\b\f\n\r\tA","topic":"orderbook.50.A","y":[1,-2.5e+3,true,null,{"z":{}}],"data":{"u":8}}"#,
    r#" { "topic" : "orderbook.50.A" , "type" : "delta" , "data" : { "u" : 18446744073709551615 , "b" : [ [ "-1.0" , "0.000000001" , 5 ] ] } } "#,
];

pub(super) fn fixtures() -> Option<PathBuf> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/fixtures");
    let root = std::env::var_os("TICKWIRE_FIXTURES").map_or_else(|| default.into(), PathBuf::from);
    let folder = root.join("bybit");
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(
        std::env::var("TICKWIRE_REQUIRE_FIXTURES").as_deref() != Ok("1"),
        "no fixtures in {}",
        folder.display()
    );
    None
}

/// Every recorded message, as bytes.
fn messages() -> Vec<Vec<u8>> {
    let mut messages: Vec<Vec<u8>> = SAMPLES.map(|text| text.as_bytes().to_vec()).to_vec();
    let Some(folder) = fixtures() else {
        #[expect(clippy::print_stderr, reason = "a skip must be seen")]
        {
            eprintln!("SKIPPED: no fixtures (set TICKWIRE_FIXTURES); only the samples are tested");
        }
        return messages;
    };
    let names = [
        ("v5_linear_spot_20260809_btc_sol.jsonl.zst", "msg"),
        ("v5_linear_orderbook1_20250613.jsonl.zst", "msg"),
        ("hirokisan_bybit_fixtures.jsonl.zst", "body"),
        ("nautilus_test_data.jsonl", "body"),
    ];
    for (name, key) in names {
        let bytes = std::fs::read(folder.join(name)).expect(name);
        let bytes = if name.ends_with(".zst") {
            zstd::decode_all(&bytes[..]).expect(name)
        } else {
            bytes
        };
        for line in bytes
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            let row: std::collections::BTreeMap<String, Box<serde_json::value::RawValue>> =
                serde_json::from_slice(line).expect(name);
            if let Some(message) = row.get(key) {
                messages.push(message.get().as_bytes().to_vec());
            }
        }
    }
    messages
}

#[test]
fn recorded_messages_are_read_alike() {
    let messages = messages();
    let (mut books, mut trades) = (0, 0);
    let mut readers = Differential::new();
    for message in &messages {
        let agreed = readers.hot(message, scales(), 0);
        let topic = route::topic(message);
        let is = |prefix: &[u8]| matches!(topic, Ok(Some(topic)) if topic.starts_with(prefix));
        let sample = SAMPLES.iter().any(|one| one.as_bytes() == message);
        if is(b"orderbook.") {
            books += 1;
            assert!(agreed == 1 || sample);
        }
        if is(b"publicTrade.") {
            trades += 1;
            assert_eq!(agreed, 1);
        }
    }
    if fixtures().is_some() {
        assert!(
            books > 1_200 && trades > 80,
            "{books} books, {trades} trades"
        );
    }
}

fn scales() -> (Scale, Scale) {
    (Scale::of(6), Scale::of(7))
}

/// Recorded messages, small ones preferred: in them a mutation hits something that matters.
fn corpus() -> Vec<Vec<u8>> {
    let mut messages = messages();
    messages.retain(|message| {
        message.len() < 1_200
            && matches!(route::topic(message), Ok(Some(topic)) if
                topic.starts_with(b"orderbook.") || topic.starts_with(b"publicTrade."))
    });
    // The samples are few and odd: a third of all.
    let samples = SAMPLES.iter().map(|text| text.as_bytes().to_vec());
    let count = messages.len() / 2;
    messages.extend(samples.cycle().take(count));
    messages
}

#[test]
fn mutated_messages_are_read_alike() {
    let corpus = corpus();
    let strategy = (
        any::<prop::sample::Index>(),
        prop::collection::vec(mutation(), 1..4),
    );
    // TICKWIRE_CASES makes a longer run of it.
    let cases = std::env::var("TICKWIRE_CASES")
        .ok()
        .and_then(|text| text.parse().ok());
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: cases.unwrap_or(20_000),
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    runner
        .run(&strategy, |(index, mutations)| {
            let mut message = index.get(&corpus).clone();
            for mutation in &mutations {
                mutate(&mut message, mutation);
            }
            Differential::new().hot(&message, scales(), 0);
            Ok(())
        })
        .expect("both readers agree");
}

#[test]
fn the_corpus_of_the_fuzz_target() {
    crate::replay::replay("bybit", 20, differential::check);
}

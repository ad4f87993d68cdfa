//! The hot scanners against simd-json, over real messages and mutations of them.

use std::path::PathBuf;

use proptest::prelude::*;
use tickwire_orderbook::Scale;

use super::super::differential::{self, Differential};
use super::super::route;
use crate::mutation::{mutate, mutation};

/// The samples of the venue's pages, and what only a hostile venue sends: the test says something
/// without the fixtures as well.
const SAMPLES: [&str; 12] = [
    r#"{"jsonrpc":"2.0","method":"subscription","params":{"channel":"book.BTC-PERPETUAL.100ms","data":{"type":"snapshot","timestamp":1554373962454,"instrument_name":"BTC-PERPETUAL","change_id":297217,"bids":[["new",5042.34,30],["new",5041.94,20]],"asks":[["new",5042.64,40],["new",5043.3,40]]}}}"#,
    r#"{"jsonrpc":"2.0","method":"subscription","params":{"channel":"book.BTC-PERPETUAL.100ms","data":{"type":"change","timestamp":1554373911330,"prev_change_id":297217,"instrument_name":"BTC-PERPETUAL","change_id":297218,"bids":[["delete",5041.94,0],["delete",5042.34,0]],"asks":[]}}}"#,
    r#"{"jsonrpc":"2.0","method":"subscription","params":{"channel":"book.ETH-PERPETUAL.100.1.100ms","data":{"timestamp":1554375447971,"instrument_name":"ETH-PERPETUAL","change_id":109615,"bids":[[160,40]],"asks":[[161,20]]}}}"#,
    r#"{"jsonrpc":"2.0","method":"subscription","params":{"channel":"quote.BTC-PERPETUAL","data":{"timestamp":1550658624149,"instrument_name":"BTC-PERPETUAL","best_bid_price":3914.97,"best_bid_amount":40,"best_ask_price":3996.61,"best_ask_amount":50}}}"#,
    r#"{"jsonrpc":"2.0","method":"subscription","params":{"channel":"trades.BTC-PERPETUAL.raw","data":[{"trade_seq":30289442,"trade_id":"48079269","timestamp":1590484512188,"tick_direction":2,"price":8950,"mark_price":8948.9,"instrument_name":"BTC-PERPETUAL","index_price":8955.88,"direction":"sell","amount":10}]}}"#,
    r#"{"params":{"data":{"best_ask_amount":null,"best_ask_price":null,"best_bid_amount":2.11e-5,"best_bid_price":1E-4,"timestamp":1},"channel":"quote.A"},"method":"subscription"}"#,
    r#"{"params":{"data":{"asks":[["change",1.5,-0.5,7]],"bids":[],"change_id":18446744073709551615,"prev_change_id":0,"type":"change"}}}"#,
    r#" { "params" : { "data" : { "asks" : [ [ 1 , 2 ] ] , "bids" : [ ["new" , 1e2 , 1.0e+1 ] ] , "change_id" : 7 } } } "#,
    r#"{"params":{"x":"\"\\\/\b\f\n\r\tA","data":{"change_id":1,"bids":[["delete",1,2]],"asks":[],"y":[1,-2.5e+3,true,null,{"z":{}}]}}}"#,
    r#"{"params":{"data":[{"trade_seq":1,"trade_id":"ETH-1","timestamp":-1,"price":0,"amount":0.10,"direction":""},{"trade_seq":2,"trade_id":"","timestamp":2,"price":-0.5,"amount":1,"x":null}]}}"#,
    r#"{"params":{"data":{"bids":[["new","1",2]],"asks":[],"change_id":1}}}"#,
    r#"{"params":{"data":{"bids":[[1]],"asks":[],"change_id":1.5}}}"#,
];

fn fixtures() -> Option<PathBuf> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/fixtures");
    let root = std::env::var_os("TICKWIRE_FIXTURES").map_or_else(|| default.into(), PathBuf::from);
    let folder = root.join("deribit");
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
        ("options_20210405_10instr.jsonl.zst", "msg"),
        ("options_20210722_10instr.jsonl.zst", "msg"),
        ("btc_perpetual_reshaped_20190401_0000-0040.jsonl.zst", "msg"),
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
        books += usize::from(is(b"book."));
        trades += usize::from(is(b"trades.BTC") || is(b"quote."));
        if is(b"book.") || is(b"quote.") || is(b"trades.") {
            let text = String::from_utf8_lossy(message);
            assert_eq!(agreed, 1, "{text}");
        }
    }
    if fixtures().is_some() {
        assert!(
            books > 2_900 && trades > 3,
            "{books} books, {trades} trades and quotes"
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
                [&b"book."[..], b"trades.", b"quote."].iter().any(|kind| topic.starts_with(kind)))
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
    crate::replay::replay("deribit", 20, differential::check);
}

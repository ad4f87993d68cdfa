//! The hot scanners against simd-json, over real messages and mutations of them.

use std::path::PathBuf;

use proptest::prelude::*;

use super::super::differential::{self, Differential};
use crate::mutation::{mutate, mutation};

/// The samples of the venue's pages: the test says something without the fixtures as well.
const SAMPLES: [&str; 12] = [
    r#"{"event_type":"book","asset_id":"65818619657568813474341868652308942079804919287380422192892211131408793125422","market":"0xbd31dc8a20211944f6b70f31557f1001557b59905b7738480ca09bd4532f84af","bids":[{"price":".48","size":"30"},{"price":".49","size":"20"},{"price":".50","size":"15"}],"asks":[{"price":".52","size":"25"},{"price":".53","size":"60"},{"price":".54","size":"10"}],"timestamp":"123456789000","hash":"0x0...."}"#,
    r#"{"market":"0x5f","price_changes":[{"asset_id":"71","price":"0.5","size":"200","side":"BUY","hash":"56621a121a47ed9333273e21c83b660cff37ae50","best_bid":"0.5","best_ask":"1"},{"asset_id":"52","price":"0.5","size":"200","side":"SELL","hash":"18","best_bid":"0","best_ask":"0.5"}],"timestamp":"1757908892351","event_type":"price_change"}"#,
    r#"{"asset_id":"71","changes":[{"price":"0.4","side":"SELL","size":"3300"}],"event_type":"price_change","market":"0x5f","timestamp":"1729084877448","hash":"3cd4d61e"}"#,
    r#"{"event_type":"price_change","asset_id":"71","price":"0.4","side":"bid","size":33,"time":1729084877448}"#,
    r#"{"event_type":"tick_size_change","asset_id":"65","market":"0xbd","old_tick_size":"0.01","new_tick_size":"0.001","timestamp":"100000000"}"#,
    r#"{"asset_id":"114","event_type":"last_trade_price","fee_rate_bps":"0","market":"0x6a","price":"0.456","side":"BUY","size":"219.217767","timestamp":"1750428146322","transaction_hash":"0xee"}"#,
    r#"{"event_type":"best_bid_ask","market":"0x00","asset_id":"85","best_bid":"0.73","best_ask":"0.77","spread":"0.04","timestamp":"1766789469958"}"#,
    r#"{"event_type":"market_resolved","id":"1","market":"0x31","assets_ids":["76","31"],"winning_asset_id":"76","winning_outcome":"Yes","timestamp":"1766790415550","tags":["stocks"]}"#,
    r#"[{"event_type":"book","asset_id":"1","buys":[],"sells":[{"size":"1","price":"0.9"}],"tick_size":"0.01","hash":null},{"event_type":"new_market","a":[1,-2.5e+3,true,null,{"z":{}}]}]"#,
    r#" [ { "asset_id" : "1" , "price_changes" : [ { "price" : ".5" , "size" : 0 , "side" : "sell" , "best_bid" : "" , "best_ask" : null } ] , "timestamp" : 5 } ] "#,
    r#"{"asset_id":"A","x":"\"\\\/\b\f\n\r\t","event_type":"last_trade_price","price":0.5,"size":1.25,"timestamp":"x"}"#,
    r#"[]"#,
];

pub(super) fn fixtures() -> Option<PathBuf> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/fixtures");
    let root = std::env::var_os("TICKWIRE_FIXTURES").map_or_else(|| default.into(), PathBuf::from);
    let folder = root.join("polymarket");
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
        ("updown_20260607_0130.jsonl.zst", ""),
        ("ws_book_sample.jsonl", ""),
        ("ws_trade_sample.jsonl", ""),
        ("nautilus_test_data.jsonl", "body"),
    ];
    for (name, key) in names {
        let bytes = std::fs::read(folder.join(name)).expect(name);
        let bytes = if name.ends_with(".zst") {
            zstd::decode_all(&bytes[..]).expect(name)
        } else {
            bytes
        };
        let lines = bytes
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty());
        // Of the long recording a tenth will do: it holds one kind of message.
        let step = if name.starts_with("updown") { 10 } else { 1 };
        for line in lines.step_by(step) {
            if key.is_empty() {
                messages.push(line.to_vec());
                continue;
            }
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
    let mut agreed = 0;
    let mut readers = Differential::default();
    for message in &messages {
        agreed += usize::from(readers.hot(message, 0));
    }
    assert!(agreed >= SAMPLES.len() - 1);
    if fixtures().is_some() {
        assert!(agreed > 10_000, "{agreed} of {}", messages.len());
    }
}

/// Recorded messages, small ones preferred: in them a mutation hits something that matters.
fn corpus() -> Vec<Vec<u8>> {
    let mut messages = messages();
    messages.retain(|message| message.len() < 1_200);
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
            Differential::default().hot(&message, 0);
            Ok(())
        })
        .expect("both readers agree");
}

#[test]
fn the_corpus_of_the_fuzz_target() {
    crate::replay::replay("polymarket", 12, differential::check);
}

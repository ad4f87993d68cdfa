//! The hot scanners against simd-json, over real messages and mutations of them.

use std::path::PathBuf;

use proptest::prelude::*;

use serde_json::Value;

use super::super::differential::{self, Differential};
use super::super::parse::Frame;
use crate::mutation::{mutate, mutation};
use crate::scan::{Message, Quick, ScanErrorKind};
use crate::swar::Common;

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

/// Each hot message as the venue writes it.
const USUAL: [&str; 9] = [
    r#"{"market":"0x5f65177b394277fd294cd75650044e32ba009a95022d88a0c1d565897d72f8f1","price_changes":[{"asset_id":"71321045679252212594626385532706912750332728571942532289631379312455583992563","price":"0.5","size":"219.217767","side":"BUY","hash":"56621a121a47ed9333273e21c83b660cff37ae50","best_bid":"0.5","best_ask":"0.51"},{"asset_id":"52114319501245915516055106046884209969926127482827954674443846427813813222426","price":"0.5","size":"0","side":"SELL","hash":"1895759e4df7a796bf4f1c5a5950b748306923e2","best_bid":"0.49","best_ask":"0.5"}],"timestamp":"1757908892351","event_type":"price_change"}"#,
    r#"{"event_type":"price_change","market":"0x0000000000000000000000000000000000000000000000000000000000000001","price_changes":[{"asset_id":"57953460969144501144385266431497900786362265483971474370583776523710017709396","price":"0.31","size":"198","side":"BUY","best_bid":"0.35","best_ask":"0.39"}],"timestamp":"1780795851472"}"#,
    r#"{"asset_id":"71","changes":[{"price":"0.4","side":"SELL","size":"3300"}],"event_type":"price_change","market":"0x5f","timestamp":"1729084877448","hash":"3cd4d61e"}"#,
    r#"{"market":"0x5f65177b394277fd294cd75650044e32ba009a95022d88a0c1d565897d72f8f1","asset_id":"71321045679252212594626385532706912750332728571942532289631379312455583992563","timestamp":"1757908892351","hash":"3cd4d61e042c81560c9037ece0c61f3b1a8fbbdd","asks":[{"price":"0.52","size":"25"},{"price":"0.510","size":"60"}],"bids":[{"price":"0.49","size":"20"},{"price":"0.5","size":"15.5"}],"event_type":"book","tick_size":"0.01","last_trade_price":"0.500"}"#,
    r#"[{"asks":[{"price":"0.9","size":"1"}],"asset_id":"1","bids":[],"event_type":"book","hash":"x","market":"0x5f","timestamp":"1729084877448"},{"asks":[],"asset_id":"2","bids":[{"price":"0.1","size":"1"}],"event_type":"book","hash":"y","market":"0x5f","timestamp":"1729084877448"}]"#,
    r#"{"event_type":"tick_size_change","asset_id":"65818619657568813474341868652308942079804919287380422192892211131408793125422","market":"0xbd31dc8a20211944f6b70f31557f1001557b59905b7738480ca09bd4532f84af","old_tick_size":"0.01","new_tick_size":"0.001","timestamp":"1757908892351"}"#,
    r#"{"asset_id":"114122071509644379678018727908709560226618148003371446110114509806601493071694","event_type":"last_trade_price","fee_rate_bps":"0","market":"0x6a67b9d828d53862160e470329ffea5246f338ecfffdf2cab45211ec578b0347","price":"0.456","side":"BUY","size":"219.217767","timestamp":"1750428146322","transaction_hash":"0xeeefffggghhh"}"#,
    r#"{"event_type":"best_bid_ask","market":"0x0005c0d312de0be897668695bae9f32b624b4a1ae8b140c49f08447fcc74f442","asset_id":"85354956062430465315924116860125388538595433819574542752031640332592237464430","best_bid":"0.73","best_ask":"0.77","spread":"0.04","timestamp":"1766789469958"}"#,
    r#"[]"#,
];

/// The quick cursor reads what is usual, not only the other one.
#[test]
fn usual_messages_are_read_quickly() {
    for text in USUAL {
        let mut frame = Frame::default();
        let read = frame.read(Quick::<Common>::new(text.as_bytes()));
        assert!(read.is_ok(), "{text}");
    }
}

/// With white space wherever it may stand.
fn spaced(text: &str) -> String {
    let (mut spaced, mut is_text) = (String::from("\r\n "), false);
    for letter in text.chars() {
        is_text ^= letter == '"';
        let is_structure = !is_text && "{}[],:".contains(letter);
        let around = if is_structure { " \t" } else { "" };
        spaced.extend([around, letter.encode_utf8(&mut [0; 4]), around]);
    }
    spaced
}

/// Each version of a value that lacks one key, somewhere in it.
fn lacking(value: &Value) -> Vec<Value> {
    let mut all = Vec::new();
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                let mut less = map.clone();
                less.remove(key);
                all.push(Value::Object(less));
                for inner in lacking(inner) {
                    let mut other = map.clone();
                    other.insert(key.clone(), inner);
                    all.push(Value::Object(other));
                }
            }
        }
        Value::Array(list) => {
            for (index, inner) in list.iter().enumerate() {
                for inner in lacking(inner) {
                    let mut other = list.clone();
                    other[index] = inner;
                    all.push(Value::Array(other));
                }
            }
        }
        _ => {}
    }
    all
}

#[test]
fn unusual_writing_says_the_same() {
    let mut readers = Differential::default();
    for text in USUAL {
        let said = readers.scanned(text.as_bytes());
        assert!(said.is_ok(), "{text}: {said:?}");
        let value: Value = text.parse().expect("JSON");
        // Keys in the order of the alphabet.
        let sorted = value.to_string();
        for other in [spaced(text), sorted.clone(), spaced(&sorted)] {
            assert_eq!(readers.scanned(other.as_bytes()), said, "{other}");
            assert!(readers.hot(other.as_bytes(), 7), "{other}");
        }
    }
}

#[test]
fn what_lacks_a_key_is_read_alike_or_refused_alike() {
    let mut readers = Differential::default();
    let (mut taken, mut refused) = (0, 0);
    for text in USUAL {
        let value: Value = text.parse().expect("JSON");
        for less in lacking(&value) {
            match readers.hot(less.to_string().as_bytes(), 0) {
                true => taken += 1,
                false => refused += 1,
            }
        }
        // One that comes twice is refused, wherever it stands.
        for key in [
            "\"asset_id\":",
            "\"price\":",
            "\"market\":",
            "\"timestamp\":",
        ] {
            if let Some(at) = text.find(key) {
                let twice = format!("{}{key}\"1\",{}", &text[..at], &text[at..]);
                assert!(!readers.hot(twice.as_bytes(), 0), "{twice}");
            }
        }
    }
    assert!(taken > 30 && refused > 10, "{taken} {refused}");
}

#[test]
fn escapes_are_left_to_the_general_reader() {
    let mut readers = Differential::default();
    for text in USUAL {
        for part in [
            "\"71321",
            "\"0.5\"",
            "\"BUY\"",
            "price_change\"",
            "\"asset_id",
        ] {
            let Some(at) = text.find(part) else {
                continue;
            };
            // Its second letter by number.
            let letter = text.as_bytes()[at + 1];
            let escaped = format!("{}\\u{letter:04x}{}", &text[..=at], &text[at + 2..]);
            let read = readers.scanned(escaped.as_bytes());
            let kind = read.map_err(|error| error.kind);
            assert_eq!(kind, Err(ScanErrorKind::Escape), "{escaped}");
            readers.hot(escaped.as_bytes(), 0);
        }
    }
}

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

//! Recordings as a source: byte for byte, in order, and a client that begins at the start ends at
//! the state that a reference rebuild of the same file found.

mod common;

use std::collections::BTreeMap;

use common::{Pipe, SECOND, fixture_lines, fixtures};
use serde_json::Value;
use tickwire_sim::{Command, SimVenue, Speed, VenueSpec};

const SPOT_FILE: &str = "cf_spot_20211012_4sym.jsonl";
const BYBIT_FILE: &str = "v5_linear_spot_20260809_btc_sol.jsonl";

fn expected(venue: &str) -> Option<Value> {
    let lines = fixture_lines(&format!("{venue}/expected_final_state.json"))?;
    serde_json::from_str(&lines.join("\n")).ok()
}

fn recorded(venue: SimVenue, folder: &str, file: &str, speed: Speed) -> Option<Pipe> {
    let path = fixtures()?.join(folder).join(format!("{file}.zst"));
    let spec = VenueSpec::of(venue).recording(path, speed);
    Some(Pipe::new(&[spec
        .legacy_paths(true)
        .limits(|l| l.ping_interval_ns = None)]))
}

/// Levels by sort key, as printed without trailing zeros.
#[derive(Default)]
struct Book {
    bids: BTreeMap<i128, (String, String)>,
    asks: BTreeMap<i128, (String, String)>,
}

fn short(text: &str) -> String {
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text.to_owned()
    }
}

impl Book {
    fn apply(&mut self, bids: &Value, asks: &Value) {
        for (list, side) in [(bids, &mut self.bids), (asks, &mut self.asks)] {
            for level in list.as_array().unwrap() {
                let (price, qty) = (level[0].as_str().unwrap(), level[1].as_str().unwrap());
                let (whole, part) = price.split_once('.').unwrap_or((price, ""));
                let key = format!("{whole}{part:0<12}").parse().unwrap();
                if short(qty) == "0" {
                    side.remove(&key);
                } else {
                    side.insert(key, (short(price), short(qty)));
                }
            }
        }
    }

    fn assert_is(&self, state: &Value, id: u64) {
        let id_key = if state.get("u").is_some() {
            "u"
        } else {
            "last_update_id"
        };
        assert_eq!(id, state[id_key].as_u64().unwrap());
        let best = |side: Option<(&i128, &(String, String))>| {
            side.map(|(_, (p, q))| serde_json::json!([p, q]))
                .unwrap_or_default()
        };
        assert_eq!(best(self.bids.last_key_value()), state["best_bid"]);
        assert_eq!(best(self.asks.first_key_value()), state["best_ask"]);
        assert_eq!(
            self.bids.len() as u64,
            state["bid_levels"].as_u64().unwrap()
        );
        assert_eq!(
            self.asks.len() as u64,
            state["ask_levels"].as_u64().unwrap()
        );
    }
}

/// Follows Binance's rule for each symbol over the whole recording; asks for each snapshot `wait`
/// after the symbol's first event.
fn sync_spot(speed: Speed, wait: i64) -> Option<()> {
    let mut pipe = recorded(SimVenue::BinanceSpot, "binance", SPOT_FILE, speed)?;
    let state = expected("binance")?;
    let state = &state[SPOT_FILE];
    let symbols: Vec<String> = state.as_object().unwrap().keys().cloned().collect();
    let names: Vec<String> = symbols
        .iter()
        .map(|s| format!("{}@depth@100ms", s.to_lowercase()))
        .collect();
    let conn = pipe
        .open(
            SimVenue::BinanceSpot,
            &format!("/stream?streams={}", names.join("/")),
        )
        .unwrap();
    let mut events: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let mut snapshots: BTreeMap<String, Value> = BTreeMap::new();
    for _ in 0..600 {
        pipe.run(wait);
        for text in pipe.texts(conn) {
            let symbol = text["data"]["s"].as_str().unwrap().to_owned();
            events.entry(symbol).or_default().push(text["data"].clone());
        }
        for symbol in &symbols {
            if events.contains_key(symbol) && !snapshots.contains_key(symbol) {
                let target = format!("/api/v3/depth?symbol={symbol}&limit=1000");
                snapshots.insert(
                    symbol.clone(),
                    pipe.get_json(SimVenue::BinanceSpot, &target),
                );
            }
        }
    }
    for symbol in &symbols {
        let snapshot = &snapshots[symbol];
        let mut local = snapshot["lastUpdateId"].as_u64().unwrap();
        let mut book = Book::default();
        book.apply(&snapshot["bids"], &snapshot["asks"]);
        let mut applied = 0;
        for event in &events[symbol] {
            let (first, u) = (event["U"].as_u64().unwrap(), event["u"].as_u64().unwrap());
            if u <= local {
                continue;
            }
            assert!(
                first <= local + 1,
                "{symbol}: gap before {first}, at {local}"
            );
            book.apply(&event["b"], &event["a"]);
            local = u;
            applied += 1;
        }
        assert_eq!(
            applied,
            state[symbol]["stats"]["applied"].as_u64().unwrap(),
            "{symbol}"
        );
        book.assert_is(&state[symbol], local);
    }
    Some(())
}

#[test]
fn binance_recording_synchronises_at_recorded_pace() {
    sync_spot(Speed::Recorded, SECOND / 10);
}

#[test]
fn binance_recording_synchronises_without_any_wait() {
    sync_spot(Speed::Max, SECOND / 10);
}

#[test]
fn binance_frames_are_byte_for_byte_and_paced() {
    let Some(mut pipe) = recorded(
        SimVenue::BinanceSpot,
        "binance",
        SPOT_FILE,
        Speed::Times(2.0),
    ) else {
        return;
    };
    let lines = fixture_lines(&format!("binance/{SPOT_FILE}.zst")).unwrap();
    let frames: Vec<&str> = lines
        .iter()
        .filter(|l| l.contains("\"stream\":\"nknusdt@"))
        .map(|l| &l[l.find("\"msg\":").unwrap() + 6..l.len() - 1])
        .collect();
    let streams = "nknusdt@depth@100ms/nknusdt@bookTicker/nknusdt@aggTrade/nknusdt@kline_1m";
    let conn = pipe
        .open(SimVenue::BinanceSpot, &format!("/stream?streams={streams}"))
        .unwrap();
    let target = "/api/v3/depth?symbol=NKNUSDT&limit=1000";
    let snapshot = pipe.get(SimVenue::BinanceSpot, target);
    let line = lines
        .iter()
        .find(|l| l.contains("depth?symbol=NKNUSDT"))
        .unwrap();
    assert!(
        line.contains(std::str::from_utf8(&snapshot.body).unwrap()),
        "served as recorded"
    );
    // Half of 30 s, and a little for what came late in the file.
    pipe.run(7 * SECOND);
    let early = pipe.raw(conn);
    assert!(
        !early.is_empty() && early.len() < frames.len(),
        "{} {}",
        early.len(),
        frames.len()
    );
    pipe.run(20 * SECOND);
    let got: Vec<String> = early.into_iter().chain(pipe.raw(conn)).collect();
    assert_eq!(got, frames);

    // After the end, a newcomer gets the book as it stands.
    let rebuilt = pipe.get_json(SimVenue::BinanceSpot, target);
    let state = expected("binance").unwrap();
    let state = &state[SPOT_FILE]["NKNUSDT"];
    assert_eq!(rebuilt["lastUpdateId"], state["last_update_id"]);
    let mut book = Book::default();
    book.apply(&rebuilt["bids"], &rebuilt["asks"]);
    book.assert_is(state, rebuilt["lastUpdateId"].as_u64().unwrap());
    let info = pipe.get_json(SimVenue::BinanceSpot, "/api/v3/exchangeInfo?symbol=NKNUSDT");
    assert_eq!(info["symbols"].as_array().unwrap().len(), 1);
    let info = pipe.get_json(SimVenue::BinanceSpot, "/api/v3/exchangeInfo");
    assert!(info["symbols"].as_array().unwrap().len() > 1_000);
}

#[test]
fn a_rebuilt_futures_book_has_the_recorded_time_of_its_newest_update() {
    let (venue, file) = (SimVenue::BinanceLinear, "cf_usdm_20210722_4sym.jsonl");
    let Some(mut pipe) = recorded(venue, "binance", file, Speed::Max) else {
        return;
    };
    let conn = pipe
        .open(venue, "/stream?streams=sushiusdt@depth@100ms")
        .unwrap();
    let target = "/fapi/v1/depth?symbol=SUSHIUSDT&limit=1000";
    pipe.get_json(venue, target);
    pipe.run(60 * SECOND);
    let played = pipe.texts(conn);
    let newest = &played.last().unwrap()["data"];
    let rebuilt = pipe.get_json(venue, target);
    assert_eq!(rebuilt["lastUpdateId"], newest["u"]);
    assert_eq!(rebuilt["T"], newest["T"]);
}

#[test]
fn raw_connections_get_the_data_without_its_wrap_at_any_recorded_speed() {
    let Some(mut pipe) = recorded(SimVenue::BinanceSpot, "binance", SPOT_FILE, Speed::Max) else {
        return;
    };
    // Recorded at 100 ms; asked for by its plain name.
    let conn = pipe
        .open(SimVenue::BinanceSpot, "/ws/nknusdt@depth")
        .unwrap();
    pipe.run(5 * SECOND);
    let texts = pipe.texts(conn);
    assert_eq!(texts.len(), 150);
    assert!(
        texts
            .iter()
            .all(|t| t["e"] == "depthUpdate" && t["s"] == "NKNUSDT")
    );
}

#[test]
fn bybit_recording_synchronises_for_early_and_late_clients() {
    for (venue, market, symbols) in [
        (SimVenue::BybitLinear, "linear", &["BTCUSDT", "SOLUSDT"][..]),
        (SimVenue::BybitSpot, "spot", &["BTCUSDT"][..]),
    ] {
        let Some(mut pipe) = recorded(venue, "bybit", BYBIT_FILE, Speed::Recorded) else {
            return;
        };
        let state = expected("bybit").unwrap();
        let path = format!("/v5/public/{market}");
        for (join, symbol) in symbols.iter().flat_map(|s| [(0, s), (10 * SECOND, s)]) {
            pipe.control(venue, &Command::Restart);
            // Someone else starts the recording.
            let topic = format!("orderbook.200.{symbol}");
            let text = format!(r#"{{"op":"subscribe","args":["{topic}"]}}"#);
            if join > 0 {
                let first = pipe.open(venue, &path).unwrap();
                pipe.send(venue, first, &text);
                pipe.run(join);
            }
            let conn = pipe.open(venue, &path).unwrap();
            pipe.send(venue, conn, &text);
            pipe.run(60 * SECOND);
            let (mut book, mut last) = (Book::default(), 0);
            for text in pipe
                .texts(conn)
                .into_iter()
                .filter(|t| t.get("op").is_none())
            {
                let (data, u) = (&text["data"], text["data"]["u"].as_u64().unwrap());
                match text["type"].as_str() {
                    Some("snapshot") => book = Book::default(),
                    _ => assert_eq!(u, last + 1),
                }
                book.apply(&data["b"], &data["a"]);
                last = u;
            }
            let state = &state[BYBIT_FILE][format!("{market}:{topic}")];
            book.assert_is(state, last);
        }
        let target = format!("/v5/market/instruments-info?category={market}&symbol=BTCUSDT");
        let info = pipe.get_json(venue, &target);
        assert_eq!(info["result"]["list"][0]["symbol"], "BTCUSDT");
        assert_eq!(info["result"]["list"].as_array().unwrap().len(), 1);
    }
}

#[test]
fn a_gap_in_a_recording_is_a_gap() {
    let Some(mut pipe) = recorded(SimVenue::BinanceSpot, "binance", SPOT_FILE, Speed::Recorded)
    else {
        return;
    };
    let conn = pipe
        .open(SimVenue::BinanceSpot, "/ws/nknusdt@depth@100ms")
        .unwrap();
    pipe.run(8 * SECOND);
    pipe.control(
        SimVenue::BinanceSpot,
        &Command::SkipNextDelta {
            symbol: "NKNUSDT".to_owned(),
        },
    );
    pipe.run(40 * SECOND);
    let texts = pipe.texts(conn);
    let gap = |w: &[Value]| w[1]["U"].as_u64().unwrap() != w[0]["u"].as_u64().unwrap() + 1;
    assert_eq!(texts.windows(2).filter(|w| gap(w)).count(), 1);
}

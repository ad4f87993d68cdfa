//! Polymarket: its words, its silences, and the shape of each frame against a recorded one or a sample of
//! its pages.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{Event, Pipe, SECOND};
use serde_json::{Value, json};
use sha1::Digest;
use tickwire_sim::{Command, ConnId, Fault, Links, SimVenue, VenueSpec};

const VENUE: SimVenue = SimVenue::Polymarket;

/// Samples of docs.polymarket.com (market-data/websocket/market-channel, 2026-11); `book` and
/// `last_trade_price` as recorded on 2026-02-12.
const SAMPLES: [&str; 5] = [
    r#"{"asks":[{"price":"0.99","size":"37776"}],"asset_id":"5","bids":[{"price":"0.01","size":"1"}],"event_type":"book","hash":"ee","last_trade_price":"0.999","market":"0x7","tick_size":"0.001","timestamp":"1770921521379"}"#,
    r#"{"market":"0x5","price_changes":[{"asset_id":"7","price":"0.5","size":"200","side":"BUY","hash":"56","best_bid":"0.5","best_ask":"1"}],"timestamp":"1757908892351","event_type":"price_change"}"#,
    r#"{"event_type":"tick_size_change","asset_id":"6","market":"0xb","old_tick_size":"0.01","new_tick_size":"0.001","timestamp":"100000000"}"#,
    r#"{"asset_id":"1","event_type":"last_trade_price","fee_rate_bps":"0","market":"0x1","price":"0.46","side":"SELL","size":"0.2","timestamp":"1770921571394","transaction_hash":"0xd"}"#,
    r#"{"event_type":"best_bid_ask","market":"0x0","asset_id":"8","best_bid":"0.73","best_ask":"0.77","spread":"0.04","timestamp":"1766789469958"}"#,
];

/// Keys and types, nested.
fn shape(value: &Value) -> String {
    match value {
        Value::Array(list) => {
            let shapes: BTreeSet<String> = list.iter().map(shape).collect();
            format!("{shapes:?}")
        }
        Value::Object(map) => {
            let fields = map
                .iter()
                .map(|(key, value)| format!("{key}:{}", shape(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
        }
        Value::String(_) => "text".to_owned(),
        other => format!("{other}"),
    }
}

fn sha1(text: &str) -> String {
    let digest = sha1::Sha1::digest(text.as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn pipe() -> Pipe {
    let spec = VenueSpec::polymarket().rate_msgs_s(200);
    Pipe::new(&[spec.user_key("key", "secret", "phrase")])
}

fn token(pipe: &Pipe) -> String {
    pipe.world.truth().symbols(VENUE)[0].clone()
}

fn subscribed(pipe: &mut Pipe, tokens: &[String]) -> ConnId {
    let conn = pipe.open(VENUE, "/ws/market").expect("an upgrade");
    pipe.send(
        VENUE,
        conn,
        &json!({"assets_ids": tokens, "type": "market"}).to_string(),
    );
    conn
}

/// Each object of what came, arrays taken apart.
fn objects(pipe: &mut Pipe, conn: ConnId) -> Vec<Value> {
    let texts = pipe.raw(conn);
    let values = texts
        .iter()
        .filter_map(|text| serde_json::from_str::<Value>(text).ok());
    values
        .flat_map(|value| match value {
            Value::Array(list) => list,
            one => vec![one],
        })
        .collect()
}

#[test]
fn every_frame_has_the_shape_of_a_real_one() {
    let mut pipe = pipe();
    let token = token(&pipe);
    let conn = subscribed(&mut pipe, std::slice::from_ref(&token));
    pipe.run(20 * SECOND);
    pipe.control(VENUE, &Command::ChangeTick { symbol: token });
    pipe.run(SECOND);
    let mut ours: BTreeMap<String, String> = BTreeMap::new();
    for object in objects(&mut pipe, conn) {
        let kind = object["event_type"].as_str().expect("a kind").to_owned();
        let known = ours.entry(kind).or_insert_with(|| shape(&object));
        assert_eq!(*known, shape(&object));
    }
    for sample in SAMPLES {
        let sample: Value = serde_json::from_str(sample).expect("JSON");
        let kind = sample["event_type"].as_str().expect("a kind");
        assert_eq!(ours.remove(kind), Some(shape(&sample)), "{kind}");
    }
    assert!(ours.is_empty(), "{ours:?}");
}

#[test]
fn both_tokens_show_the_same_orders_and_best_prices_are_the_books() {
    let mut pipe = pipe();
    let yes = token(&pipe);
    let markets = pipe.get_json(VENUE, "/markets");
    let tokens = &markets["data"][0]["tokens"];
    assert_eq!(tokens[0]["token_id"], yes.as_str());
    let no = tokens[1]["token_id"].as_str().expect("a token").to_owned();
    let conn = subscribed(&mut pipe, &[yes.clone(), no.clone()]);
    pipe.run(5 * SECOND);
    // Mantissas of three and two decimals.
    type Side = BTreeMap<i64, String>;
    let mut books: BTreeMap<String, [Side; 2]> = BTreeMap::new();
    let price = |text: &Value| {
        let text = text.as_str().expect("text");
        (text.parse::<f64>().expect("a price") * 1_000.0).round() as i64
    };
    let mut told = 0;
    for object in objects(&mut pipe, conn) {
        if object["event_type"] == "book" {
            let side = |name: &str| -> Side {
                let rows = object[name].as_array().expect("levels").iter();
                rows.map(|row| (price(&row["price"]), row["size"].to_string()))
                    .collect()
            };
            let asset = object["asset_id"].as_str().expect("a token").to_owned();
            books.insert(asset, [side("bids"), side("asks")]);
            continue;
        }
        let entries = object["price_changes"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        for entry in &entries {
            let book = books
                .get_mut(entry["asset_id"].as_str().expect("a token"))
                .expect("a book");
            let side = &mut book[usize::from(entry["side"] == "SELL")];
            if entry["size"] == "0" {
                side.remove(&price(&entry["price"]));
            } else {
                side.insert(price(&entry["price"]), entry["size"].to_string());
            }
        }
        for entry in entries.iter().rev().take(2) {
            let [bids, asks] = &books[entry["asset_id"].as_str().expect("a token")];
            let best = (bids.keys().next_back(), asks.keys().next());
            assert_eq!(
                best,
                (
                    Some(&price(&entry["best_bid"])),
                    Some(&price(&entry["best_ask"]))
                )
            );
            told += 1;
        }
    }
    assert!(told > 500, "{told}");
    let mirror = |side: &Side| -> Side {
        side.iter()
            .map(|(price, size)| (1_000 - price, size.clone()))
            .collect()
    };
    let [bids, asks] = &books[&yes];
    assert_eq!(books[&no], [mirror(asks), mirror(bids)]);
}

#[test]
fn it_says_nothing_where_others_answer() {
    let mut pipe = pipe();
    let token = token(&pipe);
    // A ping before the subscription ends the connection.
    let conn = pipe.open(VENUE, "/ws/market").expect("an upgrade");
    pipe.send(VENUE, conn, "PING");
    let events = pipe.events(conn);
    assert!(format!("{events:?}").contains("1008"), "{events:?}");
    // An unknown token draws nothing; a known one twice draws a word; pings their answer.
    let conn = subscribed(&mut pipe, &["1".repeat(77)]);
    assert!(pipe.raw(conn).is_empty());
    for _ in 0..2 {
        pipe.send(
            VENUE,
            conn,
            &json!({"assets_ids": [token], "operation": "subscribe"}).to_string(),
        );
    }
    pipe.send(VENUE, conn, "PING");
    let texts = pipe.raw(conn);
    assert_eq!(texts[1..], ["NO NEW ASSETS", "PONG"]);
    // As does one that is taken for one before it.
    let refused = subscribed(&mut pipe, std::slice::from_ref(&token));
    let links = Links::Newest;
    pipe.inject(VENUE, &Fault::PingRefused { links });
    pipe.send(VENUE, refused, "PING");
    let events = pipe.events(refused);
    assert!(format!("{events:?}").contains("1008"), "{events:?}");
    // Without pings it ends after a minute, whatever comes.
    pipe.run(61 * SECOND);
    assert!(pipe.events(conn).contains(&Event::Cut));
}

#[test]
fn initial_books_can_be_left_out_and_subscriptions_taken_back() {
    let mut pipe = pipe();
    let token = token(&pipe);
    let conn = pipe.open(VENUE, "/ws/market").expect("an upgrade");
    let text = json!({"assets_ids": [token], "type": "market", "initial_dump": false});
    pipe.send(VENUE, conn, &text.to_string());
    assert!(pipe.raw(conn).is_empty());
    pipe.run(SECOND);
    assert!(!pipe.raw(conn).is_empty());
    pipe.send(
        VENUE,
        conn,
        &json!({"assets_ids": [token], "operation": "unsubscribe"}).to_string(),
    );
    pipe.run(SECOND);
    assert!(pipe.raw(conn).is_empty());
}

#[test]
fn the_user_channel_takes_the_right_keys_alone() {
    let mut pipe = pipe();
    let login = |secret: &str| {
        let auth = json!({"apiKey": "key", "secret": secret, "passphrase": "phrase"});
        json!({"auth": auth, "markets": [], "type": "user"}).to_string()
    };
    let bad = pipe.open(VENUE, "/ws/user").expect("an upgrade");
    pipe.send(VENUE, bad, &login("wrong"));
    assert_eq!(pipe.events(bad), [Event::Cut]);
    let good = pipe.open(VENUE, "/ws/user").expect("an upgrade");
    pipe.send(VENUE, good, &login("secret"));
    assert!(pipe.raw(good).is_empty(), "no ack");
    pipe.control(VENUE, &Command::SendUser("{}".to_owned()));
    assert_eq!(pipe.raw(good), ["{}"]);
}

#[test]
fn listings_and_books_come_by_rest() {
    let mut pipe = pipe();
    let token = token(&pipe);
    assert!(pipe.get_json(VENUE, "/time").is_u64());
    let book = pipe.get_json(VENUE, &format!("/book?token_id={token}"));
    for key in [
        "market",
        "timestamp",
        "hash",
        "min_order_size",
        "tick_size",
        "last_trade_price",
    ] {
        assert!(book[key].is_string(), "{key}");
    }
    // A book's hash is that of its own text, which has none yet (py-clob-client-v2, 2026-05).
    let answer = pipe.get(VENUE, &format!("/book?token_id={token}"));
    let text = String::from_utf8(answer.body).expect("text");
    let hash = book["hash"].as_str().expect("a hash");
    assert_eq!(sha1(&text.replace(hash, "")), hash);
    assert_eq!(pipe.get(VENUE, "/book?token_id=12").status, 404);
    let gamma = pipe.get_json(VENUE, "/gamma/markets?limit=1");
    let ids = gamma[0]["clobTokenIds"]
        .as_str()
        .expect("a list inside a string");
    let ids: Vec<String> = serde_json::from_str(ids).expect("JSON");
    assert_eq!(ids[0], token);
    assert_eq!(gamma.as_array().map(Vec::len), Some(1));
}

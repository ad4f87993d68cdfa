//! The general client against the venues' own testnets. Runs where `TICKWIRE_LIVE=1` is set and there is
//! a network:
//!
//! ```console
//! $ TICKWIRE_LIVE=1 cargo test -p tickwire-tools --test ws_live -- --nocapture
//! ```
//!
//! No key is needed: each asks for public data alone.

#![expect(clippy::print_stdout, reason = "a test that skips says so")]

use std::time::Duration;

use tickwire::ws::{self, Answer, Client, Config, HeartbeatConfig, Message};

/// A quiet testnet may have no trade for a while; every channel here has news more often than this.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whether to run; says that it does not.
fn is_live(test: &str) -> bool {
    let live = std::env::var("TICKWIRE_LIVE").is_ok_and(|value| value == "1");
    if !live {
        println!("SKIPPED {test}: set TICKWIRE_LIVE=1 to run it against the venue's testnet");
    }
    live
}

#[track_caller]
fn connect(config: Config) -> Client {
    match ws::connect(config) {
        Ok(client) => client,
        Err(error) => panic!("{}", ws::explain(&error)),
    }
}

/// Waits for a message with `part` in it.
#[track_caller]
fn expect(client: &Client, part: &str) -> String {
    loop {
        match client.recv_timeout(PATIENCE) {
            Some(Message::Json(json)) if json.text().contains(part) => return json.into_text(),
            Some(Message::Closed(error)) => panic!("{}", ws::explain(&error)),
            Some(_) => {}
            None => panic!("nothing with {part:?} for {PATIENCE:?}"),
        }
    }
}

/// Subscribes, waits for data, makes a new connection, and waits for data on that.
#[track_caller]
fn comes_and_comes_back(client: &Client, channel: &str, part: &str) {
    let done = client.subscribe([channel]).expect("a dialect, by the host");
    let done = done.wait().expect("an answer");
    assert_eq!(done.accepted, [channel], "{:?}", done.refused);
    println!("{}", expect(client, part));
    client.reconnect().expect("the loop runs");
    client.wait_connected().expect("connected again");
    loop {
        match client.recv_timeout(PATIENCE).expect("news") {
            Message::Restored(all) => {
                assert_eq!(all.accepted, [channel]);
                break;
            }
            Message::Closed(error) => panic!("{}", ws::explain(&error)),
            _ => {}
        }
    }
    expect(client, part);
    client.close();
}

#[test]
fn deribit() {
    if !is_live("deribit") {
        return;
    }
    let client = connect(Config {
        heartbeat_config: Some(HeartbeatConfig::deribit(10_000)),
        ..Config::new("wss://test.deribit.com/ws/api/v2")
    });
    let heartbeat =
        r#"{"jsonrpc":"2.0","id":1,"method":"public/set_heartbeat","params":{"interval":10}}"#;
    let answer = client
        .request(heartbeat)
        .expect("an answer")
        .expect("it has an id");
    assert_eq!(
        answer.raw("result").as_deref(),
        Some("\"ok\""),
        "{answer:?}"
    );
    let channel = "ticker.BTC-PERPETUAL.100ms";
    comes_and_comes_back(&client, channel, channel);
}

#[test]
fn deribit_refuses_what_is_not_there() {
    if !is_live("deribit_refuses_what_is_not_there") {
        return;
    }
    let client = connect(Config::new("wss://test.deribit.com/ws/api/v2"));
    let asked = ["ticker.BTC-PERPETUAL.100ms", "ticker.NO-SUCH.100ms"];
    let done = client
        .subscribe(asked)
        .expect("a dialect")
        .wait()
        .expect("an answer");
    assert_eq!(
        (done.accepted.len(), done.refused.len()),
        (1, 1),
        "{done:?}"
    );
}

#[test]
fn bybit() {
    if !is_live("bybit") {
        return;
    }
    let answer = Answer::Contains("\"pong\"".to_owned());
    let client = connect(Config {
        heartbeat_config: Some(HeartbeatConfig::custom(10_000, r#"{"op":"ping"}"#, answer)),
        ..Config::new("wss://stream-testnet.bybit.com/v5/public/linear")
    });
    comes_and_comes_back(&client, "orderbook.50.BTCUSDT", "orderbook.50.BTCUSDT");
}

#[test]
fn binance() {
    if !is_live("binance") {
        return;
    }
    let client = connect(Config::new("wss://stream.testnet.binance.vision/ws"));
    comes_and_comes_back(&client, "btcusdt@depth@100ms", "depthUpdate");
}

#[test]
fn binance_requests() {
    if !is_live("binance_requests") {
        return;
    }
    let client = connect(Config::new("wss://ws-api.testnet.binance.vision/ws-api/v3"));
    let answer = client
        .request(r#"{"id":"t","method":"time"}"#)
        .expect("an answer");
    let answer = answer.expect("it has an id");
    assert_eq!(answer.raw("status").as_deref(), Some("200"), "{answer:?}");
}

#[test]
fn polymarket() {
    if !is_live("polymarket") {
        return;
    }
    // There is no testnet: any asset of a live market, named by the one who runs this.
    let Ok(asset) = std::env::var("TICKWIRE_POLYMARKET_ASSET") else {
        println!(
            "SKIPPED polymarket: name a token id of a live market in TICKWIRE_POLYMARKET_ASSET"
        );
        return;
    };
    let answer = Answer::Equals("PONG".to_owned());
    let client = connect(Config {
        heartbeat_config: Some(HeartbeatConfig::custom(10_000, "PING", answer)),
        ..Config::new("wss://ws-subscriptions-clob.polymarket.com/ws/market")
    });
    comes_and_comes_back(&client, &asset, "\"book\"");
}

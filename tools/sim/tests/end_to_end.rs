//! Over real sockets: rustls and tungstenite on the client's side, loopback, free ports.

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use common::tls::{get, now, text, tls, try_ws, ws};
use serde_json::Value;
use tickwire_sim::{Channel, MsgKind, Sim, SimVenue, VenueSpec};
use tungstenite::Message;

const SPOT: SimVenue = SimVenue::BinanceSpot;
const LINEAR: SimVenue = SimVenue::BybitLinear;

#[test]
fn stream_rest_truth_and_send_log_agree_over_tls() {
    let sim = Sim::builder()
        .seed(7)
        .venue(VenueSpec::binance_spot().instruments(2).rate_msgs_s(1_000))
        .venue(
            VenueSpec::bybit_linear()
                .symbols(&["BTCUSDT"])
                .rate_msgs_s(1_000),
        )
        .start()
        .unwrap();
    let path = "/stream?streams=btcusdt@depth@100ms/btcusdt@bookTicker/btcusdt@trade";
    let mut binance = ws(&sim, SPOT, path);
    let mut rest = tls(&sim, SPOT);
    let first = text(&mut binance);
    assert!(first["stream"].is_string());
    // Two requests on one link; the second is large and comes chunked.
    let (status, body) = get(&mut rest, "/api/v3/time");
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    let (_, body) = get(&mut rest, "/api/v3/depth?symbol=BTCUSDT&limit=5000");
    let snapshot: Value = serde_json::from_slice(&body).unwrap();
    let id = snapshot["lastUpdateId"].as_u64().unwrap();
    let truth = sim
        .truth()
        .book_at(SPOT, "BTCUSDT", Channel::Full, id)
        .unwrap();
    assert_eq!(snapshot["bids"].as_array().unwrap().len(), truth.bids.len());

    let (mut depth, mut logged) = (None, 0);
    while logged < 300 {
        let frame = text(&mut binance);
        let received = now();
        let data = &frame["data"];
        let (kind, seq) = match data["e"].as_str() {
            Some("depthUpdate") => {
                let u = data["u"].as_u64().unwrap();
                if let Some(last) = depth.replace(u) {
                    assert_eq!(data["U"].as_u64().unwrap(), last + 1);
                }
                (MsgKind::Depth, u)
            }
            Some("trade") => (MsgKind::Trade, data["t"].as_u64().unwrap()),
            _ => (MsgKind::Top, data["u"].as_u64().unwrap()),
        };
        let sent = sim.sent().entry(SPOT, "BTCUSDT", kind, seq).unwrap();
        assert!(sent.written <= received && sent.at() <= received);
        assert!(sent.scheduled <= sent.written);
        logged += 1;
    }

    let mut bybit = ws(&sim, LINEAR, "/v5/public/linear");
    let op = r#"{"op":"subscribe","args":["orderbook.50.BTCUSDT"]}"#;
    bybit.send(Message::text(op)).unwrap();
    let frames: Vec<Value> = (0..20).map(|_| text(&mut bybit)).collect();
    assert!(frames.iter().any(|f| f["op"] == "subscribe"));
    let last = frames.iter().rfind(|f| f["type"] == "delta").unwrap();
    let u = last["data"]["u"].as_u64().unwrap();
    let truth = sim
        .truth()
        .book_at(LINEAR, "BTCUSDT", Channel::Levels(50), u)
        .unwrap();
    assert_eq!((truth.bids.len(), truth.asks.len()), (50, 50));
    let stats = sim.stats();
    assert_eq!(
        (stats.upgrades, stats.subscribes, stats.rest_requests),
        (2, 1, 2)
    );
    assert!(stats.sent(MsgKind::Depth) > 0);
}

#[test]
fn pings_are_answered_and_controls_act_at_once() {
    let mut sim = Sim::builder()
        .venue(VenueSpec::binance_spot())
        .start()
        .unwrap();
    let control = sim.control();
    control.pause(SPOT);
    let mut one = ws(&sim, SPOT, "/ws");
    one.send(Message::Ping(b"hello".to_vec().into())).unwrap();
    assert_eq!(one.read().unwrap(), Message::Pong(b"hello".to_vec().into()));
    // A fragmented request is one request.
    use tungstenite::protocol::frame::Frame;
    use tungstenite::protocol::frame::coding::{Data, OpCode};
    let parts = [
        (OpCode::Data(Data::Text), r#"{"method":"LIST_"#),
        (OpCode::Data(Data::Continue), r#"SUBSCRIPTIONS","id":9}"#),
    ];
    for (index, (opcode, part)) in parts.into_iter().enumerate() {
        let frame = Frame::message(part.as_bytes().to_vec(), opcode, index == 1);
        one.send(Message::Frame(frame)).unwrap();
    }
    assert_eq!(text(&mut one), serde_json::json!({"result":[],"id":9}));
    control.cut_connections(SPOT);
    assert!(one.read().is_err());
    control.refuse_upgrades(SPOT, Some(503));
    let refused = try_ws(&sim, SPOT, "/ws").unwrap_err();
    assert!(refused.contains("503"), "{refused}");
    control.refuse_upgrades(SPOT, None);
    let mut two = ws(&sim, SPOT, "/ws");
    two.close(None).unwrap();
    assert!(matches!(two.read(), Ok(Message::Close(_)) | Err(_)));
    let stats = sim.venue_stats(SPOT);
    assert_eq!(
        (stats.upgrades, stats.upgrades_refused, stats.cut),
        (2, 1, 1)
    );
    sim.stop();
    // After the end a control returns instead of waiting for ever.
    control.pause(SPOT);
    assert!(TcpStream::connect(sim.addr(SPOT)).is_err());
}

#[test]
fn garbage_is_answered_or_cut_and_others_live_on() {
    let sim = Sim::builder()
        .venue(VenueSpec::binance_spot().rate_msgs_s(500))
        .start()
        .unwrap();
    let mut good = ws(&sim, SPOT, "/ws/btcusdt@bookTicker");
    // Not TLS.
    let mut plain = TcpStream::connect(sim.addr(SPOT)).unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut rest = Vec::new();
    let _ = plain.read_to_end(&mut rest);
    // Not HTTP.
    let mut odd = tls(&sim, SPOT);
    odd.write_all(b"\x01\x02\x03\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = odd.read_to_end(&mut answer);
    assert!(answer.starts_with(b"HTTP/1.1 400"));
    // Not a frame: an unmasked one.
    let mut raw = ws(&sim, SPOT, "/ws");
    raw.get_mut().write_all(b"\x81\x02hi").unwrap();
    raw.get_mut().flush().unwrap();
    let closed = raw.read();
    assert!(
        matches!(closed, Ok(Message::Close(Some(ref frame))) if u16::from(frame.code) == 1002),
        "{closed:?}"
    );
    for _ in 0..20 {
        assert!(text(&mut good)["u"].is_u64());
    }
}

#[test]
fn slow_reader_is_cut() {
    let spec = VenueSpec::binance_spot().instruments(1).rate_msgs_s(20_000);
    let sim = Sim::builder()
        .venue(spec.queue_bytes_max(64 << 10))
        .start()
        .unwrap();
    let slow = ws(
        &sim,
        SPOT,
        "/ws/btcusdt@bookTicker/btcusdt@trade/btcusdt@depth@100ms",
    );
    let since = now();
    while sim.venue_stats(SPOT).cut_slow == 0 {
        assert!(
            since.elapsed() < Duration::from_secs(60),
            "{:?}",
            sim.stats()
        );
        std::thread::yield_now();
    }
    drop(slow);
}

#[test]
fn hundred_connections_share_one_thread() {
    let sim = Sim::builder()
        .venue(VenueSpec::binance_spot().rate_msgs_s(200))
        .start()
        .unwrap();
    let mut all: Vec<_> = (0..100)
        .map(|_| ws(&sim, SPOT, "/ws/btcusdt@bookTicker"))
        .collect();
    for one in &mut all {
        assert!(text(one)["u"].is_u64());
    }
    drop(all);
    assert_eq!(sim.venue_stats(SPOT).upgrades, 100);
}

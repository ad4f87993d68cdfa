//! The gateway over real sockets: upgrades, limits, slow and dead clients, the end, and its log.

mod common;

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};

use common::{Rig, config};
use serde_json::json;
use tickwire::Nanos;
use tickwire_gateway::{Config, Grant, Limits};
use tungstenite::Message;

fn all() -> Grant {
    Grant::all("ann")
}

#[test]
fn a_session_is_created_and_its_answer_streams_over_the_socket() {
    let rig = Rig::start(config());
    let token = rig.gateway().issue(all()).expect("a token");
    let mut client = rig.client(token.expose());
    let session = client.ask("sessions.create", json!({ "projectId": "p1" }));
    let id = session["result"]["id"].as_str().expect("an id").to_owned();
    client.subscribe(&format!("session:{id}"));
    client.say(
        &json!({ "type": "request", "id": "m", "method": "messages.send",
        "params": { "sessionId": id, "content": "one two three" } }),
    );
    let mut text = String::new();
    loop {
        let frame = client.next();
        let data = &frame["data"];
        text += data["append"]
            .as_str()
            .or(data["part"]["content"].as_str())
            .unwrap_or_default();
        if frame["event"] == "message.updated" {
            break;
        }
    }
    assert_eq!(text, "onetwothree");
}

#[test]
fn nobody_is_upgraded_without_a_token_or_a_ticket() {
    let rig = Rig::start(config());
    let token = rig.gateway().issue(all()).expect("a token");
    for target in ["/ws", "/ws?token=tw_0_0", "/ws?token=", "/ws?ticket=00"] {
        let answer = rig.http(&rig.upgrade(target));
        assert!(answer.starts_with("HTTP/1.1 401 "), "{target}: {answer}");
        assert!(answer.contains("AUTH_"), "{answer}");
    }
    let ticket = rig.gateway().ticket(&token).expect("a ticket");
    let upgrade = rig.upgrade(&format!("/ws?ticket={}", ticket.expose()));
    let mut stream = rig.tcp();
    stream.write_all(upgrade.as_bytes()).expect("room");
    let mut head = [0; 12];
    stream.read_exact(&mut head).expect("an answer");
    assert_eq!(&head, b"HTTP/1.1 101");
    let again = rig.http(&rig.upgrade(&format!("/ws?ticket={}", ticket.expose())));
    assert!(again.starts_with("HTTP/1.1 401 "), "{again}");
    let ask = format!(
        "POST /ticket HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Length: 0\r\n\r\n",
        rig.address(),
        token.expose()
    );
    assert!(rig.http(&ask).contains("\"expiresInMs\":30000"));
}

#[test]
fn health_and_metrics_are_served_beside_the_socket() {
    let rig = Rig::start(config());
    assert!(rig.get("/healthz").ends_with("\r\n\r\nok\n"));
    let metrics = rig.get("/metrics");
    for line in [
        "# TYPE tickwire_gateway_closed4429_total counter",
        "tickwire_gateway_turn_ns_count ",
    ] {
        assert!(metrics.contains(line), "{metrics}");
    }
}

#[test]
fn revocation_ends_connections_and_later_upgrades() {
    let rig = Rig::start(config());
    let token = rig.gateway().issue(all()).expect("a token");
    let mut client = rig.client(token.expose());
    rig.gateway().revoke(token.expose()).expect("revoked");
    assert_eq!(client.next(), json!({ "closed": 4003 }));
    let answer = rig.http(&rig.upgrade(&format!("/ws?token={}", token.expose())));
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
}

#[test]
fn what_breaks_the_framing_closes_with_its_code() {
    let rig = Rig::start(config());
    let token = rig.gateway().issue(all()).expect("a token");
    let large = Message::text("x".repeat(300_000));
    let mut client = rig.client(token.expose());
    // The other side may close before all is written.
    let _ = client.ws.send(large);
    assert_eq!(client.next(), json!({ "closed": 1009 }));
    let masked = |first: u8, second: u8, payload: &[u8]| {
        let mut frame = vec![first, second, 0, 0, 0, 0];
        frame.extend_from_slice(payload);
        frame
    };
    let table = [
        ("not masked", vec![0x81, 0x02, b'{', b'}']),
        ("reserved bits", masked(0xF1, 0x82, b"{}")),
        ("unknown opcode", masked(0x83, 0x82, b"{}")),
        ("not UTF-8", masked(0x81, 0x82, &[0xC3, 0x28])),
        ("a ping in pieces", masked(0x09, 0x80, b"")),
        ("a piece of nothing", masked(0x80, 0x80, b"")),
    ];
    for (what, bytes) in table {
        let mut client = rig.client(token.expose());
        client.ws.get_mut().write_all(&bytes).expect("room");
        assert_eq!(client.next(), json!({ "closed": 4501 }), "{what}");
    }
    let mut client = rig.client(token.expose());
    client
        .ws
        .send(Message::binary(vec![1, 2, 3]))
        .expect("open");
    assert_eq!(client.next()["error"]["code"], "PARSE_ERROR");
    assert!(
        client
            .ask("system.stats", json!({}))
            .get("result")
            .is_some()
    );
}

#[test]
fn slow_headers_partial_upgrades_and_idle_connects_hold_nothing_for_long() {
    let limits = Limits {
        handshake: Nanos::from_millis(500),
        handshakes_max: 64,
        ..config().limits
    };
    let rig = Rig::start(Config { limits, ..config() });
    let token = rig.gateway().issue(all()).expect("a token");
    let mut slow = rig.tcp();
    let head = rig.upgrade(&format!("/ws?token={}", token.expose()));
    slow.write_all(&head.as_bytes()[..40]).expect("room");
    let mut rest = Vec::new();
    assert_eq!(
        slow.read_to_end(&mut rest).unwrap_or_default(),
        0,
        "closed without a word"
    );
    let mut endless = rig.tcp();
    let long = format!("GET /ws HTTP/1.1\r\nX: {}", "x".repeat(9_000));
    // It is refused while it is still being sent.
    let _ = endless.write_all(long.as_bytes());
    let mut answer = String::new();
    let _ = endless.read_to_string(&mut answer);
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431 "),
        "{answer}"
    );
    // 5,000 connects that say nothing, in waves that the test's own descriptors allow.
    for _ in 0..10 {
        let idle: Vec<_> = (0..500)
            .filter_map(|_| std::net::TcpStream::connect(rig.address()).ok())
            .collect();
        assert!(!idle.is_empty());
    }
    let mut client = loop {
        // Until the last of them is forgotten, a newcomer may find no room.
        let stream = rig.tcp();
        let url = format!("ws://{}/ws?token={}", rig.address(), token.expose());
        if let Ok((ws, _)) = tungstenite::client(url, stream) {
            break common::Client { ws };
        }
    };
    assert_eq!(client.next()["event"], "connected");
    assert!(
        client
            .ask("system.stats", json!({}))
            .get("result")
            .is_some()
    );
}

#[test]
fn connections_of_one_user_are_limited_before_the_upgrade() {
    let limits = Limits {
        connections_per_user_max: 2,
        ..Limits::default()
    };
    let rig = Rig::start(Config { limits, ..config() });
    let token = rig.gateway().issue(all()).expect("a token");
    let _one = rig.client(token.expose());
    let _two = rig.client(token.expose());
    let answer = rig.http(&rig.upgrade(&format!("/ws?token={}", token.expose())));
    assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
    let other = rig.gateway().issue(Grant::all("bob")).expect("a token");
    rig.client(other.expose());
}

#[test]
fn stalled_clients_are_closed_with_4429_and_the_others_lose_nothing() {
    let limits = Limits {
        stall: Nanos::from_millis(500),
        ..config().limits
    };
    let rig = Rig::start(Config { limits, ..config() });
    let token = rig.gateway().issue(all()).expect("a token");
    let mut teller = rig.client(token.expose());
    let session = teller.ask("sessions.create", json!({ "projectId": "p1" }));
    let channel = format!(
        "session:{}",
        session["result"]["id"].as_str().expect("an id")
    );
    let mut stalled: Vec<_> = (0..5).map(|_| rig.client(token.expose())).collect();
    let mut healthy: Vec<_> = (0..5).map(|_| rig.client(token.expose())).collect();
    for client in stalled.iter_mut().chain(&mut healthy) {
        client.subscribe(&channel);
    }
    // Ten megabytes: more than the sockets of those that don't read can hold.
    let words = format!("{} ", "word".repeat(250)).repeat(30);
    // Number 1 told of the session itself.
    let mut read = vec![1u64; healthy.len()];
    for _ in 0..330 {
        let params = json!({ "sessionId": session["result"]["id"], "content": words.trim() });
        teller.say(
            &json!({ "type": "request", "id": "m", "method": "messages.send", "params": params }),
        );
        loop {
            let frame = teller.next();
            if frame["id"] == "m" {
                assert!(frame.get("result").is_some(), "{frame}");
                break;
            }
        }
        for (client, at) in healthy.iter_mut().zip(&mut read) {
            loop {
                let frame = client.next();
                let offset = frame["offset"]
                    .as_u64()
                    .unwrap_or_else(|| panic!("{frame}"));
                assert_eq!(offset, *at + 1);
                *at = offset;
                if frame["event"] == "message.updated" {
                    break;
                }
            }
        }
        if rig.metric("closed4429_total") == 5 {
            break;
        }
    }
    assert_eq!(rig.metric("closed4429_total"), 5);
    assert_eq!(rig.metric("closed4408_total"), 0);
    assert!(rig.metric("log_bytes") < 20_000_000);
}

#[test]
fn a_restart_is_told_to_everybody_and_keeps_their_positions() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = Config {
        store: Some(folder.path().join("gateway.redb")),
        ..config()
    };
    let mut rig = Rig::start(config.clone());
    let token = rig.gateway().issue(all()).expect("a token");
    let mut client = rig.client(token.expose());
    client.say(&json!({ "type": "subscribe", "id": "s", "channels": ["project:p1"] }));
    let at = client.next()["result"]["channels"][0].clone();
    let mut other = rig.client(token.expose());
    other.ask("sessions.create", json!({ "projectId": "p1" }));
    let gateway = rig.gateway.take().expect("it runs");
    gateway.restart().expect("a clean end");
    while client.next() != json!({ "closed": 4499 }) {}
    let rig = Rig::start(config);
    let mut client = rig.client(token.expose());
    let since = json!({ "channel": "project:p1",
        "since": { "epoch": at["epoch"], "offset": at["offset"] } });
    client.say(&json!({ "type": "subscribe", "id": "s", "channels": [since] }));
    assert_eq!(client.next()["result"]["channels"][0]["recovered"], true);
    assert_eq!(client.next()["event"], "session.updated");
}

/// Keeps all that is logged.
struct Log(Arc<Mutex<String>>);

struct Words<'a>(&'a mut String);

impl tracing::field::Visit for Words<'_> {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        use std::fmt::Write;
        let _ = write!(self.0, " {field}={value:?}");
    }
}

impl tracing::Subscriber for Log {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        let mut text = self.0.lock().expect("no panic in between");
        event.record(&mut Words(&mut text));
        text.push('\n');
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn no_token_and_no_ticket_is_in_any_log_line() {
    let text = Arc::new(Mutex::new(String::new()));
    // For all threads of this test program: other tests may add lines, and none may hold a secret either.
    let _ = tracing::subscriber::set_global_default(Log(Arc::clone(&text)));
    let rig = Rig::start(config());
    let token = rig.gateway().issue(all()).expect("a token");
    let second = rig.gateway().issue(all()).expect("a token");
    let ticket = rig.gateway().ticket(&token).expect("a ticket");
    let mut client = rig.client(token.expose());
    client.ask("auth.refresh", json!({ "token": second.expose() }));
    client.ask(
        "auth.refresh",
        json!({ "token": format!("{}x", token.expose()) }),
    );
    client.ask(
        "sessions.create",
        json!({ "projectId": second.expose(), "agent": 7 }),
    );
    rig.http(&rig.upgrade(&format!("/ws?ticket={}x", ticket.expose())));
    rig.http(&rig.upgrade(&format!("/ws?token={}x", token.expose())));
    rig.gateway().revoke(second.expose()).expect("revoked");
    while client.next() != json!({ "closed": 4003 }) {}
    drop(rig);
    let text = text.lock().expect("no panic in between");
    assert!(
        text.contains("the gateway listens") && text.contains("code=4003"),
        "{text}"
    );
    for secret in [&token, &second, &ticket] {
        assert!(!text.contains(secret.expose()));
        let secret_part = secret.expose().rsplit('_').next().unwrap_or_default();
        assert!(!text.contains(secret_part), "{text}");
    }
    assert!(!format!("{token:?}{ticket:?}").contains(token.expose()));
}

#[test]
fn the_same_is_spoken_over_tls() {
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a key");
    let certificate = CertificateDer::from(made.cert.der().to_vec());
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let tls = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .expect("a configuration");
    let rig = Rig::with_tls(config(), Some(Arc::new(tls)));
    let token = rig.gateway().issue(all()).expect("a token");
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).expect("a certificate");
    let client = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    let connection = rustls::ClientConnection::new(Arc::new(client), name).expect("a client");
    let stream = rustls::StreamOwned::new(connection, rig.tcp());
    let url = format!("ws://{}/ws?token={}", rig.address(), token.expose());
    let (mut ws, _) = tungstenite::client(url, stream).expect("an upgrade");
    assert!(
        ws.read()
            .expect("a frame")
            .to_string()
            .contains("\"connected\"")
    );
    let create = json!({ "type": "request", "id": "1", "method": "sessions.create",
        "params": { "projectId": "p1", "title": "x".repeat(200) } });
    for _ in 0..50 {
        ws.send(Message::text(create.to_string())).expect("open");
    }
    for _ in 0..50 {
        assert!(
            ws.read()
                .expect("a frame")
                .to_string()
                .contains("\"result\"")
        );
    }
}

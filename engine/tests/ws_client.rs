//! The general client over real sockets, against a server that does as it is told.

mod common;

use std::sync::Arc;
use std::time::Duration;

use tickwire::testing::ws::{Expect, Pongs, Refusal, Scheme, Server};
use tickwire::ws::{
    self, Answer, Bybit, Client, Clients, Config, Error, HeartbeatConfig, LimitConfig, Limiter,
    Message, Receipt, State, Supervisor, SupervisorConfig,
};
use tickwire::{Channel, Market, StrategySetup, Venue};

/// What no test may need.
const PATIENCE: Duration = Duration::from_secs(30);

/// Quick to come back.
fn quick(server: &Server) -> Config {
    Config {
        retry_delay: 5,
        max_backoff: 50,
        retry_count: 1_000,
        heartbeat_config: None,
        subscribe_interval: 0,
        ..Config::new(server.url())
    }
}

/// The next message that `wanted` says yes to.
#[track_caller]
fn next(client: &Client, what: &str, wanted: impl Fn(&Message) -> bool) -> Message {
    let mut seen = Vec::new();
    while let Some(message) = client.recv_timeout(PATIENCE) {
        if wanted(&message) {
            return message;
        }
        seen.push(message);
    }
    panic!("no {what}; {:?} after {seen:?}", client.get_state());
}

fn is_reconnected(message: &Message) -> bool {
    matches!(message, Message::Reconnected { .. })
}

/// Answers as Bybit and, for `id`, as JSON-RPC does.
fn answers(text: &str) -> Option<String> {
    let json: serde_json::Value = serde_json::from_str(text).ok()?;
    if let Some(id) = json.get("req_id") {
        return Some(format!(
            r#"{{"success":true,"ret_msg":"","req_id":{id},"op":"subscribe"}}"#
        ));
    }
    let id = json.get("id")?;
    (json.get("method")? != "silence")
        .then(|| format!(r#"{{"jsonrpc":"2.0","id":{id},"result":"ok"}}"#))
}

#[test]
fn the_five_functions() {
    let server = Server::start(0, Scheme::Ws, answers).expect("a server");
    let client = ws::connect(Config {
        dialect: Some(Arc::new(Bybit)),
        headers: vec![("X-Key".to_owned(), "secret".to_owned())],
        ..quick(&server)
    })
    .expect("connected");
    assert_eq!(client.get_state(), State::Connected);
    assert!(server.last_head().contains("X-Key: secret"));
    let sent = client.send_message("no id");
    assert!(matches!(sent, Ok(Receipt::Sent)));
    server.assert_message_sent(Expect::Exact("no id"), PATIENCE);
    let done = client
        .subscribe(["a", "b"])
        .expect("sent")
        .wait()
        .expect("an answer");
    assert_eq!(done.accepted, ["a", "b"]);
    let request = Expect::Partial(serde_json::json!({"op": "subscribe", "args": ["a", "b"]}));
    server.assert_message_sent(request, PATIENCE);
    client.close();
    client.close();
    assert!(client.wait_end(PATIENCE));
    assert_eq!(
        (client.get_state(), client.end()),
        (State::Disconnected, Some(Error::Closed))
    );
    assert_eq!(client.recv(), Some(Message::Closed(Error::Closed)));
    assert_eq!(client.recv(), None);
    assert!(matches!(client.send_message("x"), Err(Error::Closed)));
    server.assert_connections(0, PATIENCE);
}

#[test]
fn many_requests_at_once_find_their_answers() {
    let server = Server::start(0, Scheme::Ws, answers).expect("a server");
    let client = ws::connect(quick(&server)).expect("connected");
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let client = client.clone();
            std::thread::spawn(move || {
                for index in 0..50 {
                    let id = thread * 1_000 + index;
                    let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"a"}}"#);
                    let answer = client
                        .request(text)
                        .expect("an answer")
                        .expect("it has an id");
                    assert_eq!(answer.raw("id"), Some(id.to_string()));
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("no panic");
    }
    let latency = client.latency_stats();
    assert_eq!(latency.count, 200);
    assert!(latency.p50 <= latency.p99 && latency.p50 > Duration::ZERO);
    assert_eq!(client.state_metrics().pending_requests, 0);
}

#[test]
fn over_tls_whom_it_trusts_decides() {
    let server = Server::start(0, Scheme::Wss, answers).expect("a server");
    let trusting = Config {
        trust_only: server.certificate().map(|one| vec![one]),
        ..quick(&server)
    };
    let client = ws::connect(trusting).expect("connected");
    assert!(client.request(r#"{"id":1,"method":"a"}"#).is_ok());
    let wary = Config {
        retry_count: 2,
        ..quick(&server)
    };
    let error = ws::connect(wary).expect_err("nobody has signed it");
    let Error::GaveUp { attempts: 2, last } = &error else {
        panic!("{error}");
    };
    assert!(matches!(**last, Error::Tls(_)), "{error}");
    assert!(ws::explain(&error).suggestion.contains("trust_only"));
}

#[test]
fn what_can_not_be_reached_is_given_up_with_its_own_error() {
    let nobody = Server::echo().expect("a server").url();
    let table = [
        (nobody.as_str(), "connection refused"),
        ("ws://name.invalid:1/", "not found"),
    ];
    for (url, expected) in table {
        let config = Config {
            retry_count: 2,
            retry_delay: 1,
            max_backoff: 2,
            ..Config::new(url)
        };
        let error = ws::connect(config).expect_err("nobody is there");
        assert!(
            matches!(error, Error::GaveUp { attempts: 2, .. }),
            "{error}"
        );
        assert!(error.to_string().contains(expected), "{error}");
        assert!(error.is_recoverable());
    }
}

#[test]
fn a_refusal_that_does_not_heal_stops_at_once_and_one_that_does_is_waited_for() {
    let server = Server::start(0, Scheme::Ws, answers).expect("a server");
    for status in [401, 403] {
        server.behave(|behaviour| behaviour.refusal = Some(Refusal::status(status)));
        let before = server.upgrades();
        let error = ws::connect(quick(&server)).expect_err("refused");
        assert!(
            matches!(error, Error::Upgrade { status: told, .. } if told == status),
            "{error}"
        );
        assert_eq!(server.upgrades(), before + 1, "one try");
    }
    for refusal in [
        Refusal::status(503),
        Refusal::status(429).header("Retry-After", "1"),
    ] {
        let before = server.upgrades();
        server.behave(|behaviour| behaviour.refusal = Some(refusal));
        let client = ws::open(quick(&server)).expect("a good configuration");
        server.assert_upgrades(before + 1, PATIENCE);
        server.behave(|behaviour| behaviour.refusal = None);
        client.wait_connected().expect("it heals");
    }
}

#[test]
fn a_loss_is_told_and_what_was_subscribed_comes_back() {
    let server = Server::start(0, Scheme::Ws, answers).expect("a server");
    let client = ws::connect(Config {
        dialect: Some(Arc::new(Bybit)),
        ..quick(&server)
    })
    .expect("connected");
    client
        .subscribe(["a", "b"])
        .expect("sent")
        .wait()
        .expect("subscribed");
    for round in 2..6 {
        let waiting = client.send_message(r#"{"req_id":"","id":1,"method":"silence"}"#);
        assert!(waiting.is_ok());
        match round % 2 {
            0 => server.cut(),
            _ => server.simulate_disconnect(1001),
        }
        next(&client, "loss", |message| {
            matches!(message, Message::Disconnected { .. })
        });
        let back = next(&client, "connection", is_reconnected);
        assert_eq!(back, Message::Reconnected { connection: round });
        let restored = next(&client, "restore", |message| {
            matches!(message, Message::Restored(_))
        });
        assert!(matches!(restored, Message::Restored(all) if all.accepted == ["a", "b"]));
    }
}

#[test]
fn who_waits_when_the_connection_is_lost_is_told_at_once() {
    let server = Server::start(0, Scheme::Ws, answers).expect("a server");
    let client = ws::connect(quick(&server)).expect("connected");
    let ticket = client
        .send_message(r#"{"id":1,"method":"silence"}"#)
        .expect("sent")
        .ticket()
        .expect("it has an id");
    server.assert_message_sent(Expect::Regex("silence"), PATIENCE);
    server.clear();
    server.cut();
    // Far below request_timeout.
    let outcome = ticket.wait_for(PATIENCE / 2).expect("at once");
    assert_eq!(outcome, Err(Error::Disconnected));
    next(&client, "connection", is_reconnected);
    let answer = client
        .request(r#"{"id":1,"method":"a"}"#)
        .expect("an answer");
    assert!(answer.is_some(), "the id is free");
    let old = server
        .received()
        .iter()
        .filter(|text| text.contains("silence"))
        .count();
    assert_eq!(old, 0, "it was not sent again");
}

#[test]
fn a_close_code_that_means_so_stops_the_client() {
    let server = Server::start(0, Scheme::Ws, answers).expect("a server");
    let client = ws::connect(quick(&server)).expect("connected");
    server.simulate_disconnect(1008);
    let closed = next(&client, "end", |message| {
        matches!(message, Message::Closed(_))
    });
    assert!(matches!(
        closed,
        Message::Closed(Error::ClosedByServer {
            code: Some(1008),
            ..
        })
    ));
    assert_eq!((client.recv(), server.upgrades()), (None, 1));
    client.reconnect().expect("the loop runs");
    client.wait_connected().expect("the program knows better");
}

#[test]
fn dead_connections_are_found_by_their_heartbeats() {
    type Change = fn(&mut tickwire::testing::ws::Behaviour);
    let table: [(&str, Change); 4] = [
        ("withheld pongs", |server| server.pongs = Pongs::Withheld),
        ("wrong pongs", |server| server.pongs = Pongs::Wrong),
        ("half-open", |server| server.is_half_open = true),
        ("stalled", |server| server.stalls = true),
    ];
    for (what, change) in table {
        let server = Server::start(0, Scheme::Ws, answers).expect("a server");
        let client = ws::connect(Config {
            heartbeat_config: Some(HeartbeatConfig::ping(20)),
            ..quick(&server)
        })
        .expect("connected");
        server.behave(change);
        let lost = next(&client, what, |message| {
            matches!(message, Message::Disconnected { .. })
        });
        let Message::Disconnected { error, .. } = lost else {
            panic!("{what}");
        };
        assert_eq!(error, Error::HeartbeatMissed(2), "{what}");
        server.behave(|behaviour| *behaviour = tickwire::testing::ws::Behaviour::default());
        next(&client, what, is_reconnected);
    }
}

#[test]
fn answered_heartbeats_keep_a_connection() {
    let pong = |text: &str| (text == "PING").then(|| "PONG".to_owned());
    let server = Server::start(0, Scheme::Ws, pong).expect("a server");
    let answer = Answer::Equals("PONG".to_owned());
    let patient = |heartbeat: HeartbeatConfig| HeartbeatConfig {
        missed_limit: 1_000,
        ..heartbeat
    };
    for heartbeat in [
        HeartbeatConfig::ping(5),
        HeartbeatConfig::custom(5, "PING", answer),
    ] {
        let client = ws::connect(Config {
            heartbeat_config: Some(patient(heartbeat)),
            ..quick(&server)
        })
        .expect("connected");
        while client.heartbeat_health().last_heartbeat_at.is_none() {
            assert_eq!(client.recv_timeout(Duration::from_millis(1)), None);
        }
        let health = client.heartbeat_health();
        assert!(health.active && health.rtt.is_some(), "{health:?}");
        assert_eq!(client.state_metrics().connects, 1);
    }
}

#[test]
fn text_that_is_not_utf_8_is_a_protocol_error_and_fragments_are_one_message() {
    let server = Server::start(0, Scheme::Ws, |text| Some(text.to_owned())).expect("a server");
    let client = ws::connect(quick(&server)).expect("connected");
    server.behave(|behaviour| {
        behaviour.fragment_bytes = Some(1);
        behaviour.slow = Some(Duration::from_micros(100));
    });
    assert!(client.send_message("größer als ein Stück").is_ok());
    let text = client.recv_timeout(PATIENCE);
    assert_eq!(text, Some(Message::Text("größer als ein Stück".to_owned())));
    assert!(client.send_binary([0, 255, 7]).is_ok());
    assert_eq!(
        client.recv_timeout(PATIENCE),
        Some(Message::Binary(vec![0, 255, 7]))
    );
    server.inject_bad_utf8();
    let error = client.recv_timeout(PATIENCE);
    assert!(
        matches!(error, Some(Message::ProtocolError(Error::Protocol(_)))),
        "{error:?}"
    );
    assert!(matches!(
        client.recv(),
        Some(Message::Closed(Error::Protocol(_)))
    ));
    assert_eq!(client.recv(), None);
}

#[test]
fn a_message_over_the_limit_is_refused_both_ways() {
    let server = Server::echo().expect("a server");
    let client = ws::connect(Config {
        message_bytes_max: 100,
        ..quick(&server)
    })
    .expect("connected");
    let long = "x".repeat(ws::SEND_BYTES_MAX + 1);
    assert!(matches!(
        client.send_message(long),
        Err(Error::MessageTooLong { .. })
    ));
    server.inject_message(&"x".repeat(101));
    let error = client.recv_timeout(PATIENCE);
    let expected = Error::MessageTooLarge {
        size: 101,
        max: 100,
    };
    assert_eq!(error, Some(Message::ProtocolError(expected)));
}

#[test]
fn a_request_of_the_server_is_handed_on_and_answered() {
    let server = Server::start(0, Scheme::Ws, |_| None).expect("a server");
    let client = ws::connect(quick(&server)).expect("connected");
    server.inject_message(r#"{"jsonrpc":"2.0","id":"q-1","method":"are_you_there"}"#);
    let Some(Message::Request(request)) = client.recv_timeout(PATIENCE) else {
        panic!("no request");
    };
    assert_eq!(request.method, "are_you_there");
    client.respond(&request.id, "true").expect("sent");
    let answer = serde_json::json!({"id": "q-1", "result": true});
    server.assert_message_sent(Expect::Partial(answer), PATIENCE);
}

#[test]
fn a_limiter_denies_with_the_time_to_wait() {
    let server = Server::echo().expect("a server");
    let limiter = Limiter::new(LimitConfig::new(2, 1, 3_600_000).deny());
    let client = ws::connect(Config {
        limiter: Some(limiter),
        ..quick(&server)
    })
    .expect("connected");
    assert!(client.send_message("1").is_ok() && client.send_message("2").is_ok());
    let Err(Error::RateLimited(wait)) = client.send_message("3") else {
        panic!("it has no token left");
    };
    assert!(wait > Duration::from_secs(3_000) && wait <= Duration::from_secs(3_600));
    server.assert_message_sent(Expect::Exact("2"), PATIENCE);
    assert!(!server.received().contains(&"3".to_owned()));
}

#[test]
fn a_handler_gets_the_messages_in_place_of_recv() {
    let server = Server::echo().expect("a server");
    let (told, heard) = std::sync::mpsc::channel();
    let client = ws::connect(Config {
        handler: Some(Arc::new(move |message| {
            let _ = told.send(message);
        })),
        ..quick(&server)
    })
    .expect("connected");
    assert!(client.send_message("ping").is_ok());
    assert_eq!(
        heard.recv_timeout(PATIENCE),
        Ok(Message::Text("pong".to_owned()))
    );
    assert_eq!(client.try_recv(), None);
    drop(client);
    assert_eq!(
        heard.recv_timeout(PATIENCE),
        Ok(Message::Closed(Error::Closed))
    );
    server.assert_connections(0, PATIENCE);
}

#[test]
fn what_was_sent_and_received_is_recorded() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("messages.jsonl");
    let server = Server::start(0, Scheme::Ws, answers).expect("a server");
    let client = ws::connect(Config {
        record_to: Some(path.clone()),
        url: format!("{}?token=secret", server.url()),
        ..quick(&server)
    })
    .expect("connected");
    client
        .request(r#"{"id":1,"method":"a"}"#)
        .expect("an answer");
    server.inject_message("two\nlines");
    client.recv_timeout(PATIENCE).expect("a text");
    drop(client);
    // The writer's thread ends in its own time.
    let mut text = String::new();
    for _ in 0..10_000 {
        text = std::fs::read_to_string(&path).expect("the recording");
        if text.lines().count() >= 4 {
            break;
        }
        std::thread::park_timeout(Duration::from_millis(1));
    }
    assert!(!text.contains("secret"), "{text}");
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let kinds: Vec<&str> = lines
        .iter()
        .filter_map(|line| line["kind"].as_str())
        .collect();
    assert_eq!(kinds, ["connect", "send", "recv", "recv"]);
    assert_eq!(lines[1]["msg"]["id"], 1);
    assert_eq!(lines[3]["msg"], "two\nlines");
}

#[test]
fn configuration_errors_come_before_anything_is_opened() {
    let folder = tempfile::tempdir().expect("a folder");
    let clients = Clients::new();
    let unwritable = Config {
        record_to: Some(folder.path().join("no/such/folder")),
        ..Config::new("wss://a.example")
    };
    let trusting = Config {
        trust_only: Some(Vec::new()),
        ..Config::new("wss://a.example")
    };
    for (config, expected) in [
        (Config::new("https://a.example"), "begin it with wss://"),
        (unwritable, "can't be opened"),
        (trusting, "trust_only is the loop's"),
    ] {
        let error = clients.open(config).expect_err("wrong");
        assert!(
            matches!(error, Error::Config(_)) && error.to_string().contains(expected),
            "{error}"
        );
    }
}

#[test]
fn clients_share_a_loop_and_end_with_it() {
    let server = Server::start(0, Scheme::Ws, answers).expect("a server");
    let clients = Clients::new();
    // Also one that was opened before there was a loop.
    let early = clients.open(quick(&server)).expect("a good configuration");
    let running = clients.run(None).expect("a loop");
    assert!(clients.run(None).is_err(), "one loop each");
    early.wait_connected().expect("connected");
    let all: Vec<Client> = (0..50)
        .map(|_| clients.open(quick(&server)).expect("a good configuration"))
        .collect();
    for client in &all {
        client.wait_connected().expect("connected");
        assert!(
            client.request(r#"{"id":1,"method":"a"}"#).is_ok(),
            "each has ids of its own"
        );
    }
    server.assert_connections(51, PATIENCE);
    drop(early);
    server.assert_connections(50, PATIENCE);
    let ticket = all[0]
        .send_message(r#"{"id":1,"method":"silence"}"#)
        .expect("sent");
    let ticket = ticket.ticket().expect("it has an id");
    running.stop().expect("no panic");
    assert_eq!(ticket.wait(), Err(Error::Disconnected));
    for client in &all {
        assert!(client.wait_end(PATIENCE));
        assert_eq!(client.end(), Some(Error::LoopEnded));
        assert!(matches!(client.send_message("x"), Err(Error::LoopEnded)));
    }
    assert!(matches!(
        clients.open(quick(&server)),
        Err(Error::LoopEnded)
    ));
}

#[test]
fn clients_run_on_an_engines_loop_beside_its_venues() {
    let sim = common::start(common::spot(&["BTCUSDT"]));
    let server = Server::start(0, Scheme::Ws, answers).expect("a server");
    let clients = Clients::new();
    let pair = StrategySetup::pair().named("pair").watch(
        Venue::Binance,
        Market::Spot,
        ["BTC/USDT"],
        [Channel::Bbo],
    );
    let mut engine = common::engine(&sim)
        .clients(&clients)
        .strategy(pair)
        .spawn()
        .expect("an engine");
    let client = clients.connect(quick(&server)).expect("connected");
    let mut reader = common::Reader::take(&mut engine, "pair");
    for id in 0..20 {
        let text = format!(r#"{{"id":{id},"method":"a"}}"#);
        assert!(client.request(text).is_ok());
    }
    common::wait_until("a price of the venue", || reader.read() > 0);
    engine.stop().expect("no panic");
    assert_eq!(client.end(), Some(Error::LoopEnded));
}

#[test]
fn a_supervisor_restarts_who_gave_up_within_measure_and_sends_by_who_is_well() {
    let server = Server::start(0, Scheme::Ws, answers).expect("a server");
    let clients = Clients::new();
    let _running = clients.run(None).expect("a loop");
    let config = SupervisorConfig {
        restarts_max: 3,
        window: Duration::from_secs(600),
    };
    let soon = |name: &str| {
        let config = Config {
            retry_count: 1,
            ..quick(&server)
        };
        (name.to_owned(), config)
    };
    let supervisor = Supervisor::with_clients(&clients, config, [soon("a"), soon("b")]);
    let supervisor = supervisor.expect("a supervisor");
    assert!(
        supervisor.start("a", server.url().as_str()).is_err(),
        "names are unique"
    );
    assert_eq!(supervisor.names(), ["a", "b"]);
    for name in ["a", "b"] {
        let client = supervisor.client(name).expect("started");
        client.wait_connected().expect("connected");
    }
    let mut by = Vec::new();
    for id in 0..4 {
        let text = format!(r#"{{"id":{id},"method":"a"}}"#);
        let (name, receipt) = supervisor.send_balanced(&text, 3).expect("sent");
        receipt
            .ticket()
            .expect("it has an id")
            .wait()
            .expect("an answer");
        by.push(name);
    }
    by.sort();
    assert_eq!(by, ["a", "a", "b", "b"], "equals take turns");
    assert_eq!(supervisor.health("a"), Some(100));

    // Nobody is there for a while: both give up at once, and are restarted three times at most.
    server.behave(|behaviour| behaviour.refusal = Some(Refusal::status(503)));
    server.cut();
    let (a, b) = (supervisor.client("a"), supervisor.client("b"));
    let (a, b) = (a.expect("started"), b.expect("started"));
    while supervisor.restarts("a") < Some(3) || supervisor.restarts("b") < Some(3) {
        std::thread::park_timeout(Duration::from_millis(1));
    }
    for client in [&a, &b] {
        while !matches!(client.end(), Some(Error::GaveUp { .. })) {
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }
    assert_eq!(supervisor.health("a"), Some(0));
    assert!(supervisor.send_balanced("x", 3).is_err());
    server.behave(|behaviour| behaviour.refusal = None);
    assert_eq!(supervisor.restarts("a"), Some(3), "left alone from here on");
    a.reconnect().expect("the loop runs");
    a.wait_connected().expect("connected");
    let (name, _) = supervisor.send_balanced("x", 3).expect("sent");
    assert_eq!(name, "a", "the only one that is well");
    supervisor.stop("a").expect("it is there");
    assert!(a.wait_end(PATIENCE) && supervisor.stop("a").is_err());
    drop(supervisor);
    assert!(b.wait_end(PATIENCE));
}

//! A session without sockets: link changes, texts and time in; frames, messages and answers out.

use std::time::Duration;

use super::*;
use crate::ws::heartbeat::{Answer, DERIBIT_TEST, HeartbeatConfig};
use crate::ws::json::{Envelope, Json};
use crate::ws::limit::{Lane, LimitConfig, Limiter};
use crate::ws::ticket::{Ticket, ticket};

const MS: i64 = 1_000_000;

fn at(ms: i64) -> Nanos {
    Nanos(1_700_000_000_000 * MS + ms * MS)
}

/// A session, its clock and what it has done.
struct World {
    session: Session,
    shared: Arc<Shared>,
    ms: i64,
}

impl World {
    fn new(change: impl FnOnce(&mut Config)) -> World {
        let mut config = Config::new("wss://www.deribit.com/ws");
        config.heartbeat_config = None;
        config.subscribe_interval = 0;
        config.request_timeout = 1_000;
        change(&mut config);
        let (endpoint, path) = config.target().expect("a good configuration");
        let dialect = config.dialect(&endpoint.host);
        let shared = Arc::new(Shared::new(config.queue_max));
        let settings = Arc::new(Settings {
            config,
            endpoint,
            path,
            dialect,
        });
        let mut world = World {
            session: Session::new(settings, Arc::clone(&shared), None, 1),
            shared,
            ms: 0,
        };
        assert_eq!(world.outputs(), [Output::Open]);
        world
    }

    fn up(change: impl FnOnce(&mut Config)) -> World {
        let mut world = World::new(change);
        world.connect();
        world
    }

    fn connect(&mut self) {
        self.session.handle_up(at(self.ms), Nanos(MS));
    }

    fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.session.poll_output()).collect()
    }

    /// The texts that were sent.
    fn sent(&mut self) -> Vec<String> {
        let texts = self
            .outputs()
            .into_iter()
            .filter_map(|output| match output {
                Output::Frame(OpCode::Text, _, payload) => String::from_utf8(payload).ok(),
                _ => None,
            });
        texts.collect()
    }

    fn pings(&mut self) -> Vec<Vec<u8>> {
        let pings = self
            .outputs()
            .into_iter()
            .filter_map(|output| match output {
                Output::Frame(OpCode::Ping, _, payload) => Some(payload),
                _ => None,
            });
        pings.collect()
    }

    fn messages(&mut self) -> Vec<Message> {
        std::iter::from_fn(|| self.shared.pop()).collect()
    }

    fn text(&mut self, text: &str) {
        self.session.handle_text(at(self.ms), text.as_bytes());
    }

    /// Lets time pass, firing each timer when it is due.
    fn pass(&mut self, ms: i64) {
        let end = self.ms + ms;
        while self.session.deadline() <= at(end) {
            let due = self.session.deadline();
            self.ms = self.ms.max((due.0 - at(0).0).div_euclid(MS));
            self.session.handle_timeout(due.max(at(self.ms)));
        }
        self.ms = end;
    }

    fn lose(&mut self, reason: DownReason, was_up: bool, retry: Option<i64>) {
        self.session.handle_loss(
            at(self.ms),
            LinkLoss {
                reason: &reason,
                was_up,
                retry_in_ns: retry.map(|ms| Nanos(ms * MS)),
            },
        );
    }

    fn lost(&mut self) {
        self.lose(DownReason::Lost("reset".to_owned()), true, Some(10));
    }

    /// Sends as the client does.
    fn send(&mut self, text: &str, cost: u32) -> Option<Ticket> {
        let envelope = Envelope::read(text);
        let method = envelope.as_ref().and_then(Envelope::method);
        let key = envelope.and_then(|envelope| envelope.id(&["id"]));
        let (caller, waiter) = ticket();
        let has_id = key.is_some();
        assert!(self.shared.sending());
        let command = Command::Send(Outgoing {
            opcode: OpCode::Text,
            payload: text.as_bytes().to_vec(),
            request: key.map(|key| (key, waiter)),
            lane: Lane::of(method.as_deref().unwrap_or_default()),
            cost,
            is_paid: false,
        });
        self.session.handle_command(at(self.ms), command);
        has_id.then_some(caller)
    }

    fn ask(&mut self, id: u64) -> Ticket {
        let text = format!(r#"{{"id":{id},"method":"public/get_time"}}"#);
        self.send(&text, 1).expect("a ticket")
    }

    fn subscribe(&mut self, channels: &[&str]) -> Ticket<Subscribed> {
        let (caller, waiter) = ticket();
        let channels = channels.iter().map(|name| (*name).to_owned()).collect();
        let command = Command::Subscribe(channels, waiter);
        self.session.handle_command(at(self.ms), command);
        caller
    }

    /// Answers each subscribe as Deribit would; gives their channels.
    fn accept(&mut self) -> Vec<Vec<String>> {
        let mut requests = Vec::new();
        loop {
            let sent = self.sent();
            if sent.is_empty() {
                return requests;
            }
            for text in sent {
                let request = Envelope::read(&text).expect("JSON");
                let channels = request
                    .object("params")
                    .and_then(|params| params.texts("channels"));
                let channels = channels.unwrap_or_default();
                let id = request.raw("id").expect("an id");
                self.text(&format!(r#"{{"id":{id},"result":{channels:?}}}"#));
                requests.push(channels);
            }
        }
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn a_pong_that_is_not_the_pings_own_does_not_keep_the_connection() {
    let mut world = World::up(|config| config.heartbeat_config = Some(HeartbeatConfig::ping(100)));
    for _ in 0..2 {
        world.pass(100);
        assert_eq!(world.pings().len(), 1);
        world.session.handle_pong(at(world.ms), b"not this");
    }
    world.pass(100);
    assert!(matches!(world.outputs()[..], [Output::Reconnect(_)]));
    world.lose(DownReason::Cut("heartbeats have no answer"), true, Some(10));
    let expected = Message::Disconnected {
        error: Error::HeartbeatMissed(2),
        retry_in: Duration::from_millis(10),
    };
    assert_eq!(world.messages(), [expected]);
}

#[test]
fn withheld_pongs_show_in_the_health_and_answered_ones_keep_it_for_ever() {
    let mut world = World::up(|config| config.heartbeat_config = Some(HeartbeatConfig::ping(100)));
    world.pass(100);
    for _ in 0..50 {
        let pings = world.pings();
        assert_eq!(pings.len(), 1, "one ping, no cut");
        world.pass(7);
        world.session.handle_pong(at(world.ms), &pings[0]);
        let health = world.shared.stats.heartbeat(None);
        assert_eq!(
            (health.failures, health.rtt),
            (0, Some(Duration::from_millis(7)))
        );
        world.pass(93);
    }
    world.pass(100);
    let health = world.shared.stats.heartbeat(None);
    assert!(health.active && health.failures == 1 && health.last_heartbeat_at.is_some());
}

#[test]
fn a_mute_stream_is_made_anew_though_pings_are_answered() {
    let mut world = World::up(|config| {
        config.heartbeat_config = Some(HeartbeatConfig::ping(100));
        config.inbound_silence = Some(350);
    });
    for _ in 0..3 {
        world.pass(100);
        let pings = world.pings();
        world.session.handle_pong(at(world.ms), &pings[0]);
    }
    world.text("{}");
    for _ in 0..3 {
        world.pass(100);
        let pings = world.pings();
        world.session.handle_pong(at(world.ms), &pings[0]);
    }
    world.pass(50);
    assert!(
        matches!(world.outputs()[..], [Output::Reconnect(_)]),
        "350 ms after the last message"
    );
    world.lose(DownReason::Cut("mute"), true, Some(10));
    let told = world.messages().pop();
    assert!(
        matches!(
            told,
            Some(Message::Disconnected {
                error: Error::Mute(_),
                ..
            })
        ),
        "{told:?}"
    );
}

#[test]
fn deribit_is_answered_and_asked_in_its_own_way() {
    let mut world =
        World::up(|config| config.heartbeat_config = Some(HeartbeatConfig::deribit(100)));
    world.text(r#"{"jsonrpc":"2.0","method":"heartbeat","params":{"type":"heartbeat"}}"#);
    assert_eq!(world.sent(), [""; 0]);
    world.text(r#"{"jsonrpc":"2.0","method":"heartbeat","params":{"type":"test_request"}}"#);
    assert_eq!(world.sent(), [DERIBIT_TEST]);
    for _ in 0..10 {
        world.pass(100);
        assert_eq!(world.sent(), [DERIBIT_TEST]);
        world.text(r#"{"jsonrpc":"2.0","id":8999999999999999,"result":{"version":"1.2.26"}}"#);
    }
    assert_eq!(world.messages(), [], "nobody's business but ours");
    world.pass(300);
    assert!(
        matches!(world.outputs().last(), Some(Output::Reconnect(_))),
        "no answer any more"
    );
}

#[test]
fn a_custom_heartbeats_answer_is_kept_from_the_program() {
    let answer = Answer::Equals("PONG".to_owned());
    let mut world = World::up(|config| {
        config.heartbeat_config = Some(HeartbeatConfig::custom(100, "PING", answer));
    });
    world.pass(100);
    assert_eq!(world.sent(), ["PING"]);
    world.text("PONG");
    world.text("PONG");
    assert_eq!(
        world.messages(),
        [Message::Text("PONG".to_owned())],
        "the second is nobody's answer"
    );
}

#[test]
fn a_venue_that_wants_no_heartbeat_before_the_first_request_gets_none() {
    let mut world = World::up(|config| {
        config.dialect = Some(Arc::new(crate::ws::Polymarket));
        let answer = Answer::Equals("PONG".to_owned());
        config.heartbeat_config = Some(HeartbeatConfig::custom(100, "PING", answer));
    });
    world.pass(1_000);
    assert_eq!(world.sent(), [""; 0]);
    let _done = world.subscribe(&["1"]);
    assert_eq!(world.sent(), [r#"{"assets_ids":["1"],"type":"market"}"#]);
    world.pass(100);
    assert_eq!(world.sent(), ["PING"]);
}

#[test]
fn who_waits_is_told_of_a_loss_at_once_and_nothing_is_sent_again() {
    let mut world = World::up(|_| {});
    let waiting = [world.ask(1), world.ask(2)];
    assert_eq!(world.sent().len(), 2);
    world.lost();
    for ticket in waiting {
        assert_eq!(ticket.wait(), Err(Error::Disconnected));
    }
    world.connect();
    world.pass(5_000);
    assert_eq!(world.sent(), [""; 0]);
}

#[test]
fn an_id_used_again_after_a_loss_has_a_time_of_its_own() {
    let mut world = World::up(|_| {});
    let old = world.ask(1);
    world.pass(900);
    world.lost();
    assert_eq!(old.wait(), Err(Error::Disconnected));
    world.connect();
    let mut new = world.ask(1);
    world.pass(999);
    assert_eq!(new.try_take(), None, "the old one's time has passed");
    world.text(r#"{"id":1,"result":5}"#);
    assert_eq!(
        new.try_take().map(|done| done.map(Json::into_text)),
        Some(Ok(r#"{"id":1,"result":5}"#.into()))
    );
}

#[test]
fn late_and_unknown_answers_are_told_and_events_with_an_id_are_events() {
    let mut world = World::up(|_| {});
    let late = world.ask(1);
    world.pass(1_000);
    assert_eq!(
        late.wait(),
        Err(Error::Timeout(Duration::from_millis(1_000)))
    );
    world.messages();
    type Check = fn(&Message) -> bool;
    let table: [(&str, Check); 7] = [
        (r#"{"id":1,"result":null}"#, |message| {
            matches!(message, Message::Unmatched(_))
        }),
        (r#"{"id":9,"error":{"code":1}}"#, |message| {
            matches!(message, Message::Unmatched(_))
        }),
        (r#"{"id":"0xab","event_type":"trade"}"#, |message| {
            matches!(message, Message::Json(_))
        }),
        (r#"{"method":"subscription","params":{}}"#, |message| {
            matches!(message, Message::Json(_))
        }),
        (
            r#"{"id":7,"method":"ask","params":{}}"#,
            |message| matches!(message, Message::Request(request) if request.id == "7" && request.method == "ask"),
        ),
        ("[1,2]", |message| matches!(message, Message::Json(_))),
        ("hello", |message| matches!(message, Message::Text(_))),
    ];
    for (text, check) in table {
        world.text(text);
        let messages = world.messages();
        assert!(
            messages.len() == 1 && check(&messages[0]),
            "{text}: {messages:?}"
        );
    }
}

#[test]
fn a_request_of_the_server_does_not_answer_ours_of_the_same_id() {
    let mut world = World::up(|_| {});
    let mut ours = world.ask(1);
    world.text(r#"{"id":1,"method":"ask"}"#);
    assert_eq!(ours.try_take(), None);
    world.text(r#"{"id":1,"result":true}"#);
    assert!(ours.try_take().is_some());
}

#[test]
fn a_second_request_of_an_id_is_refused_and_not_sent() {
    let mut world = World::up(|_| {});
    let mut first = world.ask(1);
    let second = world.ask(1);
    assert_eq!(
        second.wait(),
        Err(Error::DuplicateRequestId("1".to_owned()))
    );
    assert_eq!((world.sent().len(), first.try_take()), (1, None));
    // Ours begin far above, and are not the program's to use.
    let ours = world.ask(FIRST_ID + 3);
    assert!(matches!(ours.wait(), Err(Error::DuplicateRequestId(_))));
}

#[test]
fn after_a_loss_the_login_comes_first_then_batches_then_the_word_that_all_is_back() {
    let mut world = World::new(|config| {
        config.login = Some(Arc::new(|now_ms| {
            format!(r#"{{"id":77,"method":"public/auth","params":{{"timestamp":{now_ms}}}}}"#)
        }));
    });
    world.connect();
    let login = world.sent();
    assert_eq!(
        login,
        [r#"{"id":77,"method":"public/auth","params":{"timestamp":1700000000000}}"#]
    );
    assert_eq!(
        world.shared.state(),
        State::Connecting,
        "not before the login"
    );
    world.text(r#"{"id":77,"result":{"access_token":"x"}}"#);
    assert_eq!(world.shared.state(), State::Connected);
    let many: Vec<String> = (0..300).map(|index| format!("c{index}")).collect();
    let many: Vec<&str> = many.iter().map(|name| &**name).collect();
    let _done = world.subscribe(&many);
    assert_eq!(
        world.accept().iter().map(Vec::len).collect::<Vec<_>>(),
        [250, 50]
    );
    world.messages();

    world.lost();
    world.connect();
    assert_eq!(
        world.sent().len(),
        1,
        "the login, and nothing before its answer"
    );
    world.text(r#"{"id":77,"result":{}}"#);
    let first = world.sent();
    assert_eq!(first.len(), 1, "one batch at a time");
    assert!(first[0].contains("\"c0\"") && !first[0].contains("\"c250\""));
    let id = Envelope::read(&first[0]).and_then(|text| text.number("id"));
    world.text(&format!(
        r#"{{"id":{},"result":{:?}}}"#,
        id.unwrap_or(0),
        &many[..250]
    ));
    assert_eq!(world.accept().concat(), &many[250..]);
    let messages = world.messages();
    let [
        Message::Disconnected { .. },
        Message::Reconnected { connection: 2 },
        Message::Restored(all),
    ] = &messages[..]
    else {
        panic!("{messages:?}");
    };
    assert_eq!((all.accepted.len(), all.refused.len()), (300, 0));
}

#[test]
fn a_refused_or_a_released_channel_is_not_restored() {
    let mut world = World::up(|_| {});
    let asked = world.subscribe(&["a", "b", "c"]);
    let sent = world.sent().concat();
    let id = Envelope::read(&sent)
        .and_then(|text| text.number("id"))
        .expect("an id");
    world.text(&format!(r#"{{"id":{id},"result":["a","c"]}}"#));
    let result = asked.wait().expect("an outcome");
    assert_eq!(result.accepted, names(&["a", "c"]));
    assert_eq!(result.refused[0].0, "b");
    let (gone, waiter) = ticket();
    world
        .session
        .handle_command(at(0), Command::Unsubscribe(names(&["a"]), waiter));
    world.accept();
    assert!(gone.wait().is_ok());
    world.lost();
    world.connect();
    assert_eq!(world.accept(), [names(&["c"])]);
}

#[test]
fn nothing_is_restored_where_that_is_switched_off() {
    let mut world = World::up(|config| config.restore_subscriptions = false);
    let _done = world.subscribe(&["a"]);
    world.accept();
    world.lost();
    world.connect();
    assert_eq!(world.accept(), Vec::<Vec<String>>::new());
}

#[test]
fn cancels_go_before_orders_and_orders_before_questions() {
    let limiter = Limiter::new(LimitConfig::new(1, 1, 100));
    let mut world = World::up(|config| config.limiter = Some(limiter));
    for method in [
        "get_a",
        "private/buy",
        "get_b",
        "private/cancel",
        "private/sell",
        "private/cancel_all",
    ] {
        world.send(&format!(r#"{{"method":"{method}"}}"#), 1);
    }
    let methods = |texts: Vec<String>| -> Vec<String> {
        let method = |text: &String| Envelope::read(text).and_then(|one| one.method());
        texts.iter().filter_map(method).collect()
    };
    assert_eq!(methods(world.sent()), ["get_a"], "the first found a token");
    let mut order = Vec::new();
    for _ in 0..5 {
        world.pass(100);
        let sent = methods(world.sent());
        assert_eq!(sent.len(), 1, "one token, one message");
        order.extend(sent);
    }
    assert_eq!(
        order,
        [
            "private/cancel",
            "private/cancel_all",
            "private/buy",
            "private/sell",
            "get_b"
        ]
    );
}

#[test]
fn what_timed_out_while_it_waited_for_the_limiter_is_not_sent() {
    let limiter = Limiter::new(LimitConfig::new(1, 1, 5_000));
    let mut world = World::up(|config| config.limiter = Some(limiter));
    let _first = world.ask(1);
    let second = world.ask(2);
    world.pass(1_000);
    assert!(matches!(second.wait(), Err(Error::Timeout(_))));
    world.pass(20_000);
    assert_eq!(world.sent().len(), 1);
}

#[test]
fn what_waited_for_the_limiter_when_the_connection_was_lost_is_told_and_not_sent() {
    let limiter = Limiter::new(LimitConfig::new(1, 1, 5_000));
    let mut world = World::up(|config| config.limiter = Some(limiter));
    let _first = world.ask(1);
    let second = world.ask(2);
    world.lost();
    assert_eq!(second.wait(), Err(Error::Disconnected));
    world.connect();
    world.sent();
    world.pass(20_000);
    assert_eq!(world.sent(), [""; 0]);
    assert_eq!(world.shared.stats.snapshot().unsent, 1);
}

#[test]
fn retry_after_and_a_venues_error_hold_the_limiter() {
    let limiter = Limiter::new(LimitConfig::new(100, 100, 1_000));
    let mut world = World::new(|config| config.limiter = Some(limiter.clone()));
    let refused = DownReason::Refused {
        status: 429,
        retry_after_s: Some(3),
        headers: vec![("Retry-After".to_owned(), "3".to_owned())],
        body: String::new(),
    };
    world.lose(refused, false, Some(3_000));
    assert_eq!(limiter.wait(at(0), 1), Nanos(3_000 * MS));
    assert_eq!(
        world.shared.state(),
        State::Connecting,
        "it heals by itself"
    );
    world.ms = 3_000;
    world.connect();
    assert_eq!(limiter.wait(at(3_000), 1), Nanos::ZERO);
    world.text(r#"{"id":1,"error":{"code":10028,"message":"too_many_requests"}}"#);
    assert_eq!(limiter.wait(at(3_000), 1), Nanos(10 * MS), "a token's time");
}

#[test]
fn each_end_of_a_connection_has_its_class() {
    use Class::{Fatal, Recoverable};
    let refused = |status| DownReason::Refused {
        status,
        retry_after_s: None,
        headers: Vec::new(),
        body: String::new(),
    };
    let closed = |code: u16| DownReason::ClosedByVenue {
        code: Some(code),
        text: String::new(),
    };
    let connect = |text: &str| DownReason::Connect(text.to_owned());
    let protocol = DownReason::Protocol("reserved bits 0b100 set without an extension".to_owned());
    #[rustfmt::skip]
    let table = [
        (DownReason::TimedOut("connecting"), Recoverable, "timed out while connecting"),
        (connect("127.0.0.1:1: Connection refused (os error 111)"), Recoverable, "connection refused"),
        (connect("name \"x.invalid\" not found: no such name"), Recoverable, "name \"x.invalid\" not found"),
        (connect("10.0.0.1:1: No route to host (os error 113)"), Recoverable, "unreachable"),
        (connect("10.0.0.1:1: Network is unreachable (os error 101)"), Recoverable, "unreachable"),
        (connect("out of luck"), Recoverable, "could not connect"),
        (DownReason::Tls("received fatal alert: HandshakeFailure".to_owned()), Recoverable, "TLS"),
        (DownReason::Lost("reset".to_owned()), Recoverable, "connection lost"),
        (closed(1000), Recoverable, "closed by the server with code Some(1000)"),
        (closed(1001), Recoverable, "closed by the server"),
        (closed(1011), Recoverable, "closed by the server"),
        (closed(1012), Recoverable, "closed by the server"),
        (closed(1013), Recoverable, "closed by the server"),
        (closed(4000), Recoverable, "closed by the server"),
        (DownReason::ClosedByVenue { code: None, text: String::new() }, Recoverable, "closed by the server"),
        (refused(429), Recoverable, "HTTP 429"),
        (refused(418), Recoverable, "HTTP 418"),
        (refused(500), Recoverable, "HTTP 500"),
        (refused(503), Recoverable, "HTTP 503"),
        (refused(301), Fatal, "HTTP 301"),
        (refused(400), Fatal, "HTTP 400"),
        (refused(401), Fatal, "HTTP 401"),
        (refused(403), Fatal, "HTTP 403"),
        (refused(404), Fatal, "HTTP 404"),
        (protocol, Fatal, "protocol error"),
        (DownReason::TooLarge { size: 9, max: 8 }, Fatal, "over message_bytes_max"),
        (closed(1002), Fatal, "closed by the server"),
        (closed(1003), Fatal, "closed by the server"),
        (closed(1007), Fatal, "closed by the server"),
        (closed(1008), Fatal, "closed by the server"),
        (closed(1009), Fatal, "closed by the server"),
        (closed(3000), Fatal, "closed by the server"),
        (closed(3003), Fatal, "closed by the server"),
    ];
    for (reason, class, text) in table {
        let was_up = matches!(
            reason,
            DownReason::ClosedByVenue { .. } | DownReason::Lost(_)
        );
        let mut world = World::new(|_| {});
        if was_up {
            world.connect();
        }
        let error = world.session.error_of(&reason);
        assert_eq!(error.class(), class, "{reason:?}");
        let explained = crate::ws::explain(&error);
        assert!(
            explained.message.contains(text),
            "{} for {text}",
            explained.message
        );
        assert!(explained.suggestion.ends_with('.'));
        world.lose(reason.clone(), was_up, Some(10));
        match class {
            Recoverable => {
                assert_eq!(world.shared.state(), State::Connecting, "{reason:?}");
                assert_eq!(world.outputs(), [], "{reason:?}: the engine tries again");
            }
            Fatal => {
                assert_eq!(world.outputs(), [Output::Close], "{reason:?}");
                assert_eq!(world.shared.end(), Some(error.clone()));
                assert_eq!(world.messages().pop(), Some(Message::Closed(error)));
            }
        }
    }
}

#[test]
fn a_close_code_means_what_the_venue_or_the_program_says() {
    let closed = DownReason::ClosedByVenue {
        code: Some(1008),
        text: String::new(),
    };
    let mut at_binance = World::up(|config| config.dialect = Some(Arc::new(crate::ws::Binance)));
    at_binance.lose(closed.clone(), true, Some(10));
    assert_eq!(at_binance.shared.state(), State::Connecting);
    let mut mine = World::up(|config| config.fatal_close_codes = vec![4_321]);
    mine.lose(closed, true, Some(10));
    assert_eq!(mine.shared.state(), State::Connecting);
    mine.connect();
    let own = DownReason::ClosedByVenue {
        code: Some(4_321),
        text: String::new(),
    };
    mine.lose(own, true, Some(10));
    assert_eq!(mine.shared.state(), State::Disconnected);
}

#[test]
fn a_refused_login_stops_the_client() {
    let table = [
        (
            r#"{"id":1,"error":{"code":13004,"message":"invalid_credentials"}}"#,
            false,
        ),
        (
            r#"{"id":1,"error":{"code":13009,"message":"unauthorized: token expired"}}"#,
            true,
        ),
    ];
    for (answer, has_expired) in table {
        let mut world = World::up(|config| {
            config.login = Some(Arc::new(|_| {
                r#"{"id":1,"method":"public/auth"}"#.to_owned()
            }));
        });
        world.text(answer);
        let error = world.shared.end().expect("an end");
        assert_eq!(
            matches!(error, Error::TokenExpired(_)),
            has_expired,
            "{error}"
        );
        assert_eq!(
            matches!(error, Error::InvalidCredentials(_)),
            !has_expired,
            "{error}"
        );
        assert!(!error.is_recoverable());
    }
}

#[test]
fn a_login_without_an_answer_is_tried_on_a_new_connection() {
    let mut world = World::up(|config| {
        config.login = Some(Arc::new(|_| {
            r#"{"id":1,"method":"public/auth"}"#.to_owned()
        }));
    });
    world.outputs();
    world.pass(1_000);
    assert!(matches!(world.outputs()[..], [Output::Reconnect(_)]));
}

#[test]
fn after_its_failures_it_stops_and_reconnect_brings_it_back() {
    let mut world = World::new(|_| {});
    let refused = || DownReason::Connect("Connection refused".to_owned());
    world.lose(refused(), false, Some(10));
    world.lose(refused(), false, Some(10));
    world.lose(refused(), false, None);
    let end = world.shared.end().expect("an end");
    assert!(matches!(&end, Error::GaveUp { attempts: 3, .. }), "{end}");
    assert_eq!(world.messages(), [Message::Closed(end)]);
    assert_eq!(world.outputs(), [], "there is no link to close");
    world.session.handle_command(at(0), Command::Reconnect);
    assert_eq!(world.outputs(), [Output::Open]);
    assert_eq!(world.shared.state(), State::Connecting);
    world.connect();
    assert_eq!(world.shared.state(), State::Connected);
}

#[test]
fn reconnect_fails_who_waits_and_opens_anew_when_the_old_link_is_gone() {
    let mut world = World::up(|_| {});
    let waiting = world.ask(1);
    world.outputs();
    world.session.handle_command(at(0), Command::Reconnect);
    assert_eq!(world.outputs(), [Output::Close]);
    world.lose(DownReason::Closed, true, None);
    assert_eq!(waiting.wait(), Err(Error::Disconnected));
    assert_eq!(world.outputs(), [Output::Open]);
    world.connect();
    assert_eq!(world.messages(), [Message::Reconnected { connection: 2 }]);
}

#[test]
fn close_is_told_once_and_is_for_good() {
    let mut world = World::up(|_| {});
    let waiting = world.ask(1);
    world.outputs();
    for _ in 0..3 {
        world.session.handle_command(at(0), Command::Close);
    }
    assert_eq!(waiting.wait(), Err(Error::Disconnected));
    assert_eq!(world.outputs(), [Output::Close]);
    assert!(!world.session.is_over());
    world.lose(DownReason::Closed, true, None);
    world.session.handle_command(at(0), Command::Reconnect);
    assert_eq!((world.outputs(), world.session.is_over()), (vec![], true));
    assert_eq!(world.messages(), [Message::Closed(Error::Closed)]);
    assert_eq!(world.shared.end(), Some(Error::Closed));
}

#[test]
fn no_connection_is_made_anew_where_that_is_switched_off() {
    let mut world = World::up(|config| config.reconnect_on_error = false);
    world.lost();
    assert_eq!(world.outputs(), [Output::Close]);
    assert_eq!(world.shared.end(), Some(Error::Lost("reset".to_owned())));
}

#[test]
fn the_end_of_the_loop_reaches_everyone() {
    let mut world = World::up(|_| {});
    let waiting = world.ask(1);
    world.session.handle_stop();
    assert_eq!(waiting.wait(), Err(Error::Disconnected));
    assert_eq!(world.shared.end(), Some(Error::LoopEnded));
    assert_eq!(
        world.messages().pop(),
        Some(Message::Closed(Error::LoopEnded))
    );
}

#[test]
fn whatever_comes_nothing_panics_and_every_ticket_resolves() {
    const TEXTS: [&str; 8] = [
        r#"{"id":1,"result":["a","b"]}"#,
        r#"{"id":9000000000000000,"result":["a"]}"#,
        r#"{"id":9000000000000001,"error":{"code":10028,"message":"too_many_requests"}}"#,
        r#"{"method":"heartbeat","params":{"type":"test_request"}}"#,
        r#"{"id":8999999999999999,"result":{}}"#,
        r#"{"id":7,"method":"ask","params":[1]}"#,
        "[{},[]]",
        "PONG",
    ];
    for seed in 0..200 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut world = World::new(|config| {
            config.heartbeat_config = Some(HeartbeatConfig::deribit(500));
            config.limiter = Some(Limiter::new(LimitConfig::new(20, 20, 1_000)));
            config.inbound_silence = Some(2_000);
        });
        let (mut answers, mut channels) = (Vec::new(), Vec::new());
        for _ in 0..300 {
            match rng.u8(..12) {
                0 => world.lose(
                    DownReason::Lost("reset".to_owned()),
                    world.session.is_connected(),
                    Some(5),
                ),
                1 | 2 if !world.session.is_connected() && world.session.has_link => world.connect(),
                3 => answers.push(world.ask(rng.u64(1..20))),
                4 => channels.push(world.subscribe(&["a", "b", "c"])),
                5 => world.pass(rng.i64(0..700)),
                6 => world.session.handle_pong(at(world.ms), &[rng.u8(..)]),
                7 => world.session.handle_binary(at(world.ms), &[rng.u8(..)]),
                8 if rng.u8(..8) == 0 => world
                    .session
                    .handle_command(at(world.ms), Command::Reconnect),
                _ => {
                    let mut text = TEXTS[rng.usize(..TEXTS.len())].as_bytes().to_vec();
                    for _ in 0..rng.usize(..3) {
                        let index = rng.usize(..text.len());
                        text[index] = rng.u8(..);
                    }
                    world.session.handle_text(at(world.ms), &text);
                }
            }
            if world.outputs().contains(&Output::Close) {
                world.lose(DownReason::Closed, world.session.is_connected(), None);
            }
        }
        world.session.handle_command(at(world.ms), Command::Close);
        for mut ticket in answers {
            assert!(
                ticket.try_take().is_some(),
                "seed {seed}: a request without an outcome"
            );
        }
        for mut ticket in channels {
            assert!(
                ticket.try_take().is_some(),
                "seed {seed}: channels without an outcome"
            );
        }
        assert!(world.shared.end().is_some(), "seed {seed}");
    }
}

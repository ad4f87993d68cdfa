mod liveness;

use std::collections::VecDeque;
use std::sync::Mutex;

use rustls::ClientConfig;
use tickwire_connectors::connector::{BookView, SymbolRule};
use tickwire_connectors::transmit::{
    AttemptLimit, Endpoint, HttpFailure, HttpRequest, Lane, LinkSpec, Method, ReadOn, Response,
    SendLimit,
};
use tickwire_connectors::{Channel, Command, LinkId, RequestId, StreamId};

use super::*;
use crate::net::memory::MemoryNet;
use crate::notice::{Hold, LinkNoticeKind};
use crate::telemetry::latency_channel;
use crate::wire::tls::{Records, Roots, client_config};

/// What the connector was told, and what it is to ask for.
#[derive(Debug, Default)]
struct Script {
    wants: VecDeque<Transmit>,
    told: Vec<String>,
    /// Asks again as soon as a request fails.
    insists: bool,
}

struct Scripted(Arc<Mutex<Script>>);

impl Scripted {
    fn script(&self) -> std::sync::MutexGuard<'_, Script> {
        self.0.lock().expect("the script")
    }
}

impl Connector for Scripted {
    fn venue(&self) -> Venue {
        Venue::Binance
    }
    fn market(&self) -> Market {
        Market::Spot
    }
    fn handle_command(&mut self, _: Nanos, _: Command, _: &mut Outbox) {}
    fn handle_link(&mut self, _: Nanos, link: LinkId, change: LinkChange, _: &mut Outbox) {
        self.script().told.push(match change {
            LinkChange::Up { epoch } => format!("{} up {epoch}", link.0),
            LinkChange::Down { reason } => format!("{} down: {reason}", link.0),
        });
    }
    fn handle_refusal(
        &mut self,
        _: Nanos,
        link: LinkId,
        status: u16,
        retry_after_ns: Option<Nanos>,
        _: &mut Outbox,
    ) {
        let wait = retry_after_ns.map(|wait| wait.as_millis());
        let told = format!("{} refused {status} {wait:?}", link.0);
        self.script().told.push(told);
    }
    fn handle_message(&mut self, _: Nanos, link: LinkId, payload: &mut [u8], _: &mut Outbox) {
        let text = String::from_utf8_lossy(payload).into_owned();
        let mut script = self.script();
        if text == "close 1" {
            script.wants.push_back(Transmit::Close { link: LinkId(1) });
        }
        script.told.push(format!("{} {text}", link.0));
    }
    fn handle_response(
        &mut self,
        _: Nanos,
        id: RequestId,
        response: Result<Response<'_>, HttpFailure>,
        _: &mut Outbox,
    ) {
        let mut script = self.script();
        script
            .told
            .push(format!("request {}: {}", id.0, response.is_ok()));
        if script.insists {
            script.wants.push_back(request(id.0 + 1));
        }
    }
    fn handle_timeout(&mut self, _: Nanos, _: &mut Outbox) {}
    fn poll_timeout(&self) -> Option<Nanos> {
        None
    }
    fn poll_transmit(&mut self, _: Nanos, _: &mut Vec<u8>) -> Option<Transmit> {
        self.script().wants.pop_front()
    }
    fn has_transmit(&self) -> bool {
        !self.script().wants.is_empty()
    }
    fn book(&self, _: StreamId) -> Option<BookView<'_>> {
        None
    }
    fn symbol_rule(&self) -> SymbolRule {
        |_, symbol| *symbol
    }
    fn counters(&self) -> Counters {
        Counters::default()
    }
}

fn endpoint() -> Endpoint {
    Endpoint {
        host: "127.0.0.1".to_owned(),
        port: 80,
        tls: false,
    }
}

fn open(link: u16) -> Transmit {
    let spec = LinkSpec {
        message_bytes_max: usize::MAX,
        ..LinkSpec::new(endpoint(), "/")
    };
    Transmit::Open {
        link: LinkId(link),
        spec: Box::new(spec),
    }
}

fn request(id: u32) -> Transmit {
    Transmit::Http(Box::new(HttpRequest {
        id: RequestId(id),
        endpoint: endpoint(),
        method: Method::Get,
        // No request line can carry it: it fails as soon as a connection is there.
        target: "/ \r\n".to_owned(),
        headers: Vec::new(),
        timeout_ns: Nanos::from_secs(1),
        body_bytes_max: 10,
        read_on: ReadOn::Loop,
    }))
}

struct World {
    engine: Loop<Scripted, MemoryNet>,
    script: Arc<Mutex<Script>>,
    now: Nanos,
}

impl World {
    fn new(poll: PollMode) -> World {
        let script = Arc::new(Mutex::new(Script::default()));
        let tls: Arc<ClientConfig> =
            client_config(Roots::Web, Records::Rustls).expect("a TLS configuration");
        let registry = Arc::new(Registry::default());
        registry.add_venue(Venue::Binance, Market::Spot, |_, symbol| *symbol);
        let engine = Loop::new(EngineParts {
            net: MemoryNet::default(),
            connectors: vec![Scripted(Arc::clone(&script))],
            router: Router::default(),
            control: Arc::new(ControlQueue::new(None)),
            registry,
            notices: Notices::new(),
            counters: Arc::new(LoopCounters::default()),
            turn_times: latency_channel().0,
            helper: crate::helper::Helper::threaded(None),
            tls: vec![tls],
            backoff: BackoffConfig {
                first_ns: Nanos::ZERO,
                max_ns: Nanos::ZERO,
                ..BackoffConfig::default()
            },
            poll,
            seed: 1,
        });
        let mut world = World {
            engine,
            script,
            now: Nanos::from_secs(1),
        };
        world.engine.start(world.now, Vec::new());
        world
    }

    fn script(&self) -> std::sync::MutexGuard<'_, Script> {
        self.script.lock().expect("the script")
    }

    /// Has the connector ask for this, and turns once.
    fn want(&mut self, wants: impl IntoIterator<Item = Transmit>) {
        self.script().wants.extend(wants);
        self.engine.after_call(0, None);
        self.turn();
    }

    fn turn(&mut self) {
        self.turn_after(Nanos::from_millis(20));
    }

    fn turn_after(&mut self, passed: Nanos) {
        self.now += passed;
        self.engine.poll_net();
        self.engine.turn(self.now);
    }

    /// Lets the newest connection come up.
    fn up(&mut self) -> Token {
        let token = self.engine.net.net.newest();
        self.engine.net.net.ready.push(Ready::Connected(token));
        self.turn();
        let sent =
            String::from_utf8_lossy(&self.engine.net.net.open[&token].from_engine).into_owned();
        let key = sent
            .lines()
            .find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "))
            .expect("a key");
        let accept = tungstenite::handshake::derive_accept_key(key.as_bytes());
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        self.engine.net.net.deliver(token, answer.as_bytes());
        self.turn();
        token
    }

    /// Lets the newest connection stand and answers its upgrade with `answer`.
    fn refuse(&mut self, answer: &str) {
        let token = self.engine.net.net.newest();
        self.engine.net.net.ready.push(Ready::Connected(token));
        self.turn();
        self.engine.net.net.deliver(token, answer.as_bytes());
        self.turn();
    }

    fn notices(&self) -> Vec<LinkNoticeKind> {
        std::iter::from_fn(|| self.engine.notices.pop())
            .map(|notice| notice.kind)
            .collect()
    }

    fn told(&self) -> Vec<String> {
        std::mem::take(&mut self.script().told)
    }
}

fn limited(link: u16, attempts: u16) -> Transmit {
    let limit = AttemptLimit {
        attempts,
        window_ns: Nanos::from_secs(60),
    };
    let spec = LinkSpec {
        attempt_limit: Some(limit),
        ..LinkSpec::new(endpoint(), "/")
    };
    Transmit::Open {
        link: LinkId(link),
        spec: Box::new(spec),
    }
}

fn text(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81, text.len() as u8];
    frame.extend_from_slice(text.as_bytes());
    frame
}

#[test]
fn a_link_that_is_closed_before_it_stands_is_told_and_freed() {
    let mut world = World::new(PollMode::Mio);
    world.want([open(0)]);
    world.want([Transmit::Close { link: LinkId(0) }]);
    assert_eq!(world.told(), ["0 down: closed by us"]);
    assert!(world.engine.net.net.open.is_empty());
    assert!(world.engine.slots[0].links[0].is_none());
    for _ in 0..100 {
        world.want([open(0)]);
        world.want([Transmit::Close { link: LinkId(0) }]);
    }
    assert_eq!(
        world.engine.registry.links().len(),
        0,
        "the list does not grow for ever"
    );
}

#[test]
fn a_link_that_is_lost_before_it_could_be_closed_stays_closed() {
    let mut world = World::new(PollMode::Mio);
    world.want([open(0)]);
    let first = world.up();
    world.want([open(1)]);
    let second = world.up();
    assert_eq!(world.told(), ["0 up 1", "1 up 1"]);
    world.engine.net.net.deliver(first, &text("close 1"));
    world.engine.net.net.ready.push(Ready::Readable(second));
    // Its recv fails in the same turn: the socket is gone.
    world.engine.net.net.open.remove(&second);
    for _ in 0..10 {
        world.turn();
    }
    assert_eq!(world.told(), ["0 close 1", "1 down: closed by us"]);
    assert_eq!(world.engine.net.net.opened(), 2);
}

#[test]
fn a_number_used_again_at_once_leaves_no_connection_behind_and_goes_on_counting() {
    let mut world = World::new(PollMode::Mio);
    world.want([open(0)]);
    let old = world.up();
    world.want([Transmit::Close { link: LinkId(0) }, open(0)]);
    assert!(!world.engine.net.net.open.contains_key(&old));
    world.engine.net.net.ready.push(Ready::Connected(old));
    world.up();
    assert_eq!(world.told(), ["0 up 1", "0 up 2"]);
    assert_eq!(world.engine.net.net.open.len(), 1);
}

#[test]
fn counters_of_a_link_go_on_over_its_connections() {
    let mut world = World::new(PollMode::Mio);
    world.want([open(0)]);
    let first = world.up();
    world.engine.net.net.deliver(first, &text("a"));
    world.turn();
    let before = world.engine.registry.links()[0].bytes_in();
    assert!(before > 0);
    world.engine.net.net.deliver(first, b"");
    world.turn();
    world.turn();
    world.up();
    world.turn();
    let link = Arc::clone(&world.engine.registry.links()[0]);
    assert!(link.bytes_in() > before, "{link:?}");
    assert_eq!((link.epoch(), link.messages(), link.attempts()), (2, 1, 2));
}

#[test]
fn a_connector_that_asks_again_at_once_does_not_hold_up_the_loop() {
    let mut world = World::new(PollMode::PARK);
    world.script().insists = true;
    world.want([request(0)]);
    let token = world.engine.net.net.newest();
    world.engine.net.net.ready.push(Ready::Connected(token));
    world.turn();
    world.engine.net.net.timeouts.clear();
    let before = world.told().len();
    for _ in 0..100 {
        world.turn();
    }
    let told = world.told();
    assert!(
        before <= 1 && told.len() == 100,
        "one a turn: {} {}",
        before,
        told.len()
    );
    assert_eq!(
        world.engine.net.net.timeouts,
        [Some(Duration::ZERO); 100],
        "and no sleep between"
    );
}

#[test]
fn the_loop_does_not_park_while_commands_wait() {
    let mut world = World::new(PollMode::PARK);
    let info = world
        .engine
        .registry
        .stream(Venue::Binance, Market::Spot, "BTC/USDT", Channel::Bbo)
        .expect("a stream");
    for _ in 0..1_000 {
        let resync = Control::Resync { stream: info.id };
        world.engine.control.push(resync).expect("room");
    }
    world.engine.net.net.timeouts.clear();
    while world.engine.counters.commands.value() < 1_000 {
        world.turn();
    }
    assert!(
        world
            .engine
            .net
            .net
            .timeouts
            .iter()
            .all(|timeout| *timeout == Some(Duration::ZERO))
    );
    world.turn();
    world.turn();
    assert_ne!(
        world.engine.net.net.timeouts.last(),
        Some(&Some(Duration::ZERO))
    );
}

#[test]
fn links_that_fail_for_ever_stay_within_the_budget_and_the_rest_waits() {
    let mut world = World::new(PollMode::Mio);
    world.want((0..10).map(|link| limited(link, 100)));
    let mut made = Vec::new();
    for _ in 0..20_000 {
        // Every connection fails at once, and backoff is nothing here: only the budget holds.
        let before = world.engine.net.net.opened();
        let open: Vec<Token> = world.engine.net.net.open.keys().copied().collect();
        for token in open {
            let failed = Ready::Failed(token, "refused".to_owned());
            world.engine.net.net.ready.push(failed);
        }
        world.turn();
        let opened = world.engine.net.net.opened() - before;
        made.extend(std::iter::repeat_n(world.now, opened as usize));
    }
    // A fifth is kept for links that have not failed again and again.
    let most = made.iter().enumerate().map(|(first, from)| {
        let later = made[first..].iter();
        later
            .take_while(|at| **at - *from < Nanos::from_secs(60))
            .count()
    });
    assert!(
        most.max() <= Some(80),
        "and the first ten, which were fresh"
    );
    assert!(made.len() > 400, "the budget is used: {}", made.len());
    let counters = &world.engine.counters;
    assert_eq!(
        counters.attempts.value(),
        u64::from(world.engine.net.net.opened())
    );
    assert!(counters.attempts_held.value() > 0);
    let host = Arc::clone(&world.engine.registry.hosts()[0]);
    assert!(host.in_window_max() <= 80 && host.limit().is_some_and(|limit| limit.attempts == 100));

    // A link that has not failed comes up in the middle of it.
    world.want([limited(10, 100)]);
    world.up();
    assert_eq!(world.told(), ["10 up 1"]);
    let held = |kind: &LinkNoticeKind| {
        matches!(
            kind,
            LinkNoticeKind::Held {
                why: Hold::AttemptBudget,
                retry_in_ns: Nanos(1..=60_000_000_000),
            }
        )
    };
    assert!(world.notices().iter().any(held), "the program is told");
}

#[test]
fn a_request_waits_for_the_budget_of_its_host_and_says_so_when_it_fails() {
    let mut world = World::new(PollMode::Mio);
    world.want([limited(0, 1)]);
    world.up();
    world.want([request(7)]);
    assert_eq!(world.engine.net.net.opened(), 1);
    assert_eq!(world.engine.counters.attempts_held.value(), 1);
    world.turn_after(Nanos::from_secs(2));
    assert_eq!(world.told(), ["0 up 1", "request 7: false"]);
    // With the window over, the next goes out.
    world.turn_after(Nanos::from_secs(60));
    world.want([request(8)]);
    assert_eq!(world.engine.net.net.opened(), 2);
}

#[test]
fn a_host_that_refuses_and_asks_for_time_is_left_alone_by_every_link() {
    let now = Nanos::from_secs(1);
    let table = [
        ("429 Too Many\r\nRetry-After: 30", 30),
        ("418 Teapot\r\nRetry-After: 120", 120),
        (
            "503 Busy\r\nDate: Tue, 21 Jul 2026 12:00:00 GMT\r\n\
             Retry-After: Tue, 21 Jul 2026 12:00:45 GMT",
            45,
        ),
        // No `Date`: by our own clock, which shows 1 s and a little after the epoch.
        ("503 Busy\r\nRetry-After: Thu, 01 Jan 1970 00:01:01 GMT", 60),
        // A ban of no venue: three days are believed.
        ("429 Too Many\r\nRetry-After: 99999999999", 259_200),
    ];
    for (answer, wait_s) in table {
        let mut world = World::new(PollMode::Mio);
        world.want([open(0)]);
        world.refuse(&format!(
            "HTTP/1.1 {answer}\r\nX-Limit: 7\r\nContent-Length: 9\r\n\r\nslow down"
        ));
        let [
            LinkNoticeKind::Disconnected {
                reason,
                retry_in_ns,
            },
        ] = &world.notices()[..]
        else {
            panic!("one notice");
        };
        let DownReason::Refused {
            retry_after_s,
            headers,
            body,
            ..
        } = reason
        else {
            panic!("{reason}");
        };
        assert_eq!(*retry_after_s, Some(wait_s), "{answer}");
        assert!(headers.contains(&("X-Limit".to_owned(), "7".to_owned())));
        assert!(body == "slow down" && reason.to_string().contains("slow down"));
        let status = &answer[..3];
        let told = format!("0 refused {status} Some({})", wait_s * 1_000);
        assert_eq!(world.told(), [told]);
        let wait = Nanos::from_secs(i64::from(wait_s));
        assert!(*retry_in_ns >= Some(wait), "{answer}: {retry_in_ns:?}");
        // Another link to that host, and a request, wait as well.
        world.want([open(1), request(1)]);
        assert_eq!(world.engine.net.net.opened(), 1, "{answer}");
        let held = LinkNoticeKind::Held {
            why: Hold::AskedToWait,
            retry_in_ns: wait,
        };
        assert_eq!(world.notices(), [held]);
        world.turn_after(wait - Nanos::from_millis(100));
        assert_eq!(world.engine.net.net.opened(), 1, "{answer}");
        world.turn_after(Nanos::from_secs(700));
        assert_eq!(world.engine.net.net.opened(), 3, "{answer}");
        assert!(world.now > now + wait);
    }
}

#[test]
fn a_refusal_that_does_not_heal_waits_long_says_so_and_concerns_its_link_alone() {
    for (status, word) in [(401, "key"), (403, "rights"), (451, "region"), (404, "URL")] {
        let mut world = World::new(PollMode::Mio);
        world.want([open(0)]);
        world.refuse(&format!(
            "HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n"
        ));
        let [
            LinkNoticeKind::Disconnected {
                reason,
                retry_in_ns,
            },
        ] = &world.notices()[..]
        else {
            panic!("one notice");
        };
        let text = reason.to_string();
        assert!(reason.is_lasting() && text.contains("does not heal") && text.contains(word));
        assert!(
            *retry_in_ns >= Some(Nanos::from_secs(15)),
            "{retry_in_ns:?}"
        );
        world.want([open(1)]);
        assert_eq!(world.engine.net.net.opened(), 2);
    }
}

#[test]
fn what_is_told_of_a_refusal_is_bounded() {
    let mut world = World::new(PollMode::Mio);
    world.want([open(0)]);
    let headers = format!("X: {}\r\n", "v".repeat(500)).repeat(50);
    let body = "b".repeat(5_000);
    world.refuse(&format!(
        "HTTP/1.1 500 No\r\n{headers}Content-Length: 5000\r\n\r\n{body}"
    ));
    let [LinkNoticeKind::Disconnected { reason, .. }] = &world.notices()[..] else {
        panic!("one notice");
    };
    let DownReason::Refused { headers, body, .. } = reason else {
        panic!("{reason}");
    };
    assert_eq!((headers.len(), body.len()), (4, 1 << 10));
}

//! A whole engine against peers that mean harm, through its links and its HTTP pool: each attack ends
//! with a typed reason or goes on for ever, the link beside it is served in every turn, a turn reads
//! no more than it may, and the engine holds no more than a calm one and its limits. With the feature
//! `testing`.
//!
//! What the decoder, the handshake and the response parser do with the same bytes over real sockets
//! is in `ws_conformance/hostile.rs`.

#[path = "common/held.rs"]
mod held;

use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use held::Mark;
use tickwire::connectors::connector::Counters;
use tickwire::connectors::transmit::{
    DownReason, Endpoint, HttpFailure, HttpRequest, LinkChange, LinkId, LinkSpec, Method, ReadOn,
    RequestId, Response, Transmit,
};
use tickwire::connectors::{BookView, Command};
use tickwire::net::{Net, Ready, Token};
use tickwire::testing::HandEngine;
use tickwire::{
    Connector, Engine, LinkNoticeKind, Market, Nanos, Outbox, StreamId, Venue, VenueSetup,
};
use tungstenite::handshake::derive_accept_key;

/// The largest message and the largest body that the victim takes.
const LIMIT_BYTES: usize = 64 << 10;

/// What one turn may read of one connection: the engine's own limit.
const TURN_BYTES_MAX: usize = 64 << 10;

/// The victim's links, and its requests: the port tells the network which is which.
const ATTACKED: LinkId = LinkId(0);
const HEALTHY: LinkId = LinkId(1);
const HTTP_PORT: u16 = 100;

const MB_100: usize = 100_000_000;

// The victim ---------------------------------------------------------------------------------------

/// What the victim was told.
#[derive(Debug)]
enum Told {
    /// A message on the attacked link, and its length.
    Message(usize),
    /// A message on the other link.
    Healthy,
    Answer(Result<(u16, usize), HttpFailure>),
}

/// Opens its links, asks for something by HTTP, and notes what it is told.
struct Victim {
    wants: Vec<Transmit>,
    told: Sender<Told>,
}

fn endpoint(port: u16) -> Endpoint {
    Endpoint {
        host: "peer".to_owned(),
        port,
        tls: false,
    }
}

fn open(link: LinkId) -> Transmit {
    let spec = LinkSpec {
        silence_max_ns: Some(Nanos::from_secs(60)),
        message_bytes_max: LIMIT_BYTES,
        ..LinkSpec::new(endpoint(link.0), "/")
    };
    let spec = Box::new(spec);
    Transmit::Open { link, spec }
}

fn ask() -> Transmit {
    Transmit::Http(Box::new(HttpRequest {
        id: RequestId(1),
        endpoint: endpoint(HTTP_PORT),
        method: Method::Get,
        target: "/".to_owned(),
        headers: Vec::new(),
        timeout_ns: Nanos::from_secs(20),
        body_bytes_max: LIMIT_BYTES,
        read_on: ReadOn::Loop,
    }))
}

impl Connector for Victim {
    fn venue(&self) -> Venue {
        Venue::custom("victim").expect("a short name")
    }

    fn market(&self) -> Market {
        Market::Spot
    }

    fn handle_command(&mut self, _: Nanos, _: Command, _: &mut Outbox) {}

    fn handle_link(&mut self, _: Nanos, _: LinkId, _: LinkChange, _: &mut Outbox) {}

    fn handle_message(&mut self, _: Nanos, link: LinkId, payload: &mut [u8], _: &mut Outbox) {
        let _ = self.told.send(match link {
            ATTACKED => Told::Message(payload.len()),
            _ => Told::Healthy,
        });
    }

    fn handle_response(
        &mut self,
        _: Nanos,
        _: RequestId,
        response: Result<Response<'_>, HttpFailure>,
        _: &mut Outbox,
    ) {
        let answer = response.map(|response| (response.status, response.body.len()));
        let _ = self.told.send(Told::Answer(answer));
    }

    fn handle_timeout(&mut self, _: Nanos, _: &mut Outbox) {}

    /// Until all that it wants is taken.
    fn poll_timeout(&self) -> Option<Nanos> {
        self.has_transmit().then_some(Nanos::ZERO)
    }

    fn poll_transmit(&mut self, _: Nanos, _: &mut Vec<u8>) -> Option<Transmit> {
        self.wants.pop()
    }

    fn has_transmit(&self) -> bool {
        !self.wants.is_empty()
    }

    fn book(&self, _: StreamId) -> Option<BookView<'_>> {
        None
    }

    fn counters(&self) -> Counters {
        Counters::default()
    }
}

// The peers ----------------------------------------------------------------------------------------

/// What a peer sends: `head`, and then `block` over and over until so many octets are sent.
#[derive(Clone, Debug, Default)]
struct Attack {
    /// Behind a good answer to the upgrade.
    upgraded: bool,
    head: Vec<u8>,
    block: Vec<u8>,
    block_bytes: usize,
    /// The peer then ends the connection.
    ends: bool,
    /// At most so many octets come at once; 0 for as many as fit.
    read_max: usize,
    /// The peer takes nothing once it is upgraded.
    deaf: bool,
}

impl Attack {
    fn new(head: impl Into<Vec<u8>>, block: impl Into<Vec<u8>>, block_bytes: usize) -> Attack {
        Attack {
            head: head.into(),
            block: block.into(),
            block_bytes,
            ..Attack::default()
        }
    }

    fn upgraded(head: impl Into<Vec<u8>>, block: impl Into<Vec<u8>>, block_bytes: usize) -> Attack {
        Attack {
            upgraded: true,
            ..Attack::new(head, block, block_bytes)
        }
    }

    /// The octets from `at` on, as many as fit; 0 where there are no more.
    fn fill(&self, at: usize, into: &mut [u8]) -> usize {
        let left = (self.head.len() + self.block_bytes).saturating_sub(at);
        let most = match self.read_max {
            0 => into.len(),
            max => into.len().min(max),
        };
        let count = left.min(most);
        for (to, at) in into[..count].iter_mut().zip(at..) {
            *to = match at.checked_sub(self.head.len()) {
                None => self.head[at],
                Some(behind) => self.block[behind % self.block.len()],
            };
        }
        count
    }
}

#[derive(Debug)]
struct Peer {
    token: Token,
    port: u16,
    /// What the engine has sent, up to the end of its request.
    request: Vec<u8>,
    attack: Option<Attack>,
    sent: usize,
}

#[derive(Debug, Default)]
struct Peers {
    attack: Attack,
    http: bool,
    opened: u32,
    open: BTreeMap<usize, Peer>,
    ready: Vec<Ready>,
    /// Octets that the attacked connection gave since this was last looked at.
    given: usize,
    /// All of what an attacker had to send is sent.
    spent: bool,
}

impl Peers {
    /// The request is there: what is it answered with?
    fn answer(&self, port: u16, request: &[u8]) -> Attack {
        let request = String::from_utf8_lossy(request);
        let mut lines = request.lines();
        let key = lines.find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
        let accept = derive_accept_key(key.unwrap_or_default().as_bytes());
        let upgrade = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        // One message a read, for ever.
        let healthy = || Attack {
            read_max: upgrade.len(),
            ..Attack::new(upgrade.clone(), b"\x81\x04tick", usize::MAX / 2)
        };
        let is_attacked = match self.http {
            true => port == HTTP_PORT,
            false => port == ATTACKED.0,
        };
        let mut attack = match is_attacked {
            true => self.attack.clone(),
            false => return healthy(),
        };
        if attack.upgraded {
            attack.head.splice(..0, upgrade.into_bytes());
        }
        attack
    }
}

impl Net for Peers {
    fn open(&mut self, endpoint: &Endpoint) -> Token {
        self.opened += 1;
        let token = Token::new(self.opened - 1, 1);
        self.ready.push(Ready::Connected(token));
        let peer = Peer {
            token,
            port: endpoint.port,
            request: Vec::new(),
            attack: None,
            sent: 0,
        };
        self.open.insert(token.slot(), peer);
        token
    }

    fn poll(&mut self, _: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        ready.append(&mut self.ready);
        let talking = self.open.values().filter(|peer| peer.attack.is_some());
        ready.extend(talking.map(|peer| Ready::Readable(peer.token)));
        Ok(())
    }

    fn recv(&mut self, token: Token, into: &mut [u8]) -> io::Result<usize> {
        let peer = self.open.get_mut(&token.slot());
        let peer = peer.ok_or(io::ErrorKind::NotConnected)?;
        let Some(attack) = &peer.attack else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        let attacked = peer.port != HEALTHY.0;
        let count = attack.fill(peer.sent, into);
        peer.sent += count;
        if attacked {
            self.given += count;
            self.spent |= count == 0;
        }
        match count {
            0 if attack.ends => Ok(0),
            0 => Err(io::ErrorKind::WouldBlock.into()),
            count => Ok(count),
        }
    }

    fn send(&mut self, token: Token, bytes: &[u8]) -> io::Result<usize> {
        let peer = self.open.get_mut(&token.slot());
        let peer = peer.ok_or(io::ErrorKind::NotConnected)?;
        if let Some(attack) = &peer.attack {
            return match attack.deaf {
                true => Err(io::ErrorKind::WouldBlock.into()),
                false => Ok(bytes.len()),
            };
        }
        peer.request.extend_from_slice(bytes);
        if peer.request.ends_with(b"\r\n\r\n") {
            let (port, request) = (peer.port, std::mem::take(&mut peer.request));
            let attack = self.answer(port, &request);
            if let Some(peer) = self.open.get_mut(&token.slot()) {
                peer.attack = Some(attack);
            }
        }
        Ok(bytes.len())
    }

    fn close(&mut self, token: Token) {
        self.open.remove(&token.slot());
    }
}

// A run --------------------------------------------------------------------------------------------

/// How an attack came out.
#[derive(Debug, Default)]
struct Outcome {
    /// The first end of the attacked link.
    down: Option<DownReason>,
    answer: Option<Result<(u16, usize), HttpFailure>>,
    messages: usize,
    /// The most that the engine held, in bytes.
    peak: usize,
}

/// Runs an engine until the attack is over: it has an outcome, or all is sent.
fn attack(attack: Attack, http: bool) -> Outcome {
    // The attack's own memory is not the engine's.
    let peers = Peers {
        attack,
        http,
        ..Peers::default()
    };
    let mark = Mark::set();
    let (told, inbox) = mpsc::channel();
    let mut wants = vec![open(HEALTHY)];
    wants.push(if http { ask() } else { open(ATTACKED) });
    let victim = Victim { wants, told };
    let engine = Engine::builder()
        .seed(1)
        .venue(VenueSetup::custom(victim))
        .by_hand(peers, START);
    let mut engine = engine.expect("an engine");
    let mut outcome = Outcome::default();
    let mut now = START;
    let mut healthy_since = 0;
    for turn in 0..TURNS_MAX {
        now += Nanos::from_millis(1);
        engine.turn(now);
        let given = std::mem::take(&mut engine.net().given);
        assert!(given <= TURN_BYTES_MAX, "{given} octets in one turn");
        // Two turns to come up in: then there is a message in each.
        let healthy = read(&engine, &inbox, &mut outcome);
        healthy_since += healthy;
        assert!(healthy_since + 8 > turn, "the other link is not served");
        let decided = outcome.down.is_some() || outcome.answer.is_some();
        if decided || engine.net().spent {
            break;
        }
        assert!(turn + 1 < TURNS_MAX, "no end");
    }
    // What is left to do, and the time limits of it.
    calm_down(&mut engine, &mut now, &inbox, &mut outcome);
    outcome.peak = mark.peak();
    engine.stop(now);
    outcome
}

/// 100 MB by 64 KiB are 1,600 turns: an attack that goes on for longer has no end.
const TURNS_MAX: usize = 20_000;

const START: Nanos = Nanos::from_secs(1_700_000_000);

/// Half a minute, in which whoever waits for something that never comes gives up.
fn calm_down(
    engine: &mut HandEngine<Peers>,
    now: &mut Nanos,
    inbox: &Receiver<Told>,
    outcome: &mut Outcome,
) {
    for _ in 0..300 {
        if outcome.down.is_some() || outcome.answer.is_some() {
            return;
        }
        *now += Nanos::from_millis(100);
        engine.turn(*now);
        read(engine, inbox, outcome);
    }
}

/// Takes what the victim was told; gives how many messages of the other link there were.
fn read(engine: &HandEngine<Peers>, inbox: &Receiver<Told>, outcome: &mut Outcome) -> usize {
    let mut healthy = 0;
    while let Some(notice) = engine.next_notice() {
        if let (ATTACKED, LinkNoticeKind::Disconnected { reason, .. }) = (notice.link, notice.kind)
        {
            outcome.down.get_or_insert(reason);
        }
    }
    for told in inbox.try_iter() {
        match told {
            Told::Healthy => healthy += 1,
            Told::Message(len) => {
                assert!(len <= LIMIT_BYTES, "{len} octets in a message");
                outcome.messages += 1;
            }
            Told::Answer(answer) => drop(outcome.answer.get_or_insert(answer)),
        }
    }
    healthy
}

/// The most that an attack may make the engine hold: what a calm one holds, and a message or a body
/// at its limit, which is there twice while its buffer grows.
fn bound() -> usize {
    let calm = attack(Attack::upgraded("", b"\x81\x04tick", 6_000), false);
    assert_eq!((calm.messages, calm.down.is_some()), (1_000, false));
    calm.peak + 3 * LIMIT_BYTES + (32 << 10)
}

/// What is expected of an attack on a link.
enum Expect {
    /// The link goes down for a reason with these words in it.
    Down(&'static str),
    /// It stays, and so many messages came.
    Lives(usize),
}

#[test]
fn links_survive_what_a_hostile_server_sends() {
    use Expect::{Down, Lives};
    let deaf = |attack: Attack| Attack {
        deaf: true,
        ..attack
    };
    let octetwise = |attack: Attack| Attack {
        read_max: 1,
        ..attack
    };
    let long = |bits: u64| [&[0x82, 127][..], &bits.to_be_bytes()].concat();
    let large_fragments = || [&[0x00, 126, 0x0F, 0xFC][..], &[b'x'; 0xFFC]].concat();
    let ok = "HTTP/1.1 101 Switching Protocols\r\n";
    let refusal = "HTTP/1.1 429 No\r\nRetry-After: 9\r\nContent-Length: 100000000\r\n\r\n";
    let chunked = "HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n";
    #[rustfmt::skip]
    let table = [
        ("a length of 2^63", Attack::upgraded(long(1 << 63), "x", MB_100), Down("protocol error")),
        ("a length of 2^63 - 1", Attack::upgraded(long((1 << 63) - 1), "x", MB_100), Down("over the limit")),
        ("a length over the limit", Attack::upgraded(long(LIMIT_BYTES as u64 + 1), "x", MB_100), Down("over the limit")),
        ("1-byte reads", octetwise(Attack::upgraded("", b"\x81\x04tick\x89\x00", 4_000)), Lives(500)),
        ("endless pings", Attack::upgraded("", b"\x89\x04ping", 8 << 20), Lives(0)),
        ("endless pings, nothing taken", deaf(Attack::upgraded("", b"\x89\x04ping", 8 << 20)), Down("takes nothing")),
        ("endless pongs", Attack::upgraded("", b"\x8A\x00", 2 << 20), Lives(0)),
        ("endless fragments", Attack::upgraded(b"\x01\x00", large_fragments(), MB_100), Down("over the limit")),
        ("endless small fragments", Attack::upgraded(b"\x01\x00", b"\x00\x01x", MB_100), Down("over the limit")),
        ("endless empty fragments", Attack::upgraded(b"\x01\x00", b"\x00\x00", 2 << 20), Lives(0)),
        ("an empty close", Attack::upgraded(b"\x88\x00", b"\xFF", 100), Down("closed by the venue with code None")),
        ("a message behind a close", Attack::upgraded(b"\x88\x02\x03\xE8", b"\x81\x01x", 300), Down("closed by the venue with code Some(1000)")),
        ("masked frames", Attack::upgraded("", b"\x81\x80\0\0\0\0", MB_100), Down("protocol error")),
        ("endless headers", Attack::new(ok, "A: b\r\n", MB_100), Down("protocol error")),
        ("an endless header", Attack::new(ok, "x", MB_100), Down("protocol error")),
        ("endless interim answers", Attack::new("", "HTTP/1.1 100 C\r\n\r\n", MB_100), Down("protocol error")),
        ("no HTTP", Attack::new("", "\0", MB_100), Down("protocol error")),
        ("an upgrade that never ends", Attack::new(ok, "", 0), Down("timed out")),
        ("a refusal with a body of 100 MB", Attack::new(refusal, "x", MB_100), Down("HTTP 429")),
        ("a refusal in 100 MB of chunks", Attack::new(chunked, "10\r\n0123456789abcdef\r\n", MB_100), Down("HTTP 503")),
    ];
    let bound = bound();
    for (name, bytes, expect) in table {
        let outcome = attack(bytes, false);
        match (&expect, &outcome.down) {
            (Down(words), Some(reason)) => {
                assert!(reason.to_string().contains(words), "{name}: {reason}");
            }
            (Lives(count), None) => assert_eq!(outcome.messages, *count, "{name}"),
            _ => panic!("{name}: {outcome:?}"),
        }
        assert!(outcome.peak <= bound, "{name}: {} of {bound}", outcome.peak);
    }
}

#[test]
fn requests_survive_what_a_hostile_server_answers() {
    let length = "HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n";
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let ok = "HTTP/1.1 200 OK\r\n";
    let small = "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n";
    let octetwise = Attack {
        read_max: 1,
        ..Attack::new(small, "x", 500)
    };
    let cut_off = Attack {
        ends: true,
        ..Attack::new(small, "x", 499)
    };
    let huge = "HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775808\r\n\r\n";
    #[rustfmt::skip]
    let table = [
        ("a body of 100 MB by its length", Attack::new(length, "x", MB_100), None),
        ("a body of 100 MB in chunks", Attack::new(chunked, "10\r\n0123456789abcdef\r\n", MB_100), None),
        ("a body of 100 MB to the end", Attack::new("HTTP/1.1 200 OK\r\n\r\n", "x", MB_100), None),
        ("a body of 2^63", Attack::new(huge, "x", MB_100), None),
        ("endless headers", Attack::new(ok, "A: b\r\n", MB_100), None),
        ("an endless header", Attack::new(ok, "x", MB_100), None),
        ("endless interim answers", Attack::new("", "HTTP/1.1 100 C\r\n\r\n", MB_100), None),
        ("endless trailers", Attack::new(format!("{chunked}0\r\n"), "A: b\r\n", MB_100), None),
        ("no HTTP", Attack::new("", "\0", MB_100), None),
        ("1-byte reads", octetwise, Some((200, 500))),
        ("a body that is cut off", cut_off, None),
        ("a body that never comes", Attack::new(small, "x", 499), None),
    ];
    let bound = bound();
    for (name, bytes, expected) in table {
        let outcome = attack(bytes, true);
        let answer = outcome
            .answer
            .unwrap_or_else(|| panic!("{name}: no outcome"));
        assert_eq!(
            answer.as_ref().ok().copied(),
            expected,
            "{name}: {answer:?}"
        );
        // It was sent: the venue may have acted on it.
        assert!(answer.err().is_none_or(|failure| failure.sent), "{name}");
        assert!(outcome.peak <= bound, "{name}: {} of {bound}", outcome.peak);
    }
}

/// Frames and heads with octets changed, and plain noise.
fn fuzzed(rng: &mut fastrand::Rng, http: bool) -> Attack {
    let mut octets = Vec::new();
    let parts: [&[u8]; 6] = match http {
        true => [
            b"HTTP/1.1 200 OK\r\n",
            b"Content-Length: 99\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"\r\n",
            b"5\r\nhello\r\n",
            b"0\r\n\r\n",
        ],
        false => [
            b"\x81\x05hello",
            b"\x01\x03abc",
            b"\x80\x01d",
            b"\x89\x02hi",
            b"\x82\x7E\x01\x00",
            b"\x88\x02\x03\xE8",
        ],
    };
    for _ in 0..rng.usize(1..30) {
        match rng.u8(..8) {
            0 => octets.extend(std::iter::repeat_with(|| rng.u8(..)).take(20)),
            _ => octets.extend_from_slice(parts[rng.usize(..parts.len())]),
        }
    }
    for _ in 0..rng.usize(..4) {
        let at = rng.usize(..octets.len());
        octets[at] ^= 1 << rng.u8(..8);
    }
    Attack {
        upgraded: !http && rng.u8(..4) > 0,
        ends: rng.bool(),
        read_max: rng.usize(..9),
        ..Attack::new(octets, "", 0)
    }
}

#[test]
fn fuzzed_bytes_never_hurt() {
    let bound = bound();
    let mut ended = 0;
    for seed in 0..400 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let http = rng.bool();
        let outcome = attack(fuzzed(&mut rng, http), http);
        assert!(outcome.peak <= bound, "{seed}: {} of {bound}", outcome.peak);
        assert!(!http || outcome.answer.is_some(), "{seed}: no outcome");
        ended += usize::from(outcome.down.is_some() || outcome.answer.is_some());
    }
    assert!(ended > 200, "{ended} had an outcome");
}

//! What is below the streams: sockets, TLS sessions, messages of other kinds, as a program that links
//! the engine sees them.

mod common;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use common::{Reader, next_notice, quick, spot, start, wait_until};
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use tickwire::connectors::connector::{BookView, Counters};
use tickwire::connectors::payload::{Inflated, MakeHook, PayloadError, PayloadHook};
use tickwire::connectors::transmit::{
    DownReason, Endpoint, HttpFailure, LinkChange, LinkId, LinkSpec, RequestId, Response, Transmit,
};
use tickwire::connectors::{Command, Connector};
use tickwire::net::TcpOptions;
use tickwire::{
    Channel, LinkNoticeKind, LinkState, Market, Nanos, Outbox, StrategySetup, StreamId, Venue,
    VenueSetup,
};
use tickwire_sim::SimVenue;

const VENUE: SimVenue = SimVenue::BinanceSpot;

fn watching() -> StrategySetup {
    StrategySetup::pair().named("a").watch(
        Venue::Binance,
        Market::Spot,
        ["BTCUSDT"],
        [Channel::BOOK],
    )
}

#[test]
fn a_lost_link_comes_back_with_a_resumed_tls_session() {
    let sim = start(spot(&["BTCUSDT"]));
    let mut handle = common::engine(&sim).strategy(watching()).spawn().unwrap();
    let mut reader = Reader::take(&mut handle, "a");
    reader.until_all_live(&handle);
    let link = handle.links().remove(0);
    let first = link.counters();
    assert_eq!(first.connects, 1);
    assert_eq!(first.tls_full + first.tls_resumed, 1);
    for cut in 1..=3 {
        sim.control().cut_connections(VENUE);
        wait_until("the link to be back", || link.epoch() > cut);
        reader.until_all_live(&handle);
    }
    let after = link.counters().since(&first);
    assert_eq!(
        (after.connects, after.tls_full, after.tls_resumed),
        (3, 0, 3)
    );
    assert!(after.disconnects >= 3);
    handle.stop().unwrap();
}

#[test]
fn socket_options_reach_the_socket_and_the_handle_tells_what_became_of_them() {
    let sim = start(spot(&["BTCUSDT"]));
    let options = TcpOptions {
        user_timeout: Duration::from_secs(7),
        busy_poll: Some(Duration::from_micros(20)),
        local_address: Some("127.0.0.1".parse().unwrap()),
        ..TcpOptions::default()
    };
    let mut handle = common::engine(&sim)
        .tcp(options)
        .strategy(watching())
        .spawn()
        .unwrap();
    let mut reader = Reader::take(&mut handle, "a");
    reader.until_all_live(&handle);
    let link = handle.links().remove(0);
    assert_eq!(link.state(), LinkState::Up);
    let report = link.socket().expect("a link that is up has a socket");
    assert_eq!(report.peer, Some(sim.addr(VENUE)));
    let local = report.local.expect("an address of ours").ip();
    assert_eq!(local.to_string(), "127.0.0.1");
    let in_effect = |name: &str| {
        let found = report.options.iter().find(|option| option.name == name);
        found.map(|option| option.in_effect.clone())
    };
    assert_eq!(in_effect("TCP_NODELAY"), Some(Ok("true".to_owned())));
    if cfg!(target_os = "linux") {
        assert_eq!(in_effect("TCP_USER_TIMEOUT"), Some(Ok("7s".to_owned())));
        assert!(
            in_effect("SO_BUSY_POLL").is_some(),
            "taken or not, it is told"
        );
    }
    let host = handle.hosts().remove(0);
    assert_eq!(host.endpoint, sim.addr(VENUE).to_string());
    assert!(host.attempts() >= 1 && host.held() == 0);
    assert_eq!(host.limit().map(|limit| limit.attempts), Some(150));
    handle.stop().unwrap();
}

// Packed payloads -------------------------------------------------------------------------------

/// Raw deflate, as some venues pack what they send.
struct Deflate;

impl PayloadHook for Deflate {
    fn inflate(&mut self, payload: &[u8], out: &mut Inflated) -> Result<(), PayloadError> {
        let mut packed = DeflateDecoder::new(payload);
        std::io::copy(&mut packed, out).map_err(|_| PayloadError::Malformed)?;
        Ok(())
    }
}

/// A venue of one link that keeps all that it is given.
struct Packed {
    spec: LinkSpec,
    open: bool,
    given: Arc<Mutex<Vec<(bool, String)>>>,
}

impl Packed {
    fn keep(&self, is_binary: bool, payload: &[u8]) {
        let text = String::from_utf8_lossy(payload).into_owned();
        self.given.lock().unwrap().push((is_binary, text));
    }
}

impl Connector for Packed {
    fn venue(&self) -> Venue {
        Venue::Binance
    }
    fn market(&self) -> Market {
        Market::Spot
    }
    fn handle_command(&mut self, _: Nanos, _: Command, _: &mut Outbox) {
        self.open = true;
    }
    fn handle_link(&mut self, _: Nanos, _: LinkId, _: LinkChange, _: &mut Outbox) {}
    fn handle_message(&mut self, _: Nanos, _: LinkId, payload: &mut [u8], _: &mut Outbox) {
        self.keep(false, payload);
    }
    fn handle_binary(&mut self, _: Nanos, _: LinkId, payload: &mut [u8], _: &mut Outbox) {
        self.keep(true, payload);
    }
    fn handle_response(
        &mut self,
        _: Nanos,
        _: RequestId,
        _: Result<Response<'_>, HttpFailure>,
        _: &mut Outbox,
    ) {
    }
    fn handle_timeout(&mut self, _: Nanos, _: &mut Outbox) {}
    fn poll_timeout(&self) -> Option<Nanos> {
        None
    }
    fn poll_transmit(&mut self, _: Nanos, _: &mut Vec<u8>) -> Option<Transmit> {
        let spec = Box::new(self.spec.clone());
        let link = LinkId(0);
        core::mem::take(&mut self.open).then_some(Transmit::Open { link, spec })
    }
    fn has_transmit(&self) -> bool {
        self.open
    }
    fn book(&self, _: StreamId) -> Option<BookView<'_>> {
        None
    }
    fn counters(&self) -> Counters {
        Counters::default()
    }
}

/// Takes the next connection and upgrades it.
fn accept(listener: &TcpListener) -> TcpStream {
    let (mut socket, _) = listener.accept().expect("a connection");
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte).expect("a request");
        request.push(byte[0]);
    }
    let request = String::from_utf8(request).expect("text");
    let key = request
        .lines()
        .find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "))
        .expect("a key");
    let accept = tungstenite::handshake::derive_accept_key(key.as_bytes());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    socket.write_all(answer.as_bytes()).expect("an open socket");
    socket
}

fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode, 126];
    frame.extend_from_slice(&(payload.len() as u16).to_be_bytes());
    if payload.len() < 126 {
        frame.truncate(1);
        frame.push(payload.len() as u8);
    }
    frame.extend_from_slice(payload);
    frame
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

#[test]
fn binary_messages_are_opened_by_the_venues_hook_within_the_limit_and_told_from_text() {
    const BYTES_MAX: usize = 50_000;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let given = Arc::new(Mutex::new(Vec::new()));
    let endpoint = Endpoint {
        host: address.ip().to_string(),
        port: address.port(),
        tls: false,
    };
    let venue = Packed {
        spec: LinkSpec {
            message_bytes_max: BYTES_MAX,
            payload_hook: Some(MakeHook(|| Box::new(Deflate))),
            ..LinkSpec::new(endpoint, "/")
        },
        open: false,
        given: Arc::clone(&given),
    };
    let large = "x".repeat(BYTES_MAX);
    let sent = large.clone();
    let server = thread::spawn(move || {
        // The first connection brings good messages, then a bomb; the second one what is not packed;
        // the third is well again.
        let mut kept = Vec::new();
        for messages in [
            vec![
                frame(1, b"plain"),
                frame(2, &deflate(b"packed")),
                frame(2, &deflate(sent.as_bytes())),
                frame(2, &deflate(&vec![b'x'; BYTES_MAX + 1])),
            ],
            vec![frame(2, b"\xFFnot packed")],
            vec![frame(2, &deflate(b"well again"))],
        ] {
            let mut socket = accept(&listener);
            for message in messages {
                socket.write_all(&message).expect("an open socket");
            }
            kept.push(socket);
        }
        kept
    });
    let handle = quick()
        .venue(VenueSetup::custom(venue))
        .strategy(watching())
        .spawn()
        .unwrap();
    for words in ["unpacks to more than 50000 bytes", "cannot be unpacked"] {
        let down = next_notice(&handle, "the link to be cut", |kind| {
            matches!(kind, LinkNoticeKind::Disconnected { .. })
        });
        let LinkNoticeKind::Disconnected { reason, .. } = down.kind else {
            panic!()
        };
        let told = matches!(&reason, DownReason::Protocol(text) if text.contains(words));
        assert!(told, "{reason}");
    }
    wait_until("the last message", || given.lock().unwrap().len() == 4);
    let expected = [
        (false, "plain".to_owned()),
        (true, "packed".to_owned()),
        (true, large),
        (true, "well again".to_owned()),
    ];
    assert_eq!(*given.lock().unwrap(), expected);
    handle.stop().unwrap();
    drop(server.join());
}

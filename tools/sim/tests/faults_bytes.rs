//! Faults on bytes, certificates and listeners, over real TLS sockets at every venue-market. Waits
//! have no sleeps; bounds on time are one-sided, so that a slow machine cannot fail them.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use common::rig::Subject;
use common::tls::{Tls, client, get, now, text, tls, tls_with, try_ws, ws};
use serde_json::Value;
use tickwire_sim::{
    BadCertificate, Fault, FaultKind, FaultPlan, FaultRates, Layer, Links, Sim, SimVenue, VenueSpec,
};
use tungstenite::{Error, Message, WebSocket};

const MS: i64 = 1_000_000;
const SECOND: i64 = 1_000_000_000;
const LAYERS: [Layer; 2] = [Layer::Frames, Layer::Wire];

fn start(subject: Subject) -> Sim {
    let spec = VenueSpec::of(subject.0)
        .symbols(&[subject.btc(), subject.eth()])
        .levels(60)
        .rate_msgs_s(400)
        .bursts(false);
    Sim::builder().venue(spec).start().unwrap()
}

/// A link that holds a stream of tops and has read all that came before market data.
fn subscribed(sim: &Sim, subject: Subject) -> WebSocket<Tls> {
    let mut link = ws(sim, subject.0, subject.path());
    let streams = [subject.top(subject.btc())];
    link.send(Message::text(subject.subscribe(&streams)))
        .unwrap();
    // Bybit: ack and snapshot in either order. The market stands still.
    let greetings = if subject.0.is_binance() { 1 } else { 2 };
    (0..greetings).for_each(|_| drop(text(&mut link)));
    link
}

/// A paused venue with two links: the older one is to suffer.
fn pair(subject: Subject) -> (Sim, WebSocket<Tls>, WebSocket<Tls>) {
    let sim = start(subject);
    sim.control().pause(subject.0);
    let (a, b) = (subscribed(&sim, subject), subscribed(&sim, subject));
    (sim, a, b)
}

fn number(subject: Subject, frame: &Value) -> u64 {
    let data = if subject.0.is_binance() {
        frame
    } else {
        &frame["data"]
    };
    data["u"].as_u64().unwrap()
}

/// The link goes on giving tops with rising numbers.
fn assert_lives(subject: Subject, link: &mut WebSocket<Tls>) {
    let mut last = 0;
    for _ in 0..10 {
        let u = number(subject, &text(link));
        assert!(u >= last);
        last = u;
    }
}

#[test]
fn trickle_lets_bytes_through_no_faster_than_it_says_and_loses_none() {
    const BYTES: usize = 40;
    const EVERY_MS: u64 = 4;
    for (subject, layer) in Subject::ALL.into_iter().zip(LAYERS.into_iter().cycle()) {
        let (sim, mut slow, mut other) = pair(subject);
        let control = sim.control();
        control.inject(
            subject.0,
            Fault::Trickle {
                links: Links::Oldest,
                bytes: BYTES,
                every_ns: EVERY_MS as i64 * MS,
                for_ns: 3_600 * SECOND,
                layer,
            },
        );
        let since = now();
        control.resume(subject.0);
        assert_lives(subject, &mut other);
        let (mut bytes, mut last) = (0, 0);
        while bytes < 2_000 {
            let Message::Text(frame) = slow.read().unwrap() else {
                continue;
            };
            bytes += frame.len();
            let u = number(subject, &serde_json::from_str(&frame).unwrap());
            assert!(u >= last, "frames come whole and in order");
            last = u;
        }
        let least = Duration::from_millis((bytes / BYTES) as u64 * EVERY_MS);
        assert!(
            since.elapsed() >= least,
            "{:?} < {least:?}",
            since.elapsed()
        );
        assert_eq!(sim.faults().acted(subject.0, FaultKind::Trickle), 1);
    }
}

#[test]
fn cut_mid_frame_gives_a_part_of_a_frame_then_fin_or_reset() {
    for (subject, reset) in Subject::ALL
        .into_iter()
        .flat_map(|s| [(s, false), (s, true)])
    {
        for layer in LAYERS {
            let (sim, mut cut, mut other) = pair(subject);
            let control = sim.control();
            control.inject(
                subject.0,
                Fault::CutMidFrame {
                    links: Links::Oldest,
                    keep_bytes: Some(7),
                    reset,
                    layer,
                },
            );
            control.resume(subject.0);
            assert_lives(subject, &mut other);
            let mut part = Vec::new();
            let (end, start) = match layer {
                Layer::Frames => (cut.get_mut().read_to_end(&mut part), &[0x81][..]),
                // An application data record of TLS 1.2 or 1.3.
                Layer::Wire => (cut.get_mut().sock.read_to_end(&mut part), &[23, 3, 3][..]),
            };
            assert_eq!(part.len(), 7, "{subject:?} {layer:?}");
            assert!(part.starts_with(start), "{part:?}");
            match (end.map_err(|error| error.kind()), reset, layer) {
                (Err(ErrorKind::ConnectionReset), true, _) => {}
                // No goodbye in TLS; the bare socket just ends.
                (Err(ErrorKind::UnexpectedEof), false, Layer::Frames) => {}
                (Ok(7), false, Layer::Wire) => {}
                other => panic!("{subject:?}: {other:?}"),
            }
            assert_lives(subject, &mut other);
        }
    }
}

#[test]
fn cut_mid_frame_keeps_half_by_default() {
    let subject = Subject(SimVenue::BybitLinear);
    let (sim, mut cut, _other) = pair(subject);
    let fault = "cut-mid-frame oldest reset".parse().unwrap();
    sim.control().inject(subject.0, fault);
    sim.control().resume(subject.0);
    let mut part = Vec::new();
    assert!(cut.get_mut().read_to_end(&mut part).is_err());
    // A header with a 16-bit length.
    let whole = 4 + usize::from(u16::from_be_bytes([part[2], part[3]]));
    assert_eq!((part[1], part.len()), (126, whole / 2));
}

#[test]
fn huge_header_is_refused_by_a_good_client_at_the_header() {
    for subject in Subject::ALL {
        let (sim, mut bad, mut other) = pair(subject);
        let links = Links::Oldest;
        sim.control().inject(subject.0, Fault::HugeHeader { links });
        sim.control().resume(subject.0);
        let refused = bad.read().unwrap_err();
        assert!(matches!(refused, Error::Capacity(_)), "{refused:?}");
        assert_lives(subject, &mut other);
    }
}

#[test]
fn oversized_frame_comes_whole_and_is_not_held_against_its_reader() {
    // More than the default queue of a slow reader.
    const BYTES: usize = 12 << 20;
    for subject in Subject::ALL {
        let (sim, mut long, mut other) = pair(subject);
        let stream = subject.top(subject.btc());
        let fault = format!("oversized {stream} bytes={BYTES}").parse();
        sim.control().inject(subject.0, fault.unwrap());
        sim.control().resume(subject.0);
        for link in [&mut long, &mut other] {
            let lengths: Vec<usize> = (0..3).map(|_| link.read().unwrap().len()).collect();
            let count = lengths.iter().filter(|length| **length == BYTES).count();
            assert_eq!(count, 1, "{lengths:?}: both hold the stream");
        }
        assert_eq!(sim.stats().cut_slow, 0);
        assert_eq!(sim.faults().records()[0].hits, 1);
    }
}

#[test]
fn half_open_link_neither_sends_nor_ends_until_the_client_leaves() {
    for subject in Subject::ALL {
        let (sim, mut dead, mut other) = pair(subject);
        let links = Links::Oldest;
        sim.control().inject(subject.0, Fault::HalfOpen { links });
        sim.control().resume(subject.0);
        // The kernel still takes what the client writes.
        dead.send(Message::Ping(b"hello".to_vec().into())).unwrap();
        assert_lives(subject, &mut other);
        let timeout = Some(Duration::from_millis(200));
        dead.get_mut().sock.set_read_timeout(timeout).unwrap();
        let silence = dead.read().unwrap_err();
        let Error::Io(silence) = silence else {
            panic!("{silence:?}");
        };
        assert_eq!(silence.kind(), ErrorKind::WouldBlock);
        assert_eq!(sim.stats().closed, 0);
        drop(dead);
        let since = now();
        while sim.stats().closed == 0 {
            assert!(since.elapsed() < Duration::from_secs(20), "never freed");
            std::thread::yield_now();
        }
        assert_lives(subject, &mut other);
    }
}

#[test]
fn bad_certificates_are_refused_by_new_handshakes_and_open_links_live_on() {
    use rustls::CertificateError as Bad;
    let kinds = [
        BadCertificate::WrongName,
        BadCertificate::UnknownAuthority,
        BadCertificate::Expired,
    ];
    for (subject, fault) in Subject::ALL.into_iter().flat_map(|s| kinds.map(|k| (s, k))) {
        let sim = start(subject);
        let (control, venue) = (sim.control(), subject.0);
        let mut open = ws(&sim, venue, subject.path());
        // A client that could resume its session must not be fooled either.
        let config = client(&sim);
        let mut first = tls_with(config.clone(), &sim, venue);
        let time = if venue.is_binance() {
            "/api/v3/time"
        } else {
            "/v5/market/time"
        };
        let _ = get(&mut first, time);
        let for_ns = 3_600 * SECOND;
        control.inject(venue, Fault::Certificate { fault, for_ns });
        let mut refused = tls_with(config.clone(), &sim, venue);
        let error = refused.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap_err();
        let inner = error.get_ref().and_then(|e| e.downcast_ref());
        let Some(rustls::Error::InvalidCertificate(bad)) = inner else {
            panic!("{error:?}");
        };
        let expected = match fault {
            BadCertificate::WrongName => {
                matches!(
                    bad,
                    Bad::NotValidForName | Bad::NotValidForNameContext { .. }
                )
            }
            BadCertificate::UnknownAuthority => matches!(bad, Bad::UnknownIssuer),
            BadCertificate::Expired => matches!(bad, Bad::Expired | Bad::ExpiredContext { .. }),
        };
        assert!(expected, "{fault:?}: {bad:?}");
        let streams = [subject.top(subject.btc())];
        open.send(Message::text(subject.subscribe(&streams)))
            .unwrap();
        (0..5).for_each(|_| drop(text(&mut open)));
        // A new one takes the place of the old; this one is over at once.
        let for_ns = 0;
        control.inject(venue, Fault::Certificate { fault, for_ns });
        let since = now();
        while try_ws(&sim, venue, subject.path()).is_err() {
            assert!(since.elapsed() < Duration::from_secs(20), "never mended");
        }
    }
}

#[test]
fn refused_upgrade_says_status_and_retry_after() {
    for (subject, status) in Subject::ALL.into_iter().zip([401, 403, 429, 503, 429]) {
        let sim = start(subject);
        let fault = format!("refuse-upgrade {status} retry=9").parse();
        sim.control().inject(subject.0, fault.unwrap());
        let url = format!("wss://localhost{}", subject.path());
        let refused = tungstenite::client(url, tls(&sim, subject.0)).unwrap_err();
        let tungstenite::HandshakeError::Failure(Error::Http(response)) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(response.status().as_u16(), status);
        assert_eq!(response.headers()["Retry-After"], "9");
        assert!(try_ws(&sim, subject.0, subject.path()).is_ok());
    }
}

#[test]
fn killed_venue_resets_all_refuses_then_listens_on_the_same_port() {
    for subject in Subject::ALL {
        let other = if subject.0 == SimVenue::BybitSpot {
            Subject(SimVenue::BinanceSpot)
        } else {
            Subject(SimVenue::BybitSpot)
        };
        let sim = Sim::builder()
            .venue(VenueSpec::of(subject.0))
            .venue(VenueSpec::of(other.0))
            .start()
            .unwrap();
        let (control, venue) = (sim.control(), subject.0);
        control.pause(venue);
        let mut link = ws(&sim, venue, subject.path());
        let mut rest = tls(&sim, venue);
        let (status, _) = get(&mut rest, &subject.rest_depth(subject.btc()));
        assert_eq!(status, 200);
        let mut lives = ws(&sim, other.0, other.path());
        let down_ns = 3_600 * SECOND;
        let reset = true;
        control.inject(venue, Fault::Kill { down_ns, reset });
        let reset_of = |error: std::io::Error| error.kind() == ErrorKind::ConnectionReset;
        let Error::Io(error) = link.read().unwrap_err() else {
            panic!("not an I/O error");
        };
        assert!(reset_of(error));
        let mut byte = [0];
        assert!(reset_of(rest.read(&mut byte).unwrap_err()));
        let refused = TcpStream::connect(sim.addr(venue)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        lives.send(Message::Ping(vec![7].into())).unwrap();
        assert_eq!(lives.read().unwrap(), Message::Pong(vec![7].into()));
        // Killed again while it is down: this time it comes back at once.
        let down_ns = 0;
        control.inject(venue, Fault::Kill { down_ns, reset });
        let since = now();
        while TcpStream::connect(sim.addr(venue)).is_err() {
            assert!(since.elapsed() < Duration::from_secs(20), "never back");
        }
        control.resume(venue);
        assert!(try_ws(&sim, venue, subject.path()).is_ok());
        assert_eq!(sim.faults().acted(venue, FaultKind::Kill), 2);
    }
}

#[test]
fn script_of_the_builder_runs_from_the_start() {
    let venue = SimVenue::BinanceSpot;
    let sim = Sim::builder()
        .venue(VenueSpec::of(venue))
        .faults("0s binance-spot rest 503 times=1".parse().unwrap())
        .start()
        .unwrap();
    // The fault is in force before the first request can be answered.
    let mut rest = tls(&sim, venue);
    assert_eq!(get(&mut rest, "/api/v3/time").0, 503);
    assert_eq!(get(&mut rest, "/api/v3/time").0, 200);
}

#[test]
fn storm_of_all_faults_does_not_stop_the_server() {
    let venues = Subject::ALL.map(|subject| subject.0);
    let builder = venues.into_iter().fold(Sim::builder(), |builder, venue| {
        builder.venue(VenueSpec::of(venue).levels(60))
    });
    // Shorter rests than the kills' and refusals' mean length would leave nobody to talk to.
    let rates = FaultRates::all_per_minute(60.0)
        .per_minute(FaultKind::Kill, 6.0)
        .per_minute(FaultKind::Certificate, 6.0)
        .per_minute(FaultKind::RefuseUpgrade, 6.0);
    let sim = builder
        .fault_plan(FaultPlan::random(3, rates))
        .start()
        .unwrap();
    let since = now();
    let mut turn = 0;
    while sim.faults().records().len() < 300 || sim.stats().upgrades < 30 {
        assert!(
            since.elapsed() < Duration::from_secs(60),
            "{:?}",
            sim.stats()
        );
        let subject = Subject::ALL[turn % Subject::ALL.len()];
        turn += 1;
        read_a_little(&sim, subject);
    }
    // The thread is alive: it takes and logs one more.
    let fault = Fault::Gap {
        target: "last@word".parse().unwrap(),
    };
    sim.control().inject(venues[0], fault.clone());
    assert!(sim.faults().records().iter().any(|r| r.fault == fault));
}

/// One client's short life; whatever goes wrong ends it.
fn read_a_little(sim: &Sim, subject: Subject) -> Option<()> {
    let tcp = TcpStream::connect(sim.addr(subject.0)).ok()?;
    tcp.set_read_timeout(Some(Duration::from_millis(50))).ok()?;
    let name = rustls::pki_types::ServerName::try_from("localhost").ok()?;
    let tls = rustls::ClientConnection::new(client(sim), name).ok()?;
    let url = format!("wss://localhost{}", subject.path());
    let stream = rustls::StreamOwned::new(tls, tcp);
    let (mut link, _) = tungstenite::client(url, stream).ok()?;
    let streams = [subject.depth("BTCUSDT"), subject.top("BTCUSDT")];
    link.send(Message::text(subject.subscribe(&streams))).ok()?;
    for _ in 0..50 {
        let _ = link.read().ok()?;
    }
    Some(())
}

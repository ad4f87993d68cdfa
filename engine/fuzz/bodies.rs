//! What a fuzz target does with its octets. `engine/tests/corpus.rs` runs the same over the corpora.
//!
//! The first octets steer (how the rest is cut, the limits), the rest is what a server sends.

#![allow(dead_code, reason = "each fuzz target uses one of them")]

use tickwire::wire::http::{HeadLimits, HttpError, Method, ResponseLimits, ResponseParser};
use tickwire::wire::ws::{
    Decoder, DecoderConfig, Frame, Handshake, HandshakeError, MessageKind, Upgrade, WsError,
};
use tickwire::wire::{PADDING, RxBuffer, TxBuffer};
use tungstenite::handshake::derive_accept_key;

/// Longer inputs find nothing that shorter ones do not, and cost more.
const INPUT_MAX: usize = 64 << 10;

/// Splits off the octets that steer.
fn steer(data: &[u8]) -> Option<(u8, u8, &[u8])> {
    match data {
        [first, second, rest @ ..] if rest.len() <= INPUT_MAX => Some((*first, *second, rest)),
        _ => None,
    }
}

/// Cuts into pieces whose sizes follow from `seed`: of one octet for 0.
fn cut(mut octets: &[u8], seed: u8) -> impl Iterator<Item = &[u8]> {
    let mut rng = fastrand::Rng::with_seed(seed.into());
    std::iter::from_fn(move || {
        let size = match seed {
            0 => 1,
            _ => {
                let magnitude = rng.u32(0..11);
                1 + rng.usize(0..1 << magnitude)
            }
        };
        let (piece, rest) = octets.split_at(size.min(octets.len()));
        octets = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Message(MessageKind, Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, Vec<u8>),
}

/// Reads frames; gives what was seen and how it ended.
fn read_frames<'a>(
    config: DecoderConfig,
    capacity: usize,
    is_padded: bool,
    pieces: impl Iterator<Item = &'a [u8]>,
) -> (Vec<Seen>, Option<WsError>) {
    let mut decoder = Decoder::new(config);
    let mut rx = RxBuffer::new(capacity);
    let mut seen = Vec::new();
    for mut piece in pieces {
        while !piece.is_empty() {
            rx.compact();
            let taken = rx.fill_from(piece);
            assert!(taken > 0, "the decoder lets the buffer fill up");
            piece = &piece[taken..];
            loop {
                let next = match is_padded {
                    true => decoder.next_padded(&mut rx),
                    false => decoder.next(&mut rx),
                };
                match next {
                    Ok(Some(Frame::Message { kind, payload })) => {
                        let len = payload.len() - if is_padded { PADDING } else { 0 };
                        assert!(len <= config.message_bytes_max, "{len} is over the limit");
                        // What a parser does behind the payload, and must undo.
                        let behind = payload[len..].to_vec();
                        payload[len..].fill(0xFF);
                        payload[len..].copy_from_slice(&behind);
                        seen.push(Seen::Message(kind, payload[..len].to_vec()));
                    }
                    Ok(Some(Frame::Ping(payload))) => seen.push(Seen::Ping(payload.to_vec())),
                    Ok(Some(Frame::Pong(payload))) => seen.push(Seen::Pong(payload.to_vec())),
                    Ok(Some(Frame::Close { code, reason })) => {
                        seen.push(Seen::Close(code, reason.to_vec()));
                    }
                    Ok(None) => break,
                    Err(error) => return (seen, Some(error)),
                }
            }
        }
    }
    (seen, None)
}

/// A server's frames: the same, however they are cut.
pub(crate) fn frame(data: &[u8]) {
    let Some((seed, flags, octets)) = steer(data) else {
        return;
    };
    let config = DecoderConfig {
        message_bytes_max: 100 << (flags >> 5),
        check_utf8: flags & 1 != 0,
    };
    let whole = read_frames(config, INPUT_MAX, false, std::iter::once(octets));
    let capacity = 256 << (flags >> 1 & 3);
    let pieces = read_frames(config, capacity, flags & 8 != 0, cut(octets, seed));
    assert_eq!(whole, pieces);
    if config.check_utf8 {
        for seen in &whole.0 {
            if let Seen::Message(MessageKind::Text, text) = seen {
                assert!(std::str::from_utf8(text).is_ok(), "{text:?}");
            }
        }
    }
}

/// Where an input wants the right answer to the key.
const ACCEPT: &[u8] = b"@ACCEPT@";

/// A handshake, and the answer to its key.
fn start() -> (Handshake, String) {
    let upgrade = Upgrade {
        host: "example.com",
        port: 443,
        tls: true,
        target: "/ws",
        headers: &[],
        protocol: Some("v1"),
    };
    let mut tx = TxBuffer::new(1024);
    let mut rng = fastrand::Rng::with_seed(1);
    let handshake = match Handshake::start(&upgrade, &mut rng, &mut tx) {
        Ok(handshake) => handshake,
        Err(error) => panic!("our own request: {error}"),
    };
    let request = String::from_utf8_lossy(tx.pending());
    let key = request
        .lines()
        .find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "))
        .unwrap_or_default();
    (handshake, derive_accept_key(key.as_bytes()))
}

type Answer = (Result<Option<String>, HandshakeError>, Vec<u8>);

/// Reads the answer to an upgrade; gives the subprotocol or the error, and the octets behind it.
fn read_answer<'a>(octets: &[u8], pieces: impl Iterator<Item = &'a [u8]>) -> Answer {
    let (mut handshake, _) = start();
    // Larger than the input, so that all of a piece always fits.
    let mut rx = RxBuffer::new(INPUT_MAX + 1024);
    let mut came = 0;
    for piece in pieces {
        rx.compact();
        let taken = rx.fill_from(piece);
        assert_eq!(taken, piece.len(), "a head or body is not taken in");
        came += taken;
        match handshake.poll(&mut rx) {
            Ok(None) => {}
            Ok(Some(upgraded)) => {
                let tail = [rx.filled(), &octets[came..]].concat();
                return (Ok(upgraded.protocol), tail);
            }
            Err(error) => return (Err(error), Vec::new()),
        }
    }
    (Err(handshake.finish_eof()), Vec::new())
}

/// The answer to an upgrade: the same, however it is cut, and the first frames stay.
pub(crate) fn handshake(data: &[u8]) {
    let Some((seed, _, octets)) = steer(data) else {
        return;
    };
    let at = octets
        .windows(ACCEPT.len())
        .position(|window| window == ACCEPT);
    let octets = match at {
        Some(at) => {
            let (_, accept) = start();
            [
                &octets[..at],
                accept.as_bytes(),
                &octets[at + ACCEPT.len()..],
            ]
            .concat()
        }
        None => octets.to_vec(),
    };
    let whole = read_answer(&octets, std::iter::once(&*octets));
    let pieces = read_answer(&octets, cut(&octets, seed));
    match (&whole, &pieces) {
        ((Err(HandshakeError::Http(one)), _), (Err(HandshakeError::Http(two)), _)) => {
            assert_same_kind(one, two);
        }
        _ => assert_eq!(whole, pieces),
    }
}

type ResponseSeen = (u16, Vec<u8>, bool, Vec<u8>);

/// Reads one response; gives its parts and what is behind it.
fn read_response<'a>(
    limits: ResponseLimits,
    method: Method,
    octets: &[u8],
    pieces: impl Iterator<Item = &'a [u8]>,
) -> Result<Option<ResponseSeen>, HttpError> {
    let mut parser = ResponseParser::new(limits);
    parser.begin(method);
    let mut rx = RxBuffer::new(INPUT_MAX + 1024);
    let mut came = 0;
    for piece in pieces {
        rx.compact();
        assert_eq!(
            rx.fill_from(piece),
            piece.len(),
            "a head or body is not taken in"
        );
        came += piece.len();
        if let Some(response) = parser.poll(&mut rx)? {
            let (status, keep_alive) = (response.head.status, response.keep_alive);
            let body = std::mem::take(response.body);
            assert!(body.len() <= limits.body_bytes_max, "{} octets", body.len());
            let tail = [rx.filled(), &octets[came..]].concat();
            return Ok(Some((status, body, keep_alive, tail)));
        }
    }
    let ended = parser.finish_eof()?;
    Ok(ended.map(|response| {
        let body = std::mem::take(response.body);
        assert!(body.len() <= limits.body_bytes_max, "{} octets", body.len());
        (response.head.status, body, response.keep_alive, Vec::new())
    }))
}

/// An HTTP response: the same, however it is cut.
pub(crate) fn response(data: &[u8]) {
    let Some((seed, flags, octets)) = steer(data) else {
        return;
    };
    let limits = ResponseLimits {
        head: HeadLimits {
            head_bytes_max: 512 << (flags >> 6),
            interim_max: 2,
        },
        body_bytes_max: 100 << (flags >> 3 & 7),
    };
    let method = match flags & 1 {
        0 => Method::Get,
        _ => Method::Head,
    };
    let whole = read_response(limits, method, octets, std::iter::once(octets));
    let pieces = read_response(limits, method, octets, cut(octets, seed));
    match (&whole, &pieces) {
        (Err(one), Err(two)) => assert_same_kind(one, two),
        _ => assert_eq!(whole, pieces),
    }
}

/// The sizes in an error may differ with the cut: what is seen of too much depends on it.
fn assert_same_kind(one: &HttpError, two: &HttpError) {
    let same = std::mem::discriminant(one) == std::mem::discriminant(two);
    assert!(same, "{one:?} and {two:?}");
}

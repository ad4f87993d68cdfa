//! The upgrade, by section.

use super::super::handshake::{REFUSED_BODY_BYTES_MAX, base64_16};
use super::*;
use crate::wire::http::{FieldError, HttpError};
use tungstenite::handshake::derive_accept_key;

const UPGRADE: Upgrade<'static> = Upgrade {
    host: "stream.example.com",
    port: 443,
    tls: true,
    target: "/ws",
    headers: &[],
    protocol: None,
};

/// Starts a handshake; gives the request's text and the accept key that answers it.
fn start(upgrade: &Upgrade<'_>) -> (Handshake, String, String) {
    let mut tx = TxBuffer::new(64 << 10);
    let mut rng = fastrand::Rng::with_seed(3);
    let handshake = Handshake::start(upgrade, &mut rng, &mut tx).unwrap();
    let request = String::from_utf8(tx.pending().to_vec()).unwrap();
    let key = request
        .lines()
        .find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "))
        .unwrap();
    let accept = derive_accept_key(key.as_bytes());
    (handshake, request, accept)
}

fn answer(accept: &str, extra: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\n\
         Connection: keep-alive, upgrade\r\nSec-WebSocket-Accept: {accept}\r\n{extra}\r\n"
    )
}

/// Polls over `bytes` in chunks of `size`.
fn run(
    handshake: &mut Handshake,
    bytes: &[u8],
    size: usize,
) -> Result<(Upgraded, Vec<u8>), HandshakeError> {
    let mut rx = RxBuffer::new(70 << 10);
    for (index, chunk) in bytes.chunks(size).enumerate() {
        assert_eq!(rx.fill_from(chunk), chunk.len());
        if let Some(upgraded) = handshake.poll(&mut rx)? {
            rx.fill_from(&bytes[((index + 1) * size).min(bytes.len())..]);
            return Ok((upgraded, rx.filled().to_vec()));
        }
    }
    Err(handshake.finish_eof())
}

#[test]
fn the_sample_of_section_1_3() {
    assert_eq!(base64_16(*b"the sample nonce"), "dGhlIHNhbXBsZSBub25jZQ==");
    assert_eq!(base64_16([0xFF; 16]), "/////////////////////w==");
    assert_eq!(
        derive_accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="),
        "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    );
}

#[test]
fn request_by_section_4_1() {
    let long = format!("/stream?streams={}", "btcusdt@depth@100ms/".repeat(200));
    let upgrade = Upgrade {
        target: &long,
        port: 9443,
        headers: &[("X-MBX-APIKEY", "k"), ("Origin", "https://example.com")],
        protocol: Some("v1"),
        ..UPGRADE
    };
    let (_, request, _) = start(&upgrade);
    let first = format!("GET {long} HTTP/1.1\r\nHost: stream.example.com:9443\r\nX-MBX-APIKEY: k");
    assert!(request.starts_with(&first), "{request}");
    for line in [
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Protocol: v1",
        "Origin: https://example.com",
    ] {
        assert!(
            request.lines().any(|this| this == line),
            "{line} in {request}"
        );
    }
    assert!(request.ends_with("\r\n\r\n") && !request.contains("Extensions"));
    assert_eq!(
        start(&upgrade).1,
        request,
        "the same seed gives the same request"
    );
}

#[test]
fn the_request_cannot_be_split() {
    let refused: [(&str, Upgrade<'_>, FieldError); 8] = [
        (
            "target",
            Upgrade {
                target: "/a HTTP/1.1\r\nX: y",
                ..UPGRADE
            },
            FieldError::Target,
        ),
        (
            "no slash",
            Upgrade {
                target: "ws",
                ..UPGRADE
            },
            FieldError::Target,
        ),
        (
            "host",
            Upgrade {
                host: "a\r\nb",
                ..UPGRADE
            },
            FieldError::Host("a\r\nb".into()),
        ),
        (
            "host with a port",
            Upgrade {
                host: "a:1",
                ..UPGRADE
            },
            FieldError::Host("a:1".into()),
        ),
        (
            "value",
            Upgrade {
                headers: &[("A", "b\r\nC: d")],
                ..UPGRADE
            },
            FieldError::Value("A".into()),
        ),
        (
            "name",
            Upgrade {
                headers: &[("A:", "b")],
                ..UPGRADE
            },
            FieldError::Name("A:".into()),
        ),
        (
            "reserved",
            Upgrade {
                headers: &[("sec-websocket-Key", "b")],
                ..UPGRADE
            },
            FieldError::Reserved("sec-websocket-Key".into()),
        ),
        (
            "protocol",
            Upgrade {
                protocol: Some("a\nb"),
                ..UPGRADE
            },
            FieldError::Value("Sec-WebSocket-Protocol".into()),
        ),
    ];
    for (name, upgrade, error) in refused {
        let mut tx = TxBuffer::new(4096);
        let started = Handshake::start(&upgrade, &mut fastrand::Rng::with_seed(1), &mut tx);
        assert_eq!(started.err(), Some(HandshakeError::Field(error)), "{name}");
        assert!(tx.is_empty(), "{name}");
    }
    let mut small = TxBuffer::new(100);
    let started = Handshake::start(&UPGRADE, &mut fastrand::Rng::with_seed(1), &mut small);
    assert!(matches!(started, Err(HandshakeError::Full(_))));
}

#[test]
fn split_at_each_byte_the_tail_stays() {
    let (_, _, accept) = start(&UPGRADE);
    let head = answer(&accept, "Date: today\r\n");
    let bytes = [head.as_bytes(), b"\x81\x05first"].concat();
    for size in 1..=bytes.len() {
        let (mut handshake, ..) = start(&UPGRADE);
        let (upgraded, tail) = run(&mut handshake, &bytes, size).expect("a good answer");
        assert_eq!(tail, b"\x81\x05first", "in chunks of {size}");
        assert_eq!(upgraded.headers.get_str("date"), Some("today"));
    }
    for split in 0..head.len() {
        let (mut handshake, ..) = start(&UPGRADE);
        let error = run(&mut handshake, &head.as_bytes()[..split], 4096).unwrap_err();
        let expected = match split {
            0 => HttpError::ClosedBeforeResponse,
            _ => HttpError::Truncated,
        };
        assert_eq!(error, HandshakeError::Http(expected), "cut off at {split}");
    }
}

#[test]
fn an_interim_response_is_skipped() {
    let (mut handshake, _, accept) = start(&UPGRADE);
    let bytes = format!(
        "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n{}",
        answer(&accept, "")
    );
    assert!(run(&mut handshake, bytes.as_bytes(), 10).is_ok());
}

#[test]
fn answers_that_prove_nothing_are_refused() {
    let (_, _, accept) = start(&UPGRADE);
    let good = answer(&accept, "");
    let refused = [
        (
            "§4.1 step 2",
            good.replace("WebSocket", "h2c"),
            HandshakeError::MissingUpgrade,
        ),
        (
            "§4.1 step 2",
            good.replace("Upgrade: ", "X: "),
            HandshakeError::MissingUpgrade,
        ),
        (
            "§4.1 step 3",
            good.replace("keep-alive, upgrade", "upgrades"),
            HandshakeError::MissingConnection,
        ),
        (
            "§4.1 step 4",
            good.replace("-Accept", "-Except"),
            HandshakeError::WrongAccept,
        ),
        (
            "§4.1 step 4",
            good.replace(&accept, "AAAA"),
            HandshakeError::WrongAccept,
        ),
        (
            "§4.1 step 4, twice",
            answer(&accept, &format!("Sec-WebSocket-Accept: {accept}\r\n")),
            HandshakeError::WrongAccept,
        ),
        (
            "§4.1 step 5",
            answer(&accept, "Sec-WebSocket-Extensions: permessage-deflate\r\n"),
            HandshakeError::UnexpectedExtension,
        ),
        (
            "§4.1 step 6",
            answer(&accept, "Sec-WebSocket-Protocol: v1\r\n"),
            HandshakeError::UnexpectedProtocol,
        ),
        (
            "HTTP/1.0",
            good.replace("HTTP/1.1", "HTTP/1.0"),
            HandshakeError::WrongVersion,
        ),
        (
            "no HTTP",
            "\x15\x03\x01".into(),
            HandshakeError::Http(HttpError::NotHttp),
        ),
        (
            "too many headers",
            answer(&accept, &"A: b\r\n".repeat(100)),
            HandshakeError::Http(HttpError::TooManyHeaders { max: 100 }),
        ),
        (
            "endless headers",
            answer(&accept, &"Abcdefghijkl: b\r\n".repeat(5000)),
            HandshakeError::Http(HttpError::HeadTooLarge { max: 64 << 10 }),
        ),
    ];
    for (name, bytes, error) in refused {
        let (mut handshake, ..) = start(&UPGRADE);
        let mut rx = RxBuffer::new(128 << 10);
        rx.fill_from(bytes.as_bytes());
        assert_eq!(handshake.poll(&mut rx), Err(error), "{name}");
    }
}

#[test]
fn an_offered_protocol_may_be_chosen() {
    let upgrade = Upgrade {
        protocol: Some("v1"),
        ..UPGRADE
    };
    for (extra, expected) in [
        ("", Ok(None)),
        ("Sec-WebSocket-Protocol: v1\r\n", Ok(Some("v1".to_owned()))),
        (
            "Sec-WebSocket-Protocol: v2\r\n",
            Err(HandshakeError::UnexpectedProtocol),
        ),
    ] {
        let (mut handshake, _, accept) = start(&upgrade);
        let upgraded = run(&mut handshake, answer(&accept, extra).as_bytes(), 4096);
        assert_eq!(upgraded.map(|(upgraded, _)| upgraded.protocol), expected);
    }
}

#[test]
fn a_refusal_says_why() {
    let long = "x".repeat(10_000);
    let short = &long[..REFUSED_BODY_BYTES_MAX];
    let chunked =
        format!("HTTP/1.1 403 F\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nfff1\r\n{long}");
    let cases = [
        (
            "HTTP/1.1 429 Too Many\r\nRetry-After: 30\r\nContent-Length: 4\r\n\r\nslowdown".to_owned(),
            429,
            "slow",
            Some(30),
        ),
        ("HTTP/1.1 403 Forbidden\r\n\r\nuntil the end".to_owned(), 403, "until the end", None),
        (format!("HTTP/1.1 503 F\r\nContent-Length: 10000\r\n\r\n{long}"), 503, short, None),
        (format!("HTTP/1.1 503 F\r\n\r\n{long}"), 503, short, None),
        (chunked, 403, "abc", None),
        ("HTTP/1.1 418 F\r\nContent-Length: 9\r\n\r\ncut".to_owned(), 418, "cut", None),
        (
            "HTTP/1.1 302 F\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\nbroken".to_owned(),
            302,
            "ok",
            None,
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n".to_owned(), 200, "", None),
        (
            "HTTP/1.1 429 T\r\nRetry-After: Fri, 31 Dec 1999 23:59:59 GMT\r\nContent-Length: 0\r\n\r\n"
                .to_owned(),
            429,
            "",
            // 1999 is over.
            Some(0),
        ),
        (
            "HTTP/1.1 503 T\r\nDate: Fri, 31 Dec 1999 23:59:29 GMT\r\n\
             Retry-After: Fri, 31 Dec 1999 23:59:59 GMT\r\nContent-Length: 0\r\n\r\n"
                .to_owned(),
            503,
            "",
            // By the server's clock, whatever ours says.
            Some(30),
        ),
        (
            "HTTP/1.1 418 T\r\nRetry-After: Tue, 21 Jul 2026 12:01:00 GMT\r\n\
             Date: now\r\nContent-Length: 0\r\n\r\n"
                .to_owned(),
            418,
            "",
            Some(60),
        ),
        (
            "HTTP/1.1 429 T\r\nRetry-After: soon\r\nContent-Length: 0\r\n\r\n".to_owned(),
            429,
            "",
            None,
        ),
    ];
    // Tue, 21 Jul 2026 12:00:00 GMT.
    const WALL_S: i64 = 1_784_635_200;
    for (bytes, status, body, retry_after) in cases {
        for size in [1, 1000, 70_000] {
            let (mut handshake, ..) = start(&UPGRADE);
            let error = run(&mut handshake, bytes.as_bytes(), size).unwrap_err();
            let HandshakeError::Refused(refused) = error else {
                panic!("{bytes}: {error}")
            };
            assert_eq!(refused.status, status);
            assert_eq!(
                String::from_utf8_lossy(&refused.body),
                body,
                "{bytes} by {size}"
            );
            assert_eq!(refused.retry_after_secs(WALL_S), retry_after);
        }
    }
}

//! Tables with the sections of RFC 9110 and RFC 9112 that they come from.

use proptest::prelude::*;

use super::*;
use crate::wire::{RxBuffer, TxBuffer};

/// A response as an owned value.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    status: u16,
    body: Vec<u8>,
    keep_alive: bool,
}

impl From<Response<'_>> for Seen {
    fn from(response: Response<'_>) -> Self {
        Self {
            status: response.head.status,
            body: response.body.clone(),
            keep_alive: response.keep_alive,
        }
    }
}

/// What came, and the bytes behind it; a response that only the end of the link ends is ended.
fn run(
    limits: ResponseLimits,
    method: Method,
    bytes: &[u8],
    sizes: &[usize],
) -> Result<Option<(Seen, Vec<u8>)>, HttpError> {
    let mut parser = ResponseParser::new(limits);
    parser.begin(method);
    let mut rx = RxBuffer::new(4096);
    let mut rest = bytes;
    for &size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        rx.compact();
        let taken = rx.fill_from(&rest[..size.min(rest.len())]);
        assert!(taken > 0, "the parser lets the buffer fill up");
        rest = &rest[taken..];
        match parser.poll(&mut rx) {
            Ok(Some(response)) => {
                let seen = Seen::from(response);
                return Ok(Some((seen, [rx.filled(), rest].concat())));
            }
            Ok(None) => {}
            Err(error) => {
                assert_eq!(parser.poll(&mut rx), Err(error.clone()), "errors are final");
                return Err(error);
            }
        }
    }
    Ok(parser
        .finish_eof()?
        .map(|response| (response.into(), vec![])))
}

fn small() -> ResponseLimits {
    ResponseLimits {
        head: HeadLimits {
            head_bytes_max: 2048,
            interim_max: 2,
        },
        body_bytes_max: 1000,
    }
}

fn seen(status: u16, body: &[u8], keep_alive: bool) -> Seen {
    Seen {
        status,
        body: body.to_vec(),
        keep_alive,
    }
}

#[test]
fn bodies_by_section_6_3() {
    let get = Method::Get;
    let cases: [(&str, Method, &str, Seen, &str); 18] = [
        (
            "length",
            get,
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHT",
            seen(200, b"ok", true),
            "HT",
        ),
        (
            "no length: until the end",
            get,
            "HTTP/1.1 200 OK\r\n\r\nok",
            seen(200, b"ok", false),
            "",
        ),
        (
            "length 0",
            get,
            "HTTP/1.1 200 OK\r\ncontent-length:0\r\n\r\n",
            seen(200, b"", true),
            "",
        ),
        (
            "HEAD",
            Method::Head,
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nHT",
            seen(200, b"", true),
            "HT",
        ),
        (
            "204",
            get,
            "HTTP/1.1 204 No\r\nContent-Length: 9\r\n\r\nHT",
            seen(204, b"", true),
            "HT",
        ),
        (
            "304",
            get,
            "HTTP/1.1 304 No\r\nTransfer-Encoding: chunked\r\n\r\nHT",
            seen(304, b"", true),
            "HT",
        ),
        (
            "§9.3 close",
            get,
            "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 0\r\n\r\n",
            seen(200, b"", false),
            "",
        ),
        (
            "§9.3 HTTP/1.0",
            get,
            "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
            seen(200, b"", false),
            "",
        ),
        (
            "§9.3 HTTP/1.0 kept",
            get,
            "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 0\r\n\r\n",
            seen(200, b"", true),
            "",
        ),
        (
            "§7.1 chunked",
            get,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nab\r\n0A\r\n0123456789\r\n0\r\n\r\nHT",
            seen(200, b"ab0123456789", true),
            "HT",
        ),
        (
            "§7.1.1 extensions",
            get,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b;c=\"d\"\r\nab\r\n0 ;x\r\n\r\n",
            seen(200, b"ab", true),
            "",
        ),
        (
            "§7.1.2 trailers",
            get,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nA: b\r\nC: d\r\n\r\nHT",
            seen(200, b"a", true),
            "HT",
        ),
        (
            "§7.1 leading zeroes",
            get,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n00000000000000000001\r\na\r\n000\r\n\r\n",
            seen(200, b"a", true),
            "",
        ),
        (
            "RFC 9110 §15.2 interim",
            get,
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nA: b\r\n\r\nHTTP/1.1 201 C\r\nContent-Length: 1\r\n\r\nx",
            seen(201, b"x", true),
            "",
        ),
        (
            "§2.2 bare LF in the head",
            get,
            "HTTP/1.1 200 OK\nContent-Length: 1\n\nx",
            seen(200, b"x", true),
            "",
        ),
        (
            "§4 no reason",
            get,
            "HTTP/1.1 200\r\nContent-Length: 1\r\n\r\nx",
            seen(200, b"x", true),
            "",
        ),
        (
            "§4 reason in Latin-1 or UTF-8",
            get,
            "HTTP/1.1 200 Ünï\r\nContent-Length: 1\r\n\r\nx",
            seen(200, b"x", true),
            "",
        ),
        (
            "status beyond 599",
            get,
            "HTTP/1.1 799 X\r\nContent-Length: 1\r\n\r\nx",
            seen(799, b"x", true),
            "",
        ),
    ];
    for (name, method, bytes, expected, tail) in cases {
        for size in [1, 2, 3, 7, 4096] {
            let got = run(small(), method, bytes.as_bytes(), &[size]);
            let expected = Ok(Some((expected.clone(), tail.as_bytes().to_vec())));
            assert_eq!(got, expected, "{name} by {size}");
        }
    }
}

#[test]
fn faults_by_section() {
    let ok = "HTTP/1.1 200 OK\r\n";
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let too_large = |size| HttpError::BodyTooLarge { size, max: 1000 };
    let cases = [
        (
            "§6.3 repeated",
            format!("{ok}Content-Length: 1\r\nContent-Length: 1\r\n\r\n"),
            HttpError::BadContentLength,
        ),
        (
            "§6.3 in conflict",
            format!("{ok}Content-Length: 1\r\nContent-Length: 2\r\n\r\n"),
            HttpError::BadContentLength,
        ),
        (
            "§6.3 list",
            format!("{ok}Content-Length: 1, 1\r\n\r\n"),
            HttpError::BadContentLength,
        ),
        (
            "§6.3 sign",
            format!("{ok}Content-Length: +1\r\n\r\n"),
            HttpError::BadContentLength,
        ),
        (
            "§6.3 empty",
            format!("{ok}Content-Length: \r\n\r\n"),
            HttpError::BadContentLength,
        ),
        (
            "§6.3 beyond 64 bits",
            format!("{ok}Content-Length: 18446744073709551616\r\n\r\n"),
            HttpError::BadContentLength,
        ),
        (
            "length over the limit",
            format!("{ok}Content-Length: 18446744073709551615\r\n\r\n"),
            too_large(u64::MAX),
        ),
        (
            "length over the limit",
            format!("{ok}Content-Length: 1001\r\n\r\n"),
            too_large(1001),
        ),
        (
            "§6.1 both",
            format!("{ok}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
            HttpError::ConflictingLength,
        ),
        (
            "§6.1 gzip",
            format!("{ok}Transfer-Encoding: gzip, chunked\r\n\r\n"),
            HttpError::UnsupportedTransferEncoding,
        ),
        (
            "§6.1 twice",
            format!("{ok}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
            HttpError::UnsupportedTransferEncoding,
        ),
        (
            "§6.1 in HTTP/1.0",
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".into(),
            HttpError::UnsupportedTransferEncoding,
        ),
        (
            "chunks over the limit",
            format!("{chunked}3e8\r\n{}\r\n1\r\n", "x".repeat(1000)),
            too_large(1001),
        ),
        (
            "huge chunk",
            format!("{chunked}1\r\na\r\nffffffffffffffff\r\n"),
            too_large(u64::MAX),
        ),
        (
            "§7.1 size beyond 64 bits",
            format!("{chunked}10000000000000000\r\n"),
            HttpError::BadChunk,
        ),
        (
            "§7.1 no size",
            format!("{chunked}\r\n"),
            HttpError::BadChunk,
        ),
        (
            "§7.1 not hex",
            format!("{chunked}g\r\n"),
            HttpError::BadChunk,
        ),
        ("§7.1 sign", format!("{chunked}-1\r\n"), HttpError::BadChunk),
        ("§7.1 0x", format!("{chunked}0x1\r\n"), HttpError::BadChunk),
        (
            "§7.1 bare LF",
            format!("{chunked}1\na\n"),
            HttpError::BadChunk,
        ),
        (
            "§7.1 CR inside",
            format!("{chunked}1;\ra\r\n"),
            HttpError::BadChunk,
        ),
        (
            "§7.1 data too long",
            format!("{chunked}1\r\nabc"),
            HttpError::BadChunk,
        ),
        (
            "endless extension",
            format!("{chunked}1;{}", "x".repeat(4095)),
            HttpError::ChunkMetaTooLong,
        ),
        (
            "endless zeroes",
            format!(
                "{chunked}{}",
                format!("{}1\r\na\r\n", "0".repeat(4000)).repeat(9)
            ),
            HttpError::ChunkMetaTooLong,
        ),
        (
            "endless extensions",
            format!(
                "{chunked}{}",
                format!("1;{}\r\na\r\n", "x".repeat(2000)).repeat(9)
            ),
            HttpError::ChunkMetaTooLong,
        ),
        (
            "endless trailers",
            format!(
                "{chunked}0\r\n{}",
                format!("A: {}\r\n", "x".repeat(2000)).repeat(9)
            ),
            HttpError::ChunkMetaTooLong,
        ),
        (
            "until the end over the limit",
            format!("{ok}\r\n{}", "x".repeat(1001)),
            too_large(1001),
        ),
        (
            "endless headers",
            format!("{ok}{}", "A: b\r\n".repeat(1000)),
            HttpError::HeadTooLarge { max: 2048 },
        ),
        (
            "endless line",
            format!("{ok}A: {}", "x".repeat(3000)),
            HttpError::HeadTooLarge { max: 2048 },
        ),
        (
            "too many headers",
            format!("{ok}{}\r\n", "A: b\r\n".repeat(101)),
            HttpError::TooManyHeaders { max: 100 },
        ),
        (
            "endless interim",
            "HTTP/1.1 100 C\r\n\r\n".repeat(9),
            HttpError::TooManyInterim { max: 2 },
        ),
        (
            "101",
            "HTTP/1.1 101 S\r\n\r\n".into(),
            HttpError::UnexpectedUpgrade,
        ),
        ("HTTP/2", "HTTP/2 200\r\n\r\n".into(), HttpError::NotHttp),
        (
            "TLS",
            "\x15\x03\x03\0\x02\x02\x28".into(),
            HttpError::NotHttp,
        ),
        (
            "a slipped link",
            "}HTTP/1.1 200 OK\r\n\r\n".into(),
            HttpError::NotHttp,
        ),
        (
            "§4 status",
            "HTTP/1.1 20 OK\r\n\r\n".into(),
            HttpError::Malformed(httparse::Error::Status),
        ),
        (
            "§4 status 099",
            "HTTP/1.1 099 OK\r\n\r\n".into(),
            HttpError::Malformed(httparse::Error::Status),
        ),
        (
            "§5 name",
            format!("{ok}A b: c\r\n\r\n"),
            HttpError::Malformed(httparse::Error::HeaderName),
        ),
        (
            "§5.2 folded line",
            format!("{ok}A: b\r\n c\r\n\r\n"),
            HttpError::Malformed(httparse::Error::HeaderName),
        ),
        (
            "§8 cut off in the head",
            "HTTP/1.1 200".into(),
            HttpError::Truncated,
        ),
        (
            "§8 cut off in the body",
            format!("{ok}Content-Length: 2\r\n\r\na"),
            HttpError::Truncated,
        ),
        (
            "§8 cut off in a chunk",
            format!("{chunked}2\r\na"),
            HttpError::Truncated,
        ),
        (
            "§8 cut off before the last chunk",
            format!("{chunked}1\r\na\r\n"),
            HttpError::Truncated,
        ),
        (
            "§9.5 closed before",
            String::new(),
            HttpError::ClosedBeforeResponse,
        ),
    ];
    for (name, bytes, error) in cases {
        let got = run(small(), Method::Get, bytes.as_bytes(), &[4096]);
        // In one piece the size that is reported may be larger.
        assert_eq!(got.unwrap_err(), error, "{name}");
        for size in [1, 5] {
            let got = run(small(), Method::Get, bytes.as_bytes(), &[size]).unwrap_err();
            let same_kind = std::mem::discriminant(&got) == std::mem::discriminant(&error);
            assert!(same_kind, "{name} by {size}: {got:?}");
        }
    }
}

#[test]
fn responses_follow_one_another_and_memory_stays() {
    let mut parser = ResponseParser::new(small());
    let mut rx = RxBuffer::new(4096);
    assert_eq!(parser.poll(&mut rx), Ok(None));
    assert_eq!(parser.finish_eof(), Ok(None), "an idle link may be closed");
    for body in ["first response", "second", ""] {
        parser.begin(Method::Get);
        assert!(parser.is_busy());
        let bytes = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nRetry-After: 7\r\n\r\n{body}",
            body.len()
        );
        rx.fill_from(bytes.as_bytes());
        let response = parser.poll(&mut rx).unwrap().expect("a whole response");
        assert_eq!(response.body, body.as_bytes());
        assert!(response.body.capacity() >= 14 && response.keep_alive);
        assert_eq!(response.head.headers.retry_after_secs(0), Some(7));
        assert_eq!(response.head.headers.len(), 2);
        assert!(!parser.is_busy());
    }
    rx.fill_from(b"H");
    assert_eq!(parser.poll(&mut rx), Err(HttpError::Unsolicited));
}

#[test]
fn headers_are_found_whatever_their_case() {
    let mut headers = Headers::default();
    for (name, value) in [
        ("X-Used", "12"),
        ("vary", "a,  B"),
        ("Vary", "c"),
        ("n", "+1"),
        ("e", ""),
    ] {
        headers.push(name, value.as_bytes());
    }
    assert_eq!(headers.get_u64("x-USED"), Some(12));
    assert_eq!(headers.get("nothing"), None);
    assert_eq!((headers.get_u64("n"), headers.get_u64("e")), (None, None));
    assert!(headers.has_token("VARY", "b") && headers.has_token("vary", "C"));
    assert!(!headers.has_token("vary", "d"));
    assert_eq!(headers.all("vary").count(), 2);
    assert_eq!(format!("{headers:?}").matches("ary").count(), 2);
}

#[test]
fn authority_by_section_7_2() {
    let fine = [
        (("api.example.com", 443, 443), "api.example.com"),
        (("api.example.com", 8443, 443), "api.example.com:8443"),
        (("127.0.0.1", 80, 80), "127.0.0.1"),
        (("::1", 9000, 80), "[::1]:9000"),
        (("[::1]", 80, 80), "[::1]"),
    ];
    for ((host, port, default), expected) in fine {
        assert_eq!(authority(host, port, default).as_deref(), Ok(expected));
    }
    for host in [
        "", "a b", "a:1", "a/b", "user@a", "a\r\nb", "[a]", "[]", "ä",
    ] {
        assert_eq!(
            authority(host, 80, 80),
            Err(FieldError::Host(host.to_owned()))
        );
    }
}

#[test]
fn requests_by_section() {
    let request = Request {
        method: Method::Get,
        target: "/api/v3/depth?symbol=BTCUSDT",
        host: "api.example.com",
        headers: &[("X-KEY", "k\tä")],
        body: b"",
    };
    let mut tx = TxBuffer::new(300);
    request.encode(&mut tx).unwrap();
    let expected = "GET /api/v3/depth?symbol=BTCUSDT HTTP/1.1\r\nHost: api.example.com\r\n\
                    X-KEY: k\tä\r\n\r\n";
    assert_eq!(std::str::from_utf8(tx.pending()), Ok(expected));
    tx.clear();
    for (method, body, length) in [
        (Method::Post, "", Some("0")),
        (Method::Put, "0123456789", Some("10")),
        (Method::Delete, "", None),
        (Method::Delete, "x", Some("1")),
        (Method::Head, "", None),
        (Method::Patch, "{}", Some("2")),
    ] {
        tx.clear();
        Request {
            method,
            body: body.as_bytes(),
            ..request
        }
        .encode(&mut tx)
        .unwrap();
        let text = std::str::from_utf8(tx.pending()).unwrap();
        let found = text
            .lines()
            .find_map(|line| line.strip_prefix("Content-Length: "));
        assert_eq!(found, length, "{text}");
        assert!(text.starts_with(method.as_str()) && text.ends_with(&format!("\r\n\r\n{body}")));
        let mut slots = [httparse::EMPTY_HEADER; 8];
        assert!(
            httparse::Request::new(&mut slots)
                .parse(text.as_bytes())
                .unwrap()
                .is_complete()
        );
    }

    tx.clear();
    let refused = [
        (
            Request {
                target: "/ HTTP/1.1\r\nA: b",
                ..request
            },
            FieldError::Target,
        ),
        (
            Request {
                target: "/a b",
                ..request
            },
            FieldError::Target,
        ),
        (
            Request {
                target: "",
                ..request
            },
            FieldError::Target,
        ),
        (
            Request {
                target: "/ä",
                ..request
            },
            FieldError::Target,
        ),
        (
            Request {
                host: "a\r\nb",
                ..request
            },
            FieldError::Host("a\r\nb".into()),
        ),
        (
            Request {
                headers: &[("", "b")],
                ..request
            },
            FieldError::Name(String::new()),
        ),
        (
            Request {
                headers: &[("A\r\nB", "b")],
                ..request
            },
            FieldError::Name("A\r\nB".into()),
        ),
        (
            Request {
                headers: &[("A", "b\nc")],
                ..request
            },
            FieldError::Value("A".into()),
        ),
        (
            Request {
                headers: &[("A", "b\0")],
                ..request
            },
            FieldError::Value("A".into()),
        ),
        (
            Request {
                headers: &[("HOST", "b")],
                ..request
            },
            FieldError::Reserved("HOST".into()),
        ),
        (
            Request {
                headers: &[("Content-length", "5")],
                ..request
            },
            FieldError::Reserved("Content-length".into()),
        ),
    ];
    for (request, error) in refused {
        assert_eq!(request.encode(&mut tx), Err(RequestError::Field(error)));
    }
    let big = [b'x'; 300];
    assert!(matches!(
        Request {
            body: &big,
            ..request
        }
        .encode(&mut tx),
        Err(RequestError::Full(_))
    ));
    assert!(tx.is_empty());
    assert!(
        !format!("{request:?}").contains('ä'),
        "values stay out of logs"
    );
}

/// Pieces from which responses are made, well-formed and not.
fn response_bytes() -> impl Strategy<Value = Vec<u8>> {
    let chunk = prop::collection::vec(any::<u8>(), 1..60).prop_map(|data| {
        [
            format!("{:x};e=1\r\n", data.len()).as_bytes(),
            &data,
            b"\r\n",
        ]
        .concat()
    });
    let body = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..500).prop_map(|body| {
            [
                format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes(),
                &body,
            ]
            .concat()
        }),
        (prop::collection::vec(chunk, 0..10), any::<bool>()).prop_map(|(chunks, trailer)| {
            let end = if trailer {
                "0\r\nT: x\r\n\r\n"
            } else {
                "0\r\n\r\n"
            };
            [
                b"Transfer-Encoding: chunked\r\n\r\n",
                &chunks.concat()[..],
                end.as_bytes(),
            ]
            .concat()
        }),
        prop::collection::vec(any::<u8>(), 0..500).prop_map(|body| [b"\r\n", &body[..]].concat()),
    ];
    let head = prop_oneof![
        Just("HTTP/1.1 200 OK\r\n"),
        Just("HTTP/1.0 404 No\r\nServer: x\r\n"),
        Just("HTTP/1.1 100 C\r\n\r\nHTTP/1.1 200 OK\r\nConnection: close\r\n"),
        Just("HTTP/1.1 204 N\r\n"),
    ];
    let damage = prop::option::weighted(0.3, (any::<prop::sample::Index>(), any::<u8>()));
    (
        head,
        body,
        prop::collection::vec(any::<u8>(), 0..20),
        damage,
    )
        .prop_map(|(head, body, tail, damage)| {
            let mut bytes = [head.as_bytes(), &body, &tail].concat();
            if let Some((index, byte)) = damage {
                let index = index.index(bytes.len());
                bytes[index] = byte;
            }
            bytes
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn chunks_do_not_matter(
        bytes in response_bytes(),
        sizes in prop::collection::vec(1_usize..200, 1..8),
        head in any::<bool>(),
    ) {
        let method = if head { Method::Head } else { Method::Get };
        let whole = run(small(), method, &bytes, &[4096]);
        let pieces = run(small(), method, &bytes, &sizes);
        match (whole, pieces) {
            (Err(HttpError::BodyTooLarge { .. }), Err(HttpError::BodyTooLarge { .. })) => {}
            (whole, pieces) => prop_assert_eq!(whole, pieces),
        }
    }

    #[test]
    fn random_bytes_never_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        sizes in prop::collection::vec(1_usize..50, 1..8),
        chunked in any::<bool>(),
    ) {
        let head: &[u8] =
            if chunked { b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" } else { b"" };
        let bytes = [head, &bytes].concat();
        let _ = run(small(), Method::Get, &bytes, &sizes);
    }
}

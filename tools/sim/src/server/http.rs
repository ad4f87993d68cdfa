//! HTTP/1.1 on the server side: one request out of a byte buffer, one answer into one.

use std::io::Write;

use tungstenite::handshake::server::{create_response, write_response};
use tungstenite::http::{Request, Version};

use crate::venue::HttpResponse;

/// A request head may be this long; venues answer 431 or so beyond some KiB.
const HEAD_MAX: usize = 16 << 10;
/// And a body this long: REST bodies are order parameters.
const BODY_MAX: usize = 64 << 10;
/// Headers a request may have.
const HEADERS_MAX: usize = 64;
/// Size of one chunk of a chunked body.
const CHUNK: usize = 16 << 10;

/// A parsed request.
#[derive(Debug)]
pub struct Parsed {
    /// `GET`, `POST` ..
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Headers, in their order.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
    /// Whether the connection is to live on.
    pub keep_alive: bool,
    /// HTTP/1.1, else 1.0.
    pub http11: bool,
    /// The 101 answer, if this is a valid upgrade request.
    pub upgrade: Option<Vec<u8>>,
    /// Bytes of the buffer that it took.
    pub(super) consumed: usize,
}

/// A request that cannot be answered but with this status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bad(pub(super) u16);

/// Takes one request from the front of the buffer; `None`: not whole yet.
pub(super) fn parse(buf: &[u8]) -> Result<Option<Parsed>, Bad> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let head = match request.parse(buf) {
        Ok(httparse::Status::Complete(head)) => head,
        Ok(httparse::Status::Partial) if buf.len() < HEAD_MAX => return Ok(None),
        Ok(httparse::Status::Partial) => return Err(Bad(431)),
        Err(_) => return Err(Bad(400)),
    };
    let (Some(method), Some(target)) = (request.method, request.path) else {
        return Err(Bad(400));
    };
    let header = |name: &str| {
        let found = request
            .headers
            .iter()
            .find(|h| h.name.eq_ignore_ascii_case(name));
        found.map(|h| String::from_utf8_lossy(h.value).into_owned())
    };
    let length = match header("content-length") {
        None => 0,
        Some(text) => text.trim().parse::<usize>().map_err(|_| Bad(400))?,
    };
    if header("transfer-encoding").is_some() {
        // No venue's client sends a chunked request.
        return Err(Bad(411));
    }
    if length > BODY_MAX {
        return Err(Bad(413));
    }
    let Some(body) = buf.get(head..head + length) else {
        return Ok(None);
    };
    let http11 = request.version == Some(1);
    let connection = header("connection")
        .unwrap_or_default()
        .to_ascii_lowercase();
    let wants_upgrade = header("upgrade").is_some_and(|u| u.eq_ignore_ascii_case("websocket"));
    let upgrade = if wants_upgrade {
        Some(handshake(&request, http11)?)
    } else {
        None
    };
    Ok(Some(Parsed {
        method: method.to_owned(),
        target: target.to_owned(),
        headers: request
            .headers
            .iter()
            .map(|h| {
                (
                    h.name.to_owned(),
                    String::from_utf8_lossy(h.value).into_owned(),
                )
            })
            .collect(),
        body: body.to_vec(),
        keep_alive: if http11 {
            !connection.contains("close")
        } else {
            connection.contains("keep")
        },
        http11,
        upgrade,
        consumed: head + length,
    }))
}

/// The 101 answer; tungstenite checks the request and derives the accept key.
fn handshake(request: &httparse::Request<'_, '_>, http11: bool) -> Result<Vec<u8>, Bad> {
    let version = if http11 {
        Version::HTTP_11
    } else {
        Version::HTTP_10
    };
    let mut builder = Request::builder().method("GET").uri("/").version(version);
    for header in request.headers.iter() {
        builder = builder.header(header.name, header.value);
    }
    let request = builder.body(()).map_err(|_| Bad(400))?;
    let response = create_response(&request).map_err(|_| Bad(400))?;
    let mut bytes = Vec::new();
    write_response(&mut bytes, &response).map_err(|_| Bad(400))?;
    Ok(bytes)
}

/// Appends an answer. Large bodies go chunked to HTTP/1.1 clients.
pub(super) fn respond(
    out: &mut Vec<u8>,
    response: &HttpResponse,
    http11: bool,
    keep_alive: bool,
    chunk_from: usize,
) {
    let reason = match response.status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        418 => "I'm a teapot",
        429 => "Too Many Requests",
        503 => "Service Unavailable",
        _ => "Status",
    };
    let mut head = format!(
        "HTTP/1.1 {} {reason}\r\nContent-Type: application/json;charset=UTF-8\r\nConnection: {}\r\n",
        response.status,
        if keep_alive { "keep-alive" } else { "close" },
    );
    for (name, value) in &response.headers {
        head.push_str(name);
        head.push_str(": ");
        head.push_str(value);
        head.push_str("\r\n");
    }
    let chunked = http11 && response.body.len() >= chunk_from.max(1);
    if chunked {
        head.push_str("Transfer-Encoding: chunked\r\n\r\n");
    } else {
        head.push_str(&format!("Content-Length: {}\r\n\r\n", response.body.len()));
    }
    out.extend_from_slice(head.as_bytes());
    if chunked {
        for chunk in response.body.chunks(CHUNK) {
            // Writing to a Vec cannot fail.
            let _ = write!(out, "{:x}\r\n", chunk.len());
            out.extend_from_slice(chunk);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"0\r\n\r\n");
    } else {
        out.extend_from_slice(&response.body);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_come_whole_or_not_at_all() {
        let text = b"GET /api/v3/time?x=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhiGET";
        for end in 0..text.len() - 3 {
            assert!(parse(&text[..end]).unwrap().is_none(), "{end}");
        }
        let parsed = parse(text).unwrap().unwrap();
        assert_eq!(parsed.target, "/api/v3/time?x=1");
        assert_eq!(
            (parsed.body.as_slice(), parsed.keep_alive),
            (&b"hi"[..], true)
        );
        assert_eq!(parsed.consumed, text.len() - 3);
        assert!(parsed.upgrade.is_none());
    }

    #[test]
    fn bad_requests_are_refused() {
        assert_eq!(parse(b"\x00\x01\x02\r\n\r\n").unwrap_err(), Bad(400));
        let long = vec![b'a'; HEAD_MAX];
        assert!(parse(&[b"GET /", long.as_slice()].concat()).is_err());
        let huge = b"POST / HTTP/1.1\r\nContent-Length: 999999999999\r\n\r\n";
        assert_eq!(parse(huge).unwrap_err(), Bad(413));
        let no_key = b"GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        assert_eq!(parse(no_key).unwrap_err(), Bad(400));
    }

    #[test]
    fn large_bodies_are_chunked() {
        let response = HttpResponse::json(200, vec![b'x'; 40_000]);
        let mut out = Vec::new();
        respond(&mut out, &response, true, true, 1_000);
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("Transfer-Encoding: chunked\r\n\r\n4000\r\n"));
        assert!(text.ends_with("\r\n0\r\n\r\n"));
    }
}

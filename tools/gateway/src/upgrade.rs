//! The HTTP side: who may open a WebSocket is judged here, before anything is upgraded. Bytes in, a verdict
//! out; no socket.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tickwire::Nanos;
use tungstenite::handshake::derive_accept_key;

use crate::auth::{Auth, AuthError, Identity, Shown, TICKET_LIFE};
use crate::protocol::ErrorBody;

/// Headers of a request at most.
const HEADERS_MAX: usize = 64;

/// What the gateway's subprotocol is called. A client that shows its token as the subprotocol
/// `bearer.TOKEN` offers this one too, and it is the one that is chosen: no token comes back.
pub const SUBPROTOCOL: &str = "tickwire.v1";

/// Who may call, by `Host` and `Origin`.
#[derive(Clone, Debug)]
pub(crate) struct Doors {
    pub(crate) hosts: Vec<String>,
    pub(crate) origins: Vec<String>,
    pub(crate) secure: bool,
}

/// What is to be done with a request.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// The head is not whole yet.
    More,
    /// Let in: write `response`, then speak WebSocket. `used` bytes were the request.
    Upgrade {
        response: String,
        identity: Box<Identity>,
        used: usize,
    },
    /// Answer `/metrics` with the counters.
    Metrics,
    /// Write this and close.
    Reply { response: String, status: u16 },
}

struct Request<'a> {
    method: &'a str,
    path: &'a str,
    query: &'a str,
    headers: &'a [httparse::Header<'a>],
}

impl Request<'_> {
    /// A header that must not be there twice; `Err` where it is, or is no text.
    fn one(&self, name: &str) -> Result<Option<&str>, ()> {
        let mut found = self
            .headers
            .iter()
            .filter(|header| header.name.eq_ignore_ascii_case(name));
        let Some(header) = found.next() else {
            return Ok(None);
        };
        if found.next().is_some() {
            return Err(());
        }
        std::str::from_utf8(header.value)
            .map(|value| Some(value.trim()))
            .map_err(|_| ())
    }

    /// The items of all headers of this name that are lists.
    fn list(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers
            .iter()
            .filter(move |header| header.name.eq_ignore_ascii_case(name))
            .filter_map(|header| std::str::from_utf8(header.value).ok())
            .flat_map(|value| value.split(','))
            .map(str::trim)
    }

    fn has(&self, name: &str, word: &str) -> bool {
        self.list(name).any(|item| item.eq_ignore_ascii_case(word))
    }

    fn query(&self, name: &str) -> Option<&str> {
        self.query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find_map(|(key, value)| (key == name).then_some(value))
    }

    /// What it shows of itself, the first of: header, subprotocol, query.
    fn shown(&self) -> Shown {
        if let Ok(Some(value)) = self.one("authorization") {
            return match value.split_once(' ') {
                Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
                    Shown::Token(token.trim().to_owned())
                }
                // Shown, and of no use: that is an invalid token, not none.
                _ => Shown::Token(String::new()),
            };
        }
        let offered = self.list("sec-websocket-protocol");
        if let Some(text) = { offered }.find_map(|item| item.strip_prefix("bearer.")) {
            let token = URL_SAFE_NO_PAD.decode(text).ok();
            let token = token.and_then(|token| String::from_utf8(token).ok());
            return Shown::Token(token.unwrap_or_default());
        }
        if let Some(ticket) = self.query("ticket") {
            return Shown::Ticket(ticket.to_owned());
        }
        match self.query("token") {
            Some(token) => Shown::Token(token.to_owned()),
            None => Shown::Nothing,
        }
    }
}

/// Judges what has come so far of a connection. `full` says that no more may come than this.
pub(crate) fn judge(
    bytes: &[u8],
    full: bool,
    doors: &Doors,
    auth: &mut Auth,
    now: Nanos,
) -> Verdict {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut headers);
    let used = match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(used)) => used,
        Ok(httparse::Status::Partial) if full => return reply(431, "the head is too large"),
        Ok(httparse::Status::Partial) => return Verdict::More,
        Err(httparse::Error::TooManyHeaders) => return reply(431, "too many headers"),
        Err(_) => return reply(400, "not HTTP/1.1"),
    };
    let (Some(method), Some(target), Some(1)) = (parsed.method, parsed.path, parsed.version) else {
        return reply(400, "not HTTP/1.1");
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let request = Request {
        method,
        path,
        query,
        headers: parsed.headers,
    };
    if let Err(status) = check_doors(&request, doors) {
        return reply(status, "this Host or Origin may not call here");
    }
    match (request.method, request.path) {
        ("GET", "/healthz") => plain(200, "text/plain", "ok\n"),
        ("GET", "/metrics") => Verdict::Metrics,
        ("POST", "/ticket") => ticket(&request, auth, now),
        ("GET", "/ws") => upgrade(&request, used, auth, now),
        (_, "/healthz" | "/metrics" | "/ticket" | "/ws") => reply(405, "another method, please"),
        _ => reply(404, "there is /ws, /ticket, /healthz and /metrics"),
    }
}

fn check_doors(request: &Request<'_>, doors: &Doors) -> Result<(), u16> {
    let host = request.one("host").map_err(|()| 400u16)?.ok_or(400u16)?;
    if !doors
        .hosts
        .iter()
        .any(|known| known.eq_ignore_ascii_case(host))
    {
        return Err(403);
    }
    let Some(origin) = request.one("origin").map_err(|()| 400u16)? else {
        return Ok(());
    };
    let scheme = if doors.secure { "https" } else { "http" };
    let own = format!("{scheme}://{host}");
    let known = doors.origins.iter().map(String::as_str);
    if known
        .chain([own.as_str()])
        .any(|known| known.eq_ignore_ascii_case(origin))
    {
        Ok(())
    } else {
        Err(403)
    }
}

/// A ticket for the holder of a token. The token must come in the header: that is what a ticket is for.
fn ticket(request: &Request<'_>, auth: &mut Auth, now: Nanos) -> Verdict {
    let shown = match request.shown() {
        shown @ Shown::Token(_) if request.one("authorization") != Ok(None) => shown,
        _ => Shown::Nothing,
    };
    let identity = match auth.admit(&shown, now) {
        Ok(identity) => identity,
        Err(error) => return refuse(error),
    };
    match auth.ticket(identity, now) {
        Ok(ticket) => {
            let life_ms = TICKET_LIFE.as_millis();
            let body = format!(
                "{{\"ticket\":\"{}\",\"expiresInMs\":{life_ms}}}\n",
                ticket.expose()
            );
            plain(200, "application/json", &body)
        }
        Err(_) => reply(503, "no ticket now"),
    }
}

fn upgrade(request: &Request<'_>, used: usize, auth: &mut Auth, now: Nanos) -> Verdict {
    if !request.has("upgrade", "websocket") || !request.has("connection", "upgrade") {
        return reply(426, "this is a WebSocket");
    }
    if request.one("sec-websocket-version") != Ok(Some("13")) {
        return reply(426, "WebSocket version 13");
    }
    let Ok(Some(key)) = request.one("sec-websocket-key") else {
        return reply(400, "one Sec-WebSocket-Key");
    };
    // 16 bytes in base64 (RFC 6455, 4.1).
    if key.len() != 24 || !key.ends_with("==") {
        return reply(400, "a Sec-WebSocket-Key of 16 bytes");
    }
    let identity = match auth.admit(&request.shown(), now) {
        Ok(identity) => Box::new(identity),
        Err(error) => return refuse(error),
    };
    let chosen = request
        .list("sec-websocket-protocol")
        .any(|item| item == SUBPROTOCOL);
    let protocol = if chosen {
        format!("Sec-WebSocket-Protocol: {SUBPROTOCOL}\r\n")
    } else {
        String::new()
    };
    let accept = derive_accept_key(key.as_bytes());
    let response = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{protocol}\r\n"
    );
    Verdict::Upgrade {
        response,
        identity,
        used,
    }
}

fn refuse(error: AuthError) -> Verdict {
    let body = serde_json::to_string(&ErrorBody::from(error)).unwrap_or_default();
    plain(401, "application/json", &body)
}

fn reply(status: u16, words: &str) -> Verdict {
    plain(status, "text/plain", &format!("{words}\n"))
}

fn plain(status: u16, kind: &str, body: &str) -> Verdict {
    Verdict::Reply {
        response: http(status, kind, body),
        status,
    }
}

/// A whole answer after which the connection ends.
pub(crate) fn http(status: u16, kind: &str, body: &str) -> String {
    let reason = match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        _ => "Service Unavailable",
    };
    let more = match status {
        401 => "WWW-Authenticate: Bearer\r\n",
        426 => "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
        429 | 503 => "Retry-After: 1\r\n",
        _ => "",
    };
    let size = body.len();
    format!(
        "HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Type: {kind}\r\n\
         Content-Length: {size}\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n\
         {more}\r\n{body}"
    )
}

#[cfg(test)]
mod tests;

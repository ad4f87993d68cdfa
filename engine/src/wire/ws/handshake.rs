//! The upgrade from HTTP/1.1 to WebSocket (RFC 6455 §4), client side.

use tungstenite::handshake::derive_accept_key;

use crate::wire::http::authority;
use crate::wire::http::fields::{check_headers, check_target, check_value};
use crate::wire::http::request::encode_head;
use crate::wire::http::response::ResponseParser;
use crate::wire::http::{FieldError, Head, HeadLimits, Headers, HttpError, ResponseLimits};
use crate::wire::{Full, RxBuffer, TxBuffer};

/// How much of a refusal's body is kept: enough for a venue's error text.
pub const REFUSED_BODY_BYTES_MAX: usize = 4 << 10;

/// Headers that belong to the handshake itself.
pub(crate) const RESERVED: [&str; 9] = [
    "host",
    "upgrade",
    "connection",
    "content-length",
    "transfer-encoding",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-extensions",
    "sec-websocket-protocol",
];

/// What to ask for.
#[derive(Clone, Copy)]
pub struct Upgrade<'a> {
    /// A name or an address, without a port.
    pub host: &'a str,
    /// The port; it is named in `Host` unless it is the scheme's default.
    pub port: u16,
    /// Whether the scheme is `wss`, whose default port is 443, and not `ws` with 80.
    pub tls: bool,
    /// Path and query of any length, percent-encoded, beginning with `/`.
    pub target: &'a str,
    /// More headers: API keys, `Origin`, `User-Agent`.
    pub headers: &'a [(&'a str, &'a str)],
    /// The one subprotocol to offer, if any (§1.9). The server must then choose it or none.
    pub protocol: Option<&'a str>,
}

impl std::fmt::Debug for Upgrade<'_> {
    // Without target and header values: they may hold keys.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upgrade")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("tls", &self.tls)
            .field("protocol", &self.protocol)
            .finish_non_exhaustive()
    }
}

/// The link speaks WebSocket now. Bytes behind the head are left in the receive buffer: they are
/// the first frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgraded {
    /// The headers of the answer.
    pub headers: Headers,
    /// The subprotocol that the server chose.
    pub protocol: Option<String>,
}

/// The server answered, but not with 101.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The HTTP status: 403, 418 and 429 want different reactions.
    pub status: u16,
    /// All headers; see [`Headers::retry_after_secs`].
    pub headers: Headers,
    /// The first [`REFUSED_BODY_BYTES_MAX`] bytes of the body.
    pub body: Vec<u8>,
}

impl Refused {
    /// How many seconds the server asks to be left alone; see [`Headers::retry_after_secs`].
    pub fn retry_after_secs(&self, wall_s: i64) -> Option<u64> {
        self.headers.retry_after_secs(wall_s)
    }
}

/// Why there is no WebSocket.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// Ours: a part of the request would break its framing.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// Ours: the request does not fit the send buffer.
    #[error(transparent)]
    Full(#[from] Full),
    /// The peer's: the answer is not readable HTTP, or was cut off.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The server said no, in HTTP.
    #[error("upgrade refused with status {}", .0.status)]
    Refused(Box<Refused>),
    /// 101 in HTTP/1.0, which has no upgrade (RFC 9110 §7.8).
    #[error("101 in an HTTP/1.0 response")]
    WrongVersion,
    /// 101 without `Upgrade: websocket` (§4.1, step 2).
    #[error("101 without Upgrade: websocket")]
    MissingUpgrade,
    /// 101 without the token `Upgrade` in `Connection` (§4.1, step 3).
    #[error("101 without Connection: Upgrade")]
    MissingConnection,
    /// `Sec-WebSocket-Accept` is missing, repeated or not the answer to our key (§4.1, step 4):
    /// a cache or a server that does not know the protocol.
    #[error("Sec-WebSocket-Accept is missing or wrong")]
    WrongAccept,
    /// An extension that was not asked for; we never ask (§4.1, step 5).
    #[error("server chose an extension that was not offered")]
    UnexpectedExtension,
    /// A subprotocol that was not asked for (§4.1, step 6).
    #[error("server chose a subprotocol that was not offered")]
    UnexpectedProtocol,
}

/// A handshake whose request is on its way.
#[derive(Debug)]
pub struct Handshake {
    accept: String,
    protocol: Option<String>,
    parser: ResponseParser,
}

impl Handshake {
    /// Adds the request to `tx`, whole or not at all, with a key drawn from `rng` (§4.1: 16 random
    /// bytes in base64), and waits for the answer.
    pub fn start(
        upgrade: &Upgrade<'_>,
        rng: &mut fastrand::Rng,
        tx: &mut TxBuffer,
    ) -> Result<Self, HandshakeError> {
        let host = authority(
            upgrade.host,
            upgrade.port,
            if upgrade.tls { 443 } else { 80 },
        )?;
        check_target(upgrade.target)?;
        check_headers(upgrade.headers, &RESERVED)?;
        if let Some(protocol) = upgrade.protocol {
            check_value("Sec-WebSocket-Protocol", protocol)?;
        }
        let key = base64_16(rng.u128(..).to_ne_bytes());
        encode_head("GET", upgrade.target, &host, upgrade.headers, tx, |out| {
            out.put("Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n");
            for part in ["Sec-WebSocket-Key: ", &key, "\r\n"] {
                out.put(part);
            }
            if let Some(protocol) = upgrade.protocol {
                for part in ["Sec-WebSocket-Protocol: ", protocol, "\r\n"] {
                    out.put(part);
                }
            }
            out.put("\r\n");
        })?;
        Ok(Self {
            accept: derive_accept_key(key.as_bytes()),
            protocol: upgrade.protocol.map(str::to_owned),
            parser: ResponseParser::for_upgrade(ResponseLimits {
                head: HeadLimits::default(),
                body_bytes_max: REFUSED_BODY_BYTES_MAX,
            }),
        })
    }

    /// Reads the answer; `None` when more bytes are needed. Once it has answered it is done.
    pub fn poll(&mut self, rx: &mut RxBuffer) -> Result<Option<Upgraded>, HandshakeError> {
        let (head, body) = match self.parser.poll(rx) {
            Ok(None) => return Ok(None),
            Ok(Some(response)) => (response.head, &*response.body),
            Err(error) => return Err(self.fail(error)),
        };
        if head.status != 101 {
            return Err(refused(head, body));
        }
        verify(head, &self.accept, self.protocol.as_deref()).map(Some)
    }

    /// The peer closed the link before the handshake was done: a refusal whose body ends there, or
    /// an error.
    pub fn finish_eof(&mut self) -> HandshakeError {
        match self.parser.finish_eof() {
            Ok(Some(response)) => refused(response.head, response.body),
            Ok(None) => HandshakeError::Http(HttpError::ClosedBeforeResponse),
            Err(error) => self.fail(error),
        }
    }

    /// A refusal whose body is broken or cut off is still a refusal.
    fn fail(&self, error: HttpError) -> HandshakeError {
        match self.parser.broken_off() {
            Some((head, body)) => refused(head, body),
            None => HandshakeError::Http(error),
        }
    }
}

#[cold]
fn refused(head: &Head, body: &[u8]) -> HandshakeError {
    HandshakeError::Refused(Box::new(Refused {
        status: head.status,
        headers: head.headers.clone(),
        body: body.to_vec(),
    }))
}

/// What a client must check before it believes a 101 (§4.1).
fn verify(head: &Head, accept: &str, offered: Option<&str>) -> Result<Upgraded, HandshakeError> {
    let headers = &head.headers;
    if head.minor_version == 0 {
        return Err(HandshakeError::WrongVersion);
    }
    if !headers
        .get("upgrade")
        .is_some_and(|value| value.eq_ignore_ascii_case(b"websocket"))
    {
        return Err(HandshakeError::MissingUpgrade);
    }
    if !headers.has_token("connection", "upgrade") {
        return Err(HandshakeError::MissingConnection);
    }
    let mut accepts = headers.all("sec-websocket-accept");
    let first_is_right = accepts
        .next()
        .is_some_and(|value| value == accept.as_bytes());
    if !first_is_right || accepts.next().is_some() {
        return Err(HandshakeError::WrongAccept);
    }
    if headers
        .all("sec-websocket-extensions")
        .any(|value| !value.is_empty())
    {
        return Err(HandshakeError::UnexpectedExtension);
    }
    let mut protocol = None;
    for chosen in headers.all("sec-websocket-protocol") {
        match offered {
            Some(offered) if chosen == offered.as_bytes() && protocol.is_none() => {
                protocol = Some(offered.to_owned());
            }
            _ => return Err(HandshakeError::UnexpectedProtocol),
        }
    }
    Ok(Upgraded {
        headers: headers.clone(),
        protocol,
    })
}

/// Base64 (RFC 4648 §4) of a key's 16 bytes: 24 characters, of which the last two are padding.
pub(crate) fn base64_16(bytes: [u8; 16]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    // 128 bits, then four zero bits: 22 groups of six.
    let bits = u128::from_be_bytes(bytes);
    let mut text: String = (0..22)
        .map(|group| {
            let value = if group < 21 {
                bits >> (122 - 6 * group)
            } else {
                bits << 4
            };
            char::from(ALPHABET[(value & 0x3F) as usize])
        })
        .collect();
    text.push_str("==");
    text
}

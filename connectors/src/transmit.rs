//! What a connector asks of the engine: links, messages and HTTP requests. The venue's rules on them
//! (limits, silence, deadlines) travel along as data, and the engine keeps them.

use std::fmt;

use crate::payload::MakeHook;
use crate::time::Nanos;

/// One of a connector's WebSocket links, numbered by the connector from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkId(pub u16);

/// An HTTP request in flight, numbered by the connector; unique among those in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u32);

/// Where to connect.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Host name or IP address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Whether to speak TLS.
    pub tls: bool,
}

/// The URL can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("bad URL {url:?}: {problem}")]
pub struct BadUrl {
    /// The URL as given.
    pub url: String,
    /// What is wrong and what to write instead.
    pub problem: &'static str,
}

impl Endpoint {
    /// Reads `wss://host[:port][/path]` (also ws, https, http) into the endpoint and the path with
    /// its query ("/" where there is none).
    pub fn parse(url: &str) -> Result<(Endpoint, String), BadUrl> {
        let bad = |problem| BadUrl {
            url: url.to_owned(),
            problem,
        };
        let (scheme, rest) = url
            .split_once("://")
            .ok_or_else(|| bad("write wss://host/path"))?;
        let tls = match scheme {
            "wss" | "https" => true,
            "ws" | "http" => false,
            _ => return Err(bad("the scheme must be wss, ws, https or http")),
        };
        let split = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(split);
        let path = match path.strip_prefix('?') {
            Some(_) => format!("/{path}"),
            None if path.is_empty() => "/".to_owned(),
            None => path.to_owned(),
        };
        if authority.contains('@') {
            return Err(bad("credentials in a URL are not supported"));
        }
        if path
            .bytes()
            .any(|byte| byte <= b' ' || byte == 0x7f || byte == b'#')
        {
            return Err(bad(
                "the path must be percent-encoded and carry no fragment",
            ));
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or_else(|| bad("write [v6]:port"))?;
                (
                    host,
                    port.strip_prefix(':').or(port.is_empty().then_some("")),
                )
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, Some("")),
            },
        };
        if host.is_empty() || host.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            return Err(bad("the host is missing"));
        }
        let port = match port {
            Some("") => {
                if tls {
                    443
                } else {
                    80
                }
            }
            Some(port) => port
                .parse()
                .map_err(|_| bad("the port must be 1 to 65535"))?,
            None => return Err(bad("write [v6]:port")),
        };
        Ok((
            Endpoint {
                host: host.to_owned(),
                port,
                tls,
            },
            path,
        ))
    }
}

/// How many messages a venue takes on one connection in a time: the engine paces what it sends
/// (control frames, as some venues count them too) and lets pongs overtake the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendLimit {
    /// Messages in each window.
    pub messages: u16,
    /// Length of the window.
    pub window_ns: Nanos,
}

/// How many connection attempts the engine allows itself to one host in a time, over all links and
/// HTTP connections of all venues: a share of what the venue allows an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptLimit {
    /// Attempts in each window, at least 1.
    pub attempts: u16,
    /// Length of the window.
    pub window_ns: Nanos,
}

/// How often and how soon a lost link is tried again, in place of the engine's own rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryRule {
    /// Longest first wait; it doubles with each try.
    pub first_ns: Nanos,
    /// Longest wait of all.
    pub max_ns: Nanos,
    /// Whether each wait is drawn between nothing and its longest, so that many links which were lost
    /// together do not come back together.
    pub jitter: bool,
    /// Tries in a row that may fail before the link is given up, at least 1.
    pub failures_max: u32,
}

/// Messages that may wait for a link. Subscriptions have at most a few requests under way; more than
/// this is a connector gone wild.
const LINK_QUEUE_MAX: usize = 1_024;

/// A WebSocket link as the venue wants it.
#[derive(Clone, PartialEq, Eq)]
pub struct LinkSpec {
    /// Where to.
    pub endpoint: Endpoint,
    /// Path and query of the upgrade request.
    pub path: String,
    /// Further headers of the upgrade request.
    pub headers: Vec<(String, String)>,
    /// The venue's limit on what we send, `None` for none.
    pub send_limit: Option<SendLimit>,
    /// Our share of the venue's limit on connection attempts to this host, `None` for none. Of two
    /// that name the same host and port the stricter holds.
    pub attempt_limit: Option<AttemptLimit>,
    /// The link is cut and made anew when it shows no life for this long. Life is a whole message, or
    /// the pong to a ping of ours, which the engine sends when half of the time has passed without
    /// any. Nothing else is: a peer whose application hangs may go on sending pings, unasked pongs,
    /// or fragments of a message that never ends. That each *stream* gets its data is for the
    /// connector to see: pongs are not data.
    pub silence_max_ns: Option<Nanos>,
    /// The largest message that the venue may send, in bytes; also of what a packed one unpacks to.
    pub message_bytes_max: usize,
    /// Makes what opens binary messages, for a venue that packs them. One is made for each connection;
    /// a message that it can't open costs the connection, since nobody knows what was in it.
    pub payload_hook: Option<MakeHook>,
    /// The one subprotocol to offer, if any.
    pub protocol: Option<String>,
    /// Name look-up, TCP, TLS and upgrade must be done in this time; `None` for the engine's own limit.
    pub connect_timeout_ns: Option<Nanos>,
    /// Whether text must be UTF-8 or costs the connection. Venue links leave the check to the parser.
    pub check_utf8: bool,
    /// Messages that may wait for the socket. A link with a [`RetryRule`] is cut where more come, any
    /// other drops them, counted: its connector asks again.
    pub queue_max: usize,
    /// When to try again; `None` for the engine's own rule, which never gives a link up.
    pub retry: Option<RetryRule>,
}

impl fmt::Debug for LinkSpec {
    // Neither header values nor the query: they may hold keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| &**name).collect();
        f.debug_struct("LinkSpec")
            .field("endpoint", &self.endpoint)
            .field("path", &self.path.split('?').next().unwrap_or_default())
            .field("headers", &names)
            .field("retry", &self.retry)
            .finish_non_exhaustive()
    }
}

impl LinkSpec {
    /// A link without limits but that on a message's size, 1 MiB: a start for a venue's own.
    pub fn new(endpoint: Endpoint, path: impl Into<String>) -> LinkSpec {
        LinkSpec {
            endpoint,
            path: path.into(),
            headers: Vec::new(),
            send_limit: None,
            attempt_limit: None,
            silence_max_ns: None,
            message_bytes_max: 1 << 20,
            payload_hook: None,
            protocol: None,
            connect_timeout_ns: None,
            check_utf8: false,
            queue_max: LINK_QUEUE_MAX,
            retry: None,
        }
    }
}

/// Who goes first when several messages wait for a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Cancels, heartbeats.
    Urgent,
    /// Everything else.
    Normal,
}

/// An HTTP method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Method {
    Get,
    Post,
    Put,
    Delete,
}

impl Method {
    /// As it stands in the request line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
        }
    }
}

/// Where a response is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadOn {
    /// On the loop, by [`Connector::handle_response`](crate::Connector::handle_response).
    Loop,
    /// Instrument data of megabytes: on the helper thread by
    /// [`Connector::instrument_reader`](crate::Connector::instrument_reader), and then given to
    /// [`Connector::handle_instruments`](crate::Connector::handle_instruments).
    Helper,
}

/// An HTTP request; its body is what the connector wrote into `body` of
/// [`Connector::poll_transmit`](crate::Connector::poll_transmit).
#[derive(Clone, PartialEq, Eq)]
pub struct HttpRequest {
    /// Comes back with the answer.
    pub id: RequestId,
    /// Where to.
    pub endpoint: Endpoint,
    /// Method.
    pub method: Method,
    /// Path and query.
    pub target: String,
    /// Further headers.
    pub headers: Vec<(String, String)>,
    /// The answer must be complete within this time from now, or the request has failed.
    pub timeout_ns: Nanos,
    /// The largest answer, in bytes.
    pub body_bytes_max: usize,
    /// Where the answer is read.
    pub read_on: ReadOn,
}

impl fmt::Debug for HttpRequest {
    // Neither header values nor the query: they hold keys and signatures.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| &**name).collect();
        f.debug_struct("HttpRequest")
            .field("id", &self.id)
            .field("method", &self.method)
            .field("endpoint", &self.endpoint)
            .field("path", &self.target.split('?').next().unwrap_or_default())
            .field("headers", &names)
            .finish_non_exhaustive()
    }
}

/// What a connector wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transmit {
    /// Keep this link up: connect now, and again with backoff whenever it is lost.
    Open {
        /// The connector's number for the link.
        link: LinkId,
        /// What the link is to be.
        spec: Box<LinkSpec>,
    },
    /// Let the link go for good.
    Close {
        /// The link.
        link: LinkId,
    },
    /// Cut the link and make it anew: the connector has found it dead.
    Reconnect {
        /// The link.
        link: LinkId,
        /// Why, for the log and the notice.
        why: &'static str,
    },
    /// Send the text in `body` over the link. Dropped where the link is down: a connector sends
    /// again what must be after [`LinkChange::Up`].
    Text {
        /// The link.
        link: LinkId,
        /// Who goes first.
        lane: Lane,
    },
    /// Send the bytes in `body` as a binary message; else as [`Transmit::Text`].
    Binary {
        /// The link.
        link: LinkId,
        /// Who goes first.
        lane: Lane,
    },
    /// Send a WebSocket ping with the payload in `body`, at most 125 bytes; its answer comes as
    /// [`Connector::handle_pong`](crate::Connector::handle_pong).
    Ping {
        /// The link.
        link: LinkId,
    },
    /// Send an HTTP request with `body`.
    Http(Box<HttpRequest>),
}

/// Why a link went down.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DownReason {
    /// We let it go.
    #[error("closed by us")]
    Closed,
    /// The connector asked for a new one.
    #[error("cut by us: {0}")]
    Cut(&'static str),
    /// The name, the address or the connection failed.
    #[error("could not connect: {0}")]
    Connect(String),
    /// TLS failed.
    #[error("TLS failed: {0}")]
    Tls(String),
    /// The venue answered the upgrade with something else.
    #[error("the venue refused the WebSocket upgrade with HTTP {status}{}", refusal_hint(*status, body))]
    Refused {
        /// HTTP status.
        status: u16,
        /// Seconds to wait, where the venue said so (in seconds or as a date).
        retry_after_s: Option<u32>,
        /// The answer's headers, the first 2 KiB of them.
        headers: Vec<(String, String)>,
        /// The answer's body as text, the first 1 KiB of it.
        body: String,
    },
    /// The venue broke the WebSocket protocol.
    #[error("protocol error: {0}")]
    Protocol(String),
    /// The venue sent a message beyond the link's limit.
    #[error("a message of at least {size} bytes is over the limit of {max}")]
    TooLarge {
        /// The size that the message has or would have at least.
        size: u64,
        /// The limit.
        max: usize,
    },
    /// The venue closed.
    #[error("closed by the venue with code {code:?}: {text}")]
    ClosedByVenue {
        /// Close code, where it gave one.
        code: Option<u16>,
        /// Its words.
        text: String,
    },
    /// The connection broke.
    #[error("connection lost: {0}")]
    Lost(String),
    /// No life for as long as the spec allows.
    #[error("no message and no answer to a ping for {0}")]
    Silent(Nanos),
    /// A stage of connecting took too long.
    #[error("timed out while {0}")]
    TimedOut(&'static str),
}

impl DownReason {
    /// Whether this does not heal by itself, and soon: the key, the address, the region or the path
    /// is not wanted (401, 403, 404, 451), or we are (418, 429). Such a link is tried again after a
    /// much longer wait; somebody should look at it.
    pub const fn is_lasting(&self) -> bool {
        matches!(
            self,
            DownReason::Refused {
                status: 401 | 403 | 404 | 418 | 429 | 451,
                ..
            }
        )
    }
}

fn refusal_hint(status: u16, body: &str) -> String {
    let hint = match status {
        401 => ", which does not heal by itself: check the key",
        403 | 451 => ", which does not heal by itself: check address, region and rights",
        404 => ", which does not heal by itself: check the URL",
        418 | 429 => ": too many requests came from this address",
        _ => "",
    };
    match body.trim() {
        "" => hint.to_owned(),
        text => format!("{hint}; it says {text:?}"),
    }
}

/// A change of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkChange {
    /// The upgrade is done; messages can be sent. `epoch` counts the link's connections from 1.
    Up {
        /// Counts the link's connections from 1; wraps.
        epoch: u16,
    },
    /// The link is down, and is made anew unless it was closed.
    Down {
        /// Why.
        reason: DownReason,
    },
}

/// The end of one connection of a link, or of a try to make one.
#[derive(Clone, Copy, Debug)]
pub struct LinkLoss<'a> {
    /// Why.
    pub reason: &'a DownReason,
    /// Whether messages could be sent before.
    pub was_up: bool,
    /// How long until the next try; `None` where there will be none: the link was closed, or given up
    /// by its [`RetryRule`]. Its number is free then.
    pub retry_in_ns: Option<Nanos>,
}

/// The answer to an HTTP request. Any status: a 4xx is an answer too.
#[derive(Debug)]
pub struct Response<'a> {
    /// HTTP status.
    pub status: u16,
    /// Header names and values as sent by the venue.
    pub headers: &'a [(String, String)],
    /// The body, to be parsed in place.
    pub body: &'a mut [u8],
}

impl Response<'_> {
    /// The first header of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        Some(&found.1)
    }
}

/// An HTTP request without an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} ({})", if *.sent { "the venue may have acted on it" } else { "it never left" })]
pub struct HttpFailure {
    /// What failed.
    pub what: String,
    /// Whether any byte of the request may have reached the venue.
    pub sent: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_of_a_request_holds_no_key_and_no_signature() {
        let request = HttpRequest {
            id: RequestId(7),
            endpoint: Endpoint::parse("https://a.b/").expect("a URL").0,
            method: Method::Post,
            target: "/order?apiKey=the-key&signature=signed".to_owned(),
            headers: vec![("X-SIGN".to_owned(), "signed".to_owned())],
            timeout_ns: Nanos::ZERO,
            body_bytes_max: 0,
            read_on: ReadOn::Loop,
        };
        let shown = format!("{:?}", Transmit::Http(Box::new(request)));
        assert!(shown.contains("/order") && shown.contains("X-SIGN"));
        assert!(
            !shown.contains("signed") && !shown.contains("the-key"),
            "{shown}"
        );
    }

    #[test]
    fn urls_are_split_into_endpoint_and_path() {
        let table = [
            ("wss://a.b/ws?x=1", ("a.b", 443, true, "/ws?x=1")),
            ("ws://127.0.0.1:8080", ("127.0.0.1", 8080, false, "/")),
            ("https://[::1]:9/x", ("::1", 9, true, "/x")),
            ("http://[::1]", ("::1", 80, false, "/")),
            ("wss://h?a=b", ("h", 443, true, "/?a=b")),
        ];
        for (url, (host, port, tls, path)) in table {
            let endpoint = Endpoint {
                host: host.into(),
                port,
                tls,
            };
            assert_eq!(
                Endpoint::parse(url),
                Ok((endpoint, path.to_owned())),
                "{url}"
            );
        }
        for url in [
            "",
            "a.b",
            "ftp://a",
            "wss://",
            "wss://:1",
            "wss://a:x",
            "wss://a:99999",
            "wss://u:p@a",
            "wss://[::1",
            "wss://[::1]9",
            "wss://a/ b",
            "wss://a/\r\nX: y",
        ] {
            assert!(Endpoint::parse(url).is_err(), "{url}");
        }
    }
}

//! What can go wrong, in two classes, and what to do about it.

use std::time::Duration;

use tickwire_connectors::transmit::DownReason;

use super::config::ConfigError;
use crate::wire::ws::close;

/// Whether trying again may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// It may heal by itself: the client tries again, as far as its `retry_count` goes.
    Recoverable,
    /// It does not heal by itself: somebody has to change something. The client stops.
    Fatal,
}

/// Why a call or a connection failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration is wrong; nothing was opened.
    #[error(transparent)]
    Config(#[from] ConfigError),

    /// No answer within `request_timeout`. The server may have acted on the request.
    #[error("no answer within {}", millis(*.0))]
    Timeout(Duration),
    /// The connection was lost before the answer came. The server may have acted on the request.
    #[error("the connection was lost before the answer came")]
    Disconnected,
    /// A request with this id still waits for its answer; this one was not sent.
    #[error("a request with the id {0} still waits for its answer")]
    DuplicateRequestId(String),
    /// The limiter has no tokens left, and the client is set to deny. Nothing was sent.
    #[error("rate limit: room again in {}", millis(*.0))]
    RateLimited(Duration),
    /// Too many messages wait to be sent. Nothing was sent.
    #[error("{0} messages wait to be sent already")]
    QueueFull(usize),
    /// The message is too long to send. Nothing was sent.
    #[error("a message of {size} bytes is over the limit of {max}")]
    MessageTooLong {
        /// Its size in bytes.
        size: usize,
        /// The longest that can be sent.
        max: usize,
    },
    /// There is no connection now. Nothing was sent.
    #[error("not connected")]
    NotConnected,
    /// Channels are asked for in a venue's own words, and nobody has said which.
    #[error("no dialect: whose words subscribe is to use is not known")]
    NoDialect,

    /// The address refused the connection.
    #[error("connection refused: {0}")]
    ConnectionRefused(String),
    /// The name has no address.
    #[error("{0}")]
    NameNotFound(String),
    /// The host or its network can't be reached.
    #[error("unreachable: {0}")]
    Unreachable(String),
    /// The connection could not be made for another reason.
    #[error("could not connect: {0}")]
    Connect(String),
    /// A stage of connecting took longer than `timeout`.
    #[error("timed out while {0}")]
    ConnectTimeout(&'static str),
    /// TLS failed: an alert, a certificate.
    #[error("TLS: {0}")]
    Tls(String),
    /// The server answered the upgrade with an HTTP status of its own.
    #[error("the upgrade was refused with HTTP {status}{}", said(body))]
    Upgrade {
        /// The status.
        status: u16,
        /// How long the server asks to be left alone.
        retry_after: Option<Duration>,
        /// The first KiB of its words.
        body: String,
    },
    /// The server broke the WebSocket protocol: an invalid frame, text that is not UTF-8.
    #[error("protocol error: {0}")]
    Protocol(String),
    /// The server sent a message that is longer than `message_bytes_max`.
    #[error("a message of at least {size} bytes is over message_bytes_max = {max}")]
    MessageTooLarge {
        /// The size that it has or would have at least.
        size: u64,
        /// The limit.
        max: usize,
    },
    /// The server closed the connection.
    #[error("closed by the server with code {code:?}{}", said(text))]
    ClosedByServer {
        /// The close code, where it gave one.
        code: Option<u16>,
        /// Its words.
        text: String,
        /// What the code means for us.
        class: Class,
    },
    /// The connection broke.
    #[error("connection lost: {0}")]
    Lost(String),
    /// So many heartbeats in a row had no answer.
    #[error("{0} heartbeats in a row had no answer")]
    HeartbeatMissed(u32),
    /// No message came for `inbound_silence`.
    #[error("no message for {}", millis(*.0))]
    Mute(Duration),
    /// The login was refused.
    #[error("the login was refused: {0}")]
    InvalidCredentials(String),
    /// The token or the key of the login has expired.
    #[error("the login has expired: {0}")]
    TokenExpired(String),

    /// So many tries in a row failed; the client has stopped.
    #[error("gave up after {attempts} failed attempts, the last: {last}")]
    GaveUp {
        /// How many.
        attempts: u32,
        /// The last one's error.
        last: Box<Error>,
    },
    /// The program has closed the client.
    #[error("the client is closed")]
    Closed,
    /// The loop that the client ran on has ended.
    #[error("the client's loop has ended")]
    LoopEnded,
}

impl Error {
    /// Whether trying again may help.
    pub fn class(&self) -> Class {
        match self {
            Error::Timeout(_)
            | Error::Disconnected
            | Error::RateLimited(_)
            | Error::QueueFull(_)
            | Error::NotConnected
            | Error::ConnectionRefused(_)
            | Error::NameNotFound(_)
            | Error::Unreachable(_)
            | Error::Connect(_)
            | Error::ConnectTimeout(_)
            | Error::Tls(_)
            | Error::Lost(_)
            | Error::HeartbeatMissed(_)
            | Error::Mute(_) => Class::Recoverable,
            Error::Upgrade { status, .. } => upgrade_class(*status),
            Error::ClosedByServer { class, .. } => *class,
            Error::GaveUp { last, .. } => last.class(),
            Error::Config(_)
            | Error::DuplicateRequestId(_)
            | Error::MessageTooLong { .. }
            | Error::NoDialect
            | Error::Protocol(_)
            | Error::MessageTooLarge { .. }
            | Error::InvalidCredentials(_)
            | Error::TokenExpired(_)
            | Error::Closed
            | Error::LoopEnded => Class::Fatal,
        }
    }

    /// Whether trying again may help.
    pub fn is_recoverable(&self) -> bool {
        self.class() == Class::Recoverable
    }

    /// The end of a connection. `class_of` says what a close code means.
    pub(crate) fn of(
        reason: &DownReason,
        class_of: impl FnOnce(Option<u16>, &str) -> Class,
    ) -> Error {
        match reason {
            DownReason::Closed => Error::Closed,
            DownReason::Cut(why) => Error::Lost((*why).to_owned()),
            DownReason::Connect(text) => connect_error(text),
            DownReason::Tls(text) => Error::Tls(text.clone()),
            DownReason::Refused {
                status,
                retry_after_s,
                body,
                ..
            } => Error::Upgrade {
                status: *status,
                retry_after: retry_after_s.map(|seconds| Duration::from_secs(seconds.into())),
                body: body.clone(),
            },
            DownReason::Protocol(text) => Error::Protocol(text.clone()),
            DownReason::TooLarge { size, max } => Error::MessageTooLarge {
                size: *size,
                max: *max,
            },
            DownReason::ClosedByVenue { code, text } => Error::ClosedByServer {
                code: *code,
                text: text.clone(),
                class: class_of(*code, text),
            },
            DownReason::Lost(text) => Error::Lost(text.clone()),
            DownReason::Silent(max) => Error::Mute(Duration::from_nanos(max.0.max(0) as u64)),
            DownReason::TimedOut(stage) => Error::ConnectTimeout(stage),
        }
    }
}

/// Close codes that say that the same connection, made again, would end the same way: we broke the
/// protocol, sent the wrong kind of data, broke a policy, sent too much (RFC 6455 §7.4.1), or may not
/// be here (3000 unauthorized, 3003 forbidden: IANA's registry of close codes).
pub const FATAL_CLOSE_CODES: [u16; 8] = [
    close::PROTOCOL_ERROR,
    1003,
    close::INVALID_PAYLOAD,
    close::POLICY,
    close::TOO_BIG,
    1010,
    3000,
    3003,
];

/// An overloaded server (5xx) and one that wants us to come later (408, 418 at Binance, 425, 429)
/// will do better; any other status is an answer.
fn upgrade_class(status: u16) -> Class {
    match status {
        408 | 418 | 425 | 429 | 500..=599 => Class::Recoverable,
        _ => Class::Fatal,
    }
}

/// The system tells these apart by number, and the network hands them on in words (`io::ErrorKind`
/// does not outlive a list of addresses of which each failed in its own way).
fn connect_error(text: &str) -> Error {
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if says(&["not found", "has no address"]) {
        Error::NameNotFound(text.to_owned())
    } else if says(&["refused"]) {
        Error::ConnectionRefused(text.to_owned())
    } else if says(&["unreachable", "No route to host"]) {
        Error::Unreachable(text.to_owned())
    } else {
        Error::Connect(text.to_owned())
    }
}

/// A sentence on an error, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// What happened.
    pub message: String,
    /// What to do about it.
    pub suggestion: &'static str,
    /// Whether the client goes on by itself.
    pub class: Class,
}

impl std::fmt::Display for Explanation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}. {}", self.message, self.suggestion)
    }
}

/// Says what happened and what to do about it.
pub fn explain(error: &Error) -> Explanation {
    Explanation {
        message: error.to_string(),
        suggestion: suggestion(error),
        class: error.class(),
    }
}

fn suggestion(error: &Error) -> &'static str {
    match error {
        Error::Config(_) => "Change the configuration as it says; nothing was opened.",
        Error::Timeout(_) => {
            "Ask the server what became of the request before you send it again, or raise request_timeout."
        }
        Error::Disconnected => {
            "Requests are never sent again by the client: ask the server what became of it first."
        }
        Error::DuplicateRequestId(_) => "Give each request an id of its own.",
        Error::RateLimited(_) => "Send less, or let the limiter wait instead of deny.",
        Error::QueueFull(_) => "Send less than the limiter lets through.",
        Error::MessageTooLong { .. } => "Split the message.",
        Error::NotConnected => "Wait until get_state() says Connected.",
        Error::NoDialect => {
            "Set `dialect` in the configuration to the venue's, or to one of your own."
        }
        Error::ConnectionRefused(_) => "Check host and port, and that the server runs.",
        Error::NameNotFound(_) => "Check the host name in the URL, and that this machine has DNS.",
        Error::Unreachable(_) => "Check this machine's network, route and firewall.",
        Error::Connect(_) | Error::Lost(_) => "Check the network between here and the server.",
        Error::ConnectTimeout(_) => "Check the network, or raise timeout.",
        Error::Tls(_) => {
            "Check that the URL's host is on the certificate, that this machine's clock is right, and \
             whom the client trusts (trust_only)."
        }
        Error::Upgrade { status, .. } => match status {
            301..=399 => "The server is elsewhere: use the URL that it names.",
            401 => "Check the key or the token in the headers.",
            403 | 451 => "Check rights, address and region: the server does not want this client.",
            404 => "Check the path of the URL.",
            408 | 418 | 425 | 429 => {
                "Too many attempts came from this address: wait, and connect less."
            }
            500..=599 => "The server is in trouble or under maintenance: wait.",
            _ => "Check the URL, the headers and the subprotocol.",
        },
        Error::Protocol(_) => {
            "The server does not speak WebSocket as RFC 6455 has it: report it there."
        }
        Error::MessageTooLarge { .. } => "Raise message_bytes_max if messages may be that large.",
        Error::ClosedByServer { class, .. } => match class {
            Class::Recoverable => "Nothing: the client connects again.",
            Class::Fatal => {
                "The code says that trying again ends the same way: change what was sent."
            }
        },
        Error::HeartbeatMissed(_) => {
            "Nothing: a new connection is made. If it recurs, check the network."
        }
        Error::Mute(_) => {
            "Nothing: a new connection is made. If it recurs, check what is subscribed."
        }
        Error::InvalidCredentials(_) => "Check key, secret and this machine's clock.",
        Error::TokenExpired(_) => "Get a new token or key.",
        Error::GaveUp { last, .. } => suggestion(last),
        Error::Closed => "Connect a new client.",
        Error::LoopEnded => "Look for a panic or a stop of the engine that it ran on.",
    }
}

fn millis(duration: Duration) -> String {
    format!("{} ms", duration.as_millis())
}

fn said(text: &str) -> String {
    match text.trim() {
        "" => String::new(),
        text => format!("; it says {text:?}"),
    }
}

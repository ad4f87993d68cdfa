//! What a client is to be, checked before anything is opened.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use tickwire_connectors::Nanos;
use tickwire_connectors::transmit::{BadUrl, Endpoint};

use super::dialect::{Dialect, dialect_of};
use super::error::FATAL_CLOSE_CODES;
use super::heartbeat::{HeartbeatConfig, HeartbeatType};
use super::limit::Limiter;
use super::message::Message;
use super::metrics::Metrics;
use crate::CertificateDer;
use crate::wire::http::fields::check_headers;
use crate::wire::ws::MESSAGE_BYTES_CEILING;
use crate::wire::ws::handshake::RESERVED;

/// Takes messages on the loop, in place of [`recv`](super::Client::recv). What it takes, every link of
/// the loop waits for: it must not block.
pub type Handler = Arc<dyn Fn(Message) + Send + Sync>;

/// Makes the login: gets the time in milliseconds since 1970 and gives the message to send on each new
/// connection. Where the message has an id, the login is done when its answer comes without an error;
/// where it has none, when it is sent.
pub type Login = Arc<dyn Fn(i64) -> String + Send + Sync>;

/// A client to be. All times are in milliseconds.
///
/// ```
/// use tickwire::ws::{Config, HeartbeatConfig};
///
/// let config = Config {
///     retry_count: 10,
///     heartbeat_config: Some(HeartbeatConfig::ping(5_000)),
///     ..Config::new("wss://example.com/ws")
/// };
/// ```
#[derive(Clone)]
pub struct Config {
    /// `wss://host[:port][/path]`, or `ws`.
    pub url: String,
    /// Name look-up, TCP, TLS and upgrade must be done in this time. 5,000.
    pub timeout: u64,
    /// Further headers of the upgrade request. Their values are in no debug output.
    pub headers: Vec<(String, String)>,
    /// So many tries in a row may fail, then the client stops. 3. With 0 there is one try.
    pub retry_count: u32,
    /// Longest first wait before another try; it doubles with each. 1,000.
    pub retry_delay: u64,
    /// Longest wait of all. 30,000.
    pub max_backoff: u64,
    /// Whether each wait is drawn between nothing and its longest, so that many clients which were lost
    /// together do not come back together. On.
    pub jitter: bool,
    /// Whether a lost connection is made anew. On.
    pub reconnect_on_error: bool,
    /// Whether channels are subscribed again on a new connection. On.
    pub restore_subscriptions: bool,
    /// How the connection's life is checked; `None` for not at all. Pings every 30,000.
    pub heartbeat_config: Option<HeartbeatConfig>,
    /// An answer must come in this time. 30,000.
    pub request_timeout: u64,
    /// Whether each message is logged, at tracing's debug level. Off.
    pub debug: bool,
    /// A file to which each message is appended as a line of the recording envelope, which `tickwire
    /// replay` reads. None.
    pub record_to: Option<PathBuf>,

    /// A connection without a message (heartbeats and their answers apart) for so long is made anew: a
    /// stream may be mute though pings are answered. None.
    pub inbound_silence: Option<u64>,
    /// Whose words `subscribe` uses; by the URL's host where it is that of a venue known here.
    pub dialect: Option<Arc<dyn Dialect>>,
    /// What is sent first on each connection.
    pub login: Option<Login>,
    /// Requests for channels go out no closer than this. 100.
    pub subscribe_interval: u64,
    /// What may be sent when; clones of a limiter share its tokens.
    pub limiter: Option<Limiter>,
    /// The one subprotocol to offer.
    pub protocol: Option<String>,
    /// The largest message that may come, in bytes. 16 MiB.
    pub message_bytes_max: usize,
    /// Messages that may wait to be received; what comes beyond is dropped and told of by
    /// [`Message::Lost`]. 4,096.
    pub queue_max: usize,
    /// Close codes after which the client stops. [`FATAL_CLOSE_CODES`], which a dialect may know better.
    pub fatal_close_codes: Vec<u16>,
    /// Takes the messages instead of `recv`.
    pub handler: Option<Handler>,
    /// Hears of what happens.
    pub metrics: Option<Arc<dyn Metrics>>,
    /// Trusts these certificates and no others. For a client on a loop of its own; on a shared loop it
    /// is the loop's.
    pub trust_only: Option<Vec<CertificateDer<'static>>>,
}

impl Config {
    /// With everything at its default.
    pub fn new(url: impl Into<String>) -> Config {
        Config {
            url: url.into(),
            timeout: 5_000,
            headers: Vec::new(),
            retry_count: 3,
            retry_delay: 1_000,
            max_backoff: 30_000,
            jitter: true,
            reconnect_on_error: true,
            restore_subscriptions: true,
            heartbeat_config: Some(HeartbeatConfig::default()),
            request_timeout: 30_000,
            debug: false,
            record_to: None,
            inbound_silence: None,
            dialect: None,
            login: None,
            subscribe_interval: 100,
            limiter: None,
            protocol: None,
            message_bytes_max: 16 << 20,
            queue_max: 4_096,
            fatal_close_codes: FATAL_CLOSE_CODES.to_vec(),
            handler: None,
            metrics: None,
            trust_only: None,
        }
    }

    /// Checks everything that can be checked without opening anything.
    ///
    /// # Errors
    /// With what to change.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.target().map(|_| ())
    }

    /// Where to, and under what path.
    pub(crate) fn target(&self) -> Result<(Endpoint, String), ConfigError> {
        if self.url.trim().is_empty() {
            return Err(ConfigError::UrlMissing);
        }
        if !self.url.starts_with("ws://") && !self.url.starts_with("wss://") {
            return Err(ConfigError::Scheme(shown(&self.url)));
        }
        let target = Endpoint::parse(&self.url).map_err(|BadUrl { url, problem }| {
            let url = shown(&url);
            ConfigError::Url { url, problem }
        })?;
        let positive = [
            ("timeout", self.timeout),
            ("retry_delay", self.retry_delay),
            ("max_backoff", self.max_backoff),
            ("request_timeout", self.request_timeout),
            ("inbound_silence", self.inbound_silence.unwrap_or(1)),
            ("queue_max", self.queue_max as u64),
            ("message_bytes_max", self.message_bytes_max as u64),
        ];
        if let Some((name, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err(ConfigError::Zero(name));
        }
        if self.max_backoff < self.retry_delay {
            return Err(ConfigError::Backoff {
                max: self.max_backoff,
                delay: self.retry_delay,
            });
        }
        if self.message_bytes_max > MESSAGE_BYTES_CEILING {
            return Err(ConfigError::MessageBytes(self.message_bytes_max));
        }
        let headers: Vec<(&str, &str)> = self
            .headers
            .iter()
            .map(|(name, value)| (&**name, &**value))
            .collect();
        check_headers(&headers, &RESERVED).map_err(|bad| ConfigError::Header(bad.to_string()))?;
        if let Some(protocol) = &self.protocol {
            let is_token = |byte: u8| byte.is_ascii_graphic() && byte != b',' && byte != b';';
            if protocol.is_empty() || !protocol.bytes().all(is_token) {
                return Err(ConfigError::Protocol(protocol.clone()));
            }
        }
        if let Some(heartbeat) = &self.heartbeat_config {
            check_heartbeat(heartbeat)?;
        }
        Ok(target)
    }

    /// The dialect that is set, or the one of the URL's host.
    pub(crate) fn dialect(&self, host: &str) -> Option<Arc<dyn Dialect>> {
        self.dialect.clone().or_else(|| dialect_of(host))
    }
}

fn check_heartbeat(heartbeat: &HeartbeatConfig) -> Result<(), ConfigError> {
    if heartbeat.interval == 0 {
        return Err(ConfigError::Zero("heartbeat_config.interval"));
    }
    if heartbeat.missed_limit == 0 {
        return Err(ConfigError::Zero("heartbeat_config.missed_limit"));
    }
    match (heartbeat.kind, &heartbeat.message) {
        (HeartbeatType::Custom, None) => Err(ConfigError::HeartbeatMessage),
        (HeartbeatType::Custom, Some(text)) if text.is_empty() => {
            Err(ConfigError::HeartbeatMessage)
        }
        (HeartbeatType::Ping | HeartbeatType::Deribit, Some(_)) => {
            Err(ConfigError::HeartbeatMessageUnused)
        }
        _ => Ok(()),
    }
}

impl From<&str> for Config {
    fn from(url: &str) -> Config {
        Config::new(url)
    }
}

impl From<String> for Config {
    fn from(url: String) -> Config {
        Config::new(url)
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<&str> = self.headers.iter().map(|(name, _)| &**name).collect();
        f.debug_struct("Config")
            .field("url", &shown(&self.url))
            .field("timeout", &self.timeout)
            .field("headers", &headers)
            .field("retry_count", &self.retry_count)
            .field("retry_delay", &self.retry_delay)
            .field("max_backoff", &self.max_backoff)
            .field("jitter", &self.jitter)
            .field("reconnect_on_error", &self.reconnect_on_error)
            .field("restore_subscriptions", &self.restore_subscriptions)
            .field("heartbeat_config", &self.heartbeat_config)
            .field("request_timeout", &self.request_timeout)
            .field("debug", &self.debug)
            .field("record_to", &self.record_to)
            .field("inbound_silence", &self.inbound_silence)
            .field("dialect", &self.dialect)
            .field("limiter", &self.limiter)
            .field("protocol", &self.protocol)
            .finish_non_exhaustive()
    }
}

/// A URL as it may be shown: without its query and without credentials, which may hold keys.
pub(crate) fn shown(url: &str) -> String {
    let bare = url.split(['?', '#']).next().unwrap_or_default();
    match (bare.split_once("://"), bare.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://..@{host}"),
        _ => bare.to_owned(),
    }
}

/// What is wrong with a configuration. Nothing was opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// No URL.
    #[error("url is missing: write wss://host/path")]
    UrlMissing,
    /// Not a WebSocket URL.
    #[error("url {0:?} is no WebSocket URL: begin it with wss:// (or ws:// without TLS)")]
    Scheme(String),
    /// The rest of the URL.
    #[error("url {url:?} can't be used: {problem}")]
    Url {
        /// Without its query.
        url: String,
        /// What is wrong and what to write instead.
        problem: &'static str,
    },
    /// A number that must be positive.
    #[error("{0} is 0: set it to at least 1")]
    Zero(&'static str),
    /// The longest wait is shorter than the first.
    #[error(
        "max_backoff {max} is below retry_delay {delay}: raise max_backoff or lower retry_delay"
    )]
    Backoff {
        /// `max_backoff`.
        max: u64,
        /// `retry_delay`.
        delay: u64,
    },
    /// More than any message may have.
    #[error("message_bytes_max {0} is above {MESSAGE_BYTES_CEILING}: lower it")]
    MessageBytes(usize),
    /// A header that can't be sent.
    #[error("headers: {0}: change or remove it")]
    Header(String),
    /// A subprotocol that can't be sent.
    #[error("protocol {0:?} is no single token: write one name without spaces and commas")]
    Protocol(String),
    /// A custom heartbeat has nothing to send.
    #[error("heartbeat_config: a custom heartbeat needs a message: set message")]
    HeartbeatMessage,
    /// A message that would not be sent.
    #[error(
        "heartbeat_config: message is only for a custom heartbeat: remove it, or set kind to Custom"
    )]
    HeartbeatMessageUnused,
    /// Certificates for one client of many.
    #[error("trust_only is the loop's: set it where the loop is made, not for a client on it")]
    TrustOnly,
    /// The recording can't be written.
    #[error("record_to {path:?} can't be opened: {why}")]
    Record {
        /// The file.
        path: PathBuf,
        /// The system's words.
        why: String,
    },
    /// The loop has as many clients as it can have.
    #[error("the loop has {0} clients, which is all it can have: use another")]
    TooManyClients(usize),
    /// The system refused a thread or a poll.
    #[error("the loop could not start: {0}")]
    Loop(String),
}

pub(crate) fn nanos(milliseconds: u64) -> Nanos {
    Nanos(
        i64::try_from(milliseconds)
            .unwrap_or(i64::MAX)
            .saturating_mul(1_000_000),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_that_are_documented() {
        let config = Config::new("wss://a.example");
        let heartbeat = config.heartbeat_config.clone().expect("a heartbeat");
        assert_eq!(
            (
                config.timeout,
                config.retry_count,
                config.retry_delay,
                config.max_backoff
            ),
            (5_000, 3, 1_000, 30_000)
        );
        assert!(config.jitter && config.reconnect_on_error && config.restore_subscriptions);
        assert_eq!(
            (heartbeat.kind, heartbeat.interval),
            (HeartbeatType::Ping, 30_000)
        );
        assert_eq!((config.request_timeout, config.debug), (30_000, false));
        assert!(config.record_to.is_none() && config.headers.is_empty());
        assert_eq!(config.validate(), Ok(()));
    }

    #[test]
    fn each_error_says_what_to_change() {
        type Change = fn(&mut Config);
        #[rustfmt::skip]
        let table: [(Change, &str); 22] = [
            (|c| c.url = String::new(), "url is missing: write wss://host/path"),
            (|c| c.url = "https://a.example/?key=secret".into(), "url \"https://a.example/\" is no WebSocket URL: begin it with wss:// (or ws:// without TLS)"),
            (|c| c.url = "wss://".into(), "url \"wss://\" can't be used: the host is missing"),
            (|c| c.url = "wss://a:0x1/".into(), "url \"wss://a:0x1/\" can't be used: the port must be 1 to 65535"),
            (|c| c.url = "wss://me:secret@a.example/".into(), "url \"wss://..@a.example/\" can't be used: credentials in a URL are not supported"),
            (|c| c.timeout = 0, "timeout is 0: set it to at least 1"),
            (|c| c.retry_delay = 0, "retry_delay is 0: set it to at least 1"),
            (|c| c.max_backoff = 0, "max_backoff is 0: set it to at least 1"),
            (|c| c.max_backoff = 999, "max_backoff 999 is below retry_delay 1000: raise max_backoff or lower retry_delay"),
            (|c| c.request_timeout = 0, "request_timeout is 0: set it to at least 1"),
            (|c| c.inbound_silence = Some(0), "inbound_silence is 0: set it to at least 1"),
            (|c| c.queue_max = 0, "queue_max is 0: set it to at least 1"),
            (|c| c.message_bytes_max = 0, "message_bytes_max is 0: set it to at least 1"),
            (|c| c.message_bytes_max = usize::MAX, "message_bytes_max 18446744073709551615 is above 1073741824: lower it"),
            (|c| c.headers = vec![("X Y".into(), "secret".into())], "headers: invalid header name \"X Y\": change or remove it"),
            (|c| c.headers = vec![("X-Key".into(), "secret\r\nZ: 1".into())], "headers: invalid value of header \"X-Key\": change or remove it"),
            (|c| c.headers = vec![("Upgrade".into(), "h2c".into())], "headers: header \"Upgrade\" is set by the engine: change or remove it"),
            (|c| c.protocol = Some("a, b".into()), "protocol \"a, b\" is no single token: write one name without spaces and commas"),
            (|c| c.heartbeat_config = Some(HeartbeatConfig::ping(0)), "heartbeat_config.interval is 0: set it to at least 1"),
            (|c| c.heartbeat_config.as_mut().expect("one").missed_limit = 0, "heartbeat_config.missed_limit is 0: set it to at least 1"),
            (|c| c.heartbeat_config.as_mut().expect("one").kind = HeartbeatType::Custom, "heartbeat_config: a custom heartbeat needs a message: set message"),
            (|c| c.heartbeat_config.as_mut().expect("one").message = Some("PING".into()), "heartbeat_config: message is only for a custom heartbeat: remove it, or set kind to Custom"),
        ];
        for (change, expected) in table {
            let mut config = Config::new("wss://a.example");
            change(&mut config);
            let told = config.validate().map_err(|error| error.to_string());
            assert_eq!(told, Err(expected.to_owned()));
            assert!(!expected.contains("secret"));
        }
    }

    #[test]
    fn no_secret_is_in_debug_output() {
        let config = Config {
            headers: vec![("X-Key".into(), "secret1".into())],
            ..Config::new("wss://a.example/ws?token=secret2")
        };
        let text = format!("{config:?}");
        assert!(
            text.contains("X-Key") && text.contains("wss://a.example/ws"),
            "{text}"
        );
        assert!(!text.contains("secret"), "{text}");
    }
}

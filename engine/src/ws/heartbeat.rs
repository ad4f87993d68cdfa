//! Heartbeats: what is sent when, what counts as its answer, and when the connection is dead.

use std::fmt;
use std::sync::Arc;

use tickwire_connectors::Nanos;

/// What a heartbeat is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeartbeatType {
    /// A WebSocket ping with a payload of its own; only its own pong counts.
    #[default]
    Ping,
    /// Deribit's: `public/test` is sent, and sent at once when the server asks for it (`heartbeat` of
    /// the type `test_request`, which `public/set_heartbeat` turns on).
    Deribit,
    /// The text of `message`, answered by what `answer` takes for its answer.
    Custom,
}

/// What answers a heartbeat of one's own.
#[derive(Clone, Default)]
pub enum Answer {
    /// Any message.
    #[default]
    Any,
    /// A text that is equal to this one.
    Equals(String),
    /// A text with this in it.
    Contains(String),
    /// A text that this says yes to.
    By(Arc<dyn Fn(&str) -> bool + Send + Sync>),
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Any => f.write_str("Any"),
            Answer::Equals(text) => f.debug_tuple("Equals").field(text).finish(),
            Answer::Contains(text) => f.debug_tuple("Contains").field(text).finish(),
            Answer::By(_) => f.write_str("By(..)"),
        }
    }
}

/// When heartbeats go out, and how many may be missed.
#[derive(Clone, Debug)]
pub struct HeartbeatConfig {
    /// What it is (`type` in words of the configuration).
    pub kind: HeartbeatType,
    /// Milliseconds between two, at least 1. 30,000 by default.
    pub interval: u64,
    /// What [`HeartbeatType::Custom`] sends.
    pub message: Option<String>,
    /// What answers it.
    pub answer: Answer,
    /// So many heartbeats in a row without an answer and the connection is made anew. At least 1; 2 by
    /// default: one may be lost in a pause of the server, and two intervals are what users wait.
    pub missed_limit: u32,
}

impl Default for HeartbeatConfig {
    fn default() -> HeartbeatConfig {
        HeartbeatConfig {
            kind: HeartbeatType::Ping,
            interval: 30_000,
            message: None,
            answer: Answer::Any,
            missed_limit: 2,
        }
    }
}

impl HeartbeatConfig {
    /// WebSocket pings.
    pub fn ping(interval: u64) -> HeartbeatConfig {
        HeartbeatConfig {
            interval,
            ..HeartbeatConfig::default()
        }
    }

    /// Deribit's.
    pub fn deribit(interval: u64) -> HeartbeatConfig {
        HeartbeatConfig {
            kind: HeartbeatType::Deribit,
            interval,
            ..HeartbeatConfig::default()
        }
    }

    /// A text of one's own.
    pub fn custom(interval: u64, message: impl Into<String>, answer: Answer) -> HeartbeatConfig {
        HeartbeatConfig {
            kind: HeartbeatType::Custom,
            interval,
            message: Some(message.into()),
            answer,
            ..HeartbeatConfig::default()
        }
    }
}

/// What Deribit's heartbeat sends.
pub(crate) const DERIBIT_TEST: &str =
    r#"{"jsonrpc":"2.0","id":8999999999999999,"method":"public/test","params":{}}"#;

/// Its id, below those of the requests for channels and above any that a program counts.
pub(crate) const DERIBIT_TEST_ID: &str = "8999999999999999";

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beat {
    /// Send a ping with this payload.
    Ping([u8; 8]),
    /// Send the text of the heartbeat.
    Text,
    /// So many were missed: the connection is dead.
    Dead(u32),
}

/// The heartbeat of one connection after another.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    config: HeartbeatConfig,
    /// Unforeseeable, so that no pong of an old connection or of a guess answers.
    rng: fastrand::Rng,
    /// When the next is due; never where it rests.
    due: Nanos,
    outstanding: Option<Outstanding>,
    health: Health,
}

#[derive(Debug)]
struct Outstanding {
    payload: [u8; 8],
    sent: Nanos,
}

/// What is known of a heartbeat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Health {
    pub(crate) last_at: Option<Nanos>,
    /// In a row, on this connection.
    pub(crate) failures: u32,
    pub(crate) is_active: bool,
    pub(crate) rtt: Option<Nanos>,
}

impl Heartbeat {
    pub(crate) fn new(config: HeartbeatConfig, seed: u64) -> Heartbeat {
        Heartbeat {
            config,
            rng: fastrand::Rng::with_seed(seed),
            due: Nanos::MAX,
            outstanding: None,
            health: Health::default(),
        }
    }

    pub(crate) fn config(&self) -> &HeartbeatConfig {
        &self.config
    }

    pub(crate) fn health(&self) -> Health {
        self.health
    }

    /// Begins to beat on a new connection.
    pub(crate) fn start(&mut self, now: Nanos) {
        self.stop();
        self.due = now + self.interval();
        self.health.is_active = true;
    }

    /// The connection is gone.
    pub(crate) fn stop(&mut self) {
        self.due = Nanos::MAX;
        self.outstanding = None;
        self.health.failures = 0;
        self.health.is_active = false;
    }

    pub(crate) fn deadline(&self) -> Nanos {
        self.due
    }

    pub(crate) fn handle_timeout(&mut self, now: Nanos) -> Option<Beat> {
        if now < self.due {
            return None;
        }
        // From now: after a long sleep one heartbeat is sent and not all that were due.
        self.due = now + self.interval();
        if self.outstanding.is_some() {
            self.health.failures += 1;
            if self.health.failures >= self.config.missed_limit.max(1) {
                return Some(Beat::Dead(self.health.failures));
            }
        }
        let payload = self.rng.u64(..).to_be_bytes();
        self.outstanding = Some(Outstanding { payload, sent: now });
        Some(match self.config.kind {
            HeartbeatType::Ping => Beat::Ping(payload),
            HeartbeatType::Deribit | HeartbeatType::Custom => Beat::Text,
        })
    }

    /// A pong came. Gives the round trip where it answers our last ping.
    pub(crate) fn handle_pong(&mut self, now: Nanos, payload: &[u8]) -> Option<Nanos> {
        let is_ours = self.config.kind == HeartbeatType::Ping
            && self
                .outstanding
                .as_ref()
                .is_some_and(|ping| ping.payload == payload);
        if is_ours { self.answered(now) } else { None }
    }

    /// A text came. Gives the round trip where it is the heartbeat's answer.
    pub(crate) fn handle_text(&mut self, now: Nanos, text: &str) -> Option<Nanos> {
        if self.config.kind != HeartbeatType::Custom || self.outstanding.is_none() {
            return None;
        }
        let is_answer = match &self.config.answer {
            Answer::Any => true,
            Answer::Equals(expected) => text == expected,
            Answer::Contains(part) => text.contains(&**part),
            Answer::By(is_answer) => is_answer(text),
        };
        if is_answer { self.answered(now) } else { None }
    }

    /// The answer to Deribit's test came.
    pub(crate) fn handle_test_answer(&mut self, now: Nanos) -> Option<Nanos> {
        self.answered(now)
    }

    /// Whether a text that answers is nobody's business but ours.
    pub(crate) fn keeps_answer(&self) -> bool {
        !matches!(self.config.answer, Answer::Any)
    }

    fn answered(&mut self, now: Nanos) -> Option<Nanos> {
        let rtt = now - self.outstanding.take()?.sent;
        self.health.failures = 0;
        self.health.last_at = Some(now);
        self.health.rtt = Some(rtt);
        Some(rtt)
    }

    fn interval(&self) -> Nanos {
        Nanos(
            i64::try_from(self.config.interval.max(1))
                .unwrap_or(i64::MAX)
                .saturating_mul(1_000_000),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Nanos {
        Nanos(ms * 1_000_000)
    }

    fn ping_of(beat: Option<Beat>) -> [u8; 8] {
        match beat {
            Some(Beat::Ping(payload)) => payload,
            other => panic!("{other:?} is no ping"),
        }
    }

    #[test]
    fn only_the_last_pings_own_pong_counts() {
        let mut heart = Heartbeat::new(HeartbeatConfig::ping(100), 1);
        heart.start(at(0));
        assert_eq!(heart.handle_timeout(at(99)), None);
        let first = ping_of(heart.handle_timeout(at(100)));
        for wrong in [&b""[..], b"12345678", &first[..7]] {
            assert_eq!(heart.handle_pong(at(110), wrong), None, "{wrong:?}");
        }
        let second = ping_of(heart.handle_timeout(at(200)));
        assert_ne!(first, second);
        assert_eq!(
            heart.handle_pong(at(210), &first),
            None,
            "an old ping's pong"
        );
        assert_eq!(heart.health().failures, 1);
        assert_eq!(heart.handle_pong(at(230), &second), Some(at(30)));
        assert_eq!(heart.handle_pong(at(231), &second), None, "twice");
        let health = heart.health();
        assert_eq!(
            (health.failures, health.rtt, health.last_at),
            (0, Some(at(30)), Some(at(230)))
        );
    }

    #[test]
    fn withheld_pongs_are_a_dead_connection_at_the_limit() {
        for limit in 1..5 {
            let mut heart = Heartbeat::new(
                HeartbeatConfig {
                    missed_limit: limit,
                    ..HeartbeatConfig::ping(100)
                },
                1,
            );
            heart.start(at(0));
            let mut now = 100;
            for missed in 0..limit {
                ping_of(heart.handle_timeout(at(now)));
                assert_eq!(heart.health().failures, missed);
                now += 100;
            }
            assert_eq!(heart.handle_timeout(at(now)), Some(Beat::Dead(limit)));
        }
    }

    #[test]
    fn a_timer_of_an_old_connection_does_nothing_on_the_next() {
        let mut heart = Heartbeat::new(HeartbeatConfig::ping(100), 1);
        heart.start(at(0));
        let old = ping_of(heart.handle_timeout(at(100)));
        heart.stop();
        assert_eq!(
            heart.handle_timeout(at(200)),
            None,
            "nothing beats while down"
        );
        heart.start(at(250));
        assert_eq!(heart.handle_timeout(at(300)), None, "the old timer's time");
        assert_eq!(
            heart.handle_pong(at(301), &old),
            None,
            "the old connection's pong"
        );
        assert_eq!(heart.health().failures, 0);
        ping_of(heart.handle_timeout(at(350)));
    }

    #[test]
    fn a_custom_heartbeat_is_answered_by_what_is_said_to_answer_it() {
        let by: Answer = Answer::By(Arc::new(|text| text.ends_with('!')));
        let table = [
            (Answer::Any, "x", true),
            (Answer::Equals("PONG".to_owned()), "PONG", true),
            (Answer::Equals("PONG".to_owned()), "PONG ", false),
            (
                Answer::Contains("\"op\":\"pong\"".to_owned()),
                r#"{"op":"pong"}"#,
                true,
            ),
            (Answer::Contains("pong".to_owned()), "ping", false),
            (by.clone(), "yes!", true),
            (by, "no", false),
        ];
        for (answer, text, counts) in table {
            let what = format!("{answer:?} {text}");
            let mut heart = Heartbeat::new(HeartbeatConfig::custom(100, "PING", answer), 1);
            heart.start(at(0));
            assert_eq!(
                heart.handle_text(at(50), text),
                None,
                "{what}: nothing was asked"
            );
            assert_eq!(heart.handle_timeout(at(100)), Some(Beat::Text));
            assert_eq!(heart.handle_text(at(120), text).is_some(), counts, "{what}");
        }
    }
}

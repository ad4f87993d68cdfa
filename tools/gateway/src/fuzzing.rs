//! Bodies of the fuzz targets, which tests replay with their corpora. Octets in; what must hold is asserted.

use serde_json::Value;
use tickwire::operator::{Instruction, line};
use tickwire::ring::Item;
use tickwire::{Nanos, StreamId};

use crate::auth::{Auth, Grant};
use crate::config::{Config, Limits};
use crate::core::{Core, Desks, Out};
use crate::crew::{AgentCard, Crew};
use crate::feed::{Feed, FeedError, Part};
use crate::paper::PaperDesk;
use crate::upgrade::{Doors, Verdict, judge};

const NOW: Nanos = Nanos::from_secs(1_700_000_000);

/// Market data of which there are none.
#[derive(Debug, Default)]
struct Silent(u32);

impl Feed for Silent {
    fn open(&mut self, _: &str, _: &str, _: &str, _: Part) -> Result<StreamId, FeedError> {
        self.0 += 1;
        StreamId::new(self.0).ok_or_else(|| FeedError::Busy("no more".to_owned()))
    }
    fn close(&mut self, _: StreamId) {}
    fn again(&mut self, _: StreamId) {}
    fn next(&mut self) -> Option<Item<'_>> {
        None
    }
}

/// What came to a judged head, without what differs from run to run.
fn outcome(bytes: &[u8]) -> String {
    let doors = Doors {
        hosts: vec!["127.0.0.1:4096".to_owned()],
        origins: vec!["https://desk.example".to_owned()],
        secure: false,
    };
    match judge(bytes, false, &doors, &mut Auth::default(), NOW) {
        Verdict::More => "more".to_owned(),
        Verdict::Metrics => "metrics".to_owned(),
        Verdict::Reply { status, response } => {
            assert!(response.starts_with(&format!("HTTP/1.1 {status} ")));
            status.to_string()
        }
        // Nobody holds a token here.
        Verdict::Upgrade { .. } => unreachable!("let in without a token"),
    }
}

/// The head of an upgrade: whatever it is, nobody is let in without a token, and a verdict on a beginning
/// is the verdict on the whole.
pub fn upgrade(octets: &[u8]) {
    let whole = outcome(octets);
    for end in (0..octets.len()).rev().take(200) {
        let part = outcome(octets.get(..end).unwrap_or_default());
        if part != "more" {
            assert_eq!(part, whole, "{end} octets");
        }
    }
}

/// Frames of one client, one a line, against a strategy that repeats what it is told: each is answered with
/// frames of the protocol, an error is never our own fault, a request is answered once. A line `@5` lets 5
/// seconds pass; `$S` stands for the newest session.
pub fn frames(octets: &[u8]) {
    let Ok(script) = std::str::from_utf8(octets) else {
        return;
    };
    let (operator, mut strategy) = line(|| {});
    let crew = Crew::new().with(AgentCard::new("default", "repeats"), operator);
    let paper = PaperDesk::new(Silent::default(), []).expect("no instrument to refuse");
    let config = Config {
        limits: Limits {
            sessions_max: 50,
            ..Limits::default()
        },
        ..Config::default()
    };
    let feed = Box::new(Silent::default());
    let mut core = Core::new(config, Desks::paper(paper), crew, feed, NOW).expect("memory");
    let token = core.issue(Grant::all("ann")).expect("randomness");
    let mut now = NOW;
    let identity = core.auth.token(token.expose(), now).expect("good");
    let conn = core.open(identity, now);
    let (mut session, mut closed) = ("none".to_owned(), false);
    for line in script.lines().take(300) {
        now += Nanos::from_millis(20);
        if let Some(seconds) = line.strip_prefix('@') {
            now += Nanos::from_secs(seconds.parse::<u8>().unwrap_or(1).into());
        } else {
            core.text(conn, &line.replace("$S", &session), now);
        }
        while let Some(instruction) = strategy.next() {
            if let Instruction::Message { reply, text, .. } = instruction {
                strategy.answer(reply).text(text).expect("room");
                strategy.answer(reply).finish().expect("room");
            }
        }
        core.turn(now);
        core.tick(now);
        core.settle().expect("memory");
        while let Some(out) = core.next(conn) {
            assert!(!closed, "nothing follows the close frame");
            match out {
                Out::Ping => {}
                Out::Close(_) => closed = true,
                Out::Text(text) => {
                    let frame: Value = serde_json::from_str(&text).expect("JSON");
                    if let Some(id) = frame["result"]["projectId"]
                        .as_str()
                        .and(frame["result"]["id"].as_str())
                    {
                        id.clone_into(&mut session);
                    }
                    let code = frame["error"]["code"].as_str().unwrap_or_default();
                    assert_ne!(code, "INTERNAL_ERROR", "{line}");
                    match frame["type"].as_str() {
                        Some("pong") => {}
                        Some("event") => assert!(frame["offset"].is_u64()),
                        Some("response") => {
                            assert!(frame.get("result").is_some() != frame.get("error").is_some());
                        }
                        other => panic!("a frame of type {other:?}"),
                    }
                }
            }
        }
    }
    core.closed(conn);
    assert_eq!(core.connections(), 0);
}

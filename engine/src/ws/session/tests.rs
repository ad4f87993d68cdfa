//! A session without sockets: link changes, texts and time in; frames, messages and answers out.

use super::*;
use crate::ws::json::Envelope;
use crate::ws::limit::Lane;
use crate::ws::ticket::{Ticket, ticket};

mod answers;
mod chaos;
mod ends;
mod heartbeats;
mod lanes;
mod restores;

const MS: i64 = 1_000_000;

fn at(ms: i64) -> Nanos {
    Nanos(1_700_000_000_000 * MS + ms * MS)
}

/// A session, its clock and what it has done.
struct World {
    session: Session,
    shared: Arc<Shared>,
    ms: i64,
}

impl World {
    fn new(change: impl FnOnce(&mut Config)) -> World {
        let mut config = Config::new("wss://www.deribit.com/ws");
        config.heartbeat_config = None;
        config.subscribe_interval = 0;
        config.request_timeout = 1_000;
        change(&mut config);
        let (endpoint, path) = config.target().expect("a good configuration");
        let dialect = config.dialect(&endpoint.host);
        let shared = Arc::new(Shared::new(config.queue_max));
        let settings = Arc::new(Settings {
            config,
            endpoint,
            path,
            dialect,
        });
        let mut world = World {
            session: Session::new(settings, Arc::clone(&shared), None, 1),
            shared,
            ms: 0,
        };
        assert_eq!(world.outputs(), [Output::Open]);
        world
    }

    fn up(change: impl FnOnce(&mut Config)) -> World {
        let mut world = World::new(change);
        world.connect();
        world
    }

    fn connect(&mut self) {
        self.session.handle_up(at(self.ms), Nanos(MS));
    }

    fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.session.poll_output()).collect()
    }

    /// The texts that were sent.
    fn sent(&mut self) -> Vec<String> {
        let texts = self
            .outputs()
            .into_iter()
            .filter_map(|output| match output {
                Output::Frame(OpCode::Text, _, payload) => String::from_utf8(payload).ok(),
                _ => None,
            });
        texts.collect()
    }

    fn pings(&mut self) -> Vec<Vec<u8>> {
        let pings = self
            .outputs()
            .into_iter()
            .filter_map(|output| match output {
                Output::Frame(OpCode::Ping, _, payload) => Some(payload),
                _ => None,
            });
        pings.collect()
    }

    fn messages(&mut self) -> Vec<Message> {
        std::iter::from_fn(|| self.shared.pop()).collect()
    }

    fn text(&mut self, text: &str) {
        self.session.handle_text(at(self.ms), text.as_bytes());
    }

    /// Lets time pass, firing each timer when it is due.
    fn pass(&mut self, ms: i64) {
        let end = self.ms + ms;
        while self.session.deadline() <= at(end) {
            let due = self.session.deadline();
            self.ms = self.ms.max((due.0 - at(0).0).div_euclid(MS));
            self.session.handle_timeout(due.max(at(self.ms)));
        }
        self.ms = end;
    }

    fn lose(&mut self, reason: DownReason, was_up: bool, retry: Option<i64>) {
        self.session.handle_loss(
            at(self.ms),
            LinkLoss {
                reason: &reason,
                was_up,
                retry_in_ns: retry.map(|ms| Nanos(ms * MS)),
            },
        );
    }

    fn lost(&mut self) {
        self.lose(DownReason::Lost("reset".to_owned()), true, Some(10));
    }

    /// Sends as the client does.
    fn send(&mut self, text: &str, cost: u32) -> Option<Ticket> {
        let envelope = Envelope::read(text);
        let method = envelope.as_ref().and_then(Envelope::method);
        let key = envelope.and_then(|envelope| envelope.id(&["id"]));
        let (caller, waiter) = ticket();
        let has_id = key.is_some();
        assert!(self.shared.sending());
        let command = Command::Send(Outgoing {
            opcode: OpCode::Text,
            payload: text.as_bytes().to_vec(),
            request: key.map(|key| (key, waiter)),
            lane: Lane::of(method.as_deref().unwrap_or_default()),
            cost,
            is_paid: false,
        });
        self.session.handle_command(at(self.ms), command);
        has_id.then_some(caller)
    }

    fn ask(&mut self, id: u64) -> Ticket {
        let text = format!(r#"{{"id":{id},"method":"public/get_time"}}"#);
        self.send(&text, 1).expect("a ticket")
    }

    fn subscribe(&mut self, channels: &[&str]) -> Ticket<Subscribed> {
        let (caller, waiter) = ticket();
        let channels = channels.iter().map(|name| (*name).to_owned()).collect();
        let command = Command::Subscribe(channels, waiter);
        self.session.handle_command(at(self.ms), command);
        caller
    }

    /// Answers each subscribe as Deribit would; gives their channels.
    fn accept(&mut self) -> Vec<Vec<String>> {
        let mut requests = Vec::new();
        loop {
            let sent = self.sent();
            if sent.is_empty() {
                return requests;
            }
            for text in sent {
                let request = Envelope::read(&text).expect("JSON");
                let channels = request
                    .object("params")
                    .and_then(|params| params.texts("channels"));
                let channels = channels.unwrap_or_default();
                let id = request.raw("id").expect("an id");
                self.text(&format!(r#"{{"id":{id},"result":{channels:?}}}"#));
                requests.push(channels);
            }
        }
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

//! A world over memory: virtual time, no sockets, no sleeps.
#![allow(dead_code, reason = "each test binary uses a part")]

pub(crate) mod book;
pub(crate) mod orders;
pub(crate) mod rig;
pub(crate) mod tls;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use serde_json::Value;
use tickwire_sim::{
    Accept, Command, ConnId, Fault, HttpRequest, HttpResponse, Item, Outbox, ShellFault, SimVenue,
    VenueSpec, World,
};

/// Start of every virtual clock: a whole minute, so that windows are aligned.
pub(crate) const START: i64 = 1_700_000_040_000_000_000;
pub(crate) const SECOND: i64 = 1_000_000_000;
pub(crate) const MS: i64 = 1_000_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Text(String),
    /// A text frame that is not UTF-8.
    Bytes(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(u16, &'static str),
    Cut,
}

/// A world and its clients' inboxes.
pub(crate) struct Pipe {
    pub(crate) world: World,
    pub(crate) now: i64,
    /// What the world left to its shell, with its time.
    pub(crate) shell: Vec<(i64, ShellFault)>,
    out: Outbox,
    next_conn: u64,
    inbox: BTreeMap<ConnId, Vec<(i64, Event)>>,
}

#[expect(
    clippy::disallowed_methods,
    reason = "the send log wants some instant as its base"
)]
fn base() -> Instant {
    Instant::now()
}

impl Pipe {
    pub(crate) fn new(specs: &[VenueSpec]) -> Self {
        Self::seeded(specs, 7)
    }

    pub(crate) fn seeded(specs: &[VenueSpec], seed: u64) -> Self {
        let world = World::new(specs, seed, START, base()).unwrap();
        let (out, inbox) = (Outbox::default(), BTreeMap::new());
        Self {
            world,
            now: START,
            shell: Vec::new(),
            out,
            next_conn: 1,
            inbox,
        }
    }

    pub(crate) fn open(&mut self, venue: SimVenue, target: &str) -> Result<ConnId, HttpResponse> {
        let conn = ConnId(self.next_conn);
        self.next_conn += 1;
        self.inbox.insert(conn, Vec::new());
        let accept = self
            .world
            .handle_open(venue, conn, target, self.now, &mut self.out);
        self.drain();
        match accept {
            Accept::Upgrade => Ok(conn),
            Accept::Refuse(response) => Err(response),
        }
    }

    pub(crate) fn send(&mut self, venue: SimVenue, conn: ConnId, text: &str) {
        self.world
            .handle_text(venue, conn, text, self.now, &mut self.out);
        self.drain();
    }

    pub(crate) fn ping(&mut self, venue: SimVenue, conn: ConnId, payload: &[u8]) {
        self.world
            .handle_ping(venue, conn, payload, self.now, &mut self.out);
        self.drain();
    }

    pub(crate) fn pong(&mut self, venue: SimVenue, conn: ConnId, payload: &[u8]) {
        self.world
            .handle_pong(venue, conn, payload, self.now, &mut self.out);
        self.drain();
    }

    pub(crate) fn control(&mut self, venue: SimVenue, command: &Command) {
        self.world
            .handle_control(venue, command, self.now, &mut self.out);
        self.drain();
    }

    pub(crate) fn get(&mut self, venue: SimVenue, target: &str) -> HttpResponse {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let request = HttpRequest {
            method: "GET",
            path,
            query,
            headers: &[],
            body: b"",
        };
        self.world.handle_http(venue, &request, self.now)
    }

    /// A request of any kind, and what came of it in the venue's own turn.
    pub(crate) fn http(
        &mut self,
        venue: SimVenue,
        (method, target): (&str, &str),
        headers: &[(String, String)],
        body: &[u8],
    ) -> HttpResponse {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let request = HttpRequest {
            method,
            path,
            query,
            headers,
            body,
        };
        let response = self.world.handle_http(venue, &request, self.now);
        self.world.poll(self.now, &mut self.out);
        self.drain();
        response
    }

    pub(crate) fn get_json(&mut self, venue: SimVenue, target: &str) -> Value {
        let response = self.get(venue, target);
        assert_eq!(
            response.status,
            200,
            "{target}: {}",
            String::from_utf8_lossy(&response.body)
        );
        serde_json::from_slice(&response.body).unwrap()
    }

    /// Lets time pass, stopping at every deadline of the world.
    pub(crate) fn run(&mut self, span_ns: i64) {
        let end = self.now + span_ns;
        loop {
            let next = self.world.poll(self.now, &mut self.out);
            self.drain();
            match next {
                Some(at) if at <= self.now => {}
                Some(at) if at <= end => self.now = at,
                _ => break,
            }
        }
        self.now = end;
    }

    fn drain(&mut self) {
        let items = std::mem::take(&mut self.out.items);
        for item in items {
            let bytes = |range: &std::ops::Range<usize>| self.out.bytes[range.clone()].to_vec();
            let (conn, event) = match &item {
                Item::Text { conn, range, .. } => {
                    let text = String::from_utf8(bytes(range));
                    let event = text.map_or_else(|e| Event::Bytes(e.into_bytes()), Event::Text);
                    (*conn, event)
                }
                Item::Ping { conn, range } => (*conn, Event::Ping(bytes(range))),
                Item::Pong { conn, range } => (*conn, Event::Pong(bytes(range))),
                Item::Close { conn, code, reason } => (*conn, Event::Close(*code, reason)),
                Item::Cut { conn } => (*conn, Event::Cut),
            };
            self.inbox.entry(conn).or_default().push((self.now, event));
        }
        let faults = self.out.faults.drain(..);
        self.shell.extend(faults.map(|fault| (self.now, fault)));
        self.out.clear();
    }

    pub(crate) fn inject(&mut self, venue: SimVenue, fault: &Fault) {
        self.world.inject(venue, fault, self.now, &mut self.out);
        self.drain();
    }

    /// Everything that a client got since it was last asked.
    pub(crate) fn events(&mut self, conn: ConnId) -> Vec<Event> {
        self.timed_events(conn)
            .into_iter()
            .map(|(_, event)| event)
            .collect()
    }

    /// The same with its times.
    pub(crate) fn timed_events(&mut self, conn: ConnId) -> Vec<(i64, Event)> {
        self.inbox
            .get_mut(&conn)
            .map(std::mem::take)
            .unwrap_or_default()
    }

    /// The raw texts that a client got.
    pub(crate) fn raw(&mut self, conn: ConnId) -> Vec<String> {
        let text = |event| {
            if let Event::Text(text) = event {
                Some(text)
            } else {
                None
            }
        };
        self.events(conn).into_iter().filter_map(text).collect()
    }

    /// The texts that a client got, parsed.
    pub(crate) fn texts(&mut self, conn: ConnId) -> Vec<Value> {
        self.raw(conn)
            .iter()
            .map(|text| serde_json::from_str(text).unwrap())
            .collect()
    }
}

/// The fixtures' folder, or `None` with a loud word: it is not part of the repository.
pub(crate) fn fixtures() -> Option<PathBuf> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/fixtures");
    let path = std::env::var_os("TICKWIRE_FIXTURES").map_or_else(|| default.into(), PathBuf::from);
    if path.is_dir() {
        return Some(path);
    }
    let required = std::env::var("TICKWIRE_REQUIRE_FIXTURES").is_ok_and(|value| value == "1");
    assert!(!required, "no fixtures at {}", path.display());
    #[expect(clippy::print_stderr, reason = "a skipped test must be heard")]
    {
        eprintln!(
            "SKIPPED: no fixtures at {} (set TICKWIRE_FIXTURES)",
            path.display()
        );
    }
    None
}

/// The lines of a fixture, unpacked.
pub(crate) fn fixture_lines(name: &str) -> Option<Vec<String>> {
    let bytes = std::fs::read(fixtures()?.join(name)).unwrap();
    let bytes = if name.ends_with(".zst") {
        zstd::decode_all(&*bytes).unwrap()
    } else {
        bytes
    };
    Some(
        String::from_utf8(bytes)
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect(),
    )
}

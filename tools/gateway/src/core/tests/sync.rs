//! State sync: whoever comes back gets exactly what it missed, or the state and what follows it.

use super::*;
use crate::config::Limits;

/// A client that keeps what it saw of one channel, by the rules of docs/gateway/sync.md.
struct Client {
    channel: String,
    conn: Option<usize>,
    position: Option<(String, u64)>,
    /// Offsets of all events that it was given.
    seen: Vec<u64>,
    recovered: u32,
    snapshots: u32,
}

impl Client {
    fn new(channel: &str) -> Client {
        Client {
            channel: channel.to_owned(),
            conn: None,
            position: None,
            seen: Vec::new(),
            recovered: 0,
            snapshots: 0,
        }
    }

    fn come(&mut self, world: &mut World) {
        let conn = world.connect();
        let at = match &self.position {
            Some((epoch, offset)) => json!({ "channel": self.channel,
                "since": { "epoch": epoch, "offset": offset } }),
            None => json!(self.channel),
        };
        // By hand: events may come with the answer.
        let frame = json!({ "type": "subscribe", "id": "s", "channels": [at] });
        world.say(conn, &frame.to_string());
        self.conn = Some(conn);
        self.read(world, usize::MAX);
    }

    fn leave(&mut self, world: &mut World) {
        if let Some(conn) = self.conn.take() {
            world.core.closed(conn);
        }
    }

    /// Reads some of what waits.
    fn read(&mut self, world: &mut World, most: usize) {
        world.turn();
        let Some(conn) = self.conn else { return };
        for _ in 0..most {
            let Some(out) = world.core.next(conn) else {
                return;
            };
            let Out::Text(text) = out else { continue };
            let frame: Value = serde_json::from_str(&text).expect("JSON");
            if frame["id"] == "s" {
                let subscribed = &frame["result"]["channels"][0];
                let offset = subscribed["offset"].as_u64().expect("a position");
                let epoch = subscribed["epoch"].as_str().expect("a position").to_owned();
                if subscribed["recovered"] == true {
                    assert_eq!(self.position, Some((epoch, offset)));
                    self.recovered += 1;
                } else {
                    assert!(subscribed.get("snapshot").is_some());
                    self.snapshots += 1;
                    self.position = Some((epoch, offset));
                    // What the state holds need not be told.
                    self.seen.clear();
                }
            } else {
                let offset = frame["offset"].as_u64().expect("an offset");
                let (epoch, at) = self.position.as_mut().expect("subscribed");
                assert_eq!(frame["epoch"], *epoch);
                assert_eq!(offset, *at + 1, "none twice, none left out");
                *at = offset;
                self.seen.push(offset);
            }
        }
    }
}

#[test]
fn clients_that_come_and_go_at_random_end_with_exactly_the_log() {
    for seed in 0..20 {
        let mut chance = fastrand::Rng::with_seed(seed);
        let mut world = World::new();
        let teller = world.connect();
        let session = world.session(teller);
        let channel = format!("session:{session}");
        let mut clients: Vec<Client> = (0..5).map(|_| Client::new(&channel)).collect();
        for client in &mut clients {
            client.come(&mut world);
        }
        let mut reply = world.send(teller, &session).0;
        for step in 0..400 {
            match chance.u8(..10) {
                0..=5 => world
                    .strategy
                    .answer(reply)
                    .text(step.to_string())
                    .expect("heard"),
                6 => {
                    world.strategy.answer(reply).finish().expect("heard");
                    world.turn();
                    reply = world.send(teller, &session).0;
                }
                _ => {
                    let client = chance.usize(..clients.len());
                    let client = &mut clients[client];
                    match client.conn {
                        Some(_) if chance.bool() => client.leave(&mut world),
                        Some(_) => client.read(&mut world, chance.usize(1..20)),
                        None => client.come(&mut world),
                    }
                }
            }
        }
        world.turn();
        let id = world.core.channel(&channel.parse().expect("a channel"));
        let head = world.core.hub.position(id).expect("open");
        for client in &mut clients {
            if client.conn.is_none() {
                client.come(&mut world);
            }
            client.read(&mut world, usize::MAX);
            assert_eq!(
                client.position,
                Some((head.epoch.clone(), head.offset)),
                "seed {seed}"
            );
            assert_eq!(client.snapshots, 1, "seed {seed}: all else was recovered");
        }
    }
}

#[test]
fn a_reconnect_with_nothing_seen_recovers() {
    let mut world = World::new();
    let mut client = Client::new("project:p1");
    client.come(&mut world);
    assert_eq!(
        client.position.as_ref().map(|at| at.1),
        Some(0),
        "a position before any event"
    );
    client.leave(&mut world);
    client.come(&mut world);
    assert_eq!((client.recovered, client.snapshots), (1, 1));
    client.leave(&mut world);
    let teller = world.connect();
    world.session(teller);
    client.come(&mut world);
    assert_eq!((client.recovered, client.seen.as_slice()), (2, &[1][..]));
}

#[test]
fn an_offset_that_is_too_old_gets_the_state_and_one_beyond_the_end_an_error() {
    let limits = Limits {
        log_events_max: 10,
        ..Limits::default()
    };
    let mut world = World::with(Config { limits, ..config() });
    let mut client = Client::new("project:p1");
    client.come(&mut world);
    client.leave(&mut world);
    let teller = world.connect();
    for _ in 0..11 {
        world.session(teller);
    }
    client.come(&mut world);
    assert_eq!((client.recovered, client.snapshots), (0, 2));
    assert_eq!(client.position.as_ref().map(|at| at.1), Some(11));
    let (epoch, offset) = client.position.clone().expect("subscribed");
    let since = |epoch: &str, offset| {
        json!({ "channel": "project:p1",
        "since": { "epoch": epoch, "offset": offset } })
    };
    let beyond = world.subscribe(teller, &since(&epoch, offset + 1));
    assert_eq!(beyond["error"]["code"], "UNRECOVERABLE_POSITION");
    let other = world.subscribe(teller, &since("another", 3));
    assert_eq!(other["recovered"], false);
    let kept = world.subscribe(teller, &since(&epoch, 1));
    assert_eq!(kept["recovered"], true);
    assert_eq!(
        events(&world.read(teller)).len(),
        0,
        "they came with the answer"
    );
}

#[test]
fn a_restart_keeps_epochs_and_offsets_of_what_is_stored_and_changes_the_others() {
    let folder = Folder::new();
    let mut world = World::with(folder.config());
    let teller = world.connect();
    let session = world.session(teller);
    let mut talk = Client::new(&format!("session:{session}"));
    let mut orders = Client::new("orders:p1");
    let mut system = Client::new("system");
    for client in [&mut talk, &mut orders, &mut system] {
        client.come(&mut world);
        client.leave(&mut world);
    }
    let call = world.pending_in(teller, &session, order());
    world
        .ask(teller, "tools.approve", approve(&session, &call))
        .expect("approved");
    world.turn();
    let fills: Vec<(u64, Value)> = world.core.store.fills("p1").expect("the store");
    assert_eq!(fills.len(), 1);
    assert_eq!(fills[0].1["qty"], "1.50");
    let mut world = world.restarted(folder.config());
    for client in [&mut talk, &mut orders, &mut system] {
        client.come(&mut world);
    }
    assert_eq!((talk.recovered, orders.recovered), (1, 1));
    assert!(
        talk.seen.len() > 5 && orders.seen.len() == 2,
        "{:?} {:?}",
        talk.seen,
        orders.seen
    );
    assert_eq!((system.recovered, system.snapshots), (0, 2), "a new epoch");
}

#[test]
fn a_snapshot_and_what_follows_are_joined_at_one_point_under_load() {
    let mut world = World::new();
    let teller = world.connect();
    let session = world.session(teller);
    let (reply, _) = world.send(teller, &session);
    let channel = json!(format!("session:{session}"));
    for round in 0..50u64 {
        // Said, not yet heard; heard while the client subscribes; said behind it.
        world
            .strategy
            .answer(reply)
            .text(format!("<{round}a>"))
            .expect("heard");
        let conn = world.connect();
        world
            .strategy
            .answer(reply)
            .text(format!("<{round}b>"))
            .expect("heard");
        let frame = json!({ "type": "subscribe", "id": "s", "channels": [channel] });
        world.say(conn, &frame.to_string());
        world
            .strategy
            .answer(reply)
            .text(format!("<{round}c>"))
            .expect("heard");
        let frames = world.read(conn);
        let snapshot = &frames[0]["result"]["channels"][0]["snapshot"];
        let parts = &snapshot["messages"][1]["parts"];
        let mut text = parts[0]["content"].as_str().unwrap_or_default().to_owned();
        for frame in &frames[1..] {
            let data = &frame["data"];
            text.push_str(data["append"].as_str().unwrap_or_default());
            text.push_str(data["part"]["content"].as_str().unwrap_or_default());
        }
        let all: String = (0..=round).map(|n| format!("<{n}a><{n}b><{n}c>")).collect();
        assert_eq!(text, all);
        world.core.closed(conn);
    }
}

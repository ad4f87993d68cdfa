//! The Rust client against a gateway over real sockets.

mod common;

use std::time::Duration;

use common::{PATIENCE, Rig, config};
use serde_json::json;
use tickwire_gateway::Grant;
use tickwire_gateway::client::{Calls, Client, Config, Error, Event, Joined, Told};
use tickwire_gateway::protocol::{self, Code, MessagesSend, Mode, Session, SessionsCreate, Text};

fn token(rig: &Rig) -> String {
    let grant = Grant::all("ann");
    rig.gateway()
        .issue(grant)
        .expect("a token")
        .expose()
        .to_owned()
}

fn url(rig: &Rig) -> String {
    format!("ws://{}/ws", rig.address())
}

fn connect(rig: &Rig) -> Client {
    Client::connect(Config::new(url(rig), token(rig))).expect("let in")
}

fn create(client: &Client) -> Session {
    let params = SessionsCreate {
        project_id: Text::new("main").expect("a name"),
        agent: Text::new("default").expect("a name"),
        title: None,
        mode: Mode::Paper,
        params: serde_json::Map::new(),
        idempotency_key: None,
    };
    client.sessions_create(params).expect("a session")
}

fn send(client: &Client, session: &Session, words: &str) -> protocol::MessageSent {
    let params = MessagesSend {
        session_id: Text::new(session.id.clone()).expect("an id"),
        content: Text::new(words).expect("words"),
        idempotency_key: None,
    };
    client.messages_send(params).expect("sent")
}

/// Everything up to the end of the answer with this id.
fn until_answered(client: &Client, reply: &str) -> (Vec<Joined>, Vec<Event>) {
    let (mut joined, mut events) = (Vec::new(), Vec::new());
    loop {
        match client.recv_timeout(PATIENCE).expect("more") {
            Told::Joined(one) => joined.push(one),
            Told::Event(event) => {
                let message = &event.data["message"];
                let is_end = event.name == "message.updated"
                    && message["id"] == json!(reply)
                    && message["status"] == json!("complete");
                events.push(event);
                if is_end {
                    return (joined, events);
                }
            }
            Told::Connected(_) | Told::Lost(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Offsets that go on one by one, in one epoch.
fn assert_whole(from: u64, events: &[Event]) -> u64 {
    let mut last = from;
    for event in events {
        assert_eq!(event.position.offset, last + 1, "{event:?}");
        assert_eq!(event.position.epoch, events[0].position.epoch);
        last += 1;
    }
    last
}

#[test]
fn calls_are_typed_and_channels_go_on_after_a_loss_from_where_they_were() {
    let rig = Rig::start(config());
    let client = connect(&rig);
    let session = create(&client);
    let channel = format!("session:{}", session.id);
    let done = client.subscribe([channel.clone()]).expect("an answer");
    assert_eq!(done.accepted, std::slice::from_ref(&channel));
    let sent = send(&client, &session, "buy low");
    let (joined, events) = until_answered(&client, &sent.reply_id);
    assert_eq!((joined.len(), joined[0].recovered), (1, false));
    let mut last = assert_whole(joined[0].position.offset, &events);
    let parts = events
        .iter()
        .filter(|event| event.name.starts_with("part."));
    assert!(parts.count() >= 2, "an answer of two words: {events:?}");

    // What another client says while this one is away is told to it, once, when it is back.
    let other = connect(&rig);
    for round in 0..3 {
        client.link().reconnect().expect("its loop runs");
        let sent = send(&other, &session, &format!("sell high {round}"));
        let (joined, events) = until_answered(&client, &sent.reply_id);
        last = assert_whole(last, &events);
        // Where the answer came before the cut, the new connection's is still to come.
        for one in joined {
            assert!(one.recovered, "{one:?}");
        }
    }

    client.unsubscribe([channel]).expect("an answer");
    let sent = send(&other, &session, "hold");
    assert_ne!(sent.reply_id, sent.message_id);
    while let Some(told) = client.recv_timeout(Duration::from_millis(200)) {
        assert!(!matches!(told, Told::Event(_)), "{told:?}");
    }
    client.close();
}

#[test]
fn what_the_gateway_refuses_comes_with_its_code() {
    let rig = Rig::start(config());
    let client = connect(&rig);
    let session = create(&client);
    let params = protocol::SessionsGet {
        session_id: Text::new("nobody").expect("an id"),
        message_limit: protocol::Within::of::<10>(),
    };
    match client.sessions_get(params) {
        Err(Error::Refused(body)) => assert_eq!(body.code, Code::NotFound),
        other => panic!("{other:?}"),
    }
    let channels = [
        format!("session:{}", session.id),
        "session:nobody".to_owned(),
    ];
    let done = client.subscribe(channels.clone()).expect("an answer");
    assert_eq!(done.accepted, channels[..1]);
    assert_eq!(done.refused[0].0, channels[1]);
    assert!(
        done.refused[0].1.starts_with("NOT_FOUND"),
        "{:?}",
        done.refused
    );
}

#[test]
fn a_token_that_is_not_valid_ends_it_at_once() {
    let rig = Rig::start(config());
    let config = Config::new(url(&rig), "twg_nobody");
    assert!(!format!("{config:?}").contains("twg_nobody"));
    match Client::connect(config) {
        Err(Error::Link(error)) => assert_eq!(error.class(), tickwire::ws::Class::Fatal, "{error}"),
        other => panic!("{:?}", other.map(drop)),
    }
}

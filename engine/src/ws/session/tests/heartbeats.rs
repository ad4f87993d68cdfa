//! What shows that a connection lives, in each venue's way.

use std::time::Duration;

use super::*;
use crate::ws::heartbeat::{Answer, DERIBIT_TEST, HeartbeatConfig};

#[test]
fn a_pong_that_is_not_the_pings_own_does_not_keep_the_connection() {
    let mut world = World::up(|config| config.heartbeat_config = Some(HeartbeatConfig::ping(100)));
    for _ in 0..2 {
        world.pass(100);
        assert_eq!(world.pings().len(), 1);
        world.session.handle_pong(at(world.ms), b"not this");
    }
    world.pass(100);
    assert!(matches!(world.outputs()[..], [Output::Reconnect(_)]));
    world.lose(DownReason::Cut("heartbeats have no answer"), true, Some(10));
    let expected = Message::Disconnected {
        error: Error::HeartbeatMissed(2),
        retry_in: Duration::from_millis(10),
    };
    assert_eq!(world.messages(), [expected]);
}

#[test]
fn withheld_pongs_show_in_the_health_and_answered_ones_keep_it_for_ever() {
    let mut world = World::up(|config| config.heartbeat_config = Some(HeartbeatConfig::ping(100)));
    world.pass(100);
    for _ in 0..50 {
        let pings = world.pings();
        assert_eq!(pings.len(), 1, "one ping, no cut");
        world.pass(7);
        world.session.handle_pong(at(world.ms), &pings[0]);
        let health = world.shared.stats.heartbeat(None);
        assert_eq!(
            (health.failures, health.rtt),
            (0, Some(Duration::from_millis(7)))
        );
        world.pass(93);
    }
    world.pass(100);
    let health = world.shared.stats.heartbeat(None);
    assert!(health.active && health.failures == 1 && health.last_heartbeat_at.is_some());
}

#[test]
fn a_mute_stream_is_made_anew_though_pings_are_answered() {
    let mut world = World::up(|config| {
        config.heartbeat_config = Some(HeartbeatConfig::ping(100));
        config.inbound_silence = Some(350);
    });
    for _ in 0..3 {
        world.pass(100);
        let pings = world.pings();
        world.session.handle_pong(at(world.ms), &pings[0]);
    }
    world.text("{}");
    for _ in 0..3 {
        world.pass(100);
        let pings = world.pings();
        world.session.handle_pong(at(world.ms), &pings[0]);
    }
    world.pass(50);
    assert!(
        matches!(world.outputs()[..], [Output::Reconnect(_)]),
        "350 ms after the last message"
    );
    world.lose(DownReason::Cut("mute"), true, Some(10));
    let told = world.messages().pop();
    assert!(
        matches!(
            told,
            Some(Message::Disconnected {
                error: Error::Mute(_),
                ..
            })
        ),
        "{told:?}"
    );
}

#[test]
fn deribit_is_answered_and_asked_in_its_own_way() {
    let mut world =
        World::up(|config| config.heartbeat_config = Some(HeartbeatConfig::deribit(100)));
    world.text(r#"{"jsonrpc":"2.0","method":"heartbeat","params":{"type":"heartbeat"}}"#);
    assert_eq!(world.sent(), [""; 0]);
    world.text(r#"{"jsonrpc":"2.0","method":"heartbeat","params":{"type":"test_request"}}"#);
    assert_eq!(world.sent(), [DERIBIT_TEST]);
    for _ in 0..10 {
        world.pass(100);
        assert_eq!(world.sent(), [DERIBIT_TEST]);
        world.text(r#"{"jsonrpc":"2.0","id":8999999999999999,"result":{"version":"1.2.26"}}"#);
    }
    assert_eq!(world.messages(), [], "nobody's business but ours");
    world.pass(300);
    assert!(
        matches!(world.outputs().last(), Some(Output::Reconnect(_))),
        "no answer any more"
    );
}

#[test]
fn a_custom_heartbeats_answer_is_kept_from_the_program() {
    let answer = Answer::Equals("PONG".to_owned());
    let mut world = World::up(|config| {
        config.heartbeat_config = Some(HeartbeatConfig::custom(100, "PING", answer));
    });
    world.pass(100);
    assert_eq!(world.sent(), ["PING"]);
    world.text("PONG");
    world.text("PONG");
    assert_eq!(
        world.messages(),
        [Message::Text("PONG".to_owned())],
        "the second is nobody's answer"
    );
}

#[test]
fn a_venue_that_wants_no_heartbeat_before_the_first_request_gets_none() {
    let mut world = World::up(|config| {
        config.dialect = Some(Arc::new(crate::ws::Polymarket));
        let answer = Answer::Equals("PONG".to_owned());
        config.heartbeat_config = Some(HeartbeatConfig::custom(100, "PING", answer));
    });
    world.pass(1_000);
    assert_eq!(world.sent(), [""; 0]);
    let _done = world.subscribe(&["1"]);
    assert_eq!(world.sent(), [r#"{"assets_ids":["1"],"type":"market"}"#]);
    world.pass(100);
    assert_eq!(world.sent(), ["PING"]);
}

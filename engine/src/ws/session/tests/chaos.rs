//! Random messages.

use super::*;
use crate::ws::heartbeat::HeartbeatConfig;
use crate::ws::limit::{LimitConfig, Limiter};

#[test]
fn whatever_comes_nothing_panics_and_every_ticket_resolves() {
    const TEXTS: [&str; 8] = [
        r#"{"id":1,"result":["a","b"]}"#,
        r#"{"id":9000000000000000,"result":["a"]}"#,
        r#"{"id":9000000000000001,"error":{"code":10028,"message":"too_many_requests"}}"#,
        r#"{"method":"heartbeat","params":{"type":"test_request"}}"#,
        r#"{"id":8999999999999999,"result":{}}"#,
        r#"{"id":7,"method":"ask","params":[1]}"#,
        "[{},[]]",
        "PONG",
    ];
    for seed in 0..200 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut world = World::new(|config| {
            config.heartbeat_config = Some(HeartbeatConfig::deribit(500));
            config.limiter = Some(Limiter::new(LimitConfig::new(20, 20, 1_000)));
            config.inbound_silence = Some(2_000);
        });
        let (mut answers, mut channels) = (Vec::new(), Vec::new());
        for _ in 0..300 {
            match rng.u8(..12) {
                0 => world.lose(
                    DownReason::Lost("reset".to_owned()),
                    world.session.is_connected(),
                    Some(5),
                ),
                1 | 2 if !world.session.is_connected() && world.session.has_link => world.connect(),
                3 => answers.push(world.ask(rng.u64(1..20))),
                4 => channels.push(world.subscribe(&["a", "b", "c"])),
                5 => world.pass(rng.i64(0..700)),
                6 => world.session.handle_pong(at(world.ms), &[rng.u8(..)]),
                7 => world.session.handle_binary(at(world.ms), &[rng.u8(..)]),
                8 if rng.u8(..8) == 0 => world
                    .session
                    .handle_command(at(world.ms), Command::Reconnect),
                _ => {
                    let mut text = TEXTS[rng.usize(..TEXTS.len())].as_bytes().to_vec();
                    for _ in 0..rng.usize(..3) {
                        let index = rng.usize(..text.len());
                        text[index] = rng.u8(..);
                    }
                    world.session.handle_text(at(world.ms), &text);
                }
            }
            if world.outputs().contains(&Output::Close) {
                world.lose(DownReason::Closed, world.session.is_connected(), None);
            }
        }
        world.session.handle_command(at(world.ms), Command::Close);
        for mut ticket in answers {
            assert!(
                ticket.try_take().is_some(),
                "seed {seed}: a request without an outcome"
            );
        }
        for mut ticket in channels {
            assert!(
                ticket.try_take().is_some(),
                "seed {seed}: channels without an outcome"
            );
        }
        assert!(world.shared.end().is_some(), "seed {seed}");
    }
}

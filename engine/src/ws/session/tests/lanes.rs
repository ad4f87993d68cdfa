//! What goes first, and what waits for the limiter.

use super::*;
use crate::ws::limit::{LimitConfig, Limiter};

#[test]
fn cancels_go_before_orders_and_orders_before_questions() {
    let limiter = Limiter::new(LimitConfig::new(1, 1, 100));
    let mut world = World::up(|config| config.limiter = Some(limiter));
    for method in [
        "get_a",
        "private/buy",
        "get_b",
        "private/cancel",
        "private/sell",
        "private/cancel_all",
    ] {
        world.send(&format!(r#"{{"method":"{method}"}}"#), 1);
    }
    let methods = |texts: Vec<String>| -> Vec<String> {
        let method = |text: &String| Envelope::read(text).and_then(|one| one.method());
        texts.iter().filter_map(method).collect()
    };
    assert_eq!(methods(world.sent()), ["get_a"], "the first found a token");
    let mut order = Vec::new();
    for _ in 0..5 {
        world.pass(100);
        let sent = methods(world.sent());
        assert_eq!(sent.len(), 1, "one token, one message");
        order.extend(sent);
    }
    assert_eq!(
        order,
        [
            "private/cancel",
            "private/cancel_all",
            "private/buy",
            "private/sell",
            "get_b"
        ]
    );
}

#[test]
fn what_timed_out_while_it_waited_for_the_limiter_is_not_sent() {
    let limiter = Limiter::new(LimitConfig::new(1, 1, 5_000));
    let mut world = World::up(|config| config.limiter = Some(limiter));
    let _first = world.ask(1);
    let second = world.ask(2);
    world.pass(1_000);
    assert!(matches!(second.wait(), Err(Error::Timeout(_))));
    world.pass(20_000);
    assert_eq!(world.sent().len(), 1);
}

#[test]
fn what_waited_for_the_limiter_when_the_connection_was_lost_is_told_and_not_sent() {
    let limiter = Limiter::new(LimitConfig::new(1, 1, 5_000));
    let mut world = World::up(|config| config.limiter = Some(limiter));
    let _first = world.ask(1);
    let second = world.ask(2);
    world.lost();
    assert_eq!(second.wait(), Err(Error::Disconnected));
    world.connect();
    world.sent();
    world.pass(20_000);
    assert_eq!(world.sent(), [""; 0]);
    assert_eq!(world.shared.stats.snapshot().unsent, 1);
}

#[test]
fn retry_after_and_a_venues_error_hold_the_limiter() {
    let limiter = Limiter::new(LimitConfig::new(100, 100, 1_000));
    let mut world = World::new(|config| config.limiter = Some(limiter.clone()));
    let refused = DownReason::Refused {
        status: 429,
        retry_after_s: Some(3),
        headers: vec![("Retry-After".to_owned(), "3".to_owned())],
        body: String::new(),
    };
    world.lose(refused, false, Some(3_000));
    assert_eq!(limiter.wait(at(0), 1), Nanos(3_000 * MS));
    assert_eq!(
        world.shared.state(),
        State::Connecting,
        "it heals by itself"
    );
    world.ms = 3_000;
    world.connect();
    assert_eq!(limiter.wait(at(3_000), 1), Nanos::ZERO);
    world.text(r#"{"id":1,"error":{"code":10028,"message":"too_many_requests"}}"#);
    assert_eq!(limiter.wait(at(3_000), 1), Nanos(10 * MS), "a token's time");
}

//! How a connection ends, and what follows.

use super::*;

#[test]
fn each_end_of_a_connection_has_its_class() {
    use Class::{Fatal, Recoverable};
    let refused = |status| DownReason::Refused {
        status,
        retry_after_s: None,
        headers: Vec::new(),
        body: String::new(),
    };
    let closed = |code: u16| DownReason::ClosedByVenue {
        code: Some(code),
        text: String::new(),
    };
    let connect = |text: &str| DownReason::Connect(text.to_owned());
    let protocol = DownReason::Protocol("reserved bits 0b100 set without an extension".to_owned());
    #[rustfmt::skip]
    let table = [
        (DownReason::TimedOut("connecting"), Recoverable, "timed out while connecting"),
        (connect("127.0.0.1:1: Connection refused (os error 111)"), Recoverable, "connection refused"),
        (connect("name \"x.invalid\" not found: no such name"), Recoverable, "name \"x.invalid\" not found"),
        (connect("10.0.0.1:1: No route to host (os error 113)"), Recoverable, "unreachable"),
        (connect("10.0.0.1:1: Network is unreachable (os error 101)"), Recoverable, "unreachable"),
        (connect("out of luck"), Recoverable, "could not connect"),
        (DownReason::Tls("received fatal alert: HandshakeFailure".to_owned()), Recoverable, "TLS"),
        (DownReason::Lost("reset".to_owned()), Recoverable, "connection lost"),
        (closed(1000), Recoverable, "closed by the server with code Some(1000)"),
        (closed(1001), Recoverable, "closed by the server"),
        (closed(1011), Recoverable, "closed by the server"),
        (closed(1012), Recoverable, "closed by the server"),
        (closed(1013), Recoverable, "closed by the server"),
        (closed(4000), Recoverable, "closed by the server"),
        (DownReason::ClosedByVenue { code: None, text: String::new() }, Recoverable, "closed by the server"),
        (refused(429), Recoverable, "HTTP 429"),
        (refused(418), Recoverable, "HTTP 418"),
        (refused(500), Recoverable, "HTTP 500"),
        (refused(503), Recoverable, "HTTP 503"),
        (refused(301), Fatal, "HTTP 301"),
        (refused(400), Fatal, "HTTP 400"),
        (refused(401), Fatal, "HTTP 401"),
        (refused(403), Fatal, "HTTP 403"),
        (refused(404), Fatal, "HTTP 404"),
        (protocol, Fatal, "protocol error"),
        (DownReason::TooLarge { size: 9, max: 8 }, Fatal, "over message_bytes_max"),
        (closed(1002), Fatal, "closed by the server"),
        (closed(1003), Fatal, "closed by the server"),
        (closed(1007), Fatal, "closed by the server"),
        (closed(1008), Fatal, "closed by the server"),
        (closed(1009), Fatal, "closed by the server"),
        (closed(3000), Fatal, "closed by the server"),
        (closed(3003), Fatal, "closed by the server"),
    ];
    for (reason, class, text) in table {
        let was_up = matches!(
            reason,
            DownReason::ClosedByVenue { .. } | DownReason::Lost(_)
        );
        let mut world = World::new(|_| {});
        if was_up {
            world.connect();
        }
        let error = world.session.error_of(&reason);
        assert_eq!(error.class(), class, "{reason:?}");
        let explained = crate::ws::explain(&error);
        assert!(
            explained.message.contains(text),
            "{} for {text}",
            explained.message
        );
        assert!(explained.suggestion.ends_with('.'));
        world.lose(reason.clone(), was_up, Some(10));
        match class {
            Recoverable => {
                assert_eq!(world.shared.state(), State::Connecting, "{reason:?}");
                assert_eq!(world.outputs(), [], "{reason:?}: the engine tries again");
            }
            Fatal => {
                assert_eq!(world.outputs(), [Output::Close], "{reason:?}");
                assert_eq!(world.shared.end(), Some(error.clone()));
                assert_eq!(world.messages().pop(), Some(Message::Closed(error)));
            }
        }
    }
}

#[test]
fn a_close_code_means_what_the_venue_or_the_program_says() {
    let closed = DownReason::ClosedByVenue {
        code: Some(1008),
        text: String::new(),
    };
    let mut at_binance = World::up(|config| config.dialect = Some(Arc::new(crate::ws::Binance)));
    at_binance.lose(closed.clone(), true, Some(10));
    assert_eq!(at_binance.shared.state(), State::Connecting);
    let mut mine = World::up(|config| config.fatal_close_codes = vec![4_321]);
    mine.lose(closed, true, Some(10));
    assert_eq!(mine.shared.state(), State::Connecting);
    mine.connect();
    let own = DownReason::ClosedByVenue {
        code: Some(4_321),
        text: String::new(),
    };
    mine.lose(own, true, Some(10));
    assert_eq!(mine.shared.state(), State::Disconnected);
}

#[test]
fn a_refused_login_stops_the_client() {
    let table = [
        (
            r#"{"id":1,"error":{"code":13004,"message":"invalid_credentials"}}"#,
            false,
        ),
        (
            r#"{"id":1,"error":{"code":13009,"message":"unauthorized: token expired"}}"#,
            true,
        ),
    ];
    for (answer, has_expired) in table {
        let mut world = World::up(|config| {
            config.login = Some(Arc::new(|_| {
                r#"{"id":1,"method":"public/auth"}"#.to_owned()
            }));
        });
        world.text(answer);
        let error = world.shared.end().expect("an end");
        assert_eq!(
            matches!(error, Error::TokenExpired(_)),
            has_expired,
            "{error}"
        );
        assert_eq!(
            matches!(error, Error::InvalidCredentials(_)),
            !has_expired,
            "{error}"
        );
        assert!(!error.is_recoverable());
    }
}

#[test]
fn a_login_without_an_answer_is_tried_on_a_new_connection() {
    let mut world = World::up(|config| {
        config.login = Some(Arc::new(|_| {
            r#"{"id":1,"method":"public/auth"}"#.to_owned()
        }));
    });
    world.outputs();
    world.pass(1_000);
    assert!(matches!(world.outputs()[..], [Output::Reconnect(_)]));
}

#[test]
fn after_its_failures_it_stops_and_reconnect_brings_it_back() {
    let mut world = World::new(|_| {});
    let refused = || DownReason::Connect("Connection refused".to_owned());
    world.lose(refused(), false, Some(10));
    world.lose(refused(), false, Some(10));
    world.lose(refused(), false, None);
    let end = world.shared.end().expect("an end");
    assert!(matches!(&end, Error::GaveUp { attempts: 3, .. }), "{end}");
    assert_eq!(world.messages(), [Message::Closed(end)]);
    assert_eq!(world.outputs(), [], "there is no link to close");
    world.session.handle_command(at(0), Command::Reconnect);
    assert_eq!(world.outputs(), [Output::Open]);
    assert_eq!(world.shared.state(), State::Connecting);
    world.connect();
    assert_eq!(world.shared.state(), State::Connected);
}

#[test]
fn reconnect_fails_who_waits_and_opens_anew_when_the_old_link_is_gone() {
    let mut world = World::up(|_| {});
    let waiting = world.ask(1);
    world.outputs();
    world.session.handle_command(at(0), Command::Reconnect);
    assert_eq!(world.outputs(), [Output::Close]);
    world.lose(DownReason::Closed, true, None);
    assert_eq!(waiting.wait(), Err(Error::Disconnected));
    assert_eq!(world.outputs(), [Output::Open]);
    world.connect();
    assert_eq!(world.messages(), [Message::Reconnected { connection: 2 }]);
}

#[test]
fn close_is_told_once_and_is_for_good() {
    let mut world = World::up(|_| {});
    let waiting = world.ask(1);
    world.outputs();
    for _ in 0..3 {
        world.session.handle_command(at(0), Command::Close);
    }
    assert_eq!(waiting.wait(), Err(Error::Disconnected));
    assert_eq!(world.outputs(), [Output::Close]);
    assert!(!world.session.is_over());
    world.lose(DownReason::Closed, true, None);
    world.session.handle_command(at(0), Command::Reconnect);
    assert_eq!((world.outputs(), world.session.is_over()), (vec![], true));
    assert_eq!(world.messages(), [Message::Closed(Error::Closed)]);
    assert_eq!(world.shared.end(), Some(Error::Closed));
}

#[test]
fn no_connection_is_made_anew_where_that_is_switched_off() {
    let mut world = World::up(|config| config.reconnect_on_error = false);
    world.lost();
    assert_eq!(world.outputs(), [Output::Close]);
    assert_eq!(world.shared.end(), Some(Error::Lost("reset".to_owned())));
}

#[test]
fn the_end_of_the_loop_reaches_everyone() {
    let mut world = World::up(|_| {});
    let waiting = world.ask(1);
    world.session.handle_stop();
    assert_eq!(waiting.wait(), Err(Error::Disconnected));
    assert_eq!(world.shared.end(), Some(Error::LoopEnded));
    assert_eq!(
        world.messages().pop(),
        Some(Message::Closed(Error::LoopEnded))
    );
}

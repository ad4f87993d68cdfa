//! Requests that wait, and the answers that are theirs.

use std::time::Duration;

use super::*;
use crate::ws::json::Json;

#[test]
fn who_waits_is_told_of_a_loss_at_once_and_nothing_is_sent_again() {
    let mut world = World::up(|_| {});
    let waiting = [world.ask(1), world.ask(2)];
    assert_eq!(world.sent().len(), 2);
    world.lost();
    for ticket in waiting {
        assert_eq!(ticket.wait(), Err(Error::Disconnected));
    }
    world.connect();
    world.pass(5_000);
    assert_eq!(world.sent(), [""; 0]);
}

#[test]
fn an_id_used_again_after_a_loss_has_a_time_of_its_own() {
    let mut world = World::up(|_| {});
    let old = world.ask(1);
    world.pass(900);
    world.lost();
    assert_eq!(old.wait(), Err(Error::Disconnected));
    world.connect();
    let mut new = world.ask(1);
    world.pass(999);
    assert_eq!(new.try_take(), None, "the old one's time has passed");
    world.text(r#"{"id":1,"result":5}"#);
    assert_eq!(
        new.try_take().map(|done| done.map(Json::into_text)),
        Some(Ok(r#"{"id":1,"result":5}"#.into()))
    );
}

#[test]
fn late_and_unknown_answers_are_told_and_events_with_an_id_are_events() {
    let mut world = World::up(|_| {});
    let late = world.ask(1);
    world.pass(1_000);
    assert_eq!(
        late.wait(),
        Err(Error::Timeout(Duration::from_millis(1_000)))
    );
    world.messages();
    type Check = fn(&Message) -> bool;
    let table: [(&str, Check); 7] = [
        (r#"{"id":1,"result":null}"#, |message| {
            matches!(message, Message::Unmatched(_))
        }),
        (r#"{"id":9,"error":{"code":1}}"#, |message| {
            matches!(message, Message::Unmatched(_))
        }),
        (r#"{"id":"0xab","event_type":"trade"}"#, |message| {
            matches!(message, Message::Json(_))
        }),
        (r#"{"method":"subscription","params":{}}"#, |message| {
            matches!(message, Message::Json(_))
        }),
        (
            r#"{"id":7,"method":"ask","params":{}}"#,
            |message| matches!(message, Message::Request(request) if request.id == "7" && request.method == "ask"),
        ),
        ("[1,2]", |message| matches!(message, Message::Json(_))),
        ("hello", |message| matches!(message, Message::Text(_))),
    ];
    for (text, check) in table {
        world.text(text);
        let messages = world.messages();
        assert!(
            messages.len() == 1 && check(&messages[0]),
            "{text}: {messages:?}"
        );
    }
}

#[test]
fn a_request_of_the_server_does_not_answer_ours_of_the_same_id() {
    let mut world = World::up(|_| {});
    let mut ours = world.ask(1);
    world.text(r#"{"id":1,"method":"ask"}"#);
    assert_eq!(ours.try_take(), None);
    world.text(r#"{"id":1,"result":true}"#);
    assert!(ours.try_take().is_some());
}

#[test]
fn a_second_request_of_an_id_is_refused_and_not_sent() {
    let mut world = World::up(|_| {});
    let mut first = world.ask(1);
    let second = world.ask(1);
    assert_eq!(
        second.wait(),
        Err(Error::DuplicateRequestId("1".to_owned()))
    );
    assert_eq!((world.sent().len(), first.try_take()), (1, None));
    // Ours begin far above, and are not the program's to use.
    let ours = world.ask(FIRST_ID + 3);
    assert!(matches!(ours.wait(), Err(Error::DuplicateRequestId(_))));
}

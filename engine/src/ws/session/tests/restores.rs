//! What is asked for again after a loss.

use super::*;

#[test]
fn after_a_loss_the_login_comes_first_then_batches_then_the_word_that_all_is_back() {
    let mut world = World::new(|config| {
        config.login = Some(Arc::new(|now_ms| {
            format!(r#"{{"id":77,"method":"public/auth","params":{{"timestamp":{now_ms}}}}}"#)
        }));
    });
    world.connect();
    let login = world.sent();
    assert_eq!(
        login,
        [r#"{"id":77,"method":"public/auth","params":{"timestamp":1700000000000}}"#]
    );
    assert_eq!(
        world.shared.state(),
        State::Connecting,
        "not before the login"
    );
    world.text(r#"{"id":77,"result":{"access_token":"x"}}"#);
    assert_eq!(world.shared.state(), State::Connected);
    let many: Vec<String> = (0..300).map(|index| format!("c{index}")).collect();
    let many: Vec<&str> = many.iter().map(|name| &**name).collect();
    let _done = world.subscribe(&many);
    assert_eq!(
        world.accept().iter().map(Vec::len).collect::<Vec<_>>(),
        [250, 50]
    );
    world.messages();

    world.lost();
    world.connect();
    assert_eq!(
        world.sent().len(),
        1,
        "the login, and nothing before its answer"
    );
    world.text(r#"{"id":77,"result":{}}"#);
    let first = world.sent();
    assert_eq!(first.len(), 1, "one batch at a time");
    assert!(first[0].contains("\"c0\"") && !first[0].contains("\"c250\""));
    let id = Envelope::read(&first[0]).and_then(|text| text.number("id"));
    world.text(&format!(
        r#"{{"id":{},"result":{:?}}}"#,
        id.unwrap_or(0),
        &many[..250]
    ));
    assert_eq!(world.accept().concat(), &many[250..]);
    let messages = world.messages();
    let [
        Message::Disconnected { .. },
        Message::Reconnected { connection: 2 },
        Message::Restored(all),
    ] = &messages[..]
    else {
        panic!("{messages:?}");
    };
    assert_eq!((all.accepted.len(), all.refused.len()), (300, 0));
}

#[test]
fn a_refused_or_a_released_channel_is_not_restored() {
    let mut world = World::up(|_| {});
    let asked = world.subscribe(&["a", "b", "c"]);
    let sent = world.sent().concat();
    let id = Envelope::read(&sent)
        .and_then(|text| text.number("id"))
        .expect("an id");
    world.text(&format!(r#"{{"id":{id},"result":["a","c"]}}"#));
    let result = asked.wait().expect("an outcome");
    assert_eq!(result.accepted, names(&["a", "c"]));
    assert_eq!(result.refused[0].0, "b");
    let (gone, waiter) = ticket();
    world
        .session
        .handle_command(at(0), Command::Unsubscribe(names(&["a"]), waiter));
    world.accept();
    assert!(gone.wait().is_ok());
    world.lost();
    world.connect();
    assert_eq!(world.accept(), [names(&["c"])]);
}

#[test]
fn nothing_is_restored_where_that_is_switched_off() {
    let mut world = World::up(|config| config.restore_subscriptions = false);
    let _done = world.subscribe(&["a"]);
    world.accept();
    world.lost();
    world.connect();
    assert_eq!(world.accept(), Vec::<Vec<String>>::new());
}

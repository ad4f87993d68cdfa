use super::*;
use crate::channel::BookParams;

/// A book of 99 to 101 with the venue's own best prices beside it, seen by nobody.
fn witnessed() -> World {
    let mut config = plain(BinanceConfig::spot());
    config.upkeep.top_check = TopCheck::Always;
    let mut world = World::new(config);
    world.subscribe(0, "BTCUSDT", Channel::BOOK);
    world.up(0, 1);
    world.frame(r#"{"result":null,"id":1}"#);
    world.frame(&delta(10, 10, "", ""));
    let request = world.request();
    let events = world.respond(request.id, 200, &book(10));
    assert_eq!(
        events,
        ["#0 live synced epoch 1", "#0 bbo 99x1 101x2 seq 10"]
    );
    world
}

fn book(id: u64) -> String {
    snapshot(id, r#"["99","1"],["98","1"]"#, r#"["101","2"]"#)
}

fn tick(id: u64, bid: &str) -> String {
    format!(
        r#"{{"stream":"btcusdt@bookTicker","data":{{"u":{id},"s":"BTCUSDT","b":"{bid}","B":"1","a":"101","A":"2"}}}}"#
    )
}

#[test]
fn the_witness_of_a_book_is_seen_by_nobody_and_leaves_with_it() {
    let mut world = witnessed();
    let asked = world.texts();
    assert_eq!(asked.len(), 1);
    assert!(
        asked[0]
            .1
            .contains(r#"["btcusdt@depth@100ms","btcusdt@bookTicker"]"#)
    );
    assert_eq!(world.frame(&tick(11, "99")), [""; 0]);
    // A strategy's own takes its place, on the same topic.
    let events = world.subscribe(1, "BTC/USDT", Channel::Bbo);
    assert_eq!(events, ["#1 instrument BTCUSDT 8 8"]);
    assert!(world.texts().is_empty());
    assert_eq!(world.frame(&tick(12, "99")).len(), 2);
    world.command(Command::Unsubscribe { stream: stream(1) });
    assert!(world.texts().is_empty(), "the book needs it still");
    assert_eq!(world.frame(&tick(13, "99")), [""; 0]);
    world.control.clear();
    world.command(Command::Unsubscribe { stream: stream(0) });
    assert_eq!(world.control, [Transmit::Close { link: LinkId(0) }]);
    assert!(world.binance.slots.iter().all(Option::is_none));
}

#[test]
fn a_book_that_never_shows_the_venues_best_prices_is_fetched_anew() {
    let mut world = witnessed();
    // A level was deleted at the venue, and its delta says nothing of it.
    world.frame(&tick(11, "98"));
    let mut events = Vec::new();
    for id in 11..61 {
        events.extend(world.pass(Nanos::from_millis(100)));
        events.extend(world.frame(&delta(id, id, "", "")));
        events.extend(world.frame(&tick(id + 1, "98")));
    }
    assert_eq!(events, ["#0 resync disagrees epoch 1"]);
    assert_eq!(world.binance.counters().disagreements, 1);
    let right = snapshot(60, r#"["98","1"]"#, r#"["101","2"]"#);
    let request = world.request();
    let events = world.respond(request.id, 200, &right);
    assert_eq!(
        events,
        ["#0 live synced epoch 1", "#0 bbo 98x1 101x2 seq 60"]
    );
    assert_eq!(world.pass(Nanos::from_secs(10)), [""; 0]);
}

#[test]
fn one_moment_of_agreement_is_enough() {
    let mut world = witnessed();
    for round in 0..40 {
        let id = 11 + 2 * round;
        world.frame(&tick(id, "100"));
        assert_eq!(world.pass(Nanos::from_millis(4_900)), [""; 0]);
        let events = world.frame(&delta(id, id, r#"["100","1"]"#, ""));
        assert_eq!(events.len(), 1);
        world.frame(&delta(id + 1, id + 1, r#"["100","0"]"#, ""));
        world.frame(&tick(id + 1, "99"));
    }
    assert_eq!(world.binance.counters().disagreements, 0);
}

#[test]
fn of_two_that_differ_the_venue_says_which_is_wrong() {
    // The book has moved; the venue's best prices are silent.
    let silent = || {
        let mut world = witnessed();
        world.frame(&tick(11, "99"));
        world.frame(&delta(11, 11, r#"["100","1"]"#, ""));
        let mut events = Vec::new();
        for id in 12..62 {
            events.extend(world.pass(Nanos::from_millis(100)));
            events.extend(world.frame(&delta(id, id, "", "")));
        }
        assert_eq!(events, [""; 0]);
        let probe = world.request();
        assert_eq!(probe.target, "/api/v3/depth?symbol=BTCUSDT&limit=5");
        (world, probe)
    };
    let (mut world, probe) = silent();
    world.texts();
    let moved = snapshot(61, r#"["100","1"]"#, r#"["101","2"]"#);
    assert_eq!(
        world.respond(probe.id, 200, &moved),
        [""; 0],
        "the book was right"
    );
    world.pass(Nanos::from_secs(3));
    assert_eq!(world.texts().len(), 1, "its witness is asked for anew");
    assert_eq!(world.state(0), "live");

    let (mut world, probe) = silent();
    let events = world.respond(probe.id, 200, &book(61));
    assert_eq!(events, ["#0 resync disagrees epoch 1"]);
    assert_eq!(world.binance.counters().disagreements, 1);
}

#[test]
fn a_book_that_is_silent_while_the_venues_prices_move_is_mute() {
    let mut world = witnessed();
    world.frame(&tick(11, "98"));
    let mut events = Vec::new();
    for id in 12..63 {
        events.extend(world.pass(Nanos::from_millis(100)));
        events.extend(world.frame(&tick(id, "98")));
    }
    assert_eq!(events, ["#0 stale mute epoch 1"]);
    assert!(
        world
            .texts()
            .last()
            .expect("a request")
            .1
            .contains("UNSUBSCRIBE")
    );
}

#[test]
fn a_slow_book_is_given_more_time_and_a_check_can_be_left_out() {
    let slow = Channel::Book(BookParams {
        levels: None,
        interval_ms: Some(1_000),
    });
    let most = Nanos::from_secs(5);
    let lasting = |channel| super::super::watch::lasting_ns(most, channel);
    assert_eq!(lasting(Channel::BOOK), most);
    assert_eq!(lasting(slow), Nanos::from_secs(50));

    let mut config = plain(BinanceConfig::spot());
    config.upkeep.top_check = TopCheck::IfSubscribed;
    let mut world = World::new(config);
    world.subscribe(0, "BTCUSDT", Channel::BOOK);
    assert_eq!(world.binance.slots.len(), 1, "none is added");
    world.subscribe(1, "BTCUSDT", Channel::Bbo);
    let book = world.binance.slots[0].as_ref().expect("a book");
    assert_eq!(book.witness, Some(1));
}

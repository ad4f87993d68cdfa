use super::super::rest::SNAPSHOTS_IN_FLIGHT_MAX;
use super::*;
use crate::upkeep::Expectations;

fn waiting_for_snapshots(count: u32) -> World {
    let mut config = plain(BinanceConfig::spot());
    config.upkeep.expectations = Expectations::NONE;
    let mut world = World::new(config);
    for index in 0..count {
        world.subscribe(index, &format!("C{index}USDT"), Channel::BOOK);
    }
    world.up(0, 1);
    for index in 0..count {
        world.frame(&delta(1, 1, "", "").replace("btcusdt@", &format!("c{index}usdt@")));
    }
    world
}

const BOOK: &str = r#"{"lastUpdateId":1,"bids":[["1","1"]],"asks":[["2","1"]]}"#;

#[test]
fn snapshots_keep_to_the_weight_of_a_minute() {
    let mut world = waiting_for_snapshots(30);
    let mut asked = 0;
    assert_eq!(world.http.len(), 8, "so many at once");
    while let Some(request) = world.http.pop() {
        asked += 1;
        assert_eq!(world.respond(request.id, 200, BOOK).len(), 2);
    }
    assert_eq!(asked, 19, "4,800 of weight at 250 each");
    world.pass(Nanos::from_secs(59));
    assert!(world.http.is_empty());
    world.pass(Nanos::from_secs(1));
    assert_eq!(world.http.len(), 8);
}

#[test]
fn the_venues_own_count_of_weight_counts() {
    let mut world = waiting_for_snapshots(9);
    let request = world.http.pop().expect("a request");
    world.http.clear();
    let headers = [("X-MBX-USED-WEIGHT-1M", "5900")];
    world.respond_with(request.id, 200, &headers, BOOK);
    assert!(world.http.is_empty(), "others on this address have used it");
    world.pass(Nanos::from_secs(60));
    assert!(!world.http.is_empty());
}

#[test]
fn a_429_stops_every_request_until_retry_after() {
    let mut world = waiting_for_snapshots(9);
    let first = world.http.remove(0);
    world.http.clear();
    let events = world.respond_with(
        first.id,
        429,
        &[("Retry-After", "7")],
        r#"{"code":-1003,"msg":"Too many requests."}"#,
    );
    assert_eq!(
        events,
        [
            "#0 resync snapshot_failed epoch 1",
            "#0 notice RateLimited",
            "#8 resync snapshot_failed epoch 1",
            "#8 notice RateLimited",
            "banned 429 for 7000 ms",
        ]
    );
    assert_eq!(world.pass(Nanos::from_millis(6_900)), [""; 0]);
    assert!(world.http.is_empty(), "{:?}", world.http);
    assert_eq!(world.pass(Nanos::from_millis(200)), ["ban lifted"]);
    assert_eq!(world.http.len(), 1, "seven are under way still");
    assert_eq!(world.binance.counters().requests_failed, 1);
}

#[test]
fn a_failed_snapshot_is_tried_again_later_and_later() {
    let mut world = waiting_for_snapshots(1);
    let mut waits = Vec::new();
    for _ in 0..10 {
        let request = world.request();
        world.fail(request.id);
        let start = world.now;
        while world.http.is_empty() {
            world.pass(Nanos::from_millis(10));
        }
        waits.push(world.now.since(start).as_millis());
    }
    assert!((250..=330).contains(&waits[0]), "{waits:?}");
    assert!((30_000..=37_510).contains(&waits[9]), "{waits:?}");
    // No word from the engine: our own deadline.
    world.http.clear();
    world.pass(Nanos::from_secs(60));
    assert_eq!(world.http.len(), 1);
    let request = world.request();
    let events = world.respond(request.id, 200, "<html>");
    assert_eq!(events, ["#0 notice BadResponse"]);
    world.pass(Nanos::from_secs(40));
    let request = world.request();
    let events = world.respond(request.id, 400, r#"{"code":-1121,"msg":"Invalid symbol."}"#);
    assert_eq!(
        events,
        ["#0 notice BadSymbol", "#0 refused refused epoch 1"]
    );
}

#[test]
fn a_ban_leaves_live_books_alone_and_ends_in_order() {
    let mut world = waiting_for_snapshots(12);
    let first = world.http.remove(0);
    assert_eq!(
        world.respond(first.id, 200, BOOK)[0],
        "#0 live synced epoch 1"
    );
    let banned = world.http.remove(0);
    let retry = [("Retry-After", "120")];
    let events = world.respond_with(banned.id, 418, &retry, "");
    assert_eq!(events.last().expect("events"), "banned 418 for 120000 ms");
    // What was under way is refused as well: no further news, and in each stream its own.
    for request in core::mem::take(&mut world.http) {
        let events = world.respond_with(request.id, 418, &retry, "");
        assert_eq!(events.len(), 2, "{events:?}");
    }
    assert_eq!(world.binance.counters().bans, 1);
    // The Live book goes on; one that breaks now says why it has to wait; nothing is asked for.
    let delta = |id: u64| delta(id, id, "", "").replace("btcusdt@", "c0usdt@");
    assert_eq!(world.frame(&delta(2)), [""; 0]);
    assert_eq!(world.state(0), "live");
    let events = world.frame(&delta(9));
    let told = ["#0 resync gap 3 9 epoch 1", "#0 notice RateLimited"];
    assert_eq!(events, told);
    world.subscribe(20, "LATEUSDT", Channel::Trades);
    assert_eq!(world.pass(Nanos::from_millis(119_900)), [""; 0]);
    assert!(world.http.is_empty());
    // When it is over they go on in order, a few at a time.
    assert_eq!(world.pass(Nanos::from_secs(1)), ["ban lifted"]);
    assert_eq!(world.http.len(), SNAPSHOTS_IN_FLIGHT_MAX);
    let mut healed = Vec::new();
    while !world.http.is_empty() {
        let request = world.http.remove(0);
        let book = BOOK.replace(":1,", ":9,");
        let events = world.respond(request.id, 200, &book);
        healed.extend(events.into_iter().filter(|event| event.contains("live")));
    }
    assert_eq!(healed.len(), 12, "{healed:?}");
    assert_eq!(healed.last().expect("some"), "#0 live synced epoch 1");
}

#[test]
fn a_limit_told_at_an_upgrade_holds_for_requests_too() {
    for (status, bans) in [(429, 1), (418, 1), (403, 0), (503, 0)] {
        let mut world = waiting_for_snapshots(1);
        let wait = Some(Nanos::from_secs(30));
        world
            .binance
            .handle_refusal(world.now, LinkId(1), status, wait, &mut world.out);
        let events = world.drain();
        assert_eq!(events.len(), bans, "{status}: {events:?}");
        let bans = u64::try_from(bans).expect("small");
        assert_eq!(world.binance.counters().bans, bans, "{status}");
    }
}

#[test]
fn one_book_is_resynced_without_touching_the_others() {
    let mut world = waiting_for_snapshots(4);
    for request in core::mem::take(&mut world.http) {
        world.respond(request.id, 200, BOOK);
    }
    world.texts();
    let at =
        |id: u64, book: u32| delta(id, id, "", "").replace("btcusdt@", &format!("c{book}usdt@"));
    assert_eq!(world.frame(&at(7, 2)), ["#2 resync gap 2 7 epoch 1"]);
    let request = world.request();
    for book in [0, 1, 3] {
        assert_eq!(world.frame(&at(2, book)), [""; 0]);
        assert_eq!(world.state(book), "live");
    }
    let events = world.respond(request.id, 200, &BOOK.replace(":1,", ":7,"));
    assert_eq!(events, ["#2 live synced epoch 1", "#2 bbo 1x1 2x1 seq 7"]);
    assert!(world.texts().is_empty(), "nothing was asked of the link");
    assert_eq!(world.binance.counters().resyncs, 1);
}

#[test]
fn weight_that_the_venue_counted_in_another_minute_is_not_held_against_this_one() {
    let mut world = waiting_for_snapshots(20);
    let late = world.http.pop().expect("a request");
    world.http.clear();
    world.now += Nanos::from_secs(60);
    let headers = [("X-MBX-USED-WEIGHT-1M", "5900")];
    world.respond_with(late.id, 200, &headers, BOOK);
    assert_eq!(world.http.len(), 1, "{:?}", world.http);
}

#[test]
fn connectors_of_one_market_can_share_a_budget() {
    let mut config = plain(BinanceConfig::spot());
    config.budget = config.new_budget();
    let mut worlds = [World::new(config.clone()), World::new(config)];
    let mut asked = 0;
    for world in &mut worlds {
        for index in 0..30 {
            world.subscribe(index, &format!("C{index}USDT"), Channel::BOOK);
        }
        world.up(0, 1);
        for index in 0..30 {
            world.frame(&delta(1, 1, "", "").replace("btcusdt@", &format!("c{index}usdt@")));
        }
        while let Some(request) = world.http.pop() {
            asked += 1;
            world.respond(request.id, 200, BOOK);
        }
    }
    assert_eq!(asked, 19, "4,800 of weight at 250 each");
}

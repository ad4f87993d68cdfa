use super::*;

fn waiting_for_snapshots(count: u32) -> World {
    let mut world = World::spot();
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
        ["#0 resync snapshot_failed epoch 1", "#0 notice RateLimited"]
    );
    world.pass(Nanos::from_millis(6_900));
    assert!(world.http.is_empty(), "{:?}", world.http);
    world.pass(Nanos::from_millis(200));
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

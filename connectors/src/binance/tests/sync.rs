use super::*;
use tickwire_orderbook::Side;

const BID: &str = r#"["99.00","1"]"#;
const ASK: &str = r#"["101.00","2"]"#;

/// A spot book that waits for its snapshot; deltas 11 and 12 are held.
fn syncing() -> (World, HttpRequest) {
    let mut world = World::spot();
    world.subscribe(0, "BTC/USDT", Channel::BOOK);
    world.up(0, 1);
    assert_eq!(world.frame(&delta(11, 11, r#"["98.5","3"]"#, "")), [""; 0]);
    assert_eq!(world.frame(&delta(12, 12, "", r#"["101.5","4"]"#)), [""; 0]);
    let request = world.request();
    assert_eq!(request.target, "/api/v3/depth?symbol=BTCUSDT&limit=5000");
    (world, request)
}

/// A spot book that is Live at update 12.
fn live() -> World {
    let (mut world, request) = syncing();
    let events = world.respond(request.id, 200, &snapshot(10, BID, ASK));
    assert_eq!(
        events,
        ["#0 live synced epoch 1", "#0 bbo 99x1 101x2 seq 12"]
    );
    world
}

#[test]
fn held_deltas_join_the_snapshot_and_the_book_is_live() {
    let mut world = live();
    let view = world.binance.book(stream(0)).expect("a book");
    assert_eq!((view.seq, view.state.as_str()), (12, "live"));
    assert_eq!(view.book.len(Side::Bid), 2);
    assert_eq!(
        view.book.watermark(Side::Bid),
        None,
        "fewer levels than asked are all"
    );
    // Below the touch: nothing to say. At the touch: the new top.
    assert_eq!(world.frame(&delta(13, 14, r#"["98.0","3"]"#, "")), [""; 0]);
    let events = world.frame(&delta(15, 15, r#"["99.00","0"]"#, ""));
    assert_eq!(events, ["#0 bbo 98.5x3 101x2 seq 15"]);
    assert!(world.http.is_empty());
}

#[test]
fn a_snapshot_older_than_what_is_held_is_asked_for_again() {
    let (mut world, request) = syncing();
    assert_eq!(
        world.respond(request.id, 200, &snapshot(9, BID, ASK)),
        [""; 0]
    );
    assert!(world.http.is_empty(), "not at once");
    assert_eq!(world.pass(Nanos::from_secs(1)), [""; 0]);
    let again = world.request();
    let events = world.respond(again.id, 200, &snapshot(12, BID, ASK));
    assert_eq!(
        events,
        ["#0 live synced epoch 1", "#0 bbo 99x1 101x2 seq 12"]
    );
    // The snapshot has all that was held; the next delta must join it.
    assert_eq!(
        world.frame(&delta(13, 13, r#"["99.5","1"]"#, "")),
        ["#0 bbo 99.5x1 101x2 seq 13"]
    );
}

#[test]
fn a_gap_says_resync_before_any_price_and_heals() {
    let mut world = live();
    let events = world.frame(&delta(20, 21, r#"["99.5","1"]"#, ""));
    assert_eq!(events, ["#0 resync gap 13 20 epoch 1"]);
    assert_eq!(world.binance.counters().gaps, 7);
    assert_eq!(
        world.frame(&delta(22, 22, r#"["99.6","1"]"#, "")),
        [""; 0],
        "no price"
    );
    let request = world.request();
    let events = world.respond(request.id, 200, &snapshot(19, BID, ASK));
    assert_eq!(
        events,
        ["#0 live synced epoch 1", "#0 bbo 99.6x1 101x2 seq 22"]
    );
    assert_eq!(world.binance.counters().resyncs, 1);
}

#[test]
fn a_gap_among_held_deltas_keeps_what_is_behind_it() {
    let (mut world, request) = syncing();
    world.frame(&delta(15, 15, r#"["99.5","1"]"#, ""));
    let events = world.respond(request.id, 200, &snapshot(10, BID, ASK));
    assert_eq!(events, ["#0 resync gap 13 15 epoch 1"]);
    world.pass(Nanos::from_secs(1));
    let request = world.request();
    let events = world.respond(request.id, 200, &snapshot(14, BID, ASK));
    assert_eq!(
        events,
        ["#0 live synced epoch 1", "#0 bbo 99.5x1 101x2 seq 15"]
    );
}

#[test]
fn a_lost_link_says_stale_at_once_and_the_next_epoch_is_live() {
    let mut world = live();
    assert_eq!(world.down(0), ["#0 stale link_down epoch 1"]);
    assert_eq!(world.down(0), [""; 0], "once");
    assert_eq!(world.up(0, 2), [""; 0]);
    assert_eq!(world.frame(&delta(50, 50, "", "")), [""; 0]);
    let request = world.request();
    let events = world.respond(request.id, 200, &snapshot(50, BID, ASK));
    assert_eq!(
        events,
        ["#0 live synced epoch 2", "#0 bbo 99x1 101x2 seq 50"]
    );
}

#[test]
fn a_snapshot_asked_for_before_the_link_was_lost_is_not_used() {
    let (mut world, request) = syncing();
    world.down(0);
    world.up(0, 2);
    assert_eq!(
        world.respond(request.id, 200, &snapshot(12, BID, ASK)),
        [""; 0]
    );
    assert_eq!(world.state(0), "stale");
}

#[test]
fn a_crossed_book_is_thrown_away() {
    let mut world = live();
    let events = world.frame(&delta(13, 13, r#"["101.00","1"]"#, ""));
    assert_eq!(events, ["#0 resync crossed epoch 1"]);
    assert_eq!(world.binance.counters().crossed, 1);
    assert_eq!(world.http.len(), 1);
}

#[test]
fn old_deltas_are_counted_and_ignored() {
    let mut world = live();
    assert_eq!(
        world.frame(&delta(11, 12, r#"["100.00","1"]"#, "")),
        [""; 0]
    );
    assert_eq!(world.binance.counters().stale, 1);
}

#[test]
fn a_malformed_delta_costs_its_own_book_only() {
    let mut world = live();
    world.subscribe(1, "ETHUSDT", Channel::Bbo);
    let cut = delta(13, 13, "", "");
    assert_eq!(
        world.frame(&cut[..cut.len() - 9]),
        ["#0 resync malformed epoch 1"]
    );
    assert_eq!(world.frame("{\"a\":"), [""; 0]);
    let without_ids = cut.replace("\"u\":13,", "");
    assert_eq!(world.frame(&without_ids), [""; 0], "Resync already");
    assert_eq!(world.binance.counters().malformed, 3);
    world.frame(&delta(14, 14, "", ""));
    assert!(world.http.is_empty(), "it broke twice: not at once");
    world.pass(Nanos::from_millis(300));
    let request = world.request();
    let events = world.respond(request.id, 200, &snapshot(14, BID, ASK));
    assert_eq!(events[0], "#0 live synced epoch 1");
}

#[test]
fn a_price_beyond_the_scale_starts_a_book_at_a_wider_one() {
    let mut world = live();
    let events = world.frame(&delta(13, 13, r#"["99.0000000001","1"]"#, ""));
    assert_eq!(
        events,
        ["#0 resync rescale epoch 1", "#0 instrument BTCUSDT 10 8"]
    );
    let request = world.request();
    let events = world.respond(request.id, 200, &snapshot(12, BID, ASK));
    assert_eq!(
        events,
        [
            "#0 live synced epoch 1",
            "#0 bbo 99.0000000001x1 101x2 seq 13"
        ]
    );
    // A quantity too large for eight decimals.
    let events = world.frame(&delta(14, 14, r#"["98","123456789012345.5"]"#, ""));
    assert_eq!(
        events,
        ["#0 resync rescale epoch 1", "#0 instrument BTCUSDT 10 2"]
    );
    // What no scale holds is malformed.
    let events = world.frame(&delta(15, 15, r#"["98.5","12345678901234567890.5"]"#, ""));
    assert_eq!(events, [""; 0]);
    assert_eq!(world.binance.counters().malformed, 1);
}

#[test]
fn a_snapshot_beyond_the_scale_widens_what_is_held() {
    let (mut world, request) = syncing();
    let odd = r#"["98.1234567891","1"]"#;
    let events = world.respond(request.id, 200, &snapshot(11, odd, ASK));
    let live = [
        "#0 live synced epoch 1",
        "#0 bbo 98.1234567891x1 101x2 seq 12",
    ];
    assert_eq!(events, ["#0 instrument BTCUSDT 10 8", live[0], live[1]]);
    let view = world.binance.book(stream(0)).expect("a book");
    assert_eq!(
        view.book.qty_at(Side::Ask, 1_015_000_000_000),
        Some(400_000_000)
    );
    // A quantity too large for the scale makes it coarser: what is held is of no use then.
    let (mut world, request) = syncing();
    let odd = r#"["98.5","123456789012345"]"#;
    let events = world.respond(request.id, 200, &snapshot(11, odd, ASK));
    assert_eq!(
        events,
        ["#0 resync rescale epoch 1", "#0 instrument BTCUSDT 8 2"]
    );
    world.frame(&delta(13, 13, "", ""));
    let request = world.request();
    let events = world.respond(request.id, 200, &snapshot(13, odd, ASK));
    assert_eq!(events[0], "#0 live synced epoch 1");
}

/// Bids 100, 99, .. and asks 101, 102, .. of quantity 1.
fn ladder(levels: u32) -> (String, String) {
    let side = |price: &dyn Fn(u32) -> u32| {
        let levels = (0..levels).map(|index| format!(r#"["{}","1"]"#, price(index)));
        levels.collect::<Vec<_>>().join(",")
    };
    (side(&|index| 100 - index), side(&|index| 101 + index))
}

fn cut_at_20() -> World {
    let config = BinanceConfig {
        snapshot_levels: 20,
        ..plain(BinanceConfig::spot())
    };
    let mut world = World::new(config);
    world.subscribe(0, "BTCUSDT", Channel::BOOK);
    world.up(0, 1);
    world.frame(&delta(1, 1, "", ""));
    let request = world.request();
    let (bids, asks) = ladder(20);
    world.respond(request.id, 200, &snapshot(1, &bids, &asks));
    let view = world.binance.book(stream(0)).expect("a book");
    assert_eq!(view.book.watermark(Side::Bid), Some(8_100_000_000));
    world
}

fn bids_gone(count: u32) -> String {
    let gone = (0..count).map(|index| format!(r#"["{}","0"]"#, 100 - index));
    gone.collect::<Vec<_>>().join(",")
}

#[test]
fn a_book_near_its_cut_is_refreshed_without_a_word() {
    let mut world = cut_at_20();
    world.pass(Nanos::from_secs(10));
    assert_eq!(
        world.frame(&delta(2, 2, &bids_gone(19), "")),
        ["#0 bbo 81x1 101x1 seq 2"]
    );
    let request = world.request();
    assert_eq!(
        world.frame(&delta(3, 3, "", r#"["100.5","1"]"#)),
        ["#0 bbo 81x1 100.5x1 seq 3"]
    );
    let events = world.respond(
        request.id,
        200,
        &snapshot(2, r#"["81","1"],["60","7"]"#, r#"["101","1"]"#),
    );
    assert_eq!(
        events,
        ["#0 bbo 81x1 100.5x1 seq 3"],
        "still Live, from the new book"
    );
    let view = world.binance.book(stream(0)).expect("a book");
    assert_eq!(
        view.book.levels(Side::Bid).last().map(|level| level.qty),
        Some(700_000_000)
    );
    assert_eq!(view.book.watermark(Side::Bid), None);
    assert_eq!(
        world.frame(&delta(4, 4, r#"["81","2"]"#, "")),
        ["#0 bbo 81x2 100.5x1 seq 4"]
    );
    assert_eq!(world.binance.counters().resyncs, 0);
}

#[test]
fn a_refresh_that_fails_leaves_the_book_live() {
    let mut world = cut_at_20();
    world.pass(Nanos::from_secs(10));
    world.frame(&delta(2, 2, &bids_gone(19), ""));
    let request = world.request();
    assert_eq!(world.fail(request.id), [""; 0]);
    assert_eq!(
        world.frame(&delta(3, 3, r#"["81","2"]"#, "")),
        ["#0 bbo 81x2 101x1 seq 3"]
    );
    world.pass(Nanos::from_secs(1));
    world.frame(&delta(4, 4, "", ""));
    let request = world.request();
    // This one is never answered: the book stays Live for ever.
    for id in 5..400 {
        world.pass(Nanos::from_secs(1));
        world.frame(&delta(id, id, "", ""));
    }
    assert_eq!(world.state(0), "live");
    let late = world.respond(request.id, 200, &snapshot(4, BID, ASK));
    assert_eq!(late, [""; 0]);
}

#[test]
fn a_touch_beyond_the_cut_is_no_touch() {
    let mut world = cut_at_20();
    let events = world.frame(&delta(
        2,
        2,
        &format!(r#"{},["70","1"]"#, bids_gone(20)),
        "",
    ));
    assert_eq!(events, ["#0 resync beyond_snapshot epoch 1"]);
}

#[test]
fn levels_are_published_where_depth_is_on() {
    let mut world = live();
    let depth = true;
    let events = world.command(Command::SetDepth {
        stream: stream(0),
        depth,
    });
    assert_eq!(events.len(), 5, "{events:?}");
    assert!(
        events.contains(&"#0 level Bid 99 1".to_owned()),
        "{events:?}"
    );
    assert_eq!(
        world.frame(&delta(13, 13, r#"["98.0","3"]"#, "")),
        ["#0 level Bid 98 3"]
    );
    let events = world.command(Command::Republish { stream: stream(0) });
    assert_eq!(events.len(), 6, "{events:?}");
    let events = world.command(Command::Resync { stream: stream(0) });
    assert_eq!(events, ["#0 resync requested epoch 1"]);
}

/// A USD-M book whose link is up.
fn futures() -> World {
    let mut world = World::new(plain(BinanceConfig::linear()));
    world.subscribe(0, "BTC/USDT:USDT", Channel::BOOK);
    world.up(0, 1);
    world
}

/// A USD-M delta, and when the matching engine made it.
fn futures_delta((first, last, prev): (u64, u64, u64), engine_ms: u64) -> String {
    format!(
        r#"{{"stream":"btcusdt@depth@100ms","data":{{"e":"depthUpdate","E":9999,"T":{engine_ms},"s":"BTCUSDT","U":{first},"u":{last},"pu":{prev},"b":[["99","{last}"]],"a":[]}}}}"#
    )
}

fn futures_snapshot(id: u64, engine_ms: u64) -> String {
    format!(r#"{{"lastUpdateId":{id},"E":9999,"T":{engine_ms},"bids":[{BID}],"asks":[{ASK}]}}"#)
}

#[test]
fn futures_deltas_join_by_their_previous_id() {
    let mut world = futures();
    world.frame(&futures_delta((10, 15, 8), 5));
    let request = world.request();
    assert_eq!(request.target, "/fapi/v1/depth?symbol=BTCUSDT&limit=1000");
    let events = world.respond(request.id, 200, &futures_snapshot(12, 4));
    assert_eq!(events[1], "#0 bbo 99x15 101x2 seq 15");
    assert_eq!(
        world.frame(&futures_delta((20, 22, 15), 6)),
        ["#0 bbo 99x22 101x2 seq 22"]
    );
    assert_eq!(
        world.frame(&futures_delta((30, 32, 28), 7)),
        ["#0 resync gap 22 28 epoch 1"]
    );
}

#[test]
fn held_deltas_of_before_a_restart_do_not_join_a_snapshot_of_after_it() {
    // The counter went back between the delta and the snapshot, which fits it by its number alone.
    for (engine_ms, joins) in [(3, false), (4, true), (5, true)] {
        let mut world = futures();
        world.frame(&futures_delta((10, 15, 8), engine_ms));
        let request = world.request();
        let events = world.respond(request.id, 200, &futures_snapshot(12, 4));
        assert_eq!(events.is_empty(), !joins, "{engine_ms} ms: {events:?}");
        if joins {
            continue;
        }
        assert_eq!(world.pass(Nanos::from_secs(1)), [""; 0]);
        assert!(world.http.is_empty(), "the old delta is not waited for");
        world.frame(&futures_delta((13, 14, 11), 6));
        let request = world.request();
        let events = world.respond(request.id, 200, &futures_snapshot(12, 5));
        assert_eq!(
            events,
            ["#0 live synced epoch 1", "#0 bbo 99x14 101x2 seq 14"]
        );
    }
}

#[test]
fn a_late_delta_of_before_a_restart_does_not_join_either() {
    let mut world = futures();
    world.frame(&futures_delta((5, 8, 4), 2));
    let request = world.request();
    let events = world.respond(request.id, 200, &futures_snapshot(12, 4));
    assert_eq!(
        events,
        ["#0 live synced epoch 1", "#0 bbo 99x1 101x2 seq 12"]
    );
    assert_eq!(world.frame(&futures_delta((10, 15, 8), 3)), [""; 0]);
    assert_eq!(
        world.frame(&futures_delta((13, 14, 12), 5)),
        ["#0 bbo 99x14 101x2 seq 14"]
    );
}

#[test]
fn a_counter_that_goes_back_is_found_soon_once_the_book_is_joined() {
    let mut world = live();
    let mut events = Vec::new();
    for _ in 0..16 {
        events.extend(world.frame(&delta(1, 2, r#"["99.00","5"]"#, "")));
    }
    assert_eq!(events, ["#0 resync venue_restart epoch 1"]);
}

#[test]
fn a_book_that_breaks_again_and_again_leaves_weight_for_others() {
    let mut world = live();
    let (mut id, mut requests) = (100, 0);
    let end = world.now + Nanos::from_secs(60);
    while world.now < end {
        // Each delta leaves a hole behind it.
        id += 10;
        world.frame(&delta(id, id, "", ""));
        if let Some(request) = world.http.pop() {
            requests += 1;
            world.respond(request.id, 200, &snapshot(id, BID, ASK));
        }
        world.pass(Nanos::from_millis(100));
    }
    assert!((5..=10).contains(&requests), "{requests} in a minute");
}

#[test]
fn what_is_held_while_a_snapshot_waits_for_its_turn_is_little() {
    let mut world = live();
    let request = {
        world.frame(&delta(20, 20, "", ""));
        world.request()
    };
    world.respond_with(request.id, 429, &[("Retry-After", "3600")], "");
    for id in 21..2_000 {
        world.frame(&delta(id, id, r#"["99.00","5"]"#, ""));
    }
    let held = world
        .binance
        .slots
        .iter()
        .flatten()
        .map(|slot| match &slot.kind {
            super::super::Kind::Book(sync) => sync.held(),
            _ => 0,
        });
    assert!(held.max().expect("a book") <= 128);
    world.pass(Nanos::from_secs(3_601));
    let request = world.request();
    let events = world.respond(request.id, 200, &snapshot(1_990, BID, ASK));
    assert_eq!(events[0], "#0 live synced epoch 1");
}

#[test]
fn a_book_that_breaks_while_it_waits_has_one_place_in_the_queue() {
    let mut world = live();
    world.frame(&delta(20, 20, "", ""));
    let request = world.request();
    world.respond_with(request.id, 429, &[("Retry-After", "3600")], "");
    for _ in 0..50 {
        world.down(0);
        world.up(0, 2);
        world.frame(&delta(30, 30, "", ""));
    }
    assert!(world.binance.rest.waiting.len() <= 1);
    world.command(Command::Unsubscribe { stream: stream(0) });
    assert!(world.binance.rest.waiting.is_empty());
}

#[test]
fn a_best_bid_that_can_not_be_read_is_not_live() {
    let mut world = World::spot();
    world.subscribe(0, "BTCUSDT", Channel::Bbo);
    world.up(0, 1);
    let ticker = r#"{"stream":"btcusdt@bookTicker","data":{"u":5,"s":"BTCUSDT","b":"1","B":"1","a":"2","A":"1"}}"#;
    assert_eq!(world.frame(ticker).len(), 2);
    let bad = ticker.replace("\"2\"", "\"x\"").replace(":5", ":6");
    assert_eq!(world.frame(&bad), ["#0 resync malformed epoch 1"]);
    let events = world.frame(&ticker.replace(":5", ":7"));
    assert_eq!(events[0], "#0 live synced epoch 1");
}

#[test]
fn a_price_of_hundreds_of_digits_is_malformed() {
    for digits in [19, 240, 255, 256, 5_000] {
        let mut world = live();
        let price = "9".repeat(digits);
        let events = world.frame(&delta(13, 13, &format!(r#"["{price}","1"]"#), ""));
        assert_eq!(events, ["#0 resync malformed epoch 1"], "{digits}");
    }
}

#[test]
fn the_largest_numbers_are_only_numbers() {
    let mut world = live();
    for (last, epoch) in [(12, 2), (u64::MAX, 3)] {
        world.frame(&delta(u64::MAX, u64::MAX, "", ""));
        world.pass(Nanos::from_secs(1));
        let request = world.request();
        world.respond(request.id, 200, &snapshot(last, BID, ASK));
        world.down(0);
        world.up(0, epoch);
        world.frame(&delta(13, 13, "", ""));
        let request = world.request();
        let events = world.respond(request.id, 200, &snapshot(13, BID, ASK));
        assert_eq!(events[0], format!("#0 live synced epoch {epoch}"));
    }
    world.frame(&delta(u64::MAX, u64::MAX, "", ""));
    assert_eq!(world.state(0), "resync");
}

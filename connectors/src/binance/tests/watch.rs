use super::*;
use crate::instrument::Market;

const TICK: &str = r#"{"stream":"btcusdt@bookTicker","data":{"u":7,"s":"BTCUSDT","b":"99","B":"1","a":"101","A":"2"}}"#;
const TRADE: &str = r#"{"stream":"btcusdt@trade","data":{"e":"trade","E":5,"s":"BTCUSDT","t":12345,"p":"0.001","q":"100","T":4,"m":true,"M":true}}"#;
const AGG: &str = r#"{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","E":5,"s":"BTCUSDT","a":77,"p":"0.001","q":"100","f":1,"l":2,"T":4,"m":true,"M":true}}"#;
const TICKER: &str = r#"{"stream":"btcusdt@ticker","data":{"e":"24hrTicker","E":5,"s":"BTCUSDT","c":"0.0025","o":"0.0010","h":"0.0025","l":"0.0010","v":"10000","q":"18"}}"#;

/// One acked stream that has had this message.
fn heard(config: BinanceConfig, channel: Channel, frame: &str) -> World {
    let mut world = World::new(plain(config));
    let name = match world.binance.config.market {
        Market::Spot => "BTCUSDT",
        _ => "BTC/USDT:USDT",
    };
    world.subscribe(0, name, channel);
    world.up(0, 1);
    world.frame(r#"{"result":null,"id":1}"#);
    if !frame.is_empty() {
        world.frame(frame);
    }
    world.texts();
    world.control.clear();
    world
}

/// The same when it was silent for so long that it is probed.
fn probed(config: BinanceConfig, channel: Channel, frame: &str) -> (World, HttpRequest) {
    let mut world = heard(config, channel, frame);
    let quiet_ns = world
        .binance
        .config
        .upkeep
        .expectations
        .of(channel)
        .quiet_ns;
    let events = world.pass(quiet_ns);
    assert_eq!(events[0], "#0 live quiet epoch 1");
    let request = world.request();
    (world, request)
}

fn answer(id: u64, bid: &str) -> String {
    snapshot(id, &format!(r#"["{bid}","1"]"#), r#"["101","2"]"#)
}

#[test]
fn a_silence_is_probed_and_means_nothing_where_the_venue_has_none_either() {
    let day = |id: u64, price: &str| format!(r#"{{"lastId":{id},"lastPrice":"{price}"}}"#);
    let agg = |id: u64| format!(r#"[{{"a":{id},"p":"1","q":"1","f":1,"l":2,"T":3,"m":true}}]"#);
    let spot = BinanceConfig::spot;
    // (channel, what came, the call, an answer that is no news, one that is)
    let table = [
        (
            Channel::Bbo,
            TICK,
            "/depth?symbol=BTCUSDT&limit=5",
            answer(9, "99"),
            answer(9, "98"),
        ),
        (
            Channel::Trades,
            TRADE,
            "/ticker/24hr?symbol=BTCUSDT",
            day(12345, "1"),
            day(12346, "1"),
        ),
        (
            Channel::AggTrades,
            AGG,
            "/aggTrades?symbol=BTCUSDT&limit=1",
            agg(77),
            agg(78),
        ),
        (
            Channel::Ticker,
            TICKER,
            "/ticker/24hr?symbol=BTCUSDT",
            day(1, "0.0025"),
            day(2, "3"),
        ),
    ];
    for (channel, frame, call, same, ahead) in table {
        let (mut world, request) = probed(spot(), channel, frame);
        assert_eq!(request.target, format!("/api/v3{call}"));
        assert_eq!(world.respond(request.id, 200, &same), [""; 0], "{channel}");
        assert_eq!(world.pass(Nanos::from_secs(20)), [""; 0]);
        // The first message says that it is over.
        let events = world.frame(frame);
        assert_eq!(events[0], "#0 live heard epoch 1", "{channel}");
        assert_eq!(world.binance.counters().probes, 1);

        let (mut world, request) = probed(spot(), channel, frame);
        assert_eq!(world.respond(request.id, 200, &ahead), [""; 0], "{channel}");
        let events = world.pass(Nanos::from_secs(4));
        assert_eq!(events, ["#0 stale mute epoch 1"], "{channel}");
    }
}

#[test]
fn a_mute_stream_is_asked_for_anew_alone_and_then_its_link() {
    let (mut world, request) = probed(BinanceConfig::spot(), Channel::Bbo, TICK);
    world.respond(request.id, 200, &answer(9, "98"));
    assert_eq!(
        world.pass(Nanos::from_millis(2_900)),
        [""; 0],
        "it may be under way"
    );
    assert_eq!(
        world.pass(Nanos::from_millis(200)),
        ["#0 stale mute epoch 1"]
    );
    let texts = world.texts();
    assert_eq!(texts.len(), 1, "{texts:?}");
    assert!(texts[0].1.contains("UNSUBSCRIBE"));
    world.frame(r#"{"result":null,"id":2}"#);
    assert!(
        world.texts()[0]
            .1
            .contains(r#""SUBSCRIBE","params":["btcusdt@bookTicker"]"#)
    );
    world.frame(r#"{"result":null,"id":3}"#);
    // Heard again: all is well.
    let events = world.frame(TICK);
    assert_eq!(
        events,
        ["#0 live synced epoch 1", "#0 bbo 99x1 101x2 seq 7"]
    );
    assert_eq!(world.pass(Nanos::from_secs(29)), [""; 0]);

    // Or not: the link is made anew.
    let (mut world, request) = probed(BinanceConfig::spot(), Channel::Bbo, TICK);
    world.respond(request.id, 200, &answer(9, "98"));
    let events = world.pass(Nanos::from_secs(19));
    assert_eq!(events, ["#0 stale mute epoch 1"]);
    let again = world.request();
    world.respond(again.id, 200, &answer(10, "97"));
    let events = world.pass(Nanos::from_secs(4));
    assert_eq!(events, ["#0 stale dead epoch 1"]);
    assert!(
        matches!(
            world.control[..],
            [Transmit::Reconnect {
                link: LinkId(0),
                ..
            }]
        ),
        "{:?}",
        world.control
    );
    assert_eq!(world.binance.counters().mute, 1);
    assert_eq!(world.down(0), [""; 0], "Stale already");
    world.up(0, 2);
    let events = world.frame(TICK);
    assert_eq!(
        events,
        ["#0 live synced epoch 2", "#0 bbo 99x1 101x2 seq 7"]
    );
}

#[test]
fn one_dead_stream_costs_its_neighbours_nothing() {
    let (mut world, request) = probed(BinanceConfig::spot(), Channel::Bbo, TICK);
    world.subscribe(1, "BTCUSDT", Channel::Trades);
    world.ack(0);
    let trade = |world: &mut World, link: u16, id: u64| {
        world.frame_on(link, &TRADE.replace("12345", &id.to_string()))
    };
    trade(&mut world, 0, 1);
    world.respond(request.id, 200, &answer(9, "98"));
    let mut events = world.pass(Nanos::from_secs(4));
    world.ack(0);
    world.ack(0);
    events.extend(world.pass(Nanos::from_secs(15)));
    let again = world.request();
    world.respond(again.id, 200, &answer(10, "97"));
    events.extend(world.pass(Nanos::from_secs(4)));
    assert_eq!(events, ["#0 stale mute epoch 1", "#0 stale dead epoch 1"]);
    // Another link is made before this one is let go.
    let opens = |todo: &Transmit| {
        matches!(
            todo,
            Transmit::Open {
                link: LinkId(1),
                ..
            }
        )
    };
    assert!(world.control.iter().all(opens), "{:?}", world.control);
    trade(&mut world, 0, 2);
    world.up(1, 1);
    world.ack(1);
    assert_eq!(trade(&mut world, 1, 2), ["#1 live handed_over epoch 2"]);
    assert_eq!(
        world.pass(Nanos::from_secs(7)),
        ["#0 stale handed_over epoch 2"]
    );
    assert_eq!(world.control[1], Transmit::Close { link: LinkId(0) });
    // It is watched again there.
    assert_eq!(
        world.pass(Nanos::from_secs(30))[0],
        "#0 stale quiet epoch 2"
    );
    let events = world.frame_on(1, TICK);
    assert_eq!(
        events,
        ["#0 live synced epoch 2", "#0 bbo 99x1 101x2 seq 7"]
    );
}

#[test]
fn a_mute_book_is_stale_until_a_fresh_snapshot() {
    let mut world = heard(BinanceConfig::spot(), Channel::BOOK, &delta(5, 5, "", ""));
    let request = world.request();
    world.respond(request.id, 200, &answer(5, "99"));
    world.pass(Nanos::from_secs(31));
    let probe = world.request();
    assert_eq!(probe.target, "/api/v3/depth?symbol=BTCUSDT&limit=5");
    // Of spot, a higher number is news.
    world.respond(probe.id, 200, &answer(6, "99"));
    assert_eq!(world.pass(Nanos::from_secs(4)), ["#0 stale mute epoch 1"]);
    assert_eq!(
        world.frame(&delta(8, 8, "", "")),
        [""; 0],
        "no price from the old book"
    );
    let request = world.request();
    let events = world.respond(request.id, 200, &answer(8, "98"));
    assert_eq!(
        events,
        ["#0 live synced epoch 1", "#0 bbo 98x1 101x2 seq 8"]
    );
}

#[test]
fn a_futures_book_is_mute_only_where_its_best_prices_moved() {
    let update = r#"{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":5,"T":4,"s":"BTCUSDT","U":5,"u":5,"pu":4,"b":[],"a":[]}}"#;
    let body = |id: u64, bid: &str| {
        format!(
            r#"{{"lastUpdateId":{id},"E":9,"T":8,"bids":[["{bid}","1"]],"asks":[["101","2"]]}}"#
        )
    };
    for (bid, events) in [("99", &[][..]), ("98", &["#0 stale mute epoch 1"])] {
        let mut world = heard(BinanceConfig::linear(), Channel::BOOK, update);
        let request = world.request();
        world.respond(request.id, 200, &body(5, "99"));
        world.pass(Nanos::from_secs(31));
        let probe = world.request();
        world.respond(probe.id, 200, &body(900, bid));
        assert_eq!(world.pass(Nanos::from_secs(4)), events);
    }
}

#[test]
fn a_stream_that_is_mute_from_the_start_is_found_by_two_probes() {
    let mut world = heard(BinanceConfig::spot(), Channel::BOOK, "");
    let events = world.pass(Nanos::from_secs(31));
    assert_eq!(events, ["#0 pending quiet epoch 1", "#0 notice Timeout"]);
    let probe = world.request();
    world.respond(probe.id, 200, &answer(5, "99"));
    assert_eq!(world.pass(Nanos::from_secs(31)), [""; 0]);
    let probe = world.request();
    world.respond(probe.id, 200, &answer(6, "99"));
    assert_eq!(world.pass(Nanos::from_secs(4)), ["#0 stale mute epoch 1"]);
    // An unknown name is acked as well; the probe tells.
    let mut world = heard(BinanceConfig::spot(), Channel::Bbo, "");
    world.pass(Nanos::from_secs(31));
    let probe = world.request();
    let events = world.respond(probe.id, 400, r#"{"code":-1121,"msg":"Invalid symbol."}"#);
    assert_eq!(
        events,
        ["#0 notice BadSymbol", "#0 refused refused epoch 1"]
    );
}

#[test]
fn many_mute_streams_of_a_link_are_its_own_fault() {
    let mut world = World::spot();
    for index in 0..20 {
        world.subscribe(index, &format!("C{index}USDT"), Channel::Trades);
    }
    world.up(0, 1);
    world.frame(r#"{"result":null,"id":1}"#);
    world.control.clear();
    let mut asked = Vec::new();
    for round in 1..=2 {
        world.pass(Nanos::from_secs(61));
        // Four at a time.
        while !world.http.is_empty() {
            let request = world.http.remove(0);
            asked.push(request.target);
            let body = format!(r#"{{"lastId":{round},"lastPrice":"1"}}"#);
            world.respond(request.id, 200, &body);
        }
    }
    assert_eq!(asked.len(), 40, "each once a round");
    let events = world.pass(Nanos::from_secs(4));
    let mute = events.iter().filter(|event| event.contains("stale mute"));
    assert_eq!(mute.count(), 20);
    assert!(
        matches!(world.control[..], [Transmit::Reconnect { .. }]),
        "{:?}",
        world.control
    );
    assert!(world.texts().len() < 20, "not each was asked for anew");
}

#[test]
fn probes_leave_the_weight_to_books_and_stop_in_a_ban() {
    let (mut world, request) = probed(BinanceConfig::spot(), Channel::Bbo, TICK);
    let retry = [("Retry-After", "300")];
    let events = world.respond_with(request.id, 418, &retry, "");
    assert_eq!(events, ["banned 418 for 300000 ms"]);
    assert_eq!(world.pass(Nanos::from_secs(299)), [""; 0]);
    assert!(world.http.is_empty());
    assert_eq!(world.pass(Nanos::from_secs(2)), ["ban lifted"]);
    let request = world.request();
    assert_eq!(world.respond(request.id, 200, &answer(7, "99")), [""; 0]);
    assert_eq!(world.binance.rest.probes.len(), 0);
}

use super::super::symbols::{by_rule, read};
use super::*;
use crate::error::ErrorKind;
use crate::instrument::{Market, TradingStatus};

const INFO: &str = r#"{"symbols":[{"symbol":"BTCUSDT","status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT","filters":[{"filterType":"PRICE_FILTER","minPrice":"0.01","maxPrice":"1000000.00","tickSize":"0.01000000"},{"filterType":"LOT_SIZE","minQty":"0.00001000","maxQty":"9000.00","stepSize":"0.00001000"},{"filterType":"NOTIONAL","minNotional":"5.00"}]}]}"#;

#[test]
fn symbols_follow_the_venues_rules() {
    for (market, asked, venue, unified) in [
        (Market::Spot, "BTC/USDT", "BTCUSDT", "BTC/USDT"),
        (Market::Spot, "btcusdt", "BTCUSDT", "BTC/USDT"),
        (Market::Spot, "XYZZY", "XYZZY", "XYZZY"),
        (
            Market::Linear,
            "BTCUSDT_250627",
            "BTCUSDT_250627",
            "BTC/USDT:USDT-250627",
        ),
        (Market::Linear, "BTC/USDT:USDT", "BTCUSDT", "BTC/USDT:USDT"),
        (Market::Linear, "BTC/USDT", "BTCUSDT", "BTC/USDT:USDT"),
        (
            Market::Linear,
            "BTC/USDT:USDT-250627",
            "BTCUSDT_250627",
            "BTC/USDT:USDT-250627",
        ),
        (Market::Inverse, "BTC/USD:BTC", "BTCUSD_PERP", "BTC/USD:BTC"),
        (
            Market::Inverse,
            "ETH/USD:ETH-210924",
            "ETHUSD_210924",
            "ETH/USD:ETH-210924",
        ),
        (Market::Inverse, "BTCUSD_PERP", "BTCUSD_PERP", "BTC/USD:BTC"),
    ] {
        let instrument = by_rule(market, asked).expect(asked);
        assert_eq!(
            (&*instrument.venue_symbol, &*instrument.key.symbol),
            (venue, unified)
        );
    }
    for (market, asked) in [
        (Market::Spot, "BTC/USDT:USDT"),
        (Market::Linear, "BTC/USDT:BTC"),
        (Market::Inverse, "BTC/USD:USD"),
        (Market::Spot, "/USDT"),
        (Market::Spot, "BTC/"),
        (Market::Spot, "a@b"),
        (Market::Spot, "BTC:USDT"),
    ] {
        assert!(by_rule(market, asked).is_none(), "{asked}");
    }
}

#[test]
fn exchange_info_is_read() {
    let mut bytes = INFO.as_bytes().to_vec();
    let [btc] = read(Market::Spot, &mut bytes).expect("good")[..] else {
        panic!("one")
    };
    assert_eq!(&*btc.key.symbol, "BTC/USDT");
    assert_eq!((btc.price_scale.get(), btc.qty_scale.get()), (2, 5));
    assert_eq!(btc.status, TradingStatus::Trading);
    assert_eq!(
        btc.notional_min.map(|min| min.to_string()).as_deref(),
        Some("5")
    );
    let mut bytes = br#"{"code":-1121,"msg":"Invalid symbol."}"#.to_vec();
    let error = read(Market::Spot, &mut bytes).expect_err("bad");
    assert_eq!(
        (error.kind, error.code),
        (ErrorKind::BadSymbol, Some(-1121))
    );
    assert!(read(Market::Spot, &mut b"<html>".to_vec()).is_err());
}

fn give(world: &mut World, id: RequestId, body: &str) -> Vec<String> {
    let mut bytes = body.as_bytes().to_vec();
    let read = world.binance.instrument_reader()(Market::Spot, &mut bytes);
    world
        .binance
        .handle_instruments(world.now, id, read, &mut world.out);
    world.drain()
}

#[test]
fn streams_wait_for_their_instrument() {
    let mut world = World::new(BinanceConfig::spot());
    assert_eq!(world.subscribe(0, "BTC/USDT", Channel::Bbo), [""; 0]);
    assert!(world.control.is_empty(), "not before it is known");
    let request = world.request();
    assert_eq!(
        request.target,
        "/api/v3/exchangeInfo?symbols=%5B%22BTCUSDT%22%5D"
    );
    assert_eq!(
        give(&mut world, request.id, INFO),
        ["#0 instrument BTCUSDT 2 5"]
    );
    assert_eq!(world.control.len(), 1);
    // Known now.
    assert_eq!(
        world.subscribe(1, "BTCUSDT", Channel::BOOK),
        ["#1 instrument BTCUSDT 2 5"]
    );
    assert!(world.http.is_empty());
    assert_eq!(world.pass(Nanos::from_secs(20)), [""; 0]);
}

#[test]
fn an_unknown_symbol_is_refused_and_costs_no_other() {
    let mut world = World::new(BinanceConfig::spot());
    world.subscribe(0, "BTC/USDT", Channel::Bbo);
    world.subscribe(1, "ETH/USDT", Channel::Bbo);
    world.subscribe(2, "BAD/USDT", Channel::Bbo);
    let request = world.request();
    give(&mut world, request.id, INFO);
    // Both of the others in one request, which is refused as a whole.
    let request = world.request();
    let bad = r#"{"code":-1121,"msg":"Invalid symbol."}"#;
    assert_eq!(world.respond(request.id, 400, bad), [""; 0]);
    let request = world.request();
    let eth = INFO.replace("BTC", "ETH");
    let info = if request.target.contains("ETH") {
        &*eth
    } else {
        bad
    };
    let mut events = give(&mut world, request.id, info);
    let request = world.request();
    let info = if request.target.contains("ETH") {
        &*eth
    } else {
        bad
    };
    events.extend(give(&mut world, request.id, info));
    events.sort();
    assert_eq!(
        events,
        [
            "#1 instrument ETHUSDT 2 5",
            "#2 notice BadSymbol",
            "#2 refused refused epoch 0"
        ]
    );
}

#[test]
fn without_exchange_info_the_defaults_must_do() {
    let mut world = World::new(BinanceConfig::spot());
    world.subscribe(0, "BTC/USDT", Channel::Bbo);
    let request = world.request();
    assert_eq!(
        world.fail(request.id),
        ["#0 notice VenueUnavailable", "#0 instrument BTCUSDT 8 8"]
    );
    world.subscribe(1, "ETH/USDT", Channel::Bbo);
    assert!(world.http.is_empty(), "a failure slows all down a little");
    world.pass(Nanos::from_millis(250));
    let request = world.request();
    assert_eq!(
        world.pass(Nanos::from_secs(3)),
        ["#1 notice Timeout", "#1 instrument ETHUSDT 8 8"]
    );
    // Late, and of use to the next.
    assert_eq!(
        give(&mut world, request.id, &INFO.replace("BTC", "ETH")),
        [""; 0]
    );
    assert_eq!(
        world.subscribe(2, "ETHUSDT", Channel::Trades),
        ["#2 instrument ETHUSDT 2 5"]
    );
}

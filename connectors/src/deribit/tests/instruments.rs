//! Instrument data: questions and answers.

use super::*;
use tickwire_orderbook::{Price, Qty, Scale};

const PERPETUAL: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"price_index":"btc_usd","kind":"future","instrument_name":"BTC-PERPETUAL","max_leverage":50,"maker_commission":0.0,"instrument_type":"reversed","expiration_timestamp":32503708800000,"is_active":true,"tick_size":0.5,"tick_size_steps":[],"contract_size":10.0,"min_trade_amount":10.0,"settlement_currency":"BTC","settlement_period":"perpetual","base_currency":"BTC","quote_currency":"USD"}}"#;
const OPTION: &str = r#"{"jsonrpc":"2.0","result":[{"tick_size":0.0001,"tick_size_steps":[{"tick_size":0.0005,"above_price":0.005}],"strike":40000.0,"option_type":"put","min_trade_amount":0.1,"kind":"option","state":"open","is_active":true,"instrument_name":"BTC-24SEP21-40000-P","expiration_timestamp":1632470400000,"contract_size":1.0,"base_currency":"BTC"}]}"#;
const UNKNOWN: &str = r#"{"jsonrpc":"2.0","error":{"message":"Invalid params","data":{"reason":"wrong format","param":"instrument_name"},"code":-32602},"usIn":1,"usOut":2,"usDiff":1,"testnet":false}"#;

fn read(market: Market, body: &str) -> Result<Vec<Instrument>, Error> {
    rest::read_instruments(market, &mut body.as_bytes().to_vec())
}

#[test]
fn instruments_are_read_exactly() {
    let perpetual = read(Market::Inverse, PERPETUAL).expect("an answer")[0];
    assert_eq!(&*perpetual.key.symbol, "BTC/USD:BTC");
    assert_eq!(
        (perpetual.price_scale.get(), perpetual.qty_scale.get()),
        (1, 0)
    );
    assert_eq!(perpetual.tick_size, Some(Price::new(5, Scale::of(1))));
    assert_eq!(perpetual.contract_size, Some(Qty::new(10, Scale::of(0))));
    assert_eq!(
        (perpetual.expiry_ns, perpetual.status),
        (None, crate::instrument::TradingStatus::Trading)
    );
    let option = read(Market::Option, OPTION).expect("an answer")[0];
    assert_eq!(&*option.key.symbol, "BTC/USD:BTC-210924-40000-P");
    assert_eq!((option.price_scale.get(), option.qty_scale.get()), (4, 1));
    assert_eq!(option.lot_size, Some(Qty::new(1, Scale::of(1))));
    let tick_at = |text: &str| {
        let price = Price::parse(text.as_bytes()).expect("a price");
        option.tick_at(price).map(|tick| tick.to_string())
    };
    assert_eq!(tick_at("0.005").as_deref(), Some("0.0001"));
    assert_eq!(tick_at("0.0051").as_deref(), Some("0.0005"));
    assert_eq!(
        option.expiry_ns,
        Some(Nanos::from_millis(1_632_470_400_000))
    );
    assert_eq!(
        read(Market::Linear, PERPETUAL),
        Ok(Vec::new()),
        "of another market"
    );
}

#[test]
fn errors_say_whose_fault_it_is() {
    let table = [
        (UNKNOWN, ErrorKind::BadSymbol),
        (
            r#"{"error":{"code":10028,"message":"too_many_requests"}}"#,
            ErrorKind::RateLimited,
        ),
        (
            r#"{"error":{"code":11051,"message":"system_maintenance"}}"#,
            ErrorKind::VenueUnavailable,
        ),
        (r#"{"error":{"code":"x"}}"#, ErrorKind::BadResponse),
        ("{}", ErrorKind::BadResponse),
        ("<html>", ErrorKind::BadResponse),
    ];
    for (body, kind) in table {
        let got = read(Market::Inverse, body).map_err(|error| error.kind);
        assert_eq!(got, Err(kind), "{body}");
    }
}

#[test]
fn a_stream_starts_when_its_instrument_is_known() {
    let config = plain(DeribitConfig::inverse());
    let instruments = FetchInstruments::Yes;
    let mut world = World::new(DeribitConfig {
        instruments,
        ..config
    });
    assert_eq!(
        world.subscribe(0, "BTC/USD:BTC", "book"),
        ["http 0 /api/v2/public/get_instrument?instrument_name=BTC-PERPETUAL"]
    );
    assert!(
        world.subscribe(1, "BTC-PERPETUAL", "trades").is_empty(),
        "asked for already"
    );
    let found = read(Market::Inverse, PERPETUAL);
    let lines =
        world.input(|deribit, now, out| deribit.handle_instruments(now, RequestId(0), found, out));
    assert_eq!(
        lines,
        [
            "#0 instrument BTC/USD:BTC BTC-PERPETUAL 1/0",
            "#1 instrument BTC/USD:BTC BTC-PERPETUAL 1/0",
            "open 0 wss://www.deribit.com/ws/api/v2"
        ]
    );
    world.subscribe(2, "BTC-1JAN99", "book");
    let unknown = read(Market::Inverse, UNKNOWN);
    let lines = world
        .input(|deribit, now, out| deribit.handle_instruments(now, RequestId(1), unknown, out));
    assert_eq!(lines[1], "#2 refused refused e0");
}

#[test]
fn many_symbols_are_asked_for_at_once() {
    let config = plain(DeribitConfig::option());
    let instruments = FetchInstruments::Yes;
    let mut world = World::new(DeribitConfig {
        instruments,
        ..config
    });
    let mut lines = Vec::new();
    for stream in 0..40 {
        lines.extend(world.subscribe(stream, &format!("BTC-1JAN27-{stream}000-C"), "book"));
    }
    let list = "/api/v2/public/get_instruments?currency=any&kind=option&expired=false";
    assert_eq!(lines.len(), 8, "so many at once: {lines:?}");
    let found = read(Market::Option, OPTION);
    let lines = world.input(|deribit, now, out| {
        deribit.handle_instruments(now, RequestId(0), found, out);
    });
    assert!(lines.iter().any(|line| line.ends_with(list)), "{lines:?}");
}

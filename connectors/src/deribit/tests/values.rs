//! Trades, tickers, index prices and candles.

use super::*;

#[test]
fn trades_are_numbered_and_a_hole_is_counted() {
    let topic = "trades.BTC-PERPETUAL.100ms";
    let mut world = World::inverse().subscribed("trades", topic);
    let trade = |seq: u64, id: &str| {
        format!(
            r#"[{{"trade_seq":{seq},"trade_id":"{id}","timestamp":1590484512188,"tick_direction":2,"price":8950,"mark_price":8948.9,"instrument_name":"BTC-PERPETUAL","index_price":8955.88,"direction":"sell","amount":10.0,"contracts":1}}]"#
        )
    };
    let line =
        |seq: u64, id: u64| format!("#0 trade sell 8950x10 id={id:x} seq={seq} at=1590484512188");
    assert_eq!(
        world.notify(0, topic, &trade(7, "48079269")),
        [line(7, 48_079_269)]
    );
    assert_eq!(
        world.notify(0, topic, &trade(8, "48079270")),
        [line(8, 48_079_270)]
    );
    assert_eq!(world.venue.counters().gaps, 0);
    assert_eq!(
        world.notify(0, topic, &trade(10, "48079272")),
        [line(10, 48_079_272)]
    );
    assert_eq!(world.venue.counters().gaps, 1);
    // What was missed while the link was down is no hole in what came.
    world.down(0);
    world.up(0, 2);
    world.ack(0, 2, &[topic]);
    assert_eq!(world.notify(0, topic, &trade(90, "1")), [line(90, 1)]);
    assert_eq!(world.venue.counters().gaps, 1);
}

#[test]
fn a_ticker_says_what_it_has() {
    let topic = "ticker.BTC-PERPETUAL.100ms";
    let mut world = World::inverse().subscribed("ticker", topic);
    let data = r#"{"timestamp":1623060194301,"stats":{"volume_usd":284061480,"volume":7871.02139035,"price_change":0.7229,"low":35213.5,"high":36824.5},"state":"open","open_interest":502097590,"mark_price":36446.51,"last_price":null,"instrument_name":"BTC-PERPETUAL","index_price":36441.64,"funding_8h":2.11e-5,"current_funding":2.11e-5,"best_bid_price":36442.5,"best_bid_amount":5000,"best_ask_price":0,"best_ask_amount":0}"#;
    let mut payload = format!(
        r#"{{"jsonrpc":"2.0","method":"subscription","params":{{"channel":"{topic}","data":{data}}}}}"#
    )
    .into_bytes();
    let mut out = Outbox::new();
    let now = world.now;
    world
        .venue
        .handle_message(now, LinkId(0), &mut payload, &mut out);
    let ticker = out.iter().find_map(|item| match item {
        Item::Wide(wide) => match wide.body {
            WideBody::Ticker(ticker) => Some(ticker),
            _ => None,
        },
        Item::Hot(_) => None,
    });
    let ticker = ticker.expect("a ticker");
    let text = |value: Option<tickwire_orderbook::Price>| value.map(|value| value.to_string());
    assert_eq!(text(ticker.funding_rate).as_deref(), Some("0.0000211"));
    assert_eq!(text(ticker.mark).as_deref(), Some("36446.51"));
    assert_eq!((ticker.last, ticker.ask, ticker.open), (None, None, None));
    assert_eq!(
        ticker
            .bid
            .map(|(price, qty)| format!("{price}x{qty}"))
            .as_deref(),
        Some("36442.5x5000")
    );
    assert_eq!(
        ticker.volume.map(|volume| volume.to_string()).as_deref(),
        Some("7871.02139035")
    );
    assert_eq!(
        ticker.turnover.map(|volume| volume.to_string()).as_deref(),
        Some("284061480")
    );
}

/// The recorded ticker of an option (2021-07-22), with one of an option that has no bid.
#[test]
fn an_options_ticker_is_followed_by_its_greeks() {
    let symbol = "ETH-30JUL21-2800-C";
    let topic = "ticker.ETH-30JUL21-2800-C.100ms";
    let mut world = World::new(plain(DeribitConfig::option()));
    world.subscribe(0, symbol, "ticker");
    world.up(0, 1);
    world.ack(0, 1, &[topic]);
    let data = |time: u64, bid_iv: &str| {
        format!(
            r#"{{"underlying_price":2003.61,"underlying_index":"ETH-30JUL21","timestamp":{time},"stats":{{"volume":869.0,"price_change":null,"low":0.0015,"high":0.0025}},"state":"open","settlement_price":0.0,"open_interest":12685.0,"min_price":0.0001,"max_price":0.025,"mark_price":0.001972,"mark_iv":120.74,"last_price":0.002,"interest_rate":0.0,"instrument_name":"{symbol}","index_price":2006.72,"greeks":{{"vega":0.20072,"theta":-1.64029,"rho":0.01188,"gamma":0.0002,"delta":9e-05}},"estimated_delivery_price":2006.72,"bid_iv":{bid_iv},"best_bid_price":0.0015,"best_bid_amount":4714.0,"best_ask_price":0.0025,"best_ask_amount":873.0,"ask_iv":125.63}}"#
        )
    };
    let mut greeks_of = |data: &str| {
        let mut out = Outbox::new();
        let mut payload = format!(
            r#"{{"jsonrpc":"2.0","method":"subscription","params":{{"channel":"{topic}","data":{data}}}}}"#
        )
        .into_bytes();
        let now = world.now;
        let connector = &mut world.venue;
        connector.handle_message(now, LinkId(0), &mut payload, &mut out);
        let bodies = out.iter().filter_map(|item| match item {
            Item::Wide(wide) => Some(wide.body),
            Item::Hot(_) => None,
        });
        match bodies.collect::<Vec<_>>()[..] {
            [WideBody::Ticker(_), WideBody::Greeks(greeks)] => greeks,
            ref other => panic!("{other:?}"),
        }
    };
    let text = |value: Option<tickwire_orderbook::Price>| {
        value.map_or("-".to_owned(), |value| value.plain().to_string())
    };
    let greeks = greeks_of(&data(1_626_993_723_632, "115.62"));
    let told = [
        (greeks.mark_iv, "1.2074"),
        (greeks.bid_iv, "1.1562"),
        (greeks.ask_iv, "1.2563"),
        (greeks.delta, "0.00009"),
        (greeks.gamma, "0.0002"),
        (greeks.theta, "-1.64029"),
        (greeks.vega, "0.20072"),
        (greeks.rho, "0.01188"),
        (greeks.underlying, "2003.61"),
        (greeks.interest_rate, "0"),
    ];
    for (value, expected) in told {
        assert_eq!(text(value), expected);
    }
    // A side without a price has no volatility.
    assert_eq!(greeks_of(&data(1_626_993_723_732, "0.0")).bid_iv, None);
}

#[test]
fn an_index_is_a_ticker_of_its_name() {
    let mut world = World::inverse();
    let lines = world.subscribe(0, "btc_usd", "ticker");
    assert_eq!(lines[0], "#0 instrument btc_usd btc_usd 4/2");
    let lines = world.subscribe(1, "btc_usd", "book");
    assert_eq!(lines[1], "#1 refused refused e0");
    world.up(0, 1);
    let topic = "deribit_price_index.btc_usd";
    world.ack(0, 1, &[topic]);
    let lines = world.notify(
        0,
        topic,
        r#"{"timestamp":1550588002899,"price":3937.89,"index_name":"btc_usd"}"#,
    );
    assert_eq!(lines[0], "#0 live synced e1");
    assert!(lines[1].starts_with("#0 ticker"), "{lines:?}");
}

#[test]
fn a_candle_is_complete_when_the_next_begins() {
    let topic = "chart.trades.BTC-PERPETUAL.1";
    let mut world = World::inverse().subscribed("kline:1m", topic);
    let candle = |tick: u64, close: &str| {
        format!(
            r#"{{"volume":0.05219351,"tick":{tick},"open":8869.79,"low":8788.25,"high":8870.31,"cost":460,"close":{close}}}"#
        )
    };
    let line = |close: &str, closed: bool| {
        format!("#0 kline 1m 8869.79 8870.31 8788.25 {close} closed={closed}")
    };
    let first = world.notify(0, topic, &candle(1_573_645_080_000, "8791.25"));
    assert_eq!(first, ["#0 live synced e1", &line("8791.25", false)]);
    let next = world.notify(0, topic, &candle(1_573_645_080_000, "8792"));
    assert_eq!(next, [line("8792", false)]);
    let next = world.notify(0, topic, &candle(1_573_645_140_000, "8793"));
    assert_eq!(next, [line("8792", true), line("8793", false)]);
}

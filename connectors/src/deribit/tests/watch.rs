//! Streams that are silent, books that are wrong: probes, renewals, companions, agreement.

use super::*;
use crate::liveness::Expectation;

/// Every kind of stream is probed after 10 seconds.
fn watching(channel: &str, topic: &str) -> World {
    let probed = Expectation::probed(Nanos::from_secs(10));
    let config = plain(DeribitConfig::inverse());
    let upkeep = Upkeep {
        expectations: Expectations {
            book: probed,
            bbo: probed,
            trades: probed,
            ticker: probed,
            kline: probed,
        },
        ..config.upkeep
    };
    let mut world = World::new(DeribitConfig { upkeep, ..config }).subscribed(channel, topic);
    world.message(0, r#"{"jsonrpc":"2.0","id":"heartbeat","result":"ok"}"#);
    world
}

impl World {
    fn answer_probe(&mut self, request: u32, result: &str) -> Vec<String> {
        let mut body = format!(r#"{{"jsonrpc":"2.0","result":{result}}}"#).into_bytes();
        let response = Response {
            status: 200,
            headers: &[],
            body: &mut body,
        };
        self.input(|deribit, now, out| {
            deribit.handle_response(now, RequestId(request), Ok(response), out);
        })
    }

    fn quiet_for(&mut self, secs: i64) -> Vec<String> {
        (0..secs)
            .flat_map(|_| self.pass(Nanos::from_secs(1)))
            .collect()
    }
}

#[test]
fn a_silent_book_is_probed_and_asked_for_anew_where_the_venue_has_more() {
    let mut world = watching("book", BOOK);
    world.snapshot(0, 10, r#"["new",100,1]"#, r#"["new",101,1]"#);
    let probe = "http 0 /api/v2/public/get_order_book?instrument_name=BTC-PERPETUAL&depth=20";
    assert_eq!(world.quiet_for(10), ["#0 live quiet e1", probe]);
    let book = |seq: u64, bid: &str| {
        format!(r#"{{"timestamp":1,"change_id":{seq},"bids":[[{bid},1]],"asks":[[101,1.0]]}}"#)
    };
    assert!(
        world.answer_probe(0, &book(12, "100.0")).is_empty(),
        "it shows what we have"
    );
    world.quiet_for(10);
    assert!(
        world.answer_probe(1, &book(9, "99")).is_empty(),
        "it shows what was"
    );
    world.quiet_for(20);
    assert!(
        world.answer_probe(2, &book(13, "99")).is_empty(),
        "it may be under way"
    );
    let lines = world.quiet_for(3);
    assert_eq!(
        lines,
        ["#0 stale mute e1", &request(2, "unsubscribe", &[BOOK])]
    );
    assert_eq!(world.venue.counters().mute, 1);
}

#[test]
fn each_kind_of_stream_is_probed_by_its_own_call() {
    let trades = r#"{"trades":[{"trade_seq":SEQ,"price":1}],"has_more":true}"#;
    let table = [
        (
            "trades",
            "trades.BTC-PERPETUAL.100ms",
            "get_last_trades_by_instrument?instrument_name=BTC-PERPETUAL&count=1&sorting=desc",
            trades,
        ),
        (
            "ticker",
            "ticker.BTC-PERPETUAL.100ms",
            "ticker?instrument_name=BTC-PERPETUAL",
            r#"{"timestamp":1,"mark_price":SEQ}"#,
        ),
        (
            "bbo",
            "quote.BTC-PERPETUAL",
            "get_order_book?instrument_name=BTC-PERPETUAL&depth=1",
            r#"{"timestamp":SEQ,"change_id":SEQ,"bids":[],"asks":[]}"#,
        ),
        (
            "kline:1m",
            "chart.trades.BTC-PERPETUAL.1",
            "get_tradingview_chart_data?",
            r#"{"ticks":[1,SEQ],"open":[1,1],"high":[1,1],"low":[1,1],"close":[1,1],"volume":[1,1],"cost":[1,1],"status":"ok"}"#,
        ),
    ];
    for (channel, topic, call, answer) in table {
        let mut world = watching(channel, topic);
        let lines = world.quiet_for(10);
        assert!(
            lines.iter().any(|line| line.contains(call)),
            "{channel}: {lines:?}"
        );
        // Nothing was heard yet: what is there now may be older than the subscription.
        assert!(
            world
                .answer_probe(0, &answer.replace("SEQ", "7"))
                .is_empty(),
            "{channel}"
        );
        world.quiet_for(10);
        world.answer_probe(1, &answer.replace("SEQ", "8"));
        let lines = world.quiet_for(3);
        assert!(
            lines.iter().any(|line| line.contains("stale mute")),
            "{channel}: {lines:?}"
        );
    }
}

#[test]
fn an_index_is_probed_by_its_name() {
    let mut world = watching("trades", "trades.BTC-PERPETUAL.100ms");
    world.subscribe(1, "btc_usd", "ticker");
    world.ack(0, 2, &["deribit_price_index.btc_usd"]);
    let lines = world.quiet_for(10);
    let call = "/api/v2/public/get_index_price?index_name=btc_usd";
    assert!(lines.iter().any(|line| line.ends_with(call)), "{lines:?}");
    world.answer_probe(1, r#"{"index_price":1.5,"estimated_delivery_price":1.5}"#);
    world.quiet_for(10);
    world.answer_probe(2, r#"{"index_price":1.6,"estimated_delivery_price":1.5}"#);
    assert!(
        world
            .quiet_for(3)
            .iter()
            .any(|line| line.starts_with("#1 stale mute"))
    );
}

#[test]
fn quotes_come_beside_a_book_and_accuse_it() {
    let config = plain(DeribitConfig::inverse());
    let upkeep = Upkeep {
        top_check: TopCheck::Always,
        ..config.upkeep
    };
    let mut world = World::new(DeribitConfig { upkeep, ..config });
    world.subscribe(0, "BTC-PERPETUAL", "book");
    let quote = "quote.BTC-PERPETUAL";
    let lines = world.up(0, 1);
    assert_eq!(lines[1], request(1, "subscribe", &[BOOK, quote]));
    world.message(0, r#"{"jsonrpc":"2.0","id":"heartbeat","result":"ok"}"#);
    world.ack(0, 1, &[BOOK, quote]);
    world.snapshot(0, 10, r#"["new",100,1]"#, r#"["new",101,1]"#);
    let told = |bid: &str| {
        format!(
            r#"{{"timestamp":1,"best_bid_price":{bid},"best_bid_amount":1,"best_ask_price":101,"best_ask_amount":1}}"#
        )
    };
    assert!(
        world.notify(0, quote, &told("100.0")).is_empty(),
        "nobody has asked for it"
    );
    world.notify(0, quote, &told("99"));
    world.pass(Nanos::from_secs(1));
    world.notify(0, quote, &told("98"));
    let lines = world.pass(Nanos::from_secs(5));
    assert_eq!(lines, ["#0 resync disagrees e1"]);
    // The last book takes its companion along.
    world.timeout();
    world.ack(0, 2, &[BOOK]);
    let lines = world.unsubscribe(0);
    assert_eq!(lines, ["#0 closed unsubscribed e1", "close 0"]);
}

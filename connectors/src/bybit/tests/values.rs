//! Trades, tickers and candles.

use super::*;

#[test]
fn trades_come_as_sent_and_keep_their_ids() {
    let mut world = World::linear().subscribed("trades");
    let text = r#"{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1672304486868,"data":[
        {"T":1672304486865,"s":"BTCUSDT","S":"Buy","v":"0.001","p":"16578.50","L":"PlusTick","i":"20f43950-d8dd-5b31-9112-a178eb6023af","BT":false,"RPI":false,"seq":1783284617},
        {"i":"2290000001189048101","T":1672304486866,"p":"16578","v":"2","S":"Sell","seq":1783284617,"s":"BTCUSDT","BT":false}]}"#;
    assert_eq!(
        world.message(0, text),
        [
            "#0 trade buy 16578.5x0.001 id=20f43950d8dd5b319112a178eb6023af seq=1783284617 at=1672304486865",
            "#0 trade sell 16578x2 id=1fc7b6de3e846f25 seq=1783284617 at=1672304486866",
        ]
    );
    // Other digits: another scale from here on, and no trade is lost.
    let text = r#"{"topic":"publicTrade.BTCUSDT","data":[{"T":1,"S":"x","v":"0.00001","p":"1","i":"7","seq":1}]}"#;
    assert_eq!(
        world.message(0, text),
        [
            "#0 instrument BTC/USDT:USDT BTCUSDT 8/5",
            "#0 trade unknown 1x0.00001 id=7 seq=1 at=1"
        ]
    );
}

#[test]
fn a_linear_ticker_adds_up_its_deltas() {
    let mut world = World::linear().subscribed("ticker");
    let delta = |fields: &str, cs: u32| {
        format!(
            r#"{{"topic":"tickers.BTCUSDT","type":"delta","data":{{"symbol":"BTCUSDT",{fields}}},"cs":{cs},"ts":5}}"#
        )
    };
    assert!(
        world.message(0, &delta(r#""markPrice":"1""#, 1)).is_empty(),
        "over nothing"
    );
    let snapshot = r#"{"topic":"tickers.BTCUSDT","type":"snapshot","data":{"symbol":"BTCUSDT","lastPrice":"5","markPrice":"4","bid1Price":"3","bid1Size":"1","ask1Price":"6","ask1Size":"2","preOpenPrice":""},"cs":2,"ts":5}"#;
    assert_eq!(
        world.message(0, snapshot),
        [
            "#0 live synced e1",
            "#0 ticker last=Some(Price(5)) bid=Some((Price(3), Qty(1))) ask=Some((Price(6), Qty(2))) mark=Some(Price(4)) seq=2"
        ]
    );
    assert_eq!(
        world.message(0, &delta(r#""bid1Size":"9","markPrice":"4.5""#, 3)),
        [
            "#0 ticker last=Some(Price(5)) bid=Some((Price(3), Qty(9))) ask=Some((Price(6), Qty(2))) mark=Some(Price(4.5)) seq=3"
        ]
    );
    assert_eq!(
        world.message(0, &delta(r#""ask1Price":"""#, 4)),
        [
            "#0 ticker last=Some(Price(5)) bid=Some((Price(3), Qty(9))) ask=None mark=Some(Price(4.5)) seq=4"
        ]
    );
    // A delta that can't be read is a hole: the whole is fetched anew.
    assert_eq!(
        world.message(0, &delta(r#""bid1Size":5"#, 5)),
        ["#0 resync malformed e1"]
    );
    assert!(world.message(0, &delta(r#""bid1Size":"5""#, 6)).is_empty());
    assert!(world.timeout()[0].contains(r#""unsubscribe","args":["tickers.BTCUSDT"]"#));
}

#[test]
fn a_spot_ticker_has_no_best_bid_and_ask() {
    let mut world = World::spot().subscribed("ticker");
    let text = r#"{"topic":"tickers.BTCUSDT","ts":1673853746003,"type":"snapshot","cs":2588407389,"data":{"symbol":"BTCUSDT","lastPrice":"21109.77","highPrice24h":"21426.99","lowPrice24h":"20575","prevPrice24h":"20704.93","volume24h":"6780.866843","turnover24h":"141946527.22258118","price24hPcnt":"0.0196","usdIndexPrice":"21120.24"}}"#;
    assert_eq!(
        world.message(0, text)[1],
        "#0 ticker last=Some(Price(21109.77)) bid=None ask=None mark=None seq=2588407389"
    );
}

#[test]
fn candles_are_published_and_closed() {
    let mut world = World::linear().subscribed("kline:5m");
    let text = r#"{"topic":"kline.5.BTCUSDT","data":[{"start":1672324800000,"end":1672325099999,"interval":"5","open":"16649.5","close":"16677","high":"16677","low":"16608","volume":"2.081","turnover":"34666.4005","confirm":true,"timestamp":1672324988882}],"ts":1672324988882,"type":"snapshot"}"#;
    assert_eq!(
        world.message(0, text),
        [
            "#0 live synced e1",
            "#0 kline 5m 16649.5 16677 16608 16677 closed=true"
        ]
    );
    let broken = r#"{"topic":"kline.5.BTCUSDT","data":[{"start":1}],"ts":1,"type":"snapshot"}"#;
    assert_eq!(world.message(0, broken), ["#0 resync malformed e1"]);
    assert_eq!(world.message(0, text)[0], "#0 live synced e1");
}

#[test]
fn a_negative_quantity_is_no_trade() {
    let mut world = World::linear().subscribed("trades");
    let text = r#"{"topic":"publicTrade.BTCUSDT","data":[{"T":1,"S":"Buy","v":"-1","p":"1","i":"7","seq":1}]}"#;
    assert_eq!(world.message(0, text), ["#0 resync malformed e1"]);
}

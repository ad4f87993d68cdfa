use super::*;

#[test]
fn addresses_tell_the_market() {
    let table = [
        (
            Venue::Binance,
            "wss://stream.binance.com:9443/stream?streams=a",
            Some(Market::Spot),
        ),
        (
            Venue::Binance,
            "https://www.binance.com/api/v1/depth?symbol=A",
            Some(Market::Spot),
        ),
        (
            Venue::Binance,
            "wss://stream.binance.us:9443/ws",
            Some(Market::Spot),
        ),
        (
            Venue::Binance,
            "wss://fstream.binance.com/public/stream",
            Some(Market::Linear),
        ),
        (
            Venue::Binance,
            "https://fapi.binance.com/fapi/v1/depth",
            Some(Market::Linear),
        ),
        (
            Venue::Binance,
            "wss://dstream.binance.com/stream",
            Some(Market::Inverse),
        ),
        (Venue::Binance, "ws://127.0.0.1:8080/stream", None),
        (
            Venue::Bybit,
            "wss://stream.bybit.com/v5/public/spot",
            Some(Market::Spot),
        ),
        (
            Venue::Bybit,
            "wss://stream.bybit.com/v5/public/linear",
            Some(Market::Linear),
        ),
        (
            Venue::Bybit,
            "https://api.bybit.com/v5/market/instruments-info?&category=linear&limit=1000",
            Some(Market::Linear),
        ),
        (Venue::Bybit, "wss://stream.bybit.com/v5/private", None),
    ];
    for (venue, url, market) in table {
        assert_eq!(market_of_url(venue, url), market, "{url}");
    }
}

#[test]
fn shapes_of_binance_tell_the_market() {
    let table: [(&[u8], _); 7] = [
        (
            br#"{"stream":"a@depth","data":{"e":"depthUpdate","U":1,"u":2}}"#,
            Some(Market::Spot),
        ),
        (
            br#"{"e":"depthUpdate","U":1,"u":2,"pu":0}"#,
            Some(Market::Linear),
        ),
        (
            br#"{"e":"depthUpdate","ps":"BTCUSD","U":1,"u":2,"pu":0}"#,
            Some(Market::Inverse),
        ),
        (
            br#"{"u":1,"s":"A","b":"1","B":"1","a":"2","A":"1"}"#,
            Some(Market::Spot),
        ),
        (br#"{"e":"trade","s":"A","X":"MARKET"}"#, None),
        (br#"{"result":null,"id":1}"#, None),
        (b"pong", None),
    ];
    for (message, market) in table {
        assert_eq!(market_of_message(Venue::Binance, message), market);
        assert_eq!(market_of_message(Venue::Bybit, message), None);
    }
}

#[test]
fn topics_tell_symbol_and_channel() {
    let table = [
        (
            Venue::Binance,
            "btcusdt@depth@100ms",
            Some(("BTCUSDT", "book@100")),
        ),
        (
            Venue::Binance,
            "btcusd_perp@depth",
            Some(("BTCUSD_PERP", "book")),
        ),
        (Venue::Binance, "a@bookTicker", Some(("A", "bbo"))),
        (Venue::Binance, "a@kline_1M", Some(("A", "kline:1M"))),
        (Venue::Binance, "!serverShutdown", None),
        (
            Venue::Bybit,
            "orderbook.200.BTCUSDT",
            Some(("BTCUSDT", "book:200")),
        ),
        (
            Venue::Bybit,
            "orderbook.1.BTCUSDT",
            Some(("BTCUSDT", "bbo")),
        ),
        (
            Venue::Bybit,
            "publicTrade.BTC-PERP",
            Some(("BTC-PERP", "trades")),
        ),
        (Venue::Bybit, "kline.D.A", Some(("A", "kline:1d"))),
        (Venue::Bybit, "allLiquidation.A", None),
    ];
    for (venue, topic, expected) in table {
        let found = stream_of_topic(venue, topic);
        let found = found
            .as_ref()
            .map(|(symbol, channel)| (symbol.as_str(), channel.to_string()));
        assert_eq!(
            found,
            expected.map(|(symbol, text)| (symbol, text.to_owned())),
            "{topic}"
        );
    }
}

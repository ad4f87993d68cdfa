//! Each shape of frame that the simulator sends against the real thing: the set of keys and the
//! JSON type of each value, nested, and for data frames the order of the keys. Real means a
//! recorded line, or where none is recorded a sample of the venue's documentation.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{Pipe, SECOND, fixture_lines};
use serde_json::Value;
use tickwire_sim::{SimVenue, VenueSpec};

/// Keys and types, nested. Lists show the union of their elements' shapes.
fn shape(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "bool".to_owned(),
        Value::Number(n) if n.is_f64() => "float".to_owned(),
        Value::Number(_) => "int".to_owned(),
        Value::String(_) => "string".to_owned(),
        Value::Array(list) => {
            let shapes: BTreeSet<String> = list.iter().map(shape).collect();
            format!("[{}]", shapes.into_iter().collect::<Vec<_>>().join("|"))
        }
        Value::Object(map) => {
            let fields: Vec<String> = map
                .iter()
                .map(|(k, v)| format!("{k}:{}", shape(v)))
                .collect();
            format!("{{{}}}", fields.join(","))
        }
    }
}

/// All keys in the order of the text: quoted words before a colon.
fn key_order(text: &str) -> Vec<String> {
    let mut keys = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find('"') {
        let Some(len) = rest[start + 1..].find('"') else {
            break;
        };
        let word = &rest[start + 1..start + 1 + len];
        rest = &rest[start + len + 2..];
        if rest.starts_with(':') && !keys.contains(&word.to_owned()) {
            keys.push(word.to_owned());
        }
    }
    keys
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// The raw frames of a recording: the text after `"msg":`.
fn frames(lines: &[String]) -> impl Iterator<Item = &str> {
    lines
        .iter()
        .filter(|l| l.contains("\"kind\":\"recv\""))
        .filter_map(|line| {
            let start = line.find("\"msg\":")? + 6;
            line.get(start..line.rfind('}')?)
        })
}

/// One frame of each kind, with both sides of a book filled: kind, then raw text.
fn by_kind<'a>(texts: impl Iterator<Item = &'a str>) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for text in texts {
        let value = parse(text);
        let data = value.get("data").unwrap_or(&value);
        if ["b", "a"]
            .iter()
            .any(|side| data[*side].as_array().is_some_and(Vec::is_empty))
        {
            continue;
        }
        let kind = match (value["topic"].as_str(), data["e"].as_str()) {
            (Some(topic), _) => {
                let name: Vec<&str> = topic.split('.').collect();
                format!("{} {}", name[..name.len() - 1].join("."), value["type"])
            }
            (None, Some(event)) => event.to_owned(),
            (None, None) if data.get("B").is_some() => "bookTicker".to_owned(),
            _ => continue,
        };
        found.entry(kind).or_insert_with(|| text.to_owned());
    }
    found
}

fn same(ours: &str, real: &str) {
    assert_eq!(
        shape(&parse(ours)),
        shape(&parse(real)),
        "\nours {ours}\nreal {real}"
    );
    assert_eq!(
        key_order(ours),
        key_order(real),
        "\nours {ours}\nreal {real}"
    );
}

fn binance(venue: SimVenue, prefixes: &[&str], symbol: &str, fixtures: &[&str]) {
    let spec = VenueSpec::of(venue).instruments(3).rate_msgs_s(200);
    let mut pipe = Pipe::new(&[spec.limits(|l| l.ping_interval_ns = None)]);
    let kinds = [
        "depth@100ms",
        "bookTicker",
        "trade",
        "aggTrade",
        "kline_1m",
        "ticker",
        "markPrice",
    ];
    let names: Vec<String> = kinds
        .iter()
        .map(|kind| format!("{symbol}@{kind}"))
        .collect();
    let mut texts = Vec::new();
    for prefix in prefixes {
        let conn = pipe
            .open(
                venue,
                &format!("{prefix}/stream?streams={}", names.join("/")),
            )
            .unwrap();
        pipe.run(70 * SECOND);
        texts.extend(pipe.raw(conn));
    }
    let ours = by_kind(texts.iter().map(String::as_str));
    let mut compared = BTreeSet::new();
    for name in fixtures {
        let Some(lines) = fixture_lines(name) else {
            return;
        };
        for (kind, real) in by_kind(frames(&lines)) {
            same(&ours[&kind], &real);
            compared.insert(kind);
        }
    }
    let wanted = ["aggTrade", "bookTicker", "depthUpdate", "kline", "trade"];
    assert_eq!(compared.into_iter().collect::<Vec<_>>(), wanted);
}

#[test]
fn binance_spot_frames_are_as_recorded() {
    let files = [
        "binance/cf_spot_20211012_4sym.jsonl.zst",
        "binance/spot_btcusdt_20240808-09.jsonl.zst",
    ];
    binance(SimVenue::BinanceSpot, &[""], "btcusdt", &files);
}

#[test]
fn binance_linear_frames_are_as_recorded() {
    let files = [
        "binance/cf_usdm_20210722_4sym.jsonl.zst",
        "binance/usdm_btcusdt_20240808.jsonl.zst",
    ];
    binance(
        SimVenue::BinanceLinear,
        &["/public", "/market"],
        "btcusdt",
        &files,
    );
}

#[test]
fn binance_inverse_frames_are_as_recorded() {
    let files = [
        "binance/cf_coinm_20210722_10sym.jsonl.zst",
        "binance/coinm_btcusd_perp_20240808-09.jsonl.zst",
    ];
    binance(SimVenue::BinanceInverse, &[""], "btcusd_perp", &files);
}

/// Frames that no recording has: samples of real messages from open-source test suites (the spot
/// and COIN-M tickers, the COIN-M mark price) and of the venue's pages (the rest).
#[test]
fn binance_tickers_are_as_sampled() {
    let cases = [
        (
            SimVenue::BinanceSpot,
            "/ws/btcusdt@ticker",
            r#"{"e":"24hrTicker","E":1653812100450,"s":"ETHBTC","p":"0.00031500","P":"0.515","w":"0.06150587","x":"0.06118800","c":"0.06150300","Q":"0.74000000","b":"0.06150300","B":"18.96220000","a":"0.06150400","A":"10.94010000","o":"0.06118800","h":"0.06221700","l":"0.06079900","v":"116854.45230000","q":"7187.23459814","O":1653725700257,"C":1653812100257,"F":342624389,"L":342741830,"n":117442}"#,
        ),
        (
            SimVenue::BinanceLinear,
            "/market/ws/btcusdt@ticker",
            r#"{"e":"24hrTicker","E":1653814783325,"s":"BTCUSDT_220624","p":"196.5","P":"0.679","w":"29043.7","c":"29122.5","Q":"0.004","o":"28926.0","h":"29335.0","l":"28834.4","v":"1047.859","q":"30433679.16","O":1653728340000,"C":1653814783320,"F":2872692,"L":2893528,"n":20837}"#,
        ),
        (
            SimVenue::BinanceInverse,
            "/ws/btcusd_perp@ticker",
            r#"{"e":"24hrTicker","E":1653814800360,"s":"APEUSD_PERP","ps":"APEUSD","p":"-0.0510","P":"-0.827","w":"6.20092494","c":"6.1180","Q":"200","o":"6.1690","h":"6.3870","l":"5.9620","v":"859567","q":"1386191.58913317","O":1653728400000,"C":1653814800354,"F":4337375,"L":4357994,"n":20620}"#,
        ),
        (
            SimVenue::BinanceInverse,
            "/ws/btcusd_perp@markPrice",
            r#"{"e":"markPriceUpdate","E":1617309477000,"s":"BTCUSD_PERP","p":"59012.56007222","P":"58896.00503145","r":"0.00073689","T":1617321600000}"#,
        ),
        (
            SimVenue::BinanceLinear,
            "/market/ws/btcusdt@markPrice@1s",
            r#"{"e":"markPriceUpdate","E":1562305380000,"s":"BTCUSDT","p":"11794.15000000","ap":"11794.15000000","i":"11784.62659091","P":"11784.25641265","r":"0.00038167","T":1562306400000}"#,
        ),
        (
            SimVenue::BinanceSpot,
            "/ws/btcusdt@depth5@100ms",
            r#"{"lastUpdateId":160,"bids":[["0.0024","10"]],"asks":[["0.0026","100"]]}"#,
        ),
        (
            SimVenue::BinanceSpot,
            "/ws/btcusdt@miniTicker",
            r#"{"e":"24hrMiniTicker","E":1672515782136,"s":"BNBBTC","c":"0.0025","o":"0.0010","h":"0.0025","l":"0.0010","v":"10000","q":"18"}"#,
        ),
    ];
    for (venue, path, real) in cases {
        let mut pipe = Pipe::new(&[VenueSpec::of(venue).instruments(1)]);
        let conn = pipe.open(venue, path).unwrap();
        pipe.run(4 * SECOND);
        same(&pipe.raw(conn)[0], real);
    }
}

#[test]
fn bybit_frames_are_as_recorded() {
    let mut compared = BTreeSet::new();
    for (venue, conn_name) in [
        (SimVenue::BybitLinear, "BYBIT.ws.2"),
        (SimVenue::BybitSpot, "BYBIT.ws.3"),
    ] {
        let Some(lines) = fixture_lines("bybit/v5_linear_spot_20260809_btc_sol.jsonl.zst") else {
            return;
        };
        let lines: Vec<String> = lines
            .into_iter()
            .filter(|l| l.contains(conn_name))
            .collect();
        let mut pipe = Pipe::new(&[VenueSpec::of(venue).instruments(3).rate_msgs_s(200)]);
        let path = if venue.is_spot() {
            "/v5/public/spot"
        } else {
            "/v5/public/linear"
        };
        let conn = pipe.open(venue, path).unwrap();
        let args = [
            "orderbook.200",
            "publicTrade",
            "tickers",
            "kline.1",
            "orderbook.1",
        ]
        .map(|topic| format!("\"{topic}.BTCUSDT\""));
        let text = format!(r#"{{"op":"subscribe","args":[{}]}}"#, args.join(","));
        pipe.send(venue, conn, &text);
        pipe.run(20 * SECOND);
        let texts = pipe.raw(conn);
        let ours = by_kind(texts.iter().map(String::as_str));
        for (kind, real) in by_kind(frames(&lines)) {
            if kind == "tickers \"delta\"" {
                // A delta has the fields that changed: ours must be among the recorded ones.
                let fields = |text: &str| {
                    let value = parse(text);
                    value["data"]
                        .as_object()
                        .unwrap()
                        .keys()
                        .cloned()
                        .collect::<BTreeSet<_>>()
                };
                let all: BTreeSet<String> = frames(&lines)
                    .filter(|t| t.contains("\"tickers."))
                    .flat_map(fields)
                    .collect();
                let of_ours = texts.iter().filter(|t| t.contains("\"tickers."));
                assert!(
                    of_ours
                        .flat_map(|t| fields(t))
                        .all(|field| all.contains(&field))
                );
                let outer = |text: &str| {
                    let mut value = parse(text);
                    value["data"] = Value::Null;
                    shape(&value)
                };
                assert_eq!(outer(&ours[&kind]), outer(&real));
            } else {
                same(&ours[&kind], &real);
            }
            compared.insert(kind);
        }
        // Acks are in the recording too.
        let ack = |text: &&str| text.contains("\"op\":\"subscribe\"");
        let real = frames(&lines).find(ack).unwrap();
        same(texts.iter().map(String::as_str).find(ack).unwrap(), real);
    }
    assert_eq!(compared.len(), 6, "{compared:?}");
    let Some(lines) = fixture_lines("bybit/v5_linear_orderbook1_20250613.jsonl.zst") else {
        return;
    };
    let real = by_kind(frames(&lines))
        .remove("orderbook.1 \"snapshot\"")
        .unwrap();
    let mut pipe = Pipe::new(&[VenueSpec::bybit_linear().instruments(1)]);
    let conn = pipe
        .open(SimVenue::BybitLinear, "/v5/public/linear")
        .unwrap();
    let text = r#"{"op":"subscribe","args":["orderbook.1.BTCUSDT"]}"#;
    pipe.send(SimVenue::BybitLinear, conn, text);
    same(
        pipe.raw(conn)
            .iter()
            .find(|t| t.contains("orderbook"))
            .unwrap(),
        &real,
    );
}

/// The recorded REST answer whose url holds `part`.
fn recorded(name: &str, part: &str) -> Option<Value> {
    let lines = fixture_lines(name)?;
    let line = lines
        .iter()
        .find(|l| l.contains("\"kind\":\"http\"") && l.contains(part))?;
    Some(parse(line)["msg"].take())
}

/// Shapes of the listed instruments' filters, by their type.
fn filters(symbols: &Value) -> BTreeMap<String, String> {
    let symbols = symbols.as_array().unwrap();
    let all = symbols
        .iter()
        .flat_map(|s| s["filters"].as_array().unwrap());
    all.map(|f| (f["filterType"].as_str().unwrap().to_owned(), shape(f)))
        .collect()
}

#[test]
fn rest_answers_are_as_recorded() {
    let cases = [
        (
            SimVenue::BinanceSpot,
            "/api/v3",
            "BTCUSDT",
            "binance/cf_spot_20211012_4sym.jsonl.zst",
        ),
        (
            SimVenue::BinanceLinear,
            "/fapi/v1",
            "BTCUSDT",
            "binance/cf_usdm_20210722_4sym.jsonl.zst",
        ),
        (
            SimVenue::BinanceInverse,
            "/dapi/v1",
            "BTCUSD_PERP",
            "binance/cf_coinm_20210722_10sym.jsonl.zst",
        ),
    ];
    for (venue, base, symbol, file) in cases {
        let mut pipe = Pipe::new(&[VenueSpec::of(venue).instruments(3)]);
        let Some(real) = recorded(file, "/depth?") else {
            return;
        };
        let ours = pipe.get_json(venue, &format!("{base}/depth?symbol={symbol}&limit=1000"));
        assert_eq!(shape(&ours), shape(&real));
        let mut real = recorded(file, "/exchangeInfo").unwrap();
        let mut ours = pipe.get_json(venue, &format!("{base}/exchangeInfo"));
        let (mut ours_list, real_list) = (ours["symbols"].take(), real["symbols"].take());
        assert_eq!(shape(&ours), shape(&real));
        let kinds = filters(&real_list);
        for (kind, shape) in filters(&ours_list) {
            // Came after the recording; filters.md (2026-07).
            let notional = "{applyMaxToMarket:bool,applyMinToMarket:bool,avgPriceMins:int,\
                            filterType:string,maxNotional:string,minNotional:string}";
            let real = kinds.get(&kind).map_or(notional, String::as_str);
            assert_eq!(shape, real, "{venue} {kind}");
        }
        let one = &mut ours_list[0];
        let mut real = real_list[0].clone();
        one["filters"].take();
        real["filters"].take();
        assert_eq!(shape(one), shape(&real), "{venue}");
    }
    let file = "bybit/v5_linear_spot_20260809_btc_sol.jsonl.zst";
    for (venue, category) in [
        (SimVenue::BybitLinear, "linear"),
        (SimVenue::BybitSpot, "spot"),
    ] {
        let mut pipe = Pipe::new(&[VenueSpec::of(venue).instruments(3)]);
        let mut real = recorded(file, &format!("category={category}")).unwrap();
        let list = real["result"]["list"].as_array_mut().unwrap();
        list.retain(|one| one["symbol"] == "BTCUSDT");
        let target = format!("/v5/market/instruments-info?category={category}");
        assert_eq!(shape(&pipe.get_json(venue, &target)), shape(&real));
    }
}

/// The newest trade and the day's statistics, after answers that another project has recorded (its
/// copies have lost the order of the keys).
#[test]
fn rest_statistics_are_as_recorded() {
    let Some(lines) = fixture_lines("binance/gct_http_mock.jsonl.zst") else {
        return;
    };
    let cases = [
        (SimVenue::BinanceSpot, "/api/v3/ticker/24hr", "BTCUSDT"),
        (SimVenue::BinanceLinear, "/fapi/v1/ticker/24hr", ""),
        (
            SimVenue::BinanceInverse,
            "/dapi/v1/ticker/24hr",
            "BTCUSD_PERP",
        ),
        (SimVenue::BinanceSpot, "/api/v3/aggTrades", "BTCUSDT"),
        (SimVenue::BinanceLinear, "/fapi/v1/aggTrades", "BTCUSDT"),
    ];
    for (venue, path, symbol) in cases {
        let mut pipe = Pipe::new(&[VenueSpec::of(venue).instruments(1).rate_msgs_s(500)]);
        pipe.run(5_000_000_000);
        let is_it = |line: &&String| {
            line.contains(&format!("\"{path}\"")) && line.contains(&format!("symbol={symbol}"))
                || symbol.is_empty() && line.contains(&format!("\"{path}\""))
        };
        let real = parse(lines.iter().find(is_it).unwrap());
        let target = match symbol {
            "" => path.to_owned(),
            symbol => format!("{path}?symbol={symbol}"),
        };
        let (real, ours) = (&real["data"], pipe.get_json(venue, &target));
        assert_eq!(shape(&ours), shape(real), "{target}");
    }
}

/// Answers that are only in the documentation.
#[test]
fn rest_answers_are_as_documented() {
    let cases = [
        (
            SimVenue::BinanceSpot,
            "/api/v3/time",
            r#"{"serverTime":1499827319559}"#,
        ),
        (
            SimVenue::BinanceSpot,
            "/api/v3/ticker/bookTicker?symbol=BTCUSDT",
            r#"{"symbol":"LTCBTC","bidPrice":"4.00000000","bidQty":"431.00000000","askPrice":"4.00000200","askQty":"9.00000000"}"#,
        ),
        (
            SimVenue::BinanceInverse,
            "/dapi/v1/ticker/bookTicker",
            r#"[{"lastUpdateId":1027024,"symbol":"BTCUSD_200626","pair":"BTCUSD","bidPrice":"9650.1","bidQty":"16","askPrice":"9650.3","askQty":"7","time":1591257300345}]"#,
        ),
        (
            SimVenue::BybitLinear,
            "/v5/market/time",
            r#"{"retCode":0,"retMsg":"OK","result":{"timeSecond":"1688639403","timeNano":"1688639403423213947"},"retExtInfo":{},"time":1688639403423}"#,
        ),
        (
            SimVenue::BybitLinear,
            "/v5/market/orderbook?category=linear&symbol=BTCUSDT",
            r#"{"retCode":0,"retMsg":"OK","result":{"s":"BTCUSDT","b":[["65485.47","47.081829"]],"a":[["65557.7","16.606555"]],"ts":1716863719031,"u":230704,"seq":1432604333,"cts":1716863718905},"retExtInfo":{},"time":1716863719382}"#,
        ),
        (
            SimVenue::BybitLinear,
            "/v5/market/tickers?category=linear&symbol=BTCUSDT",
            r#"{"retCode":0,"retMsg":"OK","result":{"category":"inverse","list":[{"symbol":"BTCUSD","lastPrice":"16597.00","indexPrice":"16598.54","markPrice":"16596.00","prevPrice24h":"16464.50","price24hPcnt":"0.008047","highPrice24h":"30912.50","lowPrice24h":"15700.00","prevPrice1h":"16595.50","openInterest":"373504107","openInterestValue":"22505.67","turnover24h":"2352.94950046","volume24h":"49337318","fundingRate":"-0.001034","nextFundingTime":"1672387200000","predictedDeliveryPrice":"","basisRate":"","deliveryFeeRate":"","deliveryTime":"0","ask1Size":"1","bid1Price":"16596.00","ask1Price":"16597.50","bid1Size":"1","basis":""}]},"retExtInfo":{},"time":1672376496682}"#,
        ),
    ];
    for (venue, target, real) in cases {
        let mut pipe = Pipe::new(&[VenueSpec::of(venue).instruments(2)]);
        let response = pipe.get(venue, target);
        same(std::str::from_utf8(&response.body).unwrap(), real);
    }
}

/// As in the docs' examples (market/recent-trade, market/kline, 2026-07-24).
#[test]
fn bybit_newest_trade_and_candle_are_as_documented() {
    let cases = [
        (
            "/v5/market/recent-trade?category=spot&symbol=BTCUSDT&limit=1",
            r#"{"retCode":0,"retMsg":"OK","result":{"category":"spot","list":[{"execId":"2100000000007764263","symbol":"BTCUSDT","price":"16618.49","size":"0.00012","side":"Buy","time":"1672052955758","isBlockTrade":false}]},"retExtInfo":{},"time":1672053054358}"#,
        ),
        (
            "/v5/market/kline?category=spot&symbol=BTCUSDT&interval=1&limit=1",
            r#"{"retCode":0,"retMsg":"OK","result":{"symbol":"BTCUSD","category":"inverse","list":[["1670608800000","17071","17073","17027","17055.5","268611","15.74462667"]]},"retExtInfo":{},"time":1672025956592}"#,
        ),
    ];
    for (target, real) in cases {
        let mut pipe = Pipe::new(&[VenueSpec::bybit_spot().instruments(1)]);
        pipe.run(5 * SECOND);
        let response = pipe.get(SimVenue::BybitSpot, target);
        same(std::str::from_utf8(&response.body).unwrap(), real);
    }
}

/// Control frames are only in the documentation and in probes.
#[test]
fn bybit_control_frames_are_as_documented() {
    let cases = [
        (
            SimVenue::BybitSpot,
            r#"{"op":"ping"}"#,
            r#"{"success":true,"ret_msg":"pong","conn_id":"0970e817-","op":"ping"}"#,
        ),
        (
            SimVenue::BybitLinear,
            r#"{"op":"ping"}"#,
            r#"{"success":true,"ret_msg":"pong","conn_id":"465772b1-","req_id":"","op":"ping"}"#,
        ),
        (
            SimVenue::BybitSpot,
            r#"{"req_id":"10001","op":"subscribe","args":["tickers.BTCUSDT"]}"#,
            r#"{"success":true,"ret_msg":"subscribe","conn_id":"2324d924-","req_id":"10001","op":"subscribe"}"#,
        ),
        (
            SimVenue::BybitLinear,
            r#"{"req_id":"e1","op":"subscribe","args":["orderbook.50.NOPEUSDT"]}"#,
            r#"{"success":false,"ret_msg":"error:handler not found,topic:orderbook.50.NOPEUSDT","conn_id":"x","req_id":"e1","op":"subscribe"}"#,
        ),
    ];
    for (venue, text, real) in cases {
        let mut pipe = Pipe::new(&[VenueSpec::of(venue).instruments(1)]);
        let path = if venue.is_spot() {
            "/v5/public/spot"
        } else {
            "/v5/public/linear"
        };
        let conn = pipe.open(venue, path).unwrap();
        pipe.send(venue, conn, text);
        let answer = pipe
            .raw(conn)
            .into_iter()
            .find(|t| t.contains("\"op\""))
            .unwrap();
        same(&answer, real);
    }
}

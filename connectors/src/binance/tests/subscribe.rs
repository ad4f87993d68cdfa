use super::*;
use crate::channel::{BookParams, Interval};
use crate::transmit::SendLimit;

const TICK: &str = r#"{"stream":"btcusdt@bookTicker","data":{"u":7,"s":"BTCUSDT","b":"99","B":"1","a":"101","A":"2"}}"#;
const RAW_TICK: &str = r#"{"u":8,"s":"BTCUSDT","b":"99","B":"1","a":"101","A":"2"}"#;
const TRADE: &str =
    r#"{"e":"trade","E":5,"s":"BTCUSDT","t":12345,"p":"0.001","q":"100","T":4,"m":true,"M":true}"#;

#[test]
fn a_subscription_while_disconnected_is_sent_when_the_link_is_up() {
    let mut world = World::spot();
    assert_eq!(
        world.subscribe(0, "BTC/USDT", Channel::Bbo),
        ["#0 instrument BTCUSDT 8 8"]
    );
    let [
        Transmit::Open {
            link: LinkId(0),
            spec,
        },
    ] = &world.control[..]
    else {
        panic!("{:?}", world.control);
    };
    assert_eq!(
        (&*spec.endpoint.host, &*spec.path),
        ("stream.binance.com", "/stream")
    );
    let window_ns = Nanos::from_secs(1);
    assert_eq!(
        spec.send_limit,
        Some(SendLimit {
            messages: 4,
            window_ns
        })
    );
    assert!(world.texts().is_empty());
    world.up(0, 1);
    let text = r#"{"method":"SUBSCRIBE","params":["btcusdt@bookTicker"],"id":1}"#;
    assert_eq!(world.texts(), [(0, text.to_owned())]);
    // Data may come before the ack, and the ack may come late.
    let events = world.frame(TICK);
    assert_eq!(
        events,
        ["#0 live synced epoch 1", "#0 bbo 99x1 101x2 seq 7"]
    );
    assert_eq!(world.frame(r#"{"result":null,"id":1}"#), [""; 0]);
    assert_eq!(world.down(0), ["#0 stale link_down epoch 1"]);
    world.up(0, 2);
    assert_eq!(world.texts().len(), 1, "asked for again");
    let events = world.frame(TICK);
    assert_eq!(
        events,
        ["#0 live synced epoch 2", "#0 bbo 99x1 101x2 seq 7"]
    );
}

#[test]
fn the_last_stream_of_a_link_takes_the_link_along() {
    let mut world = World::spot();
    world.subscribe(0, "BTCUSDT", Channel::Bbo);
    world.subscribe(1, "BTCUSDT", Channel::Trades);
    world.up(0, 1);
    world.frame(r#"{"result":null,"id":1}"#);
    world.texts();
    world.control.clear();
    assert_eq!(
        world.command(Command::Unsubscribe { stream: stream(0) }),
        ["#0 closed unsubscribed epoch 1"]
    );
    let text = r#"{"method":"UNSUBSCRIBE","params":["btcusdt@bookTicker"],"id":2}"#;
    assert_eq!(world.texts(), [(0, text.to_owned())]);
    world.frame(TICK);
    assert_eq!(world.binance.counters().unrouted, 1);
    world.subscribe(2, "BTCUSDT", Channel::Bbo);
    world.frame(r#"{"id":2,"result":null}"#);
    assert_eq!(
        world.texts().len(),
        1,
        "the new stream waits for the old one's leave"
    );
    assert_eq!(world.frame(TICK)[1], "#2 bbo 99x1 101x2 seq 7");
    world.command(Command::Unsubscribe { stream: stream(1) });
    assert!(world.control.is_empty());
    world.command(Command::Unsubscribe { stream: stream(2) });
    assert_eq!(world.control, [Transmit::Close { link: LinkId(0) }]);
    // The number is free once the engine has let the link go.
    world.subscribe(3, "BTCUSDT", Channel::Bbo);
    assert!(matches!(
        world.control[1],
        Transmit::Open {
            link: LinkId(1),
            ..
        }
    ));
    world.down(0);
    assert_eq!(world.binance.links.len(), 1);
}

#[test]
fn both_names_of_an_instrument_share_a_topic() {
    let mut world = World::spot();
    world.subscribe(0, "BTC/USDT", Channel::Bbo);
    world.subscribe(1, "BTCUSDT", Channel::Bbo);
    world.up(0, 1);
    assert_eq!(world.texts().len(), 1);
    assert_eq!(world.frame(TICK).len(), 4);
    world.command(Command::Unsubscribe { stream: stream(0) });
    assert!(world.texts().is_empty(), "the other still wants it");
    assert_eq!(world.frame(TICK), ["#1 bbo 99x1 101x2 seq 7"]);
}

#[test]
fn requests_and_links_are_split() {
    let mut world = World::spot();
    for index in 0..450 {
        world.subscribe(index, &format!("COIN{index}USDT"), Channel::Trades);
    }
    assert_eq!(world.control.len(), 3);
    for link in 0..3 {
        world.up(link, 1);
    }
    let texts = world.texts();
    let count = |link: u16| {
        let of_link = texts.iter().filter(|(of, _)| *of == link);
        of_link
            .map(|(_, text)| text.matches('@').count())
            .sum::<usize>()
    };
    assert_eq!([count(0), count(1), count(2)], [200, 200, 50]);
    assert!(texts.iter().all(|(_, text)| text.len() < 4_096));
}

#[test]
fn usd_m_topics_go_to_their_route() {
    let mut world = World::new(plain(BinanceConfig::linear()));
    for (index, channel) in [
        Channel::Bbo,
        Channel::AggTrades,
        Channel::BOOK,
        Channel::Kline(Interval::Min1),
    ]
    .into_iter()
    .enumerate()
    {
        world.subscribe(index as u32, "BTC/USDT:USDT", channel);
    }
    let paths: Vec<_> = world
        .control
        .iter()
        .map(|transmit| match transmit {
            Transmit::Open { link, spec } => (link.0, spec.path.as_str()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(paths, [(0, "/public/stream"), (1, "/market/stream")]);
    world.up(0, 1);
    world.up(1, 1);
    let topics: Vec<_> = world
        .texts()
        .into_iter()
        .map(|(link, text)| (link, text.matches('@').count()))
        .collect();
    assert_eq!(topics, [(0, 3), (1, 2)], "depth@100ms has two of them");
}

#[test]
fn a_refused_request_finds_the_topic_at_fault() {
    for error in [
        r#"{"code":2,"msg":"Invalid request","id":ID}"#,
        r#"{"error":{"code":2,"msg":"Invalid request"},"id":ID}"#,
        r#"{"error":{"code":2,"msg":"Invalid request"}}"#,
    ] {
        let mut world = World::spot();
        world.subscribe(0, "BTCUSDT", Channel::Bbo);
        world.subscribe(1, "BADUSDT", Channel::Bbo);
        world.up(0, 1);
        assert_eq!(world.frame(&error.replace("ID", "1")), [""; 0]);
        world.frame(r#"{"result":null,"id":2}"#);
        let events = world.frame(&error.replace("ID", "3"));
        assert_eq!(
            events,
            ["#1 notice BadRequest", "#1 refused refused epoch 1"]
        );
        assert_eq!(world.frame(TICK)[0], "#0 live synced epoch 1");
        assert_eq!(world.binance.counters().refused, 1);
    }
}

#[test]
fn links_are_as_small_and_as_impatient_as_configured() {
    let mut world = World::new(BinanceConfig {
        link_topics_max: 2,
        silence_max_ns: Nanos::from_secs(3),
        ..plain(BinanceConfig::spot())
    });
    for (id, symbol) in ["BTCUSDT", "ETHUSDT", "SOLUSDT"].iter().enumerate() {
        world.subscribe(id as u32, symbol, Channel::Bbo);
    }
    let opened = world.control.iter().map(|transmit| match transmit {
        Transmit::Open { link, spec } => (link.0, spec.silence_max_ns),
        other => panic!("{other:?}"),
    });
    let silence = Some(Nanos::from_secs(3));
    assert_eq!(opened.collect::<Vec<_>>(), [(0, silence), (1, silence)]);
}

#[test]
fn a_link_that_never_acks_is_made_anew() {
    let mut world = World::spot();
    world.subscribe(0, "BTCUSDT", Channel::Bbo);
    world.up(0, 1);
    world.control.clear();
    world.pass(Nanos::from_secs(30));
    assert_eq!(world.texts().len(), 7, "asked again every five seconds");
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
}

#[test]
fn frames_are_routed_in_every_shape() {
    let data = &TICK[TICK.find("\"data\":").expect("data") + 7..TICK.len() - 1];
    let swapped = format!(r#"{{"data":{data},"stream":"btcusdt@bookTicker"}}"#);
    let spaced = format!("{{ \"stream\" : \"btcusdt@bookTicker\" ,\n\"data\":\t{data} }}");
    let more = format!(r#"{{"v":[1,{{}}],"stream":"btcusdt@bookTicker","data":{data},"x":null}}"#);
    let escaped = TICK.replace("\"b\"", "\"\\u0062\"");
    let escaped_topic = TICK.replace("@", "\\u0040");
    let turned = r#"{"A":"2","a":"101","B":"1","b":"99","s":"BTCUSDT","u":7}"#;
    for frame in [
        TICK,
        RAW_TICK,
        &swapped,
        &spaced,
        &more,
        &escaped,
        &escaped_topic,
        turned,
    ] {
        let mut world = World::spot();
        world.subscribe(0, "BTCUSDT", Channel::Bbo);
        world.up(0, 1);
        let events = world.frame(frame);
        assert_eq!(events.len(), 2, "{frame} {:?}", world.binance.counters());
        assert!(events[1].starts_with("#0 bbo 99x1 101x2"), "{frame}");
    }
    for frame in [
        r#"{"stream":"x","stream":"btcusdt@bookTicker","data":{}}"#,
        "[]",
        "",
        "null",
        "{}x",
    ] {
        let mut world = World::spot();
        world.subscribe(0, "BTCUSDT", Channel::Bbo);
        world.frame(frame);
        assert_eq!(world.binance.counters().malformed, 1, "{frame}");
    }
}

#[test]
fn other_depth_speeds_reach_the_book_of_the_symbol() {
    for name in ["btcusdt@depth", "btcusdt@depth@0ms"] {
        let mut world = World::spot();
        world.subscribe(0, "BTCUSDT", Channel::BOOK);
        world.up(0, 1);
        world.frame(&delta(5, 5, "", "").replace("btcusdt@depth@100ms", name));
        assert_eq!(world.http.len(), 1, "{name}");
        world.frame(&delta(6, 6, "", "").replace("btcusdt@depth@100ms", "btcusdt@depth20"));
        assert_eq!(world.binance.counters().unrouted, 1);
    }
}

#[test]
fn late_frames_of_a_stream_that_was_let_go_are_not_for_its_neighbour_of_another_speed() {
    let mut world = World::spot();
    world.subscribe(0, "BTCUSDT", Channel::BOOK);
    world.subscribe(
        1,
        "BTCUSDT",
        Channel::Book(BookParams {
            interval_ms: Some(1_000),
            levels: None,
        }),
    );
    world.up(0, 1);
    world.command(Command::Unsubscribe { stream: stream(0) });
    assert!(world.frame(&delta(5, 5, "", "")).is_empty());
    assert_eq!(
        (world.http.len(), world.binance.counters().unrouted),
        (0, 1)
    );
    world.frame(&delta(5, 9, "", "").replace("@depth@100ms", "@depth"));
    assert_eq!(world.http.len(), 1, "its own frames start its book");
    // Asked for again, its frames are its own again.
    world.subscribe(2, "BTCUSDT", Channel::BOOK);
    world.frame(&delta(10, 10, "", ""));
    assert_eq!(
        (world.http.len(), world.binance.counters().unrouted),
        (2, 1)
    );
}

#[test]
fn trades_say_who_took() {
    let mut world = World::spot();
    world.subscribe(0, "BTCUSDT", Channel::Trades);
    world.subscribe(1, "BTCUSDT", Channel::AggTrades);
    world.up(0, 1);
    assert_eq!(world.frame(TRADE)[1], "#0 trade 0.001 x 100 sell id 12345");
    let agg = TRADE
        .replace("\"trade\"", "\"aggTrade\"")
        .replace("\"t\"", "\"a\"")
        .replace("true", "false");
    assert_eq!(world.frame(&agg)[1], "#1 trade 0.001 x 100 buy id 12345");
    let wide = TRADE.replace("0.001", "0.0000000001");
    assert_eq!(
        world.frame(&wide),
        [
            "#0 instrument BTCUSDT 10 8",
            "#0 trade 0.0000000001 x 100 sell id 12345"
        ]
    );
    let nothing = TRADE.replace("\"100\"", "\"0\"");
    assert_eq!(world.frame(&nothing), [""; 0]);
}

#[test]
fn an_older_best_bid_is_ignored() {
    let mut world = World::spot();
    world.subscribe(0, "BTCUSDT", Channel::Bbo);
    world.up(0, 1);
    world.frame(RAW_TICK);
    assert_eq!(world.frame(TICK), [""; 0]);
    assert_eq!(world.binance.counters().stale, 1);
    assert_eq!(world.frame(RAW_TICK).len(), 1);
    let events = world.command(Command::Republish { stream: stream(0) });
    assert_eq!(events, ["#0 bbo 99x1 101x2 seq 8"]);
}

#[test]
fn candles_and_tickers_are_wide() {
    let mut world = World::spot();
    world.subscribe(0, "BNBBTC", Channel::Kline(Interval::Min1));
    world.subscribe(1, "BNBBTC", Channel::Ticker);
    world.up(0, 1);
    let kline = r#"{"e":"kline","E":5,"s":"BNBBTC","k":{"t":1,"T":2,"s":"BNBBTC","i":"1m","f":100,"L":200,"o":"0.0010","c":"0.0020","h":"0.0025","l":"0.0015","v":"1000","n":100,"x":false,"q":"1.0000","V":"500","Q":"0.500","B":"123456"}}"#;
    assert_eq!(
        world.frame(kline),
        ["#0 live synced epoch 1", "#0 kline 0.0020 closed false"]
    );
    let other = kline.replace("1m", "5m");
    assert_eq!(world.frame(&other), [""; 0]);
    let ticker = r#"{"stream":"bnbbtc@ticker","data":{"e":"24hrTicker","E":5,"s":"BNBBTC","p":"1","P":"1","w":"1","x":"1","c":"0.0025","Q":"10","b":"0.0024","B":"10","a":"0.0026","A":"100","o":"0.0010","h":"0.0025","l":"0.0010","v":"10000","q":"18","O":0,"C":5,"F":0,"L":18150,"n":18151}}"#;
    assert_eq!(
        world.frame(ticker),
        ["#1 live synced epoch 1", "#1 ticker Some(Price(0.0025))"]
    );
    assert_eq!(
        world.frame(&ticker.replace("\"v\":\"10000\"", "\"v\":10000")),
        ["#1 resync malformed epoch 1"]
    );
    assert_eq!(world.binance.counters().malformed, 1);
}

#[test]
fn what_the_venue_does_not_offer_is_refused_in_words() {
    let book = |levels, interval_ms| {
        Channel::Book(BookParams {
            levels,
            interval_ms,
        })
    };
    for (name, channel, kind) in [
        ("BTCUSDT", book(Some(20), None), "NotSupported"),
        ("BTCUSDT", book(None, Some(250)), "NotSupported"),
        ("BTC/USDT:USDT", Channel::Bbo, "BadSymbol"),
        ("BTC\"USDT", Channel::Bbo, "BadSymbol"),
        ("", Channel::Bbo, "BadSymbol"),
    ] {
        let mut world = World::spot();
        let events = world.subscribe(0, name, channel);
        assert_eq!(
            events,
            [
                format!("#0 notice {kind}"),
                "#0 refused refused epoch 0".to_owned()
            ]
        );
        assert!(world.control.is_empty());
        assert_eq!(
            world.command(Command::Unsubscribe { stream: stream(0) }),
            [""; 0],
            "nothing follows a refusal"
        );
    }
    for market in [
        crate::instrument::Market::Option,
        crate::instrument::Market::Prediction,
    ] {
        let config = BinanceConfig {
            market,
            ..BinanceConfig::spot()
        };
        assert!(Binance::new(config, 0).is_err());
    }
}

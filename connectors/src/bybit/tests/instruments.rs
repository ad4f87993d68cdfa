//! Instrument data: questions, answers, limits.

use super::*;

const SPOT: &str = r#"{"retCode":0,"retMsg":"OK","result":{"category":"spot","list":[{"symbol":"BTCUSDT","baseCoin":"BTC","quoteCoin":"USDT","innovation":"0","status":"Trading","lotSizeFilter":{"basePrecision":"0.000001","quotePrecision":"0.0000001","minOrderQty":"0.000001","maxOrderQty":"230","minOrderAmt":"5"},"priceFilter":{"tickSize":"0.1"}}]},"retExtInfo":{},"time":1}"#;
const NONE: &str = r#"{"retCode":0,"retMsg":"OK","result":{"list":[]},"time":1}"#;

impl World {
    fn fetching(config: BybitConfig) -> World {
        assert_eq!(config.instruments, FetchInstruments::Yes);
        World::new(BybitConfig {
            instruments: FetchInstruments::Yes,
            ..plain(config)
        })
    }

    /// As the helper thread would.
    fn read(&mut self, request: u32, body: &str) -> Vec<String> {
        let mut body = body.as_bytes().to_vec();
        let result = (self.venue.instrument_reader())(self.venue.market(), &mut body);
        self.input(|bybit, now, out| bybit.handle_instruments(now, RequestId(request), result, out))
    }

    fn respond(
        &mut self,
        request: u32,
        status: u16,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Vec<String> {
        let mut body = body.as_bytes().to_vec();
        let headers: Vec<(String, String)> = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let response = Response {
            status,
            headers: &headers,
            body: &mut body,
        };
        self.input(|bybit, now, out| {
            bybit.handle_response(now, RequestId(request), Ok(response), out);
        })
    }
}

#[test]
fn a_stream_starts_when_its_instrument_is_known() {
    let mut world = World::fetching(BybitConfig::spot());
    assert_eq!(
        world.subscribe(0, "BTC/USDT", "book"),
        ["http 0 /v5/market/instruments-info?category=spot&symbol=BTCUSDT"]
    );
    assert!(
        world.subscribe(1, "BTCUSDT", "trades").is_empty(),
        "asked for already"
    );
    assert_eq!(
        world.read(0, SPOT),
        [
            "#0 instrument BTC/USDT BTCUSDT 1/6",
            "#1 instrument BTC/USDT BTCUSDT 1/6",
            "open 0 wss://stream.bybit.com/v5/public/spot"
        ]
    );
    // The next one needs no question.
    assert_eq!(
        world.subscribe(2, "BTC/USDT", "bbo"),
        ["#2 instrument BTC/USDT BTCUSDT 1/6"]
    );
    assert_eq!(world.venue.counters().requests, 1);
}

#[test]
fn a_symbol_that_the_venue_does_not_know_is_refused() {
    let mut world = World::fetching(BybitConfig::spot());
    world.subscribe(0, "NOPEUSDT", "book");
    assert_eq!(
        world.read(0, NONE),
        [
            "#0 notice BadSymbol: Bybit does not know the symbol",
            "#0 refused refused e0"
        ]
    );
    world.subscribe(1, "NOPEUSDT", "book");
    let lines = world.read(
        1,
        r#"{"retCode":10001,"retMsg":"params error: symbol invalid","result":{}}"#,
    );
    assert!(lines[0].contains("symbol invalid"));
    assert_eq!(lines[1], "#1 refused refused e0");
}

#[test]
fn defaults_have_to_do_when_no_answer_comes_in_time() {
    let mut world = World::fetching(BybitConfig::spot());
    world.subscribe(0, "BTC/USDT", "book");
    let before = world.now;
    assert_eq!(
        world.timeout(),
        [
            "#0 instrument BTC/USDT BTCUSDT 10/6",
            "open 0 wss://stream.bybit.com/v5/public/spot"
        ]
    );
    assert_eq!(world.now.since(before), Nanos::from_secs(3));
    // It comes after all: the steps are known, the scales of the book stay.
    assert_eq!(world.read(0, SPOT), ["#0 instrument BTC/USDT BTCUSDT 10/6"]);
}

#[test]
fn many_symbols_are_asked_for_as_a_list_and_the_rest_one_by_one() {
    let mut world = World::fetching(BybitConfig::spot());
    for stream in 0..20 {
        world.subscribe(stream, &format!("C{stream}USDT"), "bbo");
    }
    let lines = world.subscribe(20, "BTCUSDT", "bbo");
    assert!(lines.is_empty(), "{lines:?}");
    // 8 single ones went; with one of them answered there is room for the list.
    let lines = world.read(0, NONE);
    assert_eq!(
        lines[2],
        "http 8 /v5/market/instruments-info?category=spot&limit=1000"
    );
    assert_eq!(lines.len(), 3);
    let lines = world.read(8, SPOT);
    assert_eq!(lines[0], "#20 instrument BTC/USDT BTCUSDT 1/6");
    assert!(lines[2].ends_with("symbol=C8USDT"), "{lines:?}");
}

#[test]
fn a_403_stops_the_questions_for_more_than_10_minutes() {
    let mut world = World::fetching(BybitConfig::linear());
    world.subscribe(0, "BTCUSDT", "trades");
    let lines = world.respond(0, 403, &[], "access too frequent");
    assert_eq!(
        lines[0], "#0 instrument BTC/USDT:USDT BTCUSDT 8/4",
        "defaults at once"
    );
    let until_ns = world.now + urls::BAN_WAIT;
    let banned = format!("Banned {{ until_ns: {until_ns:?}, status: 403 }}");
    assert!(lines.contains(&banned), "{lines:?}");
    assert_eq!(world.venue.counters().bans, 1);
    assert!(world.subscribe(1, "ETHUSDT", "trades").is_empty());
    world.pass(Nanos::from_secs(599));
    world.pass(Nanos::from_secs(29));
    assert_eq!(world.venue.counters().requests, 1);
    let lines = world.pass(Nanos::from_secs(2));
    assert!(lines.contains(&"BanLifted".to_owned()), "{lines:?}");
    assert_eq!(
        lines.iter().filter(|line| line.starts_with("http")).count(),
        2
    );
    assert_eq!(world.venue.counters().requests_failed, 1);
}

#[test]
fn a_403_at_an_upgrade_stops_the_questions_too() {
    let mut world = World::fetching(BybitConfig::linear());
    let mut out = Outbox::new();
    world
        .venue
        .handle_refusal(world.now, LinkId(0), 403, None, &mut out);
    assert_eq!(world.venue.counters().bans, 1);
    world.subscribe(0, "BTCUSDT", "trades");
    assert_eq!(world.venue.counters().requests, 0);
}

#[test]
fn too_many_visits_waits_as_long_as_the_header_says() {
    let mut world = World::fetching(BybitConfig::linear());
    world.subscribe(0, "BTCUSDT", "trades");
    let reset = (world.now + Nanos::from_millis(700))
        .as_millis()
        .to_string();
    let headers = [("x-bapi-limit-reset-timestamp", reset.as_str())];
    let body = r#"{"retCode":10006,"retMsg":"Too many visits!","result":{}}"#;
    world.respond(0, 200, &headers, body);
    assert_eq!(
        world.venue.poll_timeout(),
        Some(world.now + Nanos::from_millis(700))
    );
    let lines = world.timeout();
    assert_eq!(lines[0], "BanLifted");
    assert!(lines[1].starts_with("http 1 "), "{lines:?}");
}

#[test]
fn an_answer_that_never_comes_is_asked_for_again_but_not_for_ever() {
    let mut world = World::fetching(BybitConfig::linear());
    world.subscribe(0, "BTCUSDT", "trades");
    let mut request = 0;
    loop {
        let failure = HttpFailure {
            what: "timeout".to_owned(),
            sent: true,
        };
        world.input(|bybit, now, out| {
            bybit.handle_response(now, RequestId(request), Err(failure), out);
        });
        if !world
            .pass(Nanos::from_secs(6))
            .iter()
            .any(|line| line.starts_with("http"))
        {
            break;
        }
        request += 1;
    }
    assert_eq!(request, 2, "three tries");
}

#[test]
fn answers_that_are_none_are_errors() {
    let reader = rest::read_instruments;
    for text in [
        "",
        "x",
        "{}",
        r#"{"retCode":0}"#,
        r#"{"retCode":0,"result":{"list":{}}}"#,
    ] {
        let result = reader(Market::Spot, &mut text.as_bytes().to_vec());
        assert_eq!(
            result.map_err(|error| error.kind),
            Err(ErrorKind::BadResponse),
            "{text}"
        );
    }
    let result = reader(Market::Spot, &mut b"403, access too frequent".to_vec());
    assert_eq!(
        result.map_err(|error| error.kind),
        Err(ErrorKind::RateLimited)
    );
    // Spot's rows are not linear's.
    let result = reader(Market::Linear, &mut SPOT.as_bytes().to_vec());
    assert_eq!(result.map(|list| list.len()), Ok(0));
}

#[test]
fn questions_keep_to_the_venues_limit_however_fast_it_answers() {
    let mut world = World::fetching(BybitConfig::spot());
    let mut asked: Vec<u32> = Vec::new();
    let mut note = |lines: &[String]| {
        let requests = lines.iter().filter_map(|line| line.strip_prefix("http "));
        asked.extend(requests.filter_map(|line| line.split(' ').next()?.parse::<u32>().ok()));
        asked.len()
    };
    for stream in 0..700 {
        note(&world.subscribe(stream, &format!("C{stream}USDT"), "bbo"));
    }
    let mut answered = 0;
    loop {
        let lines = world.read(answered, NONE);
        answered += 1;
        if note(&lines) == answered as usize {
            break;
        }
    }
    assert_eq!(answered, 200, "all in the same moment");
    world.now = START + Nanos::from_secs(5);
    let lines = world.input(|bybit, now, out| bybit.handle_timeout(now, out));
    assert!(lines.iter().any(|line| line.starts_with("http 200 ")));
}

#[test]
fn markets_that_share_a_budget_share_its_bans() {
    let budget = BybitConfig::new_budget();
    let with_budget = |config: BybitConfig| BybitConfig {
        budget: Some(budget.clone()),
        ..config
    };
    let mut spot = World::fetching(with_budget(BybitConfig::spot()));
    let mut linear = World::fetching(with_budget(BybitConfig::linear()));
    spot.subscribe(0, "BTCUSDT", "trades");
    spot.respond(0, 403, &[], "access too frequent");
    assert!(
        linear.subscribe(0, "BTCUSDT", "trades").is_empty(),
        "nothing is asked"
    );
    let lines = linear.timeout();
    assert!(
        lines.iter().any(|line| line.starts_with("Banned")),
        "{lines:?}"
    );
    assert!(lines.iter().all(|line| !line.starts_with("http")));
}

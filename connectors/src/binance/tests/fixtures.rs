//! Whole recordings through the connector, to the state that was computed apart from it.

use super::*;
use crate::channel::Interval;
use tickwire_orderbook::{Price, Qty, Side};

/// A fixture's text, or `None` where there are no fixtures (and none are required).
#[expect(clippy::print_stderr, reason = "a skipped test has to be seen")]
pub(super) fn fixture(name: &str) -> Option<String> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/fixtures");
    let folder = std::env::var("TICKWIRE_FIXTURES").unwrap_or_else(|_| default.to_owned());
    let path = format!("{folder}/binance/{name}");
    let Ok(bytes) = std::fs::read(&path) else {
        assert!(
            std::env::var("TICKWIRE_REQUIRE_FIXTURES").as_deref() != Ok("1"),
            "no {path}"
        );
        eprintln!("SKIPPED: no {path}; set TICKWIRE_FIXTURES");
        return None;
    };
    let bytes = if name.ends_with(".zst") {
        zstd::decode_all(&bytes[..]).expect("a whole zstd file")
    } else {
        bytes
    };
    Some(String::from_utf8(bytes).expect("UTF-8"))
}

/// The venue's frame in a line of a recording.
pub(super) fn message(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("\"msg\":")?;
    rest.get(..rest.rfind('}')?)
}

fn number_after(line: &str, key: &str) -> Option<i64> {
    let (_, rest) = line.split_once(key)?;
    let end = rest.find(|c: char| !c.is_ascii_digit())?;
    rest[..end].parse().ok()
}

struct Replay {
    world: World,
    events: Vec<String>,
    bbo_count: usize,
}

impl Replay {
    fn line(&mut self, line: &str, symbols: &[&str]) {
        let world = &mut self.world;
        let at = Nanos(number_after(line, "\"recv_ns\":").expect("a time"));
        let mut events = Vec::new();
        if at > world.now {
            events.extend(world.pass(at.since(world.now)));
        }
        let Some(text) = message(line) else { return };
        if line.starts_with("{\"kind\":\"recv\"") {
            events.extend(world.frame(text));
        } else if line.contains("exchangeInfo") {
            let mut bytes = text.as_bytes().to_vec();
            let read = world.binance.instrument_reader()(world.binance.market(), &mut bytes);
            let id = world.http.remove(0).id;
            world
                .binance
                .handle_instruments(world.now, id, read, &mut world.out);
            events.extend(world.drain());
            events.extend(world.up(0, 1));
            events.extend(world.up(1, 1));
        } else if line.starts_with("{\"kind\":\"http\"") {
            let symbol = symbols
                .iter()
                .find(|symbol| line.contains(&format!("depth?symbol={symbol}&")))
                .unwrap_or(&symbols[0]);
            let asked = format!("symbol={symbol}&");
            let pending = world
                .http
                .iter()
                .rposition(|request| request.target.contains(&asked));
            let id = world
                .http
                .remove(pending.expect("the first delta has asked"))
                .id;
            events.extend(world.respond(id, 200, text));
        }
        self.bbo_count += events
            .iter()
            .filter(|event| event.contains(" bbo "))
            .count();
        events.retain(|event| {
            !event.contains(" bbo ") && !event.contains(" trade ") && !event.contains(" kline ")
        });
        self.events.extend(events);
    }
}

impl Replay {
    /// Compares a book with the state computed apart from us.
    fn compare(&self, id: u32, state: &serde_json::Value) {
        let view = self.world.binance.book(stream(id)).expect("a book");
        assert_eq!(view.state.as_str(), "live", "{id}: {:?}", self.events);
        assert_eq!(Some(view.seq), state["last_update_id"].as_u64(), "{id}");
        let sides = [
            (Side::Bid, "best_bid", "bid_levels"),
            (Side::Ask, "best_ask", "ask_levels"),
        ];
        for (side, best, count) in sides {
            let level = view.book.best(side).expect("a level");
            let price = Price::new(level.price, view.price_scale)
                .plain()
                .to_string();
            let qty = Qty::new(level.qty, view.qty_scale).plain().to_string();
            let pair = [price, qty].map(serde_json::Value::from);
            assert_eq!(
                Some(&pair[..]),
                state[best].as_array().map(|pair| &pair[..]),
                "{id}"
            );
            assert_eq!(
                Some(view.book.len(side) as u64),
                state[count].as_u64(),
                "{id}"
            );
        }
    }
}

/// Replays a recording and compares each book with the state computed apart from us.
fn replay(name: &str, config: BinanceConfig, symbols: &[&str]) {
    let (Some(text), Some(expected)) = (
        fixture(&format!("{name}.jsonl.zst")),
        fixture("expected_final_state.json"),
    ) else {
        return;
    };
    let expected: serde_json::Value = serde_json::from_str(&expected).expect("JSON");
    // The recordings have 1,000 levels, and their books are followed beyond them.
    let config = BinanceConfig {
        snapshot_levels: 5_000,
        ..config
    };
    let known = config.instruments == FetchInstruments::Yes;
    let mut world = World::new(config);
    world.now = Nanos(number_after(&text, "\"recv_ns\":").expect("a time"));
    let channels = [
        Channel::BOOK,
        Channel::Bbo,
        Channel::Trades,
        Channel::AggTrades,
        Channel::Kline(Interval::Min1),
    ];
    for (index, symbol) in symbols.iter().enumerate() {
        for (offset, channel) in channels.into_iter().enumerate() {
            world.subscribe((index * channels.len() + offset) as u32, symbol, channel);
        }
    }
    if !known {
        world.up(0, 1);
        world.up(1, 1);
    }
    let mut replay = Replay {
        world,
        events: Vec::new(),
        bbo_count: 0,
    };
    for line in text.lines() {
        replay.line(line, symbols);
    }
    let counters = replay.world.binance.counters();
    assert_eq!(
        (
            counters.malformed,
            counters.gaps,
            counters.unrouted,
            counters.crossed
        ),
        (0, 0, 0, 0),
        "{name}"
    );
    assert!(replay.bbo_count > 0);
    for (index, symbol) in symbols.iter().enumerate() {
        let of_file = &expected[format!("{name}.jsonl")];
        let one = symbols.len() == 1;
        let state = if one {
            &of_file["book"]
        } else {
            &of_file[*symbol]
        };
        replay.compare((index * channels.len()) as u32, state);
    }
    let synced = replay
        .events
        .iter()
        .filter(|event| event.contains("live synced"));
    assert!(synced.count() >= symbols.len(), "{:?}", replay.events);
}

#[test]
fn recorded_spot_books_end_as_computed() {
    replay(
        "spot_btcusdt_20240808-09",
        plain(BinanceConfig::spot()),
        &["BTCUSDT"],
    );
    replay(
        "cf_spot_20211012_4sym",
        BinanceConfig::spot(),
        &["BLZETH", "LRCBTC", "NKNUSDT", "RUNEEUR"],
    );
    replay(
        "cf_spot_20210404_3sym",
        plain(BinanceConfig::spot()),
        &["BTCUSDT", "DOTUSDT", "ETHUSDT"],
    );
    replay(
        "cf_spot_20210814_4sym",
        plain(BinanceConfig::spot()),
        &["BADGERBTC", "FTMUSDT", "SXPBTC", "XMRBTC"],
    );
}

#[test]
fn recorded_usd_m_books_end_as_computed() {
    replay(
        "usdm_btcusdt_20240808",
        plain(BinanceConfig::linear()),
        &["BTCUSDT"],
    );
    replay(
        "cf_usdm_20210722_4sym",
        BinanceConfig::linear(),
        &["AKROUSDT", "CTKUSDT", "KEEPUSDT", "SUSHIUSDT"],
    );
}

#[test]
fn recorded_coin_m_books_end_as_computed() {
    replay(
        "coinm_btcusd_perp_20240808-09",
        plain(BinanceConfig::inverse()),
        &["BTCUSD_PERP"],
    );
    let symbols = [
        "BCHUSD_210924",
        "BCHUSD_PERP",
        "BTCUSD_211231",
        "EOSUSD_PERP",
        "ETCUSD_PERP",
        "ETHUSD_210924",
        "LINKUSD_211231",
        "LINKUSD_PERP",
        "TRXUSD_PERP",
        "XRPUSD_PERP",
    ];
    replay(
        "cf_coinm_20210722_10sym",
        BinanceConfig::inverse(),
        &symbols,
    );
}

/// The USD-M recording's touch leaves the 1,000 levels of its snapshot: from there on its top is
/// not known, and the book says so.
#[test]
fn a_recorded_book_that_leaves_its_snapshot_says_so() {
    let Some(text) = fixture("usdm_btcusdt_20240808.jsonl.zst") else {
        return;
    };
    let mut world = World::new(plain(BinanceConfig::linear()));
    world.now = Nanos(number_after(&text, "\"recv_ns\":").expect("a time"));
    world.subscribe(0, "BTCUSDT", Channel::BOOK);
    world.up(0, 1);
    let mut replay = Replay {
        world,
        events: Vec::new(),
        bbo_count: 0,
    };
    let mut answered = false;
    for line in text.lines().filter(|line| {
        !line.contains("\"kind\":\"http\"") || !core::mem::replace(&mut answered, true)
    }) {
        replay.line(line, &["BTCUSDT"]);
    }
    let states: Vec<_> = replay
        .events
        .iter()
        .filter(|event| event.contains("epoch"))
        .collect();
    assert_eq!(
        states,
        [
            "#0 live synced epoch 1",
            "#0 resync beyond_snapshot epoch 1"
        ]
    );
    assert!(
        replay.world.http.len() > 1,
        "a refresh was asked for before that"
    );
}

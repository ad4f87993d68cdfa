//! A recording of 42 s of the real venue through the connector: each book ends as a plain rebuild of
//! the same messages does (`expected_final_state.json`).

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;
use serde_json::value::RawValue;
use tickwire_connectors::FetchInstruments;
use tickwire_connectors::bybit::{Bybit, BybitConfig};
use tickwire_connectors::instrument::symbol;
use tickwire_connectors::{
    Command, Connector, LinkChange, LinkId, Nanos, Outbox, StreamId, StreamState,
};
use tickwire_orderbook::{Price, Qty, Side};

const RECORDING: &str = "v5_linear_spot_20260809_btc_sol.jsonl";

fn folder() -> Option<PathBuf> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/fixtures");
    let root = std::env::var_os("TICKWIRE_FIXTURES").map_or_else(|| default.into(), PathBuf::from);
    let folder = root.join("bybit");
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(
        std::env::var("TICKWIRE_REQUIRE_FIXTURES").as_deref() != Ok("1"),
        "no fixtures in {}",
        folder.display()
    );
    #[expect(clippy::print_stderr, reason = "a skip must be seen")]
    {
        eprintln!("SKIPPED: no fixtures (set TICKWIRE_FIXTURES)");
    }
    None
}

/// With its keys sorted, a message has `data` before `topic`.
fn replay(config: BybitConfig, conn: &str, recording: &str, sorted: bool) -> (Bybit, usize) {
    let config = BybitConfig {
        instruments: FetchInstruments::No,
        ..config
    };
    let mut bybit = Bybit::new(config, 1).expect("a good config");
    let (mut out, mut body, mut now) = (Outbox::new(), Vec::new(), Nanos::from_secs(1));
    let symbols = ["BTCUSDT", "SOLUSDT"];
    let channels = ["book:200", "trades", "ticker", "kline:1m"];
    let wanted = symbols
        .iter()
        .flat_map(|symbol| channels.map(|channel| (symbol, channel)));
    for (index, (name, channel)) in wanted.enumerate() {
        let subscribe = Command::Subscribe {
            stream: StreamId::new(index as u32).expect("small"),
            symbol: symbol(name).expect("short"),
            channel: channel.parse().expect("a channel"),
            depth: false,
        };
        bybit.handle_command(now, subscribe, &mut out);
    }
    while bybit.poll_transmit(now, &mut body).is_some() {}
    bybit.handle_link(now, LinkId(0), LinkChange::Up { epoch: 1 }, &mut out);
    let mut events = 0;
    for line in recording.lines() {
        let row: Value = serde_json::from_str(line).expect("a line of JSON");
        if row["conn"] != conn || row["kind"] != "recv" {
            continue;
        }
        let raw: BTreeMap<&str, &RawValue> = serde_json::from_str(line).expect("a line of JSON");
        let sent = raw.get("msg").expect("a message").get();
        let text = if sorted {
            row["msg"].to_string()
        } else {
            sent.to_owned()
        };
        let mut payload = text.into_bytes();
        now = Nanos(row["recv_ns"].as_i64().expect("a time"));
        out.clear();
        bybit.handle_message(now, LinkId(0), &mut payload, &mut out);
        events += out.iter().count();
        body.clear();
        while bybit.poll_transmit(now, &mut body).is_some() {}
    }
    (bybit, events)
}

#[test]
fn the_recorded_books_end_as_expected() {
    let Some(folder) = folder() else { return };
    let bytes = std::fs::read(folder.join(format!("{RECORDING}.zst"))).expect("the recording");
    let text = String::from_utf8(zstd::decode_all(&bytes[..]).expect("zstd")).expect("UTF-8");
    let expected = std::fs::read(folder.join("expected_final_state.json")).expect("the end");
    let expected: Value = serde_json::from_slice(&expected).expect("JSON");
    let markets = [
        ("linear", "BYBIT.ws.2", BybitConfig::linear()),
        ("spot", "BYBIT.ws.3", BybitConfig::spot()),
    ];
    let mut books = 0;
    let orders = markets.clone().into_iter().map(|market| (market, false));
    let orders = orders.chain(markets.into_iter().map(|market| (market, true)));
    for ((market, conn, config), sorted) in orders {
        let (bybit, events) = replay(config, conn, &text, sorted);
        assert!(events > 250, "{events}");
        let counters = bybit.counters();
        assert_eq!(
            (counters.gaps, counters.malformed, counters.resyncs),
            (0, 0, 0)
        );
        for (stream, symbol) in [(0, "BTCUSDT"), (4, "SOLUSDT")] {
            let want = &expected[RECORDING][format!("{market}:orderbook.200.{symbol}")];
            if want.is_null() {
                continue;
            }
            books += 1;
            let stream = StreamId::new(stream).expect("small");
            let view = bybit.book(stream).expect("a book");
            assert_eq!(view.state, StreamState::Live);
            assert_eq!(Some(view.seq), want["u"].as_u64());
            for (side, name, count) in [
                (Side::Bid, "best_bid", "bid_levels"),
                (Side::Ask, "best_ask", "ask_levels"),
            ] {
                assert_eq!(Some(view.book.len(side) as u64), want[count].as_u64());
                let best = view.book.best(side).expect("a level");
                let price = Price::new(best.price, view.price_scale).plain().to_string();
                let qty = Qty::new(best.qty, view.qty_scale).plain().to_string();
                assert_eq!(
                    want[name],
                    serde_json::json!([price, qty]),
                    "{market} {symbol}"
                );
            }
        }
    }
    assert_eq!(books, 2 * 3);
}

#[test]
fn every_recorded_instrument_is_read() {
    let Some(folder) = folder() else { return };
    let bytes = std::fs::read(folder.join(format!("{RECORDING}.zst"))).expect("the recording");
    let text = String::from_utf8(zstd::decode_all(&bytes[..]).expect("zstd")).expect("UTF-8");
    for (category, config, count) in [
        ("category=linear", BybitConfig::linear(), 800),
        ("category=spot", BybitConfig::spot(), 557),
    ] {
        let rows = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let mut rows = rows.filter(|row| {
            row["kind"] == "http"
                && row["url"]
                    .as_str()
                    .is_some_and(|url| url.contains(category))
        });
        let row = rows.next().expect("the answer");
        let market = config.market;
        let bybit = Bybit::new(config, 1).expect("a good config");
        let mut body = row["msg"].to_string().into_bytes();
        let list = (bybit.instrument_reader())(market, &mut body).expect("instruments");
        assert_eq!(list.len(), count);
        let unified: std::collections::BTreeSet<_> = list.iter().map(|one| one.key).collect();
        assert_eq!(unified.len(), count, "no two share a unified symbol");
        let bitcoin = list
            .iter()
            .find(|one| &*one.venue_symbol == "BTCUSDT")
            .expect("BTCUSDT");
        assert_eq!(
            bitcoin
                .tick_size
                .map(|tick| tick.plain().to_string())
                .as_deref(),
            Some("0.1")
        );
        assert_eq!(bitcoin.price_scale.get(), 1);
        assert!(
            list.iter()
                .all(|one| one.from_venue && one.lot_size.is_some())
        );
    }
}

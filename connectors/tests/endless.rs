//! A venue that sends without end: what a connector keeps of it is bounded.

#[path = "../../engine/tests/common/held.rs"]
mod held;

use std::fmt::Write as _;

use held::Mark;
use tickwire_connectors::binance::{Binance, BinanceConfig};
use tickwire_connectors::bybit::{Bybit, BybitConfig};
use tickwire_connectors::instrument::symbol;
use tickwire_connectors::{
    Channel, Command, Connector, FetchInstruments, LinkChange, LinkId, Nanos, Outbox, StreamId,
    StreamState,
};

const NOW: Nanos = Nanos::from_secs(1_700_000_000);

fn binance() -> Box<dyn Connector> {
    let config = BinanceConfig {
        instruments: FetchInstruments::No,
        ..BinanceConfig::spot()
    };
    Box::new(Binance::new(config, 1).expect("a good config"))
}

fn bybit() -> Box<dyn Connector> {
    let config = BybitConfig {
        instruments: FetchInstruments::No,
        ..BybitConfig::spot()
    };
    Box::new(Bybit::new(config, 1).expect("a good config"))
}

/// A connector with a book, its link up.
struct World {
    connector: Box<dyn Connector>,
    out: Outbox,
}

impl World {
    fn new(connector: Box<dyn Connector>) -> World {
        let out = Outbox::new();
        let mut world = World { connector, out };
        let command = Command::Subscribe {
            stream: StreamId::default(),
            symbol: symbol("BTCUSDT").expect("short"),
            channel: Channel::BOOK,
            depth: false,
        };
        let World { connector, out } = &mut world;
        connector.handle_command(NOW, command, out);
        let up = LinkChange::Up { epoch: 1 };
        connector.handle_link(NOW, LinkId(0), up, out);
        world.drain();
        world
    }

    /// Takes what there is to do and does nothing of it.
    fn drain(&mut self) {
        let mut body = Vec::new();
        while self.connector.poll_transmit(NOW, &mut body).is_some() {
            body.clear();
        }
        self.out.clear();
    }

    fn message(&mut self, text: &str) {
        let mut bytes = text.as_bytes().to_vec();
        self.connector
            .handle_message(NOW, LinkId(0), &mut bytes, &mut self.out);
        self.drain();
    }
}

/// `count` bids at prices from `first` on, none like another.
fn levels(first: u64, count: u64) -> String {
    let mut text = String::new();
    for price in first..first + count {
        let comma = if price == first { "" } else { "," };
        let _ = write!(text, "{comma}[\"{price}\",\"1\"]");
    }
    text
}

#[test]
fn deltas_without_a_snapshot_are_held_up_to_a_limit() {
    let mut world = World::new(binance());
    let bids = levels(1, 50);
    let mark = Mark::set();
    // Over both limits, 10,000 deltas and 400,000 levels.
    for id in 1..=12_000 {
        world.message(&format!(
            r#"{{"stream":"btcusdt@depth@100ms","data":{{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":{id},"u":{id},"b":[{bids}],"a":[]}}}}"#
        ));
    }
    // 400,000 levels of 16 bytes and 10,000 deltas, in vectors that grow by doubling.
    assert!(mark.peak() > 4 << 20, "{} are held", mark.peak());
    mark.check(24 << 20);
}

#[test]
fn a_live_book_holds_no_more_levels_than_its_cap() {
    let mut world = World::new(bybit());
    let mark = Mark::set();
    world.message(
        r#"{"topic":"orderbook.50.BTCUSDT","type":"snapshot","ts":1,"data":{"s":"BTCUSDT","b":[],"a":[["1000000","1"]],"u":10,"seq":1},"cts":1}"#,
    );
    for number in 1..=1_000 {
        let (bids, id) = (levels(number * 50, 50), number + 10);
        world.message(&format!(
            r#"{{"topic":"orderbook.50.BTCUSDT","type":"delta","ts":1,"data":{{"s":"BTCUSDT","b":[{bids}],"a":[],"u":{id},"seq":1}},"cts":1}}"#
        ));
    }
    let view = world.connector.book(StreamId::default()).expect("a book");
    assert_eq!(view.state, StreamState::Live);
    mark.check(4 << 20);
}

#[test]
fn what_is_for_nobody_leaves_nothing_behind() {
    for connector in [binance(), bybit()] {
        let mut world = World::new(connector);
        // Buffers grow to what a message needs, once.
        world.message("{\"topic\":\"x\"}");
        let mark = Mark::set();
        for number in 0..20_000 {
            for text in [
                format!(r#"{{"stream":"s{number}@depth","data":{{}}}}"#),
                format!(r#"{{"topic":"orderbook.50.S{number}","data":{{}}}}"#),
                format!(r#"{{"result":null,"id":{}}}"#, number + 1_000),
                format!(r#"{{"code":2,"msg":"no","id":{}}}"#, number + 1_000),
                format!(
                    r#"{{"success":false,"ret_msg":"no","req_id":"{}"}}"#,
                    number + 1_000
                ),
                format!(r#"{{"e":"trade","s":"S{number}"}}"#),
                format!("[{number}"),
            ] {
                world.message(&text);
            }
        }
        mark.check(64 << 10);
    }
}

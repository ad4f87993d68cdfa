//! In steady state a message allocates nothing.
//!
//! `unsafe` here: a counting allocator has to implement `GlobalAlloc`. It only counts and hands on
//! to the system's.
#![allow(unsafe_code, reason = "GlobalAlloc is an unsafe trait")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use tickwire_connectors::FetchInstruments;
use tickwire_connectors::binance::{Binance, BinanceConfig};
use tickwire_connectors::instrument::symbol;
use tickwire_connectors::transmit::{Response, Transmit};
use tickwire_connectors::{
    Channel, Command, Connector, Interval, LinkChange, LinkId, Nanos, Outbox, StreamId,
};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps `GlobalAlloc`'s contract, which is the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The messages of one round; `id` counts up.
fn round(id: u64) -> [String; 5] {
    let qty = id % 7 + 1;
    [
        format!(
            r#"{{"stream":"btcusdt@depth@100ms","data":{{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":{id},"u":{id},"b":[["99.{qty}","{qty}"],["98.1","0"]],"a":[["101","{qty}"]]}}}}"#
        ),
        format!(
            r#"{{"stream":"btcusdt@bookTicker","data":{{"u":{id},"s":"BTCUSDT","b":"99","B":"{qty}","a":"101","A":"1"}}}}"#
        ),
        format!(
            r#"{{"stream":"btcusdt@trade","data":{{"e":"trade","E":1,"s":"BTCUSDT","t":{id},"p":"1","q":"{qty}","T":1,"m":true}}}}"#
        ),
        format!(
            r#"{{"data":{{"e":"aggTrade","E":1,"s":"BTCUSDT","a":{id},"p":"1","q":"{qty}","T":1,"m":true}},"stream":"btcusdt@aggTrade"}}"#
        ),
        format!(
            r#"{{"stream":"btcusdt@kline_1m","data":{{"e":"kline","E":5,"s":"BTCUSDT","k":{{"t":1,"T":2,"s":"BTCUSDT","i":"1m","f":1,"L":2,"o":"1","c":"2","h":"2","l":"1","v":"{qty}","n":{id},"x":false,"q":"1.0","V":"5","Q":"0.5","B":"1"}}}}}}"#
        ),
    ]
}

#[test]
fn a_message_allocates_nothing_in_steady_state() {
    let instruments = FetchInstruments::No;
    let config = BinanceConfig {
        instruments,
        ..BinanceConfig::spot()
    };
    let mut binance = Binance::new(config, 1).expect("a good config");
    let (mut out, mut body, now) = (Outbox::new(), Vec::new(), Nanos::from_secs(1_700_000_000));
    let channels = [
        Channel::BOOK,
        Channel::Bbo,
        Channel::Trades,
        Channel::AggTrades,
        Channel::Kline(Interval::Min1),
    ];
    for (index, channel) in channels.into_iter().enumerate() {
        let command = Command::Subscribe {
            stream: StreamId::new(index as u32).expect("a small number"),
            symbol: symbol("BTCUSDT").expect("a short symbol"),
            channel,
            depth: true,
        };
        binance.handle_command(now, command, &mut out);
    }
    binance.handle_link(now, LinkId(0), LinkChange::Up { epoch: 1 }, &mut out);
    let mut events = 0;
    for id in 1..2_000 {
        let mut messages = round(id).map(String::into_bytes);
        let before = ALLOCATIONS.get();
        for message in &mut messages {
            out.clear();
            binance.handle_message(now, LinkId(0), message, &mut out);
            events += out.iter().count();
            if !binance.has_transmit() {
                continue;
            }
            while let Some(transmit) = binance.poll_transmit(now, &mut body) {
                body.clear();
                let Transmit::Http(request) = transmit else {
                    continue;
                };
                let mut answer =
                    br#"{"lastUpdateId":1,"bids":[["99","1"]],"asks":[["101","1"]]}"#.to_vec();
                let response = Response {
                    status: 200,
                    headers: &[],
                    body: &mut answer,
                };
                binance.handle_response(now, request.id, Ok(response), &mut out);
            }
        }
        let count = ALLOCATIONS.get() - before;
        assert!(count == 0 || id < 10, "round {id} allocated {count} times");
    }
    assert!(events > 10_000, "{events}");
    assert_eq!(binance.counters().malformed, 0);
}

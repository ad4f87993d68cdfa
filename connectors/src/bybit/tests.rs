//! Transcripts: inputs and times in, events and requests out.

use tickwire_orderbook::Side;

use super::*;
use crate::channel::Channel;
use crate::command::Command;
use crate::connector::Connector;
use crate::error::ErrorKind;
use crate::event::StreamState;
use crate::instrument::{Market, symbol};
use crate::market_data::transcript::{self, START, Tested, id};
use crate::market_data::{Dialect, RESYNC_HEALTHY};
use crate::network::FetchInstruments;
use crate::outbox::Outbox;
use crate::time::Nanos;
use crate::transmit::{HttpFailure, HttpRequest, LinkId, ReadOn, RequestId, Response};
use crate::upkeep::{Expectations, TopCheck, Upkeep};

mod books;
mod handover;
mod instruments;
mod links;
mod orders;
mod pairs;
mod scanners;
mod trade_fixtures;
mod values;
mod watch;

type World = transcript::World<Bybit>;

impl Tested for Bybit {
    fn check_timers(&mut self) {
        self.streams.check_timers();
    }

    fn http_line(request: &HttpRequest, _: &[u8]) -> String {
        let of_instruments = request.target.contains("instruments-info");
        assert_eq!(request.read_on == ReadOn::Helper, of_instruments);
        format!("http {} {}", request.id.0, request.target)
    }
}

/// Without instruments, companions and probes.
fn plain(config: BybitConfig) -> BybitConfig {
    let upkeep = Upkeep {
        top_check: TopCheck::Never,
        expectations: Expectations::NONE,
        ..config.upkeep
    };
    BybitConfig {
        instruments: FetchInstruments::No,
        upkeep,
        ..config
    }
}

impl World {
    fn new(config: BybitConfig) -> World {
        World::of(Bybit::new(config, 7).expect("a good config"))
    }

    /// Default scales, so that nothing is asked for by REST, and nobody but the strategy asks for
    /// anything.
    fn spot() -> World {
        World::new(plain(BybitConfig::spot()))
    }

    fn linear() -> World {
        World::new(plain(BybitConfig::linear()))
    }

    /// Subscribes to one channel of BTCUSDT as stream 0, with the link up and the ack in.
    fn subscribed(mut self, channel: &str) -> World {
        self.subscribe(0, "BTCUSDT", channel);
        self.up(0, 1);
        self.ack(0, 1);
        self
    }

    /// An ack as spot sends it.
    fn ack(&mut self, link: u16, req_id: u32) -> Vec<String> {
        let text = format!(
            r#"{{"success":true,"ret_msg":"subscribe","conn_id":"c","req_id":"{req_id}","op":"subscribe"}}"#
        );
        self.message(link, &text)
    }

    fn ack_unsubscribe(&mut self, link: u16, req_id: u32) -> Vec<String> {
        let text =
            format!(r#"{{"success":true,"ret_msg":"","req_id":"{req_id}","op":"unsubscribe"}}"#);
        self.message(link, &text)
    }

    /// An order book of 50 levels: `sides` is `"b":[..],"a":[..]`; one that is not given is empty.
    fn book(&mut self, kind: &str, seq: u64, sides: &str) -> Vec<String> {
        let mut sides = sides.to_owned();
        for side in ["b", "a"] {
            let key = format!("\"{side}\":");
            if !sides.contains(&key) {
                sides.push_str(&format!(",{key}[]"));
            }
        }
        let text = format!(
            r#"{{"topic":"orderbook.50.BTCUSDT","type":"{kind}","ts":1700000000009,"data":{{"s":"BTCUSDT",{sides},"u":{seq},"seq":9}},"cts":1700000000005}}"#
        );
        self.message(0, &text)
    }
}

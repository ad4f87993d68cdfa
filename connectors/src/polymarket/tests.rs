//! Transcripts: inputs and times in, events and requests out.

use tickwire_orderbook::Side;

use super::*;
use crate::event::StreamState;
use crate::instrument::symbol;
use crate::market_data::SNAPSHOT_TIMEOUT;
use crate::market_data::transcript::{self, Tested, id};
use crate::network::FetchInstruments;
use crate::transmit::{HttpRequest, ReadOn};
use crate::upkeep::{Expectations, Upkeep};
use crate::wide::WideBody;

mod books;
mod hashes;
mod links;
mod scanners;
mod trade;
mod user;
mod watch;

/// A token of the venue's pages, and its complement.
const YES: &str = "71321045679252212594626385532706912750332728571942532289631379312455583992563";
const NO: &str = "52114319501245915516055106046884209969926127482827954674443846427813813222426";

type World = transcript::World<Polymarket>;

impl Tested for Polymarket {
    fn check_timers(&mut self) {
        self.streams.check_timers();
    }

    fn http_line(request: &HttpRequest, body: &[u8]) -> String {
        let body = String::from_utf8_lossy(body);
        let read_on = request.read_on;
        let helper = if read_on == ReadOn::Helper {
            " helper"
        } else {
            ""
        };
        let target = &request.target;
        format!("http {}{helper} {target} {body}", request.id.0)
    }
}

/// Without instruments, probes and hand-overs.
fn plain(config: PolymarketConfig) -> PolymarketConfig {
    let upkeep = Upkeep {
        link_age_max_ns: None,
        expectations: Expectations::NONE,
        ..config.upkeep
    };
    PolymarketConfig {
        instruments: FetchInstruments::No,
        upkeep,
        ..config
    }
}

impl World {
    fn new(config: PolymarketConfig) -> World {
        World::of(Polymarket::new(config, 7).expect("a good config"))
    }

    /// Subscribes to one channel of [`YES`] as stream 0, with the link up and its book in: 0.48x30 and
    /// 0.52x25 on top.
    fn live(mut self, channel: &str) -> World {
        self.subscribe(0, YES, channel);
        self.up(0, 1);
        self.book(0, YES, 1_000);
        self
    }

    /// Nobody but the strategy asks for anything.
    fn plain() -> World {
        World::new(plain(PolymarketConfig::new()))
    }

    /// A book in the venue's order, the best last.
    fn book(&mut self, link: u16, asset: &str, ms: i64) -> Vec<String> {
        self.message(link, &book(asset, ms))
    }

    /// Changes of one token: `("BUY", price, size)`; best prices go with the last.
    fn change(
        &mut self,
        link: u16,
        ms: i64,
        rows: &[Row],
        best: Option<(&str, &str)>,
    ) -> Vec<String> {
        self.message(link, &change(YES, ms, rows, best))
    }
}

type Row<'a> = (&'a str, &'a str, &'a str);

/// A book as the venue sends it: the best last.
fn book(asset: &str, ms: i64) -> String {
    format!(
        r#"{{"event_type":"book","asset_id":"{asset}","market":"0x1","bids":[{{"price":".47","size":"10"}},{{"price":".48","size":"30"}}],"asks":[{{"price":".54","size":"10"}},{{"price":".52","size":"25"}}],"timestamp":"{ms}","hash":"0x0"}}"#
    )
}

fn change(asset: &str, ms: i64, rows: &[Row], best: Option<(&str, &str)>) -> String {
    let entries: Vec<String> = rows
        .iter()
        .map(|(side, price, size)| {
            let best = best.map_or(String::new(), |(bid, ask)| {
                format!(r#","best_bid":"{bid}","best_ask":"{ask}""#)
            });
            format!(
                r#"{{"asset_id":"{asset}","price":"{price}","size":"{size}","side":"{side}","hash":"h"{best}}}"#
            )
        })
        .collect();
    format!(
        r#"{{"market":"0x1","price_changes":[{}],"timestamp":"{ms}","event_type":"price_change"}}"#,
        entries.join(",")
    )
}

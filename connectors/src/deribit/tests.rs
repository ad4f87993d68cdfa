//! Transcripts: inputs and times in, events and requests out.

use super::*;
use crate::connector::Connector;
use crate::credentials::Credentials;
use crate::instrument::{Instrument, Market};
use crate::market_data::transcript::{self, Tested};
use crate::network::FetchInstruments;
use crate::outbox::{Item, Outbox};
use crate::time::Nanos;
use crate::transmit::{HttpRequest, LinkId, ReadOn, RequestId, Response};
use crate::upkeep::{Expectations, TopCheck, Upkeep};
use crate::wide::WideBody;

mod books;
mod handover;
mod instruments;
mod links;
mod scanners;
mod trade;
mod values;
mod watch;

type World = transcript::World<Deribit>;

impl Tested for Deribit {
    fn check_timers(&mut self) {
        self.streams.check_timers();
    }

    fn http_line(request: &HttpRequest, _: &[u8]) -> String {
        let of_instruments = request.target.contains("get_instrument");
        assert_eq!(request.read_on == ReadOn::Helper, of_instruments);
        format!("http {} {}", request.id.0, request.target)
    }
}

const BOOK: &str = "book.BTC-PERPETUAL.100ms";

/// Without instruments, companions and probes.
fn plain(config: DeribitConfig) -> DeribitConfig {
    let upkeep = Upkeep {
        top_check: TopCheck::Never,
        expectations: Expectations::NONE,
        ..config.upkeep
    };
    DeribitConfig {
        instruments: FetchInstruments::No,
        upkeep,
        ..config
    }
}

impl World {
    fn new(config: DeribitConfig) -> World {
        World::of(Deribit::new(config, 7).expect("a good config"))
    }

    /// Default scales, so that nothing is asked for by REST, and nobody but the strategy asks for
    /// anything.
    fn inverse() -> World {
        World::new(plain(DeribitConfig::inverse()))
    }

    /// As [`inverse`](World::inverse), and links log in.
    fn logging_in() -> World {
        let credentials = Credentials::hmac("AMANDA", "AMANDASECRECT");
        let config = DeribitConfig::inverse().with_credentials(credentials);
        World::new(plain(config))
    }

    /// Subscribes to one channel of BTC-PERPETUAL as stream 0, with the link up and the ack in.
    fn subscribed(mut self, channel: &str, topic: &str) -> World {
        self.subscribe(0, "BTC-PERPETUAL", channel);
        self.up(0, 1);
        self.ack(0, 1, &[topic]);
        self
    }

    /// The answer to a request about topics: those that were taken.
    fn ack(&mut self, link: u16, id: u32, topics: &[&str]) -> Vec<String> {
        let topics: Vec<_> = topics.iter().map(|topic| format!("{topic:?}")).collect();
        let topics = topics.join(",");
        let text = format!(
            r#"{{"jsonrpc":"2.0","id":{id},"result":[{topics}],"usIn":1,"usOut":2,"usDiff":1,"testnet":false}}"#
        );
        self.message(link, &text)
    }

    fn refuse(&mut self, link: u16, id: &str, code: i64, words: &str) -> Vec<String> {
        let text = format!(
            r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":"{words}"}},"testnet":false}}"#
        );
        self.message(link, &text)
    }

    /// A login that holds for so many seconds.
    fn grant(&mut self, link: u16, expires_in_s: u32) -> Vec<String> {
        let text = format!(
            r#"{{"jsonrpc":"2.0","id":"login","result":{{"access_token":"a","expires_in":{expires_in_s},"refresh_token":"r","scope":"connection","token_type":"bearer"}}}}"#
        );
        self.message(link, &text)
    }

    fn notify(&mut self, link: u16, channel: &str, data: &str) -> Vec<String> {
        let text = format!(
            r#"{{"jsonrpc":"2.0","method":"subscription","params":{{"channel":"{channel}","data":{data}}}}}"#
        );
        self.message(link, &text)
    }

    /// The book of BTC-PERPETUAL at 100 ms, whole.
    fn snapshot(&mut self, link: u16, seq: u64, bids: &str, asks: &str) -> Vec<String> {
        let data = format!(
            r#"{{"type":"snapshot","timestamp":1700000000005,"instrument_name":"BTC-PERPETUAL","change_id":{seq},"bids":[{bids}],"asks":[{asks}]}}"#
        );
        self.notify(link, BOOK, &data)
    }

    /// A change of it.
    fn change(&mut self, link: u16, prev: u64, seq: u64, bids: &str, asks: &str) -> Vec<String> {
        let data = format!(
            r#"{{"type":"change","timestamp":1700000000006,"prev_change_id":{prev},"instrument_name":"BTC-PERPETUAL","change_id":{seq},"bids":[{bids}],"asks":[{asks}]}}"#
        );
        self.notify(link, BOOK, &data)
    }
}

/// A request about topics on link 0, as it is sent.
fn request(id: u32, op: &str, topics: &[&str]) -> String {
    let topics: Vec<_> = topics.iter().map(|topic| format!("{topic:?}")).collect();
    let topics = topics.join(",");
    format!(
        r#"send 0 {{"jsonrpc":"2.0","id":{id},"method":"public/{op}","params":{{"channels":[{topics}]}}}}"#
    )
}

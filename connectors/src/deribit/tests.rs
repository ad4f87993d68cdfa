//! Transcripts: inputs and times in, events and requests out.

use tickwire_orderbook::Side;

use super::*;
use crate::command::Command;
use crate::connector::Connector;
use crate::credentials::Credentials;
use crate::event::{Body, StreamId};
use crate::instrument::{Instrument, Market, symbol};
use crate::network::FetchInstruments;
use crate::outbox::{Item, Outbox};
use crate::time::Nanos;
use crate::transmit::{
    DownReason, Lane, LinkChange, LinkId, ReadOn, RequestId, Response, Transmit,
};
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

/// A connector with its clock; every output as a line of text.
struct World {
    deribit: Deribit,
    now: Nanos,
}

const BOOK: &str = "book.BTC-PERPETUAL.100ms";

const START: Nanos = Nanos::from_secs(1_700_000_000);

fn id(index: u32) -> StreamId {
    StreamId::new(index).expect("small")
}

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
        World {
            deribit: Deribit::new(config, 7).expect("a good config"),
            now: START,
        }
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

    fn input(&mut self, act: impl FnOnce(&mut Deribit, Nanos, &mut Outbox)) -> Vec<String> {
        let mut out = Outbox::new();
        act(&mut self.deribit, self.now, &mut out);
        let mut lines: Vec<String> = out.iter().map(line).collect();
        lines.extend(out.news().iter().map(|news| format!("{news:?}")));
        let mut body = Vec::new();
        while let Some(todo) = self.deribit.poll_transmit(self.now, &mut body) {
            lines.push(todo_line(&todo, &body));
            body.clear();
        }
        assert!(!self.deribit.has_transmit(), "nothing is left to do");
        self.deribit.streams.check_timers();
        lines
    }

    fn subscribe(&mut self, stream: u32, text: &str, channel: &str) -> Vec<String> {
        self.subscribe_depth(stream, text, channel, false)
    }

    fn subscribe_depth(
        &mut self,
        stream: u32,
        text: &str,
        channel: &str,
        depth: bool,
    ) -> Vec<String> {
        let command = Command::Subscribe {
            stream: id(stream),
            symbol: symbol(text).expect("short"),
            channel: channel.parse().expect("a channel"),
            depth,
        };
        self.command(command)
    }

    fn unsubscribe(&mut self, stream: u32) -> Vec<String> {
        self.command(Command::Unsubscribe { stream: id(stream) })
    }

    fn command(&mut self, command: Command) -> Vec<String> {
        self.input(|deribit, now, out| deribit.handle_command(now, command, out))
    }

    fn up(&mut self, link: u16, epoch: u16) -> Vec<String> {
        let change = LinkChange::Up { epoch };
        self.input(|deribit, now, out| deribit.handle_link(now, LinkId(link), change, out))
    }

    fn down(&mut self, link: u16) -> Vec<String> {
        let reason = DownReason::Lost("reset".to_owned());
        let change = LinkChange::Down { reason };
        self.input(|deribit, now, out| deribit.handle_link(now, LinkId(link), change, out))
    }

    fn message(&mut self, link: u16, text: &str) -> Vec<String> {
        let mut payload = text.as_bytes().to_vec();
        self.input(|deribit, now, out| deribit.handle_message(now, LinkId(link), &mut payload, out))
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

    /// Goes to the next timer that does something and fires it.
    fn timeout(&mut self) -> Vec<String> {
        for _ in 0..100 {
            let next = self.deribit.poll_timeout().expect("a timer is set");
            self.now = self.now.max(next);
            let lines = self.input(|deribit, now, out| deribit.handle_timeout(now, out));
            if !lines.is_empty() {
                return lines;
            }
        }
        panic!("no timer does anything");
    }

    /// Lets time pass; fires what is due at its end.
    fn pass(&mut self, span: Nanos) -> Vec<String> {
        self.now += span;
        self.input(|deribit, now, out| deribit.handle_timeout(now, out))
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

fn line(item: Item<'_>) -> String {
    match item {
        Item::Hot(event) => {
            let (stream, seq) = (event.stream(), event.seq());
            match event.body() {
                Body::Bbo(bbo) => {
                    let side =
                        |level: Option<(tickwire_orderbook::Price, tickwire_orderbook::Qty)>| {
                            level.map_or("-".to_owned(), |(p, q)| {
                                format!("{}x{}", p.plain(), q.plain())
                            })
                        };
                    format!(
                        "{stream} bbo {} {} u={seq}",
                        side(bbo.bid()),
                        side(bbo.ask())
                    )
                }
                Body::Trade(trade) => format!(
                    "{stream} trade {} {}x{} id={:x} seq={seq} at={}",
                    trade.aggressor().as_str(),
                    trade.price().plain(),
                    trade.qty().plain(),
                    trade.id(),
                    event.exch_ns().as_millis(),
                ),
                Body::Level(level) => format!(
                    "{stream} {}{} {}x{}{}",
                    if level.starts_snapshot() { "[" } else { "" },
                    if level.side() == Side::Bid {
                        "bid"
                    } else {
                        "ask"
                    },
                    level.price().plain(),
                    level.qty().plain(),
                    if level.ends_batch() { "]" } else { "" },
                ),
                Body::State(change) => {
                    let gap = change.gap().map_or(String::new(), |(expected, got)| {
                        format!(" expected {expected} got {got}")
                    });
                    let (state, reason) = (event.state().as_str(), change.reason().as_str());
                    format!("{stream} {state} {reason}{gap} e{}", event.epoch())
                }
                Body::Lost(_) => format!("{stream} lost"),
            }
        }
        Item::Wide(wide) => {
            let stream = wide.stream;
            match &wide.body {
                WideBody::Instrument(instrument) => format!(
                    "{stream} instrument {} {} {}/{}",
                    instrument.key.symbol,
                    instrument.venue_symbol,
                    instrument.price_scale,
                    instrument.qty_scale
                ),
                WideBody::Notice(notice) => {
                    format!("{stream} notice {:?}: {}", notice.kind, notice.text)
                }
                WideBody::Ticker(ticker) => format!(
                    "{stream} ticker last={:?} bid={:?} ask={:?} mark={:?} seq={}",
                    ticker.last, ticker.bid, ticker.ask, ticker.mark, wide.seq
                ),
                WideBody::Kline(kline) => format!(
                    "{stream} kline {} {} {} {} {} closed={}",
                    kline.interval.as_str(),
                    kline.open,
                    kline.high,
                    kline.low,
                    kline.close,
                    kline.closed
                ),
                other => format!("{stream} {other:?}"),
            }
        }
    }
}

fn todo_line(todo: &Transmit, body: &[u8]) -> String {
    match todo {
        Transmit::Open { link, spec } => {
            let tls = if spec.endpoint.tls { "wss" } else { "ws" };
            format!(
                "open {} {tls}://{}{}",
                link.0, spec.endpoint.host, spec.path
            )
        }
        Transmit::Close { link } => format!("close {}", link.0),
        Transmit::Reconnect { link, why } => format!("reconnect {}: {why}", link.0),
        Transmit::Text { link, lane } => {
            let urgent = if *lane == Lane::Urgent { "urgent " } else { "" };
            format!("send {} {urgent}{}", link.0, String::from_utf8_lossy(body))
        }
        Transmit::Http(request) => {
            let of_instruments = request.target.contains("get_instrument");
            assert_eq!(request.read_on == ReadOn::Helper, of_instruments);
            format!("http {} {}", request.id.0, request.target)
        }
        other => format!("{other:?}"),
    }
}

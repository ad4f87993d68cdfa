//! Transcripts: inputs and times in, events and requests out.

use tickwire_orderbook::Side;

use super::*;
use crate::channel::Channel;
use crate::command::Command;
use crate::connector::Connector;
use crate::error::ErrorKind;
use crate::event::{Body, StreamId, StreamState};
use crate::instrument::{Market, symbol};
use crate::market_data::{Dialect, RESYNC_HEALTHY};
use crate::network::FetchInstruments;
use crate::outbox::{Item, Outbox};
use crate::time::Nanos;
use crate::transmit::{
    DownReason, HttpFailure, Lane, LinkChange, LinkId, ReadOn, RequestId, Response, Transmit,
};
use crate::upkeep::{Expectations, TopCheck, Upkeep};
use crate::wide::WideBody;

mod books;
mod handover;
mod instruments;
mod links;
mod pairs;
mod scanners;
mod trade_fixtures;
mod values;
mod watch;

/// A connector with its clock; every output as a line of text.
struct World {
    bybit: Bybit,
    now: Nanos,
}

const START: Nanos = Nanos::from_secs(1_700_000_000);

fn id(index: u32) -> StreamId {
    StreamId::new(index).expect("small")
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
        World {
            bybit: Bybit::new(config, 7).expect("a good config"),
            now: START,
        }
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

    fn input(&mut self, act: impl FnOnce(&mut Bybit, Nanos, &mut Outbox)) -> Vec<String> {
        let mut out = Outbox::new();
        act(&mut self.bybit, self.now, &mut out);
        let mut lines: Vec<String> = out.iter().map(line).collect();
        lines.extend(out.news().iter().map(|news| format!("{news:?}")));
        let mut body = Vec::new();
        while let Some(todo) = self.bybit.poll_transmit(self.now, &mut body) {
            lines.push(todo_line(&todo, &body));
            body.clear();
        }
        assert!(!self.bybit.has_transmit(), "nothing is left to do");
        self.bybit.streams.check_timers();
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
        self.input(|bybit, now, out| bybit.handle_command(now, command, out))
    }

    fn up(&mut self, link: u16, epoch: u16) -> Vec<String> {
        let change = LinkChange::Up { epoch };
        self.input(|bybit, now, out| bybit.handle_link(now, LinkId(link), change, out))
    }

    fn down(&mut self, link: u16) -> Vec<String> {
        let reason = DownReason::Lost("reset".to_owned());
        let change = LinkChange::Down { reason };
        self.input(|bybit, now, out| bybit.handle_link(now, LinkId(link), change, out))
    }

    fn message(&mut self, link: u16, text: &str) -> Vec<String> {
        let mut payload = text.as_bytes().to_vec();
        self.input(|bybit, now, out| bybit.handle_message(now, LinkId(link), &mut payload, out))
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

    /// Goes to the next timer that does something and fires it.
    fn timeout(&mut self) -> Vec<String> {
        for _ in 0..100 {
            let next = self.bybit.poll_timeout().expect("a timer is set");
            self.now = self.now.max(next);
            let lines = self.input(|bybit, now, out| bybit.handle_timeout(now, out));
            if !lines.is_empty() {
                return lines;
            }
        }
        panic!("no timer does anything");
    }

    /// Lets time pass; fires what is due at its end.
    fn pass(&mut self, span: Nanos) -> Vec<String> {
        self.now += span;
        self.input(|bybit, now, out| bybit.handle_timeout(now, out))
    }
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
            let of_instruments = request.target.contains("instruments-info");
            assert_eq!(request.read_on == ReadOn::Helper, of_instruments);
            format!("http {} {}", request.id.0, request.target)
        }
        other => format!("{other:?}"),
    }
}

//! Transcripts: inputs and times in, events and requests out.

use tickwire_orderbook::Side;

use super::*;
use crate::event::{Body, StreamState};
use crate::instrument::symbol;
use crate::market_data::SNAPSHOT_TIMEOUT;
use crate::network::FetchInstruments;
use crate::outbox::Item;
use crate::transmit::{DownReason, Lane, ReadOn};
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

/// A connector with its clock; every output as a line of text.
struct World {
    polymarket: Polymarket,
    now: Nanos,
    /// The wide events of the last input.
    wide: Vec<WideBody>,
}

const START: Nanos = Nanos::from_secs(1_700_000_000);

fn id(index: u32) -> StreamId {
    StreamId::new(index).expect("small")
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
        World {
            polymarket: Polymarket::new(config, 7).expect("a good config"),
            now: START,
            wide: Vec::new(),
        }
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

    fn input(&mut self, act: impl FnOnce(&mut Polymarket, Nanos, &mut Outbox)) -> Vec<String> {
        let mut out = Outbox::new();
        act(&mut self.polymarket, self.now, &mut out);
        self.wide.clear();
        for item in out.iter() {
            if let Item::Wide(wide) = item {
                self.wide.push(wide.body);
            }
        }
        let mut lines: Vec<String> = out.iter().map(line).collect();
        lines.extend(out.news().iter().map(|news| format!("{news:?}")));
        let mut body = Vec::new();
        while let Some(todo) = self.polymarket.poll_transmit(self.now, &mut body) {
            lines.push(todo_line(&todo, &body));
            body.clear();
        }
        assert!(!self.polymarket.has_transmit(), "nothing is left to do");
        self.polymarket.streams.check_timers();
        lines
    }

    fn last_wide(&self) -> Option<WideBody> {
        self.wide.last().copied()
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
        self.input(|polymarket, now, out| polymarket.handle_command(now, command, out))
    }

    fn up(&mut self, link: u16, epoch: u16) -> Vec<String> {
        let change = LinkChange::Up { epoch };
        self.input(|polymarket, now, out| polymarket.handle_link(now, LinkId(link), change, out))
    }

    fn down(&mut self, link: u16) -> Vec<String> {
        let reason = DownReason::Lost("reset".to_owned());
        let change = LinkChange::Down { reason };
        self.input(|polymarket, now, out| polymarket.handle_link(now, LinkId(link), change, out))
    }

    fn message(&mut self, link: u16, text: &str) -> Vec<String> {
        let mut payload = text.as_bytes().to_vec();
        self.input(|polymarket, now, out| {
            polymarket.handle_message(now, LinkId(link), &mut payload, out)
        })
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

    /// Goes to the next timer that does something and fires it.
    fn timeout(&mut self) -> Vec<String> {
        for _ in 0..100 {
            let next = self.polymarket.poll_timeout().expect("a timer is set");
            self.now = self.now.max(next);
            let lines = self.input(|polymarket, now, out| polymarket.handle_timeout(now, out));
            if !lines.is_empty() {
                return lines;
            }
        }
        panic!("no timer does anything");
    }

    /// Lets time pass; fires what is due at its end.
    fn pass(&mut self, span: Nanos) -> Vec<String> {
        self.now += span;
        self.input(|polymarket, now, out| polymarket.handle_timeout(now, out))
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
        other => format!("{other:?}"),
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

//! A connector with its clock, for tests that read as transcripts: inputs and times in; events and
//! requests out, each as a line of text.

use tickwire_orderbook::{Price, Qty, Side};

use crate::command::Command;
use crate::connector::Connector;
use crate::event::{Body, StreamId};
use crate::instrument::symbol;
use crate::outbox::{Item, Outbox};
use crate::time::Nanos;
use crate::transmit::{DownReason, HttpRequest, Lane, LinkChange, LinkId, Transmit};
use crate::wide::WideBody;

/// When the clock begins.
pub(crate) const START: Nanos = Nanos::from_secs(1_700_000_000);

/// A connector that can be looked into.
pub(crate) trait Tested: Connector {
    /// Whether each timer is known where it is looked for.
    fn check_timers(&mut self);

    /// A request as a line.
    fn http_line(request: &HttpRequest, body: &[u8]) -> String;
}

/// A connector with its clock.
pub(crate) struct World<C> {
    pub(crate) venue: C,
    pub(crate) now: Nanos,
    /// The wide events of the last input.
    pub(crate) wide: Vec<WideBody>,
}

pub(crate) fn id(index: u32) -> StreamId {
    StreamId::new(index).expect("small")
}

impl<C: Tested> World<C> {
    pub(crate) const fn of(venue: C) -> World<C> {
        World {
            venue,
            now: START,
            wide: Vec::new(),
        }
    }

    pub(crate) fn input(&mut self, act: impl FnOnce(&mut C, Nanos, &mut Outbox)) -> Vec<String> {
        let mut out = Outbox::new();
        act(&mut self.venue, self.now, &mut out);
        self.wide.clear();
        for item in out.iter() {
            if let Item::Wide(wide) = item {
                self.wide.push(wide.body);
            }
        }
        let mut lines: Vec<String> = out.iter().map(line).collect();
        lines.extend(out.news().iter().map(|news| format!("{news:?}")));
        let mut body = Vec::new();
        while let Some(todo) = self.venue.poll_transmit(self.now, &mut body) {
            lines.push(todo_line::<C>(&todo, &body));
            body.clear();
        }
        assert!(!self.venue.has_transmit(), "nothing is left to do");
        self.venue.check_timers();
        lines
    }

    pub(crate) fn last_wide(&self) -> Option<WideBody> {
        self.wide.last().copied()
    }

    pub(crate) fn subscribe(&mut self, stream: u32, text: &str, channel: &str) -> Vec<String> {
        self.subscribe_depth(stream, text, channel, false)
    }

    pub(crate) fn subscribe_depth(
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

    pub(crate) fn unsubscribe(&mut self, stream: u32) -> Vec<String> {
        self.command(Command::Unsubscribe { stream: id(stream) })
    }

    pub(crate) fn command(&mut self, command: Command) -> Vec<String> {
        self.input(|venue, now, out| venue.handle_command(now, command, out))
    }

    pub(crate) fn up(&mut self, link: u16, epoch: u16) -> Vec<String> {
        let change = LinkChange::Up { epoch };
        self.input(|venue, now, out| venue.handle_link(now, LinkId(link), change, out))
    }

    pub(crate) fn down(&mut self, link: u16) -> Vec<String> {
        let reason = DownReason::Lost("reset".to_owned());
        let change = LinkChange::Down { reason };
        self.input(|venue, now, out| venue.handle_link(now, LinkId(link), change, out))
    }

    pub(crate) fn message(&mut self, link: u16, text: &str) -> Vec<String> {
        let mut payload = text.as_bytes().to_vec();
        self.input(|venue, now, out| venue.handle_message(now, LinkId(link), &mut payload, out))
    }

    /// Goes to the next timer that does something and fires it.
    pub(crate) fn timeout(&mut self) -> Vec<String> {
        for _ in 0..100 {
            let next = self.venue.poll_timeout().expect("a timer is set");
            self.now = self.now.max(next);
            let lines = self.input(|venue, now, out| venue.handle_timeout(now, out));
            if !lines.is_empty() {
                return lines;
            }
        }
        panic!("no timer does anything");
    }

    /// Lets time pass; fires what is due at its end.
    pub(crate) fn pass(&mut self, span: Nanos) -> Vec<String> {
        self.now += span;
        self.input(|venue, now, out| venue.handle_timeout(now, out))
    }
}

fn line(item: Item<'_>) -> String {
    match item {
        Item::Hot(event) => {
            let (stream, seq) = (event.stream(), event.seq());
            match event.body() {
                Body::Bbo(bbo) => {
                    let side = |level: Option<(Price, Qty)>| {
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

fn todo_line<C: Tested>(todo: &Transmit, body: &[u8]) -> String {
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
        Transmit::Http(request) => C::http_line(request, body),
        other => format!("{other:?}"),
    }
}

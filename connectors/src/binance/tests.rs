//! Transcripts: inputs with their times in, events and requests out.

mod fixtures;
mod links;
mod rest;
mod scanners;
mod subscribe;
mod symbols;
mod sync;
mod trade;
mod trade_fixtures;
mod trade_races;
mod watch;
mod witness;

use super::{Binance, BinanceConfig};
use crate::channel::Channel;
use crate::command::Command;
use crate::connector::Connector;
use crate::event::{Body, StreamId};
use crate::instrument::symbol;
use crate::network::FetchInstruments;
use crate::outbox::{Item, Outbox};
use crate::time::Nanos;
use crate::transmit::{
    DownReason, HttpFailure, HttpRequest, LinkChange, LinkId, RequestId, Response, Transmit,
};
use crate::upkeep::TopCheck;
use crate::wide::{VenueNews, WideBody};

/// A connector with an engine that does nothing by itself. Each input gives the events it caused,
/// as text; what the connector asks for is collected.
struct World {
    binance: Binance,
    now: Nanos,
    out: Outbox,
    http: Vec<HttpRequest>,
    sent: Vec<(u16, String)>,
    control: Vec<Transmit>,
}

fn stream(index: u32) -> StreamId {
    StreamId::new(index).expect("a small number")
}

/// Without exchange info, and without streams that nobody asked for.
fn plain(mut config: BinanceConfig) -> BinanceConfig {
    config.instruments = FetchInstruments::No;
    config.upkeep.top_check = TopCheck::Never;
    config
}

impl World {
    fn new(config: BinanceConfig) -> World {
        World {
            binance: Binance::new(config, 7).expect("a good config"),
            // A minute's start, so that weights are counted from zero.
            now: Nanos::from_secs(1_700_000_040),
            out: Outbox::new(),
            http: Vec::new(),
            sent: Vec::new(),
            control: Vec::new(),
        }
    }

    fn spot() -> World {
        World::new(plain(BinanceConfig::spot()))
    }

    /// Moves what the last input caused out of the connector.
    fn drain(&mut self) -> Vec<String> {
        let mut body = Vec::new();
        while let Some(transmit) = self.binance.poll_transmit(self.now, &mut body) {
            match transmit {
                Transmit::Text { link, .. } => {
                    let text = String::from_utf8(core::mem::take(&mut body)).expect("UTF-8");
                    self.sent.push((link.0, text));
                }
                Transmit::Http(request) => self.http.push(*request),
                other => self.control.push(other),
            }
        }
        assert!(!self.binance.has_transmit(), "all of it was taken");
        let mut events: Vec<String> = self.out.iter().map(text_of).collect();
        events.extend(self.out.news().iter().map(|news| match news {
            VenueNews::Banned { until_ns, status } => {
                let wait = until_ns.since(self.now).as_millis();
                format!("banned {status} for {wait} ms")
            }
            VenueNews::BanLifted => "ban lifted".to_owned(),
        }));
        self.out.clear();
        events
    }

    fn command(&mut self, command: Command) -> Vec<String> {
        self.binance
            .handle_command(self.now, command, &mut self.out);
        self.drain()
    }

    fn subscribe(&mut self, id: u32, name: &str, channel: Channel) -> Vec<String> {
        self.command(Command::Subscribe {
            stream: stream(id),
            symbol: symbol(name).expect("a short symbol"),
            channel,
            depth: false,
        })
    }

    fn up(&mut self, link: u16, epoch: u16) -> Vec<String> {
        let change = LinkChange::Up { epoch };
        self.binance
            .handle_link(self.now, LinkId(link), change, &mut self.out);
        self.drain()
    }

    fn down(&mut self, link: u16) -> Vec<String> {
        let reason = DownReason::Lost("reset".to_owned());
        let change = LinkChange::Down { reason };
        self.binance
            .handle_link(self.now, LinkId(link), change, &mut self.out);
        self.drain()
    }

    /// A frame on the first link that carries its stream; on link 0 where there is none.
    fn frame(&mut self, text: &str) -> Vec<String> {
        let name = text.split_once("\"stream\":\"").map(|(_, rest)| rest);
        let topic = name.and_then(|rest| rest.split('"').next());
        let slot = topic.and_then(|topic| {
            let index = self.binance.topics.find(topic.as_bytes())?;
            self.binance.slots[index].as_ref()
        });
        let link = slot.and_then(|slot| slot.carriers.first());
        self.frame_on(link.map_or(0, |link| link.0), text)
    }

    fn frame_on(&mut self, link: u16, text: &str) -> Vec<String> {
        let mut bytes = text.as_bytes().to_vec();
        self.binance
            .handle_message(self.now, LinkId(link), &mut bytes, &mut self.out);
        self.drain()
    }

    /// Acks all that was sent on a link and not acked yet.
    fn ack(&mut self, link: u16) -> Vec<String> {
        let (here, elsewhere): (Vec<_>, Vec<_>) =
            self.texts().into_iter().partition(|(of, _)| *of == link);
        self.sent = elsewhere;
        let mut events = Vec::new();
        for (_, text) in here {
            let (_, id) = text.rsplit_once("\"id\":").expect("an id");
            let ack = format!("{{\"result\":null,\"id\":{id}");
            events.extend(self.frame_on(link, &ack));
        }
        events
    }

    fn respond(&mut self, id: RequestId, status: u16, body: &str) -> Vec<String> {
        self.respond_with(id, status, &[], body)
    }

    fn respond_with(
        &mut self,
        id: RequestId,
        status: u16,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Vec<String> {
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let mut bytes = body.as_bytes().to_vec();
        let response = Response {
            status,
            headers: &headers,
            body: &mut bytes,
        };
        self.binance
            .handle_response(self.now, id, Ok(response), &mut self.out);
        self.drain()
    }

    fn fail(&mut self, id: RequestId) -> Vec<String> {
        let failure = HttpFailure {
            what: "connection reset".to_owned(),
            sent: true,
        };
        self.binance
            .handle_response(self.now, id, Err(failure), &mut self.out);
        self.drain()
    }

    /// Lets time pass and the timers run that come due.
    fn pass(&mut self, span: Nanos) -> Vec<String> {
        let end = self.now + span;
        let mut events = Vec::new();
        while let Some(at) = self.binance.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.binance.handle_timeout(self.now, &mut self.out);
            events.extend(self.drain());
            let next = self.binance.poll_timeout();
            assert!(
                next.is_none_or(|next| next > self.now),
                "a timer that has run is gone"
            );
        }
        self.now = end;
        events
    }

    /// The one request that is there.
    fn request(&mut self) -> HttpRequest {
        assert_eq!(self.http.len(), 1, "{:?}", self.http);
        self.http.remove(0)
    }

    fn texts(&mut self) -> Vec<(u16, String)> {
        core::mem::take(&mut self.sent)
    }

    fn state(&self, id: u32) -> &'static str {
        let view = self.binance.book(stream(id)).expect("a book");
        view.state.as_str()
    }
}

fn text_of(item: Item<'_>) -> String {
    match item {
        Item::Hot(event) => match event.body() {
            Body::Bbo(bbo) => {
                let side = |side: Option<(_, _)>| {
                    side.map_or(
                        "-".to_owned(),
                        |(price, qty): (tickwire_orderbook::Price, tickwire_orderbook::Qty)| {
                            format!("{}x{}", price.plain(), qty.plain())
                        },
                    )
                };
                format!(
                    "{} bbo {} {} seq {}",
                    bbo.stream(),
                    side(bbo.bid()),
                    side(bbo.ask()),
                    bbo.seq()
                )
            }
            Body::Trade(trade) => format!(
                "{} trade {} x {} {} id {}",
                trade.stream(),
                trade.price().plain(),
                trade.qty().plain(),
                trade.aggressor().as_str(),
                trade.id()
            ),
            Body::Level(level) => format!(
                "{} level {:?} {} {}",
                level.stream(),
                level.side(),
                level.price().plain(),
                level.qty().plain()
            ),
            Body::State(change) => {
                let gap = change.gap().map_or(String::new(), |(expected, got)| {
                    format!(" {expected} {got}")
                });
                format!(
                    "{} {} {}{gap} epoch {}",
                    change.stream(),
                    change.state().as_str(),
                    change.reason().as_str(),
                    change.epoch()
                )
            }
            Body::Lost(lost) => format!("{} lost", lost.stream()),
        },
        Item::Wide(wide) => match wide.body {
            WideBody::Instrument(of) => format!(
                "{} instrument {} {} {}",
                wide.stream, of.venue_symbol, of.price_scale, of.qty_scale
            ),
            WideBody::Notice(notice) => format!("{} notice {:?}", wide.stream, notice.kind),
            WideBody::Kline(kline) => format!(
                "{} kline {} closed {}",
                wide.stream, kline.close, kline.closed
            ),
            WideBody::Ticker(ticker) => format!("{} ticker {:?}", wide.stream, ticker.last),
            other => format!("{} {other:?}", wide.stream),
        },
    }
}

/// A spot delta of BTCUSDT in a combined frame.
fn delta(first: u64, last: u64, bids: &str, asks: &str) -> String {
    format!(
        r#"{{"stream":"btcusdt@depth@100ms","data":{{"e":"depthUpdate","E":1700000000123,"s":"BTCUSDT","U":{first},"u":{last},"b":[{bids}],"a":[{asks}]}}}}"#
    )
}

fn snapshot(id: u64, bids: &str, asks: &str) -> String {
    format!(r#"{{"lastUpdateId":{id},"bids":[{bids}],"asks":[{asks}]}}"#)
}

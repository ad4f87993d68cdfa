//! tickwire: the connectors as the engine calls them.

use core::hint::black_box;

use rust_decimal::Decimal;
use tickwire_connectors::transmit::Response;
use tickwire_connectors::{AnyConnector, Body, Connector, Nanos, Outbox, StreamId};
use tickwire_orderbook::{Price, Qty, Side};

use super::{Pair, Summary, Way};
use crate::feed::{Call, Feed, Message, key_of_stream};

/// tickwire.
#[expect(
    missing_debug_implementations,
    reason = "a custom connector may have none"
)]
pub struct Ours {
    connectors: Vec<AnyConnector>,
    /// The key of each stream, its connector, and whether it is of level 1.
    streams: Vec<(String, usize)>,
    out: Outbox,
    body: Vec<u8>,
    summary: Option<Summary>,
}

impl Ours {
    /// For a recording; `check` has it take down what it says.
    pub fn new(feed: &Feed, check: bool) -> Ours {
        let mut streams = Vec::new();
        for (connector, plan) in feed.plans.iter().enumerate() {
            for stream in &plan.streams {
                let key = key_of_stream(connector, &stream.symbol, stream.channel);
                streams.push((key, connector));
            }
        }
        Ours {
            connectors: feed.connectors(),
            streams,
            out: Outbox::new(),
            body: Vec::new(),
            summary: check.then(Summary::default),
        }
    }

    /// What the engine does behind each call, with no one to send to.
    #[inline]
    fn after_call(&mut self, connector: usize, now: Nanos) {
        black_box(self.out.hot());
        if let Some(summary) = &mut self.summary {
            note(&self.out, &self.streams, summary);
        }
        self.out.clear();
        if self.connectors[connector].has_transmit() {
            self.body.clear();
            while self.connectors[connector]
                .poll_transmit(now, &mut self.body)
                .is_some()
            {
                self.body.clear();
            }
        }
    }
}

fn price(price: Price) -> Decimal {
    Decimal::new(price.mantissa(), price.scale().get().into())
}

fn qty(qty: Qty) -> Decimal {
    Decimal::new(qty.mantissa(), qty.scale().get().into())
}

fn note(out: &Outbox, streams: &[(String, usize)], summary: &mut Summary) {
    for event in out.hot() {
        match event.body() {
            Body::Trade(trade) => summary.trade(price(trade.price()), qty(trade.qty())),
            Body::Bbo(bbo) => {
                let Some((key, _)) = streams.get(event.stream().index()) else {
                    continue;
                };
                if key.ends_with("bookTicker") {
                    let pair = |(at, size): (Price, Qty)| -> Pair { (price(at), qty(size)) };
                    summary.top(key, [bbo.bid().map(pair), bbo.ask().map(pair)]);
                }
            }
            _ => {}
        }
    }
}

impl Way for Ours {
    fn call(&mut self, connector: usize, now: Nanos, call: &Call) {
        let (of, out) = (&mut self.connectors[connector], &mut self.out);
        match call.clone() {
            Call::Command(command) => of.handle_command(now, command, out),
            Call::Link(link, change) => of.handle_link(now, link, change, out),
            Call::Other(link, mut text) => of.handle_message(now, link, &mut text, out),
            Call::Answer(id, body, _) => {
                let mut body = body;
                let response = match &mut body {
                    Ok(body) => Ok(Response {
                        status: 200,
                        headers: &[],
                        body,
                    }),
                    Err(failure) => Err(failure.clone()),
                };
                of.handle_response(now, id, response, out);
            }
            Call::Instruments(id, instruments) => {
                of.handle_instruments(now, id, instruments, out);
            }
        }
        self.after_call(connector, now);
    }

    #[inline]
    fn take(&mut self, message: &Message, text: &mut [u8]) {
        let Message {
            connector,
            link,
            now,
            ..
        } = *message;
        self.connectors[connector].handle_message(now, link, text, &mut self.out);
        self.after_call(connector, now);
    }

    fn summary(&mut self) -> Summary {
        let mut summary = self.summary.take().unwrap_or_default();
        for (index, (key, connector)) in self.streams.iter().enumerate() {
            let id = u32::try_from(index).ok().and_then(StreamId::new);
            let Some(view) = id.and_then(|id| self.connectors[*connector].book(id)) else {
                continue;
            };
            let is_level1 = key.ends_with("bookTicker");
            if is_level1 || view.book.is_empty() {
                continue;
            }
            let levels = |side: Side| {
                let (price, qty) = (view.price_scale.get(), view.qty_scale.get());
                view.book.levels(side).map(move |level| {
                    (
                        Decimal::new(level.price, price.into()),
                        Decimal::new(level.qty, qty.into()),
                    )
                })
            };
            summary.book(key, levels(Side::Bid), levels(Side::Ask));
        }
        summary
    }
}

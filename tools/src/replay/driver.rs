//! One connector and what a recording stands in for: its links and the venue's HTTP answers.

use std::collections::HashMap;
use std::fmt;

use serde_json::Value;
use tickwire_connectors::connector::Connector;
use tickwire_connectors::instrument::Symbol;
use tickwire_connectors::outbox::Outbox;
use tickwire_connectors::transmit::{DownReason, HttpFailure, ReadOn, Response};
use tickwire_connectors::{
    Body, Channel, Command, LinkChange, LinkId, Market, Nanos, Reason, StreamId, Transmit, Venue,
};

use super::answers::{Answers, Reply, Waiting};
use super::error::ReplayError;
use super::plan::MarketPlan;
use super::sniff;

/// Far more than a connector wants to do after one input, which is a few things a stream.
const TRANSMITS_MAX: usize = 1 << 20;

struct Link {
    id: LinkId,
    epoch: u16,
}

pub(super) struct Driver<C> {
    connector: C,
    venue: Venue,
    market: Market,
    /// What the connector said since the step began.
    pub(super) events: Outbox,
    wanted: Vec<(StreamId, Symbol, Channel)>,
    links: Vec<Link>,
    /// Where the connector subscribed to a topic, so that its messages arrive there.
    topics: HashMap<String, LinkId>,
    answers: Answers,
    body: Vec<u8>,
}

impl<C: Connector> Driver<C> {
    pub(super) fn new(
        connector: C,
        plan: &MarketPlan,
        wanted: Vec<(StreamId, Symbol, Channel)>,
    ) -> Driver<C> {
        Driver {
            venue: connector.venue(),
            connector,
            market: plan.market,
            events: Outbox::new(),
            wanted,
            links: Vec::new(),
            topics: HashMap::new(),
            answers: Answers::new(plan.has_instruments, plan.symbols()),
            body: Vec::new(),
        }
    }

    pub(super) fn connector(&self) -> &C {
        &self.connector
    }

    pub(super) fn market(&self) -> Market {
        self.market
    }

    pub(super) fn unanswered(&self) -> usize {
        self.answers.waiting()
    }

    /// Subscribes to everything; the links come up as soon as the connector opens them.
    pub(super) fn start(&mut self, now: Nanos) -> Result<(), ReplayError> {
        for (stream, symbol, channel) in std::mem::take(&mut self.wanted) {
            let command = Command::Subscribe {
                stream,
                symbol,
                channel,
                depth: false,
            };
            self.connector
                .handle_command(now, command, &mut self.events);
        }
        self.pump(now)
    }

    /// A frame of the venue.
    pub(super) fn message(&mut self, now: Nanos, payload: &mut [u8]) -> Result<(), ReplayError> {
        let Some(link) = self.link_of(payload) else {
            return Ok(());
        };
        self.connector
            .handle_message(now, link, payload, &mut self.events);
        self.pump(now)
    }

    /// An HTTP answer of the venue.
    pub(super) fn answer(
        &mut self,
        now: Nanos,
        url: Option<&str>,
        body: &[u8],
    ) -> Result<(), ReplayError> {
        for waiting in self.answers.answer(url, body) {
            self.give(now, waiting, body);
        }
        self.pump(now)
    }

    /// The recorder lost its link and made it anew.
    pub(super) fn reconnect(&mut self, now: Nanos) -> Result<(), ReplayError> {
        for index in 0..self.links.len() {
            let reason = DownReason::Lost("the recording has a new connection here".to_owned());
            self.renew(now, index, reason);
        }
        self.pump(now)
    }

    fn renew(&mut self, now: Nanos, index: usize, reason: DownReason) {
        let Some(link) = self.links.get_mut(index) else {
            return;
        };
        link.epoch = link.epoch.wrapping_add(1);
        let (id, epoch) = (link.id, link.epoch);
        for change in [LinkChange::Down { reason }, LinkChange::Up { epoch }] {
            self.connector
                .handle_link(now, id, change, &mut self.events);
        }
    }

    /// Does all that the connector wants done.
    fn pump(&mut self, now: Nanos) -> Result<(), ReplayError> {
        for _ in 0..TRANSMITS_MAX {
            self.body.clear();
            let Some(transmit) = self.connector.poll_transmit(now, &mut self.body) else {
                return Ok(());
            };
            self.transmit(now, transmit);
        }
        Err(ReplayError::Runaway(TRANSMITS_MAX))
    }

    fn transmit(&mut self, now: Nanos, transmit: Transmit) {
        match transmit {
            Transmit::Open { link, .. } => {
                self.links.retain(|known| known.id != link);
                self.links.push(Link { id: link, epoch: 1 });
                let change = LinkChange::Up { epoch: 1 };
                self.connector
                    .handle_link(now, link, change, &mut self.events);
            }
            Transmit::Close { link } => {
                self.links.retain(|known| known.id != link);
                let reason = DownReason::Closed;
                self.connector.handle_link(
                    now,
                    link,
                    LinkChange::Down { reason },
                    &mut self.events,
                );
            }
            Transmit::Reconnect { link, why } => {
                let index = self.links.iter().position(|known| known.id == link);
                if let Some(index) = index {
                    self.renew(now, index, DownReason::Cut(why));
                }
            }
            // Nobody reads it; but it tells over which link a topic is to come.
            Transmit::Text { link, .. } => self.note_topics(link),
            Transmit::Binary { .. } | Transmit::Ping { .. } => {}
            Transmit::Http(request) => match self.answers.request(&request) {
                Reply::Now(waiting, body) => self.give(now, waiting, &body),
                Reply::Later => {}
                Reply::Never(waiting) => self.refuse(now, &waiting),
            },
        }
    }

    fn give(&mut self, now: Nanos, waiting: Waiting, body: &[u8]) {
        // Parsed in place, and it may be needed again.
        let mut copy = body.to_vec();
        let before = self.events.hot().len();
        match waiting.read_on {
            ReadOn::Loop => {
                let response = Response {
                    status: 200,
                    headers: &[],
                    body: &mut copy,
                };
                self.connector
                    .handle_response(now, waiting.id, Ok(response), &mut self.events);
            }
            ReadOn::Helper => {
                let instruments = self.connector.instrument_reader()(self.market, &mut copy);
                self.connector
                    .handle_instruments(now, waiting.id, instruments, &mut self.events);
            }
        }
        // A snapshot that was finer than the book's scale has only taught the connector the scale.
        // It asks again, and the venue would answer again.
        let said = self.events.hot().get(before..).unwrap_or_default();
        let rescaled = said.iter().any(|event| {
            matches!(event.body(), Body::State(change) if change.reason() == Reason::Rescale)
        });
        if rescaled {
            self.answers.keep(waiting, body);
        }
    }

    fn refuse(&mut self, now: Nanos, waiting: &Waiting) {
        let failure = HttpFailure {
            what: "the recording holds no answer to this request".to_owned(),
            sent: false,
        };
        self.connector
            .handle_response(now, waiting.id, Err(failure), &mut self.events);
    }

    fn link_of(&self, payload: &[u8]) -> Option<LinkId> {
        let first = self.links.first()?.id;
        if self.links.len() == 1 {
            return Some(first);
        }
        let link = sniff::topic(self.venue, payload).and_then(|topic| self.topics.get(topic));
        Some(link.copied().unwrap_or(first))
    }

    fn note_topics(&mut self, link: LinkId) {
        let text = std::str::from_utf8(&self.body).unwrap_or_default();
        let Ok(request) = text.parse::<Value>() else {
            return;
        };
        let topics = request.get("params").or_else(|| request.get("args"));
        for topic in topics.and_then(Value::as_array).into_iter().flatten() {
            if let Some(topic) = topic.as_str() {
                self.topics.insert(topic.to_owned(), link);
            }
        }
    }
}

impl<C> fmt::Debug for Driver<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("venue", &self.venue)
            .field("market", &self.market)
            .field("answers", &self.answers)
            .finish_non_exhaustive()
    }
}

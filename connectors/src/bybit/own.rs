//! What is Bybit's own about market data, by the skeleton's questions.

use tickwire_orderbook::Scale;

use super::links::{Heartbeat, Link};
use super::route::{Scratch, handle_data};
use super::subscribe::{DEPTHS, topic};
use super::sync::{Beside, Entry, Feed};
use super::tape::{self, AnswerOp};
use super::trade::Words;
use super::urls::{self, Urls};
use super::{rest, route, symbols, watch};
use crate::channel::Channel;
use crate::connector::InstrumentReader;
use crate::error::{Error, ErrorKind, Next};
use crate::governor::Governor;
use crate::instrument::{Instrument, Market, Symbol, Venue};
use crate::liveness::Probe;
use crate::market_data::{
    Ask, Bulk, Context, Dialect, LinkOutput, Shows, Streams, Topic, Topical, Trader,
};
use crate::outbox::Outbox;
use crate::scan::ScanError;
use crate::subscriptions::Rules;
use crate::time::Nanos;
use crate::trading::desk::Desk;
use crate::transmit::{Endpoint, HttpFailure, LinkId, LinkSpec, Response};
use crate::upkeep::Upkeep;

/// One market of Bybit.
#[derive(Debug)]
pub(crate) struct Own {
    market: Market,
    urls: Urls,
    scratch: Scratch,
    /// The account, where there are credentials.
    desk: Option<Box<Desk<Words>>>,
}

impl Own {
    pub(super) fn new(market: Market, urls: Urls, desk: Option<Box<Desk<Words>>>) -> Own {
        Own {
            market,
            urls,
            scratch: Scratch::new(),
            desk,
        }
    }
}

impl Dialect for Own {
    type Kept = Beside;
    type Life = Heartbeat;

    const VENUE: Venue = Venue::Bybit;
    const BANS: &'static [u16] = &[403, 429];
    const INSTRUMENT_READER: InstrumentReader = rest::read_instruments;
    const BULK: Bulk = Bulk::All;
    const INSTRUMENT_BYTES_MAX: usize = urls::REST_BODY_BYTES_MAX;
    const PROBE_BYTES_MAX: usize = urls::PROBE_BODY_BYTES_MAX;

    fn default_scales(market: Market) -> (Scale, Scale) {
        symbols::default_scales(market)
    }

    fn instrument_by_rule(market: Market, asked: &Symbol) -> Result<Instrument, Error> {
        symbols::default_instrument(market, asked)
    }

    fn topic(&self, channel: Channel, venue_symbol: &Symbol) -> Result<Topic, Error> {
        topic(channel, venue_symbol)
    }

    fn shows(topic: &str) -> Shows<'_> {
        let book = topic.strip_prefix("orderbook.");
        match book.and_then(|book| book.split_once('.')) {
            Some(("1", symbol)) => Shows::Best(symbol),
            Some((_, symbol)) => Shows::Book(symbol),
            None => Shows::Other,
        }
    }

    fn book_topics(symbol: &str) -> Vec<Topic> {
        let topic = |depth| Topic::from(&format!("orderbook.{depth}.{symbol}")).ok();
        DEPTHS
            .iter()
            .filter_map(|(depth, _)| topic(depth))
            .collect()
    }

    fn best_topic(symbol: &str) -> Option<Topic> {
        Topic::from(&format!("orderbook.1.{symbol}")).ok()
    }

    fn keep(&self, market: Market, channel: Channel, _: &Symbol, _: &Upkeep) -> Beside {
        Beside::new(Feed::new(market, channel))
    }

    fn rules(&self) -> Rules {
        urls::rules(self.market)
    }

    fn new_life(&self) -> Heartbeat {
        Heartbeat::new()
    }

    /// All topics of a connection have so many characters at most.
    fn has_room(&self, link: &Link, topic: &str) -> bool {
        let extra = (link.subscriptions.len() + 1) * urls::ARG_EXTRA_CHARS;
        link.subscriptions.name_bytes() + topic.len() + extra <= urls::ARGS_CHARS_MAX
    }

    fn has_link(&self, link: LinkId) -> bool {
        self.desk.as_ref().is_some_and(|desk| desk.has_link(link))
    }

    fn link_spec(&self) -> LinkSpec {
        self.urls.link()
    }

    fn begin_life(&mut self, now: Nanos, life: &mut Heartbeat) {
        life.begin(now);
    }

    fn handle_link_timeout(&mut self, now: Nanos, link: &mut Link) -> Option<&'static str> {
        link.handle_timeout(now)
    }

    fn poll_link(
        &mut self,
        now: Nanos,
        link: &mut Link,
        _: &Governor,
        body: &mut Vec<u8>,
    ) -> LinkOutput {
        link.poll_text(now, body)
    }

    #[inline]
    fn handle_message(
        streams: &mut Streams<Own>,
        now: Nanos,
        link: LinkId,
        payload: &mut [u8],
        out: &mut Outbox,
    ) {
        streams.handle_topical(now, link, payload, out);
    }

    fn rest(&self) -> (&Endpoint, &str) {
        (&self.urls.rest, &self.urls.rest_prefix)
    }

    fn write_question(&self, ask: &Ask, _: &mut Vec<u8>) -> String {
        rest::question(self.market, ask)
    }

    fn read_instruments(
        market: Market,
        now: Nanos,
        response: Result<Response<'_>, HttpFailure>,
    ) -> Result<Vec<Instrument>, Error> {
        rest::read_response(market, now, response)
    }

    fn not_listed() -> Error {
        rest::not_listed()
    }

    fn probe(&self, _: Nanos, entry: &Entry) -> Option<String> {
        watch::probe(self.market, entry)
    }

    fn read_probe(
        &mut self,
        now: Nanos,
        response: Result<Response<'_>, HttpFailure>,
        entry: Option<&mut Entry>,
    ) -> Result<Probe, Error> {
        let levels = &mut self.scratch.levels;
        rest::read_result(rest::body_of(now, response)?, |result| {
            let found = entry.map(|entry| watch::compare_answer(entry, result, levels));
            found.flatten().unwrap_or(Probe::Failed)
        })
    }
}

impl Trader for Own {
    type Orders = Words;

    #[inline]
    fn desk(&self) -> Option<&Desk<Words>> {
        self.desk.as_deref()
    }

    fn desk_mut(&mut self) -> Option<&mut Desk<Words>> {
        self.desk.as_deref_mut()
    }
}

impl Topical for Own {
    #[inline]
    fn topic_of(payload: &[u8]) -> Result<Option<&[u8]>, ScanError> {
        route::topic(payload)
    }

    fn escaped_topic(&mut self, payload: &[u8]) -> Option<Option<String>> {
        self.scratch.copy(payload);
        let Scratch { reader, bytes, .. } = &mut self.scratch;
        reader.read(bytes, |message| tape::topic(&message).map(str::to_owned))
    }

    #[inline]
    fn handle_data(&mut self, entry: &mut Entry, payload: &[u8], context: &mut Context<'_>) {
        handle_data(entry, payload, &mut self.scratch, context);
    }

    fn handle_answer(
        streams: &mut Streams<Own>,
        now: Nanos,
        id: LinkId,
        payload: &mut [u8],
        out: &mut Outbox,
    ) {
        let reader = &mut streams.own.scratch.reader;
        let answer = reader.read(payload, |message| tape::answer(&message));
        let Some(answer) = answer.flatten() else {
            streams.counters.malformed += 1;
            return;
        };
        let Some(link) = streams.link_mut(id) else {
            return;
        };
        if answer.op == AnswerOp::Pong {
            link.life.handle_pong();
            return streams.rearm();
        }
        let outcome = link.handle_answer(&answer);
        for topic in &outcome.had {
            streams.handle_topic_acked(now, id, topic, out);
        }
        let kind = if outcome.unknown {
            ErrorKind::BadSymbol
        } else {
            ErrorKind::Other
        };
        let error = Error::venue(kind, Next::Never, None, answer.text.as_str());
        for topic in &outcome.refused {
            streams.handle_refused(now, id, topic, &error, out);
        }
        streams.rearm();
    }
}

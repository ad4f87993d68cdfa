//! What is Deribit's own about market data, by the skeleton's questions.

use tickwire_orderbook::Scale;

use super::links::{Link, Session};
use super::login::LoginWriter;
use super::route::{Scratch, handle_data};
use super::subscribe::{BOOKS, book_topic, quote_topic, topic};
use super::sync::{Beside, Entry, Feed};
use super::trade::Words;
use super::urls::{self, Urls};
use super::{rest, route, symbols, tape, watch};
use crate::channel::Channel;
use crate::connector::InstrumentReader;
use crate::error::Error;
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

/// One market of Deribit.
#[derive(Debug)]
pub(crate) struct Own {
    market: Market,
    urls: Urls,
    /// Where links log in.
    login: Option<LoginWriter>,
    scratch: Scratch,
    /// The account, where there are credentials.
    desk: Option<Box<Desk<Words>>>,
}

impl Own {
    pub(super) fn new(
        market: Market,
        urls: Urls,
        login: Option<LoginWriter>,
        desk: Option<Box<Desk<Words>>>,
    ) -> Own {
        Own {
            market,
            urls,
            login,
            desk,
            scratch: Scratch::new(),
        }
    }
}

impl Dialect for Own {
    type Kept = Beside;
    type Life = Session;

    const VENUE: Venue = Venue::Deribit;
    /// The address has too many connections, and each REST request is one more.
    const BANS: &'static [u16] = &[429];
    const INSTRUMENT_READER: InstrumentReader = rest::read_instruments;
    const BULK: Bulk = Bulk::All;
    const INSTRUMENT_BYTES_MAX: usize = urls::REST_BODY_BYTES_MAX;
    const PROBE_BYTES_MAX: usize = urls::PROBE_BODY_BYTES_MAX;
    const RENEWAL_IS_ADMITTED: bool = false;

    fn default_scales(market: Market) -> (Scale, Scale) {
        symbols::default_scales(market)
    }

    fn instrument_by_rule(market: Market, asked: &Symbol) -> Result<Instrument, Error> {
        symbols::default_instrument(market, asked)
    }

    fn is_listed(venue_symbol: &Symbol) -> bool {
        !symbols::is_index(venue_symbol)
    }

    fn topic(&self, channel: Channel, venue_symbol: &Symbol) -> Result<Topic, Error> {
        topic(channel, venue_symbol, self.login.is_some())
    }

    fn shows(topic: &str) -> Shows<'_> {
        if let Some(symbol) = topic.strip_prefix("quote.") {
            Shows::Best(symbol)
        } else if let Some(book) = topic.strip_prefix("book.") {
            Shows::Book(book.split('.').next().unwrap_or_default())
        } else {
            Shows::Other
        }
    }

    fn book_topics(symbol: &str) -> Vec<Topic> {
        let topics = BOOKS.iter().filter_map(|kind| book_topic(symbol, kind));
        topics.collect()
    }

    fn best_topic(symbol: &str) -> Option<Topic> {
        quote_topic(symbol)
    }

    fn keep(&self, _: Market, channel: Channel, symbol: &Symbol, _: &Upkeep) -> Beside {
        Beside::new(Feed::new(channel, symbol))
    }

    fn rules(&self) -> Rules {
        urls::RULES
    }

    fn new_life(&self) -> Session {
        Session::new(self.login.is_some())
    }

    fn has_link(&self, link: LinkId) -> bool {
        self.desk.as_ref().is_some_and(|desk| desk.has_link(link))
    }

    fn link_spec(&self) -> LinkSpec {
        self.urls.link()
    }

    fn begin_life(&mut self, _: Nanos, life: &mut Session) {
        life.begin();
    }

    fn handle_link_timeout(&mut self, now: Nanos, link: &mut Link) -> Option<&'static str> {
        link.handle_timeout(now)
    }

    fn poll_link(
        &mut self,
        now: Nanos,
        link: &mut Link,
        governor: &Governor,
        body: &mut Vec<u8>,
    ) -> LinkOutput {
        link.poll_text(now, self.login.as_mut(), governor, body)
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
        _: Nanos,
        response: Result<Response<'_>, HttpFailure>,
    ) -> Result<Vec<Instrument>, Error> {
        rest::read_response(market, response)
    }

    fn not_listed() -> Error {
        rest::not_listed()
    }

    fn probe(&self, now: Nanos, entry: &Entry) -> Option<String> {
        watch::probe(now, entry)
    }

    fn read_probe(
        &mut self,
        _: Nanos,
        response: Result<Response<'_>, HttpFailure>,
        entry: Option<&mut Entry>,
    ) -> Result<Probe, Error> {
        let (reader, levels) = self.scratch.of_probe();
        rest::read_result(reader, rest::body_of(response)?, |result| {
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
        let reader = &mut self.scratch.reader;
        reader.read(payload, |message| tape::topic(&message).map(str::to_owned))
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
        let outcome = link.handle_answer(now, &answer);
        if outcome.throttled {
            streams.rest.governor.note_ban(now, 429, None);
            streams.tell_news(now, out);
        }
        for topic in &outcome.had {
            streams.handle_topic_acked(now, id, topic, out);
        }
        if let Some(error) = &outcome.error {
            for topic in &outcome.refused {
                streams.handle_refused(now, id, topic, error, out);
            }
            if outcome.login_refused {
                handle_login_refused(streams, now, id, error, out);
            }
        }
        streams.rearm();
    }
}

/// Nothing that waits for this login can come.
fn handle_login_refused(
    streams: &mut Streams<Own>,
    now: Nanos,
    id: LinkId,
    error: &Error,
    out: &mut Outbox,
) {
    for route in streams.routes_on(id) {
        let topic = streams.routes.get(route).map(|route| route.topic);
        if let Some(topic) = topic {
            streams.handle_refused(now, id, &topic, error, out);
        }
    }
}

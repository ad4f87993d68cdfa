//! What is Polymarket's own about market data, by the skeleton's questions.

use tickwire_orderbook::Scale;

use super::links::{Life, Link};
use super::route::{self, Scratch};
use super::sync::{Beside, Entry};
use super::trade::Words;
use super::urls::{self, Urls};
use super::user::User;
use super::{rest, subscribe, symbols, watch};
use crate::channel::Channel;
use crate::connector::InstrumentReader;
use crate::error::Error;
use crate::governor::Governor;
use crate::instrument::{Instrument, Market, Symbol, Venue};
use crate::liveness::Probe;
use crate::market_data::{Ask, Bulk, Dialect, LinkOutput, Streams, Topic, Trader};
use crate::outbox::Outbox;
use crate::subscriptions::Rules;
use crate::time::Nanos;
use crate::trading::desk::Desk;
use crate::transmit::{Endpoint, HttpFailure, LinkId, LinkSpec, Response};
use crate::upkeep::Upkeep;

/// Polymarket, beside what every venue has.
#[derive(Debug)]
pub(crate) struct Own {
    pub(super) urls: Urls,
    /// Each n-th book is held against its hash.
    pub(super) book_hash_every: u32,
    pub(super) user: User,
    /// In place of `user` where the account trades.
    pub(super) desk: Option<Box<Desk<Words>>>,
    /// Out while a message is handled.
    pub(super) scratch: Option<Box<Scratch>>,
}

impl Dialect for Own {
    type Kept = Beside;
    type Life = Life;

    const VENUE: Venue = Venue::Polymarket;
    const BANS: &'static [u16] = &[403];
    const INSTRUMENT_READER: InstrumentReader = rest::read_instruments;
    const BULK: Bulk = rest::BULK;
    const INSTRUMENT_BYTES_MAX: usize = urls::REST_BODY_BYTES_MAX;
    const PROBE_BYTES_MAX: usize = urls::PROBE_BODY_BYTES_MAX;
    const BEST_IS_IN_BOOK: bool = true;

    fn default_scales(_: Market) -> (Scale, Scale) {
        (symbols::PRICE_SCALE, symbols::QTY_SCALE)
    }

    fn instrument_by_rule(_: Market, asked: &Symbol) -> Result<Instrument, Error> {
        symbols::default_instrument(asked)
    }

    fn unknown(_: Market, asked: Symbol) -> Instrument {
        symbols::instrument(asked)
    }

    fn topic(&self, channel: Channel, token: &Symbol) -> Result<Topic, Error> {
        subscribe::topic(channel, token)
    }

    fn keep(&self, _: Market, channel: Channel, _: &Symbol, upkeep: &Upkeep) -> Beside {
        Beside::new(channel, upkeep.top_check, self.book_hash_every)
    }

    fn rules(&self) -> Rules {
        urls::RULES
    }

    fn new_life(&self) -> Life {
        Life::new()
    }

    fn has_link(&self, link: LinkId) -> bool {
        self.user.link() == Some(link) || self.desk().is_some_and(|desk| desk.has_link(link))
    }

    fn link_spec(&self) -> LinkSpec {
        self.urls.link()
    }

    fn begin_life(&mut self, now: Nanos, life: &mut Life) {
        life.begin(now, &self.urls);
    }

    fn handle_link_timeout(&mut self, now: Nanos, link: &mut Link) -> Option<&'static str> {
        link.handle_timeout(now, &self.urls)
    }

    fn poll_link(
        &mut self,
        now: Nanos,
        link: &mut Link,
        _: &Governor,
        body: &mut Vec<u8>,
    ) -> LinkOutput {
        link.poll_text(now, &self.urls, body)
    }

    fn poll_timeout(&self) -> Option<Nanos> {
        self.user.poll_timeout()
    }

    #[inline]
    fn handle_message(
        streams: &mut Streams<Own>,
        now: Nanos,
        link: LinkId,
        payload: &mut [u8],
        out: &mut Outbox,
    ) {
        route::handle_message(streams, now, link, payload, out);
    }

    fn rest(&self) -> (&Endpoint, &str) {
        (&self.urls.rest, &self.urls.rest_prefix)
    }

    fn write_question(&self, ask: &Ask, body: &mut Vec<u8>) -> String {
        rest::write_question(ask, body)
    }

    fn read_instruments(
        market: Market,
        _: Nanos,
        response: Result<Response<'_>, HttpFailure>,
    ) -> Result<Vec<Instrument>, Error> {
        rest::read_response(market, response)
    }

    fn not_listed() -> Error {
        rest::no_book()
    }

    fn probe(&self, _: Nanos, entry: &Entry) -> Option<String> {
        let token = entry.stream.instrument.venue_symbol;
        Some(format!("/book?token_id={token}"))
    }

    fn read_probe(
        &mut self,
        _: Nanos,
        response: Result<Response<'_>, HttpFailure>,
        entry: Option<&mut Entry>,
    ) -> Result<Probe, Error> {
        rest::read_book(rest::body_of(response)?, |book| {
            let found = entry.map(|entry| watch::compare_answer(entry, book));
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

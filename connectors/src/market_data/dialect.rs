//! What is each venue's own about market data: its names, its words, and how its links live.

use tickwire_orderbook::Scale;

use super::Streams;
use super::entry::{Context, Entry, Kept};
use super::link::{Life, Link, LinkOutput};
use super::questions::{Ask, Bulk};
use super::routes::Topic;
use crate::channel::Channel;
use crate::connector::InstrumentReader;
use crate::error::Error;
use crate::governor::Governor;
use crate::instrument::{Instrument, InstrumentKey, Market, Symbol, Venue};
use crate::liveness::Probe;
use crate::outbox::Outbox;
use crate::scan::ScanError;
use crate::subscriptions::Rules;
use crate::time::Nanos;
use crate::transmit::{Endpoint, HttpFailure, LinkId, LinkSpec, Response};
use crate::upkeep::Upkeep;

/// What a topic shows of its instrument, where books and best prices are held against each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shows<'a> {
    /// A book of this symbol.
    Book(&'a str),
    /// The best prices of this symbol alone.
    Best(&'a str),
    /// Something else.
    Other,
}

/// A venue's own side of market data.
pub(crate) trait Dialect: core::fmt::Debug + Sized {
    /// What is kept beside a stream.
    type Kept: Kept;
    /// What is kept beside a link.
    type Life: Life;

    const VENUE: Venue;

    /// Statuses of a refused upgrade that tell of a ban, of requests as well.
    const BANS: &'static [u16];

    /// How the venue answers for many instruments at once.
    const BULK: Bulk;

    /// The largest answer about instruments.
    const INSTRUMENT_BYTES_MAX: usize;

    /// The largest answer to a probe.
    const PROBE_BYTES_MAX: usize;

    /// Whether the best prices come in the messages of the book, so that a fresh one mends both.
    const BEST_IS_IN_BOOK: bool = false;

    /// What must be asked of the budget before a topic is asked for anew. Where requests are paid for
    /// one by one as they are sent, nothing.
    const RENEWAL_IS_ADMITTED: bool = true;

    /// Reads instrument data on another thread.
    const INSTRUMENT_READER: InstrumentReader;

    // Names.

    /// Decimals of prices and quantities where the venue has not said.
    fn default_scales(market: Market) -> (Scale, Scale);

    /// An instrument of which only the name is known.
    fn instrument_by_rule(market: Market, asked: &Symbol) -> Result<Instrument, Error>;

    /// An instrument for the events of a stream that never comes to be.
    fn unknown(market: Market, asked: Symbol) -> Instrument {
        let key = InstrumentKey {
            venue: Self::VENUE,
            market,
            symbol: asked,
        };
        let (price_scale, qty_scale) = Self::default_scales(market);
        Instrument::with_defaults(key, asked, price_scale, qty_scale)
    }

    /// Whether the venue tells of the instrument with this symbol of its own.
    fn is_listed(_venue_symbol: &Symbol) -> bool {
        true
    }

    /// The topic of a channel. What the venue does not offer is refused here, before anything is sent.
    fn topic(&self, channel: Channel, venue_symbol: &Symbol) -> Result<Topic, Error>;

    fn shows(_topic: &str) -> Shows<'_> {
        Shows::Other
    }

    /// The topics of every kind of book of an instrument.
    fn book_topics(_venue_symbol: &str) -> Vec<Topic> {
        Vec::new()
    }

    /// The topic of an instrument's best prices, where books are held against it.
    fn best_topic(_venue_symbol: &str) -> Option<Topic> {
        None
    }

    /// What is to be kept beside a new stream.
    fn keep(
        &self,
        market: Market,
        channel: Channel,
        venue_symbol: &Symbol,
        upkeep: &Upkeep,
    ) -> Self::Kept;

    // Links.

    /// The venue's rules on subscribe requests.
    fn rules(&self) -> Rules;

    fn new_life(&self) -> Self::Life;

    /// Whether the venue's limits leave room on a link for one more topic.
    fn has_room(&self, _link: &Link<Self::Life>, _topic: &str) -> bool {
        true
    }

    /// Whether the number is that of a link of its own, beside those of market data.
    fn has_link(&self, _link: LinkId) -> bool {
        false
    }

    /// A link as the venue wants it.
    fn link_spec(&self) -> LinkSpec;

    /// A link is up.
    fn begin_life(&mut self, now: Nanos, life: &mut Self::Life);

    /// The time of a link that is up has come. Gives why it is dead, where it is.
    fn handle_link_timeout(
        &mut self,
        now: Nanos,
        link: &mut Link<Self::Life>,
    ) -> Option<&'static str>;

    /// What is to be said on a link that is up.
    fn poll_link(
        &mut self,
        now: Nanos,
        link: &mut Link<Self::Life>,
        governor: &Governor,
        body: &mut Vec<u8>,
    ) -> LinkOutput;

    /// When what it has beside market data is next to be looked at.
    fn poll_timeout(&self) -> Option<Nanos> {
        None
    }

    /// A message on a link of market data.
    fn handle_message(
        streams: &mut Streams<Self>,
        now: Nanos,
        link: LinkId,
        payload: &mut [u8],
        out: &mut Outbox,
    );

    // Requests.

    /// Where requests go, and what stands before each path.
    fn rest(&self) -> (&Endpoint, &str);

    /// The path of a question about instruments. What is written to `body` is posted as JSON.
    fn write_question(&self, ask: &Ask, body: &mut Vec<u8>) -> String;

    /// The answer to such a question.
    fn read_instruments(
        market: Market,
        now: Nanos,
        response: Result<Response<'_>, HttpFailure>,
    ) -> Result<Vec<Instrument>, Error>;

    /// Why a symbol that was asked for is not in the answer.
    fn not_listed() -> Error;

    /// The path of a request that tells what an entry should have got.
    fn probe(&self, now: Nanos, entry: &Entry<Self::Kept>) -> Option<String>;

    /// What its answer says of the entry, should that still be there.
    fn read_probe(
        &mut self,
        now: Nanos,
        response: Result<Response<'_>, HttpFailure>,
        entry: Option<&mut Entry<Self::Kept>>,
    ) -> Result<Probe, Error>;
}

/// A venue whose messages each name their topic.
pub(crate) trait Topical: Dialect {
    /// The topic of a message, as the scanner finds it; `None` for one without.
    fn topic_of(payload: &[u8]) -> Result<Option<&[u8]>, ScanError>;

    /// The same, for a message with escapes. `None` for one that can't be read.
    fn escaped_topic(&mut self, payload: &[u8]) -> Option<Option<String>>;

    /// A message for one stream.
    fn handle_data(
        &mut self,
        entry: &mut Entry<Self::Kept>,
        payload: &[u8],
        context: &mut Context<'_>,
    );

    /// A message without a topic.
    fn handle_answer(
        streams: &mut Streams<Self>,
        now: Nanos,
        link: LinkId,
        payload: &mut [u8],
        out: &mut Outbox,
    );
}

//! The contract between a venue's state machine and the engine that drives it.

use tickwire_orderbook::{Book, Scale};

use crate::command::Command;
use crate::error::{Error, ErrorKind};
use crate::event::{StreamId, StreamState};
use crate::instrument::{Instrument, Market, Symbol, Venue};
use crate::outbox::Outbox;
use crate::time::Nanos;
use crate::trading::{Action, Answer, Ticket};
use crate::transmit::{HttpFailure, LinkChange, LinkId, LinkLoss, RequestId, Response, Transmit};

/// Reads a venue's instrument data. Pure, so that it can run on another thread.
pub type InstrumentReader = fn(Market, &mut [u8]) -> Result<Vec<Instrument>, Error>;

/// Gives a symbol, unified or the venue's own, in the venue's own writing, by the venue's naming
/// rules alone: both writings of an instrument are one stream. Pure; other text comes back as it is.
pub type SymbolRule = fn(Market, &Symbol) -> Symbol;

/// A venue (one market of it) as a sans-IO state machine.
///
/// **Driving it.** Give it an input by a `handle_*` call; then route the events in `out` and clear
/// it; then call [`poll_transmit`](Connector::poll_transmit) until it gives `None`; then read
/// [`poll_timeout`](Connector::poll_timeout). `now` never steps back. The same inputs at the same
/// times give the same outputs, byte for byte: all chance comes from the seed of the constructor,
/// and nothing depends on the order of a map.
///
/// **What it owes.** It never panics on a peer's bytes and never blocks. A book is continuous with
/// the venue or its stream says so: [`StreamState::Stale`] or [`StreamState::Resync`] goes into
/// `out` before any further price. In steady state `handle_message` allocates nothing.
pub trait Connector: Send {
    /// The venue.
    fn venue(&self) -> Venue;

    /// The market of the venue: a connector serves one.
    fn market(&self) -> Market;

    /// A strategy asks for something.
    fn handle_command(&mut self, now: Nanos, command: Command, out: &mut Outbox);

    /// A strategy or a tool asks something of the account. The answer to an awaited ticket comes by
    /// [`Outbox::push_answer`], once; what becomes of orders comes as events of
    /// [`Channel::User`](crate::Channel::User) streams.
    fn handle_action(&mut self, now: Nanos, ticket: Ticket, action: &Action, out: &mut Outbox) {
        let _ = (now, action);
        let text = "this connector does not trade";
        out.push_answer(Answer {
            ticket,
            result: Err(Error::ours(ErrorKind::NotSupported, text)),
        });
    }

    /// A link came up or went down.
    fn handle_link(&mut self, now: Nanos, link: LinkId, change: LinkChange, out: &mut Outbox);

    /// The venue answered a link's upgrade with this HTTP status; the link stays down and is tried
    /// again. It tells of bans that hold for requests as well.
    fn handle_refusal(
        &mut self,
        now: Nanos,
        link: LinkId,
        status: u16,
        retry_after_ns: Option<Nanos>,
        out: &mut Outbox,
    ) {
        let _ = (now, link, status, retry_after_ns, out);
    }

    /// A whole binary message, as the link's
    /// [`payload_hook`](crate::transmit::LinkSpec::payload_hook) has opened it, where there is one. For
    /// venues to whom the difference means something; others need not know it.
    fn handle_binary(&mut self, now: Nanos, link: LinkId, payload: &mut [u8], out: &mut Outbox) {
        self.handle_message(now, link, payload, out);
    }

    /// A whole text message, or a binary one where
    /// [`handle_binary`](Connector::handle_binary) leaves it to this. It may be parsed in place: its bytes are lost afterwards.
    /// WebSocket pings are answered by the engine within the link's [`SendLimit`](crate::transmit::SendLimit).
    fn handle_message(&mut self, now: Nanos, link: LinkId, payload: &mut [u8], out: &mut Outbox);

    /// A pong came: the answer to a [`Transmit::Ping`], or an unasked one.
    fn handle_pong(&mut self, now: Nanos, link: LinkId, payload: &[u8], out: &mut Outbox) {
        let _ = (now, link, payload, out);
    }

    /// A connection has ended or could not be made. Each is told, behind [`LinkChange::Down`] where
    /// there is one; for who counts tries or wants to know when a link was given up.
    fn handle_loss(&mut self, now: Nanos, link: LinkId, loss: LinkLoss<'_>, out: &mut Outbox) {
        let _ = (now, link, loss, out);
    }

    /// Somebody has put something into a queue of the connector's own and told the loop to look.
    fn handle_nudge(&mut self, now: Nanos, out: &mut Outbox) {
        let _ = (now, out);
    }

    /// The answer to an HTTP request, or that there will be none.
    fn handle_response(
        &mut self,
        now: Nanos,
        id: RequestId,
        response: Result<Response<'_>, HttpFailure>,
        out: &mut Outbox,
    );

    /// Instrument data that was asked for with [`ReadOn::Helper`](crate::transmit::ReadOn::Helper).
    fn handle_instruments(
        &mut self,
        now: Nanos,
        id: RequestId,
        instruments: Result<Vec<Instrument>, Error>,
        out: &mut Outbox,
    ) {
        let _ = (now, id, instruments, out);
    }

    /// The time that [`poll_timeout`](Connector::poll_timeout) named has come (or passed).
    fn handle_timeout(&mut self, now: Nanos, out: &mut Outbox);

    /// When it next wants [`handle_timeout`](Connector::handle_timeout). Cheap: read every turn.
    fn poll_timeout(&self) -> Option<Nanos>;

    /// The next thing to do for it, `None` when there is nothing (more) now. A text or a request
    /// body is written to `body`, which comes in empty.
    fn poll_transmit(&mut self, now: Nanos, body: &mut Vec<u8>) -> Option<Transmit>;

    /// Whether [`poll_transmit`](Connector::poll_transmit) would give something. Cheap: read after
    /// every message.
    fn has_transmit(&self) -> bool;

    /// The book of a stream that has one.
    fn book(&self, stream: StreamId) -> Option<BookView<'_>>;

    /// How to read instrument data on another thread.
    fn instrument_reader(&self) -> InstrumentReader {
        |_, _| Ok(Vec::new())
    }

    /// How the venue writes a symbol.
    fn symbol_rule(&self) -> SymbolRule {
        |_, symbol| *symbol
    }

    /// Counters of the connector since it was made.
    fn counters(&self) -> Counters;
}

/// What a connector counts. All count up; a reader takes differences.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages handled, of any kind.
    pub messages: u64,
    /// Messages that could not be read.
    pub malformed: u64,
    /// Messages for a topic without a stream.
    pub unrouted: u64,
    /// Deltas that a book had already seen.
    pub stale: u64,
    /// Sequence numbers found missing.
    pub gaps: u64,
    /// Books thrown away and fetched anew, for any reason but the first.
    pub resyncs: u64,
    /// Books found crossed after a whole message.
    pub crossed: u64,
    /// Subscriptions that the venue refused.
    pub refused: u64,
    /// HTTP requests made.
    pub requests: u64,
    /// HTTP requests that failed or were refused.
    pub requests_failed: u64,
    /// Books that did not show the venue's own best prices for too long.
    pub disagreements: u64,
    /// Probes of silent streams, each counted; also of those that only check a book.
    pub probes: u64,
    /// Streams found mute: the venue had news that did not come.
    pub mute: u64,
    /// Links replaced before a planned cut.
    pub handovers: u64,
    /// Messages of one link of a pair that the other had brought before.
    pub duplicates: u64,
    /// Gaps on one link of a pair that the other has filled.
    pub healed: u64,
    /// Bans by the venue.
    pub bans: u64,
    /// Streams whose two links were found to number updates each in its own way: they follow one link
    /// alone.
    pub unalike: u64,
    /// Times that the venue's own best prices, told beside a change of a book, were held against it.
    pub tops_checked: u64,
    /// How many of them the book showed.
    pub tops_agreed: u64,
    /// Books that were found to be the one that the venue's hash is of.
    pub hashes_met: u64,
    /// Books that were not, whether the hash was ever known to be understood or not.
    pub hash_mismatches: u64,
}

impl Counters {
    /// How many counters there are.
    pub const COUNT: usize = 22;

    /// The counters in the order of the fields, for a table of atomics.
    pub const fn to_array(self) -> [u64; Counters::COUNT] {
        [
            self.messages,
            self.malformed,
            self.unrouted,
            self.stale,
            self.gaps,
            self.resyncs,
            self.crossed,
            self.refused,
            self.requests,
            self.requests_failed,
            self.disagreements,
            self.probes,
            self.mute,
            self.handovers,
            self.duplicates,
            self.healed,
            self.bans,
            self.unalike,
            self.tops_checked,
            self.tops_agreed,
            self.hashes_met,
            self.hash_mismatches,
        ]
    }

    /// The inverse of [`to_array`](Counters::to_array).
    pub const fn from_array(array: [u64; Counters::COUNT]) -> Counters {
        let [
            messages,
            malformed,
            unrouted,
            stale,
            gaps,
            resyncs,
            crossed,
            refused,
            requests,
            requests_failed,
            disagreements,
            probes,
            mute,
            handovers,
            duplicates,
            healed,
            bans,
            unalike,
            tops_checked,
            tops_agreed,
            hashes_met,
            hash_mismatches,
        ] = array;
        Counters {
            messages,
            malformed,
            unrouted,
            stale,
            gaps,
            resyncs,
            crossed,
            refused,
            requests,
            requests_failed,
            disagreements,
            probes,
            mute,
            handovers,
            duplicates,
            healed,
            bans,
            unalike,
            tops_checked,
            tops_agreed,
            hashes_met,
            hash_mismatches,
        }
    }
}

/// A stream's book as it stands now.
#[derive(Clone, Copy, Debug)]
pub struct BookView<'a> {
    /// The book. To be believed only while `state` is [`StreamState::Live`].
    pub book: &'a Book,
    /// The stream's state.
    pub state: StreamState,
    /// The venue's number of the last update in it.
    pub seq: u64,
    /// Scale of the book's prices.
    pub price_scale: Scale,
    /// Scale of the book's quantities.
    pub qty_scale: Scale,
}

//! The part of a stream that is the same at every venue: its identity and state, and how a book's
//! changes become events. What a connector keeps beside it (topics, buffered deltas, acks) is its
//! own.

use tickwire_orderbook::sequence::{Ids, Sequence, SequenceRule, Verdict};
use tickwire_orderbook::{Book, Cross, Level, Limits, Scale, Side, Top, prefetch};

use crate::channel::Channel;
use crate::connector::BookView;
use crate::event::{Event, Reason, Stamp, StreamId, StreamState};
use crate::instrument::{Instrument, Symbol};
use crate::outbox::Outbox;
use crate::scan::Looks;
use crate::time::Nanos;
use crate::wide::{Wide, WideBody};

/// When a message was made by the venue and received by us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// The venue's event time, [`Nanos::ZERO`] where it gave none.
    pub exch_ns: Nanos,
    /// Ours.
    pub recv_ns: Nanos,
}

impl Times {
    /// For events that no message of the venue caused.
    pub const fn ours(now: Nanos) -> Times {
        Times {
            exch_ns: Nanos::ZERO,
            recv_ns: now,
        }
    }
}

/// A connector with so many streams asks for the memory of one as soon as it knows whose a message is
/// ([`prefetch`](mod@tickwire_orderbook::prefetch)). Those of fewer are in the near caches, and asking would cost time.
pub(crate) const CROWD: usize = 64;

/// Identity and state of one stream.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Number of the stream.
    pub id: StreamId,
    /// Kind of stream.
    pub channel: Channel,
    /// The symbol as the strategy wrote it.
    pub asked: Symbol,
    /// What is known of its instrument; default scales until the venue has said more.
    pub instrument: Instrument,
    /// Whether levels are published.
    pub depth: bool,
    /// Nobody has asked for it: it is there to check another by, and says nothing.
    pub hidden: bool,
    /// Of a book: what the text of its last levels looked like.
    pub(crate) looks: Box<Looks>,
    state: StreamState,
    epoch: u16,
    seq: u64,
}

impl Stream {
    /// A stream that waits for its first data.
    pub fn new(
        id: StreamId,
        channel: Channel,
        asked: Symbol,
        instrument: Instrument,
        depth: bool,
    ) -> Stream {
        let state = StreamState::Pending;
        Stream {
            id,
            channel,
            asked,
            instrument,
            depth,
            hidden: false,
            looks: Box::new(Looks::of(channel)),
            state,
            epoch: 0,
            seq: 0,
        }
    }

    /// Asks for what a message of it needs.
    #[inline]
    pub(crate) fn prefetch(&self) {
        prefetch(&self.looks);
        prefetch(&self.instrument.price_scale);
        prefetch(&self.seq);
        self.looks.prefetch();
    }

    /// Its state.
    #[inline]
    pub const fn state(&self) -> StreamState {
        self.state
    }

    /// Whether its data may be traded on.
    #[inline]
    pub const fn is_live(&self) -> bool {
        matches!(self.state, StreamState::Live)
    }

    /// The connection that it is on.
    pub const fn epoch(&self) -> u16 {
        self.epoch
    }

    /// The stream is on another connection than before.
    pub fn next_epoch(&mut self) {
        self.epoch = self.epoch.wrapping_add(1).max(1);
    }

    /// Sets the connection that it is on; goes into every event from now.
    pub fn set_epoch(&mut self, epoch: u16) {
        self.epoch = epoch;
    }

    /// The venue's number of the last message.
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// Notes the venue's number of the message at hand.
    #[inline]
    pub fn set_seq(&mut self, seq: u64) {
        self.seq = seq;
    }

    /// Scale of its prices.
    #[inline]
    pub const fn price_scale(&self) -> Scale {
        self.instrument.price_scale
    }

    /// Scale of its quantities.
    #[inline]
    pub const fn qty_scale(&self) -> Scale {
        self.instrument.qty_scale
    }

    /// The head of its events.
    #[inline]
    pub fn stamp(&self, times: Times) -> Stamp {
        Stamp {
            stream: self.id,
            source: self.channel.source(),
            epoch: self.epoch,
            state: self.state,
            price_scale: self.instrument.price_scale,
            qty_scale: self.instrument.qty_scale,
            seq: self.seq,
            exch_ns: times.exch_ns,
            recv_ns: times.recv_ns,
        }
    }

    /// Goes to `state` and says so; silent where it is there already.
    pub fn change(
        &mut self,
        state: StreamState,
        reason: Reason,
        gap: Option<(u64, u64)>,
        times: Times,
        out: &mut Outbox,
    ) {
        if self.state != state {
            self.state = state;
            if !self.hidden {
                out.push(Event::state_change(&self.stamp(times), reason, gap));
            }
        }
    }

    /// Says something of the stream that leaves its state as it is.
    pub fn remark(&self, reason: Reason, times: Times, out: &mut Outbox) {
        if !self.hidden {
            out.push(Event::state_change(&self.stamp(times), reason, None));
        }
    }

    /// Publishes a wide event of the stream.
    pub fn publish_wide(&self, body: WideBody, times: Times, out: &mut Outbox) {
        if self.hidden {
            return;
        }
        out.push_wide(Wide {
            stream: self.id,
            source: self.channel.source(),
            epoch: self.epoch,
            state: self.state,
            seq: self.seq,
            exch_ns: times.exch_ns,
            recv_ns: times.recv_ns,
            body,
        });
    }
}

/// The levels of one message, parsed before any of them touches a book: a message that turns out
/// malformed at its end has changed nothing. Its memory is reused.
#[derive(Clone, Debug, Default)]
pub struct Levels {
    /// Bids, as they came.
    pub bids: Vec<Level>,
    /// Asks, as they came.
    pub asks: Vec<Level>,
}

impl Levels {
    /// Room for a busy message.
    pub fn new() -> Levels {
        Levels {
            bids: Vec::with_capacity(1024),
            asks: Vec::with_capacity(1024),
        }
    }

    /// Forgets the levels and keeps the memory.
    #[inline]
    pub fn clear(&mut self) {
        self.bids.clear();
        self.asks.clear();
    }
}

/// What became of a delta.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It is in the book, and published where the stream is Live.
    Yes,
    /// The book had it already.
    Stale,
    /// The venue repeats its last message to show that it is alive.
    Repeat,
    /// The book can't go on: fetch a fresh one. Nothing was published.
    Broken(Break),
}

/// Why a book can't go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// Updates are missing.
    Gap {
        /// The number that should have come.
        expected: u64,
        /// The number that came.
        got: u64,
    },
    /// Best bid above (or at) best ask after a whole message.
    Crossed,
    /// The venue restarted its numbering.
    Restart,
    /// The touch is no longer inside what the snapshot covered.
    BeyondSnapshot,
    /// A level has a negative quantity.
    Malformed,
}

impl Break {
    /// As the state change says it.
    pub const fn reason(self) -> Reason {
        match self {
            Break::Gap { .. } => Reason::Gap,
            Break::Crossed => Reason::Crossed,
            Break::Restart => Reason::VenueRestart,
            Break::BeyondSnapshot => Reason::BeyondSnapshot,
            Break::Malformed => Reason::Malformed,
        }
    }

    /// The numbers of a gap.
    pub const fn gap(self) -> Option<(u64, u64)> {
        match self {
            Break::Gap { expected, got } => Some((expected, got)),
            _ => None,
        }
    }
}

/// A book with its sequence, and the top that was last published.
#[derive(Debug)]
pub struct BookKeeper {
    book: Book,
    sequence: Sequence,
    published: Option<Top>,
}

impl BookKeeper {
    /// An empty book under the venue's rule.
    pub fn new(rule: SequenceRule, limits: Limits) -> BookKeeper {
        BookKeeper {
            book: Book::new(limits),
            sequence: Sequence::new(rule),
            published: None,
        }
    }

    /// The book.
    pub const fn book(&self) -> &Book {
        &self.book
    }

    /// The book, to set its watermark.
    pub fn book_mut(&mut self) -> &mut Book {
        &mut self.book
    }

    /// The number of the last update in the book.
    pub fn last(&self) -> Option<u64> {
        self.sequence.last()
    }

    /// Whether a delta has joined the snapshot: from then on each has to follow the one before it.
    pub const fn is_joined(&self) -> bool {
        self.sequence.bridged()
    }

    /// The next delta comes by another link: see [`Sequence::rejoin`].
    pub fn rejoin(&mut self) {
        self.sequence.rejoin();
    }

    /// Forgets everything: the book is not to be believed any more.
    pub fn reset(&mut self) {
        self.book.clear();
        self.sequence.reset();
        self.published = None;
    }

    /// Takes a snapshot whose last update is `seq`; nothing is published. A level with a negative
    /// quantity refuses the whole of it.
    pub fn load(&mut self, seq: u64, levels: &Levels) -> Result<(), Break> {
        self.published = None;
        self.sequence.reset();
        self.book
            .load(&levels.bids, &levels.asks)
            .map_err(|_| Break::Malformed)?;
        self.sequence.snapshot(seq);
        if self.book.crossed() != Cross::No {
            Err(Break::Crossed)
        } else {
            Ok(())
        }
    }

    /// Judges a delta by its numbers and applies it; publishes its levels (where the stream has
    /// depth) and then the top, if that changed. On [`Applied::Broken`] the book is unusable until
    /// the next [`load`](BookKeeper::load), and the caller says so in the stream's state.
    #[inline]
    pub fn apply(
        &mut self,
        stream: &mut Stream,
        ids: &Ids,
        levels: &Levels,
        times: Times,
        out: &mut Outbox,
    ) -> Applied {
        match self.sequence.judge(ids) {
            Verdict::Apply => {}
            Verdict::Stale => return Applied::Stale,
            Verdict::Repeat => return Applied::Repeat,
            Verdict::Restart => return Applied::Broken(Break::Restart),
            Verdict::Gap { expected, got } => {
                return Applied::Broken(Break::Gap { expected, got });
            }
        }
        if levels
            .bids
            .iter()
            .chain(&levels.asks)
            .any(|level| level.qty < 0)
        {
            return Applied::Broken(Break::Malformed);
        }
        let bids_touched = self.book.apply_all(Side::Bid, &levels.bids);
        let touched = self.book.apply_all(Side::Ask, &levels.asks) | bids_touched;
        self.sequence.advance(ids);
        stream.set_seq(ids.last);
        if touched {
            if self.book.crossed() != Cross::No {
                return Applied::Broken(Break::Crossed);
            }
            if self.book.touch_beyond_watermark(Side::Bid)
                || self.book.touch_beyond_watermark(Side::Ask)
            {
                return Applied::Broken(Break::BeyondSnapshot);
            }
        }
        if stream.is_live() {
            if stream.depth {
                publish_levels(stream, levels, times, out);
            }
            if touched {
                self.publish_top(stream, times, out);
            }
        }
        Applied::Yes
    }

    /// Publishes the whole book as one snapshot batch (where the stream has depth) and its top.
    pub fn publish_all(&mut self, stream: &Stream, times: Times, out: &mut Outbox) {
        if stream.depth {
            self.publish_snapshot(stream, times, out);
        }
        self.published = None;
        self.publish_top(stream, times, out);
    }

    fn publish_snapshot(&self, stream: &Stream, times: Times, out: &mut Outbox) {
        let stamp = stream.stamp(times);
        let sides = [Side::Bid, Side::Ask];
        let count = self.book.len(Side::Bid) + self.book.len(Side::Ask);
        if count == 0 {
            // An empty book is still a snapshot: a deletion of a level that is not there.
            let none = Level { price: 0, qty: 0 };
            out.push(Event::level(&stamp, Side::Bid, none, true, true));
            return;
        }
        let mut index = 0;
        for side in sides {
            // Worst first: a replica then adds each level at its tail and moves nothing.
            for level in self.book.levels(side).rev() {
                index += 1;
                out.push(Event::level(
                    &stamp,
                    side,
                    level,
                    index == 1,
                    index == count,
                ));
            }
        }
    }

    #[inline]
    fn publish_top(&mut self, stream: &Stream, times: Times, out: &mut Outbox) {
        let top = self.book.top();
        if self.published != Some(top) {
            self.published = Some(top);
            out.push(Event::bbo(&stream.stamp(times), top.bid, top.ask));
        }
    }

    /// The book as others may see it.
    pub fn view(&self, stream: &Stream) -> BookView<'_> {
        BookView {
            book: &self.book,
            state: stream.state(),
            seq: self.sequence.last().unwrap_or(0),
            price_scale: stream.price_scale(),
            qty_scale: stream.qty_scale(),
        }
    }
}

/// Publishes a message's levels as one batch.
#[inline]
fn publish_levels(stream: &Stream, levels: &Levels, times: Times, out: &mut Outbox) {
    let stamp = stream.stamp(times);
    let count = levels.bids.len() + levels.asks.len();
    let bids = levels.bids.iter().map(|level| (Side::Bid, level));
    let asks = levels.asks.iter().map(|level| (Side::Ask, level));
    for (index, (side, level)) in bids.chain(asks).enumerate() {
        out.push(Event::level(
            &stamp,
            side,
            *level,
            false,
            index + 1 == count,
        ));
    }
}

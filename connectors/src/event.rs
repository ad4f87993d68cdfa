//! Hot events: `Copy`, one cache line each.
//!
//! [`Event`] is the form that travels in a ring: a packed head, three numbers that every event has,
//! and four that its kind gives meaning to. [`Event::body`] opens it as one of the typed views
//! below; each view is the same 64 bytes with names on them.

use core::fmt;

use tickwire_orderbook::{Level, Price, Qty, Scale, Side};

use crate::time::Nanos;

/// One stream: a venue's channel for one instrument, with its own sequence (and, where the channel
/// carries one, its own book). Given out by the engine, dense from 0, at most 2^24 - 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(u32);

impl StreamId {
    /// The largest stream number: the head of an event has 24 bits for it.
    pub const MAX: StreamId = StreamId((1 << 24) - 1);

    /// `None` where `index` is above [`StreamId::MAX`].
    pub const fn new(index: u32) -> Option<StreamId> {
        if index <= Self::MAX.0 {
            Some(StreamId(index))
        } else {
            None
        }
    }

    /// As an index into a table of streams.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// What a stream is worth right now. Only [`StreamState::Live`] data may be traded on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum StreamState {
    /// Asked for; no data yet.
    #[default]
    Pending = 0,
    /// Continuous with the venue.
    Live = 1,
    /// Continuity was lost or never had; a snapshot is on its way. No price until Live.
    Resync = 2,
    /// The link is down or the data can't be trusted. No price until Live.
    Stale = 3,
    /// Unsubscribed; nothing follows.
    Closed = 4,
    /// The venue (or the connector) refused the subscription; nothing follows.
    Refused = 5,
}

impl StreamState {
    const fn from_bits(bits: u64) -> StreamState {
        match bits {
            1 => StreamState::Live,
            2 => StreamState::Resync,
            3 => StreamState::Stale,
            4 => StreamState::Closed,
            5 => StreamState::Refused,
            _ => StreamState::Pending,
        }
    }

    /// The word used in JSON output.
    pub const fn as_str(self) -> &'static str {
        match self {
            StreamState::Pending => "pending",
            StreamState::Live => "live",
            StreamState::Resync => "resync",
            StreamState::Stale => "stale",
            StreamState::Closed => "closed",
            StreamState::Refused => "refused",
        }
    }
}

/// Which of a venue's channels an event came from: the top of a book and the venue's own best
/// bid/ask channel never mix their sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Source {
    /// Our book, built from snapshots and deltas.
    Book = 0,
    /// The venue's best bid/ask channel (bookTicker, level 1).
    Bbo = 1,
    /// Single trades.
    Trades = 2,
    /// Trades aggregated by the venue.
    AggTrades = 3,
    /// 24-hour ticker.
    Ticker = 4,
    /// Candles.
    Kline = 5,
    /// Orders, positions and balances.
    Account = 6,
    /// A channel of a user's own connector.
    Other = 7,
}

impl Source {
    const ALL: [Source; 8] = [
        Source::Book,
        Source::Bbo,
        Source::Trades,
        Source::AggTrades,
        Source::Ticker,
        Source::Kline,
        Source::Account,
        Source::Other,
    ];

    /// The word used in JSON output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Source::Book => "book",
            Source::Bbo => "bbo",
            Source::Trades => "trades",
            Source::AggTrades => "agg_trades",
            Source::Ticker => "ticker",
            Source::Kline => "kline",
            Source::Account => "account",
            Source::Other => "other",
        }
    }
}

/// Why a stream changed its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Reason {
    /// Nothing more to say.
    None = 0,
    /// The strategy asked for the stream.
    Subscribed = 1,
    /// The first data, or a snapshot that joins the deltas, is in.
    Synced = 2,
    /// The link went down.
    LinkDown = 3,
    /// A sequence number is missing; see [`StateChange::gap`].
    Gap = 4,
    /// Best bid above best ask after a whole message.
    Crossed = 5,
    /// A price or size does not fit the scale; a fresh book at a new scale follows.
    Rescale = 6,
    /// The venue said that it restarted (Bybit `u == 1`).
    VenueRestart = 7,
    /// The touch has left what the snapshot covered.
    BeyondSnapshot = 8,
    /// A message could not be read.
    Malformed = 9,
    /// The strategy let go of the stream.
    Unsubscribed = 10,
    /// The venue does not know the symbol or the channel.
    Refused = 11,
    /// The strategy or the engine asked for a fresh book.
    Requested = 12,
    /// The snapshot could not be had; another try follows.
    SnapshotFailed = 13,
    /// More deltas waited for a snapshot than the buffer holds.
    BufferFull = 14,
    /// Nothing came for longer than is usual: the venue is being asked whether it has news. The
    /// state is as it was: as far as is known, the market is quiet.
    Quiet = 15,
    /// After a silence the stream is heard again, or the venue was found to have no news.
    Heard = 16,
    /// The venue has news that did not come, on a link that seems to live.
    Mute = 17,
    /// A stream stayed mute though it was asked for anew: its link is made anew.
    Dead = 18,
    /// The book has not shown the venue's own best prices for too long.
    Disagrees = 19,
    /// The stream is on another connection, without a break: its link was replaced before a planned
    /// cut. The state is as it was.
    HandedOver = 20,
}

impl Reason {
    const ALL: [Reason; 21] = [
        Reason::None,
        Reason::Subscribed,
        Reason::Synced,
        Reason::LinkDown,
        Reason::Gap,
        Reason::Crossed,
        Reason::Rescale,
        Reason::VenueRestart,
        Reason::BeyondSnapshot,
        Reason::Malformed,
        Reason::Unsubscribed,
        Reason::Refused,
        Reason::Requested,
        Reason::SnapshotFailed,
        Reason::BufferFull,
        Reason::Quiet,
        Reason::Heard,
        Reason::Mute,
        Reason::Dead,
        Reason::Disagrees,
        Reason::HandedOver,
    ];

    /// The word used in JSON output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::None => "none",
            Reason::Subscribed => "subscribed",
            Reason::Synced => "synced",
            Reason::LinkDown => "link_down",
            Reason::Gap => "gap",
            Reason::Crossed => "crossed",
            Reason::Rescale => "rescale",
            Reason::VenueRestart => "venue_restart",
            Reason::BeyondSnapshot => "beyond_snapshot",
            Reason::Malformed => "malformed",
            Reason::Unsubscribed => "unsubscribed",
            Reason::Refused => "refused",
            Reason::Requested => "requested",
            Reason::SnapshotFailed => "snapshot_failed",
            Reason::BufferFull => "buffer_full",
            Reason::Quiet => "quiet",
            Reason::Heard => "heard",
            Reason::Mute => "mute",
            Reason::Dead => "dead",
            Reason::Disagrees => "disagrees",
            Reason::HandedOver => "handed_over",
        }
    }
}

/// The side that took liquidity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Aggressor {
    /// The venue did not say.
    Unknown = 0,
    /// The taker bought.
    Buy = 1,
    /// The taker sold.
    Sell = 2,
}

impl Aggressor {
    /// The word used in JSON output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Aggressor::Unknown => "unknown",
            Aggressor::Buy => "buy",
            Aggressor::Sell => "sell",
        }
    }
}

/// What an [`Event`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum EventKind {
    /// [`Bbo`]
    Bbo = 1,
    /// [`Trade`]
    Trade = 2,
    /// [`LevelDelta`]
    Level = 3,
    /// [`StateChange`]
    State = 4,
    /// [`Lost`]
    Lost = 5,
}

/// What every event of one message shares: where it came from and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The stream.
    pub stream: StreamId,
    /// Which of the venue's channels.
    pub source: Source,
    /// Counts the connections that have carried the stream, from 1: a change means that it is on
    /// another. Where a link was lost, the stream was Stale in between; where one was replaced before
    /// a planned cut, it was Live all along.
    pub epoch: u16,
    /// The stream's state as this event leaves it.
    pub state: StreamState,
    /// Scale of the prices in the event.
    pub price_scale: Scale,
    /// Scale of the quantities in the event.
    pub qty_scale: Scale,
    /// The venue's own number: update id of a book, trade id (or match sequence) of a trade.
    pub seq: u64,
    /// The venue's event time; [`Nanos::ZERO`] where the channel has none.
    pub exch_ns: Nanos,
    /// Our time of receipt: the loop's clock at the turn that read the message.
    pub recv_ns: Nanos,
}

/// A hot event as it travels. 64 bytes, aligned to a cache line.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct Event {
    head: u64,
    seq: u64,
    exch_ns: Nanos,
    recv_ns: Nanos,
    data: [i64; 4],
}

const _: () = assert!(
    size_of::<Event>() == 64,
    "a hot event must fill one cache line"
);

// The head: stream 24 | kind 4 | state 4 | epoch 16 | price scale 5 | qty scale 5 | source 3 | flags 3.
const KIND_SHIFT: u32 = 24;
const STATE_SHIFT: u32 = 28;
const EPOCH_SHIFT: u32 = 32;
const PRICE_SCALE_SHIFT: u32 = 48;
const QTY_SCALE_SHIFT: u32 = 53;
const SOURCE_SHIFT: u32 = 58;
const FLAGS_SHIFT: u32 = 61;

const FLAG_ASK: u64 = 1;
const FLAG_BATCH_END: u64 = 2;
const FLAG_SNAPSHOT_START: u64 = 4;

impl Event {
    #[inline]
    fn new(stamp: &Stamp, kind: EventKind, flags: u64, data: [i64; 4]) -> Event {
        let head = u64::from(stamp.stream.0)
            | (kind as u64) << KIND_SHIFT
            | (stamp.state as u64) << STATE_SHIFT
            | u64::from(stamp.epoch) << EPOCH_SHIFT
            | u64::from(stamp.price_scale.get()) << PRICE_SCALE_SHIFT
            | u64::from(stamp.qty_scale.get()) << QTY_SCALE_SHIFT
            | (stamp.source as u64) << SOURCE_SHIFT
            | flags << FLAGS_SHIFT;
        Event {
            head,
            seq: stamp.seq,
            exch_ns: stamp.exch_ns,
            recv_ns: stamp.recv_ns,
            data,
        }
    }

    /// The top of book. A side without orders is `None`.
    #[inline]
    pub fn bbo(stamp: &Stamp, bid: Option<Level>, ask: Option<Level>) -> Event {
        let none = Level { price: 0, qty: 0 };
        let (bid, ask) = (bid.unwrap_or(none), ask.unwrap_or(none));
        Event::new(
            stamp,
            EventKind::Bbo,
            0,
            [bid.price, bid.qty, ask.price, ask.qty],
        )
    }

    /// A trade. `id` is the venue's trade id: a number, or a UUID's 128 bits.
    #[inline]
    pub fn trade(stamp: &Stamp, price: i64, qty: i64, id: u128, aggressor: Aggressor) -> Event {
        let data = [price, qty, (id >> 64) as i64, id as i64];
        Event::new(stamp, EventKind::Trade, aggressor as u64, data)
    }

    /// One level's new absolute quantity (0 = gone). The first level of a snapshot says so; the
    /// last level of a message ends its batch.
    #[inline]
    pub fn level(
        stamp: &Stamp,
        side: Side,
        level: Level,
        snapshot_start: bool,
        batch_end: bool,
    ) -> Event {
        let mut flags = if side == Side::Ask { FLAG_ASK } else { 0 };
        if snapshot_start {
            flags |= FLAG_SNAPSHOT_START;
        }
        if batch_end {
            flags |= FLAG_BATCH_END;
        }
        Event::new(
            stamp,
            EventKind::Level,
            flags,
            [level.price, level.qty, 0, 0],
        )
    }

    /// The stream's state changed to `stamp.state`. `gap` is (expected, got) of a missing number.
    pub fn state_change(stamp: &Stamp, reason: Reason, gap: Option<(u64, u64)>) -> Event {
        let (expected, got) = gap.unwrap_or_default();
        let data = [reason as i64, expected as i64, got as i64, 0];
        Event::new(stamp, EventKind::State, u64::from(gap.is_some()), data)
    }

    /// What a full ring cost this stream since its last event.
    pub fn lost(stamp: &Stamp, counts: LostCounts) -> Event {
        let data = [counts.bbo, counts.trades, counts.levels, counts.wide].map(|n| n as i64);
        Event::new(stamp, EventKind::Lost, 0, data)
    }

    /// What the event is.
    #[inline]
    pub const fn kind(&self) -> EventKind {
        match (self.head >> KIND_SHIFT) & 0xF {
            1 => EventKind::Bbo,
            2 => EventKind::Trade,
            3 => EventKind::Level,
            4 => EventKind::State,
            _ => EventKind::Lost,
        }
    }

    /// The event, opened.
    #[inline]
    pub const fn body(self) -> Body {
        match self.kind() {
            EventKind::Bbo => Body::Bbo(Bbo(self)),
            EventKind::Trade => Body::Trade(Trade(self)),
            EventKind::Level => Body::Level(LevelDelta(self)),
            EventKind::State => Body::State(StateChange(self)),
            EventKind::Lost => Body::Lost(Lost(self)),
        }
    }

    /// The stream.
    #[inline]
    pub const fn stream(&self) -> StreamId {
        StreamId((self.head & StreamId::MAX.0 as u64) as u32)
    }

    /// The stream's state as this event leaves it.
    #[inline]
    pub const fn state(&self) -> StreamState {
        StreamState::from_bits((self.head >> STATE_SHIFT) & 0xF)
    }

    /// Whether the stream is [`StreamState::Live`].
    #[inline]
    pub const fn is_live(&self) -> bool {
        (self.head >> STATE_SHIFT) & 0xF == StreamState::Live as u64
    }

    /// Counts the stream's connections; a change means that a link was lost in between.
    #[inline]
    pub const fn epoch(&self) -> u16 {
        (self.head >> EPOCH_SHIFT) as u16
    }

    /// Which of the venue's channels it came from.
    #[inline]
    pub const fn source(&self) -> Source {
        Source::ALL[((self.head >> SOURCE_SHIFT) & 7) as usize]
    }

    /// The venue's own number: update id of a book, trade id (or match sequence) of a trade.
    #[inline]
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// The venue's event time; [`Nanos::ZERO`] where the channel has none.
    #[inline]
    pub const fn exch_ns(&self) -> Nanos {
        self.exch_ns
    }

    /// Our time of receipt.
    #[inline]
    pub const fn recv_ns(&self) -> Nanos {
        self.recv_ns
    }

    /// Scale of the event's prices.
    #[inline]
    pub const fn price_scale(&self) -> Scale {
        Scale::of(((self.head >> PRICE_SCALE_SHIFT) & 31) as u8)
    }

    /// Scale of the event's quantities.
    #[inline]
    pub const fn qty_scale(&self) -> Scale {
        Scale::of(((self.head >> QTY_SCALE_SHIFT) & 31) as u8)
    }

    /// All that the event shares with others of its message.
    pub const fn stamp(&self) -> Stamp {
        Stamp {
            stream: self.stream(),
            source: self.source(),
            epoch: self.epoch(),
            state: self.state(),
            price_scale: self.price_scale(),
            qty_scale: self.qty_scale(),
            seq: self.seq,
            exch_ns: self.exch_ns,
            recv_ns: self.recv_ns,
        }
    }

    #[inline]
    const fn flags(&self) -> u64 {
        self.head >> FLAGS_SHIFT
    }

    #[inline]
    const fn price_of(&self, index: usize) -> Price {
        Price::new(self.data[index], self.price_scale())
    }

    #[inline]
    const fn qty_of(&self, index: usize) -> Qty {
        Qty::new(self.data[index], self.qty_scale())
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.body().fmt(f)
    }
}

/// An [`Event`], opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// The top of book.
    Bbo(Bbo),
    /// A trade.
    Trade(Trade),
    /// One level of a book.
    Level(LevelDelta),
    /// A stream's state changed.
    State(StateChange),
    /// Events that a full ring could not take.
    Lost(Lost),
}

macro_rules! view {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq)]
        pub struct $name(Event);

        impl core::ops::Deref for $name {
            type Target = Event;

            #[inline]
            fn deref(&self) -> &Event {
                &self.0
            }
        }
    };
}

view!(
    /// The top of book: best bid and best ask of one stream.
    Bbo
);
view!(
    /// A trade.
    Trade
);
view!(
    /// One level's new absolute quantity. Levels of one message form a batch; apply all of a batch
    /// before looking at the book.
    LevelDelta
);
view!(
    /// A stream's state changed.
    StateChange
);
view!(
    /// Events of one stream that a full ring could not take, counted exactly.
    Lost
);

impl Bbo {
    /// Best bid, `None` where no one bids.
    #[inline]
    pub const fn bid(&self) -> Option<(Price, Qty)> {
        if self.0.data[1] > 0 {
            Some((self.0.price_of(0), self.0.qty_of(1)))
        } else {
            None
        }
    }

    /// Best ask, `None` where no one offers.
    #[inline]
    pub const fn ask(&self) -> Option<(Price, Qty)> {
        if self.0.data[3] > 0 {
            Some((self.0.price_of(2), self.0.qty_of(3)))
        } else {
            None
        }
    }
}

impl Trade {
    /// Price of the trade.
    #[inline]
    pub const fn price(&self) -> Price {
        self.0.price_of(0)
    }

    /// Quantity of the trade.
    #[inline]
    pub const fn qty(&self) -> Qty {
        self.0.qty_of(1)
    }

    /// The venue's trade id: a number, or a UUID's 128 bits.
    #[inline]
    pub const fn id(&self) -> u128 {
        ((self.0.data[2] as u64 as u128) << 64) | self.0.data[3] as u64 as u128
    }

    /// The side that took liquidity.
    #[inline]
    pub const fn aggressor(&self) -> Aggressor {
        match self.0.flags() {
            1 => Aggressor::Buy,
            2 => Aggressor::Sell,
            _ => Aggressor::Unknown,
        }
    }
}

impl LevelDelta {
    /// Which side of the book.
    #[inline]
    pub const fn side(&self) -> Side {
        if self.0.flags() & FLAG_ASK != 0 {
            Side::Ask
        } else {
            Side::Bid
        }
    }

    /// Price of the level.
    #[inline]
    pub const fn price(&self) -> Price {
        self.0.price_of(0)
    }

    /// New absolute quantity; zero means that the level is gone.
    #[inline]
    pub const fn qty(&self) -> Qty {
        self.0.qty_of(1)
    }

    /// The bare mantissas, for a replica book at the event's scales.
    #[inline]
    pub const fn level(&self) -> Level {
        Level {
            price: self.0.data[0],
            qty: self.0.data[1],
        }
    }

    /// Clear the book first: this is the first level of a snapshot.
    #[inline]
    pub const fn starts_snapshot(&self) -> bool {
        self.0.flags() & FLAG_SNAPSHOT_START != 0
    }

    /// The last level of its message: the book may be looked at now.
    #[inline]
    pub const fn ends_batch(&self) -> bool {
        self.0.flags() & FLAG_BATCH_END != 0
    }
}

impl StateChange {
    /// Why.
    pub const fn reason(&self) -> Reason {
        let index = self.0.data[0] as usize;
        if index < Reason::ALL.len() {
            Reason::ALL[index]
        } else {
            Reason::None
        }
    }

    /// The sequence number that was expected and the one that came, for [`Reason::Gap`].
    pub const fn gap(&self) -> Option<(u64, u64)> {
        if self.0.flags() & 1 != 0 {
            Some((self.0.data[1] as u64, self.0.data[2] as u64))
        } else {
            None
        }
    }
}

/// How many events of each kind were lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LostCounts {
    /// Tops of book that a newer one replaced before it could be delivered.
    pub bbo: u64,
    /// Trades.
    pub trades: u64,
    /// Level deltas: a replica book needs a fresh snapshot.
    pub levels: u64,
    /// Wide events.
    pub wide: u64,
}

impl LostCounts {
    /// All kinds together.
    pub const fn total(&self) -> u64 {
        self.bbo
            .saturating_add(self.trades)
            .saturating_add(self.levels)
            .saturating_add(self.wide)
    }
}

impl Lost {
    /// How many of each kind.
    pub const fn counts(&self) -> LostCounts {
        LostCounts {
            bbo: self.0.data[0] as u64,
            trades: self.0.data[1] as u64,
            levels: self.0.data[2] as u64,
            wide: self.0.data[3] as u64,
        }
    }
}

impl fmt::Debug for Bbo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bbo")
            .field("stamp", &self.stamp())
            .field("bid", &self.bid())
            .field("ask", &self.ask())
            .finish()
    }
}

impl fmt::Debug for Trade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trade")
            .field("stamp", &self.stamp())
            .field("price", &self.price())
            .field("qty", &self.qty())
            .field("id", &self.id())
            .field("aggressor", &self.aggressor())
            .finish()
    }
}

impl fmt::Debug for LevelDelta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LevelDelta")
            .field("stamp", &self.stamp())
            .field("side", &self.side())
            .field("price", &self.price())
            .field("qty", &self.qty())
            .field("starts_snapshot", &self.starts_snapshot())
            .field("ends_batch", &self.ends_batch())
            .finish()
    }
}

impl fmt::Debug for StateChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateChange")
            .field("stamp", &self.stamp())
            .field("reason", &self.reason())
            .field("gap", &self.gap())
            .finish()
    }
}

impl fmt::Debug for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lost")
            .field("stamp", &self.stamp())
            .field("counts", &self.counts())
            .finish()
    }
}

#[cfg(test)]
mod tests;

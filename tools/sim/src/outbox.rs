//! What a venue wants sent: frames in one shared byte buffer, so that a message is encoded once
//! however many connections get it.

use std::ops::Range;

use crate::fault::ShellFault;

/// A connection, named by the shell. Ids are not used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId(pub u64);

/// What kind of message a frame carries: the unit of the send log and of the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum MsgKind {
    /// An order book delta or snapshot (`depthUpdate`, `orderbook.50` ..).
    Depth,
    /// Best bid and ask (`bookTicker`, `orderbook.1`).
    Top,
    /// Trades (`trade`, `publicTrade`).
    Trade,
    /// Aggregated trades.
    AggTrade,
    /// Candles.
    Kline,
    /// Tickers and mark prices.
    Ticker,
    /// Acks, errors, pongs in JSON and notices.
    Control,
}

impl MsgKind {
    /// All kinds, in the order of their discriminants.
    pub const ALL: [Self; 7] = [
        Self::Depth,
        Self::Top,
        Self::Trade,
        Self::AggTrade,
        Self::Kline,
        Self::Ticker,
        Self::Control,
    ];
}

/// A place in the send log: which ring and which sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    pub(crate) ring: u32,
    pub(crate) seq: u64,
    /// When the market scheduled it, ns since 1970.
    pub(crate) at_ns: i64,
}

/// One thing to do for one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// Send a text frame whose payload is this range of [`Outbox::bytes`].
    Text {
        /// To whom.
        conn: ConnId,
        /// Where the payload stands.
        range: Range<usize>,
        /// What it is, for the counters.
        kind: MsgKind,
        /// Where its emission is logged.
        mark: Option<Mark>,
    },
    /// Send a ping frame with this payload.
    Ping {
        /// To whom.
        conn: ConnId,
        /// Where the payload stands.
        range: Range<usize>,
    },
    /// Send a pong frame with this payload.
    Pong {
        /// To whom.
        conn: ConnId,
        /// Where the payload stands.
        range: Range<usize>,
    },
    /// Send a close frame, then shut the link down.
    Close {
        /// To whom.
        conn: ConnId,
        /// RFC 6455 status code.
        code: u16,
        /// The reason, in words.
        reason: &'static str,
    },
    /// Shut the link down without a close frame.
    Cut {
        /// Whose.
        conn: ConnId,
    },
}

/// The output of a venue since it was last drained.
#[derive(Debug, Default)]
pub struct Outbox {
    /// Payloads, back to back. Text payloads are UTF-8, but for the fault that damages just that.
    pub bytes: Vec<u8>,
    /// What to do, in order.
    pub items: Vec<Item>,
    /// Faults for the shell to apply after the items.
    pub faults: Vec<ShellFault>,
}

impl Outbox {
    /// Forgets all items; keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.items.clear();
        self.faults.clear();
    }

    /// Queues a control text for one connection.
    pub(crate) fn control(&mut self, conn: ConnId, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        write(&mut self.bytes);
        let range = start..self.bytes.len();
        self.items.push(Item::Text {
            conn,
            range,
            kind: MsgKind::Control,
            mark: None,
        });
    }

    /// Queues a ping or pong frame.
    pub(crate) fn ping(&mut self, conn: ConnId, payload: &[u8]) {
        let range = self.append(payload);
        self.items.push(Item::Ping { conn, range });
    }

    /// Queues a pong frame.
    pub(crate) fn pong(&mut self, conn: ConnId, payload: &[u8]) {
        let range = self.append(payload);
        self.items.push(Item::Pong { conn, range });
    }

    fn append(&mut self, payload: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(payload);
        start..self.bytes.len()
    }

    /// The text of an item, for tests and in-memory transports.
    #[must_use]
    pub fn text(&self, range: &Range<usize>) -> Option<&str> {
        std::str::from_utf8(self.bytes.get(range.clone())?).ok()
    }
}

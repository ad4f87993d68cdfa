//! What the engine tells the program about its links, apart from the market's events.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_queue::ArrayQueue;
use tickwire_connectors::transmit::DownReason;
use tickwire_connectors::{LinkId, Market, Nanos, Venue, VenueNews};

/// Notices that wait to be read. Links change a few times a minute at worst; whoever does not read
/// for long loses the newest, counted.
const NOTICES_MAX: usize = 4_096;

/// A change of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkNotice {
    /// When.
    pub at: Nanos,
    /// Venue.
    pub venue: Venue,
    /// Market of the venue.
    pub market: Market,
    /// The connector's number for the link.
    pub link: LinkId,
    /// What happened.
    pub kind: LinkNoticeKind,
}

/// What happened to a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkNoticeKind {
    /// It is up.
    Connected {
        /// Counts the link's connections from 1.
        epoch: u16,
        /// How long the connecting took.
        took_ns: Nanos,
    },
    /// It is down.
    Disconnected {
        /// Why.
        reason: DownReason,
        /// How long until the next try; `None` where there will be none.
        retry_in_ns: Option<Nanos>,
    },
    /// It was about to connect and waits instead. Nothing is lost: it connects when it may.
    Held {
        /// What for.
        why: Hold,
        /// How long until the next try.
        retry_in_ns: Nanos,
    },
}

/// Why a link waits though its own backoff is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// The engine has made as many connection attempts to the host as it allows itself in the
    /// venue's window (see [`AttemptLimit`](tickwire_connectors::transmit::AttemptLimit)).
    AttemptBudget,
    /// The host has refused a connection and asked to be left alone for a time (`Retry-After`).
    AskedToWait,
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Hold::AttemptBudget => "the budget of connection attempts is used up",
            Hold::AskedToWait => "the host has asked to be left alone",
        })
    }
}

/// What concerns a whole venue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VenueNotice {
    /// When.
    pub at: Nanos,
    /// Venue.
    pub venue: Venue,
    /// Market of the venue.
    pub market: Market,
    /// What happened.
    pub news: VenueNews,
}

#[derive(Debug)]
pub(crate) struct Notices {
    queue: ArrayQueue<LinkNotice>,
    venues: ArrayQueue<VenueNotice>,
    lost: AtomicU64,
}

impl Notices {
    pub(crate) fn new() -> Arc<Notices> {
        Arc::new(Notices {
            queue: ArrayQueue::new(NOTICES_MAX),
            venues: ArrayQueue::new(NOTICES_MAX),
            lost: AtomicU64::new(0),
        })
    }

    pub(crate) fn push(&self, notice: LinkNotice) {
        if self.queue.push(notice).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn push_venue(&self, notice: VenueNotice) {
        if self.venues.push(notice).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn pop_venue(&self) -> Option<VenueNotice> {
        self.venues.pop()
    }

    pub(crate) fn pop(&self) -> Option<LinkNotice> {
        self.queue.pop()
    }

    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

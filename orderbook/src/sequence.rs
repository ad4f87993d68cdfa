//! Sequence rules as data: how a venue's update ids prove that no update was missed.
//!
//! A connector judges the ids of every update before it touches the book, acts on the [`Verdict`],
//! and calls [`Sequence::advance`] for what it applied.

/// How the first update is joined to the snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bridge {
    /// The snapshot comes in the stream itself: the chain holds from there on.
    Direct,
    /// The snapshot comes from elsewhere, at id `last`; the first update must cover the next id:
    /// `first <= last + 1 <= last'`.
    CoversNext,
    /// The snapshot comes from elsewhere; the first update must cover its id, which may lie
    /// anywhere after the update before: `prev <= last <= last'`.
    ///
    /// Binance asks for `first <= last <= last'`. Ours takes all of those and two kinds more: an
    /// update whose `prev` *is* the snapshot's id, and one where the id lies in the hole between
    /// `prev` and `first` (ids are shared between symbols, so there are such holes). Both are
    /// proven: an update carries all changes since `prev`, and the snapshot all up to `last`.
    CoversSnapshot,
}

/// How each update is joined to the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Chain {
    /// `first == last + 1`. An update that overlaps what is known and goes beyond it applies too:
    /// quantities are absolute.
    Next,
    /// `prev == last`.
    Previous,
    /// Each message is whole: any later id applies, the same id is a repeat.
    Newer,
    /// No ids.
    Free,
}

/// The rule of one kind of stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SequenceRule {
    /// How the first update is joined to the snapshot.
    pub bridge: Bridge,
    /// How each update is joined to the one before it.
    pub chain: Chain,
    /// The id by which the venue says that it has restarted and that this message is the book.
    pub restart: Option<u64>,
}

impl SequenceRule {
    /// Binance spot `depthUpdate` over a REST snapshot.
    /// (binance-spot-api-docs, web-socket-streams.md, 2026-07-21)
    pub const BINANCE_SPOT: Self = Self {
        bridge: Bridge::CoversNext,
        chain: Chain::Next,
        restart: None,
    };
    /// Binance USD-M futures `depthUpdate`, which has `pu`.
    /// (How-to-manage-a-local-order-book, developers.binance.com)
    pub const BINANCE_FUTURES: Self = Self {
        bridge: Bridge::CoversSnapshot,
        chain: Chain::Previous,
        restart: None,
    };
    /// Bybit `orderbook.50` and deeper; `u` is 1 after a restart of the service.
    /// (bybit v5 websocket/public/orderbook)
    pub const BYBIT: Self = Self {
        bridge: Bridge::Direct,
        chain: Chain::Next,
        restart: Some(1),
    };
    /// Bybit `orderbook.1`: whole messages, sent again with the same `u` after 3 quiet seconds.
    pub const BYBIT_LEVEL1: Self = Self {
        bridge: Bridge::Direct,
        chain: Chain::Newer,
        restart: Some(1),
    };
    /// Deribit `book.*` with `change_id` and `prev_change_id`.
    pub const DERIBIT: Self = Self {
        bridge: Bridge::Direct,
        chain: Chain::Previous,
        restart: None,
    };
    /// A venue without ids: every update applies.
    pub const UNSEQUENCED: Self = Self {
        bridge: Bridge::Direct,
        chain: Chain::Free,
        restart: None,
    };
}

/// The ids of one update.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ids {
    /// First id in the update (Binance `U`).
    pub first: u64,
    /// Last id in the update (Binance `u`, Bybit `u`, Deribit `change_id`).
    pub last: u64,
    /// Last id of the update before (Binance futures `pu`, Deribit `prev_change_id`).
    pub prev: u64,
}

impl Ids {
    /// One id an update: Bybit.
    pub const fn single(id: u64) -> Self {
        Self {
            first: id,
            last: id,
            prev: id.saturating_sub(1),
        }
    }

    /// A range of ids: Binance spot.
    pub const fn range(first: u64, last: u64) -> Self {
        Self {
            first,
            last,
            prev: first.saturating_sub(1),
        }
    }

    /// An id and the one before it: Deribit.
    pub const fn chained(prev: u64, last: u64) -> Self {
        Self {
            first: prev.saturating_add(1),
            last,
            prev,
        }
    }
}

/// What to do with an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use]
pub enum Verdict {
    /// Apply it, then [`Sequence::advance`].
    Apply,
    /// Older than what is known: ignore it. A link that sends nothing else has lost its place (the
    /// venue's counter went back): count these and resync.
    Stale,
    /// The same message again, as a sign of life: nothing to apply, and not a gap.
    Repeat,
    /// The venue has restarted: this message replaces the book. Then [`Sequence::advance`].
    Restart,
    /// Updates are missing: the book is invalid until a new snapshot.
    Gap {
        /// The id that would have fitted; 0 when there is no snapshot yet.
        expected: u64,
        /// The id that came.
        got: u64,
    },
}

/// Where a stream stands in its ids.
#[derive(Clone, Copy, Debug)]
pub struct Sequence {
    rule: SequenceRule,
    last: Option<u64>,
    bridged: bool,
}

impl Sequence {
    /// A stream without a snapshot yet.
    pub const fn new(rule: SequenceRule) -> Self {
        Self {
            rule,
            last: None,
            bridged: false,
        }
    }

    /// The rule.
    pub const fn rule(&self) -> SequenceRule {
        self.rule
    }

    /// Forgets everything: the link was lost or a gap was found.
    pub fn reset(&mut self) {
        self.last = None;
        self.bridged = false;
    }

    /// A snapshot was loaded; the next update must join it.
    pub fn snapshot(&mut self, last_id: u64) {
        self.last = Some(last_id);
        self.bridged = self.rule.bridge == Bridge::Direct;
    }

    /// The next update comes from another connection, whose messages may be cut at other ids: it has to
    /// join what is held as it would a snapshot.
    pub fn rejoin(&mut self) {
        self.bridged = self.last.is_some() && self.rule.bridge == Bridge::Direct;
    }

    /// The last id that the book holds; `None` without a snapshot.
    pub const fn last(&self) -> Option<u64> {
        self.last
    }

    /// Whether the stream is joined to its snapshot.
    pub const fn bridged(&self) -> bool {
        self.bridged
    }

    /// What to do with an update. Without a snapshot, only whole messages (a restart, a rule of
    /// `Newer` or `Free`) apply; anything else is a gap.
    #[inline]
    pub fn judge(&self, ids: &Ids) -> Verdict {
        if self.rule.chain == Chain::Free {
            return Verdict::Apply;
        }
        // A whole stream repeats its restart as a heartbeat; a delta stream that sends the id twice
        // has restarted twice.
        let repeat = self.rule.chain == Chain::Newer && self.last == Some(ids.last);
        if self.rule.restart == Some(ids.last) && !repeat {
            return Verdict::Restart;
        }
        let Some(last) = self.last else {
            return match self.rule.chain {
                Chain::Newer => Verdict::Apply,
                _ => Verdict::Gap {
                    expected: 0,
                    got: ids.first,
                },
            };
        };
        if !self.bridged {
            return judge_bridge(self.rule.bridge, last, ids);
        }
        match self.rule.chain {
            Chain::Newer if ids.last == last => Verdict::Repeat,
            _ if ids.last <= last => Verdict::Stale,
            Chain::Next => apply_up_to(ids.first, last.saturating_add(1)),
            Chain::Previous if ids.prev != last => Verdict::Gap {
                expected: last,
                got: ids.prev,
            },
            _ => Verdict::Apply,
        }
    }

    /// The update was applied: the book holds it now.
    #[inline]
    pub fn advance(&mut self, ids: &Ids) {
        self.last = Some(ids.last);
        self.bridged = true;
    }
}

fn judge_bridge(bridge: Bridge, last: u64, ids: &Ids) -> Verdict {
    match bridge {
        // At `last' == last` the futures update ends where the snapshot does. It is applied, as the
        // venue's page has it: it changes nothing and joins the chain, since the next has it as
        // its `prev`.
        Bridge::CoversSnapshot if ids.last >= last => apply_up_to(ids.prev, last),
        Bridge::CoversNext if ids.last > last => apply_up_to(ids.first, last.saturating_add(1)),
        _ => Verdict::Stale,
    }
}

fn apply_up_to(got: u64, expected: u64) -> Verdict {
    if got <= expected {
        Verdict::Apply
    } else {
        Verdict::Gap { expected, got }
    }
}

#[cfg(test)]
mod tests;

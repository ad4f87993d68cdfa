//! One stream: its name, who gets it, and the one place where a data frame is encoded, counted,
//! logged and possibly withheld.

use std::sync::atomic::Ordering::Relaxed;

use super::Common;
use crate::outbox::{ConnId, Item, Mark, MsgKind, Outbox};
use crate::stats::Counters;

/// A subscriber of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sub {
    pub(crate) conn: ConnId,
    /// Frames are wrapped as `{"stream":..,"data":..}`.
    pub(crate) wrapped: bool,
}

/// A stream of data frames.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) name: String,
    pub(crate) kind: MsgKind,
    pub(crate) subs: Vec<Sub>,
    ring: Option<u32>,
    /// Everything is withheld.
    pub(crate) stalled: bool,
    /// So many of the next frames are withheld: a gap.
    pub(crate) skip: u32,
}

impl Stream {
    pub(crate) fn new(name: String, kind: MsgKind) -> Self {
        Self {
            name,
            kind,
            subs: Vec::new(),
            ring: None,
            stalled: false,
            skip: 0,
        }
    }

    /// Adds a subscriber; a second time changes only the wrapping. Opens the send log's ring for
    /// streams whose frames carry a number.
    pub(crate) fn add(&mut self, sub: Sub, symbol: &str, cx: &mut Common) {
        if let Some(old) = self.subs.iter_mut().find(|old| old.conn == sub.conn) {
            *old = sub;
            return;
        }
        self.subs.push(sub);
        let numbered = matches!(
            self.kind,
            MsgKind::Depth | MsgKind::Top | MsgKind::Trade | MsgKind::AggTrade
        );
        if numbered && self.ring.is_none() {
            self.ring = Some(cx.sent.open(symbol, self.kind));
        }
    }

    pub(crate) fn remove(&mut self, conn: ConnId) {
        self.subs.retain(|sub| sub.conn != conn);
    }

    pub(crate) fn set_wrapped(&mut self, conn: ConnId, wrapped: bool) {
        self.subs
            .iter_mut()
            .filter(|s| s.conn == conn)
            .for_each(|s| s.wrapped = wrapped);
    }

    pub(crate) const fn is_idle(&self) -> bool {
        self.subs.is_empty()
    }

    /// Sends one frame to all subscribers. `seq` is the venue's number in it, 0 for none; `write`
    /// gets the buffer and the stream's name.
    pub(crate) fn emit(
        &mut self,
        out: &mut Outbox,
        cx: &Common,
        at_ns: i64,
        seq: u64,
        write: impl FnOnce(&mut Vec<u8>, &str),
    ) {
        if self.subs.is_empty() {
            return;
        }
        if self.stalled || self.skip > 0 {
            self.skip = self.skip.saturating_sub(1);
            Counters::add(&cx.counters.withheld, 1);
            return;
        }
        // The wrapped frame holds the raw one: both are one encoding.
        let start = out.bytes.len();
        let any_wrapped = self.subs.iter().any(|sub| sub.wrapped);
        if any_wrapped {
            out.bytes.extend_from_slice(b"{\"stream\":\"");
            out.bytes.extend_from_slice(self.name.as_bytes());
            out.bytes.extend_from_slice(b"\",\"data\":");
        }
        let raw = out.bytes.len();
        write(&mut out.bytes, &self.name);
        let raw = raw..out.bytes.len();
        if any_wrapped {
            out.bytes.push(b'}');
        }
        let wrapped = start..out.bytes.len();
        let mark = match self.ring {
            Some(ring) if seq != 0 => Some(Mark { ring, seq, at_ns }),
            _ => None,
        };
        for (index, sub) in self.subs.iter().enumerate() {
            let range = if sub.wrapped {
                wrapped.clone()
            } else {
                raw.clone()
            };
            Counters::add(&cx.counters.bytes_queued, range.len() as u64);
            // The log's instant is that of the first subscriber's write.
            let mark = mark.filter(|_| index == 0);
            out.items.push(Item::Text {
                conn: sub.conn,
                range,
                kind: self.kind,
                mark,
            });
        }
        cx.counters.sent[self.kind as usize].fetch_add(self.subs.len() as u64, Relaxed);
    }

    /// Sends one frame to one connection (a snapshot on subscribing).
    pub(crate) fn emit_to(
        &self,
        conn: ConnId,
        out: &mut Outbox,
        cx: &Common,
        at_ns: i64,
        seq: u64,
        write: impl FnOnce(&mut Vec<u8>, &str),
    ) {
        if self.stalled {
            Counters::add(&cx.counters.withheld, 1);
            return;
        }
        let start = out.bytes.len();
        write(&mut out.bytes, &self.name);
        let range = start..out.bytes.len();
        Counters::add(&cx.counters.bytes_queued, range.len() as u64);
        let mark = self
            .ring
            .filter(|_| seq != 0)
            .map(|ring| Mark { ring, seq, at_ns });
        out.items.push(Item::Text {
            conn,
            range,
            kind: self.kind,
            mark,
        });
        cx.counters.sent[self.kind as usize].fetch_add(1, Relaxed);
    }
}

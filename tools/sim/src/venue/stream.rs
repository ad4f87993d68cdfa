//! One stream: its name, who gets it, and the one place where a data frame is encoded, counted,
//! logged and possibly withheld.

use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;

use super::Common;
use crate::fault::{Act, Frame};
use crate::outbox::{ConnId, Item, Mark, MsgKind, Outbox};
use crate::stats::Counters;

/// A subscriber of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sub {
    pub(crate) conn: ConnId,
    /// Frames are wrapped as `{"stream":..,"data":..}`.
    pub(crate) wrapped: bool,
}

/// A frame out of its turn, raw, and those that it was for.
#[derive(Debug)]
struct Held {
    raw: Vec<u8>,
    conns: Vec<ConnId>,
    mark: Option<Mark>,
}

/// A stream of data frames.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) name: String,
    pub(crate) kind: MsgKind,
    pub(crate) subs: Vec<Sub>,
    /// Of its first subscription; empty before.
    symbol: String,
    /// Its frames are order book deltas.
    deltas: bool,
    /// A frame that a fault holds back until the next one has gone out.
    held: Option<Held>,
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
            symbol: String::new(),
            deltas: false,
            held: None,
            ring: None,
            stalled: false,
            skip: 0,
        }
    }

    /// Says that its frames are order book deltas.
    pub(crate) fn with_deltas(mut self, deltas: bool) -> Self {
        self.deltas = deltas;
        self
    }

    /// Adds a subscriber; a second time changes only the wrapping. Opens the send log's ring for
    /// streams whose frames carry a number.
    pub(crate) fn add(&mut self, sub: Sub, symbol: &str, cx: &mut Common) {
        if let Some(old) = self.subs.iter_mut().find(|old| old.conn == sub.conn) {
            *old = sub;
            return;
        }
        self.subs.push(sub);
        symbol.clone_into(&mut self.symbol);
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
        if self.subs.is_empty() {
            self.held = None;
        }
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

    fn frame(&self, at_ns: i64, can_cross: bool) -> Frame<'_> {
        Frame {
            name: &self.name,
            symbol: &self.symbol,
            is_delta: self.deltas,
            can_cross,
            can_hold: self.held.is_none(),
            at_ns,
        }
    }

    /// What a fault makes of the next frame, for writers that can cross a book; the answer goes to
    /// [`Self::emit_as`].
    pub(crate) fn act(&self, cx: &mut Common, at_ns: i64, can_cross: bool) -> Option<Act> {
        if self.subs.is_empty() {
            return None;
        }
        let frame = self.frame(at_ns, can_cross);
        if self.stalled || self.skip > 0 || cx.faults.is_stalled(&frame) {
            return Some(Act::Withhold);
        }
        cx.faults.take(&frame)
    }

    /// Sends one frame to all subscribers. `seq` is the venue's number in it, 0 for none; `write`
    /// gets the buffer and the stream's name.
    pub(crate) fn emit(
        &mut self,
        out: &mut Outbox,
        cx: &mut Common,
        at_ns: i64,
        seq: u64,
        write: impl FnOnce(&mut Vec<u8>, &str),
    ) {
        let act = self.act(cx, at_ns, false);
        self.emit_as(act, out, cx, (at_ns, seq), write);
    }

    /// The same with the fault that [`Self::act`] found.
    pub(crate) fn emit_as(
        &mut self,
        act: Option<Act>,
        out: &mut Outbox,
        cx: &mut Common,
        (at_ns, seq): (i64, u64),
        write: impl FnOnce(&mut Vec<u8>, &str),
    ) {
        if self.subs.is_empty() {
            return;
        }
        if act == Some(Act::Withhold) {
            self.skip = self.skip.saturating_sub(1);
            Counters::add(&cx.counters.withheld, 1);
            return;
        }
        let mark = match self.ring {
            Some(ring) if seq != 0 => Some(Mark { ring, seq, at_ns }),
            _ => None,
        };
        if act == Some(Act::Hold) {
            return self.hold(mark, write);
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
        match act {
            Some(Act::Damage { utf8 }) => cx.faults.damage(&mut out.bytes[raw..], utf8),
            Some(Act::Pad(bytes)) => {
                let end = out.bytes.len().max(raw + bytes);
                out.bytes.resize(end, b' ');
            }
            _ => {}
        }
        let raw = raw..out.bytes.len();
        if any_wrapped {
            out.bytes.push(b'}');
        }
        let wrapped = start..out.bytes.len();
        let mut subs = &self.subs[..];
        if act == Some(Act::Miss) {
            Counters::add(&cx.counters.withheld, 1);
            subs = &subs[1..];
        }
        let copies = if act == Some(Act::Duplicate) { 2 } else { 1 };
        for copy in 0..copies {
            let mark = mark.filter(|_| copy == 0);
            self.queue(out, cx, subs, (&raw, &wrapped), mark);
        }
        if let Some(held) = self.held.take() {
            self.release(held, out, cx);
        }
    }

    /// Queues an encoded frame to these subscribers.
    fn queue(
        &self,
        out: &mut Outbox,
        cx: &Common,
        subs: &[Sub],
        (raw, wrapped): (&Range<usize>, &Range<usize>),
        mark: Option<Mark>,
    ) {
        for (index, sub) in subs.iter().enumerate() {
            if cx.faults.is_mute(sub.conn) {
                Counters::add(&cx.counters.withheld, 1);
                continue;
            }
            let range = if sub.wrapped { wrapped } else { raw };
            Counters::add(&cx.counters.bytes_queued, range.len() as u64);
            out.items.push(Item::Text {
                conn: sub.conn,
                range: range.clone(),
                kind: self.kind,
                // The log's instant is that of the first subscriber's write.
                mark: mark.filter(|_| index == 0),
            });
        }
        cx.counters.sent[self.kind as usize].fetch_add(subs.len() as u64, Relaxed);
    }

    /// Keeps a frame back until the next one has gone out. If none comes it is lost.
    fn hold(&mut self, mark: Option<Mark>, write: impl FnOnce(&mut Vec<u8>, &str)) {
        let mut raw = Vec::new();
        write(&mut raw, &self.name);
        let conns = self.subs.iter().map(|sub| sub.conn).collect();
        self.held = Some(Held { raw, conns, mark });
    }

    /// Sends a held frame to those who were there when it was made.
    fn release(&self, held: Held, out: &mut Outbox, cx: &Common) {
        let was_there = |sub: &&Sub| held.conns.contains(&sub.conn);
        let subs: Vec<Sub> = self.subs.iter().filter(was_there).copied().collect();
        let start = out.bytes.len();
        let head = format!("{{\"stream\":\"{}\",\"data\":", self.name);
        out.bytes.extend_from_slice(head.as_bytes());
        let raw = out.bytes.len()..out.bytes.len() + held.raw.len();
        out.bytes.extend_from_slice(&held.raw);
        out.bytes.push(b'}');
        let wrapped = start..out.bytes.len();
        self.queue(out, cx, &subs, (&raw, &wrapped), held.mark);
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
        let faults = &cx.faults;
        if self.stalled || faults.is_stalled(&self.frame(at_ns, false)) || faults.is_mute(conn) {
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

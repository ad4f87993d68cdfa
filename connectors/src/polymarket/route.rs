//! Which streams a frame is for, and which reader it takes.
//!
//! One frame may change several books and one book several times: all changes of a token in a frame
//! are one update, so that no state between them is ever published. (A frame's entries may cross a
//! book for a moment.)

use super::hash::Printed;
use super::own::Own;
use super::parse::{self, Body, Frame, Item};
use super::sync::Entry;
use super::tape::{self, Reader};
use super::{news, subscribe};
use crate::market_data::{Context, Link, Streams};
use crate::outbox::Outbox;
use crate::scan::ScanErrorKind;
use crate::stream::Levels;
use crate::time::Nanos;
use crate::transmit::LinkId;

/// Memory for one message, used again for the next.
#[derive(Debug)]
pub(super) struct Scratch {
    frame: Frame,
    /// The route of each item; [`NOBODYS`] for one that concerns no stream, or is done.
    targets: Vec<usize>,
    levels: Levels,
    pub(super) reader: Reader,
    /// simd-json writes into what it reads; the message itself may be needed again.
    bytes: Vec<u8>,
}

const NOBODYS: usize = usize::MAX;

impl Scratch {
    /// Room for busy messages; it grows to the largest seen.
    pub(super) fn new() -> Scratch {
        Scratch {
            frame: Frame::new(),
            targets: Vec::with_capacity(256),
            levels: Levels::new(),
            reader: Reader::default(),
            bytes: Vec::with_capacity(1 << 14),
        }
    }

    fn copy(&mut self, payload: &[u8]) {
        self.bytes.clear();
        self.bytes.extend_from_slice(payload);
    }
}

/// The changes of one token that make one update: all of the frame's, up to its next whole book or
/// tick size.
#[derive(Clone, Copy)]
pub(super) struct Changes<'a> {
    items: &'a [Item],
    targets: &'a [usize],
    route: usize,
}

impl<'a> Changes<'a> {
    /// The changes, in order.
    #[inline]
    pub(super) fn iter(self) -> impl Iterator<Item = &'a Item> {
        let route = self.route;
        let mine = self.items.iter().zip(self.targets);
        let mine = mine.filter(move |(_, target)| **target == route);
        let mine = mine.map(|(item, _)| item);
        let mine = mine.take_while(|item| !matches!(item.body, Body::Book { .. } | Body::Tick(_)));
        mine.filter(|item| matches!(item.body, Body::Change { .. }))
    }
}

/// A message on a link of market data.
#[inline]
pub(super) fn handle_message(
    streams: &mut Streams<Own>,
    now: Nanos,
    link: LinkId,
    payload: &mut [u8],
    out: &mut Outbox,
) {
    if !streams.link(link).is_some_and(Link::is_up) {
        // The last words of one that was cut or let go.
        streams.counters.unrouted += 1;
        return;
    }
    match payload.trim_ascii_start().first() {
        Some(b'{' | b'[') => streams.handle_frame(now, link, payload, out),
        _ => {
            // "NO NEW ASSETS" and whatever else is no JSON says nothing that the books don't.
            if payload == subscribe::PONG
                && let Some(link) = streams.link_mut(link)
            {
                link.life.handle_pong();
                streams.rearm();
            }
        }
    }
}

impl Streams<Own> {
    /// A text that may be JSON.
    fn handle_frame(&mut self, now: Nanos, link: LinkId, payload: &mut [u8], out: &mut Outbox) {
        // Taken out, as what it holds goes to methods of this.
        let Some(mut scratch) = self.own.scratch.take() else {
            return;
        };
        match parse::frame(payload, &mut scratch.frame) {
            Ok(()) => {
                self.handle_items(now, link, payload, &mut scratch, out);
                if scratch.frame.others > 0 {
                    let read = scratch.reader.read(payload, |message| {
                        tape::each(&message, |one| self.handle_news(now, one, out));
                    });
                    self.counters.malformed += u64::from(read.is_none());
                }
            }
            Err(error) if error.kind == ScanErrorKind::Escape => {
                self.handle_escaped(now, link, payload, &mut scratch, out);
            }
            Err(_) => self.handle_unreadable(now, link, out),
        }
        self.own.scratch = Some(scratch);
    }

    /// A frame that the scanner can't take.
    #[cold]
    fn handle_escaped(
        &mut self,
        now: Nanos,
        link: LinkId,
        payload: &[u8],
        scratch: &mut Scratch,
        out: &mut Outbox,
    ) {
        scratch.copy(payload);
        let Scratch {
            frame,
            reader,
            bytes,
            ..
        } = scratch;
        let read = reader.read(bytes, |message| tape::frame(&message, frame));
        if !matches!(read, Some(Ok(()))) {
            return self.handle_unreadable(now, link, out);
        }
        let text = core::mem::take(&mut scratch.frame.text);
        self.handle_items(now, link, &text, scratch, out);
        if scratch.frame.others > 0 {
            scratch.copy(payload);
            let Scratch { reader, bytes, .. } = scratch;
            reader.read(bytes, |message| {
                tape::each(&message, |one| self.handle_news(now, one, out));
            });
        }
    }

    /// The items of a frame whose spans are of `text`.
    #[inline]
    fn handle_items(
        &mut self,
        now: Nanos,
        link: LinkId,
        text: &[u8],
        scratch: &mut Scratch,
        out: &mut Outbox,
    ) {
        let Scratch {
            frame,
            targets,
            levels,
            ..
        } = scratch;
        targets.clear();
        let is_crowded = self.table.is_crowded();
        let mut heard = false;
        for item in &frame.items {
            let asset = item.asset.of(text);
            // Runs of one token are the rule.
            let route = self.routes.find(asset).filter(|route| {
                let known = self.routes.get(*route);
                known.is_some_and(|route| route.carriers.carries(link))
            });
            heard |= route.is_some();
            if is_crowded
                && let Some(slot) = route.and_then(|route| self.routes.entry(route, 0))
                && let Some(entry) = self.table.get(slot)
            {
                entry.prefetch();
            }
            targets.push(route.unwrap_or(NOBODYS));
        }
        if heard {
            if let Some(link) = self.link_mut(link) {
                link.life.hear(now);
            }
        } else {
            self.counters.unrouted += u64::from(!frame.items.is_empty());
        }
        for index in 0..frame.items.len() {
            let (Some(item), Some(&route)) = (frame.items.get(index), targets.get(index)) else {
                continue;
            };
            if route == NOBODYS {
                continue;
            }
            // Most often there is one change of each token.
            let others = targets.get(index + 1..).unwrap_or_default();
            let is_last = !others.contains(&route);
            let end = if is_last {
                index + 1
            } else {
                frame.items.len()
            };
            let changes = Changes {
                items: frame.items.get(index..end).unwrap_or_default(),
                targets: targets.get(index..end).unwrap_or_default(),
                route,
            };
            self.handle_item(now, link, item, changes, (frame, text), levels, out);
            if !is_last && matches!(item.body, Body::Change { .. }) {
                finish(frame, targets, index, route);
            }
        }
    }

    /// One item, for all streams of its token; with a change come all that make one update with it.
    #[inline]
    #[expect(clippy::too_many_arguments, reason = "all of one message")]
    fn handle_item(
        &mut self,
        now: Nanos,
        link: LinkId,
        item: &Item,
        changes: Changes<'_>,
        (frame, text): (&Frame, &[u8]),
        levels: &mut Levels,
        out: &mut Outbox,
    ) {
        let route = changes.route;
        let mut in_step = false;
        let mut number = 0;
        while let Some(slot) = self.routes.entry(route, number) {
            number += 1;
            let Some(entry) = self.table.get_mut(slot) else {
                continue;
            };
            // Trades that go on say nothing of the changes of a book.
            let is_sign = !matches!(item.body, Body::Trade { .. } | Body::Best(_));
            if (is_sign || entry.keeper().is_none()) && entry.watch.hear(now) {
                entry.handle_heard(now, out);
            }
            let mut context = Context {
                link,
                ..Context::new(now, &mut self.rng, &mut self.counters, out)
            };
            match item.body {
                Body::Book { bids, asks, .. } => {
                    let sides = (bids.of(&frame.rows), asks.of(&frame.rows));
                    let printed = Printed::of(item, text);
                    entry.handle_book(item.exch_ns, sides, printed, levels, &mut context);
                }
                Body::Change { .. } => entry.handle_changes(changes, levels, &mut context),
                Body::Trade { row, aggressor, id } => {
                    entry.handle_trade(item.exch_ns, row, aggressor, id, &mut context);
                }
                Body::Tick(tick) => entry.handle_tick(item.exch_ns, tick, &mut context),
                Body::Best(best) => entry.compare(best, &mut context),
            }
            in_step |= context.in_step;
            let deadline = entry.deadline();
            self.table.timers.arm(slot, deadline);
        }
        if let Body::Book { .. } = item.body {
            self.handle_book_come(now, link, route, in_step, out);
        } else if in_step {
            self.note_in_step(now, route, link, out);
        }
    }

    /// A frame that nobody can read: whose changes it held, nobody knows, and no number would tell
    /// later. So every book that its link carries is fetched anew.
    #[cold]
    fn handle_unreadable(&mut self, now: Nanos, link: LinkId, out: &mut Outbox) {
        self.counters.malformed += 1;
        for route in self.routes_on(link) {
            let mut number = 0;
            while let Some(slot) = self.routes.entry(route, number) {
                number += 1;
                if let Some(entry) = self.table.get_mut(slot) {
                    let mut context = Context::new(now, &mut self.rng, &mut self.counters, out);
                    entry.handle_malformed(&mut context);
                    self.table.arm(slot);
                }
            }
        }
    }

    /// An object of another kind: news of markets.
    fn handle_news(
        &mut self,
        now: Nanos,
        object: &simd_json::tape::Value<'_, '_>,
        out: &mut Outbox,
    ) {
        news::each_resolved(object, |asset| {
            let Some(route) = self.routes.find(asset.as_bytes()) else {
                return;
            };
            self.each_entry(route, out, |entry: &mut Entry, out| {
                entry.handle_resolved(now, out);
            });
        });
    }

    /// The book of a token has come by a link: the venue has heard that it is wanted there.
    fn handle_book_come(
        &mut self,
        now: Nanos,
        link: LinkId,
        route: usize,
        in_step: bool,
        out: &mut Outbox,
    ) {
        let Some(known) = self.routes.get_mut(route) else {
            return;
        };
        let is_first = known.carriers.get(link).is_some_and(|one| !one.acked);
        known.carriers.note_ack(link);
        if in_step {
            self.note_in_step(now, route, link, out);
        }
        if is_first {
            self.each_entry(route, out, |entry, _| entry.watch.start(now));
            // What can't show that it is in step moves once all that came before has come.
            self.note_successor_acked(now, link);
            self.rearm();
        }
    }
}

/// The changes from `index` on that were handled together are done.
#[inline]
fn finish(frame: &Frame, targets: &mut [usize], index: usize, route: usize) {
    for (item, target) in frame.items.iter().zip(targets).skip(index) {
        if *target != route {
            continue;
        }
        match item.body {
            Body::Change { .. } => *target = NOBODYS,
            Body::Book { .. } | Body::Tick(_) => return,
            Body::Trade { .. } | Body::Best(_) => {}
        }
    }
}

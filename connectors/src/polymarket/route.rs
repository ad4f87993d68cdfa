//! Which streams a frame is for, and which reader it takes.
//!
//! One frame may change several books and one book several times: all changes of a token in a frame
//! are one update, so that no state between them is ever published. (A frame's entries may cross a
//! book for a moment.)

use rustc_hash::FxHashMap;

use super::hash::Printed;
use super::parse::{self, Body, Frame, Item};
use super::subscribe::Topic;
use super::sync::{Context, Entry};
use super::tape::{self, Reader};
use super::{Polymarket, news};
use crate::carriers::Carriers;
use crate::outbox::Outbox;
use crate::scan::ScanErrorKind;
use crate::stream::Levels;
use crate::time::Nanos;
use crate::transmit::LinkId;

/// A token with its streams: its book, its trades, and either more than once where a strategy asked
/// for it under several numbers.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) topic: Topic,
    /// The links that it comes by.
    pub(super) carriers: Carriers,
    /// The numbers of the entries of its streams.
    pub(super) entries: Vec<usize>,
}

/// From tokens to streams.
#[derive(Debug, Default)]
pub(super) struct Routes {
    index: FxHashMap<Box<[u8]>, usize>,
    routes: Vec<Option<Route>>,
    free: Vec<usize>,
}

impl Routes {
    /// The route of a token.
    #[inline]
    pub(super) fn find(&self, topic: &[u8]) -> Option<usize> {
        self.index.get(topic).copied()
    }

    /// Routes have lower numbers.
    pub(super) fn len(&self) -> usize {
        self.routes.len()
    }

    #[inline]
    pub(super) fn get(&self, route: usize) -> Option<&Route> {
        self.routes.get(route)?.as_ref()
    }

    #[inline]
    pub(super) fn get_mut(&mut self, route: usize) -> Option<&mut Route> {
        self.routes.get_mut(route)?.as_mut()
    }

    /// The entry of one of its streams: numbers run from 0.
    #[inline]
    pub(super) fn entry(&self, route: usize, number: usize) -> Option<usize> {
        self.get(route)?.entries.get(number).copied()
    }

    /// Adds a stream to a token, which may be new. Gives its route.
    pub(super) fn add(&mut self, topic: &Topic, entry: usize) -> usize {
        let known = self.find(topic.as_bytes());
        if let Some(known) = known
            && let Some(route) = self.get_mut(known)
        {
            route.entries.push(entry);
            return known;
        }
        let route = Some(Route {
            topic: *topic,
            carriers: Carriers::new(),
            entries: vec![entry],
        });
        let slot = match self.free.pop() {
            Some(slot) => {
                self.routes[slot] = route;
                slot
            }
            None => {
                self.routes.push(route);
                self.routes.len() - 1
            }
        };
        self.index.insert(topic.as_bytes().into(), slot);
        slot
    }

    /// Takes a stream from its token; gives the token's links where it was the last one.
    pub(super) fn remove(&mut self, topic: &str, entry: usize) -> Option<Carriers> {
        let slot = self.find(topic.as_bytes())?;
        let route = self.get_mut(slot)?;
        route.entries.retain(|&one| one != entry);
        if !route.entries.is_empty() {
            return None;
        }
        let route = self.routes.get_mut(slot)?.take()?;
        self.index.remove(route.topic.as_bytes());
        self.free.push(slot);
        Some(route.carriers)
    }
}

/// Memory for one message, used again for the next.
#[derive(Debug)]
pub(super) struct Scratch {
    pub(super) frame: Frame,
    /// The route of each item; [`NOBODYS`] for one that concerns no stream, or is done.
    targets: Vec<usize>,
    pub(super) levels: Levels,
    pub(super) reader: Reader,
    /// simd-json writes into what it reads; the message itself may be needed again.
    pub(super) bytes: Vec<u8>,
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

    pub(super) fn copy(&mut self, payload: &[u8]) {
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

impl Polymarket {
    /// A text that may be JSON.
    pub(super) fn handle_frame(
        &mut self,
        now: Nanos,
        link: LinkId,
        payload: &mut [u8],
        out: &mut Outbox,
    ) {
        // Taken out, as what it holds goes to methods of this.
        let Some(mut scratch) = self.scratch.take() else {
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
        self.scratch = Some(scratch);
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
        let mut heard = false;
        for item in &frame.items {
            let asset = item.asset.of(text);
            // Runs of one token are the rule.
            let route = self.routes.find(asset).filter(|route| {
                let known = self.routes.get(*route);
                known.is_some_and(|route| route.carriers.carries(link))
            });
            heard |= route.is_some();
            targets.push(route.unwrap_or(NOBODYS));
        }
        if heard {
            if let Some(link) = self.link_mut(link) {
                link.hear(now);
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
            let changes = Changes {
                items: frame.items.get(index..).unwrap_or_default(),
                targets: targets.get(index..).unwrap_or_default(),
                route,
            };
            let printed = Printed::of(item, text);
            self.handle_item(now, link, item, changes, (frame, printed), levels, out);
            if matches!(item.body, Body::Change { .. }) {
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
        (frame, printed): (&Frame, Option<Printed<'_>>),
        levels: &mut Levels,
        out: &mut Outbox,
    ) {
        let route = changes.route;
        let mut in_step = false;
        let mut number = 0;
        while let Some(slot) = self.routes.entry(route, number) {
            number += 1;
            let Some(entry) = self.entries.get_mut(slot).and_then(Option::as_mut) else {
                continue;
            };
            // Trades that go on say nothing of the changes of a book.
            let is_sign = !matches!(item.body, Body::Trade { .. } | Body::Best(_));
            if (is_sign || entry.keeper().is_none()) && entry.watch.hear(now) {
                entry.handle_heard(now, out);
            }
            let mut context = Context {
                link,
                printed,
                ..Context::new(now, &mut self.rng, &mut self.counters, out)
            };
            match item.body {
                Body::Book { bids, asks, .. } => {
                    let sides = (bids.of(&frame.rows), asks.of(&frame.rows));
                    entry.handle_book(item.exch_ns, sides, levels, &mut context);
                }
                Body::Change { .. } => entry.handle_changes(changes, levels, &mut context),
                Body::Trade { row, aggressor, id } => {
                    entry.handle_trade(item.exch_ns, row, aggressor, id, &mut context);
                }
                Body::Tick(tick) => entry.handle_tick(item.exch_ns, tick, &mut context),
                Body::Best(best) => entry.compare(best, &mut context),
            }
            in_step |= context.in_step;
            self.timers.arm(slot, entry.deadline());
        }
        if let Body::Book { .. } = item.body {
            self.handle_topic_acked(now, link, route, in_step, out);
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
                if let Some(entry) = self.entries.get_mut(slot).and_then(Option::as_mut) {
                    let mut context = Context::new(now, &mut self.rng, &mut self.counters, out);
                    entry.handle_malformed(&mut context);
                    self.timers.arm(slot, entry.deadline());
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

//! Streams that are silent, and books that may be wrong: probes by REST, and what follows where a book
//! does not show the venue's best prices.
//!
//! A probe asks for the token's `/book`, whose `timestamp` and levels tell:
//!
//! | stream | silent though |
//! |---|---|
//! | book | the venue's book is later than ours, and is another. The time alone says little: nobody promises that it is that of the last change. And `/book` has been seen to lag (Polymarket/py-clob-client issue 180), so that an older one says nothing |
//! | trades | the venue's book is another than at the probe before, though nothing came |

use std::collections::VecDeque;

use simd_json::prelude::*;
use simd_json::tape::Value;
use tickwire_orderbook::{Level, Side};

use super::parse::{self, Body, Frame};
use super::sync::{Context, Entry, Feed, fill};
use super::{Polymarket, rest, tape, urls};
use crate::error::Error;
use crate::event::Reason;
use crate::liveness::{Action, Liveness, Probe};
use crate::outbox::Outbox;
use crate::stream::Times;
use crate::time::Nanos;
use crate::transmit::{HttpFailure, HttpRequest, LinkId, Method, ReadOn, RequestId, Response};

/// Probes in flight at once: they are not urgent, and each holds a connection of the pool.
const IN_FLIGHT_MAX: usize = 4;

/// So many streams of one link found mute together are the link's fault: it is made anew rather than
/// each of them.
const MUTE_STREAMS_MAX: usize = 8;

/// An entry that is to be probed, by number and serial.
type Subject = (usize, u32);

/// The probes that wait and those under way.
#[derive(Debug, Default)]
pub(super) struct Probes {
    waiting: VecDeque<Subject>,
    in_flight: Vec<(RequestId, Subject)>,
    /// The governor admits none before.
    hold_until: Option<Nanos>,
}

impl Probes {
    /// The entry whose probe is answered; `None` where it is not one of ours.
    pub(super) fn finish(&mut self, id: RequestId) -> Option<Subject> {
        let index = self.in_flight.iter().position(|(one, _)| *one == id)?;
        Some(self.in_flight.remove(index).1)
    }

    pub(super) fn poll_timeout(&self) -> Option<Nanos> {
        self.hold_until
    }

    pub(super) fn handle_timeout(&mut self, now: Nanos) {
        if self.hold_until.is_some_and(|until| until <= now) {
            self.hold_until = None;
        }
    }
}

impl Polymarket {
    // Silence.

    pub(super) fn handle_watch_timeout(&mut self, now: Nanos, slot: usize, out: &mut Outbox) {
        let Some(entry) = self.entries.get_mut(slot).and_then(Option::as_mut) else {
            return;
        };
        let subject = (slot, entry.serial);
        match entry.watch.handle_timeout(now) {
            Action::None => {}
            Action::Probe => {
                self.counters.probes += 1;
                if entry.watch.liveness() == Liveness::Quiet {
                    entry.handle_quiet(now, out);
                }
                self.probes.waiting.push_back(subject);
            }
            Action::Renew => self.handle_mute(now, slot, out),
            Action::Reconnect => {
                entry.handle_dead(now, out);
                self.reconnect(now, slot, "a stream stays mute", out);
            }
        }
        self.handle_agreement_timeout(now, slot, out);
    }

    /// A stream is mute: it is asked for anew, or its link is, where others are mute as well.
    fn handle_mute(&mut self, now: Nanos, slot: usize, out: &mut Outbox) {
        let Some(entry) = self.entries.get_mut(slot).and_then(Option::as_mut) else {
            return;
        };
        self.counters.mute += 1;
        entry.handle_mute(now, out);
        let Some(link) = self.links_of(slot).first().copied() else {
            return;
        };
        let mutes = self.entries.iter().enumerate().filter(|(slot, entry)| {
            let mute = |entry: &Entry| entry.watch.liveness() == Liveness::Mute;
            entry.as_deref().is_some_and(mute) && self.links_of(*slot).contains(&link)
        });
        if mutes.count() >= MUTE_STREAMS_MAX {
            self.reconnect(now, slot, "many streams are mute", out);
        } else {
            self.renew(now, slot, out);
        }
    }

    fn links_of(&self, slot: usize) -> Vec<LinkId> {
        let entry = self.entries.get(slot).and_then(Option::as_ref);
        let route = entry.and_then(|entry| self.routes.get(entry.route?));
        let carriers = route.map(|route| route.carriers.iter().map(|carrier| carrier.link));
        carriers.map_or_else(Vec::new, Iterator::collect)
    }

    /// Makes the links of a stream anew.
    fn reconnect(&mut self, now: Nanos, slot: usize, why: &'static str, out: &mut Outbox) {
        for id in self.links_of(slot) {
            if let Some(link) = self.link_mut(id).filter(|link| link.is_up()) {
                link.cut(why);
                self.handle_link_lost(now, id, out);
            }
        }
    }

    // Probes.

    #[inline]
    pub(super) fn has_probe(&self) -> bool {
        let probes = &self.probes;
        !probes.waiting.is_empty()
            && probes.hold_until.is_none()
            && probes.in_flight.len() < IN_FLIGHT_MAX
    }

    /// The entry, where it is still the one that was meant.
    fn subject(&mut self, (slot, serial): Subject) -> Option<&mut Entry> {
        self.entry_mut(slot).filter(|entry| entry.serial == serial)
    }

    pub(super) fn next_probe(&mut self, now: Nanos) -> Option<HttpRequest> {
        while self.has_probe() {
            let subject = *self.probes.waiting.front()?;
            let token = self
                .subject(subject)
                .filter(|entry| entry.watch.is_probing());
            let Some(token) = token.map(|entry| entry.stream.instrument.venue_symbol) else {
                self.probes.waiting.pop_front();
                continue;
            };
            if let Err(until) = self.rest.governor.admit_idle_request(now, 1) {
                self.probes.hold_until = Some(until);
                return None;
            }
            self.probes.waiting.pop_front();
            let id = self.rest.next_id();
            self.probes.in_flight.push((id, subject));
            let prefix = &self.urls.rest_prefix;
            return Some(HttpRequest {
                id,
                endpoint: self.urls.rest.clone(),
                method: Method::Get,
                target: format!("{prefix}/book?token_id={token}"),
                headers: Vec::new(),
                timeout_ns: urls::REST_TIMEOUT,
                body_bytes_max: urls::PROBE_BODY_BYTES_MAX,
                read_on: ReadOn::Loop,
            });
        }
        None
    }

    pub(super) fn handle_probe_answer(
        &mut self,
        now: Nanos,
        subject: Subject,
        response: Result<Response<'_>, HttpFailure>,
        out: &mut Outbox,
    ) {
        let result: Result<Probe, Error> = rest::body_of(response).and_then(|body| {
            rest::read_book(body, |book| {
                // Heard since, it is not to be compared: the answer may be older than what came.
                let entry = self
                    .subject(subject)
                    .filter(|entry| entry.watch.is_probing());
                entry.map_or(Probe::Failed, |entry| {
                    compare_answer(entry, book).unwrap_or(Probe::Failed)
                })
            })
        });
        self.rest.note(now, &result);
        self.tell_news(now, out);
        self.counters.requests_failed += u64::from(result.is_err());
        let found = result.unwrap_or(Probe::Failed);
        if let Some(entry) = self.subject(subject) {
            entry.watch.handle_probe(now, found);
            let deadline = entry.deadline();
            self.timers.arm(subject.0, deadline);
        }
    }

    // Agreement.

    fn handle_agreement_timeout(&mut self, now: Nanos, slot: usize, out: &mut Outbox) {
        let Some(entry) = self.entries.get_mut(slot).and_then(Option::as_mut) else {
            return;
        };
        // Whichever of the two is thought wrong: they came in one message, and a fresh book mends both.
        if entry.agreement.handle_timeout(now).is_some() {
            self.counters.disagreements += 1;
            let mut context = Context::new(now, &mut self.rng, &mut self.counters, out);
            entry.break_off(Reason::Disagrees, Times::ours(now), &mut context);
        }
    }
}

/// Whether the venue has what the entry has not; `None` where the answer does not say.
fn compare_answer(entry: &mut Entry, book: &Value<'_, '_>) -> Option<Probe> {
    let mut frame = Frame::default();
    tape::frame(book, &mut frame).ok()?;
    let item = frame.items.first()?;
    let Body::Book { bids, asks, .. } = item.body else {
        return None;
    };
    let (bids, asks) = (bids.of(&frame.rows), asks.of(&frame.rows));
    let ahead = |ahead: bool| if ahead { Probe::Ahead } else { Probe::Same };
    let Feed::Book(keeper) = &entry.feed else {
        let mut hash = parse::FNV_BASIS;
        for row in bids.iter().chain(asks) {
            hash = parse::fold_row(hash, *row);
        }
        let found = parse::short(hash);
        let known = entry.probed.replace(found);
        return Some(ahead(known.is_some_and(|known| known != found)));
    };
    if item.exch_ns <= entry.last_ns {
        return Some(Probe::Same);
    }
    let scales = (entry.stream.price_scale(), entry.stream.qty_scale());
    let same = |side: Side, rows: &[parse::Row]| {
        let mut theirs: Vec<Level> = Vec::with_capacity(rows.len());
        // What is not even at our scale is not what we have.
        let fits = fill(rows, scales, &mut theirs).is_ok();
        theirs.sort_by_key(|level| match side {
            Side::Bid => -level.price,
            Side::Ask => level.price,
        });
        fits && keeper.book().levels(side).eq(theirs)
    };
    Some(ahead(!(same(Side::Bid, bids) && same(Side::Ask, asks))))
}

//! Streams that are silent: each is asked about by REST, asked for anew where the venue has news that did
//! not come, and its link made anew where that did not help.

use std::collections::VecDeque;

use super::Streams;
use super::dialect::Dialect;
use super::entry::{Entry, Kept};
use super::link::Link;
use super::table::Table;
use crate::error::Error;
use crate::liveness::{Action, Liveness, Probe};
use crate::outbox::Outbox;
use crate::time::Nanos;
use crate::transmit::{HttpFailure, HttpRequest, LinkId, ReadOn, RequestId, Response};

/// Probes in flight at once: they are not urgent, and each holds a connection of the pool.
const IN_FLIGHT_MAX: usize = 4;

/// So many streams of one link found mute together are the link's fault: it is made anew rather than
/// each of them.
const MUTE_STREAMS_MAX: usize = 8;

/// An entry that is to be probed, by slot and serial.
type Subject = (usize, u32);

/// The probes that wait and those under way.
#[derive(Debug, Default)]
pub(crate) struct Probes {
    waiting: VecDeque<Subject>,
    in_flight: Vec<(RequestId, Subject)>,
    /// The governor admits none before.
    hold_until: Option<Nanos>,
}

impl Probes {
    #[inline]
    pub(super) fn has_request(&self) -> bool {
        !self.waiting.is_empty()
            && self.hold_until.is_none()
            && self.in_flight.len() < IN_FLIGHT_MAX
    }

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

/// The entry, where it is still the one that was meant.
fn subject<K: Kept>(table: &mut Table<K>, (slot, serial): Subject) -> Option<&mut Entry<K>> {
    table.get_mut(slot).filter(|entry| entry.serial == serial)
}

impl<D: Dialect> Streams<D> {
    pub(super) fn handle_watch_timeout(&mut self, now: Nanos, slot: usize, out: &mut Outbox) {
        let Some(entry) = self.table.get_mut(slot) else {
            return;
        };
        match entry.watch.handle_timeout(now) {
            Action::None => {}
            Action::Probe => {
                self.counters.probes += 1;
                if entry.watch.liveness() == Liveness::Quiet {
                    entry.handle_quiet(now, entry.sink(&mut self.unseen, out));
                }
                self.probes.waiting.push_back((slot, entry.serial));
            }
            Action::Renew => self.handle_mute(now, slot, out),
            Action::Reconnect => {
                entry.handle_dead(now, entry.sink(&mut self.unseen, out));
                self.reconnect(now, slot, "a stream stays mute", out);
            }
        }
        self.handle_agreement_timeout(now, slot, out);
    }

    /// A stream is mute: it is asked for anew, or its link is, where others are mute as well.
    pub(super) fn handle_mute(&mut self, now: Nanos, slot: usize, out: &mut Outbox) {
        let Some(entry) = self.table.get_mut(slot) else {
            return;
        };
        self.counters.mute += 1;
        entry.handle_mute(now, entry.sink(&mut self.unseen, out));
        let Some(link) = self.links_of(slot).first().copied() else {
            return;
        };
        let mutes = self.table.iter().filter(|(slot, entry)| {
            entry.watch.liveness() == Liveness::Mute && self.links_of(*slot).contains(&link)
        });
        if mutes.count() >= MUTE_STREAMS_MAX {
            self.reconnect(now, slot, "many streams are mute", out);
        } else {
            self.renew(now, slot, out);
        }
    }

    fn links_of(&self, slot: usize) -> Vec<LinkId> {
        let route = self.table.get(slot).and_then(|entry| entry.route);
        let route = route.and_then(|route| self.routes.get(route));
        let carriers = route.map(|route| route.carriers.iter().map(|carrier| carrier.link));
        carriers.map_or_else(Vec::new, Iterator::collect)
    }

    /// Makes the links of a stream anew.
    fn reconnect(&mut self, now: Nanos, slot: usize, why: &'static str, out: &mut Outbox) {
        for id in self.links_of(slot) {
            if let Some(link) = self.link_mut(id).filter(|link| Link::is_up(link)) {
                link.cut(why);
                self.handle_link_lost(now, id, out);
            }
        }
    }

    pub(super) fn next_probe(&mut self, now: Nanos) -> Option<HttpRequest> {
        while self.probes.has_request() {
            let waiting = *self.probes.waiting.front()?;
            let entry = subject(&mut self.table, waiting);
            let entry = entry.filter(|entry| entry.watch.is_probing());
            let Some(path) = entry.and_then(|entry| self.own.probe(now, entry)) else {
                // Nobody wants to know any more.
                self.probes.waiting.pop_front();
                continue;
            };
            if let Err(until) = self.rest.governor.admit_idle_request(now, 1) {
                self.probes.hold_until = Some(until);
                return None;
            }
            self.probes.waiting.pop_front();
            let id = self.rest.next_id();
            self.probes.in_flight.push((id, waiting));
            return Some(self.request(id, &path, ReadOn::Loop, D::PROBE_BYTES_MAX));
        }
        None
    }

    pub(super) fn handle_probe_answer(
        &mut self,
        now: Nanos,
        probed: (usize, u32),
        response: Result<Response<'_>, HttpFailure>,
        out: &mut Outbox,
    ) {
        // Heard since, it is not to be compared: the answer may be older than what came.
        let entry = subject(&mut self.table, probed);
        let entry = entry.filter(|entry| entry.watch.is_probing());
        let result: Result<Probe, Error> = self.own.read_probe(now, response, entry);
        self.rest.note(now, &result);
        self.tell_news(now, out);
        self.counters.requests_failed += u64::from(result.is_err());
        let found = result.unwrap_or(Probe::Failed);
        if let Some(entry) = subject(&mut self.table, probed) {
            entry.watch.handle_probe(now, found);
            self.table.arm(probed.0);
        }
    }
}

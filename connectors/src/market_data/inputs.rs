//! What the engine tells of market data, and asks for it.

use super::Streams;
use super::dialect::Dialect;
use super::entry::{Context, Kept, Phase};
use super::link::{Link, LinkOutput};
use crate::command::Command;
use crate::event::{Reason, StreamState};
use crate::outbox::Outbox;
use crate::stream::Times;
use crate::time::Nanos;
use crate::transmit::{HttpFailure, LinkChange, LinkId, RequestId, Response, Transmit};

impl<D: Dialect> Streams<D> {
    /// A strategy asks for something of a stream of market data.
    pub(super) fn handle_wish(&mut self, now: Nanos, command: Command, out: &mut Outbox) {
        let id = command.stream();
        let slot = self.table.slot_of(id);
        let entry = slot.and_then(|slot| self.table.get_mut(slot));
        match (command, entry) {
            (
                Command::Subscribe {
                    symbol,
                    channel,
                    depth,
                    ..
                },
                _,
            ) => self.subscribe(now, id, symbol, channel, depth, out),
            (Command::Unsubscribe { .. }, _) => self.unsubscribe(now, id, out),
            (Command::SetDepth { depth, .. }, Some(entry)) => {
                let on = depth && !entry.stream.depth;
                entry.stream.depth = depth;
                if on {
                    entry.republish(now, out);
                }
            }
            (Command::Republish { .. }, Some(entry)) => entry.republish(now, out),
            (Command::Resync { .. }, Some(entry)) => {
                // What has no state has nothing to fetch. What is Pending or Stale gets it with its link,
                // and to say that it is on its way would be too early.
                let state = entry.stream.state();
                let is_there = matches!(state, StreamState::Live | StreamState::Resync);
                if is_there && entry.own.is_fetched() {
                    let mut context = Context::new(now, &mut self.rng, &mut self.counters, out);
                    entry.break_off_now(Reason::Requested, &mut context);
                }
            }
            (_, None) => {}
        }
        if let Some(slot) = slot {
            self.table.arm(slot);
        }
        self.rearm();
    }

    pub(super) fn handle_link_change(
        &mut self,
        now: Nanos,
        link: LinkId,
        change: &LinkChange,
        out: &mut Outbox,
    ) {
        match change {
            LinkChange::Up { .. } => self.handle_link_up(now, link, out),
            LinkChange::Down { .. } => {
                if self.link(link).is_none() {
                    // The end of one that was let go.
                    self.closing.retain(|closing| *closing != link);
                }
                self.handle_link_down(now, link, out);
            }
        }
        self.rearm();
    }

    pub(super) fn handle_answer_to_request(
        &mut self,
        now: Nanos,
        id: RequestId,
        response: Result<Response<'_>, HttpFailure>,
        out: &mut Outbox,
    ) {
        if let Some(probed) = self.probes.finish(id) {
            self.handle_probe_answer(now, probed, response, out);
        } else {
            let result = D::read_instruments(self.market, now, response);
            self.handle_answer_to_question(now, id, result, out);
        }
        self.rearm();
    }

    /// The timers of requests and links.
    pub(super) fn handle_earlier_timeouts(&mut self, now: Nanos, out: &mut Outbox) {
        self.rest.handle_timeout(now);
        self.probes.handle_timeout(now);
        self.tell_news(now, out);
        self.handle_link_timeouts(now, out);
    }

    /// The timers of streams.
    pub(super) fn handle_stream_timeouts(&mut self, now: Nanos, out: &mut Outbox) {
        while let Some(slot) = self.table.timers.pop(now) {
            self.handle_entry_timeout(now, slot, out);
            self.handle_watch_timeout(now, slot, out);
            self.table.arm_later(now, slot);
        }
    }

    /// A timer of an entry.
    fn handle_entry_timeout(&mut self, now: Nanos, slot: usize, out: &mut Outbox) {
        let Some(entry) = self.table.get_mut(slot) else {
            return;
        };
        let events = entry.sink(&mut self.unseen, out);
        let mut context = Context::new(now, &mut self.rng, &mut self.counters, events);
        D::Kept::handle_timeout(entry, &mut context);
        match entry.phase {
            Phase::Resolving { until } if until <= now => {
                let default = entry.stream.instrument;
                self.start(now, slot, default, out);
            }
            Phase::Waiting { until: Some(until) } if until <= now => {
                let times = Times::ours(now);
                entry.break_off(Reason::SnapshotFailed, None, times, &mut context);
            }
            Phase::Backoff { until } if until <= now => self.renew(now, slot, out),
            _ => {}
        }
    }

    #[inline]
    pub(super) fn wants_transmit(&self) -> bool {
        self.links.iter().any(Link::has_transmit)
            || self.rest.has_request()
            || self.probes.has_request()
    }

    /// The next thing to do for market data.
    pub(super) fn poll_streams(&mut self, now: Nanos, body: &mut Vec<u8>) -> Option<Transmit> {
        if !self.wants_transmit() {
            return None;
        }
        let todo = self.poll_links(now, body);
        let todo = todo.or_else(|| self.poll_requests(now, body));
        // It may have been the last for a while.
        self.rearm();
        todo
    }

    fn poll_links(&mut self, now: Nanos, body: &mut Vec<u8>) -> Option<Transmit> {
        let mut index = 0;
        while let Some(link) = self.links.get_mut(index) {
            match link.poll(now, &mut self.own, &self.rest.governor, body) {
                LinkOutput::Nothing => index += 1,
                LinkOutput::Do(todo) => return Some(todo),
                LinkOutput::Asked(todo, topics) => {
                    self.handle_asked(now, &topics);
                    return Some(todo);
                }
                LinkOutput::Forget(todo) => {
                    let link = self.links.remove(index);
                    if todo.is_some() {
                        self.closing.push(link.id);
                        return todo;
                    }
                }
            }
        }
        None
    }

    /// These topics have been asked for, and nothing more will be said of that.
    fn handle_asked(&mut self, now: Nanos, topics: &[String]) {
        for topic in topics {
            for slot in self.routes.entries(topic) {
                if let Some(entry) = self.table.get_mut(slot) {
                    entry.await_first(now);
                    self.table.arm(slot);
                }
            }
        }
    }

    fn poll_requests(&mut self, now: Nanos, body: &mut Vec<u8>) -> Option<Transmit> {
        let request = self.next_question(now, body);
        let request = request.or_else(|| self.next_probe(now))?;
        self.counters.requests += 1;
        Some(Transmit::Http(Box::new(request)))
    }
}

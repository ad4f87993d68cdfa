//! From a message to its streams, at venues whose messages each name their topic.

use super::Streams;
use super::dialect::Topical;
use super::entry::Context;
use super::link::Link;
use crate::outbox::Outbox;
use crate::scan::ScanErrorKind;
use crate::time::Nanos;
use crate::transmit::LinkId;

impl<D: Topical> Streams<D> {
    /// A message on a link of market data.
    #[inline]
    pub(crate) fn handle_topical(
        &mut self,
        now: Nanos,
        link: LinkId,
        payload: &mut [u8],
        out: &mut Outbox,
    ) {
        if !self.link(link).is_some_and(Link::is_up) {
            // The last words of one that was cut or let go.
            self.counters.unrouted += 1;
            return;
        }
        match D::topic_of(payload) {
            Ok(Some(topic)) => match self.routes.find(topic) {
                Some(route) => self.handle_routed(now, link, route, payload, out),
                None => self.counters.unrouted += 1,
            },
            Ok(None) => D::handle_answer(self, now, link, payload, out),
            Err(error) if error.kind == ScanErrorKind::Escape => {
                self.handle_escaped(now, link, payload, out);
            }
            // Nobody can tell whose it was.
            Err(_) => self.counters.malformed += 1,
        }
    }

    /// A message whose topic the scanner can't tell.
    #[cold]
    fn handle_escaped(&mut self, now: Nanos, link: LinkId, payload: &mut [u8], out: &mut Outbox) {
        match self.own.escaped_topic(payload) {
            None => self.counters.malformed += 1,
            Some(None) => D::handle_answer(self, now, link, payload, out),
            Some(Some(topic)) => match self.routes.find(topic.as_bytes()) {
                Some(route) => self.handle_routed(now, link, route, payload, out),
                None => self.counters.unrouted += 1,
            },
        }
    }

    fn handle_routed(
        &mut self,
        now: Nanos,
        link: LinkId,
        route: usize,
        payload: &[u8],
        out: &mut Outbox,
    ) {
        let Some(known) = self.routes.get(route) else {
            return;
        };
        if !known.carriers.carries(link) {
            // The topic has moved; its old link may still send it until it is closed.
            self.counters.unrouted += 1;
            return;
        }
        let is_pair = known.carriers.is_pair();
        let has_peers = !known.peers.is_empty();
        let healable = is_pair && known.carriers.is_safe_without(link);
        let is_crowded = self.table.is_crowded();
        let mut in_step = false;
        let mut number = 0;
        while let Some(slot) = self.routes.entry(route, number) {
            number += 1;
            let Some(entry) = self.table.get_mut(slot) else {
                continue;
            };
            if is_crowded {
                entry.prefetch();
            }
            let out = entry.sink(&mut self.unseen, out);
            if entry.watch.hear(now) {
                entry.handle_heard(now, out);
            }
            let mut context = Context {
                link,
                healable,
                ..Context::new(now, &mut self.rng, &mut self.counters, out)
            };
            self.own.handle_data(entry, payload, &mut context);
            in_step |= context.in_step;
            let deadline = entry.deadline();
            self.table.timers.arm(slot, deadline);
        }
        if is_pair && in_step {
            self.note_in_step(now, route, link, out);
        }
        if has_peers {
            self.compare(now, route);
        }
    }
}

//! Links in the loop: made, read, found dead, let go.

use tickwire_connectors::transmit::{DownReason, LinkChange, LinkLoss, LinkSpec};
use tickwire_connectors::{Connector, LinkId};

use super::{Loop, Part};
use crate::hosts::Held;
use crate::link::{Input, Link, asked_to_wait};
use crate::net::Net;
use crate::notice::{LinkNotice, LinkNoticeKind};

impl<C: Connector, N: Net> Loop<C, N> {
    pub(super) fn read_every_link(&mut self) {
        for venue in 0..self.slots.len() {
            for index in 0..self.slots[venue].links.len() {
                if self.slots[venue].links[index]
                    .as_ref()
                    .is_some_and(Link::is_up)
                {
                    self.work.push(venue, Part::Link(index));
                }
            }
        }
    }

    #[inline]
    pub(super) fn read_link(&mut self, venue: usize, index: usize) -> bool {
        match self.drive_link(venue, index) {
            Ok(again) => again,
            Err(reason) => {
                self.link_down(venue, index, reason);
                false
            }
        }
    }

    /// One recv, and all that it brought carried to the strategies.
    #[inline]
    pub(super) fn drive_link(&mut self, venue: usize, index: usize) -> Result<bool, DownReason> {
        let now = self.now;
        let Some(link) = self.slots[venue].links[index].as_mut() else {
            return Ok(false);
        };
        link.recv(&mut self.net)?;
        loop {
            let slot = &mut self.slots[venue];
            let Some(link) = slot.links[index].as_mut() else {
                return Ok(false);
            };
            let id = link.id;
            match link.next_input(now)? {
                Input::Text(payload) => {
                    self.counters.messages.add(1);
                    slot.connector
                        .handle_message(now, id, payload, &mut self.outbox);
                }
                Input::Binary(payload) => {
                    self.counters.messages.add(1);
                    slot.connector
                        .handle_binary(now, id, payload, &mut self.outbox);
                }
                Input::Pong(payload) => {
                    slot.connector
                        .handle_pong(now, id, payload, &mut self.outbox);
                }
                Input::Up => self.link_up(venue, index),
                Input::Again => continue,
                Input::Dry => break,
            }
            self.after_call(venue, None);
        }
        self.note_timeout(venue);
        let Some(link) = self.slots[venue].links[index].as_mut() else {
            return Ok(false);
        };
        let frames = link.take_frames();
        self.counters.frames.add(frames);
        link.info.counters.frames.add(frames);
        link.flush(&mut self.net, now)?;
        self.next_check = self.next_check.min(link.paced_until());
        if link.maybe_readable {
            self.counters.budget_reached.add(1);
            link.info.counters.budget_reached.bump();
        }
        Ok(link.maybe_readable)
    }

    pub(super) fn open_link(&mut self, venue: usize, id: LinkId, spec: LinkSpec) {
        let slot = &mut self.slots[venue];
        let index = usize::from(id.0);
        if slot.links.len() <= index {
            slot.links.resize_with(index + 1, || None);
            slot.epochs.resize(index + 1, 0);
        }
        // A number that is used again before the old link is gone: nobody waits for its end.
        if let Some(mut old) = slot.links[index].take() {
            slot.epochs[index] = old.epoch();
            old.fail(&mut self.net, &DownReason::Closed, self.now);
            self.registry.remove_link(&old.info);
        }
        let endpoint = format!("{}:{}", spec.endpoint.host, spec.endpoint.port);
        let (name, market) = (slot.connector.venue(), slot.connector.market());
        let info = self.registry.add_link(name, market, id, endpoint);
        let epoch = slot.epochs[index];
        let seed = self.seeds.u64(..);
        let host = self.hosts.id(&spec.endpoint, spec.attempt_limit);
        let link = Link::new(id, spec, (info, host), self.backoff, seed, epoch);
        slot.links[index] = Some(link);
        self.connect(venue, index);
    }

    pub(super) fn connect(&mut self, venue: usize, index: usize) {
        let Some(link) = self.slots[venue].links[index].as_mut() else {
            return;
        };
        if let Err(Held { until, why }) = self.hosts.attempt(link.host, self.now, link.attempt()) {
            let (id, host, newly) = (link.id, link.host, link.hold(until, self.now));
            self.next_check = self.next_check.min(link.deadline());
            if let Some(retry_in_ns) = newly {
                self.hosts.count_held(host);
                self.notify(venue, id, LinkNoticeKind::Held { why, retry_in_ns });
            }
            return;
        }
        let token = link.connect(&mut self.net, self.now);
        self.next_check = self.next_check.min(link.deadline());
        self.own(token, venue, Part::Link(index));
    }

    pub(super) fn cut_link(&mut self, venue: usize, id: LinkId, reason: DownReason) {
        let index = usize::from(id.0);
        if let Some(link) = self.slots[venue]
            .links
            .get_mut(index)
            .and_then(Option::as_mut)
        {
            link.cut(reason);
            self.touched.push(venue, Part::Link(index));
        }
    }

    pub(super) fn link_up(&mut self, venue: usize, index: usize) {
        let slot = &mut self.slots[venue];
        let Some(link) = slot.links[index].as_ref() else {
            return;
        };
        let (id, epoch, took_ns) = (link.id, link.epoch(), link.connect_time());
        slot.connector
            .handle_link(self.now, id, LinkChange::Up { epoch }, &mut self.outbox);
        self.notify(venue, id, LinkNoticeKind::Connected { epoch, took_ns });
    }

    pub(super) fn link_down(&mut self, venue: usize, index: usize, reason: DownReason) {
        let slot = &mut self.slots[venue];
        let Some(link) = slot.links[index].as_mut() else {
            return;
        };
        // A link that was to be let go does not come back because it was lost first.
        let closed = reason == DownReason::Closed || link.take_cut() == Some(DownReason::Closed);
        let reason = if closed { DownReason::Closed } else { reason };
        let (id, was_up) = (link.id, link.is_up());
        // A host that limits us or is overloaded says so to all of us, not to this link alone.
        if let DownReason::Refused {
            status: 418 | 429 | 503,
            ..
        } = reason
            && let Some(wait) = asked_to_wait(&reason)
        {
            self.hosts.leave_alone(link.host, self.now + wait);
        }
        if closed {
            link.say_goodbye();
        }
        let retry_in_ns = link.fail(&mut self.net, &reason, self.now);
        self.next_check = self.next_check.min(link.deadline());
        let is_over = retry_in_ns.is_none();
        if is_over {
            slot.epochs[index] = link.epoch();
            self.registry.remove_link(&link.info);
            slot.links[index] = None;
        }
        if let DownReason::Refused { status, .. } = reason {
            let wait = asked_to_wait(&reason);
            slot.connector
                .handle_refusal(self.now, id, status, wait, &mut self.outbox);
        }
        // The end of a link for good is told in any case: its number is free from here on.
        if was_up || is_over {
            let change = LinkChange::Down {
                reason: reason.clone(),
            };
            slot.connector
                .handle_link(self.now, id, change, &mut self.outbox);
        }
        let loss = LinkLoss {
            reason: &reason,
            was_up,
            retry_in_ns,
        };
        slot.connector
            .handle_loss(self.now, id, loss, &mut self.outbox);
        self.notify(
            venue,
            id,
            LinkNoticeKind::Disconnected {
                reason,
                retry_in_ns,
            },
        );
        self.after_call(venue, None);
        self.note_timeout(venue);
    }

    pub(super) fn notify(&self, venue: usize, link: LinkId, kind: LinkNoticeKind) {
        let connector = &self.slots[venue].connector;
        let (venue, market) = (connector.venue(), connector.market());
        self.notices.push(LinkNotice {
            at: self.now,
            venue,
            market,
            link,
            kind,
        });
    }

    pub(super) fn check_link(&mut self, venue: usize, index: usize) {
        let Some(link) = self.slots[venue].links[index].as_mut() else {
            return;
        };
        link.publish();
        if link.deadline() > self.now {
            return;
        }
        if link.is_due(self.now) {
            self.connect(venue, index);
            return;
        }
        match link.check_limits(self.now) {
            Ok(()) => self.touched.push(venue, Part::Link(index)),
            Err(reason) => self.link_down(venue, index, reason),
        }
    }

    /// Sends what was queued during the turn and cuts what was to be cut. Either may touch further
    /// links; those wait for the next turn.
    pub(super) fn settle(&mut self) {
        let touched = self.touched.take();
        for &(venue, part) in &touched {
            // A request's connection is sent to as soon as it has one.
            let Part::Link(index) = part else { continue };
            let Some(link) = self.slots[venue]
                .links
                .get_mut(index)
                .and_then(Option::as_mut)
            else {
                continue;
            };
            let outcome = match link.take_cut() {
                Some(reason) => Err(reason),
                None => link.flush(&mut self.net, self.now),
            };
            self.next_check = self.next_check.min(link.paced_until());
            if let Err(reason) = outcome {
                self.link_down(venue, index, reason);
            }
        }
        self.touched.give_back(touched);
    }
}

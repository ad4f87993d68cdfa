//! Messages out: lanes, limiter, requests.

use std::collections::VecDeque;

use tickwire_connectors::{Nanos, transmit};

use super::super::config::nanos;
use super::super::error::Error;
use super::super::json::{Json, RequestKey};
use super::super::limit::Lane;
use super::super::record::Direction;
use super::super::ticket::Resolver;
use super::{FIRST_ID, Output, Phase, Session};
use crate::wire::ws::OpCode;

/// A message of the program.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) opcode: OpCode,
    pub(crate) payload: Vec<u8>,
    /// Who waits for the answer.
    pub(crate) request: Option<(RequestKey, Resolver<Json>)>,
    pub(crate) lane: Lane,
    pub(crate) cost: u32,
    /// Whether the limiter has let it through already.
    pub(crate) is_paid: bool,
}

/// Messages that wait for the limiter.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    queues: [VecDeque<Queued>; Lane::ALL.len()],
    /// The limiter has said no until then.
    blocked_until: Nanos,
}

#[derive(Debug)]
struct Queued {
    opcode: OpCode,
    payload: Vec<u8>,
    /// The request, by its id and its number.
    request: Option<(RequestKey, u64)>,
    cost: u32,
    is_paid: bool,
}

impl Lanes {
    pub(super) fn len(&self) -> usize {
        self.queues.iter().map(VecDeque::len).sum()
    }

    /// Drops all; gives how many that was.
    pub(super) fn clear(&mut self) -> usize {
        let count = self.len();
        self.queues.iter_mut().for_each(VecDeque::clear);
        self.blocked_until = Nanos::ZERO;
        count
    }

    /// When the next may go; never where none waits.
    pub(super) fn ready_at(&self) -> Nanos {
        match self.len() {
            0 => Nanos::MAX,
            _ => self.blocked_until,
        }
    }

    /// The first of the first lane that has one: while it waits, the others wait too, or many small
    /// ones would keep a large one waiting for ever.
    fn next(&mut self) -> Option<&mut VecDeque<Queued>> {
        self.queues.iter_mut().find(|queue| !queue.is_empty())
    }
}

impl Session {
    pub(super) fn enqueue(&mut self, now: Nanos, message: Outgoing) {
        if self.phase != Phase::Up {
            self.shared.sent();
            match message.request {
                Some((_, waiter)) => waiter.resolve(Err(Error::Disconnected)),
                None => self.shared.stats.unsent.bump(),
            }
            return;
        }
        let request = match message.request {
            None => None,
            Some((key, waiter)) => match self.expect(now, key.clone(), waiter) {
                Some(number) => Some((key, number)),
                None => {
                    self.shared.sent();
                    return;
                }
            },
        };
        self.lanes.queues[message.lane as usize].push_back(Queued {
            opcode: message.opcode,
            payload: message.payload,
            request,
            cost: message.cost,
            is_paid: message.is_paid,
        });
    }

    /// Waits for an answer, unless somebody waits for one of this id already.
    fn expect(&mut self, now: Nanos, key: RequestKey, waiter: Resolver<Json>) -> Option<u64> {
        let timeout = nanos(self.settings.config.request_timeout);
        let is_ours = key
            .as_str()
            .parse::<u64>()
            .is_ok_and(|id| id + 1 >= FIRST_ID);
        let refused = if is_ours {
            waiter
        } else {
            match self.pending.insert(now, key.clone(), waiter, timeout) {
                Ok(number) => return Some(number),
                Err(waiter) => waiter,
            }
        };
        refused.resolve(Err(Error::DuplicateRequestId(key.as_str().to_owned())));
        None
    }

    /// Sends what may go now.
    pub(super) fn pump(&mut self, now: Nanos) {
        if self.phase == Phase::Up {
            self.pump_lanes(now);
            self.pump_subscriptions(now);
        }
        self.publish();
    }

    fn pump_lanes(&mut self, now: Nanos) {
        while let Some(queue) = self.lanes.next() {
            let Some(front) = queue.front() else { break };
            // Given up while it waited: its caller has been told, so it must not be sent.
            let is_wanted = front
                .request
                .as_ref()
                .is_none_or(|(key, number)| self.pending.is_waiting(key, *number));
            if is_wanted
                && !front.is_paid
                && let Some(limiter) = &self.settings.config.limiter
                && let Err(wait) = limiter.take(now, front.cost)
            {
                if self.lanes.blocked_until <= now {
                    tracing::debug!(target: "tickwire::ws", wait_ms = wait.0 / 1_000_000, "limited");
                    if let Some(metrics) = &self.settings.config.metrics {
                        metrics.limited(super::super::duration(wait));
                    }
                }
                self.lanes.blocked_until = now + wait;
                return;
            }
            let Some(message) = queue.pop_front() else {
                break;
            };
            self.shared.sent();
            if is_wanted {
                self.put(now, message.opcode, message.payload);
            }
        }
    }

    fn pump_subscriptions(&mut self, now: Nanos) {
        loop {
            let limiter = self.settings.config.limiter.clone();
            let Some(subscriptions) = &mut self.subscriptions else {
                return;
            };
            let next = subscriptions.poll(now, |text| match &limiter {
                Some(limiter) => limiter.take(now, limiter.cost(text)),
                None => Ok(()),
            });
            if let Some(restored) = subscriptions.take_restored() {
                self.tell_restored(restored);
            }
            let Some(text) = next else { return };
            self.put(now, OpCode::Text, text.into_bytes());
            // A venue that takes no heartbeat before the first request takes them now.
            self.start_heartbeat(now);
        }
    }

    /// A text of our own that can't wait: it is paid for by those that come after.
    pub(super) fn put_own(&mut self, now: Nanos, text: String) {
        if let Some(limiter) = &self.settings.config.limiter {
            limiter.spend(now, limiter.cost(&text));
        }
        self.put(now, OpCode::Text, text.into_bytes());
    }

    /// Hands a frame to the link.
    pub(super) fn put(&mut self, now: Nanos, opcode: OpCode, payload: Vec<u8>) {
        let stats = &self.shared.stats;
        stats.messages_out.bump();
        stats.bytes_out.add(payload.len() as u64);
        let config = &self.settings.config;
        if let Some(metrics) = &config.metrics {
            metrics.sent(payload.len());
        }
        if config.debug {
            let text = String::from_utf8_lossy(&payload);
            tracing::debug!(target: "tickwire::ws", ?opcode, %text, "sent");
        }
        match opcode {
            OpCode::Text if self.recorder.is_some() => {
                let text = String::from_utf8_lossy(&payload).into_owned();
                let is_json = super::super::json::is_json(&text);
                self.record(|recorder| recorder.text(now, Direction::Sent, &text, is_json));
            }
            OpCode::Binary => {
                self.record(|recorder| recorder.binary(now, Direction::Sent, &payload));
            }
            _ => {}
        }
        let lane = match opcode {
            OpCode::Ping => transmit::Lane::Urgent,
            _ => transmit::Lane::Normal,
        };
        self.outputs.push_back(Output::Frame(opcode, lane, payload));
    }
}

//! Links: their requests and heartbeat.
//!
//! **In step.** What shows that a link has what another has stands in [`pair`](super::pair). Topics without
//! a first message that stay silent go by their ack, once the old link has answered a ping of after it.
//!
//! **Numbers.** That `u` is the same on all connections is not promised; it was so on one relay. So
//! updates of one link go on where the other's end only after one update has come by both under the
//! same `u` and the same `seq` ([`Numbering`](crate::numbering::Numbering)). Where two updates come
//! under one `u`, the book follows one link alone, the hand-over goes by the new link's snapshot, and
//! `Counters::unalike` counts it.

use super::subscribe::{Refusal, refusal, write_ping, write_request};
use super::tape::{Answer, AnswerOp};
use super::urls;
use crate::market_data::{self, Life, LinkOutput};
use crate::subscriptions::{Op, Overdue, Subscriptions};
use crate::time::Nanos;
use crate::transmit::{Lane, Transmit};

/// What a link's answer meant.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Topics that the venue has now.
    pub(super) had: Vec<String>,
    /// Topics that the venue refused for good.
    pub(super) refused: Vec<String>,
    /// Whether it refused them because it does not know them.
    pub(super) unknown: bool,
}

/// How a link shows that it lives, and what it is owed.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    ping_at: Nanos,
    ping_due: bool,
    /// Pings sent, and pongs that have come: the venue answers in order.
    pings: u32,
    pongs: u32,
    /// The ping whose pong shows that all is in that the link had when its successor's topics were
    /// acked, where one was asked for since.
    proof: Option<u32>,
    pong_until: Option<Nanos>,
    /// Requests that were given up and whose ack may still come, where acks carry no id: subscribes
    /// and unsubscribes.
    owed: [u32; 2],
}

pub(super) type Link = market_data::Link<Heartbeat>;

impl Heartbeat {
    pub(super) const fn new() -> Heartbeat {
        Heartbeat {
            ping_at: Nanos::MAX,
            ping_due: false,
            pings: 0,
            pongs: 0,
            proof: None,
            pong_until: None,
            owed: [0; 2],
        }
    }

    pub(super) fn begin(&mut self, now: Nanos) {
        self.ping_at = now + urls::PING_INTERVAL;
    }

    /// Any answer to a ping shows that the link lives.
    pub(super) fn handle_pong(&mut self) {
        self.pongs = self.pongs.wrapping_add(1);
        self.pong_until = None;
    }

    /// Whether a success without an id is the late answer to a request that was given up.
    fn is_owed(&mut self, op: AnswerOp) -> bool {
        let [subscribes, unsubscribes] = &mut self.owed;
        let owed = match op {
            AnswerOp::Subscribe => subscribes,
            AnswerOp::Unsubscribe => unsubscribes,
            _ => return false,
        };
        let late = *owed > 0;
        *owed = owed.saturating_sub(1);
        late
    }
}

impl Life for Heartbeat {
    fn quiet(&mut self) {
        *self = Heartbeat::new();
    }

    fn deadline(&self) -> Nanos {
        self.pong_until.unwrap_or(Nanos::MAX).min(self.ping_at)
    }

    #[inline]
    fn has_transmit(&self, subscriptions: &Subscriptions) -> bool {
        self.ping_due || subscriptions.has_request()
    }

    /// It has answered a ping of after the acks, which is sent at the first question.
    fn is_proven(&mut self) -> bool {
        match self.proof {
            Some(ping) => self.pongs >= ping,
            None => {
                self.ping_due = true;
                self.proof = Some(self.pings.wrapping_add(1));
                false
            }
        }
    }

    fn note_successor_acked(&mut self) {
        self.proof = None;
    }
}

impl Link {
    /// An ack or a refusal. Linear acks carry an empty `req_id`: they answer the request that waits,
    /// or one before it that was given up, as the venue answers in order.
    pub(super) fn handle_answer(&mut self, answer: &Answer) -> Outcome {
        let mut outcome = Outcome::default();
        if answer.success && answer.id.is_none() && self.life.is_owed(answer.op) {
            return outcome;
        }
        let Some(waiting) = self.subscriptions.oldest() else {
            return outcome;
        };
        let op = match waiting.op {
            Op::Subscribe => AnswerOp::Subscribe,
            Op::Unsubscribe => AnswerOp::Unsubscribe,
        };
        let mine = answer.id.is_none_or(|id| id == waiting.id);
        if !mine || (answer.op != op && answer.op != AnswerOp::Unknown) {
            return outcome;
        }
        if answer.success {
            if waiting.op == Op::Subscribe {
                let topics = self.subscriptions.topics_of(waiting.id);
                outcome.had = topics.map(str::to_owned).collect();
            }
            self.subscriptions.handle_ack(waiting.id);
            return outcome;
        }
        let refusal = refusal(&answer.text);
        if let Refusal::Had(topic) | Refusal::Unknown(topic) | Refusal::Other(Some(topic)) = refusal
            && answer.id.is_none()
            && !self
                .subscriptions
                .topics_of(waiting.id)
                .any(|one| one == topic)
        {
            // Late, and about a request that was given up: the one that waits has not been refused.
            return outcome;
        }
        let named = match refusal {
            // As if it had not been heard: asked again when its time is over.
            Refusal::Later => return outcome,
            Refusal::Had(topic) if self.subscriptions.handle_had(waiting.id, topic) => {
                outcome.had.push(topic.to_owned());
                return outcome;
            }
            Refusal::Unknown(topic) | Refusal::Had(topic) => Some(topic),
            Refusal::Other(topic) => topic,
        };
        outcome.unknown = matches!(refusal, Refusal::Unknown(_));
        self.subscriptions
            .handle_refusal(waiting.id, named, |topic| {
                outcome.refused.push(topic.to_owned());
            });
        outcome
    }

    /// Why it is dead, where it is.
    pub(super) fn handle_timeout(&mut self, now: Nanos) -> Option<&'static str> {
        let waiting = self.subscriptions.oldest();
        let overdue = self.subscriptions.handle_timeout(now);
        if let (Some(request), None) = (waiting, self.subscriptions.oldest()) {
            let [subscribes, unsubscribes] = &mut self.life.owed;
            match request.op {
                Op::Subscribe => *subscribes += 1,
                Op::Unsubscribe => *unsubscribes += 1,
            }
        }
        let life = &mut self.life;
        if life.pong_until.is_some_and(|until| until <= now) {
            return Some("no pong");
        }
        if overdue == Overdue::LinkIsMute {
            return Some("no ack");
        }
        if life.ping_at <= now {
            life.ping_at = now + urls::PING_INTERVAL;
            life.ping_due = true;
        }
        None
    }

    /// What is to be said.
    pub(super) fn poll_text(&mut self, now: Nanos, body: &mut Vec<u8>) -> LinkOutput {
        let link = self.id;
        let life = &mut self.life;
        if core::mem::take(&mut life.ping_due) {
            life.pings = life.pings.wrapping_add(1);
            life.pong_until.get_or_insert(now + urls::PONG_TIMEOUT);
            write_ping(body, life.pings);
            let lane = Lane::Urgent;
            return LinkOutput::Do(Transmit::Text { link, lane });
        }
        let Some(request) = self.subscriptions.next_request(now) else {
            return LinkOutput::Nothing;
        };
        let topics = self.subscriptions.topics_of(request.id);
        write_request(body, request.id, request.op, topics);
        let lane = Lane::Normal;
        LinkOutput::Do(Transmit::Text { link, lane })
    }
}

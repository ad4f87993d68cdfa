//! Links: their requests and heartbeat.
//!
//! **No acks.** A request counts as taken once it is sent; that it was shows in the `book` of each token.
//!
//! **In step.** Without numbers nothing joins the changes of one link to those of another, so
//! the new link's `book` is the join: it is taken whole once it is not behind what the old link has told
//! (by the venue's time; until then the new link's changes are kept with it), and from then on the
//! stream is on the new link alone. Trades are on both until what the old link may still have under way
//! has come.
//!
//! **The silent stall.** A link may bring nothing though its pongs come. Where it carries so many
//! tokens that some of them must have changed, it is made anew; where it carries few, each is probed.

use super::subscribe::{PING, write_request};
use super::urls::{self, Urls};
use crate::market_data::{self, LinkOutput};
use crate::subscriptions::{Op, Subscriptions};
use crate::time::Nanos;
use crate::transmit::{Lane, Transmit};

/// How a link shows that it lives, and that it brings something.
#[derive(Debug)]
pub(crate) struct Life {
    /// Whether the message that says what the connection is for has been sent: the venue closes one
    /// that pings before (observed, code 1008).
    has_begun: bool,
    ping_at: Nanos,
    ping_due: bool,
    pong_until: Option<Nanos>,
    /// Whether any data has come on this connection.
    has_heard: bool,
    /// When the last data came, and when it is looked at again.
    heard_at: Nanos,
    stall_at: Nanos,
}

pub(super) type Link = market_data::Link<Life>;

impl Life {
    pub(super) const fn new() -> Life {
        Life {
            has_begun: false,
            ping_at: Nanos::MAX,
            ping_due: false,
            pong_until: None,
            has_heard: false,
            heard_at: Nanos::ZERO,
            stall_at: Nanos::MAX,
        }
    }

    pub(super) fn begin(&mut self, now: Nanos, urls: &Urls) {
        self.heard_at = now;
        self.stall_at = now + urls.stall_max_ns;
    }

    /// Data has come.
    #[inline]
    pub(super) const fn hear(&mut self, now: Nanos) {
        self.has_heard = true;
        self.heard_at = now;
    }

    /// The answer to a ping: the venue's end of the connection lives.
    pub(super) const fn handle_pong(&mut self) {
        self.pong_until = None;
    }
}

impl market_data::Life for Life {
    fn quiet(&mut self) {
        *self = Life::new();
    }

    fn deadline(&self) -> Nanos {
        let pong_until = self.pong_until.unwrap_or(Nanos::MAX);
        self.ping_at.min(self.stall_at).min(pong_until)
    }

    #[inline]
    fn has_transmit(&self, subscriptions: &Subscriptions) -> bool {
        self.ping_due || subscriptions.has_request()
    }
}

impl Link {
    /// Why it is dead, where it is.
    pub(super) fn handle_timeout(&mut self, now: Nanos, urls: &Urls) -> Option<&'static str> {
        let topics = self.topics();
        let life = &mut self.life;
        if life.pong_until.is_some_and(|until| until <= now) {
            return Some("no pong");
        }
        if life.stall_at <= now {
            let silent_until = life.heard_at + urls.stall_max_ns;
            if silent_until > now {
                life.stall_at = silent_until;
            } else if !life.has_heard {
                // Each token asked for should have brought its book.
                return Some("no data since it came up");
            } else if topics >= urls::STALL_ASSETS_MIN {
                return Some("no data of many tokens");
            } else {
                // Few tokens: each is watched by itself.
                life.stall_at = now + urls.stall_max_ns;
            }
        }
        if life.ping_at <= now {
            life.ping_at = now + urls.ping_interval_ns;
            life.ping_due = true;
        }
        None
    }

    /// What is to be said.
    pub(super) fn poll_text(&mut self, now: Nanos, urls: &Urls, body: &mut Vec<u8>) -> LinkOutput {
        let link = self.id;
        if core::mem::take(&mut self.life.ping_due) {
            self.life.pong_until.get_or_insert(now + urls::PONG_TIMEOUT);
            body.extend_from_slice(PING);
            let lane = Lane::Urgent;
            return LinkOutput::Do(Transmit::Text { link, lane });
        }
        let Some(request) = self.subscriptions.next_request(now) else {
            return LinkOutput::Nothing;
        };
        let is_first = !core::mem::replace(&mut self.life.has_begun, true);
        if is_first {
            self.life.ping_at = now + urls.ping_interval_ns;
        }
        let topics = self.subscriptions.topics_of(request.id);
        write_request(body, is_first, request.op, topics);
        let asked = match request.op {
            Op::Subscribe => self
                .subscriptions
                .topics_of(request.id)
                .map(str::to_owned)
                .collect(),
            Op::Unsubscribe => Vec::new(),
        };
        self.subscriptions.handle_ack(request.id);
        let lane = Lane::Normal;
        LinkOutput::Asked(Transmit::Text { link, lane }, asked)
    }
}

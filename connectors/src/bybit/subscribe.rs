//! Channels to topics, requests, acks and refusals; and the links that carry them, with their
//! heartbeat.

use std::io::Write;

use arrayvec::ArrayString;

use super::tape::{Answer, AnswerOp};
use super::urls::{self, Urls};
use crate::channel::{BookParams, Channel, Interval};
use crate::error::{Error, ErrorKind};
use crate::instrument::{Market, Symbol};
use crate::subscriptions::{Op, Overdue, Subscriptions};
use crate::time::Nanos;
use crate::transmit::{Lane, LinkId, Transmit};

/// A topic: the longest prefix, "orderbook.1000.", and a symbol.
pub(super) type Topic = ArrayString<100>;

/// The topic of a channel. What Bybit does not offer is refused here, before anything is sent.
pub(super) fn topic(channel: Channel, symbol: &Symbol) -> Result<Topic, Error> {
    let text = match channel {
        Channel::Bbo => format!("orderbook.1.{symbol}"),
        Channel::Book(params) => format!("orderbook.{}.{symbol}", book_depth(params)?),
        Channel::Trades => format!("publicTrade.{symbol}"),
        Channel::Ticker => format!("tickers.{symbol}"),
        Channel::Kline(interval) => format!("kline.{}.{symbol}", interval_name(interval)?),
        Channel::AggTrades => {
            let text = "Bybit has no aggregated trades: use trades";
            return Err(Error::ours(ErrorKind::NotSupported, text));
        }
    };
    Topic::from(&text).map_err(|_| Error::ours(ErrorKind::BadSymbol, "the symbol is too long"))
}

/// Depths with their push interval in milliseconds, the same for spot and linear
/// (websocket/public/orderbook, 2026-07-24; spot 200 since 2026-03-19, 1000 since 2025-11-25). The
/// depth of 500 is gone since 2025-09-11, and 1 is snapshots only: that is [`Channel::Bbo`].
const DEPTHS: [(u16, u16); 3] = [(50, 20), (200, 100), (1000, 200)];

/// 50 levels come every 20 ms, deeper books 5 to 10 times later: without a wish for depth, a book
/// is taken for its top.
pub(super) const DEPTH_DEFAULT: u16 = 50;

/// How many levels the stream of a book has.
pub(super) fn book_depth(params: BookParams) -> Result<u16, Error> {
    let levels = params.levels.unwrap_or(DEPTH_DEFAULT);
    let refuse = |text: String| Err(Error::ours(ErrorKind::NotSupported, text));
    let Some((_, interval_ms)) = DEPTHS.iter().find(|(depth, _)| *depth == levels) else {
        let hint = if levels == 1 {
            "; for the best level use bbo"
        } else {
            ""
        };
        return refuse(format!(
            "Bybit has books of 50, 200 and 1000 levels, not of {levels}{hint}"
        ));
    };
    match params.interval_ms {
        Some(asked) if asked != *interval_ms => refuse(format!(
            "Bybit sends a book of {levels} levels every {interval_ms} ms, not every {asked}"
        )),
        _ => Ok(levels),
    }
}

/// The interval as it stands in a kline topic (websocket/public/kline, 2026-07-24).
fn interval_name(interval: Interval) -> Result<&'static str, Error> {
    Ok(match interval {
        Interval::Min1 => "1",
        Interval::Min3 => "3",
        Interval::Min5 => "5",
        Interval::Min15 => "15",
        Interval::Min30 => "30",
        Interval::Hour1 => "60",
        Interval::Hour2 => "120",
        Interval::Hour4 => "240",
        Interval::Hour6 => "360",
        Interval::Hour12 => "720",
        Interval::Day1 => "D",
        Interval::Week1 => "W",
        Interval::Month1 => "M",
        Interval::Sec1 | Interval::Hour8 | Interval::Day3 => {
            let text = format!("Bybit has no candles of {}", interval.as_str());
            return Err(Error::ours(ErrorKind::NotSupported, text));
        }
    })
}

/// What a refusal of the venue says, taken from `ret_msg`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal<'a> {
    /// `error:already subscribed,topic:T`: harmless.
    Had(&'a str),
    /// `error:handler not found,topic:T`: no such symbol, depth or channel.
    Unknown(&'a str),
    /// Any other words, with the topic where one is named.
    Other(Option<&'a str>),
}

/// Reads a refusal. Only the first bad topic of a request is named (observed 2026-09).
pub(super) fn refusal(text: &str) -> Refusal<'_> {
    let (words, topic) = match text.split_once(",topic:") {
        Some((words, topic)) => (words, Some(topic.trim())),
        None => (text, None),
    };
    match topic {
        Some(topic) if words.contains("already subscribed") => Refusal::Had(topic),
        Some(topic) if words.contains("handler not found") => Refusal::Unknown(topic),
        other => Refusal::Other(other),
    }
}

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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LinkState {
    /// The engine has not been told of it.
    New,
    /// The engine makes it.
    Connecting,
    Up,
}

/// One WebSocket link with its subscriptions and its heartbeat.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) id: LinkId,
    subscriptions: Subscriptions,
    state: LinkState,
    /// Counts the connections of the link, as the engine does.
    pub(super) epoch: u16,
    /// Topics that streams want.
    topics: usize,
    ping_at: Nanos,
    ping_due: bool,
    pings: u32,
    pong_until: Option<Nanos>,
    cut: Option<&'static str>,
}

/// Whether a link is still needed once its output is taken.
#[derive(Debug)]
pub(super) enum LinkOutput {
    /// Nothing to do now.
    Nothing,
    /// This is to be done.
    Do(Transmit),
    /// It is no longer wanted: this is to be done, if anything, and the link forgotten.
    Forget(Option<Transmit>),
}

impl Link {
    pub(super) fn new(id: LinkId, market: Market) -> Link {
        Link {
            id,
            subscriptions: Subscriptions::new(urls::rules(market)),
            state: LinkState::New,
            epoch: 0,
            topics: 0,
            ping_at: Nanos::MAX,
            ping_due: false,
            pings: 0,
            pong_until: None,
            cut: None,
        }
    }

    /// Whether the venue's limit on a connection, and ours, leave room for one more topic.
    pub(super) fn has_room(&self, topic: &str, topics_max: usize) -> bool {
        let count = self.subscriptions.len();
        let extra = (count + 1) * urls::ARG_EXTRA_CHARS;
        count < topics_max
            && self.subscriptions.name_bytes() + topic.len() + extra <= urls::ARGS_CHARS_MAX
    }

    /// A stream wants a topic that none wanted.
    pub(super) fn add(&mut self, topic: &str) {
        self.topics += 1;
        // Where the venue still has it from before, only a renewal brings its snapshot.
        self.subscriptions.renew(topic);
    }

    /// No stream wants the topic any more.
    pub(super) fn remove(&mut self, topic: &str) {
        self.topics = self.topics.saturating_sub(1);
        self.subscriptions.unwant(topic);
    }

    /// A fresh snapshot of the topic is needed.
    pub(super) fn renew(&mut self, topic: &str) {
        self.subscriptions.renew(topic);
    }

    pub(super) fn handle_up(&mut self, now: Nanos, epoch: u16) {
        self.subscriptions.handle_up();
        self.state = LinkState::Up;
        self.epoch = epoch;
        self.ping_at = now + urls::PING_INTERVAL;
        self.quiet();
    }

    pub(super) fn handle_down(&mut self) {
        self.subscriptions.handle_down();
        if self.state == LinkState::Up {
            self.state = LinkState::Connecting;
        }
        self.quiet();
    }

    fn quiet(&mut self) {
        self.ping_due = false;
        self.pong_until = None;
        self.cut = None;
    }

    /// Any answer to a ping shows that the link lives.
    pub(super) fn handle_pong(&mut self) {
        self.pong_until = None;
    }

    /// An ack or a refusal. Linear acks carry an empty `req_id`: they answer the request that waits.
    pub(super) fn handle_answer(&mut self, answer: &Answer) -> Outcome {
        let mut outcome = Outcome::default();
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
        if let Refusal::Had(topic) = refusal
            && self.subscriptions.handle_had(waiting.id, topic)
        {
            outcome.had.push(topic.to_owned());
            return outcome;
        }
        let named = match refusal {
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

    /// True where the link has been found dead: it is cut, and what it carried is stale.
    pub(super) fn handle_timeout(&mut self, now: Nanos) -> bool {
        if self.state != LinkState::Up {
            return false;
        }
        let why = if self.pong_until.is_some_and(|until| until <= now) {
            "no pong"
        } else if self.subscriptions.handle_timeout(now) == Overdue::LinkIsMute {
            "no ack"
        } else {
            if self.ping_at <= now {
                self.ping_at = now + urls::PING_INTERVAL;
                self.ping_due = true;
            }
            return false;
        };
        self.handle_down();
        self.cut = Some(why);
        true
    }

    pub(super) fn poll_timeout(&self) -> Option<Nanos> {
        if self.state != LinkState::Up {
            return None;
        }
        let others = [self.pong_until, self.subscriptions.poll_timeout()];
        others.into_iter().flatten().chain([self.ping_at]).min()
    }

    #[inline]
    pub(super) fn has_transmit(&self) -> bool {
        self.topics == 0
            || self.state == LinkState::New
            || self.cut.is_some()
            || self.ping_due
            || self.subscriptions.has_request()
    }

    pub(super) fn poll(&mut self, now: Nanos, urls: &Urls, body: &mut Vec<u8>) -> LinkOutput {
        let link = self.id;
        if self.topics == 0 {
            let known = self.state != LinkState::New;
            return LinkOutput::Forget(known.then_some(Transmit::Close { link }));
        }
        if self.state == LinkState::New {
            self.state = LinkState::Connecting;
            let spec = Box::new(urls.link());
            return LinkOutput::Do(Transmit::Open { link, spec });
        }
        if let Some(why) = self.cut.take() {
            return LinkOutput::Do(Transmit::Reconnect { link, why });
        }
        if core::mem::take(&mut self.ping_due) {
            self.pings = self.pings.wrapping_add(1);
            self.pong_until.get_or_insert(now + urls::PONG_TIMEOUT);
            write_ping(body, self.pings);
            let lane = Lane::Urgent;
            return LinkOutput::Do(Transmit::Text { link, lane });
        }
        let Some(request) = self.subscriptions.next_request(now) else {
            return LinkOutput::Nothing;
        };
        write_request(
            body,
            request.id,
            request.op,
            self.subscriptions.topics_of(request.id),
        );
        let lane = Lane::Normal;
        LinkOutput::Do(Transmit::Text { link, lane })
    }
}

/// `{"req_id":"ping-1","op":"ping"}` (ws/connect, 2026-07-24). The id is no number, so that no
/// answer to it is taken for an ack.
fn write_ping(body: &mut Vec<u8>, number: u32) {
    // Writing to a Vec can't fail.
    let _ = write!(body, r#"{{"req_id":"ping-{number}","op":"ping"}}"#);
}

/// Topics are made of letters, digits, dots and hyphens: nothing in them needs an escape.
fn write_request<'a>(body: &mut Vec<u8>, id: u32, op: Op, topics: impl Iterator<Item = &'a str>) {
    let op = match op {
        Op::Subscribe => "subscribe",
        Op::Unsubscribe => "unsubscribe",
    };
    let _ = write!(body, r#"{{"req_id":"{id}","op":"{op}","args":["#);
    for (index, topic) in topics.enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let _ = write!(body, r#"{comma}"{topic}""#);
    }
    body.extend_from_slice(b"]}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instrument::symbol;

    #[test]
    fn channels_become_topics_or_are_refused() {
        let symbol = symbol("BTCUSDT").expect("short");
        let table = [
            ("bbo", Some("orderbook.1.BTCUSDT")),
            ("book", Some("orderbook.50.BTCUSDT")),
            ("book:200", Some("orderbook.200.BTCUSDT")),
            ("book:1000@200", Some("orderbook.1000.BTCUSDT")),
            ("book@20", Some("orderbook.50.BTCUSDT")),
            ("book@100", None),
            ("book:1", None),
            ("book:500", None),
            ("trades", Some("publicTrade.BTCUSDT")),
            ("agg_trades", None),
            ("ticker", Some("tickers.BTCUSDT")),
            ("kline:1m", Some("kline.1.BTCUSDT")),
            ("kline:1h", Some("kline.60.BTCUSDT")),
            ("kline:1M", Some("kline.M.BTCUSDT")),
            ("kline:8h", None),
            ("kline:1s", None),
        ];
        for (text, want) in table {
            let channel = text.parse::<Channel>().expect("a channel");
            assert_eq!(topic(channel, &symbol).ok().as_deref(), want, "{text}");
        }
    }

    #[test]
    fn refusals_are_read_by_their_words() {
        let table = [
            (
                "error:handler not found,topic:orderbook.50.NOPEUSDT",
                Refusal::Unknown("orderbook.50.NOPEUSDT"),
            ),
            (
                "error:already subscribed,topic:orderbook.1.ETHUSDT",
                Refusal::Had("orderbook.1.ETHUSDT"),
            ),
            ("error:something,topic:x", Refusal::Other(Some("x"))),
            ("args size >10", Refusal::Other(None)),
            ("", Refusal::Other(None)),
        ];
        for (text, want) in table {
            assert_eq!(refusal(text), want, "{text}");
        }
    }
}

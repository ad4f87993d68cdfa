//! A recording as calls of connectors: what the replay of `tickwire replay` gives them, written down
//! once, so that a timed run does nothing but call.

mod polymarket;
mod tap;
mod topic;

use std::ops::Range;
use std::path::Path;

use tickwire_connectors::transmit::{HttpFailure, LinkChange, LinkId, RequestId};
use tickwire_connectors::{AnyConnector, Command, Error, Instrument, Market, Nanos, Venue};
use tickwire_tools::replay::{MarketPlan, Plan, Replay, Scope, connector};

use tap::{Shared, Tap};

pub use topic::{Topic, key_of_stream, kind_of, topic_of};

/// What a message brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Changes of a book, or a whole one.
    Depth,
    /// Polymarket's whole book, which comes with a trade: its changes are [`Kind::Depth`].
    Whole,
    /// The best bid and ask: Binance's bookTicker, Bybit's level 1, Deribit's quote.
    Top,
    /// Trades.
    Trade,
    /// Aggregated trades.
    AggTrade,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 5] = [
        Kind::Depth,
        Kind::Whole,
        Kind::Top,
        Kind::Trade,
        Kind::AggTrade,
    ];

    /// As the table says it.
    pub const fn name(self, venue: Venue) -> &'static str {
        match (self, venue) {
            (Kind::Depth, Venue::Polymarket) => "price_change",
            (Kind::Depth, _) => "depth",
            (Kind::Whole, _) => "book",
            (Kind::Top, Venue::Bybit) => "level1",
            (Kind::Top, Venue::Deribit) => "quote",
            (Kind::Top, _) => "bookTicker",
            (Kind::Trade, Venue::Bybit) => "publicTrade",
            (Kind::Trade, Venue::Deribit) => "trades",
            (Kind::Trade, Venue::Polymarket) => "last_trade_price",
            (Kind::Trade, _) => "trade",
            (Kind::AggTrade, _) => "aggTrade",
        }
    }
}

/// A message of a hot kind.
#[derive(Clone, Debug)]
pub struct Message {
    /// The connector it is for.
    pub connector: usize,
    /// Its link.
    pub link: LinkId,
    /// When it came.
    pub now: Nanos,
    /// What it brings.
    pub kind: Kind,
    /// Its bytes.
    pub text: Vec<u8>,
}

/// A call of a connector that is no hot message. It is never timed.
#[derive(Clone, Debug)]
pub enum Call {
    /// A subscription.
    Command(Command),
    /// A link went up or down.
    Link(LinkId, LinkChange),
    /// A message of another kind: an answer, a ticker.
    Other(LinkId, Vec<u8>),
    /// The answer to a request, and the request's target.
    Answer(RequestId, Result<Vec<u8>, HttpFailure>, String),
    /// Instruments, read elsewhere.
    Instruments(RequestId, Result<Vec<Instrument>, Error>),
}

/// A step of a recording.
#[derive(Clone, Debug)]
pub enum Step {
    /// Set-up: a call, of which connector, at what time.
    Call(usize, Nanos, Call),
    /// Messages, timed.
    Messages(Range<usize>),
}

/// A recording, read.
#[derive(Debug)]
pub struct Feed {
    /// Whose.
    pub venue: Venue,
    /// What each connector is made from.
    pub plans: Vec<MarketPlan>,
    /// The streams of hot messages, by the venue's names.
    pub topics: Vec<Topic>,
    /// In order.
    pub steps: Vec<Step>,
    /// The hot messages.
    pub messages: Vec<Message>,
    /// What was done to the recording, in words.
    pub notes: Vec<String>,
}

impl Feed {
    /// Reads a recording, plain or compressed, of which only the hot kinds are timed.
    ///
    /// # Errors
    /// In words.
    pub fn read(path: &Path, venue: Venue, market: Option<Market>) -> Result<Feed, String> {
        if venue == Venue::Polymarket {
            return polymarket::read(path);
        }
        let files = [path.to_path_buf()];
        let scope = Scope {
            venue,
            market,
            symbols: Vec::new(),
        };
        let plan = Plan::discover(&files, &scope, |_, _| {}).map_err(|error| error.to_string())?;
        let plans = plan.markets.clone();
        let log = Shared::default();
        let mut count = 0;
        let make = |plan: &MarketPlan| {
            let inner = connector(venue, plan)?;
            count += 1;
            Ok(Tap::new(count - 1, inner, &log))
        };
        let mut replay =
            Replay::new(files.to_vec(), plan, make).map_err(|error| error.to_string())?;
        while replay.step().map_err(|error| error.to_string())?.is_some() {}
        let counters = replay.counters();
        drop(replay);
        if counters.malformed + counters.gaps > 0 {
            return Err(format!("the recording is not clean: {counters:?}"));
        }
        let log = tap::take(&log);
        Ok(Feed {
            venue,
            plans,
            topics: topic::topics(venue, &log.messages),
            steps: log.steps,
            messages: log.messages,
            notes: Vec::new(),
        })
    }

    /// The kinds that the recording has, with how many messages of each.
    pub fn kinds(&self) -> Vec<(Kind, usize)> {
        let count = |kind| self.messages.iter().filter(|one| one.kind == kind).count();
        let all = Kind::ALL.map(|kind| (kind, count(kind)));
        all.into_iter().filter(|(_, count)| *count > 0).collect()
    }

    /// The same with messages of one kind alone. Whole books among the changes of Polymarket are taken
    /// without being timed: the changes stand on them.
    pub fn only(&self, kind: Kind) -> Feed {
        // A topic of Polymarket's is a token, which has all kinds.
        let is_its = |topic: &&Topic| self.venue == Venue::Polymarket || topic.kind == kind;
        let mut feed = Feed {
            venue: self.venue,
            plans: self.plans.clone(),
            topics: self.topics.iter().filter(is_its).cloned().collect(),
            steps: Vec::new(),
            messages: Vec::new(),
            notes: self.notes.clone(),
        };
        for step in &self.steps {
            let range = match step {
                Step::Call(..) => {
                    feed.steps.push(step.clone());
                    continue;
                }
                Step::Messages(range) => range.clone(),
            };
            for message in &self.messages[range] {
                if message.kind == kind {
                    let at = feed.messages.len();
                    feed.messages.push(message.clone());
                    extend(&mut feed.steps, at);
                } else if message.kind == Kind::Whole && kind == Kind::Depth {
                    let call = Call::Other(message.link, message.text.clone());
                    let call = Step::Call(message.connector, message.now, call);
                    feed.steps.push(call);
                }
            }
        }
        feed
    }

    /// The connectors, made anew.
    ///
    /// # Panics
    /// If what could be made for the recording can't be made again.
    pub fn connectors(&self) -> Vec<AnyConnector> {
        let make = |plan| match self.venue {
            Venue::Polymarket => polymarket::connector(),
            _ => connector(self.venue, plan).map_err(|error| error.to_string()),
        };
        let made = self.plans.iter().map(make);
        made.map(|made| match made {
            Ok(connector) => connector,
            Err(error) => panic!("{error}"),
        })
        .collect()
    }
}

/// Adds the message at `at` to what is timed.
fn extend(steps: &mut Vec<Step>, at: usize) {
    match steps.last_mut() {
        Some(Step::Messages(range)) if range.end == at => range.end = at + 1,
        _ => steps.push(Step::Messages(at..at + 1)),
    }
}

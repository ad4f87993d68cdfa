//! A recording as calls of connectors: what the replay of `tickwire replay` gives them, written down
//! once, so that a timed run does nothing but call.

use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use tickwire_connectors::connector::{BookView, Counters, InstrumentReader, SymbolRule};
use tickwire_connectors::transmit::{
    HttpFailure, LinkChange, LinkId, RequestId, Response, Transmit,
};
use tickwire_connectors::{
    AnyConnector, Command, Connector, Error, Instrument, Market, Nanos, Outbox, StreamId, Venue,
};
use tickwire_tools::replay::{MarketPlan, Plan, Replay, Scope, connector};

/// What a message brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Changes of a book, or a whole one.
    Depth,
    /// The best bid and ask: Binance's bookTicker, Bybit's level 1.
    Top,
    /// Trades.
    Trade,
    /// Aggregated trades.
    AggTrade,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 4] = [Kind::Depth, Kind::Top, Kind::Trade, Kind::AggTrade];

    /// As the table says it.
    pub const fn name(self, venue: Venue) -> &'static str {
        match (self, venue) {
            (Kind::Depth, _) => "depth",
            (Kind::Top, Venue::Bybit) => "level1",
            (Kind::Top, _) => "bookTicker",
            (Kind::Trade, Venue::Bybit) => "publicTrade",
            (Kind::Trade, _) => "trade",
            (Kind::AggTrade, _) => "aggTrade",
        }
    }

    /// Of a venue's topic; `None` for what is not hot.
    pub fn of_topic(topic: &str) -> Option<Kind> {
        if let Some((_, channel)) = topic.split_once('@') {
            return match channel {
                "bookTicker" => Some(Kind::Top),
                "trade" => Some(Kind::Trade),
                "aggTrade" => Some(Kind::AggTrade),
                _ => channel.starts_with("depth").then_some(Kind::Depth),
            };
        }
        match topic.split_once('.')? {
            ("orderbook", rest) if rest.starts_with("1.") => Some(Kind::Top),
            ("orderbook", _) => Some(Kind::Depth),
            ("publicTrade", _) => Some(Kind::Trade),
            _ => None,
        }
    }
}

/// The venue's own name of the stream of a message: the value of its first key in all recordings.
pub fn topic_of(text: &[u8]) -> Option<&str> {
    let rest = text
        .strip_prefix(b"{\"stream\":\"")
        .or_else(|| text.strip_prefix(b"{\"topic\":\""))?;
    let end = rest.iter().position(|byte| *byte == b'"')?;
    std::str::from_utf8(rest.get(..end)?).ok()
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
    /// In order.
    pub steps: Vec<Step>,
    /// The hot messages.
    pub messages: Vec<Message>,
}

impl Feed {
    /// Reads a recording, plain or compressed, of which only the hot kinds are timed.
    ///
    /// # Errors
    /// In words.
    pub fn read(path: &Path, venue: Venue, market: Option<Market>) -> Result<Feed, String> {
        let files = [path.to_path_buf()];
        let scope = Scope {
            venue,
            market,
            symbols: Vec::new(),
        };
        let plan = Plan::discover(&files, &scope, |_, _| {}).map_err(|error| error.to_string())?;
        let plans = plan.markets.clone();
        let log = Arc::new(Mutex::new(Log::default()));
        let mut count = 0;
        let make = |plan: &MarketPlan| {
            let inner = connector(venue, plan)?;
            count += 1;
            Ok(Tap {
                index: count - 1,
                inner,
                targets: Vec::new(),
                log: Arc::clone(&log),
            })
        };
        let mut replay =
            Replay::new(files.to_vec(), plan, make).map_err(|error| error.to_string())?;
        while replay.step().map_err(|error| error.to_string())?.is_some() {}
        let counters = replay.counters();
        drop(replay);
        if counters.malformed + counters.gaps > 0 {
            return Err(format!("the recording is not clean: {counters:?}"));
        }
        let log = std::mem::take(&mut *log.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(Feed {
            venue,
            plans,
            steps: log.steps,
            messages: log.messages,
        })
    }

    /// The kinds that the recording has, with how many messages of each.
    pub fn kinds(&self) -> Vec<(Kind, usize)> {
        let count = |kind| self.messages.iter().filter(|one| one.kind == kind).count();
        let all = Kind::ALL.map(|kind| (kind, count(kind)));
        all.into_iter().filter(|(_, count)| *count > 0).collect()
    }

    /// The same with messages of one kind alone.
    pub fn only(&self, kind: Kind) -> Feed {
        let mut feed = Feed {
            venue: self.venue,
            plans: self.plans.clone(),
            steps: Vec::new(),
            messages: Vec::new(),
        };
        for step in &self.steps {
            match step {
                Step::Call(..) => feed.steps.push(step.clone()),
                Step::Messages(range) => {
                    let start = feed.messages.len();
                    let wanted = self.messages[range.clone()].iter();
                    let wanted = wanted.filter(|message| message.kind == kind);
                    feed.messages.extend(wanted.cloned());
                    if feed.messages.len() > start {
                        let range = start..feed.messages.len();
                        feed.steps.push(Step::Messages(range));
                    }
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
        let make = |plan| match connector(self.venue, plan) {
            Ok(connector) => connector,
            Err(error) => panic!("{error}"),
        };
        self.plans.iter().map(make).collect()
    }
}

#[derive(Debug, Default)]
struct Log {
    steps: Vec<Step>,
    messages: Vec<Message>,
}

impl Log {
    fn message(&mut self, message: Message) {
        let at = self.messages.len();
        self.messages.push(message);
        match self.steps.last_mut() {
            Some(Step::Messages(range)) => range.end = at + 1,
            _ => self.steps.push(Step::Messages(at..at + 1)),
        }
    }
}

/// A connector that writes down what it is called with.
struct Tap {
    index: usize,
    inner: AnyConnector,
    /// The targets of requests under way.
    targets: Vec<(RequestId, String)>,
    log: Arc<Mutex<Log>>,
}

impl Tap {
    fn log(&self) -> std::sync::MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn call(&self, now: Nanos, call: Call) {
        self.log().steps.push(Step::Call(self.index, now, call));
    }
}

impl Connector for Tap {
    fn venue(&self) -> Venue {
        self.inner.venue()
    }

    fn market(&self) -> Market {
        self.inner.market()
    }

    fn handle_command(&mut self, now: Nanos, command: Command, out: &mut Outbox) {
        self.call(now, Call::Command(command));
        self.inner.handle_command(now, command, out);
    }

    fn handle_link(&mut self, now: Nanos, link: LinkId, change: LinkChange, out: &mut Outbox) {
        self.call(now, Call::Link(link, change.clone()));
        self.inner.handle_link(now, link, change, out);
    }

    fn handle_message(&mut self, now: Nanos, link: LinkId, payload: &mut [u8], out: &mut Outbox) {
        let text = payload.to_vec();
        match topic_of(payload).and_then(Kind::of_topic) {
            Some(kind) => self.log().message(Message {
                connector: self.index,
                link,
                now,
                kind,
                text,
            }),
            None => self.call(now, Call::Other(link, text)),
        }
        self.inner.handle_message(now, link, payload, out);
    }

    fn handle_response(
        &mut self,
        now: Nanos,
        id: RequestId,
        response: Result<Response<'_>, HttpFailure>,
        out: &mut Outbox,
    ) {
        let known = self.targets.iter().position(|(known, _)| *known == id);
        let target = known.map_or_else(String::new, |at| self.targets.swap_remove(at).1);
        let body = match &response {
            Ok(response) => Ok(response.body.to_vec()),
            Err(failure) => Err(failure.clone()),
        };
        self.call(now, Call::Answer(id, body, target));
        self.inner.handle_response(now, id, response, out);
    }

    fn handle_instruments(
        &mut self,
        now: Nanos,
        id: RequestId,
        instruments: Result<Vec<Instrument>, Error>,
        out: &mut Outbox,
    ) {
        self.call(now, Call::Instruments(id, instruments.clone()));
        self.inner.handle_instruments(now, id, instruments, out);
    }

    fn handle_timeout(&mut self, now: Nanos, out: &mut Outbox) {
        self.inner.handle_timeout(now, out);
    }

    fn poll_timeout(&self) -> Option<Nanos> {
        self.inner.poll_timeout()
    }

    fn poll_transmit(&mut self, now: Nanos, body: &mut Vec<u8>) -> Option<Transmit> {
        let transmit = self.inner.poll_transmit(now, body);
        if let Some(Transmit::Http(request)) = &transmit {
            self.targets.push((request.id, request.target.to_string()));
        }
        transmit
    }

    fn has_transmit(&self) -> bool {
        self.inner.has_transmit()
    }

    fn book(&self, stream: StreamId) -> Option<BookView<'_>> {
        self.inner.book(stream)
    }

    fn instrument_reader(&self) -> InstrumentReader {
        self.inner.instrument_reader()
    }

    fn symbol_rule(&self) -> SymbolRule {
        self.inner.symbol_rule()
    }

    fn counters(&self) -> Counters {
        self.inner.counters()
    }
}

//! Drives connectors with a recording: the same code that runs on live links, fed from files.
//!
//! Time is the recording's own: `now` is the newest receive time read so far. Timers of the
//! connectors are not fired. Most of them wait for an answer to something that the connector sent
//! (a heartbeat, a subscribe request, a request for a snapshot), and a recording answers the
//! recorder, not us: fired, they would cut links that were sound and throw away good books.

mod answers;
mod driver;
mod error;
mod plan;
mod sniff;
mod venue;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use tickwire_connectors::connector::{BookView, Connector, Counters};
use tickwire_connectors::instrument::symbol;
use tickwire_connectors::outbox::{Item, Outbox};
use tickwire_connectors::{Market, Nanos, StreamId, WideBody};

use crate::output::StreamInfo;
use crate::recording::{Progress, Reader, Record, RecordKind};
use driver::Driver;

pub use error::ReplayError;
pub use plan::{MarketPlan, Plan, PlannedStream, Scope};
pub use venue::connector;

/// What caused the events of a [`Step`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The subscriptions were placed and the links came up, before the first line.
    Start,
    /// A line of the recording.
    Line(RecordKind),
}

/// One input that a connector was given, and the events it gave back.
#[derive(Debug)]
pub struct Step<'a> {
    /// What the input was.
    pub cause: Cause,
    /// Index of the file.
    pub file: usize,
    /// Number of the line in its file; 0 at the start.
    pub line: u64,
    /// Market of the connector.
    pub market: Market,
    /// The time that the connector was told.
    pub now: Nanos,
    /// The events, in order.
    pub events: &'a Outbox,
    /// What each stream is, indexed by its [`StreamId`].
    pub streams: &'a [StreamInfo],
}

impl<'a> Step<'a> {
    /// The events in order, each with what its stream is.
    pub fn items(&self) -> impl Iterator<Item = (&'a StreamInfo, Item<'a>)> + use<'a> {
        let streams = self.streams;
        self.events.iter().filter_map(move |item| {
            let stream = match item {
                Item::Hot(event) => event.stream(),
                Item::Wide(wide) => wide.stream,
            };
            Some((streams.get(stream.index())?, item))
        })
    }
}

/// A recording on its way through connectors, one a market.
#[derive(Debug)]
pub struct Replay<C> {
    files: Vec<PathBuf>,
    plan: Plan,
    drivers: Vec<Driver<C>>,
    streams: Vec<StreamInfo>,
    /// The driver of each stream.
    owners: Vec<usize>,
    /// Which driver a connection feeds.
    routes: HashMap<plan::Conn, usize>,
    /// The connections of which a `connect` line was read.
    connected: HashSet<plan::Conn>,
    reader: Option<Reader>,
    file: usize,
    started: usize,
    now: Nanos,
    lines: u64,
}

impl<C: Connector> Replay<C> {
    /// Prepares a replay of `files` in this order, with a connector from `make` for each market of
    /// the plan.
    pub fn new(
        files: Vec<PathBuf>,
        plan: Plan,
        mut make: impl FnMut(&MarketPlan) -> Result<C, ReplayError>,
    ) -> Result<Replay<C>, ReplayError> {
        let (mut drivers, mut streams, mut owners) = (Vec::new(), Vec::new(), Vec::new());
        let mut routes = HashMap::new();
        for (index, market) in plan.markets.iter().enumerate() {
            let mut wanted = Vec::new();
            for stream in &market.streams {
                let id = u32::try_from(streams.len()).ok().and_then(StreamId::new);
                let symbol = symbol(&stream.symbol);
                let (Some(id), Some(symbol)) = (id, symbol) else {
                    return Err(ReplayError::BadSymbol(stream.symbol.clone()));
                };
                wanted.push((id, symbol, stream.channel));
                streams.push(StreamInfo::new(
                    plan.venue,
                    market.market,
                    symbol,
                    stream.channel,
                ));
                owners.push(index);
            }
            routes.extend(market.conns.iter().map(|conn| (conn.clone(), index)));
            drivers.push(Driver::new(make(market)?, market, wanted));
        }
        Ok(Replay {
            now: plan.first_ns.unwrap_or(Nanos::ZERO),
            files,
            plan,
            drivers,
            streams,
            owners,
            routes,
            connected: HashSet::new(),
            reader: None,
            file: 0,
            started: 0,
            lines: 0,
        })
    }

    /// Gives the next input to its connector. `None` at the end. Lines that are for no connector are
    /// passed over.
    pub fn step(&mut self) -> Result<Option<Step<'_>>, ReplayError> {
        if self.started < self.drivers.len() {
            let index = self.started;
            self.started += 1;
            self.drivers[index].start(self.now)?;
            return Ok(Some(self.finish(index, Cause::Start, 0)));
        }
        loop {
            let reader = match &mut self.reader {
                Some(reader) => reader,
                None => match self.files.get(self.file) {
                    Some(path) => self.reader.insert(Reader::open(path)?),
                    None => return Ok(None),
                },
            };
            let Some(record) = reader.next_record()? else {
                self.reader = None;
                self.file += 1;
                continue;
            };
            self.lines += 1;
            if let Some(recv_ns) = record.recv_ns {
                self.now = self.now.max(recv_ns);
            }
            let (line, kind) = (record.line, sniff::kind_of(self.plan.venue, &record));
            let conn = plan::Conn::of(self.file, record.conn);
            let Some(index) = route(&self.plan, &self.routes, &conn, kind, &record) else {
                continue;
            };
            let driver = &mut self.drivers[index];
            driver.events.clear();
            match kind {
                RecordKind::Recv => driver.message(self.now, record.payload)?,
                RecordKind::Http => driver.answer(self.now, record.url, record.payload)?,
                RecordKind::Connect if !self.connected.insert(conn) => {
                    driver.reconnect(self.now)?;
                }
                _ => continue,
            }
            return Ok(Some(self.finish(index, Cause::Line(kind), line)));
        }
    }

    fn finish(&mut self, index: usize, cause: Cause, line: u64) -> Step<'_> {
        let driver = &self.drivers[index];
        for item in driver.events.iter() {
            if let Item::Wide(wide) = item
                && let WideBody::Instrument(instrument) = &wide.body
                && let Some(info) = self.streams.get_mut(wide.stream.index())
            {
                info.learn(instrument);
            }
        }
        Step {
            cause,
            file: self.file,
            line,
            market: driver.market(),
            now: self.now,
            events: &driver.events,
            streams: &self.streams,
        }
    }

    /// What each stream is, indexed by its [`StreamId`].
    pub fn streams(&self) -> &[StreamInfo] {
        &self.streams
    }

    /// The numbers of all streams.
    pub fn stream_ids(&self) -> impl Iterator<Item = StreamId> + use<C> {
        (0..self.streams.len() as u32).filter_map(StreamId::new)
    }

    /// The book of a stream that has one, as it stands after the last step.
    pub fn book(&self, stream: StreamId) -> Option<BookView<'_>> {
        let owner = *self.owners.get(stream.index())?;
        self.drivers.get(owner)?.connector().book(stream)
    }

    /// The connectors with their markets.
    pub fn connectors(&self) -> impl Iterator<Item = (Market, &C)> {
        self.drivers
            .iter()
            .map(|driver| (driver.market(), driver.connector()))
    }

    /// Counters of all connectors together.
    pub fn counters(&self) -> Counters {
        let mut sum = Counters::default();
        for (_, connector) in self.connectors() {
            let counters = connector.counters();
            sum.messages += counters.messages;
            sum.malformed += counters.malformed;
            sum.unrouted += counters.unrouted;
            sum.stale += counters.stale;
            sum.gaps += counters.gaps;
            sum.resyncs += counters.resyncs;
            sum.crossed += counters.crossed;
            sum.refused += counters.refused;
            sum.requests += counters.requests;
            sum.requests_failed += counters.requests_failed;
        }
        sum
    }

    /// Requests of the connectors that the recording has not answered (yet).
    pub fn unanswered(&self) -> usize {
        self.drivers.iter().map(Driver::unanswered).sum()
    }

    /// Lines read so far.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// How far the present file has been read, and its index.
    pub fn progress(&self) -> (usize, Option<&Progress>) {
        (self.file, self.reader.as_ref().map(Reader::progress))
    }
}

/// The driver that a line is for.
fn route(
    plan: &Plan,
    routes: &HashMap<plan::Conn, usize>,
    conn: &plan::Conn,
    kind: RecordKind,
    record: &Record<'_>,
) -> Option<usize> {
    if kind == RecordKind::Http {
        // Answers often came over another connection than the messages: their address says more.
        let market = record
            .url
            .and_then(|url| sniff::market_of_url(plan.venue, url))
            .or_else(|| sniff::market_of_answer(plan.venue, record.payload));
        if let Some(market) = market {
            return plan
                .markets
                .iter()
                .position(|planned| planned.market == market);
        }
    }
    let only = (plan.markets.len() == 1 && kind == RecordKind::Http).then_some(0);
    routes.get(conn).copied().or(only)
}

#[cfg(test)]
mod tests;

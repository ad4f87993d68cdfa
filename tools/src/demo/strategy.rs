//! The demo's strategy: counts, measures, and keeps the latest of everything for the screen.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tickwire::telemetry::{LatencyReader, LatencyRecorder, latency_channel};
use tickwire::testing::sim::{MsgKind, SendLog, Sim, SimVenue};
use tickwire::wire::zone::{self, Zone};
use tickwire::{
    Bbo, Channel, Context, Event, Handle, LevelDelta, Lost, Nanos, StateChange, Strategy, StreamId,
    StreamInfo, StreamState, TimerId, Trade,
};

use tickwire::testing::names;

use super::VENUES;
use crate::stopwatch::Stopwatch;

/// The strategy's latest, as the main thread sees it.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Inner>);

struct Inner {
    sent: SendLog,
    steady: AtomicBool,
    live_after_ms: AtomicU64,
    rows: Mutex<HashMap<StreamId, Row>>,
    readers: Vec<LatencyReader>,
    recorders: Mutex<Vec<LatencyRecorder>>,
}

/// What is known of one stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    pub(crate) bbo: Option<Bbo>,
    pub(crate) events: u64,
    pub(crate) bbos: u64,
    pub(crate) trades: u64,
    /// Numbers missing in a sequence that has no holes.
    pub(crate) missing: u64,
    /// What the ring said that it dropped.
    pub(crate) reported_lost: u64,
    last_seq: u64,
    in_snapshot: bool,
}

impl Shared {
    pub(crate) fn new(sim: &Sim) -> Shared {
        let (recorders, readers) = VENUES.iter().map(|_| latency_channel()).unzip();
        Shared(Arc::new(Inner {
            sent: sim.sent(),
            steady: AtomicBool::new(false),
            live_after_ms: AtomicU64::new(0),
            rows: Mutex::new(HashMap::new()),
            readers,
            recorders: Mutex::new(recorders),
        }))
    }

    /// Whether every book and best bid/ask of the engine is Live. (Trades are Live with the first
    /// trade, which may take its time.)
    pub(crate) fn all_live(&self, handle: &Handle) -> bool {
        let mut priced = handle.streams();
        priced.retain(|stream| stream.key.channel != Channel::Trades);
        !priced.is_empty()
            && priced
                .iter()
                .all(|stream| stream.state() == StreamState::Live)
    }

    pub(crate) fn note_live(&self, after: Duration) {
        let millis = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        self.0.live_after_ms.store(millis, Ordering::Relaxed);
    }

    /// Milliseconds until all streams were Live; 0 while they are not.
    pub(crate) fn live_after_ms(&self) -> u64 {
        self.0.live_after_ms.load(Ordering::Relaxed)
    }

    /// From here on latencies count.
    pub(crate) fn set_steady(&self) {
        self.0.steady.store(true, Ordering::Release);
    }

    pub(crate) fn rows(&self) -> HashMap<StreamId, Row> {
        lock(&self.0.rows).clone()
    }

    /// Latency of a venue of [`VENUES`], by index.
    pub(crate) fn latency(&self, venue: usize) -> &LatencyReader {
        &self.0.readers[venue]
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How often the main thread gets the latest.
const PUBLISH_INTERVAL: Nanos = Nanos::from_millis(100);
const PUBLISH: TimerId = 1;

/// The strategy.
pub(crate) struct Watcher {
    shared: Shared,
    recorders: Vec<LatencyRecorder>,
    rows: HashMap<StreamId, Row>,
    /// Where a stream's messages are found in the simulator's send log.
    sources: HashMap<StreamId, Option<Source>>,
}

struct Source {
    info: Arc<StreamInfo>,
    venue: usize,
    sim_venue: SimVenue,
}

impl Watcher {
    pub(crate) fn new(shared: Shared) -> Watcher {
        let recorders = std::mem::take(&mut *lock(&shared.0.recorders));
        Watcher {
            shared,
            recorders,
            rows: HashMap::new(),
            sources: HashMap::new(),
        }
    }

    fn source(&mut self, context: &Context, stream: StreamId) -> Option<&Source> {
        let found = self.sources.entry(stream).or_insert_with(|| {
            let info = context.stream(stream)?;
            let key = (info.key.venue, info.key.market);
            let venue = VENUES.iter().position(|venue| names(*venue) == key)?;
            Some(Source {
                info,
                venue,
                sim_venue: VENUES[venue],
            })
        });
        found.as_ref()
    }

    /// Joins an event with the moment at which the simulator sent its message.
    fn measure(&mut self, context: &Context, event: &Event, kind: MsgKind) {
        let arrived = Stopwatch::start();
        // Inline, this runs on the loop's thread; what the join allocates is not the engine's.
        let _zone = zone::enter(Zone::Elsewhere);
        if !self.shared.0.steady.load(Ordering::Relaxed) {
            return;
        }
        let sent = self.shared.0.sent.clone();
        let Some(source) = self.source(context, event.stream()) else {
            return;
        };
        let venue = source.venue;
        let symbol = &source.info.key.symbol;
        if let Some(at) = sent.at(source.sim_venue, symbol, kind, event.seq()) {
            self.recorders[venue].record(arrived.nanos_since(at));
        }
    }

    fn row(&mut self, event: &Event) -> &mut Row {
        let row = self.rows.entry(event.stream()).or_default();
        row.events += 1;
        row
    }

    /// Counts the holes in a sequence whose numbers follow one another.
    fn follow(&mut self, event: &Event) {
        let row = self.rows.entry(event.stream()).or_default();
        let seq = event.seq();
        if row.last_seq != 0 && seq > row.last_seq {
            row.missing += seq - row.last_seq - 1;
        }
        row.last_seq = seq;
    }

    fn is_at(&mut self, context: &Context, stream: StreamId, at: fn(SimVenue) -> bool) -> bool {
        let source = self.source(context, stream);
        source.is_some_and(|source| at(source.sim_venue))
    }
}

impl Strategy for Watcher {
    fn on_start(&mut self, context: &mut Context) {
        context.set_timer(PUBLISH, PUBLISH_INTERVAL);
    }

    fn on_bbo(&mut self, context: &mut Context, bbo: &Bbo) {
        if bbo.source() == tickwire::Source::Bbo {
            self.measure(context, bbo, MsgKind::Top);
        }
        let row = self.row(bbo);
        row.bbos += 1;
        row.bbo = Some(*bbo);
    }

    fn on_trade(&mut self, context: &mut Context, trade: &Trade) {
        self.measure(context, trade, MsgKind::Trade);
        // Numbered one by one. Bybit's match sequence has holes by nature, and Polymarket has no numbers.
        let numbered = |venue: SimVenue| venue.is_binance() || venue.is_deribit();
        if self.is_at(context, trade.stream(), numbered) {
            self.follow(trade);
        }
        self.row(trade).trades += 1;
    }

    fn on_level(&mut self, context: &mut Context, delta: &LevelDelta) {
        if delta.starts_snapshot() {
            self.rows.entry(delta.stream()).or_default().in_snapshot = true;
        }
        if !delta.ends_batch() {
            return;
        }
        let row = self.row(delta);
        if std::mem::take(&mut row.in_snapshot) {
            // Its number is that of a message sent before; nothing to join.
            row.last_seq = delta.seq();
            return;
        }
        self.measure(context, delta, MsgKind::Depth);
        // Bybit's `u` counts the messages of a topic; the others' ids count changes.
        if self.is_at(context, delta.stream(), SimVenue::is_bybit) {
            self.follow(delta);
        }
    }

    fn on_state(&mut self, _context: &mut Context, change: &StateChange) {
        let row = self.row(change);
        if !change.is_live() {
            // A new link or a fresh book: the numbers start anew.
            row.last_seq = 0;
            row.bbo = None;
        }
    }

    fn on_lost(&mut self, _context: &mut Context, lost: &Lost) {
        self.row(lost).reported_lost += lost.counts().total();
    }

    fn on_timer(&mut self, context: &mut Context, _timer: TimerId) {
        let _zone = zone::enter(Zone::Elsewhere);
        lock(&self.shared.0.rows).clone_from(&self.rows);
        context.set_timer(PUBLISH, PUBLISH_INTERVAL);
    }

    fn on_stop(&mut self, _context: &mut Context) {
        lock(&self.shared.0.rows).clone_from(&self.rows);
    }
}

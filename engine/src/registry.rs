//! What the engine's threads know in common: venues, streams and links, with their present state in
//! atomics. The lists are behind a lock that only control calls take; no message does.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tickwire_connectors::connector::SymbolRule;
use tickwire_connectors::{
    Channel, Instrument, LinkId, Liveness, Market, Reason, StateChange, StreamId, StreamState,
    Symbol, Venue,
};

use crate::asker::Asker;
use crate::control::StrategyId;
use crate::hosts::HostInfo;
use crate::net::SocketReport;
use crate::telemetry::{LinkCounters, LinkSnapshot};

/// Identity of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StreamKey {
    /// Venue.
    pub venue: Venue,
    /// Market of the venue.
    pub market: Market,
    /// The venue's symbol.
    pub symbol: Symbol,
    /// Kind of stream.
    pub channel: Channel,
}

/// A stream as every thread may see it.
#[derive(Debug)]
pub struct StreamInfo {
    /// Number of the stream, as events carry it.
    pub id: StreamId,
    /// Identity.
    pub key: StreamKey,
    /// The symbol as it was first asked for.
    pub asked: Symbol,
    pub(crate) venue_index: usize,
    state: AtomicU8,
    liveness: AtomicU8,
    epoch: AtomicU16,
    instrument: Mutex<Option<Instrument>>,
}

impl StreamInfo {
    /// The stream's state as the loop last left it.
    pub fn state(&self) -> StreamState {
        match self.state.load(Ordering::Acquire) {
            1 => StreamState::Live,
            2 => StreamState::Resync,
            3 => StreamState::Stale,
            4 => StreamState::Closed,
            5 => StreamState::Refused,
            _ => StreamState::Pending,
        }
    }

    /// Whether the stream is heard as often as is expected of it, and if not, how bad it is.
    pub fn liveness(&self) -> Liveness {
        match self.liveness.load(Ordering::Acquire) {
            1 => Liveness::Quiet,
            2 => Liveness::Mute,
            3 => Liveness::Dead,
            _ => Liveness::Live,
        }
    }

    /// The connection that the stream is on; 0 before the first.
    pub fn epoch(&self) -> u16 {
        self.epoch.load(Ordering::Acquire)
    }

    /// What is known of the instrument, once the venue or the connector has said it.
    pub fn instrument(&self) -> Option<Instrument> {
        *lock(&self.instrument)
    }

    pub(crate) fn set_state(&self, change: &StateChange) {
        let liveness = match change.reason() {
            Reason::Quiet => Some(Liveness::Quiet),
            Reason::Mute => Some(Liveness::Mute),
            Reason::Dead => Some(Liveness::Dead),
            _ if change.is_live() => Some(Liveness::Live),
            _ => None,
        };
        if let Some(liveness) = liveness {
            self.liveness.store(liveness as u8, Ordering::Release);
        }
        self.epoch.store(change.epoch(), Ordering::Release);
        self.state.store(change.state() as u8, Ordering::Release);
    }

    pub(crate) fn set_instrument(&self, instrument: Instrument) {
        *lock(&self.instrument) = Some(instrument);
    }
}

/// Where a link stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum LinkState {
    /// Not yet tried, or waiting for the next try.
    #[default]
    Waiting = 0,
    /// Name, TCP, TLS or upgrade under way.
    Connecting = 1,
    /// Messages can be sent and received.
    Up = 2,
    /// Let go for good; no longer in the handle's list.
    Closed = 3,
}

/// A link as every thread may see it. Counters count up from the link's first connection.
#[derive(Debug)]
pub struct LinkInfo {
    /// Venue.
    pub venue: Venue,
    /// Market of the venue.
    pub market: Market,
    /// The connector's number for the link.
    pub link: LinkId,
    /// Host and port.
    pub endpoint: String,
    state: AtomicU8,
    epoch: AtomicU16,
    pub(crate) counters: LinkCounters,
    socket: Mutex<Option<SocketReport>>,
}

impl LinkInfo {
    /// Where it stands.
    pub fn state(&self) -> LinkState {
        match self.state.load(Ordering::Acquire) {
            1 => LinkState::Connecting,
            2 => LinkState::Up,
            3 => LinkState::Closed,
            _ => LinkState::Waiting,
        }
    }

    /// Connections made so far.
    pub fn epoch(&self) -> u16 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Connection attempts.
    pub fn attempts(&self) -> u64 {
        self.counters.attempts.value()
    }

    /// Messages received.
    pub fn messages(&self) -> u64 {
        self.counters.messages.value()
    }

    /// Bytes read from the socket.
    pub fn bytes_in(&self) -> u64 {
        self.counters.bytes_in.value()
    }

    /// Bytes written to the socket.
    pub fn bytes_out(&self) -> u64 {
        self.counters.bytes_out.value()
    }

    /// All counters; at most 10 ms old.
    pub fn counters(&self) -> LinkSnapshot {
        self.counters.snapshot()
    }

    /// Addresses and socket options of the newest connection; `None` before the first.
    pub fn socket(&self) -> Option<SocketReport> {
        lock(&self.socket).clone()
    }

    pub(crate) fn set_socket(&self, report: SocketReport) {
        *lock(&self.socket) = Some(report);
    }

    pub(crate) fn set_state(&self, state: LinkState, epoch: u16) {
        self.epoch.store(epoch, Ordering::Release);
        self.state.store(state as u8, Ordering::Release);
    }
}

/// A subscription that can't be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// The engine was built without this venue and market.
    #[error("the engine has no {venue} {market}: add it to the builder with .venue(..)")]
    UnknownVenue {
        /// Venue.
        venue: Venue,
        /// Market.
        market: Market,
    },
    /// The symbol is empty or longer than any venue's.
    #[error("bad symbol {0:?}: it must have 1 to 80 bytes")]
    BadSymbol(String),
    /// More than 2^24 streams.
    #[error("the engine can hold no more streams")]
    TooManyStreams,
    /// The engine has stopped, or takes no more commands just now.
    #[error("the engine does not take commands: {0}")]
    Engine(&'static str),
}

/// The shared lists.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    venues: Vec<(Venue, Market, SymbolRule)>,
    streams: Vec<Arc<StreamInfo>>,
    by_key: HashMap<StreamKey, StreamId>,
    links: Vec<Arc<LinkInfo>>,
    hosts: Vec<Arc<HostInfo>>,
    askers: Vec<Arc<Asker>>,
    /// Tells this run's orders from those of others.
    run: u64,
}

/// A lock whose holder panicked still guards sound data: every change below is one assignment.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Registry {
    /// For the ids of orders: before the first commander is made.
    pub(crate) fn set_run(&self, run: u64) {
        lock(&self.inner).run = run;
    }

    /// Whom a strategy's commanders share.
    pub(crate) fn asker(&self, strategy: StrategyId) -> Arc<Asker> {
        let mut inner = lock(&self.inner);
        let run = inner.run;
        for index in inner.askers.len()..=strategy.index() {
            let asker = Asker::new(run, StrategyId(index as u8));
            inner.askers.push(Arc::new(asker));
        }
        Arc::clone(&inner.askers[strategy.index()])
    }

    /// The engine's number of a venue and market.
    pub(crate) fn venue_index(
        &self,
        venue: Venue,
        market: Market,
    ) -> Result<usize, SubscribeError> {
        let inner = lock(&self.inner);
        let mut venues = inner.venues.iter();
        let index = venues.position(|(name, of, _)| (*name, *of) == (venue, market));
        index.ok_or(SubscribeError::UnknownVenue { venue, market })
    }

    pub(crate) fn add_venue(&self, venue: Venue, market: Market, symbols: SymbolRule) {
        lock(&self.inner).venues.push((venue, market, symbols));
    }

    /// The stream of this identity, new or known.
    pub(crate) fn stream(
        &self,
        venue: Venue,
        market: Market,
        symbol: &str,
        channel: Channel,
    ) -> Result<Arc<StreamInfo>, SubscribeError> {
        let bad_symbol = || SubscribeError::BadSymbol(symbol.to_owned());
        let asked = tickwire_connectors::instrument::symbol(symbol)
            .filter(|symbol| !symbol.is_empty())
            .ok_or_else(bad_symbol)?;
        let mut inner = lock(&self.inner);
        let venue_index = inner
            .venues
            .iter()
            .position(|(name, of, _)| (*name, *of) == (venue, market))
            .ok_or(SubscribeError::UnknownVenue { venue, market })?;
        let symbol = (inner.venues[venue_index].2)(market, &asked);
        let key = StreamKey {
            venue,
            market,
            symbol,
            channel,
        };
        if let Some(id) = inner.by_key.get(&key) {
            return Ok(Arc::clone(&inner.streams[id.index()]));
        }
        let id = u32::try_from(inner.streams.len())
            .ok()
            .and_then(StreamId::new);
        let id = id.ok_or(SubscribeError::TooManyStreams)?;
        let info = Arc::new(StreamInfo {
            id,
            key,
            asked,
            venue_index,
            state: AtomicU8::new(StreamState::Pending as u8),
            liveness: AtomicU8::new(Liveness::Live as u8),
            epoch: AtomicU16::new(0),
            instrument: Mutex::new(None),
        });
        inner.streams.push(Arc::clone(&info));
        inner.by_key.insert(key, id);
        Ok(info)
    }

    pub(crate) fn info(&self, stream: StreamId) -> Option<Arc<StreamInfo>> {
        lock(&self.inner).streams.get(stream.index()).cloned()
    }

    pub(crate) fn streams(&self) -> Vec<Arc<StreamInfo>> {
        lock(&self.inner).streams.clone()
    }

    pub(crate) fn add_link(
        &self,
        venue: Venue,
        market: Market,
        link: LinkId,
        endpoint: String,
    ) -> Arc<LinkInfo> {
        let info = Arc::new(LinkInfo {
            venue,
            market,
            link,
            endpoint,
            state: AtomicU8::new(0),
            epoch: AtomicU16::new(0),
            counters: LinkCounters::default(),
            socket: Mutex::new(None),
        });
        lock(&self.inner).links.push(Arc::clone(&info));
        info
    }

    /// A link was let go: links come and go with subscriptions, and the list must not grow for ever.
    pub(crate) fn remove_link(&self, link: &Arc<LinkInfo>) {
        lock(&self.inner)
            .links
            .retain(|known| !Arc::ptr_eq(known, link));
    }

    pub(crate) fn links(&self) -> Vec<Arc<LinkInfo>> {
        lock(&self.inner).links.clone()
    }

    pub(crate) fn add_host(&self, host: Arc<HostInfo>) {
        lock(&self.inner).hosts.push(host);
    }

    pub(crate) fn hosts(&self) -> Vec<Arc<HostInfo>> {
        lock(&self.inner).hosts.clone()
    }
}

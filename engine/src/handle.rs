//! A running engine as the program holds it.

use std::sync::Arc;
use std::thread::JoinHandle;

use tickwire_connectors::connector::Counters;
use tickwire_connectors::{Channel, Market, StreamId, Venue};

use crate::clock::Clock;
use crate::control::{Commander, Control, ControlQueue, StrategyId};
use crate::engine::VenueCounters;
use crate::hosts::HostInfo;
use crate::notice::{LinkNotice, Notices, VenueNotice};
use crate::registry::{LinkInfo, Registry, StreamInfo, SubscribeError};
use crate::ring::Consumer;
use crate::telemetry::{LatencyReader, LoopCounters, LoopSnapshot, RingCounters, RingSnapshot};

/// A thread of the engine ended by a panic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the thread {thread:?} of the engine panicked: {message}")]
pub struct ThreadPanicked {
    /// Name of the thread.
    pub thread: String,
    /// Its words.
    pub message: String,
}

/// A running engine. Dropping it stops the engine and waits for its threads.
#[derive(Debug)]
pub struct Handle {
    control: Arc<ControlQueue>,
    registry: Arc<Registry>,
    notices: Arc<Notices>,
    counters: Arc<LoopCounters>,
    turn_times: LatencyReader,
    venues: Vec<Arc<VenueCounters>>,
    clock: Clock,
    strategies: Vec<StrategyThread>,
    /// By strategy; `None` for an inline one.
    rings: Vec<Option<Arc<RingCounters>>>,
    loop_thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
pub(crate) struct StrategyThread {
    name: String,
    thread: Option<JoinHandle<()>>,
    pair: Option<(Consumer, Commander)>,
}

impl StrategyThread {
    pub(crate) fn inline(name: String) -> StrategyThread {
        StrategyThread {
            name,
            thread: None,
            pair: None,
        }
    }

    pub(crate) fn pair(name: String, ring: Consumer, commander: Commander) -> StrategyThread {
        StrategyThread {
            name,
            thread: None,
            pair: Some((ring, commander)),
        }
    }

    pub(crate) fn thread(name: String, thread: JoinHandle<()>) -> StrategyThread {
        StrategyThread {
            name,
            thread: Some(thread),
            pair: None,
        }
    }
}

impl Handle {
    pub(crate) fn new(
        control: Arc<ControlQueue>,
        registry: Arc<Registry>,
        notices: Arc<Notices>,
        (counters, turn_times): (Arc<LoopCounters>, LatencyReader),
        venues: Vec<Arc<VenueCounters>>,
        clock: Clock,
    ) -> Handle {
        let (strategies, loop_thread) = (Vec::new(), None);
        Handle {
            control,
            registry,
            notices,
            counters,
            turn_times,
            venues,
            clock,
            strategies,
            rings: Vec::new(),
            loop_thread,
        }
    }

    pub(crate) fn add_strategy(&mut self, strategy: StrategyThread) {
        self.strategies.push(strategy);
    }

    pub(crate) fn add_ring(&mut self, counters: Option<Arc<RingCounters>>) {
        self.rings.push(counters);
    }

    pub(crate) fn set_loop(&mut self, thread: JoinHandle<()>) {
        self.loop_thread = Some(thread);
    }

    /// The clock whose time events carry as `recv_ns`.
    pub const fn clock(&self) -> Clock {
        self.clock
    }

    /// The strategy of this name.
    pub fn strategy(&self, name: &str) -> Option<StrategyId> {
        let index = self
            .strategies
            .iter()
            .position(|strategy| strategy.name == name)?;
        Some(StrategyId(index as u8))
    }

    /// Opens and closes streams in a strategy's name, from any thread.
    pub fn commander(&self, strategy: StrategyId) -> Commander {
        Commander::new(strategy, &self.registry, &self.control)
    }

    /// Opens a stream for a strategy; also while the venue is not connected.
    pub fn subscribe(
        &self,
        strategy: StrategyId,
        venue: Venue,
        market: Market,
        symbol: &str,
        channel: Channel,
    ) -> Result<StreamId, SubscribeError> {
        self.commander(strategy)
            .subscribe(venue, market, symbol, channel, false)
    }

    /// Closes a stream for a strategy.
    pub fn unsubscribe(
        &self,
        strategy: StrategyId,
        stream: StreamId,
    ) -> Result<(), SubscribeError> {
        self.commander(strategy).unsubscribe(stream)
    }

    /// The rings of a [`StrategySetup::pair`](crate::StrategySetup::pair); once.
    pub fn take_pair(&mut self, strategy: StrategyId) -> Option<(Consumer, Commander)> {
        self.strategies.get_mut(strategy.index())?.pair.take()
    }

    /// Every stream that was ever opened, with its present state.
    pub fn streams(&self) -> Vec<Arc<StreamInfo>> {
        self.registry.streams()
    }

    /// One stream.
    pub fn stream(&self, stream: StreamId) -> Option<Arc<StreamInfo>> {
        self.registry.info(stream)
    }

    /// Every link that is to be kept up, with its present state and counters.
    pub fn links(&self) -> Vec<Arc<LinkInfo>> {
        self.registry.links()
    }

    /// Every host that the engine connects to, with its budget of connection attempts.
    pub fn hosts(&self) -> Vec<Arc<HostInfo>> {
        self.registry.hosts()
    }

    /// The next connect or disconnect that has not been read yet.
    pub fn next_notice(&self) -> Option<LinkNotice> {
        self.notices.pop()
    }

    /// The next unread notice of what concerns a whole venue: bans and their ends.
    pub fn next_venue_notice(&self) -> Option<VenueNotice> {
        self.notices.pop_venue()
    }

    /// Notices that were lost because nobody read them.
    pub fn notices_lost(&self) -> u64 {
        self.notices.lost()
    }

    /// Counters of the loop.
    pub fn counters(&self) -> LoopSnapshot {
        self.counters.snapshot()
    }

    /// What a strategy's rings have taken, kept back and lost, at most 10 ms old; `None` for an inline
    /// one, which has none.
    pub fn ring_counters(&self, strategy: StrategyId) -> Option<RingSnapshot> {
        let counters = self.rings.get(strategy.index())?.as_ref()?;
        Some(counters.snapshot())
    }

    /// How long turns with work took, in nanoseconds, since the start.
    pub fn turn_times(&self) -> &LatencyReader {
        &self.turn_times
    }

    /// Counters of each venue, in the order of the builder; at most 10 ms old.
    pub fn venue_counters(&self) -> Vec<(Venue, Market, Counters)> {
        self.venues
            .iter()
            .map(|venue| (venue.venue, venue.market, venue.read()))
            .collect()
    }

    /// Whether the loop runs.
    pub fn is_running(&self) -> bool {
        self.loop_thread
            .as_ref()
            .is_some_and(|thread| !thread.is_finished())
    }

    /// Stops the engine: links are closed, strategies drain their rings and end. Waits for all
    /// threads.
    pub fn stop(mut self) -> Result<(), ThreadPanicked> {
        self.shut_down()
    }

    fn shut_down(&mut self) -> Result<(), ThreadPanicked> {
        // Refused only where the queue is full (the loop empties it, so try again) or closed.
        while self.is_running() && self.control.push(Control::Stop).is_err() {
            std::thread::yield_now();
        }
        let mut outcome = Ok(());
        if let Some(thread) = self.loop_thread.take() {
            outcome = join("tickwire-loop", thread);
        }
        for strategy in &mut self.strategies {
            if let Some(thread) = strategy.thread.take() {
                outcome = outcome.and(join(&strategy.name, thread));
            }
        }
        outcome
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Err(error) = self.shut_down() {
            tracing::error!(%error, "the engine did not end cleanly");
        }
    }
}

fn join(name: &str, thread: JoinHandle<()>) -> Result<(), ThreadPanicked> {
    thread.join().map_err(|panic| {
        let message = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no message".to_owned());
        ThreadPanicked {
            thread: name.to_owned(),
            message,
        }
    })
}

//! An engine without threads and without a clock: the very same loop, turned by hand over a network
//! of the caller's, at times that the caller names. With a seed given to the builder, the same calls
//! give the same outputs.

use std::sync::Arc;

use tickwire_connectors::connector::Counters;
use tickwire_connectors::{AnyConnector, Market, Nanos, Venue};

use crate::builder::{Assembly, BuildError, EngineBuilder, Plan, PlanBody};
use crate::control::{Commander, ControlQueue, StrategyId};
use crate::engine::Loop;
use crate::helper::Helper;
use crate::net::Net;
use crate::notice::{LinkNotice, Notices};
use crate::registry::{LinkInfo, Registry, StreamInfo};
use crate::ring::{Consumer, RingStats};
use crate::strategy::{Context, Runner};
use crate::telemetry::{LoopCounters, LoopSnapshot};

/// An engine that is turned by hand. Made by [`EngineBuilder::by_hand`].
///
/// ```text
/// loop {
///     engine.turn(now);                        // sockets, connectors, books, rings
///     engine.run_strategy(0, now, 256);        // what a strategy's thread does between two sleeps
///     now = engine.next_turn().min(what the network has next);
/// }
/// ```
#[expect(
    missing_debug_implementations,
    reason = "a user's strategy need not have one"
)]
pub struct HandEngine<N: Net> {
    engine: Loop<AnyConnector, N>,
    strategies: Vec<Seat>,
    control: Arc<ControlQueue>,
    registry: Arc<Registry>,
    notices: Arc<Notices>,
    counters: Arc<LoopCounters>,
}

/// Where a strategy runs.
enum Seat {
    /// On the loop, in each turn.
    Inline,
    /// Over its ring, when it is told to.
    Ring(Box<Runner>, Consumer),
    /// It has none: the caller reads the ring.
    Pair(Option<Consumer>),
}

impl EngineBuilder {
    /// Puts the engine together over `net`, starts its strategies at `now` and starts nothing else.
    /// Threads, cores and socket options of the setup have no meaning here.
    ///
    /// # Errors
    /// As [`EngineBuilder::spawn`].
    pub fn by_hand<N: Net>(self, net: N, now: Nanos) -> Result<HandEngine<N>, BuildError> {
        let Assembly {
            mut engine,
            plans,
            initial,
            control,
            registry,
            notices,
            counters,
            ..
        } = self.assemble(net, Helper::inline(), (None, None))?;
        let mut strategies: Vec<Seat> = plans.into_iter().map(seat).collect();
        engine.start(now, initial);
        for strategy in &mut strategies {
            if let Seat::Ring(runner, _) = strategy {
                runner.start(now);
            }
        }
        Ok(HandEngine {
            engine,
            strategies,
            control,
            registry,
            notices,
            counters,
        })
    }
}

fn seat(plan: Plan) -> Seat {
    match plan.body {
        PlanBody::Thread { runner, ring, .. } => Seat::Ring(Box::new(runner), ring),
        PlanBody::Pair { ring, .. } => Seat::Pair(Some(ring)),
        PlanBody::Inline => Seat::Inline,
    }
}

impl<N: Net> HandEngine<N> {
    /// The network.
    pub fn net(&mut self) -> &mut N {
        self.engine.net()
    }

    /// One turn of the loop at `now`, which must not step back. Gives whether there was anything to
    /// do.
    pub fn turn(&mut self, now: Nanos) -> bool {
        self.engine.poll_net();
        self.engine.turn(now)
    }

    /// When to turn again, if the network brings nothing before: not after the last turn's time
    /// where work is left.
    pub fn next_turn(&self) -> Nanos {
        self.engine.next_turn()
    }

    /// Has a strategy fire its timers and handle what waits in its ring, `events_max` at most. Gives
    /// how many events it handled; 0 for one that runs inline.
    pub fn run_strategy(&mut self, strategy: usize, now: Nanos, events_max: usize) -> usize {
        match self.strategies.get_mut(strategy) {
            Some(Seat::Ring(runner, ring)) => runner.turn(ring, now, events_max),
            _ => 0,
        }
    }

    /// How many events wait in a strategy's ring; 0 for one that runs inline.
    pub fn waiting(&self, strategy: usize) -> usize {
        match self.strategies.get(strategy) {
            Some(Seat::Ring(_, ring)) => ring.len(),
            _ => 0,
        }
    }

    /// The hands of a strategy that runs over a ring, to act in its name.
    pub fn context(&mut self, strategy: usize) -> Option<&mut Context> {
        match self.strategies.get_mut(strategy)? {
            Seat::Ring(runner, _) => Some(runner.context()),
            Seat::Inline | Seat::Pair(_) => None,
        }
    }

    /// The ring of a [`StrategySetup::pair`](crate::StrategySetup::pair); once.
    pub fn take_ring(&mut self, strategy: usize) -> Option<Consumer> {
        match self.strategies.get_mut(strategy)? {
            Seat::Pair(ring) => ring.take(),
            Seat::Inline | Seat::Ring(..) => None,
        }
    }

    /// What a strategy's ring has carried and lost; `None` for one that runs inline.
    pub fn ring_stats(&self, strategy: usize) -> Option<RingStats> {
        self.engine.ring_stats(strategy)
    }

    /// How many orders of a strategy are under way, so that room is held in its ring for what will be told
    /// of them.
    pub fn orders_under_way(&self, strategy: usize) -> usize {
        self.engine.orders_under_way(strategy)
    }

    /// Opens and closes streams in a strategy's name.
    pub fn commander(&self, strategy: usize) -> Commander {
        let strategy = StrategyId(strategy as u8);
        Commander::new(strategy, &self.registry, &self.control)
    }

    /// Every stream that was ever opened, with its present state.
    pub fn streams(&self) -> Vec<Arc<StreamInfo>> {
        self.registry.streams()
    }

    /// Every link that is to be kept up.
    pub fn links(&self) -> Vec<Arc<LinkInfo>> {
        self.registry.links()
    }

    /// The next connect or disconnect that has not been read yet.
    pub fn next_notice(&self) -> Option<LinkNotice> {
        self.notices.pop()
    }

    /// Counters of the loop.
    pub fn counters(&self) -> LoopSnapshot {
        self.counters.snapshot()
    }

    /// Counters of each venue as they stand.
    pub fn venue_counters(&self) -> Vec<(Venue, Market, Counters)> {
        self.engine.connector_counters()
    }

    /// Closes every connection in order and ends the strategies, which handle what is left in their
    /// rings first.
    pub fn stop(self, now: Nanos) {
        let HandEngine {
            engine, strategies, ..
        } = self;
        engine.shut_down(now);
        for strategy in strategies {
            if let Seat::Ring(mut runner, mut ring) = strategy {
                runner.turn(&mut ring, now, usize::MAX);
                runner.stop(now);
            }
        }
    }
}

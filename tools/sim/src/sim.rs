//! The simulator as a test uses it: built, started, asked, steered and stopped.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;

use mio::Poll;

use crate::clock::Clock;
use crate::control::Control;
use crate::error::SimError;
use crate::fault::{FaultLog, FaultPlan, FaultScript};
use crate::sent::SendLog;
use crate::server::{Door, Server, WAKER, tls};
use crate::spec::{SimVenue, VenueSpec};
use crate::stats::{Counters, Stats};
use crate::truth::Truth;
use crate::world::World;

/// Collects what a simulator is to be.
#[derive(Clone, Debug)]
#[must_use]
pub struct SimBuilder {
    seed: u64,
    specs: Vec<VenueSpec>,
    names: Vec<String>,
    ip: IpAddr,
    script: FaultScript,
    plan: Option<FaultPlan>,
}

impl SimBuilder {
    /// The seed of all chance. The same seed and inputs give the same market.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Adds a venue-market.
    pub fn venue(mut self, spec: VenueSpec) -> Self {
        self.specs.push(spec);
        self
    }

    /// Further host names for the certificate, besides localhost and the loopback addresses.
    pub fn names(mut self, names: &[&str]) -> Self {
        self.names
            .extend(names.iter().map(|name| (*name).to_owned()));
        self
    }

    /// The address to listen on; 127.0.0.1 by default.
    pub fn bind(mut self, ip: IpAddr) -> Self {
        self.ip = ip;
        self
    }

    /// Faults by the clock; their times count from the start.
    pub fn faults(mut self, script: FaultScript) -> Self {
        self.script = script;
        self
    }

    /// Faults by chance, from the start on.
    pub fn fault_plan(mut self, plan: FaultPlan) -> Self {
        self.plan = Some(plan);
        self
    }

    /// Opens the listeners and starts the thread.
    ///
    /// # Errors
    /// If a venue cannot be built, a socket opened or the certificate made.
    pub fn start(self) -> Result<Sim, SimError> {
        let clock = Clock::start();
        let mut world = World::new(&self.specs, self.seed, clock.base_ns, clock.base)?;
        world.schedule(&self.script, clock.base_ns);
        if let Some(plan) = self.plan {
            world.start_plan(plan, clock.base_ns);
        }
        let faults = world.fault_log();
        let identity = tls::identity(&self.names)?;
        let counters = world.counters();
        let mut doors = Vec::with_capacity(self.specs.len());
        let mut addrs = Vec::with_capacity(self.specs.len());
        for (spec, (venue, counters)) in self.specs.iter().zip(&counters) {
            let (door, addr) = Door::open(spec, self.ip, Arc::clone(counters))?;
            doors.push(door);
            addrs.push((*venue, addr));
        }
        let poll = Poll::new()?;
        let waker = Arc::new(mio::Waker::new(poll.registry(), WAKER)?);
        let (orders, receiver) = mpsc::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let (truth, sent) = (world.truth(), world.sent());
        let configs = identity.configs;
        let server = Server::new(
            poll,
            doors,
            configs,
            world,
            clock,
            receiver,
            Arc::clone(&stop),
        )?;
        let thread = std::thread::Builder::new()
            .name("tickwire-sim".to_owned())
            .spawn(move || server.run())?;
        Ok(Sim {
            addrs,
            ca_pem: identity.ca_pem,
            ca_der: identity.ca_der,
            truth,
            sent,
            counters,
            faults,
            control: Control { orders, waker },
            stop,
            thread: Some(thread),
        })
    }
}

/// A running simulator. Dropping it stops it.
#[derive(Debug)]
pub struct Sim {
    addrs: Vec<(SimVenue, SocketAddr)>,
    ca_pem: String,
    ca_der: Vec<u8>,
    truth: Truth,
    sent: SendLog,
    counters: Vec<(SimVenue, Arc<Counters>)>,
    faults: FaultLog,
    control: Control,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Sim {
    /// Starts to describe a simulator.
    pub fn builder() -> SimBuilder {
        SimBuilder {
            seed: 1,
            specs: Vec::new(),
            names: Vec::new(),
            ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            script: FaultScript::new(),
            plan: None,
        }
    }

    /// The venues, in the order given.
    #[must_use]
    pub fn venues(&self) -> Vec<SimVenue> {
        self.addrs.iter().map(|(venue, _)| *venue).collect()
    }

    /// Where a venue listens, for WebSocket and REST alike.
    ///
    /// # Panics
    /// If the simulator does not have this venue.
    #[must_use]
    pub fn addr(&self, venue: SimVenue) -> SocketAddr {
        let found = self.addrs.iter().find(|(known, _)| *known == venue);
        assert!(
            found.is_some(),
            "this simulator has no {venue}; it has {:?}",
            self.addrs
        );
        found.map_or_else(|| SocketAddr::from(([0; 4], 0)), |(_, addr)| *addr)
    }

    /// `wss://127.0.0.1:PORT`, to which the venue's paths are appended.
    #[must_use]
    pub fn ws_url(&self, venue: SimVenue) -> String {
        format!("wss://{}", self.addr(venue))
    }

    /// `https://127.0.0.1:PORT`.
    #[must_use]
    pub fn rest_url(&self, venue: SimVenue) -> String {
        format!("https://{}", self.addr(venue))
    }

    /// The certificate authority to trust, as PEM.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The certificate authority to trust, as DER.
    #[must_use]
    pub fn ca_der(&self) -> &[u8] {
        &self.ca_der
    }

    /// What the books really are.
    #[must_use]
    pub fn truth(&self) -> Truth {
        self.truth.clone()
    }

    /// When messages left.
    #[must_use]
    pub fn sent(&self) -> SendLog {
        self.sent.clone()
    }

    /// Counters, summed over all venues.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.counters
            .iter()
            .fold(Stats::default(), |sum, (_, one)| sum.plus(&one.read()))
    }

    /// One venue's counters.
    #[must_use]
    pub fn venue_stats(&self, venue: SimVenue) -> Stats {
        let found = self.counters.iter().find(|(known, _)| *known == venue);
        found
            .map(|(_, counters)| counters.read())
            .unwrap_or_default()
    }

    /// The faults that were injected, and when they acted.
    #[must_use]
    pub fn faults(&self) -> FaultLog {
        self.faults.clone()
    }

    /// A handle to steer it.
    #[must_use]
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Stops the thread and closes every socket. Also done on drop.
    pub fn stop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // Without a wake the thread sleeps to its next deadline; a failure means it is gone.
            let _ = self.control.waker.wake();
            let _ = thread.join();
        }
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        self.stop();
    }
}

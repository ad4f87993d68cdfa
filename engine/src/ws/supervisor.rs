//! Many clients that must not stay dead: started and stopped at run time, restarted within measure, and
//! asked to send by health.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use tickwire_connectors::Nanos;

use super::client::{Client, Clients, Receipt};
use super::config::Config;
use super::error::Error;
use super::shared::{Gate, State};
use crate::clock::Clock;
use crate::registry::lock;

/// How a supervisor restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SupervisorConfig {
    /// So many restarts of one client in `window` are too many: it is left stopped. 10.
    pub restarts_max: u32,
    /// 60 s.
    pub window: Duration,
}

impl Default for SupervisorConfig {
    fn default() -> SupervisorConfig {
        SupervisorConfig {
            restarts_max: 10,
            window: Duration::from_secs(60),
        }
    }
}

/// A supervisor's call could not be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SupervisorError {
    /// Two clients of one name.
    #[error("a client named {0:?} is there already: stop it first, or take another name")]
    NameTwice(String),
    /// No client of this name.
    #[error("no client is named {0:?}")]
    Unknown(String),
    /// The client could not be opened, or the message not be sent.
    #[error(transparent)]
    Client(#[from] Error),
    /// There is no connected client to send by.
    #[error("none of {0} clients is connected")]
    NoneConnected(usize),
    /// The system refused the thread.
    #[error("the supervisor's thread could not start: {0}")]
    Thread(String),
}

/// How often the supervisor looks at its clients where none of them calls.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// What counts against a client is forgotten after this time.
const ERRORS_KEPT: Nanos = Nanos::from_secs(60);

/// Looks after clients: one that has given up is made to reconnect. One that stopped for an error that
/// does not heal by itself, or was closed, is left alone.
#[derive(Debug)]
pub struct Supervisor {
    inner: Arc<Inner>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Inner {
    clients: Clients,
    config: SupervisorConfig,
    clock: Clock,
    seats: Mutex<Vec<Seat>>,
    next: std::sync::atomic::AtomicUsize,
    is_stopping: AtomicBool,
    gate: Gate,
}

#[derive(Debug)]
struct Seat {
    name: String,
    client: Client,
    restarts: VecDeque<Nanos>,
    errors: VecDeque<Nanos>,
    losses: u64,
    timeouts: u64,
}

impl Supervisor {
    /// Looks after clients on this loop; of them, none yet.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn new(clients: &Clients, config: SupervisorConfig) -> Result<Supervisor, SupervisorError> {
        let inner = Arc::new(Inner {
            clients: clients.clone(),
            config,
            clock: Clock::start(),
            seats: Mutex::new(Vec::new()),
            next: std::sync::atomic::AtomicUsize::new(0),
            is_stopping: AtomicBool::new(false),
            gate: Gate::default(),
        });
        let watcher = Arc::clone(&inner);
        let thread = std::thread::Builder::new()
            .name("tickwire-supervisor".to_owned())
            .spawn(move || watcher.run())
            .map_err(|error| SupervisorError::Thread(error.to_string()))?;
        Ok(Supervisor {
            inner,
            thread: Some(thread),
        })
    }

    /// Looks after this fixed list from the start.
    ///
    /// # Errors
    /// As [`new`](Supervisor::new) and [`start`](Supervisor::start); then none of them runs.
    pub fn with_clients(
        clients: &Clients,
        config: SupervisorConfig,
        list: impl IntoIterator<Item = (String, Config)>,
    ) -> Result<Supervisor, SupervisorError> {
        let supervisor = Supervisor::new(clients, config)?;
        for (name, config) in list {
            supervisor.start(name, config)?;
        }
        Ok(supervisor)
    }

    /// Opens a client and looks after it. The client is there at once and connects in its own time.
    ///
    /// # Errors
    /// Where the name is taken or the configuration is wrong.
    pub fn start(
        &self,
        name: impl Into<String>,
        config: impl Into<Config>,
    ) -> Result<Client, SupervisorError> {
        let name = name.into();
        let mut seats = lock(&self.inner.seats);
        if seats.iter().any(|seat| seat.name == name) {
            return Err(SupervisorError::NameTwice(name));
        }
        let client = self.inner.clients.open(config)?;
        seats.push(Seat {
            name,
            client: client.clone(),
            restarts: VecDeque::new(),
            errors: VecDeque::new(),
            losses: 0,
            timeouts: 0,
        });
        Ok(client)
    }

    /// Closes a client and forgets it.
    ///
    /// # Errors
    /// Where there is none of this name.
    pub fn stop(&self, name: &str) -> Result<(), SupervisorError> {
        let mut seats = lock(&self.inner.seats);
        let index = seats.iter().position(|seat| seat.name == name);
        let index = index.ok_or_else(|| SupervisorError::Unknown(name.to_owned()))?;
        seats.remove(index).client.close();
        Ok(())
    }

    /// The client of this name.
    pub fn client(&self, name: &str) -> Option<Client> {
        let seats = lock(&self.inner.seats);
        let seat = seats.iter().find(|seat| seat.name == name)?;
        Some(seat.client.clone())
    }

    /// The names of all, in the order in which they were started.
    pub fn names(&self) -> Vec<String> {
        let seats = lock(&self.inner.seats);
        seats.iter().map(|seat| seat.name.clone()).collect()
    }

    /// How well a client is, from 0 to 100: 0 where it is not connected, else 100 less 10 for each
    /// request that waits (40 at most), 1 for each 25 ms of the 99th percentile of its answers (30 at
    /// most) and 15 for each loss or time-out of the last minute (20 at most).
    pub fn health(&self, name: &str) -> Option<u32> {
        let now = self.inner.clock.now();
        let mut seats = lock(&self.inner.seats);
        let seat = seats.iter_mut().find(|seat| seat.name == name)?;
        Some(seat.health(now))
    }

    /// How often a client was restarted within the window.
    pub fn restarts(&self, name: &str) -> Option<usize> {
        let seats = lock(&self.inner.seats);
        let seat = seats.iter().find(|seat| seat.name == name)?;
        Some(seat.restarts.len())
    }

    /// Sends by the healthiest client; equals take turns. Where it can't be sent, by the next, with
    /// `attempts_max` clients at most. Once a client has taken the message it is never sent again by
    /// another: who waits for the answer decides what a loss means.
    ///
    /// # Errors
    /// The last client's, or that none is connected.
    pub fn send_balanced(
        &self,
        message: &str,
        attempts_max: usize,
    ) -> Result<(String, Receipt), SupervisorError> {
        let now = self.inner.clock.now();
        let turn = self.inner.next.fetch_add(1, Ordering::Relaxed);
        let (mut choice, count) = {
            let mut seats = lock(&self.inner.seats);
            let count = seats.len();
            let mut choice: Vec<(u32, String, Client)> = seats
                .iter_mut()
                .map(|seat| (seat.health(now), seat.name.clone(), seat.client.clone()))
                .filter(|(health, ..)| *health > 0)
                .collect();
            if !choice.is_empty() {
                let first = turn % choice.len();
                choice.rotate_left(first);
            }
            (choice, count)
        };
        // Stable: equals stay in the order of their turns.
        choice.sort_by_key(|(health, ..)| std::cmp::Reverse(*health));
        let mut outcome = Err(SupervisorError::NoneConnected(count));
        for (_, name, client) in choice.into_iter().take(attempts_max.max(1)) {
            match client.send_message(message) {
                Ok(receipt) => return Ok((name, receipt)),
                Err(error) => outcome = Err(error.into()),
            }
        }
        outcome
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.inner.is_stopping.store(true, Ordering::SeqCst);
        self.inner.gate.open();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the supervisor's thread panicked");
        }
        for seat in lock(&self.inner.seats).drain(..) {
            seat.client.close();
        }
    }
}

impl Inner {
    fn run(&self) {
        let stopping = || self.is_stopping.load(Ordering::SeqCst).then_some(());
        while self.gate.wait(Some(LOOK_INTERVAL), stopping).is_none() {
            let now = self.clock.now();
            let window = Nanos(i64::try_from(self.config.window.as_nanos()).unwrap_or(i64::MAX));
            for seat in lock(&self.seats).iter_mut() {
                seat.look(now);
                seat.restart(now, self.config.restarts_max, window);
            }
        }
    }
}

impl Seat {
    /// Notes what counts against it.
    fn look(&mut self, now: Nanos) {
        let metrics = self.client.state_metrics();
        let news = (metrics.losses - self.losses) + (metrics.timeouts - self.timeouts);
        (self.losses, self.timeouts) = (metrics.losses, metrics.timeouts);
        // More than two count no more than two.
        for _ in 0..news.min(2) {
            self.errors.push_back(now);
        }
        forget(&mut self.errors, now, ERRORS_KEPT);
    }

    fn health(&mut self, now: Nanos) -> u32 {
        if self.client.get_state() != State::Connected {
            return 0;
        }
        self.look(now);
        let pending = self.client.state_metrics().pending_requests;
        let p99_ms = self.client.latency_stats().p99.as_millis();
        let errors = self.errors.len() as u64;
        let lost = (10 * pending).min(40)
            + u64::try_from(p99_ms / 25).unwrap_or(30).min(30)
            + (15 * errors).min(20);
        100 - lost as u32
    }

    fn restart(&mut self, now: Nanos, restarts_max: u32, window: Nanos) {
        let Some(Error::GaveUp { .. }) = self.client.end() else {
            return;
        };
        forget(&mut self.restarts, now, window);
        if self.restarts.len() >= restarts_max as usize {
            return;
        }
        self.restarts.push_back(now);
        tracing::warn!(target: "tickwire::ws", name = self.name, "restarted");
        // It fails where the loop has ended, and then there is nobody to restart.
        let _ = self.client.reconnect();
    }
}

fn forget(moments: &mut VecDeque<Nanos>, now: Nanos, kept: Nanos) {
    while moments.front().is_some_and(|at| now - *at >= kept) {
        moments.pop_front();
    }
}

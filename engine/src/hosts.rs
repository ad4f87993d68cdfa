//! What hosts allow, over all links, HTTP pools and venues of the engine: how often to connect, and
//! when to leave them alone.

use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tickwire_connectors::Nanos;
use tickwire_connectors::transmit::{AttemptLimit, Endpoint};

use crate::notice::Hold;
use crate::registry::{Registry, lock};
use crate::telemetry::LoopCounters;
use crate::window::Window;

/// A fifth of a host's budget is kept for links that have not failed lately: a storm of failing ones
/// must not keep a healthy one, once lost, from coming back.
const RESERVE_SHARE: usize = 5;

/// A host as every thread may see it.
#[derive(Debug)]
pub struct HostInfo {
    /// Host and port.
    pub endpoint: String,
    limit: Mutex<Option<AttemptLimit>>,
    attempts: AtomicU64,
    held: AtomicU64,
    in_window_max: AtomicU32,
    quiet_until: AtomicI64,
}

impl HostInfo {
    /// How many connection attempts we allow ourselves; `None` where no venue has stated a limit.
    pub fn limit(&self) -> Option<AttemptLimit> {
        *lock(&self.limit)
    }

    /// Connection attempts so far, of links and HTTP alike.
    pub fn attempts(&self) -> u64 {
        self.attempts.load(Ordering::Relaxed)
    }

    /// How often an attempt had to wait: for the budget, or because the host asked to be left alone.
    pub fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// The most attempts that were ever in one window of the limit; 0 without a limit.
    pub fn in_window_max(&self) -> u32 {
        self.in_window_max.load(Ordering::Relaxed)
    }

    /// Until when the host has asked to be left alone; [`Nanos::ZERO`] where it never did.
    pub fn quiet_until(&self) -> Nanos {
        Nanos(self.quiet_until.load(Ordering::Relaxed))
    }
}

/// A host in [`Hosts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HostId(usize);

/// Who wants to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// Has not failed lately, or only once.
    Fresh,
    /// Has failed before and tries again.
    Again,
}

/// Not now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) until: Nanos,
    pub(crate) why: Hold,
}

/// All hosts of the engine. They are told apart by name and port, as venues count a domain and serve
/// each by one port; a look-up is linear, and an engine knows a dozen.
#[derive(Debug)]
pub(crate) struct Hosts {
    hosts: Vec<Host>,
    registry: Arc<Registry>,
    counters: Arc<LoopCounters>,
}

#[derive(Debug)]
struct Host {
    name: String,
    port: u16,
    budget: Option<Budget>,
    quiet_until: Nanos,
    info: Arc<HostInfo>,
}

#[derive(Debug)]
struct Budget {
    limit: AttemptLimit,
    attempts: Window,
}

impl Hosts {
    pub(crate) fn new(registry: Arc<Registry>, counters: Arc<LoopCounters>) -> Hosts {
        Hosts {
            hosts: Vec::new(),
            registry,
            counters,
        }
    }

    /// The host of an endpoint, and what a venue says about it. Of two limits the stricter holds.
    pub(crate) fn id(&mut self, endpoint: &Endpoint, limit: Option<AttemptLimit>) -> HostId {
        let known = self
            .hosts
            .iter()
            .position(|host| host.port == endpoint.port && host.name == endpoint.host);
        let index = known.unwrap_or_else(|| {
            let info = Arc::new(HostInfo {
                endpoint: format!("{}:{}", endpoint.host, endpoint.port),
                limit: Mutex::new(None),
                attempts: AtomicU64::new(0),
                held: AtomicU64::new(0),
                in_window_max: AtomicU32::new(0),
                quiet_until: AtomicI64::new(0),
            });
            self.registry.add_host(Arc::clone(&info));
            self.hosts.push(Host {
                name: endpoint.host.clone(),
                port: endpoint.port,
                budget: None,
                quiet_until: Nanos::ZERO,
                info,
            });
            self.hosts.len() - 1
        });
        if let Some(limit) = limit {
            self.hosts[index].limit_to(limit);
        }
        HostId(index)
    }

    /// Takes the right to one connection attempt now.
    pub(crate) fn attempt(&mut self, id: HostId, now: Nanos, kind: Attempt) -> Result<(), Held> {
        let host = &mut self.hosts[id.0];
        if now < host.quiet_until {
            return Err(Held {
                until: host.quiet_until,
                why: Hold::AskedToWait,
            });
        }
        if let Some(Budget { limit, attempts }) = &mut host.budget {
            let room = room(*limit, kind);
            if !attempts.take(now, room) {
                return Err(Held {
                    until: attempts.free_at(room),
                    why: Hold::AttemptBudget,
                });
            }
            let in_window = u32::try_from(attempts.count()).unwrap_or(u32::MAX);
            host.info
                .in_window_max
                .fetch_max(in_window, Ordering::Relaxed);
        }
        host.info.attempts.fetch_add(1, Ordering::Relaxed);
        self.counters.attempts.bump();
        Ok(())
    }

    /// Somebody who wanted to connect waits now.
    pub(crate) fn count_held(&mut self, id: HostId) {
        self.hosts[id.0].info.held.fetch_add(1, Ordering::Relaxed);
        self.counters.attempts_held.bump();
    }

    /// The host asks to be left alone until then, by anyone.
    pub(crate) fn leave_alone(&mut self, id: HostId, until: Nanos) {
        let host = &mut self.hosts[id.0];
        host.quiet_until = host.quiet_until.max(until);
        host.info
            .quiet_until
            .store(host.quiet_until.0, Ordering::Relaxed);
    }
}

impl Host {
    fn limit_to(&mut self, limit: AttemptLimit) {
        let rate = |limit: AttemptLimit, other: AttemptLimit| {
            i128::from(limit.attempts) * i128::from(other.window_ns.0)
        };
        let stricter = self
            .budget
            .as_ref()
            .is_none_or(|budget| rate(limit, budget.limit) < rate(budget.limit, limit));
        if stricter {
            let capacity = usize::from(limit.attempts);
            let mut attempts = Window::new(limit.window_ns, capacity);
            if let Some(budget) = &self.budget {
                attempts.take_over(&budget.attempts);
            }
            self.budget = Some(Budget { limit, attempts });
            *lock(&self.info.limit) = Some(limit);
        }
    }
}

fn room(limit: AttemptLimit, kind: Attempt) -> usize {
    let attempts = usize::from(limit.attempts);
    match kind {
        Attempt::Fresh => attempts.max(1),
        Attempt::Again => (attempts - attempts / RESERVE_SHARE).max(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: AttemptLimit = AttemptLimit {
        attempts: 10,
        window_ns: Nanos(1_000),
    };

    fn hosts() -> Hosts {
        Hosts::new(
            Arc::new(Registry::default()),
            Arc::new(LoopCounters::default()),
        )
    }

    fn endpoint(host: &str, port: u16) -> Endpoint {
        Endpoint {
            host: host.to_owned(),
            port,
            tls: true,
        }
    }

    #[test]
    fn a_host_is_one_whoever_connects_and_the_stricter_limit_holds() {
        let mut hosts = hosts();
        let first = hosts.id(&endpoint("a.example", 443), None);
        assert_eq!(first, hosts.id(&endpoint("a.example", 443), Some(LIMIT)));
        assert_ne!(first, hosts.id(&endpoint("a.example", 9443), None));
        assert_ne!(first, hosts.id(&endpoint("b.example", 443), None));
        let (stricter, laxer) = (
            AttemptLimit {
                attempts: 15,
                window_ns: Nanos(2_000),
            },
            AttemptLimit {
                attempts: 11,
                ..LIMIT
            },
        );
        for (stated, holds) in [(laxer, LIMIT), (stricter, stricter), (LIMIT, stricter)] {
            hosts.id(&endpoint("a.example", 443), Some(stated));
            assert_eq!(hosts.registry.hosts()[0].limit(), Some(holds));
        }
    }

    #[test]
    fn no_window_of_any_phase_holds_more_attempts_than_the_limit() {
        for seed in 0..20 {
            let mut hosts = hosts();
            let id = hosts.id(&endpoint("a.example", 443), Some(LIMIT));
            let mut rng = fastrand::Rng::with_seed(seed);
            let (mut made, mut now) = (Vec::new(), Nanos(0));
            for _ in 0..5_000 {
                now += Nanos(rng.i64(0..60));
                let kind = [Attempt::Fresh, Attempt::Again][rng.usize(0..2)];
                match hosts.attempt(id, now, kind) {
                    Ok(()) => made.push(now.0),
                    Err(held) => {
                        assert!(held.until > now && held.why == Hold::AttemptBudget);
                        now = held.until - Nanos(1);
                        assert_eq!(hosts.attempt(id, now, kind), Err(held));
                    }
                }
            }
            assert!(
                made.windows(11)
                    .all(|eleven| eleven[10] - eleven[0] >= 1_000)
            );
            assert_eq!(hosts.counters.attempts.value(), made.len() as u64);
            assert_eq!(hosts.registry.hosts()[0].in_window_max(), 10);
        }
    }

    #[test]
    fn those_that_fail_again_and_again_leave_a_fifth_to_the_others() {
        let mut hosts = hosts();
        let id = hosts.id(&endpoint("a.example", 443), Some(LIMIT));
        let held = Held {
            until: Nanos(1_000),
            why: Hold::AttemptBudget,
        };
        for attempt in 0..8 {
            assert_eq!(
                hosts.attempt(id, Nanos(attempt * 10), Attempt::Again),
                Ok(())
            );
        }
        assert_eq!(hosts.attempt(id, Nanos(80), Attempt::Again), Err(held));
        for _ in 0..2 {
            assert_eq!(hosts.attempt(id, Nanos(80), Attempt::Fresh), Ok(()));
        }
        assert_eq!(hosts.attempt(id, Nanos(80), Attempt::Fresh), Err(held));
    }

    #[test]
    fn a_host_that_asks_for_it_is_left_alone_by_all() {
        let mut hosts = hosts();
        let id = hosts.id(&endpoint("a.example", 443), None);
        hosts.leave_alone(id, Nanos(500));
        hosts.leave_alone(id, Nanos(400));
        let held = Held {
            until: Nanos(500),
            why: Hold::AskedToWait,
        };
        assert_eq!(hosts.attempt(id, Nanos(499), Attempt::Fresh), Err(held));
        assert_eq!(hosts.attempt(id, Nanos(500), Attempt::Again), Ok(()));
        assert_eq!(hosts.registry.hosts()[0].quiet_until(), Nanos(500));
    }
}

//! One budget for what a venue is asked: snapshots, probes, instrument data, and streams asked for
//! anew. (Connections have theirs in the engine, a host, since all venues' links meet there.)
//!
//! Every peer's users tell the same story: a network hiccup breaks all books at once, each asks for
//! its snapshot, the venue bans the address, and now nothing comes back. So every request has to be
//! admitted here; what the venue says of its own count, of refusals and of bans is told here; and
//! while the venue bans us nobody asks for anything.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering::Relaxed};

use crate::time::Nanos;
use crate::wide::VenueNews;

/// So much of something in each window of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The most.
    pub max: u32,
    /// Length of a window. Windows are aligned to the epoch, as the venues' are.
    pub span_ns: Nanos,
}

/// What of a venue's limits we use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Request weight.
    pub weight: Window,
    /// Streams asked for anew because they broke.
    pub renewals: Window,
    /// The pause after a refusal that names none.
    pub ban_ns: Nanos,
    /// The longest pause that we take a venue's word for.
    pub ban_max_ns: Nanos,
}

/// First pause after a failed request; it doubles with each further one in a row.
const FAILURE_PAUSE_MIN_NS: Nanos = Nanos::from_millis(250);

/// A ban that is prolonged by less is no news: all that was under way when it began is refused, each
/// a moment later.
const PROLONGED_MIN_NS: Nanos = Nanos::from_secs(2);

/// Longest pause after failed requests: a venue in maintenance is found back within this.
const FAILURE_PAUSE_MAX_NS: Nanos = Nanos::from_secs(30);

#[derive(Debug, Default)]
struct Meter {
    window: AtomicI64,
    used: AtomicU32,
}

impl Meter {
    /// What was used in the window of `now`.
    fn used(&self, now: Nanos, window: Window) -> u32 {
        let number = now.0.div_euclid(window.span_ns.0.max(1));
        if self.window.swap(number, Relaxed) != number {
            self.used.store(0, Relaxed);
        }
        self.used.load(Relaxed)
    }

    /// Takes `amount`, or says when the next window begins. More than the whole budget still goes,
    /// alone in its window.
    fn take(&self, now: Nanos, window: Window, amount: u32) -> Result<(), Nanos> {
        let used = self.used(now, window);
        if used > 0 && used.saturating_add(amount) > window.max {
            let next = now.0.div_euclid(window.span_ns.0.max(1)).saturating_add(1);
            return Err(Nanos(next.saturating_mul(window.span_ns.0.max(1))));
        }
        self.used.store(used.saturating_add(amount), Relaxed);
        Ok(())
    }
}

/// What a venue's limit is counted on: shared by the connectors that it counts as one. They run on
/// one thread, so that the atomics are but a way to share, and the same inputs give the same outputs.
#[derive(Debug)]
struct Budget {
    rules: Rules,
    weight: Meter,
    renewals: Meter,
    banned_until: AtomicI64,
    ban_status: AtomicU32,
    /// After failures of a venue that has not refused us.
    paused_until: AtomicI64,
    failures: AtomicU32,
}

/// A connector's hold on its venue's budget. A clone shares the budget.
#[derive(Debug)]
pub struct Governor {
    budget: Arc<Budget>,
    /// The end of the ban that was told, where one was.
    told: Option<Nanos>,
}

impl Clone for Governor {
    fn clone(&self) -> Governor {
        Governor {
            budget: Arc::clone(&self.budget),
            told: None,
        }
    }
}

/// Whether they share a budget.
impl PartialEq for Governor {
    fn eq(&self, other: &Governor) -> bool {
        Arc::ptr_eq(&self.budget, &other.budget)
    }
}

impl Eq for Governor {}

impl Governor {
    /// A budget that nothing was taken of.
    pub fn new(rules: Rules) -> Governor {
        Governor {
            budget: Arc::new(Budget {
                rules,
                weight: Meter::default(),
                renewals: Meter::default(),
                banned_until: AtomicI64::new(0),
                ban_status: AtomicU32::new(0),
                paused_until: AtomicI64::new(0),
                failures: AtomicU32::new(0),
            }),
            told: None,
        }
    }

    /// Counts a request in, or says when to ask again.
    pub fn admit_request(&self, now: Nanos, weight: u32) -> Result<(), Nanos> {
        self.admit_within(now, weight, self.budget.rules.weight)
    }

    fn admit_within(&self, now: Nanos, weight: u32, window: Window) -> Result<(), Nanos> {
        let budget = &*self.budget;
        let closed_until = budget.banned_until.load(Relaxed);
        let closed_until = closed_until.max(budget.paused_until.load(Relaxed));
        if now.0 < closed_until {
            return Err(Nanos(closed_until));
        }
        budget.weight.take(now, window, weight)
    }

    /// Counts in a request that may wait, a probe for one: it leaves half of each window to those that
    /// may not.
    pub fn admit_idle_request(&self, now: Nanos, weight: u32) -> Result<(), Nanos> {
        let Window { max, span_ns } = self.budget.rules.weight;
        let half = Window {
            max: max / 2,
            span_ns,
        };
        self.admit_within(now, weight, half)
    }

    /// Counts in that a broken stream is asked for anew on its link, or says when to ask again.
    pub fn admit_renewal(&self, now: Nanos) -> Result<(), Nanos> {
        let budget = &*self.budget;
        budget.renewals.take(now, budget.rules.renewals, 1)
    }

    /// The venue tells how much weight it has counted in its present window: never less than ours.
    pub fn note_used(&self, now: Nanos, used: u32) {
        let budget = &*self.budget;
        let ours = budget.weight.used(now, budget.rules.weight);
        budget.weight.used.store(ours.max(used), Relaxed);
    }

    /// A request was answered as it should be.
    pub fn note_success(&self) {
        self.budget.failures.store(0, Relaxed);
    }

    /// A request failed on the venue's side or on the way: all wait a little, ever longer. What was
    /// under way when the pause began fails with it, and counts once.
    pub fn note_failure(&self, now: Nanos) {
        let budget = &*self.budget;
        if now.0 < budget.paused_until.load(Relaxed) {
            return;
        }
        let failures = budget.failures.load(Relaxed);
        budget.failures.store(failures.saturating_add(1), Relaxed);
        let pause = FAILURE_PAUSE_MIN_NS.0 << failures.min(16);
        let until = now + Nanos(pause.min(FAILURE_PAUSE_MAX_NS.0));
        budget.paused_until.fetch_max(until.0, Relaxed);
    }

    /// The venue refused us by `status` (429, 418, 403), for `pause_ns` where it said so. Gives when
    /// it may be asked again.
    pub fn note_ban(&self, now: Nanos, status: u16, pause_ns: Option<Nanos>) -> Nanos {
        let Rules {
            ban_ns, ban_max_ns, ..
        } = self.budget.rules;
        let pause = pause_ns.map_or(ban_ns, |pause| pause.clamp(Nanos::ZERO, ban_max_ns));
        let budget = &*self.budget;
        budget.banned_until.fetch_max((now + pause).0, Relaxed);
        budget.ban_status.store(u32::from(status), Relaxed);
        self.banned_until()
    }

    /// When the last ban ends or ended; [`Nanos::ZERO`] where there was none.
    pub fn banned_until(&self) -> Nanos {
        Nanos(self.budget.banned_until.load(Relaxed))
    }

    /// What has to be told of bans by now: that one began, that it was prolonged, that it is over.
    /// Call it after each answer and at [`deadline`](Governor::deadline).
    pub fn poll_news(&mut self, now: Nanos) -> Option<VenueNews> {
        let until = self.banned_until();
        match self.told {
            Some(told) if now >= until && now >= told => {
                self.told = None;
                Some(VenueNews::BanLifted)
            }
            told if now < until && told != Some(until) => {
                self.told = Some(until);
                if told.is_some_and(|told| until - told < PROLONGED_MIN_NS) {
                    return None;
                }
                let status = self.budget.ban_status.load(Relaxed);
                Some(VenueNews::Banned {
                    until_ns: until,
                    status: u16::try_from(status).unwrap_or(0),
                })
            }
            _ => None,
        }
    }

    /// When [`poll_news`](Governor::poll_news) has something to say; [`Nanos::MAX`] for never.
    pub fn deadline(&self) -> Nanos {
        self.told.unwrap_or(Nanos::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules {
        weight: Window {
            max: 100,
            span_ns: Nanos(1_000),
        },
        renewals: Window {
            max: 3,
            span_ns: Nanos(100),
        },
        ban_ns: Nanos::from_secs(5),
        ban_max_ns: Nanos::from_secs(50),
    };

    #[test]
    fn requests_stay_within_the_window_and_the_venues_own_count() {
        let governor = Governor::new(RULES);
        let now = Nanos(10_500);
        assert_eq!(governor.admit_request(now, 60), Ok(()));
        assert_eq!(governor.admit_request(now, 60), Err(Nanos(11_000)));
        assert_eq!(governor.admit_request(now, 40), Ok(()));
        assert_eq!(governor.admit_request(Nanos(11_000), 10), Ok(()));
        governor.note_used(Nanos(11_001), 95);
        governor.note_used(Nanos(11_001), 20);
        assert_eq!(
            governor.admit_request(Nanos(11_002), 10),
            Err(Nanos(12_000))
        );
        assert_eq!(
            governor.admit_request(Nanos(12_000), 1_000),
            Ok(()),
            "more than the budget goes alone"
        );
        assert_eq!(governor.admit_request(Nanos(12_001), 1), Err(Nanos(13_000)));
    }

    #[test]
    fn what_may_wait_leaves_half_a_window_to_what_may_not() {
        let governor = Governor::new(RULES);
        let now = Nanos(10_500);
        for _ in 0..2 {
            assert_eq!(governor.admit_idle_request(now, 25), Ok(()));
        }
        assert_eq!(governor.admit_idle_request(now, 1), Err(Nanos(11_000)));
        assert_eq!(governor.admit_request(now, 50), Ok(()));
    }

    #[test]
    fn renewals_have_a_window_of_their_own() {
        let governor = Governor::new(RULES);
        for _ in 0..3 {
            assert_eq!(governor.admit_renewal(Nanos(150)), Ok(()));
        }
        assert_eq!(governor.admit_renewal(Nanos(199)), Err(Nanos(200)));
        assert_eq!(governor.admit_renewal(Nanos(200)), Ok(()));
    }

    #[test]
    fn a_ban_stops_all_who_share_the_budget_and_is_told_to_each_once() {
        let mut governor = Governor::new(RULES);
        let mut other = governor.clone();
        assert_eq!(governor.poll_news(Nanos(0)), None);
        let until = governor.note_ban(Nanos(100), 418, Some(Nanos(700)));
        assert_eq!(until, Nanos(800));
        for governor in [&mut governor, &mut other] {
            assert_eq!(governor.admit_request(Nanos(799), 1), Err(until));
            let banned = VenueNews::Banned {
                until_ns: until,
                status: 418,
            };
            assert_eq!(governor.poll_news(Nanos(100)), Some(banned));
            assert_eq!(governor.poll_news(Nanos(101)), None);
            assert_eq!(governor.deadline(), until);
        }
        // Prolonged by a moment: no news. By more: told again, and its end only once.
        governor.note_ban(Nanos(400), 418, Some(Nanos(700)));
        assert_eq!(other.poll_news(Nanos(400)), None);
        assert_eq!(other.deadline(), Nanos(1_100));
        let end = governor.note_ban(Nanos(500), 429, None);
        assert_eq!(end, Nanos(500) + RULES.ban_ns);
        let told = other.poll_news(Nanos(500));
        assert!(matches!(told, Some(VenueNews::Banned { until_ns, .. }) if until_ns == end));
        assert_eq!(other.poll_news(Nanos(end.0 - 1)), None);
        assert_eq!(other.poll_news(end), Some(VenueNews::BanLifted));
        assert_eq!(other.poll_news(end + end), None);
    }

    #[test]
    fn a_pause_is_believed_up_to_the_longest() {
        let governor = Governor::new(RULES);
        let long = Some(Nanos(i64::MAX));
        assert_eq!(governor.note_ban(Nanos(0), 418, long), RULES.ban_max_ns);
    }

    #[test]
    fn failures_slow_everyone_down_until_a_success() {
        let governor = Governor::new(RULES);
        let mut now = Nanos::ZERO;
        let mut pauses = Vec::new();
        for _ in 0..9 {
            governor.note_failure(now);
            governor.note_failure(now);
            let until = governor.admit_request(now, 0).expect_err("a pause");
            pauses.push((until - now).as_millis());
            now = until;
        }
        assert_eq!(
            pauses,
            [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]
        );
        governor.note_success();
        governor.note_failure(now);
        assert_eq!(
            governor.admit_request(now, 0),
            Err(now + Nanos::from_millis(250))
        );
    }
}

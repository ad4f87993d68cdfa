//! From what the strategy saw to a verdict. It knows the table's row and the log, nothing of how
//! either came to be.

use std::time::Duration;

use tickwire::connectors::VenueNews;
use tickwire::{Channel, Nanos, Reason, StreamId, StreamState};

use super::log::{Log, Seen, StreamLog};
use super::rows::{Expect, Reach};
use super::witness::has_truth;

/// What the fault was to each stream: drawn up when it is injected.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) expect: Expect,
    /// The symbol that it was aimed at.
    pub(super) symbol: &'static str,
    /// The streams that stand on the link of that symbol's book.
    pub(super) on_link: Vec<StreamId>,
    /// When it first acted, ns on the simulator's clock.
    pub(super) acted_ns: i64,
    /// When it was over.
    pub(super) over_ns: i64,
    /// How many bans, and ends of one, are told.
    pub(super) bans: (usize, usize),
    /// Live again no sooner than this after the fault.
    pub(super) earliest: Duration,
}

/// How a fault concerns a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// It must be told.
    Hit,
    /// It may be told.
    Free,
    /// It must notice nothing.
    Other,
}

/// Prices that must agree with the truth before a stream counts as recovered, or as unmoved.
const AGREEING_MIN: usize = 3;

/// What a cell shows where all is well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// From the fault to the first Stale or Resync of the last stream to be told.
    pub told: Option<Duration>,
    /// From the fault to the last Live.
    pub live: Option<Duration>,
}

impl Case {
    fn part(&self, id: StreamId, stream: &StreamLog) -> Part {
        let (reach, part) = match self.expect {
            Expect::Told(reach) => (reach, Part::Hit),
            Expect::MayTell(reach) => (reach, Part::Free),
            Expect::Unmoved | Expect::Handover => return Part::Other,
        };
        let (channel, mine) = (stream.key.channel, *stream.key.symbol == *self.symbol);
        let is_book = matches!(channel, Channel::Book(_));
        let hit = match reach {
            Reach::Book => mine && is_book,
            Reach::Symbol if mine && !has_truth(&stream.key) => return Part::Free,
            Reach::Symbol => mine,
            Reach::Link => self.on_link.contains(&id),
            Reach::Books => has_truth(&stream.key),
            Reach::Venue => true,
        };
        if hit { part } else { Part::Other }
    }

    fn is_to_be_handed_over(&self, id: StreamId) -> bool {
        self.expect == Expect::Handover && self.on_link.contains(&id)
    }

    /// What is still to come, or `None` where the log shows all that is wanted.
    pub(super) fn waits_for(&self, log: &Log) -> Option<String> {
        log.streams.iter().find_map(|(id, stream)| {
            let name = name(stream);
            let part = self.part(*id, stream);
            if part == Part::Hit && stream.changes().all(|(_, state, _)| is_good(state)) {
                return Some(format!("{name} was never told"));
            }
            if self.is_to_be_handed_over(*id) && !stream.is_handed_over() {
                return Some(format!("{name} was never handed over"));
            }
            if part != Part::Other && !stream.is_live() {
                return Some(format!("{name} is {} for ever", stream.state().as_str()));
            }
            if !has_truth(&stream.key) {
                return None;
            }
            let agreeing = match part {
                Part::Hit => stream.agreeing_now(),
                _ => stream.agreeing_after(self.over_ns),
            };
            (agreeing < AGREEING_MIN).then(|| format!("{name} shows no true price any more"))
        })
    }

    /// What is wrong, in words.
    pub(super) fn problems(&self, log: &Log) -> Vec<String> {
        let mut problems = Vec::new();
        if log.lost > 0 {
            problems.push(format!("the strategy's ring lost {} events", log.lost));
        }
        let is_ban = |news: &&VenueNews| matches!(news, VenueNews::Banned { .. });
        let bans = log.news.iter().filter(is_ban).count();
        let ends = log.news.len() - bans;
        if (bans, ends) != self.bans {
            problems.push(format!("told of {bans} bans and {ends} ends of one"));
        }
        let live = self.times(log).live;
        if let Some(live) = live.filter(|live| *live < self.earliest) {
            let (live, earliest) = (live.as_secs_f64(), self.earliest);
            problems.push(format!(
                "Live again after {live:.3} s, too soon: {earliest:?}"
            ));
        }
        for (id, stream) in &log.streams {
            let name = name(stream);
            let mut add = |text: String| problems.push(format!("{name}: {text}"));
            stream.lies.iter().for_each(|lie| add(lie.clone()));
            match self.part(*id, stream) {
                Part::Hit => {
                    let told = |seen: &&Seen| matches!(seen, Seen::State { state, .. } if !is_good(*state));
                    let before = stream.since().iter().take_while(|seen| !told(seen));
                    let late = before.filter_map(|seen| match seen {
                        Seen::Price { sent_ns, .. } if *sent_ns > self.acted_ns => Some(*sent_ns),
                        _ => None,
                    });
                    if let Some(sent_ns) = late.min() {
                        let after = Duration::from_nanos((sent_ns - self.acted_ns) as u64);
                        add(format!(
                            "a price sent {after:.1?} after the fault, and nothing told"
                        ));
                    }
                }
                Part::Free => {}
                Part::Other => {
                    let handover = self.expect == Expect::Handover;
                    let mut changes = stream.changes();
                    let change = changes.find(|(_, state, reason)| match reason {
                        Reason::Quiet | Reason::Heard => !is_good(*state),
                        Reason::HandedOver => !is_good(*state) || !handover,
                        _ => true,
                    });
                    if let Some((_, state, reason)) = change {
                        let (state, reason) = (state.as_str(), reason.as_str());
                        add(format!("{state} ({reason}), which it has no reason to be"));
                    } else if stream.has_moved() && !handover {
                        add("its epoch changed".to_owned());
                    }
                }
            }
        }
        problems
    }

    /// How long it took.
    pub(super) fn times(&self, log: &Log) -> Times {
        let mut times = Times::default();
        for (id, stream) in &log.streams {
            if self.part(*id, stream) != Part::Hit {
                continue;
            }
            let told = stream.changes().find(|(_, state, _)| !is_good(*state));
            let live = stream.changes().rfind(|(_, state, _)| is_good(*state));
            times.told = times.told.max(told.map(|(at, ..)| self.after(at)));
            times.live = times.live.max(live.map(|(at, ..)| self.after(at)));
        }
        times
    }

    /// The two clocks agree to microseconds: both started from the machine's, moments apart.
    fn after(&self, at: Nanos) -> Duration {
        Duration::from_nanos(u64::try_from(at.0 - self.acted_ns).unwrap_or(0))
    }
}

const fn is_good(state: StreamState) -> bool {
    matches!(state, StreamState::Live)
}

fn name(stream: &StreamLog) -> String {
    format!("{} {}", stream.key.symbol, stream.key.channel)
}

#[cfg(test)]
mod tests;

//! Whether a stream that says nothing is quiet or dead: what its venue promises, as data, and the
//! machine that watches over it.
//!
//! A link's pings and pongs say nothing of a stream: venues have kept links alive for hours that no
//! longer carried data. So each stream is watched by its own messages. One that is silent for longer
//! than its channel is expected to be is *probed*: the venue is asked, on another way, whether it has
//! news that did not come. Only what the probe says makes the stream Mute, and only then something
//! is torn down, the smallest thing first.
//!
//! ```text
//!          silence              the venue has news            asked for anew, silence
//!   Live ───────────► Quiet ──────────────────────► Mute ───────────────────────────► Dead
//!    ▲                  │ the venue has none:         │ a message                       │
//!    │                  │ probe again, less often     │                                 │ link made anew
//!    └──────────────────┴────────── a message ────────┴─────────────────────────────────┘
//! ```

use crate::time::Nanos;

/// What a venue promises of the streams of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// A healthy stream is rarely silent for longer. [`Nanos::MAX`] where nothing can be expected.
    pub quiet_ns: Nanos,
    /// What a silence of that length means.
    pub silence: Silence,
    /// What the venue was found to have may still be under way to us for so long.
    pub grace_ns: Nanos,
    /// A stream that was asked for anew must show life within this time; else its link is dead.
    pub renewal_ns: Nanos,
}

/// What a silence means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// The market may be quiet: ask the venue.
    Probe,
    /// The venue sends, changed or not: silence is proof.
    Mute,
}

impl Expectation {
    /// Nothing is expected: never probed.
    pub const NONE: Expectation = Expectation {
        quiet_ns: Nanos::MAX,
        silence: Silence::Probe,
        grace_ns: Nanos::ZERO,
        renewal_ns: Nanos::MAX,
    };

    /// A stream that may be silent when its market is: probed after `quiet_ns`.
    pub const fn probed(quiet_ns: Nanos) -> Expectation {
        Expectation {
            quiet_ns,
            silence: Silence::Probe,
            grace_ns: GRACE_NS,
            renewal_ns: RENEWAL_NS,
        }
    }

    /// A stream whose venue repeats itself: mute after `quiet_ns`.
    pub const fn repeated(quiet_ns: Nanos) -> Expectation {
        Expectation {
            quiet_ns,
            silence: Silence::Mute,
            grace_ns: Nanos::ZERO,
            renewal_ns: RENEWAL_NS,
        }
    }
}

/// Above the round trips and push intervals of every venue: the slowest book is pushed once a second.
const GRACE_NS: Nanos = Nanos::from_secs(3);

/// A venue acks and sends within a second; resubscribing may wait for its turn behind others.
const RENEWAL_NS: Nanos = Nanos::from_secs(15);

/// The wait between two probes of a stream that stays quiet grows to this: a market may be closed
/// for a weekend.
const PROBE_INTERVAL_MAX_NS: Nanos = Nanos::from_secs(600);

/// How alive a stream is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Liveness {
    /// It is heard as often as expected.
    #[default]
    Live = 0,
    /// It is silent and being probed; as far as is known, the venue has nothing to say.
    Quiet = 1,
    /// The venue has news that did not come; the stream is asked for anew.
    Mute = 2,
    /// That did not help: its link is made anew.
    Dead = 3,
}

impl Liveness {
    /// The word used in JSON output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Liveness::Live => "live",
            Liveness::Quiet => "quiet",
            Liveness::Mute => "mute",
            Liveness::Dead => "dead",
        }
    }
}

/// What a probe found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// The venue has nothing that we have not.
    Same,
    /// The venue has more than we have.
    Ahead,
    /// It could not be had: nothing is known.
    Failed,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Action {
    /// Nothing.
    None,
    /// Ask the venue what it has; the answer goes to [`Watch::handle_probe`]. The stream is now Quiet
    /// (or still Mute, where it was asked for anew and nothing came).
    Probe,
    /// The stream is Mute: say that it is stale, and ask for it anew, it alone.
    Renew,
    /// The stream is Dead: make its link anew.
    Reconnect,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Not subscribed: nothing is expected.
    Off,
    /// Heard within the expected time.
    Listening,
    /// Silent; a probe is under way or comes when the deadline does.
    Quiet { probing: bool },
    /// The venue has more; it may be on its way.
    Grace,
    /// Asked for anew.
    Renewing,
    /// Asked for anew and silent all the same: is there anything that it should have sent?
    Proving { probing: bool },
    /// Given up, with its link.
    Dead,
}

/// Watches one stream.
#[derive(Clone, Debug)]
pub struct Watch {
    expectation: Expectation,
    stage: Stage,
    heard_at: Nanos,
    deadline: Nanos,
    /// Probes in a row that found nothing.
    probes: u32,
    /// It was asked for anew, and has not been heard since.
    renewed: bool,
}

impl Watch {
    /// Watches nothing yet.
    pub const fn new(expectation: Expectation) -> Watch {
        Watch {
            expectation,
            stage: Stage::Off,
            heard_at: Nanos::ZERO,
            deadline: Nanos::MAX,
            probes: 0,
            renewed: false,
        }
    }

    /// The venue has acked the stream: from now on messages are expected.
    pub fn start(&mut self, now: Nanos) {
        if self.stage == Stage::Off {
            self.stage = Stage::Listening;
            self.heard_at = now;
            self.deadline = now + self.expectation.quiet_ns;
        }
    }

    /// The stream is not subscribed any more, or its link is gone.
    pub const fn stop(&mut self) {
        self.stage = Stage::Off;
        self.deadline = Nanos::MAX;
        self.probes = 0;
        self.renewed = false;
    }

    /// A message of the stream came. True where it was thought quiet or worse until now.
    #[inline]
    pub fn hear(&mut self, now: Nanos) -> bool {
        self.heard_at = now;
        if self.stage == Stage::Listening {
            // The deadline is moved on when it comes: not here, once a message.
            return false;
        }
        self.wake(now)
    }

    #[cold]
    fn wake(&mut self, now: Nanos) -> bool {
        // Data may come before the ack.
        let was_watched = self.stage != Stage::Off;
        self.stage = Stage::Listening;
        self.probes = 0;
        self.renewed = false;
        self.deadline = now + self.expectation.quiet_ns;
        was_watched
    }

    /// When the last message came.
    pub const fn heard_at(&self) -> Nanos {
        self.heard_at
    }

    /// How alive the stream is.
    pub const fn liveness(&self) -> Liveness {
        match self.stage {
            Stage::Off | Stage::Listening => Liveness::Live,
            Stage::Quiet { .. } | Stage::Grace => Liveness::Quiet,
            Stage::Renewing | Stage::Proving { .. } => Liveness::Mute,
            Stage::Dead => Liveness::Dead,
        }
    }

    /// Whether it waits for a probe's answer.
    pub const fn is_probing(&self) -> bool {
        matches!(
            self.stage,
            Stage::Quiet { probing: true } | Stage::Proving { probing: true }
        )
    }

    /// When [`handle_timeout`](Watch::handle_timeout) is next to be called; may be too early.
    #[inline]
    pub const fn deadline(&self) -> Nanos {
        self.deadline
    }

    /// Looks at the time.
    pub fn handle_timeout(&mut self, now: Nanos) -> Action {
        if self.deadline > now {
            return Action::None;
        }
        match self.stage {
            Stage::Listening => {
                let quiet_at = self.heard_at + self.expectation.quiet_ns;
                if quiet_at > now {
                    self.deadline = quiet_at;
                    return Action::None;
                }
                match self.expectation.silence {
                    Silence::Probe => self.probe(),
                    Silence::Mute => self.renew(now),
                }
            }
            Stage::Quiet { probing: false } => self.probe(),
            // A market may be slow: that asking anew was in vain can show at a later probe.
            Stage::Grace if self.renewed => self.give_up(),
            Stage::Grace => self.renew(now),
            // What it missed does not come again, and there may have been nothing since.
            Stage::Renewing if self.expectation.silence == Silence::Probe => {
                self.stage = Stage::Proving { probing: true };
                self.deadline = Nanos::MAX;
                Action::Probe
            }
            Stage::Renewing | Stage::Proving { probing: false } => self.give_up(),
            Stage::Off
            | Stage::Quiet { probing: true }
            | Stage::Proving { probing: true }
            | Stage::Dead => {
                self.deadline = Nanos::MAX;
                Action::None
            }
        }
    }

    /// Another stream has told what this one should have: the venue is asked at once.
    pub fn handle_suspicion(&mut self) -> Action {
        match self.stage {
            Stage::Listening | Stage::Quiet { probing: false } => self.probe(),
            _ => Action::None,
        }
    }

    /// Another stream has told what this one should have, for long, and this one was silent: no probe
    /// is needed to know that it is mute.
    pub fn handle_proof(&mut self, now: Nanos) -> Action {
        match self.stage {
            Stage::Listening | Stage::Quiet { .. } | Stage::Grace => self.renew(now),
            Stage::Off | Stage::Renewing | Stage::Proving { .. } | Stage::Dead => Action::None,
        }
    }

    fn probe(&mut self) -> Action {
        self.stage = Stage::Quiet { probing: true };
        // The answer, or that there is none, sets the next one.
        self.deadline = Nanos::MAX;
        Action::Probe
    }

    fn give_up(&mut self) -> Action {
        self.stage = Stage::Dead;
        self.deadline = Nanos::MAX;
        Action::Reconnect
    }

    fn renew(&mut self, now: Nanos) -> Action {
        self.stage = Stage::Renewing;
        (self.renewed, self.probes) = (true, 0);
        self.deadline = now + self.expectation.renewal_ns;
        Action::Renew
    }

    /// The probe's answer. Of no effect where the stream has been heard since.
    ///
    /// `Ahead` is to be said of what came after the last message *and* after the last probe: what a
    /// stream has missed before it was asked for anew will never come.
    pub fn handle_probe(&mut self, now: Nanos, found: Probe) {
        match (self.stage, found) {
            (Stage::Quiet { probing: true }, _) => {}
            (Stage::Proving { probing: true }, Probe::Ahead) => {
                self.stage = Stage::Proving { probing: false };
                self.deadline = now + self.expectation.grace_ns;
                return;
            }
            (Stage::Proving { probing: true }, Probe::Same | Probe::Failed) => {}
            _ => return,
        }
        if found == Probe::Ahead {
            self.stage = Stage::Grace;
            self.deadline = now + self.expectation.grace_ns;
            return;
        }
        self.stage = Stage::Quiet { probing: false };
        let quiet_ns = self.expectation.quiet_ns.0;
        let wait = if found == Probe::Failed {
            // It says nothing of the stream: the question stays as it was.
            quiet_ns
        } else {
            let doubled = quiet_ns.checked_shl(self.probes.min(32));
            self.probes = self.probes.saturating_add(1);
            doubled.filter(|wait| *wait > 0).unwrap_or(i64::MAX)
        };
        self.deadline = now + Nanos(wait.min(PROBE_INTERVAL_MAX_NS.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPECTATION: Expectation = Expectation {
        quiet_ns: Nanos(100),
        silence: Silence::Probe,
        grace_ns: Nanos(10),
        renewal_ns: Nanos(50),
    };

    fn quiet() -> Watch {
        let mut watch = Watch::new(EXPECTATION);
        watch.start(Nanos(0));
        assert_eq!(watch.handle_timeout(watch.deadline()), Action::Probe);
        watch
    }

    #[test]
    fn a_stream_that_is_heard_is_never_probed() {
        let mut watch = Watch::new(EXPECTATION);
        watch.start(Nanos(0));
        for now in (0..10_000).step_by(99) {
            assert_eq!(watch.handle_timeout(Nanos(now)), Action::None, "{now}");
            assert!(!watch.hear(Nanos(now)));
        }
    }

    #[test]
    fn silence_is_probed_ever_more_rarely_while_the_venue_has_nothing() {
        let mut watch = quiet();
        let mut now = watch.heard_at() + Nanos(100);
        let mut waits = Vec::new();
        for _ in 0..5 {
            assert_eq!(watch.liveness(), Liveness::Quiet);
            watch.handle_probe(now, Probe::Same);
            waits.push((watch.deadline() - now).0);
            now = watch.deadline();
            assert_eq!(watch.handle_timeout(now), Action::Probe);
        }
        assert_eq!(waits, [100, 200, 400, 800, 1_600]);
        watch.handle_probe(now, Probe::Failed);
        assert_eq!(
            watch.deadline() - now,
            Nanos(100),
            "an unanswered question stays"
        );
        now = watch.deadline();
        assert_eq!(watch.handle_timeout(now), Action::Probe);
        watch.handle_probe(now, Probe::Same);
        assert_eq!(watch.deadline() - now, Nanos(3_200), "from where it was");
        now = watch.deadline();
        assert_eq!(watch.handle_timeout(now), Action::Probe);
        for _ in 0..100 {
            watch.handle_probe(now, Probe::Failed);
            assert!(watch.deadline() - now <= PROBE_INTERVAL_MAX_NS);
            now = watch.deadline();
            assert_eq!(watch.handle_timeout(now), Action::Probe);
        }
        assert!(watch.hear(now), "the first message after the silence");
        assert_eq!(watch.liveness(), Liveness::Live);
    }

    #[test]
    fn news_that_did_not_come_lead_from_the_stream_to_its_link() {
        let mut watch = quiet();
        watch.handle_probe(Nanos(105), Probe::Ahead);
        assert_eq!(watch.handle_timeout(Nanos(114)), Action::None, "under way?");
        assert_eq!(watch.handle_timeout(Nanos(115)), Action::Renew);
        assert_eq!(watch.liveness(), Liveness::Mute);
        assert_eq!(watch.handle_timeout(Nanos(164)), Action::None);
        // Silent all the same: has it anything to say?
        assert_eq!(watch.handle_timeout(Nanos(165)), Action::Probe);
        assert_eq!(watch.liveness(), Liveness::Mute);
        watch.handle_probe(Nanos(170), Probe::Ahead);
        assert_eq!(watch.handle_timeout(Nanos(179)), Action::None);
        assert_eq!(watch.handle_timeout(Nanos(180)), Action::Reconnect);
        assert_eq!(watch.liveness(), Liveness::Dead);
        assert_eq!(watch.deadline(), Nanos::MAX, "the link's end will stop it");
    }

    #[test]
    fn what_another_stream_tells_needs_no_silence() {
        let mut watch = Watch::new(EXPECTATION);
        assert_eq!(watch.handle_suspicion(), Action::None, "not subscribed");
        assert_eq!(watch.handle_proof(Nanos(0)), Action::None);
        watch.start(Nanos(0));
        assert_eq!(watch.handle_suspicion(), Action::Probe);
        assert_eq!(watch.handle_suspicion(), Action::None, "one is under way");
        assert_eq!(watch.handle_proof(Nanos(5)), Action::Renew);
        assert_eq!(watch.handle_proof(Nanos(6)), Action::None);
        assert_eq!(watch.deadline(), Nanos(55));
    }

    #[test]
    fn a_message_ends_each_stage_and_a_late_answer_changes_nothing() {
        let mut watch = quiet();
        watch.handle_probe(Nanos(105), Probe::Ahead);
        assert!(watch.hear(Nanos(110)));
        assert_eq!(watch.handle_timeout(Nanos(115)), Action::None);
        watch.handle_probe(Nanos(120), Probe::Ahead);
        assert_eq!(watch.liveness(), Liveness::Live);
    }

    #[test]
    fn where_the_venue_repeats_itself_silence_is_proof() {
        let silence = Silence::Mute;
        let mut watch = Watch::new(Expectation {
            silence,
            ..EXPECTATION
        });
        watch.start(Nanos(0));
        assert_eq!(watch.handle_timeout(Nanos(100)), Action::Renew);
        assert_eq!(watch.handle_timeout(Nanos(150)), Action::Reconnect);
        watch.stop();
        assert_eq!(watch.handle_timeout(Nanos(10_000)), Action::None);
    }

    #[test]
    fn a_stream_that_was_asked_for_anew_and_has_nothing_to_say_is_quiet_again() {
        let mut watch = quiet();
        watch.handle_probe(Nanos(105), Probe::Ahead);
        assert_eq!(watch.handle_timeout(Nanos(115)), Action::Renew);
        assert_eq!(watch.handle_timeout(Nanos(165)), Action::Probe);
        watch.handle_probe(Nanos(170), Probe::Same);
        assert_eq!(watch.liveness(), Liveness::Quiet);
        assert_eq!(watch.handle_timeout(Nanos(270)), Action::Probe);
        // Of a slow market the next probe tells: asking anew was in vain.
        watch.handle_probe(Nanos(275), Probe::Ahead);
        assert_eq!(watch.handle_timeout(Nanos(285)), Action::Reconnect);
    }

    #[test]
    fn a_stream_that_was_heard_after_it_was_asked_for_anew_begins_from_the_start() {
        let mut watch = quiet();
        watch.handle_probe(Nanos(105), Probe::Ahead);
        assert_eq!(watch.handle_timeout(Nanos(115)), Action::Renew);
        assert!(watch.hear(Nanos(120)));
        assert_eq!(watch.handle_timeout(Nanos(220)), Action::Probe);
        watch.handle_probe(Nanos(225), Probe::Ahead);
        assert_eq!(watch.handle_timeout(Nanos(235)), Action::Renew);
    }

    #[test]
    fn nothing_is_expected_of_a_stream_without_expectation() {
        let mut watch = Watch::new(Expectation::NONE);
        watch.start(Nanos(5));
        assert_eq!(watch.deadline(), Nanos::MAX);
    }
}

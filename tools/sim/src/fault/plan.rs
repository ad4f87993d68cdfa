//! Faults by chance: each kind at each venue is a Poisson process of its own, drawn from the seed,
//! so that neither the other kinds nor the moments of polling move it.

use super::{BadCertificate, Fault, FaultKind, FaultScript, Layer, Links, Target};
use crate::spec::{SECOND_NS, SimVenue};

/// Mean number of faults of each kind, a minute and venue.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FaultRates(Vec<(FaultKind, f64)>);

impl FaultRates {
    /// No faults.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Every kind at this rate.
    #[must_use]
    pub fn all_per_minute(rate: f64) -> Self {
        let kinds = FaultKind::ALL.iter();
        kinds.fold(Self::none(), |rates, kind| rates.per_minute(*kind, rate))
    }

    /// Sets one kind's rate.
    #[must_use]
    pub fn per_minute(mut self, kind: FaultKind, rate: f64) -> Self {
        self.0.retain(|(known, _)| *known != kind);
        if rate > 0.0 {
            self.0.push((kind, rate));
        }
        self
    }
}

#[derive(Clone, Debug)]
struct Source {
    venue: SimVenue,
    kind: FaultKind,
    mean_ns: f64,
    rng: fastrand::Rng,
    next_ns: i64,
}

impl Source {
    fn advance(&mut self) {
        // Inverse transform; the smallest step keeps time moving.
        let gap = -(1.0 - self.rng.f64()).ln() * self.mean_ns;
        self.next_ns = self.next_ns.saturating_add((gap as i64).max(1));
    }
}

/// Faults drawn over time. The same seed, rates and venues give the same faults at the same times.
#[derive(Clone, Debug)]
pub struct FaultPlan {
    seed: u64,
    rates: FaultRates,
    /// Empty until it is started.
    sources: Vec<Source>,
}

impl FaultPlan {
    /// A plan that draws faults at these rates.
    #[must_use]
    pub const fn random(seed: u64, rates: FaultRates) -> Self {
        Self {
            seed,
            rates,
            sources: Vec::new(),
        }
    }

    /// Lets it begin at this time.
    pub(crate) fn start(&mut self, venues: &[SimVenue], now: i64) {
        self.sources.clear();
        for venue in venues {
            for (kind, per_minute) in &self.rates.0 {
                // One stream of chance a venue and kind, whatever else is in the plan.
                let salt = (*venue as u64) << 32 | *kind as u64;
                let seed = fastrand::Rng::with_seed(self.seed ^ salt.rotate_left(17)).u64(..);
                let mut source = Source {
                    venue: *venue,
                    kind: *kind,
                    mean_ns: 60.0 * SECOND_NS as f64 / per_minute,
                    rng: fastrand::Rng::with_seed(seed),
                    next_ns: now,
                };
                source.advance();
                self.sources.push(source);
            }
        }
    }

    /// Everything that it would inject within a span, as a script: what a run that can be shortened
    /// needs. `venues` with their symbols.
    #[must_use]
    pub fn into_script(mut self, venues: &[(SimVenue, Vec<String>)], span_ns: i64) -> FaultScript {
        let names: Vec<SimVenue> = venues.iter().map(|(venue, _)| *venue).collect();
        let symbols = |venue| {
            let found = venues.iter().find(|(name, _)| *name == venue);
            found.map_or_else(Vec::new, |(_, symbols)| symbols.clone())
        };
        self.start(&names, 0);
        let mut script = FaultScript::default();
        while let Some(at_ns) = self.next_ns().filter(|at_ns| *at_ns < span_ns) {
            if let Some((venue, fault)) = self.pop_due(at_ns, symbols) {
                script = script.at(at_ns, venue, fault);
            }
        }
        script
    }

    /// When the next fault comes.
    pub(crate) fn next_ns(&self) -> Option<i64> {
        self.sources.iter().map(|source| source.next_ns).min()
    }

    /// The next fault, if it is due. `symbols` names a venue's instruments.
    pub(crate) fn pop_due(
        &mut self,
        now: i64,
        symbols: impl Fn(SimVenue) -> Vec<String>,
    ) -> Option<(SimVenue, Fault)> {
        let sources = self.sources.iter_mut();
        let source = sources.min_by_key(|s| (s.next_ns, s.venue, s.kind))?;
        if source.next_ns > now {
            return None;
        }
        let fault = draw(source.kind, &mut source.rng, &symbols(source.venue));
        source.advance();
        Some((source.venue, fault))
    }
}

fn draw(kind: FaultKind, rng: &mut fastrand::Rng, symbols: &[String]) -> Fault {
    const MS: i64 = 1_000_000;
    let symbol = rng.choice(symbols).cloned();
    let target = symbol.clone().map_or(Target::Any, Target::Symbol);
    let links = match rng.u8(0..3) {
        0 => Links::All,
        1 => Links::Oldest,
        _ => Links::Newest,
    };
    let layer = if rng.bool() {
        Layer::Frames
    } else {
        Layer::Wire
    };
    let (reset, span_ns) = (rng.bool(), rng.i64(200..5_000) * MS);
    let times = rng.u32(1..4);
    match kind {
        FaultKind::Drop => Fault::Drop { links },
        FaultKind::Stall => Fault::Stall {
            target: if rng.u8(0..4) == 0 {
                Target::Any
            } else {
                target
            },
            for_ns: span_ns,
        },
        FaultKind::HalfOpen => Fault::HalfOpen { links },
        FaultKind::Gap => Fault::Gap { target },
        FaultKind::Miss => Fault::Miss { target },
        FaultKind::Duplicate => Fault::Duplicate { target },
        FaultKind::Reorder => Fault::Reorder { target },
        FaultKind::Trickle => Fault::Trickle {
            links,
            bytes: rng.usize(1..64),
            every_ns: rng.i64(1..50) * MS,
            for_ns: span_ns,
            layer,
        },
        FaultKind::CutMidFrame => Fault::CutMidFrame {
            links,
            keep_bytes: rng.bool().then(|| rng.usize(1..8)),
            reset,
            layer,
        },
        FaultKind::RefuseUpgrade => Fault::RefuseUpgrade {
            status: [401, 403, 429, 503][rng.usize(..4)],
            retry_after_s: reset.then_some(1),
            times,
        },
        FaultKind::Certificate => Fault::Certificate {
            fault: [
                BadCertificate::WrongName,
                BadCertificate::UnknownAuthority,
                BadCertificate::Expired,
            ][rng.usize(..3)],
            for_ns: span_ns,
        },
        FaultKind::OldSnapshot => Fault::OldSnapshot { symbol, times },
        FaultKind::RestStatus => Fault::RestStatus {
            status: [429, 418, 503][rng.usize(..3)],
            retry_after_s: Some(rng.u32(1..4)),
            times,
        },
        FaultKind::Corrupt => Fault::Corrupt {
            target,
            utf8: rng.u8(0..4) == 0,
        },
        FaultKind::Oversized => Fault::Oversized {
            target,
            bytes: (1 << 20) << rng.u8(0..5),
        },
        FaultKind::HugeHeader => Fault::HugeHeader { links },
        FaultKind::Crossed => Fault::Crossed { target },
        FaultKind::ClockSkew => Fault::ClockSkew {
            by_ns: rng.i64(-60_000..60_000) * MS,
            for_ns: span_ns,
        },
        FaultKind::Restart => Fault::Restart,
        FaultKind::ServiceReset => Fault::ServiceReset,
        FaultKind::Kill => Fault::Kill {
            down_ns: span_ns,
            reset,
        },
        FaultKind::AckLost => Fault::AckLost { times },
        FaultKind::FillFirst => Fault::FillFirst {
            by_ns: span_ns / 20,
            times,
        },
        FaultKind::DuplicateFill => Fault::DuplicateFill { times },
        FaultKind::CancelRace => Fault::CancelRace { times },
        FaultKind::AcceptedError => Fault::AcceptedError {
            status: [500, 502, 503, 504][rng.usize(..4)],
            times,
        },
        FaultKind::SlowAck => Fault::SlowAck {
            for_ns: span_ns,
            times,
        },
        FaultKind::CutPrivate => Fault::CutPrivate,
        FaultKind::Mute => Fault::Mute { links },
        FaultKind::DeafTest => Fault::DeafTest {
            links,
            for_ns: span_ns,
        },
        FaultKind::NoCredits => Fault::NoCredits { times },
        FaultKind::PingRefused => Fault::PingRefused { links },
        FaultKind::ServerShutdown => Fault::ServerShutdown {
            links,
            for_ns: span_ns,
        },
    }
}

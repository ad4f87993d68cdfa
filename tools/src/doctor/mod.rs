//! `tickwire doctor`: what stands between this machine and a steady microsecond.
//!
//! Each check is a function of a [`Host`] and the core that is meant for the loop, and has no other eyes: a
//! test writes a machine into a folder. `docs/host-tuning.md` explains each of them.

mod checks;
mod host;
mod noise;
#[cfg(test)]
mod tests;
mod text;

use serde_json::{Value, json};

pub use host::{Cores, Host, Limit};
pub use noise::{Noise, NoiseError, measure};
pub use text::human;

/// What a check comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As a latency engineer would have it.
    Good,
    /// Costs something, seldom or little.
    Fair,
    /// Costs much, or often.
    Bad,
    /// It can't be seen from here.
    Unknown,
}

impl Verdict {
    /// In a word, for people and for programs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Verdict::Good => "good",
            Verdict::Fair => "could be better",
            Verdict::Bad => "bad",
            Verdict::Unknown => "unknown",
        }
    }
}

/// What one check has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Its name: a heading of docs/host-tuning.md.
    pub name: &'static str,
    /// What is there.
    pub found: String,
    /// What to think of it.
    pub verdict: Verdict,
    /// What to do about it; for [`Verdict::Unknown`] how to find out.
    pub advice: Option<Advice>,
}

/// What to change, and what for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// A command or a kernel parameter.
    pub change: String,
    /// What it brings: orders of magnitude, not promises.
    pub brings: String,
}

impl Check {
    fn good(name: &'static str, found: impl Into<String>) -> Check {
        Check {
            name,
            found: found.into(),
            verdict: Verdict::Good,
            advice: None,
        }
    }

    fn unknown(name: &'static str, found: impl Into<String>) -> Check {
        Check {
            verdict: Verdict::Unknown,
            ..Check::good(name, found)
        }
    }

    fn fair(name: &'static str, found: impl Into<String>) -> Check {
        Check {
            verdict: Verdict::Fair,
            ..Check::good(name, found)
        }
    }

    fn bad(name: &'static str, found: impl Into<String>) -> Check {
        Check {
            verdict: Verdict::Bad,
            ..Check::good(name, found)
        }
    }

    fn change(self, change: impl Into<String>, brings: impl Into<String>) -> Check {
        let advice = Advice {
            change: change.into(),
            brings: brings.into(),
        };
        Check {
            advice: Some(advice),
            ..self
        }
    }
}

/// All checks of a machine for a loop on `core`.
pub fn examine(host: &Host, core: usize) -> Vec<Check> {
    checks::all(host, core)
}

/// The core to look at where none was named: the last isolated one that may be used, or else `last`.
pub fn choose_core(
    host: &Host,
    last: Option<usize>,
    may_use: impl Fn(usize) -> bool,
) -> Option<usize> {
    let isolated = host.isolated().unwrap_or_default();
    isolated
        .into_iter()
        .rev()
        .find(|core| may_use(*core))
        .or(last)
}

/// Everything in one object.
pub fn to_json(machine: &str, core: usize, checks: &[Check], noise: Option<&Noise>) -> Value {
    let checks: Vec<Value> = checks
        .iter()
        .map(|check| {
            let advice = check.advice.as_ref();
            json!({
                "name": check.name,
                "found": check.found,
                "verdict": check.verdict.as_str(),
                "change": advice.map(|it| it.change.as_str()),
                "brings": advice.map(|it| it.brings.as_str()),
            })
        })
        .collect();
    json!({
        "machine": machine, "core": core, "checks": checks, "noise": noise.map(Noise::to_json),
    })
}

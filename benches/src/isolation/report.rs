//! What was measured, side by side.

use std::fmt;
use std::fs;
use std::process::Command;
use std::thread;

use serde_json::{Value, json};
use tickwire::telemetry::Histogram;

use super::Options;

/// One phase of a run.
#[derive(Clone, Debug)]
pub struct Phase {
    /// What it is called.
    pub name: &'static str,
    /// How long turns with work took, in nanoseconds.
    pub turns: Histogram<u64>,
    /// From the venue's write (its schedule, where it was late) to the strategy, in nanoseconds.
    pub wire: Histogram<u64>,
    /// Messages that the simulator no longer knew when they were joined.
    pub unknown: u64,
    /// Messages that the simulator sent late, counted from their schedule.
    pub late: u64,
}

/// A number that belongs to the run as a whole.
#[derive(Clone, Copy, Debug)]
pub struct Fact {
    what: &'static str,
    value: u64,
}

impl Fact {
    pub(super) const fn of(what: &'static str, value: u64) -> Fact {
        Fact { what, value }
    }
}

/// A run.
#[derive(Clone, Debug)]
pub struct Report {
    scenario: &'static str,
    seconds: f64,
    seed: u64,
    phases: Vec<Phase>,
    facts: Vec<Fact>,
    machine: String,
    commit: String,
}

/// One of a phase's histograms.
type Times = fn(&Phase) -> &Histogram<u64>;

const QUANTILES: [(&str, f64); 6] = [
    ("p50", 0.5),
    ("p90", 0.9),
    ("p99", 0.99),
    ("p99.9", 0.999),
    ("p99.99", 0.9999),
    ("max", 1.0),
];

impl Report {
    pub(super) fn new(
        scenario: &'static str,
        options: &Options,
        phases: Vec<Phase>,
        facts: Vec<Fact>,
    ) -> Report {
        Report {
            scenario,
            seconds: options.phase.as_secs_f64(),
            seed: options.seed,
            phases,
            facts,
            machine: machine(),
            commit: commit(),
        }
    }

    /// As one JSON object.
    pub fn to_json(&self) -> Value {
        let figures = |times: &Histogram<u64>| -> Value {
            let mut figures = serde_json::Map::new();
            figures.insert("count".to_owned(), json!(times.len()));
            for (name, quantile) in QUANTILES {
                let value = times.value_at_quantile(quantile);
                figures.insert(format!("{name}_ns"), json!(value));
            }
            Value::Object(figures)
        };
        let phases = self.phases.iter().map(|phase| {
            json!({
                "phase": phase.name,
                "turn": figures(&phase.turns),
                "wire_to_strategy": figures(&phase.wire),
                "unknown": phase.unknown,
                "late": phase.late,
            })
        });
        let facts = self.facts.iter();
        let facts: serde_json::Map<String, Value> = facts
            .map(|fact| (fact.what.to_owned(), json!(fact.value)))
            .collect();
        json!({
            "scenario": self.scenario,
            "seconds_a_phase": self.seconds,
            "seed": self.seed,
            "machine": self.machine,
            "commit": self.commit,
            "phases": phases.collect::<Vec<_>>(),
            "facts": facts,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report {
            scenario,
            seconds,
            seed,
            machine,
            commit,
            ..
        } = self;
        writeln!(
            f,
            "{scenario}: {seconds} s a phase, seed {seed}, commit {commit}\n{machine}\n"
        )?;
        let times: [Times; 2] = [|phase| &phase.turns, |phase| &phase.wire];
        for (title, times) in ["a turn of the loop", "wire to strategy"]
            .into_iter()
            .zip(times)
        {
            write!(f, "{title:<20}")?;
            for phase in &self.phases {
                write!(f, "{:>14}", phase.name)?;
            }
            writeln!(f)?;
            write!(f, "  {:<18}", "count")?;
            for phase in &self.phases {
                write!(f, "{:>14}", times(phase).len())?;
            }
            writeln!(f)?;
            for (name, quantile) in QUANTILES {
                write!(f, "  {name:<18}")?;
                for phase in &self.phases {
                    let micros = times(phase).value_at_quantile(quantile) as f64 / 1e3;
                    write!(f, "{:>14}", format!("{micros:.1} µs"))?;
                }
                writeln!(f)?;
            }
            writeln!(f)?;
        }
        for phase in &self.phases {
            let Phase {
                name,
                late,
                unknown,
                ..
            } = phase;
            writeln!(
                f,
                "{name}: {late} messages sent late, counted from their schedule; {unknown} not joined"
            )?;
        }
        for Fact { what, value } in &self.facts {
            writeln!(f, "{what}: {value}")?;
        }
        Ok(())
    }
}

/// Cores, processor, system and load: a figure means nothing without them.
pub(crate) fn machine() -> String {
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let info = read("/proc/cpuinfo");
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown processor", |rest| {
            rest.trim_start_matches(['\t', ' ', ':'])
        });
    let kernel = read("/proc/sys/kernel/osrelease");
    let load = read("/proc/loadavg");
    let load: Vec<&str> = load.split(' ').take(3).collect();
    format!(
        "{cores} cores, {model}, Linux {}, load {}",
        kernel.trim(),
        load.join(" ")
    )
}

pub(crate) fn commit() -> String {
    let asked = Command::new("git")
        .args(["describe", "--always", "--dirty"])
        .output();
    match asked {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        }
        _ => "unknown".to_owned(),
    }
}

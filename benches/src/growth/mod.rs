//! What a message costs as more is asked for: more sockets on one loop, more instruments in one
//! connector, more levels in a book, more messages in one run. The slope of a line through the logarithms
//! of both says how it grows: 0 not at all, 1 in proportion.
//!
//! Times are the thread's CPU time, the least of several rounds: what others take of the core is not in
//! them, what they do to its caches is.

mod instruments;
mod levels;
mod sockets;

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use crate::isolation::{commit, machine};

pub use crate::isolation::Failure;
pub use instruments::read_within;

/// How much of it.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The longest run, in messages.
    pub messages_max: u64,
    /// Rounds of which the least counts.
    pub rounds: usize,
    /// Messages of a round.
    pub messages: usize,
    /// Most instruments.
    pub instruments_max: usize,
}

/// What one thing costs, as another grows.
#[derive(Clone, Debug)]
pub struct Curve {
    /// What grows.
    pub of: &'static str,
    /// What is paid for.
    pub unit: &'static str,
    /// How much there was, and nanoseconds each.
    pub points: Vec<(u64, f64)>,
}

/// Every curve of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// In the order in which they were measured.
    pub curves: Vec<Curve>,
    machine: String,
    commit: String,
}

/// Measures every curve in one sitting.
///
/// # Errors
/// What could not be set up.
pub fn run(options: &Options) -> Result<Report, Failure> {
    let mut curves = vec![levels::curve(options), instruments::curve(options)?];
    curves.push(instruments::long_run(options)?);
    curves.extend(sockets::curves(options)?);
    Ok(Report {
        curves,
        machine: machine(),
        commit: commit(),
    })
}

/// The thread's own time so far.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

/// The least of several rounds, in nanoseconds for each of `count`.
fn least(rounds: usize, count: usize, mut round: impl FnMut() -> Duration) -> f64 {
    let least = (0..rounds.max(1)).map(|_| round()).min();
    least.unwrap_or_default().as_nanos() as f64 / count.max(1) as f64
}

impl Curve {
    /// The slope of the line through the logarithms that fits best; 0 for fewer than two points.
    pub fn slope(&self) -> f64 {
        let logs = self.points.iter().map(|(x, y)| ((*x as f64).ln(), y.ln()));
        let count = self.points.len() as f64;
        let (sum_x, sum_y) = logs
            .clone()
            .fold((0.0, 0.0), |(left, right), (x, y)| (left + x, right + y));
        let (mean_x, mean_y) = (sum_x / count, sum_y / count);
        let (above, below) = logs.fold((0.0, 0.0), |(above, below), (x, y)| {
            let x = x - mean_x;
            (above + x * (y - mean_y), below + x * x)
        });
        if below > 0.0 { above / below } else { 0.0 }
    }

    fn json(&self) -> Value {
        let points: Vec<Value> = self
            .points
            .iter()
            .map(|(x, y)| json!({"at": x, "ns": y}))
            .collect();
        json!({"of": self.of, "unit": self.unit, "slope": self.slope(), "points": points})
    }
}

impl Report {
    /// As one JSON object.
    pub fn to_json(&self) -> Value {
        json!({
            "bench": "growth",
            "machine": self.machine,
            "commit": self.commit,
            "curves": self.curves.iter().map(Curve::json).collect::<Vec<_>>(),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "commit {}\n{}\n", self.commit, self.machine)?;
        for curve in &self.curves {
            writeln!(
                f,
                "{} (ns {}), slope {:+.3}",
                curve.of,
                curve.unit,
                curve.slope()
            )?;
            let first = curve.points.first().map_or(f64::NAN, |(_, ns)| *ns);
            for (at, ns) in &curve.points {
                writeln!(f, "{at:>12} {ns:>10.1}   x{:.2}", ns / first)?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slope_is_the_power_by_which_it_grows() {
        let curve = |power: f64| Curve {
            of: "x",
            unit: "each",
            points: (0..5)
                .map(|at| 10u64.pow(at))
                .map(|x| (x, 7.0 * (x as f64).powf(power)))
                .collect(),
        };
        for power in [0.0, 0.5, 1.0, 2.0] {
            assert!((curve(power).slope() - power).abs() < 1e-9, "{power}");
        }
    }
}

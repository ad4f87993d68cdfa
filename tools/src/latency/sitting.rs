//! A sitting: rounds in each of which every variant has its turn with every message, and what they come to.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::FLOOR_TLS;
use super::round::{Ask, Histogram, Round};
use super::shape::Shape;
use super::spread::Spread;
use crate::report::{crowd, machine, skyline, table};

type Run = Box<dyn Fn(&Shape, Ask) -> Result<Round, String>>;

/// Somebody who receives.
#[expect(missing_debug_implementations, reason = "it is a closure")]
pub struct Variant {
    /// As tables say it.
    pub name: &'static str,
    is_ours: bool,
    run: Run,
}

impl Variant {
    /// Somebody, by what runs a round of it.
    pub fn new(
        name: &'static str,
        run: impl Fn(&Shape, Ask) -> Result<Round, String> + 'static,
    ) -> Variant {
        Variant {
            name,
            is_ours: false,
            run: Box::new(run),
        }
    }

    /// Ours: its allocations are counted, and must be none.
    pub(super) fn ours(self) -> Variant {
        Variant {
            is_ours: true,
            ..self
        }
    }
}

/// All rounds of a variant with a message.
#[derive(Debug)]
pub struct Row {
    /// The variant.
    pub variant: &'static str,
    /// The message.
    pub message: &'static str,
    /// All latencies, in nanoseconds; none where each round failed.
    pub latency: Option<Histogram>,
    /// Why a round failed, or was not as it must be.
    pub error: Option<String>,
    is_ours: bool,
    p50_ns: Vec<u64>,
    bursts: Vec<f64>,
    allocations: (u64, u64),
}

/// A message with the rows of all variants.
#[derive(Debug)]
struct Group {
    message: &'static str,
    bytes: usize,
    rows: Vec<Row>,
}

/// What a sitting has shown.
#[derive(Debug)]
pub struct Sitting {
    ask: Ask,
    spread: Spread,
    rounds: usize,
    machine: String,
    crowd: Option<String>,
    groups: Vec<Group>,
}

/// Sits: `rounds` times each message by each variant in turn, so that what the machine does besides meets all
/// alike. `told` hears what comes next.
pub fn sit(
    variants: &[Variant],
    shapes: &[Shape],
    ask: Ask,
    rounds: usize,
    mut told: impl FnMut(usize, &Shape, &Variant),
) -> Sitting {
    let (machine, crowd) = (machine(), crowd());
    let mut groups: Vec<Group> = shapes
        .iter()
        .map(|shape| Group {
            message: shape.name,
            bytes: shape.frame().bytes.len(),
            rows: variants.iter().map(|it| Row::new(it, shape)).collect(),
        })
        .collect();
    for round in 0..rounds {
        for (shape, group) in shapes.iter().zip(&mut groups) {
            for (variant, row) in variants.iter().zip(&mut group.rows) {
                told(round, shape, variant);
                row.add((variant.run)(shape, ask));
            }
        }
    }
    Sitting {
        ask,
        spread: shapes.first().map_or(Spread::ONE, |shape| shape.spread),
        rounds,
        machine,
        crowd,
        groups,
    }
}

fn median<T: PartialOrd + Copy>(values: &[T]) -> Option<T> {
    let mut sorted = values.to_vec();
    sorted.sort_by(|left, right| left.partial_cmp(right).unwrap_or(std::cmp::Ordering::Equal));
    sorted.get(sorted.len() / 2).copied()
}

fn us(ns: u64) -> f64 {
    ns as f64 / 1e3
}

impl Row {
    const fn new(variant: &Variant, shape: &Shape) -> Row {
        Row {
            variant: variant.name,
            message: shape.name,
            latency: None,
            error: None,
            is_ours: variant.is_ours,
            p50_ns: Vec::new(),
            bursts: Vec::new(),
            allocations: (0, 0),
        }
    }

    fn add(&mut self, round: Result<Round, String>) {
        let round = match round {
            Ok(round) => round,
            Err(error) => {
                self.error = Some(error);
                return;
            }
        };
        if round.latency.len() != round.sent {
            self.error = Some(format!("{} of {} arrived", round.latency.len(), round.sent));
        }
        if self.is_ours && round.allocations.0 > 0 {
            self.error = Some(format!("{} allocations of ours", round.allocations.0));
        }
        self.p50_ns.push(round.latency.value_at_quantile(0.5));
        self.bursts.push(round.burst_msgs_s);
        self.allocations.0 += round.allocations.0;
        self.allocations.1 += round.allocations.1;
        match &mut self.latency {
            // Of the same bounds.
            Some(all) => drop(all.add(&round.latency)),
            None => self.latency = Some(round.latency),
        }
    }

    /// The median of the rounds' medians, in nanoseconds.
    fn p50_ns(&self) -> Option<u64> {
        median(&self.p50_ns)
    }

    fn line(&self, floor_ns: Option<u64>) -> Option<Vec<String>> {
        let (p50_ns, all) = (self.p50_ns()?, self.latency.as_ref()?);
        let over = us(p50_ns) - floor_ns.map_or(f64::NAN, us);
        let at = |quantile| us(all.value_at_quantile(quantile));
        let mut line = vec![
            self.variant.to_owned(),
            format!("{:.2}", us(p50_ns)),
            format!("{over:+.2}"),
        ];
        let tail = [at(0.99), at(0.999), at(0.9999), us(all.max())];
        line.extend(tail.map(|value| format!("{value:.1}")));
        let burst = median(&self.bursts).filter(|burst| *burst > 0.0);
        line.push(burst.map_or("-".to_owned(), |burst| format!("{:.2} M", burst / 1e6)));
        Some(line)
    }

    fn to_json(&self, floor_ns: Option<u64>) -> Option<Value> {
        let (p50_ns, all) = (self.p50_ns()?, self.latency.as_ref()?);
        let at = |quantile| us(all.value_at_quantile(quantile));
        Some(json!({
            "variant": self.variant, "message": self.message, "messages": all.len(),
            "p50_us": us(p50_ns), "p99_us": at(0.99), "p999_us": at(0.999), "p9999_us": at(0.9999),
            "max_us": us(all.max()),
            "over_floor_tls_us": floor_ns.map(|floor_ns| us(p50_ns) - us(floor_ns)),
            "burst_msgs_s": median(&self.bursts).unwrap_or(0.0),
            "allocations_ours": self.allocations.0, "allocations_tls": self.allocations.1,
        }))
    }
}

impl Group {
    fn floor_ns(&self) -> Option<u64> {
        let floor = self.rows.iter().find(|row| row.variant == FLOOR_TLS);
        floor.and_then(Row::p50_ns)
    }
}

impl Sitting {
    /// All rows.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.groups.iter().flat_map(|group| &group.rows)
    }

    /// The messages, each with its rows.
    pub(super) fn messages(&self) -> impl Iterator<Item = (&'static str, &[Row])> {
        let groups = self.groups.iter();
        groups.map(|group| (group.message, group.rows.as_slice()))
    }

    /// What was measured, where and how: a line for people.
    pub fn head(&self) -> String {
        let spread = match self.spread {
            Spread::ONE => String::new(),
            spread => format!(
                " of {} instruments on {} sockets",
                spread.instruments(),
                spread.sockets()
            ),
        };
        format!(
            "{}; {} messages a second{spread}, {} rounds of {} ms",
            self.machine,
            self.ask.rate,
            self.rounds,
            self.ask.length.as_millis()
        )
    }

    /// Why it counts for nothing; empty where all is well.
    pub fn failures(&self) -> Vec<String> {
        let failed = self.rows().filter_map(|row| {
            let error = row.error.as_ref()?;
            Some(format!("{}, {}: {error}", row.variant, row.message))
        });
        failed.collect()
    }

    /// Tables and skylines.
    pub fn text(&self) -> String {
        let mut text = format!(
            "{}\nµs from the scheduled send to the pop; p50 and burst: median of the rounds; the rest: all \
             together\n",
            self.head()
        );
        if let Some(crowd) = &self.crowd {
            let _ = writeln!(text, "{crowd}");
        }
        for group in &self.groups {
            let name = format!("{} ({} B)", group.message, group.bytes);
            let head = [
                "p50",
                "over floor-tls",
                "p99",
                "p99.9",
                "p99.99",
                "max",
                "burst msg/s",
            ];
            let head = std::iter::once(name).chain(head.map(str::to_owned));
            let mut lines = vec![head.collect()];
            let floor_ns = group.floor_ns();
            lines.extend(group.rows.iter().filter_map(|row| row.line(floor_ns)));
            let _ = write!(text, "\n{}", table(&lines));
            let drawn: Vec<(&str, &Histogram)> = group
                .rows
                .iter()
                .filter_map(|row| Some((row.variant, row.latency.as_ref()?)))
                .collect();
            text.push_str(&skyline(&drawn));
            for row in group.rows.iter().filter(|row| row.is_ours) {
                let (ours, tls) = row.allocations;
                let messages = row.latency.as_ref().map_or(0, Histogram::len);
                let _ = writeln!(
                    text,
                    "{}: {ours} allocations of ours, {tls} of TLS, in {messages} messages",
                    row.variant
                );
            }
        }
        text
    }

    /// Everything in one object.
    pub fn to_json(&self) -> Value {
        let rows = self.groups.iter().flat_map(|group| {
            let floor_ns = group.floor_ns();
            group
                .rows
                .iter()
                .filter_map(move |row| row.to_json(floor_ns))
        });
        json!({
            "machine": self.machine, "rate": self.ask.rate, "burst": self.ask.burst,
            "rounds": self.rounds, "round_ms": self.ask.length.as_millis() as u64,
            "sockets": self.spread.sockets(), "instruments": self.spread.instruments(),
            "rows": rows.collect::<Vec<Value>>(),
        })
    }
}

//! `tickwire world`

use std::io::{self, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use serde_json::json;

use super::Failure;
use crate::stopwatch::Stopwatch;
use crate::world::{self, Choice, Figures, Rules, Shrunk, WorldError};

/// Run the engine, its connectors and the venue simulator in one thread and virtual time, with faults
/// by seed, against a naive model of what a strategy must see. A failing seed is made smaller, and
/// told with the command that runs it again.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How many seeds
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// This one alone
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// Keep only these items of the seed's plan
    #[arg(long, value_name = "PLACES", value_delimiter = ',', requires = "seed")]
    keep: Option<Vec<usize>>,
    /// Let the part with faults end so early
    #[arg(long, value_name = "MS", requires = "seed")]
    until_ms: Option<i64>,
    /// Leave to chance, too, how links and books are looked after: pairs of links, ages, silences
    #[arg(long)]
    vary_upkeep: bool,
    /// Worlds at a time; one a core without it
    #[arg(long)]
    jobs: Option<usize>,
    /// Go on behind a failing seed, and tell all of them in a line each
    #[arg(long)]
    go_on: bool,
    /// Tell a failing seed as it is
    #[arg(long)]
    no_shrink: bool,
    /// Print the plan
    #[arg(long, requires = "seed")]
    plan: bool,
    /// Print what happened beside prices
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let started = Stopwatch::start();
    let rules = Rules {
        trace: args.trace,
        vary_upkeep: args.vary_upkeep,
        ..Rules::default()
    };
    let (figures, failed) = match args.seed {
        Some(seed) => {
            let choice = Choice {
                seed,
                keep: args.keep.clone(),
                until_ns: args.until_ms.map(|ms| ms.saturating_mul(1_000_000)),
            };
            run_one(args, &choice, rules)?
        }
        None => run_many(args, rules)?,
    };
    let wall_s = started.elapsed().as_secs_f64();
    let mut out = io::stdout().lock();
    if let Some(failed) = &failed {
        print_failure(&mut out, args, failed, rules)?;
    }
    print_figures(&mut out, args, &figures, wall_s)?;
    match failed {
        Some(choice) => Err(Failure::Failed(
            format!("seed {} fails the model", choice.seed).into(),
        )),
        None => Ok(()),
    }
}

fn run_one(
    args: &Args,
    choice: &Choice,
    rules: Rules,
) -> Result<(Figures, Option<Choice>), Failure> {
    let outcome = world::run(choice, rules)?;
    if args.plan {
        let mut out = io::stdout().lock();
        for (place, item) in outcome.items.iter().enumerate() {
            writeln!(out, "{place:>4}  {item}")?;
        }
    }
    for line in &outcome.trace {
        writeln!(io::stdout(), "{line}")?;
    }
    let failed = outcome.complaint.is_some().then(|| choice.clone());
    Ok((outcome.figures, failed))
}

/// Runs the seeds on some threads; the lowest that fails is the one that is told.
fn run_many(args: &Args, rules: Rules) -> Result<(Figures, Option<Choice>), Failure> {
    let next = AtomicU64::new(args.from);
    let end = args.from.saturating_add(args.seeds);
    let stop = AtomicBool::new(false);
    let sum: Mutex<(Figures, Option<u64>)> = Mutex::default();
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let work = || -> Result<(), WorldError> {
        let mut figures = Figures::default();
        let mut failed: Option<u64> = None;
        while !stop.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                break;
            }
            let outcome = world::run(&Choice::of(seed), rules)?;
            figures.add(&outcome.figures);
            if let Some(complaint) = outcome.complaint {
                if args.go_on {
                    // Whoever has closed the pipe has seen enough; the exit code still says it.
                    let _ = writeln!(io::stdout(), "seed {seed} fails {complaint}");
                }
                stop.fetch_or(!args.go_on, Ordering::Relaxed);
                failed = Some(failed.map_or(seed, |known| known.min(seed)));
            }
        }
        let mut sum = sum
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        sum.0.add(&figures);
        sum.1 = [sum.1, failed].into_iter().flatten().min();
        Ok(())
    };
    thread::scope(|scope| {
        let jobs = args.jobs.unwrap_or(cores).max(1);
        let threads: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .map(|thread| match thread.join() {
                Ok(outcome) => outcome.map_err(Failure::from),
                Err(_) => Err(Failure::Failed("a world panicked".into())),
            })
            .collect::<Result<Vec<()>, Failure>>()
    })?;
    let (figures, failed) = sum
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    Ok((figures, failed.map(Choice::of)))
}

fn print_failure(
    out: &mut dyn Write,
    args: &Args,
    failed: &Choice,
    rules: Rules,
) -> Result<(), Failure> {
    let (choice, outcome, complaint) = if args.no_shrink {
        let outcome = world::run(failed, rules)?;
        let complaint = outcome.complaint.clone();
        (failed.clone(), outcome, complaint)
    } else {
        match world::shrink(failed, rules)? {
            Some(Shrunk {
                choice,
                outcome,
                complaint,
                ..
            }) => (choice, outcome, Some(complaint)),
            None => return Ok(()),
        }
    };
    let complaint = complaint.map_or_else(String::new, |complaint| complaint.to_string());
    if args.json {
        let line = json!({
            "type": "failure",
            "seed": choice.seed,
            "complaint": complaint,
            "plan": outcome.items,
            "replay": choice.to_string(),
        });
        writeln!(out, "{line}")?;
    } else {
        writeln!(out, "seed {} fails {complaint}", choice.seed)?;
        for item in &outcome.items {
            writeln!(out, "    {item}")?;
        }
        let vary = if args.vary_upkeep {
            " --vary-upkeep"
        } else {
            ""
        };
        writeln!(out, "again: {choice}{vary}")?;
    }
    Ok(())
}

fn print_figures(
    out: &mut dyn Write,
    args: &Args,
    figures: &Figures,
    wall_s: f64,
) -> io::Result<()> {
    let virtual_s = figures.virtual_ns as f64 / 1e9;
    if args.json {
        let line = json!({
            "type": "summary",
            "seeds": figures.seeds,
            "virtual_s": virtual_s,
            "faults": figures.faults_total(),
            "faults_by_kind": figures.faults,
            "resyncs": figures.resyncs,
            "reconnects": figures.reconnects,
            "breaks_told": figures.breaks,
            "books_compared": figures.books,
            "tops_compared": figures.tops,
            "trades_compared": figures.trades,
            "messages": figures.messages,
            "events": figures.events,
            "events_lost_and_told": figures.lost,
            "digest": format!("{:016x}", figures.digest.value()),
            "wall_s": wall_s,
        });
        return writeln!(out, "{line}");
    }
    let rows = [
        ("seeds", figures.seeds),
        ("virtual seconds", virtual_s as u64),
        ("faults injected", figures.faults_total()),
        ("resyncs", figures.resyncs),
        ("reconnects", figures.reconnects),
        ("breaks told", figures.breaks),
        ("books compared", figures.books),
        ("tops compared", figures.tops),
        ("trades compared", figures.trades),
        ("messages", figures.messages),
        ("events", figures.events),
        ("lost and told", figures.lost),
    ];
    for (name, value) in rows {
        writeln!(out, "{name:<18} {value:>12}")?;
    }
    for (kind, count) in &figures.faults {
        writeln!(out, "    {kind:<14} {count:>12}")?;
    }
    writeln!(out, "digest             {:016x}", figures.digest.value())?;
    writeln!(out, "wall time          {wall_s:>10.1} s")
}

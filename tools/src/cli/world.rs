//! `tickwire world`

use std::io::{self, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use serde_json::json;

use super::Failure;
use crate::stopwatch::Stopwatch;
use crate::world::{self, Choice, Figures, Outcome, Rules, Shrunk, Sum, WorldError, orders};

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
    /// Orders and accounts instead of prices: traders, lost answers, broken links; in the end all that
    /// they were told is the venue's own ledger
    #[arg(long, conflicts_with = "vary_upkeep")]
    orders: bool,
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

/// What is run for each seed.
trait Game: Sync {
    type Figures: Sum + Default + Send;

    fn run(&self, choice: &Choice) -> Result<Outcome<Self::Figures>, WorldError>;

    /// What the command line says beside the choice, to run the same.
    fn flags(&self) -> String;

    /// The figures as one JSON object.
    fn to_json(&self, figures: &Self::Figures, wall_s: f64) -> serde_json::Value;

    /// The figures as lines for people.
    fn print(&self, figures: &Self::Figures, out: &mut dyn Write) -> io::Result<()>;
}

/// Prices.
struct Prices(Rules);

/// Orders and accounts.
struct Orders {
    trace: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    if args.orders {
        return play(args, &Orders { trace: args.trace });
    }
    let rules = Rules {
        trace: args.trace,
        vary_upkeep: args.vary_upkeep,
        ..Rules::default()
    };
    play(args, &Prices(rules))
}

fn play<G: Game>(args: &Args, game: &G) -> Result<(), Failure> {
    let started = Stopwatch::start();
    let (figures, failed) = match args.seed {
        Some(seed) => {
            let choice = Choice {
                seed,
                keep: args.keep.clone(),
                until_ns: args.until_ms.map(|ms| ms.saturating_mul(1_000_000)),
            };
            run_one(args, &choice, game)?
        }
        None => run_many(args, game)?,
    };
    let wall_s = started.elapsed().as_secs_f64();
    let mut out = io::stdout().lock();
    if let Some(failed) = &failed {
        print_failure(&mut out, args, failed, game)?;
    }
    if args.json {
        writeln!(out, "{}", game.to_json(&figures, wall_s))?;
    } else {
        game.print(&figures, &mut out)?;
        writeln!(out, "wall time          {wall_s:>10.1} s")?;
    }
    match failed {
        Some(choice) => Err(Failure::Failed(
            format!("seed {} fails the model", choice.seed).into(),
        )),
        None => Ok(()),
    }
}

fn run_one<G: Game>(
    args: &Args,
    choice: &Choice,
    game: &G,
) -> Result<(G::Figures, Option<Choice>), Failure> {
    let outcome = game.run(choice)?;
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
fn run_many<G: Game>(args: &Args, game: &G) -> Result<(G::Figures, Option<Choice>), Failure> {
    let next = AtomicU64::new(args.from);
    let end = args.from.saturating_add(args.seeds);
    let stop = AtomicBool::new(false);
    let sum: Mutex<(G::Figures, Option<u64>)> = Mutex::default();
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let work = || -> Result<(), WorldError> {
        let mut figures = G::Figures::default();
        let mut failed: Option<u64> = None;
        while !stop.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                break;
            }
            let outcome = game.run(&Choice::of(seed))?;
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

fn print_failure<G: Game>(
    out: &mut dyn Write,
    args: &Args,
    failed: &Choice,
    game: &G,
) -> Result<(), Failure> {
    let (choice, outcome, complaint) = if args.no_shrink {
        let outcome = game.run(failed)?;
        let complaint = outcome.complaint.clone();
        (failed.clone(), outcome, complaint)
    } else {
        match world::shrink(failed, |choice| game.run(choice))? {
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
            "replay": format!("{choice}{}", game.flags()),
        });
        writeln!(out, "{line}")?;
    } else {
        writeln!(out, "seed {} fails {complaint}", choice.seed)?;
        for item in &outcome.items {
            writeln!(out, "    {item}")?;
        }
        writeln!(out, "again: {choice}{}", game.flags())?;
    }
    Ok(())
}

/// One row a figure.
fn print_rows(out: &mut dyn Write, rows: &[(&str, u64)]) -> io::Result<()> {
    for (name, value) in rows {
        writeln!(out, "{name:<18} {value:>12}")?;
    }
    Ok(())
}

/// One row a kind, set in.
fn print_counts<'a>(
    out: &mut dyn Write,
    counts: impl IntoIterator<Item = (&'a str, u64)>,
) -> io::Result<()> {
    for (kind, count) in counts {
        writeln!(out, "    {kind:<32} {count:>12}")?;
    }
    Ok(())
}

impl Game for Prices {
    type Figures = Figures;

    fn run(&self, choice: &Choice) -> Result<Outcome, WorldError> {
        world::run(choice, self.0)
    }

    fn flags(&self) -> String {
        let mut flags = String::new();
        if self.0.vary_upkeep {
            flags.push_str(" --vary-upkeep");
        }
        flags
    }

    fn to_json(&self, figures: &Figures, wall_s: f64) -> serde_json::Value {
        json!({
            "type": "summary",
            "seeds": figures.seeds,
            "virtual_s": figures.virtual_ns as f64 / 1e9,
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
        })
    }

    fn print(&self, figures: &Figures, out: &mut dyn Write) -> io::Result<()> {
        let rows = [
            ("seeds", figures.seeds),
            (
                "virtual seconds",
                (figures.virtual_ns / 1_000_000_000) as u64,
            ),
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
        print_rows(out, &rows)?;
        print_counts(
            out,
            figures.faults.iter().map(|(kind, count)| (*kind, *count)),
        )?;
        writeln!(out, "digest             {:016x}", figures.digest.value())
    }
}

impl Game for Orders {
    type Figures = orders::Figures;

    fn run(&self, choice: &Choice) -> Result<Outcome<orders::Figures>, WorldError> {
        orders::run(choice, self.trace)
    }

    fn flags(&self) -> String {
        " --orders".to_owned()
    }

    fn to_json(&self, figures: &orders::Figures, wall_s: f64) -> serde_json::Value {
        json!({
            "type": "summary",
            "seeds": figures.seeds,
            "virtual_s": figures.virtual_ns as f64 / 1e9,
            "orders": figures.orders,
            "orders_by_row": figures.orders_by_row,
            "orders_refused": figures.orders_refused,
            "fills": figures.fills,
            "refusals": figures.refusals,
            "unknown_and_resolved": figures.unknown,
            "stops": figures.stops,
            "stops_triggered": figures.triggered,
            "faults_by_kind": figures.faults,
            "network": figures.weather,
            "checks": figures.checks,
            "digest": format!("{:016x}", figures.digest.value()),
            "wall_s": wall_s,
        })
    }

    fn print(&self, figures: &orders::Figures, out: &mut dyn Write) -> io::Result<()> {
        let rows = [
            ("seeds", figures.seeds),
            (
                "virtual seconds",
                (figures.virtual_ns / 1_000_000_000) as u64,
            ),
            ("orders", figures.orders),
        ];
        print_rows(out, &rows)?;
        let by_row = figures.orders_by_row.iter();
        print_counts(out, by_row.map(|(row, count)| (row.as_str(), *count)))?;
        let rows = [
            ("orders refused", figures.orders_refused),
            ("fills", figures.fills),
            ("refusals", figures.refusals),
            ("unknown, resolved", figures.unknown),
            ("stops", figures.stops),
            ("stops triggered", figures.triggered),
            ("network breaks", figures.weather),
            ("checks", figures.checks),
            ("faults", figures.faults.values().sum()),
        ];
        print_rows(out, &rows)?;
        print_counts(
            out,
            figures.faults.iter().map(|(kind, count)| (*kind, *count)),
        )?;
        writeln!(out, "digest             {:016x}", figures.digest.value())
    }
}

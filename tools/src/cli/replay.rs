//! `tickwire replay`

use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tickwire_connectors::connector::Connector;
use tickwire_connectors::{Market, StreamState};

use super::Failure;
use super::venue::VenueName;
use crate::output::{Format, Human, Json};
use crate::recording::Progress;
use crate::replay::{Plan, Replay, Scope, connector};
use crate::stopwatch::Stopwatch;

/// Run recorded messages through the connectors and books, and print the events.
///
/// Each line of a FILE is an envelope {"kind":..,"recv_ns":..,"conn":..,"url":..,"msg":<message>},
/// or a message alone, or a receive time in nanoseconds and a message. Files may be packed with gzip
/// or zstd. Several files are read one after the other, as one recording.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Recordings, in order
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Venue that the messages are from
    #[arg(long)]
    venue: VenueName,
    /// Only this market: spot, linear or inverse; needed where the recording does not tell it
    #[arg(long)]
    market: Option<Market>,
    /// Only this symbol, as "BTC/USDT" or as the venue writes it; can be given several times
    #[arg(long = "symbol", value_name = "SYMBOL")]
    symbols: Vec<String>,
    /// Print each book at the end, all levels, best first
    #[arg(long)]
    book: bool,
    /// Print one JSON object a line, for programs
    #[arg(long)]
    json: bool,
}

/// Steps between two looks at the progress.
const PROGRESS_STEPS: u64 = 512;

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let began = Stopwatch::start();
    let bar = Bar::new(args);
    let scope = Scope {
        venue: args.venue.venue(),
        market: args.market,
        symbols: args.symbols.clone(),
    };
    let plan = Plan::discover(&args.files, &scope, |file, progress| {
        bar.watch(file, progress)
    })?;
    let mut replay = Replay::new(args.files.clone(), plan, |market| {
        connector(scope.venue, market)
    })?;
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let mut format: Box<dyn Format> = if args.json {
        Box::new(Json::default())
    } else {
        Box::new(Human::default())
    };
    let outcome = print_events(&mut replay, &mut *format, &mut out, &bar);
    bar.finish();
    if let Err(Failure::BrokenPipe) = outcome {
        return outcome;
    }
    if args.book {
        for stream in replay.stream_ids() {
            let info = replay.streams().get(stream.index());
            if let (Some(info), Some(book)) = (info, replay.book(stream)) {
                format.book(&mut out, info, &book)?;
            }
        }
    }
    out.flush()?;
    if !args.json {
        summarize(&replay, began.elapsed());
    }
    outcome
}

fn print_events<C: Connector>(
    replay: &mut Replay<C>,
    format: &mut dyn Format,
    out: &mut dyn Write,
    bar: &Bar,
) -> Result<(), Failure> {
    let mut steps = 0u64;
    while let Some(step) = replay.step()? {
        for (info, item) in step.items() {
            format.item(out, info, item)?;
        }
        steps += 1;
        if steps.is_multiple_of(PROGRESS_STEPS)
            && let (file, Some(progress)) = replay.progress()
        {
            bar.watch(bar.files + file, progress);
        }
    }
    Ok(())
}

/// What people want to know at the end, apart from the data.
fn summarize<C: Connector>(replay: &Replay<C>, took: Duration) {
    let counters = replay.counters();
    let mut err = io::stderr().lock();
    let _ = writeln!(
        err,
        "{} lines, {} messages in {:.2} s; {} gaps, {} resyncs, {} stale, {} malformed, {} without a stream",
        replay.lines(),
        counters.messages,
        took.as_secs_f64(),
        counters.gaps,
        counters.resyncs,
        counters.stale,
        counters.malformed,
        counters.unrouted,
    );
    for stream in replay.stream_ids() {
        let info = replay.streams().get(stream.index());
        if let (Some(info), Some(book)) = (info, replay.book(stream))
            && book.state != StreamState::Live
        {
            let _ = writeln!(
                err,
                "the book of {} ({}) ended {}: the recording has no later snapshot that fits",
                info.symbol,
                info.market,
                book.state.as_str()
            );
        }
    }
}

/// A progress bar over both passes, on stderr, and only where that is a terminal.
struct Bar {
    bar: ProgressBar,
    /// Bytes of the files before each, twice: for the survey and for the replay.
    starts: Vec<u64>,
    files: usize,
}

impl Bar {
    fn new(args: &Args) -> Bar {
        let sizes: Vec<u64> = args
            .files
            .iter()
            .map(|path| path.metadata().map_or(0, |metadata| metadata.len()))
            .collect();
        let mut starts = vec![0];
        for size in sizes.iter().chain(&sizes) {
            starts.push(starts.last().copied().unwrap_or(0) + size);
        }
        let total = starts.last().copied().unwrap_or(0);
        let bar = if io::stderr().is_terminal() {
            let style =
                ProgressStyle::with_template("{bar:40} {percent:>3} % {elapsed} (left {eta})");
            ProgressBar::new(total)
                .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        } else {
            ProgressBar::hidden()
        };
        Bar {
            bar,
            starts,
            files: sizes.len(),
        }
    }

    fn watch(&self, file: usize, progress: &Progress) {
        if !self.bar.is_hidden() {
            let start = self.starts.get(file).copied().unwrap_or(0);
            self.bar.set_position(start + progress.read_bytes());
        }
    }

    fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

//! Bytes to book to event over a recording, in nanoseconds a message by kind.
//!
//! ```sh
//! cargo run --release --bin decode -- --file spot.jsonl.zst --venue binance [--json OUT]    # or bybit, deribit, polymarket
//! ```

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use serde_json::json;
use tickwire::testing::alloc::CountingAllocator;
use tickwire_connectors::{Market, Venue};
use tickwire_peers::decode::{
    Floor, Ours, SerdeTyped, SimdTape, SonicTyped, Summary, Taken, ValueTree, Way, barter, texts,
    walk,
};
use tickwire_peers::feed::Feed;
use tickwire_tools::report::{machine, table};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Bytes to book to event, in nanoseconds a message by kind, beside the peers.
#[derive(Debug, Parser)]
struct Args {
    /// A recording, plain or compressed.
    #[arg(long)]
    file: PathBuf,
    /// Whose.
    #[arg(long, value_parser = venue)]
    venue: Venue,
    /// The market, where the recording does not say.
    #[arg(long)]
    market: Option<Market>,
    /// Where to write rows of JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Time to spend; at least three rounds are run.
    #[arg(long, default_value_t = 120)]
    seconds: u64,
    /// Only ways whose name has this in it, and the floor.
    #[arg(long)]
    only: Option<String>,
}

fn venue(text: &str) -> Result<Venue, String> {
    match text {
        "binance" => Ok(Venue::Binance),
        "bybit" => Ok(Venue::Bybit),
        "deribit" => Ok(Venue::Deribit),
        "polymarket" => Ok(Venue::Polymarket),
        _ => Err(format!("{text}: binance, bybit, deribit or polymarket")),
    }
}

/// Takes a feed's messages, and says what came of them where that is asked for.
type Run = Box<dyn Fn(&Feed, &[Vec<u8>], bool) -> (Taken, Summary)>;

/// What a way is given of a feed's messages.
type Texts = Box<dyn Fn(&Feed) -> Vec<Vec<u8>>>;

/// A way by its name.
struct Entry {
    name: &'static str,
    run: Run,
    texts: Texts,
}

fn entry<W: Way + 'static>(name: &'static str, make: fn(&Feed, bool) -> W) -> Entry {
    Entry {
        name,
        run: Box::new(move |feed, texts, check| {
            let mut way = make(feed, check);
            let taken = walk(feed, texts, &mut way);
            (
                taken,
                if check {
                    way.summary()
                } else {
                    Summary::default()
                },
            )
        }),
        texts: Box::new(move |feed| texts(feed, &make(feed, false))),
    }
}

/// A recording of less messages is over before the processor knows the way, which the ways before have made it forget: it
/// is walked once more in front, untimed.
const WARM_BELOW: usize = 10_000;

const FLOOR: &str = "floor (adds up the bytes)";
const OURS: &str = "tickwire";

fn entries(notes: &mut Vec<String>, feed: &Feed) -> Vec<Entry> {
    let mut all = vec![
        entry(FLOOR, |_, _| Floor::default()),
        entry(OURS, Ours::new),
        entry("simd-json tape", SimdTape::new),
        entry("sonic-rs typed", SonicTyped::new),
        entry("serde_json typed", SerdeTyped::new),
        entry("serde_json Value", ValueTree::new),
    ];
    match barter::refusal(feed) {
        None => all.push(entry("barter-data", barter::Barter::new)),
        Some(why) => notes.push(format!("{why}: it is left out where such messages are")),
    }
    #[cfg(feature = "nautilus")]
    {
        use tickwire_peers::decode::nautilus::{Nautilus, refusal};
        match refusal(feed) {
            None => {
                all.push(entry("nautilus", Nautilus::new));
                // Its client of Polymarket does no other.
                if feed.venue != Venue::Polymarket {
                    all.push(entry("nautilus, types at once", Nautilus::at_once));
                }
            }
            Some(why) => notes.push(format!("{why}: it is left out where such messages are")),
        }
    }
    all
}

/// A kind's messages, in all ways.
struct Row {
    name: String,
    feed: Feed,
    /// By way: its texts and the times of its rounds.
    ways: BTreeMap<&'static str, (Vec<Vec<u8>>, Vec<Duration>)>,
    /// By way: allocations of the last round.
    allocations: BTreeMap<&'static str, u64>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
fn run(args: &Args) -> Result<(), String> {
    let started = Instant::now();
    let feed = Feed::read(&args.file, args.venue, args.market)?;
    let mut notes = feed.notes.clone();
    let kinds = feed.kinds();
    let mut rows: Vec<Row> = Vec::new();
    for (kind, count) in &kinds {
        eprintln!("{count} messages of {}", kind.name(args.venue));
        rows.push(row(kind.name(args.venue), feed.only(*kind)));
    }
    rows.insert(0, row("all", feed));
    let mut order: Vec<&'static str> = Vec::new();
    for row in &mut rows {
        check(row, args, &mut order, &mut notes)?;
    }
    let mut rounds = 0;
    while rounds < 3 || started.elapsed() < Duration::from_secs(args.seconds) {
        for row in &mut rows {
            for entry in entries(&mut Vec::new(), &row.feed) {
                if let Some((texts, times)) = row.ways.get_mut(entry.name) {
                    if row.feed.messages.len() < WARM_BELOW {
                        (entry.run)(&row.feed, texts, false);
                    }
                    let (taken, _) = (entry.run)(&row.feed, texts, false);
                    times.push(taken.time);
                    row.allocations.insert(entry.name, taken.allocations);
                }
            }
        }
        rounds += 1;
    }
    print(&rows, &order, rounds);
    notes.sort();
    notes.dedup();
    for note in &notes {
        println!("note: {note}");
    }
    if let Some(path) = &args.json {
        let lines: Vec<_> = rows
            .iter()
            .flat_map(|row| {
                order.iter().filter_map(|name| {
                    let ns = ns_per_message(row, name)?;
                    let allocations = row.allocations.get(name);
                    Some(json!({
                        "variant": name, "kind": row.name, "ns_per_message": ns,
                        "allocations": allocations, "messages": row.feed.messages.len(),
                    }))
                })
            })
            .collect();
        let file = args.file.file_name().unwrap_or_default().to_string_lossy();
        let text = json!({"machine": machine(), "file": file, "rounds": rounds, "rows": lines});
        std::fs::write(path, format!("{text:#}\n"))
            .map_err(|error| format!("{path:?}: {error}"))?;
    }
    Ok(())
}

fn row(name: &str, feed: Feed) -> Row {
    Row {
        name: name.to_owned(),
        feed,
        ways: BTreeMap::new(),
        allocations: BTreeMap::new(),
    }
}

/// Walks each way once, and refuses those that come to another result.
fn check(
    row: &mut Row,
    args: &Args,
    order: &mut Vec<&'static str>,
    notes: &mut Vec<String>,
) -> Result<(), String> {
    let mut expected = None;
    for entry in entries(notes, &row.feed) {
        let fixed = entry.name == FLOOR || entry.name == OURS;
        if !fixed
            && args
                .only
                .as_ref()
                .is_some_and(|only| !entry.name.contains(only.as_str()))
        {
            continue;
        }
        let texts = (entry.texts)(&row.feed);
        let (_, summary) = (entry.run)(&row.feed, &texts, true);
        let expected = match entry.name {
            FLOOR => None,
            OURS => {
                expected = Some(summary.clone());
                let (books, tops) = (summary.books.len(), summary.tops.len());
                eprintln!(
                    "{}: {books} books, {tops} tops, {} trades",
                    row.name, summary.trades.0
                );
                None
            }
            _ => expected.as_ref(),
        };
        if let Some(difference) = expected.and_then(|expected| expected.difference(&summary)) {
            return Err(format!(
                "{}: tickwire and {} differ: {difference}",
                row.name, entry.name
            ));
        }
        if !order.contains(&entry.name) {
            order.push(entry.name);
        }
        row.ways.insert(entry.name, (texts, Vec::new()));
    }
    Ok(())
}

/// The median of all rounds.
fn ns_per_message(row: &Row, name: &str) -> Option<f64> {
    let (_, times) = row.ways.get(name)?;
    let mut times = times.clone();
    times.sort_unstable();
    let median = times.get(times.len() / 2)?;
    let ns = median.as_nanos() as f64 / row.feed.messages.len() as f64;
    Some((ns * 10.0).round() / 10.0)
}

/// The least of all rounds: what is left of the time where nothing came between.
fn least(row: &Row, name: &str) -> Option<f64> {
    let (_, times) = row.ways.get(name)?;
    let least = times.iter().min()?;
    Some(least.as_nanos() as f64 / row.feed.messages.len() as f64)
}

fn print(rows: &[Row], order: &[&'static str], rounds: usize) {
    println!("{}", machine());
    println!("ns a message, median of {rounds} rounds (least); × is the median by tickwire's");
    let mut lines = vec![vec![String::new()]];
    for row in rows {
        let count = row.feed.messages.len();
        let bytes: usize = row
            .feed
            .messages
            .iter()
            .map(|message| message.text.len())
            .sum();
        lines[0].push(format!(
            "{} ({count} × {} B)",
            row.name,
            bytes / count.max(1)
        ));
    }
    for name in order {
        let mut line = vec![(*name).to_owned()];
        for row in rows {
            let ours = ns_per_message(row, OURS).unwrap_or(f64::NAN);
            line.push(match (ns_per_message(row, name), least(row, name)) {
                (Some(ns), Some(least)) => format!("{ns:.0} ({least:.0}) ×{:.1}", ns / ours),
                _ => "-".to_owned(),
            });
        }
        lines.push(line);
    }
    print!("{}", table(&lines));
    println!("allocations a message (the first ones, for buffers that are then kept, included)");
    let mut lines = vec![std::mem::take(&mut lines[0])];
    for name in order {
        let cells = rows.iter().map(|row| {
            let count = row.allocations.get(name).copied().unwrap_or(0);
            format!("{:.4}", count as f64 / row.feed.messages.len() as f64)
        });
        lines.push(std::iter::once((*name).to_owned()).chain(cells).collect());
    }
    print!("{}", table(&lines));
}

//! `tickwire latency`

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Failure;
use crate::latency::{self, Ask, Shape, Sitting, Spread};

/// Measure from a scheduled send to the strategy's pop from the ring, on this machine: TLS WebSocket on loopback,
/// beside the floors of plain TCP and TLS. The sender keeps its schedule whatever the receiver does (no
/// coordinated omission).
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Messages a second
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    rate: u64,
    /// Messages of each burst, sent as fast as they are taken, 64 MiB at most; 0 for none
    #[arg(long, default_value_t = 200_000)]
    burst: u64,
    /// Rounds, in each of which every variant has its turn with every message
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    rounds: u16,
    /// Milliseconds of each round; the server answers no pings, so not more than ten seconds
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(10..=10_000))]
    round_ms: u64,
    /// Connections that the messages come on in turn; the receiver has one thread for all
    #[arg(long, default_value_t = 1, value_name = "N")]
    sockets: usize,
    /// Instruments that the messages are of in turn: a multiple of the sockets, 500 on each at most; without it, as
    /// many as there are sockets
    #[arg(long, value_name = "N")]
    instruments: Option<usize>,
    /// Only messages whose name has this in it: bookTicker, depth, bybit, deribit, polymarket
    #[arg(long, value_name = "NAME")]
    message: Option<String>,
    /// The receiving thread's core; without it, where the system puts it
    #[arg(long, value_name = "N")]
    core: Option<usize>,
    /// The sending and popping thread's core
    #[arg(long, value_name = "N")]
    sender_core: Option<usize>,
    /// Write the rows as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write percentile curves as a picture
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Write a page with the picture and the tables
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let spread = Spread::new(args.sockets, args.instruments)?;
    let mut shapes = Shape::all(spread);
    if let Some(part) = &args.message {
        shapes.retain(|shape| shape.name.contains(part.as_str()));
        if shapes.is_empty() {
            let names: Vec<&str> = Shape::all(spread).iter().map(|shape| shape.name).collect();
            let text = format!(
                "no message is named {part:?}: there are {}",
                names.join(", ")
            );
            return Err(Failure::Failed(text.into()));
        }
    }
    if let Some(core) = args.core {
        tickwire::check_core(core)?;
    }
    let ask = Ask {
        rate: args.rate,
        length: Duration::from_millis(args.round_ms),
        burst: args.burst,
    };
    if let Some(core) = args.sender_core {
        tickwire::pin(core)?;
    }
    let variants = latency::variants(args.core);
    let rounds = usize::from(args.rounds);
    let sitting = latency::sit(&variants, &shapes, ask, rounds, |round, shape, variant| {
        // Progress is for people who watch: what can't be written is not missed.
        let _ = writeln!(
            io::stderr().lock(),
            "round {} of {rounds}: {}, {}",
            round + 1,
            shape.name,
            variant.name
        );
    });
    write!(io::stdout().lock(), "{}", sitting.text())?;
    write_files(args, &sitting)?;
    let failures = sitting.failures();
    if failures.is_empty() {
        return Ok(());
    }
    Err(Failure::Failed(failures.join("\n").into()))
}

fn write_files(args: &Args, sitting: &Sitting) -> Result<(), Failure> {
    if let Some(path) = &args.json {
        save(path, &format!("{:#}\n", sitting.to_json()))?;
    }
    if let Some(path) = &args.svg {
        save(path, &latency::svg(sitting)?)?;
    }
    if let Some(path) = &args.html {
        save(path, &latency::html(sitting)?)?;
    }
    Ok(())
}

fn save(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(|error| {
        let text = format!("can't write {}: {error}", path.display());
        Failure::Failed(text.into())
    })
}

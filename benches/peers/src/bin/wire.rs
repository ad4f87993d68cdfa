//! Latency from a scheduled send to the strategy's pop from the ring, over TLS WebSocket on loopback,
//! beside the floors and the peers.
//!
//! ```sh
//! cargo run --release --bin wire -- [--rate 20000] [--burst 200000] [--sockets N] [--instruments N] [--json OUT]
//! ```

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tickwire::testing::alloc::CountingAllocator;
use tickwire_peers::wire::{self, Client};
use tickwire_tools::latency::{self, Ask, Shape, Sitting, Spread, Variant};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Latency from a scheduled send to the strategy's pop, beside the floors and the peers.
#[derive(Debug, Parser)]
struct Args {
    /// Messages a second.
    #[arg(long, default_value_t = 20_000)]
    rate: u64,
    /// Messages of each burst, 64 MiB at most; 0 for none.
    #[arg(long, default_value_t = 200_000)]
    burst: u64,
    /// Milliseconds of each round; the server answers no pings, so not more than ten seconds.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(10..=10_000))]
    round_ms: u64,
    /// Rounds, in each of which all variants have their turn.
    #[arg(long, default_value_t = 4)]
    rounds: usize,
    /// Connections that the messages come on in turn; each receiver has one thread for all.
    #[arg(long, default_value_t = 1)]
    sockets: usize,
    /// Instruments that the messages are of in turn: a multiple of the sockets, 500 on each at most; without it, as many
    /// as there are sockets.
    #[arg(long)]
    instruments: Option<usize>,
    /// Only variants whose name has this in it, and the floors.
    #[arg(long)]
    only: Option<String>,
    /// Only messages whose name has this in it.
    #[arg(long)]
    message: Option<String>,
    /// The receiving thread's core; without it, where the system puts it.
    #[arg(long)]
    core: Option<usize>,
    /// Where to write rows of JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Where to write percentile curves as a picture.
    #[arg(long)]
    svg: Option<PathBuf>,
}

const PEERS: [(&str, Client); 6] = [
    ("boomnet + sonic-rs", Client::BoomnetSonic),
    ("boomnet + serde_json", Client::BoomnetSerde),
    ("tungstenite + serde_json", Client::Tungstenite),
    ("tokio-tungstenite", Client::Tokio),
    ("tokio-tungstenite, spinning", Client::TokioSpin),
    ("fastwebsockets, spinning", Client::Fastwebsockets),
];

fn main() -> ExitCode {
    let args = Args::parse();
    let spread = match Spread::new(args.sockets, args.instruments) {
        Ok(spread) => spread,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let ask = Ask {
        rate: args.rate,
        length: Duration::from_millis(args.round_ms),
        burst: args.burst,
    };
    let core = args.core;
    let mut variants = latency::variants(core);
    variants.extend(PEERS.map(|(name, client)| {
        Variant::new(name, move |shape: &Shape, ask| {
            latency::against(shape, ask, true, core, move |job, ring| {
                wire::run(client, job, ring)
            })
        })
    }));
    let is_in = |part: &Option<String>, name: &str| {
        part.as_ref()
            .is_none_or(|part| name.contains(part.as_str()))
    };
    variants.retain(|it| is_in(&args.only, it.name) || it.name.starts_with("floor"));
    let mut shapes = Shape::all(spread);
    shapes.retain(|shape| is_in(&args.message, shape.name));
    let sitting = latency::sit(&variants, &shapes, ask, args.rounds, |_, _, _| {});
    print!("{}", sitting.text());
    let mut failures = sitting.failures();
    failures.extend(write_files(&args, &sitting).err());
    for failure in &failures {
        eprintln!("{failure}");
    }
    match failures.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn write_files(args: &Args, sitting: &Sitting) -> Result<(), String> {
    let save = |path: &PathBuf, text: String| {
        fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
    };
    if let Some(path) = &args.json {
        save(path, format!("{:#}\n", sitting.to_json()))?;
    }
    if let Some(path) = &args.svg {
        save(
            path,
            latency::svg(sitting).map_err(|error| error.to_string())?,
        )?;
    }
    Ok(())
}

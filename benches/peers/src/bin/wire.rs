//! Latency from a scheduled send to the strategy's pop from the ring, over TLS WebSocket on loopback,
//! beside the floors and the peers.
//!
//! ```sh
//! cargo run --release --bin wire -- [--rate 20000] [--burst 200000] [--json OUT]
//! ```

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use clap::Parser;
use serde_json::json;
use tickwire::connectors::FetchInstruments;
use tickwire::connectors::upkeep::{TopCheck, Upkeep};
use tickwire::ring::{Item, RingConfig};
use tickwire::testing::alloc::{CountingAllocator, counts};
use tickwire::{
    BinanceConfig, BybitConfig, Channel, Engine, EventKind, Market, PollMode, StrategySetup, Venue,
    VenueSetup,
};
use tickwire_peers::table::{machine, table};
use tickwire_peers::wire::clients::{self, Client, Event, Job};
use tickwire_peers::wire::server::Server;
use tickwire_peers::wire::{Ask, Histogram, Round, Shape, ShapeKind, run};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Latency from a scheduled send to the strategy's pop, beside the floors and the peers.
#[derive(Debug, Parser)]
struct Args {
    /// Messages a second.
    #[arg(long, default_value_t = 20_000)]
    rate: u64,
    /// Messages of each burst; 0 for none.
    #[arg(long, default_value_t = 200_000)]
    burst: u64,
    /// Milliseconds of each round.
    #[arg(long, default_value_t = 1_000)]
    round_ms: u64,
    /// Rounds, in each of which all variants have their turn.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Only variants whose name has this in it, and the floors.
    #[arg(long)]
    only: Option<String>,
    /// Only messages whose name has this in it.
    #[arg(long)]
    message: Option<String>,
    /// Where to write rows of JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variant {
    Ours(PollMode),
    Peer(Client),
}

const FLOOR_TLS: &str = "floor-tls";

const VARIANTS: [(&str, Variant); 10] = [
    ("floor-tcp", Variant::Peer(Client::FloorTcp)),
    (FLOOR_TLS, Variant::Peer(Client::FloorTls)),
    ("tickwire direct", Variant::Ours(PollMode::Direct)),
    ("tickwire mio", Variant::Ours(PollMode::Mio)),
    ("boomnet + sonic-rs", Variant::Peer(Client::BoomnetSonic)),
    ("boomnet + serde_json", Variant::Peer(Client::BoomnetSerde)),
    (
        "tungstenite + serde_json",
        Variant::Peer(Client::Tungstenite),
    ),
    ("tokio-tungstenite", Variant::Peer(Client::Tokio)),
    (
        "tokio-tungstenite, spinning",
        Variant::Peer(Client::TokioSpin),
    ),
    (
        "fastwebsockets, spinning",
        Variant::Peer(Client::Fastwebsockets),
    ),
];

/// Larger than a burst that nobody reads.
const RING: usize = 1 << 19;

fn peer(client: Client, shape: &Shape, ask: Ask) -> Result<Round, String> {
    let server = Server::start(client != Client::FloorTcp)?;
    let stop = Arc::new(AtomicBool::new(false));
    let job = Job {
        addr: server.addr,
        tls: server.client_config()?,
        shape: shape.clone(),
        stop: Arc::clone(&stop),
    };
    let (sender, mut ring) = rtrb::RingBuffer::<Event>::new(RING);
    let thread = thread::spawn(move || clients::run(client, &job, sender));
    let mut link = server.link();
    let round = match &mut link {
        Ok(link) => {
            let pop = || ring.pop().ok().map(|event| event.number);
            run(shape, ask, |bytes| link.send(bytes), pop, || (0, 0))
        }
        Err(error) => Err(error.clone()),
    };
    // Before the link goes: its end would be an error to the client.
    stop.store(true, Ordering::Relaxed);
    let ended = thread
        .join()
        .unwrap_or_else(|_| Err("the client panicked".to_owned()));
    round.and_then(|round| ended.map(|()| round))
}

fn ours(poll: PollMode, shape: &Shape, ask: Ask) -> Result<Round, String> {
    let server = Server::start(true)?;
    let (ws, rest) = (
        format!("wss://localhost:{}", server.addr.port()),
        format!("https://localhost:{}", server.addr.port()),
    );
    let network = (ws.as_str(), rest.as_str());
    let (venue, setup, market, channel): (Venue, VenueSetup, Market, Channel) = match shape.kind {
        ShapeKind::Bybit => {
            let config = BybitConfig::linear().at(network);
            let config = BybitConfig {
                instruments: FetchInstruments::No,
                upkeep: Upkeep {
                    top_check: TopCheck::Never,
                    ..config.upkeep
                },
                ..config
            };
            let channel = "book.50".parse().unwrap_or(Channel::BOOK);
            (Venue::Bybit, config.into(), Market::Linear, channel)
        }
        kind => {
            let config = BinanceConfig::spot().at(network);
            let config = BinanceConfig {
                instruments: FetchInstruments::No,
                upkeep: Upkeep {
                    top_check: TopCheck::Never,
                    ..config.upkeep
                },
                ..config
            };
            let channel = if kind == ShapeKind::Top {
                Channel::Bbo
            } else {
                Channel::BOOK
            };
            (Venue::Binance, config.into(), Market::Spot, channel)
        }
    };
    let ring = RingConfig {
        hot_capacity: RING,
        ..RingConfig::default()
    };
    let strategy =
        StrategySetup::pair()
            .named("pop")
            .ring(ring)
            .watch(venue, market, ["BTCUSDT"], [channel]);
    let mut handle = Engine::builder()
        .venue(setup)
        .strategy(strategy)
        .poll(poll)
        .trust_only(vec![server.certificate.clone()])
        .seed(7)
        .spawn()
        .map_err(|error| error.to_string())?;
    let pair = handle.strategy("pop").and_then(|id| handle.take_pair(id));
    let (mut consumer, _) = pair.ok_or("no ring")?;
    let round = server.link().and_then(|mut link| {
        let pop = || loop {
            match consumer.pop()? {
                Item::Hot(event) if event.kind() == EventKind::Bbo => return Some(event.seq()),
                _ => {}
            }
        };
        let allocations = || (counts().ours, counts().tls);
        run(shape, ask, |bytes| link.send(bytes), pop, allocations)
    });
    handle.stop().map_err(|error| error.to_string())?;
    round
}

/// All rounds of a variant with a message.
#[derive(Debug, Default)]
struct Cell {
    p50: Vec<u64>,
    all: Option<Histogram>,
    bursts: Vec<f64>,
    allocations: (u64, u64),
    messages: u64,
    error: Option<String>,
}

fn median<T: PartialOrd + Copy>(values: &[T]) -> Option<T> {
    let mut sorted = values.to_vec();
    sorted.sort_by(|left, right| left.partial_cmp(right).unwrap_or(std::cmp::Ordering::Equal));
    sorted.get(sorted.len() / 2).copied()
}

fn main() -> ExitCode {
    let args = Args::parse();
    let ask = Ask {
        rate: args.rate,
        length: Duration::from_millis(args.round_ms),
        burst: args.burst,
    };
    let shapes: Vec<Shape> = Shape::all()
        .into_iter()
        .filter(|shape| {
            args.message
                .as_ref()
                .is_none_or(|it| shape.name.contains(it.as_str()))
        })
        .collect();
    let mut cells: BTreeMap<(usize, usize), Cell> = BTreeMap::new();
    for _ in 0..args.rounds {
        for (row, shape) in shapes.iter().enumerate() {
            for (column, (name, variant)) in VARIANTS.iter().enumerate() {
                let wanted = args
                    .only
                    .as_ref()
                    .is_none_or(|it| name.contains(it.as_str()));
                if !wanted && !name.starts_with("floor") {
                    continue;
                }
                let round = match variant {
                    Variant::Ours(poll) => ours(*poll, shape, ask),
                    Variant::Peer(client) => peer(*client, shape, ask),
                };
                let cell = cells.entry((row, column)).or_default();
                match round {
                    Err(error) => cell.error = Some(error),
                    Ok(round) => {
                        cell.p50.push(round.latency.value_at_quantile(0.5));
                        cell.bursts.push(round.burst_msgs_s);
                        cell.allocations.0 += round.allocations.0;
                        cell.allocations.1 += round.allocations.1;
                        cell.messages += round.latency.len();
                        match &mut cell.all {
                            // Of the same bounds.
                            Some(all) => drop(all.add(&round.latency)),
                            None => cell.all = Some(round.latency),
                        }
                    }
                }
            }
        }
    }
    report(&args, &shapes, &cells)
}

fn report(args: &Args, shapes: &[Shape], cells: &BTreeMap<(usize, usize), Cell>) -> ExitCode {
    println!("{}", machine());
    println!(
        "{} messages a second, {} rounds of {} ms; µs from the scheduled send to the pop; p50 and burst: \
         median of the rounds; the rest: all together",
        args.rate, args.rounds, args.round_ms
    );
    let floor_column = VARIANTS
        .iter()
        .position(|(name, _)| *name == FLOOR_TLS)
        .unwrap_or(0);
    let (mut rows, mut failed) = (Vec::new(), false);
    for (row, shape) in shapes.iter().enumerate() {
        let floor = cells
            .get(&(row, floor_column))
            .and_then(|cell| median(&cell.p50));
        let head = [
            "p50",
            "over floor-tls",
            "p99",
            "p99.9",
            "p99.99",
            "max",
            "burst msg/s",
        ];
        let name = format!("{} ({} B)", shape.name, shape.frame().bytes.len());
        let mut lines = vec![
            std::iter::once(name)
                .chain(head.map(str::to_owned))
                .collect(),
        ];
        for (column, (name, _)) in VARIANTS.iter().enumerate() {
            let Some(cell) = cells.get(&(row, column)) else {
                continue;
            };
            if let Some(error) = &cell.error {
                eprintln!("{name}, {}: {error}", shape.name);
                failed = true;
            }
            let (Some(p50), Some(all)) = (median(&cell.p50), &cell.all) else {
                continue;
            };
            let us = |ns: u64| ns as f64 / 1e3;
            let at = |quantile| us(all.value_at_quantile(quantile));
            let over = us(p50) - floor.map_or(f64::NAN, us);
            let burst = median(&cell.bursts).unwrap_or(0.0);
            let mut line = vec![
                (*name).to_owned(),
                format!("{:.2}", us(p50)),
                format!("{over:+.2}"),
            ];
            let tail = [at(0.99), at(0.999), at(0.9999), us(all.max())];
            line.extend(tail.map(|value| format!("{value:.1}")));
            line.push(format!("{:.2} M", burst / 1e6));
            lines.push(line);
            rows.push(json!({
                "variant": name, "message": shape.name, "p50_us": us(p50), "p99_us": at(0.99),
                "p999_us": at(0.999), "p9999_us": at(0.9999), "max_us": us(all.max()),
                "over_floor_tls_us": over, "burst_msgs_s": burst,
                "allocations_ours": cell.allocations.0, "allocations_tls": cell.allocations.1,
            }));
        }
        print!("{}", table(&lines));
        for (column, (name, variant)) in VARIANTS.iter().enumerate() {
            if let (Variant::Ours(_), Some(cell)) = (variant, cells.get(&(row, column))) {
                let (ours, tls) = cell.allocations;
                println!(
                    "{name}: {ours} allocations of ours, {tls} of TLS, in {} messages",
                    cell.messages
                );
                failed |= ours > 0;
            }
        }
        println!();
    }
    if let Some(path) = &args.json {
        let text = json!({"machine": machine(), "rate": args.rate, "rows": rows});
        if let Err(error) = std::fs::write(path, format!("{text:#}\n")) {
            eprintln!("{path:?}: {error}");
            failed = true;
        }
    }
    if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

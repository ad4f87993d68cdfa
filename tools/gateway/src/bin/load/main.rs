//! `gateway-load`: many clients of a gateway from a process of their own, some of which read nothing for
//! ever. It fails where a healthy client misses an event or is closed, where a stalled one is not closed with
//! 4429, or where the gateway's memory grows beyond what is promised.
//!
//! ```sh
//! tools/gateway/load.sh                 # builds, starts gateways, 1,000 clients, 100 stalled
//! tools/gateway/load.sh --smoke         # 60 clients, 6 stalled, under a minute
//! gateway-load --address 127.0.0.1:4096 --token TOKEN       # one that runs
//! ```
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command")]

mod client;
mod spawned;

use std::collections::BTreeMap;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};
use tickwire::{Clock, Nanos};

use client::{Client, Door};
use spawned::Spawned;

/// Between two looks at sockets that had nothing.
const NAP: Duration = Duration::from_millis(1);

/// What a client may cost the gateway's memory: the frame that is being written, the library's buffers, its
/// cursors. What the system keeps for its socket is not in it.
const CLIENT_KB_MAX: u64 = 256;

/// What the logs of the channels and all else that is shared may cost: see `Limits::log_bytes_max`.
const SHARED_KB_MAX: u64 = 64 * 1024;

/// Time for a thousand clients to come, and for the counters to be asked for at the end; for the few of `--smoke`.
const MARGIN_S: u64 = 30;
const MARGIN_SMOKE_S: u64 = 15;

struct Options {
    /// A gateway that runs; without one, `--spawn` starts its own.
    door: Option<Door>,
    clients: usize,
    stalled: usize,
    seconds: u64,
    /// How much longer a gateway of its own lives.
    margin_s: u64,
    /// Messages a second of each simulated venue.
    rate: u32,
    channels: Vec<String>,
}

fn options() -> Result<Options, Box<dyn Error>> {
    let mut options = Options {
        door: None,
        clients: 1_000,
        stalled: 100,
        seconds: 60,
        margin_s: MARGIN_S,
        rate: 200,
        channels: Vec::new(),
    };
    let (mut address, mut token) = ("127.0.0.1:4096".to_owned(), None);
    let mut is_spawned = false;
    let mut args = std::env::args().skip(1);
    while let Some(name) = args.next() {
        match name.as_str() {
            "--spawn" => {
                is_spawned = true;
                continue;
            }
            "--smoke" => {
                (options.clients, options.stalled) = (60, 6);
                (options.seconds, options.margin_s) = (20, MARGIN_SMOKE_S);
                continue;
            }
            _ => {}
        }
        let value = args.next().ok_or_else(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--address" => address = value,
            "--token" => token = Some(value),
            "--clients" => options.clients = value.parse()?,
            "--stalled" => options.stalled = value.parse()?,
            "--seconds" => options.seconds = value.parse()?,
            "--rate" => options.rate = value.parse()?,
            "--channel" => options.channels.push(value),
            _ => return Err(format!("unknown option {name}").into()),
        }
    }
    if options.channels.is_empty() {
        let channels = [
            "book:binance:spot:BTCUSDT",
            "trades:binance:spot:BTCUSDT",
            "system",
        ];
        options.channels = channels.map(str::to_owned).to_vec();
    }
    options.door = match (token, is_spawned) {
        (Some(token), false) => Some(Door {
            address: address.parse()?,
            token,
        }),
        (None, true) => None,
        _ => return Err("either --spawn, or --token of a gateway that runs".into()),
    };
    Ok(options)
}

/// What the clients of one phase saw.
struct Seen {
    before: Value,
    after: Value,
    healthy: usize,
    frames: u64,
    holes: u64,
    lost: usize,
    /// Codes that the stalled ones find when they read at last.
    codes: BTreeMap<u16, usize>,
}

fn load(options: &Options, door: &Door, clock: &Clock) -> Result<Seen, Box<dyn Error>> {
    let mut control = door.client(&[], false)?;
    let before = control.stats(clock)?;
    let (mut clients, mut stalled) = (Vec::new(), Vec::new());
    for number in 0..options.clients {
        let is_to_stall = number < options.stalled;
        let client = door.client(&options.channels, is_to_stall)?;
        if is_to_stall {
            stalled.push(client);
        } else {
            clients.push(client);
        }
        // Those that are there already are read while the others come.
        if number % 16 == 0 {
            read(&mut clients);
        }
    }
    let until = clock.now() + Nanos::from_secs(i64::try_from(options.seconds)?);
    while clock.now() < until {
        if !control.read() && !read(&mut clients) {
            std::thread::park_timeout(NAP);
        }
    }
    let after = control.stats(clock)?;
    let mut codes: BTreeMap<u16, usize> = BTreeMap::new();
    for client in &mut stalled {
        client.read();
        *codes.entry(client.closed.unwrap_or_default()).or_default() += 1;
    }
    Ok(Seen {
        before,
        after,
        healthy: clients.len(),
        frames: clients.iter().map(|client| client.frames).sum(),
        holes: clients.iter().map(|client| client.holes).sum(),
        lost: { clients.iter() }
            .filter(|client| client.closed.is_some())
            .count(),
        codes,
    })
}

fn read(clients: &mut [Client]) -> bool {
    let mut any = false;
    for client in clients {
        any |= client.read();
    }
    any
}

impl Seen {
    fn counted(&self, name: &str) -> u64 {
        let of = |stats: &Value| stats["counters"][name].as_u64().unwrap_or_default();
        of(&self.after).saturating_sub(of(&self.before))
    }

    /// What was promised and is not so.
    fn broken(&self, options: &Options) -> Vec<String> {
        let mut broken = Vec::new();
        if self.holes > 0 || self.lost > 0 {
            let Seen { holes, lost, .. } = self;
            broken.push(format!(
                "healthy clients missed {holes} events, {lost} were closed"
            ));
        }
        if self.frames == 0 && self.healthy > 0 {
            broken.push("nothing was told to anybody".to_owned());
        }
        let closed = self.counted("closed4429");
        if closed != options.stalled as u64 {
            let stalled = options.stalled;
            broken.push(format!(
                "{closed} of {stalled} stalled clients were closed with 4429"
            ));
        }
        broken
    }

    fn json(&self) -> Value {
        json!({
            "healthy": self.healthy, "frames": self.frames, "holes": self.holes,
            "healthyClosed": self.lost, "closed4429": self.counted("closed4429"),
            "stalledSaw": self.codes, "gatewayTurn": self.after["turn"],
            "eventsPublished": self.counted("events_published"),
            "eventsMerged": self.counted("events_merged"),
        })
    }
}

/// The same market with nobody and with everybody there, each in a gateway of its own.
fn compare(options: &Options, clock: &Clock) -> Result<(), Box<dyn Error>> {
    const SEED: u64 = 7;
    let seconds = options.seconds + options.margin_s;
    println!("quiet: {seconds} s with nobody there");
    let quiet = Spawned::start(seconds, options.rate, SEED)?.end()?;
    let (clients, stalled) = (options.clients, options.stalled);
    println!("loaded: {seconds} s, {clients} clients, {stalled} of them stalled for ever");
    let gateway = Spawned::start(seconds, options.rate, SEED)?;
    let memory_before = gateway.memory_kb();
    let seen = load(options, &gateway.door, clock)?;
    let memory = gateway.memory_kb();
    let loaded = gateway.end()?;
    println!("{:#}", seen.json());
    println!("turns of the engine's loop\n{}", table(&quiet, &loaded));
    let mut broken = seen.broken(options);
    if let (Some((before, _)), Some((now, most))) = (memory_before, memory) {
        let most_allowed = before + SHARED_KB_MAX + CLIENT_KB_MAX * clients as u64;
        println!(
            "memory of the gateway's process: {before} kB before, {now} kB after, {most} kB at most \
             (allowed: {most_allowed} kB)"
        );
        if most > most_allowed {
            broken.push(format!("{most} kB of memory, beyond {most_allowed} kB"));
        }
    }
    verdict(&broken)
}

/// Both histograms side by side: by percentile, and by powers of two.
fn table(quiet: &Value, loaded: &Value) -> String {
    let mut rows = vec![format!("{:>14} {:>14} {:>14}", "", "quiet", "loaded")];
    for (name, key) in [
        ("turns", "turns"),
        ("p50 ns", "p50Ns"),
        ("p99 ns", "p99Ns"),
        ("p99.9 ns", "p999Ns"),
        ("max ns", "maxNs"),
    ] {
        let (a, b) = (quiet[key].to_string(), loaded[key].to_string());
        rows.push(format!("{name:>14} {a:>14} {b:>14}"));
    }
    let counts = |of: &Value| -> BTreeMap<u64, u64> {
        let buckets = of["buckets"].as_array().into_iter().flatten();
        let pair = |bucket: &Value| Some((bucket[0].as_u64()?, bucket[1].as_u64()?));
        buckets.filter_map(pair).collect()
    };
    let (quiet, loaded) = (counts(quiet), counts(loaded));
    let mut bounds: Vec<u64> = quiet.keys().chain(loaded.keys()).copied().collect();
    bounds.sort_unstable();
    bounds.dedup();
    for bound in bounds {
        let count = |of: &BTreeMap<u64, u64>| of.get(&bound).copied().unwrap_or_default();
        let (a, b) = (count(&quiet), count(&loaded));
        if (a, b) != (0, 0) {
            rows.push(format!("{:>14} {a:>14} {b:>14}", format!("<= {bound} ns")));
        }
    }
    rows.join("\n")
}

fn verdict(broken: &[String]) -> Result<(), Box<dyn Error>> {
    if broken.is_empty() {
        println!("all promises are kept");
        return Ok(());
    }
    Err(broken.join("; ").into())
}

fn run() -> Result<(), Box<dyn Error>> {
    let options = options()?;
    let clock = Clock::start();
    match &options.door {
        None => compare(&options, &clock),
        Some(door) => {
            let seen = load(&options, door, &clock)?;
            println!("{:#}", seen.json());
            verdict(&seen.broken(&options))
        }
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gateway-load: {error}");
            ExitCode::FAILURE
        }
    }
}

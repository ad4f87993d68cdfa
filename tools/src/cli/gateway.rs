//! `tickwire gateway`

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use serde_json::json;
use tickwire::Amount;
use tickwire::connectors::trading::RiskLimits;

use super::Failure;
use super::account::Way;
use super::interrupt::Interrupt;
use super::venue::VenueName;
use crate::gateway::{Demo, Options, PROJECT, Place, USER};
use crate::stopwatch::Stopwatch;

/// Watch and steer running strategies over one WebSocket. Without --venue: two strategies on simulated venues,
/// on paper or, with mode live, on the simulator's demo accounts. With --venue and --symbol: one strategy on your
/// account there. Orders wait for your approval. Prints a URL with a ticket that is good once, for 30 seconds;
/// docs/gateway/example.mjs is a client to begin with.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Venue of your account; the testnet unless told otherwise, with keys as for `tickwire order`
    #[arg(long, value_enum, requires = "symbol")]
    venue: Option<VenueName>,
    /// What is traded there: unified ("BTC/USDT") or the venue's own
    #[arg(long, requires = "venue")]
    symbol: Option<String>,
    #[command(flatten)]
    way: Way,
    /// No order further beyond the best price, in hundredths of a percent of it
    #[arg(long, value_name = "BP", default_value_t = 500)]
    collar_bp: u32,
    /// No order worth more, in quote currency
    #[arg(long, value_name = "VALUE")]
    notional_max: Option<Amount>,
    /// Port on loopback; 0 takes one that is free
    #[arg(long, default_value_t = 4096)]
    port: u16,
    /// Where sessions, messages, approvals and fills are kept; in memory without it
    #[arg(long, value_name = "FILE")]
    store: Option<PathBuf>,
    /// Messages a second of each simulated venue
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=200_000))]
    rate: u32,
    /// Connections of one user
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    connections: u16,
    /// Seed of the market, the engine and the ids
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// End after so many seconds; without it, at Ctrl-C
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// Print one JSON object, with a token too, and at the end how long the engine's turns took
    #[arg(long)]
    json: bool,
}

impl Args {
    fn place(&self) -> Result<Place, Failure> {
        let rate_msgs_s = self.rate;
        match (self.venue, &self.symbol) {
            (Some(venue), Some(symbol)) => Ok(Place::Venue {
                config: Box::new(self.way.config(venue)?),
                symbol: symbol.clone(),
            }),
            _ => Ok(Place::Simulator { rate_msgs_s }),
        }
    }
}

/// Between two looks for Ctrl-C.
const FRAME: Duration = Duration::from_millis(100);

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let interrupt = Interrupt::listen()?;
    let demo = Demo::start(&Options {
        bind: SocketAddr::from((Ipv4Addr::LOCALHOST, args.port)),
        store: args.store.clone(),
        place: args.place()?,
        risk: RiskLimits {
            order_notional_max: args.notional_max,
            collar_bp: Some(args.collar_bp),
            need_live_book: true,
            ..RiskLimits::default()
        },
        seed: args.seed,
        connections_per_user_max: usize::from(args.connections),
    })?;
    let mut out = io::stdout().lock();
    let (address, url) = (demo.gateway().address(), demo.url()?);
    let token = demo.token().expose();
    if args.json {
        let line = json!({ "type": "gateway", "url": url, "address": address.to_string(),
            "token": token, "user": USER, "project": PROJECT });
        writeln!(out, "{line}")?;
    } else {
        writeln!(out, "{url}")?;
        writeln!(out)?;
        writeln!(out, "The ticket is good once, for 30 seconds. Another one:")?;
        writeln!(
            out,
            "  curl -X POST -H 'Authorization: Bearer {token}' http://{address}/ticket"
        )?;
        let agents = demo.agents().join(", ");
        writeln!(out, "Agents: {agents}. Project: {PROJECT}. Ctrl-C ends it.")?;
    }
    out.flush()?;
    drop(out);
    let started = Stopwatch::start();
    let limit = args.seconds.map(Duration::from_secs);
    while !interrupt.came() && limit.is_none_or(|limit| started.elapsed() < limit) {
        thread::park_timeout(FRAME);
    }
    let turns = demo.engine().turn_times().snapshot();
    demo.stop()?;
    if args.json {
        // What the gateway and its clients cost the engine's loop: to be held against a run without them.
        let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|quantile| turns.value_at_quantile(quantile));
        let buckets = turns.iter_log(64, 2.0);
        let buckets = buckets.map(|bucket| {
            let turns = bucket.count_since_last_iteration();
            [bucket.value_iterated_to(), turns]
        });
        let line = json!({ "type": "loop", "turns": turns.len(), "p50Ns": p50, "p99Ns": p99,
            "p999Ns": p999, "maxNs": turns.max(), "buckets": buckets.collect::<Vec<_>>() });
        writeln!(io::stdout().lock(), "{line}")?;
    }
    Ok(())
}

//! `tickwire simulate`

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use serde_json::json;
use tickwire::testing::sim::{AccountSpec, Sim, SimVenue, VenueSpec};

use super::Failure;
use super::interrupt::Interrupt;
use crate::stopwatch::Stopwatch;

/// Run the venue simulator by itself: TLS WebSocket and REST on loopback, one port a venue and
/// market. Prints the URLs and the keys of a demo account with money to trade with, and writes the
/// certificate that clients must trust.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where to write the certificate authority, as PEM
    #[arg(long, value_name = "FILE", default_value = "tickwire-sim-ca.pem")]
    ca: PathBuf,
    /// Instruments of each venue and market
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=200))]
    instruments: u16,
    /// Messages a second of each venue and market
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=200_000))]
    rate: u32,
    /// Seed of the market
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// End after so many seconds; without it, at Ctrl-C
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let interrupt = Interrupt::listen()?;
    let mut builder = Sim::builder().seed(args.seed);
    for venue in SimVenue::ALL {
        let instruments = usize::from(args.instruments);
        let spec = VenueSpec::of(venue)
            .instruments(instruments)
            .rate_msgs_s(args.rate)
            .demo_account();
        builder = builder.venue(spec);
    }
    let mut sim = builder.start()?;
    fs::write(&args.ca, sim.ca_pem()).map_err(|error| {
        let path = args.ca.display();
        Failure::Failed(
            format!("can't write the certificate to {path}: {error}; name another with --ca")
                .into(),
        )
    })?;
    let mut out = io::stdout().lock();
    print_urls(&mut out, args, &sim)?;
    drop(out);

    let started = Stopwatch::start();
    let limit = args.seconds.map(Duration::from_secs);
    while !interrupt.came() && limit.is_none_or(|limit| started.elapsed() < limit) {
        let left = limit.map_or(FRAME, |limit| limit.saturating_sub(started.elapsed()));
        thread::park_timeout(FRAME.min(left));
    }
    sim.stop();
    Ok(())
}

/// Between two looks for Ctrl-C.
const FRAME: Duration = Duration::from_millis(100);

fn print_urls(out: &mut dyn Write, args: &Args, sim: &Sim) -> io::Result<()> {
    for venue in SimVenue::ALL {
        let symbols = sim.truth().symbols(venue);
        if args.json {
            let line = json!({
                "type": "venue",
                "name": venue.to_string(),
                "ws_url": sim.ws_url(venue),
                "rest_url": sim.rest_url(venue),
                "ca": args.ca,
                "symbols": symbols,
            });
            writeln!(out, "{line}")?;
        } else {
            writeln!(
                out,
                "{:<16} {}  {}  {}",
                venue.to_string(),
                sim.ws_url(venue),
                sim.rest_url(venue),
                symbols.join(" "),
            )?;
        }
    }
    if args.json {
        let line = json!({
            "type": "account",
            "name": "demo",
            "hmac_key": AccountSpec::DEMO_KEY,
            "hmac_secret": AccountSpec::DEMO_SECRET,
            "ed25519_key": AccountSpec::DEMO_ED25519_KEY,
            "ed25519_pem": AccountSpec::demo_ed25519_pem(),
        });
        writeln!(out, "{line}")?;
    } else {
        writeln!(
            out,
            "account demo: key {}, secret {} (HMAC-SHA256)",
            AccountSpec::DEMO_KEY,
            AccountSpec::DEMO_SECRET,
        )?;
        writeln!(
            out,
            "account demo: key {}, private key (Ed25519, Binance's session.logon):\n{}",
            AccountSpec::DEMO_ED25519_KEY,
            AccountSpec::demo_ed25519_pem(),
        )?;
        writeln!(out, "certificate in {}; Ctrl-C ends it", args.ca.display())?;
    }
    out.flush()
}

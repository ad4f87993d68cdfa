//! `tickwire demo`

use std::io::{self, Write};
use std::time::Duration;

use clap::ValueEnum;
use tickwire::PollMode;

use super::Failure;
use super::interrupt::Interrupt;
use crate::demo::{self, Options};

/// Start the venue simulator on loopback with real TLS, connect the engine to every venue, and show
/// tops of book, book states and the latency from the simulator's send to the strategy.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// End after so many seconds; without it, at Ctrl-C
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// Print one JSON object a line; the last one is the summary
    #[arg(long)]
    json: bool,
    /// Instruments of each venue and market
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=50))]
    instruments: u16,
    /// Messages a second of each venue and market
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..=200_000))]
    rate: u32,
    /// How the loop looks for bytes; it spins where the machine has two cores
    #[arg(long)]
    poll: Option<Poll>,
    /// Run the strategy on the loop's own thread, without the hop over a ring
    #[arg(long)]
    inline: bool,
    /// Seed of the market and the engine
    #[arg(long, default_value_t = 7)]
    seed: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Poll {
    Mio,
    Direct,
    Park,
}

impl Default for Args {
    fn default() -> Args {
        Args {
            seconds: None,
            json: false,
            instruments: 2,
            rate: 400,
            poll: None,
            inline: false,
            seed: 7,
        }
    }
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let interrupt = Interrupt::listen()?;
    let options = Options {
        run_for: args.seconds.map(Duration::from_secs),
        json: args.json,
        instruments: usize::from(args.instruments),
        rate_msgs_s: args.rate,
        poll: args.poll.map(|poll| match poll {
            Poll::Mio => PollMode::Mio,
            Poll::Direct => PollMode::Direct,
            Poll::Park => PollMode::PARK,
        }),
        inline: args.inline,
        seed: args.seed,
    };
    let mut out = io::stdout().lock();
    let summary = demo::run(&options, &|| interrupt.came(), &mut out)?;
    if args.json {
        writeln!(out, "{}", summary.to_json())?;
    } else {
        writeln!(out, "{summary}")?;
    }
    out.flush()?;
    Ok(())
}

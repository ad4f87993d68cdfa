//! `tickwire faults`

use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use clap::ValueEnum;
use tickwire::testing::sim::SimVenue;

use super::Failure;
use crate::faults::{self, Options};

/// Inject each fault of the venue simulator at each venue, and show whether a strategy was told
/// before any further price, got the true book back, and was left alone where nothing was wrong.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// These venues and markets only
    #[arg(long)]
    venue: Vec<VenueMarket>,
    /// Faults whose name begins with this only: "gap", "refuse-upgrade", "planned cut"
    #[arg(long, value_name = "NAME")]
    fault: Vec<String>,
    /// Cells at once; most of a cell's time is waiting
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u8).range(1..=64))]
    jobs: u8,
    /// Print one JSON object a cell
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// Print the page docs/faults.md
    #[arg(long)]
    markdown: bool,
    /// Seed of the market, the faults and the engine
    #[arg(long, default_value_t = 7)]
    seed: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum VenueMarket {
    BinanceSpot,
    BinanceLinear,
    BinanceInverse,
    BybitSpot,
    BybitLinear,
    DeribitInverse,
    DeribitLinear,
    DeribitOption,
    DeribitSpot,
    Polymarket,
}

impl VenueMarket {
    const fn sim(self) -> SimVenue {
        match self {
            VenueMarket::BinanceSpot => SimVenue::BinanceSpot,
            VenueMarket::BinanceLinear => SimVenue::BinanceLinear,
            VenueMarket::BinanceInverse => SimVenue::BinanceInverse,
            VenueMarket::BybitSpot => SimVenue::BybitSpot,
            VenueMarket::BybitLinear => SimVenue::BybitLinear,
            VenueMarket::DeribitInverse => SimVenue::DeribitInverse,
            VenueMarket::DeribitLinear => SimVenue::DeribitLinear,
            VenueMarket::DeribitOption => SimVenue::DeribitOption,
            VenueMarket::DeribitSpot => SimVenue::DeribitSpot,
            VenueMarket::Polymarket => SimVenue::Polymarket,
        }
    }
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let mut venues = SimVenue::ALL.to_vec();
    venues.retain(|venue| {
        args.venue.is_empty() || args.venue.iter().any(|wanted| wanted.sim() == *venue)
    });
    let options = Options {
        venues,
        faults: args.fault.clone(),
        jobs: args.jobs.into(),
        seed: args.seed,
    };
    let printed = Mutex::new(Ok(()));
    let cells = faults::run(&options, |cell| {
        let line = match (args.json, args.markdown) {
            (true, _) => writeln!(io::stdout().lock(), "{}", faults::json(cell)),
            // The page has the output to itself.
            (_, true) => writeln!(io::stderr().lock(), "{}", faults::text(cell)),
            _ => writeln!(io::stdout().lock(), "{}", faults::text(cell)),
        };
        if line.is_err() {
            *printed.lock().unwrap_or_else(PoisonError::into_inner) = line;
        }
    });
    printed
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)?;
    if cells.is_empty() {
        let text = format!("no fault's name begins with {}", args.fault.join(" or "));
        return Err(Failure::Failed(text.into()));
    }
    if args.markdown {
        write!(io::stdout().lock(), "{}", faults::markdown(&cells))?;
    }
    let failed = cells.iter().filter(|cell| cell.has_failed()).count();
    if failed > 0 {
        let text = format!("{failed} of {} cells failed", cells.len());
        return Err(Failure::Failed(text.into()));
    }
    Ok(())
}

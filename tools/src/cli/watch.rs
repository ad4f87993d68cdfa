//! `tickwire watch`

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tickwire::connectors::Network;
use tickwire::{CertificateDer, Channel, Engine, Market, PollMode, StrategySetup};

use super::Failure;
use super::interrupt::Interrupt;
use super::venue::VenueName;
use crate::output::{Format, Human, Json};
use crate::watch::{self, Limit};

/// Connect to a venue (or to anything that speaks its protocol) and print its events as they come.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Venue whose protocol to speak
    #[arg(long)]
    venue: VenueName,
    /// Market: spot, linear or inverse
    #[arg(long, default_value = "spot")]
    market: Market,
    /// Symbol, as "BTC/USDT" or as the venue writes it; can be given several times
    #[arg(long = "symbol", value_name = "SYMBOL", required = true)]
    symbols: Vec<String>,
    /// bbo, book, book:LEVELS, trades, agg_trades, ticker or kline:INTERVAL; can be given several
    /// times
    #[arg(long = "channel", value_name = "CHANNEL", default_values = ["bbo"])]
    channels: Vec<Channel>,
    /// WebSocket base URL instead of the venue's own, as "wss://127.0.0.1:4433"
    #[arg(
        long,
        value_name = "URL",
        requires = "rest_url",
        conflicts_with = "testnet"
    )]
    url: Option<String>,
    /// REST base URL instead of the venue's own
    #[arg(long, value_name = "URL", requires = "url")]
    rest_url: Option<String>,
    /// Use the venue's testnet
    #[arg(long)]
    testnet: bool,
    /// Trust the certificates of this PEM file, and no others
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Print each level of books too
    #[arg(long)]
    depth: bool,
    /// End after so many seconds
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// End after so many events
    #[arg(long, value_name = "N")]
    events: Option<u64>,
    /// Print one JSON object a line, for programs
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let interrupt = Interrupt::listen()?;
    let network = match (&args.url, &args.rest_url, args.testnet) {
        (Some(ws_url), Some(rest_url), _) => Network::from((ws_url, rest_url)),
        (_, _, true) => Network::Testnet,
        _ => Network::Mainnet,
    };
    let venue = args.venue.venue();
    let symbols = || args.symbols.iter().map(String::as_str);
    let (books, others): (Vec<Channel>, Vec<Channel>) = args
        .channels
        .iter()
        .partition(|channel| matches!(channel, Channel::Book(_)));
    let mut pair =
        StrategySetup::pair()
            .named("watch")
            .watch(venue, args.market, symbols(), others);
    pair = match args.depth {
        true => pair.watch_levels(venue, args.market, symbols(), books),
        false => pair.watch(venue, args.market, symbols(), books),
    };
    let mut builder = Engine::builder()
        .venue(args.venue.setup(args.market, network)?)
        .poll(PollMode::PARK)
        .strategy(pair);
    if let Some(path) = &args.ca {
        builder = builder.trust_only(certificates(path)?);
    }
    let mut handle = builder.spawn()?;
    let limit = Limit {
        time: args.seconds.map(Duration::from_secs),
        events: args.events,
    };
    let mut format: Box<dyn Format> = if args.json {
        Box::new(Json::default())
    } else {
        Box::new(Human::default())
    };
    let mut out = io::BufWriter::new(io::stdout().lock());
    let done = watch::run(
        &mut handle,
        &limit,
        &|| interrupt.came(),
        &mut *format,
        &mut out,
    );
    handle.stop()?;
    let done = done?;
    if !done.connected {
        let (market, why) = (args.market, done.last_down.unwrap_or_default());
        let why = if why.is_empty() {
            "no answer".to_owned()
        } else {
            why
        };
        return Err(Failure::Failed(
            format!("never connected to {venue} {market}: {why}").into(),
        ));
    }
    Ok(())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let shown = path.display();
    let pem = fs::read(path).map_err(|error| {
        Failure::Failed(format!("can't read the certificates in {shown}: {error}").into())
    })?;
    let certificates = tickwire::certificates_from_pem(&pem).map_err(|error| {
        Failure::Failed(format!("{shown} is no PEM file with certificates: {error}").into())
    })?;
    Ok(certificates)
}

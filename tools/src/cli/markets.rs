//! `tickwire markets`

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;
use tickwire::connectors::connector::{BookView, Counters};
use tickwire::connectors::instrument::Venue;
use tickwire::connectors::polymarket::listing::{self, Listed};
use tickwire::connectors::transmit::{
    Endpoint, HttpFailure, HttpRequest, LinkChange, LinkId, Method, ReadOn, RequestId, Response,
    Transmit,
};
use tickwire::connectors::{Command, StreamId};
use tickwire::{
    CertificateDer, Channel, Connector, Engine, Market, Nanos, Outbox, PollMode, StrategySetup,
    VenueSetup,
};

use super::Failure;
use super::venue::VenueName;
use crate::stopwatch::Stopwatch;

/// List a venue's markets with what a subscription needs: question, outcome and token's id.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Whose; Polymarket alone so far
    #[arg(long)]
    venue: VenueName,
    /// Only those whose question or outcome has this text
    #[arg(long, value_name = "TEXT", default_value = "")]
    search: String,
    /// End after so many markets
    #[arg(long, value_name = "N", default_value_t = 50)]
    count: usize,
    /// The listing's base URL instead of the venue's own
    #[arg(
        long,
        value_name = "URL",
        default_value = "https://gamma-api.polymarket.com"
    )]
    url: String,
    /// Trust the certificates of this PEM file, and no others
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

/// A page takes a moment; nobody waits longer for all of them.
const PATIENCE: Duration = Duration::from_secs(120);

/// Between two looks at what has come.
const LOOK: Duration = Duration::from_millis(20);

/// An answer of a hundred markets has 600 kB.
const BODY_BYTES_MAX: usize = 16 << 20;

/// What has come, and how it ended.
#[derive(Debug, Default)]
struct Found {
    markets: Vec<Listed>,
    /// `Some` when nothing more comes.
    end: Option<Result<(), String>>,
}

/// Asks for one page after the other, on the engine's own HTTP.
struct Lister {
    endpoint: Endpoint,
    prefix: String,
    search: String,
    count: usize,
    page: usize,
    due: bool,
    found: Arc<Mutex<Found>>,
}

impl Lister {
    fn take(&mut self, response: Result<Response<'_>, HttpFailure>) {
        let page = match response {
            Err(failure) => Err(failure.to_string()),
            Ok(response) if response.status != 200 => Err(format!("HTTP {}", response.status)),
            Ok(response) => listing::read(response.body).map_err(|error| error.to_string()),
        };
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        match page {
            Err(why) => found.end = Some(Err(why)),
            Ok(page) => {
                let is_last = page.len() < listing::PAGE;
                let wanted = page
                    .into_iter()
                    .filter(|market| is_meant(market, &self.search));
                found.markets.extend(wanted);
                if is_last || found.markets.len() >= self.count {
                    found.markets.truncate(self.count);
                    found.end = Some(Ok(()));
                } else {
                    self.page += 1;
                    self.due = true;
                }
            }
        }
    }
}

fn is_meant(market: &Listed, search: &str) -> bool {
    let search = search.to_lowercase();
    let has = |text: &str| text.to_lowercase().contains(&search);
    has(&market.question) || market.outcomes.iter().any(|(name, _)| has(name))
}

impl Connector for Lister {
    fn venue(&self) -> Venue {
        Venue::Polymarket
    }

    fn market(&self) -> Market {
        Market::Prediction
    }

    fn handle_command(&mut self, _: Nanos, command: Command, _: &mut Outbox) {
        self.due |= matches!(command, Command::Subscribe { .. });
    }

    fn handle_link(&mut self, _: Nanos, _: LinkId, _: LinkChange, _: &mut Outbox) {}

    fn handle_message(&mut self, _: Nanos, _: LinkId, _: &mut [u8], _: &mut Outbox) {}

    fn handle_response(
        &mut self,
        _: Nanos,
        _: RequestId,
        response: Result<Response<'_>, HttpFailure>,
        _: &mut Outbox,
    ) {
        self.take(response);
    }

    fn handle_timeout(&mut self, _: Nanos, _: &mut Outbox) {}

    fn poll_timeout(&self) -> Option<Nanos> {
        None
    }

    fn poll_transmit(&mut self, _: Nanos, _: &mut Vec<u8>) -> Option<Transmit> {
        std::mem::take(&mut self.due).then(|| {
            Transmit::Http(Box::new(HttpRequest {
                id: RequestId(0),
                endpoint: self.endpoint.clone(),
                method: Method::Get,
                target: format!("{}{}", self.prefix, listing::target(self.page)),
                headers: Vec::new(),
                timeout_ns: Nanos::from_secs(30),
                body_bytes_max: BODY_BYTES_MAX,
                read_on: ReadOn::Loop,
            }))
        })
    }

    fn has_transmit(&self) -> bool {
        self.due
    }

    fn book(&self, _: StreamId) -> Option<BookView<'_>> {
        None
    }

    fn counters(&self) -> Counters {
        Counters::default()
    }
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    if args.venue.venue() != Venue::Polymarket {
        let text = "markets lists Polymarket alone so far: other venues' symbols are their names";
        return Err(Failure::Failed(text.into()));
    }
    let bad = |error: tickwire::connectors::transmit::BadUrl| Failure::Failed(Box::new(error));
    let (endpoint, path) = Endpoint::parse(&args.url).map_err(bad)?;
    let found = Arc::new(Mutex::new(Found::default()));
    let lister = Lister {
        endpoint,
        prefix: path.trim_end_matches('/').to_owned(),
        search: args.search.clone(),
        count: args.count,
        page: 0,
        due: false,
        found: Arc::clone(&found),
    };
    let mut builder = Engine::builder()
        .poll(PollMode::PARK)
        .venue(VenueSetup::custom(lister))
        .strategy(StrategySetup::pair().named("markets").watch(
            Venue::Polymarket,
            Market::Prediction,
            ["*"],
            [Channel::BOOK],
        ));
    if let Some(path) = &args.ca {
        let pem = fs::read(path).map_err(|error| {
            Failure::Failed(format!("can't read {}: {error}", path.display()).into())
        })?;
        let roots: Vec<CertificateDer> = tickwire::certificates_from_pem(&pem)
            .map_err(|error| Failure::Failed(error.to_string().into()))?;
        builder = builder.trust_only(roots);
    }
    let engine = builder.spawn()?;
    let started = Stopwatch::start();
    let end = loop {
        let end = found
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .end
            .take();
        match end {
            Some(end) => break end,
            None if started.elapsed() > PATIENCE => break Err("no answer in time".to_owned()),
            None => std::thread::park_timeout(LOOK),
        }
    };
    engine.stop()?;
    end.map_err(|why| Failure::Failed(format!("the listing could not be had: {why}").into()))?;
    let found = found.lock().unwrap_or_else(PoisonError::into_inner);
    print(&found.markets, args.json, &mut io::stdout().lock())?;
    Ok(())
}

fn print(markets: &[Listed], json: bool, out: &mut dyn Write) -> io::Result<()> {
    for market in markets {
        let tick = market.tick_size.map(|tick| tick.to_string());
        let least = market.qty_min.map(|least| least.to_string());
        for (outcome, token) in &market.outcomes {
            if json {
                let line = json!({
                    "type": "market", "venue": "polymarket", "market": "prediction",
                    "symbol": token, "question": market.question, "outcome": outcome,
                    "condition_id": market.condition_id, "tick_size": tick, "qty_min": least,
                    "neg_risk": market.neg_risk, "open": market.is_open,
                });
                writeln!(out, "{line}")?;
            } else {
                let (tick, open) = (tick.as_deref().unwrap_or("?"), market.is_open);
                let state = if open { "open" } else { "closed" };
                writeln!(
                    out,
                    "{token:<78} {outcome:<8} {tick:<7} {state:<6} {}",
                    market.question
                )?;
            }
        }
    }
    Ok(())
}

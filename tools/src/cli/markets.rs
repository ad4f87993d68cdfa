//! `tickwire markets`

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tickwire::connectors::catalog::Catalog;
use tickwire::connectors::connector::{BookView, Counters};
use tickwire::connectors::instrument::{TradingStatus, Venue};
use tickwire::connectors::polymarket::listing::{self, Listed};
use tickwire::connectors::transmit::{
    Endpoint, HttpFailure, HttpRequest, LinkChange, LinkId, Method, ReadOn, RequestId, Response,
    Transmit,
};
use tickwire::connectors::{Command, Network, StreamId};
use tickwire::testing::names;
use tickwire::testing::sim::{Sim, SimVenue, VenueSpec};
use tickwire::{
    CertificateDer, Channel, Connector, Engine, Instrument, Market, Nanos, Outbox, PollMode,
    StrategySetup, VenueSetup,
};

use super::Failure;
use super::venue::VenueName;
use crate::stopwatch::Stopwatch;

/// List a market's instruments with the steps in which they trade. Polymarket's are tokens: each with its
/// question and outcome.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Whose
    #[arg(long)]
    venue: VenueName,
    /// Market: spot, linear, inverse or option; Polymarket has one
    #[arg(long, default_value = "spot")]
    market: Market,
    /// Only those with this text in a name, a question or an outcome
    #[arg(long, value_name = "TEXT", default_value = "")]
    search: String,
    /// End after so many
    #[arg(long, value_name = "N", default_value_t = 50)]
    count: usize,
    /// Polymarket: the CLOB's own listing, of every market that ever was, instead of Gamma's open ones
    #[arg(long)]
    clob: bool,
    /// REST base URL instead of the venue's own
    #[arg(long, value_name = "URL", conflicts_with_all = ["testnet", "simulator"])]
    url: Option<String>,
    /// Ask the venue's testnet
    #[arg(long, conflicts_with = "simulator")]
    testnet: bool,
    /// Ask the simulator, started for it
    #[arg(long)]
    simulator: bool,
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

/// An answer of a thousand markets of the CLOB has some 2 MB.
const BODY_BYTES_MAX: usize = 16 << 20;

/// Instruments of each market in the simulator that is started for it.
const SIMULATED: usize = 4;

/// One thing that is listed.
#[derive(Clone, Debug)]
enum Row {
    Instrument(Box<Instrument>),
    Tokens(Listed),
}

impl Row {
    fn is_meant(&self, search: &str) -> bool {
        let search = search.to_lowercase();
        let has = |text: &str| text.to_lowercase().contains(&search);
        match self {
            Row::Instrument(one) => has(&one.key.symbol) || has(&one.venue_symbol),
            Row::Tokens(market) => {
                has(&market.question) || market.outcomes.iter().any(|(name, _)| has(name))
            }
        }
    }
}

/// What has come, and how it ended.
#[derive(Debug, Default)]
struct Found {
    rows: Vec<Row>,
    /// `Some` when nothing more comes.
    end: Option<Result<(), String>>,
}

/// Whose list it is.
#[derive(Debug)]
enum List {
    Venue(Catalog),
    Gamma { at: (Endpoint, String), page: usize },
    Clob { at: (Endpoint, String) },
}

impl List {
    /// The request of the page that comes next.
    fn request(&self, next: Option<&str>) -> HttpRequest {
        let ((endpoint, path), target) = match self {
            List::Venue(catalog) => return catalog.request(RequestId(0), next),
            List::Gamma { at, page } => (at, listing::target(*page)),
            List::Clob { at } => (at, listing::clob_target(next)),
        };
        HttpRequest {
            id: RequestId(0),
            endpoint: endpoint.clone(),
            method: Method::Get,
            target: format!("{}{target}", path.trim_end_matches('/')),
            headers: Vec::new(),
            timeout_ns: Nanos::from_secs(30),
            body_bytes_max: BODY_BYTES_MAX,
            read_on: ReadOn::Loop,
        }
    }

    /// Reads a page; gives what names the next, where there is one.
    fn read(
        &mut self,
        body: &mut [u8],
    ) -> Result<(Vec<Row>, Option<String>), tickwire::connectors::Error> {
        let tokens = |listed: Vec<Listed>| listed.into_iter().map(Row::Tokens).collect();
        match self {
            List::Venue(catalog) => {
                let page = catalog.read(body)?;
                let rows = page.instruments.into_iter();
                let rows = rows.map(|one| Row::Instrument(Box::new(one)));
                Ok((rows.collect(), page.next))
            }
            List::Gamma { page, .. } => {
                let listed = listing::read(body)?;
                *page += 1;
                let next = (listed.len() == listing::PAGE).then(|| page.to_string());
                Ok((tokens(listed), next))
            }
            List::Clob { .. } => {
                let (listed, next) = listing::read_clob(body)?;
                Ok((tokens(listed), next))
            }
        }
    }
}

/// Asks for one page after the other, on the engine's own HTTP.
struct Lister {
    venue: Venue,
    market: Market,
    list: List,
    search: String,
    count: usize,
    next: Option<String>,
    due: bool,
    found: Arc<Mutex<Found>>,
}

impl Lister {
    fn take(&mut self, response: Result<Response<'_>, HttpFailure>) {
        let page = match response {
            Err(failure) => Err(failure.to_string()),
            Ok(response) if response.status != 200 => Err(format!("HTTP {}", response.status)),
            Ok(response) => {
                let read = self.list.read(response.body);
                read.map_err(|error| error.to_string())
            }
        };
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        match page {
            Err(why) => found.end = Some(Err(why)),
            Ok((page, next)) => {
                let wanted = page.into_iter().filter(|row| row.is_meant(&self.search));
                found.rows.extend(wanted);
                if next.is_none() || found.rows.len() >= self.count {
                    found.rows.truncate(self.count);
                    found.end = Some(Ok(()));
                } else {
                    self.next = next;
                    self.due = true;
                }
            }
        }
    }
}

impl Connector for Lister {
    fn venue(&self) -> Venue {
        self.venue
    }

    fn market(&self) -> Market {
        self.market
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
            let request = self.list.request(self.next.as_deref());
            Transmit::Http(Box::new(request))
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

/// The simulator of one market.
fn simulator(venue: Venue, market: Market) -> Result<(Sim, String), Failure> {
    let of = |one: &SimVenue| names(*one) == (venue, market);
    let Some(one) = SimVenue::ALL.into_iter().find(of) else {
        let text = format!("the simulator has no {venue} {market}");
        return Err(Failure::Failed(text.into()));
    };
    let spec = VenueSpec::of(one).instruments(SIMULATED);
    let sim = Sim::builder().venue(spec).start()?;
    let url = sim.rest_url(one);
    Ok((sim, url))
}

/// The list that is asked for; `rest_url` is another host than the venue's own.
fn list(args: &Args, market: Market, rest_url: Option<&str>) -> Result<List, Failure> {
    let venue = args.venue.venue();
    if venue != Venue::Polymarket {
        let network = match rest_url {
            // Nobody connects to the first.
            Some(url) => Network::from(("wss://localhost", url)),
            None if args.testnet => Network::Testnet,
            None => Network::Mainnet,
        };
        return Ok(List::Venue(Catalog::of(venue, market, network)?));
    }
    if args.testnet {
        let text = "Polymarket has no public test network: leave --testnet out, or use --simulator";
        return Err(Failure::Failed(text.into()));
    }
    let own = match args.clob {
        true => "https://clob.polymarket.com",
        false => "https://gamma-api.polymarket.com",
    };
    // The simulator has Gamma's under a path of the same host.
    let simulated = rest_url.map(|url| match (args.simulator, args.clob) {
        (true, false) => format!("{url}/gamma"),
        _ => url.to_owned(),
    });
    let bad = |error: tickwire::connectors::transmit::BadUrl| Failure::Failed(Box::new(error));
    let at = Endpoint::parse(simulated.as_deref().unwrap_or(own)).map_err(bad)?;
    Ok(match args.clob {
        true => List::Clob { at },
        false => List::Gamma { at, page: 0 },
    })
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let venue = args.venue.venue();
    let market = match venue {
        Venue::Polymarket => Market::Prediction,
        _ => args.market,
    };
    let mut roots = None;
    if let Some(path) = &args.ca {
        let pem = fs::read(path).map_err(|error| {
            Failure::Failed(format!("can't read {}: {error}", path.display()).into())
        })?;
        let certificates = tickwire::certificates_from_pem(&pem)
            .map_err(|error| Failure::Failed(error.to_string().into()))?;
        roots = Some(certificates);
    }
    let mut rest_url = args.url.clone();
    let mut simulated = None;
    if args.simulator {
        let (sim, url) = simulator(venue, market)?;
        roots = Some(vec![CertificateDer::from(sim.ca_der().to_vec())]);
        (rest_url, simulated) = (Some(url), Some(sim));
    }
    let found = Arc::new(Mutex::new(Found::default()));
    let lister = Lister {
        venue,
        market,
        list: list(args, market, rest_url.as_deref())?,
        search: args.search.clone(),
        count: args.count,
        next: None,
        due: false,
        found: Arc::clone(&found),
    };
    let mut builder = Engine::builder()
        .poll(PollMode::PARK)
        .venue(VenueSetup::custom(lister))
        .strategy(StrategySetup::pair().named("markets").watch(
            venue,
            market,
            ["*"],
            [Channel::BOOK],
        ));
    if let Some(roots) = roots {
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
    if let Some(mut sim) = simulated {
        sim.stop();
    }
    end.map_err(|why| Failure::Failed(format!("the listing could not be had: {why}").into()))?;
    let found = found.lock().unwrap_or_else(PoisonError::into_inner);
    print(&found.rows, args.json, &mut io::stdout().lock())?;
    Ok(())
}

fn print(rows: &[Row], json: bool, out: &mut dyn Write) -> io::Result<()> {
    for row in rows {
        match row {
            Row::Instrument(one) => print_instrument(one, json, out)?,
            Row::Tokens(market) => print_tokens(market, json, out)?,
        }
    }
    Ok(())
}

const fn state(status: TradingStatus) -> &'static str {
    match status {
        TradingStatus::Unknown => "unknown",
        TradingStatus::Trading => "open",
        TradingStatus::Halted => "halted",
        TradingStatus::Closed => "closed",
    }
}

fn print_instrument(one: &Instrument, json: bool, out: &mut dyn Write) -> io::Result<()> {
    let tick = one.tick_size.map(|tick| tick.plain().to_string());
    let lot = one.lot_size.map(|lot| lot.plain().to_string());
    let notional = one.notional_min.map(|least| least.plain().to_string());
    let (venue, market) = (one.key.venue, one.key.market);
    let state = state(one.status);
    if !json {
        let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        return writeln!(
            out,
            "{:<24} {:<24} {:<8} {:<6} tick {:<10} lot {:<10} value {:<6} {state}",
            one.key.symbol,
            one.venue_symbol,
            one.base,
            one.quote,
            or_none(&tick),
            or_none(&lot),
            or_none(&notional),
        );
    }
    let text = |text: &str| (!text.is_empty()).then(|| Value::from(text));
    let line = json!({
        "type": "market", "venue": venue.as_str(), "market": market.as_str(),
        "symbol": one.key.symbol.as_str(), "venue_symbol": one.venue_symbol.as_str(),
        "base": text(&one.base), "quote": text(&one.quote), "settle": text(&one.settle),
        "tick_size": tick, "lot_size": lot,
        "qty_min": one.qty_min.map(|least| least.plain().to_string()),
        "notional_min": notional,
        "contract_size": one.contract_size.map(|size| size.plain().to_string()),
        "expiry_ms": one.expiry_ns.map(|at| at.as_millis()),
        "state": state,
    });
    writeln!(out, "{line}")
}

fn print_tokens(market: &Listed, json: bool, out: &mut dyn Write) -> io::Result<()> {
    let tick = market.tick_size.map(|tick| tick.to_string());
    let least = market.qty_min.map(|least| least.to_string());
    let state = if market.is_open { "open" } else { "closed" };
    for (outcome, token) in &market.outcomes {
        if json {
            let line = json!({
                "type": "market", "venue": "polymarket", "market": "prediction",
                "symbol": token, "question": market.question, "outcome": outcome,
                "condition_id": market.condition_id, "tick_size": tick, "qty_min": least,
                "neg_risk": market.neg_risk, "state": state,
            });
            writeln!(out, "{line}")?;
        } else {
            let tick = tick.as_deref().unwrap_or("?");
            writeln!(
                out,
                "{token:<78} {outcome:<8} {tick:<7} {state:<6} {}",
                market.question
            )?;
        }
    }
    Ok(())
}

//! The sans-IO simulator: every venue as a state machine. A shell gives it what came from its
//! connections and the time, and takes from an [`Outbox`] what to send. The same seed and the same
//! inputs at the same times give the same outputs.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use crate::control::Command;
use crate::error::SimError;
use crate::exchange::{
    Amount, CLIENTS_FROM, ClientIds, Exchange, Keys, Ledger, Listing, Settle, terms,
};
use crate::fault::Faults;
use crate::inject::{Injector, refusal};
use crate::market::Market;
use crate::outbox::{ConnId, Mark, Outbox};
use crate::replay::{Recording, ReplayFeed};
use crate::sent::{SendLog, SentWriter};
use crate::spec::{SimVenue, Source, VenueSpec};
use crate::stats::{Counters, Stats};
use crate::truth::Truth;
use crate::venue::binance::{Binance, BinanceFeed};
use crate::venue::bybit::{Bybit, BybitFeed};
use crate::venue::deribit::{Deribit, DeribitFeed};
use crate::venue::polymarket::{Polymarket, PolymarketFeed, complement};
use crate::venue::{Accept, Common, Feed, HttpRequest, HttpResponse, Venue, earlier};

/// All venues of one simulator, without sockets and without a clock.
#[derive(Debug)]
pub struct World {
    pub(crate) venues: Vec<(SimVenue, Box<dyn Venue>)>,
    pub(crate) injector: Injector,
    truth: Truth,
    sent: SendLog,
    counters: Vec<(SimVenue, Arc<Counters>)>,
}

impl World {
    /// Builds the venues. `now` is the start time in ns since 1970, `base` the same moment of the
    /// clock in which the send log is to answer.
    ///
    /// # Errors
    /// For a venue given twice, symbols that cannot be listed, and recordings that cannot be read.
    pub fn new(specs: &[VenueSpec], seed: u64, now: i64, base: Instant) -> Result<Self, SimError> {
        if specs.is_empty() {
            return Err(SimError::NoVenue);
        }
        let sent = SendLog::new(base, now);
        let mut world = Self {
            venues: Vec::new(),
            injector: Injector::default(),
            truth: Truth::default(),
            sent,
            counters: Vec::new(),
        };
        let mut books = HashMap::new();
        let mut seeds = fastrand::Rng::with_seed(seed);
        for spec in specs {
            let venue = spec.venue;
            if world.venues.iter().any(|(known, _)| *known == venue) {
                return Err(SimError::DuplicateVenue(venue));
            }
            // Drawn whatever the source, so that one venue's kind does not change another's chance.
            let (market_seed, session_seed) = (seeds.u64(..), seeds.u64(..));
            let counters = Arc::new(Counters::default());
            world.counters.push((venue, Arc::clone(&counters)));
            let mut exchange = Exchange::default();
            let feed: Box<dyn Feed> = match &spec.source {
                Source::Recording { .. } if venue.is_deribit() => {
                    let what = "recordings of Deribit are not served";
                    return Err(SimError::BadSpec { venue, what });
                }
                Source::Recording { path, speed } => Box::new(ReplayFeed::new(
                    venue,
                    Recording::load(path, venue)?,
                    *speed,
                )),
                Source::Synthetic => {
                    let market = Market::new(spec, market_seed, now)?;
                    exchange = open_exchange(spec, &market, session_seed)?;
                    for one in &market.instruments {
                        books.insert((venue, one.spec.symbol.clone()), Arc::clone(&one.history));
                    }
                    if venue.is_binance() {
                        Box::new(BinanceFeed::new(venue, market))
                    } else if venue.is_deribit() {
                        Box::new(DeribitFeed::new(venue, market, market_seed))
                    } else if venue == SimVenue::Polymarket {
                        Box::new(PolymarketFeed::new(market, market_seed, now))
                    } else {
                        let vary = spec.vary_key_order;
                        Box::new(BybitFeed::new(venue, market, market_seed, vary, now))
                    }
                }
            };
            let common = Common {
                venue,
                limits: spec.limits.clone(),
                counters,
                sent: SentWriter::new(world.sent.clone(), venue, spec.sent_ring),
                rng: fastrand::Rng::with_seed(session_seed),
                faults: Faults::new(world.injector.log(), session_seed.rotate_left(32)),
                exchange,
                keys: Keys::new(&spec.accounts),
                late: Vec::new(),
            };
            let machine: Box<dyn Venue> = if venue.is_binance() {
                Box::new(Binance::new(common, feed, spec.legacy_paths))
            } else if venue.is_deribit() {
                Box::new(Deribit::new(common, feed))
            } else if venue == SimVenue::Polymarket {
                Box::new(Polymarket::new(common, feed, spec.user_key.clone()))
            } else {
                Box::new(Bybit::new(common, feed))
            };
            world.venues.push((venue, machine));
        }
        world.truth = Truth {
            books: Arc::new(books),
        };
        Ok(world)
    }

    pub(crate) fn venue(&mut self, venue: SimVenue) -> Option<&mut dyn Venue> {
        let found = self.venues.iter_mut().find(|(known, _)| *known == venue);
        found.map(|(_, machine)| machine.as_mut() as &mut dyn Venue)
    }

    /// A client asks to upgrade on this path. On `Accept::Upgrade` the connection is open.
    pub fn handle_open(
        &mut self,
        venue: SimVenue,
        conn: ConnId,
        target: &str,
        now: i64,
        out: &mut Outbox,
    ) -> Accept {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        match self.venue(venue) {
            Some(machine) => {
                let faults = &mut machine.common_mut().faults;
                if faults.is_down() {
                    // A shell should not have let it come so far.
                    return Accept::Refuse(HttpResponse::json(503, Vec::new()));
                }
                if let Some(found) = faults.take_upgrade(now) {
                    return Accept::Refuse(refusal(venue, found));
                }
                machine.handle_open(conn, path, query, now, out)
            }
            None => Accept::Refuse(HttpResponse::json(404, Vec::new())),
        }
    }

    /// A text message came.
    pub fn handle_text(
        &mut self,
        venue: SimVenue,
        conn: ConnId,
        text: &str,
        now: i64,
        out: &mut Outbox,
    ) {
        if let Some(machine) = self.venue(venue) {
            machine.handle_text(conn, text, now, out);
        }
    }

    /// A ping frame came.
    pub fn handle_ping(
        &mut self,
        venue: SimVenue,
        conn: ConnId,
        payload: &[u8],
        now: i64,
        out: &mut Outbox,
    ) {
        if let Some(machine) = self.venue(venue) {
            machine.handle_ping(conn, payload, now, out);
        }
    }

    /// A pong frame came.
    pub fn handle_pong(
        &mut self,
        venue: SimVenue,
        conn: ConnId,
        payload: &[u8],
        now: i64,
        out: &mut Outbox,
    ) {
        if let Some(machine) = self.venue(venue) {
            machine.handle_pong(conn, payload, now, out);
        }
    }

    /// The connection is gone. Harmless if the venue itself ended it.
    pub fn handle_closed(&mut self, venue: SimVenue, conn: ConnId) {
        if let Some(machine) = self.venue(venue) {
            machine.handle_closed(conn);
        }
    }

    /// A REST request came.
    pub fn handle_http(
        &mut self,
        venue: SimVenue,
        request: &HttpRequest<'_>,
        now: i64,
    ) -> HttpResponse {
        match self.venue(venue) {
            Some(machine) => {
                let common = machine.common_mut();
                if common.faults.is_down() {
                    return HttpResponse::json(503, Vec::new());
                }
                if let Some(found) = common.faults.take_request(now) {
                    let counters = &common.counters;
                    Counters::add(&counters.rest_requests, 1);
                    match found.status {
                        418 => Counters::add(&counters.rest_banned, 1),
                        403 | 429 => Counters::add(&counters.rest_limited, 1),
                        _ => {}
                    }
                    return refusal(venue, found);
                }
                machine.handle_http(request, now)
            }
            None => HttpResponse::json(404, Vec::new()),
        }
    }

    /// Steers a venue.
    pub fn handle_control(
        &mut self,
        venue: SimVenue,
        command: &Command,
        now: i64,
        out: &mut Outbox,
    ) {
        if let Command::Inject { after_ns, fault } = command {
            self.inject_after(venue, (*after_ns, fault), now, out);
        } else if let Some(machine) = self.venue(venue) {
            machine.handle_control(command, now, out);
        }
    }

    /// Does what is due at all venues. Returns when to be called again; a time that is not after
    /// `now` means that more is due already.
    pub fn poll(&mut self, now: i64, out: &mut Outbox) -> Option<i64> {
        while let Some(at) = self.next_fault_ns().filter(|at| *at <= now) {
            // What is due before a fault happens before it.
            if let Some(next) = self.poll_venues(at, out).filter(|next| *next <= at) {
                return Some(next);
            }
            self.turn_faults(at, out);
        }
        earlier(self.poll_venues(now, out), self.next_fault_ns())
    }

    fn poll_venues(&mut self, now: i64, out: &mut Outbox) -> Option<i64> {
        let machines = self.venues.iter_mut();
        machines.fold(None, |next, (_, machine)| {
            earlier(next, machine.poll(now, out))
        })
    }

    /// Logs that a marked message was written at `written_ns`; `late` as in [`crate::Sent`].
    pub fn record(&self, venue: SimVenue, mark: Mark, written_ns: i64, late: bool) {
        if let Some((_, machine)) = self.venues.iter().find(|(known, _)| *known == venue) {
            machine.common().sent.record(mark, written_ns, late);
        }
    }

    /// Which streams each open WebSocket connection of a venue holds, by age.
    #[must_use]
    pub fn links(&self, venue: SimVenue) -> Vec<Vec<String>> {
        let found = self.venues.iter().find(|(known, _)| *known == venue);
        let links = found.map(|(_, machine)| machine.links());
        let links = links.unwrap_or_default().into_iter();
        links.map(|(_, streams)| streams).collect()
    }

    /// What an account of a venue really has, by its name.
    #[must_use]
    pub fn ledger(&self, venue: SimVenue, account: &str) -> Option<Ledger> {
        let (_, machine) = self.venues.iter().find(|(known, _)| *known == venue)?;
        machine.common().exchange.view(account)
    }

    /// The truth of all synthetic books.
    #[must_use]
    pub fn truth(&self) -> Truth {
        self.truth.clone()
    }

    /// The send log.
    #[must_use]
    pub fn sent(&self) -> SendLog {
        self.sent.clone()
    }

    /// A venue's counters.
    #[must_use]
    pub fn stats(&self, venue: SimVenue) -> Stats {
        let found = self.counters.iter().find(|(known, _)| *known == venue);
        found
            .map(|(_, counters)| counters.read())
            .unwrap_or_default()
    }

    pub(crate) fn counters(&self) -> Vec<(SimVenue, Arc<Counters>)> {
        self.counters.clone()
    }
}

/// The exchange of a synthetic market, with its accounts and their money.
fn open_exchange(spec: &VenueSpec, market: &Market, seed: u64) -> Result<Exchange, SimError> {
    let listings = market.instruments.iter().flat_map(|one| {
        let (settle, fees, decimals) = terms(spec, &one.spec);
        let last = one.tape.day.close;
        if spec.venue != SimVenue::Polymarket {
            return vec![(Listing::new(&one.spec, settle, fees, decimals), last)];
        }
        // Two tokens, each an asset of its own, whose prices add up to one.
        let yes = one.spec.symbol.clone();
        let tokens = [
            (complement(&yes), one.spec.ticks_max + 1 - last),
            (yes, last),
        ];
        let listing = |(token, last): (String, i64)| {
            let (base, quote) = (token.clone(), one.spec.quote.clone());
            let settle = Settle::Spot { base, quote };
            let mut listing = Listing::new(&one.spec, settle, fees, decimals);
            listing.symbol = token;
            (listing, last)
        };
        tokens.into_iter().rev().map(listing).collect()
    });
    let names: Vec<&str> = spec
        .accounts
        .iter()
        .map(|account| account.name.as_str())
        .collect();
    let client_ids = match spec.venue {
        venue if venue.is_binance() => ClientIds::OnceOpen,
        // Polymarket's stand for the hash of what was signed: no order has another's.
        SimVenue::BybitSpot | SimVenue::BybitLinear | SimVenue::Polymarket => ClientIds::Once,
        _ => ClientIds::Labels,
    };
    // Ids look like a venue's that has been there for long, and differ by seed.
    let ids_from = 1_000_000_000 + seed % 1_000_000_000;
    let mut exchange =
        Exchange::new(listings.collect(), &names, ids_from).with_client_ids(client_ids);
    for (index, account) in spec.accounts.iter().enumerate() {
        for (asset, amount) in &account.balances {
            let amount = Amount::parse(amount).ok_or(SimError::BadSpec {
                venue: spec.venue,
                what: "a balance is not a decimal number of at most 12 digits after the point",
            })?;
            exchange.deposit(CLIENTS_FROM + index, asset, amount);
        }
    }
    Ok(exchange)
}

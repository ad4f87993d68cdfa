//! A quoter with an inventory limit, the same on every venue, against the simulator; at its end the
//! balances that it was told of are compared with the simulator's own ledger, to the last digit:
//! `cargo run --release -p tickwire --example quoter -- --venue bybit --seconds 8 --json`

#![expect(clippy::print_stdout, reason = "an example shows what it gets")]

use std::collections::HashMap;
use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tickwire::connectors::channel::ALL_SYMBOLS;
use tickwire::connectors::order::{
    Balance, ClientOrderId, Fill, OrderRequest, OrderStatus, OrderType, OrderUpdate, Size,
    TimeInForce,
};
use tickwire::connectors::trading::{Action, OrderId, OrderRef};
use tickwire::connectors::wide::{Asked, Refusal};
use tickwire::connectors::{Credentials, InstrumentKey, Outcome};
use tickwire::driver::DriverConfig;
use tickwire::{
    Amount, Bbo, CertificateDer, Channel, Clock, Context, Engine, Market, Nanos, PollMode, Price,
    Qty, Scale, Side, Source, StateChange, Strategy, StrategySetup, Symbol, TimerId, Venue, Wide,
};
use tickwire_sim::{AccountSpec, Sim, SimVenue, VenueSpec};

/// A side is quoted anew at most so often: the strictest venue takes 5 orders and cancels a second.
const QUOTE_EVERY: Nanos = Nanos::from_millis(800);

/// The timer that looks whether it is time to end.
const LOOK: TimerId = 1;
const LOOK_EVERY: Nanos = Nanos::from_millis(20);

/// What happened, for who asks from outside.
#[derive(Default)]
struct Tally {
    orders: u64,
    fills: u64,
    cancels: u64,
    status: HashMap<ClientOrderId, OrderStatus>,
    balances: HashMap<String, (Amount, Amount)>,
}

/// One side's order.
#[derive(Clone, Copy)]
struct Quote {
    id: ClientOrderId,
    price: Price,
    canceling: bool,
}

struct Quoter {
    instrument: InstrumentKey,
    size: Qty,
    /// At most so many sizes long or short.
    sizes_max: i64,
    /// In sizes' units.
    inventory: Amount,
    quotes: [Option<Quote>; 2],
    next_at: [Nanos; 2],
    account_is_live: bool,
    ending: Arc<AtomicBool>,
    tally: Arc<Mutex<Tally>>,
}

const fn index(side: Side) -> usize {
    match side {
        Side::Bid => 0,
        Side::Ask => 1,
    }
}

impl Quoter {
    fn tally(&self, note: impl FnOnce(&mut Tally)) {
        note(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Whether one more order of this side keeps the inventory within its limit.
    fn has_room(&self, side: Side) -> bool {
        let limit = self.size.mantissa() * self.sizes_max;
        let limit = Amount::new(limit.into(), self.size.scale().get()).unwrap_or_default();
        let held = match side {
            Side::Bid => Some(self.inventory),
            Side::Ask => Amount::ZERO.checked_sub(self.inventory),
        };
        held.is_some_and(|held| held < limit)
    }

    fn cancel(&mut self, side: Side, context: &mut Context) {
        let InstrumentKey {
            venue,
            market,
            symbol,
        } = self.instrument;
        if let Some(quote) = self.quotes[index(side)]
            .as_mut()
            .filter(|quote| !quote.canceling)
        {
            let order = OrderRef {
                symbol,
                id: OrderId::Client(quote.id),
            };
            quote.canceling = context.cancel(venue, market, order).is_ok();
        }
    }

    fn place(&mut self, side: Side, price: Price, context: &mut Context) {
        let id = context.next_order_id();
        let order = OrderRequest {
            instrument: self.instrument,
            side,
            order_type: OrderType::LimitMaker,
            size: Size::Base(self.size),
            price: Some(price),
            stop: None,
            time_in_force: TimeInForce::Gtc,
            reduce_only: false,
            client_order_id: id,
        };
        if context.place(&order).is_ok() {
            self.quotes[index(side)] = Some(Quote {
                id,
                price,
                canceling: false,
            });
            self.next_at[index(side)] = context.now() + QUOTE_EVERY;
            self.tally(|tally| tally.orders += 1);
        }
    }
}

impl Strategy for Quoter {
    fn on_start(&mut self, context: &mut Context) {
        context.set_timer(LOOK, LOOK_EVERY);
    }

    fn on_bbo(&mut self, context: &mut Context, bbo: &Bbo) {
        if !bbo.is_live() || !self.account_is_live || self.ending.load(Ordering::Acquire) {
            return;
        }
        for (side, best) in [(Side::Bid, bbo.bid()), (Side::Ask, bbo.ask())] {
            let Some((price, _)) = best else { continue };
            match self.quotes[index(side)] {
                Some(quote) if quote.price != price => self.cancel(side, context),
                None if self.has_room(side) && context.now() >= self.next_at[index(side)] => {
                    self.place(side, price, context);
                }
                _ => {}
            }
        }
    }

    fn on_state(&mut self, _context: &mut Context, change: &StateChange) {
        if change.source() == Source::Account {
            self.account_is_live = change.is_live();
        }
    }

    fn on_order(&mut self, _context: &mut Context, _event: &Wide, order: &OrderUpdate) {
        let slot = &mut self.quotes[index(order.side)];
        if order.status.is_final() && slot.is_some_and(|quote| quote.id == order.client_order_id) {
            *slot = None;
        }
        self.tally(|tally| {
            let before = tally.status.insert(order.client_order_id, order.status);
            let is_canceled = |status: OrderStatus| status == OrderStatus::Canceled;
            if is_canceled(order.status) && !before.is_some_and(is_canceled) {
                tally.cancels += 1;
            }
        });
    }

    fn on_fill(&mut self, _context: &mut Context, _event: &Wide, fill: &Fill) {
        let qty = Amount::from(fill.qty);
        let inventory = match fill.side {
            Side::Bid => self.inventory.checked_add(qty),
            Side::Ask => self.inventory.checked_sub(qty),
        };
        self.inventory = inventory.unwrap_or(self.inventory);
        self.tally(|tally| tally.fills += 1);
    }

    fn on_balance(&mut self, _context: &mut Context, _event: &Wide, balance: &Balance) {
        let held = (balance.total, balance.available);
        self.tally(|tally| {
            tally.balances.insert(balance.currency.to_string(), held);
        });
    }

    fn on_refusal(&mut self, _context: &mut Context, _event: &Wide, refusal: &Refusal) {
        for slot in &mut self.quotes {
            let Some(quote) = slot
                .as_mut()
                .filter(|quote| quote.id == refusal.client_order_id)
            else {
                continue;
            };
            match (refusal.asked, refusal.outcome) {
                (Asked::Place, Outcome::NotSent | Outcome::Rejected) => *slot = None,
                (Asked::Cancel, _) => quote.canceling = false,
                _ => {}
            }
        }
    }

    fn on_timer(&mut self, context: &mut Context, _timer: TimerId) {
        context.set_timer(LOOK, LOOK_EVERY);
        if self.ending.load(Ordering::Acquire) {
            for side in [Side::Bid, Side::Ask] {
                self.cancel(side, context);
            }
        }
    }

    fn on_stop(&mut self, context: &mut Context) {
        let InstrumentKey { venue, market, .. } = self.instrument;
        // Nothing is left behind, whatever has ended it.
        let _ = context.act(venue, market, Action::CancelAll(None));
    }
}

struct Args {
    venue: Venue,
    sim: SimVenue,
    /// Unified and as the venue writes it.
    symbol: (&'static str, &'static str),
    seconds: i64,
    json: bool,
}

fn arguments() -> Result<Args, Box<dyn Error>> {
    let (mut venue, mut seconds, mut json) = ("binance".to_owned(), 8, false);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--venue" => venue = words.next().ok_or("--venue wants a name")?,
            "--seconds" => seconds = words.next().ok_or("--seconds wants a number")?.parse()?,
            "--json" => json = true,
            other => return Err(format!("unknown option {other}").into()),
        }
    }
    let tether = ("BTC/USDT", "BTCUSDT");
    let (venue, sim, symbol) = match venue.as_str() {
        "binance" => (Venue::Binance, SimVenue::BinanceSpot, tether),
        "bybit" => (Venue::Bybit, SimVenue::BybitSpot, tether),
        "deribit" => (
            Venue::Deribit,
            SimVenue::DeribitSpot,
            ("BTC/USDC", "BTC_USDC"),
        ),
        other => {
            return Err(format!("no orders on {other}: use binance, bybit or deribit").into());
        }
    };
    Ok(Args {
        venue,
        sim,
        symbol,
        seconds,
        json,
    })
}

/// Whether what was told is what the ledger has.
fn balances_match(sim: &Sim, venue: SimVenue, tally: &Tally) -> bool {
    let Some(ledger) = sim.control().ledger(venue, "demo") else {
        return false;
    };
    ledger.balances.iter().all(|real| {
        let parsed = (real.free.parse::<Amount>(), real.locked.parse::<Amount>());
        let (Ok(free), Ok(locked)) = parsed else {
            return false;
        };
        let told = tally.balances.get(&real.asset).copied().unwrap_or_default();
        free.checked_add(locked) == Some(told.0) && free == told.1
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    let Args {
        venue,
        sim: sim_venue,
        symbol: (symbol, venue_symbol),
        seconds,
        json,
    } = arguments()?;
    let spec = VenueSpec::of(sim_venue)
        .symbols(&[venue_symbol])
        .demo_account();
    let sim = Sim::builder().venue(spec).start()?;
    let config = DriverConfig::mainnet(venue, Market::Spot)
        .at((sim.ws_url(sim_venue), sim.rest_url(sim_venue)))
        .with_credentials(Credentials::hmac(
            AccountSpec::DEMO_KEY,
            AccountSpec::DEMO_SECRET,
        ));

    let (ending, tally) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(Mutex::new(Tally::default())),
    );
    let quoter = Quoter {
        instrument: InstrumentKey {
            venue,
            market: Market::Spot,
            symbol: Symbol::from(symbol).unwrap_or_default(),
        },
        size: Qty::new(1, Scale::of(2)),
        sizes_max: 5,
        inventory: Amount::ZERO,
        quotes: [None; 2],
        next_at: [Nanos::ZERO; 2],
        account_is_live: false,
        ending: Arc::clone(&ending),
        tally: Arc::clone(&tally),
    };
    let strategy = StrategySetup::new(quoter)
        .named("quoter")
        .watch(venue, Market::Spot, [ALL_SYMBOLS], [Channel::User])
        .watch(venue, Market::Spot, [symbol], [Channel::Bbo]);
    let engine = Engine::builder()
        .venue(config.venue_setup()?)
        .trust_only(vec![CertificateDer::from(sim.ca_der().to_vec())])
        .strategy(strategy)
        .poll(PollMode::PARK)
        .spawn()?;

    let clock = Clock::start();
    let end = clock.now() + Nanos::from_secs(seconds);
    while clock.now() < end {
        std::thread::park_timeout(Duration::from_millis(50));
    }
    ending.store(true, Ordering::Release);
    // Until every order has ended and the last balance has come, 10 s at most.
    let (mut matches, last) = (false, clock.now() + Nanos::from_secs(10));
    while !matches && clock.now() < last {
        std::thread::park_timeout(Duration::from_millis(20));
        let tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = tally.status.values().all(|status| status.is_final());
        matches = is_over && balances_match(&sim, sim_venue, &tally);
    }
    engine.stop()?;

    let tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
    let Tally {
        orders,
        fills,
        cancels,
        ..
    } = *tally;
    let unknown = tally
        .status
        .values()
        .filter(|status| **status == OrderStatus::Unknown)
        .count();
    if json {
        println!(
            r#"{{"type":"summary","venue":"{venue}","orders":{orders},"fills":{fills},"cancels":{cancels},"unknown":{unknown},"balances_match":{matches}}}"#
        );
    } else {
        println!(
            "{orders} orders, {fills} fills, {cancels} cancels, {unknown} unknown; balances match the venue's ledger: {matches}"
        );
    }
    if matches {
        Ok(())
    } else {
        Err("the balances are not the ledger's".into())
    }
}

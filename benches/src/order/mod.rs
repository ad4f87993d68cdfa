//! From a strategy's command to the bytes on the venue's socket, beside a raw write of the same bytes
//! through the same TLS library.
//!
//! The venue is the simulator's core behind TLS in memory, in virtual time, so that its limit of five
//! orders a second is none of ours; what is measured is written to a real socket, system call included,
//! and the clock stops when the call returns.

mod peer;

use std::fmt;
use std::io::{Cursor, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use serde_json::{Value, json};
use tickwire::connectors::channel::ALL_SYMBOLS;
use tickwire::connectors::order::{
    ClientOrderId, OrderRequest, OrderStatus, OrderType, OrderUpdate, Size, TimeInForce,
};
use tickwire::connectors::trading::{Action, ClientIds};
use tickwire::connectors::{Credentials, InstrumentKey};
use tickwire::driver::DriverConfig;
use tickwire::telemetry::Histogram;
use tickwire::testing::{HandEngine, alloc};
use tickwire::wire::tls::Records;
use tickwire::wire::zone::{self, Zone};
use tickwire::{
    Channel, Context, Engine, Market, Nanos, PollMode, Price, Qty, Scale, Side, Source,
    StateChange, Strategy, StrategySetup, Symbol, TimerId, Venue, Wide,
};
use tickwire_sim::AccountSpec;

use crate::isolation::{commit, identity, machine};
use peer::{Drain, Peer, Watch};

pub use crate::isolation::Failure;
pub(crate) use crate::isolation::moment;

/// Virtual time between two orders: four a second, where the venue takes five.
const PACE_NS: i64 = 250_000_000;

/// A step of virtual time while answers are on their way.
const STEP_NS: i64 = 5_000_000;

/// Orders that are not counted: caches and buffers grow in them.
const WARM_UP: u64 = 200;

/// Turns of the loop behind an order before the raw write: the order's answer has been read.
const RAW_AFTER: u64 = 25;

/// 2023-11-14, as good as any day.
const START_NS: i64 = 1_700_000_040_000_000_000;

/// Steps after which an order that has not ended was none: two seconds.
const PASSES_MAX: usize = 400;

/// Turns without an order mean that nothing comes any more.
const TURNS_MAX: u64 = 10_000_000;

/// How many and by which chance.
#[derive(Clone, Debug)]
pub struct Options {
    /// Orders that count, each way.
    pub orders: u64,
    /// Of all chance but the system's.
    pub seed: u64,
    /// Only ways whose name has this in it.
    pub only: Option<String>,
}

/// One way for an order to travel.
#[derive(Clone, Debug)]
pub struct Way {
    /// What it is.
    pub name: &'static str,
    /// In nanoseconds.
    pub times: Histogram<u64>,
    /// The raw write of the same bytes between two orders, in nanoseconds; `None` where there was none.
    pub raw: Option<Histogram<u64>>,
    /// Bytes of the last order's frame.
    bytes: usize,
    /// What our own code and the TLS library allocated, a thousand orders; `None` where not counted.
    pub allocated: Option<(u64, u64)>,
}

/// A run.
#[derive(Clone, Debug)]
pub struct Report {
    /// Every way.
    pub ways: Vec<Way>,
    orders: u64,
    machine: String,
    commit: String,
}

/// Who signs what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    /// The link is logged in once; orders carry no signature.
    Session,
    /// Each order is signed (HMAC-SHA256).
    EachOrder,
}

struct Identity {
    server: Arc<ServerConfig>,
    authority: CertificateDer<'static>,
}

/// Measures every way in one sitting.
///
/// # Errors
/// What could not be set up, or what came to a stop.
pub fn run(options: &Options) -> Result<Report, Failure> {
    let (server, authority) = identity()?;
    let identity = Identity { server, authority };
    let mut ways = Vec::new();
    for (name, key, records) in INLINE {
        if options.wants(name) {
            ways.push(inline(name, key, records, &identity, options)?);
        }
    }
    if options.wants(THREADED) {
        ways.push(threaded(&identity, options)?);
    }
    Ok(Report {
        ways,
        orders: options.orders,
        machine: machine(),
        commit: commit(),
    })
}

impl Options {
    fn wants(&self, name: &str) -> bool {
        let only = self.only.as_ref();
        only.is_none_or(|only| name.contains(only.as_str()))
    }
}

/// Ways without a thread between strategy and loop.
const INLINE: [(&str, Key, Records); 3] = [
    ("inline, logged-in link", Key::Session, Records::Rustls),
    (
        "inline, logged-in link, TLS in place",
        Key::Session,
        Records::InPlace,
    ),
    ("inline, each order signed", Key::EachOrder, Records::Rustls),
];

const THREADED: &str = "own thread, logged-in link";

fn histogram() -> Result<Histogram<u64>, Failure> {
    Ok(Histogram::new(3)?)
}

/// An order that ends at once: far from the market, and not to rest.
fn order(id: ClientOrderId) -> OrderRequest {
    OrderRequest {
        instrument: InstrumentKey {
            venue: Venue::Binance,
            market: Market::Spot,
            symbol: Symbol::from("BTC/USDT").unwrap_or_default(),
        },
        side: Side::Bid,
        order_type: OrderType::Limit,
        size: Size::Base(Qty::new(1, Scale::of(2))),
        price: Some(Price::new(123_456, Scale::of(2))),
        stop: None,
        time_in_force: TimeInForce::Ioc,
        reduce_only: false,
        client_order_id: id,
    }
}

/// Places an order each time its timer is due, and says when one has ended.
struct Placer {
    watch: Arc<Watch>,
    places: bool,
}

impl Strategy for Placer {
    fn on_start(&mut self, context: &mut Context) {
        context.set_timer(0, Nanos(PACE_NS));
    }

    fn on_timer(&mut self, context: &mut Context, _: TimerId) {
        context.set_timer(0, Nanos(PACE_NS));
        if self.places && self.watch.is_live.load(Ordering::Acquire) {
            let order = order(context.next_order_id());
            self.watch.begin();
            // A queue without room shows as an order that never comes.
            let _ = context.place(&order);
        }
    }

    fn on_state(&mut self, _: &mut Context, change: &StateChange) {
        if change.source() == Source::Account {
            self.watch
                .is_live
                .store(change.is_live(), Ordering::Release);
        }
    }

    fn on_order(&mut self, _: &mut Context, _: &Wide, order: &OrderUpdate) {
        let is_unknown = order.status == OrderStatus::Unknown;
        self.watch
            .unknown
            .fetch_add(u64::from(is_unknown), Ordering::AcqRel);
        self.watch
            .ended
            .fetch_add(u64::from(order.status.is_final()), Ordering::AcqRel);
    }
}

fn engine(
    (key, records): (Key, Records),
    identity: &Identity,
    options: &Options,
    setup: StrategySetup,
    watch: &Arc<Watch>,
) -> Result<HandEngine<Peer>, Failure> {
    let credentials = match key {
        Key::Session => Credentials::ed25519(
            AccountSpec::DEMO_ED25519_KEY,
            AccountSpec::demo_ed25519_pem(),
        ),
        Key::EachOrder => Credentials::hmac(AccountSpec::DEMO_KEY, AccountSpec::DEMO_SECRET),
    };
    let config = DriverConfig::mainnet(Venue::Binance, Market::Spot)
        .at((
            "wss://127.0.0.1:1".to_owned(),
            "https://127.0.0.1:1".to_owned(),
        ))
        .with_credentials(credentials);
    let account = (Venue::Binance, Market::Spot, [ALL_SYMBOLS], [Channel::User]);
    let peer = Peer::new(
        Arc::clone(&identity.server),
        Arc::clone(watch),
        options.seed,
    )?;
    let engine = Engine::builder()
        .venue(config.venue_setup()?)
        .trust_only(vec![identity.authority.clone()])
        .strategy(setup.watch(account.0, account.1, account.2, account.3))
        .poll(PollMode::Mio)
        .tls_records(records)
        .seed(options.seed)
        .by_hand(peer, Nanos(START_NS))?;
    Ok(engine)
}

/// The strategy runs on the loop: no other thread has to hear of the order.
fn inline(
    name: &'static str,
    key: Key,
    records: Records,
    identity: &Identity,
    options: &Options,
) -> Result<Way, Failure> {
    let watch = Watch::new(START_NS);
    let placer = Placer {
        watch: Arc::clone(&watch),
        places: true,
    };
    let setup = StrategySetup::new(placer).inline();
    let mut engine = engine((key, records), identity, options, setup, &watch)?;
    let mut times = histogram()?;
    let (mut done, mut idle) = (0, 0);
    let mut before = alloc::counts();
    let mut raw = Raw::new(identity)?;
    while done < WARM_UP + options.orders {
        let now = watch.now.fetch_add(STEP_NS, Ordering::AcqRel) + STEP_NS;
        let zone = zone::enter(Zone::Ours);
        engine.turn(Nanos(now));
        drop(zone);
        if let Some(took_ns) = watch.take() {
            (done, idle) = (done + 1, 0);
            if done == WARM_UP {
                before = alloc::counts();
            } else if done > WARM_UP {
                times.record(took_ns)?;
            }
        }
        idle += 1;
        if idle == RAW_AFTER && done > WARM_UP {
            // With caches as cold as they are for an order.
            raw.write(&engine.net().plain)?;
        }
        if idle > TURNS_MAX {
            return Err(format!("{name}: no order leaves").into());
        }
    }
    let after = alloc::counts();
    watch.all_answered()?;
    let each = |count: u64| count * 1_000 / options.orders.max(1);
    let allocated = (each(after.ours - before.ours), each(after.tls - before.tls));
    Ok(Way {
        name,
        times,
        raw: Some(raw.times),
        bytes: engine.net().plain.len(),
        allocated: Some(allocated),
    })
}

/// The strategy has a thread of its own: the order goes over the queue to the loop's, which spins.
fn threaded(identity: &Identity, options: &Options) -> Result<Way, Failure> {
    let watch = Watch::new(START_NS);
    let placer = Placer {
        watch: Arc::clone(&watch),
        places: false,
    };
    let mut engine = engine(
        (Key::Session, Records::Rustls),
        identity,
        options,
        StrategySetup::new(placer),
        &watch,
    )?;
    let (commander, mut ids) = (engine.commander(0), ClientIds::new(options.seed, 0));
    let mut times = histogram()?;
    let orders = WARM_UP + options.orders;
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| -> Result<(), Failure> {
        let (stop, of_loop) = (&stop, Arc::clone(&watch));
        scope.spawn(move || {
            while !stop.load(Ordering::Acquire) {
                let now = Nanos(of_loop.now.load(Ordering::Acquire));
                engine.turn(now);
                engine.run_strategy(0, now, usize::MAX);
                of_loop.turned.store(now.0, Ordering::Release);
            }
        });
        let placed = (|| {
            let mut done = 0;
            while done < orders {
                // The last one is over, and the venue takes another.
                let ended = watch.ended.load(Ordering::Acquire);
                for _ in 0..PACE_NS / STEP_NS {
                    watch.pass(STEP_NS);
                }
                if !watch.is_live.load(Ordering::Acquire) {
                    continue;
                }
                watch.begin();
                commander.act(
                    Venue::Binance,
                    Market::Spot,
                    Action::Place(order(ids.next_id())),
                )?;
                let mut spins = 0u64;
                let took_ns = loop {
                    if let Some(took_ns) = watch.take() {
                        break Some(took_ns);
                    }
                    // Refused: the instrument is being fetched.
                    spins += 1;
                    if spins > TURNS_MAX / 10 {
                        break None;
                    }
                    std::hint::spin_loop();
                };
                let Some(took_ns) = took_ns else { continue };
                let is_over = || watch.ended.load(Ordering::Acquire) != ended;
                for _ in 0..PASSES_MAX {
                    if !is_over() {
                        watch.pass(STEP_NS);
                    }
                }
                // What left was another request: the instrument's, which the order was refused for.
                if !is_over() {
                    continue;
                }
                done += 1;
                if done > WARM_UP {
                    times.record(took_ns)?;
                }
            }
            Ok(())
        })();
        stop.store(true, Ordering::Release);
        placed
    })?;
    watch.all_answered()?;
    Ok(Way {
        name: THREADED,
        times,
        raw: None,
        bytes: 0,
        allocated: None,
    })
}

/// A TLS connection of the same kind to the same kind of socket, and nothing else.
struct Raw {
    client: ClientConnection,
    drain: Drain,
    records: Vec<u8>,
    times: Histogram<u64>,
}

impl Raw {
    fn new(identity: &Identity) -> Result<Raw, Failure> {
        Ok(Raw {
            client: shaken(identity)?,
            drain: Drain::new()?,
            records: Vec::with_capacity(4 << 10),
            times: histogram()?,
        })
    }

    /// Writes the same bytes as the order before.
    fn write(&mut self, plain: &[u8]) -> Result<(), Failure> {
        let began = moment();
        self.client.writer().write_all(plain)?;
        self.records.clear();
        while self.client.wants_write() {
            self.client.write_tls(&mut self.records)?;
        }
        self.drain.write(&self.records)?;
        self.times.record(elapsed_ns(began))?;
        self.drain.empty();
        Ok(())
    }
}

fn elapsed_ns(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// A client whose handshake is over.
fn shaken(identity: &Identity) -> Result<ClientConnection, Failure> {
    let mut roots = RootCertStore::empty();
    roots.add(identity.authority.clone())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut client = ClientConnection::new(Arc::new(config), ServerName::try_from("127.0.0.1")?)?;
    let mut server = ServerConnection::new(Arc::clone(&identity.server))?;
    while client.is_handshaking() || server.is_handshaking() {
        let (mut there, mut back) = (Vec::new(), Vec::new());
        while client.wants_write() {
            client.write_tls(&mut there)?;
        }
        let mut there = Cursor::new(there);
        while (there.position() as usize) < there.get_ref().len() {
            server.read_tls(&mut there)?;
            server.process_new_packets()?;
        }
        while server.wants_write() {
            server.write_tls(&mut back)?;
        }
        let mut back = Cursor::new(back);
        while (back.position() as usize) < back.get_ref().len() {
            client.read_tls(&mut back)?;
            client.process_new_packets()?;
        }
    }
    Ok(client)
}

const QUANTILES: [(&str, f64); 5] = [
    ("p50", 0.5),
    ("p90", 0.9),
    ("p99", 0.99),
    ("p99.9", 0.999),
    ("max", 1.0),
];

impl Report {
    /// As one JSON object.
    pub fn to_json(&self) -> Value {
        let ways = self.ways.iter().map(|way| {
            let quantiles = QUANTILES.iter().map(|(name, quantile)| {
                let value = way.times.value_at_quantile(*quantile);
                (format!("{name}_ns"), json!(value))
            });
            let mut object: serde_json::Map<String, Value> = quantiles.collect();
            object.insert("way".to_owned(), json!(way.name));
            object.insert("frame_bytes".to_owned(), json!(way.bytes));
            if let Some(raw) = &way.raw {
                object.insert("raw_p50_ns".to_owned(), json!(raw.value_at_quantile(0.5)));
            }
            if let Some((ours, tls)) = way.allocated {
                object.insert("allocations_ours_per_1000".to_owned(), json!(ours));
                object.insert("allocations_tls_per_1000".to_owned(), json!(tls));
            }
            Value::Object(object)
        });
        json!({
            "bench": "order",
            "orders": self.orders,
            "machine": self.machine,
            "commit": self.commit,
            "ways": ways.collect::<Vec<_>>(),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report {
            orders,
            machine,
            commit,
            ..
        } = self;
        writeln!(f, "{orders} orders each way, commit {commit}")?;
        writeln!(f, "{machine}\n")?;
        write!(f, "{:<44}", "µs")?;
        for (name, _) in QUANTILES {
            write!(f, "{name:>9}")?;
        }
        writeln!(f, "   allocations an order, ours + TLS")?;
        for way in &self.ways {
            let line = |f: &mut fmt::Formatter<'_>, name: &str, times: &Histogram<u64>| {
                write!(f, "{name:<44}")?;
                for (_, quantile) in QUANTILES {
                    let micros = times.value_at_quantile(quantile) as f64 / 1e3;
                    write!(f, "{micros:>9.2}")?;
                }
                Ok(())
            };
            if let Some(raw) = &way.raw {
                line(
                    f,
                    &format!("raw TLS and one write, {} bytes", way.bytes),
                    raw,
                )?;
                writeln!(f)?;
            }
            line(f, way.name, &way.times)?;
            match way.allocated {
                Some((ours, tls)) => {
                    let each = |count: u64| count as f64 / 1e3;
                    writeln!(f, "   {:.2} + {:.2}", each(ours), each(tls))?;
                }
                None => writeln!(f)?,
            }
        }
        Ok(())
    }
}

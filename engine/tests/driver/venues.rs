//! Where the test bodies run.

use std::time::Duration;

use tickwire::connectors::order::{OrderRequest, OrderType, Size, TimeInForce};
use tickwire::connectors::trading::Transport;
use tickwire::connectors::{Credentials, InstrumentKey};
use tickwire::driver::{self, Driver, DriverConfig, EngineDriver};
use tickwire::{CertificateDer, Clock, Market, Nanos, Price, Qty, Side, Venue};
use tickwire_sim::{AccountSpec, Sim, SimVenue, VenueSpec};

/// Long enough for a machine that does ten other things.
pub(crate) const WITHIN: Duration = Duration::from_secs(20);

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) venue: Venue,
    pub(crate) market: Market,
    pub(crate) sim: SimVenue,
    pub(crate) transport: Transport,
    pub(crate) ed25519: bool,
    pub(crate) symbol: &'static str,
    pub(crate) venue_symbol: &'static str,
    /// The smallest sensible quantity: mantissa and digits behind the point.
    pub(crate) unit: (i64, u8),
    /// More of it than the account can pay.
    pub(crate) too_much: i64,
    /// Digits behind the point of a price that is surely on a tick.
    pub(crate) price_digits: u8,
}

const BINANCE_SPOT: Row = Row {
    venue: Venue::Binance,
    market: Market::Spot,
    sim: SimVenue::BinanceSpot,
    transport: Transport::WebSocket,
    ed25519: false,
    symbol: "BTC/USDT",
    venue_symbol: "BTCUSDT",
    unit: (1, 2),
    too_much: 5_000,
    price_digits: 0,
};

const BINANCE_LINEAR: Row = Row {
    market: Market::Linear,
    sim: SimVenue::BinanceLinear,
    symbol: "BTC/USDT:USDT",
    // Contracts are bought on margin.
    too_much: 40_000,
    ..BINANCE_SPOT
};

const BYBIT_SPOT: Row = Row {
    venue: Venue::Bybit,
    sim: SimVenue::BybitSpot,
    ..BINANCE_SPOT
};

const BYBIT_LINEAR: Row = Row {
    market: Market::Linear,
    sim: SimVenue::BybitLinear,
    symbol: "BTC/USDT:USDT",
    too_much: 40_000,
    ..BYBIT_SPOT
};

const DERIBIT_SPOT: Row = Row {
    venue: Venue::Deribit,
    sim: SimVenue::DeribitSpot,
    symbol: "BTC/USDC",
    venue_symbol: "BTC_USDC",
    ..BINANCE_SPOT
};

const DERIBIT_LINEAR: Row = Row {
    market: Market::Linear,
    sim: SimVenue::DeribitLinear,
    symbol: "BTC/USDC:USDC",
    venue_symbol: "BTC_USDC-PERPETUAL",
    too_much: 40_000,
    ..DERIBIT_SPOT
};

/// In dollars.
const DERIBIT_INVERSE: Row = Row {
    market: Market::Inverse,
    sim: SimVenue::DeribitInverse,
    symbol: "BTC/USD:BTC",
    venue_symbol: "BTC-PERPETUAL",
    unit: (100, 0),
    too_much: 100_000,
    ..DERIBIT_SPOT
};

/// Priced in coin.
const DERIBIT_OPTION: Row = Row {
    market: Market::Option,
    sim: SimVenue::DeribitOption,
    symbol: "BTC/USD:BTC-261225-50000-C",
    venue_symbol: "BTC-25DEC26-50000-C",
    unit: (1, 1),
    too_much: 10_000,
    price_digits: 4,
    ..DERIBIT_SPOT
};

/// Every venue, market and way to trade that the simulator has.
pub(crate) const ROWS: [Row; 14] = [
    BINANCE_SPOT,
    Row {
        ed25519: true,
        ..BINANCE_SPOT
    },
    Row {
        transport: Transport::Rest,
        ..BINANCE_SPOT
    },
    BINANCE_LINEAR,
    Row {
        transport: Transport::Rest,
        ..BINANCE_LINEAR
    },
    BYBIT_SPOT,
    Row {
        transport: Transport::Rest,
        ..BYBIT_SPOT
    },
    BYBIT_LINEAR,
    Row {
        transport: Transport::Rest,
        ..BYBIT_LINEAR
    },
    DERIBIT_SPOT,
    Row {
        transport: Transport::Rest,
        ..DERIBIT_SPOT
    },
    DERIBIT_LINEAR,
    DERIBIT_INVERSE,
    DERIBIT_OPTION,
];

/// A simulator and a driver for it.
pub(crate) struct Stage {
    pub(crate) row: Row,
    pub(crate) sim: Sim,
    pub(crate) driver: EngineDriver,
    /// The last best bid and ask.
    pub(crate) touch: (Price, Price),
}

impl Row {
    fn spec(&self) -> VenueSpec {
        VenueSpec::of(self.sim)
    }

    /// So many of the smallest sensible quantity.
    pub(crate) fn size(&self, count: i64) -> Size {
        let (mantissa, digits) = self.unit;
        Size::Base(Qty::new(mantissa * count, tickwire::Scale::of(digits)))
    }

    pub(crate) fn credentials(&self) -> Credentials {
        if self.ed25519 {
            let pem = "-----BEGIN PRIVATE KEY-----\n\
                MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n\
                -----END PRIVATE KEY-----\n";
            return Credentials::ed25519(AccountSpec::DEMO_ED25519_KEY, pem);
        }
        Credentials::hmac(AccountSpec::DEMO_KEY, AccountSpec::DEMO_SECRET)
    }

    pub(crate) fn config(&self, sim: &Sim) -> DriverConfig {
        DriverConfig::mainnet(self.venue, self.market)
            .at((sim.ws_url(self.sim), sim.rest_url(self.sim)))
            .with_credentials(self.credentials())
            .over(self.transport)
            .trust_only(vec![CertificateDer::from(sim.ca_der().to_vec())])
    }

    pub(crate) fn simulator(&self) -> Sim {
        let spec = self.spec().symbols(&[self.venue_symbol]).demo_account();
        Sim::builder()
            .seed(11)
            .venue(spec)
            .start()
            .expect("a simulator")
    }
}

impl Stage {
    /// A connected driver, and the touch of its market.
    pub(crate) fn open(row: Row) -> Stage {
        let sim = row.simulator();
        let mut driver = driver::open(row.config(&sim)).expect("a driver");
        driver
            .connect(WITHIN)
            .unwrap_or_else(|error| panic!("{row:?}: {error}"));
        let touch = touch(&mut driver, row.symbol);
        Stage {
            row,
            sim,
            driver,
            touch,
        }
    }

    /// A limit order of the smallest sensible size.
    pub(crate) fn limit(&self, side: Side, price: Price) -> OrderRequest {
        OrderRequest {
            instrument: InstrumentKey {
                venue: self.row.venue,
                market: self.row.market,
                symbol: tickwire::connectors::instrument::symbol(self.row.symbol).expect("short"),
            },
            side,
            order_type: OrderType::Limit,
            size: self.row.size(1),
            price: Some(price),
            stop: None,
            time_in_force: TimeInForce::Gtc,
            reduce_only: false,
            client_order_id: self.driver.next_order_id(),
        }
    }

    /// A price that nobody trades at: `percent` of the best bid.
    pub(crate) fn far(&self, percent: i64) -> Price {
        let scale = tickwire::Scale::of(self.row.price_digits);
        let units = self.touch.0.to_f64() * scale.pow10() as f64;
        Price::new(units as i64 * percent / 100, scale)
    }

    /// A price that trades at once.
    pub(crate) fn crossing(&self, side: Side) -> Price {
        match side {
            Side::Bid => self.far(103),
            Side::Ask => self.far(97),
        }
    }

    /// Polls until `done`.
    pub(crate) fn until(&mut self, what: &str, mut done: impl FnMut(&mut Stage) -> bool) {
        let row = self.row;
        until(&format!("{what} at {row:?}"), || {
            self.driver.poll();
            done(self)
        });
    }
}

/// Best bid and ask, once both are there.
pub(crate) fn touch(driver: &mut EngineDriver, symbol: &str) -> (Price, Price) {
    let book = driver.orderbook(symbol, 5, WITHIN).expect("a book");
    let best = |levels: &[(Price, Qty)]| levels.first().expect("a level").0;
    (best(&book.bids), best(&book.asks))
}

/// Waits until `done`, as long as a machine that does ten other things may take.
pub(crate) fn until(what: &str, mut done: impl FnMut() -> bool) {
    let clock = Clock::start();
    let last = clock.now() + Nanos(i64::try_from(WITHIN.as_nanos()).expect("seconds"));
    while !done() {
        assert!(clock.now() < last, "no {what}");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

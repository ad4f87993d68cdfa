//! A cross-venue spread, only while both books are Live: `cargo run --release -p tickwire --example spread_watcher`

#![expect(clippy::print_stdout, reason = "an example shows what it gets")]

use std::error::Error;
use std::time::Duration;

use tickwire::{
    Bbo, BinanceConfig, BybitConfig, CertificateDer, Channel, Context, Engine, Market, PollMode,
    StateChange, Strategy, StrategySetup, StreamId, Venue,
};
use tickwire_sim::{Sim, SimVenue, VenueSpec};

/// The latest top of each of two streams; `None` while it can't be traded on.
#[derive(Default)]
struct Spread([Option<Bbo>; 2]);

fn side(stream: StreamId) -> usize {
    stream.index() // the first watched stream is 0, the second 1
}

impl Strategy for Spread {
    fn on_bbo(&mut self, _context: &mut Context, bbo: &Bbo) {
        self.0[side(bbo.stream())] = Some(*bbo);
        let bid = self.0[0].and_then(|top| top.bid());
        let ask = self.0[1].and_then(|top| top.ask());
        if let (Some((bid, _)), Some((ask, _))) = (bid, ask) {
            let spread = bid.checked_sub(ask).unwrap_or_default();
            println!("sell on Binance at {bid}, buy on Bybit at {ask}: {spread}");
        }
    }

    fn on_state(&mut self, _context: &mut Context, change: &StateChange) {
        if !change.is_live() {
            self.0[side(change.stream())] = None; // an old price is no price
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let sim = Sim::builder()
        .venue(VenueSpec::binance_spot().symbols(&["BTCUSDT"]))
        .venue(VenueSpec::bybit_spot().symbols(&["BTCUSDT"]))
        .start()?;
    let at = |venue| (sim.ws_url(venue), sim.rest_url(venue));
    let (spot, bbo) = (Market::Spot, [Channel::Bbo]);
    let strategy = StrategySetup::new(Spread::default())
        .watch(Venue::Binance, spot, ["BTC/USDT"], bbo)
        .watch(Venue::Bybit, spot, ["BTC/USDT"], bbo);
    let engine = Engine::builder()
        .venue(BinanceConfig::spot().at(at(SimVenue::BinanceSpot)))
        .venue(BybitConfig::spot().at(at(SimVenue::BybitSpot)))
        .trust_only(vec![CertificateDer::from(sim.ca_der().to_vec())])
        .strategy(strategy)
        .poll(PollMode::PARK)
        .spawn()?;
    std::thread::park_timeout(Duration::from_secs(5));
    Ok(engine.stop()?)
}

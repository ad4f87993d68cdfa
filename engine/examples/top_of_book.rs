//! Top of book over two venues, from the simulator: `cargo run --release -p tickwire --example top_of_book`

#![expect(clippy::print_stdout, reason = "an example shows what it gets")]

use std::error::Error;
use std::time::Duration;

use tickwire::{
    Bbo, BinanceConfig, BybitConfig, CertificateDer, Channel, Context, Engine, Market, PollMode,
    StateChange, Strategy, StrategySetup, Venue,
};
use tickwire_sim::{Sim, SimVenue, VenueSpec};

/// Prints what it gets.
struct Printer;

impl Strategy for Printer {
    fn on_bbo(&mut self, context: &mut Context, bbo: &Bbo) {
        let name = context
            .stream(bbo.stream())
            .map(|stream| (stream.key.venue, stream.asked));
        if let (Some((venue, symbol)), Some(bid), Some(ask)) = (name, bbo.bid(), bbo.ask()) {
            let (bid, bid_qty, ask, ask_qty) = (bid.0, bid.1, ask.0, ask.1);
            println!("{venue:<8} {symbol:<14} {bid_qty:>12} @ {bid} | {ask} @ {ask_qty}");
        }
    }

    fn on_state(&mut self, _context: &mut Context, change: &StateChange) {
        println!("{} is {:?}", change.stream(), change.state());
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let sim = Sim::builder()
        .venue(VenueSpec::binance_spot().symbols(&["BTCUSDT"]))
        .venue(VenueSpec::bybit_linear().symbols(&["BTCUSDT"]))
        .start()?;
    let at = |venue| (sim.ws_url(venue), sim.rest_url(venue));
    let engine = Engine::builder()
        .venue(BinanceConfig::spot().at(at(SimVenue::BinanceSpot)))
        .venue(BybitConfig::linear().at(at(SimVenue::BybitLinear)))
        .trust_only(vec![CertificateDer::from(sim.ca_der().to_vec())])
        .strategy(
            StrategySetup::new(Printer)
                .watch(Venue::Binance, Market::Spot, ["BTC/USDT"], [Channel::Bbo])
                .watch(
                    Venue::Bybit,
                    Market::Linear,
                    ["BTC/USDT:USDT"],
                    [Channel::Bbo],
                ),
        )
        .poll(PollMode::PARK)
        .spawn()?;
    std::thread::park_timeout(Duration::from_secs(5));
    Ok(engine.stop()?)
}

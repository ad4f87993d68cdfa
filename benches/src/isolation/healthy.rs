//! The link that nothing is wrong with.

use std::collections::HashMap;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use tickwire::telemetry::Histogram;
use tickwire::{
    Bbo, BinanceConfig, CertificateDer, Channel, Context, Handle, LinkInfo, Market, Source,
    Strategy, StrategySetup, StreamId, StreamState, Venue, VenueSetup,
};
use tickwire_sim::{MsgKind, SendLog, Sim, SimVenue, VenueSpec};

use super::report::Phase;
use super::{Failure, moment};

const VENUE: SimVenue = SimVenue::BinanceSpot;
const SYMBOLS: [&str; 4] = ["BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT"];

/// Messages a second of all symbols: a busy hour of four liquid ones.
const RATE_MSGS_S: u32 = 2_000;

/// Sends that the simulator remembers a stream: more than come between two joins.
const SENT_RING: usize = 1 << 15;

/// No set-up takes this long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks at what came.
const PAUSE: Duration = Duration::from_millis(5);

/// A simulated Binance spot market, and what arrives of it at an inline strategy.
pub(super) struct Healthy {
    sim: Sim,
    sent: SendLog,
    samples: Receiver<Sample>,
    symbols: HashMap<StreamId, String>,
}

/// The top of a book, as it reached the strategy.
struct Sample {
    stream: StreamId,
    seq: u64,
    at: Instant,
}

/// Runs on the loop's thread, so it only notes: what it came from is looked up elsewhere.
struct Probe(Sender<Sample>);

impl Strategy for Probe {
    fn on_bbo(&mut self, _: &mut Context, bbo: &Bbo) {
        // Tops that are taken from the book have the number of a depth message.
        if bbo.source() == Source::Bbo {
            let (stream, seq, at) = (bbo.stream(), bbo.seq(), moment());
            // It fails only at the end, when nobody reads any more.
            let _ = self.0.send(Sample { stream, seq, at });
        }
    }
}

impl Healthy {
    pub(super) fn start(seed: u64) -> Result<(Healthy, VenueSetup, StrategySetup), Failure> {
        let spec = VenueSpec::binance_spot()
            .symbols(&SYMBOLS)
            .rate_msgs_s(RATE_MSGS_S)
            .sent_ring(SENT_RING);
        let sim = Sim::builder().seed(seed).venue(spec).start()?;
        let (probe, samples) = mpsc::channel();
        let config = BinanceConfig::spot().at((sim.ws_url(VENUE), sim.rest_url(VENUE)));
        let strategy = StrategySetup::new(Probe(probe)).inline().watch(
            Venue::Binance,
            Market::Spot,
            SYMBOLS,
            [Channel::Bbo, Channel::Trades, Channel::BOOK],
        );
        let healthy = Healthy {
            sent: sim.sent(),
            sim,
            samples,
            symbols: HashMap::new(),
        };
        Ok((healthy, config.into(), strategy))
    }

    /// What the engine must trust.
    pub(super) fn certificate(&self) -> CertificateDer<'static> {
        CertificateDer::from(self.sim.ca_der().to_vec())
    }

    /// Waits until every stream is Live.
    pub(super) fn until_live(&mut self, handle: &Handle) -> Result<(), Failure> {
        let wanted = SYMBOLS.len() * 3;
        wait_for("every stream to be Live", || {
            let streams = handle.streams();
            let live = streams
                .iter()
                .filter(|stream| stream.state() == StreamState::Live);
            live.count() >= wanted
        })?;
        for stream in handle.streams() {
            let symbol = stream.key.symbol.to_string();
            self.symbols.insert(stream.id, symbol);
        }
        Ok(())
    }

    /// Its links.
    pub(super) fn links(handle: &Handle) -> Vec<std::sync::Arc<LinkInfo>> {
        let links = handle.links().into_iter();
        links.filter(|link| link.venue == Venue::Binance).collect()
    }

    /// Measures for a phase.
    pub(super) fn measure(
        &self,
        handle: &Handle,
        name: &'static str,
        length: Duration,
    ) -> Result<Phase, Failure> {
        self.measure_while(handle, name, length, |_| {})
    }

    /// Measures for a phase, and now and then does something, which is told how long the phase has been.
    pub(super) fn measure_while(
        &self,
        handle: &Handle,
        name: &'static str,
        length: Duration,
        mut beside: impl FnMut(Duration),
    ) -> Result<Phase, Failure> {
        // To a minute: longer than any phase of a smoke run, and than what is worth telling apart.
        let mut wire = Histogram::new_with_bounds(1, 60_000_000_000, 3)?;
        let (mut unknown, mut late) = (0, 0);
        let before = handle.turn_times().counts();
        let started = moment();
        while started.elapsed() < length {
            thread::park_timeout(PAUSE);
            beside(started.elapsed());
            for sample in self.samples.try_iter() {
                // From the phase before.
                if sample.at < started {
                    continue;
                }
                let symbol = self.symbols.get(&sample.stream).map_or("", String::as_str);
                match self.sent.entry(VENUE, symbol, MsgKind::Top, sample.seq) {
                    Some(sent) => {
                        late += u64::from(sent.late);
                        let way = sample.at.saturating_duration_since(sent.at());
                        wire.saturating_record(u64::try_from(way.as_nanos())?);
                    }
                    None => unknown += 1,
                }
            }
        }
        let turns = handle.turn_times().counts().since(&before).histogram();
        Ok(Phase {
            name,
            turns,
            wire,
            unknown,
            late,
        })
    }
}

/// Looks until it is so.
pub(super) fn wait_for(what: &str, mut done: impl FnMut() -> bool) -> Result<(), Failure> {
    let started = moment();
    while !done() {
        if started.elapsed() > PATIENCE {
            return Err(format!("waited {PATIENCE:?} for {what}").into());
        }
        thread::park_timeout(PAUSE);
    }
    Ok(())
}

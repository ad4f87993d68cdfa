//! A link of another venue that gets 64 KiB at once, again and again.

use std::sync::Arc;

use tickwire::connectors::connector::{BookView, Counters};
use tickwire::connectors::transmit::{
    Endpoint, HttpFailure, LinkChange, LinkId, LinkSpec, RequestId, Response, Transmit,
};
use tickwire::connectors::{Command, Connector};
use tickwire::{
    Engine, Handle, LinkInfo, Market, Nanos, Outbox, PollMode, StreamId, Venue, VenueSetup,
};

use super::healthy::{Healthy, wait_for};
use super::report::{Fact, Report};
use super::storm_server::{BURST_INTERVAL, BURST_MESSAGES, StormServer};
use super::{Failure, Options};

pub(super) fn run(options: &Options) -> Result<Report, Failure> {
    let server = StormServer::bursting()?;
    let (mut healthy, venue, strategy) = Healthy::start(options.seed)?;
    let burst = Burst {
        spec: LinkSpec::new(
            Endpoint {
                host: server.address.ip().to_string(),
                port: server.address.port(),
                tls: true,
            },
            "/",
        ),
        state: Opening::Waits,
        counters: Counters::default(),
    };
    let handle = Engine::builder()
        .venue(venue)
        .venue(VenueSetup::custom(burst))
        .strategy(strategy)
        .trust_only(vec![healthy.certificate(), server.authority.clone()])
        .poll(PollMode::Mio)
        .seed(options.seed)
        .spawn()?;
    healthy.until_live(&handle)?;
    wait_for("the other link", || {
        link(&handle).is_some_and(|link| link.epoch() > 0)
    })?;
    healthy.measure(&handle, "set-up", options.phase / 4)?;

    let quiet = healthy.measure(&handle, "quiet", options.phase)?;
    server.storm();
    let stormy = healthy.measure(&handle, "burst", options.phase)?;
    let (sent, received) = (server.bursts(), messages(&handle));
    let facts = vec![
        Fact::of("bursts of 64 KiB", sent),
        Fact::of("messages of a burst", BURST_MESSAGES),
        Fact::of("messages of bursts that came", received),
    ];
    let expected = options.phase.as_millis() / BURST_INTERVAL.as_millis();
    let promises = [
        (
            "bursts came at their rate",
            u128::from(sent) * 10 >= expected * 9,
        ),
        (
            "every burst came whole",
            // The last ones may be on their way.
            received + 3 * BURST_MESSAGES >= sent * BURST_MESSAGES,
        ),
        (
            "messages were measured in each phase",
            !quiet.wire.is_empty() && !stormy.wire.is_empty(),
        ),
    ];
    handle.stop()?;
    if let Some((promise, _)) = promises.iter().find(|(_, holds)| !holds) {
        return Err(format!("broken: {promise}; {facts:?}").into());
    }
    Ok(Report::new("burst", options, vec![quiet, stormy], facts))
}

fn link(handle: &Handle) -> Option<Arc<LinkInfo>> {
    let mut links = handle.links().into_iter();
    links.find(|link| link.venue == Venue::Bybit)
}

fn messages(handle: &Handle) -> u64 {
    let counters = handle.venue_counters().into_iter();
    let of = counters.filter(|(venue, ..)| *venue == Venue::Bybit);
    of.map(|(.., counters)| counters.messages).sum()
}

enum Opening {
    Waits,
    Begins,
    Done,
}

/// A venue of one link, whose messages are counted.
struct Burst {
    spec: LinkSpec,
    state: Opening,
    counters: Counters,
}

impl Connector for Burst {
    fn venue(&self) -> Venue {
        Venue::Bybit
    }
    fn market(&self) -> Market {
        Market::Spot
    }
    fn handle_command(&mut self, _: Nanos, _: Command, _: &mut Outbox) {}
    fn handle_link(&mut self, _: Nanos, _: LinkId, _: LinkChange, _: &mut Outbox) {}
    fn handle_message(&mut self, _: Nanos, _: LinkId, payload: &mut [u8], _: &mut Outbox) {
        // As much as any reader does at least: each byte is looked at.
        let is_text = payload.iter().fold(0, |all, byte| all | byte) < 0x80;
        self.counters.messages += u64::from(is_text);
    }
    fn handle_response(
        &mut self,
        _: Nanos,
        _: RequestId,
        _: Result<Response<'_>, HttpFailure>,
        _: &mut Outbox,
    ) {
    }
    fn handle_timeout(&mut self, _: Nanos, _: &mut Outbox) {
        if matches!(self.state, Opening::Waits) {
            self.state = Opening::Begins;
        }
    }
    fn poll_timeout(&self) -> Option<Nanos> {
        matches!(self.state, Opening::Waits).then_some(Nanos::ZERO)
    }
    fn poll_transmit(&mut self, _: Nanos, _: &mut Vec<u8>) -> Option<Transmit> {
        if !self.has_transmit() {
            return None;
        }
        self.state = Opening::Done;
        let spec = Box::new(self.spec.clone());
        Some(Transmit::Open {
            link: LinkId(0),
            spec,
        })
    }
    fn has_transmit(&self) -> bool {
        matches!(self.state, Opening::Begins)
    }
    fn book(&self, _: StreamId) -> Option<BookView<'_>> {
        None
    }
    fn counters(&self) -> Counters {
        self.counters
    }
}

//! Ten links to a host that drops four of them a second, each after a full handshake; and then with
//! the budget of attempts used up.

use std::sync::Arc;
use std::time::Duration;

use tickwire::connectors::connector::{BookView, Counters};
use tickwire::connectors::transmit::{
    AttemptLimit, Endpoint, HttpFailure, LinkChange, LinkId, LinkSpec, RequestId, Response,
    Transmit,
};
use tickwire::connectors::{Command, Connector};
use tickwire::{
    BackoffConfig, Engine, Handle, HostInfo, LinkInfo, Market, Nanos, Outbox, PollMode, StreamId,
    Venue, VenueSetup,
};

use super::healthy::{Healthy, wait_for};
use super::report::{Fact, Report};
use super::storm_server::StormServer;
use super::{Failure, Options};

const LINKS: u16 = 10;

/// Four links fail a second, in all.
const FAIL_INTERVAL: Duration = Duration::from_millis(250);

/// Longer than any run, so that what is used up stays used up.
const WINDOW: Nanos = Nanos::from_secs(3_600);

/// A lost link comes back at once: the storm is to blow at its full rate. (By default the waits of a
/// link that never proves itself grow to 30 s, and ten of them make less than one attempt a second.)
const BACKOFF: BackoffConfig = BackoffConfig {
    first_ns: Nanos::from_millis(20),
    max_ns: Nanos::from_millis(20),
    proven_ns: Nanos::from_secs(3_600),
    refused_ns: Nanos::from_secs(30),
};

/// A budget that lasts for the phase of the storm, and not for long after it: a fifth of it is not
/// for links that fail again and again.
fn budget(phase: Duration) -> AttemptLimit {
    let failures = phase.as_millis() / FAIL_INTERVAL.as_millis();
    let wanted = u128::from(LINKS) + failures + u128::from(LINKS);
    AttemptLimit {
        attempts: u16::try_from(wanted * 5 / 4 + 1).unwrap_or(u16::MAX),
        window_ns: WINDOW,
    }
}

pub(super) fn run(options: &Options) -> Result<Report, Failure> {
    let server = StormServer::start(FAIL_INTERVAL)?;
    let (mut healthy, venue, strategy) = Healthy::start(options.seed)?;
    let limit = budget(options.phase);
    let storm = Storm {
        spec: LinkSpec {
            attempt_limit: Some(limit),
            ..LinkSpec::new(
                Endpoint {
                    host: server.address.ip().to_string(),
                    port: server.address.port(),
                    tls: true,
                },
                "/",
            )
        },
        opened: 0,
        began: false,
    };
    let handle = Engine::builder()
        .venue(venue)
        .venue(VenueSetup::custom(storm))
        .strategy(strategy)
        .trust_only(vec![healthy.certificate(), server.authority.clone()])
        .backoff(BACKOFF)
        .poll(PollMode::Mio)
        .seed(options.seed)
        .spawn()?;
    healthy.until_live(&handle)?;
    wait_for("the other links", || {
        storm_links(&handle).iter().all(|link| link.epoch() > 0)
            && storm_links(&handle).len() == usize::from(LINKS)
    })?;
    let epochs = || -> Vec<u16> {
        let links = Healthy::links(&handle);
        links.iter().map(|link| link.epoch()).collect()
    };
    let (epochs_before, lost_before) = (epochs(), handle.counters().ring_full);
    // What the set-up made.
    healthy.measure(&handle, "set-up", options.phase / 4)?;

    let quiet = healthy.measure(&handle, "quiet", options.phase)?;
    let before = host(&handle, &server)?.attempts();
    server.storm();
    let stormy = healthy.measure(&handle, "storm", options.phase)?;
    let (in_storm, failed) = (
        host(&handle, &server)?.attempts() - before,
        server.dropped(),
    );
    let spent = healthy.measure(&handle, "spent", options.phase)?;

    let host = host(&handle, &server)?;
    let (mut full, mut resumed) = (0, 0);
    for link in storm_links(&handle) {
        let counters = link.counters();
        full += counters.tls_full;
        resumed += counters.tls_resumed;
    }
    let facts = vec![
        Fact::of("links that fail", u64::from(LINKS)),
        Fact::of("failures in the storm", failed),
        Fact::of("attempts in the storm", in_storm),
        Fact::of("full handshakes in all", full),
        Fact::of("resumed handshakes in all", resumed),
        Fact::of("attempts to the host in all", host.attempts()),
        Fact::of("of a budget of", u64::from(limit.attempts)),
        Fact::of("most attempts in a window", u64::from(host.in_window_max())),
        Fact::of("times that a link had to wait", host.held()),
    ];
    let promises = [
        (
            "attempts stay within the budget",
            host.attempts() <= u64::from(limit.attempts),
        ),
        ("the budget was used up, and links waited", host.held() > 0),
        ("every handshake was a full one", resumed == 0 && full > 0),
        (
            "the storm blew at its rate",
            failed + 2 >= expected(options),
        ),
        ("the healthy links stayed up", epochs_before == epochs()),
        (
            "no event of the healthy link was lost",
            lost_before == handle.counters().ring_full,
        ),
        (
            "messages were measured in each phase",
            [&quiet, &stormy, &spent]
                .iter()
                .all(|phase| !phase.wire.is_empty()),
        ),
    ];
    handle.stop()?;
    if let Some((promise, _)) = promises.iter().find(|(_, holds)| !holds) {
        return Err(format!("broken: {promise}; {facts:?}").into());
    }
    let phases = vec![quiet, stormy, spent];
    Ok(Report::new("storm", options, phases, facts))
}

fn expected(options: &Options) -> u64 {
    u64::try_from(options.phase.as_millis() / FAIL_INTERVAL.as_millis()).unwrap_or(u64::MAX)
}

fn storm_links(handle: &Handle) -> Vec<Arc<LinkInfo>> {
    let links = handle.links().into_iter();
    links.filter(|link| link.venue == Venue::Bybit).collect()
}

fn host(handle: &Handle, server: &StormServer) -> Result<Arc<HostInfo>, Failure> {
    let address = server.address.to_string();
    let mut hosts = handle.hosts().into_iter();
    let found = hosts.find(|host| host.endpoint == address);
    found.ok_or_else(|| "the engine does not know the host".into())
}

/// A venue of ten links that bring nothing.
struct Storm {
    spec: LinkSpec,
    opened: u16,
    began: bool,
}

impl Connector for Storm {
    fn venue(&self) -> Venue {
        Venue::Bybit
    }
    fn market(&self) -> Market {
        Market::Spot
    }
    fn handle_command(&mut self, _: Nanos, _: Command, _: &mut Outbox) {}
    fn handle_link(&mut self, _: Nanos, _: LinkId, _: LinkChange, _: &mut Outbox) {}
    fn handle_message(&mut self, _: Nanos, _: LinkId, _: &mut [u8], _: &mut Outbox) {}
    fn handle_response(
        &mut self,
        _: Nanos,
        _: RequestId,
        _: Result<Response<'_>, HttpFailure>,
        _: &mut Outbox,
    ) {
    }
    fn handle_timeout(&mut self, _: Nanos, _: &mut Outbox) {
        self.began = true;
    }
    fn poll_timeout(&self) -> Option<Nanos> {
        (!self.began).then_some(Nanos::ZERO)
    }
    fn poll_transmit(&mut self, _: Nanos, _: &mut Vec<u8>) -> Option<Transmit> {
        if !self.has_transmit() {
            return None;
        }
        let link = LinkId(self.opened);
        self.opened += 1;
        let spec = Box::new(self.spec.clone());
        Some(Transmit::Open { link, spec })
    }
    fn has_transmit(&self) -> bool {
        self.began && self.opened < LINKS
    }
    fn book(&self, _: StreamId) -> Option<BookView<'_>> {
        None
    }
    fn counters(&self) -> Counters {
        Counters::default()
    }
}

//! What is below the streams: sockets, TLS sessions, messages of other kinds, as a program that links
//! the engine sees them.

mod common;

use std::time::Duration;

use common::{Reader, spot, start, wait_until};
use tickwire::net::TcpOptions;
use tickwire::{Channel, LinkState, Market, StrategySetup, Venue};
use tickwire_sim::SimVenue;

const VENUE: SimVenue = SimVenue::BinanceSpot;

fn watching() -> StrategySetup {
    StrategySetup::pair().named("a").watch(
        Venue::Binance,
        Market::Spot,
        ["BTCUSDT"],
        [Channel::BOOK],
    )
}

#[test]
fn a_lost_link_comes_back_with_a_resumed_tls_session() {
    let sim = start(spot(&["BTCUSDT"]));
    let mut handle = common::engine(&sim).strategy(watching()).spawn().unwrap();
    let mut reader = Reader::take(&mut handle, "a");
    reader.until_all_live(&handle);
    let link = handle.links().remove(0);
    let first = link.counters();
    assert_eq!(first.connects, 1);
    assert_eq!(first.tls_full + first.tls_resumed, 1);
    for cut in 1..=3 {
        sim.control().cut_connections(VENUE);
        wait_until("the link to be back", || link.epoch() > cut);
        reader.until_all_live(&handle);
    }
    let after = link.counters().since(&first);
    assert_eq!(
        (after.connects, after.tls_full, after.tls_resumed),
        (3, 0, 3)
    );
    assert!(after.disconnects >= 3);
    handle.stop().unwrap();
}

#[test]
fn socket_options_reach_the_socket_and_the_handle_tells_what_became_of_them() {
    let sim = start(spot(&["BTCUSDT"]));
    let options = TcpOptions {
        user_timeout: Duration::from_secs(7),
        busy_poll: Some(Duration::from_micros(20)),
        local_address: Some("127.0.0.1".parse().unwrap()),
        ..TcpOptions::default()
    };
    let mut handle = common::engine(&sim)
        .tcp(options)
        .strategy(watching())
        .spawn()
        .unwrap();
    let mut reader = Reader::take(&mut handle, "a");
    reader.until_all_live(&handle);
    let link = handle.links().remove(0);
    assert_eq!(link.state(), LinkState::Up);
    let report = link.socket().expect("a link that is up has a socket");
    assert_eq!(report.peer, Some(sim.addr(VENUE)));
    let local = report.local.expect("an address of ours").ip();
    assert_eq!(local.to_string(), "127.0.0.1");
    let in_effect = |name: &str| {
        let found = report.options.iter().find(|option| option.name == name);
        found.map(|option| option.in_effect.clone())
    };
    assert_eq!(in_effect("TCP_NODELAY"), Some(Ok("true".to_owned())));
    if cfg!(target_os = "linux") {
        assert_eq!(in_effect("TCP_USER_TIMEOUT"), Some(Ok("7s".to_owned())));
        assert!(
            in_effect("SO_BUSY_POLL").is_some(),
            "taken or not, it is told"
        );
    }
    let host = handle.hosts().remove(0);
    assert_eq!(host.endpoint, sim.addr(VENUE).to_string());
    assert!(host.attempts() >= 1 && host.held() == 0);
    assert_eq!(host.limit().map(|limit| limit.attempts), Some(150));
    handle.stop().unwrap();
}

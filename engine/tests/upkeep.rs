//! What keeps links and books true, over real connections: a planned cut that nobody sees, a stream
//! that goes mute on a link that lives, a ban that is told.

#[path = "common/mod.rs"]
mod common;

use common::{PlainBook, Reader, check_prices_follow_live, spot, start, wait_until};
use tickwire::connectors::connector::Counters;
use tickwire::connectors::liveness::{Expectation, Silence};
use tickwire::connectors::upkeep::Expectations;
use tickwire::{
    BinanceConfig, Body, CertificateDer, Channel, Event, Handle, Market, Nanos, Reason,
    StrategySetup, StreamId, StreamState, Venue, VenueNews,
};
use tickwire_sim::{Channel as View, Sim, SimVenue};

const VENUE: SimVenue = SimVenue::BinanceSpot;
const SYMBOLS: [&str; 3] = ["BTCUSDT", "ETHUSDT", "SOLUSDT"];

/// All of the symbols' books, best prices and trades.
fn run(sim: &Sim, mut config: BinanceConfig) -> (Handle, Reader) {
    config = config.at((sim.ws_url(VENUE), sim.rest_url(VENUE)));
    let setup = StrategySetup::pair()
        .named("a")
        .watch(
            Venue::Binance,
            Market::Spot,
            SYMBOLS,
            [Channel::Bbo, Channel::Trades],
        )
        .watch_depth(Venue::Binance, Market::Spot, SYMBOLS);
    let mut handle = common::quick()
        .trust_only(vec![CertificateDer::from(sim.ca_der().to_vec())])
        .venue(config)
        .strategy(setup)
        .spawn()
        .unwrap();
    let mut reader = Reader::take(&mut handle, "a");
    reader.until_all_live(&handle);
    (handle, reader)
}

fn book_of(handle: &Handle, symbol: &str) -> StreamId {
    let streams = handle.streams();
    let book = streams
        .iter()
        .find(|info| info.key.channel == Channel::BOOK && info.key.symbol.as_str() == symbol);
    book.expect("a book").id
}

fn counters(handle: &Handle) -> Counters {
    handle.venue_counters()[0].2
}

fn reasons(events: &[Event]) -> Vec<Reason> {
    let change = |event: &Event| match event.body() {
        Body::State(change) => Some(change.reason()),
        _ => None,
    };
    events.iter().filter_map(change).collect()
}

#[track_caller]
fn check_book(sim: &Sim, reader: &Reader, stream: StreamId, symbol: &str) {
    let book = PlainBook::of(&reader.of(stream));
    let truth = sim.truth().book_at(VENUE, symbol, View::Full, book.seq);
    let truth = truth.expect("a book at this number");
    assert_eq!(book, PlainBook::from(&truth), "{symbol}");
}

#[test]
fn a_planned_cut_is_seen_by_nobody() {
    let sim = start(spot(&SYMBOLS));
    let mut config = BinanceConfig::spot();
    // Each connection is replaced when it is two seconds old, again and again.
    config.upkeep.link_age_max_ns = Some(Nanos::from_secs(2));
    let (handle, mut reader) = run(&sim, config);
    wait_until("four hand-overs", || {
        reader.read();
        counters(&handle).handovers >= 4
    });
    for info in handle.streams() {
        let events = reader.of(info.id);
        check_prices_follow_live(&events);
        let told = reasons(&events);
        let (first, rest) = told.split_first().expect("it became Live");
        assert_eq!(*first, Reason::Synced);
        assert!(rest.len() >= 3, "{}: {told:?}", info.id);
        let all = rest.iter().all(|reason| *reason == Reason::HandedOver);
        assert!(all, "{}: {told:?}", info.id);
    }
    for symbol in SYMBOLS {
        let stream = book_of(&handle, symbol);
        reader.until_prices(stream, 5);
        check_book(&sim, &reader, stream, symbol);
    }
    assert_eq!(counters(&handle).resyncs, 0);
    handle.stop().unwrap();
}

#[test]
fn a_stream_that_goes_mute_is_found_and_healed_alone() {
    let sim = start(spot(&SYMBOLS));
    let mut config = BinanceConfig::spot();
    config.upkeep.expectations = Expectations {
        book: Expectation {
            quiet_ns: Nanos::from_millis(1_500),
            silence: Silence::Probe,
            grace_ns: Nanos::from_millis(300),
            renewal_ns: Nanos::from_secs(60),
        },
        ..Expectations::NONE
    };
    let (handle, mut reader) = run(&sim, config);
    let mute = book_of(&handle, "ETHUSDT");
    let before = reader.events.len();
    sim.control()
        .stall_stream(VENUE, "ethusdt@depth@100ms", true);
    reader.until(mute, StreamState::Stale);
    sim.control()
        .stall_stream(VENUE, "ethusdt@depth@100ms", false);
    reader.until(mute, StreamState::Live);
    reader.until_prices(mute, 5);
    check_prices_follow_live(&reader.of(mute));
    check_book(&sim, &reader, mute, "ETHUSDT");
    let told = reasons(&reader.of(mute));
    assert!(told.contains(&Reason::Mute), "{told:?}");
    let others = reader.events[before..].iter().filter(|event| {
        event.stream() != mute && matches!(event.body(), Body::State(_)) && !event.is_live()
    });
    assert_eq!(others.count(), 0, "other streams noticed nothing");
    handle.stop().unwrap();
}

#[test]
fn a_ban_is_told_with_its_end_and_leaves_live_books_alone() {
    let sim = start(spot(&SYMBOLS));
    let (handle, mut reader) = run(&sim, BinanceConfig::spot());
    let broken = book_of(&handle, "ETHUSDT");
    sim.control()
        .inject(VENUE, "rest 418 retry=2 times=1".parse().unwrap());
    sim.control().skip_next_delta(VENUE, "ETHUSDT");
    reader.until(broken, StreamState::Resync);
    reader.until(broken, StreamState::Live);
    let news: Vec<VenueNews> = core::iter::from_fn(|| handle.next_venue_notice())
        .map(|notice| notice.news)
        .collect();
    assert!(
        matches!(
            news[..],
            [VenueNews::Banned { status: 418, .. }, VenueNews::BanLifted]
        ),
        "{news:?}"
    );
    wait_until("one ban to be counted", || counters(&handle).bans == 1);
    for symbol in ["BTCUSDT", "SOLUSDT"] {
        let told = reasons(&reader.of(book_of(&handle, symbol)));
        assert_eq!(told, [Reason::Synced], "{symbol}");
    }
    reader.until_prices(broken, 5);
    check_book(&sim, &reader, broken, "ETHUSDT");
    handle.stop().unwrap();
}

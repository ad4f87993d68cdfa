//! From the first subscription to the last thread: what a program sees of an engine while it comes
//! up, loses its venue, is steered and ends.

#[path = "../common/mod.rs"]
mod common;
mod ending;

use std::net::TcpListener;
use std::sync::mpsc::{self, Sender};
use std::time::Duration;

use common::{
    PlainBook, Reader, check_prices_follow_live, is_price, moment, next_notice, spot, start,
    top_of, wait_until,
};
use tickwire::connectors::network::FetchInstruments;
use tickwire::connectors::transmit::DownReason;
use tickwire::{
    Bbo, BinanceConfig, Body, BuildError, BybitConfig, Channel, Context, Engine, Handle,
    LinkNoticeKind, LinkState, Market, Nanos, PinError, PollMode, Reason, StateChange, Strategy,
    StrategySetup, StreamId, StreamState, SubscribeError, TimerId, Venue, WideBody,
};
use tickwire_sim::{Channel as View, Sim, SimVenue, VenueSpec};

const VENUE: SimVenue = SimVenue::BinanceSpot;
const MARKET: (Venue, Market) = (Venue::Binance, Market::Spot);

/// An engine with pairs of these names that watch nothing.
fn with_pairs(sim: &Sim, names: &[&str]) -> (Handle, Vec<Reader>) {
    let setups = names.iter().map(|name| StrategySetup::pair().named(*name));
    let mut handle = setups
        .fold(common::engine(sim), |e, one| e.strategy(one))
        .spawn()
        .unwrap();
    let readers = names
        .iter()
        .map(|name| Reader::take(&mut handle, name))
        .collect();
    (handle, readers)
}

fn subscribe(reader: &Reader, symbol: &str, channel: Channel, depth: bool) -> StreamId {
    reader
        .commander
        .subscribe(MARKET.0, MARKET.1, symbol, channel, depth)
        .unwrap()
}

/// Turns pass: what was on its way has arrived.
fn let_turn(handle: &Handle) {
    let from = handle.counters().turns;
    wait_until("the loop to turn", || handle.counters().turns > from + 20);
}

/// The book that the reader's deltas leave is the venue's at that number, and its last top agrees.
#[track_caller]
fn check_book(
    sim: &Sim,
    venue: SimVenue,
    view: View,
    symbol: &str,
    reader: &Reader,
    stream: StreamId,
) {
    let events = reader.of(stream);
    check_prices_follow_live(&events);
    let book = PlainBook::of(&events);
    let truth = sim.truth().book_at(venue, symbol, view, book.seq);
    let truth = truth.unwrap_or_else(|| panic!("no truth of {symbol} at {}", book.seq));
    assert_eq!(book, PlainBook::from(&truth), "{venue} {symbol}");
    let top = events.iter().rev().find_map(top_of);
    assert_eq!(top, Some(book.top()), "{venue} {symbol}: top and levels");
}

// Coming up -------------------------------------------------------------------------------------

fn every_venue_gets_live(poll: PollMode) {
    let mut builder = Sim::builder().seed(3);
    for venue in SimVenue::ALL {
        builder = builder.venue(
            VenueSpec::of(venue)
                .instruments(2)
                .levels(200)
                .rate_msgs_s(100),
        );
    }
    let sim = builder.start().unwrap();
    let markets = [
        (Venue::Binance, Market::Spot),
        (Venue::Binance, Market::Linear),
        (Venue::Binance, Market::Inverse),
        (Venue::Bybit, Market::Spot),
        (Venue::Bybit, Market::Linear),
    ];
    let mut setup = StrategySetup::pair().named("all");
    for (one, (venue, market)) in SimVenue::ALL.into_iter().zip(markets) {
        let symbols = sim.truth().symbols(one);
        let symbols: Vec<&str> = symbols.iter().map(String::as_str).collect();
        setup = setup
            .watch(
                venue,
                market,
                symbols.iter().copied(),
                [Channel::Bbo, Channel::Trades],
            )
            .watch_depth(venue, market, symbols);
    }
    let mut handle = common::engine(&sim)
        .poll(poll)
        .strategy(setup)
        .spawn()
        .unwrap();
    let mut reader = Reader::take(&mut handle, "all");
    reader.until_all_live(&handle);
    let books = handle
        .streams()
        .into_iter()
        .filter(|info| info.key.channel == Channel::BOOK);
    let books: Vec<_> = books.collect();
    assert_eq!(books.len(), 10);
    for info in &books {
        reader.until_prices(info.id, 20);
    }
    for one in SimVenue::ALL {
        sim.control().pause(one);
    }
    while reader.read() > 0 {
        let_turn(&handle);
    }
    for info in &books {
        let one = markets
            .iter()
            .position(|key| *key == (info.key.venue, info.key.market))
            .unwrap();
        let one = SimVenue::ALL[one];
        // Bybit's usual book has 50 levels and numbers of its own.
        let view = if one.is_binance() {
            View::Full
        } else {
            View::Levels(50)
        };
        check_book(&sim, one, view, &info.key.symbol, &reader, info.id);
        assert_eq!(info.state(), StreamState::Live);
        let known = info.instrument().expect("the venue was asked");
        assert!(known.from_venue, "{known:?}");
    }
    for link in handle.links() {
        assert_eq!(
            (link.state(), link.epoch(), link.attempts()),
            (LinkState::Up, 1, 1),
            "{link:?}"
        );
        assert!(
            link.messages() > 0 && link.bytes_in() > 0 && link.bytes_out() > 0,
            "{link:?}"
        );
    }
    for (venue, market, counters) in handle.venue_counters() {
        let wrong = [
            counters.malformed,
            counters.gaps,
            counters.crossed,
            counters.refused,
        ];
        assert_eq!(wrong, [0; 4], "{venue} {market}: {counters:?}");
    }
    handle.stop().unwrap();
}

#[test]
fn every_venue_gets_live_while_the_loop_asks_mio() {
    every_venue_gets_live(PollMode::Mio);
}

#[test]
fn every_venue_gets_live_while_the_loop_reads_directly() {
    every_venue_gets_live(PollMode::Direct);
}

#[test]
fn every_venue_gets_live_while_the_loop_parks() {
    every_venue_gets_live(PollMode::PARK);
}

#[test]
fn a_name_whose_first_address_is_dead_still_connects() {
    // "localhost" is ::1 and 127.0.0.1 on most systems; the simulator listens on the latter only.
    let sim = start(spot(&["BTCUSDT"]));
    let here = |url: String| url.replace("127.0.0.1", "localhost");
    let there = (here(sim.ws_url(VENUE)), here(sim.rest_url(VENUE)));
    let trusted = vec![tickwire::CertificateDer::from(sim.ca_der().to_vec())];
    let mut handle = common::quick()
        .trust_only(trusted)
        .venue(BinanceConfig::spot().at(there))
        .strategy(
            StrategySetup::pair()
                .named("a")
                .watch_depth(MARKET.0, MARKET.1, ["BTCUSDT"]),
        )
        .spawn()
        .unwrap();
    let mut reader = Reader::take(&mut handle, "a");
    reader.until_all_live(&handle);
    handle.stop().unwrap();
}

#[test]
fn both_writings_of_a_symbol_are_one_stream() {
    let sim = start(spot(&["BTCUSDT"]));
    let (handle, readers) = with_pairs(&sim, &["a"]);
    let unified = subscribe(&readers[0], "BTC/USDT", Channel::Bbo, false);
    assert_eq!(
        subscribe(&readers[0], "BTCUSDT", Channel::Bbo, false),
        unified
    );
    assert_ne!(
        subscribe(&readers[0], "BTCUSDT", Channel::Trades, false),
        unified
    );
    handle.stop().unwrap();
}

#[test]
fn a_symbol_that_the_venue_does_not_know_is_refused_in_words() {
    let sim = start(spot(&["BTCUSDT"]));
    let (handle, mut readers) = with_pairs(&sim, &["a", "b"]);
    let stream = subscribe(&readers[0], "NOSUCH", Channel::BOOK, false);
    readers[0].until(stream, StreamState::Refused);
    let notice = readers[0]
        .wide
        .iter()
        .find(|wide| wide.stream == stream && matches!(wide.body, WideBody::Notice(_)));
    assert!(notice.is_some(), "{:?}", readers[0].wide);
    // Who comes later is told the same.
    subscribe(&readers[1], "NOSUCH", Channel::BOOK, false);
    readers[1].until(stream, StreamState::Refused);
    assert_eq!(handle.stream(stream).unwrap().state(), StreamState::Refused);
    handle.stop().unwrap();
}

#[test]
fn a_thousand_subscriptions_at_once_reach_a_parked_loop_without_its_sleeps() {
    let sim = start(spot(&["BTCUSDT"]));
    sim.control().refuse_upgrades(VENUE, Some(503));
    let longest = Duration::from_secs(3_600);
    let mut handle = common::engine(&sim)
        .poll(PollMode::Park { longest })
        .strategy(StrategySetup::pair().named("a"))
        .spawn()
        .unwrap();
    let reader = Reader::take(&mut handle, "a");
    for index in 0..2_000 {
        subscribe(&reader, &format!("S{index}USDT"), Channel::Trades, false);
    }
    wait_until("the loop to take them", || {
        handle.counters().commands >= 2_000
    });
    handle.stop().unwrap();
}

// While disconnected -----------------------------------------------------------------------------

#[test]
fn a_subscription_made_while_the_venue_refuses_ends_live() {
    let sim = start(spot(&["BTCUSDT", "ETHUSDT"]));
    sim.control().refuse_upgrades(VENUE, Some(503));
    let (handle, mut readers) = with_pairs(&sim, &["a"]);
    let first = subscribe(&readers[0], "BTCUSDT", Channel::BOOK, true);
    for _ in 0..3 {
        let notice = next_notice(&handle, "a refusal", |kind| {
            matches!(kind, LinkNoticeKind::Disconnected { .. })
        });
        let LinkNoticeKind::Disconnected {
            reason,
            retry_in_ns,
        } = notice.kind
        else {
            panic!()
        };
        assert!(
            matches!(reason, DownReason::Refused { status: 503, .. }),
            "{reason:?}"
        );
        assert!(retry_in_ns.is_some());
    }
    let second = subscribe(&readers[0], "ETHUSDT", Channel::BOOK, true);
    readers[0].read();
    assert!(
        !readers[0].events.iter().any(is_price),
        "{:?}",
        readers[0].events
    );
    assert!(
        handle
            .links()
            .iter()
            .all(|link| link.state() != LinkState::Up)
    );

    sim.control().refuse_upgrades(VENUE, None);
    for (stream, symbol) in [(first, "BTCUSDT"), (second, "ETHUSDT")] {
        readers[0].until(stream, StreamState::Live);
        readers[0].until_prices(stream, 10);
        sim.control().pause(VENUE);
        while readers[0].read() > 0 {
            let_turn(&handle);
        }
        check_book(&sim, VENUE, View::Full, symbol, &readers[0], stream);
        sim.control().resume(VENUE);
    }
    handle.stop().unwrap();
}

#[test]
fn a_stream_closed_while_the_venue_refuses_leaves_no_link_and_can_come_back() {
    let sim = start(spot(&["BTCUSDT"]));
    sim.control().refuse_upgrades(VENUE, Some(503));
    let (handle, mut readers) = with_pairs(&sim, &["a"]);
    let reader = &mut readers[0];
    for round in 1..=3 {
        let stream = subscribe(reader, "BTCUSDT", Channel::Bbo, false);
        wait_until("a refusal", || {
            let mut links = handle.links().into_iter();
            links.any(|link| link.state() == LinkState::Waiting && link.attempts() > 0)
        });
        reader.commander.unsubscribe(stream).unwrap();
        reader.read_until("Closed", |reader| {
            let states = reader.states_of(stream);
            states
                .iter()
                .filter(|state| **state == StreamState::Closed)
                .count()
                == round
        });
        wait_until("the link to be let go", || {
            handle
                .links()
                .iter()
                .all(|link| link.state() == LinkState::Closed)
        });
    }
    assert!(
        handle.links().len() <= 1,
        "links that are gone leave the list: {:?}",
        handle.links()
    );
    sim.control().refuse_upgrades(VENUE, None);
    let stream = subscribe(reader, "BTCUSDT", Channel::Bbo, false);
    reader.until(stream, StreamState::Live);
    handle.stop().unwrap();
}

#[test]
fn a_snapshot_that_the_venue_refuses_for_a_while_is_had_later() {
    // One snapshot (weight 250) fits the window of a second beside the instruments (20 each).
    let spec = spot(&["BTCUSDT", "ETHUSDT", "SOLUSDT"]).limits(|limits| {
        limits.rest_weight_max = 330;
        limits.rest_window_ns = 1_000_000_000;
        limits.rest_ban_after = u32::MAX;
    });
    let sim = start(spec);
    let symbols = ["BTCUSDT", "ETHUSDT", "SOLUSDT"];
    let setup = StrategySetup::pair()
        .named("a")
        .watch_depth(MARKET.0, MARKET.1, symbols);
    let mut handle = common::engine(&sim).strategy(setup).spawn().unwrap();
    let mut reader = Reader::take(&mut handle, "a");
    reader.until_all_live(&handle);
    assert!(
        sim.stats().rest_limited > 0,
        "the limit was not reached: {:?}",
        sim.stats()
    );
    for info in handle.streams() {
        check_prices_follow_live(&reader.of(info.id));
    }
    handle.stop().unwrap();
}

#[test]
fn without_rest_what_needs_no_snapshot_is_live_and_books_have_no_price() {
    let sim = start(spot(&["BTCUSDT"]));
    let dead = dead_port();
    let config = BinanceConfig {
        instruments: FetchInstruments::No,
        ..BinanceConfig::spot()
    };
    let trusted = vec![tickwire::CertificateDer::from(sim.ca_der().to_vec())];
    let mut handle = common::quick()
        .trust_only(trusted)
        .venue(config.at((sim.ws_url(VENUE), format!("https://127.0.0.1:{dead}"))))
        .strategy(StrategySetup::pair().named("a"))
        .spawn()
        .unwrap();
    let mut reader = Reader::take(&mut handle, "a");
    let book = subscribe(&reader, "BTCUSDT", Channel::BOOK, true);
    let bbo = subscribe(&reader, "BTCUSDT", Channel::Bbo, false);
    reader.until(bbo, StreamState::Live);
    reader.until_prices(bbo, 20);
    wait_until("requests to fail", || {
        handle.venue_counters()[0].2.requests_failed > 1
    });
    reader.read();
    assert!(!reader.of(book).iter().any(is_price));
    assert_ne!(reader.state(book), StreamState::Live);
    handle.stop().unwrap();
}

/// A port that nobody listens on.
fn dead_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

// Losing and coming back ---------------------------------------------------------------------------

#[test]
fn after_a_cut_stale_comes_before_any_price_and_the_book_is_the_venues_again() {
    let sim = start(spot(&["BTCUSDT"]));
    let (handle, mut readers) = with_pairs(&sim, &["a"]);
    let reader = &mut readers[0];
    let stream = subscribe(reader, "BTCUSDT", Channel::BOOK, true);
    reader.until(stream, StreamState::Live);
    let up = |kind: &LinkNoticeKind| matches!(kind, LinkNoticeKind::Connected { .. });
    let down = |kind: &LinkNoticeKind| matches!(kind, LinkNoticeKind::Disconnected { .. });
    let first = next_notice(&handle, "the connection", up);
    assert!(
        matches!(first.kind, LinkNoticeKind::Connected { epoch: 1, .. }),
        "{first:?}"
    );
    assert_eq!((first.venue, first.market), MARKET);

    for round in 2..5u16 {
        reader.until_prices(stream, 20);
        let from = reader.events.len();
        sim.control().cut_connections(VENUE);
        let lost = next_notice(&handle, "the loss", down);
        let LinkNoticeKind::Disconnected {
            reason,
            retry_in_ns,
        } = &lost.kind
        else {
            panic!()
        };
        assert!(!matches!(reason, DownReason::Closed), "{lost:?}");
        assert!(retry_in_ns.is_some(), "{lost:?}");
        let back = next_notice(&handle, "the new connection", up);
        let LinkNoticeKind::Connected { epoch, took_ns } = back.kind else {
            panic!()
        };
        assert_eq!(epoch, round);
        assert!(took_ns > Nanos::ZERO, "{back:?}");

        reader.read_until("Stale, then Live", |reader| {
            let states = common::states(&reader.events[from..]);
            states.contains(&StreamState::Stale) && reader.state(stream) == StreamState::Live
        });
        let new = &reader.events[from..];
        let change = new.iter().find_map(|event| match event.body() {
            Body::State(change) => Some(change),
            _ => None,
        });
        let change = change.unwrap();
        assert_eq!(
            (change.state(), change.reason()),
            (StreamState::Stale, Reason::LinkDown)
        );
        reader.until_prices(stream, 20);
        assert_eq!(reader.events.last().unwrap().epoch(), round);
        assert_eq!(handle.stream(stream).unwrap().epoch(), round);
        assert_eq!(handle.links()[0].epoch(), round);
    }
    sim.control().pause(VENUE);
    while reader.read() > 0 {
        let_turn(&handle);
    }
    check_book(&sim, VENUE, View::Full, "BTCUSDT", reader, stream);
    assert_eq!(handle.notices_lost(), 0);
    handle.stop().unwrap();
}

#[test]
fn a_missing_update_invalidates_the_book_until_a_fresh_snapshot() {
    let sim = start(spot(&["BTCUSDT"]));
    let (handle, mut readers) = with_pairs(&sim, &["a"]);
    let reader = &mut readers[0];
    let stream = subscribe(reader, "BTCUSDT", Channel::BOOK, true);
    reader.until(stream, StreamState::Live);
    let from = reader.events.len();
    sim.control().skip_next_delta(VENUE, "BTCUSDT");
    reader.read_until("the gap to be told and healed", |reader| {
        let states = common::states(&reader.events[from..]);
        !states.is_empty() && reader.state(stream) == StreamState::Live
    });
    let told = reader.events[from..]
        .iter()
        .find_map(|event| match event.body() {
            Body::State(change) => Some(change),
            _ => None,
        });
    let told = told.unwrap();
    assert_eq!(
        (told.state(), told.reason()),
        (StreamState::Resync, Reason::Gap)
    );
    let (expected, got) = told.gap().expect("the numbers of the gap");
    assert!(got > expected, "{told:?}");
    sim.control().pause(VENUE);
    while reader.read() > 0 {
        let_turn(&handle);
    }
    check_book(&sim, VENUE, View::Full, "BTCUSDT", reader, stream);
    wait_until("the gap to be counted", || {
        let counters = handle.venue_counters()[0].2;
        counters.gaps >= 1 && counters.resyncs >= 1
    });
    handle.stop().unwrap();
}

#[test]
fn a_venue_that_restarts_its_numbers_is_followed() {
    let sim = start(spot(&["BTCUSDT"]));
    let (handle, mut readers) = with_pairs(&sim, &["a"]);
    let reader = &mut readers[0];
    let stream = subscribe(reader, "BTCUSDT", Channel::BOOK, true);
    reader.until(stream, StreamState::Live);
    reader.until_prices(stream, 20);
    let from = reader.events.len();
    sim.control().restart_with_sequence_reset(VENUE);
    reader.read_until("Live on the restarted venue", |reader| {
        let states = common::states(&reader.events[from..]);
        states.first() == Some(&StreamState::Stale) && reader.state(stream) == StreamState::Live
    });
    reader.until_prices(stream, 20);
    sim.control().pause(VENUE);
    while reader.read() > 0 {
        let_turn(&handle);
    }
    check_book(&sim, VENUE, View::Full, "BTCUSDT", reader, stream);
    handle.stop().unwrap();
}

#[test]
fn a_book_thrown_away_on_request_says_resync_to_all_and_comes_back() {
    let sim = start(spot(&["BTCUSDT"]));
    let (handle, mut readers) = with_pairs(&sim, &["a", "b"]);
    let stream = subscribe(&readers[0], "BTCUSDT", Channel::BOOK, true);
    subscribe(&readers[1], "BTCUSDT", Channel::BOOK, false);
    for reader in &mut readers {
        reader.until(stream, StreamState::Live);
        reader.until_prices(stream, 5);
    }
    let from: Vec<usize> = readers.iter().map(|reader| reader.events.len()).collect();
    readers[1].commander.resync(stream).unwrap();
    for (reader, from) in readers.iter_mut().zip(from) {
        reader.read_until("Resync, then Live", |reader| {
            let states = common::states(&reader.events[from..]);
            states.contains(&StreamState::Resync) && reader.state(stream) == StreamState::Live
        });
        check_prices_follow_live(&reader.of(stream));
    }
    // The second asked for no levels.
    assert!(
        !readers[1]
            .events
            .iter()
            .any(|event| matches!(event.body(), Body::Level(_)))
    );
    handle.stop().unwrap();
}

// Joining and leaving -------------------------------------------------------------------------------

#[test]
fn a_stream_can_be_closed_and_opened_again_and_again() {
    let sim = start(spot(&["BTCUSDT", "ETHUSDT"]));
    let (handle, mut readers) = with_pairs(&sim, &["a"]);
    let reader = &mut readers[0];
    let strategy = handle.strategy("a").unwrap();
    let mut known = None;
    for _ in 0..4 {
        let stream = handle
            .subscribe(strategy, MARKET.0, MARKET.1, "BTCUSDT", Channel::BOOK)
            .unwrap();
        assert_eq!(
            *known.get_or_insert(stream),
            stream,
            "the stream keeps its number"
        );
        reader.until(stream, StreamState::Live);
        reader.until_prices(stream, 3);
        handle.unsubscribe(strategy, stream).unwrap();
        reader.until(stream, StreamState::Closed);
        let_turn(&handle);
        reader.read();
        let events = reader.of(stream);
        assert_eq!(
            events.last().map(|event| event.state()),
            Some(StreamState::Closed)
        );
        let closed = |event: &&tickwire::Event| event.state() == StreamState::Closed;
        assert!(
            matches!(events.last().unwrap().body(), Body::State(_)),
            "the last word is the state"
        );
        assert_eq!(
            events.iter().rev().take_while(closed).count(),
            1,
            "Closed is said once"
        );
        assert_eq!(handle.stream(stream).unwrap().state(), StreamState::Closed);
        check_prices_follow_live(&events);
    }
    // A link of one number is one link, however often it was opened.
    let links = handle.links();
    for (index, link) in links.iter().enumerate() {
        let same = |other: &std::sync::Arc<tickwire::LinkInfo>| other.link == link.link;
        assert_eq!(links.iter().position(same), Some(index), "{links:?}");
    }
    handle.stop().unwrap();
}

#[test]
fn opening_right_behind_closing_ends_live() {
    let sim = start(spot(&["BTCUSDT"]));
    let (handle, mut readers) = with_pairs(&sim, &["a"]);
    let reader = &mut readers[0];
    let stream = subscribe(reader, "BTCUSDT", Channel::BOOK, true);
    reader.until(stream, StreamState::Live);
    // Few enough that their snapshots stay within the connector's request weight of a minute.
    for _ in 0..6 {
        let from = reader.events.len();
        reader.commander.unsubscribe(stream).unwrap();
        subscribe(reader, "BTCUSDT", Channel::BOOK, true);
        reader.read_until("Closed, then Live", |reader| {
            let states = common::states(&reader.events[from..]);
            states.contains(&StreamState::Closed) && reader.state(stream) == StreamState::Live
        });
    }
    reader.until_prices(stream, 10);
    check_prices_follow_live(&reader.of(stream));
    // No connection is left behind that nobody reads.
    wait_until("the venue to see one connection", || {
        let stats = sim.stats();
        stats.upgrades - stats.closed == 1
    });
    handle.stop().unwrap();
}

#[test]
fn a_late_joiner_gets_the_present_state_and_top_alone() {
    let sim = start(spot(&["BTCUSDT"]));
    let (handle, mut readers) = with_pairs(&sim, &["early", "late", "deep"]);
    let [early, late, deep] = &mut readers[..] else {
        panic!()
    };
    let stream = subscribe(early, "BTCUSDT", Channel::BOOK, false);
    early.until(stream, StreamState::Live);
    early.until_prices(stream, 5);
    sim.control().pause(VENUE);
    while early.read() > 0 {
        let_turn(&handle);
    }
    let count = early.events.len();

    assert_eq!(subscribe(late, "BTCUSDT", Channel::BOOK, false), stream);
    late.read_until("its top", |reader| {
        reader.events.iter().any(|event| top_of(event).is_some())
    });
    assert_eq!(late.states_of(stream), [StreamState::Live]);
    let newest = early.events.iter().rev().find_map(top_of);
    assert_eq!(late.events.iter().find_map(top_of), newest);
    assert!(
        late.wide
            .iter()
            .any(|wide| matches!(wide.body, WideBody::Instrument(_)))
            || handle.stream(stream).unwrap().instrument().is_some()
    );

    // One who wants levels gets the whole book.
    subscribe(deep, "BTCUSDT", Channel::BOOK, true);
    deep.read_until("its top", |reader| {
        reader.events.iter().any(|event| top_of(event).is_some())
    });
    while deep.read() > 0 {
        let_turn(&handle);
    }
    check_book(&sim, VENUE, View::Full, "BTCUSDT", deep, stream);
    let_turn(&handle);
    early.read();
    let others = &early.events[count..];
    assert!(
        !others
            .iter()
            .any(|event| matches!(event.body(), Body::State(_) | Body::Level(_))),
        "{others:?}"
    );

    sim.control().resume(VENUE);
    for reader in &mut readers {
        reader.until_prices(stream, 5);
        check_prices_follow_live(&reader.of(stream));
    }
    handle.stop().unwrap();
}

#[test]
fn leaving_closes_the_stream_for_the_leaver_only() {
    let sim = start(spot(&["BTCUSDT"]));
    let (handle, mut readers) = with_pairs(&sim, &["stays", "leaves"]);
    let stream = subscribe(&readers[0], "BTCUSDT", Channel::BOOK, true);
    subscribe(&readers[1], "BTCUSDT", Channel::BOOK, true);
    for reader in &mut readers {
        reader.until(stream, StreamState::Live);
    }
    readers[1].commander.unsubscribe(stream).unwrap();
    readers[1].until(stream, StreamState::Closed);
    readers[0].until_prices(stream, 50);
    readers[1].read();
    let last = readers[1].of(stream).pop().unwrap();
    assert!(matches!(last.body(), Body::State(change) if change.reason() == Reason::Unsubscribed));
    assert_eq!(readers[0].states_of(stream), [StreamState::Live]);
    assert_eq!(handle.stream(stream).unwrap().state(), StreamState::Live);
    // Letting go of what one does not have is no harm to the others.
    readers[1].commander.unsubscribe(stream).unwrap();
    readers[0].until_prices(stream, 50);
    sim.control().pause(VENUE);
    while readers[0].read() > 0 {
        let_turn(&handle);
    }
    check_book(&sim, VENUE, View::Full, "BTCUSDT", &readers[0], stream);
    handle.stop().unwrap();
}

/// Opens a second stream when the first is Live, and lets the first go by a timer.
struct Climber {
    first: Option<StreamId>,
    second: Option<StreamId>,
    log: Sender<(StreamId, StreamState)>,
}

const LET_GO: TimerId = 7;
const NEVER: TimerId = 8;

impl Strategy for Climber {
    fn on_start(&mut self, context: &mut Context) {
        let stream = context.subscribe(MARKET.0, MARKET.1, "BTC/USDT", Channel::Bbo);
        self.first = Some(stream.unwrap());
        context.set_timer(NEVER, Nanos::from_millis(1));
        context.cancel_timer(NEVER);
    }

    fn on_state(&mut self, context: &mut Context, change: &StateChange) {
        let _ = self.log.send((change.stream(), change.state()));
        if Some(change.stream()) == self.first && change.is_live() && self.second.is_none() {
            let stream = context.subscribe_depth(MARKET.0, MARKET.1, "ETH/USDT", Channel::BOOK);
            self.second = Some(stream.unwrap());
            context.set_timer(LET_GO, Nanos::from_millis(20));
        }
        if Some(change.stream()) == self.first && change.state() == StreamState::Closed {
            context.stop();
        }
    }

    fn on_timer(&mut self, context: &mut Context, timer: TimerId) {
        assert_eq!(timer, LET_GO, "a cancelled timer fired");
        context.unsubscribe(self.first.unwrap()).unwrap();
    }
}

fn climb(inline: bool) {
    let sim = start(spot(&["BTCUSDT", "ETHUSDT"]));
    let (log, inbox) = mpsc::channel();
    let mut setup = StrategySetup::new(Climber {
        first: None,
        second: None,
        log,
    })
    .named("climber");
    if inline {
        setup = setup.inline();
    }
    let other =
        StrategySetup::pair()
            .named("other")
            .watch(MARKET.0, MARKET.1, ["BTCUSDT"], [Channel::Bbo]);
    let mut handle = common::engine(&sim)
        .strategy(setup)
        .strategy(other)
        .spawn()
        .unwrap();
    let mut other = Reader::take(&mut handle, "other");
    let streams = handle.streams();
    let first = streams[0].id;
    other.until(first, StreamState::Live);
    let mut told = Vec::new();
    wait_until("the strategy to let its first stream go", || {
        told.extend(inbox.try_iter());
        told.contains(&(first, StreamState::Closed))
    });
    // It has ended: what only it had open is closed, and the other goes on.
    wait_until("the stream of the ended strategy to be closed", || {
        let streams = handle.streams();
        streams
            .iter()
            .all(|info| info.id == first || info.state() == StreamState::Closed)
    });
    other.until_prices(first, 20);
    assert_eq!(other.states_of(first), [StreamState::Live]);
    handle.stop().unwrap();
}

#[test]
fn a_strategy_on_its_thread_opens_and_closes_streams_and_is_dropped_when_it_ends() {
    climb(false);
}

#[test]
fn a_strategy_on_the_loop_opens_and_closes_streams_and_is_dropped_when_it_ends() {
    climb(true);
}

#[test]
fn a_pair_that_is_dropped_lets_its_streams_go() {
    let sim = start(spot(&["BTCUSDT", "ETHUSDT"]));
    let (handle, mut readers) = with_pairs(&sim, &["stays", "goes"]);
    let shared = subscribe(&readers[0], "BTCUSDT", Channel::BOOK, false);
    subscribe(&readers[1], "BTCUSDT", Channel::BOOK, true);
    let own = subscribe(&readers[1], "ETHUSDT", Channel::BOOK, false);
    readers[1].until(own, StreamState::Live);
    readers[1].until(shared, StreamState::Live);
    let gone = readers.pop().unwrap();
    let commander = gone.commander.clone();
    drop(gone);
    wait_until("its stream to be closed", || {
        handle.stream(own).unwrap().state() == StreamState::Closed
    });
    readers[0].until(shared, StreamState::Live);
    readers[0].until_prices(shared, 20);
    // Nobody would read what is opened in its name now.
    commander
        .subscribe(MARKET.0, MARKET.1, "ETHUSDT", Channel::BOOK, false)
        .unwrap();
    let_turn(&handle);
    readers[0].until_prices(shared, 20);
    assert_eq!(handle.stream(own).unwrap().state(), StreamState::Closed);
    handle.stop().unwrap();
}

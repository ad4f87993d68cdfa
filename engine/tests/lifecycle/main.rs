//! From the first subscription to the last thread: what a program sees of an engine while it comes
//! up, loses its venue, is steered and ends.

#[path = "../common/mod.rs"]
mod common;
mod ending;
mod loss;
mod steering;

use std::net::TcpListener;
use std::sync::mpsc::{self, Sender};
use std::time::Duration;

use common::{
    PlainBook, Reader, check_prices_follow_live, is_price, moment, next_notice, spot, start,
    top_of, wait_until,
};
use tickwire::connectors::network::FetchInstruments;
use tickwire::connectors::transmit::DownReason;
use tickwire::testing::names;
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

/// A port that nobody listens on.
fn dead_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

// Losing and coming back ---------------------------------------------------------------------------

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
    let mut setup = StrategySetup::pair().named("all");
    for one in SimVenue::ALL {
        let (venue, market) = names(one);
        let symbols = sim.truth().symbols(one);
        let symbols: Vec<&str> = symbols.iter().map(String::as_str).collect();
        let channels: &[Channel] = match venue {
            Venue::Polymarket => &[Channel::Trades],
            _ => &[Channel::Bbo, Channel::Trades],
        };
        let channels = channels.iter().copied();
        setup = setup
            .watch(venue, market, symbols.iter().copied(), channels)
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
    assert_eq!(books.len(), 2 * SimVenue::ALL.len());
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
        let key = (info.key.venue, info.key.market);
        let one = SimVenue::ALL.into_iter().find(|one| names(*one) == key);
        let one = one.unwrap();
        // Bybit's usual book has 50 levels and numbers of its own.
        let view = if one.is_binance() || one.is_deribit() {
            View::Full
        } else if one == SimVenue::Polymarket {
            View::Levels(usize::MAX)
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
        // Polymarket tells its best prices with each change, and a hash with each book.
        if venue == Venue::Polymarket {
            assert!(
                counters.tops_checked > 20 && counters.hashes_met >= 2,
                "{counters:?}"
            );
            assert_eq!(counters.tops_agreed, counters.tops_checked);
            assert_eq!(counters.hash_mismatches, 0);
        }
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

//! What a program sees while the venue refuses, cuts, restarts or loses messages.

use super::*;

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

//! How an engine ends, and what can't be built.

use super::*;

/// Well above what ending takes, well below any time-out of the engine.
const PROMPT: Duration = Duration::from_secs(5);

fn stop_is_prompt(poll: PollMode, ws: &str, watch: bool) {
    let setup = StrategySetup::new(Quiet).watch(
        MARKET.0,
        MARKET.1,
        ["BTCUSDT"],
        [Channel::Bbo, Channel::BOOK],
    );
    let inline = StrategySetup::new(Quiet).inline();
    let setup = if watch {
        setup
    } else {
        StrategySetup::new(Quiet)
    };
    let handle = common::quick()
        .poll(poll)
        .venue(BinanceConfig::spot().at((ws, ws.replace("wss", "https"))))
        .strategy(setup)
        .strategy(inline)
        .spawn()
        .unwrap();
    assert!(handle.is_running());
    if watch {
        wait_until("a try", || {
            handle.links().iter().any(|link| link.attempts() > 0) || handle.counters().turns > 100
        });
    }
    let started = moment();
    handle.stop().unwrap();
    assert!(
        started.elapsed() < PROMPT,
        "{poll:?} {ws}: {:?}",
        started.elapsed()
    );
}

struct Quiet;

impl Strategy for Quiet {}

#[test]
fn stop_is_prompt_whatever_the_venue_does() {
    // A venue that accepts and never says a word.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let mute = format!("wss://{}", mute.local_addr().unwrap());
    let refused = format!("wss://127.0.0.1:{}", dead_port());
    let longest = Duration::from_secs(3_600);
    for poll in [
        PollMode::Mio,
        PollMode::Direct,
        PollMode::PARK,
        PollMode::Park { longest },
    ] {
        stop_is_prompt(poll, &refused, true);
        stop_is_prompt(poll, &mute, true);
        stop_is_prompt(poll, &refused, false);
    }
}

#[test]
fn after_stop_pairs_are_told_and_commands_are_refused() {
    let sim = start(spot(&["BTCUSDT"]));
    let (handle, mut readers) = with_pairs(&sim, &["a"]);
    let reader = &mut readers[0];
    let stream = subscribe(reader, "BTCUSDT", Channel::Bbo, false);
    reader.until(stream, StreamState::Live);
    assert!(!reader.engine_gone());
    let started = moment();
    handle.stop().unwrap();
    assert!(started.elapsed() < PROMPT);
    assert!(reader.engine_gone());
    reader.read();
    let refused = reader.commander.unsubscribe(stream);
    assert!(
        matches!(refused, Err(SubscribeError::Engine(_))),
        "{refused:?}"
    );
    wait_until("the venue to see the end", || {
        sim.stats().closed == sim.stats().upgrades
    });
}

/// Panics at its first price.
struct Faulty;

impl Strategy for Faulty {
    fn on_bbo(&mut self, _: &mut Context, _: &Bbo) {
        panic!("a fault of the strategy");
    }
}

fn faulty() -> StrategySetup {
    StrategySetup::new(Faulty).named("faulty").watch(
        MARKET.0,
        MARKET.1,
        ["BTCUSDT"],
        [Channel::Bbo],
    )
}

#[test]
fn a_strategy_that_panics_is_named_by_stop_and_the_others_go_on() {
    let sim = start(spot(&["BTCUSDT"]));
    let other =
        StrategySetup::pair()
            .named("other")
            .watch(MARKET.0, MARKET.1, ["BTCUSDT"], [Channel::Bbo]);
    let mut handle = common::engine(&sim)
        .strategy(faulty())
        .strategy(other)
        .spawn()
        .unwrap();
    let mut other = Reader::take(&mut handle, "other");
    other.until_all_live(&handle);
    let stream = handle.streams()[0].id;
    other.until_prices(stream, 100);
    let panicked = handle.stop().unwrap_err();
    assert_eq!(panicked.thread, "faulty");
    assert_eq!(panicked.message, "a fault of the strategy");
}

#[test]
fn a_strategy_that_panics_on_the_loop_ends_the_loop_and_stop_says_so() {
    let sim = start(spot(&["BTCUSDT"]));
    let other = StrategySetup::new(Quiet).named("other");
    let handle = common::engine(&sim)
        .strategy(faulty().inline())
        .strategy(other)
        .spawn()
        .unwrap();
    wait_until("the loop to end", || !handle.is_running());
    let commander = handle.commander(handle.strategy("other").unwrap());
    let refused = commander.subscribe(MARKET.0, MARKET.1, "BTCUSDT", Channel::Bbo, false);
    assert!(
        matches!(refused, Err(SubscribeError::Engine(_))),
        "{refused:?}"
    );
    let panicked = handle.stop().unwrap_err();
    assert_eq!(panicked.message, "a fault of the strategy");
}

// What can't be built ---------------------------------------------------------------------------------

#[test]
fn an_engine_that_can_not_be_says_why() {
    let error = Engine::builder().spawn().unwrap_err();
    assert!(matches!(error, BuildError::NoVenue), "{error}");

    let twice = Engine::builder()
        .venue(BinanceConfig::spot())
        .venue(BinanceConfig::spot());
    let error = twice.spawn().unwrap_err();
    assert!(
        matches!(
            error,
            BuildError::VenueTwice {
                venue: Venue::Binance,
                market: Market::Spot
            }
        ),
        "{error}"
    );

    let error = Engine::builder()
        .venue(BinanceConfig::spot())
        .on_core(9_999)
        .spawn()
        .unwrap_err();
    assert!(
        matches!(
            error,
            BuildError::Pin(PinError::NoSuchCore { core: 9_999, .. })
        ),
        "{error}"
    );

    let pinned = StrategySetup::new(Quiet).on_core(9_998);
    let error = Engine::builder()
        .venue(BinanceConfig::spot())
        .strategy(pinned)
        .spawn()
        .unwrap_err();
    assert!(
        matches!(
            error,
            BuildError::Pin(PinError::NoSuchCore { core: 9_998, .. })
        ),
        "{error}"
    );

    let long = "X".repeat(81);
    for symbol in ["", &*long] {
        let watch = StrategySetup::new(Quiet).named("s").watch(
            MARKET.0,
            MARKET.1,
            [symbol],
            [Channel::Bbo],
        );
        let error = Engine::builder()
            .venue(BinanceConfig::spot())
            .strategy(watch)
            .spawn()
            .unwrap_err();
        assert!(
            matches!(&error, BuildError::Watch { name, error: SubscribeError::BadSymbol(_), .. } if name == "s"),
            "{error}"
        );
    }

    let watch =
        StrategySetup::new(Quiet).watch(Venue::Bybit, Market::Spot, ["BTCUSDT"], [Channel::Bbo]);
    let error = Engine::builder()
        .venue(BinanceConfig::spot())
        .strategy(watch)
        .spawn()
        .unwrap_err();
    let unknown = matches!(
        &error,
        BuildError::Watch {
            error: SubscribeError::UnknownVenue {
                venue: Venue::Bybit,
                market: Market::Spot
            },
            ..
        }
    );
    assert!(unknown, "{error}");

    let bad = BybitConfig::spot().at(("not a url", "https://x"));
    let error = Engine::builder().venue(bad).spawn().unwrap_err();
    assert!(matches!(error, BuildError::Venue(_)), "{error}");

    let many = (0..65).fold(
        Engine::builder().venue(BinanceConfig::spot()),
        |builder, _| builder.strategy(StrategySetup::pair()),
    );
    let error = many.spawn().unwrap_err();
    assert!(
        matches!(error, BuildError::TooManyStrategies(65)),
        "{error}"
    );
}

#[test]
fn names_are_unique_also_among_those_that_were_given_none() {
    for names in [["a", "a"], ["strategy-1", ""], ["", "strategy-0"]] {
        let builder = names.iter().fold(
            Engine::builder().venue(BinanceConfig::spot()),
            |builder, name| builder.strategy(StrategySetup::pair().named(*name)),
        );
        let error = builder.spawn().err();
        assert!(
            matches!(error, Some(BuildError::NameTwice(_))),
            "{names:?}: {error:?}"
        );
    }
}

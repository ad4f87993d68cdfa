//! Streams opened, shared and let go while the engine runs.

use super::*;

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

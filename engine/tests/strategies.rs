//! Two strategies on one engine, each with a ring of its own: what one fails to read costs the other
//! nothing, and the one that fell behind learns exactly what it missed.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

use common::{PlainBook, Reader, check_prices_follow_live, start, top_of, wait_until};
use tickwire::connectors::event::LostCounts;
use tickwire::ring::RingConfig;
use tickwire::{
    Body, Channel, Context, Event, Handle, LevelDelta, Lost, Market, Replica, Side, StateChange,
    Strategy, StrategySetup, StreamId, StreamState, Venue,
};
use tickwire_sim::{Channel as View, Sim, SimVenue};

const VENUE: SimVenue = SimVenue::BinanceSpot;
const SYMBOLS: [&str; 2] = ["BTCUSDT", "ETHUSDT"];

/// A pair that watches everything of both symbols.
fn pair(name: &str, hot_capacity: usize) -> StrategySetup {
    let ring = RingConfig {
        hot_capacity,
        ..RingConfig::default()
    };
    StrategySetup::pair()
        .named(name)
        .ring(ring)
        .watch(
            Venue::Binance,
            Market::Spot,
            SYMBOLS,
            [Channel::Bbo, Channel::Trades],
        )
        .watch_depth(Venue::Binance, Market::Spot, SYMBOLS)
}

fn world(slow_capacity: usize) -> (Sim, Handle, Reader, Reader) {
    let sim = start(common::spot(&SYMBOLS).rate_msgs_s(1_500));
    let mut handle = common::engine(&sim)
        .strategy(pair("fast", RingConfig::HOT_CAPACITY))
        .strategy(pair("slow", slow_capacity))
        .spawn()
        .unwrap();
    let fast = Reader::take(&mut handle, "fast");
    let slow = Reader::take(&mut handle, "slow");
    (sim, handle, fast, slow)
}

/// Prices by kind.
fn count(events: &[Event]) -> LostCounts {
    let mut counts = LostCounts::default();
    for event in events {
        match event.body() {
            Body::Bbo(_) => counts.bbo += 1,
            Body::Trade(_) => counts.trades += 1,
            Body::Level(_) => counts.levels += 1,
            Body::State(_) | Body::Lost(_) => {}
        }
    }
    counts
}

fn lost(events: &[Event]) -> LostCounts {
    let mut sum = LostCounts::default();
    for event in events {
        if let Body::Lost(lost) = event.body() {
            sum = plus(sum, lost.counts());
        }
    }
    sum
}

fn plus(a: LostCounts, b: LostCounts) -> LostCounts {
    LostCounts {
        bbo: a.bbo + b.bbo,
        trades: a.trades + b.trades,
        levels: a.levels + b.levels,
        wide: a.wide + b.wide,
    }
}

/// Turns of the loop pass, so that whatever it still had to deliver is delivered.
fn let_turn(handle: &Handle) {
    let from = handle.counters().turns;
    wait_until("the loop to turn", || handle.counters().turns > from + 20);
}

/// Lets the market stand still and reads what is left, on both sides.
fn settle(sim: &Sim, handle: &Handle, fast: &mut Reader, slow: &mut Reader) {
    sim.control().pause(VENUE);
    loop {
        let_turn(handle);
        if fast.read() + slow.read() == 0 {
            return;
        }
    }
}

/// Cuts every connection and has `reader` see all streams go and come back.
fn cut(sim: &Sim, handle: &Handle, reader: &mut Reader) {
    let (from, streams) = (reader.events.len(), handle.streams());
    sim.control().cut_connections(VENUE);
    reader.read_until("every stream to go Stale and be Live again", |reader| {
        streams.iter().all(|info| {
            let new = reader.events[from..]
                .iter()
                .filter(|event| event.stream() == info.id);
            let states = common::states(&new.copied().collect::<Vec<_>>());
            states.first() == Some(&StreamState::Stale) && states.last() == Some(&StreamState::Live)
        })
    });
}

/// Whether `part` comes out of `whole` by leaving events out.
#[track_caller]
fn check_is_part_in_order(part: &[Event], whole: &[Event]) {
    let mut rest = whole.iter();
    for (index, event) in part.iter().enumerate() {
        let found = rest.any(|other| other == event);
        assert!(
            found,
            "event {index} is not among the rest, or out of order: {event:?}"
        );
    }
}

fn check_whole(reader: &Reader, stream: StreamId) {
    let events = reader.of(stream);
    check_prices_follow_live(&events);
    assert_eq!(lost(&events).total(), 0, "{stream} lost something");
    let mut last_trade: Option<(u16, u128)> = None;
    for event in &events {
        if let Body::Trade(trade) = event.body() {
            // The simulator numbers trades one by one, as the venue does.
            if let Some((epoch, id)) = last_trade.filter(|(epoch, _)| *epoch == trade.epoch()) {
                assert_eq!(
                    trade.id(),
                    id + 1,
                    "{stream} misses a trade in epoch {epoch}"
                );
            }
            last_trade = Some((trade.epoch(), trade.id()));
        }
    }
}

#[test]
fn a_reader_that_stops_costs_the_other_nothing_and_learns_exactly_what_it_missed() {
    let (sim, handle, mut fast, mut slow) = world(256);
    // A ring of 256 does not hold a first snapshot either: the losses may begin here.
    fast.until_all_live(&handle);
    slow.until_all_live(&handle);

    // From here on the slow one reads nothing, through two cuts.
    let bbo = handle.streams()[0].id;
    fast.until_prices(bbo, 200);
    cut(&sim, &handle, &mut fast);
    fast.until_prices(bbo, 200);
    cut(&sim, &handle, &mut fast);
    fast.until_prices(bbo, 200);
    settle(&sim, &handle, &mut fast, &mut slow);

    for info in handle.streams() {
        let name = format!("{} {}", info.key.symbol, info.key.channel);
        check_whole(&fast, info.id);
        let (all, seen) = (fast.of(info.id), slow.of(info.id));
        check_prices_follow_live(&seen);
        assert_eq!(plus(count(&seen), lost(&seen)), count(&all), "{name}");
        let delivered: Vec<Event> = seen
            .iter()
            .copied()
            .filter(|event| !matches!(event.body(), Body::Lost(_)))
            .collect();
        check_is_part_in_order(&delivered, &all);

        // It heard of the loss: Stale of the first cut, then Live of the last.
        let told = slow.states_of(info.id);
        assert_eq!(told.last(), Some(&StreamState::Live), "{name}: {told:?}");
        assert!(told.contains(&StreamState::Stale), "{name}: {told:?}");
        let epoch = |events: &[Event]| events.last().map(Event::epoch);
        assert_eq!(epoch(&seen), epoch(&all), "{name}");
        // The newest top of book always arrives.
        let newest = |events: &[Event]| events.iter().rev().find_map(top_of);
        assert_eq!(newest(&seen), newest(&all), "{name}");
    }
    let missed = lost(&slow.events);
    assert!(
        missed.bbo > 0 && missed.trades > 0 && missed.levels > 0,
        "{missed:?}"
    );
    handle.stop().unwrap();
}

#[test]
fn a_reader_that_missed_levels_gets_the_whole_book_when_it_asks() {
    let (sim, handle, mut fast, mut slow) = world(4_096);
    fast.until_all_live(&handle);
    let bbo = handle.streams()[0].id;
    wait_until("the slow ring to overflow", || {
        fast.read();
        fast.events.len() > 3 * 4_096
    });
    fast.until_prices(bbo, 50);
    settle(&sim, &handle, &mut fast, &mut slow);

    for info in handle
        .streams()
        .iter()
        .filter(|info| info.key.channel == Channel::BOOK)
    {
        let (from, other) = (slow.events.len(), fast.events.len());
        slow.commander.republish(info.id).unwrap();
        slow.read_until("the book", |reader| {
            reader.events[from..]
                .iter()
                .any(|event| top_of(event).is_some())
        });
        let book = PlainBook::of(&slow.events[from..]);
        let truth = sim.truth();
        let truth = truth.book_at(VENUE, &info.key.symbol, View::Full, book.seq);
        assert_eq!(
            book,
            PlainBook::from(&truth.expect("the truth of this number"))
        );
        // It was for the one who asked.
        let_turn(&handle);
        fast.read();
        assert_eq!(
            fast.events.len(),
            other,
            "the other got {:?}",
            &fast.events[other..]
        );
    }
    handle.stop().unwrap();
}

/// What a blocking strategy lets the test see.
#[derive(Default)]
struct Seen {
    /// While set, its callbacks do not return.
    blocked: AtomicBool,
    entered: AtomicBool,
    levels_lost: AtomicU64,
}

struct Sluggish {
    seen: Arc<Seen>,
    books: Sender<(StreamId, PlainBook, bool)>,
}

fn plain(book: &Replica) -> PlainBook {
    let side = |side| {
        let wide = |mantissa: i64, decimals: u8| {
            i128::from(mantissa) * 10i128.pow(u32::from(18 - decimals))
        };
        let levels = book.levels(side);
        levels
            .map(|(price, qty)| {
                let price = wide(price.mantissa(), price.scale().get());
                (price, wide(qty.mantissa(), qty.scale().get()))
            })
            .collect()
    };
    PlainBook {
        bids: side(Side::Bid),
        asks: side(Side::Ask),
        seq: book.seq(),
        started: true,
    }
}

impl Strategy for Sluggish {
    fn on_depth(&mut self, _: &mut Context, last: &LevelDelta, book: &Replica) {
        let _ = self
            .books
            .send((last.stream(), plain(book), book.is_valid()));
        while self.seen.blocked.load(Ordering::Acquire) {
            self.seen.entered.store(true, Ordering::Release);
            thread::park_timeout(Duration::from_millis(1));
        }
    }

    fn on_lost(&mut self, _: &mut Context, lost: &Lost) {
        self.seen
            .levels_lost
            .fetch_add(lost.counts().levels, Ordering::Release);
    }

    fn on_state(&mut self, context: &mut Context, change: &StateChange) {
        if !change.is_live()
            && let Some(book) = context.book(change.stream())
        {
            assert!(!book.is_valid(), "the replica of a stream that is not Live");
        }
    }
}

#[test]
fn a_strategy_that_was_held_up_gets_its_replica_back_by_itself() {
    let sim = start(common::spot(&SYMBOLS).rate_msgs_s(3_000));
    let (seen, (books, inbox)) = (Arc::new(Seen::default()), mpsc::channel());
    let strategy = Sluggish {
        seen: Arc::clone(&seen),
        books,
    };
    let ring = RingConfig {
        hot_capacity: 2_048,
        ..RingConfig::default()
    };
    let mut handle = common::engine(&sim)
        .strategy(
            StrategySetup::new(strategy)
                .named("sluggish")
                .ring(ring)
                .watch_depth(Venue::Binance, Market::Spot, ["BTCUSDT"]),
        )
        .strategy(pair("fast", RingConfig::HOT_CAPACITY))
        .spawn()
        .unwrap();
    let mut fast = Reader::take(&mut handle, "fast");
    fast.until_all_live(&handle);
    let book_stream = handle.streams()[0].id;

    seen.blocked.store(true, Ordering::Release);
    wait_until("the strategy to be held up", || {
        fast.read();
        seen.entered.load(Ordering::Acquire)
    });
    let from = fast.events.len();
    wait_until("its ring to overflow", || {
        fast.read();
        let new = fast.events[from..].iter();
        new.filter(|event| matches!(event.body(), Body::Level(_)))
            .count()
            > 3 * 2_048
    });
    seen.blocked.store(false, Ordering::Release);
    wait_until("it to hear of its loss", || {
        fast.read();
        seen.levels_lost.load(Ordering::Acquire) > 0
    });
    sim.control().pause(VENUE);
    // The market stands still: the last book that it saw becomes the present one.
    let truth = sim.truth();
    let mut last = None;
    wait_until("the replica to be the venue's book again", || {
        fast.read();
        while let Ok((_, book, valid)) = inbox.try_recv() {
            assert!(valid, "on_depth with a replica that is not valid");
            last = Some(book);
        }
        let mut levels = fast
            .events
            .iter()
            .filter(|event| matches!(event.body(), Body::Level(_)));
        let newest = levels.rfind(|event| event.stream() == book_stream);
        last.as_ref()
            .is_some_and(|book: &PlainBook| newest.is_some_and(|event| event.seq() == book.seq))
    });
    let last = last.unwrap();
    let expected = truth
        .book_at(VENUE, "BTCUSDT", View::Full, last.seq)
        .unwrap();
    assert_eq!(last, PlainBook::from(&expected));
    check_whole(&fast, book_stream);
    handle.stop().unwrap();
}

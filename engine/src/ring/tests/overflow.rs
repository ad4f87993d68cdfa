//! What the table does, case by case.

use super::*;

fn drain(consumer: &mut Consumer) -> Vec<Event> {
    let mut events = Vec::new();
    while let Some(item) = consumer.pop() {
        match item {
            Item::Hot(event) => events.push(event),
            Item::Wide(wide) => panic!("a wide event {}", wide.seq),
        }
    }
    events
}

fn seqs(events: &[Event]) -> Vec<u64> {
    events.iter().map(Event::seq).collect()
}

fn counts(event: &Event) -> LostCounts {
    match event.body() {
        Body::Lost(lost) => lost.counts(),
        other => panic!("not a record: {other:?}"),
    }
}

/// A live stream 1 and a ring that another stream has filled to its capacity.
fn full_ring(capacity: usize, streams: usize) -> (Producer, Consumer, Vec<Feed>) {
    let (mut producer, mut consumer) = small(capacity, 1, streams);
    let mut feeds: Vec<_> = (0..streams).map(Feed::new).collect();
    for feed in &mut feeds {
        producer.push(feed.event(Kind::State(StreamState::Live), 1));
        assert!(consumer.pop().is_some());
    }
    for _ in 0..capacity {
        producer.push(feeds[0].event(Kind::Trade, 2));
    }
    assert!(!producer.is_dirty());
    (producer, consumer, feeds)
}

#[test]
fn stale_and_live_while_full_arrive_before_the_newest_top_and_the_record() {
    let (mut producer, mut consumer, mut feeds) = full_ring(8, 2);
    let feed = &mut feeds[1];
    producer.push(feed.event(Kind::Bbo, 10));
    producer.push(feed.event(Kind::State(StreamState::Stale), 11));
    producer.push(feed.event(Kind::State(StreamState::Resync), 12));
    producer.push(feed.event(Kind::State(StreamState::Live), 13));
    producer.push(feed.event(Kind::Bbo, 14));
    producer.push(feed.event(Kind::Level, 15));
    producer.push(feed.event(Kind::Bbo, 16));
    producer.push(feed.event(Kind::Trade, 17));
    assert!(producer.is_dirty());
    assert_eq!(drain(&mut consumer).len(), 8);
    producer.flush();
    assert!(!producer.is_dirty());
    let events = drain(&mut consumer);
    assert_eq!(seqs(&events), [11, 13, 16, 17]);
    let lost = LostCounts {
        bbo: 2,
        trades: 1,
        levels: 1,
        wide: 0,
    };
    assert_eq!(counts(&events[3]), lost);
    assert_eq!(events[3].stamp(), feeds[1].stamp(17));
    let stats = producer.stats();
    assert_eq!(
        (stats.lost, stats.states_merged, stats.diverted),
        (lost, 1, 8)
    );
}

#[test]
fn top_from_before_a_stale_never_follows_it() {
    let (mut producer, mut consumer, mut feeds) = full_ring(4, 2);
    producer.push(feeds[1].event(Kind::Bbo, 10));
    producer.push(feeds[1].event(Kind::State(StreamState::Stale), 11));
    producer.push(feeds[1].event(Kind::State(StreamState::Live), 12));
    drain(&mut consumer);
    producer.flush();
    let events = drain(&mut consumer);
    assert_eq!(seqs(&events), [11, 12, 12]);
    assert_eq!(counts(&events[2]).bbo, 1);
}

#[test]
fn price_after_a_kept_stale_is_counted_and_not_delivered() {
    let (mut producer, mut consumer, mut feeds) = full_ring(4, 2);
    producer.push(feeds[1].event(Kind::State(StreamState::Stale), 10));
    // No connector does this.
    producer.push(Event::bbo(&feeds[1].stamp(11), None, None));
    drain(&mut consumer);
    producer.flush();
    let events = drain(&mut consumer);
    assert_eq!(seqs(&events), [10, 11]);
    assert_eq!(counts(&events[1]).bbo, 1);
}

#[test]
fn clean_stream_goes_on_while_another_waits_and_nothing_of_it_is_evicted() {
    let (mut producer, mut consumer, mut feeds) = full_ring(2, 3);
    producer.push(feeds[1].event(Kind::State(StreamState::Stale), 10));
    producer.push(feeds[1].event(Kind::State(StreamState::Live), 11));
    producer.push(feeds[1].event(Kind::Bbo, 12));
    assert_eq!(seqs(&drain(&mut consumer)), [2, 2]);
    // Two places: both go to stream 1; stream 2 waits behind it, in its own entry.
    producer.push(feeds[2].event(Kind::Bbo, 20));
    assert_eq!(producer.dirty_streams(), 2);
    assert_eq!(seqs(&drain(&mut consumer)), [10, 11]);
    producer.flush();
    assert_eq!(seqs(&drain(&mut consumer)), [12, 20]);
    assert!(!producer.is_dirty());
    producer.push(feeds[2].event(Kind::Trade, 21));
    assert_eq!(seqs(&drain(&mut consumer)), [21]);
}

#[test]
fn busy_stream_does_not_starve_a_quiet_one() {
    let (mut producer, mut consumer, mut feeds) = full_ring(1, 3);
    producer.push(feeds[1].event(Kind::Bbo, 10));
    producer.push(feeds[2].event(Kind::Bbo, 20));
    let mut delivered = Vec::new();
    for seq in 30..40 {
        // One place a turn, and a new top of stream 1 in each.
        delivered.extend(drain(&mut consumer));
        producer.flush();
        producer.push(feeds[1].event(Kind::Bbo, seq));
    }
    let quiet = delivered
        .iter()
        .position(|event| event.stream() == stream(2));
    assert!(
        quiet.is_some_and(|at| at <= 4),
        "stream 2 came as number {quiet:?}"
    );
    assert!(
        delivered
            .iter()
            .any(|event| matches!(event.body(), Body::Lost(_)))
    );
}

#[test]
fn push_delivers_at_most_64_waiting_events_before_its_own() {
    let (mut producer, mut consumer, mut feeds) = full_ring(100, 102);
    for feed in &mut feeds[1..=100] {
        producer.push(feed.event(Kind::Bbo, 10));
    }
    assert_eq!(
        (producer.dirty_streams(), drain(&mut consumer).len()),
        (100, 100)
    );
    producer.push(feeds[101].event(Kind::Bbo, 20));
    let events = drain(&mut consumer);
    assert_eq!((events.len(), events[64].seq()), (65, 20));
    producer.flush();
    assert_eq!(drain(&mut consumer).len(), 36);
}

#[test]
fn stream_that_still_waits_after_a_push_delivered_its_share_does_not_overtake_itself() {
    let (mut producer, mut consumer, mut feeds) = full_ring(100, 101);
    for feed in &mut feeds[1..=100] {
        producer.push(feed.event(Kind::Bbo, 10));
    }
    drain(&mut consumer);
    producer.push(feeds[100].event(Kind::Trade, 20));
    let mut events = drain(&mut consumer);
    assert_eq!(events.len(), 64);
    producer.flush();
    events.extend(drain(&mut consumer));
    let last: Vec<_> = events
        .iter()
        .filter(|event| event.stream() == stream(100))
        .collect();
    assert_eq!((last.len(), last[0].seq()), (2, 10));
    assert_eq!(
        counts(last[1]).trades,
        1,
        "the trade had room, but a top before it had waited"
    );
}

#[test]
fn wide_events_lost_to_a_full_queue_are_told_through_the_hot_ring() {
    let (mut producer, mut consumer) = small(8, 2, 1);
    let mut feed = Feed::new(0);
    for seq in 1..=5 {
        let wide = feed.wide(seq);
        producer.push_wide(&wide);
    }
    producer.flush();
    let mut got = Vec::new();
    let mut lost = 0;
    while let Some(item) = consumer.pop() {
        match item {
            Item::Wide(wide) => got.push(wide.seq),
            Item::Hot(event) => lost += counts(&event).wide,
        }
    }
    assert_eq!((got, lost), (vec![1, 2], 3));
    let wide = feed.wide(6);
    producer.push_wide(&wide);
    assert_eq!(consumer.pop(), Some(Item::Wide(&wide)));
}

#[test]
fn wide_event_does_not_overtake_a_state_that_waits() {
    let (mut producer, mut consumer, mut feeds) = full_ring(1, 2);
    producer.push(feeds[1].event(Kind::State(StreamState::Stale), 10));
    producer.push_wide(&feeds[1].wide(11));
    let other = feeds[0].wide(12);
    producer.push_wide(&other);
    assert_eq!(consumer.pop().map(|item| seq_of(&item)), Some(2));
    assert_eq!(consumer.pop(), Some(Item::Wide(&other)));
    producer.flush();
    assert_eq!(seqs(&drain(&mut consumer)), [10]);
    producer.flush();
    let events = drain(&mut consumer);
    assert_eq!(counts(&events[0]).wide, 1);
    assert_eq!(events[0].state(), StreamState::Stale);
}

#[test]
fn items_come_in_the_order_of_their_pushes() {
    let (mut producer, mut consumer) = small(64, 64, 1);
    let mut feed = Feed::new(0);
    producer.push(feed.event(Kind::State(StreamState::Live), 0));
    for seq in 1..60 {
        if seq % 3 == 0 || seq % 7 == 0 {
            producer.push_wide(&feed.wide(seq));
        } else {
            producer.push(feed.event(Kind::Trade, seq));
        }
    }
    assert_eq!(consumer.len(), 60);
    for seq in 0..60 {
        assert_eq!(consumer.pop().map(|item| seq_of(&item)), Some(seq));
        assert_eq!(consumer.len(), 59 - seq as usize);
    }
    assert!(consumer.is_empty() && consumer.pop().is_none());
}

#[test]
fn merge_holds_when_pushes_come_between_the_two_loads_of_a_pop() {
    // Every order of up to six pushes, spread over the gaps of the pops that follow.
    for pattern in 0..64_u32 {
        for split in 0..6 {
            let (mut producer, mut consumer) = small(8, 8, 1);
            let mut feed = Feed::new(0);
            feed.state = StreamState::Live;
            let mut push = |seq: u64| {
                if pattern >> seq & 1 == 0 {
                    producer.push(feed.event(Kind::Trade, seq));
                } else {
                    producer.push_wide(&feed.wide(seq));
                }
            };
            (0..split).for_each(&mut push);
            let mut later = Some(split..6);
            let mut got = Vec::new();
            for _ in 0..8 {
                let between = || {
                    if let Some(rest) = later.take() {
                        rest.for_each(&mut push);
                    }
                };
                let item = consumer.pop_with(between).map(|item| seq_of(&item));
                let seen = got.len() >= split as usize && pattern >> split != 0;
                assert!(
                    item.is_some() || !seen || got.len() == 6,
                    "{pattern:06b}, {split}"
                );
                got.extend(item);
            }
            assert_eq!(
                got,
                [0, 1, 2, 3, 4, 5],
                "pattern {pattern:06b}, split at {split}"
            );
        }
    }
}

#[test]
fn an_end_sees_that_the_other_is_gone() {
    let (mut producer, mut consumer, mut feeds) = full_ring(2, 2);
    assert!(!producer.consumer_gone() && !consumer.producer_gone());
    producer.push(feeds[1].event(Kind::Bbo, 10));
    assert!(consumer.pop().is_some());
    drop(producer);
    assert!(consumer.producer_gone());
    assert_eq!(
        seqs(&drain(&mut consumer)),
        [2, 10],
        "dropping delivers what has room"
    );
    let (producer, consumer) = channel(RingConfig::default());
    drop(consumer);
    assert!(producer.consumer_gone());
}

#[test]
#[should_panic(expected = "stream 3 of a ring with room for 3")]
fn stream_without_room_is_found_at_its_first_event() {
    let (mut producer, _consumer) = small(8, 1, 2);
    producer.reserve_streams(3);
    producer.reserve_streams(1);
    producer.push(Feed::new(2).event(Kind::Bbo, 1));
    producer.push(Feed::new(3).event(Kind::Bbo, 2));
}

/// `item::<T>()` is ambiguous, and so does not compile, where `T` has the trait.
macro_rules! assert_lacks {
    ($type:ty, $trait:path) => {
        const _: fn() = || {
            trait Ambiguous<A> {
                fn item() {}
            }
            impl<T: ?Sized> Ambiguous<()> for T {}
            impl<T: ?Sized + $trait> Ambiguous<u8> for T {}
            let _ = <$type as Ambiguous<_>>::item;
        };
    };
}

assert_lacks!(Producer, Sync);
assert_lacks!(Producer, Clone);
assert_lacks!(Consumer, Sync);
assert_lacks!(Consumer, Clone);

const fn is_send<T: Send>() {}
const _: () = is_send::<(Producer, Consumer)>();

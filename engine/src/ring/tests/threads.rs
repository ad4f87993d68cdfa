//! Both ends on threads of their own: the order of the merge, and the accounts.

use std::thread;

use super::*;

const COUNT: u64 = 300_000;

#[test]
fn merge_keeps_the_order_of_pushes_across_threads() {
    for (hot, wide, every) in [(16, 4, 7), (1, 1, 2), (64, 2, 50)] {
        let (mut producer, mut consumer) = small(hot, wide, 1);
        let writer = thread::spawn(move || {
            let mut feed = Feed::new(0);
            feed.state = StreamState::Live;
            for seq in 0..COUNT / 3 {
                // The test waits for room, so that nothing is lost; the engine never does.
                if seq % every == 0 {
                    while producer.wide_room() == 0 {
                        thread::yield_now();
                    }
                    producer.push_wide(&feed.wide(seq));
                } else {
                    while producer.hot_room() == 0 {
                        thread::yield_now();
                    }
                    producer.push(feed.event(Kind::Trade, seq));
                }
                assert!(!producer.is_dirty());
            }
        });
        let mut wanted = 0;
        while wanted < COUNT / 3 {
            match consumer.pop() {
                Some(item) => {
                    assert_eq!(seq_of(&item), wanted);
                    assert_eq!(matches!(item, Item::Wide(_)), wanted % every == 0);
                    wanted += 1;
                }
                None => thread::yield_now(),
            }
        }
        writer.join().unwrap();
        assert!(consumer.producer_gone() && consumer.is_empty());
    }
}

#[test]
fn accounts_are_exact_across_threads() {
    const STREAMS: usize = 8;
    let (mut producer, mut consumer) = small(64, 8, STREAMS);
    let writer = thread::spawn(move || {
        let mut feeds: Vec<_> = (0..STREAMS).map(Feed::new).collect();
        // A fixed walk of xorshift: the same pushes each time, whatever the reader does.
        let mut chance = 0x9e37_79b9_7f4a_7c15_u64;
        for seq in 1..=COUNT {
            chance ^= chance << 13;
            chance ^= chance >> 7;
            chance ^= chance << 17;
            let feed = &mut feeds[(chance % STREAMS as u64) as usize];
            match (chance >> 32) % 100 {
                0..=4 => producer.push_wide(&feed.wide(seq)),
                5 => producer.push(feed.event(Kind::State(StreamState::Stale), seq)),
                6 => producer.push(feed.event(Kind::State(StreamState::Resync), seq)),
                7..=50 => producer.push(feed.event(Kind::Bbo, seq)),
                51..=75 => producer.push(feed.event(Kind::Trade, seq)),
                _ => producer.push(feed.event(Kind::Level, seq)),
            }
            if chance >> 54 == 0 {
                // Lets the reader catch up now and then, so that there is room as well as none.
                thread::yield_now();
            }
        }
        while producer.is_dirty() {
            producer.flush();
            thread::yield_now();
        }
        (feeds, *producer.stats())
    });
    let mut readers = vec![Reader::new(); STREAMS];
    loop {
        let gone = consumer.producer_gone();
        let mut idle = true;
        while let Some(item) = consumer.pop() {
            let stream = match item {
                Item::Hot(event) => event.stream(),
                Item::Wide(wide) => wide.stream,
            };
            readers[stream.index()].read(&item);
            idle = false;
        }
        if idle && gone {
            break;
        }
        thread::yield_now();
    }
    let (feeds, stats) = writer.join().unwrap();
    settle_all(&readers, &feeds, &stats);
    assert!(stats.lost.total() > 0 && stats.hot > 0, "{stats:?}");
}

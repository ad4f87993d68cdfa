//! Random pushes and pops over tiny rings against a naive twin, which keeps whole logs where the
//! table keeps counts.

use std::collections::VecDeque;

use proptest::prelude::*;
use tickwire_connectors::EventKind;

use super::*;

const STREAMS: usize = 4;

/// Something of a stream that could not go into the ring.
#[derive(Clone, Copy, Debug)]
enum Logged {
    Hot(Event),
    /// A top that a state change has outdated.
    OldBbo,
    Wide,
}

impl Logged {
    fn is(&self, kind: EventKind) -> bool {
        matches!(self, Logged::Hot(event) if event.kind() == kind)
    }
}

#[derive(Clone, Debug, Default)]
struct Log {
    entries: Vec<Logged>,
    stamp: Option<Stamp>,
    bbo_sent: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum Out {
    Hot(Event),
    Wide(Wide),
}

/// The ring as one list, and a log each stream.
struct Naive {
    capacity: usize,
    ring: VecDeque<Out>,
    logs: Vec<Log>,
    queue: VecDeque<usize>,
}

impl Naive {
    fn new(capacity: usize) -> Naive {
        let (ring, queue) = (VecDeque::new(), VecDeque::new());
        Naive {
            capacity,
            ring,
            logs: vec![Log::default(); STREAMS],
            queue,
        }
    }

    fn count(&self, hot: bool) -> usize {
        self.ring
            .iter()
            .filter(|out| matches!(out, Out::Hot(_)) == hot)
            .count()
    }

    fn is_full(&self) -> bool {
        self.count(true) == self.capacity
    }

    fn log(&mut self, stream: StreamId, entry: Logged) -> &mut Log {
        let index = stream.index();
        if !self.queue.contains(&index) {
            self.queue.push_back(index);
        }
        self.logs[index].entries.push(entry);
        &mut self.logs[index]
    }

    fn push(&mut self, event: Event) {
        self.flush();
        if self.queue.contains(&event.stream().index()) || self.is_full() {
            self.log(event.stream(), Logged::Hot(event)).stamp = Some(event.stamp());
        } else {
            self.ring.push_back(Out::Hot(event));
        }
    }

    fn lose_wide(&mut self, wide: &Wide) {
        let bare = Stamp {
            stream: wide.stream,
            source: wide.source,
            epoch: 0,
            state: wide.state,
            price_scale: Scale::of(0),
            qty_scale: Scale::of(0),
            seq: wide.seq,
            exch_ns: wide.exch_ns,
            recv_ns: Nanos::ZERO,
        };
        let log = self.log(wide.stream, Logged::Wide);
        let (epoch, state, recv_ns) = (wide.epoch, wide.state, wide.recv_ns);
        log.stamp = Some(Stamp {
            epoch,
            state,
            recv_ns,
            ..log.stamp.unwrap_or(bare)
        });
    }

    fn flush(&mut self) {
        while let Some(&index) = self.queue.front() {
            if self.is_full() {
                return;
            }
            let event = self.logs[index]
                .next()
                .expect("a stream that waits has something to say");
            self.ring.push_back(Out::Hot(event));
            self.end_round();
        }
    }

    /// Ends the round of the first stream where it has nothing more to say.
    fn end_round(&mut self) {
        let Some(&index) = self.queue.front() else {
            return;
        };
        if self.logs[index].clone().next().is_some() {
            return;
        }
        self.queue.pop_front();
        let log = &mut self.logs[index];
        log.bbo_sent = false;
        if log.entries.is_empty() {
            log.stamp = None;
        } else {
            self.queue.push_back(index);
        }
    }
}

impl Log {
    /// Takes out what is delivered next in this round.
    fn next(&mut self) -> Option<Event> {
        self.next_state()
            .or_else(|| self.next_bbo())
            .or_else(|| self.record())
    }

    fn next_state(&mut self) -> Option<Event> {
        let last = self
            .entries
            .iter()
            .rposition(|entry| entry.is(EventKind::State))?;
        let not_live = |entry: &Logged| {
            entry.is(EventKind::State) && matches!(entry, Logged::Hot(event) if !event.is_live())
        };
        let first = self.entries.iter().position(not_live);
        let chosen = first.unwrap_or(last);
        let Logged::Hot(event) = self.entries[chosen] else {
            unreachable!()
        };
        // What an older state let through is outdated by the newest one.
        for entry in &mut self.entries[..last] {
            if entry.is(EventKind::Bbo) {
                *entry = Logged::OldBbo;
            }
        }
        let mut index = 0;
        self.entries.retain(|entry| {
            index += 1;
            !entry.is(EventKind::State) || (index - 1 == last && chosen != last)
        });
        Some(event)
    }

    fn newest_bbo(&self) -> Option<usize> {
        self.entries
            .iter()
            .rposition(|entry| entry.is(EventKind::Bbo))
    }

    fn next_bbo(&mut self) -> Option<Event> {
        if self.bbo_sent {
            return None;
        }
        let newest = self.newest_bbo()?;
        let Logged::Hot(event) = self.entries.remove(newest) else {
            unreachable!()
        };
        for entry in &mut self.entries {
            if entry.is(EventKind::Bbo) {
                *entry = Logged::OldBbo;
            }
        }
        self.bbo_sent = true;
        Some(event)
    }

    fn record(&mut self) -> Option<Event> {
        let keep = self.newest_bbo().map(|newest| self.entries.remove(newest));
        let mut counts = LostCounts::default();
        for entry in self.entries.drain(..) {
            match entry {
                Logged::OldBbo => counts.bbo += 1,
                Logged::Wide => counts.wide += 1,
                Logged::Hot(event) => match event.kind() {
                    EventKind::Bbo => counts.bbo += 1,
                    EventKind::Trade => counts.trades += 1,
                    _ => counts.levels += 1,
                },
            }
        }
        self.entries.extend(keep);
        (counts.total() > 0).then(|| Event::lost(&self.stamp.unwrap(), counts))
    }
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Push(usize, Kind),
    PushWide(usize),
    Pop(usize),
    Flush,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let state = prop_oneof![
        3 => Just(StreamState::Live),
        2 => Just(StreamState::Stale),
        2 => Just(StreamState::Resync),
        1 => Just(StreamState::Closed),
    ];
    let kind = prop_oneof![
        4 => Just(Kind::Bbo),
        2 => Just(Kind::Trade),
        2 => Just(Kind::Level),
        3 => state.prop_map(Kind::State),
    ];
    let op = prop_oneof![
        12 => (0..STREAMS, kind).prop_map(|(stream, kind)| Op::Push(stream, kind)),
        2 => (0..STREAMS).prop_map(Op::PushWide),
        4 => (1usize..6).prop_map(Op::Pop),
        1 => Just(Op::Flush),
    ];
    prop::collection::vec(op, 0..200)
}

struct World {
    producer: Producer,
    consumer: Consumer,
    naive: Naive,
    wide_capacity: usize,
    feeds: Vec<Feed>,
    readers: Vec<Reader>,
    seq: u64,
}

impl World {
    fn new(hot: usize, wide: usize) -> World {
        let (producer, consumer) = small(hot, wide, STREAMS);
        World {
            producer,
            consumer,
            naive: Naive::new(hot),
            wide_capacity: wide,
            feeds: (0..STREAMS).map(Feed::new).collect(),
            readers: vec![Reader::new(); STREAMS],
            seq: 0,
        }
    }

    fn run(&mut self, op: Op) {
        self.seq += 1;
        match op {
            Op::Push(index, kind) => {
                let event = self.feeds[index].event(kind, self.seq);
                self.producer.push(event);
                self.naive.push(event);
            }
            Op::PushWide(index) => {
                let wide = self.feeds[index].wide(self.seq);
                self.push_wide(index, &wide);
            }
            Op::Pop(count) => (0..count).for_each(|_| _ = self.pop()),
            Op::Flush => {
                self.producer.flush();
                self.naive.flush();
            }
        }
        assert_eq!(self.producer.is_dirty(), !self.naive.queue.is_empty());
        assert_eq!(self.producer.dirty_streams(), self.naive.queue.len());
        assert_eq!(self.consumer.len(), self.naive.ring.len());
    }

    /// The consumer takes one wide event out of its queue ahead of its turn, so the twin can't know
    /// exactly when that is full; it is told, and checks that the answer was allowed.
    fn push_wide(&mut self, index: usize, wide: &Wide) {
        let before = self.producer.stats().wide;
        self.producer.push_wide(wide);
        let taken = self.producer.stats().wide > before;
        self.naive.flush();
        let waits = self.naive.queue.contains(&index);
        let inside = self.naive.count(false);
        if taken {
            assert!(!waits && inside <= self.wide_capacity, "{waits} {inside}");
            self.naive.ring.push_back(Out::Wide(*wide));
        } else {
            assert!(waits || inside >= self.wide_capacity, "{waits} {inside}");
            self.naive.lose_wide(wide);
        }
    }

    fn pop(&mut self) -> bool {
        let item = self.consumer.pop();
        let wanted = self.naive.ring.pop_front();
        let got = item.map(|item| match item {
            Item::Hot(event) => Out::Hot(event),
            Item::Wide(wide) => Out::Wide(*wide),
        });
        assert_eq!(got, wanted);
        if let Some(item) = item {
            let stream = match item {
                Item::Hot(event) => event.stream(),
                Item::Wide(wide) => wide.stream,
            };
            self.readers[stream.index()].read(&item);
        }
        item.is_some()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn overflow_equals_the_naive_twin(hot in 1usize..=8, wide in 1usize..=3, ops in ops()) {
        let mut world = World::new(hot, wide);
        for op in ops {
            world.run(op);
        }
        while world.pop() || world.producer.is_dirty() {
            world.producer.flush();
            world.naive.flush();
        }
        prop_assert!(world.consumer.is_empty() && world.naive.ring.is_empty());
        settle_all(&world.readers, &world.feeds, world.producer.stats());
    }
}

//! Tests of the rings: a feed that keeps the connectors' contract, a reader that checks what a
//! strategy may rely on, and what both count.

mod model;
mod overflow;
mod threads;

use tickwire_connectors::event::{LostCounts, Stamp};
use tickwire_connectors::wide::Ticker;
use tickwire_connectors::{
    Aggressor, Body, Event, Nanos, Reason, Source, StreamId, StreamState, Wide, WideBody,
};
use tickwire_orderbook::{Level, Scale, Side};

use super::*;

fn stream(index: usize) -> StreamId {
    StreamId::new(index as u32).unwrap()
}

fn small(hot_capacity: usize, wide_capacity: usize, streams: usize) -> (Producer, Consumer) {
    channel(RingConfig {
        hot_capacity,
        wide_capacity,
        streams,
    })
}

fn seq_of(item: &Item<'_>) -> u64 {
    match item {
        Item::Hot(event) => event.seq(),
        Item::Wide(wide) => wide.seq,
    }
}

/// What was pushed or delivered of one stream; a loss has the same kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    kinds: LostCounts,
    states: u64,
}

/// Makes the events of one stream as a connector does: prices only while Live, numbers that rise.
#[derive(Clone, Debug)]
struct Feed {
    stream: StreamId,
    state: StreamState,
    pushed: Tally,
    /// The newest top since the last state change.
    bbo: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Bbo,
    Trade,
    Level,
    State(StreamState),
}

impl Feed {
    fn new(index: usize) -> Feed {
        let state = StreamState::Pending;
        Feed {
            stream: stream(index),
            state,
            pushed: Tally::default(),
            bbo: None,
        }
    }

    fn stamp(&self, seq: u64) -> Stamp {
        Stamp {
            stream: self.stream,
            source: Source::Book,
            epoch: (seq / 100) as u16,
            state: self.state,
            price_scale: Scale::of(2),
            qty_scale: Scale::of(3),
            seq,
            exch_ns: Nanos(seq as i64),
            recv_ns: Nanos(seq as i64 + 1),
        }
    }

    /// A price while not Live becomes the change to Live.
    fn event(&mut self, kind: Kind, seq: u64) -> Event {
        let level = Level {
            price: seq as i64,
            qty: 1,
        };
        match kind {
            Kind::State(state) => {
                self.state = state;
                self.pushed.states += 1;
                self.bbo = None;
                Event::state_change(&self.stamp(seq), Reason::None, None)
            }
            _ if self.state != StreamState::Live => self.event(Kind::State(StreamState::Live), seq),
            Kind::Bbo => {
                self.pushed.kinds.bbo += 1;
                self.bbo = Some(seq);
                Event::bbo(&self.stamp(seq), Some(level), None)
            }
            Kind::Trade => {
                self.pushed.kinds.trades += 1;
                Event::trade(&self.stamp(seq), 1, 1, u128::from(seq), Aggressor::Buy)
            }
            Kind::Level => {
                self.pushed.kinds.levels += 1;
                Event::level(&self.stamp(seq), Side::Bid, level, false, true)
            }
        }
    }

    fn wide(&mut self, seq: u64) -> Wide {
        self.pushed.kinds.wide += 1;
        let stamp = self.stamp(seq);
        Wide {
            stream: stamp.stream,
            source: stamp.source,
            epoch: stamp.epoch,
            state: stamp.state,
            seq,
            exch_ns: stamp.exch_ns,
            recv_ns: stamp.recv_ns,
            body: WideBody::Ticker(Ticker::default()),
        }
    }
}

/// One stream as its strategy sees it; panics where a promise is broken.
#[derive(Clone, Debug)]
struct Reader {
    state: StreamState,
    seq: u64,
    bbo: Option<u64>,
    delivered: Tally,
    lost: LostCounts,
}

impl Reader {
    fn new() -> Reader {
        Reader {
            state: StreamState::Pending,
            seq: 0,
            bbo: None,
            delivered: Tally::default(),
            lost: LostCounts::default(),
        }
    }

    fn read(&mut self, item: &Item<'_>) {
        match item {
            Item::Hot(event) if matches!(event.body(), Body::Lost(_)) => {}
            item => {
                let seq = seq_of(item);
                assert!(seq > self.seq, "{seq} comes after {}", self.seq);
                self.seq = seq;
            }
        }
        let event = match item {
            Item::Hot(event) => event,
            Item::Wide(wide) => {
                assert_eq!(
                    wide.state, self.state,
                    "a wide event overtook a state change"
                );
                self.delivered.kinds.wide += 1;
                return;
            }
        };
        let kinds = &mut self.delivered.kinds;
        match event.body() {
            Body::State(change) => {
                self.state = change.state();
                self.bbo = None;
                self.delivered.states += 1;
                return;
            }
            Body::Lost(lost) => {
                assert_eq!(lost.state(), self.state, "a record's state is the stream's");
                let more = lost.counts();
                assert!(more.total() > 0, "an empty record");
                self.lost.bbo += more.bbo;
                self.lost.trades += more.trades;
                self.lost.levels += more.levels;
                self.lost.wide += more.wide;
                return;
            }
            Body::Bbo(_) => {
                kinds.bbo += 1;
                self.bbo = Some(event.seq());
            }
            Body::Trade(_) => kinds.trades += 1,
            Body::Level(_) => kinds.levels += 1,
        }
        assert_eq!(
            self.state,
            StreamState::Live,
            "a price of a stream that is not live"
        );
    }

    /// Pushed = delivered + lost, once everything is drained; the last state and top arrived.
    fn settle(&self, feed: &Feed) {
        let (delivered, lost) = (self.delivered.kinds, self.lost);
        let sum = LostCounts {
            bbo: delivered.bbo + lost.bbo,
            trades: delivered.trades + lost.trades,
            levels: delivered.levels + lost.levels,
            wide: delivered.wide + lost.wide,
        };
        assert_eq!(sum, feed.pushed.kinds, "{self:?} {feed:?}");
        assert_eq!(self.state, feed.state);
        assert_eq!(
            self.bbo, feed.bbo,
            "the newest top arrives, an older one does not"
        );
    }
}

/// Over all streams: states pushed = delivered + merged, and the producer's sums are the records'.
fn settle_all(readers: &[Reader], feeds: &[Feed], stats: &RingStats) {
    let mut lost = LostCounts::default();
    let (mut states_pushed, mut states_delivered) = (0, 0);
    for (reader, feed) in readers.iter().zip(feeds) {
        reader.settle(feed);
        lost.bbo += reader.lost.bbo;
        lost.trades += reader.lost.trades;
        lost.levels += reader.lost.levels;
        lost.wide += reader.lost.wide;
        states_pushed += feed.pushed.states;
        states_delivered += reader.delivered.states;
    }
    assert_eq!(stats.lost, lost);
    assert_eq!(states_pushed, states_delivered + stats.states_merged);
}

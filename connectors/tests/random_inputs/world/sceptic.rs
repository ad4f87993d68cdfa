//! The strategy that believes nothing but the events, and what must hold of them.

use super::*;

/// The best level of a side.
type Best = Option<(Price, Qty)>;

/// A book out of level events.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Replica {
    scales: (Scale, Scale),
    bids: Side64,
    asks: Side64,
}

/// What a strategy knows of a stream, from its events alone.
#[derive(Debug)]
pub(super) struct Seen {
    /// Index of the venue's symbol; beyond the last for one that the venue does not have.
    symbol: usize,
    pub(super) channel: Channel,
    pub(super) depth: bool,
    pub(super) state: StreamState,
    /// The connection that the last state was told of.
    epoch: u16,
    instrument: bool,
    pub(super) open: bool,
    /// It was let go: its number may be given out again.
    pub(super) gone: bool,
    top: Option<(Best, Best)>,
    replica: Option<Replica>,
    /// Whether a batch is open.
    batch: bool,
}

impl Seen {
    pub(super) const fn symbol(&self) -> usize {
        self.symbol
    }

    /// A stream that was just asked for.
    pub(super) fn new(symbol: usize, channel: Channel, depth: bool) -> Seen {
        Seen {
            symbol,
            channel,
            depth,
            state: StreamState::Pending,
            epoch: 0,
            instrument: false,
            open: true,
            gone: false,
            top: None,
            replica: None,
            batch: false,
        }
    }
}

/// Whether a state's reason leaves the state as it is.
fn is_remark(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::Quiet | Reason::Heard | Reason::Dead | Reason::HandedOver
    )
}

impl World {
    /// Believes the events of a call, after a hard look at them.
    pub(super) fn events(&mut self) {
        let out = std::mem::take(&mut self.out);
        assert!(out.iter().count() <= EVENTS_MAX, "too many events");
        for item in out.iter() {
            let (id, state, epoch) = match item {
                Item::Hot(event) => (event.stream(), event.state(), event.epoch()),
                Item::Wide(wide) => (wide.stream, wide.state, wide.epoch),
            };
            let seen = &mut self.seen[id.index()];
            assert!(
                seen.open,
                "{id}: nothing follows Closed or Refused: {item:?}"
            );
            match item {
                Item::Hot(event) => match event.body() {
                    Body::State(change) if is_remark(change.reason()) => {
                        assert_eq!(seen.state, state, "{id}: a remark: {change:?}");
                        assert!(!seen.batch, "{id}: a remark inside a batch");
                        assert!(epoch >= seen.epoch, "{id}: an older connection: {change:?}");
                        seen.epoch = epoch;
                    }
                    Body::State(change) => {
                        assert_ne!(
                            seen.state, state,
                            "{id}: a state that is no news: {change:?}"
                        );
                        assert!(!seen.batch, "{id}: a state inside a batch");
                        assert!(epoch >= seen.epoch, "{id}: an older connection: {change:?}");
                        seen.state = state;
                        seen.epoch = epoch;
                        seen.replica = None;
                        seen.open = !matches!(state, StreamState::Closed | StreamState::Refused);
                        seen.top = None;
                    }
                    Body::Bbo(bbo) => {
                        assert!(!seen.batch, "{id}: a top inside a batch");
                        seen.top = Some((bbo.bid(), bbo.ask()));
                        let is_quote =
                            self.kind == VenueKind::DeribitInverse && seen.channel == Channel::Bbo;
                        if self.honest && is_quote {
                            // Deribit's quotes have no number.
                            let mut truths = self.history[seen.symbol].values().flatten();
                            let is_so = truths.any(|truth| truth.is_top(&bbo));
                            assert!(is_so, "{id}: a top that never was: {bbo:?}");
                        } else if self.honest {
                            let truths = &self.history[seen.symbol][&event.seq()];
                            let is_so = truths.iter().any(|truth| truth.is_top(&bbo));
                            assert!(is_so, "{id}: a top that never was: {bbo:?}, {truths:?}");
                        }
                    }
                    Body::Level(level) => {
                        assert!(seen.depth, "{id}: levels that nobody asked for");
                        let scales = (level.price_scale(), level.qty_scale());
                        if level.starts_snapshot() {
                            seen.replica = Some(Replica {
                                scales,
                                bids: Side64::new(),
                                asks: Side64::new(),
                            });
                        }
                        let replica = seen.replica.as_mut().expect("a snapshot goes first");
                        assert_eq!(replica.scales, scales, "{id}: other scales, the same book");
                        let side = match level.side() {
                            Side::Bid => &mut replica.bids,
                            Side::Ask => &mut replica.asks,
                        };
                        let (price, qty) = (level.price().mantissa(), level.qty().mantissa());
                        set(side, &Side64::from([(price, qty)]));
                        seen.batch = !level.ends_batch();
                    }
                    Body::Trade(_) => {}
                    Body::Lost(_) => panic!("connectors lose nothing"),
                },
                Item::Wide(wide) => {
                    seen.instrument |= matches!(wide.body, WideBody::Instrument(_));
                }
            }
            assert_eq!(
                seen.state, state,
                "{id}: an event has the stream's state: {item:?}"
            );
            if let Item::Hot(event) = item
                && !matches!(event.body(), Body::State(_))
            {
                assert_eq!(
                    state,
                    StreamState::Live,
                    "{id}: a price while not Live: {event:?}"
                );
                assert!(seen.instrument, "{id}: the instrument goes first");
                self.prices += 1;
                assert_eq!(seen.epoch, epoch, "{id}: of another connection: {event:?}");
            }
        }
        self.out = out;
        self.out.clear();
        for index in 0..self.seen.len() {
            self.check(index);
        }
    }

    /// Holds the connector's book against what its events said, and against what the venue had.
    fn check(&self, index: usize) {
        let seen = &self.seen[index];
        assert!(!seen.batch, "a batch ends with its message");
        let id = StreamId::new(index as u32).expect("small");
        let Some(view) = self.connector.book(id) else {
            return;
        };
        if seen.open {
            assert_eq!(
                view.state, seen.state,
                "{id}: the book says what the events said"
            );
        }
        if view.state != StreamState::Live {
            return;
        }
        let side = |side: Side| -> Side64 {
            let levels = view.book.levels(side);
            levels.map(|level| (level.price, level.qty)).collect()
        };
        let book = Replica {
            scales: (view.price_scale, view.qty_scale),
            bids: side(Side::Bid),
            asks: side(Side::Ask),
        };
        let best = (book.bids.keys().next_back(), book.asks.keys().next());
        let crossed = matches!(best, (Some(bid), Some(ask)) if bid >= ask);
        assert!(!crossed, "{id}: a crossed book is Live: {best:?}");
        if seen.channel == Channel::BOOK {
            if self.honest {
                let truths = self.history[seen.symbol].get(&view.seq);
                let truths = truths.unwrap_or_else(|| panic!("{id}: no number {}", view.seq));
                let is_so = truths.iter().any(|truth| truth.is_book(&book));
                assert!(
                    is_so,
                    "{id}: a book that never was at {}: {book:?}, {truths:?}",
                    view.seq
                );
            }
            if seen.depth {
                assert_eq!(
                    seen.replica.as_ref(),
                    Some(&book),
                    "{id}: the replica at {}",
                    view.seq
                );
            }
        }
        let level = |level: tickwire_orderbook::Level| {
            (
                Price::new(level.price, view.price_scale),
                Qty::new(level.qty, view.qty_scale),
            )
        };
        let top = view.book.top();
        let top = (top.bid.map(level), top.ask.map(level));
        assert_eq!(seen.top, Some(top), "{id}: the last top is the book's");
    }
}

impl Truth {
    fn is_top(&self, bbo: &tickwire_connectors::Bbo) -> bool {
        let level =
            |(price, qty): (&i64, &i64)| (Price::new(*price, DIGITS), Qty::new(*qty, DIGITS));
        bbo.bid() == self.bids.last_key_value().map(level)
            && bbo.ask() == self.asks.first_key_value().map(level)
    }

    fn is_book(&self, book: &Replica) -> bool {
        let at_digits = |side: &Side64| -> Side64 {
            let level = |(price, qty): (&i64, &i64)| {
                let price = Price::new(*price, book.scales.0).rescale(DIGITS);
                let qty = Qty::new(*qty, book.scales.1).rescale(DIGITS);
                (
                    price.expect("fits").mantissa(),
                    qty.expect("fits").mantissa(),
                )
            };
            side.iter().map(level).collect()
        };
        (at_digits(&book.bids), at_digits(&book.asks)) == (self.bids.clone(), self.asks.clone())
    }
}

//! Which streams a message is for, and which reader it takes.

use arrayvec::ArrayVec;
use rustc_hash::FxHashMap;

use super::parse::{self, Kind, TradeRow};
use super::subscribe::{BOOKS, Topic, book_topic, quote_topic};
use super::sync::{Context, Entry, Feed};
use super::tape::{self, Reader, Tick};
use crate::carriers::Carriers;
use crate::scan::{Scan, ScanError, ScanErrorKind};
use crate::stream::Levels;

/// The channel of a notification, wherever among its keys it stands; `None` for answers and for
/// heartbeats, which have none.
#[inline]
pub fn topic(payload: &[u8]) -> Result<Option<&[u8]>, ScanError> {
    let mut scan = Scan::new(payload);
    scan.enter_object()?;
    let mut first = true;
    while let Some(key) = scan.next_key(&mut first)? {
        if key != b"params" {
            scan.skip_value()?;
            continue;
        }
        scan.enter_object()?;
        let mut first = true;
        while let Some(key) = scan.next_key(&mut first)? {
            if key == b"channel" {
                return scan.string().map(Some);
            }
            scan.skip_value()?;
        }
    }
    scan.finish()?;
    Ok(None)
}

/// A topic with its streams. There can be several: the same book under its unified and its venue
/// symbol, or with its depth given and left out.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) topic: Topic,
    /// The links that it comes by.
    pub(super) carriers: Carriers,
    /// The numbers of the entries of its streams.
    pub(super) entries: Vec<usize>,
    /// Routes that show the same best prices: of a book that of its instrument's quotes, of quotes those
    /// of the books.
    pub(super) peers: ArrayVec<usize, { BOOKS.len() }>,
}

/// From topics to streams.
#[derive(Debug, Default)]
pub(super) struct Routes {
    index: FxHashMap<Box<[u8]>, usize>,
    routes: Vec<Option<Route>>,
    free: Vec<usize>,
}

impl Routes {
    /// The route of a topic.
    #[inline]
    pub(super) fn find(&self, topic: &[u8]) -> Option<usize> {
        self.index.get(topic).copied()
    }

    /// Routes have lower numbers.
    pub(super) fn len(&self) -> usize {
        self.routes.len()
    }

    #[inline]
    pub(super) fn get(&self, route: usize) -> Option<&Route> {
        self.routes.get(route)?.as_ref()
    }

    #[inline]
    pub(super) fn get_mut(&mut self, route: usize) -> Option<&mut Route> {
        self.routes.get_mut(route)?.as_mut()
    }

    /// The entry of one of its streams: numbers run from 0.
    #[inline]
    pub(super) fn entry(&self, route: usize, number: usize) -> Option<usize> {
        self.get(route)?.entries.get(number).copied()
    }

    /// The entries of all streams of a topic.
    pub(super) fn entries(&self, topic: &str) -> Vec<usize> {
        let route = self.find(topic.as_bytes());
        let route = route.and_then(|route| self.get(route));
        route.map_or_else(Vec::new, |route| route.entries.clone())
    }

    /// Adds a stream to a topic, which may be new. Gives its route.
    pub(super) fn add(&mut self, topic: &Topic, entry: usize) -> usize {
        let known = self.find(topic.as_bytes());
        if let Some(known) = known
            && let Some(route) = self.get_mut(known)
        {
            route.entries.push(entry);
            return known;
        }
        let route = Some(Route {
            topic: *topic,
            carriers: Carriers::new(),
            entries: vec![entry],
            peers: ArrayVec::new(),
        });
        let slot = match self.free.pop() {
            Some(slot) => {
                self.routes[slot] = route;
                slot
            }
            None => {
                self.routes.push(route);
                self.routes.len() - 1
            }
        };
        self.index.insert(topic.as_bytes().into(), slot);
        self.introduce(slot, topic);
        slot
    }

    /// Makes a book and the best prices of its instrument known to each other.
    fn introduce(&mut self, slot: usize, topic: &Topic) {
        let others: ArrayVec<Topic, { BOOKS.len() }> =
            if let Some(instrument) = topic.strip_prefix("quote.") {
                let topics = BOOKS.iter().filter_map(|kind| book_topic(instrument, kind));
                topics.collect()
            } else if let Some(book) = topic.strip_prefix("book.") {
                let instrument = book.split('.').next().unwrap_or_default();
                quote_topic(instrument).into_iter().collect()
            } else {
                return;
            };
        for other in others {
            let Some(other) = self.find(other.as_bytes()) else {
                continue;
            };
            for (one, peer) in [(slot, other), (other, slot)] {
                if let Some(route) = self.get_mut(one) {
                    // There is one kind of quotes, and there are so many kinds of books.
                    let _ = route.peers.try_push(peer);
                }
            }
        }
    }

    /// Takes a stream from its topic; gives the topic's links where it was the last one.
    pub(super) fn remove(&mut self, topic: &str, entry: usize) -> Option<Carriers> {
        let slot = self.find(topic.as_bytes())?;
        let route = self.get_mut(slot)?;
        route.entries.retain(|&one| one != entry);
        if !route.entries.is_empty() {
            return None;
        }
        let route = self.routes.get_mut(slot)?.take()?;
        self.index.remove(route.topic.as_bytes());
        self.free.push(slot);
        for peer in route.peers {
            if let Some(peer) = self.get_mut(peer) {
                peer.peers.retain(|one| *one != slot);
            }
        }
        Some(route.carriers)
    }
}

/// Memory for one message, used again for the next.
#[derive(Debug)]
pub(super) struct Scratch {
    pub(super) levels: Levels,
    pub(super) rows: Vec<TradeRow>,
    pub(super) reader: Reader,
}

impl Scratch {
    /// Room for busy messages; it grows to the largest seen.
    pub(super) fn new() -> Scratch {
        Scratch {
            levels: Levels::new(),
            rows: Vec::with_capacity(1024),
            reader: Reader::new(),
        }
    }
}

/// A message for one stream.
#[inline]
pub(super) fn handle_data(
    entry: &mut Entry,
    payload: &[u8],
    scratch: &mut Scratch,
    context: &mut Context<'_>,
) {
    let (price, qty) = (entry.stream.price_scale(), entry.stream.qty_scale());
    let levels = &mut scratch.levels;
    let scanned = match entry.feed {
        Feed::Book(_) | Feed::Grouped(_) => {
            parse::book(payload, price, qty, levels).map(|message| {
                entry.handle_book(&message, levels, context);
            })
        }
        Feed::Top(_) => parse::quote(payload, price, qty, levels).map(|message| {
            entry.handle_book(&message, levels, context);
        }),
        Feed::Trades => parse::trades(payload, price, qty, &mut scratch.rows).map(|()| {
            entry.handle_trades(&scratch.rows, context);
        }),
        Feed::Ticker { .. } | Feed::Index { .. } | Feed::Kline { .. } => {
            handle_wide(entry, payload, scratch, context);
            Ok(())
        }
    };
    match scanned {
        Ok(()) => {}
        Err(error) if error.kind.is_scale() || error.kind == ScanErrorKind::Escape => {
            handle_misfit(entry, payload, scratch, context);
        }
        Err(_) => entry.handle_malformed(context),
    }
}

/// A hot message that its scanner can't take: it has escapes, or needs another scale.
#[cold]
fn handle_misfit(
    entry: &mut Entry,
    payload: &[u8],
    scratch: &mut Scratch,
    context: &mut Context<'_>,
) {
    let Scratch {
        levels,
        rows,
        reader,
    } = scratch;
    let now = (entry.stream.price_scale(), entry.stream.qty_scale());
    let feed = &entry.feed;
    let read = reader.read(payload, |message| {
        let need = tape::scales(&message).ok()?;
        // Wider is enough for more digits; only amounts that are too large need less.
        let wider = (now.0.max(need.0), now.1.max(need.1));
        let mixed = [now, wider, (wider.0, need.1), (need.0, wider.1), need];
        mixed.into_iter().find_map(|scales| {
            let read = match feed {
                Feed::Book(_) | Feed::Grouped(_) => {
                    tape::book(&message, scales.0, scales.1, levels).map(Some)
                }
                Feed::Top(_) => tape::quote(&message, scales.0, scales.1, levels).map(Some),
                _ => tape::trades(&message, scales.0, scales.1, rows).map(|()| None),
            };
            read.ok().map(|read| (scales, read))
        })
    });
    match read.flatten() {
        None => entry.handle_malformed(context),
        Some((scales, Some(message))) if scales != now => {
            let whole = (message.kind != Kind::Change).then_some((&message, &*levels));
            entry.handle_rescale(scales, whole, context);
        }
        Some((_, Some(message))) => entry.handle_book(&message, levels, context),
        Some((scales, None)) => {
            if scales != now {
                // Each trade stands for itself: nothing is lost by another scale.
                entry.set_scales(scales, context);
            }
            entry.handle_trades(rows, context);
        }
    }
}

/// A ticker, an index price or a candle.
fn handle_wide(
    entry: &mut Entry,
    payload: &[u8],
    scratch: &mut Scratch,
    context: &mut Context<'_>,
) {
    let feed = &entry.feed;
    let read = scratch.reader.read(payload, |message| match feed {
        Feed::Ticker { .. } => tape::ticker(&message),
        Feed::Index { .. } => tape::index(&message),
        Feed::Kline { interval, .. } => tape::kline(&message, *interval).map(Tick::Candle),
        _ => Err(tape::NO_READER),
    });
    match read {
        Some(Ok(Tick::Ticker(exch_ns, ticker))) => entry.handle_ticker(exch_ns, ticker, context),
        Some(Ok(Tick::Candle(kline))) => entry.handle_kline(kline, context),
        _ => entry.handle_malformed(context),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_found_wherever_they_stand() {
        let table: [(&str, Option<&str>); 5] = [
            (
                r#"{"jsonrpc":"2.0","method":"subscription","params":{"channel":"quote.A","data":{}}}"#,
                Some("quote.A"),
            ),
            (
                r#"{"params":{"data":{"channel":"no","x":[{"channel":"no"}]},"channel":"yes"},"id":1}"#,
                Some("yes"),
            ),
            (
                r#"{"jsonrpc":"2.0","method":"heartbeat","params":{"type":"test_request"}}"#,
                None,
            ),
            (r#"{"jsonrpc":"2.0","id":1,"result":["channel"]}"#, None),
            (" { } ", None),
        ];
        for (text, want) in table {
            let got = topic(text.as_bytes());
            assert_eq!(got, Ok(want.map(str::as_bytes)), "{text}");
        }
        for text in [
            "",
            "[]",
            "{",
            r#"{"params":1}"#,
            r#"{"params":{"channel":1}}"#,
            "{} x",
            "Failed to decode",
        ] {
            assert!(topic(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn books_and_quotes_of_an_instrument_know_each_other() {
        let mut routes = Routes::default();
        let topic = |text: &str| Topic::from(text).expect("short");
        let mut add = |text: &str| routes.add(&topic(text), 0);
        let (raw, grouped) = (add("book.A-B.raw"), add("book.A-B.none.20.100ms"));
        let (quote, _) = (add("quote.A-B"), add("quote.A-C"));
        let peers = |route: usize| routes.get(route).map(|route| route.peers.to_vec());
        assert_eq!(peers(quote), Some(vec![raw, grouped]));
        assert_eq!(
            (peers(raw), peers(grouped)),
            (Some(vec![quote]), Some(vec![quote]))
        );
    }
}

//! One frame in place of many, for a reader of a book who is behind.

use std::collections::BTreeMap;
use std::sync::Arc;

use tungstenite::Utf8Bytes;

use super::{Log, event_frame};
use crate::protocol::{BookDelta, EventData};

/// What leads a reader from `sent` to the head in as few frames as can be. All in between is kept.
pub(super) fn merged(log: &Log, sent: u64) -> (Utf8Bytes, u64) {
    let behind = (sent + 1..=log.head).filter_map(|at| log.entry(at).map(|entry| (at, entry)));
    // A whole book, or word that it is not to be believed, makes all before it worthless.
    let newest_whole = behind.clone().rfind(|(_, entry)| entry.delta.is_none());
    if let Some((offset, entry)) = newest_whole {
        return (entry.frame.clone(), offset);
    }
    let deltas: Vec<&Arc<BookDelta>> = behind
        .filter_map(|(_, entry)| entry.delta.as_ref())
        .collect();
    let (mut bids, mut asks) = (BTreeMap::new(), BTreeMap::new());
    for delta in &deltas {
        bids.extend(
            delta
                .bids
                .iter()
                .map(|(price, qty)| (price.as_str(), qty.as_str())),
        );
        asks.extend(
            delta
                .asks
                .iter()
                .map(|(price, qty)| (price.as_str(), qty.as_str())),
        );
    }
    let levels = |side: BTreeMap<&str, &str>| {
        side.into_iter()
            .map(|(price, qty)| (price.to_owned(), qty.to_owned()))
            .collect()
    };
    let last = deltas.last();
    let delta = EventData::BookDelta(BookDelta {
        from: sent + 1,
        to: log.head,
        seq_venue: last.map_or(0, |delta| delta.seq_venue),
        ts_venue: last.map_or(0, |delta| delta.ts_venue),
        ts_recv: last.map_or(0, |delta| delta.ts_recv),
        bids: levels(bids),
        asks: levels(asks),
    });
    let frame = event_frame(&log.name, delta.name(), &delta, &log.epoch, log.head);
    (frame, log.head)
}

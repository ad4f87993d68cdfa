//! Probes of streams that are silent: what the venue's answer says.
//!
//! A probe asks for the token's `/book`, whose `timestamp` and levels tell:
//!
//! | stream | silent though |
//! |---|---|
//! | book | the venue's book is later than ours, and is another. The time alone says little: nobody promises that it is that of the last change. And `/book` has been seen to lag (Polymarket/py-clob-client issue 180), so that an older one says nothing |
//! | trades | the venue's book is another than at the probe before, though nothing came |

use simd_json::tape::Value;
use tickwire_orderbook::{Level, Side};

use super::parse::{self, Body, Frame};
use super::sync::{Entry, Feed, fill};
use super::tape;
use crate::liveness::Probe;

/// Whether the venue has what the entry has not; `None` where the answer does not say.
pub(super) fn compare_answer(entry: &mut Entry, book: &Value<'_, '_>) -> Option<Probe> {
    let mut frame = Frame::default();
    tape::frame(book, &mut frame).ok()?;
    let item = frame.items.first()?;
    let Body::Book { bids, asks, .. } = item.body else {
        return None;
    };
    let (bids, asks) = (bids.of(&frame.rows), asks.of(&frame.rows));
    let ahead = |ahead: bool| if ahead { Probe::Ahead } else { Probe::Same };
    let Feed::Book(keeper) = &entry.own.feed else {
        let mut hash = parse::BASIS;
        for row in bids.iter().chain(asks) {
            hash = parse::fold_row(hash, *row);
        }
        let found = parse::short(hash);
        let known = entry.own.probed.replace(found);
        return Some(ahead(known.is_some_and(|known| known != found)));
    };
    if item.exch_ns <= entry.own.last_ns {
        return Some(Probe::Same);
    }
    let scales = (entry.stream.price_scale(), entry.stream.qty_scale());
    let same = |side: Side, rows: &[parse::Row]| {
        let mut theirs: Vec<Level> = Vec::with_capacity(rows.len());
        // What is not even at our scale is not what we have.
        let fits = fill(rows, scales, &mut theirs).is_ok();
        theirs.sort_by_key(|level| match side {
            Side::Bid => -level.price,
            Side::Ask => level.price,
        });
        fits && keeper.book().levels(side).eq(theirs)
    };
    Some(ahead(!(same(Side::Bid, bids) && same(Side::Ask, asks))))
}

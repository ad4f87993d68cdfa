//! What a periodic stream sends at its turn, and when the next turn is.

use super::frames::{self, DepthIds};
use super::names::Kind;
use crate::fault::Act;
use crate::market::{Instrument, Side};
use crate::outbox::Outbox;
use crate::spec::SimVenue;
use crate::venue::Common;
use crate::venue::stream::Stream;

/// A diff depth stream: the levels touched since the last push.
#[derive(Debug)]
pub(super) struct Diff {
    pub(super) dirty: Vec<(Side, i64)>,
    pub(super) first_id: u64,
    pub(super) last_u: u64,
}

/// A stream that is pushed periodically.
#[derive(Debug)]
pub(super) struct Timed {
    pub(super) kind: Kind,
    pub(super) stream: Stream,
    /// A timer of it is in the heap.
    pub(super) armed: bool,
    /// Newest id when it was armed: no subscriber's first event begins before it.
    pub(super) since_id: u64,
    pub(super) diff: Diff,
}

/// Pushes the levels touched since the last push, if any.
pub(super) fn push_diff(
    venue: SimVenue,
    one: &Instrument,
    timed: &mut Timed,
    at_ns: i64,
    cx: &mut Common,
    out: &mut Outbox,
) {
    let diff = &mut timed.diff;
    if diff.dirty.is_empty() {
        // A period without a change brings no event.
        return;
    }
    diff.dirty.sort_unstable();
    diff.dirty.dedup();
    // Spot's ranges tile the id space; futures ids are shared by all symbols, so there the first
    // is this symbol's own and `pu` makes the chain.
    let first = if venue.is_spot() {
        diff.last_u + 1
    } else {
        diff.first_id
    };
    let ids = DepthIds {
        first,
        last: one.last_id,
        previous: diff.last_u,
    };
    let stamp_ns = at_ns + cx.faults.skew_ns;
    let act = timed.stream.act(cx, at_ns, true);
    let crossing = (act == Some(Act::Cross))
        .then(|| crossing_bid(one))
        .flatten();
    let numbers = (at_ns, one.last_id);
    timed.stream.emit_as(act, out, cx, numbers, |buf, _| {
        frames::depth(buf, venue, one, ids, &diff.dirty, crossing, stamp_ns);
    });
    diff.dirty.clear();
    diff.last_u = one.last_id;
}

/// A bid that is in no true book: above the best ask, as large as it.
fn crossing_bid(one: &Instrument) -> Option<(i64, i64)> {
    one.book.top().1.map(|(price, qty)| (price + 1, qty))
}

/// When a periodic stream is due next: on the grid of its period, each instrument a little off,
/// so that a thousand books do not push in the same instant. A candle is also due at its end.
pub(super) fn next_due(venue: SimVenue, kind: Kind, one: &mut Instrument, now: i64) -> i64 {
    let period = kind.period_ns(venue).max(1);
    let phase = i64::from(one.spec.id) * 7_919_000 % period;
    let due = (now - phase).div_euclid(period) * period + period + phase;
    match kind {
        Kind::Kline { interval_ns, .. } => due.min(one.tape.bar(interval_ns, now).end_ns()),
        _ => due,
    }
}

//! What a topic sends at its turn: book deltas and snapshots, tickers, and when the next turn is.

use super::frames::{self, BookFrame, Order};
use super::ticker::{self, View};
use super::topics::Kind;
use super::view::{BookView, Delta, diff, next_number, snapshot};
use crate::fault::Act;
use crate::market::Instrument;
use crate::outbox::Outbox;
use crate::spec::{SECOND_NS, SimVenue};
use crate::truth::lock;
use crate::venue::Common;
use crate::venue::stream::Stream;

/// Level 1 is sent again after so long without a change (docs orderbook page, changelog
/// 2025-03-20).
const REPEAT_NS: i64 = 3 * SECOND_NS;

/// One topic.
#[derive(Debug)]
pub(super) struct Topic {
    pub(super) kind: Kind,
    pub(super) stream: Stream,
    pub(super) armed: bool,
    /// Its `u` and the market's id when it was armed.
    pub(super) since: (u64, u64),
    pub(super) view: BookView,
    pub(super) ticker: View,
}

/// Pushes what changed among the best levels since the last push, if anything.
#[expect(
    clippy::too_many_arguments,
    reason = "one call; the parts are borrowed apart"
)]
pub(super) fn push_book(
    one: &Instrument,
    timed: &mut Topic,
    numbers: &mut [(usize, u64)],
    depth: usize,
    order: Order,
    (at_ns, engine_ns): (i64, i64),
    delta: &mut Delta,
    cx: &mut Common,
    out: &mut Outbox,
) {
    let view = &mut timed.view;
    let restarted = view.id == 0;
    delta.bids.clear();
    delta.asks.clear();
    if view.seen_id != one.last_id {
        let (old_bids, old_asks) = (
            std::mem::take(&mut view.bids),
            std::mem::take(&mut view.asks),
        );
        view.reload(one, depth);
        diff(&old_bids, &view.bids, |a, b| b.cmp(&a), &mut delta.bids);
        diff(&old_asks, &view.asks, |a, b| a.cmp(&b), &mut delta.asks);
    }
    let changed = restarted || !delta.bids.is_empty() || !delta.asks.is_empty();
    if changed {
        view.u = next_number(numbers, depth);
        view.id = view.seen_id;
        lock(&one.history).publish(depth, view.u, view.id);
    }
    // Level 1 is snapshots only, repeated when nothing happens: with the same `u`, but with the
    // engine's present number and time (recorded 2025-06-13).
    let repeat = !changed && depth == 1 && at_ns - view.sent_ns >= REPEAT_NS;
    let engine_ns = if repeat { at_ns } else { engine_ns };
    if repeat {
        view.id = view.seen_id;
    }
    if changed || repeat {
        view.sent_ns = at_ns;
        let view = &timed.view;
        let is_delta = depth != 1 && !restarted;
        let act = timed.stream.act(cx, at_ns, is_delta);
        if let (Some(Act::Cross), Some(&(price, qty))) = (act, view.asks.first()) {
            // A bid that is in no true book: above the best ask, as large as it.
            delta.bids.insert(0, (price + 1, qty));
        }
        let (skew_ns, number) = (cx.faults.skew_ns, if changed { view.u } else { 0 });
        timed
            .stream
            .emit_as(act, out, cx, (at_ns, number), |buf, name| {
                let mut frame = snapshot(name, view, at_ns, engine_ns);
                if is_delta {
                    frame = BookFrame {
                        snapshot: false,
                        bids: &delta.bids,
                        asks: &delta.asks,
                        ..frame
                    };
                }
                frames::book(buf, order, &one.spec, &frame.shifted(skew_ns));
            });
    }
}

pub(super) fn write_ticker(
    buf: &mut Vec<u8>,
    venue: SimVenue,
    spec: &crate::market::InstrumentSpec,
    topic: &str,
    views: (Option<&View>, &View),
    cs: u64,
    at_ns: i64,
) {
    if venue.is_spot() {
        ticker::spot(buf, spec, topic, views.1, cs, at_ns);
    } else {
        ticker::linear(buf, spec, topic, views, cs, at_ns);
    }
}

/// On the grid of the period, each instrument a little off; a candle also at its end.
pub(super) fn next_due(venue: SimVenue, kind: Kind, one: &mut Instrument, now: i64) -> i64 {
    let period = kind.period_ns(venue).max(1);
    let phase = i64::from(one.spec.id) * 7_919_000 % period;
    let due = (now - phase).div_euclid(period) * period + period + phase;
    match kind {
        Kind::Kline { interval_ns, .. } => due.min(one.tape.bar(interval_ns, now).end_ns()),
        _ => due,
    }
}

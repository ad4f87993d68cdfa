//! The demo's figures as JSON.

use std::fmt;
use std::io::{self, Write};
use std::time::Duration;

use serde_json::{Value, json};
use tickwire::Handle;

use tickwire::testing::names;

use super::VENUES;
use super::alloc::AllocationsPerMessage;
use super::strategy::Shared;

/// What a demo run came to.
#[derive(Clone, Debug)]
pub struct Summary {
    venues: Vec<Value>,
    lost_events: u64,
    reported_lost: u64,
    live_after_ms: u64,
    allocations: Option<AllocationsPerMessage>,
}

impl Summary {
    pub(crate) fn of(
        handle: &Handle,
        shared: &Shared,
        allocations: Option<AllocationsPerMessage>,
    ) -> Summary {
        let rows = shared.rows();
        let counters = handle.venue_counters();
        let mut venues = Vec::new();
        for (index, (venue, market)) in VENUES.map(names).into_iter().enumerate() {
            let of_venue = |stream| {
                handle
                    .stream(stream)
                    .is_some_and(|info| (info.key.venue, info.key.market) == (venue, market))
            };
            let (mut bbos, mut trades) = (0, 0);
            for row in rows
                .iter()
                .filter(|(stream, _)| of_venue(**stream))
                .map(|(_, row)| row)
            {
                bbos += row.bbos;
                trades += row.trades;
            }
            let counts = counters
                .iter()
                .find(|(name, of, _)| (*name, *of) == (venue, market))
                .map(|(_, _, counts)| *counts)
                .unwrap_or_default();
            let times = shared.latency(index).snapshot();
            let mut row = json!({
                "venue": venue.as_str(),
                "market": market.as_str(),
                "messages": counts.messages,
                "bbo": bbos,
                "trades": trades,
                "gaps": counts.gaps,
                "resyncs": counts.resyncs,
                "latency_ns": {
                    "count": times.len(),
                    "p50": times.value_at_quantile(0.5),
                    "p99": times.value_at_quantile(0.99),
                    "p999": times.value_at_quantile(0.999),
                    "max": times.max(),
                },
            });
            // Polymarket numbers nothing: what shows that its books are right is the venue's own word.
            if counts.tops_checked > 0 {
                row["best_prices"] =
                    json!({ "checked": counts.tops_checked, "agreed": counts.tops_agreed });
                row["book_hashes"] =
                    json!({ "met": counts.hashes_met, "not_met": counts.hash_mismatches });
            }
            venues.push(row);
        }
        Summary {
            venues,
            lost_events: rows.values().map(|row| row.missing).sum(),
            reported_lost: rows.values().map(|row| row.reported_lost).sum(),
            live_after_ms: shared.live_after_ms(),
            allocations,
        }
    }

    /// The summary as one JSON object.
    pub fn to_json(&self) -> Value {
        json!({
            "type": "summary",
            "venues": self.venues,
            "lost_events": self.lost_events,
            "lost_reported_by_ring": self.reported_lost,
            "live_after_ms": self.live_after_ms,
            "allocations_per_message": self.allocations.map(|count| json!({
                "ours": count.ours,
                "tls": count.tls,
            })),
        })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (lost, reported) = (self.lost_events, self.reported_lost);
        write!(
            f,
            "{lost} events missing by their numbers, {reported} reported lost by the ring"
        )?;
        if let Some(count) = self.allocations {
            write!(
                f,
                "; allocations a message: {:.6} ours, {:.3} of the TLS library",
                count.ours, count.tls
            )?;
        }
        Ok(())
    }
}

/// One line a look: how far it is.
pub(crate) fn progress(
    out: &mut dyn Write,
    handle: &Handle,
    shared: &Shared,
    elapsed: Duration,
) -> io::Result<()> {
    let streams = handle.streams();
    let live = streams
        .iter()
        .filter(|stream| stream.state() == tickwire::StreamState::Live);
    let line = json!({
        "type": "progress",
        "elapsed_ms": u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        "streams": streams.len(),
        "live": live.count(),
        "messages": handle.counters().messages,
        "live_after_ms": shared.live_after_ms(),
    });
    writeln!(out, "{line}")?;
    out.flush()
}

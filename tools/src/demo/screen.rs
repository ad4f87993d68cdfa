//! The demo's screen: link states, top of book, latency. Redrawn in place on a terminal; where the
//! output is a file or a pipe, one block after another.

use std::io::{self, Write};
use std::time::Duration;

use tickwire::{Channel, Handle, LinkState, StreamState};

use tickwire::testing::names;

use super::VENUES;
use super::strategy::{Row, Shared};

/// Top left, and everything behind it erased.
const HOME: &str = "\x1b[H\x1b[J";

pub(crate) fn draw(
    out: &mut dyn Write,
    in_place: bool,
    inline: bool,
    handle: &Handle,
    shared: &Shared,
    elapsed: Duration,
) -> io::Result<()> {
    let mut text = String::new();
    if in_place {
        text.push_str(HOME);
    }
    head(&mut text, inline, handle, shared, elapsed);
    tops(&mut text, handle, shared);
    latencies(&mut text, handle, shared);
    if in_place {
        text.push_str("\nCtrl-C ends it.\n");
    } else {
        text.push('\n');
    }
    out.write_all(text.as_bytes())?;
    out.flush()
}

fn head(text: &mut String, inline: bool, handle: &Handle, shared: &Shared, elapsed: Duration) {
    let counters = handle.counters();
    let links = handle.links();
    let up = links
        .iter()
        .filter(|link| link.state() == LinkState::Up)
        .count();
    let live = match shared.live_after_ms() {
        0 => "waiting for every book to be Live".to_owned(),
        millis => format!(
            "all books Live after {}.{:03} s",
            millis / 1_000,
            millis % 1_000
        ),
    };
    let hop = if inline { "" } else { "ring -> " };
    text.push_str(&format!(
        "tickwire demo: venue simulator -> TLS -> engine -> {hop}strategy   {:.1} s\n\
         {} of {} links up, {} messages, {live}\n\n",
        elapsed.as_secs_f64(),
        up,
        links.len(),
        counters.messages,
    ));
}

fn tops(text: &mut String, handle: &Handle, shared: &Shared) {
    text.push_str(&format!(
        "{:<8} {:<8} {:<22} {:<7} {:>14} {:>14}   {:<14} {:>14} {:>9}\n",
        "venue", "market", "symbol", "book", "bid qty", "bid", "ask", "ask qty", "events"
    ));
    let rows = shared.rows();
    for stream in handle.streams() {
        if !matches!(stream.key.channel, Channel::Book(_)) {
            continue;
        }
        let row = rows.get(&stream.id).cloned().unwrap_or_default();
        let symbol = stream
            .instrument()
            .map_or(stream.asked, |known| known.key.symbol);
        text.push_str(&format!(
            "{:<8} {:<8} {:<22} {:<7} {} {:>9}\n",
            stream.key.venue,
            stream.key.market,
            symbol,
            word(stream.state()),
            top(&row),
            row.events,
        ));
    }
}

fn word(state: StreamState) -> &'static str {
    match state {
        StreamState::Live => "Live",
        StreamState::Pending => "Pending",
        StreamState::Resync => "Resync",
        StreamState::Stale => "Stale",
        StreamState::Closed => "Closed",
        StreamState::Refused => "Refused",
    }
}

fn top(row: &Row) -> String {
    let side = |side: Option<(tickwire::Price, tickwire::Qty)>| match side {
        Some((price, qty)) => (price.to_string(), qty.to_string()),
        None => ("-".to_owned(), "-".to_owned()),
    };
    let (bid, bid_qty) = side(row.bbo.and_then(|bbo| bbo.bid()));
    let (ask, ask_qty) = side(row.bbo.and_then(|bbo| bbo.ask()));
    format!("{bid_qty:>14} {bid:>14}   {ask:<14} {ask_qty:>14}")
}

fn latencies(text: &mut String, handle: &Handle, shared: &Shared) {
    text.push_str(&format!(
        "\nsend to strategy, us\n{:<8} {:<8} {:>9} {:>9} {:>9} {:>9} {:>10}  {}\n",
        "venue", "market", "p50", "p90", "p99", "p99.9", "messages", "2^n us: 1 2 4 .. 32768"
    ));
    for (index, (venue, market)) in VENUES.map(names).into_iter().enumerate() {
        let times = shared.latency(index).snapshot();
        let at = |quantile| times.value_at_quantile(quantile) as f64 / 1_000.0;
        text.push_str(&format!(
            "{:<8} {:<8} {:>9.1} {:>9.1} {:>9.1} {:>9.1} {:>10}  {}\n",
            venue,
            market,
            at(0.5),
            at(0.9),
            at(0.99),
            at(0.999),
            times.len(),
            bars(&times),
        ));
    }
    let turns = handle.turn_times().snapshot();
    text.push_str(&format!(
        "loop turns with work: p50 {:.1} us, p99 {:.1} us\n",
        turns.value_at_quantile(0.5) as f64 / 1_000.0,
        turns.value_at_quantile(0.99) as f64 / 1_000.0,
    ));
}

/// A histogram in one line: a bar for each doubling of a microsecond.
fn bars(times: &tickwire::telemetry::Histogram<u64>) -> String {
    const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let counts: Vec<u64> = (0..16u32)
        .map(|power| {
            let from = if power == 0 { 0 } else { 500u64 << power };
            times.count_between(from, (1_000u64 << power).saturating_sub(1))
        })
        .collect();
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    counts
        .iter()
        .map(|count| BARS[(count * 8).div_ceil(most) as usize])
        .collect()
}

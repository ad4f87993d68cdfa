//! The table as text for people, as Markdown for `docs/`, and as JSON for programs.

use std::fmt::Write as _;

use serde_json::{Value, json};
use tickwire::testing::sim::SimVenue;

use super::rows::{Expect, Reach, Row};
use super::{Cell, Times, Verdict};

/// One cell as a line.
#[must_use]
pub fn text(cell: &Cell) -> String {
    let (venue, name) = (cell.venue.slug(), cell.row.name);
    match &cell.verdict {
        Verdict::Ok(times) => format!("ok      {venue:<15} {name:<34} {}", spans(times)),
        Verdict::NotHere(why) => format!("n/a     {venue:<15} {name:<34} {why}"),
        Verdict::Failed(problems) => {
            let problems = problems.join("; ");
            format!("FAILED  {venue:<15} {name:<34} {problems}")
        }
    }
}

fn spans(times: &Times) -> String {
    match (times.told, times.live) {
        (Some(told), Some(live)) => {
            let (told, live) = (told.as_secs_f64(), live.as_secs_f64());
            format!("told after {told:.3} s, Live after {live:.3} s")
        }
        _ => String::new(),
    }
}

/// One cell as a JSON object.
#[must_use]
pub fn json(cell: &Cell) -> Value {
    let millis = |span: Option<std::time::Duration>| span.map(|span| span.as_millis() as u64);
    let mut value = json!({
        "type": "cell",
        "fault": cell.row.name,
        "venue": cell.venue.slug(),
    });
    match &cell.verdict {
        Verdict::Ok(times) => {
            value["verdict"] = "ok".into();
            value["told_ms"] = millis(times.told).into();
            value["live_ms"] = millis(times.live).into();
        }
        Verdict::NotHere(why) => {
            value["verdict"] = "n/a".into();
            value["why"] = (*why).into();
        }
        Verdict::Failed(problems) => {
            value["verdict"] = "failed".into();
            value["problems"] = problems.clone().into();
        }
    }
    value
}

const HEAD: &str = "\
# Faults

Written by `tickwire faults --markdown`; do not edit. To run the table, or a part of it, and to write
this page again:

```sh
cargo run --release -- faults
cargo run --release -- faults --fault gap --venue binance-spot
cargo run --release -- faults --markdown > docs/faults.md
```

Each cell is a simulator and an engine of their own, joined by real TLS on loopback. A strategy watches
book (with its levels, as a replica), best bid/ask and trades of three instruments, so that streams
stand on the same link as the one that is hit, and on another. When all are Live and true, the fault is
injected, and the cell is judged by what the strategy saw:

- Every top and every replica after each message equals the simulator's true book at the price's own
  number, and no price comes while its stream is not Live, before the fault, during it and after it.
- The streams that the fault concerns say Stale or Resync before any price whose message the venue
  sent after the fault, and are Live again with the true book.
- They come back no sooner than the venue has allowed (Retry-After), and later after a refusal that does
  not heal by itself (401, 403).
- All other streams: no change of state, the same epoch.
- In a planned cut no stream changes its state at all, while the venue has cut the link.
- Each ban (429, 418, Bybit's and Polymarket's 403) is told once, and so is its end; where there is none, none is told.
- No request was refused as one too many, no thread of the engine panicked, its loop runs.

**ok** is followed by the time from the fault to the last Live of the streams that it concerns, which
includes how long the fault itself goes on. **n/a** says why a fault can't be at a venue. Anything else
says what was not as it must be.

A stream that says nothing for a second is asked about, and what the venue has must be here half a
second later (Bybit's level 1, which repeats itself after 3 s, is mute after 4 s); links are given up on after 3 s without a message or an answer to a ping; tries to connect
again begin at 20 ms (500 ms after a refusal that does not heal by itself) and go up to 200 ms; all else is as a
user gets it.
";

/// The whole page.
#[must_use]
pub fn markdown(cells: &[Cell]) -> String {
    let mut page = HEAD.to_owned();
    let mut venues: Vec<SimVenue> = Vec::new();
    let mut rows: Vec<&Row> = Vec::new();
    for cell in cells {
        if !venues.contains(&cell.venue) {
            venues.push(cell.venue);
        }
        if rows.last().is_none_or(|row| row.name != cell.row.name) {
            rows.push(cell.row);
        }
    }
    // Writing to a String can't fail.
    let _ = write!(page, "\n## The table\n\n| fault |");
    for venue in &venues {
        let _ = write!(page, " {venue} |");
    }
    let _ = write!(page, "\n|---|{}\n", "---|".repeat(venues.len()));
    for row in &rows {
        let _ = write!(page, "| {} |", row.name);
        for cell in cells.iter().filter(|cell| cell.row.name == row.name) {
            let _ = write!(page, " {} |", entry(&cell.verdict));
        }
        page.push('\n');
    }
    page.push_str("\n## What each fault is\n\n| fault | injected as | what it is | what must be seen |\n|---|---|---|---|\n");
    for row in &rows {
        let injected: Vec<String> = row.inject.iter().map(|one| format!("`{one}`")).collect();
        let injected = injected.join(", then ");
        let (name, what, seen) = (row.name, row.what, expected(row.expect));
        let _ = writeln!(page, "| {name} | {injected} | {what} | {seen} |");
    }
    page.push_str(
        "\n`BOOK` is the book stream of the first instrument, and on links the one that carries it; \
         `SYMBOL` is its symbol.\n",
    );
    page
}

fn entry(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Ok(Times {
            live: Some(live), ..
        }) => format!("ok {:.1} s", live.as_secs_f64()),
        Verdict::Ok(_) => "ok".to_owned(),
        Verdict::NotHere(why) => format!("n/a: {why}"),
        Verdict::Failed(problems) => {
            let first = problems.first().map_or("", |problem| problem);
            format!("**{}**", first.replace('|', "/"))
        }
    }
}

const fn expected(expect: Expect) -> &'static str {
    match expect {
        Expect::Unmoved => "no change of any stream's state",
        Expect::Handover => "the link is cut, and no stream's state changes",
        Expect::Told(Reach::Book) => "the book is told and comes back; nothing else moves",
        Expect::MayTell(_) => "the book may be told, and is true; nothing else moves",
        Expect::Told(Reach::Symbol) => {
            "the symbol's book and best bid/ask are told and come back (its trades may); nothing else \
             moves"
        }
        Expect::Told(Reach::Link) => {
            "every stream of the link is told and comes back; nothing else moves"
        }
        Expect::Told(Reach::Books) => {
            "every book and best bid/ask is told and comes back; no trades move"
        }
        Expect::Told(Reach::Venue) => "every stream is told and comes back",
    }
}

//! What `benches/instructions.sh` counts under callgrind: a walk over each decode scenario, and
//! rounds of edits on books. Alone it prints that it ran.

use tickwire_benches::Checksum;
use tickwire_benches::book::{DEPTHS, EDITS, Ladder};
use tickwire_benches::decode::{MESSAGES, Recorded, SCENARIOS, Way};
use tickwire_benches::growth::read_within;

/// The function that is counted: by its name callgrind knows where to begin and end.
#[inline(never)]
fn counted(work: impl FnOnce()) {
    work();
}

fn walk(recorded: &Recorded) -> Checksum {
    let mut way = recorded.ours();
    let mut messages = recorded.tape.messages.clone();
    counted(|| {
        for message in &mut messages {
            way.take(message);
        }
    });
    way.result()
}

#[expect(clippy::print_stdout, reason = "for the script")]
fn main() {
    let wanted = std::env::args().nth(1).unwrap_or_default();
    for scenario in SCENARIOS {
        if scenario.name == wanted {
            let recorded = scenario.record();
            let sum = walk(&recorded);
            println!(
                "{} {MESSAGES} {} {:x}",
                scenario.name,
                recorded.tape.mean_len(),
                sum.0
            );
        }
    }
    // For their cache misses: BRANCHES=1.
    if let Some(count) = wanted.strip_prefix("instruments_") {
        let count = count.parse().expect("a number of instruments");
        read_within(count, MESSAGES, |work| counted(work)).expect("every message is taken");
        println!("{wanted} {MESSAGES} 0 0");
    }
    for depth in DEPTHS {
        if wanted == format!("book_{depth}") {
            let ladder = Ladder::new(depth, 7);
            let mut book = ladder.book();
            let mut sum = Checksum::default();
            counted(|| sum = ladder.run(&mut book));
            println!("{wanted} {EDITS} 0 {:x}", sum.0);
        }
    }
}

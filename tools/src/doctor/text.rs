//! What `tickwire doctor` prints for people.

use std::fmt::Write as _;

use super::{Check, Noise, Verdict};
use crate::report::{bars, nanos};

/// Columns of a line; no terminal is narrower than most are.
const WIDTH: usize = 110;

/// Where the second column begins: behind the longest verdict.
const INDENT: usize = 17;

/// The page for people: the checks, then the noise.
pub fn human(machine: &str, core: usize, checks: &[Check], noise: Option<&Noise>) -> String {
    let mut text = format!("{machine}\nchecked for a loop on core {core}\n\n");
    let width = checks.iter().map(|check| check.name.len()).max();
    let width = width.unwrap_or(0);
    for check in checks {
        let verdict = check.verdict.as_str();
        let head = format!("{verdict:>15}  {:width$}  ", check.name);
        wrapped(&mut text, &head, &check.found);
        if let Some(advice) = &check.advice {
            wrapped(
                &mut text,
                &format!("{:INDENT$}change: ", ""),
                &advice.change,
            );
            wrapped(
                &mut text,
                &format!("{:INDENT$}brings: ", ""),
                &advice.brings,
            );
        }
    }
    let count = |verdict| checks.iter().filter(|it| it.verdict == verdict).count();
    let _ = writeln!(
        text,
        "\n{} good, {} could be better, {} bad, {} unknown; docs/host-tuning.md has each of them\n",
        count(Verdict::Good),
        count(Verdict::Fair),
        count(Verdict::Bad),
        count(Verdict::Unknown)
    );
    if let Some(noise) = noise {
        text.push_str(&of_noise(core, noise));
    }
    text
}

fn of_noise(core: usize, noise: &Noise) -> String {
    let at = |quantile| nanos(noise.gaps.value_at_quantile(quantile));
    let mut text = format!(
        "noise on core {core}: {:.1} s of clock reads of {:.0} ns; {} gaps of 1 µs and more, {:.0} a second, \
         took {:.4} % of the time\n",
        noise.length.as_secs_f64(),
        noise.read_ns(),
        noise.gaps.len(),
        noise.gaps_per_s(),
        100.0 * noise.stolen_share(),
    );
    if noise.gaps.is_empty() {
        return text;
    }
    let _ = writeln!(
        text,
        "gaps: p50 {}, p99 {}, p99.9 {}, max {}",
        at(0.5),
        at(0.99),
        at(0.999),
        nanos(noise.gaps.max())
    );
    text.push_str(&bars(&noise.gaps));
    text
}

/// A paragraph behind a head, its further lines below its first word.
fn wrapped(text: &mut String, head: &str, words: &str) {
    let indent = head.chars().count();
    text.push_str(head);
    let mut column = indent;
    for (index, word) in words.split(' ').enumerate() {
        let length = word.chars().count();
        if index > 0 && column + 1 + length > WIDTH {
            let _ = write!(text, "\n{:indent$}{word}", "");
            column = indent + length;
        } else {
            let space = if index > 0 { " " } else { "" };
            let _ = write!(text, "{space}{word}");
            column += space.len() + length;
        }
    }
    text.push('\n');
}

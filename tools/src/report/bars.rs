//! A histogram as bars in a terminal, times on a logarithmic scale.

use std::fmt::Write as _;

use hdrhistogram::Histogram;

/// A bucket of a histogram, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// From here.
    pub from: u64,
    /// To below here.
    pub to: u64,
    /// So many values.
    pub count: u64,
}

/// Columns of the longest bar.
const BAR: usize = 40;

/// Where buckets begin in each power of ten: about a quarter to a half more each, in round numbers.
const STEPS: [u64; 10] = [10, 12, 15, 20, 25, 30, 40, 50, 60, 80];

/// The values in buckets of a logarithmic scale, from the first that has any to the last.
pub fn buckets(histogram: &Histogram<u64>) -> Vec<Bucket> {
    let mut bounds = vec![0];
    let mut power: u64 = 1;
    while power < 1_000_000_000_000 {
        bounds.extend(STEPS.map(|step| step * power));
        power *= 10;
    }
    let mut found: Vec<Bucket> = bounds
        .windows(2)
        .filter_map(|pair| match *pair {
            [from, to] => Some(Bucket { from, to, count: 0 }),
            _ => None,
        })
        .collect();
    for value in histogram.iter_recorded() {
        let at = found.partition_point(|bucket| bucket.to <= value.value_iterated_to());
        if let Some(bucket) = found.get_mut(at) {
            bucket.count += value.count_at_value();
        }
    }
    let first = found.iter().position(|bucket| bucket.count > 0);
    let last = found.iter().rposition(|bucket| bucket.count > 0);
    match first.zip(last) {
        Some((first, last)) => found.drain(first..=last).collect(),
        None => Vec::new(),
    }
}

/// A line a bucket; where several in a row are empty, one line for all of them. Bars are as long as the logarithm
/// of their counts: the tail is what one looks for.
pub fn bars(histogram: &Histogram<u64>) -> String {
    let buckets = buckets(histogram);
    let most = buckets.iter().map(|bucket| bucket.count).max().unwrap_or(0);
    let mut text = String::new();
    for run in buckets.chunk_by(|one, next| one.count == 0 && next.count == 0) {
        if run.len() > 2 {
            let _ = writeln!(text, "{:>8}", "..");
            continue;
        }
        for bucket in run {
            let _ = writeln!(
                text,
                "{:>8}  {:BAR$}  {}",
                nanos(bucket.from),
                bar(bucket.count, most),
                bucket.count
            );
        }
    }
    text
}

/// A bar for a count, in eighths of a column.
fn bar(count: u64, most: u64) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    if count == 0 {
        return String::new();
    }
    let share = ((count + 1) as f64).ln() / ((most + 1) as f64).ln();
    let eighths = ((share * (BAR * 8) as f64) as usize).clamp(1, BAR * 8);
    let rest = EIGHTHS.get(eighths % 8).copied().unwrap_or_default();
    format!("{}{rest}", "█".repeat(eighths / 8))
}

/// Columns of a skyline.
const SKYLINE: usize = 72;

/// One line a histogram, over one logarithmic axis of time that all share: which is to the left, and how far its
/// tail goes. Heights are logarithms of counts, as in [`bars`].
pub fn skyline(rows: &[(&str, &Histogram<u64>)]) -> String {
    let filled = || rows.iter().filter(|(_, it)| !it.is_empty());
    let low = filled().map(|(_, it)| it.min().max(1)).min();
    let high = filled().map(|(_, it)| it.max()).max();
    let Some((low, high)) = low.zip(high) else {
        return String::new();
    };
    let low = (low as f64).log10();
    // A histogram of one value has a width, too.
    let width = ((high as f64).log10() - low).max(0.1) / SKYLINE as f64;
    let column = |ns: u64| {
        let column = ((ns.max(1) as f64).log10() - low) / width;
        (column.max(0.0) as usize).min(SKYLINE - 1)
    };
    let names = rows.iter().map(|(name, _)| name.chars().count()).max();
    let names = names.unwrap_or(0);
    let mut text = String::new();
    for (name, histogram) in rows {
        let mut counts = [0_u64; SKYLINE];
        for value in histogram.iter_recorded() {
            if let Some(count) = counts.get_mut(column(value.value_iterated_to())) {
                *count += value.count_at_value();
            }
        }
        let most = counts.iter().max().copied().unwrap_or(0);
        let line: String = counts.iter().map(|&count| height(count, most)).collect();
        let _ = writeln!(text, "{name:names$}  {}", line.trim_end());
    }
    let _ = writeln!(text, "{:names$}  {}", "", axis(low, width).trim_end());
    text
}

/// Times below a skyline, at 1, 2 and 5 of each power of ten, where there is room.
fn axis(low: f64, width: f64) -> String {
    let mut line = String::new();
    for power in 0..12 {
        for step in [1, 2, 5] {
            let ns = step * 10_u64.pow(power);
            let at = ((ns as f64).log10() - low) / width;
            let label = format!("|{}", nanos(ns));
            let used = line.chars().count();
            if at < used as f64 || at as usize + label.chars().count() > SKYLINE {
                continue;
            }
            let _ = write!(line, "{:space$}{label} ", "", space = at as usize - used);
        }
    }
    line
}

fn height(count: u64, most: u64) -> char {
    const HEIGHTS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    if count == 0 {
        return ' ';
    }
    let share = ((count + 1) as f64).ln() / ((most + 1) as f64).ln();
    let index = ((share * 8.0) as usize).clamp(1, 8);
    HEIGHTS.get(index).copied().unwrap_or(' ')
}

/// A time with a unit that suits it.
pub fn nanos(ns: u64) -> String {
    let value = ns as f64;
    let (value, unit) = match ns {
        0..1_000 => return format!("{ns} ns"),
        1_000..1_000_000 => (value / 1e3, "µs"),
        1_000_000..1_000_000_000 => (value / 1e6, "ms"),
        _ => (value / 1e9, "s"),
    };
    if value < 100.0 {
        // Three digits, without zeroes that say nothing.
        let digits = if value < 10.0 { 2 } else { 1 };
        let text = format!("{value:.digits$}");
        let text = text.trim_end_matches('0').trim_end_matches('.');
        return format!("{text} {unit}");
    }
    format!("{value:.0} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit_and_three_digits() {
        let table = [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_000, "1 µs"),
            (1_250, "1.25 µs"),
            (15_040, "15 µs"),
            (123_456, "123 µs"),
            (2_500_000, "2.5 ms"),
            (60_000_000_000, "60 s"),
        ];
        for (ns, text) in table {
            assert_eq!(nanos(ns), text);
        }
    }

    #[test]
    fn each_value_is_in_one_bucket() {
        let mut histogram = Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("bounds");
        let values = [1, 9, 10, 11, 12, 999, 1_000, 1_249, 1_250, 59_000_000_000];
        for value in values {
            histogram.record(value).expect("in bounds");
        }
        let buckets = buckets(&histogram);
        let all: u64 = buckets.iter().map(|bucket| bucket.count).sum();
        assert_eq!(all, values.len() as u64);
        assert_eq!((buckets[0].from, buckets[0].count), (0, 2));
        let thousand = buckets.iter().find(|bucket| bucket.from == 1_000);
        assert_eq!(thousand.map(|it| (it.to, it.count)), Some((1_200, 1)));
        assert!(buckets.windows(2).all(|pair| pair[0].to == pair[1].from));
        let text = bars(&histogram);
        assert_eq!(text.matches("..").count(), 2, "{text}");
        assert!(text.contains("1 µs  █"), "{text}");
    }

    #[test]
    fn a_skyline_has_a_line_each_and_one_axis() {
        let of = |values: &[u64]| {
            let mut histogram = Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("bounds");
            for value in values {
                histogram.record(*value).expect("in bounds");
            }
            histogram
        };
        let (fast, slow) = (of(&[1_000; 100]), of(&[1_000, 100_000]));
        let text = skyline(&[("fast", &fast), ("slow one", &slow)]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert_eq!(lines[0], "fast      █");
        assert!(
            lines[1].starts_with("slow one  █ ") && lines[1].ends_with('█'),
            "{text}"
        );
        assert!(lines[2].contains("|10 µs"), "{text}");
        assert_eq!(skyline(&[]), "");
        assert_eq!(skyline(&[("none", &of(&[]))]), "");
    }

    #[test]
    fn the_longest_bar_is_the_largest_count_and_none_is_empty() {
        assert_eq!(bar(1_000_000, 1_000_000), "█".repeat(BAR));
        assert_eq!(bar(0, 9), "");
        assert!(!bar(1, u64::MAX - 1).is_empty());
        assert!(bar(10, 1_000).chars().count() < bar(100, 1_000).chars().count());
    }
}

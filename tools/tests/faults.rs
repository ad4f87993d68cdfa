//! The table fault × venue: a share of it is run here, all of it by `tickwire faults`; and the page
//! in `docs/` is the table's.

use tickwire::testing::sim::{FaultKind, SimVenue};
use tickwire_tools::faults::{self, Cell, Options, ROWS, Row, Times, Verdict};

const PAGE: &str = include_str!("../../docs/faults.md");

/// A loss on one stream, one on a link, none at all, every link at once, planned cuts, pairs of links.
const SHARE: [&str; 11] = [
    "cut",
    "gap",
    "duplicate",
    "reorder",
    "corrupt",
    "crossed",
    "restart",
    "service-reset",
    "planned cut",
    "pair: cut",
    "pair: miss",
];

#[test]
fn share_of_the_table_is_as_it_must_be() {
    let options = Options {
        venues: SimVenue::ALL.to_vec(),
        faults: SHARE.map(str::to_owned).to_vec(),
        jobs: 16,
        seed: 11,
    };
    let cells = faults::run(&options, |_| {});
    assert!(cells.len() >= SHARE.len() * SimVenue::ALL.len());
    let failed = cells.iter().filter(|cell| cell.has_failed());
    let failed: Vec<String> = failed.map(faults::text).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    for cell in &cells {
        let (here, ok) = ((cell.row.not_at)(cell.venue), &cell.verdict);
        assert_eq!(here.is_none(), matches!(ok, Verdict::Ok(_)), "{ok:?}");
    }
}

#[test]
fn every_fault_of_the_simulator_has_a_row() {
    // Those about orders are met by the tests of trading: nobody trades here.
    for kind in FaultKind::ALL.iter().filter(|kind| !kind.is_about_orders()) {
        let of_kind = |row: &&Row| {
            let mut words = row.inject.iter().filter_map(|one| one.split(' ').next());
            words.any(|word| word == kind.name())
        };
        assert!(ROWS.iter().any(|row| of_kind(&row)), "{}", kind.name());
    }
}

/// The page without its verdicts, which differ from run to run.
fn frame(page: &str) -> Vec<String> {
    let (before, rest) = page.split_once("## The table\n").expect("a table");
    let (table, behind) = rest.split_once("\n## ").expect("what each fault is");
    let blank = |line: &str| {
        let entries: Vec<&str> = line.split('|').collect();
        format!("{} {}", entries.get(1).unwrap_or(&""), entries.len())
    };
    let head = table.lines().take(3).map(str::to_owned);
    let rows = table.lines().skip(3).map(blank);
    let mut lines: Vec<String> = before.lines().map(str::to_owned).collect();
    lines.extend(head.chain(rows).chain(behind.lines().map(str::to_owned)));
    lines
}

#[test]
fn page_is_the_table() {
    let cells = ROWS.iter().flat_map(|row| {
        SimVenue::ALL.map(|venue| Cell {
            row,
            venue,
            verdict: Verdict::Ok(Times::default()),
        })
    });
    let expected = faults::markdown(&cells.collect::<Vec<_>>());
    let (page, expected) = (frame(PAGE), frame(&expected));
    for (line, expected) in page.iter().zip(&expected) {
        assert_eq!(
            line, expected,
            "run: tickwire faults --markdown > docs/faults.md"
        );
    }
    assert_eq!(page.len(), expected.len());
    for row in ROWS {
        assert!(
            PAGE.contains(&format!("\n| {} |", row.name)),
            "{}",
            row.name
        );
    }
}

#[test]
fn rows_have_names_of_their_own() {
    for (index, row) in ROWS.iter().enumerate() {
        let twin = ROWS[index + 1..]
            .iter()
            .find(|other| other.name == row.name);
        assert!(twin.is_none(), "{}", row.name);
        assert!(!row.what.is_empty() && row.within_s > 0, "{}", row.name);
    }
}

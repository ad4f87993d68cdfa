//! Making a failing run smaller: whatever can be left out while it still fails is left out.

use super::{Choice, Complaint, MS, Outcome, WorldError};

/// Runs that a shrinking may cost.
const RUNS_MAX: usize = 400;

/// A failing run with nothing to spare.
#[derive(Clone, Debug)]
pub struct Shrunk<F> {
    /// What to run.
    pub choice: Choice,
    /// How it ends.
    pub outcome: Outcome<F>,
    /// The complaint of its end.
    pub complaint: Complaint,
    /// Runs that it took.
    pub runs: usize,
}

/// Shrinks a run that fails by leaving out items of its plan (delta debugging: halves, quarters, ..
/// single ones) and by ending it earlier. Any complaint counts as failing. `run` runs a choice.
///
/// # Errors
/// Where a run could not be built.
pub fn shrink<F>(
    choice: &Choice,
    run: impl Fn(&Choice) -> Result<Outcome<F>, WorldError>,
) -> Result<Option<Shrunk<F>>, WorldError> {
    let mut outcome = run(choice)?;
    let Some(mut complaint) = outcome.complaint.clone() else {
        return Ok(None);
    };
    let mut keep: Vec<usize> = match &choice.keep {
        Some(keep) => keep.clone(),
        None => (0..outcome.items.len()).collect(),
    };
    let mut until_ns = choice.until_ns;
    let mut runs = 1;
    let mut attempt = |keep: &[usize], until_ns: Option<i64>| {
        runs += 1;
        let choice = Choice {
            seed: choice.seed,
            keep: Some(keep.to_vec()),
            until_ns,
        };
        let outcome = run(&choice)?;
        let complaint = outcome.complaint.clone();
        Ok::<_, WorldError>((outcome, complaint, runs <= RUNS_MAX))
    };
    // First the time: nothing behind the complaint can have led to it.
    // In whole milliseconds, as the command line has it.
    let end_ns = complaint.at_ns.min(outcome.active_ns) / MS * MS + MS;
    if let (shorter, Some(why), _) = attempt(&keep, Some(end_ns))? {
        (outcome, complaint, until_ns) = (shorter, why, Some(end_ns));
    }
    let mut size = keep.len().div_ceil(2).max(1);
    'all: loop {
        let mut start = 0;
        let mut smaller = false;
        while start < keep.len() {
            let end = (start + size).min(keep.len());
            let mut rest = keep.clone();
            rest.drain(start..end);
            let (shorter, why, may_go_on) = attempt(&rest, until_ns)?;
            if let Some(why) = why {
                (outcome, complaint, keep, smaller) = (shorter, why, rest, true);
            } else {
                start = end;
            }
            if !may_go_on {
                break 'all;
            }
        }
        if size > 1 {
            size = size.div_ceil(2);
        } else if !smaller {
            break;
        }
    }
    let choice = Choice {
        seed: choice.seed,
        keep: Some(keep),
        until_ns,
    };
    Ok(Some(Shrunk {
        choice,
        outcome,
        complaint,
        runs,
    }))
}

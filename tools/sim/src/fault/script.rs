//! Faults by the clock, as text for a command line: `"2s binance-spot gap BTCUSDT; 5s bybit-linear
//! cut"`.

use std::fmt;
use std::str::FromStr;

use super::Fault;
use super::units::{Span, parse_span};
use crate::error::SimError;
use crate::spec::SimVenue;

/// Entries of a script: what a person or a generator writes, not a flood.
const ENTRIES_MAX: usize = 100_000;

/// One fault and its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Time from the script's start.
    pub at_ns: i64,
    /// At which venue.
    pub venue: SimVenue,
    /// What.
    pub fault: Fault,
}

/// A list of faults with their times. Its text form: entries separated by `;` or line ends, each
/// `<offset> <venue> <fault>`; what follows a `#` is a comment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FaultScript {
    entries: Vec<Planned>,
}

impl FaultScript {
    /// An empty script.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a fault at this time from the start. Entries of the same time act in the order in which
    /// they were added.
    #[must_use]
    pub fn at(mut self, at_ns: i64, venue: SimVenue, fault: Fault) -> Self {
        let place = self.entries.partition_point(|one| one.at_ns <= at_ns);
        self.entries.insert(
            place,
            Planned {
                at_ns,
                venue,
                fault,
            },
        );
        self
    }

    /// The faults, by time.
    #[must_use]
    pub fn entries(&self) -> &[Planned] {
        &self.entries
    }
}

impl fmt::Display for FaultScript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, one) in self.entries.iter().enumerate() {
            let separator = if index > 0 { "; " } else { "" };
            let (at, venue) = (Span(one.at_ns), one.venue.slug());
            write!(f, "{separator}{at} {venue} {}", one.fault)?;
        }
        Ok(())
    }
}

impl FromStr for FaultScript {
    type Err = SimError;

    fn from_str(text: &str) -> Result<Self, SimError> {
        let mut entries = Vec::new();
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default();
            for entry in line.split(';').map(str::trim).filter(|e| !e.is_empty()) {
                let planned = entry_of(entry).and_then(|planned| {
                    let fits = entries.len() < ENTRIES_MAX;
                    fits.then_some(planned)
                        .ok_or_else(|| format!("more than {ENTRIES_MAX} entries"))
                });
                entries.push(planned.map_err(|what| SimError::Script {
                    entry: entry.to_owned(),
                    what,
                })?);
            }
        }
        entries.sort_by_key(|one| one.at_ns);
        Ok(Self { entries })
    }
}

fn entry_of(entry: &str) -> Result<Planned, String> {
    let mut parts = entry.splitn(2, char::is_whitespace);
    let at_ns = parse_span(parts.next().unwrap_or_default())?;
    if at_ns < 0 {
        return Err("its time must not be negative".to_owned());
    }
    let rest = parts.next().unwrap_or_default().trim();
    let (venue, fault) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let found = SimVenue::ALL.into_iter().find(|one| one.slug() == venue);
    let venue = found.ok_or_else(|| {
        let known = SimVenue::ALL.map(SimVenue::slug).join(", ");
        format!("unknown venue {venue:?}; known are {known}")
    })?;
    Ok(Planned {
        at_ns,
        venue,
        fault: fault.parse()?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::{FaultKind, Target};
    use super::*;

    #[test]
    fn issue_example_parses() {
        let script: FaultScript = "2s binance-spot gap BTCUSDT; 5s bybit-linear cut"
            .parse()
            .unwrap();
        let target = Target::Symbol("BTCUSDT".to_owned());
        assert_eq!(
            script.entries()[0],
            Planned {
                at_ns: 2_000_000_000,
                venue: SimVenue::BinanceSpot,
                fault: Fault::Gap { target },
            }
        );
        assert_eq!(script.entries()[1].fault.kind(), FaultKind::Drop);
    }

    #[test]
    fn every_kind_survives_its_text() {
        let faults = [
            "cut btcusdt@trade",
            "stall any for=3s",
            "half-open oldest",
            "gap ETHUSDT",
            "duplicate orderbook.50.BTCUSDT",
            "reorder any",
            "trickle newest bytes=7 every=1500us for=2m wire",
            "cut-mid-frame all keep=1 reset wire",
            "refuse-upgrade 503 retry=5 times=3",
            "certificate expired for=250ms",
            "old-snapshot BTCUSDT times=2",
            "rest 418 retry=120 times=1",
            "corrupt any utf8",
            "oversized any bytes=16MiB",
            "huge-header all",
            "crossed BTCUSDT",
            "skew -90s for=10s",
            "restart",
            "service-reset",
            "kill for=1s reset",
            "server-shutdown newest for=3s",
            "miss orderbook.50.BTCUSDT",
            "ack-lost times=2",
            "fill-first by=20ms times=1",
            "duplicate-fill times=1",
            "cancel-race times=1",
            "accepted-5xx 502 times=1",
            "slow-ack for=2s times=1",
            "cut-private",
            "mute oldest",
            "deaf-test all for=1s",
            "no-credits times=2",
            "ping-refused newest",
        ];
        assert_eq!(faults.len(), FaultKind::ALL.len());
        for (text, kind) in faults.into_iter().zip(FaultKind::ALL) {
            let fault: Fault = text.parse().unwrap();
            assert_eq!(fault.kind(), *kind, "{text}");
            let again: Fault = fault.to_string().parse().unwrap();
            assert_eq!(again, fault, "{text} became {fault}");
        }
        let text = "0s bybit-spot kill # now\n1ms binance-inverse skew 2h; 3m binance-linear gap";
        let script: FaultScript = text.parse().unwrap();
        assert_eq!(script.to_string().parse::<FaultScript>().unwrap(), script);
    }

    #[test]
    fn entries_are_sorted_by_time_and_errors_name_the_entry() {
        let script: FaultScript = "5s bybit-spot cut; 1s bybit-spot restart".parse().unwrap();
        assert_eq!(script.entries()[0].fault, Fault::Restart);
        for bad in [
            "gap",
            "2 binance-spot gap",
            "2s nasdaq gap",
            "2s binance-spot",
            "2s binance-spot fly",
            "2s binance-spot gap x=1",
            "2s binance-spot gap A B",
            "-2s binance-spot gap",
            "2s binance-spot refuse-upgrade",
            "2s binance-spot refuse-upgrade 200",
            "2s binance-spot stall any for=-1s",
            "2s binance-spot skew",
            "9999999999999h binance-spot gap",
            "2s binance-spot cut nobody",
            "2é binance-spot gap",
        ] {
            let text = format!("1s bybit-spot cut; {bad}");
            match text.parse::<FaultScript>() {
                Err(SimError::Script { entry, .. }) => assert_eq!(entry, bad),
                other => panic!("{bad}: {other:?}"),
            }
        }
    }
}

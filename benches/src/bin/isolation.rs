//! What a healthy link feels while something goes wrong beside it; see BENCHMARKING.md.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use tickwire_benches::isolation::{Options, Scenario};

const USAGE: &str = "isolation --scenario storm [--seconds N] [--seed N] [--smoke] [--json]";

/// Seconds a phase, where none are named.
const SECONDS: u64 = 30;

/// Seconds a phase in CI: enough for each promise to be kept or broken.
const SECONDS_SMOKE: u64 = 3;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr().lock(), "isolation: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let (mut scenario, mut json) = (None, false);
    let mut options = Options {
        phase: Duration::from_secs(SECONDS),
        seed: 7,
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} wants a value; {USAGE}"));
        match arg.as_str() {
            "--scenario" => scenario = Some(value()?.parse::<Scenario>()?),
            "--seconds" => options.phase = Duration::from_secs(value()?.parse()?),
            "--seed" => options.seed = value()?.parse()?,
            "--smoke" => options.phase = Duration::from_secs(SECONDS_SMOKE),
            "--json" => json = true,
            other => return Err(format!("unknown option {other:?}; {USAGE}").into()),
        }
    }
    let scenario = scenario.ok_or(USAGE)?;
    let report = scenario.run(&options)?;
    let mut out = io::stdout().lock();
    if json {
        writeln!(out, "{}", report.to_json())?;
    } else {
        write!(out, "{report}")?;
    }
    Ok(())
}

//! What a message costs as more is asked for; see BENCHMARKING.md.

use std::io::{self, Write};
use std::process::ExitCode;

use tickwire_benches::growth::{Failure, Options, run};

const USAGE: &str = "growth [--messages N] [--smoke] [--json]";

fn main() -> ExitCode {
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr().lock(), "growth: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start() -> Result<(), Failure> {
    let mut json = false;
    let mut options = Options {
        messages_max: 100_000_000,
        rounds: 9,
        messages: 20_000,
        instruments_max: 5_000,
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} wants a value; {USAGE}"));
        match arg.as_str() {
            "--messages" => options.messages_max = value()?.parse()?,
            "--smoke" => {
                options = Options {
                    messages_max: 100_000,
                    rounds: 2,
                    messages: 2_000,
                    instruments_max: 100,
                }
            }
            "--json" => json = true,
            other => return Err(format!("unknown option {other:?}; {USAGE}").into()),
        }
    }
    let report = run(&options)?;
    let mut out = io::stdout().lock();
    if json {
        writeln!(out, "{:#}", report.to_json())?;
    } else {
        write!(out, "{report}")?;
    }
    Ok(())
}

//! From a strategy's command to the bytes on the venue's socket; see BENCHMARKING.md.

use std::io::{self, Write};
use std::process::ExitCode;

use tickwire::testing::alloc::CountingAllocator;
use tickwire_benches::order::{Failure, Options, run};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const USAGE: &str = "order [--orders N] [--seed N] [--only TEXT] [--smoke] [--json]";

/// Orders each way, where no number is named.
const ORDERS: u64 = 20_000;

/// In CI: enough for each way to be gone.
const ORDERS_SMOKE: u64 = 200;

fn main() -> ExitCode {
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr().lock(), "order: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start() -> Result<(), Failure> {
    let mut json = false;
    let mut options = Options {
        orders: ORDERS,
        seed: 7,
        only: None,
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} wants a value; {USAGE}"));
        match arg.as_str() {
            "--orders" => options.orders = value()?.parse()?,
            "--seed" => options.seed = value()?.parse()?,
            "--only" => options.only = Some(value()?),
            "--smoke" => options.orders = ORDERS_SMOKE,
            "--json" => json = true,
            other => return Err(format!("unknown option {other:?}; {USAGE}").into()),
        }
    }
    let report = run(&options)?;
    let mut out = io::stdout().lock();
    if json {
        writeln!(out, "{}", report.to_json())?;
    } else {
        write!(out, "{report}")?;
    }
    Ok(())
}

//! `tickwire doctor` and `tickwire latency` as programs, on the machine that runs the tests.

mod doctor;
mod latency;

use std::process::{Command, Output};

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn tickwire(args: &[&str]) -> std::io::Result<Output> {
    Command::new(env!("CARGO_BIN_EXE_tickwire"))
        .args(args)
        .output()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

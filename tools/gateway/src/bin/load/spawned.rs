//! `tickwire gateway` in a process of its own, for one phase.

use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

use super::client::Door;

pub(crate) struct Spawned {
    child: Child,
    out: BufReader<ChildStdout>,
    pub(crate) door: Door,
}

impl Drop for Spawned {
    fn drop(&mut self) {
        // Gone already, where all went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Spawned {
    /// Starts one that ends by itself after so many seconds.
    pub(crate) fn start(seconds: u64, rate: u32, seed: u64) -> Result<Spawned, Box<dyn Error>> {
        let command = std::env::current_exe()?.with_file_name("tickwire");
        let words = |error| {
            format!(
                "{}: {error}; build it first: cargo build --release -p tickwire-tools",
                command.display()
            )
        };
        let mut child = Command::new(&command)
            .args(["gateway", "--json", "--port", "0", "--connections", "2000"])
            .args(["--seconds", &seconds.to_string()])
            .args(["--rate", &rate.to_string()])
            .args(["--seed", &seed.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .map_err(words)?;
        let out = child.stdout.take().ok_or("no output")?;
        let mut out = BufReader::new(out);
        let printed = line(&mut out)?;
        let door = Door {
            address: printed["address"].as_str().unwrap_or_default().parse()?,
            token: printed["token"].as_str().unwrap_or_default().to_owned(),
        };
        Ok(Spawned { child, out, door })
    }

    /// Kilobytes of memory that it holds, and held at most; none where the system does not say it.
    pub(crate) fn memory_kb(&self) -> Option<(u64, u64)> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let field = |name: &str| -> Option<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().trim_end_matches(" kB").parse().ok()
        };
        Some((field("VmRSS:")?, field("VmHWM:")?))
    }

    /// Waits for its end; gives how long the turns of the engine's loop took.
    pub(crate) fn end(mut self) -> Result<Value, Box<dyn Error>> {
        let turns = line(&mut self.out)?;
        let status = self.child.wait()?;
        if !status.success() {
            return Err(format!("the gateway ended with {status}").into());
        }
        Ok(turns)
    }
}

fn line(out: &mut impl BufRead) -> Result<Value, Box<dyn Error>> {
    let mut line = String::new();
    out.read_line(&mut line)?;
    Ok(serde_json::from_str(&line).map_err(|_| "the gateway has not said what it should")?)
}

//! `tickwire doctor`

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use super::Failure;
use crate::doctor::{self, Host};
use crate::report::{crowd, machine};

/// Look at this machine as a latency engineer would, say what to change and what that would bring, and
/// measure what is taken from a thread that spins on the loop's core.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The core meant for the loop; by default the last isolated one, or the last
    #[arg(long, value_name = "N")]
    core: Option<usize>,
    /// How long to measure the noise; 0 for not at all
    #[arg(long, value_name = "S", default_value_t = 5, value_parser = clap::value_parser!(u64).range(0..=3600))]
    seconds: u64,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Where the machine's files begin: a copy of another machine's, or a test's
    #[arg(long, value_name = "FOLDER", default_value = "/", hide = true)]
    root: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let host = Host::at(&args.root);
    let may_use = |core| tickwire::check_core(core).is_ok();
    let core = args
        .core
        .or_else(|| doctor::choose_core(&host, tickwire::last_core(), may_use));
    let core = core.ok_or_else(|| Failure::Failed("the system names no core".into()))?;
    // The files are Linux's: elsewhere each check would be unknown, and only the noise can be told.
    let checks = match cfg!(target_os = "linux") {
        true => doctor::examine(&host, core),
        false => Vec::new(),
    };
    let crowd = crowd();
    let noise = match args.seconds {
        0 => None,
        seconds => Some(doctor::measure(core, Duration::from_secs(seconds))?),
    };
    let machine = machine();
    let mut out = io::stdout().lock();
    if args.json {
        let object = doctor::to_json(&machine, core, &checks, noise.as_ref());
        writeln!(out, "{object}")?;
    } else {
        if !cfg!(target_os = "linux") {
            writeln!(out, "the checks read /proc and /sys: on Linux only")?;
        }
        write!(
            out,
            "{}",
            doctor::human(&machine, core, &checks, noise.as_ref())
        )?;
        if let (Some(crowd), Some(_)) = (crowd, &noise) {
            writeln!(out, "{crowd}")?;
        }
    }
    out.flush()?;
    Ok(())
}

//! `EngineBuilder::lock_memory`, in a process of its own: the limit and the lock are the process's.
#![cfg(target_os = "linux")]

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
use tickwire::{BinanceConfig, BuildError, Engine, EngineBuilder, LockError, PollMode};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// An engine whose venue is nowhere.
fn engine() -> EngineBuilder {
    let nowhere = ("wss://127.0.0.1:9", "https://127.0.0.1:9");
    Engine::builder()
        .venue(BinanceConfig::spot().at(nowhere))
        .poll(PollMode::PARK)
}

/// Whether the calling thread may lock whatever the limit.
fn set_privileged(on: bool) -> std::io::Result<()> {
    let mut sets = capabilities(None)?;
    sets.effective.set(CapabilitySet::IPC_LOCK, on);
    Ok(set_capabilities(None, sets)?)
}

fn locked_kib() -> Result<u64, Box<dyn std::error::Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmLck:"))
        .ok_or("no VmLck")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// One test, as it takes one thing after the other from the whole process.
#[test]
#[expect(clippy::print_stderr, reason = "says what it could not test")]
fn memory_is_locked_or_the_engine_says_why_not() -> Outcome {
    const LIMIT_BYTES: u64 = 64 << 10;
    let may_lock = capabilities(None)?
        .permitted
        .contains(CapabilitySet::IPC_LOCK);
    set_privileged(false)?;
    let had = getrlimit(Resource::Memlock);
    let small = Rlimit {
        current: Some(LIMIT_BYTES),
        ..had
    };
    setrlimit(Resource::Memlock, small)?;
    let refused = engine().lock_memory(true).spawn().err();
    let Some(error @ BuildError::LockMemory(LockError::Limit { limit_bytes })) = &refused else {
        return Err(format!("{refused:?} instead of a refusal").into());
    };
    assert_eq!(*limit_bytes, LIMIT_BYTES);
    assert!(error.to_string().contains("ulimit -l"), "{error}");
    assert_eq!(locked_kib()?, 0, "a refusal has locked nothing");

    engine().spawn()?.stop()?;
    assert_eq!(locked_kib()?, 0, "nothing is locked unasked");

    setrlimit(Resource::Memlock, had)?;
    if may_lock {
        set_privileged(true)?;
    } else if had.current.is_some() {
        eprintln!("this user may not lock memory: the refusal alone was tested");
        return Ok(());
    }
    let handle = engine().lock_memory(true).spawn()?;
    assert!(locked_kib()? > 1_024, "code, heap and stacks");
    handle.stop()?;
    Ok(())
}

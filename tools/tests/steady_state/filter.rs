//! The seccomp filter, and the processes that live and die under it.

use std::collections::BTreeMap;
use std::error::Error;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output, exit};

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use crate::world::{Steady, World};
use crate::{Outcome, alone, messages};

/// What the loop may ask of the system in steady state, and besides to acknowledge what came.
const ALLOWED: &[libc::c_long] = &[
    // Poll. glibc and mio use one or the other by architecture.
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
    libc::SYS_epoll_pwait,
    // Recv: `read` of a stream is recv(2), which is recvfrom.
    libc::SYS_recvfrom,
    libc::SYS_read,
    // Send.
    libc::SYS_sendto,
    libc::SYS_write,
    // The clock is read without a system call (vDSO) where its source is the TSC. Virtual machines
    // with another source come here instead; that costs time and breaks nothing.
    libc::SYS_clock_gettime,
];

fn program() -> Result<BpfProgram, Box<dyn Error>> {
    let mut rules: BTreeMap<i64, _> = ALLOWED.iter().map(|number| (*number, Vec::new())).collect();
    // An acknowledgement behind the messages (`Acks::WhenIdle`), and no other option.
    let argument = |index, value: libc::c_int| {
        SeccompCondition::new(
            index,
            SeccompCmpArgLen::Dword,
            SeccompCmpOp::Eq,
            value as u64,
        )
    };
    let is_ack = vec![
        argument(1, libc::IPPROTO_TCP)?,
        argument(2, libc::TCP_QUICKACK)?,
    ];
    rules.insert(libc::SYS_setsockopt, vec![SeccompRule::new(is_ack)?]);
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::KillProcess,
        SeccompAction::Allow,
        arch,
    )?;
    Ok(filter.try_into()?)
}

/// Which child this process is to be.
const CHILD: &str = "TICKWIRE_STEADY_CHILD";

/// rustls allocates for each record, and where it needs a little more than ever before, glibc's malloc
/// extends the thread's arena by some pages with mprotect. Ours never gets there (the other test), so
/// the arena takes 32 MB at its start and gives nothing back, and the filter stays as strict as the
/// rule.
const TUNABLES: &str = "glibc.malloc.top_pad=33554432:glibc.malloc.trim_threshold=1073741824";

/// Runs `child` as a process of its own.
fn run_child(kind: &str) -> Result<Output, Box<dyn Error>> {
    let output = Command::new(std::env::current_exe()?)
        .args(["--exact", "filter::child", "--nocapture"])
        .env(CHILD, kind)
        .env("GLIBC_TUNABLES", TUNABLES)
        .output()?;
    Ok(output)
}

#[test]
fn the_loop_only_polls_receives_sends_and_acknowledges() -> Outcome {
    let _alone = alone();
    let output = run_child("run")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let figures = text.lines().find(|line| line.starts_with("filtered:"));
    assert!(
        output.status.success() && figures.is_some(),
        "the loop did not live through it: {:?} (signal 31 is the filter; `strace -f` or the audit \
         log names the call)\n{text}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    crate::report(figures.unwrap_or_default());
    Ok(())
}

#[test]
fn the_filter_kills_at_any_other_call() -> Outcome {
    let _alone = alone();
    let output = run_child("trespass")?;
    assert_eq!(
        output.status.signal(),
        Some(libc::SIGSYS),
        "{output:?} should have been killed by the filter"
    );
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("steady"), "died before its time: {text}");
    Ok(())
}

/// Does nothing by itself: the tests above run it as a process of its own.
#[test]
fn child() -> Outcome {
    let Ok(kind) = std::env::var(CHILD) else {
        return Ok(());
    };
    let (program, trespasses) = (program()?, kind == "trespass");
    let action = move || {
        if let Err(error) = seccompiler::apply_filter(&program) {
            panic!("the filter was refused: {error}");
        }
        if trespasses {
            // A system call like one that slips into a hot path.
            let _ = std::fs::metadata("/");
        }
    };
    let world = World::start(Steady::Do(Box::new(action)))?;
    say("steady soon");
    world.wait_until_steady()?;
    let mode = seccomp_mode("tickwire-loop")?;
    let (start, began) = (world.progress(), world.now());
    world.wait_for(start.messages + messages()?)?;
    let (end, ended) = (world.progress(), world.now());
    world.check_steady(&start, &end)?;
    if mode != "2" {
        return Err(
            format!("the loop's thread is in seccomp mode {mode:?}, not 2 (filter)").into(),
        );
    }
    say(&format!(
        "filtered: {} messages, {} events in {:.1} s with nothing but poll, recv, send and acknowledgements",
        end.messages - start.messages,
        end.inline_events - start.inline_events,
        (ended - began).0 as f64 / 1e9,
    ));
    // The loop still runs, and would be killed by what it takes to stop it.
    exit(0);
}

#[expect(clippy::print_stdout, reason = "how a child reports to its parent")]
fn say(line: &str) {
    println!("{line}");
}

/// What the kernel says of a thread of this process.
fn seccomp_mode(thread: &str) -> Result<String, Box<dyn Error>> {
    for task in std::fs::read_dir("/proc/self/task")? {
        let task = task?.path();
        if std::fs::read_to_string(task.join("comm"))?.trim() != thread {
            continue;
        }
        let status = std::fs::read_to_string(task.join("status"))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("Seccomp:"));
        return Ok(line
            .ok_or("no Seccomp line in the status")?
            .trim()
            .to_owned());
    }
    Err(format!("no thread {thread}").into())
}

//! What the rest of the system takes, and allows.

use crate::doctor::{Check, Host, Limit};

/// More of the core's time than this taken by the hypervisor is seen in p99.9.
const STEAL_SHARE_MAX: f64 = 0.001;

/// Descriptors that are enough for a thousand clients of the gateway, and as many links.
const OPEN_FILES_GOOD: u64 = 4_096;
/// Fewer than some venues' links, their pools, and what a program has besides.
const OPEN_FILES_BAD: u64 = 256;

pub(super) fn virtual_machine(host: &Host, core: usize) -> Check {
    const NAME: &str = "virtual machine";
    let Some(flags) = host.processor_flags() else {
        return Check::unknown(NAME, "/proc/cpuinfo names no flags");
    };
    if !flags.iter().any(|flag| flag == "hypervisor") {
        return Check::good(NAME, "none: bare metal");
    }
    let brings = "no exits to a hypervisor (1 to 10 µs at timers and interrupts), no neighbours that take the core \
                  for milliseconds";
    match steal_share(host, core) {
        Some(share) if share > STEAL_SHARE_MAX => {
            let found = format!(
                "one; {:.2} % of core {core}'s time was stolen since boot",
                100.0 * share
            );
            Check::bad(NAME, found)
                .change("bare metal, or an instance with cores of its own", brings)
        }
        Some(share) => {
            let found = format!(
                "one; {:.3} % of core {core}'s time was stolen since boot",
                100.0 * share
            );
            Check::fair(NAME, found).change("bare metal, where the last microseconds count", brings)
        }
        None => Check::fair(NAME, "one; its stolen time can't be seen")
            .change("bare metal, where the last microseconds count", brings),
    }
}

/// The share of a core's time that the hypervisor gave to others (`/proc/stat`, man proc_stat).
fn steal_share(host: &Host, core: usize) -> Option<f64> {
    let stat = host.text("/proc/stat")?;
    let prefix = format!("cpu{core} ");
    let line = stat.lines().find_map(|line| line.strip_prefix(&prefix))?;
    let times: Vec<f64> = line
        .split_whitespace()
        .map_while(|word| word.parse().ok())
        .collect();
    // user nice system idle iowait irq softirq steal; guest times are in user and nice already.
    let all: f64 = times.iter().take(8).sum();
    (all > 0.0).then(|| times.get(7).copied().unwrap_or(0.0) / all)
}

pub(super) fn mitigations(host: &Host) -> Check {
    const NAME: &str = "mitigations";
    const FOLDER: &str = "/sys/devices/system/cpu/vulnerabilities";
    let known = host.names(FOLDER);
    if known.is_empty() {
        return Check::unknown(NAME, format!("{FOLDER} can't be read"));
    }
    let active: Vec<&str> = known
        .iter()
        .filter(|name| {
            let text = host.text(&format!("{FOLDER}/{name}"));
            text.is_some_and(|text| text.starts_with("Mitigation"))
        })
        .map(String::as_str)
        .collect();
    if active.is_empty() {
        return Check::good(NAME, "none active");
    }
    Check::fair(NAME, format!("active: {}", active.join(", "))).change(
        "kernel parameter mitigations=off, only on a machine that runs nothing but your own code",
        "each entry to the kernel gets cheaper: 0.05 to 0.5 µs a system call by processor; the loop makes one to \
         three a message",
    )
}

pub(super) fn realtime(host: &Host) -> Check {
    const NAME: &str = "real-time limit";
    let Some(limit_us) = host.number("/proc/sys/kernel/sched_rt_runtime_us") else {
        return Check::unknown(NAME, "kernel.sched_rt_runtime_us can't be read");
    };
    // Field 41 of stat, counted behind the name, which may have spaces (man proc_pid_stat).
    let stat = host.text("/proc/self/stat").unwrap_or_default();
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let policy = rest.split_whitespace().nth(38);
    let is_realtime = matches!(policy, Some("1" | "2"));
    match (limit_us, is_realtime) {
        (-1, _) => Check::good(NAME, "none"),
        (_, false) => Check::good(NAME, format!("{limit_us} µs a second; this process is not real-time")),
        _ => Check::bad(NAME, format!("{limit_us} µs a second, and this process is real-time")).change(
            "sysctl -w kernel.sched_rt_runtime_us=-1, or no chrt: an isolated core needs no real-time class",
            "a real-time thread that spins is stopped for the rest of each second: 50 ms by default",
        ),
    }
}

pub(super) fn open_files(host: &Host) -> Check {
    const NAME: &str = "open files";
    let Some(limit) = host.limit("Max open files") else {
        return Check::unknown(NAME, "/proc/self/limits can't be read");
    };
    let found = match limit {
        Limit::Unlimited => "ulimit -n unlimited".to_owned(),
        Limit::At(count) => format!("ulimit -n {count}"),
    };
    let check = match limit {
        Limit::At(..OPEN_FILES_BAD) => Check::bad(NAME, found),
        Limit::At(..OPEN_FILES_GOOD) => Check::fair(NAME, found),
        _ => return Check::good(NAME, found),
    };
    check.change(
        "ulimit -n 65536   (LimitNOFILE=65536 in the unit)",
        "no latency: a link or a gateway client beyond the limit is refused",
    )
}

pub(super) fn perf(host: &Host) -> Check {
    const NAME: &str = "perf";
    match host.number("/proc/sys/kernel/perf_event_paranoid") {
        None => Check::unknown(NAME, "kernel.perf_event_paranoid can't be read"),
        Some(level) if level <= 2 => {
            Check::good(NAME, format!("may be used (perf_event_paranoid {level})"))
        }
        Some(level) => Check::fair(NAME, format!("refused (perf_event_paranoid {level})")).change(
            "sysctl -w kernel.perf_event_paranoid=1 while you look",
            "no latency: perf, to see where time goes",
        ),
    }
}

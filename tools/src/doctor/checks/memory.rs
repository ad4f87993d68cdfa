//! Whether memory is there when it is touched, and near.

use crate::doctor::host::CAP_IPC_LOCK;
use crate::doctor::{Check, Host, Limit};

pub(super) fn locked(host: &Host) -> Check {
    const NAME: &str = "locked memory";
    let Some(limit) = host.limit("Max locked memory") else {
        return Check::unknown(NAME, "/proc/self/limits can't be read");
    };
    const USE: &str = "Engine::builder().lock_memory(true) may be used";
    match (limit, host.has_capability(CAP_IPC_LOCK)) {
        (Limit::Unlimited, _) => Check::good(NAME, format!("ulimit -l unlimited: {USE}")),
        (_, Some(true)) => Check::good(NAME, format!("CAP_IPC_LOCK: {USE}")),
        (Limit::At(bytes), _) => {
            Check::fair(NAME, format!("ulimit -l {} KiB", bytes / 1024)).change(
                "LimitMEMLOCK=infinity in the unit, or \"- memlock unlimited\" in /etc/security/limits.conf; then \
                 Engine::builder().lock_memory(true)",
                "no page fault after the start: 0.1 to 1 µs for each page touched first, 100 µs and more for one \
                 that was swapped out or dropped; seldom",
            )
        }
    }
}

pub(super) fn swap(host: &Host) -> Check {
    const NAME: &str = "swap";
    let Some(swaps) = host.text("/proc/swaps") else {
        return Check::unknown(NAME, "/proc/swaps can't be read");
    };
    let areas = swaps.lines().skip(1).filter(|line| !line.trim().is_empty());
    match areas.count() {
        0 => Check::good(NAME, "none"),
        count => Check::fair(NAME, format!("{count} in use")).change(
            "swapoff -a   (or Engine::builder().lock_memory(true))",
            "a page that has to be read back: 100 µs from flash, 10 ms from a disk; seldom, at the worst times",
        ),
    }
}

/// The word in brackets: what is chosen.
fn chosen(text: &str) -> Option<&str> {
    Some(text.split_once('[')?.1.split_once(']')?.0)
}

pub(super) fn huge_pages(host: &Host) -> Check {
    const NAME: &str = "transparent huge pages";
    const FOLDER: &str = "/sys/kernel/mm/transparent_hugepage";
    let read = |file| host.text(&format!("{FOLDER}/{file}"));
    let (enabled, defrag) = (read("enabled"), read("defrag"));
    let Some(enabled) = enabled.as_deref().and_then(chosen) else {
        return Check::unknown(NAME, format!("{FOLDER}/enabled can't be read"));
    };
    let defrag = defrag.as_deref().and_then(chosen).unwrap_or("unknown");
    let found = format!("{enabled}, defrag {defrag}");
    let change = format!("echo madvise > {FOLDER}/enabled; echo defer+madvise > {FOLDER}/defrag");
    let brings = "no compaction within a page fault, and no khugepaged that moves pages under a running thread: up \
                  to milliseconds, seldom; large heaps lose some TLB hits by it";
    match (enabled, defrag) {
        ("madvise" | "never", _) => Check::good(NAME, found),
        (_, "always") => Check::bad(NAME, found).change(change, brings),
        _ => Check::fair(NAME, found).change(change, brings),
    }
}

pub(super) fn numa(host: &Host, core: usize) -> Check {
    const NAME: &str = "NUMA";
    const FOLDER: &str = "/sys/devices/system/node";
    let Some(nodes) = host.cores(&format!("{FOLDER}/online")) else {
        return Check::unknown(NAME, "the kernel shows no nodes");
    };
    if nodes.len() < 2 {
        return Check::good(NAME, "one node");
    }
    let node = nodes.iter().find(|node| {
        let cores = host.cores(&format!("{FOLDER}/node{node}/cpulist"));
        cores.is_some_and(|cores| cores.contains(&core))
    });
    let Some(&node) = node else {
        return Check::unknown(
            NAME,
            format!("{} nodes; core {core} is on none", nodes.len()),
        );
    };
    let far: Vec<String> = host
        .cards()
        .into_iter()
        .filter_map(|card| {
            // -1 where it is near to none.
            let at = host.number(&format!("/sys/class/net/{card}/device/numa_node"))?;
            (at >= 0 && at != node as i64).then(|| format!("{card} (node {at})"))
        })
        .collect();
    if far.is_empty() {
        let found = format!(
            "{} nodes; core {core} is on {node}, cards are not elsewhere",
            nodes.len()
        );
        return Check::good(NAME, found);
    }
    let found = format!(
        "core {core} is on node {node}, away from {}",
        far.join(", ")
    );
    Check::fair(NAME, found).change(
        "a core of the card's node, memory of it too: numactl --cpunodebind=N --membind=N",
        "some 50 to 100 ns for each cache line that comes from the other node: about 1 µs a packet",
    )
}

pub(super) fn numa_balancing(host: &Host) -> Check {
    const NAME: &str = "NUMA balancing";
    match host.number("/proc/sys/kernel/numa_balancing") {
        None => Check::good(NAME, "not in this kernel"),
        Some(0) => Check::good(NAME, "off"),
        Some(_) => Check::fair(NAME, "on").change(
            "sysctl -w kernel.numa_balancing=0   (kernel parameter numa_balancing=disable)",
            "pages are no longer made to fault in order to learn who uses them: 1 to 10 µs each, in waves of \
             seconds",
        ),
    }
}

//! What it costs to read the time: the loop does it each turn.

use crate::doctor::{Check, Host};

const CURRENT: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";

pub(super) fn source(host: &Host) -> Check {
    const NAME: &str = "clock source";
    let Some(current) = host.text(CURRENT) else {
        return Check::unknown(NAME, format!("{CURRENT} can't be read"));
    };
    let change = format!("echo tsc > {CURRENT}   (kernel parameters clocksource=tsc tsc=reliable)");
    match current.as_str() {
        "tsc" | "arch_sys_counter" => Check::good(NAME, current),
        // Both are read without a system call, by the TSC and a page that the hypervisor keeps.
        "kvm-clock" | "hyperv_clocksource_tsc_page" => Check::fair(NAME, current).change(
            change,
            "10 to 30 ns a read, where the hypervisor promises a steady TSC",
        ),
        _ => Check::bad(NAME, format!("{current}: a system call for each read")).change(
            change,
            "0.2 to 2 µs a read, and a system call each turn of the loop: without it, p50 of everything falls",
        ),
    }
}

pub(super) fn counter(host: &Host) -> Check {
    const NAME: &str = "steady TSC";
    let Some(flags) = host.processor_flags() else {
        return Check::unknown(NAME, "/proc/cpuinfo names no flags: no x86?");
    };
    let missing: Vec<&str> = ["constant_tsc", "nonstop_tsc"]
        .into_iter()
        .filter(|flag| !flags.iter().any(|it| it == flag))
        .collect();
    if missing.is_empty() {
        return Check::good(NAME, "constant_tsc, nonstop_tsc");
    }
    Check::bad(NAME, format!("without {}", missing.join(" and "))).change(
        "other hardware, or a hypervisor that passes them on (cpu host-passthrough)",
        "a TSC that follows the frequency or stops in sleep is no clock: the kernel falls back to slow ones",
    )
}

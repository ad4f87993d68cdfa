//! Whether the core is the loop's alone, and awake.

use crate::doctor::host::{self, Cores};
use crate::doctor::{Check, Host};

/// An idle state that is left faster than this costs less than the interrupt that ends it.
const SHALLOW_US: i64 = 2;

/// With fewer, isolation takes from the system what the loop needs of it: loop, strategy, interrupts, the rest.
const CORES_MIN: usize = 4;

pub(super) fn isolated(host: &Host, core: usize) -> Check {
    const NAME: &str = "isolated core";
    let Some(isolated) = host.isolated() else {
        return Check::unknown(NAME, "the kernel does not say which cores are isolated");
    };
    if isolated.contains(&core) {
        return Check::good(NAME, format!("isolated: {}", host::list(&isolated)));
    }
    let found = match isolated.is_empty() {
        true => "no core is isolated".to_owned(),
        false => format!("isolated: {}; not core {core}", host::list(&isolated)),
    };
    let cores = host.online().map_or(CORES_MIN, |online| online.len());
    let parameters = format!(
        "kernel parameters isolcpus=managed_irq,domain,{core} nohz_full={core} rcu_nocbs={core}"
    );
    let change = match cores < CORES_MIN {
        true => {
            format!("a machine of {CORES_MIN} cores or more (this has {cores}), then {parameters}")
        }
        false => parameters,
    };
    Check::bad(NAME, found).change(
        change,
        "no other thread is put on the core: a switch is 2 to 10 µs with the caches it leaves cold, another \
         thread's time slice 1 to 4 ms; p99.9 and max, hardly p50",
    )
}

pub(super) fn tick(host: &Host, core: usize) -> Check {
    const NAME: &str = "timer tick";
    match host.tickless() {
        Some(cores) if cores.contains(&core) => {
            Check::good(NAME, format!("none on {} (nohz_full)", host::list(&cores)))
        }
        _ if host.text("/proc/cmdline").is_none() => {
            Check::unknown(NAME, "/proc/cmdline can't be read")
        }
        _ => Check::fair(NAME, format!("core {core} is interrupted by it")).change(
            format!("kernel parameter nohz_full={core}"),
            "100 to 1,000 interruptions a second fewer, of 1 to 5 µs each (kernel: timers/no_hz.rst)",
        ),
    }
}

pub(super) fn rcu(host: &Host, core: usize) -> Check {
    const NAME: &str = "RCU callbacks";
    if host.text("/proc/cmdline").is_none() {
        return Check::unknown(NAME, "/proc/cmdline can't be read");
    }
    // A core of nohz_full is one of rcu_nocbs, too (kernel: admin-guide/kernel-parameters).
    let tickless = host.tickless().unwrap_or_default();
    let given = host.kernel_parameter("rcu_nocbs");
    let is_elsewhere = given.as_deref().is_some_and(|text| {
        text == "all" || host::cores(text).is_some_and(|cores| cores.contains(&core))
    });
    if is_elsewhere || tickless.contains(&core) {
        return Check::good(NAME, "run on other cores");
    }
    Check::fair(NAME, format!("run on core {core}, too")).change(
        format!("kernel parameter rcu_nocbs={core}"),
        "no clean-up of the kernel's on this core: bursts of 10 to 100 µs, seldom",
    )
}

pub(super) fn siblings(host: &Host, core: usize) -> Check {
    const NAME: &str = "SMT siblings";
    let path = format!("/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list");
    let Some(mut siblings) = host.cores(&path) else {
        return Check::unknown(NAME, format!("{path} can't be read"));
    };
    siblings.remove(&core);
    let Some(&first) = siblings.first() else {
        return Check::good(NAME, "none: the core is not shared");
    };
    let off =
        format!("echo 0 > /sys/devices/system/cpu/cpu{first}/online   (or kernel parameter nosmt)");
    let brings = "the other thread of a core takes execution units and both caches next to them: 10 to 40 % of \
                  the speed while it works";
    let isolated = host.isolated().unwrap_or_default();
    let list = host::list(&siblings);
    if siblings.is_subset(&isolated) {
        let found = format!("core {list} is the same core; isolated, so idle unless you use it");
        return Check::fair(NAME, found).change(off, brings);
    }
    let found = format!("core {list} is the same core, and anything may run there");
    Check::bad(NAME, found).change(off, brings)
}

pub(super) fn governor(host: &Host, core: usize) -> Check {
    const NAME: &str = "frequency governor";
    let folder = format!("/sys/devices/system/cpu/cpu{core}/cpufreq");
    let Some(governor) = host.text(&format!("{folder}/scaling_governor")) else {
        let found = "no cpufreq: firmware or the hypervisor decides";
        return Check::unknown(NAME, found).change(
            "on your own hardware: performance profile in the BIOS",
            "nothing, where the frequency is fixed already",
        );
    };
    if governor == "performance" {
        return Check::good(NAME, governor);
    }
    let driver = host
        .text(&format!("{folder}/scaling_driver"))
        .unwrap_or_default();
    // These two choose the frequency themselves, by load; for all others powersave is the lowest there is.
    let chooses = driver.starts_with("intel_pstate") || driver.starts_with("amd-pstate");
    let check = match governor == "powersave" && !chooses {
        true => Check::bad(NAME, "powersave: the lowest frequency, always"),
        false => Check::fair(NAME, governor),
    };
    check.change(
        "cpupower frequency-set -g performance",
        "a spinning core climbs by itself within milliseconds; the cores that take interrupts and run the \
         strategy don't, and begin slow: tens of µs after a pause",
    )
}

pub(super) fn idle_states(host: &Host, core: usize) -> Check {
    const NAME: &str = "idle states";
    let folder = format!("/sys/devices/system/cpu/cpu{core}/cpuidle");
    let states: Vec<(String, i64)> = host
        .names(&folder)
        .into_iter()
        .filter(|state| state.starts_with("state"))
        .filter(|state| host.number(&format!("{folder}/{state}/disable")) != Some(1))
        .filter_map(|state| {
            let name = host.text(&format!("{folder}/{state}/name"))?;
            Some((name, host.number(&format!("{folder}/{state}/latency"))?))
        })
        .collect();
    let Some((deepest, latency_us)) = states.into_iter().max_by_key(|(_, latency)| *latency) else {
        return Check::unknown(
            NAME,
            "the kernel shows none: firmware or the hypervisor decides",
        );
    };
    // Four bytes, not text; only root may read it (kernel: power/pm_qos_interface.rst).
    let asked = host.bytes("/dev/cpu_dma_latency");
    let asked = asked.and_then(|bytes| bytes.try_into().ok().map(i32::from_le_bytes));
    if latency_us <= SHALLOW_US {
        return Check::good(NAME, format!("{deepest} at most, {latency_us} µs to leave"));
    }
    if let Some(limit) = asked.filter(|limit| i64::from(*limit) <= SHALLOW_US) {
        let found = format!("{deepest} is there, but /dev/cpu_dma_latency holds at {limit} µs");
        return Check::good(NAME, found);
    }
    Check::fair(NAME, format!("down to {deepest}, {latency_us} µs to leave")).change(
        "tuned-adm profile latency-performance   (or kernel parameters intel_idle.max_cstate=1 \
         processor.max_cstate=1)",
        format!(
            "up to {latency_us} µs when a sleeping core is woken: by the card's interrupt, or a parked loop; a \
             core that spins does not sleep"
        ),
    )
}

/// All cores but this one, as commands want them.
pub(super) fn others(host: &Host, core: usize) -> Cores {
    let mut others = host.online().unwrap_or_default();
    others.remove(&core);
    others
}

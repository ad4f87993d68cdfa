//! Each verdict on a machine that the test writes into a folder.

use std::fs;
use std::io;

use tempfile::TempDir;

use super::{Check, Cores, Host, Noise, Verdict, choose_core, examine, host, human, to_json};

/// The core of all cases.
const CORE: usize = 2;

const GOOD: Verdict = Verdict::Good;
const FAIR: Verdict = Verdict::Fair;
const BAD: Verdict = Verdict::Bad;
const UNKNOWN: Verdict = Verdict::Unknown;

type Files<'a> = &'a [(&'a str, &'a str)];

/// A machine of these files and no others.
fn machine(files: Files<'_>) -> io::Result<(TempDir, Host)> {
    let folder = tempfile::tempdir()?;
    for (path, text) in files {
        let path = folder.path().join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, text)?;
    }
    let host = Host::at(folder.path());
    Ok((folder, host))
}

fn check(name: &str, files: Files<'_>) -> io::Result<Check> {
    let (_folder, host) = machine(files)?;
    let found = examine(&host, CORE).into_iter().find(|it| it.name == name);
    found.ok_or_else(|| io::Error::other(format!("no check {name}")))
}

/// Verdict and a part of what was found, by files.
fn table(name: &str, cases: &[(Files<'_>, Verdict, &str)]) -> io::Result<()> {
    for (files, verdict, part) in cases {
        let check = check(name, files)?;
        assert_eq!(check.verdict, *verdict, "{name} of {files:?}: {check:?}");
        assert!(check.found.contains(part), "{name} of {files:?}: {check:?}");
    }
    Ok(())
}

const ISOLATED: &str = "sys/devices/system/cpu/isolated";
const ONLINE: &str = "sys/devices/system/cpu/online";
const CMDLINE: &str = "proc/cmdline";
const STATUS: &str = "proc/self/status";
const LIMITS: &str = "proc/self/limits";
const CPUINFO: &str = "proc/cpuinfo";

#[test]
fn a_machine_without_files_is_unknown_and_nothing_panics() -> io::Result<()> {
    let (_folder, host) = machine(&[])?;
    for check in examine(&host, CORE) {
        // A kernel without NUMA has no such file: there is nothing to balance.
        let expected = if check.name == "NUMA balancing" {
            GOOD
        } else {
            UNKNOWN
        };
        assert_eq!(check.verdict, expected, "{check:?}");
    }
    Ok(())
}

#[test]
fn files_of_nonsense_do_not_panic() -> io::Result<()> {
    let (folder, host) = machine(&[])?;
    let paths = [
        ISOLATED,
        ONLINE,
        CMDLINE,
        STATUS,
        LIMITS,
        CPUINFO,
        "proc/stat",
        "proc/swaps",
        "proc/irq/7/smp_affinity_list",
        "proc/irq/default_smp_affinity",
        "proc/self/stat",
        "dev/cpu_dma_latency",
        "sys/devices/system/cpu/cpu2/topology/thread_siblings_list",
        "sys/devices/system/node/online",
        "sys/devices/system/cpu/cpu2/cpuidle/state0/latency",
        "sys/kernel/mm/transparent_hugepage/enabled",
        "proc/sys/kernel/sched_rt_runtime_us",
        "sys/class/net/eth0/device/numa_node",
    ];
    let nonsense: [&[u8]; 6] = [
        b"",
        b"\xff\xfe\0",
        b"-",
        b"3-1,99999999999999999999",
        b"]x[ : )",
        b"0-18446744073709551615",
    ];
    for bytes in nonsense {
        for path in paths {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap_or(folder.path()))?;
            fs::write(path, bytes)?;
        }
        assert!(!examine(&host, CORE).is_empty());
    }
    Ok(())
}

#[test]
fn whether_the_core_is_its_own() -> io::Result<()> {
    table(
        "isolated core",
        &[
            (&[(ISOLATED, "2-3\n")], GOOD, "isolated: 2-3"),
            (&[(ISOLATED, "1,3\n")], BAD, "not core 2"),
            (
                &[(ISOLATED, "\n"), (ONLINE, "0-3")],
                BAD,
                "no core is isolated",
            ),
            (
                &[
                    (ISOLATED, "\n"),
                    ("sys/fs/cgroup/cpuset.cpus.isolated", "2\n"),
                ],
                GOOD,
                "isolated: 2",
            ),
        ],
    )?;
    for (online, says_so) in [("0-1", true), ("0-3", false)] {
        let check = check("isolated core", &[(ISOLATED, ""), (ONLINE, online)])?;
        let change = check.advice.map(|advice| advice.change);
        let change = change.unwrap_or_default();
        assert_eq!(change.contains("4 cores or more"), says_so, "{change}");
    }
    table(
        "timer tick",
        &[
            (
                &[("sys/devices/system/cpu/nohz_full", "2-3\n")],
                GOOD,
                "2-3",
            ),
            (
                &[
                    ("sys/devices/system/cpu/nohz_full", " (null)\n"),
                    (CMDLINE, "quiet"),
                ],
                FAIR,
                "core 2",
            ),
            (&[(CMDLINE, "nohz_full=1-2 quiet")], GOOD, "nohz_full"),
            (&[(CMDLINE, "nohz_full=1 quiet")], FAIR, "interrupted"),
        ],
    )?;
    table(
        "RCU callbacks",
        &[
            (&[(CMDLINE, "rcu_nocbs=2")], GOOD, "other cores"),
            (&[(CMDLINE, "rcu_nocbs=all")], GOOD, "other cores"),
            (&[(CMDLINE, "nohz_full=2")], GOOD, "other cores"),
            (&[(CMDLINE, "rcu_nocbs=2 rcu_nocbs=1")], FAIR, "core 2"),
        ],
    )
}

#[test]
fn whether_the_core_is_whole_and_awake() -> io::Result<()> {
    const SIBLINGS: &str = "sys/devices/system/cpu/cpu2/topology/thread_siblings_list";
    table(
        "SMT siblings",
        &[
            (&[(SIBLINGS, "2\n")], GOOD, "none"),
            (&[(SIBLINGS, "2,6\n")], BAD, "core 6"),
            (&[(SIBLINGS, "2,6\n"), (ISOLATED, "2,6")], FAIR, "core 6"),
        ],
    )?;
    const GOVERNOR: &str = "sys/devices/system/cpu/cpu2/cpufreq/scaling_governor";
    const DRIVER: &str = "sys/devices/system/cpu/cpu2/cpufreq/scaling_driver";
    table(
        "frequency governor",
        &[
            (&[(GOVERNOR, "performance\n")], GOOD, "performance"),
            (&[(GOVERNOR, "schedutil\n")], FAIR, "schedutil"),
            (
                &[(GOVERNOR, "powersave"), (DRIVER, "intel_pstate")],
                FAIR,
                "powersave",
            ),
            (
                &[(GOVERNOR, "powersave"), (DRIVER, "acpi-cpufreq")],
                BAD,
                "lowest",
            ),
        ],
    )?;
    const STATE: &str = "sys/devices/system/cpu/cpu2/cpuidle";
    let state = |index: u8, file: &str| format!("{STATE}/state{index}/{file}");
    let (name1, latency1) = (state(1, "name"), state(1, "latency"));
    let (name2, latency2, disable2) = (state(2, "name"), state(2, "latency"), state(2, "disable"));
    let shallow = [(name1.as_str(), "C1\n"), (latency1.as_str(), "2\n")];
    let deep = [
        shallow[0],
        shallow[1],
        (name2.as_str(), "C6\n"),
        (latency2.as_str(), "133\n"),
    ];
    let off = [
        deep[0],
        deep[1],
        deep[2],
        deep[3],
        (disable2.as_str(), "1\n"),
    ];
    let held = [
        deep[0],
        deep[1],
        deep[2],
        deep[3],
        ("dev/cpu_dma_latency", "\0\0\0\0"),
    ];
    table(
        "idle states",
        &[
            (&shallow, GOOD, "C1 at most"),
            (&deep, FAIR, "C6, 133 µs"),
            (&off, GOOD, "C1 at most"),
            (&held, GOOD, "holds at 0 µs"),
        ],
    )
}

#[test]
fn whose_interrupts_it_takes() -> io::Result<()> {
    table(
        "interrupts",
        &[
            (
                &[("proc/irq/30/effective_affinity_list", "1")],
                GOOD,
                "none of 1",
            ),
            (
                // Where it goes counts, not where it might.
                &[
                    ("proc/irq/30/effective_affinity_list", "1"),
                    ("proc/irq/30/smp_affinity_list", "0-3"),
                ],
                GOOD,
                "none of 1",
            ),
            (
                &[("proc/irq/30/smp_affinity_list", "0-3"), (ONLINE, "0-3")],
                FAIR,
                "1 of 1 go to core 2",
            ),
            (
                &[
                    ("proc/irq/30/effective_affinity_list", "2"),
                    ("proc/irq/31/effective_affinity_list", "2"),
                    ("sys/class/net/eth0/device/msi_irqs/31", ""),
                    (ONLINE, "0-3"),
                ],
                BAD,
                "network card: 31",
            ),
        ],
    )?;
    let bad = check(
        "interrupts",
        &[
            ("proc/irq/31/effective_affinity_list", "2"),
            ("sys/class/net/eth0/device/msi_irqs/31", ""),
            (ONLINE, "0-3"),
        ],
    )?;
    let change = bad.advice.map(|advice| advice.change).unwrap_or_default();
    assert_eq!(
        change,
        "for i in 31; do echo 0-1,3 > /proc/irq/$i/smp_affinity_list; done"
    );
    const MASK: &str = "proc/irq/default_smp_affinity";
    table(
        "new interrupts",
        &[
            (&[(MASK, "b\n")], GOOD, "mask b"),
            (&[(MASK, "f\n")], FAIR, "core 2"),
            (&[(MASK, "ffffffff,00000000\n")], GOOD, "other cores"),
            (&[(MASK, "xyz\n")], UNKNOWN, "xyz"),
        ],
    )?;
    table(
        "irqbalance",
        &[
            (&[("proc/7/comm", "bash\n")], GOOD, "does not run"),
            (&[("proc/7/comm", "irqbalance\n")], FAIR, "may move"),
            (
                &[("proc/7/comm", "irqbalance\n"), (ISOLATED, "2")],
                GOOD,
                "leaves core 2 alone",
            ),
        ],
    )
}

#[test]
fn what_the_network_waits_for() -> io::Result<()> {
    const CARD: &str = "sys/class/net/eth0/device/vendor";
    table(
        "NIC coalescing",
        &[
            (
                &[("sys/class/net/lo/mtu", "65536")],
                UNKNOWN,
                "no network card",
            ),
            (&[(CARD, "")], UNKNOWN, "eth0"),
            (
                &[
                    (CARD, ""),
                    ("sys/class/net/eth0/gro_flush_timeout", "20000"),
                ],
                FAIR,
                "20000 ns",
            ),
        ],
    )?;
    const READ: &str = "proc/sys/net/core/busy_read";
    const POLL: &str = "proc/sys/net/core/busy_poll";
    table(
        "busy polling",
        &[
            (&[(READ, "50"), (POLL, "50")], GOOD, "50 µs"),
            (
                &[
                    (READ, "0"),
                    (POLL, "0"),
                    (STATUS, "CapEff:\t0000000000001000"),
                ],
                FAIR,
                "may ask",
            ),
            (
                &[
                    (READ, "0"),
                    (POLL, "0"),
                    (STATUS, "CapEff:\t0000000000000000"),
                ],
                FAIR,
                "may not",
            ),
            (&[(READ, "0"), (POLL, "0")], FAIR, "can't be seen"),
        ],
    )
}

#[test]
fn what_a_clock_costs() -> io::Result<()> {
    const SOURCE: &str = "sys/devices/system/clocksource/clocksource0/current_clocksource";
    table(
        "clock source",
        &[
            (&[(SOURCE, "tsc\n")], GOOD, "tsc"),
            (&[(SOURCE, "kvm-clock\n")], FAIR, "kvm-clock"),
            (&[(SOURCE, "hpet\n")], BAD, "system call"),
        ],
    )?;
    table(
        "steady TSC",
        &[
            (
                &[(CPUINFO, "flags\t\t: fpu constant_tsc nonstop_tsc")],
                GOOD,
                "constant_tsc",
            ),
            (
                &[(CPUINFO, "flags\t\t: fpu constant_tsc")],
                BAD,
                "without nonstop_tsc",
            ),
            (&[(CPUINFO, "Features\t: fp asimd")], UNKNOWN, "no x86"),
        ],
    )
}

#[test]
fn whether_memory_is_there() -> io::Result<()> {
    let limit =
        |value: &str| format!("Max locked memory         {value}              {value}     bytes\n");
    let (unlimited, small) = (limit("unlimited"), limit("8388608"));
    table(
        "locked memory",
        &[
            (&[(LIMITS, &unlimited)], GOOD, "unlimited"),
            (&[(LIMITS, &small)], FAIR, "8192 KiB"),
            (
                &[(LIMITS, &small), (STATUS, "CapEff:\t0000000000004000")],
                GOOD,
                "CAP_IPC_LOCK",
            ),
            (
                &[(LIMITS, &small), (STATUS, "CapEff:\t0000000000000000")],
                FAIR,
                "8192 KiB",
            ),
        ],
    )?;
    const SWAPS: &str = "proc/swaps";
    table(
        "swap",
        &[
            (&[(SWAPS, "Filename Type Size\n")], GOOD, "none"),
            (
                &[(SWAPS, "Filename Type Size\n/dev/sda2 partition 9\n")],
                FAIR,
                "1 in use",
            ),
        ],
    )?;
    const ENABLED: &str = "sys/kernel/mm/transparent_hugepage/enabled";
    const DEFRAG: &str = "sys/kernel/mm/transparent_hugepage/defrag";
    table(
        "transparent huge pages",
        &[
            (&[(ENABLED, "always [madvise] never")], GOOD, "madvise"),
            (&[(ENABLED, "always madvise [never]")], GOOD, "never"),
            (
                &[
                    (ENABLED, "[always] madvise never"),
                    (DEFRAG, "always defer [madvise] never"),
                ],
                FAIR,
                "always",
            ),
            (
                &[
                    (ENABLED, "[always] madvise never"),
                    (DEFRAG, "[always] defer madvise never"),
                ],
                BAD,
                "defrag always",
            ),
        ],
    )?;
    const NODES: &str = "sys/devices/system/node/online";
    const FIRST: (&str, &str) = ("sys/devices/system/node/node0/cpulist", "0-3");
    const SECOND: (&str, &str) = ("sys/devices/system/node/node1/cpulist", "4-7");
    const CARD: &str = "sys/class/net/eth0/device/numa_node";
    table(
        "NUMA",
        &[
            (&[(NODES, "0")], GOOD, "one node"),
            (
                &[(NODES, "0-1"), FIRST, SECOND, (CARD, "0")],
                GOOD,
                "core 2 is on 0",
            ),
            (
                &[(NODES, "0-1"), FIRST, SECOND, (CARD, "-1")],
                GOOD,
                "core 2 is on 0",
            ),
            (
                &[(NODES, "0-1"), FIRST, SECOND, (CARD, "1")],
                FAIR,
                "away from eth0 (node 1)",
            ),
            (&[(NODES, "0-1"), SECOND], UNKNOWN, "on none"),
        ],
    )?;
    const BALANCING: &str = "proc/sys/kernel/numa_balancing";
    table(
        "NUMA balancing",
        &[
            (&[(BALANCING, "0")], GOOD, "off"),
            (&[(BALANCING, "1")], FAIR, "on"),
        ],
    )
}

#[test]
fn what_the_system_takes_and_allows() -> io::Result<()> {
    const GUEST: (&str, &str) = (CPUINFO, "flags : fpu hypervisor");
    const STAT: &str = "proc/stat";
    table(
        "virtual machine",
        &[
            (&[(CPUINFO, "flags : fpu")], GOOD, "bare metal"),
            (&[GUEST], FAIR, "can't be seen"),
            (
                &[GUEST, (STAT, "cpu  1 1\ncpu2 500 0 0 499 0 0 0 1 0 0")],
                FAIR,
                "0.100 %",
            ),
            (
                &[GUEST, (STAT, "cpu2 500 0 0 480 0 0 0 20 0 0")],
                BAD,
                "2.00 %",
            ),
        ],
    )?;
    const FLAWS: &str = "sys/devices/system/cpu/vulnerabilities";
    let (meltdown, spectre) = (format!("{FLAWS}/meltdown"), format!("{FLAWS}/spectre_v2"));
    table(
        "mitigations",
        &[
            (
                &[(&meltdown, "Not affected"), (&spectre, "Vulnerable")],
                GOOD,
                "none",
            ),
            (
                &[(&meltdown, "Mitigation: PTI"), (&spectre, "Not affected")],
                FAIR,
                "meltdown",
            ),
        ],
    )?;
    const LIMIT: &str = "proc/sys/kernel/sched_rt_runtime_us";
    let stat = |policy: &str| format!("7 (a) b) R {} {policy} 0 0", "0 ".repeat(37).trim());
    let (other, fifo) = (stat("0"), stat("1"));
    const OWN: &str = "proc/self/stat";
    table(
        "real-time limit",
        &[
            (&[(LIMIT, "-1"), (OWN, &fifo)], GOOD, "none"),
            (&[(LIMIT, "950000"), (OWN, &other)], GOOD, "not real-time"),
            (&[(LIMIT, "950000"), (OWN, &fifo)], BAD, "is real-time"),
        ],
    )?;
    let limit = |value: &str| {
        format!("Max open files            {value}                1048576              files\n")
    };
    let cases = [
        limit("1048576"),
        limit("1024"),
        limit("64"),
        limit("unlimited"),
    ];
    table(
        "open files",
        &[
            (&[(LIMITS, &cases[0])], GOOD, "1048576"),
            (&[(LIMITS, &cases[1])], FAIR, "1024"),
            (&[(LIMITS, &cases[2])], BAD, "64"),
            (&[(LIMITS, &cases[3])], GOOD, "unlimited"),
        ],
    )?;
    const PARANOID: &str = "proc/sys/kernel/perf_event_paranoid";
    table(
        "perf",
        &[
            (&[(PARANOID, "2")], GOOD, "may be used"),
            (&[(PARANOID, "4")], FAIR, "refused"),
        ],
    )
}

#[test]
fn every_worse_verdict_says_what_to_do_and_good_ones_say_nothing() -> io::Result<()> {
    let (_folder, host) = machine(&[
        (ISOLATED, ""),
        (ONLINE, "0-3"),
        (CMDLINE, "quiet"),
        ("proc/irq/default_smp_affinity", "f"),
        ("proc/7/comm", "irqbalance"),
        (CPUINFO, "flags : hypervisor"),
        ("proc/swaps", "Filename\n/swapfile file 1"),
    ])?;
    let checks = examine(&host, CORE);
    for check in &checks {
        match check.verdict {
            GOOD => assert_eq!(check.advice, None, "{check:?}"),
            FAIR | BAD => assert!(check.advice.is_some(), "{check:?}"),
            UNKNOWN => {}
        }
    }
    let names: std::collections::BTreeSet<_> = checks.iter().map(|check| check.name).collect();
    assert_eq!(names.len(), checks.len(), "names are distinct");
    let text = human("a machine", CORE, &checks, None);
    assert!(
        text.lines().all(|line| line.chars().count() <= 120),
        "{text}"
    );
    assert!(
        text.contains("change: kernel parameters isolcpus="),
        "{text}"
    );
    Ok(())
}

#[test]
fn every_check_is_explained() {
    let guide = include_str!("../../../docs/host-tuning.md");
    for check in examine(&Host::at("/nowhere"), CORE) {
        let heading = format!("### {}\n", check.name);
        assert!(
            guide.contains(&heading),
            "docs/host-tuning.md lacks {heading:?}"
        );
    }
}

#[test]
fn lists_of_cores_are_read_and_written() {
    let of = |cores: &[usize]| -> Cores { cores.iter().copied().collect() };
    let rows = [
        ("", Some(of(&[]))),
        ("3", Some(of(&[3]))),
        ("0-2,7", Some(of(&[0, 1, 2, 7]))),
        ("(null)", None),
        ("2-1", None),
        ("0-99999999", None),
    ];
    for (text, cores) in rows {
        assert_eq!(host::cores(text), cores, "{text}");
        if let Some(cores) = cores {
            assert_eq!(host::list(&cores), text);
        }
    }
}

#[test]
fn the_last_isolated_core_that_may_be_used_is_looked_at() -> io::Result<()> {
    for (isolated, chosen) in [("", 3), ("1-2", 2), ("2,9", 2), ("9", 3)] {
        let (_folder, host) = machine(&[(ISOLATED, isolated)])?;
        assert_eq!(
            choose_core(&host, Some(3), |core| core < 8),
            Some(chosen),
            "{isolated}"
        );
    }
    assert_eq!(choose_core(&Host::at("/nowhere"), None, |_| true), None);
    Ok(())
}

#[test]
fn one_object_has_everything() -> io::Result<()> {
    let mut gaps = hdrhistogram::Histogram::new_with_bounds(1_000, 60_000_000_000, 3)
        .map_err(io::Error::other)?;
    for gap_ns in [1_500, 1_500, 4_000_000] {
        gaps.saturating_record(gap_ns);
    }
    let noise = Noise {
        length: std::time::Duration::from_secs(2),
        reads: 50_000_000,
        gaps,
        stolen_ns: 4_000_000,
    };
    let (_folder, host) = machine(&[(ISOLATED, "2")])?;
    let object = to_json("a machine", CORE, &examine(&host, CORE), Some(&noise));
    assert_eq!(
        (&object["core"], &object["machine"]),
        (&2.into(), &"a machine".into())
    );
    assert_eq!(object["checks"][0]["verdict"], "good");
    assert_eq!(object["noise"]["gaps"], 3);
    assert_eq!(object["noise"]["gaps_per_s"], 1.5);
    let buckets = object["noise"]["histogram"].as_array().map(Vec::len);
    assert!(buckets.is_some_and(|count| count > 2), "{object}");
    let text = human("a machine", CORE, &examine(&host, CORE), Some(&noise));
    assert!(text.contains("3 gaps of 1 µs and more"), "{text}");
    assert!(text.contains("took 0.2000 % of the time"), "{text}");
    Ok(())
}

//! The machine that figures were taken on.

/// The machine, its kernel and its load: what stands beside each figure.
pub fn machine() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown", |line| line.trim_start_matches(['\t', ' ', ':']));
    let cpus = cpuinfo
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let kernel = read("/proc/sys/kernel/osrelease");
    let load = read("/proc/loadavg");
    let load: Vec<&str> = load.split(' ').take(3).collect();
    format!(
        "{cpus} × {model}, Linux {}, load {}",
        kernel.trim(),
        load.join(" ")
    )
}

/// A word of warning where others keep more cores busy than there are to spare: medians move by tens of percent
/// then, and tails are the scheduler's. Call it before anything of ours spins.
pub fn crowd() -> Option<String> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").ok()?;
    crowd_of(&load, cores)
}

/// Two threads of ours spin: so many cores must be free.
const SPINNERS: f64 = 2.0;

fn crowd_of(load: &str, cores: usize) -> Option<String> {
    let busy: f64 = load.split(' ').next()?.parse().ok()?;
    // A little work is on every machine.
    let is_crowded = busy > 0.5 && busy + SPINNERS > cores as f64;
    is_crowded.then(|| {
        format!("a load of {busy} on {cores} cores, before ours: believe none of the times, least the tails")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowded_machine_is_told() {
        let table = [
            ("0.10 0.20 0.30 1/100 7", 2, false),
            ("0.80 0.20 0.30 1/100 7", 2, true),
            ("1.90 0.20 0.30 1/100 7", 4, false),
            ("2.10 0.20 0.30 1/100 7", 4, true),
            ("nonsense", 4, false),
            ("", 4, false),
        ];
        for (load, cores, is_crowded) in table {
            assert_eq!(
                crowd_of(load, cores).is_some(),
                is_crowded,
                "{load} on {cores}"
            );
        }
    }
}

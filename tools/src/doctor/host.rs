//! The machine as its files show it: `/proc`, `/sys` and `/dev` below a root, so that a test can write a
//! machine of its own.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

/// Cores, as the kernel writes them: "0-3,8".
pub type Cores = BTreeSet<usize>;

/// More cores than any machine has: a list that goes further is none.
const CORES_MAX: usize = 1 << 16;

/// `CAP_NET_ADMIN` in `CapEff` (capability.h).
pub(super) const CAP_NET_ADMIN: u32 = 12;
/// `CAP_IPC_LOCK` in `CapEff` (capability.h).
pub(super) const CAP_IPC_LOCK: u32 = 14;

/// A machine, read only. What can't be read is `None`, never an error: not every kernel has every file, and
/// not every user may read it.
#[derive(Clone, Debug)]
pub struct Host {
    root: PathBuf,
}

/// A limit of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// None.
    Unlimited,
    /// So many.
    At(u64),
}

impl Host {
    /// A machine whose files begin at `root`: "/" for this one.
    pub fn at(root: impl Into<PathBuf>) -> Host {
        Host { root: root.into() }
    }

    /// A file's bytes.
    pub fn bytes(&self, path: &str) -> Option<Vec<u8>> {
        fs::read(self.root.join(path.trim_start_matches('/'))).ok()
    }

    /// A file's text without the white space around it.
    pub fn text(&self, path: &str) -> Option<String> {
        let bytes = self.bytes(path)?;
        Some(String::from_utf8_lossy(&bytes).trim().to_owned())
    }

    /// A file that holds a number.
    pub fn number(&self, path: &str) -> Option<i64> {
        self.text(path)?.parse().ok()
    }

    /// A file that holds cores.
    pub fn cores(&self, path: &str) -> Option<Cores> {
        cores(&self.text(path)?)
    }

    /// The names in a folder, sorted; none where it can't be read.
    pub fn names(&self, path: &str) -> Vec<String> {
        let entries = fs::read_dir(self.root.join(path.trim_start_matches('/')));
        let entries = entries.into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort_by_key(|name| (name.parse().unwrap_or(u64::MAX), name.clone()));
        names
    }

    /// Whether there is such a file or folder.
    pub fn has(&self, path: &str) -> bool {
        self.root.join(path.trim_start_matches('/')).exists()
    }

    /// The value of a kernel parameter; empty for one without a value. `None` where it was not given.
    pub fn kernel_parameter(&self, name: &str) -> Option<String> {
        let line = self.text("/proc/cmdline")?;
        let mut words = line.split_whitespace().rev();
        // The last one holds.
        words.find_map(|word| match word.split_once('=') {
            Some((key, value)) => (key == name).then(|| value.to_owned()),
            None => (word == name).then(String::new),
        })
    }

    /// Whether this process has a capability (`CapEff` of `/proc/self/status`).
    pub fn has_capability(&self, bit: u32) -> Option<bool> {
        let status = self.text("/proc/self/status")?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("CapEff:"))?;
        let all = u64::from_str_radix(line.trim(), 16).ok()?;
        Some(all >> bit & 1 == 1)
    }

    /// A soft limit of this process by its name in `/proc/self/limits`.
    pub fn limit(&self, name: &str) -> Option<Limit> {
        let limits = self.text("/proc/self/limits")?;
        let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
        match line.split_whitespace().next()? {
            "unlimited" => Some(Limit::Unlimited),
            number => number.parse().ok().map(Limit::At),
        }
    }

    /// The processor's flags; `None` where `/proc/cpuinfo` has no such line (it is x86's).
    pub fn processor_flags(&self) -> Option<Vec<String>> {
        let text = self.text("/proc/cpuinfo")?;
        let line = text.lines().find(|line| line.starts_with("flags"))?;
        let (_, flags) = line.split_once(':')?;
        Some(flags.split_whitespace().map(str::to_owned).collect())
    }

    /// Cores that are switched on.
    pub fn online(&self) -> Option<Cores> {
        self.cores("/sys/devices/system/cpu/online")
    }

    /// Cores that the scheduler leaves alone: by `isolcpus`, or by an isolated cpuset partition.
    pub fn isolated(&self) -> Option<Cores> {
        let by_boot = self.cores("/sys/devices/system/cpu/isolated");
        let by_cpuset = self.cores("/sys/fs/cgroup/cpuset.cpus.isolated");
        match (by_boot, by_cpuset) {
            (None, None) => None,
            (one, other) => {
                let all = one.into_iter().chain(other).flatten();
                Some(all.collect())
            }
        }
    }

    /// Cores without a periodic tick while one thread runs there.
    pub fn tickless(&self) -> Option<Cores> {
        let told = self.cores("/sys/devices/system/cpu/nohz_full");
        told.or_else(|| cores(&self.kernel_parameter("nohz_full")?))
    }

    /// The network cards: interfaces with a device behind them.
    pub fn cards(&self) -> Vec<String> {
        let mut names = self.names("/sys/class/net");
        names.retain(|name| self.has(&format!("/sys/class/net/{name}/device")));
        names
    }
}

/// Reads a list of cores; `None` for what is none ("(null)", "all").
pub(super) fn cores(text: &str) -> Option<Cores> {
    let mut found = Cores::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        if last >= CORES_MAX || first > last {
            return None;
        }
        found.extend(first..=last);
    }
    Some(found)
}

/// Writes a list of cores as the kernel reads it.
pub(super) fn list(cores: &Cores) -> String {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for &core in cores {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == core => *last = core,
            _ => runs.push((core, core)),
        }
    }
    let text = runs.iter().map(|&(first, last)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    });
    text.collect::<Vec<_>>().join(",")
}

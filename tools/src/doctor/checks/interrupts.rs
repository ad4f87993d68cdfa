//! Whose interrupts the core handles.

use std::collections::BTreeSet;

use super::cores::others;
use crate::doctor::{Check, Host, host};

const BRINGS: &str = "an interrupt with what it leaves to do afterwards (softirq) takes the core for 2 to 50 µs, at \
                      each packet of anybody's";

/// The interrupts of network cards. Those of a virtio card are its parent's.
fn of_cards(host: &Host) -> BTreeSet<String> {
    let cards = host.cards();
    let folders = cards.iter().flat_map(|card| {
        let device = format!("/sys/class/net/{card}/device");
        [
            format!("{device}/msi_irqs"),
            format!("{device}/../msi_irqs"),
        ]
    });
    folders.flat_map(|folder| host.names(&folder)).collect()
}

pub(super) fn affinity(host: &Host, core: usize) -> Check {
    const NAME: &str = "interrupts";
    let numbers: Vec<String> = host
        .names("/proc/irq")
        .into_iter()
        .filter(|name| name.parse::<u32>().is_ok())
        .collect();
    if numbers.is_empty() {
        return Check::unknown(NAME, "/proc/irq can't be read");
    }
    // Where the interrupt goes now; where the kernel does not tell, where it may go.
    let goes_here = |number: &String| {
        let now = host.cores(&format!("/proc/irq/{number}/effective_affinity_list"));
        let now = now.filter(|cores| !cores.is_empty());
        now.or_else(|| host.cores(&format!("/proc/irq/{number}/smp_affinity_list")))
            .is_some_and(|cores| cores.contains(&core))
    };
    let cards = of_cards(host);
    let here: Vec<&String> = numbers.iter().filter(|number| goes_here(number)).collect();
    let of_card: Vec<&str> = here
        .iter()
        .filter(|number| cards.contains(number.as_str()))
        .map(|number| number.as_str())
        .collect();
    let elsewhere = host::list(&others(host, core));
    let change = |numbers: &[&str]| match elsewhere.is_empty() {
        true => "a machine with more than one core".to_owned(),
        false => format!(
            "for i in {}; do echo {elsewhere} > /proc/irq/$i/smp_affinity_list; done",
            numbers.join(" ")
        ),
    };
    if here.is_empty() {
        return Check::good(
            NAME,
            format!("none of {} goes to core {core}", numbers.len()),
        );
    }
    if of_card.is_empty() {
        let found = format!(
            "{} of {} go to core {core}, none of a network card",
            here.len(),
            numbers.len()
        );
        let all: Vec<&str> = here.iter().map(|number| number.as_str()).collect();
        return Check::fair(NAME, found).change(change(&all), BRINGS);
    }
    let found = format!(
        "{} of {} go to core {core}; of a network card: {}",
        here.len(),
        numbers.len(),
        of_card.join(", ")
    );
    Check::bad(NAME, found).change(change(&of_card), BRINGS)
}

pub(super) fn default_affinity(host: &Host, core: usize) -> Check {
    const NAME: &str = "new interrupts";
    let Some(mask) = host.text("/proc/irq/default_smp_affinity") else {
        return Check::unknown(NAME, "/proc/irq/default_smp_affinity can't be read");
    };
    // Words of 32 bits in hexadecimal, the highest first.
    let words: Option<Vec<u32>> = mask
        .split(',')
        .rev()
        .map(|word| u32::from_str_radix(word, 16).ok())
        .collect();
    let Some(words) = words else {
        return Check::unknown(NAME, format!("a mask that can't be read: {mask}"));
    };
    let is_in = words
        .get(core / 32)
        .is_some_and(|word| word >> (core % 32) & 1 == 1);
    if !is_in {
        return Check::good(NAME, format!("go to other cores (mask {mask})"));
    }
    let elsewhere = host::list(&others(host, core));
    Check::fair(NAME, format!("may go to core {core} (mask {mask})")).change(
        format!("kernel parameter irqaffinity={elsewhere}"),
        "interrupts that are set up later (a card that is reset, a disk) stay away from the core, too",
    )
}

pub(super) fn irqbalance(host: &Host, core: usize) -> Check {
    const NAME: &str = "irqbalance";
    let processes: Vec<String> = host
        .names("/proc")
        .into_iter()
        .filter(|name| name.parse::<u32>().is_ok())
        .collect();
    if processes.is_empty() {
        return Check::unknown(NAME, "/proc shows no process");
    }
    let runs = processes
        .iter()
        .any(|id| host.text(&format!("/proc/{id}/comm")).as_deref() == Some("irqbalance"));
    if !runs {
        return Check::good(NAME, "does not run");
    }
    // It leaves cores of isolcpus and nohz_full alone (man irqbalance).
    let isolated = host.isolated().unwrap_or_default();
    let tickless = host.tickless().unwrap_or_default();
    if isolated.contains(&core) || tickless.contains(&core) {
        return Check::good(
            NAME,
            format!("runs, and leaves core {core} alone: it is isolated"),
        );
    }
    Check::fair(NAME, format!("runs, and may move interrupts to core {core} at any time")).change(
        format!("IRQBALANCE_BANNED_CPULIST={core} in /etc/default/irqbalance   (or systemctl disable --now irqbalance)"),
        "what you set by hand stays as you set it",
    )
}

//! From the card to the socket.

use crate::doctor::host::CAP_NET_ADMIN;
use crate::doctor::{Check, Host};

pub(super) fn coalescing(host: &Host) -> Check {
    const NAME: &str = "NIC coalescing";
    let cards = host.cards();
    let Some(card) = cards.first() else {
        return Check::unknown(NAME, "no network card is seen");
    };
    // What the card itself waits is told by ethtool's own call alone; this is what the kernel adds.
    let deferring = cards.iter().find(|card| {
        let file = format!("/sys/class/net/{card}/gro_flush_timeout");
        host.number(&file).is_some_and(|wait_ns| wait_ns > 0)
    });
    if let Some(card) = deferring {
        let wait_ns = host.number(&format!("/sys/class/net/{card}/gro_flush_timeout"));
        let found = format!("{card} holds packets up to {} ns", wait_ns.unwrap_or(0));
        return Check::fair(NAME, found).change(
            format!("echo 0 > /sys/class/net/{card}/gro_flush_timeout   (leave it where all sockets busy-poll)"),
            "up to that time at each packet, at any percentile",
        );
    }
    Check::unknown(NAME, format!("the files don't tell what {} waits", cards.join(", "))).change(
        format!("ethtool -c {card}; then ethtool -C {card} adaptive-rx off rx-usecs 0 rx-frames 1"),
        "what rx-usecs says, at each packet that does not come in a crowd: 3 to 50 µs is usual, and in p50",
    )
}

pub(super) fn busy_poll(host: &Host) -> Check {
    const NAME: &str = "busy polling";
    let (read, poll) = (
        host.number("/proc/sys/net/core/busy_read"),
        host.number("/proc/sys/net/core/busy_poll"),
    );
    let (Some(read), Some(poll)) = (read, poll) else {
        return Check::unknown(
            NAME,
            "net.core.busy_read can't be read: not in this kernel?",
        );
    };
    if read > 0 {
        return Check::good(NAME, format!("busy_read {read} µs, busy_poll {poll} µs"));
    }
    let may = match host.has_capability(CAP_NET_ADMIN) {
        Some(true) => "this process may ask for it (CAP_NET_ADMIN)",
        Some(false) => "this process may not ask for it (no CAP_NET_ADMIN)",
        None => "whether this process may ask for it can't be seen",
    };
    Check::fair(NAME, format!("off; {may}")).change(
        "TcpOptions { busy_poll: Some(50 µs), .. } with CAP_NET_ADMIN, or sysctl -w net.core.busy_read=50 \
         net.core.busy_poll=50",
        "the loop's own recv empties the card's queue, without waiting for interrupt and softirq: some µs a \
         packet where the driver can (most of real cards; not loopback)",
    )
}

//! `tickwire latency`: from a scheduled send to the strategy's pop from the ring, over TLS on loopback.
//!
//! The sender keeps an absolute schedule: a message is due at its time whether or not those before
//! it have arrived, and its latency counts from then. The client under test runs on a thread of its
//! own, up to the book, and hands an event of 64 bytes to a ring; the sender's thread pops it, so
//! that a machine of two cores has no third spinner.
//!
//! Whoever is to be compared is a [`Variant`]: `benches/peers` adds other libraries to those that are here.

mod client;
mod ours;
mod plot;
mod round;
mod server;
mod shape;
mod sitting;
mod snapshot;
mod spread;

pub use client::{Event, Job, against, path, request};
pub use plot::{PlotError, html, svg};
pub use round::{Ask, Histogram, Round};
pub use shape::{Shape, ShapeKind};
pub use sitting::{Row, Sitting, Variant, sit};
pub use spread::{INSTRUMENTS_A_SOCKET_MAX, INSTRUMENTS_MAX, SOCKETS_MAX, Spread, SpreadError};

use tickwire::PollMode;
use tickwire::net::Acks;
use tickwire::wire::tls::Records;

use client::{floor_tcp, floor_tls};
use ours::{Way, ours};

/// Larger than a burst that nobody reads.
const RING: usize = 1 << 19;

/// The floor that all others are told above.
pub const FLOOR_TLS: &str = "floor-tls";

/// The floors and ourselves, with the receiving thread on `core` where one is given.
pub fn variants(core: Option<usize>) -> Vec<Variant> {
    let floor = |name, tls: bool, client: fn(&Job, _) -> _| {
        let run = move |shape: &Shape, ask| against(shape, ask, tls, core, client);
        Variant::new(name, run)
    };
    let ours = |name, poll, records, acks| {
        let way = Way {
            poll,
            records,
            acks,
            core,
        };
        let run = move |shape: &Shape, ask| ours(way, shape, ask);
        Variant::new(name, run).ours()
    };
    let (rustls, in_place) = (Records::Rustls, Records::InPlace);
    vec![
        floor("floor-tcp", false, floor_tcp),
        floor(FLOOR_TLS, true, floor_tls),
        ours("tickwire direct", PollMode::Direct, rustls, Acks::WhenIdle),
        ours(
            "tickwire direct in-place",
            PollMode::Direct,
            in_place,
            Acks::WhenIdle,
        ),
        ours(
            "tickwire direct, system acks",
            PollMode::Direct,
            rustls,
            Acks::System,
        ),
        ours("tickwire mio", PollMode::Mio, rustls, Acks::WhenIdle),
    ]
}

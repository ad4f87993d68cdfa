//! What the `tickwire` command is made of.
//!
//! | module | what it holds |
//! |---|---|
//! | [`recording`] | reads recorded messages, line by line, plain or compressed |
//! | [`replay`] | drives connectors with a recording |
//! | [`latency`] | from a scheduled send to the strategy's pop, beside the floors |
//! | [`output`] | events as JSON lines, and as lines for people |
//! | [`demo`] | simulator, engine and strategy in one process, with its screen and its figures |
//! | [`doctor`] | what stands between this machine and a steady microsecond |
//! | [`faults`] | the table fault × venue |
//! | [`gateway`] | simulator, engine, strategies that do as they are told, and the gateway before them |
//! | [`report`] | tables, bars and the machine beside the figures |
//! | [`watch`] | a live venue's events, line by line |
//! | [`world`] | engine and venues in virtual time, against a naive model |
//! | [`cli`] | the command line |

pub mod cli;
pub mod demo;
pub mod doctor;
pub mod faults;
pub mod gateway;
pub mod latency;
pub mod output;
pub mod recording;
pub mod replay;
pub mod report;
pub mod stopwatch;
pub mod watch;
pub mod world;

/// The code of the guides runs, or the documentation tests fail.
#[cfg(doctest)]
mod guides {
    #[doc = include_str!("../../docs/real-time/market-channel.md")]
    struct MarketChannel;
    #[doc = include_str!("../../docs/real-time/user-channel.md")]
    struct UserChannel;
    #[doc = include_str!("../../docs/real-time/connection-management.md")]
    struct ConnectionManagement;
    #[doc = include_str!("../../docs/real-time/binance.md")]
    struct Binance;
    #[doc = include_str!("../../docs/real-time/bybit.md")]
    struct Bybit;
}

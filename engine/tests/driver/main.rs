//! The driver against the simulator over real TLS: every method, at every venue and market that trades
//! there, by the same test bodies.

mod accounts;
mod conformance;
mod guard;
mod polymarket;
mod secrets;
mod strategies;
mod venues;

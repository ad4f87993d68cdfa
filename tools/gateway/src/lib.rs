//! Watch and steer running strategies over one WebSocket, at no cost to the engine's pinned loop: a server
//! on a thread of its own that a strategy binary embeds. It shares nothing with the loop but rings.
//!
//! ```text
//! clients <- socket -> server (one mio poll) -> core (sans-IO) -> crew: strategies, over operator lines
//!                                                              -> desks: orders, over the Desk trait
//!                                                              -> feed: market data, over a ring
//!                                                              -> store: what a restart keeps
//! ```
//!
//! | to do this | look at |
//! |---|---|
//! | embed a gateway | [`Gateway::start`], [`Config`], [`Parts`] |
//! | let strategies be talked to | [`Crew`], [`tickwire::operator`] |
//! | connect the trading side | [`Desk`], [`Desks`], [`PaperDesk`] |
//! | connect market data | [`Feed`], [`EngineFeed`] |
//! | let clients in | [`Gateway::issue`], [`Gateway::ticket`], [`Grant`] |
//! | speak the protocol | [`protocol`] |
//! | be a client | [`client`] |

mod auth;
pub mod client;
mod config;
mod core;
mod crew;
mod desk;
mod feed;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod hub;
mod ids;
mod live;
mod market;
mod paper;
pub mod protocol;
mod server;
mod store;
mod upgrade;

pub use auth::{AuthError, Grant, Identity, NoRandomness, Secret, TICKET_LIFE, TicketError};
pub use config::{ApprovalPolicy, Config, Limits};
pub use core::{Close, Desks};
pub use crew::{AgentCard, Crew};
pub use desk::{Desk, DeskEvent, Filter, Refusal};
pub use feed::{EngineFeed, Feed, FeedError, Part};
pub use live::{LiveDesk, LiveMarket};
pub use paper::PaperDesk;
pub use server::{Bell, Gateway, GatewayError, Parts, StartError};
pub use store::StoreError;
pub use upgrade::SUBPROTOCOL;

#[cfg(test)]
mod corpus {
    //! What the fuzz targets have found, and what they begin with.

    use std::fs;
    use std::path::Path;

    fn replay(target: &str, body: fn(&[u8])) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fuzz/corpus")
            .join(target);
        let files = fs::read_dir(&folder).expect("the corpus");
        let mut count = 0;
        for file in files {
            body(&fs::read(file.expect("a file").path()).expect("octets"));
            count += 1;
        }
        assert!(count >= 8, "{count} files in {}", folder.display());
    }

    #[test]
    fn the_corpus_of_frames_holds() {
        replay("frames", crate::fuzzing::frames);
    }

    #[test]
    fn the_corpus_of_upgrades_holds() {
        replay("upgrade", crate::fuzzing::upgrade);
    }
}

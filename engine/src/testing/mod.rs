//! For a user's own tests: the venue simulator, a WebSocket server that does as it is told, an engine
//! that is turned by hand in virtual time, and an allocator that counts.

pub mod alloc;
mod by_hand;
mod venues;
pub mod ws;

pub use by_hand::HandEngine;
pub use tickwire_sim as sim;
pub use venues::{connector, names};

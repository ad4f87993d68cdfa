//! For a user's own tests: the venue simulator, an engine that is turned by hand in virtual time, and
//! an allocator that counts.

pub mod alloc;
mod by_hand;

pub use by_hand::HandEngine;
pub use tickwire_sim as sim;

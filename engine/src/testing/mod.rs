//! For a user's own tests: the venue simulator, and an allocator that counts.

pub mod alloc;

pub use tickwire_sim as sim;

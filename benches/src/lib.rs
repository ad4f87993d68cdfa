//! What the benches measure: scenarios that are built once, check their result once, and are then
//! run by the files in `benches/benches`.
//!
//! All of them come from seeds, and message texts from the simulator's sans-IO core, so that a run
//! needs no fixture and no network. See BENCHMARKING.md for how to run them and how not to be
//! fooled.

pub mod book;
pub mod decode;
pub mod frame;
pub mod growth;
pub mod isolation;
pub mod order;
pub mod tape;
pub mod tls;

/// Folds values into a number that stands for all of them in their order. Cheap enough to run inside
/// of a measured loop, where it also keeps the work from being optimised away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checksum(pub u64);

impl Checksum {
    /// Adds a value.
    #[inline]
    pub fn add(&mut self, value: i64) {
        self.0 = (self.0.rotate_left(5) ^ value as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

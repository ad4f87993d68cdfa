//! tickwire beside its peers, in one run. See BENCHMARKING.md.
//!
//! A workspace of its own, so that no peer enters a user's lockfile.

pub mod decode;
pub mod feed;
pub mod wire;

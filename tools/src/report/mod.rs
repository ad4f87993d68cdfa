//! What measurements print: tables, bars in a terminal, and the machine beside each figure.

mod bars;
mod machine;
mod table;

pub use bars::{Bucket, bars, buckets, nanos, skyline};
pub use machine::{crowd, machine};
pub use table::table;

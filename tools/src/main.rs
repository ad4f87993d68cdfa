//! The `tickwire` command.

use std::process::ExitCode;

use tickwire::testing::alloc::CountingAllocator;

/// Counts what the engine's loop allocates, so that the demo can show that it is nothing.
#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn main() -> ExitCode {
    tickwire_tools::cli::main()
}

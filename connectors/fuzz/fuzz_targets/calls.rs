#![no_main]

#[path = "../../tests/random_inputs/world/mod.rs"]
#[allow(dead_code, reason = "the property tests use the rest")]
mod world;

libfuzzer_sys::fuzz_target!(|data: &[u8]| { world::run_script(data); });

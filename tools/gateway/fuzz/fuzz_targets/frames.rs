#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| tickwire_gateway::fuzzing::frames(octets));
